//! Repositories of others, of which single commits are fetched by their ids, without history.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use gix::progress::Discard;
use gix::remote::{Direction, fetch};

use super::Mirror;
use super::fetch::{Way, check_updates};
use super::listing::{Directories, directories};
use super::mirrors::{OF_A_HEAD, bytes_in, open_or_init, within_bounds};
use crate::domain::CommitSha;

/// A repository with more bytes is fetched anew.
const MOST_BYTES: u64 = 1 << 30;
const ONE: std::num::NonZeroU32 = std::num::NonZeroU32::MIN;

/// The folder of such repositories.
pub struct Pinned {
    root: PathBuf,
    directories: Directories,
    /// One fetch at a time.
    fetching: Mutex<()>,
}

impl Pinned {
    pub fn new(root: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            directories: directories(),
            fetching: Mutex::default(),
        })
    }

    /// A repository that has the commit; `name`: a folder of its own. Blocking.
    pub fn commit(&self, name: &str, commit: &CommitSha, way: &Way<'_>) -> anyhow::Result<Mirror> {
        let _held = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(name);
        let open = || -> anyhow::Result<Mirror> {
            Ok(Mirror {
                repo: open_or_init(&path)?.with_object_memory(),
                directories: self.directories.clone(),
                older: None,
                asked: Default::default(),
            })
        };
        let known = open()?;
        if known.has(commit) && known.tree(commit).is_ok() {
            return Ok(known);
        }
        drop(known);
        let packs = path.join("objects/pack");
        if bytes_in(&packs) > MOST_BYTES {
            std::fs::remove_dir_all(&path)?;
        }
        let repo = open_or_init(&path)?;
        within_bounds(&packs, OF_A_HEAD, |stop| {
            fetch_one(&repo, commit, way, stop)
        })?;
        open()
    }

    /// The commit that a branch or tag is at; None: there is none of that name. Blocking.
    pub fn resolve(&self, name: &str, word: &str, way: &Way<'_>) -> anyhow::Result<Option<String>> {
        let _held = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let repo = open_or_init(&self.root.join(name))?;
        let names = match word {
            "HEAD" => vec!["HEAD".to_string()],
            word => vec![format!("refs/heads/{word}"), format!("refs/tags/{word}")],
        };
        let specs = names
            .iter()
            .map(|name| format!("+{name}:refs/asked/{name}"));
        let specs: Vec<_> = specs.collect();
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        let remote = repo
            .remote_at(way.url)?
            .with_fetch_tags(fetch::Tags::None)
            .with_refspecs(specs, Direction::Fetch)?;
        let connection = way.connect(&repo, &remote)?;
        let (map, _) = connection.ref_map(Discard, gix::remote::ref_map::Options::default())?;
        Ok(map.remote_refs.iter().find_map(|found| {
            let (full, target, peeled) = found.unpack();
            let asked = names.iter().any(|name| full == name.as_bytes());
            // A tag's own object is no commit.
            let commit = peeled.or(target);
            commit.filter(|_| asked).map(|id| id.to_string())
        }))
    }
}

fn fetch_one(
    repo: &gix::Repository,
    commit: &CommitSha,
    way: &Way<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let spec = format!("+{commit}:refs/pinned/{commit}");
    let remote = repo
        .remote_at(way.url)?
        .with_fetch_tags(fetch::Tags::None)
        .with_refspecs([spec.as_str()], Direction::Fetch)?;
    let connection = way.connect(repo, &remote)?;
    let prepared = connection.prepare_fetch(Discard, gix::remote::ref_map::Options::default())?;
    let prepared = prepared.with_shallow(fetch::Shallow::DepthAtRemote(ONE));
    check_updates(&prepared.receive(Discard, stop)?.status)
}
