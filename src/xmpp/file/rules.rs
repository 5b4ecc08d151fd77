//! Rules of a file transfer.

use crate::error::{ErrorKind, Rule};

/// An element of the exchange is not of its form.
pub static MALFORMED: Rule = Rule {
    id: "file-malformed",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13, XEP-0446, XEP-0300",
    what: "an element of the file transfer is malformed",
    advice: "The peer does not follow the protocol.",
};
/// An element at the wrong time, or of another transfer.
pub static OUT_OF_ORDER: Rule = Rule {
    id: "file-out-of-order",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13",
    what: "an element of the file transfer has no place here",
    advice: "The peer does not follow the protocol.",
};
/// Octets between files.
pub static UNEXPECTED_OCTETS: Rule = Rule {
    id: "file-unexpected-octets",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13",
    what: "the peer sent octets that belong to no file",
    advice: "Both ends must use the tunnel in the same way: files on both, or octets on both.",
};
/// More octets than the offer says.
pub static TOO_LONG: Rule = Rule {
    id: "file-too-long",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13",
    what: "the file is longer than was announced",
    advice: "The sender is broken.",
};
/// The end before all octets.
pub static TOO_SHORT: Rule = Rule {
    id: "file-too-short",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13",
    what: "the file is shorter than was announced",
    advice: "The sender is broken.",
};
/// All octets, and another hash.
pub static WRONG_HASH: Rule = Rule {
    id: "file-wrong-hash",
    kind: ErrorKind::PeerMisbehaved,
    source: "XEP-0300 section 2, docs/xtls-profile.md section 13",
    what: "the file that came does not have the announced hash",
    advice: "Nothing was stored; have it sent again.",
};
/// The sender stopped in the middle.
pub static ABANDONED: Rule = Rule {
    id: "file-abandoned",
    kind: ErrorKind::Truncated,
    source: "docs/xtls-profile.md section 13",
    what: "the sender gave the file up: it has changed there",
    advice: "Have it sent again.",
};
/// The session ended first.
pub static CUT_SHORT: Rule = Rule {
    id: "file-cut-short",
    kind: ErrorKind::Truncated,
    source: "docs/xtls-profile.md section 13",
    what: "the session ended before the file was confirmed",
    advice: "Send the file again: what has arrived is not sent twice.",
};
/// Not what was hashed before.
pub static CHANGED: Rule = Rule {
    id: "file-changed",
    kind: ErrorKind::Environment,
    source: "countersign",
    what: "the file changed while it was sent",
    advice: "Wait until nothing writes to it, or copy it and send the copy.",
};
/// A name that could do harm.
pub static BAD_NAME: Rule = Rule {
    id: "file-bad-name",
    kind: ErrorKind::PolicyRefused,
    source: "countersign",
    what: "the name of the file is not accepted",
    advice: "Send the file under a plain name.",
};
/// A name above the limit.
pub static NAME_TOO_LONG: Rule = Rule {
    id: "file-name-too-long",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "the name of the file is too long",
    advice: "Send the file under a shorter name.",
};
/// A file above the limit.
pub static TOO_LARGE: Rule = Rule {
    id: "file-too-large",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "the file is larger than allowed",
    advice: "Raise the limit of the receiver, or send the file in parts.",
};
/// The receiver has another file of that name.
pub static EXISTS: Rule = Rule {
    id: "file-exists",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver has another file of this name and does not overwrite it",
    advice: "Send it under another name, or let the receiver agree to overwrite.",
};
/// The receiver does not like the name.
pub static NAME_DECLINED: Rule = Rule {
    id: "file-name-declined",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver does not accept the name of the file",
    advice: "Send it under a plain name.",
};
/// The receiver takes smaller files only.
pub static SIZE_DECLINED: Rule = Rule {
    id: "file-size-declined",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver does not take files of this size",
    advice: "Let the receiver raise its limit, or send the file in parts.",
};
/// The receiver's disk is full.
pub static NO_SPACE: Rule = Rule {
    id: "file-no-space",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver has no room for the file",
    advice: "Make room there and send the file again: what has arrived is not sent twice.",
};
/// The receiver cannot write.
pub static NOT_STORED: Rule = Rule {
    id: "file-not-stored",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver cannot store the file",
    advice: "Check the directory there and its permissions.",
};
/// The person at the other end said no.
pub static DECLINED: Rule = Rule {
    id: "file-declined",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver declined the file",
    advice: "Ask the person at the other end.",
};
/// The peer takes no files.
pub static NOT_RECEIVING: Rule = Rule {
    id: "file-not-receiving",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the peer takes no files",
    advice: "Start the other side so that it does, for instance: countersign listen --receive DIR.",
};
/// The same file is on its way already.
pub static BUSY: Rule = Rule {
    id: "file-busy",
    kind: ErrorKind::PeerUnavailable,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver is busy with this file already",
    advice: "Wait until the other transfer has ended.",
};
/// The receiver got other octets than we sent.
pub static HASH_DISPUTED: Rule = Rule {
    id: "file-hash-disputed",
    kind: ErrorKind::PeerMisbehaved,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver found another hash than ours and has thrown the file away",
    advice: "Send it again; if that fails as well, the disk of one side may be failing.",
};
/// The receiver says that we are broken.
pub static PROTOCOL_DISPUTED: Rule = Rule {
    id: "file-protocol-disputed",
    kind: ErrorKind::PeerIncompatible,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver found our side of the transfer malformed",
    advice: "Use programs of the same version at both ends.",
};
/// A reason that we do not know.
pub static REFUSED: Rule = Rule {
    id: "file-refused",
    kind: ErrorKind::PolicyRefused,
    source: "docs/xtls-profile.md section 13",
    what: "the receiver refused the file",
    advice: "Look at the reason that is named.",
};
