//! Ends the bytestream in the name of the other end, once the session has got some way.

use minidom::Element;

use super::{Attacker, Blocks, Report};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::ns;

#[derive(Default)]
pub(super) struct Cut {
    blocks: Blocks,
    edited: u64,
}

impl Attacker for Cut {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if self.blocks.is_past_spared(&stanza)
            && let Some(data) = stanza.remove_child("data", ns::IBB)
        {
            self.edited += 1;
            let mut close = Element::bare("close", ns::IBB);
            set_attribute(&mut close, "sid", data.attr("sid").unwrap_or_default());
            stanza.append_child(close);
        }
        vec![stanza]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}
