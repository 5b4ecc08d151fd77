//! The members of an OPAQUE record in JSON (`docs/records.md`).

use std::sync::Arc;

use super::credential::Record;
use super::protocol::ServerKeys;
use crate::error::Result;
use crate::json::{Object, Writer};

/// The type of these records.
pub(crate) const TYPE: &str = "opaque";

impl Record {
    pub(crate) fn write_json(&self, record: &mut Writer) {
        record.octets("ksf", &self.ksf().to_bytes());
        record.octets("server_keys", &self.keys().to_bytes());
        record.octets("upload", self.upload().as_slice());
    }

    pub(crate) fn read_json(record: &mut Object) -> Result<Self> {
        let ksf = record.ksf("ksf")?;
        let keys = ServerKeys::from_bytes(&*record.array("server_keys")?)?;
        Self::new(Arc::new(keys), ksf, &*record.array("upload")?)
    }
}
