//! TLS-SRP against the Python library tlslite-ng, both roles (`tests/peers/tlslite_peer.py`).
#![cfg(feature = "openssl")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]

mod common;
#[path = "common/peer.rs"]
mod peer;
#[path = "common/transport.rs"]
mod transport;

use std::net::TcpStream;
use std::sync::Arc;

use common::peer_or_skip;
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore};
use countersign::srp::{Group, Legacy};
use countersign::tls::srp::{NAME, SrpClientConfig, SrpServerConfig, generate};
use countersign::tls::{TlsMechanism, rules};
use countersign::{Password, Result, system_rng};
use peer::Peer;
use serde_json::{Value, json};
use transport::{Open, accept, connect, listener, open};

const SCRIPT: &str = "tlslite_peer.py";
const PASSWORD: &str = "correct horse";

fn is_there() -> bool {
    let mut command = peer::script(SCRIPT);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let available = command.spawn().is_ok_and(|mut child| {
        use std::io::Write;
        let asked = child.stdin.take().unwrap().write_all(b"{\"side\": \"available\"}\n");
        child.wait().unwrap().success() && asked.is_ok()
    });
    peer_or_skip("the Python library tlslite-ng", available)
}

fn client(username: &str, password: &str) -> Box<dyn TlsMechanism> {
    let password = Password::new(password);
    let config = SrpClientConfig::new(username, &password, Preparation::SaslPrep, Legacy::Refused).unwrap();
    config.mechanism().unwrap()
}

fn server() -> Box<dyn TlsMechanism> {
    let password = Password::new(PASSWORD);
    let record =
        generate("alice", &password, Preparation::SaslPrep, Group::Bits2048, &mut system_rng()).unwrap();
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&NAME, "alice", Credential::Srp(record)).unwrap();
    let config = SrpServerConfig::new(Arc::new(store)).unwrap().with_simulated_group(Group::Bits2048);
    config.mechanism().unwrap()
}

fn their_server(extended: bool, mechanism: Box<dyn TlsMechanism>) -> (Peer, Result<Open<TcpStream>>) {
    let setting = json!({
        "side": "server", "user": "alice", "password": PASSWORD, "extended_master_secret": extended,
    });
    let mut peer = Peer::start(SCRIPT, "peer", &setting);
    let port = peer.read("port").parse().unwrap();
    (peer, open(connect(port), mechanism))
}

fn their_client(user: &str, password: &str, extended: bool) -> (Peer, Result<Open<TcpStream>>) {
    let (listener, port) = listener();
    let setting: Value = json!({
        "side": "client", "port": port, "user": user, "password": password, "extended_master_secret": extended,
    });
    let peer = Peer::start(SCRIPT, "peer", &setting);
    (peer, open(accept(&listener), server()))
}

fn talk(mut peer: Peer, open: Result<Open<TcpStream>>) {
    let mut open = open.unwrap();
    // It exports without a context, which in TLS 1.2 is another value than the channel binding.
    assert_ne!(peer.read("exporter"), peer::hex(open.tunnel.binding().data()));
    assert_eq!(open.tunnel.outcome().authcid(), "alice");
    for text in ["one", "two"] {
        open.say(&format!("{text}\n"));
        assert_eq!(open.hear().as_deref(), Some(text));
    }
    open.close().unwrap();
    assert_eq!(peer.read("closed"), "yes");
}

#[test]
fn our_client_and_their_server() {
    if !is_there() {
        return;
    }
    let (peer, end) = their_server(true, client("alice", PASSWORD));
    talk(peer, end);
    for (username, password) in [("alice", "wrong"), ("mallory", PASSWORD)] {
        let (_peer, end) = their_server(true, client(username, password));
        let error = end.expect_err("refused");
        assert!(error.is(&rules::NOT_ACCEPTED), "{error:?}");
    }
}

#[test]
fn their_client_and_our_server() {
    if !is_there() {
        return;
    }
    let (peer, end) = their_client("alice", PASSWORD, true);
    talk(peer, end);
    for (username, password) in [("alice", "wrong"), ("mallory", PASSWORD)] {
        let (mut peer, end) = their_client(username, password, true);
        let error = end.expect_err("refused");
        assert!(error.is(&rules::NOT_PROVEN), "{error:?}");
        assert_eq!(peer.read("alert"), "bad_record_mac");
    }
}

#[test]
fn without_extended_master_secret_nothing_is_believed() {
    if !is_there() {
        return;
    }
    let ends = [their_server(false, client("alice", PASSWORD)), their_client("alice", PASSWORD, false)];
    for (_peer, end) in ends {
        let error = end.expect_err("refused");
        assert!(error.is(&rules::NO_EXTENDED_MASTER_SECRET), "{error:?}");
    }
}
