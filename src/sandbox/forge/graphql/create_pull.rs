//! `createPullRequest`: opened as by REST, its refusals told in GraphQL's way.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, argument, failure};
use crate::sandbox::forge::auth::Auth;
use crate::sandbox::forge::json::node_id;
use crate::sandbox::forge::{Call, Inner, Reply, ReplyBody};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreatePull {
    repository_id: String,
    base_ref_name: String,
    head_ref_name: String,
    title: String,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
    client_mutation_id: Option<String>,
}

impl Inner {
    pub(super) fn create_pull(
        &self,
        call: &Call,
        input: Value,
        auth: &Auth,
    ) -> Result<Value, Failure> {
        let input: CreatePull = argument(input)?;
        let full_name = {
            let state = self.state();
            let mut all = state.repositories.iter();
            let found = all.find(|repo| node_id("Repository", repo.id) == input.repository_id);
            found
                .map(|repo| repo.full_name())
                .ok_or_else(|| failure("NOT_FOUND", "Could not resolve to a node"))?
        };
        let request = json!({"title": input.title, "body": input.body, "draft": input.draft,
            "head": input.head_ref_name, "base": input.base_ref_name});
        let path = format!("/repos/{full_name}/pulls");
        let call = Call {
            method: Method::POST,
            path: format!("/api/v3{path}"),
            query: String::new(),
            headers: call.headers.clone(),
            body: request.to_string().into(),
        };
        let reply = self.rest(&call, &path, auth).map_err(refused)?;
        let ReplyBody::Json(pull) = reply.body else {
            return Err(failure("UNPROCESSABLE", "there is no pull request"));
        };
        let told = json!({"id": pull["node_id"], "number": pull["number"], "url": pull["html_url"], "title": pull["title"],
            "headRefOid": pull["head"]["sha"]});
        Ok(json!({"clientMutationId": input.client_mutation_id, "pullRequest": told}))
    }
}

/// What REST refuses, by its first error.
fn refused(reply: Reply) -> Failure {
    let ReplyBody::Json(told) = reply.body else {
        return failure("UNPROCESSABLE", "refused");
    };
    if reply.status == 403 {
        return failure("FORBIDDEN", "Resource not accessible by integration");
    }
    let first = told["errors"][0]["message"].as_str();
    let message = first.or(told["message"].as_str()).unwrap_or_default();
    failure("UNPROCESSABLE", message)
}
