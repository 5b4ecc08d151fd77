//! TLS 1.3 on rustls with throw-away certificates on both sides.
//!
//! The certificates say nothing and are believed by nobody: they only let both ends sign the handshake. Who the
//! peer is, the authentication above the tunnel proves.
//!
//! No ALPN is sent. What runs inside was agreed on before, over the carrying protocol; a name here would tell
//! listeners which program this is and nothing more.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as provider;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use zeroize::Zeroizing;

use super::fingerprint::Fingerprint;
use super::{Endpoint, Negotiated, UNREAD_MAX, hand_over, rules};
use crate::error::{Error, Result};
use crate::mechanism::Side;

/// The name in every throw-away certificate; `.invalid` belongs to nobody (RFC 2606 section 2).
pub const SUBJECT: &str = "countersign.invalid";

/// Octets that TLS 1.3 adds to the plaintext of a record: header 5, content type 1, tag 16
/// (RFC 8446 section 5.2).
pub const RECORD_OVERHEAD: usize = 22;

/// Largest record sent unless set otherwise: one in-band bytestream block of the recommended size
/// (XEP-0047 section 2).
pub const RECORD_DEFAULT: usize = 4096;

/// Smallest record size that can be set.
pub const RECORD_MIN: usize = 64;

/// Largest record size that can be set: 2^14 octets of plaintext (RFC 8446 section 5.1).
pub const RECORD_MAX: usize = 16384 + RECORD_OVERHEAD;

/// A key and its self-signed certificate.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// A fresh Ed25519 key with a certificate that names [`SUBJECT`]. Ed25519 gives the shortest handshake.
    ///
    /// # Errors
    /// [`rules::SETUP`] when the key generator fails.
    pub fn generate() -> Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(setup)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, SUBJECT);
        let certificate = params.self_signed(&key).map_err(setup)?;
        let octets = Zeroizing::new(key.serialize_der());
        let signer =
            provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(octets.as_slice())).map_err(setup)?;
        Ok(Self { key: Arc::new(CertifiedKey::new(vec![certificate.into()], signer)) })
    }

    /// An identity that was kept: the certificate and its PKCS #8 private key, both DER.
    ///
    /// # Errors
    /// [`rules::SETUP`] when one of them cannot be read or they do not belong together.
    pub fn from_der(certificate: &[u8], private_key: &[u8]) -> Result<Self> {
        let signer = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private_key));
        let signer = provider::sign::any_supported_type(&signer).map_err(setup)?;
        let key = CertifiedKey::new(vec![certificate.to_vec().into()], signer);
        key.keys_match().map_err(setup)?;
        Ok(Self { key: Arc::new(key) })
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |certificate| certificate.as_ref())
    }

    /// The certificate's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certificate())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

/// What an endpoint is made from; cheap to clone, good for any number of connections.
///
/// # Security
/// A listener cannot tell connections of one identity apart from others, but the peers can recognise it: make a
/// fresh identity for each session unless being recognised is the purpose.
#[derive(Clone)]
pub struct Config {
    identity: Identity,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Config {
    /// The settings for `identity`, with records of at most [`RECORD_DEFAULT`] octets.
    ///
    /// # Errors
    /// [`rules::SETUP`].
    pub fn new(identity: Identity) -> Result<Self> {
        Self::with_record_size(identity, RECORD_DEFAULT)
    }

    /// The same, with records of at most `record` octets, header and tag included: the block size of the transport.
    ///
    /// # Errors
    /// [`rules::SETUP`]; [`rules::RECORD_SIZE`] outside [`RECORD_MIN`] to [`RECORD_MAX`].
    pub fn with_record_size(identity: Identity, record: usize) -> Result<Self> {
        if !(RECORD_MIN..=RECORD_MAX).contains(&record) {
            return Err(Error::exceeds(&rules::RECORD_SIZE, record as u64, RECORD_MAX as u64));
        }
        // rustls counts plaintext and header.
        let fragment = Some(record - (RECORD_OVERHEAD - 5));
        let provider = Arc::new(provider());
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let signer = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key)));

        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::clone(&signer) as _);
        client.enable_sni = false;
        client.resumption = Resumption::disabled();
        client.max_fragment_size = fragment;
        client.cert_compressors = Vec::new();
        client.cert_decompressors = Vec::new();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(signer);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_fragment_size = fragment;
        server.cert_compressors = Vec::new();
        server.cert_decompressors = Vec::new();

        Ok(Self { identity, client: Arc::new(client), server: Arc::new(server) })
    }

    /// The identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The initiator's settings, for an application that drives rustls itself and binds with
    /// [`ChannelBinding::from_rustls`](crate::ChannelBinding::from_rustls).
    ///
    /// # Security
    /// They accept every certificate: until an authentication bound to the connection has succeeded, the peer may be
    /// anybody.
    #[must_use]
    pub fn rustls_client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The responder's settings; as [`Config::rustls_client`].
    #[must_use]
    pub fn rustls_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({:?})", self.identity)
    }
}

/// The provider's TLS 1.3 suites, with X25519MLKEM768 first where there is one. P-256 stays last: every TLS 1.3
/// peer must know it (RFC 8446 section 9.1).
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            #[cfg(feature = "aws-lc-rs")]
            provider::kx_group::X25519MLKEM768,
            provider::kx_group::X25519,
            provider::kx_group::SECP256R1,
        ],
        ..provider::default_provider()
    }
}

/// One end of a TLS connection, made by rustls.
///
/// TLS 1.3 only, certificates on both sides, no SNI, no resumption, no early data.
pub struct RustlsEndpoint {
    connection: Connection,
    identity: Identity,
    unread: Vec<u8>,
    failure: Option<Error>,
    closed: bool,
    peer_closed: bool,
}

enum Connection {
    Client(ClientConnection),
    Server(ServerConnection),
}

/// Runs the same expression on the connection of either side.
macro_rules! either {
    ($connection:expr, $c:ident => $body:expr) => {
        match $connection {
            Connection::Client($c) => $body,
            Connection::Server($c) => $body,
        }
    };
}

impl RustlsEndpoint {
    /// The initiator's end. Its ClientHello waits to be transmitted.
    ///
    /// # Errors
    /// [`rules::SETUP`].
    pub fn client(config: &Config) -> Result<Self> {
        let name = ServerName::try_from(SUBJECT).map_err(setup)?;
        let connection = ClientConnection::new(Arc::clone(&config.client), name).map_err(setup)?;
        Ok(Self::new(Connection::Client(connection), config))
    }

    /// The responder's end.
    ///
    /// # Errors
    /// [`rules::SETUP`].
    pub fn server(config: &Config) -> Result<Self> {
        let connection = ServerConnection::new(Arc::clone(&config.server)).map_err(setup)?;
        Ok(Self::new(Connection::Server(connection), config))
    }

    fn new(mut connection: Connection, config: &Config) -> Self {
        // `write` has no partial success to report; who writes without transmitting pays with his own memory.
        either!(&mut connection, c => c.set_buffer_limit(None));
        let identity = config.identity.clone();
        Self { connection, identity, unread: Vec::new(), failure: None, closed: false, peer_closed: false }
    }

    fn take_in(&mut self, mut ciphertext: &[u8]) -> Result<()> {
        if ciphertext.len() > RECORD_MAX && !self.is_handshaking() {
            // Several records: room for all, and for one that has begun earlier.
            self.unread.reserve((ciphertext.len() + RECORD_MAX).min(UNREAD_MAX));
        }
        while !ciphertext.is_empty() {
            let taken = either!(&mut self.connection, c => c.read_tls(&mut ciphertext)).map_err(broken)?;
            if taken == 0 {
                // What follows close_notify is to be ignored (RFC 8446 section 6.1).
                return Ok(());
            }
            let state = either!(&mut self.connection, c => c.process_new_packets());
            // Records before the broken one were good.
            self.take_plaintext()?;
            self.peer_closed = state.map_err(refused)?.peer_has_closed();
        }
        Ok(())
    }

    /// Empties rustls's own buffer, which otherwise would stop the reading of ciphertext.
    fn take_plaintext(&mut self) -> Result<()> {
        let mut reader = either!(&mut self.connection, c => c.reader());
        // An error says that there is nothing now, an empty chunk that there will never be more.
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let arrived = self.unread.len() + chunk.len();
            if arrived > UNREAD_MAX {
                return Err(Error::exceeds(&rules::TOO_MUCH_UNREAD, arrived as u64, UNREAD_MAX as u64));
            }
            self.unread.extend_from_slice(chunk);
            let taken = chunk.len();
            reader.consume(taken);
        }
        Ok(())
    }

    fn ready(&self) -> Result<()> {
        if self.is_handshaking() { Err(Error::new(&rules::NOT_READY)) } else { Ok(()) }
    }

    fn open(&self) -> Result<()> {
        self.ready()?;
        if self.closed { Err(Error::new(&rules::CLOSED)) } else { Ok(()) }
    }
}

impl Endpoint for RustlsEndpoint {
    fn side(&self) -> Side {
        match self.connection {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        }
    }

    fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.take_in(ciphertext).inspect_err(|error| self.failure = Some(error.clone()))
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        either!(&mut self.connection, c => while c.wants_write() {
            c.write_tls(out).expect("a vector takes everything");
        });
    }

    fn is_handshaking(&self) -> bool {
        either!(&self.connection, c => c.is_handshaking())
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        hand_over(&mut self.unread, out);
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        self.open()?;
        either!(&mut self.connection, c => c.writer().write_all(plaintext)).map_err(broken)
    }

    fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<()> {
        self.ready()?;
        either!(&self.connection, c => c.export_keying_material(out, label, Some(context)))
            .map(drop)
            .map_err(|error| Error::new(&rules::NOT_READY).about(error.to_string()))
    }

    fn rekey(&mut self) -> Result<()> {
        self.open()?;
        either!(&mut self.connection, c => c.refresh_traffic_keys()).map_err(refused)
    }

    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            either!(&mut self.connection, c => c.send_close_notify());
        }
    }

    fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.ready().ok()?;
        either!(&self.connection, c => Some(Negotiated::new(
            c.protocol_version()?.as_str()?.replace('_', "."),
            c.negotiated_cipher_suite()?.suite().as_str()?.replacen("TLS13", "TLS", 1),
            c.negotiated_key_exchange_group()?.name().as_str()?,
        )))
    }

    fn certificate(&self) -> Option<&[u8]> {
        Some(self.identity.certificate())
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        either!(&self.connection, c => c.peer_certificates()?.first().map(AsRef::as_ref))
    }
}

impl fmt::Debug for RustlsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RustlsEndpoint({:?}, {} octets unread)", self.side(), self.unread.len())
    }
}

/// Accepts every certificate, and checks that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn setup(error: impl fmt::Display) -> Error {
    Error::new(&rules::SETUP).about(error.to_string())
}

fn broken(error: io::Error) -> Error {
    Error::new(&rules::HANDSHAKE).about(error.to_string())
}

fn refused(error: rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => Error::new(&rules::ALERT).about(alert_name(alert)),
        other => Error::new(&rules::HANDSHAKE).about(other.to_string()),
    }
}

/// The name as RFC 8446 section 6 writes it: `UnknownCA` is `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else {
        return u8::from(alert).to_string();
    };
    let mut snake = String::with_capacity(name.len() + 4);
    let mut rest = name.chars().peekable();
    let mut after_lower = false;
    while let Some(c) = rest.next() {
        let starts_word = after_lower || rest.peek().is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && starts_word && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        after_lower = c.is_ascii_lowercase();
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries everything both ways until nobody has more to say.
    fn join(client: &mut RustlsEndpoint, server: &mut RustlsEndpoint) -> Result<()> {
        loop {
            let (mut question, mut answer) = (Vec::new(), Vec::new());
            client.transmit(&mut question);
            server.receive(&question)?;
            server.transmit(&mut answer);
            client.receive(&answer)?;
            if question.is_empty() && answer.is_empty() {
                return Ok(());
            }
        }
    }

    /// The identity of somebody who saw another's certificate and has a key of his own.
    fn thief(victim: &Identity) -> Identity {
        let own = Identity::generate().unwrap();
        let key = CertifiedKey::new(victim.key.cert.clone(), Arc::clone(&own.key.key));
        Identity { key: Arc::new(key) }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused_on_both_sides() {
        let honest = Config::new(Identity::generate().unwrap()).unwrap();
        let thief = Config::new(thief(honest.identity())).unwrap();
        for (client, server) in [(&honest, &thief), (&thief, &honest)] {
            let mut client = RustlsEndpoint::client(client).unwrap();
            let mut server = RustlsEndpoint::server(server).unwrap();
            let error = join(&mut client, &mut server).unwrap_err();
            assert!(error.is(&rules::HANDSHAKE));
            assert_eq!(error.subject(), Some("invalid peer certificate: BadSignature"));
        }
    }

    #[test]
    fn rekeying_gives_both_directions_new_keys() {
        let mut config = Config::new(Identity::generate().unwrap()).unwrap();
        Arc::get_mut(&mut config.client).unwrap().enable_secret_extraction = true;
        Arc::get_mut(&mut config.server).unwrap().enable_secret_extraction = true;
        let mut client = RustlsEndpoint::client(&config).unwrap();
        let mut server = RustlsEndpoint::server(&config).unwrap();
        join(&mut client, &mut server).unwrap();
        for _ in 0..3 {
            client.write(b"before").unwrap();
            server.write(b"before").unwrap();
        }
        join(&mut client, &mut server).unwrap();
        client.rekey().unwrap();
        join(&mut client, &mut server).unwrap();
        server.write(b"after").unwrap();
        join(&mut client, &mut server).unwrap();

        let (Connection::Client(client), Connection::Server(server)) = (client.connection, server.connection)
        else {
            unreachable!("made so above");
        };
        let (client, server) =
            (client.dangerous_extract_secrets().unwrap(), server.dangerous_extract_secrets().unwrap());
        // Each new key starts to count its records from zero (RFC 8446 section 5.3).
        assert_eq!((client.tx.0, client.rx.0), (0, 1));
        assert_eq!((server.tx.0, server.rx.0), (1, 0));
    }

    #[test]
    fn alerts_have_the_names_of_rfc_8446() {
        for (alert, name) in [
            (AlertDescription::CloseNotify, "close_notify"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::BadRecordMac, "bad_record_mac"),
            (AlertDescription::Unknown(200), "200"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }
}
