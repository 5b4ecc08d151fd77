//! Rules of a session.

use crate::error::{ErrorKind, Rule};

/// The peer cannot be reached.
pub static PEER_ABSENT: Rule = Rule {
    id: "session-peer-absent",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 8.3.3, RFC 6121 section 8.5",
    what: "the peer is not there",
    advice: "Check the full address with its resource, and that the peer is online.",
};
/// A request was refused.
pub static REFUSED: Rule = Rule {
    id: "session-refused",
    kind: ErrorKind::PeerUnavailable,
    source: "XEP-0166 section 6.3, XEP-0047 section 2.1",
    what: "the peer, or a server on the way, refused a request",
    advice: "Look at the condition that is named; the peer's program may have logged more.",
};
/// The peer ended the session before it was established.
pub static DECLINED: Rule = Rule {
    id: "session-declined",
    kind: ErrorKind::PeerUnavailable,
    source: "XEP-0166 section 6.7",
    what: "the peer ended the session before it was established",
    advice: "Look at the reason that is named, or ask the peer.",
};
/// The peer ended the session for the sake of security.
pub static SECURITY_REFUSED: Rule = Rule {
    id: "session-security-refused",
    kind: ErrorKind::AuthenticationFailed,
    source: "XEP-0166 section 7.4",
    what: "the peer ended the session because its security failed",
    advice: "Check the password on both sides; if it is right, somebody may sit in between.",
};
/// The peer ended the session without closing the tunnel.
pub static CUT_SHORT: Rule = Rule {
    id: "session-cut-short",
    kind: ErrorKind::Truncated,
    source: "RFC 8446 section 6.1, XEP-0166 section 6.7",
    what: "the session ended without a proper close: data may be missing",
    advice: "Treat what came as incomplete and transfer it again. Before the channel was verified nothing had passed: call again.",
};
/// The tunnel was closed before or without the end of the stream.
pub static STREAM_CUT_SHORT: Rule = Rule {
    id: "session-stream-cut-short",
    kind: ErrorKind::Truncated,
    source: "RFC 6120 section 4.4",
    what: "the tunnel was closed without the end of the stream: data may be missing",
    advice: "Treat what came as incomplete and transfer it again.",
};
/// The connection to the server is gone.
pub static TRANSPORT_LOST: Rule = Rule {
    id: "session-transport-lost",
    kind: ErrorKind::Truncated,
    source: "countersign",
    what: "the connection to the server was lost: data may be missing",
    advice: "Connect again and open a new session.",
};
/// Not verified in time.
pub static HANDSHAKE_TIMEOUT: Rule = Rule {
    id: "session-handshake-timeout",
    kind: ErrorKind::TimedOut,
    source: "countersign",
    what: "the tunnel was not established in time",
    advice: "Try again; on a slow connection raise the limit.",
};
/// No answer to a request, or no end of the session.
pub static NO_ANSWER: Rule = Rule {
    id: "session-no-answer",
    kind: ErrorKind::TimedOut,
    source: "countersign",
    what: "the peer did not answer in time",
    advice: "Check that the peer is still online, and open a new session.",
};
/// The certificate in TLS is not the announced one.
pub static OTHER_CERTIFICATE: Rule = Rule {
    id: "session-other-certificate",
    kind: ErrorKind::AuthenticationFailed,
    source: "draft-meyer-xmpp-e2e-encryption section 6",
    what: "the peer's certificate does not have the announced fingerprint",
    advice: "Somebody between the two ends is editing stanzas; do not go on over these servers.",
};
/// No method in common.
pub static NO_METHOD: Rule = Rule {
    id: "session-no-method",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 3",
    what: "the peer offers no TLS method that our policy takes",
    advice: "Agree with the peer on one way to authenticate and name it on both sides.",
};
/// The answer takes another method than was offered.
pub static OTHER_METHOD: Rule = Rule {
    id: "session-other-method",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 3",
    what: "the peer's answer does not take exactly one of the methods that we offered",
    advice: "The peer is broken, or a server has edited the stanza.",
};
/// A pre-shared key is wanted and none is there.
pub static PSK_MISSING: Rule = Rule {
    id: "session-psk-missing",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "TLS-PSK is named and there is no pre-shared key",
    advice: "Give the session the key that both sides hold; a password is no such key.",
};
/// The two ends have not seen the same offers.
pub static OFFERS_DIFFER: Rule = Rule {
    id: "session-offers-differ",
    kind: ErrorKind::AuthenticationFailed,
    source: "docs/xtls-profile.md section 6",
    what: "the peer has seen other offers than we sent and received",
    advice: "Somebody between the two ends is editing stanzas; do not go on over these servers.",
};
/// The mechanisms in the tunnel are not those that were announced.
pub static OTHER_MECHANISMS: Rule = Rule {
    id: "session-other-mechanisms",
    kind: ErrorKind::AuthenticationFailed,
    source: "docs/xtls-profile.md section 5",
    what: "the peer offers other mechanisms in the tunnel than it seemed to announce",
    advice: "Somebody between the two ends is editing stanzas; do not go on over these servers.",
};
/// More than a mechanism is asked for.
pub static MORE_TASKS: Rule = Rule {
    id: "session-more-tasks",
    kind: ErrorKind::PeerIncompatible,
    source: "XEP-0388 section 2.6.3",
    what: "the peer wants more than the mechanism before it lets us in",
    advice: "End to end there is nothing more to do; the peer is broken, or meant for accounts on a server.",
};
/// The stream header names others than the stanzas do.
pub static OTHER_ADDRESSES: Rule = Rule {
    id: "session-other-addresses",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120 sections 4.7.1 and 4.9.3.9",
    what: "an address inside the tunnel is not the one the tunnel was opened with",
    advice: "The peer is broken, or somebody relays between two sessions.",
};
/// A stanza before the authentication.
pub static TOO_EARLY: Rule = Rule {
    id: "session-too-early",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120 section 4.9.3.12",
    what: "the peer sent a stanza before the authentication had succeeded",
    advice: "The peer does not follow the protocol.",
};
/// Something else than the next element of the negotiation.
pub static OUT_OF_ORDER: Rule = Rule {
    id: "session-out-of-order",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120 sections 4.3 and 6.4",
    what: "the peer sent something that has no place here in the stream",
    advice: "The peer does not follow the protocol.",
};
/// The responder does not offer exactly `tls-exporter`.
pub static NO_EXPORTER: Rule = Rule {
    id: "session-no-exporter",
    kind: ErrorKind::PolicyRefused,
    source: "XEP-0440, RFC 9266",
    what: "the peer does not offer tls-exporter, and only that, as channel binding",
    advice: "Use a program at the peer that supports channel binding with TLS 1.3.",
};
/// The proven identity is not the initiator's.
pub static OTHER_IDENTITY: Rule = Rule {
    id: "session-other-identity",
    kind: ErrorKind::AuthenticationFailed,
    source: "XEP-0250 section 5, countersign",
    what: "the peer authenticated as somebody else than its address says",
    advice: "The initiator must authenticate with its bare JID and act for nobody else.",
};
/// The initiator gave up the authentication.
pub static ABORTED_BY_PEER: Rule = Rule {
    id: "session-aborted-by-peer",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 6120 section 6.4.4",
    what: "the peer gave up the authentication",
    advice: "Its own error says why: perhaps this side could not prove that it knows the password.",
};
/// The peer sent a stream error.
pub static STREAM_ERROR: Rule = Rule {
    id: "session-stream-error",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120 section 4.9",
    what: "the peer ended the stream with an error",
    advice: "Look at the condition that is named.",
};
/// An announcement of octets that cannot be read.
pub static BAD_OCTETS: Rule = Rule {
    id: "session-bad-octets",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 9",
    what: "an element that announces octets is malformed",
    advice: "The peer does not follow the protocol.",
};
/// Too many octets at once.
pub static TOO_MANY_OCTETS: Rule = Rule {
    id: "session-too-many-octets",
    kind: ErrorKind::LimitExceeded,
    source: "docs/xtls-profile.md section 9",
    what: "the peer announces more octets at once than it may",
    advice: "The peer does not follow the protocol: it must cut them into smaller parts.",
};
/// The peer ignores that its data is not acknowledged.
pub static TOO_MUCH_UNREAD: Rule = Rule {
    id: "session-too-much-unread",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "the peer sends on although its data is not acknowledged",
    advice: "Read events faster, or raise the limit.",
};
/// Sending before the tunnel is established, or after its close.
pub static NOT_OPEN: Rule = Rule {
    id: "session-not-open",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "the session is not open for sending",
    advice: "Wait until it is established; after close open a new one.",
};
/// The send buffer is full.
pub static SEND_BUFFER_FULL: Rule = Rule {
    id: "session-send-buffer-full",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "too much waits to be sent",
    advice: "Send what the session has queued and feed it the answers first.",
};
/// Not a stanza.
pub static NOT_A_STANZA: Rule = Rule {
    id: "session-not-a-stanza",
    kind: ErrorKind::Misuse,
    source: "RFC 6120 section 8",
    what: "only message, presence and iq of jabber:client can be sent",
    advice: "Wrap other elements in a message.",
};
/// A stanza to send names others than us and the peer.
pub static WRONG_ADDRESSES: Rule = Rule {
    id: "session-wrong-addresses",
    kind: ErrorKind::Misuse,
    source: "RFC 6120 section 8.1",
    what: "a stanza to be sent is not from us to the peer of this session",
    advice: "Leave its from and to away, or set them to the two full addresses of the session.",
};
/// The endpoint is the wrong end.
pub static WRONG_SIDE: Rule = Rule {
    id: "session-wrong-side",
    kind: ErrorKind::Misuse,
    source: "draft-meyer-xmpp-e2e-encryption section 6",
    what: "the TLS endpoint is the wrong end: the initiator is the TLS client",
    advice: "Give a client endpoint to the initiator and a server endpoint to the responder.",
};
/// Both ends are the same.
pub static SELF: Rule = Rule {
    id: "session-self",
    kind: ErrorKind::Misuse,
    source: "RFC 9257 section 4.1",
    what: "a session needs two different addresses",
    advice: "Name the peer's full address.",
};
/// Not a session-initiate for us.
pub static NOT_AN_OFFER: Rule = Rule {
    id: "session-not-an-offer",
    kind: ErrorKind::Misuse,
    source: "XEP-0166 section 6.2",
    what: "the stanza is no session-initiate from a full address to ours",
    advice: "Hand over the stanza as it came.",
};
/// The application gave up.
pub static ABORTED: Rule = Rule {
    id: "session-aborted",
    kind: ErrorKind::Environment,
    source: "countersign",
    what: "this side gave the session up",
    advice: "Open a new session when you want one.",
};
