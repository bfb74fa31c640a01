//! What is worth knowing of an application and is not the pull request's change, under a title
//! each.

use serde::Serialize;

use super::super::markdown::{code, first_of};
use super::holders::{drift_lines, holders};
use super::title::action_word;
use crate::domain::plan::{Change, Notes};
use crate::domain::pull_request::ApplicationPreview;

#[derive(Serialize)]
pub(in crate::view) struct Bucket {
    pub title: String,
    pub lines: Vec<String>,
}

/// What is worth knowing and is not this pull request's change.
pub(in crate::view) fn buckets(app: &ApplicationPreview) -> Vec<Bucket> {
    let waiting = app.waiting.effective();
    let waiting = waiting
        .filter(|change| !change.is_marks_only())
        .map(|change| {
            format!(
                "{} {}",
                action_word(&change.action),
                code(&change.key.to_string())
            )
        });
    let found = [
        ("would revert changes by others", drift_lines(&app.drift)),
        ("merged before and waiting to be synced", waiting.collect()),
        (
            "kept, because others own it too",
            noted(app, |notes| holders(&notes.kept)),
        ),
        (
            "left to others",
            noted(app, |notes| holders(&notes.released)),
        ),
        (
            "hidden by rules of windlass.yaml",
            noted(app, |notes| spans(&notes.ignored)),
        ),
        (
            "added by admission",
            noted(app, |notes| some_paths(&notes.admitted)),
        ),
        (
            "hidden, because it is different each time",
            noted(app, |notes| some_paths(&notes.unstable)),
        ),
    ];
    found
        .into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(title, lines)| Bucket {
            title: format!("{title}: {}", lines.len()),
            lines,
        })
        .collect()
}

/// A line for each change whose notes have `words` for it.
fn noted(app: &ApplicationPreview, words: fn(&Notes) -> String) -> Vec<String> {
    let line = |change: &Change| {
        let words = words(&change.notes);
        (!words.is_empty()).then(|| format!("{}: {words}", code(&change.key.to_string())))
    };
    app.plan.changes.iter().filter_map(line).collect()
}

fn spans(paths: &[String]) -> String {
    let spans: Vec<_> = paths.iter().map(|path| code(path)).collect();
    spans.join(", ")
}

/// The first eight paths of many.
fn some_paths(paths: &[String]) -> String {
    first_of(8, paths.iter().map(|path| code(path)))
}
