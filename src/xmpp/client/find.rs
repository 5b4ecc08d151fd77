//! Which resources of a peer take end-to-end sessions, when only its bare address is known.
//!
//! The caller sends presence directed to the account (RFC 6121 section 4.6), which reaches each of its resources
//! whether or not the two have a subscription; a resource that listens answers in the same way ([`Greeter`]), and each
//! that shows itself is asked what it supports (XEP-0030). Servers can hide resources and invent some: what this finds is
//! where to try, never who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jid::{BareJid, FullJid, Jid};
use minidom::Element;
use rand_core::Rng;
use tokio::time::{Instant, timeout_at};

use crate::error::Result;
use crate::xmpp::attribute::set_attribute;
use crate::xmpp::driver::Handle;
use crate::xmpp::iq::{self, Incoming, Kind};
use crate::xmpp::{disco, ns};

/// For all resources to answer, when nothing at all comes.
pub const FIND_TIMEOUT: Duration = Duration::from_secs(8);

/// Silence after an answer, after which no other is expected.
pub const FIND_QUIET: Duration = Duration::from_millis(1500);

/// Most resources of one peer that are asked.
pub const RESOURCES_MAX: usize = 32;

/// Most peers that a [`Greeter`] answers.
pub const GREETED_MAX: usize = 64;

/// What was found at an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Resources that take end-to-end sessions.
    pub callable: Vec<FullJid>,
    /// Resources that are there and do not.
    pub others: Vec<FullJid>,
    /// What those that do have said.
    answers: BTreeMap<FullJid, Element>,
}

impl Found {
    /// The answer of one that takes sessions, for [`InitiatorConfig::with_discovered`](crate::xmpp::InitiatorConfig::with_discovered).
    #[must_use]
    pub fn answer(&self, resource: &FullJid) -> Option<&Element> {
        self.answers.get(resource)
    }
}

/// Presence that makes us visible without drawing messages to the account away from its other clients.
#[must_use]
pub fn available() -> Element {
    let mut priority = Element::bare("priority", ns::CLIENT);
    priority.append_text("-1");
    Element::builder("presence", ns::CLIENT).append(priority).build()
}

/// Looks for resources of `peer`. Those in `likely` are asked even when nobody shows them. Other stanzas that come
/// meanwhile are lost.
///
/// # Errors
/// When the connection is over.
pub async fn callable(handle: &Handle, peer: &BareJid, likely: &[FullJid]) -> Result<Found> {
    handle.send_stanza(available()).await?;
    let mut search = Search { handle, asked: BTreeMap::new(), found: Found::default() };
    for resource in likely {
        search.ask(resource).await?;
    }
    let mut greeting = available();
    set_attribute(&mut greeting, "to", peer.as_str());
    handle.send_stanza(greeting).await?;
    let end = Instant::now() + FIND_TIMEOUT;
    let mut until = end;
    while let Ok(Some(stanza)) = timeout_at(until, handle.recv_stanza()).await {
        let news = match presence_of(&stanza) {
            Some((from, available)) if from.to_bare() == *peer => {
                if let (true, Ok(resource)) = (available, from.try_into_full()) {
                    search.ask(&resource).await?;
                }
                true
            }
            Some(_) => false,
            None => search.take_answer(&stanza),
        };
        if news {
            until = end.min(Instant::now() + FIND_QUIET);
        }
    }
    Ok(search.found)
}

struct Search<'a> {
    handle: &'a Handle,
    /// Each with the identifier of the question, until it is answered.
    asked: BTreeMap<FullJid, Option<String>>,
    found: Found,
}

impl Search<'_> {
    async fn ask(&mut self, resource: &FullJid) -> Result<()> {
        let own = self.handle.own_jid();
        if self.asked.len() >= RESOURCES_MAX || self.asked.contains_key(resource) || resource == own {
            return Ok(());
        }
        let id = format!("find-{:016x}", crate::system_rng().next_u64());
        let question = iq::Sender::new(own, resource).request(false, &id, disco::query());
        self.asked.insert(resource.clone(), Some(id));
        self.handle.send_stanza(question).await
    }

    /// Whether it is an answer to one of our questions.
    fn take_answer(&mut self, stanza: &Element) -> bool {
        let Some(Incoming { from, id, kind, .. }) = Incoming::parse(stanza) else { return false };
        let Some(waiting) = self.asked.get_mut(&from).filter(|asked| asked.as_deref() == Some(id)) else {
            return false;
        };
        *waiting = None;
        match kind {
            Kind::Result(Some(answer)) if disco::check(Some(answer)).is_ok() => {
                self.found.answers.insert(from.clone(), answer.clone());
                self.found.callable.push(from);
            }
            Kind::Result(_) => self.found.others.push(from),
            Kind::Error if iq::condition(stanza) == "feature-not-implemented" => self.found.others.push(from),
            // Nobody there, or a server that says so.
            Kind::Error | Kind::Request { .. } => {}
        }
        true
    }
}

/// Answers directed presence, once for each resource, so that callers find the one we listen with.
#[derive(Debug, Default)]
pub struct Greeter {
    greeted: BTreeSet<FullJid>,
}

impl Greeter {
    /// Nobody has been greeted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer to a stanza, where it is presence of somebody new whom `admit` lets know that we are here; new is also
    /// who has gone since. At most [`GREETED_MAX`] that are there are answered.
    pub fn answer(&mut self, stanza: &Element, admit: impl FnOnce(&FullJid) -> bool) -> Option<Element> {
        let (from, is_available) = presence_of(stanza)?;
        let from = from.try_into_full().ok()?;
        if !is_available {
            // Whoever goes may come back and look again.
            self.greeted.remove(&from);
            return None;
        }
        if self.greeted.len() >= GREETED_MAX || self.greeted.contains(&from) || !admit(&from) {
            return None;
        }
        let mut answer = available();
        set_attribute(&mut answer, "to", from.as_str());
        self.greeted.insert(from);
        Some(answer)
    }
}

/// Whose presence it is, and whether they are available.
fn presence_of(stanza: &Element) -> Option<(Jid, bool)> {
    if !stanza.is("presence", ns::CLIENT) {
        return None;
    }
    Some((Jid::new(stanza.attr("from")?).ok()?, stanza.attr("type").is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(attributes: &str) -> Element {
        format!("<presence xmlns='jabber:client' {attributes}/>").parse().unwrap()
    }

    #[test]
    fn each_resource_is_greeted_once() {
        let mut greeter = Greeter::new();
        let answer = greeter.answer(&presence("from='a@x/1' to='b@y'"), |_| true).unwrap();
        let literal = "<presence xmlns='jabber:client' to='a@x/1'><priority>-1</priority></presence>";
        assert_eq!(answer, literal.parse().unwrap());
        assert!(greeter.answer(&presence("from='a@x/1'"), |_| true).is_none());
        assert!(greeter.answer(&presence("from='a@x/2'"), |_| true).is_some());
        // Who was away is new again.
        assert!(greeter.answer(&presence("from='a@x/1' type='unavailable'"), |_| true).is_none());
        assert!(greeter.answer(&presence("from='a@x/1'"), |_| true).is_some());
        assert!(greeter.answer(&presence("from='a@x/2'"), |_| true).is_none());
    }

    #[test]
    fn only_available_resources_that_are_admitted_are_greeted() {
        let mut greeter = Greeter::new();
        for attributes in ["", "from='a@x'", "from='a@x/1' type='unavailable'", "from='a@x/1' type='error'"] {
            assert!(greeter.answer(&presence(attributes), |_| true).is_none(), "{attributes}");
        }
        assert!(greeter.answer(&presence("from='a@x/1'"), |_| false).is_none());
        assert!(greeter.answer(&presence("from='a@x/1'"), |_| true).is_some());
    }

    #[test]
    fn greetings_are_limited() {
        let mut greeter = Greeter::new();
        for n in 0..=GREETED_MAX {
            let answered = greeter.answer(&presence(&format!("from='a@x/{n}'")), |_| true).is_some();
            assert_eq!(answered, n < GREETED_MAX);
        }
    }
}
