//! OPAQUE's record with the server's keys: the OPRF without its blinds, the password hash, and the masking key, which is
//! the value of the record that is nearest.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use hkdf::Hkdf;
use sha2::{Digest, Sha512};

use super::stretch::{BATCH, Stretch};
use super::work::{GuessWork, Unit};
use super::{Exposure, Found, Oracle, Situation, batch};
use crate::error::Result;
use crate::ksf::{self, Ksf};
use crate::opaque::{Record, ServerKeys, UPLOAD_LEN};
use crate::prep::{self, Preparation};

/// Octets of the seed, with which the server's keys begin, of the masking key, and of a hash.
const NH: usize = 64;
/// Octets of the client's public key, which stands before the masking key in an upload.
const NPK: usize = 32;

/// RFC 9497 section 3.1, in the mode 0x00.
const CONTEXT_STRING: &[u8] = b"OPRFV1-\x00-ristretto255-SHA512";

pub(super) fn exposure(record: &Record, authcid: &str, preparation: Preparation) -> Result<Exposure> {
    let bytes = record.to_bytes();
    // Version, hash, the server's keys, the upload.
    let keys = &bytes[1 + ksf::ENCODED_LEN..];
    let upload = &keys[ServerKeys::LEN..][..UPLOAD_LEN];
    let name = prep::user_name(authcid)?;
    let key = oprf_key(&keys[..NH], name.as_bytes());
    let masking_key = upload[NPK..NPK + NH].to_vec();
    Ok(Exposure::Guesses(Box::new(MaskingKey { key, ksf: record.ksf(), masking_key, preparation })))
}

struct MaskingKey {
    key: Scalar,
    ksf: Ksf,
    masking_key: Vec<u8>,
    preparation: Preparation,
}

impl MaskingKey {
    fn guess(&self, password: &[u8], stretch: &mut Stretch) -> Result<[u8; NH]> {
        let point = hash_to_group(password) * self.key;
        let output = Sha512::new()
            .chain_update((password.len() as u16).to_be_bytes())
            .chain_update(password)
            .chain_update((NPK as u16).to_be_bytes())
            .chain_update(point.compress().as_bytes())
            .chain_update(b"Finalize")
            .finalize();
        let mut stretched = [0; NH];
        // RFC 9807 section 7: the OPRF has salted already.
        stretch.run(&output, &[0; 16], &mut stretched)?;
        let randomized = Hkdf::<Sha512>::new(None, &[&output[..], &stretched].concat());
        let mut masking_key = [0; NH];
        randomized.expand(b"MaskingKey", &mut masking_key).expect("one block is within HKDF's limit");
        Ok(masking_key)
    }
}

impl Oracle for MaskingKey {
    fn mechanism(&self) -> &str {
        "OPAQUE-R255-PLUS"
    }

    fn situation(&self) -> Situation {
        Situation::Thief
    }

    fn test(&self) -> &'static str {
        "masking key of the record, with the server's OPRF key"
    }

    fn work(&self) -> GuessWork {
        // Hash to the group 2 and its output 1, HKDF 2 blocks of message, 2 of key, 4 of output.
        GuessWork::stretching(self.ksf, NH).and(Unit::RistrettoPower, 1).and(Unit::Sha512, 14)
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        batch::prepared(self.preparation, candidates, |passwords| {
            let mut stretch = Stretch::new(self.ksf, NH)?;
            for (index, password) in passwords.iter().enumerate() {
                let masking_key = self.guess(password, &mut stretch)?;
                if let Some(found) = Found::at(index, &masking_key, &self.masking_key) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }
}

/// The server's key of the OPRF for one record (RFC 9807 section 6.3.2.1), and RFC 9497 section 3.2.1 with the counter
/// 0: that it must go on happens once in 2^252 times.
fn oprf_key(seed: &[u8], credential_identifier: &[u8]) -> Scalar {
    let mut derived = [0; NPK];
    let hkdf = Hkdf::<Sha512>::from_prk(seed).expect("the seed is as long as the hash");
    hkdf.expand_multi_info(&[credential_identifier, b"OprfKey"], &mut derived)
        .expect("one block is within HKDF's limit");
    const INFO: &[u8] = b"OPAQUE-DeriveKeyPair";
    let input = [&derived[..], &(INFO.len() as u16).to_be_bytes(), INFO, &[0]].concat();
    Scalar::from_bytes_mod_order_wide(&uniform(&input, b"DeriveKeyPair"))
}

fn hash_to_group(password: &[u8]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&uniform(password, b"HashToGroup-"))
}

/// The one block that `expand_message_xmd` (RFC 9380 section 5.3.1) makes of 64 octets with SHA-512.
fn uniform(message: &[u8], purpose: &[u8]) -> [u8; NH] {
    const BLOCK: usize = 128;
    let tag = [purpose, CONTEXT_STRING, &[(purpose.len() + CONTEXT_STRING.len()) as u8]].concat();
    let first = Sha512::new()
        .chain_update([0; BLOCK])
        .chain_update(message)
        .chain_update((NH as u16).to_be_bytes())
        .chain_update([0])
        .chain_update(&tag)
        .finalize();
    Sha512::new().chain_update(first).chain_update([1]).chain_update(&tag).finalize().into()
}
