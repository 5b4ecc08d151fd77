//! What real networks and real peers do: elements that nobody knows, peers that go, ends that cross, stanzas of every size.

use std::time::Duration;

use countersign::xmpp::session::{ABSENCE, rules};
use countersign::xmpp::{Event, Limits, jingle, stream};

use crate::attacks::run_replacing;
use crate::kit::*;
use crate::net::*;

#[test]
fn unknown_elements_are_ignored_where_nothing_depends_on_them() {
    let unknown = "<x xmlns='urn:x' a='1'><y>text</y></x>";
    for (from, before) in [
        (From::Bob, "<feature var='http://jabber.org/protocol/ibb'/>"),
        (From::Alice, "<content creator='initiator' name='e2e'>"),
        (From::Alice, "<description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>"),
        (From::Bob, "<content creator='initiator' name='e2e'>"),
        (From::Bob, "<description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>"),
    ] {
        let with: &'static str = format!("{before}{unknown}").leak();
        let pair = run_replacing(from, before, with);
        assert!(pair.log.iter().any(|line| line.contains("urn:x")), "{before}");
        assert!(matches!(pair.events[0][..], [Event::Established(_)]), "{before}: {:?}", pair.events[0]);
    }
}

#[test]
fn unknown_elements_are_refused_where_security_depends_on_them() {
    let pair = run_replacing(From::Alice, "<method name='x509'/>", "<method name='x509'/><x xmlns='urn:x'/>");
    pair.bob_failed(&jingle::rules::BAD_SECURITY);
    let mut bob = Script::bob();
    bob.say(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='1' version='1.0'><x xmlns='urn:x'/>",
    );
    let event = bob.session.poll_event();
    assert!(matches!(event, Some(Event::Failed(_))), "{event:?}");
}

#[test]
fn presence_that_a_peer_has_gone_is_believed_when_the_peer_is_silent() {
    // In the middle of the handshake, of a transfer, and in a silence.
    for after in [6, 40, usize::MAX] {
        let octets = [Deed::Send(vec![7; 100_000])];
        let mut net = Net::new(alice_config(), bob_config(), plain).with_deeds(&octets, &[]);
        if after == usize::MAX {
            net.run_until(Duration::from_secs(30));
        } else {
            net = net.with_fault(after, Fault::CutReceiver);
        }
        if after == usize::MAX {
            net.cut(From::Bob, true);
        }
        let cut_at = net.elapsed();
        assert!(net.run(Duration::from_secs(120)));
        let ends =
            [From::Alice, From::Bob].map(|side| net.end(side).unwrap().as_ref().unwrap_err().rule().id);
        let (lost, absent) = (rules::TRANSPORT_LOST.id, rules::PEER_ABSENT.id);
        assert!(ends == [absent, lost] || ends == [lost, absent], "{after}: {ends:?}");
        assert!(net.elapsed() - cut_at <= ABSENCE + Duration::from_secs(5), "{:?}", net.elapsed());
    }
}

#[test]
fn presence_that_is_wrong_or_about_somebody_else_does_no_harm() {
    for from in [BOB, "bob@biloxi.example/other", "bob@biloxi.example", "mallory@atlanta.example/lap"] {
        let deeds = [Deed::Until(Duration::from_secs(90)), Deed::Say("still here".to_owned()), Deed::Close];
        let mut net = Net::new(alice_config(), bob_config(), plain).with_deeds(&deeds, &[]);
        net.run_until(Duration::from_secs(10));
        net.tell(
            From::Alice,
            &xml(&format!("<presence xmlns='jabber:client' type='unavailable' from='{from}' to='{ALICE}'/>")),
        );
        assert!(net.run(Duration::from_secs(240)));
        assert!(matches!(net.end(From::Alice), Some(Ok(()))), "{from}: {:?}", net.end(From::Alice));
        assert_eq!(net.received_by(From::Bob), net.sent_by(From::Alice));
    }
}

#[test]
fn ends_that_cross_in_every_order() {
    let at = |millis: u64, deed: &Deed| {
        [
            Deed::Say("first".to_owned()),
            Deed::Until(Duration::from_millis(5000 + millis)),
            Deed::Say("last".to_owned()),
            deed.clone(),
        ]
    };
    for alice in [Deed::Close, Deed::Abort] {
        for bob in [Deed::Close, Deed::Abort] {
            // A stanza takes 40 ms: every step of the end of one crosses every step of the other's.
            for gap in (0..600).step_by(20) {
                for bob_first in [false, true] {
                    let (a, b) = if bob_first { (gap, 0) } else { (0, gap) };
                    let mut net = Net::new(alice_config(), bob_config(), plain)
                        .with_deeds(&at(a, &alice), &at(b, &bob));
                    let place = format!("{alice:?} {a}, {bob:?} {b}");
                    assert!(net.run(Duration::from_secs(60)), "{place} hangs");
                    let closed = [From::Alice, From::Bob].map(|side| net.end(side).unwrap().is_ok());
                    for side in [From::Alice, From::Bob] {
                        let (sent, received) = (net.sent_by(side), net.received_by(side.other()));
                        assert!(sent.starts_with(received), "{place}");
                        assert!(!closed[side as usize] || sent == received, "{place}");
                        assert!(!closed[side.other() as usize] || sent == received, "{place}");
                    }
                    if matches!((&alice, &bob), (Deed::Close, Deed::Close)) {
                        assert_eq!(closed, [true, true], "{place}");
                    }
                }
            }
        }
    }
}

/// A message that takes so many octets.
fn of_size(size: usize) -> countersign::xmpp::Element {
    let around = stream::to_octets(&message("")).unwrap().len();
    // An empty body is written shorter.
    let tags = stream::to_octets(&message("x")).unwrap().len() - 1;
    assert!(size > around && size > tags);
    message(&"x".repeat(size - tags))
}

/// Sends messages of these sizes and compares what comes.
fn cross(pair: &mut Pair, sizes: impl Iterator<Item = usize>) {
    for size in sizes {
        let stanza = of_size(size);
        pair.alice.send(stanza.clone()).unwrap();
        pair.run();
        let events = std::mem::take(&mut pair.events[1]);
        assert!(matches!(&events[..], [Event::Stanza(got)] if *got == stanza), "{size}: {}", events.len());
        pair.log.clear();
    }
}

#[test]
fn a_stanza_of_every_size_crosses_blocks() {
    let limits = Limits::default().with_block(128).with_stanza(1500);
    let mut pair = Pair::limited(&limits).established();
    cross(&mut pair, 60..=1500);
}

#[test]
fn a_stanza_of_every_size_around_a_border_crosses_records_and_blocks() {
    const RECORD: usize = 16 * 1024;
    const BLOCK: usize = 4096;
    let limit = countersign::xmpp::STANZA_MAX;
    let mut pair = Pair::with(alice_config(), bob_config(), rustls).established();
    // Each record adds some octets to what it holds, so the border of a block lies a little before its size.
    for border in [BLOCK, 2 * BLOCK, RECORD, 2 * RECORD, 8 * RECORD] {
        cross(&mut pair, border - 60..=border + 10);
    }
    cross(&mut pair, limit - 2..=limit);
}
