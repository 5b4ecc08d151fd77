//! One end-to-end channel.

use std::sync::Arc;
use std::time::Instant;

use jid::FullJid;
use minidom::Element;
use rand_core::CryptoRng;

use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::CredentialStore;
use crate::sasl::Policy;
use crate::secret::Password;
use crate::tls::{Endpoint, Negotiated};

use super::Limits;

/// What the initiator brings to a session.
#[derive(Clone, Debug)]
pub struct InitiatorConfig {
    own: FullJid,
    peer: FullJid,
    policy: Policy,
    password: Password,
    preparation: Preparation,
    limits: Limits,
}

impl InitiatorConfig {
    /// Both addresses, and the shared password. The policy is the default one: nothing that lets anybody test
    /// passwords offline.
    #[must_use]
    pub fn new(own: FullJid, peer: FullJid, password: Password) -> Self {
        Self {
            own,
            peer,
            policy: Policy::default(),
            password,
            preparation: Preparation::default(),
            limits: Limits::default(),
        }
    }

    /// Sets which mechanisms are acceptable.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how the password is prepared; the responder's record must have been made in the same way.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What the responder brings to a session.
#[derive(Clone)]
pub struct ResponderConfig {
    own: FullJid,
    policy: Policy,
    credentials: Arc<dyn CredentialStore>,
    limits: Limits,
}

impl ResponderConfig {
    /// The own address, and where the records are. The initiator authenticates as its bare JID.
    #[must_use]
    pub fn new(own: FullJid, credentials: Arc<dyn CredentialStore>) -> Self {
        Self { own, policy: Policy::default(), credentials, limits: Limits::default() }
    }

    /// Sets which mechanisms are offered.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// What a session tells its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer has proven the password; stanzas and octets may pass.
    Established(Box<Established>),
    /// A stanza came through the tunnel.
    Stanza(Element),
    /// Octets came through the tunnel.
    Bytes(Vec<u8>),
    /// The session has ended properly: everything that was sent has arrived. The last event.
    Closed,
    /// The session has failed. The last event.
    Failed(Error),
}

/// What was established.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Established {
    /// The mechanism that was run.
    pub mechanism: MechanismName,
    /// The initiator's side: what else the responder offered, and why it was not taken.
    pub refused: Vec<(MechanismName, &'static str)>,
    /// The proven identity of the initiator: its bare JID.
    pub authcid: String,
    /// What TLS agreed on.
    pub negotiated: Option<Negotiated>,
    /// Octets of the `tls-exporter` value that both sides proved to share.
    pub binding: crate::ChannelBinding,
}

/// Counts of one session, both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Stanzas sent over the servers.
    pub stanzas_sent: u64,
    /// Stanzas received over the servers.
    pub stanzas_received: u64,
    /// Octets sent in IBB blocks, before base64.
    pub octets_sent: u64,
    /// Octets received in IBB blocks, after base64.
    pub octets_received: u64,
    /// SASL messages, both directions together, success included.
    pub sasl_messages: u64,
    /// How often this side had to wait for the peer before the tunnel was verified.
    pub round_trips: u64,
    /// Key updates that this side began.
    pub rekeys: u64,
}

/// One end-to-end session with one peer.
pub struct Session {}

impl Session {
    /// Starts a session: queues the disco#info request; session-initiate follows a good answer.
    ///
    /// # Errors
    /// When the endpoint is not a TLS client.
    pub fn initiate(
        config: InitiatorConfig,
        endpoint: Box<dyn Endpoint>,
        rng: Box<dyn CryptoRng + Send>,
        now: Instant,
    ) -> Result<Self> {
        let _ = (config, endpoint, rng, now);
        todo!()
    }

    /// Answers a session-initiate. One that cannot be taken gives a session which has failed already and holds
    /// the answer to be sent.
    ///
    /// # Errors
    /// When the endpoint is not a TLS server, or the stanza is no session-initiate.
    pub fn respond(
        config: ResponderConfig,
        endpoint: Box<dyn Endpoint>,
        rng: Box<dyn CryptoRng + Send>,
        session_initiate: &Element,
        now: Instant,
    ) -> Result<Self> {
        let _ = (config, endpoint, rng, session_initiate, now);
        todo!()
    }

    /// Takes a stanza that came over the servers. True when it belongs to this session, by its identifiers and by
    /// the full JID it comes from.
    pub fn handle(&mut self, stanza: &Element, now: Instant) -> bool {
        let _ = (stanza, now);
        todo!()
    }

    /// Lets time pass: fails what is overdue, updates keys.
    pub fn tick(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next stanza to send over the servers.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        todo!()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// Sends a stanza through the tunnel.
    ///
    /// # Errors
    /// Before [`Event::Established`], after [`Session::close`], and when the buffer is full.
    pub fn send(&mut self, stanza: Element) -> Result<()> {
        let _ = stanza;
        todo!()
    }

    /// Sends octets through the tunnel; gives how many were taken, 0 when the buffer is full.
    ///
    /// # Errors
    /// Before [`Event::Established`], and after [`Session::close`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<usize> {
        let _ = bytes;
        todo!()
    }

    /// Updates the keys of both directions now.
    ///
    /// # Errors
    /// Before [`Event::Established`], and after [`Session::close`].
    pub fn rekey(&mut self) -> Result<()> {
        todo!()
    }

    /// Ends the session properly, after what has been queued. [`Event::Closed`] follows.
    pub fn close(&mut self) {
        todo!()
    }

    /// Ends the session at once: session-terminate with `<cancel/>`. [`Event::Failed`] follows.
    pub fn abort(&mut self) {
        todo!()
    }

    /// The connection to the server is gone.
    pub fn transport_lost(&mut self) {
        todo!()
    }

    /// The Jingle session identifier.
    #[must_use]
    pub fn sid(&self) -> &str {
        todo!()
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> &FullJid {
        todo!()
    }

    /// Whether the session has ended; only late answers may still have to be sent.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        todo!()
    }

    /// Counts so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        todo!()
    }
}
