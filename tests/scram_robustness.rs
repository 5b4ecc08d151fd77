//! SCRAM against messages that were cut, bent, lengthened, repeated or sent in another order: always an error on
//! both sides, never a panic.
#![cfg(feature = "scram")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::sync::{Arc, LazyLock};

use common::FixedRng;
use countersign::mechanism;
use countersign::prep::Preparation;
use countersign::registry::{Credential, MemoryStore};
use countersign::scram::wire::{
    ClientFinalMessage, ClientFirstMessage, ServerFinalMessage, ServerFirstMessage,
};
use countersign::scram::{
    ClientConfig, ClientKeys, HashFunction, ITERATIONS_MIN, SEED_MIN, ScramClient, ScramMechanism,
    ScramServer, ServerConfig, StoredCredential, rules,
};
use countersign::secret::SecretBytes;
use countersign::{ChannelBinding, Context, Error, Mechanism, Outcome, Password, Step};
use proptest::prelude::*;

const MECHANISMS: [ScramMechanism; 2] =
    [ScramMechanism::new(HashFunction::Sha256), ScramMechanism::plus(HashFunction::Sha256)];

static RECORD: LazyLock<StoredCredential> = LazyLock::new(|| {
    let password = Password::new("pencil");
    StoredCredential::derive(HashFunction::Sha256, &password, Preparation::SaslPrep, b"salt", ITERATIONS_MIN)
        .unwrap()
});

/// From a first login, so that the many runs here cost no PBKDF2 as long as salt and count stay.
static KEYS: LazyLock<ClientKeys> = LazyLock::new(|| {
    let mechanism = MECHANISMS[0];
    let (client, first) = new_client(mechanism).start(&mut FixedRng(0)).unwrap();
    let request = server(mechanism).start(&mut FixedRng(1)).receive(&first).unwrap();
    let (server, challenge) = request.respond(Some(RECORD.clone())).unwrap();
    let (client, response) = client.receive(&challenge).unwrap();
    client.receive(&server.receive(&response).unwrap().1).unwrap().1
});

fn context() -> Context {
    Context::between("user", "peer").with_mechanisms(MECHANISMS.map(ScramMechanism::name))
}

fn binding(mechanism: ScramMechanism) -> Option<ChannelBinding> {
    mechanism.is_plus().then(|| ChannelBinding::tls_exporter([9; 32]))
}

fn client(mechanism: ScramMechanism) -> ClientConfig {
    new_client(mechanism).with_keys(KEYS.clone())
}

fn new_client(mechanism: ScramMechanism) -> ClientConfig {
    let password = Password::new("pencil");
    // A bent iteration count may be good; it need not be expensive.
    ClientConfig::new(mechanism, "user", password, binding(mechanism))
        .unwrap()
        .with_context(context())
        .with_iterations(ITERATIONS_MIN..=2 * ITERATIONS_MIN)
}

fn server(mechanism: ScramMechanism) -> ServerConfig {
    let seed = SecretBytes::new(vec![5; SEED_MIN]);
    ServerConfig::new(mechanism, binding(mechanism), &seed).unwrap().with_context(context())
}

/// A whole exchange in which `edit` sees each message, numbered from 0, on its way. Gives what each side came to.
fn exchange(
    mechanism: ScramMechanism,
    mut edit: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> (Result<Outcome, Error>, Result<Outcome, Error>) {
    let unfinished = || Err(Error::new(&mechanism::rules::OUT_OF_TURN));
    let (client, first) = client(mechanism).start(&mut FixedRng(0)).unwrap();
    let answered = server(mechanism)
        .start(&mut FixedRng(1))
        .receive(&edit(0, first))
        .and_then(|request| request.respond(Some(RECORD.clone())));
    let (server, challenge) = match answered {
        Ok(answered) => answered,
        Err(error) => return (unfinished(), Err(error)),
    };
    let (client, response) = match client.receive(&edit(1, challenge)) {
        Ok(answered) => answered,
        Err(error) => return (Err(error), unfinished()),
    };
    let (at_server, success) = match server.receive(&edit(2, response)) {
        Ok(verdict) => verdict,
        Err(error) => return (unfinished(), Err(error)),
    };
    (client.receive(&edit(3, success)).map(|(outcome, _)| outcome), Ok(at_server))
}

fn messages(mechanism: ScramMechanism) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let (at_client, at_server) = exchange(mechanism, |_, message| {
        seen.push(message.clone());
        message
    });
    assert!(at_client.is_ok() && at_server.is_ok());
    seen
}

/// Nobody may succeed after an edit, but for the server when only its own last message is edited.
#[track_caller]
fn assert_fails(mechanism: ScramMechanism, number: usize, edited: &[u8]) {
    let replace = |at, message| if at == number { edited.to_vec() } else { message };
    let (at_client, at_server) = exchange(mechanism, replace);
    let shown = String::from_utf8_lossy(edited);
    assert!(at_client.is_err(), "the client took message {number}: {shown}");
    assert!(at_server.is_err() || number == 3, "the server took message {number}: {shown}");
}

fn cut(number: usize) {
    for mechanism in MECHANISMS {
        let message = &messages(mechanism)[number];
        for len in 0..message.len() {
            assert_fails(mechanism, number, &message[..len]);
        }
    }
}

fn bend(number: usize) {
    for mechanism in MECHANISMS {
        let message = &messages(mechanism)[number];
        for at in 0..8 * message.len() {
            let mut bent = message.clone();
            bent[at / 8] ^= 1 << (at % 8);
            assert_fails(mechanism, number, &bent);
        }
    }
}

fn lengthen(number: usize) {
    for mechanism in MECHANISMS {
        let message = &messages(mechanism)[number];
        for octet in 0..=u8::MAX {
            assert_fails(mechanism, number, &[&message[..], &[octet]].concat());
            assert_fails(mechanism, number, &[&[octet], &message[..]].concat());
        }
    }
}

macro_rules! for_each_message {
    ($($name:ident, $what:ident, $number:literal;)*) => {$(
        #[test]
        fn $name() {
            $what($number);
        }
    )*};
}

for_each_message! {
    client_first_cut_at_every_octet, cut, 0;
    server_first_cut_at_every_octet, cut, 1;
    client_final_cut_at_every_octet, cut, 2;
    server_final_cut_at_every_octet, cut, 3;
    client_first_with_every_bit_flipped, bend, 0;
    server_first_with_every_bit_flipped, bend, 1;
    client_final_with_every_bit_flipped, bend, 2;
    server_final_with_every_bit_flipped, bend, 3;
    client_first_with_one_octet_more, lengthen, 0;
    server_first_with_one_octet_more, lengthen, 1;
    client_final_with_one_octet_more, lengthen, 2;
    server_final_with_one_octet_more, lengthen, 3;
}

/// The parts of another run, whose nonces differ.
fn another_run(mechanism: ScramMechanism) -> Vec<Vec<u8>> {
    let (client, first) = client(mechanism).start(&mut FixedRng(7)).unwrap();
    let request = server(mechanism).start(&mut FixedRng(8)).receive(&first).unwrap();
    let (server, challenge) = request.respond(Some(RECORD.clone())).unwrap();
    let (_, response) = client.receive(&challenge).unwrap();
    let (_, success) = server.receive(&response).unwrap();
    vec![first, challenge, response, success]
}

#[test]
fn messages_of_another_run_fail() {
    for mechanism in MECHANISMS {
        for (number, message) in another_run(mechanism).iter().enumerate() {
            assert_fails(mechanism, number, message);
        }
    }
}

#[test]
fn a_replayed_client_final_fails_by_its_nonce() {
    for mechanism in MECHANISMS {
        let old = another_run(mechanism).swap_remove(2);
        let (_, at_server) = exchange(mechanism, |at, message| if at == 2 { old.clone() } else { message });
        assert!(at_server.unwrap_err().is(&rules::NONCE_MISMATCH));
    }
}

#[test]
fn a_replayed_server_first_fails_by_its_nonce() {
    for mechanism in MECHANISMS {
        let old = another_run(mechanism).swap_remove(1);
        let (at_client, _) = exchange(mechanism, |at, message| if at == 1 { old.clone() } else { message });
        assert!(at_client.unwrap_err().is(&rules::NONCE_MISMATCH));
    }
}

#[test]
fn a_replayed_server_final_fails_by_its_signature() {
    for mechanism in MECHANISMS {
        let old = another_run(mechanism).swap_remove(3);
        let (at_client, _) = exchange(mechanism, |at, message| if at == 3 { old.clone() } else { message });
        assert!(at_client.unwrap_err().is(&rules::SERVER_SIGNATURE));
    }
}

#[test]
fn every_message_in_the_place_of_another_fails() {
    for mechanism in MECHANISMS {
        let messages = messages(mechanism);
        for place in 0..messages.len() {
            for (number, message) in messages.iter().enumerate() {
                if number != place {
                    assert_fails(mechanism, place, message);
                }
            }
        }
    }
}

// The same through the trait, where the order is not in the types.

fn pair(mechanism: ScramMechanism) -> (ScramClient, ScramServer) {
    let mut store = MemoryStore::new(&mut FixedRng(3));
    store.insert(&mechanism.name(), "user", Credential::Scram(RECORD.clone())).unwrap();
    let client = ScramClient::new(client(mechanism), &mut FixedRng(0)).unwrap();
    (client, ScramServer::new(server(mechanism), Arc::new(store), &mut FixedRng(1)))
}

#[track_caller]
fn goes_on(step: Result<Step, Error>) -> Vec<u8> {
    match step {
        Ok(Step::Continue(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_over(mechanism: &mut dyn Mechanism) {
    for input in [&b""[..], b"n,,n=user,r=abc"] {
        assert!(mechanism.step(input).unwrap_err().is(&mechanism::rules::OUT_OF_TURN));
    }
}

#[test]
fn both_sides_are_over_after_success() {
    for mechanism in MECHANISMS {
        let (mut client, mut server) = pair(mechanism);
        assert_eq!((client.name(), server.name()), (mechanism.name(), mechanism.name()));
        assert_eq!(client.properties(), server.properties());
        let first = goes_on(client.step(b""));
        let challenge = goes_on(server.step(&first));
        let response = goes_on(client.step(&challenge));
        let Ok(Step::Finished { reply: Some(success), .. }) = server.step(&response) else {
            panic!("the server accepts");
        };
        assert!(matches!(client.step(&success), Ok(Step::Finished { reply: None, .. })));
        assert_over(&mut client);
        assert_over(&mut server);
    }
}

#[test]
fn both_sides_are_over_after_an_error_in_any_state() {
    for mechanism in MECHANISMS {
        let (mut client, mut server) = pair(mechanism);
        assert!(server.step(b"nonsense").is_err());
        assert_over(&mut server);
        assert!(client.step(b"nonsense").unwrap_err().is(&mechanism::rules::UNEXPECTED_DATA));
        assert_over(&mut client);

        let (mut client, mut server) = pair(mechanism);
        let first = goes_on(client.step(b""));
        goes_on(server.step(&first));
        assert!(server.step(&first).is_err());
        assert_over(&mut server);
        assert!(client.step(&first).is_err());
        assert_over(&mut client);

        let (mut client, mut server) = pair(mechanism);
        let first = goes_on(client.step(b""));
        let challenge = goes_on(server.step(&first));
        goes_on(client.step(&challenge));
        assert!(client.step(&challenge).is_err());
        assert_over(&mut client);
    }
}

#[test]
fn a_client_does_not_take_its_own_message_back() {
    for mechanism in MECHANISMS {
        let (mut client, _) = pair(mechanism);
        let first = goes_on(client.step(b""));
        assert!(client.step(&first).is_err());
    }
}

// Parsers.

fn parse_all(message: &[u8]) {
    if let Ok(parsed) = ClientFirstMessage::parse(message) {
        assert_eq!([parsed.gs2_header, parsed.bare].concat().as_bytes(), message);
        assert!(!parsed.username.is_empty() && !parsed.nonce.is_empty());
    }
    if let Ok(parsed) = ServerFirstMessage::parse(message) {
        assert!(!parsed.salt.is_empty() && parsed.iterations > 0 && !parsed.nonce.is_empty());
    }
    if let Ok(parsed) = ClientFinalMessage::parse(message) {
        assert!(message.starts_with(parsed.without_proof.as_bytes()));
        assert!(!parsed.channel_binding.is_empty() && !parsed.nonce.is_empty());
    }
    let _ = ServerFinalMessage::parse(message);
}

proptest! {
    #[test]
    fn parsers_take_any_octets(message in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&message);
    }

    #[test]
    fn parsers_take_any_text(message in "\\PC{0,100}") {
        parse_all(message.as_bytes());
    }

    #[test]
    fn parsers_take_what_looks_like_scram(
        message in "(n|y|p=[a-z-]{0,5}|),(a=[a-z=23CD]{0,5}|),|",
        attributes in prop::collection::vec("[amnrcsipvehox]=[A-Za-z0-9+/=]{0,9}", 0..6),
    ) {
        parse_all((message + &attributes.join(",")).as_bytes());
        parse_all(attributes.join(",").as_bytes());
    }

    #[test]
    fn records_take_any_text(text in "(SCRAM-SHA-(1|256)|[A-Z-]{0,5})\\$?[0-9]{0,12}:?[A-Za-z+/=]{0,9}\\$?[A-Za-z+/=:]{0,60}") {
        if let Ok(record) = text.parse::<StoredCredential>() {
            prop_assert_eq!(&*record.to_rfc5803(), &text);
        }
    }

    #[test]
    fn names_go_through_unchanged(name in "[a-z=,]{1,20}") {
        let mechanism = MECHANISMS[0];
        let config = ClientConfig::new(mechanism, &name, Password::new("pencil"), None).unwrap();
        let (_, first) = config.start(&mut FixedRng(0)).unwrap();
        let config = ServerConfig::new(mechanism, None, &SecretBytes::new(vec![5; SEED_MIN])).unwrap();
        let request = config.start(&mut FixedRng(1)).receive(&first).unwrap();
        prop_assert_eq!(request.username(), name);
    }

    #[test]
    fn preparation_takes_any_text(text in "\\PC{0,100}") {
        for preparation in [Preparation::SaslPrep, Preparation::OpaqueString] {
            if let Ok(once) = preparation.prepare(&Password::new(text.as_str())) {
                let once = str::from_utf8(once.expose()).unwrap();
                // RFC 8264 section 7: applying a profile again changes nothing.
                let again = preparation.prepare(&Password::new(once)).unwrap();
                prop_assert_eq!(once.as_bytes(), again.expose());
            }
        }
    }
}
