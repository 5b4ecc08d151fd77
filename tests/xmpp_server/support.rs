//! Servers, accounts and raw connections for the tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore};
use countersign::scram::{HashFunction, StoredCredential};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::server::{Config, Server};
use countersign::xmpp::{Element, Jid};
use countersign::{Error, Password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DOMAIN: &str = "home.example";
pub(crate) const PASSWORD: &str = "account password";

/// Fewest iterations a client accepts: logins are not what is measured here.
const ITERATIONS: u32 = 4096;

/// After which a test that hangs fails.
const GUARD: Duration = Duration::from_secs(30);

/// Fails instead of hanging.
pub(crate) async fn guard<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, work).await.expect("the test hangs")
}

pub(crate) fn config() -> Config {
    Config::new(DOMAIN, Arc::new(accounts()))
}

/// Alice, Bob and Mallory have accounts.
pub(crate) fn accounts() -> MemoryStore {
    let rng = &mut countersign::system_rng();
    let mechanism = MechanismName::from_static("SCRAM-SHA-256");
    let mut accounts = MemoryStore::new(rng).with_simulated_iterations(ITERATIONS);
    for user in ["alice", "bob", "mallory"] {
        let password = Password::new(PASSWORD);
        let record = StoredCredential::generate_with(
            HashFunction::Sha256,
            &password,
            Preparation::default(),
            ITERATIONS,
            rng,
        )
        .unwrap();
        accounts.insert(&mechanism, user, Credential::Scram(record)).unwrap();
    }
    accounts
}

pub(crate) async fn server() -> Server {
    Server::bind(config()).await.unwrap()
}

pub(crate) fn account(jid: &str, password: &str) -> Login {
    Login::new(Jid::new(jid).unwrap(), Password::new(password)).unwrap()
}

pub(crate) async fn login(server: &Server, jid: &str) -> Client {
    try_login(server, account(jid, PASSWORD)).await.unwrap()
}

pub(crate) async fn try_login(server: &Server, login: Login) -> Result<Client, Error> {
    guard(Client::connect(server.local_addr(), login)).await
}

pub(crate) fn element(text: &str) -> Element {
    text.parse().unwrap()
}

pub(crate) async fn next(client: &mut Client) -> Element {
    guard(client.recv()).await.unwrap().unwrap()
}

/// The condition of a stanza error.
pub(crate) fn condition(stanza: &Element) -> String {
    assert_eq!(stanza.attr("type"), Some("error"), "{stanza:?}");
    let error = stanza.children().find(|child| child.name() == "error").unwrap();
    error.children().next().unwrap().name().to_owned()
}

/// A connection that says what it likes.
pub(crate) struct Raw(pub(crate) TcpStream);

pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' to='home.example' version='1.0'>";

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // The other end may have had enough already.
        let _ = self.0.write_all(text.as_bytes()).await;
    }

    /// Reads until `text` has come.
    pub(crate) async fn expect(&mut self, text: &str) {
        let mut read = String::new();
        while !read.contains(text) {
            let mut chunk = [0; 1024];
            let length = guard(self.0.read(&mut chunk)).await.unwrap_or(0);
            assert_ne!(length, 0, "the connection ended with {read:?} instead of {text:?}");
            read.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
    }

    /// Reads to the end of the connection; the stream must end with this error.
    pub(crate) async fn expect_end(mut self, error: &str) {
        let mut read = Vec::new();
        // A reset takes nothing back that has come before it.
        let _ = guard(self.0.read_to_end(&mut read)).await;
        let read = String::from_utf8(read).unwrap();
        assert!(read.contains(&format!("<{error} ")) && read.ends_with("</stream:stream>"), "{read}");
    }
}
