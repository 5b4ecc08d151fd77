//! Sessions that nobody uses: they rest for ever, or until a limit closes them.

use std::time::Duration;

use countersign::xmpp::Limits;

use crate::kit::*;
use crate::net::*;
use crate::sockets::{ALICES, BOBS, direct};

/// Beyond the keep-alives, which do not count.
const IDLE: Duration = Duration::from_secs(200);

/// When Alice and Bob speak, in seconds from the start.
const SPEAKS: [u64; 2] = [150, 300];

/// What a round trip and the delivery of what was said take at most.
const SOON: Duration = Duration::from_secs(2);

/// With the limit on this side; over sockets or in band.
fn net(limited: Option<From>, sockets: bool) -> Net {
    let limits = |side| match limited {
        Some(of) if of == side => Limits::default().with_idle(IDLE),
        _ => Limits::default(),
    };
    let (mut alice, mut bob) =
        (alice_config().with_limits(limits(From::Alice)), bob_config().with_limits(limits(From::Bob)));
    if sockets {
        alice = alice.with_socks5(direct(ALICES).unwrap());
        bob = bob.with_socks5(direct(BOBS).unwrap());
    }
    let [alices, bobs] =
        SPEAKS.map(|time| [Deed::Until(Duration::from_secs(time)), Deed::Say("still here".to_owned())]);
    let net = Net::new(alice, bob, plain).with_deeds(&alices, &bobs);
    if sockets { net.with_sockets() } else { net }
}

#[test]
fn a_session_that_nobody_uses_is_closed_and_no_earlier() {
    for (limited, sockets) in
        [(From::Alice, false), (From::Bob, false), (From::Alice, true), (From::Bob, true)]
    {
        let mut net = net(Some(limited), sockets);
        let due = Duration::from_secs(SPEAKS[1]) + IDLE;
        net.run_until(due - Duration::from_millis(1));
        for side in [From::Alice, From::Bob] {
            assert!(net.established(side) && net.end(side).is_none(), "{limited:?}, {sockets}");
            assert!(!net.received_by(side).is_empty());
        }
        net.run_until(due + SOON);
        for side in [From::Alice, From::Bob] {
            assert!(matches!(net.end(side), Some(Ok(()))), "{limited:?}, {sockets}: {:?}", net.end(side));
        }
    }
}

#[test]
fn without_the_limit_it_rests() {
    let mut net = net(None, false);
    net.run_until(Duration::from_secs(24 * 60 * 60));
    for side in [From::Alice, From::Bob] {
        assert!(net.established(side) && net.end(side).is_none());
    }
}
