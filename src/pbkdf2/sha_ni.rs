//! SHA-1 and SHA-256 on the SHA instructions of x86-64, `N` passwords interleaved: one for a login, more for a dictionary.
//!
//! A round needs the result of the one before, so one password leaves the unit idle most of the time; its time is
//! the latency of the rounds and nothing else, because the words of an output become those of the next message
//! without leaving the registers. A second and a third password fill the gaps.
//!
//! Unsafe is only the call of functions that are compiled for these instructions; the processor is asked first. They
//! take no pointers.
#![allow(unsafe_code, reason = "calls of functions for a processor feature that is asked for first")]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

use super::Chain;
use super::constants::K256;

/// How one, two and three passwords at once are called in reports.
#[cfg(feature = "dictionary")]
pub(crate) const NAMES: [&str; 3] = ["SHA-NI x1", "SHA-NI x2", "SHA-NI x3"];

/// Whether this processor has what the functions here need.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1")
}

/// T_1 of each chain.
///
/// # Panics
/// When the instructions are not [`available`].
pub(crate) fn sha1<const N: usize>(chains: [&Chain<u32, 5>; N], iterations: u32) -> [[u32; 5]; N] {
    assert!(available());
    clear_upper_halves();
    // SAFETY: the processor has what the function is compiled for.
    unsafe { sha1_loop(chains, iterations) }
}

/// T_1 of each chain.
///
/// # Panics
/// When the instructions are not [`available`].
pub(crate) fn sha256<const N: usize>(chains: [&Chain<u32, 8>; N], iterations: u32) -> [[u32; 8]; N] {
    assert!(available());
    clear_upper_halves();
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
    clear_upper_halves();
    // SAFETY: the processor has what the function is compiled for.
    unsafe { sha256_columns(state, block) }
}

/// The SHA instructions exist only in the old encoding. Run while the upper halves of the vector registers are in use,
/// each of them waits for those.
fn clear_upper_halves() {
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX; the calling convention keeps nothing in the upper halves across a call.
        unsafe { _mm256_zeroupper() }
    }
}

/// The state of SHA-256 as the instructions want it: f, e, b, a and h, g, d, c from the lowest word up.
type State256 = [__m128i; 2];

#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn state256([a, b, c, d, e, f, g, h]: [u32; 8]) -> State256 {
    [words([f, e, b, a]), words([h, g, d, c])]
}

#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn words256(state: State256) -> [u32; 8] {
    let [[f, e, b, a], [h, g, d, c]] = state.map(|half| {
        [
            _mm_extract_epi32::<0>(half),
            _mm_extract_epi32::<1>(half),
            _mm_extract_epi32::<2>(half),
            _mm_extract_epi32::<3>(half),
        ]
    });
    [a, b, c, d, e, f, g, h].map(i32::cast_unsigned)
}

/// Lowest first.
#[inline]
#[target_feature(enable = "sse2")]
fn words([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_setr_epi32(a.cast_signed(), b.cast_signed(), c.cast_signed(), d.cast_signed())
}

#[target_feature(enable = "sha,sse4.1")]
fn sha256_loop<const N: usize>(chains: [&Chain<u32, 8>; N], iterations: u32) -> [[u32; 8]; N] {
    let none = [_mm_setzero_si128(); 2];
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
            sum[n][0] = _mm_xor_si128(sum[n][0], last[n][0]);
            sum[n][1] = _mm_xor_si128(sum[n][1], last[n][1]);
        }
    }
    let mut out = [[0; 8]; N];
    for n in 0..N {
        out[n] = words256(sum[n]);
    }
    out
}

/// The words w_4i to w_4i+3 of the constants.
macro_rules! constants256 {
    ($quad:expr) => {{
        const AT: usize = 4 * $quad;
        words([K256[AT], K256[AT + 1], K256[AT + 2], K256[AT + 3]])
    }};
}

/// Four rounds of each state with w_4i to w_4i+3, constants added.
macro_rules! rounds256 {
    ($state:ident, $n:ident => $message:expr) => {
        for $n in 0..N {
            let message = $message;
            let [abef, cdgh] = &mut $state[$n];
            *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, message);
            *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(message));
        }
    };
}

/// Rounds 16 to 63; `w` are the first sixteen words.
macro_rules! later_rounds256 {
    ($state:ident, $w:ident, $($quad:literal)*) => {
        $(
            for n in 0..N {
                let w = &mut $w[n];
                let (last, before) = (w[($quad + 3) % 4], w[($quad + 2) % 4]);
                let sum = _mm_add_epi32(
                    _mm_sha256msg1_epu32(w[$quad % 4], w[($quad + 1) % 4]),
                    _mm_alignr_epi8::<4>(last, before),
                );
                w[$quad % 4] = _mm_sha256msg2_epu32(sum, last);
            }
            rounds256!($state, n => _mm_add_epi32($w[n][$quad % 4], constants256!($quad)));
        )*
    };
}

/// The compression of an output under one half of the key.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha256_output<const N: usize>(key: &[State256; N], last: [State256; N]) -> [State256; N] {
    // What follows the output in its block: the end mark and the length, 96 octets.
    const MARK: u32 = 0x8000_0000;
    const BITS: u32 = 768;
    let mut w =
        [[words([MARK, 0, 0, 0]), _mm_setzero_si128(), _mm_setzero_si128(), words([0, 0, 0, BITS])]; N];
    for n in 0..N {
        let [feba, hgdc] = last[n];
        w[n][2] = w[n][0];
        w[n][0] = _mm_shuffle_epi32::<0xb1>(_mm_unpackhi_epi64(feba, hgdc));
        w[n][1] = _mm_shuffle_epi32::<0xb1>(_mm_unpacklo_epi64(feba, hgdc));
    }
    let mut state = *key;
    rounds256!(state, n => _mm_add_epi32(w[n][0], constants256!(0)));
    rounds256!(state, n => _mm_add_epi32(w[n][1], constants256!(1)));
    rounds256!(state, n => words([K256[8].wrapping_add(MARK), K256[9], K256[10], K256[11]]));
    rounds256!(state, n => words([K256[12], K256[13], K256[14], K256[15].wrapping_add(BITS)]));
    later_rounds256!(state, w, 4 5 6 7 8 9 10 11 12 13 14 15);
    for n in 0..N {
        state[n][0] = _mm_add_epi32(state[n][0], key[n][0]);
        state[n][1] = _mm_add_epi32(state[n][1], key[n][1]);
    }
    state
}

#[cfg(feature = "dictionary")]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha256_columns<const N: usize>(columns: &mut [[u32; N]; 8], block: &[[u32; N]; 16]) {
    let none = _mm_setzero_si128();
    let (mut before, mut w) = ([[none; 2]; N], [[none; 4]; N]);
    for n in 0..N {
        before[n] = state256(columns.map(|row| row[n]));
        let (quads, _) = block.as_chunks::<4>();
        for (quad, rows) in w[n].iter_mut().zip(quads) {
            *quad = words(rows.map(|row| row[n]));
        }
    }
    let mut state = before;
    rounds256!(state, n => _mm_add_epi32(w[n][0], constants256!(0)));
    rounds256!(state, n => _mm_add_epi32(w[n][1], constants256!(1)));
    rounds256!(state, n => _mm_add_epi32(w[n][2], constants256!(2)));
    rounds256!(state, n => _mm_add_epi32(w[n][3], constants256!(3)));
    later_rounds256!(state, w, 4 5 6 7 8 9 10 11 12 13 14 15);
    for n in 0..N {
        state[n][0] = _mm_add_epi32(state[n][0], before[n][0]);
        state[n][1] = _mm_add_epi32(state[n][1], before[n][1]);
        for (row, word) in columns.iter_mut().zip(words256(state[n])) {
            row[n] = word;
        }
    }
}

/// The state of SHA-1: d, c, b, a from the lowest word up, and e in the highest word of the second register.
type State1 = [__m128i; 2];

/// What stands below e while it is also the second quarter of a block: the end mark after an output.
#[inline]
#[target_feature(enable = "sse2")]
fn state1([a, b, c, d, e]: [u32; 5]) -> State1 {
    [words([d, c, b, a]), words([0, 0, 0x8000_0000, e])]
}

#[target_feature(enable = "sha,sse4.1")]
fn sha1_loop<const N: usize>(chains: [&Chain<u32, 5>; N], iterations: u32) -> [[u32; 5]; N] {
    let none = [_mm_setzero_si128(); 2];
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
            sum[n][0] = _mm_xor_si128(sum[n][0], last[n][0]);
            sum[n][1] = _mm_xor_si128(sum[n][1], last[n][1]);
        }
    }
    let mut out = [[0; 5]; N];
    for n in 0..N {
        let [dcba, e] = sum[n];
        out[n] = [
            _mm_extract_epi32::<3>(dcba),
            _mm_extract_epi32::<2>(dcba),
            _mm_extract_epi32::<1>(dcba),
            _mm_extract_epi32::<0>(dcba),
            _mm_extract_epi32::<3>(e),
        ]
        .map(i32::cast_unsigned);
    }
    out
}

/// Four rounds with the message words given; `$before` holds a of four rounds ago, which gives e.
macro_rules! rounds1 {
    ($state:ident, $before:ident, $quad:expr, $n:ident => $message:expr) => {
        for $n in 0..N {
            let e = _mm_sha1nexte_epu32($before[$n], $message);
            $before[$n] = $state[$n];
            $state[$n] = _mm_sha1rnds4_epu32::<{ $quad / 5 }>($state[$n], e);
        }
    };
}

/// Rounds 16 to 79; `$w` keeps the last eight quarters.
///
/// From round 32 on w_t is also the sum of w_t-6, w_t-16, w_t-28 and w_t-32, turned by two: none of them is of the same
/// quarter. Where `sha1msg2` is slow (Intel, 5 cycles each) one password does not wait for it then; several
/// fill its time, and have no registers for more.
macro_rules! later_rounds1 {
    ($state:ident, $before:ident, $w:ident, $($quad:literal)*) => {
        $(
            for n in 0..N {
                let w = &mut $w[n];
                w[$quad % 8] = if N == 1 && $quad >= 8 {
                    let older = _mm_xor_si128(w[($quad + 4) % 8], _mm_xor_si128(w[($quad + 1) % 8], w[$quad % 8]));
                    turned_by_2(_mm_xor_si128(
                        _mm_alignr_epi8::<8>(w[($quad + 6) % 8], w[($quad + 7) % 8]),
                        older,
                    ))
                } else {
                    let sum = _mm_xor_si128(
                        _mm_sha1msg1_epu32(w[($quad + 4) % 8], w[($quad + 5) % 8]),
                        w[($quad + 6) % 8],
                    );
                    _mm_sha1msg2_epu32(sum, w[($quad + 7) % 8])
                };
            }
            rounds1!($state, $before, $quad, n => $w[n][$quad % 8]);
        )*
    };
}

#[inline]
#[target_feature(enable = "sse2")]
fn turned_by_2(vector: __m128i) -> __m128i {
    _mm_or_si128(_mm_slli_epi32::<2>(vector), _mm_srli_epi32::<30>(vector))
}

/// The compression of an output under one half of the key.
///
/// An output is the first five words of the block as it stands: the state's own order is that of the message.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha1_output<const N: usize>(key: &[State1; N], last: [State1; N]) -> [State1; N] {
    // The length of what is hashed, 84 octets, is the lowest word of the last quarter.
    let bits = words([672, 0, 0, 0]);
    let e_alone = words([0, 0, 0, u32::MAX]);
    let none = _mm_setzero_si128();
    let (mut state, mut before, mut w) = ([none; N], [none; N], [[none; 8]; N]);
    for n in 0..N {
        w[n] = [last[n][0], last[n][1], none, bits, none, none, none, none];
        // The first four rounds take e as it is.
        let e = _mm_add_epi32(_mm_and_si128(key[n][1], e_alone), w[n][0]);
        before[n] = key[n][0];
        state[n] = _mm_sha1rnds4_epu32::<0>(key[n][0], e);
    }
    rounds1!(state, before, 1, n => w[n][1]);
    rounds1!(state, before, 2, n => none);
    rounds1!(state, before, 3, n => bits);
    later_rounds1!(state, before, w, 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    let mut output = *key;
    for n in 0..N {
        // Adds the key's e to the last one, and keeps the mark below it.
        output[n] = [_mm_add_epi32(state[n], key[n][0]), _mm_sha1nexte_epu32(before[n], key[n][1])];
    }
    output
}
