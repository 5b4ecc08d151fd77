//! SASL SRP against Cyrus SASL's own client and server, in both roles.
//!
//! Its SRP plugin is in no package: `tests/peers/build_cyrus.sh` builds it into `target/peers/cyrus`, or wherever
//! `COUNTERSIGN_CYRUS` says. The programs are those of Debian's package `sasl2-bin`.
#![cfg(feature = "srp")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use common::{Peer, peer_or_skip};
use countersign::prep::Preparation;
use countersign::registry::{ClientSetup, Credential, CredentialStore, ServerSetup};
use countersign::secret::SecretBytes;
use countersign::srp::{Verifier, rules, sasl};
use countersign::{Context, Error, MechanismName, Outcome, Password, Result, system_rng};

const PASSWORD: &str = "pencil";

/// What both sides send when they are done, in the security layer if there is one.
const THEIR_SERVERS_GREETING: &[u8] = b"srv message 1\0";
const THEIR_CLIENTS_GREETING: &[u8] = b"client message 1\0";

/// The folder of the plugin, or `None` if anything is missing.
fn plugins() -> Option<PathBuf> {
    let built = std::env::var_os("COUNTERSIGN_CYRUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/cyrus"), PathBuf::from);
    let programs = ["sasl-sample-server", "sasl-sample-client", "saslpasswd2", "setsid"];
    let available = built.join("libsrp.so").is_file() && programs.iter().all(|name| program(name).is_some());
    peer_or_skip("Cyrus SASL with SRP", available).then_some(built)
}

/// Debian has some of them where only root's PATH leads.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A configuration with one user, alice, made by Cyrus SASL's own tool.
fn configuration(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cyrus-{test}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let database = folder.join("sasldb2");
    let settings = format!("auxprop_plugin: sasldb\nsasldb_path: {}\n", database.display());
    std::fs::write(folder.join("sample.conf"), settings).unwrap();
    let mut command = Command::new(program("saslpasswd2").unwrap());
    command.args(["-p", "-c", "-u", "localhost", "-f"]).arg(&database).arg("alice");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    folder
}

/// One of the sample programs. Without a terminal of its own it asks for the password on its standard input.
fn cyrus(name: &str, plugins: &Path, configuration: &Path, arguments: &[&str]) -> Peer {
    let mut command = Command::new("setsid");
    // Without stdbuf its lines stay in its buffer, since a pipe is no terminal.
    command.args(["stdbuf", "-oL"]).arg(program(name).unwrap());
    command.arg("-p").arg(plugins).args(["-m", "SRP", "-s", "sample"]).args(arguments);
    Peer::start(command.env("SASL_CONF_PATH", configuration))
}

fn tell(peer: &mut Peer, side: &str, message: &[u8]) {
    peer.say(&format!("{side}: {}", Base64::encode_string(message)));
}

/// Its next message; `None` when it gives up.
fn hear(peer: &mut Peer, side: &str) -> Option<Vec<u8>> {
    peer.hear(|line| {
        // Its questions end without a line break, so a message may stand behind one.
        let (_, message) = line.rsplit_once(&format!("{side}: "))?;
        Base64::decode_vec(message).ok()
    })
}

/// Our client at their server, with more arguments for the latter; `None` when it refuses.
fn at_cyrus(
    test: &str,
    plugins: &Path,
    user: &str,
    password: &str,
    more: &[&str],
) -> Option<Result<Outcome>> {
    let arguments = [&["-d", "localhost", "-u", "localhost"], more].concat();
    let mut peer = cyrus("sasl-sample-server", plugins, &configuration(test), &arguments);
    assert_eq!(hear(&mut peer, "S").unwrap(), b"SRP", "the only mechanism");
    let setup = ClientSetup {
        authcid: user.into(),
        authzid: None,
        password: Password::new(password),
        preparation: Preparation::SaslPrep,
        binding: None,
        context: Context::new(),
    };
    let (first, client) = sasl::ClientReady::new(setup, &mut system_rng()).unwrap().start();
    tell(&mut peer, "C", &[b"SRP\0", &first[..]].concat());
    let challenge = hear(&mut peer, "S")?;
    let (response, client) = match client.handle(&challenge) {
        Ok(next) => next,
        Err(error) => return Some(Err(error)),
    };
    tell(&mut peer, "C", &response);
    let proof = hear(&mut peer, "S")?;
    let outcome = client.handle(&proof);
    tell(&mut peer, "C", &[]);
    assert_eq!(hear(&mut peer, "S").unwrap(), THEIR_SERVERS_GREETING, "no security layer");
    tell(&mut peer, "C", THEIR_CLIENTS_GREETING);
    assert!(peer.ends_well(), "Cyrus SASL has accepted");
    Some(outcome)
}

struct OneUser(Verifier, SecretBytes);

impl CredentialStore for OneUser {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        Ok((authcid == "alice").then(|| Credential::Srp(self.0.clone())))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.1
    }
}

/// Their client at our server, which sends `edit` of its proof. Tells what we and whether they have accepted.
fn from_cyrus(
    test: &str,
    plugins: &Path,
    user: &str,
    password: &str,
    edit: fn(&mut [u8]),
) -> (Result<Outcome>, bool) {
    let arguments = ["-n", "localhost", "-a", user, "-u", user];
    let mut peer = cyrus("sasl-sample-client", plugins, &configuration(test), &arguments);
    tell(&mut peer, "S", b"SRP");
    peer.say(password);
    let first = hear(&mut peer, "C").expect("it begins");
    let verifier = Verifier::generate(
        &sasl::PARAMETERS,
        "alice",
        &Password::new(PASSWORD),
        Preparation::SaslPrep,
        &mut system_rng(),
    );
    let store = OneUser(verifier.unwrap(), SecretBytes::new(vec![5; 32]));
    let setup = ServerSetup { credentials: Arc::new(store), binding: None, context: Context::new() };
    let server = sasl::ExpectClientFirst::new(setup, &mut system_rng());
    let (challenge, server) = server.handle(first.strip_prefix(b"SRP\0").unwrap()).unwrap();
    tell(&mut peer, "S", &challenge);
    let response = hear(&mut peer, "C").expect("it answers");
    let (mut proof, outcome) = match server.handle(&response) {
        Ok(accepted) => accepted,
        Err(error) => return (Err(error), false),
    };
    edit(&mut proof);
    tell(&mut peer, "S", &proof);
    if hear(&mut peer, "C").is_none() {
        return (Ok(outcome), false);
    }
    tell(&mut peer, "S", THEIR_SERVERS_GREETING);
    assert_eq!(hear(&mut peer, "C").unwrap(), THEIR_CLIENTS_GREETING, "no security layer");
    (Ok(outcome), peer.ends_well())
}

fn assert_refused(result: Result<Outcome>) {
    let error: Error = result.unwrap_err();
    assert!(error.is(&rules::WRONG_CLIENT_PROOF), "{error:?}");
}

#[test]
fn our_client_logs_in() {
    let Some(plugins) = plugins() else { return };
    // Once with the layers that it offers by itself, none of which we take, and once without.
    for more in [&[][..], &["-b", "max=0"]] {
        let outcome = at_cyrus("client", &plugins, "alice", PASSWORD, more).expect("accepted").unwrap();
        assert_eq!((outcome.authcid(), outcome.authzid()), ("alice", None));
        assert!(outcome.key().is_some());
    }
}

#[test]
fn our_client_with_a_wrong_password_is_refused() {
    let Some(plugins) = plugins() else { return };
    assert!(at_cyrus("client-wrong", &plugins, "alice", "pencils", &[]).is_none());
}

#[test]
fn our_client_as_an_unknown_user_is_refused() {
    let Some(plugins) = plugins() else { return };
    assert!(at_cyrus("client-unknown", &plugins, "mallory", PASSWORD, &[]).is_none());
}

#[test]
fn our_client_refuses_a_mandatory_layer() {
    let Some(plugins) = plugins() else { return };
    let error = at_cyrus("client-layer", &plugins, "alice", PASSWORD, &["-b", "min=1"]).unwrap().unwrap_err();
    assert!(error.is(&rules::LAYER_DEMANDED), "{error:?}");
}

#[test]
fn our_server_lets_in() {
    let Some(plugins) = plugins() else { return };
    let (outcome, accepted) = from_cyrus("server", &plugins, "alice", PASSWORD, |_| ());
    let outcome = outcome.unwrap();
    assert_eq!((outcome.authcid(), outcome.authzid()), ("alice", None));
    assert!(accepted && outcome.key().is_some());
}

#[test]
fn our_server_refuses_a_wrong_password() {
    let Some(plugins) = plugins() else { return };
    assert_refused(from_cyrus("server-wrong", &plugins, "alice", "pencils", |_| ()).0);
}

#[test]
fn our_server_refuses_an_unknown_user() {
    let Some(plugins) = plugins() else { return };
    assert_refused(from_cyrus("server-unknown", &plugins, "mallory", PASSWORD, |_| ()).0);
}

/// That their client checks our proof shows that it is right when it is taken.
#[test]
fn their_client_refuses_a_wrong_proof() {
    let Some(plugins) = plugins() else { return };
    // The first octet of M2, behind the lengths of the message and of M2.
    let (ours, accepted) = from_cyrus("server-proof", &plugins, "alice", PASSWORD, |proof| proof[5] ^= 1);
    assert!(ours.is_ok() && !accepted);
}
