//! Each attack of the dishonest server on the sessions that TLS itself authenticates: both ends must refuse.

use countersign::tls::psk::PreSharedKey;
use countersign::xmpp::server::{Attack, Report, Server};
use countersign::xmpp::{ibb, jingle, session};
use countersign::{Error, tls};

use crate::e2e::{Pair, Setup, named};
use crate::support::*;

const ALL: [&str; 3] = ["CPACE-R255-PSK", "TLS13-PSK", "TLS-SRP"];

/// The key that both hold.
pub(crate) fn key() -> PreSharedKey {
    PreSharedKey::from_high_entropy(&std::array::from_fn::<u8, 32, _>(|i| i as u8)).unwrap()
}

/// The mechanism first, and the others behind it, so that there is something to strike.
fn setup(first: &str) -> Setup {
    let others = ALL.into_iter().filter(|name| *name != first);
    let names = [first].into_iter().chain(others).collect::<Vec<_>>();
    Setup { policy: named(&names), ..Setup::default() }
}

async fn attacked(attack: Attack, setup: &Setup) -> (Error, Error, Report) {
    let server = Server::bind(config().with_attack(Some(attack))).await.unwrap();
    let pair = Pair::new(&server, setup).await;
    let (alice, bob) = pair.call(setup).await;
    (alice.unwrap_err(), bob.unwrap_err(), server.attack_report().unwrap())
}

#[tokio::test]
async fn each_opens_a_tunnel_when_the_server_is_honest() {
    for name in ALL {
        let (server, setup) = (server().await, setup(name));
        let pair = Pair::new(&server, &setup).await;
        let (alice, bob) = pair.connected(&setup).await;
        for end in [&alice, &bob] {
            assert_eq!(end.established().mechanism.as_str(), name);
            assert_eq!(end.established().authcid, "alice@home.example");
        }
        assert!(alice.established().binding.same_channel(&bob.established().binding));
    }
}

#[tokio::test]
async fn the_relay_reads_nothing() {
    for name in ALL {
        let (_, bob, report) = attacked(Attack::Relay, &setup(name)).await;
        // He holds no secret, so he has no handshake with anybody.
        assert!(bob.is(&tls::rules::HANDSHAKE), "{name}: {bob:?}");
        assert_eq!((report.read_from_initiator, report.read_from_responder), (0, 0), "{name}");
    }
}

#[tokio::test]
async fn the_strip_is_refused_by_both() {
    for name in ALL {
        let (alice, bob, report) = attacked(Attack::Strip, &setup(name)).await;
        assert!(bob.is(&jingle::rules::SECURITY_MISSING), "{name}: {bob:?}");
        assert!(alice.is(&session::rules::SECURITY_REFUSED), "{name}: {alice:?}");
        assert_eq!(report.edited, 1);
    }
}

#[tokio::test]
async fn the_downgrade_is_refused_by_both() {
    for name in ALL {
        let (alice, bob, report) = attacked(Attack::Downgrade, &setup(name)).await;
        // The weakest that is left shakes hands, and then the two compare what they have seen.
        assert!(bob.is(&session::rules::OFFERS_DIFFER), "{name}: {bob:?}");
        assert!(alice.is(&session::rules::STREAM_ERROR), "{name}: {alice:?}");
        assert_eq!(report.edited, 1, "{name}");
    }
}

#[tokio::test]
async fn the_replay_is_refused_by_both() {
    for name in ALL {
        let (alice, bob, report) = attacked(Attack::Replay, &setup(name)).await;
        for error in [alice, bob] {
            assert!(error.is(&ibb::rules::SEQ_USED), "{name}: {error:?}");
        }
        assert!(report.edited > 0);
    }
}

/// What both ends find when the server turns on them in the middle of a transfer.
async fn attacked_later(attack: Attack, setup: &Setup) -> [Error; 2] {
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
    [alice, bob]
}

#[tokio::test]
async fn corruption_is_noticed_by_both() {
    for name in ALL {
        let ends = attacked_later(Attack::Corrupt, &setup(name)).await;
        // Who finds it first ends the session, and the other hears of that.
        let heard = [&tls::rules::HANDSHAKE, &tls::rules::ALERT, &session::rules::SECURITY_REFUSED];
        for error in &ends {
            assert!(heard.iter().any(|rule| error.is(rule)), "{name}: {error:?}");
        }
        assert!(ends.iter().any(|error| error.is(&tls::rules::HANDSHAKE)), "{name}: {ends:?}");
    }
}

#[tokio::test]
async fn the_cut_is_noticed_by_both() {
    for name in ALL {
        for error in attacked_later(Attack::Cut, &setup(name)).await {
            assert!(error.is(&session::rules::CUT_SHORT), "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_opens_no_tunnel() {
    for name in ["CPACE-R255-PSK", "TLS-SRP"] {
        let (server, right) = (server().await, setup(name));
        let pair = Pair::new(&server, &right).await;
        let wrong = Setup { secret: "another", ..right };
        let (alice, bob) = pair.call(&wrong).await;
        assert!(alice.unwrap_err().is(&tls::rules::NOT_ACCEPTED), "{name}");
        assert!(bob.unwrap_err().is(&tls::rules::NOT_PROVEN), "{name}");
    }
}
