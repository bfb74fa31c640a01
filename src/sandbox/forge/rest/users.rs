//! People: the one who asks, members of teams, and roles in a repository.

use serde_json::json;

use super::{Answer, Asked};
use crate::sandbox::forge::auth::Auth;
use crate::sandbox::forge::json::merge;
use crate::sandbox::forge::state::UserKind;
use crate::sandbox::forge::{Inner, Reply};

impl Inner {
    pub(super) fn authenticated_user(&self, auth: &Auth) -> Answer {
        match auth {
            Auth::User(login) => {
                let state = self.state();
                let mut user = self.shapes(&state).user(login);
                merge(
                    &mut user,
                    json!({"name": login, "company": null, "blog": null, "location": null, "email": null,
                        "hireable": null, "bio": null, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
                        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}),
                );
                Ok(Reply::json(200, user))
            }
            Auth::Anonymous => Err(Reply::error(401, "Requires authentication")),
            _ => Err(Reply::error(403, "Resource not accessible by integration")),
        }
    }

    pub(super) fn team_membership(
        &self,
        auth: &Auth,
        organisation: &str,
        team: &str,
        user: &str,
    ) -> Answer {
        match auth {
            Auth::Installation { permissions, .. } if permissions.contains_key("members") => {
                let state = self.state();
                let members = state
                    .teams
                    .get(&(organisation.to_string(), team.to_string()));
                if !members.is_some_and(|members| {
                    members
                        .iter()
                        .any(|member| member.eq_ignore_ascii_case(user))
                }) {
                    return Err(Reply::error(404, "Not Found"));
                }
                let url = format!(
                    "{}/api/v3/orgs/{organisation}/teams/{team}/memberships/{user}",
                    self.origin()
                );
                Ok(Reply::json(
                    200,
                    json!({"url": url, "role": "member", "state": "active"}),
                ))
            }
            _ => Err(Reply::error(403, "Resource not accessible by integration")),
        }
    }
}

impl Asked<'_> {
    pub(super) fn permission(&self, user: &str) -> Answer {
        self.read("metadata", |shapes, repo| {
            if !shapes
                .state
                .users
                .get(user)
                .is_some_and(|known| known.kind == UserKind::User)
            {
                return Err(Reply::error(404, format!("{user} is not a user")));
            }
            let role = repo.role(user);
            let mut account = shapes.user(user);
            account["role_name"] = role.name().into();
            Ok(Reply::json(
                200,
                json!({"permission": role.permission(), "role_name": role.name(), "user": account}),
            ))
        })
    }
}
