//! Many passwords at once: PBKDF2 and TLS 1.3's binder on all the lanes that the processor has.
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
mod binder;

pub use binder::{hmac_sha256_many, tls13_binder_many};

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
    out.reserve(passwords.len());
    match prf {
        Prf::HmacSha1 => many(&SHA1, &sha1_engines(OPTIMISED), passwords, salt, iterations, out),
        Prf::HmacSha256 => many(&SHA256, &sha256_engines(OPTIMISED), passwords, salt, iterations, out),
        Prf::HmacSha512 => many(&SHA512, &sha512_engines(OPTIMISED), passwords, salt, iterations, out),
    }
}

/// What [`pbkdf2_many`] runs on here when there are enough passwords, for reports: "SHA-NI x2", "ARMv8 x2", "AVX2 x8",
/// "AVX-512 x16" or "portable".
#[must_use]
pub fn kernel(prf: Prf) -> &'static str {
    match prf {
        Prf::HmacSha1 => best(&sha1_engines(OPTIMISED), usize::MAX).name,
        Prf::HmacSha256 => best(&sha256_engines(OPTIMISED), usize::MAX).name,
        Prf::HmacSha512 => best(&sha512_engines(OPTIMISED), usize::MAX).name,
    }
}

/// A way to iterate up to `lanes` chains at once.
struct Engine<W: Word, const S: usize> {
    name: &'static str,
    lanes: usize,
    /// Time of an iteration, however many lanes are filled; only the proportions count.
    time: u32,
    iterate: Iterate<W, S>,
}

type Iterate<W, const S: usize> = fn(&[Chain<W, S>], u32, &mut [[W; S]]);

fn many<W: Word, const S: usize, const B: usize>(
    hash: &Hash<W, S, B>,
    engines: &[Engine<W, S>],
    mut passwords: &[&[u8]],
    salt: &[u8],
    iterations: u32,
    out: &mut Vec<[u8; 64]>,
) {
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
fn best<W: Word, const S: usize>(engines: &[Engine<W, S>], passwords: usize) -> &Engine<W, S> {
    let cost = |engine: &&Engine<W, S>| {
        let filled = engine.lanes.min(passwords).max(1);
        u64::from(engine.time) * 1000 / filled as u64
    };
    engines.iter().min_by_key(cost).expect("the portable one is always there")
}

/// With `kernels` those of our own too, as far as the processor can run them.
///
/// Times were measured on one core of a Xeon with AVX-512, each kernel in turn, in units of 0.1 ns.
fn sha1_engines(kernels: bool) -> Vec<Engine<u32, 5>> {
    let mut engines = vec![Engine { name: "portable", lanes: 1, time: 949, iterate: sha1_alone }];
    #[cfg(target_arch = "x86_64")]
    if kernels {
        if avx512::available() {
            engines.push(Engine {
                name: "AVX-512 x16",
                lanes: 16,
                time: 2154,
                iterate: avx512::sha1::iterate,
            });
        }
        if avx2::available() {
            engines.push(Engine { name: "AVX2 x8", lanes: 8, time: 2753, iterate: avx2::sha1::iterate });
        }
    }
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if kernels && instructions::available() {
        use instructions::NAMES;
        engines.push(Engine { name: NAMES[0], lanes: 1, time: 738, iterate: sha1_abreast::<1> });
        engines.push(Engine { name: NAMES[1], lanes: 2, time: 1139, iterate: sha1_abreast::<2> });
        engines.push(Engine { name: NAMES[2], lanes: 3, time: 1827, iterate: sha1_abreast::<3> });
    }
    engines
}

/// As [`sha1_engines`]. A third stream through the SHA instructions gains nothing: the registers do not suffice.
fn sha256_engines(kernels: bool) -> Vec<Engine<u32, 8>> {
    let mut engines = vec![Engine { name: "portable", lanes: 1, time: 972, iterate: sha256_alone }];
    #[cfg(target_arch = "x86_64")]
    if kernels {
        if avx512::available() {
            engines.push(Engine {
                name: "AVX-512 x16",
                lanes: 16,
                time: 4632,
                iterate: avx512::sha256::iterate,
            });
        }
        if avx2::available() {
            engines.push(Engine { name: "AVX2 x8", lanes: 8, time: 6234, iterate: avx2::sha256::iterate });
        }
    }
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if kernels && instructions::available() {
        use instructions::NAMES;
        engines.push(Engine { name: NAMES[0], lanes: 1, time: 806, iterate: sha256_abreast::<1> });
        engines.push(Engine { name: NAMES[1], lanes: 2, time: 1266, iterate: sha256_abreast::<2> });
    }
    engines
}

/// As [`sha1_engines`].
fn sha512_engines(kernels: bool) -> Vec<Engine<u64, 8>> {
    let mut engines = vec![Engine { name: "portable", lanes: 1, time: 4100, iterate: sha512_alone }];
    #[cfg(target_arch = "x86_64")]
    if kernels {
        if avx512::available() {
            engines.push(Engine {
                name: "AVX-512 x8",
                lanes: 8,
                time: 5828,
                iterate: avx512::sha512::iterate,
            });
        }
        if avx2::available() {
            engines.push(Engine { name: "AVX2 x4", lanes: 4, time: 7692, iterate: avx2::sha512::iterate });
        }
    }
    engines
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
