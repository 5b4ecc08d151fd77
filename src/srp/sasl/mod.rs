//! The SASL mechanism `SRP` (draft-burdis-cat-srp-sasl-08) as Cyrus SASL deploys it.
//!
//! It knows no channel binding. Its security layers (reused keystreams, tags that can be reflected) are refused: run it
//! inside TLS, and prefer `SRP-SHA-256-PLUS` where both sides have it.

mod client;
mod server;
pub(crate) mod wire;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use client::{ClientReady, ExpectServerFirst, ExpectServerSecond, SrpClient};
pub use server::{Authorize, ExpectClientFirst, ExpectClientSecond, SrpServer};

use super::credential::{Parameters, Prehash, Verifier};
use super::dialect::{Dialect, Hash};
use super::group::{EXPONENT_MAX, Exponent, Group};
use super::rules;
use crate::error::{Error, Result};
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::prep::{self, Preparation};
use crate::registry::{Credential, Work};
use crate::secret::{Password, SessionKey};

/// Name of the mechanism.
pub const NAME: MechanismName = MechanismName::from_static("SRP");

/// Octets of the initial vectors, which only the security layers would use. Cyrus SASL always sends so many.
pub const IV_LEN: usize = 16;

/// L: what our server offers.
pub const OPTIONS: &str = "mda=SHA-1";

const KEY_LABEL: &[u8] = b"countersign SRP session key v1";

/// The parameters of new records: those that Cyrus SASL has.
pub const PARAMETERS: Parameters =
    Parameters { dialect: Dialect::SASL, group: Group::Bits2048, prehash: Prehash::None };

/// What the mechanism promises.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::AboveTls,
        first: Side::Client,
        messages: 4,
        mutual: true,
        key: true,
        needs_binding: false,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::OfflineFast,
        client_test: 2,
        server_test: 2,
        by_name: true,
    }
}

/// The record for the server side.
pub(crate) fn enroll(
    _: &MechanismName,
    authcid: &str,
    password: &Password,
    preparation: Preparation,
    work: &Work,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    let parameters = Parameters { group: work.group().unwrap_or(PARAMETERS.group), ..PARAMETERS };
    Verifier::generate(&parameters, &prep::user_name(authcid)?, password, preparation, rng)
        .map(Credential::Srp)
}

/// What one side draws before it knows the group.
pub(crate) struct Drawn {
    exponent: Exponent,
    iv: [u8; IV_LEN],
}

impl Drawn {
    fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut drawn = Self { exponent: Exponent::new(vec![0; EXPONENT_MAX]), iv: [0; IV_LEN] };
        rng.fill_bytes(&mut drawn.exponent);
        rng.fill_bytes(&mut drawn.iv);
        drawn
    }

    #[cfg(feature = "vectors")]
    pub(crate) fn fixed(exponent: &[u8], iv: [u8; IV_LEN]) -> Self {
        Self { exponent: Exponent::new(exponent.to_vec()), iv }
    }

    fn exponent(&self, group: Group) -> Exponent {
        let len = self.exponent.len().min(group.exponent_len());
        Exponent::new(self.exponent[..len].to_vec())
    }
}

/// What M1 ends with: H(I) | H(L).
pub(crate) fn appended_to_m1(hash: Hash, authzid: &str, offered: &str) -> Zeroizing<Vec<u8>> {
    let [i, l] = [authzid, offered].map(|text| hash.digest(&[text.as_bytes()]));
    Zeroizing::new([&i[..], &l].concat())
}

/// What M2 ends with: H(I) | H(o) | sid | ttl.
pub(crate) fn appended_to_m2(
    hash: Hash,
    authzid: &str,
    chosen: &str,
    sid: &str,
    ttl: u32,
) -> Zeroizing<Vec<u8>> {
    let [i, o] = [authzid, chosen].map(|text| hash.digest(&[text.as_bytes()]));
    Zeroizing::new([&i[..], &o, sid.as_bytes(), &ttl.to_be_bytes()].concat())
}

/// The agreed key. K itself has 20 octets only and enters the proofs.
fn session_key(key: &[u8], m1: &[u8], m2: &[u8]) -> SessionKey {
    SessionKey::new(Hash::Sha256.hmac(key, &[KEY_LABEL, m1, m2]).to_vec())
}

/// o: what our client takes of L, as it was spelled there. No layer, and SHA-1, which every server has.
///
/// # Errors
/// [`rules::LAYER_DEMANDED`], [`rules::NO_COMMON_HASH`].
fn choose(offered: &str) -> Result<String> {
    let options = || offered.split(',').filter_map(|option| option.split_once('='));
    if options().any(|(name, _)| name.eq_ignore_ascii_case("mandatory")) {
        return Err(Error::new(&rules::LAYER_DEMANDED));
    }
    let mut hashes = options().filter(|(name, _)| name.eq_ignore_ascii_case("mda")).peekable();
    if hashes.peek().is_none() {
        // Then it is SHA-1 that both sides must have.
        return Ok(String::new());
    }
    match hashes.find(|(_, hash)| is_sha1(hash)) {
        Some((name, hash)) => Ok(format!("{name}={hash}")),
        None => Err(Error::new(&rules::NO_COMMON_HASH)),
    }
}

/// Whether the client's o stays within what we offer.
///
/// # Errors
/// [`rules::LAYER_CHOSEN`].
fn check_choice(chosen: &str) -> Result<()> {
    let allowed = |option: &str| match option.split_once('=') {
        Some((name, hash)) if name.eq_ignore_ascii_case("mda") => is_sha1(hash),
        // Only says how long the packets of a layer may be.
        Some((name, _)) => name.eq_ignore_ascii_case("maxbuffersize"),
        None => false,
    };
    if chosen.is_empty() || chosen.split(',').all(allowed) {
        return Ok(());
    }
    Err(Error::new(&rules::LAYER_CHOSEN))
}

fn is_sha1(name: &str) -> bool {
    name.eq_ignore_ascii_case("SHA-1") || name.eq_ignore_ascii_case("SHA-160")
}
