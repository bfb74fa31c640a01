//! Pull requests.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::models::PullFile;
use super::{Comment, Error, GitHub, Pull, PullCommit, PullSnapshot, Result, Writer};
use crate::domain::gate::MergePermit;
use crate::domain::pull_request::{CHECK, GATE_CONTEXT};
use crate::domain::rules::MergeMethod;
use crate::domain::{CommitSha, PullRequestKey, RepoName};

impl GitHub {
    pub async fn pull(&self, key: &PullRequestKey) -> Result<Pull> {
        let route = format!("pulls/{}", key.number);
        self.get(&key.repo, &route, "read a pull request").await
    }

    /// The comments of its thread, oldest first.
    pub async fn comments_of(&self, key: &PullRequestKey) -> Result<Vec<Comment>> {
        let route = format!("issues/{}/comments", key.number);
        self.pages(&key.repo, route, "list comments").await
    }

    /// Reads a pull request with its comments, reviews and check runs.
    pub async fn snapshot(&self, key: &PullRequestKey) -> Result<PullSnapshot> {
        let app = self.identity().await?.id;
        let (repo, number, read) = (&key.repo, key.number, Instant::now());
        let pull = self.pull(key).await?;
        let head = pull.head.sha.clone();
        // A read only if there is something to read.
        let line_comments = async {
            match pull.review_comments {
                0 => Ok(Vec::new()),
                _ => {
                    let route = format!("pulls/{number}/comments");
                    self.pages(repo, route, "list review comments").await
                }
            }
        };
        let (comments, reviews, line_comments, checks) = futures::try_join!(
            self.comments_of(key),
            self.pages(repo, format!("pulls/{number}/reviews"), "list reviews"),
            line_comments,
            self.check_runs(repo, &head, app),
        )?;
        let named = |name: &str| checks.iter().find(|check| check.name == name).cloned();
        Ok(PullSnapshot {
            read,
            pull,
            comments,
            reviews,
            line_comments,
            check: named(CHECK),
            gate: named(GATE_CONTEXT),
        })
    }

    /// The pull requests from one of our branches, newest first.
    pub async fn pulls_from(&self, repo: &RepoName, branch: &str) -> Result<Vec<Pull>> {
        let route = format!("pulls?state=all&head={}:{branch}&per_page=30", repo.owner);
        self.get(repo, &route, "list pull requests").await
    }

    /// The closed pull requests that changed since a time; the newest thirty of them.
    pub async fn closed_pulls(&self, repo: &RepoName, since: Timestamp) -> Result<Vec<Pull>> {
        let closed: Vec<Pull> = self
            .get(
                repo,
                "pulls?state=closed&sort=updated&direction=desc&per_page=30",
                "list pull requests",
            )
            .await?;
        let changed = closed.into_iter().filter(|pull| pull.updated_at >= since);
        Ok(changed.collect())
    }

    pub async fn open_pulls(&self, repo: &RepoName) -> Result<Vec<Pull>> {
        self.pages(repo, "pulls?state=open".into(), "list pull requests")
            .await
    }

    /// The pull requests that a commit belongs to.
    pub async fn pulls_with(&self, repo: &RepoName, commit: &CommitSha) -> Result<Vec<Pull>> {
        self.get(
            repo,
            &format!("commits/{commit}/pulls"),
            "find a commit's pull request",
        )
        .await
    }

    /// The commits of a pull request; GitHub lists 250 at most.
    /// The files that a pull request changes; GitHub lists at most 3,000
    /// (docs.github.com/rest/pulls/pulls#list-pull-requests-files).
    pub async fn files_of(&self, key: &PullRequestKey) -> Result<Vec<PullFile>> {
        self.pages(
            &key.repo,
            format!("pulls/{}/files", key.number),
            "list a pull request's files",
        )
        .await
    }

    pub async fn commits_of(&self, key: &PullRequestKey) -> Result<Vec<PullCommit>> {
        self.pages(
            &key.repo,
            format!("pulls/{}/commits", key.number),
            "list a pull request's commits",
        )
        .await
    }
}

impl Writer<'_> {
    pub async fn open_pull(
        &self,
        repo: &RepoName,
        branch: &str,
        base: &str,
        title: &str,
        body: &str,
    ) -> Result<Pull> {
        let body = json!({"title": title, "head": branch, "base": base, "body": body});
        match self
            .write(repo, "POST", "pulls", &body, "open a pull request")
            .await
        {
            // It exists already, perhaps by a request of ours whose answer got lost: the next
            // reconcile finds it.
            Err(Error::Refused { what, message, .. }) if message.contains("already exists") => {
                Err(Error::Stale { what, message })
            }
            other => other,
        }
    }

    pub async fn retitle_pull(
        &self,
        key: &PullRequestKey,
        title: &str,
        body: &str,
    ) -> Result<Pull> {
        self.write(
            &key.repo,
            "PATCH",
            &format!("pulls/{}", key.number),
            &json!({"title": title, "body": body}),
            "update a pull request",
        )
        .await
    }

    pub async fn close_pull(&self, key: &PullRequestKey) -> Result<Pull> {
        self.write(
            &key.repo,
            "PATCH",
            &format!("pulls/{}", key.number),
            &json!({"state": "closed"}),
            "close a pull request",
        )
        .await
    }

    /// Merges the head that the permit names, and no other.
    pub async fn merge(
        &self,
        key: &PullRequestKey,
        permit: &MergePermit,
        method: MergeMethod,
    ) -> Result<CommitSha> {
        #[derive(Deserialize)]
        struct Merged {
            sha: CommitSha,
        }
        let body = json!({"sha": permit.head(), "merge_method": method.word()});
        match self
            .write(
                &key.repo,
                "PUT",
                &format!("pulls/{}/merge", key.number),
                &body,
                "merge",
            )
            .await
        {
            Err(Error::Refused {
                what,
                status,
                message,
                ..
            }) if status == 409 || message.contains("was modified") => {
                Err(Error::Stale { what, message })
            }
            other => other.map(|Merged { sha }| sha),
        }
    }

    /// Takes a pull request out of the merge queue, if it is there.
    pub async fn dequeue(&self, key: &PullRequestKey, pull: &Pull) -> Result<()> {
        const DOCUMENT: &str = "mutation($input: DequeuePullRequestInput!) { dequeuePullRequest(input: $input) { clientMutationId } }";
        let input = json!({"id": pull.node_id});
        let what = "take a pull request out of the merge queue";
        match self.mutate(&key.repo, DOCUMENT, input, what).await {
            Err(Error::Refused { message, .. }) if message.contains("not in the queue") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Puts the head that the permit names into the merge queue.
    pub async fn enqueue(
        &self,
        key: &PullRequestKey,
        pull: &Pull,
        permit: &MergePermit,
    ) -> Result<()> {
        const DOCUMENT: &str = "mutation($input: EnqueuePullRequestInput!) { enqueuePullRequest(input: $input) { clientMutationId } }";
        let input = json!({"pullRequestId": pull.node_id, "expectedHeadOid": permit.head()});
        let what = "put a pull request into the merge queue";
        match self.mutate(&key.repo, DOCUMENT, input, what).await {
            // By an earlier request of ours, or by a person.
            Err(Error::Refused { message, .. }) if message.contains("already in the queue") => {
                Ok(())
            }
            other => other.map(drop),
        }
    }
}
