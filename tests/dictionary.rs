//! What an attacker gets out of the library's own exchanges and records, for every mechanism: planted passwords are found
//! where they can be, and where they cannot, the reason is told.
#![cfg(all(
    feature = "dictionary",
    feature = "cpace",
    feature = "opaque",
    feature = "scram",
    feature = "spake2plus",
    feature = "srp"
))]
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;

use countersign::dictionary::{
    Exposure, Oracle, RECORDINGS_MAX, Recorder, Situation, Transcript, Unit, View, exposure_of_psk_list,
    exposure_of_record, exposure_of_transcript, rules,
};
use countersign::ksf::{Ksf, PBKDF2_ITERATIONS_MIN};
use countersign::mechanism::Guessing;
use countersign::prep::Preparation;
use countersign::registry::{
    self, ClientSetup, Credential, CredentialStore, Registered, ServerSetup, SharedPassword,
};
use countersign::scram::ITERATIONS_MIN;
use countersign::srp::{self, Dialect, Group, Hash, Identity, Prehash, Verifier};
use countersign::{BindingType, ChannelBinding, Context, Mechanism, Password, Side, Step, system_rng};

const ALICE: &str = "alice@atlanta.example";
const PASSWORD: &str = "correct horse";
/// The right one at the end, after some that no preparation lets through.
const CANDIDATES: [&[u8]; 5] = [b"123456", b"\xff\xfe", b"", b"correct  horse", b"correct horse"];

fn shared() -> SharedPassword {
    SharedPassword::new(ALICE, Password::new(PASSWORD), Preparation::SaslPrep, system_rng())
        .unwrap()
        .with_scram_iterations(ITERATIONS_MIN)
        .with_ksf(Ksf::CHEAPEST)
}

/// One run with a recorder around one side; the other side is the honest peer.
fn recorded(row: &Registered, side: Side, view: View) -> Transcript {
    let recorder = Recorder::new();
    let context = Context::between("alice@atlanta.example/lap", "bob@biloxi.example/tab")
        .with_mechanisms([row.name().clone()])
        .with_binding_types([BindingType::TlsExporter]);
    let binding = row.name().is_plus().then(|| ChannelBinding::tls_exporter([7; 32]));
    let client = ClientSetup {
        authcid: ALICE.to_owned(),
        authzid: None,
        password: Password::new(PASSWORD),
        preparation: Preparation::SaslPrep,
        binding: binding.clone(),
        context: context.clone(),
    };
    let server = ServerSetup { credentials: Arc::new(shared()), binding, context };
    let mut client = row.client(client, &mut system_rng()).unwrap();
    let mut server = row.server(server, &mut system_rng()).unwrap();
    match side {
        Side::Client => client = recorder.record(client, side, view),
        Side::Server => server = recorder.record(server, side, view),
    }
    run(&mut client, &mut server);
    drop((client, server));
    let [transcript] = <[Transcript; 1]>::try_from(recorder.take()).unwrap();
    assert!(recorder.take().is_empty());
    transcript
}

fn run(client: &mut Box<dyn Mechanism>, server: &mut Box<dyn Mechanism>) {
    let mut message = Vec::new();
    let (mut client_done, mut server_done) = (false, false);
    for turn in 0.. {
        let (side, done) = match turn % 2 {
            0 => (&mut *client, &mut client_done),
            _ => (&mut *server, &mut server_done),
        };
        message = match side.step(&message).unwrap() {
            Step::Continue(reply) => reply,
            Step::Finished { reply, .. } => {
                *done = true;
                reply.unwrap_or_default()
            }
        };
        if client_done && server_done {
            return;
        }
    }
}

fn finds_the_password(oracle: &dyn Oracle) {
    let found = oracle.try_passwords(&CANDIDATES).unwrap();
    assert_eq!(found.map(|found| found.index()), Some(4), "{}", oracle.mechanism());
    assert!(oracle.try_passwords(&CANDIDATES[..4]).unwrap().is_none(), "{}", oracle.mechanism());
    assert!(oracle.try_passwords(&[]).unwrap().is_none());
}

/// The three views on a run: the promise of the mechanism, and what the recorded octets give in truth.
#[test]
fn transcripts_give_away_what_the_mechanisms_say() {
    for row in registry::all() {
        let promised = row.properties();
        for (side, view, guessing) in [
            (Side::Client, View::Listener, promised.listener),
            (Side::Server, View::Listener, promised.listener),
            (Side::Client, View::ImpostorOfServer, promised.impostor),
            // SCRAM's impostor of the client gets no proof; nor does anybody else's.
            (Side::Server, View::ImpostorOfClient, Guessing::OnlineOnly),
        ] {
            let transcript = recorded(row, side, view);
            let transcript = Transcript::from_text(&transcript.to_text()).unwrap();
            let exposure = exposure_of_transcript(&transcript, Preparation::SaslPrep).unwrap();
            match (exposure, guessing) {
                (Exposure::Guesses(oracle), Guessing::OfflineStretched) => {
                    assert_eq!(oracle.mechanism(), row.name().as_str());
                    assert_eq!(oracle.situation(), view.situation());
                    finds_the_password(&*oracle);
                }
                (Exposure::NothingOffline(verdict), Guessing::OnlineOnly) => {
                    assert_eq!(verdict.mechanism, row.name().as_str());
                    assert_eq!(verdict.situation, view.situation());
                    assert!(verdict.reason.ends_with('.'));
                }
                (exposure, guessing) => panic!("{}: {exposure:?} and {guessing:?}", row.name()),
            }
        }
    }
}

#[test]
fn an_impostor_sees_no_message_beyond_his_own_power() {
    let scram = registry::find(&"SCRAM-SHA-256-PLUS".parse().unwrap()).unwrap();
    let of =
        |transcript: &Transcript| transcript.messages().iter().map(|(from, _)| *from).collect::<Vec<_>>();
    // The proof is the last; the server's signature he could not have made.
    let as_server = recorded(scram, Side::Client, View::ImpostorOfServer);
    assert_eq!(of(&as_server), [Side::Client, Side::Server, Side::Client]);
    assert!(as_server.messages()[2].1.windows(3).any(|octets| octets == b",p="));
    let as_client = recorded(scram, Side::Server, View::ImpostorOfClient);
    assert_eq!(of(&as_client), [Side::Client, Side::Server]);
    // Who records the side that the impostor would have played records nothing.
    assert!(of(&recorded(scram, Side::Server, View::ImpostorOfServer)).is_empty());
    // Nothing of what runs inside TLS reaches a listener.
    assert!(of(&recorded(scram, Side::Client, View::Listener)).is_empty());
    let open = registry::find(&"SCRAM-SHA-256".parse().unwrap()).unwrap();
    assert_eq!(of(&recorded(open, Side::Server, View::Listener)).len(), 4);
}

#[test]
fn a_recorder_keeps_no_more_than_its_limit() {
    let recorder = Recorder::new();
    let row = registry::find(&"SCRAM-SHA-1".parse().unwrap()).unwrap();
    for _ in 0..=RECORDINGS_MAX {
        let setup = ServerSetup { credentials: Arc::new(shared()), binding: None, context: Context::new() };
        let server = row.server(setup, &mut system_rng()).unwrap();
        drop(recorder.record(server, Side::Server, View::Listener));
    }
    assert_eq!(recorder.take().len(), RECORDINGS_MAX);
}

#[test]
fn records_give_away_what_the_mechanisms_say() {
    let store = shared();
    for row in registry::all() {
        let record = store.lookup(row.name(), ALICE).unwrap().unwrap();
        let exposure = exposure_of_record(&record, ALICE, Preparation::SaslPrep).unwrap();
        match (exposure, row.properties().thief) {
            (Exposure::Guesses(oracle), Guessing::OfflineStretched | Guessing::OfflineFast) => {
                let plus = oracle.mechanism() == row.name().as_str();
                assert!(plus || format!("{}-PLUS", oracle.mechanism()) == row.name().as_str());
                assert_eq!(oracle.situation(), Situation::Thief);
                finds_the_password(&*oracle);
            }
            (Exposure::Immediate(_), Guessing::Immediate) => {}
            (exposure, thief) => panic!("{}: {exposure:?} and {thief:?}", row.name()),
        }
    }
    assert!(matches!(exposure_of_psk_list(), Exposure::Immediate(_)));
}

#[test]
fn records_stretched_with_pbkdf2_are_tested_at_their_price() {
    let store = shared().with_ksf(Ksf::pbkdf2(PBKDF2_ITERATIONS_MIN).unwrap());
    // 32 octets for SRP, 40 of 80 for SPAKE2+, 64 for OPAQUE.
    for (name, outputs) in [
        ("SRP-SHA-256-PLUS", 1),
        ("SPAKE2P-ED25519-PLUS", 2),
        ("SPAKE2PLUS-P256-PLUS", 2),
        ("OPAQUE-R255-PLUS", 2),
    ] {
        let record = store.lookup(&name.parse().unwrap(), ALICE).unwrap().unwrap();
        let exposure = exposure_of_record(&record, ALICE, Preparation::SaslPrep).unwrap();
        let Exposure::Guesses(oracle) = exposure else { panic!("{name}") };
        finds_the_password(&*oracle);
        let work = oracle.work();
        let (_, count) = work.parts().iter().find(|(unit, _)| *unit == Unit::Sha256).unwrap();
        let slow = 2 * u64::from(PBKDF2_ITERATIONS_MIN) * outputs;
        assert!((slow + 2..slow + 10).contains(count), "{name}: {count}");
    }
}

#[test]
fn another_users_name_or_preparation_finds_nothing() {
    let store = shared();
    let of = |name: &str| store.lookup(&name.parse().unwrap(), ALICE).unwrap().unwrap();
    for name in ["SPAKE2PLUS-P256-PLUS", "OPAQUE-R255-PLUS", "SRP"] {
        let Exposure::Guesses(oracle) =
            exposure_of_record(&of(name), "bob@biloxi.example", Preparation::SaslPrep).unwrap()
        else {
            panic!("{name}");
        };
        assert!(oracle.try_passwords(&CANDIDATES).unwrap().is_none(), "{name}");
    }
    let typed = ["correct\u{a0}horse".as_bytes()];
    for (preparation, found) in [(Preparation::SaslPrep, true), (Preparation::None, false)] {
        let Exposure::Guesses(oracle) = exposure_of_record(&of("SCRAM-SHA-1"), ALICE, preparation).unwrap()
        else {
            panic!();
        };
        assert_eq!(oracle.try_passwords(&typed).unwrap().is_some(), found);
    }
}

#[test]
fn srp_verifiers_of_every_kind() {
    let password = Preparation::SaslPrep.prepare(&Password::new(PASSWORD)).unwrap();
    let kinds = [
        (Hash::Sha1, Group::Bits1024, Identity::Included, Prehash::None),
        (Hash::Sha1, Group::Bits2048, Identity::Omitted, Prehash::None),
        (Hash::Sha256, Group::Bits2048, Identity::Included, Prehash::Ksf(Ksf::CHEAPEST)),
        (Hash::Sha256, Group::Bits2048, Identity::Omitted, Prehash::Pbkdf2(3)),
        (Hash::Sha512, Group::Bits1536, Identity::Included, Prehash::None),
    ];
    for (hash, group, identity, prehash) in kinds {
        let dialect = Dialect { hash, identity, ..Dialect::RFC5054 };
        let parameters = srp::Parameters { dialect, group, prehash };
        let verifier = Verifier::derive(&parameters, ALICE, &password, b"sixteen octets!!").unwrap();
        let exposure = exposure_of_record(&Credential::Srp(verifier), ALICE, Preparation::SaslPrep).unwrap();
        let Exposure::Guesses(oracle) = exposure else { panic!("{exposure:?}") };
        finds_the_password(&*oracle);
        let work = oracle.work();
        let multiplications = work.parts().iter().find_map(|(unit, count)| match unit {
            Unit::Multiplication { bits } if *bits == group.bits() => Some(*count),
            _ => None,
        });
        let windows = (8 * hash.output_len() as u64).div_ceil(16);
        assert!(multiplications.is_some_and(|count| count >= windows - 1), "{work}");
    }
}

/// Lines that `openssl srp` and `srptool` wrote.
#[test]
fn verifiers_of_openssl_and_gnutls() {
    let file = include_str!("../vectors/srp_verifier_files.json");
    let file = serde_json::from_str::<serde_json::Value>(file).unwrap();
    let mut tried = 0;
    for case in file["cases"].as_array().unwrap() {
        let (Some(tool), Some(line), Some(password)) =
            (case["tool"].as_str(), case["line"].as_str(), case["password"].as_str())
        else {
            continue;
        };
        let legacy = srp::Legacy::Allowed;
        let (name, verifier) = match tool {
            "openssl srp" => Verifier::from_openssl(line, legacy).unwrap(),
            _ => Verifier::from_gnutls(line, None, legacy).unwrap(),
        };
        let exposure = exposure_of_record(&Credential::Srp(verifier), &name, Preparation::None).unwrap();
        let Exposure::Guesses(oracle) = exposure else { panic!("{exposure:?}") };
        let found = oracle.try_passwords(&[b"wrong", password.as_bytes()]).unwrap();
        assert_eq!(found.map(|found| found.index()), Some(1), "{tool} {name}");
        tried += 1;
    }
    assert!(tried >= 4, "{tried}");
}

#[test]
fn a_damaged_transcript_of_a_real_run_is_refused() {
    let row = registry::find(&"SCRAM-SHA-256".parse().unwrap()).unwrap();
    let whole = recorded(row, Side::Client, View::Listener);
    for missing in 0..3 {
        let mut cut = Transcript::new(whole.mechanism().clone(), View::Listener);
        for (index, (from, message)) in whole.messages().iter().enumerate() {
            if index != missing {
                cut.push(*from, message).unwrap();
            }
        }
        let error = exposure_of_transcript(&cut, Preparation::SaslPrep).unwrap_err();
        assert!(error.is(&rules::MESSAGES_DO_NOT_FIT) || error.kind() != countersign::ErrorKind::Environment);
    }
}
