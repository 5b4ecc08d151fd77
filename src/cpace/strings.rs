//! The byte strings of draft-irtf-cfrg-cpace-21: length prefixes, concatenations, transcripts.
//!
//! Lengths here are lengths of values in memory; nothing is parsed.

use zeroize::Zeroizing;

/// `prepend_len`: the length as LEB128, then the octets.
#[must_use]
pub fn prepend_len(octets: &[u8]) -> Vec<u8> {
    lv_cat(&[octets])
}

/// `lv_cat`: each item with its length before it.
#[must_use]
pub fn lv_cat(items: &[&[u8]]) -> Vec<u8> {
    let length = items.iter().map(|item| leb128_len(item.len()) + item.len()).sum();
    let mut out = Vec::with_capacity(length);
    for item in items {
        push_leb128(&mut out, item.len());
        out.extend_from_slice(item);
    }
    out
}

/// `o_cat`: `oc`, then the larger of the two in octet order, then the smaller.
#[must_use]
pub fn o_cat(x: &[u8], y: &[u8]) -> Vec<u8> {
    let (larger, smaller) = if x > y { (x, y) } else { (y, x) };
    [b"oc", larger, smaller].concat()
}

/// `transcript_ir`: what was sent, the initiator first.
#[must_use]
pub fn transcript_ir(ya: &[u8], ada: &[u8], yb: &[u8], adb: &[u8]) -> Vec<u8> {
    lv_cat(&[ya, ada, yb, adb])
}

/// `transcript_oc`: what was sent, where the parties have no roles.
#[must_use]
pub fn transcript_oc(ya: &[u8], ada: &[u8], yb: &[u8], adb: &[u8]) -> Vec<u8> {
    o_cat(&lv_cat(&[ya, ada]), &lv_cat(&[yb, adb]))
}

/// `generator_string`: password, channel identifier and session identifier, with zeros after the password so
/// that it fills the hash's first block of `s_in_bytes` octets alone.
#[must_use]
pub fn generator_string(
    dsi: &[u8],
    prs: &[u8],
    ci: &[u8],
    sid: &[u8],
    s_in_bytes: usize,
) -> Zeroizing<Vec<u8>> {
    let before = leb128_len(prs.len()) + prs.len() + leb128_len(dsi.len()) + dsi.len();
    let zeros = vec![0; s_in_bytes.saturating_sub(1 + before)];
    Zeroizing::new(lv_cat(&[dsi, prs, &zeros, ci, sid]))
}

fn leb128_len(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_prefix_grows_with_the_length() {
        for (length, prefix) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 1]),
            (16383, vec![0xff, 0x7f]),
            (16384, vec![0x80, 0x80, 1]),
        ] {
            let item = vec![7; length];
            let out = prepend_len(&item);
            assert_eq!(out, [prefix, item].concat());
            assert_eq!(out.len(), out.capacity(), "a reallocation would leave a copy behind");
        }
    }

    #[test]
    fn long_passwords_need_no_padding() {
        let string = generator_string(b"DSI", &[b'p'; 200], b"ci", b"sid", 128);
        assert_eq!(string[4 + 2 + 200], 0, "the padding item is empty");
        assert_eq!(string.len(), 4 + 202 + 1 + 3 + 4);
    }
}
