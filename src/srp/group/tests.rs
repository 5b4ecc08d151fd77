//! Both backends against each other, against plain powers, and the checks of public values.

use proptest::prelude::*;

use super::portable::Portable;
use super::*;
use crate::error::Rule;

type Plain = Ring<Portable>;

fn plain(group: Group) -> Plain {
    Ring::new(group.modulus(), group.generator())
}

/// A value below N from any octets.
fn below(group: Group, octets: &[u8]) -> Vec<u8> {
    let mut value = group.pad(&octets[..octets.len().min(group.len())]);
    value[0] &= 0x7f;
    value
}

/// base^e by squaring and multiplying, bit by bit.
fn slow_power(ring: &Plain, base: &[u8], exponent: &[u8]) -> Vec<u8> {
    let base = ring.residue(base);
    let mut power = ring.one.clone();
    for at in (0..8 * exponent.len()).rev() {
        ring.arithmetic.square(&mut power);
        if bit(exponent, at) == 1 {
            ring.arithmetic.multiply(&mut power, &base);
        }
    }
    ring.octets(&power).to_vec()
}

/// All operations of one backend, so that the results of two can be compared.
fn all_operations<A: Arithmetic>(ring: &Ring<A>, values: [&[u8]; 2], exponents: [&[u8]; 3]) -> Vec<Vec<u8>> {
    let [a, v] = values;
    let [k, u, e] = exponents;
    let share = Share(a.to_vec());
    let verifier = ring.residue(v);
    [
        ring.generator_power(e),
        ring.arithmetic.power(&ring.residue(a), e),
        ring.public_power(&ring.residue(a), u),
        ring.add(ring.residue(a), &verifier),
        ring.subtract(ring.residue(a), &verifier),
    ]
    .iter()
    .map(|residue| ring.octets(residue).to_vec())
    .chain([
        ring.server_share(k, &verifier, e).to_vec(),
        ring.server_secret(&share, &verifier, u, e).to_vec(),
        ring.client_secret(&share, k, u, e).to_vec(),
    ])
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With the feature `srp-aws-lc` this compares AWS-LC with the portable backend, else the latter with itself.
    #[test]
    fn the_backends_agree(
        group in prop::sample::select(&[Group::Bits1024, Group::Bits1280, Group::Bits2048, Group::Bits3072][..]),
        a in prop::collection::vec(any::<u8>(), 1..400),
        v in prop::collection::vec(any::<u8>(), 1..400),
        k in prop::collection::vec(any::<u8>(), 1..65),
        u in prop::collection::vec(any::<u8>(), 1..65),
        e in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let (a, v) = (below(group, &a), below(group, &v));
        let fastest = all_operations(group.ring(), [&a, &v], [&k, &u, &e]);
        prop_assert_eq!(fastest, all_operations(&plain(group), [&a, &v], [&k, &u, &e]));
    }

    #[test]
    fn every_power_is_the_plain_one(
        base in prop::collection::vec(any::<u8>(), 1..128),
        e in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let (group, ring) = (Group::Bits1024, plain(Group::Bits1024));
        let base = below(group, &base);
        let expected = slow_power(&ring, &base, &e);
        prop_assert_eq!(&ring.octets(&ring.arithmetic.power(&ring.residue(&base), &e))[..], &expected[..]);
        prop_assert_eq!(&ring.octets(&ring.public_power(&ring.residue(&base), &e))[..], &expected[..]);
        prop_assert_eq!(&group.generator_power(&e)[..], &slow_power(&ring, &[2], &e)[..]);
    }

    #[test]
    fn the_clients_exponent_is_a_plus_u_times_x(a in any::<u64>(), u in any::<u32>(), x in any::<u32>()) {
        let expected = u128::from(a) + u128::from(u) * u128::from(x);
        let exponent = client_exponent(&a.to_be_bytes(), &u.to_be_bytes(), &x.to_be_bytes());
        prop_assert_eq!(minimal(&exponent).to_vec(), minimal(&expected.to_be_bytes()).to_vec());
        prop_assert!(exponent.len() == 8 || expected >> 64 != 0);
    }
}

#[test]
fn edge_values_agree_on_both_backends() {
    let group = Group::Bits2048;
    let mut last = group.modulus().to_vec();
    last[group.len() - 1] -= 1;
    let edges = [group.pad(&[]), group.pad(&[1]), group.pad(&[2]), last];
    for a in &edges {
        for v in &edges {
            for e in [&[0][..], &[1], &[0xff; 32], &[0; 66], &[0x80; 66], &[0xff; 67]] {
                let (fastest, portable) = (
                    all_operations(group.ring(), [a, v], [&[3], &[5], e]),
                    all_operations(&plain(group), [a, v], [&[3], &[5], e]),
                );
                assert_eq!(fastest, portable, "{e:?}");
            }
        }
    }
}

#[test]
fn a_power_longer_than_the_comb_is_right() {
    let group = Group::Bits1024;
    for len in [TABLES * TABLE_BITS / 8, TABLES * TABLE_BITS / 8 + 1] {
        let exponent = vec![0xa7; len];
        assert_eq!(*group.generator_power(&exponent), slow_power(&plain(group), &[2], &exponent));
    }
}

#[test]
fn sum_and_difference_wrap_at_n() {
    let ring = plain(Group::Bits2048);
    let mut last = Group::Bits2048.modulus().to_vec();
    *last.last_mut().unwrap() -= 1;
    let [minus_one, one] = [&last[..], &[1]].map(|octets| ring.residue(octets));
    assert_eq!(minimal(&ring.octets(&ring.add(minus_one.clone(), &one))), [] as [u8; 0]);
    assert_eq!(*ring.octets(&ring.subtract(ring.residue(&[0]), &one)), last);
    assert_eq!(minimal(&ring.octets(&ring.subtract(one.clone(), &minus_one))), [2]);
}

#[test]
fn a_table_gives_each_of_its_entries() {
    for len in [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
        let entries = (0..64).map(|i| (0..len).map(|j| (i * 1000 + j) as Word).collect::<Vec<_>>());
        let entries = entries.collect::<Vec<_>>();
        let table = Table::new(entries.iter().map(Vec::as_slice));
        for (index, entry) in entries.iter().enumerate() {
            let mut out = vec![7; len];
            table.select(index, &mut out);
            assert_eq!(out, *entry);
            let mut out = vec![7; len];
            Fastest::select(&table, index, &mut out);
            assert_eq!(out, *entry);
        }
    }
}

fn refusal(group: Group, octets: &[u8]) -> &'static Rule {
    match Share::parse(group, octets) {
        Ok(_) => panic!("accepted"),
        Err(error) => {
            assert_eq!((error.numbers(), error.subject()), (None, None), "the message is constant");
            error.rule()
        }
    }
}

#[test]
fn a_share_of_zero_is_refused() {
    for group in Group::ALL {
        for octets in [&[][..], &[0], &group.pad(&[]), &vec![0; 65536]] {
            assert_eq!(refusal(group, octets), &rules::SHARE_ZERO);
        }
    }
}

#[test]
fn a_share_of_n_or_more_is_refused() {
    for group in Group::ALL {
        let n = group.modulus();
        assert_eq!(refusal(group, n), &rules::SHARE_TOO_LARGE);
        assert_eq!(refusal(group, &[&[0], n].concat()), &rules::SHARE_TOO_LARGE);
        assert_eq!(refusal(group, &vec![0xff; n.len()]), &rules::SHARE_TOO_LARGE);
    }
}

#[test]
fn a_share_longer_than_n_is_refused() {
    for group in Group::ALL {
        let n = group.modulus();
        let twice = client_exponent(&[], n, &[2]);
        assert_eq!(refusal(group, &twice), &rules::SHARE_TOO_LONG);
        assert_eq!(refusal(group, &[&[1], n].concat()), &rules::SHARE_TOO_LONG);
        assert_eq!(refusal(group, &vec![0xff; 65536]), &rules::SHARE_TOO_LONG);
    }
}

#[test]
fn a_share_of_one_or_minus_one_is_refused() {
    for group in Group::ALL {
        let mut last = group.modulus().to_vec();
        *last.last_mut().unwrap() -= 1;
        assert_eq!(refusal(group, &[1]), &rules::SHARE_TRIVIAL);
        assert_eq!(refusal(group, &last), &rules::SHARE_TRIVIAL);
        *last.last_mut().unwrap() -= 1;
        assert_eq!(Share::parse(group, &last).unwrap().padded(), last);
        assert_eq!(Share::parse(group, &[0, 0, 2]).unwrap().minimal(), [2]);
    }
}

#[test]
fn groups_are_found_by_their_exact_pair() {
    for group in Group::ALL {
        let found = Group::find(group.modulus(), &[group.generator()], Legacy::Allowed);
        assert_eq!(found.unwrap(), group);
        let padded =
            Group::find(&[&[0], group.modulus()].concat(), &group.pad(&[group.generator()]), Legacy::Allowed);
        assert_eq!(padded.unwrap(), group);
    }
}

#[test]
fn an_unknown_group_is_refused() {
    let n = Group::Bits2048.modulus();
    let mut other = n.to_vec();
    other[100] ^= 1;
    for (modulus, generator) in
        [(&other[..], &[2][..]), (n, &[1]), (n, &[5]), (n, &[]), (n, &[2, 2]), (&[], &[2])]
    {
        let error = Group::find(modulus, generator, Legacy::Allowed).unwrap_err();
        assert!(error.is(&rules::UNKNOWN_GROUP), "{error:?}");
    }
    for bits in [0, 2047, 2049, 65536] {
        assert!(Group::from_bits(bits, Legacy::Allowed).unwrap_err().is(&rules::UNKNOWN_GROUP));
    }
}

#[test]
fn a_small_group_needs_the_switch() {
    for group in [Group::Bits1024, Group::Bits1280, Group::Bits1536] {
        let error = Group::find(group.modulus(), &[2], Legacy::Refused).unwrap_err();
        assert!(error.is(&rules::GROUP_TOO_SMALL));
        assert!(Group::from_bits(group.bits(), Legacy::Refused).unwrap_err().is(&rules::GROUP_TOO_SMALL));
        assert_eq!(Group::from_bits(group.bits(), Legacy::Allowed).unwrap(), group);
    }
    assert_eq!(Group::from_bits(2048, Legacy::Refused).unwrap(), Group::Bits2048);
}

#[test]
fn no_switch_allows_the_smallest_groups_of_the_sasl_draft() {
    for modulus in moduli_too_small() {
        let error = Group::find(modulus, &[2], Legacy::Allowed).unwrap_err();
        assert!(error.is(&rules::GROUP_TOO_SMALL));
    }
}

#[test]
fn comparison_of_octets_is_that_of_numbers() {
    for (a, b, below) in
        [([0, 1], [1, 0], true), ([1, 0], [0, 1], false), ([1, 1], [1, 1], false), ([0, 0], [0, 1], true)]
    {
        assert_eq!(is_below(&a, &b), below, "{a:?} {b:?}");
    }
}
