//! The `Freeze` object: nothing is merged into a stage until a time. windlass makes one for
//! `/freeze`; people may create and delete them with kubectl.
//!
//! Its fields are plain texts, so that one that a person wrote wrongly stops no other: an `until`
//! that cannot be read holds until the object is deleted.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printed column has a type, and most have the same"
)]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::{CustomResource, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Store, Writer};
use crate::cluster::Result;
use crate::domain::calendar;
use crate::domain::{Name, RepoName};

/// A freeze of a stage.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Freeze",
    namespaced,
    derive = "PartialEq",
    category = "windlass",
    doc = "A stage of a config repository into which nothing is merged until a time.",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason")
)]
#[serde(rename_all = "camelCase")]
pub struct FreezeSpec {
    /// The config repository, `owner/name`.
    pub repository: String,
    /// Its number on GitHub, which survives renames; 0: the name alone counts.
    #[serde(default)]
    pub repository_id: i64,
    pub stage: String,
    /// The end, as `2026-12-01T08:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// Who gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The command that gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

impl Freeze {
    /// Whether it is of a config repository.
    pub fn is_of(&self, repository: &RepoName, id: u64) -> bool {
        match self.spec.repository_id {
            0 => self.spec.repository == repository.to_string(),
            known => u64::try_from(known) == Ok(id),
        }
    }

    fn until(&self) -> Timestamp {
        self.spec.until.parse().unwrap_or(Timestamp::MAX)
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until() <= now
    }

    /// What it is for the gate.
    pub fn of_calendar(&self) -> calendar::Freeze {
        let FreezeSpec { by, reason, .. } = &self.spec;
        let created = self.metadata.creation_timestamp.as_ref();
        let by = Some(by).filter(|by| !by.is_empty());
        calendar::Freeze {
            from: created.map_or(Timestamp::UNIX_EPOCH, |created| created.0),
            until: self.until(),
            zone: TimeZone::UTC,
            reason: Some(reason.clone()).filter(|reason| !reason.is_empty()),
            by: Some(by.map_or("kubectl", String::as_str).into()),
        }
    }
}

/// The name of the object of a stage that a command freezes.
fn name(repository_id: i64, stage: &Name) -> String {
    format!("{repository_id}-{stage}")
}

impl Store {
    /// The freezes of a config repository.
    pub async fn freezes(&self, repository: &RepoName, id: u64) -> Result<Vec<Freeze>> {
        let mut all = self.freezes.all().await?;
        all.retain(|freeze| freeze.is_of(repository, id));
        Ok(all)
    }
}

impl Writer<'_> {
    /// Freezes a stage; in the place of the freeze that was given by command before.
    pub async fn freeze(&self, stage: &Name, spec: FreezeSpec) -> Result<()> {
        let name = name(spec.repository_id, stage);
        let what = format!("freeze {stage} by Freeze {name}");
        let known = self.freezes.get(&name).await?;
        let object = match known {
            Some(known) if known.spec == spec => return Ok(()),
            Some(known) => Freeze { spec, ..known },
            None => Freeze::new(&name, spec),
        };
        self.freezes.write(&what, &object).await.map(drop)
    }

    /// Deletes a freeze, as it was read.
    pub async fn unfreeze(&self, existing: &Freeze) -> Result<()> {
        let what = format!("delete Freeze {}", existing.name_any());
        self.freezes.delete(&what, existing).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_cannot_be_read_holds_until_it_is_deleted() {
        let freeze = |repository_id, until: &str| {
            let spec = serde_json::json!({"repository": "acme/config", "repositoryId": repository_id, "stage": "production", "until": until});
            Freeze::new("x", serde_json::from_value(spec).unwrap())
        };
        let now: Timestamp = "2026-12-01T08:00:00Z".parse().unwrap();
        let over = |until| freeze(0, until).is_over(now);
        assert!(over("2026-12-01T09:00:00+01:00"));
        assert!(!over("2026-12-01T08:00:01Z"));
        assert!(!over("2026-12-01T08:00") && !over("soon"));
        assert_eq!(
            freeze(0, "soon").of_calendar().by.as_deref(),
            Some("kubectl")
        );
        let (same, other) = (
            "acme/config".parse().unwrap(),
            "acme/other".parse().unwrap(),
        );
        let of = |id, repository: &RepoName| freeze(id, "soon").is_of(repository, 7);
        assert!(of(0, &same) && !of(0, &other));
        assert!(of(7, &other) && !of(8, &same));
    }
}
