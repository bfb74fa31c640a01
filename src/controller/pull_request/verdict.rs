//! What the gates say of a head, from facts of GitHub, Git and the earlier stages.

use std::sync::Arc;

use super::shown::Shown;
use crate::controller::preview::Changes;
use crate::controller::{Base, Reader, Result, authority, dry_run, key_of_branch};
use crate::domain::PullRequestKey;
use crate::domain::approvals::Writers;
use crate::domain::command::{self, Command, Permission};
use crate::domain::gate::{self, Facts, Origin, PreviewFact, Verdict};
use crate::domain::plan::{Comparison, Plan, Side};
use crate::domain::promotion::Offer;
use crate::domain::pull_request::Failure;
use crate::github::{self, PullSnapshot};

/// State and title of the verdict's check run.
pub fn gate_of(check: &github::CheckRun) -> (String, String) {
    let state = match check.conclusion.as_deref() {
        None => "pending",
        Some("success") => "success",
        // Of another pull request from the same commit.
        Some("cancelled") => "retired",
        Some(_) => "failure",
    };
    (state.into(), check.output.title.clone().unwrap_or_default())
}

/// Holds what a preview showed against what came of it, once. Only for the preview that this process made: it is a
/// measure, and nothing waits for it.
pub async fn score(ctx: &Arc<Reader>, key: &PullRequestKey, base: &Base) -> Result<()> {
    let Some(shown) = ctx.cache.pulls.previews.remove(key) else {
        return Ok(());
    };
    let (mut held, mut missed) = (0, 0);
    for app in &shown.preview.applications {
        let Some(target) = base.target(&app.key) else {
            continue;
        };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        for change in app
            .plan
            .effective()
            .filter(|change| change.problem.is_none())
        {
            let live = cluster.live(&change.key, &change.version).await?;
            if crate::domain::plan::came_out(&ctx.observer.mask, change, live.as_ref()) {
                held += 1;
            } else {
                missed += 1;
                let came = Plan::new(
                    &ctx.observer.mask,
                    [Comparison::new(
                        change.key.clone(),
                        Side::Absent,
                        dry_run::side(live),
                    )],
                );
                let came = came.changes.first().and_then(|came| came.after.clone());
                let differs = crate::domain::plan::Change {
                    before: change.after.clone(),
                    after: came,
                    ..change.clone()
                };
                // What is live is nobody's business who reads logs: how much differs is enough to look at it.
                let (added, removed) = crate::domain::plan::size(&differs.diff());
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), added, removed, "a prediction did not come out");
            }
        }
    }
    ctx.metrics.predicted(held, missed);
    Ok(())
}

// ---- the preview

pub async fn verdict(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    shown: &Shown,
    fact: Option<PreviewFact>,
) -> Result<(Facts, Verdict, Option<gate::MergePermit>)> {
    let (pull, preview, changes) = (&snapshot.pull, &shown.preview, &shown.changes);
    let refused = ctx
        .cache
        .pulls
        .refusals
        .get(key)
        .filter(|(head, _)| *head == pull.head.sha)
        .map(|(_, why)| why);
    let (origin, offers) = origin(ctx, key, base, snapshot, changes).await?;
    let reviews = authority::reviews(ctx, key, snapshot).await?;
    let unseen_by = if shown.text.unseen > 0 {
        accepting(snapshot, fact.as_ref())
    } else {
        Vec::new()
    };
    let mut logins: Vec<_> = reviews.iter().map(|review| review.user.clone()).collect();
    logins.extend(unseen_by.iter().cloned());
    // What is ours alone nobody else had a hand in; otherwise it is only asked when somebody's word is to be judged.
    let writers = match origin {
        Origin::Ours => Writers::known([]),
        _ if logins.is_empty() => Writers::known([]),
        _ => authority::writers(ctx, key, snapshot).await?,
    };
    let promotes = key_of_branch(&key.repo, &pull.head.branch).filter(|_| origin != Origin::People);
    let earlier = match promotes
        .as_ref()
        .and_then(|promotion| Some((promotion, base.target(promotion)?)))
    {
        Some((promotion, target)) => authority::earlier(ctx, promotion, target).await?,
        None => Vec::new(),
    };
    let targets = authority::touched_stages(base, changes, preview);
    let mut facts = Facts {
        head: pull.head.sha.clone(),
        origin,
        writers,
        draft: pull.draft,
        stages: authority::policies(ctx, key, &targets, changes, &logins).await?,
        touches_unmanaged: changes.unmanaged.clone(),
        conflicts: if let Some(Failure::Conflict(files)) = &preview.failure {
            files.clone()
        } else {
            vec![]
        },
        preview: fact,
        earlier,
        doubt: offers.iter().find_map(Offer::doubt),
        reviews,
        refused,
    };
    for user in unseen_by {
        let writer = ctx.github.permission(&key.repo, &user).await? >= Permission::Write;
        let accepted = gate::unseen_refusal(&facts, &user, writer).is_none();
        if let Some(preview) = &mut facts.preview {
            preview.unseen_accepted |= accepted;
        }
    }
    let (verdict, permit) = gate::evaluate(&facts);
    Ok((facts, verdict, permit))
}

/// Who accepts, after the preview of this head, what it does not show.
fn accepting(snapshot: &PullSnapshot, fact: Option<&PreviewFact>) -> Vec<String> {
    let Some(since) = fact.map(|fact| fact.completed_at) else {
        return Vec::new();
    };
    let accepts = |comment: &&github::Comment| {
        comment.created_at >= since
            && comment.updated_at == comment.created_at
            && comment.performed_via_github_app.is_none()
            && command::parse(comment.text())
                .iter()
                .any(|line| line.meaning == Ok(Command::AcceptUnseen))
    };
    let users = snapshot
        .comments
        .iter()
        .filter(accepts)
        .filter_map(|comment| comment.user.as_ref());
    users
        .filter(|user| user.kind == "User")
        .map(|user| user.login.clone())
        .collect()
}

/// Ours is what our App opened, whose commits are all ours, and whose tree is the edit made anew from the candidates; with
/// the images that it brings.
async fn origin(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    changes: &Changes,
) -> Result<(Origin, Vec<Offer>)> {
    let bot = ctx.github.identity().await?.login.clone();
    let pull = &snapshot.pull;
    let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.author() == bot)
    else {
        return Ok((Origin::People, Vec::new()));
    };
    let (Some(object), Some(target), Some(merged)) = (
        ctx.home.promotion(&promotion).await?,
        base.target(&promotion).cloned(),
        changes.merged,
    ) else {
        return Ok((Origin::OursChanged, Vec::new()));
    };
    let announced = crate::controller::promotion::announced(ctx, base, &promotion).await?;
    let (commit, head) = (base.commit.clone(), pull.head.sha.clone());
    let offers = ctx
        .mirror(&key.repo, move |mirror| {
            if !mirror
                .authors(&commit, &head)?
                .iter()
                .all(|email| crate::controller::promotion::is_ours(email, &bot))
            {
                return Ok(None);
            }
            let tree = mirror.tree(&commit)?;
            Ok(
                match crate::controller::promotion::proposal(
                    mirror, tree, &target, &object, &announced,
                )? {
                    // The merged tree was made by another handle of the same repository: ids of equal content are equal.
                    Ok(proposal) if mirror.edited(tree, &proposal.edits)? == merged => {
                        Some(proposal.offers)
                    }
                    _ => None,
                },
            )
        })
        .await?;
    Ok(offers.map_or((Origin::OursChanged, Vec::new()), |offers| {
        (Origin::Ours, offers)
    }))
}

// ---- writes
