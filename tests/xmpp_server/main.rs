//! The demo server, the client and the driver over loopback TCP.
#![cfg(feature = "demo-server")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod attacks;
mod client;
#[path = "../common/confirmation.rs"]
mod confirmation;
mod e2e;
#[cfg(feature = "openssl")]
mod in_tls;
mod limits;
mod login;
mod proxy;
mod routing;
mod sockets;
mod support;
