//! End-to-end sessions over XMPP: two of them joined in memory, and one against a peer that a test writes.
#![cfg(all(feature = "xmpp", feature = "scram", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "this is a test")]

mod attacks;
mod chaos;
#[path = "../common/confirmation.rs"]
mod confirmation;
mod endings;
mod faults;
mod guesses;
mod hosts;
mod identities;
mod idle;
#[cfg(all(feature = "openssl", feature = "cpace"))]
mod in_tls;
mod kit;
mod net;
mod offers;
#[cfg(feature = "dictionary")]
mod recordings;
mod robustness;
mod slow;
mod sockets;
mod volume;
mod wire;
