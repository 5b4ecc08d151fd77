//! The way to TLS: STARTTLS or at once, certificates, and what somebody on the way could try.

use std::net::Ipv4Addr;
use std::sync::Arc;

use countersign::xmpp::client::{BindingUse, Client, Target, Trust, rules};
use countersign::{BindingType, ChannelBinding, Error};
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Authority, Issued};
use crate::support::*;

const OFFER: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"];
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

fn acceptor(issued: &Issued, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn trust(authority: &Authority) -> Trust {
    Trust::only(authority.pem().as_bytes()).unwrap()
}

/// Runs a client against a server on a socket.
async fn run_tcp<F: Future<Output = T>, T>(
    trust: &Trust,
    direct: bool,
    binding_use: BindingUse,
    server: impl FnOnce(TcpStream) -> F,
) -> (Result<Client<tokio_rustls::client::TlsStream<TcpStream>>, Error>, T) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let targets = [if direct { target.with_direct_tls() } else { target }];
    let login = login("alice@home.example/lap").with_binding_use(binding_use);
    let serving = async { server(listener.accept().await.unwrap().0).await };
    guard(async { tokio::join!(Client::connect_secure(&targets, trust, login), serving) }).await
}

/// As an honest server does it.
async fn starttls(stream: TcpStream) -> TcpStream {
    let mut server = Server::new(stream);
    // Nobody on the way reads whose account it is.
    assert_eq!(server.open(STARTTLS).await.from, None);
    assert_eq!(server.hear().await.unwrap().name(), "starttls");
    server.say(PROCEED).await;
    server.into_inner()
}

async fn serve(
    stream: TlsStream<TcpStream>,
    types: &'static [&'static str],
    binding: ChannelBinding,
) -> Attempt {
    let mut server = Server::new(stream);
    let offer = Offer::new(OFFER, types);
    let header = server.open(&offer.features()).await;
    assert_eq!(header.from.unwrap().as_str(), "alice@home.example");
    let attempt = server.authenticate(&offer, Some(binding)).await;
    server.welcome(&attempt).await;
    attempt
}

#[tokio::test]
async fn a_login_over_tls_1_3_is_bound_to_the_exporter() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.issue(DOMAIN), &[&version::TLS13]);
    for direct in [false, true] {
        let (client, attempt) = run_tcp(&trust(&authority), direct, BindingUse::Auto, async |stream| {
            let stream = if direct { stream } else { starttls(stream).await };
            let stream = acceptor.accept(stream).await.unwrap();
            let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(alpn.as_deref(), direct.then_some(&b"xmpp-client"[..]));
            let binding = ChannelBinding::from_rustls(stream.get_ref().1).unwrap();
            serve(stream, &["tls-exporter", "tls-server-end-point"], binding).await
        })
        .await;
        assert_eq!(attempt.flag, "p=tls-exporter");
        let client = client.unwrap();
        assert_eq!(client.report().binding, Some(BindingType::TlsExporter));
    }
}

#[tokio::test]
async fn a_login_over_tls_1_2_is_bound_to_the_certificate() {
    let authority = Authority::new();
    let issued = authority.issue(DOMAIN);
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let binding = ChannelBinding::server_end_point_of(&certificate).unwrap();
    let acceptor = acceptor(&issued, &[&version::TLS12]);
    let (client, attempt) = run_tcp(&trust(&authority), true, BindingUse::Required, async |stream| {
        let stream = acceptor.accept(stream).await.unwrap();
        serve(stream, &["tls-unique", "tls-server-end-point"], binding).await
    })
    .await;
    assert_eq!(attempt.flag, "p=tls-server-end-point");
    assert_eq!(client.unwrap().report().binding, Some(BindingType::TlsServerEndPoint));
}

#[tokio::test]
async fn certificates_of_others_are_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for issued in [theirs.issue(DOMAIN), ours.issue("other.example"), ours.issue("127.0.0.1")] {
        let acceptor = acceptor(&issued, &[&version::TLS13, &version::TLS12]);
        let (client, accepted) = run_tcp(&trust(&ours), false, BindingUse::Auto, async |stream| {
            acceptor.accept(starttls(stream).await).await.is_ok()
        })
        .await;
        assert!(client.err().unwrap().is(&rules::CERTIFICATE));
        assert!(!accepted);
    }
}

#[tokio::test]
async fn without_starttls_there_is_no_login() {
    let trust = trust(&Authority::new());
    // A list of mechanisms in the open, as somebody on the way would like it to be used.
    let features = Offer::new(OFFER, &[]).features();
    let (client, heard) = run_tcp(&trust, false, BindingUse::Auto, async |stream| {
        let mut server = Server::new(stream);
        server.open(&features).await;
        server.hear().await
    })
    .await;
    assert!(client.err().unwrap().is(&rules::NO_STARTTLS));
    assert!(heard.is_none());
}

#[tokio::test]
async fn what_comes_in_the_place_of_proceed_ends_the_attempt() {
    let trust = trust(&Authority::new());
    for (answer, rule) in [
        ("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>", &rules::STARTTLS_FAILED),
        ("<message/>", &rules::UNEXPECTED),
        ("</stream:stream>", &rules::CLOSED_EARLY),
        ("", &rules::LOST),
        // Said in the open, to be read after TLS.
        ("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:features/>", &rules::INJECTED),
    ] {
        let (client, ()) = run_tcp(&trust, false, BindingUse::Auto, async |stream| {
            let mut server = Server::new(stream);
            server.open(STARTTLS).await;
            server.hear().await;
            server.say(answer).await;
        })
        .await;
        let error = client.err().unwrap();
        assert!(error.is(rule), "{answer}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_said_to_be_none() {
    let trust = trust(&Authority::new());
    let (client, ()) = run_tcp(&trust, true, BindingUse::Auto, async |stream| {
        Server::new(stream).say("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    assert!(client.err().unwrap().is(&rules::TLS_FAILED));
    let (client, ()) = run_tcp(&trust, true, BindingUse::Auto, async |stream| drop(stream)).await;
    assert!(client.err().unwrap().is(&rules::LOST));
}
