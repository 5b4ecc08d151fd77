//! Two sessions joined in memory, over a network that a test can edit, and an endpoint that encrypts nothing, so that
//! a test can read and write what runs inside the tunnel.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use countersign::error::{Error, Result, Rule};
use countersign::ksf::Ksf;
use countersign::mechanism::{MechanismName, Side};
use countersign::prep::Preparation;
use countersign::registry::{self, SharedPassword};
use countersign::sasl::{self, Policy};
use countersign::secret::Password;
use countersign::tls::{self, Endpoint, Negotiated, certificate};
use countersign::xmpp::session::rules;
use countersign::xmpp::{
    Element, Event, FullJid, InitiatorConfig, Limits, Profile, ResponderConfig, Session, disco, ns, stream,
};
use rand_core::{TryCryptoRng, TryRng};

use crate::confirmation;

pub const ALICE: &str = "alice@atlanta.example/lap";
pub const BOB: &str = "bob@biloxi.example/tab";
pub const PASSWORD: &str = "correct horse";

/// Octets that count up from a start.
pub struct CountingRng(pub u8);

impl TryRng for CountingRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        for octet in octets {
            *octet = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for CountingRng {}

/// An endpoint without secrets: frames of a letter, a length and content. `H` is the whole handshake and holds the
/// certificate, `D` is data, `R` a key update, `C` close_notify.
pub struct Plain {
    side: Side,
    certificate: Vec<u8>,
    peer_certificate: Option<Vec<u8>>,
    inbox: Vec<u8>,
    out: Vec<u8>,
    unread: Vec<u8>,
    closed: bool,
    peer_closed: bool,
}

pub fn frame(letter: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[letter], &length[..], content].concat()
}

impl Plain {
    pub fn new(side: Side) -> Self {
        let certificate = format!("certificate of the {side:?}").into_bytes();
        let out = if side == Side::Client { frame(b'H', &certificate) } else { vec![] };
        Self {
            side,
            certificate,
            peer_certificate: None,
            inbox: vec![],
            out,
            unread: vec![],
            closed: false,
            peer_closed: false,
        }
    }
}

impl Endpoint for Plain {
    fn side(&self) -> Side {
        self.side
    }

    fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        self.inbox.extend_from_slice(ciphertext);
        while self.inbox.len() >= 5 {
            let length = u32::from_be_bytes(self.inbox[1..5].try_into().unwrap()) as usize;
            if self.inbox.len() < 5 + length {
                break;
            }
            let content = self.inbox[5..5 + length].to_vec();
            match self.inbox[0] {
                b'H' => {
                    self.peer_certificate = Some(content);
                    if self.side == Side::Server {
                        self.out.extend(frame(b'H', &self.certificate));
                    }
                }
                b'D' => self.unread.extend(content),
                b'R' => {}
                b'C' => self.peer_closed = true,
                _ => return Err(Error::new(&tls::rules::HANDSHAKE)),
            }
            self.inbox.drain(..5 + length);
        }
        Ok(())
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    fn is_handshaking(&self) -> bool {
        self.peer_certificate.is_none()
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.unread);
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        if self.closed {
            return Err(Error::new(&tls::rules::CLOSED));
        }
        if !plaintext.is_empty() {
            self.out.extend(frame(b'D', plaintext));
        }
        Ok(())
    }

    fn export(&self, _label: &[u8], _context: &[u8], out: &mut [u8]) -> Result<()> {
        out.fill(7);
        Ok(())
    }

    fn rekey(&mut self) -> Result<()> {
        self.out.extend(frame(b'R', b""));
        Ok(())
    }

    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.out.extend(frame(b'C', b""));
        }
    }

    fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    fn negotiated(&self) -> Option<Negotiated> {
        None
    }

    fn certificate(&self) -> Option<&[u8]> {
        Some(&self.certificate)
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }
}

/// A real endpoint.
pub fn rustls(side: Side) -> Box<dyn Endpoint> {
    let config = certificate::Config::new(certificate::Identity::generate().unwrap()).unwrap();
    match side {
        Side::Client => Box::new(certificate::RustlsEndpoint::client(&config).unwrap()),
        Side::Server => Box::new(certificate::RustlsEndpoint::server(&config).unwrap()),
    }
}

pub fn plain(side: Side) -> Box<dyn Endpoint> {
    Box::new(Plain::new(side))
}

pub fn name(name: &str) -> MechanismName {
    name.parse().unwrap()
}

pub fn jid(text: &str) -> FullJid {
    FullJid::new(text).unwrap()
}

pub fn xml(text: &str) -> Element {
    text.parse().unwrap()
}

pub fn message(body: &str) -> Element {
    xml(&format!("<message xmlns='jabber:client'><body>{body}</body></message>"))
}

pub fn policy() -> Policy {
    Policy::named([name("SCRAM-SHA-256-PLUS"), name("SCRAM-SHA-1-PLUS")])
}

pub fn store(authcid: &str) -> Arc<SharedPassword> {
    let password = Password::new(PASSWORD);
    let store = SharedPassword::new(authcid, password, Preparation::SaslPrep, CountingRng(99)).unwrap();
    Arc::new(store.with_scram_iterations(4096).with_ksf(Ksf::CHEAPEST))
}

pub fn alice_config() -> InitiatorConfig {
    InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new(PASSWORD)).with_policy(policy())
}

pub fn bob_config() -> ResponderConfig {
    ResponderConfig::new(jid(BOB), store("alice@atlanta.example")).with_policy(policy())
}

/// Every PAKE that runs in the tunnel.
pub fn pakes() -> impl Iterator<Item = &'static MechanismName> {
    // SCRAM's messages hold the context besides the proof; it has tests of its own.
    registry::all()
        .iter()
        .filter(|row| row.properties().needs_binding && !row.name().as_str().starts_with("SCRAM"))
        .map(|row| row.name())
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    Alice,
    Bob,
}

type Edit = Box<dyn FnMut(From, Element) -> Vec<Element>>;

/// Alice and Bob, and the servers between them.
pub struct Pair {
    pub alice: Session,
    pub bob: Option<Session>,
    pub now: Instant,
    bob_config: Option<(ResponderConfig, Box<dyn Endpoint>)>,
    edit: Edit,
    pub log: Vec<String>,
    /// Events of Alice and of Bob that were polled.
    pub events: [Vec<Event>; 2],
    /// Whether each of them polls events.
    pub reading: [bool; 2],
}

impl Pair {
    /// With endpoints that encrypt nothing.
    pub fn new() -> Self {
        Self::with(alice_config(), bob_config(), plain)
    }

    pub fn limited(limits: &Limits) -> Self {
        let (alice, bob) = (alice_config(), bob_config());
        Self::with(alice.with_limits(limits.clone()), bob.with_limits(limits.clone()), plain)
    }

    pub fn with(
        alice: InitiatorConfig,
        bob: ResponderConfig,
        endpoint: impl Fn(Side) -> Box<dyn Endpoint>,
    ) -> Self {
        Self::at(Instant::now(), alice, bob, endpoint)
    }

    pub fn at(
        now: Instant,
        alice: InitiatorConfig,
        bob: ResponderConfig,
        endpoint: impl Fn(Side) -> Box<dyn Endpoint>,
    ) -> Self {
        let rng = Box::new(CountingRng(0));
        Self {
            alice: Session::initiate(alice, endpoint(Side::Client), rng, now).unwrap(),
            bob: None,
            now,
            bob_config: Some((bob, endpoint(Side::Server))),
            edit: Box::new(|_, stanza| vec![stanza]),
            log: vec![],
            events: [vec![], vec![]],
            reading: [true, true],
        }
    }

    /// Edits, drops or repeats what the servers carry.
    pub fn edited(mut self, edit: impl FnMut(From, Element) -> Vec<Element> + 'static) -> Self {
        self.edit = Box::new(edit);
        self
    }

    /// Carries stanzas until there are none.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Carries one stanza each way, and polls events.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        if let Some(stanza) = self.alice.poll_stanza() {
            moved = true;
            self.carry(&stanza);
        }
        if let Some(stanza) = self.bob.as_mut().and_then(Session::poll_stanza) {
            moved = true;
            for stanza in (self.edit)(From::Bob, stanza) {
                self.log.push(format!("< {}", show(&stanza)));
                self.alice.handle(&stanza, self.now);
            }
        }
        self.poll_events();
        moved
    }

    /// Carries a stanza of Alice's.
    pub fn carry(&mut self, stanza: &Element) {
        for stanza in (self.edit)(From::Alice, stanza.clone()) {
            self.log.push(format!("> {}", show(&stanza)));
            self.deliver(&stanza);
        }
    }

    fn deliver(&mut self, stanza: &Element) {
        let payload = stanza.children().next();
        if payload.is_some_and(disco::is_query) {
            let mut answer = Element::bare("iq", ns::CLIENT);
            *answer.attrs_mut() = xml(&format!(
                "<iq xmlns='jabber:client' type='result' id='{}' from='{BOB}' to='{ALICE}'/>",
                stanza.attr("id").unwrap()
            ))
            .attrs()
            .clone();
            answer.append_child(disco::answer());
            for answer in (self.edit)(From::Bob, answer) {
                self.log.push(format!("< {}", show(&answer)));
                self.alice.handle(&answer, self.now);
            }
        } else if let Some(bob) = &mut self.bob {
            bob.handle(stanza, self.now);
        } else if let Some((config, endpoint)) = self.bob_config.take() {
            let rng = Box::new(CountingRng(128));
            self.bob = Session::respond(config, endpoint, rng, stanza, self.now).ok();
        }
    }

    pub fn poll_events(&mut self) {
        if self.reading[0] {
            self.events[0].extend(std::iter::from_fn(|| self.alice.poll_event()));
        }
        if let Some(bob) = self.bob.as_mut().filter(|_| self.reading[1]) {
            self.events[1].extend(std::iter::from_fn(|| bob.poll_event()));
        }
    }

    /// Lets time pass on both sides at once.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.alice.tick(self.now);
        if let Some(bob) = &mut self.bob {
            bob.tick(self.now);
        }
        self.run();
    }

    pub fn bob(&mut self) -> &mut Session {
        self.bob.as_mut().unwrap()
    }

    /// Runs until both sides are established.
    pub fn established(mut self) -> Self {
        self.run();
        for events in &mut self.events {
            assert!(matches!(events[..], [Event::Established(_)]), "{events:?}");
            events.clear();
        }
        self
    }

    /// The rule that Alice's session broke.
    pub fn alice_failed(&self, rule: &'static Rule) {
        failed(&self.events[0], rule);
        assert!(self.alice.has_ended());
    }

    /// The rule that Bob's session broke.
    pub fn bob_failed(&self, rule: &'static Rule) {
        failed(&self.events[1], rule);
        assert!(self.bob.as_ref().unwrap().has_ended());
    }

    /// The confirmation of this PAKE has failed at the end whose turn it was, which told the other.
    pub fn confirmation_failed(&self, mechanism: &MechanismName) {
        let rule = confirmation::rule(mechanism.as_str());
        if confirmation::is_found_by_server(mechanism.as_str()) {
            self.bob_failed(rule);
            self.alice_failed(&sasl::rules::REFUSED_BY_PEER);
        } else {
            self.alice_failed(rule);
            self.bob_failed(&rules::ABORTED_BY_PEER);
        }
    }

    /// Whether the session has come up at both ends, and nothing else has happened.
    pub fn is_established(&self) -> bool {
        self.events.iter().all(|events| matches!(events[..], [Event::Established(_)]))
    }

    /// The reasons in all session-terminate stanzas, as `> success`.
    pub fn reasons(&self) -> Vec<String> {
        let mark = "action='session-terminate'";
        self.log
            .iter()
            .filter(|line| line.contains(mark))
            .map(|line| {
                let after = line.split("<reason><").nth(1).unwrap();
                format!("{} {}", &line[..1], after.split("/>").next().unwrap())
            })
            .collect()
    }
}

fn failed(events: &[Event], rule: &'static Rule) {
    match events.last() {
        Some(Event::Failed(error)) if error.is(rule) => {}
        other => panic!("expected {}, got {other:?}", rule.id),
    }
    assert!(!events.iter().any(|event| matches!(event, Event::Established(_))) || events.len() > 1);
}

/// A stanza as text, with the frames inside of `<data/>` readable and what the mechanism says left out.
pub fn show(stanza: &Element) -> String {
    let data = stanza.get_child("data", ns::IBB);
    let Some(data) = data else {
        return String::from_utf8(stream::to_octets(stanza).unwrap()).unwrap();
    };
    let mut text = format!("data {}", data.attr("seq").unwrap_or("?"));
    let octets = Base64::decode_vec(&data.text()).unwrap_or_default();
    let mut octets = &octets[..];
    while octets.len() >= 5 {
        let length = u32::from_be_bytes(octets[1..5].try_into().unwrap()) as usize;
        let Some(content) = octets.get(5..5 + length) else { break };
        text.push(' ');
        text.push(char::from(octets[0]));
        if octets[0] == b'D' {
            text.push(' ');
            text.push_str(&masked(&String::from_utf8_lossy(content)));
        }
        octets = &octets[5 + length..];
    }
    text
}

/// Puts `…` in the place of the content of SASL elements.
fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    for name in ["auth", "initial-response", "challenge", "response", "success", "additional-data"] {
        let start = masked.find(&format!("<{name}")).and_then(|at| Some(at + masked[at..].find('>')? + 1));
        let end = masked.find(&format!("</{name}>"));
        if let (Some(start), Some(end)) = (start, end)
            && start < end
            && !masked[start..end].contains('<')
        {
            masked.replace_range(start..end, "…");
        }
    }
    masked
}

/// One side written by the test, the other a session: what the test says inside the tunnel goes out in blocks.
pub struct Script {
    pub session: Session,
    pub now: Instant,
    seq: u16,
    ids: u32,
    stream: String,
    outgoing: VecDeque<Element>,
    /// What the session sent inside the tunnel.
    pub heard: String,
    pub closed: bool,
}

impl Script {
    /// The test plays Bob, and Alice waits for his features: she knows only RFC 6120. The TLS handshake is over.
    pub fn bob() -> Self {
        Self::bob_of(Profile::Sasl)
    }

    /// The test plays Bob; the TLS handshake is over.
    pub fn bob_of(profile: Profile) -> Self {
        let mut pair = Pair::with(alice_config().with_profile(profile), bob_config(), plain);
        let now = pair.now;
        while pair.bob.is_none() {
            pair.step();
        }
        // Alice gets Bob's acceptance; from there on Bob is the test.
        while pair.log.iter().filter(|line| line.contains("session-accept")).count() == 0 {
            pair.step();
        }
        Self::take_over(pair.alice, now, Side::Server)
    }

    /// The test plays Alice; the TLS handshake is over.
    pub fn alice() -> Self {
        let mut pair = Pair::new();
        let now = pair.now;
        while pair.log.iter().filter(|line| line.contains("<open")).count() == 0 {
            pair.step();
        }
        Self::take_over(pair.bob.take().unwrap(), now, Side::Client)
    }

    /// The test plays Alice, who has proven the password; what the session has said so far is forgotten.
    pub fn alice_established() -> Self {
        let mut pair = Pair::new().established();
        let now = pair.now;
        let blocks = pair.log.iter().filter(|line| line.starts_with("> data")).count();
        let mut script = Self::with(pair.bob.take().unwrap(), now);
        script.seq = u16::try_from(blocks).unwrap();
        script
    }

    fn take_over(session: Session, now: Instant, side: Side) -> Self {
        let mut script = Self::with(session, now);
        script.run();
        let certificate = format!("certificate of the {side:?}").into_bytes();
        script.frame(b'H', &certificate);
        script
    }

    fn with(session: Session, now: Instant) -> Self {
        Self {
            session,
            now,
            seq: 0,
            ids: 0,
            stream: "101112131415161718191a1b1c1d1e1f".to_owned(),
            outgoing: VecDeque::new(),
            heard: String::new(),
            closed: false,
        }
    }

    /// Says something inside the tunnel.
    pub fn say(&mut self, text: &str) {
        self.frame(b'D', text.as_bytes());
    }

    pub fn frame(&mut self, letter: u8, content: &[u8]) {
        for block in frame(letter, content).chunks(4096) {
            let data = format!(
                "<data xmlns='{}' seq='{}' sid='{}'>{}</data>",
                ns::IBB,
                self.seq,
                self.stream,
                Base64::encode_string(block)
            );
            self.seq += 1;
            self.request(&data);
        }
    }

    /// Sends a request with this payload, and answers everything that comes.
    pub fn request(&mut self, payload: &str) {
        self.ids += 1;
        let (from, to) = self.addresses();
        let iq = xml(&format!(
            "<iq xmlns='jabber:client' type='set' id='t{}' from='{from}' to='{to}'>{payload}</iq>",
            self.ids
        ));
        assert!(self.session.handle(&iq, self.now));
        self.run();
    }

    fn addresses(&self) -> (&'static str, &'static str) {
        if self.session.side() == Side::Client { (BOB, ALICE) } else { (ALICE, BOB) }
    }

    fn run(&mut self) {
        while let Some(stanza) = self.session.poll_stanza() {
            if matches!(stanza.attr("type"), Some("set" | "get")) {
                let (from, to) = self.addresses();
                let answer = xml(&format!(
                    "<iq xmlns='jabber:client' type='result' id='{}' from='{from}' to='{to}'/>",
                    stanza.attr("id").unwrap()
                ));
                self.session.handle(&answer, self.now);
            }
            if let Some(data) = stanza.get_child("data", ns::IBB) {
                let shown = show(&stanza);
                self.closed |= shown.ends_with(" C");
                let _ = data;
                self.heard.push_str(&shown);
                self.heard.push('\n');
            }
            self.outgoing.push_back(stanza);
        }
    }

    /// The reason of the session-terminate that the session sent.
    pub fn reason(&self) -> Option<String> {
        self.outgoing.iter().find_map(|stanza| {
            let jingle = stanza.get_child("jingle", ns::JINGLE)?;
            Some(jingle.get_child("reason", ns::JINGLE)?.children().next()?.name().to_owned())
        })
    }

    /// The last event must be this failure.
    pub fn failed(&mut self, rule: &'static Rule) {
        let events = std::iter::from_fn(|| self.session.poll_event()).collect::<Vec<_>>();
        assert!(!events.iter().any(|event| matches!(event, Event::Established(_) | Event::Stanza(_))));
        failed(&events, rule);
    }
}
