//! The side that knows the password (RFC 9383 section 3.3).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::group::Group;
use super::transcript::{Keys, P256Sha256, Suite, transcript};
use super::{Confirmed, Parties, ProverSecret, rules};
use crate::error::{Error, Result};
use crate::secret::{SessionKey, verify};

/// The prover has sent its share and waits for the verifier's.
pub struct Prover<S: Suite = P256Sha256> {
    secret: ProverSecret<S::Group>,
    x: Zeroizing<<S::Group as Group>::Scalar>,
    share: <S::Group as Group>::Share,
}

impl<S: Suite<Group = G>, G: Group> Prover<S> {
    /// Draws x and gives shareP = x*P + w0*M, [`Group::SHARE_LEN`] octets, to be sent.
    ///
    /// # Errors
    /// [`rules::NEUTRAL_ELEMENT`] with a probability that never happens.
    pub fn start(secret: ProverSecret<G>, rng: &mut (impl CryptoRng + ?Sized)) -> Result<(Self, G::Share)> {
        Self::with(secret, G::random_scalar(rng))
    }

    pub(super) fn with(secret: ProverSecret<G>, x: Zeroizing<G::Scalar>) -> Result<(Self, G::Share)> {
        let share = G::encode(&[G::times_generator(&x) + G::times_m(&secret.w0)])?[0];
        Ok((Self { secret, x, share }, share))
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
        let proof = verify(&S::mac(&keys.confirm_v, self.share.as_ref()), confirm_v)
            .ok_or_else(|| Error::new(&rules::WRONG_CONFIRMATION))?;
        let confirm_p = S::mac(&keys.confirm_p, share_v);
        Ok((confirm_p, Confirmed { key: SessionKey::new(keys.shared.clone()), proof }))
    }

    pub(crate) fn transcript(&self, parties: &Parties<'_>, share_v: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let ProverSecret { w0, w1 } = &self.secret;
        let unmasked = G::parse_point(share_v)? - G::times_n(w0);
        let secret = G::encode(&[G::times_cofactor(unmasked, &self.x), G::times_cofactor(unmasked, w1)])?;
        Ok(transcript::<G>(
            parties,
            [self.share.as_ref(), share_v, secret[0].as_ref(), secret[1].as_ref()],
            w0,
        ))
    }
}
