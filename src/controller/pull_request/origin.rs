//! The origin of a pull request: ours and as we would make it now, ours with changes by others, or
//! a person's.

use std::sync::Arc;

use crate::cluster::store::Application;
use crate::controller::preview::Changes;
use crate::controller::{Base, Reader, Result, promotion};
use crate::domain::gate::Origin;
use crate::domain::promotion::Offer;
use crate::domain::rollback::Rollback;
use crate::domain::{CommitSha, PullRequestKey, StageKey};
use crate::github::PullSnapshot;

/// A pull request's origin, with what it proposes if it is ours.
pub struct Proposed {
    pub origin: Origin,
    pub offers: Vec<Offer>,
    /// It is this rollback, of this application.
    pub rollback: Option<(StageKey, Rollback)>,
}

impl Proposed {
    fn nothing(origin: Origin) -> Self {
        Self {
            origin,
            offers: Vec::new(),
            rollback: None,
        }
    }

    /// What it rolls back, by its title, and to which commit.
    pub fn rolls_back(&self) -> Option<(String, CommitSha)> {
        let (key, rollback) = self.rollback.as_ref()?;
        Some((key.title(), rollback.to.clone()))
    }

    /// The commit that it rolls back to.
    pub fn back_to(&self) -> Option<&CommitSha> {
        self.rollback.as_ref().map(|(_, rollback)| &rollback.to)
    }
}

/// It is ours if our App opened it, all its commits are ours, and its merged tree equals the edits
/// computed again from the candidates, or from the rollback under way.
pub async fn origin(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    changes: &Changes,
) -> Result<Proposed> {
    let bot = ctx.github.identity().await?.login.clone();
    let pull = &snapshot.pull;
    let Some(promotion) =
        StageKey::of_branch(&key.repo, &pull.head.branch).filter(|_| pull.author() == bot)
    else {
        return Ok(Proposed::nothing(Origin::People));
    };
    let (Some(object), Some(merged)) = (ctx.store.promotion(&promotion).await?, changes.merged)
    else {
        return Ok(Proposed::nothing(Origin::OursChanged));
    };
    let targets = base.targets_of(&promotion).into_iter().cloned();
    let targets: Vec<_> = targets.collect();
    if targets.is_empty() {
        return Ok(Proposed::nothing(Origin::OursChanged));
    }
    let announced = promotion::announced(ctx, base, &promotion).await?;
    let applications = ctx.applications_of(&promotion).await?;
    let rollback = applications.iter().find_map(Application::rollback);
    let to = rollback.as_ref().map(|rollback| rollback.to.clone());
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
                match promotion::proposal(mirror, tree, &targets, &object, &announced, to.as_ref())?
                {
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
    let nothing = Proposed::nothing(Origin::OursChanged);
    Ok(offers.map_or(nothing, |offers| Proposed {
        origin: Origin::Ours,
        offers,
        rollback: rollback.map(|rollback| (promotion, rollback)),
    }))
}
