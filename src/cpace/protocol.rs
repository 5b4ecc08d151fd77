//! The exchange of draft-irtf-cfrg-cpace-21 in the initiator-responder setting, with explicit key confirmation,
//! apart from SASL: shares and tags in, shares and tags out.

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::rules;
use super::strings::{lv_cat, transcript_ir};
use super::suite::{SCALAR_LEN, SHARE_LEN, Suite};
use crate::error::{Error, Result};
use crate::secret::{ProofVerified, SessionKey, verify};

/// Octets of a key-confirmation tag: HMAC-SHA-512.
pub const TAG_LEN: usize = 64;

/// Octets of the intermediate session key, of the session key and of `sid_output`.
pub const KEY_LEN: usize = 64;

/// Label of the key that leaves the exchange.
const SESSION_KEY_INFO: &[u8] = b"countersign session key v1";

/// What both sides must know before they start.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct Inputs<'a> {
    /// `PRS`: the password, or what was made of it. Not empty.
    pub prs: &'a [u8],
    /// `CI`: who talks to whom over which channel.
    pub ci: &'a [u8],
    /// `sid`: public and unique to this run, or empty where there is none.
    pub sid: &'a [u8],
}

/// The initiator, between its share and the responder's answer.
pub struct Initiator {
    secret: Secret,
    share: [u8; SHARE_LEN],
    ada: Vec<u8>,
    sid: Vec<u8>,
}

impl Initiator {
    /// Draws the scalar and makes `Ya`; `ada` is the associated data sent with it, possibly empty.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`].
    pub fn start(suite: Suite, inputs: Inputs<'_>, ada: &[u8], rng: &mut dyn CryptoRng) -> Result<Self> {
        let secret = Secret::random(suite, rng);
        let share = secret.share(inputs)?;
        Ok(Self { secret, share, ada: ada.to_vec(), sid: inputs.sid.to_vec() })
    }

    /// `Ya`, to be sent with the associated data.
    #[must_use]
    pub fn share(&self) -> &[u8; SHARE_LEN] {
        &self.share
    }

    /// Takes the responder's share, associated data and tag `Tb`; gives the agreement and our tag `Ta` to send.
    ///
    /// # Errors
    /// [`rules::OWN_SHARE`], [`rules::BAD_SHARE`], [`rules::NEUTRAL_ELEMENT`], [`rules::WRONG_CONFIRMATION`].
    pub fn finish(self, yb: &[u8; SHARE_LEN], adb: &[u8], tb: &[u8]) -> Result<(Confirmed, [u8; TAG_LEN])> {
        let keys = self.secret.keys(&self.sid, yb, &self.share, (&self.share, &self.ada), (yb, adb))?;
        let proof = verify(&keys.tag(yb, adb), tb).ok_or_else(|| Error::new(&rules::WRONG_CONFIRMATION))?;
        let ta = keys.tag(&self.share, &self.ada);
        Ok((Confirmed { isk: keys.isk, sid_output: keys.sid_output, proof }, ta))
    }
}

/// The responder, before the initiator's share has come.
pub struct Responder(Secret);

impl Responder {
    /// Draws the scalar.
    #[must_use]
    pub fn new(suite: Suite, rng: &mut dyn CryptoRng) -> Self {
        Self(Secret::random(suite, rng))
    }

    /// Takes the initiator's share and associated data and makes ours: `Yb`, sent with `adb` and `Tb`.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`], [`rules::OWN_SHARE`], [`rules::BAD_SHARE`], [`rules::NEUTRAL_ELEMENT`].
    pub fn respond(
        self,
        inputs: Inputs<'_>,
        ya: &[u8; SHARE_LEN],
        ada: &[u8],
        adb: &[u8],
    ) -> Result<(Unconfirmed, [u8; SHARE_LEN], [u8; TAG_LEN])> {
        let yb = self.0.share(inputs)?;
        let keys = self.0.keys(inputs.sid, ya, &yb, (ya, ada), (&yb, adb))?;
        let (expected, tb) = (keys.tag(ya, ada), keys.tag(&yb, adb));
        Ok((Unconfirmed { keys, expected: Zeroizing::new(expected) }, yb, tb))
    }
}

/// The responder, waiting for the initiator's tag. Gives out no key.
pub struct Unconfirmed {
    keys: Keys,
    expected: Zeroizing<[u8; TAG_LEN]>,
}

impl Unconfirmed {
    /// Takes the initiator's tag `Ta`.
    ///
    /// # Errors
    /// [`rules::WRONG_CONFIRMATION`].
    pub fn finish(self, ta: &[u8]) -> Result<Confirmed> {
        let proof = verify(&*self.expected, ta).ok_or_else(|| Error::new(&rules::WRONG_CONFIRMATION))?;
        Ok(Confirmed { isk: self.keys.isk, sid_output: self.keys.sid_output, proof })
    }
}

/// A finished exchange: the peer has proven to hold the same password, identities, channel and transcript.
pub struct Confirmed {
    isk: Zeroizing<[u8; KEY_LEN]>,
    sid_output: Option<[u8; KEY_LEN]>,
    proof: ProofVerified,
}

impl Confirmed {
    /// The session key, 64 octets: HKDF-Expand with SHA-512 of the intermediate session key.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        session_key(&self.isk)
    }

    /// A session identifier for what follows, when the exchange started without one.
    #[must_use]
    pub fn sid_output(&self) -> Option<&[u8; KEY_LEN]> {
        self.sid_output.as_ref()
    }

    pub(super) fn into_parts(self) -> (ProofVerified, SessionKey) {
        let key = self.key();
        (self.proof, key)
    }
}

/// A scalar, used for one exchange.
pub(super) struct Secret {
    suite: Suite,
    scalar: Zeroizing<[u8; SCALAR_LEN]>,
}

impl Secret {
    pub(super) fn random(suite: Suite, rng: &mut dyn CryptoRng) -> Self {
        Self { suite, scalar: suite.sample_scalar(rng) }
    }

    pub(super) fn share(&self, inputs: Inputs<'_>) -> Result<[u8; SHARE_LEN]> {
        if inputs.prs.is_empty() {
            return Err(Error::new(&rules::EMPTY_PASSWORD));
        }
        Ok(self.suite.generator(inputs.prs, inputs.ci, inputs.sid).share(&self.scalar))
    }

    pub(super) fn keys(
        &self,
        sid: &[u8],
        theirs: &[u8; SHARE_LEN],
        ours: &[u8; SHARE_LEN],
        (ya, ada): (&[u8], &[u8]),
        (yb, adb): (&[u8], &[u8]),
    ) -> Result<Keys> {
        if bool::from(theirs.ct_eq(ours)) {
            return Err(Error::new(&rules::OWN_SHARE));
        }
        let k = self.suite.scalar_mult_vfy(&self.scalar, theirs)?;
        let transcript = transcript_ir(ya, ada, yb, adb);
        let isk = isk(self.suite, sid, &*k, &transcript);
        let mac_key = mac_key(sid, &isk);
        Ok(Keys { isk, mac_key, sid_output: sid.is_empty().then(|| sid_output(&transcript)) })
    }
}

pub(super) struct Keys {
    pub(super) isk: Zeroizing<[u8; KEY_LEN]>,
    mac_key: Zeroizing<[u8; KEY_LEN]>,
    sid_output: Option<[u8; KEY_LEN]>,
}

impl Keys {
    /// The tag over one side's share and associated data.
    fn tag(&self, share: &[u8], ad: &[u8]) -> [u8; TAG_LEN] {
        hmac(&self.mac_key, &[&lv_cat(&[share, ad])])
    }
}

/// `ISK` for either form of transcript.
pub(crate) fn isk(suite: Suite, sid: &[u8], k: &[u8], transcript: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    hash(&[&isk_label(suite, sid, k), transcript])
}

/// What is hashed into `ISK` before the transcript.
pub(crate) fn isk_label(suite: Suite, sid: &[u8], k: &[u8]) -> Zeroizing<Vec<u8>> {
    let label = [suite.dsi(), b"_ISK"].concat();
    Zeroizing::new(lv_cat(&[&label, sid, k]))
}

/// `sid_output` for either form of transcript.
pub(crate) fn sid_output(transcript: &[u8]) -> [u8; KEY_LEN] {
    *hash(&[b"CPaceSidOutput", transcript])
}

/// The key of the confirmation tags.
pub(crate) fn mac_key(sid: &[u8], isk: &[u8; KEY_LEN]) -> Zeroizing<[u8; KEY_LEN]> {
    hash(&[b"CPaceMac", sid, isk])
}

/// HKDF-Expand (RFC 5869 section 2.3) for one block of output, with `isk` as its PRK.
pub(crate) fn session_key(isk: &[u8; KEY_LEN]) -> SessionKey {
    SessionKey::new(Zeroizing::new(hmac(isk, &[SESSION_KEY_INFO, &[1]])).to_vec())
}

fn hash(parts: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
    let hash = parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part));
    Zeroizing::new(hash.finalize().into())
}

fn hmac(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; TAG_LEN] {
    let mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
}
