//! A Python peer (`tests/peers/`) as a child process that speaks lines of JSON.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The script of that name, ready to start.
pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// The running peer; killed when dropped.
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(name: &str, role: &str, setup: &Value) -> Self {
        let mut command = script(name);
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, input, output };
        peer.write(setup);
        peer
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.write(&json!({ "message": hex(message) }));
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        unhex(&self.read("message"))
    }

    /// The next line, which must have a text of that name.
    pub(crate) fn read(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let value = serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        value[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    }

    fn write(&mut self, value: &Value) {
        writeln!(self.input, "{value}").unwrap();
        self.input.flush().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
