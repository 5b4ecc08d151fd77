//! The framing that the PAKE mechanisms share (`docs/sasl-pake.md`, Framing): a version, a message number, then
//! fields of fixed length or with their length before them.

use crate::error::{Error, ErrorKind, Result, Rule};

/// First octet of every message.
pub const VERSION: u8 = 1;

/// Longest identity, in octets: a full JID (RFC 7622 section 3.1).
pub const IDENTITY_MAX: usize = 3071;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// A version other than [`VERSION`](super::VERSION).
    pub static VERSION_UNKNOWN: Rule = Rule {
        id: "pake-version",
        kind: ErrorKind::PeerIncompatible,
        source: "docs/sasl-pake.md, Framing",
        what: "the message has a version we do not know",
        advice: "Update the older of the two programs.",
    };
    /// Another message than the one that is due.
    pub static WRONG_MESSAGE: Rule = Rule {
        id: "pake-wrong-message",
        kind: ErrorKind::PeerMisbehaved,
        source: "docs/sasl-pake.md, Framing",
        what: "this is not the message whose turn it is",
        advice: "The peer does not follow the mechanism; report it to its authors.",
    };
    /// The message ends early or goes on after its end.
    pub static WRONG_LENGTH: Rule = Rule {
        id: "pake-wrong-length",
        kind: ErrorKind::PeerMisbehaved,
        source: "docs/sasl-pake.md, Framing",
        what: "the message is too short or too long for what it holds",
        advice: "The peer does not follow the mechanism; report it to its authors.",
    };
    /// An identity above [`IDENTITY_MAX`](super::IDENTITY_MAX).
    pub static IDENTITY_TOO_LONG: Rule = Rule {
        id: "pake-identity-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 7622 section 3.1, docs/sasl-pake.md, Framing",
        what: "an identity is longer than the longest address",
        advice: "Use a shorter name.",
    };
    /// An identity that is empty where it must not be, holds a NUL or is not UTF-8.
    pub static BAD_IDENTITY: Rule = Rule {
        id: "pake-bad-identity",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 4422 section 3.4.1, docs/sasl-pake.md, Framing",
        what: "an identity is empty, holds a NUL or is not UTF-8",
        advice: "Check the user name.",
    };
    /// The client bound another type of channel binding.
    pub static OTHER_BINDING_TYPE: Rule = Rule {
        id: "pake-other-binding-type",
        kind: ErrorKind::PeerIncompatible,
        source: "docs/sasl-pake.md, Framing",
        what: "the client binds to the channel in a way we did not offer",
        advice: "Use tls-exporter on both sides.",
    };
    /// The client asks to act for somebody else.
    pub static AUTHZID_REFUSED: Rule = Rule {
        id: "pake-authzid-refused",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 4422 section 3.4.1",
        what: "the client asks to act as another identity, which we allow nobody",
        advice: "Leave the authorization identity away.",
    };
}

/// What the client's first message says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Introduction<'a> {
    pub(crate) binding_type: &'a str,
    pub(crate) authzid: &'a str,
    pub(crate) authcid: &'a str,
}

impl<'a> Introduction<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self> {
        let binding_type = checked_text(reader.field()?)?;
        let authzid = checked_text(reader.field()?)?;
        let authcid = checked_text(reader.field()?)?;
        if authcid.is_empty() {
            return Err(Error::new(&rules::BAD_IDENTITY));
        }
        Ok(Self { binding_type, authzid, authcid })
    }

    /// What the server side can go on with: our type of binding, and nobody acting for somebody else.
    ///
    /// # Errors
    /// [`rules::OTHER_BINDING_TYPE`], [`rules::AUTHZID_REFUSED`].
    pub(crate) fn accept(&self, binding_type: &str) -> Result<()> {
        if self.binding_type != binding_type {
            return Err(Error::new(&rules::OTHER_BINDING_TYPE).about(self.binding_type));
        }
        if !self.authzid.is_empty() && self.authzid != self.authcid {
            return Err(Error::new(&rules::AUTHZID_REFUSED).about(self.authzid));
        }
        Ok(())
    }

    /// A first message up to here, checked as the peer will check it.
    ///
    /// # Errors
    /// [`rules::IDENTITY_TOO_LONG`], [`rules::BAD_IDENTITY`].
    pub(crate) fn to_message(&self, kind: u8) -> Result<Vec<u8>> {
        let mut message = vec![VERSION, kind];
        for field in [self.binding_type, self.authzid, self.authcid] {
            checked_text(field.as_bytes())?;
            message.extend_from_slice(&(field.len() as u16).to_be_bytes());
            message.extend_from_slice(field.as_bytes());
        }
        if self.authcid.is_empty() {
            return Err(Error::new(&rules::BAD_IDENTITY));
        }
        Ok(message)
    }
}

fn checked_text(octets: &[u8]) -> Result<&str> {
    if octets.len() > IDENTITY_MAX {
        return Err(Error::exceeds(&rules::IDENTITY_TOO_LONG, octets.len() as u64, IDENTITY_MAX as u64));
    }
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(Error::new(&rules::BAD_IDENTITY)),
    }
}

/// Reads a message from its front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the version and the message number.
    ///
    /// # Errors
    /// [`rules::WRONG_LENGTH`], [`rules::VERSION_UNKNOWN`], [`rules::WRONG_MESSAGE`] unless it is the one `due`.
    pub(crate) fn start(message: &'a [u8], due: u8) -> Result<Self> {
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
    pub(crate) fn field(&mut self) -> Result<&'a [u8]> {
        let length = u16::from_be_bytes(*self.array()?);
        let (field, rest) =
            self.0.split_at_checked(length.into()).ok_or_else(|| Error::new(&rules::WRONG_LENGTH))?;
        self.0 = rest;
        Ok(field)
    }

    pub(crate) fn array<const LEN: usize>(&mut self) -> Result<&'a [u8; LEN]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| Error::new(&rules::WRONG_LENGTH))?;
        self.0 = rest;
        Ok(array)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::new(&rules::WRONG_LENGTH)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: &[u8]) -> Result<Introduction<'_>> {
        let mut reader = Reader::start(message, 1)?;
        let introduction = Introduction::parse(&mut reader)?;
        reader.end()?;
        Ok(introduction)
    }

    fn raw(authzid: &[u8], authcid: &[u8]) -> Vec<u8> {
        let length = |field: &[u8]| (field.len() as u16).to_be_bytes();
        [&[1, 1, 0, 0], &length(authzid)[..], authzid, &length(authcid), authcid].concat()
    }

    #[test]
    fn identities_are_limited_on_both_sides() {
        let long = |extra| "x".repeat(IDENTITY_MAX + extra);
        for (authzid, authcid) in [(long(0), "a".into()), (String::new(), long(0))] {
            let sent = Introduction { binding_type: "", authzid: &authzid, authcid: &authcid };
            let message = sent.to_message(1).unwrap();
            assert_eq!(message, raw(authzid.as_bytes(), authcid.as_bytes()));
            assert_eq!(parse(&message).unwrap(), sent);
        }
        for (authzid, authcid) in [(long(1), "a".into()), (String::new(), long(1))] {
            let sent = Introduction { binding_type: "", authzid: &authzid, authcid: &authcid };
            assert!(sent.to_message(1).unwrap_err().is(&rules::IDENTITY_TOO_LONG));
            let error = parse(&raw(authzid.as_bytes(), authcid.as_bytes())).unwrap_err();
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
            assert!(parse(&raw(authzid, authcid)).unwrap_err().is(&rules::BAD_IDENTITY));
        }
        for (authzid, authcid) in [("", ""), ("", "a\0"), ("\0", "a")] {
            let sent = Introduction { binding_type: "", authzid, authcid };
            assert!(sent.to_message(1).unwrap_err().is(&rules::BAD_IDENTITY));
        }
    }

    #[test]
    fn a_field_longer_than_the_message_is_refused() {
        assert!(parse(&[1, 1, 0xff, 0xff, b'x']).unwrap_err().is(&rules::WRONG_LENGTH));
    }

    #[test]
    fn another_version_or_message_is_refused() {
        let message = raw(b"", b"a");
        for (at, rule) in [(0, &rules::VERSION_UNKNOWN), (1, &rules::WRONG_MESSAGE)] {
            for value in (0..=u8::MAX).filter(|value| *value != 1) {
                let mut edited = message.clone();
                edited[at] = value;
                assert!(parse(&edited).unwrap_err().is(rule));
            }
        }
    }
}
