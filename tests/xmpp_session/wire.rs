//! The order on the wire, as literals. TLS is replaced by frames that can be read.

use countersign::mechanism::Side;
use countersign::xmpp::{Event, Profile};

use crate::kit::*;

/// `>` is from Alice. The identifiers come from counting octets; `SID` and `STREAM` stand for the two long ones.
const OPENING: &str = "\
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
";

/// The authentication in SASL2: Alice does not wait for the features, and the stream goes on after success.
const SASL2: &str = "\
> data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>\
<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256-PLUS'><initial-response>…</initial-response></authenticate>
< data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='808182838485868788898a8b8c8d8e8f' version='1.0'>\
FEATURES D <challenge xmlns='urn:xmpp:sasl:2'>…</challenge>
> data 2 D <response xmlns='urn:xmpp:sasl:2'>…</response>
< data 2 D <success xmlns='urn:xmpp:sasl:2'><additional-data>…</additional-data>\
<authorization-identifier>alice@atlanta.example</authorization-identifier></success>\
<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>
";

/// The same in RFC 6120.
const SASL: &str = "\
> data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>
< data 1 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='808182838485868788898a8b8c8d8e8f' version='1.0'>\
FEATURES
> data 2 D <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256-PLUS'>…</auth>
< data 2 D <challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</challenge>
> data 3 D <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</response>
< data 3 D <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>…</success>
> data 4 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>
< data 4 D <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='NEW' version='1.0'>\
<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>
";

const FEATURES: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
<mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
<channel-binding type='tls-exporter'/></sasl-channel-binding><authentication xmlns='urn:xmpp:sasl:2'>\
<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism></authentication></stream:features>";

/// What follows, with numbers from `A0`, `B0` and `I0` on.
const AFTER: &str = "\
> data A0 D <message xmlns='jabber:client'><body>hi</body></message>
< data B0 D <octets xmlns='urn:countersign:e2e:0' length='3'/>abc
> data A1 D </stream:stream>
< data B1 D </stream:stream> C
> data A2 C
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-I0' to='bob@biloxi.example/tab' type='set'>\
<close xmlns='http://jabber.org/protocol/ibb' sid='STREAM'/></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-I0' to='alice@atlanta.example/lap' type='result'/>
> <iq xmlns='jabber:client' from='alice@atlanta.example/lap' id='SID-I1' to='bob@biloxi.example/tab' type='set'>\
<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='SID'><reason><success/></reason></jingle></iq>
< <iq xmlns='jabber:client' from='bob@biloxi.example/tab' id='SID-I1' to='alice@atlanta.example/lap' type='result'/>
";

#[test]
fn the_whole_wire() {
    whole_wire(Profile::Sasl2, SASL2, 3);
}

#[test]
fn the_whole_wire_in_rfc_6120() {
    whole_wire(Profile::Sasl, SASL, 5);
}

/// `next` is the number of the first block after the authentication, on both sides.
fn whole_wire(profile: Profile, authentication: &str, next: u32) {
    let mut after = AFTER.to_owned();
    for n in 0..3 {
        let number = (next + n).to_string();
        after = after.replace(&format!("A{n}"), &number).replace(&format!("B{n}"), &number);
        // Disco, initiate and open came before, and three blocks more.
        after = after.replace(&format!("I{n}"), &format!("i{}", next + n + 7));
    }
    let expected = format!("{OPENING}{authentication}{after}").replace("FEATURES", FEATURES);
    let mut pair = Pair::with(alice_config().with_profile(profile), bob_config(), plain);
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
        .filter(|line| !acknowledges_a_block(line, next))
        .map(|line| {
            let new = line.contains(" id='")
                && line.contains("<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>");
            match line.split_once(" id='").filter(|_| new) {
                Some((before, after)) => {
                    format!("{before} id='NEW'{}\n", &after[after.find('\'').unwrap() + 1..])
                }
                None => format!("{line}\n"),
            }
        })
        .collect::<String>();
    for (got, expected) in log.lines().zip(expected.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(log.lines().count(), expected.lines().count());
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
fn acknowledges_a_block(line: &str, next: u32) -> bool {
    let mut of_alice = (4..next + 7).map(|n| format!("id='SID-i{n}'"));
    let mut of_bob = (2..next + 4).map(|n| format!("id='SID-r{n}'"));
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
    // Disco, initiate, open, TLS, and two of SASL, the first of them with the header.
    assert_eq!(alice.round_trips, 6);
    // Acceptance, TLS, and one of SASL.
    assert_eq!(bob.round_trips, 3);
    assert_eq!((alice.octets_sent, alice.octets_received), (bob.octets_received, bob.octets_sent));
    assert_eq!((alice.stanzas_sent, alice.stanzas_received), (10, 10));
    // Disco was answered for Bob.
    assert_eq!((bob.stanzas_sent, bob.stanzas_received), (9, 9));
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
