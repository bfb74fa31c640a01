//! `windlass.yaml`: the applications, and the ordered stages that they go through.
//!
//! The file is read from the base branch only. It has two forms here: `Raw…` as
//! written, and [`Catalog`], which is valid. How the file grows to clusters by
//! label, projects and windows is in `docs/adr/0003-windlass-yaml.md`.
//!
//! Rooms: `raw` (the file as written), `validate` (from that to a [`Catalog`]),
//! `gates` (what a stage asks of a pull request), `rule` (a pattern of paths, and
//! the settings of the applications that it matches), `pattern` (how a path matches),
//! `tree` (which directories can be applications), `clusters` (of a stage that has several), `helm` (how a chart is rendered),
//! `expand` (from a tree to [`Target`]s), `discover` (from the objects of others in a
//! tree to [`Target`]s), `order` (the order of stages and
//! dependencies), `reconciler` (what applies a stage), `draft` (a file for a repository that has none), `policy` (what a
//! change of the file makes of who approves).

use std::time::Duration;

use serde::Deserialize;

use super::build::Written;
use super::calendar::Calendar;
use super::health::HealthRule;
use super::image::{self, ImageRef, NamedPlace};
use super::manifest::ResourceKey;
use super::notification::Subscription;
use super::ownership::FieldRules;
use super::substitute::Transforms;
use super::sync::DriftMode;
use super::{Invalid, Name, RepoName, TargetKey, TargetNames, directories_of, joined, wildcard};
use discover::Discover;
use rule::Rule;

mod clusters;
mod discover;
mod draft;
mod expand;
mod gates;
mod helm;
mod images;
mod import;
mod order;
mod pattern;
mod placeholders;
mod policy;
mod raw;
mod reconciler;
mod rule;
mod tree;
mod validate;

pub use clusters::{ClusterRule, Fleet, OneOf};
pub use discover::Objects;
pub use draft::{Contents, Draft, draft};
pub use helm::{HelmOptions, LONGEST_RELEASE};
pub use images::ImageRule;
pub use import::{Differs, Import, LeftOut, Stays, differs, import, with_entries};
pub use pattern::is_manifest;
pub use policy::{PolicyChange, policy_changes};
pub use raw::schema;
pub use reconciler::{Named, Reconciler};
pub use tree::{KUSTOMIZATIONS, Tree};

/// The file's path in the config repository.
pub const FILE: &str = "windlass.yaml";
/// The cluster that windlass runs in, by its name there.
pub const LOCAL: &str = "local";

/// What `windlass.yaml` declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// In the order of the file.
    pub stages: Vec<Stage>,
    /// Health rules for custom kinds.
    pub health: Vec<HealthRule>,
    rules: Vec<Rule>,
    discover: Vec<Discover>,
}

/// A stage that applications are deployed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub name: Name,
    /// The cluster's name in the server's settings.
    pub cluster: String,
    /// Which clusters it has, if not only that one.
    pub rule: Option<ClusterRule>,
    /// Those clusters; a target's stage has none of these, and its own cluster above.
    pub clusters: Vec<OneOf>,
    /// The earlier stages: an image is proposed once each of them runs the same digest, healthy.
    pub after: Vec<Name>,
    pub merge: MergePolicy,
    /// How many approvals a pull request that touches this stage needs.
    pub approvals: u32,
    /// Whose approvals count; empty: those of everybody who may write to the repository.
    pub approvers: Vec<Approver>,
    /// How long the earlier stages have to be ready before a promotion; zero: they only have to be.
    pub soak: Duration,
    /// When pull requests that touch this stage may be merged.
    pub calendar: Calendar,
    /// Who may override a gate; empty: nobody.
    pub break_glass: Vec<Approver>,
    /// What applies the manifests: windlass, Argo CD or Flux.
    pub reconcile: Reconciler,
    /// A sync that fails, or is unhealthy within this time after it was healthy, is rolled back
    /// without a person. None: only people roll back.
    pub rollback: Option<Duration>,
    /// Who is notified of what happens in it.
    pub notify: Vec<Subscription>,
}

impl Stage {
    /// Whether every change of it needs an approval, also windlass's own.
    pub fn is_reviewed(&self) -> bool {
        self.approvals > 0 || self.merge != MergePolicy::Auto
    }
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

impl std::fmt::Display for Approver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(user) => f.write_str(user),
            Self::Team { organisation, team } => write!(f, "{organisation}/{team}"),
            Self::CodeOwners => f.write_str("CODEOWNERS"),
        }
    }
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
                "`{text}` is not an approver: write `user`, `organisation/team` or `CODEOWNERS`"
            ))),
        }
    }
}

/// Whether windlass merges its own image pull requests without a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MergePolicy {
    /// Without a review.
    Auto,
    /// After one approval.
    #[default]
    Reviewed,
}

/// Whether windlass rolls a stage back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RollbackPolicy {
    /// When what was synced fails.
    Auto,
    /// When somebody asks for it.
    #[default]
    Manual,
}

/// The default of `rollbackWindow`.
pub const ROLLBACK_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The default of `healthTimeout`.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The cluster and namespace of an application's objects.
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
    /// Where the stage has several clusters: which of them this is.
    pub one_of: Option<OneOf>,
    /// The directory, without a slash at its end; or the file, if it is in one.
    pub path: String,
    pub destination: Destination,
    pub images: Vec<ImageRule>,
    /// The path of a chart in the repository; the directory then holds its values files.
    pub chart: Option<String>,
    /// How the chart is rendered.
    pub helm: HelmOptions,
    /// The object of another reconciler that declares it; None: `windlass.yaml` does.
    pub declared: Option<Declared>,
    /// Paths that are not read; `*` stands for any text.
    pub exclude: Vec<String>,
    /// What is done about fields that other field managers own.
    pub fields: FieldRules,
    /// What is done about drift.
    pub drift: DriftMode,
    /// Applications that have to be healthy in the same stage first.
    pub depends_on: Vec<Name>,
    /// A sync fails if the application is not healthy so long after it.
    pub health_timeout: Duration,
}

/// The object of another reconciler in the config repository that declares an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub written: Written,
    /// The charts of elsewhere that it installs: their repositories and names.
    pub charts: Vec<(String, String)>,
    /// How it changes rendered objects.
    pub transforms: Transforms,
}

/// The paths that an application is rendered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderSource {
    /// The directory, or the file.
    pub directory: String,
    pub chart: Option<String>,
    pub helm: HelmOptions,
    /// The object that says how; each tree has its own version of it.
    pub written: Option<Written>,
    /// As of the [`Target`].
    pub exclude: Vec<String>,
    /// Where images are set, by the files' paths in the directory.
    pub named: Vec<NamedPlace>,
}

impl RenderSource {
    /// Whether a file of the directory is left out, by itself or with a directory that it is in.
    pub fn excludes(&self, path: &str) -> bool {
        let below = self.directory.len() + 1;
        let own = directories_of(path).filter(|parent| parent.len() > below);
        let mut places = own.chain([path]);
        places.any(|place| self.exclude.iter().any(|pattern| wildcard(pattern, place)))
    }
}

/// Whether a file is an application's own: in its directory, or the file that it is.
pub fn is_own(place: &str, file: &str) -> bool {
    let rest = file.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Target {
    /// What tells it from the other targets of its repository.
    pub fn names(&self) -> TargetNames<'_> {
        let cluster = self.one_of.as_ref().map(|one| &one.cluster);
        (&self.application, &self.stage.name, cluster)
    }

    /// The object of Argo CD or Flux that reconciles it, with the cluster that this is in. None:
    /// windlass applies it.
    pub fn reconciled_by(&self) -> Option<(&str, ResourceKey)> {
        let (object, _) = self.stage.reconcile.object()?;
        let hub = self.stage.reconcile.hub();
        Some((hub.unwrap_or(&self.destination.cluster), object))
    }

    /// Whether another target is the same application in the same stage and cluster, whatever its
    /// directory is.
    pub fn is_same(&self, other: &Self) -> bool {
        self.names() == other.names()
    }

    /// `shop/production`, or `shop/production/eu` where the stage has several clusters.
    pub fn title(&self) -> String {
        joined(self.names(), '/')
    }

    /// Where it is written: its directory or file, or the file of the object that declares it.
    pub fn place(&self) -> &str {
        let by = self.declared.as_ref();
        by.map_or(&self.path, |by| &by.written.file)
    }

    pub fn render_source(&self) -> RenderSource {
        RenderSource {
            directory: self.path.clone(),
            chart: self.chart.clone(),
            helm: self.helm.clone(),
            written: self.declared.as_ref().map(|by| by.written.clone()),
            exclude: self.exclude.clone(),
            named: self
                .images
                .iter()
                .flat_map(|rule| rule.at.clone())
                .collect(),
        }
    }

    pub fn key(&self, repo: &RepoName) -> TargetKey {
        let (application, stage, cluster) = self.names();
        TargetKey {
            repo: repo.clone(),
            application: application.clone(),
            stage: stage.clone(),
            cluster: cluster.cloned(),
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
    /// Parses the file. The error shows file, line, caret and, for an unknown key, the nearest
    /// known one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        raw::read(text)?.validate()
    }

    pub fn stage(&self, name: &Name) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == *name)
    }
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

/// An error about the file.
fn invalid(why: impl std::fmt::Display) -> Invalid {
    Invalid(format!("{FILE}: {why}"))
}

#[cfg(test)]
mod layouts;
#[cfg(test)]
mod tests;
