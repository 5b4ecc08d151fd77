//! What the tests at XMPP servers share: certificates, the servers, and accounts with a tunnel between them.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub(crate) mod certificates;
pub(crate) mod servers;
pub(crate) mod tunnels;
