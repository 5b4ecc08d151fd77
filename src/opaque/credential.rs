//! The stored record: the server's keys, the hash parameters and what registration uploaded.

use std::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::protocol::{self, ServerKeys, Suite, parse_upload};
use super::{UPLOAD_LEN, parties, rules};
use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::{Credential, Work};
use crate::secret::{Password, SecretBytes};

/// Octets of [`Record::to_bytes`].
pub const RECORD_LEN: usize = 1 + ksf::ENCODED_LEN + ServerKeys::LEN + UPLOAD_LEN;

const VERSION: u8 = 1;

const SIMULATION_LABEL: &[u8] = b"countersign OPAQUE-R255-PLUS unknown user v1";

/// The public key of unknown users: the first element that RFC 9496 appendix A.3 derives from a hash, so that nobody
/// knows its private key.
pub(crate) const NOBODY: [u8; 32] = [
    0x30, 0x66, 0xf8, 0x2a, 0x1a, 0x74, 0x7d, 0x45, 0x12, 0x0d, 0x17, 0x40, 0xf1, 0x43, 0x58, 0x53, 0x1a,
    0x8f, 0x04, 0xbb, 0xff, 0xe6, 0xa8, 0x19, 0xf8, 0x6d, 0xfe, 0x50, 0xf4, 0x4a, 0x0a, 0x46,
];

/// A user's record on the server's side.
///
/// # Security
/// With the server's keys in it, who steals it can impersonate the server to this user, and test passwords at the
/// price of the slow hash. To keep the keys apart, store [`ServerKeys`] elsewhere and put them together with
/// [`Record::new`] when the record is looked up.
#[derive(Clone)]
pub struct Record {
    keys: Arc<ServerKeys>,
    ksf: Ksf,
    registration: opaque_ke::ServerRegistration<Suite>,
}

impl Record {
    /// From its parts: the keys that answered the registration, the hash that the client ran, and what it
    /// uploaded.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`].
    pub fn new(keys: Arc<ServerKeys>, ksf: Ksf, upload: &[u8; UPLOAD_LEN]) -> Result<Self> {
        Ok(Self { keys, ksf, registration: parse_upload(upload)? })
    }

    /// Makes the record of `authcid` for the SASL mechanism, both sides of the registration together, and gives
    /// the export key too. The password is taken as it stands: prepare it first.
    ///
    /// # Errors
    /// [`rules::BAD_INPUT`], [`ksf::rules::NO_MEMORY`].
    pub fn enroll(
        keys: Arc<ServerKeys>,
        authcid: &str,
        password: &[u8],
        ksf: Ksf,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, SecretBytes)> {
        protocol::enroll(keys, authcid.as_bytes(), &parties(&[], authcid), password, ksf, rng)
    }

    /// Whether the password is the one this record was made from: one login, both sides here. The password is taken
    /// as it stands: prepare it first.
    ///
    /// # Errors
    /// [`rules::BAD_INPUT`], [`ksf::rules::NO_MEMORY`]; [`rules::BAD_ELEMENT`] for a record that no password opens.
    pub fn check(&self, authcid: &str, password: &[u8], rng: &mut dyn CryptoRng) -> Result<bool> {
        protocol::opens(self, authcid.as_bytes(), &parties(&[], authcid), password, rng)
    }

    /// The server's keys.
    #[must_use]
    pub fn keys(&self) -> &Arc<ServerKeys> {
        &self.keys
    }

    /// The hash that made it.
    #[must_use]
    pub fn ksf(&self) -> Ksf {
        self.ksf
    }

    /// What registration uploaded.
    #[must_use]
    pub fn upload(&self) -> Zeroizing<[u8; UPLOAD_LEN]> {
        let upload = self.registration.serialize();
        Zeroizing::new(upload.as_slice().try_into().expect("the length is that of the ciphersuite"))
    }

    pub(super) fn registration(&self) -> &opaque_ke::ServerRegistration<Suite> {
        &self.registration
    }

    /// One octet 1, the hash as [`Ksf::to_bytes`], the server's keys, the upload.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(RECORD_LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.ksf.to_bytes());
        bytes.extend_from_slice(&self.keys.to_bytes());
        bytes.extend_from_slice(&self.registration.serialize());
        bytes
    }

    /// The reverse of [`Record::to_bytes`].
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`]; [`ksf::rules`] for parameters beyond the caps.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(&rules::BAD_RECORD);
        let (version, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (ksf, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (keys, upload) = rest.split_first_chunk().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(damaged());
        }
        let keys = Arc::new(ServerKeys::from_bytes(keys)?);
        Self::new(keys, Ksf::from_bytes(ksf)?, upload.try_into().map_err(|_| damaged())?)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?}, redacted)", self.ksf)
    }
}

/// The keys with which an unknown user is answered, always the same for the same name.
pub(super) fn simulated_keys(seed: &SecretBytes, authcid: &str) -> Result<ServerKeys> {
    let mut bytes = Zeroizing::new([0; ServerKeys::LEN]);
    let (secrets, public) = bytes.split_at_mut(96);
    hkdf::Hkdf::<Sha512>::new(Some(SIMULATION_LABEL), seed.expose())
        .expand(authcid.as_bytes(), secrets)
        .expect("two blocks are within HKDF's limit");
    // 252 bits, little-endian, are below the group's order.
    secrets[95] &= 0x0f;
    public.copy_from_slice(&NOBODY);
    ServerKeys::from_bytes(&bytes)
}

pub(crate) fn enroll(
    _: &MechanismName,
    authcid: &str,
    password: &Password,
    preparation: Preparation,
    work: &Work,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    let password = preparation.prepare(password)?;
    let keys = Arc::new(ServerKeys::generate(rng));
    let ksf = work.ksf().unwrap_or_default();
    let (record, _) = Record::enroll(keys, authcid, password.expose(), ksf, rng)?;
    Ok(Credential::Opaque(record))
}
