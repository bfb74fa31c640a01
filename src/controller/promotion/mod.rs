//! Candidate → branch → pull request.
//!
//! One step, one look: after each write the world is read again, so being cut
//! off between any two of them changes nothing. What people decided in Git is
//! read from Git, against what the `Promotion` remembers to have seen there; a
//! base that seems to have lost something is fetched once more before that is
//! believed.
//!
//! - `candidates`: what was announced for a stage, or comes from the stages before
//! - `git`: what the base has of that, and what our branch brings; `history`: what was merged and taken back
//! - `edits`: the files that a promotion changes
//! - `act`: a step carried out, and where a promotion rests

mod act;
mod candidates;
mod edits;
mod git;
mod history;

pub use act::{Rest, rest};
pub use candidates::{announced, earlier, is_rejected, wanted};
pub use edits::proposal;
pub use git::is_ours;

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::store::{Promotion, PromotionStatus};
use crate::controller::{Reader, Requeue, Result, Writer};
use crate::domain::image::Candidate;
use crate::domain::promotion::{self, EarlierStage, PullRequest, PullRequestState, Snapshot};
use crate::domain::{ApplicationKey, Invalid};
use crate::{github, view};
use candidates::{promoted, remembered};
use git::{Answer, Question, ask};

/// Steps taken in one look before the key waits its turn again.
const MOST_STEPS: usize = 8;

pub async fn reconcile(ctx: Arc<Writer>, key: ApplicationKey) -> Result<Requeue> {
    for _ in 0..MOST_STEPS {
        let (object, seen) = match observe(&ctx, &key).await? {
            Observed::Nothing => return Ok(Requeue::Idle),
            Observed::Promoted(candidates) => {
                ctx.to_store().propose(&key, &candidates).await?;
                continue;
            }
            Observed::Seen(object, seen) => (object, *seen),
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
        let step = promotion::decide(&seen);
        let settled = act::act(&ctx, &key, &object, &seen, step).await;
        if settled.is_err() {
            // It may have been done all the same, or somebody was faster.
            ctx.touch(&key.repo);
        }
        if settled? {
            return Ok(Requeue::Idle);
        }
    }
    Ok(Requeue::After(crate::controller::DEBOUNCE))
}

/// What there is to look at.
enum Observed {
    /// Nothing was ever proposed here.
    Nothing,
    /// What the stages before have come to run, and the object does not name yet.
    Promoted(Vec<Candidate>),
    /// Nothing can be proposed; the reason is for whoever reads the Promotion.
    Unreadable(Promotion, Invalid),
    Seen(Promotion, Box<Snapshot>),
}

async fn observe(ctx: &Arc<Reader>, key: &ApplicationKey) -> Result<Observed> {
    let base = ctx.known_base(&key.repo).await?;
    let Some(target) = base.target(key).cloned() else {
        return Ok(Observed::Nothing);
    };
    let earlier = earlier(ctx, key, &target).await?;
    let object = ctx.store.promotion(key).await?;
    let promoted = promoted(object.as_ref(), &target, &earlier);
    if !promoted.is_empty() {
        return Ok(Observed::Promoted(promoted));
    }
    let Some(object) = object else {
        return Ok(Observed::Nothing);
    };
    let (candidates, decided) = (object.spec.candidates.clone(), remembered(&object));
    if candidates.is_empty() && decided.is_empty() {
        return Ok(Observed::Nothing);
    }
    let bot = ctx.github.identity().await?.login.clone();
    let pulls = ctx.github.pulls_from(&key.repo, &key.branch()).await?;
    let pull = match our_pull(pulls, key, &bot) {
        Ok(pull) => pull,
        Err(why) => return Ok(Observed::Unreadable(object, why)),
    };
    let question = Question {
        base: base.commit.clone(),
        announced: announced(ctx, &base, key).await?,
        branch: key.branch(),
        bot,
        target,
        candidates,
        decided,
        merged_as: pull.as_ref().and_then(github::Pull::merged_as),
        pull: pull.map(pull_request_of),
    };
    let Some((question, answer)) = believed(ctx, key, question).await? else {
        return Ok(Observed::Nothing);
    };
    Ok(match answer {
        Ok(answer) => Observed::Seen(object, Box::new(seen(key, &earlier, question, answer))),
        Err(why) => Observed::Unreadable(object, why),
    })
}

/// What Git answers, with what it was asked: once more of the newest base where an older view of it could say the same.
/// None: the newest base has no such application.
async fn believed(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    question: Question,
) -> Result<Option<(Question, std::result::Result<Answer, Invalid>)>> {
    let answer = ask(ctx, key, &question).await?;
    if !matches!(&answer, Ok(answer) if answer.needs_fresh_base) {
        return Ok(Some((question, answer)));
    }
    // What somebody took away is believed of the branch as it is now alone.
    let base = ctx.base(&key.repo, Instant::now()).await?;
    let Some(target) = base.target(key).cloned() else {
        return Ok(None);
    };
    let question = Question {
        base: base.commit.clone(),
        target,
        ..question
    };
    let answer = ask(ctx, key, &question).await?;
    Ok(Some((question, answer)))
}

/// What a step is decided from.
fn seen(
    key: &ApplicationKey,
    earlier: &[EarlierStage],
    question: Question,
    answer: Answer,
) -> Snapshot {
    let Answer {
        edits,
        offers,
        branch,
        decided,
        dropped,
        needs_fresh_base: _,
    } = answer;
    let brought: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let evidence: Vec<_> = earlier
        .iter()
        .map(|stage| (stage.stage.to_string(), stage.lacks(&brought)))
        .collect();
    Snapshot {
        title: promotion::title(key, &offers),
        body: view::promotion(key, &offers, &evidence),
        base: question.base,
        edits,
        offers,
        branch,
        pull_request: question.pull,
        candidates: question
            .candidates
            .into_iter()
            .filter(|candidate| !dropped.contains(candidate))
            .collect(),
        dropped,
        decided,
    }
}

/// The pull request of windlass from a stage's branch: one that is open, or else the newest. An error: somebody else has
/// one open from it.
fn our_pull(
    pulls: Vec<github::Pull>,
    key: &ApplicationKey,
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
    // One that was opened again is not the newest.
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
        let key = ApplicationKey {
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
