//! What goes into a session, and what comes out of it.

use std::sync::Arc;

use jid::FullJid;
use minidom::Element;

use crate::binding::ChannelBinding;
use crate::error::{Error, Result};
use crate::guess::Guesses;
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::CredentialStore;
use crate::sasl::Policy;
use crate::secret::Password;
use crate::tls::Negotiated;
#[cfg(feature = "openssl")]
use crate::tls::psk::PreSharedKey;
#[cfg(feature = "openssl")]
use crate::xmpp::jingle::Method;
use crate::xmpp::s5b::Socks5;
use crate::xmpp::{Limits, Profile, disco, ns};

use super::methods::Acceptable;
#[cfg(feature = "openssl")]
use super::rules;

use super::recording::Recording;

/// What the initiator brings to a session.
#[derive(Clone, Debug)]
pub struct InitiatorConfig {
    pub(super) own: FullJid,
    pub(super) peer: FullJid,
    pub(super) policy: Policy,
    pub(super) profile: Profile,
    pub(super) password: Password,
    pub(super) preparation: Preparation,
    pub(super) limits: Limits,
    pub(super) guesses: Option<Guesses>,
    pub(super) recording: Recording,
    pub(super) socks5: Option<Socks5>,
    /// Where the peer's features are known: whether SOCKS5 bytestreams are among them.
    pub(super) discovered: Option<bool>,
    #[cfg(feature = "openssl")]
    pub(super) psk: Option<PreSharedKey>,
}

impl InitiatorConfig {
    /// Both addresses, and the shared password. The policy is the default one: nothing that lets anybody test
    /// passwords offline.
    #[must_use]
    pub fn new(own: FullJid, peer: FullJid, password: Password) -> Self {
        Self {
            own,
            peer,
            policy: Policy::default(),
            profile: Profile::Sasl2,
            password,
            preparation: Preparation::default(),
            limits: Limits::default(),
            guesses: None,
            recording: Recording::default(),
            socks5: None,
            discovered: None,
            #[cfg(feature = "openssl")]
            psk: None,
        }
    }

    /// Takes the peer's answer to service discovery from before, as of [`Found::answer`](crate::xmpp::client::Found::answer)
    /// or of entity capabilities (XEP-0115). The session then begins with session-initiate and saves a round trip.
    ///
    /// # Errors
    /// [`disco::rules`].
    ///
    /// # Security
    /// An answer can be forged by the servers, whenever it comes; it decides only whether and over what a session is tried.
    pub fn with_discovered(mut self, answer: &Element) -> Result<Self> {
        disco::check(Some(answer))?;
        self.discovered = Some(disco::names(answer, ns::JINGLE_S5B));
        Ok(self)
    }

    /// Sets which mechanisms are acceptable. The SASL mechanisms stand for the method `x509`; `CPACE-R255-PSK`, `TLS13-PSK` and
    /// `TLS-SRP` are methods of their own.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets which elements carry a SASL mechanism: SASL2 unless told otherwise, with the first message sent before the
    /// responder's features have come; RFC 6120 takes two round trips more.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// That there is something to offer, and all that it needs.
    pub(super) fn check(&self) -> Result<()> {
        let acceptable = Acceptable::of(&self.policy)?;
        #[cfg(feature = "openssl")]
        if acceptable.has(Method::Psk) && self.psk.is_none() {
            return Err(Error::new(&rules::PSK_MISSING));
        }
        let _ = acceptable;
        Ok(())
    }

    /// Sets how the password is prepared; the responder's record must have been made in the same way.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes SOCKS5 bytestreams too, where the peer does: the application has to serve the session's sockets, as the tokio
    /// driver does. Without a connection the session goes on in band; the tunnel is the same.
    ///
    /// # Security
    /// As [`Socks5`]: addresses are seen. The servers can prevent it, and choose the route; nothing else.
    #[must_use]
    pub fn with_socks5(mut self, socks5: Socks5) -> Self {
        self.socks5 = Some(socks5);
        self
    }

    /// Sets the key that both sides hold, for `TLS13-PSK`.
    #[cfg(feature = "openssl")]
    #[must_use]
    pub fn with_psk(mut self, key: PreSharedKey) -> Self {
        self.psk = Some(key);
        self
    }

    /// Counts the guesses that an impostor of the responder makes, one for each session that we open, under the
    /// responder's bare JID. Without it nobody counts: meant for programs that connect by themselves, where no person
    /// tires of it.
    #[must_use]
    pub fn with_guesses(mut self, guesses: Guesses) -> Self {
        self.guesses = Some(guesses);
        self
    }

    /// Writes down what an attacker of this view would have seen of the authentication, for an audit.
    #[cfg(feature = "dictionary")]
    #[must_use]
    pub fn with_recorder(
        mut self,
        recorder: &crate::dictionary::Recorder,
        view: crate::dictionary::View,
    ) -> Self {
        self.recording = Recording::new(recorder, view);
        self
    }
}

/// What the responder brings to a session.
#[derive(Clone)]
pub struct ResponderConfig {
    pub(super) own: FullJid,
    pub(super) policy: Policy,
    pub(super) credentials: Arc<dyn CredentialStore>,
    pub(super) limits: Limits,
    pub(super) guesses: Option<Guesses>,
    pub(super) recording: Recording,
    pub(super) socks5: Option<Socks5>,
    #[cfg(feature = "openssl")]
    pub(super) psk: Option<PreSharedKey>,
}

impl ResponderConfig {
    /// The own address, and where the records are. The initiator authenticates as its bare JID.
    ///
    /// # Security
    /// Online guesses are not counted by this alone: see [`ResponderConfig::with_guesses`].
    #[must_use]
    pub fn new(own: FullJid, credentials: Arc<dyn CredentialStore>) -> Self {
        Self {
            own,
            policy: Policy::default(),
            credentials,
            limits: Limits::default(),
            guesses: None,
            recording: Recording::default(),
            socks5: None,
            #[cfg(feature = "openssl")]
            psk: None,
        }
    }

    /// Sets which mechanisms are offered.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes SOCKS5 bytestreams too, where the peer does: the application has to serve the session's sockets, as the tokio
    /// driver does. Without a connection the session goes on in band; the tunnel is the same.
    ///
    /// # Security
    /// As [`Socks5`]: addresses are seen. The servers can prevent it, and choose the route; nothing else.
    #[must_use]
    pub fn with_socks5(mut self, socks5: Socks5) -> Self {
        self.socks5 = Some(socks5);
        self
    }

    /// Sets the key that this initiator holds too, for `TLS13-PSK`. Without it the initiator is one that is not known.
    #[cfg(feature = "openssl")]
    #[must_use]
    pub fn with_psk(mut self, key: PreSharedKey) -> Self {
        self.psk = Some(key);
        self
    }

    /// Counts online guesses here, under the initiator's bare JID; without it there is no counter. Share one among all
    /// sessions of an account.
    ///
    /// # Security
    /// A [`Host`](crate::xmpp::Host) puts in its own counter where none was set, which ends with the connection. A
    /// session that is made without a host and without this counts nothing.
    #[must_use]
    pub fn with_guesses(mut self, guesses: Guesses) -> Self {
        self.guesses = Some(guesses);
        self
    }

    /// Writes down what an attacker of this view would have seen of the authentication, for an audit.
    #[cfg(feature = "dictionary")]
    #[must_use]
    pub fn with_recorder(
        mut self,
        recorder: &crate::dictionary::Recorder,
        view: crate::dictionary::View,
    ) -> Self {
        self.recording = Recording::new(recorder, view);
        self
    }

    /// The same, unless it has been set.
    pub(crate) fn or_guesses(mut self, guesses: &Guesses) -> Self {
        self.guesses.get_or_insert_with(|| guesses.clone());
        self
    }
}

/// What a session tells its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer has proven the password; stanzas and octets may pass.
    Established(Box<Established>),
    /// A stanza came through the tunnel.
    Stanza(Element),
    /// Octets came through the tunnel.
    Bytes(Vec<u8>),
    /// The session has ended properly: everything that was sent has arrived. The last event.
    Closed,
    /// The session has failed. The last event.
    Failed(Error),
}

/// What was established.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Established {
    /// The mechanism that was run.
    pub mechanism: MechanismName,
    /// The initiator's side: what else the responder offered, and why it was not taken. The responder's side: what
    /// the initiator could have taken, had our policy let it.
    pub refused: Vec<(MechanismName, &'static str)>,
    /// The proven identity of the initiator: its bare JID.
    pub authcid: String,
    /// What TLS agreed on.
    pub negotiated: Option<Negotiated>,
    /// The `tls-exporter` value that both sides proved to share.
    pub binding: ChannelBinding,
}

/// Counts of one session, both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Stanzas sent over the servers.
    pub stanzas_sent: u64,
    /// Stanzas received over the servers.
    pub stanzas_received: u64,
    /// Octets sent over the bytestream: in IBB blocks before base64.
    pub octets_sent: u64,
    /// Octets received over it: in IBB blocks after base64.
    pub octets_received: u64,
    /// SASL messages, both directions together, success included.
    pub sasl_messages: u64,
    /// How often this side had to wait for the peer before the tunnel was verified.
    pub round_trips: u64,
    /// Key updates that this side began.
    pub rekeys: u64,
}
