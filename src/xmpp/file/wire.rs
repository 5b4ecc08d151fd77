//! The elements of a transfer, each the only child of a message.

use std::num::NonZeroU32;

use base64ct::{Base64, Encoding};
use minidom::Element;

use crate::error::{Error, Result};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::ns;
use crate::xmpp::xml::{Reader, attributes};

use super::{FileHash, rules};

/// Number of a transfer: one direction of a tunnel counts upwards.
pub(super) type Id = NonZeroU32;

/// An element of our namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Id,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Offer {
        /// As it came: no [`FileName`](super::FileName) yet.
        name: String,
        size: u64,
        hash: FileHash,
    },
    Accept(Held),
    /// The octet that comes next.
    Begin(u64),
    End,
    Abort,
    Stored,
    /// The name of the reason, which may be one that we do not know.
    Refuse(String),
}

/// What a receiver has from an earlier attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) octets: u64,
    /// Of these octets; there where there are any.
    pub(super) hash: Option<FileHash>,
}

impl Message {
    pub(super) fn to_stanza(&self) -> Element {
        let mut element = Element::bare(self.body.name(), ns::FILE);
        set_attribute(&mut element, "id", &self.id.to_string());
        match &self.body {
            Body::Offer { name, size, hash } => {
                let text = |tag, text: &str| Element::builder(tag, ns::FILE_METADATA).append(text).build();
                let file = Element::builder("file", ns::FILE_METADATA)
                    .append(text("name", name))
                    .append(text("size", &size.to_string()))
                    .append(hash_element(hash));
                element.append_child(file.build());
            }
            Body::Accept(held) => {
                set_attribute(&mut element, "offset", &held.octets.to_string());
                if let Some(hash) = &held.hash {
                    element.append_child(hash_element(hash));
                }
            }
            Body::Begin(offset) => set_attribute(&mut element, "offset", &offset.to_string()),
            Body::End | Body::Abort | Body::Stored => {}
            Body::Refuse(reason) => {
                element.append_child(Element::bare(reason, ns::FILE));
            }
        }
        Element::builder("message", ns::CLIENT).append(element).build()
    }

    /// What a stanza holds, if it belongs to a transfer.
    pub(super) fn read(stanza: &Element) -> Result<Option<Self>> {
        if !stanza.children().any(|child| child.has_ns(ns::FILE)) {
            return Ok(None);
        }
        let message = Reader::new(stanza, "message", ns::CLIENT, &rules::MALFORMED)?;
        let mut children = message.children()?;
        let (Some(element), None) = (children.next(), children.next()) else {
            return Err(message.broken("message"));
        };
        if attributes(stanza, ["type"]) == [Some("error")] {
            return Err(message.broken("error"));
        }
        let reader = message.child(element);
        let id = number(&reader, "id")?;
        let id = u32::try_from(id).ok().and_then(Id::new).ok_or_else(|| reader.broken("id"))?;
        let body = match element.name() {
            "offer" => {
                reader.only_attributes(&["id"])?;
                offer(&reader)?
            }
            "accept" => {
                reader.only_attributes(&["id", "offset"])?;
                let mut hash = None;
                for child in reader.children()? {
                    if !child.is("hash", ns::HASHES) {
                        return Err(reader.broken(child.name()));
                    }
                    reader.once(&mut hash, "hash", sha_256(&reader.child(child))?)?;
                }
                let octets = number(&reader, "offset")?;
                // Nothing needs no proof, and something one in SHA-256.
                let hash = hash.flatten();
                if hash.is_some() != (octets > 0) {
                    return Err(reader.broken("hash"));
                }
                Body::Accept(Held { octets, hash })
            }
            "begin" => {
                reader.only_attributes(&["id", "offset"])?;
                empty(&reader)?;
                Body::Begin(number(&reader, "offset")?)
            }
            "refuse" => {
                reader.only_attributes(&["id"])?;
                let mut reason = None;
                for child in reader.children()? {
                    if !child.has_ns(ns::FILE) {
                        return Err(reader.broken("refuse"));
                    }
                    reader.once(&mut reason, "reason", child.name().to_owned())?;
                }
                Body::Refuse(reason.ok_or_else(|| reader.broken("reason"))?)
            }
            "end" => bare(&reader, Body::End)?,
            "abort" => bare(&reader, Body::Abort)?,
            "stored" => bare(&reader, Body::Stored)?,
            other => return Err(message.broken(other)),
        };
        Ok(Some(Self { id, body }))
    }
}

impl Body {
    fn name(&self) -> &'static str {
        match self {
            Self::Offer { .. } => "offer",
            Self::Accept(_) => "accept",
            Self::Begin(_) => "begin",
            Self::End => "end",
            Self::Abort => "abort",
            Self::Stored => "stored",
            Self::Refuse(_) => "refuse",
        }
    }

    /// The breach of the order.
    pub(super) fn out_of_order(&self) -> Error {
        Error::new(&rules::OUT_OF_ORDER).about(self.name())
    }
}

/// XEP-0446 lets programs say more of a file, and XEP-0300 in more hashes; that is passed over.
fn offer(offer: &Reader<'_>) -> Result<Body> {
    let mut file = None;
    for child in offer.children()? {
        if !child.is("file", ns::FILE_METADATA) {
            return Err(offer.broken(child.name()));
        }
        offer.once(&mut file, "file", child)?;
    }
    let file = offer.child(file.ok_or_else(|| offer.broken("file"))?);
    let (mut name, mut size, mut hash) = (None, None, None);
    for child in file.children()? {
        let reader = file.child(child);
        if child.is("name", ns::FILE_METADATA) {
            reader.no_children()?;
            file.once(&mut name, "name", child.text())?;
        } else if child.is("size", ns::FILE_METADATA) {
            reader.no_children()?;
            file.once(&mut size, "size", decimal(&child.text()).ok_or_else(|| file.broken("size"))?)?;
        } else if child.is("hash", ns::HASHES)
            && let Some(value) = sha_256(&reader)?
        {
            file.once(&mut hash, "hash", value)?;
        }
    }
    Ok(Body::Offer {
        name: name.ok_or_else(|| file.broken("name"))?,
        size: size.ok_or_else(|| file.broken("size"))?,
        hash: hash.ok_or_else(|| file.broken("hash"))?,
    })
}

fn hash_element(hash: &FileHash) -> Element {
    let mut element = Element::bare("hash", ns::HASHES);
    set_attribute(&mut element, "algo", "sha-256");
    element.append_text(Base64::encode_string(hash.as_octets()));
    element
}

/// The value of a `<hash/>`, unless it is of another function.
fn sha_256(reader: &Reader<'_>) -> Result<Option<FileHash>> {
    if reader.attribute("algo")? != "sha-256" {
        return Ok(None);
    }
    reader.no_children()?;
    let mut digest = [0; 32];
    match Base64::decode(reader.text().as_bytes(), &mut digest) {
        Ok(octets) if octets.len() == 32 => Ok(Some(FileHash(digest))),
        _ => Err(reader.broken("hash")),
    }
}

fn bare(reader: &Reader<'_>, body: Body) -> Result<Body> {
    reader.only_attributes(&["id"])?;
    empty(reader).map(|()| body)
}

fn empty(reader: &Reader<'_>) -> Result<()> {
    reader.no_text()?;
    reader.no_children()
}

fn number(reader: &Reader<'_>, name: &'static str) -> Result<u64> {
    decimal(reader.attribute(name)?).ok_or_else(|| reader.broken(name))
}

/// Digits as we write them ourselves: no sign, no zero in front.
fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::file::Hasher;

    const HASH: &str = "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>\
                        ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=</hash>";

    fn read(inner: &str) -> Result<Option<Message>> {
        let text = format!("<message xmlns='jabber:client'>{inner}</message>");
        Message::read(&text.parse().unwrap())
    }

    fn element(inner: &str) -> String {
        inner.replacen("/>", " xmlns='urn:countersign:file:0'/>", 1)
    }

    fn message(id: u32, body: Body) -> Message {
        Message { id: Id::new(id).unwrap(), body }
    }

    fn file(inner: &str) -> String {
        format!(
            "<offer xmlns='urn:countersign:file:0' id='1'><file xmlns='urn:xmpp:file:metadata:0'>{inner}</file></offer>"
        )
    }

    #[track_caller]
    fn malformed(inner: &str, part: &str) {
        let error = read(inner).unwrap_err();
        assert!(error.is(&rules::MALFORMED), "{error:?}");
        assert_eq!(error.subject(), Some(part), "{inner}");
    }

    #[test]
    fn the_elements_are_these() {
        let hash = Hasher::of(b"abc");
        let name = "a & b".to_owned();
        for (message, text) in [
            (
                message(1, Body::Offer { name, size: 3, hash }),
                file(&format!("<name>a &amp; b</name><size>3</size>{HASH}")),
            ),
            (
                message(2, Body::Accept(Held { octets: 0, hash: None })),
                element("<accept id='2' offset='0'/>"),
            ),
            (
                message(3, Body::Accept(Held { octets: 3, hash: Some(hash) })),
                format!("<accept xmlns='urn:countersign:file:0' id='3' offset='3'>{HASH}</accept>"),
            ),
            (message(4, Body::Begin(u64::MAX)), element("<begin id='4' offset='18446744073709551615'/>")),
            (message(5, Body::End), element("<end id='5'/>")),
            (message(6, Body::Abort), element("<abort id='6'/>")),
            (message(u32::MAX, Body::Stored), element("<stored id='4294967295'/>")),
            (
                message(8, Body::Refuse("exists".into())),
                "<refuse xmlns='urn:countersign:file:0' id='8'><exists/></refuse>".to_owned(),
            ),
        ] {
            let stanza: Element = format!("<message xmlns='jabber:client'>{text}</message>").parse().unwrap();
            assert_eq!(message.to_stanza(), stanza);
            assert_eq!(Message::read(&stanza).unwrap(), Some(message));
        }
    }

    #[test]
    fn what_others_say_of_a_file_is_passed_over() {
        let other = "<hash xmlns='urn:xmpp:hashes:2' algo='sha-512'>zz</hash>";
        let more = "<media-type>text/plain</media-type><x xmlns='urn:other'/>";
        let offer =
            read(&file(&format!("{more}{other}<size>3</size>{HASH}<name>x</name>"))).unwrap().unwrap();
        assert!(matches!(offer.body, Body::Offer { size: 3, .. }));
    }

    #[test]
    fn a_chat_is_no_transfer() {
        for inner in ["", "<body>hi</body>", "<end xmlns='urn:other'/>"] {
            assert_eq!(read(inner).unwrap(), None);
        }
    }

    #[test]
    fn a_message_holds_one_element_and_no_text() {
        let end = element("<end id='1'/>");
        malformed(&format!("{end}{end}"), "message");
        malformed(&format!("{end}<body/>"), "message");
        malformed(&format!("{end}x"), "text");
    }

    #[test]
    fn only_a_message_that_is_no_error_carries_it() {
        for stanza in [
            "<iq xmlns='jabber:client'><end xmlns='urn:countersign:file:0' id='1'/></iq>",
            "<message xmlns='jabber:client' type='error'><end xmlns='urn:countersign:file:0' id='1'/></message>",
        ] {
            assert!(Message::read(&stanza.parse().unwrap()).unwrap_err().is(&rules::MALFORMED));
        }
    }

    #[test]
    fn an_unknown_element_is_refused() {
        malformed(&element("<resume id='1'/>"), "resume");
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        for id in
            ["", "0", "01", "+1", "-1", " 1", "1 ", "1.0", "0x1", "4294967296", "18446744073709551616", "١"]
        {
            malformed(&element(&format!("<end id='{id}'/>")), "id");
        }
        malformed(&element("<end/>"), "id");
        for offset in ["", "00", "+1", "-1", "18446744073709551616"] {
            malformed(&element(&format!("<begin id='1' offset='{offset}'/>")), "offset");
        }
        malformed(&element("<begin id='1'/>"), "offset");
        for size in ["", "03", "-3", "3 ", "3.0"] {
            malformed(&file(&format!("<name>x</name><size>{size}</size>{HASH}")), "size");
        }
    }

    #[test]
    fn attributes_and_children_that_do_not_belong_are_refused() {
        for name in ["end", "abort", "stored"] {
            malformed(&element(&format!("<{name} id='1' offset='0'/>")), "offset");
            malformed(&format!("<{name} xmlns='urn:countersign:file:0' id='1'><x/></{name}>"), "x");
            malformed(&format!("<{name} xmlns='urn:countersign:file:0' id='1'>x</{name}>"), "text");
        }
        malformed(&element("<begin id='1' offset='0' to='9'/>"), "to");
    }

    #[test]
    fn an_offer_is_complete_and_says_everything_once() {
        let (name, size) = ("<name>x</name>", "<size>3</size>");
        malformed(&file(&format!("{size}{HASH}")), "name");
        malformed(&file(&format!("{name}{HASH}")), "size");
        malformed(&file(&format!("{name}{size}")), "hash");
        malformed(&file(&format!("{name}{name}{size}{HASH}")), "name");
        malformed(&file(&format!("{name}{size}{size}{HASH}")), "size");
        malformed(&file(&format!("{name}{size}{HASH}{HASH}")), "hash");
        malformed("<offer xmlns='urn:countersign:file:0' id='1'/>", "file");
        let file = file(&format!("{name}{size}{HASH}"));
        let twice = file.replace("</offer>", "<file xmlns='urn:xmpp:file:metadata:0'/></offer>");
        malformed(&twice, "file");
    }

    #[test]
    fn a_hash_is_32_octets_in_base64() {
        for (from, to) in
            [("YfI", "Yf"), ("IAFa0=", "IAFa0"), ("Fa0=", "Fa1="), ("ung", "un g"), ("ung", "u-g")]
        {
            let broken = HASH.replace(from, to);
            assert_ne!(broken, HASH);
            malformed(&file(&format!("<name>x</name><size>3</size>{broken}")), "hash");
        }
    }

    #[test]
    fn octets_that_are_held_are_proven_and_none_need_no_proof() {
        let accept = |offset: u32, inner: &str| {
            format!("<accept xmlns='urn:countersign:file:0' id='1' offset='{offset}'>{inner}</accept>")
        };
        malformed(&accept(3, ""), "hash");
        malformed(&accept(0, HASH), "hash");
        malformed(&accept(3, &HASH.replace("sha-256", "sha-1")), "hash");
        malformed(&accept(3, &format!("{HASH}{HASH}")), "hash");
        malformed(&accept(3, "<x xmlns='urn:other'/>"), "x");
    }

    #[test]
    fn a_refusal_has_one_reason() {
        let refuse = |inner: &str| format!("<refuse xmlns='urn:countersign:file:0' id='1'>{inner}</refuse>");
        malformed(&refuse(""), "reason");
        malformed(&refuse("<exists/><name/>"), "reason");
        malformed(&refuse("<exists xmlns='urn:other'/>"), "refuse");
    }
}
