//! SCRAM against GNU SASL (Debian package `gsasl`) in both roles, with and without channel binding.
#![cfg(feature = "scram")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::process::Command;

use base64ct::{Base64, Encoding};
use common::{Peer, is_installed, peer_or_skip};
use countersign::prep::Preparation;
use countersign::scram::{
    ClientConfig, HashFunction, ITERATIONS_MIN, SEED_MIN, ScramMechanism, ServerConfig, StoredCredential,
    rules,
};
use countersign::secret::SecretBytes;
use countersign::{ChannelBinding, Context, Error, Outcome, Password, system_rng};

const SHA1: ScramMechanism = ScramMechanism::new(HashFunction::Sha1);
const SHA1_PLUS: ScramMechanism = ScramMechanism::plus(HashFunction::Sha1);
const SHA256: ScramMechanism = ScramMechanism::new(HashFunction::Sha256);
const SHA256_PLUS: ScramMechanism = ScramMechanism::plus(HashFunction::Sha256);

/// Which exporter value each side has been given.
#[derive(Clone, Copy)]
enum Channel {
    None,
    Same,
    TheirsDiffers,
}

fn channel(mechanism: ScramMechanism) -> Channel {
    if mechanism.is_plus() { Channel::Same } else { Channel::None }
}

fn ours(mechanism: ScramMechanism) -> Option<ChannelBinding> {
    mechanism.is_plus().then(|| ChannelBinding::tls_exporter([0x5a; 32]))
}

fn gsasl(role: &str, mechanism: ScramMechanism, password: &str) -> Peer {
    // Without stdbuf its lines stay in its buffer, since a pipe is no terminal.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "gsasl", role, "--mechanism", mechanism.name().as_str(), "-a", "alice"]);
    command.args(["-p", password, "--iteration-count", &ITERATIONS_MIN.to_string()]);
    Peer::start(&mut command)
}

/// Answers its questions for the exporter value and, where it got none, for tls-unique.
fn tell_binding(peer: &mut Peer, channel: Channel) {
    match channel {
        Channel::None => ["", ""].iter().for_each(|line| peer.say(line)),
        Channel::Same => peer.say(&Base64::encode_string(&[0x5a; 32])),
        Channel::TheirsDiffers => peer.say(&Base64::encode_string(&[0x5b; 32])),
    }
}

fn tell(peer: &mut Peer, message: &[u8]) {
    peer.say(&Base64::encode_string(message));
}

/// The next message that begins in one of these ways.
fn hear(peer: &mut Peer, starts: &[&str]) -> Option<Vec<u8>> {
    peer.hear(|line| {
        // Its questions end without a line break, so a message may stand behind one.
        let message = Base64::decode_vec(line.rsplit(' ').next()?).ok()?;
        starts.iter().any(|start| message.starts_with(start.as_bytes())).then_some(message)
    })
}

/// Our client at their server.
fn at_gsasl(mechanism: ScramMechanism, password: &str, channel: Channel) -> Option<Outcome> {
    let mut peer = gsasl("--server", mechanism, "pencil");
    let client = ClientConfig::new(mechanism, "alice", Password::new(password), ours(mechanism)).unwrap();
    let (client, first) = client.start(&mut system_rng()).unwrap();
    tell(&mut peer, &first);
    if mechanism.is_plus() {
        tell_binding(&mut peer, channel);
    }
    let challenge = hear(&mut peer, &["r="]).expect("gsasl answers");
    let (client, response) = client.receive(&challenge).unwrap();
    tell(&mut peer, &response);
    let success = hear(&mut peer, &["v=", "e="])?;
    let (outcome, _) = client.receive(&success).ok()?;
    peer.say("");
    assert!(peer.ends_well(), "gsasl has accepted");
    Some(outcome)
}

/// Their client at our server.
fn from_gsasl(mechanism: ScramMechanism, password: &str, channel: Channel) -> Result<Outcome, Error> {
    let mut peer = gsasl("--client", mechanism, password);
    tell_binding(&mut peer, channel);
    let first = hear(&mut peer, &["n,", "y,", "p="]).expect("gsasl begins");
    let server = ServerConfig::new(mechanism, ours(mechanism), &SecretBytes::new(vec![5; SEED_MIN])).unwrap();
    // So that the server adds `h`, which gsasl does not know and must ignore.
    let server = server.with_context(Context::new().with_mechanisms([mechanism.name()]));
    let request = server.start(&mut system_rng()).receive(&first)?;
    assert_eq!(request.username(), "alice");
    let record = StoredCredential::generate_with(
        mechanism.hash(),
        &Password::new("pencil"),
        Preparation::SaslPrep,
        ITERATIONS_MIN,
        &mut system_rng(),
    );
    let (server, challenge) = request.respond(Some(record?))?;
    tell(&mut peer, &challenge);
    let response = hear(&mut peer, &["c="]).expect("gsasl answers");
    let (outcome, success) = server.receive(&response)?;
    tell(&mut peer, &success);
    peer.say("");
    assert!(peer.ends_well(), "gsasl has accepted");
    Ok(outcome)
}

macro_rules! both_roles {
    ($($client:ident, $server:ident, $mechanism:ident;)*) => {$(
        #[test]
        fn $client() {
            if peer_or_skip("gsasl", is_installed("gsasl")) {
                let outcome = at_gsasl($mechanism, "pencil", channel($mechanism)).expect("accepted");
                assert_eq!(outcome.authcid(), "alice");
                assert_eq!(outcome.binding().is_some(), $mechanism.is_plus());
            }
        }

        #[test]
        fn $server() {
            if peer_or_skip("gsasl", is_installed("gsasl")) {
                let outcome = from_gsasl($mechanism, "pencil", channel($mechanism)).unwrap();
                assert_eq!(outcome.authcid(), "alice");
                assert_eq!(outcome.binding().is_some(), $mechanism.is_plus());
            }
        }
    )*};
}

both_roles! {
    client_sha_1, server_sha_1, SHA1;
    client_sha_1_plus, server_sha_1_plus, SHA1_PLUS;
    client_sha_256, server_sha_256, SHA256;
    client_sha_256_plus, server_sha_256_plus, SHA256_PLUS;
}

#[test]
fn client_with_a_wrong_password_is_refused() {
    if peer_or_skip("gsasl", is_installed("gsasl")) {
        assert!(at_gsasl(SHA256, "pencils", Channel::None).is_none());
    }
}

#[test]
fn server_refuses_a_wrong_password() {
    if peer_or_skip("gsasl", is_installed("gsasl")) {
        let error = from_gsasl(SHA256, "pencils", Channel::None).unwrap_err();
        assert!(error.is(&rules::NOT_AUTHENTICATED));
    }
}

#[test]
fn client_on_another_channel_is_refused() {
    if peer_or_skip("gsasl", is_installed("gsasl")) {
        assert!(at_gsasl(SHA256_PLUS, "pencil", Channel::TheirsDiffers).is_none());
    }
}

#[test]
fn server_refuses_another_channel() {
    if peer_or_skip("gsasl", is_installed("gsasl")) {
        let error = from_gsasl(SHA256_PLUS, "pencil", Channel::TheirsDiffers).unwrap_err();
        assert!(error.is(&rules::BINDING_MISMATCH));
    }
}

/// Records made by gsasl are the ones we make.
#[test]
fn stored_keys_are_those_of_gsasl() {
    if !peer_or_skip("gsasl", is_installed("gsasl")) {
        return;
    }
    for hash in [HashFunction::Sha1, HashFunction::Sha256] {
        let mut command = Command::new("gsasl");
        command.args(["--mkpasswd", "--mechanism", hash.scheme(), "-p", "pencil"]);
        command.args(["--iteration-count", "4096", "--salt", "c2FsdA=="]);
        let mut peer = Peer::start(&mut command);
        let prefix = format!("{{{}}}4096,", hash.scheme());
        let theirs = peer.hear(|line| line.strip_prefix(prefix.as_str()).map(str::to_owned)).unwrap();
        let password = Password::new("pencil");
        let ours = StoredCredential::derive(hash, &password, Preparation::SaslPrep, b"salt", ITERATIONS_MIN)
            .unwrap();
        let ours = [ours.salt(), ours.stored_key(), ours.server_key()].map(Base64::encode_string);
        assert_eq!(theirs, ours.join(","));
    }
}
