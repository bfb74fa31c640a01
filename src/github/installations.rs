//! The repositories that the App is installed on, and the sessions for them.

use std::sync::PoisonError;

use jiff::Timestamp;
use serde::Deserialize;

use super::auth::Scope;
use super::webhook;
use super::{Error, GitHub, Repository, Result, Session};
use crate::domain::RepoName;

impl GitHub {
    /// Lists all repositories again.
    pub async fn discover(&self) -> Result<Vec<Repository>> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
            suspended_at: Option<Timestamp>,
        }
        let mut found = Vec::new();
        let installations: Vec<Installation> = self
            .as_app("/app/installations?per_page=100", "list installations")
            .await?;
        for installation in installations
            .iter()
            .filter(|installation| installation.suspended_at.is_none())
        {
            #[derive(Deserialize)]
            struct Page {
                repositories: Vec<Repository>,
            }
            for page in 1.. {
                let session = self.session(installation.id, Scope::Listing).await?;
                let route = format!("/installation/repositories?per_page=100&page={page}");
                let Page { repositories } =
                    self.read(&session, &route, "list repositories").await?;
                let last = repositories.len() < 100;
                found.extend(repositories.into_iter().map(|repo| Repository {
                    installation: installation.id,
                    ..repo
                }));
                if last {
                    break;
                }
            }
        }
        let by_name = found
            .iter()
            .map(|repo| (repo.name.clone(), repo.clone()))
            .collect();
        *self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = by_name;
        Ok(found)
    }

    pub fn repository(&self, name: &RepoName) -> Result<Repository> {
        let known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known
            .get(name)
            .cloned()
            .ok_or_else(|| Error::NotInstalled { repo: name.clone() })
    }

    /// The session for a repository, by whether it is a config repository.
    pub async fn session_for(&self, repo: &RepoName) -> Result<Session> {
        let Repository {
            installation, id, ..
        } = self.repository(repo)?;
        let scope = if self.projects.names(repo) {
            Scope::Config(id)
        } else {
            Scope::Source(id)
        };
        self.session(installation, scope).await
    }

    /// The session for git's transport.
    pub async fn session_to_fetch(&self, repo: &RepoName) -> Result<Session> {
        let Repository {
            installation, id, ..
        } = self.repository(repo)?;
        self.session(installation, Scope::Fetch(id)).await
    }

    /// Drops the tokens for a repository, since GitHub does not accept them: the next request gets
    /// new ones.
    pub async fn forget_session(&self, repo: &RepoName) {
        if let Ok(Repository {
            installation, id, ..
        }) = self.repository(repo)
        {
            for scope in [Scope::Config(id), Scope::Fetch(id), Scope::Source(id)] {
                self.sessions.invalidate(&(installation, scope)).await;
            }
        }
    }

    // ---- reads

    /// Hints from webhook deliveries that failed since a time.
    pub async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<crate::domain::Hint>> {
        #[derive(Deserialize)]
        struct Item {
            id: u64,
            guid: String,
            delivered_at: Timestamp,
            status_code: u16,
        }
        #[derive(Deserialize)]
        struct Delivery {
            event: String,
            request: DeliveryRequest,
        }
        #[derive(Deserialize)]
        struct DeliveryRequest {
            payload: Option<webhook::Payload>,
        }
        let items: Vec<Item> = self
            .as_app(
                "/app/hook/deliveries?per_page=100",
                "list webhook deliveries",
            )
            .await?;
        let recent: Vec<_> = items
            .into_iter()
            .filter(|item| item.delivered_at >= since)
            .collect();
        let delivered: std::collections::HashSet<_> = recent
            .iter()
            .filter(|item| item.status_code < 400)
            .map(|item| item.guid.clone())
            .collect();
        let mut hints = Vec::new();
        for item in recent.iter().filter(|item| !delivered.contains(&item.guid)) {
            let delivery: Delivery = self
                .as_app(
                    &format!("/app/hook/deliveries/{}", item.id),
                    "read a webhook delivery",
                )
                .await?;
            hints.extend(webhook::hints(
                &delivery.event,
                &delivery.request.payload.unwrap_or_default(),
            ));
        }
        Ok(hints)
    }
}
