//! Secrets that SOPS encrypted for age keys: decrypted by the keys of a project.
//!
//! SOPS encrypts each value by a data key of the file, bound to the value's path, and the data key
//! for each recipient (getsops/sops README, "Encryption Protocol"). Only age recipients are read,
//! since every other kind names a server that the author of the file chose. The file's own
//! checksum covers what a renderer changes, such as labels, so it is not compared; as in Flux,
//! each value is authenticated by itself.
//!
//! - [`age`]: an age file, opened by an X25519 identity
//! - [`files`]: encrypted files in the data of a Secret
//! - [`value`]: one encrypted value

mod age;
mod files;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Invalid;
use super::fence::Project;
use super::manifest::Manifest;
use age::Identity;
pub use files::has_encrypted_files;
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
    /// With the path of a value that its data key does not open, or that is at a place where no
    /// Secret has one.
    #[error("changed")]
    Changed(String),
    /// With the path of a value that is a number or a yes or no.
    #[error("no text")]
    NotText(String),
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
        let keys = Self::parse_own(text)?;
        match keys.0.is_empty() {
            true => Err(Invalid("there is no age key".into())),
            false => Ok(keys),
        }
    }

    /// Reads a person's own file, which may be empty, or have keys of plugins: those are passed over.
    pub fn parse_own(text: &str) -> Result<Self, Invalid> {
        let lines = text.lines().map(str::trim).enumerate();
        let is_other =
            |line: &str| line.starts_with("AGE-PLUGIN-") || line.starts_with("AGE-SECRET-KEY-PQ-");
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.filter(|(_, line)| !is_other(line));
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
        Ok(Self(identities.into()))
    }

    /// Decrypts an object that SOPS encrypted, or a Secret with files that it did, if it is one;
    /// otherwise it stays as it is.
    pub fn decrypt(&self, manifest: &mut Manifest) -> Result<(), Encrypted> {
        if has_encrypted_files(manifest) && !manifest.is_encrypted() {
            let mut object = manifest.value.clone();
            let sealed = files::open(self, &mut object)?;
            (manifest.value, manifest.sealed) = (object, sealed);
        }
        if !manifest.is_encrypted() {
            return Ok(());
        }
        // Whatever else it is would be shown in previews.
        if !manifest.key.is_core("Secret") {
            return Err(Encrypted::NotASecret);
        }
        let key = self.data_key(&manifest.value["sops"])?;
        let (mut object, mut sealed) = (manifest.value.clone(), BTreeMap::new());
        let fields = object.as_object_mut().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "sops") {
            let is_data = matches!(name.as_str(), "data" | "stringData") && value.is_object();
            // Nothing else of a Secret is hidden in previews and messages.
            if !is_data && has_encrypted(value) {
                return Err(Encrypted::Changed(name.clone()));
            }
            let entries = value.as_object_mut().filter(|_| is_data);
            for (entry, value) in entries.into_iter().flatten() {
                sealed.extend(open((name, entry), value, &key)?);
            }
        }
        // The server takes the plain one of two: what was reviewed would be the other.
        let has = |field: &str, key: &String| object[field].get(key).is_some();
        let in_both = |key: &&String| has("data", key) && has("stringData", key);
        if let Some(key) = sealed.keys().find(in_both) {
            return Err(Encrypted::Changed(format!("data.{key}")));
        }
        object.as_object_mut().map(|object| object.remove("sops"));
        (manifest.value, manifest.sealed) = (object, sealed);
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

/// Opens one value of a Secret's data, and only a text: what the server says of anything else quotes
/// it. The key with what stood there, if it was encrypted.
fn open(
    (field, name): (&str, &str),
    value: &mut Value,
    key: &DataKey,
) -> Result<Option<(String, String)>, Encrypted> {
    let changed = || Encrypted::Changed(format!("{field}.{name}"));
    match value {
        Value::String(text) if value::is_encrypted(text) => {
            // SOPS joins a value's path by colons.
            if name.contains(':') {
                return Err(changed());
            }
            let sealed = (name.to_string(), std::mem::take(text));
            *value = match key.open(&sealed.1, &[field, name]) {
                Some(opened @ Value::String(_)) => opened,
                Some(_) => return Err(Encrypted::NotText(format!("{field}.{name}"))),
                None => return Err(changed()),
            };
            Ok(Some(sealed))
        }
        other if has_encrypted(other) => Err(changed()),
        _ => Ok(None),
    }
}

fn has_encrypted(value: &Value) -> bool {
    match value {
        Value::String(text) => value::is_encrypted(text),
        Value::Array(items) => items.iter().any(has_encrypted),
        Value::Object(fields) => fields.values().any(has_encrypted),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
