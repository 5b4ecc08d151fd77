//! The mechanisms that TLS itself proves. They are no SASL mechanisms and have rows of another type, so that no
//! negotiation above TLS can offer or take one.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::mechanism::{MechanismName, Properties};
use crate::prep::Preparation;
use crate::registry::{CredentialStore, rules};
use crate::secret::Password;
use crate::srp::Legacy;
use crate::tls::TlsMechanism;
use crate::tls::psk::{self, PskClientConfig, PskCredential, PskServerConfig, PskStore, Suite};
use crate::tls::srp::{self, SrpClientConfig, SrpServerConfig};

/// What the client side of a mechanism inside TLS is made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsClientSetup {
    /// A key, for TLS-PSK.
    Key(PskCredential),
    /// An account, for TLS-SRP.
    Account {
        /// The identity to authenticate as.
        authcid: String,
        /// The shared password.
        password: Password,
        /// How the password is prepared.
        preparation: Preparation,
        /// Whether groups below 2048 bits are taken.
        legacy: Legacy,
    },
}

/// What the server side of a mechanism inside TLS is made from.
#[derive(Clone)]
#[non_exhaustive]
pub enum TlsServerSetup {
    /// Keys, for TLS-PSK.
    Keys(Arc<dyn PskStore>),
    /// Records, for TLS-SRP.
    Records(Arc<dyn CredentialStore>),
}

type Make<Setup> = fn(&MechanismName, Setup) -> Result<Box<dyn TlsMechanism>>;

/// One row of the mechanisms inside TLS.
pub struct RegisteredTls {
    name: MechanismName,
    properties: fn(&MechanismName) -> Properties,
    client: Make<TlsClientSetup>,
    server: Make<TlsServerSetup>,
}

impl RegisteredTls {
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
    /// [`rules::WRONG_CREDENTIAL`] when the setup is for another mechanism; and what the mechanism finds wrong with it.
    pub fn client(&self, setup: TlsClientSetup) -> Result<Box<dyn TlsMechanism>> {
        (self.client)(&self.name, setup)
    }

    /// Starts the server side.
    ///
    /// # Errors
    /// As [`RegisteredTls::client`].
    pub fn server(&self, setup: TlsServerSetup) -> Result<Box<dyn TlsMechanism>> {
        (self.server)(&self.name, setup)
    }
}

impl std::fmt::Debug for RegisteredTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegisteredTls({})", self.name)
    }
}

/// Every mechanism inside TLS that is compiled in.
#[must_use]
pub fn in_tls() -> &'static [RegisteredTls] {
    ROWS
}

/// The mechanism inside TLS of that name.
///
/// # Errors
/// [`rules::UNKNOWN_MECHANISM`].
pub fn find_in_tls(name: &MechanismName) -> Result<&'static RegisteredTls> {
    row(name).ok_or_else(|| Error::new(&rules::UNKNOWN_MECHANISM).about(name.as_str()))
}

/// The same where a name that is not known is nothing to report.
pub(crate) fn row(name: &MechanismName) -> Option<&'static RegisteredTls> {
    ROWS.iter().find(|row| row.name == *name)
}

static ROWS: &[RegisteredTls] = &[
    // The handshake at its end: CPace before it is `cpace::psk`.
    #[cfg(feature = "cpace")]
    psk_row(crate::cpace::psk::NAME),
    psk_row(psk::TLS13_PSK),
    psk_row(psk::TLS12_ECDHE_PSK),
    RegisteredTls {
        name: srp::NAME,
        properties: |_| srp::properties(),
        client: |name, setup| match setup {
            TlsClientSetup::Account { authcid, password, preparation, legacy } => {
                SrpClientConfig::new(&authcid, &password, preparation, legacy)?.mechanism()
            }
            TlsClientSetup::Key(_) => Err(wrong(name)),
        },
        server: |name, setup| match setup {
            TlsServerSetup::Records(store) => SrpServerConfig::new(store)?.mechanism(),
            TlsServerSetup::Keys(_) => Err(wrong(name)),
        },
    },
];

const fn psk_row(name: MechanismName) -> RegisteredTls {
    RegisteredTls {
        name,
        properties: psk::whole,
        client: |name, setup| match setup {
            TlsClientSetup::Key(credential) if credential.mechanism() == name => {
                PskClientConfig::new(credential)?.mechanism()
            }
            _ => Err(wrong(name)),
        },
        server: |name, setup| match setup {
            TlsServerSetup::Keys(store) if *name == psk::TLS12_ECDHE_PSK => {
                PskServerConfig::only(Suite::Tls12, store)?.mechanism()
            }
            TlsServerSetup::Keys(store) => PskServerConfig::new(store)?.mechanism(),
            TlsServerSetup::Records(_) => Err(wrong(name)),
        },
    }
}

fn wrong(name: &MechanismName) -> Error {
    Error::new(&rules::WRONG_CREDENTIAL).about(name.as_str())
}
