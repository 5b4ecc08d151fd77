//! Stored records as text: everything comes back as it was, nothing damaged passes, and other programs' records fit.
#![cfg(all(
    feature = "cpace",
    feature = "opaque",
    feature = "scram",
    feature = "spake2plus",
    feature = "srp"
))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use countersign::ksf::{self, Ksf};
use countersign::mechanism::Guessing;
use countersign::opaque;
use countersign::prep::{self, Preparation};
use countersign::records::{Format, RECORD_MAX, Record, TEXT_MAX, rules};
use countersign::registry::{self, Credential, Work};
use countersign::scram::{self, HashFunction, StoredCredential};
use countersign::srp::{self, Dialect, Group, Parameters, Prehash, Verifier};
use countersign::{MechanismName, Password, system_rng};
use proptest::prelude::*;
use serde_json::Value;

const USER: &str = "alice@home.example";
const PASSWORD: &str = "rosebud 1941";

/// The cheapest record of each mechanism.
fn work(name: &MechanismName) -> Work {
    match name.as_str() {
        name if name.starts_with("SCRAM") => Work::default().with_iterations(scram::ITERATIONS_MIN),
        "SRP" => Work::default().with_group(Group::Bits2048),
        name if name.starts_with("CPACE") => Work::default(),
        _ => Work::default().with_ksf(Ksf::CHEAPEST),
    }
}

fn enroll(name: &MechanismName, user: &str, password: &str) -> Record {
    let (password, preparation) = (Password::new(password), Preparation::default());
    Record::enroll(name, user, &password, preparation, &work(name), &mut system_rng()).unwrap()
}

fn record(name: &'static str) -> Record {
    enroll(&MechanismName::from_static(name), USER, PASSWORD)
}

fn fits(record: &Record, password: &str) -> bool {
    record.check(&Password::new(password), &mut system_rng()).unwrap()
}

fn read_one(text: &str) -> countersign::Result<Record> {
    let mut records = Record::read(text)?;
    assert_eq!(records.len(), 1);
    Ok(records.remove(0))
}

fn refused(text: &str) -> countersign::Error {
    Record::read(text).unwrap_err()
}

#[test]
fn every_mechanism_of_the_registry_has_records_in_json() {
    for registered in registry::all() {
        let name = registered.name();
        let made = enroll(name, USER, PASSWORD);
        let text = made.write(Format::Json).unwrap();
        let read = read_one(&text).unwrap();
        assert_eq!(*read.write(Format::Json).unwrap(), *text, "{name}");
        assert_eq!((read.user(), read.preparation()), (Some(USER), Preparation::SaslPrep));
        let base =
            |name: &MechanismName| name.as_str().strip_suffix("-PLUS").unwrap_or(name.as_str()).to_owned();
        assert_eq!(read.mechanism().map(base), Some(base(name)));
        assert_eq!(read.credential().work(), made.credential().work(), "{name}");
        assert!(fits(&read, PASSWORD), "{name}");
        assert!(!fits(&read, "rosebud 1942"), "{name}");
    }
}

#[test]
fn the_name_is_part_of_the_records_of_augmented_pakes() {
    for name in
        ["SPAKE2P-ED25519-PLUS", "SPAKE2PLUS-P256-PLUS", "OPAQUE-R255-PLUS", "SRP-SHA-256-PLUS", "SRP"]
    {
        let text = record(name).write(Format::Json).unwrap();
        let member = format!("\"user\":\"{USER}\",");
        assert!(text.contains(&member), "{name}");
        let nameless = read_one(&text.replace(&member, "")).unwrap();
        let error = nameless.check(&Password::new(PASSWORD), &mut system_rng()).unwrap_err();
        assert!(error.is(&rules::USER_MISSING), "{name}: {error:?}");
        assert!(fits(&nameless.clone().of_user(USER).unwrap().unwrap(), PASSWORD), "{name}");
        assert!(!fits(&nameless.of_user("bob").unwrap().unwrap(), PASSWORD), "{name}");
        assert!(read_one(&text).unwrap().of_user("bob").unwrap().is_none());
    }
}

#[test]
fn srp_records_that_no_mechanism_takes_are_kept_too() {
    for (dialect, prehash) in [
        (Dialect::HOMEKIT, Prehash::None),
        (Dialect::APPLE_GSA, Prehash::Pbkdf2(3)),
        (Dialect::APPLE_GSA, Prehash::Ksf(Ksf::CHEAPEST)),
    ] {
        let parameters = Parameters { dialect, group: Group::Bits1024, prehash };
        let verifier = Verifier::generate(
            &parameters,
            USER,
            &Password::new(PASSWORD),
            Preparation::None,
            &mut system_rng(),
        );
        let credential = Credential::Srp(verifier.unwrap());
        let made = Record::new(Some(USER), None, Preparation::None, credential.clone()).unwrap();
        assert_eq!(made.mechanism(), None);
        let read = read_one(&made.write(Format::Json).unwrap()).unwrap();
        assert_eq!(read.mechanism(), None);
        assert_eq!(read.credential().work(), credential.work());
        assert!(fits(&read, PASSWORD) && !fits(&read, "rosebud"));
        let name = MechanismName::from_static("SRP");
        let error = Record::new(Some(USER), Some(&name), Preparation::None, credential).unwrap_err();
        assert!(error.is(&registry::rules::WRONG_CREDENTIAL));
    }
}

/// A record with one change in it is refused by that rule.
fn assert_edits(good: &str, edits: &[(&str, &str, &countersign::Rule)]) {
    read_one(good).unwrap();
    for (old, new, rule) in edits {
        assert!(good.contains(old), "{old}");
        let error = refused(&good.replacen(old, new, 1));
        assert!(error.is(rule), "{old} -> {new}: {error:?}");
        assert!(error.subject().is_some_and(|subject| subject.starts_with("line 1")), "{error:?}");
    }
}

#[test]
fn damage_to_what_all_types_have_is_refused() {
    let good = record("CPACE-R255-PLUS").write(Format::Json).unwrap();
    assert_edits(
        &good,
        &[
            ("{", "{\"more\":1,", &rules::UNKNOWN_MEMBER),
            ("{", "{\"version\":1,", &rules::REPEATED_MEMBER),
            ("\"version\":1", "\"version\":2", &rules::UNKNOWN_VERSION),
            ("\"version\":1", "\"version\":0", &rules::UNKNOWN_VERSION),
            ("\"version\":1", "\"version\":\"1\"", &rules::BAD_MEMBER),
            ("\"version\":1,", "", &rules::MISSING_MEMBER),
            ("\"type\":\"password\",", "", &rules::MISSING_MEMBER),
            ("\"type\":\"password\"", "\"type\":\"Password\"", &rules::UNKNOWN_TYPE),
            ("\"type\":\"password\"", "\"type\":null", &rules::BAD_MEMBER),
            ("\"SASLprep\"", "\"saslprep\"", &rules::BAD_MEMBER),
            ("\"SASLprep\"", "null", &rules::BAD_MEMBER),
            ("\"alice@home.example\"", "\"\"", &prep::rules::EMPTY),
            ("\"alice@home.example\"", "1", &rules::BAD_MEMBER),
            ("\"mechanism\":\"CPACE-R255-PLUS\",", "", &rules::MISSING_MEMBER),
            ("CPACE-R255-PLUS", "cpace", &countersign::mechanism::rules::BAD_NAME),
            ("CPACE-R255-PLUS", "CPACE-R255", &registry::rules::UNKNOWN_MECHANISM),
            ("CPACE-R255-PLUS", "SCRAM-SHA-256", &registry::rules::WRONG_CREDENTIAL),
            ("\"password\":\"rosebud 1941\"", "\"password\":1", &rules::BAD_MEMBER),
            (",\"password\":\"rosebud 1941\"", "", &rules::MISSING_MEMBER),
            ("\"}", "\"", &rules::NOT_JSON),
            ("\"}", "\"}]", &rules::NOT_JSON),
        ],
    );
    let unprepared = good.replacen("\"preparation\":\"SASLprep\",", "", 1);
    assert_eq!(read_one(&unprepared).unwrap().preparation(), Preparation::SaslPrep);
}

#[test]
fn damage_to_scram_is_refused() {
    let keys = [[7; 32], [8; 32]];
    let stored = StoredCredential::from_parts(
        HashFunction::Sha256,
        &[9; 3],
        std::num::NonZeroU32::MIN,
        &keys[0],
        &keys[1],
    );
    let made =
        Record::new(Some(USER), None, Preparation::SaslPrep, Credential::Scram(stored.unwrap())).unwrap();
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_edits(
        &made.write(Format::Json).unwrap(),
        &[
            ("\"SHA-256\"", "\"SHA-224\"", &rules::BAD_MEMBER),
            ("\"SHA-256\"", "\"SHA-512\"", &rules::BAD_MEMBER),
            ("\"iterations\":1", "\"iterations\":0", &rules::BAD_MEMBER),
            ("\"iterations\":1", "\"iterations\":4294967296", &rules::BAD_MEMBER),
            ("\"iterations\":1", "\"iterations\":\"1\"", &rules::BAD_MEMBER),
            ("\"iterations\":1,", "", &rules::MISSING_MEMBER),
            ("CQkJ", "", &scram::rules::SALT_LENGTH),
            ("CQkJ", "CQkJC", &rules::BAD_MEMBER),
            ("CQkJ", "CQk J", &rules::BAD_MEMBER),
            ("CQkJ", "CQk_", &rules::BAD_MEMBER),
            (key, &key[4..], &rules::BAD_MEMBER),
            (key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH", &rules::BAD_MEMBER),
            // Bits that nobody reads.
            (key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=", &rules::BAD_MEMBER),
        ],
    );
    for (len, fits) in [(scram::wire::SALT_MAX, true), (scram::wire::SALT_MAX + 1, false)] {
        let salt = base64(&vec![9; len]);
        let text = made.write(Format::Json).unwrap().replacen("CQkJ", &salt, 1);
        assert_eq!(Record::read(&text).is_ok(), fits, "{len}");
    }
}

#[test]
fn damage_to_spake2plus_is_refused() {
    use countersign::spake2plus;
    for (name, group, other) in
        [("SPAKE2P-ED25519-PLUS", "edwards25519", "P-256"), ("SPAKE2PLUS-P256-PLUS", "P-256", "edwards25519")]
    {
        let good = record(name).write(Format::Json).unwrap();
        let (w0, l) = (member(&good, "w0"), member(&good, "L"));
        assert_edits(
            &good,
            &[
                (group, other, &spake2plus::rules::BAD_RECORD),
                (group, "P-384", &rules::BAD_MEMBER),
                (&member(&good, "salt"), &base64(&[0; 15]), &rules::BAD_MEMBER),
                (&member(&good, "salt"), &base64(&[0; 17]), &rules::BAD_MEMBER),
                (&w0, &base64(&[0xff; 32]), &spake2plus::rules::BAD_RECORD),
                (&w0, &base64(&[0; 31]), &rules::BAD_MEMBER),
                (&l, &base64(&[0; 32]), &spake2plus::rules::BAD_RECORD),
                (&l, "", &spake2plus::rules::BAD_RECORD),
                (&member(&good, "ksf"), &base64(&[9; 13]), &ksf::rules::UNKNOWN_ALGORITHM),
                (&member(&good, "ksf"), &base64(&[1; 13]), &ksf::rules::EXCESSIVE_WORK),
                (&member(&good, "ksf"), &base64(&[1; 12]), &rules::BAD_MEMBER),
            ],
        );
    }
}

#[test]
fn damage_to_opaque_is_refused() {
    let good = record("OPAQUE-R255-PLUS").write(Format::Json).unwrap();
    let (keys, upload) = (member(&good, "server_keys"), member(&good, "upload"));
    assert_edits(
        &good,
        &[
            (&keys, &base64(&[0; 127]), &rules::BAD_MEMBER),
            (&keys, &base64(&[0xff; 128]), &opaque::rules::BAD_RECORD),
            (&upload, &base64(&[0; 193]), &rules::BAD_MEMBER),
            (&upload, &base64(&[0xff; 192]), &opaque::rules::BAD_RECORD),
            ("\"upload\"", "\"Upload\"", &rules::MISSING_MEMBER),
        ],
    );
}

/// The value of a string of the record.
fn member(text: &str, name: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap()[name].as_str().unwrap().to_owned()
}

fn base64(octets: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(octets)
}

#[test]
fn a_text_is_read_up_to_its_limit() {
    let line = record("SCRAM-SHA-1").write(Format::PostgreSql).unwrap();
    for (len, fits) in [(TEXT_MAX, true), (TEXT_MAX + 1, false)] {
        let text = format!("{}{}", line.as_str(), "\n".repeat(len - line.len()));
        let read = Record::read(&text);
        assert_eq!(read.is_ok(), fits, "{len}");
        if let Err(error) = read {
            assert!(error.is(&rules::TOO_LONG));
            assert_eq!(error.numbers(), Some((len as u64, TEXT_MAX as u64)));
        }
        let conf = "\n".repeat(len);
        let with_conf = Record::read_gnutls("alice:x:y:3", &conf).unwrap_err();
        assert_eq!(with_conf.is(&rules::TOO_LONG), !fits);
    }
}

#[test]
fn a_line_is_read_up_to_its_limit() {
    for (len, fits) in [(RECORD_MAX, true), (RECORD_MAX + 1, false)] {
        let line = format!("SCRAM-{}", "x".repeat(len - 6));
        let error = refused(&format!("\n{line}\n"));
        assert_eq!(error.is(&scram::rules::BAD_RECORD), fits, "{error:?}");
        assert_eq!(error.is(&rules::TOO_LONG), !fits, "{error:?}");
        assert!(error.subject().unwrap().starts_with("line 2"), "{error:?}");
    }
}

#[test]
fn a_name_is_kept_up_to_its_limit() {
    for (len, fits) in [(prep::NAME_MAX, true), (prep::NAME_MAX + 1, false)] {
        let credential = record("SCRAM-SHA-1").into_credential();
        let made = Record::new(Some(&"n".repeat(len)), None, Preparation::SaslPrep, credential);
        assert_eq!(made.is_ok(), fits, "{len}");
    }
}

#[test]
fn the_longest_record_has_room() {
    let name = MechanismName::from_static("CPACE-R255-PLUS");
    let (user, password) = ("\u{1}".repeat(prep::NAME_MAX), "\u{1}".repeat(prep::PASSWORD_MAX));
    let credential = Credential::Password(Password::new(password));
    let made = Record::new(Some(&user), Some(&name), Preparation::None, credential).unwrap();
    let text = made.write(Format::Json).unwrap();
    assert!(text.len() <= RECORD_MAX, "{}", text.len());
    assert_eq!(read_one(&text).unwrap().user(), Some(user.as_str()));
}

#[test]
fn work_factors_are_taken_or_refused_never_passed_over() {
    let enroll = |name: &'static str, work: Work| {
        let (name, password) = (MechanismName::from_static(name), Password::new(PASSWORD));
        Record::enroll(&name, USER, &password, Preparation::default(), &work, &mut system_rng())
    };
    let (none, cheap) = (Work::default(), Ksf::CHEAPEST);
    for (name, work) in [
        ("CPACE-R255-PLUS", none.with_iterations(4096)),
        ("CPACE-R255-PLUS", none.with_ksf(cheap)),
        ("CPACE-R255-PLUS", none.with_group(Group::Bits3072)),
        ("SCRAM-SHA-256", none.with_iterations(4096).with_ksf(cheap)),
        ("SCRAM-SHA-256", none.with_iterations(4096).with_group(Group::Bits3072)),
        ("OPAQUE-R255-PLUS", none.with_ksf(cheap).with_iterations(4096)),
        ("SPAKE2P-ED25519-PLUS", none.with_ksf(cheap).with_group(Group::Bits3072)),
        ("SRP", none.with_ksf(cheap)),
        ("SRP-SHA-256-PLUS", none.with_ksf(cheap).with_iterations(4096)),
    ] {
        let error = enroll(name, work).unwrap_err();
        assert!(error.is(&rules::WORK_NOT_APPLICABLE), "{name}: {error:?}");
    }
    for (name, work) in [
        ("SCRAM-SHA-256", none.with_iterations(5000)),
        ("OPAQUE-R255-PLUS", none.with_ksf(cheap)),
        ("SPAKE2PLUS-P256-PLUS", none.with_ksf(cheap)),
        ("SRP", none.with_group(Group::Bits4096)),
        ("SRP-SHA-512-PLUS", none.with_group(Group::Bits4096).with_ksf(cheap)),
    ] {
        assert_eq!(enroll(name, work).unwrap().credential().work(), work, "{name}");
    }
    let error = enroll("SRP-SHA-256-PLUS", none.with_group(Group::Bits2048)).unwrap_err();
    assert!(error.is(&srp::rules::GROUP_TOO_SMALL_FOR_PLUS));
    for (count, demanded, limit) in [(4095, 4095, 4096), (10_000_001, 10_000_001, 10_000_000)] {
        let error = enroll("SCRAM-SHA-256", none.with_iterations(count)).unwrap_err();
        assert_eq!(error.numbers(), Some((demanded, limit)));
    }
}

#[test]
fn the_work_of_a_check_is_limited() {
    let keys = [7; 32];
    for (count, refused) in [(1, false), (scram::ITERATIONS_MAX + 1, true), (u32::MAX, true)] {
        let text = format!("SCRAM-SHA-256${count}:{}${}:{}", base64(b"salt"), base64(&keys), base64(&keys));
        let checked = read_one(&text).unwrap().check(&Password::new(PASSWORD), &mut system_rng());
        match checked {
            Ok(fits) => assert!(!refused && !fits),
            Err(error) => assert!(refused && error.is(&scram::rules::TOO_MANY_ITERATIONS), "{error:?}"),
        }
    }
}

#[test]
fn both_keys_of_scram_have_to_fit() {
    let made = record("SCRAM-SHA-256");
    let Credential::Scram(stored) = made.credential() else { panic!("SCRAM has SCRAM's records") };
    for (stored_key, server_key, fits) in [
        (stored.stored_key(), stored.server_key(), true),
        (stored.stored_key(), &[0; 32][..], false),
        (&[0; 32][..], stored.server_key(), false),
    ] {
        let changed = StoredCredential::from_parts(
            stored.hash(),
            stored.salt(),
            stored.iterations(),
            stored_key,
            server_key,
        )
        .unwrap();
        assert_eq!(changed.check(&Password::new(PASSWORD), Preparation::SaslPrep).unwrap(), fits);
    }
}

#[test]
fn every_format_is_found_and_read_back() {
    let scram = record("SCRAM-SHA-256-PLUS");
    let srp = record("SRP");
    for (made, format) in [
        (&scram, Format::Json),
        (&scram, Format::PostgreSql),
        (&scram, Format::Ldap),
        (&srp, Format::OpenSsl),
        (&srp, Format::GnuTls),
        (&srp, Format::Cyrus),
    ] {
        let text = format!("\n{}\r\n\n", made.write(format).unwrap().as_str());
        assert_eq!(Format::detect(&text).unwrap(), format);
        let read = read_one(&text).unwrap();
        let named = matches!(format, Format::Json | Format::OpenSsl | Format::GnuTls);
        assert_eq!(read.user(), named.then_some(USER), "{format}");
        let read = read.of_user(USER).unwrap().unwrap();
        assert!(fits(&read, PASSWORD) && !fits(&read, "rosebud"), "{format}");
        assert_eq!(*read.write(format).unwrap(), *made.write(format).unwrap());
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    for text in ["", "\n \n", "# nothing\n"] {
        assert!(refused(text).is(&rules::EMPTY), "{text:?}");
    }
    for text in ["what is this?", "alice:secret", "SCRUM:1:2:three"] {
        assert!(refused(text).is(&rules::UNKNOWN_FORMAT), "{text}");
    }
    assert!("xml".parse::<Format>().unwrap_err().is(&rules::UNKNOWN_FORMAT));
}

#[test]
fn formats_refuse_what_they_have_no_place_for() {
    for (name, formats) in [
        ("SCRAM-SHA-256", &[Format::OpenSsl, Format::GnuTls, Format::Cyrus][..]),
        ("SRP", &[Format::PostgreSql, Format::Ldap]),
        ("OPAQUE-R255-PLUS", &Format::ALL[1..]),
        ("SPAKE2P-ED25519-PLUS", &Format::ALL[1..]),
        ("CPACE-R255-PLUS", &Format::ALL[1..]),
    ] {
        let made = record(name);
        for format in formats {
            let error = made.write(*format).unwrap_err();
            assert!(error.is(&rules::NOT_EXPRESSIBLE), "{name}, {format}: {error:?}");
        }
    }
    let error = record("SRP-SHA-256-PLUS").write(Format::OpenSsl).unwrap_err();
    assert!(error.is(&srp::rules::NOT_EXPRESSIBLE));
    let nameless = read_one(&record("SRP").write(Format::Cyrus).unwrap()).unwrap();
    assert!(nameless.write(Format::OpenSsl).unwrap_err().is(&rules::USER_MISSING));
}

#[test]
fn lines_are_counted_and_comments_passed_over() {
    let line = record("SCRAM-SHA-256").write(Format::PostgreSql).unwrap();
    let records = Record::read(&format!("# alice\n{0}\n\n{0}\n", *line)).unwrap();
    assert_eq!(records.len(), 2);
    let error = refused(&format!("# alice\n{}\nSCRAM-SHA-256$x\n", *line));
    assert!(error.is(&scram::rules::BAD_RECORD));
    assert_eq!(error.subject(), Some("line 3"));
    let error = Record::read_as(&line, Format::OpenSsl).unwrap_err();
    assert!(error.is(&srp::rules::BAD_RECORD) && error.subject() == Some("line 1"), "{error:?}");
    // A name may begin like a comment where there are none.
    let srp = enroll(&MechanismName::from_static("SRP"), "#alice", PASSWORD);
    let text = srp.write(Format::GnuTls).unwrap();
    assert_eq!(Record::read_as(&text, Format::GnuTls).unwrap()[0].user(), Some("#alice"));
}

#[test]
fn ldif_is_read_as_directories_export_it() {
    let value = record("SCRAM-SHA-256").write(Format::PostgreSql).unwrap();
    let (start, end) = value.split_at(40);
    let spaced = value.replace('$', " $ ");
    for text in [
        format!("dn: uid=alice,dc=example\nobjectClass: person\nauthPassword: {start}\n {end}\n"),
        format!("version: 1\n\ndn: uid=alice\nAUTHPASSWORD:{spaced}\n"),
        format!("authPassword:: {}\n", base64(value.as_bytes())),
    ] {
        assert!(fits(&read_one(&text).unwrap(), PASSWORD), "{text}");
    }
    for (text, rule) in [
        ("dn: uid=alice\n", &rules::EMPTY),
        ("dn: uid=alice\nnothing\n", &rules::BAD_LINE),
        ("authPassword:: *\n", &rules::BAD_LINE),
        ("authPassword:: /w==\n", &rules::BAD_LINE),
        ("authPassword: MD5$x$y\n", &scram::rules::BAD_RECORD),
    ] {
        assert!(refused(text).is(rule), "{text}: {:?}", refused(text));
    }
}

#[test]
fn a_tpasswd_is_read_with_its_conf() {
    let line = record("SRP").write(Format::GnuTls).unwrap();
    let conf = srp::files::group_to_gnutls(Group::Bits2048).unwrap();
    // Another tool may number the groups otherwise.
    let (line, conf) = (line.replacen(":3", ":9", 1), conf.replacen("3:", "9:", 1));
    assert!(line.ends_with(":9"));
    let read = Record::read_gnutls(&line, &conf).unwrap();
    assert!(fits(&read[0], PASSWORD));
    assert!(Record::read_as(&line, Format::GnuTls).unwrap_err().is(&srp::rules::UNKNOWN_GROUP));
}

#[test]
fn passwords_are_compared_as_they_are_prepared() {
    let made = enroll(&MechanismName::from_static("CPACE-R255-PLUS"), USER, "I\u{ad}X");
    assert!(fits(&made, "IX") && fits(&made, "\u{2168}") && !fits(&made, "ix"));
    let scram = enroll(&MechanismName::from_static("SCRAM-SHA-256"), USER, "I\u{ad}X");
    assert!(fits(&read_one(&scram.write(Format::PostgreSql).unwrap()).unwrap(), "IX"));
}

#[test]
fn a_record_of_the_wrong_mechanism_is_not_made() {
    let password = || Credential::Password(Password::new(PASSWORD));
    for (name, credential) in [
        (Some("SCRAM-SHA-256"), password()),
        (None, password()),
        (Some("SCRAM-SHA-512"), record("SCRAM-SHA-256").into_credential()),
        (Some("SPAKE2PLUS-P256-PLUS"), record("SPAKE2P-ED25519-PLUS").into_credential()),
        (Some("SRP"), record("SRP-SHA-256-PLUS").into_credential()),
    ] {
        let name = name.map(MechanismName::from_static);
        let error = Record::new(Some(USER), name.as_ref(), Preparation::SaslPrep, credential).unwrap_err();
        assert!(error.is(&registry::rules::WRONG_CREDENTIAL), "{name:?}");
    }
    for registered in registry::all() {
        let name = registered.name();
        let made = Record::new(Some(USER), Some(name), Preparation::SaslPrep, password());
        assert_eq!(made.is_ok(), registered.properties().thief == Guessing::Immediate, "{name}");
    }
}

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let cases = serde_json::from_str::<Value>(&text).unwrap()["cases"].take();
    cases.as_array().unwrap().clone()
}

#[test]
fn records_of_postgresql_fit() {
    let mut checked = 0;
    for case in vectors("scram_stored_verifiers.json") {
        let (line, password) = (case["verifier"].as_str().unwrap(), case["password"].as_str().unwrap());
        let read = read_one(line).unwrap();
        assert_eq!(read.write(Format::PostgreSql).unwrap().as_str(), line);
        // One is of the empty password, which nobody may have.
        if !password.is_empty() {
            assert!(fits(&read, password) && !fits(&read, "pen"), "{line}");
            let again = read_one(&read.write(Format::Json).unwrap()).unwrap();
            assert!(fits(&again, password));
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn records_of_openssl_and_gnutls_fit() {
    let mut checked = 0;
    for case in vectors("srp_verifier_files.json") {
        let (Some(user), Some(password)) = (case["username"].as_str(), case["password"].as_str()) else {
            continue;
        };
        let read = read_one(case["line"].as_str().unwrap()).unwrap();
        assert_eq!(read.user(), Some(user));
        assert!(fits(&read, password) && !fits(&read, "pen"), "{user}");
        let again = read_one(&read.write(Format::Json).unwrap()).unwrap();
        assert_eq!((again.preparation(), again.user()), (Preparation::None, Some(user)));
        assert!(fits(&again, password));
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn registrations_made_elsewhere_are_kept_as_they_are() {
    use countersign::spake2plus::{Record as Stored, VerifierSecret};
    let hex = |text: &str| {
        let octet = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(octet).collect::<Vec<_>>()
    };
    for case in vectors("spake2plus_registration_derived.json") {
        let [w0, l] = ["w0", "L"].map(|name| hex(case[name].as_str().unwrap()));
        let secret = VerifierSecret::from_bytes(w0.as_slice().try_into().unwrap(), &l).unwrap();
        let stored = Stored::from_parts(Ksf::scrypt(15, 8, 1).unwrap(), &[0; 16], secret);
        let credential = Credential::Spake2Plus(stored);
        let made = Record::new(Some("client"), None, Preparation::SaslPrep, credential).unwrap();
        let text = made.write(Format::Json).unwrap();
        assert_eq!((member(&text, "w0"), member(&text, "L")), (base64(&w0), base64(&l)));
        assert_eq!(*read_one(&text).unwrap().write(Format::Json).unwrap(), *text);
    }
}

fn any_credential() -> impl Strategy<Value = (Option<MechanismName>, Credential)> {
    let octets = |len| prop::collection::vec(any::<u8>(), len);
    let password = "[^\0]{1,40}".prop_map(|text| {
        (Some(MechanismName::from_static("CPACE-X25519-PLUS")), Credential::Password(Password::new(text)))
    });
    let scram = (0..4_usize, octets(1..64), 1..=u32::MAX, octets(64..65), octets(64..65)).prop_map(
        |(hash, salt, count, stored, server)| {
            let hash = HashFunction::ALL[hash];
            let len = hash.output_len();
            let count = std::num::NonZeroU32::new(count).unwrap();
            let stored = StoredCredential::from_parts(hash, &salt, count, &stored[..len], &server[..len]);
            (None, Credential::Scram(stored.unwrap()))
        },
    );
    let srp = (0..4_usize, 0..8_usize, 0..3_usize, any::<bool>(), octets(8..256), octets(128..129)).prop_map(
        |(hash, group, prehash, named, salt, mut v)| {
            let dialect = if named { Dialect::RFC5054 } else { Dialect::APPLE_GSA };
            let dialect = dialect.with_hash(srp::Hash::ALL[hash]);
            let prehash =
                [Prehash::None, Prehash::Ksf(Ksf::DEFAULT), Prehash::Pbkdf2(srp::PBKDF2_ITERATIONS_MAX)]
                    [prehash];
            let parameters = Parameters { dialect, group: Group::ALL[group], prehash };
            // Below the smallest N.
            v[0] &= 0x7f;
            v[127] |= 2;
            (None, Credential::Srp(Verifier::from_parts(&parameters, &salt, &v).unwrap()))
        },
    );
    let stretched = (0..3_usize, "[a-z]{1,20}").prop_map(|(which, password)| {
        let name = ["SPAKE2P-ED25519-PLUS", "SPAKE2PLUS-P256-PLUS", "OPAQUE-R255-PLUS"][which];
        (None, enroll(&MechanismName::from_static(name), USER, &password).into_credential())
    });
    prop_oneof![password, scram, srp, stretched]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_keeps_every_record(
        (mechanism, credential) in any_credential(),
        user in prop::option::of(".{1,40}"),
        preparation in 0..3_usize,
    ) {
        let preparation = [Preparation::SaslPrep, Preparation::OpaqueString, Preparation::None][preparation];
        let made = Record::new(user.as_deref(), mechanism.as_ref(), preparation, credential).unwrap();
        let text = made.write(Format::Json).unwrap();
        prop_assert!(!text.contains('\n'));
        let read = read_one(&text).unwrap();
        prop_assert_eq!(read.user(), made.user());
        prop_assert_eq!(read.mechanism(), made.mechanism());
        prop_assert_eq!(read.preparation(), made.preparation());
        prop_assert_eq!(read.credential().work(), made.credential().work());
        prop_assert_eq!(&*read.write(Format::Json).unwrap(), &*text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}", start in 0..5_usize, format in 0..6_usize) {
        let start = ["", "{\"type\":", "SCRAM-SHA-256$", "V\t", "authPassword: "][start];
        let text = format!("{start}{text}");
        let _ = Record::read(&text);
        let _ = Record::read_as(&text, Format::ALL[format]);
        let _ = Record::read_gnutls(&text, &text);
    }

    #[test]
    fn a_damaged_record_is_refused_or_another_one(at in any::<prop::sample::Index>(), octet in 32..127_u8) {
        let good = r#"{"type":"scram","version":1,"user":"a","hash":"SHA-1","iterations":4096,"salt":"AAAA","stored_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAA=","server_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#;
        let mut damaged = good.as_bytes().to_vec();
        let at = at.index(damaged.len());
        let changed = damaged[at] != octet;
        damaged[at] = octet;
        let damaged = String::from_utf8(damaged).unwrap();
        if let Ok(read) = Record::read(&damaged) {
            let same = *read[0].write(Format::Json).unwrap() == *read_one(good).unwrap().write(Format::Json).unwrap();
            prop_assert!(!(same && changed), "{}", damaged);
        }
    }
}
