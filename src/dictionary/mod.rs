//! What an offline dictionary attack costs: the work of one guess, done as fast as a serious attacker does it.
//!
//! An attacker holds one of three things: what a listener heard, what an impostor was told, or a stolen record. From
//! each of them [`exposure_of_transcript`] and [`exposure_of_record`] make what it is worth to him: an [`Oracle`] that
//! tests passwords without talking to anybody, the secret itself, or nothing, with the reason.
//!
//! Transcripts come from a [`Recorder`] around the library's own exchanges, or from captured TLS records. How fast an
//! oracle is must be measured; [`cost`] turns a rate into times and money.
//!
//! ```
//! use countersign::dictionary::{Exposure, exposure_of_record};
//! use countersign::prep::Preparation;
//! use countersign::registry::Credential;
//!
//! # fn main() -> countersign::Result<()> {
//! // A line of PostgreSQL's pg_authid.
//! let line = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
//!             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
//! let record = Credential::Scram(line.parse()?);
//! let Exposure::Guesses(oracle) = exposure_of_record(&record, "user", Preparation::SaslPrep)? else { panic!() };
//! assert_eq!(oracle.work().to_string(), "8198 SHA-256 compressions");
//! let found = oracle.try_passwords(&[b"123456", b"pencil"])?;
//! assert_eq!(found.map(|found| found.index()), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//! Meant for auditing one's own transcripts and records. A password that an oracle finds is a success value: nobody can
//! make a [`Found`] without the comparison that justifies it.

#[cfg_attr(
    not(all(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp")),
    allow(dead_code, reason = "parts for the mechanisms of other features")
)]
mod batch;
pub mod capture;
pub mod cost;
mod exchange;
pub mod export;
#[cfg(feature = "srp")]
pub mod fixed_base;
pub mod lanes;
#[cfg(feature = "opaque")]
mod opaque;
mod recorder;
pub mod rules;
#[cfg(feature = "scram")]
mod scram;
#[cfg(feature = "spake2plus")]
mod spake2plus;
#[cfg(feature = "srp")]
mod srp;
#[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
mod stretch;
mod tls12;
mod tls13;
#[cfg_attr(
    not(all(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp")),
    allow(dead_code, reason = "parts for the mechanisms of other features")
)]
mod transcript;
#[cfg_attr(
    not(all(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp")),
    allow(dead_code, reason = "parts for the mechanisms of other features")
)]
mod work;

#[cfg(test)]
mod tests;

use std::fmt;

pub use exchange::exposure_of_transcript;
pub use recorder::{RECORDINGS_MAX, Recorder};
pub use transcript::{FILE_MAX, MESSAGES_MAX, Transcript, View};
pub use work::{GuessWork, Unit};

use crate::error::{Error, Result};
use crate::prep::Preparation;
use crate::registry::Credential;
use crate::secret::{self, ProofVerified};

/// What the attacker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Situation {
    /// What crossed the carrying channel.
    Listener,
    /// What an honest side told him in a run in which he posed as the other.
    Impostor,
    /// The stored record.
    Thief,
}

impl Situation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Listener, Self::Impostor, Self::Thief];

    /// A word for it: `listener`, `impostor`, `thief`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Impostor => "impostor",
            Self::Thief => "thief",
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What something is worth to an attacker who does not want to talk to anybody.
#[non_exhaustive]
pub enum Exposure {
    /// It tests passwords.
    Guesses(Box<dyn Oracle>),
    /// It is the secret, or as good.
    Immediate(Verdict),
    /// It tests nothing; each guess needs a run with an honest side.
    NothingOffline(Verdict),
}

impl fmt::Debug for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guesses(oracle) => {
                write!(f, "Guesses({}, {}, {})", oracle.mechanism(), oracle.situation(), oracle.work())
            }
            Self::Immediate(verdict) => write!(f, "Immediate({verdict:?})"),
            Self::NothingOffline(verdict) => write!(f, "NothingOffline({verdict:?})"),
        }
    }
}

/// Why there is nothing to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The mechanism.
    pub mechanism: String,
    /// What the attacker holds.
    pub situation: Situation,
    /// The reason, as one sentence.
    pub reason: &'static str,
}

impl Verdict {
    fn new(mechanism: impl Into<String>, situation: Situation, reason: &'static str) -> Self {
        Self { mechanism: mechanism.into(), situation, reason }
    }
}

/// Tests passwords against one transcript or record, without talking to anybody.
///
/// Each is the fastest honest test there is: tables are shared, hashes run in lanes, and of several values that could be
/// compared the one with the least work is. Calls from many threads may run at the same time.
pub trait Oracle: Send + Sync {
    /// The mechanism that the transcript or record belongs to.
    fn mechanism(&self) -> &str;

    /// What the attacker holds.
    fn situation(&self) -> Situation;

    /// What is compared, as one clause.
    fn test(&self) -> &'static str;

    /// The work of one guess.
    fn work(&self) -> GuessWork;

    /// How many candidates one call should be given: fewer leave lanes idle, more gain nothing.
    fn batch(&self) -> usize;

    /// The first of these passwords that is the right one. Those that the mechanism's preparation refuses are nobody's
    /// password and are passed over.
    ///
    /// # Errors
    /// When the test cannot be run at all: no memory for the password hash.
    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>>;
}

/// The right password was among the candidates.
///
/// It exists only after the comparison of the whole value that the transcript or record holds.
#[derive(Debug)]
pub struct Found {
    index: usize,
    _proof: ProofVerified,
}

impl Found {
    /// Its place among the candidates.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The first of the computed values that is the expected one.
    fn among<T: AsRef<[u8]>>(computed: &[T], expected: &[u8]) -> Option<Self> {
        // All but one of 2^64 wrong values fail at this look, which costs less than the comparison in constant time.
        let start = &expected[..expected.len().min(8)];
        computed.iter().enumerate().find_map(|(index, value)| {
            let value = value.as_ref().get(..expected.len())?;
            Self::at(index, value.starts_with(start).then_some(value)?, expected)
        })
    }

    fn at(index: usize, computed: &[u8], expected: &[u8]) -> Option<Self> {
        Some(Self { index, _proof: secret::verify(expected, computed)? })
    }

    fn moved_to(self, index: usize) -> Self {
        Self { index, ..self }
    }
}

/// What a stolen record is worth.
///
/// `authcid` is the user's name as the record was made for; SRP, SPAKE2+ and OPAQUE hash it. `preparation` is how
/// the users' passwords are prepared.
///
/// # Errors
/// What the name's preparation refuses; [`rules::NOT_IN_THIS_BUILD`].
pub fn exposure_of_record(record: &Credential, authcid: &str, preparation: Preparation) -> Result<Exposure> {
    #[cfg(not(any(feature = "opaque", feature = "spake2plus", feature = "srp")))]
    let _ = authcid;
    #[cfg(not(any(feature = "opaque", feature = "scram", feature = "spake2plus", feature = "srp")))]
    let _ = preparation;
    match record {
        Credential::Password(_) => Ok(Exposure::Immediate(Verdict::new(
            "CPace",
            Situation::Thief,
            "A balanced PAKE's both sides hold the password itself, so its record is the password.",
        ))),
        #[cfg(feature = "scram")]
        Credential::Scram(record) => Ok(Exposure::Guesses(Box::new(scram::Record::new(record, preparation)))),
        #[cfg(feature = "spake2plus")]
        Credential::Spake2Plus(record) => spake2plus::exposure(record, authcid, preparation),
        #[cfg(feature = "spake2plus")]
        Credential::Spake2PlusEd25519(record) => spake2plus::exposure(record, authcid, preparation),
        #[cfg(feature = "opaque")]
        Credential::Opaque(record) => opaque::exposure(record, authcid, preparation),
        #[cfg(feature = "srp")]
        Credential::Srp(record) => srp::exposure(record, authcid, preparation),
        #[allow(unreachable_patterns, reason = "for the kinds of other features")]
        _ => Err(Error::new(&rules::NOT_IN_THIS_BUILD)),
    }
}

/// What a stolen list of TLS PSKs is worth: everything.
#[must_use]
pub fn exposure_of_psk_list() -> Exposure {
    Exposure::Immediate(Verdict::new(
        "TLS-PSK",
        Situation::Thief,
        "Both sides of TLS-PSK need the key as it is, so the list holds the keys themselves.",
    ))
}
