//! The resident memory of children, and the container's limit.

use std::sync::atomic::{AtomicU64, Ordering};

/// A child's part of the memory of all children.
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

/// The resident memory of a process in bytes (proc(5), `VmRSS`); None: the process has ended.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The container's memory limit in bytes (cgroup v2); None: no limit is set.
pub(super) fn memory_limit() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()?
        .trim()
        .parse()
        .ok()
}
