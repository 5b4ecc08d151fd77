//! Arithmetic on crypto-bigint: everywhere, and constant time.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, MontyForm, MontyMultiplier, Odd};
use zeroize::{Zeroize, Zeroizing};

use super::{Arithmetic, Table, WINDOW, Word, bit};

type Multiplier<'a> = <BoxedMontyForm as MontyForm>::Multiplier<'a>;

pub(crate) struct Portable {
    parameters: BoxedMontyParams,
    bits: u32,
}

/// Wiped on drop.
#[derive(Clone)]
pub(crate) struct Residue(BoxedMontyForm);

impl Drop for Residue {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Arithmetic for Portable {
    type Residue = Residue;

    fn new(modulus: &[u8]) -> Self {
        let modulus = BoxedUint::from_be_slice_vartime(modulus);
        let bits = modulus.bits_precision();
        let modulus = Odd::new(modulus).into_option().expect("the moduli are odd primes");
        Self { parameters: BoxedMontyParams::new_vartime(modulus), bits }
    }

    fn residue(&self, octets: &[u8]) -> Residue {
        let value = BoxedUint::from_be_slice(octets, self.bits).expect("a residue is no longer than N");
        Residue(BoxedMontyForm::new(value, &self.parameters))
    }

    fn octets(&self, residue: &Residue, out: &mut [u8]) {
        let value = Zeroizing::new(residue.0.retrieve());
        let octets = Zeroizing::new(value.to_be_bytes().into_vec());
        // Whole words may be longer than the modulus.
        out.copy_from_slice(&octets[octets.len() - out.len()..]);
    }

    fn words<'a>(&self, residue: &'a Residue) -> &'a [Word] {
        residue.0.as_montgomery().as_words()
    }

    fn words_mut<'a>(&self, residue: &'a mut Residue) -> &'a mut [Word] {
        residue.0.as_montgomery_mut().as_mut_words()
    }

    fn multiply(&self, product: &mut Residue, factor: &Residue) {
        Multiplier::from(&self.parameters).mul_assign(&mut product.0, &factor.0);
    }

    fn square(&self, value: &mut Residue) {
        Multiplier::from(&self.parameters).square_assign(&mut value.0);
    }

    /// With a table of 32 powers that is read whole for each window.
    fn power(&self, base: &Residue, exponent: &[u8]) -> Residue {
        let mut powers = vec![self.residue(&[1])];
        for i in 1..1 << WINDOW {
            let mut next: Residue = powers[i / 2].clone();
            if i % 2 == 0 {
                self.square(&mut next);
            } else {
                next = powers[i - 1].clone();
                self.multiply(&mut next, base);
            }
            powers.push(next);
        }
        let table = Table::new(powers.iter().map(|power| self.words(power)));
        let bits = 8 * exponent.len();
        let mut power = powers[0].clone();
        let mut entry = powers[0].clone();
        for low in (0..bits).step_by(WINDOW).rev() {
            if low + WINDOW < bits {
                (0..WINDOW).for_each(|_| self.square(&mut power));
            }
            let window = (low..bits.min(low + WINDOW)).rev();
            let index = window.fold(0, |index, at| index << 1 | bit(exponent, at));
            Self::select(&table, index, self.words_mut(&mut entry));
            self.multiply(&mut power, &entry);
        }
        power
    }
}
