//! The crate srp 0.7 as a peer of ours, both roles: with the RFC 5054 proofs that it has now, and with those of 0.6.

use countersign::secret::SecretBytes;
use countersign::srp::{Client, Dialect, Group, Parameters, Prehash, ProofRule, Server, Verifier, Width};
use countersign::system_rng;
use countersign_peers::G8192;
use rand_core::Rng;
use sha1::Sha1;
use srp::groups::{G2048, G3072, G4096};

const USER: &str = "alice";
const PASSWORD: &str = "password123";
const SALT: [u8; 16] = *b"sixteen octets!!";

/// Exchanges in each group: a short value of A, B or S comes up once in 256.
const RUNS: usize = 4;

fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.as_bytes().to_vec())
}

fn exponent() -> [u8; 48] {
    let mut octets = [0; 48];
    system_rng().fill_bytes(&mut octets);
    octets
}

fn parameters(dialect: Dialect, group: Group) -> Parameters {
    Parameters { dialect, group, prehash: Prehash::None }
}

/// Our record, which must be theirs too.
fn record<G: srp::Group>(parameters: Parameters, peer: &srp::Client<G, Sha1>) -> Verifier {
    let ours = Verifier::derive(&parameters, USER, &password(), &SALT).unwrap();
    let theirs = peer.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    assert_eq!(Verifier::from_parts(&parameters, &SALT, &theirs).unwrap().expose(), ours.expose());
    ours
}

fn our_server<G: srp::Group>(group: Group) {
    let dialect = Dialect::RUSTCRYPTO_0_7;
    let peer = srp::Client::<G, Sha1>::new();
    let (record, a) = (record(parameters(dialect, group), &peer), exponent());
    let server = Server::start(dialect, record, &mut system_rng()).unwrap();
    let reply =
        peer.process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), server.salt(), server.public_value());
    let reply = reply.unwrap();
    let server = server.receive(USER, &peer.compute_public_ephemeral(&a)).unwrap();
    let (m2, established) = server.finish(reply.proof()).unwrap();
    assert_eq!(reply.verify_server(&m2).unwrap(), established.key().expose());
}

/// The peer's server pads g in M1 or not, as it is told: our preset for it and the one for RFC 5054.
fn our_client<G: srp::Group>(group: Group, dialect: Dialect) {
    let unpadded = dialect.proof == ProofRule::Full(Width::Minimal);
    let peer = srp::Server::<G, Sha1>::new_with_options(unpadded);
    let record = record(parameters(dialect, group), &srp::Client::<G, Sha1>::new());
    let b = exponent();
    let client = Client::start(parameters(dialect, group), &mut system_rng());
    let b_pub = peer.compute_public_ephemeral(&b, record.expose());
    let server =
        peer.process_reply(USER.as_bytes(), &SALT, &b, record.expose(), client.public_value()).unwrap();
    let client = client.respond(USER, &password(), &SALT, &b_pub).unwrap();
    let key = server.verify_client(client.proof()).unwrap();
    assert_eq!(client.finish(server.proof()).unwrap().key().expose(), key);
}

#[allow(deprecated, reason = "what 0.6 speaks is what this is about")]
fn legacy<G: srp::Group>(group: Group) {
    let dialect = Dialect::RUSTCRYPTO_0_6;
    let parameters = parameters(dialect, group);
    let (peer, theirs) = (srp::Client::<G, Sha1>::new(), srp::Server::<G, Sha1>::new());
    let record = record(parameters, &peer);

    let server = Server::start(dialect, record.clone(), &mut system_rng()).unwrap();
    let a = exponent();
    let reply = peer.process_reply_legacy(
        &a,
        USER.as_bytes(),
        PASSWORD.as_bytes(),
        server.salt(),
        server.public_value(),
    );
    let reply = reply.unwrap();
    let server = server.receive(USER, &peer.compute_public_ephemeral(&a)).unwrap();
    let (m2, established) = server.finish(reply.proof()).unwrap();
    reply.verify_server(&m2).unwrap();
    assert_eq!(reply.key(), established.key().expose());

    let b = exponent();
    let client = Client::start(parameters, &mut system_rng());
    let b_pub = theirs.compute_public_ephemeral(&b, record.expose());
    let server = theirs.process_reply_legacy(&b, record.expose(), client.public_value()).unwrap();
    let client = client.respond(USER, &password(), &SALT, &b_pub).unwrap();
    server.verify_client(client.proof()).unwrap();
    assert_eq!(client.finish(server.proof()).unwrap().key().expose(), server.key());
}

fn all<G: srp::Group>(group: Group) {
    for _ in 0..RUNS {
        our_server::<G>(group);
        our_client::<G>(group, Dialect::RUSTCRYPTO_0_7);
        our_client::<G>(group, Dialect::RFC5054);
        legacy::<G>(group);
    }
}

#[test]
fn with_2048_bits() {
    all::<G2048>(Group::Bits2048);
}

#[test]
fn with_3072_bits() {
    all::<G3072>(Group::Bits3072);
}

#[test]
fn with_4096_bits() {
    all::<G4096>(Group::Bits4096);
}

#[test]
fn with_8192_bits() {
    all::<G8192>(Group::Bits8192);
}

#[test]
fn a_wrong_password_is_refused_on_both_sides() {
    let dialect = Dialect::RUSTCRYPTO_0_7;
    let group = Group::Bits2048;
    let peer = srp::Client::<G2048, Sha1>::new();
    let record = record(parameters(dialect, group), &peer);
    let server = Server::start(dialect, record.clone(), &mut system_rng()).unwrap();
    let a = exponent();
    let reply =
        peer.process_reply(&a, USER.as_bytes(), b"password124", &SALT, server.public_value()).unwrap();
    let server = server.receive(USER, &peer.compute_public_ephemeral(&a)).unwrap();
    assert!(server.finish(reply.proof()).is_err());

    let theirs = srp::Server::<G2048, Sha1>::new();
    let b = exponent();
    let client = Client::start(parameters(dialect, group), &mut system_rng());
    let b_pub = theirs.compute_public_ephemeral(&b, record.expose());
    let server =
        theirs.process_reply(USER.as_bytes(), &SALT, &b, record.expose(), client.public_value()).unwrap();
    let wrong = SecretBytes::new(b"password124".to_vec());
    let client = client.respond(USER, &wrong, &SALT, &b_pub).unwrap();
    assert!(server.verify_client(client.proof()).is_err());
    assert!(client.finish(server.proof()).is_err());
}
