//! What SRP-6a leaves open and implementations decided differently, as data.

use std::fmt;
use std::str::FromStr;

use digest::{Digest, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::group::{Group, Share, minimal};
use super::rules;
use crate::error::{Error, Result};

/// Longest output of a hash here, in octets.
pub const HASH_MAX: usize = 64;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-1: what RFC 5054 and SASL SRP fix. Its known collisions do not break SRP; choose a longer one where you can.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512. With it the client's exponent has 1024 bits, which makes its login about 2.5 times as long as SHA-256.
    Sha512,
}

/// How a number becomes octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum Width {
    /// Without leading zero octets.
    Minimal,
    /// As many octets as N: `PAD` of RFC 5054 section 2.1.
    Padded,
}

/// k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Multiplier {
    /// H(N | g), with g of this width (SRP-6a).
    Hashed(Width),
    /// 3 (SRP-6).
    Three,
}

/// x: what is hashed under the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// H(I | ":" | P).
    ///
    /// User "a" with password "b:c" has then the same hash as user "a:b" with password "c"; the salts keep them apart.
    Included,
    /// H(":" | P): the user may be renamed.
    Omitted,
}

/// K from S.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRule {
    /// H(S).
    Hashed,
    /// SHA_Interleave(S) (RFC 2945 section 3.1): twice as long as the hash.
    Interleaved,
    /// H(S | 00000000) | H(S | 00000001), as MGF1 (RFC 8017 appendix B.2.1) begins.
    Mgf1,
    /// S itself.
    Raw,
}

/// M1; M2 is H(A | M1 | K) with every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProofRule {
    /// H(H(N) XOR H(g) | H(I) | s | A | B | K), with g of this width (RFC 2945 section 3).
    Full(Width),
    /// H(A | B | S).
    Secret,
}

/// One way to speak SRP-6a. Both sides, and the verifier, must agree on all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_structs,
    reason = "made by callers for peers we do not know, who should decide on every field"
)]
pub struct Dialect {
    /// The hash of all steps.
    pub hash: Hash,
    /// k.
    pub multiplier: Multiplier,
    /// A and B in u = H(A | B).
    pub scrambler: Width,
    /// A and B on the wire, in M1 and in M2.
    pub shares: Width,
    /// S in K and in M1.
    pub secret: Width,
    /// Whether the user name is part of x.
    pub identity: Identity,
    /// K.
    pub key: KeyRule,
    /// M1.
    pub proof: ProofRule,
}

impl Dialect {
    /// RFC 5054 with the proofs of RFC 2945 and K = H(S), SHA-1. TLS takes S itself as premaster secret:
    /// [`KeyRule::Raw`].
    pub const RFC5054: Self = Self {
        hash: Hash::Sha1,
        multiplier: Multiplier::Hashed(Width::Padded),
        scrambler: Width::Padded,
        shares: Width::Minimal,
        secret: Width::Minimal,
        identity: Identity::Included,
        key: KeyRule::Hashed,
        proof: ProofRule::Full(Width::Minimal),
    };

    /// The SASL mechanism `SRP` as Cyrus SASL deploys it (draft-burdis-cat-srp-sasl-08): SRP-6, SHA-1.
    pub const SASL: Self = Self { multiplier: Multiplier::Three, scrambler: Width::Minimal, ..Self::RFC5054 };

    /// Apple's HomeKit Accessory Protocol: SHA-512, everything padded; its group is the one of 3072 bits.
    pub const HOMEKIT: Self =
        Self { hash: Hash::Sha512, shares: Width::Padded, secret: Width::Padded, ..Self::RFC5054 };

    /// Apple's account login: SHA-256, no name in x; its group is the one of 2048 bits, and the password goes through
    /// [`Prehash::Pbkdf2`](super::Prehash::Pbkdf2).
    pub const APPLE_GSA: Self = Self {
        hash: Hash::Sha256,
        identity: Identity::Omitted,
        proof: ProofRule::Full(Width::Padded),
        ..Self::RFC5054
    };

    /// Python's srptools, with its default hash SHA-1.
    pub const SRPTOOLS: Self = Self::RFC5054;

    /// Python's srp as it comes, SHA-1: nothing is padded.
    pub const PYSRP: Self =
        Self { multiplier: Multiplier::Hashed(Width::Minimal), scrambler: Width::Minimal, ..Self::RFC5054 };

    /// Python's srp after `rfc5054_enable()`, SHA-1: g is padded in M1 too.
    pub const PYSRP_RFC5054: Self = Self { proof: ProofRule::Full(Width::Padded), ..Self::RFC5054 };

    /// The Rust crate srp 0.6, SHA-1: S itself is the key.
    pub const RUSTCRYPTO_0_6: Self = Self {
        scrambler: Width::Minimal,
        key: KeyRule::Raw,
        proof: ProofRule::Secret,
        identity: Identity::Included,
        ..Self::RFC5054
    };

    /// The Rust crate srp 0.7, SHA-1.
    pub const RUSTCRYPTO_0_7: Self = Self { proof: ProofRule::Full(Width::Padded), ..Self::RFC5054 };

    /// Mozilla's PiCL (node-srp): SHA-256, padded.
    pub const PICL: Self = Self {
        hash: Hash::Sha256,
        shares: Width::Padded,
        secret: Width::Padded,
        proof: ProofRule::Secret,
        ..Self::RFC5054
    };

    /// What `SRP-SHA-256-PLUS` and, with the other hash, `SRP-SHA-512-PLUS` run: everything padded.
    pub const PLUS: Self = Self {
        hash: Hash::Sha256,
        shares: Width::Padded,
        secret: Width::Padded,
        proof: ProofRule::Full(Width::Padded),
        ..Self::RFC5054
    };

    /// The same with another hash.
    #[must_use]
    pub const fn with_hash(self, hash: Hash) -> Self {
        Self { hash, ..self }
    }

    /// k.
    pub(super) fn k(&self, group: Group) -> Vec<u8> {
        match self.multiplier {
            Multiplier::Hashed(width) => {
                self.hash.digest(&[group.modulus(), &generator(group, width)]).to_vec()
            }
            Multiplier::Three => vec![3],
        }
    }

    /// x, from the password as it is after its preparation and pre-hash.
    pub(super) fn x(&self, username: &[u8], password: &[u8], salt: &[u8]) -> Zeroizing<Vec<u8>> {
        let username = match self.identity {
            Identity::Included => username,
            Identity::Omitted => &[],
        };
        self.hash.digest(&[salt, &self.hash.digest(&[username, b":", password])])
    }

    /// u.
    ///
    /// # Errors
    /// [`rules::ZERO_SCRAMBLER`].
    pub(super) fn u(&self, a: &Share, b: &Share) -> Result<Zeroizing<Vec<u8>>> {
        let u = self.hash.digest(&[octets(a, self.scrambler), octets(b, self.scrambler)]);
        not_zero(&u)?;
        Ok(u)
    }

    /// A or B as they go over the wire.
    pub(super) fn encoded<'a>(&self, share: &'a Share) -> &'a [u8] {
        octets(share, self.shares)
    }

    /// K, M1 and M2.
    pub(super) fn keys(&self, secret: &[u8], transcript: &Transcript<'_>) -> Keys {
        let secret = match self.secret {
            Width::Minimal => minimal(secret),
            Width::Padded => secret,
        };
        let key = self.key(secret);
        let (a, b) = (self.encoded(transcript.a), self.encoded(transcript.b));
        let m1 = match self.proof {
            ProofRule::Full(width) => {
                let mut group = self.hash.digest(&[transcript.group.modulus()]);
                let g = self.hash.digest(&[&generator(transcript.group, width)]);
                group.iter_mut().zip(g.iter()).for_each(|(n, g)| *n ^= g);
                let name = self.hash.digest(&[transcript.username]);
                self.hash.digest(&[&group, &name, transcript.salt, a, b, &key, transcript.appended])
            }
            ProofRule::Secret => self.hash.digest(&[a, b, secret, transcript.appended]),
        };
        Keys { key, m1 }
    }

    /// M2, with whatever a mechanism appends.
    pub(super) fn m2(&self, a: &Share, keys: &Keys, appended: &[u8]) -> Zeroizing<Vec<u8>> {
        self.hash.digest(&[self.encoded(a), &keys.m1, &keys.key, appended])
    }

    fn key(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        match self.key {
            KeyRule::Hashed => self.hash.digest(&[secret]),
            KeyRule::Interleaved => self.interleave(secret),
            KeyRule::Mgf1 => {
                let mut key = Zeroizing::new(Vec::with_capacity(2 * HASH_MAX));
                for counter in [0_u32, 1] {
                    key.extend_from_slice(&self.hash.digest(&[secret, &counter.to_be_bytes()]));
                }
                key
            }
            KeyRule::Raw => Zeroizing::new(secret.to_vec()),
        }
    }

    /// SHA_Interleave (RFC 2945 section 3.1).
    fn interleave(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let secret = minimal(secret);
        let secret = &secret[secret.len() % 2..];
        let every_other = |first: usize| {
            self.hash.digest(&[&Zeroizing::new(
                secret[first.min(secret.len())..].iter().step_by(2).copied().collect::<Vec<_>>(),
            )])
        };
        let (even, odd) = (every_other(0), every_other(1));
        Zeroizing::new(even.iter().zip(odd.iter()).flat_map(|(even, odd)| [*even, *odd]).collect())
    }
}

/// What M1 is about.
pub(super) struct Transcript<'a> {
    pub(super) group: Group,
    pub(super) username: &'a [u8],
    pub(super) salt: &'a [u8],
    pub(super) a: &'a Share,
    pub(super) b: &'a Share,
    /// What a mechanism adds at the end of M1.
    pub(super) appended: &'a [u8],
}

/// K and M1.
pub(super) struct Keys {
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) m1: Zeroizing<Vec<u8>>,
}

/// Refuses u = 0.
pub(super) fn not_zero(u: &[u8]) -> Result<()> {
    if u.iter().all(|octet| *octet == 0) {
        return Err(Error::new(&rules::ZERO_SCRAMBLER));
    }
    Ok(())
}

fn octets(share: &Share, width: Width) -> &[u8] {
    match width {
        Width::Minimal => share.minimal(),
        Width::Padded => share.padded(),
    }
}

fn generator(group: Group, width: Width) -> Vec<u8> {
    match width {
        Width::Minimal => vec![group.generator()],
        Width::Padded => group.pad(&[group.generator()]),
    }
}

impl Hash {
    /// All of them, shortest output first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Octets of the output: 20 to [`HASH_MAX`].
    #[must_use]
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name in the IANA registry of textual hash names, as records have it: `SHA-256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The hash of all parts, one after the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        fn all<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            let mut hash = D::new();
            parts.iter().for_each(|part| hash.update(part));
            Zeroizing::new(hash.finalize().to_vec())
        }
        match self {
            Self::Sha1 => all::<Sha1>(parts),
            Self::Sha256 => all::<Sha256>(parts),
            Self::Sha384 => all::<Sha384>(parts),
            Self::Sha512 => all::<Sha512>(parts),
        }
    }

    /// HMAC of all parts, one after the other.
    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        fn all<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            Zeroizing::new(mac.finalize().into_bytes().to_vec())
        }
        match self {
            Self::Sha1 => all::<Hmac<Sha1>>(key, parts),
            Self::Sha256 => all::<Hmac<Sha256>>(key, parts),
            Self::Sha384 => all::<Hmac<Sha384>>(key, parts),
            Self::Sha512 => all::<Hmac<Sha512>>(key, parts),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Hash {
    type Err = Error;

    /// Reads [`Hash::name`].
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|hash| hash.name() == name)
            .ok_or_else(|| Error::new(&rules::BAD_RECORD).about(name))
    }
}
