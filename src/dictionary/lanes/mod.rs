//! Many passwords at once: PBKDF2 and TLS 1.3's binder on all the lanes that the processor has.

mod binder;

pub use binder::{hmac_sha256_many, tls13_binder_many};

pub use crate::pbkdf2::Prf;
use crate::pbkdf2::{self, SHA1, SHA256, SHA512};

/// One output of PBKDF2 for each password: `out[i]` starts with the [`Prf::output_len`] octets of U_1 ^ ... ^ U_c, the
/// rest is zero. An iteration count of 0 counts as 1.
///
/// `out` is cleared first.
pub fn pbkdf2_many(prf: Prf, passwords: &[&[u8]], salt: &[u8], iterations: u32, out: &mut Vec<[u8; 64]>) {
    out.clear();
    out.resize(passwords.len(), [0; 64]);
    match prf {
        Prf::HmacSha1 => {
            let message = SHA1.message(salt, 1);
            for (password, out) in passwords.iter().zip(out) {
                pbkdf2::put_words(out, &pbkdf2::sha1(&SHA1.chain(password, &message), iterations));
            }
        }
        Prf::HmacSha256 => {
            let message = SHA256.message(salt, 1);
            for (password, out) in passwords.iter().zip(out) {
                pbkdf2::put_words(out, &pbkdf2::sha256(&SHA256.chain(password, &message), iterations));
            }
        }
        Prf::HmacSha512 => {
            let message = SHA512.message(salt, 1);
            for (password, out) in passwords.iter().zip(out) {
                pbkdf2::put_words(out, &pbkdf2::sha512(&SHA512.chain(password, &message), iterations));
            }
        }
    }
}

/// What [`pbkdf2_many`] runs on here, for reports: "SHA-NI x2", "AVX2 x8", "AVX-512 x16" or "portable".
#[must_use]
pub fn kernel(prf: Prf) -> &'static str {
    match prf {
        Prf::HmacSha1 | Prf::HmacSha256 | Prf::HmacSha512 => "portable",
    }
}
