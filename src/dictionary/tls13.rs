//! TLS 1.3 external PSK: one ClientHello holds a binder, which is a MAC under a key made from the PSK alone.

use super::capture::Capture;
use super::lanes::tls13_binder_many;
use super::work::{GuessWork, Unit};
use super::{Found, Oracle, Situation, batch, rules};
use crate::error::{Error, Result};
use crate::tls::exporter::SuiteHash;
use crate::tls::key_schedule::{EarlySecret, PskKind};

/// Longest PSK that is tried, in octets.
const PSK_MAX: usize = 65_535;

const BATCH: usize = 1024;

/// The binders of one ClientHello. The hello names the PSKs it offers, one binder for each.
pub(super) struct Binders {
    situation: Situation,
    /// Hash of the ClientHello up to its binders, for each hash that a binder has.
    sha256: Option<([u8; 32], Vec<Vec<u8>>)>,
    sha384: Option<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Binders {
    /// # Errors
    /// [`rules::NO_PSK_HANDSHAKE`].
    pub(super) fn new(capture: &Capture, situation: Situation) -> Result<Self> {
        let offered = capture.psk_binders()?.ok_or(&rules::NO_PSK_HANDSHAKE)?;
        let of = |len: usize| {
            let binders = offered.binders.iter().filter(|binder| binder.len() == len);
            binders.map(|binder| binder.to_vec()).collect::<Vec<_>>()
        };
        let hashed = |hash: SuiteHash| hash.digest(&[offered.truncated_hello]);
        let some = |binders: &Vec<_>| !binders.is_empty();
        let sha256 = Some(of(32)).filter(some).map(|binders| {
            let hash = hashed(SuiteHash::Sha256);
            (hash.try_into().expect("SHA-256 has 32 octets"), binders)
        });
        let sha384 = Some(of(48)).filter(some).map(|binders| (hashed(SuiteHash::Sha384), binders));
        if sha256.is_none() && sha384.is_none() {
            return Err(Error::new(&rules::NO_PSK_HANDSHAKE));
        }
        Ok(Self { situation, sha256, sha384 })
    }
}

impl Oracle for Binders {
    fn mechanism(&self) -> &str {
        "TLS13-PSK"
    }

    fn situation(&self) -> Situation {
        self.situation
    }

    fn test(&self) -> &'static str {
        "binder of the ClientHello"
    }

    fn work(&self) -> GuessWork {
        // Early secret, whose salt of zeros is hashed once for all; then binder key, finished key and binder.
        let sha256 = u64::from(self.sha256.is_some()) * (2 + 3 * 4);
        // The message of the binder key, with the hash of nothing in it, fits one block of 128 octets too.
        let sha384 = u64::from(self.sha384.is_some()) * (2 + 3 * 4);
        GuessWork::new([(Unit::Sha256, sha256), (Unit::Sha512, sha384)])
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        batch::raw(PSK_MAX, candidates, |psks| {
            if let Some((transcript_hash, observed)) = &self.sha256 {
                let mut computed = Vec::with_capacity(psks.len());
                tls13_binder_many(psks, transcript_hash, &mut computed);
                let found = observed.iter().find_map(|binder| Found::among(&computed, binder));
                if found.is_some() {
                    return Ok(found);
                }
            }
            let Some((transcript_hash, observed)) = &self.sha384 else { return Ok(None) };
            let hash = SuiteHash::Sha384;
            let computed = psks.iter().map(|psk| {
                let key = EarlySecret::new(hash, Some(psk)).binder_key(PskKind::External);
                hash.finished(&key, transcript_hash)
            });
            let computed = computed.collect::<Vec<_>>();
            Ok(observed.iter().find_map(|binder| Found::among(&computed, binder)))
        })
    }
}
