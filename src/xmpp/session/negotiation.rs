//! Jingle: how a session is offered, taken and ended.

use minidom::Element;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, Result};
use crate::tls::{Endpoint, Fingerprint};
use crate::xmpp::ibb::{self, Bytestream};
use crate::xmpp::iq::Refusal;
use crate::xmpp::jingle::{
    self, Action, Content, Creator, InBand, Jingle, Method, Offer, Reason, Security, Stanza, Transport,
};
use crate::xmpp::ns;

#[cfg(feature = "openssl")]
use super::in_tls::{self, Place};
use super::methods::{self, Acceptable};
use super::secured::{self, Secured};
use super::{
    Carrier, Connection, Discovering, Event, Offering, Phase, Request, ResponderConfig, Session, initiator,
    reason, responder, rules,
};
#[cfg(feature = "openssl")]
use super::{InitiatorConfig, Side, direct};

impl Session {
    /// Responder: takes or refuses the offer.
    pub(super) fn accept(
        &mut self,
        config: ResponderConfig,
        endpoint: Box<dyn Endpoint>,
        id: &str,
        payload: &Element,
    ) {
        let offer = match Jingle::from_element(payload) {
            Ok(jingle) if jingle.initiator.as_ref().is_none_or(|initiator| *initiator == self.peer) => {
                self.acknowledge(id);
                jingle.into_offer().and_then(check)
            }
            Ok(_) => {
                self.refuse(id, Refusal::modify(DefinedCondition::BadRequest));
                return self.end(Event::Failed(Error::new(&jingle::rules::MALFORMED).about("initiator")));
            }
            Err(error) => {
                self.refuse(id, Refusal::modify(DefinedCondition::BadRequest));
                return self.end(Event::Failed(error));
            }
        };
        let offer = match offer {
            Ok(offer) => offer,
            Err(error) => {
                self.terminate(reason(&error, false));
                return self.end(Event::Failed(error));
            }
        };
        let content = match self.take_offer(config, endpoint, offer) {
            Ok(content) => content,
            Err(error) => {
                self.terminate(reason(&error, false));
                return self.end(Event::Failed(error));
            }
        };
        let mut jingle = Jingle::new(Action::SessionAccept, &self.sid).with_content(content);
        jingle.responder = Some(self.own.clone().into());
        self.request(Request::Accept, jingle.to_element());
        self.act();
    }

    /// Responder: goes on with an offer; the content of the answer.
    fn take_offer(
        &mut self,
        mut config: ResponderConfig,
        endpoint: Box<dyn Endpoint>,
        offer: Offer,
    ) -> Result<Content> {
        let socks5 = config.socks5.take();
        let (transport, security) = match (offer.transport, socks5) {
            (Transport::InBand(transport), _) => {
                let block = transport.block_size.min(self.limits.block);
                let (security, secured) = self.answer(config, endpoint, &offer.security, block)?;
                let stream = transport.sid.0;
                self.stream = Some(stream.clone());
                let answer = Transport::in_band(block, &stream);
                let carrier = Carrier::InBand(self.in_band(stream, block));
                self.phase = Phase::Accepting(Box::new(Connection { secured, carrier, closer: false }));
                (answer, security)
            }
            (Transport::Socks5(theirs), Some(socks5)) => {
                // Records need not fit into blocks.
                let (security, secured) = self.answer(config, endpoint, &offer.security, ibb::BLOCK_MAX)?;
                let (answer, talks) = self.offer_socks5(socks5, &theirs.sid);
                self.negotiate(secured, talks, theirs, offer.name.clone())?;
                (answer, security)
            }
            (Transport::Socks5(_), None) => return Err(Error::new(&jingle::rules::OTHER_TRANSPORT)),
        };
        Ok(Content { name: offer.name, ..Content::over(transport, security) })
    }

    /// Responder: chooses a method, and says so.
    fn answer(
        &mut self,
        config: ResponderConfig,
        endpoint: Box<dyn Endpoint>,
        offer: &Security,
        block: u16,
    ) -> Result<(Security, Secured)> {
        let acceptable = Acceptable::of(&config.policy)?;
        let method = methods::choose(offer, &acceptable)?;
        let refused = config.policy.refused(&methods::named(offer));
        let (own, peer) = (self.own.clone(), self.peer.clone());
        if method == Method::X509 {
            let mechanisms = acceptable.sasl;
            let security = Security::new(endpoint.certificate().map(Fingerprint::of), mechanisms.clone());
            let party = responder::Party {
                own,
                peer,
                mechanisms,
                credentials: config.credentials,
                guesses: config.guesses,
                recording: config.recording,
                refused,
                offers: [offer.canonical(), security.canonical()],
            };
            let secured = Secured::responder(endpoint, party, offer.fingerprint(), &self.limits);
            return Ok((security, secured));
        }
        #[cfg(feature = "openssl")]
        {
            let place = Place { initiator: &peer, responder: &own, sid: &self.sid, block, now: self.now };
            let (security, proving) = in_tls::respond(method, &config, &place, offer, &mut *self.rng)?;
            let digest = digest([&peer, &own], [offer, &security]);
            let party = direct::Party { side: Side::Server, own, peer, digest, refused };
            Ok((security, Secured::proving(proving, party, &self.limits)))
        }
        #[cfg(not(feature = "openssl"))]
        {
            let _ = block;
            Err(Error::new(&rules::NO_METHOD).about(method.name()))
        }
    }

    /// Initiator: the peer supports what is needed, perhaps SOCKS5 bytestreams too.
    pub(super) fn offer(&mut self, from: Discovering, socks5: bool) {
        if let Err(error) = self.make_offer(from, socks5) {
            // The peer knows nothing of the session yet.
            self.end(Event::Failed(error));
        }
    }

    pub(super) fn make_offer(&mut self, from: Discovering, socks5: bool) -> Result<()> {
        let Discovering { mut config, endpoint } = from;
        let acceptable = Acceptable::of(&config.policy)?;
        let stream = secured::random_id(&mut *self.rng);
        let certificate = acceptable.has(Method::X509).then(|| endpoint.certificate()).flatten();
        let fingerprint = certificate.map(Fingerprint::of);
        let methods = acceptable.methods.iter().copied();
        let methods = methods.filter(|method| *method != Method::X509 || fingerprint.is_some());
        let security = Security::new(fingerprint, acceptable.sasl).with_methods(methods);
        #[cfg(feature = "openssl")]
        let (prepared, security) = {
            let (initiator, responder) = (&config.own, &config.peer);
            let place =
                Place { initiator, responder, sid: &self.sid, block: self.limits.block, now: self.now };
            in_tls::Prepared::make(&config, &place, security, &mut *self.rng)?
        };
        let (transport, talks) = match config.socks5.take().filter(|_| socks5) {
            Some(socks5) => {
                let (transport, talks) = self.offer_socks5(socks5, &stream);
                (transport, Some(Box::new(talks)))
            }
            None => (Transport::in_band(self.limits.block, &stream), None),
        };
        let content = Content::over(transport, security.clone());
        let mut jingle = Jingle::new(Action::SessionInitiate, &self.sid).with_content(content);
        jingle.initiator = Some(self.own.clone().into());
        self.phase = Phase::Offering(Box::new(Offering {
            config,
            endpoint,
            security,
            stream,
            talks,
            #[cfg(feature = "openssl")]
            prepared,
        }));
        self.request(Request::Initiate, jingle.to_element());
        Ok(())
    }

    /// Initiator: the offer was taken.
    pub(super) fn open(&mut self, mut from: Offering, accept: Jingle) -> Result<()> {
        if accept.responder.as_ref().is_some_and(|responder| *responder != self.peer) {
            return Err(Error::new(&jingle::rules::OTHER_CONTENT).about("responder"));
        }
        let Offer { name, transport, security, .. } = check(accept.into_offer()?)?;
        let stream = from.stream.clone();
        let (sid, fits) = match &transport {
            Transport::InBand(transport) => (&transport.sid.0, transport.block_size <= self.limits.block),
            Transport::Socks5(transport) => (&transport.sid, true),
        };
        if name != jingle::CONTENT_NAME || *sid != stream || !fits {
            return Err(Error::new(&jingle::rules::OTHER_CONTENT));
        }
        match (transport, from.talks.take()) {
            (Transport::InBand(transport), None) => {
                let secured = self.take(from, &security, transport.block_size)?;
                self.open_in_band(secured, stream, transport.block_size);
            }
            (Transport::Socks5(theirs), Some(talks)) => {
                let secured = self.take(from, &security, ibb::BLOCK_MAX)?;
                self.negotiate(secured, *talks, theirs, name)?;
                self.act();
            }
            _ => return Err(Error::new(&jingle::rules::OTHER_TRANSPORT)),
        }
        Ok(())
    }

    /// The agreed bytestream.
    pub(super) fn in_band(&self, stream: String, block: u16) -> Bytestream {
        Bytestream::new(stream, block, self.limits.window, self.limits.reply)
    }

    /// Initiator: opens the agreed bytestream.
    pub(super) fn open_in_band(&mut self, secured: Secured, stream: String, block: u16) {
        self.stream = Some(stream.clone());
        let bytes = self.in_band(stream, block);
        let open = bytes.open();
        let carrier = Carrier::InBand(bytes);
        self.phase = Phase::Opening(Box::new(Connection { secured, carrier, closer: false }));
        self.request(Request::Open, open);
    }

    /// Initiator: goes on with the method of the answer.
    fn take(&self, from: Offering, theirs: &Security, block: u16) -> Result<Secured> {
        let method = methods::answered(&from.security, theirs)?;
        if method == Method::X509 {
            let Offering { config, endpoint, security, .. } = from;
            let party = initiator::Party {
                own: config.own,
                peer: config.peer,
                policy: config.policy,
                profile: config.profile,
                password: config.password,
                preparation: config.preparation,
                guesses: config.guesses,
                recording: config.recording,
                announced: theirs.mechanisms().cloned().collect(),
                offers: [security.canonical(), theirs.canonical()],
            };
            return Ok(Secured::initiator(endpoint, party, theirs.fingerprint(), &self.limits));
        }
        #[cfg(feature = "openssl")]
        {
            let Offering { config, security, prepared, .. } = from;
            let place = Place {
                initiator: &config.own,
                responder: &config.peer,
                sid: &self.sid,
                block,
                now: self.now,
            };
            let proving = prepared.handshake(method, &config, &place, [&security, theirs])?;
            let digest = digest([&config.own, &config.peer], [&security, theirs]);
            let InitiatorConfig { own, peer, .. } = config;
            let party = direct::Party { side: Side::Client, own, peer, digest, refused: vec![] };
            Ok(Secured::proving(proving, party, &self.limits))
        }
        #[cfg(not(feature = "openssl"))]
        {
            let _ = block;
            Err(Error::new(&rules::OTHER_METHOD).about(method.name()))
        }
    }

    /// A Jingle request on this session.
    pub(super) fn jingle(&mut self, id: &str, payload: &Element) {
        if self.has_ended() {
            return self.refuse(id, unknown_session());
        }
        let jingle = match Jingle::from_element(payload) {
            Ok(jingle) => jingle,
            Err(error) => {
                self.refuse(id, Refusal::modify(DefinedCondition::BadRequest));
                return self.fail(error);
            }
        };
        match jingle.action {
            Action::SessionAccept => match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Offering(offering) => {
                    self.acknowledge(id);
                    self.granted(Request::Initiate);
                    self.round_trip();
                    if let Err(error) = self.open(*offering, jingle) {
                        self.terminate(reason(&error, false));
                        self.end(Event::Failed(error));
                    }
                }
                other => {
                    self.phase = other;
                    self.refuse(id, out_of_order());
                }
            },
            Action::SessionInitiate => self.refuse(id, out_of_order()),
            Action::SessionInfo if payload.children().next().is_none() => self.acknowledge(id),
            Action::SessionInfo => {
                let refusal = Refusal::modify(DefinedCondition::FeatureNotImplemented);
                self.refuse(id, refusal.with("unsupported-info", ns::JINGLE_ERRORS));
            }
            // A hint that TLS itself repeats.
            Action::SecurityInfo => self.acknowledge(id),
            Action::SessionTerminate => {
                self.acknowledge(id);
                self.terminated(jingle.reason());
            }
            Action::TransportInfo
            | Action::TransportReplace
            | Action::TransportAccept
            | Action::TransportReject => self.transport(id, jingle),
            Action::Other => self.refuse(id, Refusal::cancel(DefinedCondition::FeatureNotImplemented)),
        }
    }

    /// The peer has ended the session.
    pub(super) fn terminated(&mut self, reason: Option<Reason>) {
        if !self.awaits_octets(reason) {
            self.terminated_for(reason);
        }
    }

    pub(super) fn terminated_for(&mut self, reason: Option<Reason>) {
        if self.is_complete() {
            return self.end(Event::Closed);
        }
        let rule = match (reason, self.verified) {
            (Some(Reason::SecurityError), _) => &rules::SECURITY_REFUSED,
            (_, true) => &rules::CUT_SHORT,
            (_, false) => &rules::DECLINED,
        };
        let name = reason.map_or("no reason", Reason::name);
        self.end(Event::Failed(Error::new(rule).about(name)));
    }
}

pub(in crate::xmpp) fn unknown_session() -> Refusal {
    Refusal::cancel(DefinedCondition::ItemNotFound).with("unknown-session", ns::JINGLE_ERRORS)
}

pub(super) fn out_of_order() -> Refusal {
    Refusal::modify(DefinedCondition::UnexpectedRequest).with("out-of-order", ns::JINGLE_ERRORS)
}

/// What both ends must have seen: the digest of the context, initiator first.
#[cfg(feature = "openssl")]
fn digest([initiator, responder]: [&jid::FullJid; 2], [offer, answer]: [&Security; 2]) -> [u8; 32] {
    crate::context::Context::between(initiator.as_str(), responder.as_str())
        .with_offer(offer.canonical())
        .with_offer(answer.canonical())
        .digest()
}

/// What holds for an offer in either direction.
fn check(offer: Offer) -> Result<Offer> {
    if offer.creator != Creator::Initiator {
        return Err(Error::new(&jingle::rules::OTHER_CONTENT).about("creator"));
    }
    if let Transport::InBand(transport) = &offer.transport {
        check_in_band(transport)?;
    }
    Ok(offer)
}

pub(super) fn check_in_band(transport: &InBand) -> Result<()> {
    if transport.stanza != Stanza::Iq {
        Err(Error::new(&jingle::rules::OTHER_TRANSPORT))
    } else if (ibb::BLOCK_MIN..=ibb::BLOCK_MAX).contains(&transport.block_size) {
        Ok(())
    } else {
        Err(Error::new(&jingle::rules::BLOCK_SIZE))
    }
}
