//! Every value of an exchange, for files of vectors and their examples.

use zeroize::Zeroizing;

use super::credential::{Parameters, Verifier};
use super::dialect::Transcript;
use super::group::{Exponent, Share, client_exponent};
use crate::error::Result;
use crate::secret::SecretBytes;

/// What goes into an exchange.
pub(crate) struct Inputs<'a> {
    pub(crate) parameters: Parameters,
    pub(crate) username: &'a str,
    pub(crate) password: &'a SecretBytes,
    pub(crate) salt: &'a [u8],
    pub(crate) a: &'a [u8],
    pub(crate) b: &'a [u8],
    /// What a mechanism appends to M1 and to M2.
    pub(crate) appended: [&'a [u8]; 2],
}

/// What comes out; A, B, v and S as many octets as N.
pub(crate) struct Trace {
    pub(crate) k: Vec<u8>,
    pub(crate) x: Zeroizing<Vec<u8>>,
    pub(crate) verifier: Verifier,
    pub(crate) a: Vec<u8>,
    pub(crate) b: Vec<u8>,
    pub(crate) u: Zeroizing<Vec<u8>>,
    pub(crate) client_secret: Zeroizing<Vec<u8>>,
    pub(crate) server_secret: Zeroizing<Vec<u8>>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) m1: Zeroizing<Vec<u8>>,
    pub(crate) m2: Zeroizing<Vec<u8>>,
}

impl Inputs<'_> {
    /// Runs the exchange step by step.
    pub(crate) fn trace(&self) -> Result<Trace> {
        let Parameters { dialect, group, .. } = self.parameters;
        let ring = group.ring();
        let k = dialect.k(group);
        let x = self.parameters.x(self.username, self.password, self.salt)?;
        let verifier = Verifier::derive(&self.parameters, self.username, self.password, self.salt)?;
        let v = ring.residue(verifier.expose());
        let a = Share::own(&group.generator_power(self.a));
        let b = Share::own(&ring.server_share(&k, &v, self.b));
        let u = dialect.u(&a, &b)?;
        let exponent = client_exponent(self.a, &u, &x);
        let client_secret = ring.client_secret(&b, &k, &x, &exponent);
        let server_secret = ring.server_secret(&a, &v, &u, self.b);
        let transcript = Transcript {
            group,
            username: self.username.as_bytes(),
            salt: self.salt,
            a: &a,
            b: &b,
            appended: self.appended[0],
        };
        let keys = dialect.keys(&client_secret, &transcript);
        let m2 = dialect.m2(&a, &keys, self.appended[1]);
        let (a, b) = (a.padded().to_vec(), b.padded().to_vec());
        Ok(Trace { k, x, verifier, a, b, u, client_secret, server_secret, key: keys.key, m1: keys.m1, m2 })
    }
}

/// An exponent that was drawn elsewhere.
pub(crate) fn exponent(octets: &[u8]) -> Exponent {
    Exponent::new(octets.to_vec())
}
