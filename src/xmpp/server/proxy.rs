//! A proxy for SOCKS5 bytestreams (XEP-0065 section 6): joins two connections that name the same destination when the one who
//! offered it asks for that, and passes their octets on.
//!
//! The destination is made of both addresses, and the router says who asks: so nobody else can activate it. Who reads the
//! stanzas can connect in the place of an end, and gets records of TLS that mean nothing to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jid::{BareJid, FullJid};
use minidom::Element;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Limits;
use super::replies::{self, Refusal};
use crate::xmpp::attribute::attribute;
use crate::xmpp::ns;
use crate::xmpp::s5b;
use crate::xmpp::socks5::{Asked, Destination, Progress, Server};

/// Most connections to the proxy at a time; further ones are closed at once.
pub const PROXY_CONNECTIONS_MAX: usize = 64;

/// From a connection to the proxy to the destination that it names.
pub const PROXY_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first connection to a destination waits for the second one.
pub const PROXY_PARTNER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long two connections wait until they are joined.
pub const PROXY_ACTIVATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Silence of both ends after which they are parted. Tunnels may rest, so it is long.
pub const PROXY_IDLE_TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60);

/// Octets that the proxy holds for each way of a connection.
pub const PROXY_BUFFER: usize = 64 * 1024;

/// The proxy of a server: what waits there, and who may ask for it.
pub(super) struct Proxy {
    jid: BareJid,
    address: SocketAddr,
    limits: Limits,
    table: Mutex<Table>,
    relayed: AtomicU64,
}

#[derive(Default)]
struct Table {
    places: HashMap<Destination, Place>,
    tickets: u64,
}

/// What is known of a destination.
enum Place {
    One(Waiter),
    Two(Waiter, Waiter),
    /// Both are joined: nobody else gets in.
    Joined,
}

/// A connection that waits for its partner, and then to be joined to it.
struct Waiter {
    ticket: u64,
    /// Says that there is a partner.
    partner: watch::Sender<bool>,
    join: oneshot::Sender<Role>,
}

/// Who of two passes the octets on.
enum Role {
    Gives(oneshot::Sender<Client>),
    Takes(oneshot::Receiver<Client>),
}

/// A connection, and its place among those of the proxy.
struct Client {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

/// A place at a destination, given back on dropping.
struct Ticket<'a> {
    proxy: &'a Proxy,
    destination: Destination,
    number: u64,
    partner: watch::Receiver<bool>,
    join: oneshot::Receiver<Role>,
    /// Whether the end of this one is that of both.
    takes: bool,
}

impl Proxy {
    pub(super) fn new(domain: &BareJid, address: SocketAddr, limits: Limits) -> Option<Self> {
        let domain = domain.domain();
        // An address of IPv6 has no names below it.
        let jid =
            BareJid::new(&format!("proxy.{domain}")).or_else(|_| BareJid::new(&format!("proxy@{domain}")));
        let jid = jid.ok()?;
        Some(Self { jid, address, limits, table: Mutex::default(), relayed: AtomicU64::new(0) })
    }

    pub(super) fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Octets passed on.
    pub(super) fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// The answer to a request that `sender` has sent to the proxy.
    pub(super) fn answer(&self, sender: &FullJid, iq: &Element) -> Option<Element> {
        let kind = iq.attr("type").filter(|kind| matches!(*kind, "get" | "set"))?;
        let payload = iq.children().next()?;
        match (kind, payload.name(), payload.ns().as_str()) {
            ("get", "query", ns::DISCO_INFO) => Some(replies::result(iq, Some(info()))),
            ("get", "query", ns::DISCO_ITEMS) => {
                Some(replies::result(iq, Some(Element::bare("query", ns::DISCO_ITEMS))))
            }
            ("get", "query", ns::BYTESTREAMS) => Some(replies::result(iq, Some(self.streamhost()))),
            ("set", "query", ns::BYTESTREAMS) => match self.activate(sender, payload) {
                Ok(()) => Some(replies::result(iq, None)),
                Err(refusal) => replies::refuse(iq, refusal),
            },
            _ => replies::refuse(iq, Refusal::ServiceUnavailable),
        }
    }

    fn streamhost(&self) -> Element {
        // Who listens everywhere is found by the name of the domain.
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => self.jid.domain().as_str().trim_matches(['[', ']']).to_owned(),
            ip => ip.to_string(),
        };
        let host = Element::builder("streamhost", ns::BYTESTREAMS)
            .attr(attribute("jid"), self.jid.as_str())
            .attr(attribute("host"), host)
            .attr(attribute("port"), self.address.port());
        Element::builder("query", ns::BYTESTREAMS).append(host).build()
    }

    /// Joins both connections of the bytestream that `requester` has offered.
    fn activate(&self, requester: &FullJid, query: &Element) -> Result<(), Refusal> {
        let sid = query.attr("sid").filter(|sid| !sid.is_empty()).ok_or(Refusal::BadRequest)?;
        let target = query.get_child("activate", ns::BYTESTREAMS).ok_or(Refusal::BadRequest)?.text();
        let target = FullJid::new(target.trim()).map_err(|_| Refusal::BadRequest)?;
        self.join(s5b::destination(sid, requester, &target))
    }

    fn join(&self, destination: Destination) -> Result<(), Refusal> {
        let mut table = self.table();
        let place = table.places.remove(&destination).ok_or(Refusal::ItemNotFound)?;
        match place {
            Place::Two(one, other) => {
                table.places.insert(destination, Place::Joined);
                let (gives, takes) = oneshot::channel();
                // Who has gone meanwhile leaves the other alone with nobody, who then goes too.
                let _ = one.join.send(Role::Gives(gives));
                let _ = other.join.send(Role::Takes(takes));
                Ok(())
            }
            place @ (Place::One(_) | Place::Joined) => {
                table.places.insert(destination, place);
                Err(Refusal::ItemNotFound)
            }
        }
    }

    /// A place at a destination, where two have room.
    fn enter(&self, destination: &Destination) -> Option<Ticket<'_>> {
        let mut table = self.table();
        table.tickets += 1;
        let number = table.tickets;
        let (joining, join) = oneshot::channel();
        let place = table.places.remove(destination);
        let (told, partner) = watch::channel(place.is_some());
        let waiter = Waiter { ticket: number, partner: told, join: joining };
        let (place, entered) = match place {
            None => (Place::One(waiter), true),
            Some(Place::One(first)) => {
                first.partner.send_replace(true);
                (Place::Two(first, waiter), true)
            }
            Some(full) => (full, false),
        };
        table.places.insert(destination.clone(), place);
        entered.then(|| Ticket {
            proxy: self,
            destination: destination.clone(),
            number,
            partner,
            join,
            takes: false,
        })
    }

    /// The table stays whole when a holder panics: every change is one call.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Waits until it is joined. `None` when that takes too long, or the connection says or ends anything before.
    async fn joined(&mut self, stream: &TcpStream) -> Option<Role> {
        let mut octet = [0];
        tokio::select! {
            // Octets may come right after the answer to who has asked for it.
            biased;
            role = &mut self.join => role.ok(),
            _ = stream.peek(&mut octet) => None,
            () = patience(&mut self.partner, &self.proxy.limits) => None,
        }
    }
}

/// As long as there is time to wait; partners who come and go add nothing to it.
async fn patience(partner: &mut watch::Receiver<bool>, limits: &Limits) {
    let alone = Instant::now() + limits.proxy_partner;
    let end = alone + limits.proxy_activation;
    loop {
        let both = *partner.borrow_and_update();
        let until = if both { end.min(Instant::now() + limits.proxy_activation) } else { alone };
        match timeout_at(until, partner.changed()).await {
            Err(_) => return,
            Ok(Ok(())) => {}
            // It is joined.
            Ok(Err(_)) => std::future::pending().await,
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut table = self.proxy.table();
        let is_own = |waiter: &Waiter| waiter.ticket == self.number;
        let left = match table.places.remove(&self.destination) {
            Some(Place::One(one)) if is_own(&one) => None,
            Some(Place::Two(one, other)) if is_own(&one) => Some(Place::One(other)),
            Some(Place::Two(one, other)) if is_own(&other) => Some(Place::One(one)),
            Some(Place::Joined) if self.takes || matches!(self.join.try_recv(), Ok(Role::Takes(_))) => None,
            other => other,
        };
        if let Some(Place::One(alone)) = &left {
            alone.partner.send_replace(false);
        }
        left.into_iter().for_each(|place| drop(table.places.insert(self.destination.clone(), place)));
    }
}

/// Takes connections. Dropping this drops them all.
pub(super) async fn accept(listener: TcpListener, proxy: Arc<Proxy>) {
    /// For the operating system to find new resources after a failed accept.
    const PAUSE: Duration = Duration::from_millis(50);

    let places = Arc::new(Semaphore::new(proxy.limits.proxy_connections));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = clients.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Ok(permit) = places.clone().try_acquire_owned() {
            let proxy = proxy.clone();
            clients.spawn(async move { serve(&proxy, Client { stream, _permit: permit }).await });
        }
    }
}

/// Serves one connection, to its end. `None` is an end before it was joined.
async fn serve(proxy: &Proxy, mut client: Client) -> Option<()> {
    client.stream.set_nodelay(true).ok()?;
    let asked = timeout(proxy.limits.proxy_handshake, greet(&mut client.stream)).await.ok()??;
    let Some(mut ticket) = proxy.enter(asked.destination()) else {
        let _ = client.stream.try_write(&asked.refused());
        return None;
    };
    // A fresh socket has room for so few octets.
    client.stream.try_write(&asked.granted()).ok()?;
    match ticket.joined(&client.stream).await? {
        Role::Gives(partner) => {
            let _ = partner.send(client);
        }
        Role::Takes(partner) => {
            // Nobody else gets in until the end.
            ticket.takes = true;
            let partner = partner.await.ok()?;
            relay(proxy, client, partner).await;
        }
    }
    Some(())
}

/// Hears which destination is meant.
async fn greet(stream: &mut TcpStream) -> Option<Asked> {
    let mut server = Server::start();
    loop {
        let mut octets = vec![0; server.wants()];
        stream.read_exact(&mut octets).await.ok()?;
        match server.receive(&octets) {
            Progress::More(next, answer) => {
                server = next;
                stream.write_all(&answer).await.ok()?;
            }
            Progress::Done(asked) => return Some(asked),
            Progress::Failed(_, last) => {
                let _ = stream.write_all(&last).await;
                return None;
            }
        }
    }
}

/// Passes octets on both ways, until both ends are done, one breaks, or nobody says anything for long.
async fn relay(proxy: &Proxy, mut one: Client, mut other: Client) {
    let moved = AtomicU64::new(0);
    let (one_reads, one_writes) = one.stream.split();
    let (other_reads, other_writes) = other.stream.split();
    let counted = |octets: usize| {
        moved.fetch_add(octets as u64, Ordering::Relaxed);
        proxy.relayed.fetch_add(octets as u64, Ordering::Relaxed);
    };
    let rests = async {
        loop {
            let before = moved.load(Ordering::Relaxed);
            tokio::time::sleep(proxy.limits.proxy_idle).await;
            if moved.load(Ordering::Relaxed) == before {
                break;
            }
        }
    };
    let both = async {
        tokio::try_join!(copy(one_reads, other_writes, &counted), copy(other_reads, one_writes, &counted))
    };
    tokio::select! {
        _ = both => {}
        () = rests => {}
    }
}

/// Passes on what comes, at most [`PROXY_BUFFER`] octets ahead of who reads it.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counted: &impl Fn(usize),
) -> std::io::Result<()> {
    let mut buffer = vec![0; PROXY_BUFFER];
    loop {
        let octets = from.read(&mut buffer).await?;
        if octets == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..octets]).await?;
        counted(octets);
    }
}

fn info() -> Element {
    let identity = Element::builder("identity", ns::DISCO_INFO)
        .attr(attribute("category"), "proxy")
        .attr(attribute("type"), "bytestreams")
        .attr(attribute("name"), super::LABEL);
    let features = [ns::DISCO_INFO, ns::BYTESTREAMS]
        .map(|var| Element::builder("feature", ns::DISCO_INFO).attr(attribute("var"), var).build());
    Element::builder("query", ns::DISCO_INFO).append(identity).append_all(features).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_has_a_proxy_that_can_be_dialled() {
        for (domain, address, jid, host) in [
            ("home.example", "127.0.0.1:1", "proxy.home.example", "127.0.0.1"),
            ("home.example", "0.0.0.0:1", "proxy.home.example", "proxy.home.example"),
            ("[::1]", "[::1]:1", "proxy@[::1]", "::1"),
            ("[::1]", "[::]:1", "proxy@[::1]", "::1"),
        ] {
            let (domain, address) = (BareJid::new(domain).unwrap(), address.parse().unwrap());
            let proxy = Proxy::new(&domain, address, Limits::default()).unwrap();
            assert_eq!(proxy.jid().as_str(), jid);
            let answer = proxy.streamhost();
            let named = answer.children().next().and_then(|child| child.attr("host"));
            assert_eq!(named, Some(host));
        }
    }

    #[tokio::test]
    async fn a_slow_reader_stops_the_writer_after_one_buffer() {
        const ROOM: usize = 1000;
        let (mut writer, from) = tokio::io::duplex(16);
        let (to, mut reader) = tokio::io::duplex(ROOM);
        let copying = tokio::spawn(async move { copy(from, to, &|_| {}).await });
        let taken = Arc::new(AtomicU64::new(0));
        let written = taken.clone();
        tokio::spawn(async move {
            while writer.write_all(&[7]).await.is_ok() {
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        let settled = async || {
            let mut before = u64::MAX;
            while before != taken.load(Ordering::Relaxed) {
                before = taken.load(Ordering::Relaxed);
                for _ in 0..10_000 {
                    tokio::task::yield_now().await;
                }
            }
            before as usize
        };
        let held = settled().await;
        assert!((ROOM..=ROOM + PROXY_BUFFER + 16).contains(&held), "{held}");
        let mut octets = vec![0; ROOM];
        reader.read_exact(&mut octets).await.unwrap();
        assert!(settled().await > held, "it goes on when somebody reads");
        copying.abort();
    }
}
