//! What each side may keep: the server's record, and the client's cached keys.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::hash::{HashFunction, Key, OUTPUT_MAX};
use super::pbkdf2::pbkdf2;
use super::{ITERATIONS_MAX, ITERATIONS_MIN, rules, wire};
use crate::error::{Error, Result};
use crate::prep::Preparation;
use crate::secret::Password;

/// Octets of a new record's salt.
pub const SALT_LEN: usize = 16;

/// The record of one user on the server's side (RFC 5802 section 3): salt, iteration count, StoredKey, ServerKey.
///
/// # Security
/// Not the password, but enough to test guesses offline, to pose as the server, and, with one recorded exchange, to
/// log in. The keys are wiped on drop and not shown by `Debug`.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    hash: HashFunction,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: Key,
    server_key: Key,
}

impl StoredCredential {
    /// The record of `password` under a salt (1 to [`SALT_MAX`](wire::SALT_MAX) octets) and an iteration count
    /// ([`ITERATIONS_MIN`] to [`ITERATIONS_MAX`]).
    ///
    /// # Errors
    /// [`rules::SALT_LENGTH`], [`rules::TOO_FEW_ITERATIONS`], [`rules::TOO_MANY_ITERATIONS`], and what the
    /// preparation refuses.
    pub fn derive(
        hash: HashFunction,
        password: &Password,
        preparation: Preparation,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self> {
        wire::check_salt_len(salt.len())?;
        let iterations = super::check_iterations(iterations.into(), &(ITERATIONS_MIN..=ITERATIONS_MAX))?;
        let prepared = preparation.prepare(password)?;
        Ok(Self::from_prepared(hash, prepared.expose(), salt, iterations))
    }

    /// A new record: 16 random octets of salt, and the hash's
    /// [`default_iterations`](HashFunction::default_iterations).
    ///
    /// # Errors
    /// What the preparation refuses.
    pub fn generate(
        hash: HashFunction,
        password: &Password,
        preparation: Preparation,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        Self::generate_with(hash, password, preparation, hash.default_iterations(), rng)
    }

    /// A new record with 16 random octets of salt and this iteration count.
    ///
    /// # Errors
    /// As [`Self::derive`].
    pub fn generate_with(
        hash: HashFunction,
        password: &Password,
        preparation: Preparation,
        iterations: u32,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        Self::derive(hash, password, preparation, &salt, iterations)
    }

    /// A record from its parts, as another program stored them: any iteration count from 1, and keys as long as the
    /// hash's output.
    ///
    /// # Errors
    /// [`rules::SALT_LENGTH`]; [`rules::BAD_RECORD`] for keys of another length.
    pub fn from_parts(
        hash: HashFunction,
        salt: &[u8],
        iterations: NonZeroU32,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Result<Self> {
        wire::check_salt_len(salt.len())?;
        if [stored_key, server_key].iter().any(|key| key.len() != hash.output_len()) {
            return Err(Error::new(&rules::BAD_RECORD));
        }
        let (stored_key, server_key) = (Key::new(stored_key), Key::new(server_key));
        Ok(Self { hash, salt: salt.to_vec(), iterations, stored_key, server_key })
    }

    /// Whether the password is the one this record was made from; the comparison is constant time. A count below
    /// [`ITERATIONS_MIN`] passes here.
    ///
    /// # Errors
    /// [`rules::TOO_MANY_ITERATIONS`] above [`ITERATIONS_MAX`], and what the preparation refuses.
    pub fn check(&self, password: &Password, preparation: Preparation) -> Result<bool> {
        super::check_iterations(self.iterations.get().into(), &(1..=ITERATIONS_MAX))?;
        let prepared = preparation.prepare(password)?;
        let made = Self::from_prepared(self.hash, prepared.expose(), &self.salt, self.iterations);
        let same = made.stored_key().ct_eq(self.stored_key()) & made.server_key().ct_eq(self.server_key());
        Ok(same.into())
    }

    /// The record of octets that are prepared already, empty ones too: published vectors have them.
    pub(crate) fn from_prepared(
        hash: HashFunction,
        prepared: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Self {
        ClientKeys::from_prepared(hash, prepared, salt, iterations).to_stored()
    }

    /// A record that answers for a user who does not exist. Its keys are `key`, cut or padded with zeros.
    pub(super) fn simulated(hash: HashFunction, salt: &[u8], iterations: NonZeroU32, key: &[u8; 32]) -> Self {
        let mut octets = [0; OUTPUT_MAX];
        octets[..key.len()].copy_from_slice(key);
        let key = Key::new(&octets[..hash.output_len()]);
        Self { hash, salt: salt.to_vec(), iterations, stored_key: key.clone(), server_key: key }
    }

    /// The hash function.
    #[must_use]
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The salt, 1 to [`SALT_MAX`](wire::SALT_MAX) octets.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count. A record that was imported may be below what clients accept today.
    #[must_use]
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// StoredKey: H(ClientKey).
    ///
    /// # Security
    /// Tests guesses offline; with one recorded exchange it gives ClientKey and so the login.
    #[must_use]
    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.expose()
    }

    /// ServerKey.
    ///
    /// # Security
    /// Whoever holds it can pose as the server.
    #[must_use]
    pub fn server_key(&self) -> &[u8] {
        self.server_key.expose()
    }

    /// The record as text, in the layout that RFC 5803 gives LDAP's authPassword and PostgreSQL stores:
    /// `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, the last three in base64. [`FromStr`] reads it back.
    #[must_use]
    pub fn to_rfc5803(&self) -> Zeroizing<String> {
        const SCHEME_AND_NUMBER: usize = 32;
        let encoded = |len: usize| len.div_ceil(3) * 4;
        let len = SCHEME_AND_NUMBER + encoded(self.salt.len()) + 2 * encoded(OUTPUT_MAX);
        let mut text = Zeroizing::new(String::with_capacity(len));
        text.push_str(self.hash.scheme());
        text.push('$');
        text.push_str(&self.iterations.to_string());
        text.push(':');
        text.push_str(&Base64::encode_string(&self.salt));
        text.push('$');
        wire::push_base64(&mut text, self.stored_key.expose());
        text.push(':');
        wire::push_base64(&mut text, self.server_key.expose());
        text
    }
}

impl FromStr for StoredCredential {
    type Err = Error;

    /// Reads a record of PostgreSQL, or an authPassword value of LDAP, which may have spaces around its `$`
    /// (RFC 3112 section 2).
    ///
    /// Any iteration count from 1 passes: such a user can log in where the client's policy lets him, and gets a
    /// better record with his next password.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`], [`rules::SALT_LENGTH`].
    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('$').map(|part| part.trim_matches(' '));
        let (Some(scheme), Some(info), Some(value), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::new(&rules::BAD_RECORD));
        };
        let hash = HashFunction::ALL
            .into_iter()
            .find(|hash| hash.scheme() == scheme)
            .ok_or_else(|| Error::new(&rules::BAD_RECORD).about(scheme))?;
        let (iterations, salt) = info.split_once(':').ok_or(&rules::BAD_RECORD)?;
        let iterations = wire::posit_number(iterations)
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .and_then(NonZeroU32::new)
            .ok_or(&rules::BAD_RECORD)?;
        let bad =
            |error: Error| if error.is(&rules::SALT_LENGTH) { error } else { (&rules::BAD_RECORD).into() };
        let salt = wire::salt(salt).map_err(bad)?;
        let (stored_key, server_key) = value.split_once(':').ok_or(&rules::BAD_RECORD)?;
        let key = |text: &str| wire::base64(text).map(Zeroizing::new).map_err(bad);
        Self::from_parts(hash, &salt, iterations, &key(stored_key)?, &key(server_key)?)
    }
}

/// ClientKey and ServerKey, which a client may keep so that its next login needs neither the password nor its
/// slow hash, as long as the server stays with salt and iteration count.
///
/// # Security
/// As good as the password at this server. Wiped on drop and not shown by `Debug`.
#[derive(Clone)]
pub struct ClientKeys {
    hash: HashFunction,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    client_key: Key,
    server_key: Key,
}

impl ClientKeys {
    pub(super) fn from_prepared(
        hash: HashFunction,
        prepared: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Self {
        let mut salted_password = Zeroizing::new([0; OUTPUT_MAX]);
        let salted_password = &mut salted_password[..hash.output_len()];
        pbkdf2(hash, prepared, salt, iterations, salted_password);
        Self {
            hash,
            salt: salt.to_vec(),
            iterations,
            client_key: hash.hmac(salted_password, b"Client Key"),
            server_key: hash.hmac(salted_password, b"Server Key"),
        }
    }

    fn to_stored(&self) -> StoredCredential {
        StoredCredential {
            hash: self.hash,
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: self.hash.digest(self.client_key.expose()),
            server_key: self.server_key.clone(),
        }
    }

    /// Whether these keys are the ones for what the server asks.
    #[must_use]
    pub fn fit(&self, hash: HashFunction, salt: &[u8], iterations: NonZeroU32) -> bool {
        self.hash == hash && self.iterations == iterations && bool::from(self.salt.ct_eq(salt))
    }

    /// ClientKey XOR ClientSignature.
    pub(super) fn proof(&self, auth_message: &[u8]) -> Key {
        let stored_key = self.hash.digest(self.client_key.expose());
        self.client_key.clone().xor(&self.hash.hmac(stored_key.expose(), auth_message))
    }

    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Key {
        self.hash.hmac(self.server_key.expose(), auth_message)
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKeys({}, {} iterations, redacted)", self.hash, self.iterations)
    }
}
