//! The file as written: its structure, placeholders that YAML would misread, and
//! errors that suggest the key that was meant.

use serde::Deserialize;

use super::{MergePolicy, invalid};
use crate::domain::ownership::FieldRule;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name, yaml};

/// Parses the text. Placeholders are still guarded: see [`unguarded`].
pub(super) fn read(text: &str) -> Result<RawCatalog, Invalid> {
    yaml::parse(&guarded(text)).map_err(|error| explain(&unguarded(&error)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCatalog {
    pub(super) version: u32,
    pub(super) stages: Ordered<RawStage>,
    pub(super) applications: Vec<RawRule>,
    #[serde(default)]
    pub(super) health: Vec<RawHealth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealth {
    pub(super) group: String,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) progressing: Option<String>,
    #[serde(default)]
    pub(super) failed: Option<String>,
    #[serde(default)]
    pub(super) healthy: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReconcile {
    pub(super) by: RawReconciler,
    #[serde(default)]
    pub(super) namespace: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawReconciler {
    Windlass,
    ArgoCd,
    Flux,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    pub(super) cluster: String,
    #[serde(default)]
    pub(super) after: Vec<Name>,
    #[serde(default)]
    pub(super) merge: MergePolicy,
    #[serde(default)]
    pub(super) gates: RawGates,
    #[serde(default)]
    pub(super) reconcile: Option<RawReconcile>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGates {
    #[serde(default)]
    pub(super) approvals: u32,
    #[serde(default)]
    pub(super) approvers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) name: Option<Name>,
    pub(super) path: String,
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) images: Ordered<RawImage>,
    #[serde(default)]
    pub(super) chart: Option<String>,
    #[serde(default)]
    pub(super) ignore: Vec<FieldRule>,
    #[serde(default)]
    pub(super) take: Vec<FieldRule>,
    #[serde(default)]
    pub(super) drift: DriftMode,
    #[serde(default, rename = "dependsOn")]
    pub(super) depends_on: Vec<Name>,
    #[serde(default, rename = "healthTimeout")]
    pub(super) health_timeout: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImage {
    pub(super) source: String,
}

/// A mapping that keeps the order of its entries.
pub(super) struct Ordered<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

impl RawRule {
    pub(super) fn unguarded(self) -> Self {
        let images = self.images.0.into_iter().map(|(image, raw)| {
            (
                unguarded(&image),
                RawImage {
                    source: unguarded(&raw.source),
                },
            )
        });
        Self {
            path: unguarded(&self.path),
            namespace: unguarded(&self.namespace),
            images: Ordered(images.collect()),
            name: self.name,
            chart: self.chart.map(|chart| unguarded(&chart)),
            ignore: self.ignore,
            take: self.take,
            drift: self.drift,
            depends_on: self.depends_on,
            health_timeout: self.health_timeout,
        }
    }
}

/// Replaces the braces of placeholders by other characters while the file is parsed. Otherwise YAML would end the flow
/// mapping `{ source: acme/{application} }` at the first closing brace. The text's columns stay the same.
fn guarded(text: &str) -> String {
    text.replace("{application}", "\u{e000}application\u{e001}")
        .replace("{stage}", "\u{e000}stage\u{e001}")
}

pub(super) fn unguarded(text: &str) -> String {
    text.replace('\u{e000}', "{").replace('\u{e001}', "}")
}

/// Adds the file's name, and the nearest key to an unknown one.
fn explain(error: &str) -> Invalid {
    let mut text = error.to_string();
    let first = error.lines().next().unwrap_or_default();
    if let Some((unknown, expected)) = first
        .split_once("unknown ")
        .and_then(|(_, rest)| rest.split_once(", expected "))
    {
        let unknown = unknown.split('`').nth(1).unwrap_or_default();
        let known = expected
            .trim_start_matches("one of ")
            .split([',', ' '])
            .map(|key| key.trim_matches('`'))
            .filter(|key| !key.is_empty());
        let nearest = known
            .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
            .min();
        if let Some((_, nearest)) = nearest.filter(|(distance, _)| *distance <= 3) {
            text.push_str(&format!("\ndid you mean `{nearest}`?"));
        }
    }
    invalid(text)
}
