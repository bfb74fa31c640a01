//! The repositories that the App is installed on, and the sessions for them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::auth::Scope;
use super::webhook;
use super::{Error, GitHub, Repository, Result, Session, locked};
use crate::domain::RepoName;

const FAILED_DELIVERIES: &str = "/app/hook/deliveries?status=failure&per_page=100";
/// The most failed deliveries that are read in one go; a resync covers the rest.
const MOST_FAILED: usize = 500;
const INSTALLATIONS: &str = "/app/installations?per_page=100";
/// Pauses until installations that could not be listed are listed again.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A token that was minted this long ago is known to all of GitHub.
const FRESH: Duration = Duration::from_secs(10);
const REPOSITORIES: &str = "/installation/repositories?per_page=100";

#[derive(Deserialize)]
struct Installation {
    id: u64,
    suspended_at: Option<Timestamp>,
}

impl GitHub {
    /// Lists all repositories again.
    pub async fn discover(&self) -> Result<()> {
        let outcome = self.list_all().await;
        if let Err(error) = &outcome {
            self.list_again_after(error);
        }
        outcome
    }

    /// Sets when to list the repositories again: ever later, while that fails.
    fn list_again_after(&self, error: &Error) {
        let mut unlisted = locked(&self.unlisted);
        let pause = unlisted.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        let limited = match error {
            Error::RateLimited { until, .. } => {
                Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        *unlisted = Some((Instant::now() + pause.max(limited), pause));
    }

    async fn list_all(&self) -> Result<()> {
        let (mut installations, mut next) = (Vec::new(), Some(INSTALLATIONS.to_string()));
        while let Some(route) = next {
            let page: Vec<Installation>;
            (page, next) = self.as_app(&route, "list installations").await?;
            installations.extend(page);
        }
        let (mut found, mut unlisted) = (Vec::new(), None);
        for installation in installations
            .iter()
            .filter(|installation| installation.suspended_at.is_none())
        {
            match self.repositories_of(installation.id).await {
                Ok(repositories) => found.extend(repositories),
                // Suspended meanwhile, closed to our address, limited or away: the others go on.
                Err(error) => {
                    tracing::warn!(installation = installation.id, %error, "the repositories of an installation cannot be listed");
                    // What may pass leaves its repositories as they were, and is asked again soon.
                    if !matches!(error, Error::Refused { .. } | Error::NotFound { .. }) {
                        found.extend(self.listed_of(installation.id));
                        unlisted = Some(error);
                    }
                }
            }
        }
        match unlisted {
            Some(error) if found.is_empty() => return Err(error),
            Some(error) => self.list_again_after(&error),
            None => *locked(&self.unlisted) = None,
        }
        self.name_as_settings(&mut found, &installations).await?;
        let by_name = found.into_iter().map(|repo| (repo.name.clone(), repo));
        *locked(&self.repositories) = by_name.collect();
        Ok(())
    }

    /// The repositories of an installation, as they were last listed.
    fn listed_of(&self, installation: u64) -> Vec<Repository> {
        let known = locked(&self.repositories);
        let of_it = known
            .values()
            .filter(|repo| repo.installation == installation);
        of_it.cloned().collect()
    }

    /// When to list the repositories again, since not all installations could be listed.
    pub fn lists_again_at(&self) -> Option<Instant> {
        locked(&self.unlisted).map(|(at, _)| at)
    }

    /// A config repository that was renamed keeps the name that the settings know it by: GitHub tells
    /// its number at the old address.
    async fn name_as_settings(
        &self,
        found: &mut Vec<Repository>,
        installations: &[Installation],
    ) -> Result<()> {
        for name in self.projects.repositories() {
            let pinned = locked(&self.pinned).get(name).copied();
            let is_named = |repository: &Repository| repository.name == *name;
            if let Some(id) = pinned
                && found.iter().any(|other| is_named(other) && other.id != id)
            {
                tracing::error!(%name, id, "another repository has the name of a config repository now: it is left alone. If it is meant to be the config repository, delete the Application objects of the old one");
                found.retain(|repository| !is_named(repository));
            }
            if found.iter().any(is_named) {
                continue;
            }
            let id = match pinned {
                Some(id) => Some(id),
                None => match self.id_behind(name, installations).await {
                    Ok(id) => id,
                    Err(error) => {
                        tracing::warn!(%name, %error, "whether a config repository was renamed is not known");
                        continue;
                    }
                },
            };
            let mut others = found.iter_mut();
            if let Some(repository) = others.find(|repository| Some(repository.id) == id) {
                tracing::warn!(old = %name, new = %repository.name, "a config repository was renamed: put its new name into the file of --projects");
                let now = std::mem::replace(&mut repository.name, name.clone());
                repository.renamed_to = Some(now);
            }
        }
        for repository in found
            .iter()
            .filter(|found| self.projects.names(&found.name))
        {
            self.pin(&repository.name, repository.id);
        }
        Ok(())
    }

    /// A config repository has this number, whatever gets its name later.
    pub fn pin(&self, name: &RepoName, id: u64) {
        locked(&self.pinned).entry(name.clone()).or_insert(id);
    }

    /// The number of the repository that had a name before.
    async fn id_behind(
        &self,
        name: &RepoName,
        installations: &[Installation],
    ) -> Result<Option<u64>> {
        let mut unanswered = None;
        for installation in installations
            .iter()
            .filter(|installation| installation.suspended_at.is_none())
        {
            let route = format!("/repos/{name}");
            let read = async {
                let session = self.session(installation.id, Scope::Listing).await?;
                let what = "look for a repository";
                self.read::<serde::de::IgnoredAny>(&session, &route, what)
                    .await
            };
            match read.await {
                Err(Error::Moved { to: Some(to), .. }) => {
                    let id = to.rsplit_once("/repositories/").map(|(_, id)| id.parse());
                    if let Some(Ok(id)) = id {
                        return Ok(Some(id));
                    }
                }
                Ok(_)
                | Err(Error::NotFound { .. } | Error::Refused { .. } | Error::Moved { .. }) => {}
                // Another installation may know.
                Err(error) => unanswered = Some(error),
            }
        }
        unanswered.map_or(Ok(None), Err)
    }

    /// The name of a repository on GitHub.
    pub(super) fn name_now(&self, repo: &RepoName) -> RepoName {
        let known = self.repository(repo).ok();
        known
            .and_then(|known| known.renamed_to)
            .unwrap_or_else(|| repo.clone())
    }

    /// The name that the settings know a repository by.
    pub fn name_in_settings(&self, name: RepoName) -> RepoName {
        let known = locked(&self.repositories);
        let renamed = known
            .values()
            .find(|repository| repository.renamed_to.as_ref() == Some(&name));
        renamed.map_or(name, |repository| repository.name.clone())
    }

    async fn repositories_of(&self, installation: u64) -> Result<Vec<Repository>> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Vec<Repository>,
        }
        let (mut found, mut next) = (Vec::new(), Some(REPOSITORIES.to_string()));
        while let Some(route) = next {
            let session = self.session(installation, Scope::Listing).await?;
            let page: Page;
            (page, next) = self.read(&session, &route, "list repositories").await?;
            found.extend(page.repositories.into_iter().map(|repo| Repository {
                installation,
                ..repo
            }));
        }
        Ok(found)
    }

    /// The names of all repositories that the App is installed on.
    pub fn repositories(&self) -> Vec<RepoName> {
        let known = locked(&self.repositories);
        known.keys().cloned().collect()
    }

    pub fn repository(&self, name: &RepoName) -> Result<Repository> {
        let known = locked(&self.repositories);
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
    /// new ones. A fresh token may be refused for some seconds (octokit/auth-app.js#168), so that a
    /// newer one would be refused as well.
    pub async fn forget_session(&self, repo: &RepoName) {
        let Ok(Repository {
            installation, id, ..
        }) = self.repository(repo)
        else {
            return;
        };
        for scope in [Scope::Config(id), Scope::Fetch(id), Scope::Source(id)] {
            let name = (installation, scope);
            let session = self.sessions.get(&name).await;
            if session.is_some_and(|session| session.minted.elapsed() > FRESH) {
                self.sessions.invalidate(&name).await;
            }
        }
    }

    /// Drops all tokens: the permissions of an installation changed.
    pub fn forget_sessions(&self) {
        self.sessions.invalidate_all();
    }

    // ---- reads

    /// Hints from webhook deliveries that failed since a time.
    pub async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<crate::domain::Hint>> {
        #[derive(Deserialize)]
        struct Item {
            id: u64,
            guid: String,
            event: String,
            delivered_at: Timestamp,
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
        // Newest first. What "failed" is, GitHub decides: a delivery without an answer has no
        // status code of its own.
        let mut failed: BTreeMap<String, Item> = BTreeMap::new();
        let mut next = Some(FAILED_DELIVERIES.to_string());
        while let Some(route) = next.filter(|_| failed.len() < MOST_FAILED) {
            let items: Vec<Item>;
            (items, next) = self.as_app(&route, "list webhook deliveries").await?;
            if items.last().is_some_and(|item| item.delivered_at < since) {
                next = None;
            }
            let recent = items.into_iter().filter(|item| item.delivered_at >= since);
            let relevant = recent.filter(|item| webhook::is_relevant(&item.event));
            failed.extend(relevant.map(|item| (item.guid.clone(), item)));
        }
        let mut hints = Vec::new();
        for item in failed.values() {
            let route = format!("/app/hook/deliveries/{}", item.id);
            let read = self.as_app(&route, "read a webhook delivery").await;
            let (delivery, _): (Delivery, _) = match read {
                // One that cannot be understood hides none of the others.
                Err(error @ (Error::Unexpected { .. } | Error::ForeignIds { .. })) => {
                    tracing::warn!(guid = item.guid, %error, "a delivery is passed over");
                    continue;
                }
                read => read?,
            };
            let payload = delivery.request.payload.unwrap_or_default();
            hints.extend(webhook::hint(&delivery.event, &payload, None));
        }
        Ok(hints)
    }
}
