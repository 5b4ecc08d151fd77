//! The client side: [`ClientReady`], [`ExpectServerExchange`], done.

use rand_core::CryptoRng;

use super::protocol::ClientLogin;
use super::wire::{ClientConfirm, ClientExchange, ServerExchange};
use super::{NAME, context, parties, properties};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, ClientSetup};
use crate::wire::Introduction;

/// The client before its first message.
pub struct ClientReady {
    message: Vec<u8>,
    next: ExpectServerExchange,
}

/// The client between KE1 and KE2.
pub struct ExpectServerExchange {
    login: ClientLogin,
    authcid: String,
    binding: ChannelBinding,
    channel: Vec<u8>,
}

impl ClientReady {
    /// Prepares and blinds the password.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`], [`wire::rules`](crate::wire::rules) about identities, and those of the
    /// password's preparation.
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let ClientSetup { authcid, authzid, password, preparation, binding, context } = setup;
        let binding = binding.ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))?;
        let authzid = authzid.as_deref().unwrap_or_default();
        let introduction = Introduction { binding_type: binding.kind().name(), authzid, authcid: &authcid };
        let password = preparation.prepare(&password)?;
        let (login, ke1) = ClientLogin::start(password.expose(), rng)?;
        let message = ClientExchange { introduction, ke1: &ke1 }.to_bytes()?;
        let channel = context.channel_identifier(&NAME, &authcid, authzid, &binding);
        Ok(Self { message, next: ExpectServerExchange { login, authcid, binding, channel } })
    }

    /// Gives the first message.
    #[must_use]
    pub fn start(self) -> (Vec<u8>, ExpectServerExchange) {
        (self.message, self.next)
    }
}

impl ExpectServerExchange {
    /// Takes hash parameters and KE2, stretches the password and opens the envelope; gives KE3, to be sent, and what was
    /// established, with the export key. The parameters are checked before the hash runs.
    ///
    /// After an error nothing may be sent.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`ksf::rules`](crate::ksf::rules) and those of
    /// [`ClientLogin::finish`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let ServerExchange { ksf, ke2 } = ServerExchange::parse(message)?;
        let context = context(&self.channel, ksf);
        let (ke3, confirmed, export_key) = self.login.finish(ke2, &parties(&context, &self.authcid), ksf)?;
        let (proof, key) = confirmed.into_parts();
        let outcome = Outcome::new(proof, NAME, Side::Client, self.authcid, Some(self.binding));
        let outcome = outcome.with_key(key).with_export_key(export_key);
        Ok((ClientConfirm { ke3: &ke3 }.to_bytes(), outcome))
    }
}

/// The client side as a [`Mechanism`].
pub struct OpaqueClient(Option<State>);

enum State {
    Ready(Box<ClientReady>),
    ExpectServerExchange(Box<ExpectServerExchange>),
}

impl OpaqueClient {
    /// As [`ClientReady::new`].
    ///
    /// # Errors
    /// As [`ClientReady::new`].
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ClientReady::new(setup, rng).map(|ready| Self(Some(State::Ready(Box::new(ready)))))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ClientSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)?))
    }
}

impl Mechanism for OpaqueClient {
    fn name(&self) -> MechanismName {
        NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.0.take() {
            Some(State::Ready(_)) if !input.is_empty() => Err(Error::new(&mechanism::rules::UNEXPECTED_DATA)),
            Some(State::Ready(ready)) => {
                let (message, next) = ready.start();
                self.0 = Some(State::ExpectServerExchange(Box::new(next)));
                Ok(Step::Continue(message))
            }
            Some(State::ExpectServerExchange(state)) => {
                let (reply, outcome) = state.handle(input)?;
                Ok(Step::Finished { reply: Some(reply), outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
