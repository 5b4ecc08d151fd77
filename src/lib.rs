//! Secure channels between two parties who share a password, over XMPP or any byte stream.
//!
//! Everything here is sans-I/O: it takes the peer's octets and gives the answer. Nothing opens a socket or asks a clock,
//! but for the tokio driver and the demo server, which are features of their own. It stores nothing, it keeps no accounts,
//! and it is no XMPP library: any such library can carry its sessions.
//!
//! | module | what it is |
//! |---|---|
//! | [`mechanism`] | the trait of every way to prove a password, and what each promises |
//! | [`registry`] | every mechanism that is compiled in; where servers look records up |
//! | [`sasl`] | choice of a mechanism by a policy with a floor, order of messages |
//! | [`context`], [`binding`] | what an exchange is about, and the channel it is tied to |
//! | [`tls`] | the tunnel: application data passes only once it is verified |
//! | `scram`, `cpace`, `spake2plus`, `opaque`, `srp` | the families, each a feature |
//! | `dictionary` | what offline guessing costs: oracles on transcripts and records, lanes, the cost model |
//! | `records` | stored records as text, in our JSON and in the formats of other programs |
//! | `xmpp` | the end-to-end session over XMPP, a tokio driver, a server for demos |
//! | `vectors` | the runner for files of test vectors |
//!
//! | feature | adds | needs C |
//! |---|---|---|
//! | `scram`, `cpace`, `spake2plus` (default), `opaque`, `srp` | that family | no |
//! | `srp-aws-lc` | SRP's arithmetic on AWS-LC instead of crypto-bigint: about twice as fast | yes |
//! | `dictionary` | what offline guessing costs | no |
//! | `records` | records as text | no |
//! | `aws-lc-rs`, `ring` | the tunnel on rustls with that provider | yes |
//! | `openssl`, `openssl-vendored` | TLS-PSK and TLS-SRP on the system's OpenSSL, or on one built along | yes |
//! | `xmpp` | sans-I/O sessions over stanzas | no |
//! | `tokio` | the driver and a small XMPP client | no |
//! | `client-tls` | the client's login over TLS; `dns` finds its servers by SRV | with a provider |
//! | `demo-server` | the XMPP server for demos and tests, with its attacks | yes |
//! | `vectors` | the vector runner | no |
//!
//! The README has a complete example with both ends in one program. How the parts hang together stands in
//! `docs/design.md`, which attack is stopped where in `docs/attacks.md`.
// The files that may be unsafe, each of which says why at its top: `srp::group::aws_lc` calls AWS-LC, `tls::ffi` OpenSSL;
// `pbkdf2::instructions` and the kernels in `dictionary` call functions that are compiled for processor features. All else is
// safe.
#![cfg_attr(
    not(any(feature = "srp", feature = "openssl", feature = "scram", feature = "dictionary")),
    forbid(unsafe_code)
)]
#![cfg_attr(
    any(feature = "srp", feature = "openssl", feature = "scram", feature = "dictionary"),
    deny(unsafe_code)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod binding;
pub mod context;
#[cfg(feature = "cpace")]
pub mod cpace;
#[cfg(feature = "dictionary")]
pub mod dictionary;
pub mod error;
pub mod guess;
#[cfg(feature = "records")]
mod json;
#[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
pub mod ksf;
pub mod mechanism;
#[cfg(feature = "opaque")]
pub mod opaque;
#[cfg(any(
    feature = "dictionary",
    feature = "opaque",
    feature = "scram",
    feature = "spake2plus",
    feature = "srp"
))]
mod pbkdf2;
pub mod prep;
#[cfg(feature = "records")]
pub mod records;
pub mod registry;
pub mod sasl;
#[cfg(feature = "scram")]
pub mod scram;
pub mod secret;
#[cfg(feature = "spake2plus")]
pub mod spake2plus;
#[cfg(feature = "srp")]
pub mod srp;
pub mod tls;
#[cfg(feature = "vectors")]
pub mod vectors;
#[cfg(any(feature = "cpace", feature = "opaque", feature = "spake2plus", feature = "srp"))]
pub mod wire;
#[cfg(feature = "xmpp")]
pub mod xmpp;

pub use binding::{BindingType, ChannelBinding};
pub use context::Context;
pub use error::{Error, ErrorKind, Result, Rule};
pub use mechanism::{Mechanism, MechanismName, Outcome, Properties, Side, Step};
pub use secret::{Password, SessionKey};

/// The operating system's random generator, as the generator that the constructors here take.
///
/// # Panics
/// Calls panic when the operating system has no randomness to give; no key may be made then.
#[must_use]
pub fn system_rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// The example of the README, as a test.
#[cfg(all(doctest, feature = "aws-lc-rs", feature = "cpace"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
