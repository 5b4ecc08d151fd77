//! `countersign cost calibrate`: work factors for a wanted login time on this machine.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use countersign::dictionary::cost::ATTACKERS;
use countersign::dictionary::{GuessWork, exposure_of_record};
use countersign::ksf::{ARGON2_MEMORY_PER_LANE, ARGON2_PASSES_MAX, Ksf};
use countersign::prep::Preparation;
use countersign::registry::Credential;
use countersign::scram::{HashFunction, ITERATIONS_MAX, ITERATIONS_MIN, StoredCredential, pbkdf2};
use countersign::spake2plus::{P256, ProverSecret};
use serde_json::json;

use super::numbers;
use crate::exit::Failure;
use crate::output;

/// The list that the cost is told for.
const ROCKYOU: usize = 2;

/// Propose work factors of PBKDF2 and Argon2id for a wanted login time
///
/// The time is that of one login on one core of this machine. Choose it on the slowest device that logs in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign cost calibrate
  countersign cost calibrate --login-time 1000 --memory 256
  countersign cost calibrate --json

Exit codes: 0 success, 2 wrong arguments.")]
pub(crate) struct Args {
    /// How long the password hash of a login may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    login_time: u64,
    /// Most memory for Argon2id, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=2048))]
    memory: u32,
    /// Print the proposals as JSON
    #[arg(long)]
    json: bool,
}

struct Proposal {
    hash: String,
    setting: String,
    seconds: f64,
    work: GuessWork,
    note: &'static str,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let wanted = Duration::from_millis(args.login_time).as_secs_f64();
    let mut proposals = Vec::new();
    for hash in HashFunction::ALL {
        proposals.push(for_pbkdf2(hash, wanted)?);
    }
    proposals.push(for_argon2id(wanted, args.memory * 1024)?);
    if args.json {
        let rows = proposals.iter().map(|proposal| {
            json!({
                "hash": proposal.hash,
                "setting": proposal.setting,
                "login_seconds": proposal.seconds,
                "guesses_per_second_of_one_gpu": ATTACKERS[0].rate(&proposal.work),
                "note": proposal.note,
            })
        });
        let rows = rows.collect::<Vec<_>>();
        return output::print(json!({ "wanted_login_seconds": wanted, "proposals": rows }));
    }
    let rockyou = countersign::dictionary::cost::DICTIONARIES[ROCKYOU];
    let list = format!("{} on {}", rockyou.name, ATTACKERS[0].name);
    let mut table = output::table(&["password hash", "setting", "login", &list, "note"], 0);
    for proposal in &proposals {
        let seconds = rockyou.guesses / ATTACKERS[0].rate(&proposal.work);
        let cost = format!("{}, {}", numbers::time(seconds), numbers::money(ATTACKERS[0].dollars(seconds)));
        table.add_row([
            proposal.hash.clone(),
            proposal.setting.clone(),
            numbers::time(proposal.seconds),
            cost,
            proposal.note.to_owned(),
        ]);
    }
    output::print(output::lines(&table))
}

fn for_pbkdf2(hash: HashFunction, wanted: f64) -> Result<Proposal, Failure> {
    let each = time_of_iteration(hash);
    let fitting = two_digits(wanted / each);
    let iterations = fitting.clamp(ITERATIONS_MIN, ITERATIONS_MAX);
    let note = match iterations {
        ITERATIONS_MIN if fitting < ITERATIONS_MIN => "the least that clients accept; the login takes longer",
        ITERATIONS_MAX if fitting > ITERATIONS_MAX => "the most that clients accept",
        iterations if iterations < hash.default_iterations() => "below what OWASP asks for",
        _ => "",
    };
    // Any record with this count has the same work.
    let count = NonZeroU32::new(iterations).expect("at least the fewest iterations");
    let key = vec![1; hash.output_len()];
    let record = StoredCredential::from_parts(hash, &[7; 16], count, &key, &key)?;
    let exposure = exposure_of_record(&Credential::Scram(record), "", Preparation::default())?;
    let countersign::dictionary::Exposure::Guesses(oracle) = exposure else {
        unreachable!("records of SCRAM test guesses")
    };
    Ok(Proposal {
        hash: format!("PBKDF2 for {}", hash.scheme()),
        setting: format!("{iterations} iterations"),
        seconds: each * f64::from(iterations),
        work: oracle.work(),
        note,
    })
}

/// As one login runs it: one password, one core.
fn time_of_iteration(hash: HashFunction) -> f64 {
    const LEAST: Duration = Duration::from_millis(50);
    let time = |iterations: NonZeroU32| {
        let (start, mut out) = (Instant::now(), [0; 64]);
        pbkdf2(hash, b"a password", &[7; 16], iterations, &mut out[..hash.output_len()]);
        start.elapsed()
    };
    let mut iterations = NonZeroU32::new(4096).expect("not 0");
    while time(iterations) < LEAST {
        iterations = iterations.saturating_mul(NonZeroU32::new(4).expect("not 0"));
    }
    best(|| time(iterations)).as_secs_f64() / f64::from(iterations.get())
}

/// The best of some runs: whatever else the machine does only makes one longer.
fn best(mut run: impl FnMut() -> Duration) -> Duration {
    const RUNS: usize = 4;
    (0..RUNS).map(|_| run()).min().expect("some runs")
}

fn for_argon2id(wanted: f64, most_memory: u32) -> Result<Proposal, Failure> {
    const PASSES: u32 = 2;
    // KiB and passes a second, with as much memory as the proposal may have.
    let speed = f64::from(most_memory * PASSES) / time_of_argon2id(most_memory, PASSES)?;
    let fitting = (wanted * speed / f64::from(PASSES)) as u32;
    let (memory, passes) = if fitting >= most_memory {
        // The memory is used up; what is left of the time goes into passes.
        (most_memory, ((wanted * speed / f64::from(most_memory)) as u32).clamp(PASSES, ARGON2_PASSES_MAX))
    } else {
        (two_digits(fitting.into()).max(ARGON2_MEMORY_PER_LANE), PASSES)
    };
    let note =
        if f64::from(memory) * f64::from(passes) < 19_456.0 * 2.0 { "below what OWASP asks for" } else { "" };
    Ok(Proposal {
        hash: "Argon2id".to_owned(),
        setting: format!("m={memory} KiB, t={passes}, p=1"),
        seconds: time_of_argon2id(memory, passes)?,
        work: GuessWork::stretching(Ksf::argon2id(memory, passes, 1)?, 32),
        note,
    })
}

fn time_of_argon2id(memory: u32, passes: u32) -> Result<f64, Failure> {
    let ksf = Ksf::argon2id(memory, passes, 1)?;
    let derive = || ProverSecret::<P256>::derive(b"a password", b"alice", b"", ksf, &[7; 16]).map(drop);
    derive()?;
    let time = best(|| {
        let start = Instant::now();
        derive().expect("it ran before");
        start.elapsed()
    });
    Ok(time.as_secs_f64())
}

/// Rounded down to two digits that are not zero.
fn two_digits(value: f64) -> u32 {
    let scale = 10_f64.powi((value.max(1.0).log10() as i32 - 1).max(0));
    ((value / scale).floor() * scale) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_two_digits() {
        assert_eq!([7.9, 99.9, 1234.0, 606_999.0, 5e8].map(two_digits), [7, 99, 1200, 600_000, 500_000_000]);
    }
}
