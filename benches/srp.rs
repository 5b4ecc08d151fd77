//! How long does an SRP login keep each side busy, and how long does g^x take, beside OpenSSL's arithmetic, the crate
//! srp 0.6 and plain powers?
//!
//! RFC 5054 with SHA-1, so that all compute the same. OpenSSL runs what libssl calls for TLS-SRP, with the 384-bit a and b
//! that libssl draws (a and b go through variable-time code there); it is measured with the feature `bench-openssl`.
//! Ours include parsing, both proofs and the drawing of the exponent. The engines run in turn, so that a neighbour on the
//! machine slows all of them alike, and the ratios of the medians and of the minima are printed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use countersign::prep::Preparation;
use countersign::secret::SecretBytes;
use countersign::srp::{Client, Dialect, Group, Parameters, Prehash, Server, Verifier};
use countersign::{Password, system_rng};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use sha1_010::Sha1;

const USER: &str = "alice";
const PASSWORD: &str = "password123";
const SALT: [u8; 16] = *b"sixteen octets!!";
const DIALECT: Dialect = Dialect::RFC5054;
const GROUPS: [Group; 4] = [Group::Bits2048, Group::Bits3072, Group::Bits4096, Group::Bits8192];

/// One operation; the time that the measured side took.
type Engine = Box<dyn FnMut() -> Duration>;
type Engines = Vec<(&'static str, Engine)>;

fn main() {
    let wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect::<Vec<_>>();
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(31);
    println!("backend: {}", if cfg!(feature = "srp-aws-lc") { "AWS-LC" } else { "portable" });
    for group in GROUPS {
        for (question, engines) in [
            ("server login", servers(group)),
            ("client login", clients(group)),
            ("new verifier", verifiers(group)),
            ("g^x, 256 bits", powers(group)),
        ] {
            let title = format!("{question}, {group} bits");
            if wanted.iter().all(|word| title.contains(word)) {
                in_turn(&title, engines, rounds);
            }
        }
    }
}

fn in_turn(question: &str, mut engines: Engines, rounds: usize) {
    let mut times = vec![Vec::with_capacity(rounds); engines.len()];
    // Tables are made in the first calls.
    for (_, engine) in &mut engines {
        engine();
    }
    let runs = (20_000 / engines[0].1().as_micros().max(1)).clamp(1, 200) as u32;
    for round in 0..rounds {
        for turn in 0..engines.len() {
            let at = (round + turn) % engines.len();
            let engine = &mut engines[at].1;
            times[at].push((0..runs).map(|_| engine()).sum::<Duration>() / runs);
        }
    }
    let summary = times.iter_mut().map(|times| {
        times.sort_unstable();
        (times[rounds / 2].as_secs_f64() * 1e6, times[0].as_secs_f64() * 1e6)
    });
    let summary = summary.collect::<Vec<_>>();
    println!("{question}: microseconds, median (minimum), and times as long as ours");
    for ((name, _), (median, minimum)) in engines.iter().zip(&summary) {
        let (ratio, of_minima) = (median / summary[0].0, minimum / summary[0].1);
        println!("  {name:<44} {median:9.1} ({minimum:9.1})   {ratio:6.2}x ({of_minima:6.2}x)");
    }
}

fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = black_box(work());
    (result, start.elapsed())
}

fn parameters(group: Group) -> Parameters {
    Parameters { dialect: DIALECT, group, prehash: Prehash::None }
}

fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.as_bytes().to_vec())
}

fn verifier(group: Group) -> Verifier {
    Verifier::derive(&parameters(group), USER, &password(), &SALT).expect("a good password")
}

fn random<const LEN: usize>() -> [u8; LEN] {
    use rand_core::Rng;
    let mut octets = [0; LEN];
    system_rng().fill_bytes(&mut octets);
    octets
}

fn servers(group: Group) -> Engines {
    let mut engines: Engines = vec![("countersign", our_server(group))];
    #[cfg(feature = "bench-openssl")]
    engines.extend([
        ("OpenSSL as libssl uses it, 384-bit b", openssl::server(group, 48)),
        ("OpenSSL, 256-bit b", openssl::server(group, 32)),
    ]);
    if group != Group::Bits8192 {
        engines.push(("srp 0.6, 256-bit b", rust_server(group)));
    }
    engines
}

fn clients(group: Group) -> Engines {
    let mut engines: Engines = vec![("countersign", our_client(group))];
    #[cfg(feature = "bench-openssl")]
    engines.extend([
        ("OpenSSL as libssl uses it, 384-bit a", openssl::client(group, 48)),
        ("OpenSSL, 256-bit a", openssl::client(group, 32)),
    ]);
    if group != Group::Bits8192 {
        engines.push(("srp 0.6, 256-bit a", rust_client(group)));
    }
    engines
}

fn verifiers(group: Group) -> Engines {
    let mut engines: Engines = vec![(
        "countersign",
        Box::new(move || {
            let password = Password::new(PASSWORD);
            let preparation = Preparation::None;
            let make =
                || Verifier::generate(&parameters(group), USER, &password, preparation, &mut system_rng());
            time(make).1
        }),
    )];
    #[cfg(feature = "bench-openssl")]
    engines.push(("OpenSSL SRP_create_verifier_BN", openssl::verifier(group)));
    engines.push((
        "srp 0.6",
        Box::new(move || {
            let client = srp::client::SrpClient::<Sha1>::new(rust_group(group));
            time(|| client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT)).1
        }),
    ));
    engines
}

fn powers(group: Group) -> Engines {
    let mut engines: Engines = vec![(
        "countersign, comb",
        Box::new(move || {
            let exponent = random::<32>();
            time(|| group.generator_power(&exponent)).1
        }),
    )];
    #[cfg(feature = "bench-openssl")]
    engines.extend([
        ("OpenSSL BN_mod_exp_mont_consttime", openssl::power(group, true)),
        ("OpenSSL BN_mod_exp, variable time", openssl::power(group, false)),
    ]);
    let modulus = Odd::new(BoxedUint::from_be_slice_vartime(group.modulus())).into_option().expect("odd");
    let parameters = BoxedMontyParams::new_vartime(modulus);
    let base = BoxedUint::from_be_slice(&[group.generator()], group.bits()).expect("small");
    let base = BoxedMontyForm::new(base, &parameters);
    engines.push((
        "crypto-bigint BoxedMontyForm::pow",
        Box::new(move || {
            let exponent = BoxedUint::from_be_slice(&random::<32>(), 256).expect("256 bits");
            time(|| base.pow(&exponent).retrieve()).1
        }),
    ));
    engines
}

fn our_server(group: Group) -> Engine {
    let verifier = verifier(group);
    Box::new(move || {
        let (server, first) = time(|| {
            let verifier = verifier.clone();
            Server::start(DIALECT, verifier, &mut system_rng()).expect("the right dialect")
        });
        let client = Client::start(parameters(group), &mut system_rng());
        let a = client.public_value().to_vec();
        let client =
            client.respond(USER, &password(), &SALT, server.public_value()).expect("an honest server");
        let (_, second) = time(|| {
            let state = server.receive(USER, &a).expect("an honest client");
            state.finish(client.proof()).expect("the right password")
        });
        first + second
    })
}

fn our_client(group: Group) -> Engine {
    let verifier = verifier(group);
    let password = password();
    Box::new(move || {
        let server = Server::start(DIALECT, verifier.clone(), &mut system_rng()).expect("the right dialect");
        let ((a, client), first) = time(|| {
            let client = Client::start(parameters(group), &mut system_rng());
            let a = client.public_value().to_vec();
            (a, client.respond(USER, &password, &SALT, server.public_value()).expect("an honest server"))
        });
        let (m2, _) =
            server.receive(USER, &a).expect("an honest client").finish(client.proof()).expect("right");
        first + time(|| client.finish(&m2).expect("the right server")).1
    })
}

fn rust_group(group: Group) -> &'static srp::types::SrpGroup {
    match group {
        Group::Bits2048 => &srp::groups::G_2048,
        Group::Bits3072 => &srp::groups::G_3072,
        Group::Bits4096 => &srp::groups::G_4096,
        _ => &srp::groups::G_8192,
    }
}

fn rust_server(group: Group) -> Engine {
    let server = srp::server::SrpServer::<Sha1>::new(rust_group(group));
    let client = srp::client::SrpClient::<Sha1>::new(rust_group(group));
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let a = random::<32>();
    let a_pub = client.compute_public_ephemeral(&a);
    Box::new(move || {
        let b = random::<32>();
        let (b_pub, first) = time(|| server.compute_public_ephemeral(&b, &v));
        let client = client
            .process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub)
            .expect("an honest server");
        let (_, second) = time(|| {
            let verifier = server.process_reply(&b, &v, &a_pub).expect("an honest client");
            verifier.verify_client(client.proof()).expect("the right password");
            verifier.proof().to_vec()
        });
        first + second
    })
}

fn rust_client(group: Group) -> Engine {
    let server = srp::server::SrpServer::<Sha1>::new(rust_group(group));
    let client = srp::client::SrpClient::<Sha1>::new(rust_group(group));
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let b_pub = server.compute_public_ephemeral(&random::<32>(), &v);
    Box::new(move || {
        let a = random::<32>();
        time(|| {
            let a_pub = client.compute_public_ephemeral(&a);
            let reply = client.process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub);
            (a_pub, reply.expect("an honest server").proof().to_vec())
        })
        .1
    })
}

#[cfg(feature = "bench-openssl")]
mod openssl {
    //! The functions of libcrypto that libssl calls for TLS-SRP, straight from the C library.

    use std::ffi::{c_char, c_int, c_void};
    use std::ptr::null_mut;

    use super::{Engine, Group, PASSWORD, SALT, USER, random, time};

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
        let v = Number::new(super::verifier(group).expose());
        Setting { n, g, v }
    }

    pub(super) fn server(group: Group, len: usize) -> Engine {
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

    pub(super) fn client(group: Group, len: usize) -> Engine {
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
                    drop(Number::of(SRP_Calc_client_key(
                        n.get(),
                        b.get(),
                        g.get(),
                        x.get(),
                        a.get(),
                        u.get(),
                    )));
                }
            })
            .1
        })
    }

    pub(super) fn verifier(group: Group) -> Engine {
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

    pub(super) fn power(group: Group, constant_time: bool) -> Engine {
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
}
