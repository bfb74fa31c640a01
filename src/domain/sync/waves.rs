//! Sync waves: the order in which objects are applied.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::health::{self, Assessment, Health};
use crate::domain::hook::Hook;
use crate::domain::labels::WAVE;
use crate::domain::manifest::{ApplyPhase, ResourceKey, apply_phase};

/// The waves of an application's objects, by annotation. A wave begins once those before it are
/// healthy.
#[derive(Debug, Clone, Default)]
pub struct Waves {
    of: BTreeMap<ResourceKey, i64>,
    health: BTreeMap<i64, Assessment>,
}

const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";

impl Waves {
    /// `objects`: every object with its manifest and health. Namespaces and definitions are always in the first wave.
    pub fn new<'a>(
        objects: impl IntoIterator<Item = (&'a ResourceKey, &'a Value, Assessment)>,
    ) -> Self {
        let mut all: Vec<_> = objects
            .into_iter()
            .map(|(key, value, health)| (key, wave(value), health))
            .collect();
        let first = all.iter().map(|(_, wave, _)| *wave).min().unwrap_or(0);
        let mut waves = Self::default();
        for (key, wave, health) in &mut all {
            if apply_phase(key) == ApplyPhase::Definitions {
                *wave = first;
            }
            waves.of.insert(key.clone(), *wave);
            let known = waves
                .health
                .remove(wave)
                .unwrap_or((Health::Healthy, String::new()));
            waves
                .health
                .insert(*wave, health::aggregate([known, health.clone()]));
        }
        waves
    }

    /// The first wave that is not healthy. None: all are.
    pub fn current(&self) -> Option<(i64, Health, &str)> {
        let unhealthy = |health: Health| !matches!(health, Health::Healthy | Health::Suspended);
        self.health
            .iter()
            .find(|(_, (health, _))| unhealthy(*health))
            .map(|(wave, (health, why))| (*wave, *health, why.as_str()))
    }

    /// Whether a change may be made now.
    pub fn allows(&self, key: &ResourceKey) -> bool {
        // Objects that are no longer in Git are deleted last.
        let wave = self.of.get(key).copied().unwrap_or(i64::MAX);
        self.health.len() < 2 || self.current().is_none_or(|(current, _, _)| wave <= current)
    }
}

fn wave(value: &Value) -> i64 {
    if let Some(hook) = Hook::of(value) {
        return hook.wave();
    }
    let annotations = &value["metadata"]["annotations"];
    [WAVE, ARGO_WAVE]
        .iter()
        .find_map(|name| annotations[*name].as_str()?.trim().parse().ok())
        .unwrap_or(0i64)
        .clamp(-1_000_000, 1_000_000)
}
