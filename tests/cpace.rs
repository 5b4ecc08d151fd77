//! CPACE-R255-PLUS and CPACE-X25519-PLUS: what must succeed, and each way to fail.
#![cfg(feature = "cpace")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::convert::Infallible;
use std::sync::Arc;

use countersign::cpace::{
    CpaceClient, CpaceServer, Initiator, Inputs, R255_PLUS, Responder, SHARE_LEN, Suite, TAG_LEN,
    X25519_PLUS, rules,
};
use countersign::mechanism::{self, Step};
use countersign::prep::{self, Preparation};
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup};
use countersign::sasl::{self, ClientExchange, ServerExchange, ServerStep};
use countersign::secret::SecretBytes;
use countersign::{
    BindingType, ChannelBinding, Context, Error, ErrorKind, Mechanism, MechanismName, Outcome, Password,
    Result, Rule, Side, system_rng, wire,
};

const ALICE: &str = "alice@wonderland.example";
const BOB: &str = "bob@home.example/laptop";
const PASSWORD: &str = "correct horse";

/// Octets of the first message before the share, for [`ALICE`] and `tls-exporter`.
const ADA_LEN: usize = 2 + 2 + "tls-exporter".len() + 2 + 2 + ALICE.len();

struct Users(Vec<(&'static str, &'static str)>);

static SEED: std::sync::LazyLock<SecretBytes> = std::sync::LazyLock::new(|| SecretBytes::new(vec![9; 32]));

impl CredentialStore for Users {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        let user = self.0.iter().find(|(name, _)| *name == authcid);
        Ok(user.map(|(_, password)| Credential::Password(Password::new(*password))))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &SEED
    }
}

fn context() -> Context {
    Context::between("alice@wonderland.example/phone", BOB)
        .with_mechanisms([R255_PLUS, X25519_PLUS])
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

fn server_setup() -> ServerSetup {
    server_of(&[(ALICE, PASSWORD), ("mallory@example", PASSWORD)])
}

fn server_of(users: &[(&'static str, &'static str)]) -> ServerSetup {
    ServerSetup { credentials: Arc::new(Users(users.to_vec())), binding: Some(binding()), context: context() }
}

fn client(suite: Suite, setup: ClientSetup) -> CpaceClient {
    CpaceClient::new(suite, setup, &mut system_rng()).unwrap()
}

fn server(suite: Suite, setup: ServerSetup) -> CpaceServer {
    CpaceServer::new(suite, setup, &mut system_rng()).unwrap()
}

fn message(step: Result<Step>) -> Vec<u8> {
    match step.unwrap() {
        Step::Continue(message) => message,
        Step::Finished { .. } => panic!("too early"),
    }
}

fn finished(step: Result<Step>) -> (Option<Vec<u8>>, Outcome) {
    match step.unwrap() {
        Step::Finished { reply, outcome } => (reply, outcome),
        Step::Continue(_) => panic!("not finished"),
    }
}

/// Runs both sides; the first error ends it, with the side that found it.
fn run(
    client: &mut dyn Mechanism,
    server: &mut dyn Mechanism,
) -> std::result::Result<(Outcome, Outcome), (Side, Error)> {
    let first = message(client.step(&[]));
    let second = match server.step(&first) {
        Ok(step) => message(Ok(step)),
        Err(error) => return Err((Side::Server, error)),
    };
    let (third, ours) = match client.step(&second) {
        Ok(step) => finished(Ok(step)),
        Err(error) => return Err((Side::Client, error)),
    };
    match server.step(&third.unwrap()) {
        Ok(step) => Ok((ours, finished(Ok(step)).1)),
        Err(error) => Err((Side::Server, error)),
    }
}

/// The client must notice, in both suites, and say nothing more.
fn client_refuses(client_setup: impl Fn() -> ClientSetup, server_setup: impl Fn() -> ServerSetup) {
    for suite in Suite::ALL {
        let mut client = client(suite, client_setup());
        let mut server = server(suite, server_setup());
        let (side, error) = run(&mut client, &mut server).unwrap_err();
        assert_eq!(side, Side::Client);
        assert!(error.is(&rules::WRONG_CONFIRMATION), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::AuthenticationFailed);
        assert!(client.failure_reply().is_none());
        // The server, which has no way to know yet, takes nothing for a confirmation either.
        let error = server.step(&[&[1, 3][..], &[0; TAG_LEN]].concat()).unwrap_err();
        assert!(error.is(&rules::WRONG_CONFIRMATION));
    }
}

fn breaks(result: Result<Step>, rule: &Rule) {
    let error = result.expect_err(rule.id);
    assert!(error.is(rule), "{error:?} instead of {}", rule.id);
}

/// The document lists the items; each is there for an attack of its own.
#[test]
fn the_channel_identifier_holds_each_item_in_order() {
    for suite in Suite::ALL {
        let identifier =
            context().channel_identifier(&suite.mechanism(), ALICE, "admin@wonderland.example", &binding());
        let (mut rest, mut items) = (&identifier[..], Vec::new());
        while let Some((length, tail)) = rest.split_first_chunk::<8>() {
            let (item, tail) = tail.split_at(usize::try_from(u64::from_be_bytes(*length)).unwrap());
            items.push(item);
            rest = tail;
        }
        assert!(rest.is_empty());
        let expected: [&[u8]; 9] = [
            b"countersign channel identifier v1",
            match suite {
                Suite::X25519Sha512 => b"CPACE-X25519-PLUS",
                _ => b"CPACE-R255-PLUS",
            },
            b"alice@wonderland.example/phone",
            b"bob@home.example/laptop",
            b"alice@wonderland.example",
            b"admin@wonderland.example",
            b"tls-exporter",
            &[0x42; 32],
            &context().digest(),
        ];
        assert_eq!(items, expected);
    }
}

#[test]
fn the_right_password_gives_both_sides_the_same_key() {
    for suite in Suite::ALL {
        let (ours, theirs) =
            run(&mut client(suite, client_setup()), &mut server(suite, server_setup())).unwrap();
        let key = ours.key().unwrap().expose();
        assert_eq!(key.len(), 64);
        assert_eq!(key, theirs.key().unwrap().expose());
        for (outcome, side) in [(&ours, Side::Client), (&theirs, Side::Server)] {
            assert_eq!(outcome.side(), side);
            assert_eq!(outcome.mechanism(), &suite.mechanism());
            assert_eq!(outcome.authcid(), ALICE);
            assert_eq!(outcome.authzid(), None);
            assert!(outcome.binding().unwrap().same_channel(&binding()));
        }
        let (again, _) = run(&mut client(suite, client_setup()), &mut server(suite, server_setup())).unwrap();
        assert_ne!(again.key().unwrap().expose(), key, "the key is fresh in each run");
    }
}

#[test]
fn the_registry_prefers_cpace_and_runs_it() {
    assert_eq!(registry::all()[0].name(), &R255_PLUS);
    assert_eq!(registry::all()[1].name(), &X25519_PLUS);
    for name in [R255_PLUS, X25519_PLUS] {
        assert!(name.is_plus());
        let row = registry::find(&name).unwrap();
        let mut rng = system_rng();
        let Credential::Password(stored) =
            row.enroll(ALICE, &Password::new(PASSWORD), Preparation::SaslPrep, &mut rng).unwrap()
        else {
            panic!("a balanced mechanism stores the password")
        };
        assert_eq!(stored.expose(), PASSWORD);
        let mut client = row.client(client_setup(), &mut rng).unwrap();
        let mut server = row.server(server_setup(), &mut rng).unwrap();
        assert_eq!((client.name(), server.name()), (name.clone(), name));
        assert_eq!(client.properties(), row.properties());
        assert_eq!(server.properties(), row.properties());
        run(&mut *client, &mut *server).unwrap();
    }
}

#[test]
fn sasl_carries_the_exchange_in_three_messages() {
    for suite in Suite::ALL {
        assert_eq!(countersign::cpace::properties().messages, 3);
        let (mut ours, first) = ClientExchange::start(Box::new(client(suite, client_setup()))).unwrap();
        let server = Box::new(server(suite, server_setup()));
        let (mut theirs, step) = ServerExchange::start(server, first.as_deref()).unwrap();
        let ServerStep::Challenge(second) = step else { panic!("too early") };
        let third = ours.challenge(&second).unwrap();
        let ServerStep::Success(None, theirs) = theirs.response(&third).unwrap() else {
            panic!("not finished")
        };
        let ours = ours.success(None).unwrap();
        assert_eq!(ours.key().unwrap().expose(), theirs.key().unwrap().expose());
    }
}

#[test]
fn success_before_the_server_has_proven_itself_is_refused() {
    for suite in Suite::ALL {
        for additional in [None, Some(&[][..])] {
            let (ours, _) = ClientExchange::start(Box::new(client(suite, client_setup()))).unwrap();
            let error = ours.success(additional).unwrap_err();
            let rule =
                if additional.is_none() { &sasl::rules::EARLY_SUCCESS } else { &wire::rules::WRONG_LENGTH };
            assert!(error.is(rule), "{error:?}");
        }
    }
}

#[test]
fn tls_unique_serves_as_binding() {
    let unique = || Some(ChannelBinding::tls_unique(&[5; 12]).unwrap());
    for suite in Suite::ALL {
        let mut client = client(suite, ClientSetup { binding: unique(), ..client_setup() });
        let mut server = server(suite, ServerSetup { binding: unique(), ..server_setup() });
        run(&mut client, &mut server).unwrap();
    }
}

// Wrong secrets and unknown users.

#[test]
fn a_wrong_password_fails_at_the_client() {
    client_refuses(
        || ClientSetup { password: Password::new("correct house"), ..client_setup() },
        server_setup,
    );
}

#[test]
fn a_client_that_guesses_fails_at_the_server() {
    for suite in Suite::ALL {
        let guess = ClientSetup { password: Password::new("guess"), ..client_setup() };
        let first = message(client(suite, guess).step(&[]));
        let mut server = server(suite, server_setup());
        message(server.step(&first));
        breaks(server.step(&[&[1, 3][..], &[0x55; TAG_LEN]].concat()), &rules::WRONG_CONFIRMATION);
    }
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    client_refuses(client_setup, || server_of(&[]));
    for suite in Suite::ALL {
        let first = message(client(suite, client_setup()).step(&[]));
        let answer = |users: &[_]| message(server(suite, server_of(users)).step(&first));
        let (unknown, wrong) = (answer(&[]), answer(&[(ALICE, "other")]));
        assert_eq!(unknown.len(), wrong.len());
        assert_ne!(unknown, answer(&[]), "probes of an unknown user differ as those of a known one do");
    }
}

#[test]
fn an_empty_password_is_refused_on_both_sides() {
    for suite in Suite::ALL {
        let setup = ClientSetup { password: Password::new(""), ..client_setup() };
        let error = CpaceClient::new(suite, setup, &mut system_rng()).err().unwrap();
        assert!(error.is(&prep::rules::EMPTY));
        let first = message(client(suite, client_setup()).step(&[]));
        breaks(server(suite, server_of(&[(ALICE, "")])).step(&first), &rules::EMPTY_PASSWORD);
        let inputs = Inputs { prs: b"", ci: b"ci", sid: b"sid" };
        let error = Initiator::start(suite, inputs, b"", &mut system_rng()).err().unwrap();
        assert!(error.is(&rules::EMPTY_PASSWORD));
        let row = registry::find(&suite.mechanism()).unwrap();
        let error = row.enroll(ALICE, &Password::new(""), Preparation::None, &mut system_rng()).unwrap_err();
        assert!(error.is(&prep::rules::EMPTY));
    }
}

#[test]
fn passwords_are_prepared_on_both_sides() {
    // A no-break space and a soft hyphen: SASLprep makes a space of the one and drops the other.
    let typed = Password::new("correct\u{a0}ho\u{ad}rse");
    for suite in Suite::ALL {
        let row = registry::find(&suite.mechanism()).unwrap();
        let stored = row.enroll(ALICE, &typed, Preparation::SaslPrep, &mut system_rng()).unwrap();
        assert!(matches!(stored, Credential::Password(password) if password.expose() == PASSWORD));
        let setup = ClientSetup { password: typed.clone(), ..client_setup() };
        run(&mut client(suite, setup), &mut server(suite, server_setup())).unwrap();
    }
    client_refuses(
        || ClientSetup { password: typed.clone(), preparation: Preparation::None, ..client_setup() },
        server_setup,
    );
}

#[cfg(feature = "scram")]
#[test]
fn the_record_of_another_mechanism_is_refused() {
    struct ScramRecords;
    impl CredentialStore for ScramRecords {
        fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
            let row = registry::find(&"SCRAM-SHA-256".parse()?)?;
            row.enroll(ALICE, &Password::new(PASSWORD), Preparation::SaslPrep, &mut system_rng()).map(Some)
        }
        fn simulation_seed(&self) -> &SecretBytes {
            &SEED
        }
    }
    for suite in Suite::ALL {
        let first = message(client(suite, client_setup()).step(&[]));
        let setup = ServerSetup { credentials: Arc::new(ScramRecords), ..server_setup() };
        breaks(server(suite, setup).step(&first), &registry::rules::WRONG_CREDENTIAL);
    }
}

#[test]
fn a_broken_store_is_not_an_unknown_user() {
    static BROKEN: Rule = Rule {
        id: "test-store-broken",
        kind: ErrorKind::Environment,
        source: "test",
        what: "the store is broken",
        advice: "Mend it.",
    };
    struct Broken;
    impl CredentialStore for Broken {
        fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
            Err(Error::new(&BROKEN))
        }
        fn simulation_seed(&self) -> &SecretBytes {
            &SEED
        }
    }
    for suite in Suite::ALL {
        let first = message(client(suite, client_setup()).step(&[]));
        let setup = ServerSetup { credentials: Arc::new(Broken), ..server_setup() };
        breaks(server(suite, setup).step(&first), &BROKEN);
    }
}

// Everything around the password.

#[test]
fn a_relay_to_another_responder_with_the_same_password_fails() {
    let carol = || Context::between("alice@wonderland.example/phone", "carol@home.example/desk");
    client_refuses(
        || ClientSetup { context: Context::between("alice@wonderland.example/phone", BOB), ..client_setup() },
        || ServerSetup { context: carol(), ..server_setup() },
    );
}

#[test]
fn a_relay_from_another_initiator_with_the_same_password_fails() {
    client_refuses(
        || ClientSetup { context: Context::between("alice@wonderland.example/phone", BOB), ..client_setup() },
        || ServerSetup { context: Context::between("carol@home.example/desk", BOB), ..server_setup() },
    );
}

#[test]
fn swapped_roles_fail() {
    client_refuses(
        || ClientSetup { context: Context::between("a@x/1", "b@y/2"), ..client_setup() },
        || ServerSetup { context: Context::between("b@y/2", "a@x/1"), ..server_setup() },
    );
}

#[test]
fn another_channel_fails() {
    let other = ChannelBinding::tls_exporter([0x43; 32]);
    client_refuses(client_setup, || ServerSetup { binding: Some(other.clone()), ..server_setup() });
}

#[test]
fn a_stripped_mechanism_list_fails() {
    let stripped = || context().with_mechanisms([R255_PLUS]);
    client_refuses(|| ClientSetup { context: stripped(), ..client_setup() }, server_setup);
}

#[test]
fn an_edited_list_of_binding_types_fails() {
    let edited = || context().with_binding_types([BindingType::TlsExporter, BindingType::TlsUnique]);
    client_refuses(|| ClientSetup { context: edited(), ..client_setup() }, server_setup);
}

#[test]
fn an_edited_offer_fails() {
    let edited = || context().with_offer(*b"<security/>");
    client_refuses(client_setup, || ServerSetup { context: edited(), ..server_setup() });
}

/// The client's first message, changed on its way: the client must notice at the second.
fn edited_first_message(setup: impl Fn() -> ClientSetup, edit: impl Fn(Vec<u8>) -> Vec<u8>) {
    for suite in Suite::ALL {
        let mut client = client(suite, setup());
        let first = edit(message(client.step(&[])));
        let second = message(server(suite, server_setup()).step(&first));
        breaks(client.step(&second), &rules::WRONG_CONFIRMATION);
    }
}

fn first_message(authzid: &str, authcid: &str, share: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1];
    for field in ["tls-exporter", authzid, authcid] {
        out.extend_from_slice(&(field.len() as u16).to_be_bytes());
        out.extend_from_slice(field.as_bytes());
    }
    [&out, share].concat()
}

#[test]
fn another_authcid_with_the_same_password_fails() {
    edited_first_message(client_setup, |first| first_message("", "mallory@example", &first[ADA_LEN..]));
}

#[test]
fn an_authzid_that_was_added_or_removed_fails() {
    edited_first_message(client_setup, |first| first_message(ALICE, ALICE, &first[ADA_LEN..]));
    let with_authzid = || ClientSetup { authzid: Some(ALICE.into()), ..client_setup() };
    edited_first_message(with_authzid, |first| first_message("", ALICE, &first[ADA_LEN + ALICE.len()..]));
}

#[test]
fn an_authzid_is_allowed_only_when_it_is_the_authcid() {
    for suite in Suite::ALL {
        let setup = ClientSetup { authzid: Some(ALICE.into()), ..client_setup() };
        let (_, theirs) = run(&mut client(suite, setup), &mut server(suite, server_setup())).unwrap();
        assert_eq!(theirs.authzid(), None);
        let setup = ClientSetup { authzid: Some("admin@example".into()), ..client_setup() };
        let (side, error) = run(&mut client(suite, setup), &mut server(suite, server_setup())).unwrap_err();
        assert_eq!(side, Side::Server);
        assert!(error.is(&wire::rules::AUTHZID_REFUSED));
    }
}

#[test]
fn another_binding_type_is_named_and_refused() {
    let unique = ChannelBinding::tls_unique(&[0x42; 32]).unwrap();
    for suite in Suite::ALL {
        let mut client = client(suite, ClientSetup { binding: Some(unique.clone()), ..client_setup() });
        let error = server(suite, server_setup()).step(&message(client.step(&[]))).unwrap_err();
        assert!(error.is(&wire::rules::OTHER_BINDING_TYPE));
        assert_eq!(error.subject(), Some("tls-unique"));
    }
}

#[test]
fn a_forged_binding_type_fails_even_with_equal_data() {
    let unique = ChannelBinding::tls_unique(&[0x42; 32]).unwrap();
    edited_first_message(
        || ClientSetup { binding: Some(unique.clone()), ..client_setup() },
        |first| first_message("", ALICE, &first[first.len() - SHARE_LEN..]),
    );
}

#[test]
fn the_other_suite_fails() {
    let mut ours = client(Suite::X25519Sha512, client_setup());
    let mut theirs = server(Suite::Ristretto255Sha512, server_setup());
    let (_, error) = run(&mut ours, &mut theirs).unwrap_err();
    assert!(error.is(&rules::BAD_SHARE) || error.is(&rules::WRONG_CONFIRMATION), "{error:?}");
    let mut ours = client(Suite::Ristretto255Sha512, client_setup());
    let mut theirs = server(Suite::X25519Sha512, server_setup());
    let (side, error) = run(&mut ours, &mut theirs).unwrap_err();
    assert_eq!(side, Side::Client);
    assert!(error.is(&rules::BAD_SHARE) || error.is(&rules::WRONG_CONFIRMATION), "{error:?}");
}

#[test]
fn a_binding_is_required() {
    for suite in Suite::ALL {
        let mut rng = system_rng();
        let setup = || ClientSetup { binding: None, ..client_setup() };
        let error = CpaceClient::new(suite, setup(), &mut rng).err().unwrap();
        assert!(error.is(&registry::rules::BINDING_MISSING));
        let row = registry::find(&suite.mechanism()).unwrap();
        assert!(row.client(setup(), &mut rng).err().unwrap().is(&registry::rules::BINDING_MISSING));
        let setup = ServerSetup { binding: None, ..server_setup() };
        let error = CpaceServer::new(suite, setup, &mut rng).err().unwrap();
        assert!(error.is(&registry::rules::BINDING_MISSING));
    }
}

#[test]
fn a_binding_that_is_not_unique_to_the_connection_is_refused() {
    let end_point = || Some(ChannelBinding::tls_server_end_point(&[1; 32]).unwrap());
    for suite in Suite::ALL {
        let setup = ClientSetup { binding: end_point(), ..client_setup() };
        let error = CpaceClient::new(suite, setup, &mut system_rng()).err().unwrap();
        assert!(error.is(&rules::BINDING_NOT_UNIQUE));
        let setup = ServerSetup { binding: end_point(), ..server_setup() };
        let error = CpaceServer::new(suite, setup, &mut system_rng()).err().unwrap();
        assert!(error.is(&rules::BINDING_NOT_UNIQUE));
    }
}

#[test]
fn identities_that_cannot_be_sent_are_refused_before_anything_is_sent() {
    let long = "x".repeat(wire::IDENTITY_MAX + 1);
    for (authcid, authzid, rule) in [
        (long.as_str(), None, &wire::rules::IDENTITY_TOO_LONG),
        (ALICE, Some(long.clone()), &wire::rules::IDENTITY_TOO_LONG),
        ("", None, &wire::rules::BAD_IDENTITY),
        ("a\0b", None, &wire::rules::BAD_IDENTITY),
    ] {
        let setup = ClientSetup { authcid: authcid.into(), authzid, ..client_setup() };
        let error = CpaceClient::new(Suite::Ristretto255Sha512, setup, &mut system_rng()).err().unwrap();
        assert!(error.is(rule), "{error:?}");
    }
}

#[test]
fn suites_are_found_by_mechanism_name() {
    for suite in Suite::ALL {
        assert_eq!(Suite::of(&suite.mechanism()).unwrap(), suite);
    }
    let error = Suite::of(&"CPACE-P256-PLUS".parse().unwrap()).unwrap_err();
    assert!(error.is(&registry::rules::UNKNOWN_MECHANISM));
}

// Hostile shares.

/// Encodings of the neutral element or of points of small order, which give the neutral element.
fn neutral(suite: Suite) -> Vec<[u8; 32]> {
    let mut one = [0; 32];
    one[0] = 1;
    match suite {
        Suite::X25519Sha512 => vec![[0; 32], one],
        _ => vec![[0; 32]],
    }
}

#[test]
fn the_neutral_element_is_refused_on_both_sides() {
    for suite in Suite::ALL {
        for share in neutral(suite) {
            let mut client = client(suite, client_setup());
            message(client.step(&[]));
            breaks(client.step(&[&[1, 2][..], &share, &[0; TAG_LEN]].concat()), &rules::NEUTRAL_ELEMENT);
            let first = first_message("", ALICE, &share);
            breaks(server(suite, server_setup()).step(&first), &rules::NEUTRAL_ELEMENT);
        }
    }
}

#[test]
fn a_share_outside_the_group_is_refused_on_both_sides() {
    // An odd, so negative, encoding; and one above the field's prime.
    let mut negative = [0; 32];
    negative[0] = 1;
    for share in [negative, [0xff; 32]] {
        let suite = Suite::Ristretto255Sha512;
        let mut client = client(suite, client_setup());
        message(client.step(&[]));
        breaks(client.step(&[&[1, 2][..], &share, &[0; TAG_LEN]].concat()), &rules::BAD_SHARE);
        breaks(server(suite, server_setup()).step(&first_message("", ALICE, &share)), &rules::BAD_SHARE);
    }
}

#[test]
fn the_clients_own_share_coming_back_is_refused() {
    for suite in Suite::ALL {
        let mut client = client(suite, client_setup());
        let first = message(client.step(&[]));
        let second = [&[1, 2], &first[first.len() - SHARE_LEN..], &[0; TAG_LEN]].concat();
        breaks(client.step(&second), &rules::OWN_SHARE);
    }
}

#[test]
fn the_responders_own_share_is_refused() {
    for suite in Suite::ALL {
        let inputs = Inputs { prs: b"password", ci: b"ci", sid: b"sid" };
        // The same generator and the same scalar on both sides.
        let initiator = Initiator::start(suite, inputs, b"", &mut Same).unwrap();
        let result = Responder::new(suite, &mut Same).respond(inputs, initiator.share(), b"", b"");
        assert!(result.err().unwrap().is(&rules::OWN_SHARE));
    }
}

struct Same;

impl rand_core::TryRng for Same {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        out.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Same {}

#[test]
fn a_whole_message_reflected_is_refused() {
    for suite in Suite::ALL {
        let mut client = client(suite, client_setup());
        let first = message(client.step(&[]));
        breaks(client.step(&first), &wire::rules::WRONG_MESSAGE);
        let mut server = server(suite, server_setup());
        let second = message(server.step(&first));
        breaks(server.step(&second), &wire::rules::WRONG_MESSAGE);
    }
}

#[test]
fn the_servers_tag_is_no_confirmation_of_the_client() {
    for suite in Suite::ALL {
        let first = message(client(suite, client_setup()).step(&[]));
        let mut server = server(suite, server_setup());
        let second = message(server.step(&first));
        let reflected = [&[1, 3], &second[2 + SHARE_LEN..]].concat();
        breaks(server.step(&reflected), &rules::WRONG_CONFIRMATION);
    }
}

// Every message cut, stretched, changed, repeated, out of order.

/// A finished run up to the message `index`, and the side that takes it.
fn before(suite: Suite, index: usize) -> (Vec<u8>, Box<dyn Mechanism>) {
    let mut client = client(suite, client_setup());
    let mut server = server(suite, server_setup());
    let first = message(client.step(&[]));
    if index == 0 {
        return (first, Box::new(server));
    }
    let second = message(server.step(&first));
    if index == 1 {
        return (second, Box::new(client));
    }
    (finished(client.step(&second)).0.unwrap(), Box::new(server))
}

#[test]
fn each_message_truncated_at_every_octet_is_refused() {
    for suite in Suite::ALL {
        for index in 0..3 {
            let length = before(suite, index).0.len();
            for cut in 0..length {
                let (message, mut receiver) = before(suite, index);
                breaks(receiver.step(&message[..cut]), &wire::rules::WRONG_LENGTH);
            }
        }
    }
}

#[test]
fn each_message_extended_is_refused() {
    for suite in Suite::ALL {
        for index in 0..3 {
            for extra in [&[0][..], &[1, 2, 3], &[0xff; 300]] {
                let (mut message, mut receiver) = before(suite, index);
                message.extend_from_slice(extra);
                breaks(receiver.step(&message), &wire::rules::WRONG_LENGTH);
            }
        }
    }
}

#[test]
fn each_message_with_one_bit_changed_ends_in_an_error() {
    for suite in Suite::ALL {
        for index in 0..3 {
            for position in 0..before(suite, index).0.len() {
                let bit = position % 8;
                let mut client = client(suite, client_setup());
                let mut server = server(suite, server_setup());
                let mut messages = 0;
                let mut pass = |mut message: Vec<u8>| {
                    if messages == index {
                        message[position] ^= 1 << bit;
                    }
                    messages += 1;
                    message
                };
                let first = pass(message(client.step(&[])));
                let Ok(step) = server.step(&first) else { continue };
                let second = pass(message(Ok(step)));
                let Ok(step) = client.step(&second) else { continue };
                let third = pass(finished(Ok(step)).0.unwrap());
                assert!(
                    server.step(&third).is_err(),
                    "{suite:?} message {index}, octet {position}, bit {bit}"
                );
            }
        }
    }
}

#[test]
fn another_version_is_named() {
    for suite in Suite::ALL {
        for index in 0..3 {
            for version in [0, 2, 0xff] {
                let (mut message, mut receiver) = before(suite, index);
                message[0] = version;
                breaks(receiver.step(&message), &wire::rules::VERSION_UNKNOWN);
            }
        }
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    for suite in Suite::ALL {
        for due in 0..3 {
            for other in (0..3).filter(|other| *other != due) {
                let (_, mut receiver) = before(suite, due);
                breaks(receiver.step(&before(suite, other).0), &wire::rules::WRONG_MESSAGE);
            }
        }
    }
}

#[test]
fn messages_of_another_run_are_refused() {
    for suite in Suite::ALL {
        for index in 1..3 {
            let (_, mut receiver) = before(suite, index);
            breaks(receiver.step(&before(suite, index).0), &rules::WRONG_CONFIRMATION);
        }
        // A replayed first message gets an answer, but the replayed confirmation does not fit it.
        let mut client = client(suite, client_setup());
        let mut first_server = server(suite, server_setup());
        let first = message(client.step(&[]));
        let third = finished(client.step(&message(first_server.step(&first)))).0.unwrap();
        finished(first_server.step(&third));
        let mut second_server = server(suite, server_setup());
        message(second_server.step(&first));
        breaks(second_server.step(&third), &rules::WRONG_CONFIRMATION);
    }
}

#[test]
fn nothing_is_taken_after_the_end() {
    for suite in Suite::ALL {
        for index in 1..3 {
            let (message, mut receiver) = before(suite, index);
            finished(receiver.step(&message));
            breaks(receiver.step(&message), &mechanism::rules::OUT_OF_TURN);
            breaks(receiver.step(&[]), &mechanism::rules::OUT_OF_TURN);
        }
    }
}

#[test]
fn nothing_is_taken_after_an_error() {
    for suite in Suite::ALL {
        for index in 0..3 {
            let (message, mut receiver) = before(suite, index);
            assert!(receiver.step(&message[1..]).is_err());
            breaks(receiver.step(&message), &mechanism::rules::OUT_OF_TURN);
        }
    }
}

#[test]
fn the_client_speaks_first() {
    for suite in Suite::ALL {
        breaks(client(suite, client_setup()).step(b"hello"), &mechanism::rules::UNEXPECTED_DATA);
    }
}

#[test]
fn failures_have_the_conditions_of_the_document() {
    use sasl::Condition;
    for (rule, condition) in [
        (&rules::WRONG_CONFIRMATION, Condition::NotAuthorized),
        (&wire::rules::AUTHZID_REFUSED, Condition::NotAuthorized),
        (&wire::rules::WRONG_LENGTH, Condition::MalformedRequest),
        (&wire::rules::WRONG_MESSAGE, Condition::MalformedRequest),
        (&wire::rules::BAD_IDENTITY, Condition::MalformedRequest),
        (&rules::BAD_SHARE, Condition::MalformedRequest),
        (&rules::NEUTRAL_ELEMENT, Condition::MalformedRequest),
        (&rules::OWN_SHARE, Condition::MalformedRequest),
        (&wire::rules::VERSION_UNKNOWN, Condition::InvalidMechanism),
        (&wire::rules::OTHER_BINDING_TYPE, Condition::InvalidMechanism),
        (&wire::rules::IDENTITY_TOO_LONG, Condition::TemporaryAuthFailure),
    ] {
        assert_eq!(Condition::of(&Error::new(rule)), condition, "{}", rule.id);
    }
}
