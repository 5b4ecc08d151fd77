//! Rules of records in JSON, shown to the world as [`crate::records::rules`].

macro_rules! record_rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $kind:ident, $what:literal, $advice:literal;)*) => {
        $(
            $(#[$doc])*
            pub static $name: crate::error::Rule = crate::error::Rule {
                id: $id,
                kind: crate::error::ErrorKind::$kind,
                source: "docs/records.md",
                what: $what,
                advice: $advice,
            };
        )*
    };
}
pub(crate) use record_rules;

record_rules! {
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
}
