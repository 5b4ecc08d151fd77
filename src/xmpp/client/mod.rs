//! A small XMPP client connection on tokio: enough of RFC 6120 to log in and pass stanzas.
//!
//! The login runs one of this crate's own mechanisms, in SASL2 (XEP-0388) where the server has it, else in RFC 6120's
//! SASL. What it will be is chosen once, from the server's offer; nothing weaker is tried after a failure, and the
//! password itself is sent only by the one call that says so ([`Login::dangerously_send_password`]).
//!
//! - `Client::connect_secure` (feature `client-tls`) speaks TLS, by STARTTLS or directly, and checks the certificate
//!   against the domain of the account. `Resolver` (feature `dns`) finds the domain's servers.
//! - [`Client::connect`] speaks plain TCP and therefore only to loopback addresses.
//! - [`Client::over`] takes a stream of your own.
//!
//! [`callable`] finds those resources of a peer that take end-to-end sessions, [`find_proxy`] a proxy for their SOCKS5
//! bytestreams.

use std::time::Duration;

use jid::FullJid;
use minidom::Element;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::timeout;

use crate::error::{Error, Result};

use super::driver::{Connection, StanzaReceiver, StanzaSender};
use super::ns;
use super::stream::{CLOSE, Item, error_condition, to_octets};
use super::wire::{Incoming, io_error, write};

mod bind;
mod choice;
mod exchange;
mod find;
#[cfg(feature = "dns")]
mod locate;
mod login;
mod negotiation;
mod proxy;
pub mod rules;
#[cfg(feature = "client-tls")]
mod starttls;
#[cfg(feature = "client-tls")]
mod tls;

pub use super::Profile;
pub use find::{FIND_QUIET, FIND_TIMEOUT, Found, GREETED_MAX, Greeter, RESOURCES_MAX, available, callable};
#[cfg(feature = "dns")]
pub use locate::{DNS_TIMEOUT, Resolver};
pub use login::{BindingUse, Login, LoginReport, SCRAM, Timeouts};
#[cfg(feature = "client-tls")]
pub use tls::{Secured, TARGETS_MAX, Target, TlsStart, Trust, secure};

pub use proxy::{PROXY_TIMEOUT, SERVICES_MAX, find_proxy, proxy};

use negotiation::Negotiation;

/// For the TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// For a stream header and the features.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(15);

/// For the whole login; slow password hashes run inside.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// For resource binding.
pub const BIND_TIMEOUT: Duration = Duration::from_secs(15);

/// For one stanza to leave.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// For the server's closing tag.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A logged-in connection with its resource bound.
///
/// Nothing is queued here: [`Client::send`] waits for the socket, and what the server sends stays in the socket
/// until [`Client::recv`].
pub struct Client<S = TcpStream> {
    jid: FullJid,
    report: LoginReport,
    sender: Sender<S>,
    receiver: Receiver<S>,
}

/// The sending half of a [`Client`].
pub struct Sender<S> {
    io: WriteHalf<S>,
    timeouts: Timeouts,
}

/// The receiving half of a [`Client`].
pub struct Receiver<S> {
    incoming: Incoming<ReadHalf<S>>,
}

impl Client<TcpStream> {
    /// Connects to a server on this machine and logs in.
    ///
    /// # Errors
    /// As [`loopback`] and [`Client::over`].
    pub async fn connect(address: impl ToSocketAddrs, login: Login) -> Result<Self> {
        let stream = loopback(address, &login).await?;
        Self::over(stream, login).await
    }
}

/// A TCP connection to a server on this machine, for [`Client::over`].
///
/// # Errors
/// [`rules::UNREACHABLE`], [`rules::NOT_LOOPBACK`], [`rules::TIMED_OUT`].
pub async fn loopback(address: impl ToSocketAddrs, login: &Login) -> Result<TcpStream> {
    let connecting = async {
        let unreachable = |error: std::io::Error| io_error(&rules::UNREACHABLE, &error);
        let addresses = lookup_host(address).await.map_err(unreachable)?.collect::<Vec<_>>();
        if let Some(far) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(Error::new(&rules::NOT_LOOPBACK).about(far.to_string()));
        }
        TcpStream::connect(&addresses[..]).await.map_err(unreachable)
    };
    let stream = within(login.timeouts.connect, "the TCP connection", connecting).await?;
    stream.set_nodelay(true).map_err(|error| io_error(&rules::UNREACHABLE, &error))?;
    Ok(stream)
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Client<S> {
    /// Logs in over a connected stream.
    ///
    /// # Errors
    /// [`rules::LOST`], [`rules::CLOSED_EARLY`], [`rules::TIMED_OUT`], [`rules::STREAM_ERROR`], [`rules::NEEDS_TLS`],
    /// [`rules::LOGIN_REFUSED`], [`rules::UNANNOUNCED_BINDING`], [`rules::BINDING_REQUIRED`], [`rules::BINDING_CUT`],
    /// [`rules::MORE_TASKS`], [`rules::NO_PLAIN`], [`rules::BIND_REFUSED`], [`rules::UNEXPECTED`];
    /// [`NO_MECHANISM`](crate::sasl::rules::NO_MECHANISM); and what the mechanism and the XML parser find wrong.
    pub async fn over(stream: S, login: Login) -> Result<Self> {
        const HEADER: &str = "the stream header";
        let mut negotiation = Negotiation::new(stream, &login);
        let times = &login.timeouts;
        let features = within(times.stream, HEADER, negotiation.open(&login, login.is_over_tls())).await?;
        let logging_in = exchange::authenticate(&mut negotiation, &login, &features);
        let exchange::LoggedIn { report, bound } = within(times.login, "the login", logging_in).await?;
        let features = if report.profile == Profile::Sasl2 {
            within(times.stream, "the features", negotiation.features()).await?
        } else {
            negotiation.receiver.incoming.restart();
            within(times.stream, HEADER, negotiation.open(&login, login.is_over_tls())).await?
        };
        let jid = match bound {
            Some(jid) => jid,
            None if features.bind => {
                within(times.bind, "resource binding", bind::bind(&mut negotiation, &login)).await?
            }
            None => return Err(Error::new(&rules::UNEXPECTED).about("no resource binding is offered")),
        };
        Ok(Self { jid, report, sender: negotiation.sender, receiver: negotiation.receiver })
    }

    /// The address that the server gave us.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// How the login went.
    #[must_use]
    pub fn report(&self) -> &LoginReport {
        &self.report
    }

    /// Sends a stanza. Not cancel safe.
    ///
    /// # Errors
    /// [`rules::TIMED_OUT`] when the server does not read, [`rules::LOST`], and when XML cannot carry the stanza;
    /// only after the last may the client be used again.
    pub async fn send(&mut self, stanza: &Element) -> Result<()> {
        self.sender.send_element(stanza).await
    }

    /// The next stanza; `None` when the server has closed the stream. Cancel safe.
    ///
    /// # Errors
    /// [`rules::LOST`], [`rules::STREAM_ERROR`], and what the XML parser finds wrong. All are final.
    pub async fn recv(&mut self) -> Result<Option<Element>> {
        self.receiver.recv_element().await
    }

    /// Closes the stream and waits for the server to do the same.
    ///
    /// # Errors
    /// [`rules::TIMED_OUT`], [`rules::LOST`].
    pub async fn close(mut self) -> Result<()> {
        self.sender.write(CLOSE).await?;
        let time = self.sender.timeouts.close;
        let ending = async {
            while self.receiver.recv_element().await?.is_some() {}
            Ok(())
        };
        within(time, "the end of the stream", ending).await
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection for Client<S> {
    type Sender = Sender<S>;
    type Receiver = Receiver<S>;

    fn own_jid(&self) -> FullJid {
        self.jid.clone()
    }

    fn split(self) -> (Self::Sender, Self::Receiver) {
        (self.sender, self.receiver)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> StanzaSender for Sender<S> {
    async fn send(&mut self, stanza: Element) -> Result<()> {
        self.send_element(&stanza).await
    }

    async fn close(mut self) -> Result<()> {
        self.write(CLOSE).await?;
        self.io.shutdown().await.map_err(|error| io_error(&rules::LOST, &error))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> StanzaReceiver for Receiver<S> {
    async fn recv(&mut self) -> Result<Option<Element>> {
        self.recv_element().await
    }
}

impl<S: AsyncWrite> Sender<S> {
    async fn send_element(&mut self, element: &Element) -> Result<()> {
        let octets = to_octets(element)?;
        self.write(&octets).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<()> {
        write(&mut self.io, octets, self.timeouts.send, (&rules::TIMED_OUT, &rules::LOST)).await
    }
}

impl<S: AsyncRead> Receiver<S> {
    async fn recv_element(&mut self) -> Result<Option<Element>> {
        match self.incoming.next(&rules::LOST).await? {
            None => Err(Error::new(&rules::LOST)),
            Some(Item::Close) => Ok(None),
            Some(Item::Header(_)) => Err(Error::new(&rules::UNEXPECTED).about("a second stream header")),
            Some(Item::Element(element)) if element.is("error", ns::STREAM) => Err(stream_error(&element)),
            Some(Item::Element(element)) => Ok(Some(element)),
        }
    }
}

fn stream_error(error: &Element) -> Error {
    Error::new(&rules::STREAM_ERROR).about(error_condition(error).unwrap_or("undefined-condition"))
}

async fn within<T>(time: Duration, phase: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(Error::new(&rules::TIMED_OUT).about(phase)))
}
