//! The cache of the application loop. An application that no longer exists is removed from it.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::image_verification;
use super::objects::LastApplied;
use crate::controller::cache::{Recent, locked};
use crate::domain::manifest::ResourceKey;
use crate::domain::{ApplicationKey, CommitSha};

#[derive(Default)]
pub struct Cache {
    /// Each object of an application as it was applied last.
    pub last_applied: Mutex<HashMap<ApplicationKey, HashMap<ResourceKey, LastApplied>>>,
    /// When drift of each object was reverted.
    pub heals: Mutex<HashMap<(ApplicationKey, ResourceKey), VecDeque<Instant>>>,
    /// The resourceVersion of each `Application` object that was last reported.
    pub last_reported: Mutex<HashMap<ApplicationKey, Option<String>>>,
    /// The last image verification of each application.
    pub verifications: Mutex<HashMap<ApplicationKey, image_verification::LastCheck>>,
    /// Commits for whose deletions GitHub knows no approval, with the time of the next check and
    /// the pause before it.
    pub unapproved: Recent<(ApplicationKey, CommitSha), (Instant, Duration)>,
    /// The poll interval of each application that Argo CD or Flux reconciles.
    pub polls: Mutex<HashMap<ApplicationKey, Duration>>,
    /// Since when each application's cluster is unreachable.
    pub unreachable: Mutex<HashMap<ApplicationKey, Instant>>,
}

impl Cache {
    /// The application no longer exists.
    pub fn forget(&self, key: &ApplicationKey) {
        locked(&self.last_applied).remove(key);
        locked(&self.heals).retain(|(of, _), _| of != key);
        locked(&self.last_reported).remove(key);
        locked(&self.verifications).remove(key);
        locked(&self.polls).remove(key);
        locked(&self.unreachable).remove(key);
    }
}
