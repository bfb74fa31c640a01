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
        Self(digest(
            secret,
            b"windlass: the key that secret values are compared by",
        ))
    }

    /// Hides what is secret on both sides, by the same rules and comparing them.
    pub fn pair(&self, mut before: Option<Value>, mut after: Option<Value>) -> Masked {
        let spots = |side: &Option<Value>| side.as_ref().map(secrets).unwrap_or_default();
        let (old, new) = (spots(&before), spots(&after));
        let mut digests = Vec::new();
        for (side, mine, other, changed) in [
            (&mut before, &old, &new, HIDDEN_BEFORE),
            (&mut after, &new, &old, HIDDEN_AFTER),
        ] {
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
        self.texts(&mut before, &mut after, &mut digests);
        digests.sort();
        Masked {
            before,
            after,
            digests,
        }
    }

    /// Hides what stands behind names of credentials inside texts that are shown otherwise.
    fn texts(
        &self,
        before: &mut Option<Value>,
        after: &mut Option<Value>,
        digests: &mut Vec<String>,
    ) {
        let texts = |side: &Option<Value>| side.as_ref().map(texts).unwrap_or_default();
        let (old, new) = (texts(before), texts(after));
        for (side, mine, other, changed) in [
            (before, &old, &new, HIDDEN_BEFORE),
            (after, &new, &old, HIDDEN_AFTER),
        ] {
            let Some(side) = side else { continue };
            for (path, text) in mine {
                let theirs = other.get(path).map(|other| {
                    pieces(other)
                        .into_iter()
                        .map(|(name, at)| (name, other[at].to_string()))
                        .collect::<Vec<_>>()
                });
                let mut hidden = text.clone();
                for (name, at) in pieces(text).into_iter().rev() {
                    let value = &text[at.clone()];
                    let same = theirs.as_ref().is_some_and(|theirs| {
                        theirs
                            .iter()
                            .any(|(other, is)| *other == name && is == value)
                    });
                    let known = theirs
                        .as_ref()
                        .is_some_and(|theirs| theirs.iter().any(|(other, _)| *other == name));
                    hidden.replace_range(at.clone(), if known && !same { changed } else { HIDDEN });
                    if !same {
                        digests.push(hex::encode(
                            &digest(
                                &self.0,
                                format!("{} {name} {value}", path.join("/")).as_bytes(),
                            )[..16],
                        ));
                    }
                }
                if let Some(place) = place(side, path) {
                    *place = Value::String(hidden);
                }
            }
        }
    }

    /// Takes an object's hidden values out of a text about it.
    pub fn scrub(text: &str, object: &Value) -> String {
        let mut text = text.to_string();
        let mut hidden: Vec<String> = secrets(object)
            .values()
            .filter_map(|value| value.as_str().map(str::to_string))
            .collect();
        hidden.extend(hidden.clone().iter().filter_map(|value| plain(value)));
        hidden.extend(
            texts(object)
                .values()
                .flat_map(|text| pieces(text).into_iter().map(|(_, at)| text[at].to_string())),
        );
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
    String::from_utf8(
        base64::engine::general_purpose::STANDARD
            .decode(base64)
            .ok()?,
    )
    .ok()
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
            let arguments = path
                .last()
                .is_some_and(|name| name == "args" || name == "command");
            let mut named = false;
            for (index, item) in items.iter().enumerate() {
                path.push(step(index, item));
                let text = item.as_str().unwrap_or_default();
                // `--password`, and then what it is.
                if arguments && named && !text.is_empty() && !text.starts_with(['-', '$']) {
                    found.insert(path.clone(), item.clone());
                } else {
                    walk(item, path, found);
                }
                named = text.starts_with('-') && !text.contains('=') && names_a_credential(text);
                path.pop();
            }
        }
        Value::String(text) if has_the_shape(text) => {
            found.insert(path.clone(), value.clone());
        }
        _ => {}
    }
}

/// The texts of an object in which a credential may stand behind its name, by path: entries of ConfigMaps, and arguments
/// of containers. What is hidden as a whole is not among them.
fn texts(object: &Value) -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    let whole = secrets(object);
    let mut visit = |path: &[String], value: &Value| {
        if let Some(text) = value
            .as_str()
            .filter(|text| !whole.contains_key(path) && !pieces(text).is_empty())
        {
            found.insert(path.to_vec(), text.to_string());
        }
    };
    fn descend(value: &Value, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Value)) {
        let inside = |path: &[String], name: &str| {
            path.iter().rev().nth(1).is_some_and(|above| above == name)
        };
        match value {
            Value::Object(map) => {
                let config = map.get("kind").is_some_and(|kind| kind == "ConfigMap");
                for (key, below) in map {
                    path.push(key.clone());
                    if config && key == "data" {
                        for (entry, value) in below.as_object().into_iter().flatten() {
                            path.push(entry.clone());
                            visit(path, value);
                            path.pop();
                        }
                    } else {
                        descend(below, path, visit);
                    }
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(step(index, item));
                    if item.is_string() && (inside(path, "args") || inside(path, "command")) {
                        visit(path, item);
                    } else {
                        descend(item, path, visit);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }
    descend(object, &mut Vec::new(), &mut visit);
    found
}

/// Kinds that hold a Secret to be made: `spec.template.data` of a SealedSecret or an ExternalSecret.
fn inside_a_secret(path: &[String]) -> bool {
    path.len() >= 3 && path[path.len() - 2] == "template" && path[path.len() - 3] == "spec"
}

fn step(index: usize, item: &Value) -> String {
    item["name"]
        .as_str()
        .map_or_else(|| index.to_string(), |name| format!("[{name}]"))
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
        if value.as_str().is_some_and(|text| {
            !text.is_empty() && (names_a_credential(key) || has_the_shape(text))
        }) {
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
        let object = serde_json::from_str::<Value>(text).is_ok_and(|inner| {
            inner["kind"].is_string()
                || inner["data"].is_object()
                || inner["stringData"].is_object()
        });
        if object || has_the_shape(text) {
            path.push(key.clone());
            found.insert(path.clone(), value.clone());
            path.pop();
        }
    }
}

fn environment(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    let Some(items) = value.as_array() else {
        return walk(value, path, found);
    };
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
    let words = words(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    // An address that is a credential itself: who knows it may post.
    if last == "url" && words.iter().any(|word| word.contains("webhook")) {
        return true;
    }
    let together: String = words.concat();
    let place = [
        "file", "path", "name", "ref", "url", "ttl", "expiry", "enabled",
    ]
    .iter()
    .any(|end| together.ends_with(end));
    // Short words only count as words of their own: `compass` names nothing.
    let short = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "pass" | "pwd" | "pw" | "dsn" | "psk" | "otp" | "pin"
        )
    });
    let long = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "privatekey",
        "accesskey",
        "signingkey",
        "encryptionkey",
        "masterkey",
        "sharedkey",
        "accountkey",
        "credential",
        "connectionstring",
    ];
    !place && (short || long.iter().any(|word| together.contains(word)))
}

/// `DB_PASS`, `dbPass`, `db.pass` → `db`, `pass`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || c.is_ascii_uppercase() && lower {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Where in a text (a file of a ConfigMap, an argument) credentials stand behind their names: `password = x`,
/// `"token": "x"`, `--db-pass=x`. Each with its name and place.
fn pieces(text: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((name, value)) = piece(line) {
            found.push((name.to_string(), start + value.start..start + value.end));
        }
        start += line.len();
    }
    found
}

fn piece(line: &str) -> Option<(&str, std::ops::Range<usize>)> {
    let at = line.find(['=', ':'])?;
    let name = line[..at]
        .trim()
        .trim_start_matches(['-', '"', '\'', ' ', '{', ','])
        .trim_end_matches(['"', '\'', ' ']);
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(legal) || !names_a_credential(name)
    {
        return None;
    }
    let rest = &line[at + 1..];
    let value = rest
        .trim()
        .trim_end_matches([',', '}', ';'])
        .trim_end()
        .trim_matches(['"', '\'']);
    // What is filled in elsewhere, or says nothing.
    let placeholder = value.starts_with(['$', '<', '%', '{', '|', '>', '&', '*', '/'])
        || matches!(value, "" | "null" | "true" | "false" | "~" | "''");
    if placeholder {
        return None;
    }
    let from = at + 1 + rest.find(value)?;
    Some((name, from..from + value.len()))
}

/// Shapes that only credentials have.
fn has_the_shape(text: &str) -> bool {
    let long = |rest: &str, most: usize| {
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
            .count()
            >= most
    };
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
    let jwt = text
        .split_once("eyJ")
        .is_some_and(|(_, rest)| rest.matches('.').count() >= 2 && long(rest, 10));
    // user:password@ in an address.
    let userinfo = text.split("://").skip(1).any(|rest| {
        let authority = rest
            .split(['/', '?', '#', ' ', '\n'])
            .next()
            .unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| {
            user.split_once(':')
                .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
        })
    });
    text.contains("PRIVATE KEY-----") || prefixed || jwt || userinfo
}

fn place<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else {
        return Some(value);
    };
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
        assert!(
            !shown.contains("CANARY") && !shown.contains("c2Ft"),
            "{shown}"
        );
        assert_eq!(
            masked.before.unwrap()["data"],
            json!({"same": HIDDEN, "token": HIDDEN_BEFORE})
        );
        assert_eq!(
            masked.after.unwrap()["data"],
            json!({"same": HIDDEN, "token": HIDDEN_AFTER})
        );
        let other = mask().pair(Some(secret("CANARY1")), Some(secret("CANARY33")));
        assert_ne!(masked.digests, other.digests);
        assert_ne!(
            masked.digests,
            Mask::new(b"another")
                .pair(Some(secret("CANARY1")), Some(secret("CANARY22")))
                .digests
        );
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
            assert!(
                !masked.after.unwrap().to_string().contains("CANARY"),
                "{object}"
            );
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
        assert_eq!(
            Mask::scrub("Invalid value: \"CANARY\": no", &object),
            "Invalid value: \"(hidden)\": no"
        );
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

    #[test]
    fn names_are_read_word_by_word() {
        for name in [
            "DB_PASS",
            "REDIS_PWD",
            "SIGNING_KEY",
            "SLACK_WEBHOOK_URL",
            "dbPassword",
            "spring.datasource.password",
            "--db-pass",
            "jwtSigningKey",
        ] {
            assert!(names_a_credential(name), "{name}");
        }
        for name in [
            "compass",
            "PASSWORD_FILE",
            "secretName",
            "bypass_cache",
            "WEBHOOK_PORT",
            "pinned",
            "TOKEN_URL",
        ] {
            assert!(!names_a_credential(name), "{name}");
        }
    }

    #[test]
    fn credentials_inside_texts_are_hidden_and_the_rest_is_shown() {
        let mask = Mask::new(b"key");
        let config = |password: &str| {
            let file = format!("host: db\nuser: app\npassword: {password}\nfrom_env: ${{X}}\n");
            serde_json::json!({"kind": "ConfigMap", "data": {"app.yaml": file}})
        };
        let masked = mask.pair(Some(config("hunter2")), Some(config("hunter3")));
        let text = |side: &Option<Value>| {
            side.as_ref().unwrap()["data"]["app.yaml"]
                .as_str()
                .unwrap()
                .to_string()
        };
        assert_eq!(
            text(&masked.before),
            "host: db\nuser: app\npassword: (hidden, old)\nfrom_env: ${X}\n"
        );
        assert_eq!(
            text(&masked.after),
            "host: db\nuser: app\npassword: (hidden, new)\nfrom_env: ${X}\n"
        );
        assert_ne!(
            masked.digests,
            mask.pair(Some(config("hunter2")), Some(config("other")))
                .digests
        );
        assert!(
            mask.pair(Some(config("a1")), Some(config("a1")))
                .digests
                .is_empty()
        );
        let pod = |arguments: Value| serde_json::json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "args": arguments}]}});
        let masked = mask.pair(
            None,
            Some(pod(serde_json::json!([
                "--password=hunter2",
                "--port=1",
                "--token",
                "t0ps3cret",
                "-v",
                "{\"dbPass\": \"x1\"}"
            ]))),
        );
        let shown = masked.after.unwrap()["spec"]["containers"][0]["args"].to_string();
        assert_eq!(
            shown,
            r#"["--password=(hidden)","--port=1","--token","(hidden)","-v","{\"dbPass\": \"(hidden)\"}"]"#
        );
        assert_eq!(
            Mask::scrub("bad hunter2 here", &config("hunter2")),
            "bad (hidden) here"
        );
    }
}
