//! The clusters of a stage that has several: by name or by label, in waves.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Catalog, Stage, invalid};
use crate::domain::{Invalid, Name, wildcard};

/// The clusters of the server's settings by name, each with its labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet(pub BTreeMap<String, BTreeMap<String, String>>);

/// The most clusters of a stage.
const MOST_CLUSTERS: usize = 100;

/// One cluster of a stage that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOf {
    pub cluster: Name,
    /// It is synced once the clusters of the waves before are healthy; from 0.
    pub wave: usize,
}

/// Which clusters a stage has.
#[derive(Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClusterRule {
    /// Their names in the server's settings.
    #[serde(default)]
    names: Vec<Name>,
    /// In the place of names: every cluster of the server's settings that has these labels
    /// (`--cluster-label`).
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Their order: names, or patterns with `*`. What a wave brings is synced once the clusters of
    /// the waves before are healthy with it. By default all at once; clusters that no wave names
    /// come last.
    #[serde(default)]
    waves: Vec<String>,
}

impl ClusterRule {
    pub(super) fn has_waves(&self) -> bool {
        !self.waves.is_empty()
    }

    /// Checks what can be told without the server's settings. `stage`: whose clusters they are.
    pub(super) fn check(&self, stage: &Name) -> Result<(), Invalid> {
        if self.names.is_empty() == self.labels.is_empty() {
            return Err(invalid(format_args!(
                "stage `{stage}`: `clusters` needs `names` or `labels`, one of the two"
            )));
        }
        let unique: BTreeSet<_> = self.names.iter().collect();
        if unique.len() != self.names.len() {
            return Err(invalid(format_args!(
                "stage `{stage}`: `clusters` names one cluster twice"
            )));
        }
        Ok(())
    }

    /// The clusters, in the order of their waves.
    fn resolve(&self, stage: &Name, fleet: &Fleet) -> Result<Vec<OneOf>, Invalid> {
        let mut names = self.names.clone();
        let has = |labels: &BTreeMap<String, String>| {
            let mut wanted = self.labels.iter();
            wanted.all(|(key, value)| labels.get(key) == Some(value))
        };
        let labelled = fleet.0.iter().filter(|(_, labels)| has(labels));
        for (name, _) in labelled.filter(|_| !self.labels.is_empty()) {
            let name = name.parse().map_err(|Invalid(why)| {
                invalid(format_args!("stage `{stage}`: a cluster of the server's settings cannot be one of several: {why}"))
            })?;
            names.push(name);
        }
        if names.is_empty() {
            let labels = self
                .labels
                .iter()
                .map(|(key, value)| format!("{key}: {value}"));
            return Err(invalid(format_args!(
                "stage `{stage}`: no cluster of the server's settings has the labels `{}` (--cluster-label)",
                labels.collect::<Vec<_>>().join(", ")
            )));
        }
        if names.len().max(self.waves.len()) > MOST_CLUSTERS {
            return Err(invalid(format_args!(
                "stage `{stage}` has more than {MOST_CLUSTERS} clusters"
            )));
        }
        // A canary that lost its label would be no canary any more, without a word.
        let matches = |wave: &String| names.iter().any(|name| wildcard(wave, name.as_str()));
        if let Some(wave) = self.waves.iter().find(|wave| !matches(wave)) {
            return Err(invalid(format_args!(
                "stage `{stage}`: the wave `{wave}` matches none of its clusters"
            )));
        }
        let wave = |name: &Name| {
            let mut waves = self.waves.iter();
            let found = waves.position(|pattern| wildcard(pattern, name.as_str()));
            found.unwrap_or(self.waves.len())
        };
        let one_of = |cluster: Name| OneOf {
            wave: wave(&cluster),
            cluster,
        };
        let mut all: Vec<_> = names.into_iter().map(one_of).collect();
        all.sort_by(|a, b| (a.wave, &a.cluster).cmp(&(b.wave, &b.cluster)));
        Ok(all)
    }
}

impl Catalog {
    /// The same file for a server with these clusters.
    pub fn on(mut self, fleet: &Fleet) -> Result<Self, Invalid> {
        for stage in &mut self.stages {
            if let Some(rule) = &stage.rule {
                stage.clusters = rule.resolve(&stage.name, fleet)?;
            }
        }
        Ok(self)
    }
}

impl Stage {
    /// The names of its clusters.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        let each = self.each_cluster().into_iter();
        each.map(|one| one.map_or(self.cluster.as_str(), |one| one.cluster.as_str()))
    }

    /// The stage as one of its clusters has it. None: its only one.
    pub(super) fn in_cluster(&self, one: Option<&OneOf>) -> Self {
        let cluster = one.map_or_else(|| self.cluster.clone(), |one| one.cluster.to_string());
        Self {
            cluster,
            clusters: Vec::new(),
            rule: None,
            ..self.clone()
        }
    }

    /// Each of its clusters; None: it has only one.
    pub(super) fn each_cluster(&self) -> Vec<Option<&OneOf>> {
        match self.rule {
            Some(_) => self.clusters.iter().map(Some).collect(),
            None => vec![None],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::Tree;

    const FLEET: &[(&str, &[(&str, &str)])] = &[
        ("local", &[]),
        ("us", &[("env", "live")]),
        ("eu-1", &[("env", "live"), ("region", "eu")]),
        ("eu-2", &[("env", "live"), ("region", "eu")]),
    ];

    /// The targets of a file with one stage `live` of these clusters: title, cluster, wave, path and
    /// namespace of each. Or the error.
    fn found(clusters: &str, rules: &str, files: &[&str]) -> Vec<String> {
        let labels = |labels: &[(&str, &str)]| -> BTreeMap<String, String> {
            let labels = labels.iter();
            labels
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect()
        };
        let fleet = FLEET
            .iter()
            .map(|(name, all)| ((*name).into(), labels(all)));
        let text = format!("version: 1\nstages: {{ live: {clusters} }}\napplications:\n{rules}");
        let catalog = Catalog::parse(&text).and_then(|catalog| catalog.on(&Fleet(fleet.collect())));
        let tree = Tree::new(files.iter().copied());
        let targets = match catalog.and_then(|catalog| catalog.expand(&tree)) {
            Ok(targets) => targets,
            Err(Invalid(why)) => return vec![why],
        };
        let line = |target: &crate::domain::catalog::Target| {
            let (on, wave) = (
                &target.destination,
                target.one_of.as_ref().map(|one| one.wave),
            );
            let wave = wave.map_or("-".into(), |wave| wave.to_string());
            format!(
                "{} on {} {wave}: {} {}",
                target.title(),
                on.cluster,
                target.path,
                on.namespace
            )
        };
        targets.iter().map(line).collect()
    }

    const SHARED: &str =
        "  - { path: 'apps/{application}/{stage}', namespace: '{application}-{cluster}' }";
    const OWN: &str =
        "  - { path: 'clusters/{cluster}/{application}', namespace: '{application}' }";
    const FILES: [&str; 1] = ["apps/shop/live/a.yaml"];

    /// Clusters of the stage, rules, files, and what is found.
    type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

    fn check(table: &[Row<'_>]) {
        for (clusters, rules, files, expected) in table {
            assert_eq!(found(clusters, rules, files), *expected, "{clusters}");
        }
    }

    #[test]
    fn a_stage_with_several_clusters_has_a_target_for_each() {
        let table: [Row<'_>; 4] = [
            (
                "{ clusters: { names: [us, eu-1] } }",
                SHARED,
                &FILES,
                &[
                    "shop/live/eu-1 on eu-1 0: apps/shop/live shop-eu-1",
                    "shop/live/us on us 0: apps/shop/live shop-us",
                ],
            ),
            (
                "{ clusters: { labels: { env: live }, waves: [us, 'eu-*'] } }",
                SHARED,
                &FILES,
                &[
                    "shop/live/us on us 0: apps/shop/live shop-us",
                    "shop/live/eu-1 on eu-1 1: apps/shop/live shop-eu-1",
                    "shop/live/eu-2 on eu-2 1: apps/shop/live shop-eu-2",
                ],
            ),
            (
                "{ clusters: { labels: { env: live }, waves: [eu-2] } }",
                OWN,
                &[
                    "clusters/eu-2/shop/a.yaml",
                    "clusters/us/shop/a.yaml",
                    "clusters/local/shop/a.yaml",
                ],
                &[
                    "shop/live/eu-2 on eu-2 0: clusters/eu-2/shop shop",
                    "shop/live/us on us 1: clusters/us/shop shop",
                ],
            ),
            (
                "{ clusters: { labels: { env: live, region: us } } }",
                SHARED,
                &FILES,
                &[
                    "windlass.yaml: stage `live`: no cluster of the server's settings has the labels `env: live, region: us` (--cluster-label)",
                ],
            ),
        ];
        check(&table);
    }

    #[test]
    fn where_a_stage_has_one_cluster_its_name_is_a_placeholder_like_any_other() {
        check(&[
            (
                "{ cluster: eu-1 }",
                OWN,
                &["clusters/home/shop/a.yaml"],
                &["shop/live on eu-1 -: clusters/home/shop shop"],
            ),
            (
                "{ cluster: eu-1 }",
                SHARED,
                &FILES,
                &["shop/live on eu-1 -: apps/shop/live shop-eu-1"],
            ),
        ]);
    }

    #[test]
    fn what_clusters_cannot_be_is_said() {
        let rules = "  - { path: 'apps/{application}', namespace: x }";
        let table = [
            (
                "{ clusters: {} }",
                "`clusters` needs `names` or `labels`, one of the two",
            ),
            (
                "{ clusters: { names: [us], labels: { env: live } } }",
                "`clusters` needs `names` or `labels`, one of the two",
            ),
            (
                "{ clusters: { names: [us, us] } }",
                "`clusters` names one cluster twice",
            ),
            (
                "{ clusters: { names: [us], waves: [eu] } }",
                "the wave `eu` matches none of its clusters",
            ),
            (
                "{ cluster: us, clusters: { names: [us] } }",
                "has both `cluster` and `clusters`: keep one",
            ),
            (
                "{ clusters: { labels: { env: live }, waves: [canary] } }",
                "the wave `canary` matches none of its clusters",
            ),
            (
                "{ clusters: { names: [us], waves: [us] }, reconcile: { by: flux } }",
                "has `waves`, and windlass applies nothing there",
            ),
        ];
        for (clusters, expected) in table {
            let said = found(clusters, rules, &[]).join("");
            assert!(said.contains(expected), "{clusters}: {said}");
        }
        let many: Vec<_> = (0..101).map(|number| format!("c{number}")).collect();
        let many = format!("{{ clusters: {{ names: [{}] }} }}", many.join(", "));
        assert!(found(&many, rules, &[])[0].contains("more than 100 clusters"));
        let named =
            "  - { path: 'apps/{application}', name: '{application}-{cluster}', namespace: x }";
        let said = found("{ clusters: { names: [us] } }", named, &[]).join("");
        assert!(
            said.contains("the path `apps/{application}` has no `{cluster}`"),
            "{said}"
        );
    }

    /// A label is enough to bring such a directory to life.
    #[test]
    fn a_directory_for_a_cluster_that_the_stage_lacks_is_known() {
        let text = format!(
            "version: 1\nstages: {{ live: {{ clusters: {{ names: [us] }} }} }}\napplications:\n{OWN}"
        );
        let catalog = Catalog::parse(&text).and_then(|catalog| catalog.on(&Fleet::default()));
        let catalog = catalog.unwrap();
        let dormant = |file: &str| catalog.dormant(file).map(|target| target.title());
        assert_eq!(
            dormant("clusters/eu/shop/a.yaml").as_deref(),
            Some("shop/live/eu")
        );
        assert_eq!(dormant("clusters/us/shop/a.yaml"), None);
        assert_eq!(dormant("docs/a.md"), None);
        assert!(catalog.may_place("clusters/eu/shop/a.yaml"));
    }
}
