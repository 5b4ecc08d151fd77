//! The responder inside the tunnel: stream receiver and SASL server. Each state is consumed by the item that it waits
//! for.

use std::sync::Arc;

use jid::FullJid;

use crate::binding::{BindingType, ChannelBinding};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::guess::{Guess, Guesses};
use crate::mechanism::{MechanismName, Outcome, Side};
use crate::registry::{self, CredentialStore, ServerSetup};
use crate::sasl::{Condition, ServerExchange, ServerStep};
use crate::xmpp::profile::{Profile, Request};
use crate::xmpp::sasl::Features;
use crate::xmpp::sasl2::Authentication;
use crate::xmpp::stream::{Header, Item, to_octets};

use super::recording::Recording;
use super::rules;
use super::secured::{After, Fault, Next, Tools, bare, check_header, element};

/// What the responder knows when the tunnel opens.
pub(super) struct Party {
    pub(super) own: FullJid,
    pub(super) peer: FullJid,
    /// What it offers, in its order.
    pub(super) mechanisms: Vec<MechanismName>,
    pub(super) credentials: Arc<dyn CredentialStore>,
    pub(super) guesses: Option<Guesses>,
    pub(super) recording: Recording,
    /// What the initiator named and our policy does not let through.
    pub(super) refused: Vec<(MechanismName, &'static str)>,
    /// Both `<security/>` elements as canonical octets, the initiator's first.
    pub(super) offers: [Vec<u8>; 2],
}

pub(super) enum State {
    Header(ExpectHeader),
    Auth(ExpectAuth),
    Response(ExpectResponse),
    NewHeader(ExpectNewHeader),
}

impl State {
    pub(super) fn start(party: Party) -> Self {
        Self::Header(ExpectHeader { party })
    }

    pub(super) fn advance(
        self,
        item: Item,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<Self>, Fault> {
        match self {
            Self::Header(state) => state.advance(item, tools),
            Self::Auth(state) => state.advance(item, binding, tools),
            Self::Response(state) => state.advance(item, tools),
            Self::NewHeader(state) => state.advance(item, tools),
        }
    }

    /// The header that an error has to be preceded by, when none was sent.
    pub(super) fn unsent_header(&self, tools: &mut Tools<'_>) -> Option<Vec<u8>> {
        match self {
            Self::Header(ExpectHeader { party: Party { own, peer, .. } })
            | Self::NewHeader(ExpectNewHeader { own, peer, .. }) => Some(header(own, peer, tools)),
            _ => None,
        }
    }
}

/// Waits for the initiator's stream header.
pub(super) struct ExpectHeader {
    party: Party,
}

impl ExpectHeader {
    fn advance(self, item: Item, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        let party = self.party;
        let mut octets = header(&party.own, &party.peer, tools);
        check_header(item, &party.own, &party.peer).map_err(|fault| fault.after(octets.clone()))?;
        let features = Features::new()
            .with_mechanisms(party.mechanisms.iter().cloned())
            .with_binding_types([BindingType::TlsExporter])
            .with_sasl2(Authentication::new(party.mechanisms.iter().cloned()));
        octets.extend(to_octets(&features.to_element()).map_err(Fault::silent)?);
        Ok(Next::Wait(State::Auth(ExpectAuth { party }), octets))
    }
}

/// Waits for the choice of a mechanism.
pub(super) struct ExpectAuth {
    party: Party,
}

impl ExpectAuth {
    fn advance(
        self,
        item: Item,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<State>, Fault> {
        let element = element(item)?;
        let profile = Profile::of(&element);
        let failure = |error| failure(profile, error);
        let message = profile.request(&element).map_err(failure)?;
        *tools.sasl_messages += 1;
        let (name, initial) = match message {
            Request::Auth { mechanism, initial } => (mechanism, initial),
            Request::Abort => return Err(aborted(profile)),
            Request::Response(_) => return Err(failure(Error::new(&rules::OUT_OF_ORDER))),
        };
        let Party { own, peer, mechanisms, credentials, guesses, recording, refused, offers } = self.party;
        if !mechanisms.contains(&name) {
            let error = Error::new(&registry::rules::UNKNOWN_MECHANISM).about(name.as_str());
            return Err(failure(error));
        }
        // Before the mechanism exists, and so before its first group operation.
        let mut guess =
            guesses.map(|guesses| guesses.reserve(&bare(&peer), tools.now)).transpose().map_err(failure)?;
        let [theirs, ours] = offers;
        let context = Context::between(peer.as_str(), own.as_str())
            .with_mechanisms(mechanisms)
            .with_binding_types([BindingType::TlsExporter])
            .with_offer(theirs)
            .with_offer(ours);
        let setup = ServerSetup { credentials, binding: Some(binding.clone()), context };
        let mechanism = registry::find(&name)
            .and_then(|row| row.server(setup, tools.rng))
            .inspect_err(|_| guess.take().map_or((), Guess::unused))
            .map_err(failure)?;
        let mechanism = recording.around(mechanism, Side::Server);
        let (exchange, step) =
            ServerExchange::start_counted(mechanism, initial.as_deref(), guess).map_err(failure)?;
        ExpectResponse { own, peer, profile, exchange, refused }.answer(step, tools)
    }
}

/// Waits for a response.
pub(super) struct ExpectResponse {
    own: FullJid,
    peer: FullJid,
    profile: Profile,
    exchange: ServerExchange,
    refused: Vec<(MechanismName, &'static str)>,
}

impl ExpectResponse {
    fn advance(mut self, item: Item, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        let profile = self.profile;
        let failure = |error| failure(profile, error);
        let message = profile.request(&element(item)?).map_err(failure)?;
        *tools.sasl_messages += 1;
        let step = match message {
            Request::Response(data) => self.exchange.response(&data).map_err(failure)?,
            Request::Abort => return Err(aborted(profile)),
            Request::Auth { .. } => return Err(failure(Error::new(&rules::OUT_OF_ORDER))),
        };
        self.answer(step, tools)
    }

    fn answer(self, step: ServerStep, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        *tools.sasl_messages += 1;
        let profile = self.profile;
        match step {
            ServerStep::Challenge(data) => {
                let octets = to_octets(&profile.challenge(data)).map_err(Fault::silent)?;
                Ok(Next::Wait(State::Response(self), octets))
            }
            ServerStep::Success(data, outcome) => {
                self.check_identity(&outcome).map_err(|error| failure(profile, error))?;
                let success = profile.success(data, self.peer.clone().into_bare());
                let mut octets = to_octets(&success).map_err(Fault::silent)?;
                let Self { own, peer, refused, .. } = self;
                let (after, next) = match profile {
                    Profile::Sasl => {
                        let state = State::NewHeader(ExpectNewHeader { own, peer, refused });
                        (After::NewStream, Next::Wait(state, octets))
                    }
                    Profile::Sasl2 => {
                        octets.extend(to_octets(&Features::new().to_element()).map_err(Fault::silent)?);
                        (After::SameStream, Next::Live(octets, refused))
                    }
                };
                Ok(Next::Verify(Box::new(outcome), after, Box::new(next)))
            }
        }
    }

    /// The initiator speaks for its own bare JID and for nobody else.
    fn check_identity(&self, outcome: &Outcome) -> Result<()> {
        let own = bare(&self.peer);
        let acts_for = outcome.authzid().unwrap_or(outcome.authcid());
        if outcome.authcid() == own && acts_for == own {
            Ok(())
        } else {
            Err(Error::new(&rules::OTHER_IDENTITY).about(acts_for))
        }
    }
}

/// Verified; waits for the initiator's header of the new stream.
pub(super) struct ExpectNewHeader {
    own: FullJid,
    peer: FullJid,
    refused: Vec<(MechanismName, &'static str)>,
}

impl ExpectNewHeader {
    fn advance(self, item: Item, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        let mut octets = header(&self.own, &self.peer, tools);
        check_header(item, &self.own, &self.peer).map_err(|fault| fault.after(octets.clone()))?;
        octets.extend(to_octets(&Features::new().to_element()).map_err(Fault::silent)?);
        Ok(Next::Live(octets, self.refused))
    }
}

fn header(own: &FullJid, peer: &FullJid, tools: &mut Tools<'_>) -> Vec<u8> {
    Header::new().with_from(own.clone()).with_to(peer.clone()).with_id(tools.random_id()).to_octets()
}

fn failure(profile: Profile, error: Error) -> Fault {
    let condition = Condition::of(&error);
    Fault::with(error, profile.failure(condition))
}

fn aborted(profile: Profile) -> Fault {
    Fault::with(Error::new(&rules::ABORTED_BY_PEER), profile.failure(Condition::Aborted))
}
