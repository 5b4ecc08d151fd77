//! The man in the middle.
//!
//! For each session he ends TLS twice, as the server towards the initiator and as the client towards the responder,
//! tells each side the fingerprint of his own certificate, and passes the plaintext on unchanged. Blocks, sequence
//! numbers and acknowledgements of the two legs have nothing to do with each other.

use std::collections::VecDeque;

use base64ct::{Base64, Encoding};
use minidom::Element;

use super::{Attacker, Report, SAMPLE_MAX, jingle_mut, securities_mut};
use crate::error::Result;
use crate::tls::certificate::{Config, Identity, RustlsEndpoint};
use crate::tls::{Endpoint, Fingerprint};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::ibb::BLOCK_MIN;
use crate::xmpp::ns;
use crate::xmpp::server::replies::result;

/// Sessions relayed at a time; the oldest is forgotten first.
const SESSIONS_MAX: usize = 16;

/// Octets that may wait in one session for a slow end; the session is given up then.
const WAITING_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Relay {
    sessions: VecDeque<Session>,
    requests: u64,
    report: Report,
}

/// One session: two connections.
struct Session {
    jingle_sid: String,
    ibb_sid: String,
    /// The identifier of the `<open/>` that has not been answered.
    opening: Option<String>,
    /// Towards the initiator we are the TLS server, towards the responder the TLS client.
    legs: [Leg; 2],
}

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;

/// Our connection with one of the two ends.
struct Leg {
    end: String,
    endpoint: RustlsEndpoint,
    block: usize,
    next_seq: u16,
    expected_seq: u16,
    /// The identifier of the block that has not been acknowledged.
    unacknowledged: Option<String>,
    queue: VecDeque<Queued>,
    /// Read on the other leg, and to be sent here once the handshake is done.
    plaintext: Vec<u8>,
    broken: bool,
}

/// What goes to one end, in this order.
enum Queued {
    Block(Vec<u8>),
    /// A stanza of the other end that must not overtake its data.
    Stanza(Element),
}

impl Attacker for Relay {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if jingle_mut(&mut stanza, &["session-initiate"]).is_some() {
            self.begin(&stanza);
            self.replace_fingerprints(&mut stanza, RESPONDER);
        } else if jingle_mut(&mut stanza, &["session-accept"]).is_some() {
            self.note_block_size(&stanza);
            self.replace_fingerprints(&mut stanza, INITIATOR);
        }
        let Some((index, sender)) = self.find(&stanza) else {
            return vec![stanza];
        };
        let mut out = Vec::new();
        let session = &mut self.sessions[index];
        let receiver = 1 - sender;
        if let Some(data) = stanza.get_child("data", ns::IBB) {
            out.push(result(&stanza, None));
            session.legs[sender].take_in(data);
        } else if let Some(open) = stanza.get_child("open", ns::IBB) {
            session.opening = stanza.attr("id").map(str::to_owned);
            session.set_block_size(open.attr("block-size"));
            out.push(stanza);
        } else if session.opening.is_some() && session.opening.as_deref() == stanza.attr("id") {
            session.opening = None;
            out.push(stanza);
        } else if session.legs[sender].acknowledge(&stanza) {
            // It answers our own block: the other end knows nothing of it.
        } else if session.opening.is_none() {
            // What ends a session must not overtake its data.
            session.legs[receiver].queue.push_back(Queued::Stanza(stanza));
        } else {
            out.push(stanza);
        }
        session.exchange_plaintext(&mut self.report);
        if session.opening.is_none() {
            for (leg, other) in [(INITIATOR, RESPONDER), (RESPONDER, INITIATOR)] {
                let impersonated = session.legs[other].end.clone();
                session.legs[leg].flush(&impersonated, &session.ibb_sid, &mut self.requests, &mut out);
            }
        }
        out
    }

    fn report(&self) -> Report {
        self.report.clone()
    }
}

impl Relay {
    fn begin(&mut self, initiate: &Element) {
        let Some(session) = Session::new(initiate) else { return };
        if self.sessions.len() == SESSIONS_MAX {
            self.sessions.pop_front();
        }
        self.sessions.push_back(session);
    }

    fn note_block_size(&mut self, accept: &Element) {
        let size = transport(accept).and_then(|transport| transport.attr("block-size"));
        if let Some((index, RESPONDER)) = self.find(accept) {
            self.sessions[index].set_block_size(size);
        }
    }

    /// Names the certificate that the end at `leg` will see.
    fn replace_fingerprints(&mut self, stanza: &mut Element, leg: usize) {
        let Some((index, _)) = self.find(stanza) else { return };
        let Some(certificate) = self.sessions[index].legs[leg].endpoint.certificate() else { return };
        let ours = Fingerprint::of(certificate).to_string();
        let Some(jingle) = stanza.get_child_mut("jingle", ns::JINGLE) else { return };
        for fingerprint in securities_mut(jingle)
            .flat_map(Element::children_mut)
            .filter(|child| child.name() == "fingerprint")
        {
            fingerprint.take_nodes();
            fingerprint.append_text(ours.as_str());
            self.report.edited += 1;
        }
    }

    /// The session that a stanza belongs to, and which end has sent it.
    fn find(&self, stanza: &Element) -> Option<(usize, usize)> {
        let (from, to) = (stanza.attr("from")?, stanza.attr("to")?);
        let jingle_sid = stanza.get_child("jingle", ns::JINGLE).map(|jingle| jingle.attr("sid"));
        let ibb_sid = stanza.children().find(|child| child.has_ns(ns::IBB)).map(|child| child.attr("sid"));
        self.sessions.iter().enumerate().rev().find_map(|(index, session)| {
            let [initiator, responder] = &session.legs;
            let sender = match (from, to) {
                (from, to) if from == initiator.end && to == responder.end => INITIATOR,
                (from, to) if from == responder.end && to == initiator.end => RESPONDER,
                _ => return None,
            };
            let belongs = match (jingle_sid, ibb_sid) {
                (Some(sid), _) => sid == Some(&session.jingle_sid),
                (None, Some(sid)) => sid == Some(&session.ibb_sid),
                (None, None) => {
                    let id = stanza.attr("id");
                    stanza.name() == "iq"
                        && (session.opening.as_deref() == id
                            || session.legs[sender].unacknowledged.as_deref() == id)
                }
            };
            belongs.then_some((index, sender))
        })
    }
}

impl Session {
    fn new(initiate: &Element) -> Option<Self> {
        let jingle = initiate.get_child("jingle", ns::JINGLE)?;
        let transport = transport(initiate)?;
        let leg = |end: &str, endpoint: Result<RustlsEndpoint>| {
            Some(Leg {
                end: end.to_owned(),
                endpoint: endpoint.ok()?,
                block: usize::from(crate::xmpp::IBB_BLOCK),
                next_seq: 0,
                expected_seq: 0,
                unacknowledged: None,
                queue: VecDeque::new(),
                plaintext: Vec::new(),
                broken: false,
            })
        };
        let config = || Identity::generate().and_then(Config::new);
        let mut session = Self {
            jingle_sid: jingle.attr("sid")?.to_owned(),
            ibb_sid: transport.attr("sid")?.to_owned(),
            // Nothing may be sent before the transport is open; no identifier is empty.
            opening: Some(String::new()),
            legs: [
                leg(initiate.attr("from")?, config().and_then(|config| RustlsEndpoint::server(&config)))?,
                leg(initiate.attr("to")?, config().and_then(|config| RustlsEndpoint::client(&config)))?,
            ],
        };
        session.set_block_size(transport.attr("block-size"));
        Some(session)
    }

    fn set_block_size(&mut self, size: Option<&str>) {
        if let Some(size) = size.and_then(|size| size.parse::<u16>().ok()).filter(|size| *size >= BLOCK_MIN) {
            for leg in &mut self.legs {
                leg.block = leg.block.min(usize::from(size));
            }
        }
    }

    /// Reads on each leg what can be read and writes it on the other.
    fn exchange_plaintext(&mut self, report: &mut Report) {
        let [initiator, responder] = &mut self.legs;
        report.read_from_initiator += pass_on(initiator, responder, &mut report.sample);
        report.read_from_responder += pass_on(responder, initiator, &mut report.sample);
    }
}

fn pass_on(from: &mut Leg, to: &mut Leg, sample: &mut Vec<u8>) -> u64 {
    let mut read = Vec::new();
    from.endpoint.read(&mut read);
    sample.extend(read.iter().take(SAMPLE_MAX.saturating_sub(sample.len())));
    to.plaintext.extend_from_slice(&read);
    if !to.endpoint.is_handshaking() {
        let plaintext = std::mem::take(&mut to.plaintext);
        if !plaintext.is_empty() && to.endpoint.write(&plaintext).is_err() {
            to.broken = true;
        }
        if from.endpoint.peer_has_closed() {
            to.endpoint.close();
        }
    }
    read.len() as u64
}

impl Leg {
    fn take_in(&mut self, data: &Element) {
        let in_order = data.attr("seq").and_then(|seq| seq.parse::<u16>().ok()) == Some(self.expected_seq);
        let Some(ciphertext) = Base64::decode_vec(&data.text()).ok().filter(|_| in_order) else {
            self.broken = true;
            return;
        };
        self.expected_seq = self.expected_seq.wrapping_add(1);
        // An alert is the end of this leg; the end itself tells the other one by session-terminate.
        self.broken |= self.endpoint.receive(&ciphertext).is_err();
    }

    /// Whether `stanza` answers our own block.
    fn acknowledge(&mut self, stanza: &Element) -> bool {
        if self.unacknowledged.is_none() || self.unacknowledged.as_deref() != stanza.attr("id") {
            return false;
        }
        self.unacknowledged = None;
        self.broken |= stanza.attr("type") == Some("error");
        true
    }

    /// Sends what may be sent: one block at a time.
    fn flush(&mut self, impersonated: &str, sid: &str, requests: &mut u64, out: &mut Vec<Element>) {
        let mut ciphertext = Vec::new();
        self.endpoint.transmit(&mut ciphertext);
        // Behind a stanza that closes the transport nothing can be sent.
        self.queue.extend(ciphertext.chunks(self.block).map(|block| Queued::Block(block.to_vec())));
        let waiting = self.plaintext.len() + self.queue.len() * self.block;
        self.broken |= waiting > WAITING_MAX;
        if self.broken {
            self.queue.retain(|queued| matches!(queued, Queued::Stanza(_)));
        }
        loop {
            match self.queue.pop_front() {
                Some(Queued::Stanza(stanza)) => out.push(stanza),
                Some(Queued::Block(block)) if self.unacknowledged.is_none() => {
                    *requests += 1;
                    let id = format!("relay-{requests}");
                    out.push(self.block_stanza(impersonated, sid, &id, &block));
                    self.unacknowledged = Some(id);
                }
                Some(block) => {
                    self.queue.push_front(block);
                    return;
                }
                None => return,
            }
        }
    }

    fn block_stanza(&mut self, impersonated: &str, sid: &str, id: &str, block: &[u8]) -> Element {
        let mut data = Element::bare("data", ns::IBB);
        set_attribute(&mut data, "sid", sid);
        set_attribute(&mut data, "seq", &self.next_seq.to_string());
        data.append_text(Base64::encode_string(block));
        self.next_seq = self.next_seq.wrapping_add(1);
        let mut iq = Element::bare("iq", ns::CLIENT);
        for (name, value) in [("type", "set"), ("id", id), ("from", impersonated), ("to", self.end.as_str())]
        {
            set_attribute(&mut iq, name, value);
        }
        iq.append_child(data);
        iq
    }
}

fn transport(stanza: &Element) -> Option<&Element> {
    let content = stanza.get_child("jingle", ns::JINGLE)?.get_child("content", ns::JINGLE)?;
    content.get_child("transport", ns::JINGLE_IBB)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::context::Context;
    use crate::mechanism::{MechanismName, Side};
    use crate::prep::Preparation;
    use crate::registry::{self, ClientSetup, ServerSetup, SharedPassword};
    use crate::sasl::{ClientExchange, ServerExchange, ServerStep};
    use crate::scram;
    use crate::secret::Password;
    use crate::tls::Handshake;

    const ALICE: &str = "alice@home.example/lap";
    const BOB: &str = "bob@home.example/tab";

    /// An end without any authentication of its own: blocks and TLS.
    struct End {
        own: &'static str,
        peer: &'static str,
        endpoint: RustlsEndpoint,
        block: usize,
        seq: u16,
    }

    impl End {
        fn new(own: &'static str, peer: &'static str, side: Side, block: usize) -> Self {
            let config = Config::new(Identity::generate().unwrap()).unwrap();
            let endpoint = match side {
                Side::Client => RustlsEndpoint::client(&config).unwrap(),
                Side::Server => RustlsEndpoint::server(&config).unwrap(),
            };
            Self { own, peer, endpoint, block, seq: 0 }
        }

        fn iq(&self, id: &str, payload: &str) -> Element {
            let Self { own, peer, .. } = self;
            format!("<iq xmlns='jabber:client' type='set' id='{id}' from='{own}' to='{peer}'>{payload}</iq>")
                .parse()
                .unwrap()
        }

        fn blocks(&mut self) -> Vec<Element> {
            let mut ciphertext = Vec::new();
            self.endpoint.transmit(&mut ciphertext);
            let mut blocks = Vec::new();
            for block in ciphertext.chunks(self.block) {
                let (seq, text) = (self.seq, Base64::encode_string(block));
                let data =
                    format!("<data xmlns='http://jabber.org/protocol/ibb' sid='b' seq='{seq}'>{text}</data>");
                blocks.push(self.iq(&format!("{}{seq}", self.own.len()), &data));
                self.seq = self.seq.wrapping_add(1);
            }
            blocks
        }

        fn jingle(&self, action: &str, content: &str) -> Element {
            let fingerprint = Fingerprint::of(self.endpoint.certificate().unwrap());
            let block = self.block;
            self.iq(
                action,
                &format!(
                    "<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='j'>\
                     <content creator='initiator' name='e2e'>\
                     <transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='{block}' sid='b'/>\
                     <security xmlns='urn:xmpp:jingle:security:xtls:0'>\
                     <fingerprint algo='sha-256'>{fingerprint}</fingerprint>{content}</security></content></jingle>"
                ),
            )
        }

        fn read(&mut self) -> Vec<u8> {
            let mut read = Vec::new();
            self.endpoint.read(&mut read);
            read
        }
    }

    /// Both ends with the relay in between.
    struct World {
        alice: End,
        bob: End,
        relay: Relay,
    }

    impl World {
        /// Opens the session up to the finished handshakes.
        fn open(block_of_bob: usize) -> Self {
            let alice = End::new(ALICE, BOB, Side::Client, 4096);
            let bob = End::new(BOB, ALICE, Side::Server, block_of_bob);
            let mut world = Self { alice, bob, relay: Relay::default() };
            for (stanza, end) in [
                (world.alice.jingle("session-initiate", ""), "session-initiate"),
                (world.bob.jingle("session-accept", ""), "session-accept"),
            ] {
                let before = String::from(&stanza);
                let [passed] = world.relay.intercept(stanza).try_into().unwrap();
                assert_ne!(String::from(&passed), before, "{end}: the fingerprint was not replaced");
            }
            world.alice.block = block_of_bob;
            let open =
                format!("<open xmlns='http://jabber.org/protocol/ibb' sid='b' block-size='{block_of_bob}'/>");
            let open = world.alice.iq("open", &open);
            assert_eq!(world.relay.intercept(open.clone()), std::slice::from_ref(&open));
            world.run(vec![result(&open, None)]);
            assert!(!world.alice.endpoint.is_handshaking() && !world.bob.endpoint.is_handshaking());
            world
        }

        /// Passes stanzas until nothing moves.
        fn run(&mut self, mut stanzas: Vec<Element>) {
            loop {
                stanzas.extend(self.alice.blocks());
                stanzas.extend(self.bob.blocks());
                if stanzas.is_empty() {
                    return;
                }
                for stanza in std::mem::take(&mut stanzas) {
                    for stanza in self.relay.intercept(stanza) {
                        let end =
                            if stanza.attr("to") == Some(ALICE) { &mut self.alice } else { &mut self.bob };
                        if let Some(data) = stanza.get_child("data", ns::IBB) {
                            end.endpoint.receive(&Base64::decode_vec(&data.text()).unwrap()).unwrap();
                            stanzas.push(result(&stanza, None));
                        }
                    }
                }
            }
        }

        fn alice_says(&mut self, message: &[u8]) -> Vec<u8> {
            self.alice.endpoint.write(message).unwrap();
            self.run(vec![]);
            self.bob.read()
        }

        fn bob_says(&mut self, message: &[u8]) -> Vec<u8> {
            self.bob.endpoint.write(message).unwrap();
            self.run(vec![]);
            self.alice.read()
        }

        /// Alice authenticates to Bob; what each finds out.
        fn authenticate(&mut self, name: MechanismName) -> Result<()> {
            let password = Password::new("correct horse");
            let rng = &mut crate::system_rng();
            let binding = |world: &End| {
                let mut value = [0; 32];
                world.endpoint.export(crate::binding::EXPORTER_LABEL, &[], &mut value).unwrap();
                name.is_plus().then(|| crate::ChannelBinding::tls_exporter(value))
            };
            let context = Context::between(ALICE, BOB).with_mechanisms([name.clone()]);
            let store =
                SharedPassword::new("alice", password.clone(), Preparation::default(), crate::system_rng());
            let row = registry::find(&name)?;
            let client = row.client(
                ClientSetup {
                    authcid: "alice".into(),
                    authzid: None,
                    password,
                    preparation: Preparation::default(),
                    binding: binding(&self.alice),
                    context: context.clone(),
                },
                rng,
            )?;
            let credentials = Arc::new(store?.with_scram_iterations(4096));
            let server =
                row.server(ServerSetup { credentials, binding: binding(&self.bob), context }, rng)?;
            let (mut client, initial) = ClientExchange::start(client)?;
            let initial = self.alice_says(&initial.unwrap());
            let (mut server, mut step) = ServerExchange::start(server, Some(&initial))?;
            loop {
                match step {
                    ServerStep::Challenge(challenge) => {
                        let challenge = self.bob_says(&challenge);
                        let response = client.challenge(&challenge)?;
                        let response = self.alice_says(&response);
                        step = server.response(&response)?;
                    }
                    ServerStep::Success(additional, _) => {
                        let additional = self.bob_says(&additional.unwrap());
                        return client.success(Some(&additional)).map(drop);
                    }
                }
            }
        }
    }

    fn contains(all: &[u8], part: &[u8]) -> bool {
        all.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn an_unbound_authentication_falls_to_the_relay() {
        let mut world = World::open(4096);
        world.authenticate("SCRAM-SHA-256".parse().unwrap()).unwrap();
        assert_eq!(world.alice_says(b"the secret of Alice"), b"the secret of Alice");
        assert_eq!(world.bob_says(b"the secret of Bob"), b"the secret of Bob");
        let report = world.relay.report();
        assert!(contains(&report.sample, b"the secret of Alice"));
        assert!(contains(&report.sample, b"the secret of Bob"));
        assert_eq!(report.edited, 2);
        // Neither has the other's certificate in front of him.
        assert_ne!(world.alice.endpoint.peer_certificate(), world.bob.endpoint.certificate());
        assert_ne!(world.bob.endpoint.peer_certificate(), world.alice.endpoint.certificate());
    }

    #[test]
    fn a_bound_authentication_does_not() {
        let mut world = World::open(4096);
        let error = world.authenticate("SCRAM-SHA-256-PLUS".parse().unwrap()).unwrap_err();
        assert!(error.is(&scram::rules::BINDING_MISMATCH), "{error:?}");
        // He has read every message, so it is the binding that stopped him.
        let report = world.relay.report();
        assert!(contains(&report.sample, b"p=tls-exporter"));
        assert!(report.read_from_initiator > 0 && report.read_from_responder > 0);
    }

    #[test]
    fn much_data_passes_in_small_blocks_both_ways() {
        let mut world = World::open(200);
        let mut text = String::new();
        for line in 0..10_000 {
            writeln!(text, "line {line}").unwrap();
        }
        assert!(world.alice_says(text.as_bytes()) == text.as_bytes());
        assert!(world.bob_says(text.as_bytes()) == text.as_bytes());
        let report = world.relay.report();
        assert_eq!(report.read_from_initiator, text.len() as u64);
        assert_eq!(report.read_from_responder, text.len() as u64);
        assert_eq!(report.sample.len(), SAMPLE_MAX);
    }

    #[test]
    fn the_close_of_one_end_reaches_the_other_after_its_data() {
        let mut world = World::open(4096);
        world.alice.endpoint.write(b"last words").unwrap();
        world.alice.endpoint.close();
        world.run(vec![]);
        assert_eq!(world.bob.read(), b"last words");
        assert!(world.bob.endpoint.peer_has_closed());
        let close = world.alice.iq("close", "<close xmlns='http://jabber.org/protocol/ibb' sid='b'/>");
        assert_eq!(world.relay.intercept(close.clone()), [close]);
    }

    #[test]
    fn an_end_that_does_not_acknowledge_is_given_up() {
        for (octets, given_up) in [(WAITING_MAX / 2, false), (WAITING_MAX + 8192, true)] {
            let mut world = World::open(4096);
            world.alice.endpoint.write(&vec![0; octets]).unwrap();
            for block in world.alice.blocks() {
                world.relay.intercept(block);
            }
            let leg = &world.relay.sessions[0].legs[RESPONDER];
            assert_eq!((leg.broken, leg.queue.is_empty()), (given_up, given_up));
        }
    }

    #[test]
    fn stanzas_of_no_session_pass_untouched() {
        let mut world = World::open(4096);
        for stanza in [
            world
                .alice
                .iq("x", "<data xmlns='http://jabber.org/protocol/ibb' sid='other' seq='0'>AAAA</data>"),
            world.alice.iq("y", "<query xmlns='jabber:iq:version'/>"),
            "<message xmlns='jabber:client' from='a@b/c' to='d@e/f'/>".parse().unwrap(),
            "<presence xmlns='jabber:client'/>".parse().unwrap(),
        ] {
            assert_eq!(world.relay.intercept(stanza.clone()), [stanza]);
        }
    }

    #[test]
    fn sessions_are_forgotten_when_there_are_too_many() {
        let mut relay = Relay::default();
        for _ in 0..=SESSIONS_MAX {
            relay.intercept(End::new(ALICE, BOB, Side::Client, 4096).jingle("session-initiate", ""));
        }
        assert_eq!(relay.sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn the_ends_are_real_peers() {
        // Without the relay the same two ends agree on one channel: the tests above are about the relay.
        let (alice, bob) = (End::new(ALICE, BOB, Side::Client, 1), End::new(BOB, ALICE, Side::Server, 1));
        let mut ends = [Handshake::new(Box::new(alice.endpoint)), Handshake::new(Box::new(bob.endpoint))];
        while !ends.iter().all(Handshake::is_done) {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut ciphertext = Vec::new();
                ends[from].transmit(&mut ciphertext);
                ends[to].receive(&ciphertext).unwrap();
            }
        }
        let [alice, bob] = ends.map(|end| end.finish().unwrap());
        assert!(alice.binding().same_channel(bob.binding()));
    }
}
