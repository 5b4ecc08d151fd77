//! For a bot that lives on tokio-xmpp: it lends its existing connection to the driver, accepts tunnels from those who
//! share its password, and answers every message in the tunnel with an echo. [`Lent`] and [`pump`] are all that a
//! connection of another library takes.
//!
//! To run by itself it starts the demo server, and Alice with this crate's own client, who opens a tunnel and talks to the
//! bot.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore, SharedPassword};
use countersign::scram::{HashFunction, StoredCredential};
use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::driver::{Connection, Driver, E2eStream, Handle, StanzaReceiver, StanzaSender, rules};
use countersign::xmpp::server::{Config, Server};
use countersign::xmpp::{
    Acceptance, Element, Event, FullJid, Gate, InitiatorConfig, Jid, ResponderConfig, ns,
};
use countersign::{Password, system_rng};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_xmpp::connect::DnsConfig;
use tokio_xmpp::parsers::{iq::Iq, message::Message, presence::Presence};
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Event as Arrived, Stanza};

const ALICE: &str = "alice@home.example/laptop";
const BOT: &str = "bot@home.example/echo";

/// Of the accounts at the server.
const ACCOUNT: &str = "account password";

/// What Alice and the bot share, and the server does not know.
const SECRET: &str = "rosebud 1941";

/// After which the example fails instead of hanging.
const GUARD: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    tokio::time::timeout(GUARD, run()).await?
}

async fn run() -> Result<()> {
    let server = demo_server().await?;

    // Plain TCP, because the server is in this very process. The login is tokio-xmpp's own choice: here SCRAM-SHA-256, all
    // that the demo server offers. Elsewhere beware: over TLS, with a server that offers SCRAM without -PLUS, tokio-xmpp 6
    // goes on to PLAIN, and the server gets the password itself. `countersign::xmpp::client` does not.
    let address = DnsConfig::addr(&server.local_addr().to_string());
    let mut client = tokio_xmpp::Client::new_plaintext(Jid::new(BOT)?, ACCOUNT, address, Timeouts::default());
    let own = loop {
        match client.next().await.ok_or("the bot could not log in")? {
            Arrived::Online { bound_jid, .. } => break FullJid::new(bound_jid.as_str())?,
            Arrived::Disconnected(error) => return Err(error.into()),
            Arrived::Stanza(_) => {}
        }
    };
    println!("bot: online as {own}, on tokio-xmpp");

    let (connection, pumping) = lend(client, own.clone());
    let bot = Driver::spawn(connection, Some(gate(own)));
    tokio::select! {
        over = serve(&bot) => return Err(over.into()),
        talked = talk(&server) => talked?,
    }
    bot.finish().await;
    pumping.await??;
    println!("bot: offline");
    Ok(())
}

/// A connection of tokio-xmpp as the driver sees it. tokio-xmpp's own halves lock each other out while one of them sends;
/// here one task owns the client, and two queues of one stanza lead to it.
struct Lent {
    own: FullJid,
    to_send: mpsc::Sender<Element>,
    arrived: mpsc::Receiver<Element>,
}

struct LentSender(mpsc::Sender<Element>);

struct LentReceiver(mpsc::Receiver<Element>);

impl Connection for Lent {
    type Sender = LentSender;
    type Receiver = LentReceiver;

    fn own_jid(&self) -> FullJid {
        self.own.clone()
    }

    fn split(self) -> (LentSender, LentReceiver) {
        (LentSender(self.to_send), LentReceiver(self.arrived))
    }
}

impl StanzaSender for LentSender {
    async fn send(&mut self, stanza: Element) -> countersign::Result<()> {
        self.0.send(stanza).await.map_err(|_| (&rules::ENDED).into())
    }

    /// Dropping the queue is what the pump closes the stream for.
    async fn close(self) -> countersign::Result<()> {
        Ok(())
    }
}

impl StanzaReceiver for LentReceiver {
    async fn recv(&mut self) -> countersign::Result<Option<Element>> {
        Ok(self.0.recv().await)
    }
}

fn lend(client: tokio_xmpp::Client, own: FullJid) -> (Lent, tokio::task::JoinHandle<Result<()>>) {
    let (to_send, sending) = mpsc::channel(1);
    let (arriving, arrived) = mpsc::channel(1);
    (Lent { own, to_send, arrived }, tokio::spawn(pump(client, sending, arriving)))
}

/// Carries stanzas until the driver lets go, or the stream ends. tokio-xmpp would open another stream by itself, but no
/// tunnel outlives the one that it was opened on. Stanzas that are not the tunnel's can be taken out here, or from
/// `Handle::recv_stanza`.
async fn pump(
    mut client: tokio_xmpp::Client,
    mut sending: mpsc::Receiver<Element>,
    arriving: mpsc::Sender<Element>,
) -> Result<()> {
    loop {
        // First room, then a stanza: a driver that does not read holds the server back, and still sends.
        let next = async { Some((arriving.reserve().await.ok()?, client.next().await?)) };
        tokio::select! {
            stanza = sending.recv() => match stanza {
                Some(stanza) => drop(client.send_stanza(to_theirs(stanza)?).await?),
                None => break,
            },
            event = next => match event {
                Some((room, Arrived::Stanza(stanza))) => room.send(to_ours(stanza)),
                _ => break,
            },
        }
    }
    Ok(client.send_end().await?)
}

fn to_theirs(stanza: Element) -> Result<Stanza> {
    Ok(match stanza.name() {
        "iq" => Iq::try_from(stanza)?.into(),
        "message" => Message::try_from(stanza)?.into(),
        _ => Presence::try_from(stanza)?.into(),
    })
}

fn to_ours(stanza: Stanza) -> Element {
    match stanza {
        Stanza::Iq(iq) => iq.into(),
        Stanza::Message(message) => message.into(),
        Stanza::Presence(presence) => presence.into(),
    }
}

/// Whoever claims to be Alice may try; whoever knows the secret gets in.
fn gate(own: FullJid) -> Box<dyn Gate> {
    Box::new(move |peer: &FullJid| {
        if FullJid::new(ALICE).ok()?.to_bare() != peer.to_bare() {
            return None;
        }
        let bare = peer.to_bare().to_string();
        let known =
            SharedPassword::new(&bare, Password::new(SECRET), Preparation::default(), system_rng()).ok()?;
        Some(Acceptance {
            config: ResponderConfig::new(own.clone(), Arc::new(known)),
            endpoint: Box::new(RustlsEndpoint::server(&throw_away().ok()?).ok()?),
            rng: Box::new(system_rng()),
        })
    })
}

/// Takes tunnels until the connection is over.
async fn serve(bot: &Handle) -> countersign::Error {
    loop {
        match bot.accept().await {
            Ok(tunnel) => drop(tokio::spawn(echo(tunnel))),
            Err(error) if bot.has_ended() => return error,
            Err(error) => println!("bot: somebody was refused: {error}"),
        }
    }
}

async fn echo(mut tunnel: E2eStream) {
    println!("bot: {} has proven the secret", tunnel.peer());
    while let Some(event) = tunnel.recv().await {
        match event {
            Event::Stanza(stanza) => {
                if let Some(text) = body(&stanza)
                    && let Err(error) = tunnel.send_message(&text).await
                {
                    println!("bot: the echo was lost: {error}");
                }
            }
            Event::Failed(error) => println!("bot: the tunnel broke: {error}"),
            Event::Closed => println!("bot: the tunnel was closed properly"),
            _ => {}
        }
    }
}

/// Alice's part, on this crate's own client.
async fn talk(server: &Server) -> Result<()> {
    let login = Login::new(Jid::new(ALICE)?, Password::new(ACCOUNT))?;
    let alice = Driver::spawn(Client::connect(server.local_addr(), login).await?, None);
    let call = InitiatorConfig::new(alice.own_jid().clone(), FullJid::new(BOT)?, Password::new(SECRET));
    let mut tunnel = alice.connect(call, Box::new(RustlsEndpoint::client(&throw_away()?)?)).await?;
    println!("Alice: verified with {}", tunnel.established().mechanism);
    for text in ["Is anybody there?", "<nobody/> & nothing else reads this"] {
        tunnel.send_message(text).await?;
        match tunnel.recv().await {
            Some(Event::Stanza(stanza)) if body(&stanza).as_deref() == Some(text) => {
                println!("Alice hears: {text}");
            }
            other => return Err(format!("{other:?} in the place of an echo").into()),
        }
    }
    tunnel.finish().await?;
    alice.finish().await;
    Ok(())
}

fn body(message: &Element) -> Option<String> {
    Some(message.get_child("body", ns::CLIENT)?.text())
}

fn throw_away() -> countersign::Result<Tls> {
    Tls::new(Identity::generate()?)
}

/// Accounts for Alice and the bot. So few iterations are for demos only.
async fn demo_server() -> Result<Server> {
    let (rng, scram) = (&mut system_rng(), MechanismName::from_static("SCRAM-SHA-256"));
    let mut accounts = MemoryStore::new(rng);
    for user in ["alice", "bot"] {
        let (hash, preparation) = (HashFunction::Sha256, Preparation::default());
        let record = StoredCredential::generate_with(hash, &Password::new(ACCOUNT), preparation, 4096, rng)?;
        accounts.insert(&scram, user, Credential::Scram(record))?;
    }
    Ok(Server::bind(Config::new("home.example", Arc::new(accounts))).await?)
}
