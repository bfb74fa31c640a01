//! The memory that children really take, beside what they may.

use std::sync::atomic::{AtomicU64, Ordering};

/// A child's part of what all children take.
pub(super) struct Resident<'a> {
    pub(super) all: &'a AtomicU64,
    pub(super) known: u64,
}

impl Resident<'_> {
    pub(super) fn set(&mut self, bytes: u64) {
        self.all.fetch_add(bytes, Ordering::SeqCst);
        self.all.fetch_sub(self.known, Ordering::SeqCst);
        self.known = bytes;
    }
}

impl Drop for Resident<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes of memory that a process takes (proc(5), `VmRSS`); None: there is no such process any more.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Bytes of memory that the container may take (cgroup v2); None: no limit is set.
pub(super) fn memory_limit() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()?
        .trim()
        .parse()
        .ok()
}
