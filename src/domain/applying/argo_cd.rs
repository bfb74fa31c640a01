//! Argo CD's application-controller: client-side apply, or server-side apply by
//! force where its sync options ask for that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ignored::IgnoredFields;
use super::{Method, NotAutomatic, set};
use crate::domain::Live;
use crate::domain::catalog::Named;
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::{ARGO_LABEL, AdoptableFields, last_applied_by};

/// The ConfigMap with Argo CD's settings, in its own namespace.
pub const SETTINGS: &str = "argocd-cm";

const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const TRACKING: &str = "argocd.argoproj.io/tracking-id";
const INSTALLATION: &str = "argocd.argoproj.io/installation-id";

/// An Application, and the settings of its Argo CD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgoCd {
    /// Its name as objects are tracked by.
    instance: String,
    /// Its destination's namespace.
    namespace: String,
    /// Whether it sets the annotation, and the label.
    annotation: bool,
    label: Option<String>,
    installation: Option<String>,
    /// Whether its Argo CD's settings could be read.
    known: bool,
    /// `spec.syncPolicy.syncOptions`.
    options: Vec<String>,
    /// It syncs by itself, but does not prune.
    keeps_all: bool,
    /// It syncs by itself, and not if nothing would be left.
    keeps_last: bool,
    /// Its Application could be read.
    found: bool,
    /// It syncs by itself.
    automated: bool,
    /// Nothing that it compares differs from Git.
    synced: bool,
    /// Objects that differ from Git.
    differing: BTreeSet<ResourceKey>,
    ignored: IgnoredFields,
}

impl ArgoCd {
    pub(super) fn of(
        named: &Named,
        namespace: &str,
        object: Option<&Live>,
        settings: Option<&Live>,
    ) -> Self {
        let of = |field| object.map_or(&Value::Null, |object| &object[field]);
        let (spec, status) = (of("spec"), of("status"));
        let setting = |name: &str| {
            let text = settings?["data"][name].as_str()?;
            (!text.is_empty()).then(|| text.to_string())
        };
        // In another namespace than Argo CD's own, its name has that in front.
        let home = status["controllerNamespace"].as_str();
        let instance = match home {
            Some(home) if home != named.namespace => format!("{}_{}", named.namespace, named.name),
            _ => named.name.clone(),
        };
        let method = setting("application.resourceTrackingMethod");
        let key = || setting("application.instanceLabelKey").unwrap_or_else(|| ARGO_LABEL.into());
        let automated = &spec["syncPolicy"]["automated"];
        let is_automated = automated.is_object() && automated["enabled"] != false;
        let options = spec["syncPolicy"]["syncOptions"]
            .as_array()
            .into_iter()
            .flatten();
        Self {
            instance,
            namespace: spec["destination"]["namespace"]
                .as_str()
                .unwrap_or(namespace)
                .into(),
            annotation: method.as_deref() != Some("label"),
            label: matches!(method.as_deref(), Some("label" | "annotation+label")).then(key),
            installation: setting("installationID"),
            known: settings.is_some(),
            options: options
                .filter_map(Value::as_str)
                .map(str::to_string)
                .collect(),
            keeps_all: is_automated && automated["prune"] != true,
            keeps_last: is_automated && automated["allowEmpty"] != true,
            found: object.is_some(),
            automated: is_automated,
            synced: status["sync"]["status"] == "Synced",
            differing: differing(status),
            ignored: IgnoredFields::of(spec, settings.map_or(&Value::Null, |all| &all["data"])),
        }
    }

    pub(super) fn mark(&self, key: &ResourceKey, value: &mut Value) {
        // Definitions are not tracked.
        if key.kind == "CustomResourceDefinition" {
            return;
        }
        if self.annotation {
            let ResourceKey {
                group, kind, name, ..
            } = key;
            let namespace = key.namespace.as_ref().unwrap_or(&self.namespace);
            let id = format!("{}:{group}/{kind}:{namespace}/{name}", self.instance);
            set(value, "annotations", TRACKING, &id);
            if let Some(installation) = &self.installation {
                set(value, "annotations", INSTALLATION, installation);
            }
        }
        if let Some(label) = &self.label {
            set(
                value,
                "labels",
                label,
                &self.instance.chars().take(63).collect::<String>(),
            );
        }
    }

    /// The marks as the live object has them, if the settings are not known.
    pub(super) fn mark_as_live(&self, value: &mut Value, live: &Live) {
        if self.known {
            return;
        }
        for (map, name) in [
            ("annotations", TRACKING),
            ("annotations", INSTALLATION),
            ("labels", ARGO_LABEL),
        ] {
            match live["metadata"][map][name].as_str() {
                Some(mark) => set(value, map, name, mark),
                None if name == TRACKING => {
                    if let Some(Value::Object(map)) = value.pointer_mut("/metadata/annotations") {
                        map.remove(name);
                    }
                }
                None => {}
            }
        }
    }

    pub(super) fn keeps(&self, live: &Live) -> Option<String> {
        if self.keeps_all {
            return Some("`spec.syncPolicy.automated.prune` of its Application is off".into());
        }
        if self.asks(live, "Prune=false") {
            return Some(format!("it is marked `{SYNC_OPTIONS}: Prune=false`"));
        }
        self.asks(live, "Prune=confirm")
            .then(|| "its deletion waits for a confirmation in Argo CD".to_string())
    }

    /// Why it deletes nothing if nothing is left of an Application.
    pub(super) fn keeps_last(&self) -> Option<String> {
        self.keeps_last.then(|| {
            "nothing would be left of its Application, whose `spec.syncPolicy.automated.allowEmpty` is off".into()
        })
    }

    pub(super) fn not_automatic(&self) -> Option<NotAutomatic> {
        (self.found && !self.automated).then_some(NotAutomatic::Manual)
    }

    pub(super) fn syncs_for_differences_alone(&self) -> bool {
        self.automated && self.synced
    }

    pub(super) fn creates(&self, namespace: &str) -> bool {
        self.has_option("CreateNamespace=true") && self.namespace == namespace
    }

    /// Sets what a sync leaves as it is.
    pub(super) fn leave_ignored(&self, key: &ResourceKey, wanted: &mut Value, live: &Live) {
        if self.respects_ignored() {
            self.ignored.as_live(key, wanted, live);
        }
    }

    pub(super) fn unread<'a>(&'a self, key: &'a ResourceKey) -> Vec<&'a str> {
        self.ignored.unread(key)
    }

    /// Whether it does not sync for what differs.
    pub(super) fn ignores(&self, key: &ResourceKey, before: &Live, after: &Live) -> bool {
        self.automated && self.synced && self.ignored.hides(key, before, after)
    }

    /// Whether a sync changes an object that Git does not change.
    pub(super) fn sets_back(&self, key: &ResourceKey) -> bool {
        let resets = || {
            self.ignored.concerns(key)
                && !self.respects_ignored()
                && !self.has_option("ApplyOutOfSyncOnly=true")
        };
        self.differing.contains(key) || resets()
    }

    fn respects_ignored(&self) -> bool {
        self.has_option("RespectIgnoreDifferences=true")
    }

    pub(super) fn recreates(&self, wanted: &Value) -> bool {
        // kubectl refuses --force with --server-side.
        self.asks(wanted, "Force=true") && !self.server_side(wanted)
    }

    pub(super) fn method(&self, wanted: &Value) -> Method {
        // These are never deleted for that: everything in them would be.
        let keeps_content = ["Namespace", "CustomResourceDefinition"]
            .iter()
            .any(|kind| wanted["kind"] == *kind);
        match self.asks(wanted, "Replace=true") {
            true if self.asks(wanted, "Force=true") && !keeps_content => Method::Recreate,
            true => Method::Replace,
            false if self.server_side(wanted) => Method::ServerSide,
            false => Method::Merge,
        }
    }

    /// Its structured merge diff, for Applications with server-side apply.
    pub(super) fn compares_by_schema(&self) -> bool {
        self.has_option("ServerSideApply=true")
    }

    fn server_side(&self, wanted: &Value) -> bool {
        !has(wanted, "ServerSideApply=false") && self.asks(wanted, "ServerSideApply=true")
    }

    /// Whether an object or the whole Application has a sync option.
    fn asks(&self, object: &Value, option: &str) -> bool {
        has(object, option) || self.has_option(option)
    }

    fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }
}

/// Its finalizer deletes everything but what is marked.
pub(super) fn keeps_at_end(live: &Live) -> Option<String> {
    let keeps =
        |option| has(live, option).then(|| format!("it is marked `{SYNC_OPTIONS}: {option}`"));
    let of_helm = live.annotation("helm.sh/resource-policy") == Some("keep");
    keeps("Delete=false").or(of_helm.then(|| "it is marked `helm.sh/resource-policy: keep`".into()))
}

/// The objects that an Application's status lists as differing.
fn differing(status: &Value) -> BTreeSet<ResourceKey> {
    let all = status["resources"].as_array().into_iter().flatten();
    let differing = all.filter(|one| one["status"] == "OutOfSync");
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_string();
    let key = |one| ResourceKey {
        group: text(one, "group"),
        kind: text(one, "kind"),
        namespace: Some(text(one, "namespace")).filter(|name| !name.is_empty()),
        name: text(one, "name"),
    };
    differing.map(key).collect()
}

/// Whether an object's own sync options have one.
fn has(object: &Value, option: &str) -> bool {
    object["metadata"]["annotations"][SYNC_OPTIONS]
        .as_str()
        .is_some_and(|text| text.split(',').any(|one| one.trim() == option))
}

/// Whoever wrote the last client-side apply: kubectl's library migrates that to a server-side one.
pub(super) fn takes_over(live: &Live) -> Option<AdoptableFields> {
    last_applied_by(live)
}
