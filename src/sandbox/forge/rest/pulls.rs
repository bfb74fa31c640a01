//! Pull requests: listed, read, edited, with their files and commits.

use serde::Deserialize;
use serde_json::json;

use super::open::bounded;
use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::{git, is_ancestor, merge_tree, resolve};
use crate::sandbox::forge::json::Shapes;
use crate::sandbox::forge::state::{Kind, Pull, Repository, Role};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditPull {
    title: Option<String>,
    body: Option<String>,
    state: Option<String>,
}

impl Asked<'_> {
    pub(super) fn pull_endpoints(&self, method: &str, rest: &[&str]) -> Answer {
        match (method, rest) {
            ("GET", []) => self.lagging(Kind::Pull, self.pulls()),
            ("POST", []) => self.open(),
            (method, ["comments", rest @ ..]) => self.line_comment_endpoints(method, rest),
            ("GET", [number]) => self.lagging(Kind::Pull, self.get(self.number(number)?)),
            ("PATCH", [number]) => self.edit(self.number(number)?),
            ("GET", [number, "files"]) => self.files(self.number(number)?),
            ("GET", [number, "commits"]) => self.commits(self.number(number)?),
            ("GET", [number, "reviews"]) => {
                self.lagging(Kind::Review, self.reviews(self.number(number)?))
            }
            ("POST", [number, "reviews"]) => self.review(self.number(number)?),
            ("PUT", [number, "reviews", id]) => {
                self.edit_review(self.number(number)?, self.number(id)?)
            }
            ("PUT", [number, "reviews", id, "dismissals"]) => {
                self.dismiss(self.number(number)?, self.number(id)?)
            }
            ("GET", [number, "comments"]) => {
                self.lagging(Kind::LineComment, self.line_comments(self.number(number)?))
            }
            ("POST", [number, "comments"]) => self.comment_on_line(self.number(number)?),
            ("PUT", [number, "merge"]) => self.merge(self.number(number)?),
            _ => Err(not_found()),
        }
    }

    pub(super) fn number(&self, text: &str) -> Result<u64, Reply> {
        text.parse().map_err(|_| not_found())
    }

    pub(super) fn with_pull(
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
        answer(&self.inner.shapes(&state), repo, pull)
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

    pub(super) fn pulls_of(&self, sha: &str) -> Answer {
        self.read("pull_requests", |shapes, repo| {
            let path = self.path();
            if resolve(&path, sha).is_none() {
                return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
            }
            let of = |pull: &&Pull| match &pull.merged {
                Some(merged) => {
                    // Of a rebase, all that it landed.
                    (is_ancestor(&path, sha, &merged.sha)
                        && !is_ancestor(&path, sha, &pull.base.sha))
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
            self.inner.shapes(&state).pull(repo, pull, mergeable),
        ))
    }

    fn edit(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: EditPull = body(self.call)?;
        bounded(request.title.as_deref(), request.body.as_deref())?;
        let mut state = self.inner.state();
        let at = state.now();
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let (id, shapes) = (pull.id, self.inner.shapes(&state));
        let before = state
            .lags(Kind::Pull)
            .then(|| shapes.pull(repo, pull, None));
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let mut pulls = repo.pulls.iter_mut();
        let pull = pulls.find(|pull| pull.number == number);
        let pull = pull.ok_or_else(not_found)?;
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
            pull.edited_at = Some(at);
        }
        let mut action = (changes != json!({})).then_some(("edited", json!({"changes": changes})));
        match request.state.as_deref() {
            Some("closed") if pull.open => {
                pull.open = false;
                pull.closed_at = Some(at);
                action = Some(("closed", json!({})));
            }
            Some("open") if !pull.open && pull.merged.is_none() => {
                pull.open = true;
                pull.closed_at = None;
                action = Some(("reopened", json!({})));
            }
            _ => {}
        }
        pull.updated_at = at;
        state.written(Kind::Pull, id, before);
        if let Some((action, more)) = action {
            self.inner
                .announce_pull(&mut state, self.repo, number, action, &self.login, more);
        }
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        Ok(Reply::json(
            200,
            self.inner.shapes(&state).pull(repo, pull, None),
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
}
