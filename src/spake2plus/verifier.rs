//! The side that holds the record (RFC 9383 section 3.3).

use std::marker::PhantomData;

use p256::Scalar;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::transcript::{Keys, P256Sha256, Suite, transcript};
use super::{Confirmed, Parties, SHARE_LEN, VerifierSecret, group, rules};
use crate::error::{Error, Result};
use crate::secret::{SecretBytes, SessionKey, verify};

/// The verifier has sent its share and confirmation and waits for the prover's confirmation.
///
/// # Security
/// Until then nobody has proven anything: no key can be taken out of this state.
pub struct Verifier<S = P256Sha256> {
    expected: SecretBytes,
    key: SessionKey,
    suite: PhantomData<S>,
}

/// What the verifier sends: `shareV | confirmV`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifierMessage {
    /// y*P + w0*N, 65 octets.
    pub share: [u8; SHARE_LEN],
    /// The MAC over shareP, 32 octets with SHA-256, 64 with SHA-512.
    pub confirmation: Vec<u8>,
}

impl<S: Suite> Verifier<S> {
    /// Takes shareP, draws y, and gives shareV and confirmV, to be sent.
    ///
    /// # Errors
    /// [`rules::BAD_SHARE`], [`rules::NEUTRAL_ELEMENT`].
    pub fn start(
        parties: &Parties<'_>,
        secret: &VerifierSecret,
        share_p: &[u8],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Self, VerifierMessage)> {
        Self::with(parties, secret, share_p, &group::random_scalar(rng))
    }

    pub(super) fn with(
        parties: &Parties<'_>,
        secret: &VerifierSecret,
        share_p: &[u8],
        y: &Scalar,
    ) -> Result<(Self, VerifierMessage)> {
        let (tt, share) = shared_transcript(parties, secret, share_p, y)?;
        let keys = Keys::derive::<S>(&tt);
        let confirmation = S::mac(&keys.confirm_v, share_p);
        let expected = SecretBytes::new(S::mac(&keys.confirm_p, &share));
        let key = SessionKey::new(keys.shared.clone());
        Ok((Self { expected, key, suite: PhantomData }, VerifierMessage { share, confirmation }))
    }

    /// Takes confirmP; gives the confirmed key.
    ///
    /// # Errors
    /// [`rules::WRONG_CONFIRMATION`].
    pub fn finish(self, confirm_p: &[u8]) -> Result<Confirmed> {
        let proof = verify(self.expected.expose(), confirm_p)
            .ok_or_else(|| Error::new(&rules::WRONG_CONFIRMATION))?;
        Ok(Confirmed { key: self.key, proof })
    }
}

/// TT and shareV.
pub(crate) fn shared_transcript(
    parties: &Parties<'_>,
    secret: &VerifierSecret,
    share_p: &[u8],
    y: &Scalar,
) -> Result<(Zeroizing<Vec<u8>>, [u8; SHARE_LEN])> {
    let unmasked = group::parse_point(share_p)? - group::times_m(&secret.w0);
    let share = group::times_generator(y) + group::times_n(&secret.w0);
    let encoded = group::encode(&[share, unmasked * y, secret.l * *y])?;
    let share_p = share_p.try_into().expect("a parsed share has its length");
    Ok((transcript(parties, [share_p, &encoded[0], &encoded[1], &encoded[2]], &secret.w0), encoded[0]))
}
