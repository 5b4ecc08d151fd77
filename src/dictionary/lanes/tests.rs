//! Every kernel that the processor has against the portable loop, and the batches against single passwords.

use digest::Digest;
use proptest::prelude::*;

use super::hmac::Kernel;
use super::*;
use crate::pbkdf2::padded;

/// Passwords with lengths around the sizes of blocks.
fn passwords(count: usize, seed: usize) -> Vec<Vec<u8>> {
    let lens = [0, 1, 8, 11, 55, 56, 63, 64, 65, 71, 119, 120, 127, 128, 129, 300];
    (0..count)
        .map(|i| (0..lens[(i + seed) % lens.len()]).map(|j| (seed + 31 * i + 7 * j) as u8).collect())
        .collect()
}

fn slices(owned: &[Vec<u8>]) -> Vec<&[u8]> {
    owned.iter().map(Vec::as_slice).collect()
}

fn expected<W: Word, const S: usize, const B: usize>(
    hash: &Hash<W, S, B>,
    passwords: &[&[u8]],
    salt: &[u8],
    iterations: u32,
) -> Vec<[u8; 64]> {
    let message = hash.message(salt, 1);
    let sums = passwords.iter().map(|password| {
        let mut octets = [0; 64];
        put_words(&mut octets, &hash.iterate(&hash.chain(password, &message), iterations));
        octets
    });
    sums.collect()
}

fn available<W: Word, const S: usize>(engines: &[Engine<W, S>]) -> Vec<&Engine<W, S>> {
    engines.iter().filter(|engine| (engine.available)()).collect()
}

/// Runs each kernel alone with every number of passwords from one to more than three batches.
fn each_kernel<W: Word, const S: usize, const B: usize>(hash: &Hash<W, S, B>, engines: &[Engine<W, S>]) {
    for engine in available(engines) {
        let name = engine.name;
        let lanes = engine.lanes;
        for count in 1..=3 * lanes + 1 {
            let owned = passwords(count, count);
            let iterations = (count % 5) as u32;
            let salt = vec![0x5a; (13 * count) % 201];
            let mut out = Vec::new();
            many(hash, &[engine], &slices(&owned), &salt, iterations, &mut out);
            assert_eq!(out, expected(hash, &slices(&owned), &salt, iterations), "{name}, {count} passwords");
        }
    }
}

#[test]
fn each_kernel_of_sha1_agrees_with_the_portable_loop() {
    each_kernel(&SHA1, SHA1_ENGINES);
}

#[test]
fn each_kernel_of_sha256_agrees_with_the_portable_loop() {
    each_kernel(&SHA256, SHA256_ENGINES);
}

#[test]
fn each_kernel_of_sha512_agrees_with_the_portable_loop() {
    each_kernel(&SHA512, SHA512_ENGINES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_passwords_and_salts_agree(
        owned in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
        salt in prop::collection::vec(any::<u8>(), 0..200),
        iterations in 1_u32..20,
    ) {
        let (passwords, mut out) = (slices(&owned), vec![[7; 64]; 3]);
        pbkdf2_many(Prf::HmacSha1, &passwords, &salt, iterations, &mut out);
        prop_assert_eq!(&out, &expected(&SHA1, &passwords, &salt, iterations));
        pbkdf2_many(Prf::HmacSha256, &passwords, &salt, iterations, &mut out);
        prop_assert_eq!(&out, &expected(&SHA256, &passwords, &salt, iterations));
        pbkdf2_many(Prf::HmacSha512, &passwords, &salt, iterations, &mut out);
        prop_assert_eq!(&out, &expected(&SHA512, &passwords, &salt, iterations));
        many(&SHA1, &available(SHA1_ENGINES), &passwords, &salt, iterations, { out.clear(); &mut out });
        prop_assert_eq!(&out, &expected(&SHA1, &passwords, &salt, iterations));
        many(&SHA256, &available(SHA256_ENGINES), &passwords, &salt, iterations, { out.clear(); &mut out });
        prop_assert_eq!(&out, &expected(&SHA256, &passwords, &salt, iterations));
        many(&SHA512, &available(SHA512_ENGINES), &passwords, &salt, iterations, { out.clear(); &mut out });
        prop_assert_eq!(&out, &expected(&SHA512, &passwords, &salt, iterations));
    }
}

/// RFC 7914 section 11: PBKDF2-HMAC-SHA-256; the first 32 of the 64 octets.
#[test]
fn a_published_output_comes_out_of_a_batch() {
    let mut out = Vec::new();
    pbkdf2_many(Prf::HmacSha256, &[b"other", b"passwd", b"another"], b"salt", 1, &mut out);
    let published = hex_literal::hex!("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    assert_eq!(out[1][..32], published);
    assert_eq!(out[1][32..], [0; 32]);
}

#[test]
fn no_passwords_give_no_outputs() {
    let mut out = vec![[1; 64]];
    pbkdf2_many(Prf::HmacSha1, &[], b"salt", 1, &mut out);
    assert!(out.is_empty());
}

#[test]
fn the_kernel_of_a_batch_is_the_one_that_is_named() {
    for prf in Prf::ALL {
        let known = kernels(prf);
        assert!(known.iter().any(|(name, _)| *name == kernel(prf)));
        assert_eq!(known[0], ("portable", 1));
        let owned = passwords(5, 1);
        let (mut all, mut alone) = (Vec::new(), Vec::new());
        pbkdf2_many(prf, &slices(&owned), b"salt", 3, &mut all);
        for (name, _) in known {
            pbkdf2_many_on(name, prf, &slices(&owned), b"salt", 3, &mut alone);
            assert_eq!(alone, all, "{name}");
        }
    }
    let engines = available(SHA256_ENGINES);
    assert!(best(&engines, usize::MAX).lanes >= best(&engines, 1).lanes);
    assert_eq!(best(&engines, 1).lanes, 1);
}

fn hmac_by_definition(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    put_words(&mut octets, &SHA256.chain(key, &padded(64, &[message])).first);
    octets
}

/// The kernels of one compression that the processor has.
fn compressions() -> Vec<Kernel> {
    let mut kernels = vec![Kernel::Alone];
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    kernels.extend(instructions::available().then_some(Kernel::Abreast));
    #[cfg(target_arch = "x86_64")]
    {
        kernels.extend(avx2::available().then_some(Kernel::Avx2));
        kernels.extend(avx512::available().then_some(Kernel::Avx512));
    }
    kernels
}

#[test]
fn hmac_of_every_length_agrees_with_the_definition() {
    for kernel in compressions() {
        for count in [0, 1, 2, 3, 5, 16, 17, 40] {
            let (keys, messages) = (passwords(count, 3), passwords(count, 9));
            let each = keys.iter().zip(&messages).map(|(key, message)| hmac_by_definition(key, message));
            let each = each.collect::<Vec<_>>();
            let mut out = Vec::new();
            hmac::hmacs(&slices(&keys), &slices(&messages), &mut out, |_| kernel);
            assert_eq!(out, each, "{kernel:?}");
            hmac_sha256_many(&slices(&keys), &slices(&messages), &mut out);
            assert_eq!(out, each);
        }
    }
}

#[test]
fn a_binder_is_the_chain_of_rfc_8446() {
    let transcript = [0xab; 32];
    let empty: [u8; 32] = sha2::Sha256::digest([]).into();
    for kernel in compressions() {
        for count in [0, 1, 2, 3, 5, 16, 17, 40] {
            let psks = passwords(count, 0);
            let each = psks.iter().map(|psk| {
                let expand = |secret: &[u8], label: &[u8], context: &[u8]| {
                    let label = [&[0, 32, label.len() as u8], label, &[context.len() as u8], context, &[1]];
                    hmac_by_definition(secret, &label.concat())
                };
                let early_secret = hmac_by_definition(&[0; 32], psk);
                let binder_key = expand(&early_secret, b"tls13 ext binder", &empty);
                hmac_by_definition(&expand(&binder_key, b"tls13 finished", &[]), &transcript)
            });
            let each = each.collect::<Vec<_>>();
            let mut out = Vec::new();
            tls::binders(&slices(&psks), &transcript, &mut out, |_| kernel);
            assert_eq!(out, each, "{kernel:?}");
            tls13_binder_many(&slices(&psks), &transcript, &mut out);
            assert_eq!(out, each);
        }
    }
}

#[test]
fn the_prf_of_tls12_is_that_of_rfc_5246() {
    // Seeds around the ends of blocks, alone and behind an A(i) of 32 octets.
    for (kernel, seed_len) in
        compressions().into_iter().flat_map(|k| [13, 23, 24, 55, 56, 77].map(|len| (k, len)))
    {
        let seed = vec![0x3c; seed_len];
        for (count, needed) in [(0, &[0][..]), (1, &[1]), (3, &[0, 1]), (17, &[0, 2, 4]), (40, &[])] {
            let secrets = passwords(count, seed_len);
            let each = secrets.iter().map(|secret| {
                let (mut outputs, mut a) = ([0; 32 * PRF_OUTPUTS_MAX], seed.clone());
                for number in 0..PRF_OUTPUTS_MAX {
                    a = hmac_by_definition(secret, &a).to_vec();
                    if needed.contains(&number) {
                        let output = hmac_by_definition(secret, &[&a[..], &seed].concat());
                        outputs[32 * number..][..32].copy_from_slice(&output);
                    }
                }
                outputs
            });
            let each = each.collect::<Vec<_>>();
            let mut out = Vec::new();
            tls::expansions(&slices(&secrets), &seed, needed, &mut out, |_| kernel);
            assert_eq!(out, each, "{kernel:?}, seed of {seed_len}");
            tls12_prf_many(&slices(&secrets), &seed, needed, &mut out);
            assert_eq!(out, each);
        }
    }
}
