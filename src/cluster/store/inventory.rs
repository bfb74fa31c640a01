//! The inventory: the objects that an application owns, a line of its status each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::manifest::ResourceKey;
use crate::domain::{CommitSha, Invalid};

/// An owned object. In the `Application` it is a line of text, `apps/v1 Deployment shop/web uid=…
/// manifest=… ownership=…`: with thousands of structured entries the API server would validate
/// every field at each update.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(into = "String", try_from = "String")]
pub struct InventoryEntry {
    pub key: ResourceKey,
    /// The API version that it was last applied by, without the group.
    pub version: String,
    /// None: not applied yet.
    pub uid: Option<String>,
    /// A digest of the manifest that was applied last.
    pub manifest_hash: Option<String>,
    /// A digest of the fields' owners after the last apply. It changes when somebody else changes
    /// what we applied.
    pub ownership_hash: Option<String>,
    /// It is a hook: pruned without a confirmation once it is no longer in Git.
    pub hook: bool,
    /// The commit that removed it from Git, while it is still live.
    pub removed_by: Option<CommitSha>,
}

impl From<InventoryEntry> for String {
    fn from(entry: InventoryEntry) -> Self {
        let InventoryEntry {
            key,
            version,
            uid,
            manifest_hash,
            ownership_hash,
            hook,
            removed_by,
        } = entry;
        let group = if key.group.is_empty() {
            String::new()
        } else {
            key.group + "/"
        };
        let namespace = key
            .namespace
            .map(|namespace| namespace + "/")
            .unwrap_or_default();
        // Names of roles may contain spaces, and no name contains a `%` (apimachinery,
        // IsValidPathSegmentName). Names that the server would refuse are listed as well.
        let word = |text: String| text.replace(char::is_whitespace, "%20");
        let mut line = format!(
            "{} {} {}",
            word(group + &version),
            word(key.kind),
            word(namespace + &key.name)
        );
        for (name, value) in [
            ("uid", uid),
            ("manifest", manifest_hash),
            ("ownership", ownership_hash),
        ] {
            line.extend(value.map(|value| format!(" {name}={value}")));
        }
        line.extend(removed_by.map(|commit| format!(" gone={commit}")));
        if hook { line + " hook" } else { line }
    }
}

impl TryFrom<String> for InventoryEntry {
    type Error = Invalid;

    fn try_from(line: String) -> std::result::Result<Self, Invalid> {
        let mut words = line.split(' ');
        let mut word = || words.next().map(|word| word.replace("%20", " "));
        let (Some(api_version), Some(kind), Some(name)) = (word(), word(), word()) else {
            return Err(Invalid(format!("`{line}` is not an inventory entry")));
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let (namespace, name) = name
            .split_once('/')
            .map_or((None, name.as_str()), |(namespace, name)| {
                (Some(namespace.to_string()), name)
            });
        let key = ResourceKey {
            group: group.into(),
            kind,
            namespace,
            name: name.into(),
        };
        let mut entry = Self {
            key,
            version: version.into(),
            uid: None,
            manifest_hash: None,
            ownership_hash: None,
            hook: false,
            removed_by: None,
        };
        for word in words {
            match word.split_once('=') {
                Some(("uid", value)) => entry.uid = Some(value.into()),
                // An older windlass wrote `applied` and `left`.
                Some(("manifest" | "applied", value)) => entry.manifest_hash = Some(value.into()),
                Some(("ownership" | "left", value)) => entry.ownership_hash = Some(value.into()),
                Some(("gone", value)) => entry.removed_by = value.parse().ok(),
                None if word == "hook" => entry.hook = true,
                // Written by a newer windlass.
                _ => {}
            }
        }
        Ok(entry)
    }
}

impl JsonSchema for InventoryEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InventoryEntry".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^\\S+ \\S+ \\S+( \\S+)*$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_entry_is_a_line_and_back() {
        let key = |group: &str, namespace: Option<&str>, name: &str| ResourceKey {
            group: group.into(),
            kind: "Kind".into(),
            namespace: namespace.map(str::to_string),
            name: name.into(),
        };
        let text = |text: &str| Some(text.to_string());
        let table = [
            (
                key("apps", Some("shop"), "web"),
                text("u"),
                text("a"),
                text("l"),
                false,
                "apps/v1 Kind shop/web uid=u manifest=a ownership=l",
            ),
            (
                key("", None, "system:a b"),
                None,
                None,
                None,
                true,
                "v1 Kind system:a%20b hook",
            ),
            (
                key("a b", Some("c d"), "e"),
                None,
                text("a"),
                None,
                false,
                "a%20b/v1 Kind c%20d/e manifest=a",
            ),
        ];
        for (key, uid, manifest_hash, ownership_hash, hook, line) in table {
            let entry = InventoryEntry {
                key,
                version: "v1".into(),
                uid,
                manifest_hash,
                ownership_hash,
                hook,
                removed_by: None,
            };
            assert_eq!(String::from(entry.clone()), line);
            assert_eq!(InventoryEntry::try_from(line.to_string()).unwrap(), entry);
        }
        // As an older windlass wrote it.
        let old = "apps/v1 Kind shop/web uid=u applied=a left=l".to_string();
        let entry = InventoryEntry::try_from(old).unwrap();
        assert_eq!(entry.manifest_hash.as_deref(), Some("a"));
        assert_eq!(entry.ownership_hash.as_deref(), Some("l"));
        let line = format!("apps/v1 Kind shop/web uid=u gone={}", "a".repeat(40));
        let entry = InventoryEntry::try_from(line.clone()).unwrap();
        assert_eq!(entry.removed_by, "a".repeat(40).parse().ok());
        assert_eq!(String::from(entry), line);
        for wrong in ["", "v1 Kind"] {
            assert!(
                InventoryEntry::try_from(wrong.to_string()).is_err(),
                "{wrong}"
            );
        }
    }
}
