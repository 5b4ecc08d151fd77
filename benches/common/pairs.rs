//! What the benches of tunnels and of sessions share: pairs of bare rustls connections, and the memory of any pairs.

use std::hint::black_box;
use std::io::Read;

use countersign::tls::certificate::{Config, Identity};
use rustls::{ClientConnection, ServerConnection};

/// Pairs kept at a time to see what one takes.
const KEPT: usize = 500;

/// A fresh identity and its settings.
pub(crate) fn config() -> Config {
    Config::new(Identity::generate().expect("keys can be made")).expect("the settings are good")
}

/// Both ends of a rustls connection after the handshake.
pub(crate) fn bare(config: &Config) -> (ClientConnection, ServerConnection) {
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

/// Prints by what the resident set grows for [`KEPT`] idle pairs, C heap included.
pub(crate) fn per_pair<T>(name: &str, make: impl Fn() -> T) {
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
pub(crate) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kibibytes| kibibytes * 1024)
}

fn feed<T>(
    mut flight: &[u8],
    mut take: impl FnMut(&mut dyn Read) -> std::io::Result<Result<T, rustls::Error>>,
) {
    while !flight.is_empty() {
        take(&mut flight).expect("a slice can be read").expect("nobody edits the flight");
    }
}
