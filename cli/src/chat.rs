//! A person at a terminal: the line that is typed stays whole while others come in above it.

use std::io::{self, Write};
use std::sync::Mutex;

use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Editor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::interrupt;
use crate::output;
use crate::talk::read_stdin;

/// Lines that wait for the tunnel.
const WAITING: usize = 4;

/// Where lines appear.
pub(crate) struct Screen {
    /// Around the line that is being edited, where one is.
    printer: Option<Mutex<Box<dyn ExternalPrinter + Send>>>,
}

/// Lines as they are typed, behind this name, and where to show others. Ctrl-C comes as an error of the kind
/// [`io::ErrorKind::Interrupted`].
pub(crate) fn open(name: &str) -> (mpsc::Receiver<io::Result<Vec<u8>>>, Screen) {
    match edited(name) {
        Some(opened) => opened,
        // The terminal cannot do more.
        None => (read_stdin(true), Screen { printer: None }),
    }
}

fn edited(name: &str) -> Option<(mpsc::Receiver<io::Result<Vec<u8>>>, Screen)> {
    interrupt::mind();
    let config = Config::builder().bracketed_paste(false).auto_add_history(true).build();
    let mut editor = Editor::<(), _>::with_history(config, MemHistory::default()).ok()?;
    let printer = editor.create_external_printer().ok()?;
    let prompt = format!("{name}: ");
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        loop {
            let (line, last) = match editor.readline(&prompt) {
                Ok(line) => (Ok(line.into_bytes()), false),
                Err(ReadlineError::Eof) => break,
                Err(ReadlineError::Interrupted) => (Err(io::ErrorKind::Interrupted.into()), true),
                Err(ReadlineError::Io(error)) => (Err(error), true),
                Err(error) => (Err(io::Error::other(error)), true),
            };
            if sender.blocking_send(line).is_err() || last {
                break;
            }
        }
    });
    Some((receiver, Screen { printer: Some(Mutex::new(Box::new(printer))) }))
}

impl Screen {
    /// Shows a text as a line of its own.
    pub(crate) fn show(&self, text: &str) -> Result<(), Failure> {
        let Some(printer) = &self.printer else { return output::print(text) };
        let mut printer = printer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Where the editor has ended, there is no line to be careful with.
        printer.print(format!("{text}\n")).or_else(|_| output::print(text))
    }
}

/// The line that was being typed is gone, and the terminal as before.
impl Drop for Screen {
    fn drop(&mut self) {
        if self.printer.is_some() {
            interrupt::restore();
            let mut stdout = io::stdout();
            let _ = write!(stdout, "\r\u{1b}[K").and_then(|()| stdout.flush());
        }
    }
}
