//! What the library's own TLS-PSK gives away: a planted key is found in TLS 1.3's first flight, and by an impostor of a TLS 1.2
//! server. The keys have 128 bits here as the library asks for; an attacker's list has them only because they were planted.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]
#![cfg(all(feature = "dictionary", feature = "openssl"))]

#[path = "common/impostor.rs"]
mod impostor;
#[path = "common/tls.rs"]
mod kit;

use std::sync::Arc;

use countersign::Side;
use countersign::dictionary::capture::Capture;
use countersign::dictionary::{Exposure, Oracle, Situation, Transcript, View, exposure_of_transcript};
use countersign::prep::Preparation;
use countersign::tls::TlsMechanism;
use countersign::tls::psk::{KeyRing, PreSharedKey, PskClientConfig, PskCredential, PskServerConfig, Suite};
use kit::{Party, records, run};

/// 16 octets, not all of them text.
const KEY: [u8; 16] = *b"\x9f\x02\xc7\x11planted key!";
const CANDIDATES: [&[u8]; 3] = [b"123456", b"\x9f\x02\xc7\x11planted key?", &KEY];
/// TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, the only suite that the library offers in TLS 1.2.
const ECDHE_PSK_CHACHA20: u16 = 0xccac;

fn credential(suite: Suite) -> PskCredential {
    PskCredential::raw(b"alice", &PreSharedKey::from_high_entropy(&KEY).unwrap(), suite).unwrap()
}

fn client(suite: Suite) -> Box<dyn TlsMechanism> {
    PskClientConfig::new(credential(suite)).unwrap().mechanism().unwrap()
}

fn server(suite: Suite) -> Box<dyn TlsMechanism> {
    let mut ring = KeyRing::new();
    ring.insert(credential(suite));
    PskServerConfig::only(suite, Arc::new(ring)).unwrap().mechanism().unwrap()
}

fn finds_the_key(exposure: countersign::Result<Exposure>) {
    let Exposure::Guesses(oracle) = exposure.unwrap() else { panic!("nothing to test") };
    let oracle: &dyn Oracle = &*oracle;
    let found = oracle.try_passwords(&CANDIDATES).unwrap();
    assert_eq!(found.map(|found| found.index()), Some(2), "{}", oracle.work());
    assert!(oracle.try_passwords(&CANDIDATES[..2]).unwrap().is_none());
}

#[test]
fn a_first_flight_of_tls13_is_enough() {
    for suite in [Suite::Tls13Sha256, Suite::Tls13Sha384] {
        let hello = Party::new(client(suite)).take(&[]);
        finds_the_key(Capture::parse(&hello).unwrap().exposure(Situation::Listener, None));
        // And a listener of the whole handshake has it, too.
        let ends = run(client(suite), server(suite));
        assert!(ends.client.is_ok() && ends.server.is_ok());
        finds_the_key(Capture::parse(&ends.flights[0]).unwrap().exposure(Situation::Listener, None));
    }
}

#[test]
fn a_listener_of_tls12_has_nothing_to_test() {
    let ends = run(client(Suite::Tls12), server(Suite::Tls12));
    assert!(ends.client.is_ok() && ends.server.is_ok());
    let exposure = Capture::parse(&ends.flights.concat()).unwrap().exposure(Situation::Listener, None);
    assert!(matches!(exposure, Ok(Exposure::NothingOffline(_))), "{exposure:?}");
}

#[test]
fn an_impostor_of_a_tls12_server_can_test() {
    let mut client = Party::new(client(Suite::Tls12));
    let mut transcript = Transcript::new("TLS12-PSK".parse().unwrap(), View::ImpostorOfServer);
    transcript.push(Side::Client, &client.take(&[])).unwrap();
    let flight = impostor::flight(ECDHE_PSK_CHACHA20);
    transcript.push(Side::Server, &flight).unwrap();
    let answer = client.take(&flight);
    assert_eq!(records(&answer).len(), 3, "key exchange, change of cipher, Finished");
    transcript.push(Side::Client, &answer).unwrap();
    // A listener has the same messages and no secret.
    let exposure = exposure_of_transcript(&transcript, Preparation::None);
    assert!(matches!(exposure, Ok(Exposure::NothingOffline(_))), "{exposure:?}");
    let transcript = transcript.with_impostor_secret(&impostor::secret(&answer)).unwrap();
    let transcript = Transcript::from_text(&transcript.to_text()).unwrap();
    finds_the_key(exposure_of_transcript(&transcript, Preparation::None));
}
