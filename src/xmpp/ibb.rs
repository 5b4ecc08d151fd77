//! In-band bytestreams (XEP-0047), sans-I/O: the numbering, sizes and acknowledgements of one open bytestream.
//!
//! The carrier of IQ stanzas is elsewhere; here is what one `<data/>` may hold and when the next may be sent.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use minidom::Element;
use rxml::xml_ncname;
use xmpp_parsers::ibb::Stanza;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, ErrorKind, Result, Rule};

use super::iq::Refusal;
use super::ns;
use super::xml::{self, Reader};

/// Largest block: XEP-0261 types the size as a signed short.
pub const BLOCK_MAX: u16 = 32767;

/// Smallest block that is worth an IQ.
pub const BLOCK_MIN: u16 = 128;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not an IBB element of the right form, or not base64.
    pub static BAD_DATA: Rule = Rule {
        id: "ibb-bad-data",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0047 section 2.2",
        what: "a block of the bytestream is malformed",
        advice: "The peer does not follow the protocol, or a server has edited the stanza.",
    };
    /// More octets than the agreed block size.
    pub static BLOCK_TOO_LARGE: Rule = Rule {
        id: "ibb-block-too-large",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0047 section 2.2",
        what: "a block of the bytestream is larger than agreed",
        advice: "The peer does not follow the protocol.",
    };
    /// A sequence number came twice.
    pub static SEQ_USED: Rule = Rule {
        id: "ibb-seq-used",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0047 section 2.2",
        what: "a block of the bytestream came twice",
        advice: "A server has repeated a stanza, or the peer is broken; open a new session.",
    };
    /// A sequence number is missing.
    pub static SEQ_GAP: Rule = Rule {
        id: "ibb-seq-gap",
        kind: ErrorKind::Truncated,
        source: "XEP-0047 section 2.2",
        what: "a block of the bytestream was lost",
        advice: "A server has dropped a stanza; open a new session.",
    };
    /// No such bytestream.
    pub static UNKNOWN_SID: Rule = Rule {
        id: "ibb-unknown-sid",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0047 section 2.2",
        what: "a stanza names a bytestream that is not open",
        advice: "The peer may have missed that the session is over.",
    };
    /// An `<open/>` with other parameters than the agreed ones.
    pub static OTHER_BLOCK: Rule = Rule {
        id: "ibb-other-block",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0261 section 2",
        what: "the bytestream was opened with other parameters than agreed",
        advice: "The peer does not follow the protocol.",
    };
}

/// Whether an error is about the bytestream itself.
pub(super) fn is_to_blame(error: &Error) -> bool {
    let own = [
        &rules::BAD_DATA,
        &rules::BLOCK_TOO_LARGE,
        &rules::SEQ_USED,
        &rules::SEQ_GAP,
        &rules::UNKNOWN_SID,
        &rules::OTHER_BLOCK,
    ];
    own.into_iter().any(|rule| error.is(rule))
}

/// How to answer a stanza that broke `error`'s rule.
pub(super) fn refusal(error: &Error) -> Refusal {
    let rule = |rule| error.is(rule);
    if rule(&rules::UNKNOWN_SID) {
        Refusal::cancel(DefinedCondition::ItemNotFound)
    } else if rule(&rules::SEQ_USED) || rule(&rules::SEQ_GAP) {
        Refusal::cancel(DefinedCondition::UnexpectedRequest)
    } else if rule(&rules::OTHER_BLOCK) {
        Refusal::modify(DefinedCondition::ResourceConstraint)
    } else {
        Refusal::cancel(DefinedCondition::BadRequest)
    }
}

/// An open bytestream, seen from one end.
#[derive(Debug)]
pub struct Bytestream {
    sid: String,
    /// What all blocks have in common; each is a copy.
    data: Element,
    block: u16,
    window: usize,
    seq_out: u16,
    seq_in: u16,
    unacknowledged: usize,
    waiting: VecDeque<u8>,
}

impl Bytestream {
    /// With the agreed identifier and block size; `window` blocks may be on the way, at least one.
    #[must_use]
    pub fn new(sid: impl Into<String>, block: u16, window: usize) -> Self {
        let sid = sid.into();
        let data = Element::builder("data", ns::IBB)
            .attr(xml_ncname!("seq").to_owned(), "")
            .attr(xml_ncname!("sid").to_owned(), &sid);
        Self {
            sid,
            data: data.build(),
            block,
            window: window.max(1),
            seq_out: 0,
            seq_in: 0,
            unacknowledged: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The identifier.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The block size, in octets before base64.
    #[must_use]
    pub fn block(&self) -> u16 {
        self.block
    }

    /// `<open/>`.
    #[must_use]
    pub fn open(&self) -> Element {
        Element::builder("open", ns::IBB)
            .attr(xml_ncname!("block-size").to_owned(), self.block)
            .attr(xml_ncname!("sid").to_owned(), &self.sid)
            .build()
    }

    /// Checks an `<open/>` against what was agreed.
    ///
    /// # Errors
    /// [`rules::BAD_DATA`], [`rules::UNKNOWN_SID`], [`rules::OTHER_BLOCK`].
    pub fn check_open(&self, open: &Element) -> Result<()> {
        let open = Reader::new(open, "open", ns::IBB, &rules::BAD_DATA)?;
        let block = open.parsed::<u16>("block-size")?;
        let stanza = open.parsed_if_there("stanza")?.unwrap_or(Stanza::Iq);
        let sid = open.attribute("sid")?;
        open.no_text()?;
        if sid != self.sid {
            return Err(Error::new(&rules::UNKNOWN_SID));
        }
        if block != self.block || stanza != Stanza::Iq {
            return Err(Error::new(&rules::OTHER_BLOCK));
        }
        Ok(())
    }

    /// `<close/>`.
    #[must_use]
    pub fn close(&self) -> Element {
        Element::builder("close", ns::IBB).attr(xml_ncname!("sid").to_owned(), &self.sid).build()
    }

    /// Queues octets.
    pub fn write(&mut self, octets: &[u8]) {
        self.waiting.extend(octets);
    }

    /// Octets that wait to be sent.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// Blocks that were sent and not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// The next `<data/>`, with the number of octets in it, while octets wait and the window is not full.
    pub fn poll_data(&mut self) -> Option<(Element, usize)> {
        if self.waiting.is_empty() || self.unacknowledged >= self.window {
            return None;
        }
        let length = self.waiting.len().min(usize::from(self.block));
        let text = BASE64.encode(&self.waiting.make_contiguous()[..length]);
        self.waiting.drain(..length);
        let mut element = self.data.clone();
        xml::fill(&mut element, [("seq", &self.seq_out.to_string())]);
        element.append_text_node(text);
        self.seq_out = self.seq_out.wrapping_add(1);
        self.unacknowledged += 1;
        Some((element, length))
    }

    /// One block was acknowledged.
    pub fn acknowledged(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
    }

    /// The octets of the peer's next `<data/>`.
    ///
    /// # Errors
    /// One of [`rules`]; the bytestream must be closed then, and nothing later may be used.
    pub fn receive(&mut self, data: &Element) -> Result<Vec<u8>> {
        // Base64 takes 4 octets for 3: what is longer need not be decoded.
        let longest = usize::from(self.block).div_ceil(3) * 4;
        if data.texts().map(str::len).sum::<usize>() > longest {
            return Err(Error::new(&rules::BLOCK_TOO_LARGE));
        }
        let data = Reader::new(data, "data", ns::IBB, &rules::BAD_DATA)?;
        let seq = data.parsed::<u16>("seq")?;
        let sid = data.attribute("sid")?;
        let octets = BASE64.decode(data.text().as_bytes()).map_err(|_| data.broken("base64"))?;
        if sid != self.sid {
            return Err(Error::new(&rules::UNKNOWN_SID));
        }
        if octets.len() > usize::from(self.block) {
            return Err(Error::new(&rules::BLOCK_TOO_LARGE));
        }
        // Half of the number space lies behind, half ahead.
        match seq.wrapping_sub(self.seq_in) {
            0 => self.seq_in = self.seq_in.wrapping_add(1),
            1..0x8000 => return Err(Error::new(&rules::SEQ_GAP)),
            _ => return Err(Error::new(&rules::SEQ_USED)),
        }
        Ok(octets)
    }
}

/// The identifier in any of the three IBB elements.
pub(super) fn sid(payload: &Element) -> Option<&str> {
    let known = matches!(payload.name(), "open" | "data" | "close") && payload.has_ns(ns::IBB);
    let [sid] = xml::attributes(payload, ["sid"]);
    sid.filter(|_| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Bytestream {
        Bytestream::new("s", BLOCK_MIN, 2)
    }

    fn data(seq: u16, sid: &str, text: &str) -> Element {
        format!("<data xmlns='http://jabber.org/protocol/ibb' seq='{seq}' sid='{sid}'>{text}</data>")
            .parse()
            .unwrap()
    }

    fn refused(element: &Element) -> Error {
        stream().receive(element).unwrap_err()
    }

    #[test]
    fn elements_as_literals() {
        let mut stream = stream();
        let open = "<open xmlns='http://jabber.org/protocol/ibb' block-size='128' sid='s'/>";
        assert_eq!(stream.open(), open.parse().unwrap());
        let close = "<close xmlns='http://jabber.org/protocol/ibb' sid='s'/>";
        assert_eq!(stream.close(), close.parse().unwrap());
        stream.write(b"abc");
        assert_eq!(stream.poll_data().unwrap(), (data(0, "s", "YWJj"), 3));
    }

    #[test]
    fn octets_cross_in_blocks_within_the_window() {
        let (mut from, mut to) = (stream(), stream());
        let octets = (0..=255).cycle().take(1000).collect::<Vec<u8>>();
        from.write(&octets);
        let mut received = Vec::new();
        let mut blocks = 0;
        while from.backlog() > 0 {
            let mut burst = 0;
            while let Some((element, length)) = from.poll_data() {
                received.extend(to.receive(&element).unwrap());
                assert!(length <= 128);
                burst += 1;
            }
            assert!(burst <= 2);
            blocks += burst;
            (0..burst).for_each(|_| from.acknowledged());
        }
        assert_eq!(received, octets);
        assert_eq!((blocks, from.unacknowledged()), (8, 0));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let (mut from, mut to) = (stream(), stream());
        for _ in 0..=u16::MAX {
            from.write(b"x");
            assert_eq!(to.receive(&from.poll_data().unwrap().0).unwrap(), b"x");
            from.acknowledged();
        }
        from.write(b"y");
        let (element, _) = from.poll_data().unwrap();
        assert_eq!(element, data(0, "s", "eQ=="));
        assert_eq!(to.receive(&element).unwrap(), b"y");
    }

    #[test]
    fn a_gap_is_refused() {
        for seq in [1, 2, 0x7fff] {
            assert!(refused(&data(seq, "s", "YWJj")).is(&rules::SEQ_GAP), "{seq}");
        }
    }

    #[test]
    fn a_repeated_number_is_refused() {
        let mut stream = stream();
        stream.receive(&data(0, "s", "YWJj")).unwrap();
        assert!(stream.receive(&data(0, "s", "YWJj")).unwrap_err().is(&rules::SEQ_USED));
        for seq in [0x8000, u16::MAX] {
            assert!(refused(&data(seq, "s", "YWJj")).is(&rules::SEQ_USED), "{seq}");
        }
    }

    #[test]
    fn bad_base64_is_refused() {
        for text in ["YWJ", "YWJj=", "Y=Jj", "YW Jj", "YWJj\n", "YW-_", "YWK="] {
            assert!(refused(&data(0, "s", text)).is(&rules::BAD_DATA), "{text}");
        }
    }

    #[test]
    fn malformed_data_is_refused() {
        for text in [
            "<data xmlns='http://jabber.org/protocol/ibb' sid='s'>YWJj</data>",
            "<data xmlns='http://jabber.org/protocol/ibb' seq='0'>YWJj</data>",
            "<data xmlns='http://jabber.org/protocol/ibb' seq='65536' sid='s'>YWJj</data>",
            "<data xmlns='http://jabber.org/protocol/ibb' seq='-1' sid='s'>YWJj</data>",
        ] {
            assert!(refused(&text.parse().unwrap()).is(&rules::BAD_DATA), "{text}");
        }
    }

    #[test]
    fn another_sid_is_refused() {
        assert!(refused(&data(0, "t", "YWJj")).is(&rules::UNKNOWN_SID));
    }

    #[test]
    fn block_size_is_limited_exactly() {
        use base64ct::{Base64, Encoding};
        let of = |octets: usize| data(0, "s", &Base64::encode_string(&vec![0; octets]));
        assert_eq!(stream().receive(&of(128)).unwrap().len(), 128);
        assert!(refused(&of(129)).is(&rules::BLOCK_TOO_LARGE));
        assert!(refused(&of(1 << 20)).is(&rules::BLOCK_TOO_LARGE));
    }

    #[test]
    fn an_open_must_be_the_agreed_one() {
        let check = |text: &str| stream().check_open(&text.parse().unwrap());
        check("<open xmlns='http://jabber.org/protocol/ibb' block-size='128' sid='s'/>").unwrap();
        let open =
            |attributes| check(&format!("<open xmlns='http://jabber.org/protocol/ibb' {attributes}/>"));
        assert!(open("block-size='128' sid='t'").unwrap_err().is(&rules::UNKNOWN_SID));
        assert!(open("block-size='129' sid='s'").unwrap_err().is(&rules::OTHER_BLOCK));
        assert!(open("block-size='127' sid='s'").unwrap_err().is(&rules::OTHER_BLOCK));
        assert!(open("block-size='128' sid='s' stanza='message'").unwrap_err().is(&rules::OTHER_BLOCK));
        assert!(open("block-size='99999' sid='s'").unwrap_err().is(&rules::BAD_DATA));
        assert!(open("sid='s'").unwrap_err().is(&rules::BAD_DATA));
    }
}
