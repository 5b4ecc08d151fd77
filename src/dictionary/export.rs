//! Records in the formats of other crackers, for who needs more than one machine.

use super::rules;
use crate::error::{Error, Result};
use crate::registry::Credential;

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
/// [`rules::NO_FORMAT`].
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
    match (record.hash(), tool) {
        (HashFunction::Sha256, Tool::Hashcat) => {
            Ok(Line { mode: "28600", text: record.to_rfc5803().to_string() })
        }
        (HashFunction::Sha1, _) => {
            let mode = if tool == Tool::Hashcat { "23200" } else { "xmpp-scram" };
            let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
            let (iterations, salt) = (record.iterations(), record.salt());
            let (len, salt, stored_key) = (salt.len(), hex(salt), hex(record.stored_key()));
            Ok(Line { mode, text: format!("$xmpp-scram$0${iterations}${len}${salt}${stored_key}") })
        }
        _ => Err(Error::new(&rules::NO_FORMAT).about(record.hash().scheme())),
    }
}
