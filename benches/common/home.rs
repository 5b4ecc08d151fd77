//! What the benches of tunnels share: the embedded server, clients that are logged in there, and sessions between them.

use std::sync::Arc;

use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore, SharedPassword};
use countersign::scram::{HashFunction, StoredCredential};
use countersign::tls::certificate::{Config as Tls, RustlsEndpoint};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::driver::{E2eStream, Handle};
use countersign::xmpp::server::{Config, Limits, Server};
use countersign::xmpp::{Acceptance, FullJid, Gate, InitiatorConfig, Jid, ResponderConfig};
use countersign::{MechanismName, Password, system_rng};

const DOMAIN: &str = "home.example";
const ACCOUNT: &str = "account password";
const SECRET: &str = "correct horse battery staple";

/// A server with accounts for pairs of people, `alice0` and `bob0`, `alice1` and `bob1`, and so on.
pub(crate) async fn server(pairs: usize) -> Server {
    let rng = &mut system_rng();
    let mut accounts = MemoryStore::new(rng);
    let scram = MechanismName::from_static("SCRAM-SHA-256");
    for pair in 0..pairs {
        for name in ["alice", "bob"] {
            let (hash, preparation) = (HashFunction::Sha256, Preparation::default());
            let record =
                StoredCredential::generate_with(hash, &Password::new(ACCOUNT), preparation, 4096, rng);
            let credential = Credential::Scram(record.expect("the settings are good"));
            accounts.insert(&scram, &format!("{name}{pair}"), credential).expect("a good name");
        }
    }
    let mut limits = Limits::default();
    limits.connections = 2 * pairs + 2;
    let config = Config::new(DOMAIN, Arc::new(accounts)).with_limits(limits);
    Server::bind(config).await.expect("a port is free")
}

/// A connection of one of them.
pub(crate) async fn client(server: &Server, user: &str) -> Client {
    let jid = Jid::new(&format!("{user}@{DOMAIN}/bench")).expect("an address");
    let login = Login::new(jid, Password::new(ACCOUNT)).expect("an account");
    Client::connect(server.local_addr(), login).await.expect("the server is there")
}

/// Takes everybody who knows the secret, with more settings than the usual ones.
pub(crate) fn gate(
    own: &FullJid,
    tls: &Tls,
    settings: impl Fn(ResponderConfig) -> ResponderConfig + Send + 'static,
) -> Box<dyn Gate> {
    let (own, tls) = (own.clone(), tls.clone());
    Box::new(move |peer: &FullJid| {
        let (peer, secret) = (peer.to_bare(), Password::new(SECRET));
        let store = SharedPassword::new(peer.as_str(), secret, Preparation::default(), system_rng());
        Some(Acceptance {
            config: settings(ResponderConfig::new(own.clone(), Arc::new(store.ok()?))),
            endpoint: Box::new(RustlsEndpoint::server(&tls).ok()?),
            rng: Box::new(system_rng()),
        })
    })
}

/// A session between two, seen from both ends.
pub(crate) async fn connect(
    [caller, called]: [&Handle; 2],
    tls: &Tls,
    settings: impl Fn(InitiatorConfig) -> InitiatorConfig,
) -> [E2eStream; 2] {
    let config =
        InitiatorConfig::new(caller.own_jid().clone(), called.own_jid().clone(), Password::new(SECRET));
    let endpoint = Box::new(RustlsEndpoint::client(tls).expect("the settings are good"));
    let (ours, theirs) = tokio::join!(caller.connect(settings(config), endpoint), called.accept());
    [ours.expect("both know the secret"), theirs.expect("the caller knows the secret")]
}
