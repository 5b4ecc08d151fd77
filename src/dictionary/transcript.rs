//! What an attacker saw of one exchange, and the file it is kept in (`docs/offline-cost.md`, Transcripts).

use base64ct::{Base64, Encoding};

use super::{Situation, rules};
use crate::error::{Error, Result};
use crate::mechanism::{MESSAGE_MAX, MechanismName, Side};

/// Most octets of a transcript file, or of a capture.
pub const FILE_MAX: usize = 1024 * 1024;

/// Most messages of a transcript.
pub const MESSAGES_MAX: usize = 32;

/// With the version of the format.
const FIRST_LINE: &str = "countersign-transcript 1";

const CLIENT: &str = "client";
const SERVER: &str = "server";
const IMPOSTOR_SECRET: &str = "impostor-secret";

/// From where the attacker saw the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// He heard the carrying channel.
    Listener,
    /// He posed as the server to an honest client.
    ImpostorOfServer,
    /// He posed as the client to an honest server.
    ImpostorOfClient,
}

impl View {
    const ALL: [Self; 3] = [Self::Listener, Self::ImpostorOfServer, Self::ImpostorOfClient];

    /// The word in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::ImpostorOfServer => "impostor-of-server",
            Self::ImpostorOfClient => "impostor-of-client",
        }
    }

    /// What an attacker with this view holds.
    #[must_use]
    pub const fn situation(self) -> Situation {
        match self {
            Self::Listener => Situation::Listener,
            Self::ImpostorOfServer | Self::ImpostorOfClient => Situation::Impostor,
        }
    }
}

/// What an attacker saw of one exchange: messages, and nothing that never left a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    mechanism: MechanismName,
    view: View,
    messages: Vec<(Side, Vec<u8>)>,
    impostor_secret: Option<Vec<u8>>,
}

impl Transcript {
    /// An exchange of which nothing has been seen yet.
    #[must_use]
    pub fn new(mechanism: MechanismName, view: View) -> Self {
        Self { mechanism, view, messages: Vec::new(), impostor_secret: None }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`rules::TRANSCRIPT_TOO_LONG`] above [`MESSAGES_MAX`] messages, or [`MESSAGE_MAX`] octets of one.
    pub fn push(&mut self, from: Side, message: &[u8]) -> Result<()> {
        at_most(message.len(), MESSAGE_MAX)?;
        at_most(self.messages.len() + 1, MESSAGES_MAX)?;
        self.messages.push((from, message.to_vec()));
        Ok(())
    }

    /// Adds the Diffie-Hellman secret that an impostor of a TLS 1.2 server shares with his victim: he chose one half of
    /// it himself. DHE_PSK and ECDHE_PSK cannot be tested without it.
    ///
    /// # Errors
    /// [`rules::TRANSCRIPT_TOO_LONG`] above [`MESSAGE_MAX`] octets.
    pub fn with_impostor_secret(mut self, secret: &[u8]) -> Result<Self> {
        at_most(secret.len(), MESSAGE_MAX)?;
        self.impostor_secret = Some(secret.to_vec());
        Ok(self)
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> &MechanismName {
        &self.mechanism
    }

    /// From where it was seen.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// The messages, in their order.
    #[must_use]
    pub fn messages(&self) -> &[(Side, Vec<u8>)] {
        &self.messages
    }

    /// What [`Transcript::with_impostor_secret`] added.
    #[must_use]
    pub fn impostor_secret(&self) -> Option<&[u8]> {
        self.impostor_secret.as_deref()
    }

    /// The messages of one side.
    pub(super) fn from(&self, side: Side) -> impl Iterator<Item = &[u8]> {
        self.messages.iter().filter(move |(from, _)| *from == side).map(|(_, message)| &message[..])
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nmechanism {}\nview {}\n", self.mechanism, self.view.name());
        let mut line = |word: &str, octets: &[u8]| {
            text.push_str(word);
            if !octets.is_empty() {
                text.push(' ');
                text.push_str(&Base64::encode_string(octets));
            }
            text.push('\n');
        };
        if let Some(secret) = &self.impostor_secret {
            line(IMPOSTOR_SECRET, secret);
        }
        for (from, message) in &self.messages {
            line(side_name(*from), message);
        }
        text
    }

    /// Reads what [`Transcript::to_text`] wrote. Lines that begin with `#`, and empty ones, are passed over after the
    /// first.
    ///
    /// # Errors
    /// [`rules::BAD_TRANSCRIPT`] with the number of the line, [`rules::TRANSCRIPT_TOO_LONG`], a bad mechanism name.
    pub fn from_text(text: &str) -> Result<Self> {
        at_most(text.len(), FILE_MAX)?;
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(bad(1));
        }
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut header = |word: &str| {
            let (number, line) =
                lines.next().ok_or_else(|| Error::new(&rules::BAD_TRANSCRIPT).about(word))?;
            let value = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
            Ok::<_, Error>((number, value.ok_or_else(|| bad(number))?))
        };
        let mechanism = header("mechanism")?.1.parse()?;
        let (number, view) = header("view")?;
        let view = View::ALL.into_iter().find(|known| known.name() == view).ok_or_else(|| bad(number))?;
        let mut transcript = Self::new(mechanism, view);
        for (number, line) in lines {
            // An empty message leaves the word alone.
            let (word, octets) = line.split_once(' ').unwrap_or((line, ""));
            let octets = Base64::decode_vec(octets).map_err(|_| bad(number))?;
            match word {
                CLIENT => transcript.push(Side::Client, &octets)?,
                SERVER => transcript.push(Side::Server, &octets)?,
                IMPOSTOR_SECRET if transcript.messages.is_empty() && transcript.impostor_secret.is_none() => {
                    transcript = transcript.with_impostor_secret(&octets)?;
                }
                _ => return Err(bad(number)),
            }
        }
        Ok(transcript)
    }

    /// Whether a file begins as a transcript does.
    #[must_use]
    pub fn is_transcript(octets: &[u8]) -> bool {
        octets.starts_with(FIRST_LINE.as_bytes())
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => CLIENT,
        Side::Server => SERVER,
    }
}

fn bad(line: usize) -> Error {
    Error::new(&rules::BAD_TRANSCRIPT).about(format!("line {line}"))
}

pub(super) fn at_most(demanded: usize, limit: usize) -> Result<()> {
    if demanded > limit {
        return Err(Error::exceeds(&rules::TRANSCRIPT_TOO_LONG, demanded as u64, limit as u64));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Transcript {
        let mut transcript = Transcript::new("SCRAM-SHA-256".parse().unwrap(), View::ImpostorOfServer);
        transcript.push(Side::Client, b"n,,n=user,r=abc").unwrap();
        transcript.push(Side::Server, b"").unwrap();
        transcript.with_impostor_secret(&[7; 32]).unwrap()
    }

    #[test]
    fn the_file_reads_back() {
        let transcript = example();
        let text = "countersign-transcript 1\nmechanism SCRAM-SHA-256\nview impostor-of-server\n\
                    impostor-secret BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\
                    client biwsbj11c2VyLHI9YWJj\nserver\n";
        assert_eq!(transcript.to_text(), text);
        assert_eq!(Transcript::from_text(text).unwrap(), transcript);
        let commented = text.replace("client", "# of the first connection\n\nclient");
        assert_eq!(Transcript::from_text(&commented).unwrap(), transcript);
    }

    #[test]
    fn what_does_not_belong_is_refused_with_its_line() {
        let good = example().to_text();
        for (from, to, line) in [
            ("transcript 1", "transcript 2", "line 1"),
            ("countersign", "\ncountersign", "line 1"),
            ("mechanism", "mechanic", "line 2"),
            ("mechanism SCRAM-SHA-256\n", "", "line 2"),
            ("impostor-of-server", "god", "line 3"),
            ("impostor-secret BwcH", "impostor-secret *wcH", "line 4"),
            ("client", "client biws\nimpostor-secret Bwc=\nclient", "line 6"),
            ("client", "impostor-secret Bwc=\nclient", "line 5"),
            ("client", "mallory", "line 5"),
            ("client", " client", "line 5"),
            ("client ", "client  ", "line 5"),
            ("biws", "biw", "line 5"),
            ("\nserver\n", "\nserver =\n", "line 6"),
        ] {
            let error = Transcript::from_text(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.is(&rules::BAD_TRANSCRIPT), "{to}: {error}");
            assert_eq!(error.subject(), Some(line), "{to}");
        }
        for end in ["countersign-transcript 1\n", "countersign-transcript 1\nmechanism SRP\n"] {
            assert!(Transcript::from_text(end).unwrap_err().is(&rules::BAD_TRANSCRIPT));
        }
    }

    #[test]
    fn limits_hold_on_both_sides() {
        let mut transcript = Transcript::new("SRP".parse().unwrap(), View::Listener);
        transcript.push(Side::Client, &[0; MESSAGE_MAX]).unwrap();
        let error = transcript.push(Side::Client, &[0; MESSAGE_MAX + 1]).unwrap_err();
        assert!(error.is(&rules::TRANSCRIPT_TOO_LONG), "{error}");
        assert!(example().with_impostor_secret(&[0; MESSAGE_MAX]).is_ok());
        assert!(example().with_impostor_secret(&[0; MESSAGE_MAX + 1]).is_err());
        for _ in 1..MESSAGES_MAX {
            transcript.push(Side::Client, b"").unwrap();
        }
        let error = transcript.push(Side::Client, b"").unwrap_err();
        assert_eq!(error.numbers(), Some((MESSAGES_MAX as u64 + 1, MESSAGES_MAX as u64)));

        let padded = |len: usize| {
            let text = example().to_text();
            let comment = "#".repeat(len - text.len());
            Transcript::from_text(&(text + &comment))
        };
        assert!(padded(FILE_MAX).is_ok());
        assert!(padded(FILE_MAX + 1).unwrap_err().is(&rules::TRANSCRIPT_TOO_LONG));
    }
}
