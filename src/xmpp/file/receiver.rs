//! The side that the file is for.

use minidom::Element;

use crate::error::{Error, Result};

use super::wire::{Body, Held, Id, Message};
use super::{FileName, Hasher, Metadata, Reason, Turn, rules};

/// A transfer that failed here.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// What the sender is told, where it is told something.
    pub reply: Option<Box<Element>>,
    /// For the next file. Where there is none, the sender does not follow the protocol: end the session.
    pub next: Option<Receiver>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, reply: None, next: None }
    }
}

/// Between files.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The last transfer, 0 before the first.
    last: u32,
    /// It was refused: what belongs to it may still be on its way.
    refused: bool,
}

impl Receiver {
    /// For a tunnel in which nothing was offered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stanza of the peer: an offer, or what is on its way of a transfer that was refused, or none of ours. Files above
    /// `size_max` octets (or [`SIZE_MAX`](super::SIZE_MAX)) and names that are no [`FileName`] are refused.
    ///
    /// # Errors
    /// [`rules::TOO_LARGE`], the rules of [`FileName::new`]; [`rules::MALFORMED`], [`rules::OUT_OF_ORDER`].
    pub fn stanza(self, stanza: &Element, size_max: u64) -> Result<Turn<Self, Offer>, Refused> {
        let Some(Message { id, body }) = Message::read(stanza)? else { return Ok(Turn::Other(self)) };
        let (name, size, hash) = match body {
            Body::Offer { name, size, hash } if id.get() > self.last => (name, size, hash),
            Body::Begin(_) | Body::End | Body::Abort if self.refused && id.get() == self.last => {
                return Ok(Turn::Other(self));
            }
            other => return Err(other.out_of_order().into()),
        };
        if size > size_max {
            return Err(refused(id, Error::exceeds(&rules::TOO_LARGE, size, size_max), Reason::TooLarge));
        }
        let name = FileName::new(&name).map_err(|error| refused(id, error, Reason::Name))?;
        let file = Metadata::new(name, size, hash).map_err(|error| refused(id, error, Reason::TooLarge))?;
        Ok(Turn::Next(Offer { id, file }))
    }

    /// Octets between files.
    ///
    /// # Errors
    /// [`rules::UNEXPECTED_OCTETS`], unless the last offer was refused: its octets may have been on their way.
    pub fn octets(&self) -> Result<()> {
        if self.refused { Ok(()) } else { Err(Error::new(&rules::UNEXPECTED_OCTETS)) }
    }
}

/// The refusal of this transfer, and what the sender is told.
fn refused(id: Id, error: Error, reason: Reason) -> Refused {
    let (next, stanza) = refuse(id, reason);
    Refused { error, reply: Some(Box::new(stanza)), next: Some(next) }
}

fn refuse(id: Id, reason: Reason) -> (Receiver, Element) {
    let stanza = Message { id, body: Body::Refuse(reason.name().to_owned()) }.to_stanza();
    (Receiver { last: id.get(), refused: true }, stanza)
}

/// The sender's message for this transfer; to give up is an error.
fn of_sender(stanza: &Element, id: Id) -> Result<Option<Body>, Refused> {
    match Message::read(stanza)? {
        Some(message) if message.id != id => Err(message.body.out_of_order().into()),
        // It expects no answer.
        Some(Message { body: Body::Abort, .. }) => Err(Refused {
            error: Error::new(&rules::ABANDONED),
            reply: None,
            next: Some(Receiver { last: id.get(), refused: false }),
        }),
        message => Ok(message.map(|message| message.body)),
    }
}

/// A file is offered.
#[derive(Debug)]
pub struct Offer {
    id: Id,
    file: Metadata,
}

impl Offer {
    /// What is offered.
    #[must_use]
    pub fn file(&self) -> &Metadata {
        &self.file
    }

    /// Takes it. `held` has hashed what is there from an earlier attempt, which counts when it is not longer than the
    /// file. With the stanza to send.
    #[must_use]
    pub fn accept(self, held: Hasher) -> (Accepted, Element) {
        let Self { id, file } = self;
        let held = if held.octets() > file.size { Hasher::new() } else { held };
        let (octets, hash) = (held.octets(), Some(held.hash()).filter(|_| held.octets() > 0));
        let stanza = Message { id, body: Body::Accept(Held { octets, hash }) }.to_stanza();
        (Accepted { id, file, held }, stanza)
    }

    /// Does not take it. With the stanza to send.
    #[must_use]
    pub fn refuse(self, reason: Reason) -> (Receiver, Element) {
        refuse(self.id, reason)
    }
}

/// The sender compares what is held with its file.
#[derive(Debug)]
pub struct Accepted {
    id: Id,
    file: Metadata,
    held: Hasher,
}

impl Accepted {
    /// The sender begins. Octets before that are [`rules::UNEXPECTED_OCTETS`].
    ///
    /// # Errors
    /// [`rules::ABANDONED`], [`rules::MALFORMED`], [`rules::OUT_OF_ORDER`].
    pub fn begun(self, stanza: &Element) -> Result<Turn<Self, Receiving>, Refused> {
        let Self { id, file, held } = self;
        let hasher = match of_sender(stanza, id)? {
            None => return Ok(Turn::Other(Self { id, file, held })),
            Some(Body::Begin(0)) => Hasher::new(),
            Some(Body::Begin(offset)) if offset == held.octets() => held,
            Some(Body::Begin(_)) => return Err(Error::new(&rules::MALFORMED).about("offset").into()),
            Some(other) => return Err(other.out_of_order().into()),
        };
        Ok(Turn::Next(Receiving { id, file, resumed: hasher.octets(), hasher }))
    }
}

/// Octets come.
#[derive(Debug)]
pub struct Receiving {
    id: Id,
    file: Metadata,
    resumed: u64,
    hasher: Hasher,
}

impl Receiving {
    /// The octet of the file that comes next. At the beginning: what is held behind it does not belong to this file.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.hasher.octets()
    }

    /// Octets that were there before.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Takes octets; store them only then.
    ///
    /// # Errors
    /// [`rules::TOO_LONG`].
    pub fn take(&mut self, octets: &[u8]) -> Result<(), Refused> {
        if octets.len() as u64 > self.file.size - self.position() {
            let error = Error::new(&rules::TOO_LONG).about(self.file.name.as_str());
            return Err(refused(self.id, error, Reason::Protocol));
        }
        self.hasher.update(octets);
        Ok(())
    }

    /// Gives up, because the octets cannot be stored. With the stanza to send.
    #[must_use]
    pub fn refuse(self, reason: Reason) -> (Receiver, Element) {
        refuse(self.id, reason)
    }

    /// The sender's end.
    ///
    /// # Errors
    /// [`rules::TOO_SHORT`], [`rules::WRONG_HASH`]: throw away what is held. [`rules::ABANDONED`], [`rules::MALFORMED`],
    /// [`rules::OUT_OF_ORDER`].
    pub fn ended(self, stanza: &Element) -> Result<Turn<Self, Verified>, Refused> {
        match of_sender(stanza, self.id)? {
            None => return Ok(Turn::Other(self)),
            Some(Body::End) => {}
            Some(other) => return Err(other.out_of_order().into()),
        }
        let Self { id, file, resumed, hasher } = self;
        let about = |rule| Error::new(rule).about(file.name.as_str());
        if hasher.octets() < file.size {
            return Err(refused(id, about(&rules::TOO_SHORT), Reason::Protocol));
        }
        if hasher.hash() != file.hash {
            return Err(refused(id, about(&rules::WRONG_HASH), Reason::WrongHash));
        }
        Ok(Turn::Next(Verified { id, file, resumed }))
    }
}

/// All of it came, and has the hash that was offered.
#[derive(Debug)]
pub struct Verified {
    id: Id,
    file: Metadata,
    resumed: u64,
}

impl Verified {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Metadata {
        &self.file
    }

    /// Octets that were there before.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// It is in its place. With the stanza to send.
    #[must_use]
    pub fn stored(self) -> (Receiver, Element) {
        let stanza = Message { id: self.id, body: Body::Stored }.to_stanza();
        (Receiver { last: self.id.get(), refused: false }, stanza)
    }

    /// It could not be put in its place. With the stanza to send.
    #[must_use]
    pub fn refuse(self, reason: Reason) -> (Receiver, Element) {
        refuse(self.id, reason)
    }
}
