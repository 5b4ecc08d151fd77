//! Runs end-to-end [`Session`]s on a live XMPP connection, in a tokio task.
//!
//! Any XMPP library can lend its connection by implementing [`Connection`]; [`Client`](super::client::Client) does.
//! Every queue here is bounded, and a full one makes its producer wait: an application that does not read its
//! stream stops the peer of that stream, and a server that does not read stops the application.
//!
//! The mechanisms' slow hashes run in the task of the driver, which for that long serves nobody else: give it a
//! runtime with more than one thread.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::tls::Endpoint;

use super::BULK;
use super::attribute::set_attribute;
use super::host::{Gate, Host, HostEvent, SessionId};
use super::ns;
use super::s5b::Route;
use super::session::rules::SEND_BUFFER_FULL;
use super::session::{Established, Event, InitiatorConfig, Session, Statistics};

mod sockets;

pub use sockets::{HANDSHAKES_MAX, Listener, READ_CHUNK};

use sockets::{News, Sockets};

/// Events that wait for the application in each stream; behind them the session holds back the peer.
pub const EVENTS_MAX: usize = 16;

/// Requests of all streams that wait for the driver.
pub const REQUESTS_MAX: usize = 32;

/// Accepted streams that wait for [`Handle::accept`]; further peers are cut off.
pub const ACCEPTED_MAX: usize = 16;

/// Stanzas outside of any session that wait for [`Handle::recv_stanza`]; further ones are dropped.
pub const OUTSIDE_MAX: usize = 64;

/// Stanzas that wait for the XMPP connection; while there are as many, nothing is received and no request taken.
pub const BACKLOG_MAX: usize = 1024;

/// Stanzas that are handed to the XMPP connection at once.
pub const SENT_AT_ONCE: usize = 16;

/// Octets of [`E2eStream::write_bytes`] that are handed over at once.
pub const WRITE_CHUNK: usize = 64 * 1024;

/// For the sessions to end properly after everybody has let go of them.
pub const LINGER: Duration = Duration::from_secs(5);

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The XMPP connection is over.
    pub static ENDED: Rule = Rule {
        id: "driver-ended",
        kind: ErrorKind::PeerUnavailable,
        source: "countersign",
        what: "the XMPP connection has been closed",
        advice: "Connect again.",
    };
    /// The session is over.
    pub static SESSION_ENDED: Rule = Rule {
        id: "driver-session-ended",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "this end-to-end session has ended",
        advice: "Open a new one.",
    };
    /// The listening socket could not be made.
    pub static CANNOT_LISTEN: Rule = Rule {
        id: "driver-cannot-listen",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "cannot listen for direct connections",
        advice: "Name an address of this machine, and port 0 for a free port.",
    };
    /// A candidate did not answer.
    pub(super) static CANNOT_CONNECT: Rule = Rule {
        id: "driver-cannot-connect",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "a connection to a candidate could not be made",
        advice: "The session goes on by another way.",
    };
    /// A stanza came where the application reads octets.
    pub static STANZA_BETWEEN: Rule = Rule {
        id: "driver-stanza-between",
        kind: ErrorKind::PeerIncompatible,
        source: "countersign",
        what: "the peer sent a stanza where octets are expected",
        advice: "Read it with recv; both ends must use the tunnel in the same way.",
    };
}

/// A live XMPP connection with its resource bound.
pub trait Connection: Send + 'static {
    /// The half that sends.
    type Sender: StanzaSender;
    /// The half that receives.
    type Receiver: StanzaReceiver;

    /// The address that the server knows us by.
    fn own_jid(&self) -> FullJid;

    /// Both halves; they are used at the same time.
    fn split(self) -> (Self::Sender, Self::Receiver);
}

/// The sending half of a [`Connection`].
pub trait StanzaSender: Send + 'static {
    /// Sends one stanza; ready when another one can be taken.
    ///
    /// # Errors
    /// When the connection is over. The driver then ends.
    fn send(&mut self, stanza: Element) -> impl Future<Output = Result<()>> + Send;

    /// Sends several, one after the other; a connection may write them together.
    ///
    /// # Errors
    /// As [`StanzaSender::send`]. Some may have been sent.
    fn send_all(&mut self, stanzas: Vec<Element>) -> impl Future<Output = Result<()>> + Send {
        async move {
            for stanza in stanzas {
                self.send(stanza).await?;
            }
            Ok(())
        }
    }

    /// Closes the stream.
    ///
    /// # Errors
    /// When the connection is over already.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// The receiving half of a [`Connection`].
pub trait StanzaReceiver: Send + 'static {
    /// The next stanza, `None` at the end of the stream. Must be cancel safe: a call that is dropped loses nothing.
    ///
    /// # Errors
    /// When the connection is over. The driver then ends.
    fn recv(&mut self) -> impl Future<Output = Result<Option<Element>>> + Send;
}

/// The driver of all sessions of one connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Driver;

impl Driver {
    /// Starts the task. Without a gate nobody can open a session with us.
    ///
    /// The task ends with the connection, or when the handle and all streams have been dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<C: Connection>(connection: C, gate: Option<Box<dyn Gate>>) -> Handle {
        Self::start(connection, gate, None)
    }

    /// The same, and tells callers that SOCKS5 bytestreams are taken. Sessions whose configuration offers the listener's
    /// address are reached there.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_with_sockets<C: Connection>(
        connection: C,
        gate: Option<Box<dyn Gate>>,
        listener: Listener,
    ) -> Handle {
        Self::start(connection, gate, Some(listener))
    }

    fn start<C: Connection>(
        connection: C,
        gate: Option<Box<dyn Gate>>,
        listener: Option<Listener>,
    ) -> Handle {
        let own = connection.own_jid();
        let (sender, receiver) = connection.split();
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        let (accepted, incoming) = mpsc::channel(ACCEPTED_MAX);
        let (outside, stanzas) = mpsc::channel(OUTSIDE_MAX);
        let (outgoing, to_send) = mpsc::channel(SENT_AT_ONCE);
        let ended = Arc::new(OnceLock::new());
        let host = Host::new(own.clone(), gate);
        let task = Task {
            own: own.clone(),
            host: if listener.is_some() { host.with_socks5() } else { host },
            sockets: Sockets::new(listener),
            slots: HashMap::new(),
            backlog: VecDeque::new(),
            requests: requests.downgrade(),
            requested,
            accepted,
            outside,
            outgoing,
            wake: Arc::new(Notify::new()),
            ended: ended.clone(),
        };
        let writer = tokio::spawn(write(sender, to_send));
        let task = tokio::spawn(task.run(receiver, writer));
        Handle {
            own,
            requests,
            incoming: tokio::sync::Mutex::new(incoming),
            stanzas: tokio::sync::Mutex::new(stanzas),
            ended,
            task,
        }
    }
}

/// The application's end of a driver. All calls may run at the same time.
pub struct Handle {
    own: FullJid,
    requests: mpsc::Sender<Request>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Result<E2eStream>>>,
    stanzas: tokio::sync::Mutex<mpsc::Receiver<Element>>,
    ended: Arc<OnceLock<Error>>,
    task: JoinHandle<()>,
}

impl Handle {
    /// The address that the server knows us by.
    #[must_use]
    pub fn own_jid(&self) -> &FullJid {
        &self.own
    }

    /// Opens a session and waits until the peer has proven the password. `endpoint` is a fresh TLS client.
    ///
    /// # Errors
    /// What the session failed with; [`rules::ENDED`] or the connection's own error when that is over.
    pub async fn connect(&self, config: InitiatorConfig, endpoint: Box<dyn Endpoint>) -> Result<E2eStream> {
        let session = Session::initiate(config, endpoint, Box::new(crate::system_rng()), now())?;
        let (reply, stream) = oneshot::channel();
        let request = Request::Connect(Box::new(session), reply);
        self.requests.send(request).await.map_err(|_| self.reason())?;
        stream.await.unwrap_or_else(|_| Err(self.reason()))
    }

    /// The next session that a peer has opened and proven. Cancel safe.
    ///
    /// # Errors
    /// What a session failed with that a peer had opened: others may still come. After
    /// [`Handle::has_ended`] is true, the reason for which the connection is over: no other comes.
    pub async fn accept(&self) -> Result<E2eStream> {
        self.incoming.lock().await.recv().await.unwrap_or_else(|| Err(self.reason()))
    }

    /// The next stanza that belongs to no session: messages, presence, unexpected answers. `None` when the
    /// connection is over. Cancel safe.
    ///
    /// # Security
    /// It came over the servers, in the open: believe nothing in it.
    pub async fn recv_stanza(&self) -> Option<Element> {
        self.stanzas.lock().await.recv().await
    }

    /// Sends a stanza outside of any session, in the open: presence, for instance.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send_stanza(&self, stanza: Element) -> Result<()> {
        self.requests.send(Request::Outside(stanza)).await.map_err(|_| self.reason())
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Lets go and waits for the end, which comes after the last stream has been dropped.
    pub async fn finish(self) {
        let Self { requests, incoming, task, .. } = self;
        drop((requests, incoming));
        // A panic in there has been reported already.
        let _ = task.await;
    }

    fn reason(&self) -> Error {
        self.ended.get().cloned().unwrap_or_else(|| Error::new(&rules::ENDED))
    }
}

/// A verified end-to-end channel. Dropping it closes it.
pub struct E2eStream {
    id: SessionId,
    own: FullJid,
    peer: FullJid,
    established: Established,
    route: Route,
    requests: mpsc::Sender<Request>,
    events: mpsc::Receiver<Event>,
    /// The last event, which never waits for room.
    last: Arc<Mutex<Option<Event>>>,
    /// An event that was looked at and put back.
    next: Option<Event>,
    /// An empty buffer for what is written.
    spare: Vec<u8>,
    wake: Arc<Notify>,
}

impl E2eStream {
    /// What was established.
    #[must_use]
    pub fn established(&self) -> &Established {
        &self.established
    }

    /// By which way its octets go.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> &FullJid {
        &self.peer
    }

    /// Our own address.
    #[must_use]
    pub fn own(&self) -> &FullJid {
        &self.own
    }

    /// Sends a chat message through the tunnel.
    ///
    /// # Errors
    /// As [`E2eStream::send`].
    pub async fn send_message(&mut self, body: &str) -> Result<()> {
        let mut text = Element::bare("body", ns::CLIENT);
        text.append_text(body);
        let mut message = Element::bare("message", ns::CLIENT);
        for (name, value) in [("type", "chat"), ("from", self.own.as_str()), ("to", self.peer.as_str())] {
            set_attribute(&mut message, name, value);
        }
        message.append_child(text);
        self.send(message).await
    }

    /// Sends a stanza through the tunnel; ready when it is queued there. Not cancel safe: a call that is dropped may
    /// or may not have sent it.
    ///
    /// # Errors
    /// [`rules::SESSION_ENDED`], and what the session does not take.
    pub async fn send(&mut self, stanza: Element) -> Result<()> {
        self.request(|reply| Op::Stanza(stanza, reply)).await
    }

    /// Sends octets through the tunnel; ready when all are queued there. Not cancel safe: a call that is dropped
    /// may have sent a part.
    ///
    /// # Errors
    /// As [`E2eStream::send`]. A part of the octets may have been sent.
    pub async fn write_bytes(&mut self, octets: &[u8]) -> Result<()> {
        for chunk in octets.chunks(WRITE_CHUNK) {
            let mut buffer = std::mem::take(&mut self.spare);
            buffer.extend_from_slice(chunk);
            let mut buffer = self.request(|reply| Op::Bytes(buffer, 0, reply)).await?;
            if buffer.len() >= BULK {
                buffer.clear();
                self.spare = buffer;
            }
        }
        Ok(())
    }

    /// The next event; `None` after [`Event::Closed`] or [`Event::Failed`]. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        let event = self.events.recv().await;
        // There may be room again for what the driver holds.
        self.wake.notify_one();
        event.or_else(|| lock(&self.last).take())
    }

    /// The next octets, at least one; `None` when the peer has closed the session properly. Cancel safe.
    ///
    /// # Errors
    /// What the session failed with; [`rules::STANZA_BETWEEN`], after which [`E2eStream::recv`] gives the stanza;
    /// [`rules::SESSION_ENDED`].
    pub async fn read_bytes(&mut self) -> Result<Option<Vec<u8>>> {
        match self.recv().await {
            Some(Event::Bytes(octets)) => Ok(Some(octets)),
            Some(Event::Closed) => Ok(None),
            Some(Event::Failed(error)) => Err(error),
            Some(other) => {
                self.next = Some(other);
                Err(Error::new(&rules::STANZA_BETWEEN))
            }
            None => Err(Error::new(&rules::SESSION_ENDED)),
        }
    }

    /// Updates the keys of both directions now.
    ///
    /// # Errors
    /// [`rules::SESSION_ENDED`].
    pub async fn rekey(&mut self) -> Result<()> {
        self.request(Op::Rekey).await
    }

    /// Counts so far.
    ///
    /// # Errors
    /// [`rules::SESSION_ENDED`].
    pub async fn statistics(&mut self) -> Result<Statistics> {
        self.request(Op::Statistics).await
    }

    /// Begins to end the session properly, after what has been sent; go on with [`E2eStream::recv`] until the last
    /// event.
    ///
    /// # Errors
    /// [`rules::SESSION_ENDED`].
    pub async fn close(&mut self) -> Result<()> {
        self.request(Op::Close).await
    }

    /// Ends the session properly and waits for the end; what the peer still sends is not read.
    ///
    /// # Errors
    /// What the session failed with.
    pub async fn finish(mut self) -> Result<()> {
        // It may have ended by itself: the last event tells how.
        let _ = self.close().await;
        while let Some(event) = self.recv().await {
            if let Event::Failed(error) = event {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the session at once; the peer is told that it was cancelled.
    pub async fn abort(mut self) {
        let _ = self.request(Op::Abort).await;
    }

    async fn request<T>(&mut self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T> {
        let ended = || Error::new(&rules::SESSION_ENDED);
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Session(self.id, op(reply))).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for E2eStream {
    fn drop(&mut self) {
        // The last that was written stands in it.
        self.spare.zeroize();
        self.events.close();
        self.wake.notify_one();
    }
}

impl std::fmt::Debug for E2eStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "E2eStream({} to {}, {})", self.own, self.peer, self.established.mechanism)
    }
}

type Reply<T> = oneshot::Sender<Result<T>>;

/// What the application wants from the driver.
enum Request {
    Connect(Box<Session>, Reply<E2eStream>),
    Session(SessionId, Op),
    Outside(Element),
}

/// What the application wants from one session.
enum Op {
    Stanza(Element, Reply<()>),
    /// The octets, and how many the session has taken. The reply gives the buffer back.
    Bytes(Vec<u8>, usize, Reply<Vec<u8>>),
    Rekey(Reply<()>),
    Statistics(Reply<Statistics>),
    Close(Reply<()>),
    Abort(Reply<()>),
}

impl Op {
    /// Whether the application has stopped waiting.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Stanza(_, reply) | Self::Rekey(reply) | Self::Close(reply) | Self::Abort(reply) => {
                reply.is_closed()
            }
            Self::Bytes(_, _, reply) => reply.is_closed(),
            Self::Statistics(reply) => reply.is_closed(),
        }
    }
}

/// What the driver keeps for one session.
struct Slot {
    stage: Stage,
    /// At most one per caller: each waits for its reply.
    parked: VecDeque<Op>,
}

enum Stage {
    /// We wait for the peer's proof, and the application for us.
    Connecting(Reply<E2eStream>),
    /// The peer has yet to prove itself.
    Accepting,
    Open {
        events: mpsc::Sender<Event>,
        last: Arc<Mutex<Option<Event>>>,
    },
    /// The application has dropped its stream, or its call.
    Abandoned,
}

impl Stage {
    /// Whether the application has gone and the session does not know.
    fn is_forsaken(&self) -> bool {
        match self {
            Self::Connecting(reply) => reply.is_closed(),
            Self::Open { events, .. } => events.is_closed(),
            Self::Accepting | Self::Abandoned => false,
        }
    }
}

struct Task {
    own: FullJid,
    host: Host,
    sockets: Sockets,
    slots: HashMap<SessionId, Slot>,
    backlog: VecDeque<Element>,
    requests: mpsc::WeakSender<Request>,
    requested: mpsc::Receiver<Request>,
    accepted: mpsc::Sender<Result<E2eStream>>,
    outside: mpsc::Sender<Element>,
    outgoing: mpsc::Sender<Element>,
    wake: Arc<Notify>,
    ended: Arc<OnceLock<Error>>,
}

/// Hands stanzas to the connection, so that receiving never waits for sending.
async fn write<S: StanzaSender>(mut sender: S, mut to_send: mpsc::Receiver<Element>) -> Result<()> {
    loop {
        let mut stanzas = Vec::new();
        if to_send.recv_many(&mut stanzas, SENT_AT_ONCE).await == 0 {
            return sender.close().await;
        }
        sender.send_all(stanzas).await?;
    }
}

impl Task {
    async fn run<R: StanzaReceiver>(mut self, mut receiver: R, writer: JoinHandle<Result<()>>) {
        let end = self.drive(&mut receiver).await;
        let Self { host, outgoing, ended, .. } = &mut self;
        host.transport_lost();
        // The writer says goodbye when its queue is gone.
        let (replacement, _) = mpsc::channel(1);
        drop(std::mem::replace(outgoing, replacement));
        let written = match end {
            // Half a stanza may be stuck in a dead connection.
            Err(_) if !writer.is_finished() => {
                writer.abort();
                Ok(())
            }
            _ => writer.await.unwrap_or(Ok(())),
        };
        if let Err(error) = end.and(written) {
            let _ = ended.set(error);
        }
        // What a stream has no room for is lost with the connection; its last event says so.
        while let Some(event) = self.host.poll_event() {
            self.dispatch(event);
        }
        while let Some((id, request)) = self.host.poll_socket() {
            self.sockets.serve(id, request);
        }
        self.sockets.finish().await;
    }

    /// Until the connection is over, or until everybody has let go of it.
    async fn drive<R: StanzaReceiver>(&mut self, receiver: &mut R) -> Result<()> {
        let outgoing = self.outgoing.clone();
        let mut linger_until = None;
        loop {
            self.pump();
            if linger_until.is_some() && self.slots.is_empty() && self.backlog.is_empty() {
                return Ok(());
            }
            let timeout = [self.host.next_timeout(), linger_until].into_iter().flatten().min();
            let has_room = self.backlog.len() < BACKLOG_MAX;
            tokio::select! {
                permit = outgoing.reserve(), if !self.backlog.is_empty() => {
                    // The writer has ended, and will tell why.
                    let Ok(mut permit) = permit else { return Ok(()) };
                    while let Some(stanza) = self.backlog.pop_front() {
                        permit.send(stanza);
                        let Ok(next) = outgoing.try_reserve() else { break };
                        permit = next;
                    }
                }
                stanza = receiver.recv(), if has_room => {
                    let stanza = stanza?.ok_or_else(|| Error::new(&rules::ENDED))?;
                    if !self.host.handle(&stanza, now()) {
                        // A full queue: what is in the open may get lost, and does not hold up the sessions.
                        let _ = self.outside.try_send(stanza);
                    }
                }
                request = self.requested.recv(), if has_room && linger_until.is_none() => match request {
                    Some(request) => self.serve(request),
                    None => linger_until = Some(now() + LINGER),
                },
                news = self.sockets.news() => self.hear(news),
                () = self.wake.notified() => {}
                () = sleep_until(timeout) => {
                    if linger_until.is_some_and(|until| until <= now()) {
                        return Ok(());
                    }
                    self.host.tick(now());
                }
            }
        }
    }

    /// Moves on whatever can be moved without waiting.
    fn pump(&mut self) {
        for (id, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.stage.is_forsaken()) {
            let before = std::mem::replace(&mut slot.stage, Stage::Abandoned);
            match (before, self.host.session_mut(*id)) {
                (Stage::Connecting(_), Some(session)) => session.abort(),
                (_, Some(session)) => session.close(),
                (_, None) => {}
            }
        }
        for (id, slot) in &mut self.slots {
            if let Some(session) = self.host.session_mut(*id) {
                work_off(session, &mut slot.parked);
            }
        }
        while let Some(event) = self.host.poll_event_where(|id| has_room(&self.slots, id)) {
            self.dispatch(event);
        }
        while let Some((id, request)) = self.host.poll_socket() {
            self.sockets.serve(id, request);
        }
        self.sockets.exchange(&mut self.host);
        while let Some(stanza) = self.host.poll_stanza() {
            self.backlog.push_back(stanza);
        }
    }

    /// Something has happened at a socket, and perhaps at others too.
    fn hear(&mut self, news: News) {
        self.sockets.hear(news, &mut self.host, now());
        while let Some(news) = self.sockets.news_at_hand() {
            self.sockets.hear(news, &mut self.host, now());
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Connect(session, reply) => {
                let id = self.host.add(*session);
                self.slots.insert(id, Slot { stage: Stage::Connecting(reply), parked: VecDeque::new() });
            }
            Request::Session(id, op) => {
                // Without a slot the session has ended: dropping the reply says so.
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.parked.retain(|op| !op.is_abandoned());
                    slot.parked.push_back(op);
                }
            }
            Request::Outside(stanza) => self.backlog.push_back(stanza),
        }
    }

    fn dispatch(&mut self, event: HostEvent) {
        match event {
            HostEvent::Incoming(id, _) => {
                self.slots.insert(id, Slot { stage: Stage::Accepting, parked: VecDeque::new() });
            }
            HostEvent::Session(id, Event::Established(established)) => self.open(id, *established),
            HostEvent::Session(id, event @ (Event::Closed | Event::Failed(_))) => self.end(id, event),
            HostEvent::Session(id, event) => self.forward(id, event),
        }
    }

    fn open(&mut self, id: SessionId, established: Established) {
        let (Some(slot), Some(session)) = (self.slots.get_mut(&id), self.host.session_mut(id)) else {
            return;
        };
        let Some(requests) = self.requests.upgrade() else {
            slot.stage = Stage::Abandoned;
            session.close();
            return;
        };
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let last = Arc::new(Mutex::new(None));
        let stream = E2eStream {
            id,
            own: self.own.clone(),
            peer: session.peer().clone(),
            established,
            route: session.route().cloned().unwrap_or(Route::InBand),
            requests,
            events: receiver,
            last: last.clone(),
            next: None,
            spare: vec![],
            wake: self.wake.clone(),
        };
        // A stream that nobody takes is dropped, which closes it.
        match std::mem::replace(&mut slot.stage, Stage::Open { events, last }) {
            Stage::Connecting(reply) => drop(reply.send(Ok(stream))),
            _ => drop(self.accepted.try_send(Ok(stream))),
        }
    }

    fn forward(&self, id: SessionId, event: Event) {
        let Some(Slot { stage: Stage::Open { events, .. }, .. }) = self.slots.get(&id) else { return };
        // There was room for it, or the stream has been dropped.
        let _ = events.try_send(event);
    }

    fn end(&mut self, id: SessionId, event: Event) {
        let Some(slot) = self.slots.remove(&id) else { return };
        match (slot.stage, event) {
            (Stage::Connecting(reply), Event::Failed(error)) => drop(reply.send(Err(error))),
            (Stage::Accepting, Event::Failed(error)) => drop(self.accepted.try_send(Err(error))),
            (Stage::Open { last, .. }, event) => *lock(&last) = Some(event),
            _ => {}
        }
    }
}

/// Whether the next event of a session can be passed on.
fn has_room(slots: &HashMap<SessionId, Slot>, id: SessionId) -> bool {
    match slots.get(&id) {
        Some(Slot { stage: Stage::Open { events, .. }, .. }) => events.capacity() > 0 || events.is_closed(),
        _ => true,
    }
}

/// Does what the session has room for, in order.
fn work_off(session: &mut Session, parked: &mut VecDeque<Op>) {
    while let Some(op) = parked.pop_front() {
        match op {
            Op::Stanza(stanza, reply) => match session.send(stanza.clone()) {
                Err(error) if error.is(&SEND_BUFFER_FULL) => {
                    parked.push_front(Op::Stanza(stanza, reply));
                    return;
                }
                result => drop(reply.send(result)),
            },
            Op::Bytes(octets, taken, reply) => match session.send_bytes(&octets[taken..]) {
                Ok(more) if taken + more < octets.len() => {
                    parked.push_front(Op::Bytes(octets, taken + more, reply));
                    return;
                }
                result => drop(reply.send(result.map(|_| octets))),
            },
            Op::Rekey(reply) => drop(reply.send(session.rekey())),
            Op::Statistics(reply) => drop(reply.send(Ok(session.statistics()))),
            Op::Close(reply) => {
                session.close();
                drop(reply.send(Ok(())));
            }
            Op::Abort(reply) => {
                session.abort();
                drop(reply.send(Ok(())));
            }
        }
    }
}

/// tokio's clock, so that tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
