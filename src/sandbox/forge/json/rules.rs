//! The rules of a branch, in the shapes of `repository-rule-detailed`.

use serde_json::{Value, json};

use super::Shapes;
use crate::sandbox::forge::state::{MergeMethod, Repository, Rule};

impl Shapes<'_> {
    /// All that the rules demand of a branch; each rule stands for a ruleset of its own.
    pub fn rules(&self, repo: &Repository, branch: &str) -> Vec<Value> {
        let mut told = Vec::new();
        let rules = repo.rules.iter().enumerate();
        for (index, rule) in rules.filter(|(_, rule)| rule.holds_for(branch)) {
            for (kind, parameters) in demands(rule) {
                let mut value = json!({"type": kind, "ruleset_source_type": "Repository", "ruleset_source": repo.full_name(),
                    "ruleset_id": index + 1});
                if !parameters.is_null() {
                    value["parameters"] = parameters;
                }
                told.push(value);
            }
        }
        told
    }
}

fn demands(rule: &Rule) -> Vec<(&'static str, Value)> {
    let mut found = Vec::new();
    let mut plain = |is: bool, kind: &'static str, parameters: Value| {
        if is {
            found.push((kind, parameters));
        }
    };
    plain(rule.restrict_creation, "creation", Value::Null);
    plain(
        rule.restrict_update,
        "update",
        json!({"update_allows_fetch_and_merge": false}),
    );
    plain(rule.restrict_deletion, "deletion", Value::Null);
    plain(
        rule.required_linear_history,
        "required_linear_history",
        Value::Null,
    );
    plain(rule.non_fast_forward, "non_fast_forward", Value::Null);
    plain(
        rule.wants_pull_request(),
        "pull_request",
        pull_request(rule),
    );
    plain(
        !rule.status_checks.is_empty(),
        "required_status_checks",
        status_checks(rule),
    );
    if let Some(method) = rule.merge_queue {
        found.push(("merge_queue", merge_queue(method)));
    }
    found
}

fn pull_request(rule: &Rule) -> Value {
    let allowed = MergeMethod::ALL
        .into_iter()
        .filter(|method| rule.allows(*method));
    let allowed: Vec<_> = allowed.map(MergeMethod::name).collect();
    json!({"required_approving_review_count": rule.approvals, "dismiss_stale_reviews_on_push": rule.dismiss_stale_reviews_on_push,
        "require_code_owner_review": rule.require_code_owner_review, "require_last_push_approval": rule.require_last_push_approval,
        "required_review_thread_resolution": rule.required_review_thread_resolution, "allowed_merge_methods": allowed})
}

fn status_checks(rule: &Rule) -> Value {
    let checks: Vec<_> = rule
        .status_checks
        .iter()
        .map(|check| {
            let mut value = json!({"context": check.context});
            if let Some(id) = check.integration_id {
                value["integration_id"] = id.into();
            }
            value
        })
        .collect();
    json!({"required_status_checks": checks, "strict_required_status_checks_policy": rule.strict})
}

/// What the forge's queues do: one pull request a group, for which all wait in line.
fn merge_queue(method: MergeMethod) -> Value {
    json!({"check_response_timeout_minutes": 60, "grouping_strategy": "ALLGREEN", "max_entries_to_build": 5, "max_entries_to_merge": 1,
        "merge_method": method.name().to_uppercase(), "min_entries_to_merge": 1, "min_entries_to_merge_wait_minutes": 0})
}
