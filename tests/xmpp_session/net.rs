//! Two hosts, the servers between them, and a clock that only the test moves: every stanza takes its time, a link may be
//! slow, and the n-th stanza of a run may meet a fault.

mod lines;

pub use lines::SocketFault;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use countersign::error::Error;
use countersign::mechanism::Side;
use countersign::tls::Endpoint;
use countersign::xmpp::s5b::Route;
use countersign::xmpp::{
    Acceptance, Element, Event, FullJid, Host, HostEvent, InitiatorConfig, ResponderConfig, Session,
    SessionId, stream,
};

use crate::kit::*;
use crate::sockets::PROXY;
use lines::Lines;

/// What a stanza takes from one end to the other.
pub const LATENCY: Duration = Duration::from_millis(40);

/// After which a stanza that was to be overtaken comes by itself.
const OVERTAKEN: Duration = Duration::from_secs(1);

const MALLORY: &str = "mallory@atlanta.example/lap";

/// What happens to one stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Drop,
    Twice,
    /// It and all behind it come later.
    Late(Duration),
    /// The next one from the same side overtakes it.
    Swap,
    /// The one before it, from the same side, comes once more after it.
    Stale,
    /// A copy comes from a third party first.
    Foreign,
    /// It is dropped, and the server answers in the receiver's name. An answer becomes a refusal.
    Lie,
    /// It arrives, and then its sender has no connection any more. Nobody tells the other.
    CutSender,
    /// It arrives, and then its receiver has no connection any more. The server tells the other by presence.
    CutReceiver,
}

/// What one side does, one after the other, from the moment at which the tunnel is verified.
#[derive(Clone, Debug)]
pub enum Deed {
    Say(String),
    Send(Vec<u8>),
    /// Waits until so much time has passed since the start.
    Until(Duration),
    Close,
    Abort,
}

/// How a session ended.
pub type End = Result<(), Error>;

/// One end: a host, and the application above it.
struct Party {
    host: Host,
    session: Option<SessionId>,
    online: bool,
    established: bool,
    deeds: VecDeque<Deed>,
    end: Option<End>,
    route: Option<Route>,
    /// What the session has taken, and what it has given, octet for octet.
    sent: Vec<u8>,
    received: Vec<u8>,
}

/// Whose connection breaks behind a stanza.
#[derive(Clone, Copy)]
enum Gone {
    Sender(From),
    Receiver(From),
    Proxy,
}

/// What is on the way from one side.
#[derive(Default)]
struct Wire {
    queue: VecDeque<(Instant, Element, Option<Gone>)>,
    held: Option<(Instant, Element)>,
    before: Option<Element>,
    free: Option<Instant>,
}

pub struct Net {
    start: Instant,
    pub now: Instant,
    parties: [Party; 2],
    wires: [Wire; 2],
    /// Octets per second of what each side sends.
    rates: [Option<f64>; 2],
    fault: Option<(usize, Fault)>,
    lines: Lines,
    /// All stanzas in the order in which they were sent.
    pub sent: Vec<(From, Element)>,
    /// The most stanzas that were on the way from one side at a time.
    pub most_on_the_way: usize,
    /// Octets that each side has sent, where that takes time.
    pub octets: [usize; 2],
}

impl From {
    pub fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }

    fn address(self) -> &'static str {
        match self {
            Self::Alice => ALICE,
            Self::Bob => BOB,
        }
    }
}

impl Net {
    pub fn new(
        alice: InitiatorConfig,
        bob: ResponderConfig,
        endpoint: impl Fn(Side) -> Box<dyn Endpoint> + Send + 'static,
    ) -> Self {
        let now = Instant::now();
        let session =
            Session::initiate(alice, endpoint(Side::Client), Box::new(CountingRng(0)), now).unwrap();
        let mut caller = Host::new(jid(ALICE), None);
        let id = caller.add(session);
        let gate = move |_: &FullJid| {
            let (endpoint, rng) = (endpoint(Side::Server), Box::new(CountingRng(128)));
            Some(Acceptance { config: bob.clone(), endpoint, rng })
        };
        let called = Host::new(jid(BOB), Some(Box::new(gate)));
        Self {
            start: now,
            now,
            parties: [Party::new(caller, Some(id)), Party::new(called, None)],
            wires: [Wire::default(), Wire::default()],
            rates: [None, None],
            fault: None,
            lines: Lines::default(),
            sent: vec![],
            most_on_the_way: 0,
            octets: [0, 0],
        }
    }

    /// What both sides do.
    pub fn with_deeds(mut self, alice: &[Deed], bob: &[Deed]) -> Self {
        for (party, deeds) in self.parties.iter_mut().zip([alice, bob]) {
            party.deeds = deeds.iter().cloned().collect();
        }
        self
    }

    /// Lets the n-th stanza, counted from 0, meet a fault.
    pub fn with_fault(mut self, n: usize, fault: Fault) -> Self {
        self.fault = Some((n, fault));
        self
    }

    /// So many octets per second leave each side, answers included.
    pub fn with_rate(mut self, rate: f64) -> Self {
        self.rates = [Some(rate); 2];
        self
    }

    /// Runs until nothing is left to happen. False when something is left after `limit`.
    pub fn run(&mut self, limit: Duration) -> bool {
        self.run_until(limit);
        self.next().is_none()
    }

    /// Runs what happens until so much time has passed.
    pub fn run_until(&mut self, limit: Duration) {
        loop {
            self.settle();
            let Some(next) = self.next() else { return };
            if next > self.start + limit {
                self.now = self.now.max(self.start + limit);
                return;
            }
            self.now = self.now.max(next);
            for party in &mut self.parties {
                party.host.tick(self.now);
            }
            for from in [From::Alice, From::Bob] {
                self.deliver(from);
            }
            self.deliver_octets();
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn end(&self, of: From) -> Option<&End> {
        self.parties[of as usize].end.as_ref()
    }

    /// Whether the tunnel was verified there.
    pub fn established(&self, of: From) -> bool {
        self.parties[of as usize].established
    }

    /// By which way the octets of one side went.
    pub fn route(&self, of: From) -> Option<&Route> {
        self.parties[of as usize].route.as_ref()
    }

    /// What the session of one side has taken.
    pub fn sent_by(&self, of: From) -> &[u8] {
        &self.parties[of as usize].sent
    }

    /// What the session of one side has given.
    pub fn received_by(&self, of: From) -> &[u8] {
        &self.parties[of as usize].received
    }

    /// Does all that needs no time.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for from in [From::Alice, From::Bob] {
                let passed = self.now - self.start;
                moved |= self.parties[from as usize].act(passed);
                while let Some(stanza) = self.parties[from as usize].host.poll_stanza() {
                    moved = true;
                    self.send(from, stanza);
                }
            }
            moved |= self.settle_sockets();
            if !moved {
                return;
            }
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let wires = self.wires.iter().flat_map(|wire| {
            let first = wire.queue.front().map(|(due, ..)| *due);
            first.into_iter().chain(wire.held.as_ref().map(|(due, _)| *due))
        });
        let parties = self.parties.iter().flat_map(|party| {
            let deed = match party.deeds.front() {
                Some(Deed::Until(time)) if party.may_act() => Some(self.start + *time),
                _ => None,
            };
            deed.into_iter().chain(party.host.next_timeout())
        });
        wires.chain(parties).chain(self.octets_due()).min()
    }

    fn send(&mut self, from: From, stanza: Element) {
        let proxied = [stanza.attr("from"), stanza.attr("to")].contains(&Some(PROXY));
        let ours = proxied || stanza.attr("to") == Some(from.other().address());
        let from_proxy = stanza.attr("from") == Some(PROXY);
        if !ours || !(from_proxy || self.parties[from as usize].online) {
            return;
        }
        let n = self.sent.len();
        self.sent.push((from, stanza.clone()));
        let fault = self.fault.filter(|(at, _)| *at == n).map(|(_, fault)| fault);
        let before = self.wires[from as usize].before.replace(stanza.clone());
        match fault {
            None => self.put(from, stanza),
            Some(Fault::Drop) => {}
            Some(Fault::Twice) => {
                self.put(from, stanza.clone());
                self.put(from, stanza);
            }
            Some(Fault::Late(time)) => self.put_at(from, time, stanza, None),
            Some(Fault::Swap) => {
                self.wires[from as usize].held = Some((self.now + LATENCY + OVERTAKEN, stanza));
                return;
            }
            Some(Fault::Stale) => {
                self.put(from, stanza);
                before.into_iter().for_each(|before| self.put(from, before));
            }
            Some(Fault::Foreign) => {
                self.put(from, with_attributes(&stanza, &[("from", MALLORY)]));
                self.put(from, stanza);
            }
            Some(Fault::Lie) => self.lie(from, &stanza),
            Some(Fault::CutSender) => {
                let gone = if from_proxy { Gone::Proxy } else { Gone::Sender(from) };
                self.put_at(from, Duration::ZERO, stanza, Some(gone));
            }
            Some(Fault::CutReceiver) => {
                let to_proxy = stanza.attr("to") == Some(PROXY);
                let gone = if to_proxy { Gone::Proxy } else { Gone::Receiver(from.other()) };
                self.put_at(from, Duration::ZERO, stanza, Some(gone));
            }
        }
        if let Some((_, held)) = self.wires[from as usize].held.take() {
            self.put(from, held);
        }
    }

    fn lie(&mut self, from: From, stanza: &Element) {
        if is_request(stanza) {
            let answer = without_children(&turned(stanza, "result"));
            self.put(from.other(), answer);
        } else {
            let mut refusal = without_children(&with_attributes(stanza, &[("type", "error")]));
            refusal.append_child(unavailable());
            self.put(from, refusal);
        }
    }

    fn put(&mut self, from: From, stanza: Element) {
        self.put_at(from, Duration::ZERO, stanza, None);
    }

    fn put_at(&mut self, from: From, later: Duration, stanza: Element, cut: Option<Gone>) {
        let wire = &mut self.wires[from as usize];
        let mut leaves = self.now;
        if let Some(rate) = self.rates[from as usize] {
            let octets = stream::to_octets(&stanza).unwrap().len();
            self.octets[from as usize] += octets;
            leaves = leaves.max(wire.free.unwrap_or(leaves)) + Duration::from_secs_f64(octets as f64 / rate);
            wire.free = Some(leaves);
        }
        let last = wire.queue.back().map_or(leaves, |(due, ..)| *due);
        wire.queue.push_back(((leaves + LATENCY + later).max(last), stanza, cut));
        self.most_on_the_way = self.most_on_the_way.max(wire.queue.len());
    }

    /// Hands over what has arrived from one side.
    fn deliver(&mut self, from: From) {
        let wire = &mut self.wires[from as usize];
        if let Some((_, stanza)) = wire.held.take_if(|(due, _)| *due <= self.now) {
            wire.queue.push_back((self.now, stanza, None));
        }
        while let Some((_, stanza, cut)) =
            self.wires[from as usize].queue.pop_front_if(|(due, ..)| *due <= self.now)
        {
            let receiver = &mut self.parties[from.other() as usize];
            if stanza.attr("to") == Some(PROXY) {
                self.ask_proxy(from, &stanza);
                self.settle();
            } else if receiver.online {
                receiver.host.handle(&stanza, self.now);
                self.settle();
            } else if is_request(&stanza) {
                // The receiver's server says that nobody is there.
                let mut bounce = turned(&stanza, "error");
                bounce.append_child(unavailable());
                self.put(from.other(), bounce);
            }
            match cut {
                Some(Gone::Sender(side)) => self.cut(side, false),
                Some(Gone::Receiver(side)) => self.cut(side, true),
                Some(Gone::Proxy) => {
                    self.stop_proxy();
                    self.settle();
                }
                None => {}
            }
        }
    }

    /// Brings one side a stanza from elsewhere.
    pub fn tell(&mut self, side: From, stanza: &Element) {
        self.parties[side as usize].host.handle(stanza, self.now);
    }

    /// Takes the connection from one side.
    pub fn cut(&mut self, side: From, told: bool) {
        let party = &mut self.parties[side as usize];
        party.online = false;
        party.host.transport_lost();
        self.wires[side as usize].held = None;
        if told {
            let presence = format!(
                "<presence xmlns='jabber:client' type='unavailable' from='{}' to='{}'/>",
                side.address(),
                side.other().address()
            );
            self.put(side, xml(&presence));
        }
        self.settle();
    }
}

impl Party {
    fn new(host: Host, session: Option<SessionId>) -> Self {
        Self {
            host,
            session,
            online: true,
            established: false,
            deeds: VecDeque::new(),
            end: None,
            route: None,
            sent: vec![],
            received: vec![],
        }
    }

    fn may_act(&self) -> bool {
        self.established && self.end.is_none()
    }

    /// Takes events and goes on with the deeds; whether anything happened.
    fn act(&mut self, passed: Duration) -> bool {
        let mut moved = false;
        while let Some(event) = self.host.poll_event() {
            moved = true;
            match event {
                // A second one is a third party's.
                HostEvent::Incoming(id, peer) if peer == jid(ALICE) => {
                    self.session.get_or_insert(id);
                }
                HostEvent::Session(id, event) if self.session == Some(id) => self.take(event),
                _ => {}
            }
        }
        while self.may_act() && self.advance(passed) {
            moved = true;
        }
        moved
    }

    fn take(&mut self, event: Event) {
        assert!(self.end.is_none(), "an event after the last one: {event:?}");
        match event {
            Event::Established(_) => {
                self.established = true;
                let session = self.session.and_then(|id| self.host.session(id));
                self.route = session.and_then(|session| session.route().cloned());
            }
            Event::Stanza(stanza) => self.received.extend(stream::to_octets(&stanza).unwrap()),
            Event::Bytes(octets) => self.received.extend(octets),
            Event::Closed => self.end = Some(Ok(())),
            Event::Failed(error) => self.end = Some(Err(error)),
            other => panic!("{other:?}"),
        }
    }

    /// The next deed, if it can be done.
    fn advance(&mut self, passed: Duration) -> bool {
        let session = self.session.and_then(|id| self.host.session_mut(id)).unwrap();
        match self.deeds.pop_front() {
            None => return false,
            Some(Deed::Say(text)) => {
                let stanza = message(&text);
                if session.send(stanza.clone()).is_ok() {
                    self.sent.extend(stream::to_octets(&stanza).unwrap());
                }
            }
            Some(Deed::Send(mut octets)) => match session.send_bytes(&octets) {
                Ok(0) => {
                    self.deeds.push_front(Deed::Send(octets));
                    return false;
                }
                Ok(taken) => {
                    let rest = octets.split_off(taken);
                    self.sent.extend(octets);
                    if !rest.is_empty() {
                        self.deeds.push_front(Deed::Send(rest));
                    }
                }
                Err(_) => self.deeds.clear(),
            },
            Some(Deed::Until(time)) if time > passed => {
                self.deeds.push_front(Deed::Until(time));
                return false;
            }
            Some(Deed::Until(_)) => {}
            Some(Deed::Close) => session.close(),
            Some(Deed::Abort) => session.abort(),
        }
        true
    }
}

pub fn is_request(stanza: &Element) -> bool {
    matches!(stanza.attr("type"), Some("get" | "set"))
}

fn with_attributes(stanza: &Element, attributes: &[(&str, &str)]) -> Element {
    let mut stanza = stanza.clone();
    for ((_, name), value) in stanza.attrs_mut().iter_mut() {
        if let Some((_, new)) = attributes.iter().find(|(of, _)| *of == name.as_str()) {
            (*new).clone_into(value);
        }
    }
    stanza
}

/// Back to where it came from.
fn turned(stanza: &Element, kind: &str) -> Element {
    let (from, to) = (stanza.attr("from").unwrap(), stanza.attr("to").unwrap());
    with_attributes(stanza, &[("type", kind), ("from", to), ("to", from)])
}

fn without_children(stanza: &Element) -> Element {
    let mut stanza = stanza.clone();
    stanza.take_nodes();
    stanza
}

fn unavailable() -> Element {
    xml(
        "<error xmlns='jabber:client' type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    )
}
