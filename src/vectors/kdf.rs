//! PBKDF2 (RFC 8018 section 5.2) and scrypt (RFC 7914).

use super::fields::{Checked, Fields, wrong};

/// Iterations in one case: the most that RFC 6070 has.
#[cfg(feature = "scram")]
const ITERATIONS_MAX: u64 = 16_777_216;
/// Octets of a derived key.
const KEY_MAX: u64 = 1024;
/// Blocks of 128 octets that scrypt may fill, N times r times p: the largest case of RFC 7914, a gibibyte.
const SCRYPT_BLOCKS_MAX: u64 = 1 << 23;

pub(super) fn pbkdf2_or_scrypt(case: &Fields<'_>) -> Checked {
    if case.has("iterations") { pbkdf2(case) } else { scrypt(case) }
}

#[cfg(feature = "scram")]
fn pbkdf2(case: &Fields<'_>) -> Checked {
    use std::num::NonZeroU32;

    use crate::scram::{self, HashFunction};

    let hash = match case.text("hash")? {
        "sha1" => HashFunction::Sha1,
        "sha256" => HashFunction::Sha256,
        "sha512" => HashFunction::Sha512,
        "sha3_512" => HashFunction::Sha3_512,
        other => return wrong(format!("hash is not one that PBKDF2 is used with here: {other}")),
    };
    let iterations = case.number("iterations", ITERATIONS_MAX)? as u32;
    let Some(iterations) = NonZeroU32::new(iterations) else {
        return wrong("iterations is 0");
    };
    let mut key = vec![0; case.number("dklen", KEY_MAX)? as usize];
    let (password, salt, stated) = (case.octets("password")?, case.octets("salt")?, case.octets("dk")?);
    if stated.len() != key.len() {
        return wrong("dk does not have dklen octets");
    }
    scram::pbkdf2(hash, &password, &salt, iterations, &mut key);
    case.expect("dk", &key)
}

#[cfg(not(feature = "scram"))]
fn pbkdf2(case: &Fields<'_>) -> Checked {
    super::needs_scram(case)
}

fn scrypt(case: &Fields<'_>) -> Checked {
    let n = case.number("N", SCRYPT_BLOCKS_MAX)?;
    let r = case.number("r", SCRYPT_BLOCKS_MAX)?;
    let p = case.number("p", SCRYPT_BLOCKS_MAX)?;
    if n.saturating_mul(r).saturating_mul(p) > SCRYPT_BLOCKS_MAX {
        return wrong(format!("N times r times p is above the limit of {SCRYPT_BLOCKS_MAX}"));
    }
    let len = case.number("dklen", KEY_MAX)? as usize;
    let params = n
        .is_power_of_two()
        .then(|| scrypt::Params::new(n.ilog2() as u8, r as u32, p as u32))
        .and_then(Result::ok);
    let Some(params) = params else {
        return wrong("N, r and p are not parameters of scrypt");
    };
    let mut key = vec![0; len];
    let (password, salt) = (case.octets("password")?, case.octets("salt")?);
    if scrypt::scrypt(&password, &salt, &params, &mut key).is_err() {
        return wrong("dklen is not a length of scrypt");
    }
    case.expect("dk", &key)
}
