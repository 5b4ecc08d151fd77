use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::binding::ChannelBinding;
use crate::secret::SecretBytes;
use crate::system_rng;

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// One published exchange. Cases of hashes that are not compiled in (SHA-224, SHA-384) give `None`.
struct Vector {
    case: Value,
    mechanism: ScramMechanism,
    binding: Option<ChannelBinding>,
}

impl Vector {
    fn new(case: Value) -> Option<Self> {
        let name = match case["mechanism"].as_str() {
            Some(name) => name.to_owned(),
            None => format!("SCRAM-{}", case["hash"].as_str().unwrap()),
        };
        let mechanism = ScramMechanism::try_from(&name.parse::<MechanismName>().unwrap()).ok()?;
        let binding = case["cb_type"].as_str().map(|kind| {
            let data = unhex(case["cb_data"].as_str().unwrap());
            ChannelBinding::from_vector(kind.parse().unwrap(), &data).unwrap()
        });
        Some(Self { case, mechanism, binding })
    }

    fn text(&self, name: &str) -> &str {
        self.case[name].as_str().unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn nonces(&self) -> (&str, &str) {
        let client = self.text("client_first").rsplit_once(",r=").unwrap().1;
        let whole = self.text("server_first").split(',').next().unwrap().strip_prefix("r=").unwrap();
        (client, whole.strip_prefix(client).unwrap())
    }

    fn context(&self) -> Context {
        let names = |name: &str| {
            let names = self.case[name].as_array().cloned().unwrap_or_default();
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        Context::new()
            .with_mechanisms(names("mechanisms_advertised").iter().map(|name| name.parse().unwrap()))
            .with_binding_types(names("cb_types_advertised").iter().map(|name| name.parse().unwrap()))
    }

    fn record(&self) -> StoredCredential {
        let server_first = wire::ServerFirstMessage::parse(self.text("server_first").as_bytes()).unwrap();
        StoredCredential::derive(
            self.mechanism.hash(),
            &Password::new(self.text("password")),
            Preparation::SaslPrep,
            &server_first.salt,
            server_first.iterations.try_into().unwrap(),
        )
        .unwrap()
    }

    fn run_client(&self) {
        let password = Password::new(self.text("password"));
        let mut config =
            ClientConfig::new(self.mechanism, self.text("user"), password, self.binding.clone()).unwrap();
        config = config.with_context(self.context()).with_nonce(self.nonces().0);
        if self.text("client_final").contains(",x=") {
            config = config.with_final_extension("x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3");
            config = config.requiring_downgrade_protection();
        }
        let (state, message) = config.start(&mut system_rng()).unwrap();
        assert_eq!(str::from_utf8(&message).unwrap(), self.text("client_first"));
        let (state, message) = state.receive(self.text("server_first").as_bytes()).unwrap();
        assert_eq!(str::from_utf8(&message).unwrap(), self.text("client_final"));
        let (outcome, _) = state.receive(self.text("server_final").as_bytes()).unwrap();
        assert_eq!(outcome.authcid(), self.text("user"));
        assert_eq!(outcome.binding().is_some(), self.mechanism.is_plus());
    }

    fn run_server(&self) {
        let seed = SecretBytes::new(vec![1; SEED_MIN]);
        let config = ServerConfig::new(self.mechanism, self.binding.clone(), &seed).unwrap();
        let config = config.with_context(self.context()).with_nonce(self.nonces().1);
        let request = config.start(&mut system_rng()).receive(self.text("client_first").as_bytes()).unwrap();
        assert_eq!(request.username(), self.text("user"));
        let (state, message) = request.respond(Some(self.record())).unwrap();
        assert_eq!(str::from_utf8(&message).unwrap(), self.text("server_first"));
        let (outcome, message) = state.receive(self.text("client_final").as_bytes()).unwrap();
        assert_eq!(str::from_utf8(&message).unwrap(), self.text("server_final"));
        assert_eq!(outcome.authcid(), self.text("user"));
        assert_eq!(outcome.binding().is_some(), self.mechanism.is_plus());
    }

    fn check_keys(&self) {
        let record = self.record();
        assert_eq!(record.stored_key(), unhex(self.text("stored_key")));
        assert_eq!(record.server_key(), unhex(self.text("server_key")));
    }
}

fn run(file: &str) -> usize {
    let file = serde_json::from_str::<Value>(file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let vectors = cases.iter().filter_map(|case| Vector::new(case.clone())).collect::<Vec<_>>();
    for vector in &vectors {
        vector.check_keys();
        vector.run_client();
        vector.run_server();
    }
    vectors.len()
}

#[test]
fn rfc_5802_and_rfc_7677_vectors_on_both_sides() {
    assert_eq!(run(include_str!("../../vectors/scram_rfc5802_rfc7677.json")), 2);
}

#[test]
fn derived_vectors_on_both_sides() {
    assert_eq!(run(include_str!("../../vectors/scram_derived.json")), 6);
}

#[test]
fn xep_0474_vector_on_both_sides() {
    assert_eq!(run(include_str!("../../vectors/scram_plus_tls_exporter_xep0474.json")), 1);
}

#[test]
fn stored_records_of_postgresql() {
    let file = include_str!("../../vectors/scram_stored_verifiers.json");
    let file = serde_json::from_str::<Value>(file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let text = case["verifier"].as_str().unwrap();
        let record = text.parse::<StoredCredential>().unwrap();
        assert_eq!(*record.to_rfc5803(), text);
        let password = case["password"].as_str().unwrap().as_bytes();
        let derived =
            StoredCredential::from_prepared(record.hash(), password, record.salt(), record.iterations());
        assert_eq!(*derived.to_rfc5803(), text);
    }
}

#[test]
fn names_are_those_of_the_registry() {
    let registered = registry::all().iter().map(|row| row.name().as_str());
    let registered = registered.filter(|name| name.starts_with("SCRAM-")).collect::<BTreeSet<_>>();
    assert_eq!(registered.len(), 8);
    for row in registry::all().iter().filter(|row| registered.contains(row.name().as_str())) {
        let mechanism = ScramMechanism::try_from(row.name()).unwrap();
        assert_eq!(mechanism.name(), *row.name());
        assert_eq!(mechanism.is_plus(), row.name().is_plus());
        assert_eq!(row.properties(), mechanism.properties());
    }
    let unknown = MechanismName::from_static("SCRAM-SHA-224");
    assert!(ScramMechanism::try_from(&unknown).unwrap_err().is(&registry::rules::UNKNOWN_MECHANISM));
}

#[test]
fn no_scheme_begins_another() {
    for one in HashFunction::ALL {
        for other in HashFunction::ALL {
            assert!(one == other || !one.scheme().starts_with(other.scheme()));
        }
    }
}

#[test]
fn debug_shows_no_key() {
    let record = StoredCredential::derive(
        HashFunction::Sha256,
        &Password::new("pencil"),
        Preparation::SaslPrep,
        b"salt",
        ITERATIONS_MIN,
    )
    .unwrap();
    let shown = format!("{record:?} {:?}", record.clone());
    assert!(shown.contains("redacted"));
    assert!(!shown.contains(&format!("{}, {}", record.stored_key()[0], record.stored_key()[1])));
}

#[test]
fn iteration_limits_hold_on_both_sides_of_each() {
    let check = |demanded| check_iterations(demanded, &(ITERATIONS_MIN..=ITERATIONS_MAX));
    let (fewest, most) = (u64::from(ITERATIONS_MIN), u64::from(ITERATIONS_MAX));
    assert!(check(fewest - 1).unwrap_err().is(&rules::TOO_FEW_ITERATIONS));
    assert_eq!(check(fewest).unwrap().get(), ITERATIONS_MIN);
    assert_eq!(check(most).unwrap().get(), ITERATIONS_MAX);
    for above in [most + 1, u64::MAX] {
        let error = check(above).unwrap_err();
        assert!(error.is(&rules::TOO_MANY_ITERATIONS));
        assert_eq!(error.numbers(), Some((above, most)));
    }
    // Even a range that begins at 0 lets no 0 pass.
    assert!(check_iterations(0, &(0..=5)).is_err());
}

#[test]
fn a_client_without_user_name_logs_in_where_that_is_known_already() {
    let mechanism = ScramMechanism::new(HashFunction::Sha256);
    let password = Password::new("pencil");
    let record =
        StoredCredential::derive(mechanism.hash(), &password, Preparation::SaslPrep, b"salt", 4096).unwrap();
    let client = ClientConfig::new(mechanism, "alice", password, None).unwrap().without_user_name();
    let (client, client_first) = client.with_nonce("abc").start(&mut system_rng()).unwrap();
    assert_eq!(client_first, b"n,,n=,r=abc");
    let server = ServerConfig::new(mechanism, None, &SecretBytes::new(vec![7; 32])).unwrap();
    let error = server.start(&mut system_rng()).receive(&client_first).unwrap_err();
    assert!(error.is(&rules::BAD_USER_NAME));

    // What PostgreSQL does.
    let server_first = "r=abcdef,s=c2FsdA==,i=4096";
    let (client, client_final) = client.receive(server_first.as_bytes()).unwrap();
    let client_final = String::from_utf8(client_final).unwrap();
    let (without_proof, proof) = client_final.rsplit_once(",p=").unwrap();
    let auth_message = format!("n=,r=abc,{server_first},{without_proof}");
    let hash = mechanism.hash();
    let signature = |key: &[u8]| hash.hmac(key, auth_message.as_bytes());
    let client_key = hash::Key::new(&wire::base64(proof).unwrap()).xor(&signature(record.stored_key()));
    assert_eq!(hash.digest(client_key.expose()).expose(), record.stored_key());
    let server_final = format!("v={}", Base64::encode_string(signature(record.server_key()).expose()));
    assert_eq!(client.receive(server_final.as_bytes()).unwrap().0.authcid(), "alice");
}
