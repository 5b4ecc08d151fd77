//! Rules of stored records.

pub use crate::json::rules::{
    BAD_MEMBER, MISSING_MEMBER, NOT_JSON, REPEATED_MEMBER, TOO_LONG, UNKNOWN_MEMBER, UNKNOWN_TYPE,
    UNKNOWN_VERSION,
};

crate::json::rules::record_rules! {
    /// A text without a record in it.
    EMPTY = "records-empty", Misuse,
        "there is no record in the text",
        "Give the file that the records were written to.";
    /// A text in none of the formats.
    UNKNOWN_FORMAT = "records-unknown-format", Misuse,
        "this is none of the formats of records",
        "Use json, postgresql, ldap, openssl, gnutls or cyrus.";
    /// A line that is not what the format has.
    BAD_LINE = "records-bad-line", Misuse,
        "this is not a record of the named format",
        "Name the right format, and export the record again if it is damaged.";
    /// The format is for records of another kind.
    NOT_EXPRESSIBLE = "records-not-expressible", Misuse,
        "this format has no place for such a record",
        "Use json, which holds every record.";
    /// The name is part of what was hashed, and nobody said it.
    USER_MISSING = "records-user-missing", Misuse,
        "the record does not say whose it is, and that is part of it",
        "Name the user.";
    /// A work factor that the mechanism does not have.
    WORK_NOT_APPLICABLE = "records-work-not-applicable", Misuse,
        "the mechanism has no such work factor",
        "SCRAM has iterations; SPAKE2+, OPAQUE and SRP-…-PLUS a password hash; SRP a group.";
}
