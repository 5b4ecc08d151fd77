//! Sessions over SOCKS5 bytestreams between two drivers, on loopback sockets.

use std::net::SocketAddr;

use countersign::error::ErrorKind;
use countersign::xmpp::driver::{Driver, E2eStream, HANDSHAKES_MAX, Listener, rules};
use countersign::xmpp::s5b::{Route, Socks5};
use countersign::xmpp::server::Server;
use countersign::xmpp::{Event, FullJid, Gate, ResponderConfig, session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::e2e::{ALICE, BOB, Pair, Setup, client_endpoint};
use crate::support::*;

/// An address of this machine, where nobody listens: who offers it may connect to this machine.
async fn dead_end() -> SocketAddr {
    Listener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Both drivers; Bob's sessions take sockets.
async fn pair(server: &Server, setup: &Setup, listener: Listener, bob: Socks5) -> Pair {
    let mut honest = setup.gate(BOB).unwrap();
    let gate: Box<dyn Gate> = Box::new(move |peer: &FullJid| {
        let mut acceptance = honest.admit(peer)?;
        acceptance.config = ResponderConfig::with_socks5(acceptance.config, bob.clone());
        Some(acceptance)
    });
    Pair {
        alice: Driver::spawn(login(server, ALICE).await, None),
        bob: Driver::spawn_with_sockets(login(server, BOB).await, Some(gate), listener),
    }
}

async fn connected(pair: &Pair, setup: &Setup, alice: Socks5) -> (E2eStream, E2eStream) {
    let config = setup.initiator(pair.alice.own_jid(), BOB).with_socks5(alice);
    let connect = pair.alice.connect(config, client_endpoint());
    let (alice, bob) = guard(async { tokio::join!(connect, pair.bob.accept()) }).await;
    (alice.unwrap(), bob.unwrap())
}

/// A session over a direct connection to Bob.
async fn direct(server: &Server) -> (Pair, SocketAddr, E2eStream, E2eStream) {
    let setup = Setup::default();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pair = pair(server, &setup, listener, Socks5::new().with_direct([address])).await;
    let (alice, bob) = connected(&pair, &setup, Socks5::new().with_direct([dead_end().await])).await;
    (pair, address, alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_pass_beside_the_server() {
    const OCTETS: usize = 3_000_000;
    let server = server().await;
    let (pair, _, mut alice, mut bob) = direct(&server).await;
    assert_eq!((alice.route(), bob.route()), (&Route::Direct, &Route::Direct));
    let routed = server.statistics().octets_routed;
    let octets = (0..OCTETS).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let read = async |stream: &mut E2eStream| {
        let mut read = Vec::new();
        while read.len() < OCTETS {
            read.extend(stream.read_bytes().await.unwrap().unwrap());
        }
        read
    };
    let there = async { tokio::join!(alice.write_bytes(&octets), read(&mut bob)) };
    let (written, arrived) = guard(there).await;
    written.unwrap();
    assert!(arrived == octets);
    let back = async { tokio::join!(bob.write_bytes(&octets), read(&mut alice)) };
    let (written, arrived) = guard(back).await;
    written.unwrap();
    assert!(arrived == octets);
    assert!(server.statistics().octets_routed - routed < 10_000);
    assert!(alice.statistics().await.unwrap().octets_sent > OCTETS as u64);
    let (finished, closed) = guard(async { tokio::join!(alice.finish(), bob.recv()) }).await;
    finished.unwrap();
    assert!(matches!(closed, Some(Event::Closed)));
    drop(bob);
    guard(async { tokio::join!(pair.alice.finish(), pair.bob.finish()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_it_goes_on_in_band() {
    let (server, setup) = (server().await, Setup::default());
    let bob = Socks5::new().with_direct([dead_end().await]);
    let pair = pair(&server, &setup, Listener::none(), bob).await;
    let (mut alice, mut bob) = connected(&pair, &setup, Socks5::new().with_direct([dead_end().await])).await;
    assert_eq!((alice.route(), bob.route()), (&Route::InBand, &Route::InBand));
    alice.send_message("hi").await.unwrap();
    assert!(matches!(guard(bob.recv()).await, Some(Event::Stanza(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_listener_are_turned_away() {
    let (server, setup) = (server().await, Setup::default());
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pair = pair(&server, &setup, listener, Socks5::new().with_direct([address])).await;
    // One asks for what is not here.
    let mut stranger = TcpStream::connect(address).await.unwrap();
    let request = [&[5, 1, 0, 5, 1, 0, 3, 40][..], &[b'a'; 40], &[0, 0]].concat();
    stranger.write_all(&request).await.unwrap();
    let mut heard = Vec::new();
    guard(stranger.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard[..4], [5, 0, 5, 2]);
    // One speaks something else.
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1").await.unwrap();
    let _ = guard(stranger.read_to_end(&mut heard)).await;
    // Some say nothing; there is a place left for Alice.
    let mut silent = Vec::new();
    for _ in 1..HANDSHAKES_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let (alice, _bob) = connected(&pair, &setup, Socks5::new().with_direct([dead_end().await])).await;
    assert_eq!(alice.route(), &Route::Direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_stops_the_writer() {
    let server = server().await;
    let (_pair, _, mut alice, mut bob) = direct(&server).await;
    let chunk = vec![7; 256 * 1024];
    let mut written = 0;
    let too_much = async {
        loop {
            alice.write_bytes(&chunk).await.unwrap();
            written += chunk.len();
        }
    };
    // Both sides' buffers, and those of the operating system.
    let waits = tokio::time::timeout(std::time::Duration::from_secs(3), too_much).await;
    assert!(waits.is_err() && written < 64 * 1024 * 1024, "{written}");
    let mut read = 0;
    while read < written {
        read += guard(bob.read_bytes()).await.unwrap().unwrap().len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_given_up_ends_at_both_ends() {
    let server = server().await;
    let (pair, address, alice, mut bob) = direct(&server).await;
    alice.abort().await;
    match guard(bob.recv()).await {
        Some(Event::Failed(error)) => assert!(error.is(&session::rules::CUT_SHORT), "{error}"),
        other => panic!("{other:?}"),
    }
    drop(bob);
    guard(async { tokio::join!(pair.alice.finish(), pair.bob.finish()) }).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_to_the_server_ends_it_too() {
    let server = server().await;
    let (_pair, _, mut alice, mut bob) = direct(&server).await;
    drop(server);
    for stream in [&mut alice, &mut bob] {
        match guard(stream.recv()).await {
            Some(Event::Failed(error)) => assert_eq!(error.kind(), ErrorKind::Truncated, "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_refused() {
    let error = Listener::bind("192.0.2.1:1").await.unwrap_err();
    assert!(error.is(&rules::CANNOT_LISTEN), "{error}");
    assert_eq!(Listener::none().local_addr(), None);
}
