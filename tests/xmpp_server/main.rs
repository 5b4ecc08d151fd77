//! The demo server, the client and the driver over loopback TCP.
#![cfg(feature = "demo-server")]

mod client;
mod login;
mod limits;
mod routing;
mod support;
