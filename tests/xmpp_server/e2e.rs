//! End-to-end sessions between two drivers.

use std::sync::Arc;
use std::time::Duration;

use countersign::ksf::Ksf;
use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::sasl::{Floor, Policy};
use countersign::tls::Endpoint;
use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
use countersign::xmpp::client::{self, Client};
use countersign::xmpp::driver::{
    ACCEPTED_MAX, Connection, Driver, E2eStream, Handle, OUTSIDE_MAX, StanzaReceiver, rules,
};
use countersign::xmpp::server::Server;
use countersign::xmpp::{
    Acceptance, Element, Event, FullJid, Gate, InitiatorConfig, Limits, Profile, ResponderConfig, session,
};
use countersign::{Error, Password, Result, Rule, sasl, scram, tls};

use crate::support::*;

pub(crate) const ALICE: &str = "alice@home.example/lap";
pub(crate) const BOB: &str = "bob@home.example/tab";
const SECRET: &str = "correct horse battery staple";

/// What both ends bring; each test changes what it is about.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) secret: &'static str,
    pub(crate) policy: Policy,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        let policy = named(&["SCRAM-SHA-256-PLUS"]);
        Self { secret: SECRET, policy, profile: Profile::Sasl2, limits: Limits::default() }
    }
}

pub(crate) fn named(names: &[&str]) -> Policy {
    Policy::named(names.iter().map(|name| name.parse().unwrap()))
}

fn throw_away() -> Tls {
    Tls::new(Identity::generate().unwrap()).unwrap()
}

pub(crate) fn client_endpoint() -> Box<dyn Endpoint> {
    Box::new(RustlsEndpoint::client(&throw_away()).unwrap())
}

impl Setup {
    pub(crate) fn initiator(&self, own: &FullJid, peer: &str) -> InitiatorConfig {
        let config =
            InitiatorConfig::new(own.clone(), FullJid::new(peer).unwrap(), Password::new(self.secret))
                .with_policy(self.policy.clone())
                .with_profile(self.profile)
                .with_limits(self.limits.clone());
        #[cfg(feature = "openssl")]
        let config = config.with_psk(crate::in_tls::key());
        config
    }

    /// Admits everybody who proves the secret.
    pub(crate) fn gate(&self, own: &str) -> Option<Box<dyn Gate>> {
        let (setup, own) = (self.clone(), FullJid::new(own).unwrap());
        Some(Box::new(move |peer: &FullJid| {
            let (authcid, secret) = (peer.to_bare().to_string(), Password::new(setup.secret));
            let store =
                SharedPassword::new(&authcid, secret, Preparation::default(), countersign::system_rng());
            let store = Arc::new(store.ok()?.with_scram_iterations(4096).with_ksf(Ksf::CHEAPEST));
            let config = ResponderConfig::new(own.clone(), store)
                .with_policy(setup.policy.clone())
                .with_limits(setup.limits.clone());
            #[cfg(feature = "openssl")]
            let config = config.with_psk(crate::in_tls::key());
            Some(Acceptance {
                config,
                endpoint: Box::new(RustlsEndpoint::server(&throw_away()).ok()?),
                rng: Box::new(countersign::system_rng()),
            })
        }))
    }
}

/// Alice's and Bob's drivers, and what came of her call and of his.
pub(crate) struct Pair {
    pub(crate) alice: Handle,
    pub(crate) bob: Handle,
}

impl Pair {
    pub(crate) async fn new(server: &Server, setup: &Setup) -> Self {
        Self {
            alice: Driver::spawn(login(server, ALICE).await, None),
            bob: Driver::spawn(login(server, BOB).await, setup.gate(BOB)),
        }
    }

    pub(crate) async fn call(&self, setup: &Setup) -> (Result<E2eStream>, Result<E2eStream>) {
        let config = setup.initiator(self.alice.own_jid(), BOB);
        guard(async { tokio::join!(self.alice.connect(config, client_endpoint()), self.bob.accept()) }).await
    }

    pub(crate) async fn connected(&self, setup: &Setup) -> (E2eStream, E2eStream) {
        let (alice, bob) = self.call(setup).await;
        (alice.unwrap(), bob.unwrap())
    }
}

fn body(event: Option<Event>) -> String {
    match event {
        Some(Event::Stanza(stanza)) => stanza.get_child("body", "jabber:client").unwrap().text(),
        other => panic!("{other:?} instead of a message"),
    }
}

async fn recv(stream: &mut E2eStream) -> Option<Event> {
    guard(stream.recv()).await
}

async fn read_all(stream: &mut E2eStream, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        read.extend(guard(stream.read_bytes()).await.unwrap().expect("the session ended"));
    }
    read
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[track_caller]
fn assert_rule(error: &Error, rule: &Rule) {
    assert!(error.is(rule), "{error:?} instead of {}", rule.id);
}

async fn assert_failed(stream: &mut E2eStream, rule: &Rule) {
    match recv(stream).await {
        Some(Event::Failed(error)) => assert_rule(&error, rule),
        other => panic!("{other:?} instead of {}", rule.id),
    }
    assert!(recv(stream).await.is_none());
}

async fn assert_closed(stream: &mut E2eStream) {
    assert!(matches!(recv(stream).await, Some(Event::Closed)));
    assert!(recv(stream).await.is_none());
}

#[tokio::test]
async fn messages_pass_both_ways_and_the_session_closes() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    assert_eq!(alice.established().mechanism.as_str(), "SCRAM-SHA-256-PLUS");
    assert_eq!(bob.established().authcid, "alice@home.example");
    assert!(alice.established().binding.same_channel(&bob.established().binding));
    assert_eq!((alice.peer().as_str(), bob.peer().as_str()), (BOB, ALICE));

    alice.send_message("hello <Bob>").await.unwrap();
    assert_eq!(body(recv(&mut bob).await), "hello <Bob>");
    bob.send_message("hello Alice").await.unwrap();
    assert_eq!(body(recv(&mut alice).await), "hello Alice");
    assert!(alice.statistics().await.unwrap().octets_sent > 0);

    alice.send_message("the last").await.unwrap();
    alice.close().await.unwrap();
    assert_eq!(body(recv(&mut bob).await), "the last");
    assert_closed(&mut bob).await;
    assert_closed(&mut alice).await;
    assert!(alice.send_message("too late").await.unwrap_err().is(&rules::SESSION_ENDED));
    assert!(server.attack_report().is_none());
}

#[tokio::test]
async fn octets_pass_both_ways_at_once() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    let octets = pattern(300_000);
    guard(async {
        tokio::join!(
            async {
                alice.write_bytes(&octets).await.unwrap();
                assert!(read_all(&mut alice, octets.len()).await == octets);
            },
            async {
                bob.write_bytes(&octets).await.unwrap();
                assert!(read_all(&mut bob, octets.len()).await == octets);
            }
        )
    })
    .await;
    alice.close().await.unwrap();
    assert!(guard(bob.read_bytes()).await.unwrap().is_none());
    guard(alice.finish()).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_writer_back() {
    let (server, mut setup) = (server().await, Setup::default());
    setup.limits = setup.limits.with_unread(64 * 1024).with_send_buffer(64 * 1024);
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    let octets = pattern(2_000_000);
    let writing = alice.write_bytes(&octets);
    tokio::pin!(writing);
    let early = tokio::time::timeout(Duration::from_millis(500), writing.as_mut()).await;
    assert!(early.is_err(), "everything was taken though nobody reads");
    let (written, read) = tokio::join!(writing, read_all(&mut bob, octets.len()));
    written.unwrap();
    assert!(read == octets);
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other() {
    let (server, mut setup) = (server().await, Setup::default());
    setup.limits = setup.limits.with_unread(64 * 1024).with_send_buffer(64 * 1024);
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, _unread) = pair.connected(&setup).await;
    let octets = pattern(1_000_000);
    // Until nothing more is taken.
    let _ = tokio::time::timeout(Duration::from_millis(500), alice.write_bytes(&octets)).await;
    let (mut other_alice, mut other_bob) = pair.connected(&setup).await;
    other_alice.send_message("past the jam").await.unwrap();
    assert_eq!(body(recv(&mut other_bob).await), "past the jam");
}

#[tokio::test]
async fn keys_are_updated_on_request() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    alice.rekey().await.unwrap();
    alice.send_message("under new keys").await.unwrap();
    assert_eq!(body(recv(&mut bob).await), "under new keys");
    bob.send_message("here too").await.unwrap();
    assert_eq!(body(recv(&mut alice).await), "here too");
    assert_eq!(alice.statistics().await.unwrap().rekeys, 1);
}

#[tokio::test]
async fn a_dropped_stream_closes_the_session() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (alice, mut bob) = pair.connected(&setup).await;
    drop(alice);
    assert_closed(&mut bob).await;
    drop(bob);
    guard(pair.alice.finish()).await;
    guard(pair.bob.finish()).await;
}

#[tokio::test]
async fn an_aborted_session_fails_on_the_other_side() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (alice, mut bob) = pair.connected(&setup).await;
    alice.abort().await;
    assert_failed(&mut bob, &session::rules::CUT_SHORT).await;
}

#[tokio::test]
async fn a_stanza_between_octets_is_not_lost() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    alice.send_message("a stanza").await.unwrap();
    assert!(guard(bob.read_bytes()).await.unwrap_err().is(&rules::STANZA_BETWEEN));
    assert_eq!(body(recv(&mut bob).await), "a stanza");
}

#[tokio::test]
async fn of_two_calls_at_once_one_is_taken() {
    let (server, setup) = (server().await, Setup::default());
    let alice = Driver::spawn(login(&server, ALICE).await, setup.gate(ALICE));
    let bob = Driver::spawn(login(&server, BOB).await, setup.gate(BOB));
    let from_alice = alice.connect(setup.initiator(alice.own_jid(), BOB), client_endpoint());
    let from_bob = bob.connect(setup.initiator(bob.own_jid(), ALICE), client_endpoint());
    let (from_alice, from_bob) = guard(async { tokio::join!(from_alice, from_bob) }).await;
    let (mut ours, mut theirs) = match (from_alice, from_bob) {
        (Ok(stream), Err(_)) => (stream, guard(bob.accept()).await.unwrap()),
        (Err(_), Ok(stream)) => (guard(alice.accept()).await.unwrap(), stream),
        other => panic!("{other:?}"),
    };
    ours.send_message("one session").await.unwrap();
    assert_eq!(body(recv(&mut theirs).await), "one session");
}

#[tokio::test]
async fn a_mechanism_without_binding_is_never_enough() {
    let server = server().await;
    let policy = named(&["SCRAM-SHA-256"]).with_floor(Floor::Named);
    let setup = Setup { policy, ..Setup::default() };
    let pair = Pair::new(&server, &setup).await;
    let (alice, bob) = pair.call(&setup).await;
    assert_rule(&bob.unwrap_err(), &tls::rules::OTHER_CHANNEL);
    assert!(alice.is_err());
}

#[tokio::test]
async fn a_wrong_secret_is_refused_on_both_sides() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let guess = Setup { secret: "a wrong guess", ..setup };
    let (alice, bob) = pair.call(&guess).await;
    assert_rule(&alice.unwrap_err(), &sasl::rules::REFUSED_BY_PEER);
    assert_rule(&bob.unwrap_err(), &scram::rules::NOT_AUTHENTICATED);
}

#[tokio::test]
async fn peers_that_are_absent_or_not_willing_are_named() {
    let (server, setup) = (server().await, Setup::default());
    let alice = Driver::spawn(login(&server, ALICE).await, None);
    let _bob = Driver::spawn(login(&server, BOB).await, None);
    for peer in ["nobody@home.example/x", "bob@elsewhere.example/x", BOB] {
        let config = setup.initiator(alice.own_jid(), peer);
        let error = guard(alice.connect(config, client_endpoint())).await.unwrap_err();
        assert_rule(&error, &session::rules::PEER_ABSENT);
    }
}

#[tokio::test]
async fn stanzas_outside_of_sessions_reach_the_application() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let text = format!("<message xmlns='jabber:client' to='{BOB}'><body>in the open</body></message>");
    pair.alice.send_stanza(element(&text)).await.unwrap();
    let stanza = guard(pair.bob.recv_stanza()).await.unwrap();
    assert_eq!(stanza.attr("from"), Some(ALICE));
}

#[tokio::test]
async fn stanzas_that_nobody_takes_are_dropped_at_the_limit() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    for n in 0..=OUTSIDE_MAX {
        let text = format!("<message xmlns='jabber:client' to='{BOB}' id='{n}'/>");
        pair.alice.send_stanza(element(&text)).await.unwrap();
    }
    // The session comes behind the messages, so all of them have arrived when it is there.
    let _streams = pair.connected(&setup).await;
    guard(server.shutdown()).await;
    for n in 0..OUTSIDE_MAX {
        assert_eq!(guard(pair.bob.recv_stanza()).await.unwrap().attr("id"), Some(&*n.to_string()));
    }
    assert!(guard(pair.bob.recv_stanza()).await.is_none());
}

#[tokio::test]
async fn sessions_that_nobody_accepts_are_closed_at_the_limit() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let mut streams = Vec::new();
    for _ in 0..=ACCEPTED_MAX {
        let config = setup.initiator(pair.alice.own_jid(), BOB);
        streams.push(guard(pair.alice.connect(config, client_endpoint())).await.unwrap());
    }
    assert_closed(&mut streams.pop().unwrap()).await;
    for mut stream in streams {
        let mut accepted = guard(pair.bob.accept()).await.unwrap();
        stream.send_message("still here").await.unwrap();
        assert_eq!(body(recv(&mut accepted).await), "still here");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_the_sessions() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    guard(server.shutdown()).await;
    for stream in [&mut alice, &mut bob] {
        assert_failed(stream, &session::rules::TRANSPORT_LOST).await;
        assert_rule(&stream.send_message("?").await.unwrap_err(), &rules::SESSION_ENDED);
    }
    assert_rule(&guard(pair.bob.accept()).await.unwrap_err(), &client::rules::STREAM_ERROR);
    assert!(pair.bob.has_ended());
    assert!(guard(pair.bob.recv_stanza()).await.is_none());
    let config = setup.initiator(pair.alice.own_jid(), BOB);
    let again = guard(pair.alice.connect(config, client_endpoint())).await.unwrap_err();
    assert_rule(&again, &client::rules::STREAM_ERROR);
}

#[tokio::test]
async fn a_socket_that_is_closed_is_named() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    drop(server);
    for stream in [&mut alice, &mut bob] {
        assert_failed(stream, &session::rules::TRANSPORT_LOST).await;
    }
    assert_rule(&guard(pair.bob.accept()).await.unwrap_err(), &client::rules::LOST);
}

#[tokio::test]
async fn after_a_restart_of_the_server_a_new_session_opens() {
    let (server, setup) = (server().await, Setup::default());
    let address = server.local_addr();
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    drop(server);
    for stream in [&mut alice, &mut bob] {
        assert_failed(stream, &session::rules::TRANSPORT_LOST).await;
    }
    let server = Server::bind(config().with_address(address)).await.unwrap();
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    alice.send_message("again").await.unwrap();
    assert_eq!(body(recv(&mut bob).await), "again");
}

#[tokio::test]
async fn a_socket_that_is_closed_during_the_handshake_is_named() {
    let (server, setup) = (server().await, Setup::default());
    let alice = Driver::spawn(login(&server, ALICE).await, None);
    // Bob is there and never answers, so the session is on its way when the server goes.
    let mut bob = login(&server, BOB).await;
    let config = setup.initiator(alice.own_jid(), BOB);
    let (result, ()) = guard(async {
        tokio::join!(alice.connect(config, client_endpoint()), async {
            bob.recv().await.unwrap();
            drop(server);
        })
    })
    .await;
    assert_rule(&result.unwrap_err(), &session::rules::TRANSPORT_LOST);
}

/// A connection whose receiver goes deaf: for the other end, a peer that stops half-way.
struct Deaf {
    client: Client,
    after: usize,
}

struct DeafReceiver {
    receiver: <Client as Connection>::Receiver,
    left: usize,
}

impl Connection for Deaf {
    type Sender = <Client as Connection>::Sender;
    type Receiver = DeafReceiver;

    fn own_jid(&self) -> FullJid {
        self.client.jid().clone()
    }

    fn split(self) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = self.client.split();
        (sender, DeafReceiver { receiver, left: self.after })
    }
}

impl StanzaReceiver for DeafReceiver {
    async fn recv(&mut self) -> Result<Option<Element>> {
        if self.left == 0 {
            return std::future::pending().await;
        }
        let stanza = self.receiver.recv().await;
        self.left -= 1;
        stanza
    }
}

#[tokio::test]
async fn a_peer_that_stops_half_way_is_a_timeout() {
    /// What a responder must have received before the initiator can be sure of it: disco, session-initiate,
    /// `<open/>`, two flights of TLS, and three of stream and SASL.
    const NEEDED: usize = 8;
    let mut setup = Setup::default();
    let short = Duration::from_millis(500);
    setup.limits = setup.limits.with_reply(short).with_handshake(short);
    let mut attempts = tokio::task::JoinSet::new();
    for after in 0..NEEDED {
        let setup = setup.clone();
        attempts.spawn(async move {
            let server = server().await;
            let alice = Driver::spawn(login(&server, ALICE).await, None);
            let _bob = Driver::spawn(Deaf { client: login(&server, BOB).await, after }, setup.gate(BOB));
            let config = setup.initiator(alice.own_jid(), BOB);
            guard(alice.connect(config, client_endpoint())).await.unwrap_err()
        });
    }
    while let Some(error) = attempts.join_next().await {
        let error = error.unwrap();
        let named =
            [&session::rules::NO_ANSWER, &session::rules::HANDSHAKE_TIMEOUT].map(|rule| error.is(rule));
        assert!(named.contains(&true), "{error:?}");
    }
}
