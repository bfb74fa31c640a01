//! Merge queues: each entry is tested as a commit on top of the one before it, and merged when its
//! turn comes and what is required of it is green.
//!
//! Level-triggered: [`Inner::settle_queues`] runs after every write and does whatever is due, one
//! step after the other, so that it does not matter what made it so. Every entry is a group of its
//! own. Nothing here goes by the clock: a check that never comes is waited for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Inner;
use super::git::{git, resolve};
use super::merging::Wish;
use super::rules::{Outcome, Way, combined, violations};
use super::state::{MergeGroup, QueueEntry, Repository, State, UserKind};
use super::webhooks::find;

/// Whom GitHub's queues act as.
pub(super) const QUEUE_BOT: &str = "github-merge-queue[bot]";

/// What is due in a queue, by the entry's id.
enum Step {
    /// The entry leaves without being merged, for one of the reasons of `pull_request.dequeued`.
    Remove(u64, &'static str),
    /// The entry is to be tested on top of this commit.
    Build(u64, String),
    Merge(u64),
}

impl Inner {
    pub(super) fn settle_queues(&self) {
        let repositories: Vec<u64> = self
            .state()
            .repositories
            .iter()
            .filter(|repo| !repo.queue.is_empty())
            .map(|repo| repo.id)
            .collect();
        if repositories.is_empty() {
            return;
        }
        let _one_at_a_time = self
            .queues
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for id in repositories {
            while let Some(step) = self.due(id) {
                match step {
                    Step::Remove(entry, reason) => self.remove_entry(id, entry, reason),
                    Step::Build(entry, base) => self.build_group(id, entry, &base),
                    Step::Merge(entry) => self.merge_group(id, entry),
                }
            }
        }
    }

    /// The first thing that is due.
    fn due(&self, id: u64) -> Option<Step> {
        let state = self.state();
        let repo = state.by_id(id)?;
        let path = self.repository_path(&repo.owner, &repo.name);
        // Where each base would be, were all the entries so far merged.
        let mut tips: BTreeMap<&str, String> = BTreeMap::new();
        for entry in &repo.queue {
            let first = !tips.contains_key(entry.base.as_str());
            let tip = match tips.get(entry.base.as_str()) {
                Some(tip) => tip.clone(),
                None => resolve(&path, &format!("refs/heads/{}", entry.base))?,
            };
            let pull = repo.pulls.iter().find(|pull| pull.number == entry.number)?;
            if !pull.open || pull.head.sha != entry.head {
                return Some(Step::Remove(entry.id, "MANUAL"));
            }
            let Some(group) = entry.group.as_ref().filter(|group| group.base_sha == tip) else {
                return Some(Step::Build(entry.id, tip));
            };
            match combined(&state, repo, &entry.base, &group.head_sha) {
                Outcome::Failing => return Some(Step::Remove(entry.id, "CI_FAILURE")),
                Outcome::Green if first => {
                    let wrong = violations(&path, &state, repo, pull, Way::Queue);
                    return Some(if wrong.is_empty() {
                        Step::Merge(entry.id)
                    } else {
                        Step::Remove(entry.id, "BRANCH_PROTECTIONS")
                    });
                }
                _ => {}
            }
            tips.insert(&entry.base, group.head_sha.clone());
        }
        None
    }

    /// Adds a pull request to its base's queue.
    pub(super) fn add_entry(
        &self,
        state: &mut State,
        repository: u64,
        mut entry: QueueEntry,
    ) -> u64 {
        state.add_user(QUEUE_BOT, UserKind::Bot);
        entry.id = state.new_id();
        let (id, number, by) = (entry.id, entry.number, entry.enqueuer.clone());
        if let Some(repo) = state.repository_mut(repository) {
            let at = if entry.jump { 0 } else { repo.queue.len() };
            repo.queue.insert(at, entry);
        }
        self.announce_pull(state, repository, number, "enqueued", &by, json!({}));
        id
    }

    pub(super) fn remove_entry(&self, repository: u64, id: u64, reason: &str) {
        let Some((name, entry)) = self.take_entry(repository, id) else {
            return;
        };
        let fate = match reason {
            "MERGE" => "merged",
            "MANUAL" => "dequeued",
            _ => "invalidated",
        };
        if let Some(group) = &entry.group {
            self.destroy_group(repository, &name, &entry.base, group, fate);
        }
        let more = json!({"reason": reason});
        self.announce_pull(
            &mut self.state(),
            repository,
            entry.number,
            "dequeued",
            QUEUE_BOT,
            more,
        );
    }

    /// The entry, which is in the queue no more, and its repository's full name.
    fn take_entry(&self, repository: u64, id: u64) -> Option<(String, QueueEntry)> {
        let mut state = self.state();
        let repo = state.repository_mut(repository)?;
        let at = repo.queue.iter().position(|entry| entry.id == id)?;
        Some((repo.full_name(), repo.queue.remove(at)))
    }

    fn destroy_group(
        &self,
        repository: u64,
        name: &str,
        base: &str,
        group: &MergeGroup,
        reason: &str,
    ) {
        let more = json!({"reason": reason});
        self.announce_group(repository, base, group, "destroyed", more);
        let Some((owner, short)) = name.split_once('/') else {
            return;
        };
        let reference = format!("refs/heads/{}", group.branch);
        let removed = git(
            &self.repository_path(owner, short),
            &["update-ref", "-d", &reference],
        );
        if removed.is_ok() {
            self.moved(name, &group.branch, Some(&group.head_sha), None, QUEUE_BOT);
        }
    }

    /// Makes what an entry is tested as, on top of `base_sha`.
    fn build_group(&self, repository: u64, id: u64, base_sha: &str) {
        let Some((name, entry)) = self.change_entry(repository, id, |entry| {
            let old = entry.clone();
            entry.group = None;
            old
        }) else {
            return;
        };
        if let Some(old) = &entry.group {
            self.destroy_group(repository, &name, &entry.base, old, "invalidated");
        }
        let Some(head_sha) = self.group_commit(repository, &entry, base_sha) else {
            return self.remove_entry(repository, id, "MERGE_CONFLICT");
        };
        let group = MergeGroup {
            branch: format!(
                "gh-readonly-queue/{}/pr-{}-{base_sha}",
                entry.base, entry.number
            ),
            head_sha,
            base_sha: base_sha.into(),
        };
        let (owner, short) = name.split_once('/').unwrap_or_default();
        let reference = format!("refs/heads/{}", group.branch);
        let made = git(
            &self.repository_path(owner, short),
            &["update-ref", &reference, &group.head_sha],
        );
        if made.is_err() {
            return self.remove_entry(repository, id, "GIT_TREE_INVALID");
        }
        self.change_entry(repository, id, |entry| entry.group = Some(group.clone()));
        self.moved(&name, &group.branch, None, Some(&group.head_sha), QUEUE_BOT);
        self.announce_group(
            repository,
            &entry.base,
            &group,
            "checks_requested",
            json!({}),
        );
    }

    /// What the base would be with the pull request merged as the rule of the queue says. None: it
    /// conflicts.
    fn group_commit(&self, repository: u64, entry: &QueueEntry, base_sha: &str) -> Option<String> {
        let state = self.state();
        let (repo, pull) = find(&state, repository, entry.number)?;
        let wish = Wish {
            method: queue_method(repo, &entry.base)?,
            title: None,
            message: None,
            by: QUEUE_BOT,
        };
        let made = self.make_merge(&state, repo, pull, base_sha, wish);
        made.ok().flatten()
    }

    /// The repository's full name, and what `change` says.
    fn change_entry<T>(
        &self,
        repository: u64,
        id: u64,
        change: impl FnOnce(&mut QueueEntry) -> T,
    ) -> Option<(String, T)> {
        let mut state = self.state();
        let repo = state.repository_mut(repository)?;
        let name = repo.full_name();
        let entry = repo.queue.iter_mut().find(|entry| entry.id == id)?;
        Some((name, change(entry)))
    }

    /// The base is moved on to the group's commit.
    fn merge_group(&self, repository: u64, id: u64) {
        let Some((name, entry)) = self.change_entry(repository, id, |entry| entry.clone()) else {
            return;
        };
        let (Some(group), Some((owner, short))) = (&entry.group, name.split_once('/')) else {
            return;
        };
        let reference = format!("refs/heads/{}", entry.base);
        let moved = git(
            &self.repository_path(owner, short),
            &["update-ref", &reference, &group.head_sha, &group.base_sha],
        );
        // Somebody moved the base meanwhile: the group will be built anew.
        if moved.is_err() {
            return;
        }
        let head = entry.head.clone();
        self.close_merged(repository, entry.number, head, &group.head_sha, QUEUE_BOT);
        let (before, after) = (Some(group.base_sha.as_str()), Some(group.head_sha.as_str()));
        self.moved(&name, &entry.base, before, after, QUEUE_BOT);
        self.remove_entry(repository, id, "MERGE");
    }

    fn announce_group(
        &self,
        repository: u64,
        base: &str,
        group: &MergeGroup,
        action: &str,
        mut more: Value,
    ) {
        let mut state = self.state();
        let Some(repo) = state.by_id(repository) else {
            return;
        };
        more["merge_group"] = self.shapes(&state).merge_group(repo, base, group);
        self.announce(
            &mut state,
            repository,
            "merge_group",
            Some(action),
            QUEUE_BOT,
            more,
        );
    }
}

/// How the queue of a branch merges; None: it has none.
pub(super) fn queue_method(repo: &Repository, branch: &str) -> Option<super::state::MergeMethod> {
    repo.rules_of(branch).find_map(|rule| rule.merge_queue)
}
