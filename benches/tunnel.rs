//! What the tunnel costs over bare rustls with the same settings: handshakes, octets, memory.

use std::hint::black_box;
use std::io::{Read, Write};

use countersign::tls::Endpoint;
use countersign::tls::certificate::{Config, Identity, RustlsEndpoint};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustls::{ClientConnection, ServerConnection};

const MEBIBYTE: usize = 1024 * 1024;

/// Tunnels kept at a time to see what one takes.
const KEPT: usize = 500;

criterion_group!(benches, handshake, throughput, memory);
criterion_main!(benches);

fn handshake(criterion: &mut Criterion) {
    let config = config();
    let mut group = criterion.benchmark_group("handshake, both sides");
    group.bench_function("countersign", |bencher| bencher.iter(|| endpoints(&config)));
    group.bench_function("bare rustls", |bencher| bencher.iter(|| bare(&config)));
    group.finish();
    criterion.bench_function("fresh identity and its settings", |bencher| bencher.iter(self::config));
}

fn throughput(criterion: &mut Criterion) {
    let config = config();
    let data = vec![7; MEBIBYTE];
    let mut group = criterion.benchmark_group("one mebibyte, sealed and opened");
    group.throughput(Throughput::Bytes(MEBIBYTE as u64));
    group.bench_function("countersign", |bencher| {
        let (mut client, mut server) = endpoints(&config);
        let (mut flight, mut arrived) = (Vec::new(), Vec::new());
        bencher.iter(|| {
            client.write(&data).expect("the tunnel is open");
            client.transmit(&mut flight);
            server.receive(&flight).expect("nobody edits the flight");
            server.read(&mut arrived);
            assert_eq!(arrived.len(), MEBIBYTE);
            flight.clear();
            arrived.clear();
        });
    });
    group.bench_function("bare rustls", |bencher| {
        let (mut client, mut server) = bare(&config);
        client.set_buffer_limit(None);
        let (mut flight, mut arrived) = (Vec::new(), Vec::new());
        bencher.iter(|| {
            client.writer().write_all(&data).expect("the connection is open");
            while client.wants_write() {
                client.write_tls(&mut flight).expect("a vector takes everything");
            }
            let mut rest = &flight[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).expect("a slice can be read");
                let state = server.process_new_packets().expect("nobody edits the flight");
                let start = arrived.len();
                arrived.resize(start + state.plaintext_bytes_to_read(), 0);
                server.reader().read_exact(&mut arrived[start..]).expect("so much waits");
            }
            assert_eq!(arrived.len(), MEBIBYTE);
            flight.clear();
            arrived.clear();
        });
    });
    group.finish();
}

/// Prints rather than measures time: the resident set grows by what [`KEPT`] idle pairs take, C heap included.
fn memory(_: &mut Criterion) {
    let config = config();
    // The first ones also fill caches that all share.
    drop((endpoints(&config), bare(&config)));
    per_pair("countersign", || endpoints(&config));
    per_pair("bare rustls", || bare(&config));
}

fn per_pair<T>(name: &str, make: impl Fn() -> T) {
    let Some(before) = resident() else {
        println!("memory of idle tunnels: unknown on this system");
        return;
    };
    let kept: Vec<T> = (0..KEPT).map(|_| make()).collect();
    let after = resident().unwrap_or(before);
    black_box(&kept);
    println!("idle, {name}: {:.1} KiB for each end", (after - before) as f64 / 1024.0 / (2 * KEPT) as f64);
    // Given back to the allocator, the memory would hide what the next measurement takes.
    std::mem::forget(kept);
}

/// Octets of resident memory, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kibibytes| kibibytes * 1024)
}

fn config() -> Config {
    Config::new(Identity::generate().expect("keys can be made")).expect("the settings are good")
}

fn endpoints(config: &Config) -> (RustlsEndpoint, RustlsEndpoint) {
    let mut client = RustlsEndpoint::client(config).expect("the settings are good");
    let mut server = RustlsEndpoint::server(config).expect("the settings are good");
    let mut flight = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.transmit(&mut flight);
        server.receive(&flight).expect("nobody edits the flight");
        flight.clear();
        server.transmit(&mut flight);
        client.receive(&flight).expect("nobody edits the flight");
        flight.clear();
    }
    (client, server)
}

fn bare(config: &Config) -> (ClientConnection, ServerConnection) {
    let name = "countersign.invalid".try_into().expect("a name");
    let mut client = ClientConnection::new(config.rustls_client(), name).expect("the settings are good");
    let mut server = ServerConnection::new(config.rustls_server()).expect("the settings are good");
    let mut flight = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut flight).expect("a vector takes everything");
        }
        feed(&flight, |rest| server.read_tls(rest).map(|_| server.process_new_packets()));
        flight.clear();
        while server.wants_write() {
            server.write_tls(&mut flight).expect("a vector takes everything");
        }
        feed(&flight, |rest| client.read_tls(rest).map(|_| client.process_new_packets()));
        flight.clear();
    }
    (client, server)
}

fn feed<T>(
    mut flight: &[u8],
    mut take: impl FnMut(&mut dyn Read) -> std::io::Result<Result<T, rustls::Error>>,
) {
    while !flight.is_empty() {
        take(&mut flight).expect("a slice can be read").expect("nobody edits the flight");
    }
}
