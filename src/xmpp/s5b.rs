//! SOCKS5 bytestreams (XEP-0065) as a Jingle transport (XEP-0260): the elements, the candidates and their order.
//!
//! Everything here crosses the servers in the open and is proven by nobody: it decides which socket carries the TLS
//! records, and not what they are. The sockets themselves are the driver's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use jid::{FullJid, Jid};
use minidom::Element;
use rxml::xml_ncname;
use sha1::{Digest, Sha1};

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::Side;

use super::ns;
use super::socks5::Destination;
use super::xml::Reader;

/// Most candidates of one side.
pub const CANDIDATES_MAX: usize = 16;

/// Most of the peer's candidates that are tried.
pub const DIALS_MAX: usize = 4;

/// For one connection, SOCKS5 included.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// For a proxy to join both connections.
pub const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Most octets of a host's name, as in the DNS.
pub const HOST_MAX: usize = 255;

/// Most octets of the name of a candidate.
pub const CID_MAX: usize = 64;

/// The port of a host that names none (XEP-0065 section 8.1).
const DEFAULT_PORT: u16 = 1080;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not an element of the right form.
    pub static MALFORMED: Rule = Rule {
        id: "s5b-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0260 section 2",
        what: "the description of the SOCKS5 bytestream is malformed",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// More than anybody needs.
    pub static TOO_MANY_CANDIDATES: Rule = Rule {
        id: "s5b-too-many-candidates",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "the peer offers too many candidates for the bytestream",
        advice: "Report it to the authors of the peer's program.",
    };
    /// A candidate that was not offered.
    pub static UNKNOWN_CANDIDATE: Rule = Rule {
        id: "s5b-unknown-candidate",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0260 section 2.3",
        what: "the peer speaks of a candidate that was not offered to it",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// The peer says that it is connected, and is not.
    pub static NO_CONNECTION: Rule = Rule {
        id: "s5b-no-connection",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0260 section 2.4",
        what: "the peer says that it uses a connection to us, and there is none",
        advice: "Try again; if it comes back, leave SOCKS5 bytestreams out.",
    };
    /// The destination is another one than both ends compute.
    pub static OTHER_DESTINATION: Rule = Rule {
        id: "s5b-other-destination",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0260 section 2.2, XEP-0065 section 5.3.2",
        what: "the bytestream's destination is not made of its identifier and both addresses",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// Not the answer of a proxy.
    pub static NO_PROXY: Rule = Rule {
        id: "s5b-no-proxy",
        kind: ErrorKind::PeerUnavailable,
        source: "XEP-0065 sections 4 and 6",
        what: "no proxy for SOCKS5 bytestreams was found",
        advice: "Name one that your server lets you use, or go without.",
    };
}

/// Whether an error is about such a bytestream.
pub(super) fn is_to_blame(error: &Error) -> bool {
    let own = [
        &rules::MALFORMED,
        &rules::TOO_MANY_CANDIDATES,
        &rules::UNKNOWN_CANDIDATE,
        &rules::NO_CONNECTION,
        &rules::OTHER_DESTINATION,
    ];
    own.into_iter().any(|rule| error.is(rule))
}

/// The destination of connections to the candidates of `offerer`.
#[must_use]
pub fn destination(sid: &str, offerer: &FullJid, other: &FullJid) -> Destination {
    let mut hash = Sha1::new();
    for part in [sid, offerer.as_str(), other.as_str()] {
        hash.update(part.as_bytes());
    }
    Destination::of(hash.finalize().into())
}

/// How a candidate is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An address of the offerer's own.
    Direct,
    /// The same behind a NAT that lets it through.
    Assisted,
    /// An address in a tunnel.
    Tunnel,
    /// A proxy (XEP-0065 section 6).
    Proxy,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Direct, Self::Assisted, Self::Tunnel, Self::Proxy];

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Assisted => "assisted",
            Self::Tunnel => "tunnel",
            Self::Proxy => "proxy",
        }
    }

    /// The priority of a candidate of this kind: one with a higher `local` comes first.
    #[must_use]
    pub fn priority(self, local: u16) -> u32 {
        let preference = match self {
            Self::Direct => 126,
            Self::Assisted => 120,
            Self::Tunnel => 110,
            Self::Proxy => 10,
        };
        65536 * preference + u32::from(local)
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| Error::new(&rules::MALFORMED).about("type"))
    }
}

/// One way to connect to the side that offers it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name.
    pub cid: String,
    /// Where it listens.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Who listens: the offerer, or the proxy.
    pub jid: Jid,
    /// How much it is liked.
    pub priority: u32,
    /// What it is.
    pub kind: Kind,
}

impl Candidate {
    fn to_element(&self) -> Element {
        Element::builder("candidate", ns::JINGLE_S5B)
            .attr(xml_ncname!("cid").to_owned(), &self.cid)
            .attr(xml_ncname!("host").to_owned(), &self.host)
            .attr(xml_ncname!("jid").to_owned(), self.jid.as_str())
            .attr(xml_ncname!("port").to_owned(), self.port)
            .attr(xml_ncname!("priority").to_owned(), self.priority.to_string())
            .attr(xml_ncname!("type").to_owned(), self.kind.name())
            .build()
    }

    fn read(candidate: Reader<'_>) -> Result<Self> {
        let host = StreamHost::read(candidate)?;
        Ok(Self {
            cid: read_cid(candidate)?,
            host: host.host,
            port: host.port,
            jid: host.jid,
            priority: candidate.parsed("priority")?,
            kind: candidate.parsed_if_there("type")?.unwrap_or(Kind::Direct),
        })
    }
}

fn read_cid(element: Reader<'_>) -> Result<String> {
    element.no_text()?;
    let cid = element.attribute("cid")?;
    if (1..=CID_MAX).contains(&cid.len()) { Ok(cid.to_owned()) } else { Err(element.broken("cid")) }
}

/// Where somebody listens for SOCKS5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHost {
    jid: Jid,
    host: String,
    port: u16,
}

impl StreamHost {
    /// Of a proxy, by its address on the XMPP network and on the other one.
    ///
    /// # Errors
    /// [`rules::MALFORMED`] for a host that is empty or longer than [`HOST_MAX`], and for port 0.
    pub fn new(jid: Jid, host: impl Into<String>, port: u16) -> Result<Self> {
        let host = host.into();
        if port == 0 || !(1..=HOST_MAX).contains(&host.len()) {
            return Err(Error::new(&rules::MALFORMED).about("host"));
        }
        Ok(Self { jid, host, port })
    }

    /// Who it is.
    #[must_use]
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// The name or address of the host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn read(element: Reader<'_>) -> Result<Self> {
        let port = element.parsed_if_there("port")?.unwrap_or(DEFAULT_PORT);
        Self::new(element.parsed("jid")?, element.attribute("host")?, port)
    }

    /// The question to a proxy (XEP-0065 section 4).
    #[must_use]
    pub fn question() -> Element {
        Element::bare("query", ns::BYTESTREAMS)
    }

    /// The first host in a proxy's answer.
    ///
    /// # Errors
    /// [`rules::MALFORMED`], [`rules::NO_PROXY`].
    pub fn from_answer(answer: &Element) -> Result<Self> {
        let query = Reader::new(answer, "query", ns::BYTESTREAMS, &rules::MALFORMED)?;
        let host = query.children()?.find(|child| child.is("streamhost", ns::BYTESTREAMS));
        Self::read(query.child(host.ok_or_else(|| Error::new(&rules::NO_PROXY))?))
    }
}

/// The request to a proxy to join both connections (XEP-0065 section 6.3.5).
#[must_use]
pub fn activate(sid: &str, target: &FullJid) -> Element {
    let target = Element::builder("activate", ns::BYTESTREAMS).append(target.as_str());
    Element::builder("query", ns::BYTESTREAMS)
        .attr(xml_ncname!("sid").to_owned(), sid)
        .append(target.build())
        .build()
}

/// What a side may offer beside in-band bytestreams.
///
/// # Security
/// Candidates name addresses, and the servers see them. Whoever connects to a candidate shows its own address to the host
/// that the peer has named, a proxy or what it calls one.
#[derive(Clone, Debug, Default)]
pub struct Socks5 {
    addresses: Option<Vec<SocketAddr>>,
    proxies: Vec<StreamHost>,
}

impl Socks5 {
    /// Offers nothing of its own yet, and connects to the peer's proxies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers these own addresses, the first one first, where the application listens; there may be none. The peer's own
    /// addresses are connected to as well.
    #[must_use]
    pub fn with_direct(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = Some(addresses.into_iter().collect());
        self
    }

    /// Offers a proxy too, after those before it.
    #[must_use]
    pub fn with_proxy(mut self, proxy: StreamHost) -> Self {
        self.proxies.push(proxy);
        self
    }

    /// The candidates, the best first; those beyond [`CANDIDATES_MAX`] are left out.
    pub(super) fn candidates(&self, own: &FullJid) -> Vec<Candidate> {
        let direct = self
            .addresses
            .iter()
            .flatten()
            .map(|address| (Kind::Direct, own.clone().into(), address.ip().to_string(), address.port()));
        let proxies = self.proxies.iter().cloned();
        let proxies = proxies.map(|StreamHost { jid, host, port }| (Kind::Proxy, jid, host, port));
        let all = direct.chain(proxies).take(CANDIDATES_MAX).zip(0..);
        all.map(|((kind, jid, host, port), place)| Candidate {
            cid: format!("c{place}"),
            host,
            port,
            jid,
            priority: kind.priority(u16::MAX - place),
            kind,
        })
        .collect()
    }

    /// Whether one of the peer's candidates may be connected to.
    pub(super) fn may_dial(&self, candidate: &Candidate) -> bool {
        let wanted = candidate.kind == Kind::Proxy || self.addresses.is_some();
        let usable = match candidate.host.parse::<IpAddr>() {
            Ok(address) => may_dial(address, self.has_loopback()),
            // A name is looked up for a proxy only: others are addresses.
            Err(_) => candidate.kind == Kind::Proxy,
        };
        wanted && usable
    }

    /// Whether this machine itself is among what is offered. Only then a candidate may lead to it: services that
    /// listen on loopback trust whoever comes from there.
    pub(super) fn has_loopback(&self) -> bool {
        let is_loopback = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let proxies = self.proxies.iter().any(|proxy| is_loopback(&proxy.host));
        proxies || self.addresses.iter().flatten().any(|address| address.ip().is_loopback())
    }
}

/// Whether an address is one that a connection may lead to; `loopback` lets this machine itself be one.
pub(super) fn may_dial(address: IpAddr, loopback: bool) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast) && (loopback || !address.is_loopback())
}

/// The `<transport/>` element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transport {
    /// The bytestream.
    pub sid: String,
    /// Of connections to the candidates.
    pub destination: Option<Destination>,
    /// What is said.
    pub payload: Payload,
}

/// What a side says about the bytestream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// Its candidates; there may be none.
    Candidates(Vec<Candidate>),
    /// It is connected to this candidate of the other side.
    Used(String),
    /// It cannot connect to any.
    Error,
    /// Its proxy has joined both connections.
    Activated(String),
    /// Its proxy has not.
    ProxyError,
}

impl Transport {
    /// An offer, or the answer to one.
    #[must_use]
    pub fn offer(sid: impl Into<String>, destination: Destination, candidates: Vec<Candidate>) -> Self {
        let payload = Payload::Candidates(candidates);
        Self { sid: sid.into(), destination: Some(destination), payload }
    }

    /// What is said later.
    #[must_use]
    pub fn info(sid: impl Into<String>, payload: Payload) -> Self {
        Self { sid: sid.into(), destination: None, payload }
    }

    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let bare = |name: &str| vec![Element::bare(name, ns::JINGLE_S5B)];
        let named = |name: &str, cid: &str| {
            let element = Element::builder(name, ns::JINGLE_S5B).attr(xml_ncname!("cid").to_owned(), cid);
            vec![element.build()]
        };
        let children = match &self.payload {
            Payload::Candidates(candidates) => candidates.iter().map(Candidate::to_element).collect(),
            Payload::Used(cid) => named("candidate-used", cid),
            Payload::Error => bare("candidate-error"),
            Payload::Activated(cid) => named("activated", cid),
            Payload::ProxyError => bare("proxy-error"),
        };
        Element::builder("transport", ns::JINGLE_S5B)
            .attr(xml_ncname!("dstaddr").to_owned(), self.destination.as_ref().map(Destination::as_str))
            .attr(xml_ncname!("sid").to_owned(), &self.sid)
            .append_all(children)
            .build()
    }

    /// Parses. Unknown children are ignored.
    ///
    /// # Errors
    /// [`rules::MALFORMED`], [`rules::TOO_MANY_CANDIDATES`].
    pub fn from_element(element: &Element) -> Result<Self> {
        Reader::new(element, "transport", ns::JINGLE_S5B, &rules::MALFORMED).and_then(Self::read)
    }

    /// The same of an element whose name has been looked at.
    pub(super) fn read(transport: Reader<'_>) -> Result<Self> {
        let transport = transport.under(&rules::MALFORMED);
        let mode = transport.parsed_if_there::<String>("mode")?;
        if mode.is_some_and(|mode| mode != "tcp") {
            return Err(transport.broken("mode"));
        }
        let (mut candidates, mut said) = (Vec::new(), None);
        for child in transport.children()?.filter(|child| child.has_ns(ns::JINGLE_S5B)) {
            let part = transport.child(child);
            let payload = match child.name() {
                "candidate" if candidates.len() == CANDIDATES_MAX => {
                    let (many, most) = (CANDIDATES_MAX as u64 + 1, CANDIDATES_MAX as u64);
                    return Err(Error::exceeds(&rules::TOO_MANY_CANDIDATES, many, most));
                }
                "candidate" => {
                    let candidate = Candidate::read(part)?;
                    if candidates.iter().any(|other: &Candidate| other.cid == candidate.cid) {
                        return Err(part.broken("cid"));
                    }
                    candidates.push(candidate);
                    continue;
                }
                "candidate-used" => Payload::Used(read_cid(part)?),
                "candidate-error" => Payload::Error,
                "activated" => Payload::Activated(read_cid(part)?),
                "proxy-error" => Payload::ProxyError,
                _ => continue,
            };
            transport.once(&mut said, child.name(), payload)?;
        }
        let payload = match said {
            None => Payload::Candidates(candidates),
            Some(payload) if candidates.is_empty() => payload,
            Some(_) => return Err(transport.broken("candidate")),
        };
        let destination = transport.parsed_if_there("dstaddr")?;
        Ok(Self { sid: transport.attribute("sid")?.to_owned(), destination, payload })
    }
}

/// Whose choice is taken, by the priorities of the candidates that both sides are connected to (XEP-0260 section 2.4):
/// the higher one, and the initiator's where they are the same.
#[must_use]
pub fn nominate(initiators: Option<u32>, responders: Option<u32>) -> Option<Side> {
    match (initiators, responders) {
        (None, None) => None,
        (Some(initiators), Some(responders)) if initiators < responders => Some(Side::Server),
        (None, Some(_)) => Some(Side::Server),
        (Some(_), _) => Some(Side::Client),
    }
}

/// By which way the octets of a tunnel go. The tunnel is the same over each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// In stanzas over the servers.
    InBand,
    /// Over a connection between both ends.
    Direct,
    /// Over a proxy.
    Proxy(Jid),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InBand => f.write_str("in stanzas over the servers"),
            Self::Direct => f.write_str("a direct connection"),
            Self::Proxy(jid) => write!(f, "the proxy {jid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSPORT: &str = "<transport xmlns='urn:xmpp:jingle:transports:s5b:1' ";

    fn full(jid: &str) -> FullJid {
        FullJid::new(jid).unwrap()
    }

    fn read(text: &str) -> Result<Transport> {
        Transport::from_element(&text.parse().unwrap())
    }

    fn proxy(host: &str) -> StreamHost {
        StreamHost::new(Jid::new("proxy.example").unwrap(), host, 7777).unwrap()
    }

    fn candidate(attributes: &str) -> String {
        format!("{TRANSPORT} sid='s'><candidate {attributes}/></transport>")
    }

    #[test]
    fn an_offer_both_ways() {
        let (alice, bob) = (full("alice@atlanta.example/lap"), full("bob@biloxi.example/tab"));
        let own = Socks5::new()
            .with_direct(["192.0.2.1:5086".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()]);
        let own = own.with_proxy(proxy("proxy.example"));
        let offer = Transport::offer("s5Qa9", destination("s5Qa9", &alice, &bob), own.candidates(&alice));
        // printf 's5Qa9alice@atlanta.example/lapbob@biloxi.example/tab' | sha1sum
        let literal = format!(
            "{TRANSPORT} dstaddr='4220dae48b2c0aae8dc3e3665d9656029d1f2b7e' sid='s5Qa9'>\
             <candidate cid='c0' host='192.0.2.1' jid='alice@atlanta.example/lap' port='5086' priority='8323071' \
             type='direct'/>\
             <candidate cid='c1' host='2001:db8::1' jid='alice@atlanta.example/lap' port='1' priority='8323070' \
             type='direct'/>\
             <candidate cid='c2' host='proxy.example' jid='proxy.example' port='7777' priority='720893' type='proxy'/>\
             </transport>"
        );
        assert_eq!(offer.to_element(), literal.parse().unwrap());
        assert_eq!(read(&literal).unwrap(), offer);
    }

    #[test]
    fn what_is_said_later_both_ways() {
        for (payload, literal) in [
            (Payload::Candidates(vec![]), ""),
            (Payload::Used("c1".to_owned()), "<candidate-used cid='c1'/>"),
            (Payload::Error, "<candidate-error/>"),
            (Payload::Activated("c1".to_owned()), "<activated cid='c1'/>"),
            (Payload::ProxyError, "<proxy-error/>"),
        ] {
            let literal = format!("{TRANSPORT} sid='s'>{literal}</transport>");
            let info = Transport::info("s", payload);
            assert_eq!(info.to_element(), literal.parse().unwrap());
            assert_eq!(read(&literal).unwrap(), info);
        }
    }

    #[test]
    fn what_may_be_left_out_is_filled_in() {
        let least = candidate("cid='c' host='192.0.2.1' jid='a@x/1' priority='7'");
        let Payload::Candidates(candidates) = read(&least).unwrap().payload else { panic!() };
        assert_eq!((candidates[0].kind, candidates[0].port), (Kind::Direct, 1080));
        let more = format!("{TRANSPORT} sid='s' mode='tcp' new='1'><x xmlns='urn:x'/><later/></transport>");
        assert_eq!(read(&more).unwrap().payload, Payload::Candidates(vec![]));
    }

    #[test]
    fn malformed_elements_are_refused() {
        let full = "cid='c' host='h' jid='a@x/1' port='1' priority='7' type='proxy'";
        assert!(read(&candidate(full)).is_ok());
        let mut cases = vec![
            format!("{TRANSPORT}/>"),
            format!("{TRANSPORT} sid='s' mode='udp'/>"),
            format!("{TRANSPORT} sid='s'>text</transport>"),
            format!("{TRANSPORT} sid='s'><candidate-used/></transport>"),
            format!("{TRANSPORT} sid='s'><activated cid=''/></transport>"),
            format!("{TRANSPORT} sid='s'><candidate-error/><candidate-error/></transport>"),
            format!("{TRANSPORT} sid='s'><candidate-used cid='c'/><activated cid='c'/></transport>"),
            format!("{TRANSPORT} sid='s'><candidate {full}/><proxy-error/></transport>"),
            format!("{TRANSPORT} sid='s'><candidate {full}/><candidate {full}/></transport>"),
            "<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='s'/>".to_owned(),
        ];
        for (part, edited) in [
            ("cid='c'", ""),
            ("cid='c'", "cid=''"),
            ("host='h'", ""),
            ("host='h'", "host=''"),
            ("jid='a@x/1'", ""),
            ("jid='a@x/1'", "jid='@'"),
            ("port='1'", "port='0'"),
            ("port='1'", "port='65536'"),
            ("priority='7'", ""),
            ("priority='7'", "priority='-1'"),
            ("priority='7'", "priority='4294967296'"),
            ("type='proxy'", "type='magic'"),
        ] {
            cases.push(candidate(&full.replace(part, edited)));
        }
        for text in cases {
            assert!(read(&text).unwrap_err().is(&rules::MALFORMED), "{text}");
        }
        let bad = format!("{TRANSPORT} sid='s' dstaddr='00'/>");
        assert!(read(&bad).unwrap_err().is(&rules::MALFORMED));
    }

    #[test]
    fn names_and_numbers_are_limited_exactly() {
        let named = |cid: usize, host: usize| {
            let (cid, host) = ("c".repeat(cid), "h".repeat(host));
            read(&candidate(&format!("cid='{cid}' host='{host}' jid='a@x/1' priority='7'")))
        };
        assert!(named(CID_MAX, HOST_MAX).is_ok());
        assert!(named(CID_MAX + 1, 1).unwrap_err().is(&rules::MALFORMED));
        assert!(named(1, HOST_MAX + 1).unwrap_err().is(&rules::MALFORMED));
        let many = |count: usize| {
            let candidate = |n| format!("<candidate cid='{n}' host='h' jid='a@x/1' priority='7'/>");
            read(&format!(
                "{TRANSPORT} sid='s'>{}</transport>",
                (0..count).map(candidate).collect::<String>()
            ))
        };
        assert!(many(CANDIDATES_MAX).is_ok());
        let error = many(CANDIDATES_MAX + 1).unwrap_err();
        assert!(error.is(&rules::TOO_MANY_CANDIDATES));
        let addresses = (1..=20).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let own = Socks5::new().with_direct(addresses).candidates(&full("a@x/1"));
        assert_eq!(own.len(), CANDIDATES_MAX);
    }

    #[test]
    fn the_higher_priority_wins_and_then_the_initiator() {
        for (initiators, responders, winner) in [
            (None, None, None),
            (Some(1), None, Some(Side::Client)),
            (None, Some(1), Some(Side::Server)),
            (Some(2), Some(1), Some(Side::Client)),
            (Some(1), Some(2), Some(Side::Server)),
            (Some(1), Some(1), Some(Side::Client)),
        ] {
            assert_eq!(nominate(initiators, responders), winner);
        }
    }

    #[test]
    fn some_addresses_are_never_dialled() {
        let direct = |host: &str| Candidate {
            cid: "c".to_owned(),
            host: host.to_owned(),
            port: 1,
            jid: Jid::new("a@x/1").unwrap(),
            priority: 1,
            kind: Kind::Direct,
        };
        let far = Socks5::new().with_direct(["192.0.2.1:1".parse().unwrap()]);
        let near = Socks5::new().with_direct(["127.0.0.1:1".parse().unwrap()]);
        for (host, from_far, from_near) in [
            ("192.0.2.9", true, true),
            ("10.0.0.1", true, true),
            ("2001:db8::9", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("255.255.255.255", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("host.example", false, false),
        ] {
            assert_eq!(
                (far.may_dial(&direct(host)), near.may_dial(&direct(host))),
                (from_far, from_near),
                "{host}"
            );
            assert!(!Socks5::new().may_dial(&direct(host)), "not asked for: {host}");
        }
        let by_name = Candidate { kind: Kind::Proxy, ..direct("proxy.example") };
        assert!(Socks5::new().may_dial(&by_name));
        assert!(Socks5::new().with_proxy(proxy("127.0.0.1")).has_loopback());
    }

    #[test]
    fn what_a_proxy_hears_and_says() {
        let request = "<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate>b@y/2</activate></query>";
        assert_eq!(activate("s", &full("b@y/2")), request.parse().unwrap());
        let query = |inner: &str| {
            let text = format!("<query xmlns='http://jabber.org/protocol/bytestreams'>{inner}</query>");
            StreamHost::from_answer(&text.parse().unwrap())
        };
        assert_eq!(
            StreamHost::question(),
            "<query xmlns='http://jabber.org/protocol/bytestreams'/>".parse().unwrap()
        );
        let host = "<streamhost jid='proxy.example' host='192.0.2.1' port='7777'/>";
        assert_eq!(query(host).unwrap(), proxy("192.0.2.1"));
        assert!(query("").unwrap_err().is(&rules::NO_PROXY));
        assert!(query("<streamhost jid='proxy.example'/>").unwrap_err().is(&rules::MALFORMED));
        let other = Element::bare("query", ns::DISCO_INFO);
        assert!(StreamHost::from_answer(&other).unwrap_err().is(&rules::MALFORMED));
    }
}
