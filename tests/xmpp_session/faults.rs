//! The fault matrix: every stanza of a whole session meets every fault. Each cell must end in time, in success or in a
//! clear error, and nobody may believe that something has arrived which has not.
//!
//! A clean run comes first: its stanzas are the rows, named by what they are. So the matrix follows the protocol, whatever
//! that becomes. It is printed (`--nocapture`), and the one of the default mechanism is kept in `docs/faults.md`: to renew
//! that, delete what stands below a heading and run the test, which writes it and fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use countersign::error::{Error, Rule};
use countersign::mechanism::Side;
use countersign::sasl::Policy;
use countersign::tls::Endpoint;
use countersign::xmpp::s5b::{Route, Socks5};
use countersign::xmpp::session::rules as session;
use countersign::xmpp::{Element, Limits, disco, ibb};

use crate::kit::*;
use crate::net::*;
use crate::sockets::{ALICES, BOBS, PROXY, by_proxy, direct};

/// What happens to a stanza, and the head of its column.
const FAULTS: [(&str, Fault); 10] = [
    ("lost", Fault::Drop),
    ("twice", Fault::Twice),
    ("5 s late", Fault::Late(Duration::from_secs(5))),
    ("40 s late", Fault::Late(Duration::from_secs(40))),
    ("overtaken", Fault::Swap),
    ("old one again", Fault::Stale),
    ("copy by a third", Fault::Foreign),
    ("lied about", Fault::Lie),
    ("sender cut off", Fault::CutSender),
    ("receiver cut off", Fault::CutReceiver),
];

/// What happens to a connection or to octets on it, and the head of its column.
const SOCKET_FAULTS: [(&str, SocketFault); 10] = [
    ("refused", SocketFault::Refused),
    ("nobody answers", SocketFault::Silent),
    ("cut by the sender", SocketFault::CutBySender),
    ("cut by the receiver", SocketFault::CutByReceiver),
    ("half closed", SocketFault::HalfClosed),
    ("first octet changed", SocketFault::First),
    ("last octet changed", SocketFault::Last),
    ("octet added", SocketFault::Injected),
    ("one by one", SocketFault::OneByOne),
    ("100 s late", SocketFault::Stalled(Duration::from_secs(100))),
];

/// What ends a session, and how a cell says so.
const ENDS: [(&str, &Rule); 12] = [
    ("A", &session::PEER_ABSENT),
    ("C", &session::CUT_SHORT),
    ("D", &session::DECLINED),
    ("G", &ibb::rules::SEQ_GAP),
    ("H", &session::HANDSHAKE_TIMEOUT),
    ("L", &session::TRANSPORT_LOST),
    ("M", &disco::rules::MALFORMED),
    ("N", &session::NO_ANSWER),
    ("R", &session::REFUSED),
    ("S", &session::SECURITY_REFUSED),
    ("T", &session::STREAM_CUT_SHORT),
    ("U", &ibb::rules::SEQ_USED),
];

/// Long enough that both sides ask whether the other is still there.
const IDLE: Duration = Duration::from_secs(70);

/// After which a cell hangs: the time without faults, the longest delay, and twice the longest time-out.
const LIMIT: Duration = Duration::from_secs(70 + 40 + 2 * 60);

/// What runs: mechanisms, what TLS there is, limits, and who closes.
#[derive(Clone)]
struct Plan {
    names: &'static [&'static str],
    endpoint: fn(Side) -> Box<dyn Endpoint>,
    limits: Limits,
    closer: From,
    way: Way,
}

/// What there is beside the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    InBand,
    /// Both sides can be connected to.
    Direct,
    /// Alice offers a proxy.
    Proxy,
    /// Both sides listen, and nobody reaches them.
    Unreachable,
}

impl Plan {
    fn new(names: &'static [&'static str], endpoint: fn(Side) -> Box<dyn Endpoint>) -> Self {
        Self { names, endpoint, limits: Limits::default(), closer: From::Alice, way: Way::InBand }
    }

    fn closed_by_bob(&self) -> Self {
        Self { closer: From::Bob, ..self.clone() }
    }

    fn by(&self, way: Way) -> Self {
        Self { way, ..self.clone() }
    }

    fn net(&self) -> Net {
        let policy = || Policy::named(self.names.iter().map(|text| name(text)));
        let alice = alice_config().with_policy(policy()).with_limits(self.limits.clone());
        let bob = bob_config().with_policy(policy()).with_limits(self.limits.clone());
        #[cfg(feature = "openssl")]
        let (alice, bob) = {
            let key = || countersign::tls::psk::PreSharedKey::generate(&mut CountingRng(1));
            (alice.with_psk(key()), bob.with_psk(key()))
        };
        let (alices, bobs) = match self.way {
            Way::InBand => (None, None),
            Way::Direct | Way::Unreachable => (direct(ALICES), direct(BOBS)),
            Way::Proxy => (by_proxy(), Some(Socks5::new())),
        };
        let alice = alices.into_iter().fold(alice, countersign::xmpp::InitiatorConfig::with_socks5);
        let bob = bobs.into_iter().fold(bob, countersign::xmpp::ResponderConfig::with_socks5);
        let deeds = |side: From| {
            let mut deeds = vec![
                Deed::Say(format!("{side:?} is here")),
                Deed::Send(vec![side as u8; 10_000]),
                Deed::Until(IDLE),
                Deed::Say(format!("{side:?} says goodbye")),
            ];
            deeds.extend((side == self.closer).then_some(Deed::Close));
            deeds
        };
        let net = Net::new(alice, bob, self.endpoint).with_deeds(&deeds(From::Alice), &deeds(From::Bob));
        match self.way {
            Way::InBand => net,
            Way::Direct | Way::Proxy => net.with_sockets(),
            Way::Unreachable => net.with_sockets().without_connections(),
        }
    }
}

/// Names the stanzas of a run.
fn rows(sent: &[(From, Element)]) -> Vec<String> {
    let mut requests = BTreeMap::new();
    let mut rows = Vec::new();
    for (from, stanza) in sent {
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        if !is_request(stanza) {
            let asked = requests.get(&id).map_or("?", String::as_str);
            let who =
                if stanza.attr("from") == Some(PROXY) { "proxy".to_owned() } else { format!("{from:?}") };
            rows.push(format!("{who}: answer to {asked}"));
            continue;
        }
        let payload = stanza.children().next().unwrap();
        let what = match (payload.name(), payload.attr("action"), payload.attr("seq")) {
            ("jingle", Some("session-info"), _) => "ping".to_owned(),
            ("jingle", Some("transport-info"), _) => told(payload),
            ("jingle", Some(action), _) => action.to_owned(),
            ("data", _, Some(seq)) => format!("block {seq}"),
            ("query", ..) if stanza.attr("to") == Some(PROXY) => "activation".to_owned(),
            ("query", ..) => "disco".to_owned(),
            (name, ..) => name.to_owned(),
        };
        rows.push(format!("{from:?}: {what}"));
        requests.insert(id, format!("{from:?}'s {what}"));
    }
    rows
}

/// What a transport-info says.
fn told(jingle: &Element) -> String {
    let mut inner = jingle.children().flat_map(Element::children).flat_map(Element::children);
    inner.next().map_or("transport-info", Element::name).to_owned()
}

/// The outcome of both sides, checked and named.
fn cell(mut net: Net, way: Way) -> Result<String, String> {
    if !net.run(LIMIT) {
        return Err("hangs".to_owned());
    }
    let mut names = Vec::new();
    for side in [From::Alice, From::Bob] {
        let (sent, received) = (net.sent_by(side), net.received_by(side.other()));
        if !sent.starts_with(received) {
            return Err(format!("{:?} received something else than {side:?} sent", side.other()));
        }
        names.push(match net.end(side) {
            None if side == From::Alice || net.established(From::Alice) => {
                return Err(format!("{side:?} does not end"));
            }
            // Nobody has called him.
            None => "-",
            Some(Ok(())) if net.received_by(side) != net.sent_by(side.other()) => {
                return Err(format!("{side:?} counts as closed and lacks something"));
            }
            Some(Ok(())) if sent != received => {
                return Err(format!("{side:?} counts as closed and something has not arrived"));
            }
            Some(Ok(())) => "ok",
            Some(Err(error)) => named(error)
                .ok_or_else(|| format!("{side:?} ends with {}, which is not expected", error.rule().id))?,
        });
    }
    if names != ["ok", "ok"] {
        return Ok(names.join(" / "));
    }
    let routes = [From::Alice, From::Bob].map(|side| net.route(side).cloned());
    if routes[0] != routes[1] {
        return Err(format!("both do not go the same way: {routes:?}"));
    }
    Ok(match (way, &routes[0]) {
        (Way::InBand | Way::Unreachable, Some(Route::InBand))
        | (Way::Direct, Some(Route::Direct))
        | (Way::Proxy, Some(Route::Proxy(_))) => "ok",
        (_, Some(Route::InBand)) => "in band",
        (_, route) => return Err(format!("another way than was offered: {route:?}")),
    }
    .to_owned())
}

/// How a cell names an error.
fn named(error: &Error) -> Option<&'static str> {
    if error.rule().id.starts_with("tls-") {
        return Some(TLS_REFUSES);
    }
    ENDS.iter().find_map(|(name, rule)| error.is(rule).then_some(*name))
}

/// Any rule of TLS: which one depends on the octet.
const TLS_REFUSES: &str = "X";

/// Some rows, as a table; fails when a cell breaks the promise.
fn matrix(plan: &Plan, which: impl Fn(&[String]) -> Range<usize>) -> String {
    let rows = rows(&clean(plan).sent);
    table(plan, "stanza", &rows, which(&rows), &FAULTS, |net, n, fault| Some(net.with_fault(n, fault)))
}

/// What sockets do, as a table.
fn socket_matrix(plan: &Plan) -> String {
    let rows = clean(plan).at_sockets().to_vec();
    table(plan, "at sockets", &rows, all(&rows), &SOCKET_FAULTS, |net, n, fault| {
        let fits = fault.is_of_dialling() == rows[n].contains("connection to");
        fits.then(|| net.with_socket_fault(n, fault))
    })
}

fn all(rows: &[String]) -> Range<usize> {
    0..rows.len()
}

/// What comes before the octets of the tunnel do.
fn set_up(rows: &[String]) -> Range<usize> {
    0..rows.iter().position(|row| row.contains("block")).unwrap()
}

/// A run without faults.
fn clean(plan: &Plan) -> Net {
    let mut clean = plan.net();
    assert!(clean.run(LIMIT), "the clean run hangs");
    for side in [From::Alice, From::Bob] {
        assert!(matches!(clean.end(side), Some(Ok(()))), "{:?}", clean.end(side));
        assert_eq!(clean.received_by(side), clean.sent_by(side.other()));
    }
    clean
}

fn table<F: Copy>(
    plan: &Plan,
    head: &str,
    rows: &[String],
    range: Range<usize>,
    faults: &[(&str, F)],
    with: impl Fn(Net, usize, F) -> Option<Net>,
) -> String {
    let mut table = format!("| {head} |");
    faults.iter().for_each(|(head, _)| write!(table, " {head} |").unwrap());
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(faults.len()));
    let mut broken = Vec::new();
    for n in range {
        let row = &rows[n];
        write!(table, "\n| {row} |").unwrap();
        for (head, fault) in faults {
            let Some(net) = with(plan.net(), n, *fault) else {
                table.push_str("  |");
                continue;
            };
            let name = cell(net, plan.way).unwrap_or_else(|what| {
                broken.push(format!("{row}, {head}: {what}"));
                "**!**".to_owned()
            });
            write!(table, " {name} |").unwrap();
        }
    }
    table.push('\n');
    println!("{:?}, {:?}, {:?} closes\n{table}", plan.names, plan.way, plan.closer);
    assert!(broken.is_empty(), "{} cells:\n{}", broken.len(), broken.join("\n"));
    table
}

/// Where the closing begins: what comes before does not depend on who closes.
fn end(rows: &[String]) -> Range<usize> {
    let ping = rows.iter().rposition(|row| row.contains("ping")).unwrap();
    ping + 1..rows.len()
}

/// What the letters of a table stand for.
fn legend(tables: &str) -> String {
    let used =
        |name: &str| tables.contains(&format!("| {name} /")) || tables.contains(&format!("/ {name} |"));
    let mut text = String::new();
    for (name, rule) in ENDS.iter().filter(|(name, _)| used(name)) {
        writeln!(text, "- **{name}**: {} (`{}`)", rule.what, rule.id).unwrap();
    }
    if used(TLS_REFUSES) {
        writeln!(text, "- **{TLS_REFUSES}**: TLS refuses what came (`tls-...`)").unwrap();
    }
    text
}

/// Holds what is kept below a heading of a document to what was computed.
fn keep(document: &str, heading: &str, computed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, kept) = text.split_once(heading).expect("the heading is there");
    let (kept, after) = match kept.find("\n## ") {
        Some(next) => kept.split_at(next),
        None => (kept, ""),
    };
    if kept.trim().is_empty() {
        std::fs::write(&path, format!("{before}{heading}\n\n{computed}{after}")).unwrap();
        panic!("there was no matrix in {document}; it has been written");
    }
    for (kept, computed) in kept.trim().lines().zip(computed.trim().lines()) {
        assert_eq!(kept, computed, "{document} is not true any more");
    }
    assert_eq!(kept.trim(), computed.trim(), "{document} is not true any more");
}

#[cfg(feature = "cpace")]
#[test]
fn every_fault_at_every_stanza_is_as_documented() {
    let plan = Plan::new(&["CPACE-R255-PLUS"], rustls);
    let alice = matrix(&plan, all);
    let bob = matrix(&plan.closed_by_bob(), end);
    let legend = legend(&format!("{alice}{bob}"));
    let computed = format!("{legend}\n{alice}\nWhere Bob closes, from there on:\n\n{bob}");
    keep("docs/faults.md", "## The matrix", &computed);
}

#[cfg(feature = "cpace")]
#[test]
fn every_fault_over_sockets_is_as_documented() {
    let plan = Plan::new(&["CPACE-R255-PLUS"], rustls);
    let (direct, proxy) = (plan.by(Way::Direct), plan.by(Way::Proxy));
    let mut computed = String::new();
    for (title, table) in [
        ("Stanzas, with a direct connection:", matrix(&direct, all)),
        ("Where Bob closes, from there on:", matrix(&direct.closed_by_bob(), end)),
        ("Stanzas, with a proxy that Alice offers:", matrix(&proxy, all)),
        ("Stanzas where no connection is found, up to the first block:", {
            matrix(&plan.by(Way::Unreachable), set_up)
        }),
        ("At sockets, with a direct connection:", socket_matrix(&direct)),
        ("The same where Bob closes:", socket_matrix(&direct.closed_by_bob())),
        ("At sockets, with a proxy:", socket_matrix(&proxy)),
        ("The same where Bob closes:", socket_matrix(&proxy.closed_by_bob())),
    ] {
        write!(computed, "\n{title}\n\n{table}").unwrap();
    }
    let computed = format!("{}{computed}", legend(&computed));
    keep("docs/faults.md", "## Over SOCKS5 bytestreams", &computed);
}

#[test]
fn every_fault_where_blocks_are_small_and_one_is_on_the_way() {
    let limits = Limits::default().with_block(2048).with_window(1);
    let plan = Plan { limits, ..Plan::new(&["SCRAM-SHA-256-PLUS"], plain) };
    matrix(&plan, all);
    matrix(&plan.closed_by_bob(), end);
}

#[cfg(all(feature = "openssl", feature = "cpace"))]
#[test]
fn every_fault_where_tls_authenticates() {
    for names in [&["CPACE-R255-PSK"][..], &["TLS13-PSK"], &["TLS-SRP"]] {
        matrix(&Plan::new(names, plain), all);
    }
}
