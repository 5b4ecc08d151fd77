//! Rules of the readers here.

use crate::error::{ErrorKind, Rule};

/// Not a transcript file.
pub static BAD_TRANSCRIPT: Rule = Rule {
    id: "dictionary-bad-transcript",
    kind: ErrorKind::Misuse,
    source: "docs/offline-cost.md, Transcripts",
    what: "this is no transcript, or a damaged one",
    advice: "Give a file that a recorder wrote, or TLS records as they were captured.",
};

/// A file above [`FILE_MAX`](super::FILE_MAX), or more messages than [`MESSAGES_MAX`](super::MESSAGES_MAX).
pub static TRANSCRIPT_TOO_LONG: Rule = Rule {
    id: "dictionary-transcript-too-long",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "the transcript is longer than an exchange can be",
    advice: "Cut the capture to one handshake.",
};

/// A mechanism nobody here can say anything about.
pub static UNKNOWN_MECHANISM: Rule = Rule {
    id: "dictionary-unknown-mechanism",
    kind: ErrorKind::PeerIncompatible,
    source: "countersign",
    what: "nothing is known here about what this mechanism leaves to an attacker",
    advice: "See the list of mechanisms in docs/offline-cost.md.",
};

/// Known, but its family was left out of this build.
pub static NOT_IN_THIS_BUILD: Rule = Rule {
    id: "dictionary-not-in-this-build",
    kind: ErrorKind::PeerIncompatible,
    source: "countersign",
    what: "this build has no code for the mechanism of this transcript or record",
    advice: "Build with the feature of the mechanism's family.",
};

/// The messages do not fit together.
pub static MESSAGES_DO_NOT_FIT: Rule = Rule {
    id: "dictionary-messages-do-not-fit",
    kind: ErrorKind::Misuse,
    source: "docs/offline-cost.md, Transcripts",
    what: "the messages of the transcript are not those of one exchange of its mechanism",
    advice: "Record one exchange from its first message, and nothing else.",
};

/// An iteration count that no exchange here has.
pub static TOO_MANY_ITERATIONS: Rule = Rule {
    id: "dictionary-too-many-iterations",
    kind: ErrorKind::LimitExceeded,
    source: "countersign",
    what: "the transcript asks for more iterations than any client would run",
    advice: "The server of this exchange was broken or hostile; there is no proof to test.",
};

/// Not TLS.
pub static BAD_RECORD_LAYER: Rule = Rule {
    id: "dictionary-bad-tls-records",
    kind: ErrorKind::Misuse,
    source: "RFC 8446 section 5.1, RFC 5246 section 6.2",
    what: "these are no TLS records, or the capture ends within one",
    advice: "Give the octets of the TCP connection from its first one on, both directions in the order of time.",
};

/// TLS, but not the messages that a test needs.
pub static NO_PSK_HANDSHAKE: Rule = Rule {
    id: "dictionary-no-psk-handshake",
    kind: ErrorKind::Misuse,
    source: "RFC 8446 section 4.2.11, RFC 4279",
    what: "the captured handshake has no PSK that could be tested",
    advice: "Capture a ClientHello with pre_shared_key (TLS 1.3), or a whole PSK handshake up to the client's Finished (TLS 1.2).",
};

/// A cipher suite that there is no test for.
pub static UNSUPPORTED_SUITE: Rule = Rule {
    id: "dictionary-unsupported-suite",
    kind: ErrorKind::PeerIncompatible,
    source: "countersign",
    what: "there is no test here for handshakes with this cipher suite",
    advice: "Plain, DHE and ECDHE PSK suites with AES in GCM, CCM or CBC mode can be tested.",
};

/// A record that other tools have no format for.
pub static NO_FORMAT: Rule = Rule {
    id: "dictionary-no-format",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "that tool has no format for this record or transcript",
    advice: "hashcat takes stored SCRAM-SHA-256 (mode 28600) and SCRAM-SHA-1 (mode 23200), John the Ripper stored SCRAM-SHA-1; test the rest here.",
};

/// A record that has a format, with a salt that is too long for the tool.
pub static LONG_SALT: Rule = Rule {
    id: "dictionary-long-salt",
    kind: ErrorKind::Misuse,
    source: "hashcat 6.2.6, John the Ripper",
    what: "the record's salt is longer than that tool reads",
    advice: "hashcat reads salts of 64 octets with SCRAM-SHA-256 and of 256 with SCRAM-SHA-1, John the Ripper of 64; test the record here.",
};
