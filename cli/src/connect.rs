//! `countersign connect`: opens a session with a peer who listens.

use countersign::xmpp::Jid;

use crate::account::{AccountArgs, TunnelArgs, runtime};
use crate::call::Caller;
use crate::exit::{Exit, Failure};
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
    let caller = Caller::new(&args.account, &args.sockets, &args.tunnel)?;
    let runtime = runtime()?;
    let result = runtime.block_on(caller.call(to, async |stream| talk(stream, AtEnd::Close).await));
    runtime.shutdown_background();
    result
}
