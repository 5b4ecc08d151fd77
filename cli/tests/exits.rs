//! What `connect` and `send` end with when something is wrong at the other end: the documented codes and two lines.
#![allow(clippy::unwrap_used, reason = "the lint knows no helpers of tests")]

mod process;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;

use countersign::Password;
use countersign::xmpp::client::{Client, Login, loopback};
use countersign::xmpp::{Element, Jid};
use tokio::io::{AsyncRead, AsyncWrite};

use process::stage::{Stage, listening, overheard};
use process::{Folder, Process, assert_last_two_lines, assert_two_lines, text, tool};

const COMMANDS: [&str; 2] = ["connect", "send"];

/// Alice's command, towards Bob.
fn alice(stage: &Stage, what: &str, shared: &str) -> Command {
    let mut command = stage.command(what, "alice", "alice", shared);
    command.args(["--to", "bob@home.example/countersign"]);
    if what == "send" {
        let file = stage.path("file");
        fs::write(&file, "abc").unwrap();
        command.arg(file);
    }
    command
}

/// Bob, who would take either.
fn bob(stage: &Stage, what: &str) -> Process {
    let mut command = stage.command("listen", "bob", "bob", "shared");
    if what == "send" {
        command.arg("--receive").arg(&stage.folder.0);
    }
    let (bob, stderr) = listening(&mut command);
    drop(overheard(stderr));
    bob
}

#[test]
fn a_wrong_password_is_3() {
    for what in COMMANDS {
        let stage = Stage::set(&format!("exit-password-{what}"));
        let _bob = bob(&stage, what);
        assert_two_lines(&Process::start(&mut alice(&stage, what, "other")).run(b""), 3);
    }
}

#[test]
fn accounts_that_cannot_be_served_are_2() {
    let folder = Folder::new("exit-accounts");
    for (content, word) in [
        (&b"\n \n"[..], "has no account"),
        (b"alice\n", "no user or no password"),
        (b"alice x\nbob y\nalice z\n", "two lines for alice"),
        (b"alice \xff\n", "not UTF-8"),
    ] {
        let file = folder.0.join("accounts");
        fs::write(&file, content).unwrap();
        let mut command = tool();
        // Whatever is wrongly accepted ends all the same: it finds no such address.
        command.args(["serve", "--address", "192.0.2.1:0", "--accounts"]).arg(file);
        let output = Process::start(&mut command).run(b"");
        assert_two_lines(&output, 2);
        assert!(text(&output.stderr).contains(word), "{word}: {}", text(&output.stderr));
    }
}

#[test]
fn an_absent_peer_is_4() {
    for what in COMMANDS {
        let stage = Stage::set(&format!("exit-absent-{what}"));
        assert_two_lines(&Process::start(&mut alice(&stage, what, "shared")).run(b""), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_support_is_7() {
    for what in COMMANDS {
        let stage = Stage::set(&format!("exit-support-{what}"));
        let login =
            Login::new(Jid::new("bob@home.example/countersign").unwrap(), Password::new("the builder"));
        let login = login.unwrap();
        let socket = loopback(&stage.address, &login).await.unwrap();
        let ordinary = tokio::spawn(answer(Client::over(socket, login).await.unwrap()));
        assert_two_lines(&Process::start(&mut alice(&stage, what, "shared")).run(b""), 7);
        ordinary.abort();
    }
}

/// An ordinary client: it says what it can do, and tunnels are not among it.
async fn answer<S: AsyncRead + AsyncWrite + Send + 'static>(mut client: Client<S>) {
    while let Ok(Some(stanza)) = client.recv().await {
        let (Some(from), Some(id)) = (stanza.attr("from"), stanza.attr("id")) else { continue };
        let text = format!(
            "<iq xmlns='jabber:client' type='result' to='{from}' id='{id}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>\
             <feature var='http://jabber.org/protocol/disco#info'/></query></iq>"
        );
        client.send(&text.parse::<Element>().unwrap()).await.unwrap();
    }
}

#[test]
fn a_server_that_lies_is_3() {
    for attack in ["relay", "strip", "downgrade"] {
        for what in COMMANDS {
            let stage = Stage::with(&format!("exit-{attack}-{what}"), &["--attack", attack]);
            let _bob = bob(&stage, what);
            assert_two_lines(&Process::start(&mut alice(&stage, what, "shared")).run(b""), 3);
        }
    }
}

#[test]
fn a_server_that_vanishes_is_6() {
    let mut stage = Stage::set("exit-vanishes");
    let mut bob = bob(&stage, "connect");
    let mut alice = Process::start(&mut alice(&stage, "connect", "shared"));
    // Held open: she has more to say.
    let _stdin = alice.0.stdin.take();
    let mut stderr = BufReader::new(alice.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("trust:") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "alice is gone");
    }
    let words = overheard(stderr);
    stage.kill_server();
    let mut output = alice.finish();
    output.stderr = words.join().unwrap().into_bytes();
    assert_last_two_lines(&output, 6);
    assert_eq!(bob.0.wait().unwrap().code(), Some(6));
    // What send does then is in tests/send.rs: it comes back, and where it may not, ends in the same way.
}

#[test]
fn a_server_that_vanishes_before_the_tunnel_is_there_is_4() {
    for what in COMMANDS {
        let mut stage = Stage::set(&format!("exit-gone-{what}"));
        stage.kill_server();
        assert_two_lines(&Process::start(&mut alice(&stage, what, "shared")).run(b""), 4);
    }
}
