//! Who looks at the page, and what of it they may see.
//!
//! Without a sign-in it is served at the private address alone, and whoever reaches that sees
//! everything. With one it is served at the public address too, and each person sees the config
//! repositories that they may read on GitHub; of a public one, which everybody may read, those who may
//! write to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::Writer;
use crate::domain::activity::Subject;
use crate::domain::command::Permission;
use crate::domain::fence::Projects;
use crate::domain::{PullRequestKey, RepoName};
use crate::github::Error;

/// Who looks at a page.
#[derive(Clone)]
pub enum Viewer {
    /// Whoever reaches the private address.
    Anybody,
    /// Somebody who signed in.
    Person(Arc<Person>),
}

/// Somebody who signed in.
pub struct Person {
    pub(super) login: String,
    /// The config repositories that they may see.
    pub(super) sees: BTreeSet<RepoName>,
    sees_all: bool,
    /// None of GitHub's answers is missing.
    pub(super) is_certain: bool,
}

impl Viewer {
    pub fn sees(&self, repo: &RepoName) -> bool {
        match self {
            Self::Anybody => true,
            Self::Person(person) => person.sees.contains(repo),
        }
    }

    /// Whether they may see what is of no repository.
    pub fn sees_all(&self) -> bool {
        match self {
            Self::Anybody => true,
            Self::Person(person) => person.sees_all,
        }
    }

    pub fn sees_subject(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Application(key) => self.sees(&key.repo),
            Subject::PullRequest(PullRequestKey { repo, .. }) => self.sees(repo),
        }
    }

    pub fn login(&self) -> Option<&str> {
        match self {
            Self::Anybody => None,
            Self::Person(person) => Some(&person.login),
        }
    }
}

impl Person {
    /// A repository that GitHub says nothing of now, they do not see.
    pub(super) async fn read(ctx: &Writer, login: &str) -> Self {
        let projects = ctx.environment.projects.iter();
        let all: BTreeSet<_> = projects.flat_map(Projects::repositories).collect();
        let (mut sees, mut is_certain) = (BTreeSet::new(), true);
        for repo in &all {
            match may_see(ctx, repo, login).await {
                Ok(true) => drop(sees.insert((*repo).clone())),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%repo, %error, "it is not known who may see a config repository");
                    is_certain = false;
                }
            }
        }
        Self {
            login: login.into(),
            sees_all: !sees.is_empty() && sees.len() == all.len(),
            sees,
            is_certain,
        }
    }
}

async fn may_see(ctx: &Writer, repo: &RepoName, login: &str) -> Result<bool, Error> {
    let needed = match ctx.github.repository(repo)?.private {
        true => Permission::Read,
        false => Permission::Write,
    };
    Ok(ctx.github.permission(repo, login).await? >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_their_repositories_alone() {
        let [theirs, other]: [RepoName; 2] = ["a/b", "a/c"].map(|name| name.parse().unwrap());
        let person = Viewer::Person(Arc::new(Person {
            login: "rita".into(),
            sees: BTreeSet::from([theirs.clone()]),
            sees_all: false,
            is_certain: true,
        }));
        let pull = |repo: &RepoName| {
            Subject::PullRequest(PullRequestKey {
                repo: repo.clone(),
                number: 1,
            })
        };
        assert!(person.sees(&theirs) && person.sees_subject(&pull(&theirs)));
        assert!(!person.sees(&other) && !person.sees_subject(&pull(&other)));
        assert!(!person.sees_all() && Viewer::Anybody.sees_all() && Viewer::Anybody.sees(&other));
    }
}
