//! Verifiers: what the server stores, and how it is made.

use std::fmt;
use std::num::NonZeroU32;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::dialect::{Dialect, Hash, Identity};
use super::group::{Group, is_below, minimal};
use super::rules;
use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};
use crate::pbkdf2::{self, Prf};
use crate::prep::Preparation;
use crate::secret::{Password, SecretBytes};

/// Octets of a new record's salt.
pub const SALT_LEN: usize = 16;

/// Longest salt, in octets: what SASL SRP can carry.
pub const SALT_MAX: usize = 255;

/// Shortest salt that the pre-hashes take, in octets (RFC 9106 section 3.1).
pub const PREHASH_SALT_MIN: usize = 8;

/// Most iterations of [`Prehash::Pbkdf2`]; the server names them, so the client must have a limit.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Octets that a pre-hash gives.
const PREHASH_LEN: usize = 32;

const SIMULATION_LABEL: &[u8] = b"countersign SRP unknown user v1";

/// What is done to the password before SRP's own fast hash.
///
/// # Security
/// A stolen verifier is tested with tables of powers: some 100,000 guesses a second at 2048 bits. Only a pre-hash
/// makes guesses slow; both sides must know of it, so it cannot be used with peers of the plain dialects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prehash {
    /// Nothing, as most dialects have it.
    #[default]
    None,
    /// A slow hash under the record's salt; 32 octets take the place of the password.
    Ksf(Ksf),
    /// PBKDF2-HMAC-SHA-256 of the password's SHA-256 under the record's salt, 32 octets, as [`Dialect::APPLE_GSA`] has
    /// it; 1 to [`PBKDF2_ITERATIONS_MAX`].
    Pbkdf2(u32),
}

/// Everything that both sides must agree on before they exchange values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct Parameters {
    /// The dialect.
    pub dialect: Dialect,
    /// The group.
    pub group: Group,
    /// What is done to the password first.
    pub prehash: Prehash,
}

impl Parameters {
    /// x, from the password as its preparation gave it.
    pub(super) fn x(
        &self,
        username: &str,
        password: &SecretBytes,
        salt: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        check_salt(salt, self.prehash)?;
        if password.is_empty() {
            return Err(Error::new(&rules::EMPTY_PASSWORD));
        }
        let stretched = match self.prehash {
            Prehash::None => Zeroizing::new(password.expose().to_vec()),
            Prehash::Ksf(ksf) => {
                Zeroizing::new(ksf.stretch::<PREHASH_LEN>(password.expose(), salt)?.to_vec())
            }
            Prehash::Pbkdf2(iterations) => pbkdf2_sha256(password.expose(), salt, iterations)?,
        };
        Ok(self.dialect.x(username.as_bytes(), &stretched, salt))
    }
}

fn check_salt(salt: &[u8], prehash: Prehash) -> Result<()> {
    let least = if matches!(prehash, Prehash::Ksf(_)) { PREHASH_SALT_MIN } else { 1 };
    if !(least..=SALT_MAX).contains(&salt.len()) {
        return Err(Error::new(&rules::SALT_LENGTH));
    }
    Ok(())
}

/// PBKDF2 (RFC 8018 section 5.2) over the SHA-256 of the password, by the loop that the dictionary's guesses are
/// measured against.
fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: u32) -> Result<Zeroizing<Vec<u8>>> {
    if iterations > PBKDF2_ITERATIONS_MAX {
        let (demanded, limit) = (iterations.into(), PBKDF2_ITERATIONS_MAX.into());
        return Err(Error::exceeds(&ksf::rules::EXCESSIVE_WORK, demanded, limit));
    }
    let Some(iterations) = NonZeroU32::new(iterations) else {
        return Err(Error::new(&ksf::rules::BAD_PARAMETERS).about("PBKDF2"));
    };
    let mut out = Zeroizing::new(vec![0; PREHASH_LEN]);
    pbkdf2::derive(Prf::HmacSha256, &Hash::Sha256.digest(&[password]), salt, iterations, &mut out);
    Ok(out)
}

/// The stored record of one user: salt, v = g^x, and how x was made.
///
/// # Security
/// Who steals it can pose as the server and test guesses at the password offline; it does not let him log in. Wiped on
/// drop.
#[derive(Clone)]
pub struct Verifier {
    hash: Hash,
    identity: Identity,
    group: Group,
    prehash: Prehash,
    salt: Vec<u8>,
    /// As many octets as N.
    verifier: SecretBytes,
    /// Made up for an unknown user: no proof against it counts.
    simulated: bool,
}

impl Verifier {
    /// A new verifier under 16 random octets of salt.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`], what the preparation refuses, and those of the pre-hash.
    pub fn generate(
        parameters: &Parameters,
        username: &str,
        password: &Password,
        preparation: Preparation,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        Self::derive(parameters, username, &preparation.prepare(password)?, &salt)
    }

    /// The verifier of a prepared password under this salt, 1 to [`SALT_MAX`] octets.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`], [`rules::SALT_LENGTH`], and those of the pre-hash.
    pub fn derive(
        parameters: &Parameters,
        username: &str,
        password: &SecretBytes,
        salt: &[u8],
    ) -> Result<Self> {
        let x = parameters.x(username, password, salt)?;
        let v = parameters.group.generator_power(&x);
        Self::from_parts(parameters, salt, &v)
    }

    /// From a salt and v, big-endian; leading zero octets of v do not matter.
    ///
    /// # Errors
    /// [`rules::SALT_LENGTH`]; [`rules::BAD_VERIFIER`] unless v is from 2 to N-2.
    pub fn from_parts(parameters: &Parameters, salt: &[u8], v: &[u8]) -> Result<Self> {
        check_salt(salt, parameters.prehash)?;
        let Parameters { dialect, group, prehash } = *parameters;
        let value = minimal(v);
        if value.len() > group.len() {
            return Err(Error::new(&rules::BAD_VERIFIER));
        }
        let verifier = SecretBytes::new(group.pad(value));
        let mut last = group.modulus().to_vec();
        *last.last_mut().expect("not empty") -= 1;
        if value.is_empty() || value == [1] || !is_below(verifier.expose(), &last) {
            return Err(Error::new(&rules::BAD_VERIFIER));
        }
        Ok(Self {
            hash: dialect.hash,
            identity: dialect.identity,
            group,
            prehash,
            salt: salt.to_vec(),
            verifier,
            simulated: false,
        })
    }

    /// A record for a user who does not exist, the same for each call.
    ///
    /// v is random instead of a power, which takes no power to make and cannot be told from one: B hides it.
    pub(crate) fn simulated(parameters: &Parameters, seed: &SecretBytes, username: &str) -> Self {
        let Parameters { dialect, group, prehash } = *parameters;
        let stream = |kind: &[u8], counter: u8| {
            Hash::Sha256.hmac(seed.expose(), &[SIMULATION_LABEL, kind, &[counter], username.as_bytes()])
        };
        let salt = stream(b"salt", 0)[..SALT_LEN].to_vec();
        let mut verifier = Vec::with_capacity(group.len() + Hash::Sha256.output_len());
        (0..)
            .take_while(|counter| usize::from(*counter) * Hash::Sha256.output_len() < group.len())
            .for_each(|counter: u8| verifier.extend_from_slice(&stream(b"verifier", counter)));
        verifier.truncate(group.len());
        // Below N, whose first bit is set in all groups; and neither 0 nor 1.
        verifier[0] &= 0x7f;
        *verifier.last_mut().expect("not empty") |= 2;
        Self {
            hash: dialect.hash,
            identity: dialect.identity,
            group,
            prehash,
            salt,
            verifier: SecretBytes::new(verifier),
            simulated: true,
        }
    }

    #[cfg(test)]
    pub(super) fn mark_simulated(&mut self) {
        self.simulated = true;
    }

    /// The hash it was made with.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether the user's name is in it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }

    /// What the client must do to the password first.
    #[must_use]
    pub fn prehash(&self) -> Prehash {
        self.prehash
    }

    /// The salt, 1 to [`SALT_MAX`] octets.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// v, as many octets as N.
    ///
    /// # Security
    /// See [`Verifier`].
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.verifier.expose()
    }

    /// Whether the password is the one this verifier was made from; the comparison is constant time.
    ///
    /// # Errors
    /// What the preparation refuses, and those of the pre-hash.
    pub fn check(&self, username: &str, password: &Password, preparation: Preparation) -> Result<bool> {
        use subtle::ConstantTimeEq;
        let dialect = Dialect { hash: self.hash, identity: self.identity, ..Dialect::RFC5054 };
        let parameters = Parameters { dialect, group: self.group, prehash: self.prehash };
        let password = preparation.prepare(password)?;
        let derived = Self::derive(&parameters, username, &password, &self.salt)?;
        Ok(derived.verifier.ct_eq(&self.verifier).into())
    }

    pub(super) fn fits(&self, dialect: &Dialect) -> bool {
        (self.hash, self.identity) == (dialect.hash, dialect.identity)
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.simulated
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({}, {} bits, redacted)", self.hash, self.group)
    }
}
