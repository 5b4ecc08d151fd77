//! The client side: [`ClientReady`], [`ExpectRecord`], [`ExpectServerShare`], done.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::group::Group;
use super::wire::{ClientConfirm, ClientIdentity, ClientShare, ServerRecord, ServerShare};
use super::{P256Sha256, Prover, SaslSuite, context, credential, properties};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, ClientSetup};
use crate::secret::SecretBytes;
use crate::wire::Introduction;

/// The client before its first message.
pub struct ClientReady<S: SaslSuite = P256Sha256> {
    message: Vec<u8>,
    next: ExpectRecord<S>,
}

/// The client between its name and the salt.
pub struct ExpectRecord<S: SaslSuite = P256Sha256> {
    x: Zeroizing<<S::Group as Group>::Scalar>,
    password: SecretBytes,
    authcid: String,
    binding: ChannelBinding,
    channel: Vec<u8>,
}

/// The client between its share and the server's.
pub struct ExpectServerShare<S: SaslSuite = P256Sha256> {
    prover: Prover<S>,
    authcid: String,
    binding: ChannelBinding,
    context: Vec<u8>,
}

impl<S: SaslSuite> ClientReady<S> {
    /// Prepares the password and draws x.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`], [`wire::rules`](crate::wire::rules) about identities, and those of the
    /// password's preparation.
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let ClientSetup { authcid, authzid, password, preparation, binding, context } = setup;
        let binding = binding.ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))?;
        let authzid = authzid.as_deref().unwrap_or_default();
        let introduction = Introduction { binding_type: binding.kind().name(), authzid, authcid: &authcid };
        let message = ClientIdentity::to_bytes(&introduction)?;
        let channel = context.channel_identifier(&S::NAME, &authcid, authzid, &binding);
        let password = preparation.prepare(&password)?;
        let next = ExpectRecord { x: S::Group::random_scalar(rng), password, authcid, binding, channel };
        Ok(Self { message, next })
    }

    /// Gives the first message.
    #[must_use]
    pub fn start(self) -> (Vec<u8>, ExpectRecord<S>) {
        (self.message, self.next)
    }
}

impl<S: SaslSuite> ExpectRecord<S> {
    /// Takes salt and hash parameters, stretches the password, and gives our share. The parameters are checked
    /// before the hash runs.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules) and [`ksf::rules`](crate::ksf::rules).
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectServerShare<S>)> {
        let ServerRecord { ksf, salt } = ServerRecord::parse(message)?;
        let secret = credential::sasl_secret(&self.authcid, self.password.expose(), ksf, &salt)?;
        let (prover, share) = Prover::<S>::with(secret, self.x)?;
        let context = context(&self.channel, message);
        let next = ExpectServerShare { prover, authcid: self.authcid, binding: self.binding, context };
        Ok((ClientShare { share: share.as_ref() }.to_bytes(), next))
    }
}

impl<S: SaslSuite> ExpectServerShare<S> {
    /// Takes the server's share and confirmation; gives our confirmation, to be sent, and what was established.
    ///
    /// After an error nothing may be sent: our confirmation would let the peer test a password.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules) and those of [`Prover::finish`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let ServerShare { share, confirmation } = ServerShare::parse(message, S::Group::SHARE_LEN)?;
        let parties = credential::parties(&self.context, &self.authcid);
        let (confirmation, confirmed) = self.prover.finish(&parties, share, confirmation)?;
        let (proof, key) = confirmed.into_parts();
        let outcome = Outcome::new(proof, S::NAME, Side::Client, self.authcid, Some(self.binding));
        Ok((ClientConfirm { confirmation: &confirmation }.to_bytes(), outcome.with_key(key)))
    }
}

/// The client side as a [`Mechanism`].
pub struct Spake2PlusClient<S: SaslSuite = P256Sha256>(Option<State<S>>);

enum State<S: SaslSuite> {
    Ready(ClientReady<S>),
    Record(ExpectRecord<S>),
    ServerShare(Box<ExpectServerShare<S>>),
}

impl<S: SaslSuite> Spake2PlusClient<S> {
    /// As [`ClientReady::new`].
    ///
    /// # Errors
    /// As [`ClientReady::new`].
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ClientReady::new(setup, rng).map(|ready| Self(Some(State::Ready(ready))))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ClientSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)?))
    }
}

impl<S: SaslSuite> Mechanism for Spake2PlusClient<S> {
    fn name(&self) -> MechanismName {
        S::NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.0.take() {
            Some(State::Ready(_)) if !input.is_empty() => Err(Error::new(&mechanism::rules::UNEXPECTED_DATA)),
            Some(State::Ready(ready)) => {
                let (message, next) = ready.start();
                self.0 = Some(State::Record(next));
                Ok(Step::Continue(message))
            }
            Some(State::Record(state)) => {
                let (message, next) = state.handle(input)?;
                self.0 = Some(State::ServerShare(Box::new(next)));
                Ok(Step::Continue(message))
            }
            Some(State::ServerShare(state)) => {
                let (reply, outcome) = state.handle(input)?;
                Ok(Step::Finished { reply: Some(reply), outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
