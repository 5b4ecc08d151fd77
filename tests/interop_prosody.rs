//! Against Prosody as Debian packages it: logins by STARTTLS and direct TLS, tunnels, and what must be refused.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "common/certificates.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod certificates;
mod common;
#[path = "common/servers.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod servers;
#[path = "common/tunnels.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod tunnels;

use countersign::xmpp::client::{
    BindingUse, Client, Greeter, LoginReport, Profile, Target, Trust, available, callable, rules,
};
use countersign::xmpp::driver::Driver;
use countersign::xmpp::{BareJid, FullJid};
use countersign::{BindingType, sasl};

use certificates::Authority;
use servers::{Server, Setup};
use tunnels::{account, guard, listen, log_in, log_in_directly, talk, trust};

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
    let targets =
        [Target::new("127.0.0.1", servers::free_port()), Target::new("127.0.0.1", server.ports.clients)];
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
