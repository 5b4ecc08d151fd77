//! Calling a peer: login, search for its resource, session. What `connect` and `send` share.

use countersign::guess::{GuessLimits, Guesses};
use countersign::sasl::Policy;
#[cfg(feature = "openssl")]
use countersign::tls::psk::PreSharedKey;
use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::{InitiatorConfig, Jid};
use countersign::{Password, Side};

use crate::account::{AccountArgs, TunnelArgs, announce_login, endpoint_with};
use crate::exit::Failure;
use crate::peer;
use crate::progress::Wait;
use crate::sockets::SocketArgs;

/// Everything that a call needs, so that it can be made again.
pub(crate) struct Caller<'a> {
    account: &'a AccountArgs,
    sockets: &'a SocketArgs,
    tunnel: &'a TunnelArgs,
    policy: Policy,
    #[cfg(feature = "openssl")]
    key: Option<PreSharedKey>,
    account_password: Password,
    shared: Password,
    /// Of an impostor, over all calls.
    guesses: Guesses,
}

impl<'a> Caller<'a> {
    /// Reads the passwords.
    pub(crate) fn new(
        account: &'a AccountArgs,
        sockets: &'a SocketArgs,
        tunnel: &'a TunnelArgs,
    ) -> Result<Self, Failure> {
        let policy = tunnel.policy()?;
        #[cfg(feature = "openssl")]
        let key = tunnel.key_if_needed()?;
        Ok(Self {
            account,
            sockets,
            tunnel,
            policy,
            #[cfg(feature = "openssl")]
            key,
            account_password: account.password()?,
            shared: tunnel.password()?,
            guesses: Guesses::in_memory(GuessLimits::default()),
        })
    }

    /// Logs in, opens a session and uses it; afterwards everything is closed.
    pub(crate) async fn call<T>(
        &self,
        to: &Jid,
        speak: impl AsyncFnOnce(E2eStream) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let waiting = Wait::new(format!("looking for {to}"), self.tunnel.json());
        let mut sockets = self.sockets.open().await?;
        let client = self.account.log_in(self.account_password.clone()).await?;
        let login = client.report().clone();
        let handle = sockets.spawn(client, None);
        let spoken = async {
            let offer = sockets.offer(&handle).await?;
            let (peer, answer) = peer::choose(&handle, to).await?;
            let config = InitiatorConfig::new(handle.own_jid().clone(), peer, self.shared.clone())
                .with_policy(self.policy.clone())
                .with_limits(self.tunnel.limits())
                .with_guesses(self.guesses.clone());
            let config = match answer {
                Some(answer) => config.with_discovered(&answer)?,
                None => config,
            };
            let config = match offer {
                Some(offer) => config.with_socks5(offer),
                None => config,
            };
            #[cfg(feature = "openssl")]
            let config = match &self.key {
                Some(key) => config.with_psk(key.clone()),
                None => config,
            };
            let stream = handle.connect(config, endpoint_with(Side::Client, self.sockets.record())?).await?;
            drop(waiting);
            announce_login(handle.own_jid(), &login, self.tunnel.json());
            self.tunnel.announce(&stream);
            speak(stream).await
        };
        let spoken = spoken.await;
        // The peer is told how it ended, however it ended.
        handle.finish().await;
        spoken
    }
}
