//! PAKE before TLS: CPace's shares travel with the two offers that open a session, and what it agrees on becomes a
//! TLS 1.3 external pre-shared key that is used once (`docs/xtls-profile.md`, PAKE before TLS).
//!
//! The offers themselves are the associated data of CPace, so an edited or stripped offer gives another key, and the
//! handshake fails. There is no confirmation here: the binder in the ClientHello is the initiator's, the handshake's Finished the
//! responder's.
//!
//! # Security
//! Nothing is authenticated by a [`OneTimePsk`] alone. Only a finished TLS 1.3 handshake with it (`psk_dhe_ke`) says that the
//! peer knows the password. Each run allows one guess to an impostor of either side: of the responder, who tests his on the
//! binder; of the initiator, who sees in the answer to his ClientHello whether his binder was right.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::protocol::{Inputs, Keys, Secret};
use super::strings::{lv_cat, transcript_ir};
use super::suite::{SHARE_LEN, Suite};
use crate::context::Context;
use crate::error::Result;
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::secret::SecretBytes;

/// Name of the mechanism.
pub const NAME: MechanismName = MechanismName::from_static("CPACE-R255-PSK");

/// The suite that is run.
pub const SUITE: Suite = Suite::Ristretto255Sha512;

/// Octets of the key.
pub const PSK_LEN: usize = 32;

/// Octets of the identity: hexadecimal digits.
pub const IDENTITY_LEN: usize = 32;

/// First item of the channel identifier.
const CHANNEL_LABEL: &[u8] = b"countersign PAKE-PSK channel identifier v1";

/// First item of what the session identifier is made from.
const SID_LABEL: &[u8] = b"countersign PAKE-PSK sid v1";

/// First item of what the identity is made from.
const IDENTITY_LABEL: &[u8] = b"countersign PAKE-PSK identity v1";

/// What stands before the digest in the last step. Not RFC 9258's `tls13 derived psk`: the key is not imported by that RFC,
/// since its handshake has the binder of an external key.
const KEY_LABEL: &[u8] = b"countersign PAKE-PSK key v1";

/// TLS 1.3, and HKDF with SHA-256: `target_protocol` and `target_kdf` of RFC 9258.
const TARGET: [u8; 4] = [0x03, 0x04, 0x00, 0x01];

/// What the mechanism promises.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::BeforeTls,
        first: Side::Client,
        // Ya, Yb, ClientHello, the server's flight, the client's Finished.
        messages: 5,
        mutual: true,
        key: false,
        needs_binding: false,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::Immediate,
        // The ClientHello with its binder, and the answer to it.
        client_test: 2,
        server_test: 2,
        by_name: true,
    }
}

/// Between whom, and in which session.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct Run<'a> {
    /// The initiator, who is the TLS client: its full JID in XMPP.
    pub initiator: &'a str,
    /// The responder, who is the TLS server: its full JID in XMPP.
    pub responder: &'a str,
    /// The identifier of the session, which the initiator draws: Jingle's in XMPP.
    pub session: &'a str,
}

impl Run<'_> {
    /// `CI`: each item is preceded by its length as 8 octets, big-endian.
    pub(crate) fn channel_identifier(&self) -> Vec<u8> {
        items(&[CHANNEL_LABEL, SUITE.name().as_bytes(), self.initiator.as_bytes(), self.responder.as_bytes()])
    }

    /// `sid`.
    pub(crate) fn session_identifier(&self) -> [u8; 32] {
        Sha256::digest(lv_cat(&[SID_LABEL, self.session.as_bytes()])).into()
    }

    /// The digest of the context, which has no list of mechanisms and of binding types here.
    pub(crate) fn context_digest(&self, offers: Offers<'_>) -> [u8; 32] {
        Context::between(self.initiator, self.responder)
            .with_offer(offers.initiator)
            .with_offer(offers.responder)
            .digest()
    }
}

/// What both sides have offered, as canonical octets that hold the shares too.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct Offers<'a> {
    /// The initiator's.
    pub initiator: &'a [u8],
    /// The responder's.
    pub responder: &'a [u8],
}

/// The initiator between its offer and the answer.
pub struct Offered(Half);

/// The responder whose share is made.
pub struct Answered {
    half: Half,
    theirs: [u8; SHARE_LEN],
}

struct Half {
    secret: Secret,
    share: [u8; SHARE_LEN],
}

impl Half {
    fn start(prs: &[u8], run: Run<'_>, rng: &mut dyn CryptoRng) -> Result<Self> {
        let secret = Secret::random(SUITE, rng);
        let (ci, sid) = (run.channel_identifier(), run.session_identifier());
        let share = secret.share(Inputs { prs, ci: &ci, sid: &sid })?;
        Ok(Self { secret, share })
    }
}

impl Offered {
    /// Draws the scalar and makes `Ya`, which goes into the offer; `prs` is the prepared password.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`](super::rules::EMPTY_PASSWORD).
    pub fn start(prs: &[u8], run: Run<'_>, rng: &mut dyn CryptoRng) -> Result<Self> {
        Half::start(prs, run, rng).map(Self)
    }

    /// `Ya`.
    #[must_use]
    pub fn share(&self) -> &[u8; SHARE_LEN] {
        &self.0.share
    }

    /// Takes the responder's share and both offers.
    ///
    /// # Errors
    /// [`rules::OWN_SHARE`](super::rules::OWN_SHARE), [`rules::BAD_SHARE`](super::rules::BAD_SHARE),
    /// [`rules::NEUTRAL_ELEMENT`](super::rules::NEUTRAL_ELEMENT).
    pub fn finish(self, run: Run<'_>, offers: Offers<'_>, yb: &[u8; SHARE_LEN]) -> Result<OneTimePsk> {
        let Half { secret, share: ya } = self.0;
        let (a, b) = ((&ya[..], offers.initiator), (&yb[..], offers.responder));
        let keys = secret.keys(&run.session_identifier(), yb, &ya, a, b)?;
        Ok(OneTimePsk::derive(run, offers, &ya, yb, &keys))
    }
}

impl Answered {
    /// Draws the scalar and makes `Yb`, which goes into the answer; `prs` is the prepared password, or as many random octets
    /// for a peer who has none.
    ///
    /// # Errors
    /// [`rules::EMPTY_PASSWORD`](super::rules::EMPTY_PASSWORD).
    pub fn start(prs: &[u8], run: Run<'_>, ya: &[u8; SHARE_LEN], rng: &mut dyn CryptoRng) -> Result<Self> {
        Ok(Self { half: Half::start(prs, run, rng)?, theirs: *ya })
    }

    /// `Yb`.
    #[must_use]
    pub fn share(&self) -> &[u8; SHARE_LEN] {
        &self.half.share
    }

    /// Takes both offers.
    ///
    /// # Errors
    /// As [`Offered::finish`].
    pub fn finish(self, run: Run<'_>, offers: Offers<'_>) -> Result<OneTimePsk> {
        let Self { half: Half { secret, share: yb }, theirs: ya } = self;
        let (a, b) = ((&ya[..], offers.initiator), (&yb[..], offers.responder));
        let keys = secret.keys(&run.session_identifier(), &ya, &yb, a, b)?;
        Ok(OneTimePsk::derive(run, offers, &ya, &yb, &keys))
    }
}

/// An external pre-shared key for one handshake of TLS 1.3 with SHA-256: the initiator is the client, always.
pub struct OneTimePsk {
    identity: String,
    key: SecretBytes,
}

impl OneTimePsk {
    fn derive(
        run: Run<'_>,
        offers: Offers<'_>,
        ya: &[u8; SHARE_LEN],
        yb: &[u8; SHARE_LEN],
        keys: &Keys,
    ) -> Self {
        let transcript = transcript_ir(ya, offers.initiator, yb, offers.responder);
        let identity = identity(&run.session_identifier(), &transcript);
        let imported = imported_identity(&identity, &run.context_digest(offers));
        let key = SecretBytes::new(expand(&extract(&*keys.isk), &imported).to_vec());
        Self { identity, key }
    }

    /// The identity on the wire: [`IDENTITY_LEN`] hexadecimal digits, made from what was public anyway.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The key, [`PSK_LEN`] octets.
    ///
    /// # Security
    /// For the handshake that follows these two offers, and for no other.
    #[must_use]
    pub fn key(&self) -> &SecretBytes {
        &self.key
    }
}

impl fmt::Debug for OneTimePsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimePsk").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The identity for a transcript of CPace.
pub(crate) fn identity(sid: &[u8; 32], transcript: &[u8]) -> String {
    let digest = Sha256::digest(items(&[IDENTITY_LABEL, sid, transcript]));
    digest.iter().take(IDENTITY_LEN / 2).map(|octet| format!("{octet:02x}")).collect()
}

/// The structure ImportedIdentity of RFC 9258 section 5.1, with our identity and the digest of the context.
pub(crate) fn imported_identity(identity: &str, context: &[u8; 32]) -> Vec<u8> {
    let mut octets = Vec::new();
    for opaque in [identity.as_bytes(), context] {
        // Both have 32 octets.
        octets.extend((opaque.len() as u16).to_be_bytes());
        octets.extend(opaque);
    }
    octets.extend(TARGET);
    octets
}

/// HKDF-Extract (RFC 5869 section 2.2) with a salt of zeros.
pub(crate) fn extract(isk: &[u8]) -> Zeroizing<[u8; 32]> {
    hmac(&[0; 32], &[isk])
}

/// HKDF-Expand (RFC 5869 section 2.3) for one block of output.
pub(crate) fn expand(prk: &[u8; 32], imported: &[u8]) -> Zeroizing<[u8; PSK_LEN]> {
    hmac(prk, &[KEY_LABEL, &Sha256::digest(imported), &[1]])
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mac = parts.iter().fold(mac, |mac, part| mac.chain_update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn items(items: &[&[u8]]) -> Vec<u8> {
    items.iter().flat_map(|item| [&(item.len() as u64).to_be_bytes(), *item].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    const RUN: Run<'static> =
        Run { initiator: "alice@home.example/a", responder: "bob@home.example/b", session: "sid1" };
    const OFFERS: Offers<'static> = Offers { initiator: b"offer", responder: b"answer" };

    /// What both sides make of it; the changes are what the responder believes.
    fn keys(prs: [&[u8]; 2], run: Run<'_>, offers: Offers<'_>) -> [OneTimePsk; 2] {
        let rng = &mut crate::system_rng();
        let initiator = Offered::start(prs[0], RUN, rng).unwrap();
        let responder = Answered::start(prs[1], run, initiator.share(), rng).unwrap();
        let yb = *responder.share();
        [initiator.finish(RUN, OFFERS, &yb).unwrap(), responder.finish(run, offers).unwrap()]
    }

    fn agree([ours, theirs]: &[OneTimePsk; 2]) -> bool {
        ours.key().expose() == theirs.key().expose()
    }

    #[test]
    fn both_sides_agree_on_key_and_identity() {
        let keys = keys([b"pw"; 2], RUN, OFFERS);
        assert!(agree(&keys));
        assert_eq!(keys[0].identity(), keys[1].identity());
        assert_eq!((keys[0].identity().len(), keys[0].key().len()), (IDENTITY_LEN, PSK_LEN));
    }

    #[test]
    fn no_two_runs_have_the_same_key() {
        let runs = [(); 2].map(|()| keys([b"pw"; 2], RUN, OFFERS));
        assert_ne!(runs[0][0].identity(), runs[1][0].identity());
        assert_ne!(runs[0][0].key().expose(), runs[1][0].key().expose());
    }

    #[test]
    fn another_password_gives_another_key() {
        assert!(!agree(&keys([b"pw", b"pv"], RUN, OFFERS)));
    }

    #[test]
    fn everything_that_was_said_in_the_open_enters_the_key() {
        for run in [
            Run { initiator: "alice@home.example/c", ..RUN },
            Run { responder: "bob@home.example/c", ..RUN },
            Run { initiator: RUN.responder, responder: RUN.initiator, ..RUN },
            Run { session: "sid2", ..RUN },
        ] {
            assert!(!agree(&keys([b"pw"; 2], run, OFFERS)), "{run:?}");
        }
        for offers in [
            Offers { initiator: b"offe", ..OFFERS },
            Offers { responder: b"answe", ..OFFERS },
            Offers { initiator: OFFERS.responder, responder: OFFERS.initiator },
        ] {
            assert!(!agree(&keys([b"pw"; 2], RUN, offers)), "{offers:?}");
        }
    }

    #[test]
    fn shares_that_would_fix_the_key_are_refused() {
        let rng = &mut crate::system_rng();
        let offered = || Offered::start(b"pw", RUN, &mut crate::system_rng()).unwrap();
        let initiator = offered();
        let own = *initiator.share();
        let error = initiator.finish(RUN, OFFERS, &own).unwrap_err();
        assert!(error.is(&rules::OWN_SHARE));
        for (share, rule) in [([0; 32], &rules::NEUTRAL_ELEMENT), ([0xff; 32], &rules::BAD_SHARE)] {
            assert!(offered().finish(RUN, OFFERS, &share).unwrap_err().is(rule));
            let responder = Answered::start(b"pw", RUN, &share, rng).unwrap();
            assert!(responder.finish(RUN, OFFERS).unwrap_err().is(rule));
        }
    }

    #[test]
    fn an_empty_password_is_refused() {
        let rng = &mut crate::system_rng();
        assert!(Offered::start(b"", RUN, rng).err().unwrap().is(&rules::EMPTY_PASSWORD));
        assert!(Answered::start(b"", RUN, &[0; 32], rng).err().unwrap().is(&rules::EMPTY_PASSWORD));
    }

    #[test]
    fn debug_shows_no_key() {
        let [key, _] = keys([b"pw"; 2], RUN, OFFERS);
        assert_eq!(format!("{key:?}"), format!("OneTimePsk {{ identity: {:?}, .. }}", key.identity()));
    }
}
