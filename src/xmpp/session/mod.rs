//! One end-to-end channel: Jingle, the bytestream, and what runs inside.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use rand_core::CryptoRng;

use crate::error::{Error, ErrorKind, Result};
use crate::mechanism::Side;
use crate::tls::{self, Endpoint};

use super::ibb::{self, Bytestream};
use super::iq::{self, Envelope, Incoming, Kind, Refusal, Sender};
use super::jingle::{self, Jingle, Reason, Security};
use super::{Limits, disco, ns, s5b, stream};

mod config;
mod direct;
#[cfg(feature = "openssl")]
mod in_tls;
mod initiator;
mod methods;
mod negotiation;
mod octets;
#[cfg_attr(not(feature = "openssl"), allow(dead_code, reason = "no other TLS authenticates by itself"))]
mod proving;
mod recording;
mod responder;
pub mod rules;
mod secured;
mod sockets;
mod socks5;
mod timing;
mod transfer;

pub(super) use negotiation::unknown_session;

pub use octets::{OCTETS_MAX, OCTETS_SENT};

pub use config::{Established, Event, InitiatorConfig, ResponderConfig, Statistics};
pub use sockets::{LAST_WORDS, NUDGE_AFTER};
pub use socks5::{Dial, SocketId, SocketRequest};

use methods::Acceptable;
use secured::Secured;
use sockets::{Ending, Negotiating, OCTETS_OVER_SOCKET, Replacing, Socket};
use timing::later;

/// Blocks that may be on the way without an answer. A peer that sends more of them while we hold answers back is cut off.
pub const PEER_WINDOW_MAX: usize = 64;

/// For a sign of life of a peer that is said to have gone (XEP-0166 section 6.7).
pub const ABSENCE: Duration = Duration::from_secs(10);

/// One end-to-end session with one peer.
pub struct Session {
    own: FullJid,
    peer: FullJid,
    sender: Sender,
    sid: String,
    /// The identifier of the bytestream, once it is agreed on.
    stream: Option<String>,
    side: Side,
    limits: Limits,
    rng: Box<dyn CryptoRng + Send>,
    phase: Phase,
    /// The authentication has succeeded.
    verified: bool,
    outbox: VecDeque<Element>,
    /// SOCKS5 bytestreams were offered.
    socks5: bool,
    sockets: VecDeque<SocketRequest>,
    /// Half of what ends the session has happened; the other half is due then.
    ending: Option<(Ending, Instant)>,
    /// With the plaintext octets that each took.
    events: VecDeque<(Event, usize)>,
    /// Requests without an answer: what they were, and when the answer is due.
    requests: BTreeMap<String, (Request, Instant)>,
    requests_made: u64,
    /// Blocks that are acknowledged when the application has read more.
    held: VecDeque<String>,
    unread: usize,
    /// When the tunnel must be verified, later when a closed session must have ended.
    deadline: Option<Instant>,
    /// When a peer that is said to have gone has.
    absent: Option<Instant>,
    rekeyed: Instant,
    octets_since_rekey: u64,
    now: Instant,
    heard_at: Instant,
    /// When an application was known to send last, and whether one has since.
    used_at: Instant,
    used: bool,
    /// Something was sent whose answer ends a round trip.
    asked: bool,
    statistics: Statistics,
}

/// How far the session is. Each phase is consumed by what leads to the next.
enum Phase {
    /// Initiator: waits for disco#info.
    Discovering(Box<Discovering>),
    /// Initiator: waits for session-accept.
    Offering(Box<Offering>),
    /// Offer and answer are known; both sides look for a connection.
    Negotiating(Box<Negotiating>),
    /// Initiator: there is none; waits for transport-accept.
    Replacing(Box<Replacing>),
    /// Initiator: waits for the answer to `<open/>`.
    Opening(Box<Connection>),
    /// Responder: waits for `<open/>`.
    Accepting(Box<Connection>),
    /// The bytestream is open.
    Connected(Box<Connection>),
    /// Both ends of the tunnel are closed and all is delivered: IBB and Jingle are left to be closed.
    Leaving(Leaving),
    /// Over.
    Ended,
}

struct Discovering {
    config: InitiatorConfig,
    endpoint: Box<dyn Endpoint>,
}

struct Offering {
    config: InitiatorConfig,
    endpoint: Box<dyn Endpoint>,
    security: Security,
    stream: String,
    /// What was offered besides, in place of it.
    talks: Option<Box<socks5::Talks>>,
    #[cfg(feature = "openssl")]
    prepared: in_tls::Prepared,
}

struct Connection {
    secured: Secured,
    carrier: Carrier,
    /// We ended the stream first, so we close the rest as well.
    closer: bool,
}

/// What takes octets to the peer.
enum Carrier {
    InBand(Bytestream),
    Socks5(Socket),
}

enum Leaving {
    /// Waits for the answer to our IBB `<close/>`.
    Closing,
    /// Waits for the answer to our session-terminate.
    Terminating,
    /// Waits for the peer's IBB `<close/>`.
    AwaitingClose,
    /// Waits for the peer's session-terminate.
    AwaitingTerminate,
}

/// What an IQ of ours asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Disco,
    Initiate,
    Accept,
    Transport,
    Open,
    /// With the number of the block.
    Data(u16),
    Ping,
    Close,
    Terminate,
}

impl Request {
    /// Whether there is no tunnel without it.
    fn is_of_set_up(self) -> bool {
        matches!(self, Self::Disco | Self::Initiate | Self::Accept | Self::Transport | Self::Open)
    }
}

impl Session {
    /// Starts a session: queues the disco#info request; session-initiate follows a good answer. Where the answer is known
    /// ([`InitiatorConfig::with_discovered`]), queues session-initiate.
    ///
    /// # Errors
    /// [`rules::WRONG_SIDE`], [`rules::SELF`]; [`crate::sasl::rules::NOTHING_ACCEPTABLE`] when the policy leaves nothing,
    /// [`rules::PSK_MISSING`].
    pub fn initiate(
        config: InitiatorConfig,
        endpoint: Box<dyn Endpoint>,
        mut rng: Box<dyn CryptoRng + Send>,
        now: Instant,
    ) -> Result<Self> {
        if endpoint.side() != Side::Client {
            return Err(Error::new(&rules::WRONG_SIDE));
        }
        if config.own == config.peer {
            return Err(Error::new(&rules::SELF));
        }
        config.check()?;
        let sid = secured::random_id(&mut *rng);
        let (own, peer, limits) = (config.own.clone(), config.peer.clone(), config.limits.clone());
        let discovered = config.discovered;
        let discovering = Discovering { config, endpoint };
        let mut session = Self::new(own, peer, sid, Side::Client, limits, rng, Phase::Ended, now);
        match discovered {
            Some(socks5) => session.make_offer(discovering, socks5)?,
            None => {
                session.phase = Phase::Discovering(Box::new(discovering));
                session.request(Request::Disco, disco::query());
            }
        }
        Ok(session)
    }

    /// Answers a session-initiate. One that cannot be taken gives a session which has failed already and holds
    /// the answer to be sent.
    ///
    /// # Errors
    /// [`rules::WRONG_SIDE`], [`rules::NOT_AN_OFFER`]; [`crate::sasl::rules::NOTHING_ACCEPTABLE`] when the policy leaves
    /// nothing.
    pub fn respond(
        config: ResponderConfig,
        endpoint: Box<dyn Endpoint>,
        rng: Box<dyn CryptoRng + Send>,
        session_initiate: &Element,
        now: Instant,
    ) -> Result<Self> {
        if endpoint.side() != Side::Server {
            return Err(Error::new(&rules::WRONG_SIDE));
        }
        Acceptable::of(&config.policy)?;
        let not_an_offer = || Error::new(&rules::NOT_AN_OFFER);
        let incoming = Incoming::parse(session_initiate).ok_or_else(not_an_offer)?;
        let Kind::Request { set: true, payload } = incoming.kind else { return Err(not_an_offer()) };
        let sid = offered_sid(payload).ok_or_else(not_an_offer)?.to_owned();
        let ours = incoming.to.as_ref().is_none_or(|to| *to == config.own);
        if !ours || incoming.from == config.own {
            return Err(not_an_offer());
        }
        let (own, limits, peer) = (config.own.clone(), config.limits.clone(), incoming.from);
        let mut session = Self::new(own, peer, sid, Side::Server, limits, rng, Phase::Ended, now);
        session.statistics.stanzas_received += 1;
        session.accept(config, endpoint, incoming.id, payload);
        Ok(session)
    }

    #[allow(clippy::too_many_arguments, reason = "the two constructors above are the only callers")]
    fn new(
        own: FullJid,
        peer: FullJid,
        sid: String,
        side: Side,
        limits: Limits,
        rng: Box<dyn CryptoRng + Send>,
        phase: Phase,
        now: Instant,
    ) -> Self {
        let deadline = Some(later(now, limits.handshake));
        Self {
            sender: Sender::new(&own, &peer),
            own,
            peer,
            sid,
            stream: None,
            side,
            limits,
            rng,
            phase,
            verified: false,
            outbox: VecDeque::new(),
            socks5: false,
            sockets: VecDeque::new(),
            ending: None,
            events: VecDeque::new(),
            requests: BTreeMap::new(),
            requests_made: 0,
            held: VecDeque::new(),
            unread: 0,
            deadline,
            absent: None,
            rekeyed: now,
            octets_since_rekey: 0,
            now,
            heard_at: now,
            used_at: now,
            used: false,
            asked: false,
            statistics: Statistics::default(),
        }
    }

    /// Takes a stanza that came over the servers. True when it belongs to this session, by its identifiers and by
    /// the full JID it comes from.
    pub fn handle(&mut self, stanza: &Element, now: Instant) -> bool {
        let Some(envelope) = Envelope::open(stanza) else { return false };
        if self.is_activation(&envelope, now) {
            self.pump();
            return true;
        }
        let Envelope { from, to, id, kind } = envelope;
        if from.is_none() || !secured::are([from, to], [&self.peer, &self.own]) {
            return false;
        }
        let consumed = match kind {
            Kind::Request { set: true, payload } if payload.is("jingle", ns::JINGLE) => {
                let ours = payload.attr("sid") == Some(&self.sid);
                if ours {
                    self.heard(now);
                    self.jingle(id, payload);
                }
                ours
            }
            Kind::Request { set: true, payload } => {
                let ours = ibb::sid(payload).is_some_and(|sid| self.stream.as_deref() == Some(sid));
                if ours {
                    self.heard(now);
                    self.bytestream(id, payload);
                }
                ours
            }
            Kind::Request { set: false, .. } => false,
            Kind::Result(payload) => self.requests.remove(id).is_some_and(|(request, _)| {
                self.heard(now);
                self.answered(request, payload);
                true
            }),
            Kind::Error => self.requests.remove(id).is_some_and(|(request, _)| {
                self.heard(now);
                self.refused(request, iq::condition(stanza));
                true
            }),
        };
        if consumed {
            self.pump();
        }
        consumed
    }

    /// The next stanza to send over the servers.
    pub fn poll_stanza(&mut self) -> Option<Element> {
        let stanza = self.outbox.pop_front()?;
        self.statistics.stanzas_sent += 1;
        Some(stanza)
    }

    /// The next event. While the application does not take events, the peer's data is not acknowledged, and so the peer
    /// stops sending.
    pub fn poll_event(&mut self) -> Option<Event> {
        let (event, weight) = self.events.pop_front()?;
        self.unread -= weight;
        if self.unread <= self.limits.unread {
            self.acknowledge_held();
        }
        Some(event)
    }

    /// Sends a stanza through the tunnel. Without `from` and `to` it is from us and to the peer.
    ///
    /// # Errors
    /// [`rules::NOT_OPEN`] before [`Event::Established`] and after [`Session::close`];
    /// [`rules::SEND_BUFFER_FULL`], to be tried again; [`rules::NOT_A_STANZA`], [`rules::WRONG_ADDRESSES`],
    /// [`stream::rules::NOT_WRITABLE`], [`stream::rules::STANZA_TOO_LARGE`].
    pub fn send(&mut self, stanza: Element) -> Result<()> {
        if !secured::is_stanza(&stanza) {
            return Err(Error::new(&rules::NOT_A_STANZA).about(stanza.name()));
        }
        if !secured::is_between(&stanza, &self.own, &self.peer) {
            return Err(Error::new(&rules::WRONG_ADDRESSES));
        }
        let octets = stream::to_octets(&stanza)?;
        let (size, limit) = (octets.len() as u64, self.limits.stanza as u64);
        if size > limit {
            return Err(Error::exceeds(&stream::rules::STANZA_TOO_LARGE, size, limit));
        }
        let backlog = self.backlog()?;
        if backlog >= self.limits.send_buffer {
            let (demand, limit) = (backlog as u64, self.limits.send_buffer as u64);
            return Err(Error::exceeds(&rules::SEND_BUFFER_FULL, demand, limit));
        }
        self.write(&octets)
    }

    /// Sends octets through the tunnel, between stanzas; gives how many were taken, 0 when the buffer is full. How they
    /// are cut into [`Event::Bytes`] at the other end means nothing.
    ///
    /// # Errors
    /// [`rules::NOT_OPEN`] before [`Event::Established`] and after [`Session::close`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<usize> {
        let most = if self.socket().is_some() { OCTETS_OVER_SOCKET } else { OCTETS_SENT };
        let mut taken = 0;
        while self.backlog()? < self.limits.send_buffer && taken < bytes.len() {
            let rest = &bytes[taken..];
            let chunk = &rest[..rest.len().min(most)];
            if chunk.len() > OCTETS_SENT {
                // Records are full all the same, and so many octets are not copied.
                self.write(&octets::announcement(chunk.len()))?;
                self.write(chunk)?;
            } else {
                self.write(&octets::announced(chunk))?;
            }
            taken += chunk.len();
        }
        Ok(taken)
    }

    /// Updates the keys of both directions now.
    ///
    /// # Errors
    /// [`rules::NOT_OPEN`] before [`Event::Established`] and after [`Session::close`].
    pub fn rekey(&mut self) -> Result<()> {
        if !self.may_send() {
            return Err(Error::new(&rules::NOT_OPEN));
        }
        self.update_keys();
        self.pump();
        Ok(())
    }

    /// Ends the session properly, after what has been queued. [`Event::Closed`] follows. Before
    /// [`Event::Established`] the same as [`Session::abort`].
    pub fn close(&mut self) {
        match &mut self.phase {
            Phase::Connected(connection) if connection.secured.is_live() => {
                connection.closer |= connection.secured.may_send();
                connection.secured.close();
                self.deadline = Some(later(self.now, self.limits.reply));
                self.pump();
            }
            Phase::Leaving(_) | Phase::Ended => {}
            _ => self.abort(),
        }
    }

    /// Ends the session at once: session-terminate with `<cancel/>`. [`Event::Failed`] follows.
    pub fn abort(&mut self) {
        self.fail(Error::new(&rules::ABORTED));
    }

    /// The connection to the server is gone; nothing can be sent any more.
    pub fn transport_lost(&mut self) {
        if self.has_ended() {
            return;
        }
        self.outbox.clear();
        let event = if self.is_complete() {
            Event::Closed
        } else {
            Event::Failed(Error::new(&rules::TRANSPORT_LOST))
        };
        self.end(event);
        self.outbox.clear();
    }

    /// The Jingle session identifier.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> &FullJid {
        &self.peer
    }

    /// Which side of the session we are: the client is the initiator.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// Whether the session has ended. Events and stanzas may still wait to be polled.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Counts so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Whether we have asked for a session and wait for the answer.
    pub(super) fn is_offering(&self) -> bool {
        matches!(self.phase, Phase::Offering(_))
    }

    fn may_send(&self) -> bool {
        matches!(&self.phase, Phase::Connected(connection) if connection.secured.may_send())
    }

    /// Whether nothing that was sent can be missing any more. Each end closes its side of TLS when it has read the end of
    /// the other's stream, so having heard of that proves it, whatever becomes of the last blocks.
    fn is_complete(&self) -> bool {
        match &self.phase {
            Phase::Leaving(_) => true,
            Phase::Connected(connection) => connection.secured.is_complete(),
            _ => false,
        }
    }

    /// Octets that wait to be sent.
    fn backlog(&self) -> Result<usize> {
        match &self.phase {
            Phase::Connected(connection) if connection.secured.may_send() => Ok(connection.backlog()),
            _ => Err(Error::new(&rules::NOT_OPEN)),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<()> {
        let Phase::Connected(connection) = &mut self.phase else { return Err(Error::new(&rules::NOT_OPEN)) };
        connection.secured.send(octets)?;
        self.octets_since_rekey += octets.len() as u64;
        self.used = true;
        if self.octets_since_rekey >= self.limits.rekey_octets {
            self.update_keys();
        }
        self.pump();
        Ok(())
    }

    fn update_keys(&mut self) {
        let Phase::Connected(connection) = &mut self.phase else { return };
        match connection.secured.rekey() {
            Ok(()) => {
                self.rekeyed = self.now;
                self.octets_since_rekey = 0;
                self.statistics.rekeys += 1;
            }
            Err(error) => self.fail(error),
        }
    }

    /// What was asked before has been answered.
    fn round_trip(&mut self) {
        if std::mem::take(&mut self.asked) && !self.verified {
            self.statistics.round_trips += 1;
        }
    }

    fn request(&mut self, request: Request, payload: Element) {
        let id = self.next_id();
        let set = request != Request::Disco;
        self.outbox.push_back(self.sender.request(set, &id, payload));
        self.requests.insert(id, (request, later(self.now, self.limits.reply)));
        self.asked |= !matches!(request, Request::Ping | Request::Transport);
    }

    /// An identifier for a request, which no other session between the same parties gives.
    fn next_id(&mut self) -> String {
        self.requests_made += 1;
        let side = if self.side == Side::Client { "-i" } else { "-r" };
        // Each block has one, and formatting takes longer than joining.
        [&self.sid, side, &self.requests_made.to_string()].concat()
    }

    fn acknowledge(&mut self, id: &str) {
        self.outbox.push_back(self.sender.result(id, None));
    }

    fn acknowledge_held(&mut self) {
        for id in std::mem::take(&mut self.held) {
            self.acknowledge(&id);
        }
    }

    fn refuse(&mut self, id: &str, refusal: Refusal) {
        self.outbox.push_back(refusal.answer(&self.own, &self.peer, id));
    }

    fn tell(&mut self, event: Event, weight: usize) {
        self.unread += weight;
        self.events.push_back((event, weight));
    }

    /// A request of ours was granted.
    fn answered(&mut self, request: Request, payload: Option<&Element>) {
        match (request, std::mem::replace(&mut self.phase, Phase::Ended)) {
            (Request::Disco, Phase::Discovering(discovering)) => {
                self.round_trip();
                match disco::check(payload) {
                    Ok(()) => {
                        let socks5 = payload.is_some_and(|answer| disco::names(answer, ns::JINGLE_S5B));
                        self.offer(*discovering, socks5);
                    }
                    Err(error) => self.end(Event::Failed(error)),
                }
            }
            (Request::Open, Phase::Opening(connection)) => {
                self.round_trip();
                self.phase = Phase::Connected(connection);
            }
            (Request::Data(seq), Phase::Connected(mut connection)) => {
                if let Carrier::InBand(bytes) = &mut connection.carrier {
                    bytes.acknowledged(seq, self.now);
                    // The answers to earlier blocks were lost.
                    self.requests
                        .retain(|_, (of, _)| !matches!(of, Request::Data(seq) if !bytes.is_on_the_way(*seq)));
                }
                self.phase = Phase::Connected(connection);
            }
            (Request::Ping, other) => {
                self.phase = other;
                let due = later(self.now, self.limits.reply);
                self.requests.values_mut().for_each(|(_, old)| *old = due.max(*old));
            }
            (Request::Close, Phase::Leaving(Leaving::Closing)) => self.finish(),
            (Request::Terminate, Phase::Leaving(Leaving::Terminating)) => self.end(Event::Closed),
            (_, other) => self.phase = other,
        }
    }

    /// What follows shows that a request was granted, whether its answer comes or not.
    fn granted(&mut self, request: Request) {
        self.requests.retain(|_, (of, _)| *of != request);
    }

    /// A request of ours was refused.
    fn refused(&mut self, request: Request, condition: &str) {
        let absent = matches!(
            condition,
            "service-unavailable"
                | "recipient-unavailable"
                | "remote-server-not-found"
                | "remote-server-timeout"
                | "gone"
        );
        match (request, &self.phase) {
            (_, Phase::Ended) => {}
            // What is closed already counts as closed (XEP-0047 section 2.3, XEP-0166 section 6.7).
            (Request::Close, Phase::Leaving(Leaving::Closing)) => self.finish(),
            (Request::Terminate, _) => self.end(Event::Closed),
            (_, Phase::Leaving(_)) => {}
            (Request::Ping, _) if !absent && condition != "item-not-found" => self.answered(request, None),
            _ if absent => {
                // Nobody is there to be told.
                self.end(Event::Failed(Error::new(&rules::PEER_ABSENT).about(condition)));
            }
            _ => self.fail(Error::new(&rules::REFUSED).about(condition)),
        }
    }

    /// The bytestream is closed as well.
    fn finish(&mut self) {
        self.phase = Phase::Leaving(Leaving::Terminating);
        self.terminate(Reason::Success);
    }

    fn terminate(&mut self, reason: Reason) {
        self.request(Request::Terminate, Jingle::terminate(&self.sid, reason).to_element());
    }

    /// Ends a session that has failed: last words in the tunnel, then session-terminate, which ends the bytestream too.
    /// Only when the bytestream itself is at fault it is closed first (XEP-0047 section 2.2).
    fn fail(&mut self, error: Error) {
        if self.is_complete() {
            return self.end(Event::Closed);
        }
        self.pump();
        if let (Phase::Connected(connection), Reason::FailedTransport) = (&self.phase, reason(&error, true))
            && let Carrier::InBand(bytes) = &connection.carrier
        {
            let close = bytes.close();
            self.request(Request::Close, close);
        }
        self.fail_without_stream(error);
    }

    /// The same when there is no open bytestream.
    fn fail_without_stream(&mut self, error: Error) {
        match &self.phase {
            Phase::Ended => return,
            // The peer knows nothing of the session yet.
            Phase::Discovering(_) => {}
            _ => self.terminate(reason(&error, self.verified)),
        }
        self.end(Event::Failed(error));
    }

    /// Nothing more happens, except that late answers are taken and late requests refused.
    fn end(&mut self, event: Event) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        self.hang_up(phase);
        self.deadline = None;
        self.acknowledge_held();
        self.tell(event, 0);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?} with {}, {})", self.side, self.peer, self.sid)
    }
}

/// The session that a payload wants to open.
pub(super) fn offered_sid(payload: &Element) -> Option<&str> {
    let initiate = payload.is("jingle", ns::JINGLE) && payload.attr("action") == Some("session-initiate");
    initiate.then(|| payload.attr("sid")).flatten()
}

/// What the peer hears about a failure: not more than it needs.
fn reason(error: &Error, live: bool) -> Reason {
    let is = |rule| error.is(rule);
    if is(&rules::ABORTED) {
        Reason::Cancel
    } else if error.kind() == ErrorKind::TimedOut {
        Reason::Timeout
    } else if is(&jingle::rules::OTHER_APPLICATION) {
        Reason::UnsupportedApplications
    } else if is(&jingle::rules::OTHER_TRANSPORT) {
        Reason::UnsupportedTransports
    } else if is(&jingle::rules::OTHER_CONTENT) || is(&jingle::rules::BLOCK_SIZE) {
        Reason::IncompatibleParameters
    } else if ibb::is_to_blame(error)
        || s5b::is_to_blame(error)
        || is(&rules::CUT_SHORT)
        || is(&rules::REFUSED)
    {
        Reason::FailedTransport
    } else if live && !is(&tls::rules::HANDSHAKE) && !is(&tls::rules::ALERT) {
        Reason::FailedApplication
    } else {
        Reason::SecurityError
    }
}
