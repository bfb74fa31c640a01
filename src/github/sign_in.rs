//! Who somebody is: GitHub's sign-in for the users of an App
//! (docs.github.com, "Generating a user access token for a GitHub App": the web application flow).
//! The user's token says who they are, and is forgotten at once: what they may do windlass asks as
//! the App.

use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::outgoing::{Outgoing, causes};

/// The sign-in of one server.
pub struct SignIn {
    api: String,
    /// GitHub's own pages.
    web: String,
    /// Where GitHub sends people back to.
    back: String,
    secret: SecretString,
    http: reqwest::Client,
}

const PATIENCE: Duration = Duration::from_secs(10);
/// GitHub's codes have 20 characters.
const LONGEST_CODE: usize = 200;

impl SignIn {
    /// `back`: the address that the App has as its callback URL.
    pub fn new(
        api: &str,
        back: String,
        secret: SecretString,
        outgoing: &Outgoing,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            api: api.into(),
            web: web_of(api),
            back,
            secret,
            http: outgoing.client()?.timeout(PATIENCE).build()?,
        })
    }

    /// Where people sign in. `state`: what GitHub brings back with them.
    pub fn address(&self, client_id: &str, state: &str) -> anyhow::Result<String> {
        let of = [
            ("client_id", client_id),
            ("redirect_uri", &self.back),
            ("state", state),
        ];
        let address = format!("{}/login/oauth/authorize", self.web);
        Ok(reqwest::Url::parse_with_params(&address, of)?.into())
    }

    /// The login of the person that a code is of.
    pub async fn login(&self, client_id: &str, code: &str) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Token {
            access_token: Option<SecretString>,
            error_description: Option<String>,
        }
        #[derive(Deserialize)]
        struct User {
            login: String,
        }
        if code.is_empty() || code.len() > LONGEST_CODE {
            bail!("GitHub sent no code");
        }
        let of = serde_json::json!({
            "client_id": client_id, "client_secret": self.secret.expose_secret(),
            "code": code, "redirect_uri": self.back,
        });
        let address = format!("{}/login/oauth/access_token", self.web);
        let token: Token = self.asked(self.http.post(address).json(&of)).await?;
        let Some(token_of_user) = token.access_token else {
            let why = token.error_description.unwrap_or_default();
            bail!("GitHub does not take the code: {why}");
        };
        let request = self.http.get(format!("{}/user", self.api));
        let request = request.bearer_auth(token_of_user.expose_secret());
        let user: User = self.asked(request).await?;
        Ok(user.login)
    }

    async fn asked<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let agent = concat!("windlass/", env!("CARGO_PKG_VERSION"));
        let request = request
            .header("accept", "application/json")
            .header("user-agent", agent);
        // Addresses and bodies hold what is secret: they are in no message.
        let failed = |error: reqwest::Error| anyhow::anyhow!("{}", causes(&error.without_url()));
        let answer = request.send().await.map_err(failed)?;
        if !answer.status().is_success() {
            bail!("GitHub answers {}", answer.status());
        }
        let read = answer.json().await.map_err(failed);
        read.context("GitHub's answer cannot be read")
    }
}

/// GitHub's own pages, by the address of its API: `https://api.github.com`, or `https://HOST/api/v3` of
/// an Enterprise Server.
pub fn web_of(api: &str) -> String {
    match api.split_once("://api.") {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => api.trim_end_matches("/api/v3").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_sign_in_where_the_api_is_of() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("https://git.corp/api/v3", "https://git.corp"),
        ] {
            let back = "https://w.example/signed-in".to_string();
            let sign_in = SignIn::new(api, back, "s".into(), &Outgoing::new(None).unwrap());
            let address = sign_in.unwrap().address("Iv1.a", "x y").unwrap();
            let query =
                "client_id=Iv1.a&redirect_uri=https%3A%2F%2Fw.example%2Fsigned-in&state=x+y";
            assert_eq!(address, format!("{web}/login/oauth/authorize?{query}"));
        }
    }
}
