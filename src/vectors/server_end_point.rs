//! `tls-server-end-point` (RFC 5929 section 4.1) of whole certificates.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::fields::{Checked, Fields, wrong};
use crate::binding::{ChannelBinding, rules};

pub(super) fn check(case: &Fields<'_>) -> Checked {
    let certificate = case.octets("certificate_der")?;
    check_algorithm(case.text("signature_algorithm")?, &certificate)?;
    let undefined = case.flag("undefined_by_rfc5929")?;
    let hash = case.nullable("hash", Fields::text)?;
    let data = case.nullable("cb_data", Fields::octets)?;
    if let Some(hash) = hash {
        case.expect("cb_data", &digest(hash, &certificate)?)?;
    }
    match ChannelBinding::server_end_point_of(&certificate) {
        Ok(_) if undefined => wrong("undefined_by_rfc5929 is true, but there is a binding"),
        Ok(binding) if hash.is_some() => case.expect("cb_data", binding.data()),
        Ok(_) => wrong("there is a binding, but the file names no hash"),
        Err(error) if undefined && error.is(&rules::END_POINT_UNDEFINED) => match (hash, data) {
            (None, None) => Ok(()),
            _ => wrong("hash and cb_data must be null where nothing is defined"),
        },
        Err(error) => Err(error.into()),
    }
}

/// H of the whole certificate, by the name of H.
fn digest(name: &str, certificate: &[u8]) -> Checked<Vec<u8>> {
    Ok(match name {
        "sha224" => Sha224::digest(certificate).to_vec(),
        "sha256" => Sha256::digest(certificate).to_vec(),
        "sha384" => Sha384::digest(certificate).to_vec(),
        "sha512" => Sha512::digest(certificate).to_vec(),
        "sha512_224" => Sha512_224::digest(certificate).to_vec(),
        "sha512_256" => Sha512_256::digest(certificate).to_vec(),
        #[cfg(feature = "scram")]
        "sha3_512" => sha3::Sha3_512::digest(certificate).to_vec(),
        #[cfg(not(feature = "scram"))]
        "sha3_512" => return Err(super::Fault::Unsupported("SHA-3 needs the feature `scram`")),
        _ => return wrong(format!("hash is not known: {name}")),
    })
}

/// The certificate must hold the object identifier of the algorithm it is said to be signed with.
fn check_algorithm(name: &str, certificate: &[u8]) -> Checked {
    let oid: &[u8] = match name {
        "MD5withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4],
        "SHA224withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14],
        "SHA256withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11],
        "SHA384withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12],
        "SHA512withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13],
        "SHA512_224withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 15],
        "SHA512_256withRSA" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 16],
        "RSASSA-PSS" | "RSASSA-PSS-SHA1" => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
        "SHA256withECDSA" => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        "SHA3-512withECDSA" => &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 12],
        "Ed25519" => &[0x2b, 0x65, 0x70],
        "Ed448" => &[0x2b, 0x65, 0x71],
        _ => return wrong(format!("signature_algorithm is not known: {name}")),
    };
    const OBJECT_IDENTIFIER: u8 = 6;
    let length = u8::try_from(oid.len()).expect("the identifiers above are short");
    let encoded = [&[OBJECT_IDENTIFIER, length], oid].concat();
    if certificate.windows(encoded.len()).any(|window| window == encoded) {
        return Ok(());
    }
    wrong(format!("certificate_der is not signed with {name}"))
}
