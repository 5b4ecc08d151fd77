//! An endpoint that is made when it is needed.

use std::cell::{Cell, OnceCell};
use std::fmt;

use super::{Endpoint, Negotiated, rules};
use crate::error::{Error, Result};
use crate::mechanism::Side;

type Make = Box<dyn FnOnce() -> Result<Box<dyn Endpoint>> + Send>;

/// An endpoint that is made by the first call that needs it: a session that settles on another TLS method before makes no
/// certificate.
///
/// When it cannot be made, it has no certificate, and [`Endpoint::receive`] says why.
pub struct Deferred {
    side: Side,
    make: Cell<Option<Make>>,
    made: OnceCell<Result<Box<dyn Endpoint>>>,
}

impl Deferred {
    /// The endpoint that `make` makes, for that side.
    #[must_use]
    pub fn new(side: Side, make: impl FnOnce() -> Result<Box<dyn Endpoint>> + Send + 'static) -> Self {
        Self { side, make: Cell::new(Some(Box::new(make))), made: OnceCell::new() }
    }

    fn made(&self) -> Result<&dyn Endpoint> {
        let made = self.made.get_or_init(|| {
            // There is one call of this.
            let make = self.make.take().ok_or_else(|| Error::new(&rules::NOT_READY))?;
            make()
        });
        made.as_ref().map(|endpoint| &**endpoint).map_err(Clone::clone)
    }

    fn made_mut(&mut self) -> Result<&mut dyn Endpoint> {
        self.made()?;
        match self.made.get_mut() {
            Some(Ok(endpoint)) => Ok(&mut **endpoint),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::new(&rules::NOT_READY)),
        }
    }
}

impl Endpoint for Deferred {
    fn side(&self) -> Side {
        self.side
    }

    fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        self.made_mut()?.receive(ciphertext)
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        if let Ok(endpoint) = self.made_mut() {
            endpoint.transmit(out);
        }
    }

    fn is_handshaking(&self) -> bool {
        self.made().is_ok_and(Endpoint::is_handshaking)
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        if let Ok(endpoint) = self.made_mut() {
            endpoint.read(out);
        }
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        self.made_mut()?.write(plaintext)
    }

    fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<()> {
        self.made()?.export(label, context, out)
    }

    fn rekey(&mut self) -> Result<()> {
        self.made_mut()?.rekey()
    }

    fn close(&mut self) {
        if let Ok(endpoint) = self.made_mut() {
            endpoint.close();
        }
    }

    fn peer_has_closed(&self) -> bool {
        self.made().is_ok_and(Endpoint::peer_has_closed)
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.made().ok()?.negotiated()
    }

    fn certificate(&self) -> Option<&[u8]> {
        self.made().ok()?.certificate()
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        self.made().ok()?.peer_certificate()
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deferred({:?}, made: {})", self.side, self.made.get().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn failing() -> (Deferred, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let make = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(Error::new(&rules::SETUP))
        };
        (Deferred::new(Side::Client, make), calls)
    }

    #[test]
    fn nothing_is_made_before_it_is_needed() {
        let (endpoint, calls) = failing();
        assert_eq!(endpoint.side(), Side::Client);
        drop(endpoint);
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_made_is_tried_once_and_says_why() {
        let (mut endpoint, calls) = failing();
        assert!(endpoint.certificate().is_none());
        for _ in 0..2 {
            assert!(endpoint.receive(b"").unwrap_err().is(&rules::SETUP));
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    #[test]
    fn it_is_the_endpoint_that_was_made() {
        use crate::tls::Handshake;
        use crate::tls::certificate::{Config, Identity, RustlsEndpoint};
        let config = Config::new(Identity::generate().unwrap()).unwrap();
        let client = config.clone();
        let client = Deferred::new(Side::Client, move || Ok(Box::new(RustlsEndpoint::client(&client)?)));
        let server = config.clone();
        let server = Deferred::new(Side::Server, move || Ok(Box::new(RustlsEndpoint::server(&server)?)));
        let mut client = Handshake::new(Box::new(client));
        let mut server = Handshake::new(Box::new(server));
        while !(client.is_done() && server.is_done()) {
            let mut flight = Vec::new();
            client.transmit(&mut flight);
            server.receive(&flight).unwrap();
            flight.clear();
            server.transmit(&mut flight);
            client.receive(&flight).unwrap();
        }
        let (client, server) = (client.finish().unwrap(), server.finish().unwrap());
        assert!(client.binding().same_channel(server.binding()));
    }
}
