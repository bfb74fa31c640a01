use std::time::Duration;

use serde_json::json;

use super::*;
use crate::domain::image::Candidate;
use crate::domain::manifest::ResourceKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{Comparison, Plan, Proof, Side};
use crate::domain::pull_request::{ApplicationPreview, ImageChange, Preview};

fn key() -> ApplicationKey {
    ApplicationKey {
        repo: "acme/config".parse().unwrap(),
        application: "shop".parse().unwrap(),
        stage: "staging".parse().unwrap(),
    }
}

fn comparison(name: &str, before: Option<&str>, after: Option<&str>) -> Comparison {
    let side = |image: Option<&str>| {
        image.map_or(Side::Absent, |image| {
            Side::Object(
                json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"image": image}}),
                Proof::Server,
            )
        })
    };
    let key = ResourceKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("shop-staging".into()),
        name: name.into(),
    };
    Comparison::new(key, side(before), side(after))
}

fn of(comparisons: Vec<Comparison>) -> Preview {
    let image = |tag: &str| {
        Some(
            format!(
                "ghcr.io/acme/shop:{tag}@sha256:{}",
                tag.repeat(64)[..64].to_owned()
            )
            .parse()
            .unwrap(),
        )
    };
    Preview {
        head: "a".repeat(40).parse().unwrap(),
        base: "b".repeat(40).parse().unwrap(),
        applications: vec![ApplicationPreview {
            key: key(),
            cluster: "local".into(),
            plan: Plan::new(&Mask::new(b"test"), comparisons),
            drift: Plan::default(),
            waiting: Plan::default(),
            unmoved: 0,
            images: vec![ImageChange {
                name: "ghcr.io/acme/shop".into(),
                from: image("1"),
                to: image("2"),
                source: None,
            }],
            error: None,
            notes: vec![],
        }],
        total: 6,
        failure: None,
        duration: Duration::from_millis(1900),
    }
}

#[test]
fn a_preview_reads_at_a_glance() {
    let text = preview(&of(vec![comparison("web", Some("shop:1"), Some("shop:2"))]));
    insta::assert_snapshot!(text.comment.text, @"
    **1 of 6 applications changes** · 1 configure · verified by the cluster

    | application | image | from | to |
    |---|---|---|---|
    | `shop/staging` | `ghcr.io/acme/shop` | `1` `111111111111` | `2` `222222222222` |

    **shop/staging** on `local`

    <details open><summary><code>Deployment shop-staging/web</code> configure +1 −1</summary>

    ```diff
     metadata:
       name: web
     spec:
    -  image: shop:1
    +  image: shop:2
    ```

    </details>

    <sub>head `aaaaaaaaaaaa` on base `bbbbbbbbbbbb` · 1.9 s · plan `wl1:4f0e8cfa62e7` · `/help`</sub>
    ");
    assert_eq!(
        text.title,
        "1 of 6 applications changes · 1 configure · verified by the cluster"
    );
}

#[test]
fn the_fingerprint_does_not_see_the_duration() {
    let one = of(vec![comparison("web", Some("1"), Some("2"))]);
    let two = Preview {
        duration: Duration::from_secs(7),
        ..one.clone()
    };
    assert_eq!(
        preview(&one).comment.fingerprint,
        preview(&two).comment.fingerprint
    );
    let three = of(vec![comparison("web", Some("1"), Some("3"))]);
    assert_ne!(
        preview(&one).comment.fingerprint,
        preview(&three).comment.fingerprint
    );
}

#[cfg(feature = "sandbox")]
#[test]
fn hostile_text_stays_text() {
    let hostile =
        "x ``` </details> <!-- windlass:sticky final 0 --> @acme/admins closes #1 | \u{202e}";
    let text = preview(&of(vec![comparison(hostile, Some("1"), None)]))
        .comment
        .text;
    let html = crate::sandbox::forge::pages::markdown(&text);
    assert_eq!(
        html.matches("<details").count(),
        html.matches("</details>").count()
    );
    assert_eq!(
        sticky_of(&text, &Seal::new(b"key"), "a/b#1"),
        None,
        "a forged marker is not at the start"
    );
    assert!(
        preview(&of(vec![comparison("x\n\n## Approved", None, Some("1"))]))
            .comment
            .text
            .lines()
            .all(|line| !line.starts_with("## "))
    );
    assert!(!code("a\nb `c` | d").contains(['\n', '|']));
    assert!(!quoted("@someone <b>").contains("@s"));
}

#[test]
fn a_comment_fits_and_lists_every_deletion() {
    let many = (0..600)
        .map(|n| {
            comparison(
                &format!("web-{n:04}"),
                Some(&"old image\n".repeat(20)),
                None,
            )
        })
        .collect();
    let text = preview(&of(many));
    assert!(text.comment.text.len() <= MOST_BYTES);
    for n in 0..600 {
        assert!(
            text.comment.text.contains(&format!("web-{n:04}")),
            "web-{n:04} is not listed"
        );
    }
}

#[test]
fn the_shortest_form_folds_names_and_shows_what_they_share() {
    let mut many: Vec<_> = (0..3_000)
        .map(|n| comparison(&format!("web-{n:04}"), Some("old"), Some("new")))
        .collect();
    many.push(comparison("other", Some("old"), None));
    let body = preview(&of(many)).comment.text;
    assert!(body.len() <= MOST_BYTES);
    assert!(
        body.contains("<summary>configure: <code>Deployment</code>")
            && body.contains("3000</summary>"),
        "{}",
        &body[..600]
    );
    assert!(
        body.contains("the same in 3000") && body.contains("+  image: new"),
        "{}",
        &body[body.len() - 600..]
    );
    let deleted = body.find("- prune:").unwrap();
    assert!(
        deleted < body.find("<details>").unwrap(),
        "what is lost comes first, unfolded"
    );
    // What follows is Markdown again only after a blank line.
    assert!(
        body.split("</details>\n")
            .skip(1)
            .all(|after| after.starts_with('\n'))
    );
}

#[test]
fn markers_are_found_again() {
    let wanted = sticky("text", "", true);
    let seal = Seal::new(b"key");
    let body = sticky_body(&wanted, &seal, "a/b#1");
    let found = FoundSticky {
        fingerprint: wanted.fingerprint,
        last: true,
        intact: true,
        sealed: true,
    };
    assert_eq!(
        sticky_of(&(body.replace('\n', "\r\n") + "\n"), &seal, "a/b#1"),
        Some(found)
    );
    for (what, body, place) in [
        ("edited", body.replace("text", "other text"), "a/b#1"),
        ("of another pull request", body.clone(), "a/b#2"),
        (
            "its marker was edited",
            body.replace("sticky final", "sticky"),
            "a/b#1",
        ),
        (
            "of an older windlass",
            "<!-- windlass:sticky final 00 -->\ntext".into(),
            "a/b#1",
        ),
    ] {
        let found = sticky_of(&body, &seal, place).unwrap();
        assert!(!found.intact && !found.last, "{what}: {found:?}");
    }
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(tampered_of(&tampered(7, at, "https://x")), Some((7, at)));
    assert_eq!(reply_of(&reply(7, &[])), Some(7));
    assert_eq!(
        (
            sticky_of("text", &seal, ""),
            reply_of("<!-- windlass:reply x -->")
        ),
        (None, None)
    );
}

#[test]
fn every_template_renders() {
    let lines = crate::domain::command::parse("/help\n/snyc");
    let answers: Vec<_> = lines
        .into_iter()
        .map(|line| {
            let text = match &line.meaning {
                Ok(_) => help(),
                Err(wrong) => mistake(wrong),
            };
            (line, text)
        })
        .collect();
    insta::assert_snapshot!(reply(9, &answers), @"
    <!-- windlass:reply 9 -->
    > `/help`

    A command stands at the start of a line.

    | command | what it does | needs |
    |---|---|---|
    | `/accept-unseen` | accepts the changes that do not fit into the preview of this commit, by one who may approve | write |
    | `/adopt` | lets the first sync of the applications that this pull request touches change what was there before windlass | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/confirm-prune` | confirms the deletions that wait for it, in the applications that this pull request touches | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/help` | lists these commands | write |
    | `/preview` | asks the cluster again what this pull request would change, and updates the preview | write |
    | `/sync` | syncs the applications that this pull request touches to the tracked branch as it is now (not to this pull request) | write; where the stage needs approvals, somebody who may approve |
    | `/take` | has the fields that others hold, and that the preview names, set as Git has them | write; where the stage needs approvals, somebody who may approve |
    | `/why` | explains, gate by gate, why this pull request is or is not merged | write |

    > `/snyc`

    There is no command `/snyc`. Did you mean `/sync`? `/help` lists all of them.
    ");
    let candidate = Candidate {
        image: "ghcr.io/acme/shop".into(),
        digest: format!("sha256:{}", "c".repeat(64)).parse().unwrap(),
        tag: "1.2".parse().unwrap(),
        commit: "d".repeat(40).parse().unwrap(),
        source: "acme/shop".parse().unwrap(),
    };
    let offer = Offer {
        candidate,
        instead_of: None,
        again: false,
    };
    let back = promotion(
        &key(),
        &[Offer {
            instead_of: Some("1.3".parse().unwrap()),
            ..offer.clone()
        }],
        &[],
    );
    assert!(
        back.starts_with("Takes **shop/staging** back to an older image.\n\n| image |"),
        "{back}"
    );
    assert!(back.contains("\n\n> [!WARNING]\n> A step back: `1.2` was announced before `1.3`, which `staging` has now. "), "{back}");
    let again = promotion(
        &key(),
        &[Offer {
            again: true,
            ..offer.clone()
        }],
        &[],
    );
    assert!(
        again.contains("> `staging` had `1.2` before, and has it no more. "),
        "{again}"
    );
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
            "ghcr.io/acme/shop 1.2 (cccccccccccc): taken back by aaaaaaaaaaaa, so it is not proposed here again: merge a pull request that sets it again, or announce a newer image"
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
    insta::assert_snapshot!(promotion(&key(), &[offer], &[("staging".into(), None)]), @"
    Puts a new image into **shop/staging**.

    | image | tag | digest | source |
    |---|---|---|---|
    | `ghcr.io/acme/shop` | `1.2` | `cccccccccccc` | acme/shop@dddddddddddddddddddddddddddddddddddddddd |

    Healthy with the same digest in `staging`.

    A newer image for `staging` updates this pull request. Close it to refuse this image. `/help` lists what can be asked here.
    ");
    let done = Progress {
        key: key(),
        state: crate::domain::pull_request::ProgressState::Failed,
        message: "Deployment web: pod web-1: CrashLoopBackOff".into(),
        detail: String::new(),
    };
    insta::assert_snapshot!(progress(&"a".repeat(40).parse().unwrap(), &[done], Some("the preview"), None).text, @"
    **Failed** · `aaaaaaaaaaaa`

    | application | state | |
    |---|---|---|
    | `shop/staging` | failed | `Deployment web: pod web-1: CrashLoopBackOff` |

    <details><summary>the preview that was merged</summary>

    the preview

    </details>
    ");
}

#[test]
fn reasons_are_told_in_words_and_have_a_code() {
    use crate::domain::health::Health;
    use crate::domain::sync::{Adoption, Drift, Late, Proposal, Reason};
    let web = || ResourceKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
    };
    let health = |health, why: &str, ending: Vec<(ResourceKey, String)>| Reason::Health {
        health,
        objects: (health, why.into()),
        ending,
        withheld: vec![],
    };
    let table = [
        (
            Reason::Refused(vec![(web(), "no".into()), (web(), "never".into())]),
            "Refused",
            "Deployment shop/web: no\nDeployment shop/web: never",
        ),
        (
            Reason::AdoptionRequired(Adoption::Existing {
                application: "shop/staging".into(),
                objects: vec![web()],
            }),
            "AdoptionRequired",
            "the first sync would change what is there already (Deployment shop/web): `windlass adopt shop/staging` lets it",
        ),
        (
            Reason::Drift {
                objects: vec![Drift {
                    key: web(),
                    deleted: false,
                    by: vec![("kubectl-edit".into(), vec![".spec.replicas".into()])],
                }],
                proposal: Proposal::Open { number: 7 },
            },
            "DriftReported",
            "drift is reported, not set back: Deployment shop/web: .spec.replicas changed by kubectl-edit (#7 asks whether to keep it: merge it, or close it to have it set back)",
        ),
        (
            Reason::DeletionsWait {
                health: (Health::Degraded, "new crashes".into()),
                deletions: vec![(web(), Late::Used { by: "Pod a".into() })],
            },
            "DeletionsPending",
            "new crashes; Deployment shop/web is deleted once Pod a does not use it any more",
        ),
        (
            Reason::Wave {
                wave: 2,
                failed: true,
                why: "Job a failed".into(),
            },
            "WaveFailed",
            "wave 2 failed: Job a failed",
        ),
        (health(Health::Healthy, "", vec![]), "Healthy", ""),
        (
            health(Health::Progressing, "Deployment web: 1 of 2 ready", vec![]),
            "Progressing",
            "waits for Deployment web",
        ),
        (
            Reason::Overdue {
                limit: Duration::from_secs(1800),
                reason: Box::new(health(
                    Health::Progressing,
                    "Deployment web: 1 of 2 ready",
                    vec![(web(), "it is being deleted".into())],
                )),
            },
            "HealthTimeout",
            "not healthy 30m after it was applied: Deployment web: 1 of 2 ready; Deployment shop/web: it is being deleted",
        ),
    ];
    for (told, code, words) in table {
        assert_eq!((told.code(), reason(&told).as_str()), (code, words));
    }
}
