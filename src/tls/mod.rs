//! The TLS channel, sans-I/O: ciphertext in, ciphertext out.
//!
//! [`Endpoint`] is what a TLS implementation provides. [`Handshake`], [`Tunnel<Unverified>`] and
//! [`Tunnel<Verified>`] are the states that an application sees: application data can pass only in the last,
//! and the only way there consumes an [`Outcome`] that proves *this* channel.

use std::fmt;

use crate::binding::{ChannelBinding, EXPORTER_LABEL, EXPORTER_LEN};
use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::{MechanismName, Outcome, Side};

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub mod certificate;
mod deferred;
#[cfg(any(feature = "dictionary", feature = "vectors"))]
pub mod exporter;
#[cfg(feature = "openssl")]
mod ffi;
mod fingerprint;
#[cfg(any(feature = "dictionary", feature = "vectors"))]
#[cfg_attr(not(feature = "vectors"), allow(dead_code, reason = "the vectors check all of it"))]
pub(crate) mod key_schedule;
mod mechanism;
#[cfg(feature = "openssl")]
pub mod openssl;
#[cfg(feature = "openssl")]
pub mod psk;
#[cfg(feature = "openssl")]
pub mod srp;

pub use deferred::Deferred;
pub use fingerprint::Fingerprint;
pub use mechanism::TlsMechanism;

/// Most octets that may cross an unverified tunnel in each direction: stream headers, features and SASL.
pub const AUTHENTICATION_MAX: usize = 512 * 1024;

/// Most decrypted octets kept for an application that does not read.
pub const UNREAD_MAX: usize = 1024 * 1024;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The TLS implementation refused what the peer sent.
    pub static HANDSHAKE: Rule = Rule {
        id: "tls-protocol",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 8446",
        what: "the TLS connection failed",
        advice: "Try again; if it fails every time, somebody between the two ends may be editing the data.",
    };
    /// The peer sent a fatal alert.
    pub static ALERT: Rule = Rule {
        id: "tls-alert",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 8446 section 6.2",
        what: "the peer ended the TLS connection with an alert",
        advice: "Look at the peer's log: the alert's name says what it did not accept.",
    };
    /// The transport ended without close_notify.
    pub static TRUNCATED: Rule = Rule {
        id: "tls-truncated",
        kind: ErrorKind::Truncated,
        source: "RFC 8446 section 6.1",
        what: "the connection ended without close_notify: data may be missing",
        advice: "Treat what came as incomplete and transfer it again.",
    };
    /// Too much passed before an authentication.
    pub static TOO_MUCH_UNVERIFIED: Rule = Rule {
        id: "tls-too-much-unverified",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "too many octets crossed the tunnel before an authentication succeeded",
        advice: "Only the authentication exchange may pass here; finish it first.",
    };
    /// The application does not read.
    pub static TOO_MUCH_UNREAD: Rule = Rule {
        id: "tls-too-much-unread",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "too many decrypted octets wait to be read",
        advice: "Read what has arrived before feeding more.",
    };
    /// The outcome belongs to another channel, or to none.
    pub static OTHER_CHANNEL: Rule = Rule {
        id: "tls-other-channel",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 9266, RFC 5056 section 2.1",
        what: "the authentication was not bound to this TLS channel",
        advice: "Use a mechanism that takes a channel binding (a -PLUS name).",
    };
    /// Sending after close.
    pub static CLOSED: Rule = Rule {
        id: "tls-closed",
        kind: ErrorKind::Misuse,
        source: "RFC 8446 section 6.1",
        what: "this side of the connection has been closed",
        advice: "Open a new tunnel.",
    };
    /// Export or rekey before the handshake is done, or a broken provider.
    pub static NOT_READY: Rule = Rule {
        id: "tls-not-ready",
        kind: ErrorKind::Misuse,
        source: "RFC 8446 section 7.5",
        what: "the TLS handshake has not finished",
        advice: "Wait for the handshake.",
    };
    /// An exporter label that is taken.
    pub static RESERVED_LABEL: Rule = Rule {
        id: "tls-reserved-label",
        kind: ErrorKind::Misuse,
        source: "RFC 9266 section 4",
        what: "this exporter label gives the channel binding and nothing else",
        advice: "Choose a label of your own, EXPERIMENTAL-… unless it is registered.",
    };
    /// The handshake ended on a proof of the peer's that was wrong.
    pub static NOT_PROVEN: Rule = Rule {
        id: "tls-not-proven",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 8446 sections 4.2.11 and 4.4.4, RFC 5054 section 2.5",
        what: "the peer did not prove the key or password in the TLS handshake",
        advice: "Compare identity and secret on both sides; if they are the same, somebody stands in between.",
    };
    /// The peer ended the handshake with an alert that means, among other things, that our proof was not right.
    pub static NOT_ACCEPTED: Rule = Rule {
        id: "tls-not-accepted",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 8446 section 6.2, RFC 4279 section 2, RFC 5054 section 2.9",
        what: "the peer refused our TLS handshake",
        advice: "Compare identity and secret, then versions and cipher suites, on both sides.",
    };
    /// TLS 1.2 without the extension that ties the keys to the whole handshake.
    pub static NO_EXTENDED_MASTER_SECRET: Rule = Rule {
        id: "tls-no-extended-master-secret",
        kind: ErrorKind::PeerIncompatible,
        source: "RFC 7627, RFC 9266 section 4.2",
        what: "the peer speaks TLS 1.2 without extended master secret",
        advice: "Update the peer's TLS library, or use TLS 1.3.",
    };
    /// TLS 1.2 has no way to new keys here.
    pub static NO_KEY_UPDATE: Rule = Rule {
        id: "tls-no-key-update",
        kind: ErrorKind::PolicyRefused,
        source: "RFC 8446 section 4.6.3",
        what: "TLS 1.2 has no key update, and we do not renegotiate",
        advice: "Open a new tunnel, or use TLS 1.3.",
    };
    /// A record size no TLS record can have.
    pub static RECORD_SIZE: Rule = Rule {
        id: "tls-record-size",
        kind: ErrorKind::Misuse,
        source: "RFC 8446 section 5.2",
        what: "the record size is out of range",
        advice: "Choose 64 to 16406 octets; 4096 suits in-band bytestreams.",
    };
    /// Not a certificate fingerprint.
    pub static BAD_FINGERPRINT: Rule = Rule {
        id: "tls-bad-fingerprint",
        kind: ErrorKind::Misuse,
        source: "countersign",
        what: "not a fingerprint: 64 hex digits, or 32 pairs with colons between them",
        advice: "Copy the whole SHA-256 fingerprint from the other side.",
    };
    /// A key or certificate could not be made.
    pub static SETUP: Rule = Rule {
        id: "tls-setup",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "the TLS endpoint could not be set up",
        advice: "Report this with the text; it should not happen.",
    };
}

/// What a TLS implementation provides: one end of one connection, without I/O.
pub trait Endpoint: Send {
    /// Our side: the initiator of a session is the TLS client.
    fn side(&self) -> Side;

    /// Takes ciphertext from the peer; all of it, any split.
    ///
    /// # Errors
    /// [`rules::HANDSHAKE`], [`rules::ALERT`], [`rules::TOO_MUCH_UNREAD`]; afterwards [`Endpoint::transmit`] may
    /// still hold an alert for the peer.
    fn receive(&mut self, ciphertext: &[u8]) -> Result<()>;

    /// Appends the ciphertext that waits to be sent.
    fn transmit(&mut self, out: &mut Vec<u8>);

    /// Whether the handshake is still going on.
    fn is_handshaking(&self) -> bool;

    /// Appends all decrypted plaintext that has arrived.
    fn read(&mut self, out: &mut Vec<u8>);

    /// Encrypts plaintext; collect the ciphertext with [`Endpoint::transmit`].
    ///
    /// # Errors
    /// [`rules::NOT_READY`] before the handshake is done, [`rules::CLOSED`] after [`Endpoint::close`].
    fn write(&mut self, plaintext: &[u8]) -> Result<()>;

    /// The exporter of RFC 8446 section 7.5.
    ///
    /// # Errors
    /// [`rules::NOT_READY`] before the handshake is done.
    fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<()>;

    /// Updates our sending keys and asks the peer to update its own (KeyUpdate, RFC 8446 section 4.6.3).
    ///
    /// # Errors
    /// [`rules::NOT_READY`] before the handshake is done, [`rules::CLOSED`] after [`Endpoint::close`].
    fn rekey(&mut self) -> Result<()>;

    /// Queues close_notify: nothing more will be written.
    fn close(&mut self);

    /// Whether the peer's close_notify has arrived.
    fn peer_has_closed(&self) -> bool;

    /// Name and parameters of what was negotiated, once the handshake is done.
    fn negotiated(&self) -> Option<Negotiated>;

    /// Our own certificate, DER, where one is used.
    fn certificate(&self) -> Option<&[u8]> {
        None
    }

    /// The peer's end-entity certificate, DER, where one was sent.
    fn peer_certificate(&self) -> Option<&[u8]> {
        None
    }
}

/// Appends what has not been read. Who has nothing yet gets it without a copy, and leaves an empty buffer for what may come.
#[cfg(any(feature = "aws-lc-rs", feature = "ring", feature = "openssl"))]
fn hand_over(unread: &mut Vec<u8>, out: &mut Vec<u8>) {
    if out.is_empty() {
        std::mem::swap(unread, out);
    } else {
        out.extend_from_slice(&std::mem::take(unread));
    }
}

/// What the two ends agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// `TLSv1.3` …
    pub version: String,
    /// `TLS_AES_128_GCM_SHA256` …
    pub cipher_suite: String,
    /// `X25519MLKEM768`, `X25519` …
    pub group: String,
}

impl Negotiated {
    /// Puts the three names together.
    #[must_use]
    pub fn new(
        version: impl Into<String>,
        cipher_suite: impl Into<String>,
        group: impl Into<String>,
    ) -> Self {
        Self { version: version.into(), cipher_suite: cipher_suite.into(), group: group.into() }
    }
}

/// A connection whose handshake goes on.
pub struct Handshake {
    endpoint: Box<dyn Endpoint>,
}

impl Handshake {
    /// Starts with a fresh endpoint.
    #[must_use]
    pub fn new(endpoint: Box<dyn Endpoint>) -> Self {
        Self { endpoint }
    }

    /// Takes ciphertext from the peer.
    ///
    /// # Errors
    /// As [`Endpoint::receive`].
    pub fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        self.endpoint.receive(ciphertext)
    }

    /// Appends the ciphertext that waits to be sent.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.endpoint.transmit(out);
    }

    /// Our side.
    #[must_use]
    pub fn side(&self) -> Side {
        self.endpoint.side()
    }

    /// Whether [`Handshake::finish`] will succeed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.endpoint.is_handshaking()
    }

    /// The tunnel, up but believed by nobody.
    ///
    /// # Errors
    /// [`rules::NOT_READY`] while [`Handshake::is_done`] is false.
    pub fn finish(self) -> Result<Tunnel<Unverified>> {
        if !self.is_done() {
            return Err(Error::new(&rules::NOT_READY));
        }
        let mut value = [0; EXPORTER_LEN];
        self.endpoint.export(EXPORTER_LABEL, &[], &mut value)?;
        Ok(Tunnel {
            endpoint: self.endpoint,
            binding: ChannelBinding::tls_exporter(value),
            state: Unverified { sent: 0, received: 0 },
        })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake({:?}, done: {})", self.endpoint.side(), self.is_done())
    }
}

/// The channel is up and nothing has been checked: only an authentication exchange may cross.
#[derive(Debug)]
pub struct Unverified {
    sent: usize,
    received: usize,
}

/// An authentication bound to this channel has succeeded.
#[derive(Debug)]
pub struct Verified {
    outcome: Outcome,
}

/// A TLS connection after its handshake; the state says whether the other end is known.
///
/// Application data has no way into an unverified tunnel:
///
/// ```compile_fail,E0599
/// # use countersign::tls::{Tunnel, Unverified};
/// fn too_early(tunnel: &mut Tunnel<Unverified>) {
///     tunnel.write(b"hello").unwrap();
/// }
/// ```
///
/// and the authentication is over once it has succeeded:
///
/// ```compile_fail,E0599
/// # use countersign::tls::{Tunnel, Verified};
/// fn too_late(tunnel: &mut Tunnel<Verified>) {
///     tunnel.send_authentication(b"hello").unwrap();
/// }
/// ```
pub struct Tunnel<State> {
    endpoint: Box<dyn Endpoint>,
    binding: ChannelBinding,
    state: State,
}

impl<State> Tunnel<State> {
    /// The `tls-exporter` value of this connection (RFC 9266).
    #[must_use]
    pub fn binding(&self) -> &ChannelBinding {
        &self.binding
    }

    /// Derives a value for another purpose under a label of your own.
    ///
    /// # Errors
    /// [`rules::RESERVED_LABEL`] for the channel binding's own label; [`rules::NOT_READY`] when the implementation
    /// cannot give as much as `out` holds.
    pub fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<()> {
        if label == EXPORTER_LABEL {
            return Err(Error::new(&rules::RESERVED_LABEL));
        }
        self.endpoint.export(label, context, out)
    }

    /// Our side.
    #[must_use]
    pub fn side(&self) -> Side {
        self.endpoint.side()
    }

    /// What the two ends agreed on.
    #[must_use]
    pub fn negotiated(&self) -> Option<Negotiated> {
        self.endpoint.negotiated()
    }

    /// The fingerprint of our own certificate, where one is used.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.endpoint.certificate().map(Fingerprint::of)
    }

    /// The fingerprint of the certificate whose key the peer holds, where one was sent. It says who the peer is only
    /// when compared with one that is known.
    #[must_use]
    pub fn peer_fingerprint(&self) -> Option<Fingerprint> {
        self.endpoint.peer_certificate().map(Fingerprint::of)
    }

    /// Takes ciphertext from the peer.
    ///
    /// # Errors
    /// As [`Endpoint::receive`].
    pub fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        self.endpoint.receive(ciphertext)
    }

    /// Appends the ciphertext that waits to be sent.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        self.endpoint.transmit(out);
    }

    /// Queues close_notify.
    pub fn close(&mut self) {
        self.endpoint.close();
    }

    /// Whether the peer's close_notify has arrived.
    #[must_use]
    pub fn peer_has_closed(&self) -> bool {
        self.endpoint.peer_has_closed()
    }

    /// To be called when the transport has ended.
    ///
    /// # Errors
    /// [`rules::TRUNCATED`] unless the peer had closed properly.
    pub fn transport_ended(&self) -> Result<()> {
        if self.peer_has_closed() { Ok(()) } else { Err(Error::new(&rules::TRUNCATED)) }
    }
}

impl Tunnel<Unverified> {
    /// Sends octets of the authentication exchange, and of nothing else.
    ///
    /// # Errors
    /// [`rules::TOO_MUCH_UNVERIFIED`], [`rules::CLOSED`].
    pub fn send_authentication(&mut self, octets: &[u8]) -> Result<()> {
        count(&mut self.state.sent, octets.len())?;
        self.endpoint.write(octets)
    }

    /// Appends what arrived of the authentication exchange. What the peer sent behind it comes along: keep the
    /// rest and treat it as data of the tunnel only once [`Tunnel::verify`] has succeeded.
    ///
    /// # Errors
    /// [`rules::TOO_MUCH_UNVERIFIED`].
    pub fn receive_authentication(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        self.endpoint.read(out);
        count(&mut self.state.received, out.len() - before).inspect_err(|_| out.truncate(before))
    }

    /// Turns into a tunnel for application data.
    ///
    /// # Errors
    /// [`rules::OTHER_CHANNEL`] when the outcome is not bound to this very connection, or is the other side's.
    /// The tunnel is gone then: RFC 9266 allows one authentication for each connection.
    pub fn verify(self, outcome: Outcome) -> Result<Tunnel<Verified>> {
        let bound = outcome.binding().is_some_and(|binding| binding.same_channel(&self.binding));
        if !bound || outcome.side() != self.endpoint.side() {
            return Err(Error::new(&rules::OTHER_CHANNEL).about(outcome.mechanism().as_str()));
        }
        Ok(Tunnel { endpoint: self.endpoint, binding: self.binding, state: Verified { outcome } })
    }
}

/// Counts before it checks, so that who goes on after the error gets it again.
fn count(total: &mut usize, more: usize) -> Result<()> {
    *total = total.saturating_add(more);
    if *total > AUTHENTICATION_MAX {
        return Err(Error::exceeds(&rules::TOO_MUCH_UNVERIFIED, *total as u64, AUTHENTICATION_MAX as u64));
    }
    Ok(())
}

impl Tunnel<Verified> {
    /// Sends application data.
    ///
    /// # Errors
    /// [`rules::CLOSED`].
    pub fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        self.endpoint.write(plaintext)
    }

    /// Appends the application data that has arrived.
    pub fn read(&mut self, out: &mut Vec<u8>) {
        self.endpoint.read(out);
    }

    /// Updates the keys of both directions (RFC 8446 section 4.6.3). Does not change the channel binding, and does
    /// not heal a leaked key: for that open a new tunnel.
    ///
    /// # Errors
    /// [`rules::CLOSED`]; [`rules::NOT_READY`].
    pub fn rekey(&mut self) -> Result<()> {
        self.endpoint.rekey()
    }

    /// The authentication that opened this tunnel.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.state.outcome
    }

    /// The mechanism that opened this tunnel.
    #[must_use]
    pub fn mechanism(&self) -> &MechanismName {
        self.state.outcome.mechanism()
    }
}

impl<State: fmt::Debug> fmt::Debug for Tunnel<State> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnel({:?}, {:?})", self.endpoint.side(), self.state)
    }
}

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod tests {
    use super::certificate::{Config, Identity, RustlsEndpoint};
    use super::*;
    use crate::secret;

    fn tunnels() -> (Tunnel<Unverified>, Tunnel<Unverified>) {
        let config = Config::new(Identity::generate().unwrap()).unwrap();
        let mut client = Handshake::new(Box::new(RustlsEndpoint::client(&config).unwrap()));
        let mut server = Handshake::new(Box::new(RustlsEndpoint::server(&config).unwrap()));
        while !(client.is_done() && server.is_done()) {
            let mut flight = Vec::new();
            client.transmit(&mut flight);
            server.receive(&flight).unwrap();
            flight.clear();
            server.transmit(&mut flight);
            client.receive(&flight).unwrap();
        }
        (client.finish().unwrap(), server.finish().unwrap())
    }

    fn outcome(side: Side, binding: Option<ChannelBinding>) -> Outcome {
        let proof = secret::verify(b"proof", b"proof").unwrap();
        Outcome::new(proof, MechanismName::from_static("TEST-PLUS"), side, "alice", binding)
    }

    fn refused(tunnel: Tunnel<Unverified>, outcome: Outcome) {
        let error = tunnel.verify(outcome).unwrap_err();
        assert!(error.is(&rules::OTHER_CHANNEL));
        assert_eq!(error.subject(), Some("TEST-PLUS"));
    }

    #[test]
    fn what_is_unread_follows_what_is_there_and_is_gone() {
        let (mut unread, mut out) = (b"one".to_vec(), Vec::with_capacity(64));
        hand_over(&mut unread, &mut out);
        assert_eq!((&out[..], unread.len(), unread.capacity()), (&b"one"[..], 0, 64));
        unread.extend_from_slice(b" two");
        hand_over(&mut unread, &mut out);
        assert_eq!((&out[..], unread.capacity()), (&b"one two"[..], 0));
    }

    #[test]
    fn an_outcome_of_another_channel_is_refused() {
        let (client, _) = tunnels();
        let (other, _) = tunnels();
        refused(client, outcome(Side::Client, Some(other.binding().clone())));
    }

    #[test]
    fn an_outcome_without_binding_is_refused() {
        let (client, _) = tunnels();
        refused(client, outcome(Side::Client, None));
    }

    #[test]
    fn an_outcome_bound_to_the_certificate_is_refused() {
        let (client, _) = tunnels();
        let binding = ChannelBinding::tls_server_end_point(client.binding().data()).unwrap();
        refused(client, outcome(Side::Client, Some(binding)));
    }

    #[test]
    fn an_outcome_of_the_other_side_is_refused() {
        let (client, server) = tunnels();
        refused(client, outcome(Side::Server, Some(server.binding().clone())));
    }

    #[test]
    fn verified_tunnels_carry_data_and_rekey() {
        let (client, server) = tunnels();
        let of = |side| outcome(side, Some(client.binding().clone()));
        let (ours, theirs) = (of(Side::Client), of(Side::Server));
        let (mut client, mut server) = (client.verify(ours).unwrap(), server.verify(theirs).unwrap());
        assert_eq!(server.outcome().authcid(), "alice");
        assert_eq!(server.mechanism().as_str(), "TEST-PLUS");
        for text in [&b"before"[..], b"after"] {
            client.write(text).unwrap();
            let mut flight = Vec::new();
            client.transmit(&mut flight);
            server.receive(&flight).unwrap();
            let mut arrived = Vec::new();
            server.read(&mut arrived);
            assert_eq!(arrived, text);
            client.rekey().unwrap();
        }
    }
}
