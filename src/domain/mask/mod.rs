//! Secret values never become part of a plan.
//!
//! Masked are: the data of Secrets (also of a template for one inside another
//! object), annotations that hold whole objects, and values that look like a
//! credential: entries of ConfigMaps and environment variables by their name, and
//! any text by its format. Of a masked value only one thing is shown: whether it
//! differs between the two sides. A keyed digest, which is never shown, makes a
//! plan's digest depend on it.
//!
//! Rooms: `secrets` (values that are masked as a whole), `texts` (credentials inside
//! texts that are shown otherwise), `credentials` (detects them), `path` (paths of
//! values).

use hmac::{Hmac, Mac as _};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;

use self::path::value_at;
use self::secrets::secrets;
use self::texts::{pieces, texts};
use super::canonical_json;

mod credentials;
mod path;
mod secrets;
mod texts;

/// Masks values, with the key of one installation.
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

/// An object of which all may be shown. Only [`Mask`] makes one, so that no plan holds a secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Masked(Value);

impl std::ops::Deref for Masked {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

#[cfg(feature = "sandbox")]
impl Masked {
    /// For tests: what `windlass plan` printed, which is masked already.
    pub fn printed(value: Value) -> Self {
        Self(value)
    }
}

/// Whether a text contains what stands for a hidden value.
pub fn is_hidden(text: &str) -> bool {
    [HIDDEN, HIDDEN_BEFORE, HIDDEN_AFTER]
        .iter()
        .any(|word| text.contains(word))
}

/// A text in which a hidden value is only hidden, whichever side it was on.
pub fn without_side(text: &str) -> String {
    text.replace(HIDDEN_BEFORE, HIDDEN)
        .replace(HIDDEN_AFTER, HIDDEN)
}

/// Both sides of an object, masked.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedPair {
    pub before: Option<Masked>,
    pub after: Option<Masked>,
    /// A keyed digest for each hidden value that differs; never shown.
    pub digests: Vec<String>,
}

impl Mask {
    /// Derives the installation's key from a secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(digest(
            secret,
            b"windlass: the key that secret values are compared by",
        ))
    }

    /// Masks the secret values of both sides, and marks those that differ.
    pub fn pair(&self, mut before: Option<Value>, mut after: Option<Value>) -> MaskedPair {
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
                if let Some(value) = value_at(side, path) {
                    *value = Value::String(if differs { changed } else { HIDDEN }.into());
                }
                if other.get(path) != Some(value) {
                    let text = format!("{} {}", path.join("/"), canonical_json(value));
                    digests.push(hex::encode(&digest(&self.0, text.as_bytes())[..16]));
                }
            }
        }
        self.texts(&mut before, &mut after, &mut digests);
        digests.sort();
        MaskedPair {
            before: before.map(Masked),
            after: after.map(Masked),
            digests,
        }
    }

    /// Masks credentials inside texts that are shown otherwise.
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
                if let Some(value) = value_at(side, path) {
                    *value = Value::String(hidden);
                }
            }
        }
    }

    /// Masks an object's secret values in a text about it.
    pub fn scrub(text: &str, object: &Value) -> String {
        let mut text = text.to_string();
        let mut hidden: Vec<String> = Vec::new();
        secrets(object)
            .values()
            .for_each(|value| leaves(value, &mut hidden));
        hidden.extend(hidden.clone().iter().filter_map(|value| plain(value)));
        hidden.extend(
            texts(object)
                .values()
                .flat_map(|text| pieces(text).into_iter().map(|(_, at)| text[at].to_string())),
        );
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in hidden.iter().filter(|value| value.len() >= 3) {
            text = text.replace(value.as_str(), HIDDEN);
            // Go's %q and JSON escape line breaks and quotes.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            text = text.replace(quoted.trim_matches('"'), HIDDEN);
        }
        text
    }
}

/// The texts and numbers of a value, as a message has them.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, found)),
        Value::Null | Value::Bool(_) => {}
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

#[cfg(test)]
mod tests;
