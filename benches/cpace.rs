//! How long does a whole CPace exchange take, both sides together, and how does that compare with `pake-cpace`?
//!
//! All rows are measured in turn, round after round, so that a slow moment of the machine hits all of them. A ratio
//! above 1.00 says that we are faster; that of the best rounds suffers least from other load. `pake-cpace` implements
//! an early draft without key confirmation: two messages, and no tags.
#![allow(clippy::unwrap_used, reason = "an exchange that fails has no time to report")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::cpace::{Initiator, Inputs, Responder, Suite};
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup};
use countersign::secret::SecretBytes;
use countersign::{ChannelBinding, Context, MechanismName, Password, Result, system_rng};
use pake_cpace::CPace;

const ROUNDS: usize = 300;
const EXCHANGES_PER_ROUND: u32 = 5;
/// Runs one whole exchange.
type Exchange = Box<dyn Fn()>;

const PASSWORD: &str = "correct horse battery staple";

fn main() {
    let credentials: Arc<dyn CredentialStore> = Arc::new(OneUser(SecretBytes::new(vec![1; 32])));
    let rows: [(&str, Exchange); 5] = [
        ("pake-cpace 0.1.7, ristretto255, no confirmation", Box::new(pake_cpace)),
        ("countersign, CPACE-RISTR255-SHA512, confirmed", Box::new(|| core(Suite::Ristretto255Sha512))),
        ("countersign, CPACE-X25519-SHA512, confirmed", Box::new(|| core(Suite::X25519Sha512))),
        ("countersign, CPACE-R255-PLUS as SASL mechanism", sasl(Suite::Ristretto255Sha512, &credentials)),
        ("countersign, CPACE-X25519-PLUS as SASL mechanism", sasl(Suite::X25519Sha512, &credentials)),
    ];
    let mut times = rows.each_ref().map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((_, exchange), times) in rows.iter().zip(&mut times) {
            let start = Instant::now();
            (0..EXCHANGES_PER_ROUND).for_each(|_| exchange());
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed() / EXCHANGES_PER_ROUND);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    println!(
        "{:<50} {:>9} {:>9} {:>13} {:>12}",
        "whole exchange, both sides", "median", "best", "ratio, median", "ratio, best"
    );
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (median_of_baseline, best_of_baseline) = (us(median(&times[0])), us(times[0][0]));
    for ((name, _), times) in rows.iter().zip(&times) {
        let (median, best) = (us(median(times)), us(times[0]));
        let (by_median, by_best) = (median_of_baseline / median, best_of_baseline / best);
        println!("{name:<50} {median:>6.1} us {best:>6.1} us {by_median:>13.2} {by_best:>12.2}");
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
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

fn sasl(suite: Suite, credentials: &Arc<dyn CredentialStore>) -> Exchange {
    let credentials = credentials.clone();
    Box::new(move || {
        let mut rng = system_rng();
        let row = registry::find(&suite.mechanism()).unwrap();
        let binding = || Some(ChannelBinding::tls_exporter([0x42; 32]));
        let context = || Context::between("alice@wonderland.example/phone", "bob@home.example/laptop");
        let setup = ClientSetup {
            authcid: "alice@wonderland.example".into(),
            authzid: None,
            password: Password::new(PASSWORD),
            preparation: Preparation::SaslPrep,
            binding: binding(),
            context: context(),
        };
        let mut client = row.client(setup, &mut rng).unwrap();
        let setup = ServerSetup { credentials: credentials.clone(), binding: binding(), context: context() };
        let mut server = row.server(setup, &mut rng).unwrap();
        let Step::Continue(first) = client.step(&[]).unwrap() else { unreachable!() };
        let Step::Continue(second) = server.step(&first).unwrap() else { unreachable!() };
        let Step::Finished { reply: Some(third), .. } = client.step(&second).unwrap() else { unreachable!() };
        let Step::Finished { .. } = server.step(&third).unwrap() else { unreachable!() };
    })
}

struct OneUser(SecretBytes);

impl CredentialStore for OneUser {
    fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
        Ok(Some(Credential::Password(Password::new(PASSWORD))))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.0
    }
}
