//! `--tcp`: a TLS tunnel over a socket of its own, without XMPP: to other TLS programs with what TLS itself proves, to
//! ourselves with SASL inside as well.

mod sasl;
mod tunnel;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::guess::{Guess, GuessLimits, Guesses};
use countersign::prep::Preparation;
use countersign::registry::{self, CredentialStore, SharedPassword};
use countersign::tls::{TlsMechanism, Tunnel, Verified};
use countersign::{MechanismName, Password, Side, system_rng};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::account::TunnelArgs;
use crate::exit::{self, Exit, Failure};
use crate::output::{self, Tone};
use crate::talk::AtEnd;
use wire::Wire;

/// Handshakes that go on at a time; who comes above that waits.
const HANDSHAKES_MAX: usize = 16;

/// Where, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct TcpArgs {
    /// Do without XMPP: TLS over this socket, for other TLS programs too
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) tcp: Option<String>,
    /// With --tcp: the name that is proven, as PSK identity or user name
    #[arg(long, value_name = "NAME", requires = "tcp")]
    identity: Option<String>,
}

impl TcpArgs {
    fn identity(&self) -> Result<&str, Failure> {
        self.identity.as_deref().ok_or_else(|| {
            let advice = "Give --identity NAME, the same on both sides.";
            Failure::new(Exit::Usage, "over TCP somebody has to be named", advice)
        })
    }
}

/// What both sides know before they talk.
#[derive(Clone)]
struct Setup {
    name: MechanismName,
    identity: String,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    #[cfg(feature = "openssl")]
    Key(countersign::tls::psk::PreSharedKey),
    Password(Password),
}

impl Setup {
    fn read(args: &TcpArgs, tunnel: &TunnelArgs) -> Result<Self, Failure> {
        let name = tunnel.one_mechanism()?;
        if name.as_str() == "CPACE-R255-PSK" {
            let what = "CPACE-R255-PSK needs the offers of a session over XMPP, which a bare socket has not";
            return Err(Failure::new(Exit::Usage, what, "Leave --tcp away, or take --auth cpace."));
        }
        let identity = args.identity()?.to_owned();
        #[cfg(feature = "openssl")]
        if crate::account::is_psk(&name) {
            return Ok(Self { name, identity, secret: Secret::Key(tunnel.key()?) });
        }
        let secret = Secret::Password(tunnel.password()?);
        Ok(Self { name, identity, secret })
    }

    /// The handshake, where it is the authentication.
    #[cfg(feature = "openssl")]
    fn in_tls(&self, side: Side) -> Result<Option<Box<dyn TlsMechanism>>, Failure> {
        use countersign::registry::{TlsClientSetup, TlsServerSetup};
        use countersign::srp::Legacy;
        use countersign::tls::psk::{PskCredential, Suite, TLS12_ECDHE_PSK};
        let Ok(row) = registry::find_in_tls(&self.name) else { return Ok(None) };
        let suite = if self.name == TLS12_ECDHE_PSK { Suite::Tls12 } else { Suite::Tls13Sha256 };
        let mechanism = match (&self.secret, side) {
            (Secret::Key(key), Side::Client) => {
                row.client(TlsClientSetup::Key(PskCredential::raw(self.identity.as_bytes(), key, suite)?))?
            }
            (Secret::Key(key), Side::Server) => {
                let credential = PskCredential::raw(self.identity.as_bytes(), key, suite)?;
                row.server(TlsServerSetup::Keys(Arc::new(credential)))?
            }
            (Secret::Password(password), Side::Client) => row.client(TlsClientSetup::Account {
                authcid: self.identity.clone(),
                password: password.clone(),
                preparation: Preparation::SaslPrep,
                legacy: Legacy::Refused,
            })?,
            (Secret::Password(password), Side::Server) => {
                row.server(TlsServerSetup::Records(self.records(password)?))?
            }
        };
        Ok(Some(mechanism))
    }

    #[cfg(not(feature = "openssl"))]
    fn in_tls(&self, _: Side) -> Result<Option<Box<dyn TlsMechanism>>, Failure> {
        Ok(None)
    }

    fn records(&self, password: &Password) -> Result<Arc<dyn CredentialStore>, Failure> {
        let preparation = Preparation::SaslPrep;
        Ok(Arc::new(SharedPassword::new(&self.identity, password.clone(), preparation, system_rng())?))
    }

    /// From the socket to a tunnel that is verified; with what came behind the authentication.
    async fn establish(&self, wire: &mut Wire, side: Side) -> Result<(Tunnel<Verified>, Vec<u8>), Failure> {
        if let Some(mechanism) = self.in_tls(side)? {
            return Ok((wire.prove(mechanism, side).await?, vec![]));
        }
        registry::find(&self.name)?;
        match &self.secret {
            Secret::Password(password) if side == Side::Client => {
                sasl::client(wire, &self.name, &self.identity, password.clone()).await
            }
            Secret::Password(password) => sasl::server(wire, &self.name, self.records(password)?).await,
            #[cfg(feature = "openssl")]
            Secret::Key(_) => Err(countersign::Error::new(&registry::rules::WRONG_CREDENTIAL).into()),
        }
    }
}

/// `connect --tcp`.
pub(crate) async fn connect(address: &str, args: &TcpArgs, tunnel: &TunnelArgs) -> Result<(), Failure> {
    let setup = Setup::read(args, tunnel)?;
    let established = async {
        let socket = TcpStream::connect(address).await.map_err(|error| absent(address, &error))?;
        let mut wire = Wire::new(socket)?;
        let (verified, rest) = setup.establish(&mut wire, Side::Client).await?;
        Ok((wire, verified, rest))
    };
    let (wire, verified, rest) = in_time(tunnel, established).await?;
    tunnel.announce_tunnel(address, &verified);
    tunnel::talk(wire, verified, rest, AtEnd::Close).await
}

/// `listen --tcp`.
pub(crate) async fn listen(
    address: &str,
    args: &TcpArgs,
    tunnel: &TunnelArgs,
    once: bool,
) -> Result<(), Failure> {
    let setup = Setup::read(args, tunnel)?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let advice = "Take an address of this machine and a port that is free.";
        Failure::new(Exit::Local, format!("cannot listen on {address}: {error}"), advice)
    })?;
    let own = listener.local_addr().map_or_else(|_| address.to_owned(), |own| own.to_string());
    output::note(Tone::Good, "listening:", format_args!("on {own}"));
    let guesses = Guesses::in_memory(GuessLimits::default());
    let mut handshakes = JoinSet::new();
    let (peer, (wire, verified, rest)) = loop {
        tokio::select! {
            accepted = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                Ok((socket, peer)) => {
                    let (setup, guesses, limit) = (setup.clone(), guesses.clone(), tunnel.timeout());
                    handshakes.spawn(async move {
                        let accepted = tokio::time::timeout(limit, accept(setup, guesses, socket, peer));
                        (peer, accepted.await.unwrap_or_else(|_| Err(too_slow())))
                    });
                }
                Err(error) => return Err(Failure::new(
                    Exit::Local,
                    format!("cannot accept a connection: {error}"),
                    "Check the limits on open files.",
                )),
            },
            Some(ended) = handshakes.join_next(), if !handshakes.is_empty() => match ended {
                Ok((peer, Ok(opened))) => break (peer, opened),
                Ok((_, Err(failure))) if once => return Err(failure),
                // Somebody failed; the one we wait for may still come.
                Ok((_, Err(failure))) => exit::complain(&failure),
                Err(error) => return Err(Failure::new(
                    Exit::CheckFailed,
                    format!("a handshake broke down: {error}"),
                    "Report this: it is a defect.",
                )),
            },
        }
    };
    // Who comes after the first is not let in.
    drop((listener, handshakes));
    tunnel.announce_tunnel(&peer.to_string(), &verified);
    tunnel::talk(wire, verified, rest, AtEnd::Wait).await
}

async fn accept(
    setup: Setup,
    guesses: Guesses,
    socket: TcpStream,
    peer: SocketAddr,
) -> Result<(Wire, Tunnel<Verified>, Vec<u8>), Failure> {
    // Nobody guesses a key. There are no names before the handshake, so passwords are counted under the address.
    let guess = match &setup.secret {
        Secret::Password(_) => Some(guesses.reserve(&peer.ip().to_string(), std::time::Instant::now())?),
        #[cfg(feature = "openssl")]
        Secret::Key(_) => None,
    };
    let mut wire = Wire::new(socket)?;
    let (verified, rest) = setup.establish(&mut wire, Side::Server).await?;
    guess.into_iter().for_each(|guess: Guess| guess.confirmed(verified.outcome()));
    Ok((wire, verified, rest))
}

async fn in_time<T>(
    tunnel: &TunnelArgs,
    run: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(tunnel.timeout(), run).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Failure {
    let advice = "Try again; on a slow connection raise --timeout.";
    Failure::new(Exit::TimedOut, "the tunnel was not established in time", advice)
}

fn absent(address: &str, error: &std::io::Error) -> Failure {
    let advice = "Check the address, and that the other side listens.";
    Failure::new(Exit::PeerUnavailable, format!("cannot connect to {address}: {error}"), advice)
}

/// Longest silence after our close_notify: the other side may still be passing on slowly what it has.
const LINGER: Duration = Duration::from_secs(10 * 60);
