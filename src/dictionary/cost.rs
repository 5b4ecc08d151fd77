//! From work to guesses a second, times and money: reference attackers, each figure with its source.
//!
//! `docs/offline-cost.md` explains how each figure was taken, and what would falsify it.

use super::work::{GuessWork, Unit};

/// How well a figure is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Basis {
    /// Somebody measured it and published it.
    Measured,
    /// Computed from the limits of the hardware: nobody is faster, and perhaps nobody is as fast.
    Limit,
    /// We had to assume it.
    Assumed,
}

/// One figure about an RTX 4090, and where it stands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Figure {
    /// What it is, with its unit.
    pub what: &'static str,
    /// The number.
    pub value: f64,
    /// How well it is known.
    pub basis: Basis,
    /// Where it stands, or how it was computed.
    pub source: &'static str,
}

const GIST: &str = "https://gist.github.com/Chick3nman/32e662a5bb63bc4f51b847bb422222fd";

/// Of `hashcat -b -m 23200` (XMPP SCRAM): 5110.7 kH/s at 4095 iterations.
const SHA1: Figure = Figure {
    what: "compressions of SHA-1 a second",
    value: 5_110_700.0 * 4095.0 * 2.0,
    basis: Basis::Measured,
    source: GIST,
};

/// Of `hashcat -b -m 28600` (PostgreSQL SCRAM-SHA-256): 2212.3 kH/s at 4095 iterations.
const SHA256: Figure = Figure {
    what: "compressions of SHA-256 a second",
    value: 2_212_300.0 * 4095.0 * 2.0,
    basis: Basis::Measured,
    source: GIST,
};

/// Of `hashcat -b -m 8200`, PBKDF2-HMAC-SHA512 for one block of output: 81,369 H/s at 39,999 iterations.
const SHA512: Figure = Figure {
    what: "compressions of SHA-512 a second",
    value: 81_369.0 * 39_999.0 * 2.0,
    basis: Basis::Measured,
    source: GIST,
};

/// Of `hashcat -b -m 17600`, one permutation for a hash: 5056.8 MH/s.
const KECCAK: Figure = Figure {
    what: "permutations of Keccak a second",
    value: 5_056_800_000.0,
    basis: Basis::Measured,
    source: GIST,
};

const MULTIPLY: Figure = Figure {
    what: "multiplications of 32 by 32 bits a second, one half of the product each",
    value: 128.0 * 64.0 * 2.52e9,
    basis: Basis::Limit,
    source: "128 multiprocessors, 64 a clock in each (CUDA C++ Programming Guide, arithmetic instructions, compute capability 8.9), 2.52 GHz boost clock",
};

const BANDWIDTH: Figure = Figure {
    what: "octets of memory a second",
    value: 1008e9,
    basis: Basis::Limit,
    source: "NVIDIA's specification of the RTX 4090",
};

const PRICE: Figure = Figure {
    what: "US$ an hour for one, rented",
    value: 0.34,
    basis: Basis::Measured,
    source: "RunPod's price in March 2026, https://deploybase.ai/articles/rtx-4090-cloud",
};

/// The figures that all reference attackers are made of, for one RTX 4090.
pub static FIGURES: [Figure; 7] = [SHA1, SHA256, SHA512, KECCAK, MULTIPLY, BANDWIDTH, PRICE];

/// Somebody with so many graphics cards.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attacker {
    /// A name for tables.
    pub name: &'static str,
    /// RTX 4090 cards. Guesses are independent, so that many cards are as many times faster.
    pub cards: u32,
}

/// One card, a machine full of them, and a cloud.
pub static ATTACKERS: [Attacker; 3] = [
    Attacker { name: "1 GPU", cards: 1 },
    Attacker { name: "8 GPUs", cards: 8 },
    Attacker { name: "10^4 GPUs", cards: 10_000 },
];

impl Attacker {
    /// Guesses a second.
    #[must_use]
    pub fn rate(&self, work: &GuessWork) -> f64 {
        let seconds = work.parts().iter().map(|(unit, count)| *count as f64 / card_rate(*unit)).sum::<f64>();
        f64::from(self.cards) / seconds
    }

    /// What he pays, in US$ an hour.
    #[must_use]
    pub fn dollars_per_hour(&self) -> f64 {
        f64::from(self.cards) * PRICE.value
    }

    /// What so many seconds cost him, in US$.
    #[must_use]
    pub fn dollars(&self, seconds: f64) -> f64 {
        self.dollars_per_hour() * seconds / 3600.0
    }
}

/// How often a unit of work is done a second on one card.
fn card_rate(unit: Unit) -> f64 {
    match unit {
        Unit::Sha1 => SHA1.value,
        Unit::Sha256 => SHA256.value,
        Unit::Sha512 => SHA512.value,
        Unit::Keccak => KECCAK.value,
        Unit::Multiplication { bits } => {
            // 2n^2 + n products of words, of which the low and the high half are an instruction each; and one entry of a
            // table is read.
            let words = f64::from(bits / 32);
            let arithmetic = MULTIPLY.value / (2.0 * (2.0 * words * words + words));
            let memory = BANDWIDTH.value / f64::from(bits / 8);
            arithmetic.min(memory)
        }
        // 252 doublings and additions of about 12 field multiplications.
        Unit::RistrettoPower => card_rate(Unit::Multiplication { bits: 256 }) / (252.0 * 12.0),
        // https://tobtu.com/minimum-password-settings/: each pass but the first reads what it overwrites, too.
        Unit::Argon2id { memory, passes, .. } => {
            BANDWIDTH.value / (1024.0 * f64::from(memory) * (3.0 * f64::from(passes) - 1.0))
        }
        // The same page.
        Unit::Scrypt { log_n, block, lanes } => {
            BANDWIDTH.value / (1.25 * 128.0 * f64::from(log_n).exp2() * f64::from(block) * f64::from(lanes))
        }
    }
}

/// A set of passwords that an attacker goes through.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Dictionary {
    /// A name for tables.
    pub name: &'static str,
    /// How many passwords there are.
    pub guesses: f64,
}

/// From the passwords that everybody tries to random ones.
pub static DICTIONARIES: [Dictionary; 6] = [
    Dictionary { name: "10^4", guesses: 1e4 },
    Dictionary { name: "10^6", guesses: 1e6 },
    Dictionary { name: "rockyou", guesses: 14_344_391.0 },
    Dictionary { name: "10^9", guesses: 1e9 },
    Dictionary { name: "40 bits", guesses: (1_u64 << 40) as f64 },
    Dictionary { name: "60 bits", guesses: (1_u64 << 60) as f64 },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a / b - 1.0).abs() < 0.01
    }

    #[test]
    fn the_published_figures_come_out_again() {
        let card = &ATTACKERS[0];
        // Other modes of the same run, which have fewer iterations and so a larger part of other work: PBKDF2 with
        // SHA-256 (10900) and SHA-512 (12100), WPA with two blocks of output (22000).
        let near = |unit, count, measured: f64| {
            let ratio = card.rate(&GuessWork::new([(unit, count)])) / measured;
            assert!((1.0..1.05).contains(&ratio), "{unit:?}: {ratio}");
        };
        near(Unit::Sha256, 2 * 999, 8_865_700.0);
        near(Unit::Sha512, 2 * 999, 3_120_900.0);
        near(Unit::Sha1, 4 * 4095, 2_533_300.0);
        // The same page's minimum, m=19456 and t=2, is made for 10,000 guesses a second at 960 GB/s.
        let argon2id = GuessWork::new([(Unit::Argon2id { memory: 19_456, passes: 2, lanes: 1 }, 1)]);
        assert!(close(card.rate(&argon2id), 10_000.0 * 1008.0 / 960.0 * 93_750.0 / 97_280.0));
        let scrypt = GuessWork::new([(Unit::Scrypt { log_n: 17, block: 8, lanes: 1 }, 1)]);
        assert!((5_000.0..10_000.0).contains(&card.rate(&scrypt)));
    }

    #[test]
    fn more_cards_are_as_many_times_faster_and_dearer() {
        let work = GuessWork::new([(Unit::Sha256, 2000), (Unit::Multiplication { bits: 3072 }, 15)]);
        let [one, eight, cloud] = &ATTACKERS;
        assert!(close(eight.rate(&work), 8.0 * one.rate(&work)));
        assert!(close(cloud.dollars(3600.0), 3400.0));
    }
}
