//! The socket, and a TLS handshake over it.

use std::io;

use countersign::Side;
use countersign::mechanism::Step;
use countersign::tls::{Handshake, TlsMechanism, Tunnel, Unverified, Verified, rules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit::{Exit, Failure};

/// Octets read at once.
const CHUNK: usize = 16 * 1024;

pub(super) struct Wire(TcpStream);

impl Wire {
    pub(super) fn new(socket: TcpStream) -> Result<Self, Failure> {
        // Handshakes are small and wait for answers.
        socket.set_nodelay(true).map_err(|error| broken(&error))?;
        Ok(Self(socket))
    }

    /// What has come; nothing at the end.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let mut chunk = vec![0; CHUNK];
        match self.0.read(&mut chunk).await {
            Ok(taken) => {
                chunk.truncate(taken);
                Ok(chunk)
            }
            // TLS says whether something is missing.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(vec![]),
            Err(error) => Err(broken(&error)),
        }
    }

    /// As [`Wire::read`], where the end would be too early.
    async fn read_more(&mut self) -> Result<Vec<u8>, Failure> {
        let read = self.read().await?;
        if read.is_empty() { Err(countersign::Error::new(&rules::TRUNCATED).into()) } else { Ok(read) }
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.0.write_all(octets).await.map_err(|error| broken(&error))
    }

    /// Says that nothing more will be written. Who is gone need not hear it.
    pub(super) async fn end(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// A handshake that is the authentication.
    pub(super) async fn prove(
        &mut self,
        mut mechanism: Box<dyn TlsMechanism>,
        side: Side,
    ) -> Result<Tunnel<Verified>, Failure> {
        let mut input = match side {
            Side::Client => vec![],
            Side::Server => self.read_more().await?,
        };
        loop {
            match mechanism.step(&input) {
                Ok(Step::Continue(flight)) => self.write(&flight).await?,
                Ok(Step::Finished { reply, outcome }) => {
                    self.write(&reply.unwrap_or_default()).await?;
                    return Ok(mechanism.into_tunnel(outcome)?);
                }
                Err(error) => {
                    // The alert; what counts is the error.
                    let _ = self.write(&mechanism.failure_reply().unwrap_or_default()).await;
                    self.end().await;
                    return Err(error.into());
                }
            }
            input = self.read_more().await?;
        }
    }

    /// A handshake that authenticates nobody.
    pub(super) async fn shake_hands(
        &mut self,
        mut handshake: Handshake,
    ) -> Result<Tunnel<Unverified>, Failure> {
        loop {
            let mut flight = Vec::new();
            handshake.transmit(&mut flight);
            self.write(&flight).await?;
            if handshake.is_done() {
                return Ok(handshake.finish()?);
            }
            let input = self.read_more().await?;
            if let Err(error) = handshake.receive(&input) {
                let mut alert = Vec::new();
                handshake.transmit(&mut alert);
                let _ = self.write(&alert).await;
                return Err(error.into());
            }
        }
    }

    /// Sends what waits in the tunnel.
    pub(super) async fn flush<State>(&mut self, tunnel: &mut Tunnel<State>) -> Result<(), Failure> {
        let mut ciphertext = Vec::new();
        tunnel.transmit(&mut ciphertext);
        if ciphertext.is_empty() { Ok(()) } else { self.write(&ciphertext).await }
    }

    /// Feeds the tunnel with what comes next.
    pub(super) async fn fill<State>(&mut self, tunnel: &mut Tunnel<State>) -> Result<(), Failure> {
        let input = self.read_more().await?;
        Ok(tunnel.receive(&input)?)
    }
}

fn broken(error: &io::Error) -> Failure {
    let advice = "Treat what came as incomplete, and connect again.";
    Failure::new(Exit::Truncated, format!("the connection is gone: {error}"), advice)
}
