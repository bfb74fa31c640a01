//! Repositories: made, forked, and pushed to as their users would.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::commits::{commit, resolve};
use super::program::git;
use super::{FileChange, Identity};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::state::{Repository, Role, State, UserKind, now};

impl State {
    /// Who a login's commits are by.
    pub fn identity(&self, login: &str) -> Identity {
        let id = self.users.get(login).map_or(0, |user| user.id);
        Identity {
            name: login.to_string(),
            email: format!("{id}+{login}@users.noreply.github.com"),
        }
    }
}

impl Inner {
    pub fn identity(&self, login: &str) -> Identity {
        self.state().identity(login)
    }

    pub fn create_repository(
        &self,
        full_name: &str,
        files: &[(String, String)],
    ) -> anyhow::Result<()> {
        self.create_repository_of("sha1", full_name, files)
    }

    /// `format`: of its object ids.
    pub fn create_repository_of(
        &self,
        format: &str,
        full_name: &str,
        files: &[(String, String)],
    ) -> anyhow::Result<()> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let path = self.repository_path(owner, name);
        std::fs::create_dir_all(&path)?;
        git(
            &path,
            &[
                "init",
                "--bare",
                "--quiet",
                "--initial-branch=main",
                // Without the samples of hooks.
                "--template=",
                &format!("--object-format={format}"),
            ],
        )?;
        for (key, value) in [
            ("http.receivepack", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("core.fsync", "none"),
            ("gc.auto", "0"),
        ] {
            git(&path, &["config", key, value])?;
        }
        let mut state = self.state();
        let (id, at) = (state.new_id(), now());
        state.add_user(owner, UserKind::Organization);
        state
            .repositories
            .push(Repository::new(id, owner, name, at));
        drop(state);
        if !files.is_empty() {
            let changes: Vec<_> = files
                .iter()
                .map(|(path, text)| FileChange {
                    path,
                    content: Some(text.as_bytes()),
                })
                .collect();
            let author = Identity {
                name: "seed".into(),
                email: "seed@example.com".into(),
            };
            let sha = commit(&path, None, &changes, "Seed", &author, &author)?;
            git(&path, &["update-ref", "refs/heads/main", &sha])?;
        }
        Ok(())
    }

    /// A fork of a repository, under a user's name, with all its branches.
    pub fn fork(&self, full_name: &str, login: &str) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let fork = format!("{login}/{name}");
        self.create_repository(&fork, &[])?;
        let from = self.repository_path(owner, name).display().to_string();
        git(
            &self.repository_path(login, name),
            &["fetch", "--quiet", &from, "+refs/heads/*:refs/heads/*"],
        )?;
        let mut state = self.state();
        let parent = state.by_full_name(full_name).map(|repo| repo.id);
        let id = state
            .by_full_name(&fork)
            .map(|repo| repo.id)
            .context("just made")?;
        if let Some(repo) = state.repository_mut(id) {
            repo.fork_of = parent;
            repo.roles.insert(login.into(), Role::Admin);
        }
        Ok(fork)
    }

    pub fn push(
        &self,
        full_name: &str,
        branch: &str,
        login: &str,
        author: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let path = self.repository_path(owner, name);
        let reference = format!("refs/heads/{branch}");
        let before = resolve(&path, &reference);
        let base = self
            .state()
            .by_full_name(full_name)
            .map_or_else(|| "main".to_string(), |repo| repo.default_branch.clone());
        let parent = before
            .clone()
            .or_else(|| resolve(&path, &format!("refs/heads/{base}")));
        let author = self.identity(author);
        let changes: Vec<_> = files
            .iter()
            .map(|(path, text)| FileChange {
                path,
                content: text.map(str::as_bytes),
            })
            .collect();
        let sha = commit(
            &path,
            parent.as_deref(),
            &changes,
            message,
            &author,
            &author,
        )?;
        let old = before.clone().unwrap_or_default();
        git(&path, &["update-ref", &reference, &sha, &old])?;
        self.moved(full_name, branch, before.as_deref(), Some(&sha), login);
        self.settle_queues();
        Ok(sha)
    }

    /// Where each branch is.
    pub(super) fn branches(&self, owner: &str, name: &str) -> BTreeMap<String, String> {
        let listing = git(
            &self.repository_path(owner, name),
            &[
                "for-each-ref",
                "--format=%(refname:lstrip=2) %(objectname)",
                "refs/heads",
            ],
        );
        listing
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.into(), b.into()))
            .collect()
    }
}
