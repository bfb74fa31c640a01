//! Refs: read, made, moved and removed.

use serde::Deserialize;

use super::{Answer, Asked, body};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::{git, is_ancestor, resolve};
use crate::sandbox::forge::rules::refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefRequest {
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefUpdate {
    sha: String,
    #[serde(default)]
    force: bool,
}

impl Asked<'_> {
    pub(super) fn get_ref(&self, reference: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            match resolve(&self.path(), &format!("refs/{reference}")) {
                Some(sha) => Ok(Reply::json(
                    200,
                    shapes.git_ref(repo, &format!("refs/{reference}"), &sha),
                )),
                None => Err(Reply::error(404, "Not Found")),
            }
        })
    }

    pub(super) fn create_ref(&self) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: RefRequest = body(self.call)?;
        if !request.reference.starts_with("refs/") || request.reference.matches('/').count() < 2 {
            return Err(Reply::error(
                422,
                "Reference name must start with 'refs/' and have at least two slashes.",
            ));
        }
        if resolve(&self.path(), &request.sha).is_none() {
            return Err(Reply::error(422, "Object does not exist"));
        }
        let new = (None, Some(request.sha.as_str()));
        // A bare refusal: release-plz/action#518.
        if !self.forbidden(&request.reference, new).is_empty() {
            return Err(Reply::error(422, "Reference update failed"));
        }
        if git(
            &self.path(),
            &[
                "update-ref",
                &request.reference,
                &request.sha,
                &"0".repeat(40),
            ],
        )
        .is_err()
        {
            // Otherwise another one is in its way, as `a` is in that of `a/b`, or it cannot be a
            // name.
            let exists = resolve(&self.path(), &request.reference).is_some();
            return Err(Reply::error(
                422,
                if exists {
                    "Reference already exists"
                } else {
                    "Reference update failed"
                },
            ));
        }
        if let Some(branch) = request.reference.strip_prefix("refs/heads/") {
            self.inner.moved(
                &self.full_name(),
                branch,
                None,
                Some(&request.sha),
                &self.login,
            );
        }
        let state = self.inner.state();
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        Ok(Reply::json(
            201,
            self.inner
                .shapes(&state)
                .git_ref(repo, &request.reference, &request.sha),
        ))
    }

    pub(super) fn update_ref(&self, reference: &str) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: RefUpdate = body(self.call)?;
        let full = format!("refs/{reference}");
        let Some(before) = resolve(&self.path(), &full) else {
            return Err(Reply::error(422, "Reference does not exist"));
        };
        if resolve(&self.path(), &request.sha).is_none() {
            return Err(Reply::error(422, "Object does not exist"));
        }
        if !request.force && !is_ancestor(&self.path(), &before, &request.sha) {
            return Err(Reply::error(422, "Update is not a fast forward"));
        }
        self.check_move(&full, (Some(&before), Some(&request.sha)))?;
        // Somebody else moved it meanwhile.
        git(&self.path(), &["update-ref", &full, &request.sha, &before])
            .map_err(|_| Reply::error(422, "Reference cannot be updated"))?;
        if let Some(branch) = reference.strip_prefix("heads/") {
            self.inner.moved(
                &self.full_name(),
                branch,
                Some(&before),
                Some(&request.sha),
                &self.login,
            );
        }
        self.get_ref(reference)
    }

    /// What the rules have against the move of a ref.
    fn forbidden(&self, reference: &str, move_: (Option<&str>, Option<&str>)) -> Vec<String> {
        self.inner
            .move_violations(&self.owner, &self.name, reference, move_)
    }

    fn check_move(
        &self,
        reference: &str,
        move_: (Option<&str>, Option<&str>),
    ) -> Result<(), Reply> {
        let found = self.forbidden(reference, move_);
        if found.is_empty() {
            Ok(())
        } else {
            Err(Reply::error(422, refusal(&found)))
        }
    }

    pub(super) fn delete_ref(&self, reference: &str) -> Answer {
        self.allow("contents", Access::Write)?;
        let full = format!("refs/{reference}");
        let Some(before) = resolve(&self.path(), &full) else {
            return Err(Reply::error(422, "Reference does not exist"));
        };
        let default = self
            .inner
            .state()
            .by_id(self.repo)
            .map(|repo| format!("heads/{}", repo.default_branch));
        if default.as_deref() == Some(reference) {
            return Err(Reply::error(422, "Cannot delete the default branch"));
        }
        self.check_move(&full, (Some(&before), None))?;
        git(&self.path(), &["update-ref", "-d", &full, &before])
            .map_err(|error| Reply::error(409, error.to_string()))?;
        if let Some(branch) = reference.strip_prefix("heads/") {
            self.inner
                .moved(&self.full_name(), branch, Some(&before), None, &self.login);
        }
        Ok(Reply::empty(204))
    }
}
