//! Heads of pull requests whose preview was being made when windlass crashed.
//!
//! A head is untrusted: its preview may be what crashed windlass. So that it
//! does not crash for ever, each attempt is recorded in the cache folder before
//! it begins, and the record is removed when the attempt ends, however it ends.
//! A head with [`MOST`] records is not tried again until somebody requests it
//! by `/preview`. Known race: a crash for another reason leaves a record too,
//! so a single record does not stop the next attempt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use crate::domain::{CommitSha, PullRequestKey};

/// Crashes after which a head is not tried again.
const MOST: usize = 2;
/// The same for all heads of one pull request together.
const MOST_OF_PULL: usize = 4;

pub struct Heads {
    folder: PathBuf,
    running: Running,
}

/// The attempts that run, by their file: the records before each began.
type Running = Arc<Mutex<BTreeMap<PathBuf, Option<String>>>>;

/// An attempt to make a preview. Dropping it removes its record.
pub struct Attempt {
    file: PathBuf,
    running: Running,
}

impl Heads {
    pub fn new(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            folder,
            running: Running::default(),
        })
    }

    fn file(&self, key: &PullRequestKey) -> PathBuf {
        self.folder.join(format!(
            "{}__{}__{}",
            key.repo.owner, key.repo.name, key.number
        ))
    }

    /// Records that an attempt begins. None: windlass crashed too often with this head.
    /// `requested`: somebody requests it, so earlier records do not count.
    pub fn begin(
        &self,
        key: &PullRequestKey,
        head: &CommitSha,
        requested: bool,
    ) -> std::io::Result<Option<Attempt>> {
        let file = self.file(key);
        let records = std::fs::read_to_string(&file).unwrap_or_default();
        let records = if requested { String::new() } else { records };
        let crashes = records
            .lines()
            .filter(|line| *line == head.as_str())
            .count();
        if crashes >= MOST || records.lines().count() >= MOST_OF_PULL {
            return Ok(None);
        }
        let before = (!records.is_empty()).then_some(records);
        std::fs::write(
            &file,
            format!("{}{head}\n", before.as_deref().unwrap_or_default()),
        )?;
        let running = self.running.clone();
        let mut all = running.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(file.clone(), before);
        drop(all);
        Ok(Some(Attempt { file, running }))
    }

    /// Ends what runs, without a crash: another program takes this one's place.
    pub fn cancel(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, before) in std::mem::take(&mut *running) {
            restore(&file, before);
        }
    }

    /// Removes the records of a closed pull request.
    pub fn forget(&self, key: &PullRequestKey) {
        let _ = std::fs::remove_file(self.file(key));
    }
}

impl Attempt {
    fn ended(&self) -> Option<Option<String>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.file)
    }

    /// The attempt finished: earlier crashes were not this head's fault.
    pub fn done(self) {
        if self.ended().is_some() {
            restore(&self.file, None);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // It was cancelled, as by a stop: the earlier records stay.
        if let Some(before) = self.ended() {
            restore(&self.file, before);
        }
    }
}

/// Puts the records of before in the place of an attempt's.
fn restore(file: &Path, before: Option<String>) {
    let _ = match before {
        Some(before) => std::fs::write(file, before),
        None => std::fs::remove_file(file),
    };
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
        // A crash runs no destructor.
        let crash = |requested| {
            std::mem::forget(
                heads
                    .begin(&key, &bad, requested)
                    .unwrap()
                    .expect("it is tried"),
            )
        };
        crash(false);
        // A stop in the middle is no crash, and removes no earlier record.
        drop(heads.begin(&key, &bad, false).unwrap().unwrap());
        // Neither is an end whose destructors do not run.
        std::mem::forget(heads.begin(&key, &bad, false).unwrap().unwrap());
        heads.cancel();
        crash(false);
        assert!(
            heads.begin(&key, &bad, false).unwrap().is_none(),
            "it died of it twice"
        );
        assert!(
            heads.begin(&key, &good, false).unwrap().is_some(),
            "another head is another matter"
        );
        heads.forget(&key);
        crash(false);
        crash(false);
        heads
            .begin(&key, &bad, true)
            .unwrap()
            .expect("somebody asked")
            .done();
        assert!(heads.begin(&key, &bad, false).unwrap().is_some());
    }
}
