//! The installations of the App: on which accounts, and on which of their repositories.

use std::collections::BTreeMap;

use super::{Repository, State, Token, UserKind};

/// The App, installed on an account.
#[derive(Clone)]
pub struct Installation {
    pub id: u64,
    /// None: the first organisation, and every repository whose account has no installation of its
    /// own. So is the one that there is from the start.
    pub account: Option<String>,
    /// The ids of the repositories that were chosen; None: all of the account's.
    pub selected: Option<Vec<u64>>,
    pub suspended: bool,
    /// Whether the account has an IP allow list that the App's address is not on.
    pub ip_refused: bool,
    /// Those that the account accepted; None: the App's.
    pub permissions: Option<BTreeMap<String, String>>,
}

impl Installation {
    pub fn new(id: u64, account: Option<&str>) -> Self {
        Self {
            id,
            account: account.map(str::to_string),
            selected: None,
            suspended: false,
            ip_refused: false,
            permissions: None,
        }
    }
}

impl State {
    pub fn installation(&self, id: u64) -> Option<&Installation> {
        self.installations.iter().find(|one| one.id == id)
    }

    pub fn installation_mut(&mut self, id: u64) -> Option<&mut Installation> {
        self.installations.iter_mut().find(|one| one.id == id)
    }

    /// The installation that reaches a repository.
    pub fn installation_of(&self, repo: &Repository) -> Option<&Installation> {
        self.installations
            .iter()
            .find(|one| self.reaches(one, repo))
    }

    /// Whether an installation reaches a repository.
    pub fn reaches(&self, installation: &Installation, repo: &Repository) -> bool {
        let owns = match &installation.account {
            Some(account) => account.eq_ignore_ascii_case(&repo.owner),
            None => !self.installations.iter().any(|other| {
                let account = other.account.as_ref();
                account.is_some_and(|account| account.eq_ignore_ascii_case(&repo.owner))
            }),
        };
        owns && installation
            .selected
            .as_ref()
            .is_none_or(|selected| selected.contains(&repo.id))
    }

    /// The login of the account that an installation is on.
    pub fn account(&self, installation: &Installation) -> String {
        let taken = |login: &str| {
            self.installations
                .iter()
                .any(|other| other.account.as_deref() == Some(login))
        };
        let first = || {
            let organisation = self
                .users
                .values()
                .find(|user| user.kind == UserKind::Organization && !taken(&user.login));
            organisation.map_or("acme".into(), |user| user.login.clone())
        };
        installation.account.clone().unwrap_or_else(first)
    }

    /// The permissions of an installation.
    pub fn accepted(&self, installation: &Installation) -> BTreeMap<String, String> {
        let own = installation.permissions.as_ref();
        own.unwrap_or(&self.app.permissions).clone()
    }

    /// What a token of an installation reaches; None: everything.
    pub(in crate::sandbox::forge) fn reach(
        &self,
        installation: &Installation,
        asked: Option<&Vec<u64>>,
    ) -> Option<Vec<u64>> {
        let alone = self.installations.len() == 1 && installation.account.is_none();
        if alone && installation.selected.is_none() {
            return asked.cloned();
        }
        let reached = self.repositories.iter().filter(|repo| {
            self.reaches(installation, repo) && asked.is_none_or(|asked| asked.contains(&repo.id))
        });
        Some(reached.map(|repo| repo.id).collect())
    }

    /// Ends an installation, and its tokens with it.
    pub fn remove_installation(&mut self, id: u64) -> Option<Installation> {
        let at = self.installations.iter().position(|one| one.id == id)?;
        self.tokens.retain(
            |_, token| !matches!(token, Token::Installation { installation, .. } if *installation == id),
        );
        Some(self.installations.remove(at))
    }
}
