//! TLS-SRP, both ends ours: what is proven, what is refused, and how it ends.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]
#![cfg(feature = "openssl")]

#[path = "common/tls.rs"]
mod kit;

use std::sync::Arc;

use countersign::error::{Error, Rule};
use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::{self, Credential, CredentialStore, MemoryStore, SharedPassword};
use countersign::secret::SecretBytes;
use countersign::srp::{self, Dialect, Group, Legacy, Parameters, Prehash, Verifier};
use countersign::tls::srp::{
    NAME, SEED_MIN, SrpClientConfig, SrpServerConfig, USERNAME_MAX, generate, rules,
};
use countersign::tls::{self, TlsMechanism, Tunnel, Verified};
use countersign::{Password, Side, system_rng};
use kit::{Bare, Ends, carry, every_octet_matters, records, run, run_edited, say};
use openssl::ssl::{SslContext, SslMethod, SslVersion};

const ALICE: &str = "alice@example.org";
const PASSWORD: &str = "correct horse";

fn client_of(username: &str, password: &str) -> Box<dyn TlsMechanism> {
    client_with(username, password, Legacy::Refused)
}

fn client_with(username: &str, password: &str, legacy: Legacy) -> Box<dyn TlsMechanism> {
    let password = Password::new(password);
    SrpClientConfig::new(username, &password, Preparation::SaslPrep, legacy).unwrap().mechanism().unwrap()
}

fn record(group: Group) -> Verifier {
    generate(ALICE, &Password::new(PASSWORD), Preparation::SaslPrep, group, &mut system_rng()).unwrap()
}

fn store(verifier: Verifier) -> Arc<MemoryStore> {
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&NAME, ALICE, Credential::Srp(verifier)).unwrap();
    Arc::new(store)
}

/// The smallest group that is taken, for speed.
fn config() -> SrpServerConfig {
    SrpServerConfig::new(store(record(Group::Bits2048))).unwrap().with_simulated_group(Group::Bits2048)
}

fn tunnels() -> (Tunnel<Verified>, Tunnel<Verified>) {
    let Ends { client, server, .. } = run(client_of(ALICE, PASSWORD), config().mechanism().unwrap());
    (client.unwrap(), server.unwrap())
}

fn refused(end: Result<Tunnel<Verified>, Error>, rule: &Rule) -> Error {
    let error = end.expect_err("refused");
    assert!(error.is(rule), "{error:?}");
    error
}

#[test]
fn both_sides_prove_the_password_and_share_a_channel() {
    let (client, server) = tunnels();
    assert!(client.binding().same_channel(server.binding()));
    for tunnel in [&client, &server] {
        assert_eq!(tunnel.outcome().authcid(), ALICE);
        assert_eq!(*tunnel.mechanism(), NAME);
        let negotiated = tunnel.negotiated().unwrap();
        assert_eq!(negotiated.version, "TLSv1.2");
        assert_eq!(negotiated.cipher_suite, "TLS_SRP_SHA_WITH_AES_256_CBC_SHA");
        assert_eq!(negotiated.group, "SRP-2048");
    }
    assert_eq!((client.outcome().side(), server.outcome().side()), (Side::Client, Side::Server));
}

#[test]
fn a_wrong_password_is_refused_by_both_sides() {
    let ends = run(client_of(ALICE, "wrong"), config().mechanism().unwrap());
    refused(ends.server, &tls::rules::NOT_PROVEN);
    refused(ends.client, &tls::rules::NOT_ACCEPTED);
}

/// Octets of a ServerKeyExchange in 2048 bits: header, N, g, a salt of 16 octets, B, and a length before each.
const SERVER_KEY_EXCHANGE: usize = 4 + 2 + 256 + 2 + 1 + 1 + 16 + 2 + 256;

/// Octets of a record with a ClientKeyExchange: A, and its length.
const CLIENT_KEY_EXCHANGE: usize = 5 + 4 + 2 + 256;

/// ServerKeyExchange, the second message of the server's flight: its length, and N, g and salt.
fn parameters_seen(ends: &Ends) -> (usize, Vec<u8>) {
    let flight = &ends.flights[1];
    let (start, len) = records(flight)[1];
    let message = &flight[start + 5..start + len];
    assert_eq!(message[0], 12);
    let mut at = 4;
    for width in [2, 2, 1] {
        let len = message[at..at + width].iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
        at += width + len;
    }
    (message.len(), message[4..at].to_vec())
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password_and_the_same_at_each_probe() {
    let config = config();
    // A and B come without leading zero octets; only runs where they have none can be compared.
    let probe = |username: &str| loop {
        let ends = run(client_of(username, "wrong"), config.mechanism().unwrap());
        if parameters_seen(&ends).0 == SERVER_KEY_EXCHANGE
            && records(&ends.flights[2])[0].1 == CLIENT_KEY_EXCHANGE
        {
            break ends;
        }
    };
    let (known, once, again, other) =
        (probe(ALICE), probe("malle@example.org"), probe("malle@example.org"), probe("mally@example.org"));
    assert_eq!(parameters_seen(&once), parameters_seen(&again));
    assert_ne!(parameters_seen(&once).1, parameters_seen(&other).1);
    for unknown in [&once, &other] {
        let lengths = |ends: &Ends| ends.flights.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(unknown), lengths(&known));
        assert_eq!(parameters_seen(unknown).0, parameters_seen(&known).0);
        assert_eq!(unknown.flights.last(), known.flights.last(), "the alert");
        let error = |ends: &Ends| ends.server.as_ref().err().unwrap().to_string();
        assert_eq!(error(unknown), error(&known));
    }
    assert!(once.server.unwrap_err().is(&tls::rules::NOT_PROVEN));
}

#[test]
fn small_groups_need_a_switch_on_either_side() {
    for (group, large) in
        [(Group::Bits1024, false), (Group::Bits1536, false), (Group::Bits2048, true), (Group::Bits3072, true)]
    {
        let server = |legacy| {
            SrpServerConfig::new(store(record(group)))
                .unwrap()
                .with_legacy_groups(legacy)
                .mechanism()
                .unwrap()
        };
        let allowed = run(client_with(ALICE, PASSWORD, Legacy::Allowed), server(Legacy::Allowed));
        assert!(allowed.client.is_ok() && allowed.server.is_ok(), "{group}");

        let by_client = run(client_of(ALICE, PASSWORD), server(Legacy::Allowed));
        assert_eq!(by_client.client.is_ok(), large, "{group}");
        assert_eq!(by_client.server.is_ok(), large, "{group}");

        let by_server = run(client_with(ALICE, PASSWORD, Legacy::Allowed), server(Legacy::Refused));
        assert_eq!(by_server.client.is_ok(), large, "{group}");
        if !large {
            refused(by_server.server, &srp::rules::GROUP_TOO_SMALL);
        }
    }
}

#[test]
fn records_that_openssl_would_misread_are_refused() {
    let derive = |dialect, prehash, salt: &[u8]| {
        let parameters = Parameters { dialect, group: Group::Bits2048, prehash };
        Verifier::derive(&parameters, ALICE, &SecretBytes::new(PASSWORD.into()), salt).unwrap()
    };
    let sha256 = Dialect::RFC5054.with_hash(srp::Hash::Sha256);
    for (verifier, fits) in [
        (derive(Dialect::RFC5054, Prehash::None, b"\x01salt"), true),
        (derive(Dialect::RFC5054, Prehash::None, b"\0salt"), false),
        (derive(sha256, Prehash::None, b"salt"), false),
        (derive(Dialect::RFC5054, Prehash::Pbkdf2(1), b"salt"), false),
    ] {
        let ends = run(
            client_of(ALICE, PASSWORD),
            SrpServerConfig::new(store(verifier)).unwrap().mechanism().unwrap(),
        );
        assert_eq!(ends.client.is_ok(), fits);
        if !fits {
            refused(ends.server, &rules::BAD_RECORD);
        }
    }
}

#[test]
fn lines_of_openssl_and_gnutls_serve_logins() {
    let ours = record(Group::Bits2048);
    let (_, openssl) = Verifier::from_openssl(&ours.to_openssl(ALICE).unwrap(), Legacy::Refused).unwrap();
    let (_, gnutls) = Verifier::from_gnutls(&ours.to_gnutls(ALICE).unwrap(), None, Legacy::Refused).unwrap();
    for verifier in [openssl, gnutls] {
        let ends = run(
            client_of(ALICE, PASSWORD),
            SrpServerConfig::new(store(verifier)).unwrap().mechanism().unwrap(),
        );
        assert!(ends.client.is_ok() && ends.server.is_ok());
    }
}

#[test]
fn a_shared_password_serves_as_a_store() {
    let shared =
        SharedPassword::new(ALICE, Password::new(PASSWORD), Preparation::SaslPrep, system_rng()).unwrap();
    let config = SrpServerConfig::new(Arc::new(shared)).unwrap();
    for (username, fits) in [(ALICE, true), ("mallory@example.org", false)] {
        let ends = run(client_of(username, PASSWORD), config.mechanism().unwrap());
        assert_eq!(ends.server.is_ok(), fits);
    }
}

#[test]
fn names_have_1_to_255_octets_and_passwords_at_least_one() {
    let make = |username: &str, password: &str| {
        SrpClientConfig::new(username, &Password::new(password), Preparation::OpaqueString, Legacy::Refused)
    };
    make(&"x".repeat(USERNAME_MAX), "x").unwrap();
    assert!(make(&"x".repeat(USERNAME_MAX + 1), "x").unwrap_err().is(&rules::BAD_ACCOUNT));
    assert!(make("", "x").is_err() && make("x", "").is_err() && make("a\0b", "x").is_err());
    make("x", "x").unwrap();
}

struct Store<R>(SecretBytes, R);

impl<R: Fn() -> countersign::Result<Option<Credential>> + Send + Sync> CredentialStore for Store<R> {
    fn lookup(&self, _: &MechanismName, _: &str) -> countersign::Result<Option<Credential>> {
        (self.1)()
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.0
    }
}

fn answering(
    answer: impl Fn() -> countersign::Result<Option<Credential>> + Send + Sync + 'static,
) -> SrpServerConfig {
    SrpServerConfig::new(Arc::new(Store(SecretBytes::new(vec![7; SEED_MIN]), answer))).unwrap()
}

#[test]
fn the_seed_needs_32_octets() {
    let make = |len| SrpServerConfig::new(Arc::new(Store(SecretBytes::new(vec![7; len]), || Ok(None))));
    make(SEED_MIN).unwrap();
    assert!(make(SEED_MIN - 1).unwrap_err().is(&rules::SEED_TOO_SHORT));
}

#[test]
fn a_store_that_fails_ends_the_handshake_with_its_error() {
    static BROKEN: Rule = Rule {
        id: "test-broken",
        kind: countersign::ErrorKind::Environment,
        source: "here",
        what: "the store is broken",
        advice: "Mend it.",
    };
    let ends = run(client_of(ALICE, PASSWORD), answering(|| Err(Error::new(&BROKEN))).mechanism().unwrap());
    refused(ends.server, &BROKEN);
    assert!(ends.client.is_err());
    let password = || Ok(Some(Credential::Password(Password::new(PASSWORD))));
    let ends = run(client_of(ALICE, PASSWORD), answering(password).mechanism().unwrap());
    refused(ends.server, &registry::rules::WRONG_CREDENTIAL);
    let panics = || std::panic::resume_unwind(Box::new("no unwinding into C"));
    let ends = run(client_of(ALICE, PASSWORD), answering(panics).mechanism().unwrap());
    assert!(ends.server.is_err() && ends.client.is_err());
}

#[test]
fn no_octet_of_a_handshake_can_be_changed() {
    let config = config();
    // In the smallest group that is taken a run takes milliseconds: enough for some of the octets of A, B and N, not for all.
    every_octet_matters(7, || (client_of(ALICE, PASSWORD), config.mechanism().unwrap()));
}

/// Sets A (record 0 of its flight) or B (record 1) to this, which is as long as N; false for the one in 256 that is shorter.
fn overwrite(flight: &mut [u8], record: usize, octets: &[u8]) -> bool {
    // The headers of the record and of the message.
    let mut at = records(flight)[record].0 + 5 + 4;
    let length = |octets: &[u8]| octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
    if record == 1 {
        // N, g and the salt (RFC 5054 section 2.8.1).
        for width in [2, 2, 1] {
            at += width + length(&flight[at..at + width]);
        }
    }
    let fits = length(&flight[at..at + 2]) == octets.len();
    if fits {
        flight[at + 2..][..octets.len()].copy_from_slice(octets);
    }
    fits
}

#[test]
fn public_values_that_are_zero_are_refused() {
    let modulus = Group::Bits2048.modulus();
    for value in [&vec![0; modulus.len()][..], modulus] {
        let config = config();
        // A ends ClientKeyExchange, B ServerKeyExchange.
        for (number, record) in [(3, 0), (2, 1)] {
            let ends = loop {
                let mut edited = false;
                let ends =
                    run_edited(client_of(ALICE, PASSWORD), config.mechanism().unwrap(), |n, flight| {
                        if n == number {
                            edited = overwrite(flight, record, value);
                        }
                    });
                if edited {
                    break ends;
                }
            };
            let (receiver, other) =
                if number == 3 { (ends.server, ends.client) } else { (ends.client, ends.server) };
            refused(receiver, &tls::rules::HANDSHAKE);
            assert!(other.is_err());
        }
    }
}

#[test]
fn a_client_without_a_name_is_refused() {
    let mut context = SslContext::builder(SslMethod::tls()).unwrap();
    context.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
    let (_, end) = Bare::client(&context.build()).connect(config().mechanism().unwrap());
    refused(end, &tls::rules::HANDSHAKE);
}

#[test]
fn data_cross_and_nothing_is_renegotiated() {
    let (mut client, mut server) = tunnels();
    let text = vec![7; 50_000];
    assert_eq!(say(&text, &mut client, &mut server), text);
    assert_eq!(say(&text, &mut server, &mut client), text);
    for tunnel in [&mut client, &mut server] {
        assert!(tunnel.rekey().unwrap_err().is(&tls::rules::NO_KEY_UPDATE));
        let mut flight = Vec::new();
        tunnel.transmit(&mut flight);
        assert!(flight.is_empty());
    }
}

#[test]
fn both_ends_export_the_same() {
    let (client, server) = tunnels();
    let value = |tunnel: &Tunnel<Verified>, context: &[u8]| {
        let mut out = [0; 32];
        tunnel.export(b"EXPERIMENTAL a", context, &mut out).unwrap();
        out
    };
    assert_eq!(value(&client, b""), value(&server, b""));
    assert_eq!(value(&client, b"x"), value(&server, b"x"));
    assert_ne!(value(&client, b""), value(&client, b"x"));
}

#[test]
fn an_end_without_close_notify_is_truncation() {
    let (mut client, mut server) = tunnels();
    assert!(server.transport_ended().unwrap_err().is(&tls::rules::TRUNCATED));
    client.close();
    carry(&mut client, &mut server).unwrap();
    server.transport_ended().unwrap();
}

#[test]
fn records_are_as_large_as_they_were_asked_to_be() {
    let password = Password::new(PASSWORD);
    let make = |size| {
        SrpClientConfig::new(ALICE, &password, Preparation::SaslPrep, Legacy::Refused)
            .unwrap()
            .with_record_size(size)
    };
    for size in [tls::openssl::RECORD_MIN, tls::openssl::RECORD_DEFAULT, tls::openssl::RECORD_MAX] {
        let mut client =
            run(make(size).unwrap().mechanism().unwrap(), config().mechanism().unwrap()).client.unwrap();
        let mut flight = Vec::new();
        client.write(&[7; 50_000]).unwrap();
        client.transmit(&mut flight);
        let largest = records(&flight).iter().map(|(_, len)| *len).max().unwrap();
        assert!(largest <= size && largest > size - 64, "{largest} of {size}");
    }
    assert!(make(tls::openssl::RECORD_MIN - 1).unwrap_err().is(&tls::rules::RECORD_SIZE));
}

#[test]
fn nothing_secret_is_shown() {
    let password = Password::new(PASSWORD);
    let config = SrpClientConfig::new(ALICE, &password, Preparation::SaslPrep, Legacy::Refused).unwrap();
    assert!(!format!("{config:?}").contains(PASSWORD));
}
