//! The demo server, the client and the driver over loopback TCP.
#![cfg(feature = "demo-server")]

mod attacks;
mod client;
mod e2e;
mod limits;
mod login;
mod routing;
mod support;
