//! Every kernel against the constant-time power of logins.

use super::*;

fn kernels() -> Vec<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() {
        return vec![Kernel::Words, Kernel::Ifma];
    }
    vec![Kernel::Words]
}

/// Exponents with all digits of a small window, and the edges.
fn exponents(len: usize) -> Vec<Vec<u8>> {
    let patterned = (0..6_u8).map(|i| (0..len).map(|j| (91 * j + 57 * usize::from(i)) as u8).collect());
    [vec![], vec![0], vec![1], vec![0; len], vec![0xff; len]].into_iter().chain(patterned).collect()
}

fn check(kernel: Kernel, group: Group, exponent_len: usize, window: u32) {
    let tables = FixedBase::on(kernel, group, exponent_len, window);
    let exponents = exponents(exponent_len);
    let slices = exponents.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let verifiers = slices.iter().map(|exponent| group.generator_power(exponent)).collect::<Vec<_>>();
    for verifier in &verifiers {
        let target = tables.target(verifier).unwrap();
        let first = verifiers.iter().position(|other| other == verifier);
        assert_eq!(tables.find(&target, &slices), first, "{kernel:?} {group} {window}");
        let others = slices.iter().zip(&verifiers).filter(|(_, other)| *other != verifier);
        let others = others.map(|(exponent, _)| *exponent).collect::<Vec<_>>();
        assert_eq!(tables.find(&target, &others), None);
    }
}

#[test]
fn each_kernel_agrees_with_the_power_of_logins() {
    for kernel in kernels() {
        for (group, window) in
            [(Group::Bits1024, 1), (Group::Bits1024, 5), (Group::Bits1280, 2), (Group::Bits1536, 4)]
        {
            check(kernel, group, 20, window);
        }
        check(kernel, Group::Bits2048, 32, 6);
    }
}

#[test]
fn each_group_gives_the_right_power() {
    for kernel in kernels() {
        for group in Group::ALL {
            let tables = FixedBase::on(kernel, group, 4, 2);
            let x = [0xc3, 0x5a, 0x99, 0x0f];
            let target = tables.target(&group.generator_power(&x)).unwrap();
            assert_eq!(tables.find(&target, &[&[1], &x[1..], &x]), Some(2), "{kernel:?} {group}");
            // N-1, the largest residue, and 0, which no power is.
            let mut last = group.modulus().to_vec();
            *last.last_mut().unwrap() -= 1;
            assert_eq!(tables.find(&tables.target(&last).unwrap(), &[&x, &[]]), None);
            assert_eq!(tables.find(&tables.target(&[]).unwrap(), &[&x, &[]]), None);
        }
    }
}

#[test]
fn a_verifier_is_less_than_n() {
    let group = Group::Bits1024;
    let tables = FixedBase::new(group, 1, 4);
    assert!(tables.target(group.modulus()).is_none());
    assert!(tables.target(&[1; 129]).is_none());
    let mut last = group.modulus().to_vec();
    *last.last_mut().unwrap() -= 1;
    assert!(tables.target(&last).is_some());
    assert!(tables.target(&[&[0; 40][..], &last].concat()).is_some(), "zeros in front do not matter");
}

#[test]
fn an_exponent_has_the_length_that_the_tables_are_made_for() {
    let tables = FixedBase::new(Group::Bits1024, 2, 4);
    let target = tables.target(&[2]).unwrap();
    assert_eq!(tables.find(&target, &[&[0, 1]]), Some(0));
    let longer = std::panic::AssertUnwindSafe(|| tables.find(&target, &[&[0, 0, 1]]));
    assert!(std::panic::catch_unwind(longer).is_err());
}

#[test]
fn a_guess_costs_a_multiplication_for_each_window_but_the_first() {
    let of = |exponent_len, window| FixedBase::new(Group::Bits1024, exponent_len, window).multiplications();
    assert_eq!([of(4, 4), of(4, 5), of(1, 8), of(1, 4), of(1, 40)], [7, 6, 0, 1, 0]);
}

#[test]
fn memory_is_that_of_all_entries() {
    let group = Group::Bits2048;
    assert_eq!(FixedBase::memory(group, 20, 16), 10 * FixedBase::memory(group, 2, 16));
    assert_eq!(FixedBase::memory(group, 2, 16), 256 * FixedBase::memory(group, 1, 8));
    assert_eq!(FixedBase::memory(group, 1, 0), FixedBase::memory(group, 1, 1));
}
