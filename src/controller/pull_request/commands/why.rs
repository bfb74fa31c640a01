//! `/why`: the verdict, gate by gate.

use super::Invocation;
use crate::domain::command::Answer;

pub fn run(invocation: &Invocation<'_>) -> Answer {
    match &invocation.observation.observed.verdict {
        Some(verdict) => Answer::Verdict(verdict.clone()),
        None if invocation.observation.snapshot.pull.merged_at.is_some() => Answer::Merged,
        None => Answer::Closed,
    }
}
