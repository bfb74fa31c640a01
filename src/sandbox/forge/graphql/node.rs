//! `node`: of what people write on pull requests, when it was last edited. The types and their
//! interface `Comment` are those of GitHub's schema.

use std::collections::BTreeMap;

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{Field, Selection, SelectionSet};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Failure, answers, document};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::auth::{Access, Auth, may};
use crate::sandbox::forge::json::node_id;
use crate::sandbox::forge::state::State;

/// Something that a person wrote.
struct Written {
    kind: &'static str,
    id: String,
    repository: u64,
    edited_at: Option<Timestamp>,
}

impl Inner {
    /// Answers the fields of a query; Err: the document cannot be gone on with.
    pub(super) fn query(
        &self,
        fields: Vec<Positioned<Selection>>,
        variables: &BTreeMap<String, Value>,
        auth: &Auth,
    ) -> Result<Value, Value> {
        answers(fields, |field| {
            let name = field.name.node.as_str();
            if name != "node" {
                return Err(
                    json!({"message": format!("Field '{name}' doesn't exist on type 'Query'"), "path": ["query", name]}),
                );
            }
            let id = document::argument(field, "id", variables)?;
            let id = id.as_str().unwrap_or_default();
            let Some(written) = self.written(id, auth) else {
                return Ok(Err(Failure {
                    kind: "NOT_FOUND",
                    message: format!("Could not resolve to a node with the global id of '{id}'"),
                }));
            };
            Ok(Ok(selected(field, &field.selection_set, &written)?))
        })
    }

    /// What has a node id, if the asker may read it.
    fn written(&self, id: &str, auth: &Auth) -> Option<Written> {
        let state = self.state();
        let found = all(&state).find(|written| written.id == id)?;
        let repo = state.by_id(found.repository)?;
        may(auth, repo, "pull_requests", Access::Read).ok()?;
        Some(found)
    }
}

fn all(state: &State) -> impl Iterator<Item = Written> {
    state.repositories.iter().flat_map(|repo| {
        let written = |kind, id, edited_at| Written {
            kind,
            id: node_id(kind, id),
            repository: repo.id,
            edited_at,
        };
        let edited = |created, updated| (updated != created).then_some(updated);
        let pulls = repo.pulls.iter();
        let pulls = pulls.map(move |pull| written("PullRequest", pull.id, pull.edited_at));
        let reviews = repo.pulls.iter().flat_map(|pull| &pull.reviews);
        let reviews =
            reviews.map(move |review| written("PullRequestReview", review.id, review.edited_at));
        let comments = repo.comments.iter().map(move |comment| {
            let edited = edited(comment.created_at, comment.updated_at);
            written("IssueComment", comment.id, edited)
        });
        let lines = repo.line_comments.iter().map(move |line| {
            let edited = edited(line.comment.created_at, line.comment.updated_at);
            written("PullRequestReviewComment", line.comment.id, edited)
        });
        pulls.chain(reviews).chain(comments).chain(lines)
    })
}

/// The selected fields; of fragments, those that are about the node's type.
fn selected(
    field: &Field,
    set: &Positioned<SelectionSet>,
    written: &Written,
) -> Result<Value, Value> {
    let mut out = Map::new();
    for selection in &set.node.items {
        match &selection.node {
            Selection::Field(inner) => {
                let inner = &inner.node;
                let value = match inner.name.node.as_str() {
                    "__typename" => json!(written.kind),
                    "id" => json!(written.id),
                    "lastEditedAt" => json!(written.edited_at.map(|at| at.to_string())),
                    name => {
                        return Err(
                            json!({"message": format!("Field '{name}' doesn't exist on type"), "path": ["query", document::alias(field), name]}),
                        );
                    }
                };
                out.insert(document::alias(inner).into(), value);
            }
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref();
                let on = on.map(|on| on.node.on.node.as_str());
                let applies = on.is_none_or(|on| ["Comment", "Node", written.kind].contains(&on));
                if applies
                    && let Value::Object(inner) =
                        selected(field, &fragment.node.selection_set, written)?
                {
                    out.extend(inner);
                }
            }
            Selection::FragmentSpread(_) => {
                return Err(json!({"message": "named fragments are not supported"}));
            }
        }
    }
    Ok(Value::Object(out))
}
