//! Every way a session can end: properly, in silence, cut off.

use std::time::Duration;

use countersign::error::{Error, ErrorKind};
use countersign::secret::Password;
use countersign::xmpp::session::rules;
use countersign::xmpp::{Element, Event, InitiatorConfig, Limits, ns};

use crate::kit::*;

/// A whole session with a message and a close, of which only the first `stanzas` are carried.
fn until(stanzas: usize) -> Pair {
    let mut carried = 0;
    let mut pair = Pair::new().edited(move |_, stanza| {
        carried += 1;
        if carried <= stanzas { vec![stanza] } else { vec![] }
    });
    pair.run();
    if pair.alice.send(message("hi")).is_ok() {
        pair.run();
        pair.alice.close();
        pair.run();
    }
    pair
}

/// With so many stanzas everything but the end of the session has been delivered.
const CLOSED: usize = 22;

/// How many stanzas a whole session takes.
fn all() -> usize {
    let pair = until(usize::MAX);
    assert!(matches!(pair.events[0].last(), Some(Event::Closed)));
    pair.log.len()
}

/// The error that a session ended with, or `None` for a proper end.
fn ending(events: &[Event]) -> Option<&Error> {
    match events.last() {
        Some(Event::Failed(error)) => Some(error),
        Some(Event::Closed) => None,
        other => panic!("not ended: {other:?}"),
    }
}

#[test]
fn a_network_that_falls_silent_at_any_stanza() {
    for stanzas in 0..all() {
        let mut pair = until(stanzas);
        for _ in 0..20 {
            pair.wait(Duration::from_secs(5));
        }
        // What had been delivered whole counts as closed, whatever is lost after it.
        if let Some(error) = ending(&pair.events[0]) {
            assert_eq!(error.kind(), ErrorKind::TimedOut, "Alice after {stanzas}: {error}");
        }
        if let Some(error) = pair.bob.as_ref().and_then(|_| ending(&pair.events[1])) {
            assert_eq!(error.kind(), ErrorKind::TimedOut, "Bob after {stanzas}: {error}");
        }
        assert_eq!(pair.alice.next_timeout(), None);
    }
}

#[test]
fn closed_is_reported_only_when_everything_has_arrived() {
    for stanzas in 0..all() {
        let mut pair = until(stanzas);
        for _ in 0..20 {
            pair.wait(Duration::from_secs(5));
        }
        if ending(&pair.events[0]).is_none() {
            let arrived = pair.events[1].iter().any(|event| matches!(event, Event::Stanza(_)));
            assert!(arrived, "after {stanzas}");
        }
    }
}

#[test]
fn the_connection_to_the_server_lost_at_any_stanza() {
    for stanzas in 0..all() {
        let mut pair = until(stanzas);
        pair.alice.transport_lost();
        assert!(pair.alice.poll_stanza().is_none());
        pair.poll_events();
        match ending(&pair.events[0]) {
            Some(error) => assert!(error.is(&rules::TRANSPORT_LOST), "after {stanzas}: {error}"),
            None => assert!(stanzas > CLOSED, "after {stanzas}"),
        }
        assert!(pair.alice.has_ended());
    }
}

#[test]
fn session_terminate_at_any_stanza() {
    for stanzas in 0..all() {
        let mut pair = until(stanzas);
        let ended = pair.alice.has_ended();
        let verified = pair.events[0].iter().any(|event| matches!(event, Event::Established(_)));
        let terminate = xml(&format!(
            "<iq xmlns='jabber:client' type='set' id='x' from='{BOB}' to='{ALICE}'><jingle xmlns='urn:xmpp:jingle:1' \
             action='session-terminate' sid='{}'><reason><gone/></reason></jingle></iq>",
            pair.alice.sid()
        ));
        assert!(pair.alice.handle(&terminate, pair.now));
        pair.poll_events();
        match ending(&pair.events[0]) {
            Some(error) if verified => assert!(error.is(&rules::CUT_SHORT), "after {stanzas}: {error}"),
            Some(error) => assert!(error.is(&rules::DECLINED), "after {stanzas}: {error}"),
            None => assert!(ended || stanzas > CLOSED, "after {stanzas}"),
        }
    }
}

/// Another octet near the end of a block.
fn garbled(stanza: &Element) -> Element {
    let text = String::from_utf8(countersign::xmpp::stream::to_octets(stanza).unwrap()).unwrap();
    let at = text.find("</data>").unwrap() - 12;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    xml(&format!("{}{other}{}", &text[..at], &text[at + 1..]))
}

#[test]
fn garbled_octets_in_any_block_of_the_handshake() {
    // Every block of both sides in turn, over real TLS.
    for victim in [From::Alice, From::Bob] {
        for block in 0..3 {
            let mut pair = Pair::with(alice_config(), bob_config(), rustls).edited(move |sender, stanza| {
                let data = stanza.get_child("data", ns::IBB);
                let marked = data.is_some_and(|data| data.attr("seq") == Some(&block.to_string()));
                vec![if marked && sender == victim { garbled(&stanza) } else { stanza }]
            });
            pair.run();
            for (side, events) in [From::Alice, From::Bob].into_iter().zip(&pair.events) {
                assert!(ending(events).is_some(), "{victim:?} {block}");
                // In his last block Bob tells that Alice has proven herself.
                let proven = (side, victim, block) == (From::Bob, From::Bob, 2);
                let established = events.iter().any(|event| matches!(event, Event::Established(_)));
                assert_eq!(established, proven, "{victim:?} {block}");
            }
        }
    }
}

#[test]
fn garbled_octets_after_our_own_close_notify() {
    // Bob has closed TLS when Alice's close_notify comes, in her second block from here on.
    let mut blocks = 0;
    let mut pair =
        Pair::with(alice_config(), bob_config(), rustls).established().edited(move |from, stanza| {
            let is_block = from == From::Alice && stanza.get_child("data", ns::IBB).is_some();
            blocks += usize::from(is_block);
            vec![if is_block && blocks == 2 { garbled(&stanza) } else { stanza }]
        });
    pair.alice.close();
    pair.run();
    assert!(ending(&pair.events[0]).is_none());
    assert!(ending(&pair.events[1]).is_some(), "{:?}", pair.events[1]);
}

#[test]
fn either_side_may_close() {
    for endpoints in [plain, rustls] {
        for bob_closes in [false, true] {
            let mut pair = Pair::with(alice_config(), bob_config(), endpoints).established();
            pair.alice.send(message("one")).unwrap();
            pair.bob().send(message("two")).unwrap();
            if bob_closes {
                pair.bob().close();
            } else {
                pair.alice.close();
            };
            pair.run();
            for events in &pair.events {
                assert!(matches!(events[..], [Event::Stanza(_), Event::Closed]), "{events:?}");
            }
            let closer = if bob_closes { "<" } else { ">" };
            assert_eq!(pair.reasons(), [format!("{closer} success")]);
        }
    }
}

#[test]
fn both_sides_may_close_at_once() {
    for endpoints in [plain, rustls] {
        let mut pair = Pair::with(alice_config(), bob_config(), endpoints).established();
        pair.alice.send(message("one")).unwrap();
        pair.bob().send(message("two")).unwrap();
        pair.alice.close();
        pair.bob().close();
        pair.run();
        for events in &pair.events {
            assert!(matches!(events[..], [Event::Stanza(_), Event::Closed]), "{events:?}");
        }
    }
}

#[test]
fn what_is_sent_before_close_arrives_and_nothing_can_follow() {
    let mut pair = Pair::new().established();
    for n in 0..100 {
        pair.alice.send(message(&n.to_string())).unwrap();
    }
    pair.alice.close();
    pair.alice.close();
    assert!(pair.alice.send(message("late")).unwrap_err().is(&rules::NOT_OPEN));
    assert!(pair.alice.send_bytes(b"late").unwrap_err().is(&rules::NOT_OPEN));
    assert!(pair.alice.rekey().unwrap_err().is(&rules::NOT_OPEN));
    pair.run();
    assert_eq!(pair.events[1].len(), 101);
    assert!(matches!(pair.events[1].last(), Some(Event::Closed)));
}

#[test]
fn the_other_side_may_send_until_it_hears_of_the_close() {
    let mut pair = Pair::new().established();
    pair.alice.close();
    pair.bob().send(message("still")).unwrap();
    pair.run();
    assert!(matches!(pair.events[0][..], [Event::Stanza(_), Event::Closed]));
}

#[test]
fn close_before_the_tunnel_is_an_abort() {
    let mut pair = Pair::new();
    pair.step();
    pair.step();
    pair.alice.close();
    pair.run();
    pair.alice_failed(&rules::ABORTED);
    pair.bob_failed(&rules::DECLINED);
    assert_eq!(pair.reasons(), ["> cancel"]);
}

#[test]
fn abort_ends_at_once() {
    let mut pair = Pair::new().established();
    pair.alice.send(message("one")).unwrap();
    pair.alice.abort();
    pair.run();
    pair.alice_failed(&rules::ABORTED);
    pair.bob_failed(&rules::CUT_SHORT);
    assert_eq!(pair.reasons(), ["> cancel"]);
}

#[test]
fn the_bytestream_closed_without_close_notify() {
    let mut pair = Pair::new().established();
    let close = xml(&format!(
        "<iq xmlns='jabber:client' type='set' id='x' from='{BOB}' to='{ALICE}'>\
         <close xmlns='{}' sid='101112131415161718191a1b1c1d1e1f'/></iq>",
        ns::IBB
    ));
    assert!(pair.alice.handle(&close, pair.now));
    pair.run();
    pair.alice_failed(&rules::CUT_SHORT);
    assert_eq!(pair.reasons(), ["> failed-transport"]);
}

#[test]
fn close_notify_without_the_end_of_the_stream() {
    // Bob's own session, but what his TLS says is dropped and replaced.
    let mut pair = Pair::new().established().edited(|sender, stanza| {
        let text = String::from_utf8(countersign::xmpp::stream::to_octets(&stanza).unwrap()).unwrap();
        let notify = "QwAAAAA="; // The frame C.
        match (text.find("<data"), text.find("</data>")) {
            (Some(start), Some(end)) if sender == From::Bob => {
                let open = start + text[start..].find('>').unwrap() + 1;
                vec![xml(&format!("{}{notify}{}", &text[..open], &text[end..]))]
            }
            _ => vec![stanza],
        }
    });
    pair.bob().send(message("x")).unwrap();
    pair.run();
    pair.alice_failed(&rules::STREAM_CUT_SHORT);
}

#[test]
fn a_dead_session_answers_what_comes_late() {
    let mut pair = Pair::new().established();
    pair.alice.close();
    pair.run();
    let late = |payload: &str| {
        xml(&format!("<iq xmlns='jabber:client' type='set' id='x' from='{BOB}' to='{ALICE}'>{payload}</iq>"))
    };
    let sid = pair.alice.sid();
    let jingle = late(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='{sid}'/>"));
    assert!(pair.alice.handle(&jingle, pair.now));
    assert!(show(&pair.alice.poll_stanza().unwrap()).contains("<unknown-session"));
    let stream = "sid='101112131415161718191a1b1c1d1e1f'";
    let data = late(&format!("<data xmlns='http://jabber.org/protocol/ibb' seq='9' {stream}>YWJj</data>"));
    assert!(pair.alice.handle(&data, pair.now));
    assert!(show(&pair.alice.poll_stanza().unwrap()).contains("<item-not-found"));
    assert!(pair.alice.poll_event().is_none());
}

#[test]
fn a_peer_that_is_not_there() {
    for condition in [
        "service-unavailable",
        "recipient-unavailable",
        "remote-server-not-found",
        "remote-server-timeout",
        "gone",
    ] {
        // At the first request, and at a later one.
        for at in [1, 3, 4, 6] {
            let mut requests = 0;
            let mut pair = Pair::new().edited(move |_, stanza| vec![stanza]);
            loop {
                let Some(stanza) = pair.alice.poll_stanza() else {
                    pair.step();
                    continue;
                };
                requests += 1;
                if requests < at || !matches!(stanza.attr("type"), Some("get" | "set")) {
                    pair.carry(&stanza);
                    continue;
                }
                let error = xml(&format!(
                    "<iq xmlns='jabber:client' type='error' id='{}' from='{BOB}' to='{ALICE}'><error type='cancel'>\
                     <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                    stanza.attr("id").unwrap()
                ));
                assert!(pair.alice.handle(&error, pair.now));
                break;
            }
            pair.poll_events();
            pair.alice_failed(&rules::PEER_ABSENT);
            // Nobody is there to be told.
            assert!(pair.alice.poll_stanza().is_none_or(|stanza| stanza.attr("type") == Some("result")));
        }
    }
}

#[test]
fn handshake_time_is_limited_exactly() {
    let limits =
        Limits::default().with_handshake(Duration::from_secs(10)).with_reply(Duration::from_secs(60));
    let alice = alice_config().with_limits(limits);
    let mut pair = Pair::with(alice, bob_config(), plain).edited(|_, _| vec![]);
    pair.run();
    pair.wait(Duration::from_millis(9_999));
    assert!(!pair.alice.has_ended());
    assert_eq!(pair.alice.next_timeout(), Some(pair.now + Duration::from_millis(1)));
    pair.wait(Duration::from_millis(1));
    pair.alice_failed(&rules::HANDSHAKE_TIMEOUT);
}

#[test]
fn reply_time_is_limited_exactly() {
    let limits = Limits::default().with_reply(Duration::from_secs(5));
    let mut pair = Pair::with(alice_config().with_limits(limits), bob_config(), plain).edited(|_, _| vec![]);
    pair.run();
    pair.wait(Duration::from_millis(4_999));
    assert!(!pair.alice.has_ended());
    pair.wait(Duration::from_millis(1));
    pair.alice_failed(&rules::NO_ANSWER);
}

#[test]
fn an_idle_peer_is_asked_and_answers() {
    let mut pair = Pair::new().established();
    pair.wait(Duration::from_millis(59_999));
    assert!(!pair.log.iter().any(|line| line.contains("session-info")));
    for _ in 0..10 {
        pair.wait(Duration::from_secs(60));
    }
    assert!(pair.log.iter().any(|line| line.starts_with('>') && line.contains("session-info")));
    assert!(!pair.alice.has_ended() && !pair.bob().has_ended());
}

#[test]
fn an_idle_peer_that_is_gone_is_noticed() {
    let mut pair = Pair::new().established().edited(|_, _| vec![]);
    pair.wait(Duration::from_secs(60));
    assert!(!pair.alice.has_ended());
    pair.wait(Duration::from_secs(20));
    pair.alice_failed(&rules::NO_ANSWER);
}

#[test]
fn a_failed_password_leaves_no_tunnel_behind() {
    let alice = InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new("wrong")).with_policy(policy());
    let mut pair = Pair::with(alice, bob_config(), rustls);
    pair.run();
    assert!(pair.alice.send(message("x")).unwrap_err().is(&rules::NOT_OPEN));
    assert!(pair.bob().send(message("x")).unwrap_err().is(&rules::NOT_OPEN));
    assert!(pair.alice.next_timeout().is_none());
}
