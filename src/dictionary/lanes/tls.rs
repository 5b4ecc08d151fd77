//! What TLS computes from a PSK, for many of them: the binder of TLS 1.3, and the PRF of TLS 1.2.

use std::ops::Range;

use super::Columns;
use super::hmac::{
    BLOCK, Compress, Kernel, Work, block, blocks, everywhere, finish, hash_all, in_batches, key_states,
    octets, padded_key, put, put_all, words,
};
use crate::pbkdf2::SHA256;

/// SHA-256 of nothing: the transcript that RFC 8446 section 7.1 derives binder_key over.
const EMPTY_HASH: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Outputs of P_hash that there is room for: no key block of a PSK suite with SHA-256 is longer.
pub const PRF_OUTPUTS_MAX: usize = 5;

/// Outputs of P_hash, 32 octets each; those that were not asked for are zero.
pub type PrfOutputs = [u8; 32 * PRF_OUTPUTS_MAX];

/// The binder that TLS 1.3 computes from each of the external PSKs (RFC 8446 section 4.2.11.2), with SHA-256;
/// `transcript_hash` is the hash of the ClientHello up to its binders. `out` is cleared first.
///
/// A PSK of up to 55 octets costs 14 compressions.
pub fn tls13_binder_many(psks: &[&[u8]], transcript_hash: &[u8; 32], out: &mut Vec<[u8; 32]>) {
    binders(psks, transcript_hash, out, Kernel::best);
}

pub(super) fn binders(
    psks: &[&[u8]],
    transcript_hash: &[u8; 32],
    out: &mut Vec<[u8; 32]>,
    kernel: impl Fn(usize) -> Kernel,
) {
    // HkdfLabel of RFC 8446 section 7.1, and the counter of HKDF's first output.
    let ext_binder = [&[0, 32, 16][..], b"tls13 ext binder", &[32], &EMPTY_HASH, &[1]].concat();
    let finished = [&[0, 32, 14][..], b"tls13 finished", &[0, 1]].concat();
    out.clear();
    let mut binders = Binders {
        psks,
        early: SHA256.key_states(&[0; 32]),
        messages: [&ext_binder[..], &finished, transcript_hash].map(|message| block(message, BLOCK, 0)),
        out,
    };
    in_batches(&mut binders, psks.len(), kernel);
}

/// P_SHA256 of TLS 1.2 (RFC 5246 section 5) under each of the secrets, with the same seed, the label at its start:
/// the outputs whose numbers are given, ascending from 0. `out` is cleared first.
///
/// # Panics
/// When a number is not below [`PRF_OUTPUTS_MAX`].
pub fn tls12_prf_many(secrets: &[&[u8]], seed: &[u8], needed: &[usize], out: &mut Vec<PrfOutputs>) {
    expansions(secrets, seed, needed, out, Kernel::best);
}

pub(super) fn expansions(
    secrets: &[&[u8]],
    seed: &[u8],
    needed: &[usize],
    out: &mut Vec<PrfOutputs>,
    kernel: impl Fn(usize) -> Kernel,
) {
    assert!(needed.iter().all(|number| *number < PRF_OUTPUTS_MAX), "so many outputs have room");
    // A(i) stands before the seed, different in each lane.
    let behind_a = [&[0; 32], seed].concat();
    let cut = |message: &[u8]| (0..blocks(message.len())).map(|i| words(&block(message, BLOCK, i))).collect();
    out.clear();
    let mut expansions = Expansions { secrets, seed: cut(seed), behind_a: cut(&behind_a), needed, out };
    in_batches(&mut expansions, secrets.len(), kernel);
}

struct Binders<'a> {
    psks: &'a [&'a [u8]],
    /// After the key of HKDF-Extract without a salt.
    early: ([u32; 8], [u32; 8]),
    /// What the second, third and fourth HMAC hash.
    messages: [[u8; BLOCK]; 3],
    out: &'a mut Vec<[u8; 32]>,
}

impl Work for Binders<'_> {
    fn batch<const LANES: usize>(&mut self, compress: Compress<LANES>, part: Range<usize>) {
        let psks = &self.psks[part];
        let (inner, outer) = self.early;
        let inner = hash_all(compress, everywhere(inner), psks);
        let mut key = finish(compress, inner, everywhere(outer));
        for message in &self.messages {
            let (mut inner, outer) = key_states(compress, &padded_key(&key));
            let words = words(message);
            compress(&mut inner, &everywhere(words));
            key = finish(compress, inner, outer);
        }
        put_all(self.out, &key, psks.len());
    }
}

struct Expansions<'a> {
    secrets: &'a [&'a [u8]],
    /// The seed in blocks, padded.
    seed: Vec<[u32; 16]>,
    /// The same with room for A(i) before it.
    behind_a: Vec<[u32; 16]>,
    needed: &'a [usize],
    out: &'a mut Vec<PrfOutputs>,
}

impl Work for Expansions<'_> {
    fn batch<const LANES: usize>(&mut self, compress: Compress<LANES>, part: Range<usize>) {
        let mut keys = [[0; LANES]; 16];
        for (lane, secret) in self.secrets[part.clone()].iter().enumerate() {
            put(&mut keys, lane, words(&SHA256.key_block(secret)));
        }
        let (inner, outer) = key_states(compress, &keys);
        let mut hash = inner;
        for block in &self.seed {
            compress(&mut hash, &everywhere(*block));
        }
        let mut a = finish(compress, hash, outer);
        let (start, mut number) = (self.out.len(), 0);
        self.out.resize(start + part.len(), [0; 32 * PRF_OUTPUTS_MAX]);
        for &wanted in self.needed {
            while number < wanted {
                // The message is a hash, too.
                a = finish(compress, finish(compress, a, inner), outer);
                number += 1;
            }
            let output = self.output(compress, &a, inner, outer);
            for (lane, out) in self.out[start..].iter_mut().enumerate() {
                out[32 * number..32 * (number + 1)].copy_from_slice(&octets(&output, lane));
            }
        }
    }
}

impl Expansions<'_> {
    /// HMAC of A(i) and the seed.
    fn output<const LANES: usize>(
        &self,
        compress: Compress<LANES>,
        a: &Columns<u32, LANES, 8>,
        mut hash: Columns<u32, LANES, 8>,
        outer: Columns<u32, LANES, 8>,
    ) -> Columns<u32, LANES, 8> {
        for (index, block) in self.behind_a.iter().enumerate() {
            let mut columns = everywhere(*block);
            if index == 0 {
                columns[..8].copy_from_slice(a);
            }
            compress(&mut hash, &columns);
        }
        finish(compress, hash, outer)
    }
}
