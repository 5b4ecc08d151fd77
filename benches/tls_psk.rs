//! What does a TLS-PSK set-up through our endpoint cost over OpenSSL used directly with the same settings?
//!
//! Whole handshakes, both sides together, in memory. All rows are measured in turn, round after round, so that a slow
//! moment of the machine hits all of them. A ratio is our time over that of OpenSSL's row with the same version.
#![allow(clippy::unwrap_used, reason = "a handshake that fails has no time to report")]

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::cpace::psk::{Answered, Offered, Offers, Run};
use countersign::cpace::{Initiator, Inputs, Responder, Suite as CpaceSuite};
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore};
use countersign::srp::{Group, Legacy};
use countersign::tls::psk::{PreSharedKey, PskClientConfig, PskCredential, PskServerConfig, Suite};
use countersign::tls::srp::{NAME, SrpClientConfig, SrpServerConfig, generate};
use countersign::tls::{Endpoint, openssl::OpensslEndpoint};
use countersign::{Password, system_rng};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream, SslVersion,
};

const ROUNDS: usize = 300;
const HANDSHAKES_PER_ROUND: u32 = 5;
const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.net";
const KEY: [u8; 32] = *b"\x9f\x02\xc7\x11\x5e\x80\xd3\x4a\xb6\x77\x0c\xe9\x21\x8d\xf4\x3b\x1c\x62\xae\x05\x97\xd8\x30\x4f\xbb\x19\x76\xe2\x58\x8a\xc3\x0d";

/// A row: its name, the row it is compared with, and one run.
type Row = (&'static str, usize, Box<dyn Fn()>);

fn main() {
    let rows: [Row; 8] = [
        ("OpenSSL, TLS 1.3 PSK with X25519", 0, bare(Suite::Tls13Sha256)),
        ("countersign, TLS13-PSK", 0, ours(Suite::Tls13Sha256)),
        ("countersign, TLS13-PSK, a new key each time", 0, Box::new(fresh)),
        ("OpenSSL, TLS 1.2 ECDHE-PSK with X25519", 3, bare(Suite::Tls12)),
        ("countersign, TLS12-ECDHE-PSK", 3, ours(Suite::Tls12)),
        ("countersign, CPace on ristretto255 alone", 0, Box::new(cpace)),
        ("countersign, TLS-SRP with 2048 bits", 3, srp()),
        ("countersign, CPACE-R255-PSK: CPace, then TLS", 0, Box::new(pake_then_psk)),
    ];
    let mut times = rows.each_ref().map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((_, _, run), times) in rows.iter().zip(&mut times) {
            let start = Instant::now();
            (0..HANDSHAKES_PER_ROUND).for_each(|_| run());
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed() / HANDSHAKES_PER_ROUND);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    println!(
        "{:<45} {:>10} {:>10} {:>14} {:>12}",
        "set-up, both sides", "median", "best", "ratio, median", "ratio, best"
    );
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    for (i, (name, baseline, _)) in rows.iter().enumerate() {
        let (median_us, best_us) = (us(median(&times[i])), us(times[i][0]));
        let by_median = median_us / us(median(&times[*baseline]));
        let by_best = best_us / us(times[*baseline][0]);
        println!("{name:<45} {median_us:>7.1} us {best_us:>7.1} us {by_median:>14.2} {by_best:>12.2}");
    }
    // Rows 1, 5 and 7.
    let [psk, cpace, both] = [1, 5, 7].map(|row: usize| us(median(&times[row])));
    println!("CPACE-R255-PSK over TLS13-PSK and CPace together, medians: {:.2}", both / (psk + cpace));
}

/// A share each way, and the handshake with the key that comes of them.
fn pake_then_psk() {
    let mut rng = system_rng();
    let run = Run { initiator: ALICE, responder: BOB, session: "6b3f0c5a9d2e4817a0b1c2d3e4f50617" };
    let initiator = Offered::start(b"correct horse", run, &mut rng).unwrap();
    let responder = Answered::start(b"correct horse", run, initiator.share(), &mut rng).unwrap();
    let (ya, yb) = (*initiator.share(), *responder.share());
    let offers = Offers { initiator: &ya, responder: &yb };
    let ours = PskCredential::once(&initiator.finish(run, offers, &yb).unwrap(), ALICE);
    let theirs = PskCredential::once(&responder.finish(run, offers).unwrap(), ALICE);
    let client = PskClientConfig::new(ours).unwrap();
    let server = PskServerConfig::only(Suite::Tls13Sha256, Arc::new(theirs)).unwrap();
    join(client.endpoint().unwrap(), server.endpoint().unwrap());
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

fn ours(suite: Suite) -> Box<dyn Fn()> {
    let secret = PreSharedKey::from_high_entropy(&KEY).unwrap();
    let credential = PskCredential::raw(b"alice", &secret, suite).unwrap();
    let client = PskClientConfig::new(credential.clone()).unwrap();
    let server = PskServerConfig::only(suite, Arc::new(credential)).unwrap();
    Box::new(move || join(client.endpoint().unwrap(), server.endpoint().unwrap()))
}

/// As after a PAKE: the key is derived, used for one handshake and dropped.
fn fresh() {
    let secret = PreSharedKey::generate(&mut system_rng());
    let credential = || PskCredential::between(&secret, ALICE, BOB, Suite::Tls13Sha256);
    let client = PskClientConfig::new(credential()).unwrap();
    let server = PskServerConfig::only(Suite::Tls13Sha256, Arc::new(credential())).unwrap();
    join(client.endpoint().unwrap(), server.endpoint().unwrap());
}

fn srp() -> Box<dyn Fn()> {
    let (password, preparation) = (Password::new("correct horse"), Preparation::SaslPrep);
    let record = generate(ALICE, &password, preparation, Group::Bits2048, &mut system_rng()).unwrap();
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&NAME, ALICE, Credential::Srp(record)).unwrap();
    let client = SrpClientConfig::new(ALICE, &password, preparation, Legacy::Refused).unwrap();
    let server = SrpServerConfig::new(Arc::new(store)).unwrap();
    Box::new(move || join(client.endpoint().unwrap(), server.endpoint().unwrap()))
}

fn join(mut client: OpensslEndpoint, mut server: OpensslEndpoint) {
    let mut flight = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.transmit(&mut flight);
        server.receive(&flight).unwrap();
        flight.clear();
        server.transmit(&mut flight);
        client.receive(&flight).unwrap();
        flight.clear();
    }
}

fn cpace() {
    let mut rng = system_rng();
    let inputs = Inputs { prs: b"correct horse", ci: b"alice bob channel", sid: &[7; 32] };
    let initiator = Initiator::start(CpaceSuite::Ristretto255Sha512, inputs, b"", &mut rng).unwrap();
    let ya = *initiator.share();
    let responder = Responder::new(CpaceSuite::Ristretto255Sha512, &mut rng);
    let (waiting, yb, tb) = responder.respond(inputs, &ya, b"", b"").unwrap();
    let (_, ta) = initiator.finish(&yb, b"", &tb).unwrap();
    waiting.finish(&ta).unwrap();
}

/// The same settings by hand: no tickets, no cache, one suite, the same groups.
fn context(suite: Suite) -> SslContextBuilder {
    let mut context = SslContext::builder(SslMethod::tls()).unwrap();
    let version = if suite == Suite::Tls12 { SslVersion::TLS1_2 } else { SslVersion::TLS1_3 };
    context.set_min_proto_version(Some(version)).unwrap();
    context.set_max_proto_version(Some(version)).unwrap();
    context.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_num_tickets(0).unwrap();
    context
        .set_groups_list("X25519MLKEM768:X25519:P-256")
        .or_else(|_| context.set_groups_list("X25519:P-256"))
        .unwrap();
    if suite == Suite::Tls12 {
        context.set_cipher_list("ECDHE-PSK-CHACHA20-POLY1305").unwrap();
    } else {
        context.set_ciphersuites("TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256").unwrap();
    }
    context
}

fn bare(suite: Suite) -> Box<dyn Fn()> {
    let put = |out: &mut [u8]| {
        out[..KEY.len()].copy_from_slice(&KEY);
        KEY.len()
    };
    let (mut client, mut server) = (context(suite), context(suite));
    client.set_psk_client_callback(move |_, _, identity, key| {
        identity[..6].copy_from_slice(b"alice\0");
        Ok(put(key))
    });
    server.set_psk_server_callback(move |_, identity, key| {
        assert_eq!(identity, Some(&b"alice"[..]));
        Ok(put(key))
    });
    let (client, server) = (client.build(), server.build());
    Box::new(move || {
        let (mut client, mut server) = (Ssl::new(&client).unwrap(), Ssl::new(&server).unwrap());
        client.set_connect_state();
        server.set_accept_state();
        let mut client = SslStream::new(client, Wire::default()).unwrap();
        let mut server = SslStream::new(server, Wire::default()).unwrap();
        let (mut client_done, mut server_done) = (false, false);
        while !(client_done && server_done) {
            client_done = client.do_handshake().is_ok();
            server.get_mut().input.append(&mut client.get_mut().output);
            server_done = server.do_handshake().is_ok();
            client.get_mut().input.append(&mut server.get_mut().output);
        }
    })
}

#[derive(Default)]
struct Wire {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.input.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = self.input.len().min(out.len());
        out[..n].copy_from_slice(&self.input[..n]);
        self.input.drain(..n);
        Ok(n)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.output.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
