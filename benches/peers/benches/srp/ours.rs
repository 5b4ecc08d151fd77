//! countersign.

use countersign::prep::Preparation;
use countersign::secret::SecretBytes;
use countersign::srp::{Client, Dialect, Group, Parameters, Prehash, Server, Verifier};
use countersign::{Password, system_rng};

use super::{Operation, PASSWORD, SALT, USER, random, time};

fn parameters(group: Group) -> Parameters {
    Parameters { dialect: Dialect::RFC5054, group, prehash: Prehash::None }
}

fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.as_bytes().to_vec())
}

pub(crate) fn record(group: Group) -> Verifier {
    Verifier::derive(&parameters(group), USER, &password(), &SALT).expect("a good password")
}

pub(crate) fn server(group: Group) -> Operation {
    let record = record(group);
    Box::new(move || {
        let (server, first) = time(|| Server::start(Dialect::RFC5054, record.clone(), &mut system_rng()));
        let server = server.expect("the right dialect");
        let client = Client::start(parameters(group), &mut system_rng());
        let a = client.public_value().to_vec();
        let client = client.respond(USER, &password(), &SALT, server.public_value());
        let client = client.expect("an honest server");
        let (_, second) = time(|| {
            let state = server.receive(USER, &a).expect("an honest client");
            state.finish(client.proof()).expect("the right password")
        });
        first + second
    })
}

pub(crate) fn client(group: Group) -> Operation {
    let (record, password) = (record(group), password());
    Box::new(move || {
        let server = Server::start(Dialect::RFC5054, record.clone(), &mut system_rng());
        let server = server.expect("the right dialect");
        let ((a, client), first) = time(|| {
            let client = Client::start(parameters(group), &mut system_rng());
            let a = client.public_value().to_vec();
            (a, client.respond(USER, &password, &SALT, server.public_value()).expect("an honest server"))
        });
        let server = server.receive(USER, &a).expect("an honest client");
        let (m2, _) = server.finish(client.proof()).expect("the right password");
        first + time(|| client.finish(&m2).expect("the right server")).1
    })
}

pub(crate) fn verifier(group: Group) -> Operation {
    let password = Password::new(PASSWORD);
    Box::new(move || {
        let (parameters, rng) = (parameters(group), &mut system_rng());
        time(|| Verifier::generate(&parameters, USER, &password, Preparation::None, rng)).1
    })
}

pub(crate) fn power(group: Group) -> Operation {
    Box::new(move || {
        let exponent = random::<32>();
        time(|| group.generator_power(&exponent)).1
    })
}
