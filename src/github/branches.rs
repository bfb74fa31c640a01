//! Branches, their rules, commits and pushes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answers::found;
use super::{Error, GitHub, Push, RefMove, Result, Writer};
use crate::domain::edit::FileEdit;
use crate::domain::{CommitSha, RepoName};

impl GitHub {
    /// The head of a branch.
    pub async fn branch_head(&self, repo: &RepoName, branch: &str) -> Result<Option<CommitSha>> {
        #[derive(Deserialize)]
        struct Answer {
            object: Object,
        }
        #[derive(Deserialize)]
        struct Object {
            sha: CommitSha,
        }
        let answer = self
            .get::<Answer>(repo, &format!("git/ref/heads/{branch}"), "read a branch")
            .await;
        found(answer.map(|answer| answer.object.sha))
    }

    /// The last pushes to a branch, newest first.
    pub async fn pushes(&self, repo: &RepoName, branch: &str) -> Result<Vec<Push>> {
        let name = format!("refs/heads/{branch}")
            .replace('%', "%25")
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace('#', "%23");
        self.get(
            repo,
            &format!("activity?ref={name}&per_page=100"),
            "read who pushed to a branch",
        )
        .await
    }
}

impl Writer<'_> {
    pub async fn create_branch(&self, repo: &RepoName, branch: &str, at: &CommitSha) -> Result<()> {
        let body = json!({"ref": format!("refs/heads/{branch}"), "sha": at});
        match self
            .write(repo, "POST", "git/refs", &body, "create a branch")
            .await
        {
            Err(Error::Refused { what, message, .. }) if message.contains("already exists") => {
                Err(Error::Stale { what, message })
            }
            other => other.map(|IgnoredAny| ()),
        }
    }

    /// Appends a commit, if the branch is at the expected one. GitHub signs it; the App is its
    /// author.
    pub async fn commit(
        &self,
        repo: &RepoName,
        branch: &str,
        parent: &CommitSha,
        message: (&str, &str),
        edits: &[FileEdit],
    ) -> Result<CommitSha> {
        const DOCUMENT: &str = "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
        let input = self.commit_input(repo, branch, parent, message, edits);
        let answer = self
            .mutate(repo, DOCUMENT, input, "commit to a branch")
            .await?;
        let oid = answer["createCommitOnBranch"]["commit"]["oid"]
            .as_str()
            .unwrap_or_default();
        oid.parse().map_err(|_| Error::Unexpected {
            what: "commit to a branch".into(),
            message: answer.to_string(),
        })
    }

    /// Creates a branch with one commit on top of `base`, and opens a pull request from it; its
    /// number. It is one request of three mutations, each conditional on the one before: whatever is
    /// done of them when one fails, the next reconcile goes on from.
    pub async fn propose(
        &self,
        repo: &RepoName,
        branch: &str,
        base: (&str, &CommitSha),
        message: (&str, &str),
        edits: &[FileEdit],
        (title, body): (&str, &str),
    ) -> Result<u64> {
        const DOCUMENT: &str = "mutation($refs: UpdateRefsInput!, $commit: CreateCommitOnBranchInput!, $pull: CreatePullRequestInput!) { \
            updateRefs(input: $refs) { clientMutationId } \
            createCommitOnBranch(input: $commit) { commit { oid } } \
            createPullRequest(input: $pull) { pullRequest { number } } }";
        let created = [(format!("refs/heads/{branch}"), None, Some(base.1.clone()))];
        let pull = json!({"repositoryId": self.repository(repo)?.node_id, "baseRefName": base.0, "headRefName": branch, "title": title, "body": body});
        let variables = json!({
            "refs": self.refs_input(repo, &created)?,
            "commit": self.commit_input(repo, branch, base.1, message, edits),
            "pull": pull,
        });
        let answer = self
            .mutate_all(repo, DOCUMENT, variables, "open a pull request")
            .await?;
        let number = answer["createPullRequest"]["pullRequest"]["number"].as_u64();
        number.ok_or_else(|| Error::Unexpected {
            what: "open a pull request".into(),
            message: answer.to_string(),
        })
    }

    fn commit_input(
        &self,
        repo: &RepoName,
        branch: &str,
        parent: &CommitSha,
        message: (&str, &str),
        edits: &[FileEdit],
    ) -> Value {
        let (mut additions, mut deletions) = (Vec::new(), Vec::new());
        for FileEdit { path, text } in edits {
            match text {
                Some(text) => {
                    additions.push(json!({"path": path, "contents": BASE64.encode(text)}));
                }
                None => deletions.push(json!({"path": path})),
            }
        }
        json!({
            "branch": {"repositoryNameWithOwner": self.name_now(repo).to_string(), "branchName": branch},
            "expectedHeadOid": parent,
            "message": {"headline": message.0, "body": message.1},
            "fileChanges": {"additions": additions, "deletions": deletions},
        })
    }

    fn refs_input(&self, repo: &RepoName, moves: &[RefMove]) -> Result<Value> {
        const NONE: &str = "0000000000000000000000000000000000000000";
        let oid =
            |sha: &Option<CommitSha>| sha.as_ref().map_or(NONE.to_string(), ToString::to_string);
        let updates: Vec<_> = moves
            .iter()
            .map(|(name, before, after)| json!({"name": name, "beforeOid": oid(before), "afterOid": oid(after), "force": true}))
            .collect();
        Ok(json!({"repositoryId": self.repository(repo)?.node_id, "refUpdates": updates}))
    }

    /// Moves refs atomically.
    pub async fn move_refs(&self, repo: &RepoName, moves: &[RefMove]) -> Result<()> {
        const DOCUMENT: &str =
            "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }";
        let input = self.refs_input(repo, moves)?;
        self.mutate(repo, DOCUMENT, input, "move branches")
            .await
            .map(drop)
    }

    /// Replaces the content of a branch by one commit on top of `base`, if the branch is at the
    /// expected commit. It is built on a scratch branch first, so that the branch never equals its
    /// base: GitHub would close its pull request.
    pub async fn rebuild_branch(
        &self,
        repo: &RepoName,
        branch: &str,
        (head, base): (CommitSha, &CommitSha),
        message: (&str, &str),
        edits: &[FileEdit],
    ) -> Result<()> {
        let scratch = format!("{branch}.rebuild");
        let full = |branch: &str| format!("refs/heads/{branch}");
        let leftover = self.branch_head(repo, &scratch).await?;
        self.move_refs(repo, &[(full(&scratch), leftover, Some(base.clone()))])
            .await?;
        let built = self.commit(repo, &scratch, base, message, edits).await?;
        self.move_refs(
            repo,
            &[
                (full(branch), Some(head), Some(built.clone())),
                (full(&scratch), Some(built), None),
            ],
        )
        .await
    }
}
