//! Questions about history, of which a mirror has the newest part only.
//!
//! Where the answer depends on a commit that is not here, that part is fetched, and
//! the question goes on: a history that was cut never answers "no". What counts is
//! which objects are here, never the list of cuts in git's file `shallow`.
//!
//! The walk paints commits as git's merge base does: by the side they are reachable
//! from, and as stale behind a common commit. A commit that is not here waits with
//! its paint; if the walk ends without needing it, it is never fetched.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use gix::ObjectId;
use gix::bstr::ByteSlice as _;

use super::commits::{object, sha};
use super::{Mirror, Shallow};
use crate::domain::CommitSha;

/// Commits of a branch that are looked through for one that was its tip.
const MOST_TIPS: usize = 10_000;
/// How many commits [`Mirror::ahead`] counts.
const MOST_AHEAD: usize = 1_000;

/// Reachable from the first commit of the question.
const FIRST: u8 = 1;
/// Reachable from the second one.
const SECOND: u8 = 2;
/// Behind a commit that is reachable from both.
const STALE: u8 = 4;
const BOTH: u8 = FIRST | SECOND;

/// A walk from two commits.
struct Walk<'a> {
    mirror: &'a Mirror,
    seen: HashMap<ObjectId, Node>,
    /// The newest first.
    queue: BinaryHeap<(i64, ObjectId)>,
    /// How many of the queue have a paint; those with [`STALE`] count as one kind.
    waiting: [usize; 5],
    /// Commits that are not here, with their paint.
    absent: HashMap<ObjectId, u8>,
    /// Common commits, of which some may be behind others.
    common: Vec<ObjectId>,
}

struct Node {
    time: i64,
    parents: Vec<ObjectId>,
    paint: u8,
    queued: bool,
}

impl Mirror {
    /// Whether a commit is in the repository, also if the mirror has to fetch it first.
    pub fn knows(&self, commit: &CommitSha) -> anyhow::Result<bool> {
        self.find_or_fetch(object(commit)?)
    }

    /// Whether a commit is in the repository, and in the history of another or that one itself.
    pub fn has_in(&self, commit: &CommitSha, of: &CommitSha) -> anyhow::Result<bool> {
        Ok(self.knows(commit)? && self.is_ancestor(commit, of)?)
    }

    /// Whether a commit is in the history of another, or that one itself.
    pub fn is_ancestor(&self, ancestor: &CommitSha, of: &CommitSha) -> anyhow::Result<bool> {
        let (ancestor, of) = (object(ancestor)?, object(of)?);
        if ancestor == of {
            return Ok(true);
        }
        let mut walk = Walk::new(self, of, ancestor)?;
        loop {
            if walk.paint(ancestor) & FIRST != 0 {
                return Ok(true);
            }
            if walk.waiting[FIRST as usize] == 0 && !walk.absent.values().any(|it| *it == FIRST) {
                return Ok(false);
            }
            if walk.is_settled() {
                walk.fetch()?;
            } else {
                walk.step()?;
            }
        }
    }

    /// The newest common commits of two: none of them is in the history of another one.
    pub(super) fn merge_bases(
        &self,
        first: ObjectId,
        second: ObjectId,
    ) -> anyhow::Result<Vec<ObjectId>> {
        let mut walk = Walk::new(self, first, second)?;
        loop {
            for tip in [first, second] {
                if walk.paint(tip) & BOTH == BOTH {
                    return Ok(vec![tip]);
                }
            }
            if !walk.is_settled() {
                walk.step()?;
            } else if !walk.fetch()? {
                break;
            }
        }
        let mut bases = Vec::new();
        for base in &walk.common {
            let mut is_newest = true;
            for other in walk.common.iter().filter(|other| *other != base) {
                is_newest &= !self.is_ancestor(&sha(*base), &sha(*other))?;
            }
            if is_newest {
                bases.push(*base);
            }
        }
        Ok(bases)
    }

    /// How many commits `of` has that `than` lacks; at most a thousand are counted.
    pub fn ahead(&self, of: &CommitSha, than: &CommitSha) -> anyhow::Result<usize> {
        Ok(self.only_in(of, than)?.len().min(MOST_AHEAD))
    }

    /// The authors' addresses of the commits that `head` has and `base` lacks.
    pub fn authors(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<BTreeSet<String>> {
        let mut authors = BTreeSet::new();
        for id in self.only_in(head, base)? {
            let commit = self.repo.find_commit(id)?;
            authors.insert(commit.author()?.email.to_str_lossy().into_owned());
        }
        Ok(authors)
    }

    /// The commits that `of` has and `than` lacks.
    fn only_in(&self, of: &CommitSha, than: &CommitSha) -> anyhow::Result<Vec<ObjectId>> {
        let (of, than) = (object(of)?, object(than)?);
        if of == than {
            return Ok(Vec::new());
        }
        let mut walk = Walk::new(self, of, than)?;
        loop {
            if walk.paint(of) & SECOND != 0 {
                return Ok(Vec::new());
            }
            if !walk.is_settled() {
                walk.step()?;
            } else if !walk.fetch()? && !walk.step_over_old()? && !walk.fetch_stale()? {
                return Ok(walk.of_first().map(|(id, _)| id).collect());
            }
        }
    }

    /// The former tip of a branch that is at `tip` now, by the first digits of its name, as far as
    /// the last [`MOST_TIPS`] show: what came with a merge commit was none.
    pub fn past_tip_named(
        &self,
        digits: &str,
        tip: &CommitSha,
    ) -> anyhow::Result<Option<CommitSha>> {
        let digits = digits.to_ascii_lowercase();
        // A whole name says at once whether there is such a commit.
        if let Ok(commit) = digits.parse()
            && !self.has_in(&commit, tip)?
        {
            return Ok(None);
        }
        let mut at = Some(tip.clone());
        for _ in 0..MOST_TIPS {
            match at {
                Some(past) if past.as_str().starts_with(&digits) => return Ok(Some(past)),
                Some(past) => at = self.parent(&past)?,
                None => break,
            }
        }
        Ok(None)
    }

    /// Whether an object is here, or could be fetched.
    pub(super) fn find_or_fetch(&self, id: ObjectId) -> anyhow::Result<bool> {
        if self.repo.has_object(id) {
            return Ok(true);
        }
        match &self.older {
            Some(_) => self.fetch_older(&[id]),
            None if self.repo.is_shallow()? => Err(Shallow.into()),
            None => Ok(false),
        }
    }

    /// Fetches commits with some of their history: more of it each time, so that a question of any
    /// age takes few fetches. False: the remote does not have them.
    fn fetch_older(&self, ids: &[ObjectId]) -> anyhow::Result<bool> {
        let Some(older) = &self.older else {
            anyhow::ensure!(!self.repo.is_shallow()?, Shallow);
            let missing: Vec<_> = ids.iter().map(ToString::to_string).collect();
            anyhow::bail!("the repository lacks {}", missing.join(", "));
        };
        let commits: Vec<_> = ids.iter().map(|id| sha(*id)).collect();
        let found = older(&commits, self.asked.get())?;
        self.asked.set(self.asked.get() + 1);
        // Never a "no" because of what happened to the mirror meanwhile.
        let is_here = ids.iter().all(|id| self.repo.has_object(id));
        anyhow::ensure!(!found || is_here, "what was fetched is not there");
        Ok(found)
    }
}

impl<'a> Walk<'a> {
    fn new(mirror: &'a Mirror, first: ObjectId, second: ObjectId) -> anyhow::Result<Self> {
        let mut walk = Self {
            mirror,
            seen: HashMap::new(),
            queue: BinaryHeap::new(),
            waiting: [0; 5],
            absent: HashMap::new(),
            common: Vec::new(),
        };
        for (id, paint) in [(first, FIRST), (second, SECOND)] {
            anyhow::ensure!(mirror.find_or_fetch(id)?, "there is no commit {id}");
            walk.add(id, paint)?;
        }
        Ok(walk)
    }

    fn paint(&self, id: ObjectId) -> u8 {
        self.seen.get(&id).map_or(0, |node| node.paint)
    }

    /// Adds paint to a commit, and queues it if that is new.
    fn add(&mut self, id: ObjectId, paint: u8) -> anyhow::Result<()> {
        if !self.seen.contains_key(&id) {
            let Some(node) = self.mirror.node(id)? else {
                *self.absent.entry(id).or_default() |= paint;
                return Ok(());
            };
            self.seen.insert(id, node);
        }
        let Some(node) = self
            .seen
            .get_mut(&id)
            .filter(|it| it.paint & paint != paint)
        else {
            return Ok(());
        };
        if node.queued {
            self.waiting[kind(node.paint)] -= 1;
        } else {
            self.queue.push((node.time, id));
        }
        node.paint |= paint;
        node.queued = true;
        self.waiting[kind(node.paint)] += 1;
        Ok(())
    }

    /// Nothing in the queue can change what is known but for stale commits.
    fn is_settled(&self) -> bool {
        self.waiting[..kind(STALE)].iter().all(|count| *count == 0)
    }

    /// Takes the newest commit of the queue, and paints its parents.
    fn step(&mut self) -> anyhow::Result<()> {
        let Some((_, id)) = self.queue.pop() else {
            return Ok(());
        };
        let Some(node) = self.seen.get_mut(&id) else {
            return Ok(());
        };
        node.queued = false;
        self.waiting[kind(node.paint)] -= 1;
        let (mut paint, parents) = (node.paint, node.parents.clone());
        if paint == BOTH {
            if !self.common.contains(&id) {
                self.common.push(id);
            }
            paint |= STALE;
        }
        for parent in parents {
            self.add(parent, paint)?;
        }
        Ok(())
    }

    /// Fetches what is absent and not stale, and goes on there. False: there is nothing such.
    fn fetch(&mut self) -> anyhow::Result<bool> {
        self.fetch_if(|paint| paint & STALE == 0)
    }

    /// The same of what is stale, while the first side seems to have commits alone: they may be behind
    /// it.
    fn fetch_stale(&mut self) -> anyhow::Result<bool> {
        let has_own = self.of_first().next().is_some();
        self.fetch_if(|_| has_own)
    }

    fn fetch_if(&mut self, is_needed: impl Fn(u8) -> bool) -> anyhow::Result<bool> {
        let needed: Vec<_> = self
            .absent
            .extract_if(|_, paint| is_needed(*paint))
            .collect();
        if needed.is_empty() {
            return Ok(false);
        }
        let ids: Vec<_> = needed.iter().map(|(id, _)| *id).collect();
        anyhow::ensure!(
            self.mirror.fetch_older(&ids)?,
            "the remote lacks a part of the history"
        );
        for (id, paint) in needed {
            self.add(id, paint)?;
        }
        Ok(true)
    }

    fn of_first(&self) -> impl Iterator<Item = (ObjectId, i64)> {
        let mine = self.seen.iter().filter(|(_, node)| node.paint == FIRST);
        mine.map(|(id, node)| (*id, node.time))
    }

    /// Takes a stale commit that is no older than one of the first side only: clocks differ, and it
    /// may be a descendant of that one. False: there is none.
    fn step_over_old(&mut self) -> anyhow::Result<bool> {
        let oldest = self.of_first().map(|(_, time)| time).min();
        let newest = self.queue.peek().map(|(time, _)| *time);
        let found = newest.zip(oldest).is_some_and(|(it, other)| it >= other);
        if found {
            self.step()?;
        }
        Ok(found)
    }
}

impl Mirror {
    /// None: it is not here.
    fn node(&self, id: ObjectId) -> anyhow::Result<Option<Node>> {
        let Some(found) = self.repo.try_find_object(id)? else {
            return Ok(None);
        };
        let commit = found.try_into_commit()?;
        Ok(Some(Node {
            time: commit.time()?.seconds,
            parents: commit.parent_ids().map(gix::Id::detach).collect(),
            paint: 0,
            queued: false,
        }))
    }
}

/// The paint, where all that is stale is one kind.
fn kind(paint: u8) -> usize {
    usize::from(paint.min(STALE))
}
