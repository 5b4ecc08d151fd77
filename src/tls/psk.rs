//! TLS-PSK: both sides hold a key, and the handshake proves it. TLS 1.3 external PSKs (RFC 8446 section 4.2.11), always
//! with a Diffie-Hellman exchange (`psk_dhe_ke`); ECDHE-PSK of TLS 1.2 (RFC 8442) for peers that have nothing newer.
//!
//! A key is for one pair of identities, one direction and one [`Suite`]: [`PskCredential::between`] derives it, so that a
//! message that is sent back to its sender, or on to a third who knows the same secret, is under another key (RFC 9257
//! section 4, "Selfie" and rerouting). It derives the name on the wire too, which names nobody.
//! [`PskCredential::raw`] uses a key and a name as they are, for other TLS programs.
//!
//! The derivation is HKDF with SHA-256 (RFC 5869), salt `countersign TLS-PSK v1`, and info of four items, each behind its
//! length as 8 octets, big-endian: `countersign TLS-PSK key v1` or `countersign TLS-PSK identity v1`; the suite, as
//! `TLS13-PSK SHA-256`, `TLS13-PSK SHA-384` or `TLS12-ECDHE-PSK`; the initiator; the responder. A key has the length of
//! the suite's hash, a name 16 octets, written as `cs1-` and hex. It has the purpose of RFC 9258's importer but is not it:
//! OpenSSL has no way to set the importer's binder label.
//!
//! # Security
//! The binder in the first flight of TLS 1.3 is computed from the key and public octets alone. Whoever records one
//! ClientHello tests some 3 million guesses a second on one core and needs nobody for it; in TLS 1.2 he must pose as the
//! server first. So a [`PreSharedKey`] is generated, not thought up: at least [`PRESHARED_MIN`] octets. Passwords belong
//! into a PAKE, such as [CPace](crate::mechanism).
//!
//! Who holds the key is both sides at once: a copy of the server's store logs in. The name on the wire is the same in each
//! connection of a pair: a listener can tell that the same two talk again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hkdf::Hkdf;
use openssl::ssl::{Ssl, SslContext, SslRef, SslVersion};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::TlsMechanism;
use super::ffi::{self, Answers};
use super::openssl::{HandshakeMechanism, OpensslEndpoint, Proof, RecordSize, context, set_groups, setup};
#[cfg(feature = "cpace")]
use crate::cpace::psk::OneTimePsk;
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::ksf::Ksf;
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::prep::Preparation;
use crate::secret::{Password, SecretBytes};

/// The name of the mechanism on TLS 1.3.
pub const TLS13_PSK: MechanismName = MechanismName::from_static("TLS13-PSK");

/// The name of the mechanism on TLS 1.2.
pub const TLS12_ECDHE_PSK: MechanismName = MechanismName::from_static("TLS12-ECDHE-PSK");

/// Fewest octets of a key: 128 bits (RFC 9257 section 6).
pub const PRESHARED_MIN: usize = 16;

/// Most octets of a key, as much as every OpenSSL 3 takes.
pub const PRESHARED_MAX: usize = 256;

/// Most octets of an identity on the wire (RFC 4279 section 5.3 asks for so many at least).
pub const IDENTITY_MAX: usize = 128;

/// Octets of a generated key.
pub const GENERATED_LEN: usize = 32;

/// A key that consists of printable characters alone, and of fewer than these, is taken for a password: 16 random octets
/// in hex have as many.
pub const TEXT_MIN: usize = 32;

/// A key needs so many different octets; 16 random ones practically never have fewer.
pub const DISTINCT_MIN: usize = 6;

const KEY_LABEL: &[u8] = b"countersign TLS-PSK key v1";
const IDENTITY_LABEL: &[u8] = b"countersign TLS-PSK identity v1";
const EXTRACT_LABEL: &[u8] = b"countersign TLS-PSK v1";
const PASSWORD_LABEL: &[u8] = b"countersign TLS-PSK password v1";

/// Octets of a derived name on the wire, before hex.
const WIRE_NAME_LEN: usize = 16;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Fewer than 128 bits.
    pub static TOO_SHORT: Rule = Rule {
        id: "psk-too-short",
        kind: ErrorKind::PolicyRefused,
        source: "RFC 9257 section 6",
        what: "a pre-shared key needs at least 16 octets: one recorded ClientHello lets anybody test about 3 million \
               guesses a second on one core",
        advice: "Generate a key of 32 random octets, or use CPace, which gives a listener nothing to test.",
    };
    /// More than OpenSSL takes.
    pub static TOO_LONG: Rule = Rule {
        id: "psk-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "the pre-shared key is too long",
        advice: "Generate a key of 32 random octets.",
    };
    /// It looks like a password.
    pub static LOW_ENTROPY: Rule = Rule {
        id: "psk-low-entropy",
        kind: ErrorKind::PolicyRefused,
        source: "RFC 9257 section 6",
        what: "this pre-shared key looks like a password: one recorded ClientHello lets anybody test about 3 million \
               guesses a second on one core",
        advice: "Use CPace, which gives a listener nothing to test, or generate a key of 32 random octets.",
    };
    /// A name that cannot be sent.
    pub static BAD_IDENTITY: Rule = Rule {
        id: "psk-bad-identity",
        kind: ErrorKind::Misuse,
        source: "RFC 8446 section 4.2.11, RFC 4279 section 5.3",
        what: "a PSK identity has 1 to 128 octets, and in TLS 1.2 no zero octet",
        advice: "Choose another identity on both sides.",
    };
}

/// What a key is for: a key is never used with two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// TLS 1.3 with SHA-256: AES-128-GCM or ChaCha20-Poly1305. What other programs take when nothing is said.
    Tls13Sha256,
    /// TLS 1.3 with SHA-384: AES-256-GCM.
    Tls13Sha384,
    /// TLS 1.2, ECDHE_PSK with ChaCha20-Poly1305 (RFC 7905): the only such AEAD suite that OpenSSL has.
    Tls12,
}

impl Suite {
    /// The name of its mechanism.
    #[must_use]
    pub fn mechanism(self) -> MechanismName {
        match self {
            Self::Tls13Sha256 | Self::Tls13Sha384 => TLS13_PSK,
            Self::Tls12 => TLS12_ECDHE_PSK,
        }
    }

    fn version(self) -> SslVersion {
        match self {
            Self::Tls13Sha256 | Self::Tls13Sha384 => SslVersion::TLS1_3,
            Self::Tls12 => SslVersion::TLS1_2,
        }
    }

    /// Octets of a derived key.
    fn key_len(self) -> usize {
        match self {
            Self::Tls13Sha256 | Self::Tls12 => 32,
            Self::Tls13Sha384 => 48,
        }
    }

    /// The cipher suite that stands for the hash in OpenSSL's sessions.
    pub(super) fn first_cipher(self) -> [u8; 2] {
        match self {
            Self::Tls13Sha256 => [0x13, 0x01],
            Self::Tls13Sha384 => [0x13, 0x02],
            Self::Tls12 => [0xcc, 0xac],
        }
    }

    /// The name in derivations.
    fn label(self) -> &'static str {
        match self {
            Self::Tls13Sha256 => "TLS13-PSK SHA-256",
            Self::Tls13Sha384 => "TLS13-PSK SHA-384",
            Self::Tls12 => "TLS12-ECDHE-PSK",
        }
    }

    /// What OpenSSL is told to take.
    fn ciphers(self) -> &'static str {
        match self {
            Self::Tls13Sha256 => "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
            Self::Tls13Sha384 => "TLS_AES_256_GCM_SHA384",
            Self::Tls12 => "ECDHE-PSK-CHACHA20-POLY1305",
        }
    }
}

/// A secret of two parties that nobody can guess: [`PRESHARED_MIN`] to [`PRESHARED_MAX`] octets. Wiped on drop.
#[derive(Clone, Debug)]
pub struct PreSharedKey(SecretBytes);

impl PreSharedKey {
    /// 32 random octets.
    #[must_use]
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut octets = vec![0; GENERATED_LEN];
        rng.fill_bytes(&mut octets);
        Self(SecretBytes::new(octets))
    }

    /// Declares that these octets were drawn at random, with at least 128 bits of entropy.
    ///
    /// # Errors
    /// [`rules::TOO_SHORT`], [`rules::TOO_LONG`]; [`rules::LOW_ENTROPY`] for what cannot have so much: text below
    /// [`TEXT_MIN`] characters, or fewer than [`DISTINCT_MIN`] different octets.
    ///
    /// # Security
    /// Only the plainest mistakes are found here. A phrase of words is a password, however long.
    pub fn from_high_entropy(octets: &[u8]) -> Result<Self> {
        let len = octets.len();
        if len < PRESHARED_MIN {
            return Err(Error::exceeds(&rules::TOO_SHORT, len as u64, PRESHARED_MIN as u64));
        }
        if len > PRESHARED_MAX {
            return Err(Error::exceeds(&rules::TOO_LONG, len as u64, PRESHARED_MAX as u64));
        }
        let is_text = octets.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
        let mut seen = [false; 256];
        octets.iter().for_each(|octet| seen[usize::from(*octet)] = true);
        let distinct = seen.iter().filter(|seen| **seen).count();
        seen.zeroize();
        if (is_text && len < TEXT_MIN) || distinct < DISTINCT_MIN {
            return Err(Error::new(&rules::LOW_ENTROPY));
        }
        Ok(Self(octets.into()))
    }

    /// Makes a key of a password all the same, by a slow hash that both sides agreed on, under a salt made of both
    /// identities; the initiator is the TLS client.
    ///
    /// # Errors
    /// [`rules::LOW_ENTROPY`] for an empty password; what the preparation refuses, and
    /// [`ksf::rules`](crate::ksf::rules).
    ///
    /// # Security
    /// Everybody who sees one ClientHello can test passwords offline, at the price of the slow hash for each. Use CPace
    /// instead: there nothing can be tested offline, and no hash needs to be slow.
    pub fn expose_password_to_offline_guessing(
        password: &Password,
        preparation: Preparation,
        ksf: Ksf,
        initiator: &str,
        responder: &str,
    ) -> Result<Self> {
        if password.is_empty() {
            return Err(Error::new(&rules::LOW_ENTROPY));
        }
        let salt = Sha256::digest(items(&[PASSWORD_LABEL, initiator.as_bytes(), responder.as_bytes()]));
        let prepared = preparation.prepare(password)?;
        let mut octets = Zeroizing::new(vec![0; GENERATED_LEN]);
        ksf.stretch_into(prepared.expose(), &salt, &mut octets)?;
        Ok(Self(SecretBytes::new(std::mem::take(&mut *octets))))
    }
}

/// Each item behind its length as 8 octets, big-endian.
fn items(items: &[&[u8]]) -> Vec<u8> {
    items.iter().flat_map(|item| [&(item.len() as u64).to_be_bytes(), *item].concat()).collect()
}

/// A key for one [`Suite`] with its name on the wire, and whom it stands for.
#[derive(Clone)]
pub struct PskCredential {
    mechanism: MechanismName,
    suite: Suite,
    identity: Vec<u8>,
    key: SecretBytes,
    authcid: String,
}

impl PskCredential {
    /// The key of these two: `initiator` is the TLS client, `responder` the server. Both sides give the same names in
    /// the same places, so that neither can be taken for the other.
    ///
    /// The name on the wire is `cs1-` and 32 hex digits that only who holds the secret can connect with the two.
    #[must_use]
    pub fn between(secret: &PreSharedKey, initiator: &str, responder: &str, suite: Suite) -> Self {
        let derive = |label: &[u8], len: usize| {
            let info = items(&[label, suite.label().as_bytes(), initiator.as_bytes(), responder.as_bytes()]);
            let mut out = vec![0; len];
            Hkdf::<Sha256>::new(Some(EXTRACT_LABEL), secret.0.expose())
                .expand(&info, &mut out)
                .expect("at most 48 octets are derived");
            out
        };
        let mut identity = String::from("cs1-");
        for octet in derive(IDENTITY_LABEL, WIRE_NAME_LEN) {
            identity.push_str(&format!("{octet:02x}"));
        }
        Self {
            mechanism: suite.mechanism(),
            suite,
            identity: identity.into_bytes(),
            key: SecretBytes::new(derive(KEY_LABEL, suite.key_len())),
            authcid: initiator.to_owned(),
        }
    }

    /// A key and a name exactly as they are, to talk with other TLS programs.
    ///
    /// # Errors
    /// [`rules::BAD_IDENTITY`] outside 1 to [`IDENTITY_MAX`] octets.
    ///
    /// # Security
    /// The name crosses in the open. Nothing keeps this key to one direction or one pair: give each pair a key of its
    /// own, and let one side be the client always.
    pub fn raw(identity: &[u8], key: &PreSharedKey, suite: Suite) -> Result<Self> {
        let sendable = suite != Suite::Tls12 || !identity.contains(&0);
        if !(1..=IDENTITY_MAX).contains(&identity.len()) || !sendable {
            return Err(Error::new(&rules::BAD_IDENTITY));
        }
        Ok(Self {
            mechanism: suite.mechanism(),
            suite,
            identity: identity.to_vec(),
            key: key.0.clone(),
            authcid: String::from_utf8_lossy(identity).into_owned(),
        })
    }

    /// The key that CPace agreed on before TLS, for one handshake: `initiator` is the TLS client.
    ///
    /// # Security
    /// To be used once, by both sides.
    #[cfg(feature = "cpace")]
    #[must_use]
    pub fn once(key: &OneTimePsk, initiator: &str) -> Self {
        Self {
            mechanism: crate::cpace::psk::NAME,
            suite: Suite::Tls13Sha256,
            identity: key.identity().as_bytes().to_vec(),
            key: key.key().clone(),
            authcid: initiator.to_owned(),
        }
    }

    /// The mechanism that ends in a handshake with this key.
    #[must_use]
    pub fn mechanism(&self) -> &MechanismName {
        &self.mechanism
    }

    /// What the key is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The name on the wire.
    #[must_use]
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// Whom it stands for: the initiator, or the raw identity as text.
    #[must_use]
    pub fn authcid(&self) -> &str {
        &self.authcid
    }
}

impl fmt::Debug for PskCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PskCredential({:?}, {:?}, redacted)", self.suite, self.authcid)
    }
}

/// Where a server finds its keys.
pub trait PskStore: Send + Sync {
    /// The key with that name on the wire, octet for octet, or `None`.
    ///
    /// # Errors
    /// When the store itself fails; the handshake then ends with it.
    fn lookup(&self, identity: &[u8]) -> Result<Option<PskCredential>>;
}

/// One key alone.
impl PskStore for PskCredential {
    fn lookup(&self, identity: &[u8]) -> Result<Option<PskCredential>> {
        Ok((identity == self.identity).then(|| self.clone()))
    }
}

/// Keys in memory.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(HashMap<Vec<u8>, PskCredential>);

impl KeyRing {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts in a key, in the place of an older one with the same name on the wire.
    pub fn insert(&mut self, credential: PskCredential) {
        self.0.insert(credential.identity.clone(), credential);
    }

    /// Takes out the key with that name on the wire.
    pub fn remove(&mut self, identity: &[u8]) -> Option<PskCredential> {
        self.0.remove(identity)
    }
}

impl PskStore for KeyRing {
    fn lookup(&self, identity: &[u8]) -> Result<Option<PskCredential>> {
        Ok(self.0.get(identity).cloned())
    }
}

/// What a client's endpoint is made from; cheap to clone.
#[derive(Clone)]
pub struct PskClientConfig {
    context: SslContext,
    credential: Arc<PskCredential>,
    record: RecordSize,
}

impl PskClientConfig {
    /// For the version that the key is for, and no other.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn new(credential: PskCredential) -> Result<Self> {
        Ok(Self {
            context: client_context(credential.suite)?,
            credential: Arc::new(credential),
            record: RecordSize::DEFAULT,
        })
    }

    /// Sends records of at most `record` octets, all included: the block size of the transport.
    ///
    /// # Errors
    /// [`tls::rules::RECORD_SIZE`](super::rules::RECORD_SIZE) outside
    /// [`RECORD_MIN`](super::openssl::RECORD_MIN) to [`RECORD_MAX`](super::openssl::RECORD_MAX).
    pub fn with_record_size(mut self, record: usize) -> Result<Self> {
        self.record = RecordSize::new(record)?;
        Ok(self)
    }

    /// The client's end. Its ClientHello waits to be transmitted.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn endpoint(&self) -> Result<OpensslEndpoint> {
        let proof = Arc::new(Client(Arc::clone(&self.credential)));
        let install = if self.credential.suite == Suite::Tls12 {
            |_: &mut Ssl| {}
        } else {
            |ssl: &mut Ssl| ffi::offer_psk(ssl)
        };
        OpensslEndpoint::new(&self.context, Side::Client, self.record, proof, install)
    }

    /// The client's side as a mechanism.
    ///
    /// # Errors
    /// As [`PskClientConfig::endpoint`].
    pub fn mechanism(&self) -> Result<Box<dyn TlsMechanism>> {
        self.endpoint().map(HandshakeMechanism::boxed)
    }
}

impl fmt::Debug for PskClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PskClientConfig({:?})", self.credential)
    }
}

/// What a server's endpoint is made from; cheap to clone.
#[derive(Clone)]
pub struct PskServerConfig {
    context: SslContext,
    store: Arc<dyn PskStore>,
    tls12: bool,
    record: RecordSize,
}

impl PskServerConfig {
    /// For TLS 1.3, with keys for either hash. A client that offers suites of both hashes gets SHA-256.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn new(store: Arc<dyn PskStore>) -> Result<Self> {
        Self::with(store, Served::Tls13)
    }

    /// For TLS 1.3 or 1.2 with keys for this suite only.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn only(suite: Suite, store: Arc<dyn PskStore>) -> Result<Self> {
        Self::with(store, Served::Only(suite))
    }

    fn with(store: Arc<dyn PskStore>, served: Served) -> Result<Self> {
        let tls12 = served == Served::Only(Suite::Tls12);
        Ok(Self { context: server_context(served)?, store, tls12, record: RecordSize::DEFAULT })
    }

    /// As [`PskClientConfig::with_record_size`].
    ///
    /// # Errors
    /// As [`PskClientConfig::with_record_size`].
    pub fn with_record_size(mut self, record: usize) -> Result<Self> {
        self.record = RecordSize::new(record)?;
        Ok(self)
    }

    /// The server's end.
    ///
    /// # Errors
    /// [`tls::rules::SETUP`](super::rules::SETUP).
    pub fn endpoint(&self) -> Result<OpensslEndpoint> {
        let proof = Server { store: Arc::clone(&self.store), tls12: self.tls12, asked: Mutex::default() };
        let install = if self.tls12 { |_: &mut Ssl| {} } else { |ssl: &mut Ssl| ffi::find_psk(ssl) };
        OpensslEndpoint::new(&self.context, Side::Server, self.record, Arc::new(proof), install)
    }

    /// The server's side as a mechanism.
    ///
    /// # Errors
    /// As [`PskServerConfig::endpoint`].
    pub fn mechanism(&self) -> Result<Box<dyn TlsMechanism>> {
        self.endpoint().map(HandshakeMechanism::boxed)
    }
}

impl fmt::Debug for PskServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PskServerConfig(TLS 1.{})", if self.tls12 { 2 } else { 3 })
    }
}

/// What a server takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Tls13,
    Only(Suite),
}

/// The context of all clients with this suite: a connection brings what differs, and a context takes as long to make as a
/// handshake.
fn client_context(suite: Suite) -> Result<SslContext> {
    static MADE: [OnceLock<SslContext>; 3] = [const { OnceLock::new() }; 3];
    once(&MADE[suite as usize], || {
        let mut context = context(Side::Client, suite.version())?;
        set_groups(&mut context)?;
        if suite != Suite::Tls12 {
            context.set_ciphersuites(suite.ciphers()).map_err(setup)?;
            return Ok(context.build());
        }
        context.set_cipher_list(suite.ciphers()).map_err(setup)?;
        context.set_psk_client_callback(|ssl, _hint, identity_out, key_out| {
            Ok(ffi::guarded(0, || {
                let answers = ffi::attached(ssl)?;
                let (identity, key, _) = answers.offer()?;
                // A zero octet ends the name, which itself has none.
                identity_out.get_mut(..identity.len())?.copy_from_slice(identity);
                *identity_out.get_mut(identity.len())? = 0;
                put(key, key_out)
            }))
        });
        Ok(context.build())
    })
}

/// The context of all servers that take this.
fn server_context(served: Served) -> Result<SslContext> {
    static MADE: [OnceLock<SslContext>; 4] = [const { OnceLock::new() }; 4];
    let (place, suites) = match served {
        Served::Only(suite) => (suite as usize, vec![suite]),
        Served::Tls13 => (3, vec![Suite::Tls13Sha256, Suite::Tls13Sha384]),
    };
    once(&MADE[place], || {
        let mut context = context(Side::Server, suites[0].version())?;
        set_groups(&mut context)?;
        let ciphers = suites.iter().map(|suite| suite.ciphers()).collect::<Vec<_>>().join(":");
        if suites != [Suite::Tls12] {
            context.set_ciphersuites(&ciphers).map_err(setup)?;
            return Ok(context.build());
        }
        context.set_cipher_list(&ciphers).map_err(setup)?;
        context.set_psk_server_callback(|ssl, identity, key_out| {
            Ok(ffi::guarded(0, || {
                let key = ffi::attached(ssl)?.find(identity?, Suite::Tls12)?;
                put(&key, key_out)
            }))
        });
        Ok(context.build())
    })
}

fn once(place: &OnceLock<SslContext>, make: impl FnOnce() -> Result<SslContext>) -> Result<SslContext> {
    if let Some(made) = place.get() {
        return Ok(made.clone());
    }
    // Of two threads that come here together one works for nothing.
    let made = make()?;
    Ok(place.get_or_init(|| made).clone())
}

fn put(key: &SecretBytes, out: &mut [u8]) -> Option<usize> {
    out.get_mut(..key.len())?.copy_from_slice(key.expose());
    Some(key.len())
}

/// What TLS-PSK of this version promises.
#[must_use]
pub fn properties(name: &MechanismName) -> Properties {
    let tls13 = *name == TLS13_PSK;
    Properties {
        place: Place::InTls,
        first: Side::Client,
        messages: if tls13 { 3 } else { 4 },
        mutual: true,
        key: false,
        needs_binding: false,
        forward_secrecy: true,
        // The binder is in the first flight. In TLS 1.2 the first proof is under keys of the ECDHE exchange.
        listener: if tls13 { Guessing::OfflineFast } else { Guessing::OnlineOnly },
        impostor: Guessing::OfflineFast,
        thief: Guessing::Immediate,
        client_test: if tls13 { 1 } else { 2 },
        server_test: if tls13 { 1 } else { 2 },
        by_name: true,
    }
}

/// What the mechanism that ends in a handshake with a key promises.
pub(crate) fn whole(name: &MechanismName) -> Properties {
    #[cfg(feature = "cpace")]
    if *name == crate::cpace::psk::NAME {
        return crate::cpace::psk::properties();
    }
    properties(name)
}

fn is_psk_handshake(ssl: &SslRef, tls12: bool) -> bool {
    if tls12 {
        let suite = ssl.current_cipher().and_then(|cipher| cipher.standard_name());
        suite.is_some_and(|name| name.starts_with("TLS_ECDHE_PSK_"))
    } else {
        // There are no tickets, so what OpenSSL calls reuse is the external PSK.
        ssl.session_reused()
    }
}

struct Client(Arc<PskCredential>);

impl Answers for Client {
    fn offer(&self) -> Option<(&[u8], &SecretBytes, Suite)> {
        Some((&self.0.identity, &self.0.key, self.0.suite))
    }
}

impl Proof for Client {
    fn name(&self) -> MechanismName {
        self.0.mechanism.clone()
    }

    fn properties(&self) -> Properties {
        whole(&self.name())
    }

    fn proven(&self, ssl: &SslRef) -> Option<String> {
        is_psk_handshake(ssl, self.0.suite == Suite::Tls12).then(|| self.0.authcid.clone())
    }
}

struct Server {
    store: Arc<dyn PskStore>,
    tls12: bool,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Whose key was last given; nobody's for one that was made up.
    authcid: Option<String>,
    /// What that key is part of, where it is part of something.
    mechanism: Option<MechanismName>,
    failure: Option<Error>,
}

impl Server {
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        // Both fields are written whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers for Server {
    fn find(&self, identity: &[u8], suite: Suite) -> Option<SecretBytes> {
        // Drawn for known names too: the same work, and the same failure later on, for all.
        let mut nobodys = vec![0; suite.key_len()];
        openssl::rand::rand_bytes(&mut nobodys).ok()?;
        let nobodys = SecretBytes::new(nobodys);
        let found = match self.store.lookup(identity) {
            Ok(found) => found.filter(|found| found.suite == suite),
            Err(error) => {
                self.asked().failure = Some(error);
                return None;
            }
        };
        let (authcid, mechanism, key) = match found {
            Some(found) => (Some(found.authcid), Some(found.mechanism), found.key),
            None => (None, None, nobodys),
        };
        let mut asked = self.asked();
        (asked.authcid, asked.mechanism) = (authcid, mechanism);
        Some(key)
    }
}

impl Proof for Server {
    fn name(&self) -> MechanismName {
        let name = if self.tls12 { TLS12_ECDHE_PSK } else { TLS13_PSK };
        self.asked().mechanism.clone().unwrap_or(name)
    }

    fn properties(&self) -> Properties {
        whole(&self.name())
    }

    fn proven(&self, ssl: &SslRef) -> Option<String> {
        is_psk_handshake(ssl, self.tls12).then(|| self.asked().authcid.clone())?
    }

    fn failure(&self) -> Option<Error> {
        self.asked().failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by other code, from the description at the top.
    #[test]
    fn keys_and_names_are_derived_as_described() {
        let secret = PreSharedKey::from_high_entropy(&(0..16).collect::<Vec<u8>>()).unwrap();
        for (suite, name, key) in [
            (
                Suite::Tls13Sha256,
                "cs1-f2ee5d6a0e030e876aa52dc47a54ae96",
                "fb272fc0bae403f244f6f6d9ee2c3e4c4f92c42e178f17fd4e32dc58a9dff530",
            ),
            (
                Suite::Tls13Sha384,
                "cs1-2eb497a67ed72a173c2d2d2f70170134",
                "49ce177a47a7b43636e8e7a49fcf655f3730de10ab7ae14fd4a8ac6387295cedf8e6ce0ecb5e9e07b6c9ea08dd57297b",
            ),
            (
                Suite::Tls12,
                "cs1-0f4117676478776d60a733d7e16154bb",
                "cb72a6da19f7004f5d8f4c6dd46ee35407e6006d618c1b8b9a8fddfce566f199",
            ),
        ] {
            let credential = PskCredential::between(&secret, "alice@example.org", "bob@example.net", suite);
            assert_eq!(credential.identity(), name.as_bytes());
            let hex = credential.key.expose().iter().map(|octet| format!("{octet:02x}")).collect::<String>();
            assert_eq!(hex, key);
        }
    }
}
