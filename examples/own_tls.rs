//! For an application that has a TLS stack of its own and wants to know who is at the other end: it takes the channel
//! binding from its own connection and runs the mechanisms alone. Nothing of countersign touches the connection.
//!
//! rustls is used directly here; any stack will do that has the exporter of RFC 8446 section 7.5. Both ends are in this
//! program. Then somebody whose certificate the client trusts relays between two connections, and is refused.
//!
//! An application needs the features of its mechanisms and no other. Here `aws-lc-rs` brings rustls its provider.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use countersign::binding::{EXPORTER_LABEL, EXPORTER_LEN};
use countersign::mechanism::Outcome;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, MemoryStore, Registered, ServerSetup};
use countersign::sasl::{ClientExchange, ServerExchange, ServerStep};
use countersign::{BindingType, ChannelBinding, Context, Password, system_rng};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{
    ClientConfig, ClientConnection, Connection, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
};

const HOST: &str = "service.example";
const USER: &str = "alice";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    for name in ["SCRAM-SHA-256-PLUS", "CPACE-R255-PLUS"] {
        let mechanism = registry::find(&name.parse()?)?;

        let (mut client, mut server) = connect()?;
        let (_, at_server) = authenticate(mechanism, binding(&client)?, binding(&server)?)?;
        println!("{name}: both ends have proven the password, on this very connection");
        client.writer().write_all(b"Is it you?")?;
        carry(&mut client, &mut server)?;
        let mut heard = [0; 10];
        server.reader().read_exact(&mut heard)?;
        println!("{name}: {} says {:?}", at_server.authcid(), String::from_utf8_lossy(&heard));

        // Mallory is the server of one connection, the client of the other, and passes each message on unchanged.
        let (client, _mallory) = connect()?;
        let (_mallory, server) = connect()?;
        match authenticate(mechanism, binding(&client)?, binding(&server)?) {
            Ok(_) => return Err(format!("{name} was relayed between two connections").into()),
            Err(refused) => println!("{name}: relayed from another connection, refused: {refused}"),
        }
    }
    Ok(())
}

/// Runs a mechanism; an application sends these messages through its connection, in its own protocol. No outcome can be
/// had without the proof.
fn authenticate(
    mechanism: &Registered,
    at_client: ChannelBinding,
    at_server: ChannelBinding,
) -> countersign::Result<(Outcome, Outcome)> {
    let (password, rng) = (Password::new("rosebud 1941"), &mut system_rng());
    let context = Context::between(USER, HOST)
        .with_mechanisms([mechanism.name().clone()])
        .with_binding_types([BindingType::TlsExporter]);
    let mut accounts = MemoryStore::new(rng);
    let record = mechanism.enroll(USER, &password, Preparation::default(), rng)?;
    accounts.insert(mechanism.name(), USER, record)?;
    let server =
        ServerSetup { credentials: Arc::new(accounts), binding: Some(at_server), context: context.clone() };
    let client = ClientSetup {
        authcid: USER.into(),
        authzid: None,
        password,
        preparation: Preparation::default(),
        binding: Some(at_client),
        context,
    };

    let (mut client, initial) = ClientExchange::start(mechanism.client(client, rng)?)?;
    let (mut server, mut step) = ServerExchange::start(mechanism.server(server, rng)?, initial.as_deref())?;
    loop {
        match step {
            ServerStep::Challenge(message) => step = server.response(&client.challenge(&message)?)?,
            ServerStep::Success(data, outcome) => return Ok((client.success(data.as_deref())?, outcome)),
        }
    }
}

/// The binding of a finished TLS 1.3 connection: RFC 9266's label, an empty context. (For rustls alone there is
/// `ChannelBinding::from_rustls`, which does this.)
fn binding(connection: &Connection) -> Result<ChannelBinding> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Err("tls-exporter is safe with TLS 1.3 only".into());
    }
    let exported = connection.export_keying_material([0; EXPORTER_LEN], EXPORTER_LABEL, Some(&[]))?;
    Ok(ChannelBinding::tls_exporter(exported))
}

/// A new connection: the client's end and the server's.
fn connect() -> Result<(Connection, Connection)> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    let mut trusted = RootCertStore::empty();
    trusted.add(cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())?;

    let mut client: Connection = ClientConnection::new(Arc::new(client), HOST.try_into()?)?.into();
    let mut server: Connection = ServerConnection::new(Arc::new(server))?.into();
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok((client, server))
}

/// Takes what one end has to say to the other, as a socket would.
fn carry(from: &mut Connection, to: &mut Connection) -> Result<()> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire)?;
    }
    let mut wire = &wire[..];
    while !wire.is_empty() {
        to.read_tls(&mut wire)?;
        to.process_new_packets()?;
    }
    Ok(())
}
