//! `--tcp`: tunnels with other TLS programs, and between two of ours.
#![cfg(feature = "openssl")]
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{ChildStderr, Command, Output, Stdio};
use std::thread;

use common::{Peer, is_installed, peer_or_skip};
use countersign::prep::Preparation;
use countersign::srp::{Group, files};
use countersign::tls::srp;
use countersign::{Password, system_rng};
use process::{Folder, Process, assert_two_lines, text, tool};

const KEY: &str = "9f02c7115e80d34ab6770ce9218df43b1c62ae0597d8304fbb1976e2588ac30d";
const WRONG: &str = "9f02c7115e80d34ab6770ce9218df43b1c62ae0597d8304fbb1976e2588ac30e";
const PASSWORD: &str = "correct horse";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

struct Stage {
    folder: Folder,
}

impl Stage {
    fn set(name: &str) -> Self {
        let folder = Folder::new(&format!("tcp-{name}"));
        folder.file("key", &format!("{KEY}\n"));
        folder.file("wrong-key", &format!("{WRONG}\n"));
        folder.file("password", &format!("{PASSWORD}\n"));
        folder.file("wrong-password", "battery staple\n");
        Self { folder }
    }

    fn command(&self, what: &str, address: &str, auth: &str, secret: &str) -> Command {
        let mut command = tool();
        command.args([what, "--tcp", address, "--auth", auth, "--identity", "alice"]);
        let option = if secret.ends_with("key") { "--key-file" } else { "--password-file" };
        command.arg(option).arg(self.folder.0.join(secret));
        command
    }

    fn connect(&self, port: u16, auth: &str, secret: &str, input: &[u8]) -> Output {
        Process::start(&mut self.command("connect", &format!("127.0.0.1:{port}"), auth, secret)).run(input)
    }

    /// A listener that is ready, its port, and the rest of what it says.
    fn listen(&self, auth: &str, secret: &str) -> (Process, u16, BufReader<ChildStderr>) {
        let mut ours = Process::start(self.command("listen", "127.0.0.1:0", auth, secret).arg("--once"));
        let mut stderr = BufReader::new(ours.0.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        (ours, port, stderr)
    }
}

fn rest(mut stderr: BufReader<ChildStderr>) -> String {
    let mut words = String::new();
    stderr.read_to_string(&mut words).unwrap();
    words
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn assert_verified(output: &Output, mechanism: &str) {
    let words = text(&output.stderr);
    assert!(words.contains("has proven the shared") && words.contains(mechanism), "{words}");
}

#[test]
fn two_of_ours_with_every_way() {
    let stage = Stage::set("ours");
    let data = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
    for (auth, secret) in [
        ("tls-psk", "key"),
        ("tls12-psk", "key"),
        ("tls-srp", "password"),
        ("cpace", "password"),
        ("SCRAM-SHA-256-PLUS", "password"),
        ("OPAQUE-R255-PLUS", "password"),
    ] {
        let (bob, port, said) = stage.listen(auth, secret);
        let bob = thread::spawn(|| bob.finish());
        let alice = stage.connect(port, auth, secret, &data);
        assert!(alice.status.success(), "{auth}: {}", text(&alice.stderr));
        let bob = bob.join().unwrap();
        assert!(bob.status.success() && bob.stdout == data, "{auth}: {}", rest(said));
    }
}

#[test]
fn two_of_ours_with_different_secrets() {
    let stage = Stage::set("different");
    for (auth, secret, other) in [
        ("tls-psk", "key", "wrong-key"),
        ("tls12-psk", "key", "wrong-key"),
        ("tls-srp", "password", "wrong-password"),
        ("cpace", "password", "wrong-password"),
    ] {
        let (bob, port, said) = stage.listen(auth, secret);
        assert_two_lines(&stage.connect(port, auth, other, b"secret"), 3);
        let bob = bob.finish();
        let words = rest(said);
        assert_eq!(bob.status.code(), Some(3), "{auth}: {words}");
        assert!(bob.stdout.is_empty());
    }
}

#[test]
fn a_password_is_no_key() {
    let stage = Stage::set("no-key");
    for secret in ["password", "weak-key"] {
        stage.folder.file("weak-key", "rosebud 1941\n");
        let output = stage.connect(1, "tls-psk", secret, b"");
        assert_two_lines(&output, 7);
        let words = text(&output.stderr);
        assert!(words.contains("guesses a second") && words.contains("CPace"), "{words}");
    }
    stage.folder.file("short-key", "00112233\n");
    let output = stage.connect(1, "tls-psk", "short-key", b"");
    assert!(text(&output.stderr).contains("at least 16 octets"), "{}", text(&output.stderr));
}

#[test]
fn pake_before_tls_needs_a_session() {
    let stage = Stage::set("pake");
    let output = stage.connect(1, "pake-psk", "password", b"");
    assert_two_lines(&output, 2);
    assert!(text(&output.stderr).contains("XMPP"));
}

#[test]
fn a_cut_connection_is_truncation() {
    let stage = Stage::set("cut");
    let (bob, port, said) = stage.listen("tls-psk", "key");
    // A wire that lets the handshake pass and then breaks.
    let wire = TcpListener::bind("127.0.0.1:0").unwrap();
    let front = wire.local_addr().unwrap().port();
    let carrier = thread::spawn(move || {
        let (mut near, _) = wire.accept().unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut chunk = [0; 16384];
        for _ in 0..2 {
            let taken = near.read(&mut chunk).unwrap();
            far.write_all(&chunk[..taken]).unwrap();
            if let Ok(taken) = far.read(&mut chunk) {
                near.write_all(&chunk[..taken]).unwrap();
            }
            far.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        }
        let _ = far.shutdown(Shutdown::Both);
    });
    drop(stage.connect(front, "tls-psk", "key", &vec![7; 1_000_000]));
    carrier.join().unwrap();
    let bob = bob.finish();
    assert_eq!(bob.status.code(), Some(6), "{}", rest(said));
}

fn openssl_is_there() -> bool {
    peer_or_skip("openssl", is_installed("openssl"))
}

#[test]
fn our_connect_and_s_server() {
    if !openssl_is_there() {
        return;
    }
    let stage = Stage::set("s-server");
    for (auth, version) in [("tls-psk", "-tls1_3"), ("tls12-psk", "-tls1_2")] {
        for (secret, code) in [("key", 0), ("wrong-key", 3)] {
            let port = free_port();
            let mut command = Command::new("openssl");
            command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-nocert", version, "-rev"]);
            command.args(["-naccept", "1", "-psk_identity", "alice", "-psk", KEY]);
            let mut server = Peer::start(&mut command);
            server.hear(|line| line.contains("ACCEPT").then_some(())).expect("it listens");
            let output = stage.connect(port, auth, secret, b"hello\n");
            assert_eq!(output.status.code(), Some(code), "{auth}: {}", text(&output.stderr));
            if code == 0 {
                assert_verified(&output, if auth == "tls-psk" { "TLS13-PSK" } else { "TLS12-ECDHE-PSK" });
                assert_eq!(text(&output.stdout), "olleh\n");
            }
        }
    }
}

#[test]
fn s_client_and_our_listen() {
    if !openssl_is_there() {
        return;
    }
    let stage = Stage::set("s-client");
    for (auth, version) in [("tls-psk", "-tls1_3"), ("tls12-psk", "-tls1_2")] {
        for (key, code) in [(KEY, 0), (WRONG, 3)] {
            let (bob, port, said) = stage.listen(auth, "key");
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), version]);
            command.args(["-psk_identity", "alice", "-psk", key]);
            let theirs = Process::start(&mut command).run(b"hello\n");
            let bob = bob.finish();
            let words = rest(said);
            assert_eq!(bob.status.code(), Some(code), "{auth}: {words}{}", text(&theirs.stderr));
            assert_eq!(text(&bob.stdout), if code == 0 { "hello\n" } else { "" });
        }
    }
}

/// `gnutls-serv` in a network namespace of its own, and a port of ours that leads to it once.
fn gnutls_serv(arguments: &[&str]) -> Option<(Process, u16)> {
    let namespaces = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
    let available = namespaces.is_ok_and(|status| status.success()) && is_installed("gnutls-serv");
    if !peer_or_skip("gnutls-serv in a network namespace", available) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "python3", &format!("{ROOT}/tests/peers/alone.py"), "4433", "gnutls-serv"]);
    command.args(["--port", "4433", "--echo", "--disable-client-cert"]).args(arguments);
    let mut server = Process::start(&mut command);
    let (mut input, mut output) = (server.0.stdin.take().unwrap(), server.0.stdout.take().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut from = near.try_clone().unwrap();
        let back = thread::spawn(move || {
            let _ = std::io::copy(&mut output, &mut near);
            let _ = near.shutdown(Shutdown::Write);
        });
        let mut chunk = [0; 16384];
        while let Ok(taken @ 1..) = from.read(&mut chunk) {
            if input.write_all(&chunk[..taken]).and_then(|()| input.flush()).is_err() {
                break;
            }
        }
        drop(input);
        back.join().unwrap();
    });
    Some((server, port))
}

fn gnutls_serv_echoes(stage: &Stage, arguments: &[&str], auth: &str, secret: &str) {
    let Some((server, port)) = gnutls_serv(arguments) else { return };
    let output = stage.connect(port, auth, secret, b"hello\n");
    assert_verified(&output, if auth == "tls-psk" { "TLS13-PSK" } else { "TLS-SRP" });
    assert_eq!(text(&output.stdout), "hello\n");
    // It need not answer our close.
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", text(&output.stderr));
    drop(server);
}

const PSK_PRIORITY: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK";
const SRP_PRIORITY: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+SRP";

#[test]
fn our_connect_and_gnutls_serv() {
    let stage = Stage::set("gnutls-serv");
    let keys = stage.folder.file("psk.txt", &format!("alice:{KEY}\n"));
    let keys = keys.to_str().unwrap();
    gnutls_serv_echoes(&stage, &["--pskpasswd", keys, "--priority", PSK_PRIORITY], "tls-psk", "key");

    let record = srp::generate(
        "alice",
        &Password::new(PASSWORD),
        Preparation::SaslPrep,
        Group::Bits2048,
        &mut system_rng(),
    );
    let line = format!("{}\n", *record.unwrap().to_gnutls("alice").unwrap());
    let passwd = stage.folder.file("tpasswd", &line);
    let line = format!("{}\n", files::group_to_gnutls(Group::Bits2048).unwrap());
    let conf = stage.folder.file("tpasswd.conf", &line);
    let (passwd, conf) = (passwd.to_str().unwrap(), conf.to_str().unwrap());
    let arguments = ["--srppasswd", passwd, "--srppasswdconf", conf, "--priority", SRP_PRIORITY];
    gnutls_serv_echoes(&stage, &arguments, "tls-srp", "password");
}

#[test]
fn gnutls_cli_and_our_listen() {
    if !peer_or_skip("gnutls-cli", is_installed("gnutls-cli")) {
        return;
    }
    let stage = Stage::set("gnutls-cli");
    let psk = ["--pskusername", "alice", "--pskkey", KEY, "--priority", PSK_PRIORITY];
    let srp = ["--srpusername", "alice", "--srppasswd", PASSWORD, "--priority", SRP_PRIORITY];
    for (auth, secret, arguments) in [("tls-psk", "key", psk), ("tls-srp", "password", srp)] {
        let (mut bob, port, said) = stage.listen(auth, secret);
        let mut command = Command::new("gnutls-cli");
        command.args(["--port", &port.to_string(), "127.0.0.1", "--no-ca-verification"]).args(arguments);
        let mut theirs = Peer::start(&mut command);
        theirs.hear(|line| line.contains("Simple Client Mode").then_some(())).expect("it is up");
        theirs.say("hello");
        let mut line = String::new();
        BufReader::new(bob.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "hello\n", "{auth}");
        drop(theirs);
        drop(bob);
        assert!(rest(said).contains("has proven the shared"));
    }
}

/// tlslite-ng as one side, told by a line of JSON.
fn tlslite(setting: &str) -> Peer {
    let mut command = Command::new("python3");
    command.arg(format!("{ROOT}/tests/peers/tlslite_peer.py"));
    let mut peer = Peer::start(&mut command);
    peer.say(setting);
    peer
}

fn tlslite_is_there() -> bool {
    let available = Command::new("python3").args(["-c", "import tlslite"]).stderr(Stdio::null()).status();
    peer_or_skip("the Python library tlslite-ng", available.is_ok_and(|status| status.success()))
}

fn field(line: &str, name: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get(name)?.as_str().map(str::to_owned)
}

#[test]
fn tlslite_and_our_connect() {
    if !tlslite_is_there() {
        return;
    }
    let stage = Stage::set("tlslite-server");
    for (secret, code) in [("password", 0), ("wrong-password", 3)] {
        let mut peer = tlslite(&format!(r#"{{"side":"server","user":"alice","password":"{PASSWORD}"}}"#));
        let port = peer.hear(|line| field(line, "port")).unwrap().parse().unwrap();
        let output = stage.connect(port, "tls-srp", secret, b"hello\n");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        if code == 0 {
            assert_verified(&output, "TLS-SRP");
            assert_eq!(text(&output.stdout), "hello\n");
        }
    }
}

#[test]
fn tlslite_and_our_listen() {
    if !tlslite_is_there() {
        return;
    }
    let stage = Stage::set("tlslite-client");
    let (mut bob, port, said) = stage.listen("tls-srp", "password");
    let setting = format!(r#"{{"side":"client","port":{port},"user":"alice","password":"{PASSWORD}"}}"#);
    let mut peer = tlslite(&setting);
    peer.hear(|line| field(line, "up")).expect("it is up");
    // It sends back what it gets; we have no more to say then.
    bob.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(bob.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    drop((peer, bob));
    assert!(rest(said).contains("TLS-SRP"));
}
