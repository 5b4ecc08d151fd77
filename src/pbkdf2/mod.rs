//! PBKDF2 with HMAC (RFC 8018 section 5.2) over SHA-1, SHA-256 and SHA-512, one password at a time: what a login computes.
//!
//! After the first output every HMAC of an iteration hashes exactly one output under the same key. So the two states
//! that hold the key are computed once, the padding stands in the block from the start, and an iteration is two
//! bare compressions. The dictionary's lanes start from the same states and differ in the loop alone.
//!
//! # Security
//! No branch and no address depends on the password, only on its length. States and outputs are wiped; copies that the
//! compiler leaves in registers and spilled stack slots are not.

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub(crate) mod constants;
/// The processor's own instructions for SHA-1 and SHA-256.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[cfg_attr(target_arch = "aarch64", path = "armv8.rs")]
#[cfg_attr(target_arch = "x86_64", path = "sha_ni.rs")]
pub(crate) mod instructions;

#[cfg(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp"))]
use std::num::NonZeroU32;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The pseudorandom function that PBKDF2 iterates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(not(feature = "dictionary"), expect(unreachable_pub, reason = "the dictionary shows it"))]
#[cfg_attr(
    not(any(feature = "dictionary", feature = "scram")),
    expect(dead_code, reason = "SHA-256 alone stretches passwords outside SCRAM")
)]
pub enum Prf {
    /// HMAC-SHA-1, outputs of 20 octets.
    HmacSha1,
    /// HMAC-SHA-256, outputs of 32 octets.
    HmacSha256,
    /// HMAC-SHA-512, outputs of 64 octets.
    HmacSha512,
}

#[cfg_attr(not(feature = "dictionary"), expect(unreachable_pub, reason = "as above"))]
impl Prf {
    /// All of them, weakest first.
    #[cfg(feature = "dictionary")]
    pub const ALL: [Self; 3] = [Self::HmacSha1, Self::HmacSha256, Self::HmacSha512];

    /// Octets of an output.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha512 => 64,
        }
    }
}

/// Fills `out` with octets derived from `password` and `salt`.
///
/// # Panics
/// When `out` is longer than 2^32 - 1 outputs of the hash.
#[cfg(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp"))]
pub(crate) fn derive(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let iterations = iterations.get();
    for (index, out) in out.chunks_mut(prf.output_len()).enumerate() {
        let index = u32::try_from(index + 1).expect("a derived key has fewer than 2^32 blocks");
        match prf {
            Prf::HmacSha1 => {
                let chain = SHA1.chain(password, &SHA1.message(salt, index));
                put_words(out, &*Zeroizing::new(sha1(&chain, iterations)));
            }
            Prf::HmacSha256 => {
                let chain = SHA256.chain(password, &SHA256.message(salt, index));
                put_words(out, &*Zeroizing::new(sha256(&chain, iterations)));
            }
            Prf::HmacSha512 => {
                let chain = SHA512.chain(password, &SHA512.message(salt, index));
                put_words(out, &*Zeroizing::new(sha512(&chain, iterations)));
            }
        }
    }
}

/// Whether kernels of our own may be chosen. Without optimisation each instruction of them is a function call, while
/// the hash crates are optimised in every profile; tests call the kernels by name.
pub(crate) const OPTIMISED: bool = !cfg!(debug_assertions);

/// The fastest loop for one password that this processor can run.
#[cfg(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp"))]
pub(crate) fn sha1(chain: &Chain<u32, 5>, iterations: u32) -> [u32; 5] {
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if OPTIMISED && instructions::available() {
        let [sum] = instructions::sha1([chain], iterations);
        return sum;
    }
    SHA1.iterate(chain, iterations)
}

/// As [`sha1`].
#[cfg(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp"))]
pub(crate) fn sha256(chain: &Chain<u32, 8>, iterations: u32) -> [u32; 8] {
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if OPTIMISED && instructions::available() {
        let [sum] = instructions::sha256([chain], iterations);
        return sum;
    }
    SHA256.iterate(chain, iterations)
}

/// As [`sha1`].
#[cfg(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp"))]
pub(crate) fn sha512(chain: &Chain<u64, 8>, iterations: u32) -> [u64; 8] {
    SHA512.iterate(chain, iterations)
}

/// A hash function as its compression: `S` words of state, blocks of `B` octets.
pub(crate) struct Hash<W: 'static, const S: usize, const B: usize> {
    pub(crate) initial: [W; S],
    pub(crate) compress: fn(&mut [W; S], &[[u8; B]]),
}

pub(crate) static SHA1: Hash<u32, 5, 64> = Hash {
    initial: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
    compress: sha1::block_api::compress,
};

pub(crate) static SHA256: Hash<u32, 8, 64> = Hash {
    initial: [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ],
    compress: sha2::block_api::compress256,
};

pub(crate) static SHA512: Hash<u64, 8, 128> = Hash {
    initial: [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ],
    compress: sha2::block_api::compress512,
};

/// What the iterations start from: the states after the key's two blocks, and U_1.
pub(crate) struct Chain<W: Zeroize, const S: usize> {
    pub(crate) inner: [W; S],
    pub(crate) outer: [W; S],
    pub(crate) first: [W; S],
}

impl<W: Zeroize, const S: usize> Drop for Chain<W, S> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
        self.first.zeroize();
    }
}

impl<W: Zeroize, const S: usize> ZeroizeOnDrop for Chain<W, S> {}

impl<W: Word, const S: usize, const B: usize> Hash<W, S, B> {
    const OUTPUT: usize = S * W::LEN;

    /// The blocks that U_1 hashes after the key: salt, number of the output, padding. Every password shares them.
    pub(crate) fn message(&self, salt: &[u8], index: u32) -> Vec<[u8; B]> {
        padded(B, &[salt, &index.to_be_bytes()]).to_vec()
    }

    /// HMAC's two states after the key (RFC 2104), and U_1, the HMAC of `message`.
    pub(crate) fn chain(&self, password: &[u8], message: &[[u8; B]]) -> Chain<W, S> {
        let (inner, outer) = self.key_states(password);
        let mut first = inner;
        (self.compress)(&mut first, message);
        let mut block = self.output_block();
        put_words(&mut block[..Self::OUTPUT], &first);
        first = outer;
        (self.compress)(&mut first, &[*block]);
        Chain { inner, outer, first }
    }

    /// The inner and the outer state of HMAC after the key.
    pub(crate) fn key_states(&self, key: &[u8]) -> ([W; S], [W; S]) {
        let block = self.key_block(key);
        let state_after = |pad: u8| {
            let mut state = self.initial;
            (self.compress)(&mut state, &[*Zeroizing::new(block.map(|octet| octet ^ pad))]);
            state
        };
        (state_after(0x36), state_after(0x5c))
    }

    /// A key with zeros up to the length of a block; one that is longer is hashed first.
    pub(crate) fn key_block(&self, key: &[u8]) -> Zeroizing<[u8; B]> {
        let mut block = Zeroizing::new([0; B]);
        if key.len() > B {
            let mut state = Zeroizing::new(self.initial);
            (self.compress)(&mut state, &padded(0, &[key]));
            put_words(&mut block[..Self::OUTPUT], &*state);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        block
    }

    /// The loop over a crate's compression: everywhere, and what all others are tested against.
    pub(crate) fn iterate(&self, chain: &Chain<W, S>, iterations: u32) -> [W; S] {
        let mut block = self.output_block();
        put_words(&mut block[..Self::OUTPUT], &chain.first);
        let mut sum = chain.first;
        let mut state = Zeroizing::new(self.initial);
        for _ in 1..iterations {
            *state = chain.inner;
            (self.compress)(&mut state, &[*block]);
            put_words(&mut block[..Self::OUTPUT], &*state);
            *state = chain.outer;
            (self.compress)(&mut state, &[*block]);
            put_words(&mut block[..Self::OUTPUT], &*state);
            sum.iter_mut().zip(state.iter()).for_each(|(sum, word)| *sum = sum.xor(*word));
        }
        sum
    }

    /// Room for one output after one block of key: the end mark, zeros and the length in bits never change.
    fn output_block(&self) -> Zeroizing<[u8; B]> {
        let mut block = Zeroizing::new([0; B]);
        block[Self::OUTPUT] = 0x80;
        block[B - 8..].copy_from_slice(&(8 * (B + Self::OUTPUT) as u64).to_be_bytes());
        block
    }
}

/// A message cut into blocks, with the end mark and the length in bits, which counts `before` octets hashed already.
pub(crate) fn padded<const B: usize>(before: usize, parts: &[&[u8]]) -> Zeroizing<Vec<[u8; B]>> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    // The length takes an eighth of a block.
    let mut blocks = Zeroizing::new(vec![[0; B]; (len + 1 + B / 8).div_ceil(B)]);
    let octets = blocks.as_flattened_mut();
    let mut at = 0;
    for part in parts {
        octets[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    octets[len] = 0x80;
    let end = octets.len();
    octets[end - 8..].copy_from_slice(&(8 * (before + len) as u64).to_be_bytes());
    blocks
}

/// A word of the state: u32 or u64, big-endian outside.
pub(crate) trait Word: Copy + Default + Zeroize + 'static {
    const LEN: usize;

    fn xor(self, other: Self) -> Self;

    fn put(self, octets: &mut [u8]);
}

impl Word for u32 {
    const LEN: usize = 4;

    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    fn put(self, octets: &mut [u8]) {
        octets.copy_from_slice(&self.to_be_bytes()[..octets.len()]);
    }
}

impl Word for u64 {
    const LEN: usize = 8;

    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    fn put(self, octets: &mut [u8]) {
        octets.copy_from_slice(&self.to_be_bytes()[..octets.len()]);
    }
}

/// Writes as many octets of the words as there is room for.
pub(crate) fn put_words<W: Word>(out: &mut [u8], words: &[W]) {
    for (place, word) in out.chunks_mut(W::LEN).zip(words) {
        word.put(place);
    }
}

#[cfg(test)]
mod tests;
