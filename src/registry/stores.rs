//! Two stores that need nothing but memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRng;

use super::{Credential, CredentialStore, Work, find};
use crate::error::Result;
use crate::mechanism::MechanismName;
use crate::prep::{self, Preparation};
use crate::secret::{Password, SecretBytes};

/// Octets of the seeds made here.
const SEED_LEN: usize = 32;

/// Records of many users, for a server.
#[derive(Debug)]
pub struct MemoryStore {
    seed: SecretBytes,
    records: HashMap<String, Vec<(String, Credential)>>,
    iterations: Option<u32>,
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    ksf: Option<crate::ksf::Ksf>,
}

impl MemoryStore {
    /// A store with nobody in it.
    pub fn new(rng: &mut dyn CryptoRng) -> Self {
        Self {
            seed: seed(rng),
            records: HashMap::new(),
            iterations: None,
            #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
            ksf: None,
        }
    }

    /// The iteration count that most records here have, where it is not the default.
    #[must_use]
    pub fn with_simulated_iterations(mut self, iterations: u32) -> Self {
        self.iterations = Some(iterations);
        self
    }

    /// The password hash that most records of augmented PAKEs here have, where it is not the default.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    #[must_use]
    pub fn with_simulated_ksf(mut self, ksf: crate::ksf::Ksf) -> Self {
        self.ksf = Some(ksf);
        self
    }

    /// Puts in the record of a user, in the place of an older one. A mechanism and its -PLUS form share one record.
    ///
    /// # Errors
    /// What SASLprep refuses in the name.
    pub fn insert(&mut self, mechanism: &MechanismName, authcid: &str, record: Credential) -> Result<()> {
        let records = self.records.entry(prep::user_name(authcid)?).or_default();
        let family = family(mechanism);
        records.retain(|(known, _)| known != family);
        records.push((family.to_owned(), record));
        Ok(())
    }
}

impl CredentialStore for MemoryStore {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        let records = self.records.get(authcid).map_or(&[][..], Vec::as_slice);
        Ok(records.iter().find(|(known, _)| known == family(mechanism)).map(|(_, record)| record.clone()))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }

    fn simulated_iterations(&self, _mechanism: &MechanismName) -> Option<u32> {
        self.iterations
    }

    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    fn simulated_ksf(&self, _mechanism: &MechanismName) -> Option<crate::ksf::Ksf> {
        self.ksf
    }
}

/// One identity and the password shared with it: all that the responder of an end-to-end session knows.
///
/// Records are made when a mechanism first asks, with random salts, and kept.
pub struct SharedPassword {
    authcid: String,
    password: Password,
    preparation: Preparation,
    work: Work,
    seed: SecretBytes,
    made: Mutex<Made>,
}

struct Made {
    rng: Box<dyn CryptoRng + Send>,
    records: Vec<(String, Credential)>,
}

impl SharedPassword {
    /// The password shared with `authcid`: in an end-to-end session the initiator's bare JID.
    ///
    /// # Errors
    /// What SASLprep refuses in the name.
    pub fn new(
        authcid: &str,
        password: Password,
        preparation: Preparation,
        mut rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self> {
        Ok(Self {
            authcid: prep::user_name(authcid)?,
            password,
            preparation,
            work: Work::default(),
            seed: seed(&mut rng),
            made: Mutex::new(Made { rng: Box::new(rng), records: Vec::new() }),
        })
    }

    /// SCRAM's iteration count, where it is not to be the hash's default.
    #[must_use]
    pub fn with_scram_iterations(mut self, iterations: u32) -> Self {
        self.work = self.work.with_iterations(iterations);
        self
    }

    /// The password hash of SPAKE2+, OPAQUE and SRP-…-PLUS, where it is not to be the default.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    #[must_use]
    pub fn with_ksf(mut self, ksf: crate::ksf::Ksf) -> Self {
        self.work = self.work.with_ksf(ksf);
        self
    }

    fn record(&self, mechanism: &MechanismName) -> Result<Credential> {
        let mut made = self.lock();
        if let Some((_, record)) = made.records.iter().find(|(known, _)| known == family(mechanism)) {
            return Ok(record.clone());
        }
        let record = self.make(mechanism, &mut *made.rng)?;
        made.records.push((family(mechanism).to_owned(), record.clone()));
        Ok(record)
    }

    fn make(&self, mechanism: &MechanismName, rng: &mut dyn CryptoRng) -> Result<Credential> {
        let (user, password, preparation) = (&self.authcid, &self.password, self.preparation);
        // The two below authenticate in TLS, or before it, and have no row among the mechanisms of SASL.
        #[cfg(feature = "openssl")]
        if *mechanism == crate::tls::srp::NAME {
            return crate::tls::srp::enroll(mechanism, user, password, preparation, rng);
        }
        #[cfg(feature = "cpace")]
        if *mechanism == crate::cpace::psk::NAME {
            return crate::cpace::enroll(mechanism, user, password, preparation, &self.work, rng);
        }
        find(mechanism)?.enroll_with(user, password, preparation, &self.work, rng)
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        // Records are pushed whole, so a panic elsewhere leaves nothing half made.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialStore for SharedPassword {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        // Made for strangers too: else the first answer's delay would tell whom the password is shared with.
        let record = self.record(mechanism)?;
        Ok((authcid == self.authcid).then_some(record))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }

    fn simulated_iterations(&self, _mechanism: &MechanismName) -> Option<u32> {
        self.work.iterations()
    }

    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    fn simulated_ksf(&self, _mechanism: &MechanismName) -> Option<crate::ksf::Ksf> {
        self.work.ksf()
    }
}

impl fmt::Debug for SharedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPassword").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

fn seed(rng: &mut dyn CryptoRng) -> SecretBytes {
    let mut seed = vec![0; SEED_LEN];
    rng.fill_bytes(&mut seed);
    SecretBytes::new(seed)
}

/// The name without -PLUS: records are the same with it.
pub(crate) fn family(mechanism: &MechanismName) -> &str {
    let name = mechanism.as_str();
    name.strip_suffix("-PLUS").unwrap_or(name)
}
