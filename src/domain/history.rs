//! The revisions of an application that were synced and healthy: what a rollback goes back to.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::CommitSha;
use crate::domain::image::ImageRef;

/// A revision that was synced and healthy, with its images verified.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HealthyRevision {
    pub revision: CommitSha,
    /// Digest of all files that rendering it reads.
    pub inputs: String,
    /// When all of it was healthy first.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The images that it runs, of those that `windlass.yaml` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRef>,
    /// What its sync did that going back does not undo: deleted volumes and hooks that ran, as
    /// `prune PersistentVolumeClaim shop/data` and `run Job shop/migrate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub irreversible: Vec<String>,
}

/// Healthy revisions that an application remembers.
const MOST: usize = 10;

/// Records that a revision is healthy; the newest stands last.
pub fn note_healthy(history: &mut Vec<HealthyRevision>, new: HealthyRevision) {
    if history
        .last()
        .is_some_and(|last| last.revision == new.revision)
    {
        return;
    }
    history.retain(|known| known.revision != new.revision);
    history.push(new);
    history.drain(..history.len().saturating_sub(MOST));
}

/// The last healthy revision with other inputs than the present ones.
pub fn last_good<'a>(history: &'a [HealthyRevision], inputs: &str) -> Option<&'a HealthyRevision> {
    history.iter().rfind(|known| known.inputs != inputs)
}

/// The last healthy revision before the present inputs came first: what a person goes back to. After a
/// rollback, what that went away from is no step back.
pub fn last_before<'a>(
    history: &'a [HealthyRevision],
    inputs: &str,
) -> Option<&'a HealthyRevision> {
    let before = history.iter().take_while(|known| known.inputs != inputs);
    before.last()
}

/// What the syncs since a healthy revision did that going back to it does not undo.
pub fn irreversible_since(history: &[HealthyRevision], revision: &CommitSha) -> Vec<String> {
    let at = history.iter().position(|known| known.revision == *revision);
    let later = at.map_or(&[][..], |at| &history[at + 1..]);
    later
        .iter()
        .flat_map(|known| known.irreversible.iter().cloned())
        .collect()
}

/// Whether what a sync did to an object, `prune Kind namespace/name`, cannot be undone by a sync.
pub fn is_irreversible(outcome: &str) -> bool {
    ["PersistentVolumeClaim ", "PersistentVolume ", "Namespace "]
        .iter()
        .any(|kind| {
            ["prune ", "recreate "].iter().any(|action| {
                outcome
                    .strip_prefix(action)
                    .is_some_and(|object| object.starts_with(kind))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(digit: &str, inputs: &str) -> HealthyRevision {
        HealthyRevision {
            revision: digit.repeat(40).parse().unwrap(),
            inputs: inputs.into(),
            at: Timestamp::UNIX_EPOCH,
            images: Vec::new(),
            irreversible: vec![format!("run Job shop/{inputs}")],
        }
    }

    #[test]
    fn the_last_good_revision_has_other_inputs() {
        let mut history = Vec::new();
        for (digit, inputs) in [("a", "one"), ("b", "two"), ("c", "one"), ("b", "two")] {
            note_healthy(&mut history, healthy(digit, inputs));
        }
        let order: String = history
            .iter()
            .map(|known| &known.revision.as_str()[..1])
            .collect();
        assert_eq!(order, "acb");
        let good = |inputs: &str| {
            last_good(&history, inputs).map(|known| known.revision.as_str()[..1].to_string())
        };
        assert_eq!(good("two").as_deref(), Some("c"));
        assert_eq!(good("one").as_deref(), Some("b"));
        let before = |inputs: &str| last_before(&history, inputs).map(|known| &known.inputs[..]);
        assert_eq!(
            (before("one"), before("two"), before("three")),
            (None, Some("one"), Some("two"))
        );
        assert_eq!(good("three").as_deref(), Some("b"));
        assert_eq!(last_good(&history[..1], "one"), None);
        assert_eq!(
            irreversible_since(&history, &"a".repeat(40).parse().unwrap()),
            ["run Job shop/one", "run Job shop/two"]
        );
        for number in 0..2 * MOST {
            note_healthy(&mut history, healthy(&format!("{:x}", number % 16), "more"));
        }
        assert_eq!(history.len(), MOST);
    }

    #[test]
    fn data_that_is_gone_does_not_come_back() {
        for (outcome, expected) in [
            ("prune PersistentVolumeClaim shop/data", true),
            ("recreate PersistentVolumeClaim shop/data", true),
            ("configure PersistentVolumeClaim shop/data", false),
            ("prune Deployment shop/web", false),
        ] {
            assert_eq!(is_irreversible(outcome), expected, "{outcome}");
        }
    }
}
