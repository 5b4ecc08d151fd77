//! Sessions that TLS itself authenticates: a pre-shared key, SRP, and a PAKE before TLS.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use countersign::error::Rule;
use countersign::guess::{self, GuessLimits, Guesses, PEER_GUESSES};
use countersign::sasl::{self, Policy};
use countersign::secret::Password;
use countersign::tls;
use countersign::tls::psk::PreSharedKey;
use countersign::xmpp::session::rules;
use countersign::xmpp::{Element, Event, InitiatorConfig, ResponderConfig, Session, Statistics, ns};

use crate::kit::*;

const PAKE: &str = "CPACE-R255-PSK";
const PSK: &str = "TLS13-PSK";
const SRP: &str = "TLS-SRP";
const ALL: [&str; 3] = [PAKE, PSK, SRP];

fn named(names: &[&str]) -> Policy {
    Policy::named(names.iter().map(|name| name.parse().unwrap()))
}

/// A key that only a seed tells from another.
fn key(seed: u8) -> PreSharedKey {
    PreSharedKey::generate(&mut CountingRng(seed))
}

fn alice(names: &[&str]) -> InitiatorConfig {
    alice_config().with_policy(named(names)).with_psk(key(1))
}

fn bob(names: &[&str]) -> ResponderConfig {
    bob_config().with_policy(named(names)).with_psk(key(1))
}

/// Alice who holds another secret.
fn stranger(names: &[&str]) -> InitiatorConfig {
    InitiatorConfig::new(jid(ALICE), jid(BOB), Password::new("wrong"))
        .with_policy(named(names))
        .with_psk(key(2))
}

fn pair(names: &[&str]) -> Pair {
    Pair::with(alice(names), bob(names), plain)
}

fn failed(pair: &Pair, of: usize) -> &countersign::Error {
    match pair.events[of].last() {
        Some(Event::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_carries_stanzas_and_octets_and_ends_properly() {
    for name in ALL {
        let mut pair = pair(&[name]);
        pair.run();
        for events in &pair.events {
            let [Event::Established(established)] = &events[..] else { panic!("{name}: {events:?}") };
            assert_eq!(established.mechanism.as_str(), name);
            assert_eq!(established.authcid, "alice@atlanta.example");
            let version = established.negotiated.as_ref().unwrap().version.clone();
            assert_eq!(version, if name == SRP { "TLSv1.2" } else { "TLSv1.3" }, "{name}");
        }
        pair.events = [vec![], vec![]];
        pair.alice.send(message("hello")).unwrap();
        let octets = vec![7; 100_000];
        assert_eq!(pair.bob().send_bytes(&octets).unwrap(), octets.len());
        pair.run();
        assert!(matches!(&pair.events[1][..], [Event::Stanza(_)]), "{name}");
        let arrived = pair.events[0].iter().map(|event| match event {
            Event::Bytes(octets) => octets.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(arrived.sum::<usize>(), octets.len());
        pair.events = [vec![], vec![]];
        pair.alice.close();
        pair.run();
        assert!(pair.events.iter().all(|events| matches!(events[..], [Event::Closed])), "{name}");
        assert_eq!(pair.reasons(), ["> success"]);
    }
}

#[test]
fn keys_are_updated_where_tls_can() {
    for name in ALL {
        let mut pair = pair(&[name]).established();
        let updated = pair.alice.rekey();
        pair.run();
        if name == SRP {
            // No new keys in TLS 1.2: the session is over before old ones are used too long.
            pair.alice_failed(&tls::rules::NO_KEY_UPDATE);
        } else {
            updated.unwrap();
            pair.alice.send(message("under new keys")).unwrap();
            pair.run();
            assert!(matches!(&pair.events[1][..], [Event::Stanza(_)]), "{name}");
        }
    }
}

#[test]
fn no_round_trip_more_than_with_a_key() {
    let statistics = |name| -> Statistics {
        let pair = pair(&[name]).established();
        pair.alice.statistics()
    };
    let [pake, psk, srp] = ALL.map(statistics);
    assert_eq!(pake.round_trips, psk.round_trips);
    assert_eq!(pake.stanzas_sent, psk.stanzas_sent);
    assert!(srp.round_trips > psk.round_trips);
    assert_eq!((pake.sasl_messages, psk.sasl_messages, srp.sasl_messages), (0, 0, 0));
}

#[test]
fn another_secret_is_refused_by_both() {
    for name in ALL {
        let mut pair = Pair::with(stranger(&[name]), bob(&[name]), plain);
        pair.run();
        pair.bob_failed(&tls::rules::NOT_PROVEN);
        // Alice hears of it in TLS, or in SRP by the server's side of the proof.
        pair.alice_failed(&tls::rules::NOT_ACCEPTED);
        assert!(pair.reasons().iter().any(|reason| reason.ends_with("security-error")), "{name}");
    }
}

#[test]
fn an_initiator_nobody_knows_fails_as_with_a_wrong_secret() {
    for name in ALL {
        let ends = [false, true].map(|known| {
            let policy = named(&[name]);
            let (store, psk) =
                if known { ("alice@atlanta.example", Some(key(3))) } else { ("carol@x.example", None) };
            let mut config = ResponderConfig::new(jid(BOB), store_of(store, known)).with_policy(policy);
            if let Some(key) = psk {
                config = config.with_psk(key);
            }
            let mut pair = Pair::with(alice(&[name]), config, plain);
            pair.run();
            [0, 1].map(|of| failed(&pair, of).rule().id)
        });
        assert_eq!(ends[0], ends[1], "{name}");
    }
}

/// A store with one user, with another password than Alice's when it is she.
fn store_of(authcid: &str, known: bool) -> std::sync::Arc<countersign::registry::SharedPassword> {
    let password = Password::new(if known { "another" } else { PASSWORD });
    let preparation = countersign::prep::Preparation::SaslPrep;
    let store = countersign::registry::SharedPassword::new(authcid, password, preparation, CountingRng(3));
    std::sync::Arc::new(store.unwrap())
}

/// Runs a session in which a server edits the elements `<security/>`.
fn edited(names: &[&str], of: From, edit: impl Fn(&mut Element) + 'static) -> Pair {
    let edits = Rc::new(RefCell::new(0));
    let count = edits.clone();
    let mut pair = pair(names).edited(move |from, mut stanza| {
        if from == of
            && let Some(security) = security_mut(&mut stanza)
        {
            edit(security);
            *count.borrow_mut() += 1;
        }
        vec![stanza]
    });
    pair.run();
    assert_eq!(*edits.borrow(), 1);
    pair
}

fn security_mut(stanza: &mut Element) -> Option<&mut Element> {
    let jingle = stanza.get_child_mut("jingle", ns::JINGLE)?;
    jingle.get_child_mut("content", ns::JINGLE)?.get_child_mut("security", ns::XTLS)
}

fn assert_refused(pair: &Pair, what: &str) {
    for events in &pair.events {
        assert!(matches!(events[..], [Event::Failed(_)]), "{what}: {events:?}");
    }
}

/// Removes the methods that are not called that.
fn leave(security: &mut Element, method: &str) {
    for node in security.take_nodes() {
        let drop = node.as_element().is_some_and(|child| {
            (child.name() == "method" && child.attr("name") != Some(method))
                || (child.name() == "pake" && !method.ends_with("cpace-psk"))
        });
        if !drop {
            security.append_node(node);
        }
    }
}

#[test]
fn a_stripped_method_is_noticed_whatever_is_taken_instead() {
    let methods = ["urn:countersign:e2e:0#cpace-psk", "urn:countersign:e2e:0#psk", "srp"];
    for left in methods {
        // One more is named than is left, so that there is something to strip.
        let names = [PAKE, PSK, SRP, "SCRAM-SHA-256-PLUS"];
        let pair = edited(&names, From::Alice, move |security| leave(security, left));
        assert_refused(&pair, left);
        if left.ends_with("cpace-psk") {
            pair.bob_failed(&tls::rules::NOT_PROVEN);
        } else {
            // The handshake itself knows nothing of the offers.
            pair.bob_failed(&rules::OFFERS_DIFFER);
        }
    }
}

#[test]
fn a_method_that_was_added_is_noticed() {
    for name in ALL {
        let pair = edited(&[name], From::Alice, |security| {
            security.append_child(xml("<method xmlns='urn:xmpp:jingle:security:xtls:0' name='openpgp'/>"));
        });
        assert_refused(&pair, name);
    }
}

#[test]
fn an_edited_share_is_noticed() {
    for of in [From::Alice, From::Bob] {
        let pair = edited(&[PAKE], of, |security| {
            let pake = security.get_child_mut("pake", ns::E2E).unwrap();
            pake.take_nodes();
            // The base point of ristretto255 (RFC 9496 appendix A.1): a share like others.
            pake.append_text("4vKuCmq8TnGohKlhxQBRXlgw9qpYLdtkolGCjKAFhtM=");
        });
        assert_refused(&pair, "share");
    }
}

#[test]
fn a_share_without_information_is_refused_at_once() {
    let pair = edited(&[PAKE], From::Alice, |security| {
        let pake = security.get_child_mut("pake", ns::E2E).unwrap();
        pake.take_nodes();
        pake.append_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    });
    pair.bob_failed(&countersign::cpace::rules::NEUTRAL_ELEMENT);
    pair.alice_failed(&rules::SECURITY_REFUSED);
}

#[test]
fn a_share_of_another_length_is_malformed() {
    let pair = edited(&[PAKE], From::Alice, |security| {
        let pake = security.get_child_mut("pake", ns::E2E).unwrap();
        pake.take_nodes();
        pake.append_text("AAAA");
    });
    pair.bob_failed(&countersign::xmpp::jingle::rules::BAD_SECURITY);
}

#[test]
fn our_own_share_is_no_answer() {
    let share = Rc::new(RefCell::new(String::new()));
    let mut pair = pair(&[PAKE]).edited(move |from, mut stanza| {
        if let Some(security) = security_mut(&mut stanza) {
            let pake = security.get_child_mut("pake", ns::E2E).unwrap();
            if from == From::Alice {
                *share.borrow_mut() = pake.text();
            } else {
                pake.take_nodes();
                pake.append_text(share.borrow().as_str());
            }
        }
        vec![stanza]
    });
    pair.run();
    pair.alice_failed(&countersign::cpace::rules::OWN_SHARE);
}

#[test]
fn an_answer_with_another_method_ends_the_session() {
    for (name, method) in [(PSK, "srp"), (SRP, "x509"), (PSK, "openpgp")] {
        let pair = edited(&[name], From::Bob, move |security| {
            security.take_nodes();
            let element = format!("<method xmlns='urn:xmpp:jingle:security:xtls:0' name='{method}'/>");
            security.append_child(xml(&element));
        });
        pair.alice_failed(&rules::OTHER_METHOD);
    }
    let pair = edited(&[PSK], From::Bob, |security| drop(security.take_nodes()));
    pair.alice_failed(&rules::OTHER_METHOD);
}

#[test]
fn nothing_in_common_is_refused() {
    for (ours, theirs) in [(PAKE, PSK), (PSK, SRP), (SRP, "SCRAM-SHA-256-PLUS"), ("SCRAM-SHA-256-PLUS", PAKE)]
    {
        let mut pair = Pair::with(alice(&[ours]), bob(&[theirs]), plain);
        pair.run();
        pair.bob_failed(&rules::NO_METHOD);
        pair.alice_failed(&rules::SECURITY_REFUSED);
    }
}

#[test]
fn the_order_is_the_initiators() {
    for (ours, taken) in [
        (&[SRP, PAKE, "SCRAM-SHA-256-PLUS"][..], SRP),
        (&[PAKE, SRP, "SCRAM-SHA-256-PLUS"], PAKE),
        (&["SCRAM-SHA-256-PLUS", SRP, PAKE], "SCRAM-SHA-256-PLUS"),
    ] {
        let mut pair = Pair::with(alice(ours), bob(&[PSK, PAKE, "SCRAM-SHA-256-PLUS", SRP]), plain);
        pair.run();
        for events in &pair.events {
            let [Event::Established(established)] = &events[..] else { panic!("{events:?}") };
            assert_eq!(established.mechanism.as_str(), taken);
        }
    }
}

#[test]
fn nothing_weaker_is_taken_after_a_failure() {
    let names = [PAKE, SRP, "SCRAM-SHA-256-PLUS"];
    let mut pair = Pair::with(stranger(&names), bob(&names), plain);
    pair.run();
    assert_refused(&pair, "wrong password");
    assert_eq!(pair.log.iter().filter(|line| line.contains("session-accept")).count(), 1);
}

#[test]
fn the_default_offers_none_of_them() {
    let config = alice_config().with_policy(Policy::default());
    let mut pair = Pair::with(config, bob_config().with_policy(Policy::default()), plain);
    pair.run();
    let offer = pair.log.iter().find(|line| line.contains("session-initiate")).unwrap();
    assert_eq!(offer.matches("<method").count(), 1);
    assert!(offer.contains("x509") && !offer.contains("pake"));
}

#[test]
fn the_floor_against_offline_guesses_holds_for_them_too() {
    use countersign::sasl::Floor;
    let floor = |name| named(&[name]).with_floor(Floor::OnlineGuessesOnly);
    for (name, taken) in [(PAKE, true), (SRP, true), (PSK, false)] {
        assert_eq!(floor(name).acceptable_in_tls().len(), usize::from(taken), "{name}");
        assert!(floor(name).acceptable().is_empty());
    }
    let config = alice_config().with_policy(floor(PSK)).with_psk(key(1));
    let error =
        Session::initiate(config, plain(countersign::Side::Client), Box::new(CountingRng(0)), Instant::now());
    assert!(error.unwrap_err().is(&sasl::rules::NOTHING_ACCEPTABLE));
}

#[test]
fn a_key_that_is_missing_is_named() {
    let config = alice_config().with_policy(named(&[PSK]));
    let error =
        Session::initiate(config, plain(countersign::Side::Client), Box::new(CountingRng(0)), Instant::now());
    assert!(error.unwrap_err().is(&rules::PSK_MISSING));
}

#[test]
fn tls12_keys_are_for_other_transports() {
    let config = alice_config().with_policy(named(&["TLS12-ECDHE-PSK"])).with_psk(key(1));
    let error =
        Session::initiate(config, plain(countersign::Side::Client), Box::new(CountingRng(0)), Instant::now());
    assert!(error.unwrap_err().is(&sasl::rules::NOTHING_ACCEPTABLE));
}

fn limited() -> Guesses {
    Guesses::in_memory(GuessLimits::default())
}

fn left(guesses: &Guesses, peer: &str) -> usize {
    let now = Instant::now();
    let taken = std::iter::from_fn(|| guesses.reserve(peer, now).ok()).take(PEER_GUESSES).collect::<Vec<_>>();
    let left = taken.len();
    taken.into_iter().for_each(guess::Guess::unused);
    left
}

/// A session in which both count.
fn counted(alice: InitiatorConfig, bob: ResponderConfig) -> (Pair, [Guesses; 2]) {
    let guesses = [limited(), limited()];
    let (alice, bob) = (alice.with_guesses(guesses[0].clone()), bob.with_guesses(guesses[1].clone()));
    (Pair::with(alice, bob, plain), guesses)
}

fn lefts(guesses: &[Guesses; 2]) -> [usize; 2] {
    [left(&guesses[0], "bob@biloxi.example"), left(&guesses[1], "alice@atlanta.example")]
}

#[test]
fn success_gives_the_guess_back() {
    for name in ALL {
        let (pair, guesses) = counted(alice(&[name]), bob(&[name]));
        drop(pair.established());
        assert_eq!(lefts(&guesses), [PEER_GUESSES; 2], "{name}");
    }
}

#[test]
fn a_wrong_secret_counts_at_both_ends() {
    for name in ALL {
        let (mut pair, guesses) = counted(stranger(&[name]), bob(&[name]));
        pair.run();
        assert_eq!(lefts(&guesses), [PEER_GUESSES - 1; 2], "{name}");
    }
}

#[test]
fn before_the_binder_nothing_is_counted() {
    let (mut pair, guesses) = counted(alice(&[PAKE]), bob(&[PAKE]));
    while !pair.log.iter().any(|line| line.contains("session-accept")) {
        pair.step();
    }
    // Both hold one while the session goes on.
    assert_eq!(lefts(&guesses), [PEER_GUESSES - 1; 2]);
    pair.alice.abort();
    pair.run();
    assert_refused(&pair, "aborted");
    let Pair { alice, bob, .. } = pair;
    drop((alice, bob));
    assert_eq!(lefts(&guesses), [PEER_GUESSES; 2]);
}

#[test]
fn whoever_gets_the_binder_has_had_his_guess() {
    let (mut pair, guesses) = counted(alice(&[PAKE]), bob(&[PAKE]));
    // The ClientHello is on its way; Bob never answers it.
    while !pair.log.iter().any(|line| line.starts_with("> data 0")) {
        pair.step();
    }
    pair.alice.abort();
    let Pair { alice, .. } = pair;
    drop(alice);
    assert_eq!(lefts(&guesses)[0], PEER_GUESSES - 1);
}

#[test]
fn a_share_that_is_not_answered_costs_nothing() {
    let (mut pair, guesses) = counted(alice(&[PAKE, "SCRAM-SHA-256-PLUS"]), bob(&["SCRAM-SHA-256-PLUS"]));
    pair.run();
    assert!(matches!(&pair.events[0][..], [Event::Established(_)]));
    assert_eq!(lefts(&guesses), [PEER_GUESSES; 2]);
}

#[test]
fn above_the_limit_no_share_is_made() {
    let rules: [&'static Rule; 2] = [&guess::rules::PEER_LIMIT, &guess::rules::PEER_LIMIT];
    for name in ALL {
        for of in [0, 1] {
            let (mut pair, guesses) = counted(alice(&[name]), bob(&[name]));
            let peer = ["bob@biloxi.example", "alice@atlanta.example"][of];
            for _ in 0..PEER_GUESSES {
                drop(guesses[of].reserve(peer, pair.now).unwrap());
            }
            pair.run();
            assert!(failed(&pair, of).is(rules[of]), "{name}: {:?}", failed(&pair, of));
            // Nothing was made that a password could be tested with.
            assert!(!pair.log.iter().any(|line| line.contains("data 0")), "{name}");
        }
    }
}
