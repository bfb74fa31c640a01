//! The keys that loops work on.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::ids::{CommitSha, Name, RepoName};

/// An application in a stage of one config repository: what a Promotion loop works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageKey {
    pub repo: RepoName,
    pub application: Name,
    pub stage: Name,
}

impl StageKey {
    /// The branch that windlass's pull requests for this key come from.
    pub fn branch(&self) -> String {
        format!("windlass/{}/{}", self.application, self.stage)
    }

    /// The key of a branch that windlass's pull requests come from.
    pub fn of_branch(repo: &RepoName, branch: &str) -> Option<Self> {
        let (application, stage) = branch.strip_prefix("windlass/")?.split_once('/')?;
        Some(Self {
            repo: repo.clone(),
            application: application.parse().ok()?,
            stage: stage.parse().ok()?,
        })
    }

    /// The name of the `Promotion` object.
    pub fn object_name(&self) -> String {
        joined((&self.application, &self.stage, None), '.')
    }

    /// `shop/production`, for people.
    pub fn title(&self) -> String {
        joined((&self.application, &self.stage, None), '/')
    }

    /// The key of its only target, where the stage has one cluster.
    pub fn alone(&self) -> TargetKey {
        TargetKey {
            repo: self.repo.clone(),
            application: self.application.clone(),
            stage: self.stage.clone(),
            cluster: None,
        }
    }
}

/// An application, a stage, and one of the stage's clusters, where it has several: what tells one
/// target of a repository from another.
pub type TargetNames<'a> = (&'a Name, &'a Name, Option<&'a Name>);

/// The names with a character between them.
pub fn joined((application, stage, cluster): TargetNames<'_>, between: char) -> String {
    let mut text = format!("{application}{between}{stage}");
    if let Some(cluster) = cluster {
        text.push(between);
        text.push_str(cluster.as_str());
    }
    text
}

impl fmt::Display for StageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repo, self.title())
    }
}

/// An application in a stage and, where the stage has several clusters, in one of them: what an
/// Application loop works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetKey {
    pub repo: RepoName,
    pub application: Name,
    pub stage: Name,
    /// None: the stage names one cluster, by `cluster`. Some: one of its `clusters`.
    pub cluster: Option<Name>,
}

impl TargetKey {
    pub fn names(&self) -> TargetNames<'_> {
        (&self.application, &self.stage, self.cluster.as_ref())
    }

    /// The key of what is promoted to it.
    pub fn of_stage(&self) -> StageKey {
        StageKey {
            repo: self.repo.clone(),
            application: self.application.clone(),
            stage: self.stage.clone(),
        }
    }

    /// The server-side apply field manager: the same in each cluster. Kubernetes allows 128 bytes;
    /// the longest here has 90.
    pub fn field_manager(&self) -> String {
        self.of_stage().branch()
    }

    /// The name of the `Application` object.
    pub fn object_name(&self) -> String {
        joined(self.names(), '.')
    }

    /// `shop/production` or `shop/production/eu`, for people and for the
    /// `windlass.dev/application` annotation.
    pub fn title(&self) -> String {
        joined(self.names(), '/')
    }

    /// `production`, or `production/eu`: where it goes.
    pub fn place(&self) -> String {
        let cluster = self.cluster.as_ref().map(|cluster| format!("/{cluster}"));
        format!("{}{}", self.stage, cluster.unwrap_or_default())
    }

    /// The value of the `windlass.dev/owner` label: 16 hexadecimal digits of
    /// SHA-256 over the repository's numeric id (which survives renames),
    /// application, stage and, where it is a part of the key, cluster.
    pub fn owner_label(&self, repository_id: u64) -> String {
        let digest = Sha256::digest(format!("{repository_id}\n{}", joined(self.names(), '\n')));
        hex::encode(&digest[..8])
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repo, self.title())
    }
}

/// One pull request: what the PullRequest loop works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PullRequestKey {
    pub repo: RepoName,
    pub number: u64,
}

impl fmt::Display for PullRequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repo, self.number)
    }
}

/// One commit of a config repository: what the Commit loop works on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitKey {
    pub repo: RepoName,
    pub commit: CommitSha,
}

impl fmt::Display for CommitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.commit)
    }
}
