//! The two forms in which XMPP carries a SASL exchange, as one: what is said is the same, the elements differ.

use jid::{BareJid, Jid};
use minidom::Element;

use crate::error::Result;
use crate::mechanism::MechanismName;
use crate::sasl::Condition;

use super::{ns, sasl, sasl2};

/// Which elements carry an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// RFC 6120 section 6: after success the stream starts again.
    Sasl,
    /// SASL2 (XEP-0388): after success the stream goes on.
    Sasl2,
}

/// What the client says.
pub(super) enum Request {
    /// Begins.
    Auth { mechanism: MechanismName, initial: Option<Vec<u8>> },
    /// Answers a challenge.
    Response(Vec<u8>),
    /// Gives up.
    Abort,
}

/// What the server says.
pub(super) enum Reply {
    Challenge(Vec<u8>),
    Success {
        additional: Option<Vec<u8>>,
        /// Who the client is now, and whether a resource was bound on the way: in SASL2 only, and always there.
        identity: Option<(Jid, bool)>,
    },
    Failure(Condition),
    /// SASL2: one of these tasks has to be done as well.
    Continue(Vec<String>),
}

impl Profile {
    /// What a client's element belongs to; RFC 6120 where it is neither.
    pub(super) fn of(element: &Element) -> Self {
        if element.has_ns(ns::SASL2) { Self::Sasl2 } else { Self::Sasl }
    }

    pub(super) fn auth(self, mechanism: MechanismName, initial: Option<Vec<u8>>) -> Element {
        match self {
            Self::Sasl => sasl::ClientMessage::Auth { mechanism, initial }.to_element(),
            Self::Sasl2 => {
                sasl2::ClientMessage::Authenticate { mechanism, initial, software: None, bind: None }
                    .to_element()
            }
        }
    }

    pub(super) fn response(self, message: Vec<u8>) -> Element {
        match self {
            Self::Sasl => sasl::ClientMessage::Response(message).to_element(),
            Self::Sasl2 => sasl2::ClientMessage::Response(message).to_element(),
        }
    }

    pub(super) fn abort(self) -> Element {
        match self {
            Self::Sasl => sasl::ClientMessage::Abort.to_element(),
            Self::Sasl2 => sasl2::ClientMessage::Abort.to_element(),
        }
    }

    pub(super) fn challenge(self, message: Vec<u8>) -> Element {
        match self {
            Self::Sasl => sasl::ServerMessage::Challenge(message).to_element(),
            Self::Sasl2 => sasl2::ServerMessage::Challenge(message).to_element(),
        }
    }

    /// Success for a client who has proven to be `identity`.
    pub(super) fn success(self, additional: Option<Vec<u8>>, identity: BareJid) -> Element {
        match self {
            Self::Sasl => sasl::ServerMessage::Success(additional).to_element(),
            Self::Sasl2 => {
                sasl2::ServerMessage::Success { additional, identity: identity.into(), bound: false }
                    .to_element()
            }
        }
    }

    pub(super) fn failure(self, condition: Condition) -> Element {
        match self {
            Self::Sasl => sasl::ServerMessage::Failure(condition).to_element(),
            Self::Sasl2 => sasl2::ServerMessage::Failure(condition).to_element(),
        }
    }

    /// Reads what a client says.
    ///
    /// # Errors
    /// As the codec of the profile.
    pub(super) fn request(self, element: &Element) -> Result<Request> {
        Ok(match self {
            Self::Sasl => match sasl::ClientMessage::from_element(element)? {
                sasl::ClientMessage::Auth { mechanism, initial } => Request::Auth { mechanism, initial },
                sasl::ClientMessage::Response(message) => Request::Response(message),
                sasl::ClientMessage::Abort => Request::Abort,
            },
            Self::Sasl2 => match sasl2::ClientMessage::from_element(element)? {
                sasl2::ClientMessage::Authenticate { mechanism, initial, .. } => {
                    Request::Auth { mechanism, initial }
                }
                sasl2::ClientMessage::Response(message) => Request::Response(message),
                sasl2::ClientMessage::Abort => Request::Abort,
            },
        })
    }

    /// Reads what a server says.
    ///
    /// # Errors
    /// As the codec of the profile.
    pub(super) fn reply(self, element: &Element) -> Result<Reply> {
        Ok(match self {
            Self::Sasl => match sasl::ServerMessage::from_element(element)? {
                sasl::ServerMessage::Challenge(message) => Reply::Challenge(message),
                sasl::ServerMessage::Success(additional) => Reply::Success { additional, identity: None },
                sasl::ServerMessage::Failure(condition) => Reply::Failure(condition),
            },
            Self::Sasl2 => match sasl2::ServerMessage::from_element(element)? {
                sasl2::ServerMessage::Challenge(message) => Reply::Challenge(message),
                sasl2::ServerMessage::Success { additional, identity, bound } => {
                    Reply::Success { additional, identity: Some((identity, bound)) }
                }
                sasl2::ServerMessage::Failure(condition) => Reply::Failure(condition),
                sasl2::ServerMessage::Continue(tasks) => Reply::Continue(tasks),
            },
        })
    }
}
