//! Why an object is not allowed, and who can change that.

use std::fmt;

use crate::domain::catalog::Destination;

/// Why an object is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// No project allows this repository this destination.
    Destination(Destination),
    /// The namespace is windlass's own or belongs to Kubernetes.
    Closed { namespace: String },
    /// The namespace is not the application's.
    Namespace {
        namespace: String,
        own: String,
        project: String,
    },
    /// The kind needs this grant.
    Kind { grant: String, project: String },
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(Destination { cluster, namespace }) => write!(
                f,
                "the server's settings do not let this repository deploy to the namespace `{namespace}` of the cluster `{cluster}`: an administrator of windlass has to add it to `namespaces` of a project that names this repository"
            ),
            Self::Closed { namespace } => {
                write!(
                    f,
                    "nothing is ever deployed to the namespace `{namespace}`: it belongs to Kubernetes or to windlass"
                )
            }
            Self::Namespace {
                namespace,
                own,
                project,
            } => write!(
                f,
                "an application's objects live in its own namespace, `{own}`. For `{namespace}` an administrator of windlass has to add `{namespace}` to `otherNamespaces` of the project `{project}` in the server's settings"
            ),
            Self::Kind { grant, project } => write!(
                f,
                "this kind reaches beyond the application's namespace or gives rights. An administrator of windlass has to add `{grant}` to `kinds` of the project `{project}` in the server's settings"
            ),
        }
    }
}
