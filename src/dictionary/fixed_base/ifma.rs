//! Eight guesses at once: AVX-512 IFMA multiplies eight pairs of 52-bit limbs in an instruction.
//!
//! Montgomery multiplication with R = 2^(52*n), at least 4N, in the form that never subtracts N: factors below 2N give a
//! product below 2N, so only the last comparison has two values to look for. A limb stands in a lane of 64 bits; what it
//! gathers beyond 52 is carried once, at the end of a multiplication: n rounds add less than 2^54 each.
//!
//! Unsafe are only loads and stores of whole vectors, prefetches, and the calls of functions that are compiled for these
//! instructions, before which the processor is asked.
#![allow(unsafe_code, reason = "loads, stores, and calls for a processor feature that is asked for first")]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

use super::digits;
use crate::srp::Group;
use crate::srp::group::{Arithmetic, Fastest};

const LANES: usize = 8;
const LIMB_BITS: usize = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;
/// Octets of a cache line.
const LINE: usize = 64;

/// Limb by limb, a value in each lane.
type Columns = Vec<[u64; LANES]>;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
}

/// Octets of an entry.
pub(super) fn entry_len(group: Group) -> usize {
    limbs(group) * 8
}

/// Limbs of a value below R, which is at least 4N.
fn limbs(group: Group) -> usize {
    (group.bits() as usize + 2).div_ceil(LIMB_BITS)
}

pub(super) struct Tables {
    modulus: Modulus,
    windows: usize,
    window: u32,
    entries: Vec<u64>,
}

/// v in Montgomery form, and v + N.
pub(super) struct Target([Vec<u64>; 2]);

impl Tables {
    pub(super) fn new(group: Group, windows: usize, window: u32) -> Self {
        let modulus = Modulus::new(group);
        let count = 1_usize << window;
        let mut entries = Vec::with_capacity((windows * modulus.limbs.len()) << window);
        // g^(2^(w*j))
        let mut base = modulus.montgomery(&[group.generator()]);
        let one = modulus.montgomery(&[1]);
        for _ in 0..windows {
            // Eight powers in a row, and from there eight at a time.
            let mut powers = vec![one.clone()];
            for i in 0..LANES {
                powers.push(modulus.product(&powers[i], &base));
            }
            let step = modulus.everywhere(&powers[LANES]);
            let mut columns = modulus.columns(powers[..LANES].iter().map(Vec::as_slice));
            for first in (0..count).step_by(LANES) {
                for lane in 0..LANES.min(count - first) {
                    entries.extend(columns.iter().map(|row| row[lane]));
                }
                modulus.multiply(&mut columns, &step);
            }
            for _ in 0..window {
                base = modulus.product(&base, &base);
            }
        }
        Self { modulus, windows, window, entries }
    }

    pub(super) fn target(&self, verifier: &[u8]) -> Target {
        Target(self.modulus.both_forms(self.modulus.montgomery(verifier)))
    }

    pub(super) fn find(&self, target: &Target, exponents: &[&[u8]]) -> Option<usize> {
        let len = self.modulus.limbs.len();
        let mut power = vec![[0; LANES]; len];
        let mut factor = power.clone();
        let mut all_digits = vec![[0; LANES]; self.windows];
        for (batch, eight) in exponents.chunks(LANES).enumerate() {
            for (lane, exponent) in eight.iter().enumerate() {
                for (row, digit) in all_digits.iter_mut().zip(digits(exponent, self.window, self.windows)) {
                    row[lane] = digit;
                }
            }
            self.prefetch(0, &all_digits);
            for (j, digits) in all_digits.iter().enumerate() {
                // The next entries come from memory while this multiplication runs.
                self.prefetch(j + 1, &all_digits);
                let into = if j == 0 { &mut power } else { &mut factor };
                for (lane, digit) in digits.iter().enumerate() {
                    for (row, limb) in into.iter_mut().zip(self.entry(j, *digit)) {
                        row[lane] = *limb;
                    }
                }
                if j != 0 {
                    self.modulus.multiply(&mut power, &factor);
                }
            }
            let hit = (0..eight.len()).find(|lane| {
                let is = |form: &Vec<u64>| power.iter().zip(form).all(|(row, limb)| row[*lane] == *limb);
                target.0.iter().any(is)
            });
            if let Some(lane) = hit {
                return Some(batch * LANES + lane);
            }
        }
        None
    }

    fn entry(&self, j: usize, digit: usize) -> &[u64] {
        let len = self.modulus.limbs.len();
        let at = ((j << self.window) + digit) * len;
        &self.entries[at..at + len]
    }

    /// Asks for the entries of window `j`, if there is one.
    fn prefetch(&self, j: usize, all_digits: &[[usize; LANES]]) {
        for digit in all_digits.get(j).into_iter().flatten() {
            for line in self.entry(j, *digit).chunks(LINE / size_of::<u64>()) {
                // SAFETY: SSE is part of x86-64, and a prefetch has no effect but on time.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
            }
        }
    }
}

struct Modulus {
    /// N.
    limbs: Vec<u64>,
    /// -1/N mod 2^52.
    inverse: u64,
    /// R^2 mod N, which brings a value into Montgomery form.
    square: Vec<u64>,
}

impl Modulus {
    fn new(group: Group) -> Self {
        let len = limbs(group);
        let limbs = limbs_of(group.modulus(), len);
        // Newton's iteration doubles the correct bits; an odd number is its own inverse modulo 8.
        let inverse = (0..5).fold(limbs[0], |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(limbs[0].wrapping_mul(inverse)))
        });
        let arithmetic = Fastest::new(group.modulus());
        let mut square = vec![0; group.modulus().len()];
        let exponent = (2 * LIMB_BITS * len) as u64;
        let power = arithmetic.power(&arithmetic.residue(&[2]), &exponent.to_be_bytes());
        arithmetic.octets(&power, &mut square);
        Self { square: limbs_of(&square, len), inverse: inverse.wrapping_neg() & LIMB_MASK, limbs }
    }

    /// From a value below N, big-endian.
    fn montgomery(&self, value: &[u8]) -> Vec<u64> {
        self.product(&limbs_of(value, self.limbs.len()), &self.square)
    }

    /// The two values below 2N that stand for the same residue, given one of them.
    fn both_forms(&self, value: Vec<u64>) -> [Vec<u64>; 2] {
        let step = |by: fn(u64, u64, u64) -> u64| {
            let mut carry = 0;
            let limbs = value.iter().zip(&self.limbs).map(|(limb, n)| {
                let sum = by(*limb, *n, carry);
                // The top bit of a difference is its borrow, a bit above the limb the carry of a sum.
                carry = (sum >> LIMB_BITS) & 1;
                sum & LIMB_MASK
            });
            let limbs = limbs.collect::<Vec<_>>();
            (limbs, carry)
        };
        let (smaller, borrow) = step(|limb, n, borrow| limb.wrapping_sub(n).wrapping_sub(borrow));
        let (larger, _) = step(|limb, n, carry| limb + n + carry);
        if borrow == 0 { [smaller, value] } else { [value, larger] }
    }

    fn product(&self, a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut columns = self.everywhere(a);
        self.multiply(&mut columns, &self.everywhere(b));
        columns.iter().map(|row| row[0]).collect()
    }

    fn everywhere(&self, value: &[u64]) -> Columns {
        value.iter().map(|limb| [*limb; LANES]).collect()
    }

    fn columns<'a>(&self, values: impl Iterator<Item = &'a [u64]>) -> Columns {
        let mut columns = vec![[0; LANES]; self.limbs.len()];
        for (lane, value) in values.enumerate() {
            for (row, limb) in columns.iter_mut().zip(value) {
                row[lane] = *limb;
            }
        }
        columns
    }

    /// product = product * factor / R, in each lane.
    fn multiply(&self, product: &mut Columns, factor: &Columns) {
        assert!(available());
        // The number of limbs of each group, so that the compiler knows all lengths.
        match self.limbs.len() {
            20 => self.multiply_limbs::<20>(product, factor),
            25 => self.multiply_limbs::<25>(product, factor),
            30 => self.multiply_limbs::<30>(product, factor),
            40 => self.multiply_limbs::<40>(product, factor),
            60 => self.multiply_limbs::<60>(product, factor),
            79 => self.multiply_limbs::<79>(product, factor),
            119 => self.multiply_limbs::<119>(product, factor),
            158 => self.multiply_limbs::<158>(product, factor),
            len => unreachable!("no group has {len} limbs"),
        }
    }

    fn multiply_limbs<const LEN: usize>(&self, product: &mut Columns, factor: &Columns) {
        const LENGTHS: &str = "both as long as the modulus";
        let product = product.as_mut_array::<LEN>().expect(LENGTHS);
        let factor = factor.as_array().expect(LENGTHS);
        let modulus = self.limbs.as_array().expect(LENGTHS);
        // SAFETY: the processor has what the function is compiled for.
        unsafe { multiply(product, factor, modulus, self.inverse) }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply<const LEN: usize>(
    product: &mut [[u64; LANES]; LEN],
    factor: &[[u64; LANES]; LEN],
    modulus: &[u64; LEN],
    inverse: u64,
) {
    let zero = _mm512_setzero_si512();
    let inverse = splat(inverse);
    let mut sum = [zero; LEN];
    for limb in factor {
        let b = load(limb);
        // What makes the lowest limb a multiple of 2^52.
        let (mut a_before, mut n_before) = (load(&product[0]), splat(modulus[0]));
        let lowest = _mm512_madd52lo_epu64(sum[0], a_before, b);
        let m = _mm512_madd52lo_epu64(zero, lowest, inverse);
        let lowest = _mm512_madd52lo_epu64(lowest, n_before, m);
        let mut carry = _mm512_srli_epi64::<{ LIMB_BITS as u32 }>(lowest);
        // A limb down on the way: the high halves of the limb before, the low ones of this.
        for j in 1..LEN {
            let (a, n) = (load(&product[j]), splat(modulus[j]));
            let low = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(sum[j], a, b), n, m);
            let high = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(carry, a_before, b), n_before, m);
            sum[j - 1] = _mm512_add_epi64(low, high);
            (a_before, n_before, carry) = (a, n, zero);
        }
        sum[LEN - 1] = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(carry, a_before, b), n_before, m);
    }
    let mut carry = zero;
    let mask = splat(LIMB_MASK);
    for (limb, sum) in product.iter_mut().zip(sum) {
        let total = _mm512_add_epi64(sum, carry);
        store(_mm512_and_si512(total, mask), limb);
        carry = _mm512_srli_epi64::<{ LIMB_BITS as u32 }>(total);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(limb: u64) -> __m512i {
    _mm512_set1_epi64(limb.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(limbs: &[u64; LANES]) -> __m512i {
    // SAFETY: the array has the size of a vector; the load needs no alignment.
    unsafe { _mm512_loadu_si512(limbs.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i, limbs: &mut [u64; LANES]) {
    // SAFETY: the array has the size of a vector; the store needs no alignment.
    unsafe { _mm512_storeu_si512(limbs.as_mut_ptr().cast(), vector) }
}

/// Least significant limb first, from big-endian octets.
fn limbs_of(octets: &[u8], len: usize) -> Vec<u64> {
    let mut limbs = vec![0; len];
    for (at, octet) in octets.iter().rev().enumerate() {
        let (limb, shift) = (8 * at / LIMB_BITS, 8 * at % LIMB_BITS);
        limbs[limb] |= u64::from(*octet) << shift & LIMB_MASK;
        if shift > LIMB_BITS - 8 && limb + 1 < len {
            limbs[limb + 1] |= u64::from(*octet) >> (LIMB_BITS - shift);
        }
    }
    limbs
}
