//! SPAKE2+: the password hash, and w0. L would take a multiplication more.

use super::stretch::{BATCH, Stretch};
use super::work::GuessWork;
use super::{Exposure, Found, Oracle, Situation, batch};
use crate::error::Result;
use crate::ksf::Ksf;
use crate::mechanism::MechanismName;
use crate::prep::{self, Preparation};
use crate::spake2plus::{self, Group, Record};

pub(super) fn exposure<G: Group>(
    record: &Record<G>,
    authcid: &str,
    preparation: Preparation,
) -> Result<Exposure> {
    Ok(Exposure::Guesses(Box::new(W0 {
        mechanism: if G::SHARE_LEN == 32 { spake2plus::ED25519_PLUS } else { spake2plus::P256_PLUS },
        ksf: record.ksf(),
        salt: record.salt().to_vec(),
        w0: record.verifier_secret().to_bytes()?[..spake2plus::SCALAR_LEN].to_vec(),
        reduce: spake2plus::w0::<G>,
        prover: prep::user_name(authcid)?,
        preparation,
    })))
}

struct W0 {
    mechanism: MechanismName,
    ksf: Ksf,
    salt: Vec<u8>,
    w0: Vec<u8>,
    reduce: fn(&[u8; spake2plus::STRETCHED_LEN]) -> [u8; spake2plus::SCALAR_LEN],
    prover: String,
    preparation: Preparation,
}

impl W0 {
    /// Octets of the password hash to compute: w0 takes the first half alone.
    fn needed(&self) -> usize {
        let whole = spake2plus::STRETCHED_LEN;
        if self.ksf.can_stop_early() { whole / 2 } else { whole }
    }
}

impl Oracle for W0 {
    fn mechanism(&self) -> &str {
        self.mechanism.as_str()
    }

    fn situation(&self) -> Situation {
        Situation::Thief
    }

    fn test(&self) -> &'static str {
        "w0 of the record"
    }

    fn work(&self) -> GuessWork {
        GuessWork::stretching(self.ksf, self.needed())
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        batch::prepared(self.preparation, candidates, |passwords| {
            let mut stretch = Stretch::new(self.ksf, spake2plus::STRETCHED_LEN)?;
            let mut stretched = [0; spake2plus::STRETCHED_LEN];
            for (index, password) in passwords.iter().enumerate() {
                let input = spake2plus::kdf_input(password, self.prover.as_bytes(), &[]);
                stretch.run(&input, &self.salt, &mut stretched[..self.needed()])?;
                if let Some(found) = Found::at(index, &(self.reduce)(&stretched), &self.w0) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }
}
