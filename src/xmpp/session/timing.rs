//! Time: what is overdue, who is still there, when keys are old.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::xmpp::jingle::{Action, Jingle};

use super::{Phase, Request, Session, rules};

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
        let overdue = self.requests.values().find(|(request, due)| *due <= self.now && self.counts(*request));
        match overdue {
            // Blocks may be held back by a slow reader; a peer that is alive answers a ping.
            Some((Request::Data, _)) if self.verified => self.ping(),
            Some(_) => return self.fail(Error::new(&rules::NO_ANSWER)),
            None if self.keepalive().is_some_and(|due| due <= self.now) => self.ping(),
            None => {}
        }
        if self.may_send() && later(self.rekeyed, self.limits.rekey_interval) <= self.now {
            self.update_keys();
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
        answers.chain(self.due()).chain(self.keepalive()).chain(rekey).chain(self.sockets_due()).min()
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
        if self.verified {
            self.deadline = self.deadline.map(|_| later(self.now, self.limits.reply));
        }
    }

    /// Whether an answer that does not come counts now: while a ping is on the way only its own does.
    fn counts(&self, request: Request) -> bool {
        request != Request::Data || !self.has_asked(Request::Ping)
    }

    fn has_asked(&self, wanted: Request) -> bool {
        self.requests.values().any(|(request, _)| *request == wanted)
    }

    /// The deadline, unless blocks, or a ping in their stead, are on the way whose own answers are waited for.
    fn due(&self) -> Option<Instant> {
        let pinging = self.socket().is_some() && self.has_asked(Request::Ping);
        let waiting = pinging || self.has_asked(Request::Data);
        self.deadline.filter(|_| !(self.verified && waiting))
    }

    /// When a silent peer is asked whether it is still there.
    fn keepalive(&self) -> Option<Instant> {
        let idle = self.verified && self.requests.is_empty() && matches!(self.phase, Phase::Connected(_));
        idle.then(|| later(self.heard_at, self.limits.keepalive))
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
