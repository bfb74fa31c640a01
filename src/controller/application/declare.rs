//! What is declared: the application in its stage as the base has it, its `Application` object, and
//! what people request of it.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cluster::store::{self, Application, ApplicationSpec, ApplicationStatus};
use crate::controller::dry_run::AppScope;
use crate::controller::revision::{CurrentInputs, change};
use crate::controller::{Base, Reader, Result};
use crate::domain::TargetKey;
use crate::domain::catalog::Target;
use crate::view;

pub enum Declaration {
    Nothing,
    /// Git no longer has it, and its `Application` object still exists.
    Retired {
        base: Arc<Base>,
        object: Box<Application>,
    },
    Here(Box<Declared>),
}

pub struct Declared {
    pub base: Arc<Base>,
    pub target: Target,
    /// Its `Application` object; None before the first reconcile.
    pub known: Option<Application>,
    /// Its status after the reconcile before.
    pub status: ApplicationStatus,
    /// The value of our label on its objects.
    pub owner: String,
    /// What it is rendered from, and the newest commit that changed it.
    pub change: Arc<CurrentInputs>,
    pub requests: Requests,
}

/// What people request by annotations of its object.
pub struct Requests {
    pub sync: Option<String>,
    pub confirm: Option<String>,
    pub pause: Option<String>,
    /// Existing objects may be taken over.
    pub adopt: bool,
    /// Somebody requested a sync: every object is read again, whatever the cache says.
    pub hard_refresh: bool,
}

pub async fn read(ctx: &Arc<Reader>, key: &TargetKey) -> Result<Declaration> {
    let base = ctx.known_base(&key.repo).await?;
    let known = ctx.store.application(key).await?;
    let owner = key.owner_label(base.repo.id);
    let Some(mut target) = base.target(key).cloned() else {
        ctx.environment.stop_pod_watches_except(&owner, None);
        return Ok(match known {
            // A configuration that cannot be read retires nothing.
            Some(object) if matches!(base.configuration, Some(Ok(_))) => Declaration::Retired {
                base,
                object: Box::new(object),
            },
            _ => Declaration::Nothing,
        });
    };
    target
        .fields
        .take
        .extend(super::accepted_takes(known.as_ref()));
    let status = known
        .as_ref()
        .and_then(|object| object.status.clone())
        .unwrap_or_default();
    let change = change(ctx, key, &base, &target, &status).await?;
    let requests = Requests::of(known.as_ref(), &status);
    Ok(Declaration::Here(Box::new(Declared {
        base,
        target,
        known,
        status,
        owner,
        change,
        requests,
    })))
}

impl Requests {
    fn of(object: Option<&Application>, status: &ApplicationStatus) -> Self {
        let value = |annotation: &str| object?.annotations().get(annotation).cloned();
        let sync = value(store::SYNC_REQUEST);
        Self {
            hard_refresh: sync.is_some() && sync != status.sync_request,
            sync,
            confirm: value(store::CONFIRM_PRUNE),
            pause: value(store::PAUSE),
            adopt: value(store::ADOPT).is_some(),
        }
    }
}

impl Declared {
    /// Who holds the stage and why, as the status shows it.
    pub fn held(&self, now: Timestamp) -> Option<String> {
        let hold = self.known.as_ref()?.hold(now)?;
        Some(view::held(&hold))
    }

    /// The scope in which the application's objects are read and dry-run.
    pub fn scope<'a>(&'a self, ctx: &'a Reader, key: &'a TargetKey) -> Result<AppScope<'a>> {
        Ok(AppScope {
            adopts: self.requests.adopt,
            ..ctx.environment.scope(key, &self.target, &self.owner)?
        })
    }
}

/// The spec of its object: where the application is.
pub fn spec_of(key: &TargetKey, base: &Base, target: &Target) -> ApplicationSpec {
    ApplicationSpec {
        repository: key.repo.clone(),
        repository_id: i64::try_from(base.repo.id).unwrap_or_default(),
        application: key.application.clone(),
        stage: key.stage.clone(),
        stage_cluster: key.cluster.clone(),
        path: target.path.clone(),
        cluster: target.destination.cluster.clone(),
        namespace: target.destination.namespace.clone(),
    }
}
