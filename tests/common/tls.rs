//! Both ends of a handshake that is a mechanism, joined.
#![allow(dead_code, reason = "each test file takes what it needs")]

use countersign::error::Result;
use countersign::mechanism::{Outcome, Step};
use countersign::tls::{TlsMechanism, Tunnel, Verified};

/// What came of it on either side.
pub struct Ends {
    pub client: Result<Tunnel<Verified>>,
    pub server: Result<Tunnel<Verified>>,
}

/// One side: its mechanism, and how that has ended.
struct Party {
    mechanism: Box<dyn TlsMechanism>,
    end: Option<Result<Outcome>>,
}

impl Party {
    fn new(mechanism: Box<dyn TlsMechanism>) -> Self {
        Self { mechanism, end: None }
    }

    /// What it sends; an alert, when it fails.
    fn take(&mut self, flight: &[u8]) -> Vec<u8> {
        if self.end.is_some() {
            return Vec::new();
        }
        match self.mechanism.step(flight) {
            Ok(Step::Continue(reply)) => reply,
            Ok(Step::Finished { reply, outcome }) => {
                self.end = Some(Ok(outcome));
                reply.unwrap_or_default()
            }
            Err(error) => {
                self.end = Some(Err(error));
                self.mechanism.failure_reply().unwrap_or_default()
            }
        }
    }

    fn end(self) -> Result<Tunnel<Verified>> {
        self.mechanism.into_tunnel(self.end.expect("an end")?)
    }
}

/// Runs a handshake.
pub fn run(client: Box<dyn TlsMechanism>, server: Box<dyn TlsMechanism>) -> Ends {
    run_edited(client, server, |_, _| {})
}

/// Runs a handshake in which somebody edits the flights, which are counted from 1.
pub fn run_edited(
    client: Box<dyn TlsMechanism>,
    server: Box<dyn TlsMechanism>,
    mut edit: impl FnMut(usize, &mut Vec<u8>),
) -> Ends {
    let (mut client, mut server) = (Party::new(client), Party::new(server));
    let mut flight = client.take(&[]);
    for n in 1.. {
        edit(n, &mut flight);
        let receiver = if n % 2 == 1 { &mut server } else { &mut client };
        flight = if flight.is_empty() { Vec::new() } else { receiver.take(&flight) };
        if flight.is_empty() {
            break;
        }
    }
    Ends { client: client.end(), server: server.end() }
}
