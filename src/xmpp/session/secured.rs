//! Everything inside the bytestream: TLS, the stream in it, the authentication, and then stanzas. Ciphertext in and
//! out; knows nothing of Jingle and IQs.

use std::time::Instant;

use jid::{FullJid, Jid};
use minidom::Element;
use rand_core::CryptoRng;

use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{MechanismName, Outcome, Side};
use crate::tls::{Endpoint, Fingerprint, Handshake, Tunnel, Unverified, Verified};
use crate::xmpp::stream::{self, CLOSE, Item, Parser};
use crate::xmpp::xml;
use crate::xmpp::{BULK, Limits, ns};

use super::config::{Established, Event};
use super::proving::{Progress, Proving};
use super::{direct, initiator, octets, responder, rules};

/// Most octets of one element before the authentication: the longest SASL message in base64, and its tags.
pub(super) const NEGOTIATION_MAX: usize = 96 * 1024;

/// What the states need from outside.
pub(super) struct Tools<'a> {
    pub(super) rng: &'a mut dyn CryptoRng,
    pub(super) sasl_messages: &'a mut u64,
    pub(super) now: Instant,
}

impl Tools<'_> {
    /// 32 hexadecimal digits.
    pub(super) fn random_id(&mut self) -> String {
        random_id(self.rng)
    }
}

/// 128 random bits as hexadecimal digits, which are an NMTOKEN as well.
pub(super) fn random_id(rng: &mut dyn CryptoRng) -> String {
    let mut octets = [0; 16];
    rng.fill_bytes(&mut octets);
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is one digit");
    let mut id = String::with_capacity(2 * octets.len());
    id.extend(octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]));
    id
}

/// What a state asks for.
pub(super) enum Next<State> {
    /// Send this and wait.
    Wait(State, Vec<u8>),
    /// The authentication is complete on this side: turn the tunnel into a verified one, and go on inside it.
    Verify(Box<Outcome>, After, Box<Self>),
    /// Send this; from now on stanzas may pass. With what was offered and not taken.
    Live(Vec<u8>, Vec<(MechanismName, &'static str)>),
}

/// What becomes of the stream when its authentication is complete.
pub(super) enum After {
    /// A new one begins (RFC 6120 section 6.4.6).
    NewStream,
    /// It goes on (XEP-0388).
    SameStream,
}

/// A failure, and what the peer may hear about it.
pub(super) struct Fault {
    error: Error,
    words: Vec<u8>,
}

impl Fault {
    /// With an element to send.
    pub(super) fn with(error: Error, words: Element) -> Self {
        // Our own few elements can always be written.
        Self { error, words: stream::to_octets(&words).unwrap_or_default() }
    }

    /// With nothing but the end of the stream.
    pub(super) fn silent(error: Error) -> Self {
        Self { error, words: vec![] }
    }

    /// With a stream error.
    pub(super) fn stream(error: Error, condition: &str) -> Self {
        Self::with(error, stream::error(condition))
    }

    /// With the stream error for an element of bad form.
    pub(super) fn malformed(error: Error) -> Self {
        Self::stream(error, "bad-format")
    }

    /// Puts octets before the words.
    pub(super) fn after(self, mut octets: Vec<u8>) -> Self {
        octets.extend(self.words);
        Self { error: self.error, words: octets }
    }
}

/// The address without its resource; `to_bare` would format it anew.
pub(super) fn bare(jid: &FullJid) -> String {
    jid.clone().into_bare().into_inner()
}

/// The header of a stream between `own` and `peer`.
pub(super) fn check_header(item: Item, own: &FullJid, peer: &FullJid) -> Result<(), Fault> {
    match item {
        Item::Header(header) if header.from.as_ref() == Some(peer) && header.to.as_ref() == Some(own) => {
            Ok(())
        }
        Item::Header(_) => Err(Fault::stream(Error::new(&rules::OTHER_ADDRESSES), "invalid-from")),
        // The parser gives a header first.
        Item::Element(_) | Item::Close => Err(Fault::silent(Error::new(&rules::OUT_OF_ORDER))),
    }
}

/// An element of the negotiation: no stanza, and no end.
pub(super) fn element(item: Item) -> Result<Element, Fault> {
    match item {
        Item::Element(element) if element.has_ns(ns::CLIENT) => {
            Err(Fault::stream(Error::new(&rules::TOO_EARLY).about(element.name()), "not-authorized"))
        }
        Item::Element(element) => match stream::error_condition(&element) {
            Some(condition) => Err(Fault::silent(Error::new(&rules::STREAM_ERROR).about(condition))),
            None => Ok(element),
        },
        Item::Close => Err(Fault::silent(Error::new(&rules::STREAM_CUT_SHORT))),
        Item::Header(_) => Err(Fault::silent(Error::new(&rules::OUT_OF_ORDER))),
    }
}

/// How far the tunnel is.
enum Link {
    Handshake(Handshake),
    /// A handshake that is the authentication.
    #[cfg_attr(not(feature = "openssl"), allow(dead_code, reason = "no other TLS authenticates by itself"))]
    Proving(Box<Proving>),
    Unverified(Tunnel<Unverified>),
    Verified(Tunnel<Verified>),
    /// Between two of the others, and after a verification that failed.
    Gone,
}

/// What the stream waits for.
enum State {
    /// The end of the TLS handshake.
    Initiating(initiator::Party),
    Responding(responder::Party),
    /// The end of a handshake that authenticates.
    #[cfg_attr(not(feature = "openssl"), allow(dead_code, reason = "no other TLS authenticates by itself"))]
    Proving(direct::Party),
    Direct(direct::State),
    Initiator(initiator::State),
    Responder(responder::State),
    Live,
    /// After an error.
    Dead,
}

/// One end of a tunnel.
pub(super) struct Secured {
    link: Link,
    state: State,
    parser: Parser,
    limits: Limits,
    own: FullJid,
    peer: FullJid,
    /// What the peer's certificate must hash to, where it announced one.
    announced: Option<Fingerprint>,
    /// Ciphertext of a handshake that is over, to be sent before anything else.
    last: Vec<u8>,
    /// Our stream has begun.
    speaking: bool,
    closed: bool,
    peer_closed: bool,
    /// Octets of the peer that the stream has announced and that have not come yet.
    octets_left: usize,
    /// Plaintext octets since the last event.
    weight: usize,
    /// An empty buffer for what TLS opens.
    spare: Vec<u8>,
}

impl Secured {
    pub(super) fn initiator(
        endpoint: Box<dyn Endpoint>,
        party: initiator::Party,
        announced: Option<Fingerprint>,
        limits: &Limits,
    ) -> Self {
        let (own, peer) = (party.own.clone(), party.peer.clone());
        let link = Link::Handshake(Handshake::new(endpoint));
        Self::new(link, State::Initiating(party), own, peer, announced, limits)
    }

    pub(super) fn responder(
        endpoint: Box<dyn Endpoint>,
        party: responder::Party,
        announced: Option<Fingerprint>,
        limits: &Limits,
    ) -> Self {
        let (own, peer) = (party.own.clone(), party.peer.clone());
        let link = Link::Handshake(Handshake::new(endpoint));
        Self::new(link, State::Responding(party), own, peer, announced, limits)
    }

    /// With a handshake that authenticates by itself.
    #[cfg(feature = "openssl")]
    pub(super) fn proving(proving: Box<Proving>, party: direct::Party, limits: &Limits) -> Self {
        let (own, peer) = (party.own.clone(), party.peer.clone());
        Self::new(Link::Proving(proving), State::Proving(party), own, peer, None, limits)
    }

    fn new(
        link: Link,
        state: State,
        own: FullJid,
        peer: FullJid,
        announced: Option<Fingerprint>,
        limits: &Limits,
    ) -> Self {
        Self {
            link,
            state,
            parser: Parser::new(&limits.clone().with_stanza(limits.stanza.min(NEGOTIATION_MAX)))
                .expecting([&own, &peer]),
            limits: limits.clone(),
            own,
            peer,
            announced,
            last: vec![],
            speaking: false,
            closed: false,
            peer_closed: false,
            octets_left: 0,
            weight: 0,
            spare: vec![],
        }
    }

    /// Whether stanzas may pass.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Whether this side may still send stanzas.
    pub(super) fn may_send(&self) -> bool {
        self.is_live() && !self.closed
    }

    /// Whether both streams and both directions of TLS have been closed.
    pub(super) fn is_complete(&self) -> bool {
        matches!(&self.link, Link::Verified(tunnel) if self.closed && self.peer_closed && tunnel.peer_has_closed())
    }

    /// Appends the ciphertext that waits to be sent.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.last);
        match &mut self.link {
            Link::Handshake(handshake) => handshake.transmit(out),
            Link::Proving(proving) => proving.transmit(out),
            Link::Unverified(tunnel) => tunnel.transmit(out),
            Link::Verified(tunnel) => tunnel.transmit(out),
            Link::Gone => {}
        }
    }

    /// Sends a stanza, or several.
    pub(super) fn send(&mut self, octets: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Verified(tunnel) if matches!(self.state, State::Live) && !self.closed => {
                tunnel.write(octets)
            }
            _ => Err(Error::new(&rules::NOT_OPEN)),
        }
    }

    /// Puts something behind all that was sent, of which the peer takes no notice.
    pub(super) fn nudge(&mut self, out: &mut Vec<u8>) {
        let (live, may_send) = (self.is_live(), self.may_send());
        let Link::Verified(tunnel) = &mut self.link else { return };
        // What cannot be sent now is not needed either.
        let _ = match (live, may_send, self.peer_closed) {
            (true, true, _) => tunnel.write(b" "),
            (true, false, false) => tunnel.rekey(),
            // Behind close_notify everything is ignored (RFC 8446 section 6.1).
            (true, false, true) => {
                out.push(0);
                return;
            }
            (false, ..) => return,
        };
        tunnel.transmit(out);
    }

    /// Updates the keys of both directions.
    pub(super) fn rekey(&mut self) -> Result<()> {
        match &mut self.link {
            Link::Verified(tunnel) if !self.closed => tunnel.rekey(),
            _ => Err(Error::new(&rules::NOT_OPEN)),
        }
    }

    /// Ends our stream, and TLS as well when the peer's stream has ended.
    pub(super) fn close(&mut self) {
        let Link::Verified(tunnel) = &mut self.link else { return };
        if !self.closed {
            self.closed = true;
            // Fails only when TLS has been closed, and that happens below.
            let _ = tunnel.write(CLOSE);
        }
        if self.peer_closed {
            tunnel.close();
        }
    }

    /// Takes ciphertext. After an error the tunnel is dead; its last words wait to be transmitted.
    pub(super) fn receive(
        &mut self,
        ciphertext: &[u8],
        tools: &mut Tools<'_>,
        events: &mut Vec<(Event, usize)>,
    ) -> Result<()> {
        let result = self.take_in(ciphertext, tools, events);
        result.map_err(|fault| {
            self.die(&fault.words);
            fault.error
        })
    }

    fn take_in(
        &mut self,
        ciphertext: &[u8],
        tools: &mut Tools<'_>,
        events: &mut Vec<(Event, usize)>,
    ) -> Result<(), Fault> {
        let mut plaintext = std::mem::take(&mut self.spare);
        match &mut self.link {
            Link::Handshake(handshake) => {
                handshake.receive(ciphertext).map_err(Fault::silent)?;
                if !handshake.is_done() {
                    return Ok(());
                }
                self.open(tools)?;
                return self.take_in(&[], tools, events);
            }
            Link::Proving(_) => {
                return match self.prove(ciphertext, tools)? {
                    true => self.take_in(&[], tools, events),
                    false => Ok(()),
                };
            }
            Link::Unverified(tunnel) => {
                tunnel.receive(ciphertext).map_err(Fault::silent)?;
                tunnel.receive_authentication(&mut plaintext).map_err(Fault::silent)?;
            }
            Link::Verified(tunnel) => {
                tunnel.receive(ciphertext).map_err(Fault::silent)?;
                tunnel.read(&mut plaintext);
            }
            Link::Gone => return Err(Fault::silent(Error::new(&rules::NOT_OPEN))),
        }
        // What is octets throughout is passed on without a copy, unless it would take much more memory than it counts for.
        let fits = plaintext.capacity() / 2 <= plaintext.len();
        if !plaintext.is_empty() && plaintext.len() <= self.octets_left && fits {
            self.pass_on(std::mem::take(&mut plaintext), events);
        }
        let mut rest = &plaintext[..];
        loop {
            if self.octets_left > 0 && !rest.is_empty() {
                let (octets, after) = rest.split_at(rest.len().min(self.octets_left));
                self.pass_on(octets.to_vec(), events);
                rest = after;
            }
            let before = rest.len();
            let item = self.parser.read(&mut rest);
            self.weight += before - rest.len();
            match item {
                Ok(Some(item)) => self.advance(item, tools, events)?,
                Ok(None) => break,
                Err(error) => {
                    let condition = stream::condition(&error);
                    let fault = Fault::stream(error, condition);
                    let unsent = match &self.state {
                        State::Responder(state) => state.unsent_header(tools),
                        State::Direct(state) => state.unsent_header(tools),
                        _ => None,
                    };
                    return Err(match unsent {
                        Some(header) => fault.after(header),
                        None => fault,
                    });
                }
            }
        }
        if plaintext.len() >= BULK {
            plaintext.clear();
            self.spare = plaintext;
        }
        let tls_closed = match &self.link {
            Link::Unverified(tunnel) => tunnel.peer_has_closed(),
            Link::Verified(tunnel) => tunnel.peer_has_closed(),
            Link::Handshake(_) | Link::Proving(_) | Link::Gone => false,
        };
        if tls_closed && !self.peer_closed {
            return Err(Fault::silent(Error::new(&rules::STREAM_CUT_SHORT)));
        }
        Ok(())
    }

    /// Tells the application of octets that were announced.
    fn pass_on(&mut self, octets: Vec<u8>, events: &mut Vec<(Event, usize)>) {
        self.octets_left -= octets.len();
        let weight = octets.len() + std::mem::take(&mut self.weight);
        events.push((Event::Bytes(octets), weight));
    }

    /// After the TLS handshake.
    fn open(&mut self, tools: &mut Tools<'_>) -> Result<(), Fault> {
        let Link::Handshake(handshake) = std::mem::replace(&mut self.link, Link::Gone) else { return Ok(()) };
        let tunnel = handshake.finish().map_err(Fault::silent)?;
        let fits = self.announced.is_none() || tunnel.peer_fingerprint() == self.announced;
        let started = match std::mem::replace(&mut self.state, State::Dead) {
            State::Initiating(party) if fits => {
                let started = initiator::State::start(party, tunnel.binding(), tools);
                started.map(|(state, octets)| (State::Initiator(state), octets))
            }
            State::Responding(party) if fits => {
                Ok((State::Responder(responder::State::start(party)), vec![]))
            }
            _ => Err(Error::new(&rules::OTHER_CERTIFICATE)),
        };
        self.link = Link::Unverified(tunnel);
        let (state, octets) = started.map_err(Fault::silent)?;
        self.state = state;
        self.write(&octets)
    }

    /// Goes on with a handshake that authenticates; whether it has.
    fn prove(&mut self, ciphertext: &[u8], tools: &mut Tools<'_>) -> Result<bool, Fault> {
        let Link::Proving(proving) = std::mem::replace(&mut self.link, Link::Gone) else { return Ok(false) };
        match proving.receive(ciphertext, &mut self.last).map_err(Fault::silent)? {
            Progress::Waits(proving) => {
                self.link = Link::Proving(proving);
                return Ok(false);
            }
            Progress::Proven(tunnel) => self.link = Link::Verified(tunnel),
        }
        let State::Proving(party) = std::mem::replace(&mut self.state, State::Dead) else { return Ok(false) };
        let (state, octets) = direct::State::start(party, tools).map_err(Fault::silent)?;
        // One stream to the end, with a peer who is known.
        self.parser = Parser::new(&self.limits);
        self.state = State::Direct(state);
        self.write(&octets)?;
        Ok(true)
    }

    fn advance(
        &mut self,
        item: Item,
        tools: &mut Tools<'_>,
        events: &mut Vec<(Event, usize)>,
    ) -> Result<(), Fault> {
        let binding = match &self.link {
            Link::Unverified(tunnel) => tunnel.binding(),
            Link::Verified(tunnel) => tunnel.binding(),
            Link::Handshake(_) | Link::Proving(_) | Link::Gone => return Ok(()),
        };
        match std::mem::replace(&mut self.state, State::Dead) {
            State::Initiator(state) => {
                let next = state.advance(item, binding, tools)?;
                self.follow(next, State::Initiator, events)
            }
            State::Responder(state) => {
                let next = state.advance(item, binding, tools)?;
                self.follow(next, State::Responder, events)
            }
            State::Direct(state) => {
                let next = state.advance(item, tools)?;
                self.follow(next, State::Direct, events)
            }
            State::Live => {
                self.state = State::Live;
                self.stanza(item, events)
            }
            State::Initiating(_) | State::Responding(_) | State::Proving(_) | State::Dead => Ok(()),
        }
    }

    fn follow<S>(
        &mut self,
        next: Next<S>,
        state: impl FnOnce(S) -> State,
        events: &mut Vec<(Event, usize)>,
    ) -> Result<(), Fault> {
        match next {
            Next::Wait(next, octets) => {
                self.state = state(next);
                self.write(&octets)
            }
            Next::Verify(outcome, after, next) => {
                self.verify(*outcome).map_err(Fault::silent)?;
                match after {
                    After::NewStream => {
                        self.parser = Parser::new(&self.limits).expecting([&self.own, &self.peer]);
                    }
                    After::SameStream => self.parser.limit(&self.limits),
                }
                self.follow(*next, state, events)
            }
            Next::Live(octets, refused) => {
                let Link::Verified(tunnel) = &self.link else {
                    return Err(Fault::silent(Error::new(&rules::TOO_EARLY)));
                };
                let established = established(tunnel, refused, &self.own, &self.peer);
                self.write(&octets)?;
                self.state = State::Live;
                self.weight = 0;
                events.push((Event::Established(Box::new(established)), 0));
                Ok(())
            }
        }
    }

    fn verify(&mut self, outcome: Outcome) -> Result<()> {
        let Link::Unverified(tunnel) = std::mem::replace(&mut self.link, Link::Gone) else {
            return Err(Error::new(&rules::OUT_OF_ORDER));
        };
        // Nobody can ask a session for the export key, so it does not live as long.
        self.link = Link::Verified(tunnel.verify(outcome.without_export_key())?);
        Ok(())
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.speaking |= !octets.is_empty();
        match &mut self.link {
            Link::Unverified(tunnel) => tunnel.send_authentication(octets),
            Link::Verified(tunnel) => tunnel.write(octets),
            Link::Handshake(_) | Link::Proving(_) | Link::Gone => Err(Error::new(&rules::NOT_OPEN)),
        }
        .map_err(Fault::silent)
    }

    /// Something came through the verified tunnel.
    fn stanza(&mut self, item: Item, events: &mut Vec<(Event, usize)>) -> Result<(), Fault> {
        let stanza = match item {
            Item::Element(element) => element,
            Item::Close => {
                self.peer_closed = true;
                self.close();
                return Ok(());
            }
            Item::Header(_) => return Err(Fault::silent(Error::new(&rules::OUT_OF_ORDER))),
        };
        if let Some(condition) = stream::error_condition(&stanza) {
            return Err(Fault::silent(Error::new(&rules::STREAM_ERROR).about(condition)));
        }
        if let Some(length) = octets::follow(&stanza).map_err(Fault::malformed)? {
            self.octets_left = length;
            return Ok(());
        }
        if !is_stanza(&stanza) {
            let error = Error::new(&rules::OUT_OF_ORDER).about(stanza.name());
            return Err(Fault::stream(error, "unsupported-stanza-type"));
        }
        if !is_between(&stanza, &self.peer, &self.own) {
            return Err(Fault::stream(Error::new(&rules::OTHER_ADDRESSES), "invalid-from"));
        }
        events.push((Event::Stanza(stanza), std::mem::take(&mut self.weight)));
        Ok(())
    }

    /// Says the last words and closes the tunnel, where our stream has begun. Before that session-terminate says it all.
    fn die(&mut self, words: &[u8]) {
        self.state = State::Dead;
        if !self.speaking && words.is_empty() {
            return;
        }
        // Who cannot be told is told by session-terminate.
        let _ = self.write(words).and_then(|()| if self.closed { Ok(()) } else { self.write(CLOSE) });
        match &mut self.link {
            Link::Unverified(tunnel) => tunnel.close(),
            Link::Verified(tunnel) => tunnel.close(),
            Link::Handshake(_) | Link::Proving(_) | Link::Gone => {}
        }
    }
}

/// Whether an element is one of the three stanzas.
pub(super) fn is_stanza(element: &Element) -> bool {
    element.has_ns(ns::CLIENT) && matches!(element.name(), "message" | "presence" | "iq")
}

/// Whether the addresses of a stanza, where it has any, are these two.
pub(super) fn is_between(stanza: &Element, from: &FullJid, to: &FullJid) -> bool {
    are(xml::attributes(stanza, ["from", "to"]), [from, to])
}

/// Whether the values of addresses, where there are any, are these.
pub(super) fn are(values: [Option<&str>; 2], addresses: [&FullJid; 2]) -> bool {
    // Preparing an address costs much more than seeing that it is the same.
    let is = |value: &str, jid: &FullJid| {
        value == jid.as_str() || Jid::new(value).is_ok_and(|value| value == *jid)
    };
    let mut pairs = values.into_iter().zip(addresses);
    pairs.all(|(value, jid)| value.is_none_or(|value| is(value, jid)))
}

fn established(
    tunnel: &Tunnel<Verified>,
    refused: Vec<(MechanismName, &'static str)>,
    own: &FullJid,
    peer: &FullJid,
) -> Established {
    let initiator = match tunnel.side() {
        Side::Client => own,
        Side::Server => peer,
    };
    let binding: &ChannelBinding = tunnel.binding();
    Established {
        mechanism: tunnel.mechanism().clone(),
        refused,
        // What the mechanism calls it has been compared with this one.
        authcid: bare(initiator),
        negotiated: tunnel.negotiated(),
        binding: binding.clone(),
    }
}
