//! End-to-end channels over XMPP stanzas, sans-I/O: stanzas in, stanzas out, no socket and no clock.
//!
//! [`Session`] is one channel between two full JIDs; [`Host`] holds the sessions of one XMPP connection. Any XMPP
//! library can drive them: feed what arrives, send what is polled, call `tick` at `next_timeout`.
//!
//! ```text
//!  initiator (TLS client, SASL client)                     responder (TLS server, SASL server)
//!    iq get    disco#info                         ------>
//!                                                 <------   features
//!    iq set    session-initiate + <security/>     ------>
//!                                                 <------   iq set session-accept + <security/>
//!    iq set    IBB <open/>                        ------>
//!    ============ TLS 1.3 records, base64 in IBB <data/>, each acknowledged ============
//!    <stream:stream from= to=>, <authenticate/>     ------>
//!                                                 <------   <stream:stream id=>, <stream:features> mechanisms
//!                                                 <------   <challenge/>
//!    <response/> …                                ------>   bound to tls-exporter, over both <security/> elements
//!                                                 <------   <success/>, <stream:features/>
//!    ------------ both sides are verified: from here on stanzas may pass, and octets ------------
//!    <message/>, <iq/>, <presence/>               <----->
//!    </stream:stream>, then close_notify          <----->
//!    ===================================================================================
//!    iq set    IBB <close/>                       ------>
//!    iq set    session-terminate <success/>       ------>
//! ```
//!
//! The application's loop, whatever its XMPP library is:
//!
//! ```
//! # use std::time::Instant;
//! # use countersign::xmpp::{Element, Host, HostEvent, Event};
//! # fn next(host: &mut Host, arrived: Option<Element>, send: &mut impl FnMut(Element)) {
//! if let Some(stanza) = arrived {
//!     host.handle(&stanza, Instant::now()); // false: not ours, a chat message perhaps
//! }
//! host.tick(Instant::now()); // at the latest at host.next_timeout()
//! while let Some(event) = host.poll_event() {
//!     if let HostEvent::Session(id, Event::Bytes(octets)) = event
//!         && let Some(session) = host.session_mut(id)
//!     {
//!         // An echo. What was not taken has to be sent later.
//!         let taken = session.send_bytes(&octets).unwrap_or(0);
//! #       let _ = taken;
//!     }
//! }
//! while let Some(stanza) = host.poll_stanza() {
//!     send(stanza);
//! }
//! # }
//! ```
//!
//! # Security
//! Everything outside the TLS records can be read and edited by the servers. Disco answers and fingerprints
//! are hints; both `<security/>` elements enter the authentication as octets ([`jingle::Security::canonical`]),
//! so an edit ends in a failed authentication. One tunnel carries one authentication: after a failure the tunnel
//! is dead, and there is no way back to anything unsecured.

use std::time::Duration;

mod attribute;
#[cfg(feature = "tokio")]
pub mod client;
pub mod disco;
#[cfg(feature = "tokio")]
pub mod driver;
pub mod file;
mod host;
pub mod ibb;
mod iq;
pub mod jingle;
pub mod ns;
mod profile;
pub mod s5b;
pub mod sasl;
pub mod sasl2;
#[cfg(feature = "demo-server")]
pub mod server;
pub mod session;
pub mod socks5;
pub mod stream;
mod window;
#[cfg(feature = "tokio")]
mod wire;
mod xml;

pub use host::{Acceptance, Gate, Host, HostEvent, SESSIONS_MAX, SessionId};
pub use jid::{BareJid, Error as JidError, FullJid, Jid};
pub use minidom::Element;
pub use profile::Profile;
pub use session::{Established, Event, InitiatorConfig, ResponderConfig, Session, Statistics};

/// Most octets of one stanza, or of one stream header.
pub const STANZA_MAX: usize = 256 * 1024;

/// Most levels of elements inside each other, the stream's root not counted.
pub const XML_DEPTH_MAX: usize = 64;

/// Octets in one IBB block before base64 (XEP-0047 recommends this number).
pub const IBB_BLOCK: u16 = 4096;

/// Blocks sent and not yet acknowledged, at most: fewer where the servers are slow.
pub const IBB_WINDOW: usize = 8;

/// Octets that wait for the application before the peer's blocks are no longer acknowledged.
pub const UNREAD_MAX: usize = 1024 * 1024;

/// Octets that wait to be sent.
pub const SEND_BUFFER_MAX: usize = 1024 * 1024;

/// From the first stanza to the verified tunnel.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// For the answer to one request.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which an established peer is asked whether it is still there.
pub const KEEPALIVE: Duration = Duration::from_secs(60);

/// Octets sent under one key before it is updated.
pub const REKEY_OCTETS: u64 = 1 << 30;

/// Age of a key before it is updated.
pub const REKEY_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Octets at once that are a part of more: their buffer is used again, since memory that comes and goes so often costs more
/// than what it is used for. After fewer it is given back.
pub(crate) const BULK: usize = 16 * 1024;

/// The limits of one session. Each starts at the constant of its name; [`Limits::with_idle`] sets one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) stanza: usize,
    pub(crate) depth: usize,
    pub(crate) block: u16,
    pub(crate) window: usize,
    pub(crate) unread: usize,
    pub(crate) send_buffer: usize,
    pub(crate) handshake: Duration,
    pub(crate) reply: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) rekey_octets: u64,
    pub(crate) rekey_interval: Duration,
    pub(crate) idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza: STANZA_MAX,
            depth: XML_DEPTH_MAX,
            block: IBB_BLOCK,
            window: IBB_WINDOW,
            unread: UNREAD_MAX,
            send_buffer: SEND_BUFFER_MAX,
            handshake: HANDSHAKE_TIMEOUT,
            reply: REPLY_TIMEOUT,
            keepalive: KEEPALIVE,
            rekey_octets: REKEY_OCTETS,
            rekey_interval: REKEY_INTERVAL,
            idle: None,
        }
    }
}

impl Limits {
    /// Sets the longest stanza, in octets.
    #[must_use]
    pub fn with_stanza(mut self, octets: usize) -> Self {
        self.stanza = octets;
        self
    }

    /// Sets the deepest nesting of elements.
    #[must_use]
    pub fn with_depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// Sets the IBB block, in octets before base64, within [`ibb::BLOCK_MIN`] and [`ibb::BLOCK_MAX`].
    #[must_use]
    pub fn with_block(mut self, octets: u16) -> Self {
        self.block = octets.clamp(ibb::BLOCK_MIN, ibb::BLOCK_MAX);
        self
    }

    /// Sets how many blocks may be on the way at most. The number in use starts at 2 and follows the measured round trip, so that
    /// none waits longer in a slow server than a third of the time for one answer.
    #[must_use]
    pub fn with_window(mut self, blocks: usize) -> Self {
        self.window = blocks;
        self
    }

    /// Sets how many octets may wait for the application.
    #[must_use]
    pub fn with_unread(mut self, octets: usize) -> Self {
        self.unread = octets;
        self
    }

    /// Sets how many octets may wait to be sent.
    #[must_use]
    pub fn with_send_buffer(mut self, octets: usize) -> Self {
        self.send_buffer = octets;
        self
    }

    /// Sets the time until the tunnel must be verified.
    #[must_use]
    pub fn with_handshake(mut self, time: Duration) -> Self {
        self.handshake = time;
        self
    }

    /// Sets the time for one answer.
    #[must_use]
    pub fn with_reply(mut self, time: Duration) -> Self {
        self.reply = time;
        self
    }

    /// Sets after which silence an established peer is asked whether it is still there.
    #[must_use]
    pub fn with_keepalive(mut self, time: Duration) -> Self {
        self.keepalive = time;
        self
    }

    /// Sets after how many octets sent, and after which time, keys are updated.
    #[must_use]
    pub fn with_rekey(mut self, octets: u64, interval: Duration) -> Self {
        self.rekey_octets = octets;
        self.rekey_interval = interval;
        self
    }

    /// Closes an established session when neither application has sent anything for so long, however healthy it is: the answers
    /// to our own questions, and new keys, do not count. It ends as if the application had closed it. Use is noticed when the time
    /// is up, so that up to twice the time may pass. Without this a session may rest for ever, as those over XMPP do.
    #[must_use]
    pub fn with_idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_stays_within_its_borders() {
        for (asked, given) in [
            (0, ibb::BLOCK_MIN),
            (ibb::BLOCK_MIN, ibb::BLOCK_MIN),
            (ibb::BLOCK_MAX, ibb::BLOCK_MAX),
            (ibb::BLOCK_MAX + 1, ibb::BLOCK_MAX),
        ] {
            assert_eq!(Limits::default().with_block(asked).block, given);
        }
    }

    #[test]
    fn defaults_are_the_constants() {
        let limits = Limits::default();
        assert_eq!((limits.stanza, limits.depth, limits.window), (STANZA_MAX, XML_DEPTH_MAX, IBB_WINDOW));
        assert_eq!(
            (limits.unread, limits.send_buffer, limits.block),
            (UNREAD_MAX, SEND_BUFFER_MAX, IBB_BLOCK)
        );
        assert_eq!((limits.handshake, limits.reply), (HANDSHAKE_TIMEOUT, REPLY_TIMEOUT));
        assert_eq!((limits.keepalive, limits.rekey_interval), (KEEPALIVE, REKEY_INTERVAL));
        assert_eq!((limits.rekey_octets, limits.idle), (REKEY_OCTETS, None));
    }
}
