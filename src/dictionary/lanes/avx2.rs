//! Eight lanes of 32 bits or four of 64 in AVX2.
//!
//! Unsafe are only loads and stores of whole vectors, and the calls of functions that are compiled for these instructions,
//! before which the processor is asked.
#![allow(unsafe_code, reason = "loads, stores, and calls for a processor feature that is asked for first")]

use std::arch::is_x86_feature_detected;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

macro_rules! operations {
    (
        $word:ty, $signed:ty, $lanes:literal,
        $set1:ident, $add:ident, $srli:ident, $sll:ident
    ) => {
        use std::arch::x86_64::*;

        pub(super) type V = __m256i;
        pub(super) const LANES: usize = $lanes;

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn load(words: &[$word; LANES]) -> V {
            // SAFETY: the array has the size of a vector; the load needs no alignment.
            unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn store(vector: V, words: &mut [$word; LANES]) {
            // SAFETY: the array has the size of a vector; the store needs no alignment.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn splat(word: $word) -> V {
            $set1(word as $signed)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn add(a: V, b: V) -> V {
            $add(a, b)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn xor(a: V, b: V) -> V {
            _mm256_xor_si256(a, b)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn xor3(a: V, b: V, c: V) -> V {
            xor(xor(a, b), c)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn choose(a: V, b: V, c: V) -> V {
            xor(_mm256_and_si256(xor(b, c), a), c)
        }

        /// The difference of b and c is that of a and b a round earlier; the compiler sees it.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn majority(a: V, b: V, c: V) -> V {
            xor(_mm256_and_si256(xor(a, b), xor(b, c)), b)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn rotate_right<const BITS: i32>(a: V) -> V {
            let left = _mm_cvtsi32_si128(<$word>::BITS as i32 - BITS);
            _mm256_or_si256($srli::<BITS>(a), $sll(a, left))
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn shift_right<const BITS: i32>(a: V) -> V {
            $srli::<BITS>(a)
        }
    };
}

mod words32 {
    operations!(u32, i32, 8, _mm256_set1_epi32, _mm256_add_epi32, _mm256_srli_epi32, _mm256_sll_epi32);
}

mod words64 {
    operations!(u64, i64, 4, _mm256_set1_epi64x, _mm256_add_epi64, _mm256_srli_epi64, _mm256_sll_epi64);
}

pub(super) mod sha1 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words32::*;
    use crate::pbkdf2::Chain;

    sha1!("avx2");
}

pub(super) mod sha256 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words32::*;
    use crate::pbkdf2::Chain;
    use crate::pbkdf2::constants::K256;

    sha256!("avx2");
}

pub(super) mod sha512 {
    use super::super::{Columns, columns};
    use super::available;
    use super::words64::*;
    use crate::pbkdf2::Chain;
    use crate::pbkdf2::constants::K512;

    sha512!("avx2");
}
