//! An application's hooks in one reconcile: which are to run, which ran, and
//! which only have to be cleaned up.

use std::collections::BTreeSet;

use crate::cluster::store::{ApplicationStatus, HookRun};
use crate::domain::health::{Assessment, Health};
use crate::domain::hook::{self, Hook};
use crate::domain::manifest::{Manifest, ResourceKey};

/// The hooks that Git has.
#[derive(Default)]
pub struct Hooks {
    all: Vec<(Manifest, Hook)>,
    run: String,
    /// The hooks that succeeded in this run.
    done: BTreeSet<ResourceKey>,
    first: bool,
}

impl Hooks {
    pub fn new(all: Vec<(Manifest, Hook)>, status: &ApplicationStatus, inputs: &str) -> Self {
        let run = hook::run_of(inputs);
        let done = status
            .hooks
            .iter()
            .filter(|done| done.run == run)
            .map(|done| done.key.clone())
            .collect();
        // The first sync's hooks stay those of a first sync until the inputs change.
        let first = status.synced_revision.is_none() || status.first_run.as_ref() == Some(&run);
        Self {
            all,
            run,
            done,
            first,
        }
    }

    /// The run of the first sync, while nothing else was synced.
    pub fn first_run(&self) -> Option<String> {
        self.first.then(|| self.run.clone())
    }

    /// The hooks as they are applied in this run, without those that succeeded.
    pub fn due(&self) -> impl Iterator<Item = Manifest> + '_ {
        let due = self
            .all
            .iter()
            .filter(|(manifest, hook)| hook.runs(self.first) && !self.done.contains(&manifest.key));
        due.map(|(manifest, _)| hook::for_run(manifest, &self.run))
    }

    pub fn has(&self, key: &ResourceKey) -> bool {
        self.all.iter().any(|(manifest, _)| manifest.key == *key)
    }

    /// Whether the live hook may stay: Git has it, and its deletion policy does not apply yet.
    pub fn keeps(&self, key: &ResourceKey) -> bool {
        let found = self.all.iter().find(|(manifest, _)| manifest.key == *key);
        found.is_some_and(|(_, hook)| !(hook.deleted_after_success && self.done.contains(key)))
    }

    /// The hooks that succeeded, now or before. `pending`: the objects that the plan still changes.
    pub fn done_by(
        &self,
        assessed: &[(&Manifest, Assessment)],
        pending: &BTreeSet<ResourceKey>,
    ) -> Vec<HookRun> {
        let healthy = assessed.iter().filter(|(manifest, (health, _))| {
            *health == Health::Healthy
                && hook::run(&manifest.value) == Some(&self.run)
                && !pending.contains(&manifest.key)
        });
        let mut done = self.done.clone();
        done.extend(healthy.map(|(manifest, _)| manifest.key.clone()));
        done.into_iter()
            .map(|key| HookRun {
                key,
                run: self.run.clone(),
            })
            .collect()
    }
}
