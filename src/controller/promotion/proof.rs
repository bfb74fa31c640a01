//! Proves the edits of a promotion by rendering: they move its images, and nothing else.

use std::sync::Arc;

use super::edits::missing;
use super::git::{GitQuery, GitState};
use crate::cluster::store::Application;
use crate::controller::revision::inputs_at;
use crate::controller::{Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::edit::{FileEdit, moves_only};
use crate::domain::promotion::Offer;
use crate::domain::{Invalid, StageKey};
use crate::render::{self, Source};

/// The state, if its edits are proven. Err: what they change beside the images.
pub async fn proven(
    ctx: &Arc<Reader>,
    key: &StageKey,
    query: &GitQuery,
    state: std::result::Result<GitState, Invalid>,
    application: Option<&Application>,
) -> Result<std::result::Result<GitState, Invalid>> {
    let mut state = match state {
        Ok(state) if !state.edits.is_empty() && query.rollback.is_none() => state,
        state => return Ok(state),
    };
    let offers = std::mem::take(&mut state.offers);
    let why = match prove(ctx, key, query, &state.edits, &offers, application).await? {
        Ok(()) => {
            state.offers = offers;
            return Ok(Ok(state));
        }
        Err(why) => why,
    };
    // One that cannot be set stops no other.
    state.edits.clear();
    for offer in offers {
        let with: Vec<_> = state.offers.iter().cloned().chain([offer]).collect();
        let edits = edits_of(ctx, key, query, &with).await?;
        match prove(ctx, key, query, &edits, &with, application).await? {
            Ok(()) => (state.edits, state.offers) = (edits, with),
            Err(Invalid(why)) => {
                tracing::warn!(application = %key.title(), why, "an image is not proposed")
            }
        }
    }
    match state.offers.is_empty() {
        true => Ok(Err(why)),
        false => Ok(Ok(state)),
    }
}

/// The edits that set these offers on the base.
async fn edits_of(
    ctx: &Arc<Reader>,
    key: &StageKey,
    query: &GitQuery,
    offers: &[Offer],
) -> Result<Vec<FileEdit>> {
    let (base, places) = (query.base.clone(), query.places());
    let offers = offers.to_vec();
    let edits = ctx.mirror(&key.repo, move |mirror| {
        missing(mirror, &base, &places, &offers)
    });
    Ok(edits.await?.unwrap_or_default())
}

/// In each place that the stage's clusters are rendered from.
async fn prove(
    ctx: &Arc<Reader>,
    key: &StageKey,
    query: &GitQuery,
    edits: &[FileEdit],
    offers: &[Offer],
    application: Option<&Application>,
) -> Result<std::result::Result<(), Invalid>> {
    for place in query.places() {
        let mut targets = query.targets.iter();
        let Some(target) = targets.find(|target| target.render_source() == place.source) else {
            continue;
        };
        let proven = prove_in(ctx, key, (query, target), edits, offers, application).await?;
        if proven.is_err() {
            return Ok(proven);
        }
    }
    Ok(Ok(()))
}

/// What cannot be rendered as it is proves nothing: its preview says why.
async fn prove_in(
    ctx: &Arc<Reader>,
    key: &StageKey,
    (query, target): (&GitQuery, &Target),
    edits: &[FileEdit],
    offers: &[Offer],
    application: Option<&Application>,
) -> Result<std::result::Result<(), Invalid>> {
    let (base, place) = (query.base.clone(), target.render_source());
    let edits = edits.to_vec();
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
    let Ok(before) = environment.render(target, &before, served).await? else {
        return Ok(Ok(()));
    };
    let after = match environment.render(target, &after, served).await? {
        Ok(after) => after,
        Err(why) => return Ok(Err(why)),
    };
    let candidates: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let proven = moves_only(&before, &after, &candidates);
    Ok(proven.map_err(|why| Invalid(format!("{}: {why}", target.path))))
}
