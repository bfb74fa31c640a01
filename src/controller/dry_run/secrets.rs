//! Secrets that others made: the server's answers must not tell what is in them.

use super::{AppScope, Asked, Prediction, Request};
use crate::domain::OWNER_LABEL;
use crate::domain::ownership::{self, Conflict};

const IMMUTABLE_SECRET: &str = "a Secret of this name is there, is immutable, and was not made by this application: delete it, or give this one another name";

/// Whose a Secret's data is, is in the whole object.
pub(super) async fn whole(scope: &AppScope<'_>, request: Request) -> Asked<Request> {
    match request.manifest.key.is_core("Secret") {
        true => request.with_whole_live(scope).await,
        false => Ok(request),
    }
}

/// An immutable Secret of others is refused unasked: whether its data is just what Git has would be told by what the
/// server says of it.
pub(super) fn immutable(scope: &AppScope<'_>, request: &Request) -> Option<Prediction> {
    let live = request.live.as_ref()?;
    let is_theirs = live["metadata"]["labels"][OWNER_LABEL] != scope.owner
        && !ownership::managed_by(live).is_some_and(|keeper| scope.is_kept_by_its_own(&keeper));
    let refused = request.manifest.key.is_core("Secret") && is_theirs && live["immutable"] == true;
    refused.then(|| request.clone().refused_unseen(IMMUTABLE_SECRET))
}

/// The conflicts about a Secret's data, which the server would only tell of where the data differs.
pub(super) fn claims(scope: &AppScope<'_>, request: &Request) -> Vec<Conflict> {
    match &request.live {
        Some(live) if request.manifest.key.is_core("Secret") && scope.applies() => {
            ownership::claims_on_data(live, &request.write.payload, &scope.manager())
        }
        _ => Vec::new(),
    }
}
