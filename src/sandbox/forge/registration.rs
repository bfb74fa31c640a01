//! Registering an App from a manifest, and installing it: GitHub's pages that a person sees, and the
//! conversion of the code
//! (docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest).

use http::Method;
use serde_json::{Value, json};

use super::rest::parse_query;
use super::state::{Installation, random_hex};
use super::{Call, Inner, Reply, ReplyBody};

impl Inner {
    /// The page of a manifest that was posted: it asks whether to make the App.
    pub(super) fn new_app(&self, call: &Call) -> Reply {
        let form = parse_query(&String::from_utf8_lossy(&call.body));
        let manifest: Value = serde_json::from_str(form.get("manifest").map_or("", String::as_str))
            .unwrap_or_default();
        let state = parse_query(&call.query).remove("state").unwrap_or_default();
        let Some(name) = manifest["name"].as_str() else {
            return page(422, "<p>Invalid GitHub App configuration: it has no name");
        };
        if manifest["redirect_url"].as_str().is_none() || manifest["url"].as_str().is_none() {
            return page(
                422,
                "<p>Invalid GitHub App configuration: url and redirect_url are required",
            );
        }
        let text = manifest.to_string();
        page(
            200,
            &format!(
                "<h1>Create GitHub App for acme</h1><form method=post action=/settings/apps/create><input name=name value=\"{}\"><input type=hidden name=state value=\"{}\"><input type=hidden name=manifest value=\"{}\"><button>Create GitHub App for acme</button></form>",
                escaped(name),
                escaped(&state),
                escaped(&text)
            ),
        )
    }

    /// The App is made, and the person sent back with a code.
    pub(super) fn create_app(&self, call: &Call) -> Reply {
        let form = parse_query(&String::from_utf8_lossy(&call.body));
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        let manifest: Value = serde_json::from_str(&field("manifest")).unwrap_or_default();
        let mut state = self.state();
        if let Err(why) = state.register_app(&manifest) {
            return page(422, &format!("<p>{}", escaped(&why.to_string())));
        }
        state.app.slug = field("name").to_ascii_lowercase().replace(' ', "-");
        let bot = state.app.bot();
        state.add_user(&bot, super::state::UserKind::Bot);
        let url = manifest["hook_attributes"]["url"].as_str();
        state.app.webhook_url = url.map(str::to_string);
        let code = random_hex(40);
        state.app.code = Some(code.clone());
        let back = manifest["redirect_url"].as_str().unwrap_or_default();
        Reply::empty(302).with(
            "location",
            format!("{back}?code={code}&state={}", field("state")),
        )
    }

    /// The credentials for a code, once.
    pub(super) fn convert(&self, code: &str) -> Reply {
        let mut state = self.state();
        if state.app.code.take_if(|known| known == code).is_none() {
            return Reply::error(404, "Not Found");
        }
        let has_webhook = state.app.webhook_url.is_some();
        let mut app = self.shapes(&state).app();
        app["client_secret"] = state.app.client_secret.clone().into();
        app["webhook_secret"] = match has_webhook {
            true => state.app.webhook_secret.clone().into(),
            false => Value::Null,
        };
        app["pem"] = state.app.private_key.clone().into();
        Reply::json(201, app)
    }

    /// The page that installs the App on the organisation, and what its button does.
    pub(super) fn install_page(&self, call: &Call) -> Reply {
        if call.method == Method::GET {
            let form = "<h1>Install on acme</h1><form method=post><button>Install</button></form>";
            return page(200, form);
        }
        let mut state = self.state();
        if state.installations.is_empty() {
            let installation = Installation::new(state.new_id(), None);
            state.installations.push(installation.clone());
            let more = json!({"repositories": []});
            self.announce_installation(&mut state, &installation, "installation", "created", more);
        }
        page(200, "<p>Installed")
    }
}

pub(super) fn page(status: u16, html: &str) -> Reply {
    Reply {
        status,
        body: ReplyBody::Text(
            "text/html; charset=utf-8",
            format!("<!doctype html><meta charset=utf-8><title>Forge</title>{html}"),
        ),
        headers: vec![],
    }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
