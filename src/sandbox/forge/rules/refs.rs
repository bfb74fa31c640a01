//! What rules say to a branch that is made, moved or removed by no pull request.

use std::path::Path;

use super::{checks, has_merges};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::git::is_ancestor;
use crate::sandbox::forge::state::{Repository, Rule, State};

pub(super) fn no_merge_commits() -> String {
    "This branch must not contain merge commits.".into()
}

impl Inner {
    /// What forbids the move of a ref, of which rules know the branches alone.
    pub fn move_violations(
        &self,
        owner: &str,
        name: &str,
        reference: &str,
        move_: (Option<&str>, Option<&str>),
    ) -> Vec<String> {
        let path = self.repository_path(owner, name);
        let state = self.state();
        match (
            reference.strip_prefix("refs/heads/"),
            state.repository(owner, name),
        ) {
            (Some(branch), Some(repo)) => move_violations(&path, &state, repo, branch, move_),
            _ => Vec::new(),
        }
    }
}

/// What forbids a move. `before` is None: the branch is made; `after` is: it is removed. The
/// commits of the move must be in the repository.
fn move_violations(
    path: &Path,
    state: &State,
    repo: &Repository,
    branch: &str,
    (before, after): (Option<&str>, Option<&str>),
) -> Vec<String> {
    let mut found: Vec<String> = repo
        .rules_of(branch)
        .flat_map(|rule| match (before, after) {
            (None, _) => restricted(
                rule.restrict_creation,
                "Cannot create ref due to creations being restricted.",
            ),
            (_, None) => restricted(rule.restrict_deletion, "Cannot delete this branch"),
            (Some(before), Some(after)) => {
                update_violations(path, state, repo, rule, (before, after))
            }
        })
        .collect();
    found.dedup();
    found
}

fn restricted(is: bool, words: &str) -> Vec<String> {
    is.then(|| words.to_string()).into_iter().collect()
}

fn update_violations(
    path: &Path,
    state: &State,
    repo: &Repository,
    rule: &Rule,
    (before, after): (&str, &str),
) -> Vec<String> {
    let mut found = restricted(rule.restrict_update, "Cannot update this protected ref.");
    if rule.non_fast_forward && !is_ancestor(path, before, after) {
        found.push("Cannot force-push to this branch".into());
    }
    if rule.wants_pull_request() {
        found.push("Changes must be made through a pull request.".into());
    }
    if rule.merge_queue.is_some() {
        found.push("Changes must be made through the merge queue".into());
    }
    if rule.required_linear_history && has_merges(path, before, after) {
        found.push(no_merge_commits());
    }
    found.extend(checks::violation(state, repo, after, rule, false));
    found
}
