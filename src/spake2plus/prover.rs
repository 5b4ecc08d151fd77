//! The side that knows the password (RFC 9383 section 3.3).

use std::marker::PhantomData;

use p256::Scalar;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::transcript::{Keys, P256Sha256, Suite, transcript};
use super::{Confirmed, Parties, ProverSecret, SHARE_LEN, group, rules};
use crate::error::{Error, Result};
use crate::secret::{SessionKey, verify};

/// The prover has sent its share and waits for the verifier's.
pub struct Prover<S = P256Sha256> {
    secret: ProverSecret,
    x: Zeroizing<Scalar>,
    share: [u8; SHARE_LEN],
    suite: PhantomData<S>,
}

impl<S: Suite> Prover<S> {
    /// Draws x and gives shareP = x*P + w0*M, 65 octets, to be sent.
    ///
    /// # Errors
    /// [`rules::NEUTRAL_ELEMENT`] with a probability that never happens.
    pub fn start(
        secret: ProverSecret,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Self, [u8; SHARE_LEN])> {
        Self::with(secret, group::random_scalar(rng))
    }

    pub(super) fn with(secret: ProverSecret, x: Zeroizing<Scalar>) -> Result<(Self, [u8; SHARE_LEN])> {
        let share = group::encode(&[group::times_generator(&x) + group::times_m(&secret.w0)])?[0];
        Ok((Self { secret, x, share, suite: PhantomData }, share))
    }

    /// Takes shareV and confirmV; gives confirmP, to be sent, with the confirmed key.
    ///
    /// # Errors
    /// [`rules::BAD_SHARE`], [`rules::NEUTRAL_ELEMENT`], [`rules::WRONG_CONFIRMATION`].
    pub fn finish(
        self,
        parties: &Parties<'_>,
        share_v: &[u8],
        confirm_v: &[u8],
    ) -> Result<(Vec<u8>, Confirmed)> {
        let keys = Keys::derive::<S>(&self.transcript(parties, share_v)?);
        let proof = verify(&S::mac(&keys.confirm_v, &self.share), confirm_v)
            .ok_or_else(|| Error::new(&rules::WRONG_CONFIRMATION))?;
        let confirm_p = S::mac(&keys.confirm_p, share_v);
        Ok((confirm_p, Confirmed { key: SessionKey::new(keys.shared.clone()), proof }))
    }

    pub(crate) fn transcript(&self, parties: &Parties<'_>, share_v: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let unmasked = group::parse_point(share_v)? - group::times_n(&self.secret.w0);
        let secret = group::encode(&[unmasked * *self.x, unmasked * self.secret.w1])?;
        let share_v = share_v.try_into().expect("a parsed share has its length");
        Ok(transcript(parties, [&self.share, share_v, &secret[0], &secret[1]], &self.secret.w0))
    }
}
