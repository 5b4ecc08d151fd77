//! Every file of vectors holds, and the runner notices every change to one.
#![cfg(feature = "scram")]
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

use countersign::vectors::{self, File, Report};
use serde_json::{Map, Value, json};

/// The files and how many cases each has.
const FILES: [(&str, usize); 34] = [
    ("argon2_rfc9106.json", 6),
    ("cpace_ristretto255_sha512.json", 4),
    ("cpace_sasl.json", 2),
    ("cpace_string_utils.json", 11),
    ("cpace_x25519_sha512.json", 13),
    ("hkdf_rfc5869.json", 7),
    ("opaque_rfc9807.json", 3),
    ("opaque_sasl.json", 1),
    ("pake_psk.json", 2),
    ("pbkdf2_rfc6070.json", 6),
    ("pbkdf2_scrypt_rfc7914.json", 6),
    ("precis_opaquestring_rfc8265.json", 11),
    ("sasl_srp_cyrus_interop.json", 4),
    ("sasl_srp_draft08_derived.json", 4),
    ("saslprep_rfc4013.json", 19),
    ("scram_derived.json", 8),
    ("scram_plus_tls_exporter_xep0474.json", 1),
    ("scram_rfc5802_rfc7677.json", 2),
    ("scram_stored_verifiers.json", 4),
    ("spake2plus_registration_derived.json", 1),
    ("spake2plus_rfc9383.json", 4),
    ("spake2plus_sasl.json", 4),
    ("srp6a_leading_zero_derived.json", 12),
    ("srp6a_picl_leading_zeros.json", 2),
    ("srp6a_rfc5054_appendix_b.json", 1),
    ("srp_groups_rfc5054.json", 7),
    ("srp_groups_sasl_srp_draft08.json", 9),
    ("srp_negative_cases.json", 30),
    ("srp_sasl.json", 2),
    ("srp_verifier_files.json", 9),
    ("tls13_low_entropy_psk_audit_derived.json", 1),
    ("tls13_psk_importer_rfc9258.json", 6),
    ("tls13_traces_binder_exporter.json", 7),
    ("tls_server_end_point.json", 11),
];

/// Fields that only tell the reader where a case is from. A change of their text changes no verdict.
const DESCRIPTIVE: [&str; 11] = [
    "id",
    "name",
    "source",
    "origin",
    "published_by_origin",
    "published",
    "note",
    "format",
    "cb_data_origin",
    "rfc4013_section3",
    "rfc8265_section4_3",
];

/// Cases that take longer are left out where every field is changed in turn; quicker cases have the same fields.
const SLOW_ITERATIONS: u64 = 10_000;
const SLOW_N: u64 = 16;
const SLOW_BITS: u64 = 2048;
const SLOW_MEMORY: u64 = 32;

fn built_in(name: &str) -> File {
    vectors::built_in().find(|file| file.name == name).expect("the file is compiled in")
}

fn run(file: &File) -> Report {
    vectors::run(file.family(), file.json).unwrap_or_else(|error| panic!("{}: {error}", file.name))
}

#[test]
fn every_built_in_file_holds_in_full() {
    let names = vectors::built_in().map(|file| file.name).collect::<Vec<_>>();
    assert_eq!(names, FILES.map(|(name, _)| name));
    for (name, count) in FILES {
        let report = run(&built_in(name));
        let open = report.failed().chain(report.skipped()).collect::<Vec<_>>();
        assert!(open.is_empty(), "{name}: {open:#?}");
        assert_eq!(report.passed(), count, "{name}");
    }
}

#[test]
fn every_file_of_the_directory_is_compiled_in() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let mut names = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, FILES.map(|(name, _)| name));
}

#[test]
fn a_change_in_any_value_fails_its_case() {
    for_each_leaf(|file, case, leaf| {
        if DESCRIPTIVE.contains(&field(leaf)) || is_artefact(case, leaf) {
            return;
        }
        let mut changed = case.clone();
        let value = changed.pointer_mut(leaf).unwrap();
        // What must be refused may stay refused with one digit changed, but not when it turns into something else.
        let is_refused_input = is_refusal(case) && ["/input_utf8", "/certificate_der", "/X"].contains(&leaf);
        *value = if is_refused_input { json!("61") } else { changed_value(value) };
        assert_fails(file, &changed, leaf);
    });
}

#[test]
fn a_value_of_another_type_fails_its_case() {
    for_each_leaf(|file, case, leaf| {
        let mut changed = case.clone();
        *changed.pointer_mut(leaf).unwrap() = json!({});
        assert_fails(file, &changed, leaf);
    });
}

#[test]
fn a_missing_field_fails_its_case() {
    for_each_case(|file, case| {
        for name in case.as_object().unwrap().keys().filter(|name| !DESCRIPTIVE.contains(&name.as_str())) {
            let mut changed = case.clone();
            changed.as_object_mut().unwrap().remove(name);
            assert_fails(file, &changed, name);
        }
    });
}

#[test]
fn a_field_nobody_knows_fails_its_case() {
    for_each_case(|file, case| {
        let mut changed = case.clone();
        changed["kdf_salt"] = json!("00");
        assert_fails(file, &changed, "kdf_salt");
    });
}

#[test]
fn descriptive_fields_may_change() {
    for_each_leaf(|file, case, leaf| {
        if DESCRIPTIVE.contains(&field(leaf)) {
            let mut changed = case.clone();
            let value = changed.pointer_mut(leaf).unwrap();
            *value = changed_value(value);
            assert_eq!(run_case(file, &changed).passed(), 1, "{}: {leaf}", file.name);
        }
    });
}

fn assert_fails(file: &File, case: &Value, what: &str) {
    let report = run_case(file, case);
    let failed = report.failed().map(|(name, _)| name).collect::<Vec<_>>();
    let expected = case.get("name").and_then(Value::as_str).unwrap_or("cases[0]");
    assert_eq!(failed, [expected], "{}: {what} of {case}", file.name);
}

fn run_case(file: &File, case: &Value) -> Report {
    let text = json!({ "source": "test", "count": 1, "cases": [case] }).to_string();
    vectors::run(file.family(), &text).expect("a file with one case is a file")
}

fn for_each_case(check: impl Fn(&File, &Value)) {
    for file in vectors::built_in() {
        let text = serde_json::from_str::<Value>(file.json).unwrap();
        let groups = match &text["cases"] {
            Value::Array(list) => vec![list],
            Value::Object(groups) => groups.values().map(|group| group.as_array().unwrap()).collect(),
            _ => panic!("{}", file.name),
        };
        groups.into_iter().flatten().filter(|case| !is_slow(case)).for_each(|case| check(&file, case));
    }
}

fn for_each_leaf(check: impl Fn(&File, &Value, &str)) {
    for_each_case(|file, case| {
        let mut leaves = Vec::new();
        collect_leaves(case, String::new(), &mut leaves);
        assert!(!leaves.is_empty());
        leaves.iter().for_each(|leaf| check(file, case, leaf));
    });
}

fn is_slow(case: &Value) -> bool {
    let above = |field: &str, limit| case[field].as_u64().is_some_and(|n| n > limit);
    let group = case["group"].as_str().and_then(|group| group.strip_prefix("rfc5054_"));
    let bits = group.map_or(case["bits"].as_u64(), |bits| bits.parse().ok());
    let is_large_srp = bits.is_some_and(|bits| bits > SLOW_BITS) || case["mechanism"] == "SRP-SHA-512-PLUS";
    above("iterations", SLOW_ITERATIONS) || above("N", SLOW_N) || above("m_kib", SLOW_MEMORY) || is_large_srp
}

/// Whether it is a tag that Cyrus SASL computed wrongly, as the case states: no change makes it more wrong.
fn is_artefact(case: &Value, leaf: &str) -> bool {
    let packet = leaf.strip_suffix("/wire").and_then(|packet| case.pointer(packet));
    packet.is_some_and(|packet| packet["mac_verifies"] == false)
}

/// Whether the case states that its input is refused.
fn is_refusal(case: &Value) -> bool {
    case["error"] == true || case["undefined_by_rfc5929"] == true || case["reason"] == "does not decode"
}

/// JSON pointers to everything that is no list and no object.
fn collect_leaves(value: &Value, pointer: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, item)| collect_leaves(item, format!("{pointer}/{key}"), leaves));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(i, item)| collect_leaves(item, format!("{pointer}/{i}"), leaves));
        }
        _ => leaves.push(pointer),
    }
}

/// The name of the top-level field a pointer leads into.
fn field(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap()
}

/// Another value of the same form: one hex digit, base64 character or letter in the middle differs.
fn changed_value(value: &Value) -> Value {
    match value {
        Value::Null => json!("61"),
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text.is_empty() => json!("61"),
        Value::String(text) => {
            let mut characters = text.chars().collect::<Vec<_>>();
            let middle = characters.len() / 2;
            characters[middle] = if characters[middle] == '1' { '2' } else { '1' };
            json!(characters.into_iter().collect::<String>())
        }
        other => panic!("{other} is no leaf"),
    }
}

#[test]
fn the_test_itself_finds_nested_leaves() {
    let case = json!({ "a": "00", "b": ["x", { "c": 1 }], "d": Map::new() });
    let mut leaves = Vec::new();
    collect_leaves(&case, String::new(), &mut leaves);
    assert_eq!(leaves, ["/a", "/b/0", "/b/1/c"]);
    assert_eq!(field("/b/1/c"), "b");
}
