//! Webhook deliveries: their signature is verified first, then only keys are read.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::Sha256;

use crate::domain::{Hint, PullRequestKey, RepoName};

/// GitHub sends at most 25 MB.
pub const MOST_BYTES: usize = 25 << 20;

/// The signature in a header: `sha256=` and 64 hexadecimal digits.
pub fn signature(header: Option<&str>) -> Option<Vec<u8>> {
    header?
        .strip_prefix("sha256=")
        .filter(|text| text.len() == 64)
        .and_then(|text| hex::decode(text).ok())
}

/// Whether one of the secrets signed the body, compared in constant time. Several secrets allow
/// rotation.
pub fn verified(secrets: &[SecretString], body: &[u8], signature: &[u8]) -> bool {
    secrets.iter().any(|secret| {
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).is_ok_and(|mut mac| {
            mac.update(body);
            mac.verify_slice(signature).is_ok()
        })
    })
}

/// The part of a payload that is read; the rest, up to 25 MB, is skipped.
#[derive(Debug, Default, Deserialize)]
pub struct Payload {
    repository: Option<Repository>,
    pull_request: Option<Numbered>,
    issue: Option<Issue>,
    #[serde(rename = "ref", default, deserialize_with = "text")]
    reference: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    number: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    number: Option<u64>,
    /// An issue that is not a pull request has no such field.
    pull_request: Option<IgnoredAny>,
}

/// A string, or None: other events use the name for other types.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?
        .as_str()
        .map(str::to_string))
}

/// What to reconcile after an event; nothing for an unknown event.
pub fn hints(event: &str, payload: &Payload) -> Vec<Hint> {
    let repo: Option<RepoName> = payload
        .repository
        .as_ref()
        .and_then(|repo| repo.full_name.as_ref()?.parse().ok());
    let pull = |number: Option<u64>| {
        Some(Hint::PullRequest(PullRequestKey {
            repo: repo.clone()?,
            number: number?,
        }))
    };
    let hint = match event {
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            pull(payload.pull_request.as_ref().and_then(|pull| pull.number))
        }
        "issue_comment" => {
            let of_pull = payload
                .issue
                .as_ref()
                .filter(|issue| issue.pull_request.is_some());
            pull(of_pull.and_then(|issue| issue.number))
        }
        "push" => match (
            repo.clone(),
            payload
                .reference
                .as_ref()
                .and_then(|name| name.strip_prefix("refs/heads/")),
        ) {
            (Some(repo), Some(branch)) => Some(Hint::Branch {
                repo,
                branch: branch.into(),
            }),
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
        let secrets = [
            SecretString::from("new"),
            SecretString::from("It's a Secret to Everybody"),
        ];
        // GitHub's own example: "Validating webhook deliveries", testing the validation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let known = super::signature(Some(signature)).unwrap();
        assert!(verified(&secrets, b"Hello, World!", &known));
        assert!(!verified(&secrets, b"Hello, World", &known));
        assert!(!verified(&secrets[..1], b"Hello, World!", &known));
        for bad in [
            None,
            Some(""),
            Some("sha256="),
            Some("sha1=00"),
            Some("sha256=zz"),
        ] {
            assert!(super::signature(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_payload_says_where_to_look_and_no_more() {
        let repository = json!({"full_name": "acme/config"});
        let key = PullRequestKey {
            repo: "acme/config".parse().unwrap(),
            number: 7,
        };
        let table = [
            (
                "pull_request",
                json!({"pull_request": {"number": 7}, "repository": repository}),
                vec![Hint::PullRequest(key.clone())],
            ),
            (
                "pull_request_review_comment",
                json!({"pull_request": {"number": 7}, "repository": repository}),
                vec![Hint::PullRequest(key.clone())],
            ),
            (
                "issue_comment",
                json!({"issue": {"number": 7, "pull_request": {}}, "repository": repository}),
                vec![Hint::PullRequest(key)],
            ),
            (
                "issue_comment",
                json!({"issue": {"number": 7}, "repository": repository}),
                vec![],
            ),
            (
                "push",
                json!({"ref": "refs/heads/a/b", "repository": repository}),
                vec![Hint::Branch {
                    repo: "acme/config".parse().unwrap(),
                    branch: "a/b".into(),
                }],
            ),
            (
                "push",
                json!({"ref": "refs/tags/v1", "repository": repository}),
                vec![],
            ),
            ("installation", json!({}), vec![Hint::Installations]),
            (
                "unheard_of",
                json!({"ref": {"a": 1}, "repository": {}}),
                vec![],
            ),
        ];
        for (event, payload, expected) in table {
            let payload = serde_json::from_value(payload).unwrap();
            assert_eq!(hints(event, &payload), expected, "{event}");
        }
    }
}
