//! Powers in GMP.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use countersign::srp::Group;

use super::{Operation, random, time};

/// `mpz_t`.
#[repr(C)]
struct Number {
    allocated: c_int,
    size: c_int,
    limbs: *mut c_void,
}

#[link(name = "gmp")]
unsafe extern "C" {
    fn __gmpz_init(number: *mut Number);
    fn __gmpz_clear(number: *mut Number);
    fn __gmpz_import(
        number: *mut Number,
        count: usize,
        order: c_int,
        size: usize,
        endian: c_int,
        nails: usize,
        octets: *const u8,
    );
    fn __gmpz_powm(result: *mut Number, base: *const Number, exponent: *const Number, modulus: *const Number);
    fn __gmpz_powm_sec(
        result: *mut Number,
        base: *const Number,
        exponent: *const Number,
        modulus: *const Number,
    );
}

impl Number {
    fn new(octets: &[u8]) -> Self {
        let mut number = Self { allocated: 0, size: 0, limbs: null_mut() };
        // SAFETY: `init` makes it a number, then as many octets as there are are read, most significant first.
        unsafe {
            __gmpz_init(&raw mut number);
            __gmpz_import(&raw mut number, octets.len(), 1, 1, 1, 0, octets.as_ptr());
        }
        number
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: the only owner.
        unsafe { __gmpz_clear(self) }
    }
}

pub(crate) fn power(group: Group, constant_time: bool) -> Operation {
    let (n, g) = (Number::new(group.modulus()), Number::new(&[group.generator()]));
    let mut result = Number::new(&[]);
    Box::new(move || {
        let exponent = Number::new(&random::<32>());
        let power = if constant_time { __gmpz_powm_sec } else { __gmpz_powm };
        // SAFETY: all four live; the modulus is odd and the exponent positive, as `powm_sec` wants.
        time(|| unsafe { power(&raw mut result, &raw const g, &raw const exponent, &raw const n) }).1
    })
}
