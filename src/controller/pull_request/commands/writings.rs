//! The texts on a pull request in which people give commands: comments of the thread, reviews,
//! comments on lines, and the description.

use jiff::Timestamp;

use crate::domain::pull_request::Source;
use crate::github::{Comment, PullSnapshot, User};

/// A text that a person wrote on a pull request.
pub struct Writing<'a> {
    pub source: Source,
    pub author: &'a User,
    pub text: &'a str,
    pub created_at: Timestamp,
    pub edits: Edits<'a>,
    /// It has the reaction 👀.
    pub acknowledged: bool,
}

/// What is known about later edits of a text.
pub enum Edits<'a> {
    Known(bool),
    /// REST does not tell; GraphQL does, by this id.
    Ask {
        node_id: &'a str,
    },
}

/// All texts by people, oldest first. What another App wrote for a person is left out: the person
/// may not know of it.
pub fn writings(snapshot: &PullSnapshot) -> Vec<Writing<'_>> {
    let comments = snapshot
        .comments
        .iter()
        .map(|comment| (Source::Comment(comment.id), comment));
    let lines = &snapshot.line_comments;
    let lines = lines
        .iter()
        .map(|comment| (Source::LineComment(comment.id), comment));
    let mut writings: Vec<_> = comments
        .chain(lines)
        .filter_map(|(source, comment)| commented(source, comment))
        .chain(reviews(snapshot))
        .chain(description(snapshot))
        .filter(|writing| writing.author.kind == "User")
        .collect();
    writings.sort_by_key(|writing| writing.created_at);
    writings
}

fn commented(source: Source, comment: &Comment) -> Option<Writing<'_>> {
    if comment.performed_via_github_app.is_some() {
        return None;
    }
    let reactions = comment.reactions.as_ref();
    Some(Writing {
        source,
        author: comment.user.as_ref()?,
        text: comment.text(),
        created_at: comment.created_at,
        edits: Edits::Known(comment.updated_at > comment.created_at),
        acknowledged: reactions.is_some_and(|reactions| reactions.eyes > 0),
    })
}

/// A review that was not submitted is a draft of its author.
fn reviews(snapshot: &PullSnapshot) -> impl Iterator<Item = Writing<'_>> {
    snapshot.reviews.iter().filter_map(|review| {
        Some(Writing {
            source: Source::Review(review.id),
            author: review.user.as_ref()?,
            text: review.body.as_deref()?,
            created_at: review.submitted_at?,
            edits: Edits::Ask {
                node_id: &review.node_id,
            },
            acknowledged: false,
        })
    })
}

fn description(snapshot: &PullSnapshot) -> Option<Writing<'_>> {
    let pull = &snapshot.pull;
    Some(Writing {
        source: Source::Description(pull.number),
        author: pull.user.as_ref()?,
        text: pull.body.as_deref()?,
        created_at: pull.created_at?,
        edits: Edits::Ask {
            node_id: &pull.node_id,
        },
        acknowledged: false,
    })
}
