//! TLS-PSK and TLS-SRP against the programs of GnuTLS, `gnutls-cli` and `gnutls-serv` (Debian package `gnutls-bin`).
//!
//! `gnutls-serv` listens on every address there is, so it runs in a network namespace of its own, with
//! `tests/peers/alone.py` as the wire to it.
#![cfg(feature = "openssl")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]

mod common;
#[path = "common/transport.rs"]
mod transport;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use common::{PATIENCE, Peer, is_installed, peer_or_skip};
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore};
use countersign::srp::{Group, Legacy, Verifier, files};
use countersign::tls::psk::{PreSharedKey, PskClientConfig, PskCredential, PskServerConfig, Suite};
use countersign::tls::srp::{NAME, SrpClientConfig, SrpServerConfig, generate};
use countersign::tls::{TlsMechanism, rules};
use countersign::{Password, Result, system_rng};
use transport::{Open, accept, listener, open};

const KEY: &str = "9f02c7115e80d34ab6770ce9218df43b";
const WRONG: &str = "9f02c7115e80d34ab6770ce9218df43c";
const PASSWORD: &str = "correct horse";
const SUITES: [Suite; 2] = [Suite::Tls13Sha256, Suite::Tls12];

/// Only psk_ke, which has no Diffie-Hellman exchange.
const PSK_KE: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK";
const SRP: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+SRP";

fn priority(suite: Suite) -> &'static str {
    match suite {
        Suite::Tls12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK",
        _ => "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK",
    }
}

fn client_is_there() -> bool {
    peer_or_skip("gnutls-cli", is_installed("gnutls-cli"))
}

fn server_is_there() -> bool {
    peer_or_skip("gnutls-serv in a network namespace", is_installed("gnutls-serv") && namespace().is_some())
}

/// What makes a network namespace: the first way is root's, the second anybody's where the system lets him.
fn namespace() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let works = |way: &&&[&str]| {
        let status = Command::new("unshare").args(**way).arg("true").stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    WAYS.iter().find(works).copied()
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn credential(identity: &str, key: &str, suite: Suite) -> PskCredential {
    let key = PreSharedKey::from_high_entropy(&octets(key)).unwrap();
    PskCredential::raw(identity.as_bytes(), &key, suite).unwrap()
}

fn psk_client(identity: &str, key: &str, suite: Suite) -> Box<dyn TlsMechanism> {
    PskClientConfig::new(credential(identity, key, suite)).unwrap().mechanism().unwrap()
}

fn srp_client(username: &str, password: &str) -> Box<dyn TlsMechanism> {
    let password = Password::new(password);
    let config = SrpClientConfig::new(username, &password, Preparation::SaslPrep, Legacy::Refused).unwrap();
    config.mechanism().unwrap()
}

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-gnutls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `gnutls-serv` in its namespace.
#[derive(Debug)]
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Server {
    /// Starts it; its lines come through the receiver.
    fn start(arguments: &[&str]) -> (Self, Receiver<String>) {
        // Nobody else is in the namespace, so any port is free.
        const PORT: &str = "4433";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/alone.py");
        let mut child = Command::new("unshare")
            .args(namespace().expect("it was asked for"))
            .arg("python3")
            .arg(script)
            .args([PORT, "gnutls-serv", "--port", PORT, "--echo", "--disable-client-cert"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        let printed = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            printed.lines().map_while(std::result::Result::ok).try_for_each(|line| sender.send(line))
        });
        (Self { child, input, output }, lines)
    }
}

impl Read for Server {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.output.read(out)
    }
}

impl Write for Server {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.input.as_mut().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.input.as_mut().unwrap().flush()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script ends with its input, and the server with the script.
        self.input = None;
        let _ = self.child.wait();
    }
}

fn psk_server(
    folder: &Folder,
    priority: &str,
    mechanism: Box<dyn TlsMechanism>,
) -> (Result<Open<Server>>, Receiver<String>) {
    let keys = folder.file("psk.txt", &format!("alice:{KEY}\n"));
    let (server, lines) = Server::start(&["--pskpasswd", &keys, "--priority", priority]);
    (open(server, mechanism), lines)
}

/// The binding that the server prints: with the empty context of RFC 9266 in TLS 1.2 too.
fn printed_binding(lines: &Receiver<String>) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("it prints the binding");
        if let Some(value) = line.trim().strip_prefix("- 'tls-exporter': ") {
            return value.to_owned();
        }
    }
}

fn echoes(mut open: Open<Server>, lines: &Receiver<String>) {
    assert_eq!(printed_binding(lines), hex(open.tunnel.binding().data()));
    for text in ["one", "two"] {
        open.say(&format!("{text}\n"));
        assert_eq!(open.hear().as_deref(), Some(text));
    }
    // It echoes the end of the line; what it says to the close does not matter here.
    let _ = open.close();
}

#[test]
fn our_psk_client_and_their_server() {
    if !server_is_there() {
        return;
    }
    let folder = Folder::new("psk-server");
    for suite in SUITES {
        let (end, lines) = psk_server(&folder, priority(suite), psk_client("alice", KEY, suite));
        echoes(end.unwrap(), &lines);
    }
}

#[test]
fn their_server_refuses_a_wrong_key_and_an_unknown_identity() {
    if !server_is_there() {
        return;
    }
    let folder = Folder::new("psk-refused");
    for suite in SUITES {
        for (identity, key) in [("alice", WRONG), ("mallory", KEY)] {
            let (end, _) = psk_server(&folder, priority(suite), psk_client(identity, key, suite));
            let error = end.expect_err("refused");
            assert!(error.is(&rules::NOT_ACCEPTED), "{suite:?} {identity}: {error:?}");
        }
    }
}

#[test]
fn their_server_without_diffie_hellman_is_refused() {
    if !server_is_there() {
        return;
    }
    let folder = Folder::new("psk-ke-server");
    let (end, _) = psk_server(&folder, PSK_KE, psk_client("alice", KEY, Suite::Tls13Sha256));
    assert!(end.is_err());
}

/// `gnutls-cli`, and us as its server.
fn their_client(arguments: &[&str], mechanism: Box<dyn TlsMechanism>) -> (Peer, Result<Open<TcpStream>>) {
    let (listener, port) = listener();
    let mut command = Command::new("gnutls-cli");
    command
        .args(["--port", &port.to_string(), "127.0.0.1", "--no-ca-verification"])
        .args(["--keymatexport", "EXPORTER-Channel-Binding", "--keymatexportsize", "32"])
        .args(arguments);
    let peer = Peer::start(&mut command);
    (peer, open(accept(&listener), mechanism))
}

fn their_psk_client(
    key: &str,
    priority: &str,
    suite: Suite,
    ours: &PskCredential,
) -> (Peer, Result<Open<TcpStream>>) {
    let mechanism = PskServerConfig::only(suite, Arc::new(ours.clone())).unwrap().mechanism().unwrap();
    their_client(&["--pskusername", "alice", "--pskkey", key, "--priority", priority], mechanism)
}

/// It says nothing to our close_notify but leaves, which is truncation to us.
fn closes(mut peer: Peer, open: Open<TcpStream>) {
    let error = open.close().expect_err("no close_notify from it");
    assert!(error.is(&rules::TRUNCATED), "{error:?}");
    peer.hear(|line| line.contains("Peer has closed the GnuTLS connection").then_some(()))
        .expect("it understood");
}

fn talk(peer: &mut Peer, open: &mut Open<TcpStream>) {
    peer.hear(|line| line.contains("Simple Client Mode").then_some(())).expect("it is up");
    peer.say("from them");
    assert_eq!(open.hear().as_deref(), Some("from them"));
    open.say("from us\n");
    peer.hear(|line| line.contains("from us").then_some(())).expect("it prints what it gets");
}

#[test]
fn their_psk_client_and_our_server() {
    if !client_is_there() {
        return;
    }
    let suite = Suite::Tls13Sha256;
    let (mut peer, open) = their_psk_client(KEY, priority(suite), suite, &credential("alice", KEY, suite));
    let mut open = open.unwrap();
    let theirs = peer.hear(|line| line.strip_prefix("- Key material: ").map(str::to_owned)).unwrap();
    assert_eq!(theirs, hex(open.tunnel.binding().data()));
    talk(&mut peer, &mut open);
    open.tunnel.rekey().unwrap();
    open.flush();
    peer.say("again");
    assert_eq!(open.hear().as_deref(), Some("again"));
    closes(peer, open);
}

#[test]
fn their_tls12_client_and_our_server() {
    if !client_is_there() {
        return;
    }
    let suite = Suite::Tls12;
    let (mut peer, open) = their_psk_client(KEY, priority(suite), suite, &credential("alice", KEY, suite));
    let mut open = open.unwrap();
    assert_eq!(open.tunnel.outcome().authcid(), "alice");
    // gnutls-cli 3.7.9 crashes when it describes a good ECDHE-PSK handshake, after both have verified it.
    if peer.hear(|line| line.contains("Handshake was completed").then_some(())).is_some() {
        talk(&mut peer, &mut open);
    }
}

#[test]
fn our_server_refuses_a_wrong_key_and_an_unknown_identity() {
    if !client_is_there() {
        return;
    }
    for suite in SUITES {
        for ours in [credential("alice", WRONG, suite), credential("mallory", KEY, suite)] {
            let (mut peer, end) = their_psk_client(KEY, priority(suite), suite, &ours);
            let error = end.expect_err("refused");
            assert!(error.is(&rules::NOT_PROVEN), "{error:?}");
            peer.hear(|line| line.contains("A TLS fatal alert").then_some(())).expect("it names the alert");
        }
    }
}

#[test]
fn their_client_that_wants_no_diffie_hellman_is_refused() {
    if !client_is_there() {
        return;
    }
    let suite = Suite::Tls13Sha256;
    let (_peer, end) = their_psk_client(KEY, PSK_KE, suite, &credential("alice", KEY, suite));
    assert!(end.is_err());
}

/// The files of a server, with a record that our library has made.
fn srp_server(folder: &Folder, mechanism: Box<dyn TlsMechanism>) -> (Result<Open<Server>>, Receiver<String>) {
    let passwd = folder.file("tpasswd", &format!("{}\n", *record().to_gnutls("alice").unwrap()));
    let conf =
        folder.file("tpasswd.conf", &format!("{}\n", files::group_to_gnutls(Group::Bits2048).unwrap()));
    let (server, lines) =
        Server::start(&["--srppasswd", &passwd, "--srppasswdconf", &conf, "--priority", SRP]);
    (open(server, mechanism), lines)
}

fn record() -> Verifier {
    let password = Password::new(PASSWORD);
    generate("alice", &password, Preparation::SaslPrep, Group::Bits2048, &mut system_rng()).unwrap()
}

#[test]
fn our_srp_client_and_their_server() {
    if !server_is_there() {
        return;
    }
    let folder = Folder::new("srp-server");
    let (end, lines) = srp_server(&folder, srp_client("alice", PASSWORD));
    echoes(end.unwrap(), &lines);
    for (username, password) in [("alice", "wrong"), ("mallory", PASSWORD)] {
        let (end, _) = srp_server(&folder, srp_client(username, password));
        let error = end.expect_err("refused");
        // It gives a name that its file does not have away, by internal_error.
        let rule = if username == "alice" { &rules::NOT_ACCEPTED } else { &rules::ALERT };
        assert!(error.is(rule), "{error:?}");
    }
}

fn their_srp_client(username: &str, password: &str) -> (Peer, Result<Open<TcpStream>>) {
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&NAME, "alice", Credential::Srp(record())).unwrap();
    let config = SrpServerConfig::new(Arc::new(store)).unwrap().with_simulated_group(Group::Bits2048);
    let arguments = ["--srpusername", username, "--srppasswd", password, "--priority", SRP];
    their_client(&arguments, config.mechanism().unwrap())
}

#[test]
fn their_srp_client_and_our_server() {
    if !client_is_there() {
        return;
    }
    let (mut peer, open) = their_srp_client("alice", PASSWORD);
    let mut open = open.unwrap();
    assert_eq!(open.tunnel.outcome().authcid(), "alice");
    talk(&mut peer, &mut open);
    closes(peer, open);
    for (username, password) in [("alice", "wrong"), ("mallory", PASSWORD)] {
        let (mut peer, end) = their_srp_client(username, password);
        let error = end.expect_err("refused");
        assert!(error.is(&rules::NOT_PROVEN), "{error:?}");
        peer.hear(|line| line.contains("A TLS fatal alert").then_some(())).expect("it names the alert");
    }
}
