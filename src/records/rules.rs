//! Rules of stored records.

use crate::error::{ErrorKind, Rule};

/// The source of all of them.
const SOURCE: &str = "docs/records.md";

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $kind:ident, $what:literal, $advice:literal;)*) => {
        $($(#[$doc])* pub static $name: Rule =
            Rule { id: $id, kind: ErrorKind::$kind, source: SOURCE, what: $what, advice: $advice };)*
    };
}

rules! {
    /// A text without a record in it.
    EMPTY = "records-empty", Misuse,
        "there is no record in the text",
        "Give the file that the records were written to.";
    /// A text in none of the formats.
    UNKNOWN_FORMAT = "records-unknown-format", Misuse,
        "this is none of the formats of records",
        "Use json, postgresql, ldap, openssl, gnutls or cyrus.";
    /// A text or a record above its limit.
    TOO_LONG = "records-too-long", LimitExceeded,
        "the text is too long for what it should be, in octets",
        "Check that this is the right file, or split it.";
    /// Not objects of strings, whole numbers, booleans, null and objects.
    NOT_JSON = "records-not-json", Misuse,
        "this is not JSON as records have it",
        "Write objects with strings, whole numbers, true, false and null, and nothing between them.";
    /// A name that comes twice in one object.
    REPEATED_MEMBER = "records-repeated-member", Misuse,
        "a member comes twice in the record",
        "Remove one of them; programs do not agree on which of two counts.";
    /// A member that the type needs.
    MISSING_MEMBER = "records-missing-member", Misuse,
        "a member is missing in the record",
        "Export the record again from where it came from, or enroll the user again.";
    /// A member that the type does not have.
    UNKNOWN_MEMBER = "records-unknown-member", Misuse,
        "the record has a member that its type does not know",
        "Remove it, or read the record with a newer version.";
    /// A value of another type, of a wrong length, or outside its range.
    BAD_MEMBER = "records-bad-member", Misuse,
        "a member of the record has a value that it cannot have",
        "Export the record again from where it came from, or enroll the user again.";
    /// A type that this build does not know.
    UNKNOWN_TYPE = "records-unknown-type", Misuse,
        "this build knows no such type of record",
        "Check the spelling; some types need a Cargo feature.";
    /// A version other than 1.
    UNKNOWN_VERSION = "records-unknown-version", Misuse,
        "the record has a version that this program does not know",
        "Read the record with a newer version.";
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
