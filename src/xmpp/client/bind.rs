//! Resource binding: RFC 6120 section 7, and what Bind 2 (XEP-0386) says in SASL2.

use jid::{FullJid, Jid};
use minidom::Element;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Result};
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::{iq, ns};

use super::login::Login;
use super::negotiation::Negotiation;
use super::rules;

/// What we are called in a resource that the server makes up (XEP-0386).
pub(super) const TAG: &str = "countersign";

/// Asks for a resource: the wished one, or any.
pub(super) async fn bind<S: AsyncRead + AsyncWrite>(
    negotiation: &mut Negotiation<S>,
    login: &Login,
) -> Result<FullJid> {
    const ID: &str = "bind";
    let mut bind = Element::bare("bind", ns::BIND);
    if let Some(wish) = &login.resource {
        let mut resource = Element::bare("resource", ns::BIND);
        resource.append_text(wish.as_str());
        bind.append_child(resource);
    }
    let mut request = Element::bare("iq", ns::CLIENT);
    set_attribute(&mut request, "type", "set");
    set_attribute(&mut request, "id", ID);
    request.append_child(bind);
    negotiation.send(&request).await?;
    let answer = negotiation.next().await?;
    if !answer.is("iq", ns::CLIENT) || answer.attr("id") != Some(ID) {
        return Err(Error::new(&rules::UNEXPECTED).about("no answer to resource binding"));
    }
    if answer.attr("type") != Some("result") {
        return Err(Error::new(&rules::BIND_REFUSED).about(iq::condition(&answer)));
    }
    answer
        .get_child("bind", ns::BIND)
        .and_then(|bind| bind.get_child("jid", ns::BIND))
        .and_then(|jid| FullJid::new(&jid.text()).ok())
        .filter(|jid| jid.to_bare() == login.account)
        .ok_or_else(|| Error::new(&rules::UNEXPECTED).about("not our address"))
}

/// The identity that SASL2 gave us: ours, and the full address where a resource was bound on the way.
pub(super) fn check_identity(identity: &Jid, bound: bool, login: &Login) -> Result<Option<FullJid>> {
    let ours = Some(identity).filter(|identity| identity.to_bare() == login.account);
    let ours = ours.ok_or_else(|| Error::new(&rules::UNEXPECTED).about("not our address"))?;
    match (bound, ours.clone().try_into_full()) {
        (false, _) => Ok(None),
        (true, Ok(full)) => Ok(Some(full)),
        (true, Err(_)) => Err(Error::new(&rules::UNEXPECTED).about("bound without a resource")),
    }
}
