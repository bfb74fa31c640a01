//! The sign-in of people to the App's own pages (docs.github.com, "Generating a user access token for
//! a GitHub App": the web application flow).
//!
//! Assumed: a person who is signed in to GitHub is one of its users, chosen on the page.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::registration::{escaped, page};
use super::rest::parse_query;
use super::state::{SignedIn, Token, random_hex};
use super::{Call, Inner, Reply};

impl Inner {
    /// The page that asks whether the App may know who one is, and the way back.
    pub(super) fn authorize(&self, call: &Call) -> Reply {
        let asked = parse_query(&call.query);
        let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
        let (back, mut state) = (field("redirect_uri"), self.state());
        if field("client_id") != state.app.client_id() {
            return page(404, "<p>Not Found");
        }
        if !state.app.callback_urls.contains(&back) {
            return page(
                200,
                "<p>The redirect_uri is not associated with this application.",
            );
        }
        let login = field("login");
        if !state.users.contains_key(&login) {
            let link = |login: &String| {
                let query = escaped(&call.query);
                format!("<li><a href=\"?{query}&amp;login={login}\">Continue as {login}</a>")
            };
            let links: String = state.users.keys().map(link).collect();
            return page(
                200,
                &format!("<h1>Authorize {}</h1>{links}", state.app.slug),
            );
        }
        let code = random_hex(20);
        let signed_in = SignedIn {
            login,
            back: back.clone(),
        };
        state.app.signed_in.insert(code.clone(), signed_in);
        let state = field("state");
        Reply::empty(302).with("location", format!("{back}?code={code}&state={state}"))
    }

    /// The token for a code, once.
    pub(super) fn user_token(&self, call: &Call) -> Reply {
        let sent: HashMap<String, String> = serde_json::from_slice(&call.body).unwrap_or_default();
        let field = |name: &str| sent.get(name).map_or("", String::as_str);
        let mut state = self.state();
        let is_app = field("client_id") == state.app.client_id()
            && field("client_secret") == state.app.client_secret;
        if !is_app {
            return refused(
                "incorrect_client_credentials",
                "The client_id and/or client_secret passed are incorrect.",
            );
        }
        let found = state.app.signed_in.remove(field("code"));
        match found.filter(|signed_in| signed_in.back == field("redirect_uri")) {
            Some(SignedIn { login, .. }) => {
                let token = format!("ghu_{}", random_hex(36));
                state.tokens.insert(token.clone(), Token::User(login));
                answered(json!({"access_token": token, "token_type": "bearer", "scope": ""}))
            }
            None => refused(
                "bad_verification_code",
                "The code passed is incorrect or expired.",
            ),
        }
    }
}

fn answered(value: Value) -> Reply {
    Reply::json(200, value)
}

fn refused(error: &str, description: &str) -> Reply {
    answered(
        json!({"error": error, "error_description": description, "error_uri": "https://docs.github.com/apps"}),
    )
}
