//! Pods that cannot run: why, for how long that may be temporary, and which workload
//! they belong to.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::domain::Live;

/// A workload that an application waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub namespace: String,
    /// Its selector.
    labels: BTreeMap<String, String>,
    template: Template,
    /// How many pods are available, and how many there should be.
    available: (i64, i64),
}

/// The part of a pod template that differs between a workload's versions and that admission does
/// not change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// By name: image, command, arguments, environment.
    containers: BTreeMap<String, Value>,
}

impl Template {
    /// From a pod or a pod template.
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
                .filter_map(|container| {
                    Some((container["name"].as_str()?.to_string(), kept(container)))
                })
                .collect(),
        })
    }

    /// Whether a pod may be created from this template. Admission may have added fields to it.
    fn may_have_created(&self, pod: &Self) -> bool {
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

/// Whether `more` contains everything in `less`. Items of lists are matched by name, if they have
/// one.
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
    /// From a live object. None: it has no pods.
    pub fn of(live: &Live) -> Option<Self> {
        let template = Template::of(&live["spec"]["template"])?;
        let labels = texts(&live["spec"]["selector"]["matchLabels"])?;
        Some(Self {
            namespace: live["metadata"]["namespace"].as_str()?.into(),
            labels,
            template,
            available: available(live),
        })
    }

    /// What serves while a pod fails. None: there should be no pods.
    pub fn serves(&self) -> Option<String> {
        Some(match self.available {
            (_, ..=0) => return None,
            (0, _) => "no pod is available".into(),
            (available, wanted) => format!("{available} of {wanted} pods are available"),
        })
    }

    /// Whether a pod belongs to the workload and to its current template, not to an older version.
    pub fn has(&self, pod: &FailingPod) -> bool {
        self.labels
            .iter()
            .all(|(name, value)| pod.template.labels.get(name) == Some(value))
            && self.template.may_have_created(&pod.template)
    }
}

fn available(live: &Live) -> (i64, i64) {
    let count = |value: &Value| value.as_i64().unwrap_or_default();
    let (spec, status) = (&live["spec"], &live["status"]);
    match live["kind"].as_str() {
        Some("DaemonSet") => (
            count(&status["numberAvailable"]),
            count(&status["desiredNumberScheduled"]),
        ),
        Some("Deployment" | "StatefulSet") => (
            count(&status["availableReplicas"]),
            count(&spec["replicas"]),
        ),
        _ => (0, 0),
    }
}

/// A pod that cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingPod {
    uid: String,
    template: Template,
    pub why: String,
    /// Until then the failure may be temporary: a node may be added, a registry may answer again.
    pub from: Option<Timestamp>,
}

impl FailingPod {
    /// None: the pod runs, may start to run, or has ended. `known`: the failure known before.
    /// Between two restarts a failing pod seems to run, and its reasons alternate: so the first
    /// reason stays until the pod is ready.
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
            // A permanent failure replaces a temporary one.
            (Some((why, None)), Some(known)) if known.from.is_some() => (why, None),
            (Some(_), Some(known)) => (known.why.clone(), known.from),
            (Some(failure), None) => failure,
            (None, Some(known)) if restarts() => (known.why.clone(), known.from),
            (None, _) => return None,
        };
        Some(Self {
            uid: uid.into(),
            template: Template::of(pod)?,
            why,
            from,
        })
    }
}

/// The status of each container, init containers first.
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

/// A missing node may still be added (node autoscalers take minutes), and a registry may recover.
const NODE_GRACE: SignedDuration = SignedDuration::from_mins(3);
const IMAGE_GRACE: SignedDuration = SignedDuration::from_mins(1);

/// Why a pod cannot run: a waiting container's reason, with its last exit code; and until when that
/// may be temporary.
pub(super) fn pod_failure(pod: &Value) -> Option<(String, Option<Timestamp>)> {
    let conditions = || pod["status"]["conditions"].as_array().into_iter().flatten();
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok())
    };
    let scheduled = conditions()
        .find(|condition| condition["type"] == "PodScheduled")
        .and_then(|condition| time(&condition["lastTransitionTime"]));
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
