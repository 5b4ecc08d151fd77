//! Servers that edit, and peers that cheat.

use std::cell::RefCell;
use std::rc::Rc;

use countersign::mechanism::{MechanismName, Side};
use countersign::secret::Password;
use countersign::tls::Fingerprint;
use countersign::xmpp::session::rules;
use countersign::xmpp::{
    Element, Event, InitiatorConfig, Profile, ResponderConfig, Session, disco, ibb, jingle, ns, stream,
};
use countersign::{sasl, scram};

use crate::kit::*;

/// Replaces a text in the stanzas of one side.
pub fn replacing(
    from: From,
    old: impl Into<String>,
    new: &'static str,
) -> impl FnMut(From, Element) -> Vec<Element> {
    let old = old.into();
    move |sender, stanza| {
        let text = String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap();
        if sender == from && !text.contains("<data") {
            vec![xml(&text.replace(&old, new))]
        } else {
            vec![stanza]
        }
    }
}

pub fn run_replacing(from: From, old: &'static str, new: &'static str) -> Pair {
    let mut pair = Pair::new().edited(replacing(from, old, new));
    pair.run();
    pair
}

/// Removes `<security/>` from the stanzas of one side.
fn stripping(from: From) -> impl FnMut(From, Element) -> Vec<Element> {
    move |sender, stanza| {
        let text = String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap();
        match (text.find("<security"), text.find("</security>")) {
            (Some(start), Some(end)) if sender == from => {
                vec![xml(&format!("{}{}", &text[..start], &text[end + "</security>".len()..]))]
            }
            _ => vec![stanza],
        }
    }
}

#[test]
fn a_wrong_password_fails_on_both_sides() {
    let alice = InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new("wrong")).with_policy(policy());
    let mut pair = Pair::with(alice, bob_config(), rustls);
    pair.run();
    pair.alice_failed(&sasl::rules::REFUSED_BY_PEER);
    pair.bob_failed(&scram::rules::NOT_AUTHENTICATED);
    assert_eq!(pair.reasons(), ["< security-error", "> security-error"]);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let bob = ResponderConfig::new(jid(BOB), store("carol@atlanta.example")).with_policy(policy());
    let mut unknown = Pair::with(alice_config(), bob, plain);
    unknown.run();
    unknown.alice_failed(&sasl::rules::REFUSED_BY_PEER);
    let alice = InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new("wrong")).with_policy(policy());
    let mut wrong = Pair::with(alice, bob_config(), plain);
    wrong.run();
    assert_eq!(unknown.log.len(), wrong.log.len());
    let last = |pair: &Pair| pair.log.iter().rfind(|line| line.contains("<failure")).cloned();
    assert_eq!(last(&unknown), last(&wrong));
    assert_eq!(
        last(&wrong).unwrap(),
        "< data 2 D <failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
         </failure> D </stream:stream> C"
    );
}

/// A run in which `account` is the only one that Bob knows: the pair, and the sender and size of each stanza.
fn sized(mechanism: &MechanismName, password: &str, account: &str) -> (Pair, Vec<(From, usize)>) {
    let policy = || sasl::Policy::named([mechanism.clone()]);
    let alice = InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new(password)).with_policy(policy());
    let bob = ResponderConfig::new(jid(BOB), store(account)).with_policy(policy());
    let sizes = Rc::new(RefCell::new(vec![]));
    let seen = sizes.clone();
    let mut pair = Pair::with(alice, bob, plain).edited(move |sender, stanza| {
        seen.borrow_mut().push((sender, stream::to_octets(&stanza).unwrap().len()));
        vec![stanza]
    });
    pair.run();
    (pair, sizes.take())
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password_in_every_pake() {
    for mechanism in pakes() {
        let (unknown, sizes) = sized(mechanism, PASSWORD, "carol@atlanta.example");
        let (wrong, expected) = sized(mechanism, "wrong", "alice@atlanta.example");
        assert_eq!(sizes, expected, "{mechanism}");
        // What the mechanism says is left out there; all around it is the same.
        assert_eq!(unknown.log, wrong.log, "{mechanism}");
        for pair in [unknown, wrong] {
            pair.confirmation_failed(mechanism);
        }
        let (pair, sizes) = sized(mechanism, PASSWORD, "alice@atlanta.example");
        assert!(pair.is_established(), "{mechanism}");
        assert_ne!(sizes, expected, "{mechanism}");
    }
}

#[test]
fn security_stripped_from_the_offer() {
    let mut pair = Pair::new().edited(stripping(From::Alice));
    pair.run();
    pair.bob_failed(&jingle::rules::SECURITY_MISSING);
    pair.alice_failed(&rules::SECURITY_REFUSED);
    assert_eq!(pair.reasons(), ["< security-error"]);
}

#[test]
fn security_stripped_from_the_acceptance() {
    let mut pair = Pair::new().edited(stripping(From::Bob));
    pair.run();
    pair.alice_failed(&jingle::rules::SECURITY_MISSING);
    pair.bob_failed(&rules::SECURITY_REFUSED);
    assert_eq!(pair.reasons(), ["> security-error"]);
}

#[test]
fn a_mechanism_removed_from_the_offer() {
    let strong = "<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-256-PLUS</mechanism>";
    let pair = run_replacing(From::Alice, strong, "");
    pair.alice_failed(&scram::rules::CONTEXT_MISMATCH);
}

#[test]
fn a_mechanism_added_to_the_acceptance() {
    let weak = "<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-1-PLUS</mechanism>";
    let other = "<mechanism xmlns='urn:countersign:e2e:0'>PLAIN</mechanism>";
    run_replacing(From::Bob, weak, other).alice_failed(&rules::OTHER_MECHANISMS);
    // Who takes the list inside for the right one finds it in the proof.
    let alice = alice_config().with_profile(Profile::Sasl);
    let mut pair = Pair::with(alice, bob_config(), plain).edited(replacing(From::Bob, weak, other));
    pair.run();
    pair.alice_failed(&scram::rules::CONTEXT_MISMATCH);
}

#[test]
fn all_mechanisms_removed_from_the_acceptance() {
    let list = "<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-256-PLUS</mechanism>\
        <mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-1-PLUS</mechanism>";
    // Alice waits for the features, takes SASL2 from them, and the proof tells.
    let pair = run_replacing(From::Bob, list, "");
    assert!(pair.log.iter().any(|line| line.contains("D <authenticate xmlns='urn:xmpp:sasl:2'")));
    pair.alice_failed(&scram::rules::CONTEXT_MISMATCH);
}

#[test]
fn a_method_removed_from_the_offer() {
    let pair = run_replacing(From::Alice, "<method name='x509'/>", "");
    pair.alice_failed(&scram::rules::CONTEXT_MISMATCH);
}

#[test]
fn a_fingerprint_edited_in_the_offer() {
    let pair = run_replacing(From::Alice, "27add774", "27add775");
    pair.bob_failed(&rules::OTHER_CERTIFICATE);
    pair.alice_failed(&rules::SECURITY_REFUSED);
    assert_eq!(pair.reasons()[0], "< security-error");
}

#[test]
fn a_fingerprint_edited_in_the_acceptance() {
    let pair = run_replacing(From::Bob, "275f0143", "275f0144");
    pair.alice_failed(&rules::OTHER_CERTIFICATE);
    pair.bob_failed(&rules::SECURITY_REFUSED);
}

#[test]
fn a_fingerprint_removed_from_the_acceptance() {
    let print = Fingerprint::of(b"certificate of the Server").to_string();
    let element = format!("<fingerprint algo='sha-256'>{print}</fingerprint>");
    let pair = run_replacing(From::Bob, element.leak(), "");
    pair.alice_failed(&scram::rules::CONTEXT_MISMATCH);
}

#[test]
fn an_unknown_child_of_the_security() {
    let pair = run_replacing(From::Bob, "<method name='x509'/>", "<x xmlns='urn:x'/>");
    pair.alice_failed(&jingle::rules::BAD_SECURITY);
}

#[test]
fn edits_that_xml_allows_do_no_harm() {
    let pair = run_replacing(
        From::Alice,
        "<security xmlns='urn:xmpp:jingle:security:xtls:0'>",
        "<security xmlns:unused='urn:x' xmlns='urn:xmpp:jingle:security:xtls:0'>\n",
    );
    assert!(matches!(pair.events[0][..], [Event::Established(_)]));
}

#[test]
fn a_missing_feature_stops_before_the_offer() {
    let pair = run_replacing(From::Bob, "<feature var='urn:xmpp:jingle:security:xtls:0'/>", "");
    pair.alice_failed(&disco::rules::FEATURE_MISSING);
    assert!(pair.bob.is_none());
    assert_eq!(pair.reasons(), Vec::<String>::new());
}

#[test]
fn an_acceptance_of_something_else() {
    for (old, new, rule) in [
        ("block-size='4096'", "block-size='4097'", &jingle::rules::OTHER_CONTENT),
        ("block-size='4096'", "block-size='127'", &jingle::rules::BLOCK_SIZE),
        ("name='e2e'", "name='other'", &jingle::rules::OTHER_CONTENT),
        ("creator='initiator'", "creator='responder'", &jingle::rules::OTHER_CONTENT),
        (
            "ibb:1' block-size='4096' sid='1011",
            "ibb:1' block-size='4096' sid='1111",
            &jingle::rules::OTHER_CONTENT,
        ),
        ("responder='bob@", "responder='eve@", &jingle::rules::OTHER_CONTENT),
        ("apps:xmlstream:0'/><transport", "apps:xmlstream:1'/><transport", &jingle::rules::OTHER_APPLICATION),
        ("transports:ibb:1' b", "transports:s5b:1' b", &jingle::rules::OTHER_TRANSPORT),
    ] {
        let pair = run_replacing(From::Bob, old, new);
        pair.alice_failed(rule);
        assert!(pair.bob.as_ref().unwrap().has_ended(), "{old}");
    }
}

#[test]
fn an_offer_of_something_else() {
    for (old, new, rule, reason) in [
        ("block-size='4096'", "block-size='127'", &jingle::rules::BLOCK_SIZE, "incompatible-parameters"),
        ("block-size='4096'", "block-size='32768'", &jingle::rules::BLOCK_SIZE, "incompatible-parameters"),
        (
            "creator='initiator'",
            "creator='responder'",
            &jingle::rules::OTHER_CONTENT,
            "incompatible-parameters",
        ),
        ("xmlstream:0'/>", "xmlstream:1'/>", &jingle::rules::OTHER_APPLICATION, "unsupported-applications"),
        ("ibb:1' b", "s5b:1' b", &jingle::rules::OTHER_TRANSPORT, "unsupported-transports"),
    ] {
        let pair = run_replacing(From::Alice, old, new);
        pair.bob_failed(rule);
        pair.alice_failed(&rules::DECLINED);
        assert_eq!(pair.reasons(), [format!("< {reason}")], "{old}");
    }
}

#[test]
fn a_malformed_offer_is_a_bad_request() {
    for (old, new, rule) in [
        ("initiator='alice@", "initiator='eve@", &jingle::rules::MALFORMED),
        ("block-size='4096'", "block-size='99999'", &jingle::rules::MALFORMED),
        ("algo='sha-256'", "algo='sha1'", &jingle::rules::BAD_SECURITY),
    ] {
        let pair = run_replacing(From::Alice, old, new);
        pair.bob_failed(rule);
        pair.alice_failed(&rules::REFUSED);
    }
}

#[test]
fn a_smaller_block_is_taken() {
    let limits = countersign::xmpp::Limits::default().with_block(256);
    let mut pair = Pair::with(alice_config(), bob_config().with_limits(limits), rustls).established();
    pair.alice.send(message(&"x".repeat(1000))).unwrap();
    pair.run();
    assert!(matches!(&pair.events[1][..], [Event::Stanza(_)]));
    assert!(
        pair.log
            .iter()
            .any(|line| line.contains("<open xmlns='http://jabber.org/protocol/ibb' block-size='256'"))
    );
}

#[test]
fn stanzas_of_a_third_party_are_not_taken() {
    let mut pair = Pair::new().established();
    let sid = pair.alice.sid().to_owned();
    for from in ["eve@biloxi.example/tab", "bob@biloxi.example/other", "bob@biloxi.example", "biloxi.example"]
    {
        for payload in [
            format!("<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='{sid}'/>"),
            "<data xmlns='http://jabber.org/protocol/ibb' seq='9' sid='101112131415161718191a1b1c1d1e1f'/>"
                .into(),
        ] {
            let stanza = xml(&format!(
                "<iq xmlns='jabber:client' type='set' id='e1' from='{from}' to='{ALICE}'>{payload}</iq>"
            ));
            assert!(!pair.alice.handle(&stanza, pair.now));
        }
        let answer = xml(&format!("<iq xmlns='jabber:client' type='error' id='{sid}-i4' from='{from}'/>"));
        assert!(!pair.alice.handle(&answer, pair.now));
    }
    let other = xml(&format!(
        "<iq xmlns='jabber:client' type='set' id='e1' from='{BOB}' to='alice@atlanta.example/other'>\
         <jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='{sid}'/></iq>"
    ));
    assert!(!pair.alice.handle(&other, pair.now));
    pair.poll_events();
    assert!(pair.events[0].is_empty() && !pair.alice.has_ended());
}

#[test]
fn a_repeated_block() {
    let mut pair = Pair::new().edited(|sender, stanza| {
        let repeat = sender == From::Alice && show(&stanza).starts_with("data 1");
        if repeat { vec![stanza.clone(), stanza] } else { vec![stanza] }
    });
    pair.run();
    pair.bob_failed(&ibb::rules::SEQ_USED);
    assert!(pair.log.iter().any(|line| line.starts_with('<') && line.contains("<unexpected-request")));
    assert!(
        pair.log
            .iter()
            .any(|line| line.starts_with('<')
                && line.contains("<close xmlns='http://jabber.org/protocol/ibb'"))
    );
    assert_eq!(pair.reasons()[0], "< failed-transport");
}

#[test]
fn a_lost_block() {
    let mut pair = Pair::new().established();
    let mut dropped = false;
    pair = pair.edited(move |sender, stanza| {
        let lose = sender == From::Alice && !dropped && show(&stanza).contains("one");
        dropped |= lose;
        if lose { vec![] } else { vec![stanza] }
    });
    pair.alice.send(message("one")).unwrap();
    pair.alice.send(message("two")).unwrap();
    pair.run();
    pair.bob_failed(&ibb::rules::SEQ_GAP);
    assert!(!pair.events[1].iter().any(|event| matches!(event, Event::Stanza(_))));
}

#[test]
fn a_block_edited_by_a_server_breaks_tls() {
    let mut pair = Pair::with(alice_config(), bob_config(), rustls).established();
    pair = pair.edited(|sender, stanza| {
        let text = String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap();
        match text.find("</data>") {
            Some(end) if sender == From::Alice => {
                let flipped = if &text[end - 8..end - 7] == "A" { "B" } else { "A" };
                vec![xml(&format!("{}{flipped}{}", &text[..end - 8], &text[end - 7..]))]
            }
            _ => vec![stanza],
        }
    });
    pair.alice.send(message("one")).unwrap();
    pair.run();
    pair.bob_failed(&countersign::tls::rules::HANDSHAKE);
    pair.alice_failed(&countersign::tls::rules::ALERT);
}

#[test]
fn base64_edited_by_a_server() {
    let mut pair = Pair::new().edited(|sender, stanza| {
        let text = String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap();
        if sender == From::Bob { vec![xml(&text.replace("</data>", "!</data>"))] } else { vec![stanza] }
    });
    pair.run();
    pair.alice_failed(&ibb::rules::BAD_DATA);
    assert!(pair.log.iter().any(|line| line.starts_with('>') && line.contains("<bad-request")));
}

#[test]
fn a_block_that_is_too_large() {
    let mut script = Script::bob();
    let data = format!(
        "<data xmlns='{}' seq='1' sid='101112131415161718191a1b1c1d1e1f'>{}</data>",
        ns::IBB,
        "A".repeat(4097_usize.div_ceil(3) * 4)
    );
    script.request(&data);
    script.failed(&ibb::rules::BLOCK_TOO_LARGE);
}

#[test]
fn an_unknown_bytestream_is_not_taken() {
    let mut pair = Pair::new().established();
    let stanza = xml(&format!(
        "<iq xmlns='jabber:client' type='set' id='e1' from='{BOB}' to='{ALICE}'>\
         <data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='other'>YWJj</data></iq>"
    ));
    assert!(!pair.alice.handle(&stanza, pair.now));
}

#[test]
fn the_bytestream_opened_with_another_block_size() {
    let mut first = true;
    let mut pair = Pair::new().edited(move |sender, stanza| {
        let text = String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap();
        if sender == From::Alice && text.contains("<open") && std::mem::take(&mut first) {
            return vec![xml(&text.replace("4096", "8192"))];
        }
        vec![stanza]
    });
    pair.run();
    assert!(pair.log.iter().any(|line| line.contains("<error type='modify'><resource-constraint")));
    pair.alice_failed(&rules::REFUSED);
}

#[test]
fn jingle_out_of_order_is_answered_and_changes_nothing() {
    let mut pair = Pair::new().established();
    let sid = pair.alice.sid().to_owned();
    for (action, child, condition) in [
        ("session-accept", "", "out-of-order"),
        ("session-initiate", "", "out-of-order"),
        ("session-info", "<ringing xmlns='urn:x'/>", "unsupported-info"),
        ("transport-info", "", "feature-not-implemented"),
    ] {
        let stanza = xml(&format!(
            "<iq xmlns='jabber:client' type='set' id='e1' from='{BOB}' to='{ALICE}'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='{sid}'>{child}</jingle></iq>"
        ));
        assert!(pair.alice.handle(&stanza, pair.now));
        let answer = show(&pair.alice.poll_stanza().unwrap());
        assert!(answer.contains("type='error'") && answer.contains(condition), "{answer}");
    }
    for action in ["session-info", "security-info"] {
        let stanza = xml(&format!(
            "<iq xmlns='jabber:client' type='set' id='e1' from='{BOB}' to='{ALICE}'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='{sid}'/></iq>"
        ));
        assert!(pair.alice.handle(&stanza, pair.now));
        assert!(show(&pair.alice.poll_stanza().unwrap()).contains("type='result'"));
    }
    assert!(!pair.alice.has_ended());
}

// Peers that cheat inside the tunnel.

const BOBS_HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    from='bob@biloxi.example/tab' to='alice@atlanta.example/lap' id='1' version='1.0'>";
const ALICES_HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    from='alice@atlanta.example/lap' to='bob@biloxi.example/tab' version='1.0'>";

fn features(mechanism: &str, binding: &str) -> String {
    format!(
        "<stream:features><mechanisms xmlns='{}'><mechanism>{mechanism}</mechanism></mechanisms>\
         <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{binding}</sasl-channel-binding></stream:features>",
        ns::SASL
    )
}

const EXPORTER: &str = "<channel-binding type='tls-exporter'/>";

#[test]
fn headers_with_swapped_or_other_addresses() {
    for header in [
        ALICES_HEADER.to_owned(),
        BOBS_HEADER.replace("/tab", "/other"),
        BOBS_HEADER.replace("bob@biloxi.example/tab", "bob@biloxi.example"),
        BOBS_HEADER.replace("to='alice@", "to='carol@"),
        BOBS_HEADER.replace("from='bob@biloxi.example/tab' ", ""),
        BOBS_HEADER.replace("to='alice@atlanta.example/lap' ", ""),
    ] {
        let mut script = Script::bob();
        script.say(&header);
        assert!(
            script.heard.contains("<invalid-from xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"),
            "{header}"
        );
        assert_eq!(script.reason().as_deref(), Some("security-error"));
        script.failed(&rules::OTHER_ADDRESSES);
    }
    let mut script = Script::alice();
    script.say(BOBS_HEADER);
    // A stream error has to follow a header.
    assert!(script.heard.contains("<stream:stream"));
    assert!(script.heard.contains("<invalid-from"));
    script.failed(&rules::OTHER_ADDRESSES);
}

#[test]
fn a_stanza_before_success() {
    for early in
        ["<message><body>x</body></message>", "<presence/>", "<iq type='get' id='1'><q xmlns='urn:x'/></iq>"]
    {
        let mut script = Script::alice();
        script.say(ALICES_HEADER);
        script.say(early);
        assert!(script.heard.contains(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><not-authorized \
             xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        ));
        script.failed(&rules::TOO_EARLY);
        let mut script = Script::bob();
        script.say(BOBS_HEADER);
        script.say(early);
        script.failed(&rules::TOO_EARLY);
    }
}

#[test]
fn success_without_proof() {
    for success in [
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>",
    ] {
        let mut script = Script::bob();
        script.say(BOBS_HEADER);
        script.say(&features("SCRAM-SHA-256-PLUS", EXPORTER));
        script.say(success);
        assert!(script.heard.contains("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"));
        assert_eq!(script.reason().as_deref(), Some("security-error"));
        let events = std::iter::from_fn(|| script.session.poll_event()).collect::<Vec<_>>();
        assert!(matches!(&events[..], [Event::Failed(_)]), "{events:?}");
    }
}

/// What Bob offers to an initiator that knows SASL2.
fn features2(mechanisms: &[&str], binding: &str) -> String {
    let names = mechanisms.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect::<String>();
    format!(
        "<stream:features><authentication xmlns='{}'>{names}</authentication>\
         <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{binding}</sasl-channel-binding></stream:features>",
        ns::SASL2
    )
}

const ANNOUNCED: [&str; 2] = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"];
const ABORT2: &str = "<abort xmlns='urn:xmpp:sasl:2'/>";

/// The test plays Bob up to the features; Alice has begun to authenticate by SASL2.
fn begun() -> Script {
    let mut script = Script::bob_of(Profile::Sasl2);
    script.say(BOBS_HEADER);
    script.say(&features2(&ANNOUNCED, EXPORTER));
    assert!(script.heard.contains("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256-PLUS'>"));
    assert!(!script.session.has_ended());
    script
}

#[test]
fn features_that_do_not_offer_what_was_announced() {
    for features in [
        features2(&ANNOUNCED[..1], EXPORTER),
        features2(&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"], EXPORTER),
        features2(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "PLAIN"], EXPORTER),
        features2(&[], EXPORTER),
        features("SCRAM-SHA-256-PLUS", EXPORTER),
    ] {
        let mut script = Script::bob_of(Profile::Sasl2);
        script.say(BOBS_HEADER);
        script.say(&features);
        assert!(script.heard.contains(ABORT2), "{features}");
        assert_eq!(script.reason().as_deref(), Some("security-error"));
        script.failed(&rules::OTHER_MECHANISMS);
    }
}

#[test]
fn success_without_proof_in_sasl2() {
    let identity = "<authorization-identifier>alice@atlanta.example</authorization-identifier>";
    for data in ["", "<additional-data/>", "<additional-data>dj1hYWFh</additional-data>"] {
        let mut script = begun();
        script.say(&format!("<success xmlns='urn:xmpp:sasl:2'>{data}{identity}</success><stream:features/>"));
        assert!(script.heard.contains(ABORT2), "{data}");
        assert_eq!(script.reason().as_deref(), Some("security-error"));
        let events = std::iter::from_fn(|| script.session.poll_event()).collect::<Vec<_>>();
        assert!(matches!(&events[..], [Event::Failed(_)]), "{events:?}");
    }
}

#[test]
fn replies_of_the_other_profile() {
    for reply in ["challenge", "success", "failure"] {
        let mut script = begun();
        script.say(&format!("<{reply} xmlns='{}'/>", ns::SASL));
        script.failed(&countersign::xmpp::sasl2::rules::MALFORMED);
        let mut script = Script::bob();
        script.say(BOBS_HEADER);
        script.say(&features("SCRAM-SHA-256-PLUS", EXPORTER));
        script.say(&format!("<{reply} xmlns='{}'/>", ns::SASL2));
        script.failed(&countersign::xmpp::sasl::rules::MALFORMED);
    }
}

#[test]
fn the_initiator_changes_the_profile_midway() {
    let begin = format!("<authenticate xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'/>", ns::SASL2);
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    script.say(&begin);
    script.say(&format!("<response xmlns='{}'>YQ==</response>", ns::SASL));
    script.failed(&countersign::xmpp::sasl2::rules::MALFORMED);
    // Nor a second beginning.
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    script.say(&begin);
    script.say(&begin);
    assert!(script.heard.contains("<failure xmlns='urn:xmpp:sasl:2'>"));
    script.failed(&rules::OUT_OF_ORDER);
}

#[test]
fn more_tasks_than_the_mechanism() {
    let mut script = begun();
    script.say("<continue xmlns='urn:xmpp:sasl:2'><tasks><task>HOTP</task></tasks></continue>");
    assert!(script.heard.contains(ABORT2));
    script.failed(&rules::MORE_TASKS);
}

#[test]
fn only_weak_mechanisms_offered_inside() {
    for weak in ["PLAIN", "SCRAM-SHA-256", "EXTERNAL", "ANONYMOUS"] {
        let mut script = Script::bob();
        script.say(BOBS_HEADER);
        script.say(&features(weak, EXPORTER));
        script.failed(&sasl::rules::NO_MECHANISM);
    }
}

#[test]
fn a_shorter_list_inside_than_announced_is_found_out() {
    // The digest of what was said in the open differs; here it is enough that Alice takes what is offered inside.
    let mut script = Script::bob();
    script.say(BOBS_HEADER);
    script.say(&features("SCRAM-SHA-1-PLUS", EXPORTER));
    assert!(script.heard.contains("mechanism='SCRAM-SHA-1-PLUS'"));
}

#[test]
fn other_channel_bindings_offered_inside() {
    for types in [
        "",
        "<channel-binding type='tls-server-end-point'/>",
        "<channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/>",
    ] {
        let mut script = Script::bob();
        script.say(BOBS_HEADER);
        script.say(&features("SCRAM-SHA-256-PLUS", types));
        script.failed(&rules::NO_EXPORTER);
    }
}

#[test]
fn the_peer_refuses_the_authentication() {
    let mut script = Script::bob();
    script.say(BOBS_HEADER);
    script.say(&features("SCRAM-SHA-256-PLUS", EXPORTER));
    script.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    script.failed(&sasl::rules::REFUSED_BY_PEER);
    assert!(script.closed);
}

#[test]
fn a_mechanism_that_was_not_offered() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512-PLUS", "SCRAM-SHA-256"] {
        let mut script = Script::alice();
        script.say(ALICES_HEADER);
        script.say(&format!("<auth xmlns='{}' mechanism='{mechanism}'>YQ==</auth>", ns::SASL));
        assert!(script.heard.contains("<invalid-mechanism/>"), "{}", script.heard);
        script.failed(&countersign::registry::rules::UNKNOWN_MECHANISM);
    }
}

#[test]
fn the_initiator_aborts() {
    for before in ["", &format!("<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'/>", ns::SASL)] {
        let mut script = Script::alice();
        script.say(ALICES_HEADER);
        script.say(before);
        script.say("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert!(
            script.heard.contains("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>")
        );
        script.failed(&rules::ABORTED_BY_PEER);
    }
}

#[test]
fn no_second_try_in_the_same_tunnel() {
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    let auth = format!("<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'>YQ==</auth>", ns::SASL);
    script.say(&auth);
    assert!(script.heard.contains("<failure"));
    let heard = script.heard.clone();
    assert!(script.session.has_ended());
    script.say(&auth);
    assert_eq!(script.heard, heard);
}

#[test]
fn garbage_inside_the_tunnel() {
    let mut script = Script::alice();
    script.say("<!DOCTYPE x>");
    assert!(script.heard.contains("<stream:stream"));
    assert!(script.heard.contains("<not-well-formed"));
    script.failed(&stream::rules::NOT_WELL_FORMED);
    let mut script = Script::bob();
    script.say(BOBS_HEADER);
    script.say("<stream:features/>x");
    script.failed(&rules::NO_EXPORTER);
    let mut script = Script::bob();
    script.say(BOBS_HEADER);
    script.say(
        "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    );
    script.failed(&rules::STREAM_ERROR);
}

#[test]
fn too_much_before_the_authentication() {
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    for _ in 0..countersign::tls::AUTHENTICATION_MAX / 60_000 {
        script.say(&" ".repeat(60_000));
        assert!(!script.session.has_ended());
    }
    script.say(&" ".repeat(60_000));
    script.failed(&countersign::tls::rules::TOO_MUCH_UNVERIFIED);
}

#[test]
fn elements_of_the_negotiation_are_limited_exactly() {
    let auth = format!("<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'></auth>", ns::SASL);
    let filled = |size: usize| auth.replace("><", &format!(">{}<", "A".repeat(size - auth.len())));
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    script.say(&filled(96 * 1024));
    script.failed(&countersign::mechanism::rules::MESSAGE_TOO_LONG);
    let mut script = Script::alice();
    script.say(ALICES_HEADER);
    script.say(&filled(96 * 1024 + 1));
    script.failed(&stream::rules::STANZA_TOO_LARGE);
}

#[test]
fn the_tunnel_closed_before_the_authentication() {
    let mut script = Script::bob();
    script.frame(b'C', b"");
    script.failed(&rules::STREAM_CUT_SHORT);
    let mut script = Script::bob();
    script.say(BOBS_HEADER);
    script.say("</stream:stream>");
    script.failed(&rules::STREAM_CUT_SHORT);
}

// Misuse.

#[test]
fn endpoints_must_be_the_right_ends() {
    let now = std::time::Instant::now();
    let rng = || Box::new(CountingRng(0));
    let error = Session::initiate(alice_config(), plain(Side::Server), rng(), now).unwrap_err();
    assert!(error.is(&rules::WRONG_SIDE));
    let offer = Element::bare("iq", ns::CLIENT);
    let error = Session::respond(bob_config(), plain(Side::Client), rng(), &offer, now).unwrap_err();
    assert!(error.is(&rules::WRONG_SIDE));
    let error = Session::respond(bob_config(), plain(Side::Server), rng(), &offer, now).unwrap_err();
    assert!(error.is(&rules::NOT_AN_OFFER));
}

#[test]
fn a_session_with_oneself_is_refused() {
    let config = InitiatorConfig::new(jid(ALICE), jid(ALICE), Password::new("x")).with_policy(policy());
    let rng = Box::new(CountingRng(0));
    let error = Session::initiate(config, plain(Side::Client), rng, std::time::Instant::now()).unwrap_err();
    assert!(error.is(&rules::SELF));
}

#[test]
fn a_policy_that_leaves_nothing_is_refused() {
    let config = alice_config().with_policy(sasl::Policy::named([name("PLAIN")]));
    let rng = Box::new(CountingRng(0));
    let error = Session::initiate(config, plain(Side::Client), rng, std::time::Instant::now()).unwrap_err();
    assert!(error.is(&sasl::rules::NOTHING_ACCEPTABLE));
}

#[test]
fn nothing_can_be_sent_before_the_tunnel_is_verified() {
    let mut pair = Pair::new();
    while pair.bob.is_none() || pair.events[0].is_empty() {
        assert!(pair.alice.send(message("x")).unwrap_err().is(&rules::NOT_OPEN));
        assert!(pair.alice.send_bytes(b"x").unwrap_err().is(&rules::NOT_OPEN));
        assert!(pair.alice.rekey().unwrap_err().is(&rules::NOT_OPEN));
        assert!(pair.step());
    }
    pair.alice.send(message("x")).unwrap();
    let error = pair.alice.send(Element::bare("features", ns::STREAM)).unwrap_err();
    assert!(error.is(&rules::NOT_A_STANZA));
    for (from, to) in [(BOB, BOB), (ALICE, ALICE), ("alice@atlanta.example", BOB), (ALICE, "@")] {
        let other = xml(&format!("<message xmlns='jabber:client' from='{from}' to='{to}'/>"));
        assert!(pair.alice.send(other).unwrap_err().is(&rules::WRONG_ADDRESSES));
    }
    pair.alice.send(xml(&format!("<message xmlns='jabber:client' from='{ALICE}' to='{BOB}'/>"))).unwrap();
    let mut unwritable = message("");
    unwritable.append_text("\u{1}");
    let error = pair.alice.send(unwritable).unwrap_err();
    assert!(error.is(&stream::rules::NOT_WRITABLE));
}
