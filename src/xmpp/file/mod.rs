//! A file through a tunnel that is up, sans-I/O: stanzas and octets in, stanzas out, no disk and no clock.
//!
//! ```text
//!  sender                                              receiver
//!    <offer/>: name, size, SHA-256     ------>
//!                                      <------   <accept/>: what is there from an earlier attempt, and its hash
//!    <begin/>: from which octet        ------>
//!    ============= octets ============ ------>
//!    <end/>                            ------>
//!                                      <------   <stored/>: the hash was compared, the file is in its place
//! ```
//!
//! The sender's states are [`Offering`], [`Answered`], [`Sending`], [`Ended`] and, only behind the receiver's word that the
//! hash was right, [`Delivered`]. The receiver's are [`Receiver`] between files, [`Offer`], [`Accepted`], [`Receiving`] and,
//! only behind the comparison of the hash, [`Verified`]. Each is consumed by the call that advances it. The application
//! moves the octets: with [`Event::Bytes`](super::Event::Bytes), in pieces of any size.
//!
//! ```
//! use std::num::NonZeroU32;
//! use countersign::xmpp::file::{FileName, Hasher, Metadata, Offering, Receiver, SIZE_MAX, Turn};
//! # fn main() -> countersign::Result<()> {
//! let octets = b"not much of a file";
//! let file = Metadata::new(FileName::new("note.txt")?, octets.len() as u64, Hasher::of(octets))?;
//! let (offering, stanza) = Offering::new(NonZeroU32::MIN, file);
//!
//! // At the other end, where nothing is there yet.
//! let Ok(Turn::Next(offer)) = Receiver::new().stanza(&stanza, SIZE_MAX) else { panic!() };
//! let (accepted, stanza) = offer.accept(Hasher::new());
//!
//! let Turn::Next(answered) = offering.answered(&stanza)? else { panic!() };
//! let (mut sending, stanza) = answered.begin();
//! let Ok(Turn::Next(mut receiving)) = accepted.begun(&stanza) else { panic!() };
//!
//! sending.pass(octets)?;
//! receiving.take(octets).map_err(|refused| refused.error)?;
//!
//! let (ended, stanza) = sending.end();
//! let Ok(Turn::Next(verified)) = receiving.ended(&stanza) else { panic!() };
//! // The moment to put the file in its place.
//! let (_next, stanza) = verified.stored();
//! let Turn::Next(delivered) = ended?.verdict(&stanza)? else { panic!() };
//! assert_eq!(delivered.file().size(), 18);
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//! Everything here runs inside a verified tunnel, so the peer is known; it is not believed. A [`FileName`] is one plain
//! component, sizes are limited before anything is stored, and octets that were kept from an earlier attempt count only
//! when the sender has them too: it compares the hash that the receiver sends.
//!
//! Specified in `docs/xtls-profile.md` section 13.

mod name;
mod receiver;
pub mod rules;
mod sender;
mod wire;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, Rule};

pub use name::{FileName, NAME_MAX, PARTIAL};
pub use receiver::{Accepted, Offer, Receiver, Receiving, Refused, Verified};
pub use sender::{Answered, Delivered, Ended, Offering, Sending};

/// Largest file that is offered or taken, in octets: 1 TiB. A receiver may set a lower limit.
pub const SIZE_MAX: u64 = 1 << 40;

/// The SHA-256 of a whole file, or of its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileHash([u8; 32]);

impl FileHash {
    /// The digest.
    #[must_use]
    pub fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Hashes octets and counts them.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    state: Sha256,
    octets: u64,
}

impl Hasher {
    /// Of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash of all of it at once.
    #[must_use]
    pub fn of(octets: &[u8]) -> FileHash {
        let mut hasher = Self::new();
        hasher.update(octets);
        hasher.hash()
    }

    /// Goes on.
    pub fn update(&mut self, octets: &[u8]) {
        self.state.update(octets);
        self.octets += octets.len() as u64;
    }

    /// Octets so far.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The hash so far.
    #[must_use]
    pub fn hash(&self) -> FileHash {
        FileHash(self.state.clone().finalize().into())
    }
}

/// What an offer says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    name: FileName,
    size: u64,
    hash: FileHash,
}

impl Metadata {
    /// The name under which it is to be stored, its octets, and the SHA-256 of all of them.
    ///
    /// # Errors
    /// [`rules::TOO_LARGE`] above [`SIZE_MAX`].
    pub fn new(name: FileName, size: u64, hash: FileHash) -> Result<Self> {
        if size > SIZE_MAX {
            return Err(Error::exceeds(&rules::TOO_LARGE, size, SIZE_MAX));
        }
        Ok(Self { name, size, hash })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Octets.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-256 of all of it.
    #[must_use]
    pub fn hash(&self) -> FileHash {
        self.hash
    }
}

/// What a stanza has done to a state.
#[derive(Debug)]
#[must_use]
pub enum Turn<State, Then> {
    /// Nothing: it is none of the file transfer, a chat message perhaps.
    Other(State),
    /// It has advanced it.
    Next(Then),
}

/// Why a receiver refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Another file has this name.
    Exists,
    /// The name is not accepted.
    Name,
    /// Above the receiver's limit.
    TooLarge,
    /// The disk is full.
    NoSpace,
    /// It cannot be written.
    Storage,
    /// A person said no.
    Declined,
    /// This side takes no files.
    NotReceiving,
    /// The same file is on its way in another session.
    Busy,
    /// All of it came, and it is another file.
    WrongHash,
    /// The sender does not follow the protocol.
    Protocol,
}

impl Reason {
    const ALL: [(Self, &'static str, &'static Rule); 10] = [
        (Self::Exists, "exists", &rules::EXISTS),
        (Self::Name, "name", &rules::NAME_DECLINED),
        (Self::TooLarge, "too-large", &rules::SIZE_DECLINED),
        (Self::NoSpace, "no-space", &rules::NO_SPACE),
        (Self::Storage, "storage", &rules::NOT_STORED),
        (Self::Declined, "declined", &rules::DECLINED),
        (Self::NotReceiving, "not-receiving", &rules::NOT_RECEIVING),
        (Self::Busy, "busy", &rules::BUSY),
        (Self::WrongHash, "wrong-hash", &rules::HASH_DISPUTED),
        (Self::Protocol, "protocol", &rules::PROTOCOL_DISPUTED),
    ];

    /// The name of the element that stands for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let row = Self::ALL.iter().find(|(reason, ..)| *reason == self);
        row.expect("the table has every reason").1
    }

    /// What it is to the sender.
    fn error(name: &str) -> Error {
        match Self::ALL.iter().find(|(_, known, _)| *known == name) {
            Some((.., rule)) => Error::new(rule),
            None => Error::new(&rules::REFUSED).about(name),
        }
    }
}

#[cfg(test)]
mod tests;
