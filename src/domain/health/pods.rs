//! Pods that cannot run: why, until when that may pass by itself, and whose pods
//! they are.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

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
pub(super) fn pod_failure(pod: &Value) -> Option<(String, Option<Timestamp>)> {
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
