//! Repositories that were renamed or transferred: asked for by an old name, they tell where they
//! are (docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects).
//! A read is answered 301, anything else 307 (18F/charlie#85), with the same words.

use http::Method;
use serde_json::json;

use super::not_found;
use crate::sandbox::forge::auth::{Access, Auth, may};
use crate::sandbox::forge::state::Repository;
use crate::sandbox::forge::{Call, Inner, Reply};

impl Inner {
    /// To the repository by its id, for who may see it.
    pub(super) fn redirect(
        &self,
        call: &Call,
        auth: &Auth,
        repo: &Repository,
        rest: &[&str],
    ) -> Reply {
        let seen = matches!(auth, Auth::App) || may(auth, repo, "metadata", Access::Read).is_ok();
        if !seen {
            return not_found();
        }
        let mut url = format!("{}/api/v3/repositories/{}", self.origin(), repo.id);
        for part in rest {
            url = format!("{url}/{part}");
        }
        if !call.query.is_empty() {
            url = format!("{url}?{}", call.query);
        }
        let status = if call.method == Method::GET { 301 } else { 307 };
        Reply::json(
            status,
            json!({"message": "Moved Permanently", "url": url,
                "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"}),
        )
        .with("location", url)
    }
}
