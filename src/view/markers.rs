//! Markers of our own messages, found again only in comments of our own App; and the sticky
//! comment's seal.

use sha2::{Digest as _, Sha256};

use super::markdown::bounded;
use crate::domain::pull_request::{STICKY_MARK as STICKY, Source, Wanted};
use crate::domain::seal::Seal;

pub(super) const REPLY: &str = "<!-- windlass:reply ";
pub(super) const OUTCOME: &str = "<!-- windlass:outcome ";
const TAMPERED: &str = "<!-- windlass:edited ";

/// What `varies` (a duration, a base) is no part of the fingerprint.
pub(super) fn sticky(text: &str, varies: &str, last: bool) -> Wanted {
    let steady = if varies.is_empty() {
        text.to_string()
    } else {
        text.replace(varies, "")
    };
    Wanted {
        text: bounded(text),
        fingerprint: hex::encode(&Sha256::digest(&steady)[..8]),
        last,
    }
}

/// The sticky comment's whole body.
pub fn sticky_body(wanted: &Wanted, seal: &Seal, place: &str) -> String {
    let Wanted {
        text,
        fingerprint,
        last,
    } = wanted;
    let mark = sealed(seal, place, *last, fingerprint, text);
    format!(
        "{STICKY}{}{fingerprint} {mark} -->\n{text}",
        if *last { "final " } else { "" }
    )
}

/// The sticky comment as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSticky {
    pub fingerprint: String,
    /// It tells the end of the story.
    pub last: bool,
    /// Every letter of it is ours.
    pub intact: bool,
    /// It has a seal by our key; older windlasses set none, and keys are rotated.
    pub sealed: bool,
}

/// Reads a sticky comment of ours. `place`: the pull request.
pub fn sticky_of(body: &str, seal: &Seal, place: &str) -> Option<FoundSticky> {
    let (marker, text) = body.strip_prefix(STICKY)?.split_once(" -->")?;
    let (last, marker) = marker
        .strip_prefix("final ")
        .map_or((false, marker), |rest| (true, rest));
    let (fingerprint, found) = marker.split_once(' ').unwrap_or((marker, ""));
    let intact = found == sealed(seal, place, last, fingerprint, text);
    // What says that it is the end without a seal of ours says nothing.
    Some(FoundSticky {
        fingerprint: fingerprint.into(),
        last: last && intact,
        intact,
        sealed: found.starts_with(&seal.id()),
    })
}

fn sealed(seal: &Seal, place: &str, last: bool, fingerprint: &str, text: &str) -> String {
    // GitHub may change the ends of lines, and of the whole.
    seal.id()
        + &seal.of(&[
            place,
            if last { "final" } else { "" },
            fingerprint,
            text.replace('\r', "").trim(),
        ])
}

/// Says in the thread that somebody edited a comment of ours, whose time of change is `at`.
pub fn tampered(comment: u64, at: jiff::Timestamp, url: &str) -> String {
    format!(
        "{TAMPERED}{comment} {at} -->\nSomebody edited [windlass's comment]({url}). windlass has restored it: only its current text is windlass's.\n"
    )
}

/// The edit of a comment that one of ours is about.
pub fn tampered_of(body: &str) -> Option<(u64, jiff::Timestamp)> {
    let (comment, at) = body
        .strip_prefix(TAMPERED)?
        .split(" -->")
        .next()?
        .split_once(' ')?;
    Some((comment.parse().ok()?, at.parse().ok()?))
}

/// The text that a reply answers.
pub fn reply_of(body: &str) -> Option<Source> {
    body.strip_prefix(REPLY)?.split(" -->").next()?.parse().ok()
}

/// The text whose `/sync` a comment tells the outcome of.
pub fn outcome_of(body: &str) -> Option<Source> {
    let source = body.strip_prefix(OUTCOME)?.split(" -->").next()?;
    source.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

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
        for source in [
            Source::Comment(7),
            Source::Review(7),
            Source::Description(7),
        ] {
            assert_eq!(reply_of(&reply(source, &[])), Some(source));
        }
        assert_eq!(
            (
                sticky_of("text", &seal, ""),
                reply_of("<!-- windlass:reply x -->")
            ),
            (None, None)
        );
    }
}
