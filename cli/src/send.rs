//! `countersign send`: a file through a tunnel.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::Error;
use countersign::xmpp::driver::E2eStream;
use countersign::xmpp::file::{
    Delivered, FileName, Hasher, Metadata, Offering, SIZE_MAX, Sending, Turn, rules,
};
use countersign::xmpp::{Element, Event, Jid};
use serde_json::json;

use crate::account::{AccountArgs, TunnelArgs, runtime};
use crate::call::Caller;
use crate::exit::{Exit, Failure};
use crate::folder::{self, CHUNK};
use crate::interrupt;
use crate::output::{self, Tone};
use crate::progress::Octets;
use crate::retry::RetryArgs;
use crate::sockets::SocketArgs;
use crate::talk;

/// For the receiver to answer: it may have to hash what it holds, or to ask a person. A peer that is gone is noticed
/// much earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Send a file to a peer who listens with --receive
///
/// The receiver compares a hash of the whole file before it says that it has it, and only then does this end with
/// success. When the connection is lost, send comes back by itself and goes on where it stopped; so does the same
/// command later.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign send photos.tar --jid alice@atlanta.example --to bob@biloxi.example
  countersign send report.pdf --as report-2.pdf --jid alice@atlanta.example --to bob@biloxi.example
  countersign send backup.img --json --retries 100 --jid alice@home.example --to bob@home.example \\
      --account-password-file account.txt --password-file secret.txt

The other side: countersign listen --receive DIR. It never overwrites a file without being told to.
On a terminal a bar shows the progress. With --json there is none, and one object on stdout tells the result.
Files go over XMPP only; without it pipe them through connect --tcp and listen --tcp.
A refusal by the receiver ends with code 7. Exit codes: see countersign --help.")]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The name under which the receiver stores it, instead of its own
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    account: AccountArgs,
    /// The peer, user@domain or user@domain/resource
    #[arg(long, value_name = "JID", required_unless_present = "tcp")]
    to: Option<Jid>,
    /// Refused, with the reason.
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    tcp: Option<String>,
    #[command(flatten)]
    sockets: SocketArgs,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    tunnel: TunnelArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (None, Some(to)) = (&args.tcp, &args.to) else {
        let what = "a file needs the stanzas of a session over XMPP, which a bare socket has not";
        let advice = "Leave --tcp away, or pipe the file through connect --tcp and listen --tcp.";
        return Err(Failure::new(Exit::Usage, what, advice));
    };
    let mut source = Source::open(&args.file, args.name.as_deref(), args.tunnel.json())?;
    let caller = Caller::new(&args.account, &args.sockets, &args.tunnel)?;
    let runtime = runtime()?;
    let result = runtime.block_on(deliver(args, &caller, to, &mut source));
    runtime.shutdown_background();
    let (delivered, sessions) = result?;
    report(&delivered, sessions, args.tunnel.json())
}

/// In as many sessions as it takes; with their number.
async fn deliver(
    args: &Args,
    caller: &Caller<'_>,
    to: &Jid,
    source: &mut Source,
) -> Result<(Delivered, u32), Failure> {
    let mut retry = args.retry.start();
    let mut sessions = 0;
    let mut peer = to.clone();
    loop {
        let (before, target) = (source.held, peer.clone());
        let called = caller.call(&target, async |mut stream| {
            sessions += 1;
            // The resource that was found or chosen is the one to come back to.
            peer = stream.peer().clone().into();
            let result = tokio::select! {
                result = transfer(&mut stream, source) => result,
                stopped = interrupt::stopped() => {
                    stream.abort().await;
                    let what = format!("{}; the same command goes on from there", stopped.what);
                    return Err(Failure { what, ..stopped });
                }
            };
            // What counts has been said.
            let _ = stream.finish().await;
            result
        });
        let failure = match called.await {
            Ok(delivered) => return Ok((delivered, sessions)),
            Err(failure) => failure,
        };
        if sessions == 0 {
            // Nothing was lost: it has never been there.
            return Err(failure);
        }
        if failure.exit == Exit::PeerUnavailable {
            // Perhaps it has come back under another resource.
            peer = to.clone();
        }
        if source.held > before {
            retry.progressed();
        }
        retry.wait(failure).await?;
    }
}

/// The file, and what is said of it.
struct Source {
    file: File,
    path: PathBuf,
    metadata: Metadata,
    /// The most that a receiver held before we went on.
    held: u64,
    json: bool,
}

impl Source {
    fn open(path: &Path, name: Option<&str>, json: bool) -> Result<Self, Failure> {
        let unreadable = |error| Failure::file(path, &error);
        let mut file = File::open(path).map_err(unreadable)?;
        let stat = file.metadata().map_err(unreadable)?;
        if !stat.is_file() {
            let what = format!("{} is no regular file", output::path(path));
            let advice = "Send an archive of a directory; pipe everything else through countersign connect.";
            return Err(Failure::new(Exit::Usage, what, advice));
        }
        if stat.len() > SIZE_MAX {
            return Err(Error::exceeds(&rules::TOO_LARGE, stat.len(), SIZE_MAX).into());
        }
        let own = || path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = FileName::new(&name.map_or_else(own, str::to_owned)).map_err(|error| {
            Failure::new(Exit::Usage, error.to_string(), "Give another name with --as NAME.")
        })?;
        let bar = Octets::new("hash", 0, stat.len(), json);
        let mut hasher = Hasher::new();
        folder::read(&mut file, SIZE_MAX, |octets| {
            hasher.update(octets);
            bar.at(hasher.octets());
        })
        .map_err(unreadable)?;
        let metadata = Metadata::new(name, hasher.octets(), hasher.hash())?;
        Ok(Self { file, path: path.to_owned(), metadata, held: 0, json })
    }
}

/// One session's part of it.
async fn transfer(stream: &mut E2eStream, source: &mut Source) -> Result<Delivered, Failure> {
    let path = source.path.clone();
    let unreadable = |error| Failure::file(&path, &error);
    let (mut offering, stanza) = Offering::new(NonZeroU32::MIN, source.metadata.clone());
    say(stream, stanza).await?;
    let mut answered = loop {
        match offering.answered(&hear(stream).await?)? {
            Turn::Next(answered) => break answered,
            Turn::Other(offering_still) => offering = offering_still,
        }
    };
    let held = answered.held();
    folder::read(&mut source.file, held, |octets| answered.compare(octets)).map_err(unreadable)?;
    let (mut sending, stanza) = answered.begin();
    say(stream, stanza).await?;
    source.held = source.held.max(sending.position());
    if sending.position() > 0 && !source.json {
        let text = format_args!("after {} octets that the receiver has already", sending.position());
        output::note(Tone::Good, "going on:", text);
    }
    source.file.seek(SeekFrom::Start(sending.position())).map_err(unreadable)?;
    let size = source.metadata.size();
    let bar = Octets::new(source.metadata.name().as_str(), sending.position(), size, source.json);
    let mut buffer = vec![0; CHUNK];
    loop {
        sending = listen_in(stream, sending).await?;
        let count = match source.file.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count.map_err(unreadable)?,
        };
        // A file that has grown is one that has changed; the end says so.
        if count == 0 || sending.pass(&buffer[..count]).is_err() {
            break;
        }
        if let Err(error) = stream.write_bytes(&buffer[..count]).await {
            return Err(talk::reason(stream, error).await.into());
        }
        bar.at(sending.position());
    }
    let (ended, stanza) = sending.end();
    say(stream, stanza).await?;
    let mut ended = ended?;
    loop {
        match ended.verdict(&hear(stream).await?)? {
            Turn::Next(delivered) => return Ok(delivered),
            Turn::Other(ended_still) => ended = ended_still,
        }
    }
}

async fn say(stream: &mut E2eStream, stanza: Element) -> Result<(), Failure> {
    match stream.send(stanza).await {
        Ok(()) => Ok(()),
        Err(error) => Err(talk::reason(stream, error).await.into()),
    }
}

/// The next stanza of the receiver.
async fn hear(stream: &mut E2eStream) -> Result<Element, Failure> {
    loop {
        let Ok(event) = tokio::time::timeout(ANSWER_TIMEOUT, stream.recv()).await else {
            let advice = "Check what the other side is doing; it must listen with --receive.";
            return Err(Failure::new(Exit::TimedOut, "the receiver does not answer", advice));
        };
        if let Some(stanza) = stanza(event)? {
            return Ok(stanza);
        }
    }
}

/// What the receiver has said in the meantime.
async fn listen_in(stream: &mut E2eStream, mut sending: Sending) -> Result<Sending, Failure> {
    loop {
        tokio::select! {
            biased;
            event = stream.recv() => if let Some(stanza) = stanza(event)? {
                sending = sending.interrupted(&stanza)?;
            },
            () = std::future::ready(()) => return Ok(sending),
        }
    }
}

fn stanza(event: Option<Event>) -> Result<Option<Element>, Failure> {
    match event {
        Some(Event::Stanza(stanza)) => Ok(Some(stanza)),
        Some(Event::Failed(error)) => Err(error.into()),
        Some(Event::Bytes(_)) => Err(Error::new(&rules::UNEXPECTED_OCTETS).into()),
        Some(Event::Closed) | None => Err(Error::new(&rules::CUT_SHORT).into()),
        Some(_) => Ok(None),
    }
}

fn report(delivered: &Delivered, sessions: u32, json: bool) -> Result<(), Failure> {
    let (file, resumed) = (delivered.file(), delivered.resumed());
    let (name, size, hash) = (file.name(), file.size(), file.hash());
    if json {
        return output::print(json!({
            "event": "sent", "name": name.as_str(), "size": size, "sha256": hash.to_string(),
            "resumed": resumed, "sessions": sessions,
        }));
    }
    let before = if resumed > 0 { format!(", {resumed} of them before this session") } else { String::new() };
    output::note(
        Tone::Good,
        "sent:",
        format_args!("{name}, {size} octets{before}; the receiver found SHA-256 {hash}"),
    );
    Ok(())
}
