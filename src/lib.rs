//! Channels between two parties who share a password.
// One module may be unsafe, and says why: `srp::group::aws_lc`, the calls into AWS-LC.
#![cfg_attr(not(feature = "srp-aws-lc"), forbid(unsafe_code))]
#![cfg_attr(feature = "srp-aws-lc", deny(unsafe_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod binding;
pub mod context;
#[cfg(feature = "cpace")]
pub mod cpace;
pub mod error;
#[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
pub mod ksf;
pub mod mechanism;
#[cfg(feature = "opaque")]
pub mod opaque;
pub mod prep;
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
