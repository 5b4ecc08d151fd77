//! The server side: [`ExpectClientFirst`], [`ExpectClientSecond`], done.

use rand_core::CryptoRng;

use super::wire::{ClientFirst, ClientSecond, ServerFirst, ServerSecond};
use super::{
    Drawn, IV_LEN, NAME, OPTIONS, PARAMETERS, appended_to_m1, appended_to_m2, check_choice, properties,
    session_key,
};
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::prep;
use crate::registry::{self, Credential, ServerSetup};
use crate::srp::credential::Verifier;
use crate::srp::rules;
use crate::srp::server::Server;

/// Whether the first identity, once proven, may act as the second.
pub type Authorize = fn(&str, &str) -> bool;

/// The server before the client has named itself.
pub struct ExpectClientFirst {
    drawn: Drawn,
    setup: ServerSetup,
    authorize: Option<Authorize>,
}

/// The server that has sent B.
pub struct ExpectClientSecond {
    server: Server,
    iv: [u8; IV_LEN],
    authorize: Option<Authorize>,
    authcid: String,
    /// As the client sent it: both proofs hash it.
    authzid: String,
}

impl ExpectClientFirst {
    /// Draws what it needs. The channel binding and the context of the setup are not used: the mechanism has no place
    /// for them.
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Self {
        Self::with(Drawn::random(rng), setup)
    }

    pub(crate) fn with(drawn: Drawn, setup: ServerSetup) -> Self {
        Self { drawn, setup, authorize: None }
    }

    /// Lets clients act as other identities where `authorize` says so; without this none may.
    #[must_use]
    pub fn with_authorization(mut self, authorize: Authorize) -> Self {
        self.authorize = Some(authorize);
        self
    }

    /// Takes the client's names; gives group, salt and B.
    ///
    /// For an unknown user the same work is done on a record that no password opens, the same one each time.
    ///
    /// # Errors
    /// [`rules::BAD_MESSAGE`], what SASLprep refuses in the name, [`registry::rules::WRONG_CREDENTIAL`], and those of
    /// the credential store.
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, ExpectClientSecond)> {
        let Self { drawn, setup, authorize } = self;
        let ClientFirst { authcid, authzid, .. } = ClientFirst::parse(message)?;
        let authcid = prep::user_name(authcid).map_err(|_| Error::new(&rules::BAD_MESSAGE))?;
        let credentials = &setup.credentials;
        let simulated = Verifier::simulated(&PARAMETERS, credentials.simulation_seed(), &authcid);
        let verifier = match credentials.lookup(&NAME, &authcid)? {
            Some(Credential::Srp(verifier)) if verifier.prehash() == PARAMETERS.prehash => verifier,
            Some(_) => return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(NAME.as_str())),
            None => simulated,
        };
        let group = verifier.group();
        let server = Server::with(PARAMETERS.dialect, verifier, drawn.exponent(group))?;
        let reply = ServerFirst {
            modulus: group.modulus(),
            generator: &[group.generator()],
            salt: server.salt(),
            b: server.public_value(),
            options: OPTIONS,
        }
        .to_bytes()?;
        let authzid = authzid.to_owned();
        Ok((reply, ExpectClientSecond { server, iv: drawn.iv, authorize, authcid, authzid }))
    }
}

impl ExpectClientSecond {
    /// Takes A and the client's proof; gives ours, to be sent, and what was established.
    ///
    /// # Errors
    /// [`rules`] `BAD_MESSAGE`, `LAYER_CHOSEN`, `WRONG_CLIENT_PROOF`, `AUTHZID_REFUSED`, and those of
    /// [`Server::receive`].
    pub fn handle(self, message: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let Self { server, iv, authorize, authcid, authzid } = self;
        let ClientSecond { a, m1, options, iv: _ } = ClientSecond::parse(message)?;
        check_choice(options)?;
        let hash = PARAMETERS.dialect.hash;
        let to_m1 = appended_to_m1(hash, &authzid, OPTIONS);
        let to_m2 = appended_to_m2(hash, &authzid, options, "", 0);
        let (m2, established) = server.receive(&authcid, a)?.finish_with(m1, &to_m1, &to_m2)?;
        let other = Some(authzid).filter(|authzid| !authzid.is_empty() && *authzid != authcid);
        if let Some(other) = &other
            && !authorize.is_some_and(|may| may(&authcid, other))
        {
            return Err(Error::new(&rules::AUTHZID_REFUSED).about(other));
        }
        let reply = ServerSecond { m2: &m2, iv: &iv, sid: "", ttl: 0 }.to_bytes()?;
        let (proof, key) = established.into_parts();
        let outcome = Outcome::new(proof, NAME, Side::Server, authcid, None).with_authzid(other);
        Ok((reply, outcome.with_key(session_key(key.expose(), m1, &m2))))
    }
}

/// The server side as a [`Mechanism`].
pub struct SrpServer(Option<State>);

enum State {
    ExpectClientFirst(ExpectClientFirst),
    ExpectClientSecond(ExpectClientSecond),
}

impl SrpServer {
    /// As [`ExpectClientFirst::new`].
    pub fn new(setup: ServerSetup, rng: &mut dyn CryptoRng) -> Self {
        Self::from_state(ExpectClientFirst::new(setup, rng))
    }

    pub(crate) fn from_state(state: ExpectClientFirst) -> Self {
        Self(Some(State::ExpectClientFirst(state)))
    }

    pub(crate) fn boxed(
        _: &MechanismName,
        setup: ServerSetup,
        rng: &mut dyn CryptoRng,
    ) -> Result<Box<dyn Mechanism>> {
        Ok(Box::new(Self::new(setup, rng)))
    }
}

impl Mechanism for SrpServer {
    fn name(&self) -> MechanismName {
        NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match self.0.take() {
            Some(State::ExpectClientFirst(state)) => {
                let (reply, next) = state.handle(input)?;
                self.0 = Some(State::ExpectClientSecond(next));
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
