//! The elements of SASL2 (XEP-0388), with as much of Bind 2 (XEP-0386) as it takes to get a resource on the way. Codec
//! only.

use jid::Jid;
use minidom::Element;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::MechanismName;
use crate::sasl::{self, Condition};

use super::attribute::set_attribute;
use super::ns;
use super::sasl::failure_condition;
use super::xml::Reader;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// An element that breaks the grammar of SASL2.
    pub static MALFORMED: Rule = Rule {
        id: "xmpp-sasl2-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0388 section 2",
        what: "not an element of the authentication, or malformed",
        advice: "The peer does not follow the protocol; report it to its authors.",
    };
}

/// The stream feature `<authentication/>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authentication {
    /// The mechanisms, in the server's order.
    pub mechanisms: Vec<MechanismName>,
    /// A resource can be bound on the way (XEP-0386).
    pub bind: bool,
}

impl Authentication {
    /// Offers these mechanisms.
    #[must_use]
    pub fn new(mechanisms: impl IntoIterator<Item = MechanismName>) -> Self {
        Self { mechanisms: mechanisms.into_iter().collect(), bind: false }
    }

    /// Offers to bind a resource on the way.
    #[must_use]
    pub fn with_bind(mut self) -> Self {
        self.bind = true;
        self
    }

    /// `<authentication/>`.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::bare("authentication", ns::SASL2);
        for name in &self.mechanisms {
            element.append_child(with_text("mechanism", name.as_str()));
        }
        if self.bind {
            let inline = Element::builder("inline", ns::SASL2).append(Element::bare("bind", ns::BIND2));
            element.append_child(inline.build());
        }
        element
    }

    /// Parses `<authentication/>`; what else may be done on the way is ignored.
    ///
    /// # Errors
    /// [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let names = element.children().filter(|child| child.is("mechanism", ns::SASL2));
        let inline = element.get_child("inline", ns::SASL2);
        Ok(Self {
            mechanisms: names.map(|name| name.text().parse()).collect::<Result<_>>()?,
            bind: inline.is_some_and(|inline| inline.has_child("bind", ns::BIND2)),
        })
    }
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMessage {
    /// `<authenticate/>`.
    Authenticate {
        /// The mechanism to run.
        mechanism: MechanismName,
        /// The initial response; an empty one is an empty element.
        initial: Option<Vec<u8>>,
        /// What the client is called, where it says so. No identifier goes with it: it would tell the server which
        /// device this is.
        software: Option<String>,
        /// Asks for a resource that begins with this.
        bind: Option<String>,
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
            Self::Authenticate { mechanism, initial, software, bind } => {
                let mut element = Element::bare("authenticate", ns::SASL2);
                set_attribute(&mut element, "mechanism", mechanism.as_str());
                if let Some(initial) = initial {
                    element.append_child(with_text("initial-response", &encode(initial)));
                }
                if let Some(software) = software {
                    let agent = Element::builder("user-agent", ns::SASL2);
                    element.append_child(agent.append(with_text("software", software)).build());
                }
                if let Some(tag) = bind {
                    let mut name = Element::bare("tag", ns::BIND2);
                    name.append_text(tag.as_str());
                    element.append_child(Element::builder("bind", ns::BIND2).append(name).build());
                }
                element
            }
            Self::Response(message) => with_text("response", &encode(message)),
            Self::Abort => Element::bare("abort", ns::SASL2),
        }
    }

    /// Parses strictly what the exchange depends on, and ignores what else is asked for.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; as [`sasl::decode`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let message = Reader::new(element, element.name(), ns::SASL2, &rules::MALFORMED)?;
        match element.name() {
            "authenticate" => {
                let agent = only(element, "user-agent")?;
                let software = agent.map(|agent| only(agent, "software")).transpose()?.flatten();
                let tag =
                    element.get_child("bind", ns::BIND2).and_then(|bind| bind.get_child("tag", ns::BIND2));
                Ok(Self::Authenticate {
                    mechanism: message.attribute("mechanism")?.parse()?,
                    initial: only(element, "initial-response")?.map(decode).transpose()?,
                    software: software.map(Element::text),
                    bind: tag.map(Element::text),
                })
            }
            "response" => Ok(Self::Response(decode(element)?)),
            // With a text, or a reason of some application.
            "abort" => Ok(Self::Abort),
            other => Err(message.broken(other)),
        }
    }
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerMessage {
    /// `<challenge/>`.
    Challenge(Vec<u8>),
    /// `<success/>`.
    Success {
        /// The mechanism's last message, where it has one.
        additional: Option<Vec<u8>>,
        /// Who we are now.
        identity: Jid,
        /// A resource was bound on the way.
        bound: bool,
    },
    /// `<failure/>`. A condition that RFC 6120 does not know reads as not-authorized.
    Failure(Condition),
    /// `<continue/>`, with the names of the tasks of which one must be done.
    Continue(Vec<String>),
}

impl ServerMessage {
    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Self::Challenge(message) => with_text("challenge", &encode(message)),
            Self::Success { additional, identity, bound } => {
                let mut element = Element::bare("success", ns::SASL2);
                if let Some(additional) = additional {
                    element.append_child(with_text("additional-data", &encode(additional)));
                }
                element.append_child(with_text("authorization-identifier", identity.as_str()));
                if *bound {
                    element.append_child(Element::bare("bound", ns::BIND2));
                }
                element
            }
            Self::Failure(condition) => {
                let mut element = Element::bare("failure", ns::SASL2);
                element.append_child(Element::bare(condition.name(), ns::SASL));
                element
            }
            Self::Continue(tasks) => {
                let mut list = Element::bare("tasks", ns::SASL2);
                for task in tasks {
                    list.append_child(with_text("task", task));
                }
                let mut element = Element::bare("continue", ns::SASL2);
                element.append_child(list);
                element
            }
        }
    }

    /// Parses strictly what the login depends on, and ignores what else came of it.
    ///
    /// # Errors
    /// [`rules::MALFORMED`]; as [`sasl::decode`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let malformed = || Error::new(&rules::MALFORMED);
        if element.ns() != ns::SASL2 {
            return Err(malformed());
        }
        match element.name() {
            "challenge" => Ok(Self::Challenge(decode(element)?)),
            "success" => Ok(Self::Success {
                additional: only(element, "additional-data")?.map(decode).transpose()?,
                identity: only(element, "authorization-identifier")?
                    .and_then(|identity| Jid::new(&identity.text()).ok())
                    .ok_or_else(malformed)?,
                bound: element.has_child("bound", ns::BIND2),
            }),
            "failure" => Ok(Self::Failure(failure_condition(element))),
            "continue" => {
                let tasks = only(element, "tasks")?.ok_or_else(malformed)?;
                Ok(Self::Continue(tasks.children().map(Element::text).collect()))
            }
            _ => Err(malformed()),
        }
    }
}

/// The child of that name, if there is one; two are an error.
fn only<'a>(element: &'a Element, name: &str) -> Result<Option<&'a Element>> {
    let mut children = element.children().filter(|child| child.is(name, ns::SASL2));
    match (children.next(), children.next()) {
        (child, None) => Ok(child),
        _ => Err(Error::new(&rules::MALFORMED).about(name)),
    }
}

fn with_text(name: &str, text: &str) -> Element {
    let mut element = Element::bare(name, ns::SASL2);
    if !text.is_empty() {
        element.append_text(text);
    }
    element
}

/// Base64, where the empty message is no text: SASL2 has no `=`.
fn encode(message: &[u8]) -> String {
    if message.is_empty() { String::new() } else { sasl::encode(message) }
}

fn decode(element: &Element) -> Result<Vec<u8>> {
    let text = element.text();
    if element.children().next().is_some() || text == "=" {
        return Err(Error::new(&rules::MALFORMED).about(element.name()));
    }
    sasl::decode(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::MESSAGE_MAX;

    fn name(name: &str) -> MechanismName {
        name.parse().unwrap()
    }

    fn message(literal: &str) -> Result<ServerMessage> {
        ServerMessage::from_element(&literal.parse().unwrap())
    }

    #[test]
    fn the_feature_both_ways() {
        let literal = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism>\
            <mechanism>SCRAM-SHA-1-PLUS</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication>";
        let feature = Authentication::new([name("SCRAM-SHA-1"), name("SCRAM-SHA-1-PLUS")]).with_bind();
        assert_eq!(feature.to_element(), literal.parse().unwrap());
        assert_eq!(Authentication::from_element(&feature.to_element()).unwrap(), feature);
        let more = literal.replace("<bind xmlns='urn:xmpp:bind:0'/>", "<sm xmlns='urn:xmpp:sm:3'/>");
        assert!(!Authentication::from_element(&more.parse().unwrap()).unwrap().bind);
    }

    #[test]
    fn client_messages_as_literals() {
        let authenticate = |initial: Option<&[u8]>, bind: Option<&str>| ClientMessage::Authenticate {
            mechanism: name("SCRAM-SHA-1"),
            initial: initial.map(<[u8]>::to_vec),
            software: Some("e2ecat".into()),
            bind: bind.map(str::to_owned),
        };
        let silent = ClientMessage::Authenticate {
            mechanism: name("SCRAM-SHA-1"),
            initial: Some(b"abc".to_vec()),
            software: None,
            bind: None,
        };
        let agent = "<user-agent><software>e2ecat</software></user-agent>";
        for (message, inside) in [
            (silent, "<initial-response>YWJj</initial-response>".to_owned()),
            (authenticate(None, None), agent.to_owned()),
            (authenticate(Some(b""), None), format!("<initial-response/>{agent}")),
            (
                authenticate(Some(b"abc"), Some("tag")),
                format!(
                    "<initial-response>YWJj</initial-response>{agent}\
                     <bind xmlns='urn:xmpp:bind:0'><tag>tag</tag></bind>"
                ),
            ),
        ] {
            let literal = format!(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'>{inside}</authenticate>"
            );
            assert_eq!(message.to_element(), literal.parse().unwrap());
            assert_eq!(ClientMessage::from_element(&message.to_element()).unwrap(), message);
        }
        for (message, literal) in [
            (ClientMessage::Response(b"abc".to_vec()), "<response xmlns='urn:xmpp:sasl:2'>YWJj</response>"),
            (ClientMessage::Response(vec![]), "<response xmlns='urn:xmpp:sasl:2'/>"),
            (ClientMessage::Abort, "<abort xmlns='urn:xmpp:sasl:2'/>"),
        ] {
            assert_eq!(message.to_element(), literal.parse().unwrap());
            assert_eq!(ClientMessage::from_element(&message.to_element()).unwrap(), message);
        }
    }

    #[test]
    fn malformed_client_messages_are_refused() {
        for literal in [
            "<authenticate xmlns='urn:xmpp:sasl:2'/>",
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><initial-response>=</initial-response></authenticate>",
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><initial-response/><initial-response/></authenticate>",
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><user-agent/><user-agent/></authenticate>",
            "<response xmlns='urn:xmpp:sasl:2'>=</response>",
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj</response>",
            "<auth xmlns='urn:xmpp:sasl:2' mechanism='X'/>",
        ] {
            let error = ClientMessage::from_element(&literal.parse().unwrap()).unwrap_err();
            assert!(error.is(&rules::MALFORMED), "{literal}");
        }
        let small = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='scram'/>";
        let error = ClientMessage::from_element(&small.parse().unwrap()).unwrap_err();
        assert!(error.is(&crate::mechanism::rules::BAD_NAME));
    }

    #[test]
    fn server_messages_both_ways() {
        let jid = || Jid::new("a@x/tag~1").unwrap();
        for (message, literal) in [
            (
                ServerMessage::Challenge(b"abc".to_vec()),
                "<challenge xmlns='urn:xmpp:sasl:2'>YWJj</challenge>",
            ),
            (
                ServerMessage::Success { additional: None, identity: jid(), bound: false },
                "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@x/tag~1</authorization-identifier></success>",
            ),
            (
                ServerMessage::Success { additional: Some(vec![]), identity: jid(), bound: true },
                "<success xmlns='urn:xmpp:sasl:2'><additional-data/>\
                 <authorization-identifier>a@x/tag~1</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
            ),
            (
                ServerMessage::Failure(Condition::Aborted),
                "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
            ),
            (
                ServerMessage::Continue(vec!["TOTP".into()]),
                "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>",
            ),
        ] {
            assert_eq!(message.to_element(), literal.parse().unwrap());
            assert_eq!(ServerMessage::from_element(&message.to_element()).unwrap(), message);
        }
    }

    #[test]
    fn server_messages_are_parsed() {
        let success = "<success xmlns='urn:xmpp:sasl:2'><additional-data>dj0=</additional-data>\
            <authorization-identifier>a@x/tag~1</authorization-identifier>\
            <bound xmlns='urn:xmpp:bind:0'/><resumed xmlns='urn:xmpp:sm:3'/></success>";
        let identity = Jid::new("a@x/tag~1").unwrap();
        let expected = ServerMessage::Success { additional: Some(b"v=".to_vec()), identity, bound: true };
        assert_eq!(message(success).unwrap(), expected);
        let bare = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@x</authorization-identifier></success>";
        let identity = Jid::new("a@x").unwrap();
        assert_eq!(
            message(bare).unwrap(),
            ServerMessage::Success { additional: None, identity, bound: false }
        );
        let empty = "<challenge xmlns='urn:xmpp:sasl:2'/>";
        assert_eq!(message(empty).unwrap(), ServerMessage::Challenge(vec![]));
        let failure = "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
            <text>no</text></failure>";
        assert_eq!(message(failure).unwrap(), ServerMessage::Failure(Condition::NotAuthorized));
        let more = "<continue xmlns='urn:xmpp:sasl:2'><additional-data>dj0=</additional-data>\
            <tasks><task>TOTP</task></tasks></continue>";
        assert_eq!(message(more).unwrap(), ServerMessage::Continue(vec!["TOTP".into()]));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for literal in [
            "<success xmlns='urn:xmpp:sasl:2'/>",
            "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>@</authorization-identifier></success>",
            "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@x</authorization-identifier>\
                <additional-data/><additional-data/></success>",
            "<challenge xmlns='urn:xmpp:sasl:2'>=</challenge>",
            "<challenge xmlns='urn:xmpp:sasl:2'>YWJj<x/></challenge>",
            "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YWJj</challenge>",
            "<continue xmlns='urn:xmpp:sasl:2'/>",
            "<next xmlns='urn:xmpp:sasl:2'/>",
        ] {
            assert!(message(literal).unwrap_err().is(&rules::MALFORMED), "{literal}");
        }
        let error = message("<challenge xmlns='urn:xmpp:sasl:2'>Y WJj</challenge>").unwrap_err();
        assert!(error.is(&sasl::rules::BAD_BASE64));
    }

    #[test]
    fn message_length_is_limited() {
        for (length, fits) in [(MESSAGE_MAX, true), (MESSAGE_MAX + 1, false)] {
            let challenge = with_text("challenge", &encode(&vec![0; length]));
            assert_eq!(ServerMessage::from_element(&challenge).is_ok(), fits);
        }
    }
}
