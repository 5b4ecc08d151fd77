//! `countersign serve`: the small XMPP server for demos and tests.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use countersign::prep::Preparation;
use countersign::registry::{self, CredentialStore, MemoryStore};
use countersign::xmpp::server::{Attack, Config, Server};
use countersign::{MechanismName, Password, system_rng};
use rand_core::Rng;
use serde_json::json;

use crate::account::runtime;
use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};

/// How clients log in to their accounts here.
const LOGIN: MechanismName = MechanismName::from_static("SCRAM-SHA-256");

/// Most octets of a file of accounts.
const ACCOUNTS_MAX: u64 = 64 * 1024;

/// Run a small XMPP server FOR DEMOS AND TESTS ONLY
///
/// It listens on loopback, keeps nothing, and has no TLS of its own. Told to attack, it becomes the dishonest
/// server that end-to-end tunnels are for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign serve
  countersign serve --address 127.0.0.1:5222 --accounts accounts.txt
  countersign serve --proxy-address 127.0.0.1:1080
  countersign serve --attack relay

Without --accounts there are two, alice and bob, with passwords made up and printed. Stop it with Ctrl-C.")]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5222")]
    address: SocketAddr,
    /// Where its proxy for SOCKS5 bytestreams listens; a free port of the same address unless given
    #[arg(long, value_name = "IP:PORT")]
    proxy_address: Option<SocketAddr>,
    /// The domain of the accounts
    #[arg(long, value_name = "NAME", default_value = "home.example")]
    domain: String,
    /// Accounts, one in each line: user, a space, password
    #[arg(long, value_name = "PATH")]
    accounts: Option<PathBuf>,
    /// Attack the tunnels that pass through: relay, strip or downgrade
    #[arg(long, value_name = "NAME")]
    attack: Option<Attack>,
    /// Print where it listens and who has an account as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (accounts, made_up) = match &args.accounts {
        Some(path) => (read(path)?, false),
        None => (["alice", "bob"].map(|user| (user.to_owned(), make_up())).to_vec(), true),
    };
    let mut config =
        Config::new(&args.domain, store(&accounts)?).with_address(args.address).with_attack(args.attack);
    if let Some(address) = args.proxy_address {
        config = config.with_proxy_address(address);
    }
    let runtime = runtime()?;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        if args.json {
            let accounts = accounts.iter().map(|(user, password)| {
                json!({ "jid": format!("{user}@{}", args.domain), "password": made_up.then(|| password.expose()) })
            });
            output::print(json!({
                "address": server.local_addr().to_string(),
                "proxy": { "jid": server.proxy_jid().as_str(), "address": server.proxy_addr().to_string() },
                "accounts": accounts.collect::<Vec<_>>(),
                "attack": args.attack.map(Attack::name),
            }))?;
        } else {
            greet(args, &server, &accounts, made_up)?;
        }
        // Nothing can be done about a signal that cannot be waited for; the server then runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        server.shutdown().await;
        Ok(())
    })
}

fn greet(
    args: &Args,
    server: &Server,
    accounts: &[(String, Password)],
    made_up: bool,
) -> Result<(), Failure> {
    let (domain, address) = (&args.domain, server.local_addr());
    output::note(Tone::Doubtful, "demo server:", "for demos and tests only; it has no TLS and keeps nothing");
    if let Some(attack) = args.attack {
        output::note(Tone::Bad, "attacking:", attack);
    }
    output::print(format_args!("listening on {address}"))?;
    output::print(format_args!("proxy {} on {}", server.proxy_jid(), server.proxy_addr()))?;
    if !made_up {
        return Ok(());
    }
    for (user, password) in accounts {
        output::print(format_args!("account {user}@{domain}, password {}", password.expose()))?;
    }
    output::print(format_args!(
        "\nIn two other terminals:\n  \
         countersign listen  --demo-server {address} --jid bob@{domain}\n  \
         countersign connect --demo-server {address} --jid alice@{domain} --to bob@{domain}"
    ))
}

/// The records of these accounts.
pub(crate) fn store(accounts: &[(String, Password)]) -> countersign::Result<Arc<dyn CredentialStore>> {
    let mut rng = system_rng();
    let mut store = MemoryStore::new(&mut rng);
    let login = registry::find(&LOGIN)?;
    for (user, password) in accounts {
        store.insert(&LOGIN, user, login.enroll(user, password, Preparation::SaslPrep, &mut rng)?)?;
    }
    Ok(Arc::new(store))
}

/// A password nobody has to remember: 64 random bits.
pub(crate) fn make_up() -> Password {
    Password::new(format!("{:016x}", system_rng().next_u64()))
}

fn read(path: &std::path::Path) -> Result<Vec<(String, Password)>, Failure> {
    use std::io::Read;
    let mut text = zeroize::Zeroizing::new(String::new());
    std::fs::File::open(path).and_then(|file| file.take(ACCOUNTS_MAX).read_to_string(&mut text)).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::InvalidData => unusable(&format!("{} is not UTF-8 text", output::path(path))),
            _ => Failure::file(path, &error),
        },
    )?;
    let accounts = parse(&text, path)?;
    let mut seen = BTreeSet::new();
    if let Some((user, _)) = accounts.iter().find(|(user, _)| !seen.insert(user)) {
        let user = output::plain(user);
        return Err(unusable(&format!("{} has two lines for {user}", output::path(path))));
    }
    if accounts.is_empty() {
        return Err(unusable(&format!("{} has no account", output::path(path))));
    }
    Ok(accounts)
}

fn unusable(what: &str) -> Failure {
    let advice = "Write one account in each line: the user, a space, the password.";
    Failure::new(Exit::Usage, what, advice)
}

fn parse(text: &str, path: &std::path::Path) -> Result<Vec<(String, Password)>, Failure> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match line.split_once(' ') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok((user.to_owned(), Password::new(password)))
            }
            _ => Err(unusable(&format!("a line of {} has no user or no password", output::path(path)))),
        })
        .collect()
}
