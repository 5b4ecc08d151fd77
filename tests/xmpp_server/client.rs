//! The client against servers that misbehave.

use std::net::SocketAddr;
use std::time::Duration;

use countersign::sasl;
use countersign::xmpp::client::{Client, Login, Timeouts, rules};
use countersign::xmpp::{Element, Jid, stream};
use countersign::{Error, Password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

const OPENING: &str = "<stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' from='home.example' id='1' version='1.0'>";

fn features(content: &str) -> String {
    format!("{OPENING}<stream:features>{content}</stream:features>")
}

fn mechanisms(names: &[&str]) -> String {
    let list = names.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect::<String>();
    format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{list}</mechanisms>")
}

/// A server that says one of these each time it has read something, and then closes or keeps silent.
async fn scripted(script: Vec<String>, close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        for line in script {
            assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        if close {
            stream.shutdown().await.unwrap();
        }
        // Reads on, so that the client's octets cause no reset.
        while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        if !close {
            std::future::pending::<()>().await;
        }
    });
    address
}

/// What a login ends with when the server follows the script and then closes.
async fn failure(script: &[&str]) -> Error {
    failure_with(script, true, Timeouts::default()).await
}

async fn failure_with(script: &[&str], close: bool, timeouts: Timeouts) -> Error {
    let script = script.iter().map(|&line| line.to_owned()).collect();
    let address = scripted(script, close).await;
    let login = account("alice@home.example", PASSWORD).with_timeouts(timeouts);
    guard(Client::connect(address, login)).await.err().unwrap()
}

#[tokio::test]
async fn connection_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(address, account("alice@home.example", PASSWORD)).await.err().unwrap();
    assert!(error.is(&rules::UNREACHABLE));
}

#[tokio::test]
async fn no_plain_connection_to_another_machine() {
    // A documentation address: nothing is sent there.
    let error =
        Client::connect("192.0.2.1:5222", account("alice@home.example", PASSWORD)).await.err().unwrap();
    assert!(error.is(&rules::NOT_LOOPBACK));
}

#[tokio::test]
async fn an_account_needs_a_user() {
    let error = Login::new(Jid::new("home.example").unwrap(), Password::new("x")).unwrap_err();
    assert!(error.is(&rules::NOT_AN_ACCOUNT));
}

#[tokio::test]
async fn the_server_closes_the_socket_at_every_step() {
    let scram = features(&mechanisms(&["SCRAM-SHA-256"]));
    for script in [&[][..], &[""], &[OPENING], &[&scram], &[&scram, ""]] {
        assert!(failure(script).await.is(&rules::LOST), "{script:?}");
    }
}

#[tokio::test]
async fn the_server_says_nothing() {
    let scram = features(&mechanisms(&["SCRAM-SHA-256"]));
    for (script, phase) in
        [(&[][..], "the stream header"), (&[OPENING], "the stream header"), (&[&scram], "the login")]
    {
        // Only the phase in question is short, so that a slow machine changes nothing.
        let mut timeouts = Timeouts::default();
        let time = if phase == "the login" { &mut timeouts.login } else { &mut timeouts.stream };
        *time = Duration::from_millis(100);
        let error = failure_with(script, false, timeouts).await;
        assert!(error.is(&rules::TIMED_OUT), "{script:?}");
        assert_eq!(error.subject(), Some(phase), "{script:?}");
    }
}

#[tokio::test]
async fn the_server_closes_the_stream_early() {
    let closed = format!("{}</stream:stream>", features(&mechanisms(&["SCRAM-SHA-256"])));
    assert!(failure(&[&closed]).await.is(&rules::CLOSED_EARLY));
}

#[tokio::test]
async fn the_server_ends_the_stream_with_an_error() {
    let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let error = failure(&[&format!("{OPENING}{error}</stream:stream>")]).await;
    assert!(error.is(&rules::STREAM_ERROR));
    assert_eq!(error.subject(), Some("host-unknown"));
}

#[tokio::test]
async fn the_server_wants_tls() {
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
    assert!(failure(&[&features(starttls)]).await.is(&rules::NEEDS_TLS));
}

#[tokio::test]
async fn the_client_takes_neither_plain_nor_a_binding_it_has_not() {
    let offer = features(&mechanisms(&["PLAIN", "SCRAM-SHA-256-PLUS"]));
    assert!(failure(&[&offer]).await.is(&sasl::rules::NO_MECHANISM));
}

#[tokio::test]
async fn success_without_a_proof_is_refused() {
    let scram = features(&mechanisms(&["SCRAM-SHA-256"]));
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    assert!(failure(&[&scram, success]).await.is(&sasl::rules::EARLY_SUCCESS));
}

#[tokio::test]
async fn garbage_from_the_server_is_refused() {
    let page = failure(&["HTTP/1.1 400 Bad Request\r\n\r\n<html>"]).await;
    assert!(page.is(&stream::rules::NOT_WELL_FORMED), "{page:?}");
    let unasked = format!("{OPENING}<message/>");
    assert!(!failure(&[&unasked]).await.is(&rules::LOST));
}

#[tokio::test]
async fn a_stanza_that_xml_cannot_carry_is_refused_and_does_no_harm() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let mut bad = Element::bare("message", "jabber:client");
    bad.append_text("\u{0}");
    assert!(alice.send(&bad).await.is_err());
    let ping = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    alice.send(&element(ping)).await.unwrap();
    assert_eq!(next(&mut alice).await.attr("type"), Some("result"));
}
