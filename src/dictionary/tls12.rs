//! TLS 1.2 with a PSK (RFC 4279, RFC 5489): the client's Finished under keys made from the PSK and, at most, a
//! Diffie-Hellman secret that an impostor of the server knows.
//!
//! The first 16 octets of the client's first encrypted message are the header of Finished and its value. Their
//! decryption filters the guesses; the value itself is computed for the one in 2^32 that passes.

use std::ops::Range;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};
use aes::{Aes128, Aes256, Block};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};

use super::capture::{
    CLIENT_HELLO, CLIENT_KEY_EXCHANGE, Capture, EXTENSION_EXTENDED_MASTER_SECRET, Hello, SERVER_HELLO,
};
use super::lanes::{PrfOutputs, tls12_prf_many};
use super::work::{GuessWork, Unit, blocks, hmac};
use super::{Exposure, Found, Oracle, Situation, Verdict, batch, rules};
use crate::error::{Error, Result};

/// Longest PSK that is tried, in octets (RFC 4279 section 5.3 asks implementations for 64).
const PSK_MAX: usize = 65_535;

const BATCH: usize = 256;

/// Header of a Finished message with its 12 octets.
const FINISHED_HEADER: [u8; 4] = [20, 0, 0, FINISHED_LEN as u8];

/// Octets of its value (RFC 5246 section 7.4.9).
const FINISHED_LEN: usize = 12;

const MASTER_LEN: usize = 48;

const DIFFIE_HELLMAN: &str = "The PSK is mixed with a Diffie-Hellman secret that a listener does not know; an impostor of the server can test it.";

/// How the premaster secret is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyExchange {
    Plain,
    DiffieHellman,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Gcm,
    Ccm,
    ChaCha20,
    /// With this many octets of MAC key.
    Cbc(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prf {
    Sha256,
    Sha384,
}

#[derive(Clone, Copy, Debug)]
struct Suite {
    key_exchange: KeyExchange,
    prf: Prf,
    key_len: usize,
    mode: Mode,
}

impl Suite {
    /// RFC 4279, 4785, 5487, 5489, 6655, 7905, 8442.
    fn find(number: u16) -> Option<Self> {
        use KeyExchange::{DiffieHellman, Plain};
        use Prf::{Sha256, Sha384};
        let (key_exchange, prf, key_len, mode) = match number {
            0x008c => (Plain, Sha256, 16, Mode::Cbc(20)),
            0x008d => (Plain, Sha256, 32, Mode::Cbc(20)),
            0x00a8 => (Plain, Sha256, 16, Mode::Gcm),
            0x00a9 => (Plain, Sha384, 32, Mode::Gcm),
            0x00ae => (Plain, Sha256, 16, Mode::Cbc(32)),
            0x00af => (Plain, Sha384, 32, Mode::Cbc(48)),
            0xc0a4 | 0xc0a8 => (Plain, Sha256, 16, Mode::Ccm),
            0xc0a5 | 0xc0a9 => (Plain, Sha256, 32, Mode::Ccm),
            0x0090 | 0xc035 => (DiffieHellman, Sha256, 16, Mode::Cbc(20)),
            0x0091 | 0xc036 => (DiffieHellman, Sha256, 32, Mode::Cbc(20)),
            0x00aa | 0xd001 => (DiffieHellman, Sha256, 16, Mode::Gcm),
            0x00ab | 0xd002 => (DiffieHellman, Sha384, 32, Mode::Gcm),
            0x00b2 | 0xc037 => (DiffieHellman, Sha256, 16, Mode::Cbc(32)),
            0x00b3 | 0xc038 => (DiffieHellman, Sha384, 32, Mode::Cbc(48)),
            0xc0a6 | 0xc0aa | 0xd003 | 0xd005 => (DiffieHellman, Sha256, 16, Mode::Ccm),
            0xc0a7 | 0xc0ab => (DiffieHellman, Sha256, 32, Mode::Ccm),
            0xccab => (Plain, Sha256, 32, Mode::ChaCha20),
            0xccac | 0xccad => (DiffieHellman, Sha256, 32, Mode::ChaCha20),
            _ => return None,
        };
        Some(Self { key_exchange, prf, key_len, mode })
    }

    /// Where in the key block the client's key begins, and where its fixed part of the nonce is.
    fn places(self) -> (usize, Range<usize>) {
        let nonce = 2 * self.key_len;
        match self.mode {
            Mode::Cbc(mac_len) => (2 * mac_len, 0..0),
            Mode::Gcm | Mode::Ccm => (0, nonce..nonce + 4),
            Mode::ChaCha20 => (0, nonce..nonce + 12),
        }
    }

    /// Which outputs of P_hash hold those.
    fn key_blocks(self) -> Vec<usize> {
        let len = self.prf.output_len();
        let (key, nonce) = self.places();
        let mut needed = (key / len..=(key + self.key_len - 1) / len).collect::<Vec<_>>();
        needed.extend(nonce.start / len..nonce.end.div_ceil(len));
        needed.dedup();
        needed
    }
}

impl Prf {
    fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    fn digest(self, messages: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(messages.concat()).to_vec(),
            Self::Sha384 => Sha384::digest(messages.concat()).to_vec(),
        }
    }

    /// The outputs of P_hash (RFC 5246 section 5) whose numbers are given, ascending, each in its place. SHA-256
    /// runs in lanes; the suites with SHA-384 are too rare to have any.
    fn expand(self, secrets: &[&[u8]], seed: &[u8], needed: &[usize]) -> Vec<PrfOutputs> {
        let mut out = Vec::with_capacity(secrets.len());
        match self {
            Self::Sha256 => tls12_prf_many(secrets, seed, needed, &mut out),
            Self::Sha384 => out.extend(secrets.iter().map(|secret| expand_sha384(secret, seed, needed))),
        }
        out
    }

    /// Compressions that this takes.
    fn compressions(self, secret: usize, seed: usize, needed: &[usize]) -> u64 {
        let (len, block) = (self.output_len(), if self == Self::Sha256 { 64 } else { 128 });
        // Each HMAC without the two states of its key, which are computed once.
        let one = |message: usize| blocks(block + message, block);
        let last = needed.last().copied().unwrap_or_default() as u64;
        let states = hmac(secret, 0, block) - one(0);
        states + one(seed) + last * one(len) + needed.len() as u64 * one(len + seed)
    }
}

fn expand_sha384(secret: &[u8], seed: &[u8], needed: &[usize]) -> PrfOutputs {
    let keyed = <Hmac<Sha384> as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
    let mut outputs = [0; size_of::<PrfOutputs>()];
    let mut a = keyed.clone().chain_update(seed).finalize().into_bytes();
    let mut number = 0;
    for &wanted in needed {
        while number < wanted {
            a = keyed.clone().chain_update(a).finalize().into_bytes();
            number += 1;
        }
        let output = keyed.clone().chain_update(a).chain_update(seed).finalize().into_bytes();
        let place = outputs[number * output.len()..].iter_mut();
        place.zip(&output).for_each(|(place, octet)| *place = *octet);
    }
    outputs
}

/// What a handshake without binders is worth.
pub(super) fn exposure(
    capture: &Capture,
    situation: Situation,
    impostor_secret: Option<&[u8]>,
) -> Result<Exposure> {
    let none = || Error::new(&rules::NO_PSK_HANDSHAKE);
    let server = capture.body(SERVER_HELLO).and_then(|body| Hello::parse(body, false)).ok_or_else(none)?;
    let suite = Suite::find(server.suite)
        .ok_or_else(|| Error::new(&rules::UNSUPPORTED_SUITE).about(format!("{:#06x}", server.suite)))?;
    let secret = match (suite.key_exchange, impostor_secret) {
        (KeyExchange::Plain, _) => None,
        (KeyExchange::DiffieHellman, Some(secret)) => Some(secret.to_vec()),
        (KeyExchange::DiffieHellman, None) => {
            return Ok(Exposure::NothingOffline(Verdict::new("TLS12-PSK", situation, DIFFIE_HELLMAN)));
        }
    };
    let client = capture.body(CLIENT_HELLO).and_then(|body| Hello::parse(body, true)).ok_or_else(none)?;
    capture.body(CLIENT_KEY_EXCHANGE).ok_or_else(none)?;
    let finished = capture.finished().ok_or_else(none)?;
    let start = match suite.mode {
        Mode::Gcm | Mode::Ccm => finished.get(..8 + 16),
        Mode::ChaCha20 => finished.get(..16),
        Mode::Cbc(_) => finished.get(..16 + 16),
    };
    let transcript_hash = suite.prf.digest(capture.messages());
    let master_seed = if server.has(EXTENSION_EXTENDED_MASTER_SECRET) {
        [b"extended master secret", &transcript_hash[..]].concat()
    } else {
        [b"master secret", client.random, server.random].concat()
    };
    Ok(Exposure::Guesses(Box::new(Finished {
        situation,
        suite,
        secret,
        master_seed,
        key_seed: [b"key expansion", server.random, client.random].concat(),
        finished_seed: [b"client finished", &transcript_hash[..]].concat(),
        key_blocks: suite.key_blocks(),
        start: start.ok_or_else(none)?.to_vec(),
    })))
}

/// The client's Finished of one handshake.
struct Finished {
    situation: Situation,
    suite: Suite,
    /// Of Diffie and Hellman; without it there are zeros in its place.
    secret: Option<Vec<u8>>,
    master_seed: Vec<u8>,
    key_seed: Vec<u8>,
    finished_seed: Vec<u8>,
    key_blocks: Vec<usize>,
    /// Nonce or initial vector where they are sent, then the first 16 octets that are encrypted.
    start: Vec<u8>,
}

impl Finished {
    fn master_blocks(&self) -> &'static [usize] {
        match self.suite.prf {
            Prf::Sha256 => &[0, 1],
            Prf::Sha384 => &[0],
        }
    }

    /// RFC 4279 section 2.
    fn premaster(&self, psk: &[u8]) -> Vec<u8> {
        let zeros;
        let other = match &self.secret {
            Some(secret) => secret,
            None => {
                zeros = vec![0; psk.len()];
                &zeros
            }
        };
        let len = |octets: &[u8]| (octets.len() as u16).to_be_bytes();
        [&len(other), &other[..], &len(psk), psk].concat()
    }

    /// The first 16 octets of the client's Finished under the keys of this key block.
    fn decrypted(&self, key_block: &PrfOutputs) -> [u8; 16] {
        let (key_at, nonce_at) = self.suite.places();
        let key = &key_block[key_at..key_at + self.suite.key_len];
        let (public, sent) = self.start.split_at(self.start.len() - 16);
        let fixed = &key_block[nonce_at];
        let mut block = Block::default();
        match self.suite.mode {
            Mode::Cbc(_) => {
                block.copy_from_slice(sent);
                decrypt(key, &mut block);
                return xor(&block, public);
            }
            // The nonce of record 0 is the fixed part as it stands; the first block of key stream keys the tag.
            Mode::ChaCha20 => {
                block.copy_from_slice(sent);
                let mut cipher = ChaCha20::new_from_slices(key, fixed).expect("32 octets and 12");
                cipher.seek(64_u32);
                cipher.apply_keystream(&mut block);
                return block.into();
            }
            // The second counter block: the first one masks the tag.
            Mode::Gcm => block.copy_from_slice(&[fixed, public, &[0, 0, 0, 2]].concat()),
            Mode::Ccm => block.copy_from_slice(&[&[2], fixed, public, &[0, 0, 1]].concat()),
        }
        encrypt(key, &mut block);
        xor(&block, sent)
    }
}

impl Oracle for Finished {
    fn mechanism(&self) -> &str {
        "TLS12-PSK"
    }

    fn situation(&self) -> Situation {
        self.situation
    }

    fn test(&self) -> &'static str {
        "the client's Finished"
    }

    /// For a PSK of 8 octets.
    fn work(&self) -> GuessWork {
        const PSK: usize = 8;
        let (prf, premaster) = (self.suite.prf, 4 + PSK + self.secret.as_ref().map_or(PSK, Vec::len));
        let count = prf.compressions(premaster, self.master_seed.len(), self.master_blocks())
            + prf.compressions(MASTER_LEN, self.key_seed.len(), &self.key_blocks);
        GuessWork::new([(if prf == Prf::Sha256 { Unit::Sha256 } else { Unit::Sha512 }, count)])
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        batch::raw(PSK_MAX, candidates, |psks| {
            let prf = self.suite.prf;
            let premasters = psks.iter().map(|psk| self.premaster(psk)).collect::<Vec<_>>();
            let premasters = premasters.iter().map(Vec::as_slice).collect::<Vec<_>>();
            let masters = prf.expand(&premasters, &self.master_seed, self.master_blocks());
            let masters = masters.iter().map(|master| &master[..MASTER_LEN]).collect::<Vec<_>>();
            let key_blocks = prf.expand(&masters, &self.key_seed, &self.key_blocks);
            Ok(key_blocks.iter().enumerate().find_map(|(index, key_block)| {
                let decrypted = self.decrypted(key_block);
                let value = decrypted.strip_prefix(&FINISHED_HEADER)?;
                let expected = prf.expand(&[masters[index]], &self.finished_seed, &[0]);
                Found::at(index, value, &expected[0][..FINISHED_LEN])
            }))
        })
    }
}

fn encrypt(key: &[u8], block: &mut Block) {
    match Aes128::new_from_slice(key) {
        Ok(cipher) => cipher.encrypt_block(block),
        Err(_) => Aes256::new_from_slice(key).expect("suites have these two").encrypt_block(block),
    }
}

fn decrypt(key: &[u8], block: &mut Block) {
    match Aes128::new_from_slice(key) {
        Ok(cipher) => cipher.decrypt_block(block),
        Err(_) => Aes256::new_from_slice(key).expect("suites have these two").decrypt_block(block),
    }
}

fn xor(block: &Block, other: &[u8]) -> [u8; 16] {
    std::array::from_fn(|i| block[i] ^ other[i])
}
