//! Merging a pull request: by the rules of its base branch, and only as long as nothing moved.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::{commit_tree, git, merge_tree, web_flow};
use crate::sandbox::forge::state::{Merged, Pull, Repository, Role, Rule, now};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MergeRequest {
    commit_title: Option<String>,
    commit_message: Option<String>,
    sha: Option<String>,
    merge_method: Option<String>,
}

/// The commit that a base branch is to be moved to.
struct MergeCommit {
    sha: String,
    title: String,
    base: String,
    /// Where the base branch has to be.
    before: String,
    /// What is merged.
    head: String,
}

impl Asked<'_> {
    pub(super) fn merge(&self, number: u64) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: MergeRequest = if self.call.body.is_empty() {
            MergeRequest::default()
        } else {
            body(self.call)?
        };
        let MergeCommit {
            sha,
            title,
            base,
            before,
            head,
        } = self.merge_commit(number, request)?;
        if git(
            &self.path(),
            &["update-ref", &format!("refs/heads/{base}"), &sha, &before],
        )
        .is_err()
        {
            return Err(Reply::error(
                405,
                "Base branch was modified. Review and try the merge again.",
            ));
        }
        self.close_merged(number, head, &sha);
        self.inner.moved(
            &self.full_name(),
            &base,
            Some(&before),
            Some(&sha),
            &self.login,
        );
        tracing::debug!(%title, %sha, "merged");
        Ok(Reply::json(
            200,
            json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"}),
        ))
    }

    /// Makes the commit, unless the pull request may not be merged. No branch is moved.
    fn merge_commit(&self, number: u64, request: MergeRequest) -> Result<MergeCommit, Reply> {
        let path = self.path();
        let (author, committer) = (self.inner.identity(&self.login), web_flow());
        let state = self.inner.state();
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        check_mergeable(repo, pull, request.sha.as_deref())?;
        let tree = merge_tree(&path, &pull.base.sha, &pull.head.sha)
            .ok_or_else(|| refused("Pull Request is not mergeable"))?;
        let head_owner = state
            .by_id(pull.head.repository)
            .map_or("ghost", |repo| repo.owner.as_str());
        let title = request.commit_title.unwrap_or_else(|| {
            format!(
                "Merge pull request #{number} from {head_owner}/{}",
                pull.head.branch
            )
        });
        let message = format!(
            "{title}\n\n{}",
            request.commit_message.as_ref().unwrap_or(&pull.title)
        );
        let parents: Vec<&str> = match request.merge_method.as_deref().unwrap_or("merge") {
            "merge" => vec![&pull.base.sha, &pull.head.sha],
            "squash" | "rebase" => vec![&pull.base.sha],
            _ => {
                return Err(Reply::error(
                    422,
                    "Invalid request.\n\nmerge_method is not a member of [\"merge\", \"squash\", \"rebase\"].",
                ));
            }
        };
        let sha = commit_tree(&path, &tree, &parents, &message, &author, &committer)
            .map_err(|error| Reply::error(500, error.to_string()))?;
        Ok(MergeCommit {
            sha,
            title,
            base: pull.base.branch.clone(),
            before: pull.base.sha.clone(),
            head: pull.head.sha.clone(),
        })
    }

    fn close_merged(&self, number: u64, head: String, sha: &str) {
        let mut state = self.inner.state();
        let at = now();
        if let Some(pull) = state
            .repository_mut(self.repo)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        {
            pull.open = false;
            pull.head.sha = head;
            pull.merged = Some(Merged {
                at,
                by: self.login.clone(),
                sha: sha.into(),
            });
            pull.closed_at = Some(at);
            pull.updated_at = at;
        }
        self.inner.announce_pull(
            &mut state,
            self.repo,
            number,
            "closed",
            &self.login,
            json!({}),
        );
    }
}

fn refused(message: &str) -> Reply {
    Reply::error(405, message)
}

/// Whether the pull request is open, ready, where the request saw it, and as its base branch's
/// rules want it.
fn check_mergeable(repo: &Repository, pull: &Pull, expected: Option<&str>) -> Result<(), Reply> {
    if !pull.open {
        return Err(refused("Pull Request is not mergeable"));
    }
    if expected.is_some_and(|sha| sha != pull.head.sha) {
        return Err(Reply::error(
            409,
            "Head branch was modified. Review and try the merge again.",
        ));
    }
    if pull.draft {
        return Err(refused("Pull Request is still a draft"));
    }
    repo.rules
        .iter()
        .filter(|rule| rule.branch == pull.base.branch)
        .try_for_each(|rule| check_rule(repo, pull, rule))
}

fn check_rule(repo: &Repository, pull: &Pull, rule: &Rule) -> Result<(), Reply> {
    let approvals = pull
        .reviews
        .iter()
        .filter(|review| review.state == "APPROVED" && repo.role(&review.user) >= Role::Write)
        .count();
    if approvals < rule.approvals {
        return Err(refused(&format!(
            "Repository rule violations found\n\nAt least {} approving review is required by reviewers with write access.\n\n",
            rule.approvals
        )));
    }
    for context in &rule.status_checks {
        let green = repo
            .statuses
            .iter()
            .rev()
            .find(|status| status.sha == pull.head.sha && status.context == *context);
        let check = repo
            .checks
            .iter()
            .rev()
            .find(|check| check.sha == pull.head.sha && check.name == *context);
        let checked = check.is_some_and(|check| {
            matches!(
                check.conclusion.as_deref(),
                Some("success" | "neutral" | "skipped")
            )
        });
        if !checked && green.is_none_or(|status| status.state != "success") {
            return Err(refused(&format!(
                "Repository rule violations found\n\nRequired status check \"{context}\" is expected.\n\n"
            )));
        }
    }
    Ok(())
}
