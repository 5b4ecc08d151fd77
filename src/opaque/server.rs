//! The server side: [`ExpectClientExchange`], [`ExpectClientConfirm`], done.

use rand_core::CryptoRng;

use super::credential::simulated_keys;
use super::protocol::ServerLogin;
use super::rng::Draws;
use super::wire::{ClientConfirm, ClientExchange, ServerExchange};
use super::{NAME, context, parties, properties};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, Credential, ServerSetup};

/// The server before KE1 has come.
pub struct ExpectClientExchange {
    draws: Draws,
    setup: ServerSetup,
    binding: ChannelBinding,
}

/// The server between KE2 and KE3.
pub struct ExpectClientConfirm {
    login: ServerLogin,
    authcid: String,
    binding: ChannelBinding,
    context: Vec<u8>,
}

impl ExpectClientExchange {
    /// Draws a seed for the exchange.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`].
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let binding =
            setup.binding.clone().ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))?;
        Ok(Self { draws: Draws::new(rng), setup, binding })
    }

    /// Takes the client's name and KE1; gives hash parameters and KE2.
    ///
    /// An unknown user is answered with a stand-in record under keys of its own, always the same. Those keys are
    /// made for known users too, so that both take the same time.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`registry::rules::WRONG_CREDENTIAL`], those of the credential store and
    /// of [`ServerLogin::start`].
    pub fn handle(mut self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientConfirm)> {
        let ClientExchange { introduction, ke1 } = ClientExchange::parse(message)?;
        introduction.accept(self.binding.kind().name())?;
        let (authcid, credentials) = (introduction.authcid, &self.setup.credentials);
        let simulated = simulated_keys(credentials.simulation_seed(), authcid)?;
        let record = match credentials.lookup(&NAME, authcid)? {
            Some(Credential::Opaque(record)) => Some(record),
            #[allow(unreachable_patterns, reason = "the other kinds depend on features")]
            Some(_) => return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(NAME.as_str())),
            None => None,
        };
        let (keys, ksf) = match &record {
            Some(record) => (&**record.keys(), record.ksf()),
            None => (&simulated, credentials.simulated_ksf(&NAME).unwrap_or_default()),
        };
        let channel =
            self.setup.context.channel_identifier(&NAME, authcid, introduction.authzid, &self.binding);
        let context = context(&channel, ksf);
        let (login, ke2) = ServerLogin::start(
            keys,
            record.as_ref(),
            ke1,
            authcid.as_bytes(),
            &parties(&context, authcid),
            &mut self.draws,
        )?;
        let reply = ServerExchange { ksf, ke2: &ke2 }.to_bytes();
        let next =
            ExpectClientConfirm { login, authcid: authcid.to_owned(), binding: self.binding, context };
        Ok((reply, next))
    }
}

impl ExpectClientConfirm {
    /// Takes KE3.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`rules::WRONG_CONFIRMATION`](super::rules::WRONG_CONFIRMATION).
    pub fn handle(self, message: &[u8]) -> Result<Outcome> {
        let ClientConfirm { ke3 } = ClientConfirm::parse(message)?;
        let confirmed = self.login.finish(ke3, &parties(&self.context, &self.authcid))?;
        let (proof, key) = confirmed.into_parts();
        Ok(Outcome::new(proof, NAME, Side::Server, self.authcid, Some(self.binding)).with_key(key))
    }
}

/// The server side as a [`Mechanism`].
pub struct OpaqueServer(Option<State>);

enum State {
    ExpectClientExchange(Box<ExpectClientExchange>),
    ExpectClientConfirm(Box<ExpectClientConfirm>),
}

impl OpaqueServer {
    /// As [`ExpectClientExchange::new`].
    ///
    /// # Errors
    /// As [`ExpectClientExchange::new`].
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ExpectClientExchange::new(setup, rng)
            .map(|state| Self(Some(State::ExpectClientExchange(Box::new(state)))))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ServerSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)?))
    }
}

impl Mechanism for OpaqueServer {
    fn name(&self) -> MechanismName {
        NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.0.take() {
            Some(State::ExpectClientExchange(state)) => {
                let (reply, next) = state.handle(input)?;
                self.0 = Some(State::ExpectClientConfirm(Box::new(next)));
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
