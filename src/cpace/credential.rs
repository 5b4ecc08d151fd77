//! The stored record: the prepared password itself.

use rand_core::CryptoRng;

use crate::error::Result;
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::{Credential, Work};
use crate::secret::Password;

/// The record for the server side: the password, prepared.
///
/// # Errors
/// When the password does not pass its preparation.
pub(crate) fn enroll(
    _: &MechanismName,
    _: &str,
    password: &Password,
    preparation: Preparation,
    _: &Work,
    _: &mut dyn CryptoRng,
) -> Result<Credential> {
    let prepared = preparation.prepare(password)?;
    let text = std::str::from_utf8(prepared.expose()).expect("preparation gives UTF-8");
    Ok(Credential::Password(Password::new(text)))
}
