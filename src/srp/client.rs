//! The client's side of SRP-6a in any dialect: [`Client`], [`ExpectServerProof`], done.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::credential::Parameters;
use super::dialect::{Keys, Transcript};
use super::group::{Exponent, Share, client_exponent};
use super::{Established, rules};
use crate::error::{Error, Result};
use crate::secret::{SecretBytes, verify};

/// The client with its exponent a, before it has B.
pub struct Client {
    parameters: Parameters,
    exponent: Exponent,
    share: Share,
}

/// The client that has computed its proof and waits for the server's.
pub struct ExpectServerProof {
    parameters: Parameters,
    a: Share,
    keys: Keys,
}

impl Client {
    /// Draws a and computes A.
    #[must_use]
    pub fn start(parameters: Parameters, rng: &mut dyn CryptoRng) -> Self {
        Self::with(parameters, parameters.group.random_exponent(rng))
    }

    /// With an exponent that was drawn elsewhere, for published exchanges.
    pub(crate) fn with(parameters: Parameters, exponent: Exponent) -> Self {
        let share = Share::own(&parameters.group.generator_power(&exponent));
        Self { parameters, exponent, share }
    }

    /// A, in the width of the dialect.
    #[must_use]
    pub fn public_value(&self) -> &[u8] {
        self.parameters.dialect.encoded(&self.share)
    }

    /// Takes the salt and B, and computes the key and the proof. The password is what its preparation gave; the
    /// pre-hash is done here.
    ///
    /// # Errors
    /// [`rules::SHARE_TOO_LONG`], [`rules::SHARE_ZERO`], [`rules::SHARE_TOO_LARGE`], [`rules::SHARE_TRIVIAL`],
    /// [`rules::ZERO_SCRAMBLER`], [`rules::EMPTY_PASSWORD`], [`rules::SALT_LENGTH`], and those of the pre-hash.
    pub fn respond(
        self,
        username: &str,
        password: &SecretBytes,
        salt: &[u8],
        b: &[u8],
    ) -> Result<ExpectServerProof> {
        let b = Share::parse(self.parameters.group, b)?;
        self.respond_with(username, password, salt, &b, &[])
    }

    /// As [`Client::respond`], with what a mechanism appends to M1.
    pub(super) fn respond_with(
        self,
        username: &str,
        password: &SecretBytes,
        salt: &[u8],
        b: &Share,
        appended: &[u8],
    ) -> Result<ExpectServerProof> {
        let Self { parameters, exponent, share } = self;
        let Parameters { dialect, group, .. } = parameters;
        let u = dialect.u(&share, b)?;
        let x = parameters.x(username, password, salt)?;
        let secret = secret(&parameters, &exponent, b, &u, &x);
        let username = username.as_bytes();
        let keys = dialect.keys(&secret, &Transcript { group, username, salt, a: &share, b, appended });
        Ok(ExpectServerProof { parameters, a: share, keys })
    }
}

fn secret(parameters: &Parameters, a: &[u8], b: &Share, u: &[u8], x: &[u8]) -> Zeroizing<Vec<u8>> {
    let k = parameters.dialect.k(parameters.group);
    parameters.group.ring().client_secret(b, &k, x, &client_exponent(a, u, x))
}

impl ExpectServerProof {
    /// M1, to be sent: as many octets as the hash has.
    #[must_use]
    pub fn proof(&self) -> &[u8] {
        &self.keys.m1
    }

    /// Checks the server's M2.
    ///
    /// # Errors
    /// [`rules::WRONG_SERVER_PROOF`]: then nothing may be sent or believed on this connection.
    pub fn finish(self, m2: &[u8]) -> Result<Established> {
        self.finish_with(m2, &[])
    }

    /// As [`ExpectServerProof::finish`], with what a mechanism appends to M2.
    pub(super) fn finish_with(self, m2: &[u8], appended: &[u8]) -> Result<Established> {
        let expected = self.parameters.dialect.m2(&self.a, &self.keys, appended);
        let proof = verify(&expected, m2).ok_or_else(|| Error::new(&rules::WRONG_SERVER_PROOF))?;
        Ok(Established { proof, key: SecretBytes::new(self.keys.key.to_vec()) })
    }
}
