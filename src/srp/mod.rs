//! SRP-6a, an augmented PAKE (RFC 5054, RFC 2945), in every dialect that is deployed, and its SASL mechanisms: `SRP`
//! as Cyrus SASL has it, and our own `SRP-SHA-256-PLUS` and `SRP-SHA-512-PLUS`, which are bound to the channel
//! (`docs/sasl-pake.md`).
//!
//! The server stores a [`Verifier`], from which nobody can log in. A listener learns nothing about the password, and an
//! impostor of either side can test one guess in each run with an honest party.
//!
//! [`Client`] and [`Server`] are the bare protocol; a [`Dialect`] says how exactly it is spoken.
//!
//! # Security
//! SRP's own password hash is fast. Who steals a verifier tests guesses with tables of powers of g, about 100,000 a second
//! and core at 2048 bits, whatever a single power costs the server. The -PLUS mechanisms therefore stretch every password with
//! Argon2id first; for the other dialects see [`Prehash`].
//!
//! All arithmetic on secrets is constant time; see [`group`] for how, and for what is wiped.

mod client;
mod credential;
mod dialect;
pub mod files;
pub mod group;
#[cfg(feature = "records")]
pub(crate) mod json;
pub mod plus;
pub mod rules;
pub mod sasl;
mod server;
#[cfg(feature = "vectors")]
pub(crate) mod trace;

use std::fmt;

pub use client::{Client, ExpectServerProof};
pub use credential::{
    PBKDF2_ITERATIONS_MAX, PREHASH_SALT_MIN, Parameters, Prehash, SALT_LEN, SALT_MAX, Verifier,
};
pub use dialect::{Dialect, HASH_MAX, Hash, Identity, KeyRule, Multiplier, ProofRule, Width};
pub use group::{Group, Legacy};
pub use server::{ExpectClientProof, Server};

use crate::secret::{ProofVerified, SecretBytes};

/// What an exchange established: it exists only after the peer's proof was checked.
pub struct Established {
    proof: ProofVerified,
    key: SecretBytes,
}

impl Established {
    /// K, as the dialect's [`KeyRule`] makes it.
    ///
    /// # Security
    /// K has been hashed into M1 and M2; feed it to a KDF with a label of your own.
    #[must_use]
    pub fn key(&self) -> &SecretBytes {
        &self.key
    }

    pub(crate) fn into_parts(self) -> (ProofVerified, SecretBytes) {
        (self.proof, self.key)
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Established(redacted)")
    }
}

/// The SASL mechanism that takes such a record, if one does.
#[cfg(feature = "records")]
pub(crate) fn mechanism_for(record: &Verifier) -> Option<crate::mechanism::MechanismName> {
    match (record.hash(), record.identity(), record.prehash()) {
        (Hash::Sha1, Identity::Included, Prehash::None) => Some(sasl::NAME),
        (hash, Identity::Included, Prehash::Ksf(_)) if record.group() >= Group::Bits3072 => {
            let suite = plus::Suite::ALL.into_iter().find(|suite| suite.hash() == hash)?;
            Some(suite.mechanism())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
