//! The client side: [`ClientReady`], [`ExpectServerFirst`], [`ExpectServerSecond`], done.

use rand_core::CryptoRng;

use super::wire::{CLIENT_FIRST, ClientSecond, ServerFirst, ServerSecond};
use super::{Suite, draw, exponent_for, properties, required, session_key, transcript};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::ClientSetup;
use crate::secret::SecretBytes;
use crate::srp::client::{Client, ExpectServerProof};
use crate::srp::group::{Exponent, Share};
use crate::wire::Introduction;

/// The client before its first message.
pub struct ClientReady(ExpectServerFirst);

/// The client that has named itself.
pub struct ExpectServerFirst {
    suite: Suite,
    exponent: Exponent,
    authcid: String,
    password: SecretBytes,
    binding: ChannelBinding,
    channel: Vec<u8>,
    message: Vec<u8>,
}

/// The client that has sent its proof.
pub struct ExpectServerSecond {
    suite: Suite,
    authcid: String,
    binding: ChannelBinding,
    transcript: Vec<u8>,
    state: ExpectServerProof,
}

impl ClientReady {
    /// Prepares the password and draws a.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`](crate::registry::rules::BINDING_MISSING), those of the
    /// [framing](crate::wire::rules) about identities, and what the preparation refuses.
    pub fn new(suite: Suite, setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        Self::with(suite, draw(rng), setup)
    }

    pub(crate) fn with(suite: Suite, exponent: Exponent, setup: ClientSetup) -> Result<Self> {
        let binding = required(setup.binding)?;
        let authzid = setup.authzid.as_deref().unwrap_or_default();
        let introduction =
            Introduction { binding_type: binding.kind().name(), authzid, authcid: &setup.authcid };
        let message = introduction.to_message(CLIENT_FIRST)?;
        let channel = setup.context.channel_identifier(&suite.mechanism(), &setup.authcid, authzid, &binding);
        let password = setup.preparation.prepare(&setup.password)?;
        let authcid = setup.authcid;
        Ok(Self(ExpectServerFirst { suite, exponent, authcid, password, binding, channel, message }))
    }

    /// Gives the first message.
    #[must_use]
    pub fn start(self) -> (Vec<u8>, ExpectServerFirst) {
        (self.0.message.clone(), self.0)
    }
}

impl ExpectServerFirst {
    /// Takes the group, the password hash, the salt and B; gives A and the proof.
    ///
    /// This runs the slow password hash, after all that the server sent was checked.
    ///
    /// # Errors
    /// Those of the [framing](crate::wire::rules) and of [`ksf`](crate::ksf::rules); [`rules`](crate::srp::rules)
    /// `UNKNOWN_GROUP`, `GROUP_TOO_SMALL`, `GROUP_TOO_SMALL_FOR_PLUS`; those of [`Client::respond`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectServerSecond)> {
        let Self { suite, exponent, authcid, password, binding, channel, message: first } = self;
        let ServerFirst { group, ksf, salt, b } = ServerFirst::parse(message)?;
        let b = Share::parse(group, b)?;
        let transcript = transcript(suite.hash(), &channel, &first, message);
        let client = Client::with(suite.parameters_in(group, ksf), exponent_for(group, &exponent));
        let a = client.public_value().to_vec();
        let state = client.respond_with(&authcid, &password, salt, &b, &transcript)?;
        let reply = ClientSecond { a: &a, m1: state.proof() }.to_bytes();
        Ok((reply, ExpectServerSecond { suite, authcid, binding, transcript, state }))
    }
}

impl ExpectServerSecond {
    /// Takes the server's proof.
    ///
    /// # Errors
    /// Those of the [framing](crate::wire::rules); [`rules`](crate::srp::rules) `WRONG_SERVER_PROOF`.
    pub fn handle(self, message: &[u8]) -> Result<Outcome> {
        let Self { suite, authcid, binding, transcript, state } = self;
        let ServerSecond { m2 } = ServerSecond::parse(message, suite.hash())?;
        let (proof, key) = state.finish_with(m2, &transcript)?.into_parts();
        let outcome = Outcome::new(proof, suite.mechanism(), Side::Client, authcid, Some(binding));
        Ok(outcome.with_key(session_key(suite.hash(), key.expose(), &transcript)))
    }
}

/// The client side as a [`Mechanism`].
pub struct SrpPlusClient {
    suite: Suite,
    state: Option<State>,
}

enum State {
    Ready(ClientReady),
    ExpectServerFirst(ExpectServerFirst),
    ExpectServerSecond(ExpectServerSecond),
}

impl SrpPlusClient {
    /// As [`ClientReady::new`].
    ///
    /// # Errors
    /// As [`ClientReady::new`].
    pub fn new(suite: Suite, setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ClientReady::new(suite, setup, rng).map(|ready| Self::from_ready(suite, ready))
    }

    pub(crate) fn from_ready(suite: Suite, ready: ClientReady) -> Self {
        Self { suite, state: Some(State::Ready(ready)) }
    }

    pub(crate) fn boxed(
        name: &MechanismName,
        setup: ClientSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(Suite::of(name)?, setup, rng)?))
    }
}

impl Mechanism for SrpPlusClient {
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
                self.state = Some(State::ExpectServerFirst(next));
                Ok(Step::Continue(message))
            }
            Some(State::ExpectServerFirst(state)) => {
                let (reply, next) = state.handle(input)?;
                self.state = Some(State::ExpectServerSecond(next));
                Ok(Step::Continue(reply))
            }
            Some(State::ExpectServerSecond(state)) => {
                let outcome = state.handle(input)?;
                Ok(Step::Finished { reply: None, outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
