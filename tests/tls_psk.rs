//! TLS-PSK, both ends ours: what is proven, what is refused, and how it ends. Bare OpenSSL stands in for peers that do
//! what ours never does.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]
#![cfg(feature = "openssl")]

#[path = "common/tls.rs"]
mod kit;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign::error::{Error, Rule};
use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::tls::psk::{
    DISTINCT_MIN, IDENTITY_MAX, KeyRing, PRESHARED_MAX, PRESHARED_MIN, PreSharedKey, PskClientConfig,
    PskCredential, PskServerConfig, PskStore, Suite, TEXT_MIN, rules,
};
use countersign::tls::{self, Handshake, TlsMechanism, Tunnel, UNREAD_MAX, Verified, openssl as endpoint};
use countersign::{Password, Side, mechanism, system_rng};
use kit::{Bare, Ends, Party, carry, every_octet_matters, records, run, run_edited, say, self_signed};
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::ssl::{SslContext, SslMethod, SslOptions, SslVersion};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.net";
const CAROL: &str = "carol@example.com";
const SUITES: [Suite; 3] = [Suite::Tls13Sha256, Suite::Tls13Sha384, Suite::Tls12];
/// 16 octets with every rule kept.
const OCTETS: [u8; 16] = *b"\x9f\x02\xc7\x11\x5e\x80\xd3\x4a\xb6\x77\x0c\xe9\x21\x8d\xf4\x3b";

fn key() -> PreSharedKey {
    PreSharedKey::generate(&mut system_rng())
}

fn raw(identity: &str, suite: Suite) -> PskCredential {
    PskCredential::raw(identity.as_bytes(), &PreSharedKey::from_high_entropy(&OCTETS).unwrap(), suite)
        .unwrap()
}

fn client(credential: &PskCredential) -> Box<dyn TlsMechanism> {
    PskClientConfig::new(credential.clone()).unwrap().mechanism().unwrap()
}

fn server<'a>(suite: Suite, keys: impl IntoIterator<Item = &'a PskCredential>) -> Box<dyn TlsMechanism> {
    let mut ring = KeyRing::new();
    keys.into_iter().for_each(|key| ring.insert(key.clone()));
    PskServerConfig::only(suite, Arc::new(ring)).unwrap().mechanism().unwrap()
}

fn tunnels(suite: Suite) -> (Tunnel<Verified>, Tunnel<Verified>) {
    let credential = PskCredential::between(&key(), ALICE, BOB, suite);
    let Ends { client, server, .. } = run(client(&credential), server(suite, [&credential]));
    (client.unwrap(), server.unwrap())
}

fn refused(end: Result<Tunnel<Verified>, Error>, rule: &Rule) -> Error {
    let error = end.expect_err("refused");
    assert!(error.is(rule), "{error:?}");
    error
}

fn both_refuse(ends: Ends) {
    refused(ends.server, &tls::rules::NOT_PROVEN);
    refused(ends.client, &tls::rules::NOT_ACCEPTED);
}

#[test]
fn both_sides_prove_the_key_and_share_a_channel() {
    for suite in SUITES {
        let (client, server) = tunnels(suite);
        assert!(client.binding().same_channel(server.binding()));
        for tunnel in [&client, &server] {
            assert_eq!(tunnel.outcome().authcid(), ALICE);
            assert_eq!(*tunnel.mechanism(), suite.mechanism());
            let negotiated = tunnel.negotiated().unwrap();
            let expected = match suite {
                Suite::Tls13Sha256 => ("TLSv1.3", "TLS_AES_128_GCM_SHA256"),
                Suite::Tls13Sha384 => ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
                _ => ("TLSv1.2", "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
            };
            assert_eq!((&*negotiated.version, &*negotiated.cipher_suite), expected);
            assert!(["X25519", "X25519MLKEM768"].contains(&&*negotiated.group), "{negotiated:?}");
        }
        assert_eq!((client.outcome().side(), server.outcome().side()), (Side::Client, Side::Server));
    }
}

#[test]
fn a_server_with_keys_of_both_hashes_finds_each() {
    let secret = key();
    let credentials = [Suite::Tls13Sha256, Suite::Tls13Sha384]
        .map(|suite| PskCredential::between(&secret, ALICE, BOB, suite));
    let mut ring = KeyRing::new();
    credentials.iter().for_each(|credential| ring.insert(credential.clone()));
    let config = PskServerConfig::new(Arc::new(ring)).unwrap();
    for credential in credentials {
        let Ends { client, server, .. } = run(client(&credential), config.mechanism().unwrap());
        client.unwrap();
        assert_eq!(server.unwrap().outcome().authcid(), ALICE);
    }
}

#[test]
fn several_identities_are_told_apart() {
    for suite in SUITES {
        let credentials = [ALICE, CAROL].map(|who| PskCredential::between(&key(), who, BOB, suite));
        for credential in &credentials {
            let ends = run(client(credential), server(suite, &credentials));
            assert_eq!(ends.server.unwrap().outcome().authcid(), credential.authcid());
        }
    }
}

#[test]
fn a_wrong_key_is_refused_by_both_sides() {
    for suite in SUITES {
        let theirs = PskCredential::raw(b"alice", &key(), suite).unwrap();
        both_refuse(run(client(&raw("alice", suite)), server(suite, [&theirs])));
    }
}

/// What an impostor of the client sees: the lengths of the server's flights, and its alert.
fn seen(ends: &Ends) -> (Vec<usize>, Vec<u8>) {
    let answers = ends.flights.iter().skip(1).step_by(2).collect::<Vec<_>>();
    (answers.iter().map(|flight| flight.len()).collect(), answers.last().unwrap().to_vec())
}

#[test]
fn an_unknown_identity_looks_like_a_wrong_key() {
    for suite in SUITES {
        let theirs = PskCredential::raw(b"alice", &key(), suite).unwrap();
        let other_suite = if suite == Suite::Tls13Sha256 { Suite::Tls13Sha384 } else { Suite::Tls13Sha256 };
        let of_other_suite = raw("alice", other_suite);
        let wrong_key = run(client(&raw("alice", suite)), server(suite, [&theirs]));
        for unknown in [
            run(client(&raw("mallo", suite)), server(suite, [&theirs])),
            run(client(&raw("alice", suite)), server(suite, [])),
            run(client(&raw("alice", suite)), server(suite, [&of_other_suite])),
        ] {
            assert_eq!(seen(&unknown), seen(&wrong_key));
            let (ours, theirs) = (unknown.server.unwrap_err(), wrong_key.server.as_ref().unwrap_err());
            assert_eq!(ours.to_string(), theirs.to_string());
            assert_eq!(
                unknown.client.unwrap_err().to_string(),
                wrong_key.client.as_ref().unwrap_err().to_string()
            );
        }
        // The alert is one, in the clear: fatal, and no unknown_psk_identity.
        let (_, alert) = seen(&wrong_key);
        assert_eq!((alert[0], alert[5]), (21, 2));
        assert_ne!(alert[6], 115);
    }
}

#[test]
fn a_message_sent_back_to_its_sender_is_refused() {
    for suite in SUITES {
        let secret = key();
        // Alice takes calls from Bob under the same secret.
        let alices = PskCredential::between(&secret, BOB, ALICE, suite);
        both_refuse(run(
            client(&PskCredential::between(&secret, ALICE, BOB, suite)),
            server(suite, [&alices]),
        ));
        // Where key and name are taken as they are, Alice talks to herself.
        let ends = run(client(&raw("pair", suite)), server(suite, [&raw("pair", suite)]));
        assert!(ends.client.is_ok() && ends.server.is_ok());
    }
}

#[test]
fn a_message_led_to_a_third_who_knows_the_secret_is_refused() {
    for suite in SUITES {
        let secret = key();
        let carols = PskCredential::between(&secret, ALICE, CAROL, suite);
        both_refuse(run(
            client(&PskCredential::between(&secret, ALICE, BOB, suite)),
            server(suite, [&carols]),
        ));
    }
}

#[test]
fn a_renamed_key_is_another_key() {
    // The attacker of the two tests above, who can also make the names on the wire agree.
    struct Renamed(PskCredential);
    impl PskStore for Renamed {
        fn lookup(&self, _: &[u8]) -> countersign::Result<Option<PskCredential>> {
            Ok(Some(self.0.clone()))
        }
    }
    for suite in SUITES {
        let secret = key();
        let ours = PskCredential::between(&secret, ALICE, BOB, suite);
        for (theirs, same) in
            [((BOB, ALICE), false), ((ALICE, CAROL), false), ((CAROL, BOB), false), ((ALICE, BOB), true)]
        {
            let theirs = PskCredential::between(&secret, theirs.0, theirs.1, suite);
            let config = PskServerConfig::only(suite, Arc::new(Renamed(theirs))).unwrap();
            let ends = run(client(&ours), config.mechanism().unwrap());
            assert_eq!(ends.server.is_ok(), same);
        }
    }
}

#[test]
fn names_on_the_wire_name_nobody_and_differ_by_everything() {
    let secrets = [key(), key()];
    let mut names = BTreeSet::new();
    for secret in &secrets {
        for suite in SUITES {
            for (initiator, responder) in
                [(ALICE, BOB), (BOB, ALICE), (ALICE, CAROL), ("alice@example.orgbob", "@example.net")]
            {
                let credential = PskCredential::between(secret, initiator, responder, suite);
                let name = std::str::from_utf8(credential.identity()).unwrap().to_owned();
                assert_eq!(name.len(), 36);
                assert!(name.starts_with("cs1-") && !name.contains("alice") && !name.contains("bob"));
                assert!(names.insert(name));
            }
        }
    }
    let flights = run(
        client(&PskCredential::between(&secrets[0], ALICE, BOB, Suite::Tls13Sha256)),
        server(Suite::Tls13Sha256, []),
    )
    .flights;
    let told = |who: &str| flights[0].windows(who.len()).any(|window| window == who.as_bytes());
    assert!(!told("alice") && !told("bob") && !told("example") && told("cs1-"));
}

/// HKDF-Expand-Label of RFC 8446 section 7.1, one block of SHA-256.
fn expand_label(secret: &[u8], label: &str, context: &[u8]) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let mut info = vec![0, 32, label.len() as u8];
    info.extend_from_slice(label.as_bytes());
    info.push(context.len() as u8);
    info.extend_from_slice(context);
    info.push(1);
    hmac(secret, &info)
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(data).unwrap()
}

/// Changes the one mode that the ClientHello offers, and makes a binder that fits.
fn with_mode(hello: &mut [u8], mode: u8) {
    const BINDERS: usize = 2 + 1 + 32;
    let at = hello.windows(6).position(|window| window == [0, 45, 0, 2, 1, 1]).expect("psk_dhe_ke alone");
    hello[at + 5] = mode;
    let digest = |octets: &[u8]| hash(MessageDigest::sha256(), octets).unwrap();
    let early = hmac(&[0; 32], &OCTETS);
    let binder_key = expand_label(&early, "ext binder", &digest(b""));
    let finished_key = expand_label(&binder_key, "finished", b"");
    let end = hello.len();
    let binder = hmac(&finished_key, &digest(&hello[5..end - BINDERS]));
    hello[end - 32..].copy_from_slice(&binder);
}

#[test]
fn a_client_that_wants_no_diffie_hellman_is_refused() {
    let credential = raw("alice", Suite::Tls13Sha256);
    for (mode, accepted) in [(1, true), (0, false)] {
        let mut answer = 0;
        run_edited(client(&credential), server(Suite::Tls13Sha256, [&credential]), |number, flight| {
            match number {
                1 => with_mode(flight, mode),
                2 => answer = flight[0],
                _ => {}
            }
        });
        // A handshake message goes on, an alert does not.
        assert_eq!(answer == 22, accepted, "mode {mode}: a record of type {answer}");
    }
    let ends =
        run_edited(client(&credential), server(Suite::Tls13Sha256, [&credential]), |number, flight| {
            if number == 1 {
                with_mode(flight, 0);
            }
        });
    assert!(ends.server.is_err() && ends.client.is_err());
}

#[test]
fn a_key_needs_sixteen_octets() {
    let long = [OCTETS, OCTETS].concat();
    let error = PreSharedKey::from_high_entropy(&long[..PRESHARED_MIN - 1]).unwrap_err();
    assert!(error.is(&rules::TOO_SHORT));
    assert_eq!(error.numbers(), Some((15, 16)));
    PreSharedKey::from_high_entropy(&long[..PRESHARED_MIN]).unwrap();
    assert!(PreSharedKey::from_high_entropy(&[]).unwrap_err().is(&rules::TOO_SHORT));
}

#[test]
fn a_key_has_at_most_256_octets() {
    let longest = (0..=255).cycle().take(PRESHARED_MAX).collect::<Vec<u8>>();
    let longest = PreSharedKey::from_high_entropy(&longest).unwrap();
    assert!(PreSharedKey::from_high_entropy(&[7; PRESHARED_MAX + 1]).unwrap_err().is(&rules::TOO_LONG));
    for suite in SUITES {
        let credential = PskCredential::raw(b"alice", &longest, suite).unwrap();
        let ends = run(client(&credential), server(suite, [&credential]));
        assert!(ends.client.is_ok() && ends.server.is_ok(), "{suite:?}");
    }
}

#[test]
fn a_password_is_refused_as_a_key() {
    let text = "correct horse battery staple, and a cat";
    for (text, fits) in [("hunter2", false), (&text[..TEXT_MIN - 1], false), (&text[..TEXT_MIN], true)] {
        match PreSharedKey::from_high_entropy(text.as_bytes()) {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits);
                assert!(error.is(&rules::LOW_ENTROPY) || error.is(&rules::TOO_SHORT));
                // What it costs, and what to take instead.
                assert!(error.to_string().contains("3 million guesses a second"), "{error}");
                assert!(error.advice().contains("CPace"), "{}", error.advice());
            }
        }
    }
}

#[test]
fn a_key_of_few_different_octets_is_refused() {
    let cycled = |distinct: usize| (0x80..0x80 + distinct as u8).cycle().take(32).collect::<Vec<_>>();
    assert!(PreSharedKey::from_high_entropy(&cycled(DISTINCT_MIN - 1)).unwrap_err().is(&rules::LOW_ENTROPY));
    PreSharedKey::from_high_entropy(&cycled(DISTINCT_MIN)).unwrap();
}

#[test]
fn a_password_serves_only_through_the_call_that_names_the_risk() {
    let make = |password: &str, initiator: &str, responder: &str| {
        PreSharedKey::expose_password_to_offline_guessing(
            &Password::new(password),
            Preparation::SaslPrep,
            Ksf::CHEAPEST,
            initiator,
            responder,
        )
    };
    let alices = PskCredential::raw(b"a", &make("hunter2", ALICE, BOB).unwrap(), Suite::Tls13Sha256).unwrap();
    for (password, initiator, responder, same) in [
        ("hunter2", ALICE, BOB, true),
        ("hunter3", ALICE, BOB, false),
        ("hunter2", BOB, ALICE, false),
        ("hunter2", ALICE, CAROL, false),
    ] {
        let theirs =
            PskCredential::raw(b"a", &make(password, initiator, responder).unwrap(), Suite::Tls13Sha256)
                .unwrap();
        let ends = run(client(&alices), server(Suite::Tls13Sha256, [&theirs]));
        assert_eq!(ends.server.is_ok(), same);
    }
    assert!(make("", ALICE, BOB).unwrap_err().is(&rules::LOW_ENTROPY));
}

#[test]
fn identities_have_1_to_128_octets() {
    let make = |identity: &[u8], suite| PskCredential::raw(identity, &key(), suite);
    for suite in SUITES {
        assert!(make(b"", suite).unwrap_err().is(&rules::BAD_IDENTITY));
        assert!(make(&[b'x'; IDENTITY_MAX + 1], suite).unwrap_err().is(&rules::BAD_IDENTITY));
        for identity in [&b"x"[..], &[b'x'; IDENTITY_MAX]] {
            let credential = make(identity, suite).unwrap();
            let ends = run(client(&credential), server(suite, [&credential]));
            assert!(ends.client.is_ok() && ends.server.is_ok());
        }
        assert_eq!(make(b"a\0b", suite).is_err(), suite == Suite::Tls12);
    }
}

#[test]
fn no_octet_of_a_handshake_can_be_changed() {
    for suite in SUITES {
        let credential = raw("alice", suite);
        every_octet_matters(1, || (client(&credential), server(suite, [&credential])));
    }
}

#[test]
fn flights_come_in_any_split() {
    for suite in SUITES {
        let credential = raw("alice", suite);
        let (mut client, mut server) =
            (Party::new(client(&credential)), Party::new(server(suite, [&credential])));
        let mut flight = client.take(&[]);
        while !flight.is_empty() {
            let answer = flight.iter().flat_map(|octet| server.take(&[*octet])).collect::<Vec<_>>();
            flight = answer.iter().flat_map(|octet| client.take(&[*octet])).collect();
        }
        assert!(client.end().is_ok() && server.end().is_ok());
    }
}

#[test]
fn garbage_is_an_error() {
    for suite in SUITES {
        let credential = raw("alice", suite);
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff]]
        {
            let mut parties = [Party::new(client(&credential)), Party::new(server(suite, [&credential]))];
            parties[0].take(&[]);
            for mut party in parties {
                party.take(garbage);
                // Nobody is asked to keep more than a record while he waits.
                party.take(&vec![0xff; 70_000]);
                let error = party.end().expect_err("refused");
                assert!(error.is(&tls::rules::HANDSHAKE), "{error:?}");
            }
        }
    }
}

#[test]
fn mechanisms_are_used_once_and_in_order() {
    let credential = raw("alice", Suite::Tls13Sha256);
    let error = client(&credential).step(b"x").unwrap_err();
    assert!(error.is(&mechanism::rules::UNEXPECTED_DATA));

    let (mut ours, mut theirs) = (client(&credential), server(Suite::Tls13Sha256, [&credential]));
    let Step::Continue(hello) = ours.step(&[]).unwrap() else { panic!("an end") };
    let Step::Continue(answer) = theirs.step(&hello).unwrap() else { panic!("an end") };
    let Step::Finished { outcome, .. } = ours.step(&answer).unwrap() else { panic!("no end") };
    assert!(ours.step(&[]).unwrap_err().is(&mechanism::rules::OUT_OF_TURN));
    // The server waits still.
    assert!(theirs.into_tunnel(outcome).unwrap_err().is(&tls::rules::NOT_READY));
    let (other, _) = tunnels(Suite::Tls13Sha256);
    drop((ours, other));
}

#[test]
fn the_outcome_of_another_handshake_opens_no_tunnel() {
    let credential = raw("alice", Suite::Tls13Sha256);
    let finished = || {
        let (mut ours, mut theirs) = (client(&credential), server(Suite::Tls13Sha256, [&credential]));
        let Step::Continue(hello) = ours.step(&[]).unwrap() else { panic!("an end") };
        let Step::Continue(answer) = theirs.step(&hello).unwrap() else { panic!("an end") };
        let Step::Finished { outcome, .. } = ours.step(&answer).unwrap() else { panic!("no end") };
        (ours, outcome)
    };
    let ((one, _), (_, outcome)) = (finished(), finished());
    assert!(one.into_tunnel(outcome).unwrap_err().is(&tls::rules::OTHER_CHANNEL));
}

#[test]
fn data_behind_the_last_flight_wait_in_the_tunnel() {
    let credential = raw("alice", Suite::Tls13Sha256);
    let mut ours = Party::new(client(&credential));
    let mut theirs = Party::new(server(Suite::Tls13Sha256, [&credential]));
    let hello = ours.take(&[]);
    let mut last = ours.take(&theirs.take(&hello));
    let mut ours = ours.end().unwrap();
    ours.write(b"at once").unwrap();
    ours.transmit(&mut last);
    assert!(theirs.take(&last).is_empty(), "no ticket");
    let mut arrived = Vec::new();
    theirs.end().unwrap().read(&mut arrived);
    assert_eq!(arrived, b"at once");
}

#[test]
fn data_cross_and_keys_are_updated() {
    /// Header, type and length, the one octet, content type, tag.
    const KEY_UPDATE: usize = 5 + 4 + 1 + 1 + 16;
    for suite in SUITES {
        let (mut client, mut server) = tunnels(suite);
        for n in 0..5 {
            let text = vec![n; 30_000];
            assert_eq!(say(&text, &mut client, &mut server), text);
            assert_eq!(say(&text, &mut server, &mut client), text);
            if suite == Suite::Tls12 {
                assert!(client.rekey().unwrap_err().is(&tls::rules::NO_KEY_UPDATE));
                continue;
            }
            let mut update = Vec::new();
            client.rekey().unwrap();
            client.transmit(&mut update);
            assert_eq!(update.len(), KEY_UPDATE);
            server.receive(&update).unwrap();
            // The server's own comes before its next data at the latest.
            server.write(b"x").unwrap();
            update.clear();
            server.transmit(&mut update);
            assert_eq!(records(&update)[0], (0, KEY_UPDATE));
            client.receive(&update).unwrap();
            client.read(&mut Vec::new());
        }
    }
}

#[test]
fn both_ends_export_the_same() {
    for suite in SUITES {
        let (client, server) = tunnels(suite);
        let value = |tunnel: &Tunnel<Verified>, label: &[u8], context: &[u8]| {
            let mut out = [0; 32];
            tunnel.export(label, context, &mut out).unwrap();
            out
        };
        let (label, other) = (b"EXPERIMENTAL a", b"EXPERIMENTAL b");
        assert_eq!(value(&client, label, b"x"), value(&server, label, b"x"));
        assert_eq!(value(&client, label, b""), value(&server, label, b""));
        assert_ne!(value(&client, label, b""), value(&client, label, b"x"));
        assert_ne!(value(&client, label, b""), value(&client, other, b""));
        let reserved = client.export(b"EXPORTER-Channel-Binding", b"", &mut [0; 32]).unwrap_err();
        assert!(reserved.is(&tls::rules::RESERVED_LABEL));
        assert!(client.export(b"\xff", b"", &mut [0; 32]).unwrap_err().is(&tls::rules::NOT_READY));
    }
}

#[test]
fn an_end_without_close_notify_is_truncation() {
    for suite in SUITES {
        let (mut client, mut server) = tunnels(suite);
        assert!(server.transport_ended().unwrap_err().is(&tls::rules::TRUNCATED));
        client.close();
        client.close();
        assert!(client.write(b"x").unwrap_err().is(&tls::rules::CLOSED));
        assert!(client.rekey().unwrap_err().is(&tls::rules::CLOSED));
        carry(&mut client, &mut server).unwrap();
        server.transport_ended().unwrap();
        // What comes behind it is nothing to us, and the other direction is still open.
        server.receive(b"whatever").unwrap();
        assert_eq!(say(b"late", &mut server, &mut client), b"late");
        server.close();
        carry(&mut server, &mut client).unwrap();
        client.transport_ended().unwrap();
    }
}

#[test]
fn an_edited_record_ends_the_connection_for_good() {
    for suite in SUITES {
        let (mut client, mut server) = tunnels(suite);
        let mut flight = Vec::new();
        client.write(b"good").unwrap();
        client.transmit(&mut flight);
        client.write(b"bad").unwrap();
        client.transmit(&mut flight);
        *flight.last_mut().unwrap() ^= 1;
        let error = server.receive(&flight).unwrap_err();
        assert!(error.is(&tls::rules::HANDSHAKE), "{error:?}");
        let mut arrived = Vec::new();
        server.read(&mut arrived);
        assert_eq!(arrived, b"good");
        assert_eq!(server.receive(&[]).unwrap_err().to_string(), error.to_string());
        assert!(server.write(b"x").is_err());
        assert!(server.transport_ended().is_err());
        // The alert reaches the other side under its name.
        let error = carry(&mut server, &mut client).unwrap_err();
        assert!(error.is(&tls::rules::ALERT), "{error:?}");
        assert_eq!(error.subject(), Some("bad_record_mac"));
    }
}

#[test]
fn unread_data_are_limited() {
    for (octets, fits) in [(UNREAD_MAX, true), (UNREAD_MAX + 1, false)] {
        let (mut client, mut server) = tunnels(Suite::Tls13Sha256);
        client.write(&vec![7; octets]).unwrap();
        let end = carry(&mut client, &mut server);
        assert_eq!(end.is_ok(), fits);
        if let Err(error) = end {
            assert!(error.is(&tls::rules::TOO_MUCH_UNREAD));
        }
    }
}

#[test]
fn records_are_as_large_as_they_were_asked_to_be() {
    for suite in SUITES {
        let credential = raw("alice", suite);
        for size in [endpoint::RECORD_MIN - 1, endpoint::RECORD_MAX + 1] {
            let config = PskClientConfig::new(credential.clone()).unwrap();
            assert!(config.with_record_size(size).unwrap_err().is(&tls::rules::RECORD_SIZE));
        }
        for size in [endpoint::RECORD_MIN, endpoint::RECORD_DEFAULT, endpoint::RECORD_MAX] {
            let config = PskClientConfig::new(credential.clone()).unwrap().with_record_size(size).unwrap();
            let ends = run(config.mechanism().unwrap(), server(suite, [&credential]));
            let mut client = ends.client.unwrap();
            let mut flight = Vec::new();
            client.write(&[7; 50_000]).unwrap();
            client.transmit(&mut flight);
            let largest = records(&flight).iter().map(|(_, len)| *len).max().unwrap();
            assert!(largest <= size && largest > size - 64, "{largest} of {size}");
        }
    }
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
    struct Broken;
    impl PskStore for Broken {
        fn lookup(&self, _: &[u8]) -> countersign::Result<Option<PskCredential>> {
            Err(Error::new(&BROKEN))
        }
    }
    struct Panics;
    impl PskStore for Panics {
        fn lookup(&self, _: &[u8]) -> countersign::Result<Option<PskCredential>> {
            std::panic::resume_unwind(Box::new("no unwinding into C"))
        }
    }
    for suite in SUITES {
        let run_with = |store: Arc<dyn PskStore>| {
            run(
                client(&raw("alice", suite)),
                PskServerConfig::only(suite, store).unwrap().mechanism().unwrap(),
            )
        };
        refused(run_with(Arc::new(Broken)).server, &BROKEN);
        let ends = run_with(Arc::new(Panics));
        assert!(ends.server.is_err() && ends.client.is_err());
    }
}

fn bare(version: SslVersion, adjust: impl FnOnce(&mut openssl::ssl::SslContextBuilder)) -> SslContext {
    let mut context = SslContext::builder(SslMethod::tls()).unwrap();
    context.set_min_proto_version(Some(version)).unwrap();
    context.set_max_proto_version(Some(version)).unwrap();
    adjust(&mut context);
    context.build()
}

/// SSL_OP_NO_EXTENDED_MASTER_SECRET, which the crate has no name for.
fn no_extended_master_secret() -> SslOptions {
    SslOptions::from_bits_retain(1)
}

fn put_key(out: &mut [u8]) -> usize {
    out[..OCTETS.len()].copy_from_slice(&OCTETS);
    OCTETS.len()
}

#[test]
fn tls12_goes_by_the_exporter_of_rfc9266_and_needs_extended_master_secret() {
    for extended in [true, false] {
        let context = bare(SslVersion::TLS1_2, |context| {
            context.set_cipher_list("ECDHE-PSK-CHACHA20-POLY1305").unwrap();
            context.set_psk_server_callback(|_, _, out| Ok(put_key(out)));
            context.set_psk_client_callback(|_, _, identity, out| {
                identity[..6].copy_from_slice(b"alice\0");
                Ok(put_key(out))
            });
            if !extended {
                context.set_options(no_extended_master_secret());
            }
        });
        let credential = raw("alice", Suite::Tls12);
        let ends = [
            Bare::server(&context).accept(client(&credential)),
            Bare::client(&context).connect(server(Suite::Tls12, [&credential])),
        ];
        for (peer, end) in ends {
            if !extended {
                refused(end, &tls::rules::NO_EXTENDED_MASTER_SECRET);
                continue;
            }
            let tunnel = end.unwrap();
            let value = |context: Option<&[u8]>| {
                let mut out = [0; 32];
                peer.0.ssl().export_keying_material(&mut out, "EXPORTER-Channel-Binding", context).unwrap();
                out
            };
            assert_eq!(tunnel.binding().data(), value(Some(&[])));
            assert_ne!(tunnel.binding().data(), value(None));
        }
    }
}

#[test]
fn a_server_with_a_certificate_and_no_key_is_refused() {
    let (key, certificate) = self_signed();
    for suite in SUITES {
        let version = if suite == Suite::Tls12 { SslVersion::TLS1_2 } else { SslVersion::TLS1_3 };
        let context = bare(version, |context| {
            context.set_certificate(&certificate).unwrap();
            context.set_private_key(&key).unwrap();
        });
        let (_, end) = Bare::server(&context).accept(client(&raw("alice", suite)));
        assert!(end.is_err());
    }
}

#[test]
fn a_client_without_a_key_is_refused() {
    for (suite, version) in [(Suite::Tls13Sha256, SslVersion::TLS1_3), (Suite::Tls12, SslVersion::TLS1_2)] {
        let (_, end) = Bare::client(&bare(version, |_| {})).connect(server(suite, [&raw("alice", suite)]));
        refused(end, &tls::rules::HANDSHAKE);
    }
}

#[test]
fn another_version_is_refused() {
    for (suite, other) in [(Suite::Tls13Sha256, Suite::Tls12), (Suite::Tls12, Suite::Tls13Sha256)] {
        let ends = run(client(&raw("alice", suite)), server(other, [&raw("alice", other)]));
        let error = ends.client.err().unwrap();
        assert_eq!(error.subject(), Some("protocol_version"));
        assert!(ends.server.is_err());
    }
}

#[test]
fn an_endpoint_gives_nothing_before_its_handshake_is_done() {
    let mut ours = PskClientConfig::new(raw("alice", Suite::Tls13Sha256)).unwrap().endpoint().unwrap();
    use countersign::tls::Endpoint;
    assert!(ours.is_handshaking() && ours.negotiated().is_none());
    assert!(ours.write(b"x").unwrap_err().is(&tls::rules::NOT_READY));
    assert!(ours.rekey().unwrap_err().is(&tls::rules::NOT_READY));
    assert!(ours.export(b"EXPERIMENTAL", b"", &mut [0; 32]).unwrap_err().is(&tls::rules::NOT_READY));
    ours.close();
    assert!(Handshake::new(Box::new(ours)).finish().unwrap_err().is(&tls::rules::NOT_READY));
}

#[test]
fn nothing_secret_is_shown() {
    let credential = raw("alice", Suite::Tls13Sha256);
    let shown = format!(
        "{credential:?} {:?} {:?}",
        PreSharedKey::from_high_entropy(&OCTETS).unwrap(),
        PskClientConfig::new(credential.clone()).unwrap()
    );
    assert!(shown.contains("redacted") && !shown.contains("159") && !shown.contains("9f"));
}
