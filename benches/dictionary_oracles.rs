//! How many passwords does each oracle test a second on one core, beside the plain way: one password after the other by
//! the code that logins run, or by a chain of the crates hmac and hkdf?
//!
//! The ratio is that of the medians in turn. Pin the run to one core. `benches/common/rates.rs` says which arguments there
//! are; `-- Argon2id` measures the rows with it alone.

#[path = "common/mod.rs"]
mod common;
#[path = "common/rates.rs"]
mod rates;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::{Row, whole};
use countersign::dictionary::capture::Capture;
use countersign::dictionary::{
    Exposure, Oracle, Situation, Transcript, View, exposure_of_record, exposure_of_transcript,
};
use countersign::ksf::Ksf;
use countersign::prep::Preparation;
use countersign::registry::Credential;
use countersign::scram::{HashFunction, StoredCredential, pbkdf2};
use countersign::spake2plus::{Group, Record};
use countersign::srp::{self, Dialect, Hash, Parameters, Prehash, Verifier};
use countersign::{Password, Side, opaque, system_rng};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rates::Sections;
use sha2::{Digest, Sha256};

const ALICE: &str = "alice@home.example";
const PASSWORD: &str = "a password that no list has";
const GUESS: &str = "word00000000";
const ITERATIONS: u32 = 4096;

fn main() {
    let sections = &mut Sections::from_args(3);
    for hash in [HashFunction::Sha1, HashFunction::Sha256, HashFunction::Sha512, HashFunction::Sha3_512] {
        scram_record(sections, hash);
    }
    scram_exchange(sections);
    tls13(sections);
    tls12(sections);
    for (hash, group) in [
        (Hash::Sha1, srp::Group::Bits1024),
        (Hash::Sha1, srp::Group::Bits2048),
        (Hash::Sha256, srp::Group::Bits2048),
        (Hash::Sha256, srp::Group::Bits3072),
        (Hash::Sha256, srp::Group::Bits4096),
    ] {
        srp_verifier(sections, hash, group, Prehash::None);
    }
    srp_verifier(sections, Hash::Sha256, srp::Group::Bits3072, Prehash::Ksf(Ksf::DEFAULT));
    spake2plus(sections, "P-256", Credential::Spake2Plus);
    spake2plus(sections, "edwards25519", Credential::Spake2PlusEd25519);
    opaque(sections);
}

fn oracle(exposure: countersign::Result<Exposure>) -> Box<dyn Oracle> {
    match exposure {
        Ok(Exposure::Guesses(oracle)) => oracle,
        other => panic!("{other:?}"),
    }
}

/// Time for each guess of one batch.
fn each(oracle: &dyn Oracle) -> Duration {
    let words = (0..oracle.batch()).map(|number| format!("word{number:08}")).collect::<Vec<_>>();
    let words = words.iter().map(String::as_bytes).collect::<Vec<_>>();
    let batch = whole(|| assert!(oracle.try_passwords(&words).expect("runs").is_none()));
    batch / u32::try_from(words.len()).expect("small")
}

fn against_plain(sections: &mut Sections, title: &str, oracle: &dyn Oracle, plain: &dyn Fn()) {
    if !sections.is_wanted(title) {
        return;
    }
    let rows: [Row<'_>; 2] = [("plain", Box::new(|| whole(plain))), ("oracle", Box::new(|| each(oracle)))];
    // Tables are made with the first guess.
    each(oracle);
    sections.measure(title, &rows);
}

fn scram_record(sections: &mut Sections, hash: HashFunction) {
    let password = Password::new(PASSWORD);
    let record = StoredCredential::derive(hash, &password, Preparation::SaslPrep, &[7; 16], ITERATIONS);
    let record = record.expect("a good password");
    let guess = Password::new(GUESS);
    let oracle = oracle(exposure_of_record(&Credential::Scram(record.clone()), ALICE, Preparation::SaslPrep));
    let title = format!("{} record, i = {ITERATIONS}", hash.scheme());
    against_plain(sections, &title, &*oracle, &|| {
        assert!(!record.check(&guess, Preparation::SaslPrep).expect("runs"));
    });
}

/// The example of RFC 7677, as an impostor of the server gets it.
fn scram_exchange(sections: &mut Sections) {
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let mut transcript = Transcript::new("SCRAM-SHA-256".parse().expect("a name"), View::ImpostorOfServer);
    let first = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    let challenge = format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i={ITERATIONS}");
    let last = format!("c=biws,r={NONCE}");
    let messages = [
        (Side::Client, format!("n,,{first}")),
        (Side::Server, challenge.clone()),
        (Side::Client, format!("{last},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")),
    ];
    for (from, message) in messages {
        transcript.push(from, message.as_bytes()).expect("short");
    }
    let oracle = oracle(exposure_of_transcript(&transcript, Preparation::SaslPrep));
    let auth_message = format!("{first},{challenge},{last}");
    let iterations = NonZeroU32::new(ITERATIONS).expect("not 0");
    against_plain(sections, "SCRAM-SHA-256 exchange, i = 4096", &*oracle, &|| {
        let mut salted = [0; 32];
        pbkdf2(HashFunction::Sha256, GUESS.as_bytes(), &[7; 16], iterations, &mut salted);
        let client_key = hmac(&salted, &[b"Client Key"]);
        let stored_key = Sha256::digest(client_key);
        black_box(hmac(&stored_key, &[auth_message.as_bytes()]));
    });
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn u16_len(octets: &[u8]) -> [u8; 2] {
    u16::try_from(octets.len()).expect("short").to_be_bytes()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16_len(body);
    [&[kind, 0, high, low], body].concat()
}

fn tls13(sections: &mut Sections) {
    let psk = [&[0, 11, 0, 5][..], b"alice", &[0; 4], &[0, 33, 32], &[0xa5; 32]].concat();
    let extension = [&[0, 41], &u16_len(&psk)[..], &psk].concat();
    let body = [&[3, 3][..], &[1; 32], &[0, 0, 2, 0x13, 1, 1, 0], &u16_len(&extension), &extension].concat();
    let capture = Capture::parse(&handshake(1, &body)).expect("a ClientHello");
    let oracle = oracle(capture.exposure(Situation::Listener, None));
    let label = |text: &[u8], context: &[u8]| {
        let len = |octets: &[u8]| u8::try_from(octets.len()).expect("short");
        [&[0, 32, len(text)], text, &[len(context)], context].concat()
    };
    let (nothing, transcript_hash) = (Sha256::digest(b""), [7; 32]);
    let (binder, finished) = (label(b"tls13 ext binder", &nothing), label(b"tls13 finished", b""));
    against_plain(sections, "TLS 1.3 PSK, ClientHello", &*oracle, &|| {
        let expand = |secret: &Hkdf<Sha256>, label: &[u8]| {
            let mut key = [0; 32];
            secret.expand(label, &mut key).expect("one block");
            key
        };
        let early = Hkdf::<Sha256>::new(None, GUESS.as_bytes());
        let binder_key = Hkdf::<Sha256>::from_prk(&expand(&early, &binder)).expect("long enough");
        black_box(hmac(&expand(&binder_key, &finished), &[&transcript_hash]));
    });
}

fn tls12(sections: &mut Sections) {
    let client = [&[3, 3][..], &[1; 32], &[0, 0, 2, 0, 0xa8, 1, 0]].concat();
    let server = [&[3, 3][..], &[2; 32], &[0, 0, 0xa8, 0]].concat();
    let messages = [handshake(1, &client), handshake(2, &server), handshake(14, &[]), handshake(16, b"\0\0")];
    let messages = messages.concat();
    let record = |kind: u8, content: &[u8]| [&[kind, 3, 3], &u16_len(content)[..], content].concat();
    let wire = [record(22, &messages), record(20, &[1]), record(22, &[0xa5; 40])].concat();
    let oracle = oracle(Capture::parse(&wire).expect("a handshake").exposure(Situation::Listener, None));
    let p_hash = |secret: &[u8], seed: &[u8]| {
        let first = hmac(secret, &[seed]);
        let second = hmac(secret, &[&first]);
        [hmac(secret, &[&first, seed]), hmac(secret, &[&second, seed])].concat()
    };
    against_plain(sections, "TLS 1.2 plain PSK, AES-128-GCM", &*oracle, &|| {
        let psk = GUESS.as_bytes();
        let premaster = [&u16_len(psk)[..], &vec![0; psk.len()], &u16_len(psk), psk].concat();
        let master = p_hash(&premaster, &[&b"master secret"[..], &[1; 32], &[2; 32]].concat());
        black_box(p_hash(&master[..48], &[&b"key expansion"[..], &[2; 32], &[1; 32]].concat()));
    });
}

fn srp_verifier(sections: &mut Sections, hash: Hash, group: srp::Group, prehash: Prehash) {
    let parameters = Parameters { dialect: Dialect { hash, ..Dialect::RFC5054 }, group, prehash };
    let (password, guess) = (Password::new(PASSWORD), Password::new(GUESS));
    let verifier = Verifier::generate(&parameters, ALICE, &password, Preparation::None, &mut system_rng());
    let verifier = verifier.expect("a good password");
    let oracle = oracle(exposure_of_record(&Credential::Srp(verifier.clone()), ALICE, Preparation::None));
    let stretched = if prehash == Prehash::None { "" } else { ", Argon2id" };
    let title = format!("SRP verifier, {group} bits, {hash}{stretched}");
    against_plain(sections, &title, &*oracle, &|| {
        assert!(!verifier.check(ALICE, &guess, Preparation::None).expect("runs"));
    });
}

fn spake2plus<G: Group>(sections: &mut Sections, group: &str, credential: fn(Record<G>) -> Credential) {
    let record = Record::<G>::enroll(ALICE, PASSWORD.as_bytes(), Ksf::DEFAULT, &mut system_rng());
    let record = record.expect("runs");
    let oracle = oracle(exposure_of_record(&credential(record.clone()), ALICE, Preparation::None));
    against_plain(sections, &format!("SPAKE2+ record (w0, L), {group}, Argon2id"), &*oracle, &|| {
        assert!(!record.check(ALICE, GUESS.as_bytes()).expect("runs"));
    });
}

fn opaque(sections: &mut Sections) {
    let mut rng = system_rng();
    let keys = Arc::new(opaque::ServerKeys::generate(&mut rng));
    let (record, _) =
        opaque::Record::enroll(keys, ALICE, PASSWORD.as_bytes(), Ksf::DEFAULT, &mut rng).expect("runs");
    let oracle = oracle(exposure_of_record(&Credential::Opaque(record.clone()), ALICE, Preparation::None));
    against_plain(sections, "OPAQUE record with the OPRF key, Argon2id", &*oracle, &|| {
        assert!(!record.check(ALICE, GUESS.as_bytes(), &mut system_rng()).expect("runs"));
    });
}
