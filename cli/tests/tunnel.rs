//! `serve`, `listen` and `connect` as people use them: data through a pipe, and each way to fail with its exit code.
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

mod process;

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Command, Output};
use std::thread;

use process::{Folder, Process, assert_two_lines, text, tool};

struct Stage {
    folder: Folder,
    _server: Process,
    address: String,
}

impl Stage {
    fn set(name: &str) -> Self {
        let folder = Folder::new(name);
        folder.file("alice", "in wonderland\n");
        folder.file("bob", "the builder\n");
        folder.file("shared", "rosebud 1941\n");
        folder.file("other", "rosebud 1942\n");
        let accounts = folder.file("accounts", "alice in wonderland\nbob the builder\n");
        let mut server = Process::start(
            tool().args(["serve", "--json", "--address", "127.0.0.1:0", "--accounts"]).arg(accounts),
        );
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { folder, _server: server, address: line["address"].as_str().unwrap().to_owned() }
    }

    fn command(&self, what: &str, user: &str, password: &str, shared: &str) -> Command {
        let path = |name: &str| self.folder.0.join(name);
        let mut command = tool();
        command.args([what, "--server", &self.address, "--jid"]).arg(format!("{user}@home.example"));
        command.arg("--account-password-file").arg(path(password));
        command.arg("--password-file").arg(path(shared));
        command
    }

    /// A listener that is ready, and the rest of what it says.
    fn listen(&self, shared: &str) -> (Process, BufReader<ChildStderr>) {
        let mut bob = Process::start(self.command("listen", "bob", "bob", shared).arg("--once"));
        let mut stderr = BufReader::new(bob.0.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening:") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the listener is gone");
        }
        drop(bob.0.stdin.take());
        (bob, stderr)
    }

    fn connect(&self, password: &str, shared: &str, input: &[u8]) -> Output {
        let mut command = self.command("connect", "alice", password, shared);
        Process::start(command.args(["--to", "bob@home.example"])).run(input)
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
    command.args(["connect", "--jid", "alice@home.example", "--to", "bob@home.example", "--server"]);
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
    command.args(["connect", "--jid", "alice@home.example", "--to", "bob@home.example", "--server"]);
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
    assert!(text(&output.stderr).contains("X-NO-SUCH") && !output.status.success());
}
