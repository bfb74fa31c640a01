//! The permissions that events need before an App may subscribe to them
//! (docs.github.com/webhooks/webhook-events-and-payloads; the refusal: derive-to/derive#269).

use serde_json::Value;

const NEEDED: &[(&str, &str)] = &[
    ("check_run", "checks"),
    ("check_suite", "checks"),
    ("create", "contents"),
    ("delete", "contents"),
    ("deployment", "deployments"),
    ("deployment_status", "deployments"),
    ("issue_comment", "issues"),
    ("issues", "issues"),
    ("member", "members"),
    ("merge_group", "merge_queues"),
    ("pull_request", "pull_requests"),
    ("pull_request_review", "pull_requests"),
    ("pull_request_review_comment", "pull_requests"),
    ("push", "contents"),
    ("repository_dispatch", "contents"),
    ("status", "statuses"),
    ("workflow_run", "actions"),
];

/// The events of a manifest whose permission it does not ask for.
pub fn unsupported(manifest: &Value) -> Vec<&'static str> {
    let asked = |event: &str| {
        let events = manifest["default_events"].as_array();
        events.is_some_and(|events| events.iter().any(|one| one == event))
    };
    NEEDED
        .iter()
        .filter(|(event, needed)| asked(event) && manifest["default_permissions"][needed].is_null())
        .map(|(event, _)| *event)
        .collect()
}
