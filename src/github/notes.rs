//! Notes on commits, as `git notes --ref=windlass` reads them.
//!
//! A note is a file in the tree of `refs/notes/windlass`, named by the commit. The
//! ref is only fast-forwarded, so two writers do not lose each other's notes.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::answers::found;
use super::{Error, GitHub, Result, Writer, locked};
use crate::domain::{CommitSha, RepoName};

/// The ref of our notes.
pub const NOTES: &str = "refs/notes/windlass";

const WHAT: &str = "write a note";

/// The commit that the ref of our notes is at, and its tree.
#[derive(Clone)]
pub struct Tip {
    commit: CommitSha,
    tree: CommitSha,
}

#[derive(Deserialize)]
struct Object {
    sha: CommitSha,
}

impl GitHub {
    async fn tip_of_notes(&self, repo: &RepoName) -> Result<Option<Tip>> {
        #[derive(Deserialize)]
        struct Ref {
            object: Object,
        }
        #[derive(Deserialize)]
        struct Commit {
            tree: Object,
        }
        let name = NOTES.trim_start_matches("refs/");
        let Some(Ref { object }) = found(self.get(repo, &format!("git/ref/{name}"), WHAT).await)?
        else {
            return Ok(None);
        };
        let commit = object.sha;
        let Commit { tree } = self
            .get(repo, &format!("git/commits/{commit}"), WHAT)
            .await?;
        Ok(Some(Tip {
            commit,
            tree: tree.sha,
        }))
    }
}

impl Writer<'_> {
    /// Writes the note on a commit, replacing an existing one.
    pub async fn put_note(&self, repo: &RepoName, commit: &CommitSha, text: &str) -> Result<()> {
        // Nobody else writes there: where our last note was, the next one follows.
        let known = locked(&self.note_tips).remove(repo);
        let tip = match known {
            Some(tip) => Some(tip),
            None => self.tip_of_notes(repo).await?,
        };
        let mut tree =
            json!({"tree": [{"path": commit, "mode": "100644", "type": "blob", "content": text}]});
        if let Some(tip) = &tip {
            tree["base_tree"] = json!(tip.tree);
        }
        let Object { sha: tree } = self.write(repo, "POST", "git/trees", &tree, WHAT).await?;
        let parents: Vec<_> = tip.iter().map(|tip| &tip.commit).collect();
        let body = json!({"message": format!("Receipt of {}", commit.short()), "tree": tree, "parents": parents});
        let Object { sha: commit } = self.write(repo, "POST", "git/commits", &body, WHAT).await?;
        match self.move_notes(repo, tip.is_some(), &commit).await {
            // Another writer was faster: read again and retry.
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
            other => {
                other?;
                locked(&self.note_tips).insert(repo.clone(), Tip { commit, tree });
                Ok(())
            }
        }
    }

    /// Fast-forwards the ref of our notes, or creates it.
    async fn move_notes(
        &self,
        repo: &RepoName,
        exists: bool,
        sha: &CommitSha,
    ) -> Result<IgnoredAny> {
        let (method, path, body) = if exists {
            let body = json!({"sha": sha, "force": false});
            ("PATCH", format!("git/{NOTES}"), body)
        } else {
            let body = json!({"ref": NOTES, "sha": sha});
            ("POST", "git/refs".to_string(), body)
        };
        self.write(repo, method, &path, &body, WHAT).await
    }
}
