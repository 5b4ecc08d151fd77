//! Against slixmpp, at Prosody: a client without tunnels refuses cleanly, and a foreign client, written from
//! docs/xtls-profile.md, has whole sessions with us in both roles.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;
#[path = "common/network.rs"]
mod network;
#[path = "common/peer.rs"]
mod peer;

use std::process::Stdio;

use countersign::ErrorKind;
use countersign::xmpp::client::callable;
use countersign::xmpp::driver::{Driver, E2eStream, Handle};
use countersign::xmpp::{Element, Event, FullJid, disco, ns};
use serde_json::json;

use network::certificates::Authority;
use network::servers::{Folder, Server, Setup};
use network::tunnels::{Connected, SECRET, account, call, guard, listen, log_in};
use peer::Peer;

const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];
const ALICE: &str = "alice@montague.example/laptop";
const BOB: &str = "bob@montague.example/tablet";

fn are_there() -> bool {
    let prosody = common::peer_or_skip("Prosody", common::is_installed("prosody"));
    let mut import = std::process::Command::new("python3");
    import.args(["-c", "import slixmpp, OpenSSL"]).stdout(Stdio::null()).stderr(Stdio::null());
    prosody
        && common::peer_or_skip(
            "slixmpp with pyOpenSSL",
            import.status().is_ok_and(|status| status.success()),
        )
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

    async fn alice(&self) -> Connected {
        log_in(&self.server, &self.authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap()
    }

    /// Bob by slixmpp; with a certificate for TLS, which nobody has to believe.
    fn bob(&self, role: &str, secret: &str) -> Peer {
        let issued = self.authority.issue("throw-away.invalid");
        let setup = json!({
            "host": "127.0.0.1",
            "port": self.server.ports.clients,
            "authorities": self.folder.write("ca.pem", self.authority.pem()),
            "jid": BOB,
            "password": ACCOUNTS[1].1,
            "peer": ALICE,
            "secret": secret,
            "greeting": "from slixmpp",
            "certificate": self.folder.write("cert.pem", &issued.certificate),
            "key": self.folder.write("key.pem", &issued.key),
        });
        let mut bob = Peer::start("slixmpp_peer.py", role, &setup);
        assert_eq!(bob.read("ready"), BOB);
        bob
    }

    /// Alice, who may call, and Bob, who waits for it.
    async fn called(&self, secret: &str) -> (Handle, Peer) {
        let alice = Driver::spawn(self.alice().await, None);
        let mut bob = self.bob("answer", secret);
        assert_eq!(bob.read("listening"), BOB);
        (alice, bob)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tunnels_refuses_cleanly() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let _bob = stage.bob("plain", SECRET);
    let alice = Driver::spawn(stage.alice().await, None);
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

/// What a peer of Python says, asked in a thread of its own.
async fn hear<T: Send + 'static>(mut bob: Peer, read: impl FnOnce(&mut Peer) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || read(&mut bob)).await.unwrap()
}

/// Waits for the other's greeting.
async fn greeting(stream: &mut E2eStream) -> String {
    loop {
        if let Event::Stanza(stanza) = stream.recv().await.unwrap() {
            return stanza.get_child("body", ns::CLIENT).unwrap().text();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_has_a_whole_session_with_our_listener() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let alice = listen(stage.alice().await);
    let theirs = hear(stage.bob("call", SECRET), |bob| {
        assert_eq!(bob.read("accepted"), "sha-256");
        assert_eq!(bob.read("tls"), "TLSv1.3");
        let mechanisms = bob.read("mechanisms");
        assert!(mechanisms.starts_with("CPACE-R255-PLUS CPACE-X25519-PLUS"), "{mechanisms}");
        assert_eq!(bob.read("verified"), "CPACE-R255-PLUS");
        assert_eq!(bob.read("heard"), "from countersign <&>");
        assert_eq!(bob.read("ended"), "in order");
    });
    let ours = guard(async {
        let mut stream = alice.accept().await.unwrap();
        assert_eq!(stream.peer().to_string(), BOB);
        assert_eq!(stream.established().mechanism.as_str(), "CPACE-R255-PLUS");
        assert_eq!(greeting(&mut stream).await, "from slixmpp");
        stream.send_message("from countersign <&>").await.unwrap();
        assert!(matches!(stream.recv().await, Some(Event::Closed)));
    });
    tokio::join!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_that_guesses_is_refused() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let alice = listen(stage.alice().await);
    let theirs = hear(stage.bob("call", "rosebud 1942"), |bob| {
        for name in ["accepted", "tls", "mechanisms"] {
            bob.read(name);
        }
        assert_eq!(bob.read("unproven"), "the server's confirmation is wrong");
        assert_eq!(bob.read("refused"), "not-authorized");
        assert_eq!(bob.read("ended"), "session-terminate");
    });
    let (ours, ()) = tokio::join!(guard(alice.accept()), theirs);
    assert_eq!(ours.unwrap_err().kind(), ErrorKind::AuthenticationFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn we_have_a_whole_session_with_a_foreign_client() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let (alice, bob) = stage.called(SECRET).await;
    let theirs = hear(bob, |bob| {
        assert_eq!(bob.read("tls"), "TLSv1.3");
        assert_eq!(bob.read("verified"), "CPACE-R255-PLUS");
        assert_eq!(bob.read("heard"), "from countersign");
        assert_eq!(bob.read("ended"), "session-terminate");
    });
    let ours = guard(async {
        let mut stream = call(&alice, &FullJid::new(BOB).unwrap()).await.unwrap();
        assert_eq!(stream.established().mechanism.as_str(), "CPACE-R255-PLUS");
        stream.send_message("from countersign").await.unwrap();
        assert_eq!(greeting(&mut stream).await, "from slixmpp");
        stream.finish().await.unwrap();
    });
    tokio::join!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_with_another_password_is_not_believed() {
    if !are_there() {
        return;
    }
    let stage = Stage::set();
    let (alice, bob) = stage.called("rosebud 1942").await;
    let theirs = hear(bob, |bob| {
        assert_eq!(bob.read("tls"), "TLSv1.3");
        assert_eq!(bob.read("unproven"), "abort");
        assert_eq!(bob.read("ended"), "session-terminate");
    });
    let peer = FullJid::new(BOB).unwrap();
    let (ours, ()) = tokio::join!(call(&alice, &peer), theirs);
    assert_eq!(ours.unwrap_err().kind(), ErrorKind::AuthenticationFailed);
}
