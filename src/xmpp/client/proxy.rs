//! Finds a proxy for SOCKS5 bytestreams (XEP-0065 section 4).

use std::time::Duration;

use jid::Jid;
use minidom::Element;
use rand_core::Rng;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::xmpp::driver::Handle;
use crate::xmpp::iq::{self, Envelope, Kind};
use crate::xmpp::s5b::{StreamHost, rules};
use crate::xmpp::{disco, ns};

/// For all answers.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(8);

/// Most services of a server that are asked what they are.
pub const SERVICES_MAX: usize = 32;

/// Where a proxy listens that is known by its address. Other stanzas that come meanwhile are lost.
///
/// # Errors
/// [`rules::NO_PROXY`] when it does not say so in time, [`rules::MALFORMED`]; when the connection is over.
pub async fn proxy(handle: &Handle, proxy: &Jid) -> Result<StreamHost> {
    let end = Instant::now() + PROXY_TIMEOUT;
    let answer = ask(handle, proxy, StreamHost::question(), end).await?;
    StreamHost::from_answer(&answer.ok_or_else(|| Error::new(&rules::NO_PROXY).about(proxy.as_str()))?)
}

/// A proxy among the services of our own server. Other stanzas that come meanwhile are lost.
///
/// # Errors
/// [`rules::NO_PROXY`] when there is none, or no answer in time; when the connection is over.
pub async fn find_proxy(handle: &Handle) -> Result<StreamHost> {
    let end = Instant::now() + PROXY_TIMEOUT;
    let domain = handle.own_jid().domain().as_str();
    let none = || Error::new(&rules::NO_PROXY).about(domain);
    let server = Jid::new(domain).map_err(|_| none())?;
    let items = Element::bare("query", ns::DISCO_ITEMS);
    let items = ask(handle, &server, items, end).await?.ok_or_else(none)?;
    let services = items.children().filter(|item| item.is("item", ns::DISCO_ITEMS));
    let services = services.filter_map(|item| item.attr("jid").and_then(|jid| Jid::new(jid).ok()));
    for service in services.take(SERVICES_MAX) {
        let is_proxy =
            ask(handle, &service, disco::query(), end).await?.is_some_and(|answer| is_proxy(&answer));
        if is_proxy
            && let Some(answer) = ask(handle, &service, StreamHost::question(), end).await?
            && let Ok(host) = StreamHost::from_answer(&answer)
        {
            return Ok(host);
        }
    }
    Err(none())
}

fn is_proxy(answer: &Element) -> bool {
    answer.children().any(|child| {
        child.is("identity", ns::DISCO_INFO)
            && child.attr("category") == Some("proxy")
            && child.attr("type") == Some("bytestreams")
    })
}

/// The child of the answer; `None` for a refusal, and for silence.
async fn ask(handle: &Handle, to: &Jid, payload: Element, end: Instant) -> Result<Option<Element>> {
    let id = format!("proxy-{:016x}", crate::system_rng().next_u64());
    handle.send_stanza(iq::request_to(handle.own_jid(), to, false, &id, payload)).await?;
    while let Ok(Some(stanza)) = timeout_at(end, handle.recv_stanza()).await {
        let Some(envelope) = Envelope::open(&stanza) else { continue };
        let from = envelope.from.and_then(|from| Jid::new(from).ok());
        if envelope.id != id || from.as_ref() != Some(to) {
            continue;
        }
        match envelope.kind {
            Kind::Result(answer) => return Ok(answer.cloned()),
            Kind::Error => return Ok(None),
            Kind::Request { .. } => {}
        }
    }
    Ok(None)
}
