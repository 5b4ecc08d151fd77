//! The tool's own server with Alice and Bob.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Output};
use std::thread;

use super::{Folder, Process, tool};

/// A running server, and a folder with all passwords.
pub(crate) struct Stage {
    pub(crate) folder: Folder,
    server: Process,
    pub(crate) address: String,
}

impl Stage {
    pub(crate) fn set(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// With more options for the server.
    pub(crate) fn with(name: &str, options: &[&str]) -> Self {
        let folder = Folder::new(name);
        folder.file("alice", "in wonderland\n");
        folder.file("bob", "the builder\n");
        folder.file("shared", "rosebud 1941\n");
        folder.file("other", "rosebud 1942\n");
        folder.file("accounts", "alice in wonderland\nbob the builder\n");
        let (server, address) = serve(&folder, "127.0.0.1:0", options);
        Self { folder, server, address }
    }

    /// Stops the server without a word.
    pub(crate) fn kill_server(&mut self) {
        self.server.0.kill().unwrap();
        self.server.0.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn restart_server(&mut self) {
        (self.server, _) = serve(&self.folder, &self.address, &[]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    pub(crate) fn command(&self, what: &str, user: &str, password: &str, shared: &str) -> Command {
        let mut command = tool();
        command.args([what, "--demo-server", &self.address, "--jid"]).arg(format!("{user}@home.example"));
        command.arg("--account-password-file").arg(self.path(password));
        command.arg("--password-file").arg(self.path(shared));
        command
    }

    /// A listener that is ready, and the rest of what it says.
    pub(crate) fn listen(&self, shared: &str) -> (Process, BufReader<ChildStderr>) {
        self.listen_with(shared, &[])
    }

    pub(crate) fn listen_with(&self, shared: &str, more: &[&str]) -> (Process, BufReader<ChildStderr>) {
        listening(self.command("listen", "bob", "bob", shared).arg("--once").args(more))
    }

    pub(crate) fn connect(&self, password: &str, shared: &str, input: &[u8]) -> Output {
        self.connect_with(password, shared, &[], input)
    }

    pub(crate) fn connect_with(&self, password: &str, shared: &str, more: &[&str], input: &[u8]) -> Output {
        let mut command = self.command("connect", "alice", password, shared);
        Process::start(command.args(["--to", "bob@home.example"]).args(more)).run(input)
    }
}

fn serve(folder: &Folder, address: &str, options: &[&str]) -> (Process, String) {
    let mut command = tool();
    command.args(["serve", "--json", "--address", address]).args(options);
    let mut server = Process::start(command.arg("--accounts").arg(folder.0.join("accounts")));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    (server, line["address"].as_str().unwrap().to_owned())
}

/// Starts a listener and waits until it is ready.
pub(crate) fn listening(command: &mut Command) -> (Process, BufReader<ChildStderr>) {
    let mut bob = Process::start(command);
    let mut stderr = BufReader::new(bob.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("listening:") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the listener is gone");
    }
    drop(bob.0.stdin.take());
    (bob, stderr)
}

/// The rest of what somebody says, read all the time, so that he never waits.
pub(crate) fn overheard(mut stderr: BufReader<ChildStderr>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut words = String::new();
        stderr.read_to_string(&mut words).unwrap();
        words
    })
}
