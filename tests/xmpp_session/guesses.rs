//! Online guesses that are counted over whole sessions.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::error::{Error, Rule};
use countersign::guess::{self, GuessLimits, Guesses, OVERALL_WINDOW, PEER_GUESSES, PEER_WINDOW};
use countersign::ksf::Ksf;
use countersign::mechanism::{MechanismName, Side};
use countersign::registry::{self, Credential, CredentialStore, SharedPassword};
use countersign::sasl::{self, Policy};
use countersign::secret::{Password, SecretBytes};
use countersign::xmpp::session::rules;
use countersign::xmpp::{
    Acceptance, Event, FullJid, Host, HostEvent, InitiatorConfig, Profile, ResponderConfig, Session,
};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};

use crate::kit::*;

const MINUTE: Duration = Duration::from_secs(60);

fn guesses() -> Guesses {
    Guesses::in_memory(GuessLimits::default())
}

fn alice(password: &str) -> InitiatorConfig {
    InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new(password)).with_policy(policy())
}

/// A whole session, in which Bob counts.
fn session(guesses: &Guesses, password: &str, now: Instant) -> Pair {
    let mut pair = Pair::at(now, alice(password), bob_config().with_guesses(guesses.clone()), plain);
    pair.run();
    pair
}

fn failure(events: &[Event]) -> &Error {
    match events.last() {
        Some(Event::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn guess_wrong(guesses: &Guesses, times: usize, now: Instant) {
    for _ in 0..times {
        let pair = session(guesses, "wrong", now);
        assert!(!failure(&pair.events[1]).is(&guess::rules::PEER_LIMIT));
    }
}

#[test]
fn after_five_wrong_passwords_the_right_one_has_to_wait() {
    let (guesses, start) = (guesses(), Instant::now());
    guess_wrong(&guesses, PEER_GUESSES, start);
    let pair = session(&guesses, PASSWORD, start + MINUTE);
    pair.bob_failed(&guess::rules::PEER_LIMIT);
    let error = failure(&pair.events[1]);
    assert_eq!(error.retry_after(), Some(PEER_WINDOW - MINUTE));
    assert_eq!(error.subject(), Some("alice@atlanta.example"));
    assert!(error.advice().starts_with("Wait as long as is said"));
    // Alice learns that she has to wait, and not for how long.
    pair.alice_failed(&sasl::rules::TRY_LATER);
    let told = pair.log.iter().filter(|line| line.contains("<temporary-auth-failure"));
    assert_eq!(told.count(), 1);
    assert!(pair.log.iter().all(|line| !line.contains("<challenge") && !line.contains("<success")));
    assert!(pair.reasons().contains(&"< security-error".to_owned()));
}

#[test]
fn after_the_window_the_right_password_opens() {
    let (guesses, start) = (guesses(), Instant::now());
    guess_wrong(&guesses, PEER_GUESSES, start);
    session(&guesses, PASSWORD, start + PEER_WINDOW - MINUTE).bob_failed(&guess::rules::PEER_LIMIT);
    assert!(session(&guesses, PASSWORD, start + PEER_WINDOW).is_established());
}

#[test]
fn success_costs_nothing() {
    let (guesses, start) = (guesses(), Instant::now());
    guess_wrong(&guesses, PEER_GUESSES - 1, start);
    for _ in 0..PEER_GUESSES {
        assert!(session(&guesses, PASSWORD, start).is_established());
    }
    // The wrong ones are not forgiven for it.
    guess_wrong(&guesses, 1, start);
    session(&guesses, PASSWORD, start).bob_failed(&guess::rules::PEER_LIMIT);
}

#[test]
fn another_resource_is_the_same_peer() {
    let (guesses, start) = (guesses(), Instant::now());
    for _ in 0..PEER_GUESSES {
        drop(guesses.reserve("alice@atlanta.example", start).unwrap());
    }
    session(&guesses, PASSWORD, start).bob_failed(&guess::rules::PEER_LIMIT);
}

#[test]
fn other_peers_count_overall() {
    let (limits, start) = (GuessLimits::default().with_overall(3, OVERALL_WINDOW), Instant::now());
    let guesses = Guesses::in_memory(limits);
    for n in 0..3 {
        drop(guesses.reserve(&format!("mallory{n}@atlanta.example"), start).unwrap());
    }
    session(&guesses, PASSWORD, start).bob_failed(&guess::rules::OVERALL_LIMIT);
    assert!(session(&guesses, PASSWORD, start + OVERALL_WINDOW).is_established());
}

#[test]
fn every_mechanism_is_refused_alike() {
    for row in registry::all().iter().filter(|row| row.properties().needs_binding) {
        let guesses = Guesses::in_memory(GuessLimits::default().with_per_peer(1, PEER_WINDOW));
        let now = Instant::now();
        let session = |password| {
            let only = || Policy::named([row.name().clone()]);
            let bob = bob_config().with_policy(only()).with_guesses(guesses.clone());
            let mut pair = Pair::at(now, alice(password).with_policy(only()), bob, plain);
            pair.run();
            pair
        };
        assert!(session(PASSWORD).is_established(), "{}", row.name());
        assert!(!session("wrong").is_established(), "{}", row.name());
        let pair = session(PASSWORD);
        pair.bob_failed(&guess::rules::PEER_LIMIT);
        pair.alice_failed(&sasl::rules::TRY_LATER);
    }
}

#[test]
fn an_initiator_that_leaves_before_a_test_costs_nothing() {
    let (guesses, now) =
        (Guesses::in_memory(GuessLimits::default().with_per_peer(1, PEER_WINDOW)), Instant::now());
    let (alice, bob) = (alice("wrong"), bob_config().with_guesses(guesses.clone()));
    let mut pair = Pair::at(now, alice, bob, plain);
    while !pair.log.iter().any(|line| line.contains("<challenge")) {
        assert!(pair.step());
    }
    // While it runs it counts.
    assert!(guesses.reserve("alice@atlanta.example", now).is_err());
    pair.bob().transport_lost();
    assert!(session(&guesses, PASSWORD, now).is_established());
}

#[test]
fn the_initiator_counts_the_responders_guesses() {
    let (guesses, now) =
        (Guesses::in_memory(GuessLimits::default().with_per_peer(1, PEER_WINDOW)), Instant::now());
    let session = |password| {
        let mut pair = Pair::at(now, alice(password).with_guesses(guesses.clone()), bob_config(), plain);
        pair.run();
        pair
    };
    assert!(session(PASSWORD).is_established());
    assert!(!session("not Bob's").is_established());
    let pair = session(PASSWORD);
    pair.alice_failed(&guess::rules::PEER_LIMIT);
    assert_eq!(failure(&pair.events[0]).subject(), Some("bob@biloxi.example"));
    // Not a word was said in the tunnel.
    pair.bob_failed(&rules::SECURITY_REFUSED);
}

/// Opens a session from a host to another, and gives the events of both.
fn connect(
    [alice, bob]: [&mut Host; 2],
    config: InitiatorConfig,
    rng: impl CryptoRng + Send + 'static,
) -> [Vec<HostEvent>; 2] {
    let now = Instant::now();
    alice.add(Session::initiate(config, plain(Side::Client), Box::new(rng), now).unwrap());
    loop {
        if let Some(stanza) = alice.poll_stanza() {
            bob.handle(&stanza, now);
        } else if let Some(stanza) = bob.poll_stanza() {
            alice.handle(&stanza, now);
        } else {
            break;
        }
    }
    [alice, bob].map(|host| std::iter::from_fn(|| host.poll_event()).collect())
}

/// As [`connect`], with what the second host found out.
fn call(alice: &mut Host, bob: &mut Host, password: &str, seed: u8) -> Vec<HostEvent> {
    let [_, events] = connect([alice, bob], self::alice(password), CountingRng(seed));
    events
}

fn failed_with(events: &[HostEvent], rule: &Rule) -> bool {
    matches!(events.last(), Some(HostEvent::Session(_, Event::Failed(error))) if error.is(rule))
}

#[test]
fn a_host_counts_without_being_asked_to() {
    let gate = |_: &FullJid| {
        let rng = Box::new(CountingRng(128));
        Some(Acceptance { config: bob_config(), endpoint: plain(Side::Server), rng })
    };
    let (mut a, mut b) = (Host::new(jid(ALICE), None), Host::new(jid(BOB), Some(Box::new(gate))));
    for n in 0..PEER_GUESSES as u8 {
        let events = call(&mut a, &mut b, "wrong", n * 16);
        assert!(!failed_with(&events, &guess::rules::PEER_LIMIT), "{events:?}");
    }
    let events = call(&mut a, &mut b, PASSWORD, 200);
    assert!(failed_with(&events, &guess::rules::PEER_LIMIT), "{events:?}");
}

#[test]
fn what_was_chosen_and_what_was_not_is_told() {
    let ours = Policy::named(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"].map(name));
    let theirs = Policy::named(["CPACE-R255-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"].map(name));
    let (alice, bob) = (alice_config().with_policy(ours), bob_config().with_policy(theirs));
    let mut pair = Pair::with(alice, bob, plain);
    pair.run();
    let [Event::Established(alice)] = &pair.events[0][..] else { panic!("{:?}", pair.events[0]) };
    assert_eq!(alice.mechanism.as_str(), "SCRAM-SHA-256-PLUS");
    let expected = [("CPACE-R255-PLUS", "not on our list"), ("SCRAM-SHA-1-PLUS", "we prefer another")];
    assert_eq!(alice.refused, expected.map(|(mechanism, why)| (name(mechanism), why)));
    let [Event::Established(bob)] = &pair.events[1][..] else { panic!("{:?}", pair.events[1]) };
    assert_eq!(bob.mechanism, alice.mechanism);
    assert_eq!(bob.refused, []);
}

#[test]
fn the_responder_tells_what_it_would_never_take() {
    let ours = Policy::named(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"].map(name));
    let theirs = Policy::named([name("SCRAM-SHA-256-PLUS")]);
    let mut pair = Pair::with(alice_config().with_policy(ours), bob_config().with_policy(theirs), plain);
    pair.run();
    let [Event::Established(bob)] = &pair.events[1][..] else { panic!("{:?}", pair.events[1]) };
    assert_eq!(bob.refused, [(name("SCRAM-SHA-1-PLUS"), "not on our list")]);
}

/// Random octets that tell how many were drawn at a time.
struct Drawn(CountingRng, Arc<Mutex<Vec<usize>>>);

impl Drawn {
    fn new() -> (Self, Arc<Mutex<Vec<usize>>>) {
        let drawn = Arc::default();
        (Self(CountingRng(0), Arc::clone(&drawn)), drawn)
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.1.lock().unwrap().push(4);
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.1.lock().unwrap().push(8);
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        self.1.lock().unwrap().push(octets.len());
        self.0.try_fill_bytes(octets)
    }
}

impl TryCryptoRng for Drawn {}

/// A store that counts what is asked of it.
struct Asked(Arc<SharedPassword>, AtomicUsize);

impl Asked {
    fn new() -> Arc<Self> {
        Arc::new(Self(store("alice@atlanta.example"), AtomicUsize::new(0)))
    }

    fn times(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl CredentialStore for Asked {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lookup(mechanism, authcid)
    }

    fn simulation_seed(&self) -> &SecretBytes {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.simulation_seed()
    }

    fn simulated_iterations(&self, mechanism: &MechanismName) -> Option<u32> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.simulated_iterations(mechanism)
    }

    fn simulated_ksf(&self, mechanism: &MechanismName) -> Option<Ksf> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.simulated_ksf(mechanism)
    }
}

/// What came of a session, and what was drawn and asked for it.
struct Trace {
    events: [Vec<HostEvent>; 2],
    drawn: [Vec<usize>; 2],
    asked: usize,
}

/// Runs a session between hosts, in which each side counts.
fn traced(mechanism: &MechanismName, profile: Profile, [alices, bobs]: [&Guesses; 2]) -> Trace {
    let only = Policy::named([mechanism.clone()]);
    let (store, (draws, bobs_drawn)) = (Asked::new(), Drawn::new());
    let bob = ResponderConfig::new(jid(BOB), store.clone());
    let bob = bob.with_policy(only.clone()).with_guesses(bobs.clone());
    let rng = Mutex::new(Some(draws));
    let gate = move |_: &FullJid| {
        let rng = Box::new(rng.lock().unwrap().take()?);
        Some(Acceptance { config: bob.clone(), endpoint: plain(Side::Server), rng })
    };
    let (mut a, mut b) = (Host::new(jid(ALICE), None), Host::new(jid(BOB), Some(Box::new(gate))));
    let config = alice(PASSWORD).with_policy(only).with_profile(profile).with_guesses(alices.clone());
    let (draws, alices_drawn) = Drawn::new();
    let events = connect([&mut a, &mut b], config, draws);
    let drawn = [alices_drawn, bobs_drawn].map(|drawn| drawn.lock().unwrap().clone());
    Trace { events, drawn, asked: store.times() }
}

/// The identifiers of a session and of its bytestream, and that of the responder's stream.
const IDENTIFIERS: [&[usize]; 2] = [&[16, 16], &[16]];

fn every_bound_mechanism() -> impl Iterator<Item = &'static MechanismName> {
    registry::all().iter().filter(|row| row.properties().needs_binding).map(registry::Registered::name)
}

/// The error of a host whose limit was reached.
fn limited(events: &[HostEvent]) -> &Error {
    match events.last() {
        Some(HostEvent::Session(_, Event::Failed(error))) if error.is(&guess::rules::PEER_LIMIT) => error,
        other => panic!("{other:?}"),
    }
}

fn full(peer: &str) -> Guesses {
    let guesses = Guesses::in_memory(GuessLimits::default().with_per_peer(1, PEER_WINDOW));
    drop(guesses.reserve(peer, Instant::now()).unwrap());
    guesses
}

#[test]
fn below_the_limit_the_mechanism_draws_and_asks() {
    for mechanism in every_bound_mechanism() {
        for profile in [Profile::Sasl, Profile::Sasl2] {
            let Trace { events, drawn, asked } = traced(mechanism, profile, [&guesses(), &guesses()]);
            for events in &events {
                let established = matches!(events[..], [.., HostEvent::Session(_, Event::Established(_))]);
                assert!(established, "{mechanism}: {events:?}");
            }
            for (drawn, identifiers) in drawn.iter().zip(IDENTIFIERS) {
                assert!(drawn.starts_with(identifiers) && drawn.len() > identifiers.len(), "{mechanism}");
            }
            assert!(asked > 0, "{mechanism}");
        }
    }
}

#[test]
fn above_the_limit_the_responder_refuses_before_it_draws_or_asks() {
    for mechanism in every_bound_mechanism() {
        for profile in [Profile::Sasl, Profile::Sasl2] {
            let full = full("alice@atlanta.example");
            let Trace { events, drawn, asked } = traced(mechanism, profile, [&guesses(), &full]);
            let wait = limited(&events[1]).retry_after().unwrap();
            assert!(Duration::ZERO < wait && wait <= PEER_WINDOW, "{mechanism}: {wait:?}");
            assert_eq!((&drawn[1][..], asked), (IDENTIFIERS[1], 0), "{mechanism}");
        }
    }
}

#[test]
fn above_the_limit_the_initiator_stops_before_it_draws() {
    for mechanism in every_bound_mechanism() {
        for profile in [Profile::Sasl, Profile::Sasl2] {
            let full = full("bob@biloxi.example");
            let Trace { events, drawn, asked } = traced(mechanism, profile, [&full, &guesses()]);
            let wait = limited(&events[0]).retry_after().unwrap();
            assert!(Duration::ZERO < wait && wait <= PEER_WINDOW, "{mechanism}: {wait:?}");
            assert_eq!((&drawn[0][..], asked), (IDENTIFIERS[0], 0), "{mechanism}");
        }
    }
}
