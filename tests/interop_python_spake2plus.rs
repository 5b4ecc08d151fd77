//! Both roles of the SPAKE2+ mechanisms against a Python program that was written from the document alone.
#![cfg(feature = "spake2plus")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
#[path = "common/peer.rs"]
mod peer;

use std::process::Stdio;
use std::sync::Arc;

use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, ServerSetup, SharedPassword};
use countersign::spake2plus::{ED25519_PLUS, P256_PLUS, rules};
use countersign::{
    BindingType, ChannelBinding, Context, Mechanism, MechanismName, Password, Result, system_rng,
};
use peer::{Peer, hex, script};
use serde_json::{Value, json};

const SCRIPT: &str = "spake2plus_peer.py";
const NAMES: [MechanismName; 2] = [ED25519_PLUS, P256_PLUS];
const ALICE: &str = "alice@wonderland.example";
const PASSWORD: &str = "kr\u{e4}ftig genug";
const OTHER_PASSWORD: &str = "kraftig genug";

fn python_is_there() -> bool {
    let import = std::process::Command::new("python3")
        .args(["-c", "import argon2.low_level, ecdsa.eddsa"])
        .stderr(Stdio::null())
        .status();
    common::peer_or_skip("python3 with argon2-cffi and ecdsa", import.is_ok_and(|status| status.success()))
}

fn python(name: &MechanismName, role: &str, password: &str, ksf: Ksf) -> Peer {
    let setup = json!({
        "mechanism": name.as_str(),
        "password": password,
        "authcid": ALICE,
        "authzid": "",
        "initiator": context().initiator(),
        "responder": context().responder(),
        "mechanisms": NAMES.each_ref().map(MechanismName::as_str),
        "binding_types": ["tls-exporter"],
        "cb_type": "tls-exporter",
        "cb_data": hex(binding().data()),
        "offers": [hex(b"<security/>")],
        "ksf": hex(&ksf.to_bytes()),
    });
    Peer::start(SCRIPT, role, &setup)
}

fn ksfs() -> [Ksf; 4] {
    [
        Ksf::argon2id(1024, 2, 1).unwrap(),
        Ksf::argon2id(256, 1, 4).unwrap(),
        Ksf::scrypt(10, 8, 2).unwrap(),
        Ksf::pbkdf2(1001).unwrap(),
    ]
}

fn context() -> Context {
    Context::between("alice@wonderland.example/phone", "bob@home.example/laptop")
        .with_mechanisms(NAMES)
        .with_binding_types([BindingType::TlsExporter])
        .with_offer(*b"<security/>")
}

fn binding() -> ChannelBinding {
    ChannelBinding::tls_exporter([0x42; 32])
}

fn our_client(name: &MechanismName) -> Box<dyn Mechanism> {
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

fn our_server(name: &MechanismName, ksf: Ksf) -> Box<dyn Mechanism> {
    let password = Password::new(PASSWORD);
    let credentials = SharedPassword::new(ALICE, password, Preparation::SaslPrep, system_rng()).unwrap();
    let credentials = Arc::new(credentials.with_ksf(ksf));
    let setup = ServerSetup { credentials, binding: Some(binding()), context: context() };
    registry::find(name).unwrap().server(setup, &mut system_rng()).unwrap()
}

fn continued(step: Result<Step>) -> Vec<u8> {
    match step.unwrap() {
        Step::Continue(message) => message,
        Step::Finished { .. } => panic!("too early"),
    }
}

/// Our client up to the server's share, which it has not yet taken.
fn up_to_the_share(peer: &mut Peer, client: &mut dyn Mechanism) -> Vec<u8> {
    peer.send(&continued(client.step(&[])));
    let record = peer.receive();
    peer.send(&continued(client.step(&record)));
    peer.receive()
}

/// Our server up to its own share.
fn answer_twice(peer: &mut Peer, server: &mut dyn Mechanism) {
    for _ in 0..2 {
        let message = peer.receive();
        peer.send(&continued(server.step(&message)));
    }
}

#[test]
fn our_client_and_the_python_server_agree_on_a_key() {
    if !python_is_there() {
        return;
    }
    for (name, ksf) in NAMES.into_iter().flat_map(|name| ksfs().map(|ksf| (name.clone(), ksf))) {
        let (mut peer, mut client) = (python(&name, "server", PASSWORD, ksf), our_client(&name));
        let share = up_to_the_share(&mut peer, &mut *client);
        let Step::Finished { reply: Some(last), outcome } = client.step(&share).unwrap() else {
            panic!("not finished")
        };
        peer.send(&last);
        assert_eq!(peer.read("key"), hex(outcome.key().unwrap().expose()));
    }
}

#[test]
fn the_python_client_and_our_server_agree_on_a_key() {
    if !python_is_there() {
        return;
    }
    for (name, ksf) in NAMES.into_iter().flat_map(|name| ksfs().map(|ksf| (name.clone(), ksf))) {
        let (mut peer, mut server) = (python(&name, "client", PASSWORD, ksf), our_server(&name, ksf));
        answer_twice(&mut peer, &mut *server);
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
    for name in NAMES {
        let (mut peer, mut client) =
            (python(&name, "server", OTHER_PASSWORD, Ksf::CHEAPEST), our_client(&name));
        let share = up_to_the_share(&mut peer, &mut *client);
        assert!(client.step(&share).unwrap_err().is(&rules::WRONG_CONFIRMATION));
    }
}

#[test]
fn a_python_client_with_another_password_refuses_our_server() {
    if !python_is_there() {
        return;
    }
    for name in NAMES {
        let (mut peer, mut server) =
            (python(&name, "client", OTHER_PASSWORD, Ksf::CHEAPEST), our_server(&name, Ksf::CHEAPEST));
        answer_twice(&mut peer, &mut *server);
        assert_eq!(peer.read("error"), "the server's confirmation is wrong");
        let guess = [&[1, 5][..], &[0; 32]].concat();
        assert!(server.step(&guess).unwrap_err().is(&rules::WRONG_CONFIRMATION));
    }
}

#[test]
fn a_python_server_refuses_a_changed_confirmation() {
    if !python_is_there() {
        return;
    }
    for name in NAMES {
        let (mut peer, mut client) = (python(&name, "server", PASSWORD, Ksf::CHEAPEST), our_client(&name));
        let share = up_to_the_share(&mut peer, &mut *client);
        let Step::Finished { reply: Some(mut last), .. } = client.step(&share).unwrap() else {
            panic!("not finished")
        };
        *last.last_mut().unwrap() ^= 1;
        peer.send(&last);
        assert_eq!(peer.read("error"), "the client's confirmation is wrong");
    }
}

#[test]
fn python_recomputes_the_examples_of_the_document() {
    if !python_is_there() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/spake2plus_sasl.json");
    let output = script(SCRIPT).args(["check", file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({ "checked": 4 }));
}
