//! Delivers every block of a bytestream twice.

use minidom::Element;

use super::{Attacker, Report, is_block};
use crate::xmpp::attribute::set_attribute;

#[derive(Default)]
pub(super) struct Replay {
    edited: u64,
}

impl Attacker for Replay {
    fn intercept(&mut self, stanza: Element) -> Vec<Element> {
        if !is_block(&stanza) {
            return vec![stanza];
        }
        self.edited += 1;
        let mut copy = stanza.clone();
        set_attribute(&mut copy, "id", &format!("replay-{}", self.edited));
        vec![stanza, copy]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}
