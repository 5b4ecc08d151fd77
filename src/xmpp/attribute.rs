//! Short ways to write and read elements.

use minidom::Element;
use rxml::{Namespace, NcName};

/// The name of an attribute, known when writing the code.
pub(crate) fn attribute(name: &'static str) -> NcName {
    NcName::try_from(name).expect("attribute names in this crate are well formed")
}

/// Sets an attribute, whether or not it is there.
pub(crate) fn set_attribute(element: &mut Element, name: &'static str, value: &str) {
    element.set_attr(Namespace::NONE, attribute(name), value);
}
