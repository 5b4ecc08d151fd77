//! Both ends of a handshake that is a mechanism, joined; and bare OpenSSL as a peer that does what ours never does.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{ErrorKind, Read, Write};

use countersign::error::Result;
use countersign::mechanism::{Outcome, Step};
use countersign::tls::{TlsMechanism, Tunnel, Verified};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslStream};
use openssl::x509::X509;

/// What came of it on either side, and what crossed.
pub struct Ends {
    pub client: Result<Tunnel<Verified>>,
    pub server: Result<Tunnel<Verified>>,
    /// All flights, the client's first.
    pub flights: Vec<Vec<u8>>,
}

/// One side: its mechanism, and how that has ended.
pub struct Party {
    mechanism: Box<dyn TlsMechanism>,
    end: Option<Result<Outcome>>,
}

impl Party {
    pub fn new(mechanism: Box<dyn TlsMechanism>) -> Self {
        Self { mechanism, end: None }
    }

    /// What it sends; an alert, when it fails.
    pub fn take(&mut self, flight: &[u8]) -> Vec<u8> {
        if self.end.is_some() {
            return Vec::new();
        }
        match self.mechanism.step(flight) {
            Ok(Step::Continue(reply)) => reply,
            Ok(Step::Finished { reply, outcome }) => {
                self.end = Some(Ok(outcome));
                reply.unwrap_or_default()
            }
            Err(error) => {
                self.end = Some(Err(error));
                self.mechanism.failure_reply().unwrap_or_default()
            }
        }
    }

    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// # Panics
    /// When it still waits.
    pub fn end(self) -> Result<Tunnel<Verified>> {
        self.mechanism.into_tunnel(self.end.expect("an end")?)
    }
}

/// Runs a handshake.
pub fn run(client: Box<dyn TlsMechanism>, server: Box<dyn TlsMechanism>) -> Ends {
    run_edited(client, server, |_, _| {})
}

/// Runs a handshake in which somebody edits the flights, which are counted from 1. Who waits for ever fails.
pub fn run_edited(
    client: Box<dyn TlsMechanism>,
    server: Box<dyn TlsMechanism>,
    mut edit: impl FnMut(usize, &mut Vec<u8>),
) -> Ends {
    let (mut client, mut server) = (Party::new(client), Party::new(server));
    let mut flights = Vec::new();
    let mut flight = client.take(&[]);
    while !flight.is_empty() {
        edit(flights.len() + 1, &mut flight);
        flights.push(flight.clone());
        let receiver = if flights.len() % 2 == 1 { &mut server } else { &mut client };
        flight = receiver.take(&flight);
    }
    let end = |party: Party| {
        if party.has_ended() { party.end() } else { Err((&countersign::tls::rules::TRUNCATED).into()) }
    };
    Ends { client: end(client), server: end(server), flights }
}

/// Carries what both have to say.
pub fn carry(from: &mut Tunnel<Verified>, to: &mut Tunnel<Verified>) -> Result<()> {
    let mut flight = Vec::new();
    from.transmit(&mut flight);
    to.receive(&flight)
}

/// Sends a text across and gives what arrived.
pub fn say(text: &[u8], from: &mut Tunnel<Verified>, to: &mut Tunnel<Verified>) -> Vec<u8> {
    from.write(text).expect("an open tunnel");
    carry(from, to).expect("nobody edits the flight");
    let mut arrived = Vec::new();
    to.read(&mut arrived);
    arrived
}

/// Where each record starts, and how long it is with its header.
pub fn records(flight: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < flight.len() {
        let len = 5 + usize::from(u16::from_be_bytes([flight[at + 3], flight[at + 4]]));
        found.push((at, len));
        at += len;
    }
    found
}

/// Flips a bit of every octet in turn, or of each so many'th of a record's after its first 16, but for the version in record headers, which nobody may look at (RFC 8446 section
/// 5.1); in no run may the receiver of the flight believe its peer.
pub fn every_octet_matters(stride: usize, make: impl Fn() -> (Box<dyn TlsMechanism>, Box<dyn TlsMechanism>)) {
    let (client, server) = make();
    let honest = run(client, server).flights;
    assert!(honest.len() >= 3);
    for (n, flight) in honest.iter().enumerate() {
        for (start, len) in records(flight) {
            let version = start + 1..start + 3;
            let chosen = |at: &usize| *at < start + 16 || (at - start).is_multiple_of(stride);
            for at in (start..start + len).filter(|at| !version.contains(at) && chosen(at)) {
                let ends = loop {
                    let (client, server) = make();
                    let mut edited = false;
                    let ends = run_edited(client, server, |number, now| {
                        // A number of SRP's that begins with a zero octet is shorter, and all behind it elsewhere.
                        if number == n + 1 && records(now) == records(flight) {
                            now[at] ^= 1;
                            edited = true;
                        }
                    });
                    if edited {
                        break ends;
                    }
                };
                let receiver = if n % 2 == 0 { &ends.server } else { &ends.client };
                assert!(receiver.is_err(), "flight {}, octet {at} of {}", n + 1, flight.len());
            }
        }
    }
}

/// Two buffers.
#[derive(Default)]
pub struct Wire {
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

/// Bare OpenSSL.
pub struct Bare(pub SslStream<Wire>);

impl Bare {
    pub fn client(context: &SslContext) -> Self {
        let mut ssl = Ssl::new(context).expect("a connection");
        ssl.set_connect_state();
        Self(SslStream::new(ssl, Wire::default()).expect("a stream"))
    }

    pub fn server(context: &SslContext) -> Self {
        let mut ssl = Ssl::new(context).expect("a connection");
        ssl.set_accept_state();
        Self(SslStream::new(ssl, Wire::default()).expect("a stream"))
    }

    /// Takes a flight and gives the answer, whatever it thinks of it.
    pub fn take(&mut self, flight: &[u8]) -> Vec<u8> {
        self.0.get_mut().input.extend_from_slice(flight);
        let _ = self.0.do_handshake();
        std::mem::take(&mut self.0.get_mut().output)
    }

    pub fn is_done(&self) -> bool {
        self.0.ssl().is_init_finished()
    }

    /// As a client of our server.
    pub fn connect(mut self, server: Box<dyn TlsMechanism>) -> (Self, Result<Tunnel<Verified>>) {
        let mut server = Party::new(server);
        let mut flight = self.take(&[]);
        while !flight.is_empty() && !server.has_ended() {
            flight = server.take(&flight);
            flight = if flight.is_empty() { flight } else { self.take(&flight) };
        }
        (self, server.end())
    }

    /// As a server of our client.
    pub fn accept(mut self, client: Box<dyn TlsMechanism>) -> (Self, Result<Tunnel<Verified>>) {
        let mut client = Party::new(client);
        let mut flight = client.take(&[]);
        while !flight.is_empty() {
            flight = self.take(&flight);
            flight = if flight.is_empty() { flight } else { client.take(&flight) };
        }
        (self, client.end())
    }
}

/// A key and a certificate for it that nobody vouches for.
pub fn self_signed() -> (PKey<Private>, X509) {
    let key = PKey::ec_gen("prime256v1").expect("a key");
    let mut certificate = X509::builder().expect("a certificate");
    let day = |n| Asn1Time::days_from_now(n).expect("a time");
    certificate.set_not_before(&day(0)).expect("a time");
    certificate.set_not_after(&day(1)).expect("a time");
    certificate.set_pubkey(&key).expect("the key");
    certificate.sign(&key, MessageDigest::sha256()).expect("a signature");
    (key, certificate.build())
}
