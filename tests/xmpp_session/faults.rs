//! The fault matrix: every stanza of a whole session meets every fault. Each cell must end in time, in success or in a
//! clear error, and nobody may believe that something has arrived which has not.
//!
//! A clean run comes first: its stanzas are the rows, named by what they are. So the matrix follows the protocol, whatever
//! that becomes. It is printed (`--nocapture`), and the one of the default mechanism is kept in `docs/faults.md`: to renew
//! that, delete what stands below its last heading and run the test, which writes it and fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use countersign::error::Rule;
use countersign::mechanism::Side;
use countersign::sasl::Policy;
use countersign::tls::Endpoint;
use countersign::xmpp::session::rules as session;
use countersign::xmpp::{Element, Limits, disco, ibb};

use crate::kit::*;
use crate::net::*;

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
}

impl Plan {
    fn new(names: &'static [&'static str], endpoint: fn(Side) -> Box<dyn Endpoint>) -> Self {
        Self { names, endpoint, limits: Limits::default(), closer: From::Alice }
    }

    fn closed_by_bob(&self) -> Self {
        Self { closer: From::Bob, ..self.clone() }
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
        Net::new(alice, bob, self.endpoint).with_deeds(&deeds(From::Alice), &deeds(From::Bob))
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
            rows.push(format!("{from:?}: answer to {asked}"));
            continue;
        }
        let payload = stanza.children().next().unwrap();
        let what = match (payload.name(), payload.attr("action"), payload.attr("seq")) {
            ("jingle", Some("session-info"), _) => "ping".to_owned(),
            ("jingle", Some(action), _) => action.to_owned(),
            ("data", _, Some(seq)) => format!("block {seq}"),
            ("query", ..) => "disco".to_owned(),
            (name, ..) => name.to_owned(),
        };
        rows.push(format!("{from:?}: {what}"));
        requests.insert(id, format!("{from:?}'s {what}"));
    }
    rows
}

/// The outcome of both sides, checked and named.
fn cell(plan: &Plan, row: usize, fault: Fault) -> Result<String, String> {
    let mut net = plan.net().with_fault(row, fault);
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
            Some(Err(error)) => ENDS
                .iter()
                .find_map(|(name, rule)| error.is(rule).then_some(*name))
                .ok_or_else(|| format!("{side:?} ends with {}, which is not expected", error.rule().id))?,
        });
    }
    Ok(if names == ["ok", "ok"] { "ok".to_owned() } else { names.join(" / ") })
}

/// The rows from `first` on, as a table; fails when a cell breaks the promise.
fn matrix(plan: &Plan, first: impl Fn(&[String]) -> usize) -> String {
    let mut clean = plan.net();
    assert!(clean.run(LIMIT), "the clean run hangs");
    for side in [From::Alice, From::Bob] {
        assert!(matches!(clean.end(side), Some(Ok(()))), "{:?}", clean.end(side));
        assert_eq!(clean.received_by(side), clean.sent_by(side.other()));
    }
    let rows = rows(&clean.sent);
    let mut table = "| stanza |".to_owned();
    FAULTS.iter().for_each(|(head, _)| write!(table, " {head} |").unwrap());
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(FAULTS.len()));
    let mut broken = Vec::new();
    for (n, row) in rows.iter().enumerate().skip(first(&rows)) {
        write!(table, "\n| {row} |").unwrap();
        for (head, fault) in FAULTS {
            let name = cell(plan, n, fault).unwrap_or_else(|what| {
                broken.push(format!("{row}, {head}: {what}"));
                "**!**".to_owned()
            });
            write!(table, " {name} |").unwrap();
        }
    }
    table.push('\n');
    println!("{:?}, {:?} closes\n{table}", plan.names, plan.closer);
    assert!(broken.is_empty(), "{} cells:\n{}", broken.len(), broken.join("\n"));
    table
}

/// Where the closing begins: what comes before does not depend on who closes.
fn end(rows: &[String]) -> usize {
    let ping = rows.iter().rposition(|row| row.contains("ping")).unwrap();
    ping + 1
}

/// What the letters of a table stand for.
fn legend(tables: &str) -> String {
    let used =
        |name: &str| tables.contains(&format!("| {name} /")) || tables.contains(&format!("/ {name} |"));
    let mut text = String::new();
    for (name, rule) in ENDS.iter().filter(|(name, _)| used(name)) {
        writeln!(text, "- **{name}**: {} (`{}`)", rule.what, rule.id).unwrap();
    }
    text
}

/// Holds what is kept below a heading of a document to what was computed.
fn keep(document: &str, heading: &str, computed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, kept) = text.split_once(heading).expect("the heading is there");
    if kept.trim().is_empty() {
        std::fs::write(&path, format!("{before}{heading}\n\n{computed}")).unwrap();
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
    let alice = matrix(&plan, |_| 0);
    let bob = matrix(&plan.closed_by_bob(), end);
    let legend = legend(&format!("{alice}{bob}"));
    let computed = format!("{legend}\n{alice}\nWhere Bob closes, from there on:\n\n{bob}");
    keep("docs/faults.md", "## The matrix", &computed);
}

#[test]
fn every_fault_where_blocks_are_small_and_one_is_on_the_way() {
    let limits = Limits::default().with_block(2048).with_window(1);
    let plan = Plan { limits, ..Plan::new(&["SCRAM-SHA-256-PLUS"], plain) };
    matrix(&plan, |_| 0);
    matrix(&plan.closed_by_bob(), end);
}

#[cfg(all(feature = "openssl", feature = "cpace"))]
#[test]
fn every_fault_where_tls_authenticates() {
    for names in [&["CPACE-R255-PSK"][..], &["TLS13-PSK"], &["TLS-SRP"]] {
        matrix(&Plan::new(names, plain), |_| 0);
    }
}
