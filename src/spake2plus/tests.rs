//! The vectors of RFC 9383 appendix C on both roles, and every refusal of the protocol.

use aes::Aes128;
use cmac::{Cmac, Mac as _};
use serde_json::Value;
use zeroize::Zeroizing;

use super::transcript::sealed::Sealed;
use super::*;
use crate::ksf::Ksf;

const RFC_9383: &str = include_str!("../../vectors/spake2plus_rfc9383.json");
const REGISTRATION: &str = include_str!("../../vectors/spake2plus_registration_derived.json");

/// The CMAC suites of the vectors: nobody needs them outside this test.
macro_rules! cmac_suite {
    ($name:ident, $hmac_suite:ty) => {
        struct $name;

        impl Sealed for $name {}

        impl Suite for $name {
            const KEY_LEN: usize = <$hmac_suite>::KEY_LEN;
            const CONFIRMATION_KEY_LEN: usize = 16;

            fn hash(input: &[u8]) -> Zeroizing<Vec<u8>> {
                <$hmac_suite>::hash(input)
            }

            fn expand(key: &[u8], info: &[u8], output: &mut [u8]) {
                <$hmac_suite>::expand(key, info, output);
            }

            fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
                <Cmac<Aes128> as hmac::KeyInit>::new_from_slice(key)
                    .unwrap()
                    .chain_update(message)
                    .finalize()
                    .into_bytes()
                    .to_vec()
            }
        }
    };
}

cmac_suite!(P256Sha256Cmac, P256Sha256);
cmac_suite!(P256Sha512Cmac, P256Sha512);

fn cases(file: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(file).unwrap()["cases"].as_array().unwrap().clone()
}

fn octets(case: &Value, field: &str) -> Vec<u8> {
    let text = case[field].as_str().unwrap_or_else(|| panic!("no {field}"));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn array<const LEN: usize>(case: &Value, field: &str) -> [u8; LEN] {
    octets(case, field).try_into().unwrap()
}

/// Gives out the octets it was made from, then panics.
struct FixedRng(Vec<u8>);

impl rand_core::TryRng for FixedRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        panic!("only octets are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        panic!("only octets are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl rand_core::TryCryptoRng for FixedRng {}

fn run_vector<S: Suite>(case: &Value) {
    let (context, prover, verifier) =
        (octets(case, "context"), octets(case, "idProver"), octets(case, "idVerifier"));
    let parties = Parties { context: &context, prover: &prover, verifier: &verifier };
    let secret = ProverSecret::from_bytes(&array(case, "w0"), &array(case, "w1")).unwrap();
    let record = secret.verifier_secret();
    let stored = record.to_bytes().unwrap();
    assert_eq!(stored[32..], octets(case, "L"));
    assert_eq!((group::M.to_vec(), group::N.to_vec()), (octets(case, "M"), octets(case, "N")));

    let (state, share_p) = Prover::<S>::start(secret, &mut FixedRng(octets(case, "x"))).unwrap();
    assert_eq!(share_p[..], octets(case, "shareP"));
    let (verifier_state, message) =
        Verifier::<S>::start(&parties, &record, &share_p, &mut FixedRng(octets(case, "y"))).unwrap();
    assert_eq!(message.share[..], octets(case, "shareV"));
    assert_eq!(message.confirmation, octets(case, "confirmV"));

    let y = group::parse_scalar(&array(case, "y")).unwrap();
    let (verifier_keys, _) = verifier::derive::<S>(&parties, &record, &share_p, &y).unwrap();
    for keys in [state.keys(&parties, &message.share).unwrap(), verifier_keys] {
        assert_eq!(keys.tt, octets(case, "TT"));
        assert_eq!(keys.main, octets(case, "K_main"));
        assert_eq!(keys.confirm_p, octets(case, "K_confirmP"));
        assert_eq!(keys.confirm_v, octets(case, "K_confirmV"));
    }

    let (confirm_p, confirmed) = state.finish(&parties, &message.share, &message.confirmation).unwrap();
    assert_eq!(confirm_p, octets(case, "confirmP"));
    assert_eq!(confirmed.into_key().expose(), octets(case, "K_shared"));
    let confirmed = verifier_state.finish(&confirm_p).unwrap();
    assert_eq!(confirmed.into_key().expose(), octets(case, "K_shared"));
}

#[test]
fn rfc_9383_vectors_on_p256_hold_on_both_roles() {
    let mut run = 0;
    for case in cases(RFC_9383) {
        match case["suite"].as_str().unwrap() {
            "SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256" => run_vector::<P256Sha256>(&case),
            "SPAKE2+-P256-SHA512-HKDF-SHA512-HMAC-SHA512" => run_vector::<P256Sha512>(&case),
            "SPAKE2+-P256-SHA256-HKDF-SHA256-CMAC-AES-128" => run_vector::<P256Sha256Cmac>(&case),
            "SPAKE2+-P256-SHA512-HKDF-SHA512-CMAC-AES-128" => run_vector::<P256Sha512Cmac>(&case),
            // No such curve here.
            other => {
                assert!(other.contains("P384") || other.contains("P521"), "{other}");
                continue;
            }
        }
        run += 1;
    }
    assert_eq!(run, 4);
}

#[test]
fn registration_gives_the_derived_vector() {
    let cases = cases(REGISTRATION);
    assert_eq!(cases.len(), 1);
    let case = &cases[0];
    let text = |field: &str| case[field].as_str().unwrap().as_bytes();
    let ksf = Ksf::scrypt(15, 8, 1).unwrap();
    let secret =
        ProverSecret::derive(text("password"), text("idProver"), text("idVerifier"), ksf, b"").unwrap();
    let expected = ProverSecret::from_bytes(&array(case, "w0"), &array(case, "w1")).unwrap();
    assert_eq!((secret.w0, secret.w1), (expected.w0, expected.w1));
    let stored = secret.verifier_secret().to_bytes().unwrap();
    assert_eq!(stored[..32], octets(case, "w0"));
    assert_eq!(stored[32..], octets(case, "L"));
}
