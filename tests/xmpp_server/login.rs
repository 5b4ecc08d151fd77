use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64ct::{Base64, Encoding};
use countersign::error::Result;
use countersign::guess::{GuessLimits, Guesses, PEER_GUESSES, PEER_WINDOW};
use countersign::mechanism::MechanismName;
use countersign::registry::{Credential, CredentialStore, MemoryStore};
use countersign::secret::SecretBytes;
use countersign::xmpp::client::rules;
use countersign::xmpp::server::{
    Config, LABEL, LOGIN_ATTEMPTS, LOGIN_GUESSES, Server, rules as server_rules,
};

use crate::support::*;

#[tokio::test]
async fn login_binds_the_wished_resource() {
    let server = server().await;
    let client = login(&server, "alice@home.example/lap").await;
    assert_eq!(client.jid().as_str(), "alice@home.example/lap");
    let statistics = server.statistics();
    assert_eq!((statistics.connections, statistics.logins, statistics.logins_refused), (1, 1, 0));
    guard(client.close()).await.unwrap();
}

#[tokio::test]
async fn login_without_a_wish_gives_distinct_resources() {
    let server = server().await;
    let (one, two) = (login(&server, "alice@home.example").await, login(&server, "alice@home.example").await);
    assert_eq!(one.jid().to_bare(), two.jid().to_bare());
    assert_ne!(one.jid(), two.jid());
}

#[tokio::test]
async fn a_resource_in_use_is_refused_until_it_is_free() {
    let server = server().await;
    let mut first = login(&server, "alice@home.example/lap").await;
    let error = try_login(&server, account("alice@home.example/lap", PASSWORD)).await.err().unwrap();
    assert!(error.is(&rules::BIND_REFUSED));
    assert_eq!(error.subject(), Some("conflict"));
    first.send(&element("<message xmlns='jabber:client'/>")).await.unwrap();
    guard(first.close()).await.unwrap();
    // The server frees the seat after its closing tag.
    guard(async {
        while try_login(&server, account("alice@home.example/lap", PASSWORD)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_password_and_unknown_user_are_refused_alike() {
    let server = server().await;
    for login in [account("alice@home.example", "wrong"), account("nobody@home.example", PASSWORD)] {
        let error = try_login(&server, login).await.err().unwrap();
        assert!(error.is(&rules::LOGIN_REFUSED));
        assert_eq!(error.subject(), Some("not-authorized"));
    }
    assert_eq!(server.statistics().logins_refused, 2);
}

#[tokio::test]
async fn the_server_refuses_plain() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.expect("SCRAM-SHA-256").await;
    raw.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGE=</auth>").await;
    raw.expect("<invalid-mechanism").await;
}

#[tokio::test]
async fn every_stream_says_what_the_server_is_for() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.expect(LABEL).await;
}

#[tokio::test]
async fn login_attempts_are_counted() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    for _ in 0..LOGIN_ATTEMPTS {
        raw.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>").await;
    }
    raw.expect_end("policy-violation").await;
    assert_eq!(server.statistics().logins_refused, u64::from(LOGIN_ATTEMPTS));
}

/// What a refused login is told.
async fn refusal(server: &Server, jid: &str, password: &str) -> String {
    let error = try_login(server, account(jid, password)).await.err().unwrap();
    assert!(error.is(&rules::LOGIN_REFUSED), "{error:?}");
    error.subject().unwrap().to_owned()
}

const LATER: &str = "temporary-auth-failure";

/// Guesses wrong, each time on a connection of its own.
async fn guess_wrong(server: &Server, times: usize) {
    for _ in 0..times {
        assert_eq!(refusal(server, "alice@home.example", "wrong").await, "not-authorized");
    }
}

#[tokio::test]
async fn another_connection_does_not_begin_to_count_again() {
    let server = server().await;
    guess_wrong(&server, PEER_GUESSES).await;
    for password in [PASSWORD, "wrong"] {
        assert_eq!(refusal(&server, "alice@home.example", password).await, LATER);
    }
    login(&server, "bob@home.example").await;
}

#[tokio::test]
async fn one_guess_less_leaves_the_account_open() {
    let server = server().await;
    guess_wrong(&server, PEER_GUESSES - 1).await;
    // The right password costs nothing, and forgives nothing.
    for _ in 0..=PEER_GUESSES {
        login(&server, "alice@home.example").await;
    }
    guess_wrong(&server, 1).await;
    assert_eq!(refusal(&server, "alice@home.example", PASSWORD).await, LATER);
}

#[tokio::test]
async fn after_the_window_the_account_is_open_again() {
    let server = server().await;
    guess_wrong(&server, PEER_GUESSES).await;
    tokio::time::pause();
    tokio::time::advance(PEER_WINDOW).await;
    tokio::time::resume();
    login(&server, "alice@home.example").await;
}

#[tokio::test]
async fn unknown_accounts_are_counted_alike() {
    let server = server().await;
    for _ in 0..PEER_GUESSES {
        assert_eq!(refusal(&server, "nobody@home.example", PASSWORD).await, "not-authorized");
    }
    assert_eq!(refusal(&server, "nobody@home.example", PASSWORD).await, LATER);
}

/// Accounts that count how often they are asked.
struct Asked(MemoryStore, AtomicUsize);

impl CredentialStore for Asked {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lookup(mechanism, authcid)
    }

    fn simulation_seed(&self) -> &SecretBytes {
        self.0.simulation_seed()
    }
}

#[tokio::test]
async fn above_the_limit_no_record_is_looked_up() {
    let asked = Arc::new(Asked(accounts(), AtomicUsize::new(0)));
    let guesses = Guesses::in_memory(GuessLimits::default().with_per_peer(1, PEER_WINDOW));
    let config = Config::new(DOMAIN, asked.clone()).with_guesses(guesses.clone());
    let server = Server::bind(config).await.unwrap();
    login(&server, "alice@home.example").await;
    assert_eq!(asked.1.load(Ordering::Relaxed), 1);
    drop(guesses.reserve("alice@home.example", Instant::now()).unwrap());
    assert_eq!(refusal(&server, "alice@home.example", PASSWORD).await, LATER);
    assert_eq!(asked.1.load(Ordering::Relaxed), 1);
}

/// Begins a login under this name, and says something else than a proof.
async fn guess_raw(server: &Server, name: &str) {
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.send(&begin(name)).await;
    raw.expect("<challenge ").await;
    raw.send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>eA==</response>").await;
    raw.expect("<failure ").await;
}

fn begin(name: &str) -> String {
    let first = Base64::encode_string(format!("n,,n={name},r=bad").as_bytes());
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>{first}</auth>")
}

#[tokio::test]
async fn all_accounts_together_are_limited() {
    let server = server().await;
    for n in 1..LOGIN_GUESSES {
        guess_raw(&server, &format!("nobody{n}")).await;
    }
    login(&server, "alice@home.example").await;
    guess_raw(&server, "nobody").await;
    assert_eq!(refusal(&server, "alice@home.example", PASSWORD).await, LATER);
}

#[tokio::test]
async fn all_spellings_of_a_name_are_one_account() {
    let server = server().await;
    for name in ["Alice", "aLice", "alIce", "aliCe", "alicE"] {
        guess_raw(&server, name).await;
    }
    assert_eq!(refusal(&server, "alice@home.example", PASSWORD).await, LATER);
}

#[tokio::test]
async fn a_login_that_ends_before_the_proof_costs_nothing() {
    let server = server().await;
    for _ in 0..=PEER_GUESSES {
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(HEADER).await;
        raw.send(&begin("alice")).await;
        raw.expect("<challenge ").await;
        raw.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        raw.expect("<aborted").await;
    }
    login(&server, "alice@home.example").await;
}

#[tokio::test]
async fn an_aborted_login_may_be_tried_again() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'/>").await;
    raw.expect("<challenge ").await;
    raw.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
    raw.expect("<aborted").await;
    raw.send(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hLHI9YmFk</auth>",
    )
    .await;
    raw.expect("<challenge ").await;
}

#[tokio::test]
async fn bad_base64_is_named() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>%%%</auth>").await;
    raw.expect("<incorrect-encoding").await;
}

#[tokio::test]
async fn a_stanza_before_the_login_ends_the_stream() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(HEADER).await;
    raw.send("<message to='bob@home.example'/>").await;
    raw.expect_end("not-authorized").await;
}

#[tokio::test]
async fn another_domain_is_not_served() {
    let server = server().await;
    let mut raw = Raw::open(server.local_addr()).await;
    raw.send(&HEADER.replace(DOMAIN, "other.example")).await;
    raw.expect_end("host-unknown").await;
}

#[tokio::test]
async fn the_server_refuses_to_listen_beyond_loopback() {
    let error = Server::bind(config().with_address(([0, 0, 0, 0], 0).into())).await.err().unwrap();
    assert!(error.is(&server_rules::NOT_LOOPBACK));
    let open = config().with_address(([0, 0, 0, 0], 0).into()).dangerously_listen_beyond_loopback();
    assert!(Server::bind(open).await.is_ok());
}

#[tokio::test]
async fn a_mechanism_that_needs_tls_cannot_be_offered() {
    let config = config().with_mechanisms(["SCRAM-SHA-256-PLUS".parse().unwrap()]);
    assert!(Server::bind(config).await.err().unwrap().is(&server_rules::BAD_MECHANISM));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = server().await;
    let error = Server::bind(config().with_address(server.local_addr())).await.err().unwrap();
    assert!(error.is(&server_rules::CANNOT_LISTEN));
}
