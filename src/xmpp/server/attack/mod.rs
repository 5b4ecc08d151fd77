//! The dishonest server: what it may do to end-to-end sessions that pass through it.
//!
//! An attack sees every stanza between two clients and says what is delivered instead. Each has a file of its own;
//! a new one is a file, a variant of [`Attack`] and its two lines there.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use minidom::Element;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::xmpp::ns;

mod corrupt;
mod cut;
mod downgrade;
mod relay;
mod replay;
mod strip;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// No attack of that name.
    pub static UNKNOWN_ATTACK: Rule = Rule {
        id: "demo-server-unknown-attack",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "the demo server knows no such attack",
        advice: "Choose one of relay, strip, downgrade, replay, corrupt and cut.",
    };
}

/// What a dishonest server does to the end-to-end sessions of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attack {
    /// A man in the middle: one TLS connection to each end with certificates of its own, fingerprints replaced,
    /// plaintext passed on unchanged.
    Relay,
    /// Deletes `<security/>`, so that each end takes the other for one without encryption.
    Strip,
    /// Leaves only the weakest mechanism, and the weakest TLS method, on each announced list.
    Downgrade,
    /// Delivers every block of a bytestream twice.
    Replay,
    /// Flips a bit in every block after the first [`BLOCKS_SPARED`].
    Corrupt,
    /// Turns every block after the first [`BLOCKS_SPARED`] into the end of the bytestream.
    Cut,
}

/// Blocks of each bytestream that [`Attack::Corrupt`] and [`Attack::Cut`] let pass, so that a session is established
/// before.
pub const BLOCKS_SPARED: u64 = 64;

impl Attack {
    /// All attacks.
    pub const ALL: [Self; 6] =
        [Self::Relay, Self::Strip, Self::Downgrade, Self::Replay, Self::Corrupt, Self::Cut];

    /// The name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Strip => "strip",
            Self::Downgrade => "downgrade",
            Self::Replay => "replay",
            Self::Corrupt => "corrupt",
            Self::Cut => "cut",
        }
    }

    pub(super) fn attacker(self) -> Box<dyn Attacker> {
        match self {
            Self::Relay => Box::new(relay::Relay::default()),
            Self::Strip => Box::new(strip::Strip::default()),
            Self::Downgrade => Box::new(downgrade::Downgrade::default()),
            Self::Replay => Box::new(replay::Replay::default()),
            Self::Corrupt => Box::new(corrupt::Corrupt::default()),
            Self::Cut => Box::new(cut::Cut::default()),
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Attack {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| Error::new(&rules::UNKNOWN_ATTACK).about(name))
    }
}

/// What an attack has achieved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Stanzas that were edited.
    pub edited: u64,
    /// Octets of plaintext read that the initiators sent.
    pub read_from_initiator: u64,
    /// Octets of plaintext read that the responders sent.
    pub read_from_responder: u64,
    /// The first octets of what was read, both directions in the order of reading, at most [`SAMPLE_MAX`].
    pub sample: Vec<u8>,
}

/// Octets of plaintext kept in a [`Report`].
pub const SAMPLE_MAX: usize = 16 * 1024;

/// An attack at work.
pub(super) trait Attacker: Send {
    /// What is delivered instead of a stanza between two clients, in order; each goes to its own `to`.
    fn intercept(&mut self, stanza: Element) -> Vec<Element>;

    /// What has been achieved.
    fn report(&self) -> Report;
}

/// The Jingle element of an IQ with this action.
fn jingle_mut<'a>(stanza: &'a mut Element, actions: &[&str]) -> Option<&'a mut Element> {
    let jingle = stanza.get_child_mut("jingle", ns::JINGLE)?;
    let action = jingle.attr("action")?;
    actions.contains(&action).then_some(jingle)
}

/// Counts the blocks of each bytestream.
#[derive(Default)]
struct Blocks(HashMap<String, u64>);

impl Blocks {
    /// Most bytestreams that are told apart; beyond them counting starts again.
    const STREAMS_MAX: usize = 1024;

    /// Counts the block that a stanza carries, if it does; whether its bytestream is past the spared ones.
    fn is_past_spared(&mut self, stanza: &Element) -> bool {
        let Some(sid) =
            stanza.get_child("data", ns::IBB).filter(|_| is_block(stanza)).and_then(|data| data.attr("sid"))
        else {
            return false;
        };
        if self.0.len() >= Self::STREAMS_MAX {
            self.0.clear();
        }
        let count = self.0.entry(sid.to_owned()).or_default();
        *count += 1;
        *count > BLOCKS_SPARED
    }
}

/// Whether a stanza carries a block of a bytestream.
fn is_block(stanza: &Element) -> bool {
    stanza.is("iq", ns::CLIENT) && stanza.attr("type") == Some("set") && stanza.has_child("data", ns::IBB)
}

/// Every `<security/>` of the contents of a Jingle element.
fn securities_mut(jingle: &mut Element) -> impl Iterator<Item = &mut Element> {
    jingle
        .children_mut()
        .filter(|child| child.is("content", ns::JINGLE))
        .flat_map(Element::children_mut)
        .filter(|child| child.is("security", ns::XTLS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_have_names() {
        for attack in Attack::ALL {
            assert_eq!(attack.to_string().parse::<Attack>().unwrap(), attack);
        }
        assert!("bribe".parse::<Attack>().unwrap_err().is(&rules::UNKNOWN_ATTACK));
    }
}
