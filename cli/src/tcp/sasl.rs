//! SASL inside TLS between two of our own programs (`docs/xtls-profile.md`, Over a socket): frames of a letter, a length of
//! three octets, and content.

use std::sync::Arc;

use countersign::mechanism::MESSAGE_MAX;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, CredentialStore, ServerSetup};
use countersign::sasl::{self, ClientExchange, Condition, Policy, ServerExchange, ServerStep};
use countersign::tls::{Handshake, Tunnel, Unverified, Verified};
use countersign::{BindingType, Context, Error, MechanismName, Password, Side, system_rng};

use super::wire::Wire;
use crate::account::endpoint;
use crate::exit::{Exit, Failure};

/// The server's mechanisms, separated by spaces.
const MECHANISMS: u8 = b'M';
/// The client's choice; behind a zero octet its initial response, where it has one.
const AUTH: u8 = b'A';
const CHALLENGE: u8 = b'C';
const RESPONSE: u8 = b'R';
/// Success without and with additional data.
const SUCCESS: u8 = b's';
const SUCCESS_WITH: u8 = b'S';
/// A condition of RFC 6120 section 6.5.
const FAILURE: u8 = b'F';
const ABORT: u8 = b'X';

/// Longest content of a frame: a message and the name before it.
const CONTENT_MAX: usize = MESSAGE_MAX + 64;

struct Frames<'a> {
    wire: &'a mut Wire,
    tunnel: Tunnel<Unverified>,
    unread: Vec<u8>,
}

impl<'a> Frames<'a> {
    async fn open(wire: &'a mut Wire, side: Side) -> Result<Self, Failure> {
        let tunnel = wire.shake_hands(Handshake::new(endpoint(side)?)).await?;
        Ok(Self { wire, tunnel, unread: vec![] })
    }

    async fn send(&mut self, kind: u8, content: &[u8]) -> Result<(), Failure> {
        // No message is longer than three octets tell.
        let length = (content.len() as u32).to_be_bytes();
        self.tunnel.send_authentication(&[&[kind], &length[1..], content].concat())?;
        self.wire.flush(&mut self.tunnel).await
    }

    async fn receive(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        loop {
            self.tunnel.receive_authentication(&mut self.unread)?;
            if let [kind, a, b, c, content @ ..] = &self.unread[..] {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if length > CONTENT_MAX {
                    return Err(malformed());
                }
                if content.len() >= length {
                    let frame = (*kind, content[..length].to_vec());
                    self.unread.drain(..4 + length);
                    return Ok(frame);
                }
            }
            if self.tunnel.peer_has_closed() {
                return Err(Error::new(&countersign::tls::rules::TRUNCATED).into());
            }
            self.wire.fill(&mut self.tunnel).await?;
        }
    }

    fn context(&self, mechanisms: Vec<MechanismName>) -> Context {
        Context::new().with_mechanisms(mechanisms).with_binding_types([BindingType::TlsExporter])
    }
}

pub(super) async fn client(
    wire: &mut Wire,
    name: &MechanismName,
    identity: &str,
    password: Password,
) -> Result<(Tunnel<Verified>, Vec<u8>), Failure> {
    let mut frames = Frames::open(wire, Side::Client).await?;
    let (MECHANISMS, names) = frames.receive().await? else { return Err(malformed()) };
    let names = String::from_utf8(names).map_err(|_| malformed())?;
    let offered = names.split(' ').map(str::parse).collect::<countersign::Result<Vec<MechanismName>>>()?;
    Policy::named([name.clone()]).select(&offered)?;
    let setup = ClientSetup {
        authcid: identity.to_owned(),
        authzid: None,
        password,
        preparation: Preparation::SaslPrep,
        binding: Some(frames.tunnel.binding().clone()),
        context: frames.context(offered),
    };
    let (mut exchange, initial) =
        ClientExchange::start(registry::find(name)?.client(setup, &mut system_rng())?)?;
    let mut auth = name.as_str().as_bytes().to_vec();
    if let Some(initial) = initial {
        auth.push(0);
        auth.extend(initial);
    }
    frames.send(AUTH, &auth).await?;
    let outcome = loop {
        let (kind, content) = frames.receive().await?;
        match kind {
            CHALLENGE => match exchange.challenge(&content) {
                Ok(response) => frames.send(RESPONSE, &response).await?,
                Err(error) => {
                    let _ = frames.send(ABORT, b"").await;
                    return Err(error.into());
                }
            },
            SUCCESS => break exchange.success(None)?,
            SUCCESS_WITH => break exchange.success(Some(&content))?,
            FAILURE => return Err(refused(&content)),
            _ => return Err(malformed()),
        }
    };
    Ok((frames.tunnel.verify(outcome)?, frames.unread))
}

pub(super) async fn server(
    wire: &mut Wire,
    name: &MechanismName,
    credentials: Arc<dyn CredentialStore>,
) -> Result<(Tunnel<Verified>, Vec<u8>), Failure> {
    Policy::named([name.clone()]).check()?;
    let mut frames = Frames::open(wire, Side::Server).await?;
    frames.send(MECHANISMS, name.as_str().as_bytes()).await?;
    match exchange(&mut frames, name, credentials).await {
        Ok(outcome) => Ok((frames.tunnel.verify(outcome)?, frames.unread)),
        Err(Refusal::Told(failure)) => Err(failure),
        Err(Refusal::Untold(error)) => {
            let _ = frames.send(FAILURE, Condition::of(&error).name().as_bytes()).await;
            Err(error.into())
        }
    }
}

/// Why the server side ends.
enum Refusal {
    /// The client knows already, or cannot be told.
    Told(Failure),
    Untold(Error),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Untold(error)
    }
}

async fn exchange(
    frames: &mut Frames<'_>,
    name: &MechanismName,
    credentials: Arc<dyn CredentialStore>,
) -> Result<countersign::Outcome, Refusal> {
    let (AUTH, auth) = frames.receive().await? else { return Err(malformed().into()) };
    let (chosen, initial) = match auth.iter().position(|octet| *octet == 0) {
        Some(zero) => (&auth[..zero], Some(&auth[zero + 1..])),
        None => (&auth[..], None),
    };
    if chosen != name.as_str().as_bytes() {
        return Err(Error::new(&registry::rules::UNKNOWN_MECHANISM).into());
    }
    let setup = ServerSetup {
        credentials,
        binding: Some(frames.tunnel.binding().clone()),
        context: frames.context(vec![name.clone()]),
    };
    let mechanism = registry::find(name)?.server(setup, &mut system_rng())?;
    let (mut exchange, mut step) = ServerExchange::start(mechanism, initial)?;
    loop {
        match step {
            ServerStep::Challenge(message) => frames.send(CHALLENGE, &message).await?,
            ServerStep::Success(data, outcome) => {
                match data {
                    Some(data) => frames.send(SUCCESS_WITH, &data).await?,
                    None => frames.send(SUCCESS, b"").await?,
                }
                return Ok(outcome);
            }
        }
        match frames.receive().await? {
            (RESPONSE, message) => step = exchange.response(&message)?,
            (ABORT, _) => return Err(refused(Condition::Aborted.name().as_bytes()).into()),
            _ => return Err(malformed().into()),
        }
    }
}

fn refused(condition: &[u8]) -> Failure {
    let known = Condition::ALL.into_iter().find(|known| known.name().as_bytes() == condition);
    sasl::refused(known.unwrap_or(Condition::NotAuthorized)).into()
}

fn malformed() -> Failure {
    let what = "the peer does not speak our frames of SASL";
    Failure::new(
        Exit::ProtocolViolation,
        what,
        "Take countersign at both ends, or --auth tls-psk or tls-srp.",
    )
}
