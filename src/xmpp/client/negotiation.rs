//! The stream before the resource is bound.

use jid::BareJid;
use minidom::Element;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Result};
use crate::xmpp::sasl::Features;
use crate::xmpp::stream::{Header, Item};
use crate::xmpp::wire::Incoming;

use super::login::Login;
use super::{Receiver, Sender, rules};

/// Both halves of a stream that is being set up.
pub(super) struct Negotiation<S> {
    pub(super) sender: Sender<S>,
    pub(super) receiver: Receiver<S>,
}

impl<S: AsyncRead + AsyncWrite> Negotiation<S> {
    pub(super) fn new(stream: S, login: &Login) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            sender: Sender { io: writer, timeouts: login.timeouts.clone() },
            receiver: Receiver { incoming: Incoming::new(reader, login.limits.clone()) },
        }
    }

    /// Both headers, and the features. Over TLS ours says whose account it is: some servers offer SASL2 only then
    /// (XEP-0388 section 2.2), and before TLS it would tell listeners (RFC 6120 section 4.7.1).
    pub(super) async fn open(&mut self, login: &Login, over_tls: bool) -> Result<Features> {
        let domain = BareJid::from_parts(None, login.account.domain());
        let mut header = Header::new().with_to(domain);
        if over_tls {
            header = header.with_from(login.account.clone());
        }
        self.sender.write(&header.to_octets()).await?;
        match self.receiver.incoming.next(&rules::LOST).await? {
            None => return Err(Error::new(&rules::LOST)),
            Some(Item::Header(_)) => {}
            Some(_) => return Err(Error::new(&rules::UNEXPECTED).about("no stream header")),
        }
        self.features().await
    }

    /// The features alone, as after SASL2.
    pub(super) async fn features(&mut self) -> Result<Features> {
        Features::from_element(&self.next().await?)
    }

    pub(super) async fn send(&mut self, element: &Element) -> Result<()> {
        self.sender.send_element(element).await
    }

    pub(super) async fn next(&mut self) -> Result<Element> {
        self.receiver.recv_element().await?.ok_or_else(|| Error::new(&rules::CLOSED_EARLY))
    }
}
