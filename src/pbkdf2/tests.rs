//! Every kernel for one password or a few against the loop over the crates' compression.

use super::*;

/// Passwords around the block sizes, where the key is hashed first.
fn passwords() -> Vec<Vec<u8>> {
    let lens = [0, 1, 8, 63, 64, 65, 127, 128, 129, 300];
    lens.iter().enumerate().map(|(i, len)| (0..*len).map(|j| (31 * i + 7 * j) as u8).collect()).collect()
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[test]
fn the_processors_instructions_agree_with_the_portable_loop() {
    if !instructions::available() {
        eprintln!("SKIPPED: this processor has no SHA instructions");
        return;
    }
    for iterations in [0, 1, 2, 3, 50] {
        let passwords = passwords();
        let chains = |i: usize| &passwords[i..i + 3];
        for i in 0..passwords.len() - 2 {
            let message = SHA1.message(b"salt", 1);
            let [a, b, c] = [0, 1, 2].map(|n| SHA1.chain(&chains(i)[n], &message));
            let expected = [&a, &b, &c].map(|chain| SHA1.iterate(chain, iterations));
            assert_eq!(instructions::sha1([&a], iterations), expected[..1]);
            assert_eq!(instructions::sha1([&a, &b], iterations), expected[..2]);
            assert_eq!(instructions::sha1([&a, &b, &c], iterations), expected);

            let message = SHA256.message(b"salt", 1);
            let [a, b, c] = [0, 1, 2].map(|n| SHA256.chain(&chains(i)[n], &message));
            let expected = [&a, &b, &c].map(|chain| SHA256.iterate(chain, iterations));
            assert_eq!(instructions::sha256([&a], iterations), expected[..1]);
            assert_eq!(instructions::sha256([&a, &b], iterations), expected[..2]);
            assert_eq!(instructions::sha256([&a, &b, &c], iterations), expected);
        }
    }
}
