//! `countersign cost`: what offline guessing costs an attacker, measured here and computed for others.

mod audit;
mod calibrate;
mod explain;
mod measure;
mod numbers;
mod plot;
mod report;
mod samples;
mod target;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::dictionary::export::{self, Tool};
use countersign::dictionary::{Exposure, Oracle};
use countersign::records::Record;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output;
use target::{Subject, Target, TargetArgs};

/// Measure what offline password guessing costs an attacker, and audit transcripts and records
///
/// Without a file every mechanism is measured in every situation: what a listener hears, what an impostor is told, and
/// what a thief finds in a stored record. With a file, what that transcript, capture or record is worth.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  countersign cost
  countersign cost --mechanism TLS13-PSK --seconds 3
  countersign cost --plot cost.svg --json > cost.json
  countersign cost session.transcript --wordlist words.txt --state audit.state
  countersign cost tpasswd --user alice --wordlist words.txt
  countersign cost rolpassword.txt --export hashcat > hashes.txt
  countersign cost calibrate --login-time 250

Exit codes: 0 nothing was found, 1 the password was found or the record is the secret itself,
2 wrong arguments or unusable input, 7 a limit is exceeded, 8 a file cannot be read or written."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    target: TargetArgs,
    /// Only this mechanism; may be given several times
    #[arg(long = "mechanism", value_name = "NAME")]
    mechanisms: Vec<String>,
    /// Try every line of this file as the password
    #[arg(long, value_name = "FILE", requires = "file", conflicts_with_all = ["export", "plot"])]
    wordlist: Option<PathBuf>,
    /// Keep in this file how far the list was tried, and go on from there
    #[arg(long, value_name = "FILE", requires = "wordlist")]
    state: Option<PathBuf>,
    /// Print the records as lines for another cracker
    #[arg(long, value_name = "TOOL", requires = "file", conflicts_with_all = ["mechanisms", "plot"])]
    export: Option<ToolName>,
    /// Draw cost over guesses for one GPU into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure each test for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Use so many threads instead of one for each core
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Calibrate(calibrate::Args),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ToolName {
    Hashcat,
    John,
}

impl From<ToolName> for Tool {
    fn from(name: ToolName) -> Self {
        match name {
            ToolName::Hashcat => Self::Hashcat,
            ToolName::John => Self::John,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(Command::Calibrate(args)) = &args.command {
        return calibrate::run(args);
    }
    if args.target.takes_stdin() && args.wordlist.as_deref() == Some(Path::new("-")) {
        let what = "file and list cannot both come from stdin";
        return Err(Failure::new(Exit::Usage, what, "Name a file for one of them."));
    }
    let target = args.target.read()?;
    if let Some(tool) = args.export {
        return export(target.as_ref().map_or(&[][..], Target::records), tool.into(), args.json);
    }
    let subjects = match &target {
        Some(target) => target.subjects(&args.target)?,
        None => samples::all(&args.mechanisms)?,
    };
    let subjects = chosen(subjects, &args.mechanisms)?;
    if let (Some(words), Some(target)) = (&args.wordlist, &target) {
        let oracle = match only(subjects)?.exposure {
            Exposure::Guesses(oracle) => oracle,
            exposure => return audit::nothing_to_try(&exposure, args.json),
        };
        let plan = audit::Plan {
            oracle: &*oracle,
            words,
            state: args.state.as_deref(),
            fingerprint: target.fingerprint(&*oracle),
            threads: threads(args),
            json: args.json,
        };
        return audit::run(&plan);
    }
    let unwritable = |path: &PathBuf, error: &io::Error| {
        let what = format!("cannot write {}: {error}", output::path(path));
        Failure::new(Exit::Local, what, "Check the directory and its permissions.")
    };
    if let Some(path) = &args.plot {
        // Found out before a minute of measuring.
        try_writing(path).map_err(|error| unwritable(path, &error))?;
    }
    let measured = subjects.iter().any(|subject| matches!(subject.exposure, Exposure::Guesses(_)));
    if cfg!(debug_assertions) && measured {
        output::note(
            output::Tone::Doubtful,
            "note:",
            "this is a debug build, many times slower than one of --release",
        );
    }
    let rows = measure::all(&subjects, threads(args), Duration::from_secs(args.seconds))?;
    if let Some(path) = &args.plot {
        fs::write(path, plot::svg(&rows)).map_err(|error| unwritable(path, &error))?;
    }
    let report = report::Report::new(rows, threads(args), Duration::from_secs(args.seconds));
    output::print(if args.json { format!("{:#}", report.to_json()) } else { report.to_text() })
}

/// Whether a file could be written here. What stands there stays, and nothing new is left behind.
fn try_writing(path: &Path) -> io::Result<()> {
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::options().append(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

fn threads(args: &Args) -> usize {
    args.threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from)
}

fn chosen(subjects: Vec<Subject>, mechanisms: &[String]) -> Result<Vec<Subject>, Failure> {
    if mechanisms.is_empty() {
        return Ok(subjects);
    }
    let kept = subjects.into_iter().filter(|subject| mechanisms.iter().any(|name| subject.is(name)));
    let kept = kept.collect::<Vec<_>>();
    if kept.is_empty() {
        let what = format!("nothing here is of the mechanism {}", output::plain(&mechanisms.join(", ")));
        return Err(Failure::new(Exit::Usage, what, "Leave --mechanism away to see the names."));
    }
    Ok(kept)
}

fn only(mut subjects: Vec<Subject>) -> Result<Subject, Failure> {
    match (subjects.pop(), subjects.len()) {
        (Some(subject), 0) => Ok(subject),
        (_, rest) => Err(Failure::new(
            Exit::Usage,
            format!("the file has {} records; a list is tried against one", rest + 1),
            "Choose one with --user and --mechanism.",
        )),
    }
}

fn export(records: &[Record], tool: Tool, as_json: bool) -> Result<(), Failure> {
    if records.is_empty() {
        return Err(countersign::Error::new(&countersign::dictionary::rules::NO_FORMAT).into());
    }
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    for record in records {
        match export::line(record.credential(), tool) {
            Ok(line) => lines.push(line),
            Err(error) => refused.push(error),
        }
    }
    // Of a file in which some have a format, those are what was asked for.
    for error in &refused {
        if lines.is_empty() {
            return Err(error.clone().into());
        }
        output::note(output::Tone::Doubtful, "left out:", error);
    }
    if as_json {
        let lines = lines.iter().map(|line| json!({ "mode": line.mode, "line": line.text }));
        return output::print(json!({ "lines": lines.collect::<Vec<_>>() }));
    }
    let modes = lines.iter().map(|line| line.mode).collect::<std::collections::BTreeSet<_>>();
    let option = if tool == Tool::Hashcat { "hashcat -m" } else { "john --format" };
    for mode in modes {
        output::note(output::Tone::Good, "for:", format_args!("{option} {mode}"));
    }
    lines.iter().try_for_each(|line| output::print(&line.text))
}

/// How the list of candidates and messages name an oracle.
fn title(oracle: &dyn Oracle) -> String {
    format!("{}, {}", oracle.mechanism(), oracle.situation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_try_writing_leaves_nothing_and_takes_nothing() {
        let path = std::env::temp_dir().join(format!("countersign-plot-{}", std::process::id()));
        try_writing(&path).expect("the directory can be written");
        assert!(!path.exists());
        fs::write(&path, "earlier").expect("the same");
        try_writing(&path).expect("the file can be written");
        assert_eq!(fs::read(&path).expect("it is there"), b"earlier");
        assert!(try_writing(&path.join("below a file")).is_err());
        fs::remove_file(&path).expect("it is there");
    }
}
