//! The shapes in which GitHub tells of things. Each is held to GitHub's own
//! descriptions by the contract tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::Inner;
use super::git::{Identity, Listed, settled};
use super::state::*;

/// Builds answers from the state; holds what URLs are made of.
pub struct Shapes<'a> {
    pub inner: &'a Inner,
    pub state: &'a State,
}

pub fn node_id(kind: &str, id: u64) -> String {
    BASE64.encode(format!("{kind}:{id}"))
}

fn reactions(url: &str, reactions: &[Reaction]) -> Value {
    let mut counts = json!({"url": format!("{url}/reactions"), "total_count": reactions.len()});
    for content in REACTIONS {
        counts[content] = reactions
            .iter()
            .filter(|reaction| reaction.content == content)
            .count()
            .into();
    }
    counts
}

pub const REACTIONS: [&str; 8] = [
    "+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes",
];

impl Shapes<'_> {
    fn api(&self) -> String {
        format!("{}/api/v3", self.inner.origin())
    }

    pub fn repo_url(&self, repo: &Repository) -> String {
        format!("{}/repos/{}", self.api(), repo.full_name())
    }

    fn html(&self, repo: &Repository) -> String {
        format!("{}/{}", self.inner.origin(), repo.full_name())
    }

    pub fn user(&self, login: &str) -> Value {
        let known = self.state.users.get(login);
        let id = known.map_or(0, |user| user.id);
        let kind = match known.map(|user| user.kind) {
            Some(UserKind::Bot) => "Bot",
            Some(UserKind::Organization) => "Organization",
            _ => "User",
        };
        let url = format!("{}/users/{login}", self.api());
        let sub = |path: &str| format!("{url}/{path}");
        json!({
            "login": login, "id": id, "node_id": node_id("User", id), "avatar_url": format!("{}/avatars/{id}", self.inner.origin()),
            "gravatar_id": "", "url": url, "html_url": format!("{}/{login}", self.inner.origin()), "followers_url": sub("followers"),
            "following_url": sub("following{/other_user}"), "gists_url": sub("gists{/gist_id}"), "starred_url": sub("starred{/owner}{/repo}"),
            "subscriptions_url": sub("subscriptions"), "organizations_url": sub("orgs"), "repos_url": sub("repos"),
            "events_url": sub("events{/privacy}"), "received_events_url": sub("received_events"), "type": kind, "user_view_type": "public",
            "site_admin": false,
        })
    }

    pub fn app(&self) -> Value {
        let app = &self.state.app;
        let owner = self.account();
        json!({
            "id": app.id, "slug": app.slug, "node_id": node_id("App", app.id), "client_id": format!("Iv1.{}", app.id), "owner": self.user(&owner),
            "name": app.slug, "description": null, "external_url": self.inner.origin(), "html_url": format!("{}/apps/{}", self.inner.origin(), app.slug),
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "permissions": app.permissions, "events": app.events,
            "installations_count": 1,
        })
    }

    /// The account that the App is installed on: the first organisation.
    fn account(&self) -> String {
        let organisation = self
            .state
            .users
            .values()
            .find(|user| user.kind == UserKind::Organization);
        organisation.map_or("acme".into(), |user| user.login.clone())
    }

    pub fn installation(&self) -> Value {
        let (app, owner) = (&self.state.app, self.account());
        let account = self.user(&owner);
        json!({
            "id": app.installation, "account": account, "repository_selection": "all", "app_id": app.id, "app_slug": app.slug,
            "access_tokens_url": format!("{}/app/installations/{}/access_tokens", self.api(), app.installation),
            "repositories_url": format!("{}/installation/repositories", self.api()),
            "html_url": format!("{}/organizations/{owner}/settings/installations/{}", self.inner.origin(), app.installation),
            "target_id": account["id"], "target_type": "Organization", "permissions": app.permissions, "events": app.events,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "single_file_name": null,
            "suspended_by": null, "suspended_at": null,
        })
    }

    pub fn repository(&self, repo: &Repository) -> Value {
        let (url, html, full) = (self.repo_url(repo), self.html(repo), repo.full_name());
        let open = repo.pulls.iter().filter(|pull| pull.open).count();
        let mut value = json!({
            "id": repo.id, "node_id": node_id("Repository", repo.id), "name": repo.name, "full_name": full, "private": true,
            "owner": self.user(&repo.owner), "html_url": html, "description": null, "fork": repo.fork_of.is_some(), "url": url,
            "git_url": format!("git://localhost/{full}.git"), "ssh_url": format!("git@localhost:{full}.git"), "clone_url": format!("{html}.git"),
            "svn_url": html, "homepage": null, "size": 1, "stargazers_count": 0, "watchers_count": 0, "language": null, "has_issues": true,
            "has_projects": false, "has_downloads": false, "has_wiki": false, "has_pages": false, "has_discussions": false, "forks_count": 0,
            "mirror_url": null, "archived": false, "disabled": false, "open_issues_count": open, "license": null, "allow_forking": true,
            "is_template": false, "web_commit_signoff_required": false, "topics": [], "visibility": "private", "forks": 0,
            "open_issues": open, "watchers": 0, "default_branch": repo.default_branch, "created_at": repo.created_at.to_string(),
            "updated_at": repo.created_at.to_string(), "pushed_at": repo.created_at.to_string(),
        });
        for name in [
            "forks",
            "teams",
            "hooks",
            "events",
            "tags",
            "languages",
            "stargazers",
            "contributors",
            "subscribers",
            "subscription",
            "merges",
            "downloads",
            "deployments",
        ] {
            value[format!("{name}_url")] = format!("{url}/{name}").into();
        }
        for (name, path) in [
            ("keys", "keys{/key_id}"),
            ("collaborators", "collaborators{/collaborator}"),
            ("issue_events", "issues/events{/number}"),
            ("assignees", "assignees{/user}"),
            ("branches", "branches{/branch}"),
            ("blobs", "git/blobs{/sha}"),
            ("git_tags", "git/tags{/sha}"),
            ("git_refs", "git/refs{/sha}"),
            ("trees", "git/trees{/sha}"),
            ("statuses", "statuses/{sha}"),
            ("commits", "commits{/sha}"),
            ("git_commits", "git/commits{/sha}"),
            ("comments", "comments{/number}"),
            ("issue_comment", "issues/comments{/number}"),
            ("contents", "contents/{+path}"),
            ("compare", "compare/{base}...{head}"),
            ("archive", "{archive_format}{/ref}"),
            ("issues", "issues{/number}"),
            ("pulls", "pulls{/number}"),
            ("milestones", "milestones{/number}"),
            ("notifications", "notifications{?since,all,participating}"),
            ("labels", "labels{/name}"),
            ("releases", "releases{/id}"),
        ] {
            value[format!("{name}_url")] = format!("{url}/{path}").into();
        }
        value
    }

    pub fn full_repository(&self, repo: &Repository) -> Value {
        let mut value = self.repository(repo);
        let more = json!({"network_count": 0, "subscribers_count": 0, "allow_merge_commit": true, "allow_squash_merge": true,
            "allow_rebase_merge": true, "allow_auto_merge": false, "delete_branch_on_merge": false});
        merge(&mut value, more);
        value
    }

    fn side(&self, side: &Side) -> Value {
        let repo = self.state.by_id(side.repository);
        let owner = repo.map_or("ghost", |repo| repo.owner.as_str());
        json!({
            "label": format!("{owner}:{}", side.branch), "ref": side.branch, "sha": side.sha, "user": self.user(owner),
            "repo": repo.map(|repo| self.repository(repo)),
        })
    }

    pub fn pull_simple(&self, repo: &Repository, pull: &Pull) -> Value {
        let url = format!("{}/pulls/{}", self.repo_url(repo), pull.number);
        let issue = format!("{}/issues/{}", self.repo_url(repo), pull.number);
        let html = format!("{}/pull/{}", self.html(repo), pull.number);
        let statuses = format!("{}/statuses/{}", self.repo_url(repo), pull.head.sha);
        let link = |href: &str| json!({"href": href});
        let labels: Vec<_> = pull
            .labels
            .iter()
            .map(|name| self.label(repo, name))
            .collect();
        json!({
            "url": url, "id": pull.id, "node_id": node_id("PullRequest", pull.id), "html_url": html, "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"), "issue_url": issue, "commits_url": format!("{url}/commits"),
            "review_comments_url": format!("{url}/comments"), "review_comment_url": format!("{}/pulls/comments{{/number}}", self.repo_url(repo)),
            "comments_url": format!("{issue}/comments"), "statuses_url": statuses, "number": pull.number,
            "state": if pull.open { "open" } else { "closed" }, "locked": false, "title": pull.title, "user": self.user(&pull.author),
            "body": pull.body, "labels": labels, "milestone": null, "active_lock_reason": null, "created_at": pull.created_at.to_string(),
            "updated_at": pull.updated_at.to_string(), "closed_at": pull.closed_at.map(|at| at.to_string()),
            "merged_at": pull.merged.as_ref().map(|merged| merged.at.to_string()), "merge_commit_sha": pull.merged.as_ref().map(|merged| &merged.sha),
            "assignee": null, "assignees": [], "requested_reviewers": [], "requested_teams": [], "head": self.side(&pull.head),
            "base": self.side(&pull.base), "author_association": "CONTRIBUTOR", "auto_merge": null, "draft": pull.draft,
            "_links": {"self": link(&url), "html": link(&html), "issue": link(&issue), "comments": link(&format!("{issue}/comments")),
                "review_comments": link(&format!("{url}/comments")), "review_comment": link(&format!("{url}/comments{{/number}}")),
                "commits": link(&format!("{url}/commits")), "statuses": link(&statuses)},
        })
    }

    /// `mergeable`: None while it is not computed.
    pub fn pull(&self, repo: &Repository, pull: &Pull, mergeable: Option<bool>) -> Value {
        let path = self.inner.repository_path(&repo.owner, &repo.name);
        let range = format!("{}...{}", pull.base.sha, pull.head.sha);
        let stat = settled(&path, &["diff", "--numstat", &range]).unwrap_or_default();
        let sum = |column: usize| {
            stat.lines()
                .filter_map(|line| line.split('\t').nth(column)?.parse::<u64>().ok())
                .sum::<u64>()
        };
        let commits = settled(
            &path,
            &[
                "rev-list",
                "--count",
                &format!("{}..{}", pull.base.sha, pull.head.sha),
            ],
        )
        .unwrap_or_default();
        let mut value = self.pull_simple(repo, pull);
        let state = match mergeable {
            None => "unknown",
            Some(true) if pull.draft => "draft",
            Some(true) => "clean",
            Some(false) => "dirty",
        };
        merge(
            &mut value,
            json!({
                "merged": pull.merged.is_some(), "mergeable": if pull.open { mergeable } else { None }, "rebaseable": null, "mergeable_state": state,
                "merged_by": pull.merged.as_ref().map(|merged| self.user(&merged.by)), "maintainer_can_modify": false,
                "comments": repo.comments.iter().filter(|comment| comment.issue == pull.number).count(), "review_comments": 0,
                "commits": commits.parse::<u64>().unwrap_or(0), "additions": sum(0), "deletions": sum(1), "changed_files": stat.lines().count(),
            }),
        );
        value
    }

    /// The issue that a pull request is, as `issue_comment` tells it.
    pub fn issue(&self, repo: &Repository, pull: &Pull) -> Value {
        let url = format!("{}/issues/{}", self.repo_url(repo), pull.number);
        let html = format!("{}/pull/{}", self.html(repo), pull.number);
        let pull_url = format!("{}/pulls/{}", self.repo_url(repo), pull.number);
        json!({
            "url": url, "repository_url": self.repo_url(repo), "labels_url": format!("{url}/labels{{/name}}"), "comments_url": format!("{url}/comments"),
            "events_url": format!("{url}/events"), "html_url": html, "id": pull.id, "node_id": node_id("Issue", pull.id), "number": pull.number,
            "title": pull.title, "user": self.user(&pull.author), "labels": [], "state": if pull.open { "open" } else { "closed" },
            "locked": false, "assignee": null, "assignees": [], "milestone": null,
            "comments": repo.comments.iter().filter(|comment| comment.issue == pull.number).count(), "created_at": pull.created_at.to_string(),
            "updated_at": pull.updated_at.to_string(), "closed_at": pull.closed_at.map(|at| at.to_string()), "author_association": "CONTRIBUTOR",
            "active_lock_reason": null, "body": pull.body, "reactions": reactions(&url, &[]), "draft": pull.draft,
            "pull_request": {"url": pull_url, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "merged_at": null},
        })
    }

    pub fn comment(&self, repo: &Repository, comment: &Comment) -> Value {
        let url = format!("{}/issues/comments/{}", self.repo_url(repo), comment.id);
        json!({
            "url": url, "html_url": format!("{}/pull/{}#issuecomment-{}", self.html(repo), comment.issue, comment.id),
            "issue_url": format!("{}/issues/{}", self.repo_url(repo), comment.issue), "id": comment.id, "node_id": node_id("IssueComment", comment.id),
            "user": self.user(&comment.user), "created_at": comment.created_at.to_string(), "updated_at": comment.updated_at.to_string(),
            "author_association": "CONTRIBUTOR", "body": comment.body, "reactions": reactions(&url, &comment.reactions),
            "performed_via_github_app": comment.by_app.then(|| self.app()),
        })
    }

    pub fn reaction(&self, reaction: &Reaction) -> Value {
        json!({"id": reaction.id, "node_id": node_id("Reaction", reaction.id), "user": self.user(&reaction.user), "content": reaction.content,
            "created_at": reaction.created_at.to_string()})
    }

    pub fn label(&self, repo: &Repository, name: &str) -> Value {
        json!({"id": 1, "node_id": node_id("Label", 1), "url": format!("{}/labels/{name}", self.repo_url(repo)), "name": name, "color": "ededed",
            "default": false, "description": ""})
    }

    pub fn review(&self, repo: &Repository, pull: &Pull, review: &Review) -> Value {
        let html = format!(
            "{}/pull/{}#pullrequestreview-{}",
            self.html(repo),
            pull.number,
            review.id
        );
        let url = format!("{}/pulls/{}", self.repo_url(repo), pull.number);
        json!({
            "id": review.id, "node_id": node_id("PullRequestReview", review.id), "user": self.user(&review.user), "body": review.body,
            "state": review.state, "html_url": html, "pull_request_url": url, "author_association": "CONTRIBUTOR",
            "_links": {"html": {"href": html}, "pull_request": {"href": url}}, "submitted_at": review.submitted_at.to_string(),
            "commit_id": review.commit,
        })
    }

    pub fn status(&self, repo: &Repository, status: &Status) -> Value {
        let mut value = self.simple_status(repo, status);
        value["creator"] = self.user(&status.creator);
        value
    }

    pub fn simple_status(&self, repo: &Repository, status: &Status) -> Value {
        json!({
            "url": format!("{}/statuses/{}", self.repo_url(repo), status.sha), "avatar_url": format!("{}/avatars/0", self.inner.origin()),
            "id": status.id, "node_id": node_id("StatusContext", status.id), "state": status.state, "description": status.description,
            "target_url": status.target_url, "context": status.context, "created_at": status.created_at.to_string(),
            "updated_at": status.created_at.to_string(),
        })
    }

    pub fn check_run(&self, repo: &Repository, check: &CheckRun) -> Value {
        let url = format!("{}/check-runs/{}", self.repo_url(repo), check.id);
        let html = format!("{}/runs/{}", self.html(repo), check.id);
        json!({
            "id": check.id, "name": check.name, "node_id": node_id("CheckRun", check.id), "head_sha": check.sha, "external_id": check.external_id,
            "url": url, "html_url": html, "details_url": check.details_url.as_ref().unwrap_or(&html), "status": check.status,
            "conclusion": check.conclusion, "started_at": check.started_at.to_string(), "completed_at": check.completed_at.map(|at| at.to_string()),
            "output": {"title": check.title, "summary": check.summary, "text": check.text, "annotations_count": 0, "annotations_url": format!("{url}/annotations")},
            "check_suite": {"id": self.state.app.installation}, "app": self.app(), "pull_requests": [],
        })
    }

    pub fn git_ref(&self, repo: &Repository, name: &str, sha: &str) -> Value {
        json!({"ref": name, "node_id": node_id("Ref", 1), "url": format!("{}/git/{name}", self.repo_url(repo)),
            "object": {"type": "commit", "sha": sha, "url": format!("{}/git/commits/{sha}", self.repo_url(repo))}})
    }

    /// A commit as `GET commits/{ref}` and lists of commits tell it.
    pub fn commit(&self, repo: &Repository, sha: &str) -> Value {
        let facts = CommitFacts::read(self.inner, repo, sha);
        let url = format!("{}/commits/{sha}", self.repo_url(repo));
        let person = |identity: &Identity, date: &str| json!({"name": identity.name, "email": identity.email, "date": date});
        let parents: Vec<_> = facts
            .parents
            .iter()
            .map(|parent| json!({"sha": parent, "url": format!("{}/commits/{parent}", self.repo_url(repo)), "html_url": format!("{}/commit/{parent}", self.html(repo))}))
            .collect();
        let login = self.login_of(&facts.author.email);
        let committer = match facts.committer.email.as_str() {
            "noreply@github.com" => Some("web-flow".to_string()),
            email => self.login_of(email).map(|login| login.to_string()),
        };
        json!({
            "sha": sha, "node_id": node_id("Commit", 1), "html_url": format!("{}/commit/{sha}", self.html(repo)), "url": url,
            "comments_url": format!("{url}/comments"), "parents": parents, "author": login.map(|login| self.user(&login)), "committer": committer.map(|login| self.user(&login)),
            "commit": {"author": person(&facts.author, &facts.authored), "committer": person(&facts.committer, &facts.date),
                "message": facts.message, "comment_count": 0, "url": format!("{}/git/commits/{sha}", self.repo_url(repo)),
                "tree": {"sha": facts.tree, "url": format!("{}/git/trees/{}", self.repo_url(repo), facts.tree)},
                "verification": verification(&facts.committer)},
        })
    }

    pub fn git_commit(&self, repo: &Repository, sha: &str) -> Value {
        let commit = self.commit(repo, sha);
        let mut value = commit["commit"].clone();
        if let Value::Object(map) = &mut value {
            map.remove("comment_count");
        }
        merge(
            &mut value,
            json!({"sha": sha, "node_id": commit["node_id"], "url": format!("{}/git/commits/{sha}", self.repo_url(repo)), "html_url": commit["html_url"], "parents": commit["parents"]}),
        );
        value
    }

    pub fn git_tree(&self, repo: &Repository, sha: &str, listing: &[Listed]) -> Value {
        let url = |kind: &str, sha: &str| format!("{}/git/{kind}s/{sha}", self.repo_url(repo));
        let entries: Vec<_> = listing
            .iter()
            .map(|Listed { path, node, size }| {
                let mut value =
                    json!({"path": path, "mode": node.mode, "type": node.kind, "sha": node.sha});
                // A submodule's commit is in another repository.
                if node.kind != "commit" {
                    value["url"] = url(&node.kind, &node.sha).into();
                }
                if let Some(size) = size {
                    value["size"] = (*size).into();
                }
                value
            })
            .collect();
        json!({"sha": sha, "url": url("tree", sha), "tree": entries, "truncated": false})
    }

    /// A blob, its base64 in lines of sixty characters.
    pub fn blob(&self, repo: &Repository, sha: &str, content: &[u8]) -> Value {
        let mut text = String::new();
        for (index, character) in BASE64.encode(content).chars().enumerate() {
            if index > 0 && index.is_multiple_of(60) {
                text.push('\n');
            }
            text.push(character);
        }
        text.push('\n');
        json!({"sha": sha, "node_id": node_id("Blob", 1), "size": content.len(), "url": format!("{}/git/blobs/{sha}", self.repo_url(repo)),
            "content": text, "encoding": "base64"})
    }

    pub fn deployment(&self, repo: &Repository, deployment: &Deployment) -> Value {
        let url = format!("{}/deployments/{}", self.repo_url(repo), deployment.id);
        json!({
            "url": url, "id": deployment.id, "node_id": node_id("Deployment", deployment.id), "sha": deployment.sha, "ref": deployment.reference,
            "task": deployment.task, "payload": deployment.payload, "original_environment": deployment.original_environment,
            "environment": deployment.environment, "description": deployment.description, "creator": self.user(&deployment.creator),
            "created_at": deployment.created_at.to_string(), "updated_at": deployment.updated_at.to_string(),
            "statuses_url": format!("{url}/statuses"), "repository_url": self.repo_url(repo), "transient_environment": deployment.transient,
            "production_environment": deployment.production, "performed_via_github_app": deployment.by_app.then(|| self.app()),
        })
    }

    pub fn deployment_status(
        &self,
        repo: &Repository,
        deployment: &Deployment,
        status: &DeploymentStatus,
    ) -> Value {
        let url = format!("{}/deployments/{}", self.repo_url(repo), deployment.id);
        json!({
            "url": format!("{url}/statuses/{}", status.id), "id": status.id, "node_id": node_id("DeploymentStatus", status.id),
            "state": status.state, "creator": self.user(&status.creator), "description": status.description, "environment": status.environment,
            "target_url": status.log_url, "log_url": status.log_url, "environment_url": status.environment_url,
            "created_at": status.created_at.to_string(), "updated_at": status.created_at.to_string(), "deployment_url": url,
            "repository_url": self.repo_url(repo), "performed_via_github_app": status.by_app.then(|| self.app()),
        })
    }

    /// The account whose noreply address a commit has.
    fn login_of(&self, email: &str) -> Option<String> {
        let (id, _) = email
            .strip_suffix("@users.noreply.github.com")?
            .split_once('+')?;
        let id: u64 = id.parse().ok()?;
        self.state
            .users
            .values()
            .find(|user| user.id == id)
            .map(|user| user.login.clone())
    }

    pub fn delivery(&self, delivery: &Delivery) -> Value {
        let status = delivery.status_code.map_or("Server Error", |code| {
            if code < 300 {
                "OK"
            } else {
                "Invalid HTTP Response"
            }
        });
        json!({
            "id": delivery.id, "guid": delivery.guid, "delivered_at": delivery.delivered_at.to_string(), "redelivery": delivery.redelivery,
            "duration": delivery.duration as f64 / 1000.0, "status": status, "status_code": delivery.status_code.unwrap_or(500),
            "event": delivery.event, "action": delivery.action, "installation_id": self.state.app.installation, "repository_id": delivery.repository,
            "throttled_at": null,
        })
    }

    pub fn full_delivery(&self, delivery: &Delivery) -> Value {
        let mut value = self.delivery(delivery);
        merge(
            &mut value,
            json!({"url": "", "request": {"headers": {"X-GitHub-Event": delivery.event}, "payload": delivery.payload},
            "response": {"headers": {}, "payload": ""}}),
        );
        value
    }
}

fn verification(committer: &Identity) -> Value {
    let verified = committer.email == "noreply@github.com";
    json!({"verified": verified, "reason": if verified { "valid" } else { "unsigned" }, "signature": null, "payload": null, "verified_at": null})
}

/// What git knows of a commit.
pub struct CommitFacts {
    pub tree: String,
    pub parents: Vec<String>,
    pub author: Identity,
    pub committer: Identity,
    pub authored: String,
    /// When it was committed.
    pub date: String,
    pub message: String,
}

impl CommitFacts {
    pub fn read(inner: &Inner, repo: &Repository, sha: &str) -> Self {
        let path = inner.repository_path(&repo.owner, &repo.name);
        let text = settled(
            &path,
            &[
                "show",
                "-s",
                "--format=%T%x00%P%x00%an%x00%ae%x00%cn%x00%ce%x00%at%x00%ct%x00%B",
                sha,
            ],
        )
        .unwrap_or_default();
        let parts: Vec<&str> = text.splitn(9, '\0').collect();
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_string();
        let time = |index: usize| {
            jiff::Timestamp::from_second(part(index).parse().unwrap_or(0))
                .unwrap_or_default()
                .to_string()
        };
        Self {
            tree: part(0),
            parents: part(1).split_whitespace().map(str::to_string).collect(),
            author: Identity {
                name: part(2),
                email: part(3),
            },
            committer: Identity {
                name: part(4),
                email: part(5),
            },
            authored: time(6),
            date: time(7),
            message: part(8).trim_end().to_string(),
        }
    }
}

/// Puts the fields of `more` over those of `value`.
pub fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(from)) = (value, more) {
        into.extend(from);
    }
}
