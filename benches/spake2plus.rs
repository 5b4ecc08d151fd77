//! How long does a SPAKE2+ exchange take beside the crate `spake2` (a balanced PAKE on Ed25519, without key
//! confirmation), and does the server's time tell an unknown user from a wrong password?
#![allow(clippy::unwrap_used, reason = "an exchange that fails has no time to report")]

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{compare, whole};
use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup, SharedPassword};
use countersign::secret::SecretBytes;
use countersign::spake2plus::{
    Ed25519Sha256, P256Sha256, Parties, Prover, ProverSecret, SaslSuite, Suite, Verifier, VerifierSecret,
};
use countersign::{ChannelBinding, Context, Mechanism, MechanismName, Password, Result, system_rng};
use spake2::{Ed25519Group, Identity, Spake2};

const ROUNDS: usize = 300;
const PASSWORD: &str = "correct horse battery staple";

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
    probe::<Ed25519Sha256>();
    probe::<P256Sha256>();
}

type Secrets<S> = (ProverSecret<<S as Suite>::Group>, VerifierSecret<<S as Suite>::Group>);

fn secrets<S: SaslSuite>() -> Secrets<S> {
    let secret =
        ProverSecret::derive(PASSWORD.as_bytes(), b"alice", b"bob", Ksf::CHEAPEST, &[7; 16]).unwrap();
    let record = secret.verifier_secret();
    (secret, record)
}

fn probe<S: SaslSuite>() {
    let other = Store::user::<S>("other");
    compare(
        ROUNDS,
        &format!("{}: the server's part of one login", S::NAME),
        &[
            ("wrong password", Box::new(|| server::<S>(Some(other.clone())))),
            ("unknown user", Box::new(|| server::<S>(None))),
        ],
    );
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

/// Two messages answered.
fn server<S: SaslSuite>(user: Option<Credential>) -> Duration {
    let mut rng = system_rng();
    let row = registry::find(&S::NAME).unwrap();
    let binding = || Some(ChannelBinding::tls_exporter([0x42; 32]));
    let setup = ClientSetup {
        authcid: "alice".into(),
        authzid: None,
        password: Password::new(PASSWORD),
        preparation: Preparation::None,
        binding: binding(),
        context: Context::new(),
    };
    let mut client = row.client(setup, &mut rng).unwrap();
    let credentials = Arc::new(Store { user, seed: SecretBytes::new(vec![1; 32]) });
    let setup = ServerSetup { credentials, binding: binding(), context: Context::new() };
    let mut server = row.server(setup, &mut rng).unwrap();
    let first = sent(&mut *client, &[]);
    let start = Instant::now();
    let record = sent(&mut *server, &first);
    let elapsed = start.elapsed();
    let share = sent(&mut *client, &record);
    let start = Instant::now();
    black_box(sent(&mut *server, &share));
    elapsed + start.elapsed()
}

fn sent(side: &mut dyn Mechanism, input: &[u8]) -> Vec<u8> {
    let Step::Continue(message) = side.step(input).unwrap() else { unreachable!() };
    message
}

struct Store {
    user: Option<Credential>,
    seed: SecretBytes,
}

impl Store {
    fn user<S: SaslSuite>(password: &str) -> Credential {
        let (name, password) = ("alice", Password::new(password));
        let store = SharedPassword::new(name, password, Preparation::None, system_rng()).unwrap();
        store.with_ksf(Ksf::CHEAPEST).lookup(&S::NAME, name).unwrap().unwrap()
    }
}

impl CredentialStore for Store {
    fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
        Ok(self.user.clone())
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }

    fn simulated_ksf(&self, _: &MechanismName) -> Option<Ksf> {
        Some(Ksf::CHEAPEST)
    }
}
