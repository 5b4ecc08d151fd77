//! TLS-SRP (RFC 5054): a password proven inside TLS 1.2 by SRP-6a, for interoperation with what is deployed.
//!
//! The server stores a [`Verifier`], never the password; lines of OpenSSL's srpvfile and GnuTLS's tpasswd are read and
//! written by [`srp::files`](crate::srp::files). An unknown user is simulated (section 2.5.1.3).
//!
//! # Security
//! Legacy. A listener learns nothing to test passwords with, and an impostor tests one guess in each run; but the name
//! crosses in the open, the suites are AES-CBC with HMAC-SHA-1 (sealed by encrypt-then-MAC where the peer has it, RFC 7366),
//! there is no SRP in TLS 1.3, and OpenSSL's arithmetic on the secret exponents is not constant time and does not wipe all
//! it used. Where both ends are ours, CPace and the SRP of [`srp::plus`](crate::srp::plus) do better.
//!
//! Security level 0 is set on these contexts alone: the suites are not allowed above it. OpenSSL must have been built with
//! SRP, as it is unless somebody says `no-srp`.

use std::ffi::CString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::ssl::{SslContext, SslRef, SslVersion};
use rand_core::CryptoRng;

use super::TlsMechanism;
use super::ffi::{self, Answers, SrpRecord};
use super::openssl::{HandshakeMechanism, OpensslEndpoint, Proof, RecordSize, context, setup};
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::prep::{self, Preparation};
use crate::registry::{self, Credential, CredentialStore};
use crate::secret::{Password, SecretBytes};
use crate::srp::{Dialect, Group, Hash, Identity, Legacy, Parameters, Prehash, Verifier};

/// The name of the mechanism.
pub const NAME: MechanismName = MechanismName::from_static("TLS-SRP");

/// Most octets of a user name (RFC 5054 section 2.8.1).
pub const USERNAME_MAX: usize = 255;

/// Fewest octets of a seed for simulated users.
pub const SEED_MIN: usize = 32;

const CIPHERS: &str = "SRP-AES-256-CBC-SHA:SRP-AES-128-CBC-SHA:@SECLEVEL=0";

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// A name or password that cannot be sent.
    pub static BAD_ACCOUNT: Rule = Rule {
        id: "tls-srp-bad-account",
        kind: ErrorKind::Misuse,
        source: "RFC 5054 sections 2.3 and 2.8.1",
        what: "a TLS-SRP user name has 1 to 255 octets and the password at least one; neither has a zero octet",
        advice: "Choose another name or password.",
    };
    /// A record that RFC 5054 cannot carry.
    pub static BAD_RECORD: Rule = Rule {
        id: "tls-srp-bad-record",
        kind: ErrorKind::Misuse,
        source: "RFC 5054 sections 2.4 and 2.6",
        what: "the stored verifier cannot serve TLS-SRP",
        advice: "Enroll the user for TLS-SRP: SHA-1, a group of RFC 5054, no pre-hash, a salt that does not begin with a zero octet.",
    };
    /// A seed that could be guessed.
    pub static SEED_TOO_SHORT: Rule = Rule {
        id: "tls-srp-seed-too-short",
        kind: ErrorKind::Misuse,
        source: "RFC 5054 section 2.5.1.3",
        what: "the seed for unknown users needs at least 32 octets",
        advice: "Generate 32 random octets once and keep them with the records.",
    };
}

fn parameters(group: Group) -> Parameters {
    Parameters { dialect: Dialect::RFC5054, group, prehash: Prehash::None }
}

/// A new record for `username`.
///
/// # Errors
/// What the preparation refuses, and [`srp::rules`](crate::srp::rules).
pub fn generate(
    username: &str,
    password: &Password,
    preparation: Preparation,
    group: Group,
    rng: &mut dyn CryptoRng,
) -> Result<Verifier> {
    loop {
        let verifier = Verifier::generate(&parameters(group), username, password, preparation, rng)?;
        // OpenSSL takes the salt for a number.
        if verifier.salt()[0] != 0 {
            return Ok(verifier);
        }
    }
}

/// Makes the record that a server stores, in the default group.
///
/// # Errors
/// What SASLprep refuses in the name, and those of [`generate`].
pub fn enroll(
    _mechanism: &MechanismName,
    authcid: &str,
    password: &Password,
    preparation: Preparation,
    rng: &mut dyn CryptoRng,
) -> Result<Credential> {
    generate(&prep::user_name(authcid)?, password, preparation, Group::default(), rng).map(Credential::Srp)
}

/// What a client's endpoint is made from: one account.
#[derive(Clone)]
pub struct SrpClientConfig {
    context: SslContext,
    account: Arc<Account>,
    record: RecordSize,
}

struct Account {
    username: String,
    password: SecretBytes,
}

impl SrpClientConfig {
    /// For this account; groups of 1024 and 1536 bits are taken only with [`Legacy::Allowed`], other groups than those of
    /// RFC 5054 never.
    ///
    /// # Errors
    /// [`rules::BAD_ACCOUNT`]; what SASLprep refuses in the name and the preparation in the password;
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn new(
        username: &str,
        password: &Password,
        preparation: Preparation,
        legacy: Legacy,
    ) -> Result<Self> {
        let username = prep::user_name(username)?;
        let password = preparation.prepare(password)?;
        let bad = || Error::new(&rules::BAD_ACCOUNT);
        let name = CString::new(username.as_str()).map_err(|_| bad())?;
        let sendable = (1..=USERNAME_MAX).contains(&username.len());
        if !sendable || password.is_empty() || password.expose().contains(&0) {
            return Err(bad());
        }
        let least = match legacy {
            Legacy::Refused => Group::Bits2048,
            Legacy::Allowed => Group::Bits1024,
        };
        let mut context = context(Side::Client, SslVersion::TLS1_2)?;
        context.set_cipher_list(CIPHERS).map_err(setup)?;
        // No group has more bits than fit.
        ffi::srp_client(&mut context, &name, least.bits() as u16).map_err(setup)?;
        let account = Arc::new(Account { username, password });
        Ok(Self { context: context.build(), account, record: RecordSize::DEFAULT })
    }

    /// As [`PskClientConfig::with_record_size`](super::psk::PskClientConfig::with_record_size).
    ///
    /// # Errors
    /// As there.
    pub fn with_record_size(mut self, record: usize) -> Result<Self> {
        self.record = RecordSize::new(record)?;
        Ok(self)
    }

    /// The client's end. Its ClientHello waits to be transmitted.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn endpoint(&self) -> Result<OpensslEndpoint> {
        let proof = Arc::new(Client(Arc::clone(&self.account)));
        OpensslEndpoint::new(&self.context, Side::Client, self.record, proof, |_| {})
    }

    /// The client's side as a mechanism.
    ///
    /// # Errors
    /// As [`SrpClientConfig::endpoint`].
    pub fn mechanism(&self) -> Result<Box<dyn TlsMechanism>> {
        self.endpoint().map(HandshakeMechanism::boxed)
    }
}

impl fmt::Debug for SrpClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrpClientConfig({:?}, redacted)", self.account.username)
    }
}

/// What a server's endpoint is made from; cheap to clone.
#[derive(Clone)]
pub struct SrpServerConfig {
    context: SslContext,
    store: Arc<dyn CredentialStore>,
    legacy: Legacy,
    simulated: Group,
    record: RecordSize,
}

impl SrpServerConfig {
    /// For the records that the store has for [`NAME`]; unknown users are simulated with a salt and a verifier made of the
    /// store's seed.
    ///
    /// # Errors
    /// [`rules::SEED_TOO_SHORT`]; [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn new(store: Arc<dyn CredentialStore>) -> Result<Self> {
        if store.simulation_seed().len() < SEED_MIN {
            return Err(Error::new(&rules::SEED_TOO_SHORT));
        }
        let mut context = context(Side::Server, SslVersion::TLS1_2)?;
        context.set_cipher_list(CIPHERS).map_err(setup)?;
        ffi::srp_server(&mut context).map_err(setup)?;
        Ok(Self {
            context: context.build(),
            store,
            legacy: Legacy::Refused,
            simulated: Group::default(),
            record: RecordSize::DEFAULT,
        })
    }

    /// Whether records in groups of 1024 and 1536 bits may be used; they may not unless this says so.
    #[must_use]
    pub fn with_legacy_groups(mut self, legacy: Legacy) -> Self {
        self.legacy = legacy;
        self
    }

    /// The group that most records here have, where it is not the default: unknown users are simulated in it, so that the
    /// group does not tell who exists.
    #[must_use]
    pub fn with_simulated_group(mut self, group: Group) -> Self {
        self.simulated = group;
        self
    }

    /// As [`PskClientConfig::with_record_size`](super::psk::PskClientConfig::with_record_size).
    ///
    /// # Errors
    /// As there.
    pub fn with_record_size(mut self, record: usize) -> Result<Self> {
        self.record = RecordSize::new(record)?;
        Ok(self)
    }

    /// The server's end.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn endpoint(&self) -> Result<OpensslEndpoint> {
        let proof = Server {
            store: Arc::clone(&self.store),
            legacy: self.legacy,
            simulated: self.simulated,
            asked: Mutex::default(),
        };
        OpensslEndpoint::new(&self.context, Side::Server, self.record, Arc::new(proof), |_| {})
    }

    /// The server's side as a mechanism.
    ///
    /// # Errors
    /// As [`SrpServerConfig::endpoint`].
    pub fn mechanism(&self) -> Result<Box<dyn TlsMechanism>> {
        self.endpoint().map(HandshakeMechanism::boxed)
    }
}

impl fmt::Debug for SrpServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrpServerConfig({:?}, simulated: {})", self.legacy, self.simulated)
    }
}

/// What TLS-SRP promises.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::InTls,
        first: Side::Client,
        messages: 4,
        mutual: true,
        key: false,
        needs_binding: false,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::OfflineFast,
        client_test: 2,
        server_test: 2,
        by_name: true,
    }
}

fn is_srp_handshake(ssl: &SslRef) -> bool {
    let suite = ssl.current_cipher().and_then(|cipher| cipher.standard_name());
    suite.is_some_and(|name| name.starts_with("TLS_SRP_SHA_WITH_"))
}

struct Client(Arc<Account>);

impl Answers for Client {
    fn password(&self) -> Option<&SecretBytes> {
        Some(&self.0.password)
    }
}

impl Proof for Client {
    fn name(&self) -> MechanismName {
        NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn proven(&self, ssl: &SslRef) -> Option<String> {
        is_srp_handshake(ssl).then(|| self.0.username.clone())
    }
}

struct Server {
    store: Arc<dyn CredentialStore>,
    legacy: Legacy,
    simulated: Group,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Whose record was given; nobody's for a simulated one.
    authcid: Option<String>,
    failure: Option<Error>,
}

impl Server {
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        // Both fields are written whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of that name, and the name if it has one.
    fn look_up(&self, username: &[u8]) -> Result<(Verifier, Option<String>)> {
        let text = String::from_utf8_lossy(username);
        // What SASLprep refuses nobody can be enrolled under.
        let name = prep::user_name(&text).ok().filter(|_| std::str::from_utf8(username).is_ok());
        let simulated = self.simulate(&text);
        let found = match &name {
            Some(name) => self.store.lookup(&NAME, name)?,
            None => None,
        };
        match found {
            None => Ok((simulated, None)),
            Some(Credential::Srp(verifier)) => self.check(&verifier).map(|()| (verifier, name)),
            Some(_) => Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(NAME.as_str())),
        }
    }

    fn check(&self, verifier: &Verifier) -> Result<()> {
        verifier.group().checked(self.legacy)?;
        let plain = (verifier.hash(), verifier.identity(), verifier.prehash())
            == (Hash::Sha1, Identity::Included, Prehash::None);
        // OpenSSL takes the salt for a number, and its clients know no other groups.
        if !plain || verifier.salt()[0] == 0 || verifier.group() == Group::Bits1280 {
            return Err(Error::new(&rules::BAD_RECORD));
        }
        Ok(())
    }

    /// The same for each call, with a salt like those of [`generate`].
    fn simulate(&self, username: &str) -> Verifier {
        (0..=u8::MAX)
            .map(|n| {
                let name = format!("{n}:{username}");
                Verifier::simulated(&parameters(self.simulated), self.store.simulation_seed(), &name)
            })
            .find(|verifier| verifier.salt()[0] != 0)
            .expect("one salt in 256 begins with a zero octet")
    }
}

impl Answers for Server {
    fn record(&self, username: &[u8]) -> Option<SrpRecord> {
        match self.look_up(username) {
            Ok((verifier, authcid)) => {
                self.asked().authcid = authcid;
                Some(SrpRecord {
                    modulus: verifier.group().modulus().to_vec(),
                    generator: verifier.group().generator(),
                    salt: verifier.salt().to_vec(),
                    verifier: verifier.expose().into(),
                })
            }
            Err(error) => {
                self.asked().failure = Some(error);
                None
            }
        }
    }
}

impl Proof for Server {
    fn name(&self) -> MechanismName {
        NAME
    }

    fn properties(&self) -> Properties {
        properties()
    }

    fn proven(&self, ssl: &SslRef) -> Option<String> {
        is_srp_handshake(ssl).then(|| self.asked().authcid.clone())?
    }

    fn failure(&self) -> Option<Error> {
        self.asked().failure.clone()
    }
}
