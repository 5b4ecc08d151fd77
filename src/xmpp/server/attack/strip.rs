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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_security_element_goes_and_nothing_else() {
        for action in ["session-initiate", "session-accept"] {
            let stanza = |security: &str| {
                format!(
                    "<iq xmlns='jabber:client' type='set' id='1'><jingle xmlns='urn:xmpp:jingle:1' action='{action}'>\
                     <content creator='initiator' name='e2e'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>\
                     {security}</content></jingle></iq>"
                )
                .parse::<Element>()
                .unwrap()
            };
            let security = "<security xmlns='urn:xmpp:jingle:security:xtls:0'/>";
            let mut strip = Strip::default();
            assert_eq!(strip.intercept(stanza(&security.repeat(2))), [stanza("")]);
            assert_eq!(strip.report().edited, 2);
            assert_eq!(strip.intercept(stanza("")), [stanza("")]);
            assert_eq!(strip.report().edited, 2);
        }
    }
}
