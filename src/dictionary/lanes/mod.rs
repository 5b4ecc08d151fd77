//! Many passwords at once: PBKDF2, TLS 1.3's binder and TLS 1.2's PRF on all the lanes that the processor has.
//!
//! Every kernel does the same thing, the iterations of as many chains as it has lanes; `engines` lists those that this
//! processor can run. Which of them runs a batch follows from the times in that list and from how
//! many passwords are left, so the last few do not pay for sixteen.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(unused_mut, unused_variables, reason = "there is only the portable kernel, at least of SHA-512")
)]

#[macro_use]
#[cfg(target_arch = "x86_64")]
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod hmac;
mod tls;

pub use hmac::hmac_sha256_many;
pub use tls::{PRF_OUTPUTS_MAX, PrfOutputs, tls12_prf_many, tls13_binder_many};

pub use crate::pbkdf2::Prf;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use crate::pbkdf2::instructions;
use crate::pbkdf2::{Chain, Hash, OPTIMISED, SHA1, SHA256, SHA512, Word, put_words};

/// One output of PBKDF2 for each password: `out[i]` starts with the [`Prf::output_len`] octets of U_1 ^ ... ^ U_c, the
/// rest is zero. An iteration count of 0 counts as 1.
///
/// `out` is cleared first.
pub fn pbkdf2_many(prf: Prf, passwords: &[&[u8]], salt: &[u8], iterations: u32, out: &mut Vec<[u8; 64]>) {
    out.clear();
    match prf {
        Prf::HmacSha1 => many(&SHA1, &usable(SHA1_ENGINES), passwords, salt, iterations, out),
        Prf::HmacSha256 => many(&SHA256, &usable(SHA256_ENGINES), passwords, salt, iterations, out),
        Prf::HmacSha512 => many(&SHA512, &usable(SHA512_ENGINES), passwords, salt, iterations, out),
    }
}

/// What [`pbkdf2_many`] runs on here when there are enough passwords, for reports: one of [`kernels`].
#[must_use]
pub fn kernel(prf: Prf) -> &'static str {
    match prf {
        Prf::HmacSha1 => best(&usable(SHA1_ENGINES), usize::MAX).name,
        Prf::HmacSha256 => best(&usable(SHA256_ENGINES), usize::MAX).name,
        Prf::HmacSha512 => best(&usable(SHA512_ENGINES), usize::MAX).name,
    }
}

/// Those that this processor can run, with their numbers of passwords: "portable", "SHA-NI x2", "ARMv8 x2", "AVX2 x8",
/// "AVX-512 x16" and the like.
#[must_use]
pub fn kernels(prf: Prf) -> Vec<(&'static str, usize)> {
    fn of<W: Word, const S: usize>(engines: &[Engine<W, S>]) -> Vec<(&'static str, usize)> {
        let available = engines.iter().filter(|engine| (engine.available)());
        available.map(|engine| (engine.name, engine.lanes)).collect()
    }
    match prf {
        Prf::HmacSha1 => of(SHA1_ENGINES),
        Prf::HmacSha256 => of(SHA256_ENGINES),
        Prf::HmacSha512 => of(SHA512_ENGINES),
    }
}

/// As [`pbkdf2_many`] on one of [`kernels`] alone, for measurements.
///
/// # Panics
/// When it is none of them.
pub fn pbkdf2_many_on(
    kernel: &str,
    prf: Prf,
    passwords: &[&[u8]],
    salt: &[u8],
    iterations: u32,
    out: &mut Vec<[u8; 64]>,
) {
    fn named<'a, W: Word, const S: usize>(
        kernel: &str,
        engines: &'a [Engine<W, S>],
    ) -> [&'a Engine<W, S>; 1] {
        let engine = engines.iter().find(|engine| engine.name == kernel && (engine.available)());
        [engine.expect("one of the processor's kernels")]
    }
    out.clear();
    match prf {
        Prf::HmacSha1 => many(&SHA1, &named(kernel, SHA1_ENGINES), passwords, salt, iterations, out),
        Prf::HmacSha256 => many(&SHA256, &named(kernel, SHA256_ENGINES), passwords, salt, iterations, out),
        Prf::HmacSha512 => many(&SHA512, &named(kernel, SHA512_ENGINES), passwords, salt, iterations, out),
    }
}

/// A way to iterate up to `lanes` chains at once.
struct Engine<W: Word, const S: usize> {
    name: &'static str,
    lanes: usize,
    /// Nanoseconds for an iteration, however many lanes are filled; only the proportions count.
    time: f64,
    available: fn() -> bool,
    iterate: Iterate<W, S>,
}

type Iterate<W, const S: usize> = fn(&[Chain<W, S>], u32, &mut [[W; S]]);

impl<W: Word, const S: usize> Engine<W, S> {
    const fn new(
        name: &'static str,
        lanes: usize,
        time: f64,
        available: fn() -> bool,
        iterate: Iterate<W, S>,
    ) -> Self {
        Self { name, lanes, time, available, iterate }
    }
}

// The times are those of `cargo bench --bench dictionary -- kernels` on one core of a Xeon with AVX-512.

static SHA1_ENGINES: &[Engine<u32, 5>] = &[
    Engine::new("portable", 1, 87.9, || true, sha1_alone),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX-512 x16", 16, 191.1, avx512::available, avx512::sha1::iterate),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX2 x8", 8, 252.1, avx2::available, avx2::sha1::iterate),
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Engine::new(instructions::NAMES[0], 1, 62.2, instructions::available, sha1_abreast::<1>),
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Engine::new(instructions::NAMES[1], 2, 105.1, instructions::available, sha1_abreast::<2>),
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Engine::new(instructions::NAMES[2], 3, 167.9, instructions::available, sha1_abreast::<3>),
];

/// A third stream through the SHA instructions gains nothing: the registers do not suffice.
static SHA256_ENGINES: &[Engine<u32, 8>] = &[
    Engine::new("portable", 1, 88.5, || true, sha256_alone),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX-512 x16", 16, 433.6, avx512::available, avx512::sha256::iterate),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX2 x8", 8, 568.9, avx2::available, avx2::sha256::iterate),
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Engine::new(instructions::NAMES[0], 1, 72.8, instructions::available, sha256_abreast::<1>),
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Engine::new(instructions::NAMES[1], 2, 117.7, instructions::available, sha256_abreast::<2>),
];

static SHA512_ENGINES: &[Engine<u64, 8>] = &[
    Engine::new("portable", 1, 378.3, || true, sha512_alone),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX-512 x8", 8, 558.6, avx512::available, avx512::sha512::iterate),
    #[cfg(target_arch = "x86_64")]
    Engine::new("AVX2 x4", 4, 703.5, avx2::available, avx2::sha512::iterate),
];

/// Those that may be chosen here; the portable one is always among them.
fn usable<W: Word, const S: usize>(engines: &'static [Engine<W, S>]) -> Vec<&'static Engine<W, S>> {
    let (portable, others) = engines.split_at(1);
    let others = others.iter().filter(|engine| OPTIMISED && (engine.available)());
    portable.iter().chain(others).collect()
}

fn many<W: Word, const S: usize, const B: usize>(
    hash: &Hash<W, S, B>,
    engines: &[&Engine<W, S>],
    mut passwords: &[&[u8]],
    salt: &[u8],
    iterations: u32,
    out: &mut Vec<[u8; 64]>,
) {
    out.reserve(passwords.len());
    let message = hash.message(salt, 1);
    let (mut chains, mut sums) = (Vec::new(), Vec::new());
    while !passwords.is_empty() {
        let engine = best(engines, passwords.len());
        let (batch, rest) = passwords.split_at(engine.lanes.min(passwords.len()));
        chains.clear();
        chains.extend(batch.iter().map(|password| hash.chain(password, &message)));
        sums.clear();
        sums.resize(batch.len(), hash.initial);
        (engine.iterate)(&chains, iterations, &mut sums);
        out.extend(sums.iter().map(|sum| {
            let mut octets = [0; 64];
            put_words(&mut octets, sum);
            octets
        }));
        passwords = rest;
    }
}

/// The engine that spends least on each of so many passwords.
fn best<'a, W: Word, const S: usize>(engines: &[&'a Engine<W, S>], passwords: usize) -> &'a Engine<W, S> {
    let cost = |engine: &Engine<W, S>| engine.time / engine.lanes.min(passwords).max(1) as f64;
    let cheaper = |a: &&&Engine<W, S>, b: &&&Engine<W, S>| cost(a).total_cmp(&cost(b));
    engines.iter().min_by(cheaper).expect("the portable one is always there")
}

fn sha1_alone(chains: &[Chain<u32, 5>], iterations: u32, out: &mut [[u32; 5]]) {
    out[0] = SHA1.iterate(&chains[0], iterations);
}

fn sha256_alone(chains: &[Chain<u32, 8>], iterations: u32, out: &mut [[u32; 8]]) {
    out[0] = SHA256.iterate(&chains[0], iterations);
}

fn sha512_alone(chains: &[Chain<u64, 8>], iterations: u32, out: &mut [[u64; 8]]) {
    out[0] = SHA512.iterate(&chains[0], iterations);
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
fn sha1_abreast<const N: usize>(chains: &[Chain<u32, 5>], iterations: u32, out: &mut [[u32; 5]]) {
    let sums = instructions::sha1::<N>(filled(chains), iterations);
    out.copy_from_slice(&sums[..out.len()]);
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
fn sha256_abreast<const N: usize>(chains: &[Chain<u32, 8>], iterations: u32, out: &mut [[u32; 8]]) {
    let sums = instructions::sha256::<N>(filled(chains), iterations);
    out.copy_from_slice(&sums[..out.len()]);
}

/// `N` chains, the last one again where there are fewer.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
fn filled<W: Word, const S: usize, const N: usize>(chains: &[Chain<W, S>]) -> [&Chain<W, S>; N] {
    std::array::from_fn(|n| &chains[n.min(chains.len() - 1)])
}

/// A value for each lane, word by word.
type Columns<W, const LANES: usize, const WORDS: usize> = [[W; LANES]; WORDS];

/// Turns the states of single passwords into columns; lanes that are left over stay zero.
#[cfg(target_arch = "x86_64")]
fn columns<W: Word, const LANES: usize, const WORDS: usize>(
    states: impl Iterator<Item = [W; WORDS]>,
) -> Columns<W, LANES, WORDS> {
    let mut columns = [[W::default(); LANES]; WORDS];
    for (lane, state) in states.enumerate() {
        for (row, word) in columns.iter_mut().zip(state) {
            row[lane] = word;
        }
    }
    columns
}

#[cfg(test)]
mod tests;
