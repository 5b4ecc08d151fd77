//! What SPAKE2+ needs of a group, and the groups that have it.

use std::fmt::Debug;
use std::ops::{Add, Sub};

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::transcript::sealed::Sealed;
use crate::error::Result;

mod edwards25519;
mod p256;

pub use edwards25519::Edwards25519;
pub use p256::P256;

/// Octets of an encoded scalar, in all groups.
pub const SCALAR_LEN: usize = 32;

/// A group of RFC 9383 section 4, of order `h * p` with a prime p.
///
/// Sealed: the groups of this crate are [`P256`] and [`Edwards25519`].
pub trait Group: Sealed + Clone + Send + 'static {
    /// A point as octets: an array of [`Group::SHARE_LEN`].
    type Share: AsRef<[u8]> + for<'a> TryFrom<&'a [u8]> + Copy + Debug + Eq + Zeroize + Send + Sync;

    /// Octets of a point: 65 on P-256, uncompressed; 32 on edwards25519.
    const SHARE_LEN: usize;

    #[doc(hidden)]
    type Scalar: Copy + Zeroize + Send;

    #[doc(hidden)]
    type Point: Copy + Zeroize + Send + Add<Output = Self::Point> + Sub<Output = Self::Point>;

    /// First octet of a stored record, one for each group.
    #[doc(hidden)]
    const RECORD_FORMAT: u8;

    #[doc(hidden)]
    const M: Self::Share;

    #[doc(hidden)]
    const N: Self::Share;

    /// A scalar below p.
    #[doc(hidden)]
    fn parse_scalar(octets: &[u8; SCALAR_LEN]) -> Option<Self::Scalar>;

    /// The reverse of [`Group::parse_scalar`].
    #[doc(hidden)]
    fn encode_scalar(scalar: &Self::Scalar) -> Zeroizing<[u8; SCALAR_LEN]>;

    /// A scalar in `[1, p - 1]`: the first draw of 32 octets that is one.
    #[doc(hidden)]
    fn random_scalar(rng: &mut (impl CryptoRng + ?Sized)) -> Zeroizing<Self::Scalar>;

    /// 40 octets, big-endian, modulo p.
    #[doc(hidden)]
    fn reduce(octets: &[u8; 40]) -> Self::Scalar;

    /// A point of the curve whose product with h is not the neutral element.
    ///
    /// # Errors
    /// [`rules::BAD_SHARE`](super::rules::BAD_SHARE).
    #[doc(hidden)]
    fn parse_point(octets: &[u8]) -> Result<Self::Point>;

    /// Encodings, with one inversion for all.
    ///
    /// # Errors
    /// [`rules::NEUTRAL_ELEMENT`](super::rules::NEUTRAL_ELEMENT) when one of them is the neutral element.
    #[doc(hidden)]
    fn encode<const COUNT: usize>(points: &[Self::Point; COUNT]) -> Result<Zeroizing<[Self::Share; COUNT]>>;

    /// The point M.
    #[doc(hidden)]
    fn m() -> Self::Point;

    /// `secret * M`, constant time.
    #[doc(hidden)]
    fn times_m(secret: &Self::Scalar) -> Self::Point;

    /// `secret * N`, constant time.
    #[doc(hidden)]
    fn times_n(secret: &Self::Scalar) -> Self::Point;

    /// `secret * P`, constant time.
    #[doc(hidden)]
    fn times_generator(secret: &Self::Scalar) -> Self::Point;

    /// `h * secret * point`, constant time.
    #[doc(hidden)]
    fn times_cofactor(point: Self::Point, secret: &Self::Scalar) -> Self::Point;
}
