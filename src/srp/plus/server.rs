//! The server side: [`ExpectClientFirst`], [`ExpectClientSecond`], done.

use rand_core::CryptoRng;

use super::wire::{ClientSecond, ServerFirst, ServerSecond, parse_client_first};
use super::{Suite, check_group, draw, exponent_for, properties, required, session_key, transcript};
use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::registry::{self, Credential, ServerSetup};
use crate::srp::credential::{Prehash, Verifier};
use crate::srp::group::{Exponent, Group};
use crate::srp::server::Server;

/// The server before the client has named itself.
pub struct ExpectClientFirst {
    suite: Suite,
    exponent: Exponent,
    setup: ServerSetup,
    binding: ChannelBinding,
}

/// The server that has sent B.
pub struct ExpectClientSecond {
    suite: Suite,
    server: Server,
    group: Group,
    authcid: String,
    binding: ChannelBinding,
    transcript: Vec<u8>,
}

impl ExpectClientFirst {
    /// Draws b.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`].
    pub fn new(suite: Suite, setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        Self::with(suite, draw(rng), setup)
    }

    pub(crate) fn with(suite: Suite, exponent: Exponent, setup: ServerSetup) -> Result<Self> {
        let binding = required(setup.binding.clone())?;
        Ok(Self { suite, exponent, setup, binding })
    }

    /// Takes the client's names; gives group, password hash, salt and B.
    ///
    /// For an unknown user the same work is done on a record that no password opens, the same one each time.
    ///
    /// # Errors
    /// Those of the [framing](crate::wire::rules), [`registry::rules::WRONG_CREDENTIAL`],
    /// [`rules::GROUP_TOO_SMALL_FOR_PLUS`](crate::srp::rules::GROUP_TOO_SMALL_FOR_PLUS), and those of the credential
    /// store.
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientSecond)> {
        let Self { suite, exponent, setup, binding } = self;
        let introduction = parse_client_first(message)?;
        introduction.accept(binding.kind().name())?;
        let (authcid, authzid) = (introduction.authcid, introduction.authzid);
        let name = suite.mechanism();
        let wrong = || Error::new(&registry::rules::WRONG_CREDENTIAL).about(name.as_str());
        let credentials = &setup.credentials;
        let ksf = credentials.simulated_ksf(&name).unwrap_or_default();
        let parameters = suite.parameters_in(Group::default(), ksf);
        let simulated = Verifier::simulated(&parameters, credentials.simulation_seed(), authcid);
        let verifier = match credentials.lookup(&name, authcid)? {
            Some(Credential::Srp(verifier)) => verifier,
            Some(_) => return Err(wrong()),
            None => simulated,
        };
        let Prehash::Ksf(ksf) = verifier.prehash() else {
            return Err(wrong());
        };
        let group = check_group(verifier.group())?;
        let server = Server::with(parameters.dialect, verifier, exponent_for(group, &exponent))?;
        let reply = ServerFirst { group, ksf, salt: server.salt(), b: server.public_value() }.to_bytes();
        let channel = setup.context.channel_identifier(&name, authcid, authzid, &binding);
        let transcript = transcript(suite.hash(), &channel, message, &reply);
        let authcid = authcid.to_owned();
        Ok((reply, ExpectClientSecond { suite, server, group, authcid, binding, transcript }))
    }
}

impl ExpectClientSecond {
    /// Takes A and the client's proof; gives ours, to be sent, and what was established.
    ///
    /// # Errors
    /// Those of the [framing](crate::wire::rules) and of [`Server::receive`];
    /// [`rules::WRONG_CLIENT_PROOF`](crate::srp::rules::WRONG_CLIENT_PROOF).
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let Self { suite, server, group, authcid, binding, transcript } = self;
        let ClientSecond { a, m1 } = ClientSecond::parse(message, group, suite.hash())?;
        let (m2, established) = server.receive(&authcid, a)?.finish_with(m1, &transcript, &transcript)?;
        let (proof, key) = established.into_parts();
        let outcome = Outcome::new(proof, suite.mechanism(), Side::Server, authcid, Some(binding));
        let key = session_key(suite.hash(), key.expose(), &transcript);
        Ok((ServerSecond { m2: &m2 }.to_bytes(), outcome.with_key(key)))
    }
}

/// The server side as a [`Mechanism`].
pub struct SrpPlusServer {
    suite: Suite,
    state: Option<State>,
}

enum State {
    ExpectClientFirst(ExpectClientFirst),
    ExpectClientSecond(ExpectClientSecond),
}

impl SrpPlusServer {
    /// As [`ExpectClientFirst::new`].
    ///
    /// # Errors
    /// As [`ExpectClientFirst::new`].
    pub fn new(suite: Suite, setup: ServerSetup, rng: &mut dyn CryptoRng) -> Result<Self> {
        ExpectClientFirst::new(suite, setup, rng).map(|state| Self::from_state(suite, state))
    }

    pub(crate) fn from_state(suite: Suite, state: ExpectClientFirst) -> Self {
        Self { suite, state: Some(State::ExpectClientFirst(state)) }
    }

    pub(crate) fn boxed(
        name: &MechanismName,
        setup: ServerSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(Suite::of(name)?, setup, rng)?))
    }
}

impl Mechanism for SrpPlusServer {
    fn name(&self) -> MechanismName {
        self.suite.mechanism()
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.state.take() {
            Some(State::ExpectClientFirst(state)) => {
                let (reply, next) = state.handle(input)?;
                self.state = Some(State::ExpectClientSecond(next));
                Ok(Step::Continue(reply))
            }
            Some(State::ExpectClientSecond(state)) => {
                let (reply, outcome) = state.handle(input)?;
                Ok(Step::Finished { reply: Some(reply), outcome })
            }
            None => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
