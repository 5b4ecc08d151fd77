//! XML streams (RFC 6120 section 4): an incremental parser, and the writer's side.

use jid::Jid;
use minidom::Element;

use crate::error::Result;

use super::Limits;

/// A stream header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Who speaks.
    pub from: Option<Jid>,
    /// To whom.
    pub to: Option<Jid>,
    /// Of the answering side: an unpredictable identifier.
    pub id: Option<String>,
}

impl Header {
    /// A header with neither address.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who speaks.
    #[must_use]
    pub fn with_from(mut self, from: impl Into<Jid>) -> Self {
        self.from = Some(from.into());
        self
    }

    /// Sets to whom.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<Jid>) -> Self {
        self.to = Some(to.into());
        self
    }

    /// Sets the identifier.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The opening tag, version 1.0, default namespace `jabber:client`.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        todo!()
    }
}

/// The closing tag.
pub const CLOSE: &[u8] = b"</stream:stream>";

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "a stream has a header, children and an end")]
pub enum Item {
    /// The opening tag.
    Header(Header),
    /// A child of the root: a stanza, features, a SASL element, an error.
    Element(Element),
    /// The closing tag.
    Close,
}

/// An incremental parser for one stream. After a restart (TLS, SASL) take a new one.
pub struct Parser {}

impl Parser {
    /// A parser that expects a header.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let _ = limits;
        todo!()
    }

    /// Takes octets from the front of `octets` until one item is complete; `None` when they are used up. What is left
    /// over may belong to the stream after a restart, or to TLS. Call again until it gives `None`.
    ///
    /// # Errors
    /// Every error is final.
    pub fn read(&mut self, octets: &mut &[u8]) -> Result<Option<Item>> {
        let _ = octets;
        todo!()
    }
}

/// The octets of an element.
///
/// # Errors
/// When it holds something that XML cannot carry.
pub fn to_octets(element: &Element) -> Result<Vec<u8>> {
    let _ = element;
    todo!()
}
