//! Service discovery (XEP-0030): what a party must support, asked and answered.
//!
//! An answer can be forged by the servers. It saves a useless session-initiate, and decides nothing else.

use std::sync::LazyLock;

use minidom::Element;
use rxml::xml_ncname;
use xmpp_parsers::data_forms::DataForm;

use crate::error::{Error, ErrorKind, Result, Rule};

use super::ns;
use super::xml::Reader;

/// What a party to an end-to-end session supports.
pub const FEATURES: [&str; 4] = [ns::JINGLE, ns::XMLSTREAM, ns::XTLS, ns::JINGLE_IBB];

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The answer is no disco#info result.
    pub static MALFORMED: Rule = Rule {
        id: "disco-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0030 section 3.1",
        what: "the answer to service discovery is malformed",
        advice: "The peer does not follow the protocol; report it to its authors.",
    };
    /// One of [`FEATURES`](super::FEATURES) is missing.
    pub static FEATURE_MISSING: Rule = Rule {
        id: "disco-feature-missing",
        kind: ErrorKind::PeerIncompatible,
        source: "draft-meyer-xmpp-e2e-encryption section 10",
        what: "the peer does not support end-to-end sessions",
        advice: "Run a program with this feature at the peer, and check that you named its resource.",
    };
}

/// The request.
#[must_use]
pub fn query() -> Element {
    Element::bare("query", ns::DISCO_INFO)
}

/// Whether an element is the request, about the party itself and no node.
#[must_use]
pub fn is_query(payload: &Element) -> bool {
    payload.is("query", ns::DISCO_INFO) && payload.attr("node").is_none()
}

/// The answer to the request.
#[must_use]
pub fn answer() -> Element {
    static ANSWER: LazyLock<Element> = LazyLock::new(|| {
        let feature = |name: &&str| {
            Element::builder("feature", ns::DISCO_INFO).attr(xml_ncname!("var").to_owned(), *name).build()
        };
        let identity = Element::builder("identity", ns::DISCO_INFO)
            .attr(xml_ncname!("category").to_owned(), "client")
            .attr(xml_ncname!("type").to_owned(), "console");
        Element::builder("query", ns::DISCO_INFO)
            .append(identity.build())
            .append_all([ns::DISCO_INFO, ns::IBB].iter().chain(&FEATURES).map(feature))
            .build()
    });
    ANSWER.clone()
}

/// The same of a party that takes SOCKS5 bytestreams too.
#[must_use]
pub fn answer_with_socks5() -> Element {
    let feature =
        Element::builder("feature", ns::DISCO_INFO).attr(xml_ncname!("var").to_owned(), ns::JINGLE_S5B);
    let mut answer = answer();
    answer.append_child(feature.build());
    answer
}

/// Whether an answer names a feature.
#[must_use]
pub fn names(answer: &Element, feature: &str) -> bool {
    answer.children().any(|child| child.is("feature", ns::DISCO_INFO) && child.attr("var") == Some(feature))
}

/// Checks an answer for [`FEATURES`].
///
/// # Errors
/// [`rules::MALFORMED`], [`rules::FEATURE_MISSING`].
pub fn check(answer: Option<&Element>) -> Result<()> {
    let answer = answer.ok_or(Error::new(&rules::MALFORMED))?;
    let query = Reader::new(answer, "query", ns::DISCO_INFO, &rules::MALFORMED)?;
    let mut features = Vec::new();
    for child in query.children()? {
        let part = query.child(child);
        if child.is("feature", ns::DISCO_INFO) {
            features.push(part.attribute("var")?);
            part.no_text()?;
        } else if child.is("identity", ns::DISCO_INFO) {
            part.attribute("category")?;
            part.attribute("type")?;
            part.no_text()?;
        } else if child.is("x", ns::DATA_FORMS) {
            xso::transform::<DataForm, _>(child).map_err(|_| query.broken("x"))?;
        }
    }
    match FEATURES.into_iter().find(|name| !features.contains(name)) {
        Some(missing) => Err(Error::new(&rules::FEATURE_MISSING).about(missing)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_answer_as_literals() {
        let literal = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        assert_eq!(query(), literal.parse().unwrap());
        assert!(is_query(&query()));
        let node = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>";
        assert!(!is_query(&node.parse().unwrap()));
        let literal = "<query xmlns='http://jabber.org/protocol/disco#info'>\
            <identity category='client' type='console'/>\
            <feature var='http://jabber.org/protocol/disco#info'/>\
            <feature var='http://jabber.org/protocol/ibb'/>\
            <feature var='urn:xmpp:jingle:1'/>\
            <feature var='urn:xmpp:jingle:apps:xmlstream:0'/>\
            <feature var='urn:xmpp:jingle:security:xtls:0'/>\
            <feature var='urn:xmpp:jingle:transports:ibb:1'/></query>";
        assert_eq!(answer(), literal.parse().unwrap());
        check(Some(&answer())).unwrap();
    }

    #[test]
    fn each_missing_feature_is_named() {
        for missing in FEATURES {
            let mut answer = answer();
            let mut kept = Element::bare("query", ns::DISCO_INFO);
            for child in answer.children_mut() {
                if child.attr("var") != Some(missing) {
                    kept.append_child(child.clone());
                }
            }
            let error = check(Some(&kept)).unwrap_err();
            assert!(error.is(&rules::FEATURE_MISSING));
            assert_eq!(error.subject(), Some(missing));
        }
    }

    #[test]
    fn malformed_answers_are_refused() {
        assert!(check(None).unwrap_err().is(&rules::MALFORMED));
        let other = Element::bare("query", ns::CLIENT);
        assert!(check(Some(&other)).unwrap_err().is(&rules::MALFORMED));
        let without_var = "<query xmlns='http://jabber.org/protocol/disco#info'><feature/></query>";
        assert!(check(Some(&without_var.parse().unwrap())).unwrap_err().is(&rules::MALFORMED));
    }
}
