//! The client's login against servers that a test writes: honest ones, and those that lie, cut their offer or vanish.
#![cfg(all(feature = "client-tls", feature = "scram", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "../common/certificates.rs"]
mod certificates;
mod sasl;
mod sasl2;
mod support;
mod tls;
