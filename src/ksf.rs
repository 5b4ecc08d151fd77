//! Key stretching: the slow, salted hash that a password goes through before an augmented PAKE uses it.
//!
//! The parameters belong to the stored record and the server side announces them, so the client must bound them
//! *before* it runs the hash. A [`Ksf`] cannot hold parameters beyond the caps of this module: whoever has one
//! may run it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::pbkdf2::{self, Prf};

/// Most memory of Argon2id, in KiB: 2 GiB, the first recommendation of RFC 9106 section 4.
pub const ARGON2_MEMORY_MAX: u32 = 1 << 21;

/// Most passes of Argon2id over its memory.
pub const ARGON2_PASSES_MAX: u32 = 16;

/// Most lanes of Argon2id.
pub const ARGON2_LANES_MAX: u32 = 16;

/// Least memory of Argon2id for each lane, in KiB (RFC 9106 section 3.1).
pub const ARGON2_MEMORY_PER_LANE: u32 = 8;

/// Highest log2 N of scrypt; with [`SCRYPT_BLOCK_MAX`] that is 2 GiB.
pub const SCRYPT_LOG_N_MAX: u32 = 20;

/// Largest block parameter r of scrypt.
pub const SCRYPT_BLOCK_MAX: u32 = 16;

/// Largest parallelism p of scrypt.
pub const SCRYPT_LANES_MAX: u32 = 16;

/// Fewest iterations of PBKDF2 (RFC 8018 section 4.2).
pub const PBKDF2_ITERATIONS_MIN: u32 = 1_000;

/// Most iterations of PBKDF2: a few seconds for each 32 octets of output.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Octets of [`Ksf::to_bytes`].
pub const ENCODED_LEN: usize = 13;

const ARGON2ID: u8 = 1;
const SCRYPT: u8 = 2;
const PBKDF2: u8 = 3;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// A parameter above its cap.
    pub static EXCESSIVE_WORK: Rule = Rule {
        id: "ksf-excessive-work",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 9106 section 4, countersign",
        what: "the password hash would take more memory or time than we allow",
        advice: "Enroll the user again with smaller parameters; a peer that asks for this may be hostile.",
    };
    /// Parameters the algorithm does not have.
    pub static BAD_PARAMETERS: Rule = Rule {
        id: "ksf-bad-parameters",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 9106 section 3.1, RFC 7914 section 2, RFC 8018 section 4.2",
        what: "the password hash cannot have these parameters",
        advice: "Argon2id needs one pass, one lane and 8 KiB for each lane, scrypt r and p of at least 1, PBKDF2 1000 iterations.",
    };
    /// An algorithm nobody here knows.
    pub static UNKNOWN_ALGORITHM: Rule = Rule {
        id: "ksf-unknown-algorithm",
        kind: ErrorKind::PeerIncompatible,
        source: "countersign",
        what: "unknown password hash",
        advice: "Enroll the user with Argon2id, scrypt or PBKDF2.",
    };
    /// No memory for the hash.
    pub static NO_MEMORY: Rule = Rule {
        id: "ksf-no-memory",
        kind: ErrorKind::Environment,
        source: "countersign",
        what: "there is not enough memory for the password hash",
        advice: "Free some memory, or enroll the user with smaller parameters.",
    };
}

/// A password hash with its parameters, within the caps of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ksf(Algorithm);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    /// Version 0x13.
    Argon2id {
        memory: u32,
        passes: u32,
        lanes: u32,
    },
    Scrypt {
        log_n: u32,
        block: u32,
        lanes: u32,
    },
    /// With HMAC-SHA-256.
    Pbkdf2 {
        iterations: u32,
    },
    /// What the RFC 9807 vectors use.
    #[cfg(any(test, feature = "vectors"))]
    Identity,
}

impl Ksf {
    /// Argon2id with 19,456 KiB, 2 passes, 1 lane: the first choice of OWASP's password storage guidance.
    pub const DEFAULT: Self = Self(Algorithm::Argon2id { memory: 19_456, passes: 2, lanes: 1 });

    /// The cheapest parameters that Argon2id has: for tests and demonstrations, never for real records.
    pub const CHEAPEST: Self =
        Self(Algorithm::Argon2id { memory: ARGON2_MEMORY_PER_LANE, passes: 1, lanes: 1 });

    /// The identity function of the RFC 9807 vectors.
    #[cfg(any(test, feature = "vectors"))]
    #[allow(dead_code, reason = "used by the OPAQUE vectors")]
    pub(crate) const IDENTITY: Self = Self(Algorithm::Identity);

    /// Argon2id version 0x13 (RFC 9106): memory in KiB, passes, lanes.
    ///
    /// # Errors
    /// [`rules::EXCESSIVE_WORK`], [`rules::BAD_PARAMETERS`].
    pub fn argon2id(memory: u32, passes: u32, lanes: u32) -> Result<Self> {
        at_most(memory, ARGON2_MEMORY_MAX)?;
        at_most(passes, ARGON2_PASSES_MAX)?;
        at_most(lanes, ARGON2_LANES_MAX)?;
        if passes == 0 || lanes == 0 || memory < lanes * ARGON2_MEMORY_PER_LANE {
            return Err(Error::new(&rules::BAD_PARAMETERS).about("Argon2id"));
        }
        Ok(Self(Algorithm::Argon2id { memory, passes, lanes }))
    }

    /// scrypt (RFC 7914) with N = 2^`log_n`, block size r, parallelism p.
    ///
    /// # Errors
    /// [`rules::EXCESSIVE_WORK`], [`rules::BAD_PARAMETERS`].
    pub fn scrypt(log_n: u32, block: u32, lanes: u32) -> Result<Self> {
        at_most(log_n, SCRYPT_LOG_N_MAX)?;
        at_most(block, SCRYPT_BLOCK_MAX)?;
        at_most(lanes, SCRYPT_LANES_MAX)?;
        if log_n == 0 || block == 0 || lanes == 0 {
            return Err(Error::new(&rules::BAD_PARAMETERS).about("scrypt"));
        }
        Ok(Self(Algorithm::Scrypt { log_n, block, lanes }))
    }

    /// PBKDF2 (RFC 8018) with HMAC-SHA-256, for where nothing else is at hand: it takes no memory, so that a graphics
    /// card computes it as cheaply as any hash.
    ///
    /// # Errors
    /// [`rules::EXCESSIVE_WORK`], [`rules::BAD_PARAMETERS`].
    pub fn pbkdf2(iterations: u32) -> Result<Self> {
        at_most(iterations, PBKDF2_ITERATIONS_MAX)?;
        if iterations < PBKDF2_ITERATIONS_MIN {
            return Err(Error::new(&rules::BAD_PARAMETERS).about("PBKDF2"));
        }
        Ok(Self(Algorithm::Pbkdf2 { iterations }))
    }

    /// Whether the first octets of an output can be had without the others: PBKDF2 makes 32 at a time.
    #[cfg(all(feature = "dictionary", feature = "spake2plus"))]
    pub(crate) fn can_stop_early(self) -> bool {
        matches!(self.0, Algorithm::Pbkdf2 { .. })
    }

    /// One octet for the algorithm (1 Argon2id, 2 scrypt, 3 PBKDF2), then three numbers of 4 octets, big-endian: memory in
    /// KiB, passes and lanes; or log2 N, r and p; or iterations and twice 0.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ENCODED_LEN] {
        let (algorithm, numbers) = match self.0 {
            Algorithm::Argon2id { memory, passes, lanes } => (ARGON2ID, [memory, passes, lanes]),
            Algorithm::Scrypt { log_n, block, lanes } => (SCRYPT, [log_n, block, lanes]),
            Algorithm::Pbkdf2 { iterations } => (PBKDF2, [iterations, 0, 0]),
            #[cfg(any(test, feature = "vectors"))]
            Algorithm::Identity => (0, [0; 3]),
        };
        let mut bytes = [algorithm; ENCODED_LEN];
        for (octets, number) in bytes[1..].chunks_exact_mut(4).zip(numbers) {
            octets.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// The reverse of [`Ksf::to_bytes`].
    ///
    /// # Errors
    /// [`rules::UNKNOWN_ALGORITHM`], [`rules::EXCESSIVE_WORK`], [`rules::BAD_PARAMETERS`].
    pub fn from_bytes(bytes: &[u8; ENCODED_LEN]) -> Result<Self> {
        let number = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        match bytes[0] {
            ARGON2ID => Self::argon2id(number(1), number(5), number(9)),
            SCRYPT => Self::scrypt(number(1), number(5), number(9)),
            PBKDF2 if bytes[5..] != [0; 8] => Err(Error::new(&rules::BAD_PARAMETERS).about("PBKDF2")),
            PBKDF2 => Self::pbkdf2(number(1)),
            _ => Err(Error::new(&rules::UNKNOWN_ALGORITHM)),
        }
    }

    /// Runs the hash; `LEN` octets come out.
    ///
    /// # Errors
    /// [`rules::NO_MEMORY`].
    #[cfg(any(feature = "spake2plus", feature = "srp"))]
    pub(crate) fn stretch<const LEN: usize>(
        self,
        password: &[u8],
        salt: &[u8],
    ) -> Result<zeroize::Zeroizing<[u8; LEN]>> {
        let mut output = zeroize::Zeroizing::new([0; LEN]);
        self.stretch_into(password, salt, output.as_mut_slice())?;
        Ok(output)
    }

    /// Runs the hash into `output`, 4 octets or more.
    pub(crate) fn stretch_into(self, password: &[u8], salt: &[u8], output: &mut [u8]) -> Result<()> {
        match self.0 {
            Algorithm::Argon2id { memory, passes, lanes } => {
                let params = argon2::Params::new(memory, passes, lanes, Some(output.len()))
                    .map_err(|_| Error::new(&rules::BAD_PARAMETERS))?;
                argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                    .hash_password_into(password, salt, output)
                    .map_err(|_| Error::new(&rules::NO_MEMORY))
            }
            Algorithm::Scrypt { log_n, block, lanes } => {
                let params = scrypt::Params::new(log_n as u8, block, lanes)
                    .map_err(|_| Error::new(&rules::BAD_PARAMETERS))?;
                scrypt::scrypt(password, salt, &params, output)
                    .map_err(|_| Error::new(&rules::BAD_PARAMETERS))
            }
            Algorithm::Pbkdf2 { iterations } => {
                let iterations =
                    NonZeroU32::new(iterations).ok_or_else(|| Error::new(&rules::BAD_PARAMETERS))?;
                pbkdf2::derive(Prf::HmacSha256, password, salt, iterations, output);
                Ok(())
            }
            #[cfg(any(test, feature = "vectors"))]
            Algorithm::Identity => {
                output.copy_from_slice(password);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Ksf {
    /// `argon2id:19456,2,1`: memory in KiB, passes and lanes; `scrypt:15,8,1`: log2 N, r and p;
    /// `pbkdf2:600000`: iterations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Algorithm::Argon2id { memory, passes, lanes } => write!(f, "argon2id:{memory},{passes},{lanes}"),
            Algorithm::Scrypt { log_n, block, lanes } => write!(f, "scrypt:{log_n},{block},{lanes}"),
            Algorithm::Pbkdf2 { iterations } => write!(f, "pbkdf2:{iterations}"),
            #[cfg(any(test, feature = "vectors"))]
            Algorithm::Identity => f.write_str("identity"),
        }
    }
}

impl FromStr for Ksf {
    type Err = Error;

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_ALGORITHM`], [`rules::EXCESSIVE_WORK`], [`rules::BAD_PARAMETERS`].
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::new(&rules::BAD_PARAMETERS).about(text);
        let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
        if !["argon2id", "scrypt", "pbkdf2"].contains(&name) {
            return Err(Error::new(&rules::UNKNOWN_ALGORITHM).about(text));
        }
        let numbers = numbers.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>();
        match (name, &numbers.map_err(|_| bad())?[..]) {
            ("argon2id", &[memory, passes, lanes]) => Self::argon2id(memory, passes, lanes),
            ("scrypt", &[log_n, block, lanes]) => Self::scrypt(log_n, block, lanes),
            ("pbkdf2", &[iterations]) => Self::pbkdf2(iterations),
            _ => Err(bad()),
        }
    }
}

impl Default for Ksf {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn at_most(demanded: u32, limit: u32) -> Result<()> {
    if demanded > limit {
        return Err(Error::exceeds(&rules::EXCESSIVE_WORK, demanded.into(), limit.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Make = fn(u32, u32, u32) -> Result<Ksf>;

    #[test]
    fn caps_hold_on_both_sides() {
        let at: [(Make, [u32; 3]); 2] = [
            (Ksf::argon2id, [ARGON2_MEMORY_MAX, ARGON2_PASSES_MAX, ARGON2_LANES_MAX]),
            (Ksf::scrypt, [SCRYPT_LOG_N_MAX, SCRYPT_BLOCK_MAX, SCRYPT_LANES_MAX]),
        ];
        for (make, limits) in at {
            assert!(make(limits[0], limits[1], limits[2]).is_ok());
            for i in 0..3 {
                let mut above = limits;
                above[i] += 1;
                let error = make(above[0], above[1], above[2]).unwrap_err();
                assert!(error.is(&rules::EXCESSIVE_WORK), "{error:?}");
                assert_eq!(error.numbers(), Some((above[i].into(), limits[i].into())));
            }
        }
        assert!(Ksf::pbkdf2(PBKDF2_ITERATIONS_MAX).is_ok());
        let error = Ksf::pbkdf2(PBKDF2_ITERATIONS_MAX + 1).unwrap_err();
        assert!(error.is(&rules::EXCESSIVE_WORK), "{error:?}");
        assert_eq!(error.numbers(), Some((10_000_001, 10_000_000)));
    }

    #[test]
    fn floors_of_the_algorithms_hold_on_both_sides() {
        for (made, fits) in [
            (Ksf::argon2id(8, 1, 1), true),
            (Ksf::argon2id(7, 1, 1), false),
            (Ksf::argon2id(128, 1, 16), true),
            (Ksf::argon2id(127, 1, 16), false),
            (Ksf::argon2id(8, 0, 1), false),
            (Ksf::argon2id(8, 1, 0), false),
            (Ksf::scrypt(1, 1, 1), true),
            (Ksf::scrypt(0, 1, 1), false),
            (Ksf::scrypt(1, 0, 1), false),
            (Ksf::scrypt(1, 1, 0), false),
            (Ksf::pbkdf2(PBKDF2_ITERATIONS_MIN), true),
            (Ksf::pbkdf2(PBKDF2_ITERATIONS_MIN - 1), false),
            (Ksf::pbkdf2(0), false),
        ] {
            assert_eq!(made.is_ok(), fits, "{made:?}");
            if let Err(error) = made {
                assert!(error.is(&rules::BAD_PARAMETERS), "{error:?}");
            }
        }
    }

    #[test]
    fn encoding_is_reversible_and_checked() {
        let some =
            [Ksf::DEFAULT, Ksf::CHEAPEST, Ksf::scrypt(15, 8, 1).unwrap(), Ksf::pbkdf2(600_000).unwrap()];
        for ksf in some {
            assert_eq!(Ksf::from_bytes(&ksf.to_bytes()).unwrap(), ksf);
        }
        for algorithm in (0..=u8::MAX).filter(|a| ![ARGON2ID, SCRYPT, PBKDF2].contains(a)) {
            let mut bytes = Ksf::DEFAULT.to_bytes();
            bytes[0] = algorithm;
            assert!(Ksf::from_bytes(&bytes).unwrap_err().is(&rules::UNKNOWN_ALGORITHM));
        }
        for ksf in some {
            assert_eq!(ksf.to_string().parse::<Ksf>().unwrap(), ksf);
        }
        assert_eq!(Ksf::DEFAULT.to_string(), "argon2id:19456,2,1");
        for (text, rule) in [
            ("argon2i:19456,2,1", &rules::UNKNOWN_ALGORITHM),
            ("identity", &rules::UNKNOWN_ALGORITHM),
            ("argon2id", &rules::BAD_PARAMETERS),
            ("argon2id:19456,2", &rules::BAD_PARAMETERS),
            ("argon2id:19456,2,1,1", &rules::BAD_PARAMETERS),
            ("argon2id:-1,2,1", &rules::BAD_PARAMETERS),
            ("scrypt:21,8,1", &rules::EXCESSIVE_WORK),
            ("scrypt:600000", &rules::BAD_PARAMETERS),
            ("pbkdf2:600000,0,0", &rules::BAD_PARAMETERS),
            ("pbkdf2:999", &rules::BAD_PARAMETERS),
            ("pbkdf2:10000001", &rules::EXCESSIVE_WORK),
        ] {
            assert!(text.parse::<Ksf>().unwrap_err().is(rule), "{text}");
        }
        let mut excessive = Ksf::DEFAULT.to_bytes();
        excessive[1] = 0xff;
        assert!(Ksf::from_bytes(&excessive).unwrap_err().is(&rules::EXCESSIVE_WORK));
        for unused in 5..ENCODED_LEN {
            let mut bytes = Ksf::pbkdf2(600_000).unwrap().to_bytes();
            bytes[unused] = 1;
            assert!(Ksf::from_bytes(&bytes).unwrap_err().is(&rules::BAD_PARAMETERS));
        }
    }

    #[test]
    fn pbkdf2_is_that_of_the_crate() {
        let mut output = [0; 80];
        Ksf::pbkdf2(1000).unwrap().stretch_into(b"password", b"salt", &mut output).unwrap();
        let expected = pbkdf2_013::pbkdf2_hmac_array::<sha2::Sha256, 80>(b"password", b"salt", 1000);
        assert_eq!(output, expected);
    }
}
