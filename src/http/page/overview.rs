//! The first page: every application in every stage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::{Extension, Json};

use super::viewer::Viewer;
use super::{Missing, Server, activity, framed, html, pull, ready};
use crate::cluster::store::Application;
use crate::controller::{Base, Writer};
use crate::domain::pull_request::ApplicationSummary;
use crate::domain::{PullRequestKey, TargetKey};
use crate::view::page::{
    self, Cell, Found, Kind, Overview, Page, PullLink, Repository, Row, Trouble,
};

pub async fn page(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
) -> Result<Html<String>, Missing> {
    Ok(html(&read(ready(&server)?, &viewer).await?))
}

pub async fn json(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
) -> Result<Json<Page<Overview>>, Missing> {
    Ok(Json(read(ready(&server)?, &viewer).await?))
}

/// What is known of one application in one stage.
struct Known {
    key: TargetKey,
    summary: ApplicationSummary,
    since: Option<jiff::Timestamp>,
}

async fn read(ctx: &Arc<Writer>, viewer: &Viewer) -> Result<Page<Overview>, Missing> {
    let mut known: Vec<_> = ctx
        .store
        .applications()
        .await?
        .iter()
        .map(Known::of)
        .filter(|known| viewer.sees(&known.key.repo))
        .collect();
    known.sort_by_key(|known| known.key.title());
    let mut problems: Vec<_> = known
        .iter()
        .filter_map(|known| Trouble::of(&known.key, &known.summary))
        .collect();
    problems.sort_by_key(|problem| problem.tone);
    let mut bases = ctx.bases();
    bases.retain(|base| base.configuration.is_some() && viewer.sees(&base.repo.name));
    bases.sort_by_key(|base| base.repo.name.to_string());
    let repositories = bases.iter().map(|base| repository(ctx, base, &known));
    let findings = ctx.findings();
    let installation = findings.iter().filter(|_| viewer.sees_all());
    let overview = Overview {
        problems,
        installation: page::paced(ctx.github.paced())
            .into_iter()
            .chain(installation.filter_map(Found::of))
            .collect(),
        repositories: repositories.collect(),
        activity: activity(ctx, |activity| viewer.sees_subject(&activity.subject)),
    };
    Ok(framed(
        (ctx, viewer),
        Kind::Overview,
        "Overview".into(),
        overview,
    ))
}

impl Known {
    fn of(object: &Application) -> Self {
        Self {
            key: object.key(),
            summary: object.summary(),
            since: object
                .status
                .as_ref()
                .and_then(|status| status.ready_since()),
        }
    }
}

/// The stages of a repository in the order in which images go through them, then those that only
/// the cluster still has.
fn stages(base: &Base, known: &[&Known]) -> Vec<String> {
    let mut stages: Vec<String> = Vec::new();
    let mut targets: Vec<_> = base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets)
        .collect();
    targets.sort_by_key(|target| target.stage.after.len());
    // A stage stands after all that it comes after; a circle is refused with the configuration.
    let mut left: Vec<_> = targets.iter().map(|target| &target.stage).collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|stage| {
            let name = stage.name.to_string();
            let waits = stage.after.iter().any(|after| {
                !stages.contains(&after.to_string())
                    && targets.iter().any(|target| target.stage.name == *after)
            });
            if !waits && !stages.contains(&name) {
                stages.push(name);
            }
            waits
        });
        if left.len() == before {
            break;
        }
    }
    for known in known {
        let name = known.key.stage.to_string();
        if !stages.contains(&name) {
            stages.push(name);
        }
    }
    stages
}

/// The same, with a stage that has several clusters once for each of them.
fn columns(base: &Base, known: &[&Known]) -> Vec<String> {
    let stages = stages(base, known);
    let configured = base.configured().into_iter();
    let targets = configured.flat_map(|configured| &configured.targets);
    let declared = targets.map(|target| target.key(&base.repo.name));
    let keys: Vec<_> = declared
        .chain(known.iter().map(|known| known.key.clone()))
        .collect();
    let mut columns: Vec<String> = Vec::new();
    for stage in stages {
        for key in keys.iter().filter(|key| key.stage.as_str() == stage) {
            let place = key.place();
            if !columns.contains(&place) {
                columns.push(place);
            }
        }
    }
    columns
}

fn repository(ctx: &Writer, base: &Base, known: &[Known]) -> Repository {
    let name = &base.repo.name;
    let known: Vec<_> = known
        .iter()
        .filter(|known| known.key.repo == *name)
        .collect();
    let stages = columns(base, &known);
    let mut open = ctx.cache.pulls.snapshots.open_pulls(name);
    open.retain(|(_, snapshot)| snapshot.pull.base.branch == base.repo.default_branch);
    open.sort_by_key(|(key, _)| std::cmp::Reverse(key.number));
    let pulls_of = pulls_of(ctx, open.iter().map(|(key, _)| key));
    let url = base.repo.html_url.as_str();
    let mut rows: BTreeMap<String, Vec<Option<Cell>>> = BTreeMap::new();
    let targets = base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets);
    let declared = targets.map(|target| target.key(name));
    for key in declared.chain(known.iter().map(|known| known.key.clone())) {
        let Some(at) = stages.iter().position(|stage| *stage == key.place()) else {
            continue;
        };
        let row = rows.entry(key.application.to_string()).or_default();
        row.resize(stages.len(), None);
        if row[at].is_some() {
            continue;
        }
        let found = known.iter().find(|known| known.key == key);
        let never = ApplicationSummary::default();
        let (summary, since) = found.map_or((&never, None), |found| (&found.summary, found.since));
        let pulls = pulls_of.get(&key).cloned().unwrap_or_default();
        row[at] = Some(Cell::new(&key, summary, (Some(url), since), pulls));
    }
    let rows = rows.into_iter().map(|(name, cells)| Row { name, cells });
    Repository {
        name: name.to_string(),
        url: Some(url.to_string()),
        applications: rows.collect(),
        stages,
        pulls: open
            .iter()
            .map(|(key, snapshot)| pull(ctx, key, snapshot))
            .collect(),
    }
}

/// The open pull requests that change each application, as their previews say.
fn pulls_of<'a>(
    ctx: &Writer,
    open: impl Iterator<Item = &'a PullRequestKey>,
) -> HashMap<TargetKey, Vec<PullLink>> {
    let mut found: HashMap<TargetKey, Vec<PullLink>> = HashMap::new();
    for key in open {
        let Some(shown) = ctx.cache.pulls.previews.get(key) else {
            continue;
        };
        for app in &shown.preview.applications {
            found.entry(app.key.clone()).or_default().push(PullLink {
                number: key.number,
                href: page::pull_href(key),
            });
        }
    }
    found
}
