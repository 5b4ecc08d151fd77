//! The transcript TT and the key schedule (RFC 9383 sections 3.3 and 3.4).

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Parties;
use super::group::{Edwards25519, Group, P256};

/// The group, hash, KDF and MAC of a ciphersuite (RFC 9383 section 4).
///
/// Sealed: the suites of this crate are [`Ed25519Sha256`], [`P256Sha256`] and [`P256Sha512`].
pub trait Suite: sealed::Sealed + Send + 'static {
    /// The group.
    type Group: Group;

    /// Octets of `K_shared`.
    const KEY_LEN: usize;

    /// Octets of one confirmation key.
    const CONFIRMATION_KEY_LEN: usize;

    #[doc(hidden)]
    fn hash(input: &[u8]) -> Zeroizing<Vec<u8>>;

    #[doc(hidden)]
    fn expand(key: &[u8], info: &[u8], output: &mut [u8]);

    #[doc(hidden)]
    fn mac(key: &[u8], message: &[u8]) -> Vec<u8>;
}

pub(crate) mod sealed {
    /// Keeps the list of suites and groups to this crate.
    pub trait Sealed {}
}

/// edwards25519-SHA256-HKDF-SHA256-HMAC-SHA256.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, not a value")]
pub struct Ed25519Sha256;

/// P256-SHA256-HKDF-SHA256-HMAC-SHA256.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, not a value")]
pub struct P256Sha256;

/// P256-SHA512-HKDF-SHA512-HMAC-SHA512.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, not a value")]
pub struct P256Sha512;

macro_rules! hmac_suite {
    ($suite:ty, $group:ty, $hash:ty, $len:literal) => {
        impl sealed::Sealed for $suite {}

        impl Suite for $suite {
            type Group = $group;

            const KEY_LEN: usize = $len;
            const CONFIRMATION_KEY_LEN: usize = $len;

            fn hash(input: &[u8]) -> Zeroizing<Vec<u8>> {
                Zeroizing::new(<$hash>::digest(input).to_vec())
            }

            fn expand(key: &[u8], info: &[u8], output: &mut [u8]) {
                hkdf::Hkdf::<$hash>::new(None, key)
                    .expand(info, output)
                    .expect("two hash lengths are within HKDF's limit");
            }

            fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
                <Hmac<$hash> as hmac::KeyInit>::new_from_slice(key)
                    .expect("HMAC takes any key")
                    .chain_update(message)
                    .finalize()
                    .into_bytes()
                    .to_vec()
            }
        }
    };
}

hmac_suite!(Ed25519Sha256, Edwards25519, Sha256, 32);
hmac_suite!(P256Sha256, P256, Sha256, 32);
hmac_suite!(P256Sha512, P256, Sha512, 64);

/// What both sides derive from TT.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Keys {
    pub(crate) confirm_p: Vec<u8>,
    pub(crate) confirm_v: Vec<u8>,
    pub(crate) shared: Vec<u8>,
}

impl Keys {
    pub(crate) fn derive<S: Suite>(transcript: &[u8]) -> Self {
        let main = S::hash(transcript);
        let mut confirmation = Zeroizing::new(vec![0; 2 * S::CONFIRMATION_KEY_LEN]);
        S::expand(&main, b"ConfirmationKeys", &mut confirmation);
        let mut shared = vec![0; S::KEY_LEN];
        S::expand(&main, b"SharedKey", &mut shared);
        let (confirm_p, confirm_v) = confirmation.split_at(S::CONFIRMATION_KEY_LEN);
        Self { confirm_p: confirm_p.to_vec(), confirm_v: confirm_v.to_vec(), shared }
    }
}

/// TT: everything both sides must agree on, each item after its length as 8 octets, little-endian.
pub(super) fn transcript<G: Group>(
    parties: &Parties<'_>,
    [share_p, share_v, z, v]: [&[u8]; 4],
    w0: &G::Scalar,
) -> Zeroizing<Vec<u8>> {
    let (m, n, w0) = (G::M, G::N, G::encode_scalar(w0));
    let items: [&[u8]; 10] = [
        parties.context,
        parties.prover,
        parties.verifier,
        m.as_ref(),
        n.as_ref(),
        share_p,
        share_v,
        z,
        v,
        w0.as_slice(),
    ];
    let mut tt = Zeroizing::new(Vec::with_capacity(items.iter().map(|item| 8 + item.len()).sum()));
    for item in items {
        push_with_length(&mut tt, item);
    }
    tt
}

/// Appends the length of `item` as 8 octets, little-endian, and `item`.
pub(super) fn push_with_length(out: &mut Vec<u8>, item: &[u8]) {
    out.extend_from_slice(&(item.len() as u64).to_le_bytes());
    out.extend_from_slice(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transcript_holds_each_item_in_order() {
        holds_each_item::<P256>();
        holds_each_item::<Edwards25519>();
    }

    fn holds_each_item<G: Group>() {
        let parties = Parties { context: b"context", prover: b"prover", verifier: b"the verifier" };
        let w0 = G::random_scalar(&mut crate::system_rng());
        let tt = transcript::<G>(&parties, [b"shareP", b"shareV", b"Z", b"V"], &w0);
        let (mut rest, mut items) = (&tt[..], Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<8>() {
            let (item, tail) = tail.split_at(u64::from_le_bytes(*length) as usize);
            items.push(item);
            rest = tail;
        }
        assert!(rest.is_empty());
        let (m, n, w0) = (G::M, G::N, G::encode_scalar(&w0));
        let expected: [&[u8]; 10] = [
            b"context",
            b"prover",
            b"the verifier",
            m.as_ref(),
            n.as_ref(),
            b"shareP",
            b"shareV",
            b"Z",
            b"V",
            w0.as_slice(),
        ];
        assert_eq!(items, expected);
    }
}
