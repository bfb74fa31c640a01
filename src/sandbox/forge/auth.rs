//! Who asks, and what they may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Deserialize;

use super::state::{Repository, Role, SETTLED, State, Token};
use super::{Call, Inner, Reply};

/// An authenticated caller.
#[derive(Clone)]
pub enum Auth {
    Anonymous,
    /// The App itself, by a JWT.
    App,
    Installation {
        installation: u64,
        permissions: std::collections::BTreeMap<String, String>,
        repositories: Option<Vec<u64>>,
    },
    User(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

#[derive(Deserialize)]
struct ResourceOwners {
    iat: i64,
    exp: i64,
    iss: serde_json::Value,
}

fn bad_credentials() -> Reply {
    Reply::error(401, "Bad credentials")
}

fn ip_refusal(account: &str) -> String {
    format!(
        "Although you appear to have the correct authorization credentials, the `{account}` organization has an IP allow list enabled, and your IP address is not permitted to access this resource."
    )
}

fn credential(call: &Call) -> Option<String> {
    let value = call.headers.get("authorization")?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => Some(secret.trim().to_string()),
        // Git: the user is `x-access-token`, the password the token.
        "basic" => String::from_utf8(BASE64.decode(secret.trim()).ok()?)
            .ok()?
            .split_once(':')
            .map(|(_, password)| password.to_string()),
        _ => None,
    }
}

impl Inner {
    pub fn authenticate(&self, call: &Call) -> Result<Auth, Reply> {
        let Some(secret) = credential(call) else {
            return Ok(Auth::Anonymous);
        };
        if secret.matches('.').count() == 2 && !secret.starts_with("ghs_") {
            return self.authenticate_app(&secret);
        }
        let state = self.state();
        match state.tokens.get(&secret) {
            Some(Token::User(login)) => Ok(Auth::User(login.clone())),
            Some(Token::Installation {
                installation,
                expires,
                permissions,
                repositories,
                ..
            }) if *expires > Timestamp::now() => {
                let here = state.installation(*installation);
                Ok(Auth::Installation {
                    installation: *installation,
                    permissions: permissions.clone(),
                    repositories: here.map_or(Some(Vec::new()), |here| {
                        state.reach(here, repositories.as_ref())
                    }),
                })
            }
            _ => Err(bad_credentials()),
        }
    }

    /// Refuses a token that is too fresh, as often as the story wants it.
    pub(super) fn settled(&self, call: &Call) -> Result<(), Reply> {
        let mut state = self.state();
        let State { tokens, faults, .. } = &mut *state;
        let secret = credential(call).unwrap_or_default();
        let Some(Token::Installation {
            minted, unsettled, ..
        }) = tokens.get_mut(&secret)
        else {
            return Ok(());
        };
        let fresh = Timestamp::now().as_second() < minted.as_second() + SETTLED;
        if *unsettled > 0 {
            *unsettled -= 1;
        } else if fresh && faults.fresh_token_401 > 0 {
            faults.fresh_token_401 -= 1;
        } else {
            return Ok(());
        }
        Err(bad_credentials())
    }

    /// Refuses an installation that is suspended, or that comes from where its account lets nobody
    /// in.
    pub(super) fn admitted(&self, auth: &Auth) -> Result<(), Reply> {
        let Auth::Installation { installation, .. } = auth else {
            return Ok(());
        };
        let state = self.state();
        match state.installation(*installation) {
            Some(one) if one.suspended => {
                Err(Reply::error(403, "This installation has been suspended"))
            }
            Some(one) if one.ip_refused => Err(Reply::error(403, ip_refusal(&state.account(one)))),
            _ => Ok(()),
        }
    }

    /// A JWT: RS256 by the App's key, issued by it, not from the future, good for at most ten
    /// minutes.
    fn authenticate_app(&self, token: &str) -> Result<Auth, Reply> {
        let refuse = |message: &str| Reply::error(401, message);
        let state = self.state();
        let key = jsonwebtoken::DecodingKey::from_rsa_pem(state.app.public_key.as_bytes())
            .map_err(|_| refuse("Bad credentials"))?;
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        // The issuer may be a number, which this check would not take for one: it is compared
        // below.
        validation.set_required_spec_claims(&["exp"]);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<ResourceOwners>(token, &key, &validation)
            .map_err(|_| refuse("A JSON web token could not be decoded"))?
            .claims;
        let now = state.now().as_second();
        let issuer = claims
            .iss
            .as_str()
            .map(str::to_string)
            .unwrap_or_else(|| claims.iss.to_string());
        if issuer != state.app.id.to_string() && issuer != state.app.client_id() {
            return Err(refuse(
                "'Issuer' claim ('iss') must be an Integer or a client id of an App",
            ));
        }
        if claims.exp <= now {
            return Err(refuse(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            ));
        }
        if claims.exp > now + 600 {
            return Err(refuse(
                "'Expiration time' claim ('exp') is too far in the future",
            ));
        }
        if claims.iat > now + 5 {
            return Err(refuse(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            ));
        }
        Ok(Auth::App)
    }

    /// Whom git's transport may be used by: an installation with the permission, or a user with the
    /// role.
    pub(super) fn git_user(&self, call: &Call, repository: u64, write: bool) -> Option<String> {
        let auth = self.authenticate(call).ok()?;
        let state = self.state();
        let repo = state.by_id(repository)?;
        let access = if write { Access::Write } else { Access::Read };
        may(&auth, repo, "contents", access).ok()?;
        Some(match auth {
            Auth::User(login) => login,
            _ => state.app.bot(),
        })
    }
}

/// Whether a caller may do something with a repository; otherwise GitHub's answer: 404 where it is
/// not to be seen, 403 where the permission is missing, naming it.
pub fn may(auth: &Auth, repo: &Repository, permission: &str, access: Access) -> Result<(), Reply> {
    permitted(auth, repo, permission, access)?;
    if repo.archived && access == Access::Write {
        return Err(Reply::error(
            403,
            "Repository was archived so is read-only.",
        ));
    }
    Ok(())
}

fn permitted(
    auth: &Auth,
    repo: &Repository,
    permission: &str,
    access: Access,
) -> Result<(), Reply> {
    match auth {
        Auth::Installation {
            permissions,
            repositories,
            ..
        } => {
            if repositories
                .as_ref()
                .is_some_and(|granted| !granted.contains(&repo.id))
            {
                return Err(Reply::error(404, "Not Found"));
            }
            let have = permissions.get(permission).map(String::as_str);
            match (access, have) {
                (_, Some("write" | "admin")) | (Access::Read, Some("read")) => Ok(()),
                _ => {
                    let needed = format!(
                        "{permission}={}",
                        if access == Access::Write {
                            "write"
                        } else {
                            "read"
                        }
                    );
                    Err(Reply::error(403, "Resource not accessible by integration")
                        .with("x-accepted-github-permissions", needed))
                }
            }
        }
        Auth::User(login) => {
            let role = repo.role(login);
            // People who may read may comment and review; the rest needs write.
            let enough = match access {
                Access::Read => Role::Read,
                Access::Write if matches!(permission, "issues" | "pull_requests") => Role::Read,
                Access::Write => Role::Write,
            };
            if role >= enough {
                Ok(())
            } else if role >= Role::Read {
                Err(Reply::error(403, "Must have push access to repository"))
            } else {
                Err(Reply::error(404, "Not Found"))
            }
        }
        Auth::App => Err(Reply::error(403, "Resource not accessible by integration")),
        Auth::Anonymous => Err(Reply::error(404, "Not Found")),
    }
}
