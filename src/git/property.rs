//! Random histories: with the newest one to three commits of each branch, every
//! answer is git's own. And fetches of all kinds at the same time.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{World, git, try_git};
use crate::domain::CommitSha;

/// The parents of each commit, by how far back they are.
fn history() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
    proptest::collection::vec(
        (0_usize..4, proptest::option::weighted(0.3, 0_usize..9)),
        4..16,
    )
}

fn grow(world: &mut World, history: &[(usize, Option<usize>)]) {
    for (first, second) in history {
        let number = world.commits.len();
        let parents: BTreeSet<_> = [Some(*first), *second]
            .into_iter()
            .flatten()
            .filter_map(|back| number.checked_sub(back + 1))
            .collect();
        let parents: Vec<_> = parents.into_iter().rev().collect();
        world.commit(&parents);
    }
}

fn check(world: &World, one: &CommitSha, other: &CommitSha) {
    let (a, b) = (one.as_str(), other.as_str());
    // Each question of a handle of its own, as different loops ask.
    let is_ancestor = try_git(&world.remote(), &["merge-base", "--is-ancestor", a, b]).is_some();
    assert_eq!(world.open().has_in(one, other).unwrap(), is_ancestor);
    let mut bases: Vec<_> = world
        .open()
        .merge_bases(
            super::commits::object(one).unwrap(),
            super::commits::object(other).unwrap(),
        )
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    bases.sort();
    let mut right: Vec<_> = try_git(&world.remote(), &["merge-base", "--all", a, b])
        .map(|text| text.lines().map(str::to_string).collect())
        .unwrap_or_default();
    right.sort();
    assert_eq!(bases, right);
    let range = format!("{a}..{b}");
    let ahead = git(&world.remote(), &["rev-list", "--count", &range]);
    assert_eq!(world.open().ahead(other, one).unwrap().to_string(), ahead);
    let authors: BTreeSet<_> = git(&world.remote(), &["log", "--format=%ae", &range])
        .lines()
        .map(str::to_string)
        .collect();
    assert_eq!(world.open().authors(one, other).unwrap(), authors);
    let tips = git(&world.remote(), &["rev-list", "--first-parent", b]);
    let past = world.open().past_tip_named(&a[..12], other).unwrap();
    assert_eq!(past.as_ref(), tips.contains(a).then_some(one));
    let past = world.open().past_tip_named(a, other).unwrap();
    assert_eq!(past.as_ref(), tips.contains(a).then_some(one));
}

/// The shape that random histories found: what the first side has alone is behind a common commit
/// as well, through commits that the mirror lacks.
#[test]
fn a_commit_behind_what_is_not_here_is_not_counted() {
    let before = [(0, None); 11];
    let after = [
        (1, None),
        (3, None),
        (1, None),
        (3, None),
        (1, None),
        (0, Some(8)),
    ];
    let pairs = [(4, 4), (10, 10), (8, 3), (4, 6)];
    let later = [(6, 7), (15, 16), (13, 6), (7, 10)];
    let mut world = World::new(3);
    for (part, pairs) in [(&before[..], pairs), (&after[..], later)] {
        grow(&mut world, part);
        let last = world.commits.len() - 1;
        world.point("refs/heads/main", last);
        world.point("refs/heads/windlass/shop/production", last / 2);
        world.point("refs/pull/1/head", last * 2 / 3);
        world.fetch();
        world.fetch_head(1);
        for (one, other) in pairs {
            check(&world, &world.commits[one], &world.commits[other]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_history_answers_as_all_of_it(
        before in history(),
        after in history(),
        depth in 1_u32..=3,
        pairs in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 4),
    ) {
        let mut world = World::new(depth);
        let full = World::new(0x7fff_ffff);
        for part in [&before, &after] {
            grow(&mut world, part);
            let last = world.commits.len() - 1;
            world.point("refs/heads/main", last);
            world.point("refs/heads/windlass/shop/production", last / 2);
            world.point("refs/pull/1/head", last * 2 / 3);
            world.fetch();
            world.fetch_head(1);
            for (one, other) in &pairs {
                let (one, other) = (one.get(&world.commits), other.get(&world.commits));
                check(&world, one, other);
            }
        }
        // Merges, as with the whole history of every commit.
        for number in 0..world.commits.len() {
            world.point(&format!("refs/heads/windlass/all/{number}"), number);
        }
        let url = world.remote();
        let whole = full.following(&url);
        for (one, other) in &pairs {
            let (one, other) = (one.get(&world.commits), other.get(&world.commits));
            let merged = world.open().merge(one, other).ok();
            prop_assert_eq!(merged, whole.merge(one, other).ok());
        }
    }
}

#[test]
fn fetches_at_the_same_time_leave_nothing_out() {
    let mut world = World::new(2);
    let tip = world.line(None, 40);
    for number in 1..=8 {
        let head = world.line(Some(number * 4), 3);
        world.point(&format!("refs/pull/{number}/head"), head);
    }
    world.point("refs/heads/main", 5);
    world.fetch();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for at in 6..=tip {
                world.point("refs/heads/main", at);
                world.fetch();
            }
        });
        threads.spawn(|| (1..=8).for_each(|number| world.fetch_head(number)));
        threads.spawn(|| {
            for number in (1..=8).rev() {
                let (old, newer) = (&world.commits[number], &world.commits[4 * number]);
                assert!(world.open().has_in(old, newer).unwrap());
            }
        });
    });
    // Once more, so that the file `shallow` tells git of all that came.
    world.fetch();
    let mirror = world.mirrors.path(&super::tests::repo());
    assert_eq!(
        try_git(&mirror, &["fsck", "--connectivity-only", "--no-dangling"]),
        Some(String::new())
    );
    for commit in &world.commits {
        assert!(world.open().has_in(commit, commit).unwrap());
    }
    let merged = world
        .commits
        .iter()
        .filter(|it| world.open().has_in(it, &world.commits[tip]).unwrap());
    assert_eq!(merged.count(), 40);
}
