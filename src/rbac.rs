//! `windlass rbac`: the roles and bindings that the server's settings need, in
//! the narrow form: in each namespace that a project names, and nowhere else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::domain::RepoName;
use crate::domain::fence::{Project, ServiceAccount};

/// `windlass rbac`
#[derive(Debug, Clone, clap::Args)]
pub struct RbacArgs {
    /// A config repository of the server's settings, as owner/name. Repeat for more
    #[arg(
        long = "config-repository",
        env = "WINDLASS_CONFIG_REPOSITORIES",
        value_delimiter = ',',
        value_name = "OWNER/NAME"
    )]
    pub config_repositories: Vec<RepoName>,

    /// File with the projects of the server's settings
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    pub projects: Option<PathBuf>,

    /// Namespace that windlass runs in
    #[arg(long, short, env = "WINDLASS_NAMESPACE", default_value = "windlass")]
    pub namespace: String,
}

/// What to print.
pub fn rbac(projects: &[Project], home: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !projects.is_empty(),
        "there is no project: give --projects or --config-repository"
    );
    Ok(manifests(projects, home))
}

fn manifests(projects: &[Project], home: &str) -> String {
    let mut out = String::from(
        "# What windlass needs for the projects of its settings, beside deploy/rbac.yaml without its ClusterRoleBindings.\n\
         # ClusterRole `windlass` says which kinds; it is bound here where the projects reach.\n\
         # windlass reads by watch across namespaces where it may, and asks object by object where it may not.\n",
    );
    let account = |name: &str| ServiceAccount {
        namespace: home.into(),
        name: name.into(),
    };
    let windlass = account("windlass");
    let readers = [windlass.clone(), account("windlass-preview")];
    let mut accounts = BTreeSet::new();
    for project in projects {
        // Whoever syncs, windlass reads what is live, and previews ask about it.
        let subjects: Vec<_> = readers
            .iter()
            .chain(&project.service_account)
            .cloned()
            .collect();
        accounts.extend(&project.service_account);
        out.push_str(&bindings_of_namespaces(project, &subjects));
        out.push_str(&role_of_kinds(project, &subjects));
    }
    for account in accounts {
        out.push_str(&impersonation(account, &windlass));
    }
    out
}

/// Binds ClusterRole `windlass` in the namespaces of a project.
fn bindings_of_namespaces(project: &Project, subjects: &[ServiceAccount]) -> String {
    let name = format!("windlass-{}", project.name);
    let reach = project.namespaces.iter().chain(&project.other_namespaces);
    let (exact, patterns): (Vec<_>, Vec<_>) = reach.partition(|pattern| pattern.is_exact());
    let mut out: String = exact
        .iter()
        .map(|namespace| {
            binding(
                "RoleBinding",
                &name,
                Some(namespace.as_str()),
                "windlass",
                subjects,
            )
        })
        .collect();
    if !patterns.is_empty() {
        let names: Vec<_> = patterns.iter().map(|pattern| pattern.as_str()).collect();
        out.push_str(&format!(
            "---\n# The project `{}` names namespaces by pattern ({}), which RBAC cannot: this binds in all of them. To have\n# Kubernetes hold the line too, name each namespace in the project.\n",
            project.name,
            names.join(", ")
        ));
        out.push_str(
            binding("ClusterRoleBinding", &name, None, "windlass", subjects)
                .trim_start_matches("---\n"),
        );
    }
    out
}

/// A ClusterRole for the kinds that a project is granted beside those, bound in the whole cluster.
fn role_of_kinds(project: &Project, subjects: &[ServiceAccount]) -> String {
    let rules: Vec<_> = project
        .kinds
        .iter()
        .filter_map(|kind| rule(kind.as_str()))
        .collect();
    if rules.is_empty() {
        return String::new();
    }
    let name = format!("windlass-{}-kinds", project.name);
    format!(
        "---\n# Cluster-scoped kinds, and kinds that give rights. To apply roles and bindings their rights must be windlass's too.\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\nrules:\n{}{}",
        rules.concat(),
        binding("ClusterRoleBinding", &name, None, &name, subjects)
    )
}

/// Lets windlass act as a project's service account.
fn impersonation(account: &ServiceAccount, windlass: &ServiceAccount) -> String {
    let name = format!("windlass-acts-as-{}", account.name);
    let role = format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {name}\n  namespace: {}\nrules:\n  - apiGroups: [\"\"]\n    resources: [serviceaccounts]\n    resourceNames: [{}]\n    verbs: [impersonate]\n",
        account.namespace, account.name
    );
    let binding = binding(
        "RoleBinding",
        &name,
        Some(&account.namespace),
        &name,
        std::slice::from_ref(windlass),
    );
    role + &binding.replace("kind: ClusterRole\n", "kind: Role\n")
}

fn binding(
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    role: &str,
    subjects: &[ServiceAccount],
) -> String {
    let namespace = namespace
        .map(|namespace| format!("  namespace: {namespace}\n"))
        .unwrap_or_default();
    let subjects: String = subjects
        .iter()
        .map(|account| {
            format!(
                "  - kind: ServiceAccount\n    name: {}\n    namespace: {}\n",
                account.name, account.namespace
            )
        })
        .collect();
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {role}\nsubjects:\n{subjects}"
    )
}

/// The rule for a granted kind; None: it names no kind of its own (`/conversion`), or all of them.
fn rule(grant: &str) -> Option<String> {
    let (kind, group) = grant.split_once('.').unwrap_or((grant, ""));
    if grant == "*" || grant.contains('/') {
        return None;
    }
    let resource = if kind == "*" {
        "\"*\"".into()
    } else {
        plural(kind)
    };
    Some(format!(
        "  - apiGroups: [\"{group}\"]\n    resources: [{resource}]\n    verbs: [get, list, watch, create, patch, delete]\n"
    ))
}

/// The resource of a kind, by Kubernetes' own habit (apimachinery, `UnsafeGuessKindToResource`).
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.as_bytes() {
        [.., b's'] => lower + "es",
        [.., b'y'] => lower[..lower.len() - 1].to_string() + "ies",
        _ => lower + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::yaml;

    #[test]
    fn namespaces_that_are_named_are_bound_one_by_one() {
        let text = "projects:\n  shop:\n    repositories: [acme/config]\n    namespaces: [shop-staging, shop-production]\n    kinds: [PriorityClass.scheduling.k8s.io, Namespace/pod-security]\n    serviceAccount: shop-deployer/shop\n  other:\n    repositories: [acme/other]\n    namespaces: ['other-*']\n";
        let printed = manifests(&Project::parse_all(text).unwrap(), "windlass");
        let documents = yaml::documents(&printed).unwrap();
        let named: Vec<_> = documents
            .iter()
            .map(|document| {
                let text = |path: &str| {
                    document
                        .pointer(path)
                        .and_then(|value| value.as_str())
                        .unwrap_or("-")
                        .to_string()
                };
                format!(
                    "{} {}/{}",
                    text("/kind"),
                    text("/metadata/namespace"),
                    text("/metadata/name")
                )
            })
            .collect();
        assert_eq!(
            named,
            [
                "ClusterRoleBinding -/windlass-other",
                "RoleBinding shop-staging/windlass-shop",
                "RoleBinding shop-production/windlass-shop",
                "ClusterRole -/windlass-shop-kinds",
                "ClusterRoleBinding -/windlass-shop-kinds",
                "Role shop-deployer/windlass-acts-as-shop",
                "RoleBinding shop-deployer/windlass-acts-as-shop",
            ]
        );
        assert!(
            printed.contains("resources: [priorityclasses]"),
            "{printed}"
        );
    }
}
