//! SOCKS5 bytestreams: the way around the servers for the octets of a tunnel, where it is asked for.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;

use countersign::tls::certificate::{RECORD_DEFAULT, RECORD_MAX};
use countersign::xmpp::client::{find_proxy, proxy};
use countersign::xmpp::driver::{Connection, Driver, Handle, Listener};
use countersign::xmpp::s5b::Socks5;
use countersign::xmpp::{Gate, Jid};

use crate::exit::{Exit, Failure};

/// Ways around the servers.
#[derive(Debug, clap::Args)]
pub(crate) struct SocketArgs {
    /// Offer the peer a direct connection to this address, or to the one that this machine uses towards others, and connect to
    /// the peer's. The servers and the peer see it. Without a connection everything passes over the servers
    #[arg(
        long,
        value_name = "IP[:PORT]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        conflicts_with = "tcp"
    )]
    direct: Option<Address>,
    /// Offer the peer a connection over this proxy for SOCKS5 bytestreams, or over the one of our server. Proxies see the
    /// addresses of both
    #[arg(
        long,
        value_name = "JID",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        conflicts_with = "tcp"
    )]
    proxy: Option<Proxy>,
}

#[derive(Clone, Copy, Debug)]
enum Address {
    Auto,
    Given(SocketAddr),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let with_port = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
        text.parse()
            .or_else(|_| with_port())
            .map(Self::Given)
            .map_err(|_| "not an IP address, with a port or without")
    }
}

#[derive(Clone, Debug)]
enum Proxy {
    Auto,
    Named(Jid),
}

impl FromStr for Proxy {
    type Err = countersign::xmpp::JidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { Jid::new(text).map(Self::Named) }
    }
}

/// What a command has opened before its account's connection is handed over.
pub(crate) struct Sockets<'a> {
    args: &'a SocketArgs,
    listener: Option<Listener>,
    address: Option<SocketAddr>,
}

impl SocketArgs {
    /// Listens, where that is asked for.
    pub(crate) async fn open(&self) -> Result<Sockets<'_>, Failure> {
        let address = match self.direct {
            Some(Address::Given(address)) => Some(address),
            Some(Address::Auto) => Some(SocketAddr::new(own_address()?, 0)),
            None => None,
        };
        let listener = match address {
            Some(address) => Some(Listener::bind(address).await?),
            None if self.proxy.is_some() => Some(Listener::none()),
            None => None,
        };
        let address = listener.as_ref().and_then(Listener::local_addr);
        Ok(Sockets { args: self, listener, address })
    }

    /// Octets of a TLS record: one fills a block where blocks may be what carries it.
    pub(crate) fn record(&self) -> usize {
        if self.direct.is_some() || self.proxy.is_some() { RECORD_MAX } else { RECORD_DEFAULT }
    }
}

impl Sockets<'_> {
    /// Runs the account's connection.
    pub(crate) fn spawn<C: Connection>(&mut self, connection: C, gate: Option<Box<dyn Gate>>) -> Handle {
        match self.listener.take() {
            Some(listener) => Driver::spawn_with_sockets(connection, gate, listener),
            None => Driver::spawn(connection, gate),
        }
    }

    /// What to offer; nothing where nothing is asked for.
    pub(crate) async fn offer(&self, handle: &Handle) -> Result<Option<Socks5>, Failure> {
        let offer = match &self.args.proxy {
            None => Socks5::new(),
            Some(Proxy::Auto) => Socks5::new().with_proxy(find_proxy(handle).await?),
            Some(Proxy::Named(jid)) => Socks5::new().with_proxy(proxy(handle, jid).await?),
        };
        Ok(match self.address {
            Some(address) => Some(offer.with_direct([address])),
            None => self.args.proxy.is_some().then_some(offer),
        })
    }
}

/// The address that this machine uses towards others. Nothing is sent.
fn own_address() -> Result<IpAddr, Failure> {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        // An address for documentation (RFC 5737), which is routed as all others are.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    };
    ask().map(|address| address.ip()).map_err(|error| {
        let what = format!("cannot find the address of this machine: {error}");
        Failure::new(Exit::Local, what, "Name one, for instance --direct=192.0.2.7.")
    })
}
