//! Stored records as text: everything comes back as it was, nothing damaged passes, and other programs' records fit.

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
