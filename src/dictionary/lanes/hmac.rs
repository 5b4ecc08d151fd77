//! HMAC-SHA-256 under many keys, and its parts for longer chains.

use std::ops::Range;

use super::Columns;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use crate::pbkdf2::instructions;
use crate::pbkdf2::{OPTIMISED, SHA256, Word};

/// Octets of a block of SHA-256.
pub(super) const BLOCK: usize = 64;

/// HMAC-SHA-256 of `messages[i]` under `keys[i]`. `out` is cleared first.
///
/// Keys of more than 64 octets are hashed one at a time.
///
/// # Panics
/// When there are not as many messages as keys.
pub fn hmac_sha256_many(keys: &[&[u8]], messages: &[&[u8]], out: &mut Vec<[u8; 32]>) {
    assert_eq!(keys.len(), messages.len(), "a message for each key");
    hmacs(keys, messages, out, Kernel::best);
}

pub(super) fn hmacs(
    keys: &[&[u8]],
    messages: &[&[u8]],
    out: &mut Vec<[u8; 32]>,
    kernel: impl Fn(usize) -> Kernel,
) {
    out.clear();
    in_batches(&mut Hmacs { keys, messages, out }, keys.len(), kernel);
}

/// One compression in each lane.
pub(super) type Compress<const LANES: usize> = fn(&mut Columns<u32, LANES, 8>, &Columns<u32, LANES, 16>);

/// The kernels for one compression.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    Alone,
    /// Two keys abreast on the processor's own instructions.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    Abreast,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The one to take when so many keys are left: the widest that they fill to a good part.
    pub(super) fn best(left: usize) -> Self {
        if !OPTIMISED {
            return Self::Alone;
        }
        #[cfg(target_arch = "x86_64")]
        if left > 4 && avx512::available() {
            return Self::Avx512;
        }
        #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
        if instructions::available() {
            return Self::Abreast;
        }
        #[cfg(target_arch = "x86_64")]
        if left > 2 && avx2::available() {
            return Self::Avx2;
        }
        let _ = left;
        Self::Alone
    }
}

/// What can be done on any number of lanes.
pub(super) trait Work {
    /// Does the part, which is no longer than there are lanes.
    fn batch<const LANES: usize>(&mut self, compress: Compress<LANES>, part: Range<usize>);
}

/// Does all the work in batches, each on the kernel chosen for how much is left.
pub(super) fn in_batches(work: &mut impl Work, len: usize, kernel: impl Fn(usize) -> Kernel) {
    let mut at = 0;
    while at < len {
        let kernel = kernel(len - at);
        let mut take = |lanes: usize| {
            let part = at..len.min(at + lanes);
            at = part.end;
            part
        };
        match kernel {
            Kernel::Alone => work.batch::<1>(compress_alone, take(1)),
            #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
            Kernel::Abreast => work.batch::<2>(instructions::compress256, take(2)),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => work.batch::<8>(avx2::sha256::compress, take(8)),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => work.batch::<16>(avx512::sha256::compress, take(16)),
        }
    }
}

fn compress_alone(state: &mut Columns<u32, 1, 8>, block: &Columns<u32, 1, 16>) {
    let mut octets = [0; BLOCK];
    for (place, word) in octets.chunks_exact_mut(4).zip(block.as_flattened()) {
        word.put(place);
    }
    let mut words = state.map(|[word]| word);
    (SHA256.compress)(&mut words, &[octets]);
    *state = words.map(|word| [word]);
}

struct Hmacs<'a> {
    keys: &'a [&'a [u8]],
    messages: &'a [&'a [u8]],
    out: &'a mut Vec<[u8; 32]>,
}

impl Work for Hmacs<'_> {
    fn batch<const LANES: usize>(&mut self, compress: Compress<LANES>, part: Range<usize>) {
        let mut keys = [[0; LANES]; 16];
        for (lane, key) in self.keys[part.clone()].iter().enumerate() {
            put(&mut keys, lane, words(&SHA256.key_block(key)));
        }
        let (inner, outer) = key_states(compress, &keys);
        let inner = hash_all(compress, inner, &self.messages[part.clone()]);
        put_all(self.out, &finish(compress, inner, outer), part.len());
    }
}

/// The states of HMAC after its two blocks of key.
pub(super) fn key_states<const LANES: usize>(
    compress: Compress<LANES>,
    key: &Columns<u32, LANES, 16>,
) -> (Columns<u32, LANES, 8>, Columns<u32, LANES, 8>) {
    let state_after = |pad: u32| {
        let mut state = everywhere(SHA256.initial);
        compress(&mut state, &key.map(|row| row.map(|word| word ^ pad)));
        state
    };
    (state_after(0x3636_3636), state_after(0x5c5c_5c5c))
}

/// The inner hashes of HMAC, from the states after the key.
pub(super) fn hash_all<const LANES: usize>(
    compress: Compress<LANES>,
    mut state: Columns<u32, LANES, 8>,
    messages: &[&[u8]],
) -> Columns<u32, LANES, 8> {
    let mut hashes = state;
    let most = messages.iter().map(|message| blocks(message.len())).max().unwrap_or(0);
    for index in 0..most {
        let mut columns = [[0; LANES]; 16];
        for (lane, message) in messages.iter().enumerate() {
            put(&mut columns, lane, words(&block(message, BLOCK, index)));
        }
        compress(&mut state, &columns);
        for (lane, message) in messages.iter().enumerate() {
            if index + 1 == blocks(message.len()) {
                put(&mut hashes, lane, state.map(|row| row[lane]));
            }
        }
    }
    hashes
}

/// The outer hash of HMAC over the inner one.
pub(super) fn finish<const LANES: usize>(
    compress: Compress<LANES>,
    inner: Columns<u32, LANES, 8>,
    mut outer: Columns<u32, LANES, 8>,
) -> Columns<u32, LANES, 8> {
    let mut columns = padded_key(&inner);
    columns[8] = [0x8000_0000; LANES];
    columns[15] = [8 * (BLOCK as u32 + 32); LANES];
    compress(&mut outer, &columns);
    outer
}

/// A hash and zeros up to the length of a block.
pub(super) fn padded_key<const LANES: usize>(hash: &Columns<u32, LANES, 8>) -> Columns<u32, LANES, 16> {
    let mut columns = [[0; LANES]; 16];
    columns[..8].copy_from_slice(hash);
    columns
}

pub(super) fn everywhere<const LANES: usize, const WORDS: usize>(
    words: [u32; WORDS],
) -> Columns<u32, LANES, WORDS> {
    words.map(|word| [word; LANES])
}

pub(super) fn put<const LANES: usize, const WORDS: usize>(
    columns: &mut Columns<u32, LANES, WORDS>,
    lane: usize,
    words: [u32; WORDS],
) {
    for (row, word) in columns.iter_mut().zip(words) {
        row[lane] = word;
    }
}

pub(super) fn put_all<const LANES: usize>(
    out: &mut Vec<[u8; 32]>,
    hashes: &Columns<u32, LANES, 8>,
    len: usize,
) {
    out.extend((0..len).map(|lane| octets(hashes, lane)));
}

/// The hash in one of the lanes.
pub(super) fn octets<const LANES: usize>(hashes: &Columns<u32, LANES, 8>, lane: usize) -> [u8; 32] {
    let mut octets = [0; 32];
    for (place, row) in octets.chunks_exact_mut(4).zip(hashes) {
        row[lane].put(place);
    }
    octets
}

/// Blocks of a message of so many octets, with the end mark and the length.
pub(super) fn blocks(len: usize) -> usize {
    (len + 1 + 8).div_ceil(BLOCK)
}

/// One of the blocks of a message, before which so many octets were hashed.
pub(super) fn block(message: &[u8], before: usize, index: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let rest = message.get(index * BLOCK..).unwrap_or_default();
    let here = &rest[..rest.len().min(BLOCK)];
    block[..here.len()].copy_from_slice(here);
    if (index * BLOCK..(index + 1) * BLOCK).contains(&message.len()) {
        block[message.len() % BLOCK] = 0x80;
    }
    if index + 1 == blocks(message.len()) {
        block[BLOCK - 8..].copy_from_slice(&(8 * (before + message.len()) as u64).to_be_bytes());
    }
    block
}

pub(super) fn words(block: &[u8; BLOCK]) -> [u32; 16] {
    let (words, _) = block.as_chunks();
    std::array::from_fn(|i| u32::from_be_bytes(words[i]))
}
