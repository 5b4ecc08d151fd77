//! What runs over a tunnel that is up: a chat by lines where a person types, octets where a program writes.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use countersign::Error;
use countersign::xmpp::driver::{self, E2eStream};
use countersign::xmpp::file::{Reason, Receiver, SIZE_MAX, Turn};
use countersign::xmpp::{Element, Event, FullJid, ns, session};
use tokio::sync::mpsc;

use crate::chat::{self, Screen};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::{self, Tone};

/// Octets read from stdin at once in pipe mode.
const CHUNK: usize = 32 * 1024;

/// Chunks of stdin that wait for the tunnel.
const WAITING: usize = 4;

/// Who ends the session when stdin ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// We do: `connect` has sent all it had.
    Close,
    /// The peer does: `listen` has no more to say and goes on reading.
    Wait,
}

/// Joins stdin and stdout to the tunnel until the session ends.
///
/// Between a terminal's stdin and stdout lines are sent as chat messages, anything else octet for octet. What comes is
/// printed as what it is: messages with the sender's name, octets unchanged.
pub(crate) async fn talk(mut stream: E2eStream, at_end: AtEnd) -> Result<(), Failure> {
    let chat = io::stdin().is_terminal() && io::stdout().is_terminal();
    let (mut input, screen) = if chat {
        let text = format_args!("with {}; each line is a message, Ctrl-D ends the session", stream.peer());
        output::note(Tone::Good, "chat:", text);
        let (input, screen) = chat::open(name(stream.own()));
        (input, Some(screen))
    } else {
        (read_stdin(false), None)
    };
    let talked = tokio::select! {
        talked = converse(&mut stream, &mut input, screen.as_ref(), at_end) => talked,
        stopped = interrupt::stopped() => Err(stopped),
    };
    drop(screen);
    match &talked {
        Ok(()) if chat => {
            output::note(Tone::Good, "closed:", "by both sides; nothing that was said is missing");
        }
        // What is missing must not look like an end.
        Err(Failure { exit: Exit::Stopped, .. }) => stream.abort().await,
        _ => {}
    }
    talked
}

async fn converse(
    stream: &mut E2eStream,
    input: &mut mpsc::Receiver<io::Result<Vec<u8>>>,
    screen: Option<&Screen>,
    at_end: AtEnd,
) -> Result<(), Failure> {
    let mut open = true;
    loop {
        tokio::select! {
            chunk = input.recv(), if open => match chunk {
                Some(Ok(octets)) => {
                    let said = match screen {
                        // Whoever presses Enter has nothing to say.
                        Some(_) if octets.is_empty() => Ok(()),
                        Some(_) => stream.send_message(&String::from_utf8_lossy(&octets)).await,
                        None => stream.write_bytes(&octets).await,
                    };
                    if let Err(error) = said {
                        return Err(reason(stream, error).await.into());
                    }
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return Err(Failure::stopped()),
                Some(Err(error)) => {
                    let what = format!("cannot read stdin: {error}");
                    return Err(Failure::new(Exit::Local, what, "Check what writes into the pipe."));
                }
                None => {
                    open = false;
                    if screen.is_some() || at_end == AtEnd::Close {
                        stream.close().await?;
                    }
                }
            },
            event = stream.recv() => match event {
                Some(Event::Stanza(stanza)) => {
                    if let Some(refusal) = refuse_file(&stanza) {
                        let text = format_args!("{} wants to send a file", stream.peer());
                        notice(screen, "refused:", text)?;
                        stream.send(refusal).await?;
                    } else {
                        show(stream.peer(), &stanza, screen)?;
                    }
                }
                Some(Event::Bytes(octets)) => write_stdout(&octets)?,
                Some(Event::Failed(error)) => return Err(error.into()),
                Some(Event::Closed) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
}

/// What has ended a session, where a call only says that it has ended.
pub(crate) async fn reason(stream: &mut E2eStream, error: Error) -> Error {
    if !error.is(&driver::rules::SESSION_ENDED) {
        return error;
    }
    while let Some(event) = stream.recv().await {
        if let Event::Failed(error) = event {
            return error;
        }
    }
    // The peer has closed it, and did not wait for what we had to say.
    Error::new(&session::rules::CUT_SHORT)
}

/// The answer to a file that is offered where nobody takes files.
fn refuse_file(stanza: &Element) -> Option<Element> {
    match Receiver::new().stanza(stanza, SIZE_MAX) {
        Ok(Turn::Next(offer)) => Some(offer.refuse(Reason::NotReceiving).1),
        Ok(Turn::Other(_)) => None,
        Err(refused) => refused.reply.map(|reply| *reply),
    }
}

/// Reads in a thread of its own: a read from a terminal cannot be cancelled.
pub(crate) fn read_stdin(lines: bool) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let read = if lines { read_line(&mut stdin) } else { read_chunk(&mut stdin) };
            match read {
                Ok(octets) if octets.is_empty() => break,
                read => {
                    let failed = read.is_err();
                    let read = read.map(|octets| if lines { without_line_end(octets) } else { octets });
                    if sender.blocking_send(read).is_err() || failed {
                        break;
                    }
                }
            }
        }
    });
    receiver
}

fn read_line(stdin: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stdin.take(CHUNK as u64).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn read_chunk(stdin: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stdin.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => {
                chunk.truncate(read?);
                return Ok(chunk);
            }
        }
    }
}

fn without_line_end(mut line: Vec<u8>) -> Vec<u8> {
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    line
}

/// Prints a chat message; what the peer wrote cannot disturb the terminal.
pub(crate) fn show(peer: &FullJid, stanza: &Element, screen: Option<&Screen>) -> Result<(), Failure> {
    let Some(body) = stanza.get_child("body", ns::CLIENT) else {
        return notice(screen, "ignored:", format_args!("a <{}/> without a body", stanza.name()));
    };
    let clean = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    let text = format!("{}: {}", name(peer), body.text().chars().map(clean).collect::<String>());
    match screen {
        Some(screen) => screen.show(&text),
        None => output::print(text),
    }
}

/// A note that leaves the line alone that is being typed.
fn notice(screen: Option<&Screen>, label: &str, text: impl Display) -> Result<(), Failure> {
    match screen {
        Some(screen) => screen.show(&output::labelled(Tone::Doubtful, label, text)),
        None => {
            output::note(Tone::Doubtful, label, text);
            Ok(())
        }
    }
}

/// How somebody is called before what he says.
fn name(jid: &FullJid) -> &str {
    jid.node().map_or("peer", |node| node.as_str())
}

pub(crate) fn write_stdout(octets: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(octets).and_then(|()| stdout.flush()).map_err(|error| {
        let what = format!("cannot write to stdout: {error}");
        Failure::new(Exit::Local, what, "Check where the output goes; the disk may be full.")
    })
}
