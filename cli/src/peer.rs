//! Which resource of the peer to call.

use std::io::{self, IsTerminal};

use countersign::Error;
use countersign::xmpp::client::{Found, callable};
use countersign::xmpp::driver::Handle;
use countersign::xmpp::{BareJid, Element, FullJid, Jid, disco, session};

use crate::account::with_resource;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::{self, Tone};

/// The peer's full address: as given, or found, or chosen by the user. Where it was found, with its answer to service
/// discovery.
pub(crate) async fn choose(handle: &Handle, to: &Jid) -> Result<(FullJid, Option<Element>), Failure> {
    let bare = match to.clone().try_into_full() {
        Ok(full) => return Ok((full, None)),
        Err(bare) => bare,
    };
    let found = callable(handle, &bare, &[with_resource(&bare)?]).await?;
    let chosen = match &found.callable[..] {
        [] => return Err(nobody(&bare, &found).into()),
        [one] => one.clone(),
        several if io::stdin().is_terminal() && io::stderr().is_terminal() => ask(several.to_vec()).await?,
        several => {
            return Err(Failure::new(
                Exit::Usage,
                format!("{bare} listens with {} resources: {}", several.len(), list(several)),
                format!("Name one of them, for instance --to {}.", several[0]),
            ));
        }
    };
    let answer = found.answer(&chosen).cloned();
    Ok((chosen, answer))
}

fn nobody(bare: &BareJid, found: &Found) -> Error {
    if found.others.is_empty() {
        Error::new(&session::rules::PEER_ABSENT).about(bare.as_str())
    } else {
        Error::new(&disco::rules::FEATURE_MISSING).about(list(&found.others))
    }
}

fn list(resources: &[FullJid]) -> String {
    resources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks on the terminal, in a thread of its own: a read from there cannot be cancelled.
async fn ask(resources: Vec<FullJid>) -> Result<FullJid, Failure> {
    for (number, resource) in (1..).zip(&resources) {
        output::note(Tone::Doubtful, &format!("{number}:"), resource);
    }
    let question = output::labelled(Tone::Doubtful, "which?", format_args!("1 to {}:", resources.len()));
    let reading = tokio::task::spawn_blocking(move || {
        while let Some(answer) = interrupt::ask(&question) {
            let chosen = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            if let Some(resource) = chosen.and_then(|chosen| resources.get(chosen)) {
                return Some(resource.clone());
            }
        }
        None
    });
    reading.await.ok().flatten().ok_or_else(|| {
        Failure::new(Exit::Usage, "no resource was chosen", "Run the command again, or name one in --to.")
    })
}
