//! The server's proxy for SOCKS5 bytestreams: sessions through it, its limits, and those who mean no good.

use std::time::{Duration, Instant};

use countersign::xmpp::client::{Client, find_proxy, proxy};
use countersign::xmpp::driver::{Driver, E2eStream, Listener};
use countersign::xmpp::s5b::{Route, Socks5, StreamHost, activate, destination, rules as s5b};
use countersign::xmpp::server::{Limits, Server, rules};
use countersign::xmpp::socks5::{self, Destination, Progress};
use countersign::xmpp::{Element, Event, FullJid, Jid, ResponderConfig, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::e2e::{ALICE, BOB, Pair, Setup, client_endpoint};
use crate::support::*;

const PROXY: &str = "proxy.home.example";
const MALLORY: &str = "mallory@home.example/den";
const SID: &str = "stream";
const SHORT: Duration = Duration::from_millis(500);

async fn limited(change: impl FnOnce(&mut Limits)) -> Server {
    let mut limits = Limits::default();
    change(&mut limits);
    Server::bind(config().with_limits(limits)).await.unwrap()
}

fn jid(text: &str) -> FullJid {
    FullJid::new(text).unwrap()
}

/// Of a bytestream that Alice offers to Bob.
fn alices() -> Destination {
    destination(SID, &jid(ALICE), &jid(BOB))
}

/// A connection to the proxy; `None` when it is refused or closed.
async fn try_connect(server: &Server, destination: Destination) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(server.proxy_addr()).await.unwrap();
    let (mut client, greeting) = socks5::Client::start(destination);
    stream.write_all(&greeting).await.ok()?;
    loop {
        let mut octets = vec![0; client.wants()];
        guard(stream.read_exact(&mut octets)).await.ok()?;
        match client.receive(&octets) {
            Progress::More(next, answer) => {
                client = next;
                stream.write_all(&answer).await.ok()?;
            }
            Progress::Done(()) => return Some(stream),
            Progress::Failed(..) => return None,
        }
    }
}

async fn connect(server: &Server) -> TcpStream {
    try_connect(server, alices()).await.unwrap()
}

/// The same as soon as somebody's place is free: that takes the proxy a moment.
async fn connect_when_there_is_room(server: &Server, destination: Destination) -> TcpStream {
    let again = async {
        loop {
            if let Some(stream) = try_connect(server, destination.clone()).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    };
    guard(again).await
}

/// The answer to a request to the proxy.
async fn ask(client: &mut Client, kind: &str, payload: Element) -> Element {
    let payload = String::from_utf8(stream::to_octets(&payload).unwrap()).unwrap();
    let iq = format!("<iq xmlns='jabber:client' type='{kind}' id='p' to='{PROXY}'>{payload}</iq>");
    client.send(&element(&iq)).await.unwrap();
    next(client).await
}

async fn ask_to_activate(client: &mut Client) -> Element {
    ask(client, "set", activate(SID, &jid(BOB))).await
}

fn is_granted(answer: &Element) -> bool {
    answer.attr("type") == Some("result")
}

/// Whether the other end hangs up; what it says before is dropped.
async fn ends(stream: &mut TcpStream) {
    let mut octets = Vec::new();
    let _ = guard(stream.read_to_end(&mut octets)).await;
}

/// Octets from one end to the other.
async fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"to and fro").await.unwrap();
    let mut octets = [0; 10];
    guard(to.read_exact(&mut octets)).await.unwrap();
    assert_eq!(&octets, b"to and fro");
}

/// Two connections that are joined.
async fn joined(server: &Server, alice: &mut Client) -> (TcpStream, TcpStream) {
    let (mut one, mut other) = (connect(server).await, connect(server).await);
    assert!(is_granted(&ask_to_activate(alice).await));
    pass(&mut one, &mut other).await;
    pass(&mut other, &mut one).await;
    (one, other)
}

/// A session where both sides offer this proxy.
async fn session(server: &Server, host: &StreamHost) -> (Pair, E2eStream, E2eStream) {
    let setup = Setup::default();
    let offer = Socks5::new().with_proxy(host.clone());
    let mut honest = setup.gate(BOB).unwrap();
    let bobs = offer.clone();
    let gate = move |peer: &FullJid| {
        let mut acceptance = honest.admit(peer)?;
        acceptance.config = ResponderConfig::with_socks5(acceptance.config, bobs.clone());
        Some(acceptance)
    };
    let pair = Pair {
        alice: Driver::spawn_with_sockets(login(server, ALICE).await, None, Listener::none()),
        bob: Driver::spawn_with_sockets(login(server, BOB).await, Some(Box::new(gate)), Listener::none()),
    };
    let config = setup.initiator(pair.alice.own_jid(), BOB).with_socks5(offer);
    let connecting = pair.alice.connect(config, client_endpoint());
    let (alice, bob) = guard(async { tokio::join!(connecting, pair.bob.accept()) }).await;
    (pair, alice.unwrap(), bob.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_through_the_proxy() {
    const OCTETS: usize = 1_000_000;
    let server = server().await;
    let asking = Driver::spawn(login(&server, MALLORY).await, None);
    let found = guard(find_proxy(&asking)).await.unwrap();
    assert_eq!(found, guard(proxy(&asking, &Jid::new(PROXY).unwrap())).await.unwrap());
    assert_eq!((found.host(), found.port()), ("127.0.0.1", server.proxy_addr().port()));
    let (_pair, mut alice, mut bob) = session(&server, &found).await;
    let route = Route::Proxy(Jid::new(PROXY).unwrap());
    assert_eq!((alice.route(), bob.route()), (&route, &route));
    let routed = server.statistics().octets_routed;
    let octets = (0..OCTETS).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let reading = async {
        let mut read = Vec::new();
        while read.len() < OCTETS {
            read.extend(bob.read_bytes().await.unwrap().unwrap());
        }
        read
    };
    let (written, read) = guard(async { tokio::join!(alice.write_bytes(&octets), reading) }).await;
    written.unwrap();
    assert!(read == octets);
    let statistics = server.statistics();
    assert!(statistics.octets_relayed > OCTETS as u64);
    assert!(statistics.octets_routed - routed < 10_000);
    let (finished, closed) = guard(async { tokio::join!(alice.finish(), bob.recv()) }).await;
    finished.unwrap();
    assert!(matches!(closed, Some(Event::Closed)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_proxy_cannot_be_reached_it_goes_on_in_band() {
    let server = server().await;
    let dead_end = Listener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let host = StreamHost::new(Jid::new(PROXY).unwrap(), "127.0.0.1", dead_end.port()).unwrap();
    let (_pair, mut alice, mut bob) = session(&server, &host).await;
    assert_eq!((alice.route(), bob.route()), (&Route::InBand, &Route::InBand));
    alice.send_message("hi").await.unwrap();
    assert!(matches!(guard(bob.recv()).await, Some(Event::Stanza(_))));
}

#[tokio::test]
async fn nobody_else_activates_it() {
    let server = server().await;
    let mut mallory = login(&server, MALLORY).await;
    let mut bob = login(&server, BOB).await;
    let mut alice = login(&server, ALICE).await;
    assert_eq!(condition(&ask_to_activate(&mut alice).await), "item-not-found", "nobody is there");
    let mut one = connect(&server).await;
    assert_eq!(condition(&ask_to_activate(&mut alice).await), "item-not-found", "one is too few");
    let mut other = connect(&server).await;
    for stranger in [&mut mallory, &mut bob] {
        assert_eq!(condition(&ask_to_activate(stranger).await), "item-not-found");
    }
    assert!(is_granted(&ask_to_activate(&mut alice).await));
    pass(&mut one, &mut other).await;
    assert_eq!(condition(&ask_to_activate(&mut alice).await), "item-not-found", "once is enough");
    pass(&mut other, &mut one).await;
}

#[tokio::test]
async fn a_third_connection_is_refused() {
    let server = server().await;
    let mut alice = login(&server, ALICE).await;
    let (mut one, mut other) = (connect(&server).await, connect(&server).await);
    assert!(try_connect(&server, alices()).await.is_none(), "while two wait");
    assert!(is_granted(&ask_to_activate(&mut alice).await));
    pass(&mut one, &mut other).await;
    assert!(try_connect(&server, alices()).await.is_none(), "while they are joined");
    pass(&mut other, &mut one).await;
    drop((one, other));
    connect_when_there_is_room(&server, alices()).await;
}

#[tokio::test]
async fn who_leaves_makes_room() {
    let server = server().await;
    let mut alice = login(&server, ALICE).await;
    let (one, mut other) = (connect(&server).await, connect(&server).await);
    drop(one);
    let mut one = connect_when_there_is_room(&server, alices()).await;
    assert!(is_granted(&ask_to_activate(&mut alice).await));
    pass(&mut one, &mut other).await;
}

#[tokio::test]
async fn garbage_is_closed() {
    let server = server().await;
    let request = |name: &[u8]| [&[5, 1, 0, 5, 1, 0, 3, name.len() as u8][..], name, &[0, 0]].concat();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![4, 1, 0, 80],
        vec![5, 0],
        vec![5, 1, 2],
        [5, 1, 0, 5, 2, 0, 3, 40].to_vec(),
        request(&[b'A'; 40]),
        request(&[b'a'; 39]),
        request(&[b'a'; 41]),
    ] {
        let mut stream = TcpStream::connect(server.proxy_addr()).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        ends(&mut stream).await;
    }
    // Octets before both are joined belong to no bytestream.
    let mut stream = connect(&server).await;
    stream.write_all(b"TLS").await.unwrap();
    ends(&mut stream).await;
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let server = server().await;
    let mut alice = login(&server, ALICE).await;
    let ns = "http://jabber.org/protocol/bytestreams";
    for (kind, payload, expected) in [
        ("set", format!("<query xmlns='{ns}' sid='s'/>"), "bad-request"),
        ("set", format!("<query xmlns='{ns}'><activate>{BOB}</activate></query>"), "bad-request"),
        ("set", format!("<query xmlns='{ns}' sid=''><activate>{BOB}</activate></query>"), "bad-request"),
        (
            "set",
            format!("<query xmlns='{ns}' sid='s'><activate>bob@home.example</activate></query>"),
            "bad-request",
        ),
        ("set", format!("<query xmlns='{ns}' sid='s'><activate>{BOB}</activate></query>"), "item-not-found"),
        ("get", "<query xmlns='jabber:iq:roster'/>".to_owned(), "service-unavailable"),
    ] {
        let answer = ask(&mut alice, kind, element(&payload)).await;
        assert_eq!(condition(&answer), expected, "{payload}");
    }
    alice.send(&element(&format!("<message xmlns='jabber:client' to='{PROXY}'/>"))).await.unwrap();
    assert_eq!(condition(&next(&mut alice).await), "service-unavailable");
}

#[tokio::test]
async fn one_who_names_no_destination_has_its_time() {
    let server = limited(|limits| limits.proxy_handshake = SHORT).await;
    let mut silent = TcpStream::connect(server.proxy_addr()).await.unwrap();
    silent.write_all(&[5, 1]).await.unwrap();
    let start = Instant::now();
    ends(&mut silent).await;
    assert!(start.elapsed() >= SHORT / 2);
    // One who is quick enough gets in, and then this limit is over.
    let mut quick = connect(&server).await;
    assert!(tokio::time::timeout(2 * SHORT, quick.read_u8()).await.is_err());
}

#[tokio::test]
async fn one_who_waits_for_a_partner_has_its_time() {
    let server = limited(|limits| limits.proxy_partner = SHORT).await;
    let mut alice = login(&server, ALICE).await;
    ends(&mut connect(&server).await).await;
    // With a partner it is over.
    let (mut one, mut other) = (connect(&server).await, connect(&server).await);
    tokio::time::sleep(2 * SHORT).await;
    assert!(is_granted(&ask_to_activate(&mut alice).await));
    pass(&mut one, &mut other).await;
}

#[tokio::test]
async fn two_who_are_never_joined_have_their_time() {
    let limits = |limits: &mut Limits| {
        limits.proxy_activation = SHORT;
        // Who loses a partner is alone again, with the rest of that time.
        limits.proxy_partner = 3 * SHORT;
    };
    let server = limited(limits).await;
    let mut alice = login(&server, ALICE).await;
    let (mut one, mut other) = (connect(&server).await, connect(&server).await);
    ends(&mut one).await;
    ends(&mut other).await;
    assert_eq!(condition(&ask_to_activate(&mut alice).await), "item-not-found");
    let (mut one, mut other) = (connect(&server).await, connect(&server).await);
    assert!(is_granted(&ask_to_activate(&mut alice).await));
    tokio::time::sleep(2 * SHORT).await;
    pass(&mut one, &mut other).await;
}

#[tokio::test]
async fn two_who_say_nothing_are_parted() {
    let server = limited(|limits| limits.proxy_idle = 3 * SHORT).await;
    let mut alice = login(&server, ALICE).await;
    let (mut one, mut other) = joined(&server, &mut alice).await;
    for _ in 0..4 {
        tokio::time::sleep(SHORT).await;
        pass(&mut one, &mut other).await;
    }
    ends(&mut one).await;
    ends(&mut other).await;
}

#[tokio::test]
async fn connections_are_counted() {
    let server = limited(|limits| limits.proxy_connections = 2).await;
    let (one, _other) = (connect(&server).await, connect(&server).await);
    let another = destination("another", &jid(ALICE), &jid(BOB));
    assert!(try_connect(&server, another.clone()).await.is_none());
    drop(one);
    connect_when_there_is_room(&server, another).await;
}

#[tokio::test]
async fn one_way_may_end_before_the_other() {
    let server = server().await;
    let mut alice = login(&server, ALICE).await;
    let (mut one, mut other) = joined(&server, &mut alice).await;
    one.shutdown().await.unwrap();
    ends(&mut other).await;
    pass(&mut other, &mut one).await;
    drop(other);
    ends(&mut one).await;
}

#[tokio::test]
async fn nothing_is_left_after_the_server() {
    let server = server().await;
    let mut alice = login(&server, ALICE).await;
    let (mut one, _other) = joined(&server, &mut alice).await;
    let address = server.proxy_addr();
    drop(alice);
    guard(server.shutdown()).await;
    ends(&mut one).await;
    let gone = async { while TcpStream::connect(address).await.is_ok() {} };
    guard(gone).await;
}

#[tokio::test]
async fn it_listens_on_loopback() {
    let elsewhere = config().with_proxy_address("192.0.2.1:1080".parse().unwrap());
    let error = Server::bind(elsewhere).await.err().unwrap();
    assert!(error.is(&rules::NOT_LOOPBACK), "{error}");
}

#[tokio::test]
async fn a_host_that_is_no_proxy_is_none() {
    let server = server().await;
    let asking = Driver::spawn(login(&server, ALICE).await, None);
    let error = guard(proxy(&asking, &Jid::new("home.example").unwrap())).await.unwrap_err();
    assert!(error.is(&s5b::NO_PROXY), "{error}");
}
