//! The initiator inside the tunnel: stream initiator and SASL client. Each state is consumed by the item that it waits
//! for.

use jid::FullJid;

use crate::binding::{BindingType, ChannelBinding};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::guess::{Guess, Guesses};
use crate::mechanism::Side;
use crate::prep::Preparation;
use crate::registry::{self, ClientSetup};
use crate::sasl::{self, ClientExchange, Policy, Selection};
use crate::secret::Password;
use crate::xmpp::sasl::{ClientMessage, Features, ServerMessage};
use crate::xmpp::stream::{Header, Item, to_octets};

use super::recording::Recording;
use super::rules;
use super::secured::{Fault, Next, Tools, check_header, element};

/// What the initiator knows when the tunnel opens.
pub(super) struct Party {
    pub(super) own: FullJid,
    pub(super) peer: FullJid,
    pub(super) policy: Policy,
    pub(super) password: Password,
    pub(super) preparation: Preparation,
    pub(super) guesses: Option<Guesses>,
    pub(super) recording: Recording,
    /// Both `<security/>` elements as canonical octets, ours first.
    pub(super) offers: [Vec<u8>; 2],
}

pub(super) enum State {
    Header(ExpectHeader),
    Features(ExpectFeatures),
    Reply(ExpectReply),
    NewHeader(ExpectNewHeader),
    NewFeatures(ExpectNewFeatures),
}

impl State {
    /// The first state, and what to send on the way into it.
    pub(super) fn start(party: Party) -> (Self, Vec<u8>) {
        let header = header(&party.own, &party.peer);
        (Self::Header(ExpectHeader { party }), header)
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

/// Waits for the responder's stream header.
pub(super) struct ExpectHeader {
    party: Party,
}

impl ExpectHeader {
    fn advance(self, item: Item) -> Result<Next<State>, Fault> {
        check_header(item, &self.party.own, &self.party.peer)?;
        Ok(Next::Wait(State::Features(ExpectFeatures { party: self.party }), vec![]))
    }
}

/// Waits for the features with the mechanisms.
pub(super) struct ExpectFeatures {
    party: Party,
}

impl ExpectFeatures {
    fn advance(
        self,
        item: Item,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<State>, Fault> {
        let features = Features::from_element(&element(item)?).map_err(Fault::malformed)?;
        self.choose(features, binding, tools).map_err(abort)
    }

    fn choose(
        self,
        features: Features,
        binding: &ChannelBinding,
        tools: &mut Tools<'_>,
    ) -> Result<Next<State>> {
        if features.binding_types != [BindingType::TlsExporter] {
            return Err(Error::new(&rules::NO_EXPORTER));
        }
        let Party { own, peer, policy, password, preparation, guesses, recording, offers } = self.party;
        let selection = policy.select(&features.mechanisms)?;
        // Before the mechanism exists, and so before its first group operation.
        let mut guess =
            guesses.map(|guesses| guesses.reserve(peer.to_bare().as_str(), tools.now)).transpose()?;
        let [ours, theirs] = offers;
        let context = Context::between(own.as_str(), peer.as_str())
            .with_mechanisms(features.mechanisms)
            .with_binding_types(features.binding_types)
            .with_offer(ours)
            .with_offer(theirs);
        let setup = ClientSetup {
            authcid: own.to_bare().to_string(),
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
        let auth = ClientMessage::Auth { mechanism: selection.chosen.clone(), initial };
        *tools.sasl_messages += 1;
        let state = ExpectReply { own, peer, exchange, selection };
        Ok(Next::Wait(State::Reply(state), to_octets(&auth.to_element())?))
    }
}

/// Waits for a challenge or the result.
pub(super) struct ExpectReply {
    own: FullJid,
    peer: FullJid,
    exchange: ClientExchange,
    selection: Selection,
}

impl ExpectReply {
    fn advance(mut self, item: Item, tools: &mut Tools<'_>) -> Result<Next<State>, Fault> {
        let message = ServerMessage::from_element(&element(item)?).map_err(abort)?;
        *tools.sasl_messages += 1;
        match message {
            ServerMessage::Challenge(data) => {
                let response = self.exchange.challenge(&data).map_err(abort)?;
                *tools.sasl_messages += 1;
                let octets = to_octets(&ClientMessage::Response(response).to_element()).map_err(abort)?;
                Ok(Next::Wait(State::Reply(self), octets))
            }
            ServerMessage::Success(data) => {
                let outcome = self.exchange.success(data.as_deref()).map_err(abort)?;
                let octets = header(&self.own, &self.peer);
                let state = ExpectNewHeader { own: self.own, peer: self.peer, selection: self.selection };
                Ok(Next::Verify(Box::new(outcome), State::NewHeader(state), octets))
            }
            ServerMessage::Failure(condition) => Err(Fault::silent(sasl::refused(condition))),
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

/// Verified; waits for the features of the new stream, which need not hold anything.
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

fn abort(error: Error) -> Fault {
    Fault::with(error, ClientMessage::Abort.to_element())
}
