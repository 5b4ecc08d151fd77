//! The mechanisms inside TLS as rows of the registry: one loop runs them all, and no SASL negotiation takes one.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]
#![cfg(feature = "openssl")]

#[path = "common/tls.rs"]
mod kit;

use std::sync::Arc;

use countersign::mechanism::{Guessing, MechanismName, Place};
use countersign::prep::Preparation;
use countersign::registry::{self, Credential, MemoryStore, RegisteredTls, TlsClientSetup, TlsServerSetup};
use countersign::sasl::{self, Floor, Policy};
use countersign::srp::{Group, Legacy};
use countersign::tls::psk::{PreSharedKey, PskCredential, Suite};
use countersign::tls::srp;
use countersign::{Password, Side, system_rng};
use kit::run;

const ALICE: &str = "alice@example.org";

/// The rows that stand alone; before the handshake of CPACE-R255-PSK comes another exchange.
fn rows() -> impl Iterator<Item = &'static RegisteredTls> {
    registry::in_tls().iter().filter(|row| row.properties().place == Place::InTls)
}

/// What a row needs on either side.
fn setups(name: &MechanismName) -> (TlsClientSetup, TlsServerSetup) {
    let suite = match name.as_str() {
        "TLS13-PSK" => Suite::Tls13Sha256,
        "TLS12-ECDHE-PSK" => Suite::Tls12,
        _ => return accounts(),
    };
    let secret = PreSharedKey::generate(&mut system_rng());
    let key = PskCredential::between(&secret, ALICE, "bob@example.net", suite);
    (TlsClientSetup::Key(key.clone()), TlsServerSetup::Keys(Arc::new(key)))
}

fn accounts() -> (TlsClientSetup, TlsServerSetup) {
    let (password, preparation) = (Password::new("correct horse"), Preparation::SaslPrep);
    let verifier = srp::generate(ALICE, &password, preparation, Group::Bits2048, &mut system_rng()).unwrap();
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&srp::NAME, ALICE, Credential::Srp(verifier)).unwrap();
    let client =
        TlsClientSetup::Account { authcid: ALICE.to_owned(), password, preparation, legacy: Legacy::Refused };
    (client, TlsServerSetup::Records(Arc::new(store)))
}

#[test]
fn every_row_runs_and_keeps_its_promises() {
    let names = rows().map(|row| row.name().as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["TLS13-PSK", "TLS12-ECDHE-PSK", "TLS-SRP"]);
    for row in rows() {
        let properties = row.properties();
        let (client, server) = setups(row.name());
        let (client, server) = (row.client(client).unwrap(), row.server(server).unwrap());
        assert_eq!((client.name(), server.name()), (row.name().clone(), row.name().clone()));
        assert_eq!((client.properties(), server.properties()), (properties.clone(), properties.clone()));
        let ends = run(client, server);
        assert_eq!(ends.flights.len(), usize::from(properties.messages), "{}", row.name());
        let (client, server) = (ends.client.unwrap(), ends.server.unwrap());
        assert!(client.binding().same_channel(server.binding()));
        assert_eq!(server.outcome().authcid(), ALICE);
        assert_eq!(server.outcome().key().is_some(), properties.key);

        assert_eq!(properties.first, Side::Client);
        assert!(properties.mutual && properties.forward_secrecy && properties.by_name);
    }
}

#[test]
fn what_can_be_guessed_offline_is_as_documented() {
    let seen = |name: &str| {
        let properties = registry::find_in_tls(&name.parse().unwrap()).unwrap().properties();
        let tests = (properties.client_test, properties.server_test);
        (properties.listener, properties.impostor, properties.thief, tests)
    };
    use Guessing::{Immediate, OfflineFast, OnlineOnly};
    assert_eq!(seen("TLS13-PSK"), (OfflineFast, OfflineFast, Immediate, (1, 1)));
    assert_eq!(seen("TLS12-ECDHE-PSK"), (OnlineOnly, OfflineFast, Immediate, (2, 2)));
    assert_eq!(seen("TLS-SRP"), (OnlineOnly, OnlineOnly, OfflineFast, (2, 2)));
}

#[test]
fn a_setup_for_another_row_is_refused() {
    for row in registry::in_tls() {
        for other in rows().filter(|other| other.name() != row.name()) {
            let (client, server) = setups(other.name());
            let error = row.client(client).err().unwrap();
            assert!(error.is(&registry::rules::WRONG_CREDENTIAL));
            if matches!(server, TlsServerSetup::Records(_)) || *row.name() == srp::NAME {
                assert!(row.server(server).err().unwrap().is(&registry::rules::WRONG_CREDENTIAL));
            }
        }
    }
}

#[test]
fn no_sasl_negotiation_offers_or_takes_one() {
    for row in registry::in_tls() {
        let name = row.name().clone();
        assert!(registry::find(&name).unwrap_err().is(&registry::rules::UNKNOWN_MECHANISM));
        assert!(registry::all().iter().all(|sasl| *sasl.name() != name));
        assert!(!Policy::default().acceptable().contains(&name));
        for floor in [Floor::Named, Floor::Bound, Floor::OnlineGuessesOnly] {
            let policy = Policy::named([name.clone()]).with_floor(floor);
            assert!(policy.acceptable().is_empty());
            let error = policy.select(std::slice::from_ref(&name)).unwrap_err();
            assert!(error.is(&sasl::rules::NO_MECHANISM), "{error}");
        }
    }
    assert!(registry::all().iter().all(|row| row.properties().place == Place::AboveTls));
    let unknown = MechanismName::from_static("TLS13-NOTHING");
    assert!(registry::find_in_tls(&unknown).unwrap_err().is(&registry::rules::UNKNOWN_MECHANISM));
}
