//! Which part of a path names the stage, and which the application.

use std::collections::{BTreeMap, BTreeSet};

use super::roots::Root;
use crate::domain::Name;

/// The words for stages, from the first that a change goes to, to the last.
const STAGES: &[&[&str]] = &[
    &["sandbox", "local", "kind"],
    &["dev", "develop", "development"],
    &["test", "testing", "tst", "int", "integration", "ci"],
    &["qa", "uat", "acc", "acceptance"],
    &[
        "stage",
        "staging",
        "stg",
        "preprod",
        "preproduction",
        "demo",
    ],
    &["prod", "prd", "production", "live"],
];

/// Directories below which each is a stage.
const ABOVE_STAGES: &[&str] = &[
    "overlays",
    "overlay",
    "envs",
    "env",
    "environments",
    "environment",
    "stages",
    "clusters",
];

/// Directories that are no application's name, unless there is no better one.
const GENERIC: &[&str] = &[
    "apps",
    "applications",
    "app",
    "services",
    "workloads",
    "k8s",
    "kubernetes",
    "kube",
    "manifests",
    "manifest",
    "deploy",
    "deployment",
    "deployments",
    "base",
    "bases",
    "charts",
    "chart",
    "helm",
    "kustomize",
    "gitops",
    "config",
    "configs",
    "src",
    "resources",
    "cluster",
    "values",
];

/// A stage of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DraftedStage {
    pub(super) name: String,
    pub(super) cluster: String,
    /// The stages before it.
    pub(super) after: Vec<String>,
}

/// Where a root's application and stage come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) root: Root,
    /// None: its path names none.
    pub(super) stage: Option<Name>,
    /// The index of the stage's part of the path.
    stage_at: Option<usize>,
    /// The index of the application's part of the path. None: no part is a name of one.
    pub(super) application_at: Option<usize>,
}

impl Placed {
    pub(super) fn segments(&self) -> Vec<&str> {
        self.root.path.split('/').collect()
    }

    /// The application, as the path has it.
    pub(super) fn application(&self) -> Option<&str> {
        Some(self.segments()[self.application_at?])
    }

    /// All parts of the path that say something about the application.
    pub(super) fn long_name(&self) -> String {
        let segments = self.segments();
        let all = segments.iter().enumerate();
        let telling = all.filter(|(at, segment)| {
            let is_file = self.root.values.is_some() && *at + 1 == segments.len();
            Some(*at) != self.stage_at && !is_file && !is_generic(segment)
        });
        telling
            .map(|(_, segment)| *segment)
            .collect::<Vec<_>>()
            .join("-")
    }

    /// The path with placeholders for the stage and, if asked, the application.
    pub(super) fn pattern(&self, with_application: bool) -> String {
        let fill = |(at, segment): (usize, &&str)| match (&self.root.values, &self.stage) {
            _ if with_application && Some(at) == self.application_at => "{application}".to_string(),
            (Some(values), _) if Some(at) == self.stage_at => {
                segment.replacen(&values.stage, "{stage}", 1)
            }
            (None, Some(_)) if Some(at) == self.stage_at => "{stage}".to_string(),
            _ => segment.to_string(),
        };
        let segments = self.segments();
        let parts: Vec<_> = segments.iter().enumerate().map(fill).collect();
        parts.join("/")
    }

    /// The chart's path, likewise.
    pub(super) fn chart(&self, with_application: bool) -> Option<String> {
        let values = self.root.values.as_ref()?;
        let length = values.chart.split('/').count();
        let pattern = self.pattern(with_application);
        Some(
            pattern
                .split('/')
                .take(length)
                .collect::<Vec<_>>()
                .join("/"),
        )
    }
}

/// The place of each root.
pub(super) fn placed(roots: Vec<Root>) -> Vec<Placed> {
    let mut siblings = BTreeMap::<String, BTreeSet<String>>::new();
    for root in &roots {
        let segments: Vec<&str> = root.path.split('/').collect();
        for (at, segment) in segments.iter().enumerate() {
            let parent = segments[..at].join("/");
            siblings
                .entry(parent)
                .or_default()
                .insert(segment.to_string());
        }
    }
    let place = |root: Root| {
        let (stage, stage_at) = stage_of(&root, &siblings);
        let application_at = application_of(&root, stage_at);
        Placed {
            root,
            stage,
            stage_at,
            application_at,
        }
    };
    roots.into_iter().map(place).collect()
}

fn stage_of(
    root: &Root,
    siblings: &BTreeMap<String, BTreeSet<String>>,
) -> (Option<Name>, Option<usize>) {
    let segments: Vec<&str> = root.path.split('/').collect();
    if let Some(values) = &root.values {
        return (values.stage.parse().ok(), Some(segments.len() - 1));
    }
    let named = |at: &usize| segments[*at].parse::<Name>().is_ok();
    let exact = |at: &usize| rank_of_word(segments[*at]).is_some();
    let among_stages = |at: &usize| {
        let beside = siblings.get(&segments[..*at].join("/"));
        beside.is_some_and(|beside| {
            let below_word = *at > 0 && ABOVE_STAGES.contains(&segments[*at - 1]);
            let all = beside.iter().all(|segment| rank(segment).is_some());
            beside.len() > 1 && (below_word || all)
        })
    };
    let places = || (0..segments.len()).rev().filter(named);
    let at = places().find(exact).or_else(|| places().find(among_stages));
    (at.and_then(|at| segments[at].parse().ok()), at)
}

fn application_of(root: &Root, stage_at: Option<usize>) -> Option<usize> {
    let segments: Vec<&str> = root.path.split('/').collect();
    let last = segments.len() - usize::from(root.values.is_some());
    let may = |at: &usize| Some(*at) != stage_at && *at < last;
    let telling = |at: &usize| may(at) && !is_generic(segments[*at]);
    let end = stage_at.unwrap_or(segments.len()).min(segments.len());
    let before = (0..end).rev();
    let after = end..segments.len();
    let mut places = before.chain(after);
    places.clone().find(telling).or_else(|| places.find(may))
}

pub(super) fn is_generic(segment: &str) -> bool {
    GENERIC.contains(&segment) || is_above_stages(segment)
}

pub(super) fn is_above_stages(segment: &str) -> bool {
    ABOVE_STAGES.contains(&segment)
}

pub(super) fn is_stage_word(word: &str) -> bool {
    rank_of_word(word).is_some()
}

fn rank_of_word(word: &str) -> Option<usize> {
    STAGES.iter().position(|words| words.contains(&word))
}

/// Where a stage is in the order of stages; None: its name does not say.
pub(super) fn rank(stage: &str) -> Option<usize> {
    stage.split(['-', '_']).find_map(rank_of_word)
}
