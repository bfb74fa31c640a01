//! The GraphQL subset: the mutations that write git, open pull requests and use merge queues, and the query `node`.
//!
//! A document is parsed, its variables are bound, the mutation is carried out,
//! and the answer holds exactly the fields that were selected; a field that the
//! type has not is an error before anything is done. Errors are HTTP 200 with
//! `errors`, as on GitHub.

//!
//! - [`document`]: what a document asks for; [`create_commit`], [`create_pull`], [`update_refs`], [`queue`]: the mutations; [`node`]: the query

mod create_commit;
mod create_pull;
mod document;
mod node;
mod queue;
mod update_refs;

use std::collections::BTreeMap;

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{Field, OperationType, Selection};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::auth::{Access, Auth, may};
use super::rest::body;
use super::rules::refusal;
use super::state::Repository;
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

/// An entry of `errors`.
struct Failure {
    kind: &'static str,
    message: String,
}

/// Answers fields one after the other: each by its value, or by null and an error. Err: the document
/// cannot be gone on with.
fn answers(
    fields: Vec<Positioned<Selection>>,
    answer: impl Fn(&Field) -> Result<Result<Value, Failure>, Value>,
) -> Result<Value, Value> {
    let mut data = Map::new();
    let mut errors = Vec::new();
    for selection in fields {
        let Selection::Field(field) = &selection.node else {
            return Err(json!({"message": "fragments are not supported"}));
        };
        let alias = document::alias(&field.node);
        let value = answer(&field.node)?.unwrap_or_else(|Failure { kind, message }| {
            errors.push(json!({"type": kind, "path": [alias], "locations": [{"line": 1, "column": 1}], "message": message}));
            Value::Null
        });
        data.insert(alias.into(), value);
    }
    let mut answer = json!({"data": data});
    if !errors.is_empty() {
        answer["errors"] = errors.into();
    }
    Ok(answer)
}

fn failure(kind: &'static str, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}

impl Inner {
    pub(super) fn graphql(&self, call: &Call, auth: &Auth) -> Reply {
        if matches!(auth, Auth::Anonymous) {
            return Reply::error(401, "This endpoint requires you to be authenticated.");
        }
        let request: Request = match body(call) {
            Ok(request) => request,
            Err(reply) => return reply,
        };
        self.operate(call, &request, auth)
            .unwrap_or_else(|error| Reply::json(200, json!({"errors": [error]})))
    }

    fn operate(&self, call: &Call, request: &Request, auth: &Auth) -> Result<Reply, Value> {
        let answer = match document::operation(&request.query)? {
            (OperationType::Query, fields) => self.query(fields, &request.variables, auth)?,
            (_, fields) => self.mutate(call, fields, &request.variables, auth)?,
        };
        Ok(Reply::json(200, answer))
    }

    /// Carries out mutations, one after the other; Err: the document cannot be gone on with.
    fn mutate(
        &self,
        call: &Call,
        fields: Vec<Positioned<Selection>>,
        variables: &BTreeMap<String, Value>,
        auth: &Auth,
    ) -> Result<Value, Value> {
        answers(fields, |field| {
            let input = document::input(field, variables)?;
            let done = self.execute(call, field, input, auth);
            Ok(done.map(|value| document::selected(&field.selection_set, &value)))
        })
    }

    fn execute(
        &self,
        call: &Call,
        field: &Field,
        input: Value,
        auth: &Auth,
    ) -> Result<Value, Failure> {
        match field.name.node.as_str() {
            "createPullRequest" => self.create_pull(call, input, auth),
            "updateRefs" => self.update_refs(input, auth),
            "enqueuePullRequest" => self.enqueue(input, auth),
            "dequeuePullRequest" => self.dequeue(input, auth),
            _ => self.create_commit(input, auth),
        }
    }

    /// Whether the rules let a ref be moved so.
    fn check_move(
        &self,
        owner: &str,
        name: &str,
        reference: &str,
        move_: (Option<&str>, Option<&str>),
    ) -> Result<(), Failure> {
        let found = self.move_violations(owner, name, reference, move_);
        if found.is_empty() {
            Ok(())
        } else {
            Err(failure("UNPROCESSABLE", refusal(&found)))
        }
    }

    fn writable(
        &self,
        auth: &Auth,
        wanted: impl Fn(&Repository) -> bool,
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
