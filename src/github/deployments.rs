//! GitHub's Deployments: the commit that an environment runs, for the repository's page.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{GitHub, Result, Writer};
use crate::domain::{CommitSha, RepoName};

/// The task that marks our deployments.
const TASK: &str = "windlass";

#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    pub id: u64,
}

impl GitHub {
    /// Our deployment of a commit to an environment, and the newest state of it.
    pub async fn deployment(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        environment: &str,
    ) -> Result<Option<(Deployment, Option<String>)>> {
        #[derive(Deserialize)]
        struct Status {
            state: String,
        }
        let route =
            format!("deployments?sha={commit}&environment={environment}&task={TASK}&per_page=1");
        let found: Vec<Deployment> = self.get(repo, &route, "list deployments").await?;
        let Some(deployment) = found.into_iter().next() else {
            return Ok(None);
        };
        let statuses: Vec<Status> = self
            .get(
                repo,
                &format!("deployments/{}/statuses?per_page=1", deployment.id),
                "read a deployment",
            )
            .await?;
        Ok(Some((
            deployment,
            statuses.into_iter().next().map(|status| status.state),
        )))
    }
}

impl Writer<'_> {
    pub async fn create_deployment(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        environment: &str,
    ) -> Result<Deployment> {
        // Without `auto_merge: false` GitHub would merge the default branch; without empty
        // `required_contexts` it would wait for the status that depends on this deployment. It is
        // not a production environment for GitHub, so that a newer success makes the previous
        // deployment inactive.
        let body = json!({"ref": commit, "task": TASK, "environment": environment, "auto_merge": false, "required_contexts": [],
            "production_environment": false, "description": "synced by windlass"});
        self.write(repo, "POST", "deployments", &body, "create a deployment")
            .await
    }

    pub async fn set_deployment(
        &self,
        repo: &RepoName,
        deployment: &Deployment,
        state: &str,
        description: &str,
    ) -> Result<()> {
        let body = json!({"state": state, "description": description});
        self.write(
            repo,
            "POST",
            &format!("deployments/{}/statuses", deployment.id),
            &body,
            "set a deployment's state",
        )
        .await
        .map(|IgnoredAny| ())
    }
}
