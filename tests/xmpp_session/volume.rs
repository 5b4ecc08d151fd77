//! Much data: stanzas over many records and blocks, buffers that fill up, keys that are updated.

use std::time::Duration;

use countersign::xmpp::session::{OCTETS_MAX, OCTETS_SENT, PEER_WINDOW_MAX, rules};
use countersign::xmpp::{Event, Limits, ibb, stream};

use crate::kit::*;

const MIB: usize = 1024 * 1024;

fn octets(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn bytes(events: &[Event]) -> Vec<u8> {
    let part = |event: &Event| match event {
        Event::Bytes(bytes) => bytes.clone(),
        other => panic!("not octets: {other:?}"),
    };
    events.iter().flat_map(part).collect()
}

#[test]
fn a_stanza_of_a_mebibyte() {
    let limits = Limits::default().with_stanza(2 * MIB).with_unread(4 * MIB).with_send_buffer(4 * MIB);
    let (alice, bob) = (alice_config().with_limits(limits.clone()), bob_config().with_limits(limits));
    let mut pair = Pair::with(alice, bob, rustls).established();
    let large = message(&"x".repeat(MIB));
    pair.alice.send(large.clone()).unwrap();
    pair.alice.send(message("after")).unwrap();
    pair.run();
    assert!(matches!(&pair.events[1][..], [Event::Stanza(first), Event::Stanza(second)]
            if *first == large && *second == message("after")));
}

#[test]
fn limits_may_be_as_large_as_numbers_go() {
    let limits = Limits::default()
        .with_stanza(usize::MAX)
        .with_depth(usize::MAX)
        .with_window(usize::MAX)
        .with_unread(usize::MAX)
        .with_send_buffer(usize::MAX)
        .with_handshake(Duration::MAX)
        .with_reply(Duration::MAX)
        .with_keepalive(Duration::MAX)
        .with_rekey(u64::MAX, Duration::MAX);
    let mut pair = Pair::limited(&limits).established();
    pair.alice.send(message("x")).unwrap();
    pair.wait(Duration::from_secs(24 * 3600));
    pair.alice.close();
    pair.run();
    assert!(matches!(pair.events[1][..], [Event::Stanza(_), Event::Closed]));
}

#[test]
fn stanza_size_is_limited_on_both_sides() {
    let limits = Limits::default().with_stanza(2000);
    let around = "<message xmlns='jabber:client'><body></body></message>".len();
    let of = |size: usize| message(&"x".repeat(size - around));
    let mut pair = Pair::limited(&limits).established();
    pair.alice.send(of(2000)).unwrap();
    let error = pair.alice.send(of(2001)).unwrap_err();
    assert!(error.is(&stream::rules::STANZA_TOO_LARGE));
    assert_eq!(error.numbers(), Some((2001, 2000)));
    pair.run();
    assert!(matches!(pair.events[1][..], [Event::Stanza(_)]));
    // A sender with another limit is stopped by the receiver.
    let mut pair = Pair::with(alice_config(), bob_config().with_limits(limits), plain).established();
    pair.alice.send(of(2001)).unwrap();
    pair.run();
    pair.bob_failed(&stream::rules::STANZA_TOO_LARGE);
    assert!(pair.log.iter().any(|line| line.contains("<policy-violation")));
    pair.alice_failed(&rules::STREAM_ERROR);
}

#[test]
fn five_mebibytes_each_way_with_bounded_buffers() {
    let limits = Limits::default().with_send_buffer(64 * 1024).with_unread(64 * 1024).with_block(16 * 1024);
    let (alice, bob) = (alice_config().with_limits(limits.clone()), bob_config().with_limits(limits));
    let mut pair = Pair::with(alice, bob, rustls).established();
    let data = octets(5 * MIB);
    let mut sent = [0, 0];
    let mut received = [Vec::new(), Vec::new()];
    while received.iter().any(|received| received.len() < data.len()) {
        sent[0] += pair.alice.send_bytes(&data[sent[0]..]).unwrap();
        sent[1] += pair.bob().send_bytes(&data[sent[1]..]).unwrap();
        pair.run();
        pair.log.clear();
        for (received, events) in received.iter_mut().zip(&mut pair.events) {
            received.extend(bytes(events));
            events.clear();
        }
    }
    assert!(received.iter().all(|received| *received == data));
}

#[test]
fn octets_are_announced_in_bounded_pieces() {
    // In blocks that hold a whole piece.
    let mut pair = Pair::limited(&Limits::default().with_block(ibb::BLOCK_MAX)).established();
    let data = octets(3 * OCTETS_SENT + 1);
    assert_eq!(pair.alice.send_bytes(&data).unwrap(), data.len());
    assert_eq!(pair.alice.send_bytes(b"").unwrap(), 0);
    pair.run();
    let announced =
        |length| pair.log.iter().filter(|line| line.contains(&format!("length='{length}'/>"))).count();
    assert_eq!((announced(OCTETS_SENT), announced(1)), (3, 1));
    assert_eq!(bytes(&pair.events[1]), data);
}

#[test]
fn octets_keep_their_place_among_stanzas() {
    // Octets that would mean something else where they were not announced.
    let parts: [&[u8]; 4] =
        [b"</stream:stream>", b"<octets xmlns='urn:countersign:e2e:0' length='9'/>", b"\xff\0<", b"&"];
    for endpoint in [plain as fn(_) -> _, rustls] {
        let mut pair = Pair::with(alice_config(), bob_config(), endpoint).established();
        for part in parts {
            pair.alice.send_bytes(part).unwrap();
            pair.alice.send(message("between")).unwrap();
        }
        pair.run();
        let mut heard = Vec::new();
        for event in &pair.events[1] {
            match event {
                Event::Bytes(octets) => heard.extend_from_slice(octets),
                Event::Stanza(stanza) => {
                    assert_eq!(*stanza, message("between"));
                    heard.push(b'|');
                }
                other => panic!("{other:?}"),
            }
        }
        let expected = parts.iter().flat_map(|part| [part, &b"|"[..]]).collect::<Vec<_>>().concat();
        assert_eq!(heard, expected);
    }
}

#[test]
fn announced_octets_may_come_in_any_pieces() {
    for length in [1, 2, 100, OCTETS_MAX] {
        let mut script = Script::alice_established();
        script.say(&format!("<octets xmlns='urn:countersign:e2e:0' length='{length}'/>"));
        let data = octets(length);
        for part in data.chunks(1.max(length / 7)) {
            script.frame(b'D', part);
        }
        script.say("<message><body>after</body></message>");
        let events = std::iter::from_fn(|| script.session.poll_event()).collect::<Vec<_>>();
        let (last, before) = events.split_last().unwrap();
        assert!(matches!(last, Event::Stanza(_)), "{last:?}");
        assert!(bytes(before) == data);
    }
}

#[test]
fn too_many_octets_at_once_are_refused() {
    let mut script = Script::alice_established();
    script.say(&format!("<octets xmlns='urn:countersign:e2e:0' length='{}'/>", OCTETS_MAX + 1));
    assert!(script.heard.contains("<bad-format"));
    script.failed(&rules::TOO_MANY_OCTETS);
}

#[test]
fn octets_that_do_not_come_are_a_truncation() {
    let mut script = Script::alice_established();
    script.say("<octets xmlns='urn:countersign:e2e:0' length='20'/></stream:stream>");
    script.frame(b'C', b"");
    let events = std::iter::from_fn(|| script.session.poll_event()).collect::<Vec<_>>();
    assert!(
        matches!(&events[..], [Event::Bytes(_), Event::Failed(error)] if error.is(&rules::STREAM_CUT_SHORT)),
        "{events:?}"
    );
}

#[test]
fn octets_before_the_proof_are_refused() {
    let mut script = Script::alice();
    script.say(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
        from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>",
    );
    script.say("<octets xmlns='urn:countersign:e2e:0' length='1'/>x");
    script.failed(&countersign::xmpp::sasl::rules::MALFORMED);
}

#[test]
fn the_send_buffer_is_bounded_exactly() {
    let limits = Limits::default().with_send_buffer(10_000).with_window(1);
    let mut pair = Pair::limited(&limits).established();
    // Nothing is carried: one block is on the way. After the first piece more than the limit waits.
    let taken = pair.alice.send_bytes(&octets(MIB)).unwrap();
    assert_eq!(taken, OCTETS_SENT);
    assert_eq!(pair.alice.send_bytes(b"more").unwrap(), 0);
    assert!(pair.alice.send(message("x")).unwrap_err().is(&rules::SEND_BUFFER_FULL));
    pair.run();
    pair.alice.send(message("x")).unwrap();
    assert_eq!(pair.alice.send_bytes(b"more").unwrap(), 4);
    pair.run();
    assert_eq!(bytes(&pair.events[1][..pair.events[1].len() - 2]).len(), taken);
}

#[test]
fn no_more_blocks_are_on_the_way_than_the_window_holds() {
    for window in [1, 3, 8] {
        let mut pair = Pair::limited(&Limits::default().with_window(window)).established();
        // It starts small, and grows to its bound where answers are quick.
        for most in [window.min(2), window] {
            pair.alice.send_bytes(&octets(MIB / 4)).unwrap();
            let burst = std::iter::from_fn(|| pair.alice.poll_stanza()).collect::<Vec<_>>();
            assert_eq!(burst.len(), most);
            burst.iter().for_each(|stanza| pair.carry(stanza));
            pair.run();
        }
    }
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender() {
    let limits = Limits::default().with_unread(50_000).with_send_buffer(30_000);
    let mut pair = Pair::limited(&limits).established();
    pair.reading[1] = false;
    let data = octets(MIB);
    let mut sent = 0;
    for _ in 0..100 {
        sent += pair.alice.send_bytes(&data[sent..]).unwrap();
        pair.run();
    }
    // What Bob keeps, what is on the way, what waits at Alice's.
    assert!(sent < 50_000 + 4096 + 8 * 4096 + 30_000 + OCTETS_SENT, "{sent}");
    // A slow reader is not a dead one, and time does not break the session.
    for _ in 0..10 {
        pair.wait(Duration::from_secs(20));
    }
    assert!(!pair.alice.has_ended() && !pair.bob().has_ended());
    pair.reading[1] = true;
    pair.poll_events();
    while sent < data.len() {
        sent += pair.alice.send_bytes(&data[sent..]).unwrap();
        pair.run();
    }
    assert_eq!(bytes(&pair.events[1]), data);
}

#[test]
fn a_sender_that_ignores_the_missing_answers_is_cut_off() {
    let alice = alice_config().with_limits(Limits::default().with_window(10_000));
    let bob = bob_config().with_limits(Limits::default().with_unread(1000));
    let mut pair = Pair::with(alice, bob, plain).established();
    // Alice's window grows far beyond what is allowed.
    for _ in 0..4 {
        pair.alice.send_bytes(&octets(MIB / 4)).unwrap();
        pair.run();
    }
    pair.reading[1] = false;
    // From this one on nothing is acknowledged; each of the next takes one block.
    pair.alice.send(message(&"x".repeat(1000))).unwrap();
    for _ in 1..PEER_WINDOW_MAX {
        pair.alice.send(message("x")).unwrap();
    }
    pair.run();
    assert!(!pair.bob().has_ended());
    pair.alice.send(message("x")).unwrap();
    pair.run();
    pair.reading[1] = true;
    pair.poll_events();
    pair.bob_failed(&rules::TOO_MUCH_UNREAD);
}

#[test]
fn a_dead_reader_is_told_from_a_slow_one() {
    let limits = Limits::default().with_unread(1000);
    let mut pair = Pair::limited(&limits).established();
    pair.reading[1] = false;
    pair.alice.send_bytes(&octets(100_000)).unwrap();
    pair.run();
    pair = pair.edited(|_, _| vec![]);
    pair.wait(Duration::from_secs(20));
    assert!(!pair.alice.has_ended());
    pair.wait(Duration::from_secs(20));
    pair.alice_failed(&rules::NO_ANSWER);
}

#[test]
fn keys_are_updated_after_so_many_octets() {
    let limits = Limits::default().with_rekey(100_000, Duration::from_secs(3600));
    let (alice, bob) = (alice_config().with_limits(limits.clone()), bob_config().with_limits(limits));
    let mut pair = Pair::with(alice, bob, rustls).established();
    let data = octets(60_000);
    pair.alice.send_bytes(&data).unwrap();
    pair.run();
    assert_eq!(pair.alice.statistics().rekeys, 0);
    pair.alice.send_bytes(&data).unwrap();
    pair.run();
    assert_eq!(pair.alice.statistics().rekeys, 1);
    assert_eq!(pair.bob().statistics().rekeys, 0);
    assert_eq!(bytes(&pair.events[1]).len(), 120_000);
}

#[test]
fn keys_are_updated_after_so_much_time() {
    let limits = Limits::default().with_rekey(u64::MAX, Duration::from_secs(90));
    let mut pair = Pair::limited(&limits).established();
    pair.wait(Duration::from_millis(89_999));
    assert_eq!(pair.alice.statistics().rekeys, 0);
    pair.wait(Duration::from_millis(1));
    assert_eq!((pair.alice.statistics().rekeys, pair.bob().statistics().rekeys), (1, 1));
    assert!(pair.log.iter().any(|line| line.starts_with("> data") && line.ends_with(" R")));
}

#[test]
fn keys_are_updated_on_demand_by_either_side() {
    let mut pair = Pair::with(alice_config(), bob_config(), rustls).established();
    for _ in 0..3 {
        pair.alice.rekey().unwrap();
        pair.bob().rekey().unwrap();
        pair.alice.send(message("one")).unwrap();
        pair.bob().send(message("two")).unwrap();
        pair.run();
    }
    assert_eq!((pair.events[0].len(), pair.events[1].len()), (3, 3));
}
