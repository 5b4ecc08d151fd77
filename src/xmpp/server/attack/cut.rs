//! Ends the bytestream in the name of the other end, once the session has got some way.

use minidom::Element;

use super::{Attacker, BLOCKS_SPARED, Report, is_block};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::ns;

#[derive(Default)]
pub(super) struct Cut {
    blocks: u64,
    edited: u64,
}

impl Attacker for Cut {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if is_block(&stanza) {
            self.blocks += 1;
            if self.blocks > BLOCKS_SPARED
                && let Some(data) = stanza.remove_child("data", ns::IBB)
            {
                self.edited += 1;
                let mut close = Element::bare("close", ns::IBB);
                set_attribute(&mut close, "sid", data.attr("sid").unwrap_or_default());
                stanza.append_child(close);
            }
        }
        vec![stanza]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}
