//! Which mechanism is chosen, what never is, and what is said about the rest.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "this is a test")]
#![cfg(all(feature = "cpace", feature = "scram", feature = "spake2plus"))]

use countersign::MechanismName;
use countersign::mechanism::Guessing;
use countersign::registry;
use countersign::sasl::{Condition, Floor, Policy, refused, rules};

const FLOORS: [Floor; 3] = [Floor::Named, Floor::Bound, Floor::OnlineGuessesOnly];

const NOT_BOUND: &str = "not bound to the channel";
const OFFLINE: &str = "an impostor could test passwords offline";
const UNKNOWN: &str = "not known here";
const NOT_LISTED: &str = "not on our list";
const NOT_PREFERRED: &str = "we prefer another";

fn name(name: &str) -> MechanismName {
    name.parse().unwrap()
}

fn names(names: &[&str]) -> Vec<MechanismName> {
    names.iter().map(|text| name(text)).collect()
}

fn everything() -> Vec<MechanismName> {
    registry::all().iter().map(|row| row.name().clone()).collect()
}

/// All orders of a short list.
fn orders(list: &[MechanismName]) -> Vec<Vec<MechanismName>> {
    if list.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for n in 0..list.len() {
        let mut rest = list.to_vec();
        let first = rest.remove(n);
        all.extend(orders(&rest).into_iter().map(|order| [vec![first.clone()], order].concat()));
    }
    all
}

#[test]
fn the_default_list_holds_pakes_only() {
    let list = Policy::default().acceptable();
    assert!(!list.is_empty());
    for name in &list {
        let pake =
            ["CPACE-", "SPAKE2PLUS-", "OPAQUE-"].iter().any(|family| name.as_str().starts_with(family));
        assert!(pake, "{name}");
        let properties = registry::find(name).unwrap().properties();
        assert!(properties.needs_binding && properties.mutual && properties.key, "{name}");
        assert_eq!((properties.listener, properties.impostor), (Guessing::OnlineOnly, Guessing::OnlineOnly));
    }
    // Every one that is compiled in.
    let pakes = everything().into_iter().filter(|name| !name.as_str().starts_with("SCRAM-"));
    assert_eq!(list, pakes.collect::<Vec<_>>());
    assert_eq!(list[0].as_str(), "CPACE-R255-PLUS");
}

#[test]
fn the_default_takes_no_scram_even_when_nothing_else_is_offered() {
    let offered = everything().into_iter().filter(|name| name.as_str().starts_with("SCRAM-"));
    let error = Policy::default().select(&offered.collect::<Vec<_>>()).unwrap_err();
    assert!(error.is(&rules::NO_MECHANISM));
}

#[test]
fn no_offer_gets_anything_below_the_floor() {
    for floor in FLOORS {
        let policy = Policy::named(everything()).with_floor(floor);
        for row in registry::all() {
            let properties = row.properties();
            let above = match floor {
                Floor::Bound => properties.needs_binding,
                Floor::OnlineGuessesOnly => {
                    properties.needs_binding && properties.impostor == Guessing::OnlineOnly
                }
                _ => true,
            };
            let offer = [row.name().clone()];
            assert_eq!(policy.select(&offer).is_ok(), above, "{} with {floor:?}", row.name());
            assert_eq!(policy.acceptable().contains(row.name()), above, "{} with {floor:?}", row.name());
        }
    }
}

#[test]
fn a_list_with_a_floor_offers_only_what_is_above_it() {
    let list = names(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CPACE-R255-PLUS"]);
    let above = |floor| Policy::named(list.clone()).with_floor(floor).acceptable();
    assert_eq!(above(Floor::Named), list);
    assert_eq!(above(Floor::Bound), list[1..]);
    assert_eq!(above(Floor::OnlineGuessesOnly), list[2..]);
    assert_eq!(Policy::named(list.clone()).acceptable(), list[1..], "the floor of a named list");
}

#[test]
fn what_is_named_and_never_taken_is_told_with_the_reason() {
    let policy = Policy::named(names(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"]));
    let expected = [(name("SCRAM-SHA-256"), NOT_BOUND), (name("PLAIN"), UNKNOWN)];
    assert_eq!(policy.never(), expected);
    let expected =
        [(name("SCRAM-SHA-256"), NOT_BOUND), (name("SCRAM-SHA-256-PLUS"), OFFLINE), (name("PLAIN"), UNKNOWN)];
    assert_eq!(policy.with_floor(Floor::OnlineGuessesOnly).never(), expected);
    assert_eq!(Policy::default().never(), []);
}

#[test]
fn the_peers_order_never_decides() {
    let list = names(&["CPACE-R255-PLUS", "SCRAM-SHA-256-PLUS", "SPAKE2PLUS-P256-PLUS", "SCRAM-SHA-1-PLUS"]);
    for ours in orders(&list) {
        let policy = Policy::named(ours.clone());
        for offered in orders(&list) {
            assert_eq!(policy.select(&offered).unwrap().chosen, ours[0]);
            assert_eq!(policy.select(&offered[1..]).unwrap().chosen, {
                ours.iter().find(|name| offered[1..].contains(name)).unwrap().clone()
            });
        }
    }
}

#[test]
fn what_was_not_taken_is_told_with_the_reason() {
    let policy = Policy::named(names(&["SCRAM-SHA-256", "CPACE-R255-PLUS", "SCRAM-SHA-256-PLUS"]));
    let offered = names(&[
        "PLAIN",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "SPAKE2PLUS-P256-PLUS",
        "CPACE-R255-PLUS",
        "SCRAM-SHA-1",
    ]);
    let selection = policy.select(&offered).unwrap();
    assert_eq!(selection.chosen.as_str(), "CPACE-R255-PLUS");
    let expected = [
        (name("PLAIN"), UNKNOWN),
        (name("SCRAM-SHA-256"), NOT_BOUND),
        (name("SCRAM-SHA-256-PLUS"), NOT_PREFERRED),
        (name("SPAKE2PLUS-P256-PLUS"), NOT_LISTED),
        (name("SCRAM-SHA-1"), NOT_BOUND),
    ];
    assert_eq!(selection.refused, expected);
}

#[test]
fn what_a_peer_names_and_we_never_take_is_told() {
    let offered = names(&["CPACE-R255-PLUS", "SCRAM-SHA-256-PLUS", "CPACE-X25519-PLUS", "PLAIN", "PLAIN"]);
    let policy = Policy::named(names(&["CPACE-X25519-PLUS", "CPACE-R255-PLUS"]));
    assert_eq!(
        policy.refused(&offered),
        [(name("SCRAM-SHA-256-PLUS"), NOT_LISTED), (name("PLAIN"), UNKNOWN)]
    );
}

#[test]
fn the_reasons_stand_in_the_error() {
    let error =
        Policy::default().select(&names(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "PLAIN"])).unwrap_err();
    assert!(error.is(&rules::NO_MECHANISM));
    let expected = format!("SCRAM-SHA-256-PLUS ({OFFLINE}), SCRAM-SHA-1 ({NOT_BOUND}), PLAIN ({UNKNOWN})");
    assert_eq!(error.subject(), Some(&*expected));
    let error =
        Policy::named([name("CPACE-R255-PLUS")]).select(&names(&["SPAKE2PLUS-P256-PLUS"])).unwrap_err();
    assert_eq!(error.subject(), Some(&*format!("SPAKE2PLUS-P256-PLUS ({NOT_LISTED})")));
}

#[test]
fn an_empty_offer_is_refused() {
    let error = Policy::default().select(&[]).unwrap_err();
    assert!(error.is(&rules::NO_MECHANISM));
    assert_eq!(error.subject(), Some("its list is empty"));
}

#[test]
fn an_empty_list_takes_nothing() {
    let policy = Policy::named([]);
    assert!(policy.acceptable().is_empty());
    assert!(policy.select(&everything()).unwrap_err().is(&rules::NO_MECHANISM));
    let error = policy.check().unwrap_err();
    assert!(error.is(&rules::NOTHING_ACCEPTABLE));
    assert_eq!(error.subject(), Some("our list is empty"));
}

#[test]
fn a_list_all_below_the_floor_is_refused_before_any_offer() {
    let policy = Policy::named(names(&["SCRAM-SHA-256", "PLAIN"]));
    let error = policy.check().unwrap_err();
    assert!(error.is(&rules::NOTHING_ACCEPTABLE));
    assert_eq!(error.subject(), Some(&*format!("SCRAM-SHA-256 ({NOT_BOUND}), PLAIN ({UNKNOWN})")));
    policy.with_floor(Floor::Named).check().unwrap();
    Policy::default().check().unwrap();
}

#[test]
fn names_that_nobody_knows_are_passed_over() {
    let policy = Policy::named(names(&["PLAIN", "X-NEW-PLUS", "CPACE-R255-PLUS"]));
    assert_eq!(policy.acceptable(), names(&["CPACE-R255-PLUS"]));
    let selection = policy.select(&names(&["X-NEW-PLUS", "PLAIN", "CPACE-R255-PLUS"])).unwrap();
    assert_eq!(selection.chosen.as_str(), "CPACE-R255-PLUS");
    assert_eq!(selection.refused, [(name("X-NEW-PLUS"), UNKNOWN), (name("PLAIN"), UNKNOWN)]);
    // No floor takes what this build cannot run.
    assert!(policy.with_floor(Floor::Named).select(&names(&["PLAIN"])).is_err());
}

#[test]
fn duplicates_count_once() {
    let twice = names(&["CPACE-R255-PLUS", "SCRAM-SHA-1-PLUS", "CPACE-R255-PLUS", "SCRAM-SHA-1-PLUS"]);
    let policy = Policy::named(twice.clone());
    assert_eq!(policy.acceptable(), twice[..2]);
    assert_eq!(policy, Policy::named(twice[..2].to_vec()));
    let selection = policy.select(&twice).unwrap();
    assert_eq!(selection.refused, [(name("SCRAM-SHA-1-PLUS"), NOT_PREFERRED)]);
}

#[test]
fn try_later_is_told_apart_from_a_refusal() {
    let error = refused(Condition::TemporaryAuthFailure);
    assert!(error.is(&rules::TRY_LATER));
    for condition in Condition::ALL {
        let error = refused(condition);
        assert_eq!(error.subject(), Some(condition.name()));
        assert_eq!(error.is(&rules::REFUSED_BY_PEER), condition != Condition::TemporaryAuthFailure);
    }
}
