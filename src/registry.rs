//! Every mechanism that is compiled in, under its registered name: those above TLS in [`all`], those inside TLS, which no
//! SASL exchange can run, in `in_tls` (with the feature `openssl`).
//!
//! The command line, the session, the tests and the benches loop over [`all`]; a new mechanism is one more row
//! here and nothing else.

use std::sync::Arc;

use rand_core::CryptoRng;

use crate::binding::ChannelBinding;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::{Mechanism, MechanismName, Properties};
use crate::prep::Preparation;
use crate::secret::{Password, SecretBytes};

#[cfg(feature = "openssl")]
mod in_tls;
mod stores;
mod work;

#[cfg(feature = "openssl")]
pub(crate) use in_tls::row as row_in_tls;
#[cfg(feature = "openssl")]
pub use in_tls::{RegisteredTls, TlsClientSetup, TlsServerSetup, find_in_tls, in_tls};
#[cfg(feature = "records")]
pub(crate) use stores::family;
pub use stores::{MemoryStore, SharedPassword};
pub use work::Work;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// No such mechanism in this build.
    pub static UNKNOWN_MECHANISM: Rule = Rule {
        id: "registry-unknown-mechanism",
        kind: ErrorKind::PeerIncompatible,
        source: "countersign",
        what: "this build knows no such mechanism",
        advice: "See the list of mechanisms; some need a Cargo feature.",
    };
    /// A -PLUS mechanism was started without a channel binding.
    pub static BINDING_MISSING: Rule = Rule {
        id: "registry-binding-missing",
        kind: ErrorKind::Misuse,
        source: "RFC 5802 section 6",
        what: "this mechanism needs a channel binding and was given none",
        advice: "Take the binding from the finished TLS connection, or choose a mechanism without -PLUS.",
    };
    /// The stored credential is not of the kind the mechanism needs.
    pub static WRONG_CREDENTIAL: Rule = Rule {
        id: "registry-wrong-credential",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "the stored credential does not belong to this mechanism",
        advice: "Enroll the user for this mechanism.",
    };
}

/// What the client side of any mechanism is made from.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct ClientSetup {
    /// The identity to authenticate as: in an end-to-end session the initiator's bare JID.
    pub authcid: String,
    /// The identity to act as, when it is another one.
    pub authzid: Option<String>,
    /// The shared password.
    pub password: Password,
    /// How the password is prepared.
    pub preparation: Preparation,
    /// The channel to bind to; required by the mechanisms that need one.
    pub binding: Option<ChannelBinding>,
    /// Who talks to whom, and what was offered.
    pub context: Context,
}

/// What the server side of any mechanism is made from.
#[derive(Clone)]
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct ServerSetup {
    /// Where the records are.
    pub credentials: Arc<dyn CredentialStore>,
    /// The channel to bind to; required by the mechanisms that need one.
    pub binding: Option<ChannelBinding>,
    /// Who talks to whom, and what was offered.
    pub context: Context,
}

/// A stored record of one user for one mechanism.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// The shared password itself, for the balanced mechanisms.
    Password(Password),
    /// SCRAM's salt, iteration count, StoredKey and ServerKey.
    #[cfg(feature = "scram")]
    Scram(crate::scram::StoredCredential),
    /// The hash parameters, salt, w0 and L of SPAKE2+ on P-256.
    #[cfg(feature = "spake2plus")]
    Spake2Plus(crate::spake2plus::Record),
    /// The hash parameters, salt, w0 and L of SPAKE2+ on edwards25519.
    #[cfg(feature = "spake2plus")]
    Spake2PlusEd25519(crate::spake2plus::Record<crate::spake2plus::Edwards25519>),
    /// OPAQUE's server keys, hash parameters and registration record.
    #[cfg(feature = "opaque")]
    Opaque(crate::opaque::Record),
    /// SRP's salt and verifier.
    #[cfg(feature = "srp")]
    Srp(crate::srp::Verifier),
}

/// Where the server side finds its records.
pub trait CredentialStore: Send + Sync {
    /// The record of `authcid` for `mechanism`, or `None` for an unknown user.
    ///
    /// # Errors
    /// When the store itself fails; the exchange then ends with a temporary failure.
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>>;

    /// At least 32 random octets, the same for the life of the store: what unknown users are simulated from, so
    /// that repeated probes agree.
    fn simulation_seed(&self) -> &SecretBytes;

    /// The iteration count that the records here have for `mechanism`, where it is not the default: an unknown user
    /// is simulated with it, so that the count does not tell who exists.
    fn simulated_iterations(&self, _mechanism: &MechanismName) -> Option<u32> {
        None
    }

    /// The hash parameters that the records here have for `mechanism`, where they are not the default: an unknown
    /// user is simulated with them, for the same reason.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    fn simulated_ksf(&self, _mechanism: &MechanismName) -> Option<crate::ksf::Ksf> {
        None
    }
}

type MakeSide<Setup> = fn(&MechanismName, Setup, &mut dyn CryptoRng) -> Result<Box<dyn Mechanism>>;
type Enroll =
    fn(&MechanismName, &str, &Password, Preparation, &Work, &mut dyn CryptoRng) -> Result<Credential>;

/// One row of the registry.
pub struct Registered {
    name: MechanismName,
    properties: fn(&MechanismName) -> Properties,
    client: MakeSide<ClientSetup>,
    server: MakeSide<ServerSetup>,
    enroll: Enroll,
}

impl Registered {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &MechanismName {
        &self.name
    }

    /// What the mechanism promises.
    #[must_use]
    pub fn properties(&self) -> Properties {
        (self.properties)(&self.name)
    }

    /// Starts the client side.
    ///
    /// # Errors
    /// [`rules::BINDING_MISSING`], and what the mechanism finds wrong with its input.
    pub fn client(&self, setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Box<dyn Mechanism>> {
        self.check_binding(setup.binding.as_ref())?;
        (self.client)(&self.name, setup, rng)
    }

    /// Starts the server side.
    ///
    /// # Errors
    /// [`rules::BINDING_MISSING`], and what the mechanism finds wrong with its input.
    pub fn server(&self, setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Box<dyn Mechanism>> {
        self.check_binding(setup.binding.as_ref())?;
        (self.server)(&self.name, setup, rng)
    }

    /// Makes the record that the server side stores for `authcid`, with this crate's default work factors.
    ///
    /// # Errors
    /// When the password does not pass its preparation.
    pub fn enroll(
        &self,
        authcid: &str,
        password: &Password,
        preparation: Preparation,
        rng: &mut dyn CryptoRng,
    ) -> Result<Credential> {
        self.enroll_with(authcid, password, preparation, &Work::default(), rng)
    }

    /// The same with other work factors; those that this mechanism does not have are passed over.
    ///
    /// # Errors
    /// When the password does not pass its preparation, or the mechanism refuses a work factor.
    pub fn enroll_with(
        &self,
        authcid: &str,
        password: &Password,
        preparation: Preparation,
        work: &Work,
        rng: &mut dyn CryptoRng,
    ) -> Result<Credential> {
        (self.enroll)(&self.name, authcid, password, preparation, work, rng)
    }

    fn check_binding(&self, binding: Option<&ChannelBinding>) -> Result<()> {
        if self.properties().needs_binding && binding.is_none() {
            return Err(Error::new(&rules::BINDING_MISSING).about(self.name.as_str()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registered({})", self.name)
    }
}

/// Every mechanism above TLS that is compiled in, in this crate's order of preference.
#[must_use]
pub fn all() -> &'static [Registered] {
    ROWS
}

/// The mechanism of that name.
///
/// # Errors
/// [`rules::UNKNOWN_MECHANISM`].
pub fn find(name: &MechanismName) -> Result<&'static Registered> {
    row(name).ok_or_else(|| Error::new(&rules::UNKNOWN_MECHANISM).about(name.as_str()))
}

/// The same where a name that is not known is nothing to report.
pub(crate) fn row(name: &MechanismName) -> Option<&'static Registered> {
    ROWS.iter().find(|row| row.name == *name)
}

static ROWS: &[Registered] = &[
    #[cfg(feature = "cpace")]
    cpace_row(crate::cpace::R255_PLUS),
    #[cfg(feature = "cpace")]
    cpace_row(crate::cpace::X25519_PLUS),
    #[cfg(feature = "spake2plus")]
    spake2plus_row::<crate::spake2plus::Ed25519Sha256>(),
    #[cfg(feature = "spake2plus")]
    spake2plus_row::<crate::spake2plus::P256Sha256>(),
    #[cfg(feature = "opaque")]
    Registered {
        name: crate::opaque::NAME,
        properties: |_| crate::opaque::properties(),
        client: crate::opaque::OpaqueClient::boxed,
        server: crate::opaque::OpaqueServer::boxed,
        enroll: crate::opaque::enroll,
    },
    #[cfg(feature = "srp")]
    srp_plus(crate::srp::plus::SHA_256_PLUS),
    #[cfg(feature = "srp")]
    srp_plus(crate::srp::plus::SHA_512_PLUS),
    #[cfg(feature = "srp")]
    Registered {
        name: crate::srp::sasl::NAME,
        properties: |_| crate::srp::sasl::properties(),
        client: crate::srp::sasl::SrpClient::boxed,
        server: crate::srp::sasl::SrpServer::boxed,
        enroll: crate::srp::sasl::enroll,
    },
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-512-PLUS"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA3-512-PLUS"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-256-PLUS"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-1-PLUS"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-512"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA3-512"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-256"),
    #[cfg(feature = "scram")]
    scram("SCRAM-SHA-1"),
];

#[cfg(feature = "cpace")]
const fn cpace_row(name: MechanismName) -> Registered {
    use crate::cpace;
    Registered {
        name,
        properties: |_| cpace::properties(),
        client: cpace::CpaceClient::boxed,
        server: cpace::CpaceServer::boxed,
        enroll: cpace::enroll,
    }
}

#[cfg(feature = "srp")]
const fn srp_plus(name: MechanismName) -> Registered {
    use crate::srp::plus;
    Registered {
        name,
        properties: |_| plus::properties(),
        client: plus::SrpPlusClient::boxed,
        server: plus::SrpPlusServer::boxed,
        enroll: plus::enroll,
    }
}

#[cfg(feature = "spake2plus")]
const fn spake2plus_row<S: crate::spake2plus::SaslSuite>() -> Registered {
    use crate::spake2plus;
    Registered {
        name: S::NAME,
        properties: |_| spake2plus::properties(),
        client: spake2plus::Spake2PlusClient::<S>::boxed,
        server: spake2plus::Spake2PlusServer::<S>::boxed,
        enroll: spake2plus::enroll::<S>,
    }
}

#[cfg(feature = "scram")]
const fn scram(name: &'static str) -> Registered {
    use crate::scram;
    Registered {
        name: MechanismName::from_static(name),
        properties: scram::properties,
        client: scram::client,
        server: scram::server,
        enroll: scram::enroll,
    }
}
