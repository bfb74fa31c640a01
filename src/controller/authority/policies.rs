//! What stages require of a pull request, and who may approve for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::controller::preview::Changes;
use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::catalog::{Approver, MergePolicy, Target, is_own};
use crate::domain::gate::{BreakGlass, StagePolicy};
use crate::github;

/// Who is to be judged: each is looked up where a stage names teams.
#[derive(Clone, Copy, Default)]
pub struct People<'a> {
    /// Those whose approvals or commands count if they may approve.
    pub deciding: &'a [String],
    /// Those who gave `/override`.
    pub overriding: &'a [String],
}

/// The policies of stages.
pub async fn policies(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    targets: &[Target],
    changes: &Changes,
    people: People<'_>,
) -> Result<Vec<StagePolicy>> {
    let mut policies = Vec::new();
    let mut known: BTreeMap<(String, String), bool> = BTreeMap::new();
    for target in targets {
        let (stage, owned) = (&target.stage, owned(target, changes));
        let names = |named: &[Approver]| named.iter().map(Approver::to_string).collect();
        policies.push(StagePolicy {
            title: target.key(&key.repo).of_stage().title(),
            stage: stage.name.to_string(),
            auto: stage.merge == MergePolicy::Auto && stage.approvals == 0,
            approvals: stage.approvals,
            approvers: named(
                ctx,
                key,
                &stage.approvers,
                &owned,
                people.deciding,
                &mut known,
            )
            .await?,
            approver_names: names(&stage.approvers),
            soak: stage.soak,
            calendar: stage.calendar.clone(),
            break_glass: BreakGlass {
                names: names(&stage.break_glass),
                members: named(
                    ctx,
                    key,
                    &stage.break_glass,
                    &[],
                    people.overriding,
                    &mut known,
                )
                .await?
                .unwrap_or_default(),
            },
        });
    }
    Ok(policies)
}

/// The owners of each file that changes and that a target reads, file by file; files that nobody
/// owns are left out.
fn owned<'a>(target: &Target, changes: &'a Changes) -> Vec<&'a [String]> {
    let read = changes.reads.get(&target.title());
    let files: Vec<&str> = match read {
        Some(files) => files.iter().map(String::as_str).collect(),
        None => changes
            .files
            .iter()
            .map(String::as_str)
            .filter(|file| is_own(&target.path, file))
            .collect(),
    };
    // If a target changes without a file of its own (its configuration, its namespace), the owners
    // of its directory count.
    let own = [target.path.clone() + "/kustomization.yaml"];
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

/// Who of `logins` is among those that a stage names; None: it names none. By `CODEOWNERS`, whoever
/// owns every file.
async fn named(
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
            let is_named = match approver {
                Approver::CodeOwners => {
                    let mut all = !owned.is_empty();
                    for owners in owned {
                        let mut any = false;
                        // Owners that are e-mail addresses cannot be looked up at GitHub.
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
            if is_named {
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
            tracing::warn!(%error, team = name.0, "nobody counts as a member: does the App have the permission `Members: read`?");
            false
        }
        other => other?,
    };
    known.insert(name, is_member);
    Ok(is_member)
}
