//! A small XMPP server **FOR DEMOS AND TESTS ONLY**: it lives in the same process, listens on loopback, knows one
//! domain, keeps nothing, has no TLS of its own, and can play the dishonest server on purpose.
//!
//! It routes stanzas between its clients as RFC 6120 and RFC 6121 want, with limits on everything a client could
//! make it hold. An [`Attack`] turns it against the end-to-end sessions that pass through: both ends must then
//! refuse, which is what it is for.
//!
//! Beside the stream it has a proxy for SOCKS5 bytestreams (XEP-0065), with limits of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use countersign::mechanism::MechanismName;
//! use countersign::prep::Preparation;
//! use countersign::registry::{Credential, MemoryStore, SharedPassword};
//! use countersign::sasl::Policy;
//! use countersign::scram::{HashFunction, StoredCredential};
//! use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
//! use countersign::xmpp::client::{Client, Login};
//! use countersign::xmpp::driver::Driver;
//! use countersign::xmpp::server::{Config, Server};
//! use countersign::xmpp::{Acceptance, Event, FullJid, InitiatorConfig, Jid, ResponderConfig};
//! use countersign::{Password, system_rng};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A server with two accounts, which have nothing to do with the secret of the two ends.
//! let account = Password::new("account");
//! let scram = MechanismName::from_static("SCRAM-SHA-256");
//! let mut accounts = MemoryStore::new(&mut system_rng());
//! for user in ["alice", "bob"] {
//!     // So few iterations are for tests only.
//!     let (hash, preparation) = (HashFunction::Sha256, Preparation::default());
//!     let record = StoredCredential::generate_with(hash, &account, preparation, 4096, &mut system_rng())?;
//!     accounts.insert(&scram, user, Credential::Scram(record))?;
//! }
//! let server = Server::bind(Config::new("home.example", Arc::new(accounts))).await?;
//! let log_in = async |jid: &str| {
//!     let login = Login::new(Jid::new(jid).expect("an address"), account.clone())?;
//!     Client::connect(server.local_addr(), login).await
//! };
//!
//! // Bob knows the secret that he shares with Alice, and takes a mechanism by name.
//! let policy = Policy::named([MechanismName::from_static("SCRAM-SHA-256-PLUS")]);
//! let secret = Password::new("correct horse battery staple");
//! let store = SharedPassword::new("alice@home.example", secret.clone(), Preparation::default(), system_rng())?
//!     .with_scram_iterations(4096);
//! let own = FullJid::new("bob@home.example/tab")?;
//! let config = ResponderConfig::new(own, Arc::new(store)).with_policy(policy.clone());
//! let gate = move |_: &FullJid| {
//!     let tls = Tls::new(Identity::generate().ok()?).ok()?;
//!     Some(Acceptance {
//!         config: config.clone(),
//!         endpoint: Box::new(RustlsEndpoint::server(&tls).ok()?),
//!         rng: Box::new(system_rng()),
//!     })
//! };
//! let bob = Driver::spawn(log_in("bob@home.example/tab").await?, Some(Box::new(gate)));
//!
//! // Alice calls.
//! let alice = Driver::spawn(log_in("alice@home.example/lap").await?, None);
//! let config = InitiatorConfig::new(alice.own_jid().clone(), bob.own_jid().clone(), secret).with_policy(policy);
//! let endpoint = RustlsEndpoint::client(&Tls::new(Identity::generate()?)?)?;
//! let (called, taken) = tokio::join!(alice.connect(config, Box::new(endpoint)), bob.accept());
//! let (mut called, mut taken) = (called?, taken?);
//! called.send_message("nobody else reads this").await?;
//! assert!(matches!(taken.recv().await, Some(Event::Stanza(_))));
//! called.finish().await?;
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jid::BareJid;
use rand_core::Rng;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::guess::{GuessLimits, Guesses, OVERALL_WINDOW};
use crate::mechanism::MechanismName;
use crate::registry::{self, CredentialStore};

pub mod attack;
mod connection;
mod guesses;
mod proxy;
mod replies;
mod router;

pub use attack::{Attack, Report};
pub use proxy::{
    PROXY_ACTIVATION_TIMEOUT, PROXY_BUFFER, PROXY_CONNECTIONS_MAX, PROXY_HANDSHAKE_TIMEOUT,
    PROXY_IDLE_TIMEOUT, PROXY_PARTNER_TIMEOUT,
};
pub use router::{DIRECTED_MAX, QUEUE_OCTETS, QUEUE_STANZAS, RESOURCES_MAX, Statistics};

use proxy::Proxy;
use router::{Counters, Router};

/// What the server says of itself in every stream's features.
pub const LABEL: &str = "countersign demo server, FOR DEMOS AND TESTS ONLY";

/// Namespace of the element that holds [`LABEL`].
pub const LABEL_NS: &str = "urn:countersign:demo:0";

/// Most clients at a time.
pub const CONNECTIONS_MAX: usize = 64;

/// Refused logins after which a stream ends (RFC 6120 section 6.4.5 wants two to five).
pub const LOGIN_ATTEMPTS: u32 = 3;

/// Wrong passwords that all accounts together may take in [`OVERALL_WINDOW`]. Each
/// login counts while it runs, so it is more than [`CONNECTIONS_MAX`]. One account may take
/// [`PEER_GUESSES`](crate::guess::PEER_GUESSES).
pub const LOGIN_GUESSES: usize = 256;

/// From the first octet to the bound resource.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Silence after which a client is taken for gone.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// For one stanza to leave towards a client that does not read.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The address is reachable from elsewhere.
    pub static NOT_LOOPBACK: Rule = Rule {
        id: "demo-server-not-loopback",
        kind: ErrorKind::PolicyRefused,
        source: "countersign",
        what: "the demo server listens on loopback addresses only",
        advice: "Use 127.0.0.1 or ::1; for anything else run a real XMPP server.",
    };
    /// The listening socket could not be made.
    pub static CANNOT_LISTEN: Rule = Rule {
        id: "demo-server-cannot-listen",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "the demo server cannot listen",
        advice: "Choose port 0 to get a free port, or stop what uses this one.",
    };
    /// The domain is not one.
    pub static BAD_DOMAIN: Rule = Rule {
        id: "demo-server-bad-domain",
        kind: ErrorKind::Misuse,
        source: "RFC 7622 section 3.2",
        what: "not a domain",
        advice: "Use a name such as home.example, without user and resource.",
    };
    /// A mechanism that cannot log clients in here.
    pub static BAD_MECHANISM: Rule = Rule {
        id: "demo-server-bad-mechanism",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "this mechanism cannot be used on a connection without TLS",
        advice: "Name mechanisms without -PLUS; the demo server has no TLS of its own.",
    };
    /// A client's connection broke.
    pub(crate) static CLIENT_LOST: Rule = Rule {
        id: "demo-server-client-lost",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "the connection of a client broke",
        advice: "Connect again.",
    };
    /// A client does not read.
    pub(crate) static CLIENT_STALLED: Rule = Rule {
        id: "demo-server-client-stalled",
        kind: ErrorKind::TimedOut,
        source: "countersign",
        what: "a client does not read what is sent to it",
        advice: "Read, or close the connection.",
    };
}

/// The limits of one server. Each starts at the constant of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// [`STANZA_MAX`](crate::xmpp::STANZA_MAX).
    pub stanza: usize,
    /// [`XML_DEPTH_MAX`](crate::xmpp::XML_DEPTH_MAX).
    pub depth: usize,
    /// [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// [`LOGIN_ATTEMPTS`].
    pub login_attempts: u32,
    /// [`QUEUE_STANZAS`].
    pub queue_stanzas: usize,
    /// [`QUEUE_OCTETS`].
    pub queue_octets: usize,
    /// [`LOGIN_TIMEOUT`].
    pub login: Duration,
    /// [`IDLE_TIMEOUT`].
    pub idle: Duration,
    /// [`WRITE_TIMEOUT`].
    pub write: Duration,
    /// [`PROXY_CONNECTIONS_MAX`].
    pub proxy_connections: usize,
    /// [`PROXY_HANDSHAKE_TIMEOUT`].
    pub proxy_handshake: Duration,
    /// [`PROXY_PARTNER_TIMEOUT`].
    pub proxy_partner: Duration,
    /// [`PROXY_ACTIVATION_TIMEOUT`].
    pub proxy_activation: Duration,
    /// [`PROXY_IDLE_TIMEOUT`].
    pub proxy_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza: super::STANZA_MAX,
            depth: super::XML_DEPTH_MAX,
            connections: CONNECTIONS_MAX,
            login_attempts: LOGIN_ATTEMPTS,
            queue_stanzas: QUEUE_STANZAS,
            queue_octets: QUEUE_OCTETS,
            login: LOGIN_TIMEOUT,
            idle: IDLE_TIMEOUT,
            write: WRITE_TIMEOUT,
            proxy_connections: PROXY_CONNECTIONS_MAX,
            proxy_handshake: PROXY_HANDSHAKE_TIMEOUT,
            proxy_partner: PROXY_PARTNER_TIMEOUT,
            proxy_activation: PROXY_ACTIVATION_TIMEOUT,
            proxy_idle: PROXY_IDLE_TIMEOUT,
        }
    }
}

impl Limits {
    fn stream(&self) -> super::Limits {
        super::Limits::default().with_stanza(self.stanza).with_depth(self.depth)
    }
}

/// What a server is made from.
#[derive(Clone)]
pub struct Config {
    domain: String,
    accounts: Arc<dyn CredentialStore>,
    mechanisms: Vec<MechanismName>,
    address: SocketAddr,
    proxy_address: Option<SocketAddr>,
    beyond_loopback: bool,
    limits: Limits,
    guesses: Guesses,
    attack: Option<Attack>,
}

impl Config {
    /// One domain and its accounts: users are the local parts of their JIDs. Login is by SCRAM-SHA-256, on a free
    /// port of 127.0.0.1.
    #[must_use]
    pub fn new(domain: impl Into<String>, accounts: Arc<dyn CredentialStore>) -> Self {
        Self {
            domain: domain.into(),
            accounts,
            mechanisms: vec![MechanismName::from_static("SCRAM-SHA-256")],
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            proxy_address: None,
            beyond_loopback: false,
            limits: Limits::default(),
            guesses: Guesses::in_memory(GuessLimits::default().with_overall(LOGIN_GUESSES, OVERALL_WINDOW)),
            attack: None,
        }
    }

    /// Sets where to listen; port 0 takes a free one.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sets where the proxy for SOCKS5 bytestreams (XEP-0065) listens: a free port of the server's own IP address unless told
    /// otherwise. Its JID is `proxy.` and the domain, `proxy@` before an address of IPv6; service discovery names it.
    #[must_use]
    pub fn with_proxy_address(mut self, address: SocketAddr) -> Self {
        self.proxy_address = Some(address);
        self
    }

    /// Allows addresses that others can reach.
    ///
    /// # Security
    /// The server has no TLS: everybody on the way reads the logins and edits the stanzas.
    #[must_use]
    pub fn dangerously_listen_beyond_loopback(mut self) -> Self {
        self.beyond_loopback = true;
        self
    }

    /// Sets the login mechanisms, in the order in which they are offered.
    #[must_use]
    pub fn with_mechanisms(mut self, mechanisms: impl IntoIterator<Item = MechanismName>) -> Self {
        self.mechanisms = mechanisms.into_iter().collect();
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what counts wrong passwords, under the bare JID of the account: in memory unless told otherwise, by account as
    /// [`GuessLimits`] begins and [`LOGIN_GUESSES`] for all. Above a limit each login is refused with
    /// `<temporary-auth-failure/>`, on whatever connection, before anything is computed for it.
    ///
    /// # Security
    /// Whoever can reach the server can keep the user of an account out, by guesses under its name.
    #[must_use]
    pub fn with_guesses(mut self, guesses: Guesses) -> Self {
        self.guesses = guesses;
        self
    }

    /// Turns the server against the end-to-end sessions that pass through it.
    #[must_use]
    pub fn with_attack(mut self, attack: Option<Attack>) -> Self {
        self.attack = attack;
        self
    }
}

/// What all connections of a server share.
struct Shared {
    router: Arc<Router>,
    accounts: Arc<dyn CredentialStore>,
    mechanisms: Vec<MechanismName>,
    guesses: Guesses,
    limits: Limits,
}

/// An unpredictable name for a stream or a resource.
fn fresh_name(prefix: &str) -> String {
    format!("{prefix}{:016x}", crate::system_rng().next_u64())
}

/// A running server. Dropping it stops it at once; [`Server::shutdown`] says goodbye to its clients.
pub struct Server {
    local_addr: SocketAddr,
    proxy_addr: SocketAddr,
    proxy_jid: BareJid,
    router: Arc<Router>,
    shutdown: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    proxying: JoinHandle<()>,
}

impl Server {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`rules::NOT_LOOPBACK`], [`rules::BAD_DOMAIN`], [`rules::BAD_MECHANISM`], [`rules::CANNOT_LISTEN`], and an
    /// unknown mechanism.
    pub async fn bind(config: Config) -> Result<Self> {
        let proxy_address = config.proxy_address.unwrap_or(SocketAddr::new(config.address.ip(), 0));
        for address in [config.address, proxy_address] {
            if !address.ip().is_loopback() && !config.beyond_loopback {
                return Err(Error::new(&rules::NOT_LOOPBACK).about(address.to_string()));
            }
        }
        let domain = BareJid::new(&config.domain).ok().filter(|jid| jid.node().is_none());
        let domain = domain.ok_or_else(|| Error::new(&rules::BAD_DOMAIN).about(&config.domain))?;
        for name in &config.mechanisms {
            if registry::find(name)?.properties().needs_binding {
                return Err(Error::new(&rules::BAD_MECHANISM).about(name.as_str()));
            }
        }
        let cannot_listen = |error: std::io::Error| super::wire::io_error(&rules::CANNOT_LISTEN, &error);
        let listener = TcpListener::bind(config.address).await.map_err(cannot_listen)?;
        let local_addr = listener.local_addr().map_err(cannot_listen)?;
        let proxies = TcpListener::bind(proxy_address).await.map_err(cannot_listen)?;
        let proxy_addr = proxies.local_addr().map_err(cannot_listen)?;
        let proxy = Proxy::new(&domain, proxy_addr, config.limits.clone()).map(Arc::new);
        let proxy = proxy.ok_or_else(|| Error::new(&rules::BAD_DOMAIN).about(&config.domain))?;
        let router = Arc::new(Router::new(domain, Some(proxy.clone()), config.attack.map(Attack::attacker)));
        let shared = Arc::new(Shared {
            router: router.clone(),
            accounts: config.accounts,
            mechanisms: config.mechanisms,
            guesses: config.guesses,
            limits: config.limits,
        });
        let (shutdown, down) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, shared, down));
        let proxy_jid = proxy.jid().clone();
        let proxying = tokio::spawn(proxy::accept(proxies, proxy));
        Ok(Self { local_addr, proxy_addr, proxy_jid, router, shutdown, accepting, proxying })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address of its proxy on the XMPP network.
    #[must_use]
    pub fn proxy_jid(&self) -> &BareJid {
        &self.proxy_jid
    }

    /// Where its proxy listens.
    #[must_use]
    pub fn proxy_addr(&self) -> SocketAddr {
        self.proxy_addr
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.router.statistics()
    }

    /// What its attack has achieved so far; `None` for an honest server.
    #[must_use]
    pub fn attack_report(&self) -> Option<Report> {
        self.router.attack_report()
    }

    /// Ends every stream with `<system-shutdown/>` and waits until all are closed.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        // A panic in there has been reported already.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.proxying.abort();
    }
}

/// Takes connections until the server shuts down, then waits for them. Dropping this drops them all.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut down: watch::Receiver<bool>) {
    /// For the operating system to find new resources after a failed accept.
    const PAUSE: Duration = Duration::from_millis(50);

    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = down.wait_for(|down| *down) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        Counters::add(&shared.router.counters.connections, 1);
        let Ok(place) = places.clone().try_acquire_owned() else {
            connection::turn_away(&stream, shared.router.domain());
            continue;
        };
        let (shared, down) = (shared.clone(), down.clone());
        connections.spawn(async move {
            connection::serve(stream, shared, down).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
