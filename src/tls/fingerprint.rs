//! Certificate fingerprints, to be compared by a person or vouched for by a server.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::rules;
use crate::error::{Error, Result};

/// SHA-256 of a certificate's DER form.
///
/// Parsed from 64 hex digits of either case, alone or as 32 pairs with colons between them; shown in lower case
/// without colons. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Octets of a fingerprint.
    pub const LEN: usize = 32;

    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for Fingerprint {
    fn from(octets: [u8; Self::LEN]) -> Self {
        Self(octets)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        octets_of(text.as_bytes()).map(Self).ok_or_else(|| Error::new(&rules::BAD_FINGERPRINT).about(text))
    }
}

fn octets_of(text: &[u8]) -> Option<[u8; Fingerprint::LEN]> {
    let separator = match text.len() {
        64 => 0,
        95 => 1,
        _ => return None,
    };
    let mut octets = [0; Fingerprint::LEN];
    for (octet, group) in octets.iter_mut().zip(text.chunks(2 + separator)) {
        if group.get(2).is_some_and(|&c| c != b':') {
            return None;
        }
        *octet = digit(group[0])? << 4 | digit(group[1])?;
    }
    Some(octets)
}

fn digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = |octet: &u8| [octet >> 4, octet & 15].map(|nibble| DIGITS[usize::from(nibble)]);
        let text = self.0.iter().flat_map(digits).collect::<Vec<_>>();
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn with_colons() -> String {
        let pairs: Vec<_> =
            PLAIN.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        pairs.join(":")
    }

    #[test]
    fn is_the_sha_256_of_the_certificate_in_lower_case() {
        assert_eq!(Fingerprint::of(b"abc").to_string(), PLAIN);
    }

    #[test]
    fn parses_both_forms_in_either_case() {
        for text in [PLAIN.to_owned(), PLAIN.to_uppercase(), with_colons(), with_colons().to_uppercase()] {
            assert_eq!(text.parse::<Fingerprint>().unwrap(), Fingerprint::of(b"abc"), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let colons = with_colons();
        let mut bad = vec![
            String::new(),
            PLAIN[1..].to_owned(),
            format!("{PLAIN}0"),
            colons[1..].to_owned(),
            format!("{colons}:"),
            colons.replacen(':', "-", 1),
            PLAIN.replacen('b', "g", 1),
            PLAIN.replacen("ba", "+a", 1),
            PLAIN.replacen("ba", "\u{e9}", 1),
        ];
        // A colon in every wrong place of the plain form.
        bad.extend((0..PLAIN.len()).map(|at| format!("{}:{}", &PLAIN[..at], &PLAIN[at + 1..])));
        for text in bad {
            assert!(text.parse::<Fingerprint>().unwrap_err().is(&rules::BAD_FINGERPRINT), "{text}");
        }
    }
}
