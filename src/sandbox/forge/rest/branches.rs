//! Branches: where they are, which rules hold for them, and how they moved.

use serde_json::json;

use super::{Answer, Asked};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::git::resolve;
use crate::sandbox::forge::json::node_id;

impl Asked<'_> {
    pub(super) fn branch(&self, branch: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), &format!("refs/heads/{branch}")) else {
                return Err(Reply::error(404, "Branch not found"));
            };
            let url = format!("{}/branches/{branch}", shapes.repo_url(repo));
            let protected = repo.rules_of(branch).next().is_some();
            Ok(Reply::json(
                200,
                json!({"name": branch, "commit": shapes.commit(repo, &sha), "_links": {"html": url, "self": url}, "protected": protected,
                "protection": {"enabled": protected}, "protection_url": format!("{url}/protection")}),
            ))
        })
    }

    pub(super) fn rules(&self, branch: &str) -> Answer {
        self.read("metadata", |shapes, repo| {
            self.list(shapes.rules(repo, branch))
        })
    }

    /// The moves of branches, newest first.
    pub(super) fn activity(&self) -> Answer {
        self.read("contents", |shapes, repo| {
            let wanted = self.query.get("ref").map(|name| name.trim_start_matches("refs/heads/").to_string());
            let none = "0".repeat(40);
            let told = repo.activity.iter().rev().filter(|one| wanted.as_ref().is_none_or(|branch| *branch == one.branch)).map(|one| {
                let kind = match (&one.before, &one.after) {
                    (None, _) => "branch_creation",
                    (_, None) => "branch_deletion",
                    _ if one.forced => "force_push",
                    _ => "push",
                };
                json!({"id": one.id, "node_id": node_id("PSH", one.id), "before": one.before.as_ref().unwrap_or(&none),
                    "after": one.after.as_ref().unwrap_or(&none), "ref": format!("refs/heads/{}", one.branch),
                    "timestamp": one.at.to_string(), "activity_type": kind, "actor": shapes.user(&one.actor)})
            });
            self.list(told.collect())
        })
    }
}
