//! How long does a SPAKE2+ exchange take beside the crate `spake2` (a balanced PAKE on Ed25519, without key
//! confirmation), and does the server's time tell an unknown user from a wrong password?
#![allow(clippy::unwrap_used, reason = "an exchange that fails has no time to report")]

mod common;
#[path = "common/probe.rs"]
mod probe;

use std::hint::black_box;

use common::{compare, whole};
use countersign::ksf::Ksf;
use countersign::spake2plus::{
    Ed25519Sha256, P256Sha256, Parties, Prover, ProverSecret, SaslSuite, Suite, Verifier, VerifierSecret,
};
use countersign::system_rng;
use probe::{PASSWORD, probe};
use spake2::{Ed25519Group, Identity, Spake2};

const ROUNDS: usize = 300;

fn main() {
    let (ed25519, p256) = (secrets::<Ed25519Sha256>(), secrets::<P256Sha256>());
    compare(
        ROUNDS,
        "whole exchange, both sides, password already stretched",
        &[
            ("spake2 0.4, Ed25519, no confirmation", Box::new(|| whole(balanced))),
            (
                "countersign, SPAKE2+ edwards25519-SHA256, confirmed",
                Box::new(|| whole(|| augmented::<Ed25519Sha256>(&ed25519))),
            ),
            (
                "countersign, SPAKE2+ P256-SHA256, confirmed",
                Box::new(|| whole(|| augmented::<P256Sha256>(&p256))),
            ),
        ],
    );
    probe(ROUNDS, &Ed25519Sha256::NAME);
    probe(ROUNDS, &P256Sha256::NAME);
}

type Secrets<S> = (ProverSecret<<S as Suite>::Group>, VerifierSecret<<S as Suite>::Group>);

fn secrets<S: SaslSuite>() -> Secrets<S> {
    let secret =
        ProverSecret::derive(PASSWORD.as_bytes(), b"alice", b"bob", Ksf::CHEAPEST, &[7; 16]).unwrap();
    let record = secret.verifier_secret();
    (secret, record)
}

fn balanced() {
    let password = spake2::Password::new(black_box(PASSWORD));
    let (alice, bob) = (Identity::new(b"alice"), Identity::new(b"bob"));
    let (a, from_a) = Spake2::<Ed25519Group>::start_a(&password, &alice, &bob);
    let (b, from_b) = Spake2::<Ed25519Group>::start_b(&password, &alice, &bob);
    assert_eq!(a.finish(&from_b).unwrap(), b.finish(&from_a).unwrap());
}

fn augmented<S: SaslSuite>((secret, record): &Secrets<S>) {
    let mut rng = system_rng();
    let parties = Parties { context: b"channel", prover: b"alice", verifier: b"bob" };
    let (prover, share) = Prover::<S>::start(black_box(secret).clone(), &mut rng).unwrap();
    let (verifier, answer) = Verifier::<S>::start(&parties, record, share.as_ref(), &mut rng).unwrap();
    let (confirmation, ours) = prover.finish(&parties, answer.share.as_ref(), &answer.confirmation).unwrap();
    let theirs = verifier.finish(&confirmation).unwrap();
    assert_eq!(ours.into_key().expose(), theirs.into_key().expose());
}
