//! Users, the App and its installation, and the log of its deliveries.

use serde_json::{Value, json};

use super::{Shapes, merge, node_id};
use crate::sandbox::forge::state::{Delivery, Installation, UserKind};

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
        let owner = self.owner();
        json!({
            "id": app.id, "slug": app.slug, "node_id": node_id("App", app.id), "client_id": app.client_id(), "owner": self.user(&owner),
            "name": app.slug, "description": null, "external_url": self.inner.origin(), "html_url": format!("{}/apps/{}", self.inner.origin(), app.slug),
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "permissions": app.permissions, "events": app.events,
            "installations_count": self.state.installations.len(),
        })
    }

    /// The account that owns the App: the first organisation.
    fn owner(&self) -> String {
        let first = Installation::new(0, None);
        let installation = self.state.installations.first().unwrap_or(&first);
        self.state.account(installation)
    }

    pub fn installation(&self, installation: &Installation) -> Value {
        let (app, id) = (&self.state.app, installation.id);
        let owner = self.state.account(installation);
        let account = self.user(&owner);
        let kind = account["type"].clone();
        let settings = if kind == "Organization" {
            format!("organizations/{owner}/settings")
        } else {
            "settings".into()
        };
        let suspended = |value: Value| {
            if installation.suspended {
                value
            } else {
                Value::Null
            }
        };
        json!({
            "id": id, "account": account, "repository_selection": selection(installation), "app_id": app.id, "app_slug": app.slug,
            "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", self.api()),
            "repositories_url": format!("{}/installation/repositories", self.api()),
            "html_url": format!("{}/{settings}/installations/{id}", self.inner.origin()),
            "target_id": account["id"], "target_type": kind, "permissions": self.state.accepted(installation), "events": app.events,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "single_file_name": null,
            "suspended_by": suspended(account), "suspended_at": suspended(json!("2026-01-01T00:00:00Z")),
        })
    }

    pub fn delivery(&self, delivery: &Delivery) -> Value {
        let without_answer = if self.state.faults.lost_without_code {
            ("timed out", 0)
        } else {
            ("Server Error", 500)
        };
        let (status, code) = match delivery.status_code {
            None => without_answer,
            Some(code @ 200..300) => ("OK", code),
            Some(code) => ("Invalid HTTP Response", code),
        };
        json!({
            "id": delivery.id, "guid": delivery.guid, "delivered_at": delivery.delivered_at.to_string(), "redelivery": delivery.redelivery,
            "duration": delivery.duration as f64 / 1000.0, "status": status, "status_code": code,
            "event": delivery.event, "action": delivery.action, "installation_id": delivery.installation, "repository_id": delivery.repository,
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

/// Whether all of an account's repositories are in its installation, or chosen ones.
pub fn selection(installation: &Installation) -> &'static str {
    if installation.selected.is_some() {
        "selected"
    } else {
        "all"
    }
}
