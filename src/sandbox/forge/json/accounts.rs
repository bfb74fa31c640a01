//! Users, the App and its installation, and the log of its deliveries.

use serde_json::{Value, json};

use super::{Shapes, merge, node_id};
use crate::sandbox::forge::state::{Delivery, UserKind};

impl Shapes<'_> {
    pub fn user(&self, login: &str) -> Value {
        let known = self.state.users.get(login);
        let id = known.map_or(0, |user| user.id);
        let kind = match known.map(|user| user.kind) {
            Some(UserKind::Bot) => "Bot",
            Some(UserKind::Organization) => "Organization",
            _ => "User",
        };
        let url = format!("{}/users/{login}", self.api());
        let sub = |path: &str| format!("{url}/{path}");
        json!({
            "login": login, "id": id, "node_id": node_id("User", id), "avatar_url": format!("{}/avatars/{id}", self.inner.origin()),
            "gravatar_id": "", "url": url, "html_url": format!("{}/{login}", self.inner.origin()), "followers_url": sub("followers"),
            "following_url": sub("following{/other_user}"), "gists_url": sub("gists{/gist_id}"), "starred_url": sub("starred{/owner}{/repo}"),
            "subscriptions_url": sub("subscriptions"), "organizations_url": sub("orgs"), "repos_url": sub("repos"),
            "events_url": sub("events{/privacy}"), "received_events_url": sub("received_events"), "type": kind, "user_view_type": "public",
            "site_admin": false,
        })
    }

    pub fn app(&self) -> Value {
        let app = &self.state.app;
        let owner = self.account();
        json!({
            "id": app.id, "slug": app.slug, "node_id": node_id("App", app.id), "client_id": format!("Iv1.{}", app.id), "owner": self.user(&owner),
            "name": app.slug, "description": null, "external_url": self.inner.origin(), "html_url": format!("{}/apps/{}", self.inner.origin(), app.slug),
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "permissions": app.permissions, "events": app.events,
            "installations_count": 1,
        })
    }

    /// The account that the App is installed on: the first organisation.
    fn account(&self) -> String {
        let organisation = self
            .state
            .users
            .values()
            .find(|user| user.kind == UserKind::Organization);
        organisation.map_or("acme".into(), |user| user.login.clone())
    }

    pub fn installation(&self) -> Value {
        let (app, owner) = (&self.state.app, self.account());
        let account = self.user(&owner);
        json!({
            "id": app.installation, "account": account, "repository_selection": "all", "app_id": app.id, "app_slug": app.slug,
            "access_tokens_url": format!("{}/app/installations/{}/access_tokens", self.api(), app.installation),
            "repositories_url": format!("{}/installation/repositories", self.api()),
            "html_url": format!("{}/organizations/{owner}/settings/installations/{}", self.inner.origin(), app.installation),
            "target_id": account["id"], "target_type": "Organization", "permissions": app.permissions, "events": app.events,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "single_file_name": null,
            "suspended_by": null, "suspended_at": null,
        })
    }

    pub fn delivery(&self, delivery: &Delivery) -> Value {
        let status = delivery.status_code.map_or("Server Error", |code| {
            if code < 300 {
                "OK"
            } else {
                "Invalid HTTP Response"
            }
        });
        json!({
            "id": delivery.id, "guid": delivery.guid, "delivered_at": delivery.delivered_at.to_string(), "redelivery": delivery.redelivery,
            "duration": delivery.duration as f64 / 1000.0, "status": status, "status_code": delivery.status_code.unwrap_or(500),
            "event": delivery.event, "action": delivery.action, "installation_id": self.state.app.installation, "repository_id": delivery.repository,
            "throttled_at": null,
        })
    }

    pub fn full_delivery(&self, delivery: &Delivery) -> Value {
        let mut value = self.delivery(delivery);
        merge(
            &mut value,
            json!({"url": "", "request": {"headers": {"X-GitHub-Event": delivery.event}, "payload": delivery.payload},
            "response": {"headers": {}, "payload": ""}}),
        );
        value
    }
}
