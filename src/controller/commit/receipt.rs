//! The receipt of a commit: what was applied, by which plan, who approved it
//! and when, as a note on the commit (`git notes --ref=windlass show`).
//!
//! Written once, when every application that the commit changed is finished. Receipts
//! that are due while one is pushed go with the next push, all in one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cluster::store::ApplicationStatus;
use crate::controller::cache::locked;
use crate::controller::{Error, Reader, Result, Writer, authority, pull_request};
use crate::domain::image::ImageRef;
use crate::domain::pull_request::{Rollout, RolloutState};
use crate::domain::{CommitKey, CommitSha, PullRequestKey, RepoName};
use crate::git::{Mirrors, NOTES};
use crate::github;

/// The receipt to write; None: it is not due, or written already.
pub async fn observe(
    ctx: &Arc<Reader>,
    key: &CommitKey,
    progress: &[Rollout],
) -> Result<Option<String>> {
    if !is_due(progress) || ctx.cache.commits.receipts.contains_key(key) {
        return Ok(None);
    }
    let commit = key.commit.clone();
    let (exists, tree) = ctx
        .mirror(&key.repo, move |mirror| {
            Ok((
                mirror.note(&commit)?.is_some(),
                mirror.tree(&commit)?.to_string(),
            ))
        })
        .await?;
    if exists {
        ctx.cache.commits.receipts.insert(key.clone(), ());
        return Ok(None);
    }
    let mut applications = Vec::new();
    for rollout in progress {
        let status = ctx
            .store
            .application(&rollout.key)
            .await?
            .and_then(|object| object.status)
            .unwrap_or_default();
        applications.push(application(&key.commit, rollout, status));
    }
    let mut requests = Vec::new();
    for number in super::pulls_of(ctx, key).await? {
        requests.push(
            approved_by(
                ctx,
                &PullRequestKey {
                    repo: key.repo.clone(),
                    number,
                },
            )
            .await?,
        );
    }
    let receipt = json!({"version": 1, "commit": key.commit, "tree": tree, "pull_requests": requests, "applications": applications});
    Ok(Some(
        serde_json::to_string_pretty(&receipt).unwrap_or_default() + "\n",
    ))
}

/// Every application that the commit changed is finished, and at least one is healthy.
fn is_due(progress: &[Rollout]) -> bool {
    progress.iter().all(|rollout| rollout.state.is_final())
        && progress
            .iter()
            .any(|rollout| rollout.state == RolloutState::Healthy)
}

/// What was applied of a commit in one application.
fn application(commit: &CommitSha, progress: &Rollout, status: ApplicationStatus) -> Value {
    let (inputs, images) = rendered(commit, &status);
    let sync = status.last_sync.filter(|sync| sync.revision == *commit);
    let objects = sync
        .iter()
        .flat_map(|sync| &sync.objects)
        .filter_map(|done| done.split_once(' '));
    let objects: Vec<_> = objects
        .map(|(action, object)| json!({"object": object, "action": action}))
        .collect();
    json!({
        "application": progress.key.title(),
        "outcome": progress.state.word(),
        "inputs": inputs,
        "plan": sync.as_ref().map(|sync| &sync.plan),
        "started": sync.as_ref().map(|sync| sync.started.to_string()),
        "finished": sync.as_ref().and_then(|sync| sync.finished).map(|at| at.to_string()),
        "images": images.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "objects": objects,
    })
}

/// The digest of what a commit was rendered from, and its images: a newer commit may be there by now.
fn rendered(commit: &CommitSha, status: &ApplicationStatus) -> (Option<String>, Vec<ImageRef>) {
    let mut history = status.history.iter();
    match history.find(|healthy| healthy.revision == *commit) {
        Some(healthy) => (Some(healthy.inputs.clone()), healthy.images.clone()),
        None => (status.inputs.clone(), status.images.clone()),
    }
}

/// The receipts of one repository that wait for a push: whoever pushes takes all of them.
#[derive(Default)]
pub struct Waiting {
    texts: Mutex<BTreeMap<CommitSha, String>>,
    push: tokio::sync::Mutex<()>,
}

pub async fn write(ctx: &Writer, key: &CommitKey, text: String) -> Result<()> {
    let waiting = &ctx.cache.commits.receipts_waiting;
    let waiting = waiting.get_with(key.repo.clone(), Arc::default);
    locked(&waiting.texts).insert(key.commit.clone(), text);
    let _turn = waiting.push.lock().await;
    let texts = std::mem::take(&mut *locked(&waiting.texts));
    if texts.is_empty() {
        // Another one's push had it.
        return Ok(());
    }
    match push(ctx, &key.repo, &texts).await {
        Err(Error::GitHub(
            error @ (github::Error::Refused { .. } | github::Error::NotFound { .. }),
        )) => {
            tracing::warn!(commit = %key, %error, "its receipt cannot be written");
        }
        Err(error) => {
            // Another writer was faster, or the push was done and its answer got lost: what there
            // is is fetched first. The others have their turns yet.
            ctx.touch(&key.repo);
            let others = texts
                .into_iter()
                .filter(|(commit, _)| *commit != key.commit);
            locked(&waiting.texts).extend(others);
            return Err(error);
        }
        Ok(()) => {}
    }
    for commit in texts.keys() {
        let receipts = &ctx.cache.commits.receipts;
        receipts.insert(commit_key(key, commit), ());
    }
    Ok(())
}

fn commit_key(key: &CommitKey, commit: &CommitSha) -> CommitKey {
    CommitKey {
        repo: key.repo.clone(),
        commit: commit.clone(),
    }
}

async fn push(ctx: &Writer, repo: &RepoName, texts: &BTreeMap<CommitSha, String>) -> Result<()> {
    let author = ctx.github.identity().await?.login.clone();
    let (name, texts, now) = (repo.clone(), texts.clone(), ctx.now());
    let write = move |mirrors: &Mirrors| mirrors.write_notes(&name, &texts, &author, now);
    let mut notes = ctx.mirrors(write).await?;
    let pack = std::mem::take(&mut notes.pack);
    let moved = (notes.before.as_ref(), &notes.after);
    ctx.to_github().push(repo, NOTES, moved, pack).await?;
    let name = repo.clone();
    ctx.mirrors(move |mirrors| mirrors.notes_pushed(&name, &notes))
        .await
}

/// Who opened, approved and merged a pull request; an approval counts by the rule of the gate.
async fn approved_by(ctx: &Arc<Reader>, key: &PullRequestKey) -> Result<Value> {
    let snapshot = pull_request::snapshot(ctx, key).await?.snapshot;
    let counted = authority::approved_by(ctx, key, &snapshot, None).await?;
    let at = |login: &String| {
        let of = snapshot.reviews.iter().rev().find(|review| {
            review
                .user
                .as_ref()
                .is_some_and(|user| user.login == *login)
        });
        of.and_then(|review| review.submitted_at)
            .map(|at| at.to_string())
    };
    let by: Vec<_> = counted
        .iter()
        .map(|login| json!({"by": login, "at": at(login)}))
        .collect();
    let (pull, merged) = (
        &snapshot.pull,
        snapshot.pull.merged_at.map(|at| at.to_string()),
    );
    Ok(
        json!({"number": key.number, "author": pull.author(), "head": pull.head.sha, "merged_at": merged, "approvals": by}),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::cluster::store::LastSync;
    use crate::domain::TargetKey;

    fn progress(state: RolloutState) -> Rollout {
        Rollout {
            key: TargetKey {
                repo: "acme/config".parse().unwrap(),
                application: "shop".parse().unwrap(),
                stage: "staging".parse().unwrap(),
                cluster: None,
            },
            state,
            message: String::new(),
            failed: false,
            detail: String::new(),
        }
    }

    #[test]
    fn a_receipt_is_due_once_all_is_over_and_something_runs() {
        use RolloutState::{Deleted, Healthy, Superseded, Syncing};
        for (states, due) in [
            (&[Healthy, Superseded][..], true),
            (&[Healthy, Syncing], false),
            (&[Deleted, Superseded], false),
            (&[], false),
        ] {
            let all: Vec<_> = states.iter().copied().map(progress).collect();
            assert_eq!(is_due(&all), due, "{states:?}");
        }
    }

    #[test]
    fn a_receipt_tells_of_the_syncs_of_its_own_commit_alone() {
        let sha = |digit: &str| -> CommitSha { digit.repeat(40).parse().unwrap() };
        let status = || ApplicationStatus {
            last_sync: Some(LastSync {
                revision: sha("a"),
                plan: "wl1:x".into(),
                started: Timestamp::UNIX_EPOCH,
                finished: None,
                objects: vec!["configure Deployment shop/web".into()],
            }),
            ..ApplicationStatus::default()
        };
        let one = progress(RolloutState::Healthy);
        let own = application(&sha("a"), &one, status());
        assert_eq!(own["plan"], "wl1:x");
        let object = json!({"object": "Deployment shop/web", "action": "configure"});
        assert_eq!(own["objects"], json!([object]));
        let other = application(&sha("b"), &one, status());
        assert_eq!(other["plan"], Value::Null);
        assert_eq!(other["objects"], json!([]));
    }
}
