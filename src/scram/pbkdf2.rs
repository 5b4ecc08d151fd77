//! PBKDF2 with HMAC (RFC 8018 section 5.2), which RFC 5802 calls Hi().
//!
//! The SHA-1 and SHA-2 families share their loops with the dictionary, in `crate::pbkdf2`. Keccak has no bare
//! compression to call; it clones a keyed HMAC instead.

use std::num::NonZeroU32;

use digest::{FixedOutput, Mac};
use hmac::Hmac;
use sha3::Sha3_512;
use zeroize::Zeroize;

use super::hash::{HashFunction, keyed};
use crate::pbkdf2::{Prf, derive};

/// Fills `out` with octets derived from `password` and `salt`.
///
/// SCRAM asks for one output of the hash; any other length works too.
///
/// # Panics
/// When `out` is longer than 2^32 - 1 outputs of the hash.
pub fn pbkdf2(hash: HashFunction, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    match hash {
        HashFunction::Sha1 => derive(Prf::HmacSha1, password, salt, iterations, out),
        HashFunction::Sha256 => derive(Prf::HmacSha256, password, salt, iterations, out),
        HashFunction::Sha512 => derive(Prf::HmacSha512, password, salt, iterations, out),
        HashFunction::Sha3_512 => sha3_512(password, salt, iterations, out),
    }
}

fn sha3_512(password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let key = keyed::<Hmac<Sha3_512>>(password);
    for (index, out) in out.chunks_mut(HashFunction::Sha3_512.output_len()).enumerate() {
        let index = u32::try_from(index + 1).expect("a derived key has fewer than 2^32 blocks");
        let mut last = key.clone().chain_update(salt).chain_update(index.to_be_bytes()).finalize_fixed();
        let mut sum = last;
        for _ in 1..iterations.get() {
            last = key.clone().chain_update(last).finalize_fixed();
            sum.iter_mut().zip(&last).for_each(|(sum, octet)| *sum ^= octet);
        }
        out.copy_from_slice(&sum[..out.len()]);
        last.zeroize();
        sum.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hi(hash: HashFunction, password: &[u8], salt: &[u8], iterations: u32, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        pbkdf2(hash, password, salt, NonZeroU32::new(iterations).unwrap(), &mut out);
        out
    }

    /// RFC 8018 word for word: U_1 = PRF(P, S || INT(i)), U_j = PRF(P, U_{j-1}), T_i = U_1 ^ ... ^ U_c.
    fn by_definition(
        hash: HashFunction,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
        len: usize,
    ) -> Vec<u8> {
        let blocks = (1..=u32::try_from(len).unwrap()).flat_map(|index| {
            let mut last = hash.hmac(password, &[salt, &index.to_be_bytes()].concat());
            let mut sum = last.clone();
            for _ in 1..iterations {
                last = hash.hmac(password, last.expose());
                sum = sum.xor(&last);
            }
            sum.expose().to_vec()
        });
        blocks.take(len).collect()
    }

    #[test]
    fn published_vectors() {
        let files = [
            include_str!("../../vectors/pbkdf2_rfc6070.json"),
            include_str!("../../vectors/pbkdf2_scrypt_rfc7914.json"),
        ];
        let mut run = 0;
        for file in files {
            let file = serde_json::from_str::<serde_json::Value>(file).unwrap();
            let cases = file["cases"].as_array().or_else(|| file["cases"]["pbkdf2"].as_array()).unwrap();
            for case in cases {
                let hex = |name: &str| crate::scram::tests::unhex(case[name].as_str().unwrap());
                let iterations = u32::try_from(case["iterations"].as_u64().unwrap()).unwrap();
                if iterations > 1_000_000 {
                    continue; // RFC 6070's fourth case: too slow without optimisation.
                }
                let hash = if case["hash"] == "sha1" { HashFunction::Sha1 } else { HashFunction::Sha256 };
                let expected = hex("dk");
                assert_eq!(hi(hash, &hex("password"), &hex("salt"), iterations, expected.len()), expected);
                run += 1;
            }
        }
        assert_eq!(run, 7);
    }

    #[test]
    fn every_hash_agrees_with_the_definition() {
        for hash in HashFunction::ALL {
            // Around the block sizes 64, 72 and 128, where the key is hashed first.
            for password_len in [1, 63, 64, 65, 71, 72, 73, 127, 128, 129, 300] {
                for len in [1, hash.output_len(), hash.output_len() + 1, 3 * hash.output_len()] {
                    let password = vec![0xa5; password_len];
                    for iterations in [1, 2, 3] {
                        assert_eq!(
                            hi(hash, &password, b"salt", iterations, len),
                            by_definition(hash, &password, b"salt", iterations, len),
                            "{hash} {password_len} {iterations} {len}"
                        );
                    }
                }
            }
        }
    }
}
