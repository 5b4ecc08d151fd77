//! Rules of SRP.

use crate::error::{ErrorKind, Rule};

/// (N, g) is in none of the tables.
pub static UNKNOWN_GROUP: Rule = Rule {
    id: "srp-unknown-group",
    kind: ErrorKind::PeerIncompatible,
    source: "RFC 5054 sections 2.5.3 and 3.2",
    what: "the SRP group is none of the known ones",
    advice: "Use a group of RFC 5054, 3072 bits or more; a group nobody knows may be made to reveal passwords.",
};
/// The group is known, and too small.
pub static GROUP_TOO_SMALL: Rule = Rule {
    id: "srp-group-too-small",
    kind: ErrorKind::PolicyRefused,
    source: "RFC 5054 section 3.2, countersign",
    what: "the SRP group has less than 2048 bits",
    advice: "Enroll the user again in a group of 3072 bits or more.",
};
/// A or B has more octets than N.
pub static SHARE_TOO_LONG: Rule = Rule {
    id: "srp-share-too-long",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 5054 section 2.1, countersign",
    what: "the peer's public value has more octets than the modulus",
    advice: "The peer is broken or hostile; do not trust this connection.",
};
/// A or B is zero.
pub static SHARE_ZERO: Rule = Rule {
    id: "srp-share-zero",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 5054 sections 2.5.3 and 2.5.4",
    what: "the peer's public value is zero, which would fix the key whatever the password",
    advice: "No honest peer sends this; do not trust this connection.",
};
/// A or B is N or more.
pub static SHARE_TOO_LARGE: Rule = Rule {
    id: "srp-share-too-large",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 5054 sections 2.5.3 and 2.5.4, countersign",
    what: "the peer's public value is not below the modulus",
    advice: "The peer is broken or hostile; do not trust this connection.",
};
/// A or B is 1 or N-1.
pub static SHARE_TRIVIAL: Rule = Rule {
    id: "srp-share-trivial",
    kind: ErrorKind::PeerMisbehaved,
    source: "countersign",
    what: "the peer's public value is 1 or N-1, which no random exponent gives",
    advice: "No honest peer sends this; do not trust this connection.",
};
/// u is zero.
pub static ZERO_SCRAMBLER: Rule = Rule {
    id: "srp-zero-scrambler",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 2945 section 3, RFC 5054 section 2.6",
    what: "the hash of the public values is zero, so that the verifier would not matter",
    advice: "Try again; if it happens twice, do not trust this peer.",
};
/// The client's M1 is not the one we computed.
pub static WRONG_CLIENT_PROOF: Rule = Rule {
    id: "srp-wrong-client-proof",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 2945 section 3",
    what: "the client's proof is wrong: another password, an unknown user, or somebody in between",
    advice: "Check the password on both sides; each failure may have been one guess of an attacker.",
};
/// The server's M2 is not the one we computed.
pub static WRONG_SERVER_PROOF: Rule = Rule {
    id: "srp-wrong-server-proof",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 2945 section 3",
    what: "the server's proof is wrong: it does not hold our verifier, or somebody is in between",
    advice: "Do not trust this connection: the other end may be an impostor.",
};
/// An empty password proves nothing.
pub static EMPTY_PASSWORD: Rule = Rule {
    id: "srp-empty-password",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "the password is empty",
    advice: "Agree on a password with the peer.",
};
/// A salt of a length that cannot be used.
pub static SALT_LENGTH: Rule = Rule {
    id: "srp-salt-length",
    kind: ErrorKind::PeerMisbehaved,
    source: "draft-burdis-cat-srp-sasl-08 section 3, countersign",
    what: "the salt is empty or longer than 255 octets, or shorter than the 8 octets that Argon2id takes",
    advice: "Enroll the user again; 16 random octets are a good salt.",
};
/// A verifier that no password has.
pub static BAD_VERIFIER: Rule = Rule {
    id: "srp-bad-verifier",
    kind: ErrorKind::Misuse,
    source: "RFC 5054 section 2.4",
    what: "the stored verifier is not a number from 2 to N-2",
    advice: "The record is damaged or belongs to another group; enroll the user again.",
};
/// A stored record or a line of a verifier file that cannot be read.
pub static BAD_RECORD: Rule = Rule {
    id: "srp-bad-record",
    kind: ErrorKind::Misuse,
    source: "docs/records.md",
    what: "the stored SRP record cannot be read",
    advice: "Export it again from where it came from, or enroll the user again.",
};
/// The file's format has no place for what the record holds.
pub static NOT_EXPRESSIBLE: Rule = Rule {
    id: "srp-not-expressible",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "this file format cannot hold this record or name",
    advice: "Use the JSON form, which holds everything.",
};
/// A SASL SRP message that breaks the grammar.
pub static BAD_MESSAGE: Rule = Rule {
    id: "srp-bad-message",
    kind: ErrorKind::PeerMisbehaved,
    source: "draft-burdis-cat-srp-sasl-08 section 3",
    what: "the message is not encoded as SASL SRP prescribes",
    advice: "The peer does not follow the mechanism; report it to its authors.",
};
/// The server demands a security layer.
pub static LAYER_DEMANDED: Rule = Rule {
    id: "srp-layer-demanded",
    kind: ErrorKind::PolicyRefused,
    source: "draft-burdis-cat-srp-sasl-08 section 4.3",
    what: "the server demands a security layer of SASL SRP, which we refuse",
    advice: "Use TLS beneath SASL and let the server demand no layer.",
};
/// The client chose a security layer that was not offered.
pub static LAYER_CHOSEN: Rule = Rule {
    id: "srp-layer-chosen",
    kind: ErrorKind::PeerMisbehaved,
    source: "draft-burdis-cat-srp-sasl-08 section 4.3",
    what: "the client chose an option of SASL SRP that was not offered",
    advice: "Use TLS beneath SASL; we offer no security layer.",
};
/// No hash in common.
pub static NO_COMMON_HASH: Rule = Rule {
    id: "srp-no-common-hash",
    kind: ErrorKind::PeerIncompatible,
    source: "draft-burdis-cat-srp-sasl-08 section 4.3",
    what: "the server offers no hash function that we have for SASL SRP",
    advice: "Let the server offer mda=SHA-1, or use SRP-SHA-256-PLUS.",
};
/// The server answered as if a session was to be used again.
pub static SESSION_REUSE: Rule = Rule {
    id: "srp-session-reuse",
    kind: ErrorKind::PeerMisbehaved,
    source: "draft-burdis-cat-srp-sasl-08 section 5.3",
    what: "the server claims to go on with an old session, and we named none",
    advice: "The peer does not follow the mechanism; report it to its authors.",
};
/// The client asks to act for somebody else.
pub static AUTHZID_REFUSED: Rule = Rule {
    id: "srp-authzid-refused",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 4422 section 3.4.1",
    what: "the client asks to act as another identity, which we allow nobody",
    advice: "Leave the authorization identity away.",
};
/// A name or a value that SASL SRP cannot carry.
pub static FIELD_TOO_LONG: Rule = Rule {
    id: "srp-field-too-long",
    kind: ErrorKind::LimitExceeded,
    source: "draft-burdis-cat-srp-sasl-08 section 3",
    what: "a name or value is longer than SASL SRP can carry",
    advice: "Use a shorter name.",
};
/// The group is known, and too small for the -PLUS mechanisms.
pub static GROUP_TOO_SMALL_FOR_PLUS: Rule = Rule {
    id: "srp-group-too-small-for-plus",
    kind: ErrorKind::PolicyRefused,
    source: "docs/sasl-pake.md, SRP messages",
    what: "the SRP group has less than the 3072 bits that this mechanism wants",
    advice: "Enroll the user again in a group of 3072 bits or more.",
};
