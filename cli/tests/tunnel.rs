//! `serve`, `listen` and `connect` as people use them: data through a pipe, and each way to fail with its exit code.
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

#[path = "../../tests/common/certificates.rs"]
mod certificates;
#[path = "../../tests/common/mod.rs"]
mod common;
mod process;
#[path = "../../tests/common/servers.rs"]
#[allow(dead_code, reason = "the library's tests take the rest")]
mod servers;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use countersign::{MechanismName, sasl};
use process::stage::{Stage, listening, overheard};
use process::{Folder, Process, assert_two_lines, text, tool};

#[test]
fn a_direct_connection_is_used_where_both_ask_for_it() {
    let stage = Stage::set("direct");
    let data = (0..200_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>();
    for (theirs, ours, transport, shown) in [
        (&["--direct=127.0.0.1"][..], &["--direct=127.0.0.1", "--json"][..], "direct", "a direct connection"),
        (&["--direct=127.0.0.1"], &["--json"], "ibb", "in stanzas over the servers"),
        (&[], &["--direct=127.0.0.1:0", "--json"], "ibb", "in stanzas over the servers"),
        (&["--proxy"], &["--proxy=proxy.home.example", "--json"], "proxy", "the proxy proxy.home.example"),
        (&[], &["--proxy", "--json"], "ibb", "in stanzas over the servers"),
    ] {
        let (bob, mut said) = stage.listen_with("shared", theirs);
        let alice = stage.connect_with("alice", "shared", ours, &data);
        let words = text(&alice.stderr);
        assert!(alice.status.success(), "{words}");
        let lines = words.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let verified = lines.filter(|line| line["event"] == "verified").collect::<Vec<_>>();
        assert_eq!((&verified[0]["transport"], verified.len()), (&transport.into(), 1), "{words}");
        let bob = bob.finish();
        let mut words = String::new();
        said.read_to_string(&mut words).unwrap();
        assert!(words.contains(&format!("transport: {shown}")), "{words}");
        assert!(bob.stdout == data, "{} octets came", bob.stdout.len());
    }
}

#[test]
fn a_tunnel_that_nobody_uses_is_closed_where_that_is_asked_for() {
    let stage = Stage::set("idle");
    let (bob, _said) = stage.listen("shared");
    let mut command = stage.command("connect", "alice", "alice", "shared");
    command.args(["--to", "bob@home.example", "--idle-timeout", "1"]);
    // Its input stays open, and nothing comes from it.
    let mut alice = Process::start(&mut command);
    let _input = alice.0.stdin.take();
    let words = overheard(BufReader::new(alice.0.stderr.take().unwrap()));
    let status = alice.0.wait().unwrap();
    assert!(status.success(), "{}", words.join().unwrap());
    assert!(bob.finish().status.success());
}

#[test]
fn sockets_that_cannot_be_had_are_named() {
    let stage = Stage::set("sockets");
    for (option, code, word) in [
        ("--direct=elsewhere", 2, "not an IP address"),
        ("--direct=192.0.2.1", 8, "cannot listen"),
        ("--proxy=home.example", 4, "no proxy for SOCKS5 bytestreams"),
        ("--proxy=nobody.home.example", 4, "no proxy for SOCKS5 bytestreams"),
    ] {
        let output = stage.connect_with("alice", "shared", &[option], b"");
        let words = text(&output.stderr);
        assert!(words.contains(word), "{option}: {words}");
        assert_eq!(output.status.code(), Some(code), "{option}: {words}");
    }
}

#[test]
fn data_goes_through_a_pipe_unchanged() {
    let stage = Stage::set("pipe");
    let data = (0..700_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
    let (bob, mut said) = stage.listen("shared");
    let alice = stage.connect("alice", "shared", &data);
    assert!(alice.status.success(), "{}", text(&alice.stderr));
    assert!(text(&alice.stderr).contains("bob@home.example/countersign has proven the shared password"));
    let bob = bob.finish();
    let mut words = String::new();
    said.read_to_string(&mut words).unwrap();
    assert!(bob.status.success() && words.contains("alice@home.example/countersign has proven"), "{words}");
    assert!(bob.stdout == data, "{} octets came", bob.stdout.len());
}

#[test]
fn a_wrong_password_fails_at_both_ends() {
    let stage = Stage::set("wrong");
    let (bob, mut said) = stage.listen("shared");
    assert_two_lines(&stage.connect("alice", "other", b"secret"), 3);
    let bob = bob.finish();
    let mut words = String::new();
    said.read_to_string(&mut words).unwrap();
    assert_eq!(bob.status.code(), Some(3), "{words}");
    assert!(bob.stdout.is_empty());
}

/// What each end says when Alice names these mechanisms and Bob none.
fn both(stage: &Stage, ours: &[&str]) -> (String, String) {
    let (bob, said) = stage.listen("shared");
    let said = overheard(said);
    let alice = stage.connect_with("alice", "shared", ours, b"");
    let words = text(&alice.stderr);
    assert!(alice.status.success(), "{words}");
    assert!(bob.finish().status.success());
    (words, said.join().unwrap())
}

fn labelled<'a>(words: &'a str, label: &'a str) -> Vec<&'a str> {
    words.lines().filter_map(|line| line.strip_prefix(label)).collect()
}

#[test]
fn what_was_passed_over_is_said_with_its_reason() {
    let stage = Stage::set("passed-over");
    let named = ["--mechanism", "CPACE-X25519-PLUS", "--mechanism", "SCRAM-SHA-256-PLUS"];
    let (alice, bob) = both(&stage, &named);
    assert!(alice.contains("by CPACE-X25519-PLUS, bound to"), "{alice}");
    let others = sasl::Policy::default().acceptable();
    let others = others.iter().map(MechanismName::as_str).filter(|name| *name != "CPACE-X25519-PLUS");
    let others = others.collect::<Vec<_>>();
    let said = format!("{}: not on our list", others.join(", "));
    assert_eq!(labelled(&alice, "passed over: "), [said], "{alice}");
    // What Alice would have agreed to is below Bob's floor.
    let said = "SCRAM-SHA-256-PLUS: an impostor could test passwords offline";
    assert_eq!(labelled(&bob, "passed over: "), [said], "{bob}");

    let (alice, _) = both(&stage, &[&named[..], &["--json"]].concat());
    let lines = alice.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let verified = lines.filter(|line| line["event"] == "verified").collect::<Vec<_>>();
    let reason = |name: &&str| serde_json::json!({ "mechanism": name, "reason": "not on our list" });
    assert_eq!(verified.len(), 1, "{alice}");
    assert_eq!(verified[0]["refused"], others.iter().map(reason).collect::<serde_json::Value>(), "{alice}");
}

#[test]
fn what_is_never_taken_is_said_with_its_reason() {
    let stage = Stage::set("never-taken");
    let named = ["--mechanism", "SCRAM-SHA-256", "--mechanism", "CPACE-R255-PLUS"];
    let (alice, _) = both(&stage, &named);
    assert!(alice.contains("by CPACE-R255-PLUS, bound to"), "{alice}");
    assert_eq!(labelled(&alice, "never taken: "), ["SCRAM-SHA-256: not bound to the channel"], "{alice}");
    // Where nothing is left, it is the reason of the failure, and nobody is called.
    let output = stage.connect_with("alice", "shared", &named[..2], b"");
    assert_two_lines(&output, 2);
    assert!(text(&output.stderr).contains("SCRAM-SHA-256 (not bound to the channel)"));
}

#[test]
fn an_absent_peer_is_said_to_be_absent() {
    let stage = Stage::set("absent");
    assert_two_lines(&stage.connect("alice", "shared", b""), 4);
}

#[test]
fn a_refused_login_is_an_authentication_failure() {
    let stage = Stage::set("login");
    assert_two_lines(&stage.connect("bob", "shared", b""), 3);
}

#[test]
fn no_server_is_an_absent_peer() {
    let folder = Folder::new("nobody");
    let (account, shared) = (folder.file("alice", "x\n"), folder.file("shared", "y\n"));
    // Taken and given back, so that nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = tool();
    command.args(["connect", "--jid", "alice@home.example", "--to", "bob@home.example", "--demo-server"]);
    command.arg(address.to_string()).arg("--account-password-file").arg(account);
    assert_two_lines(&Process::start(command.arg("--password-file").arg(shared)).run(b""), 4);
}

#[test]
fn a_server_that_closes_the_socket_is_noticed() {
    let folder = Folder::new("closes");
    let (account, shared) = (folder.file("alice", "x\n"), folder.file("shared", "y\n"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || drop(listener.accept()));
    let mut command = tool();
    command.args(["connect", "--jid", "alice@home.example", "--to", "bob@home.example", "--demo-server"]);
    command.arg(address.to_string()).arg("--account-password-file").arg(account);
    let output = Process::start(command.arg("--password-file").arg(shared)).run(b"");
    server.join().unwrap();
    let words = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(4 | 6)), "{words}");
    assert!(words.starts_with("error: ") && words.lines().count() == 2, "{words}");
}

#[test]
fn an_unknown_mechanism_is_named() {
    let folder = Folder::new("mechanism");
    let shared = folder.file("shared", "y\n");
    let mut command = tool();
    command.args(["connect", "--jid", "a@b.example", "--to", "c@b.example", "--mechanism", "X-NO-SUCH"]);
    command.arg("--account-password-file").arg(&shared).arg("--password-file").arg(&shared);
    let output = Process::start(&mut command).run(b"");
    assert!(text(&output.stderr).contains("X-NO-SUCH"));
    assert_two_lines(&output, 2);
}

/// Accounts at Prosody, over STARTTLS with a certificate of an authority that only a file names.
struct AtProsody {
    folder: Folder,
    server: servers::Server,
}

impl AtProsody {
    const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];

    fn set(name: &str) -> Option<Self> {
        if !common::peer_or_skip("Prosody", common::is_installed("prosody")) {
            return None;
        }
        let folder = Folder::new(name);
        for (user, password) in Self::ACCOUNTS {
            folder.file(user, password);
        }
        folder.file("shared", "rosebud 1941\n");
        let authority = certificates::Authority::new();
        folder.file("ca.pem", authority.pem());
        folder.file("other.pem", certificates::Authority::new().pem());
        let setup = servers::Setup::new("montague.example", &Self::ACCOUNTS, &authority);
        Some(Self { folder, server: servers::Server::prosody(setup) })
    }

    fn command(&self, what: &str, jid: &str, authorities: &str) -> Command {
        let path = |name: &str| self.folder.0.join(name);
        let mut command = tool();
        command.args([what, "--jid", jid, "--server", &self.server.clients().to_string()]);
        command.arg("--ca-file").arg(path(authorities));
        command.arg("--account-password-file").arg(path(jid.split('@').next().unwrap()));
        command.arg("--password-file").arg(path("shared"));
        command
    }

    fn listen(&self, jid: &str) -> Process {
        self.listen_with(jid, &[])
    }

    fn listen_with(&self, jid: &str, more: &[&str]) -> Process {
        let mut command = self.command("listen", jid, "ca.pem");
        command.args(["--once", "--from", "alice@montague.example"]).args(more);
        let (bob, stderr) = listening(&mut command);
        drop(overheard(stderr));
        bob
    }

    fn connect(&self, authorities: &str, to: &str, input: &[u8]) -> Output {
        let mut command = self.command("connect", "alice@montague.example", authorities);
        Process::start(command.args(["--to", to])).run(input)
    }
}

#[test]
fn a_bare_address_is_enough_at_a_real_server() {
    let Some(stage) = AtProsody::set("prosody") else { return };
    let data = (0..50_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>();
    let bob = stage.listen("bob@montague.example/elsewhere");
    let alice = stage.connect("ca.pem", "bob@montague.example", &data);
    let words = text(&alice.stderr);
    assert!(alice.status.success(), "{words}");
    assert!(words.contains("verified: bob@montague.example/elsewhere has proven"), "{words}");
    assert!(words.contains("trust: independent"), "{words}");
    assert!(words.contains("by SCRAM-SHA-256, not bound to the connection"), "{words}");
    let bob = bob.finish();
    assert!(bob.status.success() && bob.stdout == data, "{} octets came", bob.stdout.len());
}

#[test]
fn the_proxy_of_a_real_server_carries_octets_and_files() {
    let Some(stage) = AtProsody::set("proxied") else { return };
    // What nobody reads yet, for Bob's output is taken at the end, must find room on the way.
    let data = (0..100_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>();
    for (theirs, ours, shown) in [
        ("--proxy", "--proxy", "the proxy proxy.montague.example"),
        ("--proxy=proxy.montague.example", "--proxy", "the proxy proxy.montague.example"),
        ("--direct=127.0.0.1", "--proxy=proxy.montague.example", "the proxy proxy.montague.example"),
    ] {
        let transport = format!("transport: {shown}");
        let bob = stage.listen_with("bob@montague.example", &[theirs]);
        let mut command = stage.command("connect", "alice@montague.example", "ca.pem");
        let alice = Process::start(command.args(["--to", "bob@montague.example", ours])).run(&data);
        assert!(text(&alice.stderr).contains(&transport), "{theirs} {ours}: {}", text(&alice.stderr));
        assert!(alice.status.success() && bob.finish().stdout == data, "{theirs} {ours}");
    }
    let (file, directory) = (stage.folder.0.join("file"), stage.folder.0.join("in"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(&file, &data).unwrap();
    let bob =
        stage.listen_with("bob@montague.example", &["--proxy", "--receive", directory.to_str().unwrap()]);
    let mut command = stage.command("send", "alice@montague.example", "ca.pem");
    command.args(["--to", "bob@montague.example", "--proxy"]).arg(&file);
    let alice = Process::start(&mut command).run(b"");
    assert!(alice.status.success(), "{}", text(&alice.stderr));
    assert!(text(&alice.stderr).contains("transport: the proxy"), "{}", text(&alice.stderr));
    assert!(bob.finish().status.success() && std::fs::read(directory.join("file")).unwrap() == data);
}

#[test]
fn several_resources_are_listed_and_none_is_guessed() {
    let Some(stage) = AtProsody::set("several") else { return };
    let _bobs = ["one", "two"].map(|resource| stage.listen(&format!("bob@montague.example/{resource}")));
    let output = stage.connect("ca.pem", "bob@montague.example", b"");
    assert_two_lines(&output, 2);
    let words = text(&output.stderr);
    for resource in ["bob@montague.example/one", "bob@montague.example/two"] {
        assert!(words.contains(resource), "{words}");
    }
}

#[test]
fn a_certificate_that_is_not_believed_is_an_authentication_failure() {
    let Some(stage) = AtProsody::set("untrusted") else { return };
    let output = stage.connect("other.pem", "bob@montague.example", b"");
    assert_two_lines(&output, 3);
    assert!(text(&output.stderr).contains("certificate"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_vanishes_cuts_the_session_short() {
    let Some(mut stage) = AtProsody::set("vanishes") else { return };
    let bob = stage.listen("bob@montague.example");
    let mut command = stage.command("connect", "alice@montague.example", "ca.pem");
    let mut alice = Process::start(command.args(["--to", "bob@montague.example/countersign"]));
    // Held open: she has more to say.
    let _stdin = alice.0.stdin.take();
    let mut stderr = BufReader::new(alice.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("trust:") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "alice is gone");
    }
    stage.server.kill();
    let (alice, bob) = (alice.finish(), bob.finish());
    assert_eq!((alice.status.code(), bob.status.code()), (Some(6), Some(6)));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let mut last = rest.lines().rev();
    let (advice, what) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
    assert!(what.starts_with("error: the connection") && advice.starts_with("  try: "), "{rest}");
}

#[test]
fn a_peer_without_tunnels_is_said_to_have_none() {
    let mut import = Command::new("python3");
    import.args(["-c", "import slixmpp, OpenSSL"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !common::peer_or_skip("slixmpp with pyOpenSSL", import.status().is_ok_and(|status| status.success())) {
        return;
    }
    let Some(stage) = AtProsody::set("without") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peers/slixmpp_peer.py");
    let mut bob = Process::start(Command::new("python3").args([script, "plain"]));
    let setup = serde_json::json!({
        "host": "127.0.0.1",
        "port": stage.server.ports.clients,
        "authorities": stage.folder.0.join("ca.pem"),
        "jid": "bob@montague.example/countersign",
        "password": AtProsody::ACCOUNTS[1].1,
    });
    // Kept: the script ends with it.
    let mut stdin = bob.0.stdin.take().unwrap();
    writeln!(stdin, "{setup}").unwrap();
    let mut line = String::new();
    BufReader::new(bob.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    for to in ["bob@montague.example/countersign", "bob@montague.example"] {
        let output = stage.connect("ca.pem", to, b"");
        assert_two_lines(&output, 7);
        assert!(text(&output.stderr).contains("does not support end-to-end sessions"));
    }
}

#[test]
fn a_server_without_tls_gets_no_login() {
    let stage = Stage::set("plaintext");
    let mut command = stage.command("connect", "alice", "alice", "shared");
    // The demo server, named as if it were a real one.
    let words = command.get_args().map(|word| match word.to_str() {
        Some("--demo-server") => "--server".into(),
        _ => word.to_owned(),
    });
    let words = words.collect::<Vec<_>>();
    let authority = stage.folder.file("ca.pem", certificates::Authority::new().pem());
    command = tool();
    command.args(words).arg("--ca-file").arg(authority).args(["--to", "bob@home.example"]);
    assert_two_lines(&Process::start(&mut command).run(b""), 7);
}

#[test]
fn plain_is_not_sent_without_tls() {
    let stage = Stage::set("plain");
    let mut command = stage.command("connect", "alice", "alice", "shared");
    command.args(["--to", "bob@home.example", "--account-mechanism", "PLAIN"]);
    assert_two_lines(&Process::start(&mut command).run(b""), 2);
}
