//! How far a config repository reaches: which clusters, namespaces and kinds.
//!
//! The server's settings say it, never a file that somebody can push. An
//! application's objects live in its destination namespace. Other namespaces,
//! cluster-scoped kinds and kinds that give rights need a grant of the
//! repository's [`Project`]; windlass's own namespace and `kube-*` are never
//! touched. A [`Fence`] is asked before any request about an object is sent,
//! so its answer is the same whether the object exists or not.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::catalog::Destination;
use super::manifest::{Manifest, ResourceKey, is_label, is_subdomain};
use super::{Invalid, RepoName, wildcard, yaml};

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

impl std::str::FromStr for ServiceAccount {
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

/// A name in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn any() -> Self {
        Self("*".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names just one thing.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether some text matches both.
    fn meets(&self, other: &Self) -> bool {
        fn meet(a: &[u8], b: &[u8]) -> bool {
            match (a.split_first(), b.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) if meet(rest, b) => true,
                (_, Some((b'*', rest))) if meet(a, rest) => true,
                (Some((b'*', _)), Some((_, rest))) => meet(a, rest),
                (Some((_, rest)), Some((b'*', _))) => meet(rest, b),
                (Some((x, a)), Some((y, b))) => x == y && meet(a, b),
                _ => false,
            }
        }
        meet(self.0.as_bytes(), other.0.as_bytes())
    }

    pub fn matches(&self, text: &str) -> bool {
        wildcard(&self.0, text)
    }
}

fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// `Kind.group` (`Kind` alone for the core group), `*.group` for all kinds of a group, `*` for all kinds.
/// `/conversion` and `/pod-security` behind a kind grant what else is dangerous about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindGrant(String);

impl KindGrant {
    fn covers(&self, name: &str) -> bool {
        match self.0.as_str() {
            // What windlass keeps for itself is only granted by its name.
            "*" => !name.ends_with(&format!(".{OWN_GROUP}")),
            text => match text.strip_prefix("*.") {
                Some(group) => name
                    .split('/')
                    .next()
                    .and_then(|name| name.split_once('.'))
                    .is_some_and(|(_, of)| of == group),
                None => text == name,
            },
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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

/// Why windlass will have nothing to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// No project takes this repository to this place.
    Destination(Destination),
    /// windlass's own namespace, or one of Kubernetes'.
    Closed { namespace: String },
    /// Another namespace than the application's.
    Namespace {
        namespace: String,
        own: String,
        project: String,
    },
    /// A kind that needs a grant; the grant.
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
                    "nothing is ever deployed to the namespace `{namespace}`: it is Kubernetes' or windlass's own"
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
    pub fn judge(&self, manifest: &Manifest) -> Result<(), Outside> {
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

// ---- the file

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProjects {
    projects: std::collections::BTreeMap<String, RawProject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProject {
    repositories: Vec<RepoName>,
    #[serde(default = "any")]
    clusters: Vec<String>,
    #[serde(default = "any")]
    namespaces: Vec<String>,
    #[serde(default, rename = "otherNamespaces")]
    other_namespaces: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default, rename = "serviceAccount")]
    service_account: Option<String>,
}

fn any() -> Vec<String> {
    vec!["*".into()]
}

impl Project {
    /// Reads the file that `--projects` names.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Invalid> {
        let raw: RawProjects = yaml::parse(text).map_err(Invalid)?;
        raw.projects
            .into_iter()
            .map(|(name, raw)| raw.validate(name))
            .collect()
    }
}

impl RawProject {
    fn validate(self, name: String) -> Result<Project, Invalid> {
        let patterns = |field: &str, all: Vec<String>| {
            let legal = |text: &String| {
                !text.is_empty()
                    && text.bytes().all(|b| {
                        b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.*".contains(&b)
                    })
            };
            match all.iter().find(|text| !legal(text)) {
                Some(bad) => Err(Invalid(format!(
                    "project `{name}`: `{bad}` in `{field}` is neither a name nor a pattern such as `*-staging`"
                ))),
                None => Ok(all.into_iter().map(Pattern).collect()),
            }
        };
        if self.repositories.is_empty() {
            return Err(Invalid(format!("project `{name}` names no repository")));
        }
        for kind in &self.kinds {
            let start = kind.strip_prefix("*").unwrap_or(kind);
            let legal = kind == "*"
                || start
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b))
                    && !start.is_empty();
            if !legal {
                return Err(Invalid(format!(
                    "project `{name}`: `{kind}` is no kind: write `Kind`, `Kind.group`, `*.group` or `*`"
                )));
            }
        }
        Ok(Project {
            repositories: self.repositories,
            clusters: patterns("clusters", self.clusters)?,
            namespaces: patterns("namespaces", self.namespaces)?,
            other_namespaces: patterns("otherNamespaces", self.other_namespaces)?,
            kinds: self.kinds.into_iter().map(KindGrant).collect(),
            service_account: self.service_account.map(|text| text.parse()).transpose()?,
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
projects:
  shop:
    repositories: [acme/config]
    clusters: [local]
    namespaces: ['*-staging', '*-production']
    otherNamespaces: [shared]
    kinds: [CustomResourceDefinition.apiextensions.k8s.io, ClusterRole.rbac.authorization.k8s.io]
";

    fn fence(namespace: &str) -> Fence {
        let projects = Projects::new(Project::parse_all(FILE).unwrap(), "windlass");
        projects.fence(
            &"Acme/Config".parse().unwrap(),
            &Destination {
                cluster: "local".into(),
                namespace: namespace.into(),
            },
        )
    }

    fn manifest(text: &str) -> Manifest {
        Manifest::parse_all(text, "f").unwrap().remove(0)
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*-x", "a-x", true),
            ("*-x", "a-xy", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(
                Pattern(pattern.into()).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn an_application_stays_in_its_namespace() {
        let object =
            |kind: &str, more: &str| format!("apiVersion: {kind}\nmetadata: {{name: x{more}}}\n");
        let table = [
            (object("v1\nkind: ConfigMap", ", namespace: shop-staging"), ""),
            (object("v1\nkind: ConfigMap", ", namespace: shop-production"), "otherNamespaces"),
            (object("v1\nkind: ConfigMap", ", namespace: shared"), ""),
            (object("v1\nkind: Pod", ", namespace: windlass"), "own"),
            (object("v1\nkind: Pod", ", namespace: kube-system"), "own"),
            (object("windlass.dev/v1alpha1\nkind: Promotion", ", namespace: shop-staging"), "Promotion.windlass.dev"),
            (object("rbac.authorization.k8s.io/v1\nkind: RoleBinding", ", namespace: shop-staging"), "RoleBinding.rbac"),
            (object("rbac.authorization.k8s.io/v1\nkind: ClusterRole", ""), ""),
            (object("v1\nkind: PersistentVolume", ""), "`PersistentVolume`"),
            (object("kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization", ", namespace: shop-staging"), "Kustomization.kustomize"),
            ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging}".into(), ""),
            ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-production}".into(), "otherNamespaces"),
            ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shared}".into(), "`Namespace`"),
            (
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging, labels: {pod-security.kubernetes.io/enforce: privileged}}"
                    .into(),
                "Namespace/pod-security",
            ),
            (object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", ""), ""),
            (
                object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", "") + "spec: {conversion: {strategy: Webhook}}",
                "CustomResourceDefinition.apiextensions.k8s.io/conversion",
            ),
            (object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", "") + "spec: {group: windlass.dev}", "windlass.dev"),
        ];
        for (text, refusal) in table {
            match fence("shop-staging").judge(&manifest(&text)) {
                Ok(()) => assert_eq!(refusal, "", "{text}"),
                Err(why) => assert!(
                    !refusal.is_empty() && why.to_string().contains(refusal),
                    "{text}: {why}"
                ),
            }
        }
    }

    #[test]
    fn places_that_no_project_names_are_closed() {
        for (namespace, open) in [
            ("shop-staging", true),
            ("shop-dev", false),
            ("kube-system", false),
            ("windlass", false),
        ] {
            assert_eq!(fence(namespace).destination().is_ok(), open, "{namespace}");
        }
        let one = Projects::new(
            vec![Project::of_one_team(vec!["a/b".parse().unwrap()])],
            "windlass",
        );
        let fence = |repo: &str, namespace: &str| {
            one.fence(
                &repo.parse().unwrap(),
                &Destination {
                    cluster: "x".into(),
                    namespace: namespace.into(),
                },
            )
            .destination()
            .is_ok()
        };
        assert!(
            fence("a/b", "anything")
                && !fence("a/b", "kube-public")
                && !fence("a/b", "windlass")
                && !fence("a/c", "anything")
        );
    }

    #[test]
    fn security_labels_that_go_need_the_same_grant() {
        let key = manifest("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging}").key;
        let with = serde_json::json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let without = serde_json::json!({"metadata": {"labels": {"a": "b"}}});
        assert!(
            fence("shop-staging")
                .judge_effect(&key, &with, &without)
                .is_err()
        );
        assert!(
            fence("shop-staging")
                .judge_effect(&key, &with, &with)
                .is_ok()
        );
    }

    #[test]
    fn projects_of_different_repositories_do_not_meet() {
        let overlap = |one: &str, other: &str| {
            let text = format!(
                "projects:\n  a: {{repositories: [x/a], namespaces: ['{one}'], serviceAccount: a-accounts/a}}\n  b: {{repositories: [x/b], namespaces: ['{other}']}}\n"
            );
            Projects::new(Project::parse_all(&text).unwrap(), "windlass")
        };
        for (one, other, meet) in [
            ("*", "*", true),
            ("a-*", "b-*", false),
            ("a-*", "*-production", true),
            ("a", "a", true),
            ("a", "b", false),
            ("a*c", "ab*", true),
            ("*-x", "*-y", false),
        ] {
            assert_eq!(
                overlap(one, other).overlap().is_some(),
                meet,
                "{one} {other}"
            );
        }
        // Where another project's account is, whoever may run a pod is that account.
        let fence = overlap("a-*", "*").fence(
            &"x/b".parse().unwrap(),
            &Destination {
                cluster: "c".into(),
                namespace: "a-accounts".into(),
            },
        );
        assert!(matches!(fence.destination(), Err(Outside::Closed { .. })));
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        for (from, to, part) in [
            ("[acme/config]", "[]", "names no repository"),
            ("*-staging", "Staging!", "Staging!"),
            ("otherNamespaces", "others", "others"),
            ("ClusterRole.rbac", "Cluster Role", "is no kind"),
        ] {
            let Invalid(why) = Project::parse_all(&FILE.replace(from, to)).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
