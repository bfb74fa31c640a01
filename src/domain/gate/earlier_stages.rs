//! The gate `earlier stages`: the promoted images run, healthy, in every earlier stage.

use super::{Facts, Standing, Verdict, leaf};

/// An earlier stage, in which the promoted images have to be healthy first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub stage: String,
    /// Why it is not healthy there with exactly these digests.
    pub lacks: Option<String>,
    /// Who passed it over for these images, and why.
    pub skipped: Option<(String, String)>,
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
    let (skipped, healthy): (Vec<_>, Vec<_>) = facts
        .earlier
        .iter()
        .partition(|earlier| earlier.skipped.is_some());
    let mut reasons = Vec::new();
    if !healthy.is_empty() {
        let names: Vec<_> = healthy.iter().map(|it| it.stage.as_str()).collect();
        let names = names.join(", ");
        reasons.push(format!("{names} healthy with exactly these digests"));
    }
    for earlier in skipped {
        if let Some((by, reason)) = &earlier.skipped {
            reasons.push(format!("{by} passed over {}: {reason}", earlier.stage));
        }
    }
    Some(leaf(gate, Standing::Passed, reasons.join("; ")))
}
