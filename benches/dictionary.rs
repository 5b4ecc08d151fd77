//! How many guesses a second does one core test, beside what a naive defender would measure?
//!
//! PBKDF2 with 4096 iterations for each PRF: all lanes, one password as a login computes it, and the
//! crate pbkdf2; then each kernel alone with all its lanes. TLS 1.3's binder: all lanes, and a chain of the crates hmac and
//! hkdf. g^x: the tables, and the constant-time power of a login. Behind each section the gates are printed as ratios of
//! medians, with those of minima in brackets. Pin the run to one core.
//!
//! More peers, which need C libraries, join the same runs in `benches/pbkdf2-peers`. `benches/common/rates.rs` says which
//! arguments there are. `--rate HmacSha256` prints only how many guesses with 4096 iterations the lanes test
//! in a second, for `benches/hashcat.sh`, which may name the kernel behind it.

#[path = "common/mod.rs"]
mod common;
#[path = "common/rates.rs"]
mod rates;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use common::{Row, Times, whole};
use countersign::dictionary::fixed_base::FixedBase;
use countersign::dictionary::lanes::{Prf, kernel, kernels, pbkdf2_many, pbkdf2_many_on, tls13_binder_many};
use countersign::scram::{HashFunction, pbkdf2};
use countersign::srp::Group;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rates::Sections;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");
const SALT: &[u8; 16] = b"sixteen octets!!";
/// Passwords of a batch: some batches of every kernel.
const PASSWORDS: usize = 48;
/// Exponents of a batch.
const GUESSES: usize = 256;
/// PSKs of a batch: a millisecond, so that its start does not count.
const BINDERS: usize = 4096;
/// Bits of a window of the tables.
const WINDOW: u32 = 16;
const GROUPS: [Group; 4] = [Group::Bits1024, Group::Bits2048, Group::Bits3072, Group::Bits4096];

/// Another implementation: PBKDF2 of one password.
pub(crate) type Derive = fn(Prf, &[u8], &[u8], NonZeroU32, &mut [u8]);

/// Another implementation: base^exponent modulo the modulus.
pub(crate) type Power = fn(u8, &[u8], &[u8]) -> Vec<u8>;

#[allow(dead_code, reason = "the peers' bench includes this file and calls `run` itself")]
fn main() {
    run(&[], &[], &[]);
}

/// Measures everything beside the peers; `gates` are the ratios to ask for: section, row, peer.
pub(crate) fn run<'a>(derivations: &[(&'a str, Derive)], powers: &[(&'a str, Power)], gates: &[Gate<'_>]) {
    if std::env::args().any(|arg| arg == "--rate") {
        let named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect::<Vec<_>>();
        let prf = Prf::ALL.into_iter().find(|prf| named[0] == format!("{prf:?}")).expect("a PRF first");
        println!("{:.0}", rate(prf, named.get(1).map_or(kernel(prf), String::as_str)));
        return;
    }
    let mut sections = Sections::from_args(5);
    let mut section = |title: &str, rows: &dyn Fn() -> Vec<Row<'a>>| {
        if sections.is_wanted(title) {
            let rows = rows();
            let times = sections.measure(title, &rows);
            for gate in gates.iter().chain(GATES).filter(|gate| title.starts_with(gate.section)) {
                gate.print(&rows, &times);
            }
        }
    };
    for prf in Prf::ALL {
        let title = format!("{prf:?} x 4096, lanes: {}", kernel(prf));
        section(&title, &|| derivation_rows(prf, derivations));
    }
    section("TLS 1.3 binder", &binder_rows);
    for group in GROUPS {
        for exponent_len in [20, 32] {
            let title = format!("g^x, {group} bits, x of {}", 8 * exponent_len);
            section(&title, &|| power_rows(group, exponent_len, powers));
        }
    }
    Prf::ALL.into_iter().for_each(|prf| each_kernel(&mut sections, prf));
}

/// A ratio that is asked for.
pub(crate) struct Gate<'a> {
    /// How the section's title begins.
    pub(crate) section: &'a str,
    /// How the row's name begins.
    pub(crate) row: &'a str,
    /// How the name of the row it is measured against begins.
    pub(crate) peer: &'a str,
    /// How many times as fast the row must be.
    pub(crate) least: f64,
}

impl Gate<'_> {
    fn print(&self, rows: &[Row<'_>], times: &[Times]) {
        let find = |start: &str| rows.iter().position(|(name, _)| name.starts_with(start));
        let (Some(row), Some(peer)) = (find(self.row), find(self.peer)) else { return };
        let ratio =
            |of: fn(&Times) -> Duration| of(&times[peer]).as_secs_f64() / of(&times[row]).as_secs_f64();
        let (median, best) = (ratio(Times::median), ratio(Times::best));
        let verdict = if median >= self.least { "met" } else { "MISSED" };
        println!("{} : {}  {median:.2} ({best:.2}), at least {}: {verdict}", self.row, self.peer, self.least);
    }
}

/// Guesses a second of the lanes, over some seconds.
fn rate(prf: Prf, kernel: &str) -> f64 {
    const SECONDS: u64 = 4;
    let passwords = (0..PASSWORDS).map(|i| format!("password{i}")).collect::<Vec<_>>();
    let passwords = passwords.iter().map(String::as_bytes).collect::<Vec<_>>();
    let (mut out, mut guesses, start) = (Vec::new(), 0, Instant::now());
    while start.elapsed() < Duration::from_secs(SECONDS) {
        pbkdf2_many_on(kernel, prf, black_box(&passwords), SALT, ITERATIONS.get(), &mut out);
        guesses += PASSWORDS;
    }
    guesses as f64 / start.elapsed().as_secs_f64()
}

/// What is asked of the rows that need no peer.
const GATES: &[Gate<'_>] = &[
    Gate { section: "HmacSha1", row: "login", peer: "pbkdf2 0.13", least: 1.5 },
    Gate { section: "HmacSha256", row: "login", peer: "pbkdf2 0.13", least: 1.5 },
    Gate { section: "HmacSha512", row: "login", peer: "pbkdf2 0.13", least: 1.0 },
    Gate { section: "TLS 1.3 binder", row: "lanes", peer: "hkdf 0.13", least: 3.5 },
];

fn derivation_rows<'a>(prf: Prf, peers: &[(&'a str, Derive)]) -> Vec<Row<'a>> {
    let passwords = (0..PASSWORDS).map(|i| format!("password{i}")).collect::<Vec<_>>();
    let lanes = move || {
        let passwords = passwords.iter().map(String::as_bytes).collect::<Vec<_>>();
        let mut out = Vec::new();
        whole(|| pbkdf2_many(prf, black_box(&passwords), SALT, ITERATIONS.get(), &mut out)) / PASSWORDS as u32
    };
    let ours: [(&str, Derive); 3] =
        [("login", login), ("pbkdf2 0.13", rustcrypto), ("hmac 0.13 for each iteration", by_definition)];
    let mut rows: Vec<Row<'a>> = vec![("lanes", Box::new(lanes))];
    for (name, derive) in ours.into_iter().chain(peers.iter().copied()) {
        assert_eq!(derived(prf, derive), derived(prf, rustcrypto), "{name}");
        rows.push((name, Box::new(move || whole(|| drop(black_box(derived(prf, derive)))))));
    }
    rows
}

/// Each kernel with as many passwords as it has lanes.
fn each_kernel(sections: &mut Sections, prf: Prf) {
    let title = format!("{prf:?} x 4096, kernels with all lanes");
    if !sections.is_wanted(&title) {
        return;
    }
    let kernels = kernels(prf);
    let rows = kernels.iter().map(|&(name, lanes)| {
        let passwords = (0..lanes).map(|i| format!("password{i}")).collect::<Vec<_>>();
        let run = move || {
            let passwords = passwords.iter().map(String::as_bytes).collect::<Vec<_>>();
            let mut out = Vec::new();
            let batch = || pbkdf2_many_on(name, prf, black_box(&passwords), SALT, ITERATIONS.get(), &mut out);
            whole(batch) / lanes as u32
        };
        (name, Box::new(run) as Box<dyn Fn() -> Duration>)
    });
    let times = sections.measure(&title, &rows.collect::<Vec<_>>());
    for ((name, lanes), times) in kernels.iter().zip(&times) {
        let each = times.median().as_secs_f64() * 1e9 / f64::from(ITERATIONS.get());
        println!("{name}: {:.1} ns an iteration, {each:.1} for each password", each * *lanes as f64);
    }
    println!();
}

fn derived(prf: Prf, derive: Derive) -> Vec<u8> {
    let mut out = vec![0; prf.output_len()];
    derive(prf, black_box(b"password7"), SALT, ITERATIONS, &mut out);
    out
}

fn login(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let hash = match prf {
        Prf::HmacSha1 => HashFunction::Sha1,
        Prf::HmacSha256 => HashFunction::Sha256,
        _ => HashFunction::Sha512,
    };
    pbkdf2(hash, password, salt, iterations, out);
}

fn rustcrypto(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    match prf {
        Prf::HmacSha1 => pbkdf2_013::pbkdf2_hmac::<Sha1>(password, salt, iterations.get(), out),
        Prf::HmacSha256 => pbkdf2_013::pbkdf2_hmac::<Sha256>(password, salt, iterations.get(), out),
        _ => pbkdf2_013::pbkdf2_hmac::<Sha512>(password, salt, iterations.get(), out),
    }
}

/// RFC 8018 word for word, as a first benchmark would have it.
fn by_definition(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    fn iterate<M: Mac + KeyInit>(password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
        let hmac = |parts: [&[u8]; 2]| {
            let keyed = <M as KeyInit>::new_from_slice(password).expect("any length");
            keyed.chain_update(parts[0]).chain_update(parts[1]).finalize().into_bytes()
        };
        let mut last = hmac([salt, &1_u32.to_be_bytes()]);
        out.copy_from_slice(&last);
        for _ in 1..iterations.get() {
            last = hmac([&last, &[]]);
            out.iter_mut().zip(&last).for_each(|(out, octet)| *out ^= octet);
        }
    }
    match prf {
        Prf::HmacSha1 => iterate::<Hmac<Sha1>>(password, salt, iterations, out),
        Prf::HmacSha256 => iterate::<Hmac<Sha256>>(password, salt, iterations, out),
        _ => iterate::<Hmac<Sha512>>(password, salt, iterations, out),
    }
}

fn binder_rows<'a>() -> Vec<Row<'a>> {
    let psks = || (0..BINDERS).map(|i| format!("password{i}")).collect::<Vec<_>>();
    let transcript = [0x5a; 32];
    let (ours, theirs) = (psks(), psks());
    let lanes = move || {
        let psks = ours.iter().map(String::as_bytes).collect::<Vec<_>>();
        let mut out = Vec::with_capacity(BINDERS);
        let time = whole(|| tls13_binder_many(black_box(&psks), &transcript, &mut out));
        assert_eq!(out[7], plain_binder(psks[7], &transcript));
        time / BINDERS as u32
    };
    let chain = move || {
        whole(|| {
            for psk in &theirs {
                black_box(plain_binder(black_box(psk.as_bytes()), &transcript));
            }
        }) / BINDERS as u32
    };
    vec![("lanes", Box::new(lanes)), ("hkdf 0.13 and hmac 0.13", Box::new(chain))]
}

/// RFC 8446 sections 4.2.11.2 and 7.1 by library calls.
fn plain_binder(psk: &[u8], transcript: &[u8; 32]) -> [u8; 32] {
    let expand = |secret: &Hkdf<Sha256>, label: &[u8], context: &[u8]| {
        let mut key = [0; 32];
        let info = [&[0, 32, label.len() as u8], label, &[context.len() as u8], context];
        secret.expand_multi_info(&info, &mut key).expect("a short key");
        key
    };
    let (_, early_secret) = Hkdf::<Sha256>::extract(None, psk);
    let binder_key = expand(&early_secret, b"tls13 ext binder", &Sha256::digest([]));
    let binder_key = Hkdf::<Sha256>::from_prk(&binder_key).expect("as long as the hash");
    let finished_key = expand(&binder_key, b"tls13 finished", &[]);
    let binder = <Hmac<Sha256> as KeyInit>::new_from_slice(&finished_key).expect("any length");
    binder.chain_update(transcript).finalize().into_bytes().into()
}

fn power_rows<'a>(group: Group, exponent_len: usize, peers: &[(&'a str, Power)]) -> Vec<Row<'a>> {
    let exponents = (0..GUESSES).map(|i| Sha512::digest(i.to_be_bytes())[..exponent_len].to_vec());
    let exponents = exponents.collect::<Vec<_>>();
    let one = exponents[7].clone();
    let tables = FixedBase::new(group, exponent_len, WINDOW);
    println!("tables on {}: {} MiB", tables.kernel(), FixedBase::memory(group, exponent_len, WINDOW) >> 20);
    let target = tables.target(&group.generator_power(&one)).expect("less than N");
    let none = tables.target(&[]).expect("less than N");
    let find = move || {
        let slices = exponents.iter().map(Vec::as_slice).collect::<Vec<_>>();
        assert_eq!(tables.find(&target, &slices[..16]), Some(7));
        let time = whole(|| assert_eq!(tables.find(&none, black_box(&slices)), None));
        time / GUESSES as u32
    };
    let expected = group.generator_power(&one).to_vec();
    let login_one = one.clone();
    let login = move || whole(|| drop(black_box(group.generator_power(black_box(&login_one)))));
    let mut rows: Vec<Row<'a>> = vec![("tables", Box::new(find)), ("login's g^x", Box::new(login))];
    for (name, power) in peers.iter().copied() {
        let one = one.clone();
        let power = move || power(group.generator(), black_box(&one), group.modulus());
        assert_eq!(power(), expected, "{name}");
        rows.push((name, Box::new(move || whole(|| drop(black_box(power()))))));
    }
    rows
}
