//! What is decided on a candidate, and what is offered; `steps` has the next step of each state.

use super::decision::MOST_DECIDED;
use super::*;
use crate::domain::StageKey;
use crate::domain::image::Digest;

mod steps;

fn sha(c: char) -> CommitSha {
    c.to_string().repeat(40).parse().unwrap()
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
        reintroduced: false,
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

fn past(c: char, in_history: bool, taken: Option<char>) -> Option<LastMerged> {
    Some(LastMerged {
        digest: digest(c),
        tag: candidate(c).tag,
        in_history,
        reverted_by: taken.map(sha),
    })
}

fn state(c: char, in_base: InBase, now: &[char], past: Option<LastMerged>) -> CandidateState {
    CandidateState {
        candidate: candidate(c),
        in_base,
        base_digests: now.iter().map(|c| Some(digest(*c))).collect(),
        last_merged: past,
    }
}

/// The letters of the decisions, each with the first three of its `How`.
fn decided_on(before: &[Decision], state: CandidateState, pull: Option<PullRequest>) -> String {
    let announced: Vec<_> = ['a', 'b', 'c'].map(candidate).into();
    let decided = refresh_decisions(
        before,
        std::slice::from_ref(&state),
        &announced,
        &sha('f'),
        pull.as_ref(),
    );
    // A second run changes nothing.
    let mut again = state.clone();
    if let Some(merged) =
        last_merged(&decided, "acme/shop").filter(|decision| decision.commit == Some(sha('f')))
    {
        again.last_merged = Some(LastMerged {
            digest: merged.digest.clone(),
            tag: merged.tag.clone(),
            in_history: true,
            reverted_by: None,
        });
    }
    assert_eq!(
        refresh_decisions(&decided, &[again], &announced, &sha('f'), pull.as_ref()),
        decided
    );
    let letter = |decision: &Decision| {
        format!(
            "{}:{:.3}",
            &decision.digest.short()[..1],
            format!("{:?}", decision.how)
        )
    };
    decided.iter().map(letter).collect::<Vec<_>>().join(" ")
}

/// The decisions before, the state in Git, and the letters of the decisions after.
type Row = (&'static str, Vec<Decision>, CandidateState, &'static str);

fn check(pull: Option<PullRequest>, table: impl IntoIterator<Item = Row>) {
    for (name, before, state, expected) in table {
        assert_eq!(decided_on(&before, state, pull.clone()), expected, "{name}");
    }
}

#[test]
fn what_the_base_has_was_merged() {
    use InBase::*;
    let merged = || vec![decision('a', How::Merged)];
    check(
        None,
        [
            (
                "first seen there",
                vec![],
                state('a', Same, &['a'], None),
                "a:Mer",
            ),
            (
                "seen again",
                merged(),
                state('a', Same, &['a'], past('a', true, None)),
                "a:Mer",
            ),
            (
                "never there",
                vec![],
                state('a', Different, &['0'], None),
                "",
            ),
            (
                "an older view, or set back",
                merged(),
                state('a', Different, &['0'], past('a', false, None)),
                "a:Mer",
            ),
            (
                "one more place",
                merged(),
                state('a', Different, &['a', '0'], past('a', true, None)),
                "a:Mer",
            ),
        ],
    );
}

#[test]
fn what_a_person_does_in_git_is_decided() {
    use InBase::*;
    let before = |how| vec![decision('a', how)];
    let taken = || past('a', true, Some('e'));
    let removed = || CannotEdit {
        why: "no".into(),
        not_found: true,
    };
    check(
        None,
        [
            (
                "taken back",
                before(How::Merged),
                state('a', Different, &['0'], taken()),
                "a:Rev",
            ),
            (
                "merged and taken back unseen",
                before(How::Proposed),
                state('a', Different, &['0'], taken()),
                "a:Rev",
            ),
            (
                "stays taken back",
                before(How::Reverted),
                state('a', Different, &['0'], None),
                "a:Rev",
            ),
            (
                "set again by hand",
                before(How::Reverted),
                state('a', Same, &['a'], None),
                "a:Mer",
            ),
            (
                "replaced by hand",
                vec![decision('c', How::Merged)],
                state('c', Different, &['b'], past('c', true, Some('e'))),
                "c:Rev",
            ),
            (
                "taken out",
                before(How::Merged),
                state('a', removed(), &[], taken()),
                "a:Rev",
            ),
            (
                "stays out",
                before(How::Reverted),
                state('a', removed(), &[], None),
                "a:Rev",
            ),
        ],
    );
}

#[test]
fn what_comes_in_the_place_of_another_is_no_revert() {
    use InBase::*;
    let merged = || vec![decision('a', How::Merged)];
    let back = vec![decision('b', How::Merged), decision('a', How::Proposed)];
    check(
        None,
        [
            (
                "a newer one came",
                merged(),
                state('b', Same, &['b'], past('a', true, None)),
                "a:Mer b:Mer",
            ),
            (
                "between two of ours",
                merged(),
                state('c', Different, &['b'], past('a', true, Some('e'))),
                "a:Mer b:Mer",
            ),
            (
                "a step back of ours",
                back,
                state('c', Different, &['a'], past('b', true, Some('e'))),
                "b:Mer a:Mer",
            ),
            (
                "while the next waits",
                merged(),
                state('b', Different, &['0'], past('a', true, Some('e'))),
                "a:Rev",
            ),
        ],
    );
}

#[test]
fn what_cannot_be_put_in_fails_as_long_as_that_is_so() {
    use InBase::*;
    let before = |how| vec![decision('a', how)];
    let cannot_edit = |not_found| CannotEdit {
        why: "no".into(),
        not_found,
    };
    check(
        None,
        [
            (
                "never in any file",
                vec![],
                state('a', cannot_edit(true), &[], None),
                "a:Fai",
            ),
            (
                "not to be edited",
                before(How::Merged),
                state('a', cannot_edit(false), &['0'], past('a', true, None)),
                "a:Mer a:Fai",
            ),
            (
                "mended",
                before(How::Failed),
                state('a', Different, &['0'], None),
                "",
            ),
            (
                "no rule any more",
                before(How::Proposed),
                state('a', NotConfigured, &['0'], None),
                "a:Dro",
            ),
        ],
    );
}

#[test]
fn a_pull_request_that_a_person_closes_is_rejected_until_it_is_opened_again() {
    use PullRequestState::*;
    let before = |how| vec![decision('a', how)];
    let other = || state('a', InBase::Different, &['0'], None);
    check(
        Some(pull(Closed, "")),
        [
            ("closed", before(How::Proposed), other(), "a:Rej"),
            (
                "another tag of what was refused",
                before(How::Rejected),
                other(),
                "a:Rej",
            ),
        ],
    );
    check(
        Some(pull(Open, "")),
        [("opened again", before(How::Rejected), other(), "a:Pro")],
    );
}

#[test]
fn what_was_decided_on_is_not_offered_and_a_step_back_is_called_one() {
    let announced: Vec<_> = ['a', 'b'].map(candidate).into();
    let other = |c: char, now: &[char]| state(c, InBase::Different, now, None);
    let reason = |state: CandidateState, decided: &[Decision]| {
        state
            .offer(&announced, decided)
            .map(|offer| offer.manual_merge_reason().unwrap_or_default())
    };
    for how in [How::Rejected, How::Reverted] {
        assert_eq!(reason(other('a', &['0']), &[decision('a', how)]), None);
        assert_eq!(
            reason(other('b', &['0']), &[decision('a', how)]).as_deref(),
            Some(""),
            "the next one is offered"
        );
        assert!(wanted(&[candidate('a')], &[decision('a', how)]).is_empty());
    }
    assert_eq!(reason(other('b', &['a']), &[]).as_deref(), Some(""));
    assert_eq!(
        reason(other('a', &['b']), &[]).as_deref(),
        Some("this goes back: ta was announced before tb, which Git has now")
    );
    assert_eq!(
        reason(other('a', &['0']), &[decision('a', How::Merged)]).as_deref(),
        Some("the stage had ta before and does not have it now")
    );
    assert_eq!(
        reason(other('a', &['a', '0']), &[decision('a', How::Merged)]).as_deref(),
        Some(""),
        "one more place"
    );
    assert_eq!(
        reason(
            state('a', InBase::Retagged, &['a'], None),
            &[decision('a', How::Merged)]
        )
        .as_deref(),
        Some("")
    );
    assert_eq!(reason(state('a', InBase::Same, &['a'], None), &[]), None);
    let key = StageKey {
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
