//! One tunnel's throughput over loopback, as an application has it: over a socket (SOCKS5 bytestreams) and in stanzas, beside
//! bare rustls over a socket.
//!
//! Everything runs in one process: both ends, and the demo server that the stanzas pass. Each row is measured in each
//! round, so that what else the machine does meets all of them.

#[path = "common/home.rs"]
mod home;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use countersign::tls::certificate::{Config as Tls, Identity, RECORD_MAX};
use countersign::xmpp::driver::{Driver, E2eStream, Listener};
use countersign::xmpp::s5b::{Route, Socks5};
use countersign::xmpp::{Limits, ibb};
use rustls::{ClientConnection, ServerConnection, Stream};

const MEBIBYTE: usize = 1024 * 1024;
const OVER_SOCKETS: usize = 128 * MEBIBYTE;
const IN_STANZAS: usize = 8 * MEBIBYTE;
const CHUNK: usize = 64 * 1024;
const ROUNDS: usize = 25;

/// Among so many rounds one has a transfer in stanzas, which takes much longer.
const STANZAS_EVERY: usize = 5;

fn main() {
    let tls = Tls::with_record_size(Identity::generate().expect("keys can be made"), RECORD_MAX)
        .expect("good settings");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let over_socket = || rate(OVER_SOCKETS, runtime.block_on(tunnel(&tls, true, OVER_SOCKETS)));
    if std::env::args().nth(1).as_deref() == Some("profile") {
        return (0..ROUNDS).for_each(|_| println!("{:.1} MiB/s", over_socket()));
    }
    let [mut of_bare, mut of_tunnel, mut of_stanzas, mut ratios] = [const { vec![] }; 4];
    for round in 0..=ROUNDS {
        let before = rate(OVER_SOCKETS, bare(&tls));
        let between = over_socket();
        let after = rate(OVER_SOCKETS, bare(&tls));
        // The first round warms up.
        if round == 0 {
            continue;
        }
        of_bare.extend([before, after]);
        of_tunnel.push(between);
        // Of the neighbours on both sides, so that a slow moment of the machine meets both.
        ratios.push(2.0 * between / (before + after));
        if round % STANZAS_EVERY == 0 {
            of_stanzas.push(rate(IN_STANZAS, runtime.block_on(tunnel(&tls, false, IN_STANZAS))));
        }
    }
    println!("{:<34} {:>8} {:>8} {:>8}", format!("{ROUNDS} rounds"), "lowest", "median", "highest");
    for (name, rates) in [
        ("bare rustls over a socket, MiB/s", &mut of_bare),
        ("tunnel over a socket, MiB/s", &mut of_tunnel),
        ("tunnel in stanzas, MiB/s", &mut of_stanzas),
    ] {
        let [lowest, median, highest] = spread(rates);
        println!("{name:<34} {lowest:>8.1} {median:>8.1} {highest:>8.1}");
    }
    let [lowest, median, highest] = spread(&mut ratios);
    println!("{:<34} {lowest:>8.2} {median:>8.2} {highest:>8.2}", "tunnel over bare rustls, same round");
    let medians = spread(&mut of_tunnel)[1] / spread(&mut of_bare)[1];
    println!("{:<34} {:>8} {medians:>8.2}", "tunnel over bare rustls, medians", "");
}

/// The lowest, the median and the highest.
fn spread(rates: &mut [f64]) -> [f64; 3] {
    rates.sort_by(f64::total_cmp);
    [rates[0], rates[rates.len() / 2], rates[rates.len() - 1]]
}

fn rate(octets: usize, time: Duration) -> f64 {
    (octets / MEBIBYTE) as f64 / time.as_secs_f64()
}

/// From the first octet written to the last one read, with a thread for each end.
fn bare(tls: &Tls) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let (server, client) = (tls.rustls_server(), tls.rustls_client());
    let reader = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut connection = ServerConnection::new(server).expect("good settings");
        let mut stream = Stream::new(&mut connection, &mut socket);
        let (mut chunk, mut left) = (vec![0; CHUNK], OVER_SOCKETS + 1);
        while left > 0 {
            let read = stream.read(&mut chunk).expect("octets");
            assert_ne!(read, 0, "the end came early");
            left -= read;
        }
    });
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    socket.set_nodelay(true).expect("an option");
    let name = "countersign.invalid".try_into().expect("a name");
    let mut connection = ClientConnection::new(client, name).expect("good settings");
    let mut stream = Stream::new(&mut connection, &mut socket);
    // One octet, so that the handshake is over.
    stream.write_all(&[0]).expect("a reader");
    let (chunk, begin) = (vec![7; CHUNK], Instant::now());
    for _ in 0..OVER_SOCKETS / CHUNK {
        stream.write_all(&chunk).expect("a reader");
    }
    reader.join().expect("the reader");
    begin.elapsed()
}

/// The same through a tunnel between two drivers.
async fn tunnel(tls: &Tls, socket: bool, octets: usize) -> Duration {
    let server = home::server(1).await;
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let offer = Socks5::new().with_direct(listener.local_addr());
    let (alice, bob) = (home::client(&server, "alice0").await, home::client(&server, "bob0").await);
    let limits = Limits::default().with_block(ibb::BLOCK_MAX);
    let gate = {
        let limits = limits.clone();
        home::gate(bob.jid(), tls, move |config| {
            config.with_limits(limits.clone()).with_socks5(offer.clone())
        })
    };
    let bob = Driver::spawn_with_sockets(bob, Some(gate), listener);
    let alice = Driver::spawn(alice, None);
    let [called, taken] = home::connect([&alice, &bob], tls, |config| {
        let config = config.with_limits(limits.clone());
        if socket { config.with_socks5(dead_end()) } else { config }
    })
    .await;
    assert_eq!(called.route() == &Route::Direct, socket);
    let begin = Instant::now();
    let writing = tokio::spawn(write(called, octets));
    // A task as well: the thread that waits here is none of the runtime's.
    let reading = tokio::spawn(read(taken, octets));
    let stream = reading.await.expect("the reader");
    let time = begin.elapsed();
    writing.await.expect("the writer");
    drop(stream);
    tokio::join!(alice.finish(), bob.finish());
    server.shutdown().await;
    time
}

/// An offer that allows connections to this machine, where nobody listens.
fn dead_end() -> Socks5 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    Socks5::new().with_direct([listener.local_addr().expect("its address")])
}

async fn write(mut stream: E2eStream, octets: usize) {
    let chunk = vec![7; CHUNK];
    for _ in 0..octets / CHUNK {
        stream.write_bytes(&chunk).await.expect("a reader");
    }
    stream.finish().await.expect("a proper end");
}

async fn read(mut stream: E2eStream, octets: usize) -> E2eStream {
    let mut left = octets;
    while left > 0 {
        left -= stream.read_bytes().await.expect("octets").expect("more octets").len();
    }
    stream
}
