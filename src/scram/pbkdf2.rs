//! PBKDF2 with HMAC (RFC 8018 section 5.2), which RFC 5802 calls Hi().
//!
//! After the first block every HMAC of an iteration hashes exactly one output under the same key. So the two states
//! that hold the key are computed once, the padding stands in the block from the start, and an iteration is two
//! bare compressions. Keccak has no such bare interface; it clones a keyed HMAC instead.

use std::num::NonZeroU32;

use digest::{Digest, FixedOutput, Mac};
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use sha3::Sha3_512;
use zeroize::{Zeroize, Zeroizing};

use super::hash::{HashFunction, finalize_into, keyed};

/// Fills `out` with octets derived from `password` and `salt`.
///
/// SCRAM asks for one output of the hash; any other length works too.
///
/// # Panics
/// When `out` is longer than 2^32 - 1 outputs of the hash.
pub fn pbkdf2(hash: HashFunction, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    for (index, block) in out.chunks_mut(hash.output_len()).enumerate() {
        let index = u32::try_from(index + 1).expect("a derived key has fewer than 2^32 blocks");
        let index = index.to_be_bytes();
        match hash {
            HashFunction::Sha1 => sha1_block(password, salt, index, iterations, block),
            HashFunction::Sha256 => sha256_block(password, salt, index, iterations, block),
            HashFunction::Sha512 => sha512_block(password, salt, index, iterations, block),
            HashFunction::Sha3_512 => sha3_512_block(password, salt, index, iterations, block),
        }
    }
}

macro_rules! block_by_compression {
    ($name:ident, $hash:ty, $word:ty, $words:literal, $block:literal, $compress:path, $initial:expr) => {
        fn $name(password: &[u8], salt: &[u8], index: [u8; 4], iterations: NonZeroU32, out: &mut [u8]) {
            const WORD: usize = size_of::<$word>();
            const OUTPUT: usize = WORD * $words;
            const INITIAL: [$word; $words] = $initial;

            // RFC 2104: a key longer than a block is hashed first.
            let mut key = Zeroizing::new([0; $block]);
            if password.len() > $block {
                finalize_into(<$hash>::new_with_prefix(password), &mut *key);
            } else {
                key[..password.len()].copy_from_slice(password);
            }
            let state_after = |pad: u8| {
                let mut state = Zeroizing::new(INITIAL);
                let block = Zeroizing::new(key.map(|octet| octet ^ pad));
                $compress(&mut state, &[*block]);
                state
            };
            let inner = state_after(0x36);
            let outer = state_after(0x5c);

            // One output after one block of key: the end mark, zeros and the length in bits never change.
            let mut block = Zeroizing::new([0; $block]);
            block[OUTPUT] = 0x80;
            block[$block - 8..].copy_from_slice(&(8 * ($block + OUTPUT) as u64).to_be_bytes());

            let first = keyed::<Hmac<$hash>>(password).chain_update(salt).chain_update(index);
            finalize_into(first, &mut *block);
            let mut sum = Zeroizing::new(INITIAL);
            for (word, octets) in sum.iter_mut().zip(block.chunks_exact(WORD)) {
                *word = <$word>::from_be_bytes(octets.try_into().expect("chunks of one word"));
            }

            let mut state = Zeroizing::new(INITIAL);
            for _ in 1..iterations.get() {
                *state = *inner;
                $compress(&mut state, &[*block]);
                put_words(&mut block[..OUTPUT], state.as_slice(), <$word>::to_be_bytes);
                *state = *outer;
                $compress(&mut state, &[*block]);
                put_words(&mut block[..OUTPUT], state.as_slice(), <$word>::to_be_bytes);
                sum.iter_mut().zip(state.iter()).for_each(|(sum, word)| *sum ^= word);
            }
            put_words(&mut block[..OUTPUT], sum.as_slice(), <$word>::to_be_bytes);
            out.copy_from_slice(&block[..out.len()]);
        }
    };
}

block_by_compression!(
    sha1_block,
    Sha1,
    u32,
    5,
    64,
    sha1::block_api::compress,
    [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
);

block_by_compression!(
    sha256_block,
    Sha256,
    u32,
    8,
    64,
    sha2::block_api::compress256,
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,]
);

block_by_compression!(
    sha512_block,
    Sha512,
    u64,
    8,
    128,
    sha2::block_api::compress512,
    [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ]
);

fn put_words<W: Copy, const N: usize>(block: &mut [u8], words: &[W], octets: impl Fn(W) -> [u8; N]) {
    for (place, &word) in block.chunks_exact_mut(N).zip(words) {
        place.copy_from_slice(&octets(word));
    }
}

fn sha3_512_block(password: &[u8], salt: &[u8], index: [u8; 4], iterations: NonZeroU32, out: &mut [u8]) {
    let key = keyed::<Hmac<Sha3_512>>(password);
    let mut last = key.clone().chain_update(salt).chain_update(index).finalize_fixed();
    let mut sum = last;
    for _ in 1..iterations.get() {
        last = key.clone().chain_update(last).finalize_fixed();
        sum.iter_mut().zip(&last).for_each(|(sum, octet)| *sum ^= octet);
    }
    out.copy_from_slice(&sum[..out.len()]);
    last.zeroize();
    sum.zeroize();
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
