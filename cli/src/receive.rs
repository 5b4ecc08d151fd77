//! The receiving side of `countersign send`: what `listen --receive` does with a session.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::file::{
    Hasher, Metadata, Offer, Reason, Receiver, Refused, SIZE_MAX, Turn, Verified, rules,
};
use countersign::xmpp::{BareJid, Event};
use countersign::{Error, xmpp::Element};
use serde_json::json;
use tokio::sync::Notify;

use crate::exit::{self, Exit, Failure};
use crate::folder::{Folder, Part, Present};
use crate::interrupt;
use crate::output::{self, Tone};
use crate::progress::Octets;
use crate::retry::{Retry, RetryArgs};
use crate::talk;

/// For an earlier session to let go of a file.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(5);

/// How often is looked whether it has.
const LET_GO_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct ReceiveArgs {
    /// Take files into this directory, session after session, until the program is stopped
    #[arg(long, value_name = "DIR", conflicts_with = "tcp")]
    pub(crate) receive: Option<PathBuf>,
    /// With --receive: overwrite files that are there, without asking
    #[arg(long, requires = "receive")]
    force: bool,
    /// With --receive: take no file above so many octets; 10K, 10M, 10G are multiples of 1024
    #[arg(long, value_name = "SIZE", requires = "receive", value_parser = size)]
    max_size: Option<u64>,
    #[command(flatten)]
    retry: RetryArgs,
}

impl ReceiveArgs {
    /// A place for files, where one is named.
    pub(crate) fn desk(&self, json: bool) -> Result<Option<Arc<Desk>>, Failure> {
        let Some(path) = &self.receive else { return Ok(None) };
        Ok(Some(Arc::new(Desk {
            folder: Folder::open(path)?,
            force: self.force,
            size_max: self.max_size.unwrap_or(SIZE_MAX),
            json,
            asking: tokio::sync::Mutex::new(()),
            running: Mutex::new(HashMap::new()),
        })))
    }

    pub(crate) fn retry(&self) -> Retry {
        self.retry.start()
    }
}

/// Octets, as numbers with a letter.
fn size(text: &str) -> Result<u64, String> {
    let shift = match text.chars().last() {
        Some('K' | 'k') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number = digits.parse::<u64>().ok().filter(|_| !digits.starts_with('+'));
    let octets =
        number.and_then(|number| number.checked_mul(1 << shift)).filter(|octets| *octets <= SIZE_MAX);
    octets.ok_or_else(|| format!("not a number of octets up to {SIZE_MAX}, with K, M, G or T behind it"))
}

/// What all sessions of one process share.
pub(crate) struct Desk {
    folder: Folder,
    force: bool,
    size_max: u64,
    json: bool,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
    /// Files on their way: from whom, and how to make that session let go.
    running: Mutex<HashMap<PathBuf, (BareJid, Arc<Notify>)>>,
}

/// A file that is not received.
struct Missed {
    /// None where it is received elsewhere.
    failure: Option<Failure>,
    /// What the sender is told.
    reply: Option<Box<Element>>,
    /// Where there is none, the session is over.
    next: Option<Receiver>,
}

impl From<Refused> for Missed {
    fn from(refused: Refused) -> Self {
        Self { failure: Some(refused.error.into()), reply: refused.reply, next: refused.next }
    }
}

impl From<Failure> for Missed {
    fn from(failure: Failure) -> Self {
        Self { failure: Some(failure), reply: None, next: None }
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

impl Missed {
    /// A newer session has taken the file over, and this one is of no more use.
    const ELSEWHERE: Self = Self { failure: None, reply: None, next: None };

    /// The sender hears why.
    fn telling(failure: Failure, (next, reply): (Receiver, Element)) -> Self {
        Self { failure: Some(failure), reply: Some(Box::new(reply)), next: Some(next) }
    }
}

/// Takes the files of one session until the peer ends it, or Ctrl-C. Fails with what went wrong last.
pub(crate) async fn serve(desk: Arc<Desk>, mut stream: E2eStream) -> Result<(), Failure> {
    let served = tokio::select! {
        served = take_all(&desk, &mut stream) => served,
        stopped = interrupt::stopped() => Err(stopped),
    };
    // What has ended already takes no harm from it.
    stream.abort().await;
    served
}

async fn take_all(desk: &Desk, stream: &mut E2eStream) -> Result<(), Failure> {
    let mut receiver = Receiver::new();
    let mut missed = Ok(());
    loop {
        let turn = match stream.recv().await {
            Some(Event::Stanza(stanza)) => match receiver.stanza(&stanza, desk.size_max) {
                Ok(Turn::Next(offer)) => take(desk, stream, offer).await,
                Ok(Turn::Other(same)) => {
                    if stanza.get_child("body", countersign::xmpp::ns::CLIENT).is_some() {
                        talk::show(stream.peer(), &stanza, None)?;
                    }
                    Ok(same)
                }
                Err(refused) => Err(refused.into()),
            },
            Some(Event::Bytes(_)) => receiver.octets().map(|()| receiver).map_err(Missed::from),
            Some(Event::Failed(error)) => return Err(error.into()),
            Some(Event::Closed) | None => return missed,
            Some(_) => Ok(receiver),
        };
        receiver = match turn {
            Ok(next) => next,
            Err(Missed { failure, reply, next }) => {
                if let Some(failure) = failure
                    && let Err(earlier) = std::mem::replace(&mut missed, Err(failure))
                {
                    exit::complain(&earlier);
                }
                if let Some(reply) = reply
                    && stream.send(*reply).await.is_err()
                {
                    return missed;
                }
                let Some(next) = next else { return missed };
                next
            }
        };
    }
}

/// One file.
async fn take(desk: &Desk, stream: &mut E2eStream, offer: Offer) -> Result<Receiver, Missed> {
    let file = offer.file().clone();
    let Some(running) = desk.begin(&file, stream.peer().to_bare()) else {
        let failure = Error::new(&rules::BUSY).about(file.name().as_str()).into();
        return Err(Missed::telling(failure, offer.refuse(Reason::Busy)));
    };
    let mut place = match desk.open(&file, stream).await {
        Ok(place) => place,
        Err((reason, failure)) => return Err(Missed::telling(failure, offer.refuse(reason))),
    };
    let held = match tokio::task::block_in_place(|| place.held(file.size())) {
        Ok(held) => held,
        Err(error) => return Err(unstored(&file, &error, |reason| offer.refuse(reason))),
    };
    let (mut accepted, reply) = offer.accept(held);
    stream.send(reply).await?;
    let mut receiving = loop {
        match next(stream, &running).await? {
            Event::Stanza(stanza) => match accepted.begun(&stanza)? {
                Turn::Next(receiving) => break receiving,
                Turn::Other(same) => accepted = same,
            },
            Event::Bytes(_) => return Err(Error::new(&rules::UNEXPECTED_OCTETS).into()),
            _ => {}
        }
    };
    if let Err(error) = place.start(receiving.position()) {
        return Err(unstored(&file, &error, |reason| receiving.refuse(reason)));
    }
    let bar = Octets::new(file.name().as_str(), receiving.position(), file.size(), desk.json);
    let verified = loop {
        match next(stream, &running).await? {
            Event::Bytes(octets) => {
                receiving.take(&octets)?;
                if let Err(error) = place.write(&octets) {
                    return Err(unstored(&file, &error, |reason| receiving.refuse(reason)));
                }
                bar.at(receiving.position());
            }
            Event::Stanza(stanza) => match receiving.ended(&stanza) {
                Ok(Turn::Next(verified)) => break verified,
                Ok(Turn::Other(same)) => receiving = same,
                Err(refused) => {
                    // It will never be this file; without an end it may still become it.
                    if [&rules::WRONG_HASH, &rules::ABANDONED].iter().any(|rule| refused.error.is(rule)) {
                        place.discard();
                    }
                    return Err(refused.into());
                }
            },
            _ => {}
        }
    };
    drop(bar);
    let path = match tokio::task::block_in_place(|| place.finish()) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Missed::telling(exists(&file), verified.refuse(Reason::Exists)));
        }
        Err(error) => return Err(unstored(&file, &error, |reason| verified.refuse(reason))),
    };
    report(desk, stream, &verified, &path)?;
    let (receiver, reply) = verified.stored();
    stream.send(reply).await?;
    Ok(receiver)
}

/// The next event of a session that goes on, unless a newer one takes the file over.
async fn next(stream: &mut E2eStream, running: &Running<'_>) -> Result<Event, Missed> {
    let event = tokio::select! {
        event = stream.recv() => event,
        () = running.taken.notified() => {
            let text = format_args!("{} has come back, and the file goes on in a newer session", stream.peer());
            output::note(Tone::Doubtful, "left:", text);
            return Err(Missed::ELSEWHERE);
        }
    };
    match event {
        Some(Event::Failed(error)) => Err(error.into()),
        Some(Event::Closed) | None => Err(Error::new(&rules::CUT_SHORT).into()),
        Some(event) => Ok(event),
    }
}

/// Where a file goes.
enum Place {
    Part(Part, bool),
    /// It is there already, and this its hash.
    There(PathBuf, Hasher),
}

impl Place {
    fn held(&mut self, size: u64) -> io::Result<Hasher> {
        match self {
            Self::Part(part, _) => part.held(size),
            Self::There(_, hasher) => Ok(hasher.clone()),
        }
    }

    fn start(&mut self, position: u64) -> io::Result<()> {
        match self {
            Self::Part(part, _) => part.start(position),
            Self::There(_, hasher) if position == hasher.octets() => Ok(()),
            Self::There(..) => Err(io::Error::other("the sender does not believe that it is there already")),
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Part(part, _) => part.write(octets),
            // There is nothing left to come.
            Self::There(..) => Ok(()),
        }
    }

    fn discard(self) {
        if let Self::Part(part, _) = self {
            part.discard();
        }
    }

    fn finish(self) -> io::Result<PathBuf> {
        match self {
            Self::Part(part, overwrite) => part.place(overwrite),
            Self::There(path, _) => Ok(path),
        }
    }
}

/// A file on its way, until this is dropped.
struct Running<'a> {
    desk: &'a Desk,
    path: PathBuf,
    taken: Arc<Notify>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.desk.running();
        if running.get(&self.path).is_some_and(|(_, taken)| Arc::ptr_eq(taken, &self.taken)) {
            running.remove(&self.path);
        }
    }
}

impl Desk {
    fn running(&self) -> MutexGuard<'_, HashMap<PathBuf, (BareJid, Arc<Notify>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the file over from an earlier session of the same peer, which has lost its connection. `None` when it is
    /// on its way from somebody else.
    fn begin(&self, file: &Metadata, from: BareJid) -> Option<Running<'_>> {
        let (path, taken) = (self.folder.part_path(file), Arc::new(Notify::new()));
        let mut running = self.running();
        if let Some((other, earlier)) = running.get(&path) {
            if *other != from {
                return None;
            }
            earlier.notify_one();
        }
        running.insert(path.clone(), (from, taken.clone()));
        Some(Running { desk: self, path, taken })
    }

    /// The place for a file; asks where there is another one.
    async fn open(&self, file: &Metadata, stream: &E2eStream) -> Result<Place, (Reason, Failure)> {
        let unusable = |error: io::Error| (reason(&error), cannot_store(file, &error));
        let present = tokio::task::block_in_place(|| self.folder.present(file)).map_err(unusable)?;
        let overwrite = match present {
            Present::Same(hasher) => return Ok(Place::There(self.folder.target(file), hasher)),
            Present::Nothing => false,
            Present::Other if self.force => true,
            Present::Other if io::stdin().is_terminal() && io::stderr().is_terminal() => {
                if !self.ask(file, stream).await {
                    return Err((Reason::Exists, exists(file)));
                }
                true
            }
            Present::Other => return Err((Reason::Exists, exists(file))),
        };
        let until = tokio::time::Instant::now() + LET_GO_TIMEOUT;
        loop {
            if let Some(part) = self.folder.part(file).map_err(unusable)? {
                return Ok(Place::Part(part, overwrite));
            }
            if tokio::time::Instant::now() >= until {
                return Err((Reason::Busy, Error::new(&rules::BUSY).about(file.name().as_str()).into()));
            }
            tokio::time::sleep(LET_GO_PAUSE).await;
        }
    }

    /// Asks on the terminal, in a thread of its own: a read from there cannot be cancelled.
    async fn ask(&self, file: &Metadata, stream: &E2eStream) -> bool {
        let _one = self.asking.lock().await;
        let (peer, name, size) = (stream.peer(), file.name(), file.size());
        let text = format!("{peer} sends {name}, {size} octets; another file has that name. [y/N]");
        let question = output::labelled(Tone::Doubtful, "overwrite?", text);
        let reading = tokio::task::spawn_blocking(move || {
            loop {
                // Whoever says nothing has not agreed.
                let answer = interrupt::ask(&question).unwrap_or_default();
                match answer.to_ascii_lowercase().as_str() {
                    "y" | "yes" => return true,
                    "" | "n" | "no" => return false,
                    _ => {}
                }
            }
        });
        reading.await.unwrap_or(false)
    }
}

fn exists(file: &Metadata) -> Failure {
    Failure::new(
        Exit::ProtocolViolation,
        format!("{} was offered, and another file has that name", file.name()),
        "Move that one away, or listen with --force.",
    )
}

fn cannot_store(file: &Metadata, error: &io::Error) -> Failure {
    let what = format!("cannot store {}: {error}", file.name());
    Failure::new(Exit::Local, what, "Check the directory, its permissions and the room on the disk.")
}

fn unstored(
    file: &Metadata,
    error: &io::Error,
    refuse: impl FnOnce(Reason) -> (Receiver, Element),
) -> Missed {
    Missed::telling(cannot_store(file, error), refuse(reason(error)))
}

fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Reason::NoSpace,
        _ => Reason::Storage,
    }
}

fn report(desk: &Desk, stream: &E2eStream, verified: &Verified, path: &Path) -> Result<(), Failure> {
    let (file, resumed) = (verified.file(), verified.resumed());
    let (name, size, hash) = (file.name(), file.size(), file.hash());
    if desk.json {
        return output::print(json!({
            "event": "received", "name": name.as_str(), "path": path.to_string_lossy(), "size": size,
            "sha256": hash.to_string(), "resumed": resumed, "peer": stream.peer().to_string(),
        }));
    }
    let before = if resumed > 0 { format!(", {resumed} of them before this session") } else { String::new() };
    output::note(
        Tone::Good,
        "received:",
        format_args!("{} from {}, {size} octets{before}, SHA-256 {hash}", output::path(path), stream.peer()),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_letters() {
        for (text, octets) in
            [("0", 0), ("1", 1), ("10K", 10240), ("3M", 3 << 20), ("2G", 2 << 30), ("1T", SIZE_MAX)]
        {
            assert_eq!(size(text), Ok(octets));
        }
        for text in
            ["", "K", "-1", "+1", "1.5G", "1KB", "1025G", "1099511627777", "99999999999999999999T", "é"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
