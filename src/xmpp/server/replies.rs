//! What the server itself says about stanzas: errors, and answers to the few queries it knows.

use jid::BareJid;
use minidom::Element;

use super::LABEL;
use crate::xmpp::attribute::{attribute, set_attribute};
use crate::xmpp::ns;

const PING: &str = "urn:xmpp:ping";
const ROSTER: &str = "jabber:iq:roster";

/// Stanza error conditions that this server uses (RFC 6120 section 8.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    Conflict,
    ItemNotFound,
    JidMalformed,
    NotAllowed,
    RemoteServerNotFound,
    ServiceUnavailable,
}

impl Refusal {
    fn name_and_type(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", "modify"),
            Self::Conflict => ("conflict", "cancel"),
            Self::ItemNotFound => ("item-not-found", "cancel"),
            Self::JidMalformed => ("jid-malformed", "modify"),
            Self::NotAllowed => ("not-allowed", "cancel"),
            Self::RemoteServerNotFound => ("remote-server-not-found", "cancel"),
            Self::ServiceUnavailable => ("service-unavailable", "cancel"),
        }
    }
}

/// Whether `stanza` may be answered with an error: never an error or an IQ result (RFC 6120 section 8.3.1), and
/// presence is not worth one.
fn takes_an_error(stanza: &Element) -> bool {
    match (stanza.name(), stanza.attr("type")) {
        (_, Some("error")) | ("iq", Some("result")) | ("presence", _) => false,
        (name, _) => matches!(name, "iq" | "message"),
    }
}

/// The error that goes back to the sender of `stanza`, if it may have one.
pub(super) fn refuse(stanza: &Element, refusal: Refusal) -> Option<Element> {
    if !takes_an_error(stanza) {
        return None;
    }
    let (condition, kind) = refusal.name_and_type();
    let error = Element::builder("error", ns::CLIENT)
        .attr(attribute("type"), kind)
        .append(Element::bare(condition, ns::STANZA_ERRORS))
        .build();
    Some(answer(stanza, "error", Some(error)))
}

/// An IQ result without or with a payload.
pub(super) fn result(query: &Element, payload: Option<Element>) -> Element {
    answer(query, "result", payload)
}

fn answer(stanza: &Element, kind: &str, payload: Option<Element>) -> Element {
    let mut reply = Element::bare(stanza.name(), ns::CLIENT);
    set_attribute(&mut reply, "type", kind);
    for (theirs, ours) in [("id", "id"), ("from", "to"), ("to", "from")] {
        if let Some(value) = stanza.attr(theirs) {
            set_attribute(&mut reply, ours, value);
        }
    }
    if let Some(payload) = payload {
        reply.append_child(payload);
    }
    reply
}

/// Whether an IQ keeps to RFC 6120 section 8.2.3: an id, a known type, and one payload in a request.
pub(super) fn iq_is_well_formed(iq: &Element) -> bool {
    let children = iq.children().count();
    iq.attr("id").is_some_and(|id| !id.is_empty())
        && match iq.attr("type") {
            Some("get" | "set") => children == 1,
            Some("result") => children <= 1,
            Some("error") => true,
            _ => false,
        }
}

/// The server's own answer to an IQ request addressed to itself or to an account.
///
/// The proxy is among the parts of the domain.
pub(super) fn serve(iq: &Element, to_domain: bool, proxy: Option<&BareJid>) -> Option<Element> {
    let kind = iq.attr("type")?;
    if !matches!(kind, "get" | "set") {
        return None;
    }
    let payload = iq.children().next()?;
    let get = kind == "get";
    match (payload.name(), payload.ns().as_str()) {
        ("ping", PING) if get => Some(result(iq, None)),
        ("query", ROSTER) if get && !to_domain => Some(result(iq, Some(Element::bare("query", ROSTER)))),
        ("query", ns::DISCO_ITEMS) if get => {
            let item = |jid: &BareJid| {
                Element::builder("item", ns::DISCO_ITEMS).attr(attribute("jid"), jid.as_str()).build()
            };
            let items = proxy.filter(|_| to_domain).map(item);
            Some(result(iq, Some(Element::builder("query", ns::DISCO_ITEMS).append_all(items).build())))
        }
        ("query", ns::DISCO_INFO) if get && to_domain => Some(result(iq, Some(disco_info()))),
        _ => refuse(iq, Refusal::ServiceUnavailable),
    }
}

fn disco_info() -> Element {
    let identity = Element::builder("identity", ns::DISCO_INFO)
        .attr(attribute("category"), "server")
        .attr(attribute("type"), "im")
        .attr(attribute("name"), LABEL);
    let features = [ns::DISCO_INFO, ns::DISCO_ITEMS, PING]
        .map(|var| Element::builder("feature", ns::DISCO_INFO).attr(attribute("var"), var).build());
    Element::builder("query", ns::DISCO_INFO).append(identity).append_all(features).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(text: &str) -> Element {
        text.parse().unwrap()
    }

    #[test]
    fn errors_are_never_answered_with_errors() {
        for text in [
            "<iq xmlns='jabber:client' type='error' id='a'/>",
            "<iq xmlns='jabber:client' type='result' id='a'/>",
            "<message xmlns='jabber:client' type='error'/>",
            "<presence xmlns='jabber:client'/>",
        ] {
            assert_eq!(refuse(&stanza(text), Refusal::ServiceUnavailable), None, "{text}");
        }
    }

    #[test]
    fn an_error_goes_back_the_way_it_came() {
        let iq =
            stanza("<iq xmlns='jabber:client' type='get' id='a' from='x@d/1' to='y@d/2'><q xmlns='u'/></iq>");
        let expected = stanza(
            "<iq xmlns='jabber:client' type='error' id='a' from='y@d/2' to='x@d/1'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        );
        assert_eq!(refuse(&iq, Refusal::ServiceUnavailable), Some(expected));
    }

    #[test]
    fn iq_rules_are_checked() {
        for (text, good) in [
            ("<iq xmlns='jabber:client' type='get' id='a'><q xmlns='u'/></iq>", true),
            ("<iq xmlns='jabber:client' type='get' id='a'/>", false),
            ("<iq xmlns='jabber:client' type='set' id='a'><q xmlns='u'/><q xmlns='u'/></iq>", false),
            ("<iq xmlns='jabber:client' type='get'><q xmlns='u'/></iq>", false),
            ("<iq xmlns='jabber:client' type='get' id=''><q xmlns='u'/></iq>", false),
            ("<iq xmlns='jabber:client' type='give' id='a'><q xmlns='u'/></iq>", false),
            ("<iq xmlns='jabber:client' id='a'><q xmlns='u'/></iq>", false),
            ("<iq xmlns='jabber:client' type='result' id='a'/>", true),
        ] {
            assert_eq!(iq_is_well_formed(&stanza(text)), good, "{text}");
        }
    }
}
