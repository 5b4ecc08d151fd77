//! Jingle: how a session is offered, taken and ended.

use minidom::Element;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, Result};
use crate::tls::{Endpoint, Fingerprint};
use crate::xmpp::ibb::{self, Bytestream};
use crate::xmpp::iq::Refusal;
use crate::xmpp::jingle::{self, Action, Content, Creator, Jingle, Method, Offer, Reason, Security};
use crate::xmpp::ns;

#[cfg(feature = "openssl")]
use super::in_tls::{self, Place};
use super::methods::{self, Acceptable};
use super::secured::{self, Secured};
use super::{
    Connection, Discovering, Event, Offering, Phase, Request, ResponderConfig, Session, initiator, reason,
    responder, rules,
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
                jingle.into_offer().and_then(|offer| check(&offer).map(|()| offer))
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
        let block = offer.transport.block_size.min(self.limits.block);
        let (security, secured) = match self.answer(config, endpoint, &offer.security, block) {
            Ok(answer) => answer,
            Err(error) => {
                self.terminate(reason(&error, false));
                return self.end(Event::Failed(error));
            }
        };
        let stream = offer.transport.sid.0;
        let mut content = Content::new(block, &stream, security);
        content.name = offer.name;
        self.stream = Some(stream.clone());
        let bytes = Bytestream::new(stream, block, self.limits.window);
        self.phase = Phase::Accepting(Box::new(Connection { secured, bytes, closer: false }));
        let mut jingle = Jingle::new(Action::SessionAccept, &self.sid).with_content(content);
        jingle.responder = Some(self.own.clone().into());
        self.request(Request::Accept, jingle.to_element());
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

    /// Initiator: the peer supports what is needed.
    pub(super) fn offer(&mut self, from: Discovering) {
        if let Err(error) = self.make_offer(from) {
            // The peer knows nothing of the session yet.
            self.end(Event::Failed(error));
        }
    }

    fn make_offer(&mut self, from: Discovering) -> Result<()> {
        let Discovering { config, endpoint } = from;
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
        let content = Content::new(self.limits.block, &stream, security.clone());
        let mut jingle = Jingle::new(Action::SessionInitiate, &self.sid).with_content(content);
        jingle.initiator = Some(self.own.clone().into());
        self.phase = Phase::Offering(Box::new(Offering {
            config,
            endpoint,
            security,
            stream,
            #[cfg(feature = "openssl")]
            prepared,
        }));
        self.request(Request::Initiate, jingle.to_element());
        Ok(())
    }

    /// Initiator: the offer was taken.
    pub(super) fn open(&mut self, from: Offering, accept: Jingle) -> Result<()> {
        if accept.responder.as_ref().is_some_and(|responder| *responder != self.peer) {
            return Err(Error::new(&jingle::rules::OTHER_CONTENT).about("responder"));
        }
        let offer = accept.into_offer()?;
        check(&offer)?;
        if offer.name != jingle::CONTENT_NAME
            || offer.transport.sid.0 != from.stream
            || offer.transport.block_size > self.limits.block
        {
            return Err(Error::new(&jingle::rules::OTHER_CONTENT));
        }
        let stream = from.stream.clone();
        let secured = self.take(from, &offer)?;
        self.stream = Some(stream.clone());
        let bytes = Bytestream::new(stream, offer.transport.block_size, self.limits.window);
        let open = bytes.open();
        self.phase = Phase::Opening(Box::new(Connection { secured, bytes, closer: false }));
        self.request(Request::Open, open);
        Ok(())
    }

    /// Initiator: goes on with the method of the answer.
    fn take(&self, from: Offering, offer: &Offer) -> Result<Secured> {
        let theirs = &offer.security;
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
                block: offer.transport.block_size,
                now: self.now,
            };
            let proving = prepared.handshake(method, &config, &place, [&security, theirs])?;
            let digest = digest([&config.own, &config.peer], [&security, theirs]);
            let InitiatorConfig { own, peer, .. } = config;
            let party = direct::Party { side: Side::Client, own, peer, digest, refused: vec![] };
            Ok(Secured::proving(proving, party, &self.limits))
        }
        #[cfg(not(feature = "openssl"))]
        Err(Error::new(&rules::OTHER_METHOD).about(method.name()))
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
            Action::Other => self.refuse(id, Refusal::cancel(DefinedCondition::FeatureNotImplemented)),
        }
    }

    /// The peer has ended the session.
    pub(super) fn terminated(&mut self, reason: Option<Reason>) {
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
fn check(offer: &Offer) -> Result<()> {
    if offer.creator != Creator::Initiator {
        return Err(Error::new(&jingle::rules::OTHER_CONTENT).about("creator"));
    }
    if (ibb::BLOCK_MIN..=ibb::BLOCK_MAX).contains(&offer.transport.block_size) {
        Ok(())
    } else {
        Err(Error::new(&jingle::rules::BLOCK_SIZE))
    }
}
