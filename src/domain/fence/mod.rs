//! The clusters, namespaces and kinds that a config repository may manage.
//!
//! The server's settings decide that, never a file that somebody can push. An
//! application's objects live in its destination namespace. Other namespaces,
//! cluster-scoped kinds and kinds that grant rights need a grant of the
//! repository's [`Project`]. windlass's own namespace and `kube-*` are never
//! touched. The [`Fence`] is checked before any request about an object is sent,
//! so its answer does not reveal whether the object exists.
//!
//! `project`: what each repository may manage. `pattern`: patterns for clusters,
//! namespaces and kinds. `settings`: the file that `--projects` names. `outside`:
//! why an object is not allowed.

use serde_json::Value;

use super::catalog::Destination;
use super::manifest::{Manifest, ResourceKey};

mod outside;
mod pattern;
mod project;
mod settings;
#[cfg(test)]
mod tests;

use pattern::any_matches;

pub use outside::Outside;
pub use project::{Project, Projects, ServiceAccount};

/// What one application may manage.
#[derive(Debug, Clone)]
pub struct Fence {
    destination: Destination,
    /// None: no limits.
    limits: Option<Limits>,
    /// Whether another reconciler applies the objects: a preview gives nobody any rights.
    only_previews: bool,
}

#[derive(Debug, Clone)]
struct Limits {
    /// None: no project allows this destination.
    project: Option<Project>,
    home: Option<String>,
    /// The namespaces of other projects' service accounts: whoever may run a pod there can use
    /// them.
    others: Vec<String>,
}

/// The API group of windlass's own kinds.
const OWN_GROUP: &str = "windlass.dev";

/// Groups and kinds that give more rights to whoever writes them: RBAC, and objects that a
/// controller carries out with its own rights.
const GIVE_RIGHTS: [(&str, &str); 10] = [
    ("authorization.openshift.io", "*"),
    ("operators.coreos.com", "*"),
    ("rbac.authorization.k8s.io", "*"),
    ("argoproj.io", "Application"),
    ("argoproj.io", "ApplicationSet"),
    ("argoproj.io", "AppProject"),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"),
    ("helm.toolkit.fluxcd.io", "HelmRelease"),
    ("helm.cattle.io", "*"),
    (OWN_GROUP, "*"),
];

impl Fence {
    /// For `windlass plan` without the server's settings.
    pub fn open(destination: &Destination) -> Self {
        Self {
            destination: destination.clone(),
            limits: None,
            only_previews: false,
        }
    }

    /// The same for a stage that another reconciler applies.
    pub fn only_previewing(self) -> Self {
        Self {
            only_previews: true,
            ..self
        }
    }

    /// The service account that a sync impersonates.
    pub fn service_account(&self) -> Option<&ServiceAccount> {
        self.project()?.service_account.as_ref()
    }

    /// The application's project. None: none allows its destination, or there are no limits.
    pub fn project(&self) -> Option<&Project> {
        self.limits.as_ref()?.project.as_ref()
    }

    /// Whether the destination is allowed.
    pub fn destination(&self) -> Result<(), Outside> {
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let namespace = &self.destination.namespace;
        if limits.is_closed(namespace) {
            return Err(Outside::Closed {
                namespace: namespace.clone(),
            });
        }
        match &limits.project {
            Some(_) => Ok(()),
            None => Err(Outside::Destination(self.destination.clone())),
        }
    }

    /// Whether an object is allowed, by its key. The namespace is normalized already.
    pub fn covers(&self, key: &ResourceKey) -> Result<(), Outside> {
        self.destination()?;
        let Some(
            limits @ Limits {
                project: Some(project),
                ..
            },
        ) = &self.limits
        else {
            return Ok(());
        };
        let own = &self.destination.namespace;
        let is_namespace = key.is_core("Namespace");
        // A Namespace counts as being in itself.
        let namespace = if is_namespace {
            Some(&key.name)
        } else {
            key.namespace.as_ref()
        };
        if let Some(namespace) = namespace {
            if limits.is_closed(namespace) {
                return Err(Outside::Closed {
                    namespace: namespace.clone(),
                });
            }
            if namespace != own && !any_matches(&project.other_namespaces, namespace) {
                return Err(Outside::Namespace {
                    namespace: namespace.clone(),
                    own: own.clone(),
                    project: project.name.clone(),
                });
            }
        }
        let gives_rights = |(group, kind): &(&str, &str)| {
            key.group == *group && (*kind == "*" || key.kind == *kind)
        };
        let gives_rights = !self.only_previews && GIVE_RIGHTS.iter().any(gives_rights);
        let is_cluster_scoped = key.namespace.is_none() && !(is_namespace && key.name == *own);
        if gives_rights || is_cluster_scoped {
            self.granted(&kind_name(key))
        } else {
            Ok(())
        }
    }

    /// Whether an object is allowed, by its key and its content.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Outside> {
        self.covers(&manifest.key)?;
        let (key, value) = (&manifest.key, &manifest.value);
        if key.group == "apiextensions.k8s.io" {
            if value["spec"]["group"] == OWN_GROUP {
                return self.granted(&format!("CustomResourceDefinition.{OWN_GROUP}"));
            }
            if !matches!(
                value["spec"]["conversion"]["strategy"].as_str(),
                None | Some("None")
            ) {
                return self.granted(&format!("{}/conversion", kind_name(key)));
            }
        }
        if key.is_core("Namespace") && !security(value).is_empty() {
            return self.granted("Namespace/pod-security");
        }
        Ok(())
    }

    /// Whether a change of a live object is allowed: removing security labels needs a grant too.
    pub fn check_change(
        &self,
        key: &ResourceKey,
        before: &Value,
        after: &Value,
    ) -> Result<(), Outside> {
        if key.is_core("Namespace") && security(before) != security(after) {
            return self.granted("Namespace/pod-security");
        }
        Ok(())
    }

    fn granted(&self, grant: &str) -> Result<(), Outside> {
        let Some(Limits {
            project: Some(project),
            ..
        }) = &self.limits
        else {
            return Ok(());
        };
        if project.kinds.iter().any(|kind| kind.covers(grant)) {
            return Ok(());
        }
        Err(Outside::Kind {
            grant: grant.into(),
            project: project.name.clone(),
        })
    }
}

impl Limits {
    fn is_closed(&self, namespace: &str) -> bool {
        namespace.starts_with("kube-")
            || namespace.starts_with("openshift-")
            || self.home.as_deref() == Some(namespace)
            || self.others.iter().any(|other| other == namespace)
    }
}

/// `Deployment.apps`, `Secret`.
fn kind_name(key: &ResourceKey) -> String {
    if key.group.is_empty() {
        key.kind.clone()
    } else {
        format!("{}.{}", key.kind, key.group)
    }
}

/// The labels of a namespace that admission controllers decide by: those of Pod Security, and
/// exemptions from OpenShift's, Gatekeeper's and Kyverno's policies.
fn security(namespace: &Value) -> Vec<(&String, &Value)> {
    let labels = namespace["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            let prefixes = [
                "pod-security.kubernetes.io/",
                "openshift.io/",
                "security.openshift.io/",
                "admission.gatekeeper.sh/",
                "policies.kyverno.io/",
            ];
            prefixes.iter().any(|prefix| name.starts_with(prefix)) || *name == "control-plane"
        })
        .collect()
}
