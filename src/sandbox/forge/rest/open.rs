//! Opening a pull request.

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, body, invalid, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::{git, is_ancestor, resolve};
use crate::sandbox::forge::state::{Kind, Pull, Side, State};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPull {
    title: String,
    head: String,
    base: String,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
    #[serde(rename = "maintainer_can_modify")]
    _maintainer_can_modify: Option<bool>,
    #[serde(rename = "head_repo")]
    _head_repo: Option<String>,
}

/// What a pull request is to be opened from.
struct Head {
    /// As the request names it.
    owner: String,
    side: Side,
}

impl Asked<'_> {
    pub(super) fn open(&self) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: NewPull = body(self.call)?;
        bounded(Some(&request.title), request.body.as_deref())?;
        let path = self.path();
        let base = resolve(&path, &format!("refs/heads/{}", request.base))
            .ok_or_else(|| invalid_field("base"))?;
        let head = self.find_head(&request.head)?;
        if is_ancestor(&path, &head.side.sha, &base) {
            return Err(refused(format!(
                "No commits between {} and {}",
                request.base, head.side.branch
            )));
        }
        let (sha, foreign) = (head.side.sha.clone(), head.side.repository != self.repo);
        let mut state = self.inner.state();
        let number = self.add_pull(&mut state, request, head, base)?;
        let _ = git(
            &path,
            &["update-ref", &format!("refs/pull/{number}/head"), &sha],
        );
        if foreign {
            state.fork_moved(self.repo, number, None, &sha);
        }
        if let Some((_, pull)) = find(&state, self.repo, number) {
            let id = pull.id;
            state.written(Kind::Pull, id, None);
        }
        self.inner.announce_pull(
            &mut state,
            self.repo,
            number,
            "opened",
            &self.login,
            json!({}),
        );
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        Ok(Reply::json(
            201,
            self.inner.shapes(&state).pull(repo, pull, None),
        ))
    }

    /// The branch that `name` means, here or in a fork; its commits are in this repository
    /// afterwards.
    fn find_head(&self, name: &str) -> Result<Head, Reply> {
        let (owner, branch) = match name.split_once(':') {
            Some((owner, branch)) => (owner.to_string(), branch.to_string()),
            None => (self.owner.clone(), name.to_string()),
        };
        let missing = || invalid_field("head");
        let (repository, path) = {
            let state = self.inner.state();
            let own = state
                .by_id(self.repo)
                .filter(|repo| repo.owner.eq_ignore_ascii_case(&owner));
            let fork = state.repositories.iter().find(|repo| {
                repo.fork_of == Some(self.repo) && repo.owner.eq_ignore_ascii_case(&owner)
            });
            let found = own.or(fork).ok_or_else(missing)?;
            (
                found.id,
                self.inner.repository_path(&found.owner, &found.name),
            )
        };
        let sha = resolve(&path, &format!("refs/heads/{branch}")).ok_or_else(missing)?;
        if repository != self.repo {
            let from = path.display().to_string();
            git(&self.path(), &["fetch", "--quiet", &from, &sha])
                .map_err(|error| Reply::error(500, error.to_string()))?;
        }
        Ok(Head {
            owner,
            side: Side {
                repository,
                branch,
                sha,
            },
        })
    }

    /// Adds the pull request, unless there is one for the same two branches; its number.
    fn add_pull(
        &self,
        state: &mut State,
        request: NewPull,
        head: Head,
        base: String,
    ) -> Result<u64, Reply> {
        let (id, at) = (state.new_id(), state.now());
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let twin = repo.pulls.iter().any(|pull| {
            pull.open
                && pull.head.repository == head.side.repository
                && pull.head.branch == head.side.branch
                && pull.base.branch == request.base
        });
        if twin {
            return Err(refused(format!(
                "A pull request already exists for {}:{}.",
                head.owner, head.side.branch
            )));
        }
        let number = repo.next_number;
        repo.next_number += 1;
        repo.pulls.push(Pull {
            id,
            number,
            title: request.title,
            body: request.body,
            author: self.login.clone(),
            draft: request.draft,
            open: true,
            head: head.side,
            base: Side {
                repository: self.repo,
                branch: request.base,
                sha: base,
            },
            created_at: at,
            updated_at: at,
            closed_at: None,
            merged: None,
            reviews: vec![],
            unresolved_threads: 0,
            edited_at: None,
            mergeability_known: false,
            labels: vec![],
        });
        Ok(number)
    }
}

fn invalid_field(field: &str) -> Reply {
    invalid(
        "pulls",
        json!([{"resource": "PullRequest", "field": field, "code": "invalid"}]),
    )
}

fn refused(message: String) -> Reply {
    invalid(
        "pulls",
        json!([{"resource": "PullRequest", "code": "custom", "message": message}]),
    )
}

/// Refuses a title or a text that is too long (rustsec/rustsec#1445, renovatebot/renovate#2032).
pub(super) fn bounded(title: Option<&str>, text: Option<&str>) -> Result<(), Reply> {
    for (field, value, most) in [("title", title, 256), ("body", text, 65_536)] {
        if value.is_some_and(|value| value.chars().count() > most) {
            let message = format!("{field} is too long (maximum is {most} characters)");
            return Err(invalid(
                "pulls",
                json!([{"resource": "Issue", "code": "custom", "field": field, "message": message}]),
            ));
        }
    }
    Ok(())
}
