//! What applications are and were at, as tables in a terminal.

use jiff::Timestamp;

use super::page::image;
use super::terminal::one_cell;
use crate::domain::command::Past;
use crate::domain::ownership::UnmanagedFields;
use crate::domain::pull_request::ApplicationSummary;
use crate::domain::sync;

/// One line of `windlass status`.
pub struct StatusRow {
    /// `shop/production`.
    pub application: String,
    pub summary: ApplicationSummary,
    /// What people set on its objects beside Git: each object with who set which fields.
    pub unmanaged: Vec<(String, UnmanagedFields)>,
    /// Since when its state is what it is.
    pub since: Option<Timestamp>,
}

/// The applications; what each waits for stands below its line.
pub fn status_table(rows: &[StatusRow], now: Timestamp) -> String {
    let mut cells = vec![
        [
            "APPLICATION",
            "SYNCED",
            "HEALTH",
            "COMMIT",
            "SINCE",
            "IMAGES",
        ]
        .map(str::to_string),
    ];
    let mut below = vec![String::new()];
    for row in rows {
        let summary = &row.summary;
        let images: Vec<_> = summary.images.iter().map(image).collect();
        cells.push([
            row.application.clone(),
            synced(summary),
            health(summary),
            summary
                .revision
                .as_ref()
                .map_or(String::new(), |at| at.short().into()),
            row.since.map_or(String::new(), |since| ago(since, now)),
            images.join(", "),
        ]);
        let held = summary.held.as_ref().map(|held| format!("held by {held}"));
        let message = summary.message.as_ref().filter(|text| !text.is_empty());
        let lines = held.iter().chain(message).flat_map(|text| text.lines());
        let unmanaged = row
            .unmanaged
            .iter()
            .map(|(object, UnmanagedFields { by, fields })| {
                format!("not in Git: {} of {object} ({by})", fields.join(" "))
            });
        let lines = lines.map(str::to_string).chain(unmanaged);
        below.push(
            lines
                .map(|line| format!("  {}\n", one_cell(&line)))
                .collect(),
        );
    }
    let lines = aligned(&cells);
    lines
        .into_iter()
        .zip(below)
        .map(|(line, below)| line + &below)
        .collect()
}

/// `Synced`, or `OutOfSync, 2 behind`.
pub(super) fn synced(summary: &ApplicationSummary) -> String {
    if has_left(summary) {
        return "LeftGit".into();
    }
    let behind = match summary.behind {
        0 => String::new(),
        commits => format!(", {commits} behind"),
    };
    format!("{:?}{behind}", summary.sync)
}

/// What has left Git is not judged any more.
pub(super) fn health(summary: &ApplicationSummary) -> String {
    match has_left(summary) {
        true => "-".into(),
        false => format!("{:?}", summary.health),
    }
}

fn has_left(summary: &ApplicationSummary) -> bool {
    summary.reason.as_deref() == Some(sync::LEFT_GIT)
}

/// The commits that came to their end in an application, the newest first.
pub fn history_table(past: &Past) -> String {
    let mut cells = vec![["COMMIT", "OUTCOME", "HEALTHY SINCE", ""].map(str::to_string)];
    for healthy in past.healthy.iter().rev() {
        let images: Vec<_> = healthy.images.iter().map(image).collect();
        cells.push([
            healthy.revision.short().into(),
            "healthy".into(),
            healthy.at.to_string(),
            images.join(", "),
        ]);
    }
    for failed in past.failed.iter().rev() {
        cells.push([
            failed.revision.short().into(),
            "failed".into(),
            String::new(),
            one_cell(&failed.why),
        ]);
    }
    match cells.len() {
        1 => format!(
            "{} was never synced and healthy\n",
            past.application.title()
        ),
        _ => aligned(&cells).concat(),
    }
}

/// Lines of equal columns; the last one is as long as it is.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..N - 1).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}   "));
        let line = cells.collect::<String>() + &row[N - 1];
        line.trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

/// `5s`, `12m`, `3h`, `9d`: as kubectl tells ages.
fn ago(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::{Health, SyncState};

    #[test]
    fn what_an_application_waits_for_stands_below_it() {
        let by_hand = (
            "Deployment shop".to_string(),
            UnmanagedFields {
                by: "kubectl-edit".into(),
                fields: vec![".spec.template.spec.nodeSelector.disk".into()],
            },
        );
        let row = |application: &str, health, message: Option<&str>| StatusRow {
            application: application.into(),
            summary: ApplicationSummary {
                sync: SyncState::Synced,
                health,
                revision: Some("a".repeat(40).parse().unwrap()),
                images: vec!["ghcr.io/acme/shop:1.4.2".parse().unwrap()],
                message: message.map(Into::into),
                held: message.map(|_| "mia: wait".into()),
                ..ApplicationSummary::default()
            },
            unmanaged: message.map(|_| by_hand.clone()).into_iter().collect(),
            since: Some(Timestamp::UNIX_EPOCH),
        };
        let rows = [
            row("shop/staging", Health::Healthy, None),
            row(
                "shop/production",
                Health::Degraded,
                Some("Deployment shop: crashes\n\u{1b}[31mred"),
            ),
        ];
        let now = Timestamp::from_second(600).unwrap();
        insta::assert_snapshot!(status_table(&rows, now), @"
        APPLICATION       SYNCED   HEALTH     COMMIT         SINCE   IMAGES
        shop/staging      Synced   Healthy    aaaaaaaaaaaa   10m     shop:1.4.2
        shop/production   Synced   Degraded   aaaaaaaaaaaa   10m     shop:1.4.2
          held by mia: wait
          Deployment shop: crashes
          [31mred
          not in Git: .spec.template.spec.nodeSelector.disk of Deployment shop (kubectl-edit)
        ");
    }
}
