//! The body of a promotion's pull request, and why images are not proposed.

use serde::Serialize;

use super::markdown::{bounded, code, quoted};
use super::markers::sticky;
use super::render;
use crate::domain::StageKey;
use crate::domain::history::{HealthyRevision, irreversible_since};
use crate::domain::image::Tag;
use crate::domain::promotion::{Decision, How, Offer};
use crate::domain::pull_request::Wanted;
use crate::domain::rollback::{Rollback, WINDLASS};

#[derive(Serialize)]
struct PromotionView {
    title: String,
    stage: String,
    /// Stages that have it, and those that have not (any more), with the reason.
    healthy: Vec<String>,
    lacking: Vec<(String, String)>,
    /// All of it is a step back.
    back: bool,
    candidates: Vec<CandidateView>,
}

#[derive(Serialize)]
struct CandidateView {
    image: String,
    tag: String,
    digest: String,
    source: String,
    commit: String,
    short: String,
    /// The newer tag that is there now, where this is a step back.
    instead_of: Option<String>,
    /// It was there before.
    again: bool,
}

/// A promotion's body. `earlier`: the stages before, each with what it lacks of being healthy with
/// just this.
pub fn promotion(key: &StageKey, offers: &[Offer], earlier: &[(String, Option<String>)]) -> String {
    let text = render(
        "promotion.md",
        PromotionView {
            title: key.title(),
            stage: key.stage.to_string(),
            healthy: earlier
                .iter()
                .filter(|(_, lacks)| lacks.is_none())
                .map(|(stage, _)| stage.clone())
                .collect(),
            lacking: earlier
                .iter()
                .filter_map(|(stage, lacks)| Some((stage.clone(), quoted(lacks.as_ref()?))))
                .collect(),
            back: !offers.is_empty() && offers.iter().all(|offer| offer.instead_of.is_some()),
            candidates: offers
                .iter()
                .map(
                    |Offer {
                         candidate,
                         instead_of,
                         reintroduced: again,
                     }| CandidateView {
                        image: candidate.image.clone(),
                        tag: candidate.tag.to_string(),
                        digest: candidate.digest.short().into(),
                        source: candidate.source.to_string(),
                        commit: candidate.commit.to_string(),
                        short: candidate.commit.short().into(),
                        instead_of: instead_of.as_ref().map(ToString::to_string),
                        again: *again,
                    },
                )
                .collect(),
        },
    );
    bounded(&text)
}

/// The body of a rollback's pull request. `history`: the revisions of the application that were
/// healthy.
pub fn rollback(key: &StageKey, rollback: &Rollback, history: &[HealthyRevision]) -> String {
    let (title, to) = (key.title(), rollback.to.short());
    let healthy = history.iter().find(|known| known.revision == rollback.to);
    let healthy = healthy.map(|healthy| format!(", which was healthy on {}", healthy.at));
    let on = rollback.pull_request.map(|number| format!(" in #{number}"));
    let by = match rollback.by.as_str() {
        WINDLASS => "windlass opened this by itself".into(),
        login => format!("{} asked for this{}", code(login), on.unwrap_or_default()),
    };
    let why = match rollback.reason.as_str() {
        "" => ".".into(),
        reason => format!(": {}", quoted(reason)),
    };
    let mut out = format!(
        "Takes **{title}** back to {}{}. {by}{why}\n\n",
        rollback.to,
        healthy.unwrap_or_default()
    );
    let lasting = irreversible_since(history, &rollback.to);
    if !lasting.is_empty() {
        out.push_str("> [!WARNING]\n> Going back does not undo what the syncs since then did:\n");
        let rows = lasting.iter().map(|done| format!("> - {}\n", code(done)));
        out.push_str(&(rows.collect::<String>() + "\n"));
    }
    out.push_str(&format!(
        "All files that `{title}` is rendered from become those of {to}, also files that it shares with others: the preview shows what that changes now.\n\nUntil `/resume`, windlass merges nothing else into `{title}` by itself. Close this pull request to stay where it is."
    ));
    bounded(&out)
}

/// Why images are not proposed in a stage, each in a sentence of the `Promotion` object; None where
/// none is kept back. With the tag that each has now. `reopens`: the pull request that can be
/// opened again.
pub fn not_proposed(stand: &[(&Decision, &Tag)], reopens: Option<u64>) -> Option<String> {
    let told: Vec<_> = stand
        .iter()
        .filter_map(|(one, tag)| Some(format!("{}: {}", named(one, tag), kept_back(one, reopens)?)))
        .collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The comment on a pull request of windlass that a person closed without a merge.
pub fn closed(key: &StageKey, rejected: &[&Decision]) -> Wanted {
    let images: Vec<_> = rejected
        .iter()
        .map(|one| code(&named(one, &one.tag)))
        .collect();
    let text = format!(
        "**Closed** · {} is not proposed for `{}` again. Reopen this pull request to have it after all; a newer image is proposed as always.\n",
        images.join(", "),
        key.title()
    );
    sticky(&text, "", false)
}

/// What people took back of these decisions, as the reason of a hold. None: nothing.
pub fn taken_back<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Option<String> {
    let words: Vec<_> = decisions
        .filter_map(|one| {
            let image = format!("{} ({})", one.tag, one.digest.short());
            match (one.how, &one.commit, one.number) {
                (How::Reverted, Some(commit), _) => {
                    Some(format!("{image} was reverted by {}", commit.short()))
                }
                (How::Reverted, None, _) => Some(format!("{image} was reverted")),
                (How::Rejected, _, Some(number)) => {
                    Some(format!("#{number} with {image} was closed"))
                }
                _ => None,
            }
        })
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn named(
    Decision {
        image,
        digest,
        tag: then,
        ..
    }: &Decision,
    tag: &Tag,
) -> String {
    let digest = digest.short();
    if tag == then {
        format!("{image} {tag} ({digest})")
    } else {
        format!("{image} {tag} (the same image as {then}, {digest})")
    }
}

fn kept_back(one: &Decision, reopens: Option<u64>) -> Option<String> {
    Some(match one.how {
        How::Merged | How::Proposed => return None,
        How::Failed => one.why.clone().unwrap_or_default(),
        How::Dropped => {
            "dropped, since windlass.yaml does not name the image for this application any more"
                .into()
        }
        How::Reverted => {
            let by = one
                .commit
                .as_ref()
                .map(|commit| format!(" by {}", commit.short()))
                .unwrap_or_default();
            format!(
                "reverted{by}, so it is not proposed here again: merge a pull request that sets it again, or announce a newer image"
            )
        }
        How::Rejected if one.number.is_none() => {
            "`/reject` rejected it, so it is not proposed here again: announce a newer image, or use `/promote`".into()
        }
        How::Rejected => {
            let number = one.number.unwrap_or_default();
            let reopen = if reopens == Some(number) {
                format!("reopen #{number}, or ")
            } else {
                String::new()
            };
            format!(
                "#{number} was closed, so it is not proposed here again: {reopen}announce a newer image"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::image::Candidate;

    fn key() -> StageKey {
        StageKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: "staging".parse().unwrap(),
        }
    }

    fn offer() -> Offer {
        let candidate = Candidate {
            image: "ghcr.io/acme/shop".into(),
            digest: format!("sha256:{}", "c".repeat(64)).parse().unwrap(),
            tag: "1.2".parse().unwrap(),
            commit: "d".repeat(40).parse().unwrap(),
            source: "acme/shop".parse().unwrap(),
        };
        Offer {
            candidate,
            instead_of: None,
            reintroduced: false,
        }
    }

    #[test]
    fn a_promotion_names_its_images() {
        insta::assert_snapshot!(promotion(&key(), &[offer()], &[("staging".into(), None)]), @"
    Deploys a new image to **shop/staging**.

    | image | tag | digest | source |
    |---|---|---|---|
    | `ghcr.io/acme/shop` | `1.2` | `cccccccccccc` | acme/shop@dddddddddddddddddddddddddddddddddddddddd |

    Healthy with the same digest in `staging`.

    A newer image for `staging` updates this pull request. Close it to reject this image. `/help` lists the commands.
    ");
    }

    #[test]
    fn a_step_back_is_called_one() {
        let back = promotion(
            &key(),
            &[Offer {
                instead_of: Some("1.3".parse().unwrap()),
                ..offer()
            }],
            &[],
        );
        assert!(
            back.starts_with("Moves **shop/staging** back to an older image.\n\n| image |"),
            "{back}"
        );
        assert!(back.contains("\n\n> [!WARNING]\n> This goes back: `1.2` was announced before `1.3`, which `staging` has now. "), "{back}");
        let again = promotion(
            &key(),
            &[Offer {
                reintroduced: true,
                ..offer()
            }],
            &[],
        );
        assert!(
            again.contains("> `staging` had `1.2` before and does not have it now. "),
            "{again}"
        );
    }

    #[test]
    fn what_is_not_proposed_has_its_reason() {
        let offer = offer();
        let decided = |how, commit: Option<&str>, number| {
            let commit = commit.map(|letter| letter.repeat(40).parse().unwrap());
            let one = Decision {
                commit,
                number,
                ..Decision::of(&offer.candidate, how)
            };
            not_proposed(&[(&one, &"1.2".parse().unwrap())], Some(7))
        };
        assert_eq!(decided(How::Merged, Some("a"), None), None);
        assert_eq!(
            decided(How::Reverted, Some("a"), None).as_deref(),
            Some(
                "ghcr.io/acme/shop 1.2 (cccccccccccc): reverted by aaaaaaaaaaaa, so it is not proposed here again: merge a pull request that sets it again, or announce a newer image"
            )
        );
        assert_eq!(
            decided(How::Rejected, None, Some(7)).as_deref(),
            Some(
                "ghcr.io/acme/shop 1.2 (cccccccccccc): #7 was closed, so it is not proposed here again: reopen #7, or announce a newer image"
            )
        );
        let refused = Decision {
            number: Some(6),
            ..Decision::of(&offer.candidate, How::Rejected)
        };
        assert_eq!(
            not_proposed(&[(&refused, &"1.2-final".parse().unwrap())], Some(7)).as_deref(),
            Some(
                "ghcr.io/acme/shop 1.2-final (the same image as 1.2, cccccccccccc): #6 was closed, so it is not proposed here again: announce a newer image"
            )
        );
    }
}
