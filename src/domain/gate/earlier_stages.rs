//! The gate `earlier stages`: the promoted images run, healthy, in every earlier stage.

use jiff::Timestamp;

use super::{Clear, Facts, Standing, Verdict, leaf};

/// An earlier stage, in which the promoted images have to be healthy first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub stage: String,
    /// Why it is not healthy there with exactly these digests.
    pub lacks: Option<String>,
    /// Since when it has been synced and healthy; None: it is not, or that is not known.
    pub since: Option<Timestamp>,
    /// Who passed it over for these images, and why.
    pub skipped: Option<(String, String)>,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    if facts.earlier.is_empty() {
        return None;
    }
    let gate = "earlier stages";
    let lacking: Vec<_> = facts
        .earlier
        .iter()
        .filter_map(|earlier| Some(format!("{}: {}", earlier.stage, earlier.lacks.as_ref()?)))
        .collect();
    if !lacking.is_empty() {
        let stages = facts
            .earlier
            .iter()
            .filter(|earlier| earlier.lacks.is_some());
        let stages = stages.map(|earlier| earlier.stage.clone()).collect();
        let pending = leaf(gate, Standing::Pending, lacking.join("; "));
        return Some(pending.clears([Clear::EarlierStages { stages }]));
    }
    let (skipped, healthy): (Vec<_>, Vec<_>) = facts
        .earlier
        .iter()
        .partition(|earlier| earlier.skipped.is_some());
    let since = healthy.iter().filter_map(|earlier| earlier.since);
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
    let since = since.max();
    Some(leaf(gate, Standing::Passed, reasons.join("; ")).since(since))
}
