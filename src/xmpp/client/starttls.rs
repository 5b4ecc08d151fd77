//! STARTTLS (RFC 6120 section 5): from plain TCP to a connection that waits for our ClientHello.

use minidom::Element;
use tokio::net::TcpStream;

use crate::error::{Error, Result};
use crate::xmpp::ns;

use super::login::Login;
use super::negotiation::Negotiation;
use super::rules;

/// Asks for TLS. Nothing that was said before it counts afterwards.
pub(super) async fn start(stream: &mut TcpStream, login: &Login) -> Result<()> {
    let mut negotiation = Negotiation::new(stream, login);
    if !negotiation.open(login, false).await?.starttls {
        return Err(Error::new(&rules::NO_STARTTLS));
    }
    negotiation.send(&Element::bare("starttls", ns::TLS)).await?;
    let answer = negotiation.next().await?;
    if answer.is("failure", ns::TLS) {
        return Err(Error::new(&rules::STARTTLS_FAILED));
    }
    if !answer.is("proceed", ns::TLS) {
        return Err(Error::new(&rules::UNEXPECTED).about(answer.name()));
    }
    if negotiation.receiver.incoming.has_unread() {
        return Err(Error::new(&rules::INJECTED));
    }
    Ok(())
}
