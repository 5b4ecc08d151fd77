//! TLS-PSK against the programs of OpenSSL, `s_client` and `s_server`.
#![cfg(feature = "openssl")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]

mod common;
#[path = "common/tls.rs"]
mod kit;
#[path = "common/transport.rs"]
mod transport;

use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use common::{Peer, is_installed, peer_or_skip};
use countersign::tls::psk::{PreSharedKey, PskClientConfig, PskCredential, PskServerConfig, Suite};
use countersign::tls::{Tunnel, Verified, rules};
use countersign::{Error, Result};
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslSession, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use transport::{Open, accept, connect, free_port, listener, open};

const KEY: &str = "9f02c7115e80d34ab6770ce9218df43b";
const WRONG: &str = "9f02c7115e80d34ab6770ce9218df43c";
const EXPORTER: [&str; 4] = ["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"];

fn is_there() -> bool {
    peer_or_skip("openssl", is_installed("openssl"))
}

fn credential(identity: &str, key: &str, suite: Suite) -> PskCredential {
    let octets = (0..key.len()).step_by(2).map(|at| u8::from_str_radix(&key[at..at + 2], 16).unwrap());
    let key = PreSharedKey::from_high_entropy(&octets.collect::<Vec<_>>()).unwrap();
    PskCredential::raw(identity.as_bytes(), &key, suite).unwrap()
}

/// The options for one key in one version.
fn options(suite: Suite) -> &'static [&'static str] {
    match suite {
        Suite::Tls12 => &["-tls1_2", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"],
        _ => &["-tls1_3"],
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// In TLS 1.2 the programs export without a context, which is another value.
fn exporters_agree(peer: &mut Peer, tunnel: &Tunnel<Verified>, suite: Suite) {
    let theirs = peer.hear(|line| line.trim().strip_prefix("Keying material: ").map(str::to_owned)).unwrap();
    assert_eq!(theirs == hex(tunnel.binding().data()), suite != Suite::Tls12);
}

/// `s_server` with this key, and us as its client.
fn their_server(
    suite: Suite,
    ours: &PskCredential,
    extra: &[&str],
) -> (Peer, Result<Open<std::net::TcpStream>>) {
    let port = free_port();
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-nocert", "-psk_identity", "alice"])
        .args(options(suite))
        .args(EXPORTER)
        .args(extra);
    let mut peer = Peer::start(&mut command);
    peer.hear(|line| (line == "ACCEPT").then_some(())).expect("it listens");
    let mechanism = PskClientConfig::new(ours.clone()).unwrap().mechanism().unwrap();
    (peer, open(connect(port), mechanism))
}

/// `s_client` with this key, and us as its server.
fn their_client(
    suite: Suite,
    ours: &PskCredential,
    extra: &[&str],
) -> (Peer, Result<Open<std::net::TcpStream>>) {
    let (listener, port) = listener();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-psk_identity", "alice"])
        .args(options(suite))
        .args(EXPORTER)
        .args(extra);
    let peer = Peer::start(&mut command);
    let config = PskServerConfig::only(suite, Arc::new(ours.clone())).unwrap();
    (peer, open(accept(&listener), config.mechanism().unwrap()))
}

fn talk(peer: &mut Peer, open: &mut Open<std::net::TcpStream>) {
    open.say("from us\n");
    peer.hear(|line| line.contains("from us").then_some(())).expect("it prints what it gets");
    peer.say("from them");
    assert_eq!(open.hear().as_deref(), Some("from them"));
}

#[test]
fn our_client_and_their_server() {
    if !is_there() {
        return;
    }
    for suite in [Suite::Tls13Sha256, Suite::Tls12] {
        let (mut peer, open) = their_server(suite, &credential("alice", KEY, suite), &["-psk", KEY]);
        let mut open = open.unwrap();
        exporters_agree(&mut peer, &open.tunnel, suite);
        talk(&mut peer, &mut open);
        if suite == Suite::Tls13Sha256 {
            open.tunnel.rekey().unwrap();
            talk(&mut peer, &mut open);
            // s_server's command for a KeyUpdate that asks for ours.
            peer.say("K");
            talk(&mut peer, &mut open);
        }
        open.close().unwrap();
    }
}

#[test]
fn their_client_and_our_server() {
    if !is_there() {
        return;
    }
    for suite in [Suite::Tls13Sha256, Suite::Tls12] {
        let (mut peer, open) = their_client(suite, &credential("alice", KEY, suite), &["-psk", KEY]);
        let mut open = open.unwrap();
        exporters_agree(&mut peer, &open.tunnel, suite);
        talk(&mut peer, &mut open);
        if suite == Suite::Tls13Sha256 {
            open.tunnel.rekey().unwrap();
            talk(&mut peer, &mut open);
            peer.say("K");
            // It reads the connection first, and would take what comes behind the letter for a part of the command.
            peer.hear(|line| (line == "KEYUPDATE").then_some(())).expect("it says so");
            talk(&mut peer, &mut open);
        }
        open.close().unwrap();
    }
}

#[test]
fn renegotiation_is_refused() {
    if !is_there() {
        return;
    }
    let (mut peer, open) =
        their_client(Suite::Tls12, &credential("alice", KEY, Suite::Tls12), &["-psk", KEY]);
    let mut open = open.unwrap();
    talk(&mut peer, &mut open);
    peer.say("R");
    assert_eq!(open.hear(), None, "the client has no answer and leaves");
    peer.hear(|line| line.contains("no renegotiation").then_some(())).expect("it names the alert");
}

fn refused(end: Result<Open<std::net::TcpStream>>) -> Error {
    end.expect_err("refused")
}

#[test]
fn a_wrong_key_and_an_unknown_identity_are_refused() {
    if !is_there() {
        return;
    }
    for suite in [Suite::Tls13Sha256, Suite::Tls12] {
        for (identity, key) in [("alice", WRONG), ("mallory", KEY)] {
            let ours = credential(identity, key, suite);
            let (mut peer, end) = their_server(suite, &ours, &["-psk", KEY]);
            if (suite, identity) == (Suite::Tls12, "mallory") {
                // s_server takes every name in TLS 1.2, with a warning: the key is what counts.
                peer.hear(|line| line.contains("PSK warning: client identity").then_some(()))
                    .expect("a warning");
                end.unwrap();
            } else {
                let error = refused(end);
                assert!(error.is(&rules::NOT_ACCEPTED), "{error:?}");
            }

            let (mut peer, end) = their_client(suite, &ours, &["-psk", KEY]);
            let error = refused(end);
            assert!(error.is(&rules::NOT_PROVEN), "{error:?}");
            peer.hear(|line| line.contains("alert").then_some(())).expect("it names the alert");
        }
    }
}

/// A session file for the option `-psk_session`, and its key: the one way in which the programs take a key for SHA-384.
fn session_file() -> (PathBuf, String) {
    let (key, certificate) = kit::self_signed();
    let (sender, sessions) = channel::<SslSession>();
    let sender = Mutex::new(sender);
    let mut client = SslContext::builder(SslMethod::tls()).unwrap();
    client.set_verify(SslVerifyMode::NONE);
    client.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
    client.set_session_cache_mode(SslSessionCacheMode::CLIENT);
    client.set_ciphersuites("TLS_AES_256_GCM_SHA384").unwrap();
    client.set_new_session_callback(move |_, session| sender.lock().unwrap().send(session).unwrap());
    let mut server = SslContext::builder(SslMethod::tls()).unwrap();
    server.set_private_key(&key).unwrap();
    server.set_certificate(&certificate).unwrap();

    let (listener, port) = listener();
    let (client, server) = (client.build(), server.build());
    let serving = std::thread::spawn(move || {
        let mut stream = SslStream::new(Ssl::new(&server).unwrap(), accept(&listener)).unwrap();
        stream.accept().unwrap();
        stream.ssl_write(b"x").unwrap();
    });
    let mut stream = SslStream::new(Ssl::new(&client).unwrap(), connect(port)).unwrap();
    stream.connect().unwrap();
    // The ticket comes before the data.
    stream.ssl_read(&mut [0]).unwrap();
    serving.join().unwrap();
    let session = sessions.recv().unwrap();
    let mut key = [0; 64];
    let len = session.master_key(&mut key);

    let text = openssl::base64::encode_block(&session.to_der().unwrap());
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let body = lines.collect::<Vec<_>>().join("\n");
    let path = std::env::temp_dir().join(format!("countersign-session-{}-{port}.pem", std::process::id()));
    let pem =
        format!("-----BEGIN SSL SESSION PARAMETERS-----\n{body}\n-----END SSL SESSION PARAMETERS-----\n");
    std::fs::write(&path, pem).unwrap();
    (path, hex(&key[..len]))
}

#[test]
fn keys_for_sha384() {
    if !is_there() {
        return;
    }
    let suite = Suite::Tls13Sha384;
    let (path, key) = session_file();
    let extra = ["-psk_session", path.to_str().unwrap()];
    let ours = credential("alice", &key, suite);
    for (mut peer, end) in [their_server(suite, &ours, &extra), their_client(suite, &ours, &extra)] {
        let mut open = end.unwrap();
        assert_eq!(open.tunnel.negotiated().unwrap().cipher_suite, "TLS_AES_256_GCM_SHA384");
        exporters_agree(&mut peer, &open.tunnel, suite);
        talk(&mut peer, &mut open);
    }
    std::fs::remove_file(path).unwrap();
}
