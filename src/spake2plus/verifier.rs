//! The side that holds the record (RFC 9383 section 3.3).

use std::marker::PhantomData;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::group::{Group, P256};
use super::transcript::{Keys, P256Sha256, Suite, transcript};
use super::{Confirmed, Parties, VerifierSecret, rules};
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
pub struct VerifierMessage<Share = <P256 as Group>::Share> {
    /// y*P + w0*N, [`Group::SHARE_LEN`] octets.
    pub share: Share,
    /// The MAC over shareP, 32 octets with SHA-256, 64 with SHA-512.
    pub confirmation: Vec<u8>,
}

impl<S: Suite<Group = G>, G: Group> Verifier<S> {
    /// Takes shareP, draws y, and gives shareV and confirmV, to be sent.
    ///
    /// # Errors
    /// [`rules::BAD_SHARE`], [`rules::NEUTRAL_ELEMENT`].
    pub fn start(
        parties: &Parties<'_>,
        secret: &VerifierSecret<G>,
        share_p: &[u8],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(Self, VerifierMessage<G::Share>)> {
        Self::with(parties, secret, share_p, &G::random_scalar(rng))
    }

    pub(super) fn with(
        parties: &Parties<'_>,
        secret: &VerifierSecret<G>,
        share_p: &[u8],
        y: &G::Scalar,
    ) -> Result<(Self, VerifierMessage<G::Share>)> {
        let (tt, share) = shared_transcript::<G>(parties, secret, share_p, y)?;
        let keys = Keys::derive::<S>(&tt);
        let confirmation = S::mac(&keys.confirm_v, share_p);
        let expected = SecretBytes::new(S::mac(&keys.confirm_p, share.as_ref()));
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
pub(crate) fn shared_transcript<G: Group>(
    parties: &Parties<'_>,
    secret: &VerifierSecret<G>,
    share_p: &[u8],
    y: &G::Scalar,
) -> Result<(Zeroizing<Vec<u8>>, G::Share)> {
    let VerifierSecret { w0, l } = secret;
    let unmasked = G::parse_point(share_p)? - G::times_m(w0);
    let share = G::times_generator(y) + G::times_n(w0);
    let encoded = G::encode(&[share, G::times_cofactor(unmasked, y), G::times_cofactor(**l, y)])?;
    let [share, z, v] = &*encoded;
    Ok((transcript::<G>(parties, [share_p, share.as_ref(), z.as_ref(), v.as_ref()], w0), *share))
}
