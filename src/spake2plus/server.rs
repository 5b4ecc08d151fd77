//! The server side: [`ExpectIdentity`], [`ExpectClientShare`], [`ExpectClientConfirm`], done.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::group::Group;
use super::wire::{ClientConfirm, ClientIdentity, ClientShare, ServerRecord, ServerShare};
use super::{P256Sha256, Record, SaslSuite, Verifier, context, credential, properties};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, ServerSetup};

/// The server before the client's name has come.
pub struct ExpectIdentity<S: SaslSuite = P256Sha256> {
    y: Zeroizing<<S::Group as Group>::Scalar>,
    setup: ServerSetup,
    binding: ChannelBinding,
}

/// The server between the salt and the client's share.
pub struct ExpectClientShare<S: SaslSuite = P256Sha256> {
    y: Zeroizing<<S::Group as Group>::Scalar>,
    record: Record<S::Group>,
    authcid: String,
    binding: ChannelBinding,
    context: Vec<u8>,
}

/// The server between its share and the client's confirmation.
pub struct ExpectClientConfirm<S: SaslSuite = P256Sha256> {
    verifier: Verifier<S>,
    authcid: String,
    binding: ChannelBinding,
}

impl<S: SaslSuite> ExpectIdentity<S> {
    /// Draws y.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`].
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        let binding = setup.binding.clone().ok_or_else(|| Error::new(&registry::rules::BINDING_MISSING))?;
        Ok(Self { y: S::Group::random_scalar(rng), setup, binding })
    }

    /// Takes the client's name; gives salt and hash parameters.
    ///
    /// An unknown user gets a salt of its own, always the same, and the exchange goes on with a record that no
    /// password opens. That record is made for known users too, so that both take the same time.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`registry::rules::WRONG_CREDENTIAL`], and those of the credential
    /// store.
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientShare<S>)> {
        let introduction = ClientIdentity::parse(message)?;
        introduction.accept(self.binding.kind().name())?;
        let credentials = &self.setup.credentials;
        let ksf = credentials.simulated_ksf(&S::NAME).unwrap_or_default();
        let simulated = Record::simulated(&S::NAME, credentials.simulation_seed(), introduction.authcid, ksf);
        let record = match credentials.lookup(&S::NAME, introduction.authcid)? {
            Some(credential) => S::from_credential(credential)
                .ok_or_else(|| Error::new(&registry::rules::WRONG_CREDENTIAL).about(S::NAME.as_str()))?,
            None => simulated,
        };
        let reply = ServerRecord { ksf: record.ksf(), salt: *record.salt() }.to_bytes();
        let channel = self.setup.context.channel_identifier(
            &S::NAME,
            introduction.authcid,
            introduction.authzid,
            &self.binding,
        );
        let next = ExpectClientShare {
            y: self.y,
            record,
            authcid: introduction.authcid.to_owned(),
            binding: self.binding,
            context: context(&channel, &reply),
        };
        Ok((reply, next))
    }
}

impl<S: SaslSuite> ExpectClientShare<S> {
    /// Takes the client's share; gives ours with our confirmation.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules) and those of [`Verifier::start`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientConfirm<S>)> {
        let ClientShare { share } = ClientShare::parse(message, S::Group::SHARE_LEN)?;
        let parties = credential::parties(&self.context, &self.authcid);
        let (verifier, message) = Verifier::with(&parties, self.record.verifier_secret(), share, &self.y)?;
        let reply =
            ServerShare { share: message.share.as_ref(), confirmation: &message.confirmation }.to_bytes();
        Ok((reply, ExpectClientConfirm { verifier, authcid: self.authcid, binding: self.binding }))
    }
}

impl<S: SaslSuite> ExpectClientConfirm<S> {
    /// Takes the client's confirmation.
    ///
    /// # Errors
    /// [`wire::rules`](crate::wire::rules), [`rules::WRONG_CONFIRMATION`](super::rules::WRONG_CONFIRMATION).
    pub fn handle(self, message: &[u8]) -> Result<Outcome> {
        let ClientConfirm { confirmation } = ClientConfirm::parse(message)?;
        let (proof, key) = self.verifier.finish(confirmation)?.into_parts();
        Ok(Outcome::new(proof, S::NAME, Side::Server, self.authcid, Some(self.binding)).with_key(key))
    }
}

/// The server side as a [`Mechanism`].
pub struct Spake2PlusServer<S: SaslSuite = P256Sha256>(Option<State<S>>);

enum State<S: SaslSuite> {
    Identity(ExpectIdentity<S>),
    Share(Box<ExpectClientShare<S>>),
    Confirm(ExpectClientConfirm<S>),
}

impl<S: SaslSuite> Spake2PlusServer<S> {
    /// As [`ExpectIdentity::new`].
    ///
    /// # Errors
    /// As [`ExpectIdentity::new`].
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ExpectIdentity::new(setup, rng).map(|state| Self(Some(State::Identity(state))))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ServerSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)?))
    }
}

impl<S: SaslSuite> Mechanism for Spake2PlusServer<S> {
    fn name(&self) -> MechanismName {
        S::NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.0.take() {
            Some(State::Identity(state)) => {
                let (reply, next) = state.handle(input)?;
                self.0 = Some(State::Share(Box::new(next)));
                Ok(Step::Continue(reply))
            }
            Some(State::Share(state)) => {
                let (reply, next) = state.handle(input)?;
                self.0 = Some(State::Confirm(next));
                Ok(Step::Continue(reply))
            }
            Some(State::Confirm(state)) => {
                let outcome = state.handle(input)?;
                Ok(Step::Finished { reply: None, outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
