//! What is declared: the application in its stage as the base has it, what is kept of it, and what
//! people ask of it.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::cluster::store::{self, Application, ApplicationSpec, ApplicationStatus};
use crate::controller::dry_run::AppScope;
use crate::controller::revision::{Change, change};
use crate::controller::{Base, Reader, Result};
use crate::domain::ApplicationKey;
use crate::domain::catalog::Target;

pub enum Declaration {
    Nothing,
    /// Git has it no more, and something of it is kept.
    Retired {
        base: Arc<Base>,
        object: Box<Application>,
    },
    Here(Box<Declared>),
}

pub struct Declared {
    pub base: Arc<Base>,
    pub target: Target,
    /// The object that is kept of it; None before the first look.
    pub known: Option<Application>,
    /// What was known of it.
    pub status: ApplicationStatus,
    /// The value of our label on its objects.
    pub owner: String,
    /// What it is rendered from, and which commit changed that.
    pub change: Arc<Change>,
    pub requests: Requests,
}

/// What people ask for by annotations of its object.
pub struct Requests {
    pub sync: Option<String>,
    pub confirm: Option<String>,
    pub pause: Option<String>,
    /// What is there already may be taken over.
    pub adopt: bool,
    /// Somebody asked for a sync: then nothing is believed to be as it was left.
    pub hard_refresh: bool,
}

pub async fn read(ctx: &Arc<Reader>, key: &ApplicationKey) -> Result<Declaration> {
    let base = ctx.known_base(&key.repo).await?;
    let known = ctx.store.application(key).await?;
    let owner = key.owner_label(base.repo.id);
    let Some(mut target) = base.target(key).cloned() else {
        ctx.environment.stop_pod_watches_except(&owner, None);
        return Ok(match known {
            // A configuration that cannot be read retires nothing.
            Some(object) if matches!(base.catalog, Some(Ok(_))) => Declaration::Retired {
                base,
                object: Box::new(object),
            },
            _ => Declaration::Nothing,
        });
    };
    target.fields.take.extend(super::taken(known.as_ref()));
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
        let asked = |annotation: &str| object?.annotations().get(annotation).cloned();
        let sync = asked(store::SYNC_REQUEST);
        Self {
            hard_refresh: sync.is_some() && sync != status.sync_request,
            sync,
            confirm: asked(store::CONFIRM_PRUNE),
            pause: asked(store::PAUSE),
            adopt: asked(store::ADOPT).is_some(),
        }
    }
}

impl Declared {
    /// The application, to be asked about.
    pub fn scope<'a>(&'a self, ctx: &'a Reader, key: &'a ApplicationKey) -> Result<AppScope<'a>> {
        Ok(AppScope {
            adopts: self.requests.adopt,
            ..ctx.environment.scope(key, &self.target, &self.owner)?
        })
    }
}

/// What the object says of where the application is.
pub fn spec_of(key: &ApplicationKey, base: &Base, target: &Target) -> ApplicationSpec {
    ApplicationSpec {
        repository: key.repo.clone(),
        repository_id: i64::try_from(base.repo.id).unwrap_or_default(),
        application: key.application.clone(),
        stage: key.stage.clone(),
        path: target.path.clone(),
        cluster: target.destination.cluster.clone(),
        namespace: target.destination.namespace.clone(),
    }
}
