//! The order on the wire, as literals. TLS is replaced by frames that can be read.

use countersign::mechanism::Side;
use countersign::xmpp::Event;

use crate::kit::*;

/// `>` is from Alice. The identifiers come from counting octets; `SID` and `STREAM` stand for the two long ones.
const WIRE: &str = "\
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-i1' to='bob@biloxi.example/tab' type='get'>\
<query xmlns='http://jabber.org/protocol/disco#info'/></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-i1' to='alice@atlanta.example/lap' type='result'>\
<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='console'/>\
<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/ibb'/>\
<feature var='urn:xmpp:jingle:1'/><feature var='urn:xmpp:jingle:apps:xmlstream:0'/>\
<feature var='urn:xmpp:jingle:security:xtls:0'/><feature var='urn:xmpp:jingle:transports:ibb:1'/></query></iq>
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-i2' to='bob@biloxi.example/tab' type='set'>\
<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='alice@atlanta.example/lap' sid='SID'>\
<content creator='initiator' name='e2e'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>\
<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='STREAM'/>\
<security xmlns='urn:xmpp:jingle:security:xtls:0'>\
<fingerprint algo='sha-256'>27add774ae755a3d499d4925d0db91381d29621c2afd5d1d3b5243919e46c8c8</fingerprint>\
<method name='x509'/><mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-256-PLUS</mechanism>\
<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-1-PLUS</mechanism></security></content></jingle></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-i2' to='alice@atlanta.example/lap' type='result'/>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-r1' to='alice@atlanta.example/lap' type='set'>\
<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' responder='bob@biloxi.example/tab' sid='SID'>\
<content creator='initiator' name='e2e'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>\
<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='STREAM'/>\
<security xmlns='urn:xmpp:jingle:security:xtls:0'>\
<fingerprint algo='sha-256'>275f01430a44450c93ef8501f51d8d1a24dc4eab1437ea70b40e36650be9afbf</fingerprint>\
<method name='x509'/><mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-256-PLUS</mechanism>\
<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-1-PLUS</mechanism></security></content></jingle></iq>
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-r1' to='bob@biloxi.example/tab' type='result'/>
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-i3' to='bob@biloxi.example/tab' type='set'>\
<open xmlns='http://jabber.org/protocol/ibb' block-size='4096' sid='STREAM'/></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-i3' to='alice@atlanta.example/lap' type='result'/>
> data 0 H
< data 0 H
> data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>
< data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='808182838485868788898a8b8c8d8e8f' version='1.0'>\
<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
<mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
<channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>
> data 2 D <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256-PLUS'>…</auth>
< data 2 D <challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</challenge>
> data 3 D <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</response>
< data 3 D <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</success>
> data 4 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>
< data 4 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='NEW' version='1.0'>\
<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>
> data 5 D <message xmlns='jabber:client'><body>hi</body></message>
< data 5 D <message xmlns='jabber:client'><bytes xmlns='urn:countersign:e2e:0'>YWJj</bytes></message>
> data 6 D </stream:stream>
< data 6 D </stream:stream> C
> data 7 C
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-i12' to='bob@biloxi.example/tab' type='set'>\
<close xmlns='http://jabber.org/protocol/ibb' sid='STREAM'/></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-i12' to='alice@atlanta.example/lap' type='result'/>
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-i13' to='bob@biloxi.example/tab' type='set'>\
<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='SID'><reason><success/></reason></jingle></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-i13' to='alice@atlanta.example/lap' type='result'/>
";

#[test]
fn the_whole_wire() {
    let mut pair = Pair::new();
    pair.run();
    pair.alice.send(message("hi")).unwrap();
    pair.run();
    assert_eq!(pair.bob().send_bytes(b"abc").unwrap(), 3);
    pair.run();
    pair.alice.close();
    pair.run();
    let log = pair
        .log
        .iter()
        .map(|line| {
            line.replace("000102030405060708090a0b0c0d0e0f", "SID")
                .replace("101112131415161718191a1b1c1d1e1f", "STREAM")
        })
        .filter(|line| !acknowledges_a_block(line))
        .map(|line| {
            let new = line.contains("<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>");
            match line.split_once(" id='").filter(|_| new) {
                Some((before, after)) => {
                    format!("{before} id='NEW'{}\n", &after[after.find('\'').unwrap() + 1..])
                }
                None => format!("{line}\n"),
            }
        })
        .collect::<String>();
    for (got, expected) in log.lines().zip(WIRE.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(log.lines().count(), WIRE.lines().count());
    let [alice, bob] = &pair.events;
    assert!(
        matches!(&alice[..], [Event::Established(_), Event::Bytes(bytes), Event::Closed] if bytes == b"abc"),
        "{alice:?}"
    );
    assert!(
        matches!(&bob[..], [Event::Established(_), Event::Stanza(stanza), Event::Closed] if *stanza == message("hi")),
        "{bob:?}"
    );
}

/// Blocks are acknowledged each; these answers are left out.
fn acknowledges_a_block(line: &str) -> bool {
    let mut of_alice = (4..12).map(|n| format!("id='SID-i{n}'"));
    let mut of_bob = (2..9).map(|n| format!("id='SID-r{n}'"));
    line.ends_with("type='result'/>")
        && (of_alice.any(|id| line.contains(&id)) || of_bob.any(|id| line.contains(&id)))
}

#[test]
fn what_was_established_is_reported_alike() {
    let mut pair = Pair::with(alice_config(), bob_config(), rustls);
    pair.run();
    let [[Event::Established(alice)], [Event::Established(bob)]] = [&pair.events[0][..], &pair.events[1][..]]
    else {
        panic!("{:?}", pair.events);
    };
    assert_eq!(alice.mechanism, name("SCRAM-SHA-256-PLUS"));
    assert_eq!(alice.mechanism, bob.mechanism);
    assert_eq!(
        (alice.authcid.as_str(), bob.authcid.as_str()),
        ("alice@atlanta.example", "alice@atlanta.example")
    );
    assert_eq!(alice.refused, [(name("SCRAM-SHA-1-PLUS"), "we prefer another")]);
    assert_eq!(bob.refused, []);
    assert!(alice.binding.same_channel(&bob.binding));
    assert_eq!(alice.negotiated.as_ref().unwrap().version, "TLSv1.3");
    assert_eq!(alice.negotiated, bob.negotiated);
}

#[test]
fn statistics_count_what_happened() {
    let mut pair = Pair::new().established();
    let (alice, bob) = (pair.alice.statistics(), pair.bob().statistics());
    assert_eq!((alice.sasl_messages, bob.sasl_messages), (4, 4));
    // Disco, initiate, open, TLS, header, two of SASL, and the new header.
    assert_eq!(alice.round_trips, 8);
    // Acceptance, TLS, header, and two of SASL.
    assert_eq!(bob.round_trips, 5);
    assert_eq!((alice.octets_sent, alice.octets_received), (bob.octets_received, bob.octets_sent));
    assert_eq!((alice.stanzas_sent, alice.stanzas_received), (14, 14));
    // Disco was answered for Bob.
    assert_eq!((bob.stanzas_sent, bob.stanzas_received), (13, 13));
}

#[test]
fn stanzas_and_octets_pass_both_ways_over_tls() {
    let mut pair = Pair::with(alice_config(), bob_config(), rustls).established();
    assert_eq!((pair.alice.side(), pair.bob().side()), (Side::Client, Side::Server));
    pair.alice.send(message("one")).unwrap();
    pair.alice.send_bytes(b"two").unwrap();
    pair.bob().send(message("three")).unwrap();
    pair.run();
    let [alice, bob] = &pair.events;
    assert!(matches!(&alice[..], [Event::Stanza(stanza)] if *stanza == message("three")));
    assert!(
        matches!(&bob[..], [Event::Stanza(stanza), Event::Bytes(bytes)] if *stanza == message("one") && bytes == b"two")
    );
}
