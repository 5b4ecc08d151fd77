//! `countersign listen`: waits for a peer who proves the shared password.

use std::sync::{Arc, OnceLock};

use countersign::guess::{GuessLimits, Guesses};
use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::sasl::Policy;
#[cfg(feature = "openssl")]
use countersign::tls::psk::PreSharedKey;
use countersign::xmpp::client::{Greeter, available};
use countersign::xmpp::driver::{E2eStream, Handle};
use countersign::xmpp::s5b::Socks5;
use countersign::xmpp::{Acceptance, BareJid, FullJid, Gate, ResponderConfig};
use countersign::{Password, Side, system_rng};
use tokio::task::JoinSet;

use crate::account::{AccountArgs, TunnelArgs, announce_login, endpoint_with, runtime};
use crate::exit::{self, Exit, Failure};
use crate::interrupt;
use crate::output::{self, Tone};
use crate::receive::{self, Desk, ReceiveArgs};
use crate::sockets::SocketArgs;
use crate::talk::{AtEnd, talk};
use crate::tcp::{self, TcpArgs};

/// Sessions that files are taken from at a time; who comes above that waits.
const SESSIONS_MAX: usize = 16;

/// Wait for a peer who proves the shared password, then chat or take data or files
///
/// On a terminal each line is a message; Ctrl-D ends the session. When stdin or stdout is a file or a pipe, octets
/// pass unchanged and the session ends when the peer ends it. With --receive, files are taken from countersign send,
/// in one session after another, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign listen --jid bob@biloxi.example --from alice@atlanta.example
  countersign listen --jid bob@biloxi.example --password-file secret.txt > backup.tar
  countersign listen --demo-server 127.0.0.1:5222 --jid bob@home.example
  countersign listen --jid bob@biloxi.example --auth pake-psk
  countersign listen --jid bob@biloxi.example --receive ~/Downloads --from alice@atlanta.example
  countersign listen --jid bob@biloxi.example --direct=192.0.2.7:7777 --proxy=proxy.biloxi.example
  countersign listen --tcp 127.0.0.1:4433 --auth tls-psk --identity alice --key-file key.txt

A key for tls-psk has 32 hex digits or more: openssl rand -hex 32.
The server is found in the DNS and its certificate checked; see --server and --ca-file. Whoever may open a session
can also see that we listen: everybody, unless --from names one account.
Files keep the last part of the name that the sender gives; names that begin with a dot or hold what cannot be seen are
refused. What is incomplete is NAME.HASH.part, and is gone on with. A file that is there is overwritten only with
--force or when you are asked on a terminal and agree. With --json there is an object on stdout for each file.
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
    receive: ReceiveArgs,
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
    let listener = Listener::new(args)?;
    let desk = args.receive.desk(args.tunnel.json())?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        match desk {
            Some(desk) => listener.receive(&desk).await,
            None => listener.talk().await,
        }
    });
    runtime.shutdown_background();
    result
}

/// Everything that listening needs, so that it can begin again.
struct Listener<'a> {
    args: &'a Args,
    policy: Policy,
    #[cfg(feature = "openssl")]
    key: Option<PreSharedKey>,
    account_password: Password,
    shared: Password,
    /// Over all connections.
    guesses: Guesses,
}

impl<'a> Listener<'a> {
    /// Reads the passwords.
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let policy = args.tunnel.policy()?;
        #[cfg(feature = "openssl")]
        let key = args.tunnel.key_if_needed()?;
        Ok(Self {
            args,
            policy,
            #[cfg(feature = "openssl")]
            key,
            account_password: args.account.password()?,
            shared: args.tunnel.password()?,
            guesses: Guesses::in_memory(GuessLimits::default()),
        })
    }

    /// Logs in and lets peers know.
    async fn open(&self) -> Result<Handle, Failure> {
        let mut sockets = self.args.sockets.open().await?;
        let client = self.args.account.log_in(self.account_password.clone()).await?;
        let (own, login) = (client.jid().clone(), client.report().clone());
        let offer = Arc::new(OnceLock::new());
        let handle = sockets.spawn(client, Some(self.gate(own.clone(), offer.clone())));
        let ready = async {
            if let Some(found) = sockets.offer(&handle).await? {
                let _ = offer.set(found);
            }
            Ok(handle.send_stanza(available()).await?)
        };
        if let Err(failure) = ready.await {
            handle.finish().await;
            return Err(failure);
        }
        announce_login(&own, &login, self.args.tunnel.json());
        output::note(Tone::Good, "listening:", format_args!("as {own}"));
        Ok(handle)
    }

    /// `offer` is known a moment later.
    fn gate(&self, own: FullJid, offer: Arc<OnceLock<Socks5>>) -> Box<dyn Gate> {
        let record = self.args.sockets.record();
        let (limits, from) = (self.args.tunnel.limits(), self.args.from.clone());
        let (policy, shared, guesses) = (self.policy.clone(), self.shared.clone(), self.guesses.clone());
        #[cfg(feature = "openssl")]
        let key = self.key.clone();
        Box::new(move |peer: &FullJid| {
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
                Some(offer) => config.with_socks5(offer.clone()),
                None => config,
            };
            #[cfg(feature = "openssl")]
            let config = match &key {
                Some(key) => config.with_psk(key.clone()),
                None => config,
            };
            let endpoint = endpoint_with(Side::Server, record).ok()?;
            Some(Acceptance { config, endpoint, rng: Box::new(system_rng()) })
        })
    }

    /// One session, with a person or a program at this end.
    async fn talk(&self) -> Result<(), Failure> {
        let handle = self.open().await?;
        let talked = async {
            let mut greeter = Greeter::new();
            let stream = loop {
                match accept(&handle, &mut greeter, self.args.from.as_ref()).await {
                    Ok(stream) => break stream,
                    Err(error) if self.args.once || handle.has_ended() => return Err(error.into()),
                    // Somebody failed; the one we wait for may still come.
                    Err(error) => exit::complain(&error.into()),
                }
            };
            self.args.tunnel.announce(&stream);
            talk(stream, AtEnd::Wait).await
        };
        let talked = talked.await;
        // The peer is told how it ended, however it ended.
        handle.finish().await;
        talked
    }

    /// Takes files, also after the connection to the server was lost.
    async fn receive(&self, desk: &Arc<Desk>) -> Result<(), Failure> {
        let mut retry = self.args.receive.retry();
        let mut handle = self.open().await?;
        loop {
            let attended = self.attend(&handle, desk).await;
            handle.finish().await;
            let mut failure = match attended {
                Err(failure) if !self.args.once && failure.exit != Exit::Stopped => failure,
                attended => return attended,
            };
            handle = loop {
                retry.wait(failure).await?;
                match self.open().await {
                    Ok(handle) => break handle,
                    Err(again) => failure = again,
                }
            };
            retry.progressed();
        }
    }

    /// The sessions of one connection, side by side. Ends with the connection, or after one session.
    async fn attend(&self, handle: &Handle, desk: &Arc<Desk>) -> Result<(), Failure> {
        let once = self.args.once;
        let mut greeter = Greeter::new();
        let mut sessions = JoinSet::new();
        loop {
            let room = if once { 1 } else { SESSIONS_MAX };
            tokio::select! {
                accepted = accept(handle, &mut greeter, self.args.from.as_ref()), if sessions.len() < room => {
                    match accepted {
                        Ok(stream) => {
                            self.args.tunnel.announce(&stream);
                            sessions.spawn(receive::serve(desk.clone(), stream));
                        }
                        Err(error) if once || handle.has_ended() => return Err(error.into()),
                        Err(error) => exit::complain(&error.into()),
                    }
                }
                stopped = interrupt::stopped() => {
                    // Each of them tells its peer.
                    while sessions.join_next().await.is_some() {}
                    return Err(stopped);
                }
                Some(ended) = sessions.join_next() => match ended {
                    Ok(ended) if once => return ended,
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) if failure.exit == Exit::Stopped => return Err(failure),
                    Ok(Err(failure)) if failure.disconnected => {
                        let text = "a session that was cut off; its peer can come back and go on from there";
                        output::note(Tone::Doubtful, "left:", text);
                    }
                    Ok(Err(failure)) => exit::complain(&failure),
                    Err(error) => {
                        let what = format!("a session broke down: {error}");
                        return Err(Failure::new(Exit::CheckFailed, what, "Report this: it is a defect."));
                    }
                },
            }
        }
    }
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
