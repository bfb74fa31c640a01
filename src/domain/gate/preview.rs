//! The gate `preview`: the head has a preview, the change can be applied, and all changes are shown
//! or were accepted unseen.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Clear, Facts, Standing, Verdict, leaf};

/// The preview of the current head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewFact {
    pub completed_at: Timestamp,
    /// Whether the change can be applied.
    pub ok: bool,
    /// How many changes it does not show, and whether somebody who may approve accepted them
    /// (`/accept-unseen`).
    pub unseen: usize,
    pub unseen_accepted: bool,
}

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    Some(match &facts.preview {
        None => leaf(
            "preview",
            Standing::Pending,
            "the preview of this head is not ready yet".into(),
        )
        .clears([Clear::Windlass]),
        Some(PreviewFact {
            ok: false,
            completed_at,
            ..
        }) => leaf(
            "preview",
            Standing::Failed,
            "the preview failed: its check run says what to fix".into(),
        )
        .since(Some(*completed_at))
        .clears([Clear::Author]),
        Some(PreviewFact {
            unseen,
            unseen_accepted: false,
            completed_at,
            ..
        }) if *unseen > 0 => leaf(
            "preview",
            Standing::Pending,
            format!(
                "{unseen} {} not fit into the preview: split the pull request, or read them with `windlass plan` and write /accept-unseen",
                if *unseen == 1 {
                    "change does"
                } else {
                    "changes do"
                }
            ),
        )
        .since(Some(*completed_at))
        .clears([Clear::Author, approver(facts)]),
        Some(PreviewFact { completed_at, .. }) => leaf(
            "preview",
            Standing::Passed,
            format!("the preview of {} is ready", facts.head.short()),
        )
        .since(Some(*completed_at)),
    })
}

/// Somebody who may approve for every stage.
fn approver(facts: &Facts) -> Clear {
    let names = facts.stages.iter().flat_map(|stage| &stage.approver_names);
    let names: BTreeSet<_> = names.cloned().collect();
    Clear::Approver {
        names: names.into_iter().collect(),
    }
}
