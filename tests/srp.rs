//! SRP, SRP-SHA-256-PLUS and SRP-SHA-512-PLUS as mechanisms, verifier files, and the crate srp 0.6 as a peer.
#![cfg(feature = "srp")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, LazyLock};

use countersign::ksf::{self, Ksf};
use countersign::mechanism::{self, Step};
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup};
use countersign::sasl::{ClientExchange, Floor, Policy, ServerExchange, ServerStep};
use countersign::secret::SecretBytes;
use countersign::srp::plus::{SHA_256_PLUS, SHA_512_PLUS, Suite};
use countersign::srp::{
    Client, Dialect, Group, Hash, Legacy, Parameters, Prehash, Server, Verifier, files, plus, rules, sasl,
};
use countersign::{
    BindingType, ChannelBinding, Context, Error, Mechanism, MechanismName, Outcome, Password, Result, Rule,
    Side, system_rng, wire,
};
use proptest::prelude::*;
use sha1_010::Sha1;

const ALICE: &str = "alice@wonderland.example";
const BOB: &str = "bob@home.example/laptop";
const PASSWORD: &str = "correct horse";
const SALT: [u8; 16] = *b"sixteen octets!!";

static SEED: LazyLock<SecretBytes> = LazyLock::new(|| SecretBytes::new(vec![9; 32]));

/// All names of the family.
fn names() -> [MechanismName; 3] {
    [SHA_256_PLUS, SHA_512_PLUS, sasl::NAME]
}

/// What a record of `name` is made with; the hash is cheap where there is one.
fn parameters(name: &MechanismName) -> Parameters {
    match Suite::of(name) {
        Ok(suite) => Parameters { prehash: Prehash::Ksf(Ksf::CHEAPEST), ..suite.parameters() },
        Err(_) => sasl::PARAMETERS,
    }
}

/// The same for all tests: making one takes long in debug builds.
static RECORDS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let password = SecretBytes::new(PASSWORD.as_bytes().to_vec());
    let record = |name| Verifier::derive(&parameters(&name), ALICE, &password, &SALT).unwrap();
    names().map(record).to_vec()
});

fn record(name: &MechanismName) -> Verifier {
    RECORDS[names().iter().position(|known| known == name).unwrap()].clone()
}

/// Answers for [`ALICE`] with one record, whatever the mechanism.
struct OneUser(Credential);

impl CredentialStore for OneUser {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        Ok((authcid == ALICE).then(|| self.0.clone()))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &SEED
    }
}

fn context() -> Context {
    Context::between("alice@wonderland.example/phone", BOB)
        .with_mechanisms(names())
        .with_binding_types([BindingType::TlsExporter])
        .with_offer(*b"<security/>")
}

fn binding() -> ChannelBinding {
    ChannelBinding::tls_exporter([0x42; 32])
}

fn client_setup() -> ClientSetup {
    ClientSetup {
        authcid: ALICE.into(),
        authzid: None,
        password: Password::new(PASSWORD),
        preparation: Preparation::SaslPrep,
        binding: Some(binding()),
        context: context(),
    }
}

fn server_with(credential: Credential) -> ServerSetup {
    ServerSetup { credentials: Arc::new(OneUser(credential)), binding: Some(binding()), context: context() }
}

fn server_setup(name: &MechanismName) -> ServerSetup {
    server_with(Credential::Srp(record(name)))
}

fn client(name: &MechanismName, setup: ClientSetup) -> Box<dyn Mechanism> {
    registry::find(name).unwrap().client(setup, &mut system_rng()).unwrap()
}

fn server(name: &MechanismName, setup: ServerSetup) -> Box<dyn Mechanism> {
    registry::find(name).unwrap().server(setup, &mut system_rng()).unwrap()
}

fn both(name: &MechanismName) -> (Box<dyn Mechanism>, Box<dyn Mechanism>) {
    (client(name, client_setup()), server(name, server_setup(name)))
}

/// Runs both sides, each message passing through `edit` with its number from 0; the first error ends it, with the side
/// that found it.
fn run_edited(
    (mut client, mut server): (Box<dyn Mechanism>, Box<dyn Mechanism>),
    mut edit: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> std::result::Result<(Outcome, Outcome), (Side, Error)> {
    let by = |side| move |error| (side, error);
    let mut message = Vec::new();
    for number in 0.. {
        let reply = match client.step(&message).map_err(by(Side::Client))? {
            Step::Continue(reply) => reply,
            Step::Finished { .. } => panic!("the client has the last word"),
        };
        match server.step(&edit(2 * number, reply)).map_err(by(Side::Server))? {
            Step::Continue(answer) => message = edit(2 * number + 1, answer),
            Step::Finished { reply, outcome: theirs } => {
                let last = edit(2 * number + 1, reply.unwrap());
                let Step::Finished { reply: None, outcome: ours } =
                    client.step(&last).map_err(by(Side::Client))?
                else {
                    panic!("the client goes on");
                };
                return Ok((ours, theirs));
            }
        }
    }
    unreachable!()
}

fn run(
    sides: (Box<dyn Mechanism>, Box<dyn Mechanism>),
) -> std::result::Result<(Outcome, Outcome), (Side, Error)> {
    run_edited(sides, |_, message| message)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: std::result::Result<T, (Side, Error)>, by: Side, rule: &Rule) {
    let (side, error) = result.unwrap_err();
    assert!(error.is(rule) && side == by, "{side:?}: {error:?}");
}

/// The messages of one good exchange.
fn transcript(name: &MechanismName) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    run_edited(both(name), |_, message| {
        messages.push(message.clone());
        message
    })
    .unwrap();
    messages
}

#[test]
fn both_sides_agree_and_name_each_other() {
    for name in names() {
        let (ours, theirs) = run(both(&name)).unwrap();
        for (outcome, side) in [(&ours, Side::Client), (&theirs, Side::Server)] {
            assert_eq!((outcome.mechanism(), outcome.side(), outcome.authcid()), (&name, side, ALICE));
            assert_eq!(outcome.authzid(), None);
            assert_eq!(outcome.binding().is_some(), name.is_plus());
        }
        let [ours, theirs] = [ours, theirs].map(|outcome| outcome.key().unwrap().expose().to_vec());
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), if name == SHA_512_PLUS { 64 } else { 32 });
    }
}

#[test]
fn two_exchanges_have_nothing_in_common() {
    for name in names() {
        let keys = [(); 2].map(|()| run(both(&name)).unwrap().0.key().unwrap().expose().to_vec());
        assert_ne!(keys[0], keys[1]);
    }
}

#[test]
fn sasl_carries_the_exchanges() {
    for name in names() {
        let (client, server) = both(&name);
        let (mut client, initial) = ClientExchange::start(client).unwrap();
        let (mut server, mut step) = ServerExchange::start(server, initial.as_deref()).unwrap();
        let outcome = loop {
            match step {
                ServerStep::Challenge(challenge) => {
                    let response = client.challenge(&challenge).unwrap();
                    step = server.response(&response).unwrap();
                }
                ServerStep::Success(additional, _) => break client.success(additional.as_deref()).unwrap(),
            }
        };
        assert_eq!(outcome.authcid(), ALICE);
    }
}

#[test]
fn srp_is_taken_by_name_only_and_bound() {
    let names = [SHA_256_PLUS, SHA_512_PLUS, sasl::NAME];
    assert!(Policy::default().acceptable().iter().all(|name| !names.contains(name)));
    assert_eq!(Policy::named(names).acceptable(), [SHA_256_PLUS, SHA_512_PLUS]);
    let named = Policy::named([sasl::NAME]);
    assert!(named.select(&[sasl::NAME]).is_err());
    assert_eq!(named.with_floor(Floor::Named).select(&[sasl::NAME]).unwrap().chosen, sasl::NAME);
}

#[test]
fn a_wrong_password_is_refused_by_the_server() {
    for name in names() {
        let setup = ClientSetup { password: Password::new("Correct horse"), ..client_setup() };
        let sides = (client(&name, setup), server(&name, server_setup(&name)));
        assert_refused(run(sides), Side::Server, &rules::WRONG_CLIENT_PROOF);
    }
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    for name in names() {
        // The record of a known user is like those that the registry makes, so that there is nothing to tell apart.
        let enrolled = registry::find(&name)
            .unwrap()
            .enroll(ALICE, &Password::new(PASSWORD), Preparation::SaslPrep, &mut system_rng())
            .unwrap();
        let mut seen = Vec::new();
        for (user, typed) in [(ALICE, "wrong"), ("nobody", "wrong"), ("nobody", "wrong")] {
            let setup =
                ClientSetup { authcid: user.into(), password: Password::new(typed), ..client_setup() };
            let sides = (client(&name, setup), server(&name, server_with(enrolled.clone())));
            let mut lengths = Vec::new();
            let mut answer = Vec::new();
            let result = run_edited(sides, |number, message| {
                if number == 1 {
                    answer = message.clone();
                }
                if number % 2 == 1 {
                    lengths.push(message.len());
                }
                message
            });
            assert_refused(result, Side::Server, &rules::WRONG_CLIENT_PROOF);
            seen.push((lengths, answer));
        }
        assert_eq!(seen[0].0, seen[1].0, "{name}");
        // The salt is the same each time, B is not.
        let salt_of = |answer: &[u8]| {
            if name == sasl::NAME {
                answer[4 + 1 + 2 + 256 + 3 + 1..][..16].to_vec()
            } else {
                answer[19..][..16].to_vec()
            }
        };
        assert_eq!(salt_of(&seen[1].1), salt_of(&seen[2].1));
        assert_ne!(seen[1].1, seen[2].1);
    }
}

#[test]
fn a_record_of_another_kind_is_refused() {
    for (name, other) in [
        (SHA_256_PLUS, Credential::Password(Password::new(PASSWORD))),
        (SHA_256_PLUS, Credential::Srp(record(&SHA_512_PLUS))),
        (SHA_256_PLUS, Credential::Srp(record(&sasl::NAME))),
        (sasl::NAME, Credential::Srp(record(&SHA_256_PLUS))),
        (sasl::NAME, Credential::Password(Password::new(PASSWORD))),
    ] {
        let sides = (client(&name, client_setup()), server(&name, server_with(other)));
        assert_refused(run(sides), Side::Server, &registry::rules::WRONG_CREDENTIAL);
    }
}

#[test]
fn plus_needs_a_binding() {
    for name in [SHA_256_PLUS, SHA_512_PLUS] {
        let row = registry::find(&name).unwrap();
        let setup = ClientSetup { binding: None, ..client_setup() };
        assert!(
            row.client(setup.clone(), &mut system_rng()).err().unwrap().is(&registry::rules::BINDING_MISSING)
        );
        let server = ServerSetup { binding: None, ..server_setup(&name) };
        assert!(
            row.server(server.clone(), &mut system_rng())
                .err()
                .unwrap()
                .is(&registry::rules::BINDING_MISSING)
        );
        let suite = Suite::of(&name).unwrap();
        let made = plus::ClientReady::new(suite, setup, &mut system_rng());
        assert!(made.err().unwrap().is(&registry::rules::BINDING_MISSING));
        let made = plus::ExpectClientFirst::new(suite, server, &mut system_rng());
        assert!(made.err().unwrap().is(&registry::rules::BINDING_MISSING));
    }
}

#[test]
fn another_channel_is_refused() {
    for name in [SHA_256_PLUS, SHA_512_PLUS] {
        let setup = ClientSetup { binding: Some(ChannelBinding::tls_exporter([0x43; 32])), ..client_setup() };
        let sides = (client(&name, setup), server(&name, server_setup(&name)));
        assert_refused(run(sides), Side::Server, &rules::WRONG_CLIENT_PROOF);
    }
}

#[test]
fn another_type_of_binding_is_refused() {
    let unique = ChannelBinding::tls_unique(&[7; 12]).unwrap();
    let setup = ClientSetup { binding: Some(unique), ..client_setup() };
    let sides = (client(&SHA_256_PLUS, setup), server(&SHA_256_PLUS, server_setup(&SHA_256_PLUS)));
    assert_refused(run(sides), Side::Server, &wire::rules::OTHER_BINDING_TYPE);
}

#[test]
fn an_edited_offer_or_identity_is_refused() {
    let contexts = [
        Context::between("mallory@wonderland.example/phone", BOB),
        Context::between("alice@wonderland.example/phone", "carol@home.example/desk"),
        Context::between(BOB, "alice@wonderland.example/phone"),
        context().with_mechanisms([SHA_256_PLUS]),
        context().with_binding_types([BindingType::TlsUnique]),
        context().with_offer(*b"more"),
        Context::new(),
    ];
    for context in contexts {
        let setup = ClientSetup { context, ..client_setup() };
        let sides = (client(&SHA_256_PLUS, setup), server(&SHA_256_PLUS, server_setup(&SHA_256_PLUS)));
        assert_refused(run(sides), Side::Server, &rules::WRONG_CLIENT_PROOF);
    }
}

#[test]
fn another_authorization_identity_is_refused() {
    for (name, rule) in [(SHA_256_PLUS, &wire::rules::AUTHZID_REFUSED), (sasl::NAME, &rules::AUTHZID_REFUSED)]
    {
        let other = ClientSetup { authzid: Some("admin".into()), ..client_setup() };
        assert_refused(run((client(&name, other), server(&name, server_setup(&name)))), Side::Server, rule);
        let same = ClientSetup { authzid: Some(ALICE.into()), ..client_setup() };
        assert!(run((client(&name, same), server(&name, server_setup(&name)))).is_ok());
    }
}

#[test]
fn an_authorization_that_the_application_grants_is_reported() {
    let setup = ClientSetup { authzid: Some("admin".into()), ..client_setup() };
    let (first, client) = sasl::ClientReady::new(setup, &mut system_rng()).unwrap().start();
    let server = sasl::ExpectClientFirst::new(server_setup(&sasl::NAME), &mut system_rng())
        .with_authorization(|who, whom| (who, whom) == (ALICE, "admin"));
    let (reply, server) = server.handle(&first).unwrap();
    let (second, client) = client.handle(&reply).unwrap();
    let (last, theirs) = server.handle(&second).unwrap();
    let ours = client.handle(&last).unwrap();
    assert_eq!((ours.authzid(), theirs.authzid()), (Some("admin"), Some("admin")));
}

#[test]
fn a_step_after_the_end_or_an_error_is_out_of_turn() {
    for name in names() {
        let (mut client, mut server) = both(&name);
        let Step::Continue(first) = client.step(&[]).unwrap() else { panic!() };
        assert!(server.step(b"nonsense").is_err());
        assert!(server.step(&first).unwrap_err().is(&mechanism::rules::OUT_OF_TURN));
        assert!(client.step(b"nonsense").is_err());
        assert!(client.step(&first).unwrap_err().is(&mechanism::rules::OUT_OF_TURN));
        let mut fresh = self::client(&name, client_setup());
        assert!(fresh.step(b"x").unwrap_err().is(&mechanism::rules::UNEXPECTED_DATA));
    }
}

#[test]
fn every_truncated_message_is_refused() {
    for name in [SHA_256_PLUS, sasl::NAME] {
        let messages = transcript(&name);
        for (number, message) in messages.iter().enumerate() {
            // Each octet of the short ones; of the long ones the ends and some between.
            let lengths =
                (0..message.len()).filter(|len| *len < 24 || *len + 24 > message.len() || len % 61 == 0);
            for len in lengths {
                let cut = |at, message: Vec<u8>| if at == number { message[..len].to_vec() } else { message };
                assert!(run_edited(both(&name), cut).is_err(), "{name}: message {number} cut to {len}");
            }
        }
    }
}

#[test]
fn every_extended_message_is_refused() {
    for name in names() {
        for number in 0..4 {
            for more in [&[0][..], &[1, 2, 3], &[0; 1000]] {
                let extend = |at, mut message: Vec<u8>| {
                    if at == number {
                        message.extend_from_slice(more);
                    }
                    message
                };
                assert!(run_edited(both(&name), extend).is_err(), "{name}: message {number}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for name in [SHA_256_PLUS, sasl::NAME] {
        let messages = transcript(&name);
        for (number, message) in messages.iter().enumerate() {
            for position in (0..message.len()).filter(|at| *at < 40 || at % 29 == 0 || at + 4 > message.len())
            {
                // SASL SRP proves neither the initial vectors nor what stands in them, since they are for layers only.
                let in_iv = |from_end: usize| name == sasl::NAME && position + from_end >= message.len();
                if (number == 2 && in_iv(16))
                    || (number == 3 && (25..41).contains(&position) && name == sasl::NAME)
                {
                    continue;
                }
                let flip = |at, mut message: Vec<u8>| {
                    if at == number {
                        message[position] ^= 1 << (position % 8);
                    }
                    message
                };
                assert!(run_edited(both(&name), flip).is_err(), "{name}: message {number}, octet {position}");
            }
        }
    }
}

#[test]
fn replayed_and_reflected_messages_are_refused() {
    for name in names() {
        let old = transcript(&name);
        for (number, message) in old.iter().enumerate().skip(1) {
            let replay = |at, new: Vec<u8>| if at == number { message.clone() } else { new };
            assert!(run_edited(both(&name), replay).is_err(), "{name}: message {number}");
        }
        for (number, reflected) in [(1, 0), (2, 1), (3, 2)] {
            let mut sent = Vec::new();
            let reflect = |at: usize, new: Vec<u8>| {
                sent.push(new.clone());
                if at == number { sent[reflected].clone() } else { new }
            };
            assert!(run_edited(both(&name), reflect).is_err(), "{name}: {reflected} as {number}");
        }
    }
}

/// Every value that no peer may send, with the rule it breaks.
fn bad_shares(group: Group) -> Vec<(Vec<u8>, &'static Rule)> {
    let n = group.modulus();
    let mut minus_one = n.to_vec();
    *minus_one.last_mut().unwrap() -= 1;
    vec![
        (vec![], &rules::SHARE_ZERO),
        (vec![0], &rules::SHARE_ZERO),
        (vec![0; n.len()], &rules::SHARE_ZERO),
        (n.to_vec(), &rules::SHARE_TOO_LARGE),
        ([&[0], n].concat(), &rules::SHARE_TOO_LARGE),
        (doubled(n), &rules::SHARE_TOO_LONG),
        (vec![1], &rules::SHARE_TRIVIAL),
        (minus_one, &rules::SHARE_TRIVIAL),
        ([&[1], n].concat(), &rules::SHARE_TOO_LONG),
        (vec![0xff; 65536], &rules::SHARE_TOO_LONG),
    ]
}

/// 2N, one octet longer than N.
fn doubled(n: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut twice = n.iter().rev().map(|octet| {
        let sum = u16::from(*octet) * 2 + carry;
        carry = sum >> 8;
        sum as u8
    });
    let mut twice = twice.by_ref().collect::<Vec<_>>();
    twice.push(carry as u8);
    twice.reverse();
    twice
}

#[test]
fn the_server_refuses_bad_values_of_a() {
    for group in [Group::Bits2048, Group::Bits3072] {
        let parameters = Parameters { group, ..sasl::PARAMETERS };
        let verifier = Verifier::from_parts(&parameters, &SALT, &[7; 100]).unwrap();
        for (a, rule) in bad_shares(group) {
            let server = Server::start(parameters.dialect, verifier.clone(), &mut system_rng()).unwrap();
            let error = server.receive(ALICE, &a).err().unwrap();
            assert!(error.is(rule), "{error:?}");
            assert_eq!((error.numbers(), error.subject()), (None, None));
        }
    }
}

#[test]
fn the_client_refuses_bad_values_of_b() {
    let password = SecretBytes::new(PASSWORD.as_bytes().to_vec());
    for group in [Group::Bits2048, Group::Bits3072] {
        let parameters = Parameters { group, ..sasl::PARAMETERS };
        for (b, rule) in bad_shares(group) {
            let client = Client::start(parameters, &mut system_rng());
            let error = client.respond(ALICE, &password, &SALT, &b).err().unwrap();
            assert!(error.is(rule), "{error:?}");
            assert_eq!((error.numbers(), error.subject()), (None, None));
        }
    }
}

/// A first message of an SRP-…-PLUS server.
fn plus_first(bits: u16, ksf: [u8; 13], salt: &[u8], b: &[u8]) -> Vec<u8> {
    let length = (salt.len() as u16).to_be_bytes();
    [&[1, 2], &bits.to_be_bytes()[..], &ksf, &length, salt, b].concat()
}

#[track_caller]
fn plus_client_refuses(message: Vec<u8>, rule: &Rule) {
    let edit = |at, old: Vec<u8>| if at == 1 { message.clone() } else { old };
    assert_refused(run_edited(both(&SHA_256_PLUS), edit), Side::Client, rule);
}

#[test]
fn the_plus_client_refuses_groups_below_3072_bits_and_unknown_ones() {
    let ksf = Ksf::CHEAPEST.to_bytes();
    plus_client_refuses(plus_first(2048, ksf, &SALT, &[7; 256]), &rules::GROUP_TOO_SMALL_FOR_PLUS);
    plus_client_refuses(plus_first(1024, ksf, &SALT, &[7; 128]), &rules::GROUP_TOO_SMALL);
    plus_client_refuses(plus_first(3071, ksf, &SALT, &[7; 384]), &rules::UNKNOWN_GROUP);
}

#[test]
fn the_plus_client_bounds_the_password_hash() {
    let mut excessive = Ksf::CHEAPEST.to_bytes();
    excessive[1] = 0xff;
    plus_client_refuses(plus_first(3072, excessive, &SALT, &[7; 384]), &ksf::rules::EXCESSIVE_WORK);
    plus_client_refuses(plus_first(3072, [0; 13], &SALT, &[7; 384]), &ksf::rules::UNKNOWN_ALGORITHM);
}

#[test]
fn the_plus_client_bounds_the_salt() {
    let ksf = Ksf::CHEAPEST.to_bytes();
    plus_client_refuses(plus_first(3072, ksf, &[7; 7], &[7; 384]), &rules::SALT_LENGTH);
    plus_client_refuses(plus_first(3072, ksf, &[7; 256], &[7; 384]), &rules::SALT_LENGTH);
}

#[test]
fn the_plus_client_wants_b_in_its_full_length() {
    let ksf = Ksf::CHEAPEST.to_bytes();
    for len in [0, 383, 385, 60_000] {
        plus_client_refuses(plus_first(3072, ksf, &SALT, &vec![7; len]), &wire::rules::WRONG_LENGTH);
    }
    plus_client_refuses(plus_first(3072, ksf, &SALT, &[0; 384]), &rules::SHARE_ZERO);
}

#[test]
fn the_plus_server_refuses_a_record_in_a_small_group() {
    let small = Parameters { group: Group::Bits2048, ..parameters(&SHA_256_PLUS) };
    let verifier = Verifier::from_parts(&small, &SALT, &[7; 100]).unwrap();
    let sides = (
        client(&SHA_256_PLUS, client_setup()),
        server(&SHA_256_PLUS, server_with(Credential::Srp(verifier))),
    );
    assert_refused(run(sides), Side::Server, &rules::GROUP_TOO_SMALL_FOR_PLUS);
}

/// A first message of a SASL SRP server.
fn sasl_first(modulus: &[u8], generator: &[u8], salt: &[u8], b: &[u8], options: &str) -> Vec<u8> {
    let long = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
    let content = [
        vec![0],
        long(modulus),
        long(generator),
        vec![salt.len() as u8],
        salt.to_vec(),
        long(b),
        long(options.as_bytes()),
    ]
    .concat();
    [&(content.len() as u32).to_be_bytes()[..], &content].concat()
}

fn sasl_client(message: &[u8]) -> Result<Vec<u8>> {
    let (_, client) = sasl::ClientReady::new(client_setup(), &mut system_rng()).unwrap().start();
    client.handle(message).map(|(reply, _)| reply)
}

fn good_first(options: &str) -> Vec<u8> {
    sasl_first(Group::Bits2048.modulus(), &[2], &SALT, &[7; 256], options)
}

#[test]
fn the_sasl_client_refuses_unknown_and_small_groups() {
    let other =
        |n: &[u8], g: &[u8]| sasl_client(&sasl_first(n, g, &SALT, &[7; 100], "mda=SHA-1")).unwrap_err();
    let mut unknown = Group::Bits2048.modulus().to_vec();
    unknown[100] ^= 4;
    assert!(other(&unknown, &[2]).is(&rules::UNKNOWN_GROUP));
    assert!(other(Group::Bits2048.modulus(), &[5]).is(&rules::UNKNOWN_GROUP));
    assert!(other(Group::Bits1024.modulus(), &[2]).is(&rules::GROUP_TOO_SMALL));
    assert!(other(Group::Bits1536.modulus(), &[2]).is(&rules::GROUP_TOO_SMALL));
}

#[test]
fn the_sasl_client_refuses_a_mandatory_layer() {
    for options in [
        "mda=SHA-1,mandatory=integrity,integrity=hmac-sha-160",
        "mandatory=confidentiality",
        "MANDATORY=replay_detection",
    ] {
        assert!(sasl_client(&good_first(options)).unwrap_err().is(&rules::LAYER_DEMANDED), "{options}");
    }
}

#[test]
fn the_sasl_client_takes_no_layer_and_sha_1_as_it_is_spelled() {
    for (offered, chosen) in [
        ("mda=SHA-1", "mda=SHA-1"),
        ("integrity=HMAC-SHA-1,mda=RIPEMD-160,MDA=sha-160,mda=SHA-1,maxbuffersize=65536", "MDA=sha-160"),
        ("", ""),
        ("replay_detection,confidentiality=aes", ""),
    ] {
        let reply = sasl_client(&good_first(offered)).unwrap();
        let a = usize::from(u16::from_be_bytes([reply[4], reply[5]]));
        let options = &reply[6 + a + 21..];
        assert_eq!(usize::from(u16::from_be_bytes([options[0], options[1]])), chosen.len());
        assert_eq!(&options[2..2 + chosen.len()], chosen.as_bytes());
    }
}

#[test]
fn the_sasl_client_refuses_hashes_it_does_not_have() {
    let error = sasl_client(&good_first("mda=MD5,mda=RIPEMD-160")).unwrap_err();
    assert!(error.is(&rules::NO_COMMON_HASH));
}

#[test]
fn the_sasl_client_refuses_an_old_session() {
    assert!(sasl_client(&[0, 0, 0, 2, 0xff, 0]).unwrap_err().is(&rules::SESSION_REUSE));
}

#[test]
fn the_sasl_client_refuses_an_empty_salt_and_bad_encodings() {
    let n = Group::Bits2048.modulus();
    assert!(sasl_client(&sasl_first(n, &[2], &[], &[7; 256], "")).unwrap_err().is(&rules::SALT_LENGTH));
    let b = [&[0], &[7; 255][..]].concat();
    assert!(sasl_client(&sasl_first(n, &[2], &SALT, &b, "")).unwrap_err().is(&rules::BAD_MESSAGE));
    assert!(sasl_client(&[0, 0, 0, 1, 7]).unwrap_err().is(&rules::BAD_MESSAGE));
    assert!(sasl_client(&[0xff; 4]).unwrap_err().is(&rules::BAD_MESSAGE));
}

#[test]
fn the_sasl_server_refuses_options_it_did_not_offer() {
    for (options, fits) in [
        ("mda=SHA-1", true),
        ("", true),
        ("integrity=HMAC-SHA-1", false),
        ("mda=SHA-256", false),
        ("replay_detection", false),
    ] {
        let (_, server) = sasl_server();
        let long = |octets: &[u8]| [&(octets.len() as u16).to_be_bytes(), octets].concat();
        let content = [long(&[7; 256]), vec![1, 0], long(options.as_bytes()), vec![0]].concat();
        let error =
            server.handle(&[&(content.len() as u32).to_be_bytes()[..], &content].concat()).unwrap_err();
        assert!(error.is(if fits { &rules::WRONG_CLIENT_PROOF } else { &rules::LAYER_CHOSEN }), "{options}");
    }
}

fn sasl_server() -> (Vec<u8>, sasl::ExpectClientSecond) {
    let (first, _) = sasl::ClientReady::new(client_setup(), &mut system_rng()).unwrap().start();
    let server = sasl::ExpectClientFirst::new(server_setup(&sasl::NAME), &mut system_rng());
    server.handle(&first).unwrap()
}

#[test]
fn the_sasl_server_refuses_names_that_are_none() {
    for content in [&[0, 0, 0, 0, 0, 0, 0][..], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 1, 0xff, 0, 0, 0, 0, 0]] {
        let server = sasl::ExpectClientFirst::new(server_setup(&sasl::NAME), &mut system_rng());
        let message = [&(content.len() as u32).to_be_bytes()[..], content].concat();
        assert!(server.handle(&message).err().unwrap().is(&rules::BAD_MESSAGE), "{content:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_octets_make_a_side_panic(octets in prop::collection::vec(any::<u8>(), 0..600), framed in any::<bool>()) {
        let content = if framed { [&(octets.len() as u32).to_be_bytes()[..], &octets].concat() } else { octets.clone() };
        let plus = [&[1, 2, 12, 0][..], &octets].concat();
        for name in names() {
            for message in [&octets, &content, &plus] {
                let _ = server(&name, server_setup(&name)).step(message);
                let mut client = client(&name, client_setup());
                prop_assert!(client.step(&[]).is_ok());
                prop_assert!(client.step(message).is_err());
            }
        }
        let text = String::from_utf8_lossy(&octets);
        prop_assert!(Verifier::from_openssl(&text, Legacy::Allowed).is_err());
        prop_assert!(Verifier::from_gnutls(&text, None, Legacy::Allowed).is_err());
        prop_assert!(Verifier::from_cyrus(&text).is_err());
        prop_assert!(Verifier::from_json(&text, Legacy::Allowed).is_err());
        prop_assert!(files::group_from_gnutls(&text, Legacy::Allowed).is_err());
    }
}

#[test]
fn unknown_users_have_the_password_hash_of_the_store() {
    let store =
        registry::SharedPassword::new(ALICE, Password::new(PASSWORD), Preparation::SaslPrep, system_rng());
    let store = Arc::new(store.unwrap().with_ksf(Ksf::CHEAPEST));
    for name in [SHA_256_PLUS, SHA_512_PLUS] {
        for (authcid, known) in [(ALICE, true), ("mallory", false)] {
            let setup = ServerSetup { credentials: store.clone(), ..server_setup(&name) };
            let client = client(&name, ClientSetup { authcid: authcid.into(), ..client_setup() });
            let result = run_edited((client, server(&name, setup)), |number, message| {
                let announced = message.windows(13).any(|octets| octets == Ksf::CHEAPEST.to_bytes());
                assert_eq!(announced, number == 1, "{name}, {authcid}");
                message
            });
            assert_eq!(result.is_ok(), known);
        }
    }
}

#[test]
fn json_keeps_every_record() {
    let password = SecretBytes::new(PASSWORD.as_bytes().to_vec());
    let ways = [Prehash::None, Prehash::Ksf(Ksf::CHEAPEST), Prehash::Pbkdf2(2)];
    for dialect in [Dialect::RFC5054, Dialect::APPLE_GSA.with_hash(Hash::Sha384)] {
        for prehash in ways {
            let parameters = Parameters { dialect, group: Group::Bits2048, prehash };
            let made = Verifier::derive(&parameters, ALICE, &password, &SALT).unwrap();
            let read = Verifier::from_json(&made.to_json(), Legacy::Refused).unwrap();
            assert_eq!(
                (read.hash(), read.identity(), read.group()),
                (made.hash(), made.identity(), made.group())
            );
            assert_eq!((read.prehash(), read.salt(), read.expose()), (prehash, made.salt(), made.expose()));
        }
    }
}

#[test]
fn json_that_is_no_record_is_refused() {
    use countersign::records::rules as records;
    let good = record(&sasl::NAME).to_json().to_string();
    let edits = [
        ("\"version\":1", "\"version\":2", &records::UNKNOWN_VERSION),
        ("srp-verifier", "srp", &records::UNKNOWN_TYPE),
        ("\"hash\":\"SHA-1\"", "\"hash\":\"MD5\"", &records::BAD_MEMBER),
        ("\"group\":2048", "\"group\":2047", &rules::UNKNOWN_GROUP),
        ("\"group\":2048", "\"group\":1024", &rules::GROUP_TOO_SMALL),
        ("\"group\":2048", "\"group\":\"2048\"", &records::BAD_MEMBER),
        ("\"name_in_x\":true", "\"name_in_x\":1", &records::BAD_MEMBER),
        ("\"prehash\":null", "\"prehash\":{}", &records::MISSING_MEMBER),
        ("\"prehash\":null", "\"prehash\":{\"pbkdf2_sha256\":0}", &records::BAD_MEMBER),
        ("\"prehash\":null", "\"prehash\":{\"ksf\":\"AA==\"}", &records::BAD_MEMBER),
        ("\"prehash\":null", "\"prehash\":null,\"more\":1", &records::UNKNOWN_MEMBER),
        ("\"prehash\":null,", "", &records::MISSING_MEMBER),
        ("\"salt\":\"", "\"salt\":\"*", &records::BAD_MEMBER),
    ];
    for (old, new, rule) in edits {
        assert!(good.contains(old), "{old}");
        let error = Verifier::from_json(&good.replacen(old, new, 1), Legacy::Refused).unwrap_err();
        assert!(error.is(rule), "{new}: {error:?}");
    }
    let salt = good.split("\"salt\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(
        Verifier::from_json(&good.replacen(salt, "", 1), Legacy::Refused)
            .unwrap_err()
            .is(&rules::SALT_LENGTH)
    );
    let v = good.split("\"verifier\":\"").nth(1).unwrap().split('"').next().unwrap();
    for bad in ["", "AQ==", &format!("////{v}")] {
        let error = Verifier::from_json(&good.replacen(v, bad, 1), Legacy::Refused).unwrap_err();
        assert!(error.is(&rules::BAD_VERIFIER), "{bad}: {error:?}");
    }
}

#[test]
fn records_go_through_the_files_of_other_programs() {
    let made = record(&sasl::NAME);
    let (name, openssl) =
        Verifier::from_openssl(&made.to_openssl("alice").unwrap(), Legacy::Refused).unwrap();
    assert_eq!((name.as_str(), openssl.salt(), openssl.expose()), ("alice", made.salt(), made.expose()));
    let (name, gnutls) =
        Verifier::from_gnutls(&made.to_gnutls("alice").unwrap(), None, Legacy::Refused).unwrap();
    assert_eq!((name.as_str(), gnutls.salt(), gnutls.expose()), ("alice", made.salt(), made.expose()));
    let cyrus = Verifier::from_cyrus(&made.to_cyrus().unwrap()).unwrap();
    assert_eq!((cyrus.salt(), cyrus.expose(), cyrus.group()), (made.salt(), made.expose(), Group::Bits2048));
}

#[test]
fn files_refuse_what_they_cannot_hold() {
    let plain = record(&sasl::NAME);
    let zero = Verifier::from_parts(&sasl::PARAMETERS, &[0, 1, 2], &[7; 100]).unwrap();
    for (record, name) in
        [(&record(&SHA_256_PLUS), "alice"), (&zero, "alice"), (&plain, ""), (&plain, "a\nb")]
    {
        assert!(record.to_openssl(name).unwrap_err().is(&rules::NOT_EXPRESSIBLE));
        assert!(record.to_gnutls(name).unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    }
    assert!(plain.to_openssl("a\tb").unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    assert!(plain.to_gnutls("a:b").unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    assert!(record(&SHA_256_PLUS).to_cyrus().unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    let other = Parameters { group: Group::Bits3072, ..sasl::PARAMETERS };
    let other = Verifier::from_parts(&other, &SALT, &[7; 100]).unwrap();
    assert!(other.to_cyrus().unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    let sasl_only = Parameters { group: Group::Bits1280, ..sasl::PARAMETERS };
    let sasl_only = Verifier::from_parts(&sasl_only, &SALT, &[7; 100]).unwrap();
    assert!(sasl_only.to_gnutls("alice").unwrap_err().is(&rules::NOT_EXPRESSIBLE));
    assert!(files::group_to_gnutls(Group::Bits1280).unwrap_err().is(&rules::NOT_EXPRESSIBLE));
}

#[test]
fn lines_that_are_no_records_are_refused() {
    let plain = record(&sasl::NAME);
    let openssl = plain.to_openssl("alice").unwrap().to_string();
    for (line, rule) in [
        (openssl.replacen('V', "R", 1), &rules::BAD_RECORD),
        (openssl.replace("alice", ""), &rules::BAD_RECORD),
        (openssl.replace("2048", "2047"), &rules::UNKNOWN_GROUP),
        (openssl.replace("2048", "1024"), &rules::GROUP_TOO_SMALL),
        (openssl.replace("2048", "many"), &rules::UNKNOWN_GROUP),
        (openssl.replacen("V\t", "V\t*", 1), &rules::BAD_RECORD),
        (format!("{openssl}\tmore\tand more"), &rules::BAD_RECORD),
        ("V\t1".to_owned(), &rules::BAD_RECORD),
    ] {
        let error = Verifier::from_openssl(&line, Legacy::Refused).unwrap_err();
        assert!(error.is(rule), "{line}: {error:?}");
    }
    let gnutls = plain.to_gnutls("alice").unwrap().to_string();
    for (line, rule) in [
        (gnutls.replacen("alice", "", 1), &rules::BAD_RECORD),
        (format!("{gnutls}:"), &rules::BAD_RECORD),
        (format!("{gnutls}9"), &rules::UNKNOWN_GROUP),
        (format!("{}1", &gnutls[..gnutls.len() - 1]), &rules::GROUP_TOO_SMALL),
    ] {
        let error = Verifier::from_gnutls(&line, None, Legacy::Refused).unwrap_err();
        assert!(error.is(rule), "{line}: {error:?}");
    }
    let conf = files::group_to_gnutls(Group::Bits3072).unwrap();
    let error = Verifier::from_gnutls(&gnutls, Some(&conf), Legacy::Refused).unwrap_err();
    assert!(error.is(&rules::UNKNOWN_GROUP));
    assert!(files::group_from_gnutls("3:1:2:4", Legacy::Allowed).unwrap_err().is(&rules::BAD_RECORD));
    assert!(files::group_from_gnutls("x:1:2", Legacy::Allowed).unwrap_err().is(&rules::BAD_RECORD));
    assert!(files::group_from_gnutls("3:1:2", Legacy::Allowed).unwrap_err().is(&rules::UNKNOWN_GROUP));
}

/// The crate srp 0.6, both ways.
#[test]
fn srp_0_6_is_a_peer() {
    let groups = [
        (Group::Bits2048, &*srp::groups::G_2048),
        (Group::Bits3072, &*srp::groups::G_3072),
        (Group::Bits4096, &*srp::groups::G_4096),
    ];
    let password = SecretBytes::new(PASSWORD.as_bytes().to_vec());
    for (group, theirs) in groups {
        let dialect = Dialect::RUSTCRYPTO_0_6;
        let parameters = Parameters { dialect, group, prehash: Prehash::None };
        let ours = Verifier::derive(&parameters, ALICE, &password, &SALT).unwrap();
        let peer = srp::client::SrpClient::<Sha1>::new(theirs);
        let v = peer.compute_verifier(ALICE.as_bytes(), PASSWORD.as_bytes(), &SALT);
        assert_eq!(Verifier::from_parts(&parameters, &SALT, &v).unwrap().expose(), ours.expose());

        let a = [0x31; 32];
        let server = Server::start(dialect, ours, &mut system_rng()).unwrap();
        let a_pub = peer.compute_public_ephemeral(&a);
        let reply = peer
            .process_reply(&a, ALICE.as_bytes(), PASSWORD.as_bytes(), server.salt(), server.public_value())
            .unwrap();
        let (m2, established) = server.receive(ALICE, &a_pub).unwrap().finish(reply.proof()).unwrap();
        reply.verify_server(&m2).unwrap();
        assert_eq!(established.key().expose(), reply.key());

        let peer = srp::server::SrpServer::<Sha1>::new(theirs);
        let b = [0x53; 32];
        let client = Client::start(parameters, &mut system_rng());
        let verifier = peer.process_reply(&b, &v, client.public_value()).unwrap();
        let b_pub = peer.compute_public_ephemeral(&b, &v);
        let client = client.respond(ALICE, &password, &SALT, &b_pub).unwrap();
        verifier.verify_client(client.proof()).unwrap();
        assert_eq!(client.finish(verifier.proof()).unwrap().key().expose(), verifier.key());
    }
}
