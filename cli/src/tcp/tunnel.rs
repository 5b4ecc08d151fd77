//! Stdin and stdout joined to a tunnel over a socket: octets both ways.

use std::io;

use countersign::tls::{Tunnel, Verified, rules};
use countersign::xmpp::REKEY_OCTETS;

use super::LINGER;
use super::wire::Wire;
use crate::exit::{Exit, Failure};
use crate::talk::{AtEnd, read_stdin, write_stdout};

/// Until both directions have been closed; `rest` is what came behind the authentication.
pub(super) async fn talk(
    mut wire: Wire,
    mut tunnel: Tunnel<Verified>,
    rest: Vec<u8>,
    at_end: AtEnd,
) -> Result<(), Failure> {
    write_stdout(&rest)?;
    let mut input = read_stdin(false);
    let (mut open, mut closed) = (true, false);
    let mut since_rekey = 0;
    loop {
        let mut arrived = Vec::new();
        tunnel.read(&mut arrived);
        write_stdout(&arrived)?;
        if tunnel.peer_has_closed() {
            // What we had to say is said; nobody reads on.
            if !closed {
                tunnel.close();
                wire.flush(&mut tunnel).await?;
            }
            wire.end().await;
            return Ok(());
        }
        tokio::select! {
            chunk = input.recv(), if open => match chunk {
                Some(Ok(octets)) => {
                    since_rekey += octets.len() as u64;
                    if since_rekey >= REKEY_OCTETS {
                        tunnel.rekey()?;
                        since_rekey = 0;
                    }
                    tunnel.write(&octets)?;
                }
                Some(Err(error)) => return Err(unreadable(&error)),
                None => {
                    open = false;
                    if at_end == AtEnd::Close {
                        tunnel.close();
                        closed = true;
                    }
                }
            },
            read = wire.read() => {
                let read = read?;
                if read.is_empty() {
                    return Ok(tunnel.transport_ended()?);
                }
                if let Err(error) = tunnel.receive(&read) {
                    // The alert; what counts is the error.
                    let _ = wire.flush(&mut tunnel).await;
                    return Err(error.into());
                }
            },
            () = tokio::time::sleep(LINGER), if closed => {
                return Err(countersign::Error::new(&rules::TRUNCATED).into());
            }
        }
        wire.flush(&mut tunnel).await?;
    }
}

fn unreadable(error: &io::Error) -> Failure {
    let what = format!("cannot read stdin: {error}");
    Failure::new(Exit::Local, what, "Check what writes into the pipe.")
}
