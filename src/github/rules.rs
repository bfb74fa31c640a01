//! What GitHub's rules demand of a branch, and how the required checks of a commit stand.
//!
//! `GET rules/branches/{branch}` needs Metadata read only.

use serde::Deserialize;
use serde_json::Value;

use super::models::App;
use super::{GitHub, Result};
use crate::domain::gate::CheckState;
use crate::domain::rules::{BranchRules, MergeMethod, RequiredCheck};
use crate::domain::{CommitSha, RepoName};

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: Value,
}

/// A check run or a commit status of anybody.
#[derive(Debug, Clone)]
pub struct ReportedCheck {
    pub name: String,
    /// None: it is a commit status.
    pub app: Option<u64>,
    pub state: CheckState,
}

impl GitHub {
    /// The rules of a branch, those of all rulesets together.
    pub async fn rules(&self, repo: &RepoName, branch: &str) -> Result<BranchRules> {
        let route = format!("rules/branches/{branch}");
        let rules: Vec<Rule> = self
            .pages(repo, route, "read the rules of a branch")
            .await?;
        Ok(together(&rules))
    }

    /// The newest check runs and statuses of a commit, of every App.
    pub async fn reported_checks(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
    ) -> Result<Vec<ReportedCheck>> {
        #[derive(Deserialize)]
        struct Answer {
            check_runs: Vec<Run>,
        }
        #[derive(Deserialize)]
        struct Run {
            name: String,
            conclusion: Option<String>,
            app: Option<App>,
        }
        let route = format!("commits/{commit}/check-runs?per_page=100");
        let (statuses, Answer { check_runs }) = futures::try_join!(
            self.statuses(repo, commit),
            self.get(repo, &route, "read check runs"),
        )?;
        let runs = check_runs.into_iter().map(|run| ReportedCheck {
            name: run.name,
            app: run.app.map(|app| app.id),
            state: match run.conclusion.as_deref() {
                Some("success" | "neutral" | "skipped") => CheckState::Passed,
                Some(_) => CheckState::Failed,
                None => CheckState::Pending,
            },
        });
        let statuses = statuses.into_iter().map(|status| ReportedCheck {
            name: status.context,
            app: None,
            state: match status.state.as_str() {
                "success" => CheckState::Passed,
                "pending" => CheckState::Pending,
                _ => CheckState::Failed,
            },
        });
        Ok(runs.chain(statuses).collect())
    }
}

fn together(rules: &[Rule]) -> BranchRules {
    let mut all = BranchRules::default();
    for Rule { kind, parameters } in rules {
        let flag = |name: &str| parameters[name].as_bool().unwrap_or_default();
        match kind.as_str() {
            "pull_request" => {
                let count = parameters["required_approving_review_count"].as_u64();
                let count = count.and_then(|count| usize::try_from(count).ok());
                all.approvals = all.approvals.max(count.unwrap_or_default());
                all.code_owners |= flag("require_code_owner_review");
                all.last_push |= flag("require_last_push_approval");
                all.threads_resolved |= flag("required_review_thread_resolution");
                if let Some(named) = parameters["allowed_merge_methods"].as_array() {
                    let is_named = |method: &MergeMethod| {
                        let before = all.methods.as_ref();
                        named.iter().any(|name| name == method.word())
                            && before.is_none_or(|before| before.contains(method))
                    };
                    all.methods = Some(MergeMethod::ALL.into_iter().filter(is_named).collect());
                }
            }
            "required_status_checks" => {
                let checks = parameters["required_status_checks"].as_array();
                let checks = checks.into_iter().flatten().filter_map(|check| {
                    Some(RequiredCheck {
                        name: check["context"].as_str()?.into(),
                        app: check["integration_id"].as_u64(),
                    })
                });
                all.checks.extend(checks);
                all.up_to_date |= flag("strict_required_status_checks_policy");
            }
            "required_linear_history" => all.linear = true,
            "merge_queue" => all.queue = true,
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rules_of_several_rulesets_count_together() {
        let rules = json!([
            {"type": "pull_request", "parameters": {"required_approving_review_count": 2, "require_code_owner_review": false,
                "require_last_push_approval": true, "required_review_thread_resolution": false, "allowed_merge_methods": ["squash", "rebase"]}},
            {"type": "pull_request", "parameters": {"required_approving_review_count": 1, "require_code_owner_review": true,
                "require_last_push_approval": false, "required_review_thread_resolution": false, "allowed_merge_methods": ["merge", "squash"]}},
            {"type": "required_status_checks", "parameters": {"strict_required_status_checks_policy": true,
                "required_status_checks": [{"context": "ci"}, {"context": "windlass/gate", "integration_id": 7}]}},
            {"type": "required_linear_history"},
            {"type": "unheard_of", "parameters": {"a": 1}},
        ]);
        let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
        let check = |name: &str, app| RequiredCheck {
            name: name.into(),
            app,
        };
        assert_eq!(
            together(&rules),
            BranchRules {
                approvals: 2,
                code_owners: true,
                last_push: true,
                threads_resolved: false,
                checks: vec![check("ci", None), check("windlass/gate", Some(7))],
                up_to_date: true,
                queue: false,
                linear: true,
                methods: Some(vec![MergeMethod::Squash]),
            }
        );
    }
}
