//! RustCrypto's crates srp 0.6 and 0.7, and crypto-bigint.

use countersign::srp::Group;
use countersign_peers::{G8192, generator};
use crypto_bigint::BoxedUint;
use sha1::Sha1;
use srp::groups::{G2048, G3072, G4096};

use super::{Operation, PASSWORD, SALT, USER, random, time};

/// Calls a function for the type that stands for a group.
macro_rules! in_group {
    ($group:expr, $operation:ident($($argument:expr),*)) => {
        match $group {
            Group::Bits2048 => $operation::<G2048>($($argument),*),
            Group::Bits3072 => $operation::<G3072>($($argument),*),
            Group::Bits4096 => $operation::<G4096>($($argument),*),
            Group::Bits8192 => $operation::<G8192>($($argument),*),
            _ => unreachable!("not measured"),
        }
    };
}

pub(crate) fn server(group: Group, len: usize) -> Operation {
    in_group!(group, server_in(len))
}

pub(crate) fn client(group: Group, len: usize) -> Operation {
    in_group!(group, client_in(len))
}

pub(crate) fn verifier(group: Group) -> Operation {
    in_group!(group, verifier_in())
}

fn server_in<G: srp::Group + 'static>(len: usize) -> Operation {
    let (server, client) = (srp::Server::<G, Sha1>::new(), srp::Client::<G, Sha1>::new());
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let a = random::<32>();
    let a_pub = client.compute_public_ephemeral(&a);
    Box::new(move || {
        let b = &random::<48>()[..len];
        let (b_pub, first) = time(|| server.compute_public_ephemeral(b, &v));
        let client = client.process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub);
        let client = client.expect("an honest server");
        let (_, second) = time(|| {
            let server = server.process_reply(USER.as_bytes(), &SALT, b, &v, &a_pub);
            let server = server.expect("an honest client");
            server.verify_client(client.proof()).expect("the right password");
            server.proof().to_vec()
        });
        first + second
    })
}

fn client_in<G: srp::Group + 'static>(len: usize) -> Operation {
    let (server, client) = (srp::Server::<G, Sha1>::new(), srp::Client::<G, Sha1>::new());
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let b_pub = server.compute_public_ephemeral(&random::<32>(), &v);
    Box::new(move || {
        let a = &random::<48>()[..len];
        time(|| {
            let a_pub = client.compute_public_ephemeral(a);
            let reply = client.process_reply(a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub);
            (a_pub, reply.expect("an honest server").proof().to_vec())
        })
        .1
    })
}

fn verifier_in<G: srp::Group + 'static>() -> Operation {
    let client = srp::Client::<G, Sha1>::new();
    Box::new(move || time(|| client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT)).1)
}

type OldServer = srp_06::server::SrpServer<'static, sha1_010::Sha1>;
type OldClient = srp_06::client::SrpClient<'static, sha1_010::Sha1>;

fn old(group: Group) -> (OldServer, OldClient) {
    let group = match group {
        Group::Bits2048 => &*srp_06::groups::G_2048,
        Group::Bits3072 => &*srp_06::groups::G_3072,
        Group::Bits4096 => &*srp_06::groups::G_4096,
        _ => &*srp_06::groups::G_8192,
    };
    (OldServer::new(group), OldClient::new(group))
}

pub(crate) fn old_server(group: Group) -> Operation {
    let (server, client) = old(group);
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let a = random::<32>();
    let a_pub = client.compute_public_ephemeral(&a);
    Box::new(move || {
        let b = random::<32>();
        let (b_pub, first) = time(|| server.compute_public_ephemeral(&b, &v));
        let client = client.process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub);
        let client = client.expect("an honest server");
        let (_, second) = time(|| {
            let server = server.process_reply(&b, &v, &a_pub).expect("an honest client");
            server.verify_client(client.proof()).expect("the right password");
            server.proof().to_vec()
        });
        first + second
    })
}

pub(crate) fn old_client(group: Group) -> Operation {
    let (server, client) = old(group);
    let v = client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT);
    let b_pub = server.compute_public_ephemeral(&random::<32>(), &v);
    Box::new(move || {
        let a = random::<32>();
        time(|| {
            let a_pub = client.compute_public_ephemeral(&a);
            let reply = client.process_reply(&a, USER.as_bytes(), PASSWORD.as_bytes(), &SALT, &b_pub);
            (a_pub, reply.expect("an honest server").proof().to_vec())
        })
        .1
    })
}

pub(crate) fn old_verifier(group: Group) -> Operation {
    let (_, client) = old(group);
    Box::new(move || time(|| client.compute_verifier(USER.as_bytes(), PASSWORD.as_bytes(), &SALT)).1)
}

pub(crate) fn power(group: Group) -> Operation {
    let base = generator(group);
    Box::new(move || {
        let exponent = BoxedUint::from_be_slice(&random::<32>(), 256).expect("256 bits");
        time(|| base.pow(&exponent).retrieve()).1
    })
}
