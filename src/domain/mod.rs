//! The pure core: what windlass knows and decides.
//!
//! Nothing here does I/O, reads a clock, uses randomness or fails for a reason
//! outside its arguments. Controllers read the state of the world into these
//! types, call a `decide`, and act on the data that it returns.
//!
//! Reading order: the identifiers (`ids`) and [`labels`], then [`catalog`]
//! (what is deployed where), [`image`] and [`edit`] (how a change is made),
//! [`manifest`], [`fieldset`] and [`ownership`] (who owns a field), [`fence`]
//! (what a repository may manage), [`mask`] and [`plan`] (what a change does),
//! [`health`], [`hook`], [`command`], [`gate`], and the three decisions:
//! [`promotion`], [`pull_request`], [`sync`].

pub mod activity;
pub mod applying;
pub mod approvals;
pub mod approved;
pub mod build;
pub mod calendar;
pub mod catalog;
pub mod cel;
pub mod codeowners;
pub mod command;
pub mod contracts;
pub mod edit;
pub mod effect;
pub mod external;
pub mod fence;
pub mod fieldset;
pub mod finding;
pub mod gate;
pub mod health;
pub mod history;
pub mod hold;
pub mod hook;
mod ids;
pub mod image;
mod keys;
pub mod labels;
mod live;
pub mod manifest;
pub mod mask;
pub mod notification;
pub mod ownership;
pub mod permit;
pub mod plan;
pub mod promotion;
pub mod pull_request;
pub mod rollback;
pub mod rollout;
pub mod rules;
pub mod schema;
pub mod seal;
pub mod sops;
pub mod substitute;
pub mod sync;
pub mod uses;
pub mod yaml;

pub use ids::{CommitSha, FOREIGN_IDS, Hint, MergeGroup, Name, PullFact, RepoName};
pub use keys::{CommitKey, PullRequestKey, StageKey, TargetKey, TargetNames, joined};
pub use labels::{APPLICATION_ANNOTATION, OWNER_LABEL};
pub use live::Live;

/// A message about a value that is not valid for its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// The directories that a path is in, from the outermost.
pub fn directories_of(path: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Whether a text matches a pattern, in which `*` matches any text.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// JSON with sorted keys and no spaces, whatever map type serde_json was built with.
pub fn canonical_json(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            let fields: Vec<_> = keys
                .iter()
                .map(|key| {
                    format!(
                        "{}:{}",
                        Value::String((*key).clone()),
                        canonical_json(&map[*key])
                    )
                })
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!(
            "[{}]",
            items
                .iter()
                .map(canonical_json)
                .collect::<Vec<_>>()
                .join(",")
        ),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_at_every_depth() {
        let value = serde_json::json!({"b": [{"z": 1, "a": null}], "a": "x\"y"});
        assert_eq!(
            canonical_json(&value),
            r#"{"a":"x\"y","b":[{"a":null,"z":1}]}"#
        );
    }
}
