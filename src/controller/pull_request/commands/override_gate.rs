//! `/override`: break glass. The gates read the command from the thread; here it is only answered.

use super::Invocation;
use crate::domain::command::{Answer, OverrideAnswer};
use crate::domain::gate;

pub fn run(invocation: &Invocation<'_>) -> Answer {
    let (observation, author) = (invocation.observation, &invocation.comment.author);
    let Some(facts) = &observation.gate_facts else {
        return invocation.not_open();
    };
    let gate = invocation.arguments.subject.clone().unwrap_or_default();
    if let Some(why) = gate::override_refusal(facts, &gate, author) {
        return Answer::Override(OverrideAnswer::Refused(why));
    }
    let by: Vec<_> = gate::givers(facts, &gate)
        .iter()
        .map(|given| given.by.clone())
        .collect();
    if !by.contains(author) {
        let head = observation.snapshot.pull.head.sha.clone();
        return Answer::BeforePreview { head };
    }
    Answer::Override(OverrideAnswer::Given { gate, by })
}
