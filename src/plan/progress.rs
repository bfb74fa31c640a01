//! How far a plan is, on the terminal of whoever waits for it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts applications on standard error, if that is a terminal.
pub struct Progress {
    total: usize,
    done: AtomicUsize,
    is_shown: bool,
}

/// Fewer are planned in no time.
const WORTH_SHOWING: usize = 5;

impl Progress {
    pub fn new(total: usize) -> Self {
        let progress = Self {
            total,
            done: AtomicUsize::new(0),
            is_shown: total >= WORTH_SHOWING && std::io::stderr().is_terminal(),
        };
        progress.show(0);
        progress
    }

    pub fn one_more(&self) {
        self.show(self.done.fetch_add(1, Ordering::Relaxed) + 1);
    }

    fn show(&self, done: usize) {
        if self.is_shown {
            let (total, mut out) = (self.total, std::io::stderr().lock());
            let _ = write!(out, "\r\x1b[Kplanned {done} of {total} applications")
                .and_then(|()| out.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
