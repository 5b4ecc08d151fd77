//! The demo server, the client and the driver over loopback TCP.
#![cfg(feature = "demo-server")]

mod client;
mod limits;
mod login;
mod routing;
mod support;
