//! Who is connected, and where a stanza goes (RFC 6120 section 10, RFC 6121 section 8).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jid::{BareJid, FullJid, Jid};
use minidom::Element;
use tokio::sync::{Notify, mpsc};

use super::attack::{Attacker, Report};
use super::proxy::Proxy;
use super::replies::{self, Refusal};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::ns;
use crate::xmpp::stream::to_octets;

/// Most stanzas that wait for one slow client.
pub const QUEUE_STANZAS: usize = 256;

/// Most octets that wait for one slow client.
pub const QUEUE_OCTETS: usize = 1024 * 1024;

/// Octets after which no further stanza is written together with those before it.
const SENT_AT_ONCE: usize = 64 * 1024;

/// Most resources of one account at a time.
pub const RESOURCES_MAX: usize = 16;

/// Most addresses of directed presence that are remembered of a resource; those beyond are not told when it goes.
pub const DIRECTED_MAX: usize = 64;

/// Where the octets for one client wait until its connection has sent them.
#[derive(Clone)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    octets_max: usize,
    overflow: Arc<Notify>,
}

/// The connection's end of [`Outgoing`].
pub(super) struct Waiting {
    queue: mpsc::Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    overflow: Arc<Notify>,
}

/// A bounded queue towards one client.
pub(super) fn queue(stanzas_max: usize, octets_max: usize) -> (Outgoing, Waiting) {
    let (sender, receiver) = mpsc::channel(stanzas_max);
    let (waiting, overflow) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    (
        Outgoing { queue: sender, waiting: waiting.clone(), octets_max, overflow: overflow.clone() },
        Waiting { queue: receiver, waiting, overflow },
    )
}

impl Outgoing {
    /// Queues, or marks the client as too slow: a stanza lost in between would break an end-to-end session in
    /// ways that are harder to understand than a closed stream.
    fn push(&self, stanza: Vec<u8>) {
        let length = stanza.len();
        let waiting = self.waiting.fetch_add(length, Ordering::Relaxed).saturating_add(length);
        if waiting > self.octets_max || self.queue.try_send(stanza).is_err() {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.overflow.notify_one();
        }
    }
}

impl Waiting {
    /// The next octets to send: a stanza, and those that wait behind it while they are few. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let mut octets = self.queue.recv().await?;
        while octets.len() < SENT_AT_ONCE
            && let Ok(mut stanza) = self.queue.try_recv()
        {
            octets.append(&mut stanza);
        }
        self.waiting.fetch_sub(octets.len(), Ordering::Relaxed);
        Some(octets)
    }

    /// Notified when the client has been too slow.
    pub(super) fn overflow(&self) -> Arc<Notify> {
        self.overflow.clone()
    }
}

/// What the server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections accepted.
    pub connections: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins.
    pub logins_refused: u64,
    /// Stanzas delivered to clients.
    pub stanzas_routed: u64,
    /// Their length in octets.
    pub octets_routed: u64,
    /// Octets that passed the proxy.
    pub octets_relayed: u64,
}

/// The counters behind [`Statistics`].
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) logins: AtomicU64,
    pub(super) logins_refused: AtomicU64,
    stanzas_routed: AtomicU64,
    octets_routed: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// The table of connected clients, shared by all connections.
pub(super) struct Router {
    domain: BareJid,
    proxy: Option<Arc<Proxy>>,
    seats: Mutex<HashMap<BareJid, Vec<Seat>>>,
    attacker: Option<Mutex<Box<dyn Attacker>>>,
    pub(super) counters: Counters,
}

struct Seat {
    jid: FullJid,
    outgoing: Outgoing,
    available: bool,
    /// Whom it has sent presence directly, and so has to tell when it goes (RFC 6121 section 4.6.3).
    directed: BTreeSet<Jid>,
}

/// Why a resource could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    Taken,
    TooMany,
}

impl Router {
    pub(super) fn new(
        domain: BareJid,
        proxy: Option<Arc<Proxy>>,
        attacker: Option<Box<dyn Attacker>>,
    ) -> Self {
        Self {
            domain,
            proxy,
            seats: Mutex::default(),
            attacker: attacker.map(Mutex::new),
            counters: Counters::default(),
        }
    }

    pub(super) fn domain(&self) -> &BareJid {
        &self.domain
    }

    pub(super) fn statistics(&self) -> Statistics {
        let counters = &self.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            connections: of(&counters.connections),
            logins: of(&counters.logins),
            logins_refused: of(&counters.logins_refused),
            stanzas_routed: of(&counters.stanzas_routed),
            octets_routed: of(&counters.octets_routed),
            octets_relayed: self.proxy.as_ref().map_or(0, |proxy| proxy.relayed()),
        }
    }

    pub(super) fn attack_report(&self) -> Option<Report> {
        self.attacker.as_ref().map(|attacker| lock(attacker).report())
    }

    /// Takes a seat for a resource; the seat is given back with [`Router::leave`].
    pub(super) fn join(&self, jid: &FullJid, outgoing: Outgoing) -> Result<(), NoSeat> {
        let mut seats = lock(&self.seats);
        let seats = seats.entry(jid.to_bare()).or_default();
        if seats.iter().any(|seat| seat.jid == *jid) {
            return Err(NoSeat::Taken);
        }
        if seats.len() >= RESOURCES_MAX {
            return Err(NoSeat::TooMany);
        }
        seats.push(Seat { jid: jid.clone(), outgoing, available: false, directed: BTreeSet::new() });
        Ok(())
    }

    /// Gives the seat back and tells those who have seen the client: the account's other resources if it was available,
    /// and whom it has sent presence directly.
    pub(super) fn leave(&self, jid: &FullJid) {
        let seat = {
            let mut seats = lock(&self.seats);
            let Some(of_account) = seats.get_mut(&jid.to_bare()) else { return };
            let Some(place) = of_account.iter().position(|seat| seat.jid == *jid) else { return };
            let seat = of_account.remove(place);
            if of_account.is_empty() {
                seats.remove(&jid.to_bare());
            }
            seat
        };
        let mut gone = Element::bare("presence", ns::CLIENT);
        set_attribute(&mut gone, "type", "unavailable");
        for to in seat.directed {
            set_attribute(&mut gone, "from", jid.as_str());
            set_attribute(&mut gone, "to", to.as_str());
            match to.try_into_full() {
                Ok(to) => self.deliver(&to, &gone),
                Err(to) => self.available(&to).iter().for_each(|to| self.deliver(to, &gone)),
            }
        }
        if seat.available {
            self.broadcast_presence(jid, gone);
        }
    }

    /// Remembers, or forgets, whom a client has sent presence directly.
    fn note_directed(&self, sender: &FullJid, to: &Jid, presence: &Element) {
        let mut seats = lock(&self.seats);
        let of_account = seats.get_mut(&sender.to_bare()).map(Vec::as_mut_slice).unwrap_or_default();
        let Some(seat) = of_account.iter_mut().find(|seat| seat.jid == *sender) else { return };
        match presence.attr("type") {
            None if seat.directed.len() < DIRECTED_MAX => drop(seat.directed.insert(to.clone())),
            Some("unavailable") => drop(seat.directed.remove(to)),
            _ => {}
        }
    }

    /// Routes a stanza that `sender` has sent; `false` when it claims to come from somebody else (RFC 6120
    /// section 8.1.2.1).
    pub(super) fn accept(&self, sender: &FullJid, mut stanza: Element) -> bool {
        let bare = sender.to_bare();
        if stanza.attr("from").is_some_and(|claimed| claimed != sender.as_str() && claimed != bare.as_str()) {
            return false;
        }
        set_attribute(&mut stanza, "from", sender.as_str());
        if stanza.name() == "iq" && !replies::iq_is_well_formed(&stanza) {
            self.answer(sender, replies::refuse(&stanza, Refusal::BadRequest));
            return true;
        }
        let Some(to) = stanza.attr("to") else {
            self.to_own_account(sender, stanza);
            return true;
        };
        match Jid::new(to) {
            Err(_) => self.answer(sender, replies::refuse(&stanza, Refusal::JidMalformed)),
            Ok(to) if self.proxy_at(&to).is_some() => {
                let answer = match stanza.name() {
                    "iq" => self.proxy_at(&to).and_then(|proxy| proxy.answer(sender, &stanza)),
                    _ => replies::refuse(&stanza, Refusal::ServiceUnavailable),
                };
                self.answer(sender, answer);
            }
            Ok(to) if to.domain() != self.domain.domain() => {
                self.answer(sender, replies::refuse(&stanza, Refusal::RemoteServerNotFound));
            }
            Ok(to) => {
                if stanza.name() == "presence" {
                    self.note_directed(sender, &to, &stanza);
                }
                self.to_local(sender, &to, stanza);
            }
        }
        true
    }

    fn proxy_at(&self, to: &Jid) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|proxy| *to == *proxy.jid())
    }

    fn to_own_account(&self, sender: &FullJid, stanza: Element) {
        match stanza.name() {
            "iq" => self.answer(sender, replies::serve(&stanza, false, None)),
            "presence" if matches!(stanza.attr("type"), None | Some("unavailable")) => {
                self.set_available(sender, stanza.attr("type").is_none());
                self.broadcast_presence(sender, stanza);
            }
            "message" => self.to_account(sender, &sender.to_bare(), stanza),
            _ => {}
        }
    }

    fn to_local(&self, sender: &FullJid, to: &Jid, stanza: Element) {
        match (to.try_as_full(), stanza.name()) {
            (Ok(to), _) => self.to_client(sender, to, stanza),
            (Err(_), "iq") => {
                let proxy = self.proxy.as_ref().map(|proxy| proxy.jid());
                self.answer(sender, replies::serve(&stanza, to.node().is_none(), proxy));
            }
            (Err(_), _) if to.node().is_none() => {
                self.answer(sender, replies::refuse(&stanza, Refusal::ServiceUnavailable));
            }
            (Err(to), _) => self.to_account(sender, to, stanza),
        }
    }

    /// To one resource: the way that end-to-end sessions take, so here the attacker sits.
    fn to_client(&self, sender: &FullJid, to: &FullJid, stanza: Element) {
        if !self.is_present(to) {
            self.answer(sender, replies::refuse(&stanza, Refusal::ServiceUnavailable));
            return;
        }
        let Some(attacker) = &self.attacker else {
            self.deliver(to, &stanza);
            return;
        };
        // Held until everything is queued, so that the attacker's stanzas keep their order.
        let mut attacker = lock(attacker);
        for stanza in attacker.intercept(stanza) {
            if let Some(to) = stanza.attr("to").and_then(|to| FullJid::new(to).ok()) {
                self.deliver(&to, &stanza);
            }
        }
    }

    /// To a bare JID: messages go to every available resource, presence likewise.
    fn to_account(&self, sender: &FullJid, to: &BareJid, stanza: Element) {
        let targets = self.available(to);
        if targets.is_empty() {
            self.answer(sender, replies::refuse(&stanza, Refusal::ServiceUnavailable));
        }
        for target in targets {
            self.deliver(&target, &stanza);
        }
    }

    fn broadcast_presence(&self, sender: &FullJid, mut presence: Element) {
        set_attribute(&mut presence, "from", sender.as_str());
        for target in self.available(&sender.to_bare()) {
            set_attribute(&mut presence, "to", target.as_str());
            self.deliver(&target, &presence);
        }
    }

    /// The server's own word to a client.
    pub(super) fn answer(&self, to: &FullJid, stanza: Option<Element>) {
        if let Some(stanza) = stanza {
            self.deliver(to, &stanza);
        }
    }

    fn deliver(&self, to: &FullJid, stanza: &Element) {
        // What came through the parser can be written; what an attacker made may not be.
        let Ok(octets) = to_octets(stanza) else { return };
        let Some(outgoing) = self.outgoing(to) else { return };
        Counters::add(&self.counters.stanzas_routed, 1);
        Counters::add(&self.counters.octets_routed, octets.len() as u64);
        outgoing.push(octets);
    }

    fn is_present(&self, jid: &FullJid) -> bool {
        self.outgoing(jid).is_some()
    }

    fn outgoing(&self, jid: &FullJid) -> Option<Outgoing> {
        let seats = lock(&self.seats);
        let seat = seats.get(&jid.to_bare())?.iter().find(|seat| seat.jid == *jid)?;
        Some(seat.outgoing.clone())
    }

    fn available(&self, account: &BareJid) -> Vec<FullJid> {
        let seats = lock(&self.seats);
        let seats = seats.get(account).map(Vec::as_slice).unwrap_or_default();
        seats.iter().filter(|seat| seat.available).map(|seat| seat.jid.clone()).collect()
    }

    fn set_available(&self, jid: &FullJid, available: bool) {
        let mut seats = lock(&self.seats);
        let seats = seats.get_mut(&jid.to_bare()).map(Vec::as_mut_slice).unwrap_or_default();
        if let Some(seat) = seats.iter_mut().find(|seat| seat.jid == *jid) {
            seat.available = available;
        }
    }
}

/// The tables stay whole when a holder panics: every change is one call.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(jid: &str) -> FullJid {
        FullJid::new(jid).unwrap()
    }

    fn router() -> Router {
        Router::new(BareJid::new("home.example").unwrap(), None, None)
    }

    fn join(router: &Router, jid: &str) -> Waiting {
        let (outgoing, waiting) = queue(QUEUE_STANZAS, QUEUE_OCTETS);
        router.join(&full(jid), outgoing).unwrap();
        waiting
    }

    fn received(waiting: &mut Waiting) -> Option<Element> {
        let octets = waiting.queue.try_recv().ok()?;
        Some(std::str::from_utf8(&octets).unwrap().parse().unwrap())
    }

    fn condition(stanza: &Element) -> String {
        let error = stanza.children().find(|child| child.name() == "error").unwrap();
        error.children().next().unwrap().name().to_owned()
    }

    fn stanza(attributes: &str) -> Element {
        format!("<iq xmlns='jabber:client' {attributes}><q xmlns='u'/></iq>").parse().unwrap()
    }

    #[test]
    fn a_stanza_reaches_its_resource_with_the_true_sender() {
        let router = router();
        let (_a, mut b) = (join(&router, "a@home.example/1"), join(&router, "b@home.example/2"));
        assert!(router.accept(&full("a@home.example/1"), stanza("type='get' id='i' to='b@home.example/2'")));
        assert_eq!(received(&mut b).unwrap().attr("from"), Some("a@home.example/1"));
        assert_eq!(router.statistics().stanzas_routed, 1);
    }

    #[test]
    fn a_false_sender_is_noticed() {
        let router = router();
        let _a = join(&router, "a@home.example/1");
        let forged = stanza("type='get' id='i' from='b@home.example/2' to='b@home.example/2'");
        assert!(!router.accept(&full("a@home.example/1"), forged));
    }

    #[test]
    fn absent_and_foreign_and_malformed_addresses_are_refused() {
        let router = router();
        let mut a = join(&router, "a@home.example/1");
        for (to, expected) in [
            ("b@home.example/2", "service-unavailable"),
            ("b@home.example", "service-unavailable"),
            ("b@other.example/2", "remote-server-not-found"),
            ("b@@", "jid-malformed"),
            ("home.example", "service-unavailable"),
        ] {
            assert!(
                router.accept(&full("a@home.example/1"), stanza(&format!("type='get' id='i' to='{to}'")))
            );
            assert_eq!(condition(&received(&mut a).unwrap()), expected, "{to}");
        }
    }

    #[test]
    fn a_resource_is_given_once_until_it_leaves() {
        let router = router();
        let _a = join(&router, "a@home.example/1");
        let again = |router: &Router| router.join(&full("a@home.example/1"), queue(1, 1).0);
        assert_eq!(again(&router), Err(NoSeat::Taken));
        router.leave(&full("a@home.example/1"));
        assert_eq!(again(&router), Ok(()));
    }

    #[test]
    fn who_was_sent_presence_directly_is_told_of_the_end() {
        let router = router();
        let mut bobs = join(&router, "b@home.example/1");
        let presence = |to: &str, attributes: &str| {
            format!("<presence xmlns='jabber:client' to='{to}' {attributes}/>").parse::<Element>().unwrap()
        };
        for (to, attributes, told) in [
            ("b@home.example/1", "", 1),
            ("b@home.example/1", "type='unavailable'", 0),
            ("c@home.example/1", "", 0),
        ] {
            let _a = join(&router, "a@home.example/1");
            assert!(router.accept(&full("a@home.example/1"), presence(to, "")));
            if !attributes.is_empty() {
                assert!(router.accept(&full("a@home.example/1"), presence(to, attributes)));
            }
            while received(&mut bobs).is_some() {}
            router.leave(&full("a@home.example/1"));
            let words = std::iter::from_fn(|| received(&mut bobs)).collect::<Vec<_>>();
            assert_eq!(words.len(), told, "{to} {attributes}");
            let is_end = |word: &Element| word.attr("type") == Some("unavailable");
            assert!(words.iter().all(is_end), "{words:?}");
        }
    }

    #[test]
    fn addresses_of_directed_presence_are_counted() {
        let router = router();
        let (mut first, mut last) = (join(&router, "b@home.example/1"), join(&router, "b@home.example/2"));
        let _a = join(&router, "a@home.example/1");
        let others = (1..DIRECTED_MAX).map(|n| format!("n{n}@home.example/1"));
        let all = std::iter::once("b@home.example/1".to_owned()).chain(others);
        for to in all.chain(["b@home.example/2".to_owned()]) {
            let presence = format!("<presence xmlns='jabber:client' to='{to}'/>").parse().unwrap();
            assert!(router.accept(&full("a@home.example/1"), presence));
        }
        router.leave(&full("a@home.example/1"));
        let heard = |waiting: &mut Waiting| std::iter::from_fn(|| received(waiting)).count();
        assert_eq!((heard(&mut first), heard(&mut last)), (2, 1));
    }

    #[test]
    fn resources_are_counted() {
        let router = router();
        let mut seats = Vec::new();
        for n in 0..RESOURCES_MAX {
            seats.push(join(&router, &format!("a@home.example/{n}")));
        }
        assert_eq!(router.join(&full("a@home.example/x"), queue(1, 1).0), Err(NoSeat::TooMany));
    }

    #[tokio::test]
    async fn a_slow_client_overflows_by_stanzas_and_by_octets() {
        for (stanzas_max, octets_max, fits) in [(2, 100, 2), (9, 20, 2), (9, 29, 2), (9, 30, 3)] {
            let (outgoing, waiting) = queue(stanzas_max, octets_max);
            for _ in 0..fits {
                outgoing.push(vec![0; 10]);
            }
            let overflow = waiting.overflow();
            assert!(tokio::time::timeout(std::time::Duration::ZERO, overflow.notified()).await.is_err());
            outgoing.push(vec![0; 10]);
            overflow.notified().await;
        }
    }

    #[test]
    fn messages_to_an_account_reach_its_available_resources() {
        let router = router();
        let mut a = join(&router, "a@home.example/1");
        let (mut b1, mut b2) = (join(&router, "b@home.example/1"), join(&router, "b@home.example/2"));
        let presence = Element::bare("presence", ns::CLIENT);
        assert!(router.accept(&full("b@home.example/1"), presence));
        assert!(received(&mut b1).is_some(), "own presence comes back");
        let mut message = Element::bare("message", ns::CLIENT);
        set_attribute(&mut message, "to", "b@home.example");
        assert!(router.accept(&full("a@home.example/1"), message));
        assert!(received(&mut b1).is_some());
        assert!(received(&mut b2).is_none());
        assert!(received(&mut a).is_none());
    }
}
