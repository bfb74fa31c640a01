//! After the merge: where a roll-out stands, in one line and as the sticky comment.

use serde::Serialize;

use super::markdown::{code, quoted};
use super::markers::sticky;
use super::{MOST_BYTES, listed, render};
use crate::domain::CommitSha;
use crate::domain::pull_request::{Rollout, RolloutState, Score, Wanted};
use crate::domain::rollout::{self, Outcome, Summary};

/// Where a roll-out stands, in one line.
pub fn rollout(summary: &Summary<'_>) -> String {
    let Summary {
        total,
        healthy,
        superseded,
        ..
    } = *summary;
    let of =
        |one: &Rollout, text: &str| format!("{}: {}", one.key.title(), text.replace('\n', " "));
    let done = healthy + superseded;
    match (summary.outcome, summary.about) {
        (Outcome::Failed, Some(one)) => of(one, &one.message),
        (Outcome::Stale, Some(one)) => format!("stale: {}", of(one, &one.message)),
        (Outcome::Nothing, _) => "no application changes".into(),
        (Outcome::Superseded, Some(one)) => format!("superseded {}", one.message),
        (Outcome::Healthy, Some(one)) if total == 1 && one.state == RolloutState::Deleted => {
            format!("{} is gone, with all its objects", one.key.title())
        }
        (Outcome::Healthy, Some(one)) if total == 1 => {
            format!("{} is synced and healthy", one.key.title())
        }
        (Outcome::Healthy, _) if superseded == 0 => {
            format!("{total} applications are synced and healthy")
        }
        (Outcome::Healthy, _) => format!(
            "{healthy} of {total} applications are synced and healthy; newer commits changed the others"
        ),
        (_, Some(one)) if matches!(one.state, RolloutState::Leaving | RolloutState::Undecided) => {
            of(one, &one.message)
        }
        // No more detail than changes rarely: GitHub takes 1000 statuses of a kind on one commit.
        (_, Some(one)) if total == 1 && !one.message.is_empty() => of(one, &one.message),
        (_, Some(one)) if total == 1 && !one.detail.is_empty() => of(one, &one.detail),
        _ => format!("{done} of {total} applications are synced and healthy"),
    }
}

/// Where the change of a merged pull request stands.
pub fn merged(commit: &CommitSha, progress: &[Rollout]) -> String {
    let summary = rollout::summary(progress);
    let line = rollout(&summary);
    // One that names a command shows it as it is written.
    let line = match line.contains('`') {
        true => code(&line),
        false => quoted(&line),
    };
    let mut text = format!("Merged as `{}`: {line}.", commit.short());
    for one in progress.iter().filter(|_| progress.len() > 1) {
        let message = match one.message.is_empty() {
            true => String::new(),
            false => format!(": {}", code(&one.message)),
        };
        text.push_str(&format!(
            "\n- `{}` {}{message}",
            one.key.title(),
            one.state.word()
        ));
    }
    text
}

#[derive(Serialize)]
struct ProgressView {
    verdict: String,
    commit: String,
    predicted: String,
    unmet: Option<String>,
    applications: Vec<ProgressRow>,
    preview: Option<String>,
}

#[derive(Serialize)]
struct ProgressRow {
    title: String,
    state: &'static str,
    message: String,
}

/// The sticky comment of a merged pull request. `preview`: the details of the head's check run.
/// `unmet`: what the gate said when it was merged without being green. `predicted`: which objects are
/// as the preview said.
pub fn progress(
    commit: &CommitSha,
    progress: &[Rollout],
    preview: Option<&str>,
    unmet: Option<&str>,
    predicted: Option<&Score>,
) -> Wanted {
    let last = progress.iter().all(|one| one.state.is_final());
    let summary = rollout::summary(progress);
    let about = summary.about.map(|one| one.state);
    let verdict = match summary.outcome {
        Outcome::Healthy if about == Some(RolloutState::Deleted) => "**Gone**",
        Outcome::Pending if about == Some(RolloutState::Leaving) => "**Merged** · deletions wait",
        Outcome::Pending if about == Some(RolloutState::Undecided) => {
            "**Merged** · waits for a decision"
        }
        Outcome::Healthy => "**Synced, healthy**",
        Outcome::Failed => "**Failed**",
        Outcome::Superseded => "**Superseded** by a newer commit",
        Outcome::Stale => "**Not known**: a cluster cannot be reached",
        Outcome::Pending | Outcome::Nothing => "**Merged** · syncing",
    };
    let rows = progress.iter().map(|one| ProgressRow {
        title: one.key.title(),
        state: one.state.word(),
        message: if one.message.is_empty() {
            String::new()
        } else {
            code(&one.message)
        },
    });
    let text = render(
        "progress.md",
        ProgressView {
            verdict: verdict.into(),
            commit: commit.short().into(),
            predicted: predicted.map(as_predicted).unwrap_or_default(),
            unmet: unmet.map(quoted),
            applications: rows.collect(),
            preview: preview
                .filter(|text| text.len() < MOST_BYTES - 8_000)
                .map(|text| {
                    text.replace("<details open>", "<details>")
                        .trim()
                        .to_string()
                }),
        },
    );
    sticky(&text, "", last)
}

/// How many objects are as predicted, and which are not.
fn as_predicted(score: &Score) -> String {
    let text = format!(" · {} of {} objects as predicted", score.held, score.all());
    if score.differing.is_empty() {
        return text;
    }
    let names: Vec<_> = score.differing.iter().map(ToString::to_string).collect();
    format!("{text}; not {}", listed(&names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TargetKey;
    use crate::domain::manifest::ResourceKey;

    #[test]
    fn what_is_not_as_predicted_is_named() {
        let mut score = Score {
            held: 2,
            differing: Vec::new(),
        };
        assert_eq!(as_predicted(&score), " · 2 of 2 objects as predicted");
        score.differing.push(ResourceKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        });
        let text = " · 2 of 3 objects as predicted; not `Deployment shop/web`";
        assert_eq!(as_predicted(&score), text);
    }

    #[test]
    fn a_roll_out_that_failed_keeps_its_preview() {
        let done = Rollout {
            key: TargetKey {
                repo: "acme/config".parse().unwrap(),
                application: "shop".parse().unwrap(),
                stage: "staging".parse().unwrap(),
                cluster: None,
            },
            state: RolloutState::Failed,
            message: "Deployment web: pod web-1: CrashLoopBackOff".into(),
            failed: true,
            detail: String::new(),
        };
        insta::assert_snapshot!(progress(&"a".repeat(40).parse().unwrap(), &[done], Some("the preview"), None, None).text, @"
    **Failed** · `aaaaaaaaaaaa`

    | application | state | |
    |---|---|---|
    | `shop/staging` | failed | `Deployment web: pod web-1: CrashLoopBackOff` |

    <details><summary>the preview that was merged</summary>

    the preview

    </details>
    ");
    }
}
