//! The initiator inside the tunnel: stream initiator and SASL client. Each state is consumed by the item that it waits
//! for.

use jid::FullJid;

use crate::binding::{BindingType, ChannelBinding};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::guess::{Guess, Guesses};
use crate::mechanism::{MechanismName, Side};
use crate::prep::Preparation;
use crate::registry::{self, ClientSetup};
use crate::sasl::{self, ClientExchange, Policy, Selection};
use crate::secret::Password;
use crate::xmpp::profile::{Profile, Reply};
use crate::xmpp::sasl::Features;
use crate::xmpp::stream::{Header, Item, to_octets};

use super::recording::Recording;
use super::rules;
use super::secured::{After, Fault, Next, Tools, bare, check_header, element};

/// What the initiator knows when the tunnel opens.
pub(super) struct Party {
    pub(super) own: FullJid,
    pub(super) peer: FullJid,
    pub(super) policy: Policy,
    pub(super) profile: Profile,
    pub(super) password: Password,
    pub(super) preparation: Preparation,
    pub(super) guesses: Option<Guesses>,
    pub(super) recording: Recording,
    /// The mechanisms that the responder named in the open.
    pub(super) announced: Vec<MechanismName>,
    /// Both `<security/>` elements as canonical octets, ours first.
    pub(super) offers: [Vec<u8>; 2],
}

pub(super) enum State {
    Header(ExpectHeader),
    Features(ExpectFeatures),
    Reply(Box<ExpectReply>),
    NewHeader(ExpectNewHeader),
    NewFeatures(ExpectNewFeatures),
}

impl State {
    /// The first state, and what to send on the way into it: the header, and where the responder has said enough in
    /// the open the choice of a mechanism as well, which saves waiting for the features.
    pub(super) fn start(
        party: Party,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<(Self, Vec<u8>)> {
        let mut octets = header(&party.own, &party.peer);
        let early = party.policy.select(&party.announced).ok().filter(|_| party.profile == Profile::Sasl2);
        let plan = if let Some(selection) = early {
            let announced = party.announced.clone();
            let (state, auth) =
                party.authenticate(Profile::Sasl2, selection, announced.clone(), binding, tools)?;
            octets.extend(auth);
            Plan::Compare(announced, state)
        } else {
            Plan::Choose(Box::new(party))
        };
        Ok((Self::Header(ExpectHeader { plan }), octets))
    }

    pub(super) fn advance(
        self,
        item: Item,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<Self>, Fault> {
        match self {
            Self::Header(state) => state.advance(item),
            Self::Features(state) => state.advance(item, binding, tools),
            Self::Reply(state) => state.advance(item, tools),
            Self::NewHeader(state) => state.advance(item),
            Self::NewFeatures(state) => state.advance(item),
        }
    }
}

/// What is to be done with the features.
enum Plan {
    /// Choose from them.
    Choose(Box<Party>),
    /// They must offer what was announced: the choice is on its way.
    Compare(Vec<MechanismName>, Box<ExpectReply>),
}

/// Waits for the responder's stream header.
pub(super) struct ExpectHeader {
    plan: Plan,
}

impl ExpectHeader {
    fn advance(self, item: Item) -> Result<Next<State>, Fault> {
        let (own, peer) = match &self.plan {
            Plan::Choose(party) => (&party.own, &party.peer),
            Plan::Compare(_, state) => (&state.own, &state.peer),
        };
        check_header(item, own, peer)?;
        Ok(Next::Wait(State::Features(ExpectFeatures { plan: self.plan }), vec![]))
    }
}

/// Waits for the features with the mechanisms.
pub(super) struct ExpectFeatures {
    plan: Plan,
}

impl ExpectFeatures {
    fn advance(
        self,
        item: Item,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<State>, Fault> {
        let features = Features::from_element(&element(item)?).map_err(Fault::malformed)?;
        match self.plan {
            Plan::Choose(party) => {
                let profile = if features.sasl2.is_some() { party.profile } else { Profile::Sasl };
                party.choose(profile, features, binding, tools).map_err(|error| abort(profile, error))
            }
            Plan::Compare(announced, state) => {
                let profile = state.profile;
                compare(features, &announced).map_err(|error| abort(profile, error))?;
                Ok(Next::Wait(State::Reply(state), vec![]))
            }
        }
    }
}

impl Party {
    fn choose(
        self,
        profile: Profile,
        features: Features,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<State>> {
        check_binding(&features)?;
        let mechanisms = match (profile, features.sasl2) {
            (Profile::Sasl2, Some(sasl2)) => sasl2.mechanisms,
            _ => features.mechanisms,
        };
        let selection = self.policy.select(&mechanisms)?;
        let (state, auth) = self.authenticate(profile, selection, mechanisms, binding, tools)?;
        Ok(Next::Wait(State::Reply(state), auth))
    }

    /// Begins with what was chosen from these mechanisms.
    fn authenticate(
        self,
        profile: Profile,
        selection: Selection,
        mechanisms: Vec<MechanismName>,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<(Box<ExpectReply>, Vec<u8>)> {
        let Self { own, peer, password, preparation, guesses, recording, offers, .. } = self;
        // Before the mechanism exists, and so before its first group operation.
        let mut guess = guesses.map(|guesses| guesses.reserve(&bare(&peer), tools.now)).transpose()?;
        let [ours, theirs] = offers;
        let context = Context::between(own.as_str(), peer.as_str())
            .with_mechanisms(mechanisms)
            .with_binding_types([BindingType::TlsExporter])
            .with_offer(ours)
            .with_offer(theirs);
        let setup = ClientSetup {
            authcid: bare(&own),
            authzid: None,
            password,
            preparation,
            binding: Some(binding.clone()),
            context,
        };
        let mechanism = registry::find(&selection.chosen)?
            .client(setup, tools.rng)
            .inspect_err(|_| guess.take().map_or((), Guess::unused))?;
        let mechanism = recording.around(mechanism, Side::Client);
        let (exchange, initial) = ClientExchange::start_counted(mechanism, guess)?;
        let auth = to_octets(&profile.auth(selection.chosen.clone(), initial))?;
        *tools.sasl_messages += 1;
        Ok((Box::new(ExpectReply { own, peer, profile, exchange, selection }), auth))
    }
}

/// That the responder offers, in the tunnel, what it has announced in the open.
fn compare(features: Features, announced: &[MechanismName]) -> Result<()> {
    check_binding(&features)?;
    match features.sasl2 {
        Some(sasl2) if sasl2.mechanisms == announced => Ok(()),
        _ => Err(Error::new(&rules::OTHER_MECHANISMS)),
    }
}

/// That the responder binds to the exporter value, and names nothing else that we might have in common.
fn check_binding(features: &Features) -> Result<()> {
    if features.binding_types == [BindingType::TlsExporter] {
        Ok(())
    } else {
        Err(Error::new(&rules::NO_EXPORTER))
    }
}

/// Waits for a challenge or the result.
pub(super) struct ExpectReply {
    own: FullJid,
    peer: FullJid,
    profile: Profile,
    exchange: ClientExchange,
    selection: Selection,
}

impl ExpectReply {
    fn advance(mut self: Box<Self>, item: Item, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        let profile = self.profile;
        let abort = |error| abort(profile, error);
        let message = profile.reply(&element(item)?).map_err(abort)?;
        *tools.sasl_messages += 1;
        match message {
            Reply::Challenge(data) => {
                let response = self.exchange.challenge(&data).map_err(abort)?;
                *tools.sasl_messages += 1;
                let octets = to_octets(&profile.response(response)).map_err(abort)?;
                Ok(Next::Wait(State::Reply(self), octets))
            }
            Reply::Success { additional, identity } => {
                let own = self.own.clone().into_bare();
                let outcome = self.exchange.success(additional.as_deref()).map_err(abort)?;
                let (after, next) = match identity {
                    None => {
                        let octets = header(&self.own, &self.peer);
                        let state =
                            ExpectNewHeader { own: self.own, peer: self.peer, selection: self.selection };
                        (After::NewStream, Next::Wait(State::NewHeader(state), octets))
                    }
                    Some((identity, false)) if identity == own => {
                        let state = ExpectNewFeatures { selection: self.selection };
                        (After::SameStream, Next::Wait(State::NewFeatures(state), vec![]))
                    }
                    Some((identity, _)) => {
                        let error = Error::new(&rules::OTHER_IDENTITY).about(identity.as_str());
                        return Err(Fault::silent(error));
                    }
                };
                Ok(Next::Verify(Box::new(outcome), after, Box::new(next)))
            }
            Reply::Failure(condition) => Err(Fault::silent(sasl::refused(condition))),
            Reply::Continue(tasks) => Err(abort(Error::new(&rules::MORE_TASKS).about(tasks.join(", ")))),
        }
    }
}

/// Verified; waits for the responder's header of the new stream.
pub(super) struct ExpectNewHeader {
    own: FullJid,
    peer: FullJid,
    selection: Selection,
}

impl ExpectNewHeader {
    fn advance(self, item: Item) -> Result<Next<State>, Fault> {
        check_header(item, &self.own, &self.peer)?;
        Ok(Next::Wait(State::NewFeatures(ExpectNewFeatures { selection: self.selection }), vec![]))
    }
}

/// Verified; waits for the features that follow, which need not hold anything.
pub(super) struct ExpectNewFeatures {
    selection: Selection,
}

impl ExpectNewFeatures {
    fn advance(self, item: Item) -> Result<Next<State>, Fault> {
        Features::from_element(&element(item)?).map_err(Fault::malformed)?;
        Ok(Next::Live(vec![], self.selection.refused))
    }
}

fn header(own: &FullJid, peer: &FullJid) -> Vec<u8> {
    Header::new().with_from(own.clone()).with_to(peer.clone()).to_octets()
}

fn abort(profile: Profile, error: Error) -> Fault {
    Fault::with(error, profile.abort())
}
