//! Servers that drop, repeat, swap and garble at random.

use countersign::xmpp::{Event, stream};
use proptest::prelude::*;

use crate::kit::*;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Drop,
    Repeat,
    /// Holds a stanza back until the next one has passed.
    Swap,
    /// Replaces one character of the stanza.
    Garble(usize, char),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Drop),
        Just(Deed::Repeat),
        Just(Deed::Swap),
        (any::<usize>(), "[a-zA-Z0-9<>/&'= ]")
            .prop_map(|(at, c)| Deed::Garble(at, c.chars().next().unwrap())),
    ]
}

fn garbled(stanza: countersign::xmpp::Element, at: usize, by: char) -> Vec<countersign::xmpp::Element> {
    let mut text =
        String::from_utf8(stream::to_octets(&stanza).unwrap()).unwrap().chars().collect::<Vec<_>>();
    let at = at % text.len();
    text[at] = by;
    // A server cannot send what is no XML.
    text.into_iter().collect::<String>().parse().map_or(vec![], |stanza| vec![stanza])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_arrives_is_what_was_sent(deeds in proptest::collection::vec((0usize..50, deed()), 1..4)) {
        let mut carried = 0;
        let mut held = None;
        let mut pair = Pair::with(alice_config(), bob_config(), rustls).edited(move |_, stanza| {
            carried += 1;
            let mut out = match deeds.iter().find(|(at, _)| *at == carried).map(|(_, deed)| *deed) {
                None => vec![stanza],
                Some(Deed::Drop) => vec![],
                Some(Deed::Repeat) => vec![stanza.clone(), stanza],
                Some(Deed::Swap) => {
                    held = Some(stanza);
                    return vec![];
                }
                Some(Deed::Garble(at, by)) => garbled(stanza, at, by),
            };
            out.extend(held.take());
            out
        });
        let mut sent = Vec::new();
        pair.run();
        for n in 0..5 {
            let message = message(&n.to_string());
            if pair.alice.send(message.clone()).is_ok() {
                sent.push(message);
            }
            pair.run();
        }
        pair.alice.close();
        pair.run();
        let got = pair.events[1].iter().filter_map(|event| match event {
            Event::Stanza(stanza) => Some(stanza.clone()),
            _ => None,
        }).collect::<Vec<_>>();
        prop_assert!(sent.starts_with(&got), "{:?} of {:?}", got.len(), sent.len());
        if matches!(pair.events[0].last(), Some(Event::Closed)) && sent.len() == 5 {
            prop_assert_eq!(got.len(), 5);
        }
    }
}
