//! What the tunnel costs over bare rustls with the same settings: handshakes, octets, memory.

#[path = "common/pairs.rs"]
mod pairs;

use std::io::{Read, Write};

use countersign::tls::Endpoint;
use countersign::tls::certificate::{Config, RustlsEndpoint};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pairs::{bare, config, per_pair};

const MEBIBYTE: usize = 1024 * 1024;

criterion_group!(benches, handshake, throughput, memory);
criterion_main!(benches);

fn handshake(criterion: &mut Criterion) {
    let config = config();
    let mut group = criterion.benchmark_group("handshake, both sides");
    group.bench_function("countersign", |bencher| bencher.iter(|| endpoints(&config)));
    group.bench_function("bare rustls", |bencher| bencher.iter(|| bare(&config)));
    group.finish();
    criterion.bench_function("fresh identity and its settings", |bencher| bencher.iter(pairs::config));
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

/// Prints rather than measures time.
fn memory(_: &mut Criterion) {
    let config = config();
    // The first ones also fill caches that all share.
    drop((endpoints(&config), bare(&config)));
    per_pair("countersign", || endpoints(&config));
    per_pair("bare rustls", || bare(&config));
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
