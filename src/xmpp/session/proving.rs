//! A TLS handshake that is the authentication.

use crate::error::{Error, Result};
use crate::guess::Running;
use crate::mechanism::{Side, Step};
use crate::tls::{TlsMechanism, Tunnel, Verified};

use super::rules;

/// One side of the handshake, until it has proven who is there.
pub(super) struct Proving {
    mechanism: Box<dyn TlsMechanism>,
    /// Who must have been proven.
    identity: String,
    guess: Running,
    out: Vec<u8>,
}

/// What came of some octets.
pub(super) enum Progress {
    /// More have to come.
    Waits(Box<Proving>),
    /// The peer is who it must be.
    Proven(Tunnel<Verified>),
}

impl Proving {
    /// Starts; the client's first flight waits to be transmitted.
    ///
    /// # Errors
    /// As the mechanism.
    pub(super) fn start(
        side: Side,
        mut mechanism: Box<dyn TlsMechanism>,
        identity: String,
        guess: Running,
    ) -> Result<Box<Self>> {
        let mut out = Vec::new();
        if side == Side::Client {
            match mechanism.step(&[])? {
                Step::Continue(flight) => out = flight,
                Step::Finished { .. } => return Err(Error::new(&rules::OUT_OF_ORDER)),
            }
        }
        Ok(Box::new(Self { mechanism, identity, guess, out }))
    }

    /// Appends what waits to be sent; from now on the peer may have tested a password with it.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) {
        if !self.out.is_empty() {
            self.guess.answer();
            out.append(&mut self.out);
        }
    }

    /// Takes ciphertext. What has to be sent although this end of it is over, a last flight or an alert, is appended to
    /// `last`.
    ///
    /// # Errors
    /// As the mechanism; [`rules::OTHER_IDENTITY`].
    pub(super) fn receive(mut self: Box<Self>, ciphertext: &[u8], last: &mut Vec<u8>) -> Result<Progress> {
        let step = self.mechanism.step(ciphertext).inspect_err(|_| {
            // An answer too: the peer learns that its proof was wrong.
            self.guess.answer();
            last.append(&mut self.out);
            last.extend(self.mechanism.failure_reply().unwrap_or_default());
        })?;
        match step {
            Step::Continue(flight) => {
                self.out.extend(flight);
                Ok(Progress::Waits(self))
            }
            Step::Finished { reply, outcome } => {
                self.guess.confirmed(&outcome);
                last.append(&mut self.out);
                last.extend(reply.unwrap_or_default());
                if outcome.authcid() != self.identity {
                    return Err(Error::new(&rules::OTHER_IDENTITY).about(outcome.authcid()));
                }
                self.mechanism.into_tunnel(outcome).map(Progress::Proven)
            }
        }
    }
}
