//! The GraphQL subset: the two mutations that write git, and what they answer.
//!
//! A document is parsed, its variables are bound, the mutation is carried out,
//! and the answer holds exactly the fields that were selected; a field that the
//! type has not is an error before anything is done. Errors are HTTP 200 with
//! `errors`, as on GitHub.

use std::collections::BTreeMap;

use async_graphql_parser::types::{DocumentOperations, OperationType, Selection, SelectionSet};
use async_graphql_parser::{Positioned, parse_query};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::auth::{Access, Auth, may};
use super::git::{FileChange, commit, git, is_ancestor, resolve, web_flow};
use super::{Call, Inner, Reply};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    query: String,
    #[serde(default)]
    variables: BTreeMap<String, Value>,
    #[serde(rename = "operationName")]
    _operation_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateCommit {
    branch: CommittableBranch,
    expected_head_oid: String,
    file_changes: Option<FileChanges>,
    message: CommitMessage,
    client_mutation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CommittableBranch {
    repository_name_with_owner: String,
    branch_name: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileChanges {
    #[serde(default)]
    additions: Vec<Addition>,
    #[serde(default)]
    deletions: Vec<Deletion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    path: String,
    contents: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitMessage {
    headline: String,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateRefs {
    repository_id: String,
    ref_updates: Vec<RefUpdate>,
    client_mutation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RefUpdate {
    name: String,
    before_oid: Option<String>,
    after_oid: String,
    #[serde(default)]
    force: bool,
}

/// An entry of `errors`.
struct Failure {
    kind: &'static str,
    message: String,
}

fn failure(kind: &'static str, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}

const ZERO: &str = "0000000000000000000000000000000000000000";

impl Inner {
    pub(super) fn graphql(&self, call: &Call, auth: &Auth) -> Reply {
        if matches!(auth, Auth::Anonymous) {
            return Reply::error(401, "This endpoint requires you to be authenticated.");
        }
        let request: Request = match super::rest::body(call) {
            Ok(request) => request,
            Err(reply) => return reply,
        };
        let mut data = serde_json::Map::new();
        let mut errors = Vec::new();
        let document = match parse_query(&request.query) {
            Ok(document) => document,
            Err(error) => {
                return Reply::json(
                    200,
                    json!({"errors": [{"message": format!("Parse error on {error}")}]}),
                );
            }
        };
        let operation = match &document.operations {
            DocumentOperations::Single(operation) => operation,
            DocumentOperations::Multiple(_) => {
                return Reply::json(
                    200,
                    json!({"errors": [{"message": "An operation name is required"}]}),
                );
            }
        };
        if operation.node.ty != OperationType::Mutation {
            return Reply::json(
                200,
                json!({"errors": [{"message": "this forge answers mutations only"}]}),
            );
        }
        for selection in &operation.node.selection_set.node.items {
            let Selection::Field(field) = &selection.node else {
                return Reply::json(
                    200,
                    json!({"errors": [{"message": "fragments are not supported"}]}),
                );
            };
            let name = field.node.name.node.as_str();
            let alias = field
                .node
                .alias
                .as_ref()
                .map_or(name, |alias| alias.node.as_str());
            let shape = match name {
                "createCommitOnBranch" => {
                    json!({"clientMutationId": null, "commit": {"oid": "", "url": ""}, "ref": {"name": "", "id": ""}})
                }
                "updateRefs" => json!({"clientMutationId": null}),
                _ => {
                    return Reply::json(
                        200,
                        json!({"errors": [{"message": format!("Field '{name}' doesn't exist on type 'Mutation'"), "path": ["mutation", name]}]}),
                    );
                }
            };
            if let Some(unknown) = unknown_field(&field.node.selection_set, &shape) {
                return Reply::json(
                    200,
                    json!({"errors": [{"message": format!("Field '{unknown}' doesn't exist on type"), "path": ["mutation", name, unknown]}]}),
                );
            }
            let input = field
                .node
                .arguments
                .iter()
                .find(|(argument, _)| argument.node.as_str() == "input");
            let bound = input.and_then(|(_, value)| {
                value
                    .node
                    .clone()
                    .into_const_with(|variable| {
                        request
                            .variables
                            .get(variable.as_str())
                            .cloned()
                            .and_then(|value| async_graphql_value(&value))
                            .ok_or(())
                    })
                    .ok()
            });
            let Some(input) = bound.and_then(|value| value.into_json().ok()) else {
                return Reply::json(
                    200,
                    json!({"errors": [{"message": format!("Field '{name}' is missing required arguments: input")}]}),
                );
            };
            let outcome = if name == "updateRefs" {
                self.update_refs(input, auth)
            } else {
                self.create_commit(input, auth)
            };
            match outcome {
                Ok(value) => {
                    data.insert(alias.into(), selected(&field.node.selection_set, &value));
                }
                Err(Failure { kind, message }) => {
                    data.insert(alias.into(), Value::Null);
                    errors.push(json!({"type": kind, "path": [alias], "locations": [{"line": 1, "column": 1}], "message": message}));
                }
            }
        }
        let mut answer = json!({"data": data});
        if !errors.is_empty() {
            answer["errors"] = errors.into();
        }
        Reply::json(200, answer)
    }

    fn create_commit(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: CreateCommit = argument(input)?;
        let (owner, name, login) = self.writable(auth, |repo| {
            repo.full_name()
                .eq_ignore_ascii_case(&input.branch.repository_name_with_owner)
        })?;
        let path = self.repository_path(&owner, &name);
        let branch = input.branch.branch_name.trim_start_matches("refs/heads/");
        let reference = format!("refs/heads/{branch}");
        let Some(head) = resolve(&path, &reference) else {
            return Err(failure(
                "NOT_FOUND",
                format!("No ref named '{branch}' was found"),
            ));
        };
        let stale = |expected: &str| {
            failure(
                "STALE_DATA",
                format!(
                    "Expected branch to point to \"{expected}\" but it did not.  Pull and try again."
                ),
            )
        };
        if head != input.expected_head_oid {
            return Err(stale(&input.expected_head_oid));
        }
        let changes = input.file_changes.unwrap_or_default();
        let paths: Vec<&str> = changes
            .additions
            .iter()
            .map(|a| a.path.as_str())
            .chain(changes.deletions.iter().map(|d| d.path.as_str()))
            .collect();
        if paths.iter().collect::<std::collections::HashSet<_>>().len() != paths.len() {
            return Err(failure("UNPROCESSABLE", "A path was given more than once"));
        }
        let mut files = Vec::new();
        let mut contents = Vec::new();
        for addition in &changes.additions {
            let text = BASE64
                .decode(&addition.contents)
                .map_err(|_| failure("UNPROCESSABLE", "contents is not valid base64"))?;
            contents.push((addition.path.as_str(), text));
        }
        for (path, text) in &contents {
            files.push(FileChange {
                path,
                content: Some(text),
            });
        }
        for deletion in &changes.deletions {
            if git(
                &path,
                &["cat-file", "-e", &format!("{head}:{}", deletion.path)],
            )
            .is_err()
            {
                return Err(failure(
                    "UNPROCESSABLE",
                    format!("The path '{}' does not exist", deletion.path),
                ));
            }
            files.push(FileChange {
                path: &deletion.path,
                content: None,
            });
        }
        let message = match &input.message.body {
            Some(body) => format!("{}\n\n{body}", input.message.headline),
            None => input.message.headline.clone(),
        };
        let sha = commit(
            &path,
            Some(&head),
            &files,
            &message,
            &self.identity(&login),
            &web_flow(),
        )
        .map_err(|error| failure("UNPROCESSABLE", error.to_string()))?;
        if git(&path, &["update-ref", &reference, &sha, &head]).is_err() {
            return Err(stale(&input.expected_head_oid));
        }
        self.moved(
            &format!("{owner}/{name}"),
            branch,
            Some(&head),
            Some(&sha),
            &login,
        );
        let url = format!("{}/{owner}/{name}/commit/{sha}", self.origin());
        Ok(
            json!({"clientMutationId": input.client_mutation_id, "commit": {"oid": sha, "url": url}, "ref": {"name": branch, "id": reference}}),
        )
    }

    /// All or nothing: every ref is as it is expected to be, or none moves.
    fn update_refs(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: UpdateRefs = argument(input)?;
        let (owner, name, login) = self.writable(auth, |repo| {
            super::json::node_id("Repository", repo.id) == input.repository_id
        })?;
        let path = self.repository_path(&owner, &name);
        let mut moves = Vec::new();
        for update in &input.ref_updates {
            let before = resolve(&path, &update.name);
            let expected = update.before_oid.as_deref();
            if expected.is_some_and(|expected| before.as_deref().unwrap_or(ZERO) != expected) {
                return Err(failure(
                    "STALE_DATA",
                    format!(
                        "Expected branch to point to \"{}\" but it did not.  Pull and try again.",
                        expected.unwrap_or_default()
                    ),
                ));
            }
            let deletes = update.after_oid == ZERO;
            if !deletes && resolve(&path, &update.after_oid).is_none() {
                return Err(failure(
                    "UNPROCESSABLE",
                    format!("{} is not a commit", update.after_oid),
                ));
            }
            let forward = before
                .as_ref()
                .is_none_or(|before| is_ancestor(&path, before, &update.after_oid));
            if !deletes && !update.force && !forward {
                return Err(failure("UNPROCESSABLE", "Update is not a fast forward"));
            }
            moves.push((
                update.name.clone(),
                before,
                (!deletes).then(|| update.after_oid.clone()),
            ));
        }
        for (reference, before, after) in &moves {
            let old = before.as_deref().unwrap_or(ZERO);
            let done = match after {
                Some(after) => git(&path, &["update-ref", reference, after, old]),
                None => git(&path, &["update-ref", "-d", reference, old]),
            };
            done.map_err(|error| failure("STALE_DATA", error.to_string()))?;
        }
        for (reference, before, after) in &moves {
            if let Some(branch) = reference.strip_prefix("refs/heads/") {
                self.moved(
                    &format!("{owner}/{name}"),
                    branch,
                    before.as_deref(),
                    after.as_deref(),
                    &login,
                );
            }
        }
        Ok(json!({"clientMutationId": input.client_mutation_id}))
    }

    fn writable(
        &self,
        auth: &Auth,
        wanted: impl Fn(&super::state::Repository) -> bool,
    ) -> Result<(String, String, String), Failure> {
        let state = self.state();
        let repo = state
            .repositories
            .iter()
            .find(|repo| wanted(repo))
            .ok_or_else(|| failure("NOT_FOUND", "Could not resolve to a Repository"))?;
        may(auth, repo, "contents", Access::Write)
            .map_err(|_| failure("FORBIDDEN", "Resource not accessible by integration"))?;
        let login = if let Auth::User(login) = auth {
            login.clone()
        } else {
            state.app.bot()
        };
        Ok((repo.owner.clone(), repo.name.clone(), login))
    }
}

fn argument<T: DeserializeOwned>(input: Value) -> Result<T, Failure> {
    serde_json::from_value(input).map_err(|error| {
        failure(
            "INVALID",
            format!("Variable $input of type was provided invalid value: {error}"),
        )
    })
}

fn async_graphql_value(value: &Value) -> Option<async_graphql_value::ConstValue> {
    async_graphql_value::ConstValue::from_json(value.clone()).ok()
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

fn selected(set: &Positioned<SelectionSet>, value: &Value) -> Value {
    let mut out = serde_json::Map::new();
    for selection in &set.node.items {
        if let Selection::Field(field) = &selection.node {
            let name = field.node.name.node.as_str();
            let alias = field
                .node
                .alias
                .as_ref()
                .map_or(name, |alias| alias.node.as_str());
            let inner = &value[name];
            out.insert(
                alias.into(),
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
