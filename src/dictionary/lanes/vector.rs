//! The three hash functions on vectors with a password in each lane, written once for all widths of registers.
//!
//! The macros expand in a module of an instruction set that names its vector `V`, its number of `LANES` and the operations.
//! They are written out round by round, so that all indices are constants, state and message stay in
//! registers, and what is known of the message (the padding after an output) folds away.

/// PBKDF2's loop over `output`, the compression of the last output under one half of the key. `start` is its first round,
/// once for each half: the word of the message is added to the result.
macro_rules! iterate {
    ($features:literal, $word:ty, $words:literal) => {
        /// T_1 of each chain; there are at most as many chains as lanes.
        ///
        /// # Panics
        /// When the processor does not have the instructions.
        pub(in super::super) fn iterate(
            chains: &[Chain<$word, $words>],
            iterations: u32,
            out: &mut [[$word; $words]],
        ) {
            assert!(available() && chains.len() <= LANES);
            let inner = columns(chains.iter().map(|chain| chain.inner));
            let outer = columns(chains.iter().map(|chain| chain.outer));
            let mut sum = columns(chains.iter().map(|chain| chain.first));
            // SAFETY: the processor has what the function is compiled for.
            unsafe { iterate_columns(&inner, &outer, &mut sum, iterations) }
            for (lane, out) in out.iter_mut().enumerate() {
                *out = sum.map(|row| row[lane]);
            }
        }

        #[target_feature(enable = $features)]
        fn iterate_columns(
            inner: &Columns<$word, LANES, $words>,
            outer: &Columns<$word, LANES, $words>,
            sum: &mut Columns<$word, LANES, $words>,
            iterations: u32,
        ) {
            let none = [splat(0); $words];
            let (mut keys, mut started, mut total) = ([none; 2], [none; 2], none);
            for i in 0..$words {
                keys[0][i] = load(&inner[i]);
                keys[1][i] = load(&outer[i]);
                total[i] = load(&sum[i]);
            }
            for i in 0..2 {
                started[i] = start(keys[i]);
            }
            let mut last = total;
            for _ in 1..iterations {
                output(&keys[0], &started[0], &mut last);
                output(&keys[1], &started[1], &mut last);
                for i in 0..$words {
                    total[i] = xor(total[i], last[i]);
                }
            }
            for i in 0..$words {
                store(total[i], &mut sum[i]);
            }
        }
    };
}

/// SHA-256 and SHA-512: the rotations of the big sigmas, rotations and shift of the small ones, the end mark, the bits of
/// a block and an output, and the rounds from the eighth in eights.
macro_rules! sha2 {
    (
        $features:literal, $word:ty, $constants:path,
        $a0:literal $a1:literal $a2:literal, $e0:literal $e1:literal $e2:literal,
        $s0:literal $s1:literal $s2:literal, $t0:literal $t1:literal $t2:literal,
        $mark:literal, $bits:literal, $($eight:literal)*
    ) => {
        iterate!($features, $word, 8);

        #[inline]
        #[target_feature(enable = $features)]
        fn start(key: [V; 8]) -> [V; 8] {
            let [a, b, c, mut d, e, f, g, mut h] = key;
            let mut w = [splat(0); 16];
            one_round!(w, 0, $constants, a b c d e f g h);
            [a, b, c, d, e, f, g, h]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn big_a(x: V) -> V {
            xor3(rotate_right::<$a0>(x), rotate_right::<$a1>(x), rotate_right::<$a2>(x))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn big_e(x: V) -> V {
            xor3(rotate_right::<$e0>(x), rotate_right::<$e1>(x), rotate_right::<$e2>(x))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn small_0(x: V) -> V {
            xor3(rotate_right::<$s0>(x), rotate_right::<$s1>(x), shift_right::<$s2>(x))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn small_1(x: V) -> V {
            xor3(rotate_right::<$t0>(x), rotate_right::<$t1>(x), shift_right::<$t2>(x))
        }

        /// The compression of the last output under one half of the key.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn output(key: &[V; 8], started: &[V; 8], last: &mut [V; 8]) {
            let mut w = [splat(0); 16];
            w[..8].copy_from_slice(last);
            w[8] = splat($mark);
            w[15] = splat($bits);
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *started;
            d = add(d, w[0]);
            h = add(h, w[0]);
            rounds_1_to_7!(w, 0, $constants, a b c d e f g h);
            let mut state = [a, b, c, d, e, f, g, h];
            $(eight_rounds!(state, w, $eight, $constants);)*
            for i in 0..8 {
                last[i] = add(key[i], state[i]);
            }
        }
    };
}

macro_rules! sha256 {
    ($features:literal) => {
        sha2!(
            $features, u32, K256, 2 13 22, 6 11 25, 7 18 3, 17 19 10,
            0x8000_0000, 768, 8 16 24 32 40 48 56
        );

        /// One compression of any block in each lane.
        ///
        /// # Panics
        /// When the processor does not have the instructions.
        pub(in super::super) fn compress(
            columns: &mut Columns<u32, LANES, 8>,
            block: &Columns<u32, LANES, 16>,
        ) {
            assert!(available());
            // SAFETY: the processor has what the function is compiled for.
            unsafe { compress_columns(columns, block) }
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        fn compress_columns(columns: &mut Columns<u32, LANES, 8>, block: &Columns<u32, LANES, 16>) {
            let (mut before, mut w) = ([splat(0); 8], [splat(0); 16]);
            for i in 0..8 {
                before[i] = load(&columns[i]);
            }
            for i in 0..16 {
                w[i] = load(&block[i]);
            }
            let mut state = before;
            eight_rounds!(state, w, 0, K256);
            eight_rounds!(state, w, 8, K256);
            eight_rounds!(state, w, 16, K256);
            eight_rounds!(state, w, 24, K256);
            eight_rounds!(state, w, 32, K256);
            eight_rounds!(state, w, 40, K256);
            eight_rounds!(state, w, 48, K256);
            eight_rounds!(state, w, 56, K256);
            for i in 0..8 {
                store(add(before[i], state[i]), &mut columns[i]);
            }
        }
    };
}

macro_rules! sha512 {
    ($features:literal) => {
        sha2!(
            $features, u64, K512, 28 34 39, 14 18 41, 1 8 7, 19 61 6,
            0x8000_0000_0000_0000, 1536, 8 16 24 32 40 48 56 64 72
        );
    };
}

/// Eight rounds, after which every word of the state is in its place again.
macro_rules! eight_rounds {
    ($state:ident, $w:ident, $eight:literal, $constants:path) => {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $state;
        one_round!($w, $eight, $constants, a b c d e f g h);
        rounds_1_to_7!($w, $eight, $constants, a b c d e f g h);
        $state = [a, b, c, d, e, f, g, h];
    };
}

macro_rules! rounds_1_to_7 {
    (
        $w:ident, $eight:literal, $constants:path,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident
    ) => {
        one_round!($w, $eight + 1, $constants, $h $a $b $c $d $e $f $g);
        one_round!($w, $eight + 2, $constants, $g $h $a $b $c $d $e $f);
        one_round!($w, $eight + 3, $constants, $f $g $h $a $b $c $d $e);
        one_round!($w, $eight + 4, $constants, $e $f $g $h $a $b $c $d);
        one_round!($w, $eight + 5, $constants, $d $e $f $g $h $a $b $c);
        one_round!($w, $eight + 6, $constants, $c $d $e $f $g $h $a $b);
        one_round!($w, $eight + 7, $constants, $b $c $d $e $f $g $h $a);
    };
}

macro_rules! one_round {
    (
        $w:ident, $round:expr, $constants:path,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident
    ) => {
        if $round >= 16 {
            let old = add($w[$round % 16], small_0($w[($round + 1) % 16]));
            let new = add($w[($round + 9) % 16], small_1($w[($round + 14) % 16]));
            $w[$round % 16] = add(old, new);
        }
        let message = add($h, add($w[$round % 16], splat($constants[$round])));
        let sum = add(add(message, choose($e, $f, $g)), big_e($e));
        $d = add($d, sum);
        $h = add(add(sum, majority($a, $b, $c)), big_a($a));
    };
}

macro_rules! sha1 {
    ($features:literal) => {
        iterate!($features, u32, 5);

        #[inline]
        #[target_feature(enable = $features)]
        fn start(key: [V; 5]) -> [V; 5] {
            let [a, mut b, c, d, mut e] = key;
            let mut w = [splat(0); 16];
            one_round1!(w, 0, choose, 0x5a82_7999, a b c d e);
            [a, b, c, d, e]
        }

        /// The compression of the last output under one half of the key.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn output(key: &[V; 5], started: &[V; 5], last: &mut [V; 5]) {
            let mut w = [splat(0); 16];
            w[..5].copy_from_slice(last);
            w[5] = splat(0x8000_0000);
            w[15] = splat(672);
            let [mut a, mut b, mut c, mut d, mut e] = *started;
            e = add(e, w[0]);
            rounds_1_to_4!(w, 0, choose, 0x5a82_7999, a b c d e);
            let mut state = [a, b, c, d, e];
            five_rounds!(state, w, 5, choose, 0x5a82_7999);
            five_rounds!(state, w, 10, choose, 0x5a82_7999);
            five_rounds!(state, w, 15, choose, 0x5a82_7999);
            twenty_rounds!(state, w, 20, xor3, 0x6ed9_eba1);
            twenty_rounds!(state, w, 40, majority, 0x8f1b_bcdc);
            twenty_rounds!(state, w, 60, xor3, 0xca62_c1d6);
            for i in 0..5 {
                last[i] = add(key[i], state[i]);
            }
        }
    };
}

macro_rules! twenty_rounds {
    ($state:ident, $w:ident, $from:literal, $function:ident, $constant:literal) => {
        five_rounds!($state, $w, $from, $function, $constant);
        five_rounds!($state, $w, $from + 5, $function, $constant);
        five_rounds!($state, $w, $from + 10, $function, $constant);
        five_rounds!($state, $w, $from + 15, $function, $constant);
    };
}

macro_rules! five_rounds {
    ($state:ident, $w:ident, $from:expr, $function:ident, $constant:literal) => {
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        one_round1!($w, $from, $function, $constant, a b c d e);
        rounds_1_to_4!($w, $from, $function, $constant, a b c d e);
        $state = [a, b, c, d, e];
    };
}

macro_rules! rounds_1_to_4 {
    (
        $w:ident, $from:expr, $function:ident, $constant:literal,
        $a:ident $b:ident $c:ident $d:ident $e:ident
    ) => {
        one_round1!($w, $from + 1, $function, $constant, $e $a $b $c $d);
        one_round1!($w, $from + 2, $function, $constant, $d $e $a $b $c);
        one_round1!($w, $from + 3, $function, $constant, $c $d $e $a $b);
        one_round1!($w, $from + 4, $function, $constant, $b $c $d $e $a);
    };
}

macro_rules! one_round1 {
    (
        $w:ident, $round:expr, $function:ident, $constant:literal,
        $a:ident $b:ident $c:ident $d:ident $e:ident
    ) => {
        if $round >= 16 {
            let others = xor3($w[($round + 13) % 16], $w[($round + 8) % 16], $w[($round + 2) % 16]);
            $w[$round % 16] = rotate_right::<31>(xor($w[$round % 16], others));
        }
        let message = add($e, add($w[$round % 16], splat($constant)));
        $e = add(add(message, $function($b, $c, $d)), rotate_right::<27>($a));
        $b = rotate_right::<2>($b);
    };
}
