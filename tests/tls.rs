//! The rustls endpoint, two of them joined in memory, and strangers against one.
#![cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#![allow(clippy::unwrap_used, reason = "all of it is tests, the helpers too")]

use std::sync::{Arc, Mutex};

use countersign::binding::{self, ChannelBinding, EXPORTER_LABEL};
use countersign::error::Result;
use countersign::mechanism::Side;
use countersign::tls::certificate::{
    Config, Identity, RECORD_DEFAULT, RECORD_MAX, RECORD_MIN, RECORD_OVERHEAD, RustlsEndpoint, SUBJECT,
};
use countersign::tls::exporter::{self, SuiteHash};
use countersign::tls::{
    AUTHENTICATION_MAX, Endpoint, Fingerprint, Handshake, Tunnel, UNREAD_MAX, Unverified, rules,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme};
use rustls::{SupportedProtocolVersion, version};

fn config() -> Config {
    Config::new(Identity::generate().unwrap()).unwrap()
}

fn endpoints() -> (RustlsEndpoint, RustlsEndpoint) {
    (RustlsEndpoint::client(&config()).unwrap(), RustlsEndpoint::server(&config()).unwrap())
}

fn sent(from: &mut dyn Endpoint) -> Vec<u8> {
    let mut out = Vec::new();
    from.transmit(&mut out);
    out
}

fn read(from: &mut dyn Endpoint) -> Vec<u8> {
    let mut out = Vec::new();
    from.read(&mut out);
    out
}

/// Carries everything both ways, `step` octets at a time, until nobody has more to say.
fn join(a: &mut dyn Endpoint, b: &mut dyn Endpoint, step: usize) -> Result<()> {
    loop {
        let (to_b, to_a) = (sent(a), sent(b));
        if to_a.is_empty() && to_b.is_empty() {
            return Ok(());
        }
        to_b.chunks(step).try_for_each(|part| b.receive(part))?;
        to_a.chunks(step).try_for_each(|part| a.receive(part))?;
    }
}

fn connected() -> (RustlsEndpoint, RustlsEndpoint) {
    let (mut client, mut server) = endpoints();
    join(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!client.is_handshaking() && !server.is_handshaking());
    (client, server)
}

fn tunnels() -> (Tunnel<Unverified>, Tunnel<Unverified>) {
    let (client, server) = connected();
    let up = |endpoint| Handshake::new(Box::new(endpoint)).finish().unwrap();
    (up(client), up(server))
}

/// Lengths of the records in a flight, headers included.
fn records(mut flight: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !flight.is_empty() {
        let length = 5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]));
        lengths.push(length);
        flight = &flight[length..];
    }
    lengths
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn both_ends_agree() {
    let (client, server) = connected();
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
    let negotiated = client.negotiated().unwrap();
    assert_eq!(server.negotiated().unwrap(), negotiated);
    assert_eq!(negotiated.version, "TLSv1.3");
    assert!(negotiated.cipher_suite.starts_with("TLS_AES_"), "{negotiated:?}");
    assert_eq!(negotiated.group, if cfg!(feature = "aws-lc-rs") { "X25519MLKEM768" } else { "X25519" });
    assert_eq!(client.certificate(), server.peer_certificate());
    assert_eq!(server.certificate(), client.peer_certificate());
    assert_ne!(client.certificate(), server.certificate());
}

#[test]
fn the_binding_is_the_same_at_both_ends_and_new_in_every_connection() {
    let (client, server) = tunnels();
    assert!(client.binding().same_channel(server.binding()));
    let (other, _) = tunnels();
    assert!(!client.binding().same_channel(other.binding()));
}

#[test]
fn fingerprints_are_those_of_the_certificates() {
    let mine = config();
    let client = RustlsEndpoint::client(&mine).unwrap();
    let (mut client, mut server) = (client, RustlsEndpoint::server(&config()).unwrap());
    join(&mut client, &mut server, usize::MAX).unwrap();
    let server = Handshake::new(Box::new(server)).finish().unwrap();
    assert_eq!(server.peer_fingerprint(), Some(mine.identity().fingerprint()));
    assert_eq!(server.peer_fingerprint(), Some(Fingerprint::of(mine.identity().certificate())));
    assert_ne!(server.fingerprint(), server.peer_fingerprint());
}

#[test]
fn one_octet_at_a_time_is_enough() {
    let (mut client, mut server) = endpoints();
    join(&mut client, &mut server, 1).unwrap();
    client.write(b"question").unwrap();
    server.write(b"answer").unwrap();
    join(&mut client, &mut server, 1).unwrap();
    assert_eq!(read(&mut server), b"question");
    assert_eq!(read(&mut client), b"answer");
}

#[test]
fn as_much_as_may_wait_unread_passes_each_way_at_once() {
    let (mut client, mut server) = connected();
    let data = pattern(UNREAD_MAX);
    client.write(&data).unwrap();
    server.write(&data).unwrap();
    join(&mut client, &mut server, usize::MAX).unwrap();
    assert!(read(&mut server) == data);
    assert!(read(&mut client) == data);
}

#[test]
fn one_octet_more_is_too_much_and_stays_an_error() {
    let (mut client, mut server) = connected();
    client.write(&pattern(UNREAD_MAX + 1)).unwrap();
    let error = server.receive(&sent(&mut client)).unwrap_err();
    assert!(error.is(&rules::TOO_MUCH_UNREAD));
    assert!(read(&mut server).len() <= UNREAD_MAX);
    client.write(b"more").unwrap();
    assert!(server.receive(&sent(&mut client)).unwrap_err().is(&rules::TOO_MUCH_UNREAD));
}

#[test]
fn no_record_is_larger_than_a_block() {
    let (mut client, mut server) = endpoints();
    while client.is_handshaking() || server.is_handshaking() {
        let question = sent(&mut client);
        server.receive(&question).unwrap();
        let answer = sent(&mut server);
        client.receive(&answer).unwrap();
        assert!(
            question.len() <= RECORD_DEFAULT && answer.len() <= RECORD_DEFAULT,
            "a flight above one block"
        );
    }
    client.write(&pattern(10_000)).unwrap();
    assert_eq!(records(&sent(&mut client))[..2], [RECORD_DEFAULT; 2]);
}

#[test]
fn a_full_block_holds_4074_octets() {
    let (mut client, _) = connected();
    client.write(&pattern(RECORD_DEFAULT - RECORD_OVERHEAD)).unwrap();
    assert_eq!(records(&sent(&mut client)), [4096]);
}

#[test]
fn record_size_has_two_limits() {
    let with = |size| Config::with_record_size(Identity::generate().unwrap(), size);
    assert!(with(RECORD_MIN - 1).unwrap_err().is(&rules::RECORD_SIZE));
    assert!(with(RECORD_MAX + 1).unwrap_err().is(&rules::RECORD_SIZE));
    for size in [RECORD_MIN, RECORD_MAX] {
        let config = with(size).unwrap();
        let mut client = RustlsEndpoint::client(&config).unwrap();
        let mut server = RustlsEndpoint::server(&config).unwrap();
        join(&mut client, &mut server, usize::MAX).unwrap();
        server.write(&pattern(40_000)).unwrap();
        let flight = sent(&mut server);
        assert_eq!(records(&flight)[0], size);
        client.receive(&flight).unwrap();
        assert!(read(&mut client) == pattern(40_000));
    }
}

#[test]
fn listeners_see_neither_name_nor_certificate() {
    let (mut client, mut server) = endpoints();
    let mut seen = sent(&mut client);
    server.receive(&seen).unwrap();
    let back = sent(&mut server);
    client.receive(&back).unwrap();
    seen.extend([back, sent(&mut client)].concat());
    let contains = |needle: &[u8]| seen.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(SUBJECT.as_bytes()));
    assert!(!contains(&client.certificate().unwrap()[..40]));
}

#[test]
fn no_ticket_follows_the_handshake() {
    let (mut client, mut server) = endpoints();
    server.receive(&sent(&mut client)).unwrap();
    client.receive(&sent(&mut server)).unwrap();
    server.receive(&sent(&mut client)).unwrap();
    assert!(!server.is_handshaking());
    assert_eq!(sent(&mut server), b"");
}

#[test]
fn certificates_are_small_and_new_each_time() {
    let (one, two) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    assert!(one.certificate().len() < 300, "{}", one.certificate().len());
    assert_ne!(one.fingerprint(), two.fingerprint());
}

#[test]
fn a_kept_identity_is_read_with_its_own_key_and_no_other() {
    let make = || rcgen::generate_simple_self_signed(["example.invalid".to_owned()]).unwrap();
    let (one, two) = (make(), make());
    let (certificate, key) = (one.cert.der(), one.signing_key.serialize_der());
    let config = Config::new(Identity::from_der(certificate, &key).unwrap()).unwrap();
    let mut client = RustlsEndpoint::client(&config).unwrap();
    let mut server = RustlsEndpoint::server(&config).unwrap();
    join(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.peer_certificate(), Some(certificate.as_ref()));
    for (certificate, key) in [
        (certificate.as_ref(), two.signing_key.serialize_der()),
        (certificate.as_ref(), b"\x30\x00".to_vec()),
        (b"\x30\x00", key),
    ] {
        assert!(Identity::from_der(certificate, &key).unwrap_err().is(&rules::SETUP));
    }
}

#[test]
fn rekeying_takes_one_small_record_each_way_and_data_still_passes() {
    const KEY_UPDATE: usize = RECORD_OVERHEAD + 5;
    for side in [Side::Client, Side::Server] {
        let (mut a, mut b) = connected();
        if side == Side::Server {
            std::mem::swap(&mut a, &mut b);
        }
        a.rekey().unwrap();
        let update = sent(&mut a);
        assert_eq!(records(&update), [KEY_UPDATE]);
        b.receive(&update).unwrap();
        // The answer goes out at the latest before the next data (RFC 8446 section 4.6.3).
        b.write(b"from b").unwrap();
        let answer = sent(&mut b);
        assert_eq!(records(&answer), [KEY_UPDATE, RECORD_OVERHEAD + 6]);
        a.receive(&answer).unwrap();
        a.write(b"from a").unwrap();
        let flight = sent(&mut a);
        assert_eq!(records(&flight), [RECORD_OVERHEAD + 6]);
        b.receive(&flight).unwrap();
        assert_eq!((read(&mut a), read(&mut b)), (b"from b".to_vec(), b"from a".to_vec()));
    }
}

#[test]
fn rekeying_does_not_change_the_exporter() {
    let (mut client, mut server) = connected();
    let value = |endpoint: &RustlsEndpoint| {
        let mut out = [0; 32];
        endpoint.export(EXPORTER_LABEL, b"", &mut out).unwrap();
        out
    };
    let before = value(&client);
    client.rekey().unwrap();
    join(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!((value(&client), value(&server)), (before, before));
}

#[test]
fn a_flood_of_rekeying_is_refused() {
    let (mut client, mut server) = connected();
    let error = (0..1000)
        .find_map(|_| {
            client.rekey().unwrap();
            server.receive(&sent(&mut client)).err()
        })
        .unwrap();
    assert!(error.is(&rules::HANDSHAKE));
}

#[test]
fn exports_differ_by_label_and_context_and_the_bindings_label_is_reserved() {
    let (client, server) = tunnels();
    let value = |tunnel: &Tunnel<Unverified>, label: &[u8], context: &[u8]| {
        let mut out = [0; 32];
        tunnel.export(label, context, &mut out).map(|()| out)
    };
    let one = value(&client, b"EXPERIMENTAL one", b"").unwrap();
    assert_eq!(value(&server, b"EXPERIMENTAL one", b"").unwrap(), one);
    assert_ne!(value(&client, b"EXPERIMENTAL two", b"").unwrap(), one);
    assert_ne!(value(&client, b"EXPERIMENTAL one", b"context").unwrap(), one);
    assert_ne!(one, client.binding().data());
    assert!(value(&client, EXPORTER_LABEL, b"").unwrap_err().is(&rules::RESERVED_LABEL));
}

#[test]
fn nothing_is_possible_before_the_handshake_is_done() {
    let (mut client, server) = endpoints();
    assert!(client.write(b"early").unwrap_err().is(&rules::NOT_READY));
    assert!(client.rekey().unwrap_err().is(&rules::NOT_READY));
    assert!(client.export(b"EXPERIMENTAL one", b"", &mut [0; 32]).unwrap_err().is(&rules::NOT_READY));
    assert_eq!(client.negotiated(), None);
    let handshake = Handshake::new(Box::new(server));
    assert!(!handshake.is_done());
    assert!(handshake.finish().unwrap_err().is(&rules::NOT_READY));
}

#[test]
fn close_works_in_both_orders_and_the_other_direction_stays_open() {
    for client_first in [true, false] {
        let (mut a, mut b) = connected();
        if !client_first {
            std::mem::swap(&mut a, &mut b);
        }
        a.write(b"last").unwrap();
        a.close();
        join(&mut a, &mut b, usize::MAX).unwrap();
        assert!(b.peer_has_closed() && !a.peer_has_closed());
        assert_eq!(read(&mut b), b"last");
        b.write(b"rest").unwrap();
        join(&mut a, &mut b, usize::MAX).unwrap();
        assert_eq!(read(&mut a), b"rest");
        b.close();
        join(&mut a, &mut b, usize::MAX).unwrap();
        assert!(a.peer_has_closed());
    }
}

#[test]
fn both_may_close_at_once_and_twice() {
    let (mut client, mut server) = connected();
    for _ in 0..2 {
        client.close();
        server.close();
        join(&mut client, &mut server, 1).unwrap();
    }
    assert!(client.peer_has_closed() && server.peer_has_closed());
}

#[test]
fn nothing_is_written_after_close() {
    let (mut client, _) = connected();
    client.close();
    sent(&mut client);
    assert!(client.write(b"late").unwrap_err().is(&rules::CLOSED));
    assert!(client.rekey().unwrap_err().is(&rules::CLOSED));
    assert_eq!(sent(&mut client), b"");
}

#[test]
fn what_follows_close_notify_is_ignored() {
    let (mut client, mut server) = connected();
    client.close();
    let flight = [sent(&mut client), b"anything".repeat(1000)].concat();
    server.receive(&flight).unwrap();
    server.receive(b"more").unwrap();
    assert!(server.peer_has_closed());
    assert_eq!(read(&mut server), b"");
}

#[test]
fn a_transport_that_ends_before_close_notify_is_reported() {
    let (mut client, mut server) = tunnels();
    client.send_authentication(b"half").unwrap();
    client.close();
    let mut flight = Vec::new();
    client.transmit(&mut flight);
    let (last, before) = flight.split_last().unwrap();
    server.receive(before).unwrap();
    assert!(server.transport_ended().unwrap_err().is(&rules::TRUNCATED));
    server.receive(&[*last]).unwrap();
    server.transport_ended().unwrap();
}

#[test]
fn an_unverified_tunnel_sends_so_much_and_no_more() {
    let (mut client, _) = tunnels();
    client.send_authentication(&pattern(AUTHENTICATION_MAX - 1)).unwrap();
    client.send_authentication(b"x").unwrap();
    let error = client.send_authentication(b"x").unwrap_err();
    assert!(error.is(&rules::TOO_MUCH_UNVERIFIED));
    assert_eq!(error.numbers(), Some((AUTHENTICATION_MAX as u64 + 1, AUTHENTICATION_MAX as u64)));
}

#[test]
fn an_unverified_tunnel_receives_so_much_and_no_more() {
    let (mut client, mut server) = connected();
    client.write(&pattern(AUTHENTICATION_MAX)).unwrap();
    let flight = sent(&mut client);
    let more = {
        client.write(b"x").unwrap();
        sent(&mut client)
    };
    server.receive(&flight).unwrap();
    let mut server = Handshake::new(Box::new(server)).finish().unwrap();
    let mut out = Vec::new();
    server.receive_authentication(&mut out).unwrap();
    assert_eq!(out.len(), AUTHENTICATION_MAX);
    server.receive(&more).unwrap();
    for _ in 0..2 {
        assert!(server.receive_authentication(&mut out).unwrap_err().is(&rules::TOO_MUCH_UNVERIFIED));
    }
    assert_eq!(out.len(), AUTHENTICATION_MAX);
}

#[test]
fn garbage_is_refused_and_answered_with_an_alert() {
    for garbage in [&b"<stream:stream>"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 64], &[0xff; 5000]] {
        let (mut client, mut server) = endpoints();
        sent(&mut client);
        for endpoint in [&mut client, &mut server] {
            let error = endpoint.receive(garbage).unwrap_err();
            assert!(error.is(&rules::HANDSHAKE), "{error}");
            assert!(endpoint.receive(b"").unwrap_err().is(&rules::HANDSHAKE));
            assert!(endpoint.is_handshaking());
        }
        assert!(!sent(&mut server).is_empty());
    }
}

#[test]
fn a_handshake_edited_anywhere_never_completes() {
    // One pair of identities: the length of a certificate varies with its serial number.
    let (mine, other) = (config(), config());
    // The order of flights: client, server, client.
    let lengths = {
        let mut client = RustlsEndpoint::client(&mine).unwrap();
        let mut server = RustlsEndpoint::server(&other).unwrap();
        let first = sent(&mut client);
        server.receive(&first).unwrap();
        let second = sent(&mut server);
        client.receive(&second).unwrap();
        [first.len(), second.len(), sent(&mut client).len()]
    };
    for (edited, length) in lengths.into_iter().enumerate() {
        for at in (0..length).step_by(5).chain([0, 3, 4]) {
            let mut client = RustlsEndpoint::client(&mine).unwrap();
            let mut server = RustlsEndpoint::server(&other).unwrap();
            let mut failed = false;
            let mut harmless = false;
            for flight in 0..3 {
                let (from, to) =
                    if flight == 1 { (&mut server, &mut client) } else { (&mut client, &mut server) };
                let mut octets = sent(from);
                if flight == edited && !octets.is_empty() {
                    harmless = is_unchecked_header(&octets, at);
                    octets[at] ^= 1 << (at % 8);
                }
                failed |= to.receive(&octets).is_err();
            }
            let done = !client.is_handshaking() && !server.is_handshaking();
            assert!(failed || !done || harmless, "flight {edited} octet {at}");
        }
    }
}

/// Whether `at` is in a part of a record's header that may be edited without effect: receivers ignore the version of
/// a plaintext record (RFC 8446 section 5.1), and rustls authenticates the type and version that a protected record
/// must have, not the ones it carries.
fn is_unchecked_header(flight: &[u8], at: usize) -> bool {
    let mut start = 0;
    for length in records(flight) {
        let unchecked = if flight[start] == 23 { start..start + 3 } else { start + 1..start + 3 };
        if unchecked.contains(&at) {
            return true;
        }
        start += length;
    }
    false
}

#[test]
fn a_record_edited_anywhere_is_refused() {
    const TEXT: &[u8] = b"attack at dawn";
    for at in 0..RECORD_OVERHEAD + TEXT.len() {
        let (mut client, mut server) = connected();
        client.write(TEXT).unwrap();
        let mut record = sent(&mut client);
        record[at] ^= 1 << (at % 8);
        let result = server.receive(&record);
        let arrived = read(&mut server);
        match at {
            // rustls authenticates the type and version a record must have, not the ones it carries.
            0..=2 => assert!(arrived.is_empty() || (result.is_ok() && arrived == TEXT), "octet {at}"),
            // A longer length only makes the receiver wait for the rest.
            3..=4 => assert_eq!(arrived, b"", "octet {at}"),
            _ => assert!(result.unwrap_err().is(&rules::HANDSHAKE) && arrived.is_empty(), "octet {at}"),
        }
    }
}

#[test]
fn a_record_cut_anywhere_gives_nothing() {
    let (mut client, mut server) = connected();
    client.write(b"attack at dawn").unwrap();
    for octet in sent(&mut client) {
        assert_eq!(read(&mut server), b"");
        server.receive(&[octet]).unwrap();
    }
    assert_eq!(read(&mut server), b"attack at dawn");
}

#[test]
fn replayed_and_reordered_records_are_refused() {
    for order in [&[0, 0][..], &[1, 0], &[0, 1, 1], &[1]] {
        let (mut client, mut server) = connected();
        let two = [b"one", b"two"].map(|text| {
            client.write(text).unwrap();
            sent(&mut client)
        });
        let error = order.iter().find_map(|&i| server.receive(&two[i]).err()).unwrap();
        assert!(error.is(&rules::HANDSHAKE), "{error}");
    }
}

#[test]
fn an_alert_is_reported_by_its_name() {
    let (mut client, mut server) = connected();
    client.write(b"x").unwrap();
    let mut record = sent(&mut client);
    *record.last_mut().unwrap() ^= 1;
    server.receive(&record).unwrap_err();
    let error = client.receive(&sent(&mut server)).unwrap_err();
    assert!(error.is(&rules::ALERT));
    assert_eq!(error.subject(), Some("bad_record_mac"));
}

#[test]
fn a_client_without_certificate_is_refused() {
    let mut client = stranger(&[&version::TLS13]);
    let mut server = RustlsEndpoint::server(&config()).unwrap();
    let error = meet(&mut client, &mut server).unwrap_err();
    assert!(error.is(&rules::HANDSHAKE), "{error}");
    assert!(server.is_handshaking());
    assert_eq!(alert_to(&mut client, &mut server), AlertDescription::CertificateRequired);
}

#[test]
fn a_client_of_tls_1_2_is_refused() {
    let mut client = stranger(&[&version::TLS12]);
    let mut server = RustlsEndpoint::server(&config()).unwrap();
    let error = meet(&mut client, &mut server).unwrap_err();
    assert!(error.is(&rules::HANDSHAKE), "{error}");
    assert_eq!(alert_to(&mut client, &mut server), AlertDescription::ProtocolVersion);
}

#[test]
fn a_server_of_tls_1_2_cannot_be_talked_down_to() {
    let mut client = RustlsEndpoint::client(&config()).unwrap();
    let mut server = foreign_server(&version::TLS12);
    server.read_tls(&mut &sent(&mut client)[..]).unwrap();
    server.process_new_packets().unwrap_err();
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    let error = client.receive(&alert).unwrap_err();
    assert!(error.is(&rules::ALERT));
    assert_eq!(error.subject(), Some("protocol_version"));
}

#[test]
fn from_rustls_gives_the_binding_of_a_foreign_connection() {
    let (client, server) = foreign_pair(&version::TLS13, &Arc::default());
    let one = ChannelBinding::from_rustls(&client).unwrap();
    assert!(one.same_channel(&ChannelBinding::from_rustls(&server).unwrap()));
    assert_eq!(one.kind(), countersign::BindingType::TlsExporter);
}

#[test]
fn from_rustls_refuses_tls_1_2_and_unfinished_handshakes() {
    let (client, server) = foreign_pair(&version::TLS12, &Arc::default());
    assert!(ChannelBinding::from_rustls(&client).unwrap_err().is(&binding::rules::NOT_TLS13));
    assert!(ChannelBinding::from_rustls(&server).unwrap_err().is(&binding::rules::NOT_TLS13));
    let early = stranger(&[&version::TLS13]);
    assert!(ChannelBinding::from_rustls(&early).unwrap_err().is(&binding::rules::NOT_FINISHED));
}

#[test]
fn the_exporter_computed_from_its_secret_is_that_of_the_live_connection() {
    let secrets = Arc::<ExporterSecret>::default();
    let (client, _) = foreign_pair(&version::TLS13, &secrets);
    let secret = secrets.0.lock().unwrap().clone();
    // The first suite of both providers is TLS_AES_256_GCM_SHA384.
    assert_eq!(secret.len(), 48);
    let live = ChannelBinding::from_rustls(&client).unwrap();
    assert!(exporter::channel_binding(SuiteHash::Sha384, &secret).same_channel(&live));
    let (mut ours, mut theirs) = ([0; 100], [0; 100]);
    exporter::export(SuiteHash::Sha384, &secret, b"EXPERIMENTAL one", b"context", &mut ours).unwrap();
    client.export_keying_material(&mut theirs, b"EXPERIMENTAL one", Some(b"context")).unwrap();
    assert_eq!(ours, theirs);
}

// Connections that an application, or an attacker, makes with rustls itself.

#[derive(Debug, Default)]
struct ExporterSecret(Mutex<Vec<u8>>);

impl rustls::KeyLog for ExporterSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "EXPORTER_SECRET" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

fn stranger(versions: &[&'static SupportedProtocolVersion]) -> ClientConnection {
    foreign_client(versions, &Arc::default())
}

fn foreign_client(
    versions: &[&'static SupportedProtocolVersion],
    secrets: &Arc<ExporterSecret>,
) -> ClientConnection {
    let provider = Arc::new(provider::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.key_log = Arc::clone(secrets) as _;
    ClientConnection::new(Arc::new(config), "example.invalid".try_into().unwrap()).unwrap()
}

fn foreign_server(version: &'static SupportedProtocolVersion) -> ServerConnection {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["example.invalid".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.into()], key.into())
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn foreign_pair(
    version: &'static SupportedProtocolVersion,
    secrets: &Arc<ExporterSecret>,
) -> (ClientConnection, ServerConnection) {
    let mut server = foreign_server(version);
    let mut client = foreign_client(&[version], secrets);
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server.read_tls(&mut &flight[..]).unwrap();
        server.process_new_packets().unwrap();
        flight.clear();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client.read_tls(&mut &flight[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    (client, server)
}

/// Runs the stranger's handshake against our endpoint until one of them has enough.
fn meet(stranger: &mut ClientConnection, endpoint: &mut RustlsEndpoint) -> Result<()> {
    loop {
        let mut flight = Vec::new();
        while stranger.wants_write() {
            stranger.write_tls(&mut flight).unwrap();
        }
        let answer = endpoint.receive(&flight).map(|()| sent(endpoint))?;
        if flight.is_empty() && answer.is_empty() {
            return Ok(());
        }
        stranger.read_tls(&mut &answer[..]).unwrap();
        stranger.process_new_packets().unwrap();
    }
}

fn alert_to(stranger: &mut ClientConnection, endpoint: &mut RustlsEndpoint) -> AlertDescription {
    stranger.read_tls(&mut &sent(endpoint)[..]).unwrap();
    match stranger.process_new_packets() {
        Err(rustls::Error::AlertReceived(alert)) => alert,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
