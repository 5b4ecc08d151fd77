//! `countersign demo`: an embedded server, Alice and Bob, a tunnel with every mechanism, and every attack.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::guess::{self, GuessLimits, Guesses, OVERALL_WINDOW, PEER_GUESSES, PEER_WINDOW};
use countersign::mechanism::Properties;
use countersign::prep::Preparation;
use countersign::registry::{self, CredentialStore, MemoryStore, Registered, SharedPassword};
use countersign::sasl::{Floor, Policy};
#[cfg(feature = "openssl")]
use countersign::tls::psk::PreSharedKey;
use countersign::xmpp::client::{Client, Login, find_proxy};
use countersign::xmpp::driver::{Driver, E2eStream, Handle, Listener};
use countersign::xmpp::s5b::{Route, Socks5};
use countersign::xmpp::server::{Attack, Config, Server};
use countersign::xmpp::{
    Acceptance, BareJid, Event, FullJid, InitiatorConfig, Jid, Limits, ResponderConfig, Statistics, ns,
};
use countersign::{Error, ErrorKind, MechanismName, Password, Rule, Side, system_rng};
use serde_json::{Value, json};

use crate::account::{endpoint, runtime};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::serve::make_up;

const DOMAIN: &str = "home.example";
const ALICE: &str = "alice@home.example/laptop";
const BOB: &str = "bob@home.example/tablet";

/// A free port of this machine.
const LOOPBACK: &str = "127.0.0.1:0";

/// What Alice and Bob share: short, as people choose them.
const SHARED: &str = "rosebud 1941";

/// Wrong passwords that Bob allows while the server attacks: each attack is one more guess of Alice's.
const GUESSES_UNDER_ATTACK: usize = 1000;

/// Longest wait for a tunnel to come up or to be refused.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Longest wait for anything in the demo.
const PATIENCE: Duration = Duration::from_secs(60);

static NO_END: Rule = Rule {
    id: "demo-no-end",
    kind: ErrorKind::TimedOut,
    source: "countersign demo",
    what: "the run neither succeeded nor failed in time",
    advice: "Run the demo again; if it happens every time, report it.",
};

static WRONG_ROUTE: Rule = Rule {
    id: "demo-wrong-route",
    kind: ErrorKind::PeerUnavailable,
    source: "countersign demo",
    what: "the octets went another way than they were to",
    advice: "See whether something on this machine keeps programs from connecting to loopback.",
};

static WRONG_MESSAGE: Rule = Rule {
    id: "demo-wrong-message",
    kind: ErrorKind::PeerMisbehaved,
    source: "countersign demo",
    what: "another message arrived than was sent",
    advice: "Report this: it is a defect.",
};

/// Octets that each end sends when an attack has let the tunnel come up: enough for the attack to go on.
const UNDER_ATTACK: usize = 512 * 1024;

/// Octets that Alice sends by each way around the stanzas, and in them.
const BY_EACH_WAY: usize = 256 * 1024;

/// Set up a tunnel with every mechanism, then run every attack
///
/// Starts a server on loopback and two clients that share a short password. Each mechanism of this build sets up a
/// tunnel and carries messages both ways, and one does so by every way that octets can take; then the server turns
/// against them, and both ends refuse.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign demo
  countersign demo --json

Ends with 0 when every honest run succeeded and every attack was refused by both ends, else with 1.")]
pub(crate) struct Args {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(async { demo(args).await });
    runtime.shutdown_background();
    result
}

async fn demo(args: &Args) -> Result<(), Failure> {
    let say = |text: &str| if args.json { Ok(()) } else { output::print(text) };
    let accounts = Accounts::new()?;

    say("Alice and Bob share a short password. The XMPP server between them is not trusted.\n")?;
    let mut honest = Vec::new();
    let stage = Stage::set(&accounts, None, GuessLimits::default()).await?;
    for way in ways() {
        let result = stage.converse(&way.name).await;
        honest.push(Honest { way, result });
    }
    let routes = stage.by_every_way().await;
    stage.strike().await;
    say("Tunnels, end to end:\n")?;
    say(&format!("{}\n", tunnels(&honest)))?;
    say("The same tunnel by every way that its octets can take:\n")?;
    say(&format!("{}\n", route_table(&routes)))?;

    let mut logins = Vec::new();
    for row in unbound() {
        logins.push((row, accounts.log_in_with(row).await));
    }
    say("Without a channel binding: for logging in to a server, refused for tunnels:\n")?;
    say(&format!("{}\n", login_table(&logins)))?;

    let mut refused = Vec::new();
    for attack in Attack::ALL {
        let stage = Stage::set(&accounts, Some(attack), patience()).await?;
        for Way { name, .. } in ways() {
            let ends = stage.attacked(&name).await;
            refused.push(Refused { attack, mechanism: name, ends });
        }
        stage.strike().await;
    }
    say("The server attacks:\n")?;
    say(&format!("{}\n", attacks(&refused)))?;

    let stage = Stage::set(&accounts, None, GuessLimits::default()).await?;
    let guessed = stage.guessed().await;
    stage.strike().await;
    say("Somebody guesses:\n")?;
    say(&guessing(&guessed))?;

    let failed = routes.iter().filter(|run| run.result.is_err()).count()
        + honest.iter().filter(|run| run.result.is_err()).count()
        + logins.iter().filter(|(_, result)| result.is_err()).count()
        + refused.iter().filter(|run| run.ends.both().is_none()).count()
        + usize::from(guessed.wait().is_none());
    if args.json {
        output::print(format_args!(
            "{:#}",
            to_json(&honest, &logins, &refused, &guessed, &routes, failed == 0)
        ))?;
    }
    if failed > 0 {
        return Err(Failure::new(
            Exit::CheckFailed,
            format!("{failed} runs of the demo did not end as they must"),
            "Report this with the output above: it is a defect.",
        ));
    }
    say(&format!(
        "\n{} tunnels and {} logins succeeded; {} attacks were refused by both ends.",
        honest.len() + routes.len(),
        logins.len(),
        refused.len()
    ))
}

/// A mechanism that can open a tunnel.
struct Way {
    name: MechanismName,
    properties: Properties,
}

/// All that can: above TLS, before it and in it.
fn ways() -> Vec<Way> {
    let bound = registry::all().iter().filter(|row| row.properties().needs_binding);
    let ways = bound.map(|row| Way { name: row.name().clone(), properties: row.properties() });
    #[cfg(feature = "openssl")]
    let ways = {
        // Pre-shared keys of TLS 1.2 are for other transports.
        let sessions = registry::in_tls().iter().filter(|row| row.name().as_str() != "TLS12-ECDHE-PSK");
        ways.chain(sessions.map(|row| Way { name: row.name().clone(), properties: row.properties() }))
    };
    ways.collect()
}

/// The mechanisms that cannot.
fn unbound() -> impl Iterator<Item = &'static Registered> {
    registry::all().iter().filter(|row| !row.properties().needs_binding)
}

/// As many guesses as all attacks take.
fn patience() -> GuessLimits {
    GuessLimits::default()
        .with_per_peer(GUESSES_UNDER_ATTACK, PEER_WINDOW)
        .with_overall(GUESSES_UNDER_ATTACK, OVERALL_WINDOW)
}

/// The accounts of both clients at the server, with a record for every mechanism that can log in.
struct Accounts {
    store: Arc<dyn CredentialStore>,
    logins: Vec<MechanismName>,
    passwords: BTreeMap<BareJid, Password>,
}

impl Accounts {
    fn new() -> Result<Self, Failure> {
        let mut rng = system_rng();
        let mut store = MemoryStore::new(&mut rng);
        let mut passwords = BTreeMap::new();
        for jid in [ALICE, BOB] {
            let jid = full(jid).to_bare();
            let user = jid.node().map(|node| node.as_str().to_owned()).unwrap_or_default();
            let password = make_up();
            for row in unbound() {
                let record = row.enroll(&user, &password, Preparation::SaslPrep, &mut rng)?;
                store.insert(row.name(), &user, record)?;
            }
            passwords.insert(jid, password);
        }
        let logins = unbound().map(|row| row.name().clone()).collect();
        Ok(Self { store: Arc::new(store), logins, passwords })
    }

    async fn serve(&self, attack: Option<Attack>) -> Result<Server, Error> {
        let config = Config::new(DOMAIN, self.store.clone())
            .with_mechanisms(self.logins.iter().cloned())
            .with_attack(attack);
        Server::bind(config).await
    }

    async fn log_in(&self, server: &Server, jid: &str, policy: Option<Policy>) -> Result<Client, Error> {
        let jid = full(jid);
        let password = self.passwords[&jid.to_bare()].clone();
        let mut login = Login::new(Jid::from(jid), password)?;
        if let Some(policy) = policy {
            login = login.with_policy(policy);
        }
        Client::connect(server.local_addr(), login).await
    }

    /// Logs Alice in with one mechanism, and gives how long that took.
    async fn log_in_with(&self, row: &Registered) -> Result<Duration, Error> {
        let server = self.serve(None).await?;
        let policy = Policy::named([row.name().clone()]).with_floor(Floor::Named);
        let start = Instant::now();
        let client = self.log_in(&server, ALICE, Some(policy)).await?;
        let took = start.elapsed();
        client.close().await?;
        server.shutdown().await;
        Ok(took)
    }
}

fn full(jid: &str) -> FullJid {
    jid.parse().expect("the demo's own addresses are well formed")
}

/// A server and both clients, logged in.
struct Stage {
    server: Server,
    alice: Handle,
    bob: Handle,
    /// For TLS-PSK: no password will do.
    #[cfg(feature = "openssl")]
    key: PreSharedKey,
    /// What Bob accepts; changed between runs.
    policy: Arc<std::sync::Mutex<Policy>>,
    /// What Bob offers beside the stanzas; changed likewise.
    socks5: Arc<std::sync::Mutex<Option<Socks5>>>,
    /// Where Alice and Bob listen.
    addresses: [Option<std::net::SocketAddr>; 2],
}

/// What a run in which both ends were honest has shown.
struct Conversation {
    took: Duration,
    statistics: Statistics,
    group: String,
}

impl Stage {
    async fn set(accounts: &Accounts, attack: Option<Attack>, limits: GuessLimits) -> Result<Self, Failure> {
        let guesses = Guesses::in_memory(limits);
        let server = accounts.serve(attack).await?;
        let listeners = [Listener::bind(LOOPBACK).await?, Listener::bind(LOOPBACK).await?];
        let addresses = [listeners[0].local_addr(), listeners[1].local_addr()];
        let [alices, bobs] = listeners;
        let alice = Driver::spawn_with_sockets(accounts.log_in(&server, ALICE, None).await?, None, alices);
        let bob = accounts.log_in(&server, BOB, None).await?;
        let own = bob.jid().clone();
        let policy = Arc::new(std::sync::Mutex::new(Policy::default()));
        let socks5 = Arc::new(std::sync::Mutex::new(None));
        #[cfg(feature = "openssl")]
        let key = PreSharedKey::generate(&mut system_rng());
        let gate = {
            #[cfg(feature = "openssl")]
            let key = key.clone();
            let (policy, socks5) = (policy.clone(), socks5.clone());
            let alice = full(ALICE).to_bare();
            let shared = SharedPassword::new(
                alice.as_str(),
                Password::new(SHARED),
                Preparation::default(),
                system_rng(),
            )?;
            let shared: Arc<dyn CredentialStore> = Arc::new(shared);
            move |peer: &FullJid| {
                if peer.to_bare() != alice {
                    return None;
                }
                let policy = policy.lock().ok()?.clone();
                let config = ResponderConfig::new(own.clone(), shared.clone())
                    .with_policy(policy)
                    .with_limits(Limits::default().with_handshake(HANDSHAKE))
                    .with_guesses(guesses.clone());
                #[cfg(feature = "openssl")]
                let config = config.with_psk(key.clone());
                let offer = socks5.lock().ok()?.clone();
                let config = offer.into_iter().fold(config, ResponderConfig::with_socks5);
                let endpoint = endpoint(Side::Server).ok()?;
                Some(Acceptance { config, endpoint, rng: Box::new(system_rng()) })
            }
        };
        let bob = Driver::spawn_with_sockets(bob, Some(Box::new(gate)), bobs);
        Ok(Self {
            server,
            alice,
            bob,
            #[cfg(feature = "openssl")]
            key,
            policy,
            socks5,
            addresses,
        })
    }

    /// Opens a session that must take this mechanism, and gives what each end says.
    async fn open(&self, mechanism: &MechanismName) -> (Result<E2eStream, Error>, Result<E2eStream, Error>) {
        // Both could do every other one of its kind too: so there is something to strike from the lists.
        let above = |name: &MechanismName| registry::find(name).is_ok();
        let others = ways().into_iter().map(|way| way.name);
        let others = others.filter(|name| name != mechanism && above(name) == above(mechanism));
        let policy = Policy::named([mechanism.clone()].into_iter().chain(others));
        self.call(policy, SHARED, None).await
    }

    async fn call(
        &self,
        policy: Policy,
        password: &str,
        socks5: Option<Socks5>,
    ) -> (Result<E2eStream, Error>, Result<E2eStream, Error>) {
        self.offer(policy.clone());
        let config = InitiatorConfig::new(full(ALICE), full(BOB), Password::new(password))
            .with_policy(policy)
            .with_limits(Limits::default().with_handshake(HANDSHAKE));
        let config = socks5.into_iter().fold(config, InitiatorConfig::with_socks5);
        #[cfg(feature = "openssl")]
        let config = config.with_psk(self.key.clone());
        let connect = async { self.alice.connect(config, endpoint(Side::Client)?).await };
        tokio::join!(patient(connect), patient(self.bob.accept()))
    }

    /// Sets what Bob offers.
    fn offer(&self, policy: Policy) {
        if let Ok(mut offered) = self.policy.lock() {
            *offered = policy;
        }
    }

    /// A tunnel, a message each way, a key update, a proper end.
    async fn converse(&self, mechanism: &MechanismName) -> Result<Conversation, Error> {
        let start = Instant::now();
        let (alice, bob) = self.open(mechanism).await;
        let (mut alice, mut bob) = (alice?, bob?);
        let took = start.elapsed();
        let statistics = alice.statistics().await?;
        let group = alice.established().negotiated.as_ref().map_or_else(String::new, |tls| tls.group.clone());
        alice.send_message("Is it you, Bob?").await?;
        expect(&mut bob, "Is it you, Bob?").await?;
        if alice.established().negotiated.as_ref().is_none_or(|tls| tls.version != "TLSv1.2") {
            // There is no such thing in TLS 1.2.
            alice.rekey().await?;
        }
        bob.send_message("It is. Nobody else can read this.").await?;
        expect(&mut alice, "It is. Nobody else can read this.").await?;
        let (closed, read) = tokio::join!(patient(alice.finish()), patient(drain(bob)));
        closed.and(read)?;
        Ok(Conversation { took, statistics, group })
    }

    /// The default mechanism's tunnel in stanzas, over a connection from one to the other, and over the server's proxy.
    async fn by_every_way(&self) -> Vec<Routed> {
        let direct = |n: usize| Some(Socks5::new().with_direct(self.addresses[n]));
        let proxy = patient(find_proxy(&self.alice)).await;
        let mut runs = vec![
            Routed { way: "in stanzas (IBB)", result: self.by(&Route::InBand, [None, None]).await },
            Routed { way: "direct (SOCKS5)", result: self.by(&Route::Direct, [direct(0), direct(1)]).await },
        ];
        let proxied = match proxy {
            Ok(host) => {
                let offer = || Some(Socks5::new().with_proxy(host.clone()));
                self.by(&Route::Proxy(host.jid().clone()), [offer(), offer()]).await
            }
            Err(error) => Err(error),
        };
        runs.push(Routed { way: "the server's proxy", result: proxied });
        runs
    }

    /// By one of them.
    async fn by(&self, route: &Route, [alices, bobs]: [Option<Socks5>; 2]) -> Result<Carried, Error> {
        if let Ok(mut offered) = self.socks5.lock() {
            *offered = bobs;
        }
        let before = self.server.statistics();
        let start = Instant::now();
        let (alice, bob) = self.call(Policy::default(), SHARED, alices).await;
        let (mut alice, mut bob) = (alice?, bob?);
        let took = start.elapsed();
        if alice.route() != route || bob.route() != route {
            return Err(Error::new(&WRONG_ROUTE));
        }
        let octets = (0..BY_EACH_WAY).map(|n| (n % 251) as u8).collect::<Vec<_>>();
        let reading = async {
            let mut read = Vec::new();
            while read.len() < BY_EACH_WAY {
                read.extend(bob.read_bytes().await?.ok_or_else(|| Error::new(&WRONG_MESSAGE))?);
            }
            if read == octets { Ok(()) } else { Err(Error::new(&WRONG_MESSAGE)) }
        };
        let (written, read) = tokio::join!(patient(alice.write_bytes(&octets)), patient(reading));
        written.and(read)?;
        let (closed, read) = tokio::join!(patient(alice.finish()), patient(drain(bob)));
        closed.and(read)?;
        let after = self.server.statistics();
        Ok(Carried {
            took,
            routed: after.octets_routed - before.octets_routed,
            relayed: after.octets_relayed - before.octets_relayed,
        })
    }

    /// The same while the server attacks: both ends must refuse, at the latest when data is to pass.
    async fn attacked(&self, mechanism: &MechanismName) -> Ends {
        let (alice, bob) = self.open(mechanism).await;
        let (alice, bob) = tokio::join!(refusal(alice), refusal(bob));
        Ends { alice, bob }
    }

    /// As many wrong passwords as Bob allows, and then the right one.
    async fn guessed(&self) -> Guessed {
        let mut refused = 0;
        for _ in 0..PEER_GUESSES {
            let (alice, bob) = self.call(Policy::default(), "rosebud 1940", None).await;
            refused += usize::from(alice.is_err() && bob.is_err());
        }
        let (alice, bob) = self.call(Policy::default(), SHARED, None).await;
        Guessed { refused, last: Ends { alice: alice.err(), bob: bob.err() } }
    }

    async fn strike(self) {
        let Self { server, alice, bob, .. } = self;
        tokio::join!(alice.finish(), bob.finish());
        server.shutdown().await;
    }
}

/// How an attacked run ended at each end; `None` is a success, which must not be.
struct Ends {
    alice: Option<Error>,
    bob: Option<Error>,
}

impl Ends {
    fn both(&self) -> Option<(&Error, &Error)> {
        self.alice.as_ref().zip(self.bob.as_ref())
    }
}

/// What came of guessing.
struct Guessed {
    /// Wrong passwords that both ends refused.
    refused: usize,
    /// The right one after them.
    last: Ends,
}

impl Guessed {
    /// How long Bob refuses whatever Alice brings, if he does.
    fn wait(&self) -> Option<Duration> {
        let (_, bob) = self.last.both().filter(|_| self.refused == PEER_GUESSES)?;
        bob.retry_after().filter(|_| bob.is(&guess::rules::PEER_LIMIT))
    }
}

/// A run by one of the ways that octets can take.
struct Routed {
    way: &'static str,
    result: Result<Carried, Error>,
}

/// What has become of it.
struct Carried {
    took: Duration,
    /// Octets that passed the server in stanzas, and its proxy.
    routed: u64,
    relayed: u64,
}

struct Honest {
    way: Way,
    result: Result<Conversation, Error>,
}

struct Refused {
    attack: Attack,
    mechanism: MechanismName,
    ends: Ends,
}

/// Why this end would not go on; `None` when it said something and ended as if all were well.
async fn refusal(opened: Result<E2eStream, Error>) -> Option<Error> {
    let converse = async {
        let mut stream = opened?;
        // What goes wrong with these is the last event, which says more.
        let _ = stream.write_bytes(&vec![0; UNDER_ATTACK]).await;
        stream.finish().await
    };
    patient(converse).await.err()
}

async fn patient<T>(run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(|_| Err(Error::new(&NO_END)))
}

async fn expect(stream: &mut E2eStream, text: &str) -> Result<(), Error> {
    let wrong = || Error::new(&WRONG_MESSAGE);
    match patient(async { Ok(stream.recv().await) }).await? {
        Some(Event::Stanza(stanza)) => match stanza.get_child("body", ns::CLIENT) {
            Some(body) if body.text() == text => Ok(()),
            _ => Err(wrong()),
        },
        Some(Event::Failed(error)) => Err(error),
        _ => Err(wrong()),
    }
}

async fn drain(mut stream: E2eStream) -> Result<(), Error> {
    while let Some(event) = stream.recv().await {
        if let Event::Failed(error) = event {
            return Err(error);
        }
    }
    Ok(())
}

fn tunnels(runs: &[Honest]) -> String {
    let header = [
        "mechanism",
        "round trips",
        "bytes",
        "ms",
        "proof",
        "key confirmed",
        "a listener gets",
        "an impostor gets",
        "a thief of Bob's record gets",
    ];
    let mut table = output::table(&header, 3);
    for Honest { way: Way { name, properties }, result } in runs {
        let [trips, bytes, took] = match result {
            Ok(run) => [
                run.statistics.round_trips.to_string(),
                (run.statistics.octets_sent + run.statistics.octets_received).to_string(),
                milliseconds(run.took),
            ],
            Err(_) => ["-".to_owned(), "-".to_owned(), "failed".to_owned()],
        };
        table.add_row([
            name.to_string(),
            trips,
            bytes,
            took,
            properties.place.to_string(),
            confirmed(properties).to_owned(),
            properties.listener.to_string(),
            properties.impostor.to_string(),
            properties.thief.to_string(),
        ]);
    }
    let mut text = output::lines(&table);
    for Honest { way, result } in runs {
        if let Err(error) = result {
            text.push_str(&format!("\n  {}: {error}", way.name));
        }
    }
    if cfg!(feature = "openssl") {
        text.push_str(
            "\n\n  CPACE-R255-PSK: its two shares, 64 octets, travel in the offers and are not among the bytes.\n  \
             TLS13-PSK: with a key of 256 random bits, guesses lead nowhere; a password must not be its key.",
        );
    }
    text
}

fn route_table(runs: &[Routed]) -> String {
    let header = ["way of 256 KiB", "octets in stanzas", "octets through the proxy"];
    let mut table = output::table(&header, 1);
    for Routed { way, result } in runs {
        let [routed, relayed] = match result {
            Ok(run) => [run.routed.to_string(), run.relayed.to_string()],
            Err(error) => [error.to_string(), "-".to_owned()],
        };
        table.add_row([(*way).to_owned(), routed, relayed]);
    }
    output::lines(&table)
}

fn confirmed(properties: &Properties) -> &'static str {
    if properties.mutual { "both ways" } else { "one way" }
}

fn login_table(logins: &[(&Registered, Result<Duration, Error>)]) -> String {
    let mut table = output::table(&["mechanism", "ms", "a listener gets", "an impostor gets"], 1);
    for (row, result) in logins {
        let properties = row.properties();
        table.add_row([
            row.name().to_string(),
            result.as_ref().map_or_else(ToString::to_string, |took| milliseconds(*took)),
            properties.listener.to_string(),
            properties.impostor.to_string(),
        ]);
    }
    output::lines(&table)
}

fn attacks(runs: &[Refused]) -> String {
    let mut text = String::new();
    for attack in Attack::ALL {
        let of_this = runs.iter().filter(|run| run.attack == attack).collect::<Vec<_>>();
        let refused = of_this.iter().filter(|run| run.ends.both().is_some()).count();
        text.push_str(&format!(
            "  {attack}: refused by both ends with {refused} of {} mechanisms\n",
            of_this.len()
        ));
        // Mechanisms that fail in the same words share a line.
        let mut reasons = BTreeMap::<(String, String), Vec<&str>>::new();
        for run in of_this {
            let why = |end: &Option<Error>| end.as_ref().map_or("ACCEPTED".to_owned(), ToString::to_string);
            reasons
                .entry((why(&run.ends.alice), why(&run.ends.bob)))
                .or_default()
                .push(run.mechanism.as_str());
        }
        for ((alice, bob), mechanisms) in reasons {
            text.push_str(&format!(
                "    {}\n      Alice: {alice}\n      Bob:   {bob}\n",
                mechanisms.join(", ")
            ));
        }
    }
    text.trim_end().to_owned()
}

fn guessing(guessed: &Guessed) -> String {
    let outcome = match guessed.wait() {
        Some(wait) => format!("even the right one is refused for {} minutes", wait.as_secs().div_ceil(60)),
        None => "the limit DOES NOT HOLD".to_owned(),
    };
    let why = |end: &Option<Error>| end.as_ref().map_or("ACCEPTED".to_owned(), ToString::to_string);
    format!(
        "  after {} wrong passwords {outcome}, before anything is computed with it\n      \
         Alice: {}\n      Bob:   {}\n  \
         (while the server attacked, Bob allowed {GUESSES_UNDER_ATTACK}: each attack looks like a guess)",
        guessed.refused,
        why(&guessed.last.alice),
        why(&guessed.last.bob)
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1000.0)
}

fn to_json(
    honest: &[Honest],
    logins: &[(&Registered, Result<Duration, Error>)],
    refused: &[Refused],
    guessed: &Guessed,
    routes: &[Routed],
    ok: bool,
) -> Value {
    let failure = |error: &Error| json!({ "rule": error.rule().id, "what": error.to_string() });
    let tunnels = honest.iter().map(|Honest { way: Way { name, properties }, result }| {
        json!({
            "mechanism": name.as_str(),
            "proof": properties.place.to_string(),
            "round_trips": result.as_ref().ok().map(|run| run.statistics.round_trips),
            "bytes": result.as_ref().ok().map(|run| run.statistics.octets_sent + run.statistics.octets_received),
            "milliseconds": result.as_ref().ok().map(|run| run.took.as_secs_f64() * 1000.0),
            "group": result.as_ref().ok().map(|run| run.group.as_str()),
            "key_confirmed": confirmed(properties),
            "listener": properties.listener.to_string(),
            "impostor": properties.impostor.to_string(),
            "thief": properties.thief.to_string(),
            "failure": result.as_ref().err().map(failure),
        })
    });
    let logins = logins.iter().map(|(row, result)| {
        json!({
            "mechanism": row.name().as_str(),
            "milliseconds": result.as_ref().ok().map(|took| took.as_secs_f64() * 1000.0),
            "failure": result.as_ref().err().map(failure),
        })
    });
    let attacks = refused.iter().map(|run| {
        json!({
            "attack": run.attack.name(),
            "mechanism": run.mechanism.as_str(),
            "refused": run.ends.both().is_some(),
            "alice": run.ends.alice.as_ref().map(failure),
            "bob": run.ends.bob.as_ref().map(failure),
        })
    });
    let routes = routes.iter().map(|Routed { way, result }| {
        json!({
            "way": way,
            "milliseconds": result.as_ref().ok().map(|run| run.took.as_secs_f64() * 1000.0),
            "octets": BY_EACH_WAY,
            "octets_in_stanzas": result.as_ref().ok().map(|run| run.routed),
            "octets_through_proxy": result.as_ref().ok().map(|run| run.relayed),
            "failure": result.as_ref().err().map(failure),
        })
    });
    json!({
        "ok": ok,
        "routes": routes.collect::<Vec<_>>(),
        "tunnels": tunnels.collect::<Vec<_>>(),
        "logins": logins.collect::<Vec<_>>(),
        "attacks": attacks.collect::<Vec<_>>(),
        "guessing": {
            "wrong_passwords": guessed.refused,
            "then_refused": guessed.wait().is_some(),
            "retry_after_seconds": guessed.wait().map(|wait| wait.as_secs()),
            "alice": guessed.last.alice.as_ref().map(failure),
            "bob": guessed.last.bob.as_ref().map(failure),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_runs_first() {
        let run = ways().into_iter().map(|way| way.name).collect::<Vec<_>>();
        assert_eq!(run[0].as_str(), "CPACE-R255-PLUS");
        // The tables that compare the ways are in the order of preference, and leave nothing out.
        let preferred = Policy::default().acceptable();
        assert!(run.starts_with(&preferred), "{run:?} {preferred:?}");
    }
}
