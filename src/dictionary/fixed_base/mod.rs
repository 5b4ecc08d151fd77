//! g^x for many x in one group: how a thief of SRP verifiers tests guesses.
//!
//! g and N are public and the same for every user, so all powers that a window of x can ask for are computed once. A
//! guess then costs a multiplication for each window but the first, and no squaring: 9 for an x of 160 bits in windows of
//! 16, 15 for one of 256 bits. Nothing here is secret, so nothing is constant time.
//!
//! Two kernels: eight guesses at once where the processor has AVX-512 IFMA, else one after the other on the
//! arithmetic that logins use.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod words;

#[cfg(target_arch = "x86_64")]
use crate::pbkdf2::OPTIMISED;
use crate::srp::Group;

/// Tables of g^(d * 2^(w*j)) for one group: all digits d of w bits, all windows j.
pub struct FixedBase {
    group: Group,
    exponent_len: usize,
    window: u32,
    tables: Tables,
}

enum Tables {
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Tables),
    Words(words::Tables),
}

/// A verifier v = g^x to find x for, in the form that the tables compute in.
pub struct Target(Form);

enum Form {
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Target),
    Words(words::Target),
}

impl FixedBase {
    /// Widest window: 2^20 entries for each.
    pub const WINDOW_MAX: u32 = 20;

    /// Octets of memory that [`FixedBase::new`] takes with the same arguments.
    #[must_use]
    pub fn memory(group: Group, exponent_len: usize, window: u32) -> usize {
        let window = window.clamp(1, Self::WINDOW_MAX);
        let entries = windows(exponent_len, window).saturating_mul(1 << window);
        let entry = match kernel() {
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma => ifma::entry_len(group),
            Kernel::Words => group.modulus().len(),
        };
        entries.saturating_mul(entry)
    }

    /// Makes the tables for exponents of up to `exponent_len` octets in windows of `window` bits, 1 to
    /// [`FixedBase::WINDOW_MAX`]; beyond that the nearest width is taken.
    #[must_use]
    pub fn new(group: Group, exponent_len: usize, window: u32) -> Self {
        Self::on(kernel(), group, exponent_len, window)
    }

    fn on(kernel: Kernel, group: Group, exponent_len: usize, window: u32) -> Self {
        let window = window.clamp(1, Self::WINDOW_MAX);
        let windows = windows(exponent_len, window);
        let tables = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma => Tables::Ifma(ifma::Tables::new(group, windows, window)),
            Kernel::Words => Tables::Words(words::Tables::new(group, windows, window)),
        };
        Self { group, exponent_len, window, tables }
    }

    /// What the multiplications run on, for reports: "AVX-512 IFMA x8", "AWS-LC" or "portable".
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        match &self.tables {
            #[cfg(target_arch = "x86_64")]
            Tables::Ifma(_) => "AVX-512 IFMA x8",
            Tables::Words(_) if cfg!(feature = "srp-aws-lc") => "AWS-LC",
            Tables::Words(_) => "portable",
        }
    }

    /// Multiplications for a guess.
    #[must_use]
    pub fn multiplications(&self) -> usize {
        windows(self.exponent_len, self.window) - 1
    }

    /// A verifier, big-endian; none if it is not less than N.
    #[must_use]
    pub fn target(&self, verifier: &[u8]) -> Option<Target> {
        let zeros = verifier.iter().take_while(|octet| **octet == 0).count();
        let value = &verifier[zeros..];
        let modulus = self.group.modulus();
        let mut padded = vec![0; modulus.len().checked_sub(value.len())?];
        padded.extend_from_slice(value);
        (padded.as_slice() < modulus).then(|| {
            Target(match &self.tables {
                #[cfg(target_arch = "x86_64")]
                Tables::Ifma(tables) => Form::Ifma(tables.target(&padded)),
                Tables::Words(tables) => Form::Words(tables.target(&padded)),
            })
        })
    }

    /// The first of the exponents x, big-endian, for which g^x is the verifier.
    ///
    /// # Panics
    /// When an exponent is longer than the tables are made for, or the target is that of other tables.
    #[must_use]
    pub fn find(&self, target: &Target, exponents: &[&[u8]]) -> Option<usize> {
        let fits = exponents.iter().all(|exponent| exponent.len() <= self.exponent_len);
        assert!(fits, "exponents that the tables are made for");
        match (&self.tables, &target.0) {
            #[cfg(target_arch = "x86_64")]
            (Tables::Ifma(tables), Form::Ifma(target)) => tables.find(target, exponents),
            (Tables::Words(tables), Form::Words(target)) => tables.find(target, exponents),
            #[cfg(target_arch = "x86_64")]
            _ => panic!("a target of these tables"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Ifma,
    Words,
}

fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if OPTIMISED && ifma::available() {
        return Kernel::Ifma;
    }
    Kernel::Words
}

fn windows(exponent_len: usize, window: u32) -> usize {
    (8 * exponent_len).max(1).div_ceil(window as usize)
}

/// The digits of an exponent, least significant first.
fn digits(exponent: &[u8], window: u32, windows: usize) -> impl Iterator<Item = usize> {
    let bit = move |at: usize| {
        let octet = exponent.len().checked_sub(1 + at / 8).map_or(0, |octet| exponent[octet]);
        usize::from(octet >> (at % 8) & 1)
    };
    let window = window as usize;
    (0..windows).map(move |j| (0..window).rev().fold(0, |digit, i| digit << 1 | bit(j * window + i)))
}

#[cfg(test)]
mod tests;
