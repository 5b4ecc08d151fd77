//! SCRAM (RFC 5802, RFC 7677 and the SHA-512 and SHA3-512 drafts), each with and without -PLUS.
//!
//! The client proves the password against a salted, slow hash of it; the server proves that it holds the record.
//! With -PLUS both proofs cover the channel. SCRAM is no PAKE: whoever runs the server's side, impostors too, gets
//! one proof to test guesses on offline. What slows him is the iteration count, so the client has a floor for it.
//!
//! Beyond the RFCs: downgrade protection (XEP-0474 0.5.0, attribute `h`), and in an end-to-end session the digest
//! of the whole [`Context`] as attribute `o` of the server-first-message. Both stand in the
//! AuthMessage and are thereby proven by both sides.
//!
//! Each side is a chain of states; a call consumes one and gives the next:
//!
//! ```
//! use countersign::scram::{ClientConfig, HashFunction, ScramMechanism, ServerConfig, StoredCredential};
//! use countersign::secret::SecretBytes;
//! use countersign::{Password, prep::Preparation, system_rng};
//!
//! # fn main() -> countersign::Result<()> {
//! let (mut rng, mechanism) = (system_rng(), ScramMechanism::new(HashFunction::Sha256));
//! let password = Password::new("pencil");
//! let record = StoredCredential::derive(mechanism.hash(), &password, Preparation::SaslPrep, b"salt", 4096)?;
//!
//! let client = ClientConfig::new(mechanism, "user", password, None)?;
//! let server = ServerConfig::new(mechanism, None, &SecretBytes::new(vec![7; 32]))?;
//!
//! let (client, client_first) = client.start(&mut rng)?;
//! let request = server.start(&mut rng).receive(&client_first)?;
//! assert_eq!(request.username(), "user");
//! let (server, server_first) = request.respond(Some(record))?;
//! let (client, client_final) = client.receive(&server_first)?;
//! let (outcome, server_final) = server.receive(&client_final)?;
//! assert_eq!(outcome.authcid(), "user");
//! let (outcome, _keys) = client.receive(&server_final)?;
//! assert_eq!(outcome.authcid(), "user");
//! # Ok(())
//! # }
//! ```

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::mechanism::{Guessing, Mechanism, MechanismName, Place, Properties, Side};
use crate::prep::Preparation;
use crate::registry::{self, ClientSetup, Credential, ServerSetup, Work};
use crate::secret::Password;

mod client;
mod credential;
mod hash;
#[cfg(feature = "records")]
pub(crate) mod json;
mod pbkdf2;
pub mod rules;
mod server;
pub mod wire;

pub use client::{ClientConfig, ExpectServerFinal, ExpectServerFirst, ScramClient};
pub use credential::{ClientKeys, SALT_LEN, StoredCredential};
pub use hash::HashFunction;
pub use pbkdf2::pbkdf2;
pub use server::{
    ClientFirstReceived, ExpectClientFinal, ExpectClientFirst, SEED_MIN, ScramServer, ServerConfig,
};

/// Fewest iterations a client accepts and a new record may have, unless configured otherwise (RFC 5802 section 5.1,
/// RFC 7677 section 4).
pub const ITERATIONS_MIN: u32 = 4096;

/// Most iterations a client accepts and a new record may have, unless configured otherwise: some seconds of work.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Random octets of a nonce; 24 characters of base64.
pub const NONCE_LEN: usize = 18;

/// One of the eight mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScramMechanism {
    hash: HashFunction,
    plus: bool,
}

impl ScramMechanism {
    /// The mechanism without channel binding.
    #[must_use]
    pub const fn new(hash: HashFunction) -> Self {
        Self { hash, plus: false }
    }

    /// The mechanism with channel binding.
    #[must_use]
    pub const fn plus(hash: HashFunction) -> Self {
        Self { hash, plus: true }
    }

    /// Its hash function.
    #[must_use]
    pub const fn hash(self) -> HashFunction {
        self.hash
    }

    /// Whether it binds to a channel.
    #[must_use]
    pub const fn is_plus(self) -> bool {
        self.plus
    }

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> MechanismName {
        match (self.hash, self.plus) {
            (HashFunction::Sha1, false) => const { MechanismName::from_static("SCRAM-SHA-1") },
            (HashFunction::Sha1, true) => const { MechanismName::from_static("SCRAM-SHA-1-PLUS") },
            (HashFunction::Sha256, false) => const { MechanismName::from_static("SCRAM-SHA-256") },
            (HashFunction::Sha256, true) => const { MechanismName::from_static("SCRAM-SHA-256-PLUS") },
            (HashFunction::Sha512, false) => const { MechanismName::from_static("SCRAM-SHA-512") },
            (HashFunction::Sha512, true) => const { MechanismName::from_static("SCRAM-SHA-512-PLUS") },
            (HashFunction::Sha3_512, false) => const { MechanismName::from_static("SCRAM-SHA3-512") },
            (HashFunction::Sha3_512, true) => const { MechanismName::from_static("SCRAM-SHA3-512-PLUS") },
        }
    }

    /// What it promises.
    ///
    /// -PLUS runs only inside the channel it is bound to, where a listener hears nothing. Without it the proofs may
    /// pass in the open.
    #[must_use]
    pub fn properties(self) -> Properties {
        Properties {
            place: Place::AboveTls,
            first: Side::Client,
            messages: 4,
            mutual: true,
            key: false,
            needs_binding: self.plus,
            forward_secrecy: false,
            listener: if self.plus { Guessing::OnlineOnly } else { Guessing::OfflineStretched },
            impostor: Guessing::OfflineStretched,
            thief: Guessing::OfflineStretched,
            // The proof, and the answer to it.
            client_test: 2,
            server_test: 2,
            by_name: true,
        }
    }
}

impl TryFrom<&MechanismName> for ScramMechanism {
    type Error = Error;

    fn try_from(name: &MechanismName) -> Result<Self> {
        let (scheme, plus) = match name.as_str().strip_suffix("-PLUS") {
            Some(scheme) => (scheme, true),
            None => (name.as_str(), false),
        };
        match HashFunction::ALL.into_iter().find(|hash| hash.scheme() == scheme) {
            Some(hash) => Ok(Self { hash, plus }),
            None => Err(Error::new(&registry::rules::UNKNOWN_MECHANISM).about(name.as_str())),
        }
    }
}

pub(crate) fn properties(name: &MechanismName) -> Properties {
    ScramMechanism::try_from(name).expect("the registry calls this with its own names").properties()
}

pub(crate) fn client(
    name: &MechanismName,
    setup: ClientSetup,
    rng: &mut dyn CryptoRng,
) -> Result<Box<dyn Mechanism>> {
    let config = ClientConfig::new(name.try_into()?, &setup.authcid, setup.password, setup.binding)?
        .with_preparation(setup.preparation)
        .with_context(setup.context)
        .with_authzid(setup.authzid.as_deref())?;
    Ok(Box::new(ScramClient::new(config, rng)?))
}

pub(crate) fn server(
    name: &MechanismName,
    setup: ServerSetup,
    rng: &mut dyn CryptoRng,
) -> Result<Box<dyn Mechanism>> {
    let store = setup.credentials;
    let mut config = ServerConfig::new(name.try_into()?, setup.binding, store.simulation_seed())?
        .with_context(setup.context);
    if let Some(iterations) = store.simulated_iterations(name) {
        config = config.with_simulation(iterations, SALT_LEN)?;
    }
    Ok(Box::new(ScramServer::new(config, store, rng)))
}

pub(crate) fn enroll(
    name: &MechanismName,
    _authcid: &str,
    password: &Password,
    preparation: Preparation,
    work: &Work,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    let hash = ScramMechanism::try_from(name)?.hash;
    let iterations = work.iterations().unwrap_or_else(|| hash.default_iterations());
    StoredCredential::generate_with(hash, password, preparation, iterations, rng).map(Credential::Scram)
}

/// The range must lie above 0.
fn check_iterations(demanded: u64, allowed: &RangeInclusive<u32>) -> Result<NonZeroU32> {
    let (fewest, most) = (u64::from(*allowed.start()), u64::from(*allowed.end()));
    if demanded < fewest {
        return Err(Error::exceeds(&rules::TOO_FEW_ITERATIONS, demanded, fewest));
    }
    u32::try_from(demanded)
        .ok()
        .filter(|_| demanded <= most)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| Error::exceeds(&rules::TOO_MANY_ITERATIONS, demanded, most))
}

/// The value of `h`: the hash of what was offered (XEP-0474 0.5.0 section 4), in base64.
fn downgrade_hash(hash: HashFunction, context: &Context) -> String {
    Base64::encode_string(hash.digest(&context.downgrade_string()).expose())
}

/// The value of `o`: the digest of the whole context, in base64.
fn context_hash(context: &Context) -> String {
    Base64::encode_string(&context.digest())
}

fn offers_plus(context: &Context) -> bool {
    context.mechanisms().iter().any(|name| name.is_plus() && name.as_str().starts_with("SCRAM-"))
}

#[cfg(test)]
mod tests;
