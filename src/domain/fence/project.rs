//! Projects: the destinations that repositories may deploy to, and the service account that they
//! use.

use std::fmt;
use std::path::PathBuf;
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

/// What a set of config repositories may manage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub repositories: Vec<RepoName>,
    /// The clusters and namespaces that applications may be deployed to.
    pub clusters: Vec<Pattern>,
    pub namespaces: Vec<Pattern>,
    /// Further namespaces in which every application of the project may have objects.
    pub other_namespaces: Vec<Pattern>,
    /// Granted cluster-scoped kinds, and kinds that give rights.
    pub kinds: Vec<KindGrant>,
    /// The service account that a sync impersonates in each cluster.
    pub service_account: Option<ServiceAccount>,
    /// The file of the age keys that decrypt its Secrets.
    pub age_keys: Option<PathBuf>,
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

    /// Two projects of different repositories that share a namespace: each could change the other's
    /// objects.
    pub fn overlap(&self) -> Option<(&Project, &Project)> {
        let all = self.projects.iter().enumerate();
        all.flat_map(|(at, project)| {
            self.projects[at + 1..]
                .iter()
                .map(move |other| (project, other))
        })
        .find(|(project, other)| {
            let shares =
                |a: &[Pattern], b: &[Pattern]| a.iter().any(|a| b.iter().any(|b| a.meets(b)));
            project
                .repositories
                .iter()
                .any(|repo| !other.includes(repo))
                && shares(&project.clusters, &other.clusters)
                && shares(&project.namespaces, &other.namespaces)
        })
    }

    pub fn projects(&self) -> &[Project] {
        &self.projects
    }

    /// Whether a repository is a config repository: some project includes it.
    /// The names of all config repositories.
    pub fn repositories(&self) -> impl Iterator<Item = &RepoName> {
        self.projects
            .iter()
            .flat_map(|project| &project.repositories)
    }

    pub fn names(&self, repo: &RepoName) -> bool {
        self.projects.iter().any(|project| project.includes(repo))
    }

    /// Whether a repository may deploy to a cluster.
    pub fn grant(&self, repo: &RepoName, cluster: &str) -> bool {
        let mut projects = self.projects.iter();
        projects.any(|project| project.includes(repo) && any_matches(&project.clusters, cluster))
    }

    /// What an application of a repository may manage at its destination.
    pub fn fence(&self, repo: &RepoName, destination: &Destination) -> Fence {
        let fits = |project: &&Project| {
            project.includes(repo)
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
            only_previews: false,
            limits: Some(Limits {
                project,
                home: self.home.clone(),
                others,
            }),
        }
    }
}

impl Project {
    /// The default project: its repositories may manage everything inside the namespaces of their
    /// applications.
    pub fn of_one_team(repositories: Vec<RepoName>) -> Self {
        Self {
            name: "default".into(),
            repositories,
            clusters: vec![Pattern::any()],
            namespaces: vec![Pattern::any()],
            other_namespaces: vec![],
            kinds: vec![],
            service_account: None,
            age_keys: None,
        }
    }

    /// Whether the project includes a repository. GitHub's names are case-insensitive.
    fn includes(&self, repo: &RepoName) -> bool {
        self.repositories.iter().any(|known| {
            known.owner.eq_ignore_ascii_case(&repo.owner)
                && known.name.eq_ignore_ascii_case(&repo.name)
        })
    }
}

impl ServiceAccount {
    /// Its user name in Kubernetes.
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
