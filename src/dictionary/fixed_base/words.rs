//! One guess after the other, on the arithmetic that logins use.

use crypto_bigint::Word;

use super::digits;
use crate::srp::Group;
use crate::srp::group::{Arithmetic, Fastest};

pub(super) struct Tables {
    arithmetic: Fastest,
    one: Residue,
    /// Words of an entry.
    len: usize,
    windows: usize,
    window: u32,
    entries: Vec<Word>,
}

/// The words of v.
pub(super) struct Target(Residue);

type Residue = <Fastest as Arithmetic>::Residue;

impl Tables {
    pub(super) fn new(group: Group, windows: usize, window: u32) -> Self {
        let arithmetic = Fastest::new(group.modulus());
        let one = arithmetic.residue(&[1]);
        let len = arithmetic.words(&one).len();
        let mut entries = Vec::with_capacity((windows * len) << window);
        // g^(2^(w*j))
        let mut base = arithmetic.residue(&[group.generator()]);
        for _ in 0..windows {
            let mut power = one.clone();
            for _ in 0..1_usize << window {
                entries.extend_from_slice(arithmetic.words(&power));
                arithmetic.multiply(&mut power, &base);
            }
            base = power;
        }
        Self { arithmetic, one, len, windows, window, entries }
    }

    pub(super) fn target(&self, verifier: &[u8]) -> Target {
        Target(self.arithmetic.residue(verifier))
    }

    pub(super) fn find(&self, target: &Target, exponents: &[&[u8]]) -> Option<usize> {
        let (mut power, mut factor) = (self.one.clone(), self.one.clone());
        exponents.iter().position(|exponent| {
            for (j, digit) in digits(exponent, self.window, self.windows).enumerate() {
                if j == 0 {
                    self.arithmetic.words_mut(&mut power).copy_from_slice(self.entry(j, digit));
                } else {
                    self.arithmetic.words_mut(&mut factor).copy_from_slice(self.entry(j, digit));
                    self.arithmetic.multiply(&mut power, &factor);
                }
            }
            self.arithmetic.words(&power) == self.arithmetic.words(&target.0)
        })
    }

    fn entry(&self, j: usize, digit: usize) -> &[Word] {
        let at = ((j << self.window) + digit) * self.len;
        &self.entries[at..at + self.len]
    }
}
