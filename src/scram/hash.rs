//! The hash functions of the family, and the keys they give.

use std::fmt;

use digest::{Digest, FixedOutput, KeyInit, Mac};
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use sha3::Sha3_512;
use zeroize::Zeroize;

/// Longest output of a hash function here, in octets.
pub(crate) const OUTPUT_MAX: usize = 64;

/// H of RFC 5802: the hash function that a mechanism is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashFunction {
    /// SHA-1, 20 octets (RFC 5802). For old peers only.
    Sha1,
    /// SHA-256, 32 octets (RFC 7677).
    Sha256,
    /// SHA-512, 64 octets (draft-melnikov-scram-sha-512).
    Sha512,
    /// SHA3-512, 64 octets (draft-melnikov-scram-sha3-512).
    Sha3_512,
}

impl HashFunction {
    /// All of them, strongest first.
    pub const ALL: [Self; 4] = [Self::Sha512, Self::Sha3_512, Self::Sha256, Self::Sha1];

    /// The name of the mechanism without -PLUS, which also names the scheme of a stored record (RFC 5803).
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
            Self::Sha3_512 => "SCRAM-SHA3-512",
        }
    }

    /// Octets of its output.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// The iteration count of new records: what OWASP asks for with PBKDF2 over this hash.
    ///
    /// OWASP has no number for SHA3-512. It gets that of SHA-512: two permutations an iteration take a defender
    /// about as long as two compressions of SHA-512.
    #[must_use]
    pub const fn default_iterations(self) -> u32 {
        match self {
            Self::Sha1 => 1_400_000,
            Self::Sha256 => 600_000,
            Self::Sha512 | Self::Sha3_512 => 220_000,
        }
    }

    /// H(data).
    pub(crate) fn digest(self, data: &[u8]) -> Key {
        match self {
            Self::Sha1 => Key::of(Sha1::new_with_prefix(data)),
            Self::Sha256 => Key::of(Sha256::new_with_prefix(data)),
            Self::Sha512 => Key::of(Sha512::new_with_prefix(data)),
            Self::Sha3_512 => Key::of(Sha3_512::new_with_prefix(data)),
        }
    }

    /// HMAC(key, data).
    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Key {
        match self {
            Self::Sha1 => Key::of(keyed::<Hmac<Sha1>>(key).chain_update(data)),
            Self::Sha256 => Key::of(keyed::<Hmac<Sha256>>(key).chain_update(data)),
            Self::Sha512 => Key::of(keyed::<Hmac<Sha512>>(key).chain_update(data)),
            Self::Sha3_512 => Key::of(keyed::<Hmac<Sha3_512>>(key).chain_update(data)),
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.scheme()["SCRAM-".len()..])
    }
}

/// HMAC under `key`, before the first octet of data.
pub(crate) fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Puts the output of `hash` at the start of `out`, which must have room for it.
pub(crate) fn finalize_into<H: FixedOutput>(hash: H, out: &mut [u8]) {
    let out = &mut out[..H::output_size()];
    hash.finalize_into(out.try_into().expect("the slice has the length of the output"));
}

/// One output of a hash function, kept in place: no allocation, wiped on drop.
#[derive(Clone)]
pub(crate) struct Key {
    octets: [u8; OUTPUT_MAX],
    len: usize,
}

impl Key {
    /// # Panics
    /// When there are more octets than the longest hash has.
    pub(crate) fn new(octets: &[u8]) -> Self {
        let mut key = Self { octets: [0; OUTPUT_MAX], len: octets.len() };
        key.octets[..octets.len()].copy_from_slice(octets);
        key
    }

    /// The output of `hash`, written in place, so that no copy is left on the stack.
    fn of<H: FixedOutput>(hash: H) -> Self {
        let mut key = Self { octets: [0; OUTPUT_MAX], len: H::output_size() };
        finalize_into(hash, &mut key.octets);
        key
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// Both must be of one hash function.
    pub(crate) fn xor(mut self, other: &Self) -> Self {
        debug_assert_eq!(self.len, other.len);
        self.octets.iter_mut().zip(other.expose()).for_each(|(a, b)| *a ^= b);
        self
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // Beyond the length there never was anything.
        self.octets[..self.len].zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} octets, redacted)", self.len)
    }
}
