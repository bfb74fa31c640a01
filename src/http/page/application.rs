//! The page of one application in one stage.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Html;
use axum::{Extension, Json};
use tokio::time::Instant;

use super::viewer::Viewer;
use super::{Missing, Server, activity, framed, html, pull, ready};
use crate::cluster::Lookup;
use crate::cluster::store::{Application, ApplicationStatus, InventoryEntry};
use crate::controller::Writer;
use crate::domain::activity::Subject;
use crate::domain::health::{Assessment, Health};
use crate::domain::manifest::ResourceKey;
use crate::domain::{PullRequestKey, TargetKey};
use crate::view::page::{
    self, Candidate, Command, Kind, LiveObject, Page, Past, Pull, PullLink, pull_href,
};
use crate::view::standing;

/// Objects that the page lists.
const MOST_OBJECTS: usize = 500;
/// How long the page waits for what a watch has not listed yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// `shop/production`, or `shop/production/eu`.
type Address = Path<String>;

pub async fn page(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
    address: Address,
) -> Result<Html<String>, Missing> {
    Ok(html(&read((ready(&server)?, &viewer), address).await?))
}

pub async fn json(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
    address: Address,
) -> Result<Json<Page<page::Application>>, Missing> {
    Ok(Json(read((ready(&server)?, &viewer), address).await?))
}

async fn read(
    (ctx, viewer): (&Arc<Writer>, &Viewer),
    Path(title): Address,
) -> Result<Page<page::Application>, Missing> {
    let object = found(ctx, viewer, &title).await?;
    let spec = &object.spec;
    let key = object.key();
    let status = object.status.clone().unwrap_or_default();
    let repository = ctx.github.repository(&key.repo).ok();
    let url = repository.as_ref().map(|repo| repo.html_url.as_str());
    let summary = object.summary();
    let objects = objects(ctx, &key, &spec.cluster, &status.inventory).await;
    let (tone, _) = standing(&summary);
    let body = page::Application {
        name: key.title(),
        repository: key.repo.to_string(),
        repository_url: url.map(str::to_string),
        path: spec.path.clone(),
        cluster: spec.cluster.clone(),
        destination: spec.namespace.clone(),
        tone,
        sync: format!("{:?}", status.sync),
        health: format!("{:?}", status.health),
        reason: status.reason.clone(),
        message: status.message.clone(),
        commit: summary.revision.as_ref().map(|at| at.short().to_string()),
        commit_url: url
            .zip(summary.revision.as_ref())
            .map(|(url, at)| format!("{url}/commit/{at}")),
        synced_commit: status
            .synced_revision
            .as_ref()
            .map(|at| at.short().to_string()),
        behind: status.behind,
        held: status.held.clone(),
        paused_until: status
            .pause
            .as_ref()
            .map(|pause| pause.until)
            .filter(|until| *until > ctx.now()),
        images: status.images.iter().map(ToString::to_string).collect(),
        objects_more: status.inventory.len().saturating_sub(MOST_OBJECTS),
        objects,
        history: history(url, &status),
        candidates: candidates(ctx, &key).await,
        pulls: pulls(ctx, &key),
        commands: Command::all(&key.title()),
        activity: activity(ctx, |activity| {
            activity.subject == Subject::Application(key.clone())
        }),
        updated: status.changed_at(),
    };
    let framing = (&**ctx, viewer);
    Ok(framed(framing, Kind::Application, key.title(), body))
}

async fn found(ctx: &Writer, viewer: &Viewer, title: &str) -> Result<Application, Missing> {
    let all = ctx.store.applications().await?;
    let mut all = all.into_iter();
    let found = all.find(|object| {
        let key = object.key();
        key.title() == title && viewer.sees(&key.repo)
    });
    found.ok_or(Missing::Unknown(
        "there is no such application: the first page lists all",
    ))
}

/// Every object that it owns, with its health as the watches have it; the worst first.
async fn objects(
    ctx: &Writer,
    key: &TargetKey,
    cluster: &str,
    inventory: &[InventoryEntry],
) -> Vec<LiveObject> {
    let Ok(cluster) = ctx.cluster(cluster) else {
        return Vec::new();
    };
    let differences = ctx.cache.applications.differences(key);
    let differences: HashMap<&ResourceKey, _> = differences
        .iter()
        .map(|difference| {
            (
                &difference.key,
                (&difference.action, difference.diff.as_str()),
            )
        })
        .collect();
    let mut found = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    for entry in inventory.iter().take(MOST_OBJECTS) {
        let lookup = cluster.lookup(&entry.key, &entry.version);
        let health = match tokio::time::timeout_at(deadline, lookup).await {
            Ok(lookup) => health(lookup),
            Err(_) => (Health::Unknown, "the cluster has not answered yet".into()),
        };
        let change = differences.get(&entry.key).copied();
        found.push(LiveObject::new(&entry.key, health, change));
    }
    found.sort_by(|a, b| {
        (a.tone, a.action.is_none(), &a.kind, &a.name).cmp(&(
            b.tone,
            b.action.is_none(),
            &b.kind,
            &b.name,
        ))
    });
    found
}

fn health(lookup: crate::cluster::Result<Option<Lookup>>) -> Assessment {
    match lookup {
        Ok(Some(Lookup::Found(entry))) => entry.health,
        Ok(Some(Lookup::Absent)) => (Health::Missing, "it is not in the cluster".into()),
        Ok(Some(_)) => (Health::Unknown, "its kind is not watched".into()),
        Ok(None) => (
            Health::Unknown,
            "the cluster does not serve its kind".into(),
        ),
        Err(error) => (Health::Unknown, error.to_string()),
    }
}

fn history(url: Option<&str>, status: &ApplicationStatus) -> Vec<Past> {
    let healthy = status
        .history
        .iter()
        .rev()
        .map(|past| Past::healthy(url, past));
    let failed = status
        .failures
        .iter()
        .rev()
        .map(|past| Past::failed(url, past));
    healthy.chain(failed).collect()
}

/// What was announced for the stage, the newest first, and what became of it.
async fn candidates(ctx: &Writer, key: &TargetKey) -> Vec<Candidate> {
    let Ok(Some(object)) = ctx.store.promotion(&key.of_stage()).await else {
        return Vec::new();
    };
    let status = object.status.clone().unwrap_or_default();
    let link = |number: u64| {
        let key = PullRequestKey {
            repo: key.repo.clone(),
            number,
        };
        PullLink {
            number,
            href: pull_href(&key),
        }
    };
    let mut found = Vec::new();
    for candidate in &object.spec.candidates {
        let decided = status
            .decided
            .iter()
            .rev()
            .find(|decided| decided.is_about(candidate));
        let number = decided.and_then(|decided| decided.number);
        found.push(Candidate {
            image: format!("{}:{}", candidate.image, candidate.tag),
            state: decided.map_or_else(
                || status.state.clone().unwrap_or_else(|| "Waiting".into()),
                |decided| format!("{:?}", decided.how),
            ),
            pull: number.map(link),
        });
    }
    found
}

/// The open pull requests that change it.
fn pulls(ctx: &Writer, key: &TargetKey) -> Vec<Pull> {
    let open = ctx.cache.pulls.snapshots.open_pulls(&key.repo);
    let changes = |pull: &PullRequestKey| {
        let shown = ctx.cache.pulls.previews.get(pull);
        shown.is_some_and(|shown| shown.preview.applications.iter().any(|app| app.key == *key))
    };
    let open = open.iter().filter(|(pull, _)| changes(pull));
    open.map(|(key, snapshot)| pull(ctx, key, snapshot))
        .collect()
}
