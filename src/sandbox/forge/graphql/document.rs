//! What a GraphQL document asks for: its fields, their arguments, and the fields to be answered.

use std::collections::BTreeMap;

use async_graphql_parser::types::{
    DocumentOperations, Field, OperationType, Selection, SelectionSet,
};
use async_graphql_parser::{Positioned, parse_query};
use async_graphql_value::ConstValue;
use serde_json::{Map, Value, json};

/// The operation of a document and what it selects, or the error that it is.
pub(super) fn operation(query: &str) -> Result<(OperationType, Vec<Positioned<Selection>>), Value> {
    let document = parse_query(query)
        .map_err(|error| json!({"message": format!("Parse error on {error}")}))?;
    let DocumentOperations::Single(operation) = document.operations else {
        return Err(json!({"message": "An operation name is required"}));
    };
    let operation = operation.node;
    if operation.ty == OperationType::Subscription {
        return Err(json!({"message": "this forge answers queries and mutations only"}));
    }
    Ok((operation.ty, operation.selection_set.node.items))
}

/// What a field is answered as.
pub(super) fn alias(field: &Field) -> &str {
    field.alias.as_ref().unwrap_or(&field.name).node.as_str()
}

/// The input of a mutation, with its variables bound; nothing but fields that its answer has is
/// selected.
pub(super) fn input(field: &Field, variables: &BTreeMap<String, Value>) -> Result<Value, Value> {
    let name = field.name.node.as_str();
    let shape = match name {
        "createCommitOnBranch" => {
            json!({"clientMutationId": null, "commit": {"oid": "", "url": ""}, "ref": {"name": "", "id": ""}})
        }
        "createPullRequest" => {
            json!({"clientMutationId": null, "pullRequest": {"id": "", "number": 0, "url": "", "title": "", "headRefOid": ""}})
        }
        "updateRefs" => json!({"clientMutationId": null}),
        "enqueuePullRequest" | "dequeuePullRequest" => {
            json!({"clientMutationId": null, "mergeQueueEntry": queue_entry()})
        }
        _ => {
            return Err(
                json!({"message": format!("Field '{name}' doesn't exist on type 'Mutation'"), "path": ["mutation", name]}),
            );
        }
    };
    if let Some(unknown) = unknown_field(&field.selection_set, &shape) {
        return Err(
            json!({"message": format!("Field '{unknown}' doesn't exist on type"), "path": ["mutation", name, unknown]}),
        );
    }
    argument(field, "input", variables)
}

/// An argument of a field, with its variables bound.
pub(super) fn argument(
    field: &Field,
    wanted: &str,
    variables: &BTreeMap<String, Value>,
) -> Result<Value, Value> {
    let name = field.name.node.as_str();
    let mut arguments = field.arguments.iter();
    let found = arguments.find(|(argument, _)| argument.node.as_str() == wanted);
    found
        .and_then(|(_, value)| {
            value
                .node
                .clone()
                .into_const_with(|variable| {
                    variables
                        .get(variable.as_str())
                        .cloned()
                        .and_then(|value| ConstValue::from_json(value).ok())
                        .ok_or(())
                })
                .ok()
        })
        .and_then(|value| value.into_json().ok())
        .ok_or_else(
            || json!({"message": format!("Field '{name}' is missing required arguments: {wanted}")}),
        )
}

/// What there is to be selected of a `MergeQueueEntry`.
fn queue_entry() -> Value {
    json!({"id": "", "position": 0, "state": "", "jump": false, "solo": false, "enqueuedAt": "", "estimatedTimeToMerge": null,
        "enqueuer": {"login": ""}, "baseCommit": {"oid": ""}, "headCommit": {"oid": ""}, "pullRequest": {"id": "", "number": 0}})
}

/// The first selected field that a shape has not.
fn unknown_field(set: &Positioned<SelectionSet>, shape: &Value) -> Option<String> {
    set.node.items.iter().find_map(|selection| {
        let Selection::Field(field) = &selection.node else {
            return Some("fragment".to_string());
        };
        let name = field.node.name.node.as_str();
        match shape.get(name) {
            _ if name == "__typename" => None,
            None => Some(name.to_string()),
            Some(inner) if inner.is_object() => unknown_field(&field.node.selection_set, inner),
            Some(_) => None,
        }
    })
}

/// Of a value, what was selected.
pub(super) fn selected(set: &Positioned<SelectionSet>, value: &Value) -> Value {
    let mut out = Map::new();
    for selection in &set.node.items {
        if let Selection::Field(field) = &selection.node {
            let inner = &value[field.node.name.node.as_str()];
            out.insert(
                alias(&field.node).into(),
                if inner.is_object() {
                    selected(&field.node.selection_set, inner)
                } else {
                    inner.clone()
                },
            );
        }
    }
    Value::Object(out)
}
