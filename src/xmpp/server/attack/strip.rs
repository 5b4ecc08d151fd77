//! Deletes `<security/>`.

use minidom::Element;

use super::{Attacker, Report, jingle_mut};
use crate::xmpp::ns;

#[derive(Default)]
pub(super) struct Strip {
    edited: u64,
}

impl Attacker for Strip {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if let Some(jingle) = jingle_mut(&mut stanza, &["session-initiate", "session-accept"]) {
            for content in jingle.children_mut().filter(|child| child.is("content", ns::JINGLE)) {
                while content.remove_child("security", ns::XTLS).is_some() {
                    self.edited += 1;
                }
            }
        }
        vec![stanza]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}
