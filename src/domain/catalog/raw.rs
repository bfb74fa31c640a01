//! The file as written: its structure, placeholders that YAML would misread, and
//! errors that suggest the key that was meant.

use schemars::JsonSchema;
use serde::Deserialize;

use super::discover::RawDiscovers;
use super::helm::RawHelm;
use super::images::RawImage;
use super::placeholders::{guarded, unguarded};
use super::{ClusterRule, FILE, MergePolicy, RollbackPolicy, invalid};
use crate::domain::notification::Moment;
use crate::domain::ownership::FieldRule;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name, yaml};

/// The size of the file.
const MOST_BYTES: usize = 256 << 10;

/// Parses the text. Placeholders are still guarded: see [`unguarded`].
pub(super) fn read(text: &str) -> Result<RawCatalog, Invalid> {
    if text.len() > MOST_BYTES {
        return Err(invalid(format_args!(
            "it has more than {} KiB",
            MOST_BYTES >> 10
        )));
    }
    yaml::parse(&guarded(text)).map_err(|error| explain(&unguarded(&error)))
}

/// The file `windlass.yaml` at the root of a config repository.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCatalog {
    /// The version of the format: 1.
    #[serde(deserialize_with = "whole_number")]
    pub(super) version: u32,
    /// The places that applications go to, in order, by their names: at most 40 lower-case letters,
    /// digits and inner dashes.
    /// By default one stage `live`, on the cluster `local`.
    #[serde(default)]
    pub(super) stages: Option<Ordered<RawStage>>,
    /// What is deployed: rules that turn directories into applications. The first rule that matches
    /// a directory wins. Not needed with `discover`.
    #[serde(default)]
    pub(super) applications: Option<Vec<RawRule>>,
    /// `flux`: every Kustomization in this repository whose source is this repository is an
    /// application, which Flux applies. `argocd`: every Argo CD Application likewise. Or a mapping
    /// that says where they are, or a list of those.
    #[serde(default)]
    pub(super) discover: RawDiscovers,
    /// When a custom kind is healthy. Without a rule its condition `Ready` counts.
    #[serde(default)]
    pub(super) health: Vec<RawHealth>,
}

/// The health of one custom kind. The conditions are CEL expressions over `self`, evaluated in the
/// order `progressing`, `failed`, `healthy`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealth {
    /// The API group of the kind.
    pub(super) group: String,
    /// The kind.
    pub(super) kind: String,
    /// True while a change is being carried out.
    #[serde(default)]
    pub(super) progressing: Option<String>,
    /// True when it has failed.
    #[serde(default)]
    pub(super) failed: Option<String>,
    /// True when it is healthy.
    #[serde(default)]
    pub(super) healthy: Option<String>,
}

/// Who applies a stage.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReconcile {
    /// `windlass` (default), `argocd` or `flux`. With the latter two, windlass previews, gates and promotes, and applies nothing.
    pub(super) by: RawReconciler,
    /// The namespace of the Argo CD `Application` or Flux `Kustomization`: `argocd` or
    /// `flux-system` by default.
    #[serde(default)]
    pub(super) namespace: Option<String>,
    /// Its name: `{application}-{stage}` by default.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// The cluster that it is in, where Argo CD or Flux applies to another cluster than its own: a
    /// name that the server's settings know.
    #[serde(default)]
    pub(super) cluster: Option<String>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawReconciler {
    Windlass,
    ArgoCd,
    Flux,
}

/// One stage.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    /// A cluster that the server's settings name; `local` (default) is the one that windlass runs
    /// in.
    #[serde(default)]
    pub(super) cluster: Option<String>,
    /// In the place of `cluster`: several clusters. Each application is then deployed to each of
    /// them; `{cluster}` in its path and settings is the cluster's name.
    #[serde(default)]
    pub(super) clusters: Option<ClusterRule>,
    /// Stages above. An image is proposed here once each of them is healthy with the same digest.
    /// Where an application has no directory in such a stage, the stages before that one count
    /// instead; where it has none of those either, image events begin here.
    #[serde(default)]
    pub(super) after: Vec<Name>,
    /// `auto`: windlass merges its own image pull requests without a review. `reviewed` (default): after one approval.
    #[serde(default)]
    pub(super) merge: MergePolicy,
    /// `auto`: when a sync fails, or the application becomes unhealthy within `rollbackWindow` after it, windlass opens a pull request back to the last healthy commit, merges it under the rules of the stage, and holds the stage. `manual` (default): only `/rollback` does that.
    #[serde(default)]
    pub(super) rollback: RollbackPolicy,
    /// With `rollback: auto`: how long after it was healthy first a commit counts as the cause of a
    /// failure: `10m` by default.
    #[serde(default, rename = "rollbackWindow")]
    pub(super) rollback_window: Option<String>,
    /// What a pull request that touches the stage needs.
    #[serde(default)]
    pub(super) gates: RawGates,
    /// Who applies the stage.
    #[serde(default)]
    pub(super) reconcile: Option<RawReconcile>,
    /// Who is notified of what happens in the stage.
    #[serde(default)]
    pub(super) notify: Vec<RawNotify>,
}

/// What is sent to a channel.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    /// A channel that the server's settings name (`--notifications`).
    pub(super) to: String,
    /// `failed`: a sync failed, or what runs became unhealthy; `waiting`: a person has to decide; `healthy`: a change
    /// is healthy, or what had failed is again; `drift`: a change in the cluster was reverted. `[failed, waiting]` by
    /// default.
    #[serde(default = "failed_and_waiting")]
    pub(super) on: Vec<Moment>,
}

fn failed_and_waiting() -> Vec<Moment> {
    vec![Moment::Failed, Moment::Waiting]
}

/// What a pull request that touches a stage needs.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGates {
    /// How many approving reviews: 0 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub(super) approvals: u32,
    /// Whose approvals count: `user`, `organisation/team`, or `CODEOWNERS` (whoever owns every
    /// changed file that the application reads, by the base branch). By default everybody who may
    /// write to the repository. Teams need the App's permission *Members: read*.
    #[serde(default)]
    pub(super) approvers: Vec<String>,
    /// How long the earlier stages must have been synced and healthy, with exactly the promoted
    /// digests, before a promotion is merged: `90s`, `30m`, `2h`, `1d`. Not at all by default.
    #[serde(default)]
    pub(super) soak: Option<String>,
    /// Nothing that touches the stage is merged outside of these times. By default it is merged at
    /// any time.
    #[serde(default)]
    pub(super) windows: Vec<RawWindow>,
    /// Nothing that touches the stage is merged in these times.
    #[serde(default)]
    pub(super) freezes: Vec<RawFreeze>,
    /// Who may override a gate of the stage by `/override`, together with a second one of them:
    /// `user` or `organisation/team`. By default nobody.
    #[serde(default, rename = "breakGlass")]
    pub(super) break_glass: Vec<String>,
}

/// A time of the week.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindow {
    /// The days on which it begins: `mon-fri`, `sat`, or a list with commas. By default every day.
    #[serde(default)]
    pub(super) days: Option<String>,
    /// Its beginning, as `"09:00"`.
    pub(super) from: String,
    /// Its end, as `"16:00"` or `"24:00"`. If it is before the beginning, it is on the next day.
    pub(super) to: String,
    /// An IANA time zone, such as `Europe/Berlin`. By default UTC.
    #[serde(default)]
    pub(super) zone: Option<String>,
}

/// A time in which nothing is merged.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFreeze {
    /// Its beginning: a date, which means the beginning of that day, or a date and a time, as
    /// `2026-12-20T08:00`.
    pub(super) from: String,
    /// Its end, likewise: a date means the beginning of that day.
    pub(super) until: String,
    /// The IANA time zone of both. By default UTC.
    #[serde(default)]
    pub(super) zone: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// One rule for applications.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    /// The application's name, if `{application}` in the path is not it; placeholders of the path
    /// are filled in, as in `{namespace}-{application}`.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// The stage of what the path matches, if `{stage}` is not in the path. Not needed where the
    /// file has one stage.
    #[serde(default)]
    pub(super) stage: Option<Name>,
    /// A pattern of directories, or of files if it ends in `.yaml`, `.yml` or `.json`.
    /// `{application}` and `{stage}` stand for a directory name or a part of one, `{application...}`
    /// for one or more directory names, `*` for any, and other words in braces for what may be
    /// filled in below. A directory counts if it holds a kustomization, a chart or manifests. What
    /// the application is called has lower-case letters, digits and dashes.
    pub(super) path: String,
    /// Paths that are no applications although the path matches, and files and directories of
    /// applications that are neither manifests nor values; `*` stands for any text.
    #[serde(default)]
    pub(super) exclude: Vec<String>,
    /// The namespace of its objects; placeholders of the path are filled in.
    pub(super) namespace: String,
    /// Images that are promoted, by name; placeholders of the path are filled in.
    #[serde(default)]
    pub(super) images: Ordered<RawImage>,
    /// A Helm chart elsewhere in the repository. The directory then holds its values: every
    /// `*.yaml` in it, in the order of their names.
    #[serde(default)]
    pub(super) chart: Option<String>,
    /// How the chart is rendered.
    #[serde(default)]
    pub(super) helm: RawHelm,
    /// Fields that are left to whoever holds them, in previews, syncs and drift alike.
    #[serde(default)]
    pub(super) ignore: Vec<FieldRule>,
    /// Fields that are set as Git has them though others hold them.
    #[serde(default)]
    pub(super) take: Vec<FieldRule>,
    /// What happens when others change a live object: `heal` (default), `report` or `propose`.
    #[serde(default)]
    pub(super) drift: DriftMode,
    /// Applications that must be synced and healthy in the same stage first.
    #[serde(default, rename = "dependsOn")]
    pub(super) depends_on: Vec<Name>,
    /// An application that is not healthy so long after it was applied has failed: `90s`, `30m`
    /// (default), `2h`.
    #[serde(default, rename = "healthTimeout")]
    pub(super) health_timeout: Option<String>,
}

/// The JSON schema of the file.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft07();
    let schema = settings
        .into_generator()
        .into_root_schema_for::<RawCatalog>();
    let mut schema = schema.to_value();
    schema["title"] = "windlass.yaml".into();
    schema
}

/// A number, with words for whoever writes something else.
fn whole_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = u32;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number, such as 1")
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u32, E> {
            let unexpected = serde::de::Unexpected::Unsigned(number);
            u32::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
        }
        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u32, E> {
            let unexpected = serde::de::Unexpected::Signed(number);
            u32::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
        }
    }
    deserializer.deserialize_any(Visitor)
}

/// A mapping that keeps the order of its entries.
pub(super) struct Ordered<T>(pub(super) Vec<(String, T)>);

impl<T: JsonSchema> JsonSchema for Ordered<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": value})
    }
}

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
        let images = self
            .images
            .0
            .into_iter()
            .map(|(image, raw)| (unguarded(&image), raw.unguarded()));
        Self {
            path: unguarded(&self.path),
            namespace: unguarded(&self.namespace),
            images: Ordered(images.collect()),
            name: self.name.map(|name| unguarded(&name)),
            stage: self.stage,
            exclude: self.exclude,
            chart: self.chart.map(|chart| unguarded(&chart)),
            helm: self.helm,
            ignore: self.ignore,
            take: self.take,
            drift: self.drift,
            depends_on: self.depends_on,
            health_timeout: self.health_timeout,
        }
    }
}

/// Adds the file's name, and the nearest key to an unknown one.
fn explain(error: &str) -> Invalid {
    let mut text = error.replace("<input>", FILE);
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
