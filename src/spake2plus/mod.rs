//! SPAKE2+ (RFC 9383) on edwards25519 and P-256, and the SASL mechanisms `SPAKE2P-ED25519-PLUS` and
//! `SPAKE2PLUS-P256-PLUS`.
//!
//! An augmented PAKE: the prover knows the password, the verifier holds a record from which the password can only
//! be guessed at the price of the slow hash in [`Ksf`](crate::ksf::Ksf). A listener learns nothing to test
//! guesses on, and an impostor of either side tests one guess for each run.
//!
//! [`Prover`] and [`Verifier`] are the protocol of RFC 9383 alone, for applications that carry it themselves.
//! [`Spake2PlusClient`] and [`Spake2PlusServer`] are the SASL mechanisms; their messages and transcript are described
//! in `docs/sasl-pake.md`.
//!
//! # Security
//! Multiplications and comparisons take the same time for all passwords and scalars. w0, w1, scalars, TT and all keys
//! are wiped; copies that the compiler and the curve arithmetic leave on the stack are not.

mod client;
mod credential;
mod group;
#[cfg(feature = "records")]
pub(crate) mod json;
mod prover;
mod server;
mod transcript;
mod verifier;
mod wire;

pub use client::{ClientReady, ExpectRecord, ExpectServerShare, Spake2PlusClient};
pub use credential::{ProverSecret, Record, SALT_LEN, VerifierSecret};
pub use group::{Edwards25519, Group, P256, SCALAR_LEN};
pub use prover::Prover;
pub use server::{ExpectClientConfirm, ExpectClientShare, ExpectIdentity, Spake2PlusServer};
pub use transcript::{Ed25519Sha256, P256Sha256, P256Sha512, Suite};
pub use verifier::{Verifier, VerifierMessage};

pub(crate) use credential::enroll;

#[cfg(any(feature = "dictionary", feature = "vectors"))]
pub(crate) use credential::kdf_input;
#[cfg(feature = "dictionary")]
pub(crate) use credential::{STRETCHED_LEN, w0};
#[cfg(feature = "vectors")]
pub(crate) use {
    transcript::{Keys, sealed},
    verifier::shared_transcript,
};

use crate::error::{ErrorKind, Rule};
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};
use crate::registry::Credential;
use crate::secret::{ProofVerified, SessionKey};

/// The SASL mechanism on edwards25519. Names have at most 20 characters, so this one is short.
pub const ED25519_PLUS: MechanismName = MechanismName::from_static("SPAKE2P-ED25519-PLUS");

/// The SASL mechanism on P-256.
pub const P256_PLUS: MechanismName = MechanismName::from_static("SPAKE2PLUS-P256-PLUS");

/// Octets of a confirmation in the SASL mechanisms.
pub const CONFIRMATION_LEN: usize = 32;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// A share that is not a point of the curve, or is the neutral element or another point of small order.
    pub static BAD_SHARE: Rule = Rule {
        id: "spake2plus-bad-share",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 9383 section 3.3",
        what: "the peer's share is not a point of the curve, or has small order",
        advice: "The peer is broken or hostile; do not try again.",
    };
    /// Z, V or a share of ours came out as the neutral element.
    pub static NEUTRAL_ELEMENT: Rule = Rule {
        id: "spake2plus-neutral-element",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 9383 section 3.3",
        what: "the shared point is the neutral element",
        advice: "The peer tries to force the key; do not try again.",
    };
    /// A confirmation did not verify.
    pub static WRONG_CONFIRMATION: Rule = Rule {
        id: "spake2plus-wrong-confirmation",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 9383 section 3.4",
        what: "the key confirmation is wrong: another password, an unknown user, or a man in the middle",
        advice: "Check the password on both sides; if it is right, somebody may sit in between.",
    };
    /// Not a stored record.
    pub static BAD_RECORD: Rule = Rule {
        id: "spake2plus-bad-record",
        kind: ErrorKind::Misuse,
        source: "RFC 9383 section 3.2",
        what: "the stored SPAKE2+ record or secret is damaged",
        advice: "Restore it from a backup, or enroll the user again.",
    };
}

/// A suite with a SASL mechanism: [`Ed25519Sha256`] and [`P256Sha256`].
pub trait SaslSuite: Suite {
    /// The mechanism's name.
    const NAME: MechanismName;

    #[doc(hidden)]
    fn into_credential(record: Record<Self::Group>) -> Credential;

    /// The record, if it is one of this suite.
    #[doc(hidden)]
    fn from_credential(credential: Credential) -> Option<Record<Self::Group>>;
}

macro_rules! sasl_suite {
    ($suite:ty, $name:ident, $credential:ident) => {
        impl SaslSuite for $suite {
            const NAME: MechanismName = $name;

            fn into_credential(record: Record<Self::Group>) -> Credential {
                Credential::$credential(record)
            }

            fn from_credential(credential: Credential) -> Option<Record<Self::Group>> {
                match credential {
                    Credential::$credential(record) => Some(record),
                    _ => None,
                }
            }
        }
    };
}

sasl_suite!(Ed25519Sha256, ED25519_PLUS, Spake2PlusEd25519);
sasl_suite!(P256Sha256, P256_PLUS, Spake2Plus);

/// Who runs the protocol and about what: the first three items of TT. Both sides must have the same.
///
/// # Security
/// Empty identities leave the key open to unknown-key-share attacks unless the context names both parties.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "the RFC's list")]
pub struct Parties<'a> {
    /// Context: the application and everything else both sides must agree on.
    pub context: &'a [u8],
    /// idProver, as in registration.
    pub prover: &'a [u8],
    /// idVerifier, as in registration.
    pub verifier: &'a [u8],
}

/// The key after the peer's confirmation has been verified.
#[derive(Debug)]
pub struct Confirmed {
    key: SessionKey,
    proof: ProofVerified,
}

impl Confirmed {
    /// `K_shared`, as long as the suite's hash.
    #[must_use]
    pub fn into_key(self) -> SessionKey {
        self.key
    }

    pub(super) fn into_parts(self) -> (ProofVerified, SessionKey) {
        (self.proof, self.key)
    }
}

/// What the mechanism promises.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::AboveTls,
        first: Side::Client,
        messages: 5,
        mutual: true,
        key: true,
        needs_binding: true,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::OfflineStretched,
        // confirmP and confirmV.
        client_test: 3,
        server_test: 2,
        by_name: false,
    }
}

/// Context of TT: the channel identifier, then the server's first message after its length as 8 octets, big-endian.
pub(crate) fn context(channel: &[u8], server_record: &[u8]) -> Vec<u8> {
    [channel, &(server_record.len() as u64).to_be_bytes(), server_record].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ksf::Ksf;

    fn secret() -> ProverSecret {
        ProverSecret::derive(b"password", b"client", b"server", Ksf::CHEAPEST, &[7; SALT_LEN]).unwrap()
    }

    #[test]
    fn the_context_ends_in_the_servers_record_with_its_length() {
        let expected = b"channel\0\0\0\0\0\0\0\x06record";
        assert_eq!(context(b"channel", b"record"), expected);
    }

    /// What an attacker who knows w0 would send.
    #[test]
    fn a_share_that_leads_to_the_neutral_element_is_refused_on_both_sides() {
        masks_alone_are_refused::<P256Sha256, P256>();
        masks_alone_are_refused::<Ed25519Sha256, Edwards25519>();
    }

    fn masks_alone_are_refused<S: Suite<Group = G>, G: Group>() {
        let (parties, mut rng) = (Parties::default(), crate::system_rng());
        let secret = ProverSecret::<G>::derive(b"password", b"", b"", Ksf::CHEAPEST, &[7; SALT_LEN]).unwrap();
        let share_p = G::encode(&[G::times_m(&secret.w0)]).unwrap()[0];
        let verifier = Verifier::<S>::start(&parties, &secret.verifier_secret(), share_p.as_ref(), &mut rng);
        assert!(verifier.err().unwrap().is(&rules::NEUTRAL_ELEMENT));

        let share_v = G::encode(&[G::times_n(&secret.w0)]).unwrap()[0];
        let (prover, _) = Prover::<S>::start(secret, &mut rng).unwrap();
        let error = prover.finish(&parties, share_v.as_ref(), &[0; CONFIRMATION_LEN]).unwrap_err();
        assert!(error.is(&rules::NEUTRAL_ELEMENT));
    }

    #[test]
    fn a_confirmation_must_be_the_whole_one() {
        let (parties, secret) = (Parties::default(), secret());
        let record = secret.verifier_secret();
        let edits: [fn(&mut Vec<u8>); 4] =
            [|mac| mac[31] ^= 1, |mac| mac.truncate(31), |mac| mac.clear(), |mac| mac.push(0)];
        for edit in edits {
            let (prover, share_p) =
                Prover::<P256Sha256>::start(secret.clone(), &mut crate::system_rng()).unwrap();
            let (_, message) =
                Verifier::<P256Sha256>::start(&parties, &record, &share_p, &mut crate::system_rng()).unwrap();
            let mut confirm_v = message.confirmation.clone();
            edit(&mut confirm_v);
            let error = prover.finish(&parties, &message.share, &confirm_v).unwrap_err();
            assert!(error.is(&rules::WRONG_CONFIRMATION));

            let (prover, share_p) =
                Prover::<P256Sha256>::start(secret.clone(), &mut crate::system_rng()).unwrap();
            let (verifier, message) =
                Verifier::<P256Sha256>::start(&parties, &record, &share_p, &mut crate::system_rng()).unwrap();
            let (mut confirm_p, _) = prover.finish(&parties, &message.share, &message.confirmation).unwrap();
            edit(&mut confirm_p);
            assert!(verifier.finish(&confirm_p).unwrap_err().is(&rules::WRONG_CONFIRMATION));
        }
    }

    #[test]
    fn identities_and_context_must_agree() {
        let secret = secret();
        let ours = Parties { context: b"context", prover: b"client", verifier: b"server" };
        for theirs in [
            Parties { context: b"other", ..ours },
            Parties { prover: b"other", ..ours },
            Parties { verifier: b"other", ..ours },
            Parties { prover: b"server", verifier: b"client", ..ours },
            Parties { prover: b"clients", verifier: b"erver", ..ours },
        ] {
            let mut rng = crate::system_rng();
            let (prover, share_p) = Prover::<P256Sha256>::start(secret.clone(), &mut rng).unwrap();
            let (_, message) =
                Verifier::<P256Sha256>::start(&theirs, &secret.verifier_secret(), &share_p, &mut rng)
                    .unwrap();
            let error = prover.finish(&ours, &message.share, &message.confirmation).unwrap_err();
            assert!(error.is(&rules::WRONG_CONFIRMATION));
        }
    }
}
