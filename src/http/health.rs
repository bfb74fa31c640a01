//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::Server;
use crate::cluster::store::Application;
use crate::telemetry::ApplicationInfo;

pub async fn healthy() -> &'static str {
    "ok\n"
}

pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    match server.ctx.get() {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "waiting for the Lease\n").into_response(),
    }
}

pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server
        .metrics
        .cluster_requests(crate::cluster::ANSWERS.load(std::sync::atomic::Ordering::Relaxed));
    let mut applications = None;
    if let Some(ctx) = server.ctx.get() {
        // While they cannot be listed, the last ones are shown.
        let all = ctx.store.applications().await.ok();
        applications = all.map(|all| all.iter().map(info).collect());
        for ((request, status), count) in ctx.github.answers() {
            ctx.metrics.github_requests(request, status, count);
        }
        for (installation, remaining, limited) in ctx.github.limits() {
            ctx.metrics.github_limits(installation, remaining, limited);
        }
        ctx.metrics.queue("repository", ctx.repositories.pending());
        ctx.metrics.queue("merge_group", ctx.groups.pending());
        ctx.metrics.queue("promotion", ctx.promotions.pending());
        ctx.metrics.queue("pull_request", ctx.pulls.pending());
        ctx.metrics.queue("application", ctx.applications.pending());
        ctx.metrics.queue("commit", ctx.commits.pending());
    }
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        server.metrics.text(applications),
    )
        .into_response()
}

fn info(object: &Application) -> ApplicationInfo {
    let (spec, summary) = (&object.spec, object.summary());
    let status = object.status.as_ref();
    let finished = status.and_then(|status| status.last_sync.as_ref()?.finished);
    ApplicationInfo {
        labels: vec![
            ("application", spec.application.to_string()),
            ("stage", object.key().place()),
            ("repository", spec.repository.to_string()),
            ("cluster", spec.cluster.clone()),
            ("sync", format!("{:?}", summary.sync)),
            ("health", format!("{:?}", summary.health)),
            ("reason", summary.reason.unwrap_or_default()),
        ],
        synced_at: finished.map(|at| at.as_second()),
    }
}
