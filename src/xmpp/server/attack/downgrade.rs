//! Leaves only the weakest mechanism, and the weakest method, on each announced list.

use minidom::Element;

use super::{Attacker, Report, jingle_mut, securities_mut};
use crate::registry;
use crate::xmpp::jingle::Method;
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

/// Drops all but the weakest of each kind; whether there was one to drop.
fn weaken(security: &mut Element) -> bool {
    let weakest = |kind: fn(&Element) -> Option<String>, rank: fn(&str) -> usize| {
        security.children().filter_map(kind).max_by_key(|name| rank(name))
    };
    let left = [weakest(mechanism, rank), weakest(method, method_rank)];
    let drops = |child: &Element| match [mechanism(child), method(child)] {
        [Some(name), _] => left[0].as_ref() != Some(&name),
        [_, Some(name)] => left[1].as_ref() != Some(&name),
        // What belongs to a method that is gone would give him away at once.
        _ => {
            (child.is("pake", ns::E2E) && left[1].as_deref() != Some(Method::CpacePsk.name()))
                || (child.name() == "fingerprint" && left[1].as_deref() != Some(Method::X509.name()))
        }
    };
    let mut edited = false;
    for node in security.take_nodes() {
        let drop = node.as_element().is_some_and(drops);
        edited |= drop;
        if !drop {
            security.append_node(node);
        }
    }
    edited
}

fn mechanism(element: &Element) -> Option<String> {
    element.is("mechanism", ns::E2E).then(|| element.text())
}

fn method(element: &Element) -> Option<String> {
    element.is("method", ns::XTLS).then(|| element.attr("name").unwrap_or_default().to_owned())
}

/// The place in the order of preference; a name unknown here goes last.
fn rank(name: &str) -> usize {
    let rows = registry::all();
    rows.iter().position(|row| row.name().as_str() == name).unwrap_or(rows.len())
}

/// How weak a method is: the key is worst, since a listener can test guesses of it.
fn method_rank(name: &str) -> usize {
    let order = [Method::X509, Method::CpacePsk, Method::Srp, Method::Psk];
    order.iter().position(|method| method.name() == name).unwrap_or(order.len())
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

    #[test]
    fn the_weakest_method_is_left_and_what_belongs_to_it() {
        let security = |methods: &[Method]| Security::new(None, []).with_methods(methods.iter().copied());
        for (offered, left) in [
            (&[Method::X509, Method::Srp, Method::Psk][..], Method::Psk),
            (&[Method::Srp, Method::X509], Method::Srp),
        ] {
            let mut security = security(offered).to_element();
            assert!(weaken(&mut security));
            assert_eq!(
                Security::from_element(&security).unwrap().methods().collect::<Vec<_>>(),
                [left.name()]
            );
        }
        let mut security = security(&[Method::CpacePsk, Method::Psk]).with_share("S", [7]).to_element();
        assert!(weaken(&mut security));
        let left = Security::from_element(&security).unwrap();
        assert!(left.has_method(Method::Psk) && left.share().is_none());
        let mut security = security_alone().to_element();
        assert!(!weaken(&mut security));
    }

    fn security_alone() -> Security {
        Security::new(None, []).with_methods([Method::CpacePsk]).with_share("S", [7])
    }
}
