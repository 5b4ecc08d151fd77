//! The sockets of sessions: dialling, listening, and the octets of those in use.
//!
//! Each socket in use has a task that reads and one that writes, so that the driver encrypts while they wait. What is read
//! is bounded by chunks that the driver asks for, what is written by the session's own send buffer.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::error::Result;
use crate::xmpp::BULK;
use crate::xmpp::host::{Host, SessionId};
use crate::xmpp::s5b::{DIAL_TIMEOUT, may_dial};
use crate::xmpp::session::{Dial, SocketId, SocketRequest};
use crate::xmpp::socks5::{Asked, Client, Progress, Server};
use crate::xmpp::wire::io_error;

use super::{LINGER, rules};

/// Octets that are read from a socket at once.
pub const READ_CHUNK: usize = 64 * 1024;

/// Chunks of one socket that were read and wait for the driver.
const CHUNKS_MAX: usize = 2;

/// News of all sockets that wait for the driver.
const NEWS_MAX: usize = 64;

/// Connections to the listener that have not said yet whom they want; further ones wait.
pub const HANDSHAKES_MAX: usize = 16;

/// For the operating system to find new resources after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Where the peers of sessions connect to.
#[derive(Debug)]
pub struct Listener {
    tcp: Option<TcpListener>,
}

impl Listener {
    /// Nowhere: our sessions connect to others, and through proxies.
    #[must_use]
    pub fn none() -> Self {
        Self { tcp: None }
    }

    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// [`rules::CANNOT_LISTEN`].
    pub async fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        let tcp = TcpListener::bind(address).await;
        Ok(Self { tcp: Some(tcp.map_err(|error| io_error(&rules::CANNOT_LISTEN, &error))?) })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }
}

type Key = (SessionId, SocketId);

/// What happened at a socket.
#[derive(Debug)]
pub(super) enum News {
    /// A connection is there, or will not be.
    Dialled(Key, Option<TcpStream>),
    /// Somebody has connected and waits for an answer.
    Inbound(Asked, TcpStream),
    /// Octets came.
    Octets(Key, Vec<u8>),
    /// These were written.
    Written(Key, Vec<u8>),
    /// Nothing more comes.
    Closed(Key),
}

/// How far a socket is.
enum Stage {
    Dialling(AbortHandle),
    /// Connected; nobody reads it.
    Idle(TcpStream),
    Used(Used),
}

struct Used {
    /// Bounded by the session's send buffer.
    writer: mpsc::UnboundedSender<Vec<u8>>,
    /// An empty buffer for each chunk that may be read.
    buffers: mpsc::UnboundedSender<Vec<u8>>,
    /// Buffers that have not come back.
    granted: usize,
    /// One that has come back and is worth keeping.
    spare: Vec<u8>,
    reader: AbortHandle,
}

/// All sockets of a driver. Dropping it closes them.
pub(super) struct Sockets {
    stages: HashMap<Key, Stage>,
    listener: Option<AbortHandle>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<News>,
    receiver: mpsc::Receiver<News>,
}

impl Sockets {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        let (sender, receiver) = mpsc::channel(NEWS_MAX);
        let mut tasks = JoinSet::new();
        let tcp = listener.and_then(|listener| listener.tcp);
        let listener = tcp.map(|tcp| tasks.spawn(listen(tcp, sender.clone())));
        Self { stages: HashMap::new(), listener, tasks, sender, receiver }
    }

    /// Closes everything, and waits until the last octets are written.
    pub(super) async fn finish(mut self) {
        self.listener.into_iter().for_each(|listener| listener.abort());
        self.stages.clear();
        // Nobody hears news any more.
        drop(self.receiver);
        let _ = timeout(LINGER, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    /// What happens next. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                news = self.receiver.recv() => if let Some(news) = news {
                    return news;
                },
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// What has happened already.
    pub(super) fn news_at_hand(&mut self) -> Option<News> {
        self.receiver.try_recv().ok()
    }

    /// Tells the session that it is about.
    pub(super) fn hear(&mut self, news: News, host: &mut Host, now: Instant) {
        match news {
            News::Dialled(key, stream) => {
                if self.stages.remove(&key).is_none() {
                    return;
                }
                let connected = stream.is_some();
                if let Some(stream) = stream {
                    self.stages.insert(key, Stage::Idle(stream));
                }
                if let Some(session) = host.session_mut(key.0) {
                    session.dialled(key.1, connected, now);
                }
            }
            News::Inbound(asked, stream) => match host.inbound(asked.destination(), now) {
                // A fresh socket has room for the answer; if not, the peer tries another way.
                Some(key) if is_sent(&stream, &asked.granted()) => {
                    self.stages.insert(key, Stage::Idle(stream));
                }
                Some(_) => {}
                None => drop(is_sent(&stream, &asked.refused())),
            },
            News::Octets(key, mut octets) => {
                if let Some(session) = host.session_mut(key.0) {
                    session.receive_octets(&octets, now);
                }
                if let Some(Stage::Used(used)) = self.stages.get_mut(&key) {
                    used.granted = used.granted.saturating_sub(1);
                    if octets.len() >= BULK {
                        octets.clear();
                        used.spare = octets;
                    }
                }
            }
            News::Written(key, octets) => {
                if let Some(session) = host.session_mut(key.0) {
                    session.octets_written(octets.len());
                    session.reuse(octets);
                }
            }
            News::Closed(key) => {
                if let Some(session) = host.session_mut(key.0) {
                    session.socket_closed(now);
                }
            }
        }
    }

    /// Does what a session wants.
    pub(super) fn serve(&mut self, session: SessionId, request: SocketRequest) {
        match request {
            SocketRequest::Dial(dial) => {
                let (key, sender) = ((session, dial.id), self.sender.clone());
                let task = self.tasks.spawn(async move {
                    let stream = timeout(DIAL_TIMEOUT, connect(dial)).await;
                    let stream = stream.ok().and_then(Result::ok);
                    // The driver has ended, or listens.
                    let _ = sender.send(News::Dialled(key, stream)).await;
                });
                self.stages.insert(key, Stage::Dialling(task));
            }
            SocketRequest::Use(id) => self.begin((session, id)),
            SocketRequest::Close(id, last) => self.close((session, id), last),
        }
    }

    /// A socket is the one that is used.
    fn begin(&mut self, key: Key) {
        let Some(Stage::Idle(stream)) = self.stages.remove(&key) else { return };
        let (reading, writing) = stream.into_split();
        let (writer, to_write) = mpsc::unbounded_channel();
        let (buffers, to_fill) = mpsc::unbounded_channel();
        let reader = self.tasks.spawn(read(key, reading, to_fill, self.sender.clone()));
        self.tasks.spawn(write(key, writing, to_write, self.sender.clone()));
        self.stages.insert(key, Stage::Used(Used { writer, buffers, granted: 0, spare: vec![], reader }));
    }

    fn close(&mut self, key: Key, last: Vec<u8>) {
        match self.stages.remove(&key) {
            Some(Stage::Dialling(task)) => task.abort(),
            Some(Stage::Used(used)) => {
                used.reader.abort();
                // The writer ends when it has written all.
                let _ = used.writer.send(last);
            }
            Some(Stage::Idle(_)) | None => {}
        }
    }

    /// Passes on what sessions have to write, and reads for those that can take more.
    pub(super) fn exchange(&mut self, host: &mut Host) {
        self.stages.retain(|(session, _), stage| {
            let known = host.session(*session).is_some();
            if let (Stage::Dialling(task), false) = (&stage, known) {
                task.abort();
            }
            known
        });
        for ((session, _), stage) in &mut self.stages {
            let (Stage::Used(used), Some(session)) = (stage, host.session_mut(*session)) else { continue };
            while let Some(octets) = session.poll_octets() {
                // A writer that has ended leaves it to the reader to say so.
                let _ = used.writer.send(octets);
            }
            while session.is_receiving() && used.granted < CHUNKS_MAX {
                // A reader that has ended has said so.
                let _ = used.buffers.send(std::mem::take(&mut used.spare));
                used.granted += 1;
            }
        }
    }
}

/// Hands over chunks as they are asked for.
async fn read(
    key: Key,
    stream: OwnedReadHalf,
    mut to_fill: mpsc::UnboundedReceiver<Vec<u8>>,
    news: mpsc::Sender<News>,
) {
    while let Some(mut chunk) = to_fill.recv().await {
        // An end that is no proper one is told from a proper one by TLS.
        if !fill(&mut chunk, &stream).await {
            break;
        }
        if news.send(News::Octets(key, chunk)).await.is_err() {
            return;
        }
    }
    let _ = news.send(News::Closed(key)).await;
}

/// Reads the next octets, at least one; false at the end.
async fn fill(chunk: &mut Vec<u8>, stream: &OwnedReadHalf) -> bool {
    while stream.readable().await.is_ok() {
        // Room is made when there is something to read: most sockets are idle most of the time.
        chunk.reserve_exact(READ_CHUNK);
        match stream.try_read_buf(chunk) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.is_ok_and(|octets| octets > 0),
        }
    }
    false
}

/// Writes what comes, and closes after it. One who cannot write goes on to count: that it is over is seen by reading.
async fn write(
    key: Key,
    mut stream: OwnedWriteHalf,
    mut to_write: mpsc::UnboundedReceiver<Vec<u8>>,
    news: mpsc::Sender<News>,
) {
    let mut works = true;
    while let Some(octets) = to_write.recv().await {
        let is_last = to_write.is_closed();
        if works {
            let writing = stream.write_all(&octets);
            // At the end nobody waits for a peer that does not read.
            works = match is_last {
                true => matches!(timeout(LINGER, writing).await, Ok(Ok(()))),
                false => writing.await.is_ok(),
            };
        }
        if !is_last && news.send(News::Written(key, octets)).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// Whether so few octets could be written at once.
fn is_sent(stream: &TcpStream, octets: &[u8]) -> bool {
    stream.try_write(octets).is_ok_and(|written| written == octets.len())
}

/// A connection to a candidate, up to the point where the bytestream begins.
async fn connect(dial: Dial) -> Result<TcpStream> {
    let failed = |error: std::io::Error| io_error(&rules::CANNOT_CONNECT, &error);
    let addresses = match dial.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, dial.port)],
        Err(_) => lookup_host((&dial.host[..], dial.port)).await.map_err(failed)?.collect(),
    };
    let addresses = addresses.into_iter().filter(|address| may_dial(address.ip(), dial.loopback));
    let mut stream = TcpStream::connect(&addresses.collect::<Vec<_>>()[..]).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (mut client, greeting) = Client::start(dial.destination);
    stream.write_all(&greeting).await.map_err(failed)?;
    loop {
        let mut octets = vec![0; client.wants()];
        stream.read_exact(&mut octets).await.map_err(failed)?;
        match client.receive(&octets) {
            Progress::More(next, answer) => {
                client = next;
                stream.write_all(&answer).await.map_err(failed)?;
            }
            Progress::Done(()) => return Ok(stream),
            Progress::Failed(error, _) => return Err(error),
        }
    }
}

/// Takes connections and hears whom they want. Dropping this drops them all.
async fn listen(listener: TcpListener, news: mpsc::Sender<News>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                Ok((stream, _)) => {
                    let news = news.clone();
                    handshakes.spawn(async move {
                        if let Ok(Ok((asked, stream))) = timeout(DIAL_TIMEOUT, greet(stream)).await {
                            // The driver has ended, or listens.
                            let _ = news.send(News::Inbound(asked, stream)).await;
                        }
                    });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}

/// The other end of SOCKS5, up to the answer.
async fn greet(mut stream: TcpStream) -> Result<(Asked, TcpStream)> {
    let failed = |error: std::io::Error| io_error(&rules::CANNOT_CONNECT, &error);
    stream.set_nodelay(true).map_err(failed)?;
    let mut server = Server::start();
    loop {
        let mut octets = vec![0; server.wants()];
        stream.read_exact(&mut octets).await.map_err(failed)?;
        match server.receive(&octets) {
            Progress::More(next, answer) => {
                server = next;
                stream.write_all(&answer).await.map_err(failed)?;
            }
            Progress::Done(asked) => return Ok((asked, stream)),
            Progress::Failed(error, last) => {
                stream.write_all(&last).await.map_err(failed)?;
                return Err(error);
            }
        }
    }
}
