//! How long does an SRP login keep each side busy, and how long do a new verifier and g^x take, beside everybody else's?
//!
//! RFC 5054 with SHA-1, so that all compute the same. Ours include parsing, both proofs and the drawing of the exponent.
//! - OpenSSL runs what libssl calls for TLS-SRP, with the 384-bit a and b that libssl draws; both go through variable-time
//!   code there. It computes no proofs.
//! - The crate srp 0.7 has the 384-bit a and b of its own documentation; 0.6 leaves the length to its caller.
//! - GnuTLS exports only the verifier of its SRP. Its login is a whole TLS-SRP handshake in memory, less a plain PSK
//!   handshake, which has all the rest of it.
//! - GMP and crypto-bigint compute g^x alone.
//!
//! All run in turn, so that a neighbour on the machine slows all of them alike; the ratios of the medians and of the minima
//! are printed. The environment's ROUNDS says how many rounds, 15 unless told; the words of the command line choose titles.

mod gmp;
mod gnutls;
mod openssl;
mod ours;
mod rustcrypto;

use std::hint::black_box;
use std::time::{Duration, Instant};

use countersign::srp::Group;
use countersign::system_rng;
use rand_core::Rng;

const USER: &str = "alice";
const PASSWORD: &str = "password123";
const SALT: [u8; 16] = *b"sixteen octets!!";
const GROUPS: [Group; 4] = [Group::Bits2048, Group::Bits3072, Group::Bits4096, Group::Bits8192];

/// How long each of them runs in one round, if one operation is not longer.
const SLICE: Duration = Duration::from_millis(10);

/// One operation; the time that the measured side took.
type Operation = Box<dyn FnMut() -> Duration>;

/// Somebody who does it.
struct Contender {
    name: &'static str,
    operation: Operation,
    /// How many times as fast we want to be at 2048, 3072 and 4096 bits.
    goal: Option<f64>,
}

impl Contender {
    fn new(name: &'static str, operation: Operation) -> Self {
        Self { name, operation, goal: None }
    }

    /// With a goal for the arithmetic of AWS-LC.
    fn with_goal(self, goal: f64) -> Self {
        Self { goal: cfg!(feature = "srp-aws-lc").then_some(goal), ..self }
    }

    /// With a goal for each arithmetic.
    fn with_goals(self, fast: f64, portable: f64) -> Self {
        let goal = if cfg!(feature = "srp-aws-lc") { fast } else { portable };
        Self { goal: Some(goal), ..self }
    }
}

fn main() {
    let wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect::<Vec<_>>();
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    println!("our arithmetic: {}", if cfg!(feature = "srp-aws-lc") { "AWS-LC" } else { "portable" });
    println!("microseconds, median (minimum); times as long as ours, of medians (of minima)");
    let questions: [(&str, fn(Group) -> Vec<Contender>); 4] = [
        ("server login", servers),
        ("client login", clients),
        ("new verifier", verifiers),
        ("g^x with 256 bits", powers),
    ];
    for group in GROUPS {
        for (question, contenders) in questions {
            let title = format!("{question}, {group} bits");
            if wanted.iter().all(|word| title.contains(word)) {
                in_turn(&title, group, contenders(group), rounds);
            }
        }
    }
}

fn servers(group: Group) -> Vec<Contender> {
    vec![
        Contender::new("countersign", ours::server(group)),
        Contender::new("OpenSSL as libssl uses it, 384-bit b", openssl::server(group, 48)).with_goal(1.5),
        Contender::new("OpenSSL, 256-bit b", openssl::server(group, 32)),
        Contender::new("srp 0.7, 384-bit b", rustcrypto::server(group, 48)).with_goals(5.0, 1.5),
        Contender::new("srp 0.7, 256-bit b", rustcrypto::server(group, 32)),
        Contender::new("srp 0.6, 256-bit b", rustcrypto::old_server(group)),
        Contender::new("GnuTLS handshake less PSK", gnutls::login(group, gnutls::Side::Server))
            .with_goal(8.0),
    ]
}

fn clients(group: Group) -> Vec<Contender> {
    vec![
        Contender::new("countersign", ours::client(group)),
        Contender::new("OpenSSL as libssl uses it, 384-bit a", openssl::client(group, 48)).with_goal(1.8),
        Contender::new("OpenSSL, 256-bit a", openssl::client(group, 32)),
        Contender::new("srp 0.7, 384-bit a", rustcrypto::client(group, 48)).with_goals(5.0, 1.5),
        Contender::new("srp 0.7, 256-bit a", rustcrypto::client(group, 32)),
        Contender::new("srp 0.6, 256-bit a", rustcrypto::old_client(group)),
        Contender::new("GnuTLS handshake less PSK", gnutls::login(group, gnutls::Side::Client))
            .with_goal(8.0),
    ]
}

fn verifiers(group: Group) -> Vec<Contender> {
    vec![
        Contender::new("countersign", ours::verifier(group)),
        Contender::new("OpenSSL SRP_create_verifier_BN", openssl::verifier(group)),
        Contender::new("srp 0.7", rustcrypto::verifier(group)),
        Contender::new("srp 0.6", rustcrypto::old_verifier(group)),
        Contender::new("GnuTLS gnutls_srp_verifier", gnutls::verifier(group)),
    ]
}

fn powers(group: Group) -> Vec<Contender> {
    vec![
        Contender::new("countersign", ours::power(group)),
        Contender::new("OpenSSL BN_mod_exp_mont_consttime", openssl::power(group, true)).with_goal(4.0),
        Contender::new("OpenSSL BN_mod_exp, variable time", openssl::power(group, false)),
        Contender::new("GMP mpz_powm_sec", gmp::power(group, true)),
        Contender::new("GMP mpz_powm, variable time", gmp::power(group, false)),
        Contender::new("crypto-bigint BoxedMontyForm::pow", rustcrypto::power(group)),
    ]
}

fn in_turn(title: &str, group: Group, mut contenders: Vec<Contender>, rounds: usize) {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    let runs = contenders.iter_mut().map(|Contender { operation, .. }| {
        // Tables are made in the first calls.
        operation();
        (SLICE.as_nanos() / operation().as_nanos().max(1)).clamp(1, 200) as u32
    });
    let runs = runs.collect::<Vec<_>>();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let operation = &mut contenders[at].operation;
            // What the one before has left in the caches is not the question.
            operation();
            times[at].push((0..runs[at]).map(|_| operation()).sum::<Duration>() / runs[at]);
        }
    }
    let summary = times.iter_mut().map(|times| {
        times.sort_unstable();
        (times[rounds / 2].as_secs_f64() * 1e6, times[0].as_secs_f64() * 1e6)
    });
    let summary = summary.collect::<Vec<_>>();
    println!("\n{title}");
    for (Contender { name, goal, .. }, (median, minimum)) in contenders.iter().zip(&summary) {
        let (ratio, of_minima) = (median / summary[0].0, minimum / summary[0].1);
        let goal = goal.filter(|_| group < Group::Bits6144).map_or_else(String::new, |goal| {
            format!("  goal {goal:.1}x {}", if ratio >= goal { "met" } else { "MISSED" })
        });
        println!("  {name:<37} {median:9.1} ({minimum:9.1})  {ratio:6.2}x ({of_minima:6.2}x){goal}");
    }
}

fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = black_box(work());
    (result, start.elapsed())
}

/// Random octets, for exponents.
fn random<const LEN: usize>() -> [u8; LEN] {
    let mut octets = [0; LEN];
    system_rng().fill_bytes(&mut octets);
    octets
}
