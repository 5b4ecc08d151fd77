//! The grammar of RFC 5802 section 7, read strictly: order of attributes, escapes, alphabets, numbers.
//!
//! Parsed messages borrow from the text, so that whoever builds the AuthMessage takes the octets as they came.

use std::borrow::Cow;
use std::fmt;

use base64ct::{Base64, Encoding};

use super::rules;
use crate::error::{Error, Result, Rule};
use crate::mechanism::{self, MESSAGE_MAX};

/// Longest salt accepted from a server or in a record, in octets.
pub const SALT_MAX: usize = 1024;

/// Letters with a meaning of their own, which no extension may take (RFC 5802 section 5.1).
const RESERVED: &str = "amnrcsipve";

/// The gs2-cbind-flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5802 section 7 has these three")]
pub enum CbindFlag<'a> {
    /// `n`: the client does not support channel binding.
    NotSupported,
    /// `y`: the client supports it and believes that the server does not.
    NotOffered,
    /// `p=`: the client binds to a channel of this type.
    Used(&'a str),
}

/// `gs2-header client-first-message-bare`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientFirstMessage<'a> {
    /// The header as it stands, its last comma included.
    pub gs2_header: &'a str,
    /// Channel binding, as the client sees it.
    pub cbind_flag: CbindFlag<'a>,
    /// The authorization identity, without escapes.
    pub authzid: Option<Cow<'a, str>>,
    /// Everything after the header.
    pub bare: &'a str,
    /// The user name, without escapes, not yet prepared.
    pub username: Cow<'a, str>,
    /// The client's nonce.
    pub nonce: &'a str,
    /// What else it carries.
    pub extensions: Extensions<'a>,
}

impl<'a> ClientFirstMessage<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// The rule of the grammar that is broken.
    pub fn parse(message: &'a [u8]) -> Result<Self> {
        let text = text(message)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::new(&rules::BAD_GS2_HEADER));
        };
        let cbind_flag = match flag {
            "n" => CbindFlag::NotSupported,
            "y" => CbindFlag::NotOffered,
            _ => CbindFlag::Used(
                flag.strip_prefix("p=")
                    .filter(|name| !name.is_empty() && name.bytes().all(is_cb_name))
                    .ok_or(&rules::BAD_GS2_HEADER)?,
            ),
        };
        let authzid = match authzid {
            "" => None,
            name => Some(saslname(name.strip_prefix("a=").ok_or(&rules::BAD_GS2_HEADER)?)?),
        };
        let mut attributes = Attributes::of(bare);
        let username = saslname(attributes.take('n')?)?;
        let nonce = nonce(attributes.take('r')?)?;
        let gs2_header = &text[..text.len() - bare.len()];
        let extensions = attributes.extensions()?;
        Ok(Self { gs2_header, cbind_flag, authzid, bare, username, nonce, extensions })
    }
}

/// `server-first-message`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerFirstMessage<'a> {
    /// The client's nonce followed by the server's.
    pub nonce: &'a str,
    /// The salt, 1 to [`SALT_MAX`] octets.
    pub salt: Vec<u8>,
    /// The iteration count; at least 1, and not yet checked against any limit. A number too large for 64 bits
    /// counts as the largest.
    pub iterations: u64,
    /// What else it carries.
    pub extensions: Extensions<'a>,
}

impl<'a> ServerFirstMessage<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// The rule of the grammar that is broken; [`rules::SALT_LENGTH`]; [`rules::SERVER_ERROR`] for an `e=` that
    /// comes already here.
    pub fn parse(message: &'a [u8]) -> Result<Self> {
        let text = text(message)?;
        if let Some(value) = text.strip_prefix("e=") {
            return Err(server_error(value).refusal());
        }
        let mut attributes = Attributes::of(text);
        let nonce = nonce(attributes.take('r')?)?;
        let salt = salt(attributes.take('s')?)?;
        let iterations = posit_number(attributes.take('i')?)?;
        Ok(Self { nonce, salt, iterations, extensions: attributes.extensions()? })
    }
}

/// `client-final-message`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientFinalMessage<'a> {
    /// Everything before the proof and its comma.
    pub without_proof: &'a str,
    /// The GS2 header followed by the binding data.
    pub channel_binding: Vec<u8>,
    /// The whole nonce.
    pub nonce: &'a str,
    /// What else it carries.
    pub extensions: Extensions<'a>,
    /// The ClientProof; its length not yet checked.
    pub proof: Vec<u8>,
}

impl<'a> ClientFinalMessage<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// The rule of the grammar that is broken.
    pub fn parse(message: &'a [u8]) -> Result<Self> {
        let (without_proof, proof) = text(message)?.rsplit_once(',').ok_or(&rules::BAD_MESSAGE)?;
        let proof = base64(proof.strip_prefix("p=").ok_or(&rules::BAD_MESSAGE)?)?;
        let mut attributes = Attributes::of(without_proof);
        let channel_binding = base64(attributes.take('c')?)?;
        let nonce = nonce(attributes.take('r')?)?;
        let extensions = attributes.extensions()?;
        Ok(Self { without_proof, channel_binding, nonce, extensions, proof })
    }
}

/// `server-final-message`.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "RFC 5802 section 7 has these two")]
pub enum ServerFinalMessage {
    /// `v=`: the ServerSignature.
    Verifier(Vec<u8>),
    /// `e=`: the server refuses.
    Error(ServerError),
}

impl ServerFinalMessage {
    /// Reads the message.
    ///
    /// # Errors
    /// The rule of the grammar that is broken.
    pub fn parse(message: &[u8]) -> Result<Self> {
        let text = text(message)?;
        if let Some(value) = text.strip_prefix("e=") {
            return Ok(Self::Error(server_error(value)));
        }
        let mut attributes = Attributes::of(text);
        let signature = base64(attributes.take('v')?)?;
        attributes.extensions()?;
        Ok(Self::Verifier(signature))
    }
}

/// Optional attributes, in their place at the end of a message. Unknown ones are ignored, and are authenticated all
/// the same, as a part of the AuthMessage.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(Option<&'a str>);

impl<'a> Extensions<'a> {
    /// The value of an attribute.
    #[must_use]
    pub fn value(&self, letter: char) -> Option<&'a str> {
        self.0?.split(',').find_map(|part| part.strip_prefix(letter)?.strip_prefix('='))
    }
}

/// `server-error-value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "RFC 5802 section 7 gives names and no words")]
#[non_exhaustive]
pub enum ServerError {
    InvalidEncoding,
    ExtensionsNotSupported,
    InvalidProof,
    ChannelBindingsDontMatch,
    /// The odd one: the client said `y`, but the server did offer channel binding.
    ServerDoesSupportChannelBinding,
    ChannelBindingNotSupported,
    UnsupportedChannelBindingType,
    UnknownUser,
    InvalidUsernameEncoding,
    NoResources,
    OtherError,
}

impl ServerError {
    /// All values.
    pub const ALL: [Self; 11] = [
        Self::InvalidEncoding,
        Self::ExtensionsNotSupported,
        Self::InvalidProof,
        Self::ChannelBindingsDontMatch,
        Self::ServerDoesSupportChannelBinding,
        Self::ChannelBindingNotSupported,
        Self::UnsupportedChannelBindingType,
        Self::UnknownUser,
        Self::InvalidUsernameEncoding,
        Self::NoResources,
        Self::OtherError,
    ];

    /// The value on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidEncoding => "invalid-encoding",
            Self::ExtensionsNotSupported => "extensions-not-supported",
            Self::InvalidProof => "invalid-proof",
            Self::ChannelBindingsDontMatch => "channel-bindings-dont-match",
            Self::ServerDoesSupportChannelBinding => "server-does-support-channel-binding",
            Self::ChannelBindingNotSupported => "channel-binding-not-supported",
            Self::UnsupportedChannelBindingType => "unsupported-channel-binding-type",
            Self::UnknownUser => "unknown-user",
            Self::InvalidUsernameEncoding => "invalid-username-encoding",
            Self::NoResources => "no-resources",
            Self::OtherError => "other-error",
        }
    }

    /// What a server may tell the client about `error`. Wrong password and unknown user are both `other-error`.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        const WORDS: [(&Rule, ServerError); 9] = [
            (&rules::BAD_ENCODING, ServerError::InvalidEncoding),
            (&rules::BAD_BASE64, ServerError::InvalidEncoding),
            (&rules::MANDATORY_EXTENSION, ServerError::ExtensionsNotSupported),
            (&rules::BINDING_MISMATCH, ServerError::ChannelBindingsDontMatch),
            (&rules::BINDING_DOWNGRADE, ServerError::ServerDoesSupportChannelBinding),
            (&rules::BINDING_NOT_SUPPORTED, ServerError::ChannelBindingNotSupported),
            (&rules::BINDING_NOT_USED, ServerError::ChannelBindingsDontMatch),
            (&rules::UNSUPPORTED_BINDING_TYPE, ServerError::UnsupportedChannelBindingType),
            (&rules::BAD_USER_NAME, ServerError::InvalidUsernameEncoding),
        ];
        WORDS.iter().find(|(rule, _)| error.is(rule)).map_or(Self::OtherError, |(_, value)| *value)
    }

    /// The server-final-message with this value.
    #[must_use]
    pub fn message(self) -> Vec<u8> {
        format!("e={self}").into_bytes()
    }

    pub(super) fn refusal(self) -> Error {
        Error::new(&rules::SERVER_ERROR).about(self.name())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name as a saslname: `=` becomes `=3D` and `,` becomes `=2C`.
pub(crate) fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['=', ',']) { name.replace('=', "=3D").replace(',', "=2C").into() } else { name.into() }
}

/// Strict base64 of RFC 4648 section 4: padded, canonical, no other octet.
pub(crate) fn base64(value: &str) -> Result<Vec<u8>> {
    Base64::decode_vec(value).map_err(|_| Error::new(&rules::BAD_BASE64))
}

/// Adds the base64 of `octets`, at most [`OUTPUT_MAX`](super::hash::OUTPUT_MAX) of them, without an allocation for it.
pub(crate) fn push_base64(text: &mut String, octets: &[u8]) {
    let mut buffer = [0; super::hash::OUTPUT_MAX.div_ceil(3) * 4];
    match Base64::encode(octets, &mut buffer) {
        Ok(encoded) => text.push_str(encoded),
        Err(_) => text.push_str(&Base64::encode_string(octets)),
    }
}

/// A salt of 1 to [`SALT_MAX`] octets; the length is checked before anything is decoded.
pub(crate) fn salt(value: &str) -> Result<Vec<u8>> {
    const PADDING_MAX: usize = 2;
    let decoded_at_most = value.len() / 4 * 3;
    if decoded_at_most > SALT_MAX + PADDING_MAX {
        check_salt_len(decoded_at_most)?;
    }
    let salt = base64(value)?;
    check_salt_len(salt.len())?;
    Ok(salt)
}

pub(crate) fn check_salt_len(len: usize) -> Result<()> {
    if !(1..=SALT_MAX).contains(&len) {
        return Err(Error::exceeds(&rules::SALT_LENGTH, len as u64, SALT_MAX as u64));
    }
    Ok(())
}

/// A number without sign and leading zero, at least 1.
pub(crate) fn posit_number(value: &str) -> Result<u64> {
    if value.starts_with('0') || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Error::new(&rules::BAD_NUMBER));
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn text(message: &[u8]) -> Result<&str> {
    if message.len() > MESSAGE_MAX {
        let rule = &mechanism::rules::MESSAGE_TOO_LONG;
        return Err(Error::exceeds(rule, message.len() as u64, MESSAGE_MAX as u64));
    }
    str::from_utf8(message)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| Error::new(&rules::BAD_ENCODING))
}

/// The value after `e=`; one that nobody knows counts as `other-error` (RFC 5802 section 7).
fn server_error(value: &str) -> ServerError {
    let value = value.split(',').next().unwrap_or_default();
    ServerError::ALL.into_iter().find(|known| known.name() == value).unwrap_or(ServerError::OtherError)
}

fn saslname(value: &str) -> Result<Cow<'_, str>> {
    let mut parts = value.split('=');
    let first = parts.next().unwrap_or_default();
    if first.len() == value.len() {
        return Ok(value.into());
    }
    let mut name = first.to_owned();
    for part in parts {
        let (escaped, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Error::new(&rules::BAD_USER_NAME)),
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Ok(name.into())
}

fn nonce(value: &str) -> Result<&str> {
    if value.bytes().all(|octet| octet.is_ascii_graphic()) {
        Ok(value)
    } else {
        Err(Error::new(&rules::BAD_NONCE))
    }
}

fn is_cb_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-')
}

/// The attributes of a message that have not been read yet.
struct Attributes<'a>(Option<&'a str>);

impl<'a> Attributes<'a> {
    fn of(text: &'a str) -> Self {
        Self(Some(text))
    }

    /// The value of the next attribute, which must be `letter` and not be empty.
    fn take(&mut self, letter: char) -> Result<&'a str> {
        let text = self.0.ok_or(&rules::BAD_MESSAGE)?;
        let (part, rest) = match text.split_once(',') {
            Some((part, rest)) => (part, Some(rest)),
            None => (text, None),
        };
        self.0 = rest;
        let value = part.strip_prefix(letter).and_then(|part| part.strip_prefix('='));
        match value {
            Some("") if letter == 'n' => Err(Error::new(&rules::BAD_USER_NAME)),
            Some(value) if !value.is_empty() => Ok(value),
            _ if part.starts_with("m=") => Err(Error::new(&rules::MANDATORY_EXTENSION)),
            _ => Err(Error::new(&rules::BAD_MESSAGE)),
        }
    }

    /// The rest, which must be extensions: `ALPHA "=" 1*value-char` each, no letter twice, none that is reserved.
    fn extensions(self) -> Result<Extensions<'a>> {
        let mut seen = 0_u64;
        for part in self.0.into_iter().flat_map(|rest| rest.split(',')) {
            let [letter, b'=', _, ..] = *part.as_bytes() else {
                return Err(Error::new(&rules::BAD_MESSAGE));
            };
            if !letter.is_ascii_alphabetic() {
                return Err(Error::new(&rules::BAD_MESSAGE));
            }
            if letter == b'm' {
                return Err(Error::new(&rules::MANDATORY_EXTENSION));
            }
            if RESERVED.as_bytes().contains(&letter) {
                return Err(Error::new(&rules::MISPLACED_ATTRIBUTE));
            }
            let bit = 1 << (letter - b'A');
            if seen & bit != 0 {
                return Err(Error::new(&rules::REPEATED_ATTRIBUTE));
            }
            seen |= bit;
        }
        Ok(Extensions(self.0))
    }
}
