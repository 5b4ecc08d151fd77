//! What `listen` and `connect` share: the account at a server, the tunnel's policy, and what is said of the peer.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use countersign::registry;
use countersign::sasl::Policy;
use countersign::tls::certificate::{Config, Identity, RustlsEndpoint};
#[cfg(feature = "openssl")]
use countersign::tls::psk::{self, PreSharedKey};
use countersign::tls::{Deferred, Endpoint, Negotiated, Tunnel, Verified};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::{self, BareJid, Established, FullJid, Jid};
use countersign::{MechanismName, Password, Side};
use serde_json::json;
#[cfg(feature = "openssl")]
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};
use crate::password::PasswordArgs;

/// The resource that `listen` asks for, and that `connect` assumes when it is given a bare JID.
pub(crate) const RESOURCE: &str = "countersign";

/// Which server, and who we are there.
#[derive(Debug, clap::Args)]
pub(crate) struct AccountArgs {
    /// Our own account, user@domain or user@domain/resource
    #[arg(long, value_name = "JID", required_unless_present = "tcp", conflicts_with = "tcp")]
    jid: Option<Jid>,
    /// Where the XMPP server listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5222")]
    server: String,
    /// Read the account's password from the first line of this file, instead of asking for it
    #[arg(long, value_name = "PATH")]
    account_password_file: Option<PathBuf>,
}

impl AccountArgs {
    pub(crate) fn password(&self) -> Result<Password, Failure> {
        let args = PasswordArgs::from_file(self.account_password_file.clone());
        args.read(&format!("Password of the account {}", self.jid()?.to_bare()))
    }

    fn jid(&self) -> Result<&Jid, Failure> {
        let missing =
            || Failure::new(Exit::Usage, "no account is named", "Give --jid, or --tcp without XMPP.");
        self.jid.as_ref().ok_or_else(missing)
    }

    /// Logs in.
    pub(crate) async fn log_in(&self, password: Password) -> Result<Client, Failure> {
        let wanted = match self.jid()?.clone().try_into_full() {
            Ok(full) => full,
            Err(bare) => with_resource(&bare)?,
        };
        Ok(Client::connect(&self.server, Login::new(wanted, password)?).await?)
    }
}

/// The address with our usual resource.
pub(crate) fn with_resource(bare: &BareJid) -> Result<FullJid, Failure> {
    bare.with_resource_str(RESOURCE).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{bare} takes no resource: {error}"),
            "Give an address as user@domain.",
        )
    })
}

/// How the tunnel is set up.
#[derive(Debug, clap::Args)]
pub(crate) struct TunnelArgs {
    /// Authenticate in this way and no other: cpace, pake-psk, tls-psk, tls-srp, tls12-psk or the name of a mechanism; may be
    /// given several times, in order of preference
    #[arg(long = "auth", visible_alias = "mechanism", value_name = "NAME", value_parser = way)]
    mechanisms: Vec<MechanismName>,
    /// For tls-psk: read the key from this file, 32 hex digits or more that were drawn at random; `-` for stdin
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// Give up when the tunnel is not set up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Print what was established as one line of JSON on stderr
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

impl TunnelArgs {
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        if self.mechanisms.is_empty() {
            return Ok(Policy::default());
        }
        for name in &self.mechanisms {
            known(name)?;
        }
        let policy = Policy::named(self.mechanisms.iter().cloned());
        if policy.acceptable_in_tls().is_empty() {
            policy.check()?;
        }
        for (name, why) in policy.never().iter().filter(|_| !self.json) {
            output::note(Tone::Doubtful, "never taken:", format_args!("{name}: {why}"));
        }
        Ok(policy)
    }

    /// Where nothing is negotiated: the one that is named, or our favourite.
    pub(crate) fn one_mechanism(&self) -> Result<MechanismName, Failure> {
        match &self.mechanisms[..] {
            [] => way("cpace").map_err(Failure::from),
            [name] => known(name).map(|()| name.clone()).map_err(Failure::from),
            _ => Err(Failure::new(
                Exit::Usage,
                "over TCP nothing is negotiated, and several ways to authenticate are named",
                "Give --auth once, the same on both sides.",
            )),
        }
    }

    pub(crate) fn limits(&self) -> xmpp::Limits {
        xmpp::Limits::default().with_handshake(self.timeout())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The shared password; nothing where only a key is needed.
    pub(crate) fn password(&self) -> Result<Password, Failure> {
        if !self.mechanisms.is_empty() && self.mechanisms.iter().all(is_psk) {
            return Ok(Password::new(""));
        }
        self.password.read("Password shared with the peer")
    }

    /// The key, where one is needed.
    #[cfg(feature = "openssl")]
    pub(crate) fn key_if_needed(&self) -> Result<Option<PreSharedKey>, Failure> {
        self.mechanisms.iter().any(is_psk).then(|| self.key()).transpose()
    }

    #[cfg(feature = "openssl")]
    pub(crate) fn key(&self) -> Result<PreSharedKey, Failure> {
        let Some(path) = &self.key_file else {
            if self.password.is_given() {
                // A password is no key, however it is stretched.
                return Err(countersign::Error::new(&psk::rules::LOW_ENTROPY).into());
            }
            return Err(Failure::new(
                Exit::Usage,
                "TLS-PSK needs a key, and no file is named that has one",
                "Give --key-file; make a key with: openssl rand -hex 32. For a password take --auth cpace.",
            ));
        };
        let line = PasswordArgs::from_file(Some(path.clone())).read("Key")?;
        let octets =
            unhex(line.expose().trim()).ok_or_else(|| countersign::Error::new(&psk::rules::LOW_ENTROPY))?;
        Ok(PreSharedKey::from_high_entropy(&octets)?)
    }

    /// Says who is at the other end, and how that is known.
    pub(crate) fn announce(&self, stream: &E2eStream) {
        let Established { mechanism, refused, negotiated, .. } = stream.established();
        self.tell(stream.peer(), mechanism, negotiated.as_ref(), refused);
    }

    /// The same of a tunnel without XMPP.
    pub(crate) fn announce_tunnel(&self, peer: &str, tunnel: &Tunnel<Verified>) {
        self.tell(&peer, tunnel.mechanism(), tunnel.negotiated().as_ref(), &[]);
    }

    fn tell(
        &self,
        peer: &dyn Display,
        mechanism: &MechanismName,
        negotiated: Option<&Negotiated>,
        refused: &[(MechanismName, &'static str)],
    ) {
        if self.json {
            output::note_json(&describe(peer, mechanism, negotiated, refused));
            return;
        }
        let tls = negotiated.map_or_else(String::new, |negotiated| {
            format!(", {} with {} and {}", negotiated.version, negotiated.group, negotiated.cipher_suite)
        });
        let what = if is_psk(mechanism) { "key" } else { "password" };
        output::note(
            Tone::Good,
            "verified:",
            format_args!("{peer} has proven the shared {what} by {mechanism}{tls}"),
        );
        for (name, why) in refused {
            output::note(Tone::Doubtful, "passed over:", format_args!("{name}: {why}"));
        }
    }
}

fn describe(
    peer: &dyn Display,
    mechanism: &MechanismName,
    negotiated: Option<&Negotiated>,
    refused: &[(MechanismName, &'static str)],
) -> serde_json::Value {
    json!({
        "event": "verified",
        "peer": peer.to_string(),
        "mechanism": mechanism.as_str(),
        "trust": "independent",
        "refused": refused.iter()
            .map(|(name, why)| json!({ "mechanism": name.as_str(), "reason": why }))
            .collect::<Vec<_>>(),
        "tls": negotiated.map(|negotiated| json!({
            "version": negotiated.version,
            "group": negotiated.group,
            "cipher_suite": negotiated.cipher_suite,
        })),
    })
}

/// A mechanism by its name, or by the short name of the way it is.
fn way(name: &str) -> countersign::Result<MechanismName> {
    match name {
        "cpace" => "CPACE-R255-PLUS",
        "pake-psk" => "CPACE-R255-PSK",
        "tls-psk" => "TLS13-PSK",
        "tls12-psk" => "TLS12-ECDHE-PSK",
        "tls-srp" => "TLS-SRP",
        other => other,
    }
    .parse()
}

fn known(name: &MechanismName) -> countersign::Result<()> {
    #[cfg(feature = "openssl")]
    if registry::find_in_tls(name).is_ok() {
        return Ok(());
    }
    registry::find(name).map(drop)
}

/// Whether what is proven is a key that no person can remember.
pub(crate) fn is_psk(name: &MechanismName) -> bool {
    matches!(name.as_str(), "TLS13-PSK" | "TLS12-ECDHE-PSK")
}

#[cfg(feature = "openssl")]
fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octets = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8));
    let octets = octets.collect::<Option<Vec<u8>>>().map(Zeroizing::new)?;
    rest.is_empty().then_some(octets)
}

/// A TLS endpoint with a throw-away certificate, made when it is needed.
pub(crate) fn endpoint(side: Side) -> countersign::Result<Box<dyn Endpoint>> {
    Ok(Box::new(Deferred::new(side, move || {
        let config = Config::new(Identity::generate()?)?;
        Ok(match side {
            Side::Client => Box::new(RustlsEndpoint::client(&config)?),
            Side::Server => Box::new(RustlsEndpoint::server(&config)?),
        })
    })))
}

/// The runtime of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Local, format!("cannot start: {error}"), "Check the limits on threads and files.")
    })
}
