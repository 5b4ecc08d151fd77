//! The sessions of one XMPP connection.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use jid::{FullJid, Jid};
use minidom::Element;
use rand_core::CryptoRng;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::guess::{GuessLimits, Guesses};
use crate::tls::Endpoint;

use super::iq::{self, Incoming, Kind, Refusal};
use super::session::{self, Event, ResponderConfig, Session, SocketId, SocketRequest};
use super::socks5::Destination;
use super::{disco, ibb, ns};

/// Most sessions of one host. Further offers are answered `resource-constraint`.
pub const SESSIONS_MAX: usize = 64;

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
pub struct Host {
    own: FullJid,
    gate: Option<Box<dyn Gate>>,
    sessions: BTreeMap<SessionId, Session>,
    guesses: Guesses,
    added: u64,
    socks5: bool,
    outbox: VecDeque<Element>,
    sockets: VecDeque<(SessionId, SocketRequest)>,
    incoming: VecDeque<SessionId>,
}

impl Host {
    /// For the connection bound to `own`; without a gate nobody can open a session with us.
    #[must_use]
    pub fn new(own: FullJid, gate: Option<Box<dyn Gate>>) -> Self {
        Self {
            own,
            gate,
            sessions: BTreeMap::new(),
            guesses: Guesses::in_memory(GuessLimits::default()),
            added: 0,
            socks5: false,
            outbox: VecDeque::new(),
            sockets: VecDeque::new(),
            incoming: VecDeque::new(),
        }
    }

    /// Says in service discovery that sessions may be offered over SOCKS5 bytestreams: the gate has to give such
    /// [`ResponderConfig`]s, and the application serves their sockets.
    #[must_use]
    pub fn with_socks5(mut self) -> Self {
        self.socks5 = true;
        self
    }

    /// Adds a session that we initiated.
    pub fn add(&mut self, session: Session) -> SessionId {
        self.added += 1;
        let id = SessionId(self.added);
        self.sessions.insert(id, session);
        id
    }

    /// A session, until its last event has been polled.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// A session, to send, close or abort.
    #[must_use]
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Takes a stanza from the server. False for what the application should look at: messages, presence,
    /// and answers that no session waits for. Every IQ request is answered here. Presence that says that a peer has gone
    /// ends its sessions, unless something else comes from it within [`session::ABSENCE`].
    pub fn handle(&mut self, stanza: &Element, now: Instant) -> bool {
        if let Some(peer) = gone(stanza) {
            let theirs = self.sessions.values_mut().filter(|session| *session.peer() == peer);
            theirs.for_each(|session| session.peer_gone(now));
            return false;
        }
        if self.sessions.values_mut().any(|session| session.handle(stanza, now)) {
            return true;
        }
        if let Some(Incoming { from, to, id, kind: Kind::Request { set, payload } }) = Incoming::parse(stanza)
        {
            if to.as_ref().is_some_and(|to| *to != self.own) {
                return false;
            }
            if set && session::offered_sid(payload).is_some() {
                self.offered(&from, id, payload, stanza, now);
            } else {
                let answer = self.stray(&from, id, set, payload);
                self.outbox.push_back(answer);
            }
            return true;
        }
        self.refuse_request(stanza)
    }

    /// As [`Session::tick`], for all.
    pub fn tick(&mut self, now: Instant) {
        self.sessions.values_mut().for_each(|session| session.tick(now));
    }

    /// The earliest [`Session::next_timeout`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::next_timeout).min()
    }

    /// The next stanza to send to the server.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        self.outbox.pop_front().or_else(|| self.sessions.values_mut().find_map(Session::poll_stanza))
    }

    /// As [`Session::poll_socket`], of all. After the last event of a session only [`SocketRequest::Close`] comes from it,
    /// and sockets for which none came can be closed.
    pub fn poll_socket(&mut self) -> Option<(SessionId, SocketRequest)> {
        let of_sessions =
            || self.sessions.iter_mut().find_map(|(id, session)| Some((*id, session.poll_socket()?)));
        self.sockets.pop_front().or_else(of_sessions)
    }

    /// As [`Session::inbound`], of the session that knows this destination.
    pub fn inbound(&mut self, destination: &Destination, now: Instant) -> Option<(SessionId, SocketId)> {
        self.sessions.iter_mut().find_map(|(id, session)| Some((*id, session.inbound(destination, now)?)))
    }

    /// The next event. With the last event of a session, and its last stanza, the session is gone.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.poll_event_where(|_| true)
    }

    /// As [`Host::poll_event`], of the sessions that `ready` names: the others wait, and hold back their peers.
    pub fn poll_event_where(&mut self, ready: impl Fn(SessionId) -> bool) -> Option<HostEvent> {
        if let Some(id) = self.incoming.pop_front() {
            return Some(HostEvent::Incoming(id, self.sessions.get(&id)?.peer().clone()));
        }
        let mut ready = self.sessions.iter_mut().filter(|(id, _)| ready(**id));
        let (id, event) = ready.find_map(|(id, session)| Some((*id, session.poll_event()?)))?;
        if matches!(event, Event::Closed | Event::Failed(_))
            && let Some(mut session) = self.sessions.remove(&id)
        {
            self.outbox.extend(std::iter::from_fn(|| session.poll_stanza()));
            self.sockets.extend(std::iter::from_fn(|| Some((id, session.poll_socket()?))));
        }
        Some(HostEvent::Session(id, event))
    }

    /// As [`Session::transport_lost`], for all.
    pub fn transport_lost(&mut self) {
        self.outbox.clear();
        self.sessions.values_mut().for_each(Session::transport_lost);
    }

    /// Somebody wants to open a session.
    fn offered(&mut self, from: &FullJid, id: &str, payload: &Element, stanza: &Element, now: Instant) {
        let own = self.own.clone();
        let mut refuse = |refusal: Refusal| self.outbox.push_back(refusal.answer(&own, from, id));
        if self.sessions.len() >= SESSIONS_MAX {
            return refuse(Refusal::wait(DefinedCondition::ResourceConstraint));
        }
        // Both want the same at once: the lower session identifier wins (XEP-0166 section 6.2.3).
        let sid = session::offered_sid(payload).unwrap_or_default();
        let wins = |ours: &&Session| ours.peer() == from && ours.is_offering() && ours.sid() <= sid;
        if self.sessions.values().any(|session| wins(&session)) {
            let refusal = Refusal::cancel(DefinedCondition::Conflict);
            return refuse(refusal.with("tie-break", ns::JINGLE_ERRORS));
        }
        let Some(Acceptance { config, endpoint, rng }) = self.gate.as_mut().and_then(|gate| gate.admit(from))
        else {
            return refuse(Refusal::cancel(DefinedCondition::ServiceUnavailable));
        };
        match Session::respond(config.or_guesses(&self.guesses), endpoint, rng, stanza, now) {
            Ok(session) => {
                let id = self.add(session);
                self.incoming.push_back(id);
            }
            Err(_) => refuse(Refusal::cancel(DefinedCondition::ServiceUnavailable)),
        }
    }

    /// The answer to a request that belongs to no session.
    fn stray(&self, from: &FullJid, id: &str, set: bool, payload: &Element) -> Element {
        if !set && disco::is_query(payload) && self.gate.is_some() {
            let answer = if self.socks5 { disco::answer_with_socks5() } else { disco::answer() };
            return iq::result(&self.own, from, id, Some(answer));
        }
        let refusal = if set && payload.is("jingle", ns::JINGLE) {
            session::unknown_session()
        } else if set && ibb::sid(payload).is_some() {
            Refusal::cancel(DefinedCondition::ItemNotFound)
        } else {
            Refusal::cancel(DefinedCondition::ServiceUnavailable)
        };
        refusal.answer(&self.own, from, id)
    }

    /// Answers a request that comes from no full JID, such as the server's own.
    fn refuse_request(&mut self, stanza: &Element) -> bool {
        let request = stanza.is("iq", ns::CLIENT) && matches!(stanza.attr("type"), Some("get" | "set"));
        let (true, Some(id)) = (request, stanza.attr("id")) else { return false };
        let Ok(from) = stanza.attr("from").map(Jid::new).transpose() else { return false };
        let refusal = Refusal::cancel(DefinedCondition::ServiceUnavailable);
        self.outbox.push_back(refusal.answer_to(&self.own, from, id));
        true
    }
}

/// Whose resource a presence says is no longer there.
fn gone(stanza: &Element) -> Option<FullJid> {
    let said = stanza.is("presence", ns::CLIENT) && stanza.attr("type") == Some("unavailable");
    stanza.attr("from").filter(|_| said).and_then(|from| FullJid::new(from).ok())
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({}, {} sessions)", self.own, self.sessions.len())
    }
}
