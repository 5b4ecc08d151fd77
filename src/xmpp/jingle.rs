//! Jingle (XEP-0166) as far as an end-to-end XML stream needs it: one content with the XML stream application, one
//! transport, IBB (XEP-0261) or SOCKS5 bytestreams (XEP-0260), and the TLS security element of
//! draft-meyer-xmpp-e2e-encryption.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use jid::Jid;
use minidom::Element;
use rxml::xml_ncname;
pub use xmpp_parsers::ibb::{Stanza, StreamId};
pub use xmpp_parsers::jingle::Creator;
pub use xmpp_parsers::jingle_ibb::Transport as InBand;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::MechanismName;
use crate::tls::Fingerprint;

use super::xml::Reader;
use super::{ns, s5b};

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not a Jingle element, or an unknown action.
    pub static MALFORMED: Rule = Rule {
        id: "jingle-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0166 section 7",
        what: "the Jingle element is malformed",
        advice: "The peer does not follow the protocol; report it to its authors.",
    };
    /// No `<security/>` where one must be.
    pub static SECURITY_MISSING: Rule = Rule {
        id: "jingle-security-missing",
        kind: ErrorKind::PolicyRefused,
        source: "draft-meyer-xmpp-e2e-encryption section 6",
        what: "the peer's answer or offer asks for no security",
        advice: "Either the peer cannot do TLS, or a server has removed the offer. Never go on unsecured.",
    };
    /// A bad `<security/>`.
    pub static BAD_SECURITY: Rule = Rule {
        id: "jingle-bad-security",
        kind: ErrorKind::PeerMisbehaved,
        source: "draft-meyer-xmpp-e2e-encryption section 6, countersign",
        what: "the security element is malformed",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// Not the XML stream application.
    pub static OTHER_APPLICATION: Rule = Rule {
        id: "jingle-other-application",
        kind: ErrorKind::PeerIncompatible,
        source: "XEP-0247",
        what: "the session is not for an end-to-end XML stream",
        advice: "Use a program that supports end-to-end XML streams.",
    };
    /// No transport that we can use.
    pub static OTHER_TRANSPORT: Rule = Rule {
        id: "jingle-other-transport",
        kind: ErrorKind::PeerIncompatible,
        source: "XEP-0261, XEP-0260",
        what: "the session is not for a transport that was offered or can be used",
        advice: "Use a program that supports in-band bytestreams in IQ stanzas.",
    };
    /// The answer does not fit the offer.
    pub static OTHER_CONTENT: Rule = Rule {
        id: "jingle-other-content",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0166 section 6.2, XEP-0261 section 2",
        what: "the session does not hold exactly the content that was agreed on",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// A block size nobody can work with.
    pub static BLOCK_SIZE: Rule = Rule {
        id: "jingle-block-size",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0047 section 2.1, countersign",
        what: "the peer asks for a block size that cannot be used",
        advice: "Report it to the authors of the peer's program.",
    };
}

/// The name of the one content.
pub const CONTENT_NAME: &str = "e2e";

/// What a Jingle stanza does (XEP-0166 section 7.2). Actions that only serve other applications are left out; they
/// parse as [`Action::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Opens a session.
    SessionInitiate,
    /// Takes it.
    SessionAccept,
    /// Says something about it; empty, it is a ping.
    SessionInfo,
    /// Ends it.
    SessionTerminate,
    /// Says something about its security.
    SecurityInfo,
    /// Says something about its transport.
    TransportInfo,
    /// Wants another transport.
    TransportReplace,
    /// Takes it.
    TransportAccept,
    /// Does not.
    TransportReject,
    /// An action that has no place in such a session.
    Other,
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "session-initiate" => Self::SessionInitiate,
            "session-accept" => Self::SessionAccept,
            "session-info" => Self::SessionInfo,
            "session-terminate" => Self::SessionTerminate,
            "security-info" => Self::SecurityInfo,
            "transport-info" => Self::TransportInfo,
            "transport-replace" => Self::TransportReplace,
            "transport-accept" => Self::TransportAccept,
            "transport-reject" => Self::TransportReject,
            "content-accept" | "content-add" | "content-modify" | "content-reject" | "content-remove"
            | "description-info" => Self::Other,
            _ => return Err(Error::new(&rules::MALFORMED).about(name)),
        })
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::SessionInitiate => "session-initiate",
            Self::SessionAccept => "session-accept",
            Self::SessionInfo => "session-info",
            Self::SessionTerminate => "session-terminate",
            Self::SecurityInfo => "security-info",
            Self::TransportInfo => "transport-info",
            Self::TransportReplace => "transport-replace",
            Self::TransportAccept => "transport-accept",
            Self::TransportReject => "transport-reject",
            Self::Other => "description-info",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a session ends (XEP-0166 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There is another session already.
    AlternativeSession,
    /// No time.
    Busy,
    /// Given up.
    Cancel,
    /// The transport does not work.
    ConnectivityError,
    /// Not wanted.
    Decline,
    /// It took too long altogether.
    Expired,
    /// The application failed.
    FailedApplication,
    /// The transport failed.
    FailedTransport,
    /// None of the others.
    GeneralError,
    /// The party is going away.
    Gone,
    /// No parameters in common.
    IncompatibleParameters,
    /// The media failed.
    MediaError,
    /// Security is missing or failed.
    SecurityError,
    /// Everything went well.
    Success,
    /// No answer in time.
    Timeout,
    /// No application in common.
    UnsupportedApplications,
    /// No transport in common.
    UnsupportedTransports,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 17] = [
        Self::AlternativeSession,
        Self::Busy,
        Self::Cancel,
        Self::ConnectivityError,
        Self::Decline,
        Self::Expired,
        Self::FailedApplication,
        Self::FailedTransport,
        Self::GeneralError,
        Self::Gone,
        Self::IncompatibleParameters,
        Self::MediaError,
        Self::SecurityError,
        Self::Success,
        Self::Timeout,
        Self::UnsupportedApplications,
        Self::UnsupportedTransports,
    ];

    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AlternativeSession => "alternative-session",
            Self::Busy => "busy",
            Self::Cancel => "cancel",
            Self::ConnectivityError => "connectivity-error",
            Self::Decline => "decline",
            Self::Expired => "expired",
            Self::FailedApplication => "failed-application",
            Self::FailedTransport => "failed-transport",
            Self::GeneralError => "general-error",
            Self::Gone => "gone",
            Self::IncompatibleParameters => "incompatible-parameters",
            Self::MediaError => "media-error",
            Self::SecurityError => "security-error",
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::UnsupportedApplications => "unsupported-applications",
            Self::UnsupportedTransports => "unsupported-transports",
        }
    }

    fn read(reason: Reader<'_>) -> Result<Self> {
        let known =
            |element: &Element| Self::ALL.into_iter().find(|reason| element.is(reason.name(), ns::JINGLE));
        Ok(reason.children()?.find_map(known).unwrap_or(Self::GeneralError))
    }
}

/// A `<jingle/>` element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Jingle {
    /// What it does.
    pub action: Action,
    /// Who opened the session.
    pub initiator: Option<Jid>,
    /// Who took it.
    pub responder: Option<Jid>,
    /// The session.
    pub sid: String,
    /// What it is about.
    pub contents: Vec<Content>,
    reason: Option<Reason>,
}

impl Jingle {
    /// An action on a session.
    #[must_use]
    pub fn new(action: Action, sid: impl Into<String>) -> Self {
        Self { action, initiator: None, responder: None, sid: sid.into(), contents: vec![], reason: None }
    }

    /// `session-terminate`.
    #[must_use]
    pub fn terminate(sid: impl Into<String>, reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::new(Action::SessionTerminate, sid) }
    }

    /// Adds the content.
    #[must_use]
    pub fn with_content(mut self, content: Content) -> Self {
        self.contents.push(content);
        self
    }

    /// The reason, where one is given; one that is unknown reads as [`Reason::GeneralError`].
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let reason = |reason: Reason| {
            let condition = Element::bare(reason.name(), ns::JINGLE);
            Element::builder("reason", ns::JINGLE).append(condition).build()
        };
        Element::builder("jingle", ns::JINGLE)
            .attr(xml_ncname!("action").to_owned(), self.action.name())
            .attr(xml_ncname!("initiator").to_owned(), self.initiator.as_ref().map(Jid::as_str))
            .attr(xml_ncname!("responder").to_owned(), self.responder.as_ref().map(Jid::as_str))
            .attr(xml_ncname!("sid").to_owned(), &self.sid)
            .append_all(self.contents.iter().map(Content::to_element))
            .append_all(self.reason.map(reason))
            .build()
    }

    /// Parses. Unknown children are ignored except in `<security/>`.
    ///
    /// # Errors
    /// [`rules::MALFORMED`], [`rules::BAD_SECURITY`], [`s5b::rules`].
    pub fn from_element(element: &Element) -> Result<Self> {
        Self::read(element).map_err(|error| {
            // The breach of the strict part has its own name, whatever else is wrong.
            let mut securities =
                element.children().filter_map(|content| content.get_child("security", ns::XTLS));
            securities.find_map(|security| Security::from_element(security).err()).unwrap_or(error)
        })
    }

    fn read(element: &Element) -> Result<Self> {
        let jingle = Reader::new(element, "jingle", ns::JINGLE, &rules::MALFORMED)?;
        let (mut contents, mut reason) = (Vec::new(), None);
        for child in jingle.children()? {
            if child.is("content", ns::JINGLE) {
                contents.push(Content::read(jingle.child(child))?);
            } else if child.is("reason", ns::JINGLE) {
                jingle.once(&mut reason, "reason", Reason::read(jingle.child(child))?)?;
            }
        }
        Ok(Self {
            action: jingle.attribute("action")?.parse()?,
            initiator: jingle.parsed_if_there("initiator")?,
            responder: jingle.parsed_if_there("responder")?,
            sid: jingle.attribute("sid")?.to_owned(),
            contents,
            reason,
        })
    }

    /// The one content, if it is one that we can use: application, transport and security.
    ///
    /// # Errors
    /// [`rules::OTHER_CONTENT`], [`rules::OTHER_APPLICATION`], [`rules::OTHER_TRANSPORT`],
    /// [`rules::SECURITY_MISSING`].
    pub fn into_offer(self) -> Result<Offer> {
        let mut contents = self.contents.into_iter();
        let (Some(content), None) = (contents.next(), contents.next()) else {
            return Err(Error::new(&rules::OTHER_CONTENT));
        };
        content.description.ok_or(Error::new(&rules::OTHER_APPLICATION))?;
        let transport = content.transport.filter(Transport::is_usable);
        Ok(Offer {
            creator: content.creator,
            name: content.name,
            transport: transport.ok_or(Error::new(&rules::OTHER_TRANSPORT))?,
            security: content.security.ok_or(Error::new(&rules::SECURITY_MISSING))?,
        })
    }
}

/// What one side brings to a session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// Who made the content.
    pub creator: Creator,
    /// Its name.
    pub name: String,
    /// How data flows.
    pub transport: Transport,
    /// What protects it.
    pub security: Security,
}

/// A `<content/>` element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Content {
    /// Who made it.
    pub creator: Creator,
    /// Its name.
    pub name: String,
    /// The XML stream application.
    pub description: Option<Description>,
    /// How data flows.
    pub transport: Option<Transport>,
    /// TLS.
    pub security: Option<Security>,
}

impl Content {
    /// The content of an end-to-end XML stream over IBB.
    #[must_use]
    pub fn new(block: u16, stream: impl Into<String>, security: Security) -> Self {
        Self::over(Transport::in_band(block, stream), security)
    }

    /// The content of an end-to-end XML stream.
    #[must_use]
    pub fn over(transport: Transport, security: Security) -> Self {
        let description = Some(Description);
        Self { description, security: Some(security), ..Self::transport_only(CONTENT_NAME, transport) }
    }

    /// A content of which only the transport is at stake.
    #[must_use]
    pub fn transport_only(name: impl Into<String>, transport: Transport) -> Self {
        Self {
            creator: Creator::Initiator,
            name: name.into(),
            description: None,
            transport: Some(transport),
            security: None,
        }
    }

    fn to_element(&self) -> Element {
        Element::builder("content", ns::JINGLE)
            .attr(xml_ncname!("creator").to_owned(), self.creator.clone())
            .attr(xml_ncname!("name").to_owned(), &self.name)
            .append_all(self.description.map(|_| Element::bare("description", ns::XMLSTREAM)))
            .append_all(self.transport.as_ref().map(Transport::to_element))
            .append_all(self.security.as_ref().map(Security::to_element))
            .build()
    }

    fn read(content: Reader<'_>) -> Result<Self> {
        let (mut description, mut transport, mut security) = (None, None, None);
        for child in content.children()? {
            let part = content.child(child);
            if child.is("description", ns::XMLSTREAM) {
                part.no_text()?;
                content.once(&mut description, "description", Description)?;
            } else if child.is("transport", ns::JINGLE_IBB) {
                let in_band = Transport::InBand(read_transport(part)?);
                content.once(&mut transport, "transport", in_band)?;
            } else if child.is("transport", ns::JINGLE_S5B) {
                let socks5 = Transport::Socks5(s5b::Transport::read(part)?);
                content.once(&mut transport, "transport", socks5)?;
            } else if child.is("security", ns::XTLS) {
                content.once(&mut security, "security", Security::from_element(child)?)?;
            }
        }
        Ok(Self {
            creator: content.parsed("creator")?,
            name: content.attribute("name")?.to_owned(),
            description,
            transport,
            security,
        })
    }
}

/// How data flows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transport {
    /// In stanzas.
    InBand(InBand),
    /// Over a socket.
    Socks5(s5b::Transport),
}

impl Transport {
    /// IBB with this block size and identifier.
    #[must_use]
    pub fn in_band(block: u16, stream: impl Into<String>) -> Self {
        Self::InBand(InBand { block_size: block, sid: StreamId(stream.into()), stanza: Stanza::Iq })
    }

    fn is_usable(&self) -> bool {
        match self {
            Self::InBand(transport) => transport.stanza == Stanza::Iq,
            Self::Socks5(_) => true,
        }
    }

    fn to_element(&self) -> Element {
        match self {
            Self::InBand(transport) => transport_element(transport),
            Self::Socks5(transport) => transport.to_element(),
        }
    }
}

fn transport_element(transport: &InBand) -> Element {
    // The one in use is the default, and left out.
    Element::builder("transport", ns::JINGLE_IBB)
        .attr(xml_ncname!("block-size").to_owned(), transport.block_size)
        .attr(xml_ncname!("sid").to_owned(), &transport.sid.0)
        .attr(xml_ncname!("stanza").to_owned(), transport.stanza.clone())
        .build()
}

fn read_transport(transport: Reader<'_>) -> Result<InBand> {
    transport.no_text()?;
    Ok(InBand {
        block_size: transport.parsed("block-size")?,
        sid: StreamId(transport.attribute("sid")?.to_owned()),
        stanza: transport.parsed_if_there("stanza")?.unwrap_or(Stanza::Iq),
    })
}

/// The XML stream application (XEP-0247).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the element is empty")]
pub struct Description;

/// How TLS finds out who is there. A `<security/>` may name methods that are none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Certificates; a SASL mechanism follows inside.
    X509,
    /// TLS-SRP (RFC 5054).
    Srp,
    /// An external pre-shared key of TLS 1.3 that both sides hold.
    Psk,
    /// An external pre-shared key that CPace agrees on before TLS.
    CpacePsk,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::X509, Self::Srp, Self::Psk, Self::CpacePsk];

    /// The name: the first two are those of the draft, the others our own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Srp => "srp",
            Self::Psk => "urn:countersign:e2e:0#psk",
            Self::CpacePsk => "urn:countersign:e2e:0#cpace-psk",
        }
    }
}

/// The `<security/>` element: what a side says in the open about the protection to come. Parsed strictly: whatever is
/// not known here is an error, because everything in it is proven later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    fingerprint: Option<Fingerprint>,
    methods: Vec<String>,
    mechanisms: Vec<MechanismName>,
    pake: Option<Pake>,
}

impl Security {
    /// TLS with a certificate (its fingerprint), or without one, then one of these SASL mechanisms.
    #[must_use]
    pub fn new(
        fingerprint: Option<Fingerprint>,
        mechanisms: impl IntoIterator<Item = MechanismName>,
    ) -> Self {
        Self { fingerprint, mechanisms: mechanisms.into_iter().collect(), ..Self::default() }
            .with_methods(fingerprint.map(|_| Method::X509))
    }

    /// Names these TLS methods, in this order, and no others.
    #[must_use]
    pub fn with_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().map(|method| method.name().to_owned()).collect();
        self
    }

    /// Adds a share of a PAKE: of [`Method::CpacePsk`], in the suite that the document names.
    #[must_use]
    pub fn with_share(mut self, suite: impl Into<String>, share: impl Into<Vec<u8>>) -> Self {
        self.pake = Some(Pake { suite: suite.into(), share: share.into() });
        self
    }

    /// The fingerprint of the certificate that this side will use.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// The TLS methods that this side names.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(String::as_str)
    }

    /// Whether this side names that TLS method.
    #[must_use]
    pub fn has_method(&self, method: Method) -> bool {
        self.methods().any(|name| name == method.name())
    }

    /// The SASL mechanisms that this side would take.
    pub fn mechanisms(&self) -> impl Iterator<Item = &MechanismName> {
        self.mechanisms.iter()
    }

    /// The share of the PAKE, with its suite.
    #[must_use]
    pub fn share(&self) -> Option<(&str, &[u8])> {
        self.pake.as_ref().map(|pake| (pake.suite.as_str(), &pake.share[..]))
    }

    /// The same octets on both sides, whatever prefixes, quotes and order of attributes the servers made of it.
    ///
    /// Four lists follow each other: the fingerprint (none or one item of 32 octets), the names of the methods,
    /// the names of the mechanisms, the PAKE (none, or two items: the suite, the share); names in UTF-8 and in the order of
    /// the element. A list is the number of its items and then the items, an item is its length and then its octets; each
    /// number takes 8 octets, big-endian.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        fn list<'a>(octets: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) {
            let place = octets.len();
            octets.extend_from_slice(&[0; 8]);
            let mut number = 0u64;
            for item in items {
                number += 1;
                octets.extend_from_slice(&(item.len() as u64).to_be_bytes());
                octets.extend_from_slice(item);
            }
            octets[place..][..8].copy_from_slice(&number.to_be_bytes());
        }
        let mut octets = Vec::with_capacity(CANONICAL_USUALLY);
        let fingerprint = self.fingerprint();
        list(&mut octets, fingerprint.iter().map(|fingerprint| &fingerprint.octets()[..]));
        list(&mut octets, self.methods().map(str::as_bytes));
        list(&mut octets, self.mechanisms().map(|name| name.as_str().as_bytes()));
        list(&mut octets, self.share().into_iter().flat_map(|(suite, share)| [suite.as_bytes(), share]));
        octets
    }

    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let fingerprint = |value: Fingerprint| {
            Element::builder("fingerprint", ns::XTLS)
                .attr(xml_ncname!("algo").to_owned(), ALGORITHM)
                .append(value.to_string())
                .build()
        };
        let method = |name: &String| {
            Element::builder("method", ns::XTLS).attr(xml_ncname!("name").to_owned(), name).build()
        };
        let mechanism =
            |name: &MechanismName| Element::builder("mechanism", ns::E2E).append(name.as_str()).build();
        let pake = |pake: &Pake| {
            Element::builder("pake", ns::E2E)
                .attr(xml_ncname!("suite").to_owned(), &pake.suite)
                .append(Base64::encode_string(&pake.share))
                .build()
        };
        Element::builder("security", ns::XTLS)
            .append_all(self.fingerprint.map(fingerprint))
            .append_all(self.methods.iter().map(method))
            .append_all(self.mechanisms.iter().map(mechanism))
            .append_all(self.pake.as_ref().map(pake))
            .build()
    }

    /// Parses strictly. There is a PAKE where its method is named, and nowhere else.
    ///
    /// # Errors
    /// [`rules::BAD_SECURITY`]; [`crate::mechanism::rules::BAD_NAME`].
    pub fn from_element(element: &Element) -> Result<Self> {
        let security = Reader::new(element, "security", ns::XTLS, &rules::BAD_SECURITY)?;
        security.only_attributes(&[])?;
        let (mut fingerprint, mut methods, mut mechanisms, mut pake) = (None, Vec::new(), Vec::new(), None);
        for child in security.children()? {
            let part = security.child(child);
            if child.is("fingerprint", ns::XTLS) {
                security.once(&mut fingerprint, "fingerprint", read_fingerprint(part)?)?;
            } else if child.is("method", ns::XTLS) {
                part.only_attributes(&["name"])?;
                part.no_text()?;
                part.no_children()?;
                methods.push(part.attribute("name")?.to_owned());
            } else if child.is("mechanism", ns::E2E) {
                part.only_attributes(&[])?;
                part.no_children()?;
                mechanisms.push(part.text().parse()?);
            } else if child.is("pake", ns::E2E) {
                security.once(&mut pake, "pake", read_pake(part)?)?;
            } else {
                return Err(security.broken(child.name()));
            }
        }
        let parsed = Self { fingerprint, methods, mechanisms, pake };
        if parsed.has_method(Method::CpacePsk) != parsed.pake.is_some() {
            return Err(security.broken("pake"));
        }
        Ok(parsed)
    }
}

/// Room for the canonical octets of a `<security/>`, so that they need not be moved while they are written.
const CANONICAL_USUALLY: usize = 256;

/// One side's share of a PAKE.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pake {
    suite: String,
    share: Vec<u8>,
}

fn read_pake(pake: Reader<'_>) -> Result<Pake> {
    pake.only_attributes(&["suite"])?;
    pake.no_children()?;
    let share = Base64::decode_vec(&pake.text()).map_err(|_| pake.broken("pake"))?;
    Ok(Pake { suite: pake.attribute("suite")?.to_owned(), share })
}

/// The one hash of fingerprints that is in use.
const ALGORITHM: &str = "sha-256";

fn read_fingerprint(fingerprint: Reader<'_>) -> Result<Fingerprint> {
    fingerprint.only_attributes(&["algo"])?;
    fingerprint.no_children()?;
    match fingerprint.attribute("algo")? {
        ALGORITHM => fingerprint.text().parse().map_err(|_| fingerprint.broken("fingerprint")),
        other => Err(fingerprint.broken(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn security() -> Security {
        let names = ["CPACE-X25519", "SCRAM-SHA-256-PLUS"].map(|name| name.parse().unwrap());
        Security::new(Some(Fingerprint::of(b"")), names)
    }

    fn security_from(inner: &str) -> Result<Security> {
        let text = format!("<security xmlns='urn:xmpp:jingle:security:xtls:0'>{inner}</security>");
        Security::from_element(&text.parse().unwrap())
    }

    fn jingle_from(text: &str) -> Result<Jingle> {
        Jingle::from_element(&text.parse().unwrap())
    }

    #[test]
    fn session_initiate_both_ways() {
        let mut jingle = Jingle::new(Action::SessionInitiate, "k3Zp9QeXw1").with_content(Content::new(
            4096,
            "ib7Tq2",
            security(),
        ));
        jingle.initiator = Some("alice@atlanta.example/lap".parse().unwrap());
        let literal = format!(
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='alice@atlanta.example/lap' \
             sid='k3Zp9QeXw1'><content creator='initiator' name='e2e'>\
             <description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>\
             <transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='ib7Tq2'/>\
             <security xmlns='urn:xmpp:jingle:security:xtls:0'><fingerprint algo='sha-256'>{DIGEST}</fingerprint>\
             <method name='x509'/><mechanism xmlns='urn:countersign:e2e:0'>CPACE-X25519</mechanism>\
             <mechanism xmlns='urn:countersign:e2e:0'>SCRAM-SHA-256-PLUS</mechanism></security></content></jingle>"
        );
        assert_eq!(jingle.to_element(), literal.parse().unwrap());
        assert_eq!(jingle_from(&literal).unwrap(), jingle);
        let offer = jingle.into_offer().unwrap();
        assert_eq!(offer.name, "e2e");
        assert_eq!(offer.transport, Transport::in_band(4096, "ib7Tq2"));
        assert_eq!(offer.security, security());
    }

    #[test]
    fn session_terminate_both_ways() {
        for reason in Reason::ALL {
            let jingle = Jingle::terminate("s1", reason);
            let literal = format!(
                "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'><reason><{}/></reason></jingle>",
                reason.name()
            );
            assert_eq!(jingle.to_element(), literal.parse().unwrap());
            assert_eq!(jingle_from(&literal).unwrap().reason(), Some(reason));
        }
        let unknown = "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'><reason><tired/>\
            <text>zzz</text></reason></jingle>";
        assert_eq!(jingle_from(unknown).unwrap().reason(), Some(Reason::GeneralError));
    }

    #[test]
    fn security_info_and_a_ping_are_read() {
        let info = "<jingle xmlns='urn:xmpp:jingle:1' action='security-info' sid='s1'>\
            <content creator='initiator' name='e2e'><security xmlns='urn:xmpp:jingle:security:xtls:0'>\
            <method name='x509'/></security></content></jingle>";
        let jingle = jingle_from(info).unwrap();
        assert_eq!(jingle.action, Action::SecurityInfo);
        let ping = "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1'/>";
        assert_eq!(jingle_from(ping).unwrap(), Jingle::new(Action::SessionInfo, "s1"));
    }

    #[test]
    fn malformed_jingle_is_refused() {
        for text in [
            "<jingle xmlns='urn:xmpp:jingle:0' action='session-info' sid='s1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='s1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' sid='s1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-info'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1'><content name='e2e'/></jingle>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1'><content creator='x' name='e'/></jingle>",
        ] {
            assert!(jingle_from(text).unwrap_err().is(&rules::MALFORMED), "{text}");
        }
    }

    #[test]
    fn two_security_elements_are_refused() {
        let security = "<security xmlns='urn:xmpp:jingle:security:xtls:0'/>";
        let text = format!(
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'>\
             <content creator='initiator' name='e2e'>{security}{security}</content></jingle>"
        );
        assert!(jingle_from(&text).unwrap_err().is(&rules::MALFORMED));
    }

    #[test]
    fn unknown_children_outside_security_are_ignored() {
        let text = "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1' new='1'><x xmlns='urn:x'/>\
            <content creator='initiator' name='e2e'><y xmlns='urn:y'/></content></jingle>";
        assert_eq!(jingle_from(text).unwrap().contents.len(), 1);
    }

    #[test]
    fn security_is_parsed_strictly() {
        for inner in [
            "<x xmlns='urn:x'/>",
            "<method/>",
            "<method name='x509' strength='0'/>",
            "<method name='x509'><x/></method>",
            "<fingerprint>e3</fingerprint>",
            &format!("<fingerprint algo='sha1'>{DIGEST}</fingerprint>"),
            &format!("<fingerprint algo='sha-256'>{}</fingerprint>", &DIGEST[1..]),
            &format!("<fingerprint algo='sha-256'>{DIGEST}0</fingerprint>"),
            &format!("<fingerprint algo='sha-256'>{}g</fingerprint>", &DIGEST[1..]),
            &format!("<fingerprint algo='sha-256'>{DIGEST}</fingerprint>").repeat(2),
            "text",
        ] {
            assert!(security_from(inner).unwrap_err().is(&rules::BAD_SECURITY), "{inner}");
        }
        let error = security_from("<mechanism xmlns='urn:countersign:e2e:0'>none</mechanism>").unwrap_err();
        assert!(error.is(&mechanism::rules::BAD_NAME));
    }

    #[test]
    fn methods_and_a_share_both_ways() {
        let literal = "<security xmlns='urn:xmpp:jingle:security:xtls:0'>\
            <method name='urn:countersign:e2e:0#cpace-psk'/><method name='urn:countersign:e2e:0#psk'/>\
            <method name='srp'/><pake xmlns='urn:countersign:e2e:0' suite='S'>AQI=</pake></security>";
        let security = Security::new(None, [])
            .with_methods([Method::CpacePsk, Method::Psk, Method::Srp])
            .with_share("S", [1, 2]);
        assert_eq!(security.to_element(), literal.parse().unwrap());
        let read = Security::from_element(&literal.parse().unwrap()).unwrap();
        assert_eq!(read, security);
        assert_eq!(read.share(), Some(("S", &[1, 2][..])));
        assert_eq!(Method::ALL.map(|method| read.has_method(method)), [false, true, true, true]);
    }

    #[test]
    fn a_share_stands_where_its_method_is_named() {
        let pake = "<pake xmlns='urn:countersign:e2e:0' suite='S'>AQI=</pake>";
        let method = "<method name='urn:countersign:e2e:0#cpace-psk'/>";
        assert!(security_from(&format!("{method}{pake}")).is_ok());
        for inner in [
            pake.to_owned(),
            method.to_owned(),
            format!("{method}{pake}{pake}"),
            format!("{method}<pake xmlns='urn:countersign:e2e:0'>AQI=</pake>"),
            format!("{method}<pake xmlns='urn:countersign:e2e:0' suite='S'>AQ=I</pake>"),
            format!("{method}<pake xmlns='urn:countersign:e2e:0' suite='S' x='y'>AQI=</pake>"),
            format!("{method}<pake xmlns='urn:countersign:e2e:0' suite='S'><x/></pake>"),
        ] {
            assert!(security_from(&inner).unwrap_err().is(&rules::BAD_SECURITY), "{inner}");
        }
    }

    #[test]
    fn a_bad_security_inside_jingle_keeps_its_rule() {
        let text = "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'>\
            <content creator='initiator' name='e2e'><security xmlns='urn:xmpp:jingle:security:xtls:0'><x/></security>\
            </content></jingle>";
        assert!(jingle_from(text).unwrap_err().is(&rules::BAD_SECURITY));
    }

    #[test]
    fn fingerprints_are_read_with_colons_and_in_either_case() {
        let pairs =
            DIGEST.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect::<Vec<_>>();
        for text in [DIGEST.to_uppercase(), pairs.join(":"), pairs.join(":").to_uppercase()] {
            let read = security_from(&format!("<fingerprint algo='sha-256'>{text}</fingerprint>")).unwrap();
            assert_eq!(read.fingerprint(), Some(Fingerprint::of(b"")), "{text}");
        }
    }

    #[test]
    fn canonical_octets_are_as_documented() {
        let names = ["A", "BC"].map(|name| name.parse().unwrap());
        let mut expected = vec![0; 7];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 1, b'A']);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2, b'B', b'C']);
        let none = [0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Security::new(None, names.clone()).canonical(), [&expected[..], &none].concat());
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 1, b'S']);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2, 7, 8]);
        assert_eq!(Security::new(None, names).with_share("S", [7, 8]).canonical(), expected);
    }

    #[test]
    fn canonical_octets_survive_rewriting_and_show_every_edit() {
        let own = security();
        let rewritten = format!(
            "<t:security xmlns:t='urn:xmpp:jingle:security:xtls:0' xmlns:c='urn:countersign:e2e:0'>\n \
             <t:fingerprint algo=\"sha-256\">{}</t:fingerprint><t:method name=\"&#120;509\"></t:method>\
             <c:mechanism>CPACE-X25519</c:mechanism><c:mechanism>SCRAM-SHA-256-PLUS</c:mechanism></t:security>",
            DIGEST.to_uppercase()
        );
        let same = Security::from_element(&rewritten.parse().unwrap()).unwrap();
        assert_eq!(same.canonical(), own.canonical());
        let names =
            |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<MechanismName>>();
        let print = Some(Fingerprint::of(b""));
        for edited in [
            Security::new(None, names(&["CPACE-X25519", "SCRAM-SHA-256-PLUS"])),
            Security::new(Some(Fingerprint::of(b"x")), names(&["CPACE-X25519", "SCRAM-SHA-256-PLUS"])),
            Security::new(print, names(&["CPACE-X25519"])),
            Security::new(print, names(&["SCRAM-SHA-256-PLUS", "CPACE-X25519"])),
            Security { methods: vec![], ..own.clone() },
            own.clone().with_share("S", [7]),
        ] {
            assert_ne!(edited.canonical(), own.canonical(), "{edited:?}");
        }
    }

    #[test]
    fn offers_need_all_their_parts() {
        let full = Content::new(4096, "s", security());
        let with =
            |content: Content| Jingle::new(Action::SessionInitiate, "s1").with_content(content).into_offer();
        assert!(with(full.clone()).is_ok());
        let none = Jingle::new(Action::SessionInitiate, "s1");
        assert!(none.clone().into_offer().unwrap_err().is(&rules::OTHER_CONTENT));
        let two = none.with_content(full.clone()).with_content(full.clone());
        assert!(two.into_offer().unwrap_err().is(&rules::OTHER_CONTENT));
        let other = Content { description: None, ..full.clone() };
        assert!(with(other).unwrap_err().is(&rules::OTHER_APPLICATION));
        let other = Content { transport: None, ..full.clone() };
        assert!(with(other).unwrap_err().is(&rules::OTHER_TRANSPORT));
        let mut other = full.clone();
        if let Some(Transport::InBand(transport)) = &mut other.transport {
            transport.stanza = Stanza::Message;
        }
        assert!(with(other).unwrap_err().is(&rules::OTHER_TRANSPORT));
        let other = Content { security: None, ..full };
        assert!(with(other).unwrap_err().is(&rules::SECURITY_MISSING));
    }
}
