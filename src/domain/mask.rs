//! Secret values never become part of a plan.
//!
//! What is hidden: the data of Secrets (also of one that stands inside another
//! object, as a template), annotations that hold whole objects, and what looks
//! like a credential elsewhere: entries of ConfigMaps and of containers'
//! environments by their name, and any text by its shape. Of a hidden value is
//! told whether it differs between the two sides, nothing else; a keyed digest,
//! which is never shown, lets a plan's digest tell two values apart.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::canonical_json;

/// The key of one installation.
#[derive(Clone)]
pub struct Mask([u8; 32]);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(…)")
    }
}

const HIDDEN: &str = "(hidden)";
const HIDDEN_BEFORE: &str = "(hidden, old)";
const HIDDEN_AFTER: &str = "(hidden, new)";

/// Two sides of which all may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// A keyed digest for each hidden value that differs; never shown.
    pub digests: Vec<String>,
}

impl Mask {
    /// Derives the installation's key from a secret that it has.
    pub fn new(secret: &[u8]) -> Self {
        Self(digest(secret, b"windlass: the key that secret values are compared by"))
    }

    /// Hides what is secret on both sides, by the same rules and comparing them.
    pub fn pair(&self, mut before: Option<Value>, mut after: Option<Value>) -> Masked {
        let spots = |side: &Option<Value>| side.as_ref().map(secrets).unwrap_or_default();
        let (old, new) = (spots(&before), spots(&after));
        let mut digests = Vec::new();
        for (side, mine, other, changed) in [(&mut before, &old, &new, HIDDEN_BEFORE), (&mut after, &new, &old, HIDDEN_AFTER)] {
            let Some(side) = side else { continue };
            for (path, value) in mine {
                let differs = other.get(path).is_some_and(|other| other != value);
                if let Some(place) = place(side, path) {
                    *place = Value::String(if differs { changed } else { HIDDEN }.into());
                }
                if other.get(path) != Some(value) {
                    let text = format!("{} {}", path.join("/"), canonical_json(value));
                    digests.push(hex::encode(&digest(&self.0, text.as_bytes())[..16]));
                }
            }
        }
        digests.sort();
        Masked { before, after, digests }
    }

    /// Takes an object's hidden values out of a text about it.
    pub fn scrub(text: &str, object: &Value) -> String {
        let mut text = text.to_string();
        let mut hidden: Vec<String> = secrets(object).values().filter_map(|value| value.as_str().map(str::to_string)).collect();
        hidden.extend(hidden.clone().iter().filter_map(|value| plain(value)));
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in hidden.iter().filter(|value| value.len() >= 3) {
            text = text.replace(value.as_str(), HIDDEN);
            // Go's %q and JSON print line breaks and quotes so.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            text = text.replace(quoted.trim_matches('"'), HIDDEN);
        }
        text
    }
}

fn digest(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn plain(base64: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(base64).ok()?).ok()
}

/// The hidden values of an object, by path. An item of a list is named by its `name` where it has one.
fn secrets(object: &Value) -> BTreeMap<Vec<String>, Value> {
    let mut found = BTreeMap::new();
    walk(object, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    match value {
        Value::Object(map) => {
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
            for (key, below) in map {
                path.push(key.clone());
                let data = matches!(key.as_str(), "data" | "stringData");
                if data && (kind == "Secret" || inside_a_secret(path)) {
                    every(below, path, found);
                } else if (data && kind == "ConfigMap") || key == "binaryData" {
                    entries(below, path, found);
                } else if key == "annotations" {
                    annotations(below, path, found);
                } else if key == "env" {
                    environment(below, path, found);
                } else {
                    walk(below, path, found);
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(step(index, item));
                walk(item, path, found);
                path.pop();
            }
        }
        Value::String(text) if has_the_shape(text) => {
            found.insert(path.clone(), value.clone());
        }
        _ => {}
    }
}

/// Kinds that hold a Secret to be made: `spec.template.data` of a SealedSecret or an ExternalSecret.
fn inside_a_secret(path: &[String]) -> bool {
    path.len() >= 3 && path[path.len() - 2] == "template" && path[path.len() - 3] == "spec"
}

fn step(index: usize, item: &Value) -> String {
    item["name"].as_str().map_or_else(|| index.to_string(), |name| format!("[{name}]"))
}

fn every(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                found.insert(path.clone(), value.clone());
                path.pop();
            }
        }
        Value::Null => {}
        other => {
            found.insert(path.clone(), other.clone());
        }
    }
}

fn entries(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if value.as_str().is_some_and(|text| !text.is_empty() && (names_a_credential(key) || has_the_shape(text))) {
            path.push(key.clone());
            found.insert(path.clone(), value.clone());
            path.pop();
        }
    }
}

/// Tools keep whole objects in annotations, Secrets among them.
fn annotations(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let object = serde_json::from_str::<Value>(text)
            .is_ok_and(|inner| inner["kind"].is_string() || inner["data"].is_object() || inner["stringData"].is_object());
        if object || has_the_shape(text) {
            path.push(key.clone());
            found.insert(path.clone(), value.clone());
            path.pop();
        }
    }
}

fn environment(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    let Some(items) = value.as_array() else { return walk(value, path, found) };
    for (index, item) in items.iter().enumerate() {
        path.push(step(index, item));
        let name = item["name"].as_str().unwrap_or_default();
        let text = item["value"].as_str().unwrap_or_default();
        if !text.is_empty() && (names_a_credential(name) || has_the_shape(text)) {
            path.push("value".into());
            found.insert(path.clone(), item["value"].clone());
            path.pop();
        } else {
            walk(item, path, found);
        }
        path.pop();
    }
}

/// Names that people give to credentials. Names of where one is found (`…_FILE`, `secretName`) are not among them.
fn names_a_credential(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let place = ["file", "path", "name", "ref", "url", "ttl", "expiry", "enabled"].iter().any(|end| name.ends_with(end));
    !place
        && [
            "password",
            "passwd",
            "passphrase",
            "secret",
            "token",
            "apikey",
            "privatekey",
            "accesskey",
            "credential",
            "connectionstring",
            "dsn",
        ]
        .iter()
        .any(|word| name.contains(word))
}

/// Shapes that only credentials have.
fn has_the_shape(text: &str) -> bool {
    let long = |rest: &str, most: usize| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).count() >= most;
    let prefixed = [
        ("ghp_", 30),
        ("gho_", 30),
        ("ghs_", 30),
        ("github_pat_", 30),
        ("glpat-", 18),
        ("xoxb-", 20),
        ("xoxp-", 20),
        ("sk_live_", 16),
        ("AKIA", 16),
    ]
    .iter()
    .any(|(prefix, most)| text.split(prefix).skip(1).any(|rest| long(rest, *most)));
    let jwt = text.split_once("eyJ").is_some_and(|(_, rest)| rest.matches('.').count() >= 2 && long(rest, 10));
    // user:password@ in an address.
    let userinfo = text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', '\n']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$')))
    });
    text.contains("PRIVATE KEY-----") || prefixed || jwt || userinfo
}

fn place<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let below = match value {
        Value::Object(map) => map.get_mut(first)?,
        Value::Array(items) => {
            let at = (0..items.len()).find(|index| step(*index, &items[*index]) == *first)?;
            items.get_mut(at)?
        }
        _ => return None,
    };
    place(below, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mask() -> Mask {
        Mask::new(b"an installation")
    }

    #[test]
    fn hidden_values_tell_only_whether_they_differ() {
        let secret = |token: &str| json!({"kind": "Secret", "data": {"same": "c2FtZQ==", "token": token}, "stringData": {"plain": token}});
        let masked = mask().pair(Some(secret("CANARY1")), Some(secret("CANARY22")));
        let shown = format!("{:?} {:?}", masked.before, masked.after);
        assert!(!shown.contains("CANARY") && !shown.contains("c2Ft"), "{shown}");
        assert_eq!(masked.before.unwrap()["data"], json!({"same": HIDDEN, "token": HIDDEN_BEFORE}));
        assert_eq!(masked.after.unwrap()["data"], json!({"same": HIDDEN, "token": HIDDEN_AFTER}));
        let other = mask().pair(Some(secret("CANARY1")), Some(secret("CANARY33")));
        assert_ne!(masked.digests, other.digests);
        assert_ne!(masked.digests, Mask::new(b"another").pair(Some(secret("CANARY1")), Some(secret("CANARY22"))).digests);
    }

    #[test]
    fn credentials_are_known_wherever_they_stand() {
        let jwt = format!("eyJ{}.{}.x", "a".repeat(20), "b".repeat(20));
        let hidden = [
            json!({"kind": "ConfigMap", "data": {"DB_PASSWORD": "CANARY"}}),
            json!({"kind": "ConfigMap", "data": {"app.conf": "x\n-----BEGIN RSA PRIVATE KEY-----\nCANARY"}}),
            json!({"kind": "ConfigMap", "data": {"url": "postgres://user:CANARY@db/x"}}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "API_KEY", "value": "CANARY"}]}]}}}}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "args": [format!("--t=CANARY{jwt}")]}]}}}}),
            json!({"kind": "SealedSecret", "spec": {"template": {"data": {"a": "CANARY"}}}}),
            json!({"kind": "X", "spec": {"object": {"kind": "Secret", "stringData": {"a": "CANARY"}}}}),
            json!({"kind": "Secret", "data": "CANARY, not even an object"}),
            json!({"kind": "X", "metadata": {"annotations": {"last": "{\"kind\":\"Secret\",\"data\":{\"a\":\"CANARY\"}}"}}}),
        ];
        for object in hidden {
            let masked = mask().pair(None, Some(object.clone()));
            assert!(!masked.after.unwrap().to_string().contains("CANARY"), "{object}");
        }
        let shown = [
            json!({"kind": "ConfigMap", "data": {"greeting": "hello", "TOKEN_FILE": "/run/token"}}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x@sha256:00", "env": [{"name": "PORT", "value": "80"}]}],
                "volumes": [{"name": "s", "secret": {"secretName": "s"}}]}}}}),
        ];
        for object in shown {
            assert_eq!(mask().pair(None, Some(object.clone())).after, Some(object));
        }
    }

    #[test]
    fn what_the_server_quotes_is_taken_out() {
        let object = json!({"kind": "Deployment", "env": [{"name": "API_KEY", "value": "CANARY"}]});
        assert_eq!(Mask::scrub("Invalid value: \"CANARY\": no", &object), "Invalid value: \"(hidden)\": no");
    }

    proptest! {
        #[test]
        fn no_value_of_a_secret_is_ever_shown(values in proptest::collection::btree_map("[a-z.]{1,6}", "[ -~]{8,20}", 1..5), string in any::<bool>()) {
            let field = if string { "stringData" } else { "data" };
            let object = json!({"kind": "Secret", "metadata": {"name": "s"}, field: values});
            let masked = mask().pair(Some(object.clone()), Some(object));
            let text = format!("{} {}", masked.before.unwrap(), masked.after.unwrap());
            for value in values.values() {
                let json = serde_json::to_string(value).unwrap();
                prop_assert!(!text.contains(json.trim_matches('"')));
            }
        }
    }
}
