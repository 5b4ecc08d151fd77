//! What `listen` and `connect` share: the account at a server, the tunnel's policy, and what is said of the peer.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use countersign::registry;
use countersign::sasl::{Floor, Policy};
use countersign::tls::certificate::{Config, Identity, RECORD_DEFAULT, RustlsEndpoint};
#[cfg(feature = "openssl")]
use countersign::tls::psk::{self, PreSharedKey};
use countersign::tls::{Deferred, Endpoint, Negotiated, Tunnel, Verified};
use countersign::xmpp::client::{
    self, BindingUse, Client, Login, LoginReport, Profile, Resolver, Target, Trust,
};
use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::s5b::Route;
use countersign::xmpp::{self, BareJid, Established, FullJid, Jid};
use countersign::{BindingType, MechanismName, Password, Side};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(feature = "openssl")]
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};
use crate::password::PasswordArgs;

/// The resource that `listen` asks for, and where `connect` looks first when it is given a bare JID.
pub(crate) const RESOURCE: &str = "countersign";

/// The one mechanism that is no proof.
const PLAIN: MechanismName = MechanismName::from_static("PLAIN");

/// A connection to a server, of whatever kind.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A logged-in connection of whatever kind.
pub(crate) type Account = Client<Box<dyn Duplex>>;

/// Which server, and who we are there.
#[derive(Debug, clap::Args)]
pub(crate) struct AccountArgs {
    /// Our own account, user@domain or user@domain/resource
    #[arg(long, value_name = "JID", required_unless_present = "tcp", conflicts_with = "tcp")]
    jid: Option<Jid>,
    /// Where the XMPP server listens, instead of asking the DNS; its certificate must name the domain all the same
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<Target>,
    /// The server given by --server wants TLS at once, without STARTTLS
    #[arg(long, requires = "server")]
    direct_tls: bool,
    /// Believe the certificate authorities in this file, and no others
    #[arg(long, value_name = "PEM")]
    ca_file: Option<PathBuf>,
    /// Log in without TLS, to a demo server on this machine
    #[arg(long, value_name = "IP:PORT", conflicts_with_all = ["server", "ca_file"])]
    demo_server: Option<String>,
    /// Read the account's password from the first line of this file, instead of asking for it
    #[arg(long, value_name = "PATH")]
    account_password_file: Option<PathBuf>,
    /// Log in by this mechanism and no other; may be given several times, in order of preference. PLAIN sends the
    /// password to the server and must stand alone
    #[arg(long = "account-mechanism", value_name = "NAME")]
    account_mechanisms: Vec<MechanismName>,
    /// Bind the login to the TLS connection: where the server announces how, always, or not at all
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "required", "none"])]
    account_binding: String,
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
    pub(crate) async fn log_in(&self, password: Password) -> Result<Account, Failure> {
        let login = self.login(password)?;
        let (stream, login): (Box<dyn Duplex>, _) = if let Some(address) = &self.demo_server {
            (Box::new(client::loopback(address, &login).await?), login)
        } else {
            let trust = self.trust()?;
            let targets = self.targets(login.account()).await?;
            let secured = client::secure(&targets, &trust, &login).await?;
            (Box::new(secured.stream), secured.bindings.into_iter().fold(login, Login::with_binding))
        };
        Ok(Client::over(stream, login).await?)
    }

    fn login(&self, password: Password) -> Result<Login, Failure> {
        let wanted = match self.jid()?.clone().try_into_full() {
            Ok(full) => full,
            Err(bare) => with_resource(&bare)?,
        };
        let login = Login::new(wanted, password)?.with_binding_use(match self.account_binding.as_str() {
            "required" => BindingUse::Required,
            "none" => BindingUse::Never,
            _ => BindingUse::Auto,
        });
        if self.account_mechanisms.is_empty() {
            return Ok(login);
        }
        if !self.account_mechanisms.contains(&PLAIN) {
            let policy = Policy::named(self.account_mechanisms.iter().cloned()).with_floor(Floor::Named);
            policy.check()?;
            return Ok(login.with_policy(policy));
        }
        if self.account_mechanisms.len() > 1
            || self.demo_server.is_some()
            || self.account_binding == "required"
        {
            return Err(Failure::new(
                Exit::Usage,
                "PLAIN is not taken beside another mechanism, without TLS, or where a binding is required",
                "Name PLAIN alone, or better name nothing.",
            ));
        }
        Ok(login.dangerously_send_password())
    }

    fn trust(&self) -> Result<Trust, Failure> {
        match &self.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
                Ok(Trust::only(&pem)?)
            }
            None => Ok(Trust::platform()?),
        }
    }

    async fn targets(&self, account: &BareJid) -> Result<Vec<Target>, Failure> {
        match &self.server {
            Some(target) if self.direct_tls => Ok(vec![target.clone().with_direct_tls()]),
            Some(target) => Ok(vec![target.clone()]),
            None => Ok(Resolver::system()?.servers(account).await?),
        }
    }
}

/// Says how the login went.
pub(crate) fn announce_login(jid: &FullJid, report: &LoginReport, json: bool) {
    let sasl2 = report.profile == Profile::Sasl2;
    if json {
        output::note_json(&json!({
            "event": "account",
            "jid": jid.to_string(),
            "mechanism": report.mechanism.as_str(),
            "binding": report.binding.map(BindingType::name),
            "sasl2": sasl2,
        }));
        return;
    }
    let (mechanism, profile) = (&report.mechanism, if sasl2 { " (SASL2)" } else { "" });
    match report.binding {
        Some(kind) => {
            output::note(
                Tone::Good,
                "account:",
                format_args!("{jid} by {mechanism}{profile}, bound to {kind}"),
            );
        }
        None => {
            let text = format_args!("{jid} by {mechanism}{profile}, not bound to the connection");
            output::note(Tone::Doubtful, "account:", text);
        }
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
    /// Close the tunnel when neither side has sent anything for so many seconds; without it a tunnel may rest for ever
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "tcp")]
    idle_timeout: Option<u64>,
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
            [name] => known(name).map(|()| name.clone()),
            _ => Err(Failure::new(
                Exit::Usage,
                "over TCP nothing is negotiated, and several ways to authenticate are named",
                "Give --auth once, the same on both sides.",
            )),
        }
    }

    pub(crate) fn limits(&self) -> xmpp::Limits {
        let limits = xmpp::Limits::default().with_handshake(self.timeout());
        match self.idle_timeout {
            Some(seconds) => limits.with_idle(Duration::from_secs(seconds)),
            None => limits,
        }
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

    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Says who is at the other end, and how that is known.
    pub(crate) fn announce(&self, stream: &E2eStream) {
        let Established { mechanism, refused, negotiated, .. } = stream.established();
        self.tell(stream.peer(), mechanism, negotiated.as_ref(), refused, Some(stream.route()));
    }

    /// The same of a tunnel without XMPP.
    pub(crate) fn announce_tunnel(&self, peer: &str, tunnel: &Tunnel<Verified>) {
        self.tell(&peer, tunnel.mechanism(), tunnel.negotiated().as_ref(), &[], None);
    }

    fn tell(
        &self,
        peer: &dyn Display,
        mechanism: &MechanismName,
        negotiated: Option<&Negotiated>,
        refused: &[(MechanismName, &'static str)],
        route: Option<&Route>,
    ) {
        if self.json {
            output::note_json(&describe(peer, mechanism, negotiated, refused, route));
            return;
        }
        let tls = negotiated.map_or_else(String::new, |negotiated| {
            format!(", {} with {} and {}", negotiated.version, negotiated.group, negotiated.cipher_suite)
        });
        let (what, how) = (secret(mechanism), if is_in_tls(mechanism) { IN_TLS } else { BOUND });
        output::note(
            Tone::Good,
            "verified:",
            format_args!("{peer} has proven the shared {what} by {mechanism}, {how}{tls}"),
        );
        output::note(Tone::Good, "trust:", "independent: the servers in between were not believed");
        if let Some(route) = route {
            output::note(Tone::Good, "transport:", route);
        }
        let mut reasons = BTreeMap::<_, Vec<_>>::new();
        for (name, why) in refused {
            reasons.entry(*why).or_default().push(name.as_str());
        }
        for (why, names) in reasons {
            output::note(Tone::Doubtful, "passed over:", format_args!("{}: {why}", names.join(", ")));
        }
    }
}

/// How a proof belongs to the tunnel: the only two ways there are in it.
const BOUND: &str = "bound to this TLS channel by tls-exporter";
const IN_TLS: &str = "in the handshake of this TLS channel";

/// What the two sides share.
fn secret(mechanism: &MechanismName) -> &'static str {
    if is_psk(mechanism) { "key" } else { "password" }
}

/// Whether the handshake is the proof; else it is made by SASL, above TLS.
fn is_in_tls(mechanism: &MechanismName) -> bool {
    registry::find(mechanism).is_err()
}

fn describe(
    peer: &dyn Display,
    mechanism: &MechanismName,
    negotiated: Option<&Negotiated>,
    refused: &[(MechanismName, &'static str)],
    route: Option<&Route>,
) -> serde_json::Value {
    json!({
        "event": "verified",
        "peer": peer.to_string(),
        "mechanism": mechanism.as_str(),
        "trust": "independent",
        "proof": {
            "secret": secret(mechanism),
            "bound_to": if is_in_tls(mechanism) { "tls-handshake" } else { BindingType::TlsExporter.name() },
        },
        "transport": match route {
            None => "tcp",
            Some(Route::InBand) => "ibb",
            Some(Route::Direct) => "direct",
            Some(Route::Proxy(_)) => "proxy",
            Some(_) => "other",
        },
        "proxy": match route {
            Some(Route::Proxy(jid)) => Some(jid.as_str()),
            _ => None,
        },
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

fn known(name: &MechanismName) -> Result<(), Failure> {
    #[cfg(feature = "openssl")]
    if registry::find_in_tls(name).is_ok() {
        return Ok(());
    }
    // Nobody has offered it: it is our own argument that is wrong.
    registry::find(name).map(drop).map_err(|error| Failure { exit: Exit::Usage, ..error.into() })
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
    endpoint_with(side, RECORD_DEFAULT)
}

/// The same with records of at most so many octets.
pub(crate) fn endpoint_with(side: Side, record: usize) -> countersign::Result<Box<dyn Endpoint>> {
    Ok(Box::new(Deferred::new(side, move || {
        let config = Config::with_record_size(Identity::generate()?, record)?;
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
