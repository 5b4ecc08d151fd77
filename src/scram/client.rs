//! The client's side.

use std::ops::RangeInclusive;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use super::credential::ClientKeys;
use super::hash::Key;
use super::wire::{self, CbindFlag, ServerFinalMessage, ServerFirstMessage};
use super::{ITERATIONS_MAX, ITERATIONS_MIN, NONCE_LEN, ScramMechanism, rules};
use crate::binding::ChannelBinding;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::prep::{self, Preparation};
use crate::registry;
use crate::secret::{Password, SecretBytes, verify};

/// What the client's side is made from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    mechanism: ScramMechanism,
    authcid: String,
    authzid: Option<String>,
    password: Password,
    preparation: Preparation,
    keys: Option<ClientKeys>,
    binding: Option<ChannelBinding>,
    context: Context,
    iterations: RangeInclusive<u32>,
    requires_downgrade_protection: bool,
    sends_name: bool,
    #[cfg(any(test, feature = "vectors"))]
    vector: Vector,
}

/// What published vectors prescribe and no client may choose.
#[cfg(any(test, feature = "vectors"))]
#[derive(Clone, Debug, Default)]
struct Vector {
    nonce: Option<String>,
    final_extension: Option<String>,
}

impl ClientConfig {
    /// A client that logs in as `authcid`. The binding is required for -PLUS; given to another mechanism it tells
    /// that the client could bind.
    ///
    /// # Errors
    /// [`registry::rules::BINDING_MISSING`]; what SASLprep refuses in the name.
    pub fn new(
        mechanism: ScramMechanism,
        authcid: &str,
        password: Password,
        binding: Option<ChannelBinding>,
    ) -> Result<Self> {
        if mechanism.is_plus() && binding.is_none() {
            return Err(Error::new(&registry::rules::BINDING_MISSING).about(mechanism.name().as_str()));
        }
        Ok(Self {
            mechanism,
            authcid: prep::user_name(authcid)?,
            authzid: None,
            password,
            preparation: Preparation::default(),
            keys: None,
            binding,
            context: Context::new(),
            iterations: ITERATIONS_MIN..=ITERATIONS_MAX,
            requires_downgrade_protection: false,
            sends_name: true,
            #[cfg(any(test, feature = "vectors"))]
            vector: Vector::default(),
        })
    }

    /// The identity to act as, when it is another one.
    ///
    /// # Errors
    /// What SASLprep refuses in it.
    pub fn with_authzid(mut self, authzid: Option<&str>) -> Result<Self> {
        self.authzid = authzid.map(prep::user_name).transpose()?.filter(|authzid| *authzid != self.authcid);
        Ok(self)
    }

    /// How the password is prepared; SASLprep unless told otherwise.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Keys of an earlier login, which are used while they fit what the server asks.
    #[must_use]
    pub fn with_keys(mut self, keys: ClientKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Who talks to whom and what was offered. With two named parties the server's `o` is required; with a list of
    /// mechanisms the server's `h` is checked where it is present.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The iteration counts to accept, [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`] unless told otherwise.
    ///
    /// # Security
    /// A lower start lets an impostor have a proof that is easy to guess the password from; a higher end lets any
    /// server keep this client busy.
    #[must_use]
    pub fn with_iterations(mut self, allowed: RangeInclusive<u32>) -> Self {
        self.iterations = allowed;
        self
    }

    /// Refuses servers that do not confirm what they offered (XEP-0474).
    #[must_use]
    pub fn requiring_downgrade_protection(mut self) -> Self {
        self.requires_downgrade_protection = true;
        self
    }

    /// Sends an empty user name, as libpq does to PostgreSQL, which takes the name from the message before. Against the
    /// grammar of RFC 5802, so other servers refuse it; our own does.
    #[must_use]
    pub fn without_user_name(mut self) -> Self {
        self.sends_name = false;
        self
    }

    /// Replaces the random nonce by that of a published vector.
    #[cfg(any(test, feature = "vectors"))]
    #[allow(dead_code, reason = "used by the vector families that are compiled in")]
    pub(crate) fn with_nonce(mut self, nonce: &str) -> Self {
        self.vector.nonce = Some(nonce.to_owned());
        self
    }

    /// Adds an extension such as `x=1` to the client-final-message, as a published vector has it.
    #[cfg(any(test, feature = "vectors"))]
    #[allow(dead_code, reason = "used by the vector families that are compiled in")]
    pub(crate) fn with_final_extension(mut self, extension: &str) -> Self {
        self.vector.final_extension = Some(extension.to_owned());
        self
    }

    /// Starts, and gives the client-first-message.
    ///
    /// # Errors
    /// What the preparation refuses in the password; [`rules::PLUS_OFFERED`];
    /// [`rules::UNSUPPORTED_BINDING_TYPE`].
    pub fn start(mut self, rng: &mut dyn CryptoRng) -> Result<(ExpectServerFirst, Vec<u8>)> {
        let password = self.preparation.prepare(&self.password)?;
        self.password = Password::new("");
        let nonce = self.nonce(rng);
        let mut transcript = match self.cbind_flag()? {
            CbindFlag::NotSupported => "n,".to_owned(),
            CbindFlag::NotOffered => "y,".to_owned(),
            CbindFlag::Used(name) => format!("p={name},"),
        };
        if let Some(authzid) = &self.authzid {
            transcript.push_str("a=");
            transcript.push_str(&wire::escape(authzid));
        }
        transcript.push(',');
        let gs2_len = transcript.len();
        transcript.push_str("n=");
        if self.sends_name {
            transcript.push_str(&wire::escape(&self.authcid));
        }
        transcript.push_str(",r=");
        transcript.push_str(&nonce);
        let message = transcript.clone().into_bytes();
        Ok((ExpectServerFirst { config: self, password, nonce, transcript, gs2_len }, message))
    }

    /// RFC 5802 section 6, as XEP-0474 section 5 relaxes it: with no binding type in common the client goes on without
    /// one, and the server's hash of the offer must show that nobody cut the list.
    fn cbind_flag(&mut self) -> Result<CbindFlag<'static>> {
        let Some(binding) = &self.binding else {
            return Ok(CbindFlag::NotSupported);
        };
        let in_common =
            !self.context.offers_binding_types() || self.context.binding_types().contains(&binding.kind());
        match (self.mechanism.is_plus(), super::offers_plus(&self.context)) {
            (true, _) if in_common => Ok(CbindFlag::Used(binding.kind().name())),
            (true, _) => Err(Error::new(&rules::UNSUPPORTED_BINDING_TYPE).about(binding.kind().name())),
            (false, false) => Ok(CbindFlag::NotOffered),
            (false, true) if in_common => Err(Error::new(&rules::PLUS_OFFERED)),
            (false, true) => {
                self.requires_downgrade_protection = true;
                Ok(CbindFlag::NotSupported)
            }
        }
    }

    fn nonce(&self, rng: &mut dyn CryptoRng) -> String {
        #[cfg(any(test, feature = "vectors"))]
        if let Some(nonce) = &self.vector.nonce {
            return nonce.clone();
        }
        let mut octets = [0; NONCE_LEN];
        rng.fill_bytes(&mut octets);
        let mut nonce = String::new();
        wire::push_base64(&mut nonce, &octets);
        nonce
    }

    fn check_context(&self, message: &ServerFirstMessage<'_>) -> Result<()> {
        let equal = |ours: String, theirs: &str| bool::from(ours.as_bytes().ct_eq(theirs.as_bytes()));
        let confirmed = message.extensions.value('h').filter(|_| !self.context.mechanisms().is_empty());
        if confirmed.is_none() && self.requires_downgrade_protection {
            return Err(Error::new(&rules::DOWNGRADE_PROTECTION_MISSING));
        }
        if confirmed
            .is_some_and(|theirs| !equal(super::downgrade_hash(self.mechanism.hash(), &self.context), theirs))
        {
            return Err(Error::new(&rules::DOWNGRADE));
        }
        if self.context.is_end_to_end() {
            let theirs = message.extensions.value('o').ok_or(&rules::CONTEXT_MISMATCH)?;
            if !equal(super::context_hash(&self.context), theirs) {
                return Err(Error::new(&rules::CONTEXT_MISMATCH));
            }
        }
        Ok(())
    }
}

/// The client-first-message is sent.
#[derive(Debug)]
pub struct ExpectServerFirst {
    config: ClientConfig,
    password: SecretBytes,
    nonce: String,
    /// What was sent and received so far. The AuthMessage is all of it but the GS2 header.
    transcript: String,
    gs2_len: usize,
}

impl ExpectServerFirst {
    /// Takes the server-first-message and gives the client-final-message.
    ///
    /// Everything the server can be held to is checked before the slow hash runs.
    ///
    /// # Errors
    /// The rule of [`rules`] that the message breaks.
    pub fn receive(self, message: &[u8]) -> Result<(ExpectServerFinal, Vec<u8>)> {
        let Self { config, password, nonce, mut transcript, gs2_len } = self;
        let parsed = ServerFirstMessage::parse(message)?;
        match parsed.nonce.strip_prefix(nonce.as_str()) {
            None => return Err(Error::new(&rules::NONCE_MISMATCH)),
            Some("") => return Err(Error::new(&rules::NONCE_NOT_EXTENDED)),
            Some(_) => {}
        }
        let iterations = super::check_iterations(parsed.iterations, &config.iterations)?;
        config.check_context(&parsed)?;

        let mut channel_binding = transcript.as_bytes()[..gs2_len].to_vec();
        let binding = config.binding.filter(|_| config.mechanism.is_plus());
        if let Some(binding) = &binding {
            channel_binding.extend_from_slice(binding.data());
        }
        transcript.push(',');
        transcript.push_str(str::from_utf8(message).expect("it was parsed as text"));
        transcript.push(',');
        let final_start = transcript.len();
        transcript.push_str("c=");
        wire::push_base64(&mut transcript, &channel_binding);
        transcript.push_str(",r=");
        transcript.push_str(parsed.nonce);
        #[cfg(any(test, feature = "vectors"))]
        if let Some(extension) = &config.vector.final_extension {
            transcript.push(',');
            transcript.push_str(extension);
        }

        let hash = config.mechanism.hash();
        let keys = config
            .keys
            .filter(|keys| keys.fit(hash, &parsed.salt, iterations))
            .unwrap_or_else(|| ClientKeys::from_prepared(hash, password.expose(), &parsed.salt, iterations));
        let auth_message = &transcript.as_bytes()[gs2_len..];
        let proof = keys.proof(auth_message);
        let server_signature = keys.server_signature(auth_message);
        let mut reply = transcript.split_off(final_start);
        reply.push_str(",p=");
        wire::push_base64(&mut reply, proof.expose());
        let state = ExpectServerFinal {
            server_signature,
            keys,
            mechanism: config.mechanism,
            authcid: config.authcid,
            authzid: config.authzid,
            binding,
        };
        Ok((state, reply.into_bytes()))
    }
}

/// The proof is sent; the server has proven nothing yet.
#[derive(Debug)]
pub struct ExpectServerFinal {
    server_signature: Key,
    keys: ClientKeys,
    mechanism: ScramMechanism,
    authcid: String,
    authzid: Option<String>,
    binding: Option<ChannelBinding>,
}

impl ExpectServerFinal {
    /// Takes the server-final-message. The keys are for [`ClientConfig::with_keys`] of the next login.
    ///
    /// # Errors
    /// [`rules::SERVER_SIGNATURE`], [`rules::SERVER_ERROR`], and the rules of the grammar.
    pub fn receive(self, message: &[u8]) -> Result<(Outcome, ClientKeys)> {
        let signature = match ServerFinalMessage::parse(message)? {
            ServerFinalMessage::Verifier(signature) => signature,
            ServerFinalMessage::Error(value) => return Err(value.refusal()),
        };
        let proof = verify(self.server_signature.expose(), &signature).ok_or(&rules::SERVER_SIGNATURE)?;
        let outcome = Outcome::new(proof, self.mechanism.name(), Side::Client, self.authcid, self.binding)
            .with_authzid(self.authzid);
        Ok((outcome, self.keys))
    }
}

/// The client's side as a [`Mechanism`].
#[derive(Debug)]
pub struct ScramClient {
    mechanism: ScramMechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Start(Box<ExpectServerFirst>, Vec<u8>),
    ServerFirst(Box<ExpectServerFirst>),
    ServerFinal(Box<ExpectServerFinal>),
    Over,
}

impl ScramClient {
    /// Takes its randomness now and sends nothing yet.
    ///
    /// # Errors
    /// As [`ClientConfig::start`].
    pub fn new(config: ClientConfig, rng: &mut dyn CryptoRng) -> Result<Self> {
        let mechanism = config.mechanism;
        let (state, message) = config.start(rng)?;
        Ok(Self { mechanism, state: State::Start(Box::new(state), message) })
    }
}

impl Mechanism for ScramClient {
    fn name(&self) -> MechanismName {
        self.mechanism.name()
    }

    fn properties(&self) -> Properties {
        self.mechanism.properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start(..) if !input.is_empty() => Err(Error::new(&mechanism::rules::UNEXPECTED_DATA)),
            State::Start(state, message) => {
                self.state = State::ServerFirst(state);
                Ok(Step::Continue(message))
            }
            State::ServerFirst(state) => {
                let (state, message) = state.receive(input)?;
                self.state = State::ServerFinal(Box::new(state));
                Ok(Step::Continue(message))
            }
            State::ServerFinal(state) => {
                let (outcome, _keys) = state.receive(input)?;
                Ok(Step::Finished { reply: None, outcome })
            }
            State::Over => Err(Error::new(&mechanism::rules::OUT_OF_TURN)),
        }
    }
}
