//! Merge queues: what waits, what is tested, what is merged, and what is thrown out.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::{MergeMethod, Rule};

use super::Desk;

const ENQUEUE: &str = "mutation($input: EnqueuePullRequestInput!) { enqueuePullRequest(input: $input) { clientMutationId mergeQueueEntry { id position state jump headCommit { oid } pullRequest { number } } } }";
const DEQUEUE: &str = "mutation($input: DequeuePullRequestInput!) { dequeuePullRequest(input: $input) { mergeQueueEntry { id } } }";

impl Desk {
    async fn queued() -> Self {
        let desk = Self::new().await;
        desk.rule(Rule {
            branch: "main".into(),
            status_checks: vec!["ci".into()],
            merge_queue: Some(MergeMethod::Merge),
            ..Rule::default()
        });
        desk
    }

    /// A pull request whose own checks are green.
    fn ready(&self, branch: &str) -> u64 {
        let number = self.propose(branch, &format!("{branch}.txt"));
        self.says(&self.head(number), "success");
        number
    }

    fn says(&self, sha: &str, state: &str) {
        let body = json!({"context": "ci", "state": state});
        let path = format!("statuses/{sha}");
        self.try_as("mia", Method::POST, &path, body).unwrap();
    }

    fn node(&self, number: u64) -> Value {
        self.read(&format!("pulls/{number}"))["node_id"].clone()
    }

    async fn enqueue(&self, number: u64) -> Value {
        let input =
            json!({"pullRequestId": self.node(number), "expectedHeadOid": self.head(number)});
        self.graphql(ENQUEUE, input).await
    }

    fn merged(&self, number: u64) -> bool {
        self.read(&format!("pulls/{number}"))["merged"] == true
    }

    /// The `merge_group` and `pull_request` events since the last look: name, and the group's head
    /// or the reason.
    fn told(&self) -> Vec<(String, String)> {
        let events = self.events().into_iter();
        let events = events.filter(|(name, _)| name != "push" && !name.contains("opened"));
        let word = |payload: &Value| {
            let reason = payload["reason"].as_str();
            let head = payload["merge_group"]["head_sha"].as_str();
            reason.or(head).unwrap_or_default().to_string()
        };
        events
            .map(|(name, payload)| (name, word(&payload)))
            .collect()
    }
}

fn names(told: &[(String, String)]) -> Vec<String> {
    let words = told.iter().map(|(name, word)| {
        let id = word.len() == 40 || word.is_empty();
        if id {
            name.clone()
        } else {
            format!("{name} {word}")
        }
    });
    words.collect()
}

#[tokio::test]
async fn a_queue_merges_what_is_green_on_the_groups_head() {
    let desk = Desk::queued().await;
    let number = desk.ready("one");
    desk.refused(number, "Changes must be made through the merge queue");
    let before = desk.tip("main");
    desk.events();
    let answer = desk.enqueue(number).await;
    let entry = &answer["data"]["enqueuePullRequest"]["mergeQueueEntry"];
    assert_eq!(
        (&entry["position"], &entry["state"]),
        (&json!(1), &json!("QUEUED"))
    );
    assert_eq!(entry["pullRequest"]["number"], number);
    let told = desk.told();
    assert_eq!(
        names(&told),
        ["pull-request-enqueued", "merge-group-checks-requested"]
    );
    let group = &told[1].1;
    let branch = format!("gh-readonly-queue/main/pr-{number}-{before}");
    assert_eq!(desk.tip(&branch), *group);
    desk.refused(number, "Pull Request is in the merge queue");
    let again = desk.enqueue(number).await;
    assert_eq!(
        again["errors"][0]["message"],
        "Pull request is already in the queue"
    );
    desk.says(group, "pending");
    assert!(!desk.merged(number));
    desk.says(group, "success");
    assert!(desk.merged(number));
    assert_eq!(desk.tip("main"), *group);
    assert_eq!(
        names(&desk.told()),
        [
            "pull-request-closed",
            "merge-group-destroyed merged",
            "pull-request-dequeued MERGE"
        ]
    );
    let branches = desk.git(&["for-each-ref", "refs/heads/gh-readonly-queue"]);
    assert_eq!(branches, "");
}

#[tokio::test]
async fn a_failure_leaves_the_queue_and_those_behind_are_tested_anew() {
    let desk = Desk::queued().await;
    let (first, second) = (desk.ready("one"), desk.ready("two"));
    desk.enqueue(first).await;
    desk.enqueue(second).await;
    let told = desk.told();
    let groups: Vec<_> = told
        .iter()
        .filter(|(name, _)| name == "merge-group-checks-requested")
        .map(|(_, head)| head.clone())
        .collect();
    // The second stands on the first, and waits for it.
    assert_eq!(
        desk.git(&["rev-parse", &format!("{}^", groups[1])]),
        groups[0]
    );
    desk.says(&groups[1], "success");
    assert!(!desk.merged(second));
    desk.says(&groups[0], "failure");
    let told = desk.told();
    assert_eq!(
        names(&told),
        [
            "merge-group-destroyed invalidated",
            "pull-request-dequeued CI_FAILURE",
            "merge-group-destroyed invalidated",
            "merge-group-checks-requested",
        ]
    );
    assert!(!desk.merged(first) && !desk.merged(second));
    desk.says(&told[3].1, "success");
    assert!(desk.merged(second));
}

#[tokio::test]
async fn who_may_not_be_queued_and_who_leaves() {
    let desk = Desk::queued().await;
    let number = desk.propose("one", "one.txt");
    let refused = desk.enqueue(number).await;
    assert_eq!(
        refused["errors"][0]["message"],
        "Pull request Required status check \"ci\" is expected."
    );
    desk.says(&desk.head(number), "success");
    let input = json!({"pullRequestId": desk.node(number), "expectedHeadOid": "0".repeat(40)});
    let stale = desk.graphql(ENQUEUE, input).await;
    assert_eq!(stale["errors"][0]["type"], "UNPROCESSABLE");
    desk.enqueue(number).await;
    desk.events();
    let input = json!({"id": desk.node(number)});
    let left = desk.graphql(DEQUEUE, input).await;
    assert!(left["errors"].is_null(), "{left}");
    assert_eq!(
        names(&desk.told()),
        [
            "merge-group-destroyed dequeued",
            "pull-request-dequeued MANUAL"
        ]
    );
    // A push puts it out of the queue as well.
    desk.enqueue(number).await;
    desk.events();
    desk.push("bob", "one", "more.txt", "more\n");
    let told = names(&desk.told());
    assert!(
        told.contains(&"pull-request-dequeued MANUAL".to_string()),
        "{told:?}"
    );
    // And so does what cannot be merged.
    let clash = desk.ready("README");
    desk.push("bob", "README", "README.md", "mine\n");
    desk.says(&desk.head(clash), "success");
    desk.push("ada", "main", "README.md", "theirs\n");
    desk.events();
    desk.enqueue(clash).await;
    assert_eq!(
        names(&desk.told()),
        [
            "pull-request-enqueued",
            "pull-request-dequeued MERGE_CONFLICT"
        ]
    );
}

/// Without the permission there is no such event.
#[tokio::test]
async fn groups_are_told_to_apps_that_may_hear_of_queues() {
    let desk = Desk::queued().await;
    desk.forge.state().app.permissions.remove("merge_queues");
    let number = desk.ready("one");
    desk.enqueue(number).await;
    assert_eq!(names(&desk.told()), ["pull-request-enqueued"]);
}
