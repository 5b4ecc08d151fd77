//! `countersign connect`: opens a session with a peer who listens.

use countersign::Side;
use countersign::xmpp::{InitiatorConfig, Jid};

use crate::account::{AccountArgs, TunnelArgs, announce_login, endpoint_with, runtime};
use crate::exit::{Exit, Failure};
use crate::peer;
use crate::sockets::SocketArgs;
use crate::talk::{AtEnd, talk};
use crate::tcp::{self, TcpArgs};

/// Open a tunnel to a peer who listens, then chat or send data
///
/// On a terminal each line is a message; Ctrl-D ends the session. When stdin is a file or a pipe, its octets pass
/// unchanged and the session ends with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign connect --jid alice@atlanta.example --to bob@biloxi.example
  countersign connect --demo-server 127.0.0.1:5222 --jid alice@home.example --to bob@home.example
  tar c photos | countersign connect --jid alice@home.example --to bob@home.example \\
      --account-password-file account.txt --password-file secret.txt
  countersign connect --jid alice@home.example --to bob@home.example --auth pake-psk
  countersign connect --jid alice@home.example --to bob@home.example --direct --proxy
  countersign connect --tcp 127.0.0.1:4433 --auth tls-psk --identity alice --key-file key.txt

A key for tls-psk has 32 hex digits or more: openssl rand -hex 32.
The server is found in the DNS and its certificate checked; see --server and --ca-file. With a bare address in --to,
the resources that listen are looked for; when there are several you are asked, or told to name one.
Both passwords are asked for when no file is given; they never stand on the command line.
Exit codes: see countersign --help.")]
pub(crate) struct Args {
    #[command(flatten)]
    account: AccountArgs,
    /// The peer, user@domain or user@domain/resource
    #[arg(long, value_name = "JID", required_unless_present = "tcp", conflicts_with = "tcp")]
    to: Option<Jid>,
    #[command(flatten)]
    sockets: SocketArgs,
    #[command(flatten)]
    tcp: TcpArgs,
    #[command(flatten)]
    tunnel: TunnelArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(address) = &args.tcp.tcp {
        let runtime = runtime()?;
        let result = runtime.block_on(tcp::connect(address, &args.tcp, &args.tunnel));
        runtime.shutdown_background();
        return result;
    }
    let Some(to) = &args.to else {
        return Err(Failure::new(Exit::Usage, "no peer is named", "Give --to, or --tcp without XMPP."));
    };
    let policy = args.tunnel.policy()?;
    #[cfg(feature = "openssl")]
    let key = args.tunnel.key_if_needed()?;
    let account_password = args.account.password()?;
    let shared = args.tunnel.password()?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut sockets = args.sockets.open().await?;
        let client = args.account.log_in(account_password).await?;
        let login = client.report().clone();
        let handle = sockets.spawn(client, None);
        let talked = async {
            let offer = sockets.offer(&handle).await?;
            let peer = peer::choose(&handle, to).await?;
            let config = InitiatorConfig::new(handle.own_jid().clone(), peer, shared)
                .with_policy(policy)
                .with_limits(args.tunnel.limits());
            let config = match offer {
                Some(offer) => config.with_socks5(offer),
                None => config,
            };
            #[cfg(feature = "openssl")]
            let config = match key {
                Some(key) => config.with_psk(key),
                None => config,
            };
            let stream = handle.connect(config, endpoint_with(Side::Client, args.sockets.record())?).await?;
            announce_login(handle.own_jid(), &login, args.tunnel.json());
            args.tunnel.announce(&stream);
            talk(stream, AtEnd::Close).await
        };
        let talked = talked.await;
        // The peer is told how it ended, however it ended.
        handle.finish().await;
        talked
    });
    runtime.shutdown_background();
    result
}
