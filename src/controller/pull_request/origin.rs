//! The origin of a pull request: ours and as we would make it now, ours with changes by others, or
//! a person's.

use std::sync::Arc;

use crate::cluster::store::Application;
use crate::controller::preview::Changes;
use crate::controller::{Base, Reader, Result, key_of_branch, promotion};
use crate::domain::gate::Origin;
use crate::domain::promotion::Offer;
use crate::domain::rollback::Rollback;
use crate::domain::{ApplicationKey, PullRequestKey};
use crate::github::PullSnapshot;

/// It is ours if our App opened it, all its commits are ours, and its merged tree equals the edits
/// computed again from the candidates. Also returns the images that it offers.
pub async fn origin(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    changes: &Changes,
) -> Result<(Origin, Vec<Offer>)> {
    let bot = ctx.github.identity().await?.login.clone();
    let pull = &snapshot.pull;
    let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.author() == bot)
    else {
        return Ok((Origin::People, Vec::new()));
    };
    let (Some(object), Some(target), Some(merged)) = (
        ctx.store.promotion(&promotion).await?,
        base.target(&promotion).cloned(),
        changes.merged,
    ) else {
        return Ok((Origin::OursChanged, Vec::new()));
    };
    let announced = promotion::announced(ctx, base, &promotion).await?;
    let rollback = rollback_of(ctx, &promotion).await?.map(|known| known.to);
    let (commit, head) = (base.commit.clone(), pull.head.sha.clone());
    let offers = ctx
        .mirror(&key.repo, move |mirror| {
            if !mirror
                .authors(&commit, &head)?
                .iter()
                .all(|email| promotion::is_ours(email, &bot))
            {
                return Ok(None);
            }
            let tree = mirror.tree(&commit)?;
            Ok(
                match promotion::proposal(
                    mirror,
                    tree,
                    &target,
                    &object,
                    &announced,
                    rollback.as_ref(),
                )? {
                    // The merged tree comes from another handle of the same repository: equal
                    // content has equal ids.
                    Ok(proposal) if mirror.edited(tree, &proposal.edits)? == merged => {
                        Some(proposal.offers)
                    }
                    _ => None,
                },
            )
        })
        .await?;
    Ok(offers.map_or((Origin::OursChanged, Vec::new()), |offers| {
        (Origin::Ours, offers)
    }))
}

/// The rollback under way of an application.
pub async fn rollback_of(ctx: &Reader, key: &ApplicationKey) -> Result<Option<Rollback>> {
    let object = ctx.store.application(key).await?;
    Ok(object.as_ref().and_then(Application::rollback))
}
