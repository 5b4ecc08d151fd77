//! `send` and `listen --receive` as people use them, and as peers misuse them.
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

mod process;

use std::fs;
use std::io::{self, BufRead, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use countersign::Password;
use countersign::tls::certificate::{Config, Identity, RustlsEndpoint};
use countersign::xmpp::client::{Client, Login, loopback};
use countersign::xmpp::driver::{Driver, E2eStream, Handle};
use countersign::xmpp::file::{FileName, Hasher, Metadata, Offering};
use countersign::xmpp::{Element, Event, InitiatorConfig, Jid, ns};
use process::stage::{Stage, listening, overheard};
use process::{LIFE, Process, assert_last_two_lines, assert_two_lines, text};

const BOB: &str = "bob@home.example/countersign";

/// Octets of a file that takes long enough to be cut in the middle.
const LARGE: usize = 12 << 20;

/// Octets after which it is cut.
const MIDDLE: u64 = 2 << 20;

fn octets(count: usize) -> Vec<u8> {
    (0..count as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A directory for files in the stage's folder, and a listener that takes them there.
struct Receiver {
    directory: PathBuf,
    process: Process,
    words: Arc<Mutex<String>>,
    hearing: JoinHandle<()>,
}

impl Receiver {
    fn start(stage: &Stage, options: &[&str]) -> Self {
        Self::run(stage, |mut listen| {
            listen.args(options);
            listen
        })
    }

    fn run(stage: &Stage, edit: impl FnOnce(Command) -> Command) -> Self {
        let directory = stage.path("in");
        fs::create_dir_all(&directory).unwrap();
        let mut command = stage.command("listen", "bob", "bob", "shared");
        command.arg("--receive").arg(&directory);
        let (process, stderr) = listening(&mut edit(command));
        let words = Arc::new(Mutex::new(String::new()));
        let heard = words.clone();
        let hearing = thread::spawn(move || {
            for line in stderr.lines() {
                heard.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        Self { directory, process, words, hearing }
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        names.sort();
        names
    }

    /// Waits until so much of an incomplete file is there.
    fn wait_for(&self, octets: u64) {
        let start = Instant::now();
        let incomplete = |path: &Path| path.extension().is_some_and(|end| end == "part");
        while !fs::read_dir(&self.directory).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            incomplete(&path) && fs::metadata(&path).is_ok_and(|stat| stat.len() >= octets)
        }) {
            assert!(start.elapsed() < LIFE, "nothing comes");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has said this: it may do so after it has answered.
    fn wait_for_words(&self, what: &str) {
        let start = Instant::now();
        while !self.words.lock().unwrap().contains(what) {
            assert!(start.elapsed() < LIFE, "{what} is not in {}", self.words.lock().unwrap());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it; what it has said since it was ready, and what it has printed.
    fn stop(mut self) -> (String, String) {
        self.process.0.kill().unwrap();
        let output = self.process.finish();
        self.hearing.join().unwrap();
        let words = self.words.lock().unwrap().clone();
        (words, text(&output.stdout))
    }
}

fn sending(stage: &Stage, file: &Path, options: &[&str]) -> Command {
    let mut command = stage.command("send", "alice", "alice", "shared");
    command.args(["--to", BOB]).args(options).arg(file);
    command
}

fn send(stage: &Stage, file: &Path, options: &[&str]) -> Output {
    Process::start(&mut sending(stage, file, options)).run(b"")
}

fn file(stage: &Stage, name: &str, octets: &[u8]) -> PathBuf {
    let path = stage.path(name);
    fs::write(&path, octets).unwrap();
    path
}

#[track_caller]
fn assert_sent(output: &Output) {
    let words = text(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert!(words.lines().last().unwrap().starts_with("sent: "), "{words}");
}

#[test]
fn files_arrive_one_after_another() {
    let stage = Stage::set("send-files");
    let bob = Receiver::start(&stage, &[]);
    for (name, size) in [("empty", 0), ("one", 1), ("odd.bin", 65_537), ("a name.txt", 700_000)] {
        let data = octets(size);
        assert_sent(&send(&stage, &file(&stage, name, &data), &[]));
        assert!(bob.content(name) == data, "{name}");
    }
    assert_sent(&send(&stage, &stage.path("one"), &["--as", "other"]));
    assert_eq!(bob.names(), ["a name.txt", "empty", "odd.bin", "one", "other"]);
    let (words, stdout) = bob.stop();
    assert_eq!(words.matches("received: ").count(), 5, "{words}");
    assert!(words.contains("a name.txt from alice@home.example/countersign, 700000 octets, SHA-256 "));
    assert_eq!(stdout, "");
}

#[test]
fn files_take_a_direct_connection_where_both_ask_for_it() {
    let stage = Stage::set("send-direct");
    let bob = Receiver::start(&stage, &["--direct=127.0.0.1"]);
    let data = octets(3_000_000);
    for (name, option, shown) in [
        ("direct", &["--direct=127.0.0.1"][..], "transport: a direct connection"),
        ("in-band", &[], "transport: in stanzas over the servers"),
    ] {
        let output = send(&stage, &file(&stage, name, &data), option);
        assert_sent(&output);
        assert!(text(&output.stderr).contains(shown), "{}", text(&output.stderr));
        assert!(bob.content(name) == data, "{name}");
    }
}

#[test]
fn one_session_is_enough_where_that_is_said() {
    let stage = Stage::set("send-once");
    let bob = Receiver::start(&stage, &["--once"]);
    assert_sent(&send(&stage, &file(&stage, "x", b"abc"), &[]));
    assert!(bob.process.finish().status.success());
    // A file that was refused is a failure there.
    let bob = Receiver::start(&stage, &["--once"]);
    fs::write(bob.directory.join("x"), "precious").unwrap();
    assert_last_two_lines(&send(&stage, &stage.path("x"), &[]), 7);
    assert_eq!(bob.process.finish().status.code(), Some(7));
}

#[test]
fn programs_get_one_object() {
    let stage = Stage::set("send-json");
    let bob = Receiver::start(&stage, &["--json"]);
    let output = send(&stage, &file(&stage, "x", b"abc"), &["--json"]);
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "event": "sent", "name": "x", "size": 3, "sha256": hash, "resumed": 0, "sessions": 1,
    });
    assert_eq!(sent, expected);
    let words = text(&output.stderr);
    let verified = words.lines().nth(1).unwrap();
    let verified: serde_json::Value = serde_json::from_str(verified).unwrap();
    assert_eq!(verified["peer"], BOB);
    let proof = serde_json::json!({ "secret": "password", "bound_to": "tls-exporter" });
    assert_eq!(verified["proof"], proof);
    let path = bob.directory.join("x");
    let received: serde_json::Value = serde_json::from_str(&bob.stop().1).unwrap();
    let expected = serde_json::json!({
        "event": "received", "name": "x", "path": path, "size": 3, "sha256": hash, "resumed": 0,
        "peer": "alice@home.example/countersign",
    });
    assert_eq!(received, expected);
}

#[test]
fn nothing_is_overwritten_unless_that_is_said() {
    let stage = Stage::set("send-overwrite");
    let bob = Receiver::start(&stage, &[]);
    let path = file(&stage, "x", b"abc");
    fs::write(bob.directory.join("x"), "precious").unwrap();
    let output = send(&stage, &path, &[]);
    assert_last_two_lines(&output, 7);
    assert!(text(&output.stderr).contains("does not overwrite it"), "{}", text(&output.stderr));
    assert_eq!(bob.content("x"), b"precious");
    assert_eq!(bob.names(), ["x"]);
    bob.wait_for_words("error: x was offered, and another file has that name");
    bob.stop();
    let bob = Receiver::start(&stage, &["--force"]);
    assert_sent(&send(&stage, &path, &[]));
    assert_eq!(bob.content("x"), b"abc");
    assert_eq!(bob.names(), ["x"]);
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let stage = Stage::set("send-again");
    let bob = Receiver::start(&stage, &[]);
    let path = file(&stage, "x", &octets(100_000));
    assert_sent(&send(&stage, &path, &[]));
    let output = send(&stage, &path, &["--json"]);
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sent["resumed"], 100_000);
    assert_eq!(bob.names(), ["x"]);
}

/// What `send --json` says after it had to come back.
#[track_caller]
fn assert_resumed(output: &Output) {
    let words = text(&output.stderr);
    assert!(output.status.success(), "{words}");
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(sent["resumed"].as_u64().unwrap() >= MIDDLE, "{sent}");
    assert!(sent["sessions"].as_u64().unwrap() >= 2, "{sent}");
    assert!(words.contains("lost: "), "{words}");
}

#[test]
fn a_transfer_goes_on_after_the_server_was_killed() {
    let mut stage = Stage::set("send-killed");
    let bob = Receiver::start(&stage, &[]);
    let data = octets(LARGE);
    let alice = Process::start(&mut sending(&stage, &file(&stage, "x", &data), &["--json"]));
    bob.wait_for(MIDDLE);
    stage.kill_server();
    stage.restart_server();
    assert_resumed(&alice.finish());
    assert!(bob.content("x") == data);
    assert_eq!(bob.names(), ["x"]);
    let (words, _) = bob.stop();
    assert!(words.contains("lost: ") && words.matches("listening: ").count() == 1, "{words}");
}

/// Passes on what comes, until the connections are cut.
struct Proxy {
    address: String,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let (server, kept) = (server.to_owned(), sockets.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(&server) else { return };
                let clone = |socket: &TcpStream| socket.try_clone().unwrap();
                kept.lock().unwrap().extend([clone(&client), clone(&server)]);
                for (mut from, mut to) in [(clone(&client), clone(&server)), (server, client)] {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, sockets }
    }

    fn cut(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_transfer_goes_on_after_the_senders_connection_was_cut() {
    let mut stage = Stage::set("send-cut");
    let bob = Receiver::start(&stage, &[]);
    let proxy = Proxy::to(&stage.address);
    stage.address.clone_from(&proxy.address);
    let data = octets(LARGE);
    let alice = Process::start(&mut sending(&stage, &file(&stage, "x", &data), &["--json"]));
    bob.wait_for(MIDDLE);
    proxy.cut();
    // Bob's end of the old session may not know yet that it is over: the new one takes the file over.
    assert_resumed(&alice.finish());
    assert!(bob.content("x") == data);
    assert_eq!(bob.names(), ["x"]);
}

#[test]
fn a_later_command_goes_on_where_the_first_stopped() {
    let stage = Stage::set("send-later");
    let bob = Receiver::start(&stage, &[]);
    let (data, other) = (octets(LARGE), octets(1000));
    let path = file(&stage, "x", &data);
    let mut alice = Process::start(&mut sending(&stage, &path, &[]));
    bob.wait_for(MIDDLE);
    alice.0.kill().unwrap();
    drop(alice);
    // Another file of the same name does not mix with it.
    fs::create_dir(stage.path("elsewhere")).unwrap();
    assert_sent(&send(&stage, &file(&stage, "elsewhere/x", &other), &[]));
    assert!(bob.content("x") == other);
    fs::remove_file(bob.directory.join("x")).unwrap();
    let output = send(&stage, &path, &[]);
    assert_sent(&output);
    let words = text(&output.stderr);
    assert!(words.contains("going on: after ") && words.contains(" of them before this session"), "{words}");
    assert!(bob.content("x") == data);
}

#[test]
fn tries_come_to_an_end() {
    let mut stage = Stage::set("send-end");
    let bob = Receiver::start(&stage, &["--retries", "0"]);
    let path = file(&stage, "x", &octets(LARGE));
    let alice = Process::start(&mut sending(&stage, &path, &["--retries", "1"]));
    bob.wait_for(MIDDLE);
    stage.kill_server();
    assert_last_two_lines(&alice.finish(), 4);
    // What has arrived is kept.
    assert!(bob.names()[0].ends_with(".part"));
    assert_eq!(bob.process.finish().status.code(), Some(6));
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let stage = Stage::set("send-changes");
    let bob = Receiver::start(&stage, &[]);
    let path = file(&stage, "x", &octets(LARGE));
    let alice = Process::start(&mut sending(&stage, &path, &[]));
    bob.wait_for(MIDDLE);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    let output = alice.finish();
    assert_last_two_lines(&output, 8);
    assert!(text(&output.stderr).contains("the file changed while it was sent: x"));
    bob.wait_for_words("the sender gave the file up");
    assert!(bob.names().is_empty(), "{:?}", bob.names());
}

#[test]
fn a_receiver_without_room_says_so() {
    let stage = Stage::set("send-room");
    // The limit on the size of files stands for the end of the disk.
    let bob = Receiver::run(&stage, |listen| {
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""]);
        limited.arg(listen.get_program()).args(listen.get_args());
        limited
    });
    let output = send(&stage, &file(&stage, "x", &octets(LARGE)), &[]);
    assert_last_two_lines(&output, 7);
    assert!(text(&output.stderr).contains("the receiver has no room"), "{}", text(&output.stderr));
    // The next one fits.
    assert_sent(&send(&stage, &file(&stage, "y", b"abc"), &[]));
    assert_eq!(bob.content("y"), b"abc");
}

#[test]
fn a_receiver_that_cannot_write_says_so() {
    let stage = Stage::set("send-write");
    let bob = Receiver::start(&stage, &[]);
    fs::remove_dir(&bob.directory).unwrap();
    let output = send(&stage, &file(&stage, "x", b"abc"), &[]);
    assert_last_two_lines(&output, 7);
    assert!(text(&output.stderr).contains("the receiver cannot store the file"));
    bob.wait_for_words("error: cannot store x: ");
}

#[test]
fn a_receiver_may_want_small_files_only() {
    let stage = Stage::set("send-small");
    let bob = Receiver::start(&stage, &["--max-size", "1K"]);
    assert_sent(&send(&stage, &file(&stage, "x", &octets(1024)), &[]));
    let output = send(&stage, &file(&stage, "y", &octets(1025)), &[]);
    assert_last_two_lines(&output, 7);
    assert!(text(&output.stderr).contains("does not take files of this size"));
    assert_eq!(bob.names(), ["x"]);
}

#[test]
fn a_listener_that_takes_no_files_says_so() {
    let stage = Stage::set("send-chat");
    let (bob, stderr) = stage.listen("shared");
    let words = overheard(stderr);
    let output = send(&stage, &file(&stage, "x", b"abc"), &[]);
    assert_last_two_lines(&output, 7);
    assert!(text(&output.stderr).contains("listen --receive"), "{}", text(&output.stderr));
    let bob = bob.finish();
    assert!(bob.status.success() && bob.stdout.is_empty());
    assert!(words.join().unwrap().contains("refused: alice@home.example/countersign wants to send a file"));
}

#[test]
fn what_cannot_be_sent_is_said_before_anybody_is_asked() {
    let stage = Stage::set("send-unusable");
    let path = file(&stage, "x", b"abc");
    assert_two_lines(&send(&stage, &stage.path("no such file"), &[]), 8);
    assert_two_lines(&send(&stage, &stage.folder.0, &[]), 2);
    assert_two_lines(&send(&stage, &path, &["--as", ".profile"]), 2);
    let mut over_tcp = process::tool();
    over_tcp.args(["send", "--tcp", "127.0.0.1:9"]).arg(&path);
    assert_two_lines(&Process::start(&mut over_tcp).run(b""), 2);
}

#[test]
fn a_sender_with_another_password_sends_nothing() {
    let stage = Stage::set("send-wrong");
    let bob = Receiver::start(&stage, &[]);
    let mut command = stage.command("send", "alice", "alice", "other");
    command.args(["--to", BOB]).arg(file(&stage, "x", b"abc"));
    assert_two_lines(&Process::start(&mut command).run(b""), 3);
    assert!(bob.names().is_empty());
}

/// A sender that says what it wants.
struct Mallory {
    stream: E2eStream,
    handle: Handle,
}

impl Mallory {
    async fn call(stage: &Stage) -> Self {
        let login = Login::new(Jid::new("alice@home.example/m").unwrap(), Password::new("in wonderland"));
        let login = login.unwrap();
        let socket = loopback(&stage.address, &login).await.unwrap();
        let handle = Driver::spawn(Client::over(socket, login).await.unwrap(), None);
        let (own, peer) = (handle.own_jid().clone(), BOB.parse().unwrap());
        let config = InitiatorConfig::new(own, peer, Password::new("rosebud 1941"));
        let tls = Config::new(Identity::generate().unwrap()).unwrap();
        let endpoint = Box::new(RustlsEndpoint::client(&tls).unwrap());
        let stream = handle.connect(config, endpoint).await.unwrap();
        Self { stream, handle }
    }

    /// Sends an element in a message.
    async fn say(&mut self, element: &str) {
        let text = format!("<message xmlns='jabber:client'>{element}</message>");
        self.stream.send(text.parse::<Element>().unwrap()).await.unwrap();
    }

    /// The offer of 3 octets.
    async fn offer(&mut self, id: u32, name: &str) {
        let file = Metadata::new(FileName::new("x").unwrap(), 3, Hasher::of(b"abc")).unwrap();
        let text = String::from(&Offering::new(id.try_into().unwrap(), file).1);
        let text = text.replace("<name>x<", &format!("<name>{name}<"));
        self.stream.send(text.parse::<Element>().unwrap()).await.unwrap();
    }

    /// The name of the receiver's element, and of what is in it.
    async fn hear(&mut self) -> (String, String) {
        let Some(Event::Stanza(stanza)) = self.stream.recv().await else { panic!("no answer") };
        let element = stanza.children().find(|child| child.has_ns(ns::FILE)).unwrap();
        let inner = element.children().next().map_or("", Element::name);
        (element.name().to_owned(), inner.to_owned())
    }

    async fn leave(self) {
        let _ = self.stream.finish().await;
        self.handle.finish().await;
    }
}

fn pair(element: &str, inner: &str) -> (String, String) {
    (element.to_owned(), inner.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_stay_in_the_directory() {
    let stage = Stage::set("send-names");
    let bob = Receiver::start(&stage, &[]);
    let mut mallory = Mallory::call(&stage).await;
    let mut id = 0;
    for name in ["", ".", "..", "a/..", ".bashrc", "-rf", "a&#x202e;gpj.exe", "a&#x9;b", "con", "x.part"] {
        id += 1;
        mallory.offer(id, name).await;
        assert_eq!(mallory.hear().await, pair("refuse", "name"), "{name}");
    }
    for (name, stored) in [("../../up", "up"), ("/etc/passwd", "passwd"), ("..\\..\\down", "down")] {
        id += 1;
        mallory.offer(id, name).await;
        assert_eq!(mallory.hear().await, pair("accept", ""), "{name}");
        mallory.say(&format!("<begin xmlns='urn:countersign:file:0' id='{id}' offset='0'/>")).await;
        mallory.stream.write_bytes(b"abc").await.unwrap();
        mallory.say(&format!("<end xmlns='urn:countersign:file:0' id='{id}'/>")).await;
        assert_eq!(mallory.hear().await, pair("stored", ""), "{name}");
        assert_eq!(bob.content(stored), b"abc");
    }
    mallory.leave().await;
    assert_eq!(bob.names(), ["down", "passwd", "up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_octets_than_announced_are_thrown_away() {
    let stage = Stage::set("send-hash");
    let bob = Receiver::start(&stage, &[]);
    let mut mallory = Mallory::call(&stage).await;
    mallory.offer(1, "x").await;
    assert_eq!(mallory.hear().await, pair("accept", ""));
    mallory.say("<begin xmlns='urn:countersign:file:0' id='1' offset='0'/>").await;
    mallory.stream.write_bytes(b"abd").await.unwrap();
    mallory.say("<end xmlns='urn:countersign:file:0' id='1'/>").await;
    assert_eq!(mallory.hear().await, pair("refuse", "wrong-hash"));
    assert!(bob.names().is_empty());
    // Too much of it.
    mallory.offer(2, "x").await;
    assert_eq!(mallory.hear().await, pair("accept", ""));
    mallory.say("<begin xmlns='urn:countersign:file:0' id='2' offset='0'/>").await;
    mallory.stream.write_bytes(b"abcd").await.unwrap();
    assert_eq!(mallory.hear().await, pair("refuse", "protocol"));
    mallory.leave().await;
    assert!(!bob.names().contains(&"x".to_owned()));
    bob.wait_for_words("does not have the announced hash");
    bob.wait_for_words("longer than was announced");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_protocol_is_cut_off_and_others_are_not() {
    let stage = Stage::set("send-breaks");
    let bob = Receiver::start(&stage, &[]);
    for element in [
        "<begin xmlns='urn:countersign:file:0' id='1' offset='0'/>",
        "<offer xmlns='urn:countersign:file:0' id='1'/>",
    ] {
        let mut mallory = Mallory::call(&stage).await;
        mallory.say(element).await;
        assert!(matches!(mallory.stream.recv().await, Some(Event::Failed(_))), "{element}");
        mallory.leave().await;
    }
    let mut mallory = Mallory::call(&stage).await;
    mallory.stream.write_bytes(b"abc").await.unwrap();
    assert!(matches!(mallory.stream.recv().await, Some(Event::Failed(_))));
    mallory.leave().await;
    assert_sent(&send(&stage, &file(&stage, "x", b"abc"), &[]));
    bob.wait_for_words("octets that belong to no file");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_directory_leads_nowhere() {
    let stage = Stage::set("send-links");
    let bob = Receiver::start(&stage, &["--force"]);
    let precious = file(&stage, "precious", b"precious");
    std::os::unix::fs::symlink(&precious, bob.directory.join("x")).unwrap();
    std::os::unix::fs::symlink(&precious, bob.directory.join("y.ba7816bf8f01cfea.part")).unwrap();
    assert_sent(&send(&stage, &file(&stage, "x", b"abc"), &[]));
    assert_last_two_lines(&send(&stage, &file(&stage, "y", b"abc"), &[]), 7);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(bob.content("x"), b"abc");
    assert!(fs::symlink_metadata(bob.directory.join("x")).unwrap().is_file());
}
