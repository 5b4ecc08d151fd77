//! The five messages, as `docs/sasl-pake.md` lays them out.

use super::{CONFIRMATION_LEN, SALT_LEN};
use crate::error::Result;
use crate::ksf::{ENCODED_LEN, Ksf};
use crate::wire::{Introduction, Reader, VERSION};

const CLIENT_IDENTITY: u8 = 1;
const SERVER_RECORD: u8 = 2;
const CLIENT_SHARE: u8 = 3;
const SERVER_SHARE: u8 = 4;
const CLIENT_CONFIRM: u8 = 5;

/// The first message.
pub(super) struct ClientIdentity;

impl ClientIdentity {
    pub(super) fn parse(message: &[u8]) -> Result<Introduction<'_>> {
        let mut reader = Reader::start(message, CLIENT_IDENTITY)?;
        let introduction = Introduction::parse(&mut reader)?;
        reader.end()?;
        Ok(introduction)
    }

    pub(super) fn to_bytes(introduction: &Introduction<'_>) -> Result<Vec<u8>> {
        introduction.to_message(CLIENT_IDENTITY)
    }
}

/// The second message: what the client needs to derive w0 and w1.
pub(super) struct ServerRecord {
    pub(super) ksf: Ksf,
    pub(super) salt: [u8; SALT_LEN],
}

impl ServerRecord {
    pub(super) fn parse(message: &[u8]) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_RECORD)?;
        let (ksf, salt) = (reader.array::<ENCODED_LEN>()?, reader.array()?);
        reader.end()?;
        Ok(Self { ksf: Ksf::from_bytes(ksf)?, salt: *salt })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, SERVER_RECORD][..], &self.ksf.to_bytes(), &self.salt].concat()
    }
}

/// The third message.
pub(super) struct ClientShare<'a> {
    pub(super) share: &'a [u8],
}

impl<'a> ClientShare<'a> {
    pub(super) fn parse(message: &'a [u8], share_len: usize) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_SHARE)?;
        let share = reader.octets(share_len)?;
        reader.end()?;
        Ok(Self { share })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_SHARE], self.share].concat()
    }
}

/// The fourth message.
pub(super) struct ServerShare<'a> {
    pub(super) share: &'a [u8],
    pub(super) confirmation: &'a [u8],
}

impl<'a> ServerShare<'a> {
    pub(super) fn parse(message: &'a [u8], share_len: usize) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_SHARE)?;
        let (share, confirmation) = (reader.octets(share_len)?, reader.array::<CONFIRMATION_LEN>()?);
        reader.end()?;
        Ok(Self { share, confirmation })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, SERVER_SHARE], self.share, self.confirmation].concat()
    }
}

/// The fifth message.
pub(super) struct ClientConfirm<'a> {
    pub(super) confirmation: &'a [u8],
}

impl<'a> ClientConfirm<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_CONFIRM)?;
        let confirmation = reader.array::<CONFIRMATION_LEN>()?;
        reader.end()?;
        Ok(Self { confirmation })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_CONFIRM], self.confirmation].concat()
    }
}
