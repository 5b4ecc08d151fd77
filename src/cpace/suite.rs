//! The two groups: generator, scalar multiplication, encoding.

use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::strings::generator_string;
use super::{elligator, rules};
use crate::error::{Error, Result};

/// Octets of a public share, in both suites.
pub const SHARE_LEN: usize = 32;

/// Octets of a secret scalar, in both suites.
pub(crate) const SCALAR_LEN: usize = 32;

/// Input block of SHA-512, `s_in_bytes` of the draft.
const S_IN_BYTES: usize = 128;

/// A cipher suite of draft-irtf-cfrg-cpace-21.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// `CPACE-RISTR255-SHA512`: the group ristretto255 (RFC 9496).
    Ristretto255Sha512,
    /// `CPACE-X25519-SHA512`: u-coordinates of Curve25519 (RFC 7748).
    X25519Sha512,
}

impl Suite {
    /// All suites, in our order of preference.
    pub const ALL: [Self; 2] = [Self::Ristretto255Sha512, Self::X25519Sha512];

    /// The name in the draft.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ristretto255Sha512 => "CPACE-RISTR255-SHA512",
            Self::X25519Sha512 => "CPACE-X25519-SHA512",
        }
    }

    /// The draft's domain separation identifier, `G.DSI`.
    #[must_use]
    pub fn dsi(self) -> &'static [u8] {
        match self {
            Self::Ristretto255Sha512 => b"CPaceRistretto255",
            Self::X25519Sha512 => b"CPace255",
        }
    }

    /// `G.calculate_generator`.
    pub(crate) fn generator(self, prs: &[u8], ci: &[u8], sid: &[u8]) -> Generator {
        let string = generator_string(self.dsi(), prs, ci, sid, S_IN_BYTES);
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(&string)));
        match self {
            Self::Ristretto255Sha512 => {
                Generator::Ristretto(Zeroizing::new(RistrettoPoint::from_uniform_bytes(&hash)))
            }
            Self::X25519Sha512 => {
                let first = Zeroizing::new(std::array::from_fn(|i| hash[i]));
                Generator::X25519(Zeroizing::new(MontgomeryPoint(elligator::map_to_curve(&first))))
            }
        }
    }

    /// `G.sample_scalar`: 252 random bits on ristretto255, 32 random octets on X25519.
    pub(crate) fn sample_scalar(self, rng: &mut dyn CryptoRng) -> Zeroizing<[u8; SCALAR_LEN]> {
        let mut scalar = Zeroizing::new([0; SCALAR_LEN]);
        rng.fill_bytes(&mut *scalar);
        if self == Self::Ristretto255Sha512 {
            scalar[SCALAR_LEN - 1] &= 0x0f;
        }
        scalar
    }

    /// `G.scalar_mult_vfy`: the shared point, which is never the neutral element.
    pub(crate) fn scalar_mult_vfy(
        self,
        scalar: &[u8; SCALAR_LEN],
        share: &[u8; SHARE_LEN],
    ) -> Result<Zeroizing<[u8; SHARE_LEN]>> {
        let k = match self {
            Self::Ristretto255Sha512 => {
                let point = CompressedRistretto(*share).decompress();
                let point = Zeroizing::new(point.ok_or_else(|| Error::new(&rules::BAD_SHARE))?);
                Zeroizing::new(ristretto255(&point, scalar))
            }
            Self::X25519Sha512 => Zeroizing::new(MontgomeryPoint(*share).mul_clamped(*scalar).to_bytes()),
        };
        // In both suites 32 zero octets encode the neutral element.
        if bool::from(k.ct_eq(&[0; SHARE_LEN])) {
            return Err(Error::new(&rules::NEUTRAL_ELEMENT));
        }
        Ok(k)
    }
}

/// The group element that the password selects.
pub(crate) enum Generator {
    Ristretto(Zeroizing<RistrettoPoint>),
    X25519(Zeroizing<MontgomeryPoint>),
}

impl Generator {
    /// The encoded element.
    #[cfg(feature = "vectors")]
    pub(crate) fn to_bytes(&self) -> [u8; SHARE_LEN] {
        match self {
            Self::Ristretto(generator) => generator.compress().to_bytes(),
            Self::X25519(generator) => generator.to_bytes(),
        }
    }

    /// `G.scalar_mult`: the public share for a secret scalar.
    pub(crate) fn share(&self, scalar: &[u8; SCALAR_LEN]) -> [u8; SHARE_LEN] {
        match self {
            Self::Ristretto(generator) => ristretto255(generator, scalar),
            Self::X25519(generator) => generator.mul_clamped(*scalar).to_bytes(),
        }
    }
}

fn ristretto255(point: &RistrettoPoint, scalar: &[u8; SCALAR_LEN]) -> [u8; SHARE_LEN] {
    let scalar: &Scalar = &Zeroizing::new(Scalar::from_bytes_mod_order(*scalar));
    Zeroizing::new(point * scalar).compress().to_bytes()
}
