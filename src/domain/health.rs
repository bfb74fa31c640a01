//! Whether a live object does what it was applied for.
//!
//! The rules follow kstatus, with the places where Argo CD's are better taken
//! from there: a paused Deployment is suspended, a running Job is progressing,
//! a failing pod is told at once instead of after the progress deadline.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cel::Condition;
use super::labels::HEALTH;
use super::manifest::is_custom_group;
use super::wildcard;

/// An application's health is the worst of its objects'; the order here is from best to worst.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Health {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

/// Whether the cluster has what Git has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SyncState {
    Synced,
    OutOfSync,
    Unknown,
}

/// A health with the sentence that explains it; empty when healthy.
pub type Assessment = (Health, String);

/// A rule of `windlass.yaml` for a custom kind: conditions in CEL, asked in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRule {
    pub group: String,
    pub kind: String,
    pub progressing: Option<Condition>,
    pub failed: Option<Condition>,
    /// Without it, what neither progresses nor failed is healthy.
    pub healthy: Option<Condition>,
}

impl HealthRule {
    pub fn is_for(&self, live: &Value) -> bool {
        let group = live["apiVersion"]
            .as_str()
            .and_then(|version| version.split_once('/'))
            .map_or("", |(group, _)| group);
        self.kind == live["kind"].as_str().unwrap_or_default() && self.group == group
    }

    fn assess(&self, live: &Value) -> Assessment {
        let holds = |condition: &Option<Condition>| {
            condition
                .as_ref()
                .map(|condition| condition.holds(live))
                .transpose()
        };
        let outcome = || -> Result<Assessment, String> {
            if holds(&self.progressing)? == Some(true) {
                return Ok((
                    Health::Progressing,
                    "progresses, by the rule of windlass.yaml".into(),
                ));
            }
            if holds(&self.failed)? == Some(true) {
                return Ok((
                    Health::Degraded,
                    "failed, by the rule of windlass.yaml".into(),
                ));
            }
            Ok(match holds(&self.healthy)? {
                Some(false) => (
                    Health::Progressing,
                    "is not healthy yet, by the rule of windlass.yaml".into(),
                ),
                _ => (Health::Healthy, String::new()),
            })
        };
        outcome().unwrap_or_else(|error| {
            (
                Health::Unknown,
                format!("its rule of windlass.yaml cannot be evaluated: {error}"),
            )
        })
    }
}

/// The rules that windlass comes with, for well-known custom kinds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipped {
    /// `*` stands for any text, in kinds too.
    group: String,
    kinds: Vec<String>,
    #[serde(default)]
    suspended: Option<Condition>,
    #[serde(default)]
    progressing: Option<Condition>,
    #[serde(default)]
    failed: Option<Condition>,
    #[serde(default)]
    healthy: Option<Condition>,
}

static SHIPPED: LazyLock<Vec<Shipped>> = LazyLock::new(|| {
    // A unit test reads it too.
    serde_yaml::from_str(include_str!("health_rules.yaml")).unwrap_or_default()
});

impl Shipped {
    fn of(live: &Value) -> Option<&'static Self> {
        let group = live["apiVersion"].as_str()?.split_once('/')?.0;
        let kind = live["kind"].as_str()?;
        SHIPPED.iter().find(|rule| {
            wildcard(&rule.group, group) && rule.kinds.iter().any(|one| wildcard(one, kind))
        })
    }

    fn assess(&self, live: &Value) -> Assessment {
        // A status of another shape than its project's says nothing.
        let holds = |condition: &Option<Condition>| {
            condition
                .as_ref()
                .is_some_and(|condition| condition.holds(live).unwrap_or(false))
        };
        if holds(&self.suspended) {
            return (Health::Suspended, said("is suspended", live));
        }
        if holds(&self.progressing) {
            return (Health::Progressing, said("is not ready yet", live));
        }
        if holds(&self.failed) {
            return (Health::Degraded, said("failed", live));
        }
        match self.healthy.is_none() || holds(&self.healthy) {
            true => (Health::Healthy, String::new()),
            false => (Health::Progressing, said("is not ready yet", live)),
        }
    }
}

/// The custom kinds among objects for which no rule says when they are healthy, as `Widget.example.com`: what their status
/// says of itself counts, if it says anything.
pub fn unruled<'a>(
    rules: &[HealthRule],
    objects: impl IntoIterator<Item = &'a Value>,
) -> Vec<String> {
    fn group(object: &Value) -> &str {
        object["apiVersion"]
            .as_str()
            .and_then(|version| version.split_once('/'))
            .map_or("", |(group, _)| group)
    }
    let unruled = |object: &&Value| {
        is_custom_group(group(object))
            && !rules.iter().any(|rule| rule.is_for(object))
            && Shipped::of(object).is_none()
    };
    let name = |object: &Value| {
        format!(
            "{}.{}",
            object["kind"].as_str().unwrap_or_default(),
            group(object)
        )
    };
    let found: std::collections::BTreeSet<_> =
        objects.into_iter().filter(unruled).map(name).collect();
    found.into_iter().collect()
}

/// What an object's status says of itself: the message of a condition that does not hold, a message, or a phase.
fn said(what: &str, live: &Value) -> String {
    let status = &live["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_string)
    };
    let why = conditions
        .filter(|condition| condition["status"] == "False")
        .find_map(|condition| text(&condition["message"]).or_else(|| text(&condition["reason"])))
        .or_else(|| {
            ["message", "reason", "phase", "state"]
                .iter()
                .find_map(|field| text(&status[*field]))
        });
    match why {
        Some(why) => format!("{what}: {}", why.chars().take(300).collect::<String>()),
        None => what.to_string(),
    }
}

/// A custom kind of which nothing is known but that its controller has not written a status yet: since when. What is known
/// by a rule is judged by that.
pub fn silent_since(live: &Value) -> Option<Timestamp> {
    let (group, _) = live["apiVersion"].as_str()?.split_once('/')?;
    let says_nothing = live["status"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if !is_custom_group(group)
        || !says_nothing
        || !live["spec"].is_object()
        || Shipped::of(live).is_some()
        || live["metadata"]["annotations"][HEALTH] == "ignore"
    {
        return None;
    }
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["time"]);
    entries
        .chain([&live["metadata"]["creationTimestamp"]])
        .filter_map(|time| time.as_str()?.parse().ok())
        .max()
}

/// So long a controller may take to say something about an object before that it says nothing counts as health.
pub const SILENCE: SignedDuration = SignedDuration::from_secs(10);

/// Assesses a live object by the rule for its kind, where there is one; otherwise as [`assess`] does.
pub fn assess_by(rules: &[HealthRule], live: &Value) -> Assessment {
    if live["metadata"]["annotations"][HEALTH] == "ignore"
        && live["metadata"]["deletionTimestamp"].is_null()
    {
        return (Health::Healthy, String::new());
    }
    let mine: Vec<_> = rules.iter().filter(|rule| rule.is_for(live)).collect();
    if mine.is_empty() {
        return assess(live);
    }
    let (first, why) = unseen(live).unwrap_or((Health::Healthy, String::new()));
    if first != Health::Healthy {
        return (first, why);
    }
    let named = |(health, why): Assessment| {
        let (kind, name) = (
            live["kind"].as_str().unwrap_or_default(),
            live["metadata"]["name"].as_str().unwrap_or_default(),
        );
        (
            health,
            if why.is_empty() {
                why
            } else {
                format!("{kind} {name}: {why}")
            },
        )
    };
    aggregate(mine.into_iter().map(|rule| named(rule.assess(live))))
}

/// What is said of an object whose status is not about its present form.
fn unseen(live: &Value) -> Option<Assessment> {
    let kind = live["kind"].as_str().unwrap_or_default();
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    let progressing = |why: &str| Some((Health::Progressing, format!("{kind} {name}: {why}")));
    if live["metadata"]["deletionTimestamp"].is_string() {
        return progressing("is being deleted");
    }
    let observed = live["status"]["observedGeneration"].as_i64();
    let generation = live["metadata"]["generation"].as_i64();
    if matches!(
        kind,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
    ) && observed.unwrap_or(0) < generation.unwrap_or(0)
        || observed
            .zip(generation)
            .is_some_and(|(observed, generation)| observed < generation)
    {
        return progressing("the change is not yet seen by its controller");
    }
    None
}

/// Assesses a live object by itself; why pods of it cannot run is another matter ([`FailingPod`]).
pub fn assess(live: &Value) -> Assessment {
    let kind = live["kind"].as_str().unwrap_or_default();
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(unseen) = unseen(live) {
        return unseen;
    }
    let (health, why) = match kind {
        _ if matches!(kind, "Deployment" | "ReplicaSet")
            && condition(live, "ReplicaFailure").is_some_and(|(status, _)| status == "True") =>
        {
            (
                Health::Degraded,
                format!(
                    "its pods cannot be created: {}",
                    message(live, "ReplicaFailure")
                ),
            )
        }
        "Deployment" => deployment(live),
        "StatefulSet" => stateful_set(live),
        "DaemonSet" => daemon_set(live),
        "ReplicaSet" => counted(
            live,
            "readyReplicas",
            live["spec"]["replicas"].as_i64().unwrap_or(1),
        ),
        "Job" => job(live),
        "Pod" => pod(live),
        "PersistentVolumeClaim" => match live["status"]["phase"].as_str() {
            Some("Lost") => (Health::Degraded, "its volume is lost".into()),
            _ => (Health::Healthy, String::new()),
        },
        "Service"
            if live["spec"]["type"] == "LoadBalancer"
                && live["status"]["loadBalancer"]["ingress"]
                    .as_array()
                    .is_none_or(Vec::is_empty) =>
        {
            (Health::Progressing, "waits for its load balancer".into())
        }
        "CustomResourceDefinition" => match condition(live, "Established") {
            Some(("True", _)) => (Health::Healthy, String::new()),
            _ => (Health::Progressing, "is not established yet".into()),
        },
        // That no metric can be read is for who watches the autoscaler; that it cannot scale at all is a failure.
        "HorizontalPodAutoscaler" => match condition(live, "AbleToScale") {
            Some(("False", reason)) => (Health::Degraded, format!("cannot scale: {reason}")),
            _ => (Health::Healthy, String::new()),
        },
        "APIService" => match condition(live, "Available") {
            Some(("True", _)) => (Health::Healthy, String::new()),
            found => (
                Health::Progressing,
                format!(
                    "is not available: {}",
                    found.map_or("", |(_, reason)| reason)
                ),
            ),
        },
        "Namespace" => (Health::Healthy, String::new()),
        _ => match Shipped::of(live) {
            Some(rule) => rule.assess(live),
            None => generic(live),
        },
    };
    (
        health,
        if why.is_empty() {
            why
        } else {
            format!("{kind} {name}: {why}")
        },
    )
}

fn condition<'a>(live: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = live["status"]["conditions"].as_array()?;
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    Some((
        condition["status"].as_str()?,
        condition["reason"].as_str().unwrap_or_default(),
    ))
}

fn message<'a>(live: &'a Value, kind: &str) -> &'a str {
    let conditions = live["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .filter(|condition| condition["type"] == kind)
        .find_map(|condition| condition["message"].as_str())
        .unwrap_or_default()
}

fn deployment(live: &Value) -> Assessment {
    if live["spec"]["paused"] == true {
        return (Health::Suspended, "its rollout is paused".into());
    }
    if let Some(("False", "ProgressDeadlineExceeded")) = condition(live, "Progressing") {
        return (
            Health::Degraded,
            "its rollout exceeded its progress deadline".into(),
        );
    }
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    if status("updatedReplicas") < wanted {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are of the new version",
                status("updatedReplicas")
            ),
        );
    }
    if status("replicas") > status("updatedReplicas") {
        return (
            Health::Progressing,
            format!(
                "{} old pods are still to go",
                status("replicas") - status("updatedReplicas")
            ),
        );
    }
    if status("availableReplicas") < wanted {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are available",
                status("availableReplicas")
            ),
        );
    }
    (Health::Healthy, String::new())
}

fn stateful_set(live: &Value) -> Assessment {
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    if live["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return (Health::Healthy, String::new());
    }
    let partition = live["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        .as_i64()
        .unwrap_or(0);
    if status("readyReplicas") < wanted {
        return (
            Health::Progressing,
            format!("{} of {wanted} pods are ready", status("readyReplicas")),
        );
    }
    if partition > 0 {
        return match status("updatedReplicas") >= wanted - partition {
            true => (Health::Healthy, String::new()),
            false => (
                Health::Progressing,
                format!(
                    "{} of {} pods are of the new version",
                    status("updatedReplicas"),
                    wanted - partition
                ),
            ),
        };
    }
    if live["status"]["currentRevision"] != live["status"]["updateRevision"] {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are of the new version",
                status("updatedReplicas")
            ),
        );
    }
    (Health::Healthy, String::new())
}

fn daemon_set(live: &Value) -> Assessment {
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = status("desiredNumberScheduled");
    // Its pods change when somebody deletes them.
    if live["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return (Health::Healthy, String::new());
    }
    for (field, what) in [
        ("updatedNumberScheduled", "of the new version"),
        ("numberAvailable", "available"),
    ] {
        if status(field) < wanted {
            return (
                Health::Progressing,
                format!("{} of {wanted} pods are {what}", status(field)),
            );
        }
    }
    (Health::Healthy, String::new())
}

fn counted(live: &Value, field: &str, wanted: i64) -> Assessment {
    match live["status"][field].as_i64().unwrap_or(0) {
        ready if ready < wanted => (
            Health::Progressing,
            format!("{ready} of {wanted} pods are ready"),
        ),
        _ => (Health::Healthy, String::new()),
    }
}

fn job(live: &Value) -> Assessment {
    if let Some(("True", reason)) = condition(live, "Failed") {
        return (Health::Degraded, format!("failed: {reason}"));
    }
    if let Some(("True", _)) = condition(live, "Complete") {
        return (Health::Healthy, String::new());
    }
    if live["spec"]["suspend"] == true {
        return (Health::Suspended, "is suspended".into());
    }
    (Health::Progressing, "is running".into())
}

fn pod(live: &Value) -> Assessment {
    match pod_failure(live) {
        Some((reason, None)) => return (Health::Degraded, reason),
        Some((reason, Some(_))) => return (Health::Progressing, reason),
        None => {}
    }
    match (live["status"]["phase"].as_str(), condition(live, "Ready")) {
        (Some("Succeeded"), _) | (Some("Running"), Some(("True", _))) => {
            (Health::Healthy, String::new())
        }
        (Some("Failed"), _) => (Health::Degraded, "failed".into()),
        _ => (Health::Progressing, "is not ready yet".into()),
    }
}

/// A custom kind says it with a `Ready` condition, if at all.
fn generic(live: &Value) -> Assessment {
    if let Some(("True", reason)) = condition(live, "Stalled") {
        return (Health::Degraded, format!("stalled: {reason}"));
    }
    match condition(live, "Ready") {
        Some(("True", _)) | None => (Health::Healthy, String::new()),
        Some((_, reason)) => {
            let message = message(live, "Ready");
            (
                Health::Progressing,
                format!(
                    "is not ready: {}",
                    if message.is_empty() { reason } else { message }
                ),
            )
        }
    }
}

/// A workload whose pods are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub namespace: String,
    /// Its selector.
    labels: BTreeMap<String, String>,
    template: Template,
}

/// What tells the versions of a workload's pods apart, as far as admission leaves it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// By name: image, command, arguments, environment.
    containers: BTreeMap<String, Value>,
}

impl Template {
    /// Of a pod, or of a pod template.
    fn of(value: &Value) -> Option<Self> {
        let containers = value["spec"]["containers"].as_array()?;
        let kept = |container: &Value| {
            let fields = ["image", "command", "args", "env", "envFrom"];
            fields
                .into_iter()
                .map(|field| (field.to_string(), container[field].clone()))
                .collect::<Value>()
        };
        Some(Self {
            labels: texts(&value["metadata"]["labels"]).unwrap_or_default(),
            annotations: texts(&value["metadata"]["annotations"]).unwrap_or_default(),
            containers: containers
                .iter()
                .filter_map(|one| Some((one["name"].as_str()?.to_string(), kept(one))))
                .collect(),
        })
    }

    /// Whether a pod may be made of this template: admission may have added to it.
    fn made(&self, pod: &Self) -> bool {
        let within = |ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            ours.iter()
                .all(|(name, value)| theirs.get(name) == Some(value))
        };
        within(&self.labels, &pod.labels)
            && within(&self.annotations, &pod.annotations)
            && self.containers.iter().all(|(name, ours)| {
                pod.containers
                    .get(name)
                    .is_some_and(|theirs| is_within(ours, theirs))
            })
    }
}

/// Whether a value has all that another one has: items of lists by name, where they have one.
pub fn is_within(less: &Value, more: &Value) -> bool {
    match (less, more) {
        (Value::Null, _) => true,
        (Value::Object(less), Value::Object(more)) => less.iter().all(|(key, value)| {
            value.is_null() || more.get(key).is_some_and(|more| is_within(value, more))
        }),
        (Value::Array(less), Value::Array(more))
            if less.iter().all(|item| item["name"].is_string()) =>
        {
            less.iter().all(|item| {
                more.iter()
                    .any(|other| other["name"] == item["name"] && is_within(item, other))
            })
        }
        (less, more) => less == more,
    }
}

impl Workload {
    /// Of a live object, whose template has what admission made of it. None: the object has no pods of its own.
    pub fn of(live: &Value) -> Option<Self> {
        let template = Template::of(&live["spec"]["template"])?;
        let labels = texts(&live["spec"]["selector"]["matchLabels"])?;
        Some(Self {
            namespace: live["metadata"]["namespace"].as_str()?.into(),
            labels,
            template,
        })
    }

    /// Whether a pod is the workload's, and of the version that its template now describes: not of one on its way out.
    pub fn has(&self, pod: &FailingPod) -> bool {
        self.labels
            .iter()
            .all(|(name, value)| pod.made.labels.get(name) == Some(value))
            && self.template.made(&pod.made)
    }
}

/// A pod that cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingPod {
    uid: String,
    made: Template,
    pub why: String,
    /// It may pass by itself until then: a node comes, a registry answers again.
    pub from: Option<Timestamp>,
}

impl FailingPod {
    /// None: it runs, may come to run, or is over. `known`: what was said of it before. Between two failures of a pod it
    /// looks as if it ran, and its reasons alternate: the first stays until the pod is ready.
    pub fn read(pod: &Value, known: Option<&Self>) -> Option<Self> {
        let metadata = &pod["metadata"];
        if metadata["deletionTimestamp"].is_string()
            || matches!(
                pod["status"]["phase"].as_str(),
                Some("Failed" | "Succeeded")
            )
        {
            return None;
        }
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let known = known.filter(|known| known.uid == uid);
        let restarts = || {
            statuses(pod)
                .any(|status| status["restartCount"].as_i64() > Some(0) && status["ready"] != true)
        };
        let (why, from) = match (pod_failure(pod), known) {
            // What may pass gives way to what does not.
            (Some((why, None)), Some(known)) if known.from.is_some() => (why, None),
            (Some(_), Some(known)) => (known.why.clone(), known.from),
            (Some(failure), None) => failure,
            (None, Some(known)) if restarts() => (known.why.clone(), known.from),
            (None, _) => return None,
        };
        Some(Self {
            uid: uid.into(),
            made: Template::of(pod)?,
            why,
            from,
        })
    }
}

/// What is said of each container, those that run first before the others.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| pod["status"][field].as_array())
        .flatten()
}

fn texts(map: &Value) -> Option<BTreeMap<String, String>> {
    Some(
        map.as_object()?
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())))
            .collect(),
    )
}

/// A node that is missing may be on its way (autoscalers of nodes take minutes); so may an image (a registry's hiccup).
const NODE_GRACE: SignedDuration = SignedDuration::from_mins(3);
const IMAGE_GRACE: SignedDuration = SignedDuration::from_mins(1);

/// Why a pod cannot run: a waiting container's reason, with the exit code of its last end; and until when that may pass.
fn pod_failure(pod: &Value) -> Option<(String, Option<Timestamp>)> {
    let conditions = || pod["status"]["conditions"].as_array().into_iter().flatten();
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok())
    };
    let scheduled = conditions()
        .find(|condition| condition["type"] == "PodScheduled")
        .and_then(|one| time(&one["lastTransitionTime"]));
    let since = scheduled.or_else(|| time(&pod["metadata"]["creationTimestamp"]));
    let after = |grace: SignedDuration| since.and_then(|since| since.checked_add(grace).ok());
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    for status in statuses(pod) {
        let reason = status["state"]["waiting"]["reason"]
            .as_str()
            .unwrap_or_default();
        let failing = reason.ends_with("BackOff")
            || reason.starts_with("Err")
            || reason.ends_with("Error")
            || reason == "InvalidImageName";
        if failing {
            let exit = status["lastState"]["terminated"]["exitCode"].as_i64();
            let exit = exit
                .map(|code| format!(" (exit code {code})"))
                .unwrap_or_default();
            let why = format!(
                "pod {name}: {reason}{exit} in container {}",
                status["name"].as_str().unwrap_or_default()
            );
            let image = matches!(
                reason,
                "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable"
            );
            return Some((why, if image { after(IMAGE_GRACE) } else { None }));
        }
    }
    let unschedulable =
        conditions().find(|c| c["type"] == "PodScheduled" && c["reason"] == "Unschedulable")?;
    let why = format!(
        "pod {name}: Unschedulable: {}",
        unschedulable["message"].as_str().unwrap_or_default()
    );
    Some((why, after(NODE_GRACE)))
}

/// The worst of all, with the sentences of those that are that bad.
pub fn aggregate(assessments: impl IntoIterator<Item = Assessment>) -> Assessment {
    let mut worst = (Health::Healthy, Vec::new());
    for (health, why) in assessments {
        if health > worst.0 {
            worst = (health, Vec::new());
        }
        if health == worst.0 && !why.is_empty() {
            worst.1.push(why);
        }
    }
    (worst.0, worst.1.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(status: Value) -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "a:new"}]}}}, "status": status})
    }

    #[test]
    fn a_deployment_is_healthy_only_when_the_new_version_is() {
        let table = [
            (
                json!({"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}),
                Health::Progressing,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}),
                Health::Progressing,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 3}),
                Health::Progressing,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 2}),
                Health::Progressing,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}),
                Health::Healthy,
            ),
            (json!({}), Health::Progressing),
        ];
        for (status, health) in table {
            assert_eq!(assess(&rollout(status.clone())).0, health, "{status}");
        }
    }

    #[test]
    fn a_failing_pod_of_the_new_version_is_the_reason() {
        let workload = |image: &str, value: &str| {
            let containers =
                json!([{"name": "web", "image": image, "env": [{"name": "A", "value": value}]}]);
            let template =
                json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}});
            let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template});
            Workload::of(&json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})).unwrap()
        };
        let pod = |kind: &str, status: Value| {
            let env = json!([{"name": "INJECTED", "value": "x"}, {"name": "A", "value": "1"}]);
            json!({"metadata": {"name": "web-1", "uid": "u", "labels": {"app": "web", "hash": "1"}},
                "spec": {"containers": [{"name": "web", "image": "a:1", "env": env}, {"name": "injected", "image": "b"}]},
                "status": {kind: [status]}})
        };
        let crashes = json!({"name": "web", "restartCount": 1, "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1}}});
        let running = |ready| json!({"name": "web", "restartCount": 2, "ready": ready, "state": {"running": {}}});
        for kind in ["containerStatuses", "initContainerStatuses"] {
            let failing = FailingPod::read(&pod(kind, crashes.clone()), None).unwrap();
            assert_eq!(
                failing.why,
                "pod web-1: CrashLoopBackOff (exit code 1) in container web"
            );
            // Another version is another's, whatever differs.
            assert!(workload("a:1", "1").has(&failing));
            assert!(!workload("a:2", "1").has(&failing) && !workload("a:1", "2").has(&failing));
            // Until it is ready the first reason stays; another pod of the same name has its own.
            assert_eq!(
                FailingPod::read(&pod(kind, running(false)), Some(&failing)),
                Some(failing.clone())
            );
            assert_eq!(
                FailingPod::read(&pod(kind, running(true)), Some(&failing)),
                None
            );
            let another = FailingPod {
                uid: "before".into(),
                ..failing
            };
            assert_eq!(
                FailingPod::read(&pod(kind, running(false)), Some(&another)),
                None
            );
        }
    }

    #[test]
    fn custom_kinds_are_judged_by_their_rules() {
        let rule = |text: &str| Some(Condition::parse(text).unwrap());
        let rules = [HealthRule {
            group: "acme.example".into(),
            kind: "Backup".into(),
            progressing: rule("self.status.phase == 'Running'"),
            failed: rule("self.status.phase == 'Failed'"),
            healthy: rule("self.status.phase == 'Done'"),
        }];
        let backup = |phase: &str| json!({"apiVersion": "acme.example/v1", "kind": "Backup", "metadata": {"name": "b"}, "status": {"phase": phase}});
        for (phase, health) in [
            ("Running", Health::Progressing),
            ("Failed", Health::Degraded),
            ("Done", Health::Healthy),
            ("", Health::Progressing),
        ] {
            assert_eq!(assess_by(&rules, &backup(phase)).0, health, "{phase}");
        }
        let mut other = backup("Failed");
        other["kind"] = "Restore".into();
        assert_eq!(assess_by(&rules, &other).0, Health::Healthy);
    }

    #[test]
    fn what_cannot_work_is_degraded() {
        let quota = rollout(json!({"observedGeneration": 2, "conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}]}));
        assert_eq!(
            assess(&quota),
            (
                Health::Degraded,
                "Deployment web: its pods cannot be created: exceeded quota: pods".into()
            )
        );
        let api = json!({"kind": "APIService", "metadata": {"name": "a"}, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}});
        assert_eq!(assess(&api).0, Health::Progressing);
    }

    #[test]
    fn the_shipped_rules_say_what_controllers_mean() {
        let rules: Vec<Shipped> = serde_yaml::from_str(include_str!("health_rules.yaml")).unwrap();
        assert!(rules.len() > 100);
        let cases: Vec<Value> =
            serde_yaml::from_str(include_str!("../../tests/fixtures/health_statuses.yaml"))
                .unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for case in &cases {
            let mut live = case.clone();
            live["metadata"] = json!({"name": "x"});
            for (field, value) in case["metadata"].as_object().into_iter().flatten() {
                live["metadata"][field] = value.clone();
            }
            if !case["generation"].is_null() {
                live["metadata"]["generation"] = case["generation"].clone();
            }
            let (health, why) = assess_by(&[], &live);
            assert_eq!(
                json!(health),
                case["expect"],
                "{} {}: {} ({why})",
                case["apiVersion"],
                case["kind"],
                case["name"]
            );
            kinds.insert(case["kind"].to_string());
        }
        assert!(kinds.len() >= 40 && cases.len() >= 200);
    }

    #[test]
    fn what_is_not_to_count_does_not_and_silence_is_no_health() {
        let balancer = |annotation: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "annotations": annotation}, "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}});
        assert_eq!(assess_by(&[], &balancer(json!({}))).0, Health::Progressing);
        assert_eq!(
            assess_by(&[], &balancer(json!({HEALTH: "ignore"}))).0,
            Health::Healthy
        );
        let custom = |status: Value| {
            json!({"apiVersion": "acme.example/v1", "kind": "Thing", "spec": {}, "status": status,
                "metadata": {"name": "a", "creationTimestamp": "2026-11-27T00:00:00Z", "managedFields": [{"time": "2026-11-27T00:01:00Z"}]}})
        };
        assert_eq!(
            silent_since(&custom(json!({}))).unwrap().to_string(),
            "2026-11-27T00:01:00Z"
        );
        assert_eq!(silent_since(&custom(json!({"phase": "x"}))), None);
    }

    #[test]
    fn what_may_pass_has_time_to() {
        let pod = |reason: &str, state: Value| {
            json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"containers": [{"name": "a"}]}, "status": {
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": "2026-11-27T00:00:00Z"}],
                "containerStatuses": [{"name": "a", "state": state}]}})
        };
        let from = |pod: &Value, known: Option<&FailingPod>| {
            FailingPod::read(pod, known)
                .unwrap()
                .from
                .map(|from| from.to_string())
        };
        let waits = pod("Unschedulable", json!({}));
        assert_eq!(from(&waits, None).as_deref(), Some("2026-11-27T00:03:00Z"));
        let pulls = pod("", json!({"waiting": {"reason": "ErrImagePull"}}));
        assert_eq!(from(&pulls, None).as_deref(), Some("2026-11-27T00:01:00Z"));
        let known = FailingPod::read(&pulls, None).unwrap();
        let crashes = pod("", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert_eq!(from(&crashes, Some(&known)), None);
        assert!(
            FailingPod::read(&crashes, Some(&known))
                .unwrap()
                .why
                .contains("CrashLoopBackOff")
        );
    }

    #[test]
    fn the_worst_counts() {
        let read = aggregate([
            (Health::Healthy, String::new()),
            (Health::Degraded, "b".into()),
            (Health::Progressing, "c".into()),
            (Health::Degraded, "d".into()),
        ]);
        assert_eq!(read, (Health::Degraded, "b; d".into()));
    }
}
