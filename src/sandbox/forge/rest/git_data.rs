//! Git objects: trees, blobs and commits, made and read one by one. Refs are in [`super::refs`].

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::{
    Identity, Node, NodeChange, commit_tree_at, git, is_id, kind_of, list_tree, read_blob, resolve,
    web_flow, write_blob, write_tree,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeRequest {
    tree: Vec<EntryRequest>,
    base_tree: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryRequest {
    path: String,
    mode: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Given as null, it removes the path: `Some(None)`.
    #[serde(default, deserialize_with = "given")]
    sha: Option<Option<String>>,
    content: Option<String>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitRequest {
    message: String,
    tree: String,
    #[serde(default)]
    parents: Vec<String>,
    author: Option<AuthorRequest>,
    committer: Option<CommitterRequest>,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorRequest {
    name: String,
    email: String,
    date: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitterRequest {
    name: Option<String>,
    email: Option<String>,
    date: Option<Timestamp>,
}

fn refused(message: impl Into<String>) -> Reply {
    Reply::error(422, message)
}

impl Asked<'_> {
    pub fn create_tree(&self) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: TreeRequest = body(self.call)?;
        let path = self.path();
        if request.tree.is_empty() {
            return Err(refused("Invalid tree info"));
        }
        if request
            .base_tree
            .as_ref()
            .is_some_and(|base| kind_of(&path, base).as_deref() != Some("tree"))
        {
            return Err(refused("base_tree is not a valid tree oid"));
        }
        let mut changes = Vec::new();
        for entry in &request.tree {
            changes.push(NodeChange {
                path: &entry.path,
                node: node(&path, entry)?,
            });
        }
        // GitHub's words for a path that is to be removed and is not there.
        let sha = write_tree(&path, request.base_tree.as_deref(), &changes)
            .map_err(|_| refused("GitRPC::BadObjectState"))?;
        self.answer_tree(201, &sha, false)
    }

    /// By its own SHA, or by a commit, a branch or a tag.
    pub(super) fn tree(&self, name: &str) -> Answer {
        // Any value asks for it, `false` too.
        self.answer_tree(200, name, self.query.contains_key("recursive"))
    }

    fn answer_tree(&self, status: u16, name: &str, recursive: bool) -> Answer {
        self.read("contents", |shapes, repo| {
            let path = self.path();
            let tree = format!("{name}^{{tree}}");
            let sha = git(&path, &["rev-parse", "--verify", "--quiet", &tree])
                .map_err(|_| not_found())?;
            let listing = list_tree(&path, &sha, recursive).map_err(|_| not_found())?;
            Ok(Reply::json(status, shapes.git_tree(repo, &sha, &listing)))
        })
    }

    pub(super) fn blob(&self, sha: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            let path = self.path();
            if kind_of(&path, sha).as_deref() != Some("blob") {
                return Err(not_found());
            }
            let content = read_blob(&path, sha).map_err(|_| not_found())?;
            Ok(Reply::json(200, shapes.blob(repo, sha, &content)))
        })
    }

    pub(super) fn git_commit(&self, sha: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            match resolve(&self.path(), sha) {
                Some(sha) => Ok(Reply::json(200, shapes.git_commit(repo, &sha))),
                None => Err(Reply::error(404, "Not Found")),
            }
        })
    }

    pub(super) fn create_commit(&self) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: CommitRequest = body(self.call)?;
        let path = self.path();
        if kind_of(&path, &request.tree).as_deref() != Some("tree") {
            return Err(refused("Tree SHA does not exist"));
        }
        if !request.parents.iter().all(|parent| is_id(parent)) {
            return Err(refused(
                "Each SHA in the 'parents' parameter must be exactly 40 characters and contain only [0-9a-f].",
            ));
        }
        if !request
            .parents
            .iter()
            .all(|parent| kind_of(&path, parent).as_deref() == Some("commit"))
        {
            return Err(refused(
                "Parent SHA does not exist or is not a commit object",
            ));
        }
        // What the App writes in nobody's name, GitHub commits and signs.
        let by_github = self.by_app()
            && request.author.is_none()
            && request.committer.is_none()
            && request.signature.is_none();
        let (author, authored) = match request.author {
            Some(author) => (
                Identity {
                    name: author.name,
                    email: author.email,
                },
                author.date,
            ),
            None => (self.inner.identity(&self.login), None),
        };
        let (committer, committed) = match request.committer {
            Some(committer) => {
                let name = committer.name.unwrap_or_else(|| author.name.clone());
                let email = committer.email.unwrap_or_else(|| author.email.clone());
                (Identity { name, email }, committer.date.or(authored))
            }
            None if by_github => (web_flow(), None),
            None => (author.clone(), authored),
        };
        let parents: Vec<&str> = request.parents.iter().map(String::as_str).collect();
        let made = commit_tree_at(
            &path,
            &request.tree,
            &parents,
            &request.message,
            (&author, authored),
            (&committer, committed),
        );
        let sha = made.map_err(|error| refused(error.to_string()))?;
        self.read("contents", |shapes, repo| {
            Ok(Reply::json(201, shapes.git_commit(repo, &sha)))
        })
    }
}

/// What an entry puts at its path; None: it removes what is there.
fn node(repo: &Path, entry: &EntryRequest) -> Result<Option<Node>, Reply> {
    if entry.path.starts_with('/') {
        return Err(refused("tree.path cannot start with a slash"));
    }
    if entry
        .path
        .split('/')
        .any(|part| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git"))
    {
        return Err(refused("tree.path contains a malformed path component"));
    }
    let kind = match entry.mode.as_str() {
        "100644" | "100755" | "120000" => "blob",
        "040000" => "tree",
        "160000" => "commit",
        mode => {
            return Err(refused(format!(
                "Invalid request.\n\n{mode} is not a valid tree.mode."
            )));
        }
    };
    if entry.kind.as_ref().is_some_and(|told| told != kind) {
        return Err(refused("Invalid tree info"));
    }
    let sha = match (&entry.sha, &entry.content) {
        (Some(None), None) => return Ok(None),
        (Some(Some(sha)), None) => {
            // A submodule's commit is in another repository.
            let valid = if kind == "commit" {
                is_id(sha)
            } else {
                kind_of(repo, sha).as_deref() == Some(kind)
            };
            if !valid {
                return Err(refused(format!("tree.sha {sha} is not a valid {kind}")));
            }
            sha.clone()
        }
        (None, Some(content)) if kind == "blob" => write_blob(repo, content.as_bytes())
            .map_err(|error| Reply::error(500, error.to_string()))?,
        _ => {
            return Err(refused(
                "Must supply either tree.sha or tree.content. Request will be rejected if both are present.",
            ));
        }
    };
    Ok(Some(Node {
        mode: entry.mode.clone(),
        kind: kind.into(),
        sha,
    }))
}
