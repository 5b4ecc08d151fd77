//! The server's side of SRP-6a in any dialect: [`Server`], [`ExpectClientProof`], done.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::credential::Verifier;
use super::dialect::{Dialect, Transcript};
use super::group::{Exponent, Share};
use super::{Established, rules};
use crate::error::{Error, Result};
use crate::registry;
use crate::secret::{SecretBytes, verify};

/// The server with a user's verifier and its exponent b, before it has A.
pub struct Server {
    dialect: Dialect,
    verifier: Verifier,
    exponent: Exponent,
    share: Share,
}

/// The server that has computed the key and waits for the client's proof.
pub struct ExpectClientProof {
    dialect: Dialect,
    verifier: Verifier,
    username: String,
    a: Share,
    b: Share,
    secret: Zeroizing<Vec<u8>>,
}

impl Server {
    /// Draws b and computes B.
    ///
    /// # Errors
    /// [`registry::rules::WRONG_CREDENTIAL`] when the verifier was made for another hash or way to compute x.
    pub fn start(dialect: Dialect, verifier: Verifier, rng: &mut dyn CryptoRng) -> Result<Self> {
        let exponent = verifier.group().random_exponent(rng);
        Self::with(dialect, verifier, exponent)
    }

    /// With an exponent that was drawn elsewhere, for published exchanges.
    pub(crate) fn with(dialect: Dialect, verifier: Verifier, exponent: Exponent) -> Result<Self> {
        if !verifier.fits(&dialect) {
            return Err(Error::new(&registry::rules::WRONG_CREDENTIAL));
        }
        let ring = verifier.group().ring();
        let v = ring.residue(verifier.expose());
        let share = Share::own(&ring.server_share(&dialect.k(verifier.group()), &v, &exponent));
        Ok(Self { dialect, verifier, exponent, share })
    }

    /// B, in the width of the dialect.
    #[must_use]
    pub fn public_value(&self) -> &[u8] {
        self.dialect.encoded(&self.share)
    }

    /// The salt, for the client.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        self.verifier.salt()
    }

    /// Takes A and computes the key.
    ///
    /// # Errors
    /// [`rules::SHARE_TOO_LONG`], [`rules::SHARE_ZERO`], [`rules::SHARE_TOO_LARGE`], [`rules::SHARE_TRIVIAL`],
    /// [`rules::ZERO_SCRAMBLER`].
    pub fn receive(self, username: &str, a: &[u8]) -> Result<ExpectClientProof> {
        let Self { dialect, verifier, exponent, share: b } = self;
        let a = Share::parse(verifier.group(), a)?;
        let u = dialect.u(&a, &b)?;
        let ring = verifier.group().ring();
        let secret = ring.server_secret(&a, &ring.residue(verifier.expose()), &u, &exponent);
        Ok(ExpectClientProof { dialect, verifier, username: username.to_owned(), a, b, secret })
    }
}

impl ExpectClientProof {
    /// Checks the client's M1; gives M2, to be sent, and what was established.
    ///
    /// # Errors
    /// [`rules::WRONG_CLIENT_PROOF`].
    pub fn finish(self, m1: &[u8]) -> Result<(Vec<u8>, Established)> {
        self.finish_with(m1, &[], &[])
    }

    /// As [`ExpectClientProof::finish`], with what a mechanism appends to M1 and to M2.
    pub(super) fn finish_with(self, m1: &[u8], to_m1: &[u8], to_m2: &[u8]) -> Result<(Vec<u8>, Established)> {
        let Self { dialect, verifier, username, a, b, secret } = self;
        let transcript = Transcript {
            group: verifier.group(),
            username: username.as_bytes(),
            salt: verifier.salt(),
            a: &a,
            b: &b,
            appended: to_m1,
        };
        let keys = dialect.keys(&secret, &transcript);
        let proof = verify(&keys.m1, m1).ok_or_else(|| Error::new(&rules::WRONG_CLIENT_PROOF))?;
        if verifier.is_simulated() {
            return Err(Error::new(&rules::WRONG_CLIENT_PROOF));
        }
        let m2 = dialect.m2(&a, &keys, to_m2).to_vec();
        Ok((m2, Established { proof, key: SecretBytes::new(keys.key.to_vec()) }))
    }
}
