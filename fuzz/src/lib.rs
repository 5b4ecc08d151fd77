//! What the fuzz targets do with octets of an attacker, and honest octets to start from.
//!
//! No target may panic, hang or run out of memory; what else must hold is asserted.

mod exchange;

use std::str;

use countersign::srp::{self, Client, Dialect, Group, Legacy, Parameters, Prehash, Server, Verifier, files};
use countersign::xmpp::socks5::{self as codec, Destination, Progress};
use countersign::xmpp::{Element, Limits, REPLY_TIMEOUT, ibb, jingle, ns, stream};
use rand_core::Rng;

pub use exchange::{Rng as RepeatableRng, cpace, opaque, scram, spake2plus, srp_plus, srp_sasl};
use exchange::{SALT, USER, password};

/// A target with its seeds.
pub struct Target {
    /// As in `fuzz_targets/`.
    pub name: &'static str,
    /// One run.
    pub run: fn(&[u8]),
    /// Octets that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target { name: "scram", run: scram, seeds: || exchange::seeds("SCRAM-") },
    Target { name: "cpace", run: cpace, seeds: || exchange::seeds("CPACE-") },
    Target { name: "spake2plus", run: spake2plus, seeds: || exchange::seeds("SPAKE2P") },
    Target { name: "opaque", run: opaque, seeds: || exchange::seeds("OPAQUE-") },
    Target { name: "srp_sasl", run: srp_sasl, seeds: || exchange::seeds("SRP") },
    Target { name: "srp_plus", run: srp_plus, seeds: || exchange::seeds("SRP-") },
    Target { name: "srp_shares", run: srp_shares, seeds: share_seeds },
    Target { name: "srp_files", run: srp_files, seeds: file_seeds },
    Target { name: "xml_stream", run: xml_stream, seeds: stream_seeds },
    Target { name: "jingle", run: jingle, seeds: jingle_seeds },
    Target { name: "ibb", run: ibb, seeds: ibb_seeds },
    Target { name: "socks5", run: socks5, seeds: socks5_seeds },
];

/// SHA-1 in hex, as SOCKS5 carries it.
const DESTINATION: &str = "972b7bf47291ca609517f67f86b5081086052dad";

/// Longest share, well above what any transport of ours lets through.
const SHARE_MAX: usize = 1 << 16;

fn parameters(group: Group) -> Parameters {
    Parameters { dialect: Dialect::RFC5054, group, prehash: Prehash::None }
}

/// A peer's A and B, from the second octet on; the first one chooses the group.
pub fn srp_shares(data: &[u8]) {
    let Some((&choice, share)) = data.split_first() else { return };
    let group = Group::ALL[usize::from(choice) % Group::ALL.len()];
    let parameters = parameters(group);
    let verifier = Verifier::from_parts(&parameters, &SALT, &[7; 64]).expect("2 to N-1");
    let server = Server::start(parameters.dialect, verifier, &mut exchange::Rng(1)).expect("its own dialect");
    let client = Client::start(parameters, &mut exchange::Rng(2));
    let value = share.iter().skip_while(|octet| **octet == 0).copied().collect::<Vec<_>>();
    let padded = [&vec![0; group.modulus().len().saturating_sub(value.len())][..], &value].concat();
    let mut last = group.modulus().to_vec();
    *last.last_mut().expect("not empty") -= 1;
    let good = padded.len() == last.len() && padded < last && !matches!(value[..], [] | [1]);
    let results = [server.receive(USER, share).err(), client.respond(USER, &password(), &SALT, share).err()];
    for error in results {
        assert_eq!(error.is_none(), good);
        if let Some(error) = error {
            // The message is constant.
            assert_eq!((error.numbers(), error.subject()), (None, None));
        }
    }
}

fn share_seeds() -> Vec<Vec<u8>> {
    // 2048, 3072 and 1024 bits.
    [3_u8, 4, 0].into_iter().flat_map(of_group).collect()
}

fn of_group(choice: u8) -> Vec<Vec<u8>> {
    let n = Group::ALL[usize::from(choice)].modulus();
    let near = |last: u8| [&n[..n.len() - 1], &[last]].concat();
    let last = n[n.len() - 1];
    let mut twice = vec![0; n.len() + 1];
    for (i, octet) in n.iter().enumerate() {
        twice[i] |= octet >> 7;
        twice[i + 1] = octet << 1;
    }
    let mut random = vec![0; n.len()];
    exchange::Rng(3).fill_bytes(&mut random[1..]);
    let shares = [
        vec![],
        vec![0],
        vec![1],
        vec![2],
        vec![0; n.len()],
        near(last - 2),
        near(last - 1),
        n.to_vec(),
        near(last.wrapping_add(1)),
        twice,
        [&[1], n].concat(),
        vec![0; SHARE_MAX],
        vec![0xff; SHARE_MAX],
        random,
    ];
    shares.into_iter().map(|share| [&[choice], &share[..]].concat()).collect()
}

/// Records of SRP in each form: what is read is written and read again as the same.
pub fn srp_files(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let same = |again: Verifier, first: &Verifier| {
        assert_eq!(
            (again.salt(), again.expose(), again.group()),
            (first.salt(), first.expose(), first.group())
        );
    };
    if let Ok((user, record)) = Verifier::from_openssl(text, Legacy::Allowed)
        && let Ok(line) = record.to_openssl(&user)
    {
        same(Verifier::from_openssl(&line, Legacy::Allowed).expect("what was written").1, &record);
    }
    if let Ok((user, record)) = Verifier::from_gnutls(text, None, Legacy::Allowed)
        && let Ok(line) = record.to_gnutls(&user)
    {
        same(Verifier::from_gnutls(&line, None, Legacy::Allowed).expect("what was written").1, &record);
    }
    let conf = files::group_to_gnutls(Group::Bits2048).expect("GnuTLS has it");
    let _ = Verifier::from_gnutls(text, Some(&conf), Legacy::Allowed);
    let _ = Verifier::from_gnutls("alice:1:2:3", Some(text), Legacy::Allowed);
    let _ = files::group_from_gnutls(text, Legacy::Allowed);
    if let Ok(record) = Verifier::from_cyrus(text)
        && let Ok(property) = record.to_cyrus()
    {
        same(Verifier::from_cyrus(&property).expect("what was written"), &record);
    }
    if let Ok(record) = Verifier::from_json(text, Legacy::Allowed) {
        same(Verifier::from_json(&record.to_json(), Legacy::Allowed).expect("what was written"), &record);
    }
}

fn file_seeds() -> Vec<Vec<u8>> {
    let record =
        |parameters| Verifier::derive(&parameters, USER, &password(), &SALT).expect("a good password");
    let plain = record(parameters(Group::Bits2048));
    [
        plain.to_openssl(USER).expect("OpenSSL has it").to_string(),
        plain.to_gnutls(USER).expect("GnuTLS has it").to_string(),
        record(srp::sasl::PARAMETERS).to_cyrus().expect("Cyrus SASL has it").to_string(),
        record(parameters(Group::Bits3072)).to_json().to_string(),
        files::group_to_gnutls(Group::Bits2048).expect("GnuTLS has it"),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// A stream, whole and octet by octet: the same items and the same end. Elements are written and read again as the same.
pub fn xml_stream(data: &[u8]) {
    let limits = Limits::default();
    let read = |chunk: usize| {
        let mut parser = stream::Parser::new(&limits);
        let mut items = Vec::new();
        for mut octets in data.chunks(chunk.max(1)) {
            loop {
                match parser.read(&mut octets) {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(error) => return (items, Some(error.rule().id)),
                }
            }
        }
        (items, None)
    };
    let (items, error) = read(data.len());
    let (again, same) = read(1);
    assert_eq!((&again, same), (&items, error));
    for item in items {
        let stream::Item::Element(element) = item else { continue };
        let Ok(octets) = stream::to_octets(&element) else { continue };
        let mut parser = stream::Parser::new(&limits);
        let header = stream::Header::new().to_octets();
        assert!(matches!(parser.read(&mut &header[..]), Ok(Some(stream::Item::Header(_)))));
        // Written with all its declarations it may be longer than it was.
        if let Ok(again) = parser.read(&mut &octets[..]) {
            assert_eq!(again, Some(stream::Item::Element(element)));
        }
    }
}

fn stream_seeds() -> Vec<Vec<u8>> {
    let header = stream::Header::new().to_octets();
    let bodies = [
        "<message xmlns='jabber:client' to='bob@example.org/tab' type='chat'><body>Hello &amp; welcome</body></message>",
        "<iq xmlns='jabber:client' id='1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
        "<x xmlns='urn:example'><![CDATA[<&]]><y:z xmlns:y='urn:y' y:a='&#x41;'/> </x>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><x xmlns='urn:example'>&a;</x>",
    ];
    bodies.iter().map(|body| [&header[..], body.as_bytes()].concat()).collect()
}

/// The first element of a stream.
fn element(data: &[u8]) -> Option<Element> {
    let mut parser = stream::Parser::new(&Limits::default());
    parser.read(&mut &stream::Header::new().to_octets()[..]).expect("a header");
    match parser.read(&mut &*data) {
        Ok(Some(stream::Item::Element(element))) => Some(element),
        _ => None,
    }
}

/// A Jingle element, and its offer.
pub fn jingle(data: &[u8]) {
    let Some(element) = element(data) else { return };
    if let Ok(security) = jingle::Security::from_element(&element) {
        let _ = (security.canonical(), security.fingerprint(), security.mechanisms().count());
    }
    let Ok(jingle) = jingle::Jingle::from_element(&element) else { return };
    let again = jingle::Jingle::from_element(&jingle.to_element()).expect("what was written");
    assert_eq!(again, jingle);
    if let Ok(offer) = jingle.into_offer() {
        let _ = offer.security.canonical();
    }
}

fn jingle_seeds() -> Vec<Vec<u8>> {
    let security = format!(
        "<security xmlns='{}'><fingerprint algo='sha-256'>{}</fingerprint><method name='x509'/>\
         <mechanism xmlns='{}'>CPACE-R255-PLUS</mechanism></security>",
        ns::XTLS,
        "27add774ae755a3d499d4925d0db91381d29621c2afd5d1d3b5243919e46c8c8",
        ns::E2E
    );
    let in_band = format!("<transport xmlns='{}' block-size='4096' sid='s1'/>", ns::JINGLE_IBB);
    let socks5 = format!(
        "<transport xmlns='{}' sid='s1' dstaddr='{DESTINATION}' mode='tcp'><candidate cid='c0' host='192.0.2.1' \
         jid='a@b.example/c' port='5086' priority='8323071' type='direct'/></transport>",
        ns::JINGLE_S5B
    );
    let content = format!(
        "<content creator='initiator' name='e2e'><description xmlns='{}'/>{in_band}{security}</content>",
        ns::XMLSTREAM
    );
    let info = format!(
        "<content creator='initiator' name='e2e'><transport xmlns='{}' sid='s1'><candidate-used cid='c0'/></transport>\
         </content>",
        ns::JINGLE_S5B
    );
    let jingle = |attributes: &str, inside: &str| {
        format!("<jingle xmlns='{}' sid='j1' {attributes}>{inside}</jingle>", ns::JINGLE)
    };
    [
        jingle("action='session-initiate' initiator='a@b.example/c'", &content),
        jingle("action='session-accept' responder='d@e.example/f'", &content),
        jingle("action='session-initiate'", &content.replace(&in_band, &socks5)),
        jingle("action='transport-info'", &info),
        jingle("action='session-terminate'", "<reason><success/><text>done</text></reason>"),
        security,
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// The elements of an in-band bytestream, in any order.
pub fn ibb(data: &[u8]) {
    let mut parser = stream::Parser::new(&Limits::default());
    parser.read(&mut &stream::Header::new().to_octets()[..]).expect("a header");
    let mut bytestream = ibb::Bytestream::new("s1", 64, 4, REPLY_TIMEOUT);
    let mut octets = data;
    while let Ok(Some(stream::Item::Element(element))) = parser.read(&mut octets) {
        let _ = bytestream.check_open(&element);
        if let Ok(block) = bytestream.receive(&element) {
            assert!(block.len() <= usize::from(bytestream.block()));
        }
    }
}

fn ibb_seeds() -> Vec<Vec<u8>> {
    let data = |seq: u16| format!("<data xmlns='{}' sid='s1' seq='{seq}'>c29tZSBvY3RldHM=</data>", ns::IBB);
    let open = format!("<open xmlns='{}' sid='s1' block-size='64' stanza='iq'/>", ns::IBB);
    let close = format!("<close xmlns='{}' sid='s1'/>", ns::IBB);
    [[open, data(0), data(1), close].concat(), data(0) + &data(0), data(65_535), data(1)]
        .map(String::into_bytes)
        .to_vec()
}

/// Both ends of SOCKS5: each takes what it wants and leaves the rest.
pub fn socks5(data: &[u8]) {
    let (mut client, _) = codec::Client::start(DESTINATION.parse().expect("forty digits"));
    let mut octets = data;
    while let Some((wanted, rest)) = octets.split_at_checked(client.wants()) {
        octets = rest;
        match client.receive(wanted) {
            Progress::More(next, _) => client = next,
            Progress::Done(()) | Progress::Failed(..) => break,
        }
    }
    let (mut server, mut octets) = (codec::Server::start(), data);
    while let Some((wanted, rest)) = octets.split_at_checked(server.wants()) {
        octets = rest;
        match server.receive(wanted) {
            Progress::More(next, _) => server = next,
            Progress::Done(asked) => {
                let name = asked.destination().as_str();
                assert_eq!(name.parse::<Destination>().expect("checked").as_str(), name);
                break;
            }
            Progress::Failed(..) => break,
        }
    }
}

fn socks5_seeds() -> Vec<Vec<u8>> {
    let message = |code: u8| [&[5, code, 0, 3, 40][..], DESTINATION.as_bytes(), &[0, 0]].concat();
    vec![
        [&[5, 1, 0][..], &message(1)].concat(),
        [&[5, 0][..], &message(0), b"TLS"].concat(),
        [5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80].to_vec(),
        [5, 3, 0, 1, 2, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0].to_vec(),
    ]
}
