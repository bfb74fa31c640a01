//! Kubernetes Events: what windlass did to an object, where `kubectl describe` shows it.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::store::Application;
use super::{Result, call, refused};
use crate::domain::activity::LiveObject;

/// What is said of an object.
pub struct Notice<'a> {
    /// In PascalCase, as alerts match it.
    pub reason: &'a str,
    pub is_warning: bool,
    pub note: String,
}

/// Bytes of a note (Kubernetes, `NoteLengthLimit` of events.k8s.io).
const MOST_NOTE: usize = 1024;
/// The reporting controller.
const CONTROLLER: &str = "windlass.dev/windlass";

/// How often each Event was said: saying the same again within ten minutes raises its count.
static SAID: LazyLock<moka::sync::Cache<String, i32>> = LazyLock::new(|| {
    moka::sync::Cache::builder()
        .max_capacity(10_000)
        .time_to_idle(Duration::from_secs(600))
        .build()
});

impl super::Writer<'_> {
    /// Writes an Event about a live object.
    pub async fn notice(&self, object: &LiveObject, notice: &Notice<'_>) -> Result<()> {
        let key = &object.key;
        let api_version = match key.group.is_empty() {
            true => object.version.clone(),
            false => format!("{}/{}", key.group, object.version),
        };
        let regarding = ObjectReference {
            api_version: Some(api_version),
            kind: Some(key.kind.clone()),
            namespace: key.namespace.clone(),
            name: Some(key.name.clone()),
            uid: Some(object.uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        };
        write(self.client.clone(), regarding, notice).await
    }
}

impl super::store::Writer<'_> {
    /// Writes an Event about an `Application`.
    pub async fn notice(&self, object: &Application, notice: &Notice<'_>) -> Result<()> {
        write(self.client(), object.object_ref(&()), notice).await
    }
}

/// Writes an Event about an object, into the object's namespace; `default` for what has none.
async fn write(client: Client, regarding: ObjectReference, notice: &Notice<'_>) -> Result<()> {
    let namespace = regarding
        .namespace
        .clone()
        .unwrap_or_else(|| "default".into());
    let api: Api<Event> = Api::namespaced(client, &namespace);
    let about = [&regarding.uid, &regarding.name, &regarding.kind];
    let about = about.map(|part| part.as_deref().unwrap_or_default());
    let note = shortened(&notice.note);
    let hash = Sha256::digest(format!("{about:?} {} {note}", notice.reason));
    let known = hex::encode(&hash[..8]);
    let now = MicroTime(Timestamp::now());
    let what = format!("write an Event about {} {}", about[2], about[1]);
    let name = name_of(about[1], &known);
    let again = async |count: i32| {
        let series = EventSeries {
            count,
            last_observed_time: now.clone(),
        };
        let patch = Patch::Merge(json!({"series": series}));
        let patched = call(&what, api.patch(&name, &PatchParams::default(), &patch)).await?;
        SAID.insert(known.clone(), count);
        Ok::<_, super::Error>(patched.is_ok())
    };
    // The API server forgets Events after an hour.
    if let Some(count) = SAID.get(&known)
        && again(count + 1).await?
    {
        return Ok(());
    }
    let event = event(
        (name.clone(), namespace),
        regarding,
        notice,
        (note, now.clone()),
    );
    match call(&what, api.create(&PostParams::default(), &event)).await? {
        // It was said before a restart, or longer ago than we remember.
        Err(status) if status.is_already_exists() => again(2).await.map(|_| ()),
        Err(status) => Err(refused(&what, &status)),
        Ok(_) => {
            SAID.insert(known.clone(), 1);
            Ok(())
        }
    }
}

fn event(
    (name, namespace): (String, String),
    regarding: ObjectReference,
    notice: &Notice<'_>,
    (note, now): (String, MicroTime),
) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        action: Some(notice.reason.into()),
        reason: Some(notice.reason.into()),
        type_: Some(
            if notice.is_warning {
                "Warning"
            } else {
                "Normal"
            }
            .into(),
        ),
        note: Some(note),
        event_time: Some(now),
        reporting_controller: Some(CONTROLLER.into()),
        reporting_instance: Some("windlass".into()),
        regarding: Some(regarding),
        ..Event::default()
    }
}

/// The same for the same words, so that a write that is sent twice is one Event.
fn name_of(object: &str, hash: &str) -> String {
    // Names of roles have characters that names of Events must not have.
    let legal = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    let object: String = object.chars().filter(legal).take(200).collect();
    format!("{}.{hash}", object.trim_matches('-'))
        .trim_start_matches('.')
        .into()
}

fn shortened(note: &str) -> String {
    if note.len() <= MOST_NOTE {
        return note.into();
    }
    let end = note.floor_char_boundary(MOST_NOTE - "…".len());
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_notes_are_legal() {
        assert_eq!(name_of("shop.staging", "ab12"), "shopstaging.ab12");
        assert_eq!(name_of("system:node", "ab12"), "systemnode.ab12");
        assert_eq!(name_of(":::", "ab12"), "ab12");
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ü".repeat(2000));
        assert!(
            long.len() <= MOST_NOTE && long.ends_with('…'),
            "{}",
            long.len()
        );
    }
}
