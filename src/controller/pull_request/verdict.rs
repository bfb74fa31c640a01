//! The verdict of the gates on a head, from facts of GitHub, Git and the earlier stages.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::origin::{Proposed, origin};
use super::shown_preview::ShownPreview;
use super::standing::{Standing, merge_requested_by, overrides, seen_since, standing};
use super::{Observation, merge};
use crate::cluster::store::Freeze;
use crate::controller::authority::{People, permission};
use crate::controller::preview::Changes;
use crate::controller::{Base, Reader, Result, authority, branch_rules};
use crate::domain::approvals::Contributors;
use crate::domain::command::{Command, Permission};
use crate::domain::gate::{
    self, CheckState, Earlier, Facts, GitHubFacts, Origin, PreviewFact, StagePolicy, Verdict,
};
use crate::domain::hold::Hold;
use crate::domain::promotion::Offer;
use crate::domain::pull_request::{CHECK, Failure, GATE_CONTEXT};
use crate::domain::rules::RequiredCheck;
use crate::domain::{CommitSha, PullRequestKey, RepoName, StageKey};
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

pub async fn verdict(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    shown_preview: &ShownPreview,
    fact: Option<PreviewFact>,
) -> Result<(Facts, Verdict, Option<gate::MergePermit>)> {
    let (pull, changes) = (&snapshot.pull, &shown_preview.changes);
    let proposed = origin(ctx, key, base, snapshot, changes).await?;
    let given = standing(snapshot);
    let seen_since = seen_since(ctx, key, base.repo.id, snapshot, fact.as_ref(), &given).await?;
    let reviews = authority::reviews(ctx, key, snapshot).await?;
    let unseen_by = match shown_preview.text.unseen {
        0 => Vec::new(),
        _ => accepting(&given, seen_since),
    };
    let mut logins: Vec<_> = reviews.iter().map(|review| review.user.clone()).collect();
    logins.extend(unseen_by.iter().cloned());
    let mut overrides = overrides(ctx, key, snapshot, &given).await?;
    let overriding: Vec<_> = overrides.iter().map(|given| given.by.clone()).collect();
    // They count from those who could see what they let through. GitHub's times are in seconds: one
    // of the same second may have been of the head before.
    overrides.retain(|given| seen_since.is_some_and(|at| given.at > at));
    let targets = authority::touched_stages(base, changes, &shown_preview.preview);
    let github = github_facts(ctx, base, snapshot).await?;
    let people = People {
        deciding: &logins,
        overriding: &overriding,
    };
    let policies = authority::policies(ctx, key, &targets, changes, people).await?;
    let earlier = earlier(ctx, key, base, snapshot, &proposed).await?;
    let judged: Vec<_> = logins.iter().chain(&overriding).cloned().collect();
    let mut facts = Facts {
        now: ctx.now(),
        head: pull.head.sha.clone(),
        author: pull.author().to_string(),
        overrides,
        contributors: contributors(ctx, key, snapshot, &proposed, &earlier, &judged).await?,
        manual_merge_reason: manual_merge_reason(&proposed, &earlier),
        earlier,
        origin: proposed.origin,
        draft: pull.draft,
        stages: with_freezes(ctx, base, policies).await?,
        touches_unmanaged: changes.unmanaged.clone(),
        conflicts: conflicts(shown_preview),
        holds: holds(ctx, &key.repo, changes, proposed.back_to()).await?,
        merge_requested_by: merge_requested_by(ctx, key, snapshot, seen_since, &given).await?,
        rollback: proposed.rolls_back(),
        preview: fact,
        reviews,
        methods: branch_rules::methods(ctx, base, &github.rules),
        github,
    };
    facts.github.refused = merge::refused(ctx, key, &pull.head.sha, &facts.as_text());
    facts.github.queued = merge::is_queued(ctx, key, &pull.head.sha);
    accept_unseen(ctx, key, snapshot, &mut facts, unseen_by).await?;
    let (verdict, permit) = gate::evaluate(&facts);
    Ok((facts, verdict, permit))
}

fn conflicts(shown_preview: &ShownPreview) -> Vec<String> {
    match &shown_preview.preview.failure {
        Some(Failure::Conflict(files)) => files.clone(),
        _ => Vec::new(),
    }
}

/// Whether nothing came since that a merge waits for: a change of the pull request, a hold, a
/// freeze.
pub async fn still_stands(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    observation: &Observation,
) -> Result<bool> {
    let (base, Some(facts)) = (&observation.base, &observation.gate_facts) else {
        return Ok(true);
    };
    let freezes = ctx.store.freezes(&base.repo.name, base.repo.id).await?;
    let is_new = |freeze: &Freeze| {
        let mut of_stage = facts.stages.iter();
        of_stage.any(|policy| {
            policy.stage == freeze.spec.stage
                && !policy.calendar.freezes.contains(&freeze.of_calendar())
        })
    };
    let back_to = facts.rollback.as_ref().map(|(_, to)| to);
    Ok(ctx.cache.pulls.snapshots.is_kept(key)
        && holds(ctx, &key.repo, &observation.changes, back_to).await? == facts.holds
        && !freezes.iter().any(is_new))
}

/// Who wrote it. To a pull request that is ours those contributed who chose what it proposes;
/// otherwise the writers are only read if there is somebody to judge.
async fn contributors(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    proposed: &Proposed,
    earlier: &[Earlier],
    judged: &[String],
) -> Result<Contributors> {
    if proposed.origin == Origin::Ours {
        let skipped = earlier
            .iter()
            .filter_map(|earlier| earlier.skipped.as_ref());
        let chosen = proposed.rollback.iter().map(|(_, rollback)| &rollback.by);
        let who = skipped.map(|(by, _)| by).chain(chosen);
        return Ok(Contributors::known(who.cloned()));
    }
    match judged.is_empty() {
        true => Ok(Contributors::known([])),
        false => authority::contributors(ctx, key, snapshot).await,
    }
}

/// Why a person has to approve our pull request even if merging is automatic.
fn manual_merge_reason(proposed: &Proposed, earlier: &[Earlier]) -> Option<String> {
    let skipped = earlier.iter().find_map(|earlier| {
        let (by, _) = earlier.skipped.as_ref()?;
        Some(format!("{by} passed over {}", earlier.stage))
    });
    let rollback = proposed.rollback.as_ref();
    let chosen = rollback.and_then(|(_, rollback)| rollback.manual_merge_reason());
    let offers = proposed.offers.iter();
    offers
        .filter_map(Offer::manual_merge_reason)
        .chain(chosen)
        .chain(skipped)
        .next()
}

/// Notes whether one of those who gave `/accept-unseen` may do so.
async fn accept_unseen(
    ctx: &Reader,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    facts: &mut Facts,
    unseen_by: Vec<String>,
) -> Result<()> {
    for user in unseen_by {
        let permission = permission(ctx, &key.repo, &user, snapshot.read).await?;
        let writer = permission >= Permission::Write;
        let accepted = gate::unseen_refusal(facts, &user, writer).is_none();
        if let Some(preview) = &mut facts.preview {
            preview.unseen_accepted |= accepted;
        }
    }
    Ok(())
}

/// What GitHub's rules demand, and how far it is met.
async fn github_facts(
    ctx: &Arc<Reader>,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
) -> Result<GitHubFacts> {
    let repo = &base.repo.name;
    let rules = branch_rules::of(ctx, base).await?;
    // windlass's own checks follow from its verdict.
    let others: Vec<_> = rules
        .checks
        .iter()
        .filter(|check| ![CHECK, GATE_CONTEXT].contains(&check.name.as_str()))
        .collect();
    let head = snapshot.pull.head.sha.clone();
    let reported = if others.is_empty() {
        Vec::new()
    } else {
        ctx.github.reported_checks(repo, &head).await?
    };
    let state = |check: &RequiredCheck| {
        let of = reported.iter().find(|reported| {
            // A status does not tell which App posted it; GitHub knows.
            let by = check.app.is_none() || reported.app.is_none() || reported.app == check.app;
            reported.name == check.name && by
        });
        let state = of.map_or(CheckState::Pending, |reported| reported.state);
        (check.name.clone(), state)
    };
    let checks = others.into_iter().map(state).collect();
    let tip = base.commit.clone();
    let behind = rules.up_to_date
        && ctx
            .mirror(repo, move |mirror| {
                Ok(mirror.has(&head) && !mirror.is_ancestor(&tip, &head)?)
            })
            .await?;
    Ok(GitHubFacts {
        rules: (*rules).clone(),
        checks,
        behind,
        ..GitHubFacts::default()
    })
}

/// The state of the stages before the one that our pull request promotes to.
async fn earlier(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    snapshot: &PullSnapshot,
    proposed: &Proposed,
) -> Result<Vec<Earlier>> {
    // A rollback promotes nothing.
    if proposed.rollback.is_some() {
        return Ok(Vec::new());
    }
    let origin = proposed.origin;
    let promotion = StageKey::of_branch(&key.repo, &snapshot.pull.head.branch);
    let promotion = promotion.filter(|_| origin != Origin::People);
    let target = promotion
        .as_ref()
        .and_then(|promotion| base.lead(promotion));
    match promotion.as_ref().zip(target) {
        Some((promotion, target)) => authority::earlier(ctx, promotion, target).await,
        None => Ok(Vec::new()),
    }
}

/// Who gave `/accept-unseen` after the preview of this head.
fn accepting(commands: &[Standing<'_>], since: Option<Timestamp>) -> Vec<String> {
    let Some(since) = since else {
        return Vec::new();
    };
    let accepts = commands.iter().filter(|it| it.is(Command::AcceptUnseen));
    let accepts = accepts.filter(|command| command.at >= since);
    accepts.map(|command| command.author.to_string()).collect()
}

/// The policies, with the freezes that were given by command.
async fn with_freezes(
    ctx: &Reader,
    base: &Base,
    mut policies: Vec<StagePolicy>,
) -> Result<Vec<StagePolicy>> {
    for freeze in ctx.store.freezes(&base.repo.name, base.repo.id).await? {
        let of_stage = policies
            .iter_mut()
            .filter(|policy| policy.stage == freeze.spec.stage);
        for policy in of_stage {
            policy.calendar.freezes.push(freeze.of_calendar());
        }
    }
    Ok(policies)
}

/// The holds of the changed applications. Others in the same namespace have a say about who
/// approves, and no hold of theirs is about this change. `back_to`: the commit that the pull request
/// rolls back to. A stage that is being rolled back to the same one does not wait for itself.
async fn holds(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    changes: &Changes,
    back_to: Option<&CommitSha>,
) -> Result<Vec<(String, Hold)>> {
    let touched = changes.touched.iter().chain(&changes.reconfigured);
    let stages: BTreeSet<_> = touched.map(|target| target.key(repo).of_stage()).collect();
    let mut holds = Vec::new();
    for stage in stages {
        // Who holds a stage holds it in all of its clusters.
        for object in ctx.applications_of(&stage).await? {
            let rollback = object.rollback();
            let rollback = rollback.filter(|rollback| Some(&rollback.to) == back_to);
            let is_of_it = |hold: &Hold| rollback.as_ref().is_some_and(|it| it.is_held_by(hold));
            let hold = object.hold(ctx.now()).filter(|hold| !is_of_it(hold));
            let hold = hold.map(|hold| (stage.title(), hold));
            holds.extend(hold.filter(|hold| !holds.contains(hold)));
        }
    }
    Ok(holds)
}
