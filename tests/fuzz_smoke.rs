//! The fuzz targets (`fuzz/`), without a fuzzer: their seeds and a bounded number of mutations, the same in each run.
//!
//! With COUNTERSIGN_FUZZ_CORPUS the seeds are written into that folder, for cargo-fuzz to start from.
#![cfg(all(
    feature = "opaque",
    feature = "scram",
    feature = "cpace",
    feature = "spake2plus",
    feature = "srp"
))]
#![cfg(feature = "xmpp")]

#[path = "../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    reason = "it is the library of another package"
)]
mod targets;

use std::path::Path;

use rand_core::Rng;
use targets::{RepeatableRng, TARGETS};

/// Mutations of all seeds of a target together.
const MUTATIONS: usize = 300;

fn smoke(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("there is such a target");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    if let Some(corpus) = std::env::var_os("COUNTERSIGN_FUZZ_CORPUS") {
        let folder = Path::new(&corpus).join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the corpus");
        for (i, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{i:02}")), seed).expect("room for a seed");
        }
    }
    (target.run)(&[]);
    for seed in &seeds {
        (target.run)(seed);
    }
    let mut rng = RepeatableRng(0x5eed);
    for i in 0..MUTATIONS {
        let other = &seeds[below(&mut rng, seeds.len())];
        (target.run)(&mutated(&seeds[i % seeds.len()], other, &mut rng));
    }
}

fn below(rng: &mut RepeatableRng, limit: usize) -> usize {
    (rng.next_u64() % limit.max(1) as u64) as usize
}

/// One to four changes of the kinds that fuzzers make.
fn mutated(seed: &[u8], other: &[u8], rng: &mut RepeatableRng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=below(rng, 4) {
        let at = below(rng, data.len());
        let end = at + below(rng, data.len() - at).min(32);
        match below(rng, 8) {
            0 if !data.is_empty() => data[at] ^= 1 << below(rng, 8),
            1 if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff, b'<', b'\'', b','][below(rng, 8)],
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => data.insert(at, rng.next_u64() as u8),
            5 => data.extend_from_within(at..end),
            6 => {
                let from = below(rng, other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => data.extend((0..below(rng, 64)).map(|_| rng.next_u64() as u8)),
        }
    }
    data
}

macro_rules! smoke {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                smoke(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|target| target.name));
        }
    };
}

smoke! { scram cpace spake2plus opaque srp_sasl srp_plus srp_shares srp_files xml_stream jingle ibb socks5 }
