//! What readers do not see yet: GitHub answers reads from copies that lag behind writes.
//!
//! Seen in practice with check runs (databricks/cli#5921), statuses
//! (dpb587/github-status-resource#3), comments (Mergifyio/mergify#654) and refs
//! (rancher/fleet#4842). Only the App's reads lag: stories see what there is.

use std::collections::HashSet;

use serde_json::Value;

use super::State;

/// For how many reads a write is not seen; 0: it is seen at once.
#[derive(Clone, Default)]
pub struct Lag {
    /// Comments of threads and on lines, and reviews.
    pub comments: u32,
    pub checks: u32,
    pub statuses: u32,
    pub pulls: u32,
    /// Listings of refs over smart HTTP in which a branch that moved is where it was.
    pub refs: u32,
    /// Listings of refs over smart HTTP until the head of a fork's pull request is in its base
    /// repository.
    pub fork_heads: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Comment,
    LineComment,
    Review,
    Check,
    Status,
    Pull,
}

/// What is not seen yet.
#[derive(Default)]
pub struct Unseen {
    writes: Vec<Write>,
    pub refs: Vec<StaleRef>,
}

struct Write {
    kind: Kind,
    id: u64,
    /// What was there; None: nothing.
    before: Option<Value>,
    reads: u32,
}

/// A ref that is told as it was.
pub struct StaleRef {
    pub repository: u64,
    /// Whole: `refs/heads/main`.
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub listings: u32,
    /// Whether the commits themselves are not there yet, as those of forks.
    pub whole: bool,
}

impl State {
    /// Whether writes of a kind are not seen at once.
    pub fn lags(&self, kind: Kind) -> bool {
        self.faults.lag.of(kind) > 0
    }

    /// Something was written, where `before` stood.
    pub fn written(&mut self, kind: Kind, id: u64, before: Option<Value>) {
        self.unseen.hide(&self.faults.lag, kind, id, before);
    }

    /// The head of a fork's pull request moved, and its commits get to the base repository late.
    pub fn fork_moved(
        &mut self,
        repository: u64,
        number: u64,
        before: Option<String>,
        after: &str,
    ) {
        self.unseen.hide_ref(StaleRef {
            repository,
            name: format!("refs/pull/{number}/head"),
            before,
            after: Some(after.into()),
            listings: self.faults.lag.fork_heads,
            whole: true,
        });
    }
}

impl Lag {
    fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Comment | Kind::LineComment | Kind::Review => self.comments,
            Kind::Check => self.checks,
            Kind::Status => self.statuses,
            Kind::Pull => self.pulls,
        }
    }
}

impl Unseen {
    /// Hides a write; `before` is what stood there.
    pub fn hide(&mut self, lag: &Lag, kind: Kind, id: u64, before: Option<Value>) {
        let reads = lag.of(kind);
        if reads == 0 {
            return;
        }
        // What was not seen before is not seen now.
        let older = self
            .writes
            .iter()
            .position(|one| one.kind == kind && one.id == id)
            .map(|at| self.writes.remove(at).before);
        self.writes.push(Write {
            kind,
            id,
            before: older.unwrap_or(before),
            reads,
        });
    }

    /// Whether anything of a kind is not seen.
    pub fn hides(&self, kind: Kind) -> bool {
        self.writes.iter().any(|one| one.kind == kind)
    }

    /// A list as it is read now, which is one read of its kind.
    pub fn read(&mut self, kind: Kind, items: Vec<Value>) -> Vec<Value> {
        let seen = |item: Value| {
            let id = item["id"].as_u64();
            match self
                .writes
                .iter()
                .find(|one| one.kind == kind && Some(one.id) == id)
            {
                Some(write) => write.before.clone(),
                None => Some(item),
            }
        };
        let mut known = HashSet::new();
        let mut read: Vec<Value> = items.into_iter().filter_map(seen).collect();
        // What stood there before may stand in the list by itself as well.
        read.retain(|item| known.insert(item["id"].as_u64()));
        for write in self.writes.iter_mut().filter(|one| one.kind == kind) {
            write.reads -= 1;
        }
        self.writes.retain(|one| one.reads > 0);
        read
    }

    /// Whether a commit of a fork is not there yet.
    pub fn lacks(&self, repository: u64, sha: &str) -> bool {
        self.refs.iter().any(|one| {
            one.whole && one.repository == repository && one.after.as_deref() == Some(sha)
        })
    }

    /// The refs that a listing tells as they were; it is one listing.
    pub fn list_refs(&mut self, repository: u64) -> Vec<(String, Option<String>)> {
        let mut stale = Vec::new();
        for one in self
            .refs
            .iter_mut()
            .filter(|one| one.repository == repository)
        {
            stale.push((one.name.clone(), one.before.clone()));
            one.listings -= 1;
        }
        self.refs.retain(|one| one.listings > 0);
        stale
    }

    /// A ref moved, and is not seen to have for so many listings.
    pub fn hide_ref(&mut self, stale: StaleRef) {
        if stale.listings == 0 {
            return;
        }
        let older = self
            .refs
            .iter()
            .position(|one| one.repository == stale.repository && one.name == stale.name)
            .map(|at| self.refs.remove(at).before);
        self.refs.push(StaleRef {
            before: older.unwrap_or(stale.before.clone()),
            ..stale
        });
    }
}
