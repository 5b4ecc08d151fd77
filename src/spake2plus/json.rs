//! The members of a SPAKE2+ record in JSON (`docs/records.md`).

use super::credential::{Record, VerifierSecret};
use super::group::Group;
use crate::error::Result;
use crate::json::{Object, Writer};

/// The type of these records.
pub(crate) const TYPE: &str = "spake2plus";

impl<G: Group> Record<G> {
    /// # Errors
    /// As [`Record::to_bytes`].
    pub(crate) fn write_json(&self, record: &mut Writer) -> Result<()> {
        let secret = self.verifier_secret().to_bytes()?;
        let (w0, l) = secret.split_at(super::SCALAR_LEN);
        record.octets("ksf", &self.ksf().to_bytes());
        record.octets("salt", self.salt());
        record.octets("w0", w0);
        record.octets("L", l);
        Ok(())
    }

    pub(crate) fn read_json(record: &mut Object) -> Result<Self> {
        let (ksf, salt) = (record.ksf("ksf")?, record.array("salt")?);
        let secret = VerifierSecret::from_bytes(&*record.array("w0")?, &record.octets("L")?)?;
        Ok(Self::from_parts(ksf, &salt, secret))
    }
}
