//! The folder of mirrors: locks, limits, and replacing a mirror that has grown
//! too large.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::fetch::fetch_into;
use super::tree::{Listings, listings};
use super::{Mirror, Remote};
use crate::domain::{MergeGroup, RepoName};
use crate::outgoing::Outgoing;

/// The limits for fetching a pull request's head.
const MOST_HEAD_BYTES: u64 = 512 << 20;
const MOST_HEAD_TIME: Duration = Duration::from_secs(120);
/// A mirror with more bytes is cloned again.
const MOST_BYTES: u64 = 3 << 30;
/// So is one with more pack files: each fetch adds two, and those of closed pull requests stay.
const MOST_PACKS: usize = 2_000;

/// The folder that holds all mirrors.
pub struct Mirrors {
    listings: Listings,
    root: PathBuf,
    outgoing: Outgoing,
    /// Two locks a repository: for the branches that we follow, and (`true`) for the heads of its
    /// pull requests.
    locks: Mutex<HashMap<(RepoName, bool), Lock>>,
}

type Lock = Arc<Mutex<()>>;

/// A head that is not fetched, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("fetching it takes more than {} MiB or {} s", MOST_HEAD_BYTES >> 20, MOST_HEAD_TIME.as_secs())]
pub struct HeadTooLarge;

impl Mirrors {
    /// Opens the folder `root`. Locks that a killed process left are removed, since one process
    /// owns the folder.
    pub fn new(root: PathBuf, outgoing: Outgoing) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        remove_stale_locks(&root);
        Ok(Self {
            root,
            outgoing,
            locks: Mutex::default(),
            listings: listings(),
        })
    }

    pub(super) fn path(&self, repo: &RepoName) -> PathBuf {
        self.root
            .join(&repo.owner)
            .join(format!("{}.git", repo.name))
    }

    /// Opens the mirror as it is.
    pub fn open(&self, repo: &RepoName) -> anyhow::Result<Mirror> {
        Ok(Mirror {
            repo: open_or_init(&self.path(repo))?.with_object_memory(),
            listings: self.listings.clone(),
        })
    }

    /// Fetches the branches that we follow: the base, and our own. Blocking.
    pub fn fetch(&self, repo: &RepoName, remote: &Remote<'_>, base: &str) -> anyhow::Result<()> {
        let lock = self.lock(repo, false);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let branch = |name: &str| format!("+refs/heads/{name}:refs/heads/{name}");
        let refspecs = [
            branch(base),
            branch("windlass/*"),
            branch("windlass-drift/*"),
            "+refs/notes/windlass*:refs/notes/windlass*".to_string(),
        ];
        let path = self.path(repo);
        if packs_in(&path) > MOST_PACKS || bytes_in(&path.join("objects/pack")) > MOST_BYTES {
            return renew(&path, &self.outgoing, remote, &refspecs)
                .with_context(|| format!("fetch {repo} again"));
        }
        let mirror = open_or_init(&path)?;
        fetch_into(
            &mirror,
            &self.outgoing,
            remote,
            &refspecs,
            true,
            &AtomicBool::new(false),
        )
        .with_context(|| format!("fetch {repo}"))
    }

    /// Fetches the head of a pull request. Blocking.
    pub fn fetch_head(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        number: u64,
    ) -> anyhow::Result<()> {
        let refspec = format!("+refs/pull/{number}/head:refs/pull/{number}/head");
        let what = format!("fetch the head of {repo}#{number}");
        self.fetch_bounded(repo, remote, refspec, what)
    }

    /// Fetches the head of a merge queue's group. Blocking.
    pub fn fetch_group(&self, remote: &Remote<'_>, group: &MergeGroup) -> anyhow::Result<()> {
        let refspec = format!("+{}:refs/groups/{}", group.head_ref, group.head);
        let what = format!("fetch the merge group {group}");
        self.fetch_bounded(&group.repo, remote, refspec, what)
    }

    /// Fetches what anybody may have pushed. It has its own lock and limits, so that a large push
    /// there does not delay syncs. An error of the kind [`HeadTooLarge`]: it exceeds them.
    fn fetch_bounded(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        refspec: String,
        what: String,
    ) -> anyhow::Result<()> {
        let lock = self.lock(repo, true);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(repo);
        let mirror = open_or_init(&path)?;
        let packs = path.join("objects/pack");
        if bytes_in(&packs) > MOST_BYTES {
            // The next fetch of the base replaces the mirror.
            return Err(HeadTooLarge.into());
        }
        within_bounds(&packs, |stop| {
            fetch_into(&mirror, &self.outgoing, remote, &[refspec], false, stop).context(what)
        })
    }

    fn lock(&self, repo: &RepoName, head: bool) -> Lock {
        self.locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((repo.clone(), head))
            .or_default()
            .clone()
    }
}

/// Runs a fetch that fills the folder `packs` within the limits of a pull request's head. An error of
/// the kind [`HeadTooLarge`]: it exceeds them.
pub(super) fn within_bounds(
    packs: &Path,
    fetch: impl FnOnce(&AtomicBool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (before, started) = (bytes_in(packs), std::time::Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                if bytes_in(packs).saturating_sub(before) > MOST_HEAD_BYTES
                    || started.elapsed() > MOST_HEAD_TIME
                {
                    stop.store(true, Ordering::SeqCst);
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        // Ends the watching thread, also if the fetch panics.
        let _end = SetOnDrop(&over);
        let outcome = fetch(&stop);
        if stop.load(Ordering::SeqCst) && outcome.is_err() {
            return Err(HeadTooLarge.into());
        }
        outcome
    })
}

/// Sets a flag when it is dropped.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Clones a mirror into a new folder and swaps it in, so that mirrors do not grow without bound. A
/// concurrent reader of the old one may fail; its loop retries.
fn renew(
    path: &Path,
    outgoing: &Outgoing,
    remote: &Remote<'_>,
    refspecs: &[String],
) -> anyhow::Result<()> {
    let beside = |word: &str| path.with_extension(word);
    let (new, old) = (beside("new"), beside("old"));
    for leftover in [&new, &old] {
        let _ = std::fs::remove_dir_all(leftover);
    }
    fetch_into(
        &open_or_init(&new)?,
        outgoing,
        remote,
        refspecs,
        true,
        &AtomicBool::new(false),
    )?;
    std::fs::rename(path, &old)?;
    std::fs::rename(&new, path)?;
    let _ = std::fs::remove_dir_all(&old);
    Ok(())
}

pub(super) fn open_or_init(path: &Path) -> anyhow::Result<gix::Repository> {
    if path.join("HEAD").exists()
        && let Ok(repo) = gix::open_opts(path, options())
    {
        return Ok(repo);
    }
    // It does not exist, or its creation was interrupted. It is only a cache.
    let _ = std::fs::remove_dir_all(path);
    std::fs::create_dir_all(path)?;
    let created = gix::ThreadSafeRepository::init_opts(
        path,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        options(),
    )?;
    Ok(created.to_thread_local())
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated()
        .open_path_as_is(true)
        .with(gix::sec::Trust::Full)
        // HEAD stays unborn, so that merging reads no .gitattributes and no index. histogram: git's
        // own merge algorithm.
        .config_overrides([
            "init.defaultBranch=none",
            "diff.algorithm=histogram",
            // Detecting renames compares files in pairs: at most a few hundred, as git does.
            "merge.renameLimit=300",
            "diff.renameLimit=300",
            "core.filesRefLockTimeout=5000",
            "core.packedRefsTimeout=5000",
        ])
}

fn packs_in(mirror: &Path) -> usize {
    std::fs::read_dir(mirror.join("objects/pack"))
        .into_iter()
        .flatten()
        .count()
}

/// Bytes of the files in a folder.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|about| about.len())
        .sum()
}

fn remove_stale_locks(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_stale_locks(&path);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "lock")
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}
