//! The members of a SCRAM record in JSON (`docs/records.md`).

use std::num::NonZeroU32;

use super::credential::StoredCredential;
use super::hash::HashFunction;
use crate::error::Result;
use crate::json::{Object, Writer, bad};

/// The type of these records.
pub(crate) const TYPE: &str = "scram";

impl StoredCredential {
    pub(crate) fn write_json(&self, record: &mut Writer) {
        record.text("hash", &self.hash().to_string());
        record.number("iterations", self.iterations().get());
        record.octets("salt", self.salt());
        record.octets("stored_key", self.stored_key());
        record.octets("server_key", self.server_key());
    }

    pub(crate) fn read_json(record: &mut Object) -> Result<Self> {
        let name = record.text("hash")?;
        let hash = HashFunction::ALL.into_iter().find(|hash| hash.to_string() == *name);
        let hash = hash.ok_or_else(|| bad("hash"))?;
        let iterations = NonZeroU32::new(record.number("iterations")?).ok_or_else(|| bad("iterations"))?;
        let salt = record.octets("salt")?;
        let (stored_key, server_key) = (record.octets("stored_key")?, record.octets("server_key")?);
        for (name, key) in [("stored_key", &stored_key), ("server_key", &server_key)] {
            if key.len() != hash.output_len() {
                return Err(bad(name));
            }
        }
        Self::from_parts(hash, &salt, iterations, &stored_key, &server_key)
    }
}
