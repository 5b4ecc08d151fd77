//! The three messages, as `docs/sasl-pake.md` lays them out.

use super::{KE1_LEN, KE2_LEN, KE3_LEN};
use crate::error::Result;
use crate::ksf::{ENCODED_LEN, Ksf};
use crate::wire::{Introduction, Reader, VERSION};

const CLIENT_EXCHANGE: u8 = 1;
const SERVER_EXCHANGE: u8 = 2;
const CLIENT_CONFIRM: u8 = 3;

/// The first message.
pub(super) struct ClientExchange<'a> {
    pub(super) introduction: Introduction<'a>,
    pub(super) ke1: &'a [u8; KE1_LEN],
}

impl<'a> ClientExchange<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_EXCHANGE)?;
        let introduction = Introduction::parse(&mut reader)?;
        let ke1 = reader.array()?;
        reader.end()?;
        Ok(Self { introduction, ke1 })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut message = self.introduction.to_message(CLIENT_EXCHANGE)?;
        message.extend_from_slice(self.ke1);
        Ok(message)
    }
}

/// The second message.
pub(super) struct ServerExchange<'a> {
    pub(super) ksf: Ksf,
    pub(super) ke2: &'a [u8; KE2_LEN],
}

impl<'a> ServerExchange<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_EXCHANGE)?;
        let (ksf, ke2) = (reader.array::<ENCODED_LEN>()?, reader.array()?);
        reader.end()?;
        Ok(Self { ksf: Ksf::from_bytes(ksf)?, ke2 })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, SERVER_EXCHANGE][..], &self.ksf.to_bytes(), self.ke2].concat()
    }
}

/// The third message.
pub(super) struct ClientConfirm<'a> {
    pub(super) ke3: &'a [u8; KE3_LEN],
}

impl<'a> ClientConfirm<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, CLIENT_CONFIRM)?;
        let ke3 = reader.array()?;
        reader.end()?;
        Ok(Self { ke3 })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_CONFIRM], &self.ke3[..]].concat()
    }
}
