//! TLS to the account's server, by rustls, with the certificate checked against the domain of the account.
//!
//! Who may sign certificates is the platform's decision, by rustls-native-certs: an administrator's own authority works
//! everywhere at once, and a list does not grow old inside of a program.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::Resumption;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::xmpp::BareJid;
use crate::xmpp::wire::io_error;

use super::login::Login;
use super::{Client, rules, starttls, within};

/// Most servers of one domain that are tried.
pub const TARGETS_MAX: usize = 16;

/// The port where nothing else is said (RFC 6120 section 14.7).
const PORT: u16 = 5222;

/// What a client asks for in the TLS handshake where no STARTTLS has said it (XEP-0368 section 3).
const ALPN: &[u8] = b"xmpp-client";

/// Which certificate authorities are believed.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// Those that this machine believes.
    ///
    /// # Errors
    /// [`rules::NO_AUTHORITIES`].
    pub fn platform() -> Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let why = found.errors.first().map_or_else(String::new, ToString::to_string);
        // A system may hold certificates that no verifier can read; the others count.
        Self::of(found.certs, why)
    }

    /// Those in this PEM text, and no others.
    ///
    /// # Errors
    /// [`rules::NO_AUTHORITIES`].
    pub fn only(pem: &[u8]) -> Result<Self> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates =
            certificates.map_err(|error| Error::new(&rules::NO_AUTHORITIES).about(error.to_string()))?;
        Self::of(certificates, "no certificate in the text".to_owned())
    }

    fn of(certificates: Vec<CertificateDer<'static>>, why: String) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(Error::new(&rules::NO_AUTHORITIES).about(why));
        }
        Ok(Self { roots: Arc::new(roots) })
    }

    fn config(&self, start: TlsStart) -> Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::new(&rules::TLS_FAILED).about(error.to_string()))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        if start == TlsStart::Direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(config)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} authorities)", self.roots.len())
    }
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "at once, or after having been asked for")]
pub enum TlsStart {
    /// In an XMPP stream that asks for it (RFC 6120 section 5).
    StartTls,
    /// With the first octet (XEP-0368).
    Direct,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// A DNS name or an IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// When TLS begins there.
    pub start: TlsStart,
}

impl Target {
    /// A server with STARTTLS.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, start: TlsStart::StartTls }
    }

    /// A server with TLS at once.
    #[must_use]
    pub fn direct(host: impl Into<String>, port: u16) -> Self {
        Self { start: TlsStart::Direct, ..Self::new(host, port) }
    }

    /// The domain itself on port 5222: where its server is when the DNS has no SRV records (RFC 6120 section 3.2.2).
    ///
    /// # Errors
    /// [`rules::BAD_DOMAIN`].
    pub fn of_domain(account: &BareJid) -> Result<Self> {
        Ok(Self::new(ascii_domain(account)?, PORT))
    }

    /// The same server and port, with TLS at once.
    #[must_use]
    pub fn with_direct_tls(mut self) -> Self {
        self.start = TlsStart::Direct;
        self
    }
}

impl FromStr for Target {
    type Err = Error;

    /// `HOST:PORT`, `HOST`, `[IPv6]:PORT`; without a port it is 5222.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::new(&rules::BAD_TARGET).about(text);
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| bad())?;
        if bare.is_empty() || port == 0 || bare.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad());
        }
        Ok(Self::new(bare, port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A TLS connection to the account's server, before the login.
#[non_exhaustive]
pub struct Secured {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// What can be bound to it: `tls-exporter` where it is TLS 1.3, `tls-server-end-point` where the certificate has one.
    pub bindings: Vec<ChannelBinding>,
}

/// Connects to the first of these servers that can be reached, and checks its certificate against the account's
/// domain. Only a server without a TCP connection is passed over; at most [`TARGETS_MAX`] are tried.
///
/// # Errors
/// [`rules::UNREACHABLE`], [`rules::BAD_DOMAIN`], [`rules::NO_STARTTLS`], [`rules::STARTTLS_FAILED`],
/// [`rules::INJECTED`], [`rules::CERTIFICATE`], [`rules::TLS_FAILED`], [`rules::LOST`], [`rules::TIMED_OUT`].
pub async fn secure(targets: &[Target], trust: &Trust, login: &Login) -> Result<Secured> {
    let name = server_name(&login.account)?;
    let (target, mut stream) = reach(targets, login).await?;
    let times = &login.timeouts;
    if target.start == TlsStart::StartTls {
        within(times.stream, "STARTTLS", starttls::start(&mut stream, login)).await?;
    }
    let connector = TlsConnector::from(Arc::new(trust.config(target.start)?));
    let handshake = async { connector.connect(name, stream).await.map_err(|error| tls_error(&error)) };
    let stream = within(times.stream, "the TLS handshake", handshake).await?;
    let bindings = bindings(stream.get_ref().1);
    Ok(Secured { stream, bindings })
}

impl Client<TlsStream<TcpStream>> {
    /// Connects over TLS and logs in.
    ///
    /// # Errors
    /// As [`secure`] and [`Client::over`].
    pub async fn connect_secure(targets: &[Target], trust: &Trust, login: Login) -> Result<Self> {
        let Secured { stream, bindings } = secure(targets, trust, &login).await?;
        Self::over(stream, bindings.into_iter().fold(login, Login::with_binding)).await
    }
}

async fn reach<'a>(targets: &'a [Target], login: &Login) -> Result<(&'a Target, TcpStream)> {
    let mut failure = Error::new(&rules::UNREACHABLE).about("no server is known");
    for target in targets.iter().take(TARGETS_MAX) {
        let connecting = async {
            let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
            stream
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                .map_err(|error| Error::new(&rules::UNREACHABLE).about(format!("{target}: {error}")))
        };
        match within(login.timeouts.connect, "the TCP connection", connecting).await {
            Ok(stream) => return Ok((target, stream)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bindings(connection: &rustls::ClientConnection) -> Vec<ChannelBinding> {
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    // What a connection lacks cannot be chosen; that is all its absence means.
    let exporter = ChannelBinding::from_rustls(connection).ok();
    let end_point = certificate.and_then(|leaf| ChannelBinding::server_end_point_of(leaf).ok());
    exporter.into_iter().chain(end_point).collect()
}

/// The domain as the DNS and certificates write it.
pub(super) fn ascii_domain(account: &BareJid) -> Result<String> {
    let domain = account.domain().as_str();
    let bare = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']')).unwrap_or(domain);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    idna::domain_to_ascii(domain).map_err(|_| Error::new(&rules::BAD_DOMAIN).about(domain))
}

fn server_name(account: &BareJid) -> Result<ServerName<'static>> {
    ServerName::try_from(ascii_domain(account)?)
        .map_err(|_| Error::new(&rules::BAD_DOMAIN).about(account.domain().as_str()))
}

fn tls_error(error: &std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Error::new(&rules::CERTIFICATE).about(reason.to_string())
        }
        Some(other) => Error::new(&rules::TLS_FAILED).about(other.to_string()),
        None => io_error(&rules::LOST, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        for (text, host, port, shown) in [
            ("xmpp.home.example:5269", "xmpp.home.example", 5269, "xmpp.home.example:5269"),
            ("127.0.0.1", "127.0.0.1", PORT, "127.0.0.1:5222"),
            ("[::1]:15222", "::1", 15222, "[::1]:15222"),
            ("::1", "::1", PORT, "[::1]:5222"),
        ] {
            let target = text.parse::<Target>().unwrap();
            assert_eq!(target, Target::new(host, port));
            assert_eq!(target.to_string(), shown);
        }
        for text in ["", ":5222", "host:", "host:0", "host:65536", "host:x", "a b:1"] {
            assert!(text.parse::<Target>().unwrap_err().is(&rules::BAD_TARGET), "{text}");
        }
    }

    #[test]
    fn domains_are_written_as_certificates_have_them() {
        for (account, name) in [
            ("a@home.example", "home.example"),
            ("a@b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("a@127.0.0.1", "127.0.0.1"),
            ("a@[::1]", "::1"),
        ] {
            assert_eq!(ascii_domain(&BareJid::new(account).unwrap()).unwrap(), name);
        }
    }

    #[test]
    fn a_text_without_certificates_is_no_trust() {
        for pem in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::only(pem).unwrap_err().is(&rules::NO_AUTHORITIES));
        }
    }
}
