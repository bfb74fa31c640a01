//! `/why`: the verdict, gate by gate.

use super::Given;
use crate::domain::command::Answer;

pub fn run(given: &Given<'_>) -> Answer {
    match &given.look.seen.verdict {
        Some(verdict) => Answer::Verdict(verdict.clone()),
        None if given.look.snapshot.pull.merged_at.is_some() => Answer::Merged,
        None => Answer::Closed,
    }
}
