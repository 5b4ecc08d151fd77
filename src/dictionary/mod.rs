//! What an offline dictionary attack costs: the work of one guess, done as fast as a serious attacker does it.

#[cfg(feature = "srp")]
pub mod fixed_base;
pub mod lanes;
