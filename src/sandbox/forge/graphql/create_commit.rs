//! `createCommitOnBranch`.

use std::collections::HashSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, argument, failure};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::auth::Auth;
use crate::sandbox::forge::git::{FileChange, commit, git, resolve, web_flow};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateCommit {
    branch: CommittableBranch,
    expected_head_oid: String,
    file_changes: Option<FileChanges>,
    message: CommitMessage,
    client_mutation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CommittableBranch {
    repository_name_with_owner: String,
    branch_name: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileChanges {
    #[serde(default)]
    additions: Vec<Addition>,
    #[serde(default)]
    deletions: Vec<Deletion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    path: String,
    contents: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitMessage {
    headline: String,
    body: Option<String>,
}

impl Inner {
    pub(super) fn create_commit(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: CreateCommit = argument(input)?;
        let (owner, name, login) = self.writable(auth, |repo| {
            repo.full_name()
                .eq_ignore_ascii_case(&input.branch.repository_name_with_owner)
        })?;
        let path = self.repository_path(&owner, &name);
        let branch = input.branch.branch_name.trim_start_matches("refs/heads/");
        let reference = format!("refs/heads/{branch}");
        let Some(head) = resolve(&path, &reference) else {
            return Err(failure(
                "NOT_FOUND",
                format!("No ref named '{branch}' was found"),
            ));
        };
        let stale = |expected: &str| {
            failure(
                "STALE_DATA",
                format!(
                    "Expected branch to point to \"{expected}\" but it did not.  Pull and try again."
                ),
            )
        };
        if head != input.expected_head_oid {
            return Err(stale(&input.expected_head_oid));
        }
        let changes = input.file_changes.unwrap_or_default();
        let contents = changes.decoded()?;
        let files = changes.files(&contents, &path, &head)?;
        let message = match &input.message.body {
            Some(body) => format!("{}\n\n{body}", input.message.headline),
            None => input.message.headline.clone(),
        };
        let sha = commit(
            &path,
            Some(&head),
            &files,
            &message,
            &self.identity(&login),
            &web_flow(),
        )
        .map_err(|error| failure("UNPROCESSABLE", error.to_string()))?;
        self.check_move(&owner, &name, &reference, (Some(&head), Some(&sha)))?;
        if git(&path, &["update-ref", &reference, &sha, &head]).is_err() {
            return Err(stale(&input.expected_head_oid));
        }
        self.moved(
            &format!("{owner}/{name}"),
            branch,
            Some(&head),
            Some(&sha),
            &login,
        );
        let url = format!("{}/{owner}/{name}/commit/{sha}", self.origin());
        Ok(
            json!({"clientMutationId": input.client_mutation_id, "commit": {"oid": sha, "url": url}, "ref": {"name": branch, "id": reference}}),
        )
    }
}

impl FileChanges {
    /// The contents of the additions, by path.
    fn decoded(&self) -> Result<Vec<(&str, Vec<u8>)>, Failure> {
        let paths: Vec<&str> = self
            .additions
            .iter()
            .map(|a| a.path.as_str())
            .chain(self.deletions.iter().map(|d| d.path.as_str()))
            .collect();
        if paths.iter().collect::<HashSet<_>>().len() != paths.len() {
            return Err(failure("UNPROCESSABLE", "A path was given more than once"));
        }
        let mut contents = Vec::new();
        for addition in &self.additions {
            let text = BASE64
                .decode(&addition.contents)
                .map_err(|_| failure("UNPROCESSABLE", "contents is not valid base64"))?;
            contents.push((addition.path.as_str(), text));
        }
        Ok(contents)
    }

    /// What a commit on top of `head` changes; what it removes is there.
    fn files<'a>(
        &'a self,
        contents: &'a [(&str, Vec<u8>)],
        repo: &Path,
        head: &str,
    ) -> Result<Vec<FileChange<'a>>, Failure> {
        let mut files = Vec::new();
        for (path, text) in contents {
            files.push(FileChange {
                path,
                content: Some(text),
            });
        }
        for deletion in &self.deletions {
            if git(
                repo,
                &["cat-file", "-e", &format!("{head}:{}", deletion.path)],
            )
            .is_err()
            {
                return Err(failure(
                    "UNPROCESSABLE",
                    format!("The path '{}' does not exist", deletion.path),
                ));
            }
            files.push(FileChange {
                path: &deletion.path,
                content: None,
            });
        }
        Ok(files)
    }
}
