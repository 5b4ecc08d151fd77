//! One client of the demo server, from its first octet to the last.

use std::sync::Arc;

use jid::{BareJid, FullJid};
use minidom::Element;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::guesses::{self, Counting};
use super::replies::{self, Refusal};
use super::router::{Counters, NoSeat, Router, Waiting, queue};
use super::{Shared, fresh_name, rules};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::mechanism::{MechanismName, Outcome};
use crate::registry::{self, ServerSetup};
use crate::sasl::{Condition, ServerExchange, ServerStep};
use crate::xmpp::ns;
use crate::xmpp::sasl::{ClientMessage, Features, ServerMessage};
use crate::xmpp::stream::{CLOSE, Header, Item, to_octets};
use crate::xmpp::wire::{Incoming, write};

/// Conditions under which this server ends a stream (RFC 6120 section 4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamError {
    ConnectionTimeout,
    HostUnknown,
    InvalidFrom,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    ResourceConstraint,
    SystemShutdown,
    UnsupportedStanzaType,
}

impl StreamError {
    fn name(self) -> &'static str {
        match self {
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostUnknown => "host-unknown",
            Self::InvalidFrom => "invalid-from",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::ResourceConstraint => "resource-constraint",
            Self::SystemShutdown => "system-shutdown",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
        }
    }

    /// The error and the closing tag.
    fn to_octets(self) -> Vec<u8> {
        let error =
            Element::builder("error", ns::STREAM).append(Element::bare(self.name(), ns::STREAM_ERRORS));
        let mut octets = to_octets(&error.build()).unwrap_or_default();
        octets.extend_from_slice(CLOSE);
        octets
    }
}

/// How a stream ends.
enum End {
    /// The client closed its stream.
    Closed,
    /// The connection is gone.
    Lost,
    /// By our decision.
    Error(StreamError),
}

/// An error while reading or writing. What exactly was wrong stays here: a peer learns the condition alone.
impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error.kind() {
            // A stalled write has left half a stanza on the wire: nothing well formed can follow.
            ErrorKind::Environment | ErrorKind::TimedOut => Self::Lost,
            ErrorKind::LimitExceeded => Self::Error(StreamError::PolicyViolation),
            _ => Self::Error(StreamError::NotWellFormed),
        }
    }
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Error(error)
    }
}

/// Serves one client until it leaves, breaks a limit, or the server shuts down.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, mut shutdown: watch::Receiver<bool>) {
    // Delays of small segments would be seen as delays of the mechanisms.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = tokio::io::split(stream);
    let incoming = Incoming::new(reader, shared.limits.stream());
    let mut connection = Connection { incoming, writer, shared, header_sent: false };
    let end = tokio::select! {
        end = connection.run() => end,
        _ = shutdown.wait_for(|down| *down) => End::Error(StreamError::SystemShutdown),
    };
    connection.finish(end).await;
}

/// Turns a client away that is one too many.
pub(super) fn turn_away(stream: &TcpStream, domain: &BareJid) {
    let mut octets = Header::new().with_from(domain.clone()).with_id("none").to_octets();
    octets.extend(StreamError::ResourceConstraint.to_octets());
    // A fresh socket has room; if not, closing says enough.
    let _ = stream.try_write(&octets);
}

struct Connection {
    incoming: Incoming<ReadHalf<TcpStream>>,
    writer: WriteHalf<TcpStream>,
    shared: Arc<Shared>,
    header_sent: bool,
}

/// Gives the seat back however the connection ends.
struct Seat {
    jid: FullJid,
    router: Arc<Router>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.router.leave(&self.jid);
    }
}

impl Connection {
    async fn run(&mut self) -> End {
        let (seat, waiting) = match timeout(self.shared.limits.login, self.negotiate()).await {
            Err(_) => return StreamError::ConnectionTimeout.into(),
            Ok(Err(end)) => return end,
            Ok(Ok(bound)) => bound,
        };
        self.route(&seat, waiting).await
    }

    async fn finish(mut self, end: End) {
        let last = match end {
            End::Lost => return,
            End::Closed => CLOSE.to_vec(),
            End::Error(error) => {
                if !self.header_sent && self.open().await.is_err() {
                    return;
                }
                error.to_octets()
            }
        };
        if self.write(&last).await.is_ok() {
            let _ = timeout(self.shared.limits.write, self.writer.shutdown()).await;
        }
    }

    async fn negotiate(&mut self) -> Result<(Seat, Waiting), End> {
        self.expect_header().await?;
        let features = Features::new().with_mechanisms(self.shared.mechanisms.iter().cloned());
        self.send_features(&features).await?;
        let account = self.authenticate().await?;
        self.incoming.restart();
        self.header_sent = false;
        self.expect_header().await?;
        self.send_features(&Features::new().with_bind()).await?;
        self.bind(&account).await
    }

    async fn expect_header(&mut self) -> Result<(), End> {
        let Item::Header(header) = self.next().await? else {
            return Err(StreamError::NotWellFormed.into());
        };
        self.open().await?;
        match header.to {
            Some(to) if to.as_str() == self.shared.router.domain().as_str() => Ok(()),
            _ => Err(StreamError::HostUnknown.into()),
        }
    }

    /// Sends our header.
    async fn open(&mut self) -> Result<()> {
        self.header_sent = true;
        let id = fresh_name("s");
        let header = Header::new().with_from(self.shared.router.domain().clone()).with_id(id);
        self.write(&header.to_octets()).await
    }

    async fn send_features(&mut self, features: &Features) -> Result<(), End> {
        let mut element = features.to_element();
        let mut label = Element::bare("demo", super::LABEL_NS);
        label.append_text(super::LABEL);
        element.append_child(label);
        Ok(self.send(&element).await?)
    }

    async fn authenticate(&mut self) -> Result<BareJid, End> {
        for _ in 0..self.shared.limits.login_attempts {
            match self.attempt().await? {
                Ok(account) => {
                    Counters::add(&self.shared.router.counters.logins, 1);
                    return Ok(account);
                }
                Err(condition) => {
                    Counters::add(&self.shared.router.counters.logins_refused, 1);
                    self.send(&ServerMessage::Failure(condition).to_element()).await?;
                }
            }
        }
        Err(StreamError::PolicyViolation.into())
    }

    /// One login. The inner error is a refusal, after which the client may try again.
    async fn attempt(&mut self) -> Result<Result<BareJid, Condition>, End> {
        let (mechanism, initial) = match self.next_sasl().await? {
            Ok(ClientMessage::Auth { mechanism, initial }) => (mechanism, initial),
            Ok(ClientMessage::Abort) => return Ok(Err(Condition::Aborted)),
            Ok(_) => return Ok(Err(Condition::MalformedRequest)),
            Err(condition) => return Ok(Err(condition)),
        };
        if !self.shared.mechanisms.contains(&mechanism) {
            return Ok(Err(Condition::InvalidMechanism));
        }
        let started = self.start(&mechanism, initial.as_deref());
        let (counting, mut exchange, mut step) = match started {
            Ok(started) => started,
            Err(error) => return Ok(Err(Condition::of(&error))),
        };
        loop {
            let challenge = match step {
                ServerStep::Challenge(challenge) => challenge,
                ServerStep::Success(additional, outcome) => {
                    counting.confirmed(&outcome);
                    let Some(account) = self.account(&outcome) else {
                        return Ok(Err(Condition::InvalidAuthzid));
                    };
                    self.send(&ServerMessage::Success(additional).to_element()).await?;
                    return Ok(Ok(account));
                }
            };
            self.send(&ServerMessage::Challenge(challenge).to_element()).await?;
            let response = match self.next_sasl().await? {
                Ok(ClientMessage::Response(response)) => response,
                Ok(ClientMessage::Abort) => return Ok(Err(Condition::Aborted)),
                Ok(_) => return Ok(Err(Condition::MalformedRequest)),
                Err(condition) => return Ok(Err(condition)),
            };
            counting.answer();
            step = match exchange.response(&response) {
                Ok(step) => step,
                Err(error) => return Ok(Err(Condition::of(&error))),
            };
        }
    }

    /// Begins with a mechanism, which counts a guess when it knows whose.
    fn start(
        &self,
        mechanism: &MechanismName,
        initial: Option<&[u8]>,
    ) -> Result<(Arc<Counting>, ServerExchange, ServerStep)> {
        let Shared { accounts, guesses, router, mechanisms, .. } = &*self.shared;
        let row = registry::find(mechanism)?;
        let domain = router.domain().clone();
        let first_test = row.properties().server_test;
        let counting = Arc::new(Counting::new(accounts.clone(), guesses.clone(), domain, first_test));
        let setup = ServerSetup {
            credentials: counting.clone(),
            binding: None,
            context: Context::new().with_mechanisms(mechanisms.iter().cloned()),
        };
        let mechanism = row.server(setup, &mut crate::system_rng())?;
        let (exchange, step) = ServerExchange::start(mechanism, initial)?;
        Ok((counting, exchange, step))
    }

    /// The account that was proven; nobody may act for another one here.
    fn account(&self, outcome: &Outcome) -> Option<BareJid> {
        let account = guesses::account(outcome.authcid(), self.shared.router.domain())?;
        match outcome.authzid() {
            Some(authzid) if authzid != account.as_str() => None,
            _ => Some(account),
        }
    }

    async fn next_sasl(&mut self) -> Result<Result<ClientMessage, Condition>, End> {
        let element = self.next_element().await?;
        if element.ns() != ns::SASL {
            // RFC 6120 section 4.9.3.12: a stanza before the login.
            return Err(StreamError::NotAuthorized.into());
        }
        Ok(ClientMessage::from_element(&element).map_err(|error| Condition::of(&error)))
    }

    async fn bind(&mut self, account: &BareJid) -> Result<(Seat, Waiting), End> {
        loop {
            let iq = self.next_element().await?;
            let wish = iq.get_child("bind", ns::BIND).map(|bind| {
                bind.get_child("resource", ns::BIND).map(Element::text).filter(|wish| !wish.is_empty())
            });
            let Some(wish) = wish.filter(|_| iq.is("iq", ns::CLIENT) && iq.attr("type") == Some("set"))
            else {
                return Err(StreamError::NotAuthorized.into());
            };
            let resource = wish.unwrap_or_else(|| fresh_name("r"));
            let refusal = match account.with_resource_str(&resource) {
                Err(_) => Refusal::BadRequest,
                Ok(jid) => match self.take_seat(&jid) {
                    Ok(bound) => {
                        self.send(&bind_result(&iq, &jid)).await?;
                        return Ok(bound);
                    }
                    Err(NoSeat::Taken) => Refusal::Conflict,
                    Err(NoSeat::TooMany) => Refusal::NotAllowed,
                },
            };
            if let Some(reply) = replies::refuse(&iq, refusal) {
                self.send(&reply).await?;
            }
        }
    }

    fn take_seat(&self, jid: &FullJid) -> Result<(Seat, Waiting), NoSeat> {
        let (outgoing, waiting) = queue(self.shared.limits.queue_stanzas, self.shared.limits.queue_octets);
        self.shared.router.join(jid, outgoing)?;
        Ok((Seat { jid: jid.clone(), router: self.shared.router.clone() }, waiting))
    }

    async fn route(&mut self, seat: &Seat, mut waiting: Waiting) -> End {
        let overflow = waiting.overflow();
        loop {
            tokio::select! {
                // Whoever cannot keep up must not get further stanzas with a gap in between.
                biased;
                () = overflow.notified() => return StreamError::ResourceConstraint.into(),
                Some(octets) = waiting.next() => {
                    if let Err(error) = self.write(&octets).await {
                        return error.into();
                    }
                }
                item = timeout(self.shared.limits.idle, self.incoming.next(&rules::CLIENT_LOST)) => {
                    match item {
                        Err(_) => return StreamError::ConnectionTimeout.into(),
                        Ok(Err(error)) => return error.into(),
                        Ok(Ok(None)) => return End::Lost,
                        Ok(Ok(Some(Item::Close))) => return End::Closed,
                        Ok(Ok(Some(Item::Header(_)))) => return StreamError::NotWellFormed.into(),
                        Ok(Ok(Some(Item::Element(stanza)))) => {
                            if !is_stanza(&stanza) {
                                return StreamError::UnsupportedStanzaType.into();
                            }
                            if !self.shared.router.accept(&seat.jid, stanza) {
                                return StreamError::InvalidFrom.into();
                            }
                        }
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Item, End> {
        match self.incoming.next(&rules::CLIENT_LOST).await? {
            None => Err(End::Lost),
            Some(Item::Close) => Err(End::Closed),
            Some(item) => Ok(item),
        }
    }

    async fn next_element(&mut self) -> Result<Element, End> {
        match self.next().await? {
            Item::Element(element) => Ok(element),
            _ => Err(StreamError::NotWellFormed.into()),
        }
    }

    async fn send(&mut self, element: &Element) -> Result<()> {
        self.write(&to_octets(element)?).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<()> {
        let rules = (&rules::CLIENT_STALLED, &rules::CLIENT_LOST);
        write(&mut self.writer, octets, self.shared.limits.write, rules).await
    }
}

fn is_stanza(element: &Element) -> bool {
    element.ns() == ns::CLIENT && matches!(element.name(), "iq" | "message" | "presence")
}

fn bind_result(iq: &Element, jid: &FullJid) -> Element {
    let mut name = Element::bare("jid", ns::BIND);
    name.append_text(jid.as_str());
    replies::result(iq, Some(Element::builder("bind", ns::BIND).append(name).build()))
}
