//! People's permissions and team memberships.

use serde::Deserialize;

use super::answers::found;
use super::{GitHub, Result};
use crate::domain::RepoName;
use crate::domain::command::Permission;

impl GitHub {
    /// Whether a user is in a team of an organisation that the App is installed on.
    pub async fn is_member(
        &self,
        repo: &RepoName,
        organisation: &str,
        team: &str,
        user: &str,
    ) -> Result<bool> {
        #[derive(Deserialize)]
        struct Answer {
            state: String,
        }
        let route = format!("/orgs/{organisation}/teams/{team}/memberships/{user}");
        let answer = self
            .read::<Answer>(
                &self.session_for(repo).await?,
                &route,
                "read who is in a team",
            )
            .await;
        Ok(found(answer)?.is_some_and(|(answer, _)| answer.state == "active"))
    }

    /// A user's permission on the repository; `None` for what is not a user, such as an App.
    pub async fn permission(&self, repo: &RepoName, user: &str) -> Result<Permission> {
        #[derive(Deserialize)]
        struct Answer {
            permission: String,
        }
        let valid = !user.is_empty()
            && user
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !valid {
            return Ok(Permission::None);
        }
        let answer = self
            .get::<Answer>(
                repo,
                &format!("collaborators/{user}/permission"),
                "read a user's permission",
            )
            .await;
        Ok(found(answer)?.map_or(Permission::None, |answer| {
            Permission::parse(&answer.permission)
        }))
    }
}
