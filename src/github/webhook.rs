//! Webhook deliveries: verified first, then read for nothing but their keys.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;

use crate::domain::{Hint, PullRequestKey, RepoName};

/// GitHub sends at most 25 MB.
pub const MOST_BYTES: usize = 25 << 20;

/// Whether one of the secrets signed the body; compared in constant time. Two secrets are for rotation.
pub fn verified(secrets: &[SecretString], body: &[u8], signature: Option<&str>) -> bool {
    let Some(signature) = signature.and_then(|text| text.strip_prefix("sha256=")).and_then(|text| hex::decode(text).ok()) else {
        return false;
    };
    secrets.iter().any(|secret| {
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).is_ok_and(|mut mac| {
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        })
    })
}

/// Where to look after an event; an event that we do not know says nothing.
pub fn hints(event: &str, payload: &Value) -> Vec<Hint> {
    let repo: Option<RepoName> = payload["repository"]["full_name"].as_str().and_then(|name| name.parse().ok());
    let pull = |number: &Value| {
        let (repo, number) = (repo.clone()?, number.as_u64()?);
        Some(Hint::PullRequest(PullRequestKey { repo, number }))
    };
    let hint = match event {
        "pull_request" | "pull_request_review" => pull(&payload["pull_request"]["number"]),
        // An issue that is no pull request has no such field.
        "issue_comment" if payload["issue"]["pull_request"].is_object() => pull(&payload["issue"]["number"]),
        "push" => match (repo.clone(), payload["ref"].as_str().and_then(|name| name.strip_prefix("refs/heads/"))) {
            (Some(repo), Some(branch)) => Some(Hint::Branch { repo, branch: branch.into() }),
            _ => None,
        },
        "installation" | "installation_repositories" | "repository" => Some(Hint::Installations),
        _ => None,
    };
    hint.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_right_signature_passes() {
        let secrets = [SecretString::from("new"), SecretString::from("It's a Secret to Everybody")];
        // GitHub's own example: "Validating webhook deliveries", testing the validation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(verified(&secrets, b"Hello, World!", Some(signature)));
        assert!(!verified(&secrets, b"Hello, World", Some(signature)));
        assert!(!verified(&secrets[..1], b"Hello, World!", Some(signature)));
        for bad in [None, Some(""), Some("sha256="), Some("sha1=00"), Some("sha256=zz")] {
            assert!(!verified(&secrets, b"Hello, World!", bad), "{bad:?}");
        }
    }

    #[test]
    fn a_payload_says_where_to_look_and_no_more() {
        let repository = json!({"full_name": "acme/config"});
        let key = PullRequestKey { repo: "acme/config".parse().unwrap(), number: 7 };
        let table = [
            ("pull_request", json!({"pull_request": {"number": 7}, "repository": repository}), vec![Hint::PullRequest(key.clone())]),
            ("issue_comment", json!({"issue": {"number": 7, "pull_request": {}}, "repository": repository}), vec![Hint::PullRequest(key)]),
            ("issue_comment", json!({"issue": {"number": 7}, "repository": repository}), vec![]),
            (
                "push",
                json!({"ref": "refs/heads/a/b", "repository": repository}),
                vec![Hint::Branch { repo: "acme/config".parse().unwrap(), branch: "a/b".into() }],
            ),
            ("push", json!({"ref": "refs/tags/v1", "repository": repository}), vec![]),
            ("installation", json!({}), vec![Hint::Installations]),
            ("unheard_of", json!(null), vec![]),
        ];
        for (event, payload, expected) in table {
            assert_eq!(hints(event, &payload), expected, "{event}");
        }
    }
}
