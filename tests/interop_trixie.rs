//! Against the servers of Debian 13 in a folder that `tests/peers/trixie.sh` fills: channel binding by tls-exporter,
//! XEP-0440, SASL2 and Bind 2. `COUNTERSIGN_TRIXIE` names the folder; without it nothing is tested.
#![cfg(all(feature = "client-tls", feature = "cpace", any(feature = "aws-lc-rs", feature = "ring")))]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "common/network.rs"]
mod network;

use std::path::PathBuf;

use countersign::BindingType;
use countersign::xmpp::client::{BindingUse, Profile, rules};

use network::certificates::Authority;
use network::servers::{Server, Setup};
use network::tunnels::{account, guard, log_in, log_in_by_end_point, log_in_directly, talk};

const DOMAIN: &str = "verona.example";
const ACCOUNTS: [(&str, &str); 2] = [("alice", "in wonderland"), ("bob", "the builder")];

/// Octets through each tunnel, each way.
const OCTETS: usize = 100_000;

fn root() -> Option<PathBuf> {
    let root = std::env::var_os("COUNTERSIGN_TRIXIE").map(PathBuf::from);
    if root.is_none() {
        eprintln!(
            "SKIPPED: COUNTERSIGN_TRIXIE names no folder; nothing was tested against the servers of Debian 13"
        );
    }
    root
}

async fn try_out(start: fn(Setup<'_>) -> Server, profile: Profile, end_point: bool) {
    let Some(root) = root() else { return };
    let authority = Authority::new();
    let server = start(Setup { root: Some(&root), ..Setup::new(DOMAIN, &ACCOUNTS, &authority) });
    let login = |jid: &str| account(jid, ACCOUNTS[0].1);

    // Without a wish for a resource it is bound on the way, where there is Bind 2.
    let required = login("alice@verona.example").with_binding_use(BindingUse::Required);
    let client = log_in(&server, &authority, required).await.unwrap();
    let report = client.report();
    assert_eq!((report.binding, report.profile), (Some(BindingType::TlsExporter), profile));
    assert!(report.mechanism.is_plus(), "{}", report.mechanism);
    guard(client.close()).await.unwrap();

    let client = log_in_by_end_point(&server, &authority, login("alice@verona.example/x")).await;
    if end_point {
        let client = client.unwrap();
        assert_eq!(client.report().binding, Some(BindingType::TlsServerEndPoint));
        guard(client.close()).await.unwrap();
    } else {
        assert!(client.err().unwrap().is(&rules::BINDING_REQUIRED));
    }

    let unbound = login("alice@verona.example").with_binding_use(BindingUse::Never);
    let client = log_in(&server, &authority, unbound).await.unwrap();
    assert_eq!((client.report().binding, client.report().profile), (None, profile));
    guard(client.close()).await.unwrap();

    let error = log_in(&server, &authority, account("alice@verona.example", "wrong")).await.err().unwrap();
    assert!(error.is(&rules::LOGIN_REFUSED), "{error}");

    let alice = log_in(&server, &authority, login("alice@verona.example/laptop")).await.unwrap();
    let bob = account("bob@verona.example/tablet", ACCOUNTS[1].1);
    let bob = log_in_directly(&server, &authority, bob).await.unwrap();
    assert_eq!(bob.report().binding, Some(BindingType::TlsExporter));
    talk(alice, bob, OCTETS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prosody_13_binds_to_tls_exporter() {
    // It announces tls-server-end-point only where an administrator names the hash.
    try_out(Server::prosody, Profile::Sasl, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ejabberd_24_binds_to_tls_exporter_in_sasl2() {
    try_out(Server::ejabberd, Profile::Sasl2, true).await;
}
