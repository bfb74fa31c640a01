//! The alerts of a preview: what cannot be undone or done, and what is done to others.

use serde::Serialize;

use super::super::markdown::{code, quoted, told};
use super::holders::{drift_lines, holders};
use super::policy;
use crate::domain::effect;
use crate::domain::image::ImageRef;
use crate::domain::plan::{Action, Change};
use crate::domain::pull_request::{Failure, Preview};

#[derive(Serialize)]
pub(super) struct Alert {
    kind: &'static str,
    pub text: String,
}

/// At most three: one for a change of policy, one for what cannot be undone or done, one for what is
/// done to others.
pub(super) fn alerts(preview: &Preview) -> Vec<Alert> {
    if let Some(failure) = &preview.failure {
        return vec![of_failure(failure)];
    }
    let failed = names(preview, |change| change.problem.is_some());
    let kind = if failed.is_empty() {
        "WARNING"
    } else {
        "CAUTION"
    };
    let weaker = preview.policy.iter().any(|(_, change)| change.is_weaker());
    [
        (
            if weaker { "CAUTION" } else { "NOTE" },
            policy::policy(&preview.policy),
        ),
        (kind, grave(preview, &failed)),
        ("WARNING", done_to_others(preview)),
    ]
    .into_iter()
    .filter(|(_, lines)| !lines.is_empty())
    .map(|(kind, lines)| Alert {
        kind,
        text: lines.join("\n> "),
    })
    .collect()
}

/// Why nothing was previewed, and what to do.
fn of_failure(failure: &Failure) -> Alert {
    let (kind, text) = match failure {
        Failure::Conflict(files) => {
            let files: Vec<_> = files.iter().map(|file| code(file)).collect();
            (
                "WARNING",
                format!(
                    "Base and head both changed {}. Update the branch.",
                    files.join(", ")
                ),
            )
        }
        Failure::Fork => (
            "WARNING",
            "A fork's head is neither rendered nor sent to a cluster. If you trust this commit, comment `/preview COMMIT` with it, or push the branch to this repository.".into(),
        ),
        Failure::TooLarge(why) => (
            "CAUTION",
            format!("Nothing of this commit was rendered: {}.", quoted(why)),
        ),
        Failure::Killed => (
            "CAUTION",
            "windlass stopped twice while it previewed this commit, so it does not retry by itself. Make the change smaller, or comment `/preview` to try once more.".into(),
        ),
        Failure::Configuration(error) => (
            "CAUTION",
            format!("\n{}", told(error)).replace('\n', "\n> "),
        ),
    };
    Alert { kind, text }
}

/// What cannot be applied (`failed`), what is lost, and effects that are grave.
fn grave(preview: &Preview, failed: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    if !failed.is_empty() {
        lines.push(format!(
            "{} cannot be applied, so nothing in its application is applied.",
            list(failed)
        ));
    }
    let plans = preview.applications.iter().map(|app| &app.plan);
    let replaced: Vec<_> = plans.flat_map(effect::replaced).collect();
    for (action, word) in [
        (Action::Prune, "Deletes"),
        (Action::Recreate, "Deletes and recreates"),
    ] {
        let gone = names(preview, |change| {
            change.problem.is_none()
                && change.action == action
                && !change.is_hook()
                && !replaced.contains(&&change.key)
        });
        if !gone.is_empty() {
            lines.push(format!("{word} {}.", list(&gone)));
        }
    }
    lines.extend(unpinned(preview));
    lines.extend(at_once(preview));
    let effects = preview
        .applications
        .iter()
        .flat_map(|app| effect::effects(&app.plan))
        .filter(|effect| effect.grave);
    lines.extend(
        effects.map(|effect| format!("{}: {}.", code(&effect.key.to_string()), effect.text)),
    );
    lines
}

/// Images that lose their digest.
fn unpinned(preview: &Preview) -> Option<String> {
    let is_pinned = |image: &Option<ImageRef>| image.as_ref().is_some_and(|of| of.digest.is_some());
    let lost = preview.applications.iter().flat_map(|app| {
        let changes = app.images.iter();
        let lost = changes.filter(|one| is_pinned(&one.from) && one.to.is_some());
        let lost = lost.filter(|one| !is_pinned(&one.to));
        lost.map(|one| format!("{} in {}", code(&one.name), code(&app.key.title())))
    });
    let lost: Vec<_> = lost.collect();
    (!lost.is_empty()).then(|| {
        format!(
            "{} {} no digest any more: what the tag points to may change without a commit.",
            list(&lost),
            if lost.len() == 1 { "has" } else { "have" }
        )
    })
}

/// Applications that change in a stage and in one that comes after it.
fn at_once(preview: &Preview) -> Option<String> {
    let changing = || {
        let all = preview.applications.iter();
        all.filter(|app| !app.plan.is_empty())
    };
    let pairs = changing().flat_map(|later| {
        let earlier = changing().filter(|earlier| {
            earlier.key.application == later.key.application
                && later.after.contains(&earlier.key.stage)
        });
        earlier.map(|earlier| {
            format!(
                "{} and {}",
                code(&earlier.key.title()),
                code(&later.key.title())
            )
        })
    });
    let pairs: Vec<_> = pairs.collect();
    (!pairs.is_empty()).then(|| {
        format!(
            "Changes {} at once, without a promotion between them.",
            list(&pairs)
        )
    })
}

/// What a sync sets back, and fields that are taken.
fn done_to_others(preview: &Preview) -> Vec<String> {
    let mut lines = Vec::new();
    let drifted: Vec<_> = preview
        .applications
        .iter()
        .flat_map(|app| drift_lines(&app.drift))
        .collect();
    if !drifted.is_empty() {
        lines.push(format!(
            "A sync reverts what others changed: {}.",
            list(&drifted)
        ));
    }
    let taken: Vec<_> = effective(preview)
        .filter(|change| !change.notes.taken.is_empty())
        .map(|change| {
            format!(
                "{} of {}",
                holders(&change.notes.taken),
                code(&change.key.to_string())
            )
        })
        .collect();
    if !taken.is_empty() {
        lines.push(format!("Takes {}.", list(&taken)));
    }
    lines
}

fn effective(preview: &Preview) -> impl Iterator<Item = &Change> {
    preview
        .applications
        .iter()
        .flat_map(|app| app.plan.effective())
}

/// The names of the changes that are `wanted`.
fn names(preview: &Preview, wanted: impl Fn(&Change) -> bool) -> Vec<String> {
    effective(preview)
        .filter(|change| wanted(change))
        .map(|change| code(&change.key.to_string()))
        .collect()
}

pub(super) fn list(items: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = items
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        format!("{shown} and {} more (listed below)", items.len() - SHOWN)
    } else {
        shown
    }
}
