//! The server's side.

use std::fmt::{self, Write};
use std::num::NonZeroU32;
use std::sync::Arc;

use digest::{FixedOutput, Mac};
use hmac::Hmac;
use rand_core::CryptoRng;
use sha2::Sha256;

use super::credential::{SALT_LEN, StoredCredential};
use super::hash::{HashFunction, Key, OUTPUT_MAX, keyed};
use super::wire::{self, CbindFlag, ClientFinalMessage, ClientFirstMessage, ServerError};
use super::{NONCE_LEN, ScramMechanism, rules};
use crate::binding::ChannelBinding;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::prep;
use crate::registry::{self, Credential, CredentialStore};
use crate::secret::{SecretBytes, verify};

/// Fewest octets of a simulation seed.
pub const SEED_MIN: usize = 32;

type Authorize = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// What the server's side is made from.
#[derive(Clone)]
pub struct ServerConfig {
    terms: Terms,
    simulation: Simulation,
    #[cfg(any(test, feature = "vectors"))]
    nonce: Option<String>,
}

impl ServerConfig {
    /// A server for one exchange. The binding is required for -PLUS. From the seed ([`SEED_MIN`] octets or more,
    /// kept as long as the records) unknown users are simulated.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`], [`rules::SEED_TOO_SHORT`].
    pub fn new(
        mechanism: ScramMechanism,
        binding: Option<ChannelBinding>,
        seed: &SecretBytes,
    ) -> Result<Self> {
        if mechanism.is_plus() && binding.is_none() {
            return Err(Error::new(&registry::rules::BINDING_MISSING).about(mechanism.name().as_str()));
        }
        if seed.len() < SEED_MIN {
            return Err(Error::new(&rules::SEED_TOO_SHORT));
        }
        let context = Context::new();
        Ok(Self {
            terms: Terms { mechanism, binding, context, confirms_offer: true, authorize: None },
            simulation: Simulation::new(mechanism.hash(), seed),
            #[cfg(any(test, feature = "vectors"))]
            nonce: None,
        })
    }

    /// Who talks to whom and what was offered on this stream. Between two named parties the server proves the whole
    /// context (`o`); a list of mechanisms it confirms (`h`), and holds the client to it.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.terms.context = context;
        self
    }

    /// Leaves `h` away, for clients that take it for something else.
    #[must_use]
    pub fn without_downgrade_protection(mut self) -> Self {
        self.terms.confirms_offer = false;
        self
    }

    /// What an unknown user's record looks like: give the numbers that most real records have, or the difference
    /// tells who exists. Without this, the hash's default iterations and 16 octets of salt.
    ///
    /// # Errors
    /// [`rules::SALT_LENGTH`] outside 1 to 32 octets; [`rules::TOO_FEW_ITERATIONS`] for none.
    pub fn with_simulation(mut self, iterations: u32, salt_len: usize) -> Result<Self> {
        if !(1..=SIMULATED_SALT_MAX).contains(&salt_len) {
            return Err(Error::exceeds(&rules::SALT_LENGTH, salt_len as u64, SIMULATED_SALT_MAX as u64));
        }
        self.simulation.iterations = super::check_iterations(iterations.into(), &(1..=u32::MAX))?;
        self.simulation.salt_len = salt_len;
        Ok(self)
    }

    /// Who may act as whom: called after the authentication with the user and the other identity he asks for.
    /// Without this, nobody may act as anybody else.
    #[must_use]
    pub fn with_authorization(mut self, may: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.terms.authorize = Some(Arc::new(may));
        self
    }

    /// Replaces the random part of the nonce by that of a published vector.
    #[cfg(any(test, feature = "vectors"))]
    #[allow(dead_code, reason = "used by the vector families that are compiled in")]
    pub(crate) fn with_nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.to_owned());
        self
    }

    /// Takes its randomness, and waits for the client.
    pub fn start(self, rng: &mut dyn CryptoRng) -> ExpectClientFirst {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        ExpectClientFirst { config: self, nonce }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What all states of an exchange hold to.
#[derive(Clone)]
struct Terms {
    mechanism: ScramMechanism,
    binding: Option<ChannelBinding>,
    context: Context,
    confirms_offer: bool,
    authorize: Option<Authorize>,
}

impl Terms {
    /// RFC 5802 section 6. What counts is what was offered on this stream, not what this server could do.
    fn check_choice(&self, flag: CbindFlag<'_>) -> Result<()> {
        let offered = self.context.mechanisms();
        if !offered.is_empty() && !offered.contains(&self.mechanism.name()) {
            return Err(Error::new(&rules::NOT_OFFERED).about(self.mechanism.name().as_str()));
        }
        match (flag, self.used_binding()) {
            (CbindFlag::Used(name), Some(binding)) if name == binding.kind().name() => Ok(()),
            (CbindFlag::Used(name), Some(_)) => Err(Error::new(&rules::UNSUPPORTED_BINDING_TYPE).about(name)),
            (CbindFlag::Used(_), None) => Err(Error::new(&rules::BINDING_NOT_SUPPORTED)),
            (CbindFlag::NotOffered, _) if super::offers_plus(&self.context) => {
                Err(Error::new(&rules::BINDING_DOWNGRADE))
            }
            (_, Some(_)) => Err(Error::new(&rules::BINDING_NOT_USED)),
            (_, None) => Ok(()),
        }
    }

    fn used_binding(&self) -> Option<&ChannelBinding> {
        self.binding.as_ref().filter(|_| self.mechanism.is_plus())
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("mechanism", &self.mechanism)
            .field("binding", &self.binding)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Octets of HMAC-SHA-256, from which a simulated salt is cut.
const SIMULATED_SALT_MAX: usize = 32;

/// What unknown users get, so that they look like known ones.
#[derive(Clone)]
struct Simulation {
    seed: Hmac<Sha256>,
    iterations: NonZeroU32,
    salt_len: usize,
}

impl Simulation {
    fn new(hash: HashFunction, seed: &SecretBytes) -> Self {
        let iterations = NonZeroU32::new(hash.default_iterations()).expect("the defaults are not 0");
        Self { seed: keyed(seed.expose()), iterations, salt_len: SALT_LEN }
    }

    /// The same for each name at every try. -PLUS and its plain twin give one salt, as they do for real users, whose
    /// one record serves both: so the scheme goes in, not the mechanism. No scheme is another's beginning.
    fn of(self, hash: HashFunction, username: &str) -> Simulated {
        let mac = self.seed.chain_update("scram-salt").chain_update(hash.scheme()).chain_update(username);
        let Self { iterations, salt_len, .. } = self;
        Simulated { octets: mac.finalize_fixed().into(), iterations, salt_len }
    }
}

/// What a user would get if he did not exist. It is computed for everybody, so that the time does not tell.
struct Simulated {
    octets: [u8; SIMULATED_SALT_MAX],
    iterations: NonZeroU32,
    salt_len: usize,
}

impl Simulated {
    /// The keys are there to be computed with; no proof against them is ever accepted.
    fn record(&self, hash: HashFunction) -> StoredCredential {
        StoredCredential::simulated(hash, &self.octets[..self.salt_len], self.iterations, &self.octets)
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated(redacted)")
    }
}

/// Nothing has come yet.
pub struct ExpectClientFirst {
    config: ServerConfig,
    nonce: [u8; NONCE_LEN],
}

impl ExpectClientFirst {
    /// Takes the client-first-message.
    ///
    /// # Errors
    /// The rule of [`rules`] that the message breaks.
    pub fn receive(self, message: &[u8]) -> Result<ClientFirstReceived> {
        let Self { config, nonce } = self;
        let parsed = ClientFirstMessage::parse(message)?;
        config.terms.check_choice(parsed.cbind_flag)?;
        let name = |name: &str| prep::user_name(name).map_err(|_| Error::new(&rules::BAD_USER_NAME));
        let username = name(&parsed.username)?;
        let authzid = parsed.authzid.as_deref().map(name).transpose()?.filter(|authzid| *authzid != username);

        // Room for the rest of the exchange: three nonces, a salt, a binding and some extensions.
        let mut transcript = String::with_capacity(message.len() + 3 * parsed.nonce.len() + 512);
        transcript.push_str(parsed.gs2_header);
        transcript.push_str(parsed.bare);
        transcript.push_str(",r=");
        let nonce_start = transcript.len();
        transcript.push_str(parsed.nonce);
        #[cfg(any(test, feature = "vectors"))]
        match &config.nonce {
            Some(nonce) => transcript.push_str(nonce),
            None => wire::push_base64(&mut transcript, &nonce),
        }
        #[cfg(not(any(test, feature = "vectors")))]
        wire::push_base64(&mut transcript, &nonce);
        Ok(ClientFirstReceived {
            simulated: config.simulation.of(config.terms.mechanism.hash(), &username),
            nonce_end: transcript.len(),
            gs2_len: parsed.gs2_header.len(),
            terms: config.terms,
            username,
            authzid,
            transcript,
            nonce_start,
        })
    }
}

impl fmt::Debug for ExpectClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectClientFirst").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The client has named a user; the application may look up the record wherever and however it likes.
#[derive(Debug)]
pub struct ClientFirstReceived {
    terms: Terms,
    username: String,
    authzid: Option<String>,
    simulated: Simulated,
    /// What was received and sent so far. The AuthMessage is all of it but the GS2 header.
    transcript: String,
    gs2_len: usize,
    nonce_start: usize,
    nonce_end: usize,
}

impl ClientFirstReceived {
    /// The user's name, without escapes and prepared with SASLprep. Not proven yet.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The identity the user asks to act as, where it is not himself. Neither proven nor granted yet.
    #[must_use]
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// Takes the user's record, or `None` for an unknown user, and gives the server-first-message.
    ///
    /// # Errors
    /// [`registry::rules::WRONG_CREDENTIAL`] for a record of another hash function.
    ///
    /// # Security
    /// An unknown user costs the same work, gets a plausible answer and fails at the end like a wrong password.
    pub fn respond(self, record: Option<StoredCredential>) -> Result<(ExpectClientFinal, Vec<u8>)> {
        let Self { terms, username, authzid, simulated, mut transcript, gs2_len, nonce_start, nonce_end } =
            self;
        let known = record.is_some();
        let hash = terms.mechanism.hash();
        let record = record.unwrap_or_else(|| simulated.record(hash));
        if record.hash() != hash {
            return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(hash.scheme()));
        }
        transcript.push_str(",s=");
        wire::push_base64(&mut transcript, record.salt());
        write!(transcript, ",i={}", record.iterations()).expect("a String takes any text");
        if terms.confirms_offer && !terms.context.mechanisms().is_empty() {
            transcript.push_str(",h=");
            transcript.push_str(&super::downgrade_hash(hash, &terms.context));
        }
        if terms.context.is_end_to_end() {
            transcript.push_str(",o=");
            transcript.push_str(&super::context_hash(&terms.context));
        }
        let reply = transcript.as_bytes()[nonce_start - "r=".len()..].to_vec();
        let state = ExpectClientFinal {
            terms,
            username,
            authzid,
            record,
            known,
            transcript,
            gs2_len,
            nonce_start,
            nonce_end,
        };
        Ok((state, reply))
    }
}

/// The salt is sent; the client has proven nothing yet.
#[derive(Debug)]
pub struct ExpectClientFinal {
    terms: Terms,
    username: String,
    authzid: Option<String>,
    record: StoredCredential,
    known: bool,
    transcript: String,
    gs2_len: usize,
    nonce_start: usize,
    nonce_end: usize,
}

impl ExpectClientFinal {
    /// Takes the client-final-message; gives the server-final-message, to be sent with the success.
    ///
    /// # Errors
    /// [`rules::NOT_AUTHENTICATED`] for a wrong password and an unknown user alike, and any other rule of [`rules`]
    /// that the message breaks. What the client may be told about it is [`ServerError::of`].
    pub fn receive(mut self, message: &[u8]) -> Result<(Outcome, Vec<u8>)> {
        let parsed = ClientFinalMessage::parse(message)?;
        if parsed.nonce != &self.transcript[self.nonce_start..self.nonce_end] {
            return Err(Error::new(&rules::NONCE_MISMATCH));
        }
        let binding_data = self.terms.used_binding().map_or(&[][..], ChannelBinding::data);
        if parsed.channel_binding.strip_prefix(&self.transcript.as_bytes()[..self.gs2_len])
            != Some(binding_data)
        {
            return Err(Error::new(&rules::BINDING_MISMATCH));
        }
        let Terms { mechanism, .. } = self.terms;
        let hash = mechanism.hash();
        if parsed.proof.len() != hash.output_len() {
            return Err(Error::new(&rules::PROOF_LENGTH));
        }
        self.transcript.push(',');
        self.transcript.push_str(parsed.without_proof);

        let auth_message = &self.transcript.as_bytes()[self.gs2_len..];
        let client_signature = hash.hmac(self.record.stored_key(), auth_message);
        let client_key = Key::new(&parsed.proof).xor(&client_signature);
        let proof = verify(self.record.stored_key(), hash.digest(client_key.expose()).expose())
            .filter(|_| self.known)
            .ok_or(&rules::NOT_AUTHENTICATED)?;
        if let Some(authzid) = &self.authzid
            && !self.terms.authorize.is_some_and(|may| may(&self.username, authzid))
        {
            return Err(Error::new(&rules::AUTHZID_DENIED));
        }
        let mut reply = String::with_capacity("v=".len() + OUTPUT_MAX.div_ceil(3) * 4);
        reply.push_str("v=");
        wire::push_base64(&mut reply, hash.hmac(self.record.server_key(), auth_message).expose());
        let binding = self.terms.binding.filter(|_| mechanism.is_plus());
        let outcome = Outcome::new(proof, mechanism.name(), Side::Server, self.username, binding)
            .with_authzid(self.authzid);
        Ok((outcome, reply.into_bytes()))
    }
}

/// The server's side as a [`Mechanism`], over a store of records.
pub struct ScramServer {
    mechanism: ScramMechanism,
    state: State,
    failure: Option<ServerError>,
}

#[allow(clippy::large_enum_variant, reason = "one value an exchange; a box would cost more than the move")]
enum State {
    ClientFirst(ExpectClientFirst, Arc<dyn CredentialStore>),
    ClientFinal(ExpectClientFinal),
    Over,
}

impl ScramServer {
    /// Takes its randomness now, and its records from `store` when a client has named a user.
    pub fn new(config: ServerConfig, store: Arc<dyn CredentialStore>, rng: &mut dyn CryptoRng) -> Self {
        let mechanism = config.terms.mechanism;
        Self { mechanism, state: State::ClientFirst(config.start(rng), store), failure: None }
    }

    fn advance(&mut self, input: &[u8]) -> Result<Step> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ClientFirst(state, store) => {
                let request = state.receive(input)?;
                let record = match store.lookup(&self.mechanism.name(), request.username())? {
                    Some(Credential::Scram(record)) => Some(record),
                    None => None,
                    Some(_) => {
                        let name = self.mechanism.name();
                        return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(name.as_str()));
                    }
                };
                let (state, message) = request.respond(record)?;
                self.state = State::ClientFinal(state);
                Ok(Step::Continue(message))
            }
            State::ClientFinal(state) => {
                let (outcome, message) = state.receive(input)?;
                Ok(Step::Finished { reply: Some(message), outcome })
            }
            State::Over => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}

impl Mechanism for ScramServer {
    fn name(&self) -> MechanismName {
        self.mechanism.name()
    }

    fn properties(&self) -> Properties {
        self.mechanism.properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        self.advance(input).inspect_err(|error| self.failure = Some(ServerError::of(error)))
    }

    fn failure_reply(&self) -> Option<Vec<u8>> {
        self.failure.map(ServerError::message)
    }
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}
