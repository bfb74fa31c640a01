//! Encrypted files in the data of a Secret, as kustomize's `secretGenerator` puts them there.
//!
//! A file of variables (`envs`) becomes an entry for each variable, beside entries for what SOPS
//! wrote about the file; any other file (`files`) is one entry. Flux decrypts both
//! (kustomize-controller, internal/decryptor); a repository whose project has no key keeps the
//! files as they are.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::value::{self, DataKey};
use super::{Encrypted, Keys, OTHER_WAYS};
use crate::domain::manifest::Manifest;
use crate::domain::yaml;

/// What SOPS writes about a file of variables, as variables (getsops/sops stores/dotenv).
const PREFIX: &str = "sops_";
const MAC: &str = "sops_mac";

/// Whether a Secret's data has what SOPS encrypted.
pub fn has_encrypted_files(manifest: &Manifest) -> bool {
    let data = manifest.value["data"].as_object();
    let data = data.filter(|_| manifest.key.is_core("Secret"));
    data.is_some_and(|data| {
        data.contains_key(MAC) || data.values().any(|entry| read(entry).is_some())
    })
}

/// Opens the files in a Secret's data. Each opened entry with what stood there.
pub(super) fn open(keys: &Keys, object: &mut Value) -> Result<BTreeMap<String, String>, Encrypted> {
    let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) else {
        return Ok(BTreeMap::new());
    };
    let (mut opened, mut sealed) = (data.clone(), BTreeMap::new());
    let mut put = |data: &mut Map<String, Value>, name: &String, text: &str| {
        let before = data.insert(name.clone(), STANDARD.encode(text).into());
        let before = before.as_ref().and_then(Value::as_str);
        sealed.insert(name.clone(), before.unwrap_or_default().to_string());
    };
    if data.contains_key(MAC) {
        let all = data.iter();
        let all: Vec<_> = all
            .filter_map(|(name, entry)| Some((name.clone(), decoded(entry)?)))
            .collect();
        let about = about(
            all.iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        );
        let key = keys.data_key(&about)?;
        opened.retain(|name, _| !name.starts_with(PREFIX));
        let is_open = |(name, text): &&(String, String)| {
            !name.starts_with(PREFIX) && value::is_encrypted(text)
        };
        for (name, text) in all.iter().filter(is_open) {
            put(&mut opened, name, &variable(&key, name, text)?);
        }
    }
    for (name, entry) in data.iter().filter(|_| !keys.0.is_empty()) {
        if let Some(file) = read(entry) {
            put(&mut opened, name, &file.open(keys, name)?);
        }
    }
    *data = opened;
    Ok(sealed)
}

/// A file that SOPS encrypted.
enum File {
    /// YAML or JSON.
    Document(Value),
    /// Lines, each `NAME=VALUE` or something else.
    Variables(String),
}

fn decoded(entry: &Value) -> Option<String> {
    // kustomize breaks long values into lines.
    let text: String = entry.as_str()?.split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// None: the entry is no file that SOPS encrypted.
fn read(entry: &Value) -> Option<File> {
    let text = decoded(entry).filter(|text| text.contains("ENC[AES256_GCM,"))?;
    if text.lines().any(|line| line.starts_with("sops_mac=")) {
        return Some(File::Variables(text));
    }
    let document: Value = yaml::parse(&text).ok()?;
    let is_encrypted = document["sops"]["mac"].is_string();
    is_encrypted.then_some(File::Document(document))
}

impl File {
    /// Its text; that of a document as JSON. `name`: of its entry.
    fn open(self, keys: &Keys, name: &str) -> Result<String, Encrypted> {
        match self {
            Self::Variables(text) => {
                let pair = |line: &str| {
                    let (name, value) = line.split_once('=')?;
                    Some((name.to_string(), value.to_string()))
                };
                let pairs: Vec<_> = text.lines().filter_map(pair).collect();
                let of = pairs
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()));
                let key = keys.data_key(&about(of))?;
                let lines = text.lines().filter(|line| !line.starts_with(PREFIX));
                let open = |line: &str| match line.split_once('=') {
                    Some((name, value)) if value::is_encrypted(value) => {
                        Ok(format!("{name}={}\n", variable(&key, name, value)?))
                    }
                    _ => Ok(format!("{line}\n")),
                };
                lines.map(open).collect()
            }
            Self::Document(mut document) => {
                let key = keys.data_key(&document["sops"])?;
                document.as_object_mut().map(|fields| fields.remove("sops"));
                tree(&key, &mut document, &mut Vec::new(), name)?;
                let is_other = ![".json", ".yaml", ".yml"]
                    .iter()
                    .any(|ending| name.ends_with(ending));
                // A file of any other format is the one value of a document.
                let alone = document.as_object().filter(|fields| fields.len() == 1);
                let alone = alone.and_then(|fields| fields.get("data")?.as_str());
                Ok(match alone {
                    Some(text) if is_other => text.into(),
                    // Which every reader of YAML reads too, whatever it takes for a yes.
                    _ => format!("{document:#}\n"),
                })
            }
        }
    }
}

/// A variable's value, on one line as sops and kustomize have it.
fn variable(key: &DataKey, name: &str, text: &str) -> Result<String, Encrypted> {
    match key.open(text, &[name]) {
        Some(Value::String(value)) => Ok(value.replace('\n', "\\n")),
        _ => Err(Encrypted::Changed(format!("data.{name}"))),
    }
}

/// Opens all values below a path. The items of a list have the list's path.
fn tree(
    key: &DataKey,
    value: &mut Value,
    path: &mut Vec<String>,
    file: &str,
) -> Result<(), Encrypted> {
    match value {
        Value::String(text) if value::is_encrypted(text) => {
            let at: Vec<_> = path.iter().map(String::as_str).collect();
            let opened = key.open(text, &at);
            let changed = || Encrypted::Changed(format!("data.{file}: {}", path.join(".")));
            *value = opened.ok_or_else(changed)?;
        }
        Value::Array(items) => {
            for item in items {
                tree(key, item, path, file)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                tree(key, field, path, file)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// What SOPS wrote about a file of variables, as it writes it elsewhere: its age recipients, and
/// which other keys it has.
fn about<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let mut age: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
    let mut all = Map::new();
    for (name, value) in variables {
        let Some(name) = name.strip_prefix(PREFIX) else {
            continue;
        };
        // `age__list_0__map_enc`.
        if let Some((number, field)) = name
            .strip_prefix("age__list_")
            .and_then(|rest| rest.split_once("__map_"))
            && let Ok(number) = number.parse()
        {
            let text = value.replace("\\n", "\n").into();
            age.entry(number).or_default().insert(field.into(), text);
        }
        let is_of = |way: &&&str| name.starts_with(&format!("{way}__list_"));
        if let Some(way) = OTHER_WAYS.iter().find(is_of) {
            all.insert((*way).into(), json!([{}]));
        }
    }
    let age = age.into_values().map(Value::Object);
    all.insert("age".into(), age.collect());
    Value::Object(all)
}
