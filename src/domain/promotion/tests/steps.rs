//! Each state of a promotion has its next step.

use super::*;

fn edit() -> Vec<FileEdit> {
    vec![FileEdit {
        path: "f".into(),
        text: Some("x".into()),
    }]
}

fn facts(
    branch: Option<(char, BranchContent)>,
    pr: Option<(PullRequestState, &str)>,
) -> PromotionFacts {
    PromotionFacts {
        base: sha('b'),
        edits: edit(),
        offers: vec![offer('a')],
        branch: branch.map(|(head, content)| Branch {
            head: sha(head),
            content,
        }),
        pull_request: pr.map(|(state, title)| pull(state, title)),
        rollback: None,
        rolled_back_by: None,
        is_overtaken: false,
        title: "title".into(),
        body: "body".into(),
        message: Default::default(),
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
) -> PromotionFacts {
    PromotionFacts {
        edits: vec![],
        offers: vec![],
        decided: decided.to_vec(),
        ..facts(branch, pr)
    }
}

fn check(table: impl IntoIterator<Item = (PromotionFacts, Step)>) {
    for (facts, step) in table {
        assert_eq!(decide(&facts), step, "{facts:?}");
    }
}

#[test]
fn without_a_pull_request_the_branch_is_made_and_it_is_opened() {
    use BranchContent::*;
    use PullRequestState::*;
    check([
        (
            facts(None, None),
            Step::Propose {
                at: sha('b'),
                edits: edit(),
            },
        ),
        (
            facts(Some(('b', Nothing)), None),
            Step::Commit {
                parent: sha('b'),
                edits: edit(),
            },
        ),
        (
            facts(Some(('0', Nothing)), None),
            Step::ResetBranch {
                from: sha('0'),
                to: sha('b'),
            },
        ),
        (facts(Some(('c', Wanted)), None), Step::Open),
        (facts(Some(('c', Wanted)), Some((Merged, ""))), Step::Open),
        (
            facts(Some(('c', Conflicting)), None),
            Step::ResetBranch {
                from: sha('c'),
                to: sha('b'),
            },
        ),
    ]);
}

#[test]
fn an_open_pull_request_comes_to_propose_what_is_wanted() {
    use BranchContent::*;
    use PullRequestState::*;
    check([
        (
            facts(Some(('c', Wanted)), Some((Open, "title"))),
            Step::Settled(Outcome::Open { number: 7 }),
        ),
        (
            facts(Some(('c', Wanted)), Some((Open, "old"))),
            Step::Retitle { number: 7 },
        ),
        (
            facts(Some(('c', Outdated(edit()))), Some((Open, "old"))),
            Step::Commit {
                parent: sha('c'),
                edits: edit(),
            },
        ),
        (
            facts(Some(('c', Conflicting)), Some((Open, "old"))),
            Step::Rebuild {
                from: sha('c'),
                base: sha('b'),
                edits: edit(),
            },
        ),
        (
            facts(Some(('c', Surplus)), Some((Open, "old"))),
            Step::Rebuild {
                from: sha('c'),
                base: sha('b'),
                edits: edit(),
            },
        ),
        (
            facts(Some(('c', Foreign)), Some((Open, "title"))),
            Step::Settled(Outcome::Open { number: 7 }),
        ),
    ]);
}

#[test]
fn what_was_closed_is_proposed_again_only_if_it_is_something_else() {
    use BranchContent::*;
    use PullRequestState::*;
    check([
        (
            facts(Some(('c', Wanted)), Some((Closed, ""))),
            Step::Settled(Outcome::Rejected { number: Some(7) }),
        ),
        (facts(Some(('d', Wanted)), Some((Closed, ""))), Step::Open),
        (
            facts(None, Some((Closed, ""))),
            Step::Propose {
                at: sha('b'),
                edits: edit(),
            },
        ),
    ]);
}

#[test]
fn what_the_base_has_is_cleaned_up() {
    use BranchContent::*;
    use PullRequestState::*;
    let before = |how| [decision('a', how)];
    let nothing_left = PromotionFacts {
        candidates: vec![],
        ..without(None, None, &before(How::Dropped))
    };
    check([
        (
            without(Some(('c', Wanted)), Some((Open, "")), &before(How::Merged)),
            Step::Close { number: 7 },
        ),
        (
            without(
                Some(('c', Wanted)),
                Some((Merged, "")),
                &before(How::Merged),
            ),
            Step::DeleteBranch { head: sha('c') },
        ),
        (
            without(None, Some((Merged, "")), &before(How::Merged)),
            Step::Settled(Outcome::Done { number: Some(7) }),
        ),
        (nothing_left, Step::Settled(Outcome::Dropped)),
    ]);
}

#[test]
fn what_was_decided_on_is_not_proposed() {
    use BranchContent::*;
    use PullRequestState::*;
    let before = |how| [decision('a', how)];
    check([
        // Refused: its branch stays, so that it can be opened again.
        (
            without(
                Some(('c', Surplus)),
                Some((Closed, "")),
                &before(How::Rejected),
            ),
            Step::Settled(Outcome::Rejected { number: Some(7) }),
        ),
        (
            without(
                Some(('d', Surplus)),
                Some((Closed, "")),
                &before(How::Rejected),
            ),
            Step::DeleteBranch { head: sha('d') },
        ),
        // Taken back: nothing is proposed, and nothing is left open.
        (
            without(None, Some((Merged, "")), &before(How::Reverted)),
            Step::Settled(Outcome::Reverted {
                commit: Some(sha('1')),
            }),
        ),
        (
            without(
                Some(('c', Surplus)),
                Some((Open, "")),
                &before(How::Reverted),
            ),
            Step::Close { number: 7 },
        ),
        // What cannot be edited just now is not closed.
        (
            without(Some(('c', Foreign)), Some((Open, "")), &before(How::Failed)),
            Step::Settled(Outcome::Failed),
        ),
        (
            without(None, None, &before(How::Failed)),
            Step::Settled(Outcome::Failed),
        ),
    ]);
}
