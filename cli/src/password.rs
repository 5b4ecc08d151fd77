//! Where a password comes from: the terminal or a file, never the command line, which other users can read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use countersign::Password;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::{self, Tone};

/// Most octets of a password.
const PASSWORD_MAX: usize = 1024;

/// The arguments of every command that needs a password.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of this file, `-` for stdin, instead of asking for it
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// For a second password, whose option has another name.
    pub(crate) fn from_file(password_file: Option<PathBuf>) -> Self {
        Self { password_file }
    }

    /// Whether a file was named.
    #[cfg(feature = "openssl")]
    pub(crate) fn is_given(&self) -> bool {
        self.password_file.is_some()
    }

    /// Reads the password from where the user said, or asks for it without showing it.
    pub(crate) fn read(&self, prompt: &str) -> Result<Password, Failure> {
        match &self.password_file {
            None => ask(prompt),
            Some(path) if path == Path::new("-") => first_line(io::stdin().lock(), path),
            Some(path) => {
                let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
                warn_if_public(&file, path);
                first_line(file, path)
            }
        }
    }
}

impl PasswordArgs {
    /// As [`Self::read`], but what is typed has to be typed twice.
    pub(crate) fn read_new(&self, prompt: &str) -> Result<Password, Failure> {
        let password = self.read(prompt)?;
        if self.password_file.is_none() && ask(&format!("{prompt}, again"))?.expose() != password.expose() {
            return Err(Failure::new(
                Exit::Usage,
                "the two passwords differ",
                "Type the same password twice.",
            ));
        }
        Ok(password)
    }

    /// Whether the password comes from stdin.
    pub(crate) fn takes_stdin(&self) -> bool {
        self.password_file.as_deref() == Some(Path::new("-"))
    }
}

fn ask(prompt: &str) -> Result<Password, Failure> {
    interrupt::mind();
    let typed = rpassword::prompt_password(format!("{prompt}: ")).map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return Failure::stopped();
        }
        let what = format!("cannot ask for the password: {error}");
        Failure::new(Exit::Local, what, "Run the command in a terminal, or give --password-file PATH.")
    })?;
    accept(Zeroizing::new(typed))
}

/// Reads octet by octet, so that what follows the line stays with the reader and no second copy is made.
fn first_line(mut reader: impl Read, path: &Path) -> Result<Password, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_MAX + 1));
    let mut octet = Zeroizing::new([0]);
    while read(&mut reader, &mut octet, path)? && octet[0] != b'\n' {
        if line.len() > PASSWORD_MAX {
            break;
        }
        line.push(octet[0]);
    }
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    if line.len() > PASSWORD_MAX {
        let what = format!("the first line of {} is longer than {PASSWORD_MAX} octets", output::path(path));
        return Err(Failure::new(Exit::Usage, what, "Check that this is the file with the password."));
    }
    let Ok(text) = std::str::from_utf8(line) else {
        let what = format!("the first line of {} is not UTF-8", output::path(path));
        return Err(Failure::new(Exit::Usage, what, "Save the password as UTF-8 text."));
    };
    accept(Zeroizing::new(text.to_owned()))
}

fn read(reader: &mut impl Read, octet: &mut [u8; 1], path: &Path) -> Result<bool, Failure> {
    loop {
        match reader.read(octet) {
            Ok(count) => return Ok(count == 1),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::file(path, &error)),
        }
    }
}

fn accept(text: Zeroizing<String>) -> Result<Password, Failure> {
    if text.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "the password is empty",
            "Give the password both sides agreed on.",
        ));
    }
    Ok(Password::from(text))
}

#[cfg(unix)]
fn warn_if_public(file: &File, path: &Path) {
    if is_world_readable(file) {
        let path = output::path(path);
        output::note(Tone::Doubtful, "warning:", format_args!("every user of this machine can read {path}"));
    }
}

#[cfg(unix)]
fn is_world_readable(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(not(unix))]
fn warn_if_public(_: &File, _: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Result<String, Failure> {
        first_line(text, Path::new("x")).map(|password| password.expose().to_owned())
    }

    #[test]
    fn the_first_line_without_its_end_is_the_password() {
        for (text, password) in [
            (&b"pencil"[..], "pencil"),
            (b"pencil\n", "pencil"),
            (b"pencil\r\nsecond\n", "pencil"),
            (b" p\xc3\xa9 \n", " p\u{e9} "),
            (b"a\rb\n", "a\rb"),
        ] {
            assert_eq!(line(text).unwrap(), password);
        }
    }

    #[test]
    fn what_follows_the_line_stays_with_the_reader() {
        let mut reader = &b"pencil\nhello"[..];
        first_line(&mut reader, Path::new("-")).unwrap();
        assert_eq!(reader, b"hello");
    }

    #[test]
    fn an_empty_password_is_refused() {
        for text in [&b""[..], b"\n", b"\r\n", b"\npencil\n"] {
            assert_eq!(line(text).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn a_password_that_is_not_utf8_is_refused_and_not_shown() {
        let failure = line(b"secret\xff\n").unwrap_err();
        assert!(failure.what.contains("not UTF-8") && !failure.what.contains("secret"));
    }

    #[test]
    fn the_longest_password_is_taken_and_one_octet_more_refused() {
        for end in ["", "\n", "\r\n"] {
            let longest = "p".repeat(PASSWORD_MAX);
            assert_eq!(line(format!("{longest}{end}").as_bytes()).unwrap(), longest);
            let failure = line(format!("{longest}p{end}").as_bytes()).unwrap_err();
            assert!(failure.what.contains("longer than 1024"), "{}", failure.what);
        }
        assert!(first_line(io::repeat(b'p'), Path::new("x")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("countersign-password-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        for (mode, public) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
            file.set_permissions(PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(is_world_readable(&file), public, "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_file_is_a_local_failure() {
        let args = PasswordArgs { password_file: Some("no/such/file".into()) };
        assert_eq!(args.read("Password").unwrap_err().exit, Exit::Local);
    }
}
