//! One whole session as the servers see it, kept in `tests/fixtures/session.txt` and explained in `docs/wire-capture.md`.
//!
//! The test records a session anew and holds the kept one to it, stanza kind by stanza kind. To renew the file, delete it
//! and run the test: it writes the file and fails.
#![cfg(all(feature = "demo-server", feature = "cpace"))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore, SharedPassword};
use countersign::scram::{HashFunction, StoredCredential};
use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::driver::{Connection, Driver, StanzaReceiver, StanzaSender};
use countersign::xmpp::server::{Config, Server};
use countersign::xmpp::stream::to_octets;
use countersign::xmpp::{Acceptance, Element, Event, FullJid, InitiatorConfig, Jid, ResponderConfig};
use countersign::{MechanismName, Password, Result, system_rng};

const ACCOUNT: &str = "account password";
const SECRET: &str = "rosebud 1941";
const ALICE: &str = "alice@home.example/laptop";
const BOB: &str = "bob@home.example/tablet";

/// After which a test that hangs fails.
const GUARD: Duration = Duration::from_secs(60);

/// What crosses Alice's connection: `C` from the client, `S` from the server.
type Log = Arc<Mutex<Vec<(char, Element)>>>;

/// A connection that notes every stanza.
struct Recorded<C>(C, Log);
struct Half<H>(H, Log);

impl<C: Connection> Connection for Recorded<C> {
    type Sender = Half<C::Sender>;
    type Receiver = Half<C::Receiver>;

    fn own_jid(&self) -> FullJid {
        self.0.own_jid()
    }

    fn split(self) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = self.0.split();
        (Half(sender, self.1.clone()), Half(receiver, self.1))
    }
}

impl<H: StanzaSender> StanzaSender for Half<H> {
    async fn send(&mut self, stanza: Element) -> Result<()> {
        self.1.lock().unwrap().push(('C', stanza.clone()));
        self.0.send(stanza).await
    }

    async fn close(self) -> Result<()> {
        self.0.close().await
    }
}

impl<H: StanzaReceiver> StanzaReceiver for Half<H> {
    async fn recv(&mut self) -> Result<Option<Element>> {
        let stanza = self.0.recv().await?;
        if let Some(stanza) = &stanza {
            self.1.lock().unwrap().push(('S', stanza.clone()));
        }
        Ok(stanza)
    }
}

async fn server() -> Server {
    let scram = MechanismName::from_static("SCRAM-SHA-256");
    let mut accounts = MemoryStore::new(&mut system_rng());
    for user in ["alice", "bob"] {
        let (hash, preparation) = (HashFunction::Sha256, Preparation::default());
        let password = Password::new(ACCOUNT);
        let record = StoredCredential::generate_with(hash, &password, preparation, 4096, &mut system_rng());
        accounts.insert(&scram, user, Credential::Scram(record.unwrap())).unwrap();
    }
    Server::bind(Config::new("home.example", Arc::new(accounts))).await.unwrap()
}

async fn log_in(server: &Server, jid: &str) -> Client {
    let login = Login::new(Jid::new(jid).unwrap(), Password::new(ACCOUNT)).unwrap();
    Client::connect(server.local_addr(), login).await.unwrap()
}

fn throw_away() -> Tls {
    Tls::new(Identity::generate().unwrap()).unwrap()
}

/// A session in which each says one thing, seen from Alice's connection.
async fn record() -> Vec<(char, Element)> {
    let server = server().await;
    let gate = |peer: &FullJid| {
        let (peer, secret) = (peer.to_bare(), Password::new(SECRET));
        let store = SharedPassword::new(peer.as_str(), secret, Preparation::default(), system_rng());
        Some(Acceptance {
            config: ResponderConfig::new(FullJid::new(BOB).unwrap(), Arc::new(store.ok()?)),
            endpoint: Box::new(RustlsEndpoint::server(&throw_away()).ok()?),
            rng: Box::new(system_rng()),
        })
    };
    let log = Log::default();
    let bob = Driver::spawn(log_in(&server, BOB).await, Some(Box::new(gate)));
    let alice = Driver::spawn(Recorded(log_in(&server, ALICE).await, log.clone()), None);
    let config = InitiatorConfig::new(alice.own_jid().clone(), bob.own_jid().clone(), Password::new(SECRET));
    let endpoint = Box::new(RustlsEndpoint::client(&throw_away()).unwrap());
    let (called, taken) = tokio::join!(alice.connect(config, endpoint), bob.accept());
    let (mut called, mut taken) = (called.unwrap(), taken.unwrap());
    called.send_message("Is it you, Bob?").await.unwrap();
    assert!(matches!(taken.recv().await, Some(Event::Stanza(_))));
    taken.send_message("It is.").await.unwrap();
    assert!(matches!(called.recv().await, Some(Event::Stanza(_))));
    let (ours, theirs) = tokio::join!(called.finish(), taken.recv());
    ours.unwrap();
    assert!(matches!(theirs, Some(Event::Closed)));
    alice.finish().await;
    let log = log.lock().unwrap();
    log.clone()
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/session.txt")
}

fn shown(log: &[(char, Element)]) -> String {
    let mut text = String::new();
    for (side, stanza) in log {
        let stanza = String::from_utf8(to_octets(stanza).unwrap()).unwrap();
        writeln!(text, "{side}: {stanza}").unwrap();
    }
    text
}

fn read(text: &str) -> Vec<(char, Element)> {
    let line = |line: &str| (line.chars().next().unwrap(), line[3..].parse().unwrap());
    text.lines().map(line).collect()
}

/// The kinds of stanzas of one side, each once, in the order in which they first come. How many blocks there are is chance.
fn kinds(log: &[(char, Element)], side: char) -> Vec<String> {
    let mut kinds = Vec::new();
    for (_, stanza) in log.iter().filter(|(of, _)| *of == side) {
        let payload = stanza.children().next().map_or_else(String::new, |payload| {
            format!(" {}#{}{}", payload.ns(), payload.name(), payload.attr("action").unwrap_or_default())
        });
        let kind = format!("{} {}{payload}", stanza.name(), stanza.attr("type").unwrap_or_default());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_session_is_what_sessions_are() {
    let path = path();
    let fresh = tokio::time::timeout(GUARD, record()).await.expect("the test hangs");
    let Ok(kept) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, shown(&fresh)).unwrap();
        panic!("there was no {}; it has been written", path.display());
    };
    let kept = read(&kept);
    for side in ['C', 'S'] {
        assert_eq!(kinds(&kept, side), kinds(&fresh, side));
    }
}

#[test]
fn nothing_of_what_was_said_is_in_the_kept_session() {
    let kept = std::fs::read_to_string(path()).unwrap();
    for word in ["Is it you", "It is.", SECRET, "stream:stream", "challenge"] {
        assert!(!kept.contains(word), "{word}");
    }
}
