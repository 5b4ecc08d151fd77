//! A hook that writes down what an attacker would have seen of the library's own exchanges.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::transcript::{MESSAGES_MAX, Transcript, View};
use crate::error::Result;
use crate::mechanism::{Mechanism, MechanismName, Properties, Side, Step};

/// Most transcripts that a recorder keeps; what comes after them is not written down.
pub const RECORDINGS_MAX: usize = 64;

/// Collects the transcripts of the exchanges it is put around. Clones share one collection.
///
/// # Security
/// Nothing records unless a recorder is given to it. It stands between the mechanism and the carrying protocol, where it
/// meets the messages alone: passwords, keys and states stay inside the mechanism, out of its reach. But a
/// transcript of a mechanism that leaves guesses to the attacker lets whoever reads it guess, too.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Transcript>>>);

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same exchange, with what an attacker of this view sees of `side`'s run written down.
    ///
    /// - [`View::Listener`]: every message, for a carrying channel that others can hear. Of a mechanism that only runs
    ///   inside TLS (`needs_binding`) a listener sees no message, and none is written down.
    /// - An impostor: everything up to the first message that he could not have made without the password, which
    ///   [`Properties::client_test`] and [`Properties::server_test`] tell. He must have posed as the other side.
    #[must_use]
    pub fn record(&self, exchange: Box<dyn Mechanism>, side: Side, view: View) -> Box<dyn Mechanism> {
        let properties = exchange.properties();
        let sees = Sees::new(view, side, &properties);
        let transcript = Transcript::new(exchange.name(), view);
        Box::new(Recorded { exchange, side, sees, started: false, transcript, recorder: self.clone() })
    }

    /// Takes out what has been recorded.
    #[must_use]
    pub fn take(&self) -> Vec<Transcript> {
        // Transcripts are pushed whole, so a panic elsewhere leaves nothing half made.
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, transcript: Transcript) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < RECORDINGS_MAX {
            kept.push(transcript);
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// How many more messages of each side are seen.
struct Sees {
    client: usize,
    server: usize,
    /// Whose last message ends the recording.
    honest: Side,
}

impl Sees {
    fn new(view: View, side: Side, properties: &Properties) -> Self {
        let (client_test, server_test) = (properties.client_test.into(), properties.server_test.into());
        let (client, server) = match (view, side) {
            (View::Listener, _) if !properties.needs_binding => (MESSAGES_MAX, MESSAGES_MAX),
            // The client's test message is the prize; what the true server would say to it the impostor cannot say.
            (View::ImpostorOfServer, Side::Client) => (client_test, MESSAGES_MAX),
            (View::ImpostorOfClient, Side::Server) => (client_test.saturating_sub(1), server_test),
            // Inside TLS; or a run in which the impostor would have posed as the recorded side itself.
            _ => (0, 0),
        };
        Self { client, server, honest: side }
    }

    fn next(&mut self, from: Side) -> bool {
        let left = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let seen = *left > 0;
        *left = left.saturating_sub(1);
        // After the honest side's last message, or the first that he cannot make, the attacker's run is over.
        if !seen || (*left == 0 && from == self.honest) {
            (self.client, self.server) = (0, 0);
        }
        seen
    }
}

struct Recorded {
    exchange: Box<dyn Mechanism>,
    side: Side,
    sees: Sees,
    started: bool,
    transcript: Transcript,
    recorder: Recorder,
}

impl Recorded {
    fn saw(&mut self, from: Side, message: &[u8]) {
        if self.sees.next(from) {
            // What is too long for a transcript is refused by every mechanism too.
            let _ = self.transcript.push(from, message);
        }
    }
}

impl Mechanism for Recorded {
    fn name(&self) -> MechanismName {
        self.exchange.name()
    }

    fn properties(&self) -> Properties {
        self.exchange.properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        let peer = match self.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        // Who speaks first is called with nothing, which is no message.
        let opening = !self.started && self.exchange.properties().first == self.side;
        self.started = true;
        if !opening {
            self.saw(peer, input);
        }
        let step = self.exchange.step(input)?;
        match &step {
            Step::Continue(reply) | Step::Finished { reply: Some(reply), .. } => {
                let reply = reply.clone();
                self.saw(self.side, &reply);
            }
            Step::Finished { reply: None, .. } => {}
        }
        Ok(step)
    }

    fn failure_reply(&self) -> Option<Vec<u8>> {
        self.exchange.failure_reply()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let empty = Transcript::new(self.transcript.mechanism().clone(), self.transcript.view());
        self.recorder.keep(std::mem::replace(&mut self.transcript, empty));
    }
}
