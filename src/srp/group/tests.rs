//! Both backends against each other, against plain powers, and against numbers with known answers.
use super::*;
#[test]
fn timing() {
    for g in [Group::Bits2048, Group::Bits3072, Group::Bits8192] {
        let t = std::time::Instant::now();
        g.generator_power(&[0xab; 32]);
        let first = t.elapsed();
        let t = std::time::Instant::now();
        g.generator_power(&[0xab; 32]);
        let second = t.elapsed();
        let t = std::time::Instant::now();
        let r = g.ring(); let b = r.residue(&[7]);
        r.arithmetic.power(&b, &[0xab; 32]);
        eprintln!("{g} {first:?} {second:?} power {:?}", t.elapsed());
    }
}
