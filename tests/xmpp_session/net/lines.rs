//! The sockets of a net: connections that take their time, SOCKS5 at both ends of each, and a proxy for bytestreams. The n-th
//! thing that happens there may meet a fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use countersign::xmpp::s5b::destination;
use countersign::xmpp::session::{Dial, SocketId, SocketRequest};
use countersign::xmpp::socks5::{Client, Progress, Server};
use countersign::xmpp::{Element, SessionId, ns};

use super::{LATENCY, Net, turned, unavailable, without_children};
use crate::kit::*;
use crate::sockets::{ALICES, PROXY};

/// What happens to a connection, or to octets on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFault {
    /// Nobody listens.
    Refused,
    /// Nobody answers.
    Silent,
    /// They arrive, and then the connection breaks at their sender.
    CutBySender,
    /// The connection breaks where they should arrive.
    CutByReceiver,
    /// They arrive, and nothing after them does.
    HalfClosed,
    /// The first octet is another one.
    First,
    /// The last octet is another one.
    Last,
    /// Something that nobody has sent follows them.
    Injected,
    /// They arrive one by one.
    OneByOne,
    /// They and all behind them come later.
    Stalled(Duration),
}

impl SocketFault {
    /// Whether it is about making a connection.
    pub fn is_of_dialling(self) -> bool {
        matches!(self, Self::Refused | Self::Silent)
    }
}

/// A socket of a session.
type Key = (From, SessionId, SocketId);

/// Who is at an end of a connection.
#[derive(Debug)]
enum Seat {
    Dialling(Key, Client),
    /// Has been dialled: a party, or the proxy.
    Greeting(Option<From>, Server),
    Socket(Key),
    /// The proxy, which may have joined it to another end.
    Proxy(Option<usize>),
    Nobody,
}

/// One end of a connection; the other end has the number beside it.
#[derive(Debug)]
struct Plug {
    seat: Seat,
    /// On the way to it; `None` is the end.
    pipe: VecDeque<(Instant, Option<Vec<u8>>)>,
    unread: Vec<u8>,
    ended: bool,
    /// The session knows that it has ended.
    told: bool,
    /// What it says does not arrive any more.
    mute: bool,
}

/// All connections.
#[derive(Default)]
pub struct Lines {
    plugs: Vec<Plug>,
    used: BTreeSet<Key>,
    at_proxy: BTreeMap<String, Vec<usize>>,
    pub proxy_gone: bool,
    all_refused: bool,
    fault: Option<(usize, SocketFault)>,
    /// What has happened, by name.
    happened: Vec<String>,
    counts: [usize; 2],
}

impl Net {
    /// Lets the called side say that it takes sockets, and serves those of both.
    pub fn with_sockets(mut self) -> Self {
        let called = &mut self.parties[From::Bob as usize];
        let host = std::mem::replace(&mut called.host, super::Host::new(jid(BOB), None));
        called.host = host.with_socks5();
        self
    }

    /// Refuses every connection.
    pub fn without_connections(mut self) -> Self {
        self.lines.all_refused = true;
        self
    }

    /// Lets the n-th event at sockets meet a fault.
    pub fn with_socket_fault(mut self, n: usize, fault: SocketFault) -> Self {
        self.lines.fault = Some((n, fault));
        self
    }

    /// What has happened at sockets, in order.
    pub fn at_sockets(&self) -> &[String] {
        &self.lines.happened
    }

    /// What sockets do without time; whether anything.
    pub(super) fn settle_sockets(&mut self) -> bool {
        let mut moved = false;
        for who in [From::Alice, From::Bob] {
            while let Some((session, request)) = self.parties[who as usize].host.poll_socket() {
                moved = true;
                self.serve((who, session), request);
            }
        }
        for key in self.lines.used.clone() {
            while let Some(octets) =
                self.socket_session(key).and_then(countersign::xmpp::Session::poll_octets)
            {
                moved = true;
                self.socket_session(key).unwrap().octets_written(octets.len());
                if let Some(at) = self.lines.at(key) {
                    self.say(at, octets, "octets");
                }
            }
        }
        for at in 0..self.lines.plugs.len() {
            while self.progress(at) {
                moved = true;
            }
        }
        moved
    }

    /// Hands over what has arrived by now.
    pub(super) fn deliver_octets(&mut self) {
        let now = self.now;
        for at in 0..self.lines.plugs.len() {
            while let Some((_, piece)) = self.lines.plugs[at].pipe.pop_front_if(|(due, _)| *due <= now) {
                let plug = &mut self.lines.plugs[at];
                match piece {
                    Some(octets) => plug.unread.extend(octets),
                    None => plug.ended = true,
                }
                while self.progress(at) {}
            }
        }
    }

    /// When the next octets arrive.
    pub(super) fn octets_due(&self) -> impl Iterator<Item = Instant> {
        self.lines.plugs.iter().filter_map(|plug| plug.pipe.front()).map(|(due, _)| *due)
    }

    /// A request to the proxy arrives.
    pub(super) fn ask_proxy(&mut self, from: From, stanza: &Element) {
        let mut answer = without_children(&turned(stanza, "result"));
        if self.lines.proxy_gone || !self.activate(stanza) {
            answer = without_children(&turned(stanza, "error"));
            answer.append_child(unavailable());
        }
        if answer.attr("to") == Some(from.address()) {
            // The server has one stream to each client, on which everything for it comes.
            self.send(from.other(), answer);
        }
    }

    /// The proxy has gone, and all connections to it.
    pub(super) fn stop_proxy(&mut self) {
        self.lines.proxy_gone = true;
        for at in 0..self.lines.plugs.len() {
            if matches!(self.lines.plugs[at].seat, Seat::Proxy(_) | Seat::Greeting(None, _)) {
                self.leave(at);
            }
        }
    }

    fn activate(&mut self, stanza: &Element) -> bool {
        let Some(query) = stanza.get_child("query", ns::BYTESTREAMS) else { return false };
        let target = query.get_child("activate", ns::BYTESTREAMS).unwrap().text();
        let from = jid(stanza.attr("from").unwrap());
        let name = destination(query.attr("sid").unwrap(), &from, &jid(&target));
        let ends = self.lines.at_proxy.remove(name.as_str()).unwrap_or_default();
        let [one, other] = ends[..] else { return false };
        self.lines.plugs[one].seat = Seat::Proxy(Some(other));
        self.lines.plugs[other].seat = Seat::Proxy(Some(one));
        true
    }

    fn socket_session(&mut self, (who, session, _): Key) -> Option<&mut countersign::xmpp::Session> {
        self.parties[who as usize].host.session_mut(session)
    }

    fn serve(&mut self, (who, session): (From, SessionId), request: SocketRequest) {
        match request {
            SocketRequest::Dial(dial) => self.dial((who, session, dial.id), dial),
            SocketRequest::Use(id) => assert!(self.lines.used.insert((who, session, id))),
            SocketRequest::Close(id, octets) => {
                let key = (who, session, id);
                self.lines.used.remove(&key);
                if let Some(at) = self.lines.at(key) {
                    if !octets.is_empty() {
                        self.say(at, octets, "last octets");
                    }
                    self.leave(at);
                }
            }
            _ => panic!("{request:?}"),
        }
    }

    fn dial(&mut self, key: Key, dial: Dial) {
        let host = format!("{}:{}", dial.host, dial.port);
        let listener = match (dial.host == PROXY, host == ALICES) {
            (true, _) => None,
            (_, true) => Some(From::Alice),
            _ => Some(From::Bob),
        };
        let name = listener.map_or("the proxy".to_owned(), |who| format!("{who:?}"));
        let fault = self.lines.event(format!("{:?}: connection to {name}", key.0));
        let refused = self.lines.all_refused || listener.is_none() && self.lines.proxy_gone;
        if fault == Some(SocketFault::Silent) {
            return;
        }
        if refused || fault == Some(SocketFault::Refused) {
            let now = self.now;
            return self.socket_session(key).unwrap().dialled(key.2, false, now);
        }
        let (client, greeting) = Client::start(dial.destination);
        let at = self.lines.plugs.len();
        self.lines.plugs.push(Plug::new(Seat::Dialling(key, client)));
        self.lines.plugs.push(Plug::new(Seat::Greeting(listener, Server::start())));
        self.say(at, greeting, "greeting");
    }

    /// Whoever is at this end says something, and the fault may be there.
    fn say(&mut self, at: usize, mut octets: Vec<u8>, what: &str) {
        let who = match &self.lines.plugs[at].seat {
            Seat::Dialling((who, ..), _) | Seat::Greeting(Some(who), _) | Seat::Socket((who, ..)) => {
                Some(*who)
            }
            Seat::Greeting(None, _) | Seat::Proxy(_) | Seat::Nobody => None,
        };
        let mut name = format!("{}: {what}", who.map_or("proxy".to_owned(), |who| format!("{who:?}")));
        if let (Some(who), "octets") = (who, what) {
            name = format!("{name} {}", self.lines.counts[who as usize]);
            self.lines.counts[who as usize] += 1;
        }
        let now = self.now;
        let fault = self.lines.event(name);
        match fault {
            Some(SocketFault::First) => octets[0] ^= 1,
            Some(SocketFault::Last) => *octets.last_mut().unwrap() ^= 1,
            Some(SocketFault::Injected) => octets.push(0x17),
            _ => {}
        }
        match fault {
            Some(SocketFault::CutByReceiver) => {
                self.lines.put(at ^ 1, now, None);
                self.lines.put(at, now + LATENCY, None);
            }
            Some(SocketFault::OneByOne) => {
                octets.iter().for_each(|octet| self.lines.put(at ^ 1, now, Some(vec![*octet])));
            }
            Some(SocketFault::Stalled(time)) => self.lines.put(at ^ 1, now + time, Some(octets)),
            _ => self.lines.put(at ^ 1, now, Some(octets)),
        }
        match fault {
            Some(SocketFault::CutBySender) => {
                self.lines.put(at ^ 1, now, None);
                self.lines.put(at, now, None);
            }
            Some(SocketFault::HalfClosed) => self.lines.put(at ^ 1, now, None),
            _ => {}
        }
        if matches!(fault, Some(SocketFault::CutByReceiver | SocketFault::CutBySender)) {
            self.lines.plugs[at ^ 1].mute = true;
        }
        if matches!(
            fault,
            Some(SocketFault::CutByReceiver | SocketFault::CutBySender | SocketFault::HalfClosed)
        ) {
            self.lines.plugs[at].mute = true;
        }
    }

    /// Whoever is at this end goes.
    fn leave(&mut self, at: usize) {
        let now = self.now;
        self.lines.put(at ^ 1, now, None);
        let plug = &mut self.lines.plugs[at];
        plug.mute = true;
        if let Seat::Proxy(Some(partner)) = std::mem::replace(&mut plug.seat, Seat::Nobody)
            && matches!(self.lines.plugs[partner].seat, Seat::Proxy(_))
        {
            self.leave(partner);
        }
    }

    /// Lets one end take what has come; whether it did anything.
    fn progress(&mut self, at: usize) -> bool {
        let now = self.now;
        let plug = &mut self.lines.plugs[at];
        let seat = std::mem::replace(&mut plug.seat, Seat::Nobody);
        match seat {
            Seat::Dialling(key, client) if plug.unread.len() >= client.wants() => {
                let octets = plug.unread.drain(..client.wants()).collect::<Vec<_>>();
                match client.receive(&octets) {
                    Progress::More(next, answer) => {
                        plug.seat = Seat::Dialling(key, next);
                        if !answer.is_empty() {
                            self.say(at, answer, "request");
                        }
                    }
                    Progress::Done(()) => {
                        plug.seat = Seat::Socket(key);
                        self.dialled(key, true);
                    }
                    Progress::Failed(..) => {
                        self.leave(at);
                        self.dialled(key, false);
                    }
                }
            }
            Seat::Dialling(key, _) if plug.ended => {
                self.leave(at);
                self.dialled(key, false);
            }
            Seat::Greeting(owner, server) if plug.unread.len() >= server.wants() => {
                let octets = plug.unread.drain(..server.wants()).collect::<Vec<_>>();
                match server.receive(&octets) {
                    Progress::More(next, answer) => {
                        plug.seat = Seat::Greeting(owner, next);
                        if !answer.is_empty() {
                            self.say(at, answer, "method");
                        }
                    }
                    Progress::Done(asked) => match owner {
                        None => {
                            let name = asked.destination().as_str().to_owned();
                            plug.seat = Seat::Proxy(None);
                            self.lines.at_proxy.entry(name).or_default().push(at);
                            self.say(at, asked.granted(), "reply");
                        }
                        Some(who) => {
                            plug.seat = Seat::Greeting(owner, Server::start());
                            match self.parties[who as usize].host.inbound(asked.destination(), now) {
                                Some((session, id)) => {
                                    self.lines.plugs[at].seat = Seat::Socket((who, session, id));
                                    self.say(at, asked.granted(), "reply");
                                }
                                None => {
                                    self.say(at, asked.refused(), "refusal");
                                    self.leave(at);
                                }
                            }
                        }
                    },
                    Progress::Failed(_, last) => {
                        plug.seat = Seat::Greeting(owner, Server::start());
                        if !last.is_empty() {
                            self.say(at, last, "refusal");
                        }
                        self.leave(at);
                    }
                }
            }
            Seat::Greeting(..) if plug.ended => self.leave(at),
            Seat::Proxy(Some(partner)) if !plug.unread.is_empty() => {
                let octets = std::mem::take(&mut plug.unread);
                plug.seat = Seat::Proxy(Some(partner));
                self.lines.put(partner ^ 1, now, Some(octets));
            }
            Seat::Proxy(partner) if plug.ended => {
                plug.seat = Seat::Proxy(partner);
                self.leave(at);
            }
            Seat::Socket(key) if self.lines.used.contains(&key) => {
                plug.seat = Seat::Socket(key);
                let (has_ended, told) = (plug.ended, plug.told);
                let unread = std::mem::take(&mut plug.unread);
                let Some(session) = self.parties[key.0 as usize].host.session_mut(key.1) else {
                    return false;
                };
                if !unread.is_empty() && session.is_receiving() {
                    session.receive_octets(&unread, now);
                } else if unread.is_empty() && has_ended && !told {
                    session.socket_closed(now);
                    self.lines.plugs[at].told = true;
                } else {
                    self.lines.plugs[at].unread = unread;
                    return false;
                }
            }
            other => {
                plug.seat = other;
                return false;
            }
        }
        true
    }

    fn dialled(&mut self, key: Key, connected: bool) {
        let now = self.now;
        if let Some(session) = self.socket_session(key) {
            session.dialled(key.2, connected, now);
        }
    }
}

impl Lines {
    /// Where a socket's end is.
    fn at(&self, key: Key) -> Option<usize> {
        let is_it =
            |plug: &Plug| matches!(&plug.seat, Seat::Dialling(of, _) | Seat::Socket(of) if *of == key);
        self.plugs.iter().position(is_it)
    }

    /// The next event, and its fault.
    fn event(&mut self, name: String) -> Option<SocketFault> {
        let n = self.happened.len();
        self.happened.push(name);
        self.fault.filter(|(at, _)| *at == n).map(|(_, fault)| fault)
    }

    /// Sends to an end what nothing happens to.
    fn put(&mut self, to: usize, now: Instant, piece: Option<Vec<u8>>) {
        if self.plugs[to ^ 1].mute {
            return;
        }
        let pipe = &mut self.plugs[to].pipe;
        let last = pipe.back().map_or(now, |(due, _)| *due);
        pipe.push_back(((now + LATENCY).max(last), piece));
    }
}

impl Plug {
    fn new(seat: Seat) -> Self {
        let (pipe, unread) = (VecDeque::new(), vec![]);
        Self { seat, pipe, unread, ended: false, told: false, mute: false }
    }
}
