//! Time: what is overdue, who is still there, when keys are old.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::xmpp::jingle::{Action, Jingle};

use super::{ABSENCE, Carrier, PEER_WINDOW_MAX, Phase, Request, Session, rules};

impl Session {
    /// Lets time pass: fails what is overdue, updates keys.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.has_ended() || self.tick_sockets() {
            return;
        }
        if self.due().is_some_and(|due| due <= self.now) {
            if self.verified && self.socket().is_some() {
                // What was sent may wait for a slow reader; a peer that is alive answers a ping.
                return self.ping();
            }
            let rule = if self.verified { &rules::NO_ANSWER } else { &rules::HANDSHAKE_TIMEOUT };
            return self.fail(Error::new(rule));
        }
        if self.absent.is_some_and(|due| due <= self.now) {
            return self.fail(Error::new(&rules::PEER_ABSENT).about("presence"));
        }
        let overdue = self.requests.values().find(|(request, due)| *due <= self.now && self.counts(*request));
        match overdue {
            // Blocks may be held back by a slow reader; a peer that is alive answers a ping.
            Some((Request::Data(_), _)) if self.verified => {
                self.ping();
                self.probe();
            }
            Some(_) => return self.fail(Error::new(&rules::NO_ANSWER)),
            None if self.keepalive().is_some_and(|due| due <= self.now) => self.ping(),
            None => {}
        }
        if self.may_send() && later(self.rekeyed, self.limits.rekey_interval) <= self.now {
            self.update_keys();
        }
        if std::mem::take(&mut self.used) {
            self.used_at = self.now;
        }
        if self.rests_until().is_some_and(|due| due <= self.now) {
            return self.close();
        }
        self.pump();
    }

    /// When [`Session::tick`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.has_ended() {
            return None;
        }
        let answers =
            self.requests.values().filter(|(request, _)| self.counts(*request)).map(|(_, due)| *due);
        let rekey = self.may_send().then(|| later(self.rekeyed, self.limits.rekey_interval));
        let due = [self.due(), self.absent, self.keepalive(), rekey, self.rests_until()];
        answers.chain(due.into_iter().flatten()).chain(self.sockets_due()).min()
    }

    /// The server says that the peer has gone. Presence can be wrong, so a peer with a tunnel is asked.
    pub(in crate::xmpp) fn peer_gone(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.has_ended() || self.absent.is_some() {
            return;
        }
        self.absent = Some(later(self.now, ABSENCE));
        if self.verified && matches!(self.phase, Phase::Connected(_)) {
            self.ping();
        }
    }

    /// A stanza of ours came in time.
    pub(super) fn heard(&mut self, now: Instant) {
        self.statistics.stanzas_received += 1;
        self.heard_octets(now);
    }

    /// The same of octets over a socket.
    pub(super) fn heard_octets(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.heard_at = self.now;
        self.absent = None;
        if self.verified {
            self.deadline = self.deadline.map(|_| later(self.now, self.limits.reply));
        }
    }

    /// Whether an answer that does not come counts now: while a ping is on the way only its own does.
    fn counts(&self, request: Request) -> bool {
        !matches!(request, Request::Data(_)) || !self.has_asked(|of| of == Request::Ping)
    }

    fn has_asked(&self, wanted: impl Fn(Request) -> bool) -> bool {
        self.requests.values().any(|(request, _)| wanted(*request))
    }

    /// The deadline, unless blocks, or a ping in their stead, are on the way whose own answers are waited for.
    fn due(&self) -> Option<Instant> {
        let pinging = self.socket().is_some() && self.has_asked(|of| of == Request::Ping);
        let waiting = pinging || self.has_asked(|of| matches!(of, Request::Data(_)));
        self.deadline.filter(|_| !(self.verified && waiting))
    }

    /// When a session that nobody uses is closed.
    fn rests_until(&self) -> Option<Instant> {
        let idle = self.limits.idle.filter(|_| self.may_send())?;
        Some(later(self.used_at, idle))
    }

    /// When a silent peer is asked whether it is still there.
    fn keepalive(&self) -> Option<Instant> {
        let idle = self.verified && self.requests.is_empty() && matches!(self.phase, Phase::Connected(_));
        idle.then(|| later(self.heard_at, self.limits.keepalive))
    }

    /// Finds out whether a block, or only its answer, was lost.
    fn probe(&mut self) {
        let Phase::Connected(connection) = &mut self.phase else { return };
        // A slow reader need not be asked more often than it may leave unanswered.
        let Carrier::InBand(bytes) = &mut connection.carrier else { return };
        if bytes.unacknowledged() < PEER_WINDOW_MAX {
            let block = bytes.probe(self.now);
            self.statistics.octets_sent += block.octets as u64;
            self.request(Request::Data(block.seq), block.element);
        }
    }

    fn ping(&mut self) {
        self.request(Request::Ping, Jingle::new(Action::SessionInfo, &self.sid).to_element());
    }
}

/// A point in time; beyond what the clock can tell, a century later.
pub(super) fn later(from: Instant, time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(time).unwrap_or_else(|| from + CENTURY)
}
