//! The bytestream: TLS in blocks, and what comes out of it.

use minidom::Element;

use crate::error::Error;
use crate::xmpp::ibb;

use super::secured::Tools;
use super::timing::later;
use super::{Connection, Event, Leaving, PEER_WINDOW_MAX, Phase, Request, Session, rules};

impl Session {
    /// A request on the bytestream of this session.
    pub(super) fn bytestream(&mut self, id: &str, payload: &Element) {
        match (payload.name(), std::mem::replace(&mut self.phase, Phase::Ended)) {
            ("open", Phase::Accepting(connection)) => match connection.bytes.check_open(payload) {
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
        let octets = match connection.bytes.receive(payload) {
            Ok(octets) => octets,
            Err(error) => {
                self.refuse(id, ibb::refusal(&error));
                return self.fail(error);
            }
        };
        self.statistics.octets_received += octets.len() as u64;
        let sasl_messages = &mut self.statistics.sasl_messages;
        let mut tools = Tools { rng: &mut *self.rng, sasl_messages, now: self.now };
        let mut events = Vec::new();
        let result = connection.secured.receive(&octets, &mut tools, &mut events);
        for (event, weight) in events {
            if matches!(event, Event::Established(_)) {
                self.verified = true;
                self.deadline = None;
                self.rekeyed = self.now;
            }
            self.tell(event, weight);
        }
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

    /// Moves octets from TLS into blocks, and goes on to the end when there is nothing left to move.
    pub(super) fn pump(&mut self) {
        let Phase::Connected(connection) = &mut self.phase else { return };
        let mut ciphertext = Vec::new();
        connection.secured.transmit(&mut ciphertext);
        connection.bytes.write(&ciphertext);
        let mut blocks = Vec::new();
        while let Some(block) = connection.bytes.poll_data(self.now) {
            self.statistics.octets_sent += block.octets as u64;
            blocks.push(block);
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
        if connection.closer {
            self.phase = Phase::Leaving(Leaving::Closing);
            self.request(Request::Close, connection.bytes.close());
        } else {
            self.phase = Phase::Leaving(Leaving::AwaitingClose);
        }
    }
}

impl Connection {
    /// Whether the tunnel is closed on both ends and all our blocks have arrived: the peer has our close_notify too.
    pub(super) fn may_leave(&self) -> bool {
        self.secured.is_complete() && self.bytes.backlog() == 0 && self.bytes.unacknowledged() == 0
    }
}
