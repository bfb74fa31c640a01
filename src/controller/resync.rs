//! What webhooks, watches and timers cause: keys go into queues, nothing else.

use std::sync::Arc;

use tokio::time::Instant;

use super::cache::locked;
use super::wake::Event;
use super::{Reader, Result, Writer, pull_request};
use crate::cluster::WatchEvent;
use crate::domain::{CommitSha, Hint, PullFact, RepoName};

impl Writer {
    /// Config repositories are the ones that the existing objects are of, by their numbers.
    pub async fn pin_repositories(&self) -> Result<()> {
        for object in self.store.applications().await? {
            if let Ok(id @ 1..) = u64::try_from(object.spec.repository_id) {
                self.github.pin(&object.spec.repository, id);
            }
        }
        Ok(())
    }

    /// Gives the objects of renamed repositories the names that the settings have now.
    pub async fn adopt_names(&self) -> Result<()> {
        for name in self.config_repositories() {
            let id = self.github.repository(&name)?.id;
            self.to_store().adopt_name(id, &name).await?;
        }
        Ok(())
    }
}

impl Reader {
    /// Lists the repositories again, and puts everything into the queues: at start, from time to
    /// time, and when the repositories changed.
    pub async fn resync(self: &Arc<Self>) -> Result<()> {
        self.github.discover().await?;
        let config = self.config_repositories();
        // Repositories that the App can no longer access are dropped.
        locked(&self.cache.repositories.bases).retain(|repo, _| config.contains(repo));
        for repo in &config {
            self.cache.bases.read_whole(repo);
            self.read_again(repo);
        }
        Ok(())
    }

    /// Lists the installations again that could not be listed; what is new is read.
    pub async fn list_again(self: &Arc<Self>) {
        let known = self.config_repositories();
        if let Err(error) = self.github.discover().await {
            tracing::warn!(%error, "the repositories cannot be listed");
            return;
        }
        for repo in self.config_repositories() {
            if !known.contains(&repo) {
                self.read_again(&repo);
            }
        }
    }

    /// The config repositories that the App is installed on.
    fn config_repositories(&self) -> Vec<RepoName> {
        let mut all = self.github.repositories();
        all.retain(|repo| self.is_config(repo));
        all
    }

    /// Looks whether a webhook was lost: one read of each config repository, if nothing changed.
    pub fn compare_all(&self) {
        locked(&self.cache.applications.last_reported).clear();
        // A right may have been granted meanwhile.
        self.environment
            .clusters
            .values()
            .for_each(|cluster| cluster.index.retry_refused());
        for base in self.bases() {
            self.read_again(&base.repo.name);
        }
    }

    /// A repository is fetched, and everything of it is reconciled.
    fn read_again(&self, repo: &RepoName) {
        self.touch(repo);
        self.emit(&Event::Repository(repo.clone()));
    }

    /// Reads the bases once, before the first image event or webhook is taken.
    pub async fn read_bases(self: &Arc<Self>) {
        for repo in self.config_repositories() {
            if let Err(error) = self.base(&repo, Instant::now()).await {
                tracing::warn!(%repo, %error, "a repository could not be read");
            }
        }
    }

    /// Processes a hint.
    pub fn process_hint(&self, hint: Hint) {
        match hint.with_names(|name| self.github.name_in_settings(name)) {
            Hint::PullRequest { key, fact } if self.is_config(&key.repo) => {
                let snapshots = &self.cache.pulls.snapshots;
                snapshots.touch(&key);
                if fact == Some(PullFact::Dequeued) {
                    pull_request::dequeued(self, &key);
                } else {
                    pull_request::heard(self, &key);
                    fact.into_iter()
                        .for_each(|fact| snapshots.expect(&key, fact));
                }
                self.emit(&Event::PullRequest(key));
            }
            Hint::Branch {
                repo,
                branch,
                at_least,
            } if self.is_config(&repo) => self.branch_moved(repo, branch, at_least),
            Hint::Checks { repo, commit } => {
                for key in self.cache.pulls.snapshots.with_head(&repo, &commit) {
                    pull_request::heard(self, &key);
                    self.emit(&Event::PullRequest(key));
                }
            }
            Hint::Rerequested { repo, commit } => {
                for key in self.cache.pulls.snapshots.with_head(&repo, &commit) {
                    self.cache.pulls.previews.invalidate(&key);
                    self.cache.pulls.snapshots.touch(&key);
                    self.emit(&Event::PullRequest(key));
                }
            }
            Hint::Installations => {
                // Permissions may have been granted, which only new tokens have.
                self.github.forget_sessions();
                self.github.repositories_changed.notify_one();
            }
            Hint::MergeGroup(group) if self.is_config(&group.repo) => {
                self.emit(&Event::MergeGroup(group));
            }
            Hint::PullRequest { .. } | Hint::Branch { .. } | Hint::MergeGroup(_) => {}
        }
    }

    fn branch_moved(&self, repo: RepoName, branch: String, at_least: Option<CommitSha>) {
        let Ok(repository) = self.github.repository(&repo) else {
            self.github.repositories_changed.notify_one();
            return;
        };
        self.touch(&repo);
        if branch != repository.default_branch {
            self.emit(&Event::Branch { repo, branch });
            return;
        }
        if let Some(commit) = at_least {
            self.cache.bases.expect(&repo, commit);
        }
        self.emit(&Event::Repository(repo));
    }

    /// Processes a watch event. The reconcile finds out whether there is anything to do, which
    /// costs no request.
    pub fn on_watch_event(&self, event: WatchEvent) {
        match event {
            WatchEvent::Object(owner) => self.emit(&Event::Object { owner }),
            WatchEvent::Application(key) => self.emit(&Event::Application(key)),
            WatchEvent::Promotion(key) => self.emit(&Event::Promotion(key)),
            WatchEvent::Reconciler { cluster, object } => {
                self.emit(&Event::Reconciler { cluster, object })
            }
            WatchEvent::Freeze(freeze) => {
                for base in self.bases() {
                    if freeze.is_of(&base.repo.name, base.repo.id) {
                        self.emit(&Event::Freezes(base.repo.name.clone()));
                    }
                }
            }
        }
    }
}
