//! What is decided on a candidate, and what is offered; `steps` has the next step of each state.

use super::decision::MOST_DECIDED;
use super::*;
use crate::domain::ApplicationKey;
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

/// What was decided before, what is seen, and the letters of what is decided then.
type Row = (&'static str, Vec<Decision>, Sight, &'static str);

fn check(pull: Option<PullRequest>, table: impl IntoIterator<Item = Row>) {
    for (name, before, sight, expected) in table {
        assert_eq!(judged(&before, sight, pull.clone()), expected, "{name}");
    }
}

#[test]
fn what_the_base_has_was_merged() {
    use There::*;
    let merged = || vec![decision('a', How::Merged)];
    check(
        None,
        [
            (
                "first seen there",
                vec![],
                sight('a', Same, &['a'], None),
                "a:Mer",
            ),
            (
                "seen again",
                merged(),
                sight('a', Same, &['a'], past('a', true, None)),
                "a:Mer",
            ),
            ("never there", vec![], sight('a', Other, &['0'], None), ""),
            (
                "an older view, or set back",
                merged(),
                sight('a', Other, &['0'], past('a', false, None)),
                "a:Mer",
            ),
            (
                "one more place",
                merged(),
                sight('a', Other, &['a', '0'], past('a', true, None)),
                "a:Mer",
            ),
        ],
    );
}

#[test]
fn what_a_person_does_in_git_is_decided() {
    use There::*;
    let before = |how| vec![decision('a', how)];
    let taken = || past('a', true, Some('e'));
    let gone = || Impossible {
        why: "no".into(),
        gone: true,
    };
    check(
        None,
        [
            (
                "taken back",
                before(How::Merged),
                sight('a', Other, &['0'], taken()),
                "a:Rev",
            ),
            (
                "merged and taken back unseen",
                before(How::Proposed),
                sight('a', Other, &['0'], taken()),
                "a:Rev",
            ),
            (
                "stays taken back",
                before(How::Reverted),
                sight('a', Other, &['0'], None),
                "a:Rev",
            ),
            (
                "set again by hand",
                before(How::Reverted),
                sight('a', Same, &['a'], None),
                "a:Mer",
            ),
            (
                "replaced by hand",
                vec![decision('c', How::Merged)],
                sight('c', Other, &['b'], past('c', true, Some('e'))),
                "c:Rev",
            ),
            (
                "taken out",
                before(How::Merged),
                sight('a', gone(), &[], taken()),
                "a:Rev",
            ),
            (
                "stays out",
                before(How::Reverted),
                sight('a', gone(), &[], None),
                "a:Rev",
            ),
        ],
    );
}

#[test]
fn what_comes_in_the_place_of_another_is_no_revert() {
    use There::*;
    let merged = || vec![decision('a', How::Merged)];
    let back = vec![decision('b', How::Merged), decision('a', How::Proposed)];
    check(
        None,
        [
            (
                "a newer one came",
                merged(),
                sight('b', Same, &['b'], past('a', true, None)),
                "a:Mer b:Mer",
            ),
            (
                "between two of ours",
                merged(),
                sight('c', Other, &['b'], past('a', true, Some('e'))),
                "a:Mer b:Mer",
            ),
            (
                "a step back of ours",
                back,
                sight('c', Other, &['a'], past('b', true, Some('e'))),
                "b:Mer a:Mer",
            ),
            (
                "while the next waits",
                merged(),
                sight('b', Other, &['0'], past('a', true, Some('e'))),
                "a:Rev",
            ),
        ],
    );
}

#[test]
fn what_cannot_be_put_in_fails_as_long_as_that_is_so() {
    use There::*;
    let before = |how| vec![decision('a', how)];
    let impossible = |gone| Impossible {
        why: "no".into(),
        gone,
    };
    check(
        None,
        [
            (
                "never in any file",
                vec![],
                sight('a', impossible(true), &[], None),
                "a:Fai",
            ),
            (
                "not to be edited",
                before(How::Merged),
                sight('a', impossible(false), &['0'], past('a', true, None)),
                "a:Mer a:Fai",
            ),
            (
                "mended",
                before(How::Failed),
                sight('a', Other, &['0'], None),
                "",
            ),
            (
                "no rule any more",
                before(How::Proposed),
                sight('a', Unnamed, &['0'], None),
                "a:Dro",
            ),
        ],
    );
}

#[test]
fn a_pull_request_that_a_person_closes_is_rejected_until_it_is_opened_again() {
    use PullRequestState::*;
    let before = |how| vec![decision('a', how)];
    let other = || sight('a', There::Other, &['0'], None);
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
        Some("this goes back: ta was announced before tb, which Git has now")
    );
    assert_eq!(
        doubt(other('a', &['0']), &[decision('a', How::Merged)]).as_deref(),
        Some("the stage had ta before and does not have it now")
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
