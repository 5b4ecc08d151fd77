//! The trait that every way of proving a shared password implements, on both sides.
//!
//! A mechanism is a value that eats the peer's message and gives the next one. It does no I/O, knows no XML and
//! no clock, and takes its randomness when it is made. The trait is object safe, so that negotiation, benches,
//! vector runs, the attack matrix and the command line each loop over all mechanisms.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::binding::ChannelBinding;
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::secret::{ProofVerified, SecretBytes, SessionKey};

/// Longest mechanism name, RFC 4422 section 3.1.
pub const NAME_MAX: usize = 20;

/// Longest message a mechanism accepts from its peer, in octets.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not a mechanism name.
    pub static BAD_NAME: Rule = Rule {
        id: "mechanism-bad-name",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 4422 section 3.1",
        what: "not a mechanism name: 1 to 20 of A-Z, 0-9, hyphen and underscore",
        advice: "Check the spelling; names are in upper case.",
    };
    /// A message after the exchange had ended or failed.
    pub static OUT_OF_TURN: Rule = Rule {
        id: "mechanism-out-of-turn",
        kind: ErrorKind::Misuse,
        source: "RFC 4422 section 3",
        what: "this authentication exchange has ended; it takes no further message",
        advice: "Start a new exchange on a new connection.",
    };
    /// A message above [`MESSAGE_MAX`](super::MESSAGE_MAX).
    pub static MESSAGE_TOO_LONG: Rule = Rule {
        id: "mechanism-message-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "the peer's authentication message is too long",
        advice: "No mechanism here needs so much; the peer is broken or hostile.",
    };
    /// Data came where the first move is ours.
    pub static UNEXPECTED_DATA: Rule = Rule {
        id: "mechanism-unexpected-data",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 4422 section 5",
        what: "the peer sent data where the mechanism lets us speak first",
        advice: "The peer does not follow the mechanism; report it to its authors.",
    };
}

/// A SASL mechanism name (RFC 4422 section 3.1), or a name of the same form for the mechanisms inside TLS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MechanismName(Cow<'static, str>);

impl MechanismName {
    /// A name known when compiling.
    ///
    /// # Panics
    /// When the name is not well formed; in a `const` that is a compile error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_name(name.as_bytes()), "not a mechanism name");
        Self(Cow::Borrowed(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name ends in `-PLUS`, so that the mechanism takes a channel binding.
    #[must_use]
    pub fn is_plus(&self) -> bool {
        self.0.ends_with("-PLUS")
    }
}

const fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > NAME_MAX {
        return false;
    }
    let mut i = 0;
    while i < name.len() {
        if !matches!(name[i], b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        i += 1;
    }
    true
}

impl FromStr for MechanismName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if is_name(name.as_bytes()) {
            Ok(Self(Cow::Owned(name.to_owned())))
        } else {
            Err(Error::new(&rules::BAD_NAME).about(name))
        }
    }
}

impl fmt::Display for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl PartialEq<str> for MechanismName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// One of the two sides of an exchange. The client is who authenticates; in an end-to-end session it is the
/// initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Side {
    /// Who authenticates.
    Client,
    /// Who holds the record.
    Server,
}

/// Where the password is proven, seen from the TLS channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Before TLS: on the offer that opens the session; the result keys the handshake.
    BeforeTls,
    /// In the TLS handshake itself.
    InTls,
    /// Above TLS: a SASL exchange inside the channel, bound to it where the mechanism can.
    AboveTls,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BeforeTls => "before TLS",
            Self::InTls => "in TLS",
            Self::AboveTls => "above TLS",
        })
    }
}

/// How an attacker who holds something can test password guesses without talking to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guessing {
    /// Not at all: every guess costs an online run with an honest party.
    OnlineOnly,
    /// Offline; each guess costs the mechanism's slow password hash.
    OfflineStretched,
    /// Offline; each guess costs a few fast hashes or one table-driven power.
    OfflineFast,
    /// No guessing needed: he holds the password or its equivalent.
    Immediate,
}

impl fmt::Display for Guessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OnlineOnly => "nothing",
            Self::OfflineStretched => "guesses, slow hash",
            Self::OfflineFast => "guesses, fast",
            Self::Immediate => "the secret itself",
        })
    }
}

/// What a mechanism promises. The table in the README is printed from these.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// Where the proof happens.
    pub place: Place,
    /// Who sends the first message.
    pub first: Side,
    /// Messages of the exchange, both directions together, the last confirmation included.
    pub messages: u8,
    /// Both sides prove that they hold the password (or its record).
    pub mutual: bool,
    /// The exchange gives a [`SessionKey`].
    pub key: bool,
    /// The exchange cannot run without a channel binding.
    pub needs_binding: bool,
    /// A password that leaks later does not open what was exchanged before.
    pub forward_secrecy: bool,
    /// What a passive listener on the carrying channel can test offline.
    pub listener: Guessing,
    /// What an active impostor of either side can test offline after one run.
    pub impostor: Guessing,
    /// What a thief of the responder's stored record can do.
    pub thief: Guessing,
    /// Which message of the client's, counted from 1, lets an impostor of the server test his guess of the password.
    /// To fail in the place of that message is such an answer too.
    pub client_test: u8,
    /// Which message of the server's, counted from 1, lets an impostor of the client test his guess of the password.
    /// To fail in the place of that message is such an answer too.
    pub server_test: u8,
    /// Taken only when it is named: it is there for what others have deployed.
    pub by_name: bool,
}

/// What a mechanism wants done next.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "an exchange goes on or has ended; failure is an Err")]
pub enum Step {
    /// Send this message and wait for the peer's.
    Continue(Vec<u8>),
    /// The exchange has succeeded on this side.
    Finished {
        /// A last message for the peer, where the mechanism has one (in SASL: additional data with success).
        reply: Option<Vec<u8>>,
        /// What was established.
        outcome: Outcome,
    },
}

/// What a successful exchange established.
///
/// # Security
/// There is no public constructor, and inside the crate it takes the [`ProofVerified`] that only a
/// constant-time comparison of the peer's proof gives out.
#[derive(Debug)]
pub struct Outcome {
    mechanism: MechanismName,
    side: Side,
    authcid: String,
    authzid: Option<String>,
    key: Option<SessionKey>,
    export_key: Option<SecretBytes>,
    binding: Option<ChannelBinding>,
}

impl Outcome {
    #[allow(dead_code, reason = "unused when no mechanism is compiled in")]
    pub(crate) fn new(
        proof: ProofVerified,
        mechanism: MechanismName,
        side: Side,
        authcid: impl Into<String>,
        binding: Option<ChannelBinding>,
    ) -> Self {
        // The proof has done its work once it could be handed over.
        let _ = proof;
        let authcid = authcid.into();
        Self { mechanism, side, authcid, authzid: None, key: None, export_key: None, binding }
    }

    #[allow(dead_code, reason = "used by the mechanisms that carry an authorization identity")]
    pub(crate) fn with_authzid(mut self, authzid: Option<String>) -> Self {
        self.authzid = authzid;
        self
    }

    #[allow(dead_code, reason = "used by the mechanisms that agree on a key")]
    pub(crate) fn with_key(mut self, key: SessionKey) -> Self {
        self.key = Some(key);
        self
    }

    #[cfg(feature = "opaque")]
    pub(crate) fn with_export_key(mut self, key: SecretBytes) -> Self {
        self.export_key = Some(key);
        self
    }

    #[cfg(feature = "xmpp")]
    pub(crate) fn without_export_key(mut self) -> Self {
        self.export_key = None;
        self
    }

    /// The mechanism that was run.
    #[must_use]
    pub fn mechanism(&self) -> &MechanismName {
        &self.mechanism
    }

    /// Our side of the exchange.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The authentication identity: on the server's side the client's proven name; on the client's side the name
    /// whose password (or record) the server has proven to hold.
    #[must_use]
    pub fn authcid(&self) -> &str {
        &self.authcid
    }

    /// The identity the client asked to act as, when it named another one and was allowed to.
    #[must_use]
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// The agreed key, from the mechanisms that agree on one.
    #[must_use]
    pub fn key(&self) -> Option<&SessionKey> {
        self.key.as_ref()
    }

    /// OPAQUE, on the client's side: 64 octets that only the password opens, the same at each login until the user is
    /// enrolled again. The server never has them.
    #[must_use]
    pub fn export_key(&self) -> Option<&SecretBytes> {
        self.export_key.as_ref()
    }

    /// The channel that both sides proved to share, where one was bound.
    #[must_use]
    pub fn binding(&self) -> Option<&ChannelBinding> {
        self.binding.as_ref()
    }
}

/// One side of one run of a mechanism.
///
/// A call after the end, after an error, or out of turn is an error, never a panic.
pub trait Mechanism: Send {
    /// The name it is registered under.
    fn name(&self) -> MechanismName;

    /// What it promises.
    fn properties(&self) -> Properties;

    /// Consumes the peer's message (empty for whoever speaks first) and gives ours.
    ///
    /// # Errors
    /// The rule that the message broke. After an error the exchange is over for good.
    fn step(&mut self, input: &[u8]) -> Result<Step>;

    /// After an error: what may be told to the peer inside the mechanism (SCRAM's `e=`), where it has words for
    /// it. Tells wrong password and unknown user apart in no case.
    fn failure_reply(&self) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_both_ends_of_their_length() {
        for good in ["A", "SCRAM-SHA-256-PLUS", "A2345678901234567890", "X_1"] {
            assert_eq!(good.parse::<MechanismName>().unwrap().as_str(), good);
        }
        for bad in ["", "A23456789012345678901", "scram", "A B", "A\u{e9}"] {
            assert!(bad.parse::<MechanismName>().unwrap_err().is(&rules::BAD_NAME), "{bad}");
        }
    }

    #[test]
    fn the_trait_is_object_safe() {
        fn takes(_: Option<Box<dyn Mechanism>>) {}
        takes(None);
    }
}
