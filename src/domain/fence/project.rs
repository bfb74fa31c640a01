//! Projects: which repositories may go where, and with whose rights.

use std::fmt;
use std::str::FromStr;

use super::pattern::{KindGrant, Pattern, any_matches};
use super::{Fence, Limits};
use crate::domain::catalog::Destination;
use crate::domain::manifest::{is_label, is_subdomain};
use crate::domain::{Invalid, RepoName};

/// All projects of a server.
#[derive(Debug, Clone, Default)]
pub struct Projects {
    projects: Vec<Project>,
    /// Windlass's own namespace.
    home: Option<String>,
}

/// What some config repositories may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub repositories: Vec<RepoName>,
    /// Clusters and namespaces that applications may go to.
    pub clusters: Vec<Pattern>,
    pub namespaces: Vec<Pattern>,
    /// Namespaces that any application of the project may put objects into besides its own.
    pub other_namespaces: Vec<Pattern>,
    /// Cluster-scoped kinds and kinds that give rights.
    pub kinds: Vec<KindGrant>,
    /// Whose rights a sync has: `namespace/name` of a service account, in each cluster.
    pub service_account: Option<ServiceAccount>,
}

/// `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAccount {
    pub namespace: String,
    pub name: String,
}

impl Projects {
    /// `home`: windlass's own namespace.
    pub fn new(projects: Vec<Project>, home: &str) -> Self {
        Self {
            projects,
            home: Some(home.into()),
        }
    }

    /// Two projects of different repositories that may go to the same namespaces: each would have what is the other's.
    pub fn overlap(&self) -> Option<(&Project, &Project)> {
        let all = self.projects.iter().enumerate();
        all.flat_map(|(at, one)| {
            self.projects[at + 1..]
                .iter()
                .map(move |other| (one, other))
        })
        .find(|(one, other)| {
            let shares =
                |a: &[Pattern], b: &[Pattern]| a.iter().any(|a| b.iter().any(|b| a.meets(b)));
            one.repositories.iter().any(|repo| !other.takes(repo))
                && shares(&one.clusters, &other.clusters)
                && shares(&one.namespaces, &other.namespaces)
        })
    }

    pub fn projects(&self) -> &[Project] {
        &self.projects
    }

    /// Whether a repository steers clusters at all.
    pub fn names(&self, repo: &RepoName) -> bool {
        self.projects.iter().any(|project| project.takes(repo))
    }

    /// What an application of a repository may touch at its destination.
    pub fn fence(&self, repo: &RepoName, destination: &Destination) -> Fence {
        let fits = |project: &&Project| {
            project.takes(repo)
                && any_matches(&project.clusters, &destination.cluster)
                && any_matches(&project.namespaces, &destination.namespace)
        };
        let project = self.projects.iter().find(fits).cloned();
        let own = project.as_ref().map(|project| project.name.as_str());
        let others = self
            .projects
            .iter()
            .filter(|other| Some(other.name.as_str()) != own);
        let others = others
            .filter_map(|other| Some(other.service_account.as_ref()?.namespace.clone()))
            .collect();
        Fence {
            destination: destination.clone(),
            limits: Some(Limits {
                project,
                home: self.home.clone(),
                others,
            }),
        }
    }
}

impl Project {
    /// What a repository may do of which nothing more is said: everything inside the namespaces of its applications.
    pub fn of_one_team(repositories: Vec<RepoName>) -> Self {
        Self {
            name: "default".into(),
            repositories,
            clusters: vec![Pattern::any()],
            namespaces: vec![Pattern::any()],
            other_namespaces: vec![],
            kinds: vec![],
            service_account: None,
        }
    }

    /// GitHub tells names apart by their letters, not by their case.
    fn takes(&self, repo: &RepoName) -> bool {
        self.repositories.iter().any(|known| {
            known.owner.eq_ignore_ascii_case(&repo.owner)
                && known.name.eq_ignore_ascii_case(&repo.name)
        })
    }
}

impl ServiceAccount {
    /// The user name that Kubernetes knows it by.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceAccount {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fail = || {
            Invalid(format!(
                "`{text}` is not a service account: write it as namespace/name"
            ))
        };
        let (namespace, name) = text.split_once('/').ok_or_else(fail)?;
        if is_label(namespace) && is_subdomain(name) {
            Ok(Self {
                namespace: namespace.into(),
                name: name.into(),
            })
        } else {
            Err(fail())
        }
    }
}
