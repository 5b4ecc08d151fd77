//! The client side: [`ClientReady`], [`ExpectServerFirst`], [`ExpectServerSecond`], done.

use rand_core::CryptoRng;

use super::wire::{ClientFirst, ClientSecond, ServerFirst, ServerSecond};
use super::{Drawn, NAME, PARAMETERS, appended_to_m1, appended_to_m2, choose, properties, session_key};
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::prep;
use crate::registry::ClientSetup;
use crate::secret::SecretBytes;
use crate::srp::client::{Client, ExpectServerProof};
use crate::srp::credential::Parameters;
use crate::srp::group::{Group, Legacy, Share};

/// The client before its first message.
pub struct ClientReady {
    message: Vec<u8>,
    next: ExpectServerFirst,
}

/// The client that has named itself.
pub struct ExpectServerFirst {
    drawn: Drawn,
    authcid: String,
    authzid: String,
    password: SecretBytes,
}

/// The client that has sent its proof.
pub struct ExpectServerSecond {
    authcid: String,
    authzid: String,
    chosen: String,
    state: ExpectServerProof,
}

impl ClientReady {
    /// Prepares names and password. The channel binding and the context of the setup are not used: the mechanism has no
    /// place for them.
    ///
    /// # Errors
    /// What SASLprep refuses in a name, what the preparation refuses in the password, and
    /// [`rules::FIELD_TOO_LONG`](crate::srp::rules::FIELD_TOO_LONG).
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        Self::with(Drawn::random(rng), setup)
    }

    pub(crate) fn with(drawn: Drawn, setup: ClientSetup) -> Result<Self> {
        let authcid = prep::user_name(&setup.authcid)?;
        // Never empty, though the draft allows it: Cyrus SASL's server refuses that.
        let authzid = setup.authzid.as_deref().map(prep::user_name).transpose()?;
        let authzid = authzid.unwrap_or_else(|| authcid.clone());
        let message = ClientFirst { authcid: &authcid, authzid: &authzid, sid: "", cn: &[] }.to_bytes()?;
        let password = setup.preparation.prepare(&setup.password)?;
        Ok(Self { message, next: ExpectServerFirst { drawn, authcid, authzid, password } })
    }

    /// Gives the first message.
    #[must_use]
    pub fn start(self) -> (Vec<u8>, ExpectServerFirst) {
        (self.message, self.next)
    }
}

impl ExpectServerFirst {
    /// Takes the group, the salt and B; gives A and the proof.
    ///
    /// # Errors
    /// Those of [`Client::respond`], and of [`rules`](crate::srp::rules) `BAD_MESSAGE`, `SESSION_REUSE`, `UNKNOWN_GROUP`,
    /// `GROUP_TOO_SMALL`, `LAYER_DEMANDED` and `NO_COMMON_HASH`.
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectServerSecond)> {
        let Self { drawn, authcid, authzid, password } = self;
        let ServerFirst { modulus, generator, salt, b, options } = ServerFirst::parse(message)?;
        let group = Group::find(modulus, generator, Legacy::Refused)?;
        let b = Share::parse(group, b)?;
        let chosen = choose(options)?;
        let parameters = Parameters { group, ..PARAMETERS };
        let client = Client::with(parameters, drawn.exponent(group));
        let a = client.public_value().to_vec();
        let appended = appended_to_m1(parameters.dialect.hash, &authzid, options);
        let state = client.respond_with(&authcid, &password, salt, &b, &appended)?;
        let reply = ClientSecond { a: &a, m1: state.proof(), options: &chosen, iv: &drawn.iv }.to_bytes()?;
        Ok((reply, ExpectServerSecond { authcid, authzid, chosen, state }))
    }
}

impl ExpectServerSecond {
    /// Takes the server's proof.
    ///
    /// # Errors
    /// [`rules`](crate::srp::rules) `BAD_MESSAGE` and `WRONG_SERVER_PROOF`.
    pub fn handle(self, message: &[u8]) -> Result<Outcome> {
        let ServerSecond { m2, iv: _, sid, ttl } = ServerSecond::parse(message)?;
        let appended = appended_to_m2(PARAMETERS.dialect.hash, &self.authzid, &self.chosen, sid, ttl);
        let m1 = self.state.proof().to_vec();
        let (proof, key) = self.state.finish_with(m2, &appended)?.into_parts();
        let authzid = Some(self.authzid).filter(|authzid| *authzid != self.authcid);
        let outcome = Outcome::new(proof, NAME, Side::Client, self.authcid, None).with_authzid(authzid);
        Ok(outcome.with_key(session_key(key.expose(), &m1, m2)))
    }
}

/// The client side as a [`Mechanism`].
pub struct SrpClient(Option<State>);

enum State {
    Ready(ClientReady),
    ExpectServerFirst(ExpectServerFirst),
    ExpectServerSecond(ExpectServerSecond),
}

impl SrpClient {
    /// As [`ClientReady::new`].
    ///
    /// # Errors
    /// As [`ClientReady::new`].
    pub fn new(setup: ClientSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ClientReady::new(setup, rng).map(Self::from_ready)
    }

    pub(crate) fn from_ready(ready: ClientReady) -> Self {
        Self(Some(State::Ready(ready)))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ClientSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)?))
    }
}

impl Mechanism for SrpClient {
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
                self.0 = Some(State::ExpectServerFirst(next));
                Ok(Step::Continue(message))
            }
            Some(State::ExpectServerFirst(state)) => {
                let (reply, next) = state.handle(input)?;
                self.0 = Some(State::ExpectServerSecond(next));
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
