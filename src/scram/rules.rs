//! Rules of SCRAM.

use crate::error::{ErrorKind, Rule};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $kind:ident, $source:literal, $what:literal, $advice:literal;)*) => {
        $(
            $(#[$doc])*
            pub static $name: Rule =
                Rule { id: $id, kind: ErrorKind::$kind, source: $source, what: $what, advice: $advice };
        )*
    };
}

rules! {
    /// Not UTF-8, or with a NUL.
    BAD_ENCODING = "scram-bad-encoding", PeerMisbehaved, "RFC 5802 section 7",
        "the message is not text",
        "The peer does not follow the mechanism; report it to its authors.";
    /// An attribute is missing, empty or in another order.
    BAD_MESSAGE = "scram-bad-message", PeerMisbehaved, "RFC 5802 section 7",
        "the message does not have the attributes it must have, in their order",
        "The peer does not follow the mechanism; report it to its authors.";
    /// The gs2-header is not one.
    BAD_GS2_HEADER = "scram-bad-gs2-header", PeerMisbehaved, "RFC 5802 section 7",
        "the message does not begin with a valid gs2-header",
        "The client does not follow the mechanism; report it to its authors.";
    /// The name is empty, has a bad escape, or does not pass SASLprep.
    BAD_USER_NAME = "scram-bad-user-name", PeerMisbehaved, "RFC 5802 section 5.1",
        "the user name or authorization identity is empty, badly escaped or not allowed",
        "Use a name without control characters.";
    /// A nonce with another octet than printable ASCII.
    BAD_NONCE = "scram-bad-nonce", PeerMisbehaved, "RFC 5802 section 5.1",
        "the nonce has an octet that is not printable ASCII",
        "The peer does not follow the mechanism; report it to its authors.";
    /// A value that must be base64 is not.
    BAD_BASE64 = "scram-bad-base64", PeerMisbehaved, "RFC 5802 section 7, RFC 4648 section 4",
        "a value in the message is not valid base64",
        "The peer does not follow the mechanism; report it to its authors.";
    /// An iteration count that is no posit-number.
    BAD_NUMBER = "scram-bad-number", PeerMisbehaved, "RFC 5802 section 7",
        "the iteration count is not a number from 1 without sign and leading zero",
        "The peer does not follow the mechanism; report it to its authors.";
    /// `m=`: an extension that must be understood, and there are none.
    MANDATORY_EXTENSION = "scram-mandatory-extension", PeerIncompatible, "RFC 5802 section 5.1",
        "the peer demands an extension, and none is defined",
        "Use another mechanism with this peer.";
    /// A letter with a meaning of its own in the place of an extension.
    MISPLACED_ATTRIBUTE = "scram-misplaced-attribute", PeerMisbehaved, "RFC 5802 section 5.1",
        "an attribute stands where only extensions may be",
        "The peer does not follow the mechanism; report it to its authors.";
    /// An extension came twice.
    REPEATED_ATTRIBUTE = "scram-repeated-attribute", PeerMisbehaved, "countersign",
        "an extension is given twice, so that its value is in doubt",
        "The peer does not follow the mechanism; report it to its authors.";
    /// The nonce does not continue what was sent before.
    NONCE_MISMATCH = "scram-nonce-mismatch", PeerMisbehaved, "RFC 5802 section 5.1",
        "the nonce is not the one of this exchange",
        "Try again; if it fails every time, somebody replays or edits messages.";
    /// The server added nothing to the client's nonce.
    NONCE_NOT_EXTENDED = "scram-nonce-not-extended", PeerMisbehaved, "RFC 5802 section 5.1",
        "the server added nothing of its own to the nonce",
        "Do not log in to this server: it may replay an old exchange.";
    /// Fewer iterations than our floor.
    TOO_FEW_ITERATIONS = "scram-too-few-iterations", PolicyRefused, "RFC 5802 section 5.1, RFC 7677 section 4",
        "too few iterations: the proof would be easy to guess the password from",
        "Have the password set anew on a server with a higher count; a hostile server asks for few.";
    /// More iterations than our ceiling.
    TOO_MANY_ITERATIONS = "scram-too-many-iterations", LimitExceeded, "RFC 5802 section 9",
        "too many iterations",
        "Raise the limit only if you know that this server really uses so many.";
    /// A salt of no octets, or of too many.
    SALT_LENGTH = "scram-salt-length", LimitExceeded, "RFC 5802 section 5.1",
        "the salt is empty or too long",
        "Have the password set anew; 16 random octets are a good salt.";
    /// `h` does not match what the client saw.
    DOWNGRADE = "scram-downgrade", AuthenticationFailed, "XEP-0474 0.5.0 section 4",
        "the server offered something else than what arrived here",
        "Somebody in between edits the list of mechanisms; do not go on over this network.";
    /// `h` is required and absent.
    DOWNGRADE_PROTECTION_MISSING = "scram-downgrade-protection-missing", PolicyRefused, "XEP-0474 0.5.0 section 4",
        "the server does not confirm what it offered",
        "Use -PLUS with a binding type that both know, or do not require downgrade protection.";
    /// `o` is absent, or not the digest of our context.
    CONTEXT_MISMATCH = "scram-context-mismatch", AuthenticationFailed, "countersign, docs/sasl-pake.md",
        "the SCRAM attribute o is absent or does not confirm who talks to whom and what was offered",
        "Somebody in between edits the negotiation, or the peer takes us for somebody else.";
    /// The ServerSignature is wrong.
    SERVER_SIGNATURE = "scram-server-signature", AuthenticationFailed, "RFC 5802 section 5",
        "the server has not proven that it knows the password",
        "Do not trust this connection: the other end may be an impostor.";
    /// The server sent `e=`.
    SERVER_ERROR = "scram-server-error", AuthenticationFailed, "RFC 5802 section 5.1",
        "the server refused the authentication",
        "Check name and password; servers do not say which of the two is wrong.";
    /// The client could bind and chose not to.
    PLUS_OFFERED = "scram-plus-offered", Misuse, "RFC 5802 section 6",
        "the server offers channel binding and the client has one, so it must use a -PLUS mechanism",
        "Choose a -PLUS mechanism.";
    /// The mechanism is not on the list that was sent to this client.
    NOT_OFFERED = "scram-not-offered", PeerIncompatible, "RFC 4422 section 3.3",
        "the client chose a mechanism that was not offered",
        "Choose from the list that was offered on this connection.";
    /// The client said `y`, but -PLUS was offered: somebody cut the list.
    BINDING_DOWNGRADE = "scram-binding-downgrade", AuthenticationFailed, "RFC 5802 section 6",
        "the client believes that channel binding was not offered, but it was",
        "Somebody in between edits the list of mechanisms; do not go on over this network.";
    /// -PLUS without `p=`.
    BINDING_NOT_USED = "scram-binding-not-used", PeerMisbehaved, "RFC 5802 section 6",
        "the client chose a -PLUS mechanism and does not bind to the channel",
        "The client does not follow the mechanism; report it to its authors.";
    /// `p=` without -PLUS.
    BINDING_NOT_SUPPORTED = "scram-binding-not-supported", PeerMisbehaved, "RFC 5802 section 6",
        "the client binds to a channel, but did not choose a -PLUS mechanism",
        "The client does not follow the mechanism; report it to its authors.";
    /// Another type of channel binding than ours.
    UNSUPPORTED_BINDING_TYPE = "scram-unsupported-binding-type", PeerIncompatible, "RFC 5802 section 6",
        "the two sides do not use the same type of channel binding",
        "Use tls-exporter on both sides.";
    /// `c=` is not what this channel gives.
    BINDING_MISMATCH = "scram-binding-mismatch", AuthenticationFailed, "RFC 5802 section 6",
        "the client is bound to another channel than this one",
        "Somebody in between relays the login, or both sides take the binding from different connections.";
    /// A proof of another length than the hash has.
    PROOF_LENGTH = "scram-proof-length", PeerMisbehaved, "RFC 5802 section 3",
        "the proof does not have the length of the hash",
        "The client does not follow the mechanism; report it to its authors.";
    /// Wrong password or unknown user.
    NOT_AUTHENTICATED = "scram-not-authenticated", AuthenticationFailed, "RFC 5802 section 3",
        "wrong password or unknown user",
        "Check name and password on both sides.";
    /// The client asked to act as somebody else.
    AUTHZID_DENIED = "scram-authzid-denied", AuthorizationDenied, "RFC 5802 section 5.1, RFC 4422 section 3.4.1",
        "the user may not act as the identity asked for",
        "Leave the authorization identity away.";
    /// A seed with less than [`SEED_MIN`](super::SEED_MIN) octets.
    SEED_TOO_SHORT = "scram-seed-too-short", Misuse, "countersign",
        "the seed from which unknown users are simulated is too short",
        "Give 32 random octets, and keep them for as long as the records.";
    /// Not the text of a record.
    BAD_RECORD = "scram-bad-record", Misuse, "RFC 5803 section 3",
        "not a stored SCRAM record",
        "A record looks like SCRAM-SHA-256$4096:salt$StoredKey:ServerKey.";
}
