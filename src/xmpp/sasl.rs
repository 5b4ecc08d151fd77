//! The SASL elements of RFC 6120 section 6 and XEP-0440, with open mechanism names. Codec only: the order of messages is
//! [`crate::sasl`]'s.

use minidom::Element;
use rxml::xml_ncname;

use crate::binding::BindingType;
use crate::error::{ErrorKind, Result, Rule};
use crate::mechanism::MechanismName;
use crate::sasl::{Condition, decode, encode};

use super::ns;
use super::sasl2::Authentication;
use super::xml::Reader;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// An element that breaks the grammar of SASL in XMPP.
    pub static MALFORMED: Rule = Rule {
        id: "xmpp-sasl-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 section 6.4",
        what: "not an element of the authentication, or malformed",
        advice: "The peer does not follow the protocol; report it to its authors.",
    };
}

/// Stream features that matter here (RFC 6120 section 4.3.2). Others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// `<mechanisms/>`, in the server's order.
    pub mechanisms: Vec<MechanismName>,
    /// `<sasl-channel-binding/>`: those of the listed types that are known here.
    pub binding_types: Vec<BindingType>,
    /// The listed types that are not known here, by name.
    pub other_binding_types: Vec<String>,
    /// `<authentication/>` of SASL2.
    pub sasl2: Option<Authentication>,
    /// `<starttls/>` is offered.
    pub starttls: bool,
    /// `<bind/>` is offered.
    pub bind: bool,
}

impl Features {
    /// No features, as after an end-to-end authentication.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers these mechanisms.
    #[must_use]
    pub fn with_mechanisms(mut self, mechanisms: impl IntoIterator<Item = MechanismName>) -> Self {
        self.mechanisms = mechanisms.into_iter().collect();
        self
    }

    /// Announces these channel-binding types.
    #[must_use]
    pub fn with_binding_types(mut self, types: impl IntoIterator<Item = BindingType>) -> Self {
        self.binding_types = types.into_iter().collect();
        self
    }

    /// Offers SASL2.
    #[must_use]
    pub fn with_sasl2(mut self, authentication: Authentication) -> Self {
        self.sasl2 = Some(authentication);
        self
    }

    /// Offers STARTTLS.
    #[must_use]
    pub fn with_starttls(mut self) -> Self {
        self.starttls = true;
        self
    }

    /// Offers resource binding.
    #[must_use]
    pub fn with_bind(mut self) -> Self {
        self.bind = true;
        self
    }

    /// `<stream:features/>`.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mechanism =
            |name: &MechanismName| Element::builder("mechanism", ns::SASL).append(name.as_str()).build();
        let mechanisms = || {
            let names = self.mechanisms.iter().map(mechanism);
            Element::builder("mechanisms", ns::SASL).append_all(names).build()
        };
        let known = self.binding_types.iter().map(|kind| kind.name());
        let types = known.chain(self.other_binding_types.iter().map(String::as_str)).map(|name| {
            Element::builder("channel-binding", ns::SASL_CB)
                .attr(xml_ncname!("type").to_owned(), name)
                .build()
        });
        let mut types = types.peekable();
        let binding_types = types
            .peek()
            .is_some()
            .then(|| Element::builder("sasl-channel-binding", ns::SASL_CB).append_all(types).build());
        Element::builder("features", ns::STREAM)
            .append_all(self.starttls.then(|| Element::bare("starttls", ns::TLS)))
            .append_all((!self.mechanisms.is_empty()).then(mechanisms))
            .append_all(binding_types)
            .append_all(self.bind.then(|| Element::bare("bind", ns::BIND)))
            .append_all(self.sasl2.as_ref().map(Authentication::to_element))
            .build()
    }

    /// Parses `<stream:features/>`.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let features = Reader::new(element, "features", ns::STREAM, &rules::MALFORMED)?;
        let (mut starttls, mut bind, mut mechanisms, mut types, mut sasl2) = (None, None, None, None, None);
        for child in features.children()? {
            let part = features.child(child);
            if child.is("starttls", ns::TLS) {
                part.no_text()?;
                features.once(&mut starttls, "starttls", ())?;
            } else if child.is("mechanisms", ns::SASL) {
                features.once(&mut mechanisms, "mechanisms", mechanism_names(part)?)?;
            } else if child.is("sasl-channel-binding", ns::SASL_CB) {
                features.once(&mut types, "sasl-channel-binding", binding_types(part)?)?;
            } else if child.is("authentication", ns::SASL2) {
                features.once(&mut sasl2, "authentication", Authentication::from_element(child)?)?;
            } else if child.is("bind", ns::BIND) {
                part.no_text()?;
                features.once(&mut bind, "bind", ())?;
            }
        }
        let (binding_types, other_binding_types) = types.unwrap_or_default();
        Ok(Self {
            mechanisms: mechanisms.unwrap_or_default(),
            binding_types,
            other_binding_types,
            sasl2,
            starttls: starttls.is_some(),
            bind: bind.is_some(),
        })
    }
}

fn mechanism_names(list: Reader<'_>) -> Result<Vec<MechanismName>> {
    let names = list.children()?.filter(|child| child.is("mechanism", ns::SASL));
    names.map(|child| list.child(child).text().parse()).collect()
}

/// The types that are known here, and the names of the others.
fn binding_types(list: Reader<'_>) -> Result<(Vec<BindingType>, Vec<String>)> {
    let (mut known, mut other) = (Vec::new(), Vec::new());
    for child in list.children()?.filter(|child| child.is("channel-binding", ns::SASL_CB)) {
        let kind = list.child(child);
        kind.no_text()?;
        let name = kind.attribute("type")?;
        match name.parse() {
            Ok(kind) => known.push(kind),
            Err(_) => other.push(name.to_owned()),
        }
    }
    Ok((known, other))
}

/// What the initiating side of SASL sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMessage {
    /// `<auth/>`, with the initial response where there is one.
    Auth {
        /// The mechanism to run.
        mechanism: MechanismName,
        /// The initial response; an empty one is written `=`.
        initial: Option<Vec<u8>>,
    },
    /// `<response/>`.
    Response(Vec<u8>),
    /// `<abort/>`.
    Abort,
}

impl ClientMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Self::Auth { mechanism, initial } => Element::builder("auth", ns::SASL)
                .attr(xml_ncname!("mechanism").to_owned(), mechanism.as_str())
                .append_all(initial.as_deref().map(encode))
                .build(),
            Self::Response(message) => with_message("response", message),
            Self::Abort => Element::bare("abort", ns::SASL),
        }
    }

    /// Parses strictly.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; as [`decode`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let message = Reader::new(element, element.name(), ns::SASL, &rules::MALFORMED)?;
        match element.name() {
            "auth" => Ok(Self::Auth {
                mechanism: message.attribute("mechanism")?.parse()?,
                initial: read_message(message)?,
            }),
            "response" => Ok(Self::Response(read_message(message)?.unwrap_or_default())),
            "abort" => {
                message.no_text()?;
                message.no_children().map(|()| Self::Abort)
            }
            other => Err(message.broken(other)),
        }
    }
}

/// What the receiving side of SASL sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerMessage {
    /// `<challenge/>`.
    Challenge(Vec<u8>),
    /// `<success/>`, with additional data where there is some.
    Success(Option<Vec<u8>>),
    /// `<failure/>`. A condition that RFC 6120 does not know reads as not-authorized.
    Failure(Condition),
}

impl ServerMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Self::Challenge(data) => with_message("challenge", data),
            Self::Success(data) => {
                Element::builder("success", ns::SASL).append_all(data.as_deref().map(encode)).build()
            }
            Self::Failure(condition) => Element::builder("failure", ns::SASL)
                .append(Element::bare(condition.name(), ns::SASL))
                .build(),
        }
    }

    /// Parses strictly; only `<failure/>` may hold more than is known.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; as [`decode`].
    pub fn from_element(element: &Element) -> Result<Self> {
        if element.is("failure", ns::SASL) {
            return Ok(Self::Failure(failure_condition(element)));
        }
        let message = Reader::new(element, element.name(), ns::SASL, &rules::MALFORMED)?;
        match element.name() {
            "challenge" => Ok(Self::Challenge(read_message(message)?.unwrap_or_default())),
            "success" => Ok(Self::Success(read_message(message)?)),
            other => Err(message.broken(other)),
        }
    }
}

/// The condition in a `<failure/>` of either profile; not-authorized where none is known.
pub(super) fn failure_condition(failure: &Element) -> Condition {
    let known = |name: &str| Condition::ALL.into_iter().find(|condition| condition.name() == name);
    let children = failure.children().filter(|child| child.has_ns(ns::SASL));
    children.filter_map(|child| known(child.name())).next().unwrap_or(Condition::NotAuthorized)
}

/// An element that always holds a message: the empty one is no text.
fn with_message(name: &str, message: &[u8]) -> Element {
    let text = (!message.is_empty()).then(|| encode(message));
    Element::builder(name, ns::SASL).append_all(text).build()
}

/// The message in an element: `None` is no text, and `=` the empty message.
fn read_message(element: Reader<'_>) -> Result<Option<Vec<u8>>> {
    element.no_children()?;
    let text = element.text();
    if text.is_empty() { Ok(None) } else { decode(&text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::{self, MESSAGE_MAX};
    use crate::sasl;
    use crate::xmpp::stream::to_octets;

    fn name(name: &str) -> MechanismName {
        name.parse().unwrap()
    }

    fn text(element: &Element) -> String {
        String::from_utf8(to_octets(element).unwrap()).unwrap()
    }

    #[test]
    fn features_both_ways() {
        let features = Features::new()
            .with_starttls()
            .with_mechanisms([name("CPACE-X25519"), name("SCRAM-SHA-256-PLUS")])
            .with_binding_types([BindingType::TlsExporter])
            .with_bind()
            .with_sasl2(Authentication::new([name("SCRAM-SHA-256")]));
        let literal = "<features xmlns='http://etherx.jabber.org/streams'>\
            <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
            <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>CPACE-X25519</mechanism>\
            <mechanism>SCRAM-SHA-256-PLUS</mechanism></mechanisms>\
            <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
            </sasl-channel-binding><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
            <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism></authentication></features>";
        assert_eq!(features.to_element(), literal.parse().unwrap());
        assert_eq!(Features::from_element(&features.to_element()).unwrap(), features);
    }

    #[test]
    fn unknown_features_are_ignored_and_unknown_types_kept() {
        let literal = "<features xmlns='http://etherx.jabber.org/streams'><x xmlns='urn:x'/>\
            <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
            <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='new'/>\
            <channel-binding type='tls-unique'/></sasl-channel-binding></features>";
        let features = Features::from_element(&literal.parse().unwrap()).unwrap();
        let mut expected = Features::new().with_starttls().with_binding_types([BindingType::TlsUnique]);
        expected.other_binding_types = vec!["new".into()];
        assert_eq!(features, expected);
    }

    #[test]
    fn bad_mechanism_names_are_refused() {
        let literal = "<features xmlns='http://etherx.jabber.org/streams'>\
            <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>scram</mechanism></mechanisms></features>";
        let error = Features::from_element(&literal.parse().unwrap()).unwrap_err();
        assert!(error.is(&mechanism::rules::BAD_NAME));
    }

    #[test]
    fn client_messages_both_ways() {
        let auth = |initial: Option<&[u8]>| ClientMessage::Auth {
            mechanism: name("PLAIN"),
            initial: initial.map(<[u8]>::to_vec),
        };
        for (message, literal) in [
            (auth(None), "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>"),
            (auth(Some(b"")), "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>=</auth>"),
            (
                auth(Some(b"ab")),
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>YWI=</auth>",
            ),
            (
                ClientMessage::Response(b"abc".to_vec()),
                "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj</response>",
            ),
            (ClientMessage::Response(vec![]), "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            (ClientMessage::Abort, "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
        ] {
            assert_eq!(text(&message.to_element()), literal);
            assert_eq!(ClientMessage::from_element(&literal.parse().unwrap()).unwrap(), message);
        }
    }

    #[test]
    fn server_messages_both_ways() {
        for (message, literal) in [
            (
                ServerMessage::Challenge(b"abc".to_vec()),
                "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj</challenge>",
            ),
            (ServerMessage::Success(None), "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            (
                ServerMessage::Success(Some(vec![])),
                "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>",
            ),
            (
                ServerMessage::Failure(Condition::NotAuthorized),
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
            ),
        ] {
            assert_eq!(text(&message.to_element()), literal);
            assert_eq!(ServerMessage::from_element(&literal.parse().unwrap()).unwrap(), message);
        }
    }

    #[test]
    fn failures_may_hold_more() {
        let literal = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><x xmlns='urn:x'/><account-disabled/>\
            <text xml:lang='en'>call us</text></failure>";
        let message = ServerMessage::from_element(&literal.parse().unwrap()).unwrap();
        assert_eq!(message, ServerMessage::Failure(Condition::AccountDisabled));
        let unknown = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><tired/></failure>";
        let message = ServerMessage::from_element(&unknown.parse().unwrap()).unwrap();
        assert_eq!(message, ServerMessage::Failure(Condition::NotAuthorized));
    }

    #[test]
    fn bad_base64_is_refused() {
        for data in ["YWJ", "YW=j", "Y WJj", "YWJj=", "==", "YWK="] {
            let literal = format!("<response xmlns='{}'>{data}</response>", ns::SASL);
            let error = ClientMessage::from_element(&literal.parse().unwrap()).unwrap_err();
            assert!(error.is(&sasl::rules::BAD_BASE64), "{data}");
        }
    }

    #[test]
    fn message_length_is_limited() {
        let message = ServerMessage::Challenge(vec![0; MESSAGE_MAX]);
        assert_eq!(ServerMessage::from_element(&message.to_element()).unwrap(), message);
        let above = ServerMessage::Challenge(vec![0; MESSAGE_MAX + 1]).to_element();
        let error = ServerMessage::from_element(&above).unwrap_err();
        assert!(error.is(&mechanism::rules::MESSAGE_TOO_LONG));
    }

    #[test]
    fn other_elements_and_children_are_refused() {
        for literal in [
            "<hello xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "<response xmlns='jabber:client'/>",
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj<x/></response>",
            "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj</abort>",
        ] {
            let error = ClientMessage::from_element(&literal.parse().unwrap()).unwrap_err();
            assert!(error.is(&rules::MALFORMED), "{literal}");
        }
        let literal = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><x/></success>";
        let error = ServerMessage::from_element(&literal.parse().unwrap()).unwrap_err();
        assert!(error.is(&rules::MALFORMED));
    }
}
