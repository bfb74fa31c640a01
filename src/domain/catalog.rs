//! `windlass.yaml`: which applications there are and the ordered stages that
//! they go through.
//!
//! The file is read from the base branch only. It has two shapes here: `Raw…`
//! as written, and [`Catalog`], which cannot hold a contradiction. How the file
//! grows to clusters by label, projects and windows is `docs/adr/0003-windlass-yaml.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::cel::Condition;
use super::health::HealthRule;
use super::image::{self, ImageRef};
use super::manifest::{ResourceKey, is_label};
use super::ownership::{FieldRule, FieldRules};
use super::sync::{self, DriftMode};
use super::{ApplicationKey, Invalid, Name, RepoName, yaml};

/// The file's path in the config repository.
pub const FILE: &str = "windlass.yaml";

/// What `windlass.yaml` declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// In order: an earlier stage comes before a later one.
    pub stages: Vec<Stage>,
    /// When objects of custom kinds are healthy.
    pub health: Vec<HealthRule>,
    rules: Vec<Rule>,
}

/// A place that applications go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub name: Name,
    /// A name that the server's settings know.
    pub cluster: String,
    /// Proposed once each of these is healthy with the same digest.
    pub after: Vec<Name>,
    pub merge: MergePolicy,
    /// Approving reviews that a pull request touching this stage needs.
    pub approvals: u32,
    /// Whose approvals count; empty: of whoever may write to the repository.
    pub approvers: Vec<Approver>,
    /// Who applies what Git has.
    pub reconcile: Reconciler,
}

/// Who may approve for a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approver {
    User(String),
    Team {
        organisation: String,
        team: String,
    },
    /// The owners of the files that change, by the base branch's `CODEOWNERS`.
    CodeOwners,
}

impl std::str::FromStr for Approver {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let name = text.strip_prefix('@').unwrap_or(text);
        match name.split_once('/') {
            None if text == "CODEOWNERS" => Ok(Self::CodeOwners),
            None if legal(name) => Ok(Self::User(name.to_ascii_lowercase())),
            Some((organisation, team)) if legal(organisation) && legal(team) => Ok(Self::Team {
                organisation: organisation.into(),
                team: team.into(),
            }),
            _ => Err(Invalid(format!(
                "`{text}` is no approver: write `user`, `organisation/team` or `CODEOWNERS`"
            ))),
        }
    }
}

/// Who keeps a stage as Git has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reconciler {
    #[default]
    Windlass,
    /// An Argo CD `Application`.
    ArgoCd(Named),
    /// A Flux `Kustomization`.
    Flux(Named),
}

/// The object of another reconciler; `{application}` and `{stage}` stand in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub namespace: String,
    pub name: String,
}

impl Reconciler {
    /// The object by which another one keeps the stage, and its API version.
    pub fn object(&self) -> Option<(ResourceKey, &'static str)> {
        let (group, version, kind, named) = match self {
            Self::ArgoCd(named) => ("argoproj.io", "v1alpha1", "Application", named),
            Self::Flux(named) => ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", named),
            Self::Windlass => return None,
        };
        let namespace = Some(named.namespace.clone());
        Some((
            ResourceKey {
                group: group.into(),
                kind: kind.into(),
                namespace,
                name: named.name.clone(),
            },
            version,
        ))
    }

    fn filled(&self, fill: impl Fn(&str) -> String) -> Self {
        let named = |named: &Named| Named {
            namespace: fill(&named.namespace),
            name: fill(&named.name),
        };
        match self {
            Self::Windlass => Self::Windlass,
            Self::ArgoCd(one) => Self::ArgoCd(named(one)),
            Self::Flux(one) => Self::Flux(named(one)),
        }
    }
}

/// Whether windlass merges its own image pull requests without a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergePolicy {
    Auto,
    #[default]
    Reviewed,
}

/// Where nothing else is said.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// One entry of `applications`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    name: Option<Name>,
    segments: Vec<Segment>,
    namespace: String,
    images: Vec<(String, RawImage)>,
    chart: Option<String>,
    fields: FieldRules,
    drift: DriftMode,
    depends_on: Vec<Name>,
    health_timeout: Duration,
}

impl Rule {
    fn pattern(&self) -> String {
        let text = |segment: &Segment| match segment {
            Segment::Literal(text) => text.clone(),
            Segment::Application => "{application}".into(),
            Segment::Stage => "{stage}".into(),
        };
        self.segments.iter().map(text).collect::<Vec<_>>().join("/")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Application,
    Stage,
}

/// Where a stage's objects live.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    pub cluster: String,
    pub namespace: String,
}

/// An application in a stage, as one directory of the config repository declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub application: Name,
    pub stage: Stage,
    /// The directory, without a slash at its end.
    pub path: String,
    pub destination: Destination,
    pub images: Vec<ImageRule>,
    /// A chart elsewhere in the repository; the directory then holds its values.
    pub chart: Option<String>,
    /// What is done about fields that others hold.
    pub fields: FieldRules,
    /// What is done about live objects that others change.
    pub drift: DriftMode,
    /// Applications that have to be healthy in the same stage first.
    pub depends_on: Vec<Name>,
    /// What is not healthy so long after it was applied has failed.
    pub health_timeout: Duration,
}

/// Whose CI may announce an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRule {
    pub image: String,
    pub source: RepoName,
}

/// What an application is rendered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub directory: String,
    pub chart: Option<String>,
}

impl Target {
    /// Whether another configuration's target is the same application in the same stage, wherever it is.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.application, &self.stage.name) == (&other.application, &other.stage.name)
    }

    pub fn place(&self) -> Place {
        Place {
            directory: self.path.clone(),
            chart: self.chart.clone(),
        }
    }

    pub fn key(&self, repo: &RepoName) -> ApplicationKey {
        ApplicationKey {
            repo: repo.clone(),
            application: self.application.clone(),
            stage: self.stage.name.clone(),
        }
    }

    /// The rule for an image, if this application uses it.
    pub fn image(&self, image: &str) -> Option<&ImageRule> {
        self.images
            .iter()
            .find(|rule| image::same_image(&rule.image, image))
    }
}

impl Catalog {
    /// Reads the file's text; the error shows file, line, caret and, for an unknown key, the nearest one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let raw: RawCatalog =
            yaml::parse(&guarded(text)).map_err(|error| Invalid(explain(&unguarded(&error))))?;
        raw.validate()
    }

    pub fn stage(&self, name: &Name) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == *name)
    }

    /// The applications that the directories of a tree are; each directory belongs to the first rule that matches it.
    /// Two directories that come out as the same application in the same stage are an error.
    pub fn expand<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Target>, Invalid> {
        let mut targets: BTreeMap<(Name, usize), Target> = BTreeMap::new();
        for path in directories {
            let Some(target) = self.rules.iter().find_map(|rule| self.apply(rule, path)) else {
                continue;
            };
            let target = target?;
            let position = self
                .stages
                .iter()
                .position(|stage| stage.name == target.stage.name)
                .unwrap_or_default();
            let title = format!("{}/{}", target.application, target.stage.name);
            if let Some(other) = targets.insert((target.application.clone(), position), target) {
                return Err(Invalid(format!(
                    "{FILE}: `{}` and `{path}` are both {title}: one application in one stage has one directory",
                    other.path
                )));
            }
        }
        let mut targets: Vec<_> = targets.into_values().collect();
        let there: BTreeSet<_> = targets
            .iter()
            .map(|target| (target.application.clone(), target.stage.name.clone()))
            .collect();
        for target in &mut targets {
            target.stage.after = self.passed(&target.stage, |stage| {
                there.contains(&(target.application.clone(), stage.clone()))
            });
        }
        dependencies(&targets)?;
        Ok(targets)
    }

    /// The patterns that match none of a tree's directories, in words, each with the directory that is nearest to it.
    pub fn unmatched(&self, directories: &BTreeSet<String>) -> Vec<String> {
        let idle = |rule: &&Rule| {
            !directories
                .iter()
                .any(|path| self.apply(rule, path).is_some())
        };
        let told = |rule: &Rule| {
            let pattern = rule.pattern();
            let nearest = self.nearest(rule, directories);
            let nearest = nearest
                .map(|path| format!("; the nearest is `{path}`"))
                .unwrap_or_default();
            format!("{FILE}: `{pattern}` matches no directory{nearest}")
        };
        self.rules.iter().filter(idle).map(told).collect()
    }

    /// The directory whose parts are most like a pattern's, if any part is.
    fn nearest<'a>(&self, rule: &Rule, directories: &'a BTreeSet<String>) -> Option<&'a String> {
        let likeness = |path: &&'a String| {
            let parts: Vec<&str> = path.split('/').collect();
            // In hundredths: a literal may be misspelt, a stage is one of a few, any name may be an application's.
            let like = |(segment, part): (&Segment, &&str)| match segment {
                Segment::Literal(text) => {
                    (strsim::normalized_damerau_levenshtein(text, part) * 100.0) as usize
                }
                Segment::Stage if self.stages.iter().any(|stage| stage.name.as_str() == *part) => {
                    100
                }
                Segment::Stage => 0,
                Segment::Application => 10,
            };
            let sum: usize = rule.segments.iter().zip(&parts).map(like).sum();
            let apart = rule.segments.len().abs_diff(parts.len()) * 50;
            (sum.saturating_sub(apart), std::cmp::Reverse(path.len()))
        };
        directories
            .iter()
            .max_by_key(likeness)
            .filter(|path| likeness(path).0 >= 50)
    }

    /// The stages that an application passes just before one: in the place of one that it skips, those before that. One that
    /// skips all of them passes none: it begins there.
    fn passed(&self, stage: &Stage, has: impl Fn(&Name) -> bool) -> Vec<Name> {
        let of = |name: &Name| {
            self.stages
                .iter()
                .find(|stage| stage.name == *name)
                .map(|stage| stage.after.as_slice())
                .unwrap_or_default()
        };
        // Everything before a stage, nearest first; those that are there end the way where it is asked for.
        let before = |after: &[Name], ends: &dyn Fn(&Name) -> bool| {
            let mut found: Vec<Name> = Vec::new();
            let mut next = after.to_vec();
            while let Some(name) = (!next.is_empty()).then(|| next.remove(0)) {
                if !found.contains(&name) {
                    if !ends(&name) {
                        next.extend(of(&name).iter().cloned());
                    }
                    found.push(name);
                }
            }
            found
        };
        let found: Vec<_> = before(&stage.after, &has)
            .into_iter()
            .filter(|name| has(name))
            .collect();
        // What comes in the place of another is passed on the way to those beside it, if it is before them.
        let earlier: BTreeSet<_> = found
            .iter()
            .flat_map(|name| before(of(name), &|_| false))
            .collect();
        found
            .into_iter()
            .filter(|name| stage.after.contains(name) || !earlier.contains(name))
            .collect()
    }

    /// None: the rule does not match. An error: it matches and what comes out is not legal.
    fn apply(&self, rule: &Rule, path: &str) -> Option<Result<Target, Invalid>> {
        let parts: Vec<&str> = path.split('/').collect();
        if parts.len() != rule.segments.len() {
            return None;
        }
        let mut application = rule.name.clone();
        let mut stage = None;
        for (segment, part) in rule.segments.iter().zip(&parts) {
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Stage => {
                    stage = Some(
                        self.stages
                            .iter()
                            .find(|stage| stage.name.as_str() == *part)?,
                    )
                }
                Segment::Application => match part.parse() {
                    Ok(name) => application = Some(name),
                    Err(Invalid(why)) => {
                        return Some(Err(Invalid(format!("{FILE}: directory `{path}`: {why}"))));
                    }
                },
            }
        }
        let (application, mut stage) = (application?, stage?.clone());
        let (app, place) = (application.clone(), stage.name.clone());
        let fill = |text: &str| {
            text.replace("{application}", app.as_str())
                .replace("{stage}", place.as_str())
        };
        stage.reconcile = stage.reconcile.filled(fill);
        if let Reconciler::ArgoCd(named) | Reconciler::Flux(named) = &stage.reconcile
            && !(is_label(&named.namespace) && is_label(&named.name.replace('.', "-")))
        {
            return Some(Err(Invalid(format!(
                "{FILE}: `{}/{}` is no object's namespace and name",
                named.namespace, named.name
            ))));
        }
        let images = rule
            .images
            .iter()
            .map(|(image, raw)| {
                Ok(ImageRule {
                    image: image::image_name(&fill(image))?,
                    source: fill(&raw.source).parse()?,
                })
            })
            .collect::<Result<_, Invalid>>();
        let destination = Destination {
            cluster: stage.cluster.clone(),
            namespace: fill(&rule.namespace),
        };
        if !is_label(&destination.namespace) {
            return Some(Err(Invalid(format!(
                "{FILE}: `{}` is not a namespace's name",
                destination.namespace
            ))));
        }
        let chart = rule.chart.as_deref().map(fill);
        Some(images.map(|images| Target {
            application,
            stage,
            path: path.into(),
            destination,
            images,
            chart,
            fields: rule.fields.clone(),
            drift: rule.drift,
            depends_on: rule.depends_on.clone(),
            health_timeout: rule.health_timeout,
        }))
    }
}

/// What an application depends on must be there, and not depend on it in turn.
fn dependencies(targets: &[Target]) -> Result<(), Invalid> {
    let find = |application: &Name, stage: &Name| {
        targets
            .iter()
            .find(|t| t.application == *application && t.stage.name == *stage)
    };
    for target in targets {
        let title = |target: &Target| format!("{}/{}", target.application, target.stage.name);
        let mut trail = vec![target];
        let mut next: Vec<(usize, &Target)> = vec![(0, target)];
        while let Some((depth, at)) = next.pop() {
            trail.truncate(depth);
            trail.push(at);
            for name in &at.depends_on {
                let Some(needed) = find(name, &at.stage.name) else {
                    return Err(Invalid(format!(
                        "{FILE}: {} depends on `{name}`, which has no stage `{}`",
                        title(at),
                        at.stage.name
                    )));
                };
                if trail.iter().any(|earlier| std::ptr::eq(*earlier, needed)) {
                    let names: Vec<_> = trail
                        .iter()
                        .chain([&needed])
                        .map(|target| title(target))
                        .collect();
                    return Err(Invalid(format!(
                        "{FILE}: applications depend on each other: {}",
                        names.join(" → ")
                    )));
                }
                next.push((depth + 1, needed));
            }
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    version: u32,
    stages: Ordered<RawStage>,
    applications: Vec<RawRule>,
    #[serde(default)]
    health: Vec<RawHealth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    group: String,
    kind: String,
    #[serde(default)]
    progressing: Option<String>,
    #[serde(default)]
    failed: Option<String>,
    #[serde(default)]
    healthy: Option<String>,
}

impl RawHealth {
    fn validate(self) -> Result<HealthRule, Invalid> {
        let read = |text: Option<String>| {
            let parsed = text
                .map(|text| Condition::parse(&unguarded(&text)))
                .transpose();
            parsed
                .map_err(|Invalid(why)| Invalid(format!("{FILE}: health of {}: {why}", self.kind)))
        };
        // What Kubernetes itself defines is healthy by windlass's own rules, for everybody alike.
        let own = self.group.contains('.')
            && (!self.group.ends_with(".k8s.io") || self.group.starts_with("gateway."));
        if !own {
            return Err(Invalid(format!(
                "{FILE}: health of {}: `{}` is no group of custom kinds",
                self.kind, self.group
            )));
        }
        let (progressing, failed, healthy) = (
            read(self.progressing)?,
            read(self.failed)?,
            read(self.healthy)?,
        );
        Ok(HealthRule {
            group: self.group,
            kind: self.kind,
            progressing,
            failed,
            healthy,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReconcile {
    by: RawReconciler,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawReconciler {
    Windlass,
    ArgoCd,
    Flux,
}

impl RawReconcile {
    fn validate(self) -> Reconciler {
        let named = |namespace: &str| Named {
            namespace: self
                .namespace
                .as_deref()
                .map_or(namespace.into(), unguarded),
            name: self
                .name
                .as_deref()
                .map_or("{application}-{stage}".into(), unguarded),
        };
        match self.by {
            RawReconciler::Windlass => Reconciler::Windlass,
            RawReconciler::ArgoCd => Reconciler::ArgoCd(named("argocd")),
            RawReconciler::Flux => Reconciler::Flux(named("flux-system")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    cluster: String,
    #[serde(default)]
    after: Vec<Name>,
    #[serde(default)]
    merge: MergePolicy,
    #[serde(default)]
    gates: RawGates,
    #[serde(default)]
    reconcile: Option<RawReconcile>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawGates {
    #[serde(default)]
    approvals: u32,
    #[serde(default)]
    approvers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default)]
    name: Option<Name>,
    path: String,
    namespace: String,
    #[serde(default)]
    images: Ordered<RawImage>,
    #[serde(default)]
    chart: Option<String>,
    #[serde(default)]
    ignore: Vec<FieldRule>,
    #[serde(default)]
    take: Vec<FieldRule>,
    #[serde(default)]
    drift: DriftMode,
    #[serde(default, rename = "dependsOn")]
    depends_on: Vec<Name>,
    #[serde(default, rename = "healthTimeout")]
    health_timeout: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    source: String,
}

/// A mapping whose order counts.
struct Ordered<T>(Vec<(String, T)>);

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

impl RawCatalog {
    fn validate(self) -> Result<Catalog, Invalid> {
        let fail = |text: String| Err(Invalid(format!("{FILE}: {text}")));
        let health = self
            .health
            .into_iter()
            .map(RawHealth::validate)
            .collect::<Result<_, _>>()?;
        let rules = self.applications.into_iter().map(RawRule::unguarded);
        if self.version != 1 {
            return fail(format!(
                "version {} is not known here: this windlass reads version 1",
                self.version
            ));
        }
        let mut stages: Vec<Stage> = Vec::new();
        for (name, raw) in self.stages.0 {
            let name: Name = name
                .parse()
                .map_err(|Invalid(why)| Invalid(format!("{FILE}: stage {why}")))?;
            for earlier in &raw.after {
                if !stages.iter().any(|stage| stage.name == *earlier) {
                    return fail(format!(
                        "stage `{name}` comes after `{earlier}`, which is not a stage above it"
                    ));
                }
            }
            let reconcile = raw
                .reconcile
                .map(RawReconcile::validate)
                .unwrap_or_default();
            stages.push(Stage {
                name,
                cluster: raw.cluster,
                after: raw.after,
                merge: raw.merge,
                approvals: raw.gates.approvals,
                approvers: raw
                    .gates
                    .approvers
                    .iter()
                    .map(|text| text.parse())
                    .collect::<Result<_, Invalid>>()
                    .map_err(|Invalid(why)| Invalid(format!("{FILE}: approvers: {why}")))?,
                reconcile,
            });
        }
        if stages.is_empty() {
            return fail("`stages` is empty: name at least one".into());
        }
        let mut parsed = Vec::new();
        for raw in rules {
            let segments = segments(&raw.path)?;
            let names = segments.contains(&Segment::Application);
            match (&raw.name, names) {
                (Some(name), true) => {
                    return fail(format!(
                        "`{}` has both `name: {name}` and `{{application}}`: keep one",
                        raw.path
                    ));
                }
                (None, false) => {
                    return fail(format!(
                        "`{}` names no application: add `name:` or `{{application}}`",
                        raw.path
                    ));
                }
                _ => {}
            }
            if !segments.contains(&Segment::Stage) {
                return fail(format!("`{}` has no `{{stage}}`", raw.path));
            }
            for rule in raw.ignore.iter().chain(&raw.take) {
                rule.check()
                    .map_err(|Invalid(why)| Invalid(format!("{FILE}: {why}")))?;
            }
            if raw.chart.as_ref().is_some_and(|chart| {
                chart.starts_with('/') || chart.split('/').any(|part| part == "..")
            }) {
                return fail(format!(
                    "`{}`: a chart's path is relative to the repository's root",
                    raw.path
                ));
            }
            let fields = FieldRules {
                ignore: raw.ignore,
                take: raw.take,
            };
            let health_timeout = match &raw.health_timeout {
                None => HEALTH_TIMEOUT,
                Some(text) => match sync::duration(text)
                    .and_then(|duration| Duration::try_from(duration).ok())
                {
                    Some(duration) => duration,
                    None => {
                        return fail(format!(
                            "`healthTimeout: {text}` is not a duration: write 90s, 30m or 2h"
                        ));
                    }
                },
            };
            parsed.push(Rule {
                name: raw.name,
                segments,
                namespace: raw.namespace,
                images: raw.images.0,
                chart: raw.chart,
                fields,
                drift: raw.drift,
                depends_on: raw.depends_on,
                health_timeout,
            });
        }
        Ok(Catalog {
            stages,
            health,
            rules: parsed,
        })
    }
}

impl RawRule {
    fn unguarded(self) -> Self {
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

fn segments(path: &str) -> Result<Vec<Segment>, Invalid> {
    path.trim_end_matches('/')
        .split('/')
        .map(|part| match part {
            "{application}" => Ok(Segment::Application),
            "{stage}" => Ok(Segment::Stage),
            "" | "." | ".." => Err(Invalid(format!("{FILE}: `{path}`: a path is relative to the repository's root, without `.` and `..`"))),
            part if part.contains(['{', '}', '*']) => Err(Invalid(format!(
                "{FILE}: `{path}`: `{{application}}` and `{{stage}}` stand for one whole directory name each; `{part}` is neither"
            ))),
            part => Ok(Segment::Literal(part.into())),
        })
        .collect()
}

/// `{application}` may stand unquoted in a flow mapping, `{ source: acme/{application} }`, where YAML would end it at
/// the brace: while the file is read, other characters of the same width stand for these two placeholders' braces.
fn guarded(text: &str) -> String {
    text.replace("{application}", "\u{e000}application\u{e001}")
        .replace("{stage}", "\u{e000}stage\u{e001}")
}

fn unguarded(text: &str) -> String {
    text.replace('\u{e000}', "{").replace('\u{e001}', "}")
}

/// Adds the file's name, and the nearest key to an unknown one.
fn explain(error: &str) -> String {
    let mut text = format!("{FILE}: {error}");
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
    text
}

/// The images that a rendered application runs, for comparing stages.
pub fn images_of(target: &Target, references: &[ImageRef]) -> Vec<ImageRef> {
    let mut images: Vec<_> = references
        .iter()
        .filter(|reference| target.image(&reference.name).is_some())
        .cloned()
        .collect();
    images.sort();
    images.dedup();
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "\
version: 1
stages:
  staging: { cluster: local, merge: auto }
  production: { cluster: local, after: [staging], gates: { approvals: 1 } }
applications:
  - path: apps/{application}/{stage}
    namespace: \"{application}-{stage}\"
    images:
      ghcr.io/Acme/{application}: { source: acme/{application} }
  - name: platform
    path: platform/{stage}
    namespace: platform-{stage}
";

    #[test]
    fn directories_become_targets_by_the_first_rule_that_matches() {
        let catalog = Catalog::parse(EXAMPLE).unwrap();
        let found = catalog
            .expand([
                "apps/shop/staging",
                "apps/shop/base",
                "apps/shop",
                "platform/staging",
                "apps/shop/production",
                "x",
            ])
            .unwrap();
        let read: Vec<_> = found
            .iter()
            .map(|t| {
                (
                    t.path.as_str(),
                    t.application.as_str(),
                    t.destination.namespace.as_str(),
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                ("platform/staging", "platform", "platform-staging"),
                ("apps/shop/staging", "shop", "shop-staging"),
                ("apps/shop/production", "shop", "shop-production"),
            ]
        );
        assert_eq!(
            found[1].images,
            [ImageRule {
                image: "ghcr.io/acme/shop".into(),
                source: "acme/shop".parse().unwrap()
            }]
        );
        assert_eq!(found[0].stage.name.as_str(), "staging");
        assert!(catalog.expand(["apps/Shop/staging"]).is_err());
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_told_with_what_is_near() {
        let unmatched = |directories: &[&str]| {
            let directories = directories.iter().map(|path| path.to_string()).collect();
            Catalog::parse(EXAMPLE).unwrap().unmatched(&directories)
        };
        assert_eq!(
            unmatched(&["apps", "apps/shop", "apps/shop/staging", "platform/staging"]),
            [""; 0]
        );
        assert_eq!(
            unmatched(&[
                "app",
                "app/shop",
                "app/shop/staging",
                "docs",
                "platform/prod"
            ]),
            [
                "windlass.yaml: `apps/{application}/{stage}` matches no directory; the nearest is `app/shop/staging`",
                "windlass.yaml: `platform/{stage}` matches no directory; the nearest is `platform/prod`"
            ]
        );
        assert_eq!(
            unmatched(&["x"])[0],
            "windlass.yaml: `apps/{application}/{stage}` matches no directory"
        );
    }

    #[test]
    fn in_the_place_of_a_stage_that_is_skipped_come_those_before_it() {
        let stages = "  qa: { cluster: local, after: [staging] }\n  production: { cluster: local, after: [qa, staging] }\n";
        let text = EXAMPLE.replace(
            "  production: { cluster: local, after: [staging], gates: { approvals: 1 } }\n",
            stages,
        );
        let table = [
            (&["staging", "qa", "production"][..], "qa staging"),
            (&["staging", "production"], "staging"),
            (&["qa", "production"], "qa"),
            // It begins there.
            (&["production"], ""),
        ];
        for (there, expected) in table {
            let paths: Vec<_> = there
                .iter()
                .map(|stage| format!("apps/shop/{stage}"))
                .collect();
            let targets = Catalog::parse(&text)
                .unwrap()
                .expand(paths.iter().map(String::as_str))
                .unwrap();
            let after: Vec<_> = targets
                .last()
                .unwrap()
                .stage
                .after
                .iter()
                .map(Name::as_str)
                .collect();
            assert_eq!(after.join(" "), expected, "{there:?}");
        }
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let table = [
            (
                EXAMPLE.replace("merge: auto", "mege: auto"),
                vec!["windlass.yaml", "line 3", "^", "did you mean `merge`?"],
            ),
            (
                EXAMPLE.replace("merge: auto", "merge: atuo"),
                vec!["did you mean `auto`?"],
            ),
            (
                EXAMPLE.replace("version: 1", "version: 2"),
                vec!["version 2 is not known"],
            ),
            (
                EXAMPLE.replace("[staging]", "[stagin]"),
                vec!["not a stage above"],
            ),
            (
                EXAMPLE.replace("platform/{stage}", "platform"),
                vec!["has no `{stage}`"],
            ),
            (
                EXAMPLE.replace("  - name: platform\n    path", "  - path"),
                vec!["names no application"],
            ),
            (
                EXAMPLE.replace("apps/{application}", "../{application}"),
                vec!["relative to the repository's root"],
            ),
            (
                EXAMPLE.replace("apps/{application}", "apps/x-{application}"),
                vec!["one whole directory"],
            ),
            (
                EXAMPLE
                    .replace(
                        "  - name: platform\n",
                        "  - name: platform\n    dependsOn: [shop]\n",
                    )
                    .replace("    images:", "    dependsOn: [platform]\n    images:"),
                vec!["`platform`, which has no stage"],
            ),
            (
                EXAMPLE.replace("    images:", "    dependsOn: [shop]\n    images:"),
                vec!["depend on each other: shop/staging → shop/staging"],
            ),
            (
                EXAMPLE.replace("    images:", "    drift: ignore\n    images:"),
                vec!["unknown variant"],
            ),
            (
                EXAMPLE.replace(
                    "applications:",
                    "health: [{ group: a.b, kind: C, healthy: 'self.x ==' }]\napplications:",
                ),
                vec!["health of C", "not a CEL expression"],
            ),
            (
                EXAMPLE.replace(
                    "applications:",
                    "health: [{ group: apps, kind: Deployment, healthy: 'true' }]\napplications:",
                ),
                vec!["no group of custom kinds"],
            ),
            (
                EXAMPLE.replace("merge: auto", "reconcile: { by: argo }"),
                vec!["did you mean `argocd`?"],
            ),
            (
                EXAMPLE.replace("    images:", "    ignore: [{ path: spec }]\n    images:"),
                vec!["not a field's path"],
            ),
        ];
        for (text, expected) in table {
            let Err(Invalid(error)) =
                Catalog::parse(&text).and_then(|c| c.expand(["apps/shop/staging"]))
            else {
                panic!("accepted:\n{text}")
            };
            for part in expected {
                assert!(error.contains(part), "`{part}` is not in:\n{error}");
            }
        }
    }
}
