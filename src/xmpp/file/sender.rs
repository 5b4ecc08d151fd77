//! The side that has the file.

use minidom::Element;

use crate::error::{Error, Result};

use super::wire::{Body, Held, Id, Message};
use super::{Hasher, Metadata, Reason, Turn, rules};

/// The message for us in a stanza; a refusal is an error.
fn for_us(stanza: &Element, id: Id) -> Result<Option<Body>> {
    match Message::read(stanza)? {
        Some(message) if message.id != id => Err(message.body.out_of_order()),
        Some(Message { body: Body::Refuse(reason), .. }) => Err(Reason::error(&reason)),
        message => Ok(message.map(|message| message.body)),
    }
}

/// Offered, and not answered yet.
#[derive(Debug)]
pub struct Offering {
    id: Id,
    file: Metadata,
}

impl Offering {
    /// With the stanza to send. `id` numbers the transfers of this direction of the tunnel: each is greater than the one
    /// before.
    #[must_use]
    pub fn new(id: Id, file: Metadata) -> (Self, Element) {
        let (name, size, hash) = (file.name.as_str().to_owned(), file.size, file.hash);
        let stanza = Message { id, body: Body::Offer { name, size, hash } }.to_stanza();
        (Self { id, file }, stanza)
    }

    /// The receiver's answer.
    ///
    /// # Errors
    /// The rule of the receiver's reason when it refuses, [`rules::REFUSED`] where that has a name of its own;
    /// [`rules::MALFORMED`], [`rules::OUT_OF_ORDER`].
    pub fn answered(self, stanza: &Element) -> Result<Turn<Self, Answered>> {
        match for_us(stanza, self.id)? {
            None => Ok(Turn::Other(self)),
            Some(Body::Accept(held)) if held.octets <= self.file.size => {
                Ok(Turn::Next(Answered { id: self.id, file: self.file, held, own: Hasher::new() }))
            }
            Some(Body::Accept(_)) => Err(Error::new(&rules::MALFORMED).about("offset")),
            Some(other) => Err(other.out_of_order()),
        }
    }
}

/// The receiver waits, and says what it has from an earlier attempt.
#[derive(Debug)]
pub struct Answered {
    id: Id,
    file: Metadata,
    held: Held,
    own: Hasher,
}

impl Answered {
    /// How many octets the receiver has already. Hand as many from the beginning of the file to [`Answered::compare`].
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.octets
    }

    /// Takes octets from the beginning of the file.
    pub fn compare(&mut self, octets: &[u8]) {
        self.own.update(octets);
    }

    /// Goes on after what the receiver has, when that is the beginning of this file; else from the first octet. With the
    /// stanza to send.
    #[must_use]
    pub fn begin(self) -> (Sending, Element) {
        let Self { id, file, held, own } = self;
        let same = own.octets() == held.octets && held.hash == Some(own.hash());
        let hasher = if same { own } else { Hasher::new() };
        let resumed = hasher.octets();
        let stanza = Message { id, body: Body::Begin(resumed) }.to_stanza();
        (Sending { id, file, resumed, hasher, grown: false }, stanza)
    }
}

/// Octets pass.
#[derive(Debug)]
pub struct Sending {
    id: Id,
    file: Metadata,
    resumed: u64,
    hasher: Hasher,
    /// There was more than was offered.
    grown: bool,
}

impl Sending {
    /// The octet of the file that is to be sent next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.hasher.octets()
    }

    /// Octets that were there before.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Notes octets that are sent.
    ///
    /// # Errors
    /// [`rules::CHANGED`] when there are more than the file had when it was offered: do not send them, but
    /// [`Sending::end`].
    pub fn pass(&mut self, octets: &[u8]) -> Result<()> {
        if octets.len() as u64 > self.file.size - self.position() {
            self.grown = true;
            return Err(Error::new(&rules::CHANGED).about(self.file.name.as_str()));
        }
        self.hasher.update(octets);
        Ok(())
    }

    /// A stanza that comes in between: the receiver may give up.
    ///
    /// # Errors
    /// As [`Offering::answered`].
    pub fn interrupted(self, stanza: &Element) -> Result<Self> {
        match for_us(stanza, self.id)? {
            None => Ok(self),
            Some(other) => Err(other.out_of_order()),
        }
    }

    /// After the last octet, or when there are no more. With the stanza to send in either case.
    ///
    /// # Errors
    /// [`rules::CHANGED`] when what was sent is not what was offered; the receiver is told to throw it away.
    #[must_use = "the receiver waits for the stanza"]
    pub fn end(self) -> (Result<Ended>, Element) {
        let Self { id, file, resumed, hasher, grown } = self;
        let same = !grown && hasher.octets() == file.size && hasher.hash() == file.hash;
        let body = if same { Body::End } else { Body::Abort };
        let stanza = Message { id, body }.to_stanza();
        let error = || Error::new(&rules::CHANGED).about(file.name.as_str());
        let ended = if same { Ok(Ended { id, file, resumed }) } else { Err(error()) };
        (ended, stanza)
    }
}

/// All octets are sent; the receiver compares.
#[derive(Debug)]
pub struct Ended {
    id: Id,
    file: Metadata,
    resumed: u64,
}

impl Ended {
    /// The receiver's verdict.
    ///
    /// # Errors
    /// As [`Offering::answered`].
    pub fn verdict(self, stanza: &Element) -> Result<Turn<Self, Delivered>> {
        match for_us(stanza, self.id)? {
            None => Ok(Turn::Other(self)),
            Some(Body::Stored) => Ok(Turn::Next(Delivered { file: self.file, resumed: self.resumed })),
            Some(other) => Err(other.out_of_order()),
        }
    }
}

/// The receiver has found the same hash and stored the file.
#[derive(Debug)]
pub struct Delivered {
    file: Metadata,
    resumed: u64,
}

impl Delivered {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Metadata {
        &self.file
    }

    /// Octets that were there from an earlier attempt, and not sent again.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }
}
