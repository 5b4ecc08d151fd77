//! Both roles against Python programs that were written from the documents alone (`tests/peers/`).
#![cfg(feature = "cpace")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use countersign::cpace::{R255_PLUS, X25519_PLUS, rules};
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup};
use countersign::secret::SecretBytes;
use countersign::{BindingType, ChannelBinding, Context, MechanismName, Password, Result, system_rng};
use serde_json::{Value, json};

const ALICE: &str = "alice@wonderland.example";
const PASSWORD: &str = "kr\u{e4}ftig genug";

fn python_is_there() -> bool {
    let version = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    common::peer_or_skip("python3", version.is_ok_and(|status| status.success()))
}

fn script() -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cpace_peer.py"));
    command
}

/// The other side, as a child process that speaks lines of JSON.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(role: &str, mechanism: &MechanismName, password: &str) -> Self {
        let mut child =
            script().arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, input, output };
        peer.write(&json!({
            "mechanism": mechanism.as_str(),
            "password": password,
            "authcid": ALICE,
            "authzid": "",
            "initiator": context().initiator(),
            "responder": context().responder(),
            "mechanisms": ["CPACE-X25519-PLUS", "CPACE-R255-PLUS"],
            "binding_types": ["tls-exporter"],
            "cb_type": "tls-exporter",
            "cb_data": hex(binding().data()),
            "offers": [hex(b"<security/>")],
        }));
        peer
    }

    fn write(&mut self, value: &Value) {
        writeln!(self.input, "{value}").unwrap();
        self.input.flush().unwrap();
    }

    fn send(&mut self, message: &[u8]) {
        self.write(&json!({ "message": hex(message) }));
    }

    fn read(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let value = serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        value[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    }

    fn receive(&mut self) -> Vec<u8> {
        unhex(&self.read("message"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn context() -> Context {
    Context::between("alice@wonderland.example/phone", "bob@home.example/laptop")
        .with_mechanisms([R255_PLUS, X25519_PLUS])
        .with_binding_types([BindingType::TlsExporter])
        .with_offer(*b"<security/>")
}

fn binding() -> ChannelBinding {
    ChannelBinding::tls_exporter([0x42; 32])
}

struct Alice(SecretBytes);

impl CredentialStore for Alice {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        Ok((authcid == ALICE).then(|| Credential::Password(Password::new(PASSWORD))))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.0
    }
}

fn our_client(name: &MechanismName) -> Box<dyn countersign::Mechanism> {
    let setup = ClientSetup {
        authcid: ALICE.into(),
        authzid: None,
        password: Password::new(PASSWORD),
        preparation: Preparation::SaslPrep,
        binding: Some(binding()),
        context: context(),
    };
    registry::find(name).unwrap().client(setup, &mut system_rng()).unwrap()
}

fn our_server(name: &MechanismName) -> Box<dyn countersign::Mechanism> {
    let credentials = Arc::new(Alice(SecretBytes::new(vec![1; 32])));
    let setup = ServerSetup { credentials, binding: Some(binding()), context: context() };
    registry::find(name).unwrap().server(setup, &mut system_rng()).unwrap()
}

fn continued(step: Result<Step>) -> Vec<u8> {
    match step.unwrap() {
        Step::Continue(message) => message,
        Step::Finished { .. } => panic!("too early"),
    }
}

#[test]
fn our_client_and_the_python_server_agree_on_a_key() {
    if !python_is_there() {
        return;
    }
    for name in [R255_PLUS, X25519_PLUS] {
        let mut peer = Peer::start("server", &name, PASSWORD);
        let mut client = our_client(&name);
        peer.send(&continued(client.step(&[])));
        let Step::Finished { reply: Some(third), outcome } = client.step(&peer.receive()).unwrap() else {
            panic!("not finished")
        };
        peer.send(&third);
        assert_eq!(peer.read("key"), hex(outcome.key().unwrap().expose()));
    }
}

#[test]
fn the_python_client_and_our_server_agree_on_a_key() {
    if !python_is_there() {
        return;
    }
    for name in [R255_PLUS, X25519_PLUS] {
        let mut peer = Peer::start("client", &name, PASSWORD);
        let mut server = our_server(&name);
        let first = peer.receive();
        peer.send(&continued(server.step(&first)));
        let Step::Finished { reply: None, outcome } = server.step(&peer.receive()).unwrap() else {
            panic!("not finished")
        };
        assert_eq!(outcome.authcid(), ALICE);
        assert_eq!(peer.read("key"), hex(outcome.key().unwrap().expose()));
    }
}

#[test]
fn our_client_refuses_a_python_server_with_another_password() {
    if !python_is_there() {
        return;
    }
    for name in [R255_PLUS, X25519_PLUS] {
        let mut peer = Peer::start("server", &name, "kraftig genug");
        let mut client = our_client(&name);
        peer.send(&continued(client.step(&[])));
        assert!(client.step(&peer.receive()).unwrap_err().is(&rules::WRONG_CONFIRMATION));
    }
}

#[test]
fn a_python_client_with_another_password_refuses_our_server() {
    if !python_is_there() {
        return;
    }
    for name in [R255_PLUS, X25519_PLUS] {
        let mut peer = Peer::start("client", &name, "kraftig genug");
        let mut server = our_server(&name);
        let first = peer.receive();
        peer.send(&continued(server.step(&first)));
        assert_eq!(peer.read("error"), "the server's confirmation is wrong");
        let guess = [&[1, 3][..], &[0; 64]].concat();
        assert!(server.step(&guess).unwrap_err().is(&rules::WRONG_CONFIRMATION));
    }
}

#[test]
fn a_python_server_refuses_a_changed_confirmation() {
    if !python_is_there() {
        return;
    }
    for name in [R255_PLUS, X25519_PLUS] {
        let mut peer = Peer::start("server", &name, PASSWORD);
        let mut client = our_client(&name);
        peer.send(&continued(client.step(&[])));
        let Step::Finished { reply: Some(mut third), .. } = client.step(&peer.receive()).unwrap() else {
            panic!("not finished")
        };
        *third.last_mut().unwrap() ^= 1;
        peer.send(&third);
        assert_eq!(peer.read("error"), "the client's confirmation is wrong");
    }
}

#[test]
fn python_recomputes_the_examples_of_the_document() {
    if !python_is_there() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/cpace_sasl.json");
    let output = script().args(["check", file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({ "checked": 2 }));
}

#[test]
fn python_recomputes_the_examples_of_pake_before_tls() {
    if !python_is_there() {
        return;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new("python3");
    command.arg(format!("{root}/tests/peers/pake_psk_peer.py"));
    let output = command.args(["check", &format!("{root}/vectors/pake_psk.json")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({ "checked": 2 }));
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
