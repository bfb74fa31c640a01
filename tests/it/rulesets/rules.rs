//! Each demand of a ruleset on a pull request: refused, and then satisfied.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::{MergeMethod, RequiredCheck, Rule};

use super::Desk;

fn main_rule() -> Rule {
    Rule {
        branch: "main".into(),
        ..Rule::default()
    }
}

#[tokio::test]
async fn approvals_count_by_the_last_opinion_of_each_writer() {
    let desk = Desk::new().await;
    let number = desk.propose("topic", "a.txt");
    desk.rule(Rule {
        approvals: 2,
        ..main_rule()
    });
    let missing = "At least 2 approving reviews are required by reviewers with write access.";
    desk.review("rita", number, "APPROVE");
    desk.review("mia", number, "APPROVE");
    let again = desk.review("mia", number, "APPROVE");
    desk.refused(number, missing);
    desk.review("ada", number, "REQUEST_CHANGES");
    desk.refused(number, "Changes have been requested.");
    desk.review("ada", number, "APPROVE");
    desk.review("ada", number, "COMMENT");
    // A dismissal does not bring the approval before it back.
    let dismissal = format!("pulls/{number}/reviews/{again}/dismissals");
    let reason = || json!({"message": "Not any more", "event": "DISMISS"});
    let dismissed = desk.try_as("ada", Method::PUT, &dismissal, reason());
    assert_eq!(dismissed.unwrap()["state"], "DISMISSED");
    let twice = desk.try_as("ada", Method::PUT, &dismissal, reason());
    assert!(twice.unwrap_err().contains("Can not dismiss a dismissed"));
    let reader = desk.try_as("rita", Method::PUT, &dismissal, reason());
    assert!(reader.unwrap_err().contains(": 403 "));
    desk.refused(number, missing);
    let state = &desk.read(&format!("pulls/{number}"))["mergeable_state"];
    assert_eq!(state, "blocked");
    desk.review("mia", number, "APPROVE");
    let state = &desk.read(&format!("pulls/{number}"))["mergeable_state"];
    assert_eq!(state, "clean");
    desk.merge(number, "merge").unwrap();
}

#[tokio::test]
async fn a_push_dismisses_stale_approvals_and_needs_one_of_somebody_else() {
    let desk = Desk::new().await;
    let number = desk.propose("topic", "a.txt");
    desk.rule(Rule {
        approvals: 1,
        dismiss_stale_reviews_on_push: true,
        ..main_rule()
    });
    desk.review("mia", number, "APPROVE");
    desk.events();
    desk.push("mia", "topic", "b.txt", "more\n");
    let events = desk.events();
    let dismissed = events
        .iter()
        .find(|(name, _)| name == "pull-request-review-dismissed");
    assert_eq!(dismissed.unwrap().1["review"]["state"], "dismissed");
    desk.refused(number, "At least 1 approving review is required");
    desk.rule(Rule {
        require_last_push_approval: true,
        ..main_rule()
    });
    desk.review("mia", number, "APPROVE");
    desk.refused(
        number,
        "New changes require approval from someone other than the last pusher.",
    );
    desk.review("ada", number, "APPROVE");
    desk.merge(number, "merge").unwrap();
}

#[tokio::test]
async fn code_owners_of_the_base_have_to_approve_and_conversations_to_end() {
    let desk = Desk::new().await;
    desk.forge
        .state()
        .teams
        .insert(("acme".into(), "apps".into()), vec!["mia".into()]);
    let owners = "* @ada\n/apps/ @acme/apps\n";
    desk.push("ada", "main", ".github/CODEOWNERS", owners);
    let number = desk.propose("topic", "apps/shop.yaml");
    // The head's own file has no say.
    desk.push("bob", "topic", ".github/CODEOWNERS", "");
    desk.rule(Rule {
        require_code_owner_review: true,
        required_review_thread_resolution: true,
        ..main_rule()
    });
    let threads = |left: usize| {
        let mut state = desk.forge.state();
        let repo = state.by_full_name_mut(super::REPOSITORY).unwrap();
        repo.pulls[0].unresolved_threads = left;
    };
    desk.refused(
        number,
        "Waiting on code owner review from acme/apps and/or ada.",
    );
    desk.review("ada", number, "APPROVE");
    desk.refused(number, "Waiting on code owner review from acme/apps.");
    desk.review("mia", number, "APPROVE");
    threads(1);
    desk.refused(
        number,
        "A conversation must be resolved before this pull request can be merged.",
    );
    threads(0);
    desk.merge(number, "merge").unwrap();
}

#[tokio::test]
async fn merges_are_by_allowed_methods_alone() {
    let desk = Desk::new().await;
    let number = desk.propose("topic", "a.txt");
    let allow = |merge: bool, squash: bool, rebase: bool| {
        let mut state = desk.forge.state();
        let repo = state.by_full_name_mut(super::REPOSITORY).unwrap();
        repo.allow_merge_commit = merge;
        repo.allow_squash_merge = squash;
        repo.allow_rebase_merge = rebase;
    };
    allow(false, false, false);
    for (method, words) in [
        ("merge", "Merge commits are not allowed on this repository."),
        (
            "squash",
            "Squash merges are not allowed on this repository.",
        ),
        (
            "rebase",
            "Rebase merges are not allowed on this repository.",
        ),
    ] {
        let refusal = desk.merge(number, method).expect_err(method);
        assert!(
            refusal.contains(": 405 ") && refusal.contains(words),
            "{refusal}"
        );
    }
    let told = desk.forge.as_user(
        "ada",
        Method::GET,
        &format!("/repos/{}", super::REPOSITORY),
        Value::Null,
    );
    assert_eq!(told.unwrap()["allow_rebase_merge"], false);
    allow(true, true, true);
    desk.rule(Rule {
        required_linear_history: true,
        ..main_rule()
    });
    desk.refused(number, "This branch must not contain merge commits.");
    desk.rule(Rule {
        allowed_merge_methods: vec![MergeMethod::Squash],
        ..main_rule()
    });
    desk.refused(number, "Merge commits are not allowed");
    desk.merge(number, "squash").unwrap();
}

#[tokio::test]
async fn required_checks_are_of_the_app_that_they_name_and_heads_up_to_date() {
    let desk = Desk::new().await;
    let number = desk.propose("topic", "a.txt");
    let app = desk.forge.state().app.id;
    desk.rule(Rule {
        status_checks: vec![
            "ci".into(),
            RequiredCheck {
                context: "gate".into(),
                integration_id: Some(app),
            },
        ],
        strict: true,
        ..main_rule()
    });
    let green = |context: &str, state: &str| {
        let path = format!("statuses/{}", desk.head(number));
        let body = json!({"context": context, "state": state});
        desk.try_as("mia", Method::POST, &path, body).unwrap();
    };
    let gate = async |conclusion: &str| {
        let body = json!({"name": "gate", "head_sha": desk.head(number), "conclusion": conclusion});
        let (status, _) = desk.app(Method::POST, "check-runs", body).await;
        assert_eq!(status, 201);
    };
    desk.refused(number, "2 of 2 required status checks are expected.");
    // Anybody may say so, and it does not count.
    green("gate", "success");
    green("CI", "success");
    desk.refused(number, "Required status check \\\"gate\\\" is expected.");
    gate("failure").await;
    desk.refused(number, "Required status check \\\"gate\\\" is failing.");
    gate("skipped").await;
    desk.push("ada", "main", "README.md", "moved on\n");
    desk.refused(number, "2 of 2 required status checks are expected.");
    desk.read(&format!("pulls/{number}"));
    let behind = &desk.read(&format!("pulls/{number}"))["mergeable_state"];
    assert_eq!(behind, "behind");
    let merged = desk.git(&["merge-tree", "--write-tree", "main", "topic"]);
    let update = desk.git(&[
        "-c",
        "user.name=bob",
        "-c",
        "user.email=b@b",
        "commit-tree",
        &merged,
        "-p",
        "topic",
        "-p",
        "main",
        "-m",
        "Update",
    ]);
    let moved = json!({"sha": update});
    desk.try_as("bob", Method::PATCH, "git/refs/heads/topic", moved)
        .unwrap();
    green("ci", "success");
    gate("success").await;
    desk.merge(number, "merge").unwrap();
}

#[tokio::test]
async fn the_rules_of_a_branch_are_told() {
    let desk = Desk::new().await;
    assert_eq!(desk.read("rules/branches/main"), json!([]));
    desk.rule(Rule {
        approvals: 1,
        status_checks: vec!["ci".into()],
        required_linear_history: true,
        merge_queue: Some(MergeMethod::Squash),
        restrict_creation: true,
        restrict_update: true,
        restrict_deletion: true,
        non_fast_forward: true,
        branch: "~ALL".into(),
        ..Rule::default()
    });
    let told = desk.read("rules/branches/any/branch");
    let types = told.as_array().unwrap().iter();
    let types: Vec<_> = types.map(|rule| rule["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "creation",
            "update",
            "deletion",
            "required_linear_history",
            "non_fast_forward",
            "pull_request",
            "required_status_checks",
            "merge_queue",
        ]
    );
    let parameters = &told[5]["parameters"];
    assert_eq!(parameters["required_approving_review_count"], 1);
    assert_eq!(told[7]["parameters"]["merge_method"], "SQUASH");
}

/// Each of two commits lands with its author, in one push; a squash lands as one.
#[tokio::test]
async fn a_rebase_lands_every_commit_and_a_squash_one() {
    let desk = Desk::new().await;
    let number = desk.propose("topic", "a.txt");
    desk.push("mia", "topic", "b.txt", "b\n");
    let before = desk.push("ada", "main", "README.md", "moved on\n");
    desk.events();
    let sha = desk.merge(number, "rebase").unwrap();
    assert_eq!(desk.tip("main"), sha);
    let landed = format!("{before}..main");
    let log = desk.git(&["log", "--format=%an %cn: %s", &landed]);
    assert_eq!(log, "mia GitHub: Write b.txt\nbob GitHub: Write a.txt");
    assert_eq!(desk.git(&["show", "main:README.md"]), "moved on");
    let first = desk.git(&["rev-parse", "main^"]);
    let pulls = desk.read(&format!("commits/{first}/pulls"));
    assert_eq!(pulls[0]["number"], number);
    assert_eq!(pulls[0]["merge_commit_sha"], sha);
    let pushes = desk.events();
    let pushes: Vec<_> = pushes.iter().filter(|(name, _)| name == "push").collect();
    assert_eq!(pushes.len(), 1);
    assert_eq!(pushes[0].1["commits"].as_array().unwrap().len(), 2);

    let number = desk.propose("squashed", "c.txt");
    desk.push("mia", "squashed", "d.txt", "d\n");
    desk.merge(number, "squash").unwrap();
    let wanted = format!(
        "bob: Propose squashed (#{number})\n\n* Write c.txt\n\nBecause.\n\n* Write d.txt\n\nBecause.\n\n---------\n\nCo-authored-by: mia <"
    );
    let message = desk.git(&["log", "-1", "--format=%an: %B", "main"]);
    assert!(message.starts_with(&wanted), "{message}");
    let number = desk.propose("clash", "README.md");
    desk.push("ada", "main", "README.md", "otherwise\n");
    let refusal = desk.merge(number, "rebase").unwrap_err();
    assert!(
        refusal.contains("This branch can't be rebased"),
        "{refusal}"
    );
}
