//! Carries out the decided steps: comments, check runs, the merge.

use std::time::Duration;

use tokio::time::Instant;

use super::shown_preview::ShownPreview;
use super::verdict::still_stands;
use super::{Observation, approved, commands, merge, place_of};
use crate::controller::{Error, Kind, Requeue, Result, Writer, branch_rules};
use crate::domain::PullRequestKey;
use crate::domain::activity::What;
use crate::domain::approvals::{Contributors, Doubt};
use crate::domain::gate::Standing;
use crate::domain::pull_request::{CHECK, Failure, GATE_CONTEXT, Step, shortened};
use crate::github::{self, NewAnnotation, NewCheck};
use crate::view;

pub async fn act(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    steps: Vec<Step>,
) -> Result<Requeue> {
    if is_passed(observation)
        && let Err(error) = approved::record_once(ctx, key, observation).await
    {
        tracing::warn!(pr = %key, %error, "what was approved cannot be stored: it is tried again");
    }
    let mut requeue = next_look(ctx, observation);
    let mut refused: Option<(Step, Error)> = None;
    let mut limited = None;
    for step in steps {
        let is_answer = matches!(step, Step::Answer { .. });
        if limited.is_some() && !is_answer {
            continue;
        }
        if refused
            .as_ref()
            .is_some_and(|(before, _)| needs(&step, before))
        {
            continue;
        }
        match take(ctx, key, observation, step.clone()).await {
            Ok(Taken::Next(pause)) => requeue = pause.unwrap_or(requeue),
            Ok(Taken::Stop(pause)) => return Ok(pause),
            // A locked thread, or one with too many comments, keeps nobody from merging.
            Err(error @ Error::GitHub(github::Error::Refused { .. })) => {
                tracing::warn!(pr = %key, %error, "GitHub refuses a step: the others go on");
                let worse = refused
                    .as_ref()
                    .is_none_or(|(before, _)| !is_record(before));
                if worse {
                    refused = Some((step, error));
                }
            }
            // Answers have room of their own in GitHub's limits: somebody waits for them.
            Err(error) if matches!(error.kind(), Kind::RateLimited(_)) && !is_answer => {
                limited = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match limited.or(refused.map(|(_, error)| error)) {
        Some(error) => Err(error),
        None => Ok(requeue),
    }
}

/// Whether an open pull request passes all gates.
fn is_passed(observation: &Observation) -> bool {
    let verdict = observation.facts.verdict.as_ref();
    verdict.is_some_and(|verdict| verdict.standing == Standing::Passed)
}

/// Whether a merge needs it: what was shown and decided, and that somebody changed what was shown.
fn is_record(step: &Step) -> bool {
    matches!(
        step,
        Step::ReportTampering | Step::PublishCheck | Step::SetGate { .. }
    )
}

/// Whether a step must not be taken after another one that GitHub refused.
fn needs(step: &Step, refused: &Step) -> bool {
    match step {
        Step::Merge(_) => is_record(refused),
        // Afterwards nothing shows the edit any more.
        Step::EditSticky { .. } => matches!(refused, Step::ReportTampering),
        _ => false,
    }
}

/// What follows on a step.
enum Taken {
    /// The next step; and when to look again, if that is another time now.
    Next(Option<Requeue>),
    /// What was decided does not stand any more.
    Stop(Requeue),
}

async fn take(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    step: Step,
) -> Result<Taken> {
    let place = place_of(&observation.base, key);
    match step {
        Step::ReportTampering => report_tampering(ctx, key, observation).await?,
        Step::PostSticky(wanted) => {
            let body = view::sticky_body(&wanted, &ctx.seal, &place);
            put_comment(ctx, key, &body, None).await?;
        }
        Step::EditSticky { id, wanted } => {
            let body = view::sticky_body(&wanted, &ctx.seal, &place);
            put_comment(ctx, key, &body, Some(id)).await?;
        }
        Step::DeleteDuplicate { id } => {
            ctx.to_github().delete_comment(&key.repo, id).await?;
            let snapshots = &ctx.cache.pulls.snapshots;
            snapshots.wrote(key, |snapshot| snapshot.comments.retain(|one| one.id != id));
        }
        Step::ReportFailure(text) => report_failure(ctx, key, &text).await?,
        Step::ReportOutcome(outcome) => put_comment(ctx, key, &outcome.text, None).await?,
        Step::PublishCheck => {
            publish(ctx, key, observation).await?;
            return Ok(Taken::Next(Some(Requeue::After(Duration::ZERO))));
        }
        Step::Dequeue => merge::dequeue(ctx, key, observation).await?,
        Step::RetireGate => retire_gate(ctx, key, observation).await?,
        Step::SetGate { state, description } => {
            // From now on a person may merge, also while this process is down.
            if state == "success" {
                approved::record_once(ctx, key, observation).await?;
            }
            set_gate(ctx, key, observation, state, description).await?
        }
        Step::Answer { source } => commands::answer(ctx, key, observation, source).await?,
        Step::Merge(permit) => {
            // The steps before may have waited for their turn.
            if !still_stands(ctx, key, observation).await? {
                return Ok(Taken::Stop(Requeue::After(Duration::ZERO)));
            }
            approved::record(ctx, key, observation).await?;
            let merged = merge::merge(ctx, key, observation, &permit).await?;
            let merged = merged.or_after(observation.next_change(ctx.now()));
            return Ok(Taken::Next(Some(merged)));
        }
    }
    Ok(Taken::Next(None))
}

/// When to look again without an event.
fn next_look(ctx: &Writer, observation: &Observation) -> Requeue {
    let retry = observation
        .shown_preview
        .as_ref()
        .and_then(|shown_preview| shown_preview.retry);
    let mut requeue = retry.map_or(Requeue::Idle, |(at, _)| {
        Requeue::After(at.saturating_duration_since(Instant::now()))
    });
    // GitHub lists a push after a while.
    if observation.gate_facts.as_ref().is_some_and(|facts| {
        matches!(
            facts.contributors,
            Contributors::Unknown(Doubt::Push { .. })
        )
    }) {
        requeue = Requeue::After(Duration::from_secs(30));
    }
    requeue.or_after(observation.next_change(ctx.now()))
}

async fn report_failure(ctx: &Writer, key: &PullRequestKey, text: &str) -> Result<()> {
    put_comment(ctx, key, text, None).await?;
    for title in view::failed_of(text) {
        let told = &ctx.cache.pulls.reported_failures;
        told.insert((key.clone(), title), ());
    }
    Ok(())
}

async fn report_tampering(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
) -> Result<()> {
    let id = observation.facts.sticky.as_ref().map(|sticky| sticky.id);
    let Some(comment) = observation
        .snapshot
        .comments
        .iter()
        .find(|comment| Some(comment.id) == id)
    else {
        return Ok(());
    };
    let notice = view::tampered(comment.id, comment.updated_at, &comment.html_url);
    put_comment(ctx, key, &notice, None).await
}

/// Posts a comment, or edits the one with the id `existing`.
pub async fn put_comment(
    ctx: &Writer,
    key: &PullRequestKey,
    body: &str,
    existing: Option<u64>,
) -> Result<()> {
    let github = ctx.to_github();
    let comment = match existing {
        Some(id) => github.edit_comment(&key.repo, id, body).await?,
        None => github.post_comment(key, body).await?,
    };
    let snapshots = &ctx.cache.pulls.snapshots;
    snapshots.wrote(key, |snapshot| snapshot.put_comment(comment));
    Ok(())
}

/// Publishes a check run, or updates the one with the id `existing`.
async fn put_check(
    ctx: &Writer,
    key: &PullRequestKey,
    check: &NewCheck,
    existing: Option<u64>,
) -> Result<()> {
    let github = ctx.to_github();
    let published = github.publish_check(&key.repo, check, existing).await?;
    let snapshots = &ctx.cache.pulls.snapshots;
    snapshots.wrote(key, |snapshot| snapshot.put_check(published));
    Ok(())
}

/// Publishes the verdict as a check run. The existing run is updated; a completed run that becomes
/// pending again is replaced by a new one.
async fn set_gate(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    state: &'static str,
    title: String,
) -> Result<()> {
    let Some(verdict) = &observation.facts.verdict else {
        return Ok(());
    };
    let conclusion = if state == "pending" {
        None
    } else {
        Some(state)
    };
    let advice = match branch_rules::require_our_gate(ctx, &observation.base).await? {
        true => String::new(),
        false => view::unprotected(&observation.base.repo.default_branch),
    };
    let check = NewCheck {
        name: GATE_CONTEXT.into(),
        head: observation.snapshot.pull.head.sha.clone(),
        external_id: String::new(),
        conclusion,
        title,
        summary: format!("{}\n\n{advice}", view::why(verdict)).trim().into(),
        text: None,
        annotations: vec![],
    };
    let before = observation.snapshot.gate.as_ref();
    let said = before.map(|run| (run.conclusion.as_deref(), run.output.title.as_deref()));
    let is_new = said != Some((conclusion, Some(check.title.as_str())));
    let open_run = before.filter(|run| run.conclusion.is_none() || conclusion.is_some());
    put_check(ctx, key, &check, open_run.map(|run| run.id)).await?;
    if is_new {
        let (state, why) = (state.to_string(), check.title);
        ctx.record_pull(key, What::Gate { state, why });
    }
    Ok(())
}

/// Cancels the verdict on the head: it was this pull request's.
async fn retire_gate(ctx: &Writer, key: &PullRequestKey, observation: &Observation) -> Result<()> {
    let check = NewCheck {
        name: GATE_CONTEXT.into(),
        head: observation.snapshot.pull.head.sha.clone(),
        external_id: String::new(),
        conclusion: Some("cancelled"),
        title: format!(
            "was the verdict of #{}, which is not open any more",
            key.number
        ),
        summary: "Another pull request from this commit has a verdict of its own.".into(),
        text: None,
        annotations: vec![],
    };
    let existing = observation.snapshot.gate.as_ref().map(|gate| gate.id);
    put_check(ctx, key, &check, existing).await
}

async fn publish(ctx: &Writer, key: &PullRequestKey, observation: &Observation) -> Result<()> {
    let Some(shown) = observation.shown_preview.as_deref() else {
        return Ok(());
    };
    let ShownPreview {
        preview, text, id, ..
    } = shown;
    // The further pages are published first: once the check run that counts exists, all pages do.
    for (number, page) in text.pages.iter().enumerate() {
        let check = NewCheck {
            name: format!("{CHECK} page {}", number + 2),
            head: preview.head.clone(),
            external_id: id.clone(),
            conclusion: Some("neutral"),
            title: format!(
                "{} (page {} of {})",
                text.title,
                number + 2,
                text.pages.len() + 1
            ),
            summary: format!("Continues `{CHECK}`."),
            text: Some(page.clone()),
            annotations: vec![],
        };
        put_check(ctx, key, &check, None).await?;
    }
    put_check(ctx, key, &preview_check(shown), None).await?;
    let title = text.title.clone();
    ctx.record_pull(key, What::Previewed { title });
    Ok(())
}

/// The check run that holds a preview, without its further pages.
pub fn preview_check(shown: &ShownPreview) -> NewCheck {
    let ShownPreview {
        preview, text, id, ..
    } = shown;
    let conclusion = match (&preview.failure, preview.ok()) {
        (Some(Failure::Fork), _) => "neutral",
        // A preview that does not show everything is neither a success nor a failure.
        (_, true) if text.unseen > 0 => "neutral",
        (_, true) => "success",
        (_, false) => "failure",
    };
    NewCheck {
        name: CHECK.into(),
        head: preview.head.clone(),
        external_id: id.clone(),
        conclusion: Some(conclusion),
        title: text.title.clone(),
        summary: text.summary.clone(),
        text: Some(text.text.clone()),
        annotations: text.annotations.iter().map(annotation).collect(),
    }
}

/// GitHub takes 255 characters of a title and 64 KB of a message.
fn annotation(at: &view::Annotation) -> NewAnnotation {
    let line = at.place.line;
    NewAnnotation {
        path: at.place.path.clone(),
        start_line: line,
        end_line: line,
        annotation_level: "failure",
        title: shortened(&at.title, 255),
        message: shortened(&at.message, 2_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pull_request::Wanted;

    #[test]
    fn a_refused_record_stops_the_merge_and_nothing_else() {
        let sticky = || Step::EditSticky {
            id: 1,
            wanted: Wanted {
                text: String::new(),
                fingerprint: String::new(),
                last: false,
            },
        };
        let gate = || Step::SetGate {
            state: "success",
            description: "all gates passed".into(),
        };
        assert!(needs(&sticky(), &Step::ReportTampering));
        assert!(!needs(&sticky(), &gate()));
        assert!(!needs(&gate(), &sticky()));
        for record in [Step::ReportTampering, Step::PublishCheck, gate()] {
            assert!(is_record(&record), "{record:?}");
        }
        for other in [sticky(), Step::ReportFailure(String::new()), Step::Dequeue] {
            assert!(!is_record(&other), "{other:?}");
        }
    }
}
