//! SPAKE2+: the suites of RFC 9383 on P-256, registration, and our SASL examples on both groups.

use aes::Aes128;
use cmac::Cmac;
use hmac::{KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::example::{Example, Given, run};
use super::fields::{Checked, Fault, Fields, same, wrong};
use crate::ksf::Ksf;
use crate::spake2plus::{
    ED25519_PLUS, Ed25519Sha256, Group, Keys, P256, P256_PLUS, P256Sha256, P256Sha512, Parties, Prover,
    ProverSecret, Record, SCALAR_LEN, SaslSuite, Spake2PlusClient, Spake2PlusServer, Suite, Verifier,
    kdf_input, sealed, shared_transcript,
};

/// The suites of the RFC that we do not have.
const OTHER_SUITES: [&str; 3] = [
    "SPAKE2+-P384-SHA256-HKDF-SHA256-HMAC-SHA256",
    "SPAKE2+-P384-SHA512-HKDF-SHA512-HMAC-SHA512",
    "SPAKE2+-P521-SHA512-HKDF-SHA512-HMAC-SHA512",
];

/// The suites with CMAC, which nothing but the vectors needs.
macro_rules! cmac_suite {
    ($name:ident, $hmac_suite:ty) => {
        struct $name;

        impl sealed::Sealed for $name {}

        impl Suite for $name {
            type Group = P256;

            const KEY_LEN: usize = <$hmac_suite>::KEY_LEN;
            const CONFIRMATION_KEY_LEN: usize = 16;

            fn hash(input: &[u8]) -> Zeroizing<Vec<u8>> {
                <$hmac_suite>::hash(input)
            }

            fn expand(key: &[u8], info: &[u8], output: &mut [u8]) {
                <$hmac_suite>::expand(key, info, output);
            }

            fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
                Cmac::<Aes128>::new_from_slice(key)
                    .expect("confirmation keys have 16 octets")
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

pub(super) fn check(case: &Fields<'_>) -> Checked {
    if case.has("mechanism") {
        return sasl(case);
    }
    if case.has("kdf") {
        return registration(case);
    }
    match case.text("suite")? {
        "SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256" => {
            protocol::<P256Sha256>(case, "sha256", "HMAC-SHA256")
        }
        "SPAKE2+-P256-SHA512-HKDF-SHA512-HMAC-SHA512" => {
            protocol::<P256Sha512>(case, "sha512", "HMAC-SHA512")
        }
        "SPAKE2+-P256-SHA256-HKDF-SHA256-CMAC-AES-128" => {
            protocol::<P256Sha256Cmac>(case, "sha256", "CMAC-AES-128")
        }
        "SPAKE2+-P256-SHA512-HKDF-SHA512-CMAC-AES-128" => {
            protocol::<P256Sha512Cmac>(case, "sha512", "CMAC-AES-128")
        }
        other if OTHER_SUITES.contains(&other) => {
            Err(Fault::Unsupported("this build does not implement the suite"))
        }
        other => wrong(format!("the RFC has no suite {other}")),
    }
}

fn compressed(point: &<P256 as Group>::Share) -> Vec<u8> {
    [&[2 + (point[64] & 1)], &point[1..33]].concat()
}

/// An exchange of the RFC, both sides.
fn protocol<S: Suite<Group = P256>>(case: &Fields<'_>, hash: &str, mac: &str) -> Checked {
    case.expect_text("group", "P256")?;
    case.expect_text("hash", hash)?;
    case.expect_text("mac", mac)?;
    for (point, name) in [(&P256::M, "M"), (&P256::N, "N")] {
        case.expect(name, point)?;
        case.expect(&format!("{name}_compressed"), &compressed(point))?;
    }
    let (context, prover, verifier) =
        (case.octets("context")?, case.octets("idProver")?, case.octets("idVerifier")?);
    let parties = Parties { context: &context, prover: &prover, verifier: &verifier };
    let (x, y) = (case.array::<32>("x")?, case.array::<32>("y")?);
    let secret = ProverSecret::from_bytes(&case.array("w0")?, &case.array("w1")?)?;
    let record = secret.verifier_secret();
    case.expect("L", &record.to_bytes()?[32..])?;

    let (prover, share_p) = Prover::<S>::start(secret, &mut Given::new(&[&x]))?;
    case.expect("shareP", &share_p)?;
    let (verifier, answer) = Verifier::<S>::start(&parties, &record, &share_p, &mut Given::new(&[&y]))?;
    case.expect("shareV", &answer.share)?;

    let Some(y) = P256::parse_scalar(&y) else { return wrong("y is not below the order") };
    let (tt, _) = shared_transcript::<P256>(&parties, &record, &share_p, &y)?;
    same("the prover's TT", &prover.transcript(&parties, &answer.share)?, &tt)?;
    case.expect("TT", &tt)?;
    let [z, v] = shared_points::<S::Group>(&tt);
    case.expect("Z", z)?;
    case.expect("V", v)?;
    case.expect("K_main", &S::hash(&tt))?;
    let keys = Keys::derive::<S>(&tt);
    case.expect("K_confirmP", &keys.confirm_p)?;
    case.expect("K_confirmV", &keys.confirm_v)?;
    case.expect("K_shared", &keys.shared)?;

    case.expect("confirmV", &answer.confirmation)?;
    let (confirm_p, ours) = prover.finish(&parties, &answer.share, &answer.confirmation)?;
    case.expect("confirmP", &confirm_p)?;
    let theirs = verifier.finish(&confirm_p)?;
    case.expect("K_shared", ours.into_key().expose())?;
    case.expect("K_shared", theirs.into_key().expose())
}

/// Z and V, which stand in TT before w0.
fn shared_points<G: Group>(tt: &[u8]) -> [&[u8]; 2] {
    let v = tt.len() - SCALAR_LEN - 8 - G::SHARE_LEN;
    let z = v - 8 - G::SHARE_LEN;
    [&tt[z..z + G::SHARE_LEN], &tt[v..v + G::SHARE_LEN]]
}

fn registration(case: &Fields<'_>) -> Checked {
    case.expect_text("kdf", "scrypt N=32768 r=8 p=1 salt=\"\" dkLen=80")?;
    let ksf = Ksf::scrypt(15, 8, 1)?;
    let [password, prover, verifier] =
        [case.text("password")?, case.text("idProver")?, case.text("idVerifier")?];
    let input = kdf_input(password.as_bytes(), prover.as_bytes(), verifier.as_bytes());
    case.expect("kdf_input", &input)?;
    case.expect("kdf_output", ksf.stretch::<80>(&input, &[])?.as_slice())?;
    let secret =
        ProverSecret::<P256>::derive(password.as_bytes(), prover.as_bytes(), verifier.as_bytes(), ksf, &[])?;
    let (w0, w1) = secret.to_bytes();
    case.expect("w0", &*w0)?;
    case.expect("w1", &*w1)?;
    let record = secret.verifier_secret().to_bytes()?;
    case.expect("w0", &record[..32])?;
    case.expect("L", &record[32..])
}

/// A SASL exchange with everything that happens inside.
fn sasl(case: &Fields<'_>) -> Checked {
    for (name, octets) in computed_by_name(case)? {
        case.expect(name, &octets)?;
    }
    Ok(())
}

fn computed_by_name(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    match case.text("mechanism")? {
        name if ED25519_PLUS == *name => computed::<Ed25519Sha256>(case),
        name if P256_PLUS == *name => computed::<P256Sha256>(case),
        other => wrong(format!("SPAKE2+ has no mechanism {other}")),
    }
}

/// Every value, in the order in which it comes up.
fn computed<S: SaslSuite>(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    let example = Example::read(case)?;
    let ksf = Ksf::from_bytes(&case.array("ksf")?)?;
    let salt = case.array::<16>("salt")?;
    let (x, y) = (case.array::<32>("x")?, case.array::<32>("y")?);
    let password = example.prepared_password()?;
    let record =
        Record::<S::Group>::enroll(&example.authcid, password.expose(), ksf, &mut Given::new(&[&salt]))?;
    let mut client = Spake2PlusClient::<S>::new(example.client(), &mut Given::new(&[&x]))?;
    let server = example.server(S::into_credential(Record::from_bytes(&record.to_bytes()?)?));
    let mut server = Spake2PlusServer::<S>::new(server, &mut Given::new(&[&y]))?;
    let (messages, session_key) = run(&mut client, &mut server)?;
    let [client_identity, server_record, client_share, server_share, client_confirm] = &messages[..] else {
        return wrong("not five messages");
    };

    let channel = example.channel_identifier();
    let context = crate::spake2plus::context(&channel, server_record);
    let input = kdf_input(password.expose(), example.authcid.as_bytes(), &[]);
    let output = ksf.stretch::<80>(&input, &salt)?;
    let secret =
        ProverSecret::<S::Group>::derive(password.expose(), example.authcid.as_bytes(), &[], ksf, &salt)?;
    let (w0, w1) = secret.to_bytes();
    let stored = record.verifier_secret().to_bytes()?;
    let parties = Parties { context: &context, prover: example.authcid.as_bytes(), verifier: &[] };
    let Some(y) = S::Group::parse_scalar(&y) else { return wrong("y is not below the order") };
    let (tt, _) = shared_transcript::<S::Group>(&parties, record.verifier_secret(), &client_share[2..], &y)?;
    let [z, v] = shared_points::<S::Group>(&tt);
    let keys = Keys::derive::<S>(&tt);
    Ok(vec![
        ("context_digest", example.context.digest().to_vec()),
        ("channel_identifier", channel),
        ("kdf_input", input.to_vec()),
        ("kdf_output", output.to_vec()),
        ("w0", w0.to_vec()),
        ("w1", w1.to_vec()),
        ("L", stored[SCALAR_LEN..].to_vec()),
        ("client_identity", client_identity.clone()),
        ("server_record", server_record.clone()),
        ("context", context.clone()),
        ("shareP", client_share[2..].to_vec()),
        ("client_share", client_share.clone()),
        ("shareV", server_share[2..2 + S::Group::SHARE_LEN].to_vec()),
        ("Z", z.to_vec()),
        ("V", v.to_vec()),
        ("TT", tt.to_vec()),
        ("K_main", Sha256::digest(&tt).to_vec()),
        ("K_confirmP", keys.confirm_p.clone()),
        ("K_confirmV", keys.confirm_v.clone()),
        ("confirmV", server_share[2 + S::Group::SHARE_LEN..].to_vec()),
        ("server_share", server_share.clone()),
        ("confirmP", client_confirm[2..].to_vec()),
        ("client_confirm", client_confirm.clone()),
        ("session_key", session_key),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::example::document::{Place, hex, inputs};
    use super::*;
    use crate::ksf::PBKDF2_ITERATIONS_MIN;

    const PLACE: Place = Place {
        file: "vectors/spake2plus_sasl.json",
        document: "docs/sasl-pake.md",
        begin: "<!-- examples of SPAKE2+: written by a test, do not edit -->\n",
        end: "<!-- end of the examples of SPAKE2+ -->\n",
    };

    #[test]
    fn the_document_shows_the_vectors() {
        PLACE.check();
    }

    #[test]
    #[ignore = "writes vectors/spake2plus_sasl.json and its examples in the document"]
    fn regenerate() {
        let octets = |from: u8, count: u8| hex(&(from..from + count).collect::<Vec<_>>());
        // The last octet is the highest on edwards25519, and keeps the scalar below the order there.
        let scalar = |from: u8, last: &str| octets(from, 31) + last;
        let case = |name, mechanism, ksf: Ksf, last: [&str; 2]| {
            inputs(
                name,
                mechanism,
                &[
                    ("ksf", hex(&ksf.to_bytes())),
                    ("salt", octets(0xa0, 16)),
                    ("x", scalar(0x10, last[0])),
                    ("y", scalar(0x80, last[1])),
                ],
            )
        };
        let cases = [
            case(
                "SPAKE2+ on edwards25519 with Argon2id",
                "SPAKE2P-ED25519-PLUS",
                Ksf::argon2id(64, 1, 1).unwrap(),
                ["0f", "0e"],
            ),
            case(
                "SPAKE2+ on P-256 with Argon2id",
                "SPAKE2PLUS-P256-PLUS",
                Ksf::argon2id(64, 1, 1).unwrap(),
                ["2f", "9f"],
            ),
            case(
                "SPAKE2+ on P-256 with scrypt",
                "SPAKE2PLUS-P256-PLUS",
                Ksf::scrypt(4, 8, 1).unwrap(),
                ["2f", "9f"],
            ),
            case(
                "SPAKE2+ on edwards25519 with PBKDF2",
                "SPAKE2P-ED25519-PLUS",
                Ksf::pbkdf2(PBKDF2_ITERATIONS_MIN).unwrap(),
                ["0f", "0e"],
            ),
        ];
        let cases = cases.map(|mut case| {
            let map = case.as_object_mut().unwrap();
            let computed = computed_by_name(&Fields::new(map)).unwrap();
            map.extend(computed.into_iter().map(|(name, octets)| (name.to_owned(), json!(hex(&octets)))));
            case
        });
        PLACE.write(
            &cases,
            "tests/peers/spake2plus_peer.py, an independent implementation of docs/sasl-pake.md",
        );
    }
}
