//! A small XMPP client connection on tokio: enough of RFC 6120 to log in and pass stanzas.
//!
//! The login never sends the password: it runs one of this crate's own mechanisms, and there is no fallback.
//! [`Client::connect`] speaks plain TCP and therefore only to loopback addresses; to log in over a stream of
//! your own, TLS for instance, give it to [`Client::over`].

use std::time::Duration;

use jid::{BareJid, FullJid, Jid};
use minidom::Element;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::timeout;

use crate::binding::ChannelBinding;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::{self, ClientSetup};
use crate::sasl::{ClientExchange, Floor, Policy};
use crate::secret::Password;

use super::attribute::set_attribute;
use super::driver::{Connection, StanzaReceiver, StanzaSender};
use super::sasl::{ClientMessage, Features, ServerMessage};
use super::stream::{CLOSE, Header, Item, to_octets};
use super::wire::{Incoming, io_error, write};
use super::{Limits, ns};

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

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// No TCP connection.
    pub static UNREACHABLE: Rule = Rule {
        id: "client-unreachable",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 6120 section 3",
        what: "the XMPP server cannot be reached",
        advice: "Check the address and the port, and that the server runs.",
    };
    /// Plain TCP to somewhere else.
    pub static NOT_LOOPBACK: Rule = Rule {
        id: "client-not-loopback",
        kind: ErrorKind::PolicyRefused,
        source: "countersign",
        what: "no connection without TLS to an address that is not loopback",
        advice: "Bring a TLS stream of your own, or connect to a server on this machine.",
    };
    /// The server closed the connection without closing the stream.
    pub static LOST: Rule = Rule {
        id: "client-connection-lost",
        kind: ErrorKind::Truncated,
        source: "RFC 6120 section 4.4",
        what: "the XMPP server closed the connection without closing the stream",
        advice: "Connect again; if it happens every time, look at the server's log.",
    };
    /// The server closed the stream while the client was still logging in.
    pub static CLOSED_EARLY: Rule = Rule {
        id: "client-closed-early",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 6120 section 4.4",
        what: "the XMPP server closed the stream during the login",
        advice: "Try again later; the server gave no reason.",
    };
    /// A phase took too long.
    pub static TIMED_OUT: Rule = Rule {
        id: "client-timed-out",
        kind: ErrorKind::TimedOut,
        source: "countersign",
        what: "the XMPP server did not answer in time",
        advice: "Try again; the server may be overloaded or not an XMPP server.",
    };
    /// A stream error came.
    pub static STREAM_ERROR: Rule = Rule {
        id: "client-stream-error",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 6120 section 4.9",
        what: "the XMPP server ended the stream with an error",
        advice: "The name of the error says why.",
    };
    /// The server wants TLS.
    pub static NEEDS_TLS: Rule = Rule {
        id: "client-needs-tls",
        kind: ErrorKind::PeerIncompatible,
        source: "RFC 6120 section 5",
        what: "the XMPP server wants TLS before the login",
        advice: "Connect with TLS and log in over that stream.",
    };
    /// The account's password or name is wrong.
    pub static LOGIN_REFUSED: Rule = Rule {
        id: "client-login-refused",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 6120 section 6.5",
        what: "the XMPP server refused the login",
        advice: "Check the account's name and password.",
    };
    /// No resource.
    pub static BIND_REFUSED: Rule = Rule {
        id: "client-bind-refused",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 6120 section 7",
        what: "the XMPP server refused the resource",
        advice: "Another client may use the same name: choose another resource, or none.",
    };
    /// Something else came than the protocol wants here.
    pub static UNEXPECTED: Rule = Rule {
        id: "client-unexpected",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 6120",
        what: "the XMPP server sent something that does not belong here",
        advice: "The server does not follow the protocol; report it to its authors.",
    };
    /// An account has a local part.
    pub static NOT_AN_ACCOUNT: Rule = Rule {
        id: "client-not-an-account",
        kind: ErrorKind::Misuse,
        source: "RFC 6120 section 6.3.7",
        what: "the address of an account has a user in front of the @",
        advice: "Write it as user@domain or user@domain/resource.",
    };
}

/// How long each phase may take. Each starts at the constant of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// [`CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// [`STREAM_TIMEOUT`].
    pub stream: Duration,
    /// [`LOGIN_TIMEOUT`].
    pub login: Duration,
    /// [`BIND_TIMEOUT`].
    pub bind: Duration,
    /// [`SEND_TIMEOUT`].
    pub send: Duration,
    /// [`CLOSE_TIMEOUT`].
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            stream: STREAM_TIMEOUT,
            login: LOGIN_TIMEOUT,
            bind: BIND_TIMEOUT,
            send: SEND_TIMEOUT,
            close: CLOSE_TIMEOUT,
        }
    }
}

impl Timeouts {
    /// The same time for every phase.
    #[must_use]
    pub fn all(time: Duration) -> Self {
        Self { connect: time, stream: time, login: time, bind: time, send: time, close: time }
    }
}

/// An account and how to log in to it.
#[derive(Clone, Debug)]
pub struct Login {
    account: BareJid,
    resource: Option<String>,
    password: Password,
    preparation: Preparation,
    policy: Policy,
    binding: Option<ChannelBinding>,
    limits: Limits,
    timeouts: Timeouts,
}

impl Login {
    /// The account at `jid`; its resource, if there is one, is the wish for that resource.
    ///
    /// The policy is SCRAM-SHA-256 without channel binding, which suits a server on this machine.
    ///
    /// # Errors
    /// [`rules::NOT_AN_ACCOUNT`].
    pub fn new(jid: impl Into<Jid>, password: Password) -> Result<Self> {
        let jid = jid.into();
        if jid.node().is_none() {
            return Err(Error::new(&rules::NOT_AN_ACCOUNT).about(jid.as_str()));
        }
        Ok(Self {
            account: jid.to_bare(),
            resource: jid.resource().map(|resource| resource.as_str().to_owned()),
            password,
            preparation: Preparation::default(),
            policy: Policy::named([MechanismName::from_static("SCRAM-SHA-256")]).with_floor(Floor::Named),
            binding: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        })
    }

    /// Sets which mechanisms may log in.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how the account's password is prepared.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Sets the channel binding of the stream given to [`Client::over`].
    #[must_use]
    pub fn with_binding(mut self, binding: ChannelBinding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Sets the limits of the XML stream; of these only stanza and depth matter here.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}

/// A logged-in connection with its resource bound.
///
/// Nothing is queued here: [`Client::send`] waits for the socket, and what the server sends stays in the socket
/// until [`Client::recv`].
pub struct Client<S = TcpStream> {
    jid: FullJid,
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
    /// [`rules::UNREACHABLE`], [`rules::NOT_LOOPBACK`], [`rules::TIMED_OUT`], and as [`Client::over`].
    pub async fn connect(address: impl ToSocketAddrs, login: Login) -> Result<Self> {
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
        Self::over(stream, login).await
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Client<S> {
    /// Logs in over a connected stream.
    ///
    /// # Errors
    /// [`rules::LOST`], [`rules::CLOSED_EARLY`], [`rules::TIMED_OUT`], [`rules::STREAM_ERROR`], [`rules::NEEDS_TLS`],
    /// [`rules::LOGIN_REFUSED`], [`rules::BIND_REFUSED`], [`rules::UNEXPECTED`]; [`NO_MECHANISM`](crate::sasl::rules::NO_MECHANISM); and
    /// what the mechanism and the XML parser find wrong.
    pub async fn over(stream: S, login: Login) -> Result<Self> {
        let (reader, writer) = tokio::io::split(stream);
        let mut negotiation = Negotiation {
            sender: Sender { io: writer, timeouts: login.timeouts.clone() },
            receiver: Receiver { incoming: Incoming::new(reader, login.limits.clone()) },
        };
        let times = &login.timeouts;
        let features = within(times.stream, "the stream header", negotiation.open(&login)).await?;
        within(times.login, "the login", negotiation.authenticate(&login, &features)).await?;
        negotiation.receiver.incoming.restart();
        let features = within(times.stream, "the stream header", negotiation.open(&login)).await?;
        if !features.bind {
            return Err(Error::new(&rules::UNEXPECTED).about("no resource binding is offered"));
        }
        let jid = within(times.bind, "resource binding", negotiation.bind(&login)).await?;
        Ok(Self { jid, sender: negotiation.sender, receiver: negotiation.receiver })
    }

    /// The address that the server gave us.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
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

/// The stream before the resource is bound.
struct Negotiation<S> {
    sender: Sender<S>,
    receiver: Receiver<S>,
}

impl<S: AsyncRead + AsyncWrite> Negotiation<S> {
    async fn open(&mut self, login: &Login) -> Result<Features> {
        let domain = BareJid::from_parts(None, login.account.domain());
        // No `from`: before TLS it would tell listeners who we are (RFC 6120 section 4.7.1).
        self.sender.write(&Header::new().with_to(domain).to_octets()).await?;
        match self.receiver.incoming.next(&rules::LOST).await? {
            None => return Err(Error::new(&rules::LOST)),
            Some(Item::Header(_)) => {}
            Some(_) => return Err(Error::new(&rules::UNEXPECTED).about("no stream header")),
        }
        Features::from_element(&self.next().await?)
    }

    async fn authenticate(&mut self, login: &Login, features: &Features) -> Result<()> {
        if features.mechanisms.is_empty() && features.starttls {
            return Err(Error::new(&rules::NEEDS_TLS));
        }
        let selection = login.policy.select(&features.mechanisms)?;
        let node = login.account.node().ok_or_else(|| Error::new(&rules::NOT_AN_ACCOUNT))?;
        let setup = ClientSetup {
            authcid: node.as_str().to_owned(),
            authzid: None,
            password: login.password.clone(),
            preparation: login.preparation,
            binding: login.binding.clone(),
            context: Context::new()
                .with_mechanisms(features.mechanisms.iter().cloned())
                .with_binding_types(features.binding_types.iter().copied()),
        };
        let mechanism = registry::find(&selection.chosen)?.client(setup, &mut crate::system_rng())?;
        let (mut exchange, initial) = ClientExchange::start(mechanism)?;
        self.sender
            .send_element(&ClientMessage::Auth { mechanism: selection.chosen, initial }.to_element())
            .await?;
        loop {
            match ServerMessage::from_element(&self.next().await?)? {
                ServerMessage::Challenge(message) => match exchange.challenge(&message) {
                    Ok(response) => {
                        self.sender.send_element(&ClientMessage::Response(response).to_element()).await?;
                    }
                    Err(error) => {
                        // The reason is ours; that the server hears of the end is a courtesy.
                        let _ = self.sender.send_element(&ClientMessage::Abort.to_element()).await;
                        return Err(error);
                    }
                },
                ServerMessage::Success(additional) => {
                    return exchange.success(additional.as_deref()).map(drop);
                }
                ServerMessage::Failure(condition) => {
                    return Err(Error::new(&rules::LOGIN_REFUSED).about(condition.name()));
                }
            }
        }
    }

    async fn bind(&mut self, login: &Login) -> Result<FullJid> {
        const ID: &str = "bind";
        let mut bind = Element::bare("bind", ns::BIND);
        if let Some(wish) = &login.resource {
            let mut resource = Element::bare("resource", ns::BIND);
            resource.append_text(wish.as_str());
            bind.append_child(resource);
        }
        let mut iq = Element::bare("iq", ns::CLIENT);
        set_attribute(&mut iq, "type", "set");
        set_attribute(&mut iq, "id", ID);
        iq.append_child(bind);
        self.sender.send_element(&iq).await?;
        let answer = self.next().await?;
        if !answer.is("iq", ns::CLIENT) || answer.attr("id") != Some(ID) {
            return Err(Error::new(&rules::UNEXPECTED).about("no answer to resource binding"));
        }
        if answer.attr("type") != Some("result") {
            return Err(Error::new(&rules::BIND_REFUSED).about(super::iq::condition(&answer)));
        }
        answer
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("jid", ns::BIND))
            .and_then(|jid| FullJid::new(&jid.text()).ok())
            .filter(|jid| jid.to_bare() == login.account)
            .ok_or_else(|| Error::new(&rules::UNEXPECTED).about("not our address"))
    }

    async fn next(&mut self) -> Result<Element> {
        self.receiver.recv_element().await?.ok_or_else(|| Error::new(&rules::CLOSED_EARLY))
    }
}

fn stream_error(error: &Element) -> Error {
    let condition = error.children().find(|child| child.has_ns(ns::STREAM_ERRORS) && child.name() != "text");
    Error::new(&rules::STREAM_ERROR).about(condition.map_or("undefined-condition", Element::name))
}

async fn within<T>(time: Duration, phase: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(Error::new(&rules::TIMED_OUT).about(phase)))
}
