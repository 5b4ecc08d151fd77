//! The bytestream: TLS in blocks, and what comes out of it.

use minidom::Element;

use crate::error::{Error, Result};
use crate::xmpp::ibb;

use super::secured::Tools;
use super::timing::later;
use super::{Carrier, Connection, Event, Leaving, PEER_WINDOW_MAX, Phase, Request, Session, rules};

impl Session {
    /// A request on the bytestream of this session.
    pub(super) fn bytestream(&mut self, id: &str, payload: &Element) {
        match (payload.name(), std::mem::replace(&mut self.phase, Phase::Ended)) {
            ("open", Phase::Accepting(connection)) => match connection.check_open(payload) {
                Ok(()) => {
                    self.acknowledge(id);
                    self.granted(Request::Accept);
                    self.round_trip();
                    self.phase = Phase::Connected(connection);
                }
                Err(error) => {
                    // The initiator may try again with the agreed size.
                    self.phase = Phase::Accepting(connection);
                    self.refuse(id, ibb::refusal(&error));
                }
            },
            ("data", Phase::Connected(connection)) => {
                self.phase = Phase::Connected(connection);
                self.data(id, payload);
            }
            ("close", Phase::Connected(connection)) => {
                self.acknowledge(id);
                let complete = connection.secured.is_complete();
                self.phase = Phase::Connected(connection);
                if complete {
                    self.phase = Phase::Leaving(Leaving::AwaitingTerminate);
                } else {
                    // TLS would say the same: the transport has ended without close_notify.
                    self.fail_without_stream(
                        Error::new(&rules::CUT_SHORT).about("the bytestream was closed"),
                    );
                }
            }
            ("close", Phase::Leaving(Leaving::AwaitingClose)) => {
                self.acknowledge(id);
                self.phase = Phase::Leaving(Leaving::AwaitingTerminate);
            }
            (_, other) => {
                self.phase = other;
                self.refuse(id, ibb::refusal(&Error::new(&ibb::rules::UNKNOWN_SID)));
            }
        }
    }

    pub(super) fn data(&mut self, id: &str, payload: &Element) {
        self.round_trip();
        let Phase::Connected(connection) = &mut self.phase else { return };
        let Carrier::InBand(bytes) = &mut connection.carrier else { return };
        let octets = match bytes.receive(payload) {
            Ok(octets) => octets,
            Err(error) => {
                self.refuse(id, ibb::refusal(&error));
                return self.fail(error);
            }
        };
        let result = self.take_in(&octets);
        if self.unread > self.limits.unread {
            self.held.push_back(id.to_owned());
        } else {
            self.acknowledge(id);
        }
        let (held, most) = (self.held.len(), PEER_WINDOW_MAX);
        match result {
            Err(error) => self.fail(error),
            Ok(()) if held > most => {
                self.fail(Error::exceeds(&rules::TOO_MUCH_UNREAD, held as u64, most as u64));
            }
            Ok(()) => {}
        }
    }

    /// Takes octets of the bytestream, whatever carried them, and tells what came out.
    pub(super) fn take_in(&mut self, octets: &[u8]) -> Result<()> {
        let Phase::Connected(connection) = &mut self.phase else { return Ok(()) };
        self.statistics.octets_received += octets.len() as u64;
        let sasl_messages = &mut self.statistics.sasl_messages;
        let mut tools = Tools { rng: &mut *self.rng, sasl_messages, now: self.now };
        let mut events = Vec::new();
        let result = connection.secured.receive(octets, &mut tools, &mut events);
        for (event, weight) in events {
            if matches!(event, Event::Established(_)) {
                self.verified = true;
                self.deadline = None;
                // What led to the tunnel was granted, whether the answers come or not.
                self.requests.retain(|_, (of, _)| !of.is_of_set_up());
                self.rekeyed = self.now;
            }
            self.used = true;
            self.tell(event, weight);
        }
        result
    }

    /// Moves octets from TLS to what carries them, and goes on to the end when there is nothing left to move.
    pub(super) fn pump(&mut self) {
        let Phase::Connected(connection) = &mut self.phase else { return };
        let mut blocks = Vec::new();
        match &mut connection.carrier {
            Carrier::InBand(bytes) => {
                let mut ciphertext = Vec::new();
                connection.secured.transmit(&mut ciphertext);
                bytes.write(&ciphertext);
                while let Some(block) = bytes.poll_data(self.now) {
                    self.statistics.octets_sent += block.octets as u64;
                    blocks.push(block);
                }
            }
            Carrier::Socks5(socket) => {
                let before = socket.out().len();
                connection.secured.transmit(socket.out());
                let octets = socket.out().len() - before;
                self.statistics.octets_sent += octets as u64;
                if octets > 0 {
                    self.asked = true;
                    socket.sent(self.now);
                }
            }
        }
        let leave = connection.may_leave();
        for block in blocks {
            self.request(Request::Data(block.seq), block.element);
        }
        if leave {
            self.leave();
        }
    }

    /// Both ends of the tunnel are closed, and everything is delivered.
    pub(super) fn leave(&mut self) {
        let Phase::Connected(connection) = std::mem::replace(&mut self.phase, Phase::Ended) else { return };
        self.acknowledge_held();
        self.deadline = Some(later(self.now, self.limits.reply));
        match connection.carrier {
            Carrier::InBand(bytes) if connection.closer => {
                self.phase = Phase::Leaving(Leaving::Closing);
                self.request(Request::Close, bytes.close());
            }
            Carrier::InBand(_) => self.phase = Phase::Leaving(Leaving::AwaitingClose),
            Carrier::Socks5(socket) => {
                self.sockets.push_back(socket.close());
                if self.ending.is_some() {
                    self.end(Event::Closed);
                } else if connection.closer {
                    self.finish();
                } else {
                    self.phase = Phase::Leaving(Leaving::AwaitingTerminate);
                }
            }
        }
    }
}

impl Connection {
    /// Whether the tunnel is closed on both ends and all that we sent has arrived. Over a socket close_notify of the peer,
    /// which follows the end of our stream, shows it; in band the last answers show that it has our close_notify too.
    pub(super) fn may_leave(&self) -> bool {
        let arrived = match &self.carrier {
            Carrier::InBand(bytes) => bytes.backlog() == 0 && bytes.unacknowledged() == 0,
            Carrier::Socks5(_) => true,
        };
        self.secured.is_complete() && arrived
    }

    /// Octets that wait to be sent.
    pub(super) fn backlog(&self) -> usize {
        match &self.carrier {
            Carrier::InBand(bytes) => bytes.backlog(),
            Carrier::Socks5(socket) => socket.backlog(),
        }
    }

    fn check_open(&self, payload: &Element) -> Result<()> {
        match &self.carrier {
            Carrier::InBand(bytes) => bytes.check_open(payload),
            Carrier::Socks5(_) => Err(Error::new(&ibb::rules::UNKNOWN_SID)),
        }
    }
}
