//! What `listen` and `connect` share: the account at a server, the tunnel's policy, and what is said of the peer.

use std::path::PathBuf;
use std::time::Duration;

use countersign::sasl::Policy;
use countersign::tls::Endpoint;
use countersign::tls::certificate::{Config, Identity, RustlsEndpoint};
use countersign::xmpp::client::{Client, Login};
use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::{self, BareJid, Established, FullJid, Jid};
use countersign::{MechanismName, Password, Side};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};
use crate::password::PasswordArgs;

/// The resource that `listen` asks for, and that `connect` assumes when it is given a bare JID.
pub(crate) const RESOURCE: &str = "countersign";

/// Which server, and who we are there.
#[derive(Debug, clap::Args)]
pub(crate) struct AccountArgs {
    /// Our own account, user@domain or user@domain/resource
    #[arg(long, value_name = "JID")]
    jid: Jid,
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
        args.read(&format!("Password of the account {}", self.jid.to_bare()))
    }

    /// Logs in.
    pub(crate) async fn log_in(&self, password: Password) -> Result<Client, Failure> {
        let wanted = match self.jid.clone().try_into_full() {
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
    /// Take this mechanism and no other; may be given several times, in order of preference
    #[arg(long = "mechanism", value_name = "NAME")]
    mechanisms: Vec<MechanismName>,
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
            countersign::registry::find(name)?;
        }
        let policy = Policy::named(self.mechanisms.iter().cloned());
        policy.check()?;
        for (name, why) in policy.never().iter().filter(|_| !self.json) {
            output::note(Tone::Doubtful, "never taken:", format_args!("{name}: {why}"));
        }
        Ok(policy)
    }

    pub(crate) fn limits(&self) -> xmpp::Limits {
        xmpp::Limits::default().with_handshake(Duration::from_secs(self.timeout))
    }

    pub(crate) fn password(&self) -> Result<Password, Failure> {
        self.password.read("Password shared with the peer")
    }

    /// Says who is at the other end, and how that is known.
    pub(crate) fn announce(&self, stream: &E2eStream) {
        let (peer, established) = (stream.peer(), stream.established());
        if self.json {
            output::note_json(&describe(peer, established));
            return;
        }
        let tls = established.negotiated.as_ref().map_or_else(String::new, |negotiated| {
            format!(", {} with {} and {}", negotiated.version, negotiated.group, negotiated.cipher_suite)
        });
        output::note(
            Tone::Good,
            "verified:",
            format_args!("{peer} has proven the shared password by {}{tls}", established.mechanism),
        );
        for (name, why) in &established.refused {
            output::note(Tone::Doubtful, "passed over:", format_args!("{name}: {why}"));
        }
    }
}

fn describe(peer: &FullJid, established: &Established) -> serde_json::Value {
    let negotiated = established.negotiated.as_ref();
    json!({
        "event": "verified",
        "peer": peer.to_string(),
        "mechanism": established.mechanism.as_str(),
        "trust": "independent",
        "refused": established.refused.iter()
            .map(|(name, why)| json!({ "mechanism": name.as_str(), "reason": why }))
            .collect::<Vec<_>>(),
        "tls": negotiated.map(|negotiated| json!({
            "version": negotiated.version,
            "group": negotiated.group,
            "cipher_suite": negotiated.cipher_suite,
        })),
    })
}

/// A TLS endpoint with a fresh throw-away certificate.
pub(crate) fn endpoint(side: Side) -> countersign::Result<Box<dyn Endpoint>> {
    let config = Config::new(Identity::generate()?)?;
    Ok(match side {
        Side::Client => Box::new(RustlsEndpoint::client(&config)?),
        Side::Server => Box::new(RustlsEndpoint::server(&config)?),
    })
}

/// The runtime of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Local, format!("cannot start: {error}"), "Check the limits on threads and files.")
    })
}
