//! The SASL elements of RFC 6120 section 6 and XEP-0440, with open mechanism names. Codec only: the order of messages is
//! [`crate::sasl`]'s.

use std::borrow::Cow;

use minidom::Element;
use xso::{AsXml, FromXml, TextCodec};

use crate::binding::BindingType;
use crate::error::{ErrorKind, Result, Rule};
use crate::mechanism::MechanismName;
use crate::sasl::{Condition, decode, encode};

use super::sasl2::Authentication;
use super::{ns, xml};

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
        let list = |names: &[MechanismName]| Mechanisms { names: names.to_vec() };
        let types = self.binding_types.iter().map(|kind| kind.name().to_owned());
        let types = types.chain(self.other_binding_types.iter().cloned()).collect::<Vec<_>>();
        let mut element = xml::element(&FeaturesElement {
            starttls: self.starttls.then_some(StartTls),
            mechanisms: (!self.mechanisms.is_empty()).then(|| list(&self.mechanisms)),
            channel_bindings: (!types.is_empty()).then_some(ChannelBindings { types }),
            bind: self.bind.then_some(Bind),
        });
        if let Some(authentication) = &self.sasl2 {
            element.append_child(authentication.to_element());
        }
        element
    }

    /// Parses `<stream:features/>`.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let parsed = xml::parse::<FeaturesElement>(element, &rules::MALFORMED)?;
        let types = parsed.channel_bindings.map(|list| list.types).unwrap_or_default();
        let sasl2 = element.get_child("authentication", ns::SASL2).map(Authentication::from_element);
        Ok(Self {
            mechanisms: parsed.mechanisms.map(|list| list.names).unwrap_or_default(),
            binding_types: types.iter().filter_map(|name| name.parse().ok()).collect(),
            other_binding_types: types
                .into_iter()
                .filter(|name| name.parse::<BindingType>().is_err())
                .collect(),
            sasl2: sasl2.transpose()?,
            starttls: parsed.starttls.is_some(),
            bind: parsed.bind.is_some(),
        })
    }
}

/// What the initiating side of SASL sends.
#[derive(Clone, Debug, PartialEq, Eq, FromXml, AsXml)]
#[xml(namespace = ns::SASL, exhaustive)]
#[non_exhaustive]
pub enum ClientMessage {
    /// `<auth/>`, with the initial response where there is one.
    #[xml(name = "auth", on_unknown_child = Fail)]
    Auth {
        /// The mechanism to run.
        #[xml(attribute)]
        mechanism: MechanismName,
        /// The initial response; an empty one is written `=`.
        #[xml(text(codec = Base64))]
        initial: Option<Vec<u8>>,
    },
    /// `<response/>`.
    #[xml(name = "response", on_unknown_child = Fail)]
    Response(#[xml(text(codec = Base64))] Vec<u8>),
    /// `<abort/>`.
    #[xml(name = "abort", on_unknown_child = Fail)]
    Abort,
}

impl ClientMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        xml::element(self)
    }

    /// Parses strictly.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; as [`decode`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        xml::parse(element, &rules::MALFORMED)
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
            Self::Challenge(data) => xml::element(&Reply::Challenge(data.clone())),
            Self::Success(data) => xml::element(&Reply::Success(data.clone())),
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
        Ok(match xml::parse(element, &rules::MALFORMED)? {
            Reply::Challenge(data) => Self::Challenge(data),
            Reply::Success(data) => Self::Success(data),
        })
    }
}

/// The condition in a `<failure/>` of either profile; not-authorized where none is known.
pub(super) fn failure_condition(failure: &Element) -> Condition {
    let known = |name: &str| Condition::ALL.into_iter().find(|condition| condition.name() == name);
    let children = failure.children().filter(|child| child.has_ns(ns::SASL));
    children.filter_map(|child| known(child.name())).next().unwrap_or(Condition::NotAuthorized)
}

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::SASL, exhaustive)]
enum Reply {
    #[xml(name = "challenge", on_unknown_child = Fail)]
    Challenge(#[xml(text(codec = Base64))] Vec<u8>),
    #[xml(name = "success", on_unknown_child = Fail)]
    Success(#[xml(text(codec = Base64))] Option<Vec<u8>>),
}

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::STREAM, name = "features", on_unknown_child = Discard)]
struct FeaturesElement {
    #[xml(child(default))]
    starttls: Option<StartTls>,
    #[xml(child(default))]
    mechanisms: Option<Mechanisms>,
    #[xml(child(default))]
    channel_bindings: Option<ChannelBindings>,
    #[xml(child(default))]
    bind: Option<Bind>,
}

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::TLS, name = "starttls", on_unknown_child = Discard)]
struct StartTls;

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::BIND, name = "bind", on_unknown_child = Discard)]
struct Bind;

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::SASL, name = "mechanisms", on_unknown_child = Discard)]
struct Mechanisms {
    #[xml(extract(n = .., name = "mechanism", fields(text(type_ = MechanismName))))]
    names: Vec<MechanismName>,
}

#[derive(FromXml, AsXml)]
#[xml(namespace = ns::SASL_CB, name = "sasl-channel-binding", on_unknown_child = Discard)]
struct ChannelBindings {
    #[xml(extract(n = .., name = "channel-binding", fields(attribute(name = "type", type_ = String))))]
    types: Vec<String>,
}

xso::convert_via_fromstr_and_display!(MechanismName);

/// The base64 of SASL messages. As an option, `None` is no text and `=` is the empty message; otherwise the empty
/// message is no text.
struct Base64;

impl TextCodec<Vec<u8>> for Base64 {
    fn decode(&self, text: String) -> Result<Vec<u8>, xso::error::Error> {
        let decoded: Option<Vec<u8>> = self.decode(text)?;
        Ok(decoded.unwrap_or_default())
    }

    fn encode<'x>(&self, message: &'x Vec<u8>) -> Result<Option<Cow<'x, str>>, xso::error::Error> {
        Ok((!message.is_empty()).then(|| encode(message).into()))
    }
}

impl TextCodec<Option<Vec<u8>>> for Base64 {
    fn decode(&self, text: String) -> Result<Option<Vec<u8>>, xso::error::Error> {
        if text.is_empty() {
            return Ok(None);
        }
        decode(&text).map(Some).map_err(xso::error::Error::text_parse_error)
    }

    fn encode<'x>(&self, message: &'x Option<Vec<u8>>) -> Result<Option<Cow<'x, str>>, xso::error::Error> {
        Ok(message.as_ref().map(|message| encode(message).into()))
    }
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
