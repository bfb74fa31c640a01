//! Repositories.

use serde_json::{Value, json};

use super::{Shapes, merge, node_id};
use crate::sandbox::forge::state::Repository;

impl Shapes<'_> {
    pub fn repository(&self, repo: &Repository) -> Value {
        let (url, html, full) = (self.repo_url(repo), self.html(repo), repo.full_name());
        let open = repo.pulls.iter().filter(|pull| pull.open).count();
        let mut value = json!({
            "id": repo.id, "node_id": node_id("Repository", repo.id), "name": repo.name, "full_name": full, "private": true,
            "owner": self.user(&repo.owner), "html_url": html, "description": null, "fork": repo.fork_of.is_some(), "url": url,
            "git_url": format!("git://localhost/{full}.git"), "ssh_url": format!("git@localhost:{full}.git"), "clone_url": format!("{html}.git"),
            "svn_url": html, "homepage": null, "size": 1, "stargazers_count": 0, "watchers_count": 0, "language": null, "has_issues": true,
            "has_projects": false, "has_downloads": false, "has_wiki": false, "has_pages": false, "has_discussions": false, "forks_count": 0,
            "mirror_url": null, "archived": repo.archived, "disabled": false, "open_issues_count": open, "license": null, "allow_forking": true,
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
        let more = json!({"network_count": 0, "subscribers_count": 0, "allow_merge_commit": repo.allow_merge_commit,
            "allow_squash_merge": repo.allow_squash_merge, "allow_rebase_merge": repo.allow_rebase_merge, "allow_auto_merge": false, "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
            "squash_merge_commit_message": "COMMIT_MESSAGES", "merge_commit_title": "MERGE_MESSAGE", "merge_commit_message": "PR_TITLE", "delete_branch_on_merge": false});
        merge(&mut value, more);
        value
    }
}
