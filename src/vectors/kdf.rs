//! PBKDF2 (RFC 8018 section 5.2), scrypt (RFC 7914), Argon2 (RFC 9106) and HKDF (RFC 5869).

use super::fields::{Checked, Fault, Fields, wrong};

/// Iterations in one case: the most that RFC 6070 has.
#[cfg(feature = "scram")]
const ITERATIONS_MAX: u64 = 16_777_216;
/// Octets of a derived key.
const KEY_MAX: u64 = 1024;
/// Blocks of 128 octets that scrypt may fill, N times r times p: the largest case of RFC 7914, a gibibyte.
const SCRYPT_BLOCKS_MAX: u64 = 1 << 23;
/// Memory of Argon2 in KiB: 256 MiB. A case that wants more is skipped, up to what the format has.
const ARGON2_MEMORY_MAX: u64 = 1 << 18;
/// Passes of Argon2.
const ARGON2_PASSES_MAX: u64 = 64;
/// Lanes of Argon2.
const ARGON2_LANES_MAX: u64 = 64;

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

pub(super) fn argon2(case: &Fields<'_>) -> Checked {
    use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};

    case.describe(&["derived"]);
    let algorithm = match case.text("variant")? {
        "argon2d" => Algorithm::Argon2d,
        "argon2i" => Algorithm::Argon2i,
        "argon2id" => Algorithm::Argon2id,
        other => return wrong(format!("Argon2 has no variant {other}")),
    };
    let version = match case.number("version", u64::from(u32::MAX))? {
        16 => Version::V0x10,
        19 => Version::V0x13,
        other => return wrong(format!("Argon2 has no version {other}")),
    };
    let memory = case.number("m_kib", u64::from(u32::MAX))?;
    if memory > ARGON2_MEMORY_MAX {
        return Err(Fault::Unsupported("Argon2 with more than 256 MiB of memory is not run"));
    }
    let data = AssociatedData::new(&case.octets("ad")?);
    let mut tag = vec![0; case.number("taglen", KEY_MAX)? as usize];
    let (passes, lanes) = (case.number("t", ARGON2_PASSES_MAX)?, case.number("p", ARGON2_LANES_MAX)?);
    let params = data.and_then(|data| {
        ParamsBuilder::new()
            .m_cost(memory as u32)
            .t_cost(passes as u32)
            .p_cost(lanes as u32)
            .data(data)
            .output_len(tag.len())
            .build()
    });
    let (password, salt, secret) = (case.octets("password")?, case.octets("salt")?, case.octets("secret")?);
    let hashed = params
        .and_then(|params| Argon2::new_with_secret(&secret, algorithm, version, params))
        .and_then(|argon2| argon2.hash_password_into(&password, &salt, &mut tag));
    match hashed {
        Ok(()) => case.expect("tag", &tag),
        Err(error) => wrong(format!("Argon2 refuses the parameters: {error}")),
    }
}

pub(super) fn hkdf(case: &Fields<'_>) -> Checked {
    match case.text("hash")? {
        "sha1" => hkdf_with::<sha1::Sha1>(case),
        "sha256" => hkdf_with::<sha2::Sha256>(case),
        "sha384" => hkdf_with::<sha2::Sha384>(case),
        "sha512" => hkdf_with::<sha2::Sha512>(case),
        other => wrong(format!("hash is not one that HKDF is used with here: {other}")),
    }
}

/// Extraction, then expansion. An absent salt and one of no octets are the same for HMAC.
fn hkdf_with<H: hmac::EagerHash>(case: &Fields<'_>) -> Checked {
    let (prk, hkdf) = hkdf::Hkdf::<H>::extract(Some(&case.octets("salt")?), &case.octets("ikm")?);
    case.expect("prk", &prk)?;
    let mut okm = vec![0; case.number("L", KEY_MAX)? as usize];
    if hkdf.expand(&case.octets("info")?, &mut okm).is_err() {
        return wrong("L is more than HKDF gives");
    }
    case.expect("okm", &okm)
}
