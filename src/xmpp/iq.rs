//! Info/query stanzas at the boundary (RFC 6120 section 8.2.3): the parts that decide, and the answers.

use jid::{FullJid, Jid};
use minidom::Element;
use rxml::xml_ncname;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use super::{ns, xml};

/// What an IQ is about.
pub(super) enum Kind<'a> {
    /// `get` or `set`, with its one child.
    Request { set: bool, payload: &'a Element },
    /// `result`, with its child if there is one.
    Result(Option<&'a Element>),
    /// `error`.
    Error,
}

/// An IQ as it came; the addresses are not looked at.
pub(super) struct Envelope<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) id: &'a str,
    pub(super) kind: Kind<'a>,
}

impl<'a> Envelope<'a> {
    /// `None` for what is no IQ or breaks the rules of RFC 6120 section 8.2.3.
    pub(super) fn open(stanza: &'a Element) -> Option<Self> {
        if !stanza.is("iq", ns::CLIENT) {
            return None;
        }
        let [from, to, id, kind] = xml::attributes(stanza, ["from", "to", "id", "type"]);
        let mut children = stanza.children();
        let kind = match kind? {
            kind @ ("get" | "set") => {
                let payload = children.next()?;
                if children.next().is_some() {
                    return None;
                }
                Kind::Request { set: kind == "set", payload }
            }
            "result" => Kind::Result(children.next()),
            "error" => Kind::Error,
            _ => return None,
        };
        Some(Self { from, to, id: id?, kind })
    }
}

/// An IQ from a full JID.
pub(super) struct Incoming<'a> {
    pub(super) from: FullJid,
    pub(super) to: Option<Jid>,
    pub(super) id: &'a str,
    pub(super) kind: Kind<'a>,
}

impl<'a> Incoming<'a> {
    /// `None` for what is no good IQ or comes from no full JID.
    pub(super) fn parse(stanza: &'a Element) -> Option<Self> {
        let Envelope { from, to, id, kind } = Envelope::open(stanza)?;
        let from = FullJid::new(from?).ok()?;
        let to = to.map(Jid::new).transpose().ok()?;
        Some(Self { from, to, id, kind })
    }
}

/// The name of the defined condition of a stanza error (RFC 6120 section 8.3.3).
pub(super) fn condition(stanza: &Element) -> &str {
    stanza
        .get_child("error", ns::CLIENT)
        .and_then(|error| {
            error.children().find(|child| child.has_ns(ns::STANZA_ERRORS) && child.name() != "text")
        })
        .map_or("undefined-condition", Element::name)
}

/// A request to somebody who is no peer of a session: a proxy, a server.
pub(super) fn request_to(from: &FullJid, to: &Jid, set: bool, id: &str, payload: Element) -> Element {
    Element::builder("iq", ns::CLIENT)
        .attr(xml_ncname!("type").to_owned(), if set { "set" } else { "get" })
        .attr(xml_ncname!("id").to_owned(), id)
        .attr(xml_ncname!("from").to_owned(), from.as_str())
        .attr(xml_ncname!("to").to_owned(), to.as_str())
        .append(payload)
        .build()
}

/// The answer to a request, with or without a child.
pub(super) fn result(from: &FullJid, to: &FullJid, id: &str, payload: Option<Element>) -> Element {
    Sender::new(from, to).result(id, payload)
}

/// What all IQs from one party to another have in common. Each is a copy of it: every block and every answer is one,
/// and setting attributes one by one costs more.
pub(super) struct Sender(Element);

impl Sender {
    pub(super) fn new(from: &FullJid, to: &FullJid) -> Self {
        let iq = Element::builder("iq", ns::CLIENT)
            .attr(xml_ncname!("type").to_owned(), "")
            .attr(xml_ncname!("id").to_owned(), "")
            .attr(xml_ncname!("from").to_owned(), from.as_str())
            .attr(xml_ncname!("to").to_owned(), to.as_str());
        Self(iq.build())
    }

    /// A request.
    pub(super) fn request(&self, set: bool, id: &str, payload: Element) -> Element {
        self.iq(if set { "set" } else { "get" }, id, Some(payload))
    }

    /// The answer to a request, with or without a child.
    pub(super) fn result(&self, id: &str, payload: Option<Element>) -> Element {
        self.iq("result", id, payload)
    }

    fn iq(&self, kind: &str, id: &str, payload: Option<Element>) -> Element {
        let mut iq = self.0.clone();
        xml::fill(&mut iq, [("type", kind), ("id", id)]);
        if let Some(payload) = payload {
            iq.append_child(payload);
        }
        iq
    }
}

/// What is wrong with a request: error type, defined condition, and an application's own condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    kind: ErrorType,
    condition: DefinedCondition,
    own: Option<(&'static str, &'static str)>,
}

impl Refusal {
    pub(super) const fn cancel(condition: DefinedCondition) -> Self {
        Self { kind: ErrorType::Cancel, condition, own: None }
    }

    pub(super) const fn modify(condition: DefinedCondition) -> Self {
        Self { kind: ErrorType::Modify, condition, own: None }
    }

    pub(super) const fn wait(condition: DefinedCondition) -> Self {
        Self { kind: ErrorType::Wait, condition, own: None }
    }

    /// Adds a condition by name and namespace.
    pub(super) const fn with(mut self, name: &'static str, namespace: &'static str) -> Self {
        self.own = Some((name, namespace));
        self
    }

    /// The answer to a request.
    pub(super) fn answer(self, from: &FullJid, to: &FullJid, id: &str) -> Element {
        self.answer_to(from, Some(to.clone().into()), id)
    }

    /// The same to any address, or to our own server.
    pub(super) fn answer_to(self, from: &FullJid, to: Option<Jid>, id: &str) -> Element {
        let mut error = StanzaError::new(self.kind, self.condition, "", "");
        error.texts.clear();
        error.other = self.own.map(|(name, namespace)| Element::bare(name, namespace));
        let (from, id) = (Some(from.clone().into()), id.to_owned());
        Iq::Error { from, to, id, error, payload: None }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_as_the_xep_shows_it() {
        let (from, to) = (FullJid::new("a@x/1").unwrap(), FullJid::new("b@y/2").unwrap());
        let answer = Refusal::cancel(DefinedCondition::ItemNotFound)
            .with("unknown-session", ns::JINGLE_ERRORS)
            .answer(&from, &to, "b4");
        let literal = "<iq xmlns='jabber:client' type='error' id='b4' from='a@x/1' to='b@y/2'><error type='cancel'>\
            <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
            <unknown-session xmlns='urn:xmpp:jingle:errors:1'/></error></iq>";
        assert_eq!(answer, literal.parse().unwrap());
        assert_eq!(condition(&answer), "item-not-found");
    }

    #[test]
    fn only_well_formed_iqs_from_full_jids_are_taken() {
        let taken = |text: &str| Incoming::parse(&text.parse().unwrap()).is_some();
        assert!(taken("<iq xmlns='jabber:client' from='a@x/1' id='1' type='get' xml:lang='en'><q/></iq>"));
        for text in [
            "<message xmlns='jabber:client' from='a@x/1' id='1' type='get'><q/></message>",
            "<iq xmlns='jabber:server' from='a@x/1' id='1' type='get'><q/></iq>",
            "<iq xmlns='jabber:client' from='a@x' id='1' type='get'><q/></iq>",
            "<iq xmlns='jabber:client' id='1' type='get'><q/></iq>",
            "<iq xmlns='jabber:client' from='a@x/1' type='get'><q/></iq>",
            "<iq xmlns='jabber:client' from='a@x/1' id='1' type='get'/>",
            "<iq xmlns='jabber:client' from='a@x/1' id='1' type='get'><q/><q/></iq>",
            "<iq xmlns='jabber:client' from='a@x/1' id='1' type='odd'><q/></iq>",
            "<iq xmlns='jabber:client' from='a@x/1' to='@' id='1' type='result'/>",
        ] {
            assert!(!taken(text), "{text}");
        }
    }
}
