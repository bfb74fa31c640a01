//! Heads of pull requests that were being looked at when windlass died.
//!
//! A head is untrusted: what it makes windlass do may be what it died of. So
//! that it does not die of the same head for ever, each look is noted in the
//! cache folder before it begins, and the note goes when the look ends,
//! however it ends. A head that has [`MOST`] notes is not looked at again
//! until somebody asks for it by `/preview`. Known race: who dies for another
//! reason leaves a note too, so the first one counts for nothing yet.

use std::path::PathBuf;

use crate::domain::{CommitSha, PullRequestKey};

/// So often windlass may die of a head.
const MOST: usize = 2;
/// And of all heads of one pull request.
const MOST_OF_PULL: usize = 4;

pub struct Heads {
    folder: PathBuf,
}

/// A look that goes on.
pub struct Looking {
    file: PathBuf,
    /// What was noted before it began.
    before: Option<String>,
}

impl Heads {
    pub fn new(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn file(&self, key: &PullRequestKey) -> PathBuf {
        self.folder.join(format!(
            "{}__{}__{}",
            key.repo.owner, key.repo.name, key.number
        ))
    }

    /// Notes that a head is looked at from now on; None: windlass died of it too often. `asked`: somebody wants it again.
    pub fn begin(
        &self,
        key: &PullRequestKey,
        head: &CommitSha,
        asked: bool,
    ) -> std::io::Result<Option<Looking>> {
        let file = self.file(key);
        let noted = std::fs::read_to_string(&file).unwrap_or_default();
        let noted = if asked { String::new() } else { noted };
        let deaths = noted.lines().filter(|line| *line == head.as_str()).count();
        if deaths >= MOST || noted.lines().count() >= MOST_OF_PULL {
            return Ok(None);
        }
        let before = (!noted.is_empty()).then_some(noted);
        std::fs::write(
            &file,
            format!("{}{head}\n", before.as_deref().unwrap_or_default()),
        )?;
        Ok(Some(Looking { file, before }))
    }

    /// Nothing is noted of a pull request that is closed.
    pub fn forget(&self, key: &PullRequestKey) {
        let _ = std::fs::remove_file(self.file(key));
    }
}

impl Looking {
    /// The look came to its end: what was noted before did no harm either.
    pub fn done(mut self) {
        self.before = None;
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let _ = match &self.before {
            // It was cut off, as by a stop: it has no part in what was noted before.
            Some(before) => std::fs::write(&self.file, before),
            None => std::fs::remove_file(&self.file),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_windlass_died_of_is_not_tried_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let heads = Heads::new(folder.path().join("heads")).unwrap();
        let key = PullRequestKey {
            repo: "acme/config".parse().unwrap(),
            number: 7,
        };
        let (bad, good): (CommitSha, CommitSha) = (
            "b".repeat(40).parse().unwrap(),
            "a".repeat(40).parse().unwrap(),
        );
        // What dies runs no destructor.
        let die = |asked| {
            std::mem::forget(
                heads
                    .begin(&key, &bad, asked)
                    .unwrap()
                    .expect("it is tried"),
            )
        };
        die(false);
        // A stop in the middle is no death, and takes none away.
        drop(heads.begin(&key, &bad, false).unwrap().unwrap());
        die(false);
        assert!(
            heads.begin(&key, &bad, false).unwrap().is_none(),
            "it died of it twice"
        );
        assert!(
            heads.begin(&key, &good, false).unwrap().is_some(),
            "another head is another matter"
        );
        heads.forget(&key);
        die(false);
        die(false);
        heads
            .begin(&key, &bad, true)
            .unwrap()
            .expect("somebody asked")
            .done();
        assert!(heads.begin(&key, &bad, false).unwrap().is_some());
    }
}
