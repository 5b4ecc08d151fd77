use std::time::Duration;

use countersign::xmpp::client::rules;
use countersign::xmpp::server::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const SHORT: Duration = Duration::from_millis(100);

async fn limited(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits::default();
    change(&mut limits);
    Server::bind(config().with_limits(limits)).await.unwrap()
}

fn message(to: &str, length: usize) -> String {
    let empty = format!("<message to='{to}'><body></body></message>");
    empty.replace("<body>", &format!("<body>{}", "x".repeat(length - empty.len())))
}

#[tokio::test]
async fn an_oversized_stanza_ends_the_stream() {
    let server = limited(|limits| limits.stanza = 2000).await;
    for (length, fits) in [(2000, true), (2001, false)] {
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(HEADER).await;
        raw.send(&message("bob@home.example", length)).await;
        // What fits is refused for another reason: nobody is logged in.
        raw.expect_end(if fits { "not-authorized" } else { "policy-violation" }).await;
    }
}

#[tokio::test]
async fn deep_nesting_ends_the_stream() {
    let server = limited(|limits| limits.depth = 10).await;
    for (depth, error) in [(10, "not-authorized"), (11, "policy-violation")] {
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(HEADER).await;
        raw.send(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))).await;
        raw.expect_end(error).await;
    }
}

#[tokio::test]
async fn garbage_ends_the_stream() {
    let server = server().await;
    for garbage in
        ["GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "<a", "<!DOCTYPE a []>", "</a>", "<a>&#0;</a>"]
    {
        for header in ["", HEADER] {
            let mut raw = Raw::open(server.local_addr()).await;
            raw.send(header).await;
            raw.send(garbage).await;
            raw.send("<<<<").await;
            raw.expect_end("not-well-formed").await;
        }
    }
}

#[tokio::test]
async fn a_half_open_connection_is_closed_and_harms_nobody() {
    let server = limited(|limits| limits.login = SHORT).await;
    let (silent, mut stuck) = (Raw::open(server.local_addr()).await, Raw::open(server.local_addr()).await);
    stuck.send(HEADER).await;
    stuck.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism=").await;
    silent.expect_end("connection-timeout").await;
    stuck.expect_end("connection-timeout").await;
    assert_eq!(server.statistics().connections, 2);
}

#[tokio::test]
async fn an_idle_client_is_let_go() {
    let server = limited(|limits| limits.idle = SHORT).await;
    let mut client = login(&server, "alice@home.example/lap").await;
    let error = guard(client.recv()).await.unwrap_err();
    assert!(error.is(&rules::STREAM_ERROR));
    assert_eq!(error.subject(), Some("connection-timeout"));
}

#[tokio::test]
async fn connections_are_counted() {
    let server = limited(|limits| limits.connections = 1).await;
    let first = login(&server, "alice@home.example/lap").await;
    Raw::open(server.local_addr()).await.expect_end("resource-constraint").await;
    drop(first);
}

#[tokio::test]
async fn a_false_sender_ends_the_stream() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let forged = "<message xmlns='jabber:client' from='bob@home.example/tab' to='bob@home.example/tab'/>";
    alice.send(&element(forged)).await.unwrap();
    let error = guard(alice.recv()).await.unwrap_err();
    assert_eq!((error.rule().id, error.subject()), (rules::STREAM_ERROR.id, Some("invalid-from")));
}

#[tokio::test]
async fn an_unknown_stanza_ends_the_stream() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    alice.send(&element("<letter xmlns='jabber:client'/>")).await.unwrap();
    let error = guard(alice.recv()).await.unwrap_err();
    assert_eq!((error.rule().id, error.subject()), (rules::STREAM_ERROR.id, Some("unsupported-stanza-type")));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = limited(|limits| {
        limits.queue_octets = 128 * 1024;
        limits.write = SHORT;
    })
    .await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let _bob = login(&server, "bob@home.example/tab").await;
    let text = "x".repeat(32 * 1024);
    let iq = element(&format!(
        "<iq xmlns='jabber:client' type='get' id='i' to='bob@home.example/tab'><q xmlns='u'>{text}</q></iq>"
    ));
    // Only the server's word that Bob is gone ends this.
    guard(async {
        loop {
            alice.send(&iq).await.unwrap();
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(1), alice.recv()).await {
                assert_eq!(condition(&answer.unwrap().unwrap()), "service-unavailable");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn shutdown_says_goodbye() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let mut early = Raw::open(server.local_addr()).await;
    early.send(HEADER).await;
    early.expect("SCRAM-SHA-256").await;
    guard(server.shutdown()).await;
    let error = guard(alice.recv()).await.unwrap_err();
    assert_eq!((error.rule().id, error.subject()), (rules::STREAM_ERROR.id, Some("system-shutdown")));
    early.expect_end("system-shutdown").await;
}

#[tokio::test]
async fn a_dropped_server_drops_its_clients() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    drop(server);
    assert!(guard(alice.recv()).await.unwrap_err().is(&rules::LOST));
}

#[tokio::test]
async fn a_stream_closed_by_the_client_is_closed_by_the_server() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.expect("SCRAM").await;
    raw.send("</stream:stream>").await;
    raw.expect("</stream:stream>").await;
    let _ = raw.0.shutdown().await;
}

#[tokio::test]
async fn a_client_cut_off_at_every_octet_harms_nobody() {
    let server = server().await;
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let text = format!(
        "{HEADER}<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>biwsbj1hLHI9YmFk</auth><abort xmlns='{sasl}'/>"
    );
    for end in 0..text.len() {
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(&text[..end]).await;
        raw.0.shutdown().await.unwrap();
        let mut read = Vec::new();
        let _ = guard(raw.0.read_to_end(&mut read)).await;
    }
    assert_eq!(server.statistics().connections, text.len() as u64);
    assert_eq!(server.statistics().logins, 0);
    login(&server, "alice@home.example/lap").await;
}
