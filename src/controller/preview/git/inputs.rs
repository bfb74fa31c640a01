//! The inputs of one application before and after a pull request, and which of the changed files it
//! reads.

use std::collections::BTreeSet;

use crate::controller::resource_owners::RenderInputs;
use crate::domain::catalog::RenderSource;
use crate::render::{self, Source};

/// The inputs of an application on both sides.
pub struct InputChange<'a> {
    pub before: RenderInputs,
    pub after: RenderInputs,
    /// The changed files that it reads, on one side at least.
    pub reads: BTreeSet<&'a String>,
    /// The changed files near it, if it can be read on neither side.
    near: BTreeSet<&'a String>,
}

impl<'a> InputChange<'a> {
    /// Of the places on both sides. `after`: None if the head no longer has the application.
    pub fn of(
        (place_before, before): (&RenderSource, &Source<'_>),
        (place, after): (&RenderSource, Option<&Source<'_>>),
        changed: &BTreeSet<&'a String>,
    ) -> Self {
        let before = render::inputs(before, place_before);
        let after = match after {
            Some(after) => render::inputs(after, place),
            None => Ok(None),
        };
        let near = if before.is_err() && after.is_err() {
            near(&place.directory, changed)
        } else {
            BTreeSet::new()
        };
        let is_read = |path: &&String| {
            [&before, &after]
                .into_iter()
                .any(|read| matches!(read, Ok(Some(inputs)) if inputs.reads(path)))
        };
        let reads = changed.iter().copied().filter(is_read).collect();
        Self {
            before,
            after,
            reads,
            near,
        }
    }

    /// The changed files that concern this application.
    pub fn files(&self) -> impl Iterator<Item = &'a String> {
        self.near.iter().chain(&self.reads).copied()
    }

    /// Whether the pull request changes what the application renders from.
    pub fn differs(&self) -> bool {
        let hash = |read: &RenderInputs| {
            read.as_ref().ok().map(|inputs| {
                inputs
                    .as_ref()
                    .map(|inputs| inputs.hash.clone())
                    .unwrap_or_default()
            })
        };
        // If it can be read on neither side, changed files near it count as a change.
        !self.near.is_empty() || hash(&self.before) != hash(&self.after)
    }
}

/// The changed files in a directory's parent, or in the directory where the parent is a top one.
fn near<'a>(directory: &str, changed: &BTreeSet<&'a String>) -> BTreeSet<&'a String> {
    let near = match directory.rsplit_once('/') {
        Some((parent, _)) if parent.contains('/') => format!("{parent}/"),
        _ => format!("{directory}/"),
    };
    changed
        .iter()
        .copied()
        .filter(|path| path.starts_with(&near) || *path == directory)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a directory, and the changed files that are near it.
    #[test]
    fn files_beside_a_deep_directory_are_near_it() {
        let files = [
            "apps/shop/base/a.yaml",
            "apps/shop/staging/b.yaml",
            "apps/x.yaml",
        ];
        let files = files.map(String::from);
        let changed: BTreeSet<&String> = files.iter().collect();
        for (directory, expected) in [
            ("apps/shop/staging", vec![&files[0], &files[1]]),
            ("apps/shop", vec![&files[0], &files[1]]),
            ("apps/web", vec![]),
            ("apps", vec![&files[0], &files[1], &files[2]]),
        ] {
            let found: Vec<_> = near(directory, &changed).into_iter().collect();
            assert_eq!(found, expected, "{directory}");
        }
    }
}
