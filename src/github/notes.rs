//! Notes on commits, as `git notes --ref=windlass` reads them.
//!
//! A note is a file in the tree of `refs/notes/windlass`, named as the commit.
//! The ref moves only forward from where it was read: two writers do not lose
//! each other's notes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Result, Writer, found};
use crate::domain::{CommitSha, RepoName};

/// Where our notes are.
pub const NOTES: &str = "refs/notes/windlass";

impl Writer<'_> {
    /// Puts a note on a commit, replacing one that is there.
    pub async fn put_note(&self, repo: &RepoName, commit: &CommitSha, text: &str) -> Result<()> {
        #[derive(Deserialize)]
        struct Ref {
            object: Object,
        }
        #[derive(Deserialize)]
        struct Object {
            sha: CommitSha,
        }
        #[derive(Deserialize)]
        struct Commit {
            tree: Object,
        }
        let what = "write a note";
        let name = NOTES.trim_start_matches("refs/");
        let parent = found(
            self.get::<Ref>(repo, &format!("git/ref/{name}"), what)
                .await,
        )?
        .map(|found| found.object.sha);
        let base = match &parent {
            Some(parent) => Some(
                self.get::<Commit>(repo, &format!("git/commits/{parent}"), what)
                    .await?
                    .tree
                    .sha,
            ),
            None => None,
        };
        let mut tree =
            json!({"tree": [{"path": commit, "mode": "100644", "type": "blob", "content": text}]});
        if let Some(base) = base {
            tree["base_tree"] = json!(base);
        }
        let sha = |answer: &Value| answer["sha"].as_str().unwrap_or_default().to_string();
        let tree = sha(&self.write(repo, "POST", "git/trees", &tree, what).await?);
        let body = json!({"message": format!("Receipt of {}", commit.short()), "tree": tree, "parents": parent.iter().collect::<Vec<_>>()});
        let made = sha(&self.write(repo, "POST", "git/commits", &body, what).await?);
        let outcome = match parent {
            Some(_) => {
                self.write(
                    repo,
                    "PATCH",
                    &format!("git/refs/{name}"),
                    &json!({"sha": made, "force": false}),
                    what,
                )
                .await
            }
            None => {
                self.write(
                    repo,
                    "POST",
                    "git/refs",
                    &json!({"ref": NOTES, "sha": made}),
                    what,
                )
                .await
            }
        };
        match outcome {
            // Somebody was faster: look again.
            Err(Error::Refused { what, message, .. })
                if [
                    "fast forward",
                    "already exists",
                    "does not exist",
                    "cannot be updated",
                ]
                .iter()
                .any(|words| message.contains(words)) =>
            {
                Err(Error::Stale { what, message })
            }
            other => other.map(drop),
        }
    }
}
