//! Pull requests, the issues that they are, their comments and reviews.

use serde_json::{Value, json};

use super::{Shapes, merge, node_id};
use crate::sandbox::forge::git::settled;
use crate::sandbox::forge::rules::{Way, is_behind, violations};
use crate::sandbox::forge::state::{
    Comment, LineComment, Pull, Reaction, Repository, Review, Side,
};

pub const REACTIONS: [&str; 8] = [
    "+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes",
];

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

impl Shapes<'_> {
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
            Some(true) => self.merge_state(repo, pull),
            Some(false) => "dirty",
        };
        merge(
            &mut value,
            json!({
                "merged": pull.merged.is_some(), "mergeable": if pull.open { mergeable } else { None }, "rebaseable": null, "mergeable_state": state,
                "merged_by": pull.merged.as_ref().map(|merged| self.user(&merged.by)), "maintainer_can_modify": false,
                "comments": repo.comments.iter().filter(|comment| comment.issue == pull.number).count(), "review_comments": repo.line_comments.iter().filter(|line| line.comment.issue == pull.number).count(),
                "commits": commits.parse::<u64>().unwrap_or(0), "additions": sum(0), "deletions": sum(1), "changed_files": stat.lines().count(),
            }),
        );
        value
    }

    /// What stands between a pull request without conflicts and its merge (`MergeStateStatus` of
    /// GraphQL, in small letters).
    fn merge_state(&self, repo: &Repository, pull: &Pull) -> &'static str {
        let path = self.inner.repository_path(&repo.owner, &repo.name);
        let unmet = |way| !violations(&path, self.state, repo, pull, way).is_empty();
        let strict = repo.rules_of(&pull.base.branch).any(|rule| rule.strict);
        if strict && is_behind(&path, pull) && !unmet(Way::Queue) {
            "behind"
        } else if unmet(Way::Any) {
            "blocked"
        } else {
            "clean"
        }
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

    pub fn line_comment(&self, repo: &Repository, line: &LineComment) -> Value {
        let (comment, place) = (&line.comment, &line.place);
        let url = format!("{}/pulls/comments/{}", self.repo_url(repo), comment.id);
        let pull = format!("{}/pulls/{}", self.repo_url(repo), comment.issue);
        let html = format!(
            "{}/pull/{}#discussion_r{}",
            self.html(repo),
            comment.issue,
            comment.id
        );
        let link = |href: &str| json!({"href": href});
        let mut value = json!({
            "url": url, "id": comment.id, "node_id": node_id("PullRequestReviewComment", comment.id), "pull_request_review_id": line.review,
            "diff_hunk": place.hunk, "path": place.path, "position": place.position, "original_position": place.position,
            "commit_id": place.commit, "original_commit_id": place.commit, "user": self.user(&comment.user), "body": comment.body,
            "created_at": comment.created_at.to_string(), "updated_at": comment.updated_at.to_string(), "html_url": html,
            "pull_request_url": pull, "author_association": "CONTRIBUTOR",
            "_links": {"self": link(&url), "html": link(&html), "pull_request": link(&pull)},
            "start_line": null, "original_start_line": null, "start_side": null, "line": place.line, "original_line": place.line,
            "side": if place.is_right { "RIGHT" } else { "LEFT" }, "subject_type": if place.line.is_some() { "line" } else { "file" },
            "reactions": reactions(&url, &comment.reactions),
        });
        if let Some(answered) = line.in_reply_to {
            value["in_reply_to_id"] = answered.into();
        }
        value
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
}
