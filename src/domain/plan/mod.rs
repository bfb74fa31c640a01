//! The changes to each object of an application.
//!
//! One pure function, [`Plan::new`], makes the plan: the preview shows it, the sync
//! applies it, and drift is a plan too. Its input is a before and an after for each
//! object, both answers of the API server. A preview compares two server-side
//! dry-runs: a sync of the base and a sync of the head. A sync compares the live
//! object with the dry-run of the desired one. Secret data is masked here, before
//! it enters a [`Change`], so nothing later can show it.
//!
//! A plan also has notes that the diff does not show: fields taken from other
//! managers, fields that stay although Git drops them, warnings of the server.
//!
//! `change`: one object's line of a plan. `diff`: as people read it. `differences`: the fields in which two
//! objects differ. `digest`: binds an approval to a plan. `allocated` and
//! `unstable`: values in an answer that cannot be compared. `outcome`: whether the
//! applied object is as planned. `refusal`: the server's message without secrets.

use super::manifest::{FileLine, ResourceKey};
use super::mask::Mask;
use crate::domain::Live;

mod allocated;
mod change;
mod diff;
mod differences;
mod digest;
mod outcome;
mod refusal;
#[cfg(test)]
mod tests;
mod unknown_field;
mod unstable;

pub use allocated::{without_allocated, without_newly_allotted};
pub use change::{Change, size};
pub use diff::Style;
pub use differences::{differences, differs_beside};
pub use digest::digest;
pub use outcome::matches_prediction;
pub use refusal::refusal;
pub use unknown_field::{nearest_field, unknown_field};
pub use unstable::{UNSTABLE, mark_unstable, settle_unstable};

/// What happens to an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Create,
    Configure,
    /// Deleted and created again: an immutable field differs.
    Recreate,
    Prune,
    Unchanged,
}

impl Action {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Configure => "configure",
            Self::Recreate => "recreate",
            Self::Prune => "prune",
            Self::Unchanged => "unchanged",
        }
    }
}

/// How a change was predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// By a server-side dry-run.
    Server,
    /// From a dry-run in another namespace, or by a schema that the same change brings.
    Simulated,
    /// From the manifest alone: the same change creates the object's namespace or kind.
    Static,
}

/// Fields, by the manager that owns or owned them.
pub type Fields = Vec<(String, Vec<String>)>;

/// Notes on a change that its diff does not show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// Fields that are taken from other managers.
    pub taken: Fields,
    /// Fields that others own and nobody has decided about.
    pub undecided: Fields,
    /// Fields that are no longer in Git and that stay, since others own them too.
    pub kept: Fields,
    /// Fields in Git that are left to others.
    pub released: Fields,
    /// Fields that others changed and that a sync reverts.
    pub reverted: Fields,
    /// The tools whose fields are adopted.
    pub adopted: Vec<String>,
    /// It is only changed after somebody adopts it.
    pub to_adopt: bool,
    /// The server allocates ports or addresses when it is applied.
    pub allotted: bool,
    /// Warnings of the API server.
    pub warnings: Vec<String>,
    /// Why the prediction is less certain than usual.
    pub unverified: Option<String>,
    /// Differences that rules of `windlass.yaml` hide.
    pub ignored: Vec<String>,
    /// Why the object has to be recreated.
    pub recreate: Option<String>,
    /// Ready pods of the pod template that it gets, which run since a roll-out away from it did not
    /// end.
    pub still_ready: i64,
    /// It is recreated without its pods, which keep running and belong to the new object.
    pub alone: bool,
    /// The cluster has this change already: somebody made it by hand.
    pub already: bool,
    /// It is a hook: when it runs, as text.
    pub hook: Option<String>,
    /// Fields that admission adds.
    pub admitted: Vec<String>,
    /// Fields that differ in each dry-run, and so are not compared.
    pub unstable: Vec<String>,
    /// Lists that are replaced as a whole, including items of others.
    pub replaced: Vec<String>,
    /// Where Git has what is refused.
    pub place: Option<FileLine>,
    /// The field that was probably meant by one that the server does not know.
    pub meant: Option<String>,
    /// Further facts from the cluster, as text: disruption budgets, dependents, reclaim policies.
    pub facts: Vec<String>,
}

/// Both sides of an object, from which its change is made.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub key: ResourceKey,
    pub before: Side,
    pub after: Side,
    pub notes: Notes,
}

impl Comparison {
    pub fn new(key: ResourceKey, before: Side, after: Side) -> Self {
        Self {
            key,
            before,
            after,
            notes: Notes::default(),
        }
    }
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub enum Side {
    Absent,
    /// A live object, the result of a dry-run, or an estimate of it.
    Object(Live, Confidence),
    /// The API server would refuse the object, with this message (without secrets).
    Refused(String),
}

impl Side {
    /// The object, if there is one and it is not refused.
    pub fn object(&self) -> Option<&Live> {
        match self {
            Self::Object(object, _) => Some(object),
            _ => None,
        }
    }
}

/// The changes to one application in one stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Sorted by key, with unchanged objects.
    pub changes: Vec<Change>,
    /// Argo CD or Flux makes them, in an order of its own.
    pub applied_by_others: bool,
}

impl Plan {
    pub fn new(mask: &Mask, comparisons: impl IntoIterator<Item = Comparison>) -> Self {
        let mut changes: Vec<_> = comparisons
            .into_iter()
            .map(|comparison| Change::new(mask, comparison))
            .collect();
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            changes,
            applied_by_others: false,
        }
    }

    /// The changes that have an effect, or cannot be made.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| !change.is_nothing())
    }

    /// The effective changes of objects that exist.
    pub fn existing(&self) -> impl Iterator<Item = &Change> {
        self.effective().filter(|change| change.before.is_some())
    }

    /// The change of an object.
    pub fn of(&self, key: &ResourceKey) -> Option<&Change> {
        let at = self.changes.binary_search_by(|change| change.key.cmp(key));
        at.ok().map(|at| &self.changes[at])
    }

    pub fn is_empty(&self) -> bool {
        self.effective().next().is_none()
    }

    pub fn count(&self, action: &Action) -> usize {
        self.changes
            .iter()
            .filter(|change| {
                change.action == *action && change.problem.is_none() && !change.is_hook()
            })
            .count()
    }

    /// How many hooks run.
    pub fn hooks(&self) -> usize {
        self.changes
            .iter()
            .filter(|change| {
                change.is_hook() && change.problem.is_none() && change.action != Action::Unchanged
            })
            .count()
    }

    pub fn problems(&self) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(|change| change.problem.is_some())
    }
}
