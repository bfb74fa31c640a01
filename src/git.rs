//! Read-only mirrors of config repositories, by gix: fetch, resolve, read a
//! tree at a commit, merge two commits in memory.
//!
//! Everything here blocks; callers run it by `spawn_blocking`. A mirror is
//! opened anew for each job, which is cheap and never runs out of pack slots;
//! fetches of one repository wait for each other. Credentials never enter a
//! mirror's configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::credentials::helper::Action;
use gix::credentials::protocol::Outcome as Credentials;
use gix::merge::blob::builtin_driver::text::Labels;
use gix::merge::tree::TreatAsUnresolved;
use gix::objs::tree::EntryKind;
use gix::progress::Discard;
use gix::protocol::transport::client::blocking_io::http;
use gix::refs::transaction::{PreviousValue, RefEdit};
use gix::remote::{Direction, fetch};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::edit::FileEdit;
use crate::domain::{CommitSha, RepoName};

/// The folder that holds all mirrors.
pub struct Mirrors {
    listings: Listings,
    root: PathBuf,
    /// One for a repository's branches that we follow, one for the heads of its pull requests.
    locks: Mutex<HashMap<(RepoName, bool), Lock>>,
}

type Lock = Arc<Mutex<()>>;

/// One repository's mirror, open. Objects that are made here (merged trees) stay in memory.
pub struct Mirror {
    repo: gix::Repository,
    listings: Listings,
}

/// Path → mode and object id, of every entry of a tree that is no directory.
pub type Listing = BTreeMap<String, (EntryMode, String)>;

/// Trees do not change: those that were listed lately need not be listed again for each application.
type Listings = moka::sync::Cache<TreeId, Arc<Listing>>;

/// Entries of a tree, and its depth: a few objects can name each other so that a tree has millions.
const MOST_ENTRIES: usize = 200_000;
const MOST_DEPTH: usize = 64;
/// Entries of all listings that are remembered.
const MOST_LISTED: u64 = 500_000;
/// What a fetch of a pull request's head may bring, and how long it may take.
const MOST_HEAD_BYTES: u64 = 512 << 20;
const MOST_HEAD_TIME: Duration = Duration::from_secs(120);

/// A tree that is not listed, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {MOST_ENTRIES} files, or directories nested deeper than {MOST_DEPTH}")]
pub struct TooLarge;

fn listings() -> Listings {
    let weight = |_: &TreeId, listing: &Arc<Listing>| {
        u32::try_from(listing.len()).unwrap_or(u32::MAX).max(1)
    };
    moka::sync::Cache::builder()
        .weigher(weight)
        .max_capacity(MOST_LISTED)
        .build()
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    File,
    Symlink,
    Directory,
    Submodule,
}

/// A tree's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeId(ObjectId);

impl std::fmt::Display for TreeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A merge of two commits, as GitHub would make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    Clean(TreeId),
    Conflicts(Vec<String>),
}

/// Where to fetch from, and as whom.
pub struct Remote<'a> {
    pub url: &'a str,
    pub token: &'a SecretString,
}

impl Mirrors {
    /// Keeps mirrors under `root`; what a killed process left locked is unlocked, since one process owns the folder.
    pub fn new(root: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make the cache folder {}", root.display()))?;
        remove_stale_locks(&root);
        Ok(Self {
            root,
            locks: Mutex::default(),
            listings: listings(),
        })
    }

    fn path(&self, repo: &RepoName) -> PathBuf {
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

    /// Brings the branches that we follow up to date: the base, and our own. Blocking.
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
            return renew(&path, remote, &refspecs).with_context(|| format!("fetch {repo} anew"));
        }
        let mirror = open_or_init(&path)?;
        fetch_into(&mirror, remote, &refspecs, true, &AtomicBool::new(false))
            .with_context(|| format!("fetch {repo}"))
    }

    /// Brings the head of a pull request, under a lock and within limits of its own: what somebody pushes there holds up
    /// nothing that is deployed. Blocking.
    pub fn fetch_head(
        &self,
        repo: &RepoName,
        remote: &Remote<'_>,
        number: u64,
    ) -> anyhow::Result<()> {
        let lock = self.lock(repo, true);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(repo);
        let mirror = open_or_init(&path)?;
        let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let packs = path.join("objects/pack");
        let (before, started) = (bytes_in(&packs), std::time::Instant::now());
        if before > MOST_BYTES {
            // The next fetch of the base makes the mirror anew.
            return Err(HeadTooLarge.into());
        }
        let refspecs = [format!("+refs/pull/{number}/head:refs/pull/{number}/head")];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    if bytes_in(&packs).saturating_sub(before) > MOST_HEAD_BYTES
                        || started.elapsed() > MOST_HEAD_TIME
                    {
                        stop.store(true, Ordering::SeqCst);
                    }
                    std::thread::park_timeout(Duration::from_millis(100));
                }
            });
            // However it ends, or the watching would go on for ever.
            let _watched = Ends(&over);
            let outcome = fetch_into(&mirror, remote, &refspecs, false, &stop);
            if stop.load(Ordering::SeqCst) && outcome.is_err() {
                return Err(HeadTooLarge.into());
            }
            outcome.with_context(|| format!("fetch the head of {repo}#{number}"))
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

/// Bytes of a mirror from which on it is made anew.
const MOST_BYTES: u64 = 3 << 30;
/// Files of packs: each fetch adds two, and closed pull requests leave theirs.
const MOST_PACKS: usize = 2_000;

fn packs_in(mirror: &Path) -> usize {
    std::fs::read_dir(mirror.join("objects/pack"))
        .into_iter()
        .flatten()
        .count()
}

/// Makes a mirror anew beside itself and puts it into its place, so that nothing grows for ever. Whoever reads the old one
/// just then may fail, and looks again.
fn renew(path: &Path, remote: &Remote<'_>, refspecs: &[String]) -> anyhow::Result<()> {
    let beside = |word: &str| path.with_extension(word);
    let (new, old) = (beside("new"), beside("old"));
    for left in [&new, &old] {
        let _ = std::fs::remove_dir_all(left);
    }
    fetch_into(
        &open_or_init(&new)?,
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

/// Says that something is over when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A head that is not fetched, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("fetching it takes more than {} MiB or {} s", MOST_HEAD_BYTES >> 20, MOST_HEAD_TIME.as_secs())]
pub struct HeadTooLarge;

/// Bytes of the files in a folder.
fn bytes_in(folder: &Path) -> u64 {
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

fn options() -> gix::open::Options {
    gix::open::Options::isolated()
        .open_path_as_is(true)
        .with(gix::sec::Trust::Full)
        // HEAD stays unborn: merging reads no .gitattributes and unpacks no index. histogram: what git merges with.
        .config_overrides([
            "init.defaultBranch=none",
            "diff.algorithm=histogram",
            // Renames are guessed by comparing files pair by pair: a few hundred files, as git does, not any number.
            "merge.renameLimit=300",
            "diff.renameLimit=300",
            "core.filesRefLockTimeout=5000",
            "core.packedRefsTimeout=5000",
        ])
}

fn open_or_init(path: &Path) -> anyhow::Result<gix::Repository> {
    if path.join("HEAD").exists()
        && let Ok(repo) = gix::open_opts(path, options())
    {
        return Ok(repo);
    }
    // Not there, or cut off half-way: it is only a cache.
    let _ = std::fs::remove_dir_all(path);
    std::fs::create_dir_all(path)?;
    let made = gix::ThreadSafeRepository::init_opts(
        path,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        options(),
    )?;
    Ok(made.to_thread_local())
}

/// `all`: what is asked for is all that there is to follow, so that what the remote has no more is deleted here too.
fn fetch_into(
    repo: &gix::Repository,
    remote: &Remote<'_>,
    refspecs: &[String],
    all: bool,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let (url, token) = (remote.url, remote.token.expose_secret().to_string());
    let plain_http = url.starts_with("http://");
    let mut transport = repo.transport_options(url, None)?;
    if let Some(options) = transport
        .as_mut()
        .and_then(|options| options.downcast_mut::<http::Options>())
    {
        if plain_http {
            // gix sends no credentials over http; a sandbox on loopback has nothing else.
            let basic = BASE64.encode(format!("x-access-token:{token}"));
            options
                .extra_headers
                .push(format!("Authorization: Basic {basic}"));
        }
        let configure: Box<
            dyn FnMut(
                    reqwest::blocking::ClientBuilder,
                ) -> gix::Result<reqwest::blocking::ClientBuilder>
                + Send
                + Sync,
        > = Box::new(|builder| Ok(builder.timeout(Duration::from_secs(120))));
        options.backend = Some(Arc::new(Mutex::new(http::reqwest::Options {
            configure_client: Some(configure),
            configure_request: None,
        })));
    }
    let specs: Vec<&str> = refspecs.iter().map(String::as_str).collect();
    let remote = repo
        .remote_at(url)?
        .with_fetch_tags(fetch::Tags::None)
        .with_refspecs(specs, Direction::Fetch)?;
    let password = (!plain_http).then_some(token);
    let mut connection =
        remote
            .connect(Direction::Fetch)?
            .with_credentials(move |action: Action| {
                Ok(match action {
                    Action::Get(context) => password.clone().map(|password| Credentials {
                        identity: gix::sec::identity::Account {
                            username: "x-access-token".into(),
                            password,
                            oauth_refresh_token: None,
                        },
                        next: context.into(),
                    }),
                    Action::Store(_) | Action::Erase(_) => None,
                })
            });
    if let Some(options) = transport {
        connection.set_transport_options(options);
    }
    let prepared = connection.prepare_fetch(Discard, gix::remote::ref_map::Options::default())?;
    if all {
        prune(
            repo,
            prepared
                .ref_map()
                .mappings
                .iter()
                .filter_map(|mapping| mapping.local.clone())
                .collect(),
        )?;
    }
    let outcome = prepared.receive(Discard, stop)?;
    let (fetch::Status::NoPackReceived { update_refs, .. }
    | fetch::Status::Change { update_refs, .. }) = &outcome.status;
    for update in &update_refs.updates {
        use fetch::refs::update::Mode;
        match &update.mode {
            Mode::NoChangeNeeded
            | Mode::FastForward
            | Mode::Forced
            | Mode::New
            | Mode::ImplicitTagNotSentByRemote => {}
            rejected => anyhow::bail!("a ref could not be updated: {rejected}"),
        }
    }
    Ok(())
}

/// Deletes branches that the remote has no more; gix does not.
fn prune(repo: &gix::Repository, keep: BTreeSet<BString>) -> anyhow::Result<()> {
    let mut edits = Vec::new();
    for reference in repo.references()?.prefixed("refs/heads/")? {
        let reference = reference.map_err(|error| anyhow::anyhow!("{error}"))?;
        if !keep.contains(reference.name().as_bstr()) {
            edits.push(RefEdit::delete(
                reference.inner.name.clone(),
                PreviousValue::MustExistAndMatch(reference.inner.target.clone()),
            ));
        }
    }
    if !edits.is_empty() {
        repo.edit_references(edits)?;
    }
    Ok(())
}

impl Mirror {
    /// A repository of somebody's, found from a folder in it. Nothing in it is changed: what is made here stays in memory.
    pub fn discover(folder: &Path) -> anyhow::Result<Self> {
        let repo = gix::discover(folder)?.with_object_memory();
        Ok(Self {
            repo,
            listings: listings(),
        })
    }

    /// Where the remote `origin` is.
    pub fn origin(&self) -> Option<String> {
        let remote = self.repo.find_remote("origin").ok()?;
        Some(remote.url(Direction::Fetch)?.to_bstring().to_string())
    }

    /// What a revision as people write it (`main`, `HEAD~1`, `origin/main`, digits) comes to.
    pub fn revision(&self, text: &str) -> anyhow::Result<CommitSha> {
        Ok(sha(self
            .repo
            .rev_parse_single(text)?
            .object()?
            .peel_to_commit()?
            .id))
    }

    pub fn branch(&self, branch: &str) -> anyhow::Result<Option<CommitSha>> {
        self.resolve(&format!("refs/heads/{branch}"))
    }

    fn resolve(&self, name: &str) -> anyhow::Result<Option<CommitSha>> {
        let Some(mut reference) = self.repo.try_find_reference(name)? else {
            return Ok(None);
        };
        if reference.name().as_bstr() != name {
            return Ok(None);
        }
        let id = reference.peel_to_commit()?.id;
        Ok(Some(sha(id)))
    }

    /// Our note on a commit, as last fetched.
    pub fn note(&self, commit: &CommitSha) -> anyhow::Result<Option<Vec<u8>>> {
        match self.resolve("refs/notes/windlass")? {
            Some(notes) => self.read(self.tree(&notes)?, commit.as_str()),
            None => Ok(None),
        }
    }

    pub fn has(&self, commit: &CommitSha) -> bool {
        object(commit).is_ok_and(|id| self.repo.has_object(id))
    }

    pub fn tree(&self, commit: &CommitSha) -> anyhow::Result<TreeId> {
        Ok(TreeId(
            self.repo.find_commit(object(commit)?)?.tree_id()?.detach(),
        ))
    }

    /// The first parent, if there is one.
    pub fn parent(&self, commit: &CommitSha) -> anyhow::Result<Option<CommitSha>> {
        Ok(self
            .repo
            .find_commit(object(commit)?)?
            .parent_ids()
            .next()
            .map(|id| sha(id.detach())))
    }

    pub fn is_ancestor(&self, ancestor: &CommitSha, of: &CommitSha) -> anyhow::Result<bool> {
        let (ancestor, of) = (object(ancestor)?, object(of)?);
        if ancestor == of {
            return Ok(true);
        }
        match self.repo.merge_base(ancestor, of) {
            Ok(base) => Ok(base.is_some_and(|base| base.detach() == ancestor)),
            // Histories that have nothing in common: a branch was pushed anew.
            Err(error) if error.to_string().contains("No common ancestor") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The authors' addresses of the commits that `head` has and `base` has not.
    pub fn authors(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<BTreeSet<String>> {
        let mut authors = BTreeSet::new();
        for info in self
            .repo
            .rev_walk([object(head)?])
            .with_hidden([object(base)?])
            .all()?
        {
            let info = info.map_err(|error| anyhow::anyhow!("{error}"))?;
            let commit = self.repo.find_commit(info.id)?;
            authors.insert(commit.author()?.email.to_str_lossy().into_owned());
        }
        Ok(authors)
    }

    /// `head` merged into `base`, in memory.
    pub fn merge(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<Merged> {
        if self.is_ancestor(base, head)? {
            return Ok(Merged::Clean(self.tree(head)?));
        }
        let labels = Labels {
            ancestor: None,
            current: Some("base".into()),
            other: Some("head".into()),
        };
        let options: gix::merge::commit::Options = self.repo.tree_merge_options()?.into();
        let mut outcome = self
            .repo
            .merge_commits(object(base)?, object(head)?, labels, options)?;
        let how = TreatAsUnresolved::git();
        if !outcome.tree_merge.has_unresolved_conflicts(how) {
            let tree = outcome.tree_merge.tree.write()?.detach();
            return Ok(Merged::Clean(TreeId(tree)));
        }
        let mut paths = BTreeSet::new();
        for conflict in outcome
            .tree_merge
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(how))
        {
            let (ours, _) = conflict.changes_in_resolution();
            paths.insert(ours.location().to_str_lossy().into_owned());
        }
        Ok(Merged::Conflicts(paths.into_iter().collect()))
    }

    /// The tree with some files' texts replaced, in memory.
    pub fn edited(&self, tree: TreeId, edits: &[FileEdit]) -> anyhow::Result<TreeId> {
        let mut editor = self.repo.edit_tree(tree.0)?;
        for edit in edits {
            let blob = self.repo.write_blob(edit.text.as_bytes())?.detach();
            editor.upsert(
                edit.path.as_str(),
                self.kind_of_file(tree, &edit.path)?,
                blob,
            )?;
        }
        Ok(TreeId(editor.write()?.detach()))
    }

    /// As what a file is written again: a program stays one.
    fn kind_of_file(&self, tree: TreeId, path: &str) -> anyhow::Result<EntryKind> {
        let known = self
            .repo
            .find_tree(tree.0)?
            .lookup_entry_by_path(path)?
            .map(|entry| entry.mode().kind());
        Ok(known
            .filter(|kind| *kind == EntryKind::BlobExecutable)
            .unwrap_or(EntryKind::Blob))
    }

    /// The working copy as it is: a commit on top of `head`, kept in memory, and the files that differ from it. None: there is
    /// no working copy, or nothing in it is uncommitted. What Git ignores and does not track is left out.
    pub fn working_copy(
        &self,
        head: &CommitSha,
    ) -> anyhow::Result<Option<(CommitSha, Vec<String>)>> {
        let Some(folder) = self.repo.workdir() else {
            return Ok(None);
        };
        let tree = self.tree(head)?;
        let tracked = self.files(tree)?;
        let mut editor = self.repo.edit_tree(tree.0)?;
        let mut changed = Vec::new();
        let read = |path: &str| -> anyhow::Result<Option<(EntryKind, Vec<u8>)>> {
            let at = folder.join(path);
            let Ok(found) = std::fs::symlink_metadata(&at) else {
                return Ok(None);
            };
            if found.is_symlink() {
                return Ok(Some((
                    EntryKind::Link,
                    std::fs::read_link(&at)?
                        .into_os_string()
                        .into_encoded_bytes(),
                )));
            }
            if !found.is_file() {
                return Ok(None);
            }
            Ok(Some((
                EntryKind::Blob,
                std::fs::read(&at).with_context(|| format!("cannot read {}", at.display()))?,
            )))
        };
        // A submodule is a commit of another repository.
        for (path, (_, id)) in tracked
            .iter()
            .filter(|(_, (mode, _))| *mode != EntryMode::Submodule)
        {
            let known = self.repo.find_object(ObjectId::from_hex(id.as_bytes())?)?;
            match read(path)? {
                None => {
                    editor.remove(path.as_str())?;
                }
                Some((_, text)) if known.data == text => continue,
                Some((EntryKind::Link, text)) => {
                    editor.upsert(
                        path.as_str(),
                        EntryKind::Link,
                        self.repo.write_blob(text)?.detach(),
                    )?;
                }
                Some((_, text)) => {
                    editor.upsert(
                        path.as_str(),
                        self.kind_of_file(tree, path)?,
                        self.repo.write_blob(text)?.detach(),
                    )?;
                }
            }
            changed.push(path.clone());
        }
        let walk = ignore::WalkBuilder::new(folder)
            .hidden(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk.filter_map(Result::ok) {
            let Some(path) = entry
                .path()
                .strip_prefix(folder)
                .ok()
                .and_then(|path| path.to_str())
                .map(str::to_string)
            else {
                continue;
            };
            if tracked.contains_key(&path) {
                continue;
            }
            if let Some((kind, text)) = read(&path)? {
                editor.upsert(path.as_str(), kind, self.repo.write_blob(text)?.detach())?;
                changed.push(path);
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let who = gix::actor::SignatureRef {
            name: "windlass".into(),
            email: "windlass@localhost".into(),
            time: "0 +0000",
        };
        let tree = editor.write()?.detach();
        let commit = self.repo.new_commit_as(
            who,
            who,
            "The working copy",
            tree,
            [ObjectId::from_hex(head.as_str().as_bytes())?],
        )?;
        changed.sort();
        Ok(Some((sha(commit.id), changed)))
    }

    /// How many commits one has that another lacks; at most a thousand are counted.
    pub fn ahead(&self, of: &CommitSha, than: &CommitSha) -> anyhow::Result<usize> {
        let id = |commit: &CommitSha| ObjectId::from_hex(commit.as_str().as_bytes());
        Ok(self
            .repo
            .rev_walk([id(of)?])
            .with_hidden([id(than)?])
            .all()?
            .take(1_000)
            .count())
    }

    /// Every entry that is no directory.
    pub fn files(&self, tree: TreeId) -> anyhow::Result<Arc<Listing>> {
        self.files_within(tree, usize::MAX, usize::MAX)
    }

    /// Every entry of a pull request's head, which is bounded: a few objects can name each other so that a tree has millions
    /// of files. A base that is larger than the bound has set a larger one.
    pub fn files_of_head(&self, tree: TreeId, base: TreeId) -> anyhow::Result<Arc<Listing>> {
        self.files_within(
            tree,
            MOST_ENTRIES.max(2 * self.files(base)?.len()),
            MOST_DEPTH,
        )
    }

    fn files_within(
        &self,
        tree: TreeId,
        most: usize,
        deepest: usize,
    ) -> anyhow::Result<Arc<Listing>> {
        if let Some(known) = self.listings.get(&tree) {
            return Ok(known);
        }
        let mut files = Listing::new();
        let mut trees = vec![(String::new(), tree.0, 0)];
        let mut seen = 0;
        while let Some((path, id, depth)) = trees.pop() {
            if depth > deepest {
                return Err(TooLarge.into());
            }
            for entry in self.repo.find_tree(id)?.iter() {
                let entry = entry?;
                seen += 1;
                if seen > most {
                    return Err(TooLarge.into());
                }
                let path = format!("{path}{}", entry.filename().to_str_lossy());
                match mode(entry.mode().kind()) {
                    EntryMode::Directory => trees.push((path + "/", entry.object_id(), depth + 1)),
                    mode => drop(files.insert(path, (mode, entry.object_id().to_string()))),
                }
            }
        }
        let listing = Arc::new(files);
        self.listings.insert(tree, listing.clone());
        Ok(listing)
    }

    /// A file's content; None where there is no such file.
    pub fn read(&self, tree: TreeId, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let entry = self
            .repo
            .find_tree(tree.0)?
            .lookup_entry(path.split('/').map(str::as_bytes))?;
        match entry {
            Some(entry) if mode(entry.mode().kind()) == EntryMode::File => {
                Ok(Some(self.repo.find_blob(entry.object_id())?.take_data()))
            }
            _ => Ok(None),
        }
    }

    /// A blob by its id.
    pub fn blob(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self
            .repo
            .find_blob(ObjectId::from_hex(id.as_bytes())?)?
            .take_data())
    }
}

fn mode(kind: EntryKind) -> EntryMode {
    match kind {
        EntryKind::Tree => EntryMode::Directory,
        EntryKind::Blob | EntryKind::BlobExecutable => EntryMode::File,
        EntryKind::Link => EntryMode::Symlink,
        EntryKind::Commit => EntryMode::Submodule,
    }
}

fn object(commit: &CommitSha) -> anyhow::Result<ObjectId> {
    Ok(ObjectId::from_hex(commit.as_str().as_bytes())?)
}

fn sha(id: ObjectId) -> CommitSha {
    id.to_string()
        .parse()
        .expect("gix prints a SHA-1 as 40 hexadecimal digits")
}
