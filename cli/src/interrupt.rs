//! Ctrl-C: the terminal is left as it was found, and a peer who is there hears that it was no proper end. And questions,
//! at which a person may press it.

use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::exit::{Exit, Failure};
use crate::progress;

/// Tells all who wait in [`stopped`].
static STOP: Notify = Notify::const_new();

/// How many wait there.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Minds Ctrl-C from now on: before the terminal is changed, and where something has to be wound up.
pub(crate) fn mind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        terminal::remember();
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without it Ctrl-C does what it always does.
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut told = false;
                while tokio::signal::ctrl_c().await.is_ok() {
                    // Who presses it again does not want to wait for the end of the winding up.
                    if told || WAITING.load(Ordering::SeqCst) == 0 {
                        leave();
                    }
                    told = true;
                    STOP.notify_waiters();
                }
            });
        });
    });
}

/// Waits for Ctrl-C, and has it mean what the caller makes of it.
pub(crate) async fn stopped() -> Failure {
    struct Waiting;
    impl Drop for Waiting {
        fn drop(&mut self) {
            WAITING.fetch_sub(1, Ordering::SeqCst);
        }
    }
    mind();
    let stop = STOP.notified();
    WAITING.fetch_add(1, Ordering::SeqCst);
    let _waiting = Waiting;
    stop.await;
    Failure::stopped()
}

/// Ends the process at once.
fn leave() -> ! {
    restore();
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = writeln!(stderr);
    }
    std::process::exit(Exit::Stopped as i32)
}

/// Leaves the terminal as it was found, whoever has changed it meanwhile.
pub(crate) fn restore() {
    terminal::restore();
}

/// Has the terminal not show control keys: what it shows for them would push a bar from its line.
pub(crate) fn hide_keys() {
    mind();
    terminal::hide_keys();
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::sync::OnceLock;

    use rustix::process::getpgrp;
    use rustix::termios::{
        LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
    };

    static FOUND: OnceLock<Option<(File, Termios)>> = OnceLock::new();

    pub(super) fn remember() {
        FOUND.get_or_init(|| {
            let terminal = File::open("/dev/tty").ok()?;
            let state = tcgetattr(&terminal).ok()?;
            Some((terminal, state))
        });
    }

    pub(super) fn restore() {
        change(|_| ());
    }

    pub(super) fn hide_keys() {
        change(|state| state.local_modes.remove(LocalModes::ECHOCTL));
    }

    /// The state that was found, with a change.
    fn change(edit: impl FnOnce(&mut Termios)) {
        let Some(Some((terminal, state))) = FOUND.get() else { return };
        // A process in the background would be stopped for it.
        if tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()) {
            let mut state = state.clone();
            edit(&mut state);
            // Nothing is left to be done where the terminal is gone.
            let _ = tcsetattr(terminal, OptionalActions::Now, &state);
        }
    }

    pub(super) fn forget_input() {
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    }
}

#[cfg(not(unix))]
mod terminal {
    pub(super) fn remember() {}

    pub(super) fn restore() {}

    pub(super) fn hide_keys() {}

    pub(super) fn forget_input() {}
}

/// Asks a question on the terminal. What was typed before is no answer to it, and the end of the input is none at all.
pub(crate) fn ask(question: &str) -> Option<String> {
    // Bars would run through what is typed.
    let _hidden = progress::hide();
    terminal::forget_input();
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question} ").and_then(|()| stderr.flush());
    let mut line = String::new();
    let count = io::stdin().read_line(&mut line).unwrap_or(0);
    if !line.ends_with('\n') {
        let _ = writeln!(stderr);
    }
    (count > 0).then(|| line.trim().to_owned())
}
