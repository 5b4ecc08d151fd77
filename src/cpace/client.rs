//! The client side: [`ClientReady`], [`ExpectServerShare`], done.

use rand_core::CryptoRng;

use super::protocol::{Initiator, Inputs};
use super::suite::Suite;
use super::wire::{ADB, ClientConfirm, ClientShare, ServerShare};
use super::{properties, session_identifier, unique};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::ClientSetup;
use crate::wire::Introduction;

/// The client before its first message.
pub struct ClientReady {
    message: Vec<u8>,
    next: ExpectServerShare,
}

/// The client between its share and the server's.
pub struct ExpectServerShare {
    suite: Suite,
    authcid: String,
    binding: ChannelBinding,
    initiator: Initiator,
}

impl ClientReady {
    /// Prepares the password and makes the share.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`](crate::registry::rules::BINDING_MISSING),
    /// [`rules::BINDING_NOT_UNIQUE`](super::rules::BINDING_NOT_UNIQUE),
    /// [`wire::rules`](crate::wire::rules) about identities, and those of the password's preparation.
    pub fn new(suite: Suite, setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let binding = unique(setup.binding)?;
        let authzid = setup.authzid.as_deref().unwrap_or_default();
        let introduction =
            Introduction { binding_type: binding.kind().name(), authzid, authcid: &setup.authcid };
        let ada = ClientShare::ada(&introduction)?;
        let prs = setup.preparation.prepare(&setup.password)?;
        let inputs = Inputs {
            prs: prs.expose(),
            ci: &setup.context.channel_identifier(&suite.mechanism(), &setup.authcid, authzid, &binding),
            sid: &session_identifier(&binding),
        };
        let initiator = Initiator::start(suite, inputs, &ada, rng)?;
        let message = [&ada, &initiator.share()[..]].concat();
        Ok(Self { message, next: ExpectServerShare { suite, authcid: setup.authcid, binding, initiator } })
    }

    /// Gives the first message.
    #[must_use]
    pub fn start(self) -> (Vec<u8>, ExpectServerShare) {
        (self.message, self.next)
    }
}

impl ExpectServerShare {
    /// Takes the server's share and confirmation; gives our confirmation, to be sent, and what was established.
    ///
    /// After an error nothing may be sent: our confirmation would let the peer test a password.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules) and those of [`Initiator::finish`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let ServerShare { share, tag } = ServerShare::parse(message)?;
        let (confirmed, ta) = self.initiator.finish(share, &ADB, tag)?;
        let (proof, key) = confirmed.into_parts();
        let outcome =
            Outcome::new(proof, self.suite.mechanism(), Side::Client, self.authcid, Some(self.binding));
        Ok((ClientConfirm { tag: &ta }.to_bytes(), outcome.with_key(key)))
    }
}

/// The client side as a [`Mechanism`].
pub struct CpaceClient {
    suite: Suite,
    state: Option<State>,
}

enum State {
    Ready(ClientReady),
    ExpectServerShare(ExpectServerShare),
}

impl CpaceClient {
    /// As [`ClientReady::new`].
    ///
    /// # Errors
    /// As [`ClientReady::new`].
    pub fn new(suite: Suite, setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ClientReady::new(suite, setup, rng).map(|ready| Self { suite, state: Some(State::Ready(ready)) })
    }

    pub(crate) fn boxed(
        name: &MechanismName,
        setup: ClientSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(Suite::of(name)?, setup, rng)?))
    }
}

impl Mechanism for CpaceClient {
    fn name(&self) -> MechanismName {
        self.suite.mechanism()
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.state.take() {
            Some(State::Ready(_)) if !input.is_empty() => Err(Error::new(&mechanism::rules::UNEXPECTED_DATA)),
            Some(State::Ready(ready)) => {
                let (message, next) = ready.start();
                self.state = Some(State::ExpectServerShare(next));
                Ok(Step::Continue(message))
            }
            Some(State::ExpectServerShare(state)) => {
                let (reply, outcome) = state.handle(input)?;
                Ok(Step::Finished { reply: Some(reply), outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
