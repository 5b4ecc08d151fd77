//! `countersign check`: whether a password is the one that a stored record was made from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use countersign::records::{self, Format, Record};
use countersign::{MechanismName, system_rng};
use serde_json::json;
use zeroize::Zeroizing;

use crate::enroll::describe;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::password::PasswordArgs;

/// Test a password against stored records
///
/// All records of one user are tested, in any of the formats of `countersign enroll`; the format is detected.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign check alice.json
  countersign check tpasswd --user alice --tpasswd-conf tpasswd.conf
  psql -Atc \"select rolpassword from pg_authid where rolname = 'alice'\" | countersign check -
  countersign check alice.json --password-file password.txt --json

Exit codes: 0 the password fits every record, 2 wrong arguments or a record that cannot be read,
3 it does not fit, 7 a limit is exceeded, 8 a file cannot be read.")]
pub(crate) struct Args {
    /// The file with the records, `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the records are written, instead of finding out: json, postgresql, ldap, openssl, gnutls or cyrus
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// Whose records are tested; needed when there are several users, or when the format does not name them
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only the records of this mechanism
    #[arg(long, value_name = "NAME")]
    mechanism: Option<MechanismName>,
    /// What the group indices of a tpasswd stand for
    #[arg(long, value_name = "PATH")]
    tpasswd_conf: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
    /// Print the verdict on each record as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.password.takes_stdin() && args.file == Path::new("-") {
        return Err(Failure::new(
            Exit::Usage,
            "records and password cannot both come from stdin",
            "Name a file for one of them.",
        ));
    }
    let records = chosen(read(args)?, args)?;
    let whose = records.iter().find_map(Record::user).map_or_else(String::new, |user| format!(" of {user}"));
    let password = args.password.read(&format!("Password{whose}"))?;
    let mut rng = system_rng();
    let verdicts =
        records.iter().map(|record| record.check(&password, &mut rng)).collect::<Result<Vec<_>, _>>()?;
    report(&records, &verdicts, args.json)?;
    let wrong = verdicts.iter().filter(|fits| !**fits).count();
    if wrong > 0 {
        return Err(Failure::new(
            Exit::AuthenticationFailed,
            format!("the password does not fit {wrong} of {} records", records.len()),
            "Check the password, and that the record is that of this user.",
        ));
    }
    Ok(())
}

fn report(records: &[Record], verdicts: &[bool], as_json: bool) -> Result<(), Failure> {
    let rows = records.iter().zip(verdicts);
    let name = |record: &Record| record.mechanism().map(|name| name.as_str().to_owned());
    if as_json {
        let rows = rows.map(|(record, fits)| {
            json!({
                "user": record.user(),
                "mechanism": name(record),
                "work": describe(record),
                "fits": fits,
            })
        });
        return output::print(json!({
            "ok": verdicts.iter().all(|fits| *fits),
            "records": rows.collect::<Vec<_>>(),
        }));
    }
    let mut table = output::table(&["password", "user", "mechanism", "work"], 0);
    for (record, fits) in rows {
        let or_dash = || "-".to_owned();
        table.add_row([
            if *fits { "fits" } else { "does not fit" }.to_owned(),
            record.user().map_or_else(or_dash, output::plain),
            name(record).unwrap_or_else(or_dash),
            describe(record).unwrap_or_else(or_dash),
        ]);
    }
    output::print(output::lines(&table))
}

/// The records of one user, with his name where they have none.
fn chosen(records: Vec<Record>, args: &Args) -> Result<Vec<Record>, Failure> {
    let mut kept = Vec::new();
    for record in records {
        let record = match &args.user {
            Some(user) => record.of_user(user)?,
            None => Some(record),
        };
        kept.extend(record.filter(|record| is_for(record, args.mechanism.as_ref())));
    }
    let Some(first) = kept.first() else {
        return Err(Failure::new(
            Exit::Usage,
            "the file has no record of this user and mechanism",
            "Check --user and --mechanism, or leave them away.",
        ));
    };
    if kept.iter().any(|record| record.user() != first.user()) {
        return Err(Failure::new(
            Exit::Usage,
            "the file has records of several users",
            "Say with --user whose password it is.",
        ));
    }
    Ok(kept)
}

/// Whether the mechanism takes the record; one with -PLUS takes that of its name without.
fn is_for(record: &Record, mechanism: Option<&MechanismName>) -> bool {
    let base = |name: &MechanismName| name.as_str().strip_suffix("-PLUS").unwrap_or(name.as_str()).to_owned();
    mechanism.is_none_or(|wanted| record.mechanism().is_some_and(|own| base(own) == base(wanted)))
}

fn read(args: &Args) -> Result<Vec<Record>, Failure> {
    let text = text(&args.file)?;
    if let Some(conf) = &args.tpasswd_conf {
        return Ok(Record::read_gnutls(&text, &self::text(conf)?)?);
    }
    Ok(match args.format {
        Some(format) => Record::read_as(&text, format)?,
        None => Record::read(&text)?,
    })
}

/// The text of a file, and no more of it than the library would read.
fn text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut octets = Zeroizing::new(Vec::new());
    let most = records::TEXT_MAX as u64 + 1;
    let done = match path == Path::new("-") {
        true => io::stdin().lock().take(most).read_to_end(&mut octets),
        false => File::open(path).and_then(|file| file.take(most).read_to_end(&mut octets)),
    };
    done.map_err(|error| Failure::file(path, &error))?;
    let text = str::from_utf8(&octets).map_err(|_| {
        let what = format!("{} is not UTF-8", output::path(path));
        Failure::new(Exit::Usage, what, "Check that this is the file with the records.")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}
