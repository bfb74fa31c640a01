//! A mirror with a part of the history answers as one with all of it would. The
//! remote is a real repository of git, and git itself says what is right.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use tempfile::TempDir;

use super::{Mirror, Mirrors, Remote, Shallow};
use crate::domain::{CommitSha, RepoName};
use crate::outgoing::Outgoing;

/// A remote, and the mirrors that follow it.
pub(super) struct World {
    folder: TempDir,
    pub(super) mirrors: Arc<Mirrors>,
    /// Fetches of older commits.
    older: Arc<AtomicUsize>,
    pub(super) commits: Vec<CommitSha>,
}

pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    try_git(folder, arguments).unwrap_or_else(|| panic!("git {arguments:?}"))
}

/// What git says; None: it ends with an error.
pub(super) fn try_git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_string())
}

pub(super) fn repo() -> RepoName {
    "acme/config".parse().unwrap()
}

fn depth(commits: u32) -> NonZeroU32 {
    NonZeroU32::new(commits).unwrap()
}

impl World {
    pub(super) fn new(commits: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let remote = folder.path().join("remote.git");
        std::fs::create_dir(&remote).unwrap();
        git(&remote, &["init", "--bare", "-q", "-b", "main"]);
        let mirrors = Mirrors::new(
            folder.path().join("mirrors"),
            Outgoing::default(),
            depth(commits),
        )
        .unwrap();
        Self {
            folder,
            mirrors: Arc::new(mirrors),
            older: Arc::default(),
            commits: Vec::new(),
        }
    }

    /// A mirror of another remote, with all of the commits there.
    pub(super) fn following(&self, remote: &Path) -> Mirror {
        let (url, token) = (remote.display().to_string(), SecretString::from(""));
        let remote = Remote {
            url: &url,
            token: &token,
        };
        self.mirrors.fetch(&repo(), &remote, "main").unwrap();
        self.mirrors.open(&repo(), None).unwrap()
    }

    /// The same, after a restart.
    fn restarted(self, commits: u32) -> Self {
        let mirrors = Mirrors::new(
            self.folder.path().join("mirrors"),
            Outgoing::default(),
            depth(commits),
        )
        .unwrap();
        Self {
            mirrors: Arc::new(mirrors),
            ..self
        }
    }

    pub(super) fn remote(&self) -> std::path::PathBuf {
        self.folder.path().join("remote.git")
    }

    /// Adds a commit to the remote, on others by their numbers, and answers its number. It writes
    /// one file of its own, and one that others write as well.
    pub(super) fn commit(&mut self, parents: &[usize]) -> usize {
        let number = self.commits.len();
        let files = [
            (format!("file-{number}"), format!("{number}\n")),
            (
                format!("shared-{}", number % 3),
                format!("{}\n", number / 2),
            ),
        ];
        self.write(parents, &files, parents.first().copied())
    }

    /// A commit of files that all have the same text.
    pub(super) fn commit_files(&mut self, parents: &[usize], paths: &[&str]) -> usize {
        let files = paths
            .iter()
            .map(|path| (path.to_string(), "text\n".to_string()));
        let files: Vec<_> = files.collect();
        self.write(parents, &files, None)
    }

    fn write(
        &mut self,
        parents: &[usize],
        files: &[(String, String)],
        onto: Option<usize>,
    ) -> usize {
        let number = self.commits.len();
        let (remote, index) = (self.remote(), self.folder.path().join("index"));
        let _ = std::fs::remove_file(&index);
        let index = index.display().to_string();
        let env = [("GIT_INDEX_FILE", index.as_str())];
        if let Some(onto) = onto {
            let onto = self.commits[onto].as_str();
            run(&remote, &env, &["read-tree", onto], "");
        }
        let mut entries = String::new();
        for (path, text) in files {
            let blob = run(&remote, &env, &["hash-object", "-w", "--stdin"], text);
            entries += &format!("100644 {blob}\t{path}\n");
        }
        run(
            &remote,
            &env,
            &["update-index", "--add", "--index-info"],
            &entries,
        );
        let tree = run(&remote, &env, &["write-tree"], "");
        let mut arguments = vec!["commit-tree", "-m", "change", &tree];
        for parent in parents {
            arguments.extend(["-p", self.commits[*parent].as_str()]);
        }
        let email = format!("{}@example.com", number % 4);
        let date = format!("{} +0000", 1_700_000_000 + number * 60);
        let env = [
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", email.as_str()),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "c@example.com"),
            ("GIT_AUTHOR_DATE", date.as_str()),
            ("GIT_COMMITTER_DATE", date.as_str()),
        ];
        let commit = run(&remote, &env, &arguments, "");
        self.commits.push(commit.parse().unwrap());
        number
    }

    /// A line of commits, the first of them on `parent`; answers the last one.
    pub(super) fn line(&mut self, parent: Option<usize>, length: usize) -> usize {
        let mut at = parent;
        for _ in 0..length {
            at = Some(self.commit(at.as_slice()));
        }
        at.unwrap()
    }

    pub(super) fn point(&self, reference: &str, at: usize) {
        git(
            &self.remote(),
            &["update-ref", reference, self.commits[at].as_str()],
        );
    }

    pub(super) fn fetch(&self) {
        let (url, token) = (self.remote().display().to_string(), SecretString::from(""));
        let remote = Remote {
            url: &url,
            token: &token,
        };
        self.mirrors.fetch(&repo(), &remote, "main").unwrap();
    }

    pub(super) fn fetch_head(&self, number: u64) {
        let (url, token) = (self.remote().display().to_string(), SecretString::from(""));
        let remote = Remote {
            url: &url,
            token: &token,
        };
        self.mirrors.fetch_head(&repo(), &remote, number).unwrap();
    }

    pub(super) fn open(&self) -> Mirror {
        let (mirrors, url) = (self.mirrors.clone(), self.remote().display().to_string());
        let older = self.older.clone();
        let fetch = move |commits: &[CommitSha], asked| {
            older.fetch_add(1, Ordering::SeqCst);
            let token = SecretString::from("");
            let remote = Remote {
                url: &url,
                token: &token,
            };
            // git's process, which is no server here, may end before it has read the whole question.
            loop {
                match mirrors.fetch_older(&repo(), &remote, commits, asked) {
                    Err(error) if format!("{error:#}").contains("Broken pipe") => {}
                    fetched => return fetched,
                }
            }
        };
        self.mirrors.open(&repo(), Some(Box::new(fetch))).unwrap()
    }

    fn older(&self) -> usize {
        self.older.load(Ordering::SeqCst)
    }

    /// How many commits the mirror has.
    fn present(&self) -> usize {
        let mirror = self.open();
        self.commits.iter().filter(|it| mirror.has(it)).count()
    }
}

fn run(folder: &Path, env: &[(&str, &str)], arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .envs(env.iter().copied())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

#[test]
fn a_new_mirror_has_the_newest_commits_only() {
    let mut world = World::new(3);
    let tip = world.line(None, 20);
    world.point("refs/heads/main", tip);
    world.fetch();
    assert_eq!((world.present(), world.older()), (3, 0));
    // Also after the branch went on.
    let tip = world.line(Some(tip), 2);
    world.point("refs/heads/main", tip);
    world.fetch();
    assert_eq!((world.present(), world.older()), (5, 0));
}

#[test]
fn a_branch_from_long_ago_brings_its_newest_commits_only() {
    let mut world = World::new(3);
    let old = world.line(None, 5);
    let side = world.line(Some(old), 4);
    let tip = world.line(Some(old), 20);
    world.point("refs/heads/main", tip);
    world.fetch();
    let merged = world.commit(&[tip, side]);
    world.point("refs/heads/main", merged);
    world.fetch();
    // The merge, three that were here, and two of the side.
    assert_eq!(world.present(), 6);
    let mirror = world.open();
    let named = |number: usize| world.commits[number].clone();
    assert!(mirror.is_ancestor(&named(side), &named(merged)).unwrap());
    assert_eq!(world.older(), 0);
    assert!(mirror.is_ancestor(&named(0), &named(merged)).unwrap());
    assert!(!mirror.is_ancestor(&named(side), &named(tip)).unwrap());
}

#[test]
fn what_the_remote_does_not_have_is_asked_for_once() {
    let mut world = World::new(2);
    let tip = world.line(None, 10);
    world.point("refs/heads/main", tip);
    world.fetch();
    let (mirror, stranger) = (world.open(), "5".repeat(40).parse().unwrap());
    let tip = &world.commits[tip];
    assert!(!mirror.knows(&stranger).unwrap());
    assert!(!mirror.has_in(&stranger, tip).unwrap());
    assert_eq!(mirror.past_tip_named(stranger.as_str(), tip).unwrap(), None);
    assert_eq!(world.present(), 2);
}

#[test]
fn a_forced_push_is_followed() {
    let mut world = World::new(2);
    let common = world.line(None, 8);
    let before = world.line(Some(common), 6);
    let after = world.line(Some(common), 7);
    let unrelated = world.line(None, 5);
    world.point("refs/heads/main", before);
    world.fetch();
    for (tip, is_related) in [(after, true), (unrelated, false)] {
        world.point("refs/heads/main", tip);
        world.fetch();
        let (mirror, named) = (world.open(), |number: usize| world.commits[number].clone());
        assert_eq!(mirror.branch("main").unwrap(), Some(named(tip)));
        assert!(!mirror.has_in(&named(before), &named(tip)).unwrap());
        let has_common = mirror.has_in(&named(common), &named(tip)).unwrap();
        assert_eq!(has_common, is_related);
        let merged = mirror.merge(&named(tip), &named(before));
        assert_eq!(merged.is_ok(), is_related);
    }
}

/// The crash: a pack is there, and neither the file that tells where it ends, nor the ref.
#[test]
fn a_process_killed_between_a_pack_and_its_ends_leaves_nothing_wrong() {
    let mut world = World::new(2);
    let old = world.line(None, 10);
    world.point("refs/heads/main", old);
    world.fetch();
    let path = world.mirrors.path(&repo());
    let keep =
        ["shallow", "refs/heads/main"].map(|file| (file, std::fs::read(path.join(file)).unwrap()));
    let tip = world.line(Some(old), 10);
    world.point("refs/heads/main", tip);
    world.fetch();
    for (file, text) in keep {
        std::fs::write(path.join(file), text).unwrap();
    }
    std::fs::write(path.join("shallow.lock"), "").unwrap();
    let world = world.restarted(2);
    world.fetch();
    let (mirror, named) = (world.open(), |number: usize| world.commits[number].clone());
    assert_eq!(mirror.branch("main").unwrap(), Some(named(tip)));
    assert!(mirror.is_ancestor(&named(old), &named(tip)).unwrap());
    assert!(mirror.is_ancestor(&named(0), &named(tip)).unwrap());
}

#[test]
fn a_mirror_of_an_earlier_windlass_goes_on() {
    let mut world = World::new(0x7fff_ffff);
    let tip = world.line(None, 30);
    world.point("refs/heads/main", tip);
    world.fetch();
    assert_eq!(world.present(), 30);
    let mut world = world.restarted(2);
    let next = world.line(Some(tip), 5);
    world.point("refs/heads/main", next);
    world.fetch();
    let (mirror, named) = (world.open(), |number: usize| world.commits[number].clone());
    // The two newest ones, and what was there.
    assert_eq!(world.present(), 32);
    assert!(mirror.is_ancestor(&named(0), &named(next)).unwrap());
    assert_eq!(world.present(), 35);
}

#[test]
fn a_shallow_clone_of_a_person_says_what_it_lacks() {
    let mut world = World::new(1);
    let tip = world.line(None, 5);
    world.point("refs/heads/main", tip);
    let clone = world.folder.path().join("clone");
    let url = format!("file://{}", world.remote().display());
    let to = clone.display().to_string();
    git(
        world.folder.path(),
        &["clone", "-q", "--depth", "2", &url, &to],
    );
    let (mirror, named) = (Mirror::discover(&clone).unwrap(), |number: usize| {
        world.commits[number].clone()
    });
    assert!(mirror.is_ancestor(&named(3), &named(4)).unwrap());
    for error in [
        mirror.is_ancestor(&named(0), &named(4)).unwrap_err(),
        mirror.tree(&named(1)).unwrap_err(),
        mirror
            .parent(&named(3))
            .and_then(|it| mirror.tree(&it.unwrap()))
            .unwrap_err(),
    ] {
        assert!(error.is::<Shallow>(), "{error:#}");
    }
}
