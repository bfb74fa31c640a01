//! `/why`: the verdict, gate by gate; or what the policy of the selected applications makes of it.

use super::Invocation;
use crate::domain::command::Answer;
use crate::domain::gate;
use crate::domain::{TargetKey, gate::Facts};

pub fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Answer {
    let observation = invocation.observation;
    let is_limited = !invocation.arguments.selectors.is_empty();
    match (&observation.facts.verdict, &observation.gate_facts) {
        (Some(_), Some(facts)) if is_limited => Answer::VerdictOf {
            verdict: gate::evaluate(&about(facts, &applications)).0,
            applications,
        },
        (Some(verdict), _) => Answer::Verdict(verdict.clone()),
        (None, _) => match (observation.snapshot.pull.merged_as(), &observation.rollout) {
            (Some(commit), Some(rollout)) => Answer::MergedAs {
                commit,
                rollout: rollout.clone(),
            },
            _ => invocation.not_open(),
        },
    }
}

/// The facts without what other applications, and files of none, ask for.
fn about(facts: &Facts, applications: &[TargetKey]) -> Facts {
    let mut facts = facts.clone();
    let titles = applications.iter().map(|key| key.of_stage().title());
    let titles: Vec<_> = titles.collect();
    facts.stages.retain(|stage| titles.contains(&stage.title));
    facts.holds.retain(|(title, _)| titles.contains(title));
    facts.touches_unmanaged = None;
    facts
}
