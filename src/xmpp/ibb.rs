//! In-band bytestreams (XEP-0047), sans-I/O: the numbering, sizes and acknowledgements of one open bytestream.
//!
//! The carrier of IQ stanzas is elsewhere; here is what one `<data/>` may hold and when the next may be sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64_simd::STANDARD as BASE64;
use minidom::Element;
use rxml::xml_ncname;
use xmpp_parsers::ibb::Stanza;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, ErrorKind, Result, Rule};

use super::iq::Refusal;
use super::ns;
use super::window::Window;
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
    window: Window,
    seq_out: u16,
    seq_in: u16,
    waiting: VecDeque<u8>,
}

/// A `<data/>` to be sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Block {
    /// Its number, which [`Bytestream::acknowledged`] wants back.
    pub seq: u16,
    /// The element.
    pub element: Element,
    /// Octets in it, before base64.
    pub octets: usize,
}

impl Bytestream {
    /// With the agreed identifier and block size. At most `window` blocks may be on the way, at least one: so many as stay
    /// well within `reply`, the time for one answer.
    #[must_use]
    pub fn new(sid: impl Into<String>, block: u16, window: usize, reply: Duration) -> Self {
        let sid = sid.into();
        let data = Element::builder("data", ns::IBB)
            .attr(xml_ncname!("seq").to_owned(), "")
            .attr(xml_ncname!("sid").to_owned(), &sid);
        Self {
            sid,
            data: data.build(),
            block,
            window: Window::new(window, reply),
            seq_out: 0,
            seq_in: 0,
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
        self.window.on_the_way()
    }

    /// The next `<data/>`, while octets wait and the window is not full.
    pub fn poll_data(&mut self, now: Instant) -> Option<Block> {
        let ready = !self.waiting.is_empty() && self.window.has_room();
        ready.then(|| self.next(now))
    }

    /// A `<data/>` that may be empty and does not wait for the window. Its answer tells whether the blocks before it, which
    /// were not acknowledged, have arrived: where one is missing this one is refused.
    pub fn probe(&mut self, now: Instant) -> Block {
        self.next(now)
    }

    fn next(&mut self, now: Instant) -> Block {
        let length = self.waiting.len().min(usize::from(self.block));
        let text = BASE64.encode_to_string(&self.waiting.make_contiguous()[..length]);
        self.waiting.drain(..length);
        let mut element = self.data.clone();
        xml::fill(&mut element, [("seq", &self.seq_out.to_string())]);
        element.append_text_node(text);
        let seq = self.seq_out;
        self.seq_out = seq.wrapping_add(1);
        self.window.sent(now);
        Block { seq, element, octets: length }
    }

    /// A block was acknowledged, and with it all before it: the receiver ends the bytestream where one is missing.
    pub fn acknowledged(&mut self, seq: u16, now: Instant) {
        if self.is_on_the_way(seq) {
            let later = self.seq_out.wrapping_sub(seq).wrapping_sub(1);
            self.window.acknowledged(self.unacknowledged() - usize::from(later), now);
        }
    }

    /// Whether a block was sent and not acknowledged.
    #[must_use]
    pub fn is_on_the_way(&self, seq: u16) -> bool {
        let back = usize::from(self.seq_out.wrapping_sub(seq));
        (1..=self.unacknowledged()).contains(&back)
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
        let octets = BASE64.decode_to_vec(data.text().as_bytes()).map_err(|_| data.broken("base64"))?;
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
        Bytestream::new("s", BLOCK_MIN, 2, Duration::from_secs(20))
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
        let block = Block { seq: 0, element: data(0, "s", "YWJj"), octets: 3 };
        assert_eq!(stream.poll_data(Instant::now()).unwrap(), block);
    }

    #[test]
    fn octets_cross_in_blocks_within_the_window() {
        let (mut from, mut to) = (stream(), stream());
        let octets = (0..=255).cycle().take(1000).collect::<Vec<u8>>();
        from.write(&octets);
        let mut received = Vec::new();
        let mut blocks = 0;
        let now = Instant::now();
        while from.backlog() > 0 {
            let mut burst = 0;
            let mut last = 0;
            while let Some(block) = from.poll_data(now) {
                received.extend(to.receive(&block.element).unwrap());
                assert!(block.octets <= 128);
                burst += 1;
                last = block.seq;
            }
            assert!(burst <= 2);
            blocks += burst;
            from.acknowledged(last, now);
        }
        assert_eq!(received, octets);
        assert_eq!((blocks, from.unacknowledged()), (8, 0));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let (mut from, mut to) = (stream(), stream());
        let now = Instant::now();
        for seq in 0..=u16::MAX {
            from.write(b"x");
            assert_eq!(to.receive(&from.poll_data(now).unwrap().element).unwrap(), b"x");
            from.acknowledged(seq, now);
        }
        from.write(b"y");
        let element = from.poll_data(now).unwrap().element;
        assert_eq!(element, data(0, "s", "eQ=="));
        assert_eq!(to.receive(&element).unwrap(), b"y");
    }

    #[test]
    fn an_answer_stands_for_all_before_it() {
        let now = Instant::now();
        let mut stream = stream();
        // Around the end of the numbers.
        stream.seq_out = u16::MAX - 1;
        let seqs = [(); 4].map(|()| stream.probe(now).seq);
        assert_eq!(seqs, [u16::MAX - 1, u16::MAX, 0, 1]);
        for other in [2, 3, u16::MAX - 2, 0x8000] {
            stream.acknowledged(other, now);
            assert_eq!(stream.unacknowledged(), 4);
        }
        stream.acknowledged(0, now);
        assert_eq!(seqs.map(|seq| stream.is_on_the_way(seq)), [false, false, false, true]);
        stream.acknowledged(u16::MAX, now);
        assert_eq!(stream.unacknowledged(), 1);
        stream.acknowledged(1, now);
        assert_eq!(stream.unacknowledged(), 0);
    }

    #[test]
    fn a_probe_is_empty_and_finds_a_gap() {
        let now = Instant::now();
        let (mut from, mut to) = (stream(), stream());
        let probe = from.probe(now);
        assert_eq!((probe.octets, to.receive(&probe.element).unwrap()), (0, vec![]));
        from.write(b"lost");
        from.poll_data(now).unwrap();
        assert!(to.receive(&from.probe(now).element).unwrap_err().is(&rules::SEQ_GAP));
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
