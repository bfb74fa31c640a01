//! `/merge` and `/cancel`: a person asks windlass to merge a head once the gates allow it. The gates
//! read the commands from the thread; here they are only answered.

use super::Invocation;
use crate::controller::pull_request::standing::standing;
use crate::domain::command::{Answer, Command};
use crate::domain::gate::Origin;
use crate::domain::pull_request::Source;

pub fn run(invocation: &Invocation<'_>) -> Answer {
    let (observation, arguments) = (invocation.observation, invocation.arguments);
    let head = observation.snapshot.pull.head.sha.clone();
    let (Some(facts), Some(verdict)) = (&observation.gate_facts, &observation.facts.verdict) else {
        return invocation.not_open();
    };
    let named = arguments.subject.as_deref();
    if named.is_some_and(|named| head.as_str() != named) {
        return Answer::OtherHead { head };
    }
    match &facts.merge_requested_by {
        _ if facts.origin == Origin::Ours => Answer::MergesByItself(verdict.clone()),
        Some(_) => Answer::Merges {
            head,
            verdict: verdict.clone(),
        },
        None => Answer::BeforePreview { head },
    }
}

pub fn cancel(invocation: &Invocation<'_>) -> Answer {
    let snapshot = &invocation.observation.snapshot;
    let asked = standing(snapshot);
    let is_earlier = |id: u64| match invocation.comment.source {
        Source::Comment(own) => id < own,
        _ => false,
    };
    let before = asked
        .iter()
        .any(|command| command.is(Command::Merge) && is_earlier(command.id));
    match (snapshot.pull.is_open(), before) {
        (false, _) => invocation.not_open(),
        (true, true) => Answer::Cancelled,
        (true, false) => Answer::NothingToCancel,
    }
}
