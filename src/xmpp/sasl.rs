//! The SASL elements of RFC 6120 section 6 and XEP-0440, with open mechanism names. Codec only.

use minidom::Element;

use crate::binding::BindingType;
use crate::error::Result;
use crate::mechanism::MechanismName;
use crate::sasl::Condition;

/// Stream features that matter here (RFC 6120 section 4.3.2). Others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// `<mechanisms/>`, in the server's order.
    pub mechanisms: Vec<MechanismName>,
    /// `<sasl-channel-binding/>`: the types known here.
    pub binding_types: Vec<BindingType>,
    /// `<starttls/>` is offered.
    pub starttls: bool,
    /// `<bind/>` is offered.
    pub bind: bool,
}

impl Features {
    /// `<stream:features/>`.
    #[must_use]
    pub fn to_element(&self) -> Element {
        todo!()
    }

    /// Parses `<stream:features/>`.
    ///
    /// # Errors
    /// A malformed list.
    pub fn from_element(element: &Element) -> Result<Self> {
        let _ = element;
        todo!()
    }
}

/// What the initiating side of SASL sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMessage {
    /// `<auth/>`, with the initial response where there is one.
    Auth(MechanismName, Option<Vec<u8>>),
    /// `<response/>`.
    Response(Vec<u8>),
    /// `<abort/>`.
    Abort,
}

/// What the receiving side of SASL sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerMessage {
    /// `<challenge/>`.
    Challenge(Vec<u8>),
    /// `<success/>`, with additional data where there is some.
    Success(Option<Vec<u8>>),
    /// `<failure/>`; a condition nobody knows reads as not-authorized.
    Failure(Condition),
}

impl ClientMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        todo!()
    }

    /// Parses strictly.
    ///
    /// # Errors
    /// Another element, bad base64, a message that is too long.
    pub fn from_element(element: &Element) -> Result<Self> {
        let _ = element;
        todo!()
    }
}

impl ServerMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        todo!()
    }

    /// Parses strictly.
    ///
    /// # Errors
    /// Another element, bad base64, a message that is too long.
    pub fn from_element(element: &Element) -> Result<Self> {
        let _ = element;
        todo!()
    }
}
