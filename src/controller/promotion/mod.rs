//! Candidate → branch → pull request.
//!
//! Each reconcile observes again after each write, so an interruption between
//! two writes changes nothing. What people decided in Git is read from Git, and
//! compared with what the `Promotion` observed there before. If the base seems
//! to have lost something, it is fetched once more first.
//!
//! - `candidates`: the images announced for a stage, or running in earlier stages
//! - `git`: what the base and our branch have of them; `history`: what was merged and reverted
//! - `pulls`: the pull requests from its branch
//! - `edits`: the files that a promotion changes; `rollback`: a rollback in the place of images
//! - `act`: carries out a step; and the state of a settled promotion

mod act;
mod candidates;
mod edits;
mod git;
mod history;
mod proof;
mod pulls;
mod rollback;

pub use act::{Settled, settled};
pub use candidates::{announced, decisions, earlier, is_rejected, wanted};
pub use edits::{places, proposal};
pub use git::is_ours;
pub use pulls::{Cache, compare, seen};
pub use rollback::{possible, undoing};

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::cluster::store::{Application, Promotion, PromotionStatus};
use crate::controller::{Error, Reader, Requeue, Result, Writer, branch_rules};
use crate::domain::image::Candidate;
use crate::domain::promotion::{
    self, EarlierStage, PromotionFacts, PullRequest, PullRequestState, Step,
};
use crate::domain::rollback::Rollback;
use crate::domain::{Invalid, StageKey};
use crate::{github, traces, view};
use candidates::promoted;
use git::{GitQuery, GitState, read_git};

/// Steps in one reconcile before the key goes back into the queue.
const MOST_STEPS: usize = 8;

pub async fn reconcile(ctx: Arc<Writer>, key: StageKey) -> Result<Requeue> {
    let mut reread = false;
    for _ in 0..MOST_STEPS {
        let (object, facts, recent) = match observe(&ctx, &key)
            .instrument(traces::stage("observe"))
            .await?
        {
            Observed::Nothing => return Ok(Requeue::Idle),
            Observed::Promoted(candidates) => {
                ctx.to_store().propose(&key, &candidates).await?;
                continue;
            }
            Observed::Fails(application, rollback) => {
                act::start_rollback(&ctx, &application, &rollback).await?;
                continue;
            }
            Observed::Facts(object, facts, recent) => (object, *facts, recent),
            Observed::Unreadable(object, Invalid(why)) => {
                let status = PromotionStatus {
                    state: Some("Failed".into()),
                    message: Some(why),
                    ..object.status.clone().unwrap_or_default()
                };
                ctx.to_store().report_promotion(&object, status).await?;
                return Ok(Requeue::Idle);
            }
        };
        let step = promotion::decide(&facts);
        // Nothing is written because of an old list of pull requests.
        if !recent && !matches!(step, Step::Settled(_)) && !reread {
            reread = true;
            ctx.cache.promotions.touch(&key);
            continue;
        }
        let acted = act::act(&ctx, &key, &object, &facts, step);
        let settled = acted.instrument(traces::stage("act")).await;
        if let Err(error) = &settled {
            report_refusal(&ctx, &key, &object, error).await?;
            // The write may have succeeded all the same, or somebody else was faster.
            ctx.touch(&key.repo);
            ctx.cache.promotions.touch(&key);
        }
        if settled? {
            ctx.cache.promotions.note_success(&key);
            return Ok(Requeue::Idle);
        }
    }
    Ok(Requeue::After(crate::controller::DEBOUNCE))
}

/// GitHub refuses to let it be proposed: its status says so, which CI is told. It is tried again
/// ever more seldom.
async fn report_refusal(
    ctx: &Writer,
    key: &StageKey,
    object: &Promotion,
    error: &Error,
) -> Result<()> {
    let Error::GitHub(refused @ github::Error::Refused { .. }) = error else {
        return Ok(());
    };
    // Right after something was created GitHub may not know it yet: the second refusal counts.
    if !ctx.cache.promotions.note_refusal(key) {
        return Ok(());
    }
    let status = PromotionStatus {
        state: Some("Failed".into()),
        message: Some(refused.to_string()),
        ..object.status.clone().unwrap_or_default()
    };
    ctx.to_store().report_promotion(object, status).await?;
    Ok(())
}

/// What was observed of a promotion.
enum Observed {
    /// Nothing was ever proposed for the stage.
    Nothing,
    /// Images that earlier stages run healthily and that the object does not name yet.
    Promoted(Vec<Candidate>),
    /// What was synced last fails, and the stage is rolled back by itself.
    Fails(Box<Application>, Rollback),
    /// Nothing can be proposed; the reason goes into the `Promotion`'s status.
    Unreadable(Promotion, Invalid),
    /// And whether the pull requests were read just now.
    Facts(Promotion, Box<PromotionFacts>, bool),
}

async fn observe(ctx: &Arc<Reader>, key: &StageKey) -> Result<Observed> {
    let base = ctx.known_base(&key.repo).await?;
    let targets: Vec<_> = base.targets_of(key).into_iter().cloned().collect();
    let Some(target) = targets.first() else {
        return Ok(Observed::Nothing);
    };
    let earlier = earlier(ctx, key, target).await?;
    let object = ctx.store.promotion(key).await?;
    let applications = ctx.applications_of(key).await?;
    match promoted(object.as_ref(), &targets, &earlier, &applications) {
        promoted if promoted.is_empty() => {}
        promoted => return Ok(Observed::Promoted(promoted)),
    }
    let application = representative(&applications);
    let rollback = application.as_ref().and_then(Application::rollback);
    if rollback.is_none()
        && let Some((failing, rollback)) =
            rollback::automatic(ctx, &base, &applications, &targets).await?
    {
        return Ok(Observed::Fails(failing.into(), rollback));
    }
    // A rollback needs the object too.
    let Some(object) = object else {
        let begins = rollback.map(|_| Observed::Promoted(Vec::new()));
        return Ok(begins.unwrap_or(Observed::Nothing));
    };
    let Some((candidates, decided)) = at_hand(&object, rollback.as_ref()) else {
        return Ok(Observed::Nothing);
    };
    let bot = ctx.github.identity().await?.login.clone();
    let pulls = pulls::of(ctx, key).await?;
    let pull = match our_pull(pulls.value.to_vec(), key, &bot) {
        Ok(pull) => pull,
        Err(why) => return Ok(Observed::Unreadable(object, why)),
    };
    let query = GitQuery {
        base: base.commit.clone(),
        announced: announced(ctx, &base, key).await?,
        branch: key.branch(),
        bot,
        targets,
        candidates,
        decided,
        up_to_date: branch_rules::of(ctx, &base).await?.up_to_date,
        merged_as: pull.as_ref().and_then(github::Pull::merged_as),
        pull: pull.map(pull_request_of),
        rollback: rollback.clone(),
    };
    let Some((query, state)) = confirmed_state(ctx, key, query).await? else {
        return Ok(Observed::Nothing);
    };
    let mut facts = match proof::proven(ctx, key, &query, state, application.as_ref()).await? {
        Ok(state) => facts(key, &earlier, query, state),
        Err(why) => return Ok(Observed::Unreadable(object, why)),
    };
    if let Some(rollback) = rollback {
        facts = rollback::facts(key, &object, application, rollback, facts);
    }
    Ok(Observed::Facts(object, Box::new(facts), pulls.is_fresh()))
}

/// The candidates, and what was decided of them. None: there is nothing to do.
fn at_hand(
    object: &Promotion,
    rollback: Option<&Rollback>,
) -> Option<(Vec<Candidate>, Vec<promotion::Decision>)> {
    let (candidates, decided) = (object.spec.candidates.clone(), decisions(object));
    let rolls_back = rollback.is_some() || rollback::was_last(object).is_some();
    let is_idle = candidates.is_empty() && decided.is_empty() && !rolls_back;
    (!is_idle).then_some((candidates, decided))
}

/// The object that says what is done in a stage: the one with a rollback under way, or else the first.
fn representative(applications: &[Application]) -> Option<Application> {
    let mut all = applications.iter();
    let rolls_back = all.find(|object| object.rollback().is_some());
    rolls_back.or(applications.first()).cloned()
}

/// The state in Git, with its query. If a stale mirror could look the same, it is read again from
/// the newest base. None: the newest base has no such application.
async fn confirmed_state(
    ctx: &Arc<Reader>,
    key: &StageKey,
    query: GitQuery,
) -> Result<Option<(GitQuery, std::result::Result<GitState, Invalid>)>> {
    let state = read_git(ctx, key, &query).await?;
    if !matches!(&state, Ok(state) if state.needs_fresh_base) {
        return Ok(Some((query, state)));
    }
    // A revert only counts on the branch as it is now.
    let base = ctx.base(&key.repo, Instant::now()).await?;
    let targets: Vec<_> = base.targets_of(key).into_iter().cloned().collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let query = GitQuery {
        base: base.commit.clone(),
        targets,
        ..query
    };
    let state = read_git(ctx, key, &query).await?;
    Ok(Some((query, state)))
}

/// The facts that a step is decided from.
fn facts(
    key: &StageKey,
    earlier: &[EarlierStage],
    query: GitQuery,
    state: GitState,
) -> PromotionFacts {
    let GitState {
        edits,
        offers,
        branch,
        decided,
        dropped,
        needs_fresh_base: _,
        is_overtaken,
    } = state;
    let offered: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let evidence: Vec<_> = earlier
        .iter()
        .map(|stage| (stage.stage.to_string(), stage.lacks(&offered)))
        .collect();
    PromotionFacts {
        title: promotion::title(key, &offers),
        body: view::promotion(key, &offers, &evidence),
        message: promotion::commit_message(key, &offers),
        rollback: None,
        rolled_back_by: None,
        is_overtaken,
        base: query.base,
        edits,
        offers,
        branch,
        pull_request: query.pull,
        candidates: query
            .candidates
            .into_iter()
            .filter(|candidate| !dropped.contains(candidate))
            .collect(),
        dropped,
        decided,
    }
}

/// Our pull request from a stage's branch: the open one, or else the newest. An error: somebody
/// else has an open one from it.
fn our_pull(
    pulls: Vec<github::Pull>,
    key: &StageKey,
    bot: &str,
) -> std::result::Result<Option<github::Pull>, Invalid> {
    let (ours, others): (Vec<_>, Vec<_>) = pulls.into_iter().partition(|pull| pull.author() == bot);
    if let Some(pull) = others.iter().find(|pull| pull.is_open()) {
        return Err(Invalid(format!(
            "#{} comes from {}, a branch that is not windlass's: it was opened by {}. Close it and delete the branch",
            pull.number,
            key.branch(),
            pull.author()
        )));
    }
    // A reopened one is not the newest.
    Ok(ours
        .into_iter()
        .max_by_key(|pull| (pull.is_open(), pull.number)))
}

fn pull_request_of(pull: github::Pull) -> PullRequest {
    PullRequest {
        number: pull.number,
        state: match (pull.is_open(), pull.merged_at) {
            (true, _) => PullRequestState::Open,
            (false, Some(_)) => PullRequestState::Merged,
            (false, None) => PullRequestState::Closed,
        },
        head: pull.head.sha,
        title: pull.title,
        body: pull.body.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each row: pull requests from the branch (number, author, state), and which one is ours.
    #[test]
    fn the_open_pull_request_is_ours_or_else_the_newest() {
        let key = StageKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: "staging".parse().unwrap(),
        };
        let (bot, sha) = ("windlass[bot]", "a".repeat(40));
        let pull = |(number, author, state): &(u64, &str, &str)| -> github::Pull {
            let side = json!({"ref": "x", "sha": sha, "repo": null});
            let user = json!({"login": author, "type": "User"});
            serde_json::from_value(json!({"number": number, "title": "", "state": state, "user": user, "head": side, "base": side}))
                .unwrap()
        };
        for (pulls, expected) in [
            (&[][..], Ok(None)),
            (&[(1, bot, "closed"), (2, bot, "closed")], Ok(Some(2))),
            (&[(1, bot, "open"), (2, bot, "closed")], Ok(Some(1))),
            (&[(1, bot, "closed"), (2, "eve", "closed")], Ok(Some(1))),
            (&[(1, bot, "open"), (2, "eve", "open")], Err(())),
        ] {
            let found = our_pull(pulls.iter().map(pull).collect(), &key, bot);
            let number = found.map(|pull| pull.map(|pull| pull.number));
            assert_eq!(number.map_err(drop), expected, "{pulls:?}");
        }
    }
}
