//! The encodings and the four messages of draft-burdis-cat-srp-sasl-08 sections 3 and 4.

use crate::error::{Error, Result};
use crate::srp::group::minimal;
use crate::srp::rules;

/// Longest octet sequence (`os`).
const OS_MAX: usize = 255;

/// Longest number (`mpi`) and text (`utf8`).
const LONG_MAX: usize = 65_535;

/// First octet of a server's answer with new values, and of one that goes on with an old session.
const NEW: u8 = 0x00;
const REUSE: u8 = 0xff;

/// The client's first message.
#[derive(Debug)]
pub(crate) struct ClientFirst<'a> {
    /// U.
    pub(crate) authcid: &'a str,
    /// I: empty or equal to U when the client acts as itself.
    pub(crate) authzid: &'a str,
    /// The session to go on with; we have none.
    pub(crate) sid: &'a str,
    pub(crate) cn: &'a [u8],
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::buffer(message)?;
        let parsed =
            Self { authcid: reader.utf8()?, authzid: reader.utf8()?, sid: reader.utf8()?, cn: reader.os()? };
        reader.end()?;
        if parsed.authcid.is_empty() {
            return Err(Error::new(&rules::BAD_MESSAGE));
        }
        Ok(parsed)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let buffer = Builder::new().utf8(self.authcid)?.utf8(self.authzid)?.utf8(self.sid)?;
        Ok(buffer.os(self.cn)?.finish())
    }
}

/// The server's first message.
#[derive(Debug)]
pub(crate) struct ServerFirst<'a> {
    pub(crate) modulus: &'a [u8],
    pub(crate) generator: &'a [u8],
    pub(crate) salt: &'a [u8],
    pub(crate) b: &'a [u8],
    /// L.
    pub(crate) options: &'a str,
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::buffer(message)?;
        match reader.take(1)? {
            [NEW] => {}
            [REUSE] => return Err(Error::new(&rules::SESSION_REUSE)),
            _ => return Err(Error::new(&rules::BAD_MESSAGE)),
        }
        let parsed = Self {
            modulus: reader.mpi()?,
            generator: reader.mpi()?,
            salt: reader.os()?,
            b: reader.mpi()?,
            options: reader.utf8()?,
        };
        reader.end()?;
        Ok(parsed)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let buffer = Builder::new().octet(NEW).mpi(self.modulus)?.mpi(self.generator)?;
        Ok(buffer.os(self.salt)?.mpi(self.b)?.utf8(self.options)?.finish())
    }
}

/// The client's second message.
#[derive(Debug)]
pub(crate) struct ClientSecond<'a> {
    pub(crate) a: &'a [u8],
    pub(crate) m1: &'a [u8],
    /// o.
    pub(crate) options: &'a str,
    pub(crate) iv: &'a [u8],
}

impl<'a> ClientSecond<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::buffer(message)?;
        let parsed = Self { a: reader.mpi()?, m1: reader.os()?, options: reader.utf8()?, iv: reader.os()? };
        reader.end()?;
        Ok(parsed)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(Builder::new().mpi(self.a)?.os(self.m1)?.utf8(self.options)?.os(self.iv)?.finish())
    }
}

/// The server's second message.
#[derive(Debug)]
pub(crate) struct ServerSecond<'a> {
    pub(crate) m2: &'a [u8],
    pub(crate) iv: &'a [u8],
    pub(crate) sid: &'a str,
    /// Seconds for which the session may be used again.
    pub(crate) ttl: u32,
}

impl<'a> ServerSecond<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::buffer(message)?;
        let parsed = Self { m2: reader.os()?, iv: reader.os()?, sid: reader.utf8()?, ttl: reader.uint()? };
        reader.end()?;
        Ok(parsed)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(Builder::new().os(self.m2)?.os(self.iv)?.utf8(self.sid)?.uint(self.ttl).finish())
    }
}

/// Reads a buffer from its front.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `{...}`: 4 octets of length, then exactly as many octets.
    pub(crate) fn buffer(message: &'a [u8]) -> Result<Self> {
        let mut reader = Self(message);
        let length = reader.uint()?;
        if u64::from(length) != reader.0.len() as u64 {
            return Err(Error::new(&rules::BAD_MESSAGE));
        }
        Ok(reader)
    }

    pub(crate) fn mpi(&mut self) -> Result<&'a [u8]> {
        let length = self.length_16()?;
        let number = self.take(length)?;
        if number.first() == Some(&0) {
            return Err(Error::new(&rules::BAD_MESSAGE));
        }
        Ok(number)
    }

    pub(crate) fn os(&mut self) -> Result<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    pub(crate) fn utf8(&mut self) -> Result<&'a str> {
        let length = self.length_16()?;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(Error::new(&rules::BAD_MESSAGE)),
        }
    }

    pub(crate) fn uint(&mut self) -> Result<u32> {
        let octets = self.take(4)?;
        Ok(octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    pub(crate) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::new(&rules::BAD_MESSAGE)) }
    }

    fn length_16(&mut self) -> Result<usize> {
        let octets = self.take(2)?;
        Ok(usize::from(octets[0]) << 8 | usize::from(octets[1]))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| Error::new(&rules::BAD_MESSAGE))?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Writes a buffer.
pub(crate) struct Builder(Vec<u8>);

impl Builder {
    pub(crate) fn new() -> Self {
        // The length comes last.
        Self(vec![0; 4])
    }

    fn octet(mut self, octet: u8) -> Self {
        self.0.push(octet);
        self
    }

    pub(crate) fn mpi(self, number: &[u8]) -> Result<Self> {
        self.long(minimal(number))
    }

    pub(crate) fn utf8(self, text: &str) -> Result<Self> {
        self.long(text.as_bytes())
    }

    pub(crate) fn os(mut self, octets: &[u8]) -> Result<Self> {
        within(octets.len(), OS_MAX)?;
        self.0.push(octets.len() as u8);
        self.0.extend_from_slice(octets);
        Ok(self)
    }

    pub(crate) fn uint(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }

    fn long(mut self, octets: &[u8]) -> Result<Self> {
        within(octets.len(), LONG_MAX)?;
        self.0.extend_from_slice(&(octets.len() as u16).to_be_bytes());
        self.0.extend_from_slice(octets);
        Ok(self)
    }
}

fn within(length: usize, limit: usize) -> Result<()> {
    if length > limit {
        return Err(Error::exceeds(&rules::FIELD_TOO_LONG, length as u64, limit as u64));
    }
    Ok(())
}
