//! Pull requests, their comments, reviews and merges.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Reply;
use super::auth::Access;
use super::git::{commit_tree, git, is_ancestor, merge_tree, resolve, web_flow};
use super::json::{REACTIONS, Shapes};
use super::rest::{Answer, Asked, body, invalid, not_found};
use super::state::*;
use super::webhooks::find;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditPull {
    title: Option<String>,
    body: Option<String>,
    state: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeRequest {
    commit_title: Option<String>,
    commit_message: Option<String>,
    sha: Option<String>,
    merge_method: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewRequest {
    commit_id: Option<String>,
    body: Option<String>,
    event: Option<String>,
    /// Line comments: taken, and not kept.
    #[serde(rename = "comments")]
    _comments: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommentRequest {
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReactionRequest {
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsRequest {
    labels: Vec<String>,
}

impl Asked<'_> {
    pub fn pull_endpoints(&self, method: &str, area: &str, rest: &[&str]) -> Answer {
        match (method, area, rest) {
            ("GET", "pulls", []) => self.pulls(),
            ("POST", "pulls", []) => self.open(),
            ("GET", "pulls", [number]) => self.get(self.number(number)?),
            ("PATCH", "pulls", [number]) => self.edit(self.number(number)?),
            ("GET", "pulls", [number, "files"]) => self.files(self.number(number)?),
            ("GET", "pulls", [number, "commits"]) => self.commits(self.number(number)?),
            ("GET", "pulls", [number, "reviews"]) => {
                let number = self.number(number)?;
                self.with_pull("pull_requests", number, |shapes, repo, pull| {
                    self.list(
                        pull.reviews
                            .iter()
                            .map(|review| shapes.review(repo, pull, review))
                            .collect(),
                    )
                })
            }
            ("POST", "pulls", [number, "reviews"]) => self.review(self.number(number)?),
            ("PUT", "pulls", [number, "merge"]) => self.merge(self.number(number)?),
            ("GET", "issues", ["comments", id]) => self
                .with_comment(id, |shapes, repo, comment| {
                    Ok(Reply::json(200, shapes.comment(repo, comment)))
                }),
            ("PATCH", "issues", ["comments", id]) => self.edit_comment(id),
            ("DELETE", "issues", ["comments", id]) => self.delete_comment(id),
            ("GET", "issues", ["comments", id, "reactions"]) => {
                self.with_comment(id, |shapes, _, comment| {
                    self.list(
                        comment
                            .reactions
                            .iter()
                            .map(|reaction| shapes.reaction(reaction))
                            .collect(),
                    )
                })
            }
            ("POST", "issues", ["comments", id, "reactions"]) => self.react(id),
            ("GET", "issues", [number, "comments"]) => {
                let number = self.number(number)?;
                self.with_pull("issues", number, |shapes, repo, _| {
                    self.list(
                        repo.comments
                            .iter()
                            .filter(|comment| comment.issue == number)
                            .map(|comment| shapes.comment(repo, comment))
                            .collect(),
                    )
                })
            }
            ("POST", "issues", [number, "comments"]) => self.comment(self.number(number)?),
            ("POST", "issues", [number, "labels"]) => self.label(self.number(number)?),
            _ => Err(not_found()),
        }
    }

    fn number(&self, text: &str) -> Result<u64, Reply> {
        text.parse().map_err(|_| not_found())
    }

    fn with_pull(
        &self,
        permission: &str,
        number: u64,
        answer: impl FnOnce(&Shapes<'_>, &Repository, &Pull) -> Answer,
    ) -> Answer {
        // Comments of pull requests are to be read with either permission.
        if permission == "issues" {
            self.allow("issues", Access::Read)
                .or_else(|_| self.allow("pull_requests", Access::Read))?;
        } else {
            self.allow(permission, Access::Read)?;
        }
        let state = self.inner.state();
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        answer(
            &Shapes {
                inner: self.inner,
                state: &state,
            },
            repo,
            pull,
        )
    }

    fn pulls(&self) -> Answer {
        self.read("pull_requests", |shapes, repo| {
            let wanted = |name: &str| self.query.get(name).map(String::as_str);
            let mut found: Vec<&Pull> = repo
                .pulls
                .iter()
                .filter(|pull| match wanted("state").unwrap_or("open") {
                    "open" => pull.open,
                    "closed" => !pull.open,
                    _ => true,
                })
                .filter(|pull| wanted("base").is_none_or(|base| base == pull.base.branch))
                .filter(|pull| {
                    // `head` must name its owner; without one GitHub passes the filter over.
                    wanted("head")
                        .and_then(|head| head.split_once(':'))
                        .is_none_or(|(owner, branch)| {
                            let of = shapes
                                .state
                                .by_id(pull.head.repository)
                                .map(|repo| repo.owner.as_str());
                            of == Some(owner) && branch == pull.head.branch
                        })
                })
                .collect();
            match wanted("sort") {
                Some("updated") => found.sort_by_key(|pull| (pull.updated_at, pull.number)),
                _ => found.sort_by_key(|pull| pull.number),
            }
            let ascending = wanted("direction").is_some_and(|direction| direction == "asc");
            if !ascending {
                found.reverse();
            }
            self.list(
                found
                    .iter()
                    .map(|pull| shapes.pull_simple(repo, pull))
                    .collect(),
            )
        })
    }

    pub fn pulls_of(&self, sha: &str) -> Answer {
        self.read("pull_requests", |shapes, repo| {
            let path = self.path();
            if resolve(&path, sha).is_none() {
                return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
            }
            let of = |pull: &&Pull| match &pull.merged {
                Some(merged) => {
                    merged.sha == sha
                        || (is_ancestor(&path, sha, &pull.head.sha)
                            && !is_ancestor(&path, sha, &pull.base.sha))
                }
                None => {
                    is_ancestor(&path, sha, &pull.head.sha)
                        && !is_ancestor(&path, sha, &pull.base.sha)
                }
            };
            self.list(
                repo.pulls
                    .iter()
                    .filter(of)
                    .map(|pull| shapes.pull_simple(repo, pull))
                    .collect(),
            )
        })
    }

    fn open(&self) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: NewPull = body(self.call)?;
        let path = self.path();
        let base = resolve(&path, &format!("refs/heads/{}", request.base));
        let Some(base) = base else {
            return Err(invalid(
                "pulls",
                json!([{"resource": "PullRequest", "field": "base", "code": "invalid"}]),
            ));
        };
        let (head_owner, head_branch) = match request.head.split_once(':') {
            Some((owner, branch)) => (owner.to_string(), branch.to_string()),
            None => (self.owner.clone(), request.head.clone()),
        };
        let missing = || {
            invalid(
                "pulls",
                json!([{"resource": "PullRequest", "field": "head", "code": "invalid"}]),
            )
        };
        let head_repo = {
            let state = self.inner.state();
            let own = state
                .by_id(self.repo)
                .filter(|repo| repo.owner.eq_ignore_ascii_case(&head_owner));
            let fork = state.repositories.iter().find(|repo| {
                repo.fork_of == Some(self.repo) && repo.owner.eq_ignore_ascii_case(&head_owner)
            });
            let found = own.or(fork).ok_or_else(missing)?;
            (found.id, found.owner.clone(), found.name.clone())
        };
        let head_path = self.inner.repository_path(&head_repo.1, &head_repo.2);
        let head = resolve(&head_path, &format!("refs/heads/{head_branch}")).ok_or_else(missing)?;
        if head_repo.0 != self.repo {
            let from = head_path.display().to_string();
            git(&path, &["fetch", "--quiet", &from, &head])
                .map_err(|error| Reply::error(500, error.to_string()))?;
        }
        let custom = |message: String| {
            invalid(
                "pulls",
                json!([{"resource": "PullRequest", "code": "custom", "message": message}]),
            )
        };
        if is_ancestor(&path, &head, &base) {
            return Err(custom(format!(
                "No commits between {} and {}",
                request.base, head_branch
            )));
        }
        let mut state = self.inner.state();
        let id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let twin = repo.pulls.iter().any(|pull| {
            pull.open
                && pull.head.repository == head_repo.0
                && pull.head.branch == head_branch
                && pull.base.branch == request.base
        });
        if twin {
            return Err(custom(format!(
                "A pull request already exists for {head_owner}:{head_branch}."
            )));
        }
        let number = repo.next_number;
        repo.next_number += 1;
        let at = now();
        repo.pulls.push(Pull {
            id,
            number,
            title: request.title,
            body: request.body,
            author: self.login.clone(),
            draft: request.draft,
            open: true,
            head: Side {
                repository: head_repo.0,
                branch: head_branch,
                sha: head.clone(),
            },
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
            mergeability_known: false,
            labels: vec![],
        });
        let _ = git(
            &path,
            &["update-ref", &format!("refs/pull/{number}/head"), &head],
        );
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
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .pull(repo, pull, None),
        ))
    }

    fn get(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Read)?;
        let mut state = self.inner.state();
        let (_, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let mergeable = pull
            .mergeability_known
            .then(|| merge_tree(&self.path(), &pull.base.sha, &pull.head.sha).is_some());
        if let Some(pull) = state
            .repository_mut(self.repo)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        {
            pull.mergeability_known = true;
        }
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        Ok(Reply::json(
            200,
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .pull(repo, pull, mergeable),
        ))
    }

    fn edit(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: EditPull = body(self.call)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let pull = repo
            .pulls
            .iter_mut()
            .find(|pull| pull.number == number)
            .ok_or_else(not_found)?;
        if !self.by_app() && role < Role::Write && pull.author != self.login {
            return Err(Reply::error(403, "Must have push access to repository"));
        }
        let mut changes = json!({});
        if let Some(title) = request.title
            && title != pull.title
        {
            changes["title"] = json!({"from": pull.title});
            pull.title = title;
        }
        if let Some(text) = request.body
            && Some(&text) != pull.body.as_ref()
        {
            changes["body"] = json!({"from": pull.body.clone().unwrap_or_default()});
            pull.body = Some(text);
        }
        let mut action = (changes != json!({})).then_some(("edited", json!({"changes": changes})));
        match request.state.as_deref() {
            Some("closed") if pull.open => {
                pull.open = false;
                pull.closed_at = Some(now());
                action = Some(("closed", json!({})));
            }
            Some("open") if !pull.open && pull.merged.is_none() => {
                pull.open = true;
                pull.closed_at = None;
                action = Some(("reopened", json!({})));
            }
            _ => {}
        }
        pull.updated_at = now();
        if let Some((action, more)) = action {
            self.inner
                .announce_pull(&mut state, self.repo, number, action, &self.login, more);
        }
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        Ok(Reply::json(
            200,
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .pull(repo, pull, None),
        ))
    }

    fn files(&self, number: u64) -> Answer {
        self.with_pull("pull_requests", number, |shapes, repo, pull| {
            let range = format!("{}...{}", pull.base.sha, pull.head.sha);
            let listing = git(&self.path(), &["diff", "--raw", "--no-renames", "--abbrev=40", &range]).unwrap_or_default();
            let files = listing.lines().filter_map(|line| {
                let (facts, name) = line.split_once('\t')?;
                let facts: Vec<_> = facts.split_whitespace().collect();
                let (sha, status) = (facts.get(3)?, facts.get(4)?);
                let status = if status.starts_with('A') { "added" } else if status.starts_with('D') { "removed" } else { "modified" };
                let stat = git(&self.path(), &["diff", "--numstat", &range, "--", name]).unwrap_or_default();
                let count = |column: usize| stat.split('\t').nth(column).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
                let url = format!("{}/contents/{name}?ref={}", shapes.repo_url(repo), pull.head.sha);
                Some(json!({"sha": sha, "filename": name, "status": status, "additions": count(0), "deletions": count(1), "changes": count(0) + count(1),
                    "blob_url": url, "raw_url": url, "contents_url": url}))
            });
            self.list(files.collect())
        })
    }

    fn commits(&self, number: u64) -> Answer {
        self.with_pull("pull_requests", number, |shapes, repo, pull| {
            let range = format!("{}..{}", pull.base.sha, pull.head.sha);
            let listing = git(
                &self.path(),
                &["rev-list", "--reverse", "--max-count=250", &range],
            )
            .unwrap_or_default();
            self.list(
                listing
                    .lines()
                    .map(|sha| shapes.commit(repo, sha))
                    .collect(),
            )
        })
    }

    fn review(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: ReviewRequest = body(self.call)?;
        let mut state = self.inner.state();
        let id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let pull = repo
            .pulls
            .iter_mut()
            .find(|pull| pull.number == number)
            .ok_or_else(not_found)?;
        let review_state = match request.event.as_deref() {
            Some("APPROVE") => "APPROVED",
            Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
            Some("COMMENT") => "COMMENTED",
            None => "PENDING",
            Some(_) => {
                return Err(Reply::json(
                    422,
                    json!({"message": "Unprocessable Entity", "errors": ["Variable $event is invalid"]}),
                ));
            }
        };
        if pull.author == self.login && matches!(review_state, "APPROVED" | "CHANGES_REQUESTED") {
            let verb = if review_state == "APPROVED" {
                "approve"
            } else {
                "request changes on"
            };
            return Err(Reply::json(
                422,
                json!({"message": "Unprocessable Entity", "errors": [format!("Can not {verb} your own pull request")], "documentation_url": "https://docs.github.com/rest/pulls/reviews", "status": "422"}),
            ));
        }
        pull.reviews.push(Review {
            id,
            user: self.login.clone(),
            state: review_state.into(),
            body: request.body.unwrap_or_default(),
            commit: request.commit_id.unwrap_or_else(|| pull.head.sha.clone()),
            submitted_at: now(),
        });
        pull.updated_at = now();
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let shapes = Shapes {
            inner: self.inner,
            state: &state,
        };
        let review = pull
            .reviews
            .last()
            .map(|review| shapes.review(repo, pull, review))
            .unwrap_or_default();
        let mut told = review.clone();
        told["state"] = told["state"]
            .as_str()
            .unwrap_or_default()
            .to_lowercase()
            .into();
        let payload = json!({"review": told, "pull_request": shapes.pull_simple(repo, pull)});
        self.inner.announce(
            &mut state,
            self.repo,
            "pull_request_review",
            Some("submitted"),
            &self.login,
            payload,
        );
        Ok(Reply::json(200, review))
    }

    fn merge(&self, number: u64) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: MergeRequest = if self.call.body.is_empty() {
            MergeRequest {
                commit_title: None,
                commit_message: None,
                sha: None,
                merge_method: None,
            }
        } else {
            body(self.call)?
        };
        let path = self.path();
        let (author, committer) = (self.inner.identity(&self.login), web_flow());
        let (base, before, head, sha, title) = {
            let state = self.inner.state();
            let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
            let refuse = |message: &str| Err(Reply::error(405, message));
            if !pull.open {
                return refuse("Pull Request is not mergeable");
            }
            if request
                .sha
                .as_ref()
                .is_some_and(|sha| *sha != pull.head.sha)
            {
                return Err(Reply::error(
                    409,
                    "Head branch was modified. Review and try the merge again.",
                ));
            }
            if pull.draft {
                return refuse("Pull Request is still a draft");
            }
            for rule in repo
                .rules
                .iter()
                .filter(|rule| rule.branch == pull.base.branch)
            {
                let approvals = pull
                    .reviews
                    .iter()
                    .filter(|review| {
                        review.state == "APPROVED" && repo.role(&review.user) >= Role::Write
                    })
                    .count();
                if approvals < rule.approvals {
                    return refuse(&format!(
                        "Repository rule violations found\n\nAt least {} approving review is required by reviewers with write access.\n\n",
                        rule.approvals
                    ));
                }
                for context in &rule.status_checks {
                    let green =
                        repo.statuses.iter().rev().find(|status| {
                            status.sha == pull.head.sha && status.context == *context
                        });
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
                        return refuse(&format!(
                            "Repository rule violations found\n\nRequired status check \"{context}\" is expected.\n\n"
                        ));
                    }
                }
            }
            let Some(tree) = merge_tree(&path, &pull.base.sha, &pull.head.sha) else {
                return refuse("Pull Request is not mergeable");
            };
            let head_owner = state
                .by_id(pull.head.repository)
                .map_or("ghost", |repo| repo.owner.as_str());
            let title = request.commit_title.clone().unwrap_or_else(|| {
                format!(
                    "Merge pull request #{number} from {head_owner}/{}",
                    pull.head.branch
                )
            });
            let message = format!(
                "{title}\n\n{}",
                request
                    .commit_message
                    .clone()
                    .unwrap_or_else(|| pull.title.clone())
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
            (
                pull.base.branch.clone(),
                pull.base.sha.clone(),
                pull.head.sha.clone(),
                sha,
                title,
            )
        };
        if git(
            &path,
            &["update-ref", &format!("refs/heads/{base}"), &sha, &before],
        )
        .is_err()
        {
            return Err(Reply::error(
                405,
                "Base branch was modified. Review and try the merge again.",
            ));
        }
        {
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
                    sha: sha.clone(),
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

    fn comment(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: CommentRequest = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let id = state.new_id();
        find(&state, self.repo, number).ok_or_else(not_found)?;
        let (by_app, at) = (self.by_app(), now());
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        if repo
            .comments
            .iter()
            .filter(|comment| comment.issue == number)
            .count()
            >= 2500
        {
            return Err(Reply::error(
                403,
                "Commenting is disabled on issues with more than 2500 comments",
            ));
        }
        if let Some(pull) = repo.pulls.iter_mut().find(|pull| pull.number == number) {
            pull.updated_at = at;
        }
        repo.comments.push(Comment {
            id,
            issue: number,
            user: self.login.clone(),
            by_app,
            body: request.body,
            created_at: at,
            updated_at: at,
            reactions: vec![],
        });
        self.answer_comment(&mut state, id, 201, "created", json!({}))
    }

    fn edit_comment(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: CommentRequest = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let comment = repo
            .comments
            .iter_mut()
            .find(|comment| comment.id.to_string() == id)
            .ok_or_else(not_found)?;
        if comment.user != self.login && role < Role::Write {
            return Err(Reply::error(403, "Must have admin rights to Repository."));
        }
        let before = std::mem::replace(&mut comment.body, request.body);
        comment.updated_at = now();
        let id = comment.id;
        self.answer_comment(
            &mut state,
            id,
            200,
            "edited",
            json!({"changes": {"body": {"from": before}}}),
        )
    }

    fn answer_comment(
        &self,
        state: &mut State,
        id: u64,
        status: u16,
        action: &str,
        more: Value,
    ) -> Answer {
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let comment = repo
            .comments
            .iter()
            .find(|comment| comment.id == id)
            .ok_or_else(not_found)?;
        let (_, pull) = find(state, self.repo, comment.issue).ok_or_else(not_found)?;
        let shapes = Shapes {
            inner: self.inner,
            state,
        };
        let value = shapes.comment(repo, comment);
        let mut payload = json!({"issue": shapes.issue(repo, pull), "comment": value});
        super::json::merge(&mut payload, more);
        self.inner.announce(
            state,
            self.repo,
            "issue_comment",
            Some(action),
            &self.login,
            payload,
        );
        Ok(Reply::json(status, value))
    }

    fn with_comment(
        &self,
        id: &str,
        answer: impl FnOnce(&Shapes<'_>, &Repository, &Comment) -> Answer,
    ) -> Answer {
        self.read("pull_requests", |shapes, repo| {
            let comment = repo
                .comments
                .iter()
                .find(|comment| comment.id.to_string() == id)
                .ok_or_else(not_found)?;
            answer(shapes, repo, comment)
        })
    }

    fn delete_comment(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let at = repo
            .comments
            .iter()
            .position(|comment| comment.id.to_string() == id)
            .ok_or_else(not_found)?;
        repo.comments.remove(at);
        Ok(Reply::empty(204))
    }

    fn react(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: ReactionRequest = body(self.call)?;
        if !REACTIONS.contains(&request.content.as_str()) {
            return Err(invalid(
                "reactions",
                json!([{"resource": "Reaction", "field": "content", "code": "invalid"}]),
            ));
        }
        let mut state = self.inner.state();
        let new_id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let comment = repo
            .comments
            .iter_mut()
            .find(|comment| comment.id.to_string() == id)
            .ok_or_else(not_found)?;
        let known = comment.reactions.iter().position(|reaction| {
            reaction.user == self.login && reaction.content == request.content
        });
        let (status, index) = match known {
            Some(index) => (200, index),
            None => {
                comment.reactions.push(Reaction {
                    id: new_id,
                    user: self.login.clone(),
                    content: request.content,
                    created_at: now(),
                });
                (201, comment.reactions.len() - 1)
            }
        };
        let comment_id = comment.id;
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let comment = repo
            .comments
            .iter()
            .find(|comment| comment.id == comment_id)
            .ok_or_else(not_found)?;
        Ok(Reply::json(
            status,
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .reaction(&comment.reactions[index]),
        ))
    }

    fn label(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: LabelsRequest = body(self.call)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let pull = repo
            .pulls
            .iter_mut()
            .find(|pull| pull.number == number)
            .ok_or_else(not_found)?;
        for label in request.labels {
            if !pull.labels.contains(&label) {
                pull.labels.push(label);
            }
        }
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let shapes = Shapes {
            inner: self.inner,
            state: &state,
        };
        Ok(Reply::json(
            200,
            Value::Array(
                pull.labels
                    .iter()
                    .map(|name| shapes.label(repo, name))
                    .collect(),
            ),
        ))
    }
}

fn too_long(text: &str) -> Result<(), Reply> {
    if text.chars().count() > 65_536 {
        return Err(invalid(
            "issues/comments",
            json!([{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long (maximum is 65536 characters)"}]),
        ));
    }
    if text.trim().is_empty() {
        return Err(invalid(
            "issues/comments",
            json!([{"resource": "IssueComment", "code": "missing_field", "field": "body", "message": "body can't be blank"}]),
        ));
    }
    Ok(())
}
