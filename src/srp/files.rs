//! Verifiers as other programs store them: OpenSSL's srpvfile, GnuTLS's tpasswd and tpasswd.conf, and Cyrus SASL's
//! property `cmusaslsecretSRP`. All of them are for SHA-1 with the name in x, and without a pre-hash.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::credential::{Parameters, Prehash, Verifier};
use super::dialect::{Dialect, Hash, Identity};
use super::group::{Group, Legacy, minimal};
use super::rules;
use super::sasl::wire::{Builder, Reader};
use crate::error::{Error, Result};

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz./";

/// The groups of tpasswd.conf, as `srptool --create-conf` numbers them.
const GNUTLS_INDICES: [(u8, Group); 7] = [
    (1, Group::Bits1024),
    (2, Group::Bits1536),
    (3, Group::Bits2048),
    (4, Group::Bits3072),
    (5, Group::Bits4096),
    (6, Group::Bits6144),
    (7, Group::Bits8192),
];

impl Verifier {
    /// A user's line of an OpenSSL srpvfile, without its end: `V`, v, salt, name, bits and information, between tabs.
    ///
    /// # Errors
    /// [`rules::NOT_EXPRESSIBLE`]: for another hash, a pre-hash, a group outside RFC 5054, a name with a tab or a line
    /// break, and for a salt that begins with a zero octet, which OpenSSL would lose.
    pub fn to_openssl(&self, username: &str) -> Result<Zeroizing<String>> {
        self.expressible(username, &['\t', '\n', '\r', '\\'])?;
        let fields = ["V", &to_digits(self.expose()), &to_digits(self.salt()), username];
        Ok(Zeroizing::new(format!("{}\t{}\t", fields.join("\t"), self.group())))
    }

    /// Reads a user's line of an OpenSSL srpvfile; gives the name too.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`], also for lines of other kinds than `V`; [`rules::UNKNOWN_GROUP`],
    /// [`rules::GROUP_TOO_SMALL`], [`rules::SALT_LENGTH`], [`rules::BAD_VERIFIER`].
    pub fn from_openssl(line: &str, legacy: Legacy) -> Result<(String, Self)> {
        let mut fields = line.trim_end_matches(['\r', '\n']).split('\t');
        let (Some("V"), Some(v), Some(salt), Some(name), Some(bits)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(Error::new(&rules::BAD_RECORD));
        };
        if name.is_empty() || fields.count() > 1 {
            return Err(Error::new(&rules::BAD_RECORD));
        }
        let bits = bits.parse().map_err(|_| Error::new(&rules::UNKNOWN_GROUP).about(bits))?;
        let parameters = plain(Group::from_bits(bits, legacy)?);
        let verifier = Self::from_parts(&parameters, &from_digits(salt)?, &from_digits(v)?)?;
        Ok((name.to_owned(), verifier))
    }

    /// A user's line of a GnuTLS tpasswd file, without its end: name, v, salt and the group's index, between colons.
    ///
    /// # Errors
    /// As [`Verifier::to_openssl`]; a name may not have a colon.
    pub fn to_gnutls(&self, username: &str) -> Result<Zeroizing<String>> {
        self.expressible(username, &[':', '\n', '\r'])?;
        let (index, _) = GNUTLS_INDICES
            .iter()
            .find(|(_, group)| *group == self.group())
            .ok_or_else(|| Error::new(&rules::NOT_EXPRESSIBLE))?;
        let (v, salt) = (to_digits(self.expose()), to_digits(self.salt()));
        Ok(Zeroizing::new(format!("{username}:{}:{}:{index}", *v, *salt)))
    }

    /// Reads a user's line of a GnuTLS tpasswd file; gives the name too. `conf` is the text of the tpasswd.conf beside
    /// it, which says what the indices stand for; without it they are those of `srptool --create-conf`.
    ///
    /// # Errors
    /// As [`Verifier::from_openssl`].
    pub fn from_gnutls(line: &str, conf: Option<&str>, legacy: Legacy) -> Result<(String, Self)> {
        let fields = line.trim_end_matches(['\r', '\n']).split(':').collect::<Vec<_>>();
        let &[name, v, salt, index] = &fields[..] else {
            return Err(Error::new(&rules::BAD_RECORD));
        };
        if name.is_empty() {
            return Err(Error::new(&rules::BAD_RECORD));
        }
        let group = match conf {
            Some(conf) => {
                let line = conf.lines().find(|line| line.split(':').next() == Some(index));
                group_from_gnutls(
                    line.ok_or_else(|| Error::new(&rules::UNKNOWN_GROUP).about(index))?,
                    legacy,
                )?
                .1
            }
            None => GNUTLS_INDICES
                .into_iter()
                .find(|(known, _)| known.to_string() == index)
                .ok_or_else(|| Error::new(&rules::UNKNOWN_GROUP).about(index))?
                .1
                .checked(legacy)?,
        };
        let verifier = Self::from_parts(&plain(group), &from_digits(salt)?, &from_digits(v)?)?;
        Ok((name.to_owned(), verifier))
    }

    /// The value of Cyrus SASL's property `cmusaslsecretSRP`: base64 of the hash's name, v and the salt.
    ///
    /// # Errors
    /// [`rules::NOT_EXPRESSIBLE`]: for another hash, a pre-hash, or another group than that of 2048 bits, which alone
    /// Cyrus SASL uses.
    pub fn to_cyrus(&self) -> Result<Zeroizing<String>> {
        if !self.is_plain() || self.group() != Group::Bits2048 {
            return Err(Error::new(&rules::NOT_EXPRESSIBLE));
        }
        let buffer = Builder::new().utf8(Hash::Sha1.name())?.mpi(self.expose())?.os(self.salt())?.finish();
        Ok(Zeroizing::new(Base64::encode_string(&Zeroizing::new(buffer))))
    }

    /// Reads the value of Cyrus SASL's property `cmusaslsecretSRP`.
    ///
    /// Cyrus SASL's own tool puts `user@realm` into x, while its login takes the name as the client sent it.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`], also for hashes other than SHA-1; [`rules::SALT_LENGTH`], [`rules::BAD_VERIFIER`].
    pub fn from_cyrus(property: &str) -> Result<Self> {
        let bad = |_: Error| Error::new(&rules::BAD_RECORD);
        let octets = Base64::decode_vec(property.trim()).map_err(|_| Error::new(&rules::BAD_RECORD))?;
        let octets = Zeroizing::new(octets);
        let mut reader = Reader::buffer(&octets).map_err(bad)?;
        let hash = reader.utf8().map_err(bad)?;
        let (v, salt) = (reader.mpi().map_err(bad)?, reader.os().map_err(bad)?);
        reader.end().map_err(bad)?;
        if !hash.eq_ignore_ascii_case(Hash::Sha1.name()) {
            return Err(Error::new(&rules::BAD_RECORD).about(hash));
        }
        Self::from_parts(&plain(Group::Bits2048), salt, v)
    }

    fn is_plain(&self) -> bool {
        (self.hash(), self.identity(), self.prehash()) == (Hash::Sha1, Identity::Included, Prehash::None)
    }

    fn expressible(&self, username: &str, separators: &[char]) -> Result<()> {
        let group = GNUTLS_INDICES.iter().any(|(_, group)| *group == self.group());
        let salt = self.salt().first() != Some(&0);
        if self.is_plain() && group && salt && !username.is_empty() && !username.contains(separators) {
            Ok(())
        } else {
            Err(Error::new(&rules::NOT_EXPRESSIBLE))
        }
    }
}

/// The line of a GnuTLS tpasswd.conf for a group: index, N and g, between colons.
///
/// # Errors
/// [`rules::NOT_EXPRESSIBLE`] for a group outside RFC 5054.
pub fn group_to_gnutls(group: Group) -> Result<String> {
    let (index, _) = GNUTLS_INDICES
        .iter()
        .find(|(_, known)| *known == group)
        .ok_or_else(|| Error::new(&rules::NOT_EXPRESSIBLE))?;
    Ok(format!("{index}:{}:{}", *to_digits(group.modulus()), *to_digits(&[group.generator()])))
}

/// Reads a line of a GnuTLS tpasswd.conf: the index, and the group if it is a known one.
///
/// # Errors
/// [`rules::BAD_RECORD`], [`rules::UNKNOWN_GROUP`], [`rules::GROUP_TOO_SMALL`].
pub fn group_from_gnutls(line: &str, legacy: Legacy) -> Result<(u32, Group)> {
    let fields = line.trim_end_matches(['\r', '\n']).split(':').collect::<Vec<_>>();
    let &[index, modulus, generator] = &fields[..] else {
        return Err(Error::new(&rules::BAD_RECORD));
    };
    let index = index.parse().map_err(|_| Error::new(&rules::BAD_RECORD).about(index))?;
    Ok((index, Group::find(&from_digits(modulus)?, &from_digits(generator)?, legacy)?))
}

fn plain(group: Group) -> Parameters {
    Parameters { dialect: Dialect::RFC5054, group, prehash: Prehash::None }
}

/// A number in base 64, most significant digit first, without leading zeros.
fn to_digits(octets: &[u8]) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(Vec::with_capacity(octets.len() / 3 * 4 + 4));
    let (mut rest, mut bits) = (0_u32, 0);
    for octet in octets.iter().rev() {
        rest |= u32::from(*octet) << bits;
        bits += 8;
        while bits >= 6 {
            digits.push(DIGITS[(rest & 63) as usize]);
            rest >>= 6;
            bits -= 6;
        }
    }
    digits.push(DIGITS[rest as usize]);
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let text = digits[..digits.len() - zeros].iter().rev().map(|digit| char::from(*digit)).collect();
    Zeroizing::new(text)
}

/// The reverse of [`to_digits`]: octets without leading zeros.
fn from_digits(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut rest, mut bits) = (0_u32, 0);
    for digit in text.bytes().rev() {
        let value =
            DIGITS.iter().position(|known| *known == digit).ok_or_else(|| Error::new(&rules::BAD_RECORD))?;
        rest |= (value as u32) << bits;
        bits += 6;
        if bits >= 8 {
            octets.push(rest as u8);
            rest >>= 8;
            bits -= 8;
        }
    }
    octets.push(rest as u8);
    octets.reverse();
    Ok(Zeroizing::new(minimal(&octets).to_vec()))
}
