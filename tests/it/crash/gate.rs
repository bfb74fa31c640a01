//! The gate that counts writes, and kills windlass at one of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use windlass::sandbox::forge::WriteGate;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Received,
    Lost,
}

/// Counts writes; kills at one of them.
pub struct Gate {
    pub count: AtomicU64,
    pub at: Option<(u64, Answer)>,
    pub fired: AtomicBool,
    pub kill: Box<dyn Fn() + Send + Sync>,
    pub seen: Mutex<Vec<String>>,
}

impl Gate {
    fn fire(&self) {
        if !self.fired.swap(true, Ordering::SeqCst) {
            (self.kill)();
        }
    }
}

impl WriteGate for Gate {
    fn begin(&self, what: &str) -> Option<u64> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.lock().unwrap().push(what.to_string());
        if self.at == Some((number - 1, Answer::Received)) && !self.fired.load(Ordering::SeqCst) {
            self.fire();
            return None;
        }
        Some(number)
    }

    fn end(&self, number: u64) -> bool {
        if self.at == Some((number, Answer::Lost)) && !self.fired.load(Ordering::SeqCst) {
            self.fire();
            return false;
        }
        true
    }
}
