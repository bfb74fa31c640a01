//! Listings, beside what git says.

use std::collections::BTreeSet;

use super::*;
use crate::git::tests::{World, git};

#[test]
fn a_listing_is_what_git_lists() {
    let mut world = World::new(1);
    // Git sorts the directory `a` after the file `a-b`.
    for (number, paths) in [
        &["a-b", "a/b/c", "a/b/d", "a0", "z/y/x/w"][..],
        &["a-b", "a/b/c", "a0/b", "z/y/x/v", "z/y/x/w"],
    ]
    .into_iter()
    .enumerate()
    {
        let at = world.commit_files(number.checked_sub(1).as_slice(), paths);
        world.point("refs/heads/main", at);
    }
    world.fetch();
    let mirror = world.open();
    let listings: Vec<_> = world
        .commits
        .iter()
        .map(|commit| mirror.files(mirror.tree(commit).unwrap()).unwrap())
        .collect();
    let lines = |arguments: &[&str]| -> BTreeSet<String> {
        let text = git(&world.remote(), arguments);
        text.lines().map(str::to_string).collect()
    };
    for (commit, listing) in world.commits.iter().zip(&listings) {
        let name = commit.as_str();
        let files: BTreeSet<_> = listing.all().into_iter().map(|(path, ..)| path).collect();
        assert_eq!(files, lines(&["ls-tree", "-r", "--name-only", name]));
        let directories = lines(&["ls-tree", "-r", "-d", "--name-only", name]);
        for path in &files {
            let entry = format!("{name}:{path}");
            let id = git(&world.remote(), &["rev-parse", &entry]);
            assert_eq!(listing.get(path).unwrap().1.to_string(), id);
        }
        assert!(directories.iter().all(|path| listing.has_directory(path)));
        assert_eq!(listing.get("a"), None);
        assert!(!listing.has_directory("a-b") && !listing.has_directory("a/b/c"));
    }
    assert_eq!(listings[0].under("a"), ["a/b/c", "a/b/d"]);
    assert_eq!(listings[0].under("a0"), [""; 0]);
    let (one, other) = (&world.commits[0], &world.commits[1]);
    let changed = lines(&[
        "diff",
        "--name-only",
        "--no-renames",
        one.as_str(),
        other.as_str(),
    ]);
    assert_eq!(listings[0].differing(&listings[1]), changed);
    assert_eq!(listings[1].differing(&listings[0]), changed);
    assert_eq!(listings[1].differing(&listings[1]), BTreeSet::new());
}

#[test]
fn the_next_commits_listing_shares_what_it_did_not_change() {
    let mut world = World::new(1);
    let before: Vec<_> = (0..50).map(|number| format!("d{number}/f")).collect();
    let before: Vec<_> = before.iter().map(String::as_str).collect();
    world.commit_files(&[], &before);
    let at = world.commit_files(&[0], &[&before[..], &["d7/g"]].concat());
    world.point("refs/heads/main", at);
    world.fetch();
    let mirror = world.open();
    let mut read = Vec::new();
    for commit in &world.commits {
        mirror.files(mirror.tree(commit).unwrap()).unwrap();
        mirror.directories.run_pending_tasks();
        read.push(mirror.directories.entry_count());
    }
    // All have the same directory, but for `d7` later; and the root.
    assert_eq!(read, [2, 4]);
}

#[test]
fn a_head_is_bounded() {
    let mut world = World::new(1);
    world.commit_files(&[], &["a"]);
    let deep = format!("{}f", "d/".repeat(MOST_DEPTH + 1));
    let at = world.commit_files(&[0], &[deep.as_str()]);
    world.point("refs/heads/main", at);
    world.fetch();
    let mirror = world.open();
    let [base, head] = [0, 1].map(|at| mirror.tree(&world.commits[at]).unwrap());
    // Also when its directories are known.
    mirror.files(head).unwrap();
    for mirror in [mirror, world.open()] {
        let error = mirror.files_of_head(head, base).err().unwrap();
        assert!(error.is::<TooLarge>(), "{error:#}");
        assert!(mirror.files_of_head(base, base).is_ok());
    }
}
