//! Against Prosody as Debian packages it: logins by STARTTLS and direct TLS, tunnels, and what must be refused.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;
#[path = "common/network.rs"]
mod network;

use std::time::{Duration, Instant};

use countersign::xmpp::client::{
    BindingUse, Client, Greeter, LoginReport, Profile, Target, Trust, available, callable, find_proxy, proxy,
    rules,
};
use countersign::xmpp::driver::{Driver, E2eStream, Listener};
use countersign::xmpp::s5b::{self, Route, Socks5};
use countersign::xmpp::{BareJid, FullJid, Jid, Limits, ibb};
use countersign::{BindingType, sasl};

use network::certificates::Authority;
use network::servers::{Server, Setup};
use network::tunnels::{account, call_with, gate, guard, listen, log_in, log_in_directly, talk, trust};
use rand_core::Rng;
use sha2::{Digest, Sha256};

const DOMAIN: &str = "montague.example";
const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];
const ALICE: &str = "alice@montague.example/laptop";
const BOB: &str = "bob@montague.example/tablet";

/// Octets through each tunnel, each way.
const OCTETS: usize = 100_000;

fn is_there() -> bool {
    common::peer_or_skip("Prosody", common::is_installed("prosody") && common::is_installed("prosodyctl"))
}

fn shown(report: &LoginReport) -> (&str, Option<BindingType>, Profile) {
    (report.mechanism.as_str(), report.binding, report.profile)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_set_up_a_tunnel() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let alice = log_in(&server, &authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap();
    assert_eq!(alice.jid().as_str(), ALICE);
    // Prosody 0.12 offers no -PLUS over TLS 1.3.
    assert_eq!(shown(alice.report()), ("SCRAM-SHA-256", None, Profile::Sasl));
    let bob = log_in_directly(&server, &authority, account(BOB, ACCOUNTS[1].1)).await.unwrap();
    talk(alice, bob, OCTETS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_refused_is_refused() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS[..1], &authority));
    let login = |jid: &str, password: &str| account(jid, password);
    let refused = async |login| log_in(&server, &authority, login).await.err().unwrap();

    let error = refused(login(ALICE, "through the looking-glass")).await;
    assert!(error.is(&rules::LOGIN_REFUSED), "{error}");
    assert!(refused(login("mallory@montague.example", "x")).await.is(&rules::LOGIN_REFUSED));
    assert!(refused(login("alice@capulet.example", ACCOUNTS[0].1)).await.is(&rules::STREAM_ERROR));
    let error = refused(login(ALICE, ACCOUNTS[0].1).with_binding_use(BindingUse::Required));
    assert!(error.await.is(&rules::BINDING_REQUIRED));

    let strangers = Trust::only(Authority::new().pem().as_bytes()).unwrap();
    let targets = [Target::new("127.0.0.1", server.ports.clients)];
    let error = guard(Client::connect_secure(&targets, &strangers, login(ALICE, ACCOUNTS[0].1))).await;
    assert!(error.err().unwrap().is(&rules::CERTIFICATE));
    // The wrong kind of port.
    let targets = [Target::direct("127.0.0.1", server.ports.clients)];
    let error =
        guard(Client::connect_secure(&targets, &trust(&authority), login(ALICE, ACCOUNTS[0].1))).await;
    assert!(error.err().unwrap().is(&rules::TLS_FAILED));
    // Nobody listens at the first: the second is tried.
    let targets = [
        Target::new("127.0.0.1", network::servers::free_port()),
        Target::new("127.0.0.1", server.ports.clients),
    ];
    let client =
        guard(Client::connect_secure(&targets, &trust(&authority), login(ALICE, ACCOUNTS[0].1))).await;
    guard(client.unwrap().close()).await.unwrap();

    let by_password = login(ALICE, ACCOUNTS[0].1).dangerously_send_password();
    assert_eq!(log_in(&server, &authority, by_password).await.unwrap().report().mechanism.as_str(), "PLAIN");
    let wrong = login(ALICE, "x").dangerously_send_password();
    assert!(refused(wrong).await.is(&rules::LOGIN_REFUSED));
    let policy = sasl::Policy::named(["SCRAM-SHA-512".parse().unwrap()]).with_floor(sasl::Floor::Named);
    let error = refused(login(ALICE, ACCOUNTS[0].1).with_policy(policy)).await;
    assert!(error.is(&sasl::rules::NO_MECHANISM));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resources_that_listen_are_found() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let bob = async |resource: &str| {
        let login = account(&format!("bob@montague.example/{resource}"), ACCOUNTS[1].1);
        log_in(&server, &authority, login).await.unwrap()
    };
    let listeners = [listen(bob("one").await), listen(bob("two").await)];
    for listener in &listeners {
        listener.send_stanza(available()).await.unwrap();
    }
    let alice =
        Driver::spawn(log_in(&server, &authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap(), None);
    let greeting = async {
        let mut greeters = [(); 2].map(|()| Greeter::new());
        loop {
            let (which, stanza) = tokio::select! {
                Some(stanza) = listeners[0].recv_stanza() => (0, stanza),
                Some(stanza) = listeners[1].recv_stanza() => (1, stanza),
            };
            if let Some(answer) =
                greeters[which].answer(&stanza, |caller| caller.to_bare() == account_of(ALICE))
            {
                listeners[which].send_stanza(answer).await.unwrap();
            }
        }
    };
    let peer = BareJid::new("bob@montague.example").unwrap();
    let absent = [FullJid::new("bob@montague.example/countersign").unwrap()];
    let mut found = tokio::select! {
        found = guard(callable(&alice, &peer, &absent)) => found.unwrap(),
        () = greeting => unreachable!(),
    };
    found.callable.sort();
    let full = |resource| FullJid::new(&format!("bob@montague.example/{resource}")).unwrap();
    assert_eq!((found.callable, found.others), (vec![full("one"), full("two")], vec![]));
}

fn account_of(jid: &str) -> BareJid {
    FullJid::new(jid).unwrap().to_bare()
}

/// What a transfer takes.
struct Transfer {
    alice: Option<Socks5>,
    bob: Option<Socks5>,
    listener: Listener,
    octets: usize,
}

impl Transfer {
    /// Alice sends random octets to Bob; the way that they have taken.
    async fn run(self, server: &Server, authority: &Authority) -> Route {
        let alice = log_in(server, authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap();
        let bob = log_in(server, authority, account(BOB, ACCOUNTS[1].1)).await.unwrap();
        // Few and large stanzas, where they are what carries.
        let limits = Limits::default().with_block(ibb::BLOCK_MAX);
        let mut honest = gate(bob.jid()).unwrap();
        let (offer, theirs) = (self.bob.clone(), limits.clone());
        let gate = move |peer: &FullJid| {
            let mut acceptance = honest.admit(peer)?;
            acceptance.config = acceptance.config.with_limits(theirs.clone());
            if let Some(offer) = &offer {
                acceptance.config = acceptance.config.with_socks5(offer.clone());
            }
            Some(acceptance)
        };
        let bob = match self.bob {
            Some(_) => Driver::spawn_with_sockets(bob, Some(Box::new(gate)), self.listener),
            None => Driver::spawn(bob, Some(Box::new(gate))),
        };
        let alice = Driver::spawn(alice, None);
        let offer = self.alice;
        let call = call_with(&alice, bob.own_jid(), |config| {
            let config = config.with_limits(limits);
            match offer {
                Some(offer) => config.with_socks5(offer),
                None => config,
            }
        });
        let (called, taken) = guard(async { tokio::join!(call, bob.accept()) }).await;
        let (called, taken) = (called.unwrap(), taken.unwrap());
        assert_eq!(called.route(), taken.route());
        let route = called.route().clone();
        let begin = Instant::now();
        // A debug build on a busy machine takes its time for 50 MiB of base64.
        let transfer = async { tokio::join!(send(called, self.octets), receive(taken)) };
        let (sent, received) = tokio::time::timeout(TRANSFER, transfer).await.expect("the transfer hangs");
        assert_eq!(sent, received, "{route}");
        eprintln!("{} octets over {route} in {:?}, debug build", self.octets, begin.elapsed());
        guard(async { tokio::join!(alice.finish(), bob.finish()) }).await;
        route
    }
}

/// Sends random octets; their hash.
async fn send(mut stream: E2eStream, octets: usize) -> ([u8; 32], usize) {
    let (mut hash, mut left) = (Sha256::new(), octets);
    let mut chunk = vec![0; 64 * 1024];
    while left > 0 {
        chunk.truncate(left);
        countersign::system_rng().fill_bytes(&mut chunk);
        hash.update(&chunk);
        left -= chunk.len();
        stream.write_bytes(&chunk).await.unwrap();
    }
    stream.finish().await.unwrap();
    (hash.finalize().into(), octets)
}

/// The hash of what comes until the proper end.
async fn receive(mut stream: E2eStream) -> ([u8; 32], usize) {
    let (mut hash, mut octets) = (Sha256::new(), 0);
    while let Some(chunk) = stream.read_bytes().await.unwrap() {
        hash.update(&chunk);
        octets += chunk.len();
    }
    (hash.finalize().into(), octets)
}

const MIB: usize = 1024 * 1024;

/// After which a transfer that hangs fails.
const TRANSFER: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_over_a_direct_connection() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let bob = Socks5::new().with_direct(listener.local_addr());
    // Alice may connect to this machine as she offers an address of it, where nobody listens.
    let alice = Socks5::new().with_direct([([127, 0, 0, 1], network::servers::free_port()).into()]);
    let transfer = Transfer { alice: Some(alice), bob: Some(bob), listener, octets: 50 * MIB };
    assert_eq!(transfer.run(&server, &authority).await, Route::Direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mebibytes_in_stanzas() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let transfer = Transfer { alice: None, bob: None, listener: Listener::none(), octets: 50 * MIB };
    assert_eq!(transfer.run(&server, &authority).await, Route::InBand);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_mebibytes_over_the_proxy_of_the_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let alice =
        Driver::spawn(log_in(&server, &authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap(), None);
    let jid = Jid::new("proxy.montague.example").unwrap();
    let found = guard(find_proxy(&alice)).await.unwrap();
    assert_eq!((found.jid(), found.host(), found.port()), (&jid, "127.0.0.1", server.ports.proxy));
    assert_eq!(guard(proxy(&alice, &jid)).await.unwrap(), found);
    let none = guard(proxy(&alice, &Jid::new(DOMAIN).unwrap())).await.unwrap_err();
    assert!(none.is(&s5b::rules::NO_PROXY), "{none}");
    guard(alice.finish()).await;

    let offering = || Some(Socks5::new().with_proxy(found.clone()));
    // The other side may connect to this machine as it offers the same.
    let transfer =
        Transfer { alice: offering(), bob: offering(), listener: Listener::none(), octets: 8 * MIB };
    assert_eq!(transfer.run(&server, &authority).await, Route::Proxy(jid));
}
