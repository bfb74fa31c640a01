//! The cache of the application loop. An application that no longer exists is removed from it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::external::Requested;
use super::image_verification;
use super::objects::LastApplied;
use crate::controller::cache::{Recent, locked};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{Action, Change, Plan};
use crate::domain::{CommitSha, TargetKey};

#[derive(Default)]
pub struct Cache {
    /// Each object of an application as it was applied last.
    pub last_applied: Mutex<HashMap<TargetKey, HashMap<ResourceKey, LastApplied>>>,
    /// When drift of each object was reverted.
    pub heals: Mutex<HashMap<(TargetKey, ResourceKey), VecDeque<Instant>>>,
    /// The resourceVersion of each `Application` object that was last reported.
    pub last_reported: Mutex<HashMap<TargetKey, Option<String>>>,
    /// The last image verification of each application.
    pub verifications: Mutex<HashMap<TargetKey, image_verification::LastCheck>>,
    /// Commits for whose deletions GitHub knows no approval, with the time of the next check and
    /// the pause before it.
    pub unapproved: Recent<(TargetKey, CommitSha), (Instant, Duration)>,
    /// The poll interval of each application that Argo CD or Flux reconciles.
    pub polls: Mutex<HashMap<TargetKey, Duration>>,
    /// What was requested of Argo CD or Flux for each application that it reconciles.
    pub requested: Mutex<HashMap<TargetKey, Requested>>,
    /// What a sync would change in each application that is not synced, for the page.
    differences: Mutex<HashMap<TargetKey, Arc<Vec<Difference>>>>,
    /// Since when each application's cluster is unreachable.
    pub unreachable: Mutex<HashMap<TargetKey, Instant>>,
}

/// What a sync would change in an object.
pub struct Difference {
    pub key: ResourceKey,
    pub action: Action,
    /// A unified diff of YAML; secret data is masked.
    pub diff: String,
}

/// Objects of one application whose differences are kept.
const MOST_DIFFERENCES: usize = 20;
/// Bytes of one difference that are kept.
const MOST_DIFF: usize = 4 << 10;

impl Cache {
    pub fn differences(&self, key: &TargetKey) -> Arc<Vec<Difference>> {
        locked(&self.differences)
            .get(key)
            .cloned()
            .unwrap_or_default()
    }

    /// Keeps what a plan changes.
    pub fn note_differences(&self, key: &TargetKey, plan: &Plan) {
        let changes = plan.effective().take(MOST_DIFFERENCES);
        let differences: Vec<_> = changes.map(Difference::new).collect();
        let mut all = locked(&self.differences);
        match differences.is_empty() {
            true => all.remove(key),
            false => all.insert(key.clone(), Arc::new(differences)),
        };
    }

    /// The application no longer exists.
    pub fn forget(&self, key: &TargetKey) {
        locked(&self.last_applied).remove(key);
        locked(&self.heals).retain(|(of, _), _| of != key);
        locked(&self.last_reported).remove(key);
        locked(&self.verifications).remove(key);
        locked(&self.polls).remove(key);
        locked(&self.requested).remove(key);
        locked(&self.differences).remove(key);
        locked(&self.unreachable).remove(key);
    }
}

impl Difference {
    fn new(change: &Change) -> Self {
        let mut diff = change.problem.clone().unwrap_or_else(|| change.diff());
        if diff.len() > MOST_DIFF {
            diff.truncate(diff.floor_char_boundary(MOST_DIFF));
            diff.push_str("\n…");
        }
        Self {
            key: change.key.clone(),
            action: change.action.clone(),
            diff,
        }
    }
}
