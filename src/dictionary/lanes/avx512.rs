//! Sixteen lanes of 32 bits or eight of 64 in AVX-512: rotations and functions of three operands are one instruction each.
//!
//! Unsafe are only loads and stores of whole vectors, and the calls of functions that are compiled for these instructions,
//! before which the processor is asked.
#![allow(unsafe_code, reason = "loads, stores, and calls for a processor feature that is asked for first")]

use std::arch::is_x86_feature_detected;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

macro_rules! operations {
    (
        $word:ty, $signed:ty, $lanes:literal,
        $set1:ident, $add:ident, $ror:ident, $srli:ident, $ternary:ident, $xor:ident
    ) => {
        use std::arch::x86_64::*;

        pub(super) type V = __m512i;
        pub(super) const LANES: usize = $lanes;

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn load(words: &[$word; LANES]) -> V {
            // SAFETY: the array has the size of a vector; the load needs no alignment.
            unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn store(vector: V, words: &mut [$word; LANES]) {
            // SAFETY: the array has the size of a vector; the store needs no alignment.
            unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn splat(word: $word) -> V {
            $set1(word as $signed)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn add(a: V, b: V) -> V {
            $add(a, b)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn xor(a: V, b: V) -> V {
            $xor(a, b)
        }

        /// The compiler makes one instruction of it, unless one of them is known to be zero.
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn xor3(a: V, b: V, c: V) -> V {
            xor(xor(a, b), c)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn choose(a: V, b: V, c: V) -> V {
            $ternary::<0xca>(a, b, c)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn majority(a: V, b: V, c: V) -> V {
            $ternary::<0xe8>(a, b, c)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn rotate_right<const BITS: i32>(a: V) -> V {
            $ror::<BITS>(a)
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn shift_right<const BITS: u32>(a: V) -> V {
            $srli::<BITS>(a)
        }
    };
}

mod words32 {
    operations!(
        u32,
        i32,
        16,
        _mm512_set1_epi32,
        _mm512_add_epi32,
        _mm512_ror_epi32,
        _mm512_srli_epi32,
        _mm512_ternarylogic_epi32,
        _mm512_xor_si512
    );
}

mod words64 {
    operations!(
        u64,
        i64,
        8,
        _mm512_set1_epi64,
        _mm512_add_epi64,
        _mm512_ror_epi64,
        _mm512_srli_epi64,
        _mm512_ternarylogic_epi64,
        _mm512_xor_si512
    );
}

pub(super) mod sha1 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words32::*;
    use crate::pbkdf2::Chain;

    sha1!("avx512f");
}

pub(super) mod sha256 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words32::*;
    use crate::pbkdf2::Chain;
    use crate::pbkdf2::constants::K256;

    sha256!("avx512f");
}

pub(super) mod sha512 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words64::*;
    use crate::pbkdf2::Chain;
    use crate::pbkdf2::constants::K512;

    sha512!("avx512f");
}
