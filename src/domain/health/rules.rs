//! Health rules for custom kinds: those of `windlass.yaml`, and those shipped with
//! windlass.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::{Assessment, Health};
use crate::domain::Live;
use crate::domain::cel::Condition;
use crate::domain::manifest::is_custom_group;
use crate::domain::wildcard;

/// A rule of `windlass.yaml` for a custom kind: conditions in CEL, evaluated in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRule {
    pub group: String,
    pub kind: String,
    pub progressing: Option<Condition>,
    pub failed: Option<Condition>,
    /// Without it, an object that neither progresses nor failed is healthy.
    pub healthy: Option<Condition>,
}

impl HealthRule {
    pub fn is_for(&self, object: &Value) -> bool {
        let group = object["apiVersion"]
            .as_str()
            .and_then(|version| version.split_once('/'))
            .map_or("", |(group, _)| group);
        self.kind == object["kind"].as_str().unwrap_or_default() && self.group == group
    }

    pub(super) fn assess(&self, live: &Live) -> Assessment {
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

/// A rule shipped with windlass, for well-known custom kinds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shipped {
    /// `*` matches any text, in kinds too.
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
    // A unit test checks that the file can be parsed.
    serde_yaml::from_str(include_str!("../health_rules.yaml")).unwrap_or_default()
});

impl Shipped {
    pub(super) fn of(object: &Value) -> Option<&'static Self> {
        let group = object["apiVersion"].as_str()?.split_once('/')?.0;
        let kind = object["kind"].as_str()?;
        SHIPPED.iter().find(|rule| {
            wildcard(&rule.group, group) && rule.kinds.iter().any(|pattern| wildcard(pattern, kind))
        })
    }

    pub(super) fn assess(&self, live: &Live) -> Assessment {
        // If the status has an unexpected structure, the condition counts as false.
        let holds = |condition: &Option<Condition>| {
            condition
                .as_ref()
                .is_some_and(|condition| condition.holds(live).unwrap_or(false))
        };
        if holds(&self.suspended) {
            return (Health::Suspended, explained("is suspended", live));
        }
        if holds(&self.progressing) {
            return (Health::Progressing, explained("is not ready yet", live));
        }
        if holds(&self.failed) {
            return (Health::Degraded, explained("failed", live));
        }
        match self.healthy.is_none() || holds(&self.healthy) {
            true => (Health::Healthy, String::new()),
            false => (Health::Progressing, explained("is not ready yet", live)),
        }
    }
}

/// The custom kinds among the objects that no health rule covers, as `Widget.example.com`. Their
/// health is guessed from common conditions in their status.
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
    let found: BTreeSet<_> = objects.into_iter().filter(unruled).map(name).collect();
    found.into_iter().collect()
}

/// Adds the explanation in an object's status: the message of a condition that is False, a message,
/// or a phase.
fn explained(what: &str, live: &Live) -> String {
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
