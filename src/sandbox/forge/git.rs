//! The repositories: real git, by its own program.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use super::state::{Repository, Role, UserKind, now};
use super::{Call, Inner, Reply, ReplyBody};

/// Who is told as a commit's author and committer.
#[derive(Clone)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

/// What GitHub's own commits are committed by.
pub fn web_flow() -> Identity {
    Identity {
        name: "GitHub".into(),
        email: "noreply@github.com".into(),
    }
}

/// One file of a commit to be made.
pub struct FileChange<'a> {
    pub path: &'a str,
    /// None: removed.
    pub content: Option<&'a [u8]>,
}

/// What stands at one path of a tree.
#[derive(Clone)]
pub struct Node {
    pub mode: String,
    /// `blob`, `tree`, or `commit`: a submodule's.
    pub kind: String,
    pub sha: String,
}

/// What becomes of one path of a tree to be made.
pub struct NodeChange<'a> {
    pub path: &'a str,
    /// None: removed.
    pub node: Option<Node>,
}

/// One line of a tree's listing.
pub struct Listed {
    pub path: String,
    pub node: Node,
    /// Of blobs.
    pub size: Option<u64>,
}

/// Who did something, and when. None: now.
pub type Stamp<'a> = (&'a Identity, Option<Timestamp>);

/// Runs git in a repository; what it printed, without the final newline.
pub fn git(repo: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    run(repo, arguments, None, &[])
}

fn run(
    repo: &Path,
    arguments: &[&str],
    stdin: Option<&[u8]>,
    environment: &[(&str, &str)],
) -> anyhow::Result<String> {
    let printed = run_for_bytes(repo, arguments, stdin, environment)?;
    Ok(String::from_utf8_lossy(&printed)
        .trim_end_matches('\n')
        .to_string())
}

fn run_for_bytes(
    repo: &Path,
    arguments: &[&str],
    stdin: Option<&[u8]>,
    environment: &[(&str, &str)],
) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(environment.iter().copied())
        .stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start git")?;
    if let (Some(input), Some(mut pipe)) = (stdin, child.stdin.take()) {
        pipe.write_all(input)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// Answers of git about commits by their ids, which never change: each is asked for once.
type Answers = HashMap<(PathBuf, Vec<String>), Option<String>>;

/// Runs git about nothing but ids of commits, or remembers what it said. None: it failed.
pub fn settled(repo: &Path, arguments: &[&str]) -> Option<String> {
    static ANSWERS: OnceLock<Mutex<Answers>> = OnceLock::new();
    let answers = || {
        ANSWERS
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let key = (
        repo.to_path_buf(),
        arguments
            .iter()
            .map(|argument| argument.to_string())
            .collect(),
    );
    if let Some(known) = answers().get(&key) {
        return known.clone();
    }
    let answer = git(repo, arguments).ok();
    answers().insert(key, answer.clone());
    answer
}

pub fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What an object is: `blob`, `tree`, `commit` or `tag`. None: there is no such object.
pub fn kind_of(repo: &Path, id: &str) -> Option<String> {
    if is_id(id) {
        git(repo, &["cat-file", "-t", id]).ok()
    } else {
        None
    }
}

pub fn read_blob(repo: &Path, id: &str) -> anyhow::Result<Vec<u8>> {
    run_for_bytes(repo, &["cat-file", "blob", id], None, &[])
}

/// Its id.
pub fn write_blob(repo: &Path, content: &[u8]) -> anyhow::Result<String> {
    run(repo, &["hash-object", "-w", "--stdin"], Some(content), &[])
}

/// What a tree holds; if `recursive`, what its subtrees hold as well.
pub fn list_tree(repo: &Path, tree: &str, recursive: bool) -> anyhow::Result<Vec<Listed>> {
    let mut arguments = vec!["ls-tree", "-z", "--long"];
    if recursive {
        arguments.extend(["-r", "-t"]);
    }
    arguments.push(tree);
    let listing = git(repo, &arguments)?;
    let read = |line: &str| {
        let (facts, path) = line.split_once('\t')?;
        let mut facts = facts.split_whitespace();
        let node = Node {
            mode: facts.next()?.into(),
            kind: facts.next()?.into(),
            sha: facts.next()?.into(),
        };
        Some(Listed {
            path: path.into(),
            node,
            size: facts.next()?.parse().ok(),
        })
    };
    Ok(listing.split('\0').filter_map(read).collect())
}

/// The tree that is `base` (None: nothing) with its paths changed; its id. What is removed must be there; a subtree
/// that nothing is left in goes.
pub fn write_tree(
    repo: &Path,
    base: Option<&str>,
    changes: &[NodeChange<'_>],
) -> anyhow::Result<String> {
    const EMPTY: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let listed = base
        .map(|base| list_tree(repo, base, false))
        .transpose()?
        .unwrap_or_default();
    let mut nodes: BTreeMap<String, Node> = listed
        .into_iter()
        .map(|listed| (listed.path, listed.node))
        .collect();
    let mut below: BTreeMap<&str, Vec<NodeChange<'_>>> = BTreeMap::new();
    for change in changes {
        if let Some((folder, path)) = change.path.split_once('/') {
            below.entry(folder).or_default().push(NodeChange {
                path,
                node: change.node.clone(),
            });
        } else if let Some(node) = &change.node {
            nodes.insert(change.path.into(), node.clone());
        } else if nodes.remove(change.path).is_none() {
            bail!("there is no {} to be removed", change.path);
        }
    }
    for (folder, changes) in below {
        let base = nodes
            .get(folder)
            .filter(|node| node.kind == "tree")
            .map(|node| node.sha.clone());
        let sha = write_tree(repo, base.as_deref(), &changes)?;
        if sha == EMPTY {
            nodes.remove(folder);
        } else {
            nodes.insert(
                folder.into(),
                Node {
                    mode: "040000".into(),
                    kind: "tree".into(),
                    sha,
                },
            );
        }
    }
    let mut listing = String::new();
    for (name, Node { mode, kind, sha }) in &nodes {
        listing.push_str(&format!("{mode} {kind} {sha}\t{name}\0"));
    }
    run(repo, &["mktree", "-z"], Some(listing.as_bytes()), &[])
}

/// The commit that a ref points to.
pub fn resolve(repo: &Path, name: &str) -> Option<String> {
    if is_id(name) && settled(repo, &["cat-file", "-t", name]).as_deref() == Some("commit") {
        return Some(name.to_string());
    }
    git(
        repo,
        &[
            "rev-parse",
            "--verify",
            "--quiet",
            &format!("{name}^{{commit}}"),
        ],
    )
    .ok()
}

/// Makes a commit on top of `parent` (None: a first one); its id. No ref is moved.
pub fn commit(
    repo: &Path,
    parent: Option<&str>,
    files: &[FileChange<'_>],
    message: &str,
    author: &Identity,
    committer: &Identity,
) -> anyhow::Result<String> {
    let scratch = tempfile::NamedTempFile::new()?.into_temp_path();
    let index = scratch.display().to_string();
    std::fs::remove_file(&scratch)?;
    let environment = [("GIT_INDEX_FILE", index.as_str())];
    if let Some(parent) = parent {
        run(repo, &["read-tree", parent], None, &environment)?;
    }
    let mut listing = String::new();
    for file in files {
        match file.content {
            Some(content) => {
                let blob = write_blob(repo, content)?;
                listing.push_str(&format!("100644 {blob}\t{}\n", file.path));
            }
            None => listing.push_str(&format!("0 {}\t{}\n", "0".repeat(40), file.path)),
        }
    }
    run(
        repo,
        &["update-index", "--add", "--index-info"],
        Some(listing.as_bytes()),
        &environment,
    )?;
    let tree = run(repo, &["write-tree"], None, &environment)?;
    let _ = std::fs::remove_file(&index);
    commit_tree(
        repo,
        &tree,
        &parent.into_iter().collect::<Vec<_>>(),
        message,
        author,
        committer,
    )
}

pub fn commit_tree(
    repo: &Path,
    tree: &str,
    parents: &[&str],
    message: &str,
    author: &Identity,
    committer: &Identity,
) -> anyhow::Result<String> {
    commit_tree_at(
        repo,
        tree,
        parents,
        message,
        (author, None),
        (committer, None),
    )
}

pub fn commit_tree_at(
    repo: &Path,
    tree: &str,
    parents: &[&str],
    message: &str,
    (author, authored): Stamp<'_>,
    (committer, committed): Stamp<'_>,
) -> anyhow::Result<String> {
    let mut arguments = vec!["commit-tree", tree];
    for parent in parents {
        arguments.extend(["-p", parent]);
    }
    let date = |at: Option<Timestamp>| at.map(|at| format!("@{} +0000", at.as_second()));
    let (authored, committed) = (date(authored), date(committed));
    let mut environment = vec![
        ("GIT_AUTHOR_NAME", author.name.as_str()),
        ("GIT_AUTHOR_EMAIL", author.email.as_str()),
        ("GIT_COMMITTER_NAME", committer.name.as_str()),
        ("GIT_COMMITTER_EMAIL", committer.email.as_str()),
    ];
    environment.extend(
        authored
            .iter()
            .map(|date| ("GIT_AUTHOR_DATE", date.as_str())),
    );
    environment.extend(
        committed
            .iter()
            .map(|date| ("GIT_COMMITTER_DATE", date.as_str())),
    );
    run(repo, &arguments, Some(message.as_bytes()), &environment)
}

/// The tree of a merge, or None where it conflicts.
pub fn merge_tree(repo: &Path, base: &str, head: &str) -> Option<String> {
    settled(repo, &["merge-tree", "--write-tree", base, head])
        .and_then(|out| out.lines().next().map(str::to_string))
}

pub fn is_ancestor(repo: &Path, ancestor: &str, of: &str) -> bool {
    let arguments = ["merge-base", "--is-ancestor", ancestor, of];
    if is_id(ancestor) && is_id(of) {
        settled(repo, &arguments).is_some()
    } else {
        git(repo, &arguments).is_ok()
    }
}

impl Inner {
    pub fn identity(&self, login: &str) -> Identity {
        let state = self.state();
        let id = state.users.get(login).map_or(0, |user| user.id);
        Identity {
            name: login.to_string(),
            email: format!("{id}+{login}@users.noreply.github.com"),
        }
    }

    pub fn create_repository(
        &self,
        full_name: &str,
        files: &[(String, String)],
    ) -> anyhow::Result<()> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let path = self.repository_path(owner, name);
        std::fs::create_dir_all(&path)?;
        git(
            &path,
            &["init", "--bare", "--quiet", "--initial-branch=main"],
        )?;
        for (key, value) in [
            ("http.receivepack", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("core.fsync", "none"),
            ("gc.auto", "0"),
        ] {
            git(&path, &["config", key, value])?;
        }
        let mut state = self.state();
        let (id, at) = (state.new_id(), now());
        state.add_user(owner, UserKind::Organization);
        state.repositories.push(Repository {
            id,
            owner: owner.into(),
            name: name.into(),
            default_branch: "main".into(),
            roles: Default::default(),
            fork_of: None,
            pulls: vec![],
            comments: vec![],
            statuses: vec![],
            checks: vec![],
            deployments: vec![],
            rules: vec![],
            activity: vec![],
            next_number: 1,
            created_at: at,
        });
        drop(state);
        if !files.is_empty() {
            let changes: Vec<_> = files
                .iter()
                .map(|(path, text)| FileChange {
                    path,
                    content: Some(text.as_bytes()),
                })
                .collect();
            let author = Identity {
                name: "seed".into(),
                email: "seed@example.com".into(),
            };
            let sha = commit(&path, None, &changes, "Seed", &author, &author)?;
            git(&path, &["update-ref", "refs/heads/main", &sha])?;
        }
        Ok(())
    }

    /// A fork of a repository, under a user's name, with all its branches.
    pub fn fork(&self, full_name: &str, login: &str) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let fork = format!("{login}/{name}");
        self.create_repository(&fork, &[])?;
        let from = self.repository_path(owner, name).display().to_string();
        git(
            &self.repository_path(login, name),
            &["fetch", "--quiet", &from, "+refs/heads/*:refs/heads/*"],
        )?;
        let mut state = self.state();
        let parent = state.by_full_name(full_name).map(|repo| repo.id);
        let id = state
            .by_full_name(&fork)
            .map(|repo| repo.id)
            .context("just made")?;
        if let Some(repo) = state.repository_mut(id) {
            repo.fork_of = parent;
            repo.roles.insert(login.into(), Role::Admin);
        }
        Ok(fork)
    }

    pub fn push(
        &self,
        full_name: &str,
        branch: &str,
        login: &str,
        author: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> anyhow::Result<String> {
        let (owner, name) = full_name.split_once('/').context("owner/name")?;
        let path = self.repository_path(owner, name);
        let reference = format!("refs/heads/{branch}");
        let before = resolve(&path, &reference);
        let parent = before.clone().or_else(|| resolve(&path, "refs/heads/main"));
        let author = self.identity(author);
        let changes: Vec<_> = files
            .iter()
            .map(|(path, text)| FileChange {
                path,
                content: text.map(str::as_bytes),
            })
            .collect();
        let sha = commit(
            &path,
            parent.as_deref(),
            &changes,
            message,
            &author,
            &author,
        )?;
        let old = before.clone().unwrap_or_else(|| "0".repeat(40));
        git(&path, &["update-ref", &reference, &sha, &old])?;
        self.moved(full_name, branch, before.as_deref(), Some(&sha), login);
        Ok(sha)
    }

    /// `git http-backend` behind the clone URLs. A push is announced as webhooks afterwards.
    pub(super) fn smart_http(&self, call: &Call) -> Reply {
        let Some((repo, _)) = call.path.trim_start_matches('/').split_once(".git/") else {
            return Reply::error(404, "Not Found");
        };
        let found = self
            .state()
            .by_full_name(repo)
            .map(|repo| (repo.id, repo.owner.clone(), repo.name.clone()));
        let Some((id, owner, name)) = found else {
            return Reply::error(404, "Not Found");
        };
        let write =
            call.query.contains("git-receive-pack") || call.path.ends_with("git-receive-pack");
        let Some(login) = self.git_user(call, id, write) else {
            return Reply {
                status: 401,
                body: ReplyBody::Empty,
                headers: vec![("www-authenticate", "Basic realm=\"GitHub\"".into())],
            };
        };
        let before = self.branches(&owner, &name);
        let reply = self
            .http_backend(call)
            .unwrap_or_else(|error| Reply::error(500, error.to_string()));
        if call.path.ends_with("git-receive-pack") {
            let after = self.branches(&owner, &name);
            let names: std::collections::BTreeSet<_> =
                before.keys().chain(after.keys()).cloned().collect();
            for branch in names {
                let (old, new) = (before.get(&branch), after.get(&branch));
                if old != new {
                    self.moved(
                        &format!("{owner}/{name}"),
                        &branch,
                        old.map(String::as_str),
                        new.map(String::as_str),
                        &login,
                    );
                }
            }
        }
        reply
    }

    fn branches(&self, owner: &str, name: &str) -> std::collections::BTreeMap<String, String> {
        let listing = git(
            &self.repository_path(owner, name),
            &[
                "for-each-ref",
                "--format=%(refname:lstrip=2) %(objectname)",
                "refs/heads",
            ],
        );
        listing
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.into(), b.into()))
            .collect()
    }

    fn http_backend(&self, call: &Call) -> anyhow::Result<Reply> {
        let header = |name: &str| {
            call.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_string()
        };
        let body: Vec<u8> = if header("content-encoding") == "gzip" {
            let mut child = Command::new("gzip")
                .arg("-dc")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut pipe = child.stdin.take().context("piped")?;
            let input = call.body.to_vec();
            let writer = std::thread::spawn(move || pipe.write_all(&input));
            let output = child.wait_with_output()?;
            let _ = writer.join();
            output.stdout
        } else {
            call.body.to_vec()
        };
        let (repo, rest) = call
            .path
            .trim_start_matches('/')
            .split_once(".git/")
            .context("a repository")?;
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("REMOTE_USER", "user")
            .env("REQUEST_METHOD", call.method.as_str())
            .env("PATH_INFO", format!("/{}.git/{rest}", repo.to_lowercase()))
            .env("QUERY_STRING", &call.query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pipe = child.stdin.take().context("piped")?;
        let writer = std::thread::spawn(move || pipe.write_all(&body));
        let output = child.wait_with_output()?.stdout;
        let _ = writer.join();
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .context("CGI headers")?;
        let (mut status, mut kind) = (200, "application/octet-stream".to_string());
        for line in String::from_utf8_lossy(&output[..end]).lines() {
            match line.split_once(": ") {
                Some(("Status", value)) => {
                    status = value.split(' ').next().unwrap_or("500").parse()?
                }
                Some(("Content-Type", value)) => kind = value.to_string(),
                _ => {}
            }
        }
        Ok(Reply {
            status,
            body: ReplyBody::Bytes(kind, output[end + 4..].to_vec()),
            headers: vec![("cache-control", "no-cache".into())],
        })
    }
}
