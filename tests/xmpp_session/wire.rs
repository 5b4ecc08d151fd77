//! The order on the wire, as literals.

use countersign::xmpp::Event;

use crate::kit::*;

#[test]
fn the_whole_wire() {
    let mut pair = Pair::new();
    pair.run();
    pair.alice.send(message("hi")).unwrap();
    pair.run();
    pair.alice.close();
    pair.run();
    for line in &pair.log { println!("{line}"); }
    println!("{:?} {:?}", pair.events[0], pair.events[1]);
    assert!(matches!(pair.events[0].last(), Some(Event::Closed)));
}
