//! Repositories and branches under new names, and archived ones: what stories do in the settings.
//!
//! Old names go on working: REST redirects to the repository by its id, git's transport to the new
//! path (docs.github.com/repositories/creating-and-managing-repositories/renaming-a-repository).

use anyhow::Context as _;
use serde_json::{Value, json};

use super::git::{git, resolve};
use super::json::node_id;
use super::state::{Repository, State, UserKind};
use super::{Forge, Inner};

impl Forge {
    /// Gives a repository another name; its new full name.
    pub fn rename(&self, full_name: &str, new_name: &str) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let id = self.inner.relocate(full_name, owner, new_name)?;
        let changes = json!({"changes": {"repository": {"name": {"from": name}}}});
        let mut state = self.state();
        self.inner.announce(
            &mut state,
            id,
            "repository",
            Some("renamed"),
            owner,
            changes,
        );
        Ok(format!("{owner}/{new_name}"))
    }

    /// Gives a repository to another account; its new full name. The App is told where it is
    /// installed on the new account.
    pub fn transfer(&self, full_name: &str, new_owner: &str) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        if !self.state().users.contains_key(new_owner) {
            self.state().add_user(new_owner, UserKind::Organization);
        }
        let id = self.inner.relocate(full_name, new_owner, name)?;
        let mut state = self.state();
        let from = self.inner.owner_before(&state, owner);
        let changes = json!({"changes": {"owner": {"from": from}}});
        self.inner.announce(
            &mut state,
            id,
            "repository",
            Some("transferred"),
            new_owner,
            changes,
        );
        Ok(format!("{new_owner}/{name}"))
    }

    /// Gives an organisation another name: its repositories follow, and the App is told where it is
    /// installed (`installation_target`).
    pub fn rename_organisation(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let owned = |repo: &&Repository| repo.owner == from;
        let owned: Vec<_> = self
            .state()
            .repositories
            .iter()
            .filter(owned)
            .map(|repo| (repo.full_name(), repo.name.clone()))
            .collect();
        for (full_name, name) in owned {
            self.inner.relocate(&full_name, to, &name)?;
        }
        let mut state = self.state();
        let mut organisation = state.users.remove(from).context("an organisation")?;
        organisation.login = to.into();
        state.users.insert(to.into(), organisation);
        let teams = std::mem::take(&mut state.teams).into_iter();
        let renamed = |owner: String| if owner == from { to.into() } else { owner };
        state.teams = teams
            .map(|((owner, team), members)| ((renamed(owner), team), members))
            .collect();
        for installation in &mut state.installations {
            installation.account = installation.account.take().map(renamed);
        }
        let reached = state.installations.iter();
        let reached: Vec<_> = reached
            .filter(|one| state.account(one) == to)
            .cloned()
            .collect();
        for installation in reached {
            let account = self.inner.shapes(&state).user(to);
            let changes = json!({"login": {"from": from}});
            let node = node_id("Integration", installation.id);
            let simple = json!({"id": installation.id, "node_id": node});
            let more = json!({"account": account, "changes": changes, "target_type": "Organization", "installation": simple});
            self.inner.announce_installation(
                &mut state,
                &installation,
                "installation_target",
                "renamed",
                more,
            );
        }
        Ok(())
    }

    /// Archives a repository, or takes it back.
    pub fn archive(&self, full_name: &str, archived: bool) -> anyhow::Result<()> {
        let mut state = self.state();
        let repo = state.by_full_name_mut(full_name).context("a repository")?;
        repo.archived = archived;
        let (id, owner) = (repo.id, repo.owner.clone());
        let action = if archived { "archived" } else { "unarchived" };
        self.inner.announce(
            &mut state,
            id,
            "repository",
            Some(action),
            &owner,
            json!({}),
        );
        Ok(())
    }

    /// Gives a branch another name: the rules and the open pull requests into it follow, and the
    /// default branch stays the default.
    pub fn rename_branch(&self, full_name: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let path = self.repository_path(owner, name);
        let sha = resolve(&path, &format!("refs/heads/{from}")).context("a branch")?;
        git(&path, &["branch", "--move", from, to])?;
        let ref_event =
            |name: &str| json!({"ref": name, "ref_type": "branch", "pusher_type": "user"});
        let mut created = ref_event(to);
        created["master_branch"] = from.into();
        created["description"] = Value::Null;
        let id = self.state().by_full_name(full_name).context("it")?.id;
        self.inner
            .announce(&mut self.state(), id, "create", None, owner, created);
        self.inner.moved(full_name, to, None, Some(&sha), owner);
        self.inner.retarget(id, from, to, owner);
        self.inner.announce(
            &mut self.state(),
            id,
            "delete",
            None,
            owner,
            ref_event(from),
        );
        self.inner.moved(full_name, from, Some(&sha), None, owner);
        Ok(())
    }
}

impl Inner {
    /// Moves a repository to another full name; its id.
    fn relocate(&self, full_name: &str, owner: &str, name: &str) -> anyhow::Result<u64> {
        let (old_owner, old_name) = full_name.split_once('/').context("owner/name")?;
        let mut state = self.state();
        anyhow::ensure!(
            state.repository(owner, name).is_none(),
            "name already exists on this account"
        );
        let (from, to) = (
            self.repository_path(old_owner, old_name),
            self.repository_path(owner, name),
        );
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::rename(from, to)?;
        let repo = state.by_full_name_mut(full_name).context("a repository")?;
        repo.owner = owner.into();
        repo.name = name.into();
        let id = repo.id;
        state.moved.push((full_name.into(), id));
        Ok(id)
    }

    /// The rules and the open pull requests of a branch follow its new name.
    fn retarget(&self, id: u64, from: &str, to: &str, sender: &str) {
        let mut state = self.state();
        let Some(repo) = state.repository_mut(id) else {
            return;
        };
        let is_default = repo.default_branch == from;
        if is_default {
            repo.default_branch = to.into();
        }
        for rule in repo.rules.iter_mut().filter(|rule| rule.branch == from) {
            rule.branch = to.into();
        }
        let mut retargeted = Vec::new();
        for pull in repo.pulls.iter_mut().filter(|pull| pull.open) {
            if pull.base.branch == from {
                pull.base.branch = to.into();
                retargeted.push((pull.number, pull.base.sha.clone()));
            }
        }
        if is_default {
            let changes = json!({"changes": {"default_branch": {"from": from}}});
            self.announce(
                &mut state,
                id,
                "repository",
                Some("edited"),
                sender,
                changes,
            );
        }
        for (number, sha) in retargeted {
            let changes =
                json!({"changes": {"base": {"ref": {"from": from}, "sha": {"from": sha}}}});
            self.announce_pull(&mut state, id, number, "edited", sender, changes);
        }
    }

    /// The account that a repository was transferred from, as the event tells it.
    fn owner_before(&self, state: &State, login: &str) -> Value {
        let user = self.shapes(state).user(login);
        if user["type"] != "Organization" {
            return json!({"user": user});
        }
        let url = format!("{}/api/v3/orgs/{login}", self.origin());
        let sub = |path: &str| format!("{url}/{path}");
        json!({"organization": {
            "login": login, "id": user["id"], "node_id": node_id("Organization", user["id"].as_u64().unwrap_or_default()), "url": url,
            "repos_url": sub("repos"), "events_url": sub("events"), "hooks_url": sub("hooks"), "issues_url": sub("issues"),
            "members_url": sub("members{/member}"), "public_members_url": sub("public_members{/member}"),
            "avatar_url": user["avatar_url"], "description": null,
        }})
    }
}
