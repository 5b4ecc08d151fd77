//! Records in the formats of other crackers, for who needs more than one machine.

use super::rules;
use crate::error::{Error, Result};
use crate::registry::Credential;

/// Longest salt in hashcat's mode 28600, found by trying 6.2.6.
pub const HASHCAT_SHA256_SALT_MAX: usize = 64;

/// Longest salt in hashcat's mode 23200, found by trying 6.2.6.
pub const HASHCAT_SHA1_SALT_MAX: usize = 256;

/// Longest salt in John's format `xmpp-scram`, as its source says.
pub const JOHN_SALT_MAX: usize = 64;

/// Another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// hashcat, 6.2.6 and later.
    Hashcat,
    /// John the Ripper, jumbo.
    John,
}

/// A line for another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// hashcat's mode (`-m`), or John's format (`--format=`).
    pub mode: &'static str,
    /// The line, without its end.
    pub text: String,
}

/// The record as a line for `tool`.
///
/// - hashcat takes SCRAM-SHA-256 as PostgreSQL stores it (28600) and SCRAM-SHA-1 in the format of John (23200).
/// - John takes SCRAM-SHA-1 (`xmpp-scram`).
///
/// # Errors
/// [`rules::NO_FORMAT`]; [`rules::LONG_SALT`] for a salt that the tool would not read.
///
/// # Security
/// The line allows the same guesses as the record.
pub fn line(record: &Credential, tool: Tool) -> Result<Line> {
    match record {
        #[cfg(feature = "scram")]
        Credential::Scram(record) => scram(record, tool),
        _ => {
            let _ = tool;
            Err(Error::new(&rules::NO_FORMAT))
        }
    }
}

#[cfg(feature = "scram")]
fn scram(record: &crate::scram::StoredCredential, tool: Tool) -> Result<Line> {
    use crate::scram::HashFunction;
    let (mode, most) = match (record.hash(), tool) {
        (HashFunction::Sha256, Tool::Hashcat) => ("28600", HASHCAT_SHA256_SALT_MAX),
        (HashFunction::Sha1, Tool::Hashcat) => ("23200", HASHCAT_SHA1_SALT_MAX),
        (HashFunction::Sha1, Tool::John) => ("xmpp-scram", JOHN_SALT_MAX),
        _ => return Err(Error::new(&rules::NO_FORMAT).about(record.hash().scheme())),
    };
    let (iterations, salt) = (record.iterations(), record.salt());
    if salt.len() > most {
        return Err(Error::new(&rules::LONG_SALT).about(format!("{} octets", salt.len())));
    }
    if record.hash() == HashFunction::Sha256 {
        return Ok(Line { mode, text: record.to_rfc5803().to_string() });
    }
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let (len, salt, stored_key) = (salt.len(), hex(salt), hex(record.stored_key()));
    Ok(Line { mode, text: format!("$xmpp-scram$0${iterations}${len}${salt}${stored_key}") })
}
