//! TLS as it was captured on the wire: records, the handshake messages in them, and what of those allows a test.
//!
//! The octets are those of the TCP connection. For TLS 1.3 the client's first flight is enough. For TLS 1.2 both
//! directions are needed, in the order of time; the messages themselves tell who sent them.

use super::transcript::at_most;
use super::{Exposure, FILE_MAX, Situation, exchange, rules};
use crate::error::{Error, Result};

/// Most octets of a TLS record's content: 2^14, and what encryption may add (RFC 5246 section 6.2.3).
pub const RECORD_MAX: usize = (1 << 14) + 2048;

/// Most octets of a handshake message.
pub const HANDSHAKE_MAX: usize = 64 * 1024;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Type and length.
const HEADER_LEN: usize = 4;

pub(super) const EXTENSION_EXTENDED_MASTER_SECRET: u16 = 23;
const EXTENSION_PRE_SHARED_KEY: u16 = 41;

/// The part of a captured connection that is not encrypted, and the client's Finished.
pub struct Capture {
    /// Whole handshake messages, their headers included.
    messages: Vec<Vec<u8>>,
    /// The content of the first encrypted handshake record: the client's Finished in a full TLS 1.2 handshake.
    finished: Option<Vec<u8>>,
}

impl Capture {
    /// Whether a file begins as TLS does on the wire, so that it is not taken for text.
    #[must_use]
    pub fn is_tls(octets: &[u8]) -> bool {
        matches!(octets, [HANDSHAKE, 3, ..] | [CLIENT_HELLO, 0, ..])
    }

    /// Reads records, or a single ClientHello without them.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD_LAYER`], [`rules::TRANSCRIPT_TOO_LONG`].
    pub fn parse(octets: &[u8]) -> Result<Self> {
        at_most(octets.len(), FILE_MAX)?;
        let mut capture = Self { messages: Vec::new(), finished: None };
        if octets.first() == Some(&CLIENT_HELLO) {
            capture.take_messages(&mut octets.to_vec())?;
            return if capture.messages.len() == 1 { Ok(capture) } else { Err(damaged()) };
        }
        let mut rest = octets;
        let mut pending = Vec::new();
        let mut encrypted = false;
        while let Some((header, after)) = rest.split_first_chunk::<5>() {
            let [kind, major, _, high, low] = *header;
            let len = usize::from(u16::from_be_bytes([high, low]));
            if major != 3 || !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) {
                return Err(damaged());
            }
            at_most(len, RECORD_MAX)?;
            let (content, after) = after.split_at_checked(len).ok_or_else(damaged)?;
            rest = after;
            match kind {
                HANDSHAKE if encrypted => {
                    capture.finished = Some(content.to_vec());
                    return Ok(capture);
                }
                HANDSHAKE => {
                    pending.extend_from_slice(content);
                    at_most(pending.len(), HANDSHAKE_MAX + HEADER_LEN)?;
                    capture.take_messages(&mut pending)?;
                }
                CHANGE_CIPHER_SPEC => encrypted = true,
                // What follows tells nothing that could be tested.
                ALERT | APPLICATION_DATA => break,
                _ => {}
            }
        }
        if capture.messages.is_empty() { Err(damaged()) } else { Ok(capture) }
    }

    /// What the handshake is worth to an attacker. `impostor_secret` is the Diffie-Hellman secret of an impostor of a TLS
    /// 1.2 server, whose own choice one half of it was.
    ///
    /// # Errors
    /// [`rules::NO_PSK_HANDSHAKE`], [`rules::UNSUPPORTED_SUITE`].
    pub fn exposure(&self, situation: Situation, impostor_secret: Option<&[u8]>) -> Result<Exposure> {
        exchange::exposure_of_capture(self, situation, impostor_secret)
    }

    fn take_messages(&mut self, pending: &mut Vec<u8>) -> Result<()> {
        while let Some((&[_, a, b, c], _)) = pending.split_first_chunk::<HEADER_LEN>() {
            let len = HEADER_LEN + u32::from_be_bytes([0, a, b, c]) as usize;
            at_most(len, HANDSHAKE_MAX + HEADER_LEN)?;
            if pending.len() < len {
                break;
            }
            at_most(self.messages.len() + 1, super::MESSAGES_MAX)?;
            let rest = pending.split_off(len);
            self.messages.push(std::mem::replace(pending, rest));
        }
        Ok(())
    }

    /// The messages in the open, whole.
    pub(super) fn messages(&self) -> &[Vec<u8>] {
        &self.messages
    }

    /// The body of the first message of this type.
    pub(super) fn body(&self, kind: u8) -> Option<&[u8]> {
        let message = self.messages.iter().find(|message| message[0] == kind)?;
        Some(&message[HEADER_LEN..])
    }

    pub(super) fn finished(&self) -> Option<&[u8]> {
        self.finished.as_deref()
    }

    pub(super) fn has_psk_binders(&self) -> Result<bool> {
        Ok(self.psk_binders()?.is_some())
    }

    /// The binders of the first ClientHello, if it has any.
    ///
    /// # Errors
    /// [`rules::NO_PSK_HANDSHAKE`] when there is no ClientHello or its extension is damaged.
    pub(super) fn psk_binders(&self) -> Result<Option<OfferedPsks<'_>>> {
        let none = || Error::new(&rules::NO_PSK_HANDSHAKE);
        let message = self.messages.first().filter(|message| message[0] == CLIENT_HELLO).ok_or_else(none)?;
        let hello = Hello::parse(&message[HEADER_LEN..], true).ok_or_else(none)?;
        // It is the last extension of all (RFC 8446 section 4.2.11), so its binders end the message.
        let Some((EXTENSION_PRE_SHARED_KEY, data)) = hello.extensions().last() else { return Ok(None) };
        let (_identities, after) = split_u16(data).ok_or_else(none)?;
        let (mut list, end) = split_u16(after).ok_or_else(none)?;
        if !end.is_empty() {
            return Err(none());
        }
        let truncated_hello = &message[..message.len() - after.len()];
        let mut binders = Vec::new();
        while !list.is_empty() {
            let (binder, rest) = split_u8(list).ok_or_else(none)?;
            binders.push(binder);
            list = rest;
        }
        Ok(Some(OfferedPsks { truncated_hello, binders }))
    }
}

/// pre_shared_key of a ClientHello.
pub(super) struct OfferedPsks<'a> {
    /// The message up to the list of binders.
    pub(super) truncated_hello: &'a [u8],
    pub(super) binders: Vec<&'a [u8]>,
}

/// A ClientHello or ServerHello.
pub(super) struct Hello<'a> {
    pub(super) random: &'a [u8],
    /// Of a ServerHello.
    pub(super) suite: u16,
    extensions: &'a [u8],
}

impl<'a> Hello<'a> {
    pub(super) fn parse(body: &'a [u8], from_client: bool) -> Option<Self> {
        let (_version, rest) = body.split_at_checked(2)?;
        let (random, rest) = rest.split_at_checked(32)?;
        let (_session, rest) = split_u8(rest)?;
        let (suite, rest) = if from_client {
            let (_suites, rest) = split_u16(rest)?;
            (0, split_u8(rest)?.1)
        } else {
            let (suite, rest) = rest.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*suite), rest.get(1..)?)
        };
        let extensions = if rest.is_empty() { rest } else { split_u16(rest)?.0 };
        Some(Self { random, suite, extensions })
    }

    pub(super) fn extensions(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || {
            let (kind, after) = rest.split_first_chunk::<2>()?;
            let (data, after) = split_u16(after)?;
            rest = after;
            Some((u16::from_be_bytes(*kind), data))
        })
    }

    pub(super) fn has(&self, extension: u16) -> bool {
        self.extensions().any(|(kind, _)| kind == extension)
    }
}

pub(super) fn split_u8(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

pub(super) fn split_u16(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn damaged() -> Error {
    Error::new(&rules::BAD_RECORD_LAYER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3, len[0], len[1]], content].concat()
    }

    fn message(kind: u8, len: usize) -> Vec<u8> {
        let octets = u32::try_from(len).unwrap().to_be_bytes();
        let mut message = vec![kind, octets[1], octets[2], octets[3]];
        message.resize(HEADER_LEN + len, 0);
        message
    }

    #[test]
    fn messages_span_records_and_share_them() {
        let both = [message(CLIENT_HELLO, 10), message(SERVER_HELLO, 20)].concat();
        let wire = [record(HANDSHAKE, &both[..7]), record(HANDSHAKE, &both[7..])].concat();
        let capture = Capture::parse(&wire).unwrap();
        assert_eq!(capture.messages().len(), 2);
        assert_eq!(capture.body(SERVER_HELLO).unwrap().len(), 20);
    }

    #[test]
    fn what_is_not_tls_is_refused() {
        let whole = record(HANDSHAKE, &message(CLIENT_HELLO, 10));
        for octets in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &whole[..whole.len() - 1],
            &record(HANDSHAKE, &message(CLIENT_HELLO, 10)[..9]),
            &record(24, b"x"),
            &message(CLIENT_HELLO, 10)[..13],
            &[message(CLIENT_HELLO, 10), message(SERVER_HELLO, 1)].concat(),
        ] {
            let error = Capture::parse(octets).err().unwrap();
            assert!(error.is(&rules::BAD_RECORD_LAYER), "{octets:02x?}: {error}");
        }
    }

    #[test]
    fn limits_hold_on_both_sides() {
        let with_record = |len| {
            let wire = [record(HANDSHAKE, &message(1, 1)), record(CHANGE_CIPHER_SPEC, &vec![1; len])];
            Capture::parse(&wire.concat())
        };
        assert!(with_record(RECORD_MAX).is_ok());
        assert!(with_record(RECORD_MAX + 1).err().unwrap().is(&rules::TRANSCRIPT_TOO_LONG));
        let spread = |len: usize| {
            let message = message(CLIENT_HELLO, len);
            Capture::parse(
                &message.chunks(1 << 14).flat_map(|part| record(HANDSHAKE, part)).collect::<Vec<_>>(),
            )
        };
        assert!(spread(HANDSHAKE_MAX).is_ok());
        assert!(spread(HANDSHAKE_MAX + 1).err().unwrap().is(&rules::TRANSCRIPT_TOO_LONG));
        let many = |count| Capture::parse(&record(HANDSHAKE, &message(0, 0).repeat(count)));
        assert!(many(super::super::MESSAGES_MAX).is_ok());
        assert!(many(super::super::MESSAGES_MAX + 1).err().unwrap().is(&rules::TRANSCRIPT_TOO_LONG));
        assert!(Capture::parse(&vec![22; FILE_MAX + 1]).err().unwrap().is(&rules::TRANSCRIPT_TOO_LONG));
    }
}
