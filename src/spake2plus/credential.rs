//! Registration (RFC 9383 section 3.2): from the password to w0, w1 and L, and the stored record.

use std::fmt;

use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::group::{Group, P256, SCALAR_LEN};
use super::transcript::push_with_length;
use super::{Parties, SaslSuite, rules};
use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::{Credential, Work};
use crate::secret::{Password, SecretBytes};

/// Octets of the salt in a [`Record`].
pub const SALT_LEN: usize = 16;

/// Each half of the stretched password: 64 bits more than the order, so that the reduction has no bias.
const HALF_LEN: usize = 40;

/// Octets of the stretched password.
pub(crate) const STRETCHED_LEN: usize = 2 * HALF_LEN;

/// What the prover derives from the password: w0 and w1.
///
/// # Security
/// As good as the password. Keep it only as long as an exchange needs it; wiped on drop.
#[derive(Clone)]
pub struct ProverSecret<G: Group = P256> {
    pub(super) w0: Zeroizing<G::Scalar>,
    pub(super) w1: Zeroizing<G::Scalar>,
}

/// What the verifier stores: w0 and L = w1*P; wiped on drop.
///
/// # Security
/// Who steals it can impersonate the verifier, and test passwords at the price of the slow hash.
#[derive(Clone)]
pub struct VerifierSecret<G: Group = P256> {
    pub(super) w0: Zeroizing<G::Scalar>,
    pub(super) l: Zeroizing<G::Point>,
}

/// A stored record of the SASL mechanism: the verifier's secret, and the hash and salt that the client needs.
#[derive(Clone)]
pub struct Record<G: Group = P256> {
    ksf: Ksf,
    salt: [u8; SALT_LEN],
    secret: VerifierSecret<G>,
}

impl<G: Group> ProverSecret<G> {
    /// Stretches the password, as `password | idProver | idVerifier` with their lengths, into w0 and w1.
    ///
    /// # Errors
    /// [`ksf::rules::NO_MEMORY`].
    pub fn derive(password: &[u8], prover: &[u8], verifier: &[u8], ksf: Ksf, salt: &[u8]) -> Result<Self> {
        let stretched = ksf.stretch::<STRETCHED_LEN>(&kdf_input(password, prover, verifier), salt)?;
        let (w0s, w1s) = stretched.split_at(HALF_LEN);
        let reduce = |half: &[u8]| Zeroizing::new(G::reduce(half.try_into().expect("split in the middle")));
        Ok(Self { w0: reduce(w0s), w1: reduce(w1s) })
    }

    /// From w0 and w1, 32 octets each: big-endian on P-256, little-endian on edwards25519.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`] when one is not below the order.
    pub fn from_bytes(w0: &[u8; SCALAR_LEN], w1: &[u8; SCALAR_LEN]) -> Result<Self> {
        match (G::parse_scalar(w0), G::parse_scalar(w1)) {
            (Some(w0), Some(w1)) => Ok(Self { w0: Zeroizing::new(w0), w1: Zeroizing::new(w1) }),
            _ => Err(Error::new(&rules::BAD_RECORD)),
        }
    }

    /// w0 and w1, as [`ProverSecret::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> (Zeroizing<[u8; SCALAR_LEN]>, Zeroizing<[u8; SCALAR_LEN]>) {
        (G::encode_scalar(&self.w0), G::encode_scalar(&self.w1))
    }

    /// What the verifier needs: w0 and L.
    #[must_use]
    pub fn verifier_secret(&self) -> VerifierSecret<G> {
        VerifierSecret { w0: self.w0.clone(), l: Zeroizing::new(G::times_generator(&self.w1)) }
    }
}

/// w0 from the stretched password, as [`ProverSecret::to_bytes`] gives it.
#[cfg(feature = "dictionary")]
pub(crate) fn w0<G: Group>(stretched: &[u8; STRETCHED_LEN]) -> [u8; SCALAR_LEN] {
    let (half, _) = stretched.split_first_chunk().expect("the half is the first part");
    *G::encode_scalar(&G::reduce(half))
}

/// The input of the password hash: each item after its length as 8 octets, little-endian.
pub(crate) fn kdf_input(password: &[u8], prover: &[u8], verifier: &[u8]) -> Zeroizing<Vec<u8>> {
    let items = [password, prover, verifier];
    let mut input = Zeroizing::new(Vec::with_capacity(items.iter().map(|item| 8 + item.len()).sum()));
    items.into_iter().for_each(|item| push_with_length(&mut input, item));
    input
}

impl<G: Group> VerifierSecret<G> {
    /// From w0, as [`ProverSecret::from_bytes`] takes it, and L, [`Group::SHARE_LEN`] octets.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`] when w0 is not below the order or L is no point other than infinity.
    pub fn from_bytes(w0: &[u8; SCALAR_LEN], l: &[u8]) -> Result<Self> {
        match (G::parse_scalar(w0), G::parse_point(l)) {
            (Some(w0), Ok(l)) => Ok(Self { w0: Zeroizing::new(w0), l: Zeroizing::new(l) }),
            _ => Err(Error::new(&rules::BAD_RECORD)),
        }
    }

    /// w0 and L, as [`VerifierSecret::from_bytes`] takes them.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`] when L is at infinity, which no honest registration makes.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let l = G::encode(&[*self.l]).map_err(|_| Error::new(&rules::BAD_RECORD))?;
        Ok(Zeroizing::new([G::encode_scalar(&self.w0).as_slice(), l[0].as_ref()].concat()))
    }
}

impl<G: Group> Record<G> {
    /// Octets of [`Record::to_bytes`].
    pub const LEN: usize = 1 + ksf::ENCODED_LEN + SALT_LEN + SCALAR_LEN + G::SHARE_LEN;

    /// Makes the record of `authcid`, with a random salt. The password is taken as it stands: prepare it first.
    ///
    /// # Errors
    /// [`ksf::rules::NO_MEMORY`].
    pub fn enroll(
        authcid: &str,
        password: &[u8],
        ksf: Ksf,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let secret = sasl_secret::<G>(authcid, password, ksf, &salt)?.verifier_secret();
        Ok(Self { ksf, salt, secret })
    }

    /// From its parts.
    #[must_use]
    pub fn from_parts(ksf: Ksf, salt: &[u8; SALT_LEN], secret: VerifierSecret<G>) -> Self {
        Self { ksf, salt: *salt, secret }
    }

    /// Whether the password is the one this record was made from; the comparison is constant time. The password is
    /// taken as it stands: prepare it first.
    ///
    /// # Errors
    /// [`ksf::rules::NO_MEMORY`], [`rules::BAD_RECORD`].
    pub fn check(&self, authcid: &str, password: &[u8]) -> Result<bool> {
        let made = sasl_secret::<G>(authcid, password, self.ksf, &self.salt)?.verifier_secret();
        Ok(made.to_bytes()?.ct_eq(&self.secret.to_bytes()?).into())
    }

    /// The record that an unknown user seems to have: always the same, and opened by no password, because nobody
    /// knows the discrete logarithm of M.
    pub(super) fn simulated(mechanism: &MechanismName, seed: &SecretBytes, authcid: &str, ksf: Ksf) -> Self {
        let label = format!("countersign {mechanism} unknown user v1");
        let mut derived = Zeroizing::new([0; SALT_LEN + HALF_LEN]);
        hkdf::Hkdf::<Sha256>::new(Some(label.as_bytes()), seed.expose())
            .expand(authcid.as_bytes(), derived.as_mut_slice())
            .expect("two blocks are within HKDF's limit");
        let (salt, w0s) = derived.split_first_chunk().expect("the salt is the first part");
        let w0 = Zeroizing::new(G::reduce(w0s.try_into().expect("the half is the second part")));
        Self { ksf, salt: *salt, secret: VerifierSecret { w0, l: Zeroizing::new(G::m()) } }
    }

    /// The hash that made it.
    #[must_use]
    pub fn ksf(&self) -> Ksf {
        self.ksf
    }

    /// The salt that made it.
    #[must_use]
    pub fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// What the verifier needs: w0 and L.
    #[must_use]
    pub fn verifier_secret(&self) -> &VerifierSecret<G> {
        &self.secret
    }

    /// One octet, 1 for P-256 and 2 for edwards25519, the hash as [`Ksf::to_bytes`], the salt, w0, L.
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`] as [`VerifierSecret::to_bytes`].
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::LEN));
        bytes.push(G::RECORD_FORMAT);
        bytes.extend_from_slice(&self.ksf.to_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(self.secret.to_bytes()?.as_slice());
        Ok(bytes)
    }

    /// The reverse of [`Record::to_bytes`].
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`], also for a record of another group; [`ksf::rules`] for parameters beyond the caps.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(&rules::BAD_RECORD);
        let (format, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (ksf, rest) = rest.split_first_chunk::<{ ksf::ENCODED_LEN }>().ok_or_else(damaged)?;
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>().ok_or_else(damaged)?;
        let (w0, l) = rest.split_first_chunk::<SCALAR_LEN>().ok_or_else(damaged)?;
        if *format != G::RECORD_FORMAT {
            return Err(damaged());
        }
        let secret = VerifierSecret::from_bytes(w0, l)?;
        Ok(Self { ksf: Ksf::from_bytes(ksf)?, salt: *salt, secret })
    }
}

pub(crate) fn enroll<S: SaslSuite>(
    _: &MechanismName,
    authcid: &str,
    password: &Password,
    preparation: Preparation,
    work: &Work,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    let password = preparation.prepare(password)?;
    let ksf = work.ksf().unwrap_or_default();
    Record::enroll(authcid, password.expose(), ksf, rng).map(S::into_credential)
}

/// What the SASL mechanism puts in front of TT: idProver is the user name; idVerifier is empty, because the
/// responder's address may change between logins, and stands in the context instead.
pub(super) fn parties<'a>(context: &'a [u8], authcid: &'a str) -> Parties<'a> {
    Parties { context, prover: authcid.as_bytes(), verifier: &[] }
}

/// w0 and w1 of the SASL mechanism.
pub(super) fn sasl_secret<G: Group>(
    authcid: &str,
    password: &[u8],
    ksf: Ksf,
    salt: &[u8; SALT_LEN],
) -> Result<ProverSecret<G>> {
    ProverSecret::derive(password, authcid.as_bytes(), &[], ksf, salt)
}

impl<G: Group> fmt::Debug for ProverSecret<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProverSecret(redacted)")
    }
}

impl<G: Group> fmt::Debug for VerifierSecret<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifierSecret(redacted)")
    }
}

impl<G: Group> fmt::Debug for Record<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?}, redacted)", self.ksf)
    }
}
