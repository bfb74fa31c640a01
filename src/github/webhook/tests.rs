//! What deliveries are taken, and what they hint at.

use serde_json::json;

use super::*;

#[test]
fn only_a_right_signature_passes() {
    let secrets = [
        SecretString::from("new"),
        SecretString::from("It's a Secret to Everybody"),
    ];
    // GitHub's own example: "Validating webhook deliveries", testing the validation.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let known = super::signature(Some(signature)).unwrap();
    assert!(verified(&secrets, b"Hello, World!", &known));
    assert!(!verified(&secrets, b"Hello, World", &known));
    assert!(!verified(&secrets[..1], b"Hello, World!", &known));
    for bad in [
        None,
        Some(""),
        Some("sha256="),
        Some("sha1=00"),
        Some("sha256=zz"),
    ] {
        assert!(super::signature(bad).is_none(), "{bad:?}");
    }
}

const LINE: &str = "pull_request_review_comment";

fn repo() -> RepoName {
    "acme/config".parse().unwrap()
}

fn sha() -> String {
    "a".repeat(40)
}

fn commit() -> CommitSha {
    sha().parse().unwrap()
}

fn by_us(mut payload: Value) -> Value {
    payload["sender"] = json!({"login": "windlass[bot]"});
    payload
}

/// Each row: an event, its payload (of `acme/config`), and what it hints at.
fn holds<const N: usize>(table: [(&str, Value, Option<Hint>); N]) {
    for (event, mut payload, expected) in table {
        payload["repository"] = json!({"full_name": "acme/config"});
        let parsed = serde_json::from_value(payload.clone()).unwrap();
        let found = hint(event, &parsed, Some("windlass[bot]"));
        assert_eq!(found, expected, "{event} {payload}");
        assert!(found.is_none() || is_relevant(event), "{event}");
    }
}

#[test]
fn what_happens_on_a_pull_request_says_where_to_look_and_no_more() {
    let pull = |fact| {
        let key = PullRequestKey {
            repo: repo(),
            number: 7,
        };
        Some(Hint::PullRequest { key, fact })
    };
    let of = |action: &str| json!({"action": action, "pull_request": {"number": 7, "head": {"sha": sha()}}});
    let head = || pull(Some(PullFact::Head(commit())));
    let third = || pull(Some(PullFact::Comment(3)));
    let comment = |action: &str, body: &str| json!({"action": action, "issue": {"number": 7, "pull_request": {}}, "comment": {"id": 3, "body": body}});
    let on_line = |action: &str, body: &str| json!({"action": action, "pull_request": {"number": 7}, "comment": {"id": 4, "body": body}});
    holds([
        ("pull_request", of("opened"), head()),
        ("pull_request", by_us(of("opened")), head()),
        (
            "pull_request",
            of("closed"),
            pull(Some(PullFact::Open(false))),
        ),
        ("pull_request", of("edited"), pull(None)),
        ("pull_request", by_us(of("edited")), None),
        ("pull_request", of("labeled"), None),
        (
            "issue_comment",
            comment("created", "thanks\n  /sync"),
            third(),
        ),
        (
            "issue_comment",
            comment("created", "thanks\r/sync"),
            third(),
        ),
        ("issue_comment", comment("created", "thanks"), None),
        ("issue_comment", comment("edited", "thanks"), pull(None)),
        ("issue_comment", by_us(comment("created", "/sync")), None),
        (
            "issue_comment",
            json!({"action": "created", "issue": {"number": 7}}),
            None,
        ),
        (LINE, on_line("created", "  /sync"), pull(None)),
        (LINE, on_line("created", "a/b"), None),
        (LINE, on_line("edited", "thanks"), pull(None)),
        (LINE, by_us(on_line("created", "/sync")), None),
        (
            "pull_request_review",
            json!({"action": "submitted", "review": {"id": 5}, "pull_request": {"number": 7}}),
            pull(Some(PullFact::Review(5))),
        ),
    ]);
}

#[test]
fn what_happens_elsewhere_says_where_to_look_and_no_more() {
    let (repo, sha, zero, commit) = (repo(), sha(), "0".repeat(40), commit());
    let branch = |at_least| {
        Some(Hint::Branch {
            repo: repo.clone(),
            branch: "a/b".into(),
            at_least,
        })
    };
    let checks = Some(Hint::Checks {
        repo: repo.clone(),
        commit: commit.clone(),
    });
    let rerequested = Some(Hint::Rerequested {
        repo: repo.clone(),
        commit: commit.clone(),
    });
    let group = Some(Hint::MergeGroup(MergeGroup {
        repo: repo.clone(),
        branch: "main".into(),
        head: commit.clone(),
        head_ref: "refs/heads/gh-readonly-queue/main/pr-1".into(),
    }));
    let run = |action: &str| json!({"action": action, "check_run": {"head_sha": sha}});
    holds([
        (
            "push",
            json!({"ref": "refs/heads/a/b", "after": sha}),
            branch(Some(commit.clone())),
        ),
        (
            "push",
            json!({"ref": "refs/heads/a/b", "after": zero}),
            branch(None),
        ),
        ("push", json!({"ref": "refs/tags/v1"}), None),
        ("check_run", run("completed"), checks.clone()),
        ("check_run", by_us(run("completed")), None),
        ("check_run", run("created"), None),
        ("check_run", run("rerequested"), rerequested),
        ("status", json!({"sha": sha}), checks),
        (
            "merge_group",
            json!({"action": "checks_requested", "merge_group": {"head_sha": sha, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "base_ref": "refs/heads/main"}}),
            group,
        ),
        ("installation", json!({}), Some(Hint::Installations)),
        ("installation_target", json!({}), Some(Hint::Installations)),
        ("unheard_of", json!({"ref": {"a": 1}, "action": 7}), None),
    ]);
}
