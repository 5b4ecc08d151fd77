//! SRP's verifier in JSON (`docs/records.md`).

use zeroize::Zeroizing;

use super::credential::{PBKDF2_ITERATIONS_MAX, Parameters, Prehash, Verifier};
use super::dialect::{Dialect, Hash, Identity};
use super::group::{Group, Legacy};
use crate::error::{Error, Result};
use crate::json::{self, Object, Writer, bad};

/// The type of these records.
pub(crate) const TYPE: &str = "srp-verifier";

impl Verifier {
    /// The record as a JSON object, without the user's name. [`Verifier::from_json`] reads it back.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut record = Writer::new(TYPE);
        self.write_json(&mut record);
        record.finish()
    }

    /// Reads what [`Verifier::to_json`] wrote.
    ///
    /// # Errors
    /// [`records::rules`](crate::records::rules); [`rules::GROUP_TOO_SMALL`](super::rules::GROUP_TOO_SMALL),
    /// [`rules::UNKNOWN_GROUP`](super::rules::UNKNOWN_GROUP), [`rules::SALT_LENGTH`](super::rules::SALT_LENGTH),
    /// [`rules::BAD_VERIFIER`](super::rules::BAD_VERIFIER), and what the pre-hash is bounded by.
    pub fn from_json(text: &str, legacy: Legacy) -> Result<Self> {
        let mut record = Object::parse(text)?;
        let kind = record.kind()?;
        if *kind != TYPE {
            return Err(Error::new(&json::rules::UNKNOWN_TYPE).about(&*kind));
        }
        let verifier = Self::read_json(&mut record, legacy)?;
        record.end()?;
        Ok(verifier)
    }

    pub(crate) fn write_json(&self, record: &mut Writer) {
        record.text("hash", self.hash().name());
        record.number("group", self.group().bits());
        record.flag("name_in_x", self.identity() == Identity::Included);
        match self.prehash() {
            Prehash::None => record.null("prehash"),
            Prehash::Ksf(ksf) => record.object("prehash", |way| way.octets("ksf", &ksf.to_bytes())),
            Prehash::Pbkdf2(iterations) => {
                record.object("prehash", |way| way.number("pbkdf2_sha256", iterations));
            }
        }
        record.octets("salt", self.salt());
        record.octets("verifier", self.expose());
    }

    pub(crate) fn read_json(record: &mut Object, legacy: Legacy) -> Result<Self> {
        let hash: Hash = record.text("hash")?.parse().map_err(|_| bad("hash"))?;
        let group = Group::from_bits(record.number("group")?, legacy)?;
        let identity = if record.flag("name_in_x")? { Identity::Included } else { Identity::Omitted };
        let prehash = match record.object_or_null("prehash")? {
            None => Prehash::None,
            Some(way) => read_prehash(way)?,
        };
        let parameters =
            Parameters { dialect: Dialect { hash, identity, ..Dialect::RFC5054 }, group, prehash };
        Self::from_parts(&parameters, &record.octets("salt")?, &record.octets("verifier")?)
    }
}

fn read_prehash(mut way: Object) -> Result<Prehash> {
    let prehash = if way.has("ksf") {
        Prehash::Ksf(way.ksf("ksf")?)
    } else {
        match way.number("pbkdf2_sha256")? {
            iterations @ 1..=PBKDF2_ITERATIONS_MAX => Prehash::Pbkdf2(iterations),
            _ => return Err(bad("pbkdf2_sha256")),
        }
    };
    way.end()?;
    Ok(prehash)
}
