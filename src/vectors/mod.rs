//! The one runner for files of test vectors, used by `cargo test` and by the command line.
//!
//! A file is a JSON object with its origin (`source`), the number of cases (`count`) and the `cases`: a list, or an
//! object whose members are lists of cases or single cases. The family, which is the part of the file's name before
//! the first underscore, says which code answers for the cases; which fields a case has says what is computed.
//!
//! Everything that a case states is recomputed, and exchanges are replayed through both sides of the mechanism.
//! A field that nothing would look at is a failure, so no value can hide behind a spelling error.

#[cfg(feature = "cpace")]
mod cpace;
#[cfg(any(feature = "cpace", feature = "opaque", feature = "spake2plus", feature = "srp"))]
mod example;
#[cfg_attr(not(feature = "scram"), allow(dead_code, reason = "only SCRAM has base64"))]
mod fields;
mod kdf;
#[cfg(feature = "opaque")]
mod opaque;
#[cfg(feature = "opaque")]
mod opaque_3dh;
#[cfg(feature = "cpace")]
mod pake;
mod prep;
#[cfg(feature = "srp")]
mod sasl_srp;
#[cfg(feature = "scram")]
mod scram;
mod server_end_point;
#[cfg(feature = "spake2plus")]
mod spake2plus;
#[cfg(feature = "srp")]
mod srp;
#[cfg(feature = "srp")]
mod srp_files;
#[cfg(feature = "srp")]
mod srp_plus;
mod tls13;

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result, Rule};
use fields::{Checked, Fault, Fields};

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// No family of vectors has that name.
    pub static UNKNOWN_FAMILY: Rule = Rule {
        id: "vectors-unknown-family",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "no family of test vectors has this name",
        advice: "Name one of the families in the help text; it is the part of the file name before the first underscore.",
    };
    /// The text is not JSON.
    pub static NOT_JSON: Rule = Rule {
        id: "vectors-not-json",
        kind: ErrorKind::Misuse,
        source: "RFC 8259",
        what: "the file is not JSON",
        advice: "Check the file with a JSON tool at the line and column named.",
    };
    /// JSON, but not a file of vectors.
    pub static BAD_SHAPE: Rule = Rule {
        id: "vectors-bad-shape",
        kind: ErrorKind::Misuse,
        source: "vectors/README.md",
        what: "the file has not the shape of a file of vectors",
        advice: "Give it a text `source`, a number `count`, and `cases` as a list or as an object of lists.",
    };
    /// There is nothing to check.
    pub static NO_CASES: Rule = Rule {
        id: "vectors-no-cases",
        kind: ErrorKind::Misuse,
        source: "vectors/README.md",
        what: "the file has no case",
        advice: "A file without cases proves nothing; add one or remove the file.",
    };
    /// Cases were lost or added.
    pub static COUNT_MISMATCH: Rule = Rule {
        id: "vectors-count-mismatch",
        kind: ErrorKind::Misuse,
        source: "vectors/README.md",
        what: "the number of cases is not the `count` of the file",
        advice: "Find the case that was lost or added, then correct `count`.",
    };
}

/// A file of vectors that is compiled in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct File {
    /// Its name in the directory `vectors/`.
    pub name: &'static str,
    /// Its text.
    pub json: &'static str,
}

impl File {
    /// The family that answers for it.
    #[must_use]
    pub fn family(&self) -> &'static str {
        family_of(self.name)
    }
}

/// The family a file name stands for: what comes before the first underscore.
#[must_use]
pub fn family_of(file_name: &str) -> &str {
    let stem = file_name.strip_suffix(".json").unwrap_or(file_name);
    stem.split_once('_').map_or(stem, |(family, _)| family)
}

/// All files that are compiled in, by name.
pub fn built_in() -> impl Iterator<Item = File> {
    FILES.iter().copied()
}

/// The names of all families, those too that this build cannot check.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(File { name: $name, json: include_str!(concat!("../../vectors/", $name)) }),+]
    };
}

static FILES: &[File] = files![
    "argon2_rfc9106.json",
    "cpace_ristretto255_sha512.json",
    "cpace_sasl.json",
    "cpace_string_utils.json",
    "cpace_x25519_sha512.json",
    "hkdf_rfc5869.json",
    "opaque_rfc9807.json",
    "opaque_sasl.json",
    "pake_psk.json",
    "pbkdf2_rfc6070.json",
    "pbkdf2_scrypt_rfc7914.json",
    "precis_opaquestring_rfc8265.json",
    "sasl_srp_cyrus_interop.json",
    "sasl_srp_draft08_derived.json",
    "saslprep_rfc4013.json",
    "scram_derived.json",
    "scram_plus_tls_exporter_xep0474.json",
    "scram_rfc5802_rfc7677.json",
    "scram_stored_verifiers.json",
    "spake2plus_registration_derived.json",
    "spake2plus_rfc9383.json",
    "spake2plus_sasl.json",
    "srp6a_leading_zero_derived.json",
    "srp6a_picl_leading_zeros.json",
    "srp6a_rfc5054_appendix_b.json",
    "srp_groups_rfc5054.json",
    "srp_groups_sasl_srp_draft08.json",
    "srp_negative_cases.json",
    "srp_sasl.json",
    "srp_verifier_files.json",
    "tls13_low_entropy_psk_audit_derived.json",
    "tls13_psk_importer_rfc9258.json",
    "tls13_traces_binder_exporter.json",
    "tls_server_end_point.json",
];

struct Family {
    name: &'static str,
    check: fn(&Fields<'_>) -> Checked,
}

static FAMILIES: &[Family] = &[
    Family { name: "argon2", check: kdf::argon2 },
    #[cfg(feature = "cpace")]
    Family { name: "cpace", check: cpace::check },
    #[cfg(not(feature = "cpace"))]
    Family { name: "cpace", check: not_implemented },
    Family { name: "hkdf", check: kdf::hkdf },
    #[cfg(feature = "opaque")]
    Family { name: "opaque", check: opaque::check },
    #[cfg(not(feature = "opaque"))]
    Family { name: "opaque", check: not_implemented },
    #[cfg(feature = "cpace")]
    Family { name: "pake", check: pake::check },
    #[cfg(not(feature = "cpace"))]
    Family { name: "pake", check: not_implemented },
    Family { name: "pbkdf2", check: kdf::pbkdf2_or_scrypt },
    Family { name: "precis", check: prep::opaque_string },
    Family { name: "sasl", check: sasl },
    Family { name: "saslprep", check: prep::saslprep },
    #[cfg(feature = "scram")]
    Family { name: "scram", check: scram::check },
    #[cfg(not(feature = "scram"))]
    Family { name: "scram", check: needs_scram },
    #[cfg(feature = "spake2plus")]
    Family { name: "spake2plus", check: spake2plus::check },
    #[cfg(not(feature = "spake2plus"))]
    Family { name: "spake2plus", check: not_implemented },
    #[cfg(feature = "srp")]
    Family { name: "srp", check: srp::other },
    #[cfg(feature = "srp")]
    Family { name: "srp6a", check: srp::exchange },
    #[cfg(not(feature = "srp"))]
    Family { name: "srp", check: needs_srp },
    #[cfg(not(feature = "srp"))]
    Family { name: "srp6a", check: needs_srp },
    Family { name: "tls", check: server_end_point::check },
    Family { name: "tls12", check: not_implemented },
    Family { name: "tls13", check: tls13::check },
];

fn not_implemented(_: &Fields<'_>) -> Checked {
    Err(Fault::Unsupported("this build does not implement the family"))
}

/// The files of SASL exchanges that are no family of their own: SRP, and hashed tokens, of which we have no code.
fn sasl(case: &Fields<'_>) -> Checked {
    if case.has("token") && case.has("initiator_msg") && case.has("responder_msg") {
        return Err(Fault::Unsupported("this build does not implement the mechanisms with hashed tokens"));
    }
    #[cfg(feature = "srp")]
    return sasl_srp::check(case);
    #[cfg(not(feature = "srp"))]
    needs_srp(case)
}

#[cfg(not(feature = "scram"))]
fn needs_scram(_: &Fields<'_>) -> Checked {
    Err(Fault::Unsupported("this build lacks the feature `scram`"))
}

#[cfg(not(feature = "srp"))]
fn needs_srp(_: &Fields<'_>) -> Checked {
    Err(Fault::Unsupported("this build lacks the feature `srp`"))
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a case holds, does not hold, or was not checked")]
pub enum Verdict {
    /// Every value was recomputed and agrees.
    Passed,
    /// What differs, or what is wrong with the case itself.
    Failed(String),
    /// Why this build could not check it.
    Skipped(String),
}

/// One case of a file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Case {
    /// Its `name`, or its place in the file where it has none: `cases.scrypt[2]`.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The family that answered.
    pub family: &'static str,
    /// Where the vectors come from, as the file states it.
    pub source: String,
    /// All cases, in the order of the file; at least one.
    pub cases: Vec<Case>,
}

impl Report {
    /// Number of cases that hold.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.verdict == Verdict::Passed).count()
    }

    /// The cases that do not hold, with what is wrong.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Failed(reason) => Some((case.name.as_str(), reason.as_str())),
            _ => None,
        })
    }

    /// The cases that this build cannot check, with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Skipped(reason) => Some((case.name.as_str(), reason.as_str())),
            _ => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, skipped) = (self.failed().count(), self.skipped().count());
        write!(f, "{}: {} passed, {failed} failed, {skipped} skipped", self.family, self.passed())
    }
}

/// Checks every case of a file of `family`.
///
/// A case that does not hold, or lacks a field, or has one too many, is reported under its name in the [`Report`];
/// it is no error of this function.
///
/// # Errors
/// [`rules::UNKNOWN_FAMILY`], [`rules::NOT_JSON`], [`rules::BAD_SHAPE`], [`rules::NO_CASES`] and
/// [`rules::COUNT_MISMATCH`].
pub fn run(family: &str, json: &str) -> Result<Report> {
    let family = FAMILIES
        .iter()
        .find(|known| known.name == family)
        .ok_or_else(|| Error::new(&rules::UNKNOWN_FAMILY).about(family))?;
    let file = serde_json::from_str::<Value>(json)
        .map_err(|error| Error::new(&rules::NOT_JSON).about(error.to_string()))?;
    let (source, cases) = parse(&file)?;
    let cases = cases
        .into_iter()
        .map(|(place, case)| {
            let name = case.get("name").and_then(Value::as_str).map_or(place, str::to_owned);
            Case { name: printable(&name), verdict: judge(family, case) }
        })
        .collect();
    Ok(Report { family: family.name, source: printable(source), cases })
}

/// The source, and each case with its place in the file.
fn parse(file: &Value) -> Result<(&str, Vec<(String, &Value)>)> {
    let shape = |what: &str| Error::new(&rules::BAD_SHAPE).about(what);
    let file = file.as_object().ok_or_else(|| shape("not an object"))?;
    let source = file.get("source").and_then(Value::as_str).ok_or_else(|| shape("no text `source`"))?;
    let count = file.get("count").and_then(Value::as_u64).ok_or_else(|| shape("no number `count`"))?;
    let cases = match file.get("cases") {
        Some(Value::Array(list)) => numbered("cases", list).collect(),
        Some(Value::Object(groups)) => grouped(groups)?,
        _ => return Err(shape("no `cases`")),
    };
    if cases.is_empty() {
        return Err(Error::new(&rules::NO_CASES));
    }
    if cases.len() as u64 != count {
        let numbers = format!("`count` is {count}, there are {}", cases.len());
        return Err(Error::new(&rules::COUNT_MISMATCH).about(numbers));
    }
    Ok((source, cases))
}

fn grouped(groups: &Map<String, Value>) -> Result<Vec<(String, &Value)>> {
    let mut cases = Vec::new();
    for (group, value) in groups {
        let place = format!("cases.{group}");
        match value {
            Value::Array(list) => cases.extend(numbered(&place, list)),
            Value::Object(_) => cases.push((place, value)),
            _ => return Err(Error::new(&rules::BAD_SHAPE).about(place)),
        }
    }
    Ok(cases)
}

fn numbered<'a>(place: &str, list: &'a [Value]) -> impl Iterator<Item = (String, &'a Value)> {
    list.iter().enumerate().map(move |(i, case)| (format!("{place}[{i}]"), case))
}

fn judge(family: &Family, case: &Value) -> Verdict {
    let Value::Object(map) = case else {
        return Verdict::Failed("the case is not an object".to_owned());
    };
    let fields = Fields::new(map);
    fields.describe(&["name"]);
    match (family.check)(&fields).and_then(|()| fields.finish()) {
        Ok(()) => Verdict::Passed,
        Err(Fault::Unsupported(reason)) => Verdict::Skipped(printable(reason)),
        Err(Fault::Wrong(reason)) => Verdict::Failed(printable(&reason)),
    }
}

/// File contents may be hostile to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(family: &str, json: &str) -> Error {
        run(family, json).expect_err("the file should be refused")
    }

    #[test]
    fn a_family_nobody_knows_is_refused() {
        assert!(error("scrum", "{}").is(&rules::UNKNOWN_FAMILY));
        assert!(error("", "{}").is(&rules::UNKNOWN_FAMILY));
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in ["", "{", "{} {}", "nul", "{\"a\":1,}"] {
            assert!(error("pbkdf2", text).is(&rules::NOT_JSON), "{text}");
        }
        assert!(error("pbkdf2", &"[".repeat(100_000)).is(&rules::NOT_JSON));
    }

    #[test]
    fn json_of_another_shape_is_refused() {
        for text in [
            "[]",
            "{}",
            r#"{"source":1,"count":1,"cases":[{}]}"#,
            r#"{"source":"x","count":"1","cases":[{}]}"#,
            r#"{"source":"x","count":-1,"cases":[{}]}"#,
            r#"{"source":"x","count":1,"cases":"a"}"#,
            r#"{"source":"x","count":1,"cases":{"a":1}}"#,
        ] {
            assert!(error("pbkdf2", text).is(&rules::BAD_SHAPE), "{text}");
        }
    }

    #[test]
    fn a_file_without_cases_is_refused() {
        for cases in ["[]", "{}", r#"{"a":[]}"#] {
            let text = format!(r#"{{"source":"x","count":0,"cases":{cases}}}"#);
            assert!(error("pbkdf2", &text).is(&rules::NO_CASES), "{text}");
        }
    }

    #[test]
    fn a_count_one_below_or_above_is_refused() {
        for (count, ok) in [(1, false), (2, true), (3, false)] {
            let text = format!(r#"{{"source":"x","count":{count},"cases":[{{}},{{}}]}}"#);
            let result = run("cpace", &text);
            assert_eq!(result.is_ok(), ok, "{text}");
            if let Err(error) = result {
                assert!(error.is(&rules::COUNT_MISMATCH));
            }
        }
    }

    #[test]
    fn a_case_that_is_not_an_object_fails_under_its_place() {
        let report = run("pbkdf2", r#"{"source":"x","count":2,"cases":{"a":[7],"b":{}}}"#).unwrap();
        let failed = report.failed().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(failed, ["cases.a[0]", "cases.b"]);
    }

    #[test]
    fn a_family_without_code_is_skipped_and_counted() {
        let report = run("tls12", r#"{"source":"x","count":1,"cases":[{"name":"a\u0007b"}]}"#).unwrap();
        assert_eq!((report.passed(), report.failed().count()), (0, 0));
        let (name, reason) = report.skipped().next().unwrap();
        assert_eq!(name, "a\u{fffd}b");
        assert!(!reason.is_empty());
    }

    #[test]
    fn the_family_is_what_precedes_the_first_underscore() {
        for (file, family) in [
            ("tls13_traces_binder_exporter.json", "tls13"),
            ("tls_server_end_point.json", "tls"),
            ("cpace.json", "cpace"),
            ("srp", "srp"),
        ] {
            assert_eq!(family_of(file), family);
        }
        for file in built_in() {
            assert!(families().any(|family| family == file.family()), "{}", file.name);
        }
    }
}
