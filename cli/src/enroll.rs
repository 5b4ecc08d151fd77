//! `countersign enroll`: what a server stores in the place of a password.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use countersign::ksf::Ksf;
use countersign::mechanism::Guessing;
use countersign::records::{Format, Record};
use countersign::registry::{self, Credential, Work};
use countersign::scram::{ITERATIONS_MAX, ITERATIONS_MIN};
use countersign::srp::Group;
use countersign::srp::files::group_to_gnutls;
use countersign::{MechanismName, system_rng};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};
use crate::password::PasswordArgs;

/// Make the record that a server stores for a user and a mechanism
///
/// The record goes to stdout or into a file that only its owner can read; what a thief of it could do is said on
/// stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(crate) struct Args {
    /// Whose record it is, as he will log in: for an end-to-end session his bare JID
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mechanism that will take the record
    #[arg(long, value_name = "NAME", value_parser = mechanism)]
    mechanism: MechanismName,
    /// How the record is written
    #[arg(long, value_name = "NAME", default_value_t)]
    format: Format,
    /// SCRAM's iteration count, in place of the hash's default
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: Option<u32>,
    /// The password hash of SPAKE2+, OPAQUE and SRP-…-PLUS: argon2id:KIB,PASSES,LANES, scrypt:LOG2N,R,P or
    /// pbkdf2:ITERATIONS
    #[arg(long, value_name = "HASH")]
    ksf: Option<Ksf>,
    /// SRP's group: 2048, 3072, 4096, 6144 or 8192 bits
    #[arg(long, value_name = "BITS", value_parser = group)]
    group: Option<Group>,
    /// Write the record to this file instead of stdout
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    password: PasswordArgs,
    /// Print the record and what it is as JSON
    #[arg(long)]
    json: bool,
}

const FORMATS_AND_EXAMPLES: &str = "Formats:
  json        every mechanism; docs/records.md
  postgresql  SCRAM, for rolpassword: ALTER ROLE alice PASSWORD 'SCRAM-SHA-256$…'
  ldap        SCRAM, as an LDIF line of authPassword (RFC 5803)
  openssl     SRP, a line of srpvfile
  gnutls      SRP, a line of tpasswd; the line that tpasswd.conf needs is printed on stderr
  cyrus       SRP, the value of Cyrus SASL's property cmusaslsecretSRP

Examples:
  countersign enroll --user alice --mechanism SPAKE2P-ED25519-PLUS --output alice.json
  countersign enroll --user alice --mechanism SCRAM-SHA-256 --format postgresql
  countersign enroll --user alice --mechanism OPAQUE-R255-PLUS --ksf argon2id:65536,3,4
  countersign enroll --user alice --mechanism SRP --group 3072 --format gnutls --password-file -

Exit codes: 0 the record is made, 2 wrong arguments or an unusable password, 7 the mechanism refuses
the work factors, 8 a file cannot be read or written.";

fn help() -> String {
    let names = registry::all().iter().map(|row| row.name().as_str()).collect::<Vec<_>>().join(", ");
    format!("Mechanisms: {names}\n\n{FORMATS_AND_EXAMPLES}")
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let thief = registry::find(&args.mechanism)?.properties().thief;
    if let Some(path) = args.output.as_deref().filter(|path| !args.force && path.exists()) {
        return Err(exists(path));
    }
    let password = args.password.read_new(&format!("New password of {}", args.user))?;
    let preparation = args.format.preparation();
    let made =
        Record::enroll(&args.mechanism, &args.user, &password, preparation, &work(args), &mut system_rng())?;
    let text = made.write(args.format)?;
    let conf = conf(&made, args.format)?;
    if let Some(path) = &args.output {
        write(path, &text, args.force)?;
    }
    if args.json {
        return output::print(json!({
            "user": made.user(),
            "mechanism": args.mechanism.as_str(),
            "format": args.format.name(),
            "work": describe(&made),
            "thief": consequence(&made, thief),
            "output": args.output,
            "record": args.output.is_none().then_some(text.as_str()),
            "tpasswd_conf": conf,
        }));
    }
    if args.output.is_none() {
        output::print(text.as_str())?;
    }
    output::note(
        Tone::Good,
        "enrolled:",
        format_args!("{} for {}", made.user().unwrap_or_default(), args.mechanism),
    );
    if let Some(work) = describe(&made) {
        output::note(Tone::Good, "work:", work);
    }
    let tone = if thief == Guessing::OfflineStretched { Tone::Doubtful } else { Tone::Bad };
    output::note(tone, "a thief of it:", consequence(&made, thief));
    if let Some(line) = conf {
        output::note(Tone::Doubtful, "tpasswd.conf needs:", line);
    }
    Ok(())
}

fn work(args: &Args) -> Work {
    let mut work = Work::default();
    if let Some(iterations) = args.iterations {
        work = work.with_iterations(iterations);
    }
    if let Some(ksf) = args.ksf {
        work = work.with_ksf(ksf);
    }
    if let Some(group) = args.group {
        work = work.with_group(group);
    }
    work
}

/// The name of a mechanism that there is.
fn mechanism(text: &str) -> countersign::Result<MechanismName> {
    text.parse().and_then(|name| registry::find(&name)).map(|row| row.name().clone())
}

/// A group that may be used for new records.
fn group(text: &str) -> countersign::Result<Group> {
    text.parse::<Group>().map_err(|error| error.about(format!("{text} bits")))
}

/// The work factors in words.
pub(crate) fn describe(record: &Record) -> Option<String> {
    let work = record.credential().work();
    let parts = [
        work.group().map(|group| format!("group of {group} bits")),
        work.iterations().map(|iterations| format!("{iterations} iterations")),
        work.ksf().map(|ksf| ksf.to_string()),
    ];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What a thief of the record can do.
fn consequence(record: &Record, thief: Guessing) -> &'static str {
    match (record.credential(), thief) {
        (Credential::Scram(_), _) => {
            "he can pose as the server, test passwords at the price of PBKDF2, and with one recorded login log in"
        }
        (_, Guessing::OfflineStretched) => {
            "he can pose as the server, and test passwords at the price of the slow hash"
        }
        (_, Guessing::OfflineFast) => {
            "he can pose as the server, and test passwords fast: there is no slow hash"
        }
        (_, Guessing::Immediate) => "he has the password itself, which this mechanism needs on both sides",
        _ => "he can test nothing offline",
    }
}

/// The line of tpasswd.conf that says what the index of the group stands for.
fn conf(record: &Record, format: Format) -> Result<Option<String>, Failure> {
    match record.credential() {
        Credential::Srp(verifier) if format == Format::GnuTls => Ok(Some(group_to_gnutls(verifier.group())?)),
        _ => Ok(None),
    }
}

fn exists(path: &Path) -> Failure {
    let what = format!("{} exists already", output::path(path));
    Failure::new(Exit::Local, what, "Choose another file, or replace it with --force.")
}

/// Writes the record to a file that only its owner can read. An old one is replaced whole or stays as it is.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failure = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::new(
            Exit::Local,
            format!("cannot write {}: {error}", output::path(path)),
            "Check the path, the permissions of the folder and the space on the disk.",
        ),
    };
    let target = if force { beside(path) } else { path.to_owned() };
    let written = create(&target).and_then(|mut file| {
        let kept = writeln!(file, "{text}").and_then(|()| file.sync_all());
        let kept = kept.and_then(|()| if force { fs::rename(&target, path) } else { Ok(()) });
        kept.inspect_err(|_| {
            // What is half written helps nobody; that it cannot be removed changes nothing.
            let _ = fs::remove_file(&target);
        })
    });
    written.map_err(failure)
}

/// A name in the same folder.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_only_replaced_when_that_is_wanted() {
        let folder = Folder::new("enroll-force");
        let path = folder.0.join("record");
        write(&path, "first", false).unwrap();
        let failure = write(&path, "second", false).unwrap_err();
        assert_eq!(failure.exit, Exit::Local);
        assert!(failure.what.contains("exists already"), "{}", failure.what);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        write(&path, "second", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it_even_where_others_could_before() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("enroll-mode");
        let path = folder.0.join("record");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write(&path, "first", false).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        write(&path, "second", true).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn groups_for_new_records_are_known_and_large_enough() {
        for bits in ["2048", "3072", "8192"] {
            assert_eq!(group(bits).unwrap().to_string(), bits);
        }
        for bits in ["1024", "1536", "2047", "0", "-1", "many", "99999999999"] {
            assert!(group(bits).is_err(), "{bits}");
        }
        assert_eq!(
            group("1024").unwrap_err().to_string(),
            "the SRP group has less than 2048 bits: 1024 bits [RFC 5054 section 3.2, countersign]"
        );
    }
}
