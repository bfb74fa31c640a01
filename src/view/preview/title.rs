//! A preview in one line: how many applications change, what happens in them, how well it is known.

use crate::domain::effect;
use crate::domain::plan::{Action, Confidence, Plan};
use crate::domain::pull_request::{ApplicationPreview, Failure, Preview};

/// The verdict, without marks.
pub(in crate::view) fn title(preview: &Preview) -> String {
    plain(&verdict_line(preview))
}

/// Text without Markdown's marks.
pub(super) fn plain(verdict: &str) -> String {
    verdict.replace("**", "").replace('`', "")
}

/// The verdict in one line.
pub(super) fn verdict_line(preview: &Preview) -> String {
    if let Some(failure) = &preview.failure {
        return not_previewed(failure).into();
    }
    let changed = preview.applications.len();
    if changed == 0 {
        let policy = match preview.policy.is_empty() {
            true => "",
            false => " · policy changes",
        };
        return format!("**No application changes**{policy}");
    }
    let mut parts = vec![applications(preview)];
    parts.extend(counts(preview.applications.iter().map(|app| &app.plan)));
    let leaving = preview.applications.iter().filter(|app| app.leaves).count();
    if leaving > 0 {
        let leave = if leaving == 1 { "leaves" } else { "leave" };
        parts.push(format!("{leaving} {leave} Git"));
    }
    let plans = || preview.applications.iter().map(|app| &app.plan);
    if plans().any(effect::stops_all) {
        parts.push("**downtime**".into());
    }
    let pods: i64 = plans().map(effect::pods_rolled).sum();
    if pods > 0 {
        parts.push(format!(
            "rolls {}",
            counted(usize::try_from(pods).unwrap_or_default(), "pod")
        ));
    }
    let failed: usize = preview
        .applications
        .iter()
        .map(|app| usize::from(app.error.is_some()) + app.plan.problems().count())
        .sum();
    if failed > 0 {
        parts.push(format!("**{failed} cannot be applied**"));
    } else if plans().all(Plan::is_empty) {
        parts.push(match leaving {
            0 => stays(preview),
            _ => "nothing is deleted before `/confirm-prune`".into(),
        });
    } else if plans()
        .flat_map(Plan::effective)
        .all(|change| change.confidence == Confidence::Server)
    {
        parts.push("verified by the cluster".into());
    } else {
        parts.push("partly verified by the cluster".into());
    }
    parts.join(" · ")
}

/// A preview without effect: the cluster may be about to change for other reasons.
fn stays(preview: &Preview) -> String {
    let apps = preview.applications.iter();
    match apps.flat_map(ApplicationPreview::pending).count() {
        0 => "the cluster stays as it is".into(),
        count => format!(
            "{} by the next sync, for other reasons",
            counted(count, "change")
        ),
    }
}

/// How many applications change, of all.
fn applications(preview: &Preview) -> String {
    let all = counted(preview.total, "application");
    let changes = |app: &&ApplicationPreview| {
        !app.plan.is_empty() || app.leaves || app.error.is_some() || app.plan.problems().count() > 0
    };
    match preview.applications.iter().filter(changes).count() {
        0 => format!("**None of {all} changes**"),
        1 => format!("**1 of {all} changes**"),
        many => format!("**{many} of {all} change**"),
    }
}

/// Why nothing was previewed.
fn not_previewed(failure: &Failure) -> &'static str {
    match failure {
        Failure::Conflict(_) => "**Conflicts with the base branch** · nothing was previewed",
        Failure::Fork => "**Not previewed** · the head is in a fork",
        Failure::TooLarge(_) => "**Not previewed** · the tree is too large",
        Failure::Killed => "**Not previewed** · windlass stopped while it previewed this commit",
        Failure::Configuration(_) => "**The configuration cannot be read** · nothing was previewed",
    }
}

/// What becomes of an object.
pub(in crate::view) fn action_word(action: &Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Configure => "changed",
        Action::Recreate => "recreated",
        Action::Prune => "deleted",
        Action::Unchanged => "unchanged",
    }
}

/// How often each thing happens in plans: `2 created`, `1 deleted`.
pub(in crate::view) fn counts<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Vec<String> {
    let plans: Vec<_> = plans.into_iter().collect();
    let actions = [
        Action::Create,
        Action::Configure,
        Action::Recreate,
        Action::Prune,
    ];
    let counted_actions = actions.iter().map(|action| {
        (
            plans.iter().map(|plan| plan.count(action)).sum::<usize>(),
            action,
        )
    });
    let mut words: Vec<_> = counted_actions
        .filter(|(count, _)| *count > 0)
        .map(|(count, action)| format!("{count} {}", action_word(action)))
        .collect();
    let hooks: usize = plans.iter().map(|plan| plan.hooks()).sum();
    if hooks > 0 {
        words.push(format!(
            "{} run{}",
            counted(hooks, "hook"),
            if hooks == 1 { "s" } else { "" }
        ));
    }
    words
}

pub(in crate::view) fn counted(number: usize, word: &str) -> String {
    if number == 1 {
        format!("1 {word}")
    } else {
        format!("{number} {word}s")
    }
}
