//! HMAC-SHA-256 under many keys, and the chain of it that checks a guess at a TLS 1.3 external PSK.

use crate::pbkdf2::{SHA256, padded, put_words};

/// SHA-256 of nothing: the transcript that RFC 8446 section 7.1 derives binder_key over.
const EMPTY_HASH: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The binder that TLS 1.3 computes from each of the external PSKs (RFC 8446 section 4.2.11.2), with SHA-256;
/// `transcript_hash` is the hash of the ClientHello up to its binders. `out` is cleared first.
pub fn tls13_binder_many(psks: &[&[u8]], transcript_hash: &[u8; 32], out: &mut Vec<[u8; 32]>) {
    // HkdfLabel of RFC 8446 section 7.1, and the counter of HKDF's first output.
    let ext_binder = [&[0, 32, 16][..], b"tls13 ext binder", &[32], &EMPTY_HASH, &[1]].concat();
    let finished = [&[0, 32, 14][..], b"tls13 finished", &[0, 1]].concat();
    out.clear();
    out.extend(psks.iter().map(|psk| {
        let early_secret = hmac(&[0; 32], psk);
        let binder_key = hmac(&early_secret, &ext_binder);
        let finished_key = hmac(&binder_key, &finished);
        hmac(&finished_key, transcript_hash)
    }));
}

/// HMAC-SHA-256 of `messages[i]` under `keys[i]`. `out` is cleared first.
///
/// # Panics
/// When there are not as many messages as keys.
pub fn hmac_sha256_many(keys: &[&[u8]], messages: &[&[u8]], out: &mut Vec<[u8; 32]>) {
    assert_eq!(keys.len(), messages.len(), "a message for each key");
    out.clear();
    out.extend(keys.iter().zip(messages).map(|(key, message)| hmac(key, message)));
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    put_words(&mut octets, &SHA256.chain(key, &padded(64, &[message])).first);
    octets
}
