//! `windlass doctor`: looks at what `windlass serve` would stand on, with its settings, and changes
//! nothing: no Lease is taken, nothing is written to GitHub or a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::app;
use crate::cluster::connect;
use crate::cluster::store::Store;
use crate::config::{ServeArgs, Settings};
use crate::controller::{Reader, branch_rules};
use crate::domain::finding::{Finding, Severity};
use crate::telemetry::{self, Metrics};
use crate::view;

/// Webhook deliveries that are looked at.
const HOURS: i64 = 6;

/// What to print, and the exit code: 1 if something has to be mended.
pub async fn doctor(args: &ServeArgs) -> anyhow::Result<(String, ExitCode)> {
    let _ = telemetry::log_to_stderr("error", telemetry::LogFormat::Text);
    let cache = tempfile::tempdir()?;
    let settings = Settings {
        cache: cache.path().into(),
        ..args.settings()?
    };
    let findings = examine(settings).await?;
    let is_bad = |finding: &Finding| finding.severity() == Severity::Bad;
    let code = ExitCode::from(u8::from(findings.iter().any(is_bad)));
    Ok((view::findings(&findings), code))
}

async fn examine(mut settings: Settings) -> anyhow::Result<Vec<Finding>> {
    let mut findings = vec![match app::renderer(&settings).await {
        Ok(_) if settings.renderer.is_some() || settings.render_without_jail => Finding::Unjailed,
        Ok(_) => Finding::Renderer,
        Err(error) => Finding::NoRenderer {
            why: format!("{error:#}"),
        },
    }];
    // What the renderers lack is said; the rest is looked at all the same.
    settings.render_without_jail = true;
    let (events, _unheard) = mpsc::channel(1024);
    let clusters = app::clusters(&settings, &events).await?;
    let kubeconfig = settings.kubeconfig.as_deref().map(|path| (path, None));
    let store = Store::none(connect(kubeconfig).await?, &settings.namespace);
    let reader = app::reader(&settings, clusters, store, Arc::new(Metrics::default())).await?;
    let ctx = Arc::new(reader);
    findings.extend(of_github(&ctx, &settings).await);
    findings.extend(of_clusters(&ctx, &settings).await);
    Ok(findings)
}

async fn of_github(ctx: &Arc<Reader>, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match ctx.github.app().await {
        Ok(app) => {
            let (permissions, events) = app.lacks(settings.preview_only);
            findings.push(Finding::App { login: app.login });
            if !permissions.is_empty() {
                findings.push(Finding::MissingPermissions(permissions));
            }
            if !events.is_empty() && !settings.webhook_secrets.is_empty() {
                findings.push(Finding::MissingEvents(events));
            }
        }
        Err(error) => {
            let why = error.to_string();
            return vec![Finding::GitHubAway { why }];
        }
    }
    findings.push(deliveries(ctx, settings).await);
    if let Err(error) = ctx.resync().await {
        let why = error.to_string();
        findings.push(Finding::GitHubAway { why });
        return findings;
    }
    for repo in settings.projects.repositories() {
        findings.extend(of_repository(ctx, repo).await);
    }
    findings
}

async fn deliveries(ctx: &Reader, settings: &Settings) -> Finding {
    if settings.webhook_secrets.is_empty() {
        return Finding::NoWebhook;
    }
    let since = Timestamp::now() - SignedDuration::from_hours(HOURS);
    match ctx.github.failed_deliveries(since).await {
        Ok(failed) if failed.is_empty() => Finding::Deliveries,
        Ok(failed) => Finding::FailedDeliveries {
            count: failed.len(),
            hours: HOURS,
        },
        Err(error) => Finding::GitHubAway {
            why: error.to_string(),
        },
    }
}

async fn of_repository(ctx: &Arc<Reader>, repo: &crate::domain::RepoName) -> Vec<Finding> {
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
    let rules = match branch_rules::require_our_gate(ctx, &base).await {
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

async fn of_clusters(ctx: &Reader, settings: &Settings) -> Vec<Finding> {
    let (mut findings, mut wanted) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let bases = ctx.bases();
    let targets = bases.iter().filter_map(|base| base.configured());
    for target in targets.flat_map(|configured| &configured.targets) {
        let destination = &target.destination;
        let is_away = ctx.environment.away.contains_key(&destination.cluster);
        if !is_away && ctx.cluster(&destination.cluster).is_err() {
            findings.push(Finding::UnknownCluster {
                cluster: destination.cluster.clone(),
                application: format!("{}/{}", target.application, target.stage.name),
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
        if name == "local" && !settings.preview_only {
            let serves = cluster
                .serves("windlass.dev", "v1alpha1", "Application")
                .await;
            if !serves.unwrap_or(false) {
                findings.push(Finding::NoDefinitions);
            }
        }
        if !settings.preview_only {
            let namespaces = wanted.remove(name).unwrap_or_default();
            findings.extend(rights(cluster, namespaces).await);
        }
    }
    findings
}

/// Whether windlass may apply what nearly every application has.
async fn rights(cluster: &crate::cluster::Cluster, namespaces: BTreeSet<String>) -> Vec<Finding> {
    let mut lacks = Vec::new();
    for namespace in &namespaces {
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
            namespaces: namespaces.len(),
        }],
        false => lacks,
    }
}
