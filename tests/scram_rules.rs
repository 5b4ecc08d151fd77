//! Every rule of SCRAM, broken once.
#![cfg(feature = "scram")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::sync::{Arc, LazyLock};

use common::FixedRng;
use countersign::binding::BindingType;
use countersign::mechanism::{self, MESSAGE_MAX};
use countersign::prep::Preparation;
use countersign::registry::{
    self, ClientSetup, Credential, CredentialStore, MemoryStore, ServerSetup, SharedPassword,
};
use countersign::sasl::{self, ClientExchange};
use countersign::scram::wire::{SALT_MAX, ServerError, ServerFinalMessage, ServerFirstMessage};
use countersign::scram::{
    ClientConfig, ClientKeys, ExpectClientFinal, ExpectServerFinal, ExpectServerFirst, HashFunction,
    ITERATIONS_MAX, ITERATIONS_MIN, SEED_MIN, ScramMechanism, ServerConfig, StoredCredential, rules,
};
use countersign::secret::SecretBytes;
use countersign::{ChannelBinding, Context, Error, MechanismName, Outcome, Password, Rule, Step};

const PLAIN: ScramMechanism = ScramMechanism::new(HashFunction::Sha256);
const PLUS: ScramMechanism = ScramMechanism::plus(HashFunction::Sha256);

/// The client's nonce under `FixedRng(0)`.
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";

static RECORD: LazyLock<StoredCredential> = LazyLock::new(|| derive("pencil"));

fn derive(password: &str) -> StoredCredential {
    let password = Password::new(password);
    StoredCredential::derive(HashFunction::Sha256, &password, Preparation::SaslPrep, b"salt", ITERATIONS_MIN)
        .unwrap()
}

fn binding() -> ChannelBinding {
    ChannelBinding::tls_exporter([9; 32])
}

fn binding_for(mechanism: ScramMechanism) -> Option<ChannelBinding> {
    mechanism.is_plus().then(binding)
}

fn names(names: &[&str]) -> Vec<MechanismName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn offering(offered: &[&str]) -> Context {
    Context::new().with_mechanisms(names(offered))
}

fn between(initiator: &str, responder: &str) -> Context {
    Context::between(initiator, responder).with_mechanisms(names(&["SCRAM-SHA-256-PLUS"]))
}

fn client(mechanism: ScramMechanism) -> ClientConfig {
    ClientConfig::new(mechanism, "user", Password::new("pencil"), binding_for(mechanism)).unwrap()
}

fn server(mechanism: ScramMechanism) -> ServerConfig {
    ServerConfig::new(mechanism, binding_for(mechanism), &SecretBytes::new(vec![5; SEED_MIN])).unwrap()
}

fn start(config: ClientConfig) -> ExpectServerFirst {
    config.start(&mut FixedRng(0)).unwrap().0
}

fn first_error(config: ServerConfig, message: &[u8]) -> Error {
    config.start(&mut FixedRng(1)).receive(message).unwrap_err()
}

#[track_caller]
fn assert_breaks<T: std::fmt::Debug>(result: Result<T, Error>, rule: &Rule) {
    let error = result.unwrap_err();
    assert!(error.is(rule), "{error:?} instead of {}", rule.id);
}

/// Runs both sides up to the client-final-message.
fn run_to_final(
    client: ClientConfig,
    server: ServerConfig,
    record: Option<StoredCredential>,
) -> (ExpectServerFinal, ExpectClientFinal, String) {
    let (client, first) = client.start(&mut FixedRng(0)).unwrap();
    let (server, challenge) =
        server.start(&mut FixedRng(1)).receive(&first).unwrap().respond(record).unwrap();
    let (client, response) = client.receive(&challenge).unwrap();
    (client, server, String::from_utf8(response).unwrap())
}

fn run(client: ClientConfig, server: ServerConfig) -> Result<(Outcome, Outcome, ClientKeys), Error> {
    let (client, first) = client.start(&mut FixedRng(0))?;
    let (server, challenge) =
        server.start(&mut FixedRng(1)).receive(&first)?.respond(Some(RECORD.clone()))?;
    let (client, response) = client.receive(&challenge)?;
    let (at_server, success) = server.receive(&response)?;
    let (at_client, keys) = client.receive(&success)?;
    Ok((at_client, at_server, keys))
}

/// The client-final-message of a good run, edited, at the server.
fn final_error(
    mechanism: ScramMechanism,
    edit: impl Fn(&str) -> String,
) -> Result<(Outcome, Vec<u8>), Error> {
    let (_, server, response) = run_to_final(client(mechanism), server(mechanism), Some(RECORD.clone()));
    let edited = edit(&response);
    assert_ne!(edited, response, "the edit must change something");
    server.receive(edited.as_bytes())
}

fn replaced(from: &'static str, to: &'static str) -> impl Fn(&str) -> String {
    move |message| message.replacen(from, to, 1)
}

macro_rules! server_refuses_first {
    ($($name:ident: $message:expr => $rule:ident;)*) => {$(
        #[test]
        fn $name() {
            let error = first_error(server(PLAIN), $message.as_ref());
            assert!(error.is(&rules::$rule), "{error:?}");
        }
    )*};
}

server_refuses_first! {
    client_first_empty: b"" => BAD_GS2_HEADER;
    client_first_not_utf8: b"n,,n=us\xffer,r=abc" => BAD_ENCODING;
    client_first_with_nul: b"n,,n=us\0er,r=abc" => BAD_ENCODING;
    client_first_without_commas: "n" => BAD_GS2_HEADER;
    client_first_without_second_comma: "n,n=user" => BAD_GS2_HEADER;
    client_first_with_unknown_flag: "x,,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_long_flag: "nn,,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_gss_flag: "F,n,,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_empty_binding_name: "p=,,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_bad_binding_name: "p=tls_exporter,,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_authzid_of_another_letter: "n,b=me,n=user,r=abc" => BAD_GS2_HEADER;
    client_first_with_mandatory_extension: "n,,m=x,n=user,r=abc" => MANDATORY_EXTENSION;
    client_first_with_mandatory_extension_at_the_end: "n,,n=user,r=abc,m=x" => MANDATORY_EXTENSION;
    client_first_without_user: "n,,r=abc" => BAD_MESSAGE;
    client_first_in_another_order: "n,,r=abc,n=user" => BAD_MESSAGE;
    client_first_with_empty_user: "n,,n=,r=abc" => BAD_USER_NAME;
    client_first_with_empty_authzid: "n,a=,n=user,r=abc" => BAD_USER_NAME;
    client_first_with_bare_equals_sign: "n,,n=us=er,r=abc" => BAD_USER_NAME;
    client_first_with_unfinished_escape: "n,,n=user=2,r=abc" => BAD_USER_NAME;
    client_first_with_lower_case_escape: "n,,n=us=2cer,r=abc" => BAD_USER_NAME;
    client_first_with_another_escape: "n,,n=us=41er,r=abc" => BAD_USER_NAME;
    client_first_with_control_character: "n,,n=us\u{7}er,r=abc" => BAD_USER_NAME;
    client_first_with_user_that_prepares_to_nothing: "n,,n=\u{ad},r=abc" => BAD_USER_NAME;
    client_first_without_nonce: "n,,n=user" => BAD_MESSAGE;
    client_first_with_empty_nonce: "n,,n=user,r=" => BAD_MESSAGE;
    client_first_with_space_in_nonce: "n,,n=user,r=a bc" => BAD_NONCE;
    client_first_with_non_ascii_nonce: "n,,n=user,r=ab\u{e9}" => BAD_NONCE;
    client_first_with_trailing_comma: "n,,n=user,r=abc," => BAD_MESSAGE;
    client_first_with_empty_extension: "n,,n=user,r=abc,x=" => BAD_MESSAGE;
    client_first_with_digit_as_extension: "n,,n=user,r=abc,1=x" => BAD_MESSAGE;
    client_first_with_reserved_extension: "n,,n=user,r=abc,p=x" => MISPLACED_ATTRIBUTE;
    client_first_with_repeated_extension: "n,,n=user,r=abc,x=1,x=2" => REPEATED_ATTRIBUTE;
    client_first_that_binds_without_plus: "p=tls-exporter,,n=user,r=abc" => BINDING_NOT_SUPPORTED;
}

#[test]
fn client_first_at_the_length_limit_and_above() {
    let message = |len: usize| {
        let start = "n,,n=user,r=abc,x=";
        format!("{start}{}", "x".repeat(len - start.len())).into_bytes()
    };
    assert!(server(PLAIN).start(&mut FixedRng(1)).receive(&message(MESSAGE_MAX)).is_ok());
    let error = first_error(server(PLAIN), &message(MESSAGE_MAX + 1));
    assert!(error.is(&mechanism::rules::MESSAGE_TOO_LONG));
    assert_eq!(error.numbers(), Some((MESSAGE_MAX as u64 + 1, MESSAGE_MAX as u64)));
}

#[test]
fn unknown_extensions_are_ignored_and_authenticated() {
    let state = server(PLAIN).start(&mut FixedRng(1)).receive(b"n,,n=user,r=abc,X=1,x=2,z==,").map(drop);
    assert_breaks(state, &rules::BAD_MESSAGE);
    assert!(server(PLAIN).start(&mut FixedRng(1)).receive(b"n,,n=user,r=abc,X=1,x=2,z==").is_ok());

    let (state, first) = client(PLAIN).start(&mut FixedRng(0)).unwrap();
    let (server, challenge) =
        server(PLAIN).start(&mut FixedRng(1)).receive(&first).unwrap().respond(Some(RECORD.clone())).unwrap();
    let with_extension = [&challenge[..], b",x=added"].concat();
    let (_, response) = state.receive(&with_extension).unwrap();
    assert_breaks(server.receive(&response), &rules::NOT_AUTHENTICATED);
}

#[test]
fn names_with_comma_and_equals_sign_go_through() {
    let config = ClientConfig::new(PLAIN, "a=b,c", Password::new("pencil"), None).unwrap();
    let (_, first) = config.start(&mut FixedRng(0)).unwrap();
    assert_eq!(str::from_utf8(&first).unwrap(), format!("n,,n=a=3Db=2Cc,r={NONCE}"));
    let request = server(PLAIN).start(&mut FixedRng(1)).receive(&first).unwrap();
    assert_eq!(request.username(), "a=b,c");
}

// The choice of channel binding.

#[test]
fn plus_without_a_binding_is_refused_on_both_sides() {
    let missing = &registry::rules::BINDING_MISSING;
    assert_breaks(ClientConfig::new(PLUS, "user", Password::new("pencil"), None), missing);
    assert_breaks(ServerConfig::new(PLUS, None, &SecretBytes::new(vec![5; SEED_MIN])), missing);
}

#[test]
fn plus_with_flag_n_is_refused() {
    let error = first_error(server(PLUS), b"n,,n=user,r=abc");
    assert!(error.is(&rules::BINDING_NOT_USED));
}

#[test]
fn plus_with_flag_y_is_refused() {
    assert!(first_error(server(PLUS), b"y,,n=user,r=abc").is(&rules::BINDING_NOT_USED));
}

#[test]
fn another_binding_type_is_refused() {
    let error = first_error(server(PLUS), b"p=tls-unique,,n=user,r=abc");
    assert!(error.is(&rules::UNSUPPORTED_BINDING_TYPE));
    assert_eq!(error.subject(), Some("tls-unique"));
}

#[test]
fn flag_y_fails_where_plus_was_offered() {
    let server = server(PLAIN).with_context(offering(&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256"]));
    assert!(first_error(server, b"y,,n=user,r=abc").is(&rules::BINDING_DOWNGRADE));
}

#[test]
fn flag_y_passes_where_plus_was_not_offered_although_the_server_could() {
    let seed = SecretBytes::new(vec![5; SEED_MIN]);
    let server = ServerConfig::new(PLAIN, Some(binding()), &seed).unwrap();
    let server = server.with_context(offering(&["SCRAM-SHA-256", "CPACE-R255-PLUS"]));
    assert!(server.start(&mut FixedRng(1)).receive(b"y,,n=user,r=abc").is_ok());
}

#[test]
fn a_mechanism_that_was_not_offered_is_refused() {
    let server = server(PLAIN).with_context(offering(&["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"]));
    let error = first_error(server, b"n,,n=user,r=abc");
    assert!(error.is(&rules::NOT_OFFERED));
    assert_eq!(error.subject(), Some("SCRAM-SHA-256"));
}

#[test]
fn the_client_says_n_without_a_binding_and_y_with_one() {
    let first = |config: ClientConfig| config.start(&mut FixedRng(0)).unwrap().1;
    assert!(first(client(PLAIN)).starts_with(b"n,,"));
    let able = ClientConfig::new(PLAIN, "user", Password::new("pencil"), Some(binding())).unwrap();
    assert!(first(able.clone()).starts_with(b"y,,"));
    assert!(first(able.with_context(offering(&["SCRAM-SHA-256"]))).starts_with(b"y,,"));
    assert!(first(client(PLUS)).starts_with(b"p=tls-exporter,,"));
}

#[test]
fn the_client_must_use_plus_where_it_is_offered() {
    let able = ClientConfig::new(PLAIN, "user", Password::new("pencil"), Some(binding())).unwrap();
    let able = able.with_context(offering(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]));
    assert_breaks(able.start(&mut FixedRng(0)), &rules::PLUS_OFFERED);
}

#[test]
fn the_client_refuses_plus_without_a_binding_type_in_common() {
    let context = offering(&["SCRAM-SHA-256-PLUS"]).with_binding_types([BindingType::TlsServerEndPoint]);
    assert_breaks(
        client(PLUS).with_context(context).start(&mut FixedRng(0)),
        &rules::UNSUPPORTED_BINDING_TYPE,
    );
}

#[test]
fn without_a_type_in_common_the_client_says_n_and_wants_the_offer_confirmed() {
    let context = offering(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
        .with_binding_types([BindingType::TlsServerEndPoint]);
    let able = ClientConfig::new(PLAIN, "user", Password::new("pencil"), Some(binding())).unwrap();
    let able = able.with_context(context.clone());
    assert!(able.clone().start(&mut FixedRng(0)).unwrap().1.starts_with(b"n,,"));
    assert!(run(able.clone(), server(PLAIN).with_context(context.clone())).is_ok());
    let silent = server(PLAIN).with_context(context).without_downgrade_protection();
    assert_breaks(run(able, silent), &rules::DOWNGRADE_PROTECTION_MISSING);
}

// What the server answers first.

fn server_first(rest: &str) -> Result<(ExpectServerFinal, Vec<u8>), Error> {
    start(client(PLAIN)).receive(format!("r={NONCE}{rest}").as_bytes())
}

macro_rules! client_refuses_first {
    ($($name:ident: $rest:expr => $rule:ident;)*) => {$(
        #[test]
        fn $name() {
            assert_breaks(server_first($rest), &rules::$rule);
        }
    )*};
}

client_refuses_first! {
    server_first_with_unextended_nonce: ",s=c2FsdA==,i=4096" => NONCE_NOT_EXTENDED;
    server_first_with_control_in_nonce: "a\u{7},s=c2FsdA==,i=4096" => BAD_NONCE;
    server_first_without_salt: "xyz,i=4096" => BAD_MESSAGE;
    server_first_with_empty_salt: "xyz,s=,i=4096" => BAD_MESSAGE;
    server_first_without_iterations: "xyz,s=c2FsdA==" => BAD_MESSAGE;
    server_first_in_another_order: "xyz,i=4096,s=c2FsdA==" => BAD_MESSAGE;
    server_first_with_unpadded_salt: "xyz,s=c2FsdA,i=4096" => BAD_BASE64;
    server_first_with_lone_padding: "xyz,s==,i=4096" => BAD_BASE64;
    server_first_with_space_in_salt: "xyz,s=c2Fs dA==,i=4096" => BAD_BASE64;
    server_first_with_url_alphabet: "xyz,s=_-_-,i=4096" => BAD_BASE64;
    server_first_with_non_canonical_base64: "xyz,s=c2FsdB==,i=4096" => BAD_BASE64;
    server_first_with_zero_iterations: "xyz,s=c2FsdA==,i=0" => BAD_NUMBER;
    server_first_with_leading_zero: "xyz,s=c2FsdA==,i=04096" => BAD_NUMBER;
    server_first_with_sign: "xyz,s=c2FsdA==,i=+4096" => BAD_NUMBER;
    server_first_with_hexadecimal: "xyz,s=c2FsdA==,i=1e4" => BAD_NUMBER;
    server_first_with_empty_iterations: "xyz,s=c2FsdA==,i=" => BAD_MESSAGE;
    server_first_with_mandatory_extension: "xyz,s=c2FsdA==,i=4096,m=x" => MANDATORY_EXTENSION;
    server_first_with_reserved_extension: "xyz,s=c2FsdA==,i=4096,v=x" => MISPLACED_ATTRIBUTE;
    server_first_with_repeated_extension: "xyz,s=c2FsdA==,i=4096,h=x,h=y" => REPEATED_ATTRIBUTE;
}

#[test]
fn server_first_with_mandatory_extension_at_the_start() {
    let message = format!("m=x,r={NONCE}xyz,s=c2FsdA==,i=4096");
    assert_breaks(start(client(PLAIN)).receive(message.as_bytes()), &rules::MANDATORY_EXTENSION);
}

#[test]
fn server_first_with_another_nonce() {
    let message = "r=BAAAAAAAAAAAAAAAAAAAAAAAxyz,s=c2FsdA==,i=4096";
    assert_breaks(start(client(PLAIN)).receive(message.as_bytes()), &rules::NONCE_MISMATCH);
}

#[test]
fn server_first_with_part_of_our_nonce() {
    let message = format!("r={},s=c2FsdA==,i=4096", &NONCE[1..]);
    assert_breaks(start(client(PLAIN)).receive(message.as_bytes()), &rules::NONCE_MISMATCH);
}

#[test]
fn iterations_at_the_floor_and_below() {
    assert!(server_first(&format!("xyz,s=c2FsdA==,i={ITERATIONS_MIN}")).is_ok());
    let error = server_first(&format!("xyz,s=c2FsdA==,i={}", ITERATIONS_MIN - 1)).unwrap_err();
    assert!(error.is(&rules::TOO_FEW_ITERATIONS));
    assert_eq!(error.numbers(), Some((4095, 4096)));
}

#[test]
fn iterations_above_the_ceiling() {
    for (demanded, seen) in [("10000001", 10_000_001), ("4294967296", 1 << 32)] {
        let error = server_first(&format!("xyz,s=c2FsdA==,i={demanded}")).unwrap_err();
        assert!(error.is(&rules::TOO_MANY_ITERATIONS));
        assert_eq!(error.numbers(), Some((seen, u64::from(ITERATIONS_MAX))));
    }
    let error = server_first(&format!("xyz,s=c2FsdA==,i=1{}", "0".repeat(40))).unwrap_err();
    assert!(error.is(&rules::TOO_MANY_ITERATIONS));
}

#[test]
fn configured_limits_of_iterations_hold_on_both_ends() {
    let receive = |iterations: u32| {
        let state = start(client(PLAIN).with_iterations(3..=5));
        state.receive(format!("r={NONCE}xyz,s=c2FsdA==,i={iterations}").as_bytes())
    };
    assert_breaks(receive(2), &rules::TOO_FEW_ITERATIONS);
    assert!(receive(3).is_ok());
    assert!(receive(5).is_ok());
    assert_breaks(receive(6), &rules::TOO_MANY_ITERATIONS);
}

#[test]
fn salt_at_the_length_limit_and_above() {
    use base64ct::{Base64, Encoding};
    let with_salt =
        |len: usize| server_first(&format!("xyz,s={},i=4096", Base64::encode_string(&vec![1; len])));
    assert!(with_salt(1).is_ok());
    assert!(with_salt(SALT_MAX).is_ok());
    let error = with_salt(SALT_MAX + 1).unwrap_err();
    assert!(error.is(&rules::SALT_LENGTH));
    assert_eq!(error.numbers(), Some((SALT_MAX as u64 + 1, SALT_MAX as u64)));
    assert_breaks(with_salt(20_000), &rules::SALT_LENGTH);
}

#[test]
fn an_error_in_the_place_of_server_first_ends_the_exchange() {
    let error = start(client(PLAIN)).receive(b"e=unsupported-channel-binding-type").unwrap_err();
    assert!(error.is(&rules::SERVER_ERROR));
    assert_eq!(error.subject(), Some("unsupported-channel-binding-type"));
}

// Downgrade protection and the context.

#[test]
fn an_edited_list_of_mechanisms_is_noticed_by_the_client() {
    let seen = offering(&["SCRAM-SHA-256"]);
    let sent = offering(&["SCRAM-SHA-256", "SCRAM-SHA-512"]);
    let result = run(client(PLAIN).with_context(seen), server(PLAIN).with_context(sent));
    assert_breaks(result, &rules::DOWNGRADE);
}

#[test]
fn an_edited_list_of_binding_types_is_noticed_by_the_client() {
    let types =
        |types: &[BindingType]| offering(&["SCRAM-SHA-256-PLUS"]).with_binding_types(types.iter().copied());
    let seen = types(&[BindingType::TlsExporter]);
    let sent = types(&[BindingType::TlsExporter, BindingType::TlsServerEndPoint]);
    let result = run(client(PLUS).with_context(seen), server(PLUS).with_context(sent));
    assert_breaks(result, &rules::DOWNGRADE);
}

#[test]
fn a_rewritten_h_is_noticed_by_the_server() {
    let (client, first) = client(PLAIN).start(&mut FixedRng(0)).unwrap();
    let server = server(PLAIN).with_context(offering(&["SCRAM-SHA-256", "SCRAM-SHA-512"]));
    let (server, challenge) =
        server.start(&mut FixedRng(1)).receive(&first).unwrap().respond(Some(RECORD.clone())).unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let (without, _) = challenge.split_once(",h=").expect("the offer is confirmed");
    let (_, response) = client.receive(without.as_bytes()).unwrap();
    assert_breaks(server.receive(&response), &rules::NOT_AUTHENTICATED);
}

#[test]
fn required_downgrade_protection_must_be_there() {
    let context = offering(&["SCRAM-SHA-256"]);
    let strict = || client(PLAIN).with_context(context.clone()).requiring_downgrade_protection();
    let silent = server(PLAIN).with_context(context.clone()).without_downgrade_protection();
    assert_breaks(run(strict(), silent), &rules::DOWNGRADE_PROTECTION_MISSING);
    assert!(run(strict(), server(PLAIN).with_context(context.clone())).is_ok());
    // What the client has not seen it cannot compare.
    let blind = client(PLAIN).requiring_downgrade_protection();
    let result = run(blind, server(PLAIN).with_context(context.clone()));
    assert_breaks(result, &rules::DOWNGRADE_PROTECTION_MISSING);
}

#[test]
fn a_client_that_has_seen_no_list_ignores_h() {
    assert!(run(client(PLAIN), server(PLAIN).with_context(offering(&["SCRAM-SHA-256"]))).is_ok());
}

#[test]
fn end_to_end_both_sides_must_mean_the_same_parties() {
    let context = between("alice@a.example/1", "bob@b.example/2");
    assert!(
        run(client(PLUS).with_context(context.clone()), server(PLUS).with_context(context.clone())).is_ok()
    );
    for other in [
        between("alice@a.example/1", "carol@b.example/2"),
        between("bob@b.example/2", "alice@a.example/1"),
        context.clone().with_offer(*b"<security/>"),
    ] {
        let result = run(client(PLUS).with_context(context.clone()), server(PLUS).with_context(other));
        assert_breaks(result, &rules::CONTEXT_MISMATCH);
    }
}

#[test]
fn end_to_end_a_server_that_does_not_prove_the_context_is_refused() {
    let context = between("alice@a.example/1", "bob@b.example/2");
    let plain_server = server(PLUS).with_context(offering(&["SCRAM-SHA-256-PLUS"]));
    assert_breaks(run(client(PLUS).with_context(context), plain_server), &rules::CONTEXT_MISMATCH);
}

#[test]
fn end_to_end_an_inserted_o_fails_at_the_server() {
    let context = between("alice@a.example/1", "bob@b.example/2");
    let (client, first) = client(PLUS).with_context(context.clone()).start(&mut FixedRng(0)).unwrap();
    let honest = server(PLUS).with_context(context).start(&mut FixedRng(1)).receive(&first).unwrap();
    let (_, honest) = honest.respond(Some(RECORD.clone())).unwrap();
    let deceived = server(PLUS).with_context(between("alice@a.example/1", "carol@b.example/2"));
    let (deceived, _) =
        deceived.start(&mut FixedRng(1)).receive(&first).unwrap().respond(Some(RECORD.clone())).unwrap();
    let (_, response) = client.receive(&honest).unwrap();
    assert_breaks(deceived.receive(&response), &rules::NOT_AUTHENTICATED);
}

// The client's last message.

#[test]
fn client_final_without_proof() {
    let result = final_error(PLAIN, |message| message.split(",p=").next().unwrap().to_owned());
    assert_breaks(result, &rules::BAD_MESSAGE);
}

#[test]
fn client_final_with_empty_proof() {
    let result = final_error(PLAIN, |message| format!("{},p=", message.split(",p=").next().unwrap()));
    assert_breaks(result, &rules::PROOF_LENGTH);
}

#[test]
fn client_final_with_something_after_the_proof() {
    assert_breaks(final_error(PLAIN, |message| format!("{message},x=1")), &rules::BAD_MESSAGE);
}

#[test]
fn client_final_with_proof_in_bad_base64() {
    assert_breaks(final_error(PLAIN, |message| message.replace(",p=", ",p=!")), &rules::BAD_BASE64);
}

#[test]
fn client_final_with_short_and_long_proof() {
    let with = |proof: &'static str| {
        final_error(PLAIN, move |message| format!("{},p={proof}", message.split(",p=").next().unwrap()))
    };
    assert_breaks(with("AAAA"), &rules::PROOF_LENGTH);
    // 31, 33 and 80 octets.
    assert_breaks(with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="), &rules::PROOF_LENGTH);
    assert_breaks(with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &rules::PROOF_LENGTH);
    let long = final_error(PLAIN, |message| {
        format!("{},p={}", message.split(",p=").next().unwrap(), "AAAA".repeat(30))
    });
    assert_breaks(long, &rules::PROOF_LENGTH);
}

#[test]
fn client_final_with_wrong_proof() {
    let result = final_error(PLAIN, |message| {
        format!("{},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", message.split(",p=").next().unwrap())
    });
    assert_breaks(result, &rules::NOT_AUTHENTICATED);
}

#[test]
fn client_final_with_another_nonce() {
    assert_breaks(final_error(PLAIN, replaced(",r=A", ",r=B")), &rules::NONCE_MISMATCH);
}

#[test]
fn client_final_with_longer_nonce() {
    assert_breaks(final_error(PLAIN, replaced(",p=", "x,p=")), &rules::NONCE_MISMATCH);
}

#[test]
fn client_final_with_only_the_clients_nonce() {
    let result = final_error(PLAIN, |message| {
        let (_, proof) = message.rsplit_once(",p=").unwrap();
        format!("c=biws,r={NONCE},p={proof}")
    });
    assert_breaks(result, &rules::NONCE_MISMATCH);
}

#[test]
fn client_final_with_another_flag() {
    assert_breaks(final_error(PLAIN, replaced("c=biws", "c=eSws")), &rules::BINDING_MISMATCH);
}

#[test]
fn client_final_with_shorter_header() {
    assert_breaks(final_error(PLAIN, replaced("c=biws", "c=biw=")), &rules::BINDING_MISMATCH);
}

#[test]
fn client_final_with_binding_data_where_none_belongs() {
    assert_breaks(final_error(PLAIN, replaced("c=biws", "c=biwsAAAA")), &rules::BINDING_MISMATCH);
}

#[test]
fn client_final_without_binding_data() {
    use base64ct::{Base64, Encoding};
    let result = final_error(PLUS, |message| {
        let (_, rest) = message.split_once(",r=").unwrap();
        format!("c={},r={rest}", Base64::encode_string(b"p=tls-exporter,,"))
    });
    assert_breaks(result, &rules::BINDING_MISMATCH);
}

#[test]
fn client_final_with_bad_base64_in_the_binding() {
    assert_breaks(final_error(PLAIN, replaced("c=biws", "c=biws=")), &rules::BAD_BASE64);
}

#[test]
fn client_final_with_mandatory_extension() {
    assert_breaks(final_error(PLAIN, replaced(",p=", ",m=1,p=")), &rules::MANDATORY_EXTENSION);
}

#[test]
fn client_final_with_inserted_extension() {
    assert_breaks(final_error(PLAIN, replaced(",p=", ",x=1,p=")), &rules::NOT_AUTHENTICATED);
}

#[test]
fn another_channel_is_noticed_by_the_server() {
    let relay =
        ClientConfig::new(PLUS, "user", Password::new("pencil"), Some(ChannelBinding::tls_exporter([8; 32])));
    assert_breaks(run(relay.unwrap(), server(PLUS)), &rules::BINDING_MISMATCH);
}

#[test]
fn a_wrong_password_is_refused() {
    let wrong = ClientConfig::new(PLAIN, "user", Password::new("pencils"), None).unwrap();
    assert_breaks(run(wrong, server(PLAIN)), &rules::NOT_AUTHENTICATED);
}

#[test]
fn a_record_of_another_hash_is_refused() {
    let request = ServerConfig::new(
        ScramMechanism::new(HashFunction::Sha1),
        None,
        &SecretBytes::new(vec![5; SEED_MIN]),
    )
    .unwrap()
    .start(&mut FixedRng(1))
    .receive(b"n,,n=user,r=abc")
    .unwrap();
    assert_breaks(request.respond(Some(RECORD.clone())), &registry::rules::WRONG_CREDENTIAL);
}

// The server's last message.

fn server_final(message: &[u8]) -> Result<(Outcome, ClientKeys), Error> {
    let (client, _, _) = run_to_final(client(PLAIN), server(PLAIN), Some(RECORD.clone()));
    client.receive(message)
}

#[test]
fn a_wrong_server_signature_is_refused() {
    let wrong = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_breaks(server_final(wrong), &rules::SERVER_SIGNATURE);
}

#[test]
fn a_short_server_signature_is_refused() {
    assert_breaks(server_final(b"v=AAAA"), &rules::SERVER_SIGNATURE);
}

#[test]
fn an_empty_server_signature_is_refused() {
    assert_breaks(server_final(b"v="), &rules::BAD_MESSAGE);
}

#[test]
fn an_empty_server_final_is_refused() {
    assert_breaks(server_final(b""), &rules::BAD_MESSAGE);
}

#[test]
fn a_server_that_does_not_know_the_password_is_refused() {
    // It has StoredKey from somewhere, as a thief of half a record would, and another ServerKey.
    let mut text = RECORD.to_rfc5803().to_string();
    let other = derive("other").to_rfc5803().to_string();
    text.truncate(text.rfind(':').unwrap());
    text.push_str(&other[other.rfind(':').unwrap()..]);
    let (client, server, response) = run_to_final(client(PLAIN), server(PLAIN), Some(text.parse().unwrap()));
    let (_, success) = server.receive(response.as_bytes()).unwrap();
    assert_breaks(client.receive(&success), &rules::SERVER_SIGNATURE);
}

#[test]
fn every_error_value_ends_the_exchange() {
    for value in ServerError::ALL {
        let error = server_final(&value.message()).unwrap_err();
        assert!(error.is(&rules::SERVER_ERROR));
        assert_eq!(error.subject(), Some(value.name()));
    }
}

#[test]
fn an_unknown_error_value_counts_as_other_error() {
    let error = server_final(b"e=something-new,x=1").unwrap_err();
    assert!(error.is(&rules::SERVER_ERROR));
    assert_eq!(error.subject(), Some("other-error"));
    assert!(matches!(
        ServerFinalMessage::parse(b"e=something-new"),
        Ok(ServerFinalMessage::Error(ServerError::OtherError))
    ));
}

#[test]
fn success_without_a_server_signature_is_refused() {
    let mechanism = countersign::scram::ScramClient::new(client(PLAIN), &mut FixedRng(0)).unwrap();
    let (mut exchange, _) = ClientExchange::start(Box::new(mechanism)).unwrap();
    exchange.challenge(format!("r={NONCE}xyz,s=c2FsdA==,i=4096").as_bytes()).unwrap();
    assert_breaks(exchange.success(None), &sasl::rules::EARLY_SUCCESS);
}

#[test]
fn server_final_as_a_challenge_is_answered_with_nothing() {
    let mechanism = countersign::scram::ScramClient::new(client(PLAIN), &mut FixedRng(0)).unwrap();
    let (mut exchange, first) = ClientExchange::start(Box::new(mechanism)).unwrap();
    let request = server(PLAIN).start(&mut FixedRng(1)).receive(&first.unwrap()).unwrap();
    let (server, challenge) = request.respond(Some(RECORD.clone())).unwrap();
    let response = exchange.challenge(&challenge).unwrap();
    let (_, success) = server.receive(&response).unwrap();
    assert_eq!(exchange.challenge(&success).unwrap(), b"");
    assert_eq!(exchange.success(None).unwrap().authcid(), "user");
}

// Who acts as whom.

#[test]
fn another_authzid_is_denied() {
    let client = client(PLAIN).with_authzid(Some("admin")).unwrap();
    assert_breaks(run(client, server(PLAIN)), &rules::AUTHZID_DENIED);
}

#[test]
fn another_authzid_is_denied_only_after_the_proof() {
    let client = ClientConfig::new(PLAIN, "user", Password::new("wrong"), None).unwrap();
    let client = client.with_authzid(Some("admin")).unwrap();
    assert_breaks(run(client, server(PLAIN)), &rules::NOT_AUTHENTICATED);
}

#[test]
fn another_authzid_passes_where_the_server_says_so() {
    let client = |authzid| client(PLAIN).with_authzid(Some(authzid)).unwrap();
    let server = || server(PLAIN).with_authorization(|user, other| (user, other) == ("user", "admin"));
    let (at_client, at_server, _) = run(client("admin"), server()).unwrap();
    assert_eq!(at_server.authzid(), Some("admin"));
    assert_eq!(at_client.authzid(), Some("admin"));
    assert_breaks(run(client("root"), server()), &rules::AUTHZID_DENIED);
}

#[test]
fn an_authzid_equal_to_the_user_is_no_other_identity() {
    let request = server(PLAIN).start(&mut FixedRng(1)).receive(b"n,a=user,n=user,r=abc").unwrap();
    assert_eq!(request.authzid(), None);
}

// Unknown users.

fn simulated(mechanism: ScramMechanism, seed: u8, user: &str, nonce: u8) -> String {
    let server =
        ServerConfig::new(mechanism, binding_for(mechanism), &SecretBytes::new(vec![seed; SEED_MIN]))
            .unwrap();
    let flag = if mechanism.is_plus() { "p=tls-exporter" } else { "n" };
    let request = server.start(&mut FixedRng(nonce)).receive(format!("{flag},,n={user},r=abc").as_bytes());
    String::from_utf8(request.unwrap().respond(None).unwrap().1).unwrap()
}

fn without_nonce(message: &str) -> &str {
    message.split_once(',').unwrap().1
}

#[test]
fn an_unknown_user_gets_the_same_answer_at_every_try() {
    let (one, two) = (simulated(PLAIN, 5, "nobody", 1), simulated(PLAIN, 5, "nobody", 2));
    assert_ne!(one, two);
    assert_eq!(without_nonce(&one), without_nonce(&two));
    assert!(one.ends_with(",i=600000"));
}

#[test]
fn an_unknown_users_salt_depends_on_name_hash_and_seed() {
    let salt = |mechanism, seed, user| {
        let message = simulated(mechanism, seed, user, 1);
        ServerFirstMessage::parse(message.as_bytes()).unwrap().salt
    };
    let one = salt(PLAIN, 5, "nobody");
    assert_eq!(one.len(), 16);
    assert_ne!(one, salt(PLAIN, 5, "nobodi"));
    assert_ne!(one, salt(PLAIN, 6, "nobody"));
    assert_ne!(one, salt(ScramMechanism::new(HashFunction::Sha512), 5, "nobody"));
}

#[test]
fn an_unknown_user_has_one_salt_with_and_without_plus() {
    assert_eq!(
        without_nonce(&simulated(PLAIN, 5, "nobody", 1)),
        without_nonce(&simulated(PLUS, 5, "nobody", 1))
    );
}

#[test]
fn the_simulation_takes_the_numbers_of_real_records() {
    let server = server(PLAIN).with_simulation(ITERATIONS_MIN, 4).unwrap();
    let request = server.start(&mut FixedRng(1)).receive(b"n,,n=nobody,r=abc").unwrap();
    let (_, message) = request.respond(None).unwrap();
    let parsed = ServerFirstMessage::parse(&message).unwrap();
    assert_eq!((parsed.iterations, parsed.salt.len()), (u64::from(ITERATIONS_MIN), 4));
}

#[test]
fn the_simulated_salt_has_limits() {
    let with = |iterations, len| server(PLAIN).with_simulation(iterations, len);
    assert_breaks(with(1, 0), &rules::SALT_LENGTH);
    assert!(with(1, 1).is_ok());
    assert!(with(1, 32).is_ok());
    assert_breaks(with(1, 33), &rules::SALT_LENGTH);
    assert_breaks(with(0, 16), &rules::TOO_FEW_ITERATIONS);
}

#[test]
fn a_short_seed_is_refused() {
    let with = |len| ServerConfig::new(PLAIN, None, &SecretBytes::new(vec![5; len]));
    assert!(with(SEED_MIN).is_ok());
    assert_breaks(with(SEED_MIN - 1), &rules::SEED_TOO_SHORT);
}

/// Runs a client against a server through the registry; gives the server's error and its words to the client.
fn refused_by_registry(user: &str, password: &str, store: &Arc<dyn CredentialStore>) -> (Error, Vec<u8>) {
    let row = registry::find(&PLAIN.name()).unwrap();
    let client = ClientSetup {
        authcid: user.to_owned(),
        authzid: None,
        password: Password::new(password),
        preparation: Preparation::SaslPrep,
        binding: None,
        context: Context::new(),
    };
    let server = ServerSetup { credentials: store.clone(), binding: None, context: Context::new() };
    let mut client = row.client(client, &mut FixedRng(0)).unwrap();
    let mut server = row.server(server, &mut FixedRng(1)).unwrap();
    assert_eq!(server.failure_reply(), None);
    let mut message = Vec::new();
    loop {
        let Step::Continue(from_client) = client.step(&message).unwrap() else { panic!("not yet") };
        match server.step(&from_client) {
            Ok(Step::Continue(from_server)) => message = from_server,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_breaks(server.step(&from_client), &mechanism::rules::OUT_OF_TURN);
                return (error, server.failure_reply().unwrap());
            }
        }
    }
}

fn memory_store() -> Arc<dyn CredentialStore> {
    let mut store = MemoryStore::new(&mut FixedRng(3)).with_simulated_iterations(ITERATIONS_MIN);
    store.insert(&PLAIN.name(), "user", Credential::Scram(RECORD.clone())).unwrap();
    Arc::new(store)
}

#[test]
fn unknown_user_and_wrong_password_look_the_same() {
    let store = memory_store();
    let (unknown, to_unknown) = refused_by_registry("nobody", "pencil", &store);
    let (wrong, to_wrong) = refused_by_registry("user", "pencils", &store);
    assert!(unknown.is(&rules::NOT_AUTHENTICATED));
    assert_eq!(unknown.to_string(), wrong.to_string());
    assert_eq!(to_unknown, b"e=other-error");
    assert_eq!(to_wrong, to_unknown);
}

#[test]
fn what_the_client_may_hear() {
    for (rule, words) in [
        (&rules::BAD_ENCODING, "invalid-encoding"),
        (&rules::BAD_BASE64, "invalid-encoding"),
        (&rules::MANDATORY_EXTENSION, "extensions-not-supported"),
        (&rules::BINDING_MISMATCH, "channel-bindings-dont-match"),
        (&rules::BINDING_DOWNGRADE, "server-does-support-channel-binding"),
        (&rules::BINDING_NOT_SUPPORTED, "channel-binding-not-supported"),
        (&rules::UNSUPPORTED_BINDING_TYPE, "unsupported-channel-binding-type"),
        (&rules::BAD_USER_NAME, "invalid-username-encoding"),
        (&rules::NOT_AUTHENTICATED, "other-error"),
        (&rules::AUTHZID_DENIED, "other-error"),
        (&rules::PROOF_LENGTH, "other-error"),
        (&registry::rules::WRONG_CREDENTIAL, "other-error"),
    ] {
        assert_eq!(ServerError::of(&Error::new(rule)).name(), words, "{}", rule.id);
    }
}

#[test]
fn a_credential_of_another_kind_is_refused() {
    let mut store = MemoryStore::new(&mut FixedRng(3));
    store.insert(&PLAIN.name(), "user", Credential::Password(Password::new("pencil"))).unwrap();
    let store: Arc<dyn CredentialStore> = Arc::new(store);
    let setup = ServerSetup { credentials: store, binding: None, context: Context::new() };
    let mut server = registry::find(&PLAIN.name()).unwrap().server(setup, &mut FixedRng(1)).unwrap();
    assert_breaks(server.step(b"n,,n=user,r=abc"), &registry::rules::WRONG_CREDENTIAL);
    assert_eq!(server.failure_reply().unwrap(), b"e=other-error");
}

#[test]
fn a_memory_store_keeps_one_record_for_a_mechanism_and_its_plus() {
    let store = memory_store();
    for name in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"] {
        assert!(store.lookup(&name.parse().unwrap(), "user").unwrap().is_some());
    }
    assert!(store.lookup(&"SCRAM-SHA-1".parse().unwrap(), "user").unwrap().is_none());
    assert!(store.lookup(&PLAIN.name(), "nobody").unwrap().is_none());
}

#[test]
fn a_shared_password_serves_its_one_identity() {
    let store =
        SharedPassword::new("alice@a.example", Password::new("pencil"), Preparation::SaslPrep, FixedRng(3));
    let store = store.unwrap().with_scram_iterations(ITERATIONS_MIN);
    let Some(Credential::Scram(record)) = store.lookup(&PLUS.name(), "alice@a.example").unwrap() else {
        panic!("no record");
    };
    assert_eq!(record.iterations().get(), ITERATIONS_MIN);
    let Some(Credential::Scram(again)) = store.lookup(&PLAIN.name(), "alice@a.example").unwrap() else {
        panic!("no record");
    };
    assert_eq!(again.stored_key(), record.stored_key());
    assert!(store.lookup(&PLUS.name(), "bob@b.example").unwrap().is_none());
    assert_eq!(store.simulated_iterations(&PLUS.name()), Some(ITERATIONS_MIN));
    assert_breaks(
        store.lookup(&"NO-SUCH".parse().unwrap(), "alice@a.example"),
        &registry::rules::UNKNOWN_MECHANISM,
    );
    assert!(!format!("{store:?}").contains("pencil"));
}

// Records and cached keys.

macro_rules! not_a_record {
    ($($name:ident: $text:expr => $rule:ident;)*) => {$(
        #[test]
        fn $name() {
            assert_breaks($text.parse::<StoredCredential>(), &rules::$rule);
        }
    )*};
}

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

not_a_record! {
    record_empty: "" => BAD_RECORD;
    record_of_unknown_scheme: format!("SCRAM-SHA-224$4096:c2FsdA==${KEY}:{KEY}") => BAD_RECORD;
    record_of_plus_scheme: format!("SCRAM-SHA-256-PLUS$4096:c2FsdA==${KEY}:{KEY}") => BAD_RECORD;
    record_without_keys: "SCRAM-SHA-256$4096:c2FsdA==" => BAD_RECORD;
    record_with_a_fourth_part: format!("SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}$") => BAD_RECORD;
    record_without_salt: format!("SCRAM-SHA-256$4096${KEY}:{KEY}") => BAD_RECORD;
    record_with_empty_salt: format!("SCRAM-SHA-256$4096:${KEY}:{KEY}") => SALT_LENGTH;
    record_with_zero_iterations: format!("SCRAM-SHA-256$0:c2FsdA==${KEY}:{KEY}") => BAD_RECORD;
    record_with_no_iterations: format!("SCRAM-SHA-256$:c2FsdA==${KEY}:{KEY}") => BAD_RECORD;
    record_with_too_large_iterations: format!("SCRAM-SHA-256$4294967296:c2FsdA==${KEY}:{KEY}") => BAD_RECORD;
    record_with_bad_salt: format!("SCRAM-SHA-256$4096:c2FsdA=${KEY}:{KEY}") => BAD_RECORD;
    record_with_one_key: format!("SCRAM-SHA-256$4096:c2FsdA==${KEY}") => BAD_RECORD;
    record_with_short_key: format!("SCRAM-SHA-256$4096:c2FsdA==$AAAA:{KEY}") => BAD_RECORD;
    record_with_bad_key: format!("SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}!") => BAD_RECORD;
}

#[test]
fn a_record_of_ldap_may_have_spaces() {
    let record = format!("SCRAM-SHA-256 $ 1:c2FsdA== $ {KEY}:{KEY}").parse::<StoredCredential>().unwrap();
    assert_eq!(*record.to_rfc5803(), format!("SCRAM-SHA-256$1:c2FsdA==${KEY}:{KEY}"));
}

#[test]
fn new_records_keep_to_the_limits() {
    let derive = |salt: &[u8], iterations| {
        let password = Password::new("pencil");
        StoredCredential::derive(HashFunction::Sha1, &password, Preparation::SaslPrep, salt, iterations)
    };
    assert_breaks(derive(b"", ITERATIONS_MIN), &rules::SALT_LENGTH);
    assert!(derive(&[1], ITERATIONS_MIN).is_ok());
    assert!(derive(&[1; SALT_MAX], ITERATIONS_MIN).is_ok());
    assert_breaks(derive(&[1; SALT_MAX + 1], ITERATIONS_MIN), &rules::SALT_LENGTH);
    assert_breaks(derive(&[1], ITERATIONS_MIN - 1), &rules::TOO_FEW_ITERATIONS);
    assert_breaks(derive(&[1], ITERATIONS_MAX + 1), &rules::TOO_MANY_ITERATIONS);
}

#[test]
fn a_password_that_fails_preparation_is_never_sent() {
    let config = ClientConfig::new(PLAIN, "user", Password::new("pen\u{7}cil"), None).unwrap();
    assert_breaks(config.start(&mut FixedRng(0)), &countersign::prep::rules::PROHIBITED);
    let config = ClientConfig::new(PLAIN, "user", Password::new(""), None).unwrap();
    assert_breaks(config.start(&mut FixedRng(0)), &countersign::prep::rules::EMPTY);
}

#[test]
fn cached_keys_replace_the_password_while_they_fit() {
    let (_, _, keys) = run(client(PLAIN), server(PLAIN)).unwrap();
    let wrong = || ClientConfig::new(PLAIN, "user", Password::new("wrong"), None).unwrap();
    assert_breaks(run(wrong(), server(PLAIN)), &rules::NOT_AUTHENTICATED);
    assert!(run(wrong().with_keys(keys.clone()), server(PLAIN)).is_ok());

    let salted_anew = StoredCredential::derive(
        HashFunction::Sha256,
        &Password::new("pencil"),
        Preparation::SaslPrep,
        b"other salt",
        ITERATIONS_MIN,
    );
    let salted_anew = salted_anew.unwrap();
    assert!(keys.fit(HashFunction::Sha256, b"salt", salted_anew.iterations()));
    assert!(!keys.fit(HashFunction::Sha256, salted_anew.salt(), salted_anew.iterations()));
    assert!(!keys.fit(HashFunction::Sha512, b"salt", salted_anew.iterations()));
    let (client, server, response) =
        run_to_final(client(PLAIN).with_keys(keys), server(PLAIN), Some(salted_anew));
    let (_, success) = server.receive(response.as_bytes()).unwrap();
    assert!(client.receive(&success).is_ok());
}

#[test]
fn cached_keys_do_not_lift_the_floor() {
    let (_, _, keys) = run(client(PLAIN), server(PLAIN)).unwrap();
    let state = start(client(PLAIN).with_keys(keys));
    let message = format!("r={NONCE}xyz,s=c2FsdA==,i=4095");
    assert_breaks(state.receive(message.as_bytes()), &rules::TOO_FEW_ITERATIONS);
}

#[test]
fn outcomes_tell_what_was_established() {
    let (at_client, at_server, _) = run(client(PLUS), server(PLUS)).unwrap();
    for outcome in [at_client, at_server] {
        assert_eq!(outcome.mechanism(), &PLUS.name());
        assert_eq!((outcome.authcid(), outcome.authzid()), ("user", None));
        assert!(outcome.binding().is_some_and(|bound| bound.same_channel(&binding())));
        assert!(outcome.key().is_none());
    }
}

#[test]
fn a_binding_that_was_not_used_is_not_in_the_outcome() {
    let seed = SecretBytes::new(vec![5; SEED_MIN]);
    let able = ClientConfig::new(PLAIN, "user", Password::new("pencil"), Some(binding())).unwrap();
    let server = ServerConfig::new(PLAIN, Some(binding()), &seed).unwrap();
    let (at_client, at_server, _) = run(able, server).unwrap();
    assert!(at_client.binding().is_none());
    assert!(at_server.binding().is_none());
}
