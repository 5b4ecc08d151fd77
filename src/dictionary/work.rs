//! How much one guess is, in units that do not depend on a machine.

use std::fmt;

/// A unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A compression of SHA-1.
    Sha1,
    /// A compression of SHA-256.
    Sha256,
    /// A compression of SHA-512 or SHA-384.
    Sha512,
    /// A permutation of Keccak-f\[1600\].
    Keccak,
    /// A modular multiplication of numbers of so many bits.
    Multiplication {
        /// Bits of the modulus.
        bits: u32,
    },
    /// A multiplication of a point of ristretto255, with the hash onto the group before it.
    RistrettoPower,
    /// A run of Argon2id.
    Argon2id {
        /// Memory in KiB.
        memory: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// A run of scrypt.
    Scrypt {
        /// log2 N.
        log_n: u32,
        /// r.
        block: u32,
        /// p.
        lanes: u32,
    },
}

impl Unit {
    fn name(self, count: u64) -> String {
        let s = if count == 1 { "" } else { "s" };
        match self {
            Self::Sha1 => format!("SHA-1 compression{s}"),
            Self::Sha256 => format!("SHA-256 compression{s}"),
            Self::Sha512 => format!("SHA-512 compression{s}"),
            Self::Keccak => format!("Keccak permutation{s}"),
            Self::Multiplication { bits } => format!("multiplication{s} of {bits} bits"),
            Self::RistrettoPower => format!("multiplication{s} on ristretto255"),
            Self::Argon2id { memory, passes, lanes } => {
                format!("Argon2id (m={memory} KiB, t={passes}, p={lanes})")
            }
            Self::Scrypt { log_n, block, lanes } => format!("scrypt (N=2^{log_n}, r={block}, p={lanes})"),
        }
    }
}

/// The work of one guess, its heaviest part first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuessWork(Vec<(Unit, u64)>);

impl GuessWork {
    pub(super) fn new(parts: impl IntoIterator<Item = (Unit, u64)>) -> Self {
        Self(parts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// Each unit and how many of it.
    #[must_use]
    pub fn parts(&self) -> &[(Unit, u64)] {
        &self.0
    }

    /// The same work and more.
    pub(super) fn and(mut self, unit: Unit, count: u64) -> Self {
        match self.0.iter_mut().find(|(known, _)| *known == unit) {
            Some((_, known)) => *known += count,
            None if count > 0 => self.0.push((unit, count)),
            None => {}
        }
        self
    }
}

impl fmt::Display for GuessWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|(unit, count)| format!("{count} {}", unit.name(*count)));
        f.pad(&parts.collect::<Vec<_>>().join(" + "))
    }
}

#[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
impl GuessWork {
    /// A run of a slow hash for `len` octets of output; more of them cost more where it is PBKDF2.
    #[must_use]
    pub fn stretching(ksf: crate::ksf::Ksf, len: usize) -> Self {
        let bytes = ksf.to_bytes();
        let number = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let unit = match bytes[0] {
            1 => Unit::Argon2id { memory: number(1), passes: number(5), lanes: number(9) },
            2 => Unit::Scrypt { log_n: number(1), block: number(5), lanes: number(9) },
            3 => {
                // The key inside and outside, once; then two for each iteration of each 32 octets.
                let iterations = 2 * u64::from(number(1)) * len.div_ceil(32) as u64;
                return Self(vec![(Unit::Sha256, 2 + iterations)]);
            }
            _ => return Self(Vec::new()),
        };
        Self(vec![(unit, 1)])
    }
}

/// Blocks of `block` octets that a message takes with its end mark and length: 8 octets of length for blocks of 64, 16
/// for those of 128.
pub(super) fn blocks(len: usize, block: usize) -> u64 {
    (len + 1 + block / 8).div_ceil(block) as u64
}

/// Compressions of an HMAC: the key and the message, then the key again and the inner hash. A key longer than a block is
/// hashed first.
pub(super) fn hmac(key: usize, message: usize, block: usize) -> u64 {
    let long = if key > block { blocks(key, block) } else { 0 };
    long + blocks(block + message, block) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_at_the_edges() {
        assert_eq!([0, 55, 56, 119, 120].map(|len| blocks(len, 64)), [1, 1, 2, 2, 3]);
        assert_eq!([0, 111, 112].map(|len| blocks(len, 128)), [1, 1, 2]);
        // Key inside and outside, one block of message, one of output.
        assert_eq!([hmac(32, 32, 64), hmac(64, 55, 64), hmac(32, 56, 64), hmac(65, 0, 64)], [4, 4, 5, 6]);
    }

    #[test]
    fn work_is_told_in_words() {
        let work =
            GuessWork::new([(Unit::Argon2id { memory: 19456, passes: 2, lanes: 1 }, 1), (Unit::Sha1, 0)]);
        let work =
            work.and(Unit::Sha256, 1).and(Unit::Sha256, 1).and(Unit::Multiplication { bits: 3072 }, 15);
        assert_eq!(
            work.to_string(),
            "1 Argon2id (m=19456 KiB, t=2, p=1) + 2 SHA-256 compressions + 15 multiplications of 3072 bits"
        );
    }
}
