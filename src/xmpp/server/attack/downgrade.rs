//! Leaves only the weakest mechanism on each announced list.

use minidom::Element;

use super::{Attacker, Report, jingle_mut, securities_mut};
use crate::registry;
use crate::xmpp::ns;

#[derive(Default)]
pub(super) struct Downgrade {
    edited: u64,
}

impl Attacker for Downgrade {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if let Some(jingle) = jingle_mut(&mut stanza, &["session-initiate", "session-accept"]) {
            for security in securities_mut(jingle) {
                self.edited += u64::from(weaken(security));
            }
        }
        vec![stanza]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}

/// Drops all mechanisms but the one that comes last in this crate's order; whether there was one to drop.
fn weaken(security: &mut Element) -> bool {
    let weakest = security
        .children()
        .filter(|child| is_mechanism(child))
        .map(Element::text)
        .max_by_key(|name| rank(name));
    let Some(weakest) = weakest else { return false };
    let mut edited = false;
    for node in security.take_nodes() {
        let drop = node.as_element().is_some_and(|child| is_mechanism(child) && child.text() != weakest);
        edited |= drop;
        if !drop {
            security.append_node(node);
        }
    }
    edited
}

fn is_mechanism(element: &Element) -> bool {
    element.is("mechanism", ns::E2E)
}

/// The place in the order of preference; a name unknown here goes last.
fn rank(name: &str) -> usize {
    let rows = registry::all();
    rows.iter().position(|row| row.name().as_str() == name).unwrap_or(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::jingle::Security;

    #[test]
    fn the_weakest_of_a_list_is_left() {
        for (offered, left) in [
            (&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"][..], "SCRAM-SHA-1-PLUS"),
            (&["SCRAM-SHA-256-PLUS"], "SCRAM-SHA-256-PLUS"),
            (&["SCRAM-SHA-1-PLUS", "UNHEARD-OF"], "UNHEARD-OF"),
        ] {
            let mut security =
                Security::new(None, offered.iter().map(|name| name.parse().unwrap())).to_element();
            assert_eq!(weaken(&mut security), offered.len() > 1);
            let parsed = Security::from_element(&security).unwrap();
            assert_eq!(parsed.mechanisms().map(|name| name.as_str()).collect::<Vec<_>>(), [left]);
        }
        assert!(!weaken(&mut Security::new(None, []).to_element()));
    }
}
