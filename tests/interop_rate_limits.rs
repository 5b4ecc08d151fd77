//! Prosody and ejabberd with the limits of their stock configurations, which let a client send 10 kB and 3,000 octets a
//! second; and Prosody that dies in the middle and comes back.
//!
//! What a client sends beyond that is left unread, so whatever it asks waits behind what it has sent: a window that ignores
//! it runs into the time-outs. The transfers take minutes by the nature of the matter, and run side by side.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;
#[path = "common/network.rs"]
mod network;

use std::time::{Duration, Instant};

use countersign::xmpp::driver::{Driver, E2eStream, Handle};
use countersign::xmpp::session::rules;
use rand::RngExt as _;
use sha2::{Digest, Sha256};

use network::certificates::Authority;
use network::servers::{Ports, Server, Setup};
use network::tunnels::{account, call, guard, listen, log_in};

const DOMAIN: &str = "verona.example";
const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];
const ALICE: &str = "alice@verona.example/laptop";
const BOB: &str = "bob@verona.example/tablet";

/// After which a transfer that hangs fails.
const GUARD: Duration = Duration::from_secs(480);

fn prosody() -> bool {
    common::peer_or_skip("Prosody", common::is_installed("prosody") && common::is_installed("prosodyctl"))
}

fn ejabberd() -> bool {
    common::peer_or_skip("ejabberd", common::is_installed("ejabberdctl") && common::is_installed("erl"))
}

/// A tunnel between the two accounts, and the connections it lies on.
async fn tunnel(server: &Server, authority: &Authority) -> ([Handle; 2], [E2eStream; 2]) {
    let alice = log_in(server, authority, account(ALICE, ACCOUNTS[0].1)).await.unwrap();
    let bob = log_in(server, authority, account(BOB, ACCOUNTS[1].1)).await.unwrap();
    let (alice, bob) = (Driver::spawn(alice, None), listen(bob));
    let (called, taken) = guard(async { tokio::join!(call(&alice, bob.own_jid()), bob.accept()) }).await;
    ([alice, bob], [called.unwrap(), taken.unwrap()])
}

/// Sends random octets one way and compares their hash; gives what it took.
async fn transfer(server: &Server, authority: &Authority, octets: usize) -> Duration {
    let (handles, [mut alice, mut bob]) = tunnel(server, authority).await;
    let mut data = vec![0; octets];
    rand::rng().fill(&mut data[..]);
    let start = Instant::now();
    let speak = async {
        alice.write_bytes(&data).await.unwrap();
        alice.finish().await.unwrap();
    };
    let listen = async {
        let (mut hash, mut count) = (Sha256::new(), 0);
        while let Some(octets) = bob.read_bytes().await.unwrap() {
            count += octets.len();
            hash.update(&octets);
        }
        (hash.finalize(), count)
    };
    let ((), (hash, count)) =
        tokio::time::timeout(GUARD, async { tokio::join!(speak, listen) }).await.expect("the transfer hangs");
    assert_eq!(count, octets);
    assert_eq!(hash, Sha256::digest(&data));
    let took = start.elapsed();
    println!(
        "{octets} octets in {:.1} s: {:.0} a second",
        took.as_secs_f64(),
        octets as f64 / took.as_secs_f64()
    );
    // Neither connection was closed by the server.
    assert!(handles.iter().all(|handle| !handle.has_ended()));
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_through_prosody_at_ten_kilobytes_a_second() {
    if !prosody() {
        return;
    }
    let authority = Authority::new();
    let server = Server::prosody(Setup { limited: true, ..Setup::new(DOMAIN, &ACCOUNTS, &authority) });
    let took = transfer(&server, &authority, 1024 * 1024).await;
    // Were it faster, the limit would not be on.
    assert!(took > Duration::from_secs(90), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kibibytes_through_ejabberd_at_three_kilobytes_a_second() {
    if !ejabberd() {
        return;
    }
    let authority = Authority::new();
    let server = Server::ejabberd(Setup { limited: true, ..Setup::new(DOMAIN, &ACCOUNTS, &authority) });
    let took = transfer(&server, &authority, 100 * 1024).await;
    assert!(took > Duration::from_secs(25), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back() {
    if !prosody() {
        return;
    }
    let authority = Authority::new();
    let ports = Ports::free();
    let setup = || Setup { ports, ..Setup::new(DOMAIN, &ACCOUNTS, &authority) };
    let mut server = Server::prosody(setup());
    let (_handles, [mut alice, mut bob]) = tunnel(&server, &authority).await;
    // In the middle of a transfer.
    let data = vec![7; 8 * 1024 * 1024];
    let write = async {
        let error = alice.write_bytes(&data).await.err();
        (error, alice.recv().await)
    };
    let read = async {
        let mut count = 0;
        loop {
            match bob.read_bytes().await {
                Ok(Some(octets)) => count += octets.len(),
                other => return (count, other),
            }
            if count > 64 * 1024 {
                server.kill();
            }
        }
    };
    let ((_, last), (count, end)) = guard(async { tokio::join!(write, read) }).await;
    assert!(count < data.len());
    let error = end.unwrap_err();
    assert!(error.is(&rules::TRANSPORT_LOST), "{error}");
    let failed = |error: &countersign::Error| error.is(&rules::TRANSPORT_LOST);
    assert!(matches!(&last, Some(countersign::xmpp::Event::Failed(error)) if failed(error)), "{last:?}");
    drop(server);
    // The same ports; what was before the end does not disturb what comes after it.
    let server = Server::prosody(setup());
    let (_handles, [alice, bob]) = tunnel(&server, &authority).await;
    network::tunnels::exchange(alice, bob, 10_000).await;
}
