//! Two hosts with several sessions, and what belongs to none.

use std::time::{Duration, Instant};

use countersign::mechanism::Side;
use countersign::xmpp::session::rules;
use countersign::xmpp::{
    Acceptance, Event, FullJid, Gate, Host, HostEvent, SESSIONS_MAX, Session, SessionId, disco,
};

use crate::kit::*;

fn gate() -> Box<dyn Gate> {
    Box::new(|peer: &FullJid| {
        (peer.as_str() != "mallory@atlanta.example/lap").then(|| Acceptance {
            config: bob_config(),
            endpoint: plain(Side::Server),
            rng: Box::new(CountingRng(128)),
        })
    })
}

fn hosts() -> (Host, Host) {
    (Host::new(jid(ALICE), None), Host::new(jid(BOB), Some(gate())))
}

fn initiate(host: &mut Host, seed: u8) -> SessionId {
    let rng = Box::new(CountingRng(seed));
    host.add(Session::initiate(alice_config(), plain(Side::Client), rng, Instant::now()).unwrap())
}

fn run(alice: &mut Host, bob: &mut Host) {
    let now = Instant::now();
    loop {
        if let Some(stanza) = alice.poll_stanza() {
            bob.handle(&stanza, now);
        } else if let Some(stanza) = bob.poll_stanza() {
            alice.handle(&stanza, now);
        } else {
            return;
        }
    }
}

fn events(host: &mut Host) -> Vec<HostEvent> {
    std::iter::from_fn(|| host.poll_event()).collect()
}

/// The answer of a host to a request.
fn answer(host: &mut Host, from: &str, kind: &str, payload: &str) -> String {
    let stanza = xml(&format!(
        "<iq xmlns='jabber:client' type='{kind}' id='q1' from='{from}' to='{BOB}'>{payload}</iq>"
    ));
    assert!(host.handle(&stanza, Instant::now()));
    let answer = host.poll_stanza().unwrap();
    assert_eq!(
        (answer.attr("to"), answer.attr("from"), answer.attr("id")),
        (Some(from), Some(BOB), Some("q1"))
    );
    show(&answer)
}

#[test]
fn hosts_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Host>();
    is_send::<Session>();
    is_send::<HostEvent>();
}

#[test]
fn two_sessions_side_by_side() {
    let (mut alice, mut bob) = hosts();
    let ids = [initiate(&mut alice, 0), initiate(&mut alice, 50)];
    run(&mut alice, &mut bob);
    let established = |event: &HostEvent| matches!(event, HostEvent::Session(_, Event::Established(_)));
    assert_eq!(events(&mut alice).iter().filter(|event| established(event)).count(), 2);
    let theirs = events(&mut bob);
    assert_eq!(theirs.iter().filter(|event| established(event)).count(), 2);
    let HostEvent::Incoming(id, peer) = &theirs[0] else { panic!("{theirs:?}") };
    assert_eq!(*peer, jid(ALICE));
    let sid = bob.session(*id).unwrap().sid().to_owned();
    alice.session_mut(ids[0]).unwrap().send(message("one")).unwrap();
    alice.session_mut(ids[1]).unwrap().send(message("two")).unwrap();
    run(&mut alice, &mut bob);
    for event in events(&mut bob) {
        let HostEvent::Session(id, Event::Stanza(stanza)) = event else { panic!("{event:?}") };
        let expected = if bob.session(id).unwrap().sid() == sid { "one" } else { "two" };
        assert_eq!(stanza, message(expected));
    }
    alice.session_mut(ids[0]).unwrap().close();
    run(&mut alice, &mut bob);
    assert!(matches!(events(&mut alice)[..], [HostEvent::Session(id, Event::Closed)] if id == ids[0]));
    assert!(alice.session(ids[0]).is_none() && alice.session(ids[1]).is_some());
    alice.transport_lost();
    let last = events(&mut alice);
    assert!(
        matches!(&last[..], [HostEvent::Session(_, Event::Failed(error))] if error.is(&rules::TRANSPORT_LOST))
    );
    assert!(alice.next_timeout().is_none());
}

#[test]
fn disco_is_answered_where_sessions_are_taken() {
    let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let (mut alice, mut bob) = hosts();
    assert!(
        answer(&mut bob, ALICE, "get", query).contains("<feature var='urn:xmpp:jingle:security:xtls:0'/>")
    );
    let node = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>";
    assert!(answer(&mut bob, ALICE, "get", node).contains("<service-unavailable"));
    let stanza =
        xml(&format!("<iq xmlns='jabber:client' type='get' id='q1' from='{BOB}' to='{ALICE}'>{query}</iq>"));
    assert!(alice.handle(&stanza, Instant::now()));
    assert!(show(&alice.poll_stanza().unwrap()).contains("<service-unavailable"));
}

#[test]
fn a_known_answer_to_disco_spares_the_question() {
    let mut pair = Pair::with(alice_config().with_discovered(&disco::answer()).unwrap(), bob_config(), plain);
    let first = pair.alice.poll_stanza().unwrap();
    assert!(show(&first).contains("session-initiate"));
    pair.carry(&first);
    let mut pair = pair.established();
    assert_eq!(
        pair.alice.statistics().round_trips + 1,
        Pair::new().established().alice.statistics().round_trips
    );
    pair.alice.close();
    pair.run();

    let without = xml("<query xmlns='http://jabber.org/protocol/disco#info'/>");
    let error = alice_config().with_discovered(&without).unwrap_err();
    assert!(error.is(&disco::rules::FEATURE_MISSING));
}

#[test]
fn what_belongs_to_no_session_is_refused() {
    let (_, mut bob) = hosts();
    let mut ask = |kind: &str, payload: &str| answer(&mut bob, ALICE, kind, payload);
    let jingle = ask("set", "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='none'/>");
    assert!(jingle.contains(
        "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <unknown-session xmlns='urn:xmpp:jingle:errors:1'/></error>"
    ));
    for element in ["<open block-size='4096'", "<data seq='0'", "<close"] {
        let ibb = ask("set", &format!("{element} sid='none' xmlns='http://jabber.org/protocol/ibb'/>"));
        assert!(ibb.contains("<error type='cancel'><item-not-found"), "{ibb}");
    }
    for kind in ["get", "set"] {
        assert!(ask(kind, "<q xmlns='urn:x'/>").contains("<error type='cancel'><service-unavailable"));
    }
}

#[test]
fn requests_of_the_server_are_refused_and_the_rest_is_left_to_the_application() {
    let (_, mut bob) = hosts();
    let now = Instant::now();
    for from in ["", "from='biloxi.example'", "from='bob@biloxi.example'"] {
        let ping =
            format!("<iq xmlns='jabber:client' type='get' id='p' {from}><ping xmlns='urn:xmpp:ping'/></iq>");
        assert!(bob.handle(&xml(&ping), now));
        assert!(show(&bob.poll_stanza().unwrap()).contains("<service-unavailable"));
    }
    for other in [
        "<message xmlns='jabber:client' from='a@x/1'><body>x</body></message>",
        "<presence xmlns='jabber:client' from='a@x/1'/>",
        "<iq xmlns='jabber:client' from='a@x/1' type='result' id='1'/>",
        "<iq xmlns='jabber:client' from='a@x/1' type='error' id='1'/>",
        "<iq xmlns='jabber:client' type='result' id='1'/>",
    ] {
        assert!(!bob.handle(&xml(other), now), "{other}");
        assert!(bob.poll_stanza().is_none());
    }
}

fn offer(sid: &str) -> String {
    format!(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='{sid}'><content creator='initiator' \
         name='e2e'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/><transport block-size='4096' sid='s{sid}' \
         xmlns='urn:xmpp:jingle:transports:ibb:1'/><security xmlns='urn:xmpp:jingle:security:xtls:0'/></content></jingle>"
    )
}

#[test]
fn a_gate_decides_who_may_come_in() {
    let (_, mut bob) = hosts();
    let answer = answer(&mut bob, "mallory@atlanta.example/lap", "set", &offer("1"));
    assert!(answer.contains("<service-unavailable"));
    assert!(bob.poll_event().is_none());
}

#[test]
fn sessions_are_limited_exactly() {
    let (_, mut bob) = hosts();
    for n in 0..SESSIONS_MAX {
        assert!(answer(&mut bob, ALICE, "set", &offer(&n.to_string())).contains("type='result'"));
        while bob.poll_stanza().is_some() {}
    }
    let full = answer(&mut bob, ALICE, "set", &offer("more"));
    assert!(full.contains("<error type='wait'><resource-constraint"), "{full}");
    // Unanswered ones make room when their time is over.
    bob.tick(Instant::now() + Duration::from_secs(30));
    assert_eq!(events(&mut bob).len(), 2 * SESSIONS_MAX);
    while bob.poll_stanza().is_some() {}
    assert!(answer(&mut bob, ALICE, "set", &offer("more")).contains("type='result'"));
}

#[test]
fn of_two_offers_at_once_the_lower_identifier_wins() {
    for (sid, wins) in [("0000", true), ("ffff", false)] {
        let mut bob = Host::new(jid(ALICE), Some(gate()));
        let ours = initiate(&mut bob, 0x10);
        let disco = bob.poll_stanza().unwrap();
        let answer = xml(&format!(
            "<iq xmlns='jabber:client' type='result' id='{}' from='{BOB}' to='{ALICE}'/>",
            disco.attr("id").unwrap()
        ));
        let mut answer = answer;
        answer.append_child(disco::answer());
        assert!(bob.handle(&answer, Instant::now()));
        assert!(show(&bob.poll_stanza().unwrap()).contains("session-initiate"));
        let stanza = xml(&format!(
            "<iq xmlns='jabber:client' type='set' id='q1' from='{BOB}' to='{ALICE}'>{}</iq>",
            offer(sid)
        ));
        assert!(bob.handle(&stanza, Instant::now()));
        let reply = show(&bob.poll_stanza().unwrap());
        let tie = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><tie-break xmlns='urn:xmpp:jingle:errors:1'/>";
        assert_eq!(reply.contains(tie), !wins, "{reply}");
        assert!(bob.session(ours).is_some());
    }
}
