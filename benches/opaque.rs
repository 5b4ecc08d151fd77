//! What does our layer cost on top of the crate `opaque-ke`, and does the server's time tell an unknown user from a
//! wrong password? Every row runs the cheapest Argon2id, on the client.
#![allow(clippy::unwrap_used, reason = "an exchange that fails has no time to report")]

mod common;
#[path = "common/probe.rs"]
mod probe;

use std::hint::black_box;
use std::sync::Arc;

use common::{compare, whole};
use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::opaque::{ClientLogin, NAME, Parties, Record, ServerKeys, ServerLogin};
use countersign::registry::Credential;
use countersign::{Mechanism, system_rng};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::rand::rngs::OsRng;
use opaque_ke::{
    CipherSuite, ClientRegistration, Ristretto255, ServerRegistration, ServerSetup as Keys, TripleDh,
};
use probe::{ALICE, PASSWORD, pair, probe};

const ROUNDS: usize = 300;

fn main() {
    let direct = Direct::enroll();
    let mut rng = system_rng();
    let keys = Arc::new(ServerKeys::generate(&mut rng));
    let (record, _) = Record::enroll(keys, ALICE, PASSWORD.as_bytes(), Ksf::CHEAPEST, &mut rng).unwrap();
    compare(
        ROUNDS,
        "whole login, both sides",
        &[
            ("opaque-ke 4.0.1 used directly", Box::new(|| whole(|| direct.login()))),
            ("countersign, the protocol alone", Box::new(|| whole(|| login(&record)))),
            ("countersign, OPAQUE-R255-PLUS as SASL mechanism", Box::new(|| whole(|| sasl(&record)))),
        ],
    );
    probe(ROUNDS, &NAME);
}

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_010::Sha512>;
    type Ksf = Cheapest;
}

#[derive(Default)]
struct Cheapest;

impl opaque_ke::ksf::Ksf for Cheapest {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, opaque_ke::errors::InternalError> {
        let mut output = GenericArray::default();
        let params = argon2::Params::new(8, 1, 1, Some(output.len())).unwrap();
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(&input, &[0; 16], &mut output)
            .unwrap();
        Ok(output)
    }
}

struct Direct {
    keys: Keys<Suite>,
    record: ServerRegistration<Suite>,
}

impl Direct {
    fn enroll() -> Self {
        let keys = Keys::<Suite>::new(&mut OsRng);
        let client = ClientRegistration::<Suite>::start(&mut OsRng, PASSWORD.as_bytes()).unwrap();
        let answer = ServerRegistration::start(&keys, client.message, b"alice").unwrap();
        let finished =
            client.state.finish(&mut OsRng, PASSWORD.as_bytes(), answer.message, Default::default()).unwrap();
        Self { keys, record: ServerRegistration::finish(finished.message) }
    }

    /// With the messages written and read, as they are when they cross a wire.
    fn login(&self) {
        let password = black_box(PASSWORD).as_bytes();
        let client = opaque_ke::ClientLogin::<Suite>::start(&mut OsRng, password).unwrap();
        let server = opaque_ke::ServerLogin::start(
            &mut OsRng,
            &self.keys,
            Some(self.record.clone()),
            opaque_ke::CredentialRequest::deserialize(&client.message.serialize()).unwrap(),
            b"alice",
            Default::default(),
        )
        .unwrap();
        let ke2 = opaque_ke::CredentialResponse::deserialize(&server.message.serialize()).unwrap();
        let client = client.state.finish(&mut OsRng, password, ke2, Default::default()).unwrap();
        let ke3 = opaque_ke::CredentialFinalization::deserialize(&client.message.serialize()).unwrap();
        let server = server.state.finish(ke3, Default::default()).unwrap();
        assert_eq!(client.session_key, server.session_key);
    }
}

fn login(record: &Record) {
    let mut rng = system_rng();
    let parties = Parties { context: b"", client: Some(ALICE.as_bytes()), server: None };
    let (client, ke1) = ClientLogin::start(black_box(PASSWORD).as_bytes(), &mut rng).unwrap();
    let (server, ke2) =
        ServerLogin::start(record.keys(), Some(record), &ke1, ALICE.as_bytes(), &parties, &mut rng).unwrap();
    let (ke3, ours, _) = client.finish(&ke2, &parties, record.ksf()).unwrap();
    let theirs = server.finish(&ke3, &parties).unwrap();
    assert_eq!(ours.into_key().expose(), theirs.into_key().expose());
}

fn sasl(record: &Record) {
    let (mut client, mut server) = pair(&NAME, Some(Credential::Opaque(record.clone())));
    let first = sent(&mut *client, &[]);
    let second = sent(&mut *server, &first);
    let Step::Finished { reply: Some(third), .. } = client.step(&second).unwrap() else { unreachable!() };
    let Step::Finished { .. } = server.step(&third).unwrap() else { unreachable!() };
}

fn sent(side: &mut dyn Mechanism, input: &[u8]) -> Vec<u8> {
    let Step::Continue(message) = side.step(input).unwrap() else { unreachable!() };
    message
}
