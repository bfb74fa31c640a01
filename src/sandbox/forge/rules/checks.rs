//! Whether what must be green on a commit is.
//!
//! A check run and a status of one name are both required (docs.github.com, troubleshooting
//! required status checks); with an App named, its word alone counts.

use crate::sandbox::forge::state::{Repository, RequiredCheck, Rule, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Green,
    /// Nobody has said anything.
    Expected,
    Pending,
    Failing,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Green => "successful",
            Self::Expected => "expected",
            Self::Pending => "in progress",
            Self::Failing => "failing",
        }
    }
}

/// How a commit stands with all that the rules of a branch require: the worst of it.
pub fn combined(state: &State, repo: &Repository, branch: &str, sha: &str) -> Outcome {
    let required = repo.rules_of(branch).flat_map(|rule| &rule.status_checks);
    let outcomes = required.map(|check| outcome(state, repo, sha, check));
    outcomes.max().unwrap_or(Outcome::Green)
}

/// The newest word on a commit by that name: a status's and a check run's.
fn outcome(state: &State, repo: &Repository, sha: &str, wanted: &RequiredCheck) -> Outcome {
    let app = (state.app.id, state.app.bot());
    let pinned = |by: bool| match wanted.integration_id {
        Some(id) => by && id == app.0,
        None => true,
    };
    let status = repo.statuses.iter().rev().find(|status| {
        status.sha == sha
            && status.context.eq_ignore_ascii_case(&wanted.context)
            && pinned(status.creator == app.1)
    });
    // The forge's one App makes all check runs.
    let check = repo
        .checks
        .iter()
        .rev()
        .find(|check| check.sha == sha && check.name == wanted.context && pinned(true));
    let of_status = status.map(|status| match status.state.as_str() {
        "success" => Outcome::Green,
        "pending" => Outcome::Pending,
        _ => Outcome::Failing,
    });
    let of_check = check.map(|check| match check.conclusion.as_deref() {
        Some("success" | "neutral" | "skipped") => Outcome::Green,
        Some(_) => Outcome::Failing,
        None => Outcome::Pending,
    });
    of_status.max(of_check).unwrap_or(Outcome::Expected)
}

/// What a rule says of a commit; on a head that is behind its base, nothing has been checked yet.
pub fn violation(
    state: &State,
    repo: &Repository,
    sha: &str,
    rule: &Rule,
    behind: bool,
) -> Option<String> {
    let outcomes: Vec<_> = rule
        .status_checks
        .iter()
        .map(|check| {
            let outcome = if behind {
                Outcome::Expected
            } else {
                outcome(state, repo, sha, check)
            };
            (check.context.as_str(), outcome)
        })
        .collect();
    words(&outcomes)
}

fn words(outcomes: &[(&str, Outcome)]) -> Option<String> {
    let missing: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome != Outcome::Green)
        .collect();
    let (missed, all) = (missing.len(), outcomes.len());
    if let [(context, outcome)] = missing[..] {
        let word = outcome.word();
        return Some(format!("Required status check \"{context}\" is {word}."));
    }
    let kinds = [Outcome::Expected, Outcome::Pending, Outcome::Failing];
    let counts: Vec<String> = kinds
        .iter()
        .map(|kind| (kind, missing.iter().filter(|(_, one)| one == kind).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {}", kind.word()))
        .collect();
    match counts.len() {
        0 => None,
        1 => {
            let word = missing[0].1.word();
            Some(format!(
                "{missed} of {all} required status checks are {word}."
            ))
        }
        _ => Some(format!(
            "{missed} of {all} required status checks have not succeeded: {}.",
            counts.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_count_what_is_missing() {
        use Outcome::{Expected, Failing, Green};
        let table: [(&[Outcome], Option<&str>); 5] = [
            (&[], None),
            (&[Green, Green], None),
            (
                &[Green, Expected],
                Some("Required status check \"1\" is expected."),
            ),
            (
                &[Expected, Expected],
                Some("2 of 2 required status checks are expected."),
            ),
            (
                &[Green, Expected, Failing],
                Some("2 of 3 required status checks have not succeeded: 1 expected, 1 failing."),
            ),
        ];
        for (outcomes, said) in table {
            let named: Vec<_> = outcomes
                .iter()
                .enumerate()
                .map(|(index, outcome)| (["0", "1", "2"][index], *outcome))
                .collect();
            assert_eq!(words(&named).as_deref(), said);
        }
    }
}
