//! Does the time of a login or a new verifier depend on its secrets? A statistical test after dudect (Reparaz, Balasch,
//! Verbauwhede 2017): two classes of inputs in random order, Welch's t-test on their times, at several cut-offs.
//!
//! In the first class the secret is fixed (a number with one bit set, or one password), in the second it is random. |t|
//! above 10 is a leak; below 4.5 nothing was seen. Run it alone on a quiet machine:
//!
//! - `cargo bench -p countersign --bench srp_dudect` on the portable arithmetic,
//! - `cargo bench -p countersign --bench srp_dudect --features srp-aws-lc` on that of AWS-LC.
//!
//! The number of measurements is the environment's MEASUREMENTS, 20000 unless told.

use std::hint::black_box;
use std::time::Instant;

use countersign::secret::SecretBytes;
use countersign::srp::{Client, Dialect, Group, Parameters, Prehash, Server, Verifier};
use countersign::system_rng;
use rand_core::{Rng, TryCryptoRng, TryRng};

const GROUP: Group = Group::Bits2048;
const PARAMETERS: Parameters = Parameters { dialect: Dialect::RFC5054, group: GROUP, prehash: Prehash::None };
const SALT: [u8; 16] = *b"sixteen octets!!";

/// One measurement of a class, in nanoseconds.
type Measure = Box<dyn FnMut(bool) -> f64>;

fn main() {
    let count = std::env::var("MEASUREMENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    println!("backend: {}", if cfg!(feature = "srp-aws-lc") { "AWS-LC" } else { "portable" });
    let questions: [(&str, Measure); 6] = [
        ("g^x, fixed or random x", Box::new(power())),
        ("B = kv + g^b, fixed or random b", Box::new(server_start())),
        ("S = (A v^u)^b, fixed or random b", Box::new(server_receive())),
        ("S = (A v^u)^b, fixed or random v", Box::new(server_receive_for())),
        ("S = (B - k g^x)^(a+ux), fixed or random a", Box::new(client())),
        ("new verifier, fixed or random password", Box::new(verifier())),
    ];
    for (question, mut measure) in questions {
        for i in 0..50 {
            black_box(measure(i % 2 == 0));
        }
        let samples = (0..count).map(|_| {
            let fixed = system_rng().next_u32().is_multiple_of(2);
            (fixed, measure(fixed))
        });
        let samples = samples.collect::<Vec<_>>();
        let (t, share) = largest_t(&samples);
        let verdict = match t.abs() {
            t if t < 4.5 => "nothing seen",
            t if t < 10.0 => "suspicious: measure more",
            _ => "LEAK",
        };
        println!("{question:<44} max |t| = {:6.2} (fastest {:3.0} %)  {verdict}", t.abs(), share * 100.0);
    }
}

/// The t value that is farthest from 0 over several cut-offs: interrupts make the slowest measurements useless.
fn largest_t(samples: &[(bool, f64)]) -> (f64, f64) {
    let mut times = samples.iter().map(|(_, time)| *time).collect::<Vec<_>>();
    times.sort_unstable_by(f64::total_cmp);
    [0.5, 0.75, 0.9, 0.97, 1.0]
        .into_iter()
        .map(|share| {
            let limit = times[((times.len() - 1) as f64 * share) as usize];
            (welch(samples.iter().filter(|(_, time)| *time <= limit)), share)
        })
        .max_by(|(a, _), (b, _)| a.abs().total_cmp(&b.abs()))
        .expect("there are cut-offs")
}

fn welch<'a>(samples: impl Iterator<Item = &'a (bool, f64)>) -> f64 {
    // Number, mean and sum of squared differences of each class (Welford).
    let mut classes = [(0.0, 0.0, 0.0); 2];
    for (class, time) in samples {
        let (number, mean, squares) = &mut classes[usize::from(*class)];
        *number += 1.0;
        let difference = time - *mean;
        *mean += difference / *number;
        *squares += difference * (time - *mean);
    }
    let [a, b] = classes;
    let variance = |(number, _, squares): (f64, f64, f64)| squares / (number - 1.0) / number;
    (a.1 - b.1) / (variance(a) + variance(b)).sqrt()
}

fn nanoseconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = black_box(work());
    (result, start.elapsed().as_nanos() as f64)
}

/// A generator that gives prepared octets, so that drawing costs the same in both classes.
struct Prepared([u8; 64]);

impl Prepared {
    fn new(fixed: bool) -> Self {
        let mut octets = [0; 64];
        system_rng().fill_bytes(&mut octets);
        if fixed {
            octets = [0; 64];
            octets[31] = 1;
        }
        Self(octets)
    }
}

impl TryRng for Prepared {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from(self.0[0]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from(self.0[0]))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

impl TryCryptoRng for Prepared {}

fn power() -> impl FnMut(bool) -> f64 {
    |fixed| {
        let exponent = Prepared::new(fixed).0;
        nanoseconds(|| GROUP.generator_power(&exponent[..32])).1
    }
}

fn record() -> Verifier {
    let password = SecretBytes::new(b"password123".to_vec());
    Verifier::derive(&PARAMETERS, "alice", &password, &SALT).expect("a good password")
}

fn server_start() -> impl FnMut(bool) -> f64 {
    let record = record();
    move |fixed| {
        let mut rng = Prepared::new(fixed);
        let record = record.clone();
        nanoseconds(|| Server::start(PARAMETERS.dialect, record, &mut rng)).1
    }
}

fn server_receive() -> impl FnMut(bool) -> f64 {
    let record = record();
    // A is new each time, so that u, for which v^u may take its own time, is random in both classes.
    move |fixed| {
        let mut rng = Prepared::new(fixed);
        let server = Server::start(PARAMETERS.dialect, record.clone(), &mut rng).expect("the right dialect");
        let client = Client::start(PARAMETERS, &mut system_rng());
        let a = client.public_value().to_vec();
        nanoseconds(|| server.receive("alice", &a)).1
    }
}

fn server_receive_for() -> impl FnMut(bool) -> f64 {
    move |fixed| {
        let v = Prepared::new(fixed).0;
        let record = Verifier::from_parts(&PARAMETERS, &SALT, &v).expect("2 to N-1");
        let server = Server::start(PARAMETERS.dialect, record, &mut system_rng()).expect("the right dialect");
        let client = Client::start(PARAMETERS, &mut system_rng());
        let a = client.public_value().to_vec();
        nanoseconds(|| server.receive("alice", &a)).1
    }
}

fn client() -> impl FnMut(bool) -> f64 {
    let password = SecretBytes::new(b"password123".to_vec());
    let record = record();
    move |fixed| {
        let mut rng = Prepared::new(fixed);
        let server =
            Server::start(PARAMETERS.dialect, record.clone(), &mut system_rng()).expect("the right dialect");
        let client = Client::start(PARAMETERS, &mut rng);
        nanoseconds(|| client.respond("alice", &password, &SALT, server.public_value())).1
    }
}

fn verifier() -> impl FnMut(bool) -> f64 {
    |fixed| {
        // Drawn in both classes, so that what the drawing leaves behind in caches is the same.
        let mut octets = [0; 16];
        system_rng().fill_bytes(&mut octets);
        if fixed {
            octets = [b'x'; 16];
        }
        let password = SecretBytes::new(octets.to_vec());
        nanoseconds(|| Verifier::derive(&PARAMETERS, "alice", &password, &SALT)).1
    }
}
