//! Jingle: how a session is offered, taken and ended.

use minidom::Element;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::error::{Error, Result};
use crate::tls::{Endpoint, Fingerprint};
use crate::xmpp::ibb::{self, Bytestream};
use crate::xmpp::iq::Refusal;
use crate::xmpp::jingle::{self, Action, Content, Creator, Jingle, Offer, Reason, Security};
use crate::xmpp::ns;

use super::secured::{self, Secured};
use super::{
    Connection, Discovering, Event, Offering, Phase, Request, ResponderConfig, Session, initiator, reason,
    responder, rules,
};

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
        let mechanisms = config.policy.acceptable();
        let security = Security::new(endpoint.certificate().map(Fingerprint::of), mechanisms.clone());
        let stream = offer.transport.sid.0;
        let block = offer.transport.block_size.min(self.limits.block);
        let mut content = Content::new(block, &stream, security.clone());
        content.name = offer.name;
        let named = offer.security.mechanisms().cloned().collect::<Vec<_>>();
        let party = responder::Party {
            own: self.own.clone(),
            peer: self.peer.clone(),
            mechanisms,
            credentials: config.credentials,
            guesses: config.guesses,
            recording: config.recording,
            refused: config.policy.refused(&named),
            offers: [offer.security.canonical(), security.canonical()],
        };
        let secured = Secured::responder(endpoint, party, offer.security.fingerprint(), &self.limits);
        self.stream = Some(stream.clone());
        let bytes = Bytestream::new(stream, block, self.limits.window);
        self.phase = Phase::Accepting(Box::new(Connection { secured, bytes, closer: false }));
        let mut jingle = Jingle::new(Action::SessionAccept, &self.sid).with_content(content);
        jingle.responder = Some(self.own.clone().into());
        self.request(Request::Accept, jingle.to_element());
    }

    /// Initiator: the peer supports what is needed.
    pub(super) fn offer(&mut self, from: Discovering) {
        let Discovering { config, endpoint } = from;
        let stream = secured::random_id(&mut *self.rng);
        let fingerprint = endpoint.certificate().map(Fingerprint::of);
        let security = Security::new(fingerprint, config.policy.acceptable());
        let content = Content::new(self.limits.block, &stream, security.clone());
        let mut jingle = Jingle::new(Action::SessionInitiate, &self.sid).with_content(content);
        jingle.initiator = Some(self.own.clone().into());
        self.phase = Phase::Offering(Offering { config, endpoint, security, stream });
        self.request(Request::Initiate, jingle.to_element());
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
        let Offering { config, endpoint, security, stream } = from;
        let party = initiator::Party {
            own: config.own,
            peer: config.peer,
            policy: config.policy,
            password: config.password,
            preparation: config.preparation,
            guesses: config.guesses,
            recording: config.recording,
            offers: [security.canonical(), offer.security.canonical()],
        };
        let secured = Secured::initiator(endpoint, party, offer.security.fingerprint(), &self.limits);
        self.stream = Some(stream.clone());
        let bytes = Bytestream::new(stream, offer.transport.block_size, self.limits.window);
        let open = bytes.open();
        self.phase = Phase::Opening(Box::new(Connection { secured, bytes, closer: false }));
        self.request(Request::Open, open);
        Ok(())
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
                    if let Err(error) = self.open(offering, jingle) {
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
