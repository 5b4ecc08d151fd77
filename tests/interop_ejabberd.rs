//! Against ejabberd as Debian packages it, alone and federated with Prosody.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;
#[path = "common/network.rs"]
mod network;

use countersign::BindingType;
use countersign::xmpp::client::{BindingUse, Greeter, Profile, available, callable, rules};
use countersign::xmpp::driver::Driver;

use network::certificates::Authority;
use network::servers::{Dns, Ports, Server, Setup};
use network::tunnels::{account, call, exchange, guard, listen, log_in, log_in_directly, talk};

const DOMAIN: &str = "capulet.example";
const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];
const ALICE: &str = "alice@capulet.example/laptop";
const BOB: &str = "bob@capulet.example/tablet";

/// Octets through each tunnel, each way.
const OCTETS: usize = 100_000;

fn is_there() -> bool {
    common::peer_or_skip("ejabberd", common::is_installed("ejabberdctl") && common::is_installed("erl"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_set_up_a_tunnel() {
    if !is_there() {
        return;
    }
    let authority = Authority::new();
    let server = Server::ejabberd(Setup::new(DOMAIN, &ACCOUNTS, &authority));
    let refused = async |login| log_in(&server, &authority, login).await.err().unwrap();
    let login = || account(ALICE, ACCOUNTS[0].1);

    assert!(refused(account(ALICE, "through the looking-glass")).await.is(&rules::LOGIN_REFUSED));
    assert!(refused(account("alice@montague.example", "x")).await.is(&rules::STREAM_ERROR));
    // ejabberd 23.01 offers -PLUS, announces no type, and does not know tls-exporter.
    let error = refused(login().with_binding_use(BindingUse::Required)).await;
    assert!(error.is(&rules::UNANNOUNCED_BINDING), "{error}");
    for binding_use in [BindingUse::Auto, BindingUse::Never] {
        let client = log_in(&server, &authority, login().with_binding_use(binding_use)).await.unwrap();
        assert_eq!((client.report().binding, client.report().profile), (None::<BindingType>, Profile::Sasl));
        guard(client.close()).await.unwrap();
    }
    let by_password = login().dangerously_send_password();
    guard(log_in(&server, &authority, by_password).await.unwrap().close()).await.unwrap();

    let alice = log_in(&server, &authority, login()).await.unwrap();
    assert_eq!(alice.report().mechanism.as_str(), "SCRAM-SHA-256");
    let bob = log_in_directly(&server, &authority, account(BOB, ACCOUNTS[1].1)).await.unwrap();
    talk(alice, bob, OCTETS).await;
}

/// Alice is at Prosody and knows no more of Bob, at ejabberd, than his bare address.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_over_two_servers() {
    let prosody = common::peer_or_skip("Prosody", common::is_installed("prosody"));
    let dnsmasq = common::peer_or_skip("dnsmasq", common::is_installed("dnsmasq"));
    if !(is_there() && prosody && dnsmasq) {
        return;
    }
    let (montague, capulet) = (Ports::free(), Ports::free());
    let dns = Dns::start(&[
        format!("_xmpp-server._tcp.montague.example,localhost,{}", montague.servers),
        format!("_xmpp-server._tcp.capulet.example,localhost,{}", capulet.servers),
    ]);
    let authority = Authority::new();
    let setup = |domain, accounts, ports| Setup {
        ports,
        dns: Some(dns.port),
        ..Setup::new(domain, accounts, &authority)
    };
    let montague = Server::prosody(setup("montague.example", &ACCOUNTS[..1], montague));
    let capulet = Server::ejabberd(setup(DOMAIN, &ACCOUNTS[1..], capulet));

    let alice = account("alice@montague.example", ACCOUNTS[0].1);
    let alice = Driver::spawn(log_in(&montague, &authority, alice).await.unwrap(), None);
    let bob = listen(log_in(&capulet, &authority, account(BOB, ACCOUNTS[1].1)).await.unwrap());
    bob.send_stanza(available()).await.unwrap();
    let greeting = async {
        let mut greeter = Greeter::new();
        while let Some(stanza) = bob.recv_stanza().await {
            if let Some(answer) = greeter.answer(&stanza, |_| true) {
                bob.send_stanza(answer).await.unwrap();
            }
        }
    };
    let bare = bob.own_jid().to_bare();
    let found = tokio::select! {
        found = guard(callable(&alice, &bare, &[])) => found.unwrap(),
        () = greeting => unreachable!("Bob is cut off"),
    };
    assert_eq!(found.callable, [bob.own_jid().clone()]);
    let (called, taken) = guard(async { tokio::join!(call(&alice, &found.callable[0]), bob.accept()) }).await;
    exchange(called.unwrap(), taken.unwrap(), OCTETS).await;
}
