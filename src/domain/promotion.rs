//! From a candidate to an open pull request: the next step, decided from what
//! is there.
//!
//! The loop observes, takes one step and observes again, until [`Step::Settled`].
//! Each step is conditional on what it was decided from, so it may be cut off
//! anywhere. Two races are known: the base moves under an open pull request
//! (then the branch is rebuilt beside it and swapped in, since GitHub closes a
//! pull request whose branch equals its base), and somebody pushes to our
//! branch (their commits are never thrown away).
//!
//! What a person decides in Git is decided: [`judge`] takes what is remembered
//! of each candidate, and what Git has of it now, to what holds from now on. A
//! digest that was merged, and that a later commit took back, is not proposed
//! there again, like one whose pull request was closed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edit::FileEdit;
use super::image::{Candidate, Digest, Tag, same_image};
use super::{ApplicationKey, CommitSha, Name};

/// Facts about one (application, stage).
#[derive(Debug, Clone)]
pub struct Seen {
    pub base: CommitSha,
    /// What the base lacks of the candidates that are wanted; empty where it has them.
    pub edits: Vec<FileEdit>,
    /// The images that the edits bring.
    pub offers: Vec<Offer>,
    pub branch: Option<Branch>,
    /// The pull request from our branch that is open, or else the newest.
    pub pull_request: Option<PullRequest>,
    /// Title and body that the pull request should have.
    pub title: String,
    pub body: String,
    /// The candidates, without those that are dropped.
    pub candidates: Vec<Candidate>,
    /// What Git or `windlass.yaml` know no more.
    pub dropped: Vec<Candidate>,
    /// What [`judge`] came to.
    pub decided: Vec<Decision>,
}

/// Our branch.
#[derive(Debug, Clone)]
pub struct Branch {
    pub head: CommitSha,
    pub content: BranchContent,
}

/// How the branch relates to its base and to the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchContent {
    /// No commit that the base lacks.
    Nothing,
    /// Merged into the base it is exactly base plus edits.
    Wanted,
    /// It has commits, and needs these edits on top.
    Outdated(Vec<FileEdit>),
    /// It does not merge cleanly into the base, and all its commits are ours.
    Conflicting,
    /// It brings more than what is wanted by now, and all its commits are ours.
    Surplus,
    /// It carries what the candidates want and something of somebody else's besides.
    Foreign,
}

#[derive(Debug, Clone)]
pub struct PullRequest {
    pub number: u64,
    pub state: PullRequestState,
    pub head: CommitSha,
    pub title: String,
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequestState {
    Open,
    Closed,
    Merged,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    CreateBranch {
        at: CommitSha,
    },
    /// A branch without a pull request goes back to the base.
    ResetBranch {
        from: CommitSha,
        to: CommitSha,
    },
    Commit {
        parent: CommitSha,
        edits: Vec<FileEdit>,
    },
    /// Builds base plus edits on a scratch branch and swaps it in.
    Rebuild {
        from: CommitSha,
        base: CommitSha,
        edits: Vec<FileEdit>,
    },
    Open,
    Retitle {
        number: u64,
    },
    /// The base has it already.
    Close {
        number: u64,
    },
    DeleteBranch {
        head: CommitSha,
    },
    Settled(Outcome),
}

/// Where a promotion rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The base has the candidates; the pull request that brought them, if it is known.
    Done {
        number: Option<u64>,
    },
    Open {
        number: u64,
    },
    /// A person closed the pull request for these digests: not proposed again.
    Rejected {
        number: u64,
    },
    /// A person took back what was merged: not proposed again.
    Reverted {
        commit: Option<CommitSha>,
    },
    /// A candidate cannot be put in.
    Failed,
    /// Nothing is left that could be proposed.
    Dropped,
}

impl Outcome {
    /// The state that the `Promotion` tells.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "Merged",
            Self::Open { .. } => "Proposed",
            Self::Rejected { .. } => "Rejected",
            Self::Reverted { .. } => "Reverted",
            Self::Failed => "Failed",
            Self::Dropped => "Dropped",
        }
    }
}

pub fn decide(seen: &Seen) -> Step {
    let open = seen
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Open);
    if seen.edits.is_empty() {
        let rest = rest(seen);
        return match (open, &seen.branch) {
            // What cannot be edited now may be mended: what was proposed of it waits.
            (Some(_), _) if rest == Outcome::Failed => Step::Settled(rest),
            (Some(pr), _) => Step::Close { number: pr.number },
            (None, Some(branch))
                if branch.content != BranchContent::Foreign && !may_reopen(seen, branch) =>
            {
                Step::DeleteBranch {
                    head: branch.head.clone(),
                }
            }
            _ => Step::Settled(rest),
        };
    }
    // It proposed exactly this: the branch that it was closed with still says so.
    if let Some(pr) = &seen.pull_request
        && pr.state == PullRequestState::Closed
        && seen
            .branch
            .as_ref()
            .is_some_and(|branch| branch.head == pr.head && branch.content == BranchContent::Wanted)
    {
        return Step::Settled(Outcome::Rejected { number: pr.number });
    }
    let Some(branch) = &seen.branch else {
        return Step::CreateBranch {
            at: seen.base.clone(),
        };
    };
    let head = branch.head.clone();
    match (&branch.content, open) {
        (BranchContent::Nothing, None) if head != seen.base => Step::ResetBranch {
            from: head,
            to: seen.base.clone(),
        },
        (BranchContent::Nothing, _) => Step::Commit {
            parent: head,
            edits: seen.edits.clone(),
        },
        (BranchContent::Wanted, None) => Step::Open,
        // What an old pull request left behind.
        (_, None) => Step::ResetBranch {
            from: head,
            to: seen.base.clone(),
        },
        (BranchContent::Outdated(edits), Some(_)) => Step::Commit {
            parent: head,
            edits: edits.clone(),
        },
        (BranchContent::Conflicting | BranchContent::Surplus, Some(_)) => Step::Rebuild {
            from: head,
            base: seen.base.clone(),
            edits: seen.edits.clone(),
        },
        (BranchContent::Wanted | BranchContent::Foreign, Some(pr))
            if pr.title != seen.title || pr.body != seen.body =>
        {
            Step::Retitle { number: pr.number }
        }
        (BranchContent::Wanted | BranchContent::Foreign, Some(pr)) => {
            Step::Settled(Outcome::Open { number: pr.number })
        }
    }
}

/// A pull request that was closed can be opened again while its branch is there.
fn may_reopen(seen: &Seen, branch: &Branch) -> bool {
    let closed = seen
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Closed && pr.head == branch.head);
    closed.is_some_and(|pr| {
        seen.decided
            .iter()
            .any(|one| one.how == How::Rejected && one.number == Some(pr.number))
    })
}

/// Where it rests when there is nothing to bring: what keeps a candidate back is told before what is done.
fn rest(seen: &Seen) -> Outcome {
    let holds: Vec<_> = match &seen.candidates[..] {
        [] => stand(&[], &seen.decided)
            .into_iter()
            .map(|(one, _)| one)
            .collect(),
        candidates => candidates
            .iter()
            .filter_map(|candidate| standing(&seen.decided, candidate))
            .collect(),
    };
    let first = |how: How| holds.iter().find(|one| one.how == how);
    if first(How::Failed).is_some() {
        Outcome::Failed
    } else if let Some(one) = first(How::Reverted) {
        Outcome::Reverted {
            commit: one.commit.clone(),
        }
    } else if let Some(number) = first(How::Rejected).and_then(|one| one.number) {
        Outcome::Rejected { number }
    } else if seen.candidates.is_empty() {
        Outcome::Dropped
    } else {
        Outcome::Done {
            number: seen.pull_request.as_ref().map(|pr| pr.number),
        }
    }
}

// ---- what became of each candidate

/// What became of a candidate in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    pub image: String,
    pub digest: Digest,
    /// The tag that it had then.
    pub tag: Tag,
    pub how: How,
    /// Merged: a commit that has it. Reverted: the commit that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitSha>,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub number: Option<u64>,
    /// Why it cannot be put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// In the order in which one stands before another where several hold of the same digest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum How {
    Merged,
    Rejected,
    Reverted,
    Proposed,
    Dropped,
    Failed,
}

/// Decisions that are remembered.
const MOST_DECIDED: usize = 20;

impl Decision {
    pub fn of(candidate: &Candidate, how: How) -> Self {
        let Candidate {
            image, digest, tag, ..
        } = candidate.clone();
        Self {
            image,
            digest,
            tag,
            how,
            commit: None,
            number: None,
            why: None,
        }
    }

    pub fn is_about(&self, candidate: &Candidate) -> bool {
        self.digest == candidate.digest && same_image(&self.image, &candidate.image)
    }
}

/// Remembers one more, in the place of what it makes void.
pub fn record(decided: &mut Vec<Decision>, new: Decision) {
    if decided.contains(&new) {
        return;
    }
    let voids = |old: &Decision| match (new.how, old.how) {
        (new, old) if new == old => true,
        // Who refuses another tag of what is there refuses it also once more of it is there.
        (How::Merged, How::Rejected) => false,
        (How::Merged | How::Reverted, _) => true,
        (How::Proposed, How::Rejected) | (How::Rejected | How::Dropped, How::Proposed) => true,
        _ => false,
    };
    decided.retain(|old| {
        old.digest != new.digest || !same_image(&old.image, &new.image) || !voids(old)
    });
    decided.push(new);
    decided.drain(..decided.len().saturating_sub(MOST_DECIDED));
}

/// What holds for a candidate.
pub fn standing<'a>(decided: &'a [Decision], candidate: &Candidate) -> Option<&'a Decision> {
    decided
        .iter()
        .filter(|one| one.is_about(candidate))
        .max_by_key(|one| one.how)
}

/// What holds for each image: for its candidate, or for the last one of an image that has none any more. With the tag that
/// the candidate has now.
pub fn stand<'a>(
    candidates: &'a [Candidate],
    decided: &'a [Decision],
) -> Vec<(&'a Decision, &'a Tag)> {
    let mut found: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| Some((standing(decided, candidate)?, &candidate.tag)))
        .collect();
    for (index, one) in decided.iter().enumerate() {
        let is_last = !decided[index + 1..]
            .iter()
            .any(|later| same_image(&later.image, &one.image));
        let gone = !candidates
            .iter()
            .any(|candidate| same_image(&candidate.image, &one.image));
        if is_last && gone && matches!(one.how, How::Dropped | How::Reverted) {
            found.push((one, &one.tag));
        }
    }
    found
}

/// A person decided against it.
pub fn is_refused(decided: &[Decision], candidate: &Candidate) -> bool {
    decided
        .iter()
        .any(|one| one.is_about(candidate) && matches!(one.how, How::Rejected | How::Reverted))
}

/// The candidates that a pull request brings, or will: those that nothing was decided on.
pub fn wanted(candidates: &[Candidate], decided: &[Decision]) -> Vec<Candidate> {
    let is_wanted = |candidate: &&Candidate| {
        standing(decided, candidate).is_none_or(|one| one.how == How::Proposed)
    };
    candidates.iter().filter(is_wanted).cloned().collect()
}

/// What was seen last of an image in the base.
pub fn last_merged<'a>(decided: &'a [Decision], image: &str) -> Option<&'a Decision> {
    decided
        .iter()
        .rfind(|one| one.how == How::Merged && same_image(&one.image, image))
}

/// What Git and the configuration have of one candidate.
#[derive(Debug, Clone)]
pub struct Sight {
    pub candidate: Candidate,
    pub there: There,
    /// The digest at each place where the base sets the image.
    pub now: Vec<Option<Digest>>,
    pub past: Option<Past>,
}

/// What the base has in a candidate's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// `windlass.yaml` names the image no more.
    Unnamed,
    /// It cannot be put in, in words. `gone`: no file sets the image.
    Impossible { why: String, gone: bool },
    /// Just the candidate.
    Same,
    /// Its digest, under another tag.
    Retagged,
    /// Something else, in one place at least.
    Other,
}

/// What was merged last of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub digest: Digest,
    pub tag: Tag,
    /// The base comes from where it was seen. Where that is not so, it says nothing that the base lacks it: it may be an older
    /// view, or a branch that was set back.
    pub in_history: bool,
    /// The commit that took it back, from one place at least where it was seen.
    pub taken: Option<CommitSha>,
}

impl Sight {
    fn lacks(&self) -> bool {
        matches!(
            self.there,
            There::Other | There::Impossible { gone: true, .. }
        )
    }

    /// It was in a commit that the base does not come from: worth a second look.
    pub fn is_doubtful(&self) -> bool {
        self.there == There::Unnamed
            || self.lacks() && self.past.as_ref().is_some_and(|past| !past.in_history)
    }

    /// Git or the configuration know the image no more.
    pub fn is_dropped(&self, decided: &[Decision]) -> bool {
        match self.there {
            There::Unnamed => true,
            There::Impossible { gone, .. } => {
                gone && decided
                    .iter()
                    .any(|one| one.how == How::Reverted && one.is_about(&self.candidate))
            }
            _ => false,
        }
    }

    /// What is to be proposed of it. `announced`: in the order in which they were announced first.
    pub fn offer(&self, announced: &[Candidate], decided: &[Decision]) -> Option<Offer> {
        if !matches!(self.there, There::Other | There::Retagged)
            || is_refused(decided, &self.candidate)
        {
            return None;
        }
        let candidate = &self.candidate;
        let at = place(announced, &candidate.digest);
        let newer = |digest: &&Digest| at.is_some() && place(announced, digest) > at;
        let newest = self
            .now
            .iter()
            .flatten()
            .filter(newer)
            .max_by_key(|digest| place(announced, digest));
        let was_there = || {
            decided
                .iter()
                .any(|one| one.how == How::Merged && one.is_about(candidate))
        };
        Some(Offer {
            instead_of: newest.and_then(|digest| tag_of(announced, digest)),
            again: !self.now.contains(&Some(candidate.digest.clone())) && was_there(),
            candidate: candidate.clone(),
        })
    }
}

fn place(announced: &[Candidate], digest: &Digest) -> Option<usize> {
    announced.iter().position(|one| one.digest == *digest)
}

fn tag_of(announced: &[Candidate], digest: &Digest) -> Option<Tag> {
    announced
        .iter()
        .rfind(|one| one.digest == *digest)
        .map(|one| one.tag.clone())
}

/// An image that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub candidate: Candidate,
    /// What the base has, where that was announced later: it would be a step back.
    pub instead_of: Option<Tag>,
    /// The base had it before, and somebody set it back to where it had not.
    pub again: bool,
}

impl Offer {
    /// Why somebody has to want it, also where merging is automatic.
    pub fn doubt(&self) -> Option<String> {
        let tag = &self.candidate.tag;
        match &self.instead_of {
            Some(newer) => Some(format!(
                "a step back: {tag} was announced before {newer}, which is there now"
            )),
            None => self
                .again
                .then(|| format!("{tag} was there before, and is not any more")),
        }
    }
}

/// Goes from what was remembered to what holds now. `announced`: in the order in which they were announced first.
pub fn judge(
    before: &[Decision],
    sights: &[Sight],
    announced: &[Candidate],
    base: &CommitSha,
    pull: Option<&PullRequest>,
) -> Vec<Decision> {
    let mut decided = before.to_vec();
    if let Some(pull) = pull {
        for one in decided
            .iter_mut()
            .filter(|one| one.number == Some(pull.number))
        {
            one.how = match (pull.state, one.how) {
                (PullRequestState::Closed, How::Proposed) => How::Rejected,
                (PullRequestState::Open, How::Rejected) => How::Proposed,
                (_, how) => how,
            };
        }
    }
    // What holds only as long as it is found.
    let mut passing = Vec::new();
    for sight in sights {
        let candidate = &sight.candidate;
        match &sight.there {
            There::Unnamed => passing.push(Decision::of(candidate, How::Dropped)),
            There::Same | There::Retagged => {
                if sight.there == There::Same {
                    decided.retain(|one| one.how == How::Merged || !one.is_about(candidate));
                }
                let known = sight
                    .past
                    .as_ref()
                    .is_some_and(|past| past.in_history && past.digest == candidate.digest);
                if !known {
                    let number = pull
                        .filter(|pull| pull.state == PullRequestState::Merged)
                        .map(|pull| pull.number);
                    record(
                        &mut decided,
                        Decision {
                            commit: Some(base.clone()),
                            number,
                            ..Decision::of(candidate, How::Merged)
                        },
                    );
                }
            }
            There::Other | There::Impossible { .. } => {
                if sight.lacks() {
                    take_back(&mut decided, sight, announced, base);
                }
                if let There::Impossible { why, .. } = &sight.there
                    && !sight.is_dropped(&decided)
                {
                    passing.push(Decision {
                        why: Some(why.clone()),
                        ..Decision::of(candidate, How::Failed)
                    });
                }
            }
        }
    }
    let is_seen = |one: &Decision| {
        sights
            .iter()
            .any(|sight| same_image(&sight.candidate.image, &one.image))
    };
    decided.retain(|one| match one.how {
        How::Failed => passing.contains(one),
        How::Dropped => passing.contains(one) || !is_seen(one),
        _ => true,
    });
    passing
        .into_iter()
        .for_each(|one| record(&mut decided, one));
    decided
}

/// What was merged last of an image is not there any more: somebody took it back, unless something newer came in its place.
fn take_back(
    decided: &mut Vec<Decision>,
    sight: &Sight,
    announced: &[Candidate],
    base: &CommitSha,
) {
    let Some((past, commit)) = sight
        .past
        .as_ref()
        .filter(|past| past.in_history)
        .and_then(|past| Some((past, past.taken.as_ref()?)))
    else {
        return;
    };
    let candidate = Candidate {
        digest: past.digest.clone(),
        tag: past.tag.clone(),
        ..sight.candidate.clone()
    };
    let at = place(announced, &past.digest);
    let is_newer = |digest: &Digest| {
        past.digest != sight.candidate.digest && at.is_some() && place(announced, digest) > at
    };
    // Merged, and another one announced, before anybody looked.
    let is_ours = |digest: &Digest| {
        decided.iter().any(|one| {
            one.how == How::Proposed
                && one.digest == *digest
                && same_image(&one.image, &candidate.image)
        })
    };
    let came = sight
        .now
        .iter()
        .flatten()
        .find(|digest| is_newer(digest) || is_ours(digest));
    match came {
        Some(digest) => {
            let tag = tag_of(announced, digest).unwrap_or_else(|| candidate.tag.clone());
            let candidate = Candidate {
                digest: digest.clone(),
                tag,
                ..candidate
            };
            record(
                decided,
                Decision {
                    commit: Some(base.clone()),
                    ..Decision::of(&candidate, How::Merged)
                },
            );
        }
        None => record(
            decided,
            Decision {
                commit: Some(commit.clone()),
                ..Decision::of(&candidate, How::Reverted)
            },
        ),
    }
}

/// A later stage's candidates: what every stage before it runs healthily, as far as an image event announced it there.
pub fn promoted(earlier: &[EarlierStage]) -> Vec<Candidate> {
    let Some((first, rest)) = earlier.split_first() else {
        return Vec::new();
    };
    if earlier.iter().any(|stage| !stage.healthy) {
        return Vec::new();
    }
    first
        .candidates
        .iter()
        .filter(|candidate| first.runs(candidate) && rest.iter().all(|stage| stage.runs(candidate)))
        .cloned()
        .collect()
}

/// What is known of a stage that comes before.
#[derive(Debug, Clone)]
pub struct EarlierStage {
    pub stage: Name,
    /// Synced to what Git has, healthy and proven.
    pub healthy: bool,
    /// Why not, if that is known.
    pub why: String,
    /// (image, digest) pairs.
    pub running: Vec<(String, Digest)>,
    pub candidates: Vec<Candidate>,
}

impl EarlierStage {
    fn runs(&self, candidate: &Candidate) -> bool {
        self.running.iter().any(|(image, digest)| {
            *digest == candidate.digest && same_image(image, &candidate.image)
        })
    }

    /// What it lacks of being healthy with just these candidates.
    pub fn lacks(&self, candidates: &[Candidate]) -> Option<String> {
        if !self.healthy {
            let why = if self.why.is_empty() {
                String::new()
            } else {
                format!(" ({})", self.why)
            };
            return Some(format!("is not synced and healthy{why}"));
        }
        let missing = candidates.iter().filter(|one| !self.runs(one));
        let missing: Vec<_> = missing
            .map(|one| format!("{} ({})", one.tag, one.digest.short()))
            .collect();
        (!missing.is_empty()).then(|| format!("does not run {}", missing.join(", ")))
    }
}

/// The commit message: subject, and trailers that say where the image came from.
pub fn commit_message(key: &ApplicationKey, offers: &[Offer]) -> (String, String) {
    let trailers: Vec<_> = offers
        .iter()
        .map(|Offer { candidate: c, .. }| {
            format!(
                "Image: {}:{}\nImage-Digest: {}\nSource-Commit: {}@{}",
                c.image, c.tag, c.digest, c.source, c.commit
            )
        })
        .collect();
    (title(key, offers), trailers.join("\n"))
}

/// The pull request's title: application, stage, tag and the digest's first twelve digits.
pub fn title(key: &ApplicationKey, offers: &[Offer]) -> String {
    let image = |Offer {
                     candidate,
                     instead_of,
                     ..
                 }: &Offer| {
        format!(
            "{}{} ({})",
            if instead_of.is_some() { "back to " } else { "" },
            candidate.tag,
            candidate.digest.short()
        )
    };
    format!(
        "{}: {}",
        key.title(),
        offers.iter().map(image).collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(c: char) -> CommitSha {
        c.to_string().repeat(40).parse().unwrap()
    }

    fn edit() -> Vec<FileEdit> {
        vec![FileEdit {
            path: "f".into(),
            text: "x".into(),
        }]
    }

    fn digest(c: char) -> Digest {
        format!("sha256:{}", c.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    /// Digest and tag by one letter.
    fn candidate(c: char) -> Candidate {
        Candidate {
            image: "acme/shop".into(),
            digest: digest(c),
            tag: format!("t{c}").parse().unwrap(),
            commit: sha('c'),
            source: "acme/shop".parse().unwrap(),
        }
    }

    fn offer(c: char) -> Offer {
        Offer {
            candidate: candidate(c),
            instead_of: None,
            again: false,
        }
    }

    fn decision(c: char, how: How) -> Decision {
        let decision = Decision::of(&candidate(c), how);
        match how {
            How::Merged | How::Reverted => Decision {
                commit: Some(sha('1')),
                ..decision
            },
            How::Proposed | How::Rejected => Decision {
                number: Some(7),
                ..decision
            },
            How::Dropped => decision,
            How::Failed => Decision {
                why: Some("no".into()),
                ..decision
            },
        }
    }

    fn pull(state: PullRequestState, title: &str) -> PullRequest {
        PullRequest {
            number: 7,
            head: sha('c'),
            state,
            title: title.into(),
            body: "body".into(),
        }
    }

    fn seen(branch: Option<(char, BranchContent)>, pr: Option<(PullRequestState, &str)>) -> Seen {
        Seen {
            base: sha('b'),
            edits: edit(),
            offers: vec![offer('a')],
            branch: branch.map(|(head, content)| Branch {
                head: sha(head),
                content,
            }),
            pull_request: pr.map(|(state, title)| pull(state, title)),
            title: "title".into(),
            body: "body".into(),
            candidates: vec![candidate('a')],
            dropped: vec![],
            decided: vec![],
        }
    }

    /// Nothing is to be brought.
    fn without(
        branch: Option<(char, BranchContent)>,
        pr: Option<(PullRequestState, &str)>,
        decided: &[Decision],
    ) -> Seen {
        Seen {
            edits: vec![],
            offers: vec![],
            decided: decided.to_vec(),
            ..seen(branch, pr)
        }
    }

    #[test]
    fn each_state_has_its_next_step() {
        use BranchContent::*;
        use PullRequestState::*;
        let (merged, failed) = (decision('a', How::Merged), decision('a', How::Failed));
        let (rejected, reverted) = (decision('a', How::Rejected), decision('a', How::Reverted));
        let nothing_left = Seen {
            candidates: vec![],
            ..without(None, None, &[decision('a', How::Dropped)])
        };
        let table = [
            (seen(None, None), Step::CreateBranch { at: sha('b') }),
            (
                seen(Some(('b', Nothing)), None),
                Step::Commit {
                    parent: sha('b'),
                    edits: edit(),
                },
            ),
            (
                seen(Some(('0', Nothing)), None),
                Step::ResetBranch {
                    from: sha('0'),
                    to: sha('b'),
                },
            ),
            (seen(Some(('c', Wanted)), None), Step::Open),
            (seen(Some(('c', Wanted)), Some((Merged, ""))), Step::Open),
            (
                seen(Some(('c', Conflicting)), None),
                Step::ResetBranch {
                    from: sha('c'),
                    to: sha('b'),
                },
            ),
            (
                seen(Some(('c', Wanted)), Some((Open, "title"))),
                Step::Settled(Outcome::Open { number: 7 }),
            ),
            (
                seen(Some(('c', Wanted)), Some((Open, "old"))),
                Step::Retitle { number: 7 },
            ),
            (
                seen(Some(('c', Outdated(edit()))), Some((Open, "old"))),
                Step::Commit {
                    parent: sha('c'),
                    edits: edit(),
                },
            ),
            (
                seen(Some(('c', Conflicting)), Some((Open, "old"))),
                Step::Rebuild {
                    from: sha('c'),
                    base: sha('b'),
                    edits: edit(),
                },
            ),
            (
                seen(Some(('c', Surplus)), Some((Open, "old"))),
                Step::Rebuild {
                    from: sha('c'),
                    base: sha('b'),
                    edits: edit(),
                },
            ),
            (
                seen(Some(('c', Foreign)), Some((Open, "title"))),
                Step::Settled(Outcome::Open { number: 7 }),
            ),
            (
                seen(Some(('c', Wanted)), Some((Closed, ""))),
                Step::Settled(Outcome::Rejected { number: 7 }),
            ),
            (seen(Some(('d', Wanted)), Some((Closed, ""))), Step::Open),
            (
                seen(None, Some((Closed, ""))),
                Step::CreateBranch { at: sha('b') },
            ),
            (
                without(
                    Some(('c', Wanted)),
                    Some((Open, "")),
                    std::slice::from_ref(&merged),
                ),
                Step::Close { number: 7 },
            ),
            (
                without(
                    Some(('c', Wanted)),
                    Some((Merged, "")),
                    std::slice::from_ref(&merged),
                ),
                Step::DeleteBranch { head: sha('c') },
            ),
            (
                without(None, Some((Merged, "")), &[merged]),
                Step::Settled(Outcome::Done { number: Some(7) }),
            ),
            // Refused: its branch stays, so that it can be opened again.
            (
                without(
                    Some(('c', Surplus)),
                    Some((Closed, "")),
                    std::slice::from_ref(&rejected),
                ),
                Step::Settled(Outcome::Rejected { number: 7 }),
            ),
            (
                without(Some(('d', Surplus)), Some((Closed, "")), &[rejected]),
                Step::DeleteBranch { head: sha('d') },
            ),
            // Taken back: nothing is proposed, and nothing is left open.
            (
                without(None, Some((Merged, "")), std::slice::from_ref(&reverted)),
                Step::Settled(Outcome::Reverted {
                    commit: Some(sha('1')),
                }),
            ),
            (
                without(Some(('c', Surplus)), Some((Open, "")), &[reverted]),
                Step::Close { number: 7 },
            ),
            // What cannot be edited just now is not closed.
            (
                without(
                    Some(('c', Foreign)),
                    Some((Open, "")),
                    std::slice::from_ref(&failed),
                ),
                Step::Settled(Outcome::Failed),
            ),
            (
                without(None, None, &[failed]),
                Step::Settled(Outcome::Failed),
            ),
            (nothing_left, Step::Settled(Outcome::Dropped)),
        ];
        for (seen, step) in table {
            assert_eq!(decide(&seen), step, "{seen:?}");
        }
    }

    fn past(c: char, in_history: bool, taken: Option<char>) -> Option<Past> {
        Some(Past {
            digest: digest(c),
            tag: candidate(c).tag,
            in_history,
            taken: taken.map(sha),
        })
    }

    fn sight(c: char, there: There, now: &[char], past: Option<Past>) -> Sight {
        Sight {
            candidate: candidate(c),
            there,
            now: now.iter().map(|c| Some(digest(*c))).collect(),
            past,
        }
    }

    /// The letters of what is decided, each with the beginning of how.
    fn judged(before: &[Decision], sight: Sight, pull: Option<PullRequest>) -> String {
        let announced: Vec<_> = ['a', 'b', 'c'].map(candidate).into();
        let decided = judge(
            before,
            std::slice::from_ref(&sight),
            &announced,
            &sha('f'),
            pull.as_ref(),
        );
        // What holds goes on to hold: nothing is written twice.
        let mut again = sight.clone();
        if let Some(merged) =
            last_merged(&decided, "acme/shop").filter(|one| one.commit == Some(sha('f')))
        {
            again.past = Some(Past {
                digest: merged.digest.clone(),
                tag: merged.tag.clone(),
                in_history: true,
                taken: None,
            });
        }
        assert_eq!(
            judge(&decided, &[again], &announced, &sha('f'), pull.as_ref()),
            decided
        );
        let letter = |one: &Decision| {
            format!(
                "{}:{:.3}",
                &one.digest.short()[..1],
                format!("{:?}", one.how)
            )
        };
        decided.iter().map(letter).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_person_does_in_git_is_decided() {
        use PullRequestState::*;
        use There::*;
        let (merged, rejected) = (decision('a', How::Merged), decision('a', How::Rejected));
        let (proposed, reverted) = (decision('a', How::Proposed), decision('a', How::Reverted));
        let impossible = |gone| Impossible {
            why: "no".into(),
            gone,
        };
        let back = vec![decision('b', How::Merged), decision('a', How::Proposed)];
        type Row = (
            &'static str,
            Vec<Decision>,
            Sight,
            Option<PullRequest>,
            &'static str,
        );
        let table: [Row; 23] = [
            (
                "first seen there",
                vec![],
                sight('a', Same, &['a'], None),
                None,
                "a:Mer",
            ),
            (
                "seen again",
                vec![merged.clone()],
                sight('a', Same, &['a'], past('a', true, None)),
                None,
                "a:Mer",
            ),
            (
                "never there",
                vec![],
                sight('a', Other, &['0'], None),
                None,
                "",
            ),
            (
                "taken back",
                vec![merged.clone()],
                sight('a', Other, &['0'], past('a', true, Some('e'))),
                None,
                "a:Rev",
            ),
            (
                "merged and taken back unseen",
                vec![proposed.clone()],
                sight('a', Other, &['0'], past('a', true, Some('e'))),
                None,
                "a:Rev",
            ),
            (
                "an older view, or set back",
                vec![merged.clone()],
                sight('a', Other, &['0'], past('a', false, None)),
                None,
                "a:Mer",
            ),
            (
                "one more place",
                vec![merged.clone()],
                sight('a', Other, &['a', '0'], past('a', true, None)),
                None,
                "a:Mer",
            ),
            (
                "stays taken back",
                vec![reverted.clone()],
                sight('a', Other, &['0'], None),
                None,
                "a:Rev",
            ),
            (
                "set again by hand",
                vec![reverted.clone()],
                sight('a', Same, &['a'], None),
                None,
                "a:Mer",
            ),
            (
                "a newer one came",
                vec![merged.clone()],
                sight('b', Same, &['b'], past('a', true, None)),
                None,
                "a:Mer b:Mer",
            ),
            (
                "between two of ours",
                vec![merged.clone()],
                sight('c', Other, &['b'], past('a', true, Some('e'))),
                None,
                "a:Mer b:Mer",
            ),
            (
                "a step back of ours",
                back,
                sight('c', Other, &['a'], past('b', true, Some('e'))),
                None,
                "b:Mer a:Mer",
            ),
            (
                "while the next waits",
                vec![merged.clone()],
                sight('b', Other, &['0'], past('a', true, Some('e'))),
                None,
                "a:Rev",
            ),
            (
                "replaced by hand",
                vec![decision('c', How::Merged)],
                sight('c', Other, &['b'], past('c', true, Some('e'))),
                None,
                "c:Rev",
            ),
            (
                "taken out",
                vec![merged.clone()],
                sight('a', impossible(true), &[], past('a', true, Some('e'))),
                None,
                "a:Rev",
            ),
            (
                "stays out",
                vec![reverted],
                sight('a', impossible(true), &[], None),
                None,
                "a:Rev",
            ),
            (
                "never in any file",
                vec![],
                sight('a', impossible(true), &[], None),
                None,
                "a:Fai",
            ),
            (
                "not to be edited",
                vec![merged],
                sight('a', impossible(false), &['0'], past('a', true, None)),
                None,
                "a:Mer a:Fai",
            ),
            (
                "mended",
                vec![decision('a', How::Failed)],
                sight('a', Other, &['0'], None),
                None,
                "",
            ),
            (
                "no rule any more",
                vec![proposed.clone()],
                sight('a', Unnamed, &['0'], None),
                None,
                "a:Dro",
            ),
            (
                "closed",
                vec![proposed],
                sight('a', Other, &['0'], None),
                Some(pull(Closed, "")),
                "a:Rej",
            ),
            (
                "opened again",
                vec![rejected.clone()],
                sight('a', Other, &['0'], None),
                Some(pull(Open, "")),
                "a:Pro",
            ),
            (
                "another tag of what was refused",
                vec![rejected],
                sight('a', Other, &['0'], None),
                Some(pull(Closed, "")),
                "a:Rej",
            ),
        ];
        for (name, before, sight, pull, expected) in table {
            assert_eq!(judged(&before, sight, pull), expected, "{name}");
        }
    }

    #[test]
    fn what_was_decided_on_is_not_offered_and_a_step_back_is_called_one() {
        let announced: Vec<_> = ['a', 'b'].map(candidate).into();
        let other = |c: char, now: &[char]| sight(c, There::Other, now, None);
        let doubt = |sight: Sight, decided: &[Decision]| {
            sight
                .offer(&announced, decided)
                .map(|offer| offer.doubt().unwrap_or_default())
        };
        for how in [How::Rejected, How::Reverted] {
            assert_eq!(doubt(other('a', &['0']), &[decision('a', how)]), None);
            assert_eq!(
                doubt(other('b', &['0']), &[decision('a', how)]).as_deref(),
                Some(""),
                "the next one is offered"
            );
            assert!(wanted(&[candidate('a')], &[decision('a', how)]).is_empty());
        }
        assert_eq!(doubt(other('b', &['a']), &[]).as_deref(), Some(""));
        assert_eq!(
            doubt(other('a', &['b']), &[]).as_deref(),
            Some("a step back: ta was announced before tb, which is there now")
        );
        assert_eq!(
            doubt(other('a', &['0']), &[decision('a', How::Merged)]).as_deref(),
            Some("ta was there before, and is not any more")
        );
        assert_eq!(
            doubt(other('a', &['a', '0']), &[decision('a', How::Merged)]).as_deref(),
            Some(""),
            "one more place"
        );
        assert_eq!(
            doubt(
                sight('a', There::Retagged, &['a'], None),
                &[decision('a', How::Merged)]
            )
            .as_deref(),
            Some("")
        );
        assert_eq!(doubt(sight('a', There::Same, &['a'], None), &[]), None);
        let key = ApplicationKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: "staging".parse().unwrap(),
        };
        let back = Offer {
            instead_of: Some("tb".parse().unwrap()),
            ..offer('a')
        };
        assert_eq!(
            title(&key, &[back, offer('b')]),
            "shop/staging: back to ta (aaaaaaaaaaaa), tb (bbbbbbbbbbbb)"
        );
    }

    #[test]
    fn a_few_decisions_are_remembered() {
        let mut decided = Vec::new();
        for number in 0..30 {
            let candidate = Candidate {
                digest: format!("sha256:{number:064x}").parse().unwrap(),
                ..candidate('a')
            };
            record(&mut decided, Decision::of(&candidate, How::Merged));
        }
        assert_eq!(decided.len(), MOST_DECIDED);
        assert!(decided[MOST_DECIDED - 1].digest.as_str().ends_with("1d"));
    }
}
