//! The folder of mirrors: locks, limits, and replacing a mirror that has grown
//! too large.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::cuts::Cuts;
use super::fetch::{Wanted, fetch_into};
use super::listing::{Directories, directories};
use super::side::Side;
use super::{Mirror, Older, Remote};
use crate::domain::{CommitSha, MergeGroup, RepoName};
use crate::outgoing::Outgoing;

/// Git's word for all of the history (`INFINITE_DEPTH` of its `shallow.h`).
const ALL: NonZeroU32 = NonZeroU32::new(0x7fff_ffff).unwrap();
/// How many times more history each fetch of one question gets than the one before.
const GROWTH: NonZeroU32 = NonZeroU32::new(4).unwrap();
/// A question that has fetched this often gets all that is left.
const MOST_ASKED: u32 = 6;
/// How long a commit that the remote does not have is not asked for again.
const ABSENT: Duration = Duration::from_secs(600);
/// The limits for fetching a pull request's head.
const MOST_HEAD_BYTES: u64 = 512 << 20;
const MOST_HEAD_TIME: Duration = Duration::from_secs(120);
/// The longest fetch of older commits.
const MOST_OLDER_TIME: Duration = Duration::from_secs(1_800);
/// A mirror with more bytes is cloned again.
const MOST_BYTES: u64 = 3 << 30;
/// So is one with more pack files: each fetch adds two, and those of closed pull requests stay.
const MOST_PACKS: usize = 2_000;

/// The folder that holds all mirrors.
pub struct Mirrors {
    directories: Directories,
    root: PathBuf,
    outgoing: Outgoing,
    /// How many of the newest commits of each branch are fetched, unless a question needs more.
    depth: NonZeroU32,
    /// The locks of a repository: for the branches that we follow, and for each kind of fetch aside.
    locks: Mutex<HashMap<(RepoName, Option<Side>), Lock>>,
    cuts: Mutex<HashMap<RepoName, Arc<Mutex<Cuts>>>>,
    /// Commits that the remote did not have.
    absent: moka::sync::Cache<(RepoName, CommitSha), ()>,
}

type Lock = Arc<Mutex<()>>;

/// What is not fetched, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("fetching it takes more than {} MiB or {} s", bytes >> 20, time.as_secs())]
pub struct TooMuch {
    bytes: u64,
    time: Duration,
}

impl Mirrors {
    /// Opens the folder `root`. Locks that a killed process left are removed, since one process
    /// owns the folder.
    pub fn new(root: PathBuf, outgoing: Outgoing, depth: NonZeroU32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        remove_stale_locks(&root);
        Ok(Self {
            root,
            outgoing,
            depth,
            locks: Mutex::default(),
            cuts: Mutex::default(),
            absent: moka::sync::Cache::builder()
                .max_capacity(10_000)
                .time_to_live(ABSENT)
                .build(),
            directories: directories(),
        })
    }

    pub(super) fn path(&self, repo: &RepoName) -> PathBuf {
        self.root
            .join(&repo.owner)
            .join(format!("{}.git", repo.name))
    }

    /// Opens the mirror as it is.
    pub fn open(&self, repo: &RepoName, older: Option<Older>) -> anyhow::Result<Mirror> {
        Ok(Mirror {
            repo: open_or_init(&self.path(repo))?.with_object_memory(),
            directories: self.directories.clone(),
            older,
            asked: Cell::new(0),
        })
    }

    /// Fetches the branches that we follow: the base, and our own. Blocking.
    pub fn fetch(&self, repo: &RepoName, remote: &Remote<'_>, base: &str) -> anyhow::Result<()> {
        let lock = self.lock(repo, None);
        let _held = locked(&lock);
        let branch = |name: &str| format!("+refs/heads/{name}:refs/heads/{name}");
        let wanted = Wanted {
            refspecs: &[
                branch(base),
                branch("windlass/*"),
                branch("windlass-drift/*"),
                "+refs/notes/windlass*:refs/notes/windlass*".to_string(),
            ],
            depth: self.depth,
            all: true,
        };
        let path = self.path(repo);
        if packs_in(&path) > MOST_PACKS || bytes_in(&path.join("objects/pack")) > MOST_BYTES {
            return renew(&path, &self.outgoing, remote, &wanted, &self.cuts(repo))
                .with_context(|| format!("fetch {repo} again"));
        }
        open_or_init(&path)?;
        let mirror = locked(&self.cuts(repo)).open(&path)?;
        let stop = AtomicBool::new(false);
        fetch_into(&mirror, &self.outgoing, remote, &wanted, &stop)
            .with_context(|| format!("fetch {repo}"))
    }

    /// Fetches the head of a pull request. Blocking. An error of the kind [`TooMuch`]: it exceeds
    /// the limits for what anybody may push.
    pub fn fetch_head(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        number: u64,
    ) -> anyhow::Result<()> {
        let refspec = format!("+refs/pull/{number}/head:refs/pull/{number}/head");
        self.fetch_pushed(repo, remote, refspec)
            .with_context(|| format!("fetch the head of {repo}#{number}"))
    }

    /// Fetches the head of a merge queue's group. Blocking.
    pub fn fetch_group(&self, remote: &Remote<'_>, group: &MergeGroup) -> anyhow::Result<()> {
        let refspec = format!("+{}:refs/groups/{}", group.head_ref, group.head);
        self.fetch_pushed(&group.repo, remote, refspec)
            .with_context(|| format!("fetch the merge group {group}"))
    }

    fn fetch_pushed(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        refspec: String,
    ) -> anyhow::Result<()> {
        let lock = self.lock(repo, Some(Side::Heads));
        let _held = locked(&lock);
        let wanted = Wanted {
            refspecs: &[refspec],
            depth: self.depth,
            all: false,
        };
        self.fetch_aside(Side::Heads, repo, remote, &wanted, OF_A_HEAD)
    }

    /// Fetches commits with some of their history: the more, the more often a question has asked
    /// before. False: the remote does not have them. Blocking.
    pub fn fetch_older(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        commits: &[CommitSha],
        asked: u32,
    ) -> anyhow::Result<bool> {
        let lock = self.lock(repo, Some(Side::Older));
        let _held = locked(&lock);
        // Another question may have asked for the same.
        let mirror = self.open(repo, None)?;
        let missing: Vec<_> = commits.iter().filter(|it| !mirror.has(it)).collect();
        let key = |commit: &CommitSha| (repo.clone(), commit.clone());
        if missing.is_empty() {
            return Ok(true);
        }
        if missing.iter().any(|it| self.absent.contains_key(&key(it))) {
            return Ok(false);
        }
        let mut refspecs: Vec<_> = missing.iter().map(ToString::to_string).collect();
        // Without the name of a ref, all of them would be listed.
        refspecs.push("refs/windlass/none/*:refs/windlass/none/*".to_string());
        let more = self.depth.saturating_mul(GROWTH.saturating_pow(asked));
        let wanted = Wanted {
            refspecs: &refspecs,
            depth: if asked < MOST_ASKED {
                more.min(ALL)
            } else {
                ALL
            },
            all: false,
        };
        // Anybody may have pushed, or may name, what is asked for first.
        let most = match asked {
            0 => OF_A_HEAD,
            _ => TooMuch {
                bytes: MOST_BYTES,
                time: MOST_OLDER_TIME,
            },
        };
        tracing::debug!(%repo, commits = ?missing, depth = wanted.depth, "fetch older commits");
        match self.fetch_aside(Side::Older, repo, remote, &wanted, most) {
            // The words of git's upload-pack.
            Err(error) if format!("{error:#}").contains("not our ref") => {
                if let [commit] = missing[..] {
                    self.absent.insert(key(commit), ());
                }
                Ok(false)
            }
            fetched => fetched
                .with_context(|| format!("fetch older commits of {repo}"))
                .map(|()| true),
        }
    }

    /// Fetches what no branch of the mirror follows. The fetch ends where it exceeds `most`.
    fn fetch_aside(
        &self,
        side: Side,
        repo: &RepoName,
        remote: &Remote<'_>,
        wanted: &Wanted<'_>,
        most: TooMuch,
    ) -> anyhow::Result<()> {
        let path = self.path(repo);
        let aside = {
            let cuts = self.cuts(repo);
            let mut cuts = locked(&cuts);
            let aside = side.make(&open_or_init(&path)?, &path)?;
            cuts.open(&aside)?
        };
        let packs = path.join("objects/pack");
        if bytes_in(&packs) > MOST_BYTES {
            // The next fetch of the base replaces the mirror.
            return Err(most.into());
        }
        within_bounds(&packs, most, |stop| {
            fetch_into(&aside, &self.outgoing, remote, wanted, stop)
        })
    }

    fn cuts(&self, repo: &RepoName) -> Arc<Mutex<Cuts>> {
        locked(&self.cuts).entry(repo.clone()).or_default().clone()
    }

    fn lock(&self, repo: &RepoName, side: Option<Side>) -> Lock {
        let key = (repo.clone(), side);
        locked(&self.locks).entry(key).or_default().clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of what anybody may have pushed.
pub(super) const OF_A_HEAD: TooMuch = TooMuch {
    bytes: MOST_HEAD_BYTES,
    time: MOST_HEAD_TIME,
};

/// Runs a fetch that fills the folder `packs`, within limits.
pub(super) fn within_bounds(
    packs: &Path,
    most: TooMuch,
    fetch: impl FnOnce(&AtomicBool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (before, started) = (bytes_in(packs), std::time::Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                if bytes_in(packs).saturating_sub(before) > most.bytes
                    || started.elapsed() > most.time
                {
                    stop.store(true, Ordering::SeqCst);
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        // Ends the watching thread, also if the fetch panics.
        let _end = SetOnDrop(&over);
        fetch(&stop)
    })
    .map_err(|error| match stop.load(Ordering::SeqCst) {
        true => most.into(),
        false => error,
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
    wanted: &Wanted<'_>,
    cuts: &Mutex<Cuts>,
) -> anyhow::Result<()> {
    let beside = |word: &str| path.with_extension(word);
    let (new, old) = (beside("new"), beside("old"));
    for leftover in [&new, &old] {
        let _ = std::fs::remove_dir_all(leftover);
    }
    let (mirror, stop) = (open_or_init(&new)?, AtomicBool::new(false));
    fetch_into(&mirror, outgoing, remote, wanted, &stop)?;
    // What is known of the old one's ends must not be believed of the new one.
    let mut cuts = locked(cuts);
    std::fs::rename(path, &old)?;
    std::fs::rename(&new, path)?;
    *cuts = Cuts::default();
    drop(cuts);
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

pub(super) fn options() -> gix::open::Options {
    gix::open::Options::isolated()
        .open_path_as_is(true)
        .with(gix::sec::Trust::Full)
        // Packs may come while a handle is open: without a slot for them, their objects would seem
        // to be missing.
        .object_store_slots(gix::odb::store::init::Slots::AsNeededByDiskState {
            multiplier: 2.0,
            minimum: 256,
        })
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
