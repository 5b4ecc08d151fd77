//! The slow password hash, many times over: its memory is taken once.

use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::work::{GuessWork, Unit};
use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};

/// Candidates for each call where a guess is a slow hash: enough that the memory's first use does not count.
pub(super) const BATCH: usize = 8;

/// A slow hash with its memory.
pub(super) struct Stretch {
    ksf: Ksf,
    argon2: Option<Argon2<'static>>,
    memory: Vec<Block>,
}

impl Stretch {
    /// For outputs of `len` octets.
    pub(super) fn new(ksf: Ksf, len: usize) -> Result<Self> {
        let work = GuessWork::stretching(ksf, len);
        let &[(Unit::Argon2id { memory, passes, lanes }, _)] = work.parts() else {
            return Ok(Self { ksf, argon2: None, memory: Vec::new() });
        };
        let params = Params::new(memory, passes, lanes, Some(len))
            .map_err(|_| Error::new(&ksf::rules::BAD_PARAMETERS))?;
        let count = params.block_count();
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| Error::new(&ksf::rules::NO_MEMORY))?;
        blocks.resize(count, Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { ksf, argon2: Some(argon2), memory: blocks })
    }

    pub(super) fn run(&mut self, password: &[u8], salt: &[u8], output: &mut [u8]) -> Result<()> {
        match &self.argon2 {
            Some(argon2) => argon2
                .hash_password_into_with_memory(password, salt, output, &mut self.memory)
                .map_err(|_| Error::new(&ksf::rules::BAD_PARAMETERS)),
            None => self.ksf.stretch_into(password, salt, output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_memory_does_not_change_the_hash() {
        for ksf in [
            Ksf::CHEAPEST,
            Ksf::argon2id(64, 2, 2).unwrap(),
            Ksf::scrypt(4, 1, 1).unwrap(),
            Ksf::pbkdf2(1000).unwrap(),
        ] {
            let mut stretch = Stretch::new(ksf, 40).unwrap();
            for password in [&b"a"[..], b"b", b"a"] {
                let (mut reused, mut fresh) = ([0; 40], [0; 40]);
                stretch.run(password, b"eight octets", &mut reused).unwrap();
                ksf.stretch_into(password, b"eight octets", &mut fresh).unwrap();
                assert_eq!(reused, fresh);
            }
        }
    }
}
