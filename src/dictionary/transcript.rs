//! What an attacker saw of one exchange, and the file it is kept in (`docs/offline-cost.md`, Transcripts).

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

use super::{Situation, rules};
use crate::error::{Error, Result};
use crate::mechanism::{MESSAGE_MAX, MechanismName, Side};

/// Most octets of a transcript file, or of a capture.
pub const FILE_MAX: usize = 1024 * 1024;

/// Most messages of a transcript.
pub const MESSAGES_MAX: usize = 32;

const TYPE: &str = "countersign-transcript";
const VERSION: u64 = 1;

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

    /// The file's text: a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let messages = self.messages.iter().map(
            |(from, message)| json!({ "from": side_name(*from), "data": Base64::encode_string(message) }),
        );
        let mut file = json!({
            "type": TYPE,
            "version": VERSION,
            "mechanism": self.mechanism.as_str(),
            "view": self.view.name(),
            "messages": messages.collect::<Vec<_>>(),
        });
        if let Some(secret) = &self.impostor_secret {
            file["impostor_secret"] = Base64::encode_string(secret).into();
        }
        format!("{file:#}\n")
    }

    /// Reads what [`Transcript::to_json`] wrote. Unknown members are refused.
    ///
    /// # Errors
    /// [`rules::BAD_TRANSCRIPT`] with the member's name, [`rules::TRANSCRIPT_TOO_LONG`], a bad mechanism name.
    pub fn from_json(text: &str) -> Result<Self> {
        at_most(text.len(), FILE_MAX)?;
        let file = serde_json::from_str::<Map<String, Value>>(text).map_err(|_| bad("not a JSON object"))?;
        let members = ["type", "version", "mechanism", "view", "messages", "impostor_secret"];
        only(&file, &members)?;
        if string(&file, "type")? != TYPE || file.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(bad("type or version"));
        }
        let view = string(&file, "view")?;
        let view = View::ALL.into_iter().find(|known| known.name() == view).ok_or_else(|| bad("view"))?;
        let mut transcript = Self::new(string(&file, "mechanism")?.parse()?, view);
        let messages = file.get("messages").and_then(Value::as_array).ok_or_else(|| bad("messages"))?;
        at_most(messages.len(), MESSAGES_MAX)?;
        for message in messages {
            let message = message.as_object().ok_or_else(|| bad("messages"))?;
            only(message, &["from", "data"])?;
            let from = match string(message, "from")? {
                "client" => Side::Client,
                "server" => Side::Server,
                _ => return Err(bad("from")),
            };
            transcript.push(from, &octets(message, "data")?)?;
        }
        if file.contains_key("impostor_secret") {
            transcript = transcript.with_impostor_secret(&octets(&file, "impostor_secret")?)?;
        }
        Ok(transcript)
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn only(object: &Map<String, Value>, members: &[&str]) -> Result<()> {
    match object.keys().find(|member| !members.contains(&member.as_str())) {
        Some(member) => Err(bad(member)),
        None => Ok(()),
    }
}

fn string<'a>(object: &'a Map<String, Value>, member: &str) -> Result<&'a str> {
    object.get(member).and_then(Value::as_str).ok_or_else(|| bad(member))
}

fn octets(object: &Map<String, Value>, member: &str) -> Result<Vec<u8>> {
    Base64::decode_vec(string(object, member)?).map_err(|_| bad(member))
}

fn bad(member: &str) -> Error {
    Error::new(&rules::BAD_TRANSCRIPT).about(member)
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
        assert_eq!(Transcript::from_json(&transcript.to_json()).unwrap(), transcript);
    }

    #[test]
    fn what_does_not_belong_is_refused_by_name() {
        let good = example().to_json();
        for (from, to, member) in [
            ("countersign-transcript", "other", "type or version"),
            ("\"version\": 1", "\"version\": 2", "type or version"),
            ("\"view\"", "\"seen\"", "seen"),
            ("impostor-of-server", "god", "view"),
            ("\"from\": \"client\"", "\"from\": \"mallory\"", "from"),
            ("\"from\"", "\"by\"", "by"),
            ("bixm", "bixm*", "data"),
            ("bixm", "bix", "data"),
            ("{\n", "[\n", "not a JSON object"),
        ] {
            let text = good.replace("\"data\": \"biws", "\"data\": \"bixm").replace(from, to);
            let error = Transcript::from_json(&text).unwrap_err();
            assert!(error.is(&rules::BAD_TRANSCRIPT), "{to}: {error}");
            assert_eq!(error.subject(), Some(member), "{to}");
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
            let text = example().to_json();
            let spaces = " ".repeat(len - text.len());
            Transcript::from_json(&(text + &spaces))
        };
        assert!(padded(FILE_MAX).is_ok());
        assert!(padded(FILE_MAX + 1).unwrap_err().is(&rules::TRANSCRIPT_TOO_LONG));
    }
}
