//! The three messages, as `docs/sasl-pake.md` lays them out.

use super::protocol::TAG_LEN;
use super::suite::SHARE_LEN;
use crate::error::Result;
use crate::wire::{Introduction, Reader, VERSION};

const CLIENT_SHARE: u8 = 1;
const SERVER_SHARE: u8 = 2;
const CLIENT_CONFIRM: u8 = 3;

/// `ADb`: what stands before the server's share.
pub(super) const ADB: [u8; 2] = [VERSION, SERVER_SHARE];

/// The first message. Everything before the share is `ADa`.
pub(super) struct ClientShare<'a> {
    pub(super) ada: &'a [u8],
    pub(super) introduction: Introduction<'a>,
    pub(super) share: &'a [u8; SHARE_LEN],
}

impl<'a> ClientShare<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_SHARE)?;
        let introduction = Introduction::parse(&mut reader)?;
        let share = reader.array()?;
        reader.end()?;
        Ok(Self { ada: &message[..message.len() - SHARE_LEN], introduction, share })
    }

    pub(super) fn ada(introduction: &Introduction<'_>) -> Result<Vec<u8>> {
        introduction.to_message(CLIENT_SHARE)
    }
}

/// The second message.
pub(super) struct ServerShare<'a> {
    pub(super) share: &'a [u8; SHARE_LEN],
    pub(super) tag: &'a [u8; TAG_LEN],
}

impl<'a> ServerShare<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_SHARE)?;
        let (share, tag) = (reader.array()?, reader.array()?);
        reader.end()?;
        Ok(Self { share, tag })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&ADB[..], self.share, self.tag].concat()
    }
}

/// The third message.
pub(super) struct ClientConfirm<'a> {
    pub(super) tag: &'a [u8; TAG_LEN],
}

impl<'a> ClientConfirm<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_CONFIRM)?;
        let tag = reader.array()?;
        reader.end()?;
        Ok(Self { tag })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_CONFIRM], &self.tag[..]].concat()
    }
}
