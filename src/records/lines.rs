//! The formats of other programs: records that are lines.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::{Format, Record, rules};
use crate::error::{Error, Result};
use crate::json;
use crate::registry::Credential;

/// The attribute of RFC 3112.
const AUTH_PASSWORD: &str = "authPassword";

/// What begins a comment, where the format has comments.
const COMMENT: char = '#';

/// See [`Format::detect`].
pub(super) fn detect(text: &str) -> Result<Format> {
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with(COMMENT))
        .ok_or_else(|| Error::new(&rules::EMPTY))?;
    let fields = line.split(':').collect::<Vec<_>>();
    let is_base64 =
        |line: &str| line.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet));
    Ok(match (line.trim(), &fields[..]) {
        (line, _) if line.starts_with('{') => Format::Json,
        (line, _) if line.starts_with("SCRAM-") => Format::PostgreSql,
        (line, _) if line.contains('\t') => Format::OpenSsl,
        (_, [_, _, _, index]) if index.trim_end().parse::<u32>().is_ok() => Format::GnuTls,
        (_, [attribute, _, ..])
            if ["dn", "version", AUTH_PASSWORD].iter().any(|known| known.eq_ignore_ascii_case(attribute)) =>
        {
            Format::Ldap
        }
        (line, _) if is_base64(line) => Format::Cyrus,
        _ => return Err(Error::new(&rules::UNKNOWN_FORMAT)),
    })
}

/// The records of all lines that are neither blank nor a comment.
pub(super) fn read(text: &str, format: Format, conf: Option<&str>) -> Result<Vec<Record>> {
    // In a tpasswd it would begin a name.
    let comments = format != Format::GnuTls;
    let mut records = Vec::new();
    for (number, line) in unfolded(text, format) {
        if line.trim().is_empty() || comments && line.starts_with(COMMENT) {
            continue;
        }
        let read = json::check_len(line.len()).and_then(|()| read_line(&line, format, conf));
        records.extend(read.map_err(|error| json::at_line(number, &error))?);
    }
    Ok(records)
}

/// The lines with their numbers; those that LDIF has folded (RFC 2849) are one again.
fn unfolded(text: &str, format: Format) -> Vec<(usize, Zeroizing<String>)> {
    let mut lines = Vec::<(usize, Zeroizing<String>)>::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(rest), Some((_, last))) if format == Format::Ldap => {
                *last = Zeroizing::new([last.as_str(), rest].concat());
            }
            _ => lines.push((index + 1, Zeroizing::new(line.to_owned()))),
        }
    }
    lines
}

/// The record of a line; LDIF has lines without one.
fn read_line(line: &str, format: Format, conf: Option<&str>) -> Result<Option<Record>> {
    let (user, credential) = match format {
        Format::PostgreSql => (None, scram(line.trim())?),
        Format::Ldap => match auth_password(line)? {
            Some(value) => (None, scram(&value)?),
            None => return Ok(None),
        },
        Format::OpenSsl | Format::GnuTls | Format::Cyrus => srp(line, format, conf)?,
        Format::Json => return Err(Error::new(&rules::BAD_LINE)),
    };
    Record::new(user.as_deref(), None, format.preparation(), credential).map(Some)
}

/// The value of the attribute, if it is this one.
fn auth_password(line: &str) -> Result<Option<Zeroizing<String>>> {
    let bad = || Error::new(&rules::BAD_LINE);
    let (attribute, value) = line.split_once(':').ok_or_else(bad)?;
    if !attribute.eq_ignore_ascii_case(AUTH_PASSWORD) {
        return Ok(None);
    }
    let Some(encoded) = value.strip_prefix(':') else {
        return Ok(Some(Zeroizing::new(value.trim().to_owned())));
    };
    let octets = Base64::decode_vec(encoded.trim()).map(Zeroizing::new).map_err(|_| bad())?;
    let text = str::from_utf8(&octets).map_err(|_| bad())?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

#[cfg(feature = "scram")]
fn scram(value: &str) -> Result<Credential> {
    value.parse().map(Credential::Scram)
}

#[cfg(not(feature = "scram"))]
fn scram(_: &str) -> Result<Credential> {
    Err(Error::new(&rules::UNKNOWN_TYPE).about("SCRAM"))
}

#[cfg(feature = "srp")]
fn srp(line: &str, format: Format, conf: Option<&str>) -> Result<(Option<String>, Credential)> {
    use crate::srp::{Legacy, Verifier};
    let named = match format {
        Format::OpenSsl => Verifier::from_openssl(line, Legacy::Allowed)?,
        Format::GnuTls => Verifier::from_gnutls(line, conf, Legacy::Allowed)?,
        _ => return Ok((None, Credential::Srp(Verifier::from_cyrus(line)?))),
    };
    Ok((Some(named.0), Credential::Srp(named.1)))
}

#[cfg(not(feature = "srp"))]
fn srp(_: &str, _: Format, _: Option<&str>) -> Result<(Option<String>, Credential)> {
    Err(Error::new(&rules::UNKNOWN_TYPE).about("SRP"))
}

/// The record as a line of this format.
pub(super) fn write(record: &Record, format: Format) -> Result<Zeroizing<String>> {
    match (record.credential(), format) {
        #[cfg(feature = "scram")]
        (Credential::Scram(stored), Format::PostgreSql) => Ok(stored.to_rfc5803()),
        #[cfg(feature = "scram")]
        (Credential::Scram(stored), Format::Ldap) => {
            Ok(Zeroizing::new([AUTH_PASSWORD, ": ", &stored.to_rfc5803()].concat()))
        }
        #[cfg(feature = "srp")]
        (Credential::Srp(stored), Format::OpenSsl) => stored.to_openssl(record.need_user()?),
        #[cfg(feature = "srp")]
        (Credential::Srp(stored), Format::GnuTls) => stored.to_gnutls(record.need_user()?),
        #[cfg(feature = "srp")]
        (Credential::Srp(stored), Format::Cyrus) => stored.to_cyrus(),
        _ => Err(Error::new(&rules::NOT_EXPRESSIBLE).about(format.name())),
    }
}
