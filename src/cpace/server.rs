//! The server side: [`ExpectClientShare`], [`ExpectClientConfirm`], done.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::protocol::{Inputs, Responder, Unconfirmed};
use super::suite::Suite;
use super::wire::{ADB, ClientConfirm, ClientShare, ServerShare};
use super::{properties, session_identifier, unique};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, Credential, ServerSetup};
use crate::wire::Introduction;

/// The server before the client's share has come.
pub struct ExpectClientShare {
    suite: Suite,
    setup: ServerSetup,
    binding: ChannelBinding,
    responder: Responder,
    /// Stands in for the password of an unknown user. Unlike SCRAM's salt nothing of it is ever shown, so it need
    /// not be the same in the next exchange.
    stand_in: Zeroizing<[u8; 32]>,
}

/// The server between its share and the client's confirmation.
pub struct ExpectClientConfirm {
    suite: Suite,
    authcid: String,
    binding: ChannelBinding,
    unconfirmed: Unconfirmed,
}

impl ExpectClientShare {
    /// Draws the scalar.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`], [`rules::BINDING_NOT_UNIQUE`](super::rules::BINDING_NOT_UNIQUE).
    pub fn new(suite: Suite, setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let binding = unique(setup.binding.clone())?;
        let responder = Responder::new(suite, rng);
        let mut stand_in = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *stand_in);
        Ok(Self { suite, setup, binding, responder, stand_in })
    }

    /// Takes the client's share; gives ours with our confirmation.
    ///
    /// For an unknown user the same work is done on a random password, and the answer looks the same.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`registry::rules::WRONG_CREDENTIAL`], those of the credential store and
    /// of [`Responder::respond`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientConfirm)> {
        let ClientShare { ada, introduction, share } = ClientShare::parse(message)?;
        introduction.accept(self.binding.kind().name())?;
        let Introduction { authzid, authcid, .. } = introduction;
        let name = self.suite.mechanism();
        let stored = match self.setup.credentials.lookup(&name, authcid)? {
            Some(Credential::Password(password)) => Some(password),
            #[allow(unreachable_patterns, reason = "the other kinds depend on features")]
            Some(_) => return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(name.as_str())),
            None => None,
        };
        let inputs = Inputs {
            prs: stored.as_ref().map_or(&self.stand_in[..], |password| password.expose().as_bytes()),
            ci: &self.setup.context.channel_identifier(&name, authcid, authzid, &self.binding),
            sid: &session_identifier(&self.binding),
        };
        let (unconfirmed, yb, tb) = self.responder.respond(inputs, share, ada, &ADB)?;
        let reply = ServerShare { share: &yb, tag: &tb }.to_bytes();
        let next = ExpectClientConfirm {
            suite: self.suite,
            authcid: authcid.to_owned(),
            binding: self.binding,
            unconfirmed,
        };
        Ok((reply, next))
    }
}

impl ExpectClientConfirm {
    /// Takes the client's confirmation.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`rules::WRONG_CONFIRMATION`](super::rules::WRONG_CONFIRMATION).
    pub fn handle(self, message: &[u8]) -> Result<Outcome> {
        let ClientConfirm { tag } = ClientConfirm::parse(message)?;
        let (proof, key) = self.unconfirmed.finish(tag)?.into_parts();
        let outcome =
            Outcome::new(proof, self.suite.mechanism(), Side::Server, self.authcid, Some(self.binding));
        Ok(outcome.with_key(key))
    }
}

/// The server side as a [`Mechanism`].
pub struct CpaceServer {
    suite: Suite,
    state: Option<State>,
}

enum State {
    ExpectClientShare(ExpectClientShare),
    ExpectClientConfirm(ExpectClientConfirm),
}

impl CpaceServer {
    /// As [`ExpectClientShare::new`].
    ///
    /// # Errors
    /// As [`ExpectClientShare::new`].
    pub fn new(suite: Suite, setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let state = ExpectClientShare::new(suite, setup, rng)?;
        Ok(Self { suite, state: Some(State::ExpectClientShare(state)) })
    }

    pub(crate) fn boxed(
        name: &MechanismName,
        setup: ServerSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(Suite::of(name)?, setup, rng)?))
    }
}

impl Mechanism for CpaceServer {
    fn name(&self) -> MechanismName {
        self.suite.mechanism()
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.state.take() {
            Some(State::ExpectClientShare(state)) => {
                let (reply, next) = state.handle(input)?;
                self.state = Some(State::ExpectClientConfirm(next));
                Ok(Step::Continue(reply))
            }
            Some(State::ExpectClientConfirm(state)) => {
                let outcome = state.handle(input)?;
                Ok(Step::Finished { reply: None, outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
