//! An SRP verifier: x by two short hashes, then g^x from tables that all users of a group share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::fixed_base::{FixedBase, Target};
use super::lanes::{Prf, pbkdf2_many};
use super::stretch::{self, Stretch};
use super::work::{GuessWork, Unit, blocks, hmac};
use super::{Exposure, Found, Oracle, Situation, batch};
use crate::error::Result;
use crate::prep::{self, Preparation};
use crate::srp::{Group, Hash, Identity, Prehash, Verifier};

/// Candidates for each call where nothing slow comes first.
const BATCH: usize = 256;

/// Memory of the tables for one group, at most. Wider windows save multiplications, until the tables no longer fit.
const TABLES_MAX: usize = 512 << 20;

/// Widest windows worth their tables. In a build for tests, without optimisation, wide ones take minutes to fill.
const WINDOW_MAX: u32 = if cfg!(debug_assertions) { 8 } else { 16 };

/// Octets that a pre-hash gives.
const PREHASH_LEN: usize = 32;

pub(super) fn exposure(record: &Verifier, authcid: &str, preparation: Preparation) -> Result<Exposure> {
    let username = match record.identity() {
        Identity::Included => prep::user_name(authcid)?,
        Identity::Omitted => String::new(),
    };
    Ok(Exposure::Guesses(Box::new(Power {
        group: record.group(),
        hash: record.hash(),
        prehash: record.prehash(),
        salt: record.salt().to_vec(),
        verifier: record.expose().to_vec(),
        before_password: format!("{username}:"),
        preparation,
        ready: OnceLock::new(),
    })))
}

struct Power {
    group: Group,
    hash: Hash,
    prehash: Prehash,
    salt: Vec<u8>,
    verifier: Vec<u8>,
    /// What is hashed before the password: the name, if it belongs to x, and a colon.
    before_password: String,
    preparation: Preparation,
    /// Made with the first guess.
    ready: OnceLock<(Arc<FixedBase>, Option<Target>)>,
}

impl Power {
    /// The pre-hash of each password, or the password itself.
    fn prehashed<'a>(&self, passwords: &[&'a [u8]]) -> Result<Vec<std::borrow::Cow<'a, [u8]>>> {
        match self.prehash {
            Prehash::None => Ok(passwords.iter().map(|password| (*password).into()).collect()),
            Prehash::Ksf(ksf) => {
                let mut stretch = Stretch::new(ksf, PREHASH_LEN)?;
                let stretched = passwords.iter().map(|password| {
                    let mut stretched = vec![0; PREHASH_LEN];
                    stretch.run(password, &self.salt, &mut stretched)?;
                    Ok(stretched.into())
                });
                stretched.collect()
            }
            Prehash::Pbkdf2(iterations) => {
                let keys = passwords.iter().map(|password| Hash::Sha256.digest(&[password]));
                let keys = keys.collect::<Vec<_>>();
                let keys = keys.iter().map(|key| &key[..]).collect::<Vec<_>>();
                let mut out = Vec::with_capacity(keys.len());
                pbkdf2_many(Prf::HmacSha256, &keys, &self.salt, iterations, &mut out);
                Ok(out.iter().map(|key| key[..PREHASH_LEN].to_vec().into()).collect())
            }
        }
    }

    fn window(&self) -> u32 {
        window(self.group, self.hash.output_len())
    }
}

impl Oracle for Power {
    fn mechanism(&self) -> &str {
        match (self.hash, self.prehash) {
            (Hash::Sha256, Prehash::Ksf(_)) => "SRP-SHA-256-PLUS",
            (Hash::Sha512, Prehash::Ksf(_)) => "SRP-SHA-512-PLUS",
            _ => "SRP",
        }
    }

    fn situation(&self) -> Situation {
        Situation::Thief
    }

    fn test(&self) -> &'static str {
        "the verifier g^x, with tables of powers of g"
    }

    /// For a password of 8 octets.
    fn work(&self) -> GuessWork {
        const PASSWORD: usize = 8;
        let len = self.hash.output_len();
        let (unit, block) = match self.hash {
            Hash::Sha1 => (Unit::Sha1, 64),
            Hash::Sha256 => (Unit::Sha256, 64),
            Hash::Sha384 | Hash::Sha512 => (Unit::Sha512, 128),
        };
        let (slow, password) = match self.prehash {
            Prehash::None => (GuessWork::new([]), PASSWORD),
            Prehash::Ksf(ksf) => (GuessWork::stretching(ksf, PREHASH_LEN), PREHASH_LEN),
            Prehash::Pbkdf2(iterations) => {
                let first = blocks(PASSWORD, 64) + hmac(32, self.salt.len() + 4, 64);
                let count = first + 2 * u64::from(iterations.saturating_sub(1));
                (GuessWork::new([(Unit::Sha256, count)]), PREHASH_LEN)
            }
        };
        let hashes =
            blocks(self.before_password.len() + password, block) + blocks(self.salt.len() + len, block);
        let multiplications = (8 * len as u64).div_ceil(self.window().into()) - 1;
        slow.and(Unit::Multiplication { bits: self.group.bits() }, multiplications).and(unit, hashes)
    }

    fn batch(&self) -> usize {
        match self.prehash {
            Prehash::Ksf(_) => stretch::BATCH,
            _ => BATCH,
        }
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        let (tables, target) = self.ready.get_or_init(|| {
            let tables = tables(self.group, self.hash.output_len());
            let target = tables.target(&self.verifier);
            (tables, target)
        });
        let Some(target) = target else { return Ok(None) };
        batch::prepared(self.preparation, candidates, |passwords| {
            let prehashed = self.prehashed(passwords)?;
            let xs = prehashed.iter().map(|password| {
                let inner = self.hash.digest(&[self.before_password.as_bytes(), password]);
                self.hash.digest(&[&self.salt, &inner])
            });
            let xs = xs.collect::<Vec<_>>();
            let exponents = xs.iter().map(|x| &x[..]).collect::<Vec<_>>();
            let found = tables.find(target, &exponents);
            // Computed once more, by the constant-time arithmetic of the mechanism.
            Ok(found.and_then(|index| {
                Found::at(index, &self.group.generator_power(exponents[index]), &self.verifier)
            }))
        })
    }
}

fn window(group: Group, exponent_len: usize) -> u32 {
    let fits = |window: &u32| FixedBase::memory(group, exponent_len, *window) <= TABLES_MAX;
    (1..=WINDOW_MAX).rev().find(fits).unwrap_or(1)
}

/// The tables of a group, made once for all oracles.
fn tables(group: Group, exponent_len: usize) -> Arc<FixedBase> {
    static MADE: Mutex<Vec<(Group, usize, Arc<FixedBase>)>> = Mutex::new(Vec::new());
    // Tables are pushed whole, so a panic elsewhere leaves nothing half made.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = made.iter().find(|(known, len, _)| (*known, *len) == (group, exponent_len));
    if let Some((_, _, tables)) = known {
        return tables.clone();
    }
    let tables = Arc::new(FixedBase::new(group, exponent_len, window(group, exponent_len)));
    made.push((group, exponent_len, tables.clone()));
    tables
}
