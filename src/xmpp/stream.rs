//! XML streams (RFC 6120 section 4): an incremental parser, and the writer's side. For the stream inside a tunnel as
//! well as for one between a client and its server.

use jid::{FullJid, Jid};
use minidom::{Element, Node};
use rxml::error::EndOrError;
use rxml::{Namespace, NcNameStr, Parse, XMLNS_XML, XMLNS_XMLNS, XmlVersion};

use crate::error::{Error, ErrorKind, Result, Rule};

use super::{Limits, ns};

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not well-formed XML, or XML that XMPP forbids.
    pub static NOT_WELL_FORMED: Rule = Rule {
        id: "stream-not-well-formed",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 sections 4.9.3.13 and 11.1",
        what: "the stream is not well-formed XML, or holds what XMPP forbids (comment, instruction, DTD, entity)",
        advice: "The other end is broken or is no XMPP program at all.",
    };
    /// The first element is not a stream header of version 1.0.
    pub static BAD_HEADER: Rule = Rule {
        id: "stream-bad-header",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 sections 4.7 and 4.8",
        what: "the stream does not begin with a header of XMPP 1.0",
        advice: "The other end is broken or is no XMPP program at all.",
    };
    /// Text between stanzas.
    pub static TEXT_BETWEEN: Rule = Rule {
        id: "stream-text-between",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 section 4.9.3.1",
        what: "the stream holds text outside of stanzas",
        advice: "The other end is broken; report it to its authors.",
    };
    /// An element in no namespace.
    pub static NO_NAMESPACE: Rule = Rule {
        id: "stream-no-namespace",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120 section 4.8",
        what: "the stream holds an element in no namespace",
        advice: "The other end is broken; report it to its authors.",
    };
    /// A stanza above the limit.
    pub static STANZA_TOO_LARGE: Rule = Rule {
        id: "stream-stanza-too-large",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 6120 section 4.9.3.14",
        what: "a stanza is larger than allowed",
        advice: "Raise the limit on both sides, or send less at once.",
    };
    /// Too many levels of elements.
    pub static TOO_DEEP: Rule = Rule {
        id: "stream-too-deep",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "a stanza nests its elements deeper than allowed",
        advice: "Raise the limit, if the application really needs such stanzas.",
    };
    /// An element that cannot be written.
    pub static NOT_WRITABLE: Rule = Rule {
        id: "stream-not-writable",
        kind: ErrorKind::Misuse,
        source: "RFC 6120 section 11",
        what: "the stanza holds characters or names that XML cannot carry",
        advice: "Remove control characters from the text.",
    };
}

/// A stream header, version 1.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Who speaks.
    pub from: Option<Jid>,
    /// To whom.
    pub to: Option<Jid>,
    /// Of the answering side: an unpredictable identifier.
    pub id: Option<String>,
}

impl Header {
    /// A header with neither address nor identifier.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who speaks.
    #[must_use]
    pub fn with_from(mut self, from: impl Into<Jid>) -> Self {
        self.from = Some(from.into());
        self
    }

    /// Sets to whom.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<Jid>) -> Self {
        self.to = Some(to.into());
        self
    }

    /// Sets the identifier.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The opening tag, with the default namespace `jabber:client`.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let attributes = [
            ("from", self.from.as_ref().map(Jid::as_str)),
            ("to", self.to.as_ref().map(Jid::as_str)),
            ("id", self.id.as_deref()),
            ("version", Some("1.0")),
        ];
        let mut tag = Vec::with_capacity(WRITTEN_USUALLY);
        tag.extend_from_slice(b"<stream:stream xmlns='");
        tag.extend_from_slice(ns::CLIENT.as_bytes());
        tag.extend_from_slice(b"' xmlns:stream='");
        tag.extend_from_slice(ns::STREAM.as_bytes());
        tag.push(b'\'');
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            tag.push(b' ');
            tag.extend_from_slice(name.as_bytes());
            tag.extend_from_slice(b"='");
            for c in value.chars() {
                match c {
                    '\'' => tag.extend_from_slice(b"&apos;"),
                    '<' => tag.extend_from_slice(b"&lt;"),
                    '&' => tag.extend_from_slice(b"&amp;"),
                    c => tag.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            tag.push(b'\'');
        }
        tag.push(b'>');
        tag
    }

    fn parse(root: &Element, expected: &[Jid]) -> Result<Self> {
        let one = root.attr("version").is_some_and(|version| version.starts_with("1."));
        if !root.is("stream", ns::STREAM) || !one {
            return Err(Error::new(&rules::BAD_HEADER));
        }
        let parse = |text: &str| {
            let known = expected.iter().find(|jid| jid.as_str() == text);
            known.map_or_else(|| Jid::new(text), |jid| Ok(jid.clone()))
        };
        let jid = |name| {
            let parsed = root.attr(name).map(parse).transpose();
            parsed.map_err(|_| Error::new(&rules::BAD_HEADER).about(name))
        };
        Ok(Self { from: jid("from")?, to: jid("to")?, id: root.attr("id").map(str::to_owned) })
    }
}

/// Room for a header or for a small stanza, so that its octets need not be moved while it is written.
const WRITTEN_USUALLY: usize = 512;

/// The closing tag.
pub const CLOSE: &[u8] = b"</stream:stream>";

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "a stream has a header, children and an end")]
pub enum Item {
    /// The opening tag.
    Header(Header),
    /// A child of the root: a stanza, features, a SASL element, an error.
    Element(Element),
    /// The closing tag.
    Close,
}

/// An incremental parser for one stream. After a restart (TLS, SASL) take a new one.
pub struct Parser {
    xml: rxml::Parser,
    /// The elements that are open, the root not among them.
    open: Vec<Element>,
    in_stream: bool,
    /// Addresses that the header will probably hold.
    expected: Vec<Jid>,
    /// Octets taken, octets that make up the events so far, and the value of the latter when no element was open.
    taken: u64,
    parsed: u64,
    complete: u64,
    stanza_max: usize,
    depth_max: usize,
    failed: Option<Error>,
}

impl Parser {
    /// A parser that expects a header.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            xml: rxml::Parser::default(),
            open: Vec::new(),
            in_stream: false,
            expected: Vec::new(),
            taken: 0,
            parsed: 0,
            complete: 0,
            stanza_max: limits.stanza,
            depth_max: limits.depth,
            failed: None,
        }
    }

    /// Spares the preparation of the addresses in the header, where they are these, letter by letter.
    pub(super) fn expecting(mut self, addresses: [&FullJid; 2]) -> Self {
        self.expected = addresses.map(|address| address.clone().into()).into();
        self
    }

    /// Sets other limits for what comes from now on.
    pub(super) fn limit(&mut self, limits: &Limits) {
        self.stanza_max = limits.stanza;
        self.depth_max = limits.depth;
    }

    /// Takes octets from the front of `octets` until one item is complete; `None` when they are used up. What is left
    /// over may belong to the stream after a restart, or to TLS. Call again until it gives `None`.
    ///
    /// # Errors
    /// One of [`rules`]; every error is final and comes again with every further call.
    pub fn read(&mut self, octets: &mut &[u8]) -> Result<Option<Item>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance(octets).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance(&mut self, octets: &mut &[u8]) -> Result<Option<Item>> {
        loop {
            // At most one octet above the limit is looked at, so nothing beyond it is ever stored.
            let used = self.taken - self.complete;
            let room = (self.stanza_max as u64).saturating_add(1).saturating_sub(used);
            let front = octets.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let mut window = &octets[..front];
            let event = self.xml.parse(&mut window, false);
            let consumed = front - window.len();
            *octets = &octets[consumed..];
            self.taken += consumed as u64;
            if self.taken - self.complete > self.stanza_max as u64 {
                return Err(Error::exceeds(
                    &rules::STANZA_TOO_LARGE,
                    self.taken - self.complete,
                    self.stanza_max as u64,
                ));
            }
            match event {
                Ok(Some(event)) => {
                    self.parsed += event.metrics().len() as u64;
                    let item = self.event(event)?;
                    if self.open.is_empty() {
                        self.complete = self.parsed;
                    }
                    if item.is_some() {
                        return Ok(item);
                    }
                }
                Err(EndOrError::NeedMoreData) if octets.is_empty() => return Ok(None),
                Err(EndOrError::NeedMoreData) => {}
                Ok(None) => return Ok(None),
                Err(EndOrError::Error(error)) => {
                    return Err(Error::new(&rules::NOT_WELL_FORMED).about(error.to_string()));
                }
            }
        }
    }

    fn event(&mut self, event: rxml::Event) -> Result<Option<Item>> {
        match event {
            rxml::Event::XmlDeclaration(_, XmlVersion::V1_0) => Ok(None),
            rxml::Event::StartElement(_, (namespace, name), attributes) => {
                if namespace == Namespace::NONE {
                    return Err(Error::new(&rules::NO_NAMESPACE).about(name.as_str()));
                }
                let mut element = Element::bare(name.as_str(), namespace.as_str());
                *element.attrs_mut() = attributes;
                if !self.in_stream {
                    self.in_stream = true;
                    return Header::parse(&element, &self.expected).map(|header| Some(Item::Header(header)));
                }
                if self.open.len() >= self.depth_max {
                    return Err(Error::exceeds(
                        &rules::TOO_DEEP,
                        self.open.len() as u64 + 1,
                        self.depth_max as u64,
                    ));
                }
                self.open.push(element);
                Ok(None)
            }
            rxml::Event::Text(_, text) => match self.open.last_mut() {
                Some(element) => {
                    element.append_text(text);
                    Ok(None)
                }
                None if xso::is_xml_whitespace(&text) => Ok(None),
                None => Err(Error::new(&rules::TEXT_BETWEEN)),
            },
            rxml::Event::EndElement(_) => {
                let Some(element) = self.open.pop() else { return Ok(Some(Item::Close)) };
                match self.open.last_mut() {
                    Some(parent) => {
                        parent.append_child(element);
                        Ok(None)
                    }
                    None => Ok(Some(Item::Element(element))),
                }
            }
        }
    }
}

/// The octets of an element.
///
/// # Errors
/// [`rules::NOT_WRITABLE`].
pub fn to_octets(element: &Element) -> Result<Vec<u8>> {
    let mut writer =
        Writer { octets: Vec::with_capacity(WRITTEN_USUALLY), has_prefix: element.has_ns(ns::STREAM) };
    writer.element(element, None).ok_or_else(|| Error::new(&rules::NOT_WRITABLE))?;
    Ok(writer.octets)
}

/// Writes elements in the form that streams have: default namespaces, and prefixes only where XML or a reader needs
/// them. `None` for what XML cannot carry.
struct Writer {
    octets: Vec<u8>,
    /// The root declares `stream:`, a prefix that some readers look for.
    has_prefix: bool,
}

impl Writer {
    /// An element inside of one with this name as default namespace.
    fn element(&mut self, element: &Element, parent: Option<&str>) -> Option<()> {
        let name = <&NcNameStr>::try_from(element.name()).ok()?;
        let namespace = element.ns();
        let prefix = match namespace.as_str() {
            XMLNS_XMLNS => return None,
            XMLNS_XML => "xml:",
            ns::STREAM if self.has_prefix => "stream:",
            _ => "",
        };
        let default = if prefix.is_empty() { Some(namespace.as_str()) } else { parent };
        self.octets.push(b'<');
        self.name(prefix, name);
        if default.unwrap_or_default() != parent.unwrap_or_default() {
            self.attribute("", "xmlns", &namespace)?;
        }
        if parent.is_none() && self.has_prefix {
            self.attribute("xmlns:", "stream", ns::STREAM)?;
        }
        self.attributes(element)?;
        let mut nodes = element.nodes().peekable();
        if nodes.peek().is_none() {
            self.octets.extend_from_slice(b"/>");
            return Some(());
        }
        self.octets.push(b'>');
        for node in nodes {
            match node {
                Node::Element(child) => self.element(child, Some(default.unwrap_or_default()))?,
                Node::Text(text) => self.text(text, false)?,
            }
        }
        self.octets.extend_from_slice(b"</");
        self.name(prefix, name);
        self.octets.push(b'>');
        Some(())
    }

    fn attributes(&mut self, element: &Element) -> Option<()> {
        let mut declared = None;
        let mut prefix = String::new();
        for ((namespace, name), value) in element.attrs() {
            match &**namespace {
                "" => self.attribute("", name, value)?,
                XMLNS_XML => self.attribute("xml:", name, value)?,
                XMLNS_XMLNS => return None,
                // Those of one namespace follow each other.
                other => {
                    if declared != Some(other) {
                        prefix = format!("{prefix}a");
                        self.attribute("xmlns:", &prefix, other)?;
                        declared = Some(other);
                    }
                    self.attribute(&format!("{prefix}:"), name, value)?;
                }
            }
        }
        Some(())
    }

    fn attribute(&mut self, prefix: &str, name: &str, value: &str) -> Option<()> {
        self.octets.push(b' ');
        self.name(prefix, name);
        self.octets.extend_from_slice(b"='");
        self.text(value, true)?;
        self.octets.push(b'\'');
        Some(())
    }

    fn name(&mut self, prefix: &str, name: &str) {
        self.octets.extend_from_slice(prefix.as_bytes());
        self.octets.extend_from_slice(name.as_bytes());
    }

    /// Text, or the value of an attribute, where a reader would make spaces of line breaks.
    fn text(&mut self, text: &str, is_value: bool) -> Option<()> {
        let mut rest = text.as_bytes();
        while let Some(place) = first_special(rest) {
            let (plain, special) = rest.split_at(place);
            self.octets.extend_from_slice(plain);
            let escaped: &[u8] = match special {
                [b'<', ..] => b"&lt;",
                [b'>', ..] => b"&gt;",
                [b'&', ..] => b"&amp;",
                [b'\r', ..] => b"&#xd;",
                [b'\'', ..] if is_value => b"&apos;",
                [b'\t', ..] if is_value => b"&#x9;",
                [b'\n', ..] if is_value => b"&#xa;",
                // U+FFFE and U+FFFF.
                [0xef, 0xbf, 0xbe | 0xbf, ..] => return None,
                [octet @ (b'\t' | b'\n' | b'\'' | b'"' | 0xef), ..] => std::slice::from_ref(octet),
                _ => return None,
            };
            self.octets.extend_from_slice(escaped);
            rest = &special[1..];
        }
        self.octets.extend_from_slice(rest);
        Some(())
    }
}

/// The first octet that cannot be written as it is everywhere.
fn first_special(octets: &[u8]) -> Option<usize> {
    let is_special = |octet: &u8| matches!(octet, ..b' ' | b'<' | b'>' | b'&' | b'\'' | b'"' | 0xef);
    // Blocks are long and hold none: to look at all octets of a part takes the processor a few steps, one by one many.
    const PART: usize = 64;
    let has_special = |part: &&[u8]| part.iter().fold(false, |found, octet| found | is_special(octet));
    let plain = PART * octets.chunks_exact(PART).take_while(|part| !has_special(part)).count();
    octets[plain..].iter().position(is_special).map(|place| plain + place)
}

/// A stream error with one of the conditions of RFC 6120 section 4.9.3.
#[must_use]
pub fn error(condition: &str) -> Element {
    Element::builder("error", ns::STREAM).append(Element::bare(condition, ns::STREAM_ERRORS)).build()
}

/// The condition of a stream error; `None` when the element is none.
#[must_use]
pub fn error_condition(element: &Element) -> Option<&str> {
    element.is("error", ns::STREAM).then(|| {
        let condition =
            element.children().find(|child| child.has_ns(ns::STREAM_ERRORS) && child.name() != "text");
        condition.map_or("undefined-condition", Element::name)
    })
}

/// The condition that tells the peer about a broken rule of this module.
#[must_use]
pub fn condition(error: &Error) -> &'static str {
    if error.is(&rules::BAD_HEADER) {
        "invalid-namespace"
    } else if error.is(&rules::STANZA_TOO_LARGE) || error.is(&rules::TOO_DEEP) {
        "policy-violation"
    } else if error.is(&rules::TEXT_BETWEEN) || error.is(&rules::NO_NAMESPACE) {
        "bad-format"
    } else {
        "not-well-formed"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "<stream:stream xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

    fn parse(text: &str) -> Result<Vec<Item>> {
        parse_within(text, &Limits::default())
    }

    fn parse_within(text: &str, limits: &Limits) -> Result<Vec<Item>> {
        let mut parser = Parser::new(limits);
        let mut octets = text.as_bytes();
        let mut items = Vec::new();
        while let Some(item) = parser.read(&mut octets)? {
            items.push(item);
        }
        assert!(octets.is_empty());
        Ok(items)
    }

    fn broken(body: &str) -> Error {
        parse(&format!("{HEADER}{body}")).unwrap_err()
    }

    #[test]
    fn what_is_special_is_found_at_every_place_of_a_long_text() {
        for length in [1, 63, 64, 65, 128, 200] {
            let plain = vec![b'x'; length];
            assert_eq!(first_special(&plain), None);
            for place in 0..length {
                for special in [b'<', b'&', b'>', b'\'', b'"', b'\n', 0, 0x1f, 0xef] {
                    let mut octets = plain.clone();
                    octets[place] = special;
                    assert_eq!(first_special(&octets), Some(place), "{special} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn header_both_ways() {
        let header = Header::new()
            .with_from("a@x/1".parse::<Jid>().unwrap())
            .with_to("b@y/'<&>\"".parse::<Jid>().unwrap())
            .with_id("q8W2");
        let octets = header.to_octets();
        assert_eq!(
            std::str::from_utf8(&octets).unwrap(),
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='a@x/1' \
             to='b@y/&apos;&lt;&amp;>\"' id='q8W2' version='1.0'>"
        );
        assert_eq!(parse(std::str::from_utf8(&octets).unwrap()).unwrap(), [Item::Header(header)]);
    }

    #[test]
    fn a_whole_stream() {
        let items = parse(&format!(
            "<?xml version='1.0'?>{HEADER} \n<message to='b@y'><body>a&amp;<![CDATA[<b>]]></body></message>\
             <stream:features/></stream:stream>"
        ))
        .unwrap();
        let message = "<message xmlns='jabber:client' to='b@y'><body>a&amp;&lt;b></body></message>";
        assert_eq!(
            items,
            [
                Item::Header(Header::new()),
                Item::Element(message.parse().unwrap()),
                Item::Element(Element::bare("features", ns::STREAM)),
                Item::Close
            ]
        );
    }

    #[test]
    fn an_element_comes_with_its_last_octet() {
        let mut parser = Parser::new(&Limits::default());
        assert!(parser.read(&mut HEADER.as_bytes()).unwrap().is_some());
        assert!(parser.read(&mut &b"<iq/"[..]).unwrap().is_none());
        let mut rest = &b"><more"[..];
        assert!(matches!(parser.read(&mut rest).unwrap(), Some(Item::Element(_))));
        assert_eq!(rest, b"<more");
    }

    #[test]
    fn what_follows_an_item_is_left_alone() {
        let mut parser = Parser::new(&Limits::default());
        let text = format!("{HEADER}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01");
        let mut octets = text.as_bytes();
        parser.read(&mut octets).unwrap();
        parser.read(&mut octets).unwrap();
        assert_eq!(octets, b"\x16\x03\x01");
    }

    #[test]
    fn comments_instructions_and_dtds_are_refused() {
        for body in ["<!-- x -->", "<?php ?>", "<a xmlns='x'><!-- --></a>", "&lol;", "<a xmlns='x'>&lol;</a>"]
        {
            assert!(broken(body).is(&rules::NOT_WELL_FORMED), "{body}");
        }
        let dtd = format!("<!DOCTYPE stream [<!ENTITY lol 'lol'>]>{HEADER}");
        assert!(parse(&dtd).unwrap_err().is(&rules::NOT_WELL_FORMED));
    }

    #[test]
    fn malformed_xml_is_refused() {
        for body in ["<a>", "<a b='1' b='2'/>", "<x:a/>", "<a></b>", "<a b=1/>", "\u{0}", "<a>&#0;</a>"] {
            let end = "</stream:stream>";
            assert!(broken(&format!("{body}{end}")).is(&rules::NOT_WELL_FORMED), "{body}");
        }
    }

    #[test]
    fn a_second_root_is_refused() {
        assert!(broken("</stream:stream><a/>").is(&rules::NOT_WELL_FORMED));
    }

    #[test]
    fn text_between_stanzas_is_refused() {
        for body in ["x<iq/>", "<iq/>x<iq/>", "<![CDATA[x]]><iq/>"] {
            assert!(broken(body).is(&rules::TEXT_BETWEEN), "{body}");
        }
    }

    #[test]
    fn elements_in_no_namespace_are_refused() {
        assert!(broken("<iq xmlns=''/>").is(&rules::NO_NAMESPACE));
        assert!(broken("<iq><a xmlns=''/></iq>").is(&rules::NO_NAMESPACE));
    }

    #[test]
    fn bad_headers_are_refused() {
        for text in [
            "<stream xmlns='jabber:client' version='1.0'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='2.0'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='@'>",
            "<html xmlns='http://www.w3.org/1999/xhtml'>",
        ] {
            assert!(parse(text).unwrap_err().is(&rules::BAD_HEADER), "{text}");
        }
    }

    #[test]
    fn an_error_is_final() {
        let mut parser = Parser::new(&Limits::default());
        let mut octets = &b"<!-- "[..];
        assert!(parser.read(&mut octets).is_err());
        let mut octets = HEADER.as_bytes();
        assert!(parser.read(&mut octets).unwrap_err().is(&rules::NOT_WELL_FORMED));
    }

    #[test]
    fn stanza_size_is_limited_exactly() {
        let limits = Limits::default().with_stanza(300);
        let of = |size: usize| format!("<message>{}</message>", "x".repeat(size - 19));
        let at = format!("{HEADER}  {0}\n{0}", of(300));
        assert_eq!(parse_within(&at, &limits).unwrap().len(), 3);
        let above = format!("{HEADER}  {}\n{}", of(300), of(301));
        let error = parse_within(&above, &limits).unwrap_err();
        assert!(error.is(&rules::STANZA_TOO_LARGE));
        assert_eq!(error.numbers(), Some((301, 300)));
    }

    #[test]
    fn many_attributes_count_towards_the_size() {
        let limits = Limits::default().with_stanza(1000);
        let attributes = (0..1000).map(|i| format!(" a{i}=''")).collect::<String>();
        let error = parse_within(&format!("{HEADER}<message{attributes}"), &limits).unwrap_err();
        assert!(error.is(&rules::STANZA_TOO_LARGE));
    }

    #[test]
    fn depth_is_limited_exactly() {
        let limits = Limits::default().with_depth(3);
        let of = |depth: usize| format!("{HEADER}{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(parse_within(&of(3), &limits).unwrap().len(), 2);
        let error = parse_within(&of(4), &limits).unwrap_err();
        assert!(error.is(&rules::TOO_DEEP));
        assert_eq!(error.numbers(), Some((4, 3)));
    }

    #[test]
    fn stream_errors_both_ways() {
        let element = error("not-authorized");
        let text = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
            <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert_eq!(element, text.parse().unwrap());
        assert_eq!(to_octets(&element).unwrap(), text.as_bytes());
        assert_eq!(error_condition(&element), Some("not-authorized"));
        assert_eq!(error_condition(&Element::bare("error", ns::CLIENT)), None);
    }

    #[test]
    fn elements_are_written_with_their_namespaces() {
        let text = "<iq xmlns='jabber:client' id='&lt;1'><q xmlns='urn:x'><r/>&amp;</q></iq>";
        let octets = to_octets(&text.parse().unwrap()).unwrap();
        assert_eq!(std::str::from_utf8(&octets).unwrap(), text);
    }

    #[test]
    fn attributes_keep_their_namespaces_and_their_white_space() {
        let text = "<iq xmlns='jabber:client' a='&lt;&amp;&gt;&apos;\"&#x9;&#xa;&#xd;' xml:lang='en' xmlns:a='urn:1' \
            a:b='1' a:c='2' xmlns:aa='urn:2' aa:b='3'><q xmlns=''><r xmlns='jabber:client'/></q>&#xd;\n'\"\u{fffd}</iq>";
        let element = text.parse::<Element>().unwrap();
        let octets = to_octets(&element).unwrap();
        let written = std::str::from_utf8(&octets).unwrap();
        assert_eq!(written.parse::<Element>().unwrap(), element);
        assert_eq!(written.len(), text.len());
    }

    #[test]
    fn a_prefix_is_inherited() {
        let text = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><a xmlns='urn:x'><stream:b>\
            <c/></stream:b></a></stream:features>";
        assert_eq!(to_octets(&text.parse().unwrap()).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_xml_cannot_carry_is_not_written() {
        let with = |text: &str| {
            let mut element = Element::bare("message", ns::CLIENT);
            element.append_text(text);
            element
        };
        for element in [
            with("\u{1}"),
            with("\u{1f}"),
            with("x\u{fffe}"),
            with("\u{ffff}"),
            Element::bare("a b", ns::CLIENT),
            Element::bare("", ns::CLIENT),
            Element::bare("a", XMLNS_XMLNS),
        ] {
            assert!(to_octets(&element).unwrap_err().is(&rules::NOT_WRITABLE));
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_items(cuts in proptest::collection::vec(0usize..400, 0..40)) {
            let text = format!(
                "<?xml version='1.0'?>{HEADER}<message to='b@y'><body>gr\u{fc}n &amp; \u{1f600}</body></message> \n\
                 <iq type='get' id='1'><q xmlns='urn:x' y:z='1' xmlns:y='urn:y'/></iq></stream:stream>"
            );
            let whole = parse(&text).unwrap();
            let mut cuts = cuts.into_iter().map(|cut| cut.min(text.len())).collect::<Vec<_>>();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::new(&Limits::default());
            let mut items = Vec::new();
            for pair in cuts.windows(2) {
                let mut part = &text.as_bytes()[pair[0]..pair[1]];
                while let Some(item) = parser.read(&mut part).unwrap() {
                    items.push(item);
                }
            }
            prop_assert_eq!(items, whole);
        }

        #[test]
        fn garbage_never_panics(garbage in proptest::collection::vec(any::<u8>(), 0..200), inside: bool) {
            let mut parser = Parser::new(&Limits::default());
            if inside {
                parser.read(&mut HEADER.as_bytes()).unwrap();
            }
            let mut octets = &garbage[..];
            while let Ok(Some(_)) = parser.read(&mut octets) {}
        }

        #[test]
        fn what_was_parsed_can_be_written_and_parsed_again(text in "[<>/a-c='\" :&;x]{0,60}") {
            if let Ok(items) = parse(&format!("{HEADER}{text}")) {
                for item in items {
                    if let Item::Element(element) = item {
                        let octets = to_octets(&element).unwrap();
                        let again = parse(&format!("{HEADER}{}", std::str::from_utf8(&octets).unwrap())).unwrap();
                        prop_assert_eq!(&again[1], &Item::Element(element));
                    }
                }
            }
        }
    }
}
