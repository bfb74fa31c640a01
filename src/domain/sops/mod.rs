//! Secrets that SOPS encrypted for age keys: decrypted by the keys of a project.
//!
//! SOPS encrypts each value by a data key of the file, bound to the value's path, and the data key
//! for each recipient (getsops/sops README, "Encryption Protocol"). Only age recipients are read,
//! since every other kind names a server that the author of the file chose. The file's own
//! checksum covers what a renderer changes, such as labels, so it is not compared; as in Flux,
//! each value is authenticated by itself.
//!
//! - [`age`]: an age file, opened by an X25519 identity
//! - [`value`]: one encrypted value

mod age;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Invalid;
use super::fence::Project;
use super::manifest::Manifest;
use age::Identity;
use value::DataKey;

/// The age keys of a project. Their debug form shows how many there are.
#[derive(Clone, Default)]
pub struct Keys(Arc<Vec<Identity>>);

/// The age keys of a server's projects.
#[derive(Clone, Default, Debug)]
pub struct ProjectKeys {
    /// By the project's name.
    pub of: BTreeMap<String, Keys>,
    /// Of everything else.
    pub others: Keys,
}

impl ProjectKeys {
    pub fn of(&self, project: Option<&Project>) -> &Keys {
        let named = project.and_then(|project| self.of.get(&project.name));
        named.unwrap_or(&self.others)
    }
}

/// Why an object stays encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Encrypted {
    #[error("no age key")]
    NoKey,
    #[error("not a Secret")]
    NotASecret,
    /// With the recipients that it is encrypted for: `age1…`, or another kind of key.
    #[error("for other keys")]
    OtherKeys(Vec<String>),
    /// With the path of a value that its data key does not open.
    #[error("changed")]
    Changed(String),
}

/// The ways of SOPS to encrypt a data key, besides age, by the name that its file has them by.
const OTHER_WAYS: [&str; 6] = [
    "kms",
    "gcp_kms",
    "azure_kv",
    "hc_vault",
    "pgp",
    "key_groups",
];

impl Keys {
    /// Reads a file of `age-keygen`: one `AGE-SECRET-KEY-1…` a line; lines that begin with # are
    /// comments.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let identity = |(at, line): (usize, &str)| {
            Identity::parse(line).ok_or_else(|| {
                // The line is a secret, or nearly one.
                Invalid(format!(
                    "line {} is not an age key: it begins with AGE-SECRET-KEY-1, as age-keygen writes it",
                    at + 1
                ))
            })
        };
        let identities: Vec<_> = lines.map(identity).collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err(Invalid("there is no age key".into()));
        }
        Ok(Self(identities.into()))
    }

    /// Decrypts an object that SOPS encrypted, if it is one; otherwise it stays as it is.
    pub fn decrypt(&self, manifest: &mut Manifest) -> Result<(), Encrypted> {
        if !manifest.is_encrypted() {
            return Ok(());
        }
        // Whatever else it is would be shown in previews.
        if !manifest.key.is_core("Secret") {
            return Err(Encrypted::NotASecret);
        }
        let key = self.data_key(&manifest.value["sops"])?;
        let mut object = manifest.value.clone();
        object.as_object_mut().map(|object| object.remove("sops"));
        open(&mut object, &key, &mut Vec::new())?;
        manifest.value = object;
        Ok(())
    }

    /// The data key of a file, by what SOPS wrote about it.
    fn data_key(&self, sops: &Value) -> Result<DataKey, Encrypted> {
        if self.0.is_empty() {
            return Err(Encrypted::NoKey);
        }
        let recipients = sops["age"].as_array().into_iter().flatten();
        for recipient in recipients.clone() {
            let text = recipient["enc"].as_str().unwrap_or_default();
            let mut opened = self.0.iter().filter_map(|key| age::open(text, key));
            if let Some(key) = opened.find_map(|key| DataKey::new(&key)) {
                return Ok(key);
            }
        }
        let mut others: Vec<_> = recipients
            .filter_map(|one| one["recipient"].as_str().map(str::to_string))
            .collect();
        let is_there = |way: &&&str| sops[**way].as_array().is_some_and(|all| !all.is_empty());
        others.extend(OTHER_WAYS.iter().filter(is_there).map(ToString::to_string));
        Err(Encrypted::OtherKeys(others))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Opens each encrypted value. The items of a list have the path of the list.
fn open<'a>(value: &'a mut Value, key: &DataKey, path: &mut Vec<&'a str>) -> Result<(), Encrypted> {
    match value {
        Value::String(text) if value::is_encrypted(text) => {
            let opened = key.open(text, path);
            *value = opened.ok_or_else(|| Encrypted::Changed(path.join(".")))?;
            Ok(())
        }
        Value::Array(items) => {
            for item in items {
                let mut path = path.clone();
                open(item, key, &mut path)?;
            }
            Ok(())
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let mut path = path.clone();
                path.push(name);
                open(item, key, &mut path)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
