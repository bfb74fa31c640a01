//! A Git tree with its listing, and reading files in it. No path and no symbolic
//! link leads out of the tree.

use super::MOST_LINKS;
use crate::domain::{Invalid, catalog};
use crate::git::{EntryMode, Listing, Mirror, TreeId};

/// A Git tree with its listing, read once for all applications.
pub struct Source<'a> {
    mirror: &'a Mirror,
    tree: TreeId,
    files: Listing,
}

impl<'a> Source<'a> {
    pub fn open(mirror: &'a Mirror, tree: TreeId) -> anyhow::Result<Self> {
        Ok(Self {
            mirror,
            tree,
            files: mirror.files(tree)?,
        })
    }

    /// What can be an application in it.
    pub fn places(&self) -> catalog::Tree {
        let files = self.files.paths();
        catalog::Tree::new(files.iter().map(String::as_str))
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

    pub(super) fn is_directory(&self, path: &str) -> bool {
        self.files.has_directory(path)
    }

    /// A file's content. A symbolic link is followed inside the tree only.
    pub(super) fn content(&self, path: &str) -> Result<Option<Vec<u8>>, Invalid> {
        let mut at = path.to_string();
        for _ in 0..MOST_LINKS {
            let Some((mode, id)) = self.files.get(&at) else {
                return Ok(None);
            };
            let blob = || {
                self.mirror
                    .blob(id)
                    .map_err(|error| Invalid(format!("{at}: {error}")))
            };
            match mode {
                EntryMode::File => return blob().map(Some),
                EntryMode::Symlink => {
                    let target = String::from_utf8_lossy(&blob()?).into_owned();
                    let parent = at.rsplit_once('/').map_or("", |(parent, _)| parent);
                    at = join(parent, &target).ok_or_else(|| {
                        Invalid(format!(
                            "{path} is a symbolic link that leads out of the repository ({target})"
                        ))
                    })?;
                }
                EntryMode::Directory | EntryMode::Submodule => {
                    return Err(Invalid(format!(
                        "{path} is a submodule: windlass does not read submodules"
                    )));
                }
            }
        }
        Err(Invalid(format!(
            "{path} is a symbolic link that leads nowhere"
        )))
    }
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
