//! The gate `holds`: nobody holds a stage that windlass would merge into by itself.

use jiff::Timestamp;

use super::{Clear, Facts, Origin, Standing, Verdict, leaf};
use crate::domain::hold::Hold;

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    // A person's change goes on.
    let held = facts.holds.iter();
    let held: Vec<_> = held.filter(|(title, _)| !facts.rolls_back(title)).collect();
    if facts.origin == Origin::People || held.is_empty() {
        return None;
    }
    let reasons: Vec<_> = held.iter().map(|held| words(held)).collect();
    let holds = held.iter().map(|(_, hold)| hold);
    let ends = || holds.clone().map(|hold| hold.until);
    // Each of them holds, so it is over with the last one.
    let over = ends().collect::<Option<Vec<_>>>();
    let over = over.and_then(|ends| ends.into_iter().max());
    let since = holds.clone().map(|hold| hold.since).max();
    let titles = held.iter().map(|(title, _)| title.clone());
    let resume = Clear::Resume {
        applications: titles.collect(),
    };
    let itself = over.map(|at| Clear::Itself { at });
    Some(
        leaf("holds", Standing::Pending, reasons.join("; "))
            .since(since.filter(|since| *since > Timestamp::UNIX_EPOCH))
            .clears(itself.into_iter().chain([resume]))
            .changes_at(ends().flatten().min()),
    )
}

fn words((title, hold): &(String, Hold)) -> String {
    let until = match hold.until {
        Some(until) => format!("until {until} or `/resume`"),
        None => "until `/resume`".into(),
    };
    format!("{} holds {title} {until}: {}", hold.by, hold.reason)
}
