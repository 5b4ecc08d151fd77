//! An account, and how to log in to it.

use std::time::Duration;

use jid::{BareJid, Jid};

use crate::binding::{BindingType, ChannelBinding};
use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::sasl::{Floor, Policy};
use crate::secret::Password;
use crate::xmpp::{Limits, Profile};

use super::{
    BIND_TIMEOUT, CLOSE_TIMEOUT, CONNECT_TIMEOUT, LOGIN_TIMEOUT, SEND_TIMEOUT, STREAM_TIMEOUT, rules,
};

/// How long each phase may take. Each starts at the constant of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// [`CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// [`STREAM_TIMEOUT`].
    pub stream: Duration,
    /// [`LOGIN_TIMEOUT`].
    pub login: Duration,
    /// [`BIND_TIMEOUT`].
    pub bind: Duration,
    /// [`SEND_TIMEOUT`].
    pub send: Duration,
    /// [`CLOSE_TIMEOUT`].
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            stream: STREAM_TIMEOUT,
            login: LOGIN_TIMEOUT,
            bind: BIND_TIMEOUT,
            send: SEND_TIMEOUT,
            close: CLOSE_TIMEOUT,
        }
    }
}

impl Timeouts {
    /// The same time for every phase.
    #[must_use]
    pub fn all(time: Duration) -> Self {
        Self { connect: time, stream: time, login: time, bind: time, send: time, close: time }
    }
}

/// Every form of SCRAM, bound ones and strong hashes first: what a login takes unless told otherwise.
pub const SCRAM: [MechanismName; 8] = [
    MechanismName::from_static("SCRAM-SHA-512-PLUS"),
    MechanismName::from_static("SCRAM-SHA3-512-PLUS"),
    MechanismName::from_static("SCRAM-SHA-256-PLUS"),
    MechanismName::from_static("SCRAM-SHA-1-PLUS"),
    MechanismName::from_static("SCRAM-SHA-512"),
    MechanismName::from_static("SCRAM-SHA3-512"),
    MechanismName::from_static("SCRAM-SHA-256"),
    MechanismName::from_static("SCRAM-SHA-1"),
];

/// Whether the login is bound to the TLS connection it runs in, so that it fails where somebody relays it.
///
/// What is done is decided once, before the exchange, from what the server offers; a login that failed is never tried
/// again with less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingUse {
    /// Bound where the server announces a type that this stream has (XEP-0440). Where it offers -PLUS and announces no
    /// type, as servers before XEP-0440 do, the login goes without and does not claim that the server could not bind
    /// (gs2 flag `n`); where it offers no -PLUS, it says so (flag `y`), and a server that did offer it refuses. Where
    /// it announces only other types, the server must confirm its offer (XEP-0474). An offer that contradicts itself
    /// is refused.
    ///
    /// # Security
    /// Somebody with a forged certificate that this client believes could cut the announcement, and would be noticed
    /// only by a server with XEP-0474.
    #[default]
    Auto,
    /// Bound, or no login. Where -PLUS is offered and no type announced, `tls-exporter` is taken, as RFC 9266 has it for
    /// TLS 1.3.
    Required,
    /// Not bound: as a client that knows no channel binding (flag `n`).
    Never,
}

/// How the client shows that it has the password.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Mechanism(Policy),
    Plain,
}

/// How the login went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginReport {
    /// The mechanism that was run.
    pub mechanism: MechanismName,
    /// What it was bound to.
    pub binding: Option<BindingType>,
    /// The elements that carried it.
    pub profile: Profile,
}

/// An account and how to log in to it.
#[derive(Clone, Debug)]
pub struct Login {
    pub(super) account: BareJid,
    pub(super) resource: Option<String>,
    pub(super) password: Password,
    pub(super) preparation: Preparation,
    pub(super) proof: Proof,
    pub(super) bindings: Vec<ChannelBinding>,
    pub(super) binding_use: BindingUse,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}

impl Login {
    /// The account at `jid`; its resource, if there is one, is the wish for that resource.
    ///
    /// The policy is [`SCRAM`], with channel binding as [`BindingUse::Auto`] has it.
    ///
    /// # Errors
    /// [`rules::NOT_AN_ACCOUNT`].
    pub fn new(jid: impl Into<Jid>, password: Password) -> Result<Self> {
        let jid = jid.into();
        if jid.node().is_none() {
            return Err(Error::new(&rules::NOT_AN_ACCOUNT).about(jid.as_str()));
        }
        Ok(Self {
            account: jid.to_bare(),
            resource: jid.resource().map(|resource| resource.as_str().to_owned()),
            password,
            preparation: Preparation::default(),
            proof: Proof::Mechanism(Policy::named(SCRAM).with_floor(Floor::Named)),
            bindings: Vec::new(),
            binding_use: BindingUse::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        })
    }

    /// Sets which mechanisms may log in.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.proof = Proof::Mechanism(policy);
        self
    }

    /// Sends the password itself, by PLAIN (RFC 4616), and takes nothing else.
    ///
    /// # Security
    /// Whoever is at the other end has the password, and proves nothing. Only for servers that know no SCRAM, over TLS with
    /// a checked certificate.
    #[must_use]
    pub fn dangerously_send_password(mut self) -> Self {
        self.proof = Proof::Plain;
        self
    }

    /// Sets how the account's password is prepared.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Adds a channel binding of the stream that is given to [`Client::over`](super::Client::over); one for each type
    /// that the stream has. With any, the stream counts as TLS, and its header says whose account it is.
    #[must_use]
    pub fn with_binding(mut self, binding: ChannelBinding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// Sets whether the login is bound to the stream.
    #[must_use]
    pub fn with_binding_use(mut self, binding_use: BindingUse) -> Self {
        self.binding_use = binding_use;
        self
    }

    /// Whether the stream has a channel binding, and so is TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        !self.bindings.is_empty()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// Sets the limits of the XML stream; of these only stanza and depth matter here.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}
