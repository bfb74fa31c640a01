//! Whether the people who have to have approved a pull request have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::owners::Owners;
use crate::sandbox::forge::git::git;
use crate::sandbox::forge::state::{Pull, Repository, Review, Role, Rule, State};

/// The last opinion of each reviewer with write access: comments change none, and who takes an
/// opinion back by a dismissal has none.
fn opinions<'a>(repo: &Repository, pull: &'a Pull) -> BTreeMap<&'a str, &'a Review> {
    let opinionated = pull.reviews.iter().filter(|review| {
        ["APPROVED", "CHANGES_REQUESTED", "DISMISSED"].contains(&review.state.as_str())
            && repo.role(&review.user) >= Role::Write
    });
    // The later ones take the place of the earlier.
    opinionated
        .map(|review| (review.user.as_str(), review))
        .collect()
}

pub fn violations(
    path: &Path,
    state: &State,
    repo: &Repository,
    pull: &Pull,
    rule: &Rule,
) -> Vec<String> {
    let opinions = opinions(repo, pull);
    let approvals: BTreeMap<&str, &Review> = opinions
        .iter()
        .filter(|(_, review)| review.state == "APPROVED")
        .map(|(user, review)| (*user, *review))
        .collect();
    let mut found = Vec::new();
    let refuses = opinions
        .values()
        .any(|review| review.state == "CHANGES_REQUESTED");
    if rule.approvals > 0 && refuses {
        found.push("Changes have been requested.".to_string());
    }
    if approvals.len() < rule.approvals {
        found.push(match rule.approvals {
            1 => "At least 1 approving review is required by reviewers with write access."
                .to_string(),
            many => format!(
                "At least {many} approving reviews are required by reviewers with write access."
            ),
        });
    }
    if rule.require_code_owner_review {
        found.extend(missing_owners(path, state, repo, pull, &approvals));
    }
    if rule.require_last_push_approval {
        let pusher = last_pusher(state, pull);
        let approved = approvals
            .values()
            .any(|review| review.commit == pull.head.sha && review.user != pusher);
        if !approved {
            found.push(
                "New changes require approval from someone other than the last pusher.".into(),
            );
        }
    }
    found
}

/// Who put the head where it is.
fn last_pusher(state: &State, pull: &Pull) -> String {
    let head = state.by_id(pull.head.repository);
    let moves = head.into_iter().flat_map(|repo| repo.activity.iter().rev());
    let last = moves
        .filter(|one| one.branch == pull.head.branch)
        .find(|one| one.after.as_deref() == Some(&pull.head.sha));
    last.map_or_else(|| pull.author.clone(), |one| one.actor.clone())
}

/// The owners of changed files none of whom approved.
fn missing_owners(
    path: &Path,
    state: &State,
    repo: &Repository,
    pull: &Pull,
    approvals: &BTreeMap<&str, &Review>,
) -> Option<String> {
    let owners = Owners::read(path, &pull.base.sha)?;
    let range = format!("{}...{}", pull.base.sha, pull.head.sha);
    let changed =
        git(path, &["diff", "--name-only", "--no-renames", "-z", &range]).unwrap_or_default();
    let mut missing = BTreeSet::new();
    for file in changed.split('\0').filter(|file| !file.is_empty()) {
        let names = owners.of(file);
        // A team is told by its name; an owner without write access is none.
        let people: Vec<(&str, String)> = names
            .iter()
            .flat_map(|name| {
                members(state, name)
                    .into_iter()
                    .map(move |who| (*name, who))
            })
            .filter(|(_, who)| repo.role(who) >= Role::Write)
            .collect();
        let approved = people
            .iter()
            .any(|(_, who)| approvals.contains_key(who.as_str()));
        if !approved {
            missing.extend(people.into_iter().map(|(name, _)| name.to_string()));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let missing: Vec<_> = missing.into_iter().collect();
    Some(format!(
        "Waiting on code owner review from {}.",
        missing.join(" and/or ")
    ))
}

/// Who an owner's name means: `user`, or `organisation/team`.
fn members(state: &State, name: &str) -> Vec<String> {
    match name.split_once('/') {
        Some((organisation, team)) => state
            .teams
            .get(&(organisation.to_string(), team.to_string()))
            .cloned()
            .unwrap_or_default(),
        None => vec![name.to_string()],
    }
}
