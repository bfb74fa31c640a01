//! Looks at what an installation stands on: the App, the config repositories, the clusters. For
//! `windlass doctor`, and for a server once it is ready. It only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::cache::locked;
use super::{Reader, branch_rules};
use crate::cluster::{Applied, Cluster};
use crate::domain::RepoName;
use crate::domain::catalog::LOCAL;
use crate::domain::finding::{Finding, Severity};
use crate::domain::manifest::ResourceKey;
use crate::view;

/// In so many namespaces of a cluster the rights are looked at.
const MOST_NAMESPACES: usize = 20;

/// Looks at what a server that is ready stands on, for its log and its page.
pub async fn examine(ctx: &Arc<Reader>, has_webhook: bool) {
    let findings = installation(ctx, has_webhook).await;
    for finding in &findings {
        let (what, advice) = view::finding(finding);
        match finding.severity() {
            Severity::Good => tracing::debug!("{what}"),
            Severity::Advice => tracing::info!("{what}: {advice}"),
            Severity::Bad => tracing::warn!("{what}: {advice}"),
        }
    }
    *locked(&ctx.cache.findings) = findings;
    ctx.activities.note_change();
}

impl Reader {
    /// What was found of the installation; empty until the server was ready for a while.
    pub fn findings(&self) -> Vec<Finding> {
        locked(&self.cache.findings).clone()
    }
}

async fn installation(ctx: &Arc<Reader>, has_webhook: bool) -> Vec<Finding> {
    let mut findings = app(ctx, has_webhook).await;
    let projects = ctx.environment.projects.as_ref();
    for repo in projects.into_iter().flat_map(|all| all.repositories()) {
        findings.extend(repository(ctx, repo).await);
    }
    findings.extend(clusters(ctx).await);
    findings
}

/// The App, as GitHub knows it.
pub async fn app(ctx: &Reader, has_webhook: bool) -> Vec<Finding> {
    let app = match ctx.github.app().await {
        Ok(app) => app,
        Err(error) => {
            let why = error.to_string();
            return vec![Finding::GitHubAway { why }];
        }
    };
    let (permissions, events) = app.lacks(ctx.preview_only);
    let mut findings = vec![Finding::App { login: app.login }];
    if let Some(seconds) = ctx.github.notable_clock_skew() {
        findings.push(Finding::ClockDiffers { seconds });
    }
    if !permissions.is_empty() {
        findings.push(Finding::MissingPermissions(permissions));
    }
    if !events.is_empty() && has_webhook {
        findings.push(Finding::MissingEvents(events));
    }
    findings
}

/// A config repository of the settings: whether it is read, and its branch's rules.
pub async fn repository(ctx: &Arc<Reader>, repo: &RepoName) -> Vec<Finding> {
    let repo = repo.clone();
    if ctx.github.repository(&repo).is_err() {
        return vec![Finding::NotInstalled { repo }];
    }
    let base = match ctx.known_base(&repo).await {
        Ok(base) => base,
        Err(error) => {
            let why = error.to_string();
            return vec![Finding::NotRead { repo, why }];
        }
    };
    let configuration = match &base.configuration {
        None => Finding::NoConfiguration { repo: repo.clone() },
        Some(Err(why)) => Finding::InvalidConfiguration {
            repo: repo.clone(),
            why: why.to_string(),
        },
        Some(Ok(configured)) => Finding::Configuration {
            repo: repo.clone(),
            applications: configured.targets.len(),
        },
    };
    let branch = base.repo.default_branch.clone();
    let rules = match branch_rules::require_our_gate_now(ctx, &base).await {
        _ if ctx.preview_only => None,
        Ok(true) => Some(Finding::GateRequired { repo, branch }),
        Ok(false) => Some(Finding::GateNotRequired { repo, branch }),
        Err(error) => {
            let why = error.to_string();
            Some(Finding::RulesNotRead { repo, why })
        }
    };
    std::iter::once(configuration).chain(rules).collect()
}

/// The clusters of the settings, and those that stages name.
pub async fn clusters(ctx: &Reader) -> Vec<Finding> {
    let (mut findings, mut wanted) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let bases = ctx.bases();
    let targets = bases.iter().filter_map(|base| base.configured());
    for target in targets.flat_map(|configured| &configured.targets) {
        let destination = &target.destination;
        let is_away = ctx.environment.away.contains_key(&destination.cluster);
        if !is_away && ctx.cluster(&destination.cluster).is_err() {
            findings.push(Finding::UnknownCluster {
                cluster: destination.cluster.clone(),
                application: target.title(),
            });
            continue;
        }
        let namespaces = wanted.entry(destination.cluster.clone()).or_default();
        if target.stage.reconcile.object().is_none() {
            namespaces.insert(destination.namespace.clone());
        }
    }
    for (name, why) in ctx.environment.away.iter() {
        let (cluster, why) = (name.clone(), why.clone());
        findings.push(Finding::ClusterAway { cluster, why });
    }
    for (name, cluster) in ctx.environment.clusters.iter() {
        let cluster_name = name.clone();
        if let Err(error) = cluster.uid().await {
            findings.push(Finding::ClusterAway {
                cluster: cluster_name,
                why: error.to_string(),
            });
            continue;
        }
        findings.push(Finding::Cluster {
            cluster: cluster_name,
        });
        if name == LOCAL && !ctx.preview_only {
            let serves = cluster
                .serves("windlass.dev", "v1alpha1", "Application")
                .await;
            if !serves.unwrap_or(false) {
                findings.push(Finding::NoDefinitions);
            }
        }
        let namespaces = wanted.remove(name).unwrap_or_default();
        findings.extend(dry_runs(cluster, &namespaces).await);
        if !ctx.preview_only {
            findings.extend(rights(cluster, namespaces).await);
        }
    }
    findings
}

/// Whether admission webhooks let dry-runs of what nearly every application has through. A policy
/// that refuses these very objects says nothing.
async fn dry_runs(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Vec<Finding> {
    let mut refused = Vec::new();
    for namespace in namespaces.iter().take(MOST_NAMESPACES) {
        for (group, object, plural) in [
            ("", config_map(), "ConfigMaps"),
            ("apps", deployment(), "Deployments"),
        ] {
            let key = ResourceKey {
                group: group.into(),
                kind: object["kind"].as_str().unwrap_or_default().into(),
                namespace: Some(namespace.clone()),
                name: EXAMINED.into(),
            };
            let answer = cluster.dry_run(&key, "v1", &object, "windlass", true).await;
            let Ok(Applied::Refused(refusal)) = answer else {
                continue;
            };
            let (cluster, namespace) = (cluster.name.clone(), namespace.clone());
            let (resource, why) = (plural.into(), refusal.message);
            if refusal.no_dry_run {
                refused.push(Finding::RefusesDryRuns {
                    cluster,
                    namespace,
                    resource,
                    why,
                });
            } else if refusal.no_webhook {
                refused.push(Finding::WebhookAway {
                    cluster,
                    namespace,
                    resource,
                    why,
                });
            }
        }
    }
    refused
}

/// An object that is only dry-run.
const EXAMINED: &str = "windlass-doctor";

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": EXAMINED}})
}

fn deployment() -> Value {
    let labels = json!({"app": EXAMINED});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": EXAMINED}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "none", "image": "none"}]}}}})
}

/// Whether windlass may apply what nearly every application has.
async fn rights(cluster: &Cluster, namespaces: BTreeSet<String>) -> Vec<Finding> {
    let mut lacks = Vec::new();
    for namespace in namespaces.iter().take(MOST_NAMESPACES) {
        for (group, plural) in [("apps", "deployments"), ("", "configmaps")] {
            let may = cluster.may_apply(group, plural, Some(namespace)).await;
            if !may.unwrap_or(false) {
                lacks.push(Finding::LacksRight {
                    cluster: cluster.name.clone(),
                    namespace: namespace.clone(),
                    resource: plural.into(),
                });
            }
        }
    }
    match lacks.is_empty() && !namespaces.is_empty() {
        true => vec![Finding::Rights {
            cluster: cluster.name.clone(),
            namespaces: namespaces.len().min(MOST_NAMESPACES),
        }],
        false => lacks,
    }
}
