//! The Applications that the ApplicationSets of a tree make.

use serde_json::Value;

use super::Objects;
use crate::domain::Invalid;
use crate::domain::build::{Written, argocd, sets};
use crate::domain::manifest::ResourceKey;

/// What of one tree is evaluated.
const MOST_SETS: usize = 200;
const MOST_PATTERNS: usize = 500;
const MOST_BYTES: usize = 32 << 20;

impl Objects {
    fn sets(&self) -> impl Iterator<Item = (Written, &Value)> {
        self.of_kind(argocd::GROUP, sets::KIND, argocd::NAMESPACE)
    }

    /// Those of these files that an ApplicationSet may read.
    pub fn read_by_sets<'a>(&self, files: &'a [String]) -> Vec<&'a String> {
        let all = self.sets().take(MOST_SETS);
        let patterns = all.flat_map(|(_, set)| sets::files_read(set));
        let patterns: Vec<&str> = patterns.take(MOST_PATTERNS).collect();
        let is_read = |file: &&String| patterns.iter().any(|one| sets::may_read(one, file));
        files.iter().filter(is_read).collect()
    }

    /// Whether there is an ApplicationSet.
    pub fn has_sets(&self) -> bool {
        self.sets().next().is_some()
    }

    /// Evaluates the ApplicationSets.
    pub fn make(&mut self, tree: &sets::Tree) {
        let mut bytes = 0;
        let all: Vec<_> = self.sets().collect();
        let all: Vec<_> = all.into_iter().map(|(by, set)| (by, set.clone())).collect();
        for (at, (by, set)) in all.into_iter().enumerate() {
            let name = by.key.name.clone();
            let is_too_much = at >= MOST_SETS || bytes > MOST_BYTES;
            let all = match is_too_much {
                true => Err(Invalid(format!(
                    "{}: there are more ApplicationSets than windlass evaluates ({MOST_SETS}, of 32 MiB)",
                    by.file
                ))),
                false => sets::applications(&set, tree),
            };
            let all = match all {
                Ok(all) => all,
                Err(Invalid(why)) => {
                    let why = Invalid(format!("{}: {why}", by.file));
                    let made_by = Some(name);
                    self.broken.push((Written { made_by, ..by }, set, why));
                    continue;
                }
            };
            bytes += all.bytes;
            for object in all.applications {
                let text = |value: &Value| value.as_str().map(str::to_string);
                let key = ResourceKey {
                    group: argocd::GROUP.into(),
                    kind: argocd::KIND.into(),
                    namespace: text(&object["metadata"]["namespace"]),
                    name: text(&object["metadata"]["name"]).unwrap_or_default(),
                };
                let made = Written {
                    name: key.name.clone(),
                    key,
                    made_by: Some(name.clone()),
                    ..by.clone()
                };
                self.made.push((made, object));
            }
        }
    }

    /// An Application that a set makes, here; None: the set does not make it, or is not there. An
    /// error: the set cannot be evaluated.
    pub fn made(&self, written: &Written) -> Result<Option<&Value>, Invalid> {
        let is_of =
            |known: &Written| known.file == written.file && known.made_by == written.made_by;
        if let Some((.., why)) = self.broken.iter().find(|(known, ..)| is_of(known)) {
            return Err(why.clone());
        }
        let mut all = self.made.iter();
        let found = all.find(|(known, _)| is_of(known) && known.key == written.key);
        Ok(found.map(|(_, object)| object))
    }
}
