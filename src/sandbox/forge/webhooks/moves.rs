//! The move of a branch: pull requests follow it, and `push` and `pull_request` events go out.

use serde_json::{Value, json};

use crate::sandbox::forge::Inner;
use crate::sandbox::forge::git::{git, is_ancestor, settled};
use crate::sandbox::forge::json::{CommitFacts, Shapes};
use crate::sandbox::forge::state::{Activity, Kind, Pull, Repository, StaleRef, State, now};
use crate::sandbox::forge::webhooks::find;

const ZERO: &str = "0000000000000000000000000000000000000000";

/// A move. `before` is None: the branch is new; `after` is: it is gone.
struct Move<'a> {
    full_name: &'a str,
    branch: &'a str,
    before: Option<&'a str>,
    after: Option<&'a str>,
    login: &'a str,
    forced: bool,
}

impl Inner {
    /// A branch moved: pull requests follow it, and `push` and `pull_request` events go out.
    pub(in crate::sandbox::forge) fn moved(
        &self,
        full_name: &str,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
        login: &str,
    ) {
        let mut state = self.state();
        let Some(repo) = state.by_full_name(full_name) else {
            return;
        };
        let id = repo.id;
        let path = self.repository_path(&repo.owner, &repo.name);
        let forced = matches!((before, after), (Some(before), Some(after)) if !is_ancestor(&path, before, after));
        let moved = Move {
            full_name,
            branch,
            before,
            after,
            login,
            forced,
        };
        let push = self.push_event(&state, repo, &moved);
        self.announce(&mut state, id, "push", None, login, push);
        let move_id = state.new_id();
        if let Some(repo) = state.repository_mut(id) {
            repo.activity.push(Activity {
                id: move_id,
                branch: branch.into(),
                before: before.map(str::to_string),
                after: after.map(str::to_string),
                forced,
                actor: login.into(),
                at: now(),
            });
        }
        if let Some(after) = after {
            let listings = state.faults.lag.refs;
            state.unseen.hide_ref(StaleRef {
                repository: id,
                name: format!("refs/heads/{branch}"),
                before: before.map(str::to_string),
                after: Some(after.into()),
                listings,
                whole: false,
            });
        }
        for (repository, number) in followers(&mut state, id, &moved) {
            self.follow(&mut state, repository, number, &moved);
        }
    }

    fn push_event(&self, state: &State, repo: &Repository, moved: &Move<'_>) -> Value {
        let Move {
            full_name,
            branch,
            before,
            after,
            login,
            forced,
        } = *moved;
        let path = self.repository_path(&repo.owner, &repo.name);
        let shapes = self.shapes(state);
        let listed = match (before, after) {
            (Some(before), Some(after)) => git(
                &path,
                &["rev-list", "--max-count=20", &format!("{before}..{after}")],
            )
            .unwrap_or_default(),
            (None, Some(after)) => after.to_string(),
            _ => String::new(),
        };
        let commits: Vec<Value> = listed
            .lines()
            .map(|sha| self.push_commit(&shapes, repo, sha))
            .collect();
        json!({
            "ref": format!("refs/heads/{branch}"), "before": before.unwrap_or(ZERO), "after": after.unwrap_or(ZERO),
            "created": before.is_none(), "deleted": after.is_none(), "forced": forced, "base_ref": null,
            "compare": format!("{}/{full_name}/compare", self.origin()), "head_commit": commits.first().cloned(), "commits": commits,
            "pusher": {"name": login, "email": format!("{login}@users.noreply.github.com")},
        })
    }

    /// The head of a pull request moved or went away. GitHub closes one whose head is gone or has
    /// nothing its base lacks.
    fn follow(&self, state: &mut State, repository: u64, number: u64, moved: &Move<'_>) {
        let after = moved.after;
        let Some(repo) = state.by_id(repository) else {
            return;
        };
        let path = self.repository_path(&repo.owner, &repo.name);
        let Some(pull) = repo.pulls.iter().find(|pull| pull.number == number) else {
            return;
        };
        let base = format!("refs/heads/{}", pull.base.branch);
        let (id, shapes) = (pull.id, self.shapes(state));
        let told = state
            .lags(Kind::Pull)
            .then(|| shapes.pull(repo, pull, None));
        let late = after.filter(|after| self.fetch_from_fork(state, repo, pull, after));
        if let Some(after) = after {
            let name = format!("refs/pull/{number}/head");
            let _ = git(&path, &["update-ref", &name, after]);
        }
        let old = pull.head.sha.clone();
        if let Some(after) = late {
            state.fork_moved(repository, number, Some(old.clone()), after);
        }
        state.written(Kind::Pull, id, told);
        let nothing_left = after.is_some_and(|after| is_ancestor(&path, after, &base));
        let Some(pull) = state
            .repository_mut(repository)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        else {
            return;
        };
        pull.updated_at = now();
        pull.mergeability_known = false;
        if let Some(after) = after {
            pull.head.sha = after.into();
        }
        let close = after.is_none() || nothing_left;
        if close {
            pull.open = false;
            pull.closed_at = Some(now());
        }
        let (action, more) = if close {
            ("closed", json!({}))
        } else {
            (
                "synchronize",
                json!({"before": moved.before.unwrap_or(ZERO), "after": after.unwrap_or(ZERO)}),
            )
        };
        self.announce_pull(state, repository, number, action, moved.login, more);
        if !close {
            self.dismiss_stale(state, repository, number, &old, moved.login);
        }
    }

    /// Fetches the head of a pull request from its fork; false: it is of no fork.
    fn fetch_from_fork(&self, state: &State, repo: &Repository, pull: &Pull, head: &str) -> bool {
        let fork = state.by_id(pull.head.repository);
        let Some(fork) = fork.filter(|fork| fork.id != repo.id) else {
            return false;
        };
        let from = self.repository_path(&fork.owner, &fork.name);
        let (from, into) = (
            from.display().to_string(),
            self.repository_path(&repo.owner, &repo.name),
        );
        let _ = git(&into, &["fetch", "--quiet", &from, head]);
        true
    }

    /// Where the rules say so, approvals of another change than the head is now are taken back.
    fn dismiss_stale(
        &self,
        state: &mut State,
        repository: u64,
        number: u64,
        old: &str,
        login: &str,
    ) {
        let Some((repo, pull)) = find(state, repository, number) else {
            return;
        };
        let path = self.repository_path(&repo.owner, &repo.name);
        let change = |head: &str| settled(&path, &["diff", &format!("{}...{head}", pull.base.sha)]);
        let asked = repo
            .rules_of(&pull.base.branch)
            .any(|rule| rule.dismiss_stale_reviews_on_push);
        if !asked || change(old) == change(&pull.head.sha) {
            return;
        }
        let mut dismissed = Vec::new();
        if let Some(pull) = state
            .repository_mut(repository)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        {
            for review in &mut pull.reviews {
                if review.state == "APPROVED" {
                    review.state = "DISMISSED".into();
                    dismissed.push(review.id);
                }
            }
        }
        let by = ("dismissed", login);
        for review in dismissed {
            self.announce_review(state, repository, number, review, by, json!({}));
        }
    }

    fn push_commit(&self, shapes: &Shapes<'_>, repo: &Repository, sha: &str) -> Value {
        let facts = CommitFacts::read(self, repo, sha);
        json!({
            "id": sha, "tree_id": facts.tree, "distinct": true, "message": facts.message, "timestamp": facts.date,
            "url": format!("{}/commits/{sha}", shapes.repo_url(repo)),
            "author": {"name": facts.author.name, "email": facts.author.email}, "committer": {"name": facts.committer.name, "email": facts.committer.email},
            "added": [], "removed": [], "modified": [],
        })
    }
}

/// Moves the bases of open pull requests with the branch; those whose head it is, by repository and
/// number.
fn followers(state: &mut State, id: u64, moved: &Move<'_>) -> Vec<(u64, u64)> {
    let mut follow = Vec::new();
    for repo in &mut state.repositories {
        let base_moved = repo.id == id;
        for pull in repo.pulls.iter_mut().filter(|pull| pull.open) {
            if base_moved
                && pull.base.branch == moved.branch
                && let Some(after) = moved.after
            {
                pull.base.sha = after.into();
                pull.mergeability_known = false;
            }
            if pull.head.repository == id && pull.head.branch == moved.branch {
                follow.push((repo.id, pull.number));
            }
        }
    }
    follow
}
