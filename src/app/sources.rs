//! The sources of keys besides watches and webhooks: resyncs, and GitHub's log of deliveries.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Settings;
use crate::controller::examine::examine;
use crate::controller::{Kind, Writer};
use crate::http::Server;

/// The sources of keys besides watches and webhooks: a resync now and from time to time, and failed
/// deliveries.
pub(super) async fn sources(
    ctx: &Arc<Writer>,
    server: &Server,
    settings: &Settings,
    started: Timestamp,
) {
    // The repositories are known before any webhook is processed.
    let mut pause = Duration::from_secs(2);
    let read = async || {
        ctx.pin_repositories().await?;
        ctx.resync().await
    };
    while let Err(error) = read().await {
        pause = match error.kind() {
            Kind::RateLimited(until) => until_then(until).max(pause),
            _ => (pause * 2).min(LONGEST_PAUSE),
        };
        tracing::warn!(%error, ?pause, "cannot read GitHub yet");
        tokio::time::sleep(pause).await;
    }
    if let Err(error) = ctx.adopt_names().await {
        tracing::warn!(%error, "the objects of renamed repositories keep their old names");
    }
    ctx.read_bases().await;
    let _ = server.ctx.set(ctx.clone());
    tracing::info!(listen = %settings.listen, identity = settings.identity, "ready");
    let has_webhook = !settings.webhook_secrets.is_empty();
    if !has_webhook {
        let resyncs = resyncs(ctx, settings.resync.min(POLL_EVERY));
        tokio::join!(examine(ctx, has_webhook), resyncs);
        return;
    }
    tokio::join!(
        examine(ctx, has_webhook),
        resyncs(ctx, settings.resync),
        failed_deliveries(ctx, settings.delivery_scan, started),
    );
}

/// How often GitHub is asked for changes where it sends no webhooks.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// The longest pause between two attempts to read the repositories at start.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How many comparisons with GitHub's lists pass between two full resyncs.
const COMPARISONS: u32 = 6;

fn until_then(until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Compares with GitHub's lists from time to time, and now and then lists the repositories again;
/// at once, if their names changed.
async fn resyncs(ctx: &Arc<Writer>, every: Duration) {
    let mut comparisons = 0;
    loop {
        let listed_again = async {
            match ctx.github.lists_again_at() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            () = ctx.github.repositories_changed.notified() => true,
            () = listed_again => {
                ctx.list_again().await;
                continue;
            }
            () = tokio::time::sleep(every) => false,
        };
        comparisons += 1;
        if !changed && comparisons < COMPARISONS {
            ctx.compare_all();
            continue;
        }
        comparisons = 0;
        if let Err(error) = ctx.resync().await {
            tracing::warn!(%error, "a resync failed");
            // The next one reads everything as well.
            comparisons = COMPARISONS;
        }
    }
}

/// Reads the deliveries that failed from GitHub's delivery log.
async fn failed_deliveries(ctx: &Arc<Writer>, every: Duration, started: Timestamp) {
    // Those as well that failed while nobody ran: a merge queue asks only once.
    let mut since = started - jiff::SignedDuration::from_hours(1);
    loop {
        tokio::time::sleep(every).await;
        let now = Timestamp::now();
        match ctx.github.failed_deliveries(since).await {
            Ok(found) => {
                found.into_iter().for_each(|hint| ctx.process_hint(hint));
                since = now - jiff::SignedDuration::from_secs(60);
            }
            Err(error) => tracing::warn!(%error, "the delivery log could not be read"),
        }
    }
}
