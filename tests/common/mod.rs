//! What the tests against other programs share.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rand_core::{TryCryptoRng, TryRng};

/// How long a peer may stay silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a test against a foreign program can run.
///
/// # Panics
/// When it is not there and `COUNTERSIGN_REQUIRE_PEERS` is 1: where peers are expected, a missing one is a failure.
pub(crate) fn peer_or_skip(name: &str, available: bool) -> bool {
    if !available {
        let required = std::env::var_os("COUNTERSIGN_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{name} is not there, and COUNTERSIGN_REQUIRE_PEERS=1");
        eprintln!("SKIPPED: {name} is not there; nothing was tested against it");
    }
    available
}

/// Whether a program of that name can be started.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A child process that talks in lines. It is killed when it goes out of scope.
pub(crate) struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts it with its three streams in our hands; what it says on the error stream counts as said.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let (sender, lines) = channel();
        let stdout: Box<dyn std::io::Read + Send> = Box::new(child.stdout.take().expect("piped"));
        let stderr: Box<dyn std::io::Read + Send> = Box::new(child.stderr.take().expect("piped"));
        for stream in [stdout, stderr] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    /// Says one line. A peer that has gone away already is noticed by the next [`Self::hear`].
    pub(crate) fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            // In one write: OpenSSL's programs take a letter at the end of what they read for a command.
            let _ = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
        }
    }

    /// The next line for which `wanted` gives something, or `None` when the peer ends first.
    ///
    /// # Panics
    /// When it says nothing for [`PATIENCE`].
    pub(crate) fn hear<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Some(found);
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the peer says nothing"),
            }
        }
    }

    /// Ends its input and tells whether it ended well.
    ///
    /// # Panics
    /// When it does not end within [`PATIENCE`].
    pub(crate) fn ends_well(mut self) -> bool {
        self.stdin = None;
        let _ = self.hear(|_| None::<()>);
        self.child.wait().expect("it was started").success()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the same octet for ever.
pub(crate) struct FixedRng(pub(crate) u8);

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}
