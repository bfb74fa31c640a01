//! Git's own objects: refs, commits, trees and blobs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Shapes, merge, node_id};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::git::{Identity, Listed, settled};
use crate::sandbox::forge::state::Repository;

impl Shapes<'_> {
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
            Timestamp::from_second(part(index).parse().unwrap_or(0))
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
