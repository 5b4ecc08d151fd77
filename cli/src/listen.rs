//! `countersign listen`: waits for a peer who proves the shared password.

use std::sync::{Arc, OnceLock};

use countersign::guess::{GuessLimits, Guesses};
use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::xmpp::client::{Greeter, available};
use countersign::xmpp::driver::{E2eStream, Handle};
use countersign::xmpp::{Acceptance, BareJid, FullJid, ResponderConfig};
use countersign::{Side, system_rng};

use crate::account::{AccountArgs, TunnelArgs, announce_login, endpoint_with, runtime};
use crate::exit::{self, Failure};
use crate::output::{self, Tone};
use crate::sockets::SocketArgs;
use crate::talk::{AtEnd, talk};
use crate::tcp::{self, TcpArgs};

/// Wait for a peer who proves the shared password, then chat or take data
///
/// On a terminal each line is a message. When stdin or stdout is a file or a pipe, octets pass unchanged. The
/// session ends when the peer ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign listen --jid bob@biloxi.example --from alice@atlanta.example
  countersign listen --jid bob@biloxi.example --password-file secret.txt > backup.tar
  countersign listen --demo-server 127.0.0.1:5222 --jid bob@home.example
  countersign listen --jid bob@biloxi.example --auth pake-psk
  countersign listen --jid bob@biloxi.example --direct=192.0.2.7:7777 --proxy=proxy.biloxi.example
  countersign listen --tcp 127.0.0.1:4433 --auth tls-psk --identity alice --key-file key.txt

A key for tls-psk has 32 hex digits or more: openssl rand -hex 32.
The server is found in the DNS and its certificate checked; see --server and --ca-file. Whoever may open a session
can also see that we listen: everybody, unless --from names one account.
Both passwords are asked for when no file is given; they never stand on the command line.
Exit codes: see countersign --help.")]
pub(crate) struct Args {
    #[command(flatten)]
    account: AccountArgs,
    /// Take sessions from this account only
    #[arg(long, value_name = "JID", conflicts_with = "tcp")]
    from: Option<BareJid>,
    /// End with the first attempt, also when it fails; without this, failed attempts are shown and waiting goes on
    #[arg(long)]
    once: bool,
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
        let result = runtime.block_on(tcp::listen(address, &args.tcp, &args.tunnel, args.once));
        runtime.shutdown_background();
        return result;
    }
    let policy = args.tunnel.policy()?;
    #[cfg(feature = "openssl")]
    let key = args.tunnel.key_if_needed()?;
    let account_password = args.account.password()?;
    let shared = args.tunnel.password()?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut sockets = args.sockets.open().await?;
        let client = args.account.log_in(account_password).await?;
        let (own, login) = (client.jid().clone(), client.report().clone());
        let (limits, from) = (args.tunnel.limits(), args.from.clone());
        let guesses = Guesses::in_memory(GuessLimits::default());
        let offer = Arc::new(OnceLock::new());
        let gate = {
            let (own, offer, record) = (own.clone(), offer.clone(), args.sockets.record());
            move |peer: &FullJid| {
                let peer = peer.to_bare();
                if from.as_ref().is_some_and(|from| *from != peer) {
                    return None;
                }
                let shared =
                    SharedPassword::new(peer.as_str(), shared.clone(), Preparation::default(), system_rng());
                let config = ResponderConfig::new(own.clone(), Arc::new(shared.ok()?))
                    .with_policy(policy.clone())
                    .with_limits(limits.clone())
                    .with_guesses(guesses.clone());
                let config = match offer.get() {
                    Some(offer) => config.with_socks5(Clone::clone(offer)),
                    None => config,
                };
                #[cfg(feature = "openssl")]
                let config = match &key {
                    Some(key) => config.with_psk(key.clone()),
                    None => config,
                };
                let endpoint = endpoint_with(Side::Server, record).ok()?;
                Some(Acceptance { config, endpoint, rng: Box::new(system_rng()) })
            }
        };
        let handle = sockets.spawn(client, Some(Box::new(gate)));
        let talked = async {
            if let Some(found) = sockets.offer(&handle).await? {
                let _ = offer.set(found);
            }
            handle.send_stanza(available()).await?;
            announce_login(&own, &login, args.tunnel.json());
            output::note(Tone::Good, "listening:", format_args!("as {own}"));
            let mut greeter = Greeter::new();
            let stream = loop {
                match accept(&handle, &mut greeter, args.from.as_ref()).await {
                    Ok(stream) => break stream,
                    Err(error) if args.once || handle.has_ended() => return Err(error.into()),
                    // Somebody failed; the one we wait for may still come.
                    Err(error) => exit::complain(&error.into()),
                }
            };
            args.tunnel.announce(&stream);
            talk(stream, AtEnd::Wait).await
        };
        let talked = talked.await;
        // The peer is told how it ended, however it ended.
        handle.finish().await;
        talked
    });
    runtime.shutdown_background();
    result
}

/// The next session; meanwhile callers that look for us are answered.
async fn accept(
    handle: &Handle,
    greeter: &mut Greeter,
    from: Option<&BareJid>,
) -> countersign::Result<E2eStream> {
    loop {
        tokio::select! {
            accepted = handle.accept() => return accepted,
            Some(stanza) = handle.recv_stanza() => {
                let admit = |caller: &FullJid| from.is_none_or(|from| *from == caller.to_bare());
                if let Some(answer) = greeter.answer(&stanza, admit) {
                    handle.send_stanza(answer).await?;
                }
            }
        }
    }
}
