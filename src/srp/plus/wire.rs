//! The four messages, as `docs/sasl-pake.md` lays them out.

use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};
use crate::srp::dialect::Hash;
use crate::srp::group::{Group, Legacy};
use crate::srp::{SALT_MAX, rules};
use crate::wire::{self, Introduction, Reader, VERSION};

pub(crate) const CLIENT_FIRST: u8 = 1;
const SERVER_FIRST: u8 = 2;
const CLIENT_SECOND: u8 = 3;
const SERVER_SECOND: u8 = 4;

/// The client's first message.
pub(crate) fn parse_client_first(message: &[u8]) -> Result<Introduction<'_>> {
    let mut reader = Reader::start(message, CLIENT_FIRST)?;
    let introduction = Introduction::parse(&mut reader)?;
    reader.end()?;
    Ok(introduction)
}

/// The server's first message.
pub(crate) struct ServerFirst<'a> {
    pub(crate) group: Group,
    pub(crate) ksf: Ksf,
    pub(crate) salt: &'a [u8],
    /// As many octets as N.
    pub(crate) b: &'a [u8],
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::start(message, SERVER_FIRST)?;
        let bits = u16::from_be_bytes(*reader.array()?);
        let group = super::check_group(Group::from_bits(bits.into(), Legacy::Refused)?)?;
        let ksf = Ksf::from_bytes(reader.array::<{ ksf::ENCODED_LEN }>()?)?;
        let salt = reader.field()?;
        if salt.len() > SALT_MAX {
            return Err(Error::new(&rules::SALT_LENGTH));
        }
        let b = exactly(reader.rest(), group.len())?;
        Ok(Self { group, ksf, salt, b })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut message = vec![VERSION, SERVER_FIRST];
        message.extend_from_slice(&(self.group.bits() as u16).to_be_bytes());
        message.extend_from_slice(&self.ksf.to_bytes());
        message.extend_from_slice(&(self.salt.len() as u16).to_be_bytes());
        message.extend_from_slice(self.salt);
        message.extend_from_slice(self.b);
        message
    }
}

/// The client's second message.
pub(crate) struct ClientSecond<'a> {
    /// As many octets as N.
    pub(crate) a: &'a [u8],
    pub(crate) m1: &'a [u8],
}

impl<'a> ClientSecond<'a> {
    pub(crate) fn parse(message: &'a [u8], group: Group, hash: Hash) -> Result<Self> {
        let rest = Reader::start(message, CLIENT_SECOND)?.rest();
        let (a, m1) = exactly(rest, group.len() + hash.output_len())?.split_at(group.len());
        Ok(Self { a, m1 })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, CLIENT_SECOND], self.a, self.m1].concat()
    }
}

/// The server's second message.
pub(crate) struct ServerSecond<'a> {
    pub(crate) m2: &'a [u8],
}

impl<'a> ServerSecond<'a> {
    pub(crate) fn parse(message: &'a [u8], hash: Hash) -> Result<Self> {
        let m2 = exactly(Reader::start(message, SERVER_SECOND)?.rest(), hash.output_len())?;
        Ok(Self { m2 })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION, SERVER_SECOND], self.m2].concat()
    }
}

fn exactly(octets: &[u8], length: usize) -> Result<&[u8]> {
    if octets.len() == length { Ok(octets) } else { Err(Error::new(&wire::rules::WRONG_LENGTH)) }
}
