//! Flips one bit in a block, once the session has got some way.

use base64ct::{Base64, Encoding};
use minidom::Element;

use super::{Attacker, Blocks, Report};
use crate::xmpp::ns;

#[derive(Default)]
pub(super) struct Corrupt {
    blocks: Blocks,
    edited: u64,
}

impl Attacker for Corrupt {
    fn intercept(&mut self, mut stanza: Element) -> Vec<Element> {
        if self.blocks.is_past_spared(&stanza) {
            self.edited += u64::from(flip(&mut stanza));
        }
        vec![stanza]
    }

    fn report(&self) -> Report {
        Report { edited: self.edited, ..Report::default() }
    }
}

/// Flips the last bit, which lies in the tag of a record; whether there was one.
fn flip(stanza: &mut Element) -> bool {
    let Some(data) = stanza.get_child_mut("data", ns::IBB) else { return false };
    let Ok(mut octets) = Base64::decode_vec(&data.text()) else { return false };
    let Some(last) = octets.last_mut() else { return false };
    *last ^= 1;
    data.take_nodes();
    data.append_text(Base64::encode_string(&octets));
    true
}
