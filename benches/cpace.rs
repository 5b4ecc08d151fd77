//! How long does a whole CPace exchange take, both sides together, and how does that compare with `pake-cpace`? And does
//! the server's time tell an unknown user from a wrong password?
//!
//! `pake-cpace` implements an early draft without key confirmation: two messages, and no tags.
#![allow(clippy::unwrap_used, reason = "an exchange that fails has no time to report")]

mod common;
#[path = "common/probe.rs"]
mod probe;

use std::hint::black_box;

use common::{compare, whole};
use countersign::cpace::{Initiator, Inputs, Responder, Suite};
use countersign::mechanism::Step;
use countersign::registry::Credential;
use countersign::{Password, system_rng};
use pake_cpace::CPace;
use probe::{PASSWORD, pair, probe};

const ROUNDS: usize = 300;

fn main() {
    let [ristretto255, x25519] = Suite::ALL;
    compare(
        ROUNDS,
        "whole exchange, both sides",
        &[
            ("pake-cpace 0.1.7, ristretto255, no confirmation", Box::new(|| whole(pake_cpace))),
            ("countersign, CPACE-RISTR255-SHA512, confirmed", Box::new(|| whole(|| core(ristretto255)))),
            ("countersign, CPACE-X25519-SHA512, confirmed", Box::new(|| whole(|| core(x25519)))),
            ("countersign, CPACE-R255-PLUS as SASL mechanism", Box::new(|| whole(|| sasl(ristretto255)))),
            ("countersign, CPACE-X25519-PLUS as SASL mechanism", Box::new(|| whole(|| sasl(x25519)))),
        ],
    );
    for suite in Suite::ALL {
        probe(ROUNDS, &suite.mechanism());
    }
}

fn pake_cpace() {
    let client = CPace::step1(black_box(PASSWORD), "alice", "bob", Some(b"channel")).unwrap();
    let server =
        CPace::step2(&client.packet(), black_box(PASSWORD), "alice", "bob", Some(b"channel")).unwrap();
    let keys = client.step3(&server.packet()).unwrap();
    assert_eq!(keys.k1, server.shared_keys().k1);
}

fn core(suite: Suite) {
    let mut rng = system_rng();
    let inputs = Inputs { prs: black_box(PASSWORD).as_bytes(), ci: b"alice bob channel", sid: &[7; 32] };
    let initiator = Initiator::start(suite, inputs, b"", &mut rng).unwrap();
    let ya = *initiator.share();
    let (waiting, yb, tb) = Responder::new(suite, &mut rng).respond(inputs, &ya, b"", b"").unwrap();
    let (ours, ta) = initiator.finish(&yb, b"", &tb).unwrap();
    let theirs = waiting.finish(&ta).unwrap();
    assert_eq!(ours.key().expose(), theirs.key().expose());
}

fn sasl(suite: Suite) {
    let (mut client, mut server) =
        pair(&suite.mechanism(), Some(Credential::Password(Password::new(PASSWORD))));
    let Step::Continue(first) = client.step(&[]).unwrap() else { unreachable!() };
    let Step::Continue(second) = server.step(&first).unwrap() else { unreachable!() };
    let Step::Finished { reply: Some(third), .. } = client.step(&second).unwrap() else { unreachable!() };
    let Step::Finished { .. } = server.step(&third).unwrap() else { unreachable!() };
}
