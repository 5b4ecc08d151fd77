//! How two sides find a connection (XEP-0260 section 2): each tries the other's candidates, the better of the two that
//! work is taken, and a proxy is told to join its two ends. Knows no stanzas and no sockets: says what to do with them.

use std::collections::VecDeque;
use std::time::Instant;

use jid::{FullJid, Jid};

use crate::error::{Error, Result};
use crate::mechanism::Side;
use crate::xmpp::s5b::{
    self, ACTIVATION_TIMEOUT, Candidate, DIAL_TIMEOUT, DIALS_MAX, Kind, Payload, Route, Socks5, nominate,
    rules,
};
use crate::xmpp::socks5::Destination;

use super::timing::later;

/// Names a socket of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u32);

/// What a session wants done with sockets; the application has them.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketRequest {
    /// Connect; answer by [`Session::dialled`](super::Session::dialled).
    Dial(Dial),
    /// The bytestream goes over this one: hand its octets to
    /// [`Session::receive_octets`](super::Session::receive_octets) and write what
    /// [`Session::poll_octets`](super::Session::poll_octets) gives.
    Use(SocketId),
    /// Write these octets, where there are any, and close, whatever it was doing.
    Close(SocketId, Vec<u8>),
}

/// A connection to be made: TCP, and then [`Client`](crate::xmpp::socks5::Client).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dial {
    /// Names it from now on.
    pub id: SocketId,
    /// A name or an address.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// What to ask for by SOCKS5.
    pub destination: Destination,
    /// Whether the name may turn out to be an address of this machine.
    pub loopback: bool,
}

/// What the negotiation wants from the session.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Say this to the peer.
    Tell(Payload),
    /// Ask the application.
    Ask(SocketRequest),
    /// Ask this proxy to join both connections.
    Activate(Jid),
    /// This is the connection.
    Ready(SocketId, Route),
    /// There is none.
    GiveUp,
}

/// What a side has found out.
enum Report {
    Pending,
    /// None of the other's candidates works.
    Nothing,
    /// Connected to this candidate of the other's.
    Used(Candidate),
}

impl Report {
    fn priority(&self) -> Option<u32> {
        match self {
            Self::Used(candidate) => Some(candidate.priority),
            Self::Pending | Self::Nothing => None,
        }
    }
}

enum Step {
    /// Until both sides have said what works.
    Reporting,
    /// The peer's proxy: we are connected, the peer has to be, and to say so.
    AwaitingActivation(SocketId, Candidate),
    /// Our proxy: we connect.
    DiallingProxy(SocketId, Candidate, Instant),
    /// Our proxy: it joins.
    Activating(SocketId, Candidate, Instant),
    Over,
}

/// Both addresses and the identifier, as they enter the destinations.
pub(super) struct Place<'a> {
    pub(super) side: Side,
    pub(super) own: &'a FullJid,
    pub(super) peer: &'a FullJid,
    pub(super) sid: &'a str,
}

/// One negotiation, from the first candidates to the connection.
pub(super) struct Talks {
    side: Side,
    offer: Socks5,
    own: Vec<Candidate>,
    own_destination: Destination,
    peer_destination: Destination,
    /// Those of the peer's that are left to try; the best is last.
    to_try: Vec<Candidate>,
    tries: usize,
    attempt: Option<(SocketId, Candidate, Instant)>,
    /// What we are connected to, by our own dialling.
    outbound: Option<SocketId>,
    /// Who has connected to us last.
    inbound: Option<SocketId>,
    ours: Report,
    theirs: Report,
    step: Step,
    sockets: u32,
    actions: VecDeque<Action>,
}

impl Talks {
    /// With what we offer; the peer's candidates follow.
    pub(super) fn new(offer: Socks5, place: &Place<'_>) -> Self {
        let Place { side, own, peer, sid } = *place;
        Self {
            side,
            own: offer.candidates(own),
            offer,
            own_destination: s5b::destination(sid, own, peer),
            peer_destination: s5b::destination(sid, peer, own),
            to_try: vec![],
            tries: 0,
            attempt: None,
            outbound: None,
            inbound: None,
            ours: Report::Pending,
            theirs: Report::Pending,
            step: Step::Reporting,
            sockets: 0,
            actions: VecDeque::new(),
        }
    }

    /// What to say of it in the offer.
    pub(super) fn transport(&self, sid: &str) -> s5b::Transport {
        s5b::Transport::offer(sid, self.own_destination.clone(), self.own.clone())
    }

    /// Takes the peer's offer and begins to try.
    ///
    /// # Errors
    /// [`rules::MALFORMED`], [`rules::OTHER_DESTINATION`].
    pub(super) fn start(&mut self, theirs: s5b::Transport, now: Instant) -> Result<()> {
        let Payload::Candidates(mut candidates) = theirs.payload else {
            return Err(Error::new(&rules::MALFORMED).about("no candidates"));
        };
        if theirs.destination.is_some_and(|destination| destination != self.peer_destination) {
            return Err(Error::new(&rules::OTHER_DESTINATION));
        }
        candidates.retain(|candidate| self.offer.may_dial(candidate));
        // Stable: of two with the same priority the first one is tried first.
        candidates.reverse();
        candidates.sort_by_key(|candidate| candidate.priority);
        self.to_try = candidates;
        self.dial_next(now);
        Ok(())
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Talks::tick`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let attempt = self.attempt.as_ref().map(|(_, _, due)| *due);
        let proxy = match &self.step {
            Step::DiallingProxy(_, _, due) | Step::Activating(_, _, due) => Some(*due),
            Step::Reporting | Step::AwaitingActivation(..) | Step::Over => None,
        };
        attempt.into_iter().chain(proxy).min()
    }

    /// Gives up what takes too long.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some((id, _, due)) = &self.attempt
            && *due <= now
        {
            self.close(*id);
            self.attempt = None;
            self.dial_next(now);
        }
        if let Step::DiallingProxy(_, _, due) | Step::Activating(_, _, due) = &self.step
            && *due <= now
        {
            self.proxy_failed();
        }
    }

    /// A connection that was asked for is there, or is not.
    pub(super) fn dialled(&mut self, id: SocketId, connected: bool, now: Instant) {
        match self.attempt.take() {
            Some((attempt, candidate, _)) if attempt == id => {
                if connected {
                    self.outbound = Some(id);
                    self.actions.push_back(Action::Tell(Payload::Used(candidate.cid.clone())));
                    self.ours = Report::Used(candidate);
                    self.to_try.clear();
                    self.conclude(now);
                } else {
                    self.dial_next(now);
                }
                return;
            }
            other => self.attempt = other,
        }
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::DiallingProxy(proxy, candidate, _) if proxy == id => {
                if connected {
                    self.actions.push_back(Action::Activate(candidate.jid.clone()));
                    self.step = Step::Activating(id, candidate, later(now, ACTIVATION_TIMEOUT));
                } else {
                    self.proxy_failed();
                }
            }
            other => {
                self.step = other;
                // Too late.
                if connected {
                    self.close(id);
                }
            }
        }
    }

    /// Somebody has connected to us and asks for this destination: the name of the socket, when it is the peer.
    pub(super) fn inbound(&mut self, destination: &Destination) -> Option<SocketId> {
        let is_open = matches!((&self.step, &self.theirs), (Step::Reporting, Report::Pending));
        let has_address = self.own.iter().any(|candidate| candidate.kind != Kind::Proxy);
        if !is_open || !has_address || *destination != self.own_destination {
            return None;
        }
        let id = self.next_socket();
        // The peer has given up the one before.
        if let Some(before) = self.inbound.replace(id) {
            self.close(before);
        }
        Some(id)
    }

    /// The peer has said something: `Ok(false)` when this is not the time for it.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_CANDIDATE`], [`rules::NO_CONNECTION`], [`rules::MALFORMED`].
    pub(super) fn told(&mut self, payload: Payload, now: Instant) -> Result<bool> {
        let reports = matches!((&self.step, &self.theirs), (Step::Reporting, Report::Pending));
        match payload {
            Payload::Used(cid) if reports => {
                let used = self.own.iter().find(|candidate| candidate.cid == cid);
                let used = used.ok_or_else(|| Error::new(&rules::UNKNOWN_CANDIDATE).about(&cid))?.clone();
                if used.kind != Kind::Proxy && self.inbound.is_none() {
                    return Err(Error::new(&rules::NO_CONNECTION));
                }
                self.outdo(used.priority, now);
                self.theirs = Report::Used(used);
                self.conclude(now);
            }
            Payload::Error if reports => {
                self.theirs = Report::Nothing;
                self.conclude(now);
            }
            Payload::Activated(cid) => match std::mem::replace(&mut self.step, Step::Over) {
                Step::AwaitingActivation(id, candidate) if candidate.cid == cid => {
                    self.ready(id, Route::Proxy(candidate.jid));
                }
                Step::AwaitingActivation(..) => return Err(Error::new(&rules::UNKNOWN_CANDIDATE).about(&cid)),
                other => {
                    self.step = other;
                    return Ok(false);
                }
            },
            Payload::ProxyError if matches!(self.step, Step::AwaitingActivation(..)) => self.give_up(),
            Payload::Candidates(_) => return Err(Error::new(&rules::MALFORMED).about("transport-info")),
            Payload::Used(_) | Payload::Error | Payload::ProxyError => return Ok(false),
        }
        Ok(true)
    }

    /// The proxy has joined both connections, or has not.
    pub(super) fn activated(&mut self, joined: bool) {
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Activating(id, candidate, _) if joined => {
                self.actions.push_back(Action::Tell(Payload::Activated(candidate.cid)));
                self.ready(id, Route::Proxy(candidate.jid));
            }
            other => {
                let failed = matches!(other, Step::Activating(..));
                self.step = other;
                if failed {
                    self.proxy_failed();
                }
            }
        }
    }

    /// Closes everything.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = SocketRequest> + use<> {
        self.close_all();
        let actions = std::mem::take(&mut self.actions);
        actions.into_iter().filter_map(|action| match action {
            Action::Ask(request @ SocketRequest::Close(..)) => Some(request),
            _ => None,
        })
    }

    /// Whether no connection was found and all is said.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// Tries the next candidate, or says that there is none.
    fn dial_next(&mut self, now: Instant) {
        let candidate = if self.tries < DIALS_MAX { self.to_try.pop() } else { None };
        let Some(candidate) = candidate else {
            self.actions.push_back(Action::Tell(Payload::Error));
            self.ours = Report::Nothing;
            return self.conclude(now);
        };
        self.tries += 1;
        let id = self.dial(&candidate, self.peer_destination.clone());
        self.attempt = Some((id, candidate, later(now, DIAL_TIMEOUT)));
    }

    fn dial(&mut self, candidate: &Candidate, destination: Destination) -> SocketId {
        let id = self.next_socket();
        let Candidate { host, port, .. } = candidate.clone();
        let loopback = self.offer.has_loopback();
        let dial = Dial { id, host, port, destination, loopback };
        self.actions.push_back(Action::Ask(SocketRequest::Dial(dial)));
        id
    }

    /// The peer is connected by a candidate of this priority: what cannot win is not tried any more.
    fn outdo(&mut self, priority: u32, now: Instant) {
        if !matches!(self.ours, Report::Pending) {
            return;
        }
        let initiator = self.side == Side::Client;
        let can_win =
            |other: &Candidate| other.priority > priority || initiator && other.priority == priority;
        self.to_try.retain(can_win);
        if let Some((id, _, _)) = self.attempt.take_if(|(_, candidate, _)| !can_win(candidate)) {
            self.close(id);
            self.dial_next(now);
        }
    }

    /// Goes on when both sides have said what works.
    fn conclude(&mut self, now: Instant) {
        let pending = |report: &Report| matches!(report, Report::Pending);
        if !matches!(self.step, Step::Reporting) || pending(&self.ours) || pending(&self.theirs) {
            return;
        }
        let (ours, theirs) = (self.ours.priority(), self.theirs.priority());
        let winner = match self.side {
            Side::Client => nominate(ours, theirs),
            Side::Server => nominate(theirs, ours),
        };
        let nothing = || Report::Nothing;
        let ours = std::mem::replace(&mut self.ours, nothing());
        let theirs = std::mem::replace(&mut self.theirs, nothing());
        match (winner == Some(self.side), ours, theirs) {
            (true, Report::Used(candidate), _) => {
                if let Some(other) = self.inbound.take() {
                    self.close(other);
                }
                match (self.outbound, candidate.kind) {
                    (Some(id), Kind::Proxy) => self.step = Step::AwaitingActivation(id, candidate),
                    (Some(id), _) => self.ready(id, Route::Direct),
                    (None, _) => self.give_up(),
                }
            }
            (false, _, Report::Used(candidate)) => {
                if let Some(other) = self.outbound.take() {
                    self.close(other);
                }
                match (self.inbound, candidate.kind) {
                    (other, Kind::Proxy) => {
                        self.inbound = None;
                        other.into_iter().for_each(|id| self.close(id));
                        let id = self.dial(&candidate, self.own_destination.clone());
                        self.step = Step::DiallingProxy(id, candidate, later(now, DIAL_TIMEOUT));
                    }
                    (Some(id), _) => self.ready(id, Route::Direct),
                    (None, _) => self.give_up(),
                }
            }
            _ => self.give_up(),
        }
    }

    fn ready(&mut self, id: SocketId, route: Route) {
        self.step = Step::Over;
        (self.inbound, self.outbound) = (None, None);
        self.actions.push_back(Action::Ready(id, route));
    }

    fn proxy_failed(&mut self) {
        self.actions.push_back(Action::Tell(Payload::ProxyError));
        self.give_up();
    }

    fn give_up(&mut self) {
        self.close_all();
        self.actions.push_back(Action::GiveUp);
    }

    fn close_all(&mut self) {
        let in_step = match std::mem::replace(&mut self.step, Step::Over) {
            Step::AwaitingActivation(id, _) => Some(id),
            Step::DiallingProxy(id, ..) | Step::Activating(id, ..) => Some(id),
            Step::Reporting | Step::Over => None,
        };
        let attempt = self.attempt.take().map(|(id, _, _)| id);
        let outbound = self.outbound.take().filter(|id| in_step != Some(*id));
        for id in [in_step, attempt, outbound, self.inbound.take()].into_iter().flatten() {
            self.close(id);
        }
    }

    fn close(&mut self, id: SocketId) {
        self.actions.push_back(Action::Ask(SocketRequest::Close(id, vec![])));
    }

    fn next_socket(&mut self) -> SocketId {
        self.sockets += 1;
        SocketId(self.sockets)
    }
}
