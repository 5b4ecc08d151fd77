//! Elligator2 for Curve25519 (RFC 9380 section 6.7.1 with Z = 2), u-coordinate only.
//!
//! curve25519-dalek keeps its field to itself and hashes in its own way before it maps, so the map stands here,
//! on a field of five 51-bit limbs. No branch and no index depends on the input.

use std::ops::{Add, Mul};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Maps 32 octets, little-endian with bit 255 ignored, to the u-coordinate of a point of the curve.
pub(super) fn map_to_curve(octets: &[u8; 32]) -> [u8; 32] {
    let r = Fe::from_octets(octets);
    // u1 = -A/d and u2 = -A*t/d, where t = Z*r^2 and d = 1 + t; exactly one of them is on the curve.
    let t = r * r + r * r;
    let d = Fe::ONE + t;
    // g(u1) * d^4 = n * d, where g(u) = u^3 + A*u^2 + u. Neither factor is ever zero: -1/2 and A^2 - 4 have no
    // square root.
    let n = Fe::MINUS_A * (d * d + Fe::MINUS_A_SQUARED * t);
    let w = n * d;
    // One power serves twice: w^((p-1)/2) = c^4 * w^2 says whether u1 is on the curve, 1/w = c^8 * w^3.
    let c = w.power_p58();
    let c4 = c.squared(2);
    let w2 = w * w;
    let first = (c4 * w2).ct_eq(&Fe::ONE);
    let inverse_of_d = n * c4.squared(1) * w2 * w;
    let numerator = Fe::conditional_select(&(Fe::MINUS_A * t), &Fe::MINUS_A, first);
    (numerator * inverse_of_d).to_octets()
}

const MASK: u64 = (1 << 51) - 1;

/// A = 486662, the coefficient of Curve25519 (RFC 7748 section 4.1).
const A: u64 = 486_662;

/// An element of the field of 2^255 - 19 elements. Limbs stay below 2^54 between operations.
#[derive(Clone, Copy)]
struct Fe([u64; 5]);

impl Fe {
    const ONE: Self = Self([1, 0, 0, 0, 0]);
    const MINUS_A: Self = Self([MASK - 18 - A, MASK, MASK, MASK, MASK]);
    const MINUS_A_SQUARED: Self = Self([MASK - 18 - A * A, MASK, MASK, MASK, MASK]);

    fn from_octets(octets: &[u8; 32]) -> Self {
        let (words, _) = octets.as_chunks::<8>();
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]));
        Self([a, a >> 51 | b << 13, b >> 38 | c << 26, c >> 25 | d << 39, d >> 12].map(|limb| limb & MASK))
    }

    /// The one encoding below p.
    fn to_octets(self) -> [u8; 32] {
        let [mut a, mut b, mut c, mut d, mut e] = Self::carried(self.0.map(u128::from)).0;
        // The quotient by p is 0 or 1: whether adding 19 reaches 2^255.
        let quotient = [b, c, d, e].into_iter().fold((a + 19) >> 51, |carry, limb| (limb + carry) >> 51);
        a += 19 * quotient;
        b += a >> 51;
        c += b >> 51;
        d += c >> 51;
        e += d >> 51;
        let [a, b, c, d, e] = [a, b, c, d, e].map(|limb| limb & MASK);
        let words = [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12];
        let mut octets = [0; 32];
        for (octets, word) in octets.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *octets = word.to_le_bytes();
        }
        octets
    }

    /// Brings limbs below 2^122 down to about 51 bits.
    fn carried(mut limbs: [u128; 5]) -> Self {
        for _ in 0..2 {
            for i in 0..5 {
                let carry = limbs[i] >> 51;
                limbs[i] &= u128::from(MASK);
                // 2^255 = 19 modulo p.
                limbs[(i + 1) % 5] += if i == 4 { 19 * carry } else { carry };
            }
        }
        Self(limbs.map(|limb| limb as u64))
    }

    /// self^(2^times)
    fn squared(self, times: u32) -> Self {
        (0..times).fold(self, |x, _| x * x)
    }

    /// self^((p - 5) / 8), where (p - 5) / 8 = 2^252 - 3.
    fn power_p58(self) -> Self {
        // Each name tells how many one-bits its exponent has.
        let ones2 = self.squared(1) * self;
        let ones4 = ones2.squared(2) * ones2;
        let ones5 = ones4.squared(1) * self;
        let ones10 = ones5.squared(5) * ones5;
        let ones20 = ones10.squared(10) * ones10;
        let ones40 = ones20.squared(20) * ones20;
        let ones50 = ones40.squared(10) * ones10;
        let ones100 = ones50.squared(50) * ones50;
        let ones200 = ones100.squared(100) * ones100;
        let ones250 = ones200.squared(50) * ones50;
        ones250.squared(2) * self
    }
}

impl Add for Fe {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Mul for Fe {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let a = self.0.map(u128::from);
        let b = other.0.map(u128::from);
        let c = b.map(|limb| 19 * limb);
        Self::carried([
            a[0] * b[0] + a[1] * c[4] + a[2] * c[3] + a[3] * c[2] + a[4] * c[1],
            a[0] * b[1] + a[1] * b[0] + a[2] * c[4] + a[3] * c[3] + a[4] * c[2],
            a[0] * b[2] + a[1] * b[1] + a[2] * b[0] + a[3] * c[4] + a[4] * c[3],
            a[0] * b[3] + a[1] * b[2] + a[2] * b[1] + a[3] * b[0] + a[4] * c[4],
            a[0] * b[4] + a[1] * b[3] + a[2] * b[2] + a[3] * b[1] + a[4] * b[0],
        ])
    }
}

impl ConstantTimeEq for Fe {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.to_octets().ct_eq(&other.to_octets())
    }
}

impl ConditionallySelectable for Fe {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(std::array::from_fn(|i| u64::conditional_select(&a.0[i], &b.0[i], choice)))
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::montgomery::MontgomeryPoint;
    use hex_literal::hex;

    use super::*;

    const P: [u8; 32] = hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");

    fn plus(mut octets: [u8; 32], small: u8) -> [u8; 32] {
        octets[0] += small;
        octets
    }

    #[test]
    fn octets_come_back_reduced() {
        assert_eq!(Fe::from_octets(&P).to_octets(), [0; 32]);
        assert_eq!(Fe::from_octets(&plus(P, 18)).to_octets(), plus([0; 32], 18));
        let mut below = P;
        below[0] -= 1;
        assert_eq!(Fe::from_octets(&below).to_octets(), below);
        assert_eq!(Fe::from_octets(&[0xff; 32]).to_octets(), plus([0; 32], 18), "bit 255 is ignored");
    }

    #[test]
    fn the_constants_are_the_negatives_of_a_and_its_square() {
        let a = Fe([A, 0, 0, 0, 0]);
        assert_eq!((a + Fe::MINUS_A).to_octets(), [0; 32]);
        assert_eq!((a * a + Fe::MINUS_A_SQUARED).to_octets(), [0; 32]);
    }

    #[test]
    fn limbs_at_their_bound_do_not_overflow() {
        let large = Fe([(1 << 54) - 1; 5]);
        let reduced = Fe::from_octets(&large.to_octets());
        assert_eq!((large * large).to_octets(), (reduced * reduced).to_octets());
    }

    #[test]
    fn every_value_lands_on_the_curve_and_has_its_negative_as_twin() {
        for seed in 0..64u8 {
            let r = std::array::from_fn(|i| seed.wrapping_mul(101).wrapping_add(i as u8 * 7));
            let u = map_to_curve(&r);
            assert!(MontgomeryPoint(u).to_edwards(0).is_some(), "{seed}");
            let minus_r = Fe::from_octets(&r) * (Fe::from_octets(&P.map(|o| o ^ u8::from(o == 0xed))));
            assert_eq!(map_to_curve(&minus_r.to_octets()), u, "{seed}");
        }
    }

    #[test]
    fn zero_maps_to_zero() {
        // u1 = -A is not on the curve, and u2 = -A * 0.
        assert_eq!(map_to_curve(&[0; 32]), [0; 32]);
    }
}
