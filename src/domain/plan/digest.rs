//! The digest of a plan's effects, which binds an approval to them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Plan;
use super::differences::differing;
use crate::domain::canonical_json;
use crate::domain::manifest::ResourceKey;

/// Binds an approval to an effect: `wl1:` and SHA-256 over canonical JSON of the changes, sorted by
/// cluster and key. Each has its action, and the fields that differ with their (masked) values
/// before and after. Fields of others are equal on both sides, and so are not part of it; nor are
/// times and resourceVersions, which were removed before.
pub fn digest<'a>(plans: impl IntoIterator<Item = (&'a str, &'a Plan)>) -> String {
    let mut lines: Vec<(&str, &ResourceKey, Value)> = Vec::new();
    for (cluster, plan) in plans {
        for change in plan.effective() {
            let mut leaves = Vec::new();
            differing(
                change.before.as_deref(),
                change.after.as_deref(),
                "",
                &mut leaves,
            );
            let line = serde_json::json!([
                cluster,
                change.key,
                change.action.word(),
                change.problem,
                leaves,
                change.hidden
            ]);
            lines.push((cluster, &change.key, line));
        }
    }
    lines.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let text = canonical_json(&Value::Array(
        lines.into_iter().map(|(_, _, line)| line).collect(),
    ));
    format!("wl1:{}", hex::encode(Sha256::digest(text)))
}
