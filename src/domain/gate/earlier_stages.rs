//! The gate `earlier stages`: the promoted images run, healthy, in every earlier stage.

use super::{Facts, Standing, Verdict, leaf};

/// An earlier stage, in which the promoted images have to be healthy first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub stage: String,
    /// Why it is not healthy there with exactly these digests.
    pub lacks: Option<String>,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    if facts.earlier.is_empty() || facts.rollback {
        return None;
    }
    let gate = "earlier stages";
    let lacking: Vec<_> = facts
        .earlier
        .iter()
        .filter_map(|earlier| Some(format!("{}: {}", earlier.stage, earlier.lacks.as_ref()?)))
        .collect();
    if !lacking.is_empty() {
        return Some(leaf(gate, Standing::Pending, lacking.join("; ")));
    }
    let names: Vec<_> = facts
        .earlier
        .iter()
        .map(|earlier| earlier.stage.as_str())
        .collect();
    Some(leaf(
        gate,
        Standing::Passed,
        format!("{} healthy with exactly these digests", names.join(", ")),
    ))
}
