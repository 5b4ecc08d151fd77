//! P-256, with points in the uncompressed form of SEC 1 and scalars big-endian.

use std::sync::LazyLock;

use p256::elliptic_curve::ff::{Field as _, FromUniformBytes as _, PrimeField as _};
use p256::elliptic_curve::sec1::{FromSec1Point as _, ToSec1Point as _};
use p256::elliptic_curve::{BatchNormalize as _, Group as _};
use p256::{AffinePoint, FieldBytes, NistP256, ProjectivePoint, Scalar, Sec1Point};
use primeorder::{LookupTable, Radix16Decomposition, Radix16Digits};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Group, SCALAR_LEN, Sealed};
use crate::error::{Error, Result};
use crate::spake2plus::rules;

/// The curve P-256, with h = 1.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, not a value")]
pub struct P256;

const SHARE_LEN: usize = 65;

static M_TABLE: LazyLock<FixedBase> = LazyLock::new(|| FixedBase::new(&P256::M));
static N_TABLE: LazyLock<FixedBase> = LazyLock::new(|| FixedBase::new(&P256::N));

impl Sealed for P256 {}

impl Group for P256 {
    type Share = [u8; SHARE_LEN];
    type Scalar = Scalar;
    type Point = ProjectivePoint;

    const SHARE_LEN: usize = SHARE_LEN;
    const RECORD_FORMAT: u8 = 1;

    const M: [u8; SHARE_LEN] = [
        0x04, 0x88, 0x6e, 0x2f, 0x97, 0xac, 0xe4, 0x6e, 0x55, 0xba, 0x9d, 0xd7, 0x24, 0x25, 0x79, 0xf2, 0x99,
        0x3b, 0x64, 0xe1, 0x6e, 0xf3, 0xdc, 0xab, 0x95, 0xaf, 0xd4, 0x97, 0x33, 0x3d, 0x8f, 0xa1, 0x2f, 0x5f,
        0xf3, 0x55, 0x16, 0x3e, 0x43, 0xce, 0x22, 0x4e, 0x0b, 0x0e, 0x65, 0xff, 0x02, 0xac, 0x8e, 0x5c, 0x7b,
        0xe0, 0x94, 0x19, 0xc7, 0x85, 0xe0, 0xca, 0x54, 0x7d, 0x55, 0xa1, 0x2e, 0x2d, 0x20,
    ];

    const N: [u8; SHARE_LEN] = [
        0x04, 0xd8, 0xbb, 0xd6, 0xc6, 0x39, 0xc6, 0x29, 0x37, 0xb0, 0x4d, 0x99, 0x7f, 0x38, 0xc3, 0x77, 0x07,
        0x19, 0xc6, 0x29, 0xd7, 0x01, 0x4d, 0x49, 0xa2, 0x4b, 0x4f, 0x98, 0xba, 0xa1, 0x29, 0x2b, 0x49, 0x07,
        0xd6, 0x0a, 0xa6, 0xbf, 0xad, 0xe4, 0x50, 0x08, 0xa6, 0x36, 0x33, 0x7f, 0x51, 0x68, 0xc6, 0x4d, 0x9b,
        0xd3, 0x60, 0x34, 0x80, 0x8c, 0xd5, 0x64, 0x49, 0x0b, 0x1e, 0x65, 0x6e, 0xdb, 0xe7,
    ];

    fn parse_scalar(octets: &[u8; SCALAR_LEN]) -> Option<Scalar> {
        Scalar::from_repr(FieldBytes::from(*octets)).into_option()
    }

    fn encode_scalar(scalar: &Scalar) -> Zeroizing<[u8; SCALAR_LEN]> {
        Zeroizing::new(scalar.to_repr().into())
    }

    fn random_scalar(rng: &mut (impl CryptoRng + ?Sized)) -> Zeroizing<Scalar> {
        let mut octets = Zeroizing::new([0; SCALAR_LEN]);
        loop {
            rng.fill_bytes(octets.as_mut_slice());
            if let Some(scalar) = Self::parse_scalar(&octets).filter(|scalar| !bool::from(scalar.is_zero())) {
                return Zeroizing::new(scalar);
            }
        }
    }

    fn reduce(octets: &[u8; 40]) -> Scalar {
        let mut wide = Zeroizing::new([0; 64]);
        wide[24..].copy_from_slice(octets);
        Scalar::from_uniform_bytes(&wide)
    }

    /// Every point of P-256 but infinity is in the prime-order group.
    fn parse_point(octets: &[u8]) -> Result<ProjectivePoint> {
        if octets.len() != SHARE_LEN {
            return Err(Error::new(&rules::BAD_SHARE));
        }
        let encoded = Sec1Point::from_bytes(octets).map_err(|_| Error::new(&rules::BAD_SHARE))?;
        AffinePoint::from_sec1_point(&encoded)
            .into_option()
            .map(ProjectivePoint::from)
            .filter(|point| !bool::from(point.is_identity()))
            .ok_or_else(|| Error::new(&rules::BAD_SHARE))
    }

    fn encode<const COUNT: usize>(
        points: &[ProjectivePoint; COUNT],
    ) -> Result<Zeroizing<[Self::Share; COUNT]>> {
        let mut encoded = Zeroizing::new([[0; SHARE_LEN]; COUNT]);
        for (out, point) in encoded.iter_mut().zip(ProjectivePoint::batch_normalize(points)) {
            // The encoding of infinity is one octet.
            let octets = Zeroizing::new(point.to_sec1_point(false).as_bytes().to_vec());
            if octets.len() != SHARE_LEN {
                return Err(Error::new(&rules::NEUTRAL_ELEMENT));
            }
            out.copy_from_slice(&octets);
        }
        Ok(encoded)
    }

    fn m() -> ProjectivePoint {
        M_TABLE.0[0].select(1)
    }

    fn times_m(secret: &Scalar) -> ProjectivePoint {
        M_TABLE.mul(secret)
    }

    fn times_n(secret: &Scalar) -> ProjectivePoint {
        N_TABLE.mul(secret)
    }

    fn times_generator(secret: &Scalar) -> ProjectivePoint {
        ProjectivePoint::mul_by_generator(secret)
    }

    fn times_cofactor(point: ProjectivePoint, secret: &Scalar) -> ProjectivePoint {
        point * secret
    }
}

/// Multiples `1..=8` of `256^i * base`, so that a multiplication is additions and four doublings.
struct FixedBase([LookupTable<ProjectivePoint>; 33]);

impl FixedBase {
    fn new(base: &[u8; SHARE_LEN]) -> Self {
        let mut power = P256::parse_point(base).expect("M and N are points of the curve");
        Self(std::array::from_fn(|_| {
            let row = LookupTable::new(power);
            power = (0..8).fold(power, |point, _| point.double());
            row
        }))
    }

    fn mul(&self, secret: &Scalar) -> ProjectivePoint {
        let digits = Radix16Decomposition::<Radix16Digits<NistP256>>::new(secret);
        let mut even = self.0[32].select(digits[64]);
        let mut odd = ProjectivePoint::IDENTITY;
        for (i, row) in self.0[..32].iter().enumerate() {
            even += row.select(digits[2 * i]);
            odd += row.select(digits[2 * i + 1]);
        }
        (0..4).fold(odd, |point, _| point.double()) + even
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_base_agrees_with_the_general_multiplication() {
        let mut rng = crate::system_rng();
        for table in [&*M_TABLE, &*N_TABLE] {
            let base = table.0[0].select(1);
            let scalars = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(0x8888_8888_8888_8888u64)];
            for scalar in scalars.into_iter().chain((0..32).map(|_| *P256::random_scalar(&mut rng))) {
                assert_eq!(table.mul(&scalar), base * scalar);
            }
        }
    }

    #[test]
    fn only_points_of_the_curve_are_shares() {
        assert!(P256::parse_point(&P256::M).is_ok());
        let infinity = [0; 1];
        let (mut off_curve, mut compressed, mut zeros, mut hybrid) =
            (P256::M, P256::M, [0; SHARE_LEN], P256::M);
        off_curve[64] ^= 1;
        compressed[0] = 0x02;
        zeros[0] = 0x04;
        hybrid[0] = 0x06;
        let above_the_prime = [&[0x04], [0xff; 32].as_slice(), &P256::M[33..]].concat();
        for octets in [
            &infinity[..],
            &off_curve,
            &compressed,
            &compressed[..33],
            &zeros,
            &hybrid,
            &above_the_prime,
            &P256::M[..64],
            &[],
        ] {
            assert!(P256::parse_point(octets).unwrap_err().is(&rules::BAD_SHARE), "{octets:02x?}");
        }
    }
}
