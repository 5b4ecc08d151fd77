//! GMP's powm, called as the system's library has it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;

/// `mpz_t`, one of them.
#[repr(C)]
struct Mpz {
    alloc: c_int,
    size: c_int,
    limbs: *mut c_void,
}

#[link(name = "gmp")]
unsafe extern "C" {
    #[link_name = "__gmp_version"]
    static VERSION: *const c_char;
    #[link_name = "__gmpz_init"]
    fn init(x: *mut Mpz);
    #[link_name = "__gmpz_clear"]
    fn clear(x: *mut Mpz);
    #[link_name = "__gmpz_import"]
    fn import(
        x: *mut Mpz,
        count: usize,
        order: c_int,
        size: usize,
        endian: c_int,
        nails: usize,
        from: *const c_void,
    );
    #[link_name = "__gmpz_export"]
    fn export(
        to: *mut c_void,
        count: *mut usize,
        order: c_int,
        size: usize,
        endian: c_int,
        nails: usize,
        x: *const Mpz,
    );
    #[link_name = "__gmpz_sizeinbase"]
    fn size_in_base(x: *const Mpz, base: c_int) -> usize;
    #[link_name = "__gmpz_powm"]
    fn powm(result: *mut Mpz, base: *const Mpz, exponent: *const Mpz, modulus: *const Mpz);
}

pub(crate) fn version() -> String {
    // SAFETY: the library's own constant string.
    unsafe { CStr::from_ptr(VERSION) }.to_string_lossy().into_owned()
}

/// base^exponent mod modulus, as many octets as the modulus.
pub(crate) fn power(base: u8, exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let [base, exponent, n] = [&[base], exponent, modulus].map(Number::new);
    let mut result = Number::new(&[]);
    // SAFETY: all four are initialised; the modulus is not zero.
    unsafe { powm(&mut result.0, &base.0, &exponent.0, &n.0) };
    result.octets(modulus.len())
}

struct Number(Mpz);

impl Number {
    /// From big-endian octets.
    fn new(octets: &[u8]) -> Self {
        let mut number = MaybeUninit::uninit();
        // SAFETY: `init` writes the whole structure; the slice has as many octets as are said.
        unsafe {
            init(number.as_mut_ptr());
            import(number.as_mut_ptr(), octets.len(), 1, 1, 1, 0, octets.as_ptr().cast());
            Self(number.assume_init())
        }
    }

    fn octets(&self, len: usize) -> Vec<u8> {
        // SAFETY: initialised.
        let used = unsafe { size_in_base(&self.0, 256) };
        let mut octets = vec![0; len];
        let place = &mut octets[len - used..];
        // SAFETY: the rest of the vector has room for all octets of the number.
        unsafe { export(place.as_mut_ptr().cast(), &mut 0, 1, 1, 1, 0, &self.0) };
        octets
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { clear(&mut self.0) }
    }
}
