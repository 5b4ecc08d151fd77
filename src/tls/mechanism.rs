//! Mechanisms whose messages are TLS flights.

use super::{Tunnel, Verified};
use crate::error::Result;
use crate::mechanism::{Mechanism, Outcome};

/// A [`Mechanism`] that is proven by the TLS handshake itself.
///
/// Its messages are what crosses the transport, in any split: a part of a flight is taken and answered by an empty
/// [`Step::Continue`](crate::mechanism::Step::Continue), which need not be sent. What [`Mechanism::failure_reply`] gives
/// is the alert.
pub trait TlsMechanism: Mechanism {
    /// Hands over the connection that the handshake has authenticated; `outcome` is what its last step gave. Application
    /// data that came along with the last flight wait in the tunnel.
    ///
    /// # Errors
    /// [`rules::NOT_READY`](super::rules::NOT_READY) before the end of the handshake,
    /// [`rules::OTHER_CHANNEL`](super::rules::OTHER_CHANNEL) for the outcome of another one.
    fn into_tunnel(self: Box<Self>, outcome: Outcome) -> Result<Tunnel<Verified>>;
}
