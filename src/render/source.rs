//! A Git tree with its listing, and reading files in it. No path and no symbolic
//! link leads out of the tree.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::MOST_LINKS;
use crate::domain::build::sets;
use crate::domain::{Invalid, catalog, directories_of};
use crate::git::{EntryMode, Listing, Mirror, TreeId, is_lfs_pointer};

/// Symbolic links to directories: each with the directory that it leads to, in which there are none.
pub(super) type Links = BTreeMap<String, String>;

/// A Git tree with its listing, read once for all applications.
pub struct Source<'a> {
    mirror: &'a Mirror,
    tree: TreeId,
    files: Listing,
    places: OnceCell<catalog::Tree>,
    objects: OnceCell<catalog::Objects>,
}

impl<'a> Source<'a> {
    pub fn open(mirror: &'a Mirror, tree: TreeId) -> anyhow::Result<Self> {
        Ok(Self {
            mirror,
            tree,
            files: mirror.files(tree)?,
            places: OnceCell::new(),
            objects: OnceCell::new(),
        })
    }

    /// What can be an application in it; a submodule where one would be is said, not passed over.
    /// Read once: a tree may have many files.
    pub fn places(&self) -> &catalog::Tree {
        self.places.get_or_init(|| places_of([self]))
    }

    /// The objects of other reconcilers in its files. A file that is not in Git has none.
    /// Read once: a tree may have many files.
    pub fn objects(&self) -> anyhow::Result<&catalog::Objects> {
        if let Some(known) = self.objects.get() {
            return Ok(known);
        }
        let all = self.files.all();
        let paths = all.iter().map(|(path, ..)| path.as_str());
        let mut objects = catalog::Objects::of_files(paths);
        let manifests = all.iter().filter(|(path, mode, _)| {
            *mode == EntryMode::File
                && (catalog::is_manifest(path) || path.ends_with("/Kustomization"))
        });
        for (path, _, id) in manifests {
            let content = self.mirror.blob(*id)?;
            let text = String::from_utf8_lossy(&content);
            if catalog::Objects::may_have(path, &text) {
                objects.add(path, &text);
            }
        }
        if objects.has_sets() {
            objects.make(&self.read_by_sets(&objects)?);
        }
        Ok(self.objects.get_or_init(|| objects))
    }

    fn read_by_sets(&self, objects: &catalog::Objects) -> anyhow::Result<sets::Tree> {
        let all = self.files.all().into_iter();
        let all = all.filter(|(_, mode, _)| *mode == EntryMode::File);
        let all: Vec<String> = all.map(|(path, ..)| path).collect();
        // As this tree says: it is read as the sets are.
        let configuration = self.text(catalog::FILE)?;
        let catalog = configuration.and_then(|text| catalog::Catalog::parse(&text).ok());
        let clusters = catalog.map(|catalog| catalog.clusters_of_argo_cd());
        let mut tree = sets::Tree {
            clusters: clusters.unwrap_or_default(),
            ..sets::Tree::default()
        };
        for path in &all {
            let above = directories_of(path).map(str::to_string);
            tree.directories.extend(above);
        }
        for path in objects.read_by_sets(&all) {
            if let Some(text) = self.text(path)? {
                tree.files.insert(path.clone(), text);
            }
        }
        Ok(tree)
    }

    /// What a draft of a configuration is made from.
    pub fn contents(&self) -> anyhow::Result<catalog::Contents> {
        let files = self.files.all().into_iter();
        let files = files.filter(|(_, mode, _)| *mode == EntryMode::File);
        let mut contents = catalog::Contents::new(files.map(|(path, ..)| path));
        for path in contents.wanted() {
            if let Some(text) = self.text(&path)? {
                contents.add(&path, &text);
            }
        }
        Ok(contents)
    }

    /// All files, for finding those in which two trees differ.
    pub fn listing(&self) -> &Listing {
        &self.files
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.files.get(path).is_some()
    }

    pub fn text(&self, path: &str) -> anyhow::Result<Option<String>> {
        Ok(self
            .mirror
            .read(self.tree, path)?
            .map(|content| String::from_utf8_lossy(&content).into_owned()))
    }

    /// The files under a directory.
    pub fn under(&self, directory: &str) -> impl Iterator<Item = String> {
        self.files.under(directory).into_iter()
    }

    /// An error if a path is a submodule, or in one.
    pub(super) fn check_submodules(&self, path: &str) -> Result<(), Invalid> {
        for path in directories_of(path).chain([path]) {
            if let Some((EntryMode::Submodule, _)) = self.files.get(path) {
                return Err(submodule(path));
            }
        }
        Ok(())
    }

    /// An error if there is a submodule anywhere under a directory.
    pub(super) fn check_submodules_under(&self, directory: &str) -> Result<(), Invalid> {
        self.check_submodules(directory)?;
        let is_one = |path: &String| {
            let entry = self.files.get(path);
            entry.is_some_and(|(mode, _)| mode == EntryMode::Submodule)
        };
        let found = self.under(directory).find(is_one);
        found.map_or(Ok(()), |path| Err(submodule(&path)))
    }

    pub(super) fn is_directory(&self, path: &str) -> bool {
        self.files.has_directory(path)
    }

    /// A path without the symbolic links to directories that are on it. Those are added to `links`,
    /// each with the directory that it leads to.
    pub(super) fn resolved(&self, path: &str, links: &mut Links) -> Result<String, Invalid> {
        self.resolve(path, links, MOST_LINKS)
    }

    fn resolve(&self, path: &str, links: &mut Links, most: usize) -> Result<String, Invalid> {
        let mut real = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let next = match real.is_empty() {
                true => part.to_string(),
                false => format!("{real}/{part}"),
            };
            let Some(to) = self.target(&next)? else {
                real = next;
                continue;
            };
            if most == 0 {
                return Err(nowhere(&next));
            }
            let to = self.resolve(&to, links, most - 1)?;
            // What leads to a file is followed when it is read.
            if !to.is_empty() && !self.is_directory(&to) {
                real = next;
                continue;
            }
            links.insert(next, to.clone());
            real = to;
        }
        Ok(real)
    }

    /// Where a symbolic link leads to. None: it is none.
    fn target(&self, path: &str) -> Result<Option<String>, Invalid> {
        let Some((EntryMode::Symlink, id)) = self.files.get(path) else {
            return Ok(None);
        };
        let blob = self.mirror.blob(id);
        let blob = blob.map_err(|error| Invalid(format!("{path}: {error}")))?;
        let target = String::from_utf8_lossy(&blob);
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let to = join(parent, &target).ok_or_else(|| {
            Invalid(format!(
                "{path} is a symbolic link that leads out of the repository ({target})"
            ))
        });
        to.map(Some)
    }

    /// A file's content. A symbolic link is followed inside the tree only.
    pub(super) fn content(&self, path: &str) -> Result<Option<Vec<u8>>, Invalid> {
        let mut at = path.to_string();
        for _ in 0..MOST_LINKS {
            at = self.resolved(&at, &mut Links::new())?;
            if let Some(to) = self.target(&at)? {
                at = to;
                continue;
            }
            let Some((mode, id)) = self.files.get(&at) else {
                self.check_submodules(&at)?;
                return Ok(None);
            };
            if mode != EntryMode::File {
                return Err(submodule(&at));
            }
            let content = self.mirror.blob(id);
            let content = content.map_err(|error| Invalid(format!("{at}: {error}")))?;
            check_pointer(&at, &content)?;
            return Ok(Some(content));
        }
        Err(nowhere(path))
    }
}

fn nowhere(path: &str) -> Invalid {
    Invalid(format!("{path} is a symbolic link that leads nowhere"))
}

fn submodule(path: &str) -> Invalid {
    Invalid(format!(
        "{path} is a submodule: windlass reads this repository only, so commit the files themselves"
    ))
}

/// An error if a file's content is not in Git: what is applied must not be the pointer.
pub fn check_pointer(path: &str, content: &[u8]) -> Result<(), Invalid> {
    if !is_lfs_pointer(content) {
        return Ok(());
    }
    Err(Invalid(format!(
        "{path} is in Git LFS, and windlass reads what is in Git: there it is only a pointer. Take it out of LFS (`git lfs untrack`, then `git add --renormalize`)"
    )))
}

/// What can be an application in one of several trees.
pub fn places_of<const N: usize>(sources: [&Source<'_>; N]) -> catalog::Tree {
    let all = sources.map(|source| source.files.all()).concat();
    let paths = all.iter().map(|(path, mode, _)| (path.as_str(), *mode));
    let is_submodule = |(_, mode): &(&str, EntryMode)| *mode == EntryMode::Submodule;
    let submodules = paths.clone().filter(is_submodule);
    catalog::Tree::new(paths.map(|(path, _)| path))
        .with_unreadable(submodules.map(|(path, _)| path))
}

/// `base/path` without `.` and `..`; None: it leads out of the tree.
pub(super) fn join(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_lead_out() {
        for (base, path, expected) in [
            ("apps/shop/staging", "../base", Some("apps/shop/base")),
            ("apps", "./a//b/.", Some("apps/a/b")),
            ("apps", "../..", None),
            ("apps", "/etc/passwd", None),
            ("", "..", None),
        ] {
            assert_eq!(join(base, path).as_deref(), expected, "{base} {path}");
        }
    }
}
