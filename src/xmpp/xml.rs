//! Reading elements whose form is known, and filling in copies of them.
//!
//! By hand: derived code would copy each element into a stream of events first, and a session is set up by many small
//! elements.

use std::borrow::Cow;
use std::str::FromStr;

use minidom::Element;
use rxml::Namespace;

use crate::error::{Error, Result, Rule};

/// The values of these attributes, in one pass.
pub(super) fn attributes<'a, const N: usize>(element: &'a Element, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut values = [None; N];
    for ((namespace, name), value) in element.attrs() {
        let wanted = names.iter().position(|wanted| name.as_str() == *wanted);
        if let Some(place) = wanted.filter(|_| namespace.is_none()) {
            values[place] = Some(value.as_str());
        }
    }
    values
}

/// Gives attributes that are there other values.
pub(super) fn fill<const N: usize>(element: &mut Element, values: [(&str, &str); N]) {
    for ((_, name), value) in element.attrs_mut().iter_mut() {
        if let Some((_, new)) = values.iter().find(|(wanted, _)| name.as_str() == *wanted) {
            (*new).clone_into(value);
        }
    }
}

/// An element, and the rule that it breaks when something in it is not as it must be.
///
/// What is never asked for is ignored: attributes, children and, where text is asked for, what the children hold.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    element: &'a Element,
    rule: &'static Rule,
}

impl<'a> Reader<'a> {
    /// Of an element that must have this name.
    pub(super) fn new(
        element: &'a Element,
        name: &str,
        namespace: &str,
        rule: &'static Rule,
    ) -> Result<Self> {
        let reader = Self { element, rule };
        if element.is(name, namespace) { Ok(reader) } else { Err(reader.broken(element.name())) }
    }

    /// Of a child whose name has been looked at; it breaks the same rule.
    pub(super) fn child(&self, element: &'a Element) -> Self {
        Self { element, ..*self }
    }

    /// The same element; from here on it breaks another rule.
    pub(super) fn under(self, rule: &'static Rule) -> Self {
        Self { rule, ..self }
    }

    /// An attribute that must be there.
    pub(super) fn attribute(&self, name: &'static str) -> Result<&'a str> {
        self.attribute_if_there(name).ok_or_else(|| self.broken(name))
    }

    /// An attribute that must be there and must parse.
    pub(super) fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T> {
        self.attribute(name)?.parse().map_err(|_| self.broken(name))
    }

    /// An attribute that must parse where it is there.
    pub(super) fn parsed_if_there<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        self.attribute_if_there(name).map(str::parse).transpose().map_err(|_| self.broken(name))
    }

    fn attribute_if_there(&self, name: &str) -> Option<&'a str> {
        let [value] = attributes(self.element, [name]);
        value
    }

    /// All text between the children.
    pub(super) fn text(&self) -> Cow<'a, str> {
        let mut texts = self.element.texts();
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            _ => Cow::Owned(self.element.text()),
        }
    }

    /// Whether there is no text but space.
    pub(super) fn no_text(&self) -> Result<()> {
        let is_space = self.element.texts().all(xso::is_xml_whitespace);
        if is_space { Ok(()) } else { Err(self.broken("text")) }
    }

    /// The children; nothing but space may be between them.
    pub(super) fn children(&self) -> Result<impl Iterator<Item = &'a Element> + use<'a>> {
        self.no_text().map(|()| self.element.children())
    }

    /// Whether there are no children.
    pub(super) fn no_children(&self) -> Result<()> {
        self.element.children().next().map_or(Ok(()), |child| Err(self.broken(child.name())))
    }

    /// Whether there are no attributes but these; the language of a text may be everywhere.
    pub(super) fn only_attributes(&self, names: &[&str]) -> Result<()> {
        let known = |namespace: &Namespace<'_>, name: &str| {
            let (own, of_xml) = (*namespace == Namespace::NONE, *namespace == Namespace::XML);
            own && names.contains(&name) || of_xml && name == "lang"
        };
        let mut attributes = self.element.attrs().iter();
        let unknown = attributes.find(|((namespace, name), _)| !known(namespace, name.as_str()));
        unknown.map_or(Ok(()), |((_, name), _)| Err(self.broken(name.as_str())))
    }

    /// The value of a child that may be there once.
    pub(super) fn once<T>(&self, slot: &mut Option<T>, name: &str, value: T) -> Result<()> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.broken(name)),
        }
    }

    /// The breach of the rule, about a part of the element.
    pub(super) fn broken(&self, part: &str) -> Error {
        Error::new(self.rule).about(part)
    }
}
