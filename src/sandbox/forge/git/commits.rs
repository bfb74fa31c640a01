//! Commits: found, made, merged and compared.

use std::path::Path;

use jiff::Timestamp;

use super::objects::write_blob;
use super::program::{git, is_id, run, settled};
use super::{FileChange, Identity, Stamp};

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
