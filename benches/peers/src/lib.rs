//! The crate srp 0.7 in every group that we have it for, for the test and the bench of this package.

use countersign::srp::Group;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};

/// g of one of our groups, with its N.
pub fn generator(group: Group) -> BoxedMontyForm {
    let modulus = Odd::new(BoxedUint::from_be_slice_vartime(group.modulus()));
    let parameters = BoxedMontyParams::new_vartime(modulus.expect("N is odd"));
    let generator = BoxedUint::from_be_slice(&[group.generator()], group.bits()).expect("it is short");
    BoxedMontyForm::new(generator, &parameters)
}

/// The group of 8192 bits, which srp 0.7 does not bring along.
pub struct G8192;

/// Its g.
pub struct Generator8192;

impl From<Generator8192> for BoxedMontyForm {
    fn from(_: Generator8192) -> Self {
        generator(Group::Bits8192)
    }
}

impl srp::Group for G8192 {
    type Element = Generator8192;
    const G: Generator8192 = Generator8192;
}
