//! What an end-to-end session costs over its parts: set-up beside the TLS handshake and the exchange of the mechanism,
//! octets beside framing alone and the tunnel alone, and memory.
//!
//! Both ends run in one thread. Stanzas pass as elements: what writing and parsing them costs at the servers' side is
//! the XMPP connection's. The TLS identity and the stored records are made before. Most of a tunnel's set-up is
//! arithmetic, so the rows of the parts are measured in the same rounds.

mod common;
#[path = "common/pairs.rs"]
mod pairs;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Row, Times, compare, whole};
#[cfg(any(feature = "opaque", feature = "spake2plus"))]
use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, CredentialStore, Registered, ServerSetup, SharedPassword};
use countersign::sasl::Policy;
use countersign::tls::certificate::{Config, RustlsEndpoint};
use countersign::tls::{Handshake, Tunnel, Unverified, Verified};
use countersign::xmpp::ibb::Bytestream;
use countersign::xmpp::{
    Element, Event, FullJid, IBB_BLOCK, IBB_WINDOW, InitiatorConfig, Limits, REPLY_TIMEOUT, ResponderConfig,
    Session, disco,
};
use countersign::{ChannelBinding, Context, Outcome, Password, cpace, system_rng};
use xmpp_parsers::iq::Iq;

const ALICE: &str = "alice@wonderland.example";
const PASSWORD: &str = "correct horse battery staple";
const SCRAM_ITERATIONS: u32 = 4096;

const SETUP_ROUNDS: usize = 100;
const TRANSFER_ROUNDS: usize = 4;
const MEBIBYTE: usize = 1024 * 1024;
const TRANSFER: usize = 4 * MEBIBYTE;

fn main() {
    let parties = Parties::new();
    setup(&parties);
    throughput(&parties);
    memory(&parties);
}

fn setup(parties: &Parties) {
    // An argument is a part of the names of the mechanisms to measure.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let bound = registry::all().iter().filter(|row| row.properties().needs_binding);
    let bound = bound.filter(|row| row.name().as_str().contains(&wanted)).collect::<Vec<_>>();
    let names = bound.iter().map(|row| {
        let name = row.name();
        ["exchange alone", "tunnel", "session", "session, peer known"].map(|what| format!("{name}, {what}"))
    });
    let names = names.collect::<Vec<_>>();
    let mut rows: Vec<Row<'_>> =
        vec![("bare rustls handshake", Box::new(|| whole(|| drop(pairs::bare(&parties.tls)))))];
    for (mechanism, [exchange, tunnel, session, known]) in bound.iter().zip(&names) {
        rows.push((exchange, Box::new(|| whole(|| drop(parties.exchange(mechanism, &some_channel()))))));
        rows.push((tunnel, Box::new(|| whole(|| drop(parties.tunnels(mechanism))))));
        rows.push((session, Box::new(|| whole(|| drop(parties.sessions(mechanism, false))))));
        rows.push((known, Box::new(|| whole(|| drop(parties.sessions(mechanism, true))))));
    }
    let times = compare(SETUP_ROUNDS, "set-up, both sides", &rows);
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9}",
        "session / (bare rustls handshake + exchange)", "median", "best", "known", "best"
    );
    for (mechanism, times_of) in bound.iter().zip(times[1..].chunks_exact(4)) {
        let ratio = |row: usize, time: fn(&Times) -> Duration| {
            time(&times_of[row]).as_secs_f64() / (time(&times[0]) + time(&times_of[0])).as_secs_f64()
        };
        let ratios = [2, 3].map(|row| [ratio(row, Times::median), ratio(row, Times::best)]);
        let [[median, best], [known, best_known]] = ratios;
        println!("{:<44} {median:>9.2} {best:>9.2} {known:>9.2} {best_known:>9.2}", mechanism.name());
    }
    println!();
}

fn throughput(parties: &Parties) {
    let data = vec![7; TRANSFER];
    let mechanism = registry::find(&cpace::R255_PLUS).expect("the bench requires the feature");
    let tunnels = RefCell::new(parties.tunnels(mechanism));
    let sessions = RefCell::new(parties.sessions(mechanism, false));
    let rows: [Row<'_>; 3] = [
        ("IBB framing alone: base64 and stanzas", Box::new(|| whole(|| frame(&data)))),
        ("tunnel alone", Box::new(|| whole(|| through_tunnel(&mut tunnels.borrow_mut(), &data)))),
        ("session", Box::new(|| whole(|| sessions.borrow_mut().carry_octets(&data)))),
    ];
    let times = compare(TRANSFER_ROUNDS, "4 MiB, one way", &rows);
    for ((name, _), times) in rows.iter().zip(&times) {
        let rate = |time: Duration| (TRANSFER / MEBIBYTE) as f64 / time.as_secs_f64();
        println!("{name:<54} {:>6.1} MiB/s, at best {:>6.1}", rate(times.median()), rate(times.best()));
    }
    println!();
}

fn memory(parties: &Parties) {
    let mechanism = registry::find(&cpace::R255_PLUS).expect("the bench requires the feature");
    pairs::per_pair("bare rustls", || pairs::bare(&parties.tls));
    pairs::per_pair("tunnel", || parties.tunnels(mechanism));
    pairs::per_pair("session", || parties.sessions(mechanism, false));
}

/// Two ends that share a password, and what they have made before any connection.
struct Parties {
    alice: FullJid,
    bob: FullJid,
    tls: Config,
    credentials: Arc<dyn CredentialStore>,
    /// What Bob has answered before.
    found: Element,
}

impl Parties {
    fn new() -> Self {
        let store = SharedPassword::new(ALICE, Password::new(PASSWORD), Preparation::SaslPrep, system_rng())
            .expect("the name is good")
            .with_scram_iterations(SCRAM_ITERATIONS);
        #[cfg(any(feature = "opaque", feature = "spake2plus"))]
        let store = store.with_ksf(Ksf::CHEAPEST);
        Self {
            alice: FullJid::new(&format!("{ALICE}/phone")).expect("an address"),
            bob: FullJid::new("bob@home.example/laptop").expect("an address"),
            tls: pairs::config(),
            credentials: Arc::new(store),
            found: disco::answer(),
        }
    }

    /// The exchange of a mechanism and nothing else; both ends' outcomes.
    fn exchange(&self, mechanism: &Registered, binding: &ChannelBinding) -> [Outcome; 2] {
        let mut rng = system_rng();
        let context = Context::between(self.alice.as_str(), self.bob.as_str());
        let client = ClientSetup {
            authcid: ALICE.to_owned(),
            authzid: None,
            password: Password::new(PASSWORD),
            preparation: Preparation::SaslPrep,
            binding: Some(binding.clone()),
            context: context.clone(),
        };
        let credentials = Arc::clone(&self.credentials);
        let server = ServerSetup { credentials, binding: Some(binding.clone()), context };
        let mut ends = [
            mechanism.client(client, &mut rng).expect("the set-up is good"),
            mechanism.server(server, &mut rng).expect("the set-up is good"),
        ];
        let mut outcomes = [None, None];
        let mut message = Vec::new();
        for end in (0..2).cycle() {
            match ends[end].step(&message).expect("both know the password") {
                Step::Continue(next) => message = next,
                Step::Finished { reply, outcome } => {
                    outcomes[end] = Some(outcome);
                    let Some(reply) = reply else { break };
                    message = reply;
                }
            }
        }
        outcomes.map(|outcome| outcome.expect("who says the last word has finished before"))
    }

    /// TLS and the exchange, without XMPP.
    fn tunnels(&self, mechanism: &Registered) -> [Tunnel<Verified>; 2] {
        let client = RustlsEndpoint::client(&self.tls).expect("the settings are good");
        let server = RustlsEndpoint::server(&self.tls).expect("the settings are good");
        let mut client = Handshake::new(Box::new(client));
        let mut server = Handshake::new(Box::new(server));
        let mut flight = Vec::new();
        while !client.is_done() || !server.is_done() {
            client.transmit(&mut flight);
            server.receive(&flight).expect("nobody edits the flight");
            flight.clear();
            server.transmit(&mut flight);
            client.receive(&flight).expect("nobody edits the flight");
            flight.clear();
        }
        let tunnels: [Tunnel<Unverified>; 2] =
            [client, server].map(|handshake| handshake.finish().expect("the handshake is done"));
        let [first, second] = self.exchange(mechanism, tunnels[0].binding());
        let [client, server] = tunnels;
        [client.verify(first), server.verify(second)].map(|tunnel| tunnel.expect("both are bound to it"))
    }

    /// All of it, from service discovery, or from the offer to a peer who has been found by it, to the proven tunnel.
    fn sessions(&self, mechanism: &Registered, known: bool) -> Sessions {
        let now = Instant::now();
        let policy = Policy::named([mechanism.name().clone()]);
        let limits = Limits::default().with_block(IBB_BLOCK);
        let config = InitiatorConfig::new(self.alice.clone(), self.bob.clone(), Password::new(PASSWORD))
            .with_policy(policy.clone())
            .with_limits(limits.clone());
        let config =
            if known { config.with_discovered(&self.found).expect("all features are there") } else { config };
        let endpoint = RustlsEndpoint::client(&self.tls).expect("the settings are good");
        let mut alice = Session::initiate(config, Box::new(endpoint), Box::new(system_rng()), now)
            .expect("the configuration is good");
        if !known {
            let query = alice.poll_stanza().expect("the session begins with a question");
            alice.handle(&self.disco_answer(&query), now);
        }
        let offer = alice.poll_stanza().expect("the answer is good");
        let config = ResponderConfig::new(self.bob.clone(), Arc::clone(&self.credentials))
            .with_policy(policy)
            .with_limits(limits);
        let endpoint = RustlsEndpoint::server(&self.tls).expect("the settings are good");
        let bob = Session::respond(config, Box::new(endpoint), Box::new(system_rng()), &offer, now)
            .expect("the offer is good");
        let mut sessions = Sessions { alice, bob };
        sessions.carry(now);
        for session in [&mut sessions.alice, &mut sessions.bob] {
            assert!(matches!(session.poll_event(), Some(Event::Established(_))));
        }
        sessions
    }

    /// As the program around Bob's sessions answers.
    fn disco_answer(&self, query: &Element) -> Element {
        let mut answer = query.clone();
        answer.take_nodes();
        for ((_, name), value) in answer.attrs_mut().iter_mut() {
            match name.as_str() {
                "type" => "result".clone_into(value),
                "from" => self.bob.as_str().clone_into(value),
                "to" => self.alice.as_str().clone_into(value),
                _ => {}
            }
        }
        answer.append_child(disco::answer());
        answer
    }
}

/// Both ends of a session.
struct Sessions {
    alice: Session,
    bob: Session,
}

impl Sessions {
    /// Carries stanzas until there are none.
    fn carry(&mut self, now: Instant) {
        loop {
            let (there, back) = (self.alice.poll_stanza(), self.bob.poll_stanza());
            if there.is_none() && back.is_none() {
                return;
            }
            if let Some(stanza) = there {
                self.bob.handle(&stanza, now);
            }
            if let Some(stanza) = back {
                self.alice.handle(&stanza, now);
            }
        }
    }

    fn carry_octets(&mut self, mut data: &[u8]) {
        let (now, length) = (Instant::now(), data.len());
        let mut arrived = 0;
        while arrived < length {
            let taken = self.alice.send_bytes(data).expect("the session is open");
            data = &data[taken..];
            self.carry(now);
            while let Some(event) = self.bob.poll_event() {
                let Event::Bytes(octets) = event else { unreachable!("only octets were sent") };
                arrived += octets.len();
            }
        }
    }
}

/// What an in-band bytestream does with octets, each block in an IQ and answered by another.
fn frame(data: &[u8]) {
    let stream = || Bytestream::new("stream", IBB_BLOCK, IBB_WINDOW, REPLY_TIMEOUT);
    let (mut out, mut into) = (stream(), stream());
    let now = Instant::now();
    out.write(data);
    let mut arrived = 0;
    while let Some(sent) = out.poll_data(now) {
        let id = arrived.to_string();
        let block: Element = Iq::Set { from: None, to: None, id: id.clone(), payload: sent.element }.into();
        arrived += into.receive(block.children().next().expect("the block")).expect("nobody edits it").len();
        let _: Element = Iq::Result { from: None, to: None, id, payload: None }.into();
        out.acknowledged(sent.seq, now);
    }
    assert_eq!(arrived, data.len());
}

fn through_tunnel([client, server]: &mut [Tunnel<Verified>; 2], data: &[u8]) {
    let (mut flight, mut arrived) = (Vec::new(), Vec::new());
    // The receiving side keeps no more than this for an application that does not read.
    for part in data.chunks(MEBIBYTE) {
        client.write(part).expect("the tunnel is open");
        client.transmit(&mut flight);
        server.receive(&flight).expect("nobody edits the flight");
        server.read(&mut arrived);
        flight.clear();
    }
    assert_eq!(arrived.len(), data.len());
}

fn some_channel() -> ChannelBinding {
    ChannelBinding::tls_exporter([0x42; 32])
}
