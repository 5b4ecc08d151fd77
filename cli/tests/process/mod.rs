//! The tool as a child process, and files for it.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub(crate) mod stage;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// Longest life of a process here; the tool's own limits are far below.
pub(crate) const LIFE: Duration = Duration::from_secs(120);

/// A folder that goes away with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Gives it all of its input and waits for its end.
    pub(crate) fn run(mut self, input: &[u8]) -> Output {
        let mut stdin = self.0.stdin.take().unwrap();
        let input = input.to_vec();
        // It may end without reading.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let output = self.finish();
        writer.join().unwrap();
        output
    }

    pub(crate) fn finish(mut self) -> Output {
        let (mut stdout, mut stderr) = (self.0.stdout.take().unwrap(), self.0.stderr.take());
        let reader = thread::spawn(move || {
            let mut octets = Vec::new();
            stdout.read_to_end(&mut octets).unwrap();
            octets
        });
        let mut words = Vec::new();
        if let Some(stderr) = &mut stderr {
            stderr.read_to_end(&mut words).unwrap();
        }
        let status = wait(&mut self.0);
        Output { status, stdout: reader.join().unwrap(), stderr: words }
    }
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let pause = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(waited < LIFE, "the process hangs");
        thread::sleep(pause);
        waited += pause;
    }
}

pub(crate) fn tool() -> Command {
    Command::new(Path::new(env!("CARGO_BIN_EXE_countersign")))
}

pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[track_caller]
pub(crate) fn assert_two_lines(output: &Output, code: i32) {
    assert_eq!(text(&output.stderr).lines().count(), 2, "{}", text(&output.stderr));
    assert_last_two_lines(output, code);
}

/// The same after what was said before it failed.
#[track_caller]
pub(crate) fn assert_last_two_lines(output: &Output, code: i32) {
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}");
    let lines = words.lines().collect::<Vec<_>>();
    assert!(
        matches!(lines[..], [.., what, advice] if what.starts_with("error: ") && advice.starts_with("  try: ")),
        "{words}"
    );
    assert_eq!(words.matches("error: ").count(), 1, "{words}");
}
