//! The groups, and the four operations that SRP needs in them.
//!
//! A group is one of a short table; there is no way to run SRP on another modulus, because a chosen one (smooth, or
//! with a trapdoor) would give the password away.
//!
//! The arithmetic stands behind the small trait `Arithmetic`. One implementation is portable (crypto-bigint), the other
//! calls the assembly kernels of AWS-LC (feature `srp-aws-lc`); which one runs is chosen when the crate is built,
//! and tests show that both agree.
//!
//! # Security
//! Powers with secret exponents take the same time and touch the same memory for all exponents of one length; table
//! entries are picked by reading the whole table. Only v^u is quicker for some u, and u is public. Temporary
//! values are wiped; copies that the compiler leaves in registers and spilled stack slots are not.

#[cfg(feature = "srp-aws-lc")]
mod aws_lc;
mod moduli;
#[cfg(any(not(feature = "srp-aws-lc"), feature = "vectors", test))]
mod portable;

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::OnceLock;

use crypto_bigint::Word;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::rules;
use crate::error::{Error, Result};

#[cfg(feature = "srp-aws-lc")]
pub(crate) type Fastest = aws_lc::AwsLc;
#[cfg(not(feature = "srp-aws-lc"))]
pub(crate) type Fastest = portable::Portable;

/// One of the known groups: a safe prime N and a generator g of the whole group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Group {
    /// 1024 bits, g = 2 (RFC 5054 and SASL SRP). Can be broken by whoever spends enough; only with [`Legacy::Allowed`].
    Bits1024,
    /// 1280 bits, g = 2 (SASL SRP only). Only with [`Legacy::Allowed`].
    Bits1280,
    /// 1536 bits, g = 2 (RFC 5054 and SASL SRP). Only with [`Legacy::Allowed`].
    Bits1536,
    /// 2048 bits, g = 2 (RFC 5054 and SASL SRP): the only one of SASL SRP with a contemporary size.
    Bits2048,
    /// 3072 bits, g = 5: the default.
    #[default]
    Bits3072,
    /// 4096 bits, g = 5.
    Bits4096,
    /// 6144 bits, g = 5.
    Bits6144,
    /// 8192 bits, g = 19.
    Bits8192,
}

/// Most octets that [`Group::exponent_len`] gives.
pub(super) const EXPONENT_MAX: usize = 50;

/// Whether groups below 2048 bits are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a switch has two positions")]
pub enum Legacy {
    /// They are not.
    #[default]
    Refused,
    /// They are: to read old records, or to talk to peers that know nothing better.
    Allowed,
}

impl Group {
    /// All groups, smallest first.
    pub const ALL: [Self; 8] = [
        Self::Bits1024,
        Self::Bits1280,
        Self::Bits1536,
        Self::Bits2048,
        Self::Bits3072,
        Self::Bits4096,
        Self::Bits6144,
        Self::Bits8192,
    ];

    /// The group with this modulus and generator, both big-endian; leading zero octets do not matter.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_GROUP`]; [`rules::GROUP_TOO_SMALL`] for the groups of the SASL draft below 1024 bits, and for
    /// those below 2048 bits unless they are allowed.
    pub fn find(modulus: &[u8], generator: &[u8], legacy: Legacy) -> Result<Self> {
        let (modulus, generator) = (minimal(modulus), minimal(generator));
        if generator == [2] && moduli_too_small().any(|small| modulus == minimal(small)) {
            return Err(Error::new(&rules::GROUP_TOO_SMALL));
        }
        Self::ALL
            .into_iter()
            .find(|group| group.modulus() == modulus && generator == [group.generator()])
            .ok_or_else(|| Error::new(&rules::UNKNOWN_GROUP))?
            .checked(legacy)
    }

    /// The group of that many bits: what [`Group::bits`] gives.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_GROUP`], [`rules::GROUP_TOO_SMALL`].
    pub fn from_bits(bits: u32, legacy: Legacy) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|group| group.bits() == bits)
            .ok_or_else(|| Error::new(&rules::UNKNOWN_GROUP))?
            .checked(legacy)
    }

    /// This group, if it is large enough.
    ///
    /// # Errors
    /// [`rules::GROUP_TOO_SMALL`].
    pub fn checked(self, legacy: Legacy) -> Result<Self> {
        if self < Self::Bits2048 && legacy == Legacy::Refused {
            return Err(Error::new(&rules::GROUP_TOO_SMALL));
        }
        Ok(self)
    }

    /// Bits of N.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.len() as u32 * 8
    }

    /// N, big-endian.
    #[must_use]
    pub fn modulus(self) -> &'static [u8] {
        match self {
            Self::Bits1024 => &moduli::N1024,
            Self::Bits1280 => &moduli::SASL_N1280,
            Self::Bits1536 => &moduli::N1536,
            Self::Bits2048 => &moduli::N2048,
            Self::Bits3072 => &moduli::N3072,
            Self::Bits4096 => &moduli::N4096,
            Self::Bits6144 => &moduli::N6144,
            Self::Bits8192 => &moduli::N8192,
        }
    }

    /// g.
    #[must_use]
    pub fn generator(self) -> u8 {
        match self {
            Self::Bits1024 | Self::Bits1280 | Self::Bits1536 | Self::Bits2048 => 2,
            Self::Bits3072 | Self::Bits4096 | Self::Bits6144 => 5,
            Self::Bits8192 => 19,
        }
    }

    /// Octets of a random exponent a or b.
    ///
    /// Pollard's methods find an exponent of 2s bits in about 2^s steps. 256 bits, the least that RFC 5054 section 3.1
    /// wants, make that 2^128: the strength of the 3072-bit group, of a 256-bit hash and of AES-128, so that nothing is
    /// gained by more there. With 4096 bits the group has a margin against progress in its own kind of attack, which
    /// does not find short exponents. Who takes 6144 or 8192 bits wants the strength that NIST SP 800-56A revision 3
    /// (table 26) gives them, 176 and 200 bits, and gets exponents of twice that.
    #[must_use]
    pub fn exponent_len(self) -> usize {
        match self {
            Self::Bits6144 => 44,
            Self::Bits8192 => EXPONENT_MAX,
            _ => 32,
        }
    }

    /// g^`exponent` mod N, as many octets as N, in constant time. The exponent is big-endian; its length is public.
    ///
    /// The first calls in a group also make its tables.
    #[must_use]
    pub fn generator_power(self, exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let ring = self.ring();
        ring.octets(&ring.generator_power(exponent))
    }

    /// Octets of N.
    pub(super) fn len(self) -> usize {
        self.modulus().len()
    }

    /// A value as N is long: `PAD` of RFC 5054 section 2.1. The value is no longer than N.
    pub(super) fn pad(self, value: &[u8]) -> Vec<u8> {
        let mut padded = vec![0; self.len() - value.len()];
        padded.extend_from_slice(value);
        padded
    }

    pub(super) fn random_exponent(self, rng: &mut dyn CryptoRng) -> Exponent {
        let mut exponent = Exponent::new(vec![0; self.exponent_len()]);
        rng.fill_bytes(&mut exponent);
        exponent
    }

    pub(super) fn ring(self) -> &'static Ring {
        static RINGS: [OnceLock<Ring>; Group::ALL.len()] = [const { OnceLock::new() }; Group::ALL.len()];
        RINGS[self as usize].get_or_init(|| Ring::new(self.modulus(), self.generator()))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bits())
    }
}

impl FromStr for Group {
    type Err = Error;

    /// Reads the number of bits, without those below 2048.
    fn from_str(text: &str) -> Result<Self> {
        let bits = text.parse().map_err(|_| Error::new(&rules::UNKNOWN_GROUP).about(text))?;
        Self::from_bits(bits, Legacy::Refused)
    }
}

fn moduli_too_small() -> impl Iterator<Item = &'static [u8]> {
    [&moduli::SASL_N264[..], &moduli::SASL_N384, &moduli::SASL_N512, &moduli::SASL_N640, &moduli::SASL_N768]
        .into_iter()
}

/// A secret exponent, big-endian; its length is public.
pub(crate) type Exponent = Zeroizing<Vec<u8>>;

/// Without leading zero octets: `bytes(n)`; zero is empty.
pub(crate) fn minimal(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    &octets[zeros..]
}

/// a + u*x, the client's exponent.
///
/// It has as many octets as u and x together, or as a, if that is longer. About once in 2^64 exchanges the sum needs
/// one more and gets it; whoever measures that learns nothing he could use.
pub(crate) fn client_exponent(a: &[u8], u: &[u8], x: &[u8]) -> Exponent {
    let len = a.len().max(u.len() + x.len());
    // Least significant octet first. A place sums up to 64 products of octets, which u32 holds with ease.
    let mut places = Zeroizing::new(vec![0_u32; len + 1]);
    for (place, octet) in places.iter_mut().zip(a.iter().rev()) {
        *place = u32::from(*octet);
    }
    for (i, u) in u.iter().rev().enumerate() {
        for (place, x) in places[i..].iter_mut().zip(x.iter().rev()) {
            *place += u32::from(*u) * u32::from(*x);
        }
    }
    let mut sum = Exponent::new(vec![0; len + 1]);
    let mut carry = 0;
    for (octet, place) in sum.iter_mut().rev().zip(places.iter()) {
        carry += place;
        *octet = carry as u8;
        carry >>= 8;
    }
    if sum[0] == 0 {
        sum.remove(0);
    }
    sum
}

/// A public value A or B that was received and checked, or made here: 2 to N-2, as many octets as N.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Share(Vec<u8>);

impl Share {
    /// Checks a peer's value before anything is computed with it. Leading zero octets are passed over.
    ///
    /// # Errors
    /// [`rules::SHARE_TOO_LONG`], [`rules::SHARE_ZERO`], [`rules::SHARE_TOO_LARGE`], [`rules::SHARE_TRIVIAL`].
    pub(super) fn parse(group: Group, octets: &[u8]) -> Result<Self> {
        let value = minimal(octets);
        if value.len() > group.len() {
            return Err(Error::new(&rules::SHARE_TOO_LONG));
        }
        if value.is_empty() {
            return Err(Error::new(&rules::SHARE_ZERO));
        }
        let padded = group.pad(value);
        if !is_below(&padded, group.modulus()) {
            return Err(Error::new(&rules::SHARE_TOO_LARGE));
        }
        // N is odd, so N-1 is N with the last bit cleared.
        let (last, most) = padded.split_last().expect("as long as N");
        let (n_last, n_most) = group.modulus().split_last().expect("not empty");
        if value == [1] || (most == n_most && *last == n_last - 1) {
            return Err(Error::new(&rules::SHARE_TRIVIAL));
        }
        Ok(Self(padded))
    }

    /// A value that was computed here, as many octets as N.
    pub(super) fn own(padded: &[u8]) -> Self {
        Self(padded.to_vec())
    }

    pub(super) fn padded(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn minimal(&self) -> &[u8] {
        minimal(&self.0)
    }
}

/// Whether `value` is less than `limit`, both of one length and big-endian, in constant time.
pub(super) fn is_below(value: &[u8], limit: &[u8]) -> bool {
    debug_assert_eq!(value.len(), limit.len());
    let borrow = value.iter().rev().zip(limit.iter().rev()).fold(0, |borrow, (value, limit)| {
        let difference = i16::from(*value) - i16::from(*limit) - borrow;
        (difference >> 8) & 1
    });
    black_box(borrow) == 1
}

/// N-1.
#[cfg(feature = "vectors")]
pub(crate) fn modulus_minus_one(group: Group) -> Vec<u8> {
    let mut octets = group.modulus().to_vec();
    *octets.last_mut().expect("not empty") -= 1;
    octets
}

/// Whether N and (N-1)/2 pass a test of Fermat, and g generates the whole group. For tables that were checked for
/// primes already: a change in them does not get through.
#[cfg(feature = "vectors")]
pub(crate) fn is_safe_prime_with_root(modulus: &[u8], generator: u8) -> (bool, bool) {
    let half = |octets: &[u8]| {
        let shifted = |i: usize| if i == 0 { 0 } else { octets[i - 1] << 7 };
        octets.iter().enumerate().map(|(i, octet)| octet >> 1 | shifted(i)).collect::<Vec<_>>()
    };
    let minus_one = |octets: &[u8]| [&octets[..octets.len() - 1], &[octets[octets.len() - 1] - 1]].concat();
    let power = |modulus: &[u8], base: u8, exponent: &[u8]| {
        let arithmetic = portable::Portable::new(modulus);
        let mut result = vec![0; modulus.len()];
        arithmetic.octets(&arithmetic.power(&arithmetic.residue(&[base]), exponent), &mut result);
        result
    };
    if modulus.last().is_none_or(|octet| octet % 4 != 3) {
        return (false, false);
    }
    let q = half(modulus);
    let q_is_prime = minimal(&power(&q, 2, &minus_one(&q))) == [1];
    let to_q = power(modulus, generator, &q);
    let is_root = to_q == minus_one(modulus);
    // With q prime, Pocklington's criterion makes N prime if g^q is -1.
    (q_is_prime && (is_root || minimal(&to_q) == [1]), is_root)
}

/// What a backend does: Montgomery arithmetic modulo one odd prime.
///
/// Both keep R = 2^(bits of all words), so their residues have the same words.
pub(crate) trait Arithmetic: Sized + Send + Sync + 'static {
    /// Fully reduced, in Montgomery form, wiped on drop.
    type Residue: Clone;

    fn new(modulus: &[u8]) -> Self;

    /// From a value below N, no longer than N.
    fn residue(&self, octets: &[u8]) -> Self::Residue;

    /// The value, as many octets as `out` has: the length of N.
    fn octets(&self, residue: &Self::Residue, out: &mut [u8]);

    /// Least significant word first.
    fn words<'a>(&self, residue: &'a Self::Residue) -> &'a [Word];

    fn words_mut<'a>(&self, residue: &'a mut Self::Residue) -> &'a mut [Word];

    fn multiply(&self, product: &mut Self::Residue, factor: &Self::Residue);

    fn square(&self, value: &mut Self::Residue);

    /// Copies one entry of a table while reading all of them.
    fn select(table: &Table, index: usize, out: &mut [Word]) {
        table.select(index, out);
    }

    /// In constant time for base and exponent; the length of the exponent is public.
    fn power(&self, base: &Self::Residue, exponent: &[u8]) -> Self::Residue;
}

/// Teeth of the comb: 2^6 entries in each table. More tables make fewer multiplications, and longer scans.
const TEETH: usize = 6;

/// Distance of the teeth, in bits: one less than this many squarings for a power of any length.
const SPACING: usize = 4;

/// Bits of an exponent that one table answers for.
const TABLE_BITS: usize = TEETH * SPACING;

/// Tables of a group, each made when an exponent first needs it: together 528 bits, enough for an x of SHA-512.
const TABLES: usize = 22;

/// Bits of a window of the exponent, where there is no comb.
const WINDOW: usize = 5;

/// The arithmetic of one group.
pub(super) struct Ring<A: Arithmetic = Fastest> {
    arithmetic: A,
    modulus: &'static [u8],
    modulus_words: Zeroizing<Vec<Word>>,
    one: A::Residue,
    generator: A::Residue,
    tables: [OnceLock<Table>; TABLES],
}

impl<A: Arithmetic> Ring<A> {
    fn new(modulus: &'static [u8], generator: u8) -> Self {
        let arithmetic = A::new(modulus);
        Self {
            one: arithmetic.residue(&[1]),
            generator: arithmetic.residue(&[generator]),
            modulus_words: words_of(modulus),
            modulus,
            arithmetic,
            tables: [const { OnceLock::new() }; TABLES],
        }
    }

    /// B = k*v + g^b.
    pub(super) fn server_share(&self, k: &[u8], v: &A::Residue, b: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut kv = self.arithmetic.residue(k);
        self.arithmetic.multiply(&mut kv, v);
        self.octets(&self.add(kv, &self.generator_power(b)))
    }

    /// S = (A*v^u)^b.
    ///
    /// u is public, so nothing is lost when v^u takes the quick way; what follows needs b and is constant time.
    pub(super) fn server_secret(&self, a: &Share, v: &A::Residue, u: &[u8], b: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut base = self.public_power(v, u);
        self.arithmetic.multiply(&mut base, &self.residue(a.padded()));
        self.octets(&self.arithmetic.power(&base, b))
    }

    /// S = (B - k*g^x)^(a + u*x), from the exponent that [`client_exponent`] gives.
    pub(super) fn client_secret(&self, b: &Share, k: &[u8], x: &[u8], exponent: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut kv = self.generator_power(x);
        self.arithmetic.multiply(&mut kv, &self.arithmetic.residue(k));
        let base = self.subtract(self.residue(b.padded()), &kv);
        self.octets(&self.arithmetic.power(&base, exponent))
    }

    /// From a value below N, no longer than N.
    pub(super) fn residue(&self, octets: &[u8]) -> A::Residue {
        self.arithmetic.residue(octets)
    }

    fn octets(&self, residue: &A::Residue) -> Zeroizing<Vec<u8>> {
        let mut octets = Zeroizing::new(vec![0; self.modulus.len()]);
        self.arithmetic.octets(residue, &mut octets);
        octets
    }

    /// g^e by the comb of Lim and Lee, in constant time: a multiplication for every six bits of the exponent instead of
    /// a squaring for each.
    ///
    /// Bit 24*j + 4*i + r of the exponent belongs to tooth i of table j in round r.
    fn generator_power(&self, exponent: &[u8]) -> A::Residue {
        let bits = 8 * exponent.len();
        if bits > TABLES * TABLE_BITS {
            return self.arithmetic.power(&self.generator, exponent);
        }
        let mut power: Option<A::Residue> = None;
        let mut entry = self.one.clone();
        for round in (0..SPACING).rev() {
            if let Some(power) = &mut power {
                self.arithmetic.square(power);
            }
            for (j, first) in (round..bits).step_by(TABLE_BITS).enumerate() {
                let teeth = (first..bits).step_by(SPACING).take(TEETH);
                let index = teeth.enumerate().fold(0, |index, (i, at)| index | bit(exponent, at) << i);
                A::select(self.table(j), index, self.arithmetic.words_mut(&mut entry));
                match &mut power {
                    Some(power) => self.arithmetic.multiply(power, &entry),
                    None => power = Some(entry.clone()),
                }
            }
        }
        power.unwrap_or_else(|| self.one.clone())
    }

    /// The products of g^(2^(24*j + 4*i)) over all sets of teeth i.
    fn table(&self, j: usize) -> &Table {
        self.tables[j].get_or_init(|| {
            let mut base = self.generator.clone();
            (0..j * TABLE_BITS).for_each(|_| self.arithmetic.square(&mut base));
            let mut entries = vec![self.one.clone()];
            for tooth in 0..TEETH {
                for set in 0..1 << tooth {
                    let mut entry = entries[set].clone();
                    self.arithmetic.multiply(&mut entry, &base);
                    entries.push(entry);
                }
                (0..SPACING).for_each(|_| self.arithmetic.square(&mut base));
            }
            Table::new(entries.iter().map(|entry| self.arithmetic.words(entry)))
        })
    }

    /// Constant time for the base only: a sliding window over an exponent that everybody may know.
    fn public_power(&self, base: &A::Residue, exponent: &[u8]) -> A::Residue {
        let mut square = base.clone();
        self.arithmetic.square(&mut square);
        let mut odd_powers = vec![base.clone()];
        for i in 1..1 << (WINDOW - 1) {
            let mut next: A::Residue = odd_powers[i - 1].clone();
            self.arithmetic.multiply(&mut next, &square);
            odd_powers.push(next);
        }
        let mut power: Option<A::Residue> = None;
        let mut bits = 8 * exponent.len();
        while bits > 0 {
            // A window begins and ends with a bit that is set; a zero between windows goes alone.
            let top = bits - 1;
            let lowest = if bit(exponent, top) == 1 { bits.saturating_sub(WINDOW) } else { top };
            let low = (lowest..top).find(|at| bit(exponent, *at) == 1).unwrap_or(top);
            let window = (low..bits).rev().fold(0, |window, at| window << 1 | bit(exponent, at));
            if let Some(power) = &mut power {
                (low..bits).for_each(|_| self.arithmetic.square(power));
            }
            if window != 0 {
                let factor = &odd_powers[window >> 1];
                match &mut power {
                    Some(power) => self.arithmetic.multiply(power, factor),
                    None => power = Some(factor.clone()),
                }
            }
            bits = low;
        }
        power.unwrap_or_else(|| self.one.clone())
    }

    fn add(&self, mut sum: A::Residue, summand: &A::Residue) -> A::Residue {
        let words = self.arithmetic.words_mut(&mut sum);
        let carry = carrying(words, self.arithmetic.words(summand), Word::overflowing_add);
        self.subtract_modulus_unless(words, carry);
        sum
    }

    fn subtract(&self, mut difference: A::Residue, subtrahend: &A::Residue) -> A::Residue {
        let words = self.arithmetic.words_mut(&mut difference);
        let borrow = carrying(words, self.arithmetic.words(subtrahend), Word::overflowing_sub);
        let mut wrapped = Zeroizing::new(words.to_vec());
        carrying(&mut wrapped, &self.modulus_words, Word::overflowing_add);
        choose(words, &wrapped, borrow);
        difference
    }

    /// Makes a sum of two residues, with its carry, less than N.
    fn subtract_modulus_unless(&self, words: &mut [Word], carry: Word) {
        let mut reduced = Zeroizing::new(words.to_vec());
        let borrow = carrying(&mut reduced, &self.modulus_words, Word::overflowing_sub);
        // It was at least N if it had a carry or if nothing had to be borrowed.
        choose(words, &reduced, carry | (borrow ^ 1));
    }
}

/// Adds or subtracts word by word; gives the last carry, 0 or 1.
fn carrying(words: &mut [Word], others: &[Word], step: fn(Word, Word) -> (Word, bool)) -> Word {
    words.iter_mut().zip(others).fold(0, |carry, (word, other)| {
        let (partial, first) = step(*word, *other);
        let (total, second) = step(partial, carry);
        *word = total;
        Word::from(first | second)
    })
}

/// Takes the other words if `choice` is 1, keeps them if it is 0.
fn choose(words: &mut [Word], others: &[Word], choice: Word) {
    let mask = (0 as Word).wrapping_sub(black_box(choice));
    for (word, other) in words.iter_mut().zip(others) {
        *word ^= (*word ^ other) & mask;
    }
}

/// Words of a block. The entries' words of one block stand together, so that a scan reads memory in order.
const BLOCK: usize = 16;

/// Entries that are read by secret indices.
pub(crate) struct Table {
    blocks: Zeroizing<Vec<[Word; BLOCK]>>,
    entries: usize,
}

impl Table {
    fn new<'a>(entries: impl ExactSizeIterator<Item = &'a [Word]> + Clone) -> Self {
        let len = entries.clone().next().map_or(0, <[Word]>::len);
        let mut blocks = Zeroizing::new(Vec::with_capacity(len.div_ceil(BLOCK) * entries.len()));
        for at in (0..len).step_by(BLOCK) {
            for entry in entries.clone() {
                let mut block = [0; BLOCK];
                let words = &entry[at..len.min(at + BLOCK)];
                block[..words.len()].copy_from_slice(words);
                blocks.push(block);
            }
        }
        Self { blocks, entries: entries.len() }
    }

    /// Copies one entry while reading all of them.
    #[inline(always)]
    fn select(&self, index: usize, out: &mut [Word]) {
        // All ones where the difference is zero: only then does the top bit get set by taking one away.
        let masks: [Word; 1 << TEETH] = std::array::from_fn(|i| {
            let difference = (i ^ index) as Word;
            (difference.wrapping_sub(1) >> (Word::BITS - 1)).wrapping_neg()
        });
        for (out, entries) in out.chunks_mut(BLOCK).zip(self.blocks.chunks_exact(self.entries)) {
            let mut chosen = [0; BLOCK];
            for (entry, mask) in entries.iter().zip(&masks) {
                // Hides from the optimiser that all masks but one are zero, and keeps it from gathering one word each of
                // several entries into a register, which is slow.
                let mask = black_box(*mask);
                for (chosen, word) in chosen.iter_mut().zip(entry) {
                    *chosen |= word & mask;
                }
            }
            out.copy_from_slice(&chosen[..out.len()]);
        }
    }
}

/// The bit of weight 2^`at`.
fn bit(octets: &[u8], at: usize) -> usize {
    usize::from(octets[octets.len() - 1 - at / 8] >> (at % 8) & 1)
}

/// Least significant word first.
fn words_of(octets: &[u8]) -> Zeroizing<Vec<Word>> {
    let words = octets.rchunks(size_of::<Word>());
    Zeroizing::new(
        words.map(|chunk| chunk.iter().fold(0, |word, octet| word << 8 | Word::from(*octet))).collect(),
    )
}

#[cfg(test)]
mod tests;
