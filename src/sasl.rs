//! SASL (RFC 4422) as a carrying protocol sees it: choice of a mechanism, the order of messages, base64, failure
//! conditions. No XML here.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64ct::{Base64, Encoding};

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::guess::{Guess, Running};
use crate::mechanism::{
    self, Guessing, MESSAGE_MAX, Mechanism, MechanismName, Outcome, Properties, Side, Step,
};
use crate::registry;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The text is not base64 as RFC 4648 section 4 has it.
    pub static BAD_BASE64: Rule = Rule {
        id: "sasl-bad-base64",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 section 6.4, RFC 4648 section 4",
        what: "the authentication data is not valid base64",
        advice: "The peer does not follow the protocol; report it to its authors.",
    };
    /// Success was claimed before the mechanism had verified the server.
    pub static EARLY_SUCCESS: Rule = Rule {
        id: "sasl-early-success",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 5802 section 5, RFC 6120 section 6.4.6",
        what: "the peer claims success without having proven that it knows the password",
        advice: "Do not trust this connection: the other end may be an impostor.",
    };
    /// A message after the mechanism was complete.
    pub static AFTER_END: Rule = Rule {
        id: "sasl-after-end",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 4422 section 5",
        what: "the peer goes on after the end of the exchange",
        advice: "The peer does not follow the mechanism; report it to its authors.",
    };
    /// The server side of the exchange refused.
    pub static REFUSED_BY_PEER: Rule = Rule {
        id: "sasl-refused",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 6120 section 6.5",
        what: "the peer refused the authentication",
        advice: "Check the password on both sides; if it is right, somebody may sit in between.",
    };
    /// The server side takes no attempt at present.
    pub static TRY_LATER: Rule = Rule {
        id: "sasl-try-later",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 6120 section 6.5.11",
        what: "the peer takes no further attempts to authenticate at present",
        advice: "Wait and try again; the other side is told how long, after too many wrong passwords up to an hour.",
    };
    /// Our own list has nothing that the floor lets through.
    pub static NOTHING_ACCEPTABLE: Rule = Rule {
        id: "sasl-nothing-acceptable",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "our own policy leaves no mechanism",
        advice: "Name a mechanism that the policy's floor lets through.",
    };
    /// Nothing on the peer's list is acceptable.
    pub static NO_MECHANISM: Rule = Rule {
        id: "sasl-no-mechanism",
        kind: ErrorKind::PolicyRefused,
        source: "countersign",
        what: "the peer offers no mechanism that our policy takes",
        advice: "Agree with the peer on one mechanism and name it on both sides.",
    };
}

/// The reasons for which SASL fails in XMPP (RFC 6120 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// The client gave up.
    Aborted,
    /// The account is switched off.
    AccountDisabled,
    /// The password must be changed first.
    CredentialsExpired,
    /// TLS first.
    EncryptionRequired,
    /// Not base64.
    IncorrectEncoding,
    /// The authorization identity is not allowed.
    InvalidAuthzid,
    /// Not offered on this stream.
    InvalidMechanism,
    /// A message broke the grammar.
    MalformedRequest,
    /// Policy wants a stronger mechanism.
    MechanismTooWeak,
    /// Wrong password or unknown user, never told apart.
    NotAuthorized,
    /// Try again later.
    TemporaryAuthFailure,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 11] = [
        Self::Aborted,
        Self::AccountDisabled,
        Self::CredentialsExpired,
        Self::EncryptionRequired,
        Self::IncorrectEncoding,
        Self::InvalidAuthzid,
        Self::InvalidMechanism,
        Self::MalformedRequest,
        Self::MechanismTooWeak,
        Self::NotAuthorized,
        Self::TemporaryAuthFailure,
    ];

    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// What to tell a peer about `error`.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        if error.is(&rules::BAD_BASE64) {
            return Self::IncorrectEncoding;
        }
        match error.kind() {
            ErrorKind::PeerMisbehaved => Self::MalformedRequest,
            ErrorKind::PeerIncompatible => Self::InvalidMechanism,
            ErrorKind::AuthorizationDenied => Self::InvalidAuthzid,
            ErrorKind::PolicyRefused => Self::MechanismTooWeak,
            ErrorKind::LimitExceeded | ErrorKind::TimedOut | ErrorKind::Environment => {
                Self::TemporaryAuthFailure
            }
            _ => Self::NotAuthorized,
        }
    }
}

/// What a failure that the server side has announced means here.
#[must_use]
pub fn refused(condition: Condition) -> Error {
    let rule = match condition {
        Condition::TemporaryAuthFailure => &rules::TRY_LATER,
        _ => &rules::REFUSED_BY_PEER,
    };
    Error::new(rule).about(condition.name())
}

/// Base64 of a message for an XMPP SASL element: `=` stands for the empty message (RFC 6120 section 6.4.2).
#[must_use]
pub fn encode(message: &[u8]) -> String {
    if message.is_empty() { "=".to_owned() } else { Base64::encode_string(message) }
}

/// The reverse of [`encode`]: strict base64, `=` for the empty message, at most [`MESSAGE_MAX`] octets.
///
/// # Errors
/// [`rules::BAD_BASE64`]; [`mechanism::rules::MESSAGE_TOO_LONG`] before anything is decoded.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    if text == "=" {
        return Ok(Vec::new());
    }
    let octets = (text.len() / 4 * 3) as u64;
    if octets > MESSAGE_MAX as u64 + 2 {
        return Err(Error::exceeds(&mechanism::rules::MESSAGE_TOO_LONG, octets, MESSAGE_MAX as u64));
    }
    let message = Base64::decode_vec(text).map_err(|_| Error::new(&rules::BAD_BASE64))?;
    check_length(&message)?;
    Ok(message)
}

fn check_length(message: &[u8]) -> Result<()> {
    if message.len() > MESSAGE_MAX {
        return Err(Error::exceeds(
            &mechanism::rules::MESSAGE_TOO_LONG,
            message.len() as u64,
            MESSAGE_MAX as u64,
        ));
    }
    Ok(())
}

/// The client side of an exchange, as RFC 4422 orders it: initial response, challenges, success.
pub struct ClientExchange {
    mechanism: Box<dyn Mechanism>,
    outcome: Option<Outcome>,
    guess: Running,
}

impl ClientExchange {
    /// Starts, and gives the initial response where the mechanism lets the client speak first.
    ///
    /// # Errors
    /// As the mechanism.
    pub fn start(mechanism: Box<dyn Mechanism>) -> Result<(Self, Option<Vec<u8>>)> {
        Self::start_counted(mechanism, None)
    }

    /// As [`ClientExchange::start`], and takes along the guess that an impostor of the server has in it: it is given
    /// back when the server was verified, or when the exchange ended before [`Properties::client_test`].
    ///
    /// # Errors
    /// As the mechanism.
    ///
    /// [`Properties::client_test`]: crate::mechanism::Properties::client_test
    pub fn start_counted(
        mechanism: Box<dyn Mechanism>,
        guess: Option<Guess>,
    ) -> Result<(Self, Option<Vec<u8>>)> {
        let properties = mechanism.properties();
        let guess = Running::new(guess, properties.client_test);
        let mut exchange = Self { mechanism, outcome: None, guess };
        if properties.first == Side::Server {
            return Ok((exchange, None));
        }
        let initial = exchange.advance(&[])?;
        Ok((exchange, Some(initial)))
    }

    /// Answers a challenge.
    ///
    /// # Errors
    /// As the mechanism; [`rules::AFTER_END`].
    pub fn challenge(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        check_length(message)?;
        if self.outcome.is_some() {
            return Err(Error::new(&rules::AFTER_END));
        }
        self.advance(message)
    }

    /// The peer claims success, with or without additional data.
    ///
    /// # Errors
    /// [`rules::EARLY_SUCCESS`] unless the mechanism itself has verified the server; [`rules::AFTER_END`].
    pub fn success(mut self, additional: Option<&[u8]>) -> Result<Outcome> {
        match (self.outcome.take(), additional) {
            (Some(outcome), None) => Ok(outcome),
            (Some(_), Some(_)) => Err(Error::new(&rules::AFTER_END)),
            (None, None) => Err(Error::new(&rules::EARLY_SUCCESS)),
            (None, Some(message)) => {
                check_length(message)?;
                match self.mechanism.step(message)? {
                    Step::Finished { reply: None, outcome } => {
                        self.guess.confirmed(&outcome);
                        Ok(outcome)
                    }
                    _ => Err(Error::new(&rules::EARLY_SUCCESS)),
                }
            }
        }
    }

    fn advance(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        self.guess.answer();
        match self.mechanism.step(message)? {
            Step::Continue(reply) => Ok(reply),
            Step::Finished { reply, outcome } => {
                self.guess.confirmed(&outcome);
                self.outcome = Some(outcome);
                Ok(reply.unwrap_or_default())
            }
        }
    }
}

/// The server side of an exchange.
pub struct ServerExchange {
    mechanism: Box<dyn Mechanism>,
    ended: bool,
    guess: Running,
}

/// What the server side sends next.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a server challenges or accepts; failure is an Err")]
pub enum ServerStep {
    /// A challenge, possibly empty.
    Challenge(Vec<u8>),
    /// Success, with additional data where the mechanism has some.
    Success(Option<Vec<u8>>, Outcome),
}

impl ServerExchange {
    /// Starts with the client's initial response, if it sent one.
    ///
    /// # Errors
    /// As the mechanism.
    pub fn start(mechanism: Box<dyn Mechanism>, initial: Option<&[u8]>) -> Result<(Self, ServerStep)> {
        Self::start_counted(mechanism, initial, None)
    }

    /// As [`ServerExchange::start`], and takes along the guess that an impostor of the client has in it: it is given
    /// back when the client was verified, or when the exchange ended before [`Properties::server_test`].
    ///
    /// # Errors
    /// As the mechanism.
    ///
    /// [`Properties::server_test`]: crate::mechanism::Properties::server_test
    pub fn start_counted(
        mechanism: Box<dyn Mechanism>,
        initial: Option<&[u8]>,
        guess: Option<Guess>,
    ) -> Result<(Self, ServerStep)> {
        let properties = mechanism.properties();
        let guess = Running::new(guess, properties.server_test);
        let mut exchange = Self { mechanism, ended: false, guess };
        let step = match (properties.first, initial) {
            (Side::Client, None) => ServerStep::Challenge(Vec::new()),
            (Side::Client, Some(message)) => exchange.response(message)?,
            (Side::Server, None) => exchange.response(&[])?,
            (Side::Server, Some(_)) => return Err(Error::new(&mechanism::rules::UNEXPECTED_DATA)),
        };
        Ok((exchange, step))
    }

    /// Takes the client's response.
    ///
    /// # Errors
    /// As the mechanism; [`rules::AFTER_END`].
    pub fn response(&mut self, message: &[u8]) -> Result<ServerStep> {
        check_length(message)?;
        if self.ended {
            return Err(Error::new(&rules::AFTER_END));
        }
        self.guess.answer();
        match self.mechanism.step(message) {
            Ok(Step::Continue(reply)) => Ok(ServerStep::Challenge(reply)),
            Ok(Step::Finished { reply, outcome }) => {
                self.ended = true;
                self.guess.confirmed(&outcome);
                Ok(ServerStep::Success(reply, outcome))
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

/// Which mechanisms are acceptable, in which order, and what is never taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    preference: Vec<MechanismName>,
    floor: Floor,
}

/// The least a mechanism must hold against, whatever the peer offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Floor {
    /// Anything that is named.
    Named,
    /// The exchange must be bound to the channel.
    Bound,
    /// Bound, and nobody, listener or impostor, gets anything to test passwords on offline.
    OnlineGuessesOnly,
}

impl Default for Policy {
    /// Everything compiled in that leaves an attacker nothing to test offline, but for what is only taken by name.
    fn default() -> Self {
        const FLOOR: Floor = Floor::OnlineGuessesOnly;
        // Every configuration begins with it, and most of the registry is passed over.
        static PREFERENCE: LazyLock<Vec<MechanismName>> = LazyLock::new(|| {
            let by_default = |row: &&registry::Registered| {
                !row.properties().by_name && reason_against(row.name(), FLOOR).is_none()
            };
            registry::all().iter().filter(by_default).map(|row| row.name().clone()).collect()
        });
        Self { preference: PREFERENCE.clone(), floor: FLOOR }
    }
}

/// What [`Policy::select`] chose, and why not the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The mechanism to run.
    pub chosen: MechanismName,
    /// Each other mechanism on the peer's list, with the reason.
    pub refused: Vec<(MechanismName, &'static str)>,
}

impl Policy {
    /// These mechanisms, in this order, and no others; one that is named twice counts where it is named first. To name a weaker mechanism is the explicit wish for it;
    /// end to end it must still be bound to the channel.
    #[must_use]
    pub fn named(preference: impl IntoIterator<Item = MechanismName>) -> Self {
        Self { preference: distinct(preference), floor: Floor::Bound }
    }

    /// Moves the floor.
    #[must_use]
    pub fn with_floor(mut self, floor: Floor) -> Self {
        self.floor = floor;
        self
    }

    /// What is acceptable, in order, after the floor has been applied. A responder offers exactly this.
    #[must_use]
    pub fn acceptable(&self) -> Vec<MechanismName> {
        self.preference.iter().filter(|name| reason_against(name, self.floor).is_none()).cloned().collect()
    }

    /// What on our list TLS itself proves, in order, after the floor has been applied: no SASL exchange can take it, a session
    /// over XMPP has methods for it.
    #[must_use]
    pub fn acceptable_in_tls(&self) -> Vec<MechanismName> {
        self.preference.iter().filter(|name| reason_in_tls(name, self.floor).is_none()).cloned().collect()
    }

    /// Our list, the floor not applied.
    #[cfg_attr(not(feature = "xmpp"), allow(dead_code, reason = "sessions over XMPP need it"))]
    pub(crate) fn preference(&self) -> &[MechanismName] {
        &self.preference
    }

    /// What is on our list and never taken all the same, with the reason: it is below the floor or not known here.
    #[must_use]
    pub fn never(&self) -> Vec<(MechanismName, &'static str)> {
        let reason = |name: &MechanismName| {
            let why = if is_in_tls(name) { reason_in_tls } else { reason_against };
            Some((name.clone(), why(name, self.floor)?))
        };
        self.preference.iter().filter_map(reason).collect()
    }

    /// What on the peer's list is never taken here, with the reason.
    #[must_use]
    pub fn refused(&self, offered: &[MechanismName]) -> Vec<(MechanismName, &'static str)> {
        let acceptable = self.acceptable();
        self.passed_over(offered, |name| acceptable.contains(name))
    }

    /// That something is acceptable at all.
    ///
    /// # Errors
    /// [`rules::NOTHING_ACCEPTABLE`] with every name on our list and its reason.
    pub fn check(&self) -> Result<()> {
        if self.acceptable().is_empty() {
            return Err(
                Error::new(&rules::NOTHING_ACCEPTABLE).about(reasons(&self.never(), "our list is empty"))
            );
        }
        Ok(())
    }

    /// Chooses from the peer's list: our order decides, the peer's order never does.
    ///
    /// # Errors
    /// [`rules::NO_MECHANISM`] with every refused name and its reason.
    pub fn select(&self, offered: &[MechanismName]) -> Result<Selection> {
        let chosen = self.acceptable().into_iter().find(|name| offered.contains(name));
        let refused = self.passed_over(offered, |name| Some(name) == chosen.as_ref());
        match chosen {
            Some(chosen) => Ok(Selection { chosen, refused }),
            None => Err(Error::new(&rules::NO_MECHANISM).about(reasons(&refused, "its list is empty"))),
        }
    }

    fn passed_over(
        &self,
        offered: &[MechanismName],
        taken: impl Fn(&MechanismName) -> bool,
    ) -> Vec<(MechanismName, &'static str)> {
        let reason = |name: MechanismName| {
            let listed = self.preference.contains(&name);
            let other = if listed { "we prefer another" } else { "not on our list" };
            let against = if is_in_tls(&name) { reason_in_tls } else { reason_against };
            let why = against(&name, self.floor).unwrap_or(other);
            (name, why)
        };
        distinct(offered.iter().cloned()).into_iter().filter(|name| !taken(name)).map(reason).collect()
    }
}

/// Each name once, where it comes first.
fn distinct(names: impl IntoIterator<Item = MechanismName>) -> Vec<MechanismName> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

fn reasons(refused: &[(MechanismName, &'static str)], none: &str) -> String {
    if refused.is_empty() {
        return none.to_owned();
    }
    refused.iter().map(|(name, why)| format!("{name} ({why})")).collect::<Vec<_>>().join(", ")
}

/// Why no SASL exchange takes it.
fn reason_against(name: &MechanismName, floor: Floor) -> Option<&'static str> {
    if is_in_tls(name) {
        return Some("proven inside TLS, not by SASL");
    }
    let Some(row) = registry::row(name) else {
        return Some("not known here");
    };
    let properties = row.properties();
    if floor >= Floor::Bound && !properties.needs_binding {
        return Some("not bound to the channel");
    }
    guessable(&properties, floor)
}

/// Why TLS does not prove it.
fn reason_in_tls(name: &MechanismName, floor: Floor) -> Option<&'static str> {
    match in_tls(name) {
        Some(properties) => guessable(&properties, floor),
        None => Some("not known here"),
    }
}

fn guessable(properties: &Properties, floor: Floor) -> Option<&'static str> {
    let offline = (properties.listener, properties.impostor) != (Guessing::OnlineOnly, Guessing::OnlineOnly);
    (floor >= Floor::OnlineGuessesOnly && offline).then_some("an impostor could test passwords offline")
}

fn is_in_tls(name: &MechanismName) -> bool {
    in_tls(name).is_some()
}

#[cfg(feature = "openssl")]
fn in_tls(name: &MechanismName) -> Option<Properties> {
    registry::row_in_tls(name).map(registry::RegisteredTls::properties)
}

#[cfg(not(feature = "openssl"))]
fn in_tls(_: &MechanismName) -> Option<Properties> {
    None
}
