//! Proves the edits of a promotion by rendering: they move its images, and nothing else.

use std::sync::Arc;

use super::git::{GitQuery, GitState};
use crate::cluster::store::Application;
use crate::controller::revision::inputs_at;
use crate::controller::{Reader, Result};
use crate::domain::edit::moves_only;
use crate::domain::{ApplicationKey, Invalid};
use crate::render::{self, Source};

/// Err: what the edits change beside the images. What cannot be rendered as it is proves nothing:
/// its preview will say why.
pub async fn prove(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    query: &GitQuery,
    state: &GitState,
    application: Option<&Application>,
) -> Result<std::result::Result<(), Invalid>> {
    if state.edits.is_empty() || query.rollback.is_some() {
        return Ok(Ok(()));
    }
    let (base, place) = (query.base.clone(), query.target.render_source());
    let edits = state.edits.clone();
    let (before, after) = ctx
        .mirror(&key.repo, move |mirror| {
            let tree = mirror.edited(mirror.tree(&base)?, &edits)?;
            let after = render::inputs(&Source::open(mirror, tree)?, &place);
            Ok((inputs_at(mirror, &base, &place)?, after))
        })
        .await?;
    let (Ok(Some(before)), Ok(Some(after))) = (before, after) else {
        return Ok(Ok(()));
    };
    let status = application.and_then(|application| application.status.as_ref());
    let served = status.and_then(|status| status.served.as_ref());
    let environment = &ctx.environment;
    let Ok(before) = environment.render(&query.target, &before, served).await? else {
        return Ok(Ok(()));
    };
    let after = match environment.render(&query.target, &after, served).await? {
        Ok(after) => after,
        Err(why) => return Ok(Err(why)),
    };
    let candidates = state.offers.iter().map(|offer| offer.candidate.clone());
    let candidates: Vec<_> = candidates.collect();
    let proven = moves_only(&before, &after, &candidates);
    Ok(proven.map_err(|why| Invalid(format!("{}: {why}", query.target.path))))
}
