//! edwards25519, with points and scalars encoded as in RFC 8032.

use std::sync::LazyLock;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable};
use curve25519_dalek::traits::{BasepointTable as _, IsIdentity as _};
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Group, SCALAR_LEN, Sealed};
use crate::error::{Error, Result};
use crate::spake2plus::rules;

/// The curve edwards25519 (RFC 7748 section 4.1), with h = 8.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, not a value")]
pub struct Edwards25519;

const SHARE_LEN: usize = 32;

static M_TABLE: LazyLock<EdwardsBasepointTable> = LazyLock::new(|| table(&Edwards25519::M));
static N_TABLE: LazyLock<EdwardsBasepointTable> = LazyLock::new(|| table(&Edwards25519::N));

fn table(base: &[u8; SHARE_LEN]) -> EdwardsBasepointTable {
    EdwardsBasepointTable::create(&Edwards25519::parse_point(base).expect("M and N are points of the curve"))
}

impl Sealed for Edwards25519 {}

impl Group for Edwards25519 {
    type Share = [u8; SHARE_LEN];
    type Scalar = Scalar;
    type Point = EdwardsPoint;

    const SHARE_LEN: usize = SHARE_LEN;
    const RECORD_FORMAT: u8 = 2;

    const M: [u8; SHARE_LEN] = [
        0xd0, 0x48, 0x03, 0x2c, 0x6e, 0xa0, 0xb6, 0xd6, 0x97, 0xdd, 0xc2, 0xe8, 0x6b, 0xda, 0x85, 0xa3, 0x3a,
        0xda, 0xc9, 0x20, 0xf1, 0xbf, 0x18, 0xe1, 0xb0, 0xc6, 0xd1, 0x66, 0xa5, 0xce, 0xcd, 0xaf,
    ];

    const N: [u8; SHARE_LEN] = [
        0xd3, 0xbf, 0xb5, 0x18, 0xf4, 0x4f, 0x34, 0x30, 0xf2, 0x9d, 0x0c, 0x92, 0xaf, 0x50, 0x38, 0x65, 0xa1,
        0xed, 0x32, 0x81, 0xdc, 0x69, 0xb3, 0x5d, 0xd8, 0x68, 0xba, 0x85, 0xf8, 0x86, 0xc4, 0xab,
    ];

    fn parse_scalar(octets: &[u8; SCALAR_LEN]) -> Option<Scalar> {
        Scalar::from_canonical_bytes(*octets).into_option()
    }

    fn encode_scalar(scalar: &Scalar) -> Zeroizing<[u8; SCALAR_LEN]> {
        Zeroizing::new(scalar.to_bytes())
    }

    fn random_scalar(rng: &mut (impl CryptoRng + ?Sized)) -> Zeroizing<Scalar> {
        let mut octets = Zeroizing::new([0; SCALAR_LEN]);
        loop {
            rng.fill_bytes(octets.as_mut_slice());
            // 252 bits are always below the order, so that no draw is refused but zero.
            octets[31] &= 0x0f;
            if let Some(scalar) = Self::parse_scalar(&octets).filter(|scalar| *scalar != Scalar::ZERO) {
                return Zeroizing::new(scalar);
            }
        }
    }

    fn reduce(octets: &[u8; 40]) -> Scalar {
        let mut wide = Zeroizing::new([0; 64]);
        wide[..40].copy_from_slice(octets);
        wide[..40].reverse();
        Scalar::from_bytes_mod_order_wide(&wide)
    }

    /// Points outside the prime-order subgroup pass: [`Group::times_cofactor`] takes their other part away.
    fn parse_point(octets: &[u8]) -> Result<EdwardsPoint> {
        CompressedEdwardsY::from_slice(octets)
            .ok()
            .filter(is_canonical)
            .and_then(|encoded| encoded.decompress())
            .filter(|point| !point.is_small_order())
            .ok_or_else(|| Error::new(&rules::BAD_SHARE))
    }

    fn encode<const COUNT: usize>(points: &[EdwardsPoint; COUNT]) -> Result<Zeroizing<[Self::Share; COUNT]>> {
        if points.iter().any(|point| point.is_identity()) {
            return Err(Error::new(&rules::NEUTRAL_ELEMENT));
        }
        Ok(Zeroizing::new(EdwardsPoint::compress_batch(points).map(|encoded| encoded.to_bytes())))
    }

    fn m() -> EdwardsPoint {
        M_TABLE.basepoint()
    }

    fn times_m(secret: &Scalar) -> EdwardsPoint {
        &*M_TABLE * secret
    }

    fn times_n(secret: &Scalar) -> EdwardsPoint {
        &*N_TABLE * secret
    }

    fn times_generator(secret: &Scalar) -> EdwardsPoint {
        EdwardsPoint::mul_base(secret)
    }

    fn times_cofactor(point: EdwardsPoint, secret: &Scalar) -> EdwardsPoint {
        (point * secret).mul_by_cofactor()
    }
}

/// Whether y is below `2^255 - 19`. Decompression reduces it; the one other form with two encodings, x = 0, has small
/// order.
fn is_canonical(encoded: &CompressedEdwardsY) -> bool {
    let [low, middle @ .., high] = encoded.as_bytes();
    high & 0x7f != 0x7f || middle.iter().any(|octet| *octet != 0xff) || *low < 0xed
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// RFC 9383 appendix B.
    #[test]
    fn m_and_n_come_from_their_seeds() {
        for (name, expected) in [("M", Edwards25519::M), ("N", Edwards25519::N)] {
            let mut octets = Sha256::digest(format!("edwards25519 point generation seed ({name})"));
            let generated = loop {
                let point = Edwards25519::parse_point(&octets).ok();
                if let Some(point) = point.filter(|point| point.is_torsion_free()) {
                    break point;
                }
                octets = Sha256::digest(octets);
            };
            assert_eq!(octets.as_slice(), expected, "{name}");
            assert_eq!(generated.compress().to_bytes(), expected, "{name}");
        }
    }

    #[test]
    fn fixed_base_agrees_with_the_general_multiplication() {
        let mut rng = crate::system_rng();
        for (base, times) in [
            (Edwards25519::M, Edwards25519::times_m as fn(&Scalar) -> EdwardsPoint),
            (Edwards25519::N, Edwards25519::times_n),
        ] {
            let base = Edwards25519::parse_point(&base).unwrap();
            let scalars = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE];
            for scalar in scalars.into_iter().chain((0..32).map(|_| *Edwards25519::random_scalar(&mut rng))) {
                assert_eq!(times(&scalar), base * scalar);
            }
        }
    }

    #[test]
    fn halves_are_reduced_from_big_endian() {
        let mut octets = [0; 40];
        octets[39] = 5;
        assert_eq!(Edwards25519::reduce(&octets), Scalar::from(5u8));
        octets[8..].copy_from_slice(&(-Scalar::ONE).to_bytes());
        octets[8..].reverse();
        assert_eq!(Edwards25519::reduce(&octets), -Scalar::ONE);
        octets[39] += 1;
        assert_eq!(Edwards25519::reduce(&octets), Scalar::ZERO);
    }

    #[test]
    fn only_points_of_the_curve_are_shares() {
        assert!(Edwards25519::parse_point(&Edwards25519::M).is_ok());
        // y = 2 belongs to no point. y = p + 3 is that of 3, which belongs to one.
        let (mut off_curve, mut above_the_prime, mut three) = ([0; 32], [0xff; 32], [0; 32]);
        off_curve[0] = 2;
        three[0] = 3;
        (above_the_prime[0], above_the_prime[31]) = (0xed + 3, 0x7f);
        assert!(CompressedEdwardsY(off_curve).decompress().is_none());
        assert!(Edwards25519::parse_point(&three).is_ok());
        let small = EIGHT_TORSION.map(|point| point.compress().to_bytes());
        let mut refused = small.iter().map(|octets| octets.as_slice()).collect::<Vec<_>>();
        refused.extend([
            &off_curve[..],
            &above_the_prime,
            &[0xff; 32],
            &Edwards25519::M[..31],
            &[4; 65],
            &[],
        ]);
        for octets in refused {
            assert!(Edwards25519::parse_point(octets).unwrap_err().is(&rules::BAD_SHARE), "{octets:02x?}");
        }
    }

    #[test]
    fn a_part_of_small_order_changes_nothing() {
        let (point, secret) = (Edwards25519::m(), *Edwards25519::random_scalar(&mut crate::system_rng()));
        for small in EIGHT_TORSION {
            let share = Edwards25519::parse_point((point + small).compress().as_bytes()).unwrap();
            assert_eq!(
                Edwards25519::times_cofactor(share, &secret),
                Edwards25519::times_cofactor(point, &secret)
            );
        }
    }
}
