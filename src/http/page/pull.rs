//! The page of one open pull request.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use axum::{Extension, Json};

use super::viewer::Viewer;
use super::{Missing, Server, activity, framed, html, pull, ready};
use crate::controller::Writer;
use crate::domain::PullRequestKey;
use crate::domain::activity::Subject;
use crate::view::page::{Changed, Kind, Page, PullPage, VerdictView, seconds};

type Address = Path<(String, String, String)>;

pub async fn page(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
    address: Address,
) -> Result<Html<String>, Missing> {
    Ok(html(&read((ready(&server)?, &viewer), address)?))
}

pub async fn json(
    State(server): State<Arc<Server>>,
    Extension(viewer): Extension<Viewer>,
    address: Address,
) -> Result<Json<Page<PullPage>>, Missing> {
    Ok(Json(read((ready(&server)?, &viewer), address)?))
}

fn read(
    (ctx, viewer): (&Arc<Writer>, &Viewer),
    Path((owner, name, number)): Address,
) -> Result<Page<PullPage>, Missing> {
    let unknown = || {
        Missing::Unknown(
            "there is no such open pull request into the base branch of a config repository",
        )
    };
    let repo = format!("{owner}/{name}").parse().map_err(|_| unknown())?;
    let number = number.parse().map_err(|_| unknown())?;
    let key = PullRequestKey { repo, number };
    if !viewer.sees(&key.repo) {
        return Err(unknown());
    }
    let open = ctx.cache.pulls.snapshots.open_pulls(&key.repo);
    let found = open.iter().find(|(found, _)| *found == key);
    let (_, snapshot) = found.ok_or_else(unknown)?;
    let row = pull(ctx, &key, snapshot);
    let judged = ctx.cache.pulls.verdicts.get(&key);
    let shown = ctx.cache.pulls.previews.get(&key);
    let shown = shown.filter(|shown| shown.preview.head == snapshot.pull.head.sha);
    let applications = shown.iter().flat_map(|shown| &shown.preview.applications);
    let title = format!("#{number} {}", row.title);
    let body = PullPage {
        number,
        repository: key.repo.to_string(),
        heading: row.title,
        url: row.url,
        author: row.author,
        head: snapshot.pull.head.sha.short().into(),
        evaluated_at: judged.as_ref().map(|judged| seconds(judged.evaluated_at)),
        verdict: judged
            .as_ref()
            .map(|judged| VerdictView::new(&judged.verdict)),
        applications: applications.map(Changed::new).collect(),
        activity: activity(ctx, |activity| {
            activity.subject == Subject::PullRequest(key.clone())
        }),
    };
    Ok(framed((ctx, viewer), Kind::Pull, title, body))
}
