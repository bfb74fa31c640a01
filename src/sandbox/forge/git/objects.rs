//! Blobs and trees, read and written.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;

use super::program::{git, is_id, run, run_for_bytes};
use super::{Listed, Node, NodeChange};

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

/// The tree that is `base` (None: nothing) with its paths changed; its id. What is removed must be
/// there; a subtree that nothing is left in goes.
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
