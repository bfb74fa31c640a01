//! What an application is at, and was at: the answers to `/status` and `/history`.

use super::markdown::{code, quoted};
use super::status::{health, synced};
use crate::domain::TargetKey;
use crate::domain::command::Past;
use crate::domain::history::HealthyRevision;
use crate::domain::image::ImageRef;
use crate::domain::pull_request::{ApplicationSummary, shortened};

/// Characters of a message in a table.
const MOST_MESSAGE: usize = 200;

pub fn status(rows: &[(TargetKey, Option<ApplicationSummary>)]) -> String {
    let rows: Vec<_> = rows.iter().map(status_row).collect();
    match rows.is_empty() {
        true => "This pull request touches no application.".into(),
        false => format!(
            "| application | synced | health | commit | |\n|---|---|---|---|---|\n{}",
            rows.join("\n")
        ),
    }
}

fn status_row((key, summary): &(TargetKey, Option<ApplicationSummary>)) -> String {
    let title = key.title();
    let Some(summary) = summary else {
        return format!("| `{title}` | | | | was never reconciled |");
    };
    let held = summary.held.as_ref().map(|held| format!("held by {held}"));
    let notes: Vec<_> = held.iter().chain(&summary.message).collect();
    let notes: Vec<_> = notes.into_iter().map(|note| cell(note)).collect();
    format!(
        "| `{title}` | {} | {} | {} | {} |",
        synced(summary),
        health(summary),
        summary.revision.as_ref().map_or("", |at| at.short()),
        notes.join("; ")
    )
}

pub fn history(pasts: &[Past]) -> String {
    let tables: Vec<_> = pasts.iter().map(past).collect();
    match tables.is_empty() {
        true => "This pull request touches no application.".into(),
        false => tables.join("\n\n"),
    }
}

fn past(past: &Past) -> String {
    let title = past.application.title();
    let healthy = past.healthy.iter().rev().map(healthy_row);
    let failed = past.failed.iter().rev().map(|failed| {
        format!(
            "| {} | failed | {} |",
            failed.revision.short(),
            cell(&failed.why)
        )
    });
    let rows: Vec<_> = healthy.chain(failed).collect();
    if rows.is_empty() {
        return format!("`{title}` was never synced and healthy.");
    }
    format!(
        "**{title}**, newest first:\n\n| commit | healthy | |\n|---|---|---|\n{}",
        rows.join("\n")
    )
}

fn healthy_row(healthy: &HealthyRevision) -> String {
    let images: Vec<_> = healthy.images.iter().map(image).collect();
    format!(
        "| {} | {} | {} |",
        healthy.revision.short(),
        healthy.at,
        images.join(", ")
    )
}

fn image(image: &ImageRef) -> String {
    let name = image.name.rsplit('/').next().unwrap_or_default();
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}"));
    let digest = image
        .digest
        .as_ref()
        .map(|digest| digest.short().to_string());
    let digest = digest.map(|digest| format!(" ({digest})"));
    code(&format!(
        "{name}{}{}",
        tag.unwrap_or_default(),
        digest.unwrap_or_default()
    ))
}

/// One line of text from outside, for a cell of a table.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    quoted(&shortened(&line, MOST_MESSAGE))
}
