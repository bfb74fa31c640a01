//! Merging a pull request: by the rules of its base branch, and only as long as nothing moved.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::git;
use crate::sandbox::forge::merging::Wish;
use crate::sandbox::forge::rules::{Way, method_refused, refusal, violations};
use crate::sandbox::forge::state::{MergeMethod, Pull, Repository, State};
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
            return Err(refused(
                "Base branch was modified. Review and try the merge again.",
            ));
        }
        self.inner
            .close_merged(self.repo, number, head, &sha, &self.login);
        self.inner.moved(
            &self.full_name(),
            &base,
            Some(&before),
            Some(&sha),
            &self.login,
        );
        tracing::debug!(number, %sha, "merged");
        Ok(Reply::json(
            200,
            json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"}),
        ))
    }

    /// Makes the commit, unless the pull request may not be merged. No branch is moved.
    fn merge_commit(&self, number: u64, request: MergeRequest) -> Result<MergeCommit, Reply> {
        let method = MergeMethod::from_name(request.merge_method.as_deref().unwrap_or("merge"))
            .ok_or_else(|| {
                Reply::error(
                    422,
                    "Invalid request.\n\nmerge_method is not a member of [\"merge\", \"squash\", \"rebase\"].",
                )
            })?;
        let state = self.inner.state();
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        check_mergeable(repo, pull, request.sha.as_deref())?;
        self.check_rules(&state, repo, pull, method)?;
        let wish = Wish {
            method,
            title: request.commit_title,
            message: request.commit_message,
            by: &self.login,
        };
        let sha = self
            .inner
            .make_merge(&state, repo, pull, &pull.base.sha, wish)
            .map_err(|error| Reply::error(500, error.to_string()))?
            .ok_or_else(|| {
                refused(match method {
                    MergeMethod::Rebase => "This branch can't be rebased",
                    _ => "Pull Request is not mergeable",
                })
            })?;
        Ok(MergeCommit {
            sha,
            base: pull.base.branch.clone(),
            before: pull.base.sha.clone(),
            head: pull.head.sha.clone(),
        })
    }

    /// Whether the repository and the base branch's rules want the pull request merged so.
    fn check_rules(
        &self,
        state: &State,
        repo: &Repository,
        pull: &Pull,
        method: MergeMethod,
    ) -> Result<(), Reply> {
        if !repo.allows(method) {
            return Err(refused(&method_refused(method)));
        }
        let found = violations(&self.path(), state, repo, pull, Way::Directly(method));
        if found.is_empty() {
            Ok(())
        } else {
            Err(refused(&refusal(&found)))
        }
    }
}

fn refused(message: &str) -> Reply {
    Reply::error(405, message)
}

/// Whether the pull request is open, ready, where the request saw it, and in no queue.
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
    // objectstack-ai/objectstack#12873.
    if repo.queue.iter().any(|entry| entry.number == pull.number) {
        return Err(refused("Pull Request is in the merge queue"));
    }
    Ok(())
}
