//! g^x for many x in one group: how a thief of SRP verifiers tests guesses.
//!
//! g and N are public and the same for every user, so all powers that a window of x can ask for are computed once. A
//! guess then costs a multiplication for each window, and no squaring: 9 for an x of 160 bits in windows of 16, 15 for one of
//! 256 bits.

use crate::srp::Group;

/// Tables of g^(d * 2^(w*j)) for one group, shared by all users of it.
pub struct FixedBase {
    group: Group,
    exponent_len: usize,
    window: u32,
}

/// A verifier v = g^x to find x for, in the tables' own form.
pub struct Target(Vec<u8>);

impl FixedBase {
    /// Widest window: 2^20 entries for each.
    pub const WINDOW_MAX: u32 = 20;

    /// Octets of memory that [`FixedBase::new`] takes with the same arguments.
    #[must_use]
    pub fn memory(group: Group, exponent_len: usize, window: u32) -> usize {
        (8 * exponent_len).div_ceil(window as usize) * (group.bits() as usize / 8) << window
    }

    /// Makes the tables for exponents of up to `exponent_len` octets in windows of `window` bits, 1 to
    /// [`FixedBase::WINDOW_MAX`]; beyond that the nearest width is taken.
    #[must_use]
    pub fn new(group: Group, exponent_len: usize, window: u32) -> Self {
        Self { group, exponent_len, window: window.clamp(1, Self::WINDOW_MAX) }
    }

    /// Multiplications for a guess.
    #[must_use]
    pub fn multiplications(&self) -> usize {
        (8 * self.exponent_len).div_ceil(self.window as usize) - 1
    }

    /// A verifier, big-endian; none if it is longer than N or not less than N.
    #[must_use]
    pub fn target(&self, verifier: &[u8]) -> Option<Target> {
        let zeros = verifier.iter().take_while(|octet| **octet == 0).count();
        let value = &verifier[zeros..];
        let mut padded = vec![0; self.group.modulus().len().checked_sub(value.len())?];
        padded.extend_from_slice(value);
        (padded.as_slice() < self.group.modulus()).then_some(Target(padded))
    }

    /// The first of the exponents x, big-endian, for which g^x is the verifier.
    ///
    /// # Panics
    /// When an exponent is longer than the tables are made for.
    #[must_use]
    pub fn find(&self, target: &Target, exponents: &[&[u8]]) -> Option<usize> {
        exponents.iter().position(|x| {
            assert!(x.len() <= self.exponent_len, "an exponent that the tables are made for");
            *self.group.generator_power(x) == target.0
        })
    }
}
