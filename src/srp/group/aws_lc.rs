//! Arithmetic on the assembly kernels of AWS-LC's bignum code, about 2.4 times as fast as the portable one.
//!
//! Unsafe, because AWS-LC is C. What each call relies on:
//!
//! - A `BIGNUM` is made here on the stack as a view of words that a Rust vector owns. `BN_FLG_STATIC_DATA` tells
//!   AWS-LC that they are not its to free; `dmax` is their true number, and no function called here writes more
//!   words than the modulus has, so none tries to let them grow.
//! - A view never outlives the borrow it is made from, and AWS-LC keeps no pointer to its arguments.
//! - A `BN_MONT_CTX` is only read after it is made.
#![allow(unsafe_code, reason = "AWS-LC is a C library; every block below states why it is sound")]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::NonNull;

use aws_lc_sys as ffi;
use zeroize::Zeroizing;

use super::{Arithmetic, Table, Word, words_of};

const _: () = assert!(size_of::<Word>() == size_of::<ffi::BN_ULONG>());

pub(crate) struct AwsLc {
    montgomery: NonNull<ffi::BN_MONT_CTX>,
    words: usize,
}

/// In Montgomery form, fully reduced, as many words as the modulus has; wiped on drop.
pub(crate) type Residue = Zeroizing<Vec<Word>>;

// SAFETY: nothing here is bound to a thread, and the context is not changed after `new`.
unsafe impl Send for AwsLc {}
// SAFETY: as above: shared use only reads.
unsafe impl Sync for AwsLc {}

impl Drop for AwsLc {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and this is its only owner.
        unsafe { ffi::BN_MONT_CTX_free(self.montgomery.as_ptr()) }
    }
}

impl Arithmetic for AwsLc {
    type Residue = Residue;

    fn new(modulus: &[u8]) -> Self {
        let words = words_of(modulus);
        let n = View::of(&words);
        let scratch = Scratch::new();
        // SAFETY: both arguments are live; the modulus is copied.
        let montgomery = unsafe { ffi::BN_MONT_CTX_new_for_modulus(n.as_ptr(), scratch.0.as_ptr()) };
        let montgomery = NonNull::new(montgomery).expect("memory for the context of an odd modulus");
        Self { montgomery, words: words.len() }
    }

    fn residue(&self, octets: &[u8]) -> Residue {
        let mut words = words_of(octets);
        words.resize(self.words, 0);
        let value = words.clone();
        let scratch = Scratch::new();
        // SAFETY: all four are live; both views have as many words as the modulus.
        done(unsafe {
            ffi::BN_to_montgomery(
                ViewMut::of(&mut words).as_mut_ptr(),
                View::of(&value).as_ptr(),
                self.montgomery.as_ptr(),
                scratch.0.as_ptr(),
            )
        });
        words
    }

    fn octets(&self, residue: &Residue, out: &mut [u8]) {
        let plain = self.plain(residue);
        for (octets, word) in out.rchunks_mut(size_of::<Word>()).zip(plain.iter()) {
            octets.copy_from_slice(&word.to_be_bytes()[size_of::<Word>() - octets.len()..]);
        }
    }

    fn words<'a>(&self, residue: &'a Residue) -> &'a [Word] {
        residue
    }

    fn words_mut<'a>(&self, residue: &'a mut Residue) -> &'a mut [Word] {
        residue
    }

    fn multiply(&self, product: &mut Residue, factor: &Residue) {
        let scratch = Scratch::new();
        let factor = View::of(factor);
        let mut product = ViewMut::of(product);
        let product = product.as_mut_ptr();
        // SAFETY: all are live; the result may be an argument too, which AWS-LC's own callers make use of.
        done(unsafe {
            ffi::BN_mod_mul_montgomery(
                product,
                product,
                factor.as_ptr(),
                self.montgomery.as_ptr(),
                scratch.0.as_ptr(),
            )
        });
    }

    fn square(&self, value: &mut Residue) {
        let scratch = Scratch::new();
        let mut value = ViewMut::of(value);
        let value = value.as_mut_ptr();
        // SAFETY: as for `multiply`; equal factors select the squaring kernel.
        done(unsafe {
            ffi::BN_mod_mul_montgomery(value, value, value, self.montgomery.as_ptr(), scratch.0.as_ptr())
        });
    }

    fn select(table: &Table, index: usize, out: &mut [Word]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { select_avx2(table, index, out) };
        }
        table.select(index, out);
    }

    fn power(&self, base: &Residue, exponent: &[u8]) -> Residue {
        let plain = self.plain(base);
        let exponent = words_of(exponent);
        let mut result = Zeroizing::new(vec![0; self.words]);
        let scratch = Scratch::new();
        let montgomery = self.montgomery.as_ptr();
        // SAFETY: all are live, the modulus lives in the context; the base is below it. The result is written last.
        done(unsafe {
            ffi::BN_mod_exp_mont_consttime(
                ViewMut::of(&mut result).as_mut_ptr(),
                View::of(&plain).as_ptr(),
                View::of(&exponent).as_ptr(),
                &raw const (*montgomery).N,
                scratch.0.as_ptr(),
                montgomery,
            )
        });
        let value = result.clone();
        // SAFETY: as in `residue`.
        done(unsafe {
            ffi::BN_to_montgomery(
                ViewMut::of(&mut result).as_mut_ptr(),
                View::of(&value).as_ptr(),
                montgomery,
                scratch.0.as_ptr(),
            )
        });
        result
    }
}

impl AwsLc {
    /// Out of Montgomery form, still in words.
    fn plain(&self, residue: &Residue) -> Residue {
        let mut plain = Zeroizing::new(vec![0; self.words]);
        let scratch = Scratch::new();
        // SAFETY: all four are live; both views have as many words as the modulus.
        done(unsafe {
            ffi::BN_from_montgomery(
                ViewMut::of(&mut plain).as_mut_ptr(),
                View::of(residue).as_ptr(),
                self.montgomery.as_ptr(),
                scratch.0.as_ptr(),
            )
        });
        plain
    }
}

/// The same code, compiled for registers twice as wide: the scans are a good part of a power of g.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn select_avx2(table: &Table, index: usize, out: &mut [Word]) {
    table.select(index, out);
}

/// Words that AWS-LC reads.
struct View<'a>(ffi::BIGNUM, PhantomData<&'a [Word]>);

impl<'a> View<'a> {
    fn of(words: &'a [Word]) -> Self {
        // AWS-LC takes it as `*const BIGNUM` and does not write through `d` then.
        Self(bignum(words.as_ptr().cast_mut(), words.len()), PhantomData)
    }

    fn as_ptr(&self) -> *const ffi::BIGNUM {
        &raw const self.0
    }
}

/// Words that AWS-LC writes.
struct ViewMut<'a>(ffi::BIGNUM, PhantomData<&'a mut [Word]>);

impl<'a> ViewMut<'a> {
    fn of(words: &'a mut [Word]) -> Self {
        Self(bignum(words.as_mut_ptr(), words.len()), PhantomData)
    }

    fn as_mut_ptr(&mut self) -> *mut ffi::BIGNUM {
        &raw mut self.0
    }
}

fn bignum(words: *mut Word, len: usize) -> ffi::BIGNUM {
    let len = c_int::try_from(len).expect("numbers here have at most 256 words");
    ffi::BIGNUM { d: words.cast(), width: len, dmax: len, neg: 0, flags: ffi::BN_FLG_STATIC_DATA }
}

/// Space for temporaries; AWS-LC wipes what it frees.
struct Scratch(NonNull<ffi::BN_CTX>);

impl Scratch {
    fn new() -> Self {
        // SAFETY: takes nothing.
        Self(NonNull::new(unsafe { ffi::BN_CTX_new() }).expect("memory for a small structure"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and this is its only owner.
        unsafe { ffi::BN_CTX_free(self.0.as_ptr()) }
    }
}

/// These functions fail for want of memory and for arguments that the callers here exclude.
fn done(code: c_int) {
    assert_eq!(code, 1, "no memory for a few hundred words");
}
