//! `SRP-SHA-256-PLUS` and `SRP-SHA-512-PLUS` (`docs/sasl-pake.md`): SRP-6a bound to a TLS connection, with both
//! identities and all that was offered in the open as part of what is proven, and with a slow password hash.

mod client;
mod server;
pub(crate) mod wire;

use rand_core::CryptoRng;

pub use client::{ClientReady, ExpectServerFirst, ExpectServerSecond, SrpPlusClient};
pub use server::{ExpectClientFirst, ExpectClientSecond, SrpPlusServer};

use super::credential::{Parameters, Prehash, Verifier};
use super::dialect::{Dialect, Hash};
use super::group::{EXPONENT_MAX, Exponent, Group};
use super::rules;
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::ksf::Ksf;
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::prep::Preparation;
use crate::registry::{self, Credential, Work};
use crate::secret::{Password, SessionKey};

/// Name of the mechanism with SHA-256, the one to use.
pub const SHA_256_PLUS: MechanismName = MechanismName::from_static("SRP-SHA-256-PLUS");

/// Name of the mechanism with SHA-512.
pub const SHA_512_PLUS: MechanismName = MechanismName::from_static("SRP-SHA-512-PLUS");

const KEY_LABEL: &[u8] = b"countersign SRP session key v1";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suite {
    /// `SRP-SHA-256-PLUS`.
    Sha256,
    /// `SRP-SHA-512-PLUS`.
    Sha512,
}

impl Suite {
    /// Both, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The suite that the mechanism `name` runs.
    ///
    /// # Errors
    /// [`registry::rules::UNKNOWN_MECHANISM`].
    pub fn of(name: &MechanismName) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.mechanism() == *name)
            .ok_or_else(|| Error::new(&registry::rules::UNKNOWN_MECHANISM).about(name.as_str()))
    }

    /// The SASL mechanism that runs this suite.
    #[must_use]
    pub fn mechanism(self) -> MechanismName {
        match self {
            Self::Sha256 => SHA_256_PLUS,
            Self::Sha512 => SHA_512_PLUS,
        }
    }

    /// The hash.
    #[must_use]
    pub fn hash(self) -> Hash {
        match self {
            Self::Sha256 => Hash::Sha256,
            Self::Sha512 => Hash::Sha512,
        }
    }

    /// The parameters of new records: 3072 bits and [`Ksf::DEFAULT`].
    #[must_use]
    pub fn parameters(self) -> Parameters {
        self.parameters_in(Group::Bits3072, Ksf::DEFAULT)
    }

    fn parameters_in(self, group: Group, ksf: Ksf) -> Parameters {
        Parameters { dialect: Dialect::PLUS.with_hash(self.hash()), group, prehash: Prehash::Ksf(ksf) }
    }
}

/// What both mechanisms promise.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::AboveTls,
        first: Side::Client,
        messages: 4,
        mutual: true,
        key: true,
        needs_binding: true,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::OfflineStretched,
        client_test: 2,
        server_test: 2,
        by_name: true,
    }
}

/// The record for the server side.
pub(crate) fn enroll(
    name: &MechanismName,
    authcid: &str,
    password: &Password,
    preparation: Preparation,
    work: &Work,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    let group = check_group(work.group().unwrap_or_default())?;
    let parameters = Suite::of(name)?.parameters_in(group, work.ksf().unwrap_or_default());
    Verifier::generate(&parameters, authcid, password, preparation, rng).map(Credential::Srp)
}

/// Both mechanisms want 3072 bits or more.
///
/// # Errors
/// [`rules::GROUP_TOO_SMALL_FOR_PLUS`].
fn check_group(group: Group) -> Result<Group> {
    if group < Group::Bits3072 {
        return Err(Error::new(&rules::GROUP_TOO_SMALL_FOR_PLUS));
    }
    Ok(group)
}

fn draw(rng: &mut dyn CryptoRng) -> Exponent {
    let mut exponent = Exponent::new(vec![0; EXPONENT_MAX]);
    rng.fill_bytes(&mut exponent);
    exponent
}

fn exponent_for(group: Group, drawn: &Exponent) -> Exponent {
    Exponent::new(drawn[..drawn.len().min(group.exponent_len())].to_vec())
}

/// TT: the channel identifier and the first two messages, hashed; it ends M1 and M2.
pub(crate) fn transcript(hash: Hash, channel: &[u8], client_first: &[u8], server_first: &[u8]) -> Vec<u8> {
    let lengths = [channel, client_first, server_first].map(|item| (item.len() as u64).to_be_bytes());
    let parts = [&lengths[0], channel, &lengths[1], client_first, &lengths[2], server_first];
    hash.digest(&parts).to_vec()
}

/// The agreed key: as many octets as the hash has.
pub(crate) fn session_key(hash: Hash, key: &[u8], transcript: &[u8]) -> SessionKey {
    SessionKey::new(hash.hmac(key, &[KEY_LABEL, transcript]).to_vec())
}

fn required(binding: Option<ChannelBinding>) -> Result<ChannelBinding> {
    binding.ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))
}
