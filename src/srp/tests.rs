//! The protocol in every dialect, and what cannot be reached from outside.

use super::dialect::{Transcript, not_zero};
use super::group::Share;
use super::*;
use crate::ksf::{self, Ksf};
use crate::prep::Preparation;
use crate::secret::{Password, SecretBytes};
use crate::system_rng;

const DIALECTS: [Dialect; 10] = [
    Dialect::RFC5054,
    Dialect::SASL,
    Dialect::HOMEKIT,
    Dialect::APPLE_GSA,
    Dialect::PYSRP,
    Dialect::PYSRP_RFC5054,
    Dialect::RUSTCRYPTO_0_6,
    Dialect::RUSTCRYPTO_0_7,
    Dialect::PICL,
    Dialect::PLUS,
];

const SALT: [u8; 16] = *b"sixteen octets!!";

fn parameters(dialect: Dialect) -> Parameters {
    Parameters { dialect, group: Group::Bits2048, prehash: Prehash::None }
}

fn password(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn verifier(parameters: &Parameters) -> Verifier {
    Verifier::derive(parameters, "alice", &password("secret"), &SALT).unwrap()
}

fn exchange(parameters: Parameters, typed: &str) -> crate::Result<(SecretBytes, SecretBytes)> {
    let server = Server::start(parameters.dialect, verifier(&parameters), &mut system_rng())?;
    let client = Client::start(parameters, &mut system_rng());
    let a = client.public_value().to_vec();
    let client = client.respond("alice", &password(typed), server.salt(), server.public_value())?;
    let (m2, theirs) = server.receive("alice", &a)?.finish(client.proof())?;
    let ours = client.finish(&m2)?;
    Ok((ours.into_parts().1, theirs.into_parts().1))
}

#[test]
fn every_dialect_agrees_with_itself_with_every_hash() {
    for dialect in DIALECTS {
        for hash in Hash::ALL {
            for key in [dialect.key, KeyRule::Interleaved, KeyRule::Mgf1] {
                let dialect = Dialect { key, ..dialect.with_hash(hash) };
                let (ours, theirs) = exchange(parameters(dialect), "secret").unwrap();
                assert_eq!(ours.expose(), theirs.expose());
                let len = match key {
                    KeyRule::Hashed => hash.output_len(),
                    KeyRule::Interleaved | KeyRule::Mgf1 => 2 * hash.output_len(),
                    KeyRule::Raw => Group::Bits2048.len(),
                };
                assert!(ours.len() == len || (key == KeyRule::Raw && ours.len() < len));
            }
        }
    }
}

#[test]
fn every_dialect_refuses_a_wrong_password() {
    for dialect in DIALECTS {
        let error = exchange(parameters(dialect), "Secret").unwrap_err();
        assert!(error.is(&rules::WRONG_CLIENT_PROOF), "{error:?}");
    }
}

#[test]
fn a_scrambler_of_zero_is_refused() {
    for len in [1, 20, 64] {
        assert!(not_zero(&vec![0; len]).unwrap_err().is(&rules::ZERO_SCRAMBLER));
        let mut one = vec![0; len];
        one[len - 1] = 1;
        assert!(not_zero(&one).is_ok());
    }
}

#[test]
fn a_short_secret_has_its_key_by_every_rule() {
    // No exchange gives so short an S; SHA_Interleave of RFC 2945 drops an octet where the length is odd.
    let share = Share::own(&Group::Bits2048.pad(&[2]));
    let keys = |dialect: Dialect, secret: &[u8]| {
        let (salt, username) = (&SALT[..], &b"alice"[..]);
        let transcript =
            Transcript { group: Group::Bits2048, username, salt, a: &share, b: &share, appended: &[] };
        dialect.keys(secret, &transcript).key
    };
    let interleaved = Dialect { key: KeyRule::Interleaved, ..Dialect::RFC5054 };
    assert_eq!(*keys(interleaved, &[0, 0, 9, 1, 2]), *keys(interleaved, &[1, 2]));
    assert_eq!(keys(interleaved, &[]).len(), 40);
    let expected = [Hash::Sha1.digest(&[&[1, 2, 0, 0, 0, 0]]), Hash::Sha1.digest(&[&[1, 2, 0, 0, 0, 1]])];
    let mgf1 = Dialect { key: KeyRule::Mgf1, ..Dialect::RFC5054 };
    assert_eq!(keys(mgf1, &[0, 1, 2])[..], [&expected[0][..], &expected[1]].concat());
}

#[test]
fn a_server_that_cannot_prove_itself_is_refused() {
    let parameters = parameters(Dialect::RFC5054);
    for spoil in [|m2: &mut Vec<u8>| m2[0] ^= 1, |m2: &mut Vec<u8>| m2.clear(), |m2: &mut Vec<u8>| m2.push(0)]
    {
        let server = Server::start(parameters.dialect, verifier(&parameters), &mut system_rng()).unwrap();
        let client = Client::start(parameters, &mut system_rng());
        let a = client.public_value().to_vec();
        let client = client.respond("alice", &password("secret"), &SALT, server.public_value()).unwrap();
        let (mut m2, _) = server.receive("alice", &a).unwrap().finish(client.proof()).unwrap();
        spoil(&mut m2);
        assert!(client.finish(&m2).unwrap_err().is(&rules::WRONG_SERVER_PROOF));
    }
}

#[test]
fn a_verifier_of_another_hash_or_way_to_x_is_refused() {
    for dialect in [
        Dialect::RFC5054.with_hash(Hash::Sha256),
        Dialect { identity: Identity::Omitted, ..Dialect::RFC5054 },
    ] {
        let started = Server::start(Dialect::RFC5054, verifier(&parameters(dialect)), &mut system_rng());
        assert!(started.err().unwrap().is(&crate::registry::rules::WRONG_CREDENTIAL));
    }
}

#[test]
fn an_empty_password_is_refused() {
    let parameters = parameters(Dialect::RFC5054);
    let error = Verifier::derive(&parameters, "alice", &password(""), &SALT).unwrap_err();
    assert!(error.is(&rules::EMPTY_PASSWORD));
}

#[test]
fn salts_are_limited_on_both_sides() {
    let plain = parameters(Dialect::RFC5054);
    let stretched = Parameters { prehash: Prehash::Ksf(Ksf::CHEAPEST), ..plain };
    for (parameters, len, fits) in [
        (plain, 0, false),
        (plain, 1, true),
        (plain, SALT_MAX, true),
        (plain, SALT_MAX + 1, false),
        (stretched, PREHASH_SALT_MIN - 1, false),
        (stretched, PREHASH_SALT_MIN, true),
    ] {
        let made = Verifier::derive(&parameters, "alice", &password("secret"), &vec![7; len]);
        assert_eq!(made.is_ok(), fits, "{len}");
        assert!(made.err().is_none_or(|error| error.is(&rules::SALT_LENGTH)));
    }
}

#[test]
fn a_stored_verifier_outside_its_range_is_refused() {
    let parameters = parameters(Dialect::RFC5054);
    let n = parameters.group.modulus();
    let minus = |k: u8| [&n[..n.len() - 1], &[n[n.len() - 1] - k]].concat();
    for v in [&[][..], &[0], &[1], &minus(1), n, &[0xff; 256], &[1; 257]] {
        let error = Verifier::from_parts(&parameters, &SALT, v).unwrap_err();
        assert!(error.is(&rules::BAD_VERIFIER), "{v:?}");
    }
    assert!(Verifier::from_parts(&parameters, &SALT, &[2]).is_ok());
    assert!(Verifier::from_parts(&parameters, &SALT, &minus(2)).is_ok());
}

#[test]
fn the_prehash_changes_the_verifier_and_both_sides_agree_on_it() {
    let plain = parameters(Dialect::APPLE_GSA);
    let ways = [Prehash::None, Prehash::Ksf(Ksf::CHEAPEST), Prehash::Pbkdf2(1000), Prehash::Pbkdf2(1001)];
    let ways = ways.map(|prehash| Parameters { prehash, ..plain });
    for (i, parameters) in ways.iter().enumerate() {
        exchange(*parameters, "secret").unwrap();
        for other in &ways[..i] {
            assert_ne!(verifier(parameters).expose(), verifier(other).expose());
        }
    }
}

#[test]
fn the_apple_prehash_is_pbkdf2_of_the_hash_of_the_password() {
    // PBKDF2-HMAC-SHA-256(SHA-256("secret"), "sixteen octets!!", 3, 32), from Python's hashlib.
    let plain = parameters(Dialect::APPLE_GSA);
    let stretched = Parameters { prehash: Prehash::Pbkdf2(3), ..plain };
    let by_hand = SecretBytes::new(
        hex_literal::hex!("cfec179e7aa609eb91ffcdb4784943c16f99095db2217be708757b459ad6696c").to_vec(),
    );
    let expected = Verifier::derive(&plain, "alice", &by_hand, &SALT).unwrap();
    assert_eq!(verifier(&stretched).expose(), expected.expose());
}

#[test]
fn prehash_iterations_are_limited_on_both_sides() {
    let with =
        |iterations| Parameters { prehash: Prehash::Pbkdf2(iterations), ..parameters(Dialect::APPLE_GSA) };
    let derive = |iterations| Verifier::derive(&with(iterations), "alice", &password("secret"), &SALT);
    assert!(derive(0).unwrap_err().is(&ksf::rules::BAD_PARAMETERS));
    assert!(derive(1).is_ok());
    let error = derive(PBKDF2_ITERATIONS_MAX + 1).unwrap_err();
    assert!(error.is(&ksf::rules::EXCESSIVE_WORK));
    assert_eq!(error.numbers(), Some((10_000_001, 10_000_000)));
}

#[test]
fn a_simulated_record_is_always_the_same_and_never_opens() {
    let parameters = parameters(Dialect::RFC5054);
    let seed = SecretBytes::new(vec![5; 32]);
    let [first, again] = [(); 2].map(|()| Verifier::simulated(&parameters, &seed, "nobody"));
    assert_eq!((first.salt(), first.expose()), (again.salt(), again.expose()));
    assert_eq!((first.salt().len(), first.expose().len()), (SALT_LEN, parameters.group.len()));
    let other = Verifier::simulated(&parameters, &seed, "nobody2");
    assert_ne!(first.salt(), other.salt());
    assert_ne!(first.expose(), other.expose());

    // Not even for somebody who knows v and could compute the key.
    let mut known = verifier(&parameters);
    known.mark_simulated();
    let server = Server::start(parameters.dialect, known, &mut system_rng()).unwrap();
    let client = Client::start(parameters, &mut system_rng());
    let a = client.public_value().to_vec();
    let client = client.respond("alice", &password("secret"), &SALT, server.public_value()).unwrap();
    let error = server.receive("alice", &a).unwrap().finish(client.proof()).unwrap_err();
    assert!(error.is(&rules::WRONG_CLIENT_PROOF));
}

#[test]
fn a_verifier_knows_its_password() {
    let record = verifier(&parameters(Dialect::RFC5054));
    let check = |name, text| record.check(name, &Password::new(text), Preparation::None).unwrap();
    assert!(check("alice", "secret"));
    assert!(!check("alice", "Secret"));
    assert!(!check("bob", "secret"));
}

#[test]
fn exponents_have_the_length_of_their_group() {
    for (group, len) in
        [(Group::Bits2048, 32), (Group::Bits4096, 32), (Group::Bits6144, 44), (Group::Bits8192, 50)]
    {
        assert_eq!(group.exponent_len(), len);
        assert_eq!(group.random_exponent(&mut system_rng()).len(), len);
    }
}

#[test]
fn debug_shows_no_secret() {
    let record = verifier(&parameters(Dialect::RFC5054));
    assert_eq!(format!("{record:?}"), "Verifier(SHA-1, 2048 bits, redacted)");
    let established =
        Established { proof: crate::secret::verify(b"x", b"x").unwrap(), key: SecretBytes::new(vec![77]) };
    assert_eq!(format!("{established:?}"), "Established(redacted)");
}
