//! Servers that edit what is offered in the open, while a PAKE runs: its confirmation fails.

use countersign::mechanism::MechanismName;
use countersign::sasl::Policy;
use countersign::tls::Fingerprint;
use countersign::xmpp::Profile;
use countersign::xmpp::session::rules;

use crate::attacks::replacing;
use crate::kit::*;

const PROFILES: [Profile; 2] = [Profile::Sasl, Profile::Sasl2];

/// Another PAKE than this one.
fn other(mechanism: &MechanismName) -> &'static MechanismName {
    pakes().find(|other| *other != mechanism).unwrap()
}

fn element(mechanism: &MechanismName) -> String {
    format!("<mechanism xmlns='urn:countersign:e2e:0'>{mechanism}</mechanism>")
}

/// Both ends prefer `mechanism` and take another PAKE too.
fn pair(mechanism: &MechanismName, profile: Profile) -> Pair {
    let policy = || Policy::named([mechanism.clone(), other(mechanism).clone()]);
    let alice = alice_config().with_policy(policy()).with_profile(profile);
    Pair::with(alice, bob_config().with_policy(policy()), plain)
}

/// Whether Alice has begun with this mechanism.
fn has_begun(pair: &Pair, mechanism: &MechanismName) -> bool {
    pair.log.iter().any(|line| line.starts_with('>') && line.contains(&format!("mechanism='{mechanism}'")))
}

/// A session in which the stanzas of one side have lost `old`, and in which the mechanism was begun nevertheless.
fn without(mechanism: &MechanismName, profile: Profile, from: From, old: &str) -> Pair {
    let mut pair = pair(mechanism, profile).edited(replacing(from, old.to_owned(), ""));
    pair.run();
    assert!(has_begun(&pair, mechanism), "{mechanism}: {:?}", pair.events);
    pair
}

#[test]
fn what_nobody_edits_passes() {
    let mut count = 0;
    for mechanism in pakes() {
        for profile in PROFILES {
            let mut pair = pair(mechanism, profile);
            pair.run();
            assert!(has_begun(&pair, mechanism), "{mechanism}");
            assert!(pair.is_established(), "{mechanism}: {:?}", pair.events);
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn a_method_removed_from_the_offer() {
    for mechanism in pakes() {
        for profile in PROFILES {
            let pair = without(mechanism, profile, From::Alice, "<method name='x509'/>");
            pair.confirmation_failed(mechanism);
        }
    }
}

#[test]
fn a_fingerprint_removed_from_the_offer_or_the_answer() {
    for mechanism in pakes() {
        for (from, side) in [(From::Alice, "Client"), (From::Bob, "Server")] {
            let print = Fingerprint::of(format!("certificate of the {side}").as_bytes());
            let element = format!("<fingerprint algo='sha-256'>{print}</fingerprint>");
            without(mechanism, Profile::Sasl2, from, &element).confirmation_failed(mechanism);
        }
    }
}

#[test]
fn a_mechanism_removed_from_the_offer() {
    for mechanism in pakes() {
        for removed in [mechanism, other(mechanism)] {
            for profile in PROFILES {
                let pair = without(mechanism, profile, From::Alice, &element(removed));
                pair.confirmation_failed(mechanism);
            }
        }
    }
}

#[test]
fn a_mechanism_removed_from_the_answer() {
    for mechanism in pakes() {
        for removed in [mechanism, other(mechanism)] {
            // In RFC 6120 Alice takes the list in the tunnel.
            without(mechanism, Profile::Sasl, From::Bob, &element(removed)).confirmation_failed(mechanism);
            // In SASL2 she has begun with what is left, and compares.
            let mut pair = pair(mechanism, Profile::Sasl2).edited(replacing(From::Bob, element(removed), ""));
            pair.run();
            pair.alice_failed(&rules::OTHER_MECHANISMS);
        }
    }
}

#[test]
fn all_mechanisms_removed_from_the_answer() {
    for mechanism in pakes() {
        // With nothing to begin with, Alice takes the list in the tunnel in SASL2 too.
        let all = element(mechanism) + &element(other(mechanism));
        for profile in PROFILES {
            without(mechanism, profile, From::Bob, &all).confirmation_failed(mechanism);
        }
    }
}

#[test]
fn a_mechanism_replaced_in_the_answer() {
    for mechanism in pakes() {
        let weak = "<mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-1-PLUS</mechanism>";
        let edit = replacing(From::Bob, element(other(mechanism)), weak);
        let mut pair = pair(mechanism, Profile::Sasl).edited(edit);
        pair.run();
        pair.confirmation_failed(mechanism);
    }
}
