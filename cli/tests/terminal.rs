//! The tool at a terminal, as a person has it: what is asked, what is shown, and how the terminal is left.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

mod process;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use process::stage::{Stage, listening, overheard};
use process::{LIFE, Process, text, tool};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

const ENTER: &str = "\r";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A terminal with the tool in it.
struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    /// All that was written to it.
    written: Arc<Mutex<Vec<u8>>>,
    /// How much of that was looked at.
    seen: usize,
}

impl Terminal {
    fn start(columns: u16, arguments: &[&OsStr]) -> Self {
        Self::run(columns, Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments))
    }

    fn run(columns: u16, command: Command) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, columns)).unwrap();
        let child = command.env("TERM", "xterm").spawn(pts).unwrap();
        let (pty, written) = (Arc::new(pty), Arc::new(Mutex::new(Vec::new())));
        let (reader, written_to) = (pty.clone(), written.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Where nobody holds the other end any more, reading fails.
            while let Ok(count @ 1..) = (&*reader).read(&mut buffer) {
                written_to.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { pty, child, written, seen: 0 }
    }

    /// What was written, without what moves and colours.
    fn text(&self) -> String {
        plain(&self.written.lock().unwrap())
    }

    /// Waits until this stands there, after what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, words: &str) {
        let start = Instant::now();
        loop {
            let text = self.text();
            if let Some(at) = text[self.seen..].find(words) {
                self.seen += at + words.len();
                return;
            }
            assert!(start.elapsed() < LIFE, "no {words:?} in {:?}", &text[self.seen..]);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&*self.pty).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Waits for the end: the exit code, and all that was written.
    fn finish(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIFE, "it hangs after {:?}", self.text());
            thread::sleep(Duration::from_millis(10));
        };
        // What it wrote last is on its way to the reader.
        thread::sleep(Duration::from_millis(100));
        assert!(self.shows_what_is_typed(), "the terminal is not as it was");
        (status.code(), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plain(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

/// The tool's arguments for an account of the stage.
fn arguments<'a>(stage: &'a Stage, what: &'a str, jid: &'a str, more: &[&'a str]) -> Vec<&'a OsStr> {
    let mut arguments = vec![what, "--demo-server", &stage.address, "--jid", jid];
    arguments.extend(more);
    arguments.into_iter().map(OsStr::new).collect()
}

/// The same with passwords from files.
fn ready(stage: &Stage, columns: u16, what: &str, jid: &str, more: &[&str]) -> Terminal {
    let user = jid.split('@').next().unwrap();
    let (account, shared) = (stage.path(user), stage.path("shared"));
    let mut arguments = arguments(stage, what, jid, more);
    arguments.extend([OsStr::new("--account-password-file"), account.as_os_str()]);
    arguments.extend([OsStr::new("--password-file"), shared.as_os_str()]);
    Terminal::start(columns, &arguments)
}

const ALICE: &str = "alice@home.example";
const BOB: &str = "bob@home.example";

#[test]
fn passwords_are_asked_for_and_not_shown() {
    let stage = Stage::set("terminal-passwords");
    let mut bob = Terminal::start(200, &arguments(&stage, "listen", BOB, &[]));
    bob.wait_for("Password of the account bob@home.example:");
    assert!(!bob.shows_what_is_typed());
    bob.press("the builder\r");
    bob.wait_for("Password shared with the peer:");
    bob.press("rosebud 1941\r");
    bob.wait_for("listening: as bob@home.example/countersign");
    assert!(!bob.text().contains("builder") && !bob.text().contains("rosebud"), "{}", bob.text());
    bob.press(CTRL_C);
    assert_eq!(bob.finish().0, Some(130));
}

#[test]
fn ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was() {
    let stage = Stage::set("terminal-prompt");
    let mut alice = Terminal::start(200, &arguments(&stage, "connect", ALICE, &["--to", BOB]));
    alice.wait_for("Password of the account alice@home.example:");
    alice.press(CTRL_C);
    assert_eq!(alice.finish().0, Some(130));
}

/// Two who chat, with what tells each who is there.
fn chat(stage: &Stage) -> (Terminal, Terminal) {
    let mut bob = ready(stage, 200, "listen", BOB, &[]);
    bob.wait_for("listening:");
    let mut alice = ready(stage, 200, "connect", ALICE, &["--to", BOB]);
    alice
        .wait_for("verified: bob@home.example/countersign has proven the shared password by CPACE-R255-PLUS");
    alice.wait_for("bound to this TLS channel by tls-exporter");
    alice.wait_for("trust: independent: the servers in between were not believed");
    alice
        .wait_for("chat: with bob@home.example/countersign; each line is a message, Ctrl-D ends the session");
    bob.wait_for(
        "verified: alice@home.example/countersign has proven the shared password by CPACE-R255-PLUS",
    );
    bob.wait_for("bob: ");
    alice.wait_for("alice: ");
    (alice, bob)
}

#[test]
fn what_is_typed_stays_whole_while_others_speak() {
    let stage = Stage::set("terminal-chat");
    let (mut alice, mut bob) = chat(&stage);
    bob.press("half a");
    bob.wait_for("half a");
    alice.press("hello\r");
    bob.wait_for("alice: hello");
    // The line is there again, below.
    bob.wait_for("bob: half a");
    bob.press(" sentence\r");
    alice.wait_for("bob: half a sentence");
    // Either of them ends it.
    bob.press(CTRL_D);
    for terminal in [alice, bob] {
        let (code, text) = terminal.finish();
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.trim_end().ends_with("closed: by both sides; nothing that was said is missing"),
            "{text}"
        );
    }
}

#[test]
fn ctrl_c_in_a_chat_is_no_proper_end() {
    let stage = Stage::set("terminal-stop");
    let (alice, bob) = chat(&stage);
    alice.press(CTRL_C);
    let (code, text) = alice.finish();
    assert_eq!(code, Some(130), "{text}");
    assert!(text.trim_end().ends_with("stopped: with Ctrl-C"), "{text}");
    let (code, text) = bob.finish();
    assert!(code != Some(0) && !text.contains("closed:") && text.contains("error: "), "{text}");
}

#[test]
fn a_resource_is_chosen_by_its_number() {
    let stage = Stage::set("terminal-choice");
    let listeners = ["one", "two"].map(|resource| {
        let jid = format!("{BOB}/{resource}");
        let mut command = tool();
        command.args(["listen", "--demo-server", &stage.address, "--jid", &jid]);
        command.arg("--account-password-file").arg(stage.path("bob"));
        command.arg("--password-file").arg(stage.path("shared"));
        let (bob, stderr) = listening(&mut command);
        drop(overheard(stderr));
        bob
    });
    // Who does not choose is told how to.
    let mut undecided = ready(&stage, 200, "connect", "alice@home.example/undecided", &["--to", BOB]);
    undecided.wait_for("which? 1 to 2:");
    undecided.press(CTRL_D);
    let (code, text) = undecided.finish();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("error: no resource was chosen"), "{text}");
    let mut alice = ready(&stage, 200, "connect", ALICE, &["--to", BOB]);
    for answer in ["0", "3", "two"] {
        alice.wait_for("which? 1 to 2:");
        alice.press(&format!("{answer}{ENTER}"));
    }
    alice.wait_for("which? 1 to 2:");
    let text = alice.text();
    let second =
        text.split(['\r', '\n']).find_map(|line| line.trim().strip_prefix("2: ")).unwrap().to_owned();
    alice.press("2\r");
    alice.wait_for(&format!("verified: {second} has proven"));
    drop(listeners);
}

/// Bob, who takes files, and where he puts them.
fn receiving(stage: &Stage, columns: u16) -> (Terminal, PathBuf) {
    let directory = stage.path("in");
    fs::create_dir_all(&directory).unwrap();
    let mut bob = ready(stage, columns, "listen", BOB, &["--receive", directory.to_str().unwrap()]);
    bob.wait_for("listening:");
    (bob, directory)
}

fn send(stage: &Stage, content: &str) -> Process {
    let file = stage.path("x");
    fs::write(&file, content).unwrap();
    let mut command = stage.command("send", "alice", "alice", "shared");
    Process::start(command.args(["--to", BOB]).arg(file))
}

#[test]
fn nothing_is_overwritten_without_a_yes() {
    let stage = Stage::set("terminal-overwrite");
    let question = "another file has that name. [y/N]";
    let (mut bob, directory) = receiving(&stage, 200);
    fs::write(directory.join("x"), "precious").unwrap();
    // It is no answer to what was not asked.
    bob.press("y\r");
    let refused = |mut alice: Process| {
        drop(alice.0.stdin.take());
        let output = alice.finish();
        assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
        assert_eq!(fs::read(directory.join("x")).unwrap(), b"precious");
    };
    for answers in [&["maybe", "n"][..], &[""], &["NO"]] {
        let alice = send(&stage, "new");
        for answer in answers {
            bob.wait_for(question);
            bob.press(&format!("{answer}{ENTER}"));
        }
        refused(alice);
        bob.wait_for("error: x was offered, and another file has that name");
    }
    let alice = send(&stage, "new");
    bob.wait_for(question);
    bob.press(CTRL_D);
    refused(alice);
    let alice = send(&stage, "new");
    bob.wait_for(question);
    bob.press("Yes\r");
    assert!(alice.finish().status.success());
    assert_eq!(fs::read(directory.join("x")).unwrap(), b"new");
    bob.wait_for("received: ");
}

/// Octets of a file that takes long enough to be looked at.
const LARGE: usize = 12 << 20;

fn large(stage: &Stage, name: &str) -> PathBuf {
    let file = stage.path(name);
    fs::write(&file, vec![7; LARGE]).unwrap();
    file
}

#[test]
fn a_bar_shows_how_far_it_is_and_leaves_nothing_behind() {
    let stage = Stage::set("terminal-bar");
    let (mut bob, _) = receiving(&stage, 40);
    let file = large(&stage, "a file with a name that is long.tar");
    let mut alice = ready(&stage, 80, "send", ALICE, &[file.to_str().unwrap(), "--to", BOB]);
    for terminal in [&mut alice, &mut bob] {
        terminal.wait_for("a file");
        terminal.wait_for(" % ");
        terminal.wait_for("/s, ");
        terminal.wait_for("s left");
    }
    alice.pty.resize(Size::new(24, 40)).unwrap();
    bob.wait_for("received: ");
    bob.press(CTRL_C);
    for (terminal, word, columns) in [(alice, "sent: ", 80), (bob, "received: ", 40)] {
        let (_, text) = terminal.finish();
        let end = text.rfind(word).unwrap();
        assert!(!text[end..].contains('%'), "{text}");
        // Nothing of the bar stands before it in its line.
        assert!(text[..end].ends_with(['\r', '\n']), "{text}");
        // No line of the bar is longer than the terminal's.
        let bars = text.split(['\r', '\n']).map(str::trim_end).filter(|line| line.ends_with("s left"));
        assert!(
            bars.clone().count() > 1 && bars.clone().all(|line| line.chars().count() <= columns),
            "{text}"
        );
    }
}

#[test]
fn a_stopped_transfer_is_said_to_be_one() {
    let stage = Stage::set("terminal-transfer");
    let (mut bob, directory) = receiving(&stage, 80);
    let file = large(&stage, "x");
    let arguments = [file.to_str().unwrap(), "--to", BOB];
    let mut alice = ready(&stage, 80, "send", ALICE, &arguments);
    alice.wait_for("transport:");
    alice.wait_for("s left");
    bob.wait_for("s left");
    alice.press(CTRL_C);
    let (code, words) = alice.finish();
    assert_eq!(code, Some(130), "{words}");
    assert!(words.contains("\rstopped: with Ctrl-C; the same command goes on from there"), "{words}");
    assert!(!words.contains("^C"), "{words}");
    bob.wait_for("error: ");
    bob.wait_for("try: ");
    let mut alice = ready(&stage, 80, "send", ALICE, &arguments);
    alice.wait_for("going on: after ");
    let (code, words) = alice.finish();
    assert_eq!(code, Some(0), "{words}");
    assert!(fs::read(directory.join("x")).unwrap() == vec![7; LARGE]);
}

#[test]
fn a_transfer_outlives_a_restart_of_the_server() {
    let mut stage = Stage::set("terminal-restart");
    let (mut bob, directory) = receiving(&stage, 80);
    let file = large(&stage, "x");
    let mut alice = ready(&stage, 80, "send", ALICE, &[file.to_str().unwrap(), "--to", BOB]);
    bob.wait_for("s left");
    alice.wait_for("transport:");
    alice.wait_for("s left");
    stage.kill_server();
    // Both say what happened, in a line of its own, and that they come back.
    for terminal in [&mut alice, &mut bob] {
        terminal.wait_for("; again in");
    }
    stage.restart_server();
    bob.wait_for("listening:");
    alice.wait_for("going on: after ");
    bob.wait_for("received: ");
    bob.press(CTRL_C);
    for (terminal, code) in [(alice, 0), (bob, 130)] {
        let (ended, words) = terminal.finish();
        assert_eq!(ended, Some(code), "{words}");
        assert!(words.split(['\r', '\n']).any(|line| line.starts_with("lost: ")), "{words}");
        // What an error would advise is what is being done.
        assert!(!words.contains("error: ") && !words.contains("try: "), "{words}");
    }
    assert!(fs::read(directory.join("x")).unwrap() == vec![7; LARGE]);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn notes_fit_a_narrow_terminal() {
    let stage = Stage::set("terminal-narrow");
    let mut bob = ready(&stage, 40, "listen", BOB, &[]);
    bob.wait_for("listening:");
    for line in bob.text().lines() {
        assert!(line.trim_end().chars().count() <= 40 && !line.trim().is_empty(), "{line:?}");
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let coloured = |variable: &str| {
        let command = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["send", "no such file", "--jid", ALICE, "--to", BOB])
            .env(variable, "1");
        let terminal = Terminal::run(80, command);
        let written = terminal.written.clone();
        assert_eq!(terminal.finish().0, Some(8));
        let written = written.lock().unwrap();
        assert!(plain(&written).contains("error: cannot read no such file"), "{}", plain(&written));
        written.contains(&0x1b)
    };
    assert!(coloured("SOMETHING_ELSE") && !coloured("NO_COLOR"));
    let mut piped = tool();
    piped.args(["send", "no such file", "--jid", ALICE, "--to", BOB]);
    assert!(!Process::start(&mut piped).run(b"").stderr.contains(&0x1b));
}
