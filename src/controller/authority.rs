//! Who may decide: the facts about a pull request that the gate, prunes,
//! commands and receipts all judge by one rule ([`approvals`](crate::domain::approvals)).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::preview::{Changes, changes_between};
use super::{Base, Reader, Result, promotion};
use crate::domain::approvals::{Case, Doubt, Review, Writers};
use crate::domain::catalog::{Approver, MergePolicy, Target};
use crate::domain::command::Permission;
use crate::domain::gate::{Earlier, StagePolicy};
use crate::domain::pull_request::Preview;
use crate::domain::{ApplicationKey, CommitSha, PullRequestKey};
use crate::github::{self, PullSnapshot};
use crate::render::Source;

/// GitHub lists no more commits of a pull request.
const MOST_COMMITS: usize = 250;
/// What workflows act as.
const ACTIONS: &str = "github-actions[bot]";
/// What GitHub's own commits (merges and edits on its pages) are committed by.
const GITHUB: (&str, &str) = ("web-flow", "noreply@github.com");

/// The last opinion of each reviewer, with whether it is a writer's.
pub async fn reviews(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Vec<Review>> {
    let mut last: HashMap<&str, &github::Review> = HashMap::new();
    for review in &snapshot.reviews {
        if let Some(user) = &review.user
            && matches!(
                review.state.as_str(),
                "APPROVED" | "CHANGES_REQUESTED" | "DISMISSED"
            )
        {
            last.insert(&user.login, review);
        }
    }
    let mut opinions = Vec::new();
    for (user, review) in last
        .into_iter()
        .filter(|(_, review)| review.state != "DISMISSED")
    {
        opinions.push(Review {
            user: user.into(),
            approves: review.state == "APPROVED",
            commit: review.commit_id.clone(),
            submitted_at: review.submitted_at.unwrap_or(Timestamp::MIN),
            writer: ctx.github.permission(&key.repo, user).await? >= Permission::Write,
        });
    }
    opinions.sort_by(|a, b| a.user.cmp(&b.user));
    Ok(opinions)
}

/// Everybody who had a hand in a pull request: who opened it, the authors and committers of its commits, and whoever
/// pushed one of them, since addresses can be made up.
pub async fn writers(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Writers> {
    let pull = &snapshot.pull;
    let bot = ctx.github.identity().await?.login.clone();
    let repository = ctx.github.repository(&key.repo)?;
    if pull.is_fork(repository.id) {
        return Ok(Writers::Unknown(Doubt::Fork));
    }
    // A server that has no such list, or does not let us read it, says no more tomorrow: then nobody's word counts.
    let unanswered = |error: github::Error| match error {
        github::Error::NotFound { .. }
        | github::Error::Refused { .. }
        | github::Error::Unexpected { .. } => Ok(Writers::Unknown(Doubt::Unanswered {
            why: error.to_string(),
        })),
        other => Err(other.into()),
    };
    let commits = match ctx.github.commits_of(key).await {
        Ok(commits) => commits,
        Err(error) => return unanswered(error),
    };
    if commits.len() >= MOST_COMMITS {
        return Ok(Writers::Unknown(Doubt::TooMany {
            commits: commits.len(),
        }));
    }
    let mut logins = BTreeSet::from([pull.author().to_string()]);
    // A bot's commit is somebody's who had it made: a workflow runs for whoever may push one. Of a pull request that the
    // bot itself opened that is not so, but for GitHub's own, which anybody's workflow is.
    let foreign_bot = |account: &github::Account| {
        let login = account.login.clone().unwrap_or_default();
        let is_bot = account.kind.as_deref() == Some("Bot") || login.ends_with("[bot]");
        (is_bot && login != bot && (login != pull.author() || login == ACTIONS)).then_some(login)
    };
    for commit in &commits {
        let people = [
            (&commit.author, &commit.commit.author),
            (&commit.committer, &commit.commit.committer),
        ];
        for (account, person) in people {
            if let Some(login) = account.as_ref().and_then(foreign_bot) {
                return Ok(Writers::Unknown(Doubt::Bot { login }));
            }
            let email = person
                .as_ref()
                .map(|person| person.email.as_str())
                .unwrap_or_default();
            match account.as_ref().and_then(|account| account.login.clone()) {
                Some(login) => drop(logins.insert(login)),
                None if email == GITHUB.1 => {}
                None => {
                    return Ok(Writers::Unknown(Doubt::Address {
                        commit: commit.sha.clone(),
                        email: email.into(),
                    }));
                }
            }
        }
    }
    let pushes = match ctx.github.pushes(&key.repo, &pull.head.branch).await {
        Ok(pushes) => pushes,
        Err(error) => return unanswered(error),
    };
    let of_this = |after: &str| commits.iter().any(|commit| commit.sha.as_str() == after);
    let mut head_is_known = false;
    for push in pushes.iter().filter(|push| of_this(&push.after)) {
        if let Some(login) = push.actor.as_ref().and_then(foreign_bot) {
            return Ok(Writers::Unknown(Doubt::Bot { login }));
        }
        let Some(actor) = push.actor.as_ref().and_then(|actor| actor.login.clone()) else {
            return Ok(Writers::Unknown(Doubt::Push {
                head: pull.head.sha.clone(),
            }));
        };
        head_is_known |= push.after == pull.head.sha.as_str();
        logins.insert(actor);
    }
    if !head_is_known {
        return Ok(Writers::Unknown(Doubt::Push {
            head: pull.head.sha.clone(),
        }));
    }
    // What windlass and GitHub themselves wrote is nobody's.
    logins.remove(&bot);
    logins.remove(GITHUB.0);
    Ok(Writers::known(logins))
}

/// Everybody whose stage a pull request touches: its applications; those whose meaning `windlass.yaml` changes, before
/// and after; and those whose namespace, or cluster, the objects are in that change.
pub fn touched_stages(base: &Base, changes: &Changes, preview: &Preview) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    let mut add = |target: &Target| {
        if !found.contains(target) {
            found.push(target.clone());
        }
    };
    changes
        .touched
        .iter()
        .chain(&changes.reconfigured)
        .for_each(&mut add);
    let all = base
        .configured()
        .map(|configured| configured.targets.as_slice())
        .unwrap_or_default();
    for app in &preview.applications {
        let mut places = BTreeSet::new();
        for change in app.plan.effective() {
            let is_namespace = change.key.is_core("Namespace");
            places.insert(if is_namespace {
                Some(change.key.name.clone())
            } else {
                change.key.namespace.clone()
            });
        }
        for place in places {
            let is_there = |target: &&Target| {
                target.destination.cluster == app.cluster
                    && place
                        .as_ref()
                        .is_none_or(|namespace| target.destination.namespace == *namespace)
            };
            all.iter().filter(is_there).for_each(&mut add);
        }
    }
    found
}

/// What stages ask for. `logins`: those whose word is to be judged.
pub async fn policies(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    targets: &[Target],
    changes: &Changes,
    logins: &[String],
) -> Result<Vec<StagePolicy>> {
    let mut policies = Vec::new();
    let mut known: BTreeMap<(String, String), bool> = BTreeMap::new();
    for target in targets {
        policies.push(StagePolicy {
            title: target.key(&key.repo).title(),
            auto: target.stage.merge == MergePolicy::Auto && target.stage.approvals == 0,
            approvals: target.stage.approvals,
            approvers: approvers(
                ctx,
                key,
                &target.stage.approvers,
                &owned(target, changes),
                logins,
                &mut known,
            )
            .await?,
        });
    }
    Ok(policies)
}

/// The owners of each file that changes and that a target reads, file by file; files that nobody owns are left out.
fn owned<'a>(target: &Target, changes: &'a Changes) -> Vec<&'a [String]> {
    let place = format!("{}/", target.path);
    let read = changes
        .reads
        .get(&(target.application.clone(), target.stage.name.clone()));
    let files: Vec<&str> = match read {
        Some(files) => files.iter().map(String::as_str).collect(),
        None => changes
            .files
            .iter()
            .map(String::as_str)
            .filter(|file| file.starts_with(&place))
            .collect(),
    };
    // What changes a target without a file of its own (its configuration, its namespace) is its directory's owners' matter.
    let own = [place.clone() + "kustomization.yaml"];
    let files = if files.is_empty() {
        own.iter().map(String::as_str).collect()
    } else {
        files
    };
    files
        .into_iter()
        .map(|file| changes.owners.of(file))
        .filter(|owners| !owners.is_empty())
        .collect()
}

/// Who of `logins` is among the approvers; None: nobody is named. By `CODEOWNERS` that is who owns every file.
async fn approvers(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    named: &[Approver],
    owned: &[&[String]],
    logins: &[String],
    known: &mut BTreeMap<(String, String), bool>,
) -> Result<Option<BTreeSet<String>>> {
    if named.is_empty() {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    for login in logins.iter().map(|login| login.to_ascii_lowercase()) {
        for approver in named {
            let is_one = match approver {
                Approver::CodeOwners => {
                    let mut all = !owned.is_empty();
                    for owners in owned {
                        let mut any = false;
                        // Owners that are no accounts (addresses) are nobody that GitHub tells of.
                        for owner in owners
                            .iter()
                            .filter_map(|owner| owner.strip_prefix('@')?.parse::<Approver>().ok())
                        {
                            any |= is_approver(ctx, key, &owner, &login, known).await?;
                        }
                        all &= any;
                    }
                    all
                }
                other => is_approver(ctx, key, other, &login, known).await?,
            };
            if is_one {
                found.insert(login.clone());
            }
        }
    }
    Ok(Some(found))
}

async fn is_approver(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    approver: &Approver,
    login: &str,
    known: &mut BTreeMap<(String, String), bool>,
) -> Result<bool> {
    let (organisation, team) = match approver {
        Approver::User(user) => return Ok(*user == login),
        Approver::Team { organisation, team } => (organisation, team),
        Approver::CodeOwners => return Ok(false),
    };
    let name = (format!("{organisation}/{team}"), login.to_string());
    if let Some(known) = known.get(&name) {
        return Ok(*known);
    }
    let is_member = match ctx
        .github
        .is_member(&key.repo, organisation, team, login)
        .await
    {
        Err(error @ github::Error::Refused { .. }) => {
            tracing::warn!(%error, team = name.0, "nobody counts as a member: has the App the permission `Members: read`?");
            false
        }
        other => other?,
    };
    known.insert(name, is_member);
    Ok(is_member)
}

/// The stages that what a pull request of ours promotes has to be healthy in.
pub async fn earlier(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    target: &Target,
) -> Result<Vec<Earlier>> {
    let Some(object) = ctx.home.promotion(key).await? else {
        return Ok(Vec::new());
    };
    let stages = promotion::earlier(ctx, key, target).await?;
    let wanted = promotion::wanted(&object);
    Ok(stages
        .iter()
        .map(|stage| Earlier {
            stage: stage.stage.to_string(),
            lacks: stage.lacks(&wanted),
        })
        .collect())
}

/// Who approved a pull request that is merged, for one stage, by the rule of the gate.
pub async fn approved_by(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    target: Option<&Target>,
) -> Result<Vec<String>> {
    if !snapshot
        .reviews
        .iter()
        .any(|review| review.state == "APPROVED")
    {
        return Ok(Vec::new());
    }
    let (reviews, writers) = (
        reviews(ctx, key, snapshot).await?,
        writers(ctx, key, snapshot).await?,
    );
    let logins: Vec<_> = reviews.iter().map(|review| review.user.clone()).collect();
    let targets: Vec<_> = target.into_iter().cloned().collect();
    let policies = policies(
        ctx,
        key,
        &targets,
        &merged_changes(ctx, key, snapshot.pull.merged_as()).await?,
        &logins,
    )
    .await?;
    let case = Case {
        head: &snapshot.pull.head.sha,
        previewed_at: snapshot.check.as_ref().and_then(|check| check.completed_at),
        writers: &writers,
        approvers: policies
            .first()
            .and_then(|policy| policy.approvers.as_ref()),
    };
    Ok(case
        .approved_by(&reviews)
        .into_iter()
        .map(str::to_string)
        .collect())
}

/// Which files a merge commit changed, and whose they were: what an approval of it is judged by afterwards.
pub async fn merged_changes(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    commit: Option<CommitSha>,
) -> Result<Changes> {
    let Some(commit) = commit else {
        return Ok(Changes::default());
    };
    ctx.mirror(&key.repo, move |mirror| {
        if !mirror.has(&commit) {
            return Ok(Changes::default());
        }
        let Some(parent) = mirror.parent(&commit)? else {
            return Ok(Changes::default());
        };
        let after = mirror.files(mirror.tree(&commit)?)?;
        changes_between(&Source::open(mirror, mirror.tree(&parent)?)?, &after)
    })
    .await
}
