//! Where the App is installed, and what others do: what stories do that no request of the App does.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Forge;
use super::json::{node_id, selection};
use super::state::{CheckRun, Delivery, Installation, Repository, UserKind, now, random_hex};

impl Forge {
    /// Installs the App on one more account, on all of its repositories or on chosen ones, by full
    /// name; the installation's id.
    pub fn install(&self, account: &str, selected: Option<&[&str]>) -> anyhow::Result<u64> {
        let mut state = self.state();
        if !state.users.contains_key(account) {
            state.add_user(account, UserKind::Organization);
        }
        let mut installation = Installation::new(state.new_id(), Some(account));
        if let Some(names) = selected {
            let ids = names.iter().map(|name| {
                let repo = state.by_full_name(name);
                repo.map(|repo| repo.id).context("a repository")
            });
            installation.selected = Some(ids.collect::<anyhow::Result<_>>()?);
        }
        state.installations.push(installation.clone());
        let reached = state.repositories.iter();
        let reached = reached.filter(|repo| state.reaches(&installation, repo));
        let repositories: Vec<_> = reached.map(brief).collect();
        self.inner.announce_installation(
            &mut state,
            &installation,
            "installation",
            "created",
            json!({"repositories": repositories}),
        );
        Ok(installation.id)
    }

    /// Takes the App off an account: its tokens are refused from now on.
    pub fn uninstall(&self, id: u64) -> anyhow::Result<()> {
        let mut state = self.state();
        let installation = state.installation(id).context("an installation")?.clone();
        self.inner.announce_installation(
            &mut state,
            &installation,
            "installation",
            "deleted",
            json!({}),
        );
        state.remove_installation(id);
        Ok(())
    }

    /// Suspends an installation, or takes that back.
    pub fn suspend(&self, id: u64, suspended: bool) -> anyhow::Result<()> {
        let mut state = self.state();
        let installation = state.installation_mut(id).context("an installation")?;
        installation.suspended = suspended;
        let installation = installation.clone();
        let action = if suspended { "suspend" } else { "unsuspend" };
        self.inner.announce_installation(
            &mut state,
            &installation,
            "installation",
            action,
            json!({}),
        );
        Ok(())
    }

    /// Adds a repository to those that an installation has, or takes it away. One that had all of
    /// its account's has chosen ones afterwards.
    pub fn grant(&self, id: u64, full_name: &str, granted: bool) -> anyhow::Result<()> {
        let mut state = self.state();
        let installation = state.installation(id).context("an installation")?.clone();
        let repo = state.by_full_name(full_name).context("a repository")?;
        let (repo, told) = (repo.id, brief(repo));
        let reached = state.repositories.iter();
        let reached = reached.filter(|repo| state.reaches(&installation, repo));
        let mut selected: Vec<_> = reached.map(|repo| repo.id).collect();
        selected.retain(|one| *one != repo);
        if granted {
            selected.push(repo);
        }
        let mut after = installation;
        after.selected = Some(selected);
        if let Some(one) = state.installation_mut(id) {
            *one = after.clone();
        }
        let (action, added, removed) = if granted {
            ("added", json!([told]), json!([]))
        } else {
            ("removed", json!([]), json!([told]))
        };
        let more = json!({"repositories_added": added, "repositories_removed": removed,
            "repository_selection": selection(&after), "requester": null});
        self.inner.announce_installation(
            &mut state,
            &after,
            "installation_repositories",
            action,
            more,
        );
        Ok(())
    }

    /// A check run of another App, such as `github-actions`; its id. Without a conclusion it runs
    /// still.
    pub fn foreign_check(
        &self,
        full_name: &str,
        app: &str,
        name: &str,
        sha: &str,
        conclusion: Option<&str>,
    ) -> anyhow::Result<u64> {
        let mut state = self.state();
        let id = state.new_id();
        let repo = state.by_full_name_mut(full_name).context("a repository")?;
        let (repository, owner) = (repo.id, repo.owner.clone());
        repo.checks.push(CheckRun {
            id,
            app: Some(app.into()),
            name: name.into(),
            sha: sha.into(),
            status: if conclusion.is_some() {
                "completed"
            } else {
                "in_progress"
            }
            .into(),
            conclusion: conclusion.map(str::to_string),
            external_id: String::new(),
            details_url: None,
            started_at: now(),
            completed_at: conclusion.map(|_| now()),
            title: None,
            summary: None,
            text: None,
            annotations: vec![],
        });
        self.inner
            .announce_check(&mut state, repository, id, "created", &owner);
        Ok(id)
    }

    /// So many deliveries of others' events in the log, all of which went well.
    pub fn noise(&self, deliveries: usize) {
        let mut state = self.state();
        for _ in 0..deliveries {
            let (id, installation) = (state.new_id(), state.app.installation);
            state.deliveries.push(Delivery {
                id,
                guid: random_hex(32),
                event: "check_run".into(),
                action: Some("completed".into()),
                installation: Some(installation),
                repository: None,
                payload: json!({"action": "completed"}),
                delivered_at: now(),
                redelivery: false,
                duration: 1,
                status_code: Some(200),
            });
        }
    }
}

/// A repository as events about installations tell it.
fn brief(repo: &Repository) -> Value {
    json!({"id": repo.id, "node_id": node_id("Repository", repo.id), "name": repo.name, "full_name": repo.full_name(), "private": true})
}
