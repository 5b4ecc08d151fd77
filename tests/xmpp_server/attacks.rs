//! The dishonest server: both ends must refuse, and say why.

use countersign::xmpp::server::{Attack, Report, Server};
use countersign::xmpp::{ibb, jingle, session};
use countersign::{Error, scram, tls};

use crate::e2e::{Pair, Setup, named};
use crate::support::*;

/// What the initiator found, what the responder found, and what the attacker got.
async fn attacked(attack: Attack, setup: &Setup) -> (Error, Error, Report) {
    let server = Server::bind(config().with_attack(Some(attack))).await.unwrap();
    let pair = Pair::new(&server, setup).await;
    let (alice, bob) = pair.call(setup).await;
    (alice.unwrap_err(), bob.unwrap_err(), server.attack_report().unwrap())
}

#[tokio::test]
async fn the_relay_is_refused_by_both() {
    let (alice, bob, report) = attacked(Attack::Relay, &Setup::default()).await;
    // The fingerprints that Alice sent and saw are not those that Bob proves to have seen and sent.
    assert!(alice.is(&scram::rules::CONTEXT_MISMATCH), "{alice:?}");
    assert!(bob.is(&session::rules::ABORTED_BY_PEER), "{bob:?}");
    // He was in the middle: he read both directions, and only the authentication gave him away.
    assert!(report.read_from_initiator > 0 && report.read_from_responder > 0);
    assert!(report.sample.windows(6).any(|window| window == b"<auth "), "no login was read");
    assert_eq!(report.edited, 2);
}

#[tokio::test]
async fn the_strip_is_refused_by_both() {
    let (alice, bob, report) = attacked(Attack::Strip, &Setup::default()).await;
    assert!(bob.is(&jingle::rules::SECURITY_MISSING), "{bob:?}");
    assert!(alice.is(&session::rules::SECURITY_REFUSED), "{alice:?}");
    assert_eq!(report.edited, 1);
}

#[tokio::test]
async fn the_downgrade_is_refused_by_both() {
    let setup = Setup { policy: named(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]), ..Setup::default() };
    let (alice, bob, report) = attacked(Attack::Downgrade, &setup).await;
    assert!(alice.is(&scram::rules::CONTEXT_MISMATCH), "{alice:?}");
    assert!(bob.is(&session::rules::ABORTED_BY_PEER), "{bob:?}");
    assert_eq!(report.edited, 2);
}

#[tokio::test]
async fn the_replay_is_refused_by_both() {
    let (alice, bob, report) = attacked(Attack::Replay, &Setup::default()).await;
    for error in [alice, bob] {
        assert!(error.is(&ibb::rules::SEQ_USED), "{error:?}");
    }
    assert!(report.edited > 0);
}

/// What both ends find when the server turns on them in the middle of a transfer.
async fn attacked_later(attack: Attack) -> (Error, Error, Report) {
    let (server, setup) = (Server::bind(config().with_attack(Some(attack))).await.unwrap(), Setup::default());
    let pair = Pair::new(&server, &setup).await;
    let (mut alice, mut bob) = pair.connected(&setup).await;
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
    (alice, bob, server.attack_report().unwrap())
}

#[tokio::test]
async fn corruption_is_noticed_by_both() {
    let (alice, bob, report) = attacked_later(Attack::Corrupt).await;
    for error in [alice, bob] {
        assert!(error.is(&tls::rules::HANDSHAKE), "{error:?}");
    }
    assert!(report.edited > 0);
}

#[tokio::test]
async fn the_cut_is_noticed_by_both() {
    let (alice, bob, report) = attacked_later(Attack::Cut).await;
    for error in [alice, bob] {
        assert!(error.is(&session::rules::CUT_SHORT), "{error:?}");
    }
    assert!(report.edited > 0);
}
