//! Secrets that others made: the server's answers must not tell what is in them.

use super::{Asked, Asking, Predicted, Request};
use crate::domain::OWNER_LABEL;
use crate::domain::ownership::{self, Conflict};

const IMMUTABLE_SECRET: &str = "a Secret of this name is there, is immutable, and was not made by this application: delete it, or give this one another name";

/// Whose a Secret's data is, is in the whole object.
pub(super) async fn whole(asking: &Asking<'_>, request: Request) -> Asked<Request> {
    match request.manifest.key.is_core("Secret") {
        true => request.with_whole_live(asking).await,
        false => Ok(request),
    }
}

/// An immutable Secret of others is refused unasked: whether its data is just what Git has would be told by what the
/// server says of it.
pub(super) fn immutable(asking: &Asking<'_>, request: &Request) -> Option<Predicted> {
    let live = request.live.as_ref()?;
    let is_theirs = live["metadata"]["labels"][OWNER_LABEL] != asking.owner
        && !ownership::keeper(live).is_some_and(|keeper| asking.is_kept_by_its_own(&keeper));
    let refused = request.manifest.key.is_core("Secret") && is_theirs && live["immutable"] == true;
    refused.then(|| request.clone().refused_unseen(IMMUTABLE_SECRET))
}

/// The conflicts about a Secret's data, which the server would only tell of where the data differs.
pub(super) fn claims(asking: &Asking<'_>, request: &Request) -> Vec<Conflict> {
    match &request.live {
        Some(live) if request.manifest.key.is_core("Secret") && asking.applies() => {
            ownership::claims_on_data(live, &request.write.payload, &asking.manager())
        }
        _ => Vec::new(),
    }
}
