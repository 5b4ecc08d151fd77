//! The functions of libcrypto that libssl calls for TLS-SRP, and its powers, straight from the C library.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

use countersign::srp::Group;

use super::{Operation, PASSWORD, SALT, USER, ours, random, time};

type Bn = *mut c_void;

#[link(name = "crypto")]
unsafe extern "C" {
    fn BN_bin2bn(octets: *const u8, len: c_int, to: Bn) -> Bn;
    fn BN_new() -> Bn;
    fn BN_clear_free(number: Bn);
    fn BN_CTX_new() -> *mut c_void;
    fn BN_MONT_CTX_new() -> *mut c_void;
    fn BN_MONT_CTX_set(context: *mut c_void, modulus: Bn, scratch: *mut c_void) -> c_int;
    fn BN_mod_exp(result: Bn, base: Bn, exponent: Bn, modulus: Bn, scratch: *mut c_void) -> c_int;
    fn BN_mod_exp_mont_consttime(
        result: Bn,
        base: Bn,
        exponent: Bn,
        modulus: Bn,
        scratch: *mut c_void,
        context: *mut c_void,
    ) -> c_int;
    fn SRP_Calc_A(a: Bn, n: Bn, g: Bn) -> Bn;
    fn SRP_Calc_B(b: Bn, n: Bn, g: Bn, v: Bn) -> Bn;
    fn SRP_Calc_u(a: Bn, b: Bn, n: Bn) -> Bn;
    fn SRP_Calc_x(salt: Bn, user: *const c_char, password: *const c_char) -> Bn;
    fn SRP_Calc_server_key(a: Bn, v: Bn, u: Bn, b: Bn, n: Bn) -> Bn;
    fn SRP_Calc_client_key(n: Bn, b: Bn, g: Bn, x: Bn, a: Bn, u: Bn) -> Bn;
    fn SRP_create_verifier_BN(
        user: *const c_char,
        password: *const c_char,
        salt: *mut Bn,
        verifier: *mut Bn,
        n: Bn,
        g: Bn,
    ) -> c_int;
}

/// A number that OpenSSL owns.
struct Number(Bn);

impl Number {
    fn new(octets: &[u8]) -> Self {
        // SAFETY: reads `octets`, makes a new number.
        Self::of(unsafe { BN_bin2bn(octets.as_ptr(), octets.len() as c_int, null_mut()) })
    }

    fn of(number: Bn) -> Self {
        assert!(!number.is_null());
        Self(number)
    }

    /// A method, so that closures take the number along and not a copy of the pointer.
    fn get(&self) -> Bn {
        self.0
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: the only owner.
        unsafe { BN_clear_free(self.0) }
    }
}

fn secret(len: usize) -> Number {
    Number::new(&random::<48>()[..len])
}

fn strings() -> (std::ffi::CString, std::ffi::CString) {
    let text = |text: &str| std::ffi::CString::new(text).expect("no NUL");
    (text(USER), text(PASSWORD))
}

struct Setting {
    n: Number,
    g: Number,
    v: Number,
}

fn setting(group: Group) -> Setting {
    let (n, g) = (Number::new(group.modulus()), Number::new(&[group.generator()]));
    let v = Number::new(ours::record(group).expose());
    Setting { n, g, v }
}

pub(crate) fn server(group: Group, len: usize) -> Operation {
    let Setting { n, g, v } = setting(group);
    // SAFETY: all numbers live.
    let a = Number::of(unsafe { SRP_Calc_A(secret(len).get(), n.get(), g.get()) });
    Box::new(move || {
        let b = secret(len);
        time(|| {
            // SAFETY: all numbers live.
            unsafe {
                let public = Number::of(SRP_Calc_B(b.get(), n.get(), g.get(), v.get()));
                let u = Number::of(SRP_Calc_u(a.get(), public.get(), n.get()));
                drop(Number::of(SRP_Calc_server_key(a.get(), v.get(), u.get(), b.get(), n.get())));
            }
        })
        .1
    })
}

pub(crate) fn client(group: Group, len: usize) -> Operation {
    let Setting { n, g, v } = setting(group);
    // SAFETY: all numbers live.
    let b = Number::of(unsafe { SRP_Calc_B(secret(len).get(), n.get(), g.get(), v.get()) });
    let (user, password) = strings();
    let salt = Number::new(&SALT);
    Box::new(move || {
        let a = secret(len);
        time(|| {
            // SAFETY: all numbers and strings live.
            unsafe {
                let public = Number::of(SRP_Calc_A(a.get(), n.get(), g.get()));
                let u = Number::of(SRP_Calc_u(public.get(), b.get(), n.get()));
                let x = Number::of(SRP_Calc_x(salt.get(), user.as_ptr(), password.as_ptr()));
                drop(Number::of(SRP_Calc_client_key(n.get(), b.get(), g.get(), x.get(), a.get(), u.get())));
            }
        })
        .1
    })
}

pub(crate) fn verifier(group: Group) -> Operation {
    let Setting { n, g, .. } = setting(group);
    let (user, password) = strings();
    Box::new(move || {
        time(|| {
            let (mut salt, mut verifier) = (null_mut(), null_mut());
            // SAFETY: all live; the two results are new numbers.
            unsafe {
                let made = SRP_create_verifier_BN(
                    user.as_ptr(),
                    password.as_ptr(),
                    &raw mut salt,
                    &raw mut verifier,
                    n.get(),
                    g.get(),
                );
                assert_eq!(made, 1);
            }
            (Number::of(salt), Number::of(verifier))
        })
        .1
    })
}

pub(crate) fn power(group: Group, constant_time: bool) -> Operation {
    let Setting { n, g, .. } = setting(group);
    // SAFETY: makes new structures; the context copies the modulus. They live as long as the process.
    let (scratch, context) = unsafe {
        let (scratch, context) = (BN_CTX_new(), BN_MONT_CTX_new());
        assert_eq!(BN_MONT_CTX_set(context, n.get(), scratch), 1);
        (scratch, context)
    };
    // SAFETY: makes a new number.
    let result = Number::of(unsafe { BN_new() });
    Box::new(move || {
        let exponent = secret(32);
        time(|| {
            // SAFETY: all live.
            let done = unsafe {
                if constant_time {
                    BN_mod_exp_mont_consttime(
                        result.get(),
                        g.get(),
                        exponent.get(),
                        n.get(),
                        scratch,
                        context,
                    )
                } else {
                    BN_mod_exp(result.get(), g.get(), exponent.get(), n.get(), scratch)
                }
            };
            assert_eq!(done, 1);
        })
        .1
    })
}
