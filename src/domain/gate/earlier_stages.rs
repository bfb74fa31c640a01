//! What is promoted is healthy in every stage that comes before.

use super::{Facts, Standing, Verdict, leaf};

/// A stage that what is promoted has to be healthy in first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub stage: String,
    /// Why it is not healthy there with exactly these digests.
    pub lacks: Option<String>,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    if facts.earlier.is_empty() {
        return None;
    }
    let gate = "earlier stages";
    let lacking: Vec<_> = facts
        .earlier
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.stage, one.lacks.as_ref()?)))
        .collect();
    if !lacking.is_empty() {
        return Some(leaf(gate, Standing::Pending, lacking.join("; ")));
    }
    let names: Vec<_> = facts.earlier.iter().map(|one| one.stage.as_str()).collect();
    Some(leaf(
        gate,
        Standing::Passed,
        format!("{} healthy with exactly these digests", names.join(", ")),
    ))
}
