//! End-to-end sessions between two drivers.

use std::sync::Arc;
use std::time::Duration;

use countersign::error::ErrorKind;
use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::sasl::Policy;
use countersign::tls::Endpoint;
use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
use countersign::xmpp::client::Client;
use countersign::xmpp::driver::{Connection, Driver, E2eStream, Handle, StanzaReceiver, rules};
use countersign::xmpp::server::Server;
use countersign::xmpp::{
    Acceptance, Element, Event, FullJid, Gate, InitiatorConfig, Limits, ResponderConfig,
};
use countersign::{Error, Password, Result};

use crate::support::*;

pub(crate) const ALICE: &str = "alice@home.example/lap";
pub(crate) const BOB: &str = "bob@home.example/tab";
const SECRET: &str = "correct horse battery staple";

/// What both ends bring; each test changes what it is about.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) secret: &'static str,
    pub(crate) mechanisms: Vec<MechanismName>,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        Self { secret: SECRET, mechanisms: names(&["SCRAM-SHA-256-PLUS"]), limits: Limits::default() }
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<MechanismName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn tls() -> Tls {
    Tls::new(Identity::generate().unwrap()).unwrap()
}

pub(crate) fn client_endpoint() -> Box<dyn Endpoint> {
    Box::new(RustlsEndpoint::client(&tls()).unwrap())
}

impl Setup {
    pub(crate) fn initiator(&self, own: &FullJid, peer: &str) -> InitiatorConfig {
        InitiatorConfig::new(own.clone(), FullJid::new(peer).unwrap(), Password::new(self.secret))
            .with_policy(Policy::named(self.mechanisms.clone()))
            .with_limits(self.limits.clone())
    }

    pub(crate) fn gate(&self) -> Option<Box<dyn Gate>> {
        let setup = self.clone();
        Some(Box::new(move |peer: &FullJid| {
            let (authcid, secret) = (peer.to_bare().to_string(), Password::new(setup.secret));
            let store =
                SharedPassword::new(&authcid, secret, Preparation::default(), countersign::system_rng());
            let store = Arc::new(store.ok()?.with_scram_iterations(4096));
            Some(Acceptance {
                config: ResponderConfig::new(FullJid::new(BOB).ok()?, store)
                    .with_policy(Policy::named(setup.mechanisms.clone()))
                    .with_limits(setup.limits.clone()),
                endpoint: Box::new(RustlsEndpoint::server(&tls()).ok()?),
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
            bob: Driver::spawn(login(server, BOB).await, setup.gate()),
        }
    }

    pub(crate) async fn call(&self, setup: &Setup) -> (Result<E2eStream>, Result<E2eStream>) {
        let config = setup.initiator(self.alice.own_jid(), BOB);
        guard(async { tokio::join!(self.alice.connect(config, client_endpoint()), self.bob.accept()) }).await
    }

    async fn connected(&self, setup: &Setup) -> (E2eStream, E2eStream) {
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
    assert!(matches!(recv(&mut bob).await, Some(Event::Failed(_))));
    assert!(recv(&mut bob).await.is_none());
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
async fn a_wrong_secret_is_refused_on_both_sides() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let guess = Setup { secret: "a wrong guess", ..setup };
    let (alice, bob) = pair.call(&guess).await;
    assert_eq!(alice.unwrap_err().kind(), ErrorKind::AuthenticationFailed);
    assert_eq!(bob.unwrap_err().kind(), ErrorKind::AuthenticationFailed);
}

#[tokio::test]
async fn peers_that_are_absent_or_not_willing_are_named() {
    let (server, setup) = (server().await, Setup::default());
    let alice = Driver::spawn(login(&server, ALICE).await, None);
    let _bob = Driver::spawn(login(&server, BOB).await, None);
    for peer in ["nobody@home.example/x", "bob@elsewhere.example/x", BOB] {
        let error = guard(alice.connect(setup.initiator(alice.own_jid(), peer), client_endpoint()))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::PeerUnavailable | ErrorKind::PeerIncompatible),
            "{peer}: {error:?}"
        );
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
async fn the_end_of_the_server_is_the_end_of_the_sessions() {
    let (server, setup) = (server().await, Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
    guard(server.shutdown()).await;
    for stream in [&mut alice, &mut bob] {
        assert!(matches!(recv(stream).await, Some(Event::Failed(_))));
        assert!(recv(stream).await.is_none());
        assert!(stream.send_message("?").await.unwrap_err().is(&rules::SESSION_ENDED));
    }
    let error = guard(pair.bob.accept()).await.unwrap_err();
    assert!(error.is(&countersign::xmpp::client::rules::STREAM_ERROR), "{error:?}");
    assert!(pair.bob.has_ended());
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
    let mut setup = Setup::default();
    let short = Duration::from_millis(300);
    setup.limits = setup.limits.with_reply(short).with_handshake(short);
    let mut silent: Vec<Error> = Vec::new();
    for after in 0.. {
        let server = server().await;
        let alice = Driver::spawn(login(&server, ALICE).await, None);
        let _bob = Driver::spawn(Deaf { client: login(&server, BOB).await, after }, setup.gate());
        let config = setup.initiator(alice.own_jid(), BOB);
        match guard(alice.connect(config, client_endpoint())).await {
            Ok(_) => break,
            Err(error) => silent.push(error),
        }
    }
    // Disco, initiate, open, TLS and SASL each need at least one stanza.
    assert!(silent.len() >= 6, "{silent:?}");
    for error in silent {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    }
}
