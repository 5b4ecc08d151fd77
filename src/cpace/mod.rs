//! CPace, a balanced PAKE (draft-irtf-cfrg-cpace-21), and its SASL mechanisms `CPACE-R255-PLUS` and
//! `CPACE-X25519-PLUS` (`docs/sasl-pake.md`).
//!
//! Both sides hold the password itself. A listener learns nothing about it, an impostor of either side can test
//! one guess in each run with an honest party, and a password that leaks later does not open old channels.
//!
//! [`Initiator`] and [`Responder`] are the bare protocol. [`CpaceClient`] and [`CpaceServer`] are the SASL
//! mechanisms: three messages, always bound to a TLS connection, with the identities and all that was offered
//! in the open as part of what is proven.
//!
//! # Security
//! The stored secret of the server side is the password. Who steals it can play either side at once; if that is
//! worse than a slower login, choose an augmented mechanism (SPAKE2+, OPAQUE).
//!
//! Scalar arithmetic, the map to the group and comparisons take the same time for all passwords. Scalars, the
//! generator, the shared point and all keys are wiped; copies that the compiler leaves in registers and spilled
//! stack slots are not.

mod client;
mod credential;
mod elligator;
mod protocol;
pub mod psk;
mod server;
pub mod strings;
mod suite;
mod wire;

pub use client::{ClientReady, CpaceClient, ExpectServerShare};
pub use protocol::{Confirmed, Initiator, Inputs, KEY_LEN, Responder, TAG_LEN, Unconfirmed};
pub use server::{CpaceServer, ExpectClientConfirm, ExpectClientShare};
pub use suite::{SHARE_LEN, Suite};

pub(crate) use credential::enroll;

#[cfg(feature = "vectors")]
pub(crate) use protocol::{isk, isk_label, mac_key, session_key, sid_output};

use crate::binding::{BindingType, ChannelBinding};
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::registry;

/// Name of the mechanism on ristretto255, the one to use.
pub const R255_PLUS: MechanismName = MechanismName::from_static("CPACE-R255-PLUS");

/// Name of the mechanism on X25519.
pub const X25519_PLUS: MechanismName = MechanismName::from_static("CPACE-X25519-PLUS");

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The peer's share does not encode a group element.
    pub static BAD_SHARE: Rule = Rule {
        id: "cpace-bad-share",
        kind: ErrorKind::PeerMisbehaved,
        source: "draft-irtf-cfrg-cpace-21, scalar_mult_vfy; RFC 9496 section 4.3.1",
        what: "the peer's public share is not an element of the group",
        advice: "The peer is broken or hostile; do not trust this connection.",
    };
    /// The peer's share leads to the neutral element, whatever the password.
    pub static NEUTRAL_ELEMENT: Rule = Rule {
        id: "cpace-neutral-element",
        kind: ErrorKind::PeerMisbehaved,
        source: "draft-irtf-cfrg-cpace-21, scalar_mult_vfy; RFC 7748 section 6.1",
        what: "the peer's public share has a small order and would fix the key",
        advice: "No honest peer sends this; do not trust this connection.",
    };
    /// The peer sent our own share back.
    pub static OWN_SHARE: Rule = Rule {
        id: "cpace-own-share",
        kind: ErrorKind::PeerMisbehaved,
        source: "draft-irtf-cfrg-cpace-21, party identifiers and relay attacks",
        what: "the peer sent our own public share back to us",
        advice: "Somebody reflects our messages; do not trust this connection.",
    };
    /// The peer's key-confirmation tag is not the one we computed.
    pub static WRONG_CONFIRMATION: Rule = Rule {
        id: "cpace-wrong-confirmation",
        kind: ErrorKind::AuthenticationFailed,
        source: "draft-irtf-cfrg-cpace-21, key confirmation",
        what: "the peer's confirmation is wrong: another password, an unknown user, or somebody in between",
        advice: "Check the password on both sides; each failure may have been one guess of an attacker.",
    };
    /// An empty password proves nothing.
    pub static EMPTY_PASSWORD: Rule = Rule {
        id: "cpace-empty-password",
        kind: ErrorKind::Misuse,
        source: "docs/sasl-pake.md, Passwords",
        what: "the password is empty",
        advice: "Agree on a password with the peer.",
    };
    /// A channel binding that more than one connection can have.
    pub static BINDING_NOT_UNIQUE: Rule = Rule {
        id: "cpace-binding-not-unique",
        kind: ErrorKind::Misuse,
        source: "docs/sasl-pake.md, Session identifier",
        what: "CPace takes its session identifier from the channel binding, and this type is not unique to a connection",
        advice: "Bind to tls-exporter.",
    };
}

impl Suite {
    /// The SASL mechanism that runs this suite.
    #[must_use]
    pub fn mechanism(self) -> MechanismName {
        match self {
            Self::Ristretto255Sha512 => R255_PLUS,
            Self::X25519Sha512 => X25519_PLUS,
        }
    }

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
}

/// What both mechanisms promise.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::AboveTls,
        first: Side::Client,
        messages: 3,
        mutual: true,
        key: true,
        needs_binding: true,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::Immediate,
        // Ta and Tb, the latter beside Yb.
        client_test: 2,
        server_test: 1,
        by_name: false,
    }
}

/// The channel, if it is there and identifies one connection.
fn unique(binding: Option<ChannelBinding>) -> Result<ChannelBinding> {
    let binding = binding.ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))?;
    match binding.kind() {
        BindingType::TlsExporter | BindingType::TlsUnique => Ok(binding),
        other => Err(Error::new(&rules::BINDING_NOT_UNIQUE).about(other.name())),
    }
}

/// `sid`: fresh with the connection, known to both before the first message, and public.
pub(crate) fn session_identifier(binding: &ChannelBinding) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let input =
        strings::lv_cat(&[b"countersign CPace sid v1", binding.kind().name().as_bytes(), binding.data()]);
    Sha256::digest(input).into()
}

#[cfg(test)]
mod tests;
