//! `countersign vectors`: checks test vectors, the built-in ones or files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use countersign::vectors::{self, Report, Verdict};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};

/// Most octets of a file of vectors.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Check test vectors: everything they state is computed again, on both sides of each mechanism
///
/// Without arguments the vectors built into this program are checked; with a family alone, those of the family.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(crate) struct Args {
    /// Which code answers for the files: the part of a file name before the first underscore
    family: Option<String>,
    /// Files with a "source", a "count" and "cases", as JSON
    #[arg(value_name = "FILE", requires = "family")]
    files: Vec<PathBuf>,
    /// Print the verdict on each case as JSON
    #[arg(long)]
    json: bool,
}

fn help() -> String {
    let families = vectors::families().collect::<Vec<_>>().join(", ");
    format!(
        "Families: {families}\n\n\
         Examples:\n  \
         countersign vectors\n  \
         countersign vectors scram\n  \
         countersign vectors scram my/scram_cases.json --json\n\n\
         Exit codes: 0 every case that can be checked holds, 1 a case does not, 2 unknown family,\n\
         8 a file cannot be read. Skipped cases are listed, and are no failure."
    )
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let checked = check(args)?;
    let wrong = checked.iter().map(Checked::wrong).sum::<usize>();
    if args.json {
        output::print(format_args!("{:#}", to_json(&checked, wrong == 0)))?;
    } else {
        checked.iter().for_each(tell);
        output::print(table(&checked))?;
    }
    match wrong {
        0 => Ok(()),
        1 => Err(failure("1 check failed".to_owned())),
        _ => Err(failure(format!("{wrong} checks failed"))),
    }
}

fn failure(what: String) -> Failure {
    Failure::new(
        Exit::CheckFailed,
        what,
        "Compare the named values with the source of the file; if they agree, report a defect.",
    )
}

/// One file and what became of it.
struct Checked {
    name: String,
    family: String,
    result: countersign::Result<Report>,
}

impl Checked {
    fn new(name: String, family: &str, json: &str) -> Result<Self, Failure> {
        match vectors::run(family, json) {
            Err(error) if error.is(&vectors::rules::UNKNOWN_FAMILY) => Err(error.into()),
            result => Ok(Self { name, family: family.to_owned(), result }),
        }
    }

    /// Failed cases; a file that is broken as a whole counts as one.
    fn wrong(&self) -> usize {
        self.result.as_ref().map_or(1, |report| report.failed().count())
    }
}

fn check(args: &Args) -> Result<Vec<Checked>, Failure> {
    let Some(family) = &args.family else {
        return vectors::built_in()
            .map(|file| Checked::new(file.name.to_owned(), file.family(), file.json))
            .collect();
    };
    if !args.files.is_empty() {
        return args
            .files
            .iter()
            .map(|path| Checked::new(output::path(path), family, &read(path)?))
            .collect();
    }
    let checked = vectors::built_in()
        .filter(|file| file.family() == family)
        .map(|file| Checked::new(file.name.to_owned(), family, file.json))
        .collect::<Result<Vec<_>, _>>()?;
    if checked.is_empty() {
        let what = format!("no vectors of the family {} are built in", output::path(Path::new(family)));
        return Err(Failure::new(
            Exit::Usage,
            what,
            "Name a file, or another family; see --help for the list.",
        ));
    }
    Ok(checked)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        .map_err(|error| Failure::file(path, &error))?;
    if text.len() as u64 > FILE_MAX {
        let what = format!("{} is longer than {FILE_MAX} octets", output::path(path));
        return Err(Failure::new(Exit::Usage, what, "Split the file."));
    }
    Ok(text)
}

/// Names on stderr what failed and what was not checked.
fn tell(checked: &Checked) {
    let name = &checked.name;
    match &checked.result {
        Err(error) => output::note(Tone::Bad, "failed:", format_args!("{name}: {error}")),
        Ok(report) => {
            for (case, reason) in report.failed() {
                output::note(Tone::Bad, "failed:", format_args!("{name}: {case}: {reason}"));
            }
            for (case, reason) in report.skipped() {
                output::note(Tone::Doubtful, "skipped:", format_args!("{name}: {case}: {reason}"));
            }
        }
    }
}

#[derive(Default)]
struct Sum {
    files: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Sum {
    fn of<'a>(files: impl Iterator<Item = &'a Checked>) -> Self {
        files.fold(Self::default(), |mut sum, file| {
            sum.files += 1;
            sum.failed += file.wrong();
            if let Ok(report) = &file.result {
                sum.passed += report.passed();
                sum.skipped += report.skipped().count();
            }
            sum
        })
    }

    fn row(&self, name: &str) -> [String; 5] {
        let number = usize::to_string;
        [
            name.to_owned(),
            number(&self.files),
            number(&self.passed),
            number(&self.failed),
            number(&self.skipped),
        ]
    }
}

fn table(checked: &[Checked]) -> String {
    let mut table = output::table(&["family", "files", "passed", "failed", "skipped"], 4);
    for family in vectors::families() {
        let sum = Sum::of(checked.iter().filter(|file| file.family == family));
        if sum.files > 0 {
            table.add_row(sum.row(family));
        }
    }
    table.add_row(Sum::of(checked.iter()).row("all"));
    output::lines(&table)
}

fn to_json(checked: &[Checked], ok: bool) -> Value {
    let files = checked.iter().map(|file| match &file.result {
        Err(error) => json!({ "file": file.name, "family": file.family, "error": error.to_string() }),
        Ok(report) => json!({
            "file": file.name,
            "family": file.family,
            "source": report.source,
            "passed": report.passed(),
            "failed": report.failed().count(),
            "skipped": report.skipped().count(),
            "cases": report.cases.iter().map(|case| {
                let (verdict, reason) = match &case.verdict {
                    Verdict::Passed => ("passed", None),
                    Verdict::Failed(reason) => ("failed", Some(reason)),
                    Verdict::Skipped(reason) => ("skipped", Some(reason)),
                };
                json!({ "name": case.name, "verdict": verdict, "reason": reason })
            }).collect::<Vec<_>>(),
        }),
    });
    json!({ "ok": ok, "files": files.collect::<Vec<_>>() })
}
