//! An XMPP stream on tokio: items in, octets out. Used by the client and by the demo server.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::{Error, Result, Rule};

use super::Limits;
use super::stream::{Item, Parser};

/// Octets read from the socket at once.
const READ_SIZE: usize = 8 * 1024;

/// The reading half of a stream.
pub(crate) struct Incoming<R> {
    io: R,
    limits: Limits,
    parser: Parser,
    buffer: Box<[u8; READ_SIZE]>,
    /// What of `buffer` the parser has not seen.
    unread: std::ops::Range<usize>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(crate) fn new(io: R, limits: Limits) -> Self {
        let parser = Parser::new(&limits);
        Self { io, limits, parser, buffer: Box::new([0; READ_SIZE]), unread: 0..0 }
    }

    /// The next item, or `None` at the end of the connection. Cancel safe.
    pub(crate) async fn next(&mut self, broken: &'static Rule) -> Result<Option<Item>> {
        loop {
            let mut octets = &self.buffer[self.unread.clone()];
            let item = self.parser.read(&mut octets);
            self.unread.start = self.unread.end - octets.len();
            if let Some(item) = item? {
                return Ok(Some(item));
            }
            let length =
                self.io.read(&mut self.buffer[..]).await.map_err(|error| io_error(broken, &error))?;
            self.unread = 0..length;
            if length == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether octets were read that no item was made of.
    #[cfg(feature = "client-tls")]
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Expects a new header, as after SASL.
    pub(crate) fn restart(&mut self) {
        self.parser = Parser::new(&self.limits);
    }
}

/// Writes everything within `limit`. Not cancel safe: octets may be half sent.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    io: &mut W,
    octets: &[u8],
    limit: Duration,
    (late, broken): (&'static Rule, &'static Rule),
) -> Result<()> {
    let writing = async {
        io.write_all(octets).await?;
        io.flush().await
    };
    match timeout(limit, writing).await {
        Err(_) => Err(Error::new(late)),
        Ok(result) => result.map_err(|error| io_error(broken, &error)),
    }
}

/// An operating-system error under one of our rules, with its name as the subject.
pub(crate) fn io_error(rule: &'static Rule, error: &std::io::Error) -> Error {
    Error::new(rule).about(error.to_string())
}
