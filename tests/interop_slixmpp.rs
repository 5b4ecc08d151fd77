//! Against slixmpp, at Prosody: a client without tunnels refuses cleanly, and a foreign client reads what we write, from
//! the offer to the stream inside TLS.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "common/certificates.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod certificates;
mod common;
#[path = "common/peer.rs"]
mod peer;
#[path = "common/servers.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod servers;
#[path = "common/tunnels.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod tunnels;

use std::process::Stdio;

use countersign::xmpp::client::callable;
use countersign::xmpp::driver::Driver;
use countersign::xmpp::{Element, FullJid, disco, session};
use serde_json::json;

use certificates::Authority;
use peer::Peer;
use servers::{Folder, Server, Setup};
use tunnels::{account, call, guard, listen, log_in};

const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];
const ALICE: &str = "alice@montague.example/laptop";
const BOB: &str = "bob@montague.example/tablet";

fn are_there() -> bool {
    let prosody = common::peer_or_skip("Prosody", common::is_installed("prosody"));
    let mut import = std::process::Command::new("python3");
    import.args(["-c", "import slixmpp"]).stdout(Stdio::null()).stderr(Stdio::null());
    prosody && common::peer_or_skip("slixmpp", import.status().is_ok_and(|status| status.success()))
}

struct Stage {
    authority: Authority,
    server: Server,
    folder: Folder,
}

impl Stage {
    fn set() -> Self {
        let authority = Authority::new();
        let server = Server::prosody(Setup::new("montague.example", &ACCOUNTS, &authority));
        Self { authority, server, folder: Folder::new("slixmpp", None) }
    }

    /// Bob by slixmpp; with a certificate for TLS, which nobody has to believe.
    fn bob(&self, role: &str) -> Peer {
        let issued = self.authority.issue("throw-away.invalid");
        let setup = json!({
            "host": "127.0.0.1",
            "port": self.server.ports.clients,
            "authorities": self.folder.write("ca.pem", self.authority.pem()),
            "jid": BOB,
            "password": ACCOUNTS[1].1,
            "peer": ALICE,
            "certificate": self.folder.write("cert.pem", &issued.certificate),
            "key": self.folder.write("key.pem", &issued.key),
        });
        let mut bob = Peer::start("slixmpp_peer.py", role, &setup);
        assert_eq!(bob.read("ready"), BOB);
        bob
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tunnels_refuses_cleanly() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let _bob = stage.bob("plain");
    let client = log_in(&stage.server, &stage.authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap();
    let alice = Driver::spawn(client, None);
    let bob = FullJid::new(BOB).unwrap();
    let found = guard(callable(&alice, &bob.to_bare(), std::slice::from_ref(&bob))).await.unwrap();
    assert_eq!((found.callable, found.others), (vec![], vec![bob.clone()]));
    let error = call(&alice, &bob).await.unwrap_err();
    assert!(error.is(&disco::rules::FEATURE_MISSING), "{error}");

    // An offer all the same, past service discovery.
    let offer = "<iq xmlns='jabber:client' type='set' id='o1' to='bob@montague.example/tablet'>\
        <jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'/></iq>";
    alice.send_stanza(offer.parse().unwrap()).await.unwrap();
    let answer = guard(async {
        loop {
            let stanza = alice.recv_stanza().await.unwrap();
            if stanza.attr("id") == Some("o1") {
                break stanza;
            }
        }
    });
    let answer = answer.await;
    let condition = answer.children().find(|child| child.name() == "error").and_then(|e| e.children().next());
    assert_eq!(condition.map(Element::name), Some("feature-not-implemented"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_opens_a_tunnel_to_our_listener() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let client = log_in(&stage.server, &stage.authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap();
    let alice = listen(client);
    let mut bob = stage.bob("jingle");
    let ours = guard(alice.accept());
    let theirs = tokio::task::spawn_blocking(move || {
        assert_eq!(bob.read("accepted"), "sha-256");
        assert_eq!(bob.read("tls"), "TLSv1.3");
        let mechanisms = bob.read("mechanisms");
        assert!(mechanisms.starts_with("CPACE-R255-PLUS CPACE-X25519-PLUS"), "{mechanisms}");
        let end = bob.read("ended");
        (mechanisms, end)
    });
    let (ours, theirs) = tokio::join!(ours, theirs);
    let (_, end) = theirs.unwrap();
    assert_eq!(end, "session-terminate");
    let error = ours.unwrap_err();
    assert!(error.is(&session::rules::ABORTED_BY_PEER), "{error}");
}
