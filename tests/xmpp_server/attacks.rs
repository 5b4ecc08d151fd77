//! The dishonest server: both ends must refuse, and say why.

use countersign::error::ErrorKind;
use countersign::registry;
use countersign::xmpp::client::Client;
use countersign::xmpp::driver::Driver;
use countersign::xmpp::server::{Attack, Report, Server};
use countersign::xmpp::{Element, Profile, ibb, jingle, ns, session};
use countersign::{Error, sasl, tls};

use crate::confirmation;
use crate::e2e::{ALICE, BOB, Pair, Setup, client_endpoint, named};
use crate::support::*;

/// What the initiator found, what the responder found, and what the attacker got.
async fn attacked(attack: Attack, setup: &Setup) -> (Error, Error, Report) {
    let server = Server::bind(config().with_attack(Some(attack))).await.unwrap();
    let pair = Pair::new(&server, setup).await;
    let (alice, bob) = pair.call(setup).await;
    (alice.unwrap_err(), bob.unwrap_err(), server.attack_report().unwrap())
}

/// A mechanism that is bound to the channel, and a setup for it.
struct Case {
    name: &'static str,
    setup: Setup,
}

fn every_bound_mechanism() -> impl Iterator<Item = Case> {
    registry::all().iter().filter(|row| row.properties().needs_binding).map(|row| {
        let name = row.name().as_str();
        Case { name, setup: Setup { policy: named(&[name]), ..Setup::default() } }
    })
}

impl Case {
    /// What is broken at the end that finds in the mechanism's proof that the two have not seen the same; the other is
    /// told.
    #[track_caller]
    fn assert_unproven(&self, alice: &Error, bob: &Error) {
        let (finder, other, told) = if confirmation::is_found_by_server(self.name) {
            (bob, alice, &sasl::rules::REFUSED_BY_PEER)
        } else {
            (alice, bob, &session::rules::ABORTED_BY_PEER)
        };
        assert!(finder.is(confirmation::rule(self.name)), "{}: {finder:?}", self.name);
        assert!(other.is(told), "{}: {other:?}", self.name);
    }
}

#[tokio::test]
async fn every_bound_mechanism_opens_a_session_when_the_server_is_honest() {
    for Case { name, setup } in every_bound_mechanism() {
        let server = server().await;
        let pair = Pair::new(&server, &setup).await;
        let (alice, bob) = pair.connected(&setup).await;
        for end in [&alice, &bob] {
            assert_eq!(end.established().mechanism.as_str(), name);
        }
    }
}

#[tokio::test]
async fn the_relay_is_refused_by_both() {
    for case in every_bound_mechanism() {
        let (alice, bob, report) = attacked(Attack::Relay, &case.setup).await;
        // The fingerprints that Alice sent and saw are not those that Bob proves to have seen and sent.
        case.assert_unproven(&alice, &bob);
        for error in [alice, bob] {
            assert_eq!(error.kind(), ErrorKind::AuthenticationFailed, "{}: {error:?}", case.name);
        }
        // He was in the middle: he read both directions, and only the authentication gave him away.
        assert!(report.read_from_initiator > 0 && report.read_from_responder > 0);
        let login = b"<authenticate ";
        assert!(report.sample.windows(login.len()).any(|window| window == login), "no login was read");
        assert_eq!(report.edited, 2);
    }
}

const MALLORY: &str = "mallory@home.example/mid";

/// Mallory, whom Alice calls: brings her call to Bob as his own, and Bob's answers to her. The server sees to it that
/// each of them hears only of Mallory, so what is left is to name him in Jingle as well.
async fn relay_under_his_own_name(mut mallory: Client) {
    while let Ok(Some(mut stanza)) = mallory.recv().await {
        let to = if stanza.attr("from") == Some(ALICE) { BOB } else { ALICE };
        rename(&mut stanza, "from", MALLORY);
        rename(&mut stanza, "to", to);
        if let Some(jingle) = stanza.get_child_mut("jingle", ns::JINGLE) {
            rename(jingle, "initiator", MALLORY);
            rename(jingle, "responder", MALLORY);
        }
        if mallory.send(&stanza).await.is_err() {
            return;
        }
    }
}

/// Changes an attribute that is there.
fn rename(element: &mut Element, name: &str, value: &str) {
    for ((_, attribute), old) in element.attrs_mut().iter_mut() {
        if attribute == name {
            value.clone_into(old);
        }
    }
}

/// All three share one password, so that Alice with Mallory and Mallory with Bob are pairs as good as Alice with Bob.
async fn called_through_mallory(server: &Server, setup: &Setup) -> [Error; 2] {
    let pair = Pair {
        alice: Driver::spawn(login(server, ALICE).await, None),
        bob: Driver::spawn(login(server, BOB).await, setup.gate(BOB)),
    };
    let relaying = tokio::spawn(relay_under_his_own_name(login(server, MALLORY).await));
    let config = setup.initiator(pair.alice.own_jid(), MALLORY);
    let calling = async { tokio::join!(pair.alice.connect(config, client_endpoint()), pair.bob.accept()) };
    let (alice, bob) = guard(calling).await;
    relaying.abort();
    [alice.unwrap_err(), bob.unwrap_err()]
}

#[tokio::test]
async fn a_relay_who_shares_the_password_with_both_is_refused_by_both() {
    // He lets TLS alone, or the server ends it on both sides of him.
    for attack in [None, Some(Attack::Relay)] {
        let server = Server::bind(config().with_attack(attack)).await.unwrap();
        for Case { setup, .. } in every_bound_mechanism() {
            // The stream inside is between Alice and Mallory for her, and between Mallory and Bob for him.
            for error in called_through_mallory(&server, &setup).await {
                assert!(error.is(&session::rules::OTHER_ADDRESSES), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_strip_is_refused_by_both() {
    for Case { name, setup } in every_bound_mechanism() {
        let (alice, bob, report) = attacked(Attack::Strip, &setup).await;
        assert!(bob.is(&jingle::rules::SECURITY_MISSING), "{name}: {bob:?}");
        assert!(alice.is(&session::rules::SECURITY_REFUSED), "{name}: {alice:?}");
        assert_eq!(report.edited, 1);
    }
}

/// Each mechanism with a weaker one behind it, for the server to leave alone on both lists.
fn every_stronger_mechanism(profile: Profile) -> impl Iterator<Item = Case> {
    const WEAKEST: &str = "SCRAM-SHA-1-PLUS";
    every_bound_mechanism().filter(|case| case.name != WEAKEST).map(move |Case { name, setup }| Case {
        name,
        setup: Setup { policy: named(&[name, WEAKEST]), profile, ..setup },
    })
}

#[tokio::test]
async fn the_downgrade_is_refused_by_both() {
    for Case { name, setup } in every_stronger_mechanism(Profile::Sasl2) {
        let (alice, bob, report) = attacked(Attack::Downgrade, &setup).await;
        // Already what Bob offers in the tunnel is not what seemed to be his answer.
        assert!(alice.is(&session::rules::OTHER_MECHANISMS), "{name}: {alice:?}");
        assert!(bob.is(&session::rules::ABORTED_BY_PEER), "{name}: {bob:?}");
        assert_eq!(report.edited, 2);
    }
}

#[tokio::test]
async fn the_downgrade_is_found_in_the_proof_as_well() {
    // In RFC 6120 Alice takes the list inside as it is.
    for case in every_stronger_mechanism(Profile::Sasl) {
        let (alice, bob, report) = attacked(Attack::Downgrade, &case.setup).await;
        case.assert_unproven(&alice, &bob);
        assert_eq!(report.edited, 2);
    }
}

#[tokio::test]
async fn the_replay_is_refused_by_both() {
    for Case { name, setup } in every_bound_mechanism() {
        let (alice, bob, report) = attacked(Attack::Replay, &setup).await;
        for error in [alice, bob] {
            assert!(error.is(&ibb::rules::SEQ_USED), "{name}: {error:?}");
        }
        assert!(report.edited > 0);
    }
}

/// What both ends find when the server turns on them in the middle of a transfer.
async fn attacked_later(attack: Attack, setup: &Setup) -> ([Error; 2], Report) {
    let server = Server::bind(config().with_attack(Some(attack))).await.unwrap();
    let pair = Pair::new(&server, setup).await;
    let (mut alice, mut bob) = pair.connected(setup).await;
    let octets = vec![7; 100 * 4096];
    let reading = async {
        loop {
            match bob.read_bytes().await {
                Ok(Some(read)) => assert!(read.iter().all(|octet| *octet == 7)),
                Ok(None) => panic!("Bob takes it for a proper end"),
                Err(error) => return error,
            }
        }
    };
    let writing = async {
        // It may be over before everything is queued; why, the last event tells.
        let _ = alice.write_bytes(&octets).await;
        alice.read_bytes().await.unwrap_err()
    };
    let (bob, alice) = guard(async { tokio::join!(reading, writing) }).await;
    ([alice, bob], server.attack_report().unwrap())
}

#[tokio::test]
async fn corruption_is_noticed_by_both() {
    for Case { name, setup } in every_bound_mechanism() {
        let (ends, report) = attacked_later(Attack::Corrupt, &setup).await;
        // Who finds it first ends the session, and the other may hear of that before it finds out by itself.
        let heard = [&tls::rules::HANDSHAKE, &session::rules::SECURITY_REFUSED];
        for error in &ends {
            assert!(heard.iter().any(|rule| error.is(rule)), "{name}: {error:?}");
        }
        assert!(ends.iter().any(|error| error.is(&tls::rules::HANDSHAKE)), "{name}: {ends:?}");
        assert!(report.edited > 0);
    }
}

#[tokio::test]
async fn the_cut_is_noticed_by_both() {
    for Case { name, setup } in every_bound_mechanism() {
        let (ends, report) = attacked_later(Attack::Cut, &setup).await;
        for error in ends {
            assert!(error.is(&session::rules::CUT_SHORT), "{name}: {error:?}");
        }
        assert!(report.edited > 0);
    }
}
