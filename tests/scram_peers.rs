//! SCRAM-SHA-256 against the `scram` crate, an independent implementation, in both roles.
#![cfg(feature = "scram")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::num::NonZeroU32;

use countersign::prep::Preparation;
use countersign::scram::{
    ClientConfig, HashFunction, ITERATIONS_MIN, SEED_MIN, ScramMechanism, ServerConfig, StoredCredential,
    rules,
};
use countersign::secret::SecretBytes;
use countersign::{Error, Outcome, Password, system_rng};
use scram::server::{AuthenticationProvider, AuthenticationStatus, PasswordInfo};

const MECHANISM: ScramMechanism = ScramMechanism::new(HashFunction::Sha256);
const SALT: &[u8] = b"sixteen octets!!";

const USER: &str = "user";

struct Provider;

impl AuthenticationProvider for Provider {
    fn get_password_for(&self, username: &str) -> Option<PasswordInfo> {
        let iterations = NonZeroU32::new(ITERATIONS_MIN).unwrap();
        let salted = scram::hash_password("pencil", iterations, SALT);
        let iterations = u16::try_from(ITERATIONS_MIN).unwrap();
        (username == USER).then(|| PasswordInfo::new(salted.to_vec(), iterations, SALT.to_vec()))
    }
}

/// Our client at their server: what each of the two came to.
fn at_their_server(password: &str) -> (AuthenticationStatus, Result<Outcome, Error>) {
    let client = ClientConfig::new(MECHANISM, USER, Password::new(password), None).unwrap();
    let (client, first) = client.start(&mut system_rng()).unwrap();
    let server = scram::ScramServer::new(Provider);
    let server = server.handle_client_first(str::from_utf8(&first).unwrap()).unwrap();
    let (server, challenge) = server.server_first();
    let (client, response) = client.receive(challenge.as_bytes()).unwrap();
    let server = server.handle_client_final(str::from_utf8(&response).unwrap()).unwrap();
    let (status, success) = server.server_final();
    (status, client.receive(success.as_bytes()).map(|(outcome, _)| outcome))
}

/// Their client at our server, which knows "pencil".
fn at_our_server(password: &str) -> Result<(Outcome, Result<(), scram::Error>), Error> {
    let known = Password::new("pencil");
    let record =
        StoredCredential::derive(HashFunction::Sha256, &known, Preparation::SaslPrep, SALT, ITERATIONS_MIN);
    let server = ServerConfig::new(MECHANISM, None, &SecretBytes::new(vec![5; SEED_MIN])).unwrap();
    let (client, first) = scram::ScramClient::new(USER, password, None).client_first();
    let request = server.start(&mut system_rng()).receive(first.as_bytes())?;
    assert_eq!(request.username(), USER);
    let (server, challenge) = request.respond(Some(record?))?;
    let client = client.handle_server_first(str::from_utf8(&challenge).unwrap()).unwrap();
    let (client, response) = client.client_final();
    let (outcome, success) = server.receive(response.as_bytes())?;
    Ok((outcome, client.handle_server_final(str::from_utf8(&success).unwrap())))
}

#[test]
fn our_client_logs_in_at_the_scram_crate() {
    let (status, outcome) = at_their_server("pencil");
    assert_eq!(status, AuthenticationStatus::Authenticated);
    assert_eq!(outcome.unwrap().authcid(), USER);
}

#[test]
fn our_client_with_a_wrong_password_is_refused_by_the_scram_crate() {
    let (status, outcome) = at_their_server("pencils");
    assert_eq!(status, AuthenticationStatus::NotAuthenticated);
    assert!(outcome.unwrap_err().is(&rules::SERVER_ERROR));
}

#[test]
fn the_scram_crate_logs_in_at_our_server() {
    let (outcome, at_client) = at_our_server("pencil").unwrap();
    assert_eq!(outcome.authcid(), USER);
    at_client.unwrap();
}

#[test]
fn the_scram_crate_with_a_wrong_password_is_refused_by_our_server() {
    assert!(at_our_server("pencils").unwrap_err().is(&rules::NOT_AUTHENTICATED));
}
