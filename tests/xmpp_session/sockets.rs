//! Sessions over SOCKS5 bytestreams: two sessions, and sockets that a test makes up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use countersign::error::{ErrorKind, Rule};
use countersign::mechanism::Side;
use countersign::tls::Endpoint;
use countersign::xmpp::s5b::{
    ACTIVATION_TIMEOUT, CANDIDATES_MAX, DIAL_TIMEOUT, DIALS_MAX, Route, Socks5, StreamHost, destination,
    rules,
};
use countersign::xmpp::session::{LAST_WORDS, NUDGE_AFTER, SocketId, SocketRequest, rules as session};
use countersign::xmpp::{Element, Event, Jid, Limits, Session, disco, jingle, ns};

use crate::kit::*;

pub const ALICES: &str = "192.0.2.1:5086";
pub const BOBS: &str = "192.0.2.2:5086";
pub const PROXY: &str = "proxy.example";
const S5B: &str = "urn:xmpp:jingle:transports:s5b:1";

/// One end of a connection.
type End = (Who, SocketId);

/// `From`, with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Alice,
    Bob,
}

/// What happens to those who connect to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    Refused,
    /// Nobody ever answers.
    Silent,
}

type Fates = dyn Fn(Who, &str) -> Fate;

/// The two sessions, and what lies between them besides the servers.
struct Net {
    pair: Pair,
    fate: Box<Fates>,
    links: BTreeMap<End, End>,
    dialling_ends: BTreeSet<End>,
    /// Octets on the way to an end.
    pipes: BTreeMap<End, Vec<u8>>,
    /// Ends whose other end is closed.
    hung_up: BTreeSet<End>,
    used: BTreeMap<Who, SocketId>,
    at_proxy: BTreeMap<String, Vec<End>>,
    to_proxy: Rc<RefCell<Vec<(Who, Element)>>>,
    proxy_works: bool,
    /// The proxy passes on only what is followed by something else, as long as the connection is open.
    holds_back: bool,
    held: BTreeMap<End, Vec<u8>>,
    dialled: Vec<(Who, String)>,
    corrupt: Option<Who>,
    carried: BTreeMap<Who, usize>,
}

impl Net {
    fn new(alice: Option<Socks5>, bob: Option<Socks5>) -> Self {
        Self::edited(alice, bob, |_, stanza| vec![stanza])
    }

    fn edited(
        alice: Option<Socks5>,
        bob: Option<Socks5>,
        edit: impl FnMut(From, Element) -> Vec<Element> + 'static,
    ) -> Self {
        Self::with(alice, bob, &Limits::default(), plain, edit)
    }

    fn with(
        alice: Option<Socks5>,
        bob: Option<Socks5>,
        limits: &Limits,
        endpoint: impl Fn(Side) -> Box<dyn Endpoint>,
        mut edit: impl FnMut(From, Element) -> Vec<Element> + 'static,
    ) -> Self {
        let (mut own, mut peer) =
            (alice_config().with_limits(limits.clone()), bob_config().with_limits(limits.clone()));
        let supported = bob.is_some();
        if let Some(offer) = alice {
            own = own.with_socks5(offer);
        }
        if let Some(offer) = bob {
            peer = peer.with_socks5(offer);
        }
        let to_proxy = Rc::new(RefCell::new(vec![]));
        let proxied = to_proxy.clone();
        let pair = Pair::with(own, peer, endpoint).edited(move |sender, mut stanza| {
            if stanza.attr("to") == Some(PROXY) {
                let who = if sender == From::Alice { Who::Alice } else { Who::Bob };
                proxied.borrow_mut().push((who, stanza));
                return vec![];
            }
            if stanza.get_child("query", ns::DISCO_INFO).is_some() && sender == From::Bob && supported {
                stanza.remove_child("query", ns::DISCO_INFO);
                stanza.append_child(disco::answer_with_socks5());
            }
            edit(sender, stanza)
        });
        Self {
            pair,
            fate: Box::new(|_, _| Fate::Accepted),
            links: BTreeMap::new(),
            dialling_ends: BTreeSet::new(),
            pipes: BTreeMap::new(),
            hung_up: BTreeSet::new(),
            used: BTreeMap::new(),
            at_proxy: BTreeMap::new(),
            to_proxy,
            proxy_works: true,
            holds_back: false,
            held: BTreeMap::new(),
            dialled: vec![],
            corrupt: None,
            carried: BTreeMap::new(),
        }
    }

    fn where_(mut self, fate: impl Fn(Who, &str) -> Fate + 'static) -> Self {
        self.fate = Box::new(fate);
        self
    }

    fn session(&mut self, who: Who) -> Option<&mut Session> {
        match who {
            Who::Alice => Some(&mut self.pair.alice),
            Who::Bob => self.pair.bob.as_mut(),
        }
    }

    /// Until nothing moves.
    fn run(&mut self) {
        while self.step() {}
    }

    /// A stanza each way, and whatever sockets carry.
    fn step(&mut self) -> bool {
        let stanzas = self.pair.step();
        self.sockets() | stanzas
    }

    fn sockets(&mut self) -> bool {
        let mut moved = false;
        for who in [Who::Alice, Who::Bob] {
            while let Some(request) = self.session(who).and_then(Session::poll_socket) {
                moved = true;
                self.serve(who, request);
            }
            moved |= self.carry(who);
        }
        let to_proxy = std::mem::take(&mut *self.to_proxy.borrow_mut());
        for (who, stanza) in to_proxy {
            moved = true;
            self.ask_proxy(who, &stanza);
        }
        self.pair.poll_events();
        moved
    }

    fn serve(&mut self, who: Who, request: SocketRequest) {
        let now = self.pair.now;
        match request {
            SocketRequest::Dial(dial) => {
                let host = format!("{}:{}", dial.host, dial.port);
                let fate = (self.fate)(who, &host);
                self.dialled.push((who, host.clone()));
                let other = if who == Who::Alice { Who::Bob } else { Who::Alice };
                let connected = match fate {
                    Fate::Silent => return,
                    Fate::Refused => false,
                    Fate::Accepted if dial.host == PROXY => {
                        let ends = self.at_proxy.entry(dial.destination.as_str().to_owned()).or_default();
                        ends.push((who, dial.id));
                        true
                    }
                    Fate::Accepted => {
                        let id = self.session(other).and_then(|it| it.inbound(&dial.destination, now));
                        if let Some(id) = id {
                            self.dialling_ends.insert((who, dial.id));
                            self.link((who, dial.id), (other, id));
                        }
                        id.is_some()
                    }
                };
                self.session(who).unwrap().dialled(dial.id, connected, now);
            }
            SocketRequest::Use(id) => {
                assert_eq!(self.used.insert(who, id), None, "one connection is used");
            }
            SocketRequest::Close(id, octets) => {
                if let Some(other) = self.links.remove(&(who, id)) {
                    let held = self.held.remove(&other).unwrap_or_default();
                    self.pipes.entry(other).or_default().extend([held, octets].concat());
                    self.hung_up.insert(other);
                }
                self.hung_up.remove(&(who, id));
                self.used.retain(|user, used| (*user, *used) != (who, id));
            }
            _ => panic!("{request:?}"),
        }
    }

    fn link(&mut self, one: End, other: End) {
        self.links.insert(one, other);
        self.links.insert(other, one);
    }

    fn ask_proxy(&mut self, who: Who, stanza: &Element) {
        let query = stanza.get_child("query", ns::BYTESTREAMS).unwrap();
        let (from, to) =
            (stanza.attr("from").unwrap(), query.get_child("activate", ns::BYTESTREAMS).unwrap().text());
        let name = destination(query.attr("sid").unwrap(), &jid(from), &jid(&to));
        let ends = self.at_proxy.get(name.as_str()).map(|ends| ends[..].to_vec()).unwrap_or_default();
        let kind = match ends[..] {
            [one, other] if self.proxy_works => {
                self.link(one, other);
                "result"
            }
            _ => "error",
        };
        let id = stanza.attr("id").unwrap();
        let answer =
            xml(&format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' from='{PROXY}' to='{from}'/>"));
        let now = self.pair.now;
        assert!(self.session(who).unwrap().handle(&answer, now));
    }

    /// Octets from `who`, and to it.
    fn carry(&mut self, who: Who) -> bool {
        let Some(id) = self.used.get(&who).copied() else { return false };
        let (now, end) = (self.pair.now, (who, id));
        let mut moved = false;
        while let Some(mut octets) = self.session(who).and_then(Session::poll_octets) {
            moved = true;
            *self.carried.entry(who).or_default() += octets.len();
            self.session(who).unwrap().octets_written(octets.len());
            if self.corrupt == Some(who) {
                *octets.last_mut().unwrap() ^= 1;
            }
            if let Some(other) = self.links.get(&end) {
                let held = if self.holds_back { self.held.insert(*other, octets) } else { Some(octets) };
                self.pipes.entry(*other).or_default().extend(held.unwrap_or_default());
            }
        }
        let ready = self.session(who).is_some_and(|session| session.is_receiving());
        if ready && let Some(octets) = self.pipes.remove(&end) {
            moved = true;
            self.session(who).unwrap().receive_octets(&octets, now);
        }
        if !self.pipes.contains_key(&end) && self.hung_up.remove(&end) {
            moved = true;
            self.session(who).unwrap().socket_closed(now);
        }
        moved
    }

    fn wait(&mut self, time: Duration) {
        self.pair.wait(time);
        self.run();
    }

    fn established(mut self) -> Self {
        self.run();
        for events in &mut self.pair.events {
            assert!(matches!(events[..], [Event::Established(_)]), "{events:?}");
            events.clear();
        }
        self
    }

    fn routes(&mut self) -> [Option<Route>; 2] {
        [self.pair.alice.route().cloned(), self.pair.bob().route().cloned()]
    }

    /// Both ways, and a proper end by `who`.
    fn talk_and_close(&mut self, who: Who) {
        self.pair.alice.send(message("hi")).unwrap();
        self.pair.bob().send(message("ho")).unwrap();
        self.run();
        self.session(who).unwrap().close();
        self.run();
        for events in &self.pair.events {
            assert!(matches!(events[..], [Event::Stanza(_), Event::Closed]), "{events:?}");
        }
        assert!(self.links.is_empty() && self.used.is_empty(), "{:?}", self.links);
    }

    fn says(&self, what: &str) -> usize {
        self.pair.log.iter().filter(|line| line.contains(what)).count()
    }

    fn failed(&self, who: Who, rule: &'static Rule) {
        match who {
            Who::Alice => self.pair.alice_failed(rule),
            Who::Bob => self.pair.bob_failed(rule),
        }
        assert!(!self.used.contains_key(&who));
    }
}

pub fn direct(address: &str) -> Option<Socks5> {
    Some(Socks5::new().with_direct([address.parse::<SocketAddr>().unwrap()]))
}

/// Dials, and offers nothing.
pub fn dialling() -> Option<Socks5> {
    Some(Socks5::new().with_direct([]))
}

pub fn by_proxy() -> Option<Socks5> {
    Some(Socks5::new().with_proxy(StreamHost::new(Jid::new(PROXY).unwrap(), PROXY, 7777).unwrap()))
}

fn proxy_route() -> Option<Route> {
    Some(Route::Proxy(Jid::new(PROXY).unwrap()))
}

fn replaced(stanza: &Element, from: &str, to: &str) -> Element {
    let text = String::from_utf8(countersign::xmpp::stream::to_octets(stanza).unwrap()).unwrap();
    xml(&text.replace(from, to))
}

/// Edits the first stanza that holds `mark`.
fn editing(
    mark: &'static str,
    from: &'static str,
    to: &'static str,
) -> impl FnMut(From, Element) -> Vec<Element> {
    let mut done = false;
    move |_, stanza| {
        let text = String::from_utf8(countersign::xmpp::stream::to_octets(&stanza).unwrap()).unwrap();
        if done || !text.contains(mark) {
            return vec![stanza];
        }
        done = true;
        assert!(text.contains(from), "{text}");
        vec![replaced(&stanza, from, to)]
    }
}

#[test]
fn a_direct_connection_to_either_side() {
    for (alice, bob, host) in [(direct(ALICES), dialling(), ALICES), (dialling(), direct(BOBS), BOBS)] {
        for closer in [Who::Alice, Who::Bob] {
            let mut net = Net::new(alice.clone(), bob.clone()).established();
            assert_eq!(net.routes(), [const { Some(Route::Direct) }; 2]);
            assert_eq!(net.dialled.iter().map(|(_, host)| &host[..]).collect::<Vec<_>>(), [host]);
            net.talk_and_close(closer);
            assert_eq!(
                (net.says("block-size"), net.says("data 0"), net.says("transport-replace")),
                (0, 0, 0)
            );
            let who = if closer == Who::Alice { ">" } else { "<" };
            assert_eq!(net.pair.reasons(), [format!("{who} success")]);
        }
    }
}

#[test]
fn of_two_connections_of_the_same_priority_the_initiators_is_used() {
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    assert_eq!(net.dialled.len(), 2);
    assert_eq!(net.says("candidate-used"), 2);
    // Alice has dialled Bob, and uses that.
    assert_eq!(net.links.len(), 2, "the other one is closed");
    net.talk_and_close(Who::Alice);
}

#[test]
fn the_higher_priority_is_used() {
    // Of two addresses only the second one, with the lower priority, can be reached by Bob, or by Alice.
    for victim in [Who::Alice, Who::Bob] {
        let two = |first: &str, second: &str| {
            Some(Socks5::new().with_direct([first, second].map(|address| address.parse().unwrap())))
        };
        let mut net = Net::new(two(ALICES, "192.0.2.3:1"), two(BOBS, "192.0.2.4:1"))
            .where_(
                move |who, host| {
                    if who == victim && host.ends_with("6") { Fate::Refused } else { Fate::Accepted }
                },
            )
            .established();
        assert_eq!((net.dialled.len(), net.says("candidate-used")), (3, 2));
        let winner = if victim == Who::Alice { Who::Bob } else { Who::Alice };
        assert!(net.dialling_ends.contains(&(winner, net.used[&winner])));
        net.talk_and_close(Who::Bob);
    }
}

#[test]
fn ends_that_choose_differently_do_not_get_a_tunnel() {
    // A server has made Bob believe that Alice likes her address better.
    let edit = editing("session-initiate", "priority='8323071'", "priority='8323072'");
    let mut net = Net::edited(direct(ALICES), direct(BOBS), edit);
    net.run();
    net.wait(LAST_WORDS);
    net.failed(Who::Alice, &session::CUT_SHORT);
    net.failed(Who::Bob, &session::CUT_SHORT);
}

#[test]
fn what_cannot_win_any_more_is_not_tried() {
    // Alice's dialling takes for ever; Bob's connection has the same priority, and so Alice goes on with what could win.
    let mut net = Net::new(direct(ALICES), direct(BOBS))
        .where_(|who, _| if who == Who::Alice { Fate::Silent } else { Fate::Accepted });
    net.run();
    assert!(net.pair.events[0].is_empty());
    net.wait(DIAL_TIMEOUT);
    let mut net = net.established();
    assert_eq!(net.says("candidate-error"), 1);
    net.talk_and_close(Who::Alice);
    // Bob's could not win: it is given up at once.
    let mut net = Net::new(direct(ALICES), direct(BOBS))
        .where_(|who, _| if who == Who::Bob { Fate::Silent } else { Fate::Accepted })
        .established();
    assert_eq!(net.says("candidate-error"), 1);
    net.talk_and_close(Who::Alice);
}

#[test]
fn a_proxy_of_either_side() {
    for (alice, bob) in [(by_proxy(), dialling()), (dialling(), by_proxy()), (by_proxy(), by_proxy())] {
        let mut net = Net::new(alice, bob).established();
        assert_eq!(net.routes(), [proxy_route(), proxy_route()]);
        assert_eq!(net.says("<activated "), 1);
        net.talk_and_close(Who::Bob);
    }
}

#[test]
fn a_direct_connection_is_better_than_a_proxy() {
    let mut net = Net::new(by_proxy(), direct(BOBS)).established();
    assert_eq!(
        net.routes()[0],
        proxy_route(),
        "Alice shows no address of hers, and dials no address of Bob's"
    );
    let alice = by_proxy().map(|offer| offer.with_direct([]));
    let mut net = Net::new(alice, direct(BOBS)).established();
    assert_eq!(net.routes(), [const { Some(Route::Direct) }; 2]);
    net.talk_and_close(Who::Alice);
}

#[test]
fn without_a_connection_it_goes_on_in_band() {
    for fate in [Fate::Refused, Fate::Silent] {
        let mut net = Net::new(direct(ALICES), direct(BOBS)).where_(move |_, _| fate);
        net.run();
        if fate == Fate::Silent {
            net.wait(DIAL_TIMEOUT - Duration::from_millis(1));
            assert_eq!(net.says("transport-replace"), 0);
            net.wait(Duration::from_millis(1));
        }
        let mut net = net.established();
        assert_eq!((net.says("transport-replace"), net.says("transport-accept")), (1, 1));
        assert_eq!(net.routes(), [const { Some(Route::InBand) }; 2]);
        net.talk_and_close(Who::Alice);
        assert!(net.carried.is_empty());
    }
}

#[test]
fn a_proxy_that_fails_leads_back_in_band() {
    // The peer gets to it; its owner does not, or it does not join them.
    for (alice, bob, owner) in [(by_proxy(), dialling(), Who::Alice), (dialling(), by_proxy(), Who::Bob)] {
        for (fate, works) in [(Fate::Refused, true), (Fate::Silent, true), (Fate::Accepted, false)] {
            let mut net = Net::new(alice.clone(), bob.clone())
                .where_(move |who, _| if who == owner { fate } else { Fate::Accepted });
            net.proxy_works = works;
            net.run();
            if fate == Fate::Silent {
                net.wait(DIAL_TIMEOUT);
            }
            let mut net = net.established();
            assert_eq!((net.says("proxy-error"), net.says("transport-accept")), (1, 1), "{owner:?} {fate:?}");
            net.talk_and_close(owner);
        }
    }
}

#[test]
fn a_proxy_that_never_answers_is_given_up() {
    let mut net = Net::new(by_proxy(), dialling());
    while net.to_proxy.borrow().is_empty() {
        net.pair.step();
        if net.to_proxy.borrow().is_empty() {
            net.sockets();
        }
    }
    net.to_proxy.borrow_mut().clear();
    net.run();
    net.wait(ACTIVATION_TIMEOUT - Duration::from_millis(1));
    assert_eq!(net.says("proxy-error"), 0);
    net.wait(Duration::from_millis(1));
    net.established().talk_and_close(Who::Bob);
}

#[test]
fn what_a_proxy_holds_back_is_followed_by_something() {
    for endpoint in [plain, rustls] {
        let mut net =
            Net::with(by_proxy(), dialling(), &Limits::default(), endpoint, |_, stanza| vec![stanza])
                .established();
        net.holds_back = true;
        net.pair.alice.send(message("hi")).unwrap();
        net.pair.bob().send(message("ho")).unwrap();
        net.run();
        assert!(net.pair.events.iter().all(Vec::is_empty), "held back");
        net.wait(NUDGE_AFTER);
        for events in &mut net.pair.events {
            assert!(matches!(events[..], [Event::Stanza(_)]), "{events:?}");
            events.clear();
        }
        // The end too: of the stream, and of TLS.
        net.pair.bob().send(message("ho")).unwrap();
        net.pair.alice.close();
        for _ in 0..8 {
            net.wait(NUDGE_AFTER);
        }
        assert!(
            matches!(net.pair.events[0][..], [Event::Stanza(_), Event::Closed]),
            "{:?}",
            net.pair.events[0]
        );
        assert!(matches!(net.pair.events[1][..], [Event::Closed]), "{:?}", net.pair.events[1]);
    }
}

#[test]
fn a_proxy_is_nudged_a_few_times_and_a_direct_connection_is_not() {
    for (offer, most) in [(by_proxy(), 5), (direct(ALICES), 1)] {
        let mut net = Net::new(offer, dialling()).established();
        let before = net.pair.alice.statistics();
        net.pair.alice.send(message("hi")).unwrap();
        net.run();
        net.carried.clear();
        for _ in 0..20 {
            net.wait(NUDGE_AFTER);
        }
        assert!(net.carried.get(&Who::Alice).is_none_or(|octets| *octets < most * 10), "{:?}", net.carried);
        assert_eq!(net.carried.is_empty(), most == 1);
        assert!(matches!(net.pair.events[1][..], [Event::Stanza(_)]));
        assert!(net.pair.alice.statistics().octets_sent > before.octets_sent);
    }
}

#[test]
fn sockets_are_offered_when_both_can() {
    // Nobody wants, Alice does not, Bob does not say that he does.
    for (alice, bob) in [(None, None), (None, direct(BOBS)), (direct(ALICES), None)] {
        let mut net = Net::new(alice, bob).established();
        assert_eq!(net.says(S5B), usize::from(net.says("transports:s5b:1'/></query>") > 0));
        assert_eq!(net.routes(), [const { Some(Route::InBand) }; 2]);
        net.talk_and_close(Who::Alice);
    }
}

#[test]
fn an_answer_to_disco_that_lies() {
    // A server says that Bob takes sockets; he does not.
    let mut net = Net::edited(direct(ALICES), None, |_, mut stanza| {
        if stanza.remove_child("query", ns::DISCO_INFO).is_some() && stanza.attr("type") == Some("result") {
            stanza.append_child(disco::answer_with_socks5());
        } else if stanza.attr("type") == Some("get") {
            stanza.append_child(disco::query());
        }
        vec![stanza]
    });
    net.run();
    net.failed(Who::Bob, &jingle::rules::OTHER_TRANSPORT);
    net.failed(Who::Alice, &session::DECLINED);
    assert_eq!(net.pair.reasons(), ["< unsupported-transports"]);
}

#[test]
fn edited_offers_and_answers_end_the_session() {
    let forty = "0".repeat(40);
    let other: &'static str = Box::leak(format!("dstaddr='{forty}' x='").into_boxed_str());
    let many: &'static str = Box::leak(
        (1..=CANDIDATES_MAX)
            .map(|n| format!("<candidate cid='x{n}' host='192.0.2.9' jid='a@b/c' priority='1'/>"))
            .collect::<String>()
            .into_boxed_str(),
    );
    for (mark, from, to, who, rule) in [
        ("session-initiate", "dstaddr='", other, Who::Bob, &rules::OTHER_DESTINATION),
        ("session-accept", "dstaddr='", other, Who::Alice, &rules::OTHER_DESTINATION),
        ("session-initiate", "type='direct'", "type='magic'", Who::Bob, &rules::MALFORMED),
        ("session-accept", "type='direct'", "type='magic'", Who::Alice, &rules::MALFORMED),
        ("session-initiate", "port='5086'", "port='0'", Who::Bob, &rules::MALFORMED),
        ("session-accept", "<candidate ", many, Who::Alice, &rules::TOO_MANY_CANDIDATES),
        ("session-accept", "s5b:1'", "ibb:1' block-size='4096'", Who::Alice, &jingle::rules::OTHER_TRANSPORT),
        ("session-accept", "s5b:1'", "raw-udp:1'", Who::Alice, &jingle::rules::OTHER_TRANSPORT),
    ] {
        let to: &'static str =
            if to == many { Box::leak(format!("{many}<candidate ").into_boxed_str()) } else { to };
        let mut net = Net::edited(direct(ALICES), direct(BOBS), editing(mark, from, to));
        net.run();
        net.failed(who, rule);
        assert!(
            net.pair.events.iter().flatten().all(|event| matches!(event, Event::Failed(_))),
            "{mark} {to}"
        );
    }
}

#[test]
fn an_answer_of_another_bytestream_is_refused() {
    // The identifiers are equally long.
    let mut net = Net::edited(direct(ALICES), direct(BOBS), |_, stanza| {
        let Some(content) =
            stanza.get_child("jingle", ns::JINGLE).and_then(|it| it.get_child("content", ns::JINGLE))
        else {
            return vec![stanza];
        };
        let sid = content
            .get_child("transport", S5B)
            .and_then(|transport| transport.attr("sid"))
            .unwrap_or("-")
            .to_owned();
        let accept = stanza.get_child("jingle", ns::JINGLE).unwrap().attr("action") == Some("session-accept");
        vec![if accept { replaced(&stanza, &sid, "another") } else { stanza }]
    });
    net.run();
    net.failed(Who::Alice, &jingle::rules::OTHER_CONTENT);
}

/// A negotiation that waits for what the other side says: Bob offers nothing and Alice's dialling takes for ever.
fn waiting() -> Net {
    let mut net = Net::new(direct(ALICES), direct(BOBS)).where_(|_, _| Fate::Silent);
    net.run();
    net
}

/// Puts a stanza of Bob's into Alice's session.
fn tell_alice(net: &mut Net, action: &str, transport: &str) -> String {
    let sid = net.pair.alice.sid().to_owned();
    let stanza = xml(&format!(
        "<iq xmlns='jabber:client' type='set' id='x' from='{BOB}' to='{ALICE}'><jingle xmlns='urn:xmpp:jingle:1' \
         action='{action}' sid='{sid}'><content creator='initiator' name='e2e'>{transport}</content></jingle></iq>"
    ));
    assert!(net.pair.alice.handle(&stanza, net.pair.now));
    let answers = std::iter::from_fn(|| net.pair.alice.poll_stanza()).map(|stanza| show(&stanza));
    let answer = answers.collect::<Vec<_>>().into_iter().find(|text| text.contains("id='x'")).unwrap();
    net.pair.poll_events();
    answer
}

fn info(net: &Net, inner: &str) -> String {
    let offer = net.pair.log.iter().find(|line| line.contains("session-initiate")).unwrap();
    let sid =
        offer.split("dstaddr").nth(1).unwrap().split("sid='").nth(1).unwrap().split('\'').next().unwrap();
    format!("<transport xmlns='{S5B}' sid='{sid}'>{inner}</transport>")
}

#[test]
fn what_comes_out_of_turn_is_refused_and_changes_nothing() {
    for (action, inner) in [
        ("transport-info", "<activated cid='c0'/>"),
        ("transport-info", "<proxy-error/>"),
        ("transport-replace", "<candidate-error/>"),
        ("transport-accept", ""),
        ("transport-reject", ""),
    ] {
        let mut net = waiting();
        let transport = info(&net, inner);
        let answer = tell_alice(&mut net, action, &transport);
        assert!(answer.contains("<out-of-order "), "{action} {inner}: {answer}");
        assert!(!net.pair.alice.has_ended());
    }
    let mut net = waiting();
    let transport = info(&net, "<candidate-error/>");
    assert!(tell_alice(&mut net, "transport-info", &transport).contains("type='result'"));
    for inner in ["<candidate-error/>", "<candidate-used cid='c0'/>"] {
        let transport = info(&net, inner);
        assert!(tell_alice(&mut net, "transport-info", &transport).contains("<out-of-order "), "{inner}");
    }
    // A session that is not about sockets does not know any of this.
    let mut net = Net::new(None, None).established();
    let transport = format!("<transport xmlns='{S5B}' sid='s'><candidate-error/></transport>");
    assert!(tell_alice(&mut net, "transport-info", &transport).contains("<feature-not-implemented "));
    // And one that has its socket is done with it.
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    let transport = info(&net, "<candidate-error/>");
    assert!(tell_alice(&mut net, "transport-info", &transport).contains("<out-of-order "));
    net.run();
    assert!(!net.pair.alice.has_ended());
}

#[test]
fn what_cannot_be_true_ends_the_session() {
    let right = |inner: &str| info(&waiting(), inner);
    let other_sid = right("<candidate-error/>").replace("sid='", "sid='x");
    let in_band =
        "<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='s'/>".to_owned();
    for (transport, rule, condition) in [
        (right("<candidate-used cid='c0'/>"), &rules::NO_CONNECTION, "bad-request"),
        (right("<candidate-used cid='c1'/>"), &rules::UNKNOWN_CANDIDATE, "item-not-found"),
        (right(""), &rules::MALFORMED, "bad-request"),
        (right("<candidate-used/>"), &rules::MALFORMED, "bad-request"),
        (other_sid, &jingle::rules::OTHER_TRANSPORT, "bad-request"),
        (in_band, &jingle::rules::OTHER_TRANSPORT, "bad-request"),
        (String::new(), &jingle::rules::OTHER_TRANSPORT, "bad-request"),
    ] {
        let mut net = waiting();
        let answer = tell_alice(&mut net, "transport-info", &transport);
        assert!(answer.contains(&format!("<{condition} ")), "{transport}: {answer}");
        net.failed(Who::Alice, rule);
        // What it was still dialling is given up.
        let closed = std::iter::from_fn(|| net.pair.alice.poll_socket());
        assert_eq!(
            closed.filter(|request| matches!(request, SocketRequest::Close(..))).count(),
            1,
            "{transport}"
        );
    }
}

#[test]
fn another_content_is_refused() {
    for edit in [("name='e2e'", "name='x'"), ("creator='initiator'", "creator='responder'")] {
        let mut net = Net::edited(direct(ALICES), direct(BOBS), editing("transport-info", edit.0, edit.1));
        net.run();
        assert!(net.pair.events.iter().flatten().any(|event| {
            matches!(event, Event::Failed(error) if error.is(&jingle::rules::OTHER_CONTENT))
        }));
    }
}

#[test]
fn the_way_back_in_band_is_checked_too() {
    for (mark, from, to, who, rule) in [
        (
            "transport-accept",
            "block-size='4096'",
            "block-size='4097'",
            Who::Alice,
            &jingle::rules::OTHER_CONTENT,
        ),
        ("transport-accept", "block-size='4096'", "block-size='127'", Who::Alice, &jingle::rules::BLOCK_SIZE),
        (
            "transport-accept",
            "ibb:1' ",
            "ibb:1' stanza='message' ",
            Who::Alice,
            &jingle::rules::OTHER_TRANSPORT,
        ),
        ("transport-accept", "ibb:1' ", "s5b:1' ", Who::Alice, &jingle::rules::OTHER_TRANSPORT),
        ("transport-accept", "<transport ", "<x ", Who::Alice, &jingle::rules::OTHER_TRANSPORT),
        ("transport-accept", "transport-accept", "transport-reject", Who::Alice, &session::DECLINED),
        ("transport-replace", "block-size='4096'", "block-size='127'", Who::Bob, &jingle::rules::BLOCK_SIZE),
        ("transport-replace", "ibb:1' ", "s5b:1' ", Who::Bob, &jingle::rules::OTHER_TRANSPORT),
        ("transport-replace", "<transport ", "<x ", Who::Bob, &jingle::rules::OTHER_TRANSPORT),
    ] {
        let mut net =
            Net::edited(direct(ALICES), direct(BOBS), editing(mark, from, to)).where_(|_, _| Fate::Refused);
        net.run();
        net.failed(who, rule);
    }
}

#[test]
fn nobody_but_the_peer_may_connect() {
    let mut net = waiting();
    let now = net.pair.now;
    let offer = net.pair.log.iter().find(|line| line.contains("session-initiate")).unwrap().clone();
    let named = offer.split("dstaddr='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let other = format!("{}{}", if named.starts_with('0') { '1' } else { '0' }, &named[1..]);
    assert_eq!(net.pair.alice.inbound(&other.parse().unwrap(), now), None);
    assert_eq!(net.pair.bob().inbound(&named.parse().unwrap(), now), None, "that is Alice's");
    let named = named.parse().unwrap();
    let first = net.pair.alice.inbound(&named, now).unwrap();
    let second = net.pair.alice.inbound(&named, now).unwrap();
    let requests = std::iter::from_fn(|| net.pair.alice.poll_socket()).collect::<Vec<_>>();
    assert_eq!(requests, [SocketRequest::Close(first, vec![])], "the later one counts");
    assert_ne!(first, second);
    // What has been decided cannot be changed from outside.
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    assert_eq!(net.pair.alice.inbound(&named, now), None);
    let mut net = Net::new(by_proxy(), dialling());
    while net.says("session-initiate") == 0 {
        net.step();
    }
    let offer = net.pair.log.iter().find(|line| line.contains("session-initiate")).unwrap();
    let named = offer.split("dstaddr='").nth(1).unwrap().split('\'').next().unwrap().parse().unwrap();
    assert_eq!(net.pair.alice.inbound(&named, now), None, "no address of ours was offered");
}

#[test]
fn so_many_candidates_are_tried_and_no_more() {
    let all = (1..=DIALS_MAX as u8 + 1).map(|n| SocketAddr::from(([192, 0, 2, n], 1)));
    let bob = Some(Socks5::new().with_direct(all));
    let mut net = Net::new(dialling(), bob.clone()).where_(|_, _| Fate::Refused);
    net.run();
    assert_eq!(net.dialled.len(), DIALS_MAX);
    let last = format!("192.0.2.{DIALS_MAX}:1");
    assert_eq!(net.dialled.last().unwrap().1, last, "the best come first");
    let accepted = last.clone();
    let mut net = Net::new(dialling(), bob)
        .where_(move |_, host| if host == accepted { Fate::Accepted } else { Fate::Refused })
        .established();
    assert_eq!(net.routes(), [const { Some(Route::Direct) }; 2]);
}

#[test]
fn the_end_of_the_connection_is_truncation() {
    for victim in [Who::Alice, Who::Bob] {
        let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
        let now = net.pair.now;
        net.session(victim).unwrap().socket_closed(now);
        net.run();
        assert!(net.pair.events.iter().all(Vec::is_empty), "the reason may still come");
        net.wait(LAST_WORDS);
        net.failed(victim, &session::CUT_SHORT);
        let other = if victim == Who::Alice { Who::Bob } else { Who::Alice };
        net.failed(other, &session::CUT_SHORT);
        assert_eq!(net.pair.reasons().len(), 1);
    }
}

#[test]
fn one_octet_changed_on_the_way() {
    for liar in [Who::Alice, Who::Bob] {
        let (alice, bob) = (direct(ALICES), direct(BOBS));
        let mut net =
            Net::with(alice, bob, &Limits::default(), rustls, |_, stanza| vec![stanza]).established();
        net.corrupt = Some(liar);
        net.session(liar).unwrap().send(message("hi")).unwrap();
        net.run();
        for _ in 0..4 {
            net.wait(LAST_WORDS);
        }
        for events in &net.pair.events {
            assert!(matches!(events[..], [Event::Failed(_)]), "{events:?}");
        }
        let fooled = if liar == Who::Alice { 1 } else { 0 };
        let Event::Failed(error) = &net.pair.events[fooled][0] else { unreachable!() };
        assert_eq!(error.rule().id.split('-').next(), Some("tls"), "{error}");
    }
}

#[test]
fn a_wrong_password_is_no_less_wrong() {
    let bob = bob_config().with_socks5(direct(BOBS).unwrap());
    let alice =
        countersign::xmpp::InitiatorConfig::new(jid(ALICE), jid(BOB), countersign::Password::new("wrong"));
    let alice = alice.with_policy(policy()).with_socks5(direct(ALICES).unwrap());
    let mut net = Net::new(direct(ALICES), direct(BOBS));
    net.pair = Pair::with(alice, bob, plain).edited(|_, mut stanza| {
        if stanza.attr("type") == Some("result") && stanza.remove_child("query", ns::DISCO_INFO).is_some() {
            stanza.append_child(disco::answer_with_socks5());
        }
        vec![stanza]
    });
    net.run();
    for events in &net.pair.events {
        assert!(
            matches!(&events[..], [Event::Failed(error)] if error.kind() == ErrorKind::AuthenticationFailed),
            "{events:?}"
        );
    }
    assert!(net.carried.len() == 2);
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let limits = Limits::default().with_unread(10_000).with_send_buffer(50_000);
    let (alice, bob) = (direct(ALICES), direct(BOBS));
    let mut net = Net::with(alice, bob, &limits, plain, |_, stanza| vec![stanza]).established();
    net.pair.reading[1] = false;
    let mut sent = 0;
    for _ in 0..50 {
        sent += net.pair.alice.send_bytes(&[7; 8192]).unwrap();
        net.run();
    }
    assert!(!net.pair.bob().is_receiving());
    let held = net.pipes.values().map(Vec::len).sum::<usize>();
    assert!(held > 0, "the rest is left in the socket");
    net.pair.reading[1] = true;
    net.run();
    let received = net.pair.events[1].iter().map(|event| match event {
        Event::Bytes(octets) => octets.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(received.sum::<usize>(), sent);
    net.pair.events[1].clear();
    net.talk_and_close(Who::Alice);
}

#[test]
fn what_is_not_written_counts_as_waiting() {
    let limits = Limits::default().with_send_buffer(20_000);
    let (alice, bob) = (direct(ALICES), direct(BOBS));
    let mut net = Net::with(alice, bob, &limits, plain, |_, stanza| vec![stanza]).established();
    let octets = vec![7; 100_000];
    let alice = &mut net.pair.alice;
    let taken = alice.send_bytes(&octets).unwrap();
    assert!((20_000..90_000).contains(&taken), "{taken}");
    let polled = alice.poll_octets().unwrap();
    assert_eq!(alice.send_bytes(&octets).unwrap(), 0, "polled is not written");
    assert!(alice.send(message("hi")).unwrap_err().is(&session::SEND_BUFFER_FULL));
    alice.octets_written(polled.len());
    assert!(alice.send_bytes(&octets).unwrap() > 0);
}

#[test]
fn both_close_at_once() {
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    net.pair.alice.close();
    net.pair.bob().close();
    net.run();
    for events in &net.pair.events {
        assert!(matches!(events[..], [Event::Closed]), "{events:?}");
    }
    assert!(net.links.is_empty() && net.used.is_empty());
}

#[test]
fn octets_that_session_terminate_overtakes_are_read() {
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    net.pair.alice.send(message("hi")).unwrap();
    net.pair.alice.close();
    // Bob answers the end of the stream; his last octets stay on the way while Alice's stanzas come.
    while net.says("session-terminate") == 0 {
        net.step();
    }
    net.run();
    for events in &net.pair.events {
        assert!(matches!(events.last(), Some(Event::Closed)), "{events:?}");
    }
    // The stanza overtakes everything: what was sent is read first, and then it counts.
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    net.pair.alice.send(message("hi")).unwrap();
    net.pair.alice.abort();
    while net.pair.step() {}
    assert!(net.pair.events[1].is_empty(), "{:?}", net.pair.events[1]);
    net.run();
    assert!(
        matches!(net.pair.events[1][..], [Event::Stanza(_), Event::Failed(_)]),
        "{:?}",
        net.pair.events[1]
    );
    net.failed(Who::Bob, &session::CUT_SHORT);
    // And without the octets it counts when the time is up.
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    net.pair.alice.abort();
    while net.pair.step() {}
    net.links.clear();
    net.wait(LAST_WORDS);
    net.failed(Who::Bob, &session::CUT_SHORT);
}

#[test]
fn silence_is_asked_after_and_keys_are_updated() {
    let limits = Limits::default().with_rekey(1_000, Duration::from_secs(3600));
    let (alice, bob) = (direct(ALICES), direct(BOBS));
    let mut net = Net::with(alice, bob, &limits, rustls, |_, stanza| vec![stanza]).established();
    net.wait(Duration::from_secs(60));
    assert!(net.says("session-info") > 0);
    net.pair.alice.send_bytes(&[7; 2_000]).unwrap();
    net.run();
    assert_eq!(net.pair.alice.statistics().rekeys, 1);
    net.pair.events[1].clear();
    net.talk_and_close(Who::Bob);
}

#[test]
fn a_peer_that_reads_slowly_after_our_close_is_waited_for() {
    let mut net = Net::new(direct(ALICES), direct(BOBS)).established();
    net.pair.alice.close();
    // Nothing passes the socket; the peer answers pings.
    let used = std::mem::take(&mut net.used);
    for _ in 0..10 {
        net.pair.wait(Duration::from_secs(20));
    }
    assert!(!net.pair.alice.has_ended());
    net.used = used;
    net.run();
    for events in &net.pair.events {
        assert!(matches!(events[..], [Event::Closed]), "{events:?}");
    }
}

#[test]
fn a_network_that_falls_silent_at_any_step() {
    let whole = |steps: usize| {
        let mut net = Net::new(by_proxy().map(|offer| offer.with_direct([])), direct(BOBS));
        let mut left = steps;
        let mut go = |net: &mut Net| {
            while left > 0 && net.step() {
                left -= 1;
            }
        };
        go(&mut net);
        if net.pair.alice.send(message("hi")).is_ok() {
            go(&mut net);
            net.pair.alice.close();
            go(&mut net);
        }
        (net, left)
    };
    let all = 1_000 - whole(1_000).1;
    assert!(all > 10, "{all}");
    for steps in 0..all {
        let (mut net, _) = whole(steps);
        for _ in 0..30 {
            net.pair.now += Duration::from_secs(5);
            let now = net.pair.now;
            net.pair.alice.tick(now);
            net.session(Who::Bob).into_iter().for_each(|bob| bob.tick(now));
            net.pair.poll_events();
        }
        for (who, events) in [(Who::Alice, 0), (Who::Bob, 1)].map(|(who, n)| (who, &net.pair.events[n])) {
            if who == Who::Bob && net.pair.bob.is_none() {
                continue;
            }
            match events.last() {
                Some(Event::Closed) => {}
                Some(Event::Failed(error)) => {
                    let fits = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Truncated);
                    assert!(fits, "{who:?} after {steps}: {error}");
                }
                other => panic!("{who:?} after {steps}: {other:?}"),
            }
        }
    }
}
