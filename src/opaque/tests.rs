//! The ristretto255 vectors of RFC 9807 appendix C on both roles, and every refusal of the protocol.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::ksf::Ksf;

const RFC_9807: &str = include_str!("../../vectors/opaque_rfc9807.json");

fn octets(case: &Value, part: &str, field: &str) -> Vec<u8> {
    let text = case[part][field].as_str().unwrap_or_else(|| panic!("no {field}"));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The cases of this suite with the given value of `Fake`. The others need another group.
fn cases(fake: &str) -> Vec<Value> {
    let file = serde_json::from_str::<Value>(RFC_9807).unwrap();
    let ours = |case: &&Value| case["config"]["Group"] == "ristretto255" && case["config"]["Fake"] == fake;
    file["cases"].as_array().unwrap().iter().filter(ours).cloned().collect()
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

fn draws(case: &Value, fields: &[&str]) -> FixedRng {
    let of = |field: &&str| {
        let mut octets = octets(case, "inputs", field);
        // A scalar is drawn as 64 octets, little-endian, and reduced.
        if field.starts_with("blind") {
            octets.resize(64, 0);
        }
        octets
    };
    FixedRng(fields.iter().flat_map(of).collect())
}

struct Inputs {
    context: Vec<u8>,
    client: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
}

impl Inputs {
    fn of(case: &Value) -> Self {
        let identity =
            |field| case["inputs"].get(field).is_some().then(|| octets(case, "inputs", field));
        Self {
            context: octets(case, "config", "Context"),
            client: identity("client_identity"),
            server: identity("server_identity"),
        }
    }

    fn parties(&self) -> Parties<'_> {
        Parties { context: &self.context, client: self.client.as_deref(), server: self.server.as_deref() }
    }
}

fn keys(case: &Value, unknown_user: &[u8]) -> Arc<ServerKeys> {
    let input = |field| octets(case, "inputs", field);
    let bytes = [&input("oprf_seed")[..], &input("server_private_key"), unknown_user].concat();
    Arc::new(ServerKeys::from_bytes(&bytes.try_into().unwrap()).unwrap())
}

#[test]
fn rfc_9807_vectors_hold_on_both_roles() {
    let cases = cases("False");
    assert_eq!(cases.len(), 2);
    for case in &cases {
        let input = |field| octets(case, "inputs", field);
        let output = |field| octets(case, "outputs", field);
        let (inputs, password, name) = (Inputs::of(case), input("password"), input("credential_identifier"));
        let keys = keys(case, &input("server_public_key"));

        let mut rng = draws(case, &["blind_registration", "envelope_nonce"]);
        let (client, request) = ClientRegistration::start(&password, &mut rng).unwrap();
        assert_eq!(request[..], output("registration_request"));
        let response = keys.respond(&request, &name).unwrap();
        assert_eq!(response[..], output("registration_response"));
        let registered = client.finish(&response, &inputs.parties(), Ksf::IDENTITY, &mut rng).unwrap();
        assert_eq!(registered.upload[..], output("registration_upload"));
        assert_eq!(registered.export_key.expose(), output("export_key"));
        let record = Record::new(keys.clone(), Ksf::IDENTITY, &registered.upload).unwrap();

        let mut rng = draws(case, &["blind_login", "client_keyshare_seed", "client_nonce"]);
        let (client, ke1) = ClientLogin::start(&password, &mut rng).unwrap();
        assert_eq!(ke1[..], output("KE1"));
        // The masking key of the stand-in record is drawn for known users too.
        let mut rng = draws(case, &["masking_nonce", "server_keyshare_seed", "server_nonce"]);
        rng.0.splice(0..0, [0; 64]);
        let (server, ke2) =
            ServerLogin::start(&keys, Some(&record), &ke1, &name, &inputs.parties(), &mut rng).unwrap();
        assert_eq!(ke2[..], output("KE2"));
        let (ke3, confirmed, export_key) = client.finish(&ke2, &inputs.parties(), Ksf::IDENTITY).unwrap();
        assert_eq!(ke3[..], output("KE3"));
        assert_eq!(export_key.expose(), output("export_key"));
        assert_eq!(confirmed.into_key().expose(), output("session_key"));
        let confirmed = server.finish(&ke3, &inputs.parties()).unwrap();
        assert_eq!(confirmed.into_key().expose(), output("session_key"));
    }
}

#[test]
fn rfc_9807_vector_of_an_unknown_user_holds() {
    let cases = cases("True");
    assert_eq!(cases.len(), 1);
    for case in &cases {
        let inputs = Inputs::of(case);
        let keys = keys(case, &octets(case, "inputs", "client_public_key"));
        let ke1 = octets(case, "inputs", "KE1").try_into().unwrap();
        let name = octets(case, "inputs", "credential_identifier");
        let mut rng =
            draws(case, &["masking_key", "masking_nonce", "server_keyshare_seed", "server_nonce"]);
        let (_, ke2) = ServerLogin::start(&keys, None, &ke1, &name, &inputs.parties(), &mut rng).unwrap();
        assert_eq!(ke2[..], octets(case, "outputs", "KE2"));
    }
}
