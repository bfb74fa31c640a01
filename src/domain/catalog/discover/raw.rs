//! `discover` as it is written in `windlass.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;

use super::super::images::RawImage;
use super::super::pattern::{Pattern, STAGE};
use super::super::placeholders::unguarded;
use super::super::raw::Ordered;
use super::super::{Stage, invalid};
use super::{By, Discover, Spoke};
use crate::domain::build::sets;
use crate::domain::{Invalid, Name};

/// Applications that objects of another reconciler declare.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::domain::catalog) struct RawDiscover {
    /// Whose objects: `argocd` or `flux`.
    pub(in crate::domain::catalog) by: By,
    /// A pattern of directories, such as `clusters/{stage}`: only objects in files below one count.
    /// By default those in all files.
    #[serde(default)]
    pub(in crate::domain::catalog) under: Option<String>,
    /// The stage of all of them.
    #[serde(default)]
    pub(in crate::domain::catalog) stage: Option<Name>,
    /// The label of each object that names its stage.
    #[serde(default)]
    pub(in crate::domain::catalog) label: Option<String>,
    /// Files that do not count; `*` stands for any text.
    #[serde(default)]
    pub(in crate::domain::catalog) exclude: Vec<String>,
    /// The clusters that these objects deploy to, beside their own: by the name that Argo CD has for
    /// one, or by the Secret with Flux's kubeconfig for it, as NAMESPACE/NAME.
    #[serde(default)]
    pub(in crate::domain::catalog) clusters: Ordered<RawDestination>,
    /// Images that are promoted, by name; `{application}` and the placeholders of `under` are filled
    /// in.
    #[serde(default)]
    pub(in crate::domain::catalog) images: Ordered<RawImage>,
}

/// A cluster that objects of Argo CD or Flux deploy to.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(in crate::domain::catalog) struct RawDestination {
    /// The address of its API server, for Applications that name it by that.
    #[serde(default)]
    server: Option<String>,
    /// Its labels in Argo CD, by which ApplicationSets choose clusters.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The name that windlass's settings have for it: by default Argo CD's name, or the namespace of
    /// Flux's Secret.
    #[serde(default)]
    cluster: Option<String>,
}

/// One word, one entry or a list of entries.
#[derive(Default)]
pub(in crate::domain::catalog) struct RawDiscovers(pub(in crate::domain::catalog) Vec<RawDiscover>);

impl JsonSchema for RawDiscovers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Discover".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<RawDiscover>();
        let word = generator.subschema_for::<By>();
        schemars::json_schema!({"anyOf": [word, one, {"type": "array", "items": one}]})
    }
}

impl<'de> Deserialize<'de> for RawDiscovers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = RawDiscovers;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`argocd`, `flux`, a mapping, or a list of mappings")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawDiscovers, E> {
                let by = By::deserialize(word.into_deserializer())?;
                Ok(RawDiscovers(vec![RawDiscover {
                    by,
                    under: None,
                    stage: None,
                    label: None,
                    exclude: Vec::new(),
                    clusters: Ordered::default(),
                    images: Ordered::default(),
                }]))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<RawDiscovers, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                Ok(RawDiscovers(vec![RawDiscover::deserialize(map)?]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<RawDiscovers, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = items.next_element()? {
                    all.push(one);
                }
                Ok(RawDiscovers(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn spoke((name, raw): (String, RawDestination)) -> Spoke {
    let own = name.split('/').next().unwrap_or(&name).to_string();
    Spoke {
        cluster: raw.cluster.unwrap_or(own),
        known: sets::Cluster {
            name,
            server: raw.server,
            labels: raw.labels,
        },
    }
}

impl RawDiscover {
    pub(in crate::domain::catalog) fn validate(
        self,
        stages: &[Stage],
    ) -> Result<Discover, Invalid> {
        let under = self.under.as_deref().map(unguarded);
        let under = under.as_deref().map(Pattern::parse).transpose()?;
        let of_path = |pattern: &Pattern| pattern.placeholders().contains(STAGE);
        let ways = [
            self.stage.is_some(),
            self.label.is_some(),
            under.as_ref().is_some_and(of_path),
        ];
        let first = &stages[0].name;
        match ways.iter().filter(|said| **said).count() {
            0 if stages.len() > 1 => Err(invalid(format_args!(
                "`discover` does not say which stage an object is for: add `under: clusters/{{stage}}`, `label:` or `stage: {first}`"
            ))),
            2.. => Err(invalid(
                "`discover` says the stage twice: keep one of `stage`, `label` and `{stage}` in `under`",
            )),
            _ => Ok(()),
        }?;
        if let Some(stage) = &self.stage
            && !stages.iter().any(|known| known.name == *stage)
        {
            return Err(invalid(format_args!(
                "`discover`: `stage: {stage}` is none of the stages"
            )));
        }
        let images = self
            .images
            .0
            .into_iter()
            .map(|(image, raw)| (unguarded(&image), raw.unguarded()));
        Ok(Discover {
            by: self.by,
            under,
            stage: self.stage,
            label: self.label,
            exclude: self.exclude,
            clusters: self.clusters.0.into_iter().map(spoke).collect(),
            images: images.collect(),
        })
    }
}
