//! What a sync does next for one application.
//!
//! A plan is carried out only when nothing speaks against it: what Git has
//! must render, every object must be one that the server accepts, nobody may
//! have paused it, what it depends on must be healthy. What would be lost is
//! lost only by a change that somebody approved, or confirmed ([`judge`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::health::{self, Assessment, Health, SyncState};
use super::hook::Hook;
use super::manifest::{ApplyStage, ResourceKey, apply_stage};
use super::plan::{Action, Change, Plan, Proof};

/// Facts about one application, all of one look.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many objects Git has, or why it cannot be rendered.
    pub rendered: Result<usize, String>,
    /// Live → what a sync would leave.
    pub plan: Plan,
    /// The health of what is live.
    pub health: Assessment,
    /// Objects that we own, that Git has no more, and that stay; each with the reason.
    pub withheld: Vec<(ResourceKey, String)>,
    /// Objects that are being deleted and are not gone, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    /// Until when somebody paused it.
    pub paused: Option<Timestamp>,
    /// What it depends on and is not healthy.
    pub waits_for: Vec<String>,
    /// Objects that others changed while their manifest stayed.
    pub drifted: BTreeSet<ResourceKey>,
    pub drift: DriftMode,
    /// Where the pull request about just this drift stands.
    pub proposal: Proposal,
    /// Deletions of the plan that wait: for all else to be healthy ([`Late::Healthy`]), or for something of their own.
    pub late: BTreeMap<ResourceKey, Late>,
    /// Objects that are set back again and again, with who changes them.
    pub fights: Vec<(ResourceKey, String)>,
    /// The waves of the application's objects, each with its health.
    pub waves: Waves,
    /// Why the plan may only be looked at until somebody adopts it.
    pub quarantine: Option<String>,
}

/// What a deletion waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Late {
    /// What takes its place has to serve first.
    Healthy,
    /// Pods that run, or come to run, need it.
    Used { by: String },
    /// What it keeps in order goes first: custom resources before their controllers and definitions.
    After { what: String },
}

/// Objects in the order that their annotations ask for: the next wave begins once those before it are healthy.
#[derive(Debug, Clone, Default)]
pub struct Waves {
    of: BTreeMap<ResourceKey, i64>,
    health: BTreeMap<i64, Assessment>,
}

/// The annotation that puts an object into a wave; 0 without it. Argo CD's is understood too.
pub const WAVE: &str = "windlass.dev/wave";
const ARGO_WAVE: &str = "argocd.argoproj.io/sync-wave";

impl Waves {
    /// `objects`: every object with its manifest and its health. What others cannot be without comes first in any case.
    pub fn new<'a>(
        objects: impl IntoIterator<Item = (&'a ResourceKey, &'a Value, Assessment)>,
    ) -> Self {
        let mut all: Vec<_> = objects
            .into_iter()
            .map(|(key, value, health)| (key, wave(value), health))
            .collect();
        let first = all.iter().map(|(_, wave, _)| *wave).min().unwrap_or(0);
        let mut waves = Self::default();
        for (key, wave, health) in &mut all {
            if apply_stage(key) == ApplyStage::Definitions {
                *wave = first;
            }
            waves.of.insert(key.clone(), *wave);
            let known = waves
                .health
                .remove(wave)
                .unwrap_or((Health::Healthy, String::new()));
            waves
                .health
                .insert(*wave, health::aggregate([known, health.clone()]));
        }
        waves
    }

    /// The wave that is to become healthy now; None: all are.
    fn current(&self) -> Option<(i64, Health, &str)> {
        let unhealthy = |health: Health| !matches!(health, Health::Healthy | Health::Suspended);
        self.health
            .iter()
            .find(|(_, (health, _))| unhealthy(*health))
            .map(|(wave, (health, why))| (*wave, *health, why.as_str()))
    }

    /// Whether a change may be made now.
    pub fn allows(&self, key: &ResourceKey) -> bool {
        // What Git has no more goes last.
        let wave = self.of.get(key).copied().unwrap_or(i64::MAX);
        self.health.len() < 2 || self.current().is_none_or(|(current, _, _)| wave <= current)
    }
}

/// `wave 2 is not healthy yet`; hooks have no number that anybody wrote.
fn wave_words(wave: i64, what: &str) -> String {
    match wave {
        ..-2_000_000 => format!("a hook that runs before the sync {what}"),
        2_000_000.. => format!("a hook that runs after the sync {what}"),
        wave => format!("wave {wave} {what}"),
    }
}

fn wave(value: &Value) -> i64 {
    if let Some(hook) = Hook::of(value) {
        return hook.wave();
    }
    let annotations = &value["metadata"]["annotations"];
    [WAVE, ARGO_WAVE]
        .iter()
        .find_map(|name| annotations[*name].as_str()?.trim().parse().ok())
        .unwrap_or(0i64)
        .clamp(-1_000_000, 1_000_000)
}

/// What is done when others change live objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    /// It is set back.
    #[default]
    Heal,
    /// It is told, and left.
    Report,
    /// A pull request asks whether Git shall have it; closed without a merge, it is set back.
    Propose,
}

/// The pull request that asks whether Git shall have what somebody changed in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proposal {
    /// There is none, or nobody wants one.
    #[default]
    None,
    /// It waits for somebody to merge or close it.
    Open { number: u64 },
    /// Somebody closed it: what was changed is set back.
    Refused,
    /// None can be made, for this reason.
    Impossible { why: String },
}

/// What to do, and what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing may be done until somebody changes something.
    Blocked { reason: String },
    /// Nothing is to be done for now: it goes on by itself.
    Wait {
        reason: String,
        until: Option<Timestamp>,
    },
    /// Carry the plan out.
    Apply,
    /// The cluster differs from Git, and that is left so.
    Report { message: String },
    /// A pull request shall ask whether Git wants what somebody changed.
    Propose { message: String },
    /// The cluster has what Git has.
    InSync { health: Health, message: String },
}

pub fn decide(seen: &Seen) -> Step {
    match &seen.rendered {
        Err(error) => {
            return Step::Blocked {
                reason: error.clone(),
            };
        }
        Ok(0) => {
            return Step::Blocked {
                reason: "the directory renders to nothing: nothing is pruned; remove the directory itself to retire the application".into(),
            };
        }
        Ok(_) => {}
    }
    if let Some(until) = seen.paused {
        return Step::Wait {
            reason: format!("paused until {until}: `windlass resume` ends it"),
            until: Some(until),
        };
    }
    // A validation error applies nothing of the application: no Deployment rolls with the ConfigMap of yesterday.
    let problems: Vec<_> = seen
        .plan
        .problems()
        .map(|change| {
            format!(
                "{}: {}",
                change.key,
                change.problem.as_deref().unwrap_or_default()
            )
        })
        .collect();
    if !problems.is_empty() {
        return Step::Blocked {
            reason: problems.join("\n"),
        };
    }
    if seen.plan.is_empty() {
        let (health, why) = &seen.health;
        // How many pods are ready changes by the second; that it is waited for does not.
        let why = match health {
            Health::Progressing => {
                format!("waits for {}", why.split(": ").next().unwrap_or_default())
            }
            _ => why.clone(),
        };
        let ending = seen.ending.iter().map(|(key, why)| format!("{key}: {why}"));
        let notes = seen
            .withheld
            .iter()
            .map(|(key, why)| format!("{key} is left: {why}"));
        let message = (!why.is_empty())
            .then_some(why)
            .into_iter()
            .chain(ending)
            .chain(notes)
            .collect::<Vec<_>>()
            .join("; ");
        // What is not gone yet is not done yet.
        let health = if seen.ending.is_empty() {
            *health
        } else {
            (*health).max(Health::Progressing)
        };
        return Step::InSync { health, message };
    }
    if let Some(reason) = &seen.quarantine {
        return Step::Blocked {
            reason: reason.clone(),
        };
    }
    if !seen.waits_for.is_empty() {
        return Step::Wait {
            reason: format!("waits for {}", seen.waits_for.join(", ")),
            until: None,
        };
    }
    let only_drift = seen
        .plan
        .effective()
        .all(|change| seen.drifted.contains(&change.key));
    if only_drift && seen.drift == DriftMode::Report {
        let lines: Vec<_> = seen.plan.effective().map(drift_line).collect();
        return Step::Report {
            message: lines.join("; "),
        };
    }
    if only_drift
        && seen.drift == DriftMode::Propose
        && seen
            .plan
            .effective()
            .all(|change| change.action == Action::Configure)
    {
        let lines: Vec<_> = seen.plan.effective().map(drift_line).collect();
        let message = lines.join("; ");
        match &seen.proposal {
            Proposal::None => return Step::Propose { message },
            Proposal::Open { number } => {
                return Step::Report {
                    message: format!(
                        "{message} (#{number} asks whether to keep it: merge it, or close it to have it set back)"
                    ),
                };
            }
            Proposal::Impossible { why } => {
                return Step::Report {
                    message: format!("{message} (no pull request can ask about it: {why})"),
                };
            }
            Proposal::Refused => {}
        }
    }
    if only_drift && !seen.fights.is_empty() {
        let lines: Vec<_> = seen
            .fights
            .iter()
            .map(|(key, who)| format!("{key} is set back and changed again by {who}"))
            .collect();
        let rule = "it is not set back for now: have that stop, or leave the field to it by an `ignore` rule in windlass.yaml. `/sync` tries again at once";
        return Step::Blocked {
            reason: format!("{}: {rule}", lines.join("; ")),
        };
    }
    if !seen
        .plan
        .effective()
        .any(|change| seen.late_because(&change.key).is_none())
    {
        let lines: Vec<_> = seen
            .plan
            .effective()
            .filter_map(|change| seen.late_because(&change.key))
            .collect();
        let lines = lines.join("; ");
        // What failed is told first: it is the commit's failure, and the reason that the deletions wait.
        return match &seen.health {
            (Health::Degraded, why) => Step::Blocked {
                reason: format!("{why}; {lines}"),
            },
            (Health::Healthy | Health::Suspended, _) => Step::Wait {
                reason: lines,
                until: None,
            },
            (_, why) => Step::Wait {
                reason: format!("{why}; {lines}"),
                until: None,
            },
        };
    }
    if !seen.plan.effective().any(|change| seen.allows(&change.key)) {
        let (wave, health, why) = seen.waves.current().unwrap_or((0, Health::Unknown, ""));
        // What failed stops the later waves, and is a failure of the commit.
        return match health {
            Health::Degraded => Step::Blocked {
                reason: format!("{}: {why}", wave_words(wave, "failed")),
            },
            _ => Step::Wait {
                reason: format!("{}: {why}", wave_words(wave, "is not healthy yet")),
                until: None,
            },
        };
    }
    Step::Apply
}

impl Seen {
    /// Whether a change may be made now.
    pub fn allows(&self, key: &ResourceKey) -> bool {
        self.waves.allows(key) && self.late_because(key).is_none()
    }

    /// Why a deletion waits; None: it does not.
    fn late_because(&self, key: &ResourceKey) -> Option<String> {
        let healthy = matches!(self.health.0, Health::Healthy | Health::Suspended);
        let settled = healthy
            && self
                .plan
                .effective()
                .all(|change| self.late.contains_key(&change.key));
        match self.late.get(key)? {
            Late::Healthy if settled => None,
            Late::Healthy => Some(format!(
                "{key} is deleted once the application is healthy without it"
            )),
            Late::Used { by } => Some(format!(
                "{key} is deleted once {by} does not use it any more"
            )),
            Late::After { what } => Some(format!("{key} is deleted after {what}")),
        }
    }
}

/// `Deployment a/web: .spec.replicas changed by kubectl-edit`.
fn drift_line(change: &Change) -> String {
    if change.action == Action::Create {
        return format!("{} was deleted", change.key);
    }
    let by: Vec<_> = change
        .notes
        .reverted
        .iter()
        .map(|(manager, paths)| format!("{} changed by {manager}", paths.join(", ")))
        .collect();
    if by.is_empty() {
        format!("{} differs", change.key)
    } else {
        format!("{}: {}", change.key, by.join(", "))
    }
}

/// The sync state of a plan.
pub fn state(plan: &Plan) -> SyncState {
    if plan.is_empty() {
        SyncState::Synced
    } else {
        SyncState::OutOfSync
    }
}

/// Whether the server could not be asked about some object yet, because its namespace or kind comes first.
pub fn waits_for_definitions(plan: &Plan) -> bool {
    plan.effective().any(|change| change.proof != Proof::Server)
}

/// How many objects the plan writes or deletes.
pub fn writes(plan: &Plan) -> usize {
    plan.effective().count()
}

/// An object is set back at most so often in [`FIGHT_WINDOW`]; then somebody else is at it too.
pub const MOST_HEALS: usize = 5;
pub const FIGHT_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How long nothing is set back after it was given up so often: ten minutes, and twice as long each time, up to a day.
pub fn truce(times: u32) -> SignedDuration {
    SignedDuration::from_mins(10 << times.min(8)).min(SignedDuration::from_hours(24))
}

// ---- what is lost

/// The annotation that keeps an object from being pruned, in Git or on the live object.
pub const PRUNE: &str = "windlass.dev/prune";

/// What an object's marks say about its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It stays, whatever anybody approved.
    Keep(String),
    /// Somebody has to confirm it.
    Confirm(String),
}

/// Marks of other tools that say "do not delete": the annotation (Flux takes a label too), and one of its values.
/// Sources: helm.sh/docs/howto/charts_tips_and_tricks, argo-cd docs/user-guide/sync-options.md, fluxcd.io Kustomization
/// "Controlling the apply behavior", sigs.k8s.io/cli-utils pkg/common, kapp docs/apply.md, kluctl docs "deletes".
const KEEP_MARKS: [(&str, &str); 9] = [
    (PRUNE, "never"),
    ("helm.sh/resource-policy", "keep"),
    ("argocd.argoproj.io/sync-options", "Prune=false"),
    ("argocd.argoproj.io/sync-options", "Delete=false"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("cli-utils.sigs.k8s.io/on-remove", "keep"),
    ("client.lifecycle.config.k8s.io/deletion", "detach"),
    ("kapp.k14s.io/delete-strategy", "orphan"),
    ("kluctl.io/skip-delete", "true"),
];
const CONFIRM_MARKS: [(&str, &str); 3] = [
    (PRUNE, "confirm"),
    ("argocd.argoproj.io/sync-options", "Prune=confirm"),
    ("argocd.argoproj.io/sync-options", "Delete=confirm"),
];

/// The mark on an object, in Git or live, that rules about its deletion.
pub fn mark(object: &Value) -> Option<Mark> {
    let metadata = &object["metadata"];
    let has = |name: &str, wanted: &str| {
        ["annotations", "labels"]
            .iter()
            .filter_map(|map| metadata[*map][name].as_str())
            .any(|text| {
                // Lists of options: `Prune=false,Validate=false`; written by people, with spaces and capitals.
                text.split(',').any(|one| {
                    one.split_whitespace()
                        .collect::<String>()
                        .eq_ignore_ascii_case(wanted)
                })
            })
    };
    let find = |marks: &[(&str, &str)]| {
        marks
            .iter()
            .find(|(name, wanted)| has(name, wanted))
            .map(|(name, wanted)| format!("{name}: {wanted}"))
    };
    find(&KEEP_MARKS)
        .map(Mark::Keep)
        .or_else(|| find(&CONFIRM_MARKS).map(Mark::Confirm))
}

/// Why an object that Git has no more is left where it is, whatever anybody approved.
pub fn protected(live: &Value) -> Option<String> {
    match mark(live)? {
        Mark::Keep(mark) => Some(format!("it is marked `{mark}`")),
        Mark::Confirm(_) => None,
    }
}

/// Kinds of Kubernetes itself with which nothing is lost that Git cannot bring back, and nobody is cut off from anything.
const HARMLESS: [(&str, &str); 9] = [
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "PodTemplate"),
    ("apps", "ControllerRevision"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// Whether something may be lost with an object: so of every kind that is not known to be harmless.
fn is_grave(key: &ResourceKey) -> bool {
    !HARMLESS
        .iter()
        .any(|(group, kind)| key.group == *group && key.kind == *kind)
}

/// So many prunes of harmless kinds need nobody's word: 3, or a tenth of the application.
fn budget(owned: usize) -> usize {
    (owned / 10).max(3)
}

/// An object that Git has no more.
#[derive(Debug, Clone)]
pub struct Gone {
    pub key: ResourceKey,
    pub uid: String,
    /// The preview of a change that somebody approved listed it.
    pub approved: bool,
    /// Nobody took it out of Git, or its own mark asks for that: it waits for a confirmation, whatever it is.
    pub asks: bool,
    /// It is run, not kept.
    pub hook: bool,
}

/// What may be pruned, and what waits for a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    pub prune: Vec<ResourceKey>,
    pub withheld: Vec<(ResourceKey, String)>,
    /// Names the withheld ones: what has to be confirmed.
    pub confirm: Option<String>,
    /// What was confirmed and is not gone yet, line by line: kept, so that the rest of it needs no second word.
    pub confirmed: Vec<String>,
}

impl Judgement {
    /// The names of what waits for a confirmation.
    pub fn to_confirm(&self) -> Vec<String> {
        self.withheld
            .iter()
            .take(300)
            .map(|(key, _)| key.to_string())
            .collect()
    }
}

/// What somebody confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confirmed<'a> {
    /// The digest that names all of it.
    pub digest: Option<&'a str>,
    /// What it named, once that was seen.
    pub lines: &'a [String],
}

/// Prunes that an approved preview listed are done. Others are done when they are few and harmless, or confirmed by
/// the digest that names them. `owned`: how many objects the application has.
pub fn judge(gone: &[Gone], owned: usize, confirmed: Confirmed<'_>, title: &str) -> Judgement {
    let (hooks, kept): (Vec<_>, Vec<_>) = gone.iter().partition(|one| one.hook);
    // What was approved with an earlier commit, and has waited since, needs no second word.
    let is_known = |one: &Gone| confirmed.lines.contains(&line(one));
    let (approved, others): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|one| !one.asks && (one.approved || is_known(one)));
    let harmless =
        others.len() <= budget(owned) && !others.iter().any(|one| one.asks || is_grave(&one.key));
    let mut judgement = confirmed_only(others, harmless, confirmed, title);
    judgement.confirmed.extend(lines(&approved));
    judgement.confirmed.sort();
    let all = hooks.into_iter().chain(approved);
    judgement.prune.extend(all.map(|one| one.key.clone()));
    judgement
}

/// The same for an application that Git has no more at all: somebody has to confirm that, whatever it is.
pub fn judge_retired(gone: &[Gone], confirmed: Confirmed<'_>, title: &str) -> Judgement {
    confirmed_only(gone.iter().collect(), false, confirmed, title)
}

fn confirmed_only(
    gone: Vec<&Gone>,
    harmless: bool,
    confirmed: Confirmed<'_>,
    title: &str,
) -> Judgement {
    let (digest, lines) = (digest(&gone), lines(&gone));
    let prune = || gone.iter().map(|one| one.key.clone()).collect();
    if gone.is_empty() || harmless {
        return Judgement {
            prune: prune(),
            ..Judgement::default()
        };
    }
    if confirmed.digest == Some(&digest) || lines.iter().all(|line| confirmed.lines.contains(line))
    {
        return Judgement {
            prune: prune(),
            confirmed: lines,
            ..Judgement::default()
        };
    }
    let why = format!(
        "its deletion waits for a confirmation: `/confirm-prune`, or `windlass confirm-prune {title}`"
    );
    Judgement {
        prune: vec![],
        withheld: gone
            .into_iter()
            .map(|one| (one.key.clone(), why.clone()))
            .collect(),
        confirm: Some(digest),
        confirmed: vec![],
    }
}

/// Names exactly these objects.
fn digest(gone: &[&Gone]) -> String {
    format!(
        "wlp1:{}",
        &hex::encode(Sha256::digest(lines(gone).join("\n")))[..16]
    )
}

fn line(one: &Gone) -> String {
    format!("{} {}", one.key, one.uid)
}

fn lines(gone: &[&Gone]) -> Vec<String> {
    let mut lines: Vec<_> = gone.iter().map(|one| line(one)).collect();
    lines.sort();
    lines
}

// ---- pauses

/// Reads a duration as people write it: `30m`, `2h`, `1d`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    (number > 0).then(|| SignedDuration::from_secs(number.saturating_mul(seconds).min(30 * 86_400)))
}

/// A duration as people write it.
pub fn duration_words(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::mask::Mask;
    use crate::domain::plan::{Comparison, Side};

    fn key(kind: &str, name: &str) -> ResourceKey {
        ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        }
    }

    fn seen(comparison: Option<(Side, Side)>) -> Seen {
        let comparisons =
            comparison.map(|(before, after)| Comparison::new(key("ConfigMap", "a"), before, after));
        Seen {
            rendered: Ok(1),
            plan: Plan::new(&Mask::new(b"test"), comparisons),
            health: (Health::Healthy, String::new()),
            withheld: vec![],
            ending: vec![],
            paused: None,
            waits_for: vec![],
            drifted: BTreeSet::new(),
            drift: DriftMode::Heal,
            proposal: Proposal::None,
            late: BTreeMap::new(),
            fights: vec![],
            waves: Waves::default(),
            quarantine: None,
        }
    }

    #[test]
    fn a_wave_waits_for_the_one_before() {
        let object = |wave: &str| serde_json::json!({"metadata": {"annotations": {WAVE: wave}}});
        let (first, second, namespace) = (
            key("Job", "first"),
            key("Deployment", "second"),
            key("Namespace", "n"),
        );
        let waves = |health: Health| {
            let (a, b) = (object("-1"), object("2"));
            Waves::new([
                (&first, &a, (health, "Job first: is running".to_string())),
                (&second, &b, (Health::Missing, String::new())),
                (
                    &namespace,
                    &serde_json::json!({}),
                    (Health::Healthy, String::new()),
                ),
            ])
        };
        let (running, done) = (waves(Health::Progressing), waves(Health::Healthy));
        assert!(
            running.allows(&first)
                && running.allows(&namespace)
                && !running.allows(&second)
                && !running.allows(&key("ConfigMap", "gone"))
        );
        assert!(done.allows(&second));
        let create = |key: &ResourceKey| {
            Comparison::new(
                key.clone(),
                Side::Absent,
                Side::Object(serde_json::json!({"a": 1}), Proof::Server),
            )
        };
        let plan = Plan::new(&Mask::new(b"t"), [create(&second)]);
        let step = decide(&Seen {
            plan: plan.clone(),
            waves: running,
            ..seen(None)
        });
        assert_eq!(
            step,
            Step::Wait {
                reason: "wave -1 is not healthy yet: Job first: is running".into(),
                until: None
            }
        );
        assert_eq!(
            decide(&Seen {
                plan,
                waves: done,
                ..seen(None)
            }),
            Step::Apply
        );
    }

    #[test]
    fn a_sync_stops_at_what_it_cannot_answer_for() {
        let create = || {
            Some((
                Side::Absent,
                Side::Object(serde_json::json!({"a": 1}), Proof::Server),
            ))
        };
        assert_eq!(decide(&seen(create())), Step::Apply);
        assert_eq!(
            decide(&seen(None)),
            Step::InSync {
                health: Health::Healthy,
                message: String::new()
            }
        );
        assert!(matches!(
            decide(&Seen {
                rendered: Ok(0),
                ..seen(create())
            }),
            Step::Blocked { .. }
        ));
        let refused = Some((Side::Absent, Side::Refused("no".into())));
        assert_eq!(
            decide(&seen(refused)),
            Step::Blocked {
                reason: "ConfigMap a: no".into()
            }
        );
        let waits = Seen {
            waits_for: vec!["platform/staging".into()],
            ..seen(create())
        };
        assert_eq!(
            decide(&waits),
            Step::Wait {
                reason: "waits for platform/staging".into(),
                until: None
            }
        );
        assert!(matches!(
            decide(&Seen {
                quarantine: Some("q".into()),
                ..seen(create())
            }),
            Step::Blocked { .. }
        ));
        assert!(matches!(
            decide(&Seen {
                quarantine: Some("q".into()),
                ..seen(None)
            }),
            Step::InSync { .. }
        ));
        let drifted: BTreeSet<_> = [key("ConfigMap", "a")].into();
        let reported = Seen {
            drifted: drifted.clone(),
            drift: DriftMode::Report,
            ..seen(create())
        };
        assert_eq!(
            decide(&reported),
            Step::Report {
                message: "ConfigMap a was deleted".into()
            }
        );
        assert_eq!(
            decide(&Seen {
                drift: DriftMode::Report,
                ..seen(create())
            }),
            Step::Apply,
            "a change of Git is no drift"
        );
        let fights = vec![(key("ConfigMap", "a"), "some-operator".to_string())];
        assert!(matches!(
            decide(&Seen {
                drifted,
                fights,
                ..seen(create())
            }),
            Step::Blocked { .. }
        ));
    }

    fn gone(kind: &str, count: usize, approved: bool) -> Vec<Gone> {
        (0..count)
            .map(|n| Gone {
                key: key(kind, &format!("n{n}")),
                uid: format!("u{n}"),
                approved,
                asks: false,
                hook: false,
            })
            .collect()
    }

    #[test]
    fn what_would_be_lost_needs_somebodys_word() {
        let judged = |gone: &[Gone], owned, digest| {
            judge(
                gone,
                owned,
                Confirmed { digest, lines: &[] },
                "shop/staging",
            )
        };
        assert_eq!(judged(&gone("ConfigMap", 3, false), 5, None).prune.len(), 3);
        assert_eq!(judged(&gone("ConfigMap", 4, false), 5, None).prune.len(), 0);
        assert_eq!(
            judged(&gone("ConfigMap", 10, false), 100, None).prune.len(),
            10
        );
        assert_eq!(judged(&gone("Deployment", 1, true), 5, None).prune.len(), 1);
        let waits = judged(&gone("Deployment", 1, false), 5, None);
        assert_eq!((waits.prune.len(), waits.withheld.len()), (0, 1));
        let confirm = waits.confirm.unwrap();
        assert_eq!(
            judged(&gone("Deployment", 1, false), 5, Some(&confirm))
                .prune
                .len(),
            1
        );
        assert_eq!(
            judged(&gone("Deployment", 2, false), 5, Some(&confirm))
                .prune
                .len(),
            0,
            "more than was confirmed"
        );
    }

    #[test]
    fn what_was_approved_stays_approved_while_it_waits() {
        let first = judge(&gone("Deployment", 1, true), 5, Confirmed::default(), "a/b");
        assert_eq!(first.confirmed, ["Deployment n0 u0"]);
        // The change that removed it failed; another commit mends that.
        let lines = Confirmed {
            digest: None,
            lines: &first.confirmed,
        };
        let later = judge(&gone("Deployment", 1, false), 5, lines, "a/b");
        assert_eq!((later.prune.len(), later.withheld.len()), (1, 0));
        // Another object of the same name is another one.
        let mut anew = gone("Deployment", 1, false);
        anew[0].uid = "u9".into();
        assert_eq!(judge(&anew, 5, lines, "a/b").prune.len(), 0);
    }

    #[test]
    fn only_what_is_known_to_be_harmless_goes_without_a_word() {
        let grave = |group: &str, kind: &str| {
            is_grave(&ResourceKey {
                group: group.into(),
                ..key(kind, "a")
            })
        };
        for (group, kind) in [
            ("", "Secret"),
            ("", "Service"),
            ("", "ServiceAccount"),
            ("", "ResourceQuota"),
            ("apps", "Deployment"),
            ("networking.k8s.io", "NetworkPolicy"),
            ("policy", "PodDisruptionBudget"),
            ("storage.k8s.io", "StorageClass"),
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
            ),
            ("postgresql.cnpg.io", "Cluster"),
            ("acme.example", "ConfigMap"),
        ] {
            assert!(grave(group, kind), "{group} {kind}");
        }
        assert!(!grave("", "ConfigMap") && !grave("autoscaling", "HorizontalPodAutoscaler"));
    }

    #[test]
    fn other_tools_marks_are_honoured() {
        let marked = |name: &str, value: &str| {
            mark(&serde_json::json!({"metadata": {"annotations": {name: value}}}))
        };
        for (name, value) in [
            ("windlass.dev/prune", "never"),
            ("helm.sh/resource-policy", "keep"),
            (
                "argocd.argoproj.io/sync-options",
                "Validate=false, Prune=false",
            ),
            ("argocd.argoproj.io/sync-options", "Delete=false"),
            ("kustomize.toolkit.fluxcd.io/prune", "Disabled"),
        ] {
            assert!(
                matches!(marked(name, value), Some(Mark::Keep(_))),
                "{name}: {value}"
            );
        }
        assert!(matches!(
            marked("argocd.argoproj.io/sync-options", "Prune=confirm"),
            Some(Mark::Confirm(_))
        ));
        assert_eq!(
            marked("argocd.argoproj.io/sync-options", "PruneLast=true"),
            None
        );
        let label = serde_json::json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}});
        assert_eq!(
            protected(&label).unwrap(),
            "it is marked `kustomize.toolkit.fluxcd.io/prune: disabled`"
        );
        let asks = Gone {
            asks: true,
            hook: false,
            ..gone("ConfigMap", 1, true).remove(0)
        };
        assert_eq!(
            judge(&[asks], 50, Confirmed::default(), "a/b")
                .withheld
                .len(),
            1
        );
    }

    #[test]
    fn deletions_come_last_and_wait_for_health() {
        let (old, new) = (key("Deployment", "old"), key("Deployment", "new"));
        let object = || Side::Object(serde_json::json!({"a": 1}), Proof::Server);
        let plan = Plan::new(
            &Mask::new(b"t"),
            [Comparison::new(old.clone(), object(), Side::Absent)],
        );
        let both = Plan::new(
            &Mask::new(b"t"),
            [
                Comparison::new(old.clone(), object(), Side::Absent),
                Comparison::new(new.clone(), Side::Absent, object()),
            ],
        );
        let late = BTreeMap::from([(old.clone(), Late::Healthy)]);
        let first = Seen {
            plan: both,
            late: late.clone(),
            ..seen(None)
        };
        assert_eq!(decide(&first), Step::Apply);
        assert!(first.allows(&new) && !first.allows(&old));
        let waits = Seen {
            plan: plan.clone(),
            late: late.clone(),
            health: (Health::Progressing, "new rolls".into()),
            ..seen(None)
        };
        let words = "Deployment old is deleted once the application is healthy without it";
        assert_eq!(
            decide(&waits),
            Step::Wait {
                reason: format!("new rolls; {words}"),
                until: None
            }
        );
        let failed = Seen {
            health: (Health::Degraded, "new crashes".into()),
            ..waits.clone()
        };
        assert_eq!(
            decide(&failed),
            Step::Blocked {
                reason: format!("new crashes; {words}")
            }
        );
        let healthy = Seen {
            health: (Health::Healthy, String::new()),
            ..waits
        };
        assert_eq!(decide(&healthy), Step::Apply);
        let used = Seen {
            late: BTreeMap::from([(old.clone(), Late::Used { by: "Pod a".into() })]),
            ..healthy
        };
        assert!(matches!(decide(&used), Step::Wait { .. }));
    }

    #[test]
    fn a_truce_lasts_longer_each_time() {
        let minutes: Vec<_> = (0..10).map(|times| truce(times).as_mins()).collect();
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
    }

    #[test]
    fn pauses_end_by_themselves() {
        assert_eq!(duration("2h"), Some(SignedDuration::from_secs(7200)));
        assert_eq!(
            duration("99999d"),
            Some(SignedDuration::from_secs(30 * 86_400))
        );
        for wrong in ["", "h", "-1h", "0m", "2 weeks", "1é"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// Nothing is lost: every object is pruned or withheld, and withheld ones can be confirmed.
        #[test]
        fn judgement_is_complete(kinds in proptest::collection::vec((0usize..4, any::<bool>()), 0..20), owned in 0usize..200) {
            let names = ["ConfigMap", "Deployment", "PersistentVolumeClaim", "HTTPRoute"];
            let all: Vec<_> = kinds.iter().enumerate().map(|(n, (kind, approved))| Gone { key: key(names[*kind], &n.to_string()), uid: n.to_string(), approved: *approved, asks: false, hook: false }).collect();
            let judged = judge(&all, owned, Confirmed::default(), "a/b");
            prop_assert_eq!(judged.prune.len() + judged.withheld.len(), all.len());
            prop_assert_eq!(judged.withheld.is_empty(), judged.confirm.is_none());
            let again = judge(&all, owned, Confirmed { digest: judged.confirm.as_deref(), lines: &[] }, "a/b");
            prop_assert_eq!(again.prune.len(), all.len());
            // Cut off after some of them, the rest needs no second word.
            let rest = judge(&all[all.len() / 2..], owned, Confirmed { digest: judged.confirm.as_deref(), lines: &again.confirmed }, "a/b");
            prop_assert_eq!(rest.prune.len(), all.len() - all.len() / 2);
        }
    }
}
