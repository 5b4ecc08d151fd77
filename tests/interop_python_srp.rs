//! SRP against the Python libraries srp and srptools, both roles (`tests/peers/srp_peer.py`).
#![cfg(feature = "srp")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use countersign::secret::SecretBytes;
use countersign::srp::{Client, Dialect, Group, Hash, Parameters, Prehash, Server, Verifier};
use countersign::system_rng;
use serde_json::{Value, json};

const USER: &str = "alice";
const PASSWORD: &str = "password123";

/// Exchanges with each setting: short values of A, B and S come up once in 256.
const RUNS: usize = 3;

struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(setting: &Value) -> Self {
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/srp_peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, input, output };
        peer.write(setting);
        peer
    }

    fn write(&mut self, value: &Value) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{value}").unwrap();
        input.flush().unwrap();
    }

    fn send(&mut self, name: &str, octets: &[u8]) {
        let hex = octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        self.write(&json!({ name: hex }));
    }

    fn read(&mut self, name: &str) -> Vec<u8> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let value = serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        let digits = value[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn ends_well(mut self) -> bool {
        self.input = None;
        self.child.wait().unwrap().success()
    }
}

fn is_there(library: &str) -> bool {
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    let available = python.is_ok_and(|status| status.success())
        && Peer::start(&json!({ "library": library, "side": "available" })).ends_well();
    common::peer_or_skip(&format!("the Python library {library}"), available)
}

fn exchanges(library: &str, dialect: Dialect, groups: &[Group], padded: bool) {
    for (hash, name) in [(Hash::Sha1, "sha1"), (Hash::Sha256, "sha256"), (Hash::Sha512, "sha512")] {
        for &group in groups {
            let parameters = Parameters { dialect: dialect.with_hash(hash), group, prehash: Prehash::None };
            let setting = |side: &str| {
                json!({
                    "library": library, "side": side, "hash": name, "bits": group.bits(), "padded": padded,
                    "user": USER, "password": PASSWORD,
                })
            };
            for _ in 0..RUNS {
                our_server(parameters, Peer::start(&setting("client")));
                our_client(parameters, Peer::start(&setting("server")));
            }
        }
    }
}

fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.as_bytes().to_vec())
}

fn our_server(parameters: Parameters, mut peer: Peer) {
    let verifier = Verifier::derive(&parameters, USER, &password(), b"sixteen octets!!").unwrap();
    let server = Server::start(parameters.dialect, verifier, &mut system_rng()).unwrap();
    let a = peer.read("a");
    peer.send("salt", server.salt());
    peer.send("b", server.public_value());
    let m1 = peer.read("m1");
    let (m2, established) = server.receive(USER, &a).unwrap().finish(&m1).unwrap();
    peer.send("m2", &m2);
    assert_eq!(peer.read("key"), established.key().expose());
    assert!(peer.ends_well());
}

fn our_client(parameters: Parameters, mut peer: Peer) {
    let (salt, v) = (peer.read("salt"), peer.read("v"));
    let ours = Verifier::derive(&parameters, USER, &password(), &salt).unwrap();
    assert_eq!(Verifier::from_parts(&parameters, &salt, &v).unwrap().expose(), ours.expose());
    let client = Client::start(parameters, &mut system_rng());
    let b = if parameters.dialect == Dialect::SRPTOOLS.with_hash(parameters.dialect.hash) {
        let b = peer.read("b");
        peer.send("a", client.public_value());
        b
    } else {
        peer.send("a", client.public_value());
        peer.read("b")
    };
    let client = client.respond(USER, &password(), &salt, &b).unwrap();
    peer.send("m1", client.proof());
    let established = client.finish(&peer.read("m2")).unwrap();
    assert_eq!(peer.read("key"), established.key().expose());
    assert!(peer.ends_well());
}

#[test]
fn pysrp_as_it_comes() {
    if is_there("pysrp") {
        exchanges("pysrp", Dialect::PYSRP, &[Group::Bits2048, Group::Bits4096], false);
    }
}

#[test]
fn pysrp_with_rfc5054() {
    if is_there("pysrp") {
        exchanges("pysrp", Dialect::PYSRP_RFC5054, &[Group::Bits2048, Group::Bits4096], true);
    }
}

#[test]
fn srptools() {
    if is_there("srptools") {
        exchanges("srptools", Dialect::SRPTOOLS, &[Group::Bits2048, Group::Bits3072], false);
    }
}
