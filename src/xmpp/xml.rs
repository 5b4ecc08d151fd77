//! Between elements and the types that `xso` derives.

use minidom::Element;
use xso::{AsXml, FromXml};

use crate::error::{Error, Result, Rule};

/// The element of a value of ours.
pub(super) fn element(value: &impl AsXml) -> Element {
    xso::transform(value).expect("our own types make well-formed elements")
}

/// The value of an element. An error of ours comes through; any other is a breach of `rule`.
pub(super) fn parse<T: FromXml>(element: &Element, rule: &'static Rule) -> Result<T> {
    xso::transform(element).map_err(|error| match error {
        xso::error::Error::TextParseError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::new(rule).about(other.to_string()),
        },
        other => Error::new(rule).about(other.to_string()),
    })
}
