//! What a ruleset says to a merge and to the move of a branch, in GitHub's words.
//!
//! Sources of the words: pull requests and checks, wheels-dev/wheels#3283, bitrix24/b24ui#353 and
//! mikelward/scripts#197; creations and merge commits, Kong/kong-operator#4536; code owners,
//! radicle-dev/radicle-explorer#649; the queue, pascalgn/automerge-action#235. The others are
//! assumptions.
//!
//! - here: the demands on a pull request, put together
//! - [`reviews`], [`owners`]: who has to have approved; [`checks`]: what has to be green
//! - [`refs`]: moves that come by no pull request

mod checks;
mod owners;
mod refs;
mod reviews;

use std::path::Path;

use super::git::{git, is_ancestor};
use super::state::{MergeMethod, Pull, Repository, Rule, State};

pub(super) use checks::{Outcome, combined};

/// By which way a pull request is to be merged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight into its base.
    Directly(MergeMethod),
    /// By the queue, which looks at the method itself.
    Queue,
    /// Nobody has said yet.
    Any,
}

/// How a refusal by rules reads.
pub(super) fn refusal(violations: &[String]) -> String {
    format!(
        "Repository rule violations found\n\n{}\n\n",
        violations.join("\n\n")
    )
}

/// Why a method is not to be used.
pub(super) fn method_refused(method: MergeMethod) -> String {
    let what = match method {
        MergeMethod::Merge => "Merge commits",
        MergeMethod::Squash => "Squash merges",
        MergeMethod::Rebase => "Rebase merges",
    };
    format!("{what} are not allowed on this repository.")
}

/// Every demand of the base branch's rules that a pull request does not meet.
pub(super) fn violations(
    path: &Path,
    state: &State,
    repo: &Repository,
    pull: &Pull,
    way: Way,
) -> Vec<String> {
    let mut found = Vec::new();
    for rule in repo.rules_of(&pull.base.branch) {
        found.extend(way_violations(rule, way));
        found.extend(merge_commits(path, rule, pull, way));
        found.extend(reviews::violations(path, state, repo, pull, rule));
        if rule.required_review_thread_resolution && pull.unresolved_threads > 0 {
            found.push(
                "A conversation must be resolved before this pull request can be merged.".into(),
            );
        }
        let behind = way != Way::Queue && rule.strict && is_behind(path, pull);
        found.extend(checks::violation(state, repo, &pull.head.sha, rule, behind));
    }
    found.dedup();
    found
}

/// Whether the head lacks something of its base.
pub(super) fn is_behind(path: &Path, pull: &Pull) -> bool {
    !is_ancestor(path, &pull.base.sha, &pull.head.sha)
}

fn way_violations(rule: &Rule, way: Way) -> Vec<String> {
    let mut found = Vec::new();
    if rule.restrict_update {
        found.push("Cannot update this protected ref.".to_string());
    }
    if rule.merge_queue.is_some() && matches!(way, Way::Directly(_)) {
        found.push("Changes must be made through the merge queue".to_string());
    }
    if let Way::Directly(method) = way
        && !rule.allows(method)
    {
        found.push(method_refused(method));
    }
    found
}

/// What a linear history says to a merge commit, be it made or already in the head.
fn merge_commits(path: &Path, rule: &Rule, pull: &Pull, way: Way) -> Option<String> {
    let linear = rule.required_linear_history;
    let makes_one = linear && way == Way::Directly(MergeMethod::Merge);
    makes_one.then(refs::no_merge_commits).or_else(|| {
        let lands_head = linear && way == Way::Directly(MergeMethod::Rebase);
        (lands_head && has_merges(path, &pull.base.sha, &pull.head.sha))
            .then(refs::no_merge_commits)
    })
}

/// Whether there are merge commits in `from..to`.
fn has_merges(path: &Path, from: &str, to: &str) -> bool {
    git(
        path,
        &[
            "rev-list",
            "--merges",
            "--max-count=1",
            &format!("{from}..{to}"),
        ],
    )
    .is_ok_and(|found| !found.is_empty())
}
