//! `benches/dictionary.rs` with the peers that need C: ring, AWS-LC, OpenSSL, fastpbkdf2, GMP.

#[path = "../../../dictionary.rs"]
mod dictionary;
mod gmp;

use std::num::NonZeroU32;

use countersign::dictionary::lanes::Prf;
use dictionary::{Derive, Gate, Power, run};

const DERIVATIONS: &[(&str, Derive)] = &[
    ("fastpbkdf2", fastpbkdf2),
    ("OpenSSL, the system's", openssl),
    ("aws-lc-rs", aws_lc_rs),
    ("ring", ring),
];
const POWERS: &[(&str, Power)] = &[("GMP powm", gmp::power)];

const GATES: &[Gate<'_>] = &[
    Gate { section: "HmacSha1", row: "login", peer: "fastpbkdf2", least: 1.2 },
    Gate { section: "HmacSha256", row: "login", peer: "fastpbkdf2", least: 1.2 },
    Gate { section: "g^x", row: "tables", peer: "GMP", least: 15.0 },
];

fn main() {
    println!("{}, GMP {}", openssl::version::version(), gmp::version());
    run(DERIVATIONS, POWERS, GATES);
}

fn fastpbkdf2(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    let derive = match prf {
        Prf::HmacSha1 => fastpbkdf2::pbkdf2_hmac_sha1,
        Prf::HmacSha256 => fastpbkdf2::pbkdf2_hmac_sha256,
        _ => fastpbkdf2::pbkdf2_hmac_sha512,
    };
    derive(password, salt, iterations.get(), out);
}

fn openssl(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    use openssl::hash::MessageDigest;
    let digest = match prf {
        Prf::HmacSha1 => MessageDigest::sha1(),
        Prf::HmacSha256 => MessageDigest::sha256(),
        _ => MessageDigest::sha512(),
    };
    openssl::pkcs5::pbkdf2_hmac(password, salt, iterations.get() as usize, digest, out)
        .expect("good arguments");
}

fn aws_lc_rs(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    use aws_lc_rs::pbkdf2;
    let algorithm = match prf {
        Prf::HmacSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Prf::HmacSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        _ => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    pbkdf2::derive(algorithm, iterations, salt, password, out);
}

fn ring(prf: Prf, password: &[u8], salt: &[u8], iterations: NonZeroU32, out: &mut [u8]) {
    use ring::pbkdf2;
    let algorithm = match prf {
        Prf::HmacSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Prf::HmacSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        _ => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    pbkdf2::derive(algorithm, iterations, salt, password, out);
}
