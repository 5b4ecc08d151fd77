//! The hash of `tls-server-end-point` (RFC 5929 section 4.1), with as much DER as it takes to find its name.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::rules;
use crate::error::{Error, Result};

/// The certificate's hash by its own `signatureAlgorithm`.
pub(super) fn hash(certificate: &[u8]) -> Result<Vec<u8>> {
    let algorithm = signature_algorithm(certificate).ok_or_else(|| Error::new(&rules::BAD_CERTIFICATE))?;
    let named = if algorithm.oid == RSASSA_PSS {
        let hash = pss_hash(algorithm.parameters).ok_or_else(|| Error::new(&rules::BAD_CERTIFICATE))?;
        look_up(HASHES, hash)
    } else {
        look_up(SIGNATURES, algorithm.oid)
    };
    named.map(|hash| hash.digest(certificate)).ok_or_else(|| Error::new(&rules::END_POINT_UNDEFINED))
}

/// A hash function as RFC 5929 wants it used: SHA-256 stands for MD5 and SHA-1.
#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
    #[cfg(feature = "scram")]
    Sha3_224,
    #[cfg(feature = "scram")]
    Sha3_256,
    #[cfg(feature = "scram")]
    Sha3_384,
    #[cfg(feature = "scram")]
    Sha3_512,
}

impl Hash {
    fn digest(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha224 => Sha224::digest(octets).to_vec(),
            Self::Sha256 => Sha256::digest(octets).to_vec(),
            Self::Sha384 => Sha384::digest(octets).to_vec(),
            Self::Sha512 => Sha512::digest(octets).to_vec(),
            Self::Sha512_224 => Sha512_224::digest(octets).to_vec(),
            Self::Sha512_256 => Sha512_256::digest(octets).to_vec(),
            #[cfg(feature = "scram")]
            Self::Sha3_224 => sha3::Sha3_224::digest(octets).to_vec(),
            #[cfg(feature = "scram")]
            Self::Sha3_256 => sha3::Sha3_256::digest(octets).to_vec(),
            #[cfg(feature = "scram")]
            Self::Sha3_384 => sha3::Sha3_384::digest(octets).to_vec(),
            #[cfg(feature = "scram")]
            Self::Sha3_512 => sha3::Sha3_512::digest(octets).to_vec(),
        }
    }
}

/// An algorithm by an object identifier's arc and last components.
struct Entry {
    arc: &'static [u8],
    last: &'static [u8],
    hash: Hash,
}

const fn entry(arc: &'static [u8], last: &'static [u8], hash: Hash) -> Entry {
    Entry { arc, last, hash }
}

fn look_up(table: &[Entry], oid: &[u8]) -> Option<Hash> {
    table.iter().find(|entry| oid.strip_prefix(entry.arc) == Some(entry.last)).map(|entry| entry.hash)
}

// Arcs, as the content octets of their DER.
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4];
const NIST_HASH: &[u8] = &[0x60, 0x86, 0x48, 1, 101, 3, 4, 2];
const NIST_SIGNATURE: &[u8] = &[0x60, 0x86, 0x48, 1, 101, 3, 4, 3];
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];

/// Signature algorithms (RFC 8017 appendix A.2.4, RFC 3279 section 2.2, RFC 5758, NIST CSOR).
static SIGNATURES: &[Entry] = &[
    entry(PKCS1, &[4], Hash::Sha256),
    entry(PKCS1, &[5], Hash::Sha256),
    entry(PKCS1, &[11], Hash::Sha256),
    entry(PKCS1, &[12], Hash::Sha384),
    entry(PKCS1, &[13], Hash::Sha512),
    entry(PKCS1, &[14], Hash::Sha224),
    entry(PKCS1, &[15], Hash::Sha512_224),
    entry(PKCS1, &[16], Hash::Sha512_256),
    entry(ECDSA, &[1], Hash::Sha256),
    entry(ECDSA, &[3, 1], Hash::Sha224),
    entry(ECDSA, &[3, 2], Hash::Sha256),
    entry(ECDSA, &[3, 3], Hash::Sha384),
    entry(ECDSA, &[3, 4], Hash::Sha512),
    entry(DSA, &[3], Hash::Sha256),
    entry(NIST_SIGNATURE, &[1], Hash::Sha224),
    entry(NIST_SIGNATURE, &[2], Hash::Sha256),
    entry(NIST_SIGNATURE, &[3], Hash::Sha384),
    entry(NIST_SIGNATURE, &[4], Hash::Sha512),
    // With SHA-3: ECDSA 9 to 12, RSA 13 to 16.
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[9], Hash::Sha3_224),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[10], Hash::Sha3_256),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[11], Hash::Sha3_384),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[12], Hash::Sha3_512),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[13], Hash::Sha3_224),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[14], Hash::Sha3_256),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[15], Hash::Sha3_384),
    #[cfg(feature = "scram")]
    entry(NIST_SIGNATURE, &[16], Hash::Sha3_512),
];

/// Hashes in the parameters of RSASSA-PSS (RFC 8017 appendix B.1).
static HASHES: &[Entry] = &[
    entry(SHA1, &[], Hash::Sha256),
    entry(MD5, &[], Hash::Sha256),
    entry(NIST_HASH, &[1], Hash::Sha256),
    entry(NIST_HASH, &[2], Hash::Sha384),
    entry(NIST_HASH, &[3], Hash::Sha512),
    entry(NIST_HASH, &[4], Hash::Sha224),
    entry(NIST_HASH, &[5], Hash::Sha512_224),
    entry(NIST_HASH, &[6], Hash::Sha512_256),
    #[cfg(feature = "scram")]
    entry(NIST_HASH, &[7], Hash::Sha3_224),
    #[cfg(feature = "scram")]
    entry(NIST_HASH, &[8], Hash::Sha3_256),
    #[cfg(feature = "scram")]
    entry(NIST_HASH, &[9], Hash::Sha3_384),
    #[cfg(feature = "scram")]
    entry(NIST_HASH, &[10], Hash::Sha3_512),
];

const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

/// `AlgorithmIdentifier`; the parameters are whatever follows the identifier.
struct Algorithm<'a> {
    oid: &'a [u8],
    parameters: &'a [u8],
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`, RFC 5280 section 4.1.
fn signature_algorithm(certificate: &[u8]) -> Option<Algorithm<'_>> {
    let mut fields = only(certificate, SEQUENCE)?;
    take(&mut fields, SEQUENCE)?;
    let found = algorithm(take(&mut fields, SEQUENCE)?)?;
    only(fields, BIT_STRING)?;
    Some(found)
}

fn algorithm(mut content: &[u8]) -> Option<Algorithm<'_>> {
    let oid = take(&mut content, OBJECT_IDENTIFIER)?;
    Some(Algorithm { oid, parameters: content })
}

/// The hash of `RSASSA-PSS-params`; SHA-1 where it is left out (RFC 4055 section 3.1).
fn pss_hash(parameters: &[u8]) -> Option<&[u8]> {
    let mut fields = only(parameters, SEQUENCE)?;
    if fields.first() != Some(&CONTEXT_0) {
        return Some(SHA1);
    }
    let hash = take(&mut fields, CONTEXT_0)?;
    Some(algorithm(only(hash, SEQUENCE)?)?.oid)
}

/// The content of an element that has nothing behind it.
fn only(mut octets: &[u8], tag: u8) -> Option<&[u8]> {
    let content = take(&mut octets, tag)?;
    octets.is_empty().then_some(content)
}

/// The content of the first element; `octets` goes on behind it.
fn take<'a>(octets: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let value = length.iter().fold(0, |value, &octet| value << 8 | usize::from(octet));
            // DER has one form for each length: no leading zero, and the short form below 128.
            if length[0] == 0 || value < 0x80 {
                return None;
            }
            (value, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    if found != tag {
        return None;
    }
    *octets = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelBinding;

    struct Case {
        name: String,
        certificate: Vec<u8>,
        value: Option<Vec<u8>>,
    }

    fn cases() -> Vec<Case> {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/tls_server_end_point.json")).unwrap();
        let unhex = |value: &serde_json::Value| {
            Some(
                value
                    .as_str()?
                    .as_bytes()
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                    .collect::<Vec<_>>(),
            )
        };
        file["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| Case {
                name: case["signature_algorithm"].as_str().unwrap().to_owned(),
                certificate: unhex(&case["certificate_der"]).unwrap(),
                value: unhex(&case["cb_data"]),
            })
            .collect()
    }

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut octets = vec![tag];
        match content.len() {
            short @ 0..=0x7f => octets.push(short as u8),
            long => octets.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        octets.extend_from_slice(content);
        octets
    }

    /// A certificate with no more in it than the algorithm.
    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, oid)[..], parameters].concat());
        der(SEQUENCE, &[der(SEQUENCE, b""), algorithm, der(BIT_STRING, &[0])].concat())
    }

    #[test]
    fn published_certificates_hash_by_their_signature() {
        let cases = cases();
        assert_eq!(cases.len(), 11);
        for case in cases {
            let sha3_is_missing = case.name.starts_with("SHA3") && cfg!(not(feature = "scram"));
            let result = ChannelBinding::server_end_point_of(&case.certificate);
            match case.value {
                Some(value) if !sha3_is_missing => assert_eq!(result.unwrap().data(), value, "{}", case.name),
                _ => assert!(result.unwrap_err().is(&rules::END_POINT_UNDEFINED), "{}", case.name),
            }
        }
    }

    #[test]
    fn truncated_and_extended_certificates_are_refused() {
        for case in cases() {
            for end in 0..case.certificate.len() {
                let error = hash(&case.certificate[..end]).unwrap_err();
                assert!(error.is(&rules::BAD_CERTIFICATE), "{} at {end}", case.name);
            }
            let longer = [&case.certificate[..], &[0]].concat();
            assert!(hash(&longer).unwrap_err().is(&rules::BAD_CERTIFICATE), "{}", case.name);
        }
    }

    #[test]
    fn a_flipped_bit_never_keeps_the_hash() {
        for case in cases() {
            let original = hash(&case.certificate).ok();
            for at in 0..case.certificate.len() {
                let mut flipped = case.certificate.clone();
                flipped[at] ^= 1 << (at % 8);
                let result = hash(&flipped).ok();
                assert!(result.is_none() || result != original, "{} octet {at}", case.name);
            }
        }
    }

    #[test]
    fn pss_without_a_hash_means_sha_1_and_so_sha_256() {
        let octets = certificate(RSASSA_PSS, &der(SEQUENCE, b""));
        assert_eq!(hash(&octets).unwrap(), Sha256::digest(&octets).to_vec());
    }

    #[test]
    fn pss_without_parameters_is_refused() {
        let error = hash(&certificate(RSASSA_PSS, b"")).unwrap_err();
        assert!(error.is(&rules::BAD_CERTIFICATE));
    }

    #[test]
    fn pss_with_an_unknown_hash_is_undefined() {
        let algorithm = der(SEQUENCE, &der(OBJECT_IDENTIFIER, &[0x2b, 1]));
        let octets = certificate(RSASSA_PSS, &der(SEQUENCE, &der(CONTEXT_0, &algorithm)));
        assert!(hash(&octets).unwrap_err().is(&rules::END_POINT_UNDEFINED));
    }

    #[test]
    fn unknown_signature_algorithms_are_undefined() {
        // ML-DSA-65, an arc alone, and an arc with too much behind it.
        for oid in [&[NIST_SIGNATURE, &[18]].concat()[..], PKCS1, &[PKCS1, &[11, 1]].concat()] {
            assert!(hash(&certificate(oid, b"")).unwrap_err().is(&rules::END_POINT_UNDEFINED));
        }
    }

    #[test]
    fn lengths_in_a_second_form_are_refused() {
        let content = [1; 0x80];
        let mut good = &[&[SEQUENCE, 0x81, 0x80], &content[..]].concat()[..];
        assert_eq!(take(&mut good, SEQUENCE), Some(&content[..]));
        for bad in [
            &[SEQUENCE, 0x80, 0, 0][..],
            &[SEQUENCE, 0x81, 1, 0],
            &[SEQUENCE, 0x81, 0x7f],
            &[&[SEQUENCE, 0x82, 0, 0x80], &content[..]].concat(),
            &[SEQUENCE, 0x84, 0, 0, 0, 1, 0],
            &[SEQUENCE, 0xff, 0xff],
        ] {
            assert_eq!(take(&mut { bad }, SEQUENCE), None, "{bad:?}");
        }
    }
}
