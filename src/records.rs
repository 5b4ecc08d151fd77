//! Stored records as text: JSON that holds every one of them (`docs/records.md`), and the lines that other programs
//! keep.
//!
//! ```
//! use countersign::prep::Preparation;
//! use countersign::records::{Format, Record};
//! use countersign::registry::Work;
//! use countersign::{Password, system_rng};
//!
//! # #[cfg(feature = "scram")]
//! # fn main() -> countersign::Result<()> {
//! let (mut rng, mechanism, password) = (system_rng(), "SCRAM-SHA-256".parse()?, Password::new("pencil"));
//! let work = Work::default().with_iterations(4096);
//! let made = Record::enroll(&mechanism, "alice", &password, Preparation::default(), &work, &mut rng)?;
//! let line = made.write(Format::PostgreSql)?;
//!
//! let read = Record::read(&line)?;
//! assert!(read[0].check(&password, &mut rng)?);
//! assert!(!read[0].check(&Password::new("pen"), &mut rng)?);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "scram"))]
//! # fn main() {}
//! ```
//!
//! # Security
//! Each of these texts lets its thief do what [`Properties::thief`](crate::mechanism::Properties::thief) says; keep
//! them where only the server can read. Weak old records, with few iterations or in a small group, are read too: what
//! a record costs its thief stands in [`Credential::work`].

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::json::{self, Object, Writer};
use crate::mechanism::{Guessing, MechanismName};
use crate::prep::{self, Preparation};
use crate::registry::{self, Credential, Work, family};
use crate::secret::Password;

mod lines;
pub mod rules;

pub use crate::json::RECORD_MAX;

/// Longest text that is read, in octets.
pub const TEXT_MAX: usize = 16 << 20;

/// The type of a record that is the password itself.
const PASSWORD_TYPE: &str = "password";

/// A way to write a record down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// JSON objects (`docs/records.md`): everything.
    #[default]
    Json,
    /// What PostgreSQL has in `rolpassword`, one in each line: SCRAM, without the user.
    PostgreSql,
    /// Attributes `authPassword` of LDIF (RFC 5803, RFC 2849): SCRAM, without the user.
    Ldap,
    /// Lines of an OpenSSL srpvfile: SRP with SHA-1.
    OpenSsl,
    /// Lines of a GnuTLS tpasswd: SRP with SHA-1.
    GnuTls,
    /// The value of Cyrus SASL's property `cmusaslsecretSRP`: SRP with SHA-1 and 2048 bits, without the user.
    Cyrus,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::PostgreSql, Self::Ldap, Self::OpenSsl, Self::GnuTls, Self::Cyrus];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::PostgreSql => "postgresql",
            Self::Ldap => "ldap",
            Self::OpenSsl => "openssl",
            Self::GnuTls => "gnutls",
            Self::Cyrus => "cyrus",
        }
    }

    /// How passwords are prepared before records of this format are made. JSON says it in each record.
    #[must_use]
    pub fn preparation(self) -> Preparation {
        match self {
            Self::Json | Self::PostgreSql | Self::Ldap => Preparation::SaslPrep,
            Self::OpenSsl | Self::GnuTls | Self::Cyrus => Preparation::None,
        }
    }

    /// The format of a text, from its first line that says something.
    ///
    /// # Errors
    /// [`rules::EMPTY`], [`rules::UNKNOWN_FORMAT`].
    pub fn detect(text: &str) -> Result<Self> {
        lines::detect(text)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::new(&rules::UNKNOWN_FORMAT).about(name))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A stored record, with the name of its user where that is known.
#[derive(Clone, Debug)]
pub struct Record {
    user: Option<String>,
    mechanism: Option<MechanismName>,
    preparation: Preparation,
    credential: Credential,
}

impl Record {
    /// A new record, with the given work factors in place of the defaults.
    ///
    /// # Errors
    /// [`registry::rules::UNKNOWN_MECHANISM`]; [`rules::WORK_NOT_APPLICABLE`] for a work factor that the mechanism does
    /// not have; what the preparation refuses in name and password, and what the mechanism refuses.
    pub fn enroll(
        mechanism: &MechanismName,
        user: &str,
        password: &Password,
        preparation: Preparation,
        work: &Work,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        let user = prep::user_name(user)?;
        let registered = registry::find(mechanism)?;
        let credential = registered.enroll_with(&user, password, preparation, work, rng)?;
        check_applied(work, &credential.work(), mechanism)?;
        Self::new(Some(&user), Some(mechanism), preparation, credential)
    }

    /// From its parts. The mechanism follows from most credentials; a password does not say for which it is meant.
    ///
    /// # Errors
    /// [`registry::rules::WRONG_CREDENTIAL`] when mechanism and credential do not belong together;
    /// [`prep::rules::EMPTY`] and [`prep::rules::TOO_LONG`] for the name.
    pub fn new(
        user: Option<&str>,
        mechanism: Option<&MechanismName>,
        preparation: Preparation,
        credential: Credential,
    ) -> Result<Self> {
        let user = user.map(check_user).transpose()?;
        let wrong = |name: &str| Error::new(&registry::rules::WRONG_CREDENTIAL).about(name);
        let mechanism = match (mechanism_of(&credential), mechanism, &credential) {
            (None, Some(name), Credential::Password(_)) => {
                // A mechanism with records of its own has no use for the password.
                if registry::find(name)?.properties().thief != Guessing::Immediate {
                    return Err(wrong(name.as_str()));
                }
                Some(name.clone())
            }
            (None, None, Credential::Password(_)) => return Err(wrong("no mechanism is named")),
            (Some(own), Some(name), _) if family(&own) != family(name) => return Err(wrong(name.as_str())),
            (None, Some(name), _) => return Err(wrong(name.as_str())),
            (own, ..) => own,
        };
        Ok(Self { user, mechanism, preparation, credential })
    }

    /// Reads all records of a text, in whichever [`Format`] it is; at least one.
    ///
    /// # Errors
    /// [`rules`], with the number of the line; those of the families for records that are damaged.
    pub fn read(text: &str) -> Result<Vec<Self>> {
        check_text(text)?;
        Self::read_as(text, Format::detect(text)?)
    }

    /// Reads all records of a text in this format; at least one.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn read_as(text: &str, format: Format) -> Result<Vec<Self>> {
        Self::read_with(text, format, None)
    }

    /// Reads all records of a tpasswd; `conf` is the text of the tpasswd.conf beside it, which says what the indices of
    /// groups stand for.
    ///
    /// # Errors
    /// As [`Record::read`].
    #[cfg(feature = "srp")]
    pub fn read_gnutls(text: &str, conf: &str) -> Result<Vec<Self>> {
        check_text(conf)?;
        Self::read_with(text, Format::GnuTls, Some(conf))
    }

    fn read_with(text: &str, format: Format, conf: Option<&str>) -> Result<Vec<Self>> {
        check_text(text)?;
        let records = match format {
            Format::Json => Object::parse_all(text)?
                .into_iter()
                .map(|(line, object)| from_json(object).map_err(|error| json::at_line(line, &error)))
                .collect::<Result<Vec<_>>>()?,
            _ => lines::read(text, format, conf)?,
        };
        if records.is_empty() {
            return Err(Error::new(&rules::EMPTY));
        }
        Ok(records)
    }

    /// The record as one line, without its end.
    ///
    /// # Errors
    /// [`rules::NOT_EXPRESSIBLE`] when the format has no place for a record of this kind;
    /// [`rules::USER_MISSING`]; those of SRP's [`files`](crate::srp::files).
    pub fn write(&self, format: Format) -> Result<Zeroizing<String>> {
        match format {
            Format::Json => self.to_json(),
            _ => lines::write(self, format),
        }
    }

    /// Whether the password is the one this record was made from. The comparison is constant time; the work before it
    /// is that of one login.
    ///
    /// # Errors
    /// [`rules::USER_MISSING`] when the name is part of the record and not known; what the preparation refuses;
    /// work factors beyond the limits.
    pub fn check(&self, password: &Password, rng: &mut dyn CryptoRng) -> Result<bool> {
        let prepared = self.preparation.prepare(password)?;
        let octets = prepared.expose();
        match &self.credential {
            Credential::Password(stored) => Ok(stored.expose().as_bytes().ct_eq(octets).into()),
            #[cfg(feature = "scram")]
            Credential::Scram(stored) => stored.check(password, self.preparation),
            #[cfg(feature = "spake2plus")]
            Credential::Spake2Plus(stored) => stored.check(self.need_user()?, octets),
            #[cfg(feature = "spake2plus")]
            Credential::Spake2PlusEd25519(stored) => stored.check(self.need_user()?, octets),
            #[cfg(feature = "opaque")]
            Credential::Opaque(stored) => stored.check(self.need_user()?, octets, rng),
            #[cfg(feature = "srp")]
            Credential::Srp(stored) => {
                let user = match stored.identity() {
                    crate::srp::Identity::Included => self.need_user()?,
                    crate::srp::Identity::Omitted => "",
                };
                stored.check(user, password, self.preparation)
            }
        }
    }

    /// This record, if it is that of the user; one without a name gets his.
    ///
    /// # Errors
    /// What SASLprep refuses in the name.
    pub fn of_user(mut self, user: &str) -> Result<Option<Self>> {
        let prepared = prep::user_name(user)?;
        match &self.user {
            Some(own) if own != user && *own != prepared => return Ok(None),
            Some(_) => {}
            None => self.user = Some(prepared),
        }
        Ok(Some(self))
    }

    /// The user, where the record says who that is.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The mechanism that takes the record; SCRAM's with -PLUS takes it as well. SRP has records that no SASL mechanism
    /// takes.
    #[must_use]
    pub fn mechanism(&self) -> Option<&MechanismName> {
        self.mechanism.as_ref()
    }

    /// How the password was prepared.
    #[must_use]
    pub fn preparation(&self) -> Preparation {
        self.preparation
    }

    /// What a server stores.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What a server stores.
    #[must_use]
    pub fn into_credential(self) -> Credential {
        self.credential
    }

    fn need_user(&self) -> Result<&str> {
        self.user().ok_or_else(|| Error::new(&rules::USER_MISSING))
    }

    fn to_json(&self) -> Result<Zeroizing<String>> {
        let mut record = Writer::new(type_of(&self.credential));
        if let Some(user) = &self.user {
            record.text("user", user);
        }
        record.text("preparation", preparation_name(self.preparation));
        match &self.credential {
            Credential::Password(password) => {
                let mechanism = self.mechanism.as_ref().expect("a password is kept with its mechanism");
                record.text("mechanism", mechanism.as_str());
                record.text("password", password.expose());
            }
            #[cfg(feature = "scram")]
            Credential::Scram(stored) => stored.write_json(&mut record),
            #[cfg(feature = "spake2plus")]
            Credential::Spake2Plus(stored) => {
                record.text("group", P256);
                stored.write_json(&mut record)?;
            }
            #[cfg(feature = "spake2plus")]
            Credential::Spake2PlusEd25519(stored) => {
                record.text("group", EDWARDS25519);
                stored.write_json(&mut record)?;
            }
            #[cfg(feature = "opaque")]
            Credential::Opaque(stored) => stored.write_json(&mut record),
            #[cfg(feature = "srp")]
            Credential::Srp(stored) => stored.write_json(&mut record),
        }
        Ok(record.finish())
    }
}

/// Names of SPAKE2+'s groups.
#[cfg(feature = "spake2plus")]
const P256: &str = "P-256";
#[cfg(feature = "spake2plus")]
const EDWARDS25519: &str = "edwards25519";

fn from_json(mut object: Object) -> Result<Record> {
    let kind = object.kind()?;
    let user = object.text_or_none("user")?;
    let preparation = match object.text_or_none("preparation")? {
        None => Preparation::default(),
        Some(name) => *PREPARATIONS
            .iter()
            .find(|known| preparation_name(**known) == *name)
            .ok_or_else(|| json::bad("preparation"))?,
    };
    let mut mechanism = None;
    let credential = match kind.as_str() {
        PASSWORD_TYPE => {
            mechanism = Some(object.text("mechanism")?.parse()?);
            Credential::Password(Password::from(object.text("password")?))
        }
        #[cfg(feature = "scram")]
        crate::scram::json::TYPE => {
            Credential::Scram(crate::scram::StoredCredential::read_json(&mut object)?)
        }
        #[cfg(feature = "spake2plus")]
        crate::spake2plus::json::TYPE => {
            use crate::spake2plus::Record as Stored;
            match object.text("group")?.as_str() {
                P256 => Credential::Spake2Plus(Stored::read_json(&mut object)?),
                EDWARDS25519 => Credential::Spake2PlusEd25519(Stored::read_json(&mut object)?),
                _ => return Err(json::bad("group")),
            }
        }
        #[cfg(feature = "opaque")]
        crate::opaque::json::TYPE => Credential::Opaque(crate::opaque::Record::read_json(&mut object)?),
        #[cfg(feature = "srp")]
        crate::srp::json::TYPE => {
            use crate::srp::{Legacy, Verifier};
            Credential::Srp(Verifier::read_json(&mut object, Legacy::Allowed)?)
        }
        other => return Err(Error::new(&rules::UNKNOWN_TYPE).about(other)),
    };
    object.end()?;
    Record::new(user.as_ref().map(|user| user.as_str()), mechanism.as_ref(), preparation, credential)
}

const PREPARATIONS: [Preparation; 3] = [Preparation::SaslPrep, Preparation::OpaqueString, Preparation::None];

fn preparation_name(preparation: Preparation) -> &'static str {
    match preparation {
        Preparation::SaslPrep => "SASLprep",
        Preparation::OpaqueString => "OpaqueString",
        Preparation::None => "none",
    }
}

fn type_of(credential: &Credential) -> &'static str {
    match credential {
        Credential::Password(_) => PASSWORD_TYPE,
        #[cfg(feature = "scram")]
        Credential::Scram(_) => crate::scram::json::TYPE,
        #[cfg(feature = "spake2plus")]
        Credential::Spake2Plus(_) | Credential::Spake2PlusEd25519(_) => crate::spake2plus::json::TYPE,
        #[cfg(feature = "opaque")]
        Credential::Opaque(_) => crate::opaque::json::TYPE,
        #[cfg(feature = "srp")]
        Credential::Srp(_) => crate::srp::json::TYPE,
    }
}

/// The mechanism that takes such a credential, where there is just one.
fn mechanism_of(credential: &Credential) -> Option<MechanismName> {
    match credential {
        Credential::Password(_) => None,
        #[cfg(feature = "scram")]
        Credential::Scram(stored) => Some(crate::scram::ScramMechanism::new(stored.hash()).name()),
        #[cfg(feature = "spake2plus")]
        Credential::Spake2Plus(_) => Some(crate::spake2plus::P256_PLUS),
        #[cfg(feature = "spake2plus")]
        Credential::Spake2PlusEd25519(_) => Some(crate::spake2plus::ED25519_PLUS),
        #[cfg(feature = "opaque")]
        Credential::Opaque(_) => Some(crate::opaque::NAME),
        #[cfg(feature = "srp")]
        Credential::Srp(stored) => crate::srp::mechanism_for(stored),
    }
}

fn check_user(user: &str) -> Result<String> {
    if user.is_empty() {
        return Err(Error::new(&prep::rules::EMPTY).about("user"));
    }
    if user.len() > prep::NAME_MAX {
        let rule = &prep::rules::TOO_LONG;
        return Err(Error::exceeds(rule, user.len() as u64, prep::NAME_MAX as u64).about("user"));
    }
    Ok(user.to_owned())
}

fn check_text(text: &str) -> Result<()> {
    if text.len() > TEXT_MAX {
        return Err(Error::exceeds(&rules::TOO_LONG, text.len() as u64, TEXT_MAX as u64));
    }
    Ok(())
}

/// Whether every work factor that was asked for is in the record.
fn check_applied(asked: &Work, had: &Work, mechanism: &MechanismName) -> Result<()> {
    let passed_over =
        |what: &str| Err(Error::new(&rules::WORK_NOT_APPLICABLE).about(format!("{what} for {mechanism}")));
    if asked.iterations().is_some() && asked.iterations() != had.iterations() {
        return passed_over("an iteration count");
    }
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    if asked.ksf().is_some() && asked.ksf() != had.ksf() {
        return passed_over("a password hash");
    }
    #[cfg(feature = "srp")]
    if asked.group().is_some() && asked.group() != had.group() {
        return passed_over("a group of SRP");
    }
    Ok(())
}
