//! Randomness for opaque-ke, which speaks an older generation of `rand_core`.

use std::convert::Infallible;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A generator of today, as opaque-ke takes it.
pub(super) struct OldRng<'a>(pub(super) &'a mut dyn CryptoRng);

impl opaque_ke::rand::RngCore for OldRng<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

impl opaque_ke::rand::CryptoRng for OldRng<'_> {}

/// A server's draws for one login, expanded from a seed that was drawn when the mechanism was made: block `i` is
/// SHA-512 of the seed and `i` as 8 octets, big-endian.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Draws {
    seed: [u8; 32],
    block: u64,
}

impl Draws {
    pub(crate) fn new(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self { seed, block: 0 }
    }
}

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(64) {
            let hash = Sha512::new().chain_update(self.seed).chain_update(self.block.to_be_bytes());
            let block = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
            part.copy_from_slice(&block[..part.len()]);
            self.block += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws {}
