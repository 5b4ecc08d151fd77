//! TLS-PSK, both ends ours: what is proven, what is refused, and how it ends.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "this is a test")]
#![cfg(feature = "openssl")]

#[path = "common/tls.rs"]
mod kit;

use std::sync::Arc;

use countersign::tls::psk::{KeyRing, PreSharedKey, PskClientConfig, PskCredential, PskServerConfig, Suite};
use countersign::{Side, system_rng};
use kit::{Ends, run};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.net";
const SUITES: [Suite; 3] = [Suite::Tls13Sha256, Suite::Tls13Sha384, Suite::Tls12];

fn server_for(suite: Suite, keys: impl IntoIterator<Item = PskCredential>) -> PskServerConfig {
    let mut ring = KeyRing::new();
    keys.into_iter().for_each(|key| ring.insert(key));
    PskServerConfig::only(suite, Arc::new(ring)).unwrap()
}

fn key() -> PreSharedKey {
    PreSharedKey::generate(&mut system_rng())
}

#[test]
fn both_sides_prove_the_key_and_share_a_channel() {
    for suite in SUITES {
        let credential = PskCredential::between(&key(), ALICE, BOB, suite);
        let client = PskClientConfig::new(credential.clone()).unwrap().mechanism().unwrap();
        let server = server_for(suite, [credential]).mechanism().unwrap();
        let Ends { client, server } = run(client, server);
        let (client, server) = (client.unwrap(), server.unwrap());
        assert!(client.binding().same_channel(server.binding()));
        for tunnel in [&client, &server] {
            assert_eq!(tunnel.outcome().authcid(), ALICE);
            assert_eq!(*tunnel.mechanism(), suite.mechanism());
        }
        assert_eq!(client.outcome().side(), Side::Client);
        assert_eq!(server.outcome().side(), Side::Server);
        eprintln!("{:?}", client.negotiated());
    }
}
