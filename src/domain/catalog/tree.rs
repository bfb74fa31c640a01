//! The directories and files of a tree that can be applications.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::pattern::is_manifest;
use crate::domain::directories_of;

/// The files by which a directory is a kustomization.
pub const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a file makes its directory a kustomization.
pub(super) fn is_kustomization(file: &str) -> bool {
    KUSTOMIZATIONS.contains(&file.rsplit('/').next().unwrap_or(file))
}

/// The directories and files of a tree that can be applications.
#[derive(Debug, Default)]
pub struct Tree {
    /// Each directory, with what it has.
    directories: BTreeMap<String, Holds>,
    manifests: BTreeSet<String>,
}

/// What a directory has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Holds {
    root: bool,
    manifests: bool,
    root_below: bool,
    manifests_below: bool,
}

impl Tree {
    /// From the paths of all files.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut holds, mut manifests) = (HashMap::<&str, Holds>::new(), BTreeSet::new());
        for path in files {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            let here = holds.entry(directory).or_default();
            here.root |= name == "Chart.yaml" || KUSTOMIZATIONS.contains(&name);
            if is_manifest(name) {
                here.manifests = true;
                manifests.insert(path.to_string());
            }
        }
        let all: Vec<_> = holds.iter().map(|(path, holds)| (*path, *holds)).collect();
        for (directory, below) in all {
            let mut at = directory;
            while let Some((parent, _)) = at.rsplit_once('/') {
                let above = holds.entry(parent).or_default();
                above.root_below |= below.root;
                above.manifests_below |= below.manifests;
                at = parent;
            }
        }
        let directories = holds.into_iter().filter(|(path, _)| !path.is_empty());
        let directories = directories.map(|(path, holds)| (path.to_string(), holds));
        Self {
            directories: directories.collect(),
            manifests,
        }
    }

    /// With directories whose files are not known, each of which can be an application.
    pub fn with_unreadable<'a>(mut self, directories: impl IntoIterator<Item = &'a str>) -> Self {
        let unreadable = Holds {
            root: true,
            ..Holds::default()
        };
        let unreadable = directories
            .into_iter()
            .map(|path| (path.to_string(), unreadable));
        self.directories.extend(unreadable);
        self
    }

    /// For tests: with a kustomization in each of these directories.
    #[cfg(test)]
    pub fn of<'a>(directories: impl IntoIterator<Item = &'a str>) -> Self {
        let files = directories
            .into_iter()
            .map(|path| format!("{path}/kustomization.yaml"));
        let files: Vec<_> = files.collect();
        Self::new(files.iter().map(String::as_str))
    }

    /// Whether a directory can be an application: it holds a kustomization, a chart or manifests. One
    /// above kustomizations or charts is none by itself.
    pub(super) fn can_be(&self, path: &str) -> bool {
        let holds = self.directories.get(path);
        holds.is_some_and(|holds| holds.may_be_one())
    }

    /// Whether a directory belongs to a kustomization or a chart above it, and is none itself.
    pub(super) fn is_part(&self, path: &str) -> bool {
        let root = |path: &str| self.directories.get(path).is_some_and(|holds| holds.root);
        !root(path) && directories_of(path).any(root)
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = &str> {
        self.directories.keys().map(String::as_str)
    }

    pub(super) fn manifests(&self) -> impl Iterator<Item = &str> {
        self.manifests.iter().map(String::as_str)
    }
}

impl Holds {
    fn may_be_one(self) -> bool {
        self.root || self.manifests || self.manifests_below && !self.root_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_counts_if_something_can_be_rendered_in_it() {
        let tree = Tree::new([
            "README.md",
            "apps/shop/staging/kustomization.yaml",
            "apps/web/staging/deep/down/web.yaml",
            "charts/db/Chart.yaml",
            "charts/db/templates/db.yaml",
            "docs/pictures/a.png",
            "values/shop.yaml",
        ]);
        let found: Vec<_> = tree
            .directories()
            .filter(|path| tree.can_be(path))
            .collect();
        assert_eq!(
            found,
            [
                "apps/shop/staging",
                "apps/web",
                "apps/web/staging",
                "apps/web/staging/deep",
                "apps/web/staging/deep/down",
                "charts/db",
                "charts/db/templates",
                "values"
            ]
        );
        assert_eq!(tree.directories().count(), 13);
        assert_eq!(tree.manifests().last(), Some("values/shop.yaml"));
    }
}
