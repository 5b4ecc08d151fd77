//! Servers that let through a few thousand octets a second, as stock ejabberd (3,000) and Prosody (10,000) do.

use std::time::Duration;

use countersign::xmpp::Limits;

use crate::kit::*;
use crate::net::*;

/// Octets per second of the two servers' stock configurations.
const RATES: [f64; 2] = [3000.0, 10_000.0];

fn octets(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn net(limits: &Limits) -> Net {
    let (alice, bob) = (alice_config().with_limits(limits.clone()), bob_config().with_limits(limits.clone()));
    Net::new(alice, bob, plain)
}

fn arrived(net: &Net) {
    for side in [From::Alice, From::Bob] {
        assert!(matches!(net.end(side), Some(Ok(()))), "{:?}", net.end(side));
        assert!(net.received_by(side) == net.sent_by(side.other()));
    }
}

#[test]
fn much_data_over_a_slow_server() {
    let data = octets(200_000);
    for rate in RATES {
        for window in [1, 8, 64] {
            let mut net = net(&Limits::default().with_window(window))
                .with_rate(rate)
                .with_deeds(&[Deed::Send(data.clone()), Deed::Close], &[]);
            assert!(net.run(Duration::from_secs(600)), "{rate} {window}");
            arrived(&net);
            assert_eq!(net.received_by(From::Bob), data);
            let shortest = net.octets[From::Alice as usize] as f64 / rate;
            let took = net.elapsed().as_secs_f64();
            // One block at a time leaves the server idle for a round trip each.
            let slack = if window == 1 { 1.4 } else { 1.05 };
            assert!(took < slack * shortest, "{rate} {window}: {took} of {shortest}");
        }
    }
}

#[test]
fn much_data_both_ways_over_a_slow_server() {
    let data = octets(100_000);
    for rate in RATES {
        let both = [Deed::Send(data.clone()), Deed::Until(Duration::from_secs(200)), Deed::Close];
        let mut net = net(&Limits::default()).with_rate(rate).with_deeds(&both, &both);
        assert!(net.run(Duration::from_secs(600)), "{rate}");
        arrived(&net);
        assert_eq!([net.received_by(From::Alice), net.received_by(From::Bob)], [&data[..]; 2]);
    }
}

#[test]
fn little_waits_in_a_slow_server() {
    // What is on the way is bounded by time: a third of that for one answer, and a block.
    let mut net = net(&Limits::default().with_window(64))
        .with_rate(3000.0)
        .with_deeds(&[Deed::Send(octets(200_000)), Deed::Close], &[]);
    assert!(net.run(Duration::from_secs(600)));
    assert!(net.most_on_the_way <= 5, "{}", net.most_on_the_way);
}

#[test]
fn a_ping_behind_much_data_is_answered() {
    // Answers to blocks that a slow reader holds back: the sender asks, over the same slow server.
    let limits = Limits::default().with_reply(Duration::from_secs(12)).with_window(64);
    let mut net = net(&limits)
        .with_rate(3000.0)
        .with_deeds(&[Deed::Send(octets(100_000)), Deed::Close], &[Deed::Send(octets(100_000))]);
    assert!(net.run(Duration::from_secs(600)));
    arrived(&net);
}
