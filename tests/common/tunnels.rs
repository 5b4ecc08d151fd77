//! Two accounts with a tunnel between them, over whatever servers.

use std::sync::Arc;
use std::time::Duration;

use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::tls::certificate::{Config as Tls, Identity, RustlsEndpoint};
use countersign::xmpp::client::{BindingUse, Client, Login, Secured, Target, Trust, secure};
use countersign::xmpp::driver::{Driver, E2eStream, Handle};
use countersign::xmpp::{Acceptance, FullJid, Gate, InitiatorConfig, Jid, ResponderConfig};
use countersign::{Password, Result, system_rng};
use tokio::net::TcpStream;

use super::certificates::Authority;
use super::servers::Server;

/// After which a test that hangs fails; the machine may be busy.
const GUARD: Duration = Duration::from_secs(90);

/// What Alice and Bob share.
pub(crate) const SECRET: &str = "rosebud 1941";

pub(crate) type Connected = Client<tokio_rustls::client::TlsStream<TcpStream>>;

/// Fails instead of hanging.
pub(crate) async fn guard<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, work).await.expect("the test hangs")
}

pub(crate) fn account(jid: &str, password: &str) -> Login {
    Login::new(Jid::new(jid).unwrap(), Password::new(password)).unwrap()
}

/// Logs in by STARTTLS and believes this authority only.
pub(crate) async fn log_in(server: &Server, authority: &Authority, login: Login) -> Result<Connected> {
    let target = Target::new("127.0.0.1", server.ports.clients);
    guard(Client::connect_secure(&[target], &trust(authority), login)).await
}

/// The same by TLS at once.
pub(crate) async fn log_in_directly(
    server: &Server,
    authority: &Authority,
    login: Login,
) -> Result<Connected> {
    let target = Target::direct("localhost", server.ports.direct);
    guard(Client::connect_secure(&[target], &trust(authority), login)).await
}

pub(crate) fn trust(authority: &Authority) -> Trust {
    Trust::only(authority.pem().as_bytes()).unwrap()
}

/// Logs in over a connection of which only the end-point binding is kept, as a proxy for TLS leaves it.
pub(crate) async fn log_in_by_end_point(
    server: &Server,
    authority: &Authority,
    login: Login,
) -> Result<Connected> {
    let target = Target::new("127.0.0.1", server.ports.clients);
    let Secured { stream, bindings, .. } = guard(secure(&[target], &trust(authority), &login)).await?;
    let kept =
        bindings.into_iter().filter(|binding| binding.kind() == countersign::BindingType::TlsServerEndPoint);
    let login = kept.fold(login.with_binding_use(BindingUse::Required), Login::with_binding);
    guard(Client::over(stream, login)).await
}

fn throw_away() -> Tls {
    Tls::new(Identity::generate().unwrap()).unwrap()
}

/// Admits everybody who proves the secret.
pub(crate) fn gate(own: &FullJid) -> Option<Box<dyn Gate>> {
    let own = own.clone();
    Some(Box::new(move |peer: &FullJid| {
        let peer = peer.to_bare();
        let store =
            SharedPassword::new(peer.as_str(), Password::new(SECRET), Preparation::default(), system_rng());
        Some(Acceptance {
            config: ResponderConfig::new(own.clone(), Arc::new(store.ok()?)),
            endpoint: Box::new(RustlsEndpoint::server(&throw_away()).ok()?),
            rng: Box::new(system_rng()),
        })
    }))
}

/// Waits for callers.
pub(crate) fn listen(client: Connected) -> Handle {
    let gate = gate(client.jid());
    Driver::spawn(client, gate)
}

pub(crate) async fn call(caller: &Handle, peer: &FullJid) -> Result<E2eStream> {
    call_with(caller, peer, |config| config).await
}

pub(crate) async fn call_with(
    caller: &Handle,
    peer: &FullJid,
    change: impl FnOnce(InitiatorConfig) -> InitiatorConfig,
) -> Result<E2eStream> {
    let config = InitiatorConfig::new(caller.own_jid().clone(), peer.clone(), Password::new(SECRET));
    let config = change(config);
    let endpoint = RustlsEndpoint::client(&throw_away()).unwrap();
    guard(caller.connect(config, Box::new(endpoint))).await
}

/// Sends octets, has them echoed, and closes properly.
pub(crate) async fn exchange(mut alice: E2eStream, mut bob: E2eStream, octets: usize) {
    let data = (0..octets).map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()[5]).collect::<Vec<_>>();
    let echo = async {
        let mut count = 0;
        while let Some(chunk) = bob.read_bytes().await.unwrap() {
            count += chunk.len();
            bob.write_bytes(&chunk).await.unwrap();
        }
        count
    };
    let speak = async {
        let mut heard = Vec::new();
        // A chunk at a time, so that neither end waits for the other with full buffers.
        for chunk in data.chunks(16 * 1024) {
            alice.write_bytes(chunk).await.unwrap();
            let until = heard.len() + chunk.len();
            while heard.len() < until {
                heard.extend(alice.read_bytes().await.unwrap().unwrap());
            }
        }
        assert!(heard == data, "other octets came back");
        alice.finish().await.unwrap();
    };
    let (count, ()) = guard(async { tokio::join!(echo, speak) }).await;
    assert_eq!(count, octets);
}

/// The whole of it: Alice calls Bob, both prove the secret, data passes both ways.
pub(crate) async fn talk(alice: Connected, bob: Connected, octets: usize) {
    let (alice, bob) = (Driver::spawn(alice, None), listen(bob));
    let (called, taken) = guard(async { tokio::join!(call(&alice, bob.own_jid()), bob.accept()) }).await;
    let (called, taken) = (called.unwrap(), taken.unwrap());
    assert!(called.established().mechanism.as_str().starts_with("CPACE-"));
    exchange(called, taken, octets).await;
    guard(async { tokio::join!(alice.finish(), bob.finish()) }).await;
}
