//! `updateRefs`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, argument, failure};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::auth::Auth;
use crate::sandbox::forge::git::{git, is_ancestor, resolve};
use crate::sandbox::forge::json::node_id;

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

const ZERO: &str = "0000000000000000000000000000000000000000";

impl Inner {
    /// All or nothing: every ref is as it is expected to be, or none moves.
    pub(super) fn update_refs(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: UpdateRefs = argument(input)?;
        let (owner, name, login) = self.writable(auth, |repo| {
            node_id("Repository", repo.id) == input.repository_id
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
            let after = (!deletes).then_some(update.after_oid.as_str());
            self.check_move(&owner, &name, &update.name, (before.as_deref(), after))?;
            moves.push((&update.name, before, after));
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
                    *after,
                    &login,
                );
            }
        }
        Ok(json!({"clientMutationId": input.client_mutation_id}))
    }
}
