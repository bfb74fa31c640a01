//! Entries of merge queues, and the groups that they are tested as.

use serde_json::{Value, json};

use super::{CommitFacts, Shapes, node_id};
use crate::sandbox::forge::rules::{Outcome, combined};
use crate::sandbox::forge::state::{MergeGroup, QueueEntry, Repository};

impl Shapes<'_> {
    /// `MergeQueueEntry` of GraphQL, less the queue that it is of.
    pub fn queue_entry(&self, repo: &Repository, entry: &QueueEntry) -> Value {
        let before = repo
            .queue
            .iter()
            .filter(|other| other.base == entry.base)
            .take_while(|other| other.id != entry.id);
        let pull = repo.pulls.iter().find(|pull| pull.number == entry.number);
        let commit = |sha: &String| json!({"oid": sha});
        let state = match &entry.group {
            None => "QUEUED",
            Some(group)
                if combined(self.state, repo, &entry.base, &group.head_sha) == Outcome::Green =>
            {
                "MERGEABLE"
            }
            Some(_) => "AWAITING_CHECKS",
        };
        json!({"id": node_id("MergeQueueEntry", entry.id), "position": before.count() + 1, "state": state, "jump": entry.jump, "solo": false,
            "enqueuedAt": entry.at.to_string(), "estimatedTimeToMerge": null, "enqueuer": {"login": entry.enqueuer},
            "baseCommit": entry.group.as_ref().map(|group| commit(&group.base_sha)),
            "headCommit": entry.group.as_ref().map(|group| commit(&group.head_sha)),
            "pullRequest": pull.map(|pull| json!({"id": node_id("PullRequest", pull.id), "number": pull.number}))})
    }

    /// `merge-group` of the webhooks.
    pub fn merge_group(&self, repo: &Repository, base: &str, group: &MergeGroup) -> Value {
        let facts = CommitFacts::read(self.inner, repo, &group.head_sha);
        json!({
            "head_sha": group.head_sha, "head_ref": format!("refs/heads/{}", group.branch), "base_sha": group.base_sha,
            "base_ref": format!("refs/heads/{base}"),
            "head_commit": {"id": group.head_sha, "tree_id": facts.tree, "message": facts.message, "timestamp": facts.date,
                "author": {"name": facts.author.name, "email": facts.author.email},
                "committer": {"name": facts.committer.name, "email": facts.committer.email}},
        })
    }
}
