//! From a candidate to an open pull request: the next step, decided from what
//! is there.
//!
//! The loop observes, takes one step and observes again, until [`Step::Settled`].
//! Each step is conditional on what it was decided from, so it may be cut off
//! anywhere. Two races are known: the base moves under an open pull request
//! (then the branch is rebuilt beside it and swapped in, since GitHub closes a
//! pull request whose branch equals its base), and somebody pushes to our
//! branch (their commits are never thrown away).

use super::edit::FileEdit;
use super::image::Candidate;
use super::{ApplicationKey, CommitSha, Name};

/// Facts about one (application, stage).
#[derive(Debug, Clone)]
pub struct Seen {
    pub base: CommitSha,
    /// What the base lacks of the candidates; empty where it has them.
    pub edits: Vec<FileEdit>,
    pub branch: Option<Branch>,
    /// The newest pull request from our branch.
    pub pull_request: Option<PullRequest>,
    /// Title and body that the pull request should have.
    pub title: String,
    pub body: String,
    /// The pull request that this same set of digests was proposed by before.
    pub proposed_by: Option<u64>,
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
}

pub fn decide(seen: &Seen) -> Step {
    let open = seen.pull_request.as_ref().filter(|pr| pr.state == PullRequestState::Open);
    if seen.edits.is_empty() {
        return match (open, &seen.branch) {
            (Some(pr), _) => Step::Close { number: pr.number },
            (None, Some(branch)) if branch.content != BranchContent::Foreign => Step::DeleteBranch { head: branch.head.clone() },
            _ => Step::Settled(Outcome::Done { number: seen.pull_request.as_ref().map(|pr| pr.number).or(seen.proposed_by) }),
        };
    }
    if let Some(pr) = &seen.pull_request
        && pr.state == PullRequestState::Closed
    {
        // It proposed exactly this: the branch that it was closed with still says so, or we remember.
        let same = seen.branch.as_ref().is_some_and(|branch| branch.head == pr.head && branch.content == BranchContent::Wanted);
        if same || seen.proposed_by == Some(pr.number) {
            return Step::Settled(Outcome::Rejected { number: pr.number });
        }
    }
    let Some(branch) = &seen.branch else { return Step::CreateBranch { at: seen.base.clone() } };
    let head = branch.head.clone();
    match (&branch.content, open) {
        (BranchContent::Nothing, None) if head != seen.base => Step::ResetBranch { from: head, to: seen.base.clone() },
        (BranchContent::Nothing, _) => Step::Commit { parent: head, edits: seen.edits.clone() },
        (BranchContent::Wanted, None) => Step::Open,
        // What an old pull request left behind.
        (_, None) => Step::ResetBranch { from: head, to: seen.base.clone() },
        (BranchContent::Outdated(edits), Some(_)) => Step::Commit { parent: head, edits: edits.clone() },
        (BranchContent::Conflicting, Some(_)) => Step::Rebuild { from: head, base: seen.base.clone(), edits: seen.edits.clone() },
        (BranchContent::Wanted | BranchContent::Foreign, Some(pr)) if pr.title != seen.title || pr.body != seen.body => {
            Step::Retitle { number: pr.number }
        }
        (BranchContent::Wanted | BranchContent::Foreign, Some(pr)) => Step::Settled(Outcome::Open { number: pr.number }),
    }
}

/// A later stage's candidates: what every stage before it runs healthily, as far as an image event announced it there.
pub fn promoted(earlier: &[EarlierStage]) -> Vec<Candidate> {
    let Some((first, rest)) = earlier.split_first() else { return Vec::new() };
    if earlier.iter().any(|stage| !stage.healthy) {
        return Vec::new();
    }
    let proven = |stage: &EarlierStage, candidate: &Candidate| stage.running.contains(&(candidate.image.clone(), candidate.digest.clone()));
    first
        .candidates
        .iter()
        .filter(|candidate| proven(first, candidate) && rest.iter().all(|stage| proven(stage, candidate)))
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
    pub running: Vec<(String, super::image::Digest)>,
    pub candidates: Vec<Candidate>,
}

impl EarlierStage {
    /// What it lacks of being healthy with just these candidates.
    pub fn lacks(&self, candidates: &[Candidate]) -> Option<String> {
        if !self.healthy {
            let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
            return Some(format!("is not synced and healthy{why}"));
        }
        let missing = candidates.iter().filter(|one| !self.running.contains(&(one.image.clone(), one.digest.clone())));
        let missing: Vec<_> = missing.map(|one| format!("{} ({})", one.tag, one.digest.short())).collect();
        (!missing.is_empty()).then(|| format!("does not run {}", missing.join(", ")))
    }
}

/// The commit message: subject, and trailers that say where the image came from.
pub fn commit_message(key: &ApplicationKey, candidates: &[Candidate]) -> (String, String) {
    let trailers: Vec<_> = candidates
        .iter()
        .map(|c| format!("Image: {}:{}\nImage-Digest: {}\nSource-Commit: {}@{}", c.image, c.tag, c.digest, c.source, c.commit))
        .collect();
    (title(key, candidates), trailers.join("\n"))
}

/// The pull request's title: application, stage, tag and the digest's first twelve digits.
pub fn title(key: &ApplicationKey, candidates: &[Candidate]) -> String {
    let images: Vec<_> = candidates.iter().map(|c| format!("{} ({})", c.tag, c.digest.short())).collect();
    format!("{}: {}", key.title(), images.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(c: char) -> CommitSha {
        c.to_string().repeat(40).parse().unwrap()
    }

    fn edit() -> Vec<FileEdit> {
        vec![FileEdit { path: "f".into(), text: "x".into() }]
    }

    fn seen(branch: Option<(char, BranchContent)>, pr: Option<(PullRequestState, &str)>) -> Seen {
        Seen {
            base: sha('b'),
            edits: edit(),
            branch: branch.map(|(head, content)| Branch { head: sha(head), content }),
            pull_request: pr.map(|(state, title)| PullRequest {
                number: 7,
                head: sha('c'),
                state,
                title: title.into(),
                body: "body".into(),
            }),
            title: "title".into(),
            body: "body".into(),
            proposed_by: None,
        }
    }

    #[test]
    fn each_state_has_its_next_step() {
        use BranchContent::*;
        use PullRequestState::*;
        let table = [
            (seen(None, None), Step::CreateBranch { at: sha('b') }),
            (seen(Some(('b', Nothing)), None), Step::Commit { parent: sha('b'), edits: edit() }),
            (seen(Some(('0', Nothing)), None), Step::ResetBranch { from: sha('0'), to: sha('b') }),
            (seen(Some(('c', Wanted)), None), Step::Open),
            (seen(Some(('c', Wanted)), Some((Merged, ""))), Step::Open),
            (seen(Some(('c', Conflicting)), None), Step::ResetBranch { from: sha('c'), to: sha('b') }),
            (seen(Some(('c', Wanted)), Some((Open, "title"))), Step::Settled(Outcome::Open { number: 7 })),
            (seen(Some(('c', Wanted)), Some((Open, "old"))), Step::Retitle { number: 7 }),
            (seen(Some(('c', Outdated(edit()))), Some((Open, "old"))), Step::Commit { parent: sha('c'), edits: edit() }),
            (seen(Some(('c', Conflicting)), Some((Open, "old"))), Step::Rebuild { from: sha('c'), base: sha('b'), edits: edit() }),
            (seen(Some(('c', Foreign)), Some((Open, "title"))), Step::Settled(Outcome::Open { number: 7 })),
            (Seen { proposed_by: Some(7), ..seen(None, Some((Closed, ""))) }, Step::Settled(Outcome::Rejected { number: 7 })),
            (seen(Some(('c', Wanted)), Some((Closed, ""))), Step::Settled(Outcome::Rejected { number: 7 })),
            (seen(Some(('d', Wanted)), Some((Closed, ""))), Step::Open),
            (seen(None, Some((Closed, ""))), Step::CreateBranch { at: sha('b') }),
            (Seen { edits: vec![], ..seen(Some(('c', Wanted)), Some((Open, ""))) }, Step::Close { number: 7 }),
            (Seen { edits: vec![], ..seen(Some(('c', Wanted)), Some((Merged, ""))) }, Step::DeleteBranch { head: sha('c') }),
            (Seen { edits: vec![], ..seen(None, Some((Merged, ""))) }, Step::Settled(Outcome::Done { number: Some(7) })),
        ];
        for (seen, step) in table {
            assert_eq!(decide(&seen), step, "{seen:?}");
        }
    }
}
