//! The three messages, as `docs/sasl-pake.md` lays them out.

use super::protocol::TAG_LEN;
use super::rules;
use super::suite::SHARE_LEN;
use crate::error::{Error, Result};

/// First octet of every message.
pub const VERSION: u8 = 1;

/// Longest identity, in octets: a full JID (RFC 7622 section 3.1).
pub const IDENTITY_MAX: usize = 3071;

const CLIENT_SHARE: u8 = 1;
const SERVER_SHARE: u8 = 2;
const CLIENT_CONFIRM: u8 = 3;

/// `ADb`: what stands before the server's share.
pub(super) const ADB: [u8; 2] = [VERSION, SERVER_SHARE];

/// The first message. Everything before the share is `ADa`.
#[derive(Debug)]
pub(super) struct ClientShare<'a> {
    pub(super) ada: &'a [u8],
    pub(super) binding_type: &'a [u8],
    pub(super) authzid: &'a str,
    pub(super) authcid: &'a str,
    pub(super) share: &'a [u8; SHARE_LEN],
}

impl<'a> ClientShare<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_SHARE)?;
        let binding_type = reader.field()?;
        let authzid = checked_identity(reader.field()?)?;
        let authcid = checked_identity(reader.field()?)?;
        if authcid.is_empty() {
            return Err(Error::new(&rules::BAD_IDENTITY));
        }
        let ada = &message[..message.len() - reader.0.len()];
        let share = reader.array()?;
        reader.end()?;
        Ok(Self { ada, binding_type, authzid, authcid, share })
    }

    /// `ADa` from its parts, checked as a peer would check them.
    pub(super) fn ada(binding_type: &str, authzid: &str, authcid: &str) -> Result<Vec<u8>> {
        checked_identity(authzid.as_bytes())?;
        if checked_identity(authcid.as_bytes())?.is_empty() {
            return Err(Error::new(&rules::BAD_IDENTITY));
        }
        let mut out = vec![VERSION, CLIENT_SHARE];
        for field in [binding_type, authzid, authcid] {
            out.extend_from_slice(&(field.len() as u16).to_be_bytes());
            out.extend_from_slice(field.as_bytes());
        }
        Ok(out)
    }
}

/// The second message.
pub(super) struct ServerShare<'a> {
    pub(super) share: &'a [u8; SHARE_LEN],
    pub(super) tag: &'a [u8; TAG_LEN],
}

impl<'a> ServerShare<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_SHARE)?;
        let (share, tag) = (reader.array()?, reader.array()?);
        reader.end()?;
        Ok(Self { share, tag })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&ADB[..], self.share, self.tag].concat()
    }
}

/// The third message.
pub(super) struct ClientConfirm<'a> {
    pub(super) tag: &'a [u8; TAG_LEN],
}

impl<'a> ClientConfirm<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_CONFIRM)?;
        let tag = reader.array()?;
        reader.end()?;
        Ok(Self { tag })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_CONFIRM], &self.tag[..]].concat()
    }
}

fn checked_identity(octets: &[u8]) -> Result<&str> {
    if octets.len() > IDENTITY_MAX {
        return Err(Error::exceeds(&rules::IDENTITY_TOO_LONG, octets.len() as u64, IDENTITY_MAX as u64));
    }
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Error::new(&rules::BAD_IDENTITY)),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn start(message: &'a [u8], due: u8) -> Result<Self> {
        let mut reader = Self(message);
        let &[version] = reader.array()?;
        if version != VERSION {
            return Err(Error::new(&rules::VERSION_UNKNOWN));
        }
        let &[kind] = reader.array()?;
        if kind != due {
            return Err(Error::new(&rules::WRONG_MESSAGE));
        }
        Ok(reader)
    }

    /// Two octets of length, big-endian, then as many octets.
    fn field(&mut self) -> Result<&'a [u8]> {
        let length = u16::from_be_bytes(*self.array()?);
        let (field, rest) =
            self.0.split_at_checked(length.into()).ok_or_else(|| Error::new(&rules::WRONG_LENGTH))?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| Error::new(&rules::WRONG_LENGTH))?;
        self.0 = rest;
        Ok(array)
    }

    fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::new(&rules::WRONG_LENGTH)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_limited_on_both_sides() {
        let long = |extra| "x".repeat(IDENTITY_MAX + extra);
        for (authzid, authcid) in [(long(0), "a".into()), (String::new(), long(0))] {
            let message =
                [ClientShare::ada("tls-exporter", &authzid, &authcid).unwrap(), vec![7; 32]].concat();
            let parsed = ClientShare::parse(&message).unwrap();
            assert_eq!((parsed.authzid, parsed.authcid), (authzid.as_str(), authcid.as_str()));
            assert_eq!(parsed.ada, &message[..message.len() - 32]);
        }
        for (authzid, authcid) in [(long(1), "a".into()), (String::new(), long(1))] {
            let error = ClientShare::ada("tls-exporter", &authzid, &authcid).unwrap_err();
            assert!(error.is(&rules::IDENTITY_TOO_LONG));
            let message = raw(authzid.as_bytes(), authcid.as_bytes());
            let error = ClientShare::parse(&message).unwrap_err();
            assert!(error.is(&rules::IDENTITY_TOO_LONG));
            assert_eq!(error.numbers(), Some((3072, 3071)));
        }
    }

    #[test]
    fn identities_that_are_no_text_are_refused() {
        for (authzid, authcid) in [
            (&b""[..], &b""[..]),
            (b"", b"a\0"),
            (b"\0", b"a"),
            (b"", b"\xc3"),
            (b"\xff", b"a"),
            (b"", b"\xed\xa0\x80"),
        ] {
            assert!(ClientShare::parse(&raw(authzid, authcid)).unwrap_err().is(&rules::BAD_IDENTITY));
        }
        for (authzid, authcid) in [("", ""), ("", "a\0"), ("\0", "a")] {
            assert!(ClientShare::ada("tls-exporter", authzid, authcid).unwrap_err().is(&rules::BAD_IDENTITY));
        }
    }

    #[test]
    fn a_field_longer_than_the_message_is_refused() {
        let error = ClientShare::parse(&[1, 1, 0xff, 0xff, b'x']).unwrap_err();
        assert!(error.is(&rules::WRONG_LENGTH));
    }

    fn raw(authzid: &[u8], authcid: &[u8]) -> Vec<u8> {
        let length = |field: &[u8]| (field.len() as u16).to_be_bytes();
        [&[1, 1, 0, 0], &length(authzid)[..], authzid, &length(authcid), authcid, &[7; 32]].concat()
    }
}
