//! The sessions of one XMPP connection.

use std::time::Instant;

use jid::FullJid;
use minidom::Element;
use rand_core::CryptoRng;

use crate::tls::Endpoint;

use super::session::{Event, ResponderConfig, Session};

/// Names a session of a [`Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// What a responder session is made from.
#[allow(clippy::exhaustive_structs, reason = "made by callers, who should decide on every field")]
pub struct Acceptance {
    /// Address, policy, records, limits.
    pub config: ResponderConfig,
    /// A fresh TLS server endpoint.
    pub endpoint: Box<dyn Endpoint>,
    /// Where randomness comes from.
    pub rng: Box<dyn CryptoRng + Send>,
}

/// Decides who may open a session with us; any `FnMut(&FullJid) -> Option<Acceptance>` does.
pub trait Gate: Send {
    /// Somebody at `peer` wants a session. `None` is answered like the absence of this whole feature.
    fn admit(&mut self, peer: &FullJid) -> Option<Acceptance>;
}

impl<F: FnMut(&FullJid) -> Option<Acceptance> + Send> Gate for F {
    fn admit(&mut self, peer: &FullJid) -> Option<Acceptance> {
        self(peer)
    }
}

/// What a host tells its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostEvent {
    /// A peer has opened a session, which still has to prove itself.
    Incoming(SessionId, FullJid),
    /// An event of a session.
    Session(SessionId, Event),
}

/// All end-to-end sessions of one XMPP connection, and the answers to what belongs to none of them.
pub struct Host {}

impl Host {
    /// For the connection bound to `own`; without a gate nobody can open a session with us.
    #[must_use]
    pub fn new(own: FullJid, gate: Option<Box<dyn Gate>>) -> Self {
        let _ = (own, gate);
        todo!()
    }

    /// Adds a session that we initiated.
    pub fn add(&mut self, session: Session) -> SessionId {
        let _ = session;
        todo!()
    }

    /// A session, until its last event has been polled.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        let _ = id;
        todo!()
    }

    /// A session, to send, close or abort.
    #[must_use]
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let _ = id;
        todo!()
    }

    /// Takes a stanza from the server. False for what the application should look at: messages, presence,
    /// and answers that no session waits for. Every IQ request is answered here.
    pub fn handle(&mut self, stanza: &Element, now: Instant) -> bool {
        let _ = (stanza, now);
        todo!()
    }

    /// As [`Session::tick`], for all.
    pub fn tick(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The earliest [`Session::next_timeout`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next stanza to send to the server.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        todo!()
    }

    /// The next event. With the last event of a session the session is gone.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        todo!()
    }

    /// As [`Session::transport_lost`], for all.
    pub fn transport_lost(&mut self) {
        todo!()
    }
}
