//! `windlass doctor`: looks at what `windlass serve` would stand on, with its settings, and changes
//! nothing: no Lease is taken, nothing is written to GitHub or a cluster.

use std::process::ExitCode;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::app;
use crate::cluster::connect;
use crate::cluster::store::Store;
use crate::config::{ServeArgs, Settings};
use crate::controller::{Reader, examine};
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
    let home = connect(&settings.home()).await?;
    app::add_registered(&mut settings, &home).await?;
    let clusters = app::clusters(&settings, &events).await?;
    let store = Store::none(home, &settings.namespace);
    let reader = app::reader(&settings, clusters, store, Arc::new(Metrics::default())).await?;
    let ctx = Arc::new(reader);
    findings.extend(of_github(&ctx, &settings).await);
    findings.extend(examine::clusters(&ctx).await);
    Ok(findings)
}

async fn of_github(ctx: &Arc<Reader>, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(examine::app(ctx, !settings.webhook_secrets.is_empty()).await);
    if matches!(findings[..], [Finding::GitHubAway { .. }]) {
        return findings;
    }
    findings.push(deliveries(ctx, settings).await);
    if let Err(error) = ctx.resync().await {
        let why = error.to_string();
        findings.push(Finding::GitHubAway { why });
        return findings;
    }
    for repo in settings.projects.repositories() {
        findings.extend(examine::repository(ctx, repo).await);
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
