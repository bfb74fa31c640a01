//! What would happen, or has to happen, to each object of an application.
//!
//! One pure function, [`Plan::new`], makes the plan that the preview shows, the
//! sync carries out and drift is measured by. Its input is a before and an
//! after for each object, both as the API server tells them: a preview compares
//! what a sync of the base would leave with what a sync of the head would leave
//! (two server-side dry-runs), a sync compares the live object with the dry-run
//! of the desired one. The masking of secret data happens here, on the way into
//! a [`Change`]; nothing later can show what it never had.
//!
//! Beside what changes a plan tells what a reviewer would not see in it: whose
//! fields are taken, which stay though Git drops them, what the server warned of.
//!
//! `change`: one object's line of a plan. `differences`: the fields in which two
//! objects differ. `digest`: what binds an approval to a plan. `allocated` and
//! `unstable`: what of an answer cannot be compared. `outcome`: whether what was
//! planned came to be. `refusal`: the server's words without secrets.

use serde_json::Value;

use super::manifest::ResourceKey;
use super::mask::Mask;

mod allocated;
mod change;
mod differences;
mod digest;
mod outcome;
mod refusal;
#[cfg(test)]
mod tests;
mod unstable;

pub use allocated::{without_allocated, without_newly_allotted};
pub use change::{Change, size};
pub use differences::{differences, differs_beside};
pub use digest::digest;
pub use outcome::matches_prediction;
pub use refusal::refusal;
pub use unstable::{UNSTABLE, mark_unstable, settle_unstable};

/// What happens to an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Create,
    Configure,
    /// Deleted and created anew: a field that cannot be changed differs.
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

/// How far the API server vouches for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Answered by a server-side dry-run.
    Server,
    /// Worked out from what the server said of something near: in another namespace, or by a schema of the same change.
    Simulated,
    /// The server cannot be asked yet: the object's namespace or kind is created by the same change.
    Static,
}

/// Fields by the name of the manager who holds them, or held them.
pub type Fields = Vec<(String, Vec<String>)>;

/// What a change does beside the change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// Fields taken from others.
    pub taken: Fields,
    /// Fields that others hold and nobody has decided about.
    pub undecided: Fields,
    /// Fields that Git has no more and that stay, since others own them too.
    pub kept: Fields,
    /// Fields that Git has and that are left to others.
    pub released: Fields,
    /// Fields that others changed and that a sync sets back.
    pub reverted: Fields,
    /// The tools whose fields are taken over, once.
    pub adopted: Vec<String>,
    /// It is only taken over once somebody says so.
    pub to_adopt: bool,
    /// The server allots ports or addresses to it when it is applied.
    pub allotted: bool,
    /// What the API server warned of.
    pub warnings: Vec<String>,
    /// Why it is known less well than it could be.
    pub unverified: Option<String>,
    /// Differences that rules of `windlass.yaml` hide.
    pub ignored: Vec<String>,
    /// Why the object has to be deleted and created anew.
    pub recreate: Option<String>,
    /// That is done without its pods: they go on, and belong to the new one.
    pub alone: bool,
    /// The cluster has it so already: somebody changed it by hand.
    pub already: bool,
    /// It is not kept but run: when, in words.
    pub hook: Option<String>,
    /// What admission puts in.
    pub admitted: Vec<String>,
    /// What comes out differently each time that the server is asked, and so is not compared.
    pub unstable: Vec<String>,
    /// Lists that are replaced as a whole, with what others put into them.
    pub replaced: Vec<String>,
    /// What else was found out about it in the cluster: budgets, dependents, reclaim policies. In words.
    pub facts: Vec<String>,
}

/// What is known of one object, before it becomes a change.
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
    /// As the API server answered: a live object or the result of a dry-run.
    Object(Value, Confidence),
    /// The API server would refuse the object, in these words (already free of secrets).
    Refused(String),
}

impl Side {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Object(value, _) => Some(value),
            _ => None,
        }
    }
}

/// What happens to one application in one stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Sorted by key; objects that stay as they are included.
    pub changes: Vec<Change>,
}

impl Plan {
    pub fn new(mask: &Mask, comparisons: impl IntoIterator<Item = Comparison>) -> Self {
        let mut changes: Vec<_> = comparisons
            .into_iter()
            .map(|comparison| Change::new(mask, comparison))
            .collect();
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        Self { changes }
    }

    /// The changes that do something, or cannot.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| !change.is_nothing())
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
