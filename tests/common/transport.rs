//! A handshake that is a mechanism, and its tunnel, over a blocking byte stream.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use countersign::Result;
use countersign::mechanism::Step;
use countersign::tls::{TlsMechanism, Tunnel, Verified, rules};

use crate::common::PATIENCE;

/// A listener on a free port of the loopback address.
pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    listener().1
}

/// Waits for the peer to come.
///
/// # Panics
/// When it does not.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a socket");
    let start = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a socket");
            return patient(stream);
        }
        assert!(start.elapsed() < PATIENCE, "the peer does not come");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Connects, as soon as the peer listens.
///
/// # Panics
/// When it does not.
pub fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            return patient(stream);
        }
        assert!(start.elapsed() < PATIENCE, "the peer does not listen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// A tunnel and what carries it.
#[derive(Debug)]
pub struct Open<S> {
    pub tunnel: Tunnel<Verified>,
    stream: S,
}

/// Runs the handshake.
pub fn open<S: Read + Write>(mut stream: S, mut mechanism: Box<dyn TlsMechanism>) -> Result<Open<S>> {
    let mut input = Vec::new();
    loop {
        match mechanism.step(&input) {
            Ok(Step::Continue(reply)) => {
                send(&mut stream, &reply);
                input = some(&mut stream);
                if input.is_empty() {
                    return Err((&rules::TRUNCATED).into());
                }
            }
            Ok(Step::Finished { reply, outcome }) => {
                send(&mut stream, &reply.unwrap_or_default());
                return mechanism.into_tunnel(outcome).map(|tunnel| Open { tunnel, stream });
            }
            Err(error) => {
                send(&mut stream, &mechanism.failure_reply().unwrap_or_default());
                return Err(error);
            }
        }
    }
}

fn send(stream: &mut impl Write, octets: &[u8]) {
    // A peer that has gone away is noticed by the next read.
    let _ = stream.write_all(octets).and_then(|()| stream.flush());
}

/// What comes next; nothing at the end.
fn some(stream: &mut impl Read) -> Vec<u8> {
    let mut chunk = vec![0; 16 * 1024];
    let taken = stream.read(&mut chunk).unwrap_or(0);
    chunk.truncate(taken);
    chunk
}

impl<S: Read + Write> Open<S> {
    pub fn say(&mut self, text: &str) {
        self.tunnel.write(text.as_bytes()).expect("an open tunnel");
        self.flush();
    }

    pub fn flush(&mut self) {
        let mut flight = Vec::new();
        self.tunnel.transmit(&mut flight);
        send(&mut self.stream, &flight);
    }

    /// The next line; `None` when the peer ends first.
    pub fn hear(&mut self) -> Option<String> {
        let mut arrived = Vec::new();
        while !arrived.ends_with(b"\n") {
            let input = some(&mut self.stream);
            if input.is_empty() || self.tunnel.receive(&input).is_err() {
                return None;
            }
            self.flush();
            self.tunnel.read(&mut arrived);
        }
        Some(String::from_utf8_lossy(&arrived).trim_end().to_owned())
    }

    /// Says that we close, and waits until the peer has done the same or has gone.
    pub fn close(mut self) -> Result<()> {
        self.tunnel.close();
        self.flush();
        loop {
            let input = some(&mut self.stream);
            if input.is_empty() || self.tunnel.peer_has_closed() {
                return self.tunnel.transport_ended();
            }
            self.tunnel.receive(&input)?;
        }
    }
}
