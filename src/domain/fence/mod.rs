//! How far a config repository reaches: which clusters, namespaces and kinds.
//!
//! The server's settings say it, never a file that somebody can push. An
//! application's objects live in its destination namespace. Other namespaces,
//! cluster-scoped kinds and kinds that give rights need a grant of the
//! repository's [`Project`]; windlass's own namespace and `kube-*` are never
//! touched. A [`Fence`] is asked before any request about an object is sent,
//! so its answer is the same whether the object exists or not.
//!
//! `project`: who may go where, of all repositories. `pattern`: how settings name
//! places and kinds. `settings`: the file that `--projects` names. `outside`: why an
//! object is not the application's to have.

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

/// What one application may touch.
#[derive(Debug, Clone)]
pub struct Fence {
    destination: Destination,
    /// None: nothing limits it.
    limits: Option<Limits>,
}

#[derive(Debug, Clone)]
struct Limits {
    /// None: no project takes it there.
    project: Option<Project>,
    home: Option<String>,
    /// Where other projects' service accounts are: whoever may run a pod there has them.
    others: Vec<String>,
}

/// The API group of windlass's own kinds.
const OWN_GROUP: &str = "windlass.dev";

/// Groups and kinds by which whoever writes one acts with rights that are not his own: RBAC, and controllers that apply
/// what an object of theirs says with rights of their own.
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
        }
    }

    /// Whose rights a sync has.
    pub fn service_account(&self) -> Option<&ServiceAccount> {
        self.limits
            .as_ref()?
            .project
            .as_ref()?
            .service_account
            .as_ref()
    }

    /// Whether the application may be where it is at all.
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

    /// Whether an object is the application's to have, by its name; its namespace is settled.
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
        // A Namespace is as good as what is in it.
        let place = if is_namespace {
            Some(&key.name)
        } else {
            key.namespace.as_ref()
        };
        if let Some(namespace) = place {
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
        let gives_rights = GIVE_RIGHTS
            .iter()
            .any(|(group, kind)| key.group == *group && (*kind == "*" || key.kind == *kind));
        let beyond = key.namespace.is_none() && !(is_namespace && key.name == *own);
        if gives_rights || beyond {
            self.granted(&kind_name(key))
        } else {
            Ok(())
        }
    }

    /// The same, and what the object says.
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

    /// Whether what would become of a live object is the application's to decide: security labels that go are as good as
    /// security labels that come.
    pub fn judge_effect(
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

/// Labels by which admission controllers judge what may run in a namespace: those of Pod Security, and what exempts from
/// OpenShift's, Gatekeeper's and Kyverno's.
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
