//! What is remembered of applications. An application that is gone is forgotten.

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
    /// How we left each object of an application.
    pub last_applied: Mutex<HashMap<ApplicationKey, HashMap<ResourceKey, LastApplied>>>,
    /// When each object was set back.
    pub heals: Mutex<HashMap<(ApplicationKey, ResourceKey), VecDeque<Instant>>>,
    /// The version of each `Application` object that GitHub was last told of.
    pub last_reported: Mutex<HashMap<ApplicationKey, Option<String>>>,
    /// What each application's pods were asked to prove, when next, and after which pause.
    pub verifications: Mutex<HashMap<ApplicationKey, image_verification::Asked>>,
    /// Commits whose deletions GitHub knows no approval of, with when it is asked again and the pause before.
    pub unapproved: Recent<(ApplicationKey, CommitSha), (Instant, Duration)>,
    /// How long each application that others keep is left alone.
    pub polls: Mutex<HashMap<ApplicationKey, Duration>>,
    /// Since when each application's cluster cannot be reached.
    pub unreachable: Mutex<HashMap<ApplicationKey, Instant>>,
}

impl Cache {
    /// The application is gone.
    pub fn forget(&self, key: &ApplicationKey) {
        locked(&self.last_applied).remove(key);
        locked(&self.heals).retain(|(of, _), _| of != key);
        locked(&self.last_reported).remove(key);
        locked(&self.verifications).remove(key);
        locked(&self.polls).remove(key);
        locked(&self.unreachable).remove(key);
    }
}
