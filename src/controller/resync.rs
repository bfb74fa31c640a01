//! What webhooks, watches and timers cause: a resync of everything, or a reconcile of the keys that
//! they name.

use std::sync::Arc;

use super::cache::locked;
use super::config_repo::{Base, NoBranch};
use super::error::Error;
use super::wake::Event;
use super::{Reader, Result};
use crate::cluster::WatchEvent;
use crate::domain::pull_request::GATE_CONTEXT;
use crate::domain::{ApplicationKey, Hint, Invalid, Name, PullRequestKey, RepoName};
use crate::github::{self, Pull};

impl Reader {
    /// Puts everything into the queues: at start, and from time to time.
    pub async fn resync(self: &Arc<Self>) -> Result<()> {
        locked(&self.cache.applications.last_reported).clear();
        // A right may have been granted meanwhile.
        self.environment
            .clusters
            .values()
            .for_each(|cluster| cluster.index.retry_refused());
        let found = self.github.discover().await?;
        let config: Vec<_> = found
            .into_iter()
            .map(|repository| repository.name)
            .filter(|repo| self.is_config(repo))
            .collect();
        // Repositories that the App can no longer access are dropped.
        locked(&self.cache.repositories.bases).retain(|repo, _| config.contains(repo));
        for repo in config {
            match self.resync_repository(&repo).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%repo, %error, "a repository could not be read"),
            }
        }
        Ok(())
    }

    async fn resync_repository(self: &Arc<Self>, repo: &RepoName) -> Result<()> {
        self.touch(repo);
        let base = match self.known_base(repo).await {
            Ok(base) => base,
            // An empty repository is no config repository yet.
            Err(Error::Git(error)) if error.is::<NoBranch>() => return Ok(()),
            Err(error) => return Err(error),
        };
        if base.configuration.is_none() {
            return Ok(());
        }
        self.read_rules(&base).await;
        let pulls = self.github.recent_pulls(repo).await?;
        self.enqueue_repository(base, pulls).await?;
        Ok(())
    }

    /// Checks whether the branch's rules require our check.
    async fn read_rules(&self, base: &Base) {
        let (repo, branch) = (&base.repo.name, &base.repo.default_branch);
        let required = async {
            let app = self.github.identity().await?.id;
            Ok::<_, github::Error>((app, self.github.required_checks(repo, branch).await?))
        };
        match required.await {
            Ok((app, checks)) => {
                let counts = checks.contains(&(GATE_CONTEXT.to_string(), Some(app)));
                if !counts {
                    tracing::warn!(%repo, branch, "the rules of the branch do not require the check `{GATE_CONTEXT}` from this App");
                }
                let advice = if counts {
                    String::new()
                } else {
                    crate::view::unprotected(branch)
                };
                locked(&self.cache.repositories.advice).insert(repo.clone(), advice);
            }
            Err(error) => tracing::debug!(%repo, %error, "the rules of the branch cannot be read"),
        }
    }

    /// Puts everything of a repository into the queues, also applications and promotions that it no
    /// longer has.
    async fn enqueue_repository(self: &Arc<Self>, base: Arc<Base>, pulls: Vec<Pull>) -> Result<()> {
        let repo = &base.repo.name;
        if let Some(Err(Invalid(why))) = &base.configuration {
            tracing::warn!(%repo, why, "the configuration cannot be read: everything stays as it is");
        }
        let key = |repository: &RepoName, application: &Name, stage: &Name| {
            (repository == repo).then(|| ApplicationKey {
                repo: repo.clone(),
                application: application.clone(),
                stage: stage.clone(),
            })
        };
        let (applications, promotions) = (
            self.store.applications().await?,
            self.store.promotions().await?,
        );
        let applications = applications.iter().map(|object| &object.spec);
        let promotions = promotions.iter().map(|object| &object.spec);
        let event = Event::Base {
            applications: applications
                .filter_map(|spec| key(&spec.repository, &spec.application, &spec.stage))
                .collect(),
            promotions: promotions
                .filter_map(|spec| key(&spec.repository, &spec.application, &spec.stage))
                .collect(),
            pulls: pulls.into_iter().map(|pull| pull.number).collect(),
            base: base.clone(),
        };
        self.emit(&event);
        Ok(())
    }

    /// Processes a hint: puts keys into queues, nothing else.
    pub async fn process_hint(self: &Arc<Self>, hint: Hint) -> Result<()> {
        match hint {
            Hint::PullRequest(PullRequestKey { repo, .. }) | Hint::Branch { repo, .. }
                if !self.is_config(&repo) => {}
            Hint::PullRequest(key) => self.emit(&Event::PullRequest(key)),
            Hint::Installations => self.resync().await?,
            Hint::Branch { repo, branch } => {
                let Ok(repository) = self.github.repository(&repo) else {
                    return self.resync().await;
                };
                self.touch(&repo);
                if branch != repository.default_branch {
                    self.emit(&Event::Branch { repo, branch });
                    return Ok(());
                }
                let base = self.known_base(&repo).await?;
                if base.configuration.is_some() {
                    let pulls = self.github.open_pulls(&repo).await?;
                    self.enqueue_repository(base, pulls).await?;
                }
            }
        }
        Ok(())
    }

    /// Processes a watch event. The reconcile finds out whether there is anything to do, which
    /// costs no request.
    pub fn on_watch_event(&self, event: WatchEvent) {
        self.emit(&match event {
            WatchEvent::Object(owner) => Event::Object { owner },
            WatchEvent::Application(key) => Event::Application(key),
            WatchEvent::Promotion(key) => Event::Promotion(key),
        });
    }
}
