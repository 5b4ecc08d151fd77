//! The session over a socket: how it comes to one, the octets that pass there, and the way back to in-band bytestreams when
//! no connection is found.

use std::time::{Duration, Instant};

use jid::Jid;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, Result};
use crate::mechanism::Side;
use crate::xmpp::iq::{self, Kind, Refusal};
use crate::xmpp::jingle::{self, Action, Content, Creator, InBand, Jingle, Reason, Transport};
use crate::xmpp::s5b::{self, Route, Socks5};
use crate::xmpp::socks5::Destination;

use super::negotiation::out_of_order;
use super::secured::{self, Secured};
use super::socks5::{self, Place, SocketId, SocketRequest, Talks};
use super::timing::later;
use super::{Carrier, Connection, Event, Phase, Request, Session, rules};

/// Between the end of a connection and the stanza that says why, whichever comes first.
pub const LAST_WORDS: Duration = Duration::from_secs(3);

/// After octets over a proxy, until something that means nothing is sent behind them. Prosody's proxy (0.12) holds back up to 4
/// KiB of what it has read until more comes.
pub const NUDGE_AFTER: Duration = Duration::from_millis(500);

/// How often that is done behind the same octets: the first time may be too early, and the second leave a rest.
const NUDGES: u8 = 3;

/// Most octets that one element announces over a socket, where no block waits for its answer: fewer elements, and records
/// that are full.
pub(super) const OCTETS_OVER_SOCKET: usize = 64 * 1024;

/// A negotiation about sockets, and the tunnel that waits for its end.
pub(super) struct Negotiating {
    secured: Secured,
    talks: Talks,
    /// The identifier of the bytestream.
    sid: String,
    /// The name of the content.
    content: String,
    /// The request to our proxy that waits for its answer: its identifier, and who answers.
    activation: Option<(String, Jid)>,
}

/// The initiator has asked for in-band bytestreams instead.
pub(super) struct Replacing {
    secured: Secured,
    stream: String,
}

/// The socket in use.
pub(super) struct Socket {
    id: SocketId,
    route: Route,
    /// Octets that the application has not taken yet.
    out: Vec<u8>,
    /// Octets that it has taken and not written yet.
    taken: usize,
    /// When a proxy is nudged next, and how often still.
    nudge: Option<(Instant, u8)>,
}

impl Socket {
    /// Where octets to be sent are put.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Octets that wait to be sent.
    pub(super) fn backlog(&self) -> usize {
        self.out.len() + self.taken
    }

    /// Octets were put there.
    pub(super) fn sent(&mut self, now: Instant) {
        if matches!(self.route, Route::Proxy(_)) {
            self.nudge = Some((later(now, NUDGE_AFTER), NUDGES));
        }
    }

    /// The end of it, after what waits.
    pub(super) fn close(self) -> SocketRequest {
        SocketRequest::Close(self.id, self.out)
    }
}

/// One of two things that belong together has happened: what the other adds is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// session-terminate; octets may be on the way.
    Terminated(Option<Reason>),
    /// The end of the connection; the reason may be on the way.
    HungUp,
}

/// What the application does for a session that may use sockets: see
/// [`InitiatorConfig::with_socks5`](super::InitiatorConfig::with_socks5) and
/// [`ResponderConfig::with_socks5`](super::ResponderConfig::with_socks5). If it does nothing, the session goes on in band.
impl Session {
    /// The next thing to be done with a socket.
    pub fn poll_socket(&mut self) -> Option<SocketRequest> {
        self.sockets.pop_front()
    }

    /// A connection that [`SocketRequest::Dial`] asked for is there, SOCKS5 included, or there will be none.
    pub fn dialled(&mut self, id: SocketId, connected: bool, now: Instant) {
        self.now = self.now.max(now);
        if let Phase::Negotiating(negotiating) = &mut self.phase {
            negotiating.talks.dialled(id, connected, self.now);
            self.act();
        } else if connected {
            self.sockets.push_back(SocketRequest::Close(id, vec![]));
        }
    }

    /// Somebody has connected to an address that was offered and names this destination. The name of the socket when it
    /// is the peer of this session: grant it, and keep it until [`SocketRequest`] says more. Otherwise refuse it.
    pub fn inbound(&mut self, destination: &Destination, now: Instant) -> Option<SocketId> {
        self.now = self.now.max(now);
        let id = match &mut self.phase {
            Phase::Negotiating(negotiating) => negotiating.talks.inbound(destination),
            // The peer's connection may be faster than its answer.
            Phase::Offering(offering) => offering.talks.as_mut()?.inbound(destination),
            _ => None,
        };
        self.act();
        id
    }

    /// Whether octets of the socket may be handed over now; while not, leave them where they are, so that the peer stops
    /// sending.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.socket().is_some() && self.unread <= self.limits.unread
    }

    /// Octets that came over the socket in use, as many as there are.
    pub fn receive_octets(&mut self, octets: &[u8], now: Instant) {
        if self.socket().is_none() {
            return;
        }
        self.heard_octets(now);
        self.round_trip();
        if let Err(error) = self.take_in(octets) {
            self.fail(error);
        }
        self.pump();
    }

    /// Octets to be written to the socket in use.
    pub fn poll_octets(&mut self) -> Option<Vec<u8>> {
        let socket = self.socket_mut()?;
        if socket.out.is_empty() {
            return None;
        }
        socket.taken += socket.out.len();
        Some(std::mem::take(&mut socket.out))
    }

    /// So many octets that were polled have been written. Until then they count as waiting.
    pub fn octets_written(&mut self, octets: usize) {
        if let Some(socket) = self.socket_mut() {
            socket.taken = socket.taken.saturating_sub(octets);
        }
    }

    /// A buffer of [`Session::poll_octets`] has been written and may be used again.
    #[cfg(feature = "tokio")]
    pub(crate) fn reuse(&mut self, mut written: Vec<u8>) {
        let Some(socket) = self.socket_mut() else { return };
        if written.len() >= crate::xmpp::BULK && socket.out.capacity() == 0 {
            written.clear();
            socket.out = written;
        }
    }

    /// The socket in use has come to its end, or is broken.
    pub fn socket_closed(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.socket().is_none() {
            return;
        }
        match self.ending.take() {
            Some((Ending::Terminated(reason), _)) => self.terminated_for(reason),
            // Why will be said in a stanza, if anybody is left to say it.
            Some((Ending::HungUp, due)) => self.ending = Some((Ending::HungUp, due)),
            None => self.ending = Some((Ending::HungUp, later(self.now, LAST_WORDS))),
        }
    }

    /// By which way the octets of the tunnel go, once that is known.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        match &self.phase {
            Phase::Connected(connection) => match &connection.carrier {
                Carrier::Socks5(socket) => Some(&socket.route),
                Carrier::InBand(_) => Some(&Route::InBand),
            },
            _ => None,
        }
    }

    pub(super) fn socket(&self) -> Option<&Socket> {
        match &self.phase {
            Phase::Connected(connection) => match &connection.carrier {
                Carrier::Socks5(socket) => Some(socket),
                Carrier::InBand(_) => None,
            },
            _ => None,
        }
    }

    fn socket_mut(&mut self) -> Option<&mut Socket> {
        match &mut self.phase {
            Phase::Connected(connection) => match &mut connection.carrier {
                Carrier::Socks5(socket) => Some(socket),
                Carrier::InBand(_) => None,
            },
            _ => None,
        }
    }

    /// What is offered, and the negotiation that it begins.
    pub(super) fn offer_socks5(&mut self, offer: Socks5, sid: &str) -> (Transport, Talks) {
        self.socks5 = true;
        let place = Place { side: self.side, own: &self.own, peer: &self.peer, sid };
        let talks = Talks::new(offer, &place);
        (Transport::Socks5(talks.transport(sid)), talks)
    }

    /// Both offers are known.
    ///
    /// # Errors
    /// As [`Talks::start`].
    pub(super) fn negotiate(
        &mut self,
        secured: Secured,
        mut talks: Talks,
        theirs: s5b::Transport,
        content: String,
    ) -> Result<()> {
        let sid = theirs.sid.clone();
        talks.start(theirs, self.now)?;
        let negotiating = Negotiating { secured, talks, sid, content, activation: None };
        self.phase = Phase::Negotiating(Box::new(negotiating));
        Ok(())
    }

    /// Does what the negotiation wants.
    pub(super) fn act(&mut self) {
        while let Phase::Negotiating(negotiating) = &mut self.phase {
            let Some(action) = negotiating.talks.poll() else { return };
            match action {
                socks5::Action::Tell(payload) => {
                    let info = s5b::Transport::info(&negotiating.sid, payload);
                    let content = Content::transport_only(&negotiating.content, Transport::Socks5(info));
                    self.say(Action::TransportInfo, content);
                }
                socks5::Action::Ask(request) => self.sockets.push_back(request),
                socks5::Action::Activate(proxy) => self.activate(proxy),
                socks5::Action::Ready(id, route) => self.connect(id, route),
                socks5::Action::GiveUp => {
                    if self.side == Side::Client {
                        self.replace();
                    }
                }
            }
        }
    }

    fn say(&mut self, action: Action, content: Content) {
        let jingle = Jingle::new(action, &self.sid).with_content(content);
        self.request(Request::Transport, jingle.to_element());
    }

    fn activate(&mut self, proxy: Jid) {
        let Phase::Negotiating(negotiating) = &mut self.phase else { return };
        self.requests_made += 1;
        let id = format!("{}-p{}", self.sid, self.requests_made);
        let payload = s5b::activate(&negotiating.sid, &self.peer);
        self.outbox.push_back(iq::request_to(&self.own, &proxy, true, &id, payload));
        negotiating.activation = Some((id, proxy));
    }

    /// The answer of our proxy, when it is that.
    pub(super) fn is_activation(&mut self, envelope: &iq::Envelope<'_>, now: Instant) -> bool {
        let Phase::Negotiating(negotiating) = &mut self.phase else { return false };
        let Some((id, proxy)) = &negotiating.activation else { return false };
        let from = envelope.from.and_then(|from| Jid::new(from).ok());
        if envelope.id != id || from.as_ref() != Some(proxy) {
            return false;
        }
        let joined = match envelope.kind {
            Kind::Result(_) => true,
            Kind::Error => false,
            Kind::Request { .. } => return false,
        };
        self.now = self.now.max(now);
        negotiating.activation = None;
        negotiating.talks.activated(joined);
        self.act();
        true
    }

    /// TLS begins on this socket.
    fn connect(&mut self, id: SocketId, route: Route) {
        let Phase::Negotiating(negotiating) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return;
        };
        let socket = Socket { id, route, out: vec![], taken: 0, nudge: None };
        let carrier = Carrier::Socks5(socket);
        let connection = Connection { secured: negotiating.secured, carrier, closer: false };
        self.phase = Phase::Connected(Box::new(connection));
        self.sockets.push_back(SocketRequest::Use(id));
    }

    /// Initiator: no connection was found.
    fn replace(&mut self) {
        let Phase::Negotiating(negotiating) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return;
        };
        let stream = secured::random_id(&mut *self.rng);
        let transport = Transport::in_band(self.limits.block, &stream);
        let content = Content::transport_only(negotiating.content, transport);
        let replacing = Replacing { secured: negotiating.secured, stream };
        self.phase = Phase::Replacing(Box::new(replacing));
        self.say(Action::TransportReplace, content);
    }

    /// The peer says something about the transport.
    pub(super) fn transport(&mut self, id: &str, jingle: Jingle) {
        if !self.socks5 {
            return self.refuse(id, Refusal::cancel(DefinedCondition::FeatureNotImplemented));
        }
        let action = jingle.action;
        match (action, std::mem::replace(&mut self.phase, Phase::Ended)) {
            (Action::TransportInfo, Phase::Negotiating(negotiating)) => {
                self.told(id, *negotiating, jingle);
            }
            (Action::TransportReplace, Phase::Negotiating(negotiating))
                if self.side == Side::Server && negotiating.talks.has_failed() =>
            {
                self.replaced(id, *negotiating, jingle);
            }
            (Action::TransportAccept, Phase::Replacing(replacing)) => {
                self.acknowledge(id);
                if let Err(error) = self.reopen(*replacing, jingle) {
                    self.terminate(super::reason(&error, false));
                    self.end(Event::Failed(error));
                }
            }
            (Action::TransportReject, other @ Phase::Replacing(_)) => {
                self.phase = other;
                self.acknowledge(id);
                self.fail(Error::new(&rules::DECLINED).about("transport-reject"));
            }
            (_, other) => {
                self.phase = other;
                self.refuse(id, out_of_order());
            }
        }
    }

    /// A transport-info of the peer's.
    fn told(&mut self, id: &str, mut negotiating: Negotiating, jingle: Jingle) {
        let told = transport_of(jingle, Some(&negotiating.content)).and_then(|transport| match transport {
            Transport::Socks5(transport) if transport.sid == negotiating.sid => {
                negotiating.talks.told(transport.payload, self.now)
            }
            _ => Err(Error::new(&jingle::rules::OTHER_TRANSPORT)),
        });
        self.phase = Phase::Negotiating(Box::new(negotiating));
        match told {
            Ok(true) => {
                self.acknowledge(id);
                self.act();
            }
            Ok(false) => self.refuse(id, out_of_order()),
            Err(error) => {
                let condition = if error.is(&s5b::rules::UNKNOWN_CANDIDATE) {
                    DefinedCondition::ItemNotFound
                } else {
                    DefinedCondition::BadRequest
                };
                self.refuse(id, Refusal::modify(condition));
                self.fail(error);
            }
        }
    }

    /// Responder: the initiator wants to go on in band.
    fn replaced(&mut self, id: &str, negotiating: Negotiating, jingle: Jingle) {
        let transport = transport_of(jingle, Some(&negotiating.content)).and_then(in_band);
        let InBand { block_size, sid, .. } = match transport {
            Ok(transport) => transport,
            Err(error) => {
                self.phase = Phase::Negotiating(Box::new(negotiating));
                self.refuse(id, Refusal::modify(DefinedCondition::BadRequest));
                return self.fail(error);
            }
        };
        self.acknowledge(id);
        let block = block_size.min(self.limits.block);
        self.stream = Some(sid.0.clone());
        let transport = Transport::in_band(block, &sid.0);
        let carrier = Carrier::InBand(self.in_band(sid.0, block));
        let connection = Connection { secured: negotiating.secured, carrier, closer: false };
        self.phase = Phase::Accepting(Box::new(connection));
        self.say(Action::TransportAccept, Content::transport_only(negotiating.content, transport));
    }

    /// Initiator: the responder goes on in band.
    fn reopen(&mut self, replacing: Replacing, accept: Jingle) -> Result<()> {
        let transport = transport_of(accept, None).and_then(in_band)?;
        if transport.sid.0 != replacing.stream || transport.block_size > self.limits.block {
            return Err(Error::new(&jingle::rules::OTHER_CONTENT));
        }
        self.open_in_band(replacing.secured, replacing.stream, transport.block_size);
        Ok(())
    }

    /// Sends something that means nothing behind what may be stuck in a proxy.
    fn nudge(&mut self) {
        let Phase::Connected(connection) = &mut self.phase else { return };
        let Carrier::Socks5(socket) = &mut connection.carrier else { return };
        let Some((due, left)) = socket.nudge else { return };
        if due > self.now {
            return;
        }
        let again = later(self.now, NUDGE_AFTER);
        if socket.backlog() > 0 {
            // It is not even there yet.
            socket.nudge = Some((again, left));
            return;
        }
        connection.secured.nudge(&mut socket.out);
        socket.nudge = (left > 1).then_some((again, left - 1));
    }

    /// Lets time pass for sockets; whether the session has ended by it.
    pub(super) fn tick_sockets(&mut self) -> bool {
        self.nudge();
        if let Phase::Negotiating(negotiating) = &mut self.phase {
            negotiating.talks.tick(self.now);
            self.act();
        }
        if let Some((ending, due)) = self.ending
            && due <= self.now
        {
            match ending {
                Ending::Terminated(reason) => self.terminated_for(reason),
                Ending::HungUp => {
                    let error = Error::new(&rules::CUT_SHORT).about("the connection was closed");
                    self.fail_without_stream(error);
                }
            }
        }
        self.has_ended()
    }

    /// When [`Session::tick_sockets`] is due.
    pub(super) fn sockets_due(&self) -> impl Iterator<Item = Instant> {
        let talks = match &self.phase {
            Phase::Negotiating(negotiating) => negotiating.talks.due(),
            _ => None,
        };
        let nudge = self.socket().and_then(|socket| socket.nudge).map(|(due, _)| due);
        talks.into_iter().chain(nudge).chain(self.ending.map(|(_, due)| due))
    }

    /// What the peer has sent before its session-terminate is read first; whether there is something to wait for.
    pub(super) fn awaits_octets(&mut self, reason: Option<Reason>) -> bool {
        let hung_up = matches!(self.ending, Some((Ending::HungUp, _)));
        if self.socket().is_none() || hung_up || self.is_complete() {
            return false;
        }
        let due = later(self.now, LAST_WORDS);
        self.ending.get_or_insert((Ending::Terminated(reason), due));
        true
    }

    /// Closes the sockets of a phase that is over.
    pub(super) fn hang_up(&mut self, phase: Phase) {
        self.ending = None;
        match phase {
            Phase::Negotiating(mut negotiating) => self.sockets.extend(negotiating.talks.abandon()),
            Phase::Offering(offering) => {
                self.sockets.extend(offering.talks.into_iter().flat_map(|mut talks| talks.abandon()));
            }
            Phase::Connected(connection) => {
                if let Carrier::Socks5(socket) = connection.carrier {
                    self.sockets.push_back(socket.close());
                }
            }
            _ => {}
        }
    }
}

/// The transport in a stanza about nothing else, of the content that is known by `name`.
fn transport_of(jingle: Jingle, name: Option<&str>) -> Result<Transport> {
    let mut contents = jingle.contents.into_iter();
    let (Some(content), None) = (contents.next(), contents.next()) else {
        return Err(Error::new(&jingle::rules::OTHER_CONTENT));
    };
    if content.creator != Creator::Initiator || content.name != name.unwrap_or(jingle::CONTENT_NAME) {
        return Err(Error::new(&jingle::rules::OTHER_CONTENT));
    }
    content.transport.ok_or_else(|| Error::new(&jingle::rules::OTHER_TRANSPORT))
}

fn in_band(transport: Transport) -> Result<InBand> {
    match transport {
        Transport::InBand(transport) => {
            super::negotiation::check_in_band(&transport)?;
            Ok(transport)
        }
        Transport::Socks5(_) => Err(Error::new(&jingle::rules::OTHER_TRANSPORT)),
    }
}
