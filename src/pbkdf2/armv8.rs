//! SHA-1 and SHA-256 on the cryptographic extensions of ARMv8, `N` passwords interleaved: the counterpart of `sha_ni`.
//!
//! The state's order is that of the message here, so an output is the first words of the next block as it stands.
//!
//! Unsafe is only the call of functions that are compiled for these instructions; the processor is asked first. They
//! take no pointers but to arrays of a vector's size.
#![allow(unsafe_code, reason = "calls of functions for a processor feature that is asked for first")]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::Chain;
use super::constants::K256;

/// How one, two and three passwords at once are called in reports.
#[cfg(feature = "dictionary")]
pub(crate) const NAMES: [&str; 3] = ["ARMv8 x1", "ARMv8 x2", "ARMv8 x3"];

/// Whether this processor has what the functions here need.
pub(crate) fn available() -> bool {
    is_aarch64_feature_detected!("sha2")
}

/// T_1 of each chain.
///
/// # Panics
/// When the instructions are not [`available`].
pub(crate) fn sha1<const N: usize>(chains: [&Chain<u32, 5>; N], iterations: u32) -> [[u32; 5]; N] {
    assert!(available());
    // SAFETY: the processor has what the function is compiled for.
    unsafe { sha1_loop(chains, iterations) }
}

/// T_1 of each chain.
///
/// # Panics
/// When the instructions are not [`available`].
pub(crate) fn sha256<const N: usize>(chains: [&Chain<u32, 8>; N], iterations: u32) -> [[u32; 8]; N] {
    assert!(available());
    // SAFETY: the processor has what the function is compiled for.
    unsafe { sha256_loop(chains, iterations) }
}

/// One compression for each of `N` states, word by word: `state[i][n]` is word i of the n-th.
///
/// # Panics
/// When the instructions are not [`available`].
#[cfg(feature = "dictionary")]
pub(crate) fn compress256<const N: usize>(state: &mut [[u32; N]; 8], block: &[[u32; N]; 16]) {
    assert!(available());
    // SAFETY: the processor has what the function is compiled for.
    unsafe { sha256_columns(state, block) }
}

/// Words of the state, lowest first.
type State256 = [uint32x4_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn words(words: [u32; 4]) -> uint32x4_t {
    // SAFETY: the array has the size of a vector.
    unsafe { vld1q_u32(words.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn array(vector: uint32x4_t) -> [u32; 4] {
    let mut words = [0; 4];
    // SAFETY: the array has the size of a vector.
    unsafe { vst1q_u32(words.as_mut_ptr(), vector) }
    words
}

#[inline]
#[target_feature(enable = "neon")]
fn state256([a, b, c, d, e, f, g, h]: [u32; 8]) -> State256 {
    [words([a, b, c, d]), words([e, f, g, h])]
}

#[inline]
#[target_feature(enable = "neon")]
fn words256(state: State256) -> [u32; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (array(state[0]), array(state[1]));
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "neon,sha2")]
fn sha256_loop<const N: usize>(chains: [&Chain<u32, 8>; N], iterations: u32) -> [[u32; 8]; N] {
    let none = [words([0; 4]); 2];
    let (mut inner, mut outer, mut last) = ([none; N], [none; N], [none; N]);
    for n in 0..N {
        inner[n] = state256(chains[n].inner);
        outer[n] = state256(chains[n].outer);
        last[n] = state256(chains[n].first);
    }
    let mut sum = last;
    for _ in 1..iterations {
        last = sha256_output(&inner, last);
        last = sha256_output(&outer, last);
        for n in 0..N {
            sum[n] = [veorq_u32(sum[n][0], last[n][0]), veorq_u32(sum[n][1], last[n][1])];
        }
    }
    let mut out = [[0; 8]; N];
    for n in 0..N {
        out[n] = words256(sum[n]);
    }
    out
}

/// The compression of an output under one half of the key.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn sha256_output<const N: usize>(key: &[State256; N], last: [State256; N]) -> [State256; N] {
    // What follows the output in its block: the end mark and the length, 96 octets.
    let mark = words([0x8000_0000, 0, 0, 0]);
    let bits = words([0, 0, 0, 768]);
    let mut w = [[mark, mark, mark, bits]; N];
    for n in 0..N {
        w[n][0] = last[n][0];
        w[n][1] = last[n][1];
    }
    rounds256(key, w)
}

#[cfg(feature = "dictionary")]
#[target_feature(enable = "neon,sha2")]
fn sha256_columns<const N: usize>(columns: &mut [[u32; N]; 8], block: &[[u32; N]; 16]) {
    let none = words([0; 4]);
    let (mut before, mut w) = ([[none; 2]; N], [[none; 4]; N]);
    for n in 0..N {
        before[n] = state256(columns.map(|row| row[n]));
        let (quads, _) = block.as_chunks::<4>();
        for (quad, rows) in w[n].iter_mut().zip(quads) {
            *quad = words(rows.map(|row| row[n]));
        }
    }
    let after = rounds256(&before, w);
    for n in 0..N {
        for (row, word) in columns.iter_mut().zip(words256(after[n])) {
            row[n] = word;
        }
    }
}

/// A compression of each state.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn rounds256<const N: usize>(before: &[State256; N], mut w: [[uint32x4_t; 4]; N]) -> [State256; N] {
    let mut state = *before;
    for quad in 0..16 {
        let at = 4 * quad;
        let constants = words([K256[at], K256[at + 1], K256[at + 2], K256[at + 3]]);
        for n in 0..N {
            let w = &mut w[n];
            if quad >= 4 {
                let sum = vsha256su0q_u32(w[quad % 4], w[(quad + 1) % 4]);
                w[quad % 4] = vsha256su1q_u32(sum, w[(quad + 2) % 4], w[(quad + 3) % 4]);
            }
            let message = vaddq_u32(w[quad % 4], constants);
            let [abcd, efgh] = state[n];
            state[n] = [vsha256hq_u32(abcd, efgh, message), vsha256h2q_u32(efgh, abcd, message)];
        }
    }
    for n in 0..N {
        state[n] = [vaddq_u32(state[n][0], before[n][0]), vaddq_u32(state[n][1], before[n][1])];
    }
    state
}

/// The words a to d of the state, and e.
type State1 = (uint32x4_t, u32);

#[target_feature(enable = "neon,sha2")]
fn sha1_loop<const N: usize>(chains: [&Chain<u32, 5>; N], iterations: u32) -> [[u32; 5]; N] {
    let none = (words([0; 4]), 0);
    let (mut inner, mut outer, mut last) = ([none; N], [none; N], [none; N]);
    for n in 0..N {
        inner[n] = state1(chains[n].inner);
        outer[n] = state1(chains[n].outer);
        last[n] = state1(chains[n].first);
    }
    let mut sum = last;
    for _ in 1..iterations {
        last = sha1_output(&inner, last);
        last = sha1_output(&outer, last);
        for n in 0..N {
            sum[n] = (veorq_u32(sum[n].0, last[n].0), sum[n].1 ^ last[n].1);
        }
    }
    let mut out = [[0; 5]; N];
    for n in 0..N {
        let [a, b, c, d] = array(sum[n].0);
        out[n] = [a, b, c, d, sum[n].1];
    }
    out
}

#[inline]
#[target_feature(enable = "neon")]
fn state1([a, b, c, d, e]: [u32; 5]) -> State1 {
    (words([a, b, c, d]), e)
}

/// The compression of an output under one half of the key.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn sha1_output<const N: usize>(key: &[State1; N], last: [State1; N]) -> [State1; N] {
    const CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];
    let none = words([0; 4]);
    let mut w = [[none; 4]; N];
    for n in 0..N {
        // The end mark, and the length, 84 octets.
        w[n] = [last[n].0, words([last[n].1, 0x8000_0000, 0, 0]), none, words([0, 0, 0, 672])];
    }
    let mut state = *key;
    for quad in 0..20 {
        let constants = vdupq_n_u32(CONSTANTS[quad / 5]);
        for n in 0..N {
            let w = &mut w[n];
            if quad >= 4 {
                let sum = vsha1su0q_u32(w[quad % 4], w[(quad + 1) % 4], w[(quad + 2) % 4]);
                w[quad % 4] = vsha1su1q_u32(sum, w[(quad + 3) % 4]);
            }
            let message = vaddq_u32(w[quad % 4], constants);
            let (abcd, e) = state[n];
            let next = match quad / 5 {
                0 => vsha1cq_u32(abcd, e, message),
                2 => vsha1mq_u32(abcd, e, message),
                _ => vsha1pq_u32(abcd, e, message),
            };
            state[n] = (next, vsha1h_u32(vgetq_lane_u32::<0>(abcd)));
        }
    }
    for n in 0..N {
        state[n] = (vaddq_u32(state[n].0, key[n].0), state[n].1.wrapping_add(key[n].1));
    }
    state
}
